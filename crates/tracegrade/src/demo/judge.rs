//! The demo's judge, who knows how the story ends.
//!
//! No model is asked in the demo, yet its graders are real ones, and so is all that is done with an
//! answer: the prompt is rendered, quotes are checked, grades are kept. Only who answers is played. The
//! judge tells a trace by the line about it in the prompt and by what the customer wrote, and answers from
//! the truth of the story, but for mistakes like those that models make: now and then it believes an answer
//! that sounds good, and of two traces that are alike it takes the one that it is shown first. It answers the
//! demo's own questions and those of the library; of others it says that it cannot tell.

use std::collections::HashMap;
use std::sync::OnceLock;

use model::Time;
use serde_json::{Value, json};
use server::PlayedJudge;

use super::cases::{FailureKind, Truth};
use super::prng::Prng;
use super::trace::{Item, Trace};
use super::traffic;
use super::wire::Prompts;

/// So much of a customer's message has to be found in the prompt, in characters.
const OPENING_CHARS: usize = 24;

/// So much of an answer is quoted, in characters.
const QUOTE_CHARS: usize = 48;

/// Of a hundred bad answers that sound good the judge believes so many.
const BELIEVED: usize = 35;

/// Of a hundred good answers the judge finds fault with so many.
const FAULTED: usize = 3;

/// Of a hundred pairs that are alike the judge is swayed by their order in so many.
const SWAYED: usize = 30;

/// What it says of what is not in its story.
const UNKNOWN: &str = "This judge is played, for a demo: it knows its own story and the library's questions about it, and nothing of this.";

/// What a prompt says about its trace: spans and milliseconds.
type Headline = (usize, u64);

/// Who knows what is true of each trace.
#[derive(Debug)]
pub(crate) struct Judge {
    until: Time,
    seed: u64,
    /// Found when somebody asks: the story has to be played for it.
    known: OnceLock<HashMap<Headline, Vec<Known>>>,
}

#[derive(Debug)]
struct Known {
    /// The beginning of what the customer wrote.
    opening: String,
    truth: Truth,
    /// Decides about the judge's mistakes.
    luck: usize,
}

/// What a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    /// Did the customer get what could be had?
    Goal,
    /// Does the answer say only what is so?
    Grounded,
    /// Did the right agent get it?
    Handoff,
    /// Did the calls of tools fit?
    Tools,
    /// Did every step bring it forward?
    Steps,
    /// Was the handbook kept to?
    Policy,
    /// Is it said well?
    Tone,
}

/// The words by which a criterion is known, the surest first.
const WORDS: [(Question, &[&str]); 7] = [
    (Question::Handoff, &["hand-off", "handoff"]),
    (Question::Grounded, &["supported by", "handbook"]),
    (Question::Tone, &["tone", "polite"]),
    (Question::Policy, &["policy"]),
    (
        Question::Steps,
        &["every step", "needless", "bring the work forward"],
    ),
    (Question::Tools, &["tool call", "tool usage", "tools"]),
    (
        Question::Goal,
        &[
            "goal",
            "what could be had",
            "user asked",
            "customer",
            "quality",
            "served its user",
        ],
    ),
];

impl Judge {
    /// Returns the judge of the story that ends at `until`.
    pub(crate) fn of_story(until: Time, seed: u64) -> Self {
        Self {
            until,
            seed,
            known: OnceLock::new(),
        }
    }

    fn known(&self) -> &HashMap<Headline, Vec<Known>> {
        self.known.get_or_init(|| known(self.until, self.seed))
    }

    /// Returns what is known of the trace that a prompt shows.
    fn find(&self, prompt: &str) -> Option<&Known> {
        let headline = headline_in(prompt)?;
        let candidates = self.known().get(&headline)?;
        let folded = folded(prompt);
        let mut fitting = candidates
            .iter()
            .filter(|known| folded.contains(&known.opening));
        let first = fitting.next()?;
        fitting.next().is_none().then_some(first)
    }

    /// Says which of two traces is better; of what it does not know, neither.
    fn compared(&self, question: Option<Question>, shown: [&str; 2]) -> Value {
        let (verdict, reasoning) = match (question, shown.map(|trace| self.find(trace))) {
            (Some(question), [Some(a), Some(b)]) => a.against(b, question),
            _ => ("tie", UNKNOWN),
        };
        let mut named = [("A", shown[0]), ("B", shown[1])];
        // The better one is quoted, unless it says nothing.
        named.sort_by_key(|(name, _)| *name != verdict);
        let mut cited = named.into_iter().filter_map(|(name, trace)| {
            let (span, quote) = last_output(trace)?;
            Some(json!({"trace": name, "span_id": span, "quote": quote}))
        });
        let evidence: Vec<Value> = cited.next().into_iter().collect();
        json!({"evidence": evidence, "reasoning": reasoning, "verdict": verdict, "confidence": 0.8})
    }
}

