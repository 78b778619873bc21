//! What a tool was given and gave back, and what a search found, out of the wrappers around it.

use model::JsonText;

use crate::json::{Kind, Value};

use super::{Doc, json_or_text};

/// Returns the arguments of a call: JSON that was written as a text of JSON is read as often as it
/// was written so, and `{"args":[],"kwargs":{…}}` is what the call's keywords are.
pub(crate) fn arguments(sent: &str) -> JsonText {
    let Some(doc) = Doc::parse(sent) else {
        return json_or_text(sent);
    };
    let root = doc.root();
    if let Some(inner) = root.text() {
        return match Doc::parse_container(&inner) {
            Some(_) => arguments(&inner),
            None => JsonText::from_trusted(root.raw()),
        };
    }
    JsonText::from_trusted(keywords(root).unwrap_or(root).raw())
}

/// Returns the keywords of `{args, kwargs}` where no argument has none.
fn keywords<'b, 't>(value: Value<'b, 't>) -> Option<Value<'b, 't>> {
    const KEYS: [&str; 3] = ["args", "kwargs", "sanitize_inputs_outputs"];
    // LangChain by way of Traceloop: the call between a text of it and what the run is.
    let of_run = ["input_str", "tags", "metadata", "inputs"];
    if of_run.iter().all(|key| value.get(key).is_some()) {
        return value.get("inputs").filter(|inputs| inputs.is_object());
    }
    let kwargs = value.get("kwargs").filter(|kwargs| kwargs.is_object())?;
    let is_wrapper = value
        .members()
        .all(|(key, _)| KEYS.iter().any(|known| key.is_text(known)));
    let has_args = value.get("args").is_some_and(|args| !args.is_empty());
    (is_wrapper && !has_args).then_some(kwargs)
}

/// Returns what a call gave back, out of LangChain's tool messages, MCP's content and the like.
pub(crate) fn result(sent: &str) -> JsonText {
    let Some(doc) = Doc::parse(sent) else {
        return json_or_text(sent);
    };
    JsonText::from_trusted(unwrapped(doc.root(), 0).raw())
}

fn unwrapped<'b, 't>(value: Value<'b, 't>, depth: usize) -> Value<'b, 't> {
    let deeper = |inner: Value<'b, 't>| unwrapped(inner, depth + 1);
    if depth > 4 {
        return value;
    }
    if value.kind() == Kind::Array {
        let mut elements = value.elements();
        let only = elements.next().filter(|_| elements.next().is_none());
        let words = only.and_then(|only| text_of(only).or_else(|| bare_text_of(only)));
        return words.unwrap_or(value);
    }
    let is = |key: &str, word: &str| value.get(key).is_some_and(|told| told.is_text(word));
    if let Some(words) = text_of(value) {
        return words;
    }
    let inner = match () {
        () if is("type", "tool") => value.get("data").or_else(|| value.get("content")),
        () if value.get("lc").is_some() => {
            value.get("kwargs").and_then(|kwargs| kwargs.get("content"))
        }
        // LlamaIndex: what the tool gave back, beside the words and blocks made of it.
        () if value.get("tool_name").is_some() && value.get("raw_output").is_some() => {
            let raw = value.get("raw_output");
            raw.filter(|raw| raw.kind() != Kind::Null)
        }
        // The data of a tool message, which has lost its type above.
        () if value.get("tool_call_id").is_some() => value.get("content"),
        // Gemini's answer to a call.
        () if value.members().count() == 3 && value.get("id").is_some() => {
            value.get("name").and(value.get("response"))
        }
        // LangChain by way of Traceloop: what came out, and what the run was.
        () if value.members().count() == 2 && value.get("kwargs").is_some() => value.get("output"),
        // LangSmith: {"output": …} and nothing else.
        () if value.members().count() == 1 => {
            let output = value.get("output");
            output.or_else(|| value.get("content").filter(|c| c.kind() == Kind::Array))
        }
        () => None,
    };
    inner.map_or(value, deeper)
}

