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
        return only
            .filter(|only| is_text_part(*only))
            .map_or(value, deeper);
    }
    let is = |key: &str, word: &str| value.get(key).is_some_and(|told| told.is_text(word));
    if is_text_part(value)
        && let Some(words) = value.get("text")
    {
        return words;
    }
    let inner = match () {
        () if is("type", "tool") => value.get("data").or_else(|| value.get("content")),
        () if value.get("lc").is_some() => {
            value.get("kwargs").and_then(|kwargs| kwargs.get("content"))
        }
        // The data of a tool message, which has lost its type above.
        () if value.get("tool_call_id").is_some() => value.get("content"),
        // LangSmith: {"output": …} and nothing else.
        () if value.members().count() == 1 => {
            let output = value.get("output");
            output.or_else(|| value.get("content").filter(|c| c.kind() == Kind::Array))
        }
        () => None,
    };
    inner.map_or(value, deeper)
}

fn is_text_part(value: Value<'_, '_>) -> bool {
    let is_text = value
        .get("type")
        .is_some_and(|kind| kind.is_text("text") || kind.is_text("output_text"));
    is_text && value.get("text").is_some()
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
            (r#"{"type":"text","text":"12 °C"}"#, r#""12 °C""#),
            (
                r#"{"content":[{"type":"text","text":"12 °C"}]}"#,
                r#""12 °C""#,
            ),
            (r#"{"temperature":12}"#, r#"{"temperature":12}"#),
        ];
        for (sent, want) in cases {
            assert_eq!(result(sent).as_str(), want, "{sent}");
        }
    }
}
