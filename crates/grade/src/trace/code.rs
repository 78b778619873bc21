//! Graders in Python: `grade(trace)`, and OpenAI's `grade(sample, item)`.
//!
//! `trace` is a dict: the facts of the trace (`id`, `workflow_name`, `status`, `error`, `duration_ms`,
//! `tool_call_count`, …, as the API's JSON has them), what it used (`usage`), what the user said first and the
//! last answer (`input`, `output`), and lists in start order: `spans` (each with `id`, `type`, `name`,
//! `agent`, `status`, `input`, `output`, …), `tools` (`name`, `arguments`, `output`, `error`), `handoffs`,
//! `guardrails`, `errors`; `reference` is the case that the trace is held against, if there is one. `item` of
//! OpenAI's form holds the same under `item["trace"]`, `item["spans"]` and so on.
//!
//! What comes back is a number, a truth value, or a dict with `score`, `passed` or `label`, and if it likes
//! `reason` and `spans` (ids). Code that fails, is stopped, or answers what it did not promise gives no
//! verdict: a crash of the grader says nothing about the trace.

use insight::render::resolve;
use insight::template;
use model::{Outcome, UnscoredReason, Verdict};
use serde_json::{Map, Value, json};

use super::Subject;
use super::scales;
use super::subject::{Graded, Services};
use crate::openai::problems::{Fields, kind_of};
use crate::openai::{PythonError, Subject as Row};
use crate::sandbox;
use crate::scale::GraderScale;

/// The longest source in bytes.
const SOURCE_BYTES_MAX: usize = 256_000;

/// From which number on code passes that does not say.
const PASS_THRESHOLD_DEFAULT: f64 = 0.5;

/// A grader in Python.
#[derive(Debug)]
pub(super) struct CodeGrader {
    source: String,
    entry: Entry,
    scale: GraderScale,
}

/// How its function is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Trace,
    SampleItem,
}

impl Entry {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "grade(trace)",
            Self::SampleItem => "grade(sample, item)",
        }
    }

    /// Returns the form that a source defines, by the number of parameters of its `grade`.
    fn of_source(source: &str) -> Option<Self> {
        let after = source.split("def grade").nth(1)?;
        let parameters = after.trim_start().strip_prefix('(')?;
        let parameters = parameters.split_once(')')?.0.split(',');
        match parameters.filter(|it| !it.trim().is_empty()).count() {
            1 => Some(Self::Trace),
            2 => Some(Self::SampleItem),
            _ => None,
        }
    }
}

impl CodeGrader {
    /// Reads one, of the type `code` or `python`: the types differ in nothing but what is assumed of a
    /// source whose function cannot be found by looking at it.
    pub(super) fn parse(fields: &mut Fields<'_, '_>, default_is_trace: bool) -> Option<Self> {
        fields.only(&[
            "type",
            "name",
            "source",
            "entry",
            "range",
            "integer",
            "pass_threshold",
            "labels",
            "passing_labels",
            "image_tag",
            "scale",
        ]);
        let help = "write a module that holds `def grade(trace)`";
        let source = fields.text("source", help);
        if let Some(source) = source {
            if source.len() > SOURCE_BYTES_MAX {
                let message = format!("is {} bytes long", source.len());
                fields.note("source", message, "keep it under 256 kB");
            } else if !source.contains("grade") {
                fields.note("source", "has no function `grade`", help);
            }
        }
        if let Some(tag) = fields.get("image_tag").filter(|tag| !tag.is_string()) {
            let message = format!("is {}", kind_of(tag));
            fields.note("image_tag", message, "leave it out: it means nothing here");
        }
        let found = Entry::of_source(source.unwrap_or_default());
        let assumed = match default_is_trace {
            true => Entry::Trace,
            false => Entry::SampleItem,
        };
        let entry = entry(fields, found.unwrap_or(assumed));
        let scale = scales::of_code(fields, Some(PASS_THRESHOLD_DEFAULT));
        Some(Self {
            source: source?.to_owned(),
            entry: entry?,
            scale: scale?,
        })
    }

    pub(super) fn definition(&self) -> Map<String, Value> {
        let mut definition = Map::new();
        definition.insert("source".into(), self.source.as_str().into());
        definition.insert("entry".into(), self.entry.as_str().into());
        scales::write(&self.scale, &mut definition);
        definition
    }

    pub(super) fn source(&self) -> &str {
        &self.source
    }