/// Returns the words of a part that says it is words.
fn text_of<'b, 't>(value: Value<'b, 't>) -> Option<Value<'b, 't>> {
    let kind = value.get("type")?;
    let is_text = kind.is_text("text") || kind.is_text("output_text");
    value.get("text").filter(|_| is_text)
}

/// Returns the words of Bedrock's part: `{"text": …}` and nothing else. Only in a list: a tool may give
/// back such an object of its own.
fn bare_text_of<'b, 't>(value: Value<'b, 't>) -> Option<Value<'b, 't>> {
    let words = value
        .get("text")
        .filter(|words| words.kind() == Kind::String);
    words.filter(|_| value.members().count() == 1)
}

/// Returns the documents in what a search gave back.
pub(crate) fn documents(sent: &str) -> Vec<JsonText> {
    let Some(doc) = Doc::parse_container(sent) else {
        return Vec::new();
    };
    let root = doc.root();
    let keys = ["documents", "results", "nodes", "matches", "output"];
    let listed = keys.iter().find_map(|key| root.get(key)).unwrap_or(root);
    let raw = |document: Value<'_, '_>| JsonText::from_trusted(document.raw());
    listed.elements().map(raw).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_come_out_of_their_wrappers() {
        let cases = [
            (r#"{"city":"Zürich"}"#, r#"{"city":"Zürich"}"#),
            (r#""{\"city\":\"Z\"}""#, r#"{"city":"Z"}"#),
            (
                r#"{"args": [], "kwargs": {"city": "Z\u00fcrich"}}"#,
                r#"{"city": "Z\u00fcrich"}"#,
            ),
            (
                r#"{"args":[1],"kwargs":{"a":2}}"#,
                r#"{"args":[1],"kwargs":{"a":2}}"#,
            ),
            (
                r#"{"input_str":"{'city': 'Z'}","tags":[],"metadata":{},"inputs":{"city":"Z"},"kwargs":{"name":null}}"#,
                r#"{"city":"Z"}"#,
            ),
            ("Zürich", r#""Zürich""#),
            ("{'a': 1}", r#""{'a': 1}""#),
            (r#"{"a": "cut"#, r#""{\"a\": \"cut""#),
        ];
        for (sent, want) in cases {
            assert_eq!(arguments(sent).as_str(), want, "{sent}");
        }
    }

    #[test]
    fn results_come_out_of_their_wrappers() {
        let cases = [
            ("12 °C", r#""12 °C""#),
            (r#""12 °C""#, r#""12 °C""#),
            (
                r#"{"type":"tool","data":{"content":"12 °C","type":"tool","tool_call_id":"c"}}"#,
                r#""12 °C""#,
            ),
            (
                r#"{"output":{"content":"12 °C","type":"tool","tool_call_id":"c"}}"#,
                r#""12 °C""#,
            ),
            (
                r#"{"output":{"lc":1,"kwargs":{"content":"12 °C","type":"tool"}},"kwargs":{"name":"w"}}"#,
                r#""12 °C""#,
            ),
            (r#"{"type":"text","text":"12 °C"}"#, r#""12 °C""#),
            (
                r#"{"content":[{"type":"text","text":"12 °C"}]}"#,
                r#""12 °C""#,
            ),
            (
                r#"{"id":"c1","name":"f","response":{"unit":"C"}}"#,
                r#"{"unit":"C"}"#,
            ),
            (r#"[{"text":"12 °C"}]"#, r#""12 °C""#),
            (r#"{"text":"12 °C"}"#, r#"{"text":"12 °C"}"#),
            (
                r#"[{"text":"12 °C"},{"text":"wet"}]"#,
                r#"[{"text":"12 °C"},{"text":"wet"}]"#,
            ),
            (
                r#"{"blocks":[{"text":"12 °C"}],"tool_name":"w","raw_output":"12 °C","is_error":false}"#,
                r#""12 °C""#,
            ),
            (r#"{"temperature":12}"#, r#"{"temperature":12}"#),
        ];
        for (sent, want) in cases {
            assert_eq!(result(sent).as_str(), want, "{sent}");
        }
    }
}
