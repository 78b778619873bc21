//! What tools and searches were given, and what they gave back.

use std::borrow::Cow;

use model::JsonText;

use crate::messages::{Doc, arguments, documents, result};
use crate::otlp::Any;

use super::super::adk;
use super::events::event_name;
use super::{Place, Seen, Side, has_common_words, written_value};

const ARGUMENTS: [&str; 5] = [
    "gen_ai.tool.call.arguments",
    "tool_arguments",
    "gen_ai.tool.input",
    "ai.toolCall.args",
    "gcp.vertex.agent.tool_call_args",
];

const RESULTS: [&str; 5] = [
    "gen_ai.tool.call.result",
    "tool_response",
    "gen_ai.tool.output",
    "ai.toolCall.result",
    "gcp.vertex.agent.tool_response",
];

/// Returns the text at one end of a span that is no model call.
pub(super) fn value<'s>(seen: &'s Seen<'_, '_>, side: Side) -> Option<Cow<'s, str>> {
    let told = side.places().iter().find_map(|place| match place {
        Place::Attribute(key) => seen.attributes.get(key),
        Place::CommonWord(key) if has_common_words(seen) => seen.attributes.get(key),
        _ => None,
    })?;
    Some(written_value(told)).filter(|text| !text.is_empty())
}

/// Strands tells a tool's input and output as events.
fn tool_event(seen: &Seen<'_, '_>, name: &str, key: &str) -> Option<String> {
    let mut events = seen.events.iter().filter(|event| event_name(event) == name);
    let told = events.find_map(|event| event.attributes.get(key))?;
    Some(written_value(told).into_owned())
}

pub(super) fn tool_arguments(seen: &Seen<'_, '_>) -> Option<JsonText> {
    let is_placeholder = |key: &str, text: &str| key.starts_with("gcp.") && text.trim() == "{}";
    let told = ARGUMENTS.iter().find_map(|key| {
        let text = written_value(seen.attributes.get(key)?);
        (!text.is_empty() && !is_placeholder(key, &text)).then_some(text)
    });
    let told = told
        .or_else(|| value(seen, Side::Input))
        .or_else(|| Some(tool_event(seen, "gen_ai.tool.message", "content")?.into()))?;
    Some(arguments(&told))
}

pub(super) fn tool_result(seen: &Seen<'_, '_>, has_failed: bool) -> Option<JsonText> {
    let told = RESULTS.iter().find_map(|key| {
        let text = written_value(seen.attributes.get(key)?);
        (!text.is_empty()).then_some(text)
    });
    let told = told
        .or_else(|| value(seen, Side::Output))
        .or_else(|| Some(tool_event(seen, "gen_ai.choice", "message")?.into()))?;
    // LangSmith writes `{}` where a tool failed and gave nothing back.
    if has_failed && told.trim() == "{}" {
        return None;
    }
    let result = result(&told);
    // ADK puts what is no object into one: {"result": …}.
    let bare = adk::is_of_adk(seen).then(|| only_member(result.as_str(), "result"));
    Some(bare.flatten().unwrap_or(result))
}

/// Returns the one member of an object, if it is called `key`.
fn only_member(json: &str, key: &str) -> Option<JsonText> {
    let doc = Doc::parse_container(json)?;
    let root = doc.root();
    let value = root.get(key).filter(|_| root.members().count() == 1)?;
    Some(JsonText::from_trusted(value.raw()))
}

pub(super) fn found(seen: &Seen<'_, '_>) -> Vec<JsonText> {
    let prefix = "retrieval.documents.";
    let mut numbers: Vec<u32> = Vec::new();
    for (rest, _) in seen.attributes.under(prefix) {
        let number = rest
            .split('.')
            .next()
            .and_then(|number| number.parse().ok());
        numbers.extend(number.filter(|number| !numbers.contains(number)));
    }
    numbers.sort_unstable();
    if numbers.is_empty() {
        let told = value(seen, Side::Output);
        return told.map(|told| documents(&told)).unwrap_or_default();
    }
    let document = |number: &u32| {
        let prefix = format!("{prefix}{number}.document.");
        let fields: Vec<_> = seen
            .attributes
            .under(&prefix)
            .map(|(key, value)| {
                let json = match value {
                    Any::Text(text) if key == "metadata" => crate::messages::json_or_text(text),
                    other => JsonText::from_trusted(other.to_json()),
                };
                format!("{}:{}", crate::json::json_string(key), json.as_str())
            })
            .collect();
        JsonText::from_trusted(format!("{{{}}}", fields.join(",")))
    };
    numbers.iter().map(document).collect()
}
