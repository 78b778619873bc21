//! How a model is asked for a verdict, and how its answer is read.
//!
//! It is asked for an object of `steps` and `result`, the reasoning first, by structured output. Not
//! every provider keeps to a schema: then the last object with a `result` in the answer counts, never an
//! earlier one, for a model thinks aloud before it decides.

use serde_json::{Map, Value, json};

use super::held::Held;
use super::messages::{self, Message};
use super::problems::{Fields, kind_of};
use super::report::{Fault, GraderCall, GraderReport, Step};
use super::{ModelAnswer, ModelError, ModelRequest, Services};

/// The prompt of a model grader and who is asked.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Judge {
    model: String,
    input: Vec<Message>,
    params: Map<String, Value>,
}

/// What a model said.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Verdict {
    /// Its `result`.
    pub(super) result: Value,
    steps: Vec<Step>,
}

impl Judge {
    /// Reads `model`, `input` and `sampling_params`.
    pub(super) fn parse(fields: &mut Fields<'_, '_>) -> Option<Self> {
        let model = fields.text("model", "write the name of a model");
        let input = messages::parse(fields);
        let params = params(fields, model.unwrap_or_default());
        Some(Self {
            model: model?.to_owned(),
            input: input?,
            params: params?,
        })
    }

    /// Asks the model; what it cost and said is put into the report, whatever comes of it.
    pub(super) async fn ask(
        &self,
        schema: (String, Value),
        held: Held<'_>,
        services: &Services<'_>,
        report: &mut GraderReport,
    ) -> Result<Verdict, Fault> {
        let request = ModelRequest {
            model: self.model.clone(),
            messages: messages::render(&self.input, held)?,
            params: Value::Object(self.params.clone()),
            schema: Some(schema),
        };
        let answer = match services.model {
            Some(model) => model.ask(&request).await,
            None => Err(ModelError::Absent),
        };
        let answer = answer.map_err(|error| Fault::ModelServer(error.to_string()))?;
        note_call(request, &answer, report);
        if let Some(refusal) = answer.refusal {
            return Err(Fault::Refusal(refusal));
        }
        if answer.finish_reason.as_deref() == Some("content_filter") {
            return Err(Fault::Refusal("a content filter stopped the answer".into()));
        }
        let verdict = Verdict::read(&answer.text).ok_or_else(|| {
            Fault::ModelAnswer(match answer.finish_reason.as_deref() {
                Some("length") => "the model's answer was cut off before its result".into(),
                _ => "the model's answer holds no `result`".into(),
            })
        })?;
        report.steps.clone_from(&verdict.steps);
        Ok(verdict)
    }
}

/// Puts what a call cost and said into the report.
fn note_call(request: ModelRequest, answer: &ModelAnswer, report: &mut GraderReport) {
    report.add_usage(&answer.model, answer.usage);
    report.sampled_model_name = Some(answer.model.clone());
    report.call = Some(GraderCall {
        input: request.messages,
        params: request.params,
        output: match &answer.refusal {
            Some(refusal) if answer.text.is_empty() => refusal.clone(),
            _ => answer.text.clone(),
        },
        model: answer.model.clone(),
        finish_reason: answer.finish_reason.clone(),
        usage: answer.usage,
    });
}

impl Verdict {
    /// Returns the schema of an answer with this `result`.
    pub(super) fn schema(result: Value) -> Value {
        json!({
            "type": "object",
            "properties": {
                "steps": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "description": {"type": "string"},
                            "conclusion": {"type": "string"},
                        },
                        "required": ["description", "conclusion"],
                        "additionalProperties": false,
                    },
                },
                "result": result,
            },
            "required": ["steps", "result"],
            "additionalProperties": false,
        })
    }

    /// Reads an answer: an object with a `result`, wherever it stands, or a bare number.
    fn read(text: &str) -> Option<Self> {
        let mut object = match serde_json::from_str(text.trim()) {
            Ok(Value::Object(object)) => object,
            Ok(result @ Value::Number(_)) => {
                let steps = Vec::new();
                return Some(Self { result, steps });
            }
            _ => last_object_with_result(text)?,
        };
        let steps = object.get("steps").and_then(Value::as_array);
        let steps = steps.into_iter().flatten().map(step).collect();
        let result = object.remove("result")?;
        Some(Self { result, steps })
    }
}

/// Returns a step, as much of it as there is.
fn step(value: &Value) -> Step {
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
    Step {
        description: text("description").to_owned(),
        conclusion: text("conclusion").to_owned(),
    }
}

