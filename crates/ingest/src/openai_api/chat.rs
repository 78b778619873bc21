//! The chunks of a streamed chat completion as the completion that they are parts of.
//!
//! What a chunk says of the whole replaces what the last one said; what it adds to a message is
//! appended: text to text, tool calls by their `index`. So the result is what the same call would
//! have answered without `stream`, fields of other makers included (`reasoning_content`, …).

use serde_json::{Map, Value};

use super::Assembled;
use super::sse::Events;

/// The entry of a list that a chunk continues is among the last so many: more are open in no stream,
/// and looking through all of a hostile one would take for ever.
const OPEN_ENTRIES_MAX: usize = 1_024;

/// Returns the completion that a stream tells, as far as it goes.
pub(super) fn assemble(stream: &str) -> Assembled {
    let mut completion = Map::new();
    let mut assembled = Assembled::default();
    let mut is_done = false;
    for event in Events::new(stream) {
        if event.data.trim() == "[DONE]" {
            is_done = true;
            continue;
        }
        let Ok(Value::Object(mut chunk)) = serde_json::from_str(&event.data) else {
            continue;
        };
        if let Some(error) = chunk.remove("error").filter(|error| !error.is_null()) {
            assembled.error = Some(error.to_string());
        }
        if assembled.first_token_at.is_none() && has_token(&chunk) {
            assembled.first_token_at = Some(event.end);
        }
        add_chunk(&mut completion, chunk);
    }
    let choices = completion.get_mut("choices").and_then(Value::as_array_mut);
    let choices = choices.map_or(&mut [][..], Vec::as_mut_slice);
    let mut have_ended = !choices.is_empty();
    for choice in choices.iter_mut().filter_map(Value::as_object_mut) {
        have_ended &= choice
            .get("finish_reason")
            .is_some_and(|reason| !reason.is_null());
        make_whole(choice);
    }
    assembled.is_complete = is_done || have_ended;
    if !completion.is_empty() {
        completion.insert("object".to_owned(), "chat.completion".into());
        assembled.text = Some(Value::Object(completion).to_string());
    }
    assembled
}

