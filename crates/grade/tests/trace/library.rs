//! The ready graders that ask judges, each on ten traces of `testdata/graders/`, whose right verdicts were
//! written by hand.
//!
//! No test can say here what a real judge thinks. What it is shown can be tested: that what decides a case
//! is in front of it, even in a small window, and that a judge that sees it and answers rightly is
//! understood, its citation included.

use std::path::Path;
use std::sync::Arc;

use grade::library;
use grade::openai::ModelRequest;
use grade::trace::{Counterpart, Subject};
use insight::fence::{Fence, Nonce};
use insight::render::{Renderer, Request, Tier};
use insight::{DeclaredTool, Effects, ToldSpan, TraceView};
use model::{ChatMessage, Outcome, Part, SpanError, SpanId, SpanStatus, SpanType};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::court::{Court, notes, quoting, text};
use crate::story::{json as json_text, said, span, view};

/// What a judge of the smallest window is shown of a trace, in tokens.
const BUDGET_TOKENS: u32 = 4_000;

/// A trace with its right verdict.
#[derive(Debug, Deserialize)]
struct Case {
    title: String,
    /// `pass` or `fail`; of a trace that is compared `better` or `worse`.
    verdict: String,
    /// What decides it: a piece of the text of a span, or of its line.
    cites: String,
    #[serde(default)]
    system: String,
    #[serde(default)]
    tools: Vec<String>,
    steps: Vec<Step>,
    /// What happens in the trace that it is compared with.
    #[serde(default)]
    other: Vec<Step>,
}

/// What happens in a trace: its kind first, then what belongs to it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Step {
    /// `["call", tool, arguments, result]`, or `["fail", tool, arguments, error]`.
    Call(String, String, Value, Value),
    /// `["handoff", from, to]`.
    Handoff(String, String, String),
    /// `["user", words]`, or `["say", words]` of the agent.
    Words(String, String),
}

/// A trace in the making.
struct Scene {
    spans: Vec<ToldSpan>,
    history: Vec<Arc<ChatMessage>>,
    tools: Arc<[DeclaredTool]>,
    agent: String,
    now: i64,
}

impl Scene {
    fn of(case: &Case) -> TraceView {
        Self::played(case, &case.steps)
    }

    fn played(case: &Case, steps: &[Step]) -> TraceView {
        let first = steps.iter().find_map(|step| match step {
            Step::Handoff(_, from, _) => Some(from.as_str()),
            _ => None,
        });
        let declared = |name: &String| DeclaredTool {
            name: name.clone(),
            parameters: None,
        };
        let mut scene = Self {
            spans: Vec::new(),
            history: Vec::new(),
            tools: case.tools.iter().map(declared).collect(),
            agent: String::new(),
            now: 0,
        };
        scene.enter(first.unwrap_or("Assistant"));
        if !case.system.is_empty() {
            scene.history.push(said("system", &case.system));
        }
        for step in steps {
            scene.play(step);
        }
        view(scene.spans)
    }

    /// Adds a span below the agent at work.
    fn add(&mut self, kind: SpanType, name: &str) -> &mut ToldSpan {
        let (id, from) = (format!("n{}", self.spans.len()), self.now);
        self.now += 10;
        let parent = self.agent.clone();
        self.spans
            .push(span(&id, &parent, kind, name, from, from + 9));
        self.spans.last_mut().unwrap()
    }

    fn enter(&mut self, agent: &str) {
        let added = self.add(SpanType::Agent, agent);
        added.span.ended_at = Some(model::Time::from_micros(100_000_000));
        self.agent = added.span.span_id.to_string();
    }

    /// Adds a model call that writes a message.
    fn generate(&mut self, message: Arc<ChatMessage>) {
        let (input, tools) = (self.history.clone(), Arc::clone(&self.tools));
        let added = self.add(SpanType::Generation, "gpt-5");
        added.input = input;
        added.output = vec![Arc::clone(&message)];
        added.tools = tools;
        self.history.push(message);
    }

