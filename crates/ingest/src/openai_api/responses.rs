//! The events of a streamed response as the response that they tell of.
//!
//! The last event carries the whole response, which is taken as it is. Where the stream was cut off
//! before it, the response is put together from what came: the head from the first event, each item
//! from its own last event, and an item that was still being written from its deltas.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::Assembled;
use super::sse::Events;

/// Items and parts beyond so many are left out of a response that is put together.
const PLACES_MAX: usize = 4_096;

/// What every event tells.
#[derive(Debug, Deserialize)]
struct Head<'a> {
    #[serde(borrow, default)]
    r#type: Cow<'a, str>,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
}

/// Returns the response that a stream tells, as far as it goes.
pub(super) fn assemble(stream: &str) -> Assembled {
    let mut assembled = Assembled::default();
    for event in Events::new(stream) {
        let Ok(head) = serde_json::from_str::<Head<'_>>(&event.data) else {
            continue;
        };
        match (&*head.r#type, head.response) {
            (
                "response.completed"
                | "response.incomplete"
                | "response.failed"
                | "response.cancelled",
                Some(response),
            ) => {
                assembled.text = Some(response.get().to_owned());
                assembled.is_complete = true;
            }
            ("error", _) => assembled.error = Some(error_of(&event.data)),
            (kind, _) if assembled.first_token_at.is_none() && kind.ends_with(".delta") => {
                assembled.first_token_at = Some(event.end);
            }
            _ => {}
        }
    }
    if !assembled.is_complete {
        assembled.text = Partial::of(stream).finish();
    }
    assembled
}

/// Returns what an `error` event says: itself, or the object in it.
fn error_of(event: &str) -> String {
    #[derive(Deserialize)]
    struct Nested<'a> {
        #[serde(borrow)]
        error: Option<&'a RawValue>,
    }
    let nested = serde_json::from_str::<Nested<'_>>(event).ok();
    let inner = nested.and_then(|nested| nested.error);
    inner.map_or(event, RawValue::get).to_owned()
}

/// A response that did not come to its end.
#[derive(Debug, Default)]
struct Partial {
    head: Option<Map<String, Value>>,
    items: Vec<Value>,
}

impl Partial {
    fn of(stream: &str) -> Self {
        let mut partial = Self::default();
        for event in Events::new(stream) {
            if let Ok(Value::Object(event)) = serde_json::from_str(&event.data) {
                partial.add(event);
            }
        }
        partial
    }

    /// Takes over what an event adds; of one that nobody here knows, nothing.
    fn add(&mut self, mut event: Map<String, Value>) {
        let Some(Value::String(kind)) = event.remove("type") else {
            return;
        };
        let place = |key: &str| event.get(key).and_then(Value::as_u64);
        let item = place("output_index");
        match kind.as_str() {
            "response.created" | "response.queued" | "response.in_progress" => {
                if let Some(Value::Object(head)) = event.remove("response") {
                    self.head = Some(head);
                }
            }
            "response.output_item.added" | "response.output_item.done" => {
                let slot = item.and_then(|at| slot(&mut self.items, at));
                if let (Some(slot), Some(item)) = (slot, event.remove("item")) {
                    *slot = item;
                }
            }
            _ => {
                let Some(list) = writing(&kind) else { return };
                let slot = item.and_then(|at| slot(&mut self.items, at));
                let Some(Value::Object(item)) = slot else {
                    return;
                };
                let at = list.index.and_then(place);
                let Some(part) = list.part_of(item, at) else {
                    return;
                };
                if let Some(Value::String(delta)) = event.get("delta") {
                    append(part, list.text, delta);
                } else if let Some(Value::Object(whole)) = event.remove("part") {
                    *part = whole;
                }
            }
        }
    }

    fn finish(self) -> Option<String> {
        let mut items = self.items;
        items.retain(|item| !item.is_null());
        if self.head.is_none() && items.is_empty() {
            return None;
        }
        let mut response = self.head.unwrap_or_default();
        response
            .entry("object")
            .or_insert_with(|| "response".into());
        if !items.is_empty() {
            response.insert("output".to_owned(), Value::Array(items));
        }
        Some(Value::Object(response).to_string())
    }
}

/// Where the text of a delta goes.
struct Writing {
    /// The list of the item that the text's part is in; none: the item itself.
    list: Option<&'static str>,
    /// The key of the event that tells the part's place.
    index: Option<&'static str>,
    /// The key of the text.
    text: &'static str,
}

impl Writing {
    fn part_of<'i>(
        &self,
        item: &'i mut Map<String, Value>,
        at: Option<u64>,
    ) -> Option<&'i mut Map<String, Value>> {
        let Some(list) = self.list else {
            return Some(item);
        };
        let parts = item.entry(list).or_insert_with(|| json!([]));
        let part = slot(parts.as_array_mut()?, at?)?;
        if part.is_null() {
            *part = json!({});
        }
        part.as_object_mut()
    }
}