/// Returns whether a chunk holds something that the model wrote.
fn has_token(chunk: &Map<String, Value>) -> bool {
    let choices = chunk.get("choices").and_then(Value::as_array);
    let deltas = choices
        .into_iter()
        .flatten()
        .filter_map(|choice| choice.get("delta")?.as_object());
    deltas
        .flatten()
        .any(|(key, value)| key != "role" && !is_nothing(value))
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn add_chunk(completion: &mut Map<String, Value>, chunk: Map<String, Value>) {
    for (key, value) in chunk {
        match (key.as_str(), value) {
            // Random padding of each chunk, against those who read along the lengths.
            ("obfuscation", _) => {}
            ("choices", Value::Array(choices)) => {
                let known = completion
                    .entry(key)
                    .or_insert_with(|| Value::Array(vec![]));
                if let Value::Array(known) = known {
                    add_entries(known, choices, add_choice);
                }
            }
            (_, value) => put(completion, key, value),
        }
    }
}

fn add_choice(choice: &mut Map<String, Value>, more: Map<String, Value>) {
    for (key, value) in more {
        match (key.as_str(), choice.get_mut(&key), value) {
            ("delta" | "logprobs", Some(Value::Object(known)), Value::Object(more)) => {
                add_delta(known, more);
            }
            (_, _, value) => put(choice, key, value),
        }
    }
}

/// Sets a field, unless that would put nothing in the place of something.
fn put(map: &mut Map<String, Value>, key: String, value: Value) {
    if !value.is_null() || !map.contains_key(&key) {
        map.insert(key, value);
    }
}

/// Adds to a message, or to a part of it.
fn add_delta(known: &mut Map<String, Value>, more: Map<String, Value>) {
    for (key, value) in more {
        // Some makers repeat these in every chunk.
        let is_fixed = matches!(key.as_str(), "role" | "id" | "type" | "index");
        match (known.get_mut(&key), value) {
            (Some(Value::String(text)), Value::String(more)) if !is_fixed => {
                if key != "name" || *text != more {
                    text.push_str(&more);
                }
            }
            (Some(Value::Object(known)), Value::Object(more)) => add_delta(known, more),
            (Some(Value::Array(known)), Value::Array(more)) => add_entries(known, more, add_delta),
            (_, value) => put(known, key, value),
        }
    }
}

/// Adds the entries of a list to those that have the same `index`, and others behind them.
fn add_entries(
    known: &mut Vec<Value>,
    more: Vec<Value>,
    add: fn(&mut Map<String, Value>, Map<String, Value>),
) {
    for entry in more {
        let index = entry.get("index").and_then(Value::as_u64);
        let open = known.iter_mut().rev().take(OPEN_ENTRIES_MAX);
        let same = open
            .filter_map(Value::as_object_mut)
            .find(|known| index.is_some() && known.get("index").and_then(Value::as_u64) == index);
        match (same, entry) {
            (Some(same), Value::Object(entry)) => add(same, entry),
            (_, entry) => known.push(entry),
        }
    }
}

/// Gives a choice the form that it has in an answer that is not streamed.
fn make_whole(choice: &mut Map<String, Value>) {
    let Some(Value::Object(mut message)) = choice.remove("delta") else {
        return;
    };
    let calls = message.get_mut("tool_calls").and_then(Value::as_array_mut);
    for call in calls.into_iter().flatten().filter_map(Value::as_object_mut) {
        call.shift_remove("index");
    }
    if message.is_empty() && choice.contains_key("message") {
        return;
    }
    let mut whole = Map::new();
    if let Some(index) = choice.shift_remove("index") {
        whole.insert("index".to_owned(), index);
    }
    whole.insert("message".to_owned(), Value::Object(message));
    whole.append(choice);
    *choice = whole;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks a stream of these chunks against the message and the reason of its first choice.
    fn check(chunks: &[&str], message: &str, finish_reason: &str) -> Assembled {
        let stream: String = chunks.iter().map(|c| format!("data: {c}\n\n")).collect();
        let assembled = assemble(&stream);
        let text = assembled.text.clone().unwrap();
        let whole: Value = serde_json::from_str(&text).unwrap();
        let choice = &whole["choices"][0];
        assert_eq!(choice["message"].to_string(), message, "{text}");
        assert_eq!(choice["finish_reason"].to_string(), finish_reason, "{text}");
        assert_eq!(whole["object"], "chat.completion");
        assembled
    }

    #[test]
    fn text_refusals_and_reasoning_are_joined_and_the_last_usage_counts() {
        let chunks = [
            r#"{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m-1","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"finish_reason":null}],"usage":null,"obfuscation":"x"}"#,
            r#"{"id":"c1","choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]}"#,
            r#"{"id":"c1","choices":[{"index":0,"delta":{"reasoning_content":"m","role":"assistant"}}]}"#,
            r#"{"id":"c1","choices":[{"index":0,"delta":{"content":"Hel"}}]}"#,
            r#"{"id":"c1","choices":[{"index":0,"delta":{"content":"lo"},"finish_reason":null}]}"#,
            r#"{"id":"c1","choices":[{"index":0,"delta":{"refusal":"no"}}]}"#,
            r#"{"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
            r#"{"id":"c1","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#,
            "[DONE]",
        ];
        let assembled = check(
            &chunks,
            r#"{"role":"assistant","content":"Hello","refusal":"no","reasoning_content":"hmm"}"#,
            r#""stop""#,
        );
        let text = assembled.text.unwrap();
        assert!(
            text.ends_with(r#""usage":{"prompt_tokens":3,"completion_tokens":2}}"#),
            "{text}"
        );
        assert!(!text.contains("obfuscation"));
        assert!(assembled.is_complete && assembled.error.is_none());
        let two_events = chunks[..2].iter().map(|c| "data: \n\n".len() + c.len());
        assert_eq!(assembled.first_token_at, Some(two_events.sum()));
    }

    #[test]
    fn tool_calls_are_told_apart_by_their_index() {
        check(
            &[
                r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}]}}]}"#,
                r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"b","type":"function","function":{"name":"g","arguments":"{"}}]}}]}"#,
                r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"{\"x\":"}},{"index":1,"function":{"arguments":"}"}}]}}]}"#,
                r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"arguments":"1}"}}]}}]}"#,
                r#"{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#,
            ],
            r#"{"role":"assistant","content":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}},{"id":"b","type":"function","function":{"name":"g","arguments":"{}"}}]}"#,
            r#""tool_calls""#,
        );
    }

    #[test]
    fn several_choices_logprobs_and_an_error_on_the_way() {
        let assembled = check(
            &[
                r#"{"choices":[{"index":1,"delta":{"content":"b"},"logprobs":{"content":[{"token":"b"}]}}]}"#,
                r#"{"choices":[{"index":1,"delta":{"content":"c"},"logprobs":{"content":[{"token":"c"}]}},{"index":0,"delta":{"content":"a"}}]}"#,
                r#"{"error":{"message":"overloaded","type":"server_error"}}"#,
            ],
            r#"{"content":"bc"}"#,
            "null",
        );
        assert_eq!(
            assembled.error.as_deref(),
            Some(r#"{"message":"overloaded","type":"server_error"}"#)
        );
        assert!(!assembled.is_complete);
        let text = assembled.text.unwrap();
        assert!(text.contains(r#"[{"token":"b"},{"token":"c"}]"#), "{text}");
    }

    #[test]
    fn a_hostile_list_ends() {
        let chunk: Vec<String> = (0..20_000).map(|n| format!(r#"{{"index":{n}}}"#)).collect();
        let chunk = format!(r#"{{"choices":[{}]}}"#, chunk.join(","));
        let stream = format!("data: {chunk}\n\n").repeat(2);
        assert!(assemble(&stream).text.is_some());
    }
}