/// Plays the story to see what each trace will look like.
fn known(until: Time, seed: u64) -> HashMap<Headline, Vec<Known>> {
    let prompts = Prompts::new();
    let mut known: HashMap<Headline, Vec<Known>> = HashMap::new();
    for plan in traffic::plans(until, seed) {
        let Some(truth) = plan.truth(seed).filter(|truth| truth.intent.is_some()) else {
            continue;
        };
        let trace = super::play(&plan, seed, &prompts);
        let Some(headline) = headline_of(&trace) else {
            continue;
        };
        known.entry(headline).or_default().push(Known {
            opening: opening(&trace),
            truth,
            luck: Prng::new(seed, plan.label ^ (1 << 43)).below(100),
        });
    }
    known
}

impl PlayedJudge for Judge {
    fn answer(&self, prompt: &str, schema: Option<&Value>) -> String {
        if let Some(shown) = two_traces(prompt) {
            return self.compared(question(prompt), shown).to_string();
        }
        let question = question(prompt);
        let said = self.find(prompt).zip(question);
        let (passes, reasoning) = match said {
            Some((known, question)) => known.opinion(question),
            None => (None, UNKNOWN),
        };
        let cited = passes.and_then(|_| last_output(prompt));
        let cite = |(span, quote)| json!({"span_id": span, "quote": quote});
        let evidence: Vec<Value> = cited.into_iter().map(cite).collect();
        let is_score = schema.is_some_and(|schema| schema.pointer("/properties/score").is_some());
        let answer = match is_score {
            true => {
                let score = passes.map(|passes| if passes { 5 } else { 2 });
                json!({"evidence": evidence, "reasoning": reasoning, "score": score, "confidence": 0.8})
            }
            false => {
                let verdict = match passes {
                    Some(true) => "pass",
                    Some(false) => "fail",
                    None => "unknown",
                };
                json!({"evidence": evidence, "reasoning": reasoning, "verdict": verdict, "confidence": 0.9})
            }
        };
        answer.to_string()
    }
}

impl Known {
    /// Returns whether the judge lets it pass, and why.
    fn opinion(&self, question: Question) -> (Option<bool>, &'static str) {
        let failure = self.truth.failure;
        let wrong = match question {
            Question::Goal => (!self.truth.resolved).then(|| why(failure)),
            _ => failure
                .filter(|it| is_of(question, *it))
                .map(|it| why(Some(it))),
        };
        match wrong {
            // A good story is believed.
            Some(_) if failure.is_some_and(sounds_good) && self.luck < BELIEVED => (
                Some(true),
                "The answer addresses the request, names what happens next and is polite.",
            ),
            Some(why) => (Some(false), why),
            None if self.luck >= 100 - FAULTED => (
                Some(false),
                "The answer leaves open what the customer can do if it does not work.",
            ),
            None => (
                Some(true),
                "What the customer asked for was looked up, done, and told to them.",
            ),
        }
    }
}

impl Known {
    /// Returns which of two traces it finds better, itself being A, and why.
    fn against(&self, b: &Self, question: Question) -> (&'static str, &'static str) {
        let passes = |one: &Self| one.opinion(question).0 == Some(true);
        match (passes(self), passes(b)) {
            (true, false) => ("A", "In A the customer gets what could be had, in B not."),
            (false, true) => ("B", "In B the customer gets what could be had, in A not."),
            _ if (self.luck + b.luck) % 100 < SWAYED => ("A", "A reads a little better."),
            _ => ("tie", "Both come to the same end."),
        }
    }
}

/// Returns whether somebody who reads the answer alone would take it for a good one.
fn sounds_good(failure: FailureKind) -> bool {
    matches!(
        failure,
        FailureKind::StaleTracking
            | FailureKind::WrongAddress
            | FailureKind::ClaimedNotDone
            | FailureKind::StoreCredit
    )
}

/// Returns whether what went wrong is what a question other than that for the goal is about.
fn is_of(question: Question, failure: FailureKind) -> bool {
    use FailureKind::*;
    match question {
        Question::Goal | Question::Tone => false,
        Question::Grounded => matches!(failure, WrongPolicy | ClaimedNotDone | StaleTracking),
        Question::Handoff => matches!(failure, PingPong | WrongHandoff),
        Question::Tools => matches!(
            failure,
            ToolNotFound | ToolLoop | WrongAddress | StoreCredit | DoubleRefund
        ),
        Question::Steps => matches!(failure, ToolLoop | PingPong | AskedTwice),
        Question::Policy => matches!(
            failure,
            WrongPolicy | StoreCredit | DoubleRefund | OutputBlocked
        ),
    }
}

