//! Rows made of what was recorded: sources of the types `stored_completions` and `responses`.
//!
//! OpenAI's own store is gone with its API; ours is what the traces hold. A row is one call of a model that
//! ended well: `item.input` is what it was asked, as Chat Completions has it, and `sample` what it answered.

use std::collections::BTreeMap;

use model::{ChatMessage, JsonText, Part, Time, TraceFilter};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use store::meta::NewItem;

use crate::error::ApiError;
use crate::read::{CallsAsked, RecordedCall};

/// Calls of a run if nobody says how many.
const CALLS_DEFAULT: usize = 1_000;

/// The most calls of a run.
const CALLS_MAX: usize = 10_000;

/// A call is found in a trace that began so long before it at most.
const TRACE_SECONDS_MAX: i64 = 86_400;

/// Which recorded calls a run grades, as OpenAI's clients say it.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct RecordedQuery {
    metadata: Option<BTreeMap<String, String>>,
    model: Option<String>,
    created_after: Option<i64>,
    created_before: Option<i64>,
    limit: Option<usize>,
    instructions_search: Option<String>,
    tools: Option<Vec<String>>,
    users: Option<Vec<String>>,
    temperature: Option<Value>,
    top_p: Option<Value>,
    reasoning_effort: Option<Value>,
}

impl RecordedQuery {
    /// Returns which calls are meant; `metadata` is what the eval says of its rows.
    pub(super) fn asked(self, metadata: BTreeMap<String, String>) -> Result<CallsAsked, ApiError> {
        let at = |field: &str| format!("data_source.source.{field}");
        let unknown = [
            ("temperature", &self.temperature),
            ("top_p", &self.top_p),
            ("reasoning_effort", &self.reasoning_effort),
        ];
        for (field, value) in unknown {
            if value.is_some() {
                let message = "recorded calls cannot be chosen by this";
                return Err(ApiError::invalid(at(field), message));
            }
        }
        let limit = self.limit.unwrap_or(CALLS_DEFAULT);
        if !(1..=CALLS_MAX).contains(&limit) {
            let message = format!("{limit} is not a number from 1 to {CALLS_MAX}");
            return Err(ApiError::invalid(at("limit"), message));
        }
        let moment = |seconds: i64| Time::from_micros(seconds.saturating_mul(1_000_000));
        let mut wanted = metadata;
        wanted.extend(self.metadata.unwrap_or_default());
        let began = self
            .created_after
            .map(|at| at.saturating_sub(TRACE_SECONDS_MAX));
        let filter = TraceFilter {
            metadata: wanted
                .into_iter()
                .map(|(key, value)| (key, vec![value]))
                .collect(),
            model: self.model.clone().into_iter().collect(),
            tool: self.tools.unwrap_or_default(),
            user_id: self.users.unwrap_or_default(),
            started_from: began.map(moment),
            started_until: self.created_before.map(moment),
            ..TraceFilter::default()
        };
        Ok(CallsAsked {
            filter,
            model: self.model,
            from: self.created_after.map(moment),
            until: self.created_before.map(moment),
            instructions: self.instructions_search,
            limit,
        })
    }
}

/// Returns the metadata by which an eval's stored configuration chooses what was recorded.
pub(super) fn configured_metadata(config: &str) -> Result<BTreeMap<String, String>, ApiError> {
    let config: Value = serde_json::from_str(config).map_err(ApiError::internal)?;
    let pairs = config.get("metadata").and_then(Value::as_object);
    let text = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
    Ok(pairs.into_iter().flatten().filter_map(text).collect())
}

/// Returns the row of a recorded call, and what it weighs.
pub(super) fn row(call: &RecordedCall) -> (NewItem, usize) {
    let input: Vec<Value> = call.input.iter().flat_map(chat).collect();
    let item = json!({
        "input": input,
        "trace_id": call.trace_id.as_str(),
        "span_id": call.span_id.as_str(),
    });
    let (item, given) = (item.to_string(), sample(call, &input).to_string());
    let weight = item.len() + given.len();
    let row = NewItem {
        trace_id: Some(call.trace_id.clone()),
        item,
        given: Some(given),
    };
    (row, weight)
}