    fn call(&mut self, tool: &str, arguments: &Value, result: &Value, has_failed: bool) {
        let id = Some(format!("call_{}", self.spans.len()));
        let arguments = json_text(&arguments.to_string());
        let asks = Part::ToolCall {
            id: id.clone(),
            name: tool.to_owned(),
            arguments: Some(arguments.clone()),
        };
        self.generate(Arc::new(ChatMessage::new("assistant", vec![asks])));
        let response = json_text(&result.to_string());
        let added = self.add(SpanType::Function, tool);
        added.arguments = Some(arguments);
        if has_failed {
            added.span.status = SpanStatus::Error;
            added.span.error = Some(SpanError {
                kind: "tool_error".to_owned(),
                message: result.as_str().unwrap_or_default().to_owned(),
                data: None,
            });
        } else {
            added.result = Some(response.clone());
        }
        let answers = Part::ToolResult { id, response };
        let message = ChatMessage::new("tool", vec![answers]);
        self.history.push(Arc::new(message));
    }

    fn play(&mut self, step: &Step) {
        match step {
            Step::Words(who, words) if who == "user" => self.history.push(said("user", words)),
            Step::Words(who, words) => {
                assert_eq!(who, "say");
                self.generate(said("assistant", words));
            }
            Step::Handoff(kind, from, to) => {
                assert_eq!(kind, "handoff");
                let added = self.add(SpanType::Handoff, "");
                added.span.handoff_from = Some(from.clone());
                added.span.handoff_to = Some(to.clone());
                self.enter(to);
            }
            Step::Call(kind, tool, arguments, result) => {
                assert!(matches!(&**kind, "call" | "fail"), "{kind}");
                self.call(tool, arguments, result, kind == "fail");
            }
        }
    }
}

fn cases(name: &str) -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/graders");
    let file = std::fs::read(folder.join(format!("{name}.json")));
    let file = file.unwrap_or_else(|error| panic!("{name}: {error}"));
    serde_json::from_slice(&file).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn judged() -> impl Iterator<Item = &'static library::Ready> {
    let all = library::all().iter();
    all.filter(|ready| ready.definition["type"] == "llm")
}

/// Returns the name of the span that is shown to say this, such as `s4`.
fn shown_to_say(shown: &str, words: &str) -> Option<String> {
    let at = shown.find(words)?;
    let before = &shown[..at];
    let opened = [before.rfind(" id=\"s"), before.rfind("[s")];
    let begin = opened.into_iter().flatten().max()?;
    let name = &before[begin..];
    let name = &name[name.find('s')?..];
    let digits = name[1..].chars().take_while(char::is_ascii_digit).count();
    Some(name[..=digits].to_owned())
}

#[test]
fn ten_traces_are_there_for_each_five_of_which_pass() {
    let mut count = 0;
    for ready in judged() {
        let cases = cases(&ready.name);
        let is = |words: [&str; 2]| {
            let of = cases.iter();
            of.filter(|case| words.contains(&&*case.verdict)).count()
        };
        let (passing, failing) = (is(["pass", "better"]), is(["fail", "worse"]));
        assert_eq!(
            (passing, failing, cases.len()),
            (5, 5, 10),
            "{}",
            ready.name
        );
        count += cases.len();
    }
    assert_eq!(count, 80);
}

#[test]
fn what_decides_a_case_is_shown_in_a_small_window() {
    let effects = Effects::default();
    for ready in judged() {
        for case in cases(&ready.name) {
            let view = Scene::of(&case);
            let renderer = Renderer::new(&view, &effects);
            let fence = Fence::new(Nonce::new("9f3a2c").unwrap());
            let shown = renderer
                .render(&fence, &Request::new(BUDGET_TOKENS))
                .unwrap();
            assert_eq!(shown.tier, Tier::Full, "{}: {}", ready.name, case.title);
            let name = shown_to_say(&shown.text, &case.cites);
            let place = name.and_then(|name| insight::render::resolve_place(&view, &name));
            assert!(
                place.is_some(),
                "{}: {} does not show {:?}:\n{}",
                ready.name,
                case.title,
                case.cites,
                shown.text
            );
        }
    }
}