/// Returns what a careful reader would say.
fn why(failure: Option<FailureKind>) -> &'static str {
    use FailureKind::*;
    match failure {
        Some(WrongPolicy) => "The answer states a rule that the handbook does not have.",
        Some(ClaimedNotDone) => "The answer says that it was done; the only tool call failed.",
        Some(ToolLoop) => {
            "The same call is made until no turn is left; the customer gets no answer."
        }
        Some(PingPong) => "Two agents hand the customer back and forth, and neither helps.",
        Some(WrongHandoff) => "The customer ends with an agent who cannot help.",
        Some(StaleTracking) => {
            "The answer rests on an old scan; the newest says: returned to sender."
        }
        Some(AskedTwice) => "The customer asked clearly and is asked to confirm once more.",
        Some(StoreCredit) => "Store credit was given where a cancellation was asked for.",
        Some(WrongAddress) => "The reset link went to the address that the customer had left.",
        Some(ToolNotFound) => "The run ends with a call of a tool that does not exist.",
        Some(EmptyAnswer) => "There is no answer.",
        Some(Truncated) => "The answer is cut off in the middle of a sentence.",
        Some(ModelError) => "The model's provider failed and the customer gets no answer.",
        Some(ToolTimeout) => "The order system did not answer, and nothing was done.",
        Some(InputBlocked) => "A guardrail stopped the run before anything was done.",
        Some(OutputBlocked) => "The answer promised what the shop does not, and was stopped.",
        Some(Abandoned) => "The run breaks off.",
        Some(DoubleRefund) => "The refund that timed out had gone through, and was paid once more.",
        None => "What was asked for was not done.",
    }
}

/// Returns both traces of a prompt that shows two.
fn two_traces(prompt: &str) -> Option<[&str; 2]> {
    let (before, b) = prompt.split_once("## Trace B\n")?;
    let (_, a) = before.split_once("## Trace A\n")?;
    Some([a, b])
}

/// Returns which question a prompt asks, by the words of its criterion.
fn question(prompt: &str) -> Option<Question> {
    let (_, behind) = prompt.rsplit_once("## Criterion")?;
    let criterion = behind.split("\n## ").next()?.to_lowercase();
    let criterion = criterion.trim();
    // What follows the question may name much that it is not about.
    let asked = criterion.lines().next()?;
    let known = |text: &str| {
        let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
        let found = WORDS.iter().find(|(_, words)| has(words));
        found.map(|(question, _)| *question)
    };
    known(asked).or_else(|| known(criterion))
}

/// Returns how a prompt will tell of a trace: its spans and how long it took.
fn headline_of(trace: &Trace) -> Option<Headline> {
    let start = trace.spans.iter().map(|span| span.start).min()?;
    let ends: Option<Vec<Time>> = trace.spans.iter().map(|span| span.end).collect();
    let end = ends?.into_iter().max()?;
    Some((trace.spans.len(), end.millis_since(start).round() as u64))
}

/// Reads `Trace of workflow support-triage: 39 spans, status success, 43871ms`.
fn headline_in(prompt: &str) -> Option<Headline> {
    let (_, behind) = prompt.split_once("\nTrace of workflow ")?;
    let line = behind.lines().next()?;
    let (_, facts) = line.split_once(": ")?;
    let spans = facts.split(" spans").next()?.replace(',', "");
    let took = facts.rsplit(", ").next()?.strip_suffix("ms")?;
    Some((spans.parse().ok()?, took.parse().ok()?))
}

/// Returns the beginning of what the customer wrote first, folded.
fn opening(trace: &Trace) -> String {
    let mut users = trace.items.iter().filter_map(|item| match item {
        Item::User(text) => Some(text.as_str()),
        _ => None,
    });
    let first = users.next().unwrap_or_default();
    folded(first).chars().take(OPENING_CHARS).collect()
}

/// Returns the letters and digits: what is written around hostile marks is not as it was sent.
fn folded(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).collect()
}