fn sample(call: &RecordedCall, input: &[Value]) -> Value {
    let text: Vec<String> = call.output.iter().filter_map(ChatMessage::words).collect();
    let text = text.join("\n");
    let calls: Vec<Value> = call.output.iter().flat_map(tool_calls).collect();
    let output: Vec<Value> = call.output.iter().flat_map(chat).collect();
    let choices = output.iter().enumerate();
    let choices = choices.map(|(at, message)| json!({"index": at, "message": message}));
    let mut sample = json!({
        "output_text": text,
        "output_tools": calls,
        "choices": choices.collect::<Value>(),
        "input": input,
        "model": call.model,
        "finish_reason": call.finish_reason,
        "usage": usage(call),
    });
    if let Ok(said @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str(&text) {
        sample["output_json"] = said;
    }
    sample
}

fn usage(call: &RecordedCall) -> Value {
    let usage = &call.usage;
    if !usage.is_known() {
        return Value::Null;
    }
    let (read, written) = (
        usage.input_tokens.unwrap_or(0),
        usage.output_tokens.unwrap_or(0),
    );
    json!({
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read.saturating_add(written),
        "cached_tokens": usage.cached_tokens.unwrap_or(0),
    })
}

/// Returns a message as Chat Completions has it: one, and one more for each result of a tool in it.
fn chat(message: &ChatMessage) -> Vec<Value> {
    let parts: Vec<Value> = message.parts.iter().filter_map(content).collect();
    let calls = tool_calls(message);
    let results = message.parts.iter().filter_map(|part| match part {
        Part::ToolResult { id, response } => {
            Some(json!({"role": "tool", "tool_call_id": id, "content": said(response)}))
        }
        _ => None,
    });
    let results: Vec<Value> = results.collect();
    if parts.is_empty() && calls.is_empty() {
        return results;
    }
    let mut fields = Map::new();
    fields.insert("role".to_owned(), json!(message.role));
    if let Some(name) = &message.name {
        fields.insert("name".to_owned(), json!(name));
    }
    let content = match (
        message.words(),
        parts.iter().all(|part| part["type"] == "text"),
    ) {
        (words, true) => json!(words),
        _ => Value::Array(parts),
    };
    fields.insert("content".to_owned(), content);
    if !calls.is_empty() {
        fields.insert("tool_calls".to_owned(), Value::Array(calls));
    }
    let mut list = vec![Value::Object(fields)];
    list.extend(results);
    list
}

fn content(part: &Part) -> Option<Value> {
    match part {
        Part::Text { content } => Some(json!({"type": "text", "text": content})),
        Part::Media {
            modality,
            uri: Some(uri),
            ..
        } if modality == "image" => Some(json!({"type": "image_url", "image_url": {"url": uri}})),
        _ => None,
    }
}

fn tool_calls(message: &ChatMessage) -> Vec<Value> {
    let calls = message.parts.iter().filter_map(|part| match part {
        Part::ToolCall {
            id,
            name,
            arguments,
        } => {
            let arguments = arguments.as_ref().map_or("{}", JsonText::as_str);
            let function = json!({"name": name, "arguments": arguments});
            Some(json!({"id": id, "type": "function", "function": function}))
        }
        _ => None,
    });
    calls.collect()
}

/// Returns a result of a tool in words: a JSON text as what it says.
fn said(response: &JsonText) -> String {
    let text = serde_json::from_str::<String>(response.as_str());
    text.unwrap_or_else(|_| response.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_messages_become_those_of_chat_completions() {
        let json_text = |text: &str| JsonText::from_trusted(text.to_owned());
        let call = Part::ToolCall {
            id: Some("c1".to_owned()),
            name: "f".to_owned(),
            arguments: Some(json_text(r#"{"a":1}"#)),
        };
        let result = Part::ToolResult {
            id: Some("c1".to_owned()),
            response: json_text(r#""sunny""#),
        };
        let check = |message: ChatMessage, want: Value| {
            assert_eq!(Value::Array(chat(&message)), want, "{message:?}");
        };
        check(
            ChatMessage::of_text("user", "Hi"),
            json!([{"role": "user", "content": "Hi"}]),
        );
        check(
            ChatMessage::new("assistant", vec![call]),
            json!([{"role": "assistant", "content": null, "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}}]}]),
        );
        check(
            ChatMessage::new("tool", vec![result]),
            json!([{"role": "tool", "tool_call_id": "c1", "content": "sunny"}]),
        );
    }

    #[test]
    fn a_query_chooses_traces_and_then_calls() {
        let query: RecordedQuery = serde_json::from_value(json!({
            "metadata": {"k": "v"}, "model": "m", "created_after": 100_000, "limit": 5,
        }))
        .unwrap();
        let configured = BTreeMap::from([
            ("k".to_owned(), "w".to_owned()),
            ("e".to_owned(), "x".to_owned()),
        ]);
        let asked = query.asked(configured).unwrap();
        assert_eq!(asked.filter.metadata["k"], ["v"]);
        assert_eq!(asked.filter.metadata["e"], ["x"]);
        assert_eq!(asked.from, Some(Time::from_micros(100_000_000_000)));
        assert_eq!(
            asked.filter.started_from,
            Some(Time::from_micros(13_600_000_000))
        );
        assert_eq!((asked.limit, asked.model.as_deref()), (5, Some("m")));
        for bad in [json!({"limit": 0}), json!({"temperature": 1})] {
            let query: RecordedQuery = serde_json::from_value(bad).unwrap();
            query.asked(BTreeMap::new()).unwrap_err();
        }
    }
}
