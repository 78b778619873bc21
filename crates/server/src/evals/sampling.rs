//! Asking the model under test: what runs with `model` and `input_messages` do before they grade.

use grade::openai::{Model, ModelAnswer, ModelError, ModelRequest, Prompt, Subject};
use serde_json::{Map, Value, json};

use super::criteria::refused;
use super::source::DataSource;
use crate::error::ApiError;

/// How the model under test is asked.
#[derive(Debug)]
pub(super) struct Sampling {
    model: String,
    prompt: Prompt,
    /// Parameters of Chat Completions.
    params: Map<String, Value>,
}

/// An answer of the model under test.
#[derive(Debug)]
pub(super) struct Sampled {
    /// What templates see as `sample`.
    pub(super) namespace: Value,
    /// What the output item shows of it.
    pub(super) shown: Value,
    pub(super) answer: ModelAnswer,
}

/// Why there is no answer to grade.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(super) enum SamplingError {
    /// The prompt names what the row does not have.
    #[error("{0}")]
    Prompt(String),
    /// The model gave no answer.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The model refused to answer, which is paid for as an answer is.
    #[error("the model refused: {}", .0.refusal.as_deref().unwrap_or_default())]
    Refusal(Box<ModelAnswer>),
}

impl SamplingError {
    /// Returns what the model said instead of an answer.
    pub(super) fn answer(&self) -> Option<&ModelAnswer> {
        match self {
            Self::Refusal(answer) => Some(answer),
            Self::Prompt(_) | Self::Model(_) => None,
        }
    }
}

impl Sampling {
    /// Returns how the model under test is asked; none, if a run grades answers that are there already.
    pub(super) fn of(source: &DataSource) -> Result<Option<Self>, ApiError> {
        let missing = |field: &str, other: &str| {
            let message =
                format!("it is missing: {other} is given, and a model is asked with both");
            Err(ApiError::invalid(format!("data_source.{field}"), message))
        };
        let (model, input) = match (source.kind.as_str(), &source.model, &source.input_messages) {
            (_, None, None) => return Ok(None),
            (kind @ ("jsonl" | "traces"), ..) => {
                let message = format!(
                    "a {kind} source samples nothing: send a source of type completions or responses"
                );
                return Err(ApiError::invalid("data_source.type", message));
            }
            (_, Some(_), None) => return missing("input_messages", "model"),
            (_, None, Some(_)) => return missing("model", "input_messages"),
            (_, Some(model), Some(input)) => (model, input),
        };
        let prompt = Prompt::parse(input)
            .map_err(|problems| refused("data_source.input_messages", &problems))?;
        let params = match &source.sampling_params {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(sent)) => chat_params(sent)?,
            Some(_) => {
                let message = "it is not an object";
                return Err(ApiError::invalid("data_source.sampling_params", message));
            }
        };
        Ok(Some(Self {
            model: model.clone(),
            prompt,
            params,
        }))
    }

    /// Asks the model for its answer to a row.
    pub(super) async fn ask(
        &self,
        item: &Value,
        model: &dyn Model,
    ) -> Result<Sampled, SamplingError> {
        let subject = Subject {
            item,
            sample: &Value::Null,
        };
        let messages = self.prompt.render(subject).map_err(SamplingError::Prompt)?;
        let request = ModelRequest {
            model: self.model.clone(),
            messages,
            params: Value::Object(self.params.clone()),
            schema: None,
        };
        let answer = model.ask(&request).await?;
        if answer.refusal.is_some() {
            return Err(SamplingError::Refusal(Box::new(answer)));
        }
        Ok(Sampled {
            namespace: self.namespace(&answer),
            shown: self.shown(request.messages, &answer),
            answer,
        })
    }

    fn namespace(&self, answer: &ModelAnswer) -> Value {
        let mut sample = json!({
            "output_text": answer.text,
            "output_tools": calls(answer),
            "choices": [{"index": 0, "message": message(answer), "finish_reason": answer.finish_reason}],
        });
        let format = self.params.get("response_format");
        let is_json = format.is_some_and(|format| format["type"] != "text");
        if let (true, Ok(json)) = (is_json, serde_json::from_str(&answer.text)) {
            sample["output_json"] = json;
        }
        sample
    }

    fn shown(&self, input: Vec<Value>, answer: &ModelAnswer) -> Value {
        let param = |name: &str| self.params.get(name).cloned().unwrap_or(Value::Null);
        json!({
            "input": input,
            "output": [message(answer)],
            "finish_reason": answer.finish_reason,
            "model": answer.model,
            "usage": answer.usage.to_json(),
            "error": null,
            "temperature": param("temperature"),
            "max_completion_tokens": param("max_completion_tokens"),
            "top_p": param("top_p"),
            "seed": param("seed"),
        })
    }
}