    pub(super) fn scale(&self) -> &GraderScale {
        &self.scale
    }

    pub(super) async fn grade(&self, subject: &Subject<'_>, services: &Services<'_>) -> Graded {
        let Some(python) = services.python else {
            let why = "no sandbox for Python is configured";
            return Graded::of(Verdict::unscored(UnscoredReason::Sandbox, why));
        };
        let told = match self.entry {
            Entry::Trace => {
                let trace = trace_of(subject);
                python.grade_trace(&self.source, &trace).await
            }
            Entry::SampleItem => {
                let item = template::item(subject.view);
                let sample = template::sample(subject.view);
                let row = Row {
                    item: &item,
                    sample: &sample,
                };
                let score = python.grade(&self.source, row).await;
                score.map(|score| sandbox::Verdict {
                    score: Some(score),
                    ..sandbox::Verdict::default()
                })
            }
        };
        Graded::of(match told {
            Ok(told) => self.verdict(subject, told),
            Err(error) => Verdict::unscored(reason_of(&error), error.to_string()),
        })
    }

    /// Returns what the answer of the code means.
    fn verdict(&self, subject: &Subject<'_>, told: sandbox::Verdict) -> Verdict {
        let passed = match self.outcome(&told) {
            Ok(passed) => passed,
            Err(why) => return Verdict::unscored(UnscoredReason::Code, why),
        };
        let cited = told.citations.iter();
        Verdict {
            score: told.score.filter(|_| self.scale.is_numeric()),
            label: told.label,
            reasoning: told.reasoning,
            citations: cited
                .filter_map(|name| resolve(subject.view, name).cloned())
                .collect(),
            ..Verdict::new(match passed {
                Some(true) => Outcome::Pass,
                Some(false) => Outcome::Fail,
                None => Outcome::Value,
            })
        }
    }

    /// Returns whether it passes; none where it is neither good nor bad; or what is wrong with it.
    fn outcome(&self, told: &sandbox::Verdict) -> Result<Option<bool>, String> {
        match &self.scale {
            GraderScale::Labels { labels, passing } => {
                let label = told.label.as_ref().ok_or("`grade` returned no label")?;
                if !labels.is_empty() && !labels.contains(label) {
                    return Err(format!(
                        "`grade` returned {label:?}, which is no label of it"
                    ));
                }
                let decides = !passing.is_empty();
                Ok(told.passed.or(decides.then(|| passing.contains(label))))
            }
            GraderScale::PassFail => {
                let of_score = told.score.map(|score| score >= PASS_THRESHOLD_DEFAULT);
                Ok(told.passed.or(of_score))
            }
            GraderScale::Number {
                low,
                high,
                pass_threshold,
            } => {
                let Some(score) = told.score else {
                    return Ok(told.passed);
                };
                let is_inside =
                    low.is_none_or(|low| low <= score) && high.is_none_or(|high| score <= high);
                if !is_inside {
                    return Err(format!(
                        "`grade` returned {score}, which is not in its range"
                    ));
                }
                Ok(told.passed.or(pass_threshold.map(|least| score >= least)))
            }
        }
    }
}

fn entry(fields: &mut Fields<'_, '_>, found: Entry) -> Option<Entry> {
    let help = "write \"grade(trace)\" or \"grade(sample, item)\", or leave it out";
    match fields.words("entry", help)? {
        None => Some(found),
        Some("grade(trace)") => Some(Entry::Trace),
        Some("grade(sample, item)") => Some(Entry::SampleItem),
        Some(other) => {
            fields.note("entry", format!("is {other:?}"), help);
            None
        }
    }
}

/// Returns the trace as code is given it.
fn trace_of(subject: &Subject<'_>) -> Value {
    let mut trace = template::item(subject.view);
    let facts = trace
        .as_object_mut()
        .and_then(|item| item.shift_remove("trace"));
    let mut whole = match facts {
        Some(Value::Object(facts)) => facts,
        _ => Map::new(),
    };
    if let Value::Object(item) = trace {
        whole.extend(item);
    }
    json!(whole)
}

/// Returns why there is no verdict.
fn reason_of(error: &PythonError) -> UnscoredReason {
    match error {
        PythonError::Runtime(_) => UnscoredReason::Code,
        PythonError::Stopped(_) | PythonError::Absent(_) => UnscoredReason::Sandbox,
    }
}