fn writing(kind: &str) -> Option<Writing> {
    let of_item = |text| Writing {
        list: None,
        index: None,
        text,
    };
    let of_part = |list, index, text| Writing {
        list: Some(list),
        index: Some(index),
        text,
    };
    Some(match kind {
        "response.content_part.added" | "response.content_part.done" => {
            of_part("content", "content_index", "text")
        }
        "response.output_text.delta" | "response.reasoning_text.delta" => {
            of_part("content", "content_index", "text")
        }
        "response.refusal.delta" => of_part("content", "content_index", "refusal"),
        "response.reasoning_summary_part.added"
        | "response.reasoning_summary_part.done"
        | "response.reasoning_summary_text.delta" => of_part("summary", "summary_index", "text"),
        "response.function_call_arguments.delta" | "response.mcp_call_arguments.delta" => {
            of_item("arguments")
        }
        "response.custom_tool_call_input.delta" => of_item("input"),
        "response.code_interpreter_call_code.delta" => of_item("code"),
        _ => return None,
    })
}

/// Returns a place in a list, which grows up to it.
fn slot(list: &mut Vec<Value>, at: u64) -> Option<&mut Value> {
    let at = usize::try_from(at).ok().filter(|at| *at < PLACES_MAX)?;
    if list.len() <= at {
        list.resize(at + 1, Value::Null);
    }
    list.get_mut(at)
}

fn append(part: &mut Map<String, Value>, key: &str, delta: &str) {
    match part.get_mut(key) {
        Some(Value::String(text)) => text.push_str(delta),
        _ => {
            part.insert(key.to_owned(), delta.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(events: &[&str]) -> String {
        events.iter().map(|e| format!("data: {e}\n\n")).collect()
    }

    const CUT: &[&str] = &[
        r#"{"type":"response.created","response":{"id":"resp_1","object":"response","status":"in_progress","model":"m","output":[]}}"#,
        r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"reasoning","id":"rs_1","summary":[]}}"#,
        r#"{"type":"response.reasoning_summary_part.added","output_index":0,"summary_index":0,"part":{"type":"summary_text","text":""}}"#,
        r#"{"type":"response.reasoning_summary_text.delta","output_index":0,"summary_index":0,"delta":"think"}"#,
        r#"{"type":"response.output_item.done","output_index":0,"item":{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"thinking"}]}}"#,
        r#"{"type":"response.output_item.added","output_index":1,"item":{"type":"message","role":"assistant","content":[]}}"#,
        r#"{"type":"response.content_part.added","output_index":1,"content_index":0,"part":{"type":"output_text","text":""}}"#,
        r#"{"type":"response.output_text.delta","output_index":1,"content_index":0,"delta":"Hel"}"#,
        r#"{"type":"response.unknown_event","output_index":1,"delta":"??"}"#,
        r#"{"type":"response.output_text.delta","output_index":1,"content_index":0,"delta":"lo"}"#,
        r#"{"type":"response.output_item.added","output_index":2,"item":{"type":"function_call","name":"f","arguments":""}}"#,
        r#"{"type":"response.function_call_arguments.delta","output_index":2,"delta":"{\"a\""}"#,
    ];

    #[test]
    fn a_cut_response_is_put_together_from_what_came() {
        let assembled = assemble(&stream(CUT));
        assert_eq!(
            assembled.text.as_deref(),
            Some(
                r#"{"id":"resp_1","object":"response","status":"in_progress","model":"m","output":[{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"thinking"}]},{"type":"message","role":"assistant","content":[{"type":"output_text","text":"Hello"}]},{"type":"function_call","name":"f","arguments":"{\"a\""}]}"#
            )
        );
        assert!(!assembled.is_complete);
        assert!(assembled.first_token_at.is_some());
    }

    #[test]
    fn the_last_event_has_the_whole_response_byte_for_byte() {
        let last =
            r#"{"type":"response.completed","response":{"id": "resp_1", "n":1.0,"output":[]}}"#;
        let assembled = assemble(&stream(&[CUT, &[last]].concat()));
        assert_eq!(
            assembled.text.as_deref(),
            Some(r#"{"id": "resp_1", "n":1.0,"output":[]}"#)
        );
        assert!(assembled.is_complete);
    }

    #[test]
    fn errors_are_told_in_either_form() {
        let flat = r#"{"type":"error","code":"rate_limit_exceeded","message":"slow down"}"#;
        assert_eq!(assemble(&stream(&[flat])).error.as_deref(), Some(flat));
        let nested = r#"{"type":"error","error":{"message":"slow down"}}"#;
        let assembled = assemble(&stream(&[nested]));
        assert_eq!(
            assembled.error.as_deref(),
            Some(r#"{"message":"slow down"}"#)
        );
        assert_eq!(assembled.text, None);
    }

    #[test]
    fn hostile_places_are_left_out() {
        let far = r#"{"type":"response.output_item.added","output_index":4000000000,"item":{}}"#;
        assert_eq!(assemble(&stream(&[far])).text, None);
    }
}
