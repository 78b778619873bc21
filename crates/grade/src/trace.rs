//! Graders of traces that need neither a model nor code of somebody's own: rules, detectors and
//! trajectories.
//!
//! A definition is read with all that is wrong with it, and grading is a function of the definition and
//! the trace alone.

use std::collections::BTreeMap;

use insight::rule::{Environment, Rule};
use insight::trajectory::{TrajectoryContext, TrajectoryGrader};
use insight::{Answer, Context, Detector, Detectors, Finding, TraceView};
use model::{Outcome, SpanId, Verdict};
use serde_json::{Map, Value};

/// Types of graders that are known and need more than a trace.
const OF_MODELS_AND_CODE: [&str; 7] = [
    "llm",
    "code",
    "python",
    "score_model",
    "label_model",
    "string_check",
    "text_similarity",
];

/// A grader of traces.
#[derive(Debug)]
pub struct TraceGrader {
    name: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Rule(Box<Rule>),
    Detector(Detector),
    Trajectory(Box<TrajectoryGrader>),
}

/// What is wrong with a definition, each mistake in a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct DefinitionProblems(pub Vec<String>);

impl TraceGrader {
    /// Reads a definition: `{"type":"rule","check":…}`, `{"type":"detector","detector":"D05"}` or
    /// `{"type":"trajectory","metric":…}`, each with a `name` if it has one.
    pub fn parse(definition: &Value) -> Result<Self, DefinitionProblems> {
        let one = |problem: String| DefinitionProblems(vec![problem]);
        let Value::Object(fields) = definition else {
            return Err(one("a grader is an object with a `type`".to_owned()));
        };
        let mut fields = fields.clone();
        let name = match fields.remove("name") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) if !name.is_empty() => Some(name),
            Some(_) => return Err(one("`name` is a text that is not empty".to_owned())),
        };
        let kind = match fields.get("type").and_then(Value::as_str) {
            Some("rule") => Kind::Rule(Box::new(rule(&fields)?)),
            Some("detector") => Kind::Detector(detector(&fields)?),
            Some("trajectory") => {
                let parsed = TrajectoryGrader::parse(&Value::Object(fields));
                let parsed = parsed.map_err(|problems| one(problems.to_string()))?;
                Kind::Trajectory(Box::new(parsed))
            }
            Some(word) if OF_MODELS_AND_CODE.contains(&word) => {
                return Err(one(format!(
                    "a grader of the type `{word}` cannot be tried on traces: rule, detector and trajectory can"
                )));
            }
            _ => {
                return Err(one("`type` is rule, detector or trajectory".to_owned()));
            }
        };
        let name = name.unwrap_or_else(|| kind.as_str().to_owned());
        Ok(Self { name, kind })
    }

    /// Returns its name: its type if nobody gave one.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the word for its type.
    pub fn kind(&self) -> &'static str {
        self.kind.as_str()
    }

    /// Grades a trace.
    pub fn grade(&self, view: &TraceView, context: &Context) -> Verdict {
        match &self.kind {
            Kind::Rule(rule) => {
                let needs = rule.needs().detectors.iter();
                let asked = needs.filter_map(|id| id.parse::<Detector>().ok());
                rule.grade(view, &Detected::of(asked, view, context)).into()
            }
            Kind::Detector(detector) => {
                let findings = Detectors::only([*detector]).run(view, context);
                findings.into_iter().next().map_or_else(
                    || Verdict::new(Outcome::NotApplicable),
                    |finding| verdict(finding.answer),
                )
            }
            Kind::Trajectory(grader) => {
                grader.grade(view, &TrajectoryContext::new(&context.effects))
            }
        }
    }
}

impl Kind {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Rule(_) => "rule",
            Self::Detector(_) => "detector",
            Self::Trajectory(_) => "trajectory",
        }
    }
}

fn rule(fields: &Map<String, Value>) -> Result<Rule, DefinitionProblems> {
    let mut problems = unknown(fields, &["type", "check", "strict"]);
    let strict = match fields.get("strict") {
        None => false,
        Some(Value::Bool(strict)) => *strict,
        Some(_) => {
            problems.push("`strict` is true or false".to_owned());
            false
        }
    };
    let rule = match fields.get("check") {
        Some(Value::String(source)) => Rule::parse(source).map_err(|wrong| {
            problems.push(format!("`check` cannot be understood:\n{wrong}"));
        }),
        _ => {
            problems.push("a rule needs a `check`, such as \"tool_errors == 0\"".to_owned());
            Err(())
        }
    };
    match rule {
        Ok(rule) if problems.is_empty() => Ok(rule.strict(strict)),
        _ => Err(DefinitionProblems(problems)),
    }
}

fn detector(fields: &Map<String, Value>) -> Result<Detector, DefinitionProblems> {
    let mut problems = unknown(fields, &["type", "detector"]);
    let word = fields.get("detector").and_then(Value::as_str);
    let detector = word.unwrap_or_default().parse::<Detector>();
    match detector {
        Ok(detector) if problems.is_empty() => return Ok(detector),
        Ok(_) => {}
        Err(unknown) => problems.push(format!("`detector`: {unknown}")),
    }
    Err(DefinitionProblems(problems))
}

fn unknown(fields: &Map<String, Value>, known: &[&str]) -> Vec<String> {
    let unknown = fields.keys().filter(|key| !known.contains(&key.as_str()));
    let told =
        unknown.map(|key| format!("unknown field `{key}`; known: name, {}", known.join(", ")));
    told.collect()
}