/// Returns the last object in a text that has a `result` and stands in no other object, not even in one
/// that was cut off.
fn last_object_with_result(text: &str) -> Option<Map<String, Value>> {
    let mut last = None;
    let mut rest = text;
    while let Some(start) = rest.find('{') {
        rest = &rest[start..];
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        let skipped = match values.next() {
            Some(Ok(Value::Object(object))) => {
                if object.contains_key("result") {
                    last = Some(object);
                }
                values.byte_offset()
            }
            Some(Err(error)) if error.is_eof() => break,
            _ => 1,
        };
        rest = &rest[skipped..];
    }
    last
}

/// Reads `sampling_params` into those of Chat Completions.
///
/// Models that reason take no temperature but the default 1, and others no effort: a definition that
/// asks for it is refused here and not by the provider in the middle of a run.
pub(crate) fn params(fields: &mut Fields<'_, '_>, model: &str) -> Option<Map<String, Value>> {
    let Some(value) = fields.get("sampling_params") else {
        return Some(Map::new());
    };
    let path = fields.path_of("sampling_params");
    let mut fields = Fields::of(value, &path, fields.problems)?;
    let before = fields.problems.list().len();
    let mut params = Map::new();
    for (key, asked) in [
        ("temperature", "temperature"),
        ("top_p", "top_p"),
        ("seed", "seed"),
        // the graders' schema has an s too many; both spellings come
        ("max_completions_tokens", "max_completion_tokens"),
        ("max_completion_tokens", "max_completion_tokens"),
        ("reasoning_effort", "reasoning_effort"),
    ] {
        let Some(value) = fields.get(key) else {
            continue;
        };
        match fitting(asked, value, reasoning(model)) {
            Ok(true) => drop(params.insert(asked.to_owned(), value.clone())),
            Ok(false) => {}
            Err((message, help)) => fields.note(key, message, help),
        }
    }
    (fields.problems.list().len() == before).then_some(params)
}

/// Returns whether a parameter is sent, or what is wrong with it and what would be right.
fn fitting(
    key: &str,
    value: &Value,
    reasoning: Option<bool>,
) -> Result<bool, (String, &'static str)> {
    let is = || format!("is {}", kind_of(value));
    match key {
        "reasoning_effort" => match value.as_str() {
            None => Err((is(), "write a text such as `low`, `medium` or `high`")),
            Some(_) if reasoning == Some(false) => {
                let message = "is for models that reason, and this one does not";
                Err((message.to_owned(), "leave it out"))
            }
            Some(_) => Ok(true),
        },
        "temperature" | "top_p" => match value.as_f64() {
            None => Err((is(), "write a number")),
            Some(1.0) if reasoning == Some(true) => Ok(false),
            Some(_) if reasoning == Some(true) => {
                let message = "is not taken by models that reason";
                Err((message.to_owned(), "leave it out"))
            }
            Some(_) => Ok(true),
        },
        "seed" if value.is_i64() || value.is_u64() => Ok(true),
        "max_completion_tokens" if value.as_u64().is_some_and(|tokens| tokens > 0) => Ok(true),
        "max_completion_tokens" => Err((format!("is {value}"), "write a whole number above 0")),
        _ => Err((is(), "write a whole number")),
    }
}

/// Returns whether a model of OpenAI's reasons; unknown for others, and for those that may or may not.
fn reasoning(model: &str) -> Option<bool> {
    let family = |names: &[&str]| {
        names.iter().any(|name| {
            (model.strip_prefix(name)).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        })
    };
    if family(&[
        "gpt-5-chat",
        "gpt-3.5",
        "gpt-3.5-turbo",
        "gpt-4",
        "gpt-4o",
        "gpt-4.1",
        "gpt-audio",
    ]) {
        Some(false)
    } else if family(&["o1", "o3", "o4", "gpt-5"]) {
        Some(true)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_last_verdict_is_found_in_any_talk(
            before in "[^{}]{0,20}",
            earlier in proptest::option::of(0_i32..9),
            between in r#"[^{}]{0,20}"#,
            result in 10_i32..20,
            behind in "[^{}]{0,20}",
        ) {
            let earlier = earlier.map(|n| json!({"result": n}).to_string()).unwrap_or_default();
            let verdict = json!({"steps": [{"description": "{", "conclusion": "}"}], "result": result});
            let text = format!("{before}{earlier}{between}{verdict}{behind}");
            let read = Verdict::read(&text).unwrap();
            prop_assert_eq!(read.result, json!(result));
            prop_assert_eq!(read.steps.len(), 1);
        }

        #[test]
        fn no_answer_makes_it_panic(text in r#"[{}\[\]":,0-9 a-cé\\result]{0,60}"#) {
            drop(Verdict::read(&text));
        }
    }
}