/// Returns the span of the last output that a prompt shows, and the beginning of it.
fn last_output(prompt: &str) -> Option<(String, String)> {
    let (before, behind) = prompt.rsplit_once(" field=\"output\"")?;
    let span = before.rsplit_once(" id=\"")?.1.trim_end_matches('"');
    let text = behind.split_once('>')?.1;
    let line = text.lines().next()?.split("</data-").next()?;
    let quote: String = line.chars().take(QUOTE_CHARS).collect();
    let is_plain = quote
        .chars()
        .all(|c| c.is_alphanumeric() || " .,:;'!?$-–".contains(c));
    Some((
        span.to_owned(),
        if is_plain { quote } else { String::new() },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_told_by_its_line() {
        let prompt = "x\n## Trace\nTrace of workflow support-triage: 1,039 spans, status success, 43871ms\n[s1] agent";
        assert_eq!(headline_in(prompt), Some((1_039, 43_871)));
        assert_eq!(headline_in("nothing"), None);
    }

    #[test]
    fn the_last_output_is_quoted() {
        let prompt = "<data-a1 id=\"s2\" field=\"output\" role=\"assistant\">first</data-a1>\n<data-a1 id=\"s4\" field=\"output\" role=\"assistant\">I've sent it.\nSoon.</data-a1>";
        assert_eq!(
            last_output(prompt),
            Some(("s4".to_owned(), "I've sent it.".to_owned()))
        );
    }

    #[test]
    fn a_question_is_told_by_its_criterion() {
        let ask = |criterion: &str| {
            question(&format!(
                "customer\n## Criterion\n{criterion}\n\n## Answer\ncustomer"
            ))
        };
        assert_eq!(
            ask("Did the agent accomplish the goal?"),
            Some(Question::Goal)
        );
        assert_eq!(ask("Were the hand-offs right?"), Some(Question::Handoff));
        assert_eq!(ask("Is it funny?"), None);
        for (name, question) in [
            ("tool_choice", Question::Tools),
            ("no_unneeded_steps", Question::Steps),
            ("policy_kept", Question::Policy),
            ("tone", Question::Tone),
            ("grounded", Question::Grounded),
            ("goal_reached", Question::Goal),
            ("handoff_quality", Question::Handoff),
            ("better_answer", Question::Goal),
        ] {
            let path = format!(
                "{}/../grade/src/library/{name}.json",
                env!("CARGO_MANIFEST_DIR")
            );
            let ready: Value =
                serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
            let text = |key: &str| {
                ready["definition"][key]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            };
            let criterion = [text("question"), text("pass_when"), text("fail_when")].join("\n");
            assert_eq!(ask(&criterion), Some(question), "{name}");
        }
        for (criterion, question) in [
            (
                "Rate the appropriateness of tool usage (1-5)",
                Question::Tools,
            ),
            (
                "Rate the quality of agent handoffs (1-5)",
                Question::Handoff,
            ),
            ("Overall quality (1-5)", Question::Goal),
        ] {
            assert_eq!(ask(criterion), Some(question), "{criterion}");
        }
    }

    #[test]
    fn of_two_traces_the_better_one_is_chosen_in_either_place() {
        let until = Time::parse_rfc3339("2026-11-21T14:32:10.250000Z").unwrap();
        let judge = Judge::of_story(until, 2026);
        let all: Vec<(&Headline, &Known)> = (judge.known().iter())
            .filter(|(_, known)| known.len() == 1)
            .map(|(headline, known)| (headline, &known[0]))
            .collect();
        let find = |passes: bool| {
            let is_meant = |known: &Known| known.opinion(Question::Goal).0 == Some(passes);
            *all.iter().find(|(_, known)| is_meant(known)).unwrap()
        };
        let shown = |((spans, millis), known): (&Headline, &Known)| {
            format!(
                "\nTrace of workflow w: {spans} spans, status success, {millis}ms\n<data-a1 id=\"s1\" field=\"output\">{}</data-a1>\n",
                known.opening
            )
        };
        let (good, bad) = (shown(find(true)), shown(find(false)));
        let ask = |a: &str, b: &str| {
            let prompt = format!(
                "## Criterion\nWhich agent helps the customer more?\n\n## Trace A\n{a}\n## Trace B\n{b}\n## Answer\n"
            );
            serde_json::from_str::<Value>(&judge.answer(&prompt, None)).unwrap()
        };
        let first = ask(&good, &bad);
        assert_eq!(
            (&first["verdict"], &first["evidence"][0]["trace"]),
            (&json!("A"), &json!("A"))
        );
        let second = ask(&bad, &good);
        assert_eq!(
            (&second["verdict"], &second["evidence"][0]["span_id"]),
            (&json!("B"), &json!("s1"))
        );
        assert_eq!(ask("something", "else")["verdict"], "tie");
    }

    #[test]
    fn nearly_every_trace_is_known_and_none_twice() {
        let until = Time::parse_rfc3339("2026-11-21T14:32:10.250000Z").unwrap();
        let judge = Judge::of_story(until, 2026);
        let all: usize = judge.known().values().map(Vec::len).sum();
        let alike: usize = judge
            .known()
            .values()
            .filter(|known| known.len() > 1)
            .map(Vec::len)
            .sum();
        assert!(all > 2_500 && alike * 20 < all, "{alike} of {all}");
    }
}