/// Returns what a detector's answer means as a grade.
fn verdict(answer: Answer) -> Verdict {
    match answer {
        Answer::Clear => Verdict::new(Outcome::Pass),
        Answer::NotApplicable(lacking) => Verdict {
            reasoning: Some(lacking.to_owned()),
            ..Verdict::new(Outcome::NotApplicable)
        },
        Answer::Muted => Verdict {
            reasoning: Some("the workflow does not want to hear of it".to_owned()),
            ..Verdict::new(Outcome::NotApplicable)
        },
        Answer::Hits(hits) => Verdict {
            reasoning: hits.first().map(|hit| hit.evidence.clone()),
            citations: hits.into_iter().flat_map(|hit| hit.spans).collect(),
            ..Verdict::new(Outcome::Fail)
        },
    }
}

/// What detectors found in a trace, for the rule that asks.
struct Detected(BTreeMap<String, Finding>);

impl Detected {
    fn of(asked: impl Iterator<Item = Detector>, view: &TraceView, context: &Context) -> Self {
        let found = Detectors::only(asked).run(view, context).into_iter();
        Self(
            found
                .map(|finding| (finding.detector.as_str().to_owned(), finding))
                .collect(),
        )
    }

    fn finding(&self, id: &str) -> Option<&Finding> {
        self.0.get(&id.to_ascii_uppercase())
    }
}

impl Environment for Detected {
    fn detector(&self, id: &str) -> Option<bool> {
        self.finding(id)?.fired()
    }

    fn detector_spans(&self, id: &str) -> Vec<SpanId> {
        let hits = self.finding(id).map(Finding::hits).unwrap_or_default();
        hits.iter().flat_map(|hit| hit.spans.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use insight::{ToldSpan, ToldTrace};
    use model::{
        Received, Source, Span, SpanStatus, SpanType, Time, TraceId, TraceItem, TraceStatus, derive,
    };
    use serde_json::json;

    /// Two calls of a tool, the second of which failed.
    fn view() -> TraceView {
        let call = |id: &str, status| {
            let trace = TraceId::new("t").unwrap();
            let id = SpanId::new(id).unwrap();
            let mut span = Span::new(trace, id, SpanType::Function, Source::Openai);
            span.name = "pay".to_owned();
            span.status = status;
            span.started_at = Some(Time::from_micros(1_000));
            span.ended_at = Some(Time::from_micros(2_000));
            ToldSpan::silent(span)
        };
        let spans = vec![call("a", SpanStatus::Success), call("b", SpanStatus::Error)];
        let at = Time::from_micros(0);
        let received = Received {
            first_received_at: at,
            last_received_at: at,
            first_seq: 1,
            seq: 1,
        };
        let item = TraceItem::new(TraceId::new("t").unwrap(), Source::Openai);
        let rows: Vec<&Span> = spans.iter().map(|told| &told.span).collect();
        TraceView::of(ToldTrace {
            row: derive(&item, &rows, received),
            status: TraceStatus::Success,
            horizon: at,
            spans,
            reference: None,
        })
    }

    #[test]
    fn each_type_grades() {
        let check = |definition: Value, outcome: Outcome, citations: &[&str]| {
            let grader = TraceGrader::parse(&definition).unwrap();
            let told = grader.grade(&view(), &Context::default());
            let cited: Vec<_> = told.citations.iter().map(SpanId::as_str).collect();
            assert_eq!(
                (told.outcome, &*cited),
                (outcome, citations),
                "{definition}"
            );
        };
        let rule = |check: &str| json!({"type": "rule", "check": check});
        check(rule("calls(\"pay\").size() == 2"), Outcome::Pass, &[]);
        check(
            rule("calls(\"pay\").all(s, s.status == \"success\")"),
            Outcome::Fail,
            &["b"],
        );
        check(rule("!detector(\"D26\")"), Outcome::Pass, &[]);
        check(
            json!({"type": "detector", "detector": "d26"}),
            Outcome::Pass,
            &[],
        );
        let trajectory = json!({"type": "trajectory", "metric": "step_efficiency"});
        let grader = TraceGrader::parse(&trajectory).unwrap();
        assert_eq!((grader.name(), grader.kind()), ("trajectory", "trajectory"));
        assert_ne!(
            grader.grade(&view(), &Context::default()).outcome,
            Outcome::Unscored
        );
    }

    #[test]
    fn every_mistake_is_told() {
        let check = |definition: Value, wanted: &[&str]| {
            let problems = TraceGrader::parse(&definition).unwrap_err().to_string();
            for words in wanted {
                assert!(problems.contains(words), "{words}: {problems}");
            }
        };
        check(json!(3), &["an object"]);
        check(json!({}), &["`type` is rule, detector or trajectory"]);
        check(
            json!({"type": "rule", "check": "duration_m < 5", "strict": 1, "x": 2}),
            &["unknown field `x`", "`strict` is true", "duration_ms"],
        );
        check(json!({"type": "rule"}), &["needs a `check`"]);
        check(json!({"type": "detector", "detector": "D99"}), &["D99"]);
        check(
            json!({"type": "llm", "criteria": "good"}),
            &["`llm` cannot be tried"],
        );
        check(
            json!({"type": "rule", "check": "true", "name": ""}),
            &["`name`"],
        );
    }
}