/// Returns what an output item shows of an answer that came with its row.
pub(super) fn shown_given(given: &Value) -> Value {
    let mut message = json!({
        "role": "assistant",
        "content": given.get("output_text").cloned().unwrap_or_default(),
    });
    if let Some(calls) = given.get("output_tools").filter(|calls| !calls.is_null()) {
        message["tool_calls"] = calls.clone();
    }
    let field = |name: &str| given.get(name).cloned().unwrap_or_default();
    json!({
        "input": given.get("input").filter(|input| input.is_array()).cloned().unwrap_or(json!([])),
        "output": [message],
        "finish_reason": field("finish_reason"),
        "model": field("model"),
        "usage": field("usage"),
        "error": null,
        "temperature": null,
        "max_completion_tokens": null,
        "top_p": null,
        "seed": null,
    })
}

/// Returns what an output item shows of an answer that never came.
pub(super) fn shown_error(error: &SamplingError) -> Value {
    let code = match error {
        SamplingError::Prompt(_) => "invalid_variable",
        SamplingError::Model(ModelError::Unavailable(_)) => "model_unavailable",
        SamplingError::Model(
            ModelError::Refused(_) | ModelError::TooLong(_) | ModelError::Filtered(_),
        ) => "model_refused_request",
        SamplingError::Model(ModelError::Absent) => "model_not_configured",
        SamplingError::Refusal(_) => "model_refusal",
    };
    json!({"input": [], "output": [], "error": {"code": code, "message": error.to_string()}})
}

fn calls(answer: &ModelAnswer) -> Value {
    match &answer.tool_calls {
        Value::Null => json!([]),
        calls => calls.clone(),
    }
}

fn message(answer: &ModelAnswer) -> Value {
    let mut message = json!({"role": "assistant", "content": answer.text});
    if let Value::Array(calls) = &answer.tool_calls
        && !calls.is_empty()
    {
        message["tool_calls"] = answer.tool_calls.clone();
    }
    message
}

/// Returns `sampling_params` of either data source in the words of Chat Completions.
fn chat_params(sent: &Map<String, Value>) -> Result<Map<String, Value>, ApiError> {
    let mut params = Map::new();
    for (name, value) in sent.iter().filter(|(_, value)| !value.is_null()) {
        match name.as_str() {
            "temperature" | "top_p" | "seed" | "reasoning_effort" | "response_format" => {
                params.insert(name.clone(), value.clone());
            }
            // Examples of the API use either spelling.
            "max_completion_tokens" | "max_completions_tokens" => {
                params.insert("max_completion_tokens".to_owned(), value.clone());
            }
            "tools" => {
                let tools = value.as_array().map(Vec::as_slice).unwrap_or_default();
                let tools: Vec<Value> = tools.iter().map(chat_tool).collect();
                if !tools.is_empty() {
                    params.insert(name.clone(), Value::Array(tools));
                }
            }
            "text" => {
                if let Some(format) = value.get("format") {
                    params.insert("response_format".to_owned(), chat_format(format));
                }
            }
            other => {
                let other: String = other.chars().take(64).collect();
                let param = format!("data_source.sampling_params.{other}");
                return Err(ApiError::invalid(param, "there is no such parameter"));
            }
        }
    }
    Ok(params)
}

/// A function of the Responses API has its fields beside `type`, one of Chat Completions below `function`.
fn chat_tool(tool: &Value) -> Value {
    match tool {
        Value::Object(fields) if !fields.contains_key("function") && tool["type"] == "function" => {
            let mut function = fields.clone();
            function.shift_remove("type");
            json!({"type": "function", "function": function})
        }
        tool => tool.clone(),
    }
}

/// So has a schema.
fn chat_format(format: &Value) -> Value {
    match format {
        Value::Object(fields)
            if !fields.contains_key("json_schema") && format["type"] == "json_schema" =>
        {
            let mut schema = fields.clone();
            schema.shift_remove("type");
            json!({"type": "json_schema", "json_schema": schema})
        }
        format => format.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_apis_parameters_become_those_of_chat_completions() {
        let check = |sent: Value, want: Result<Value, &str>| {
            let got = chat_params(sent.as_object().unwrap());
            match (got, want) {
                (Ok(got), Ok(want)) => assert_eq!(Value::Object(got), want, "{sent}"),
                (Err(got), Err(want)) => assert!(format!("{got:?}").contains(want), "{got:?}"),
                (got, _) => panic!("{sent}: {got:?}"),
            }
        };
        check(
            json!({"temperature": 0.1, "max_completions_tokens": 10, "seed": null, "tools": []}),
            Ok(json!({"temperature": 0.1, "max_completion_tokens": 10})),
        );
        check(
            json!({"text": {"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": true}},
                   "tools": [{"type": "function", "name": "f", "parameters": {}}]}),
            Ok(json!({
                "response_format": {"type": "json_schema",
                                    "json_schema": {"name": "n", "schema": {}, "strict": true}},
                "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]})),
        );
        let chat = json!({"response_format": {"type": "json_object"},
                          "tools": [{"type": "function", "function": {"name": "f"}}]});
        check(chat.clone(), Ok(chat));
        check(json!({"top_k": 1}), Err("sampling_params.top_k"));
    }
}