#[tokio::test]
async fn a_judge_that_compares_rightly_is_understood_in_both_orders() {
    let mut definition = library::find("better_answer").unwrap().definition.clone();
    definition["budget_tokens"] = json!(2 * BUDGET_TOKENS);
    for case in cases("better_answer") {
        let (own, other) = (Scene::of(&case), Scene::played(&case, &case.other));
        let (cites, is_better) = (case.cites.clone(), case.verdict == "better");
        let court = Court::of(move |request: &ModelRequest, _| {
            let all = request.messages[1]["content"].as_str().unwrap();
            let (before, b) = all.split_once("## Trace B\n").unwrap();
            let a = before.split_once("## Trace A\n").unwrap().1;
            let is_first = a.contains(&cites);
            assert!(is_first != b.contains(&cites), "{cites} tells them apart");
            let (shown, own, other) = match is_first {
                true => (a, "A", "B"),
                false => (b, "B", "A"),
            };
            let span = shown_to_say(shown, &cites).unwrap();
            let evidence = json!([{"trace": own, "span_id": span, "quote": cites}]);
            let word = if is_better { own } else { other };
            Ok(text(
                &json!({"evidence": evidence, "reasoning": "so", "verdict": word, "confidence": 0.9})
                    .to_string(),
            ))
        });
        let other_id = model::TraceId::new("trace_other").unwrap();
        let subject = Subject {
            run_seed: "run",
            counterpart: Some(Counterpart {
                trace_id: &other_id,
                view: &other,
                trace_hash: "",
            }),
            ..Subject::new(&own, &court.context)
        };
        let graded = court.grade_subject(&definition, &subject).await.unwrap();
        let (told, what) = (&graded[0].verdict, &case.title);
        assert_eq!(told.label.as_ref(), Some(&case.verdict), "{what}: {told:?}");
        assert_eq!((told.citations.len(), court.count()), (1, 2), "{what}");
    }
}

#[tokio::test]
async fn a_judge_that_answers_rightly_is_understood_and_its_citation_stands() {
    for ready in judged().filter(|ready| ready.definition["pairwise"] != true) {
        let mut definition = ready.definition.clone();
        definition["budget_tokens"] = json!(BUDGET_TOKENS);
        for case in cases(&ready.name) {
            let (cites, word) = (case.cites.clone(), case.verdict.clone());
            let court = Court::of(move |request: &ModelRequest, _| {
                let all: Vec<&str> = request
                    .messages
                    .iter()
                    .filter_map(|message| message["content"].as_str())
                    .collect();
                let all = all.join("\n");
                let shown = &all[all.find("Trace of workflow").unwrap_or(0)..];
                let span = shown_to_say(shown, &cites).unwrap_or_default();
                Ok(text(&quoting("verdict", &json!(word), &span, &cites)))
            });
            let view = Scene::of(&case);
            let graded = court.one(&definition, &view).await;
            let (told, what) = (&graded.verdict, format!("{}: {}", ready.name, case.title));
            let want = match case.verdict.as_str() {
                "pass" => Outcome::Pass,
                _ => Outcome::Fail,
            };
            assert_eq!(told.outcome, want, "{what}: {told:?}");
            assert_eq!(told.citations.len(), 1, "{what}: {told:?}");
            let cited: &SpanId = &told.citations[0];
            assert!(view.spans.iter().any(|span| span.id() == cited), "{what}");
            assert_eq!(court.count(), 1, "{what}: it was asked once");
            assert_eq!(notes(&graded)["tier"], json!(0), "{what}");
        }
    }
}
