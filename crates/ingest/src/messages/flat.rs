//! Messages that are spread over attributes: `llm.input_messages.3.message.content` and the like.
//!
//! The numbers may have gaps or start above 0, since SDKs drop attributes beyond 128: they are
//! sorted as numbers, and no message is invented for a gap.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::json::json_string;
use crate::otlp::{Any, Attributes};

use super::shapes::{parts, role_word};
use super::{ChatMessage, Doc, Part, Take, json_or_text};

/// A way of flattening: where messages lie, and what stands between their number and their fields.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flat {
    /// What keys begin with, up to the number.
    pub(crate) prefix: &'static str,
    /// What stands between the number and the field.
    pub(crate) infix: &'static str,
}

type Fields<'a> = BTreeMap<&'a str, &'a Any<'a>>;

/// Hands over the messages under `flat`, the last first; those that do not say who speaks have `role`.
pub(crate) fn flattened(
    attributes: &Attributes<'_>,
    flat: Flat,
    role: &str,
    take: Take<'_>,
) -> ControlFlow<()> {
    let mut numbered: BTreeMap<u32, Fields<'_>> = BTreeMap::new();
    for (rest, value) in attributes.under(flat.prefix) {
        let Some((number, field)) = rest.split_once('.') else {
            continue;
        };
        let Ok(number) = number.parse() else { continue };
        let field = field.strip_prefix(flat.infix).unwrap_or(field);
        numbered.entry(number).or_default().insert(field, value);
    }
    let told = numbered.into_values().rev();
    let told = told.map(|fields| message(&fields, role));
    told.filter(|message| !message.parts.is_empty())
        .try_for_each(take)
}

fn text(fields: &Fields<'_>, key: &str) -> Option<String> {
    fields.get(key)?.scalar().map(Into::into)
}

fn message(fields: &Fields<'_>, role: &str) -> ChatMessage {
    let told = text(fields, "role");
    let role = told.as_deref().map_or(role, role_word);
    let mut said = ChatMessage::new(role, Vec::new());
    match (text(fields, "content"), role) {
        (Some(content), "tool") => said.parts.push(Part::ToolResult {
            id: text(fields, "tool_call_id"),
            response: model::JsonText::from_trusted(json_string(&content)),
        }),
        (Some(content), _) => push_content(content, &mut said.parts),
        (None, _) => contents(fields, &mut said.parts),
    }
    if let Some(content) = text(fields, "reasoning") {
        said.parts.insert(0, Part::Reasoning { content });
    }
    calls(fields, &mut said.parts);
    let legacy = |snake: &str, dotted: &str| text(fields, snake).or_else(|| text(fields, dotted));
    if let Some(name) = legacy("function_call_name", "function_call.name") {
        let arguments = legacy("function_call_arguments_json", "function_call.arguments");
        let arguments = arguments.as_deref().map(json_or_text);
        let id = None;
        said.parts.push(Part::ToolCall {
            id,
            name,
            arguments,
        });
    }
    said.name = text(fields, "name");
    said.finish_reason = text(fields, "finish_reason");
    said
}

/// Traceloop writes a content of several parts as the JSON of their list.
fn push_content(content: String, out: &mut Vec<Part>) {
    let doc = Doc::parse_container(&content).filter(|doc| {
        let mut elements = doc.root().elements();
        elements
            .next()
            .is_some_and(|first| first.get("type").is_some())
    });
    match doc {
        Some(doc) => parts(doc.root(), out),
        None => out.push(Part::Text { content }),
    }
}

/// Returns the fields under `prefix` by their number.
fn numbered<'a>(fields: &Fields<'a>, prefix: &str) -> BTreeMap<u32, Fields<'a>> {
    let mut out: BTreeMap<u32, Fields<'a>> = BTreeMap::new();
    for (key, value) in fields {
        let rest = key
            .strip_prefix(prefix)
            .and_then(|rest| rest.split_once('.'));
        let Some((number, field)) = rest else {
            continue;
        };
        if let Ok(number) = number.parse() {
            out.entry(number).or_default().insert(field, value);
        }
    }
    out
}

/// Parts of OpenInference: `contents.0.message_content.{type,text,image.image.url,…}`.
fn contents(fields: &Fields<'_>, out: &mut Vec<Part>) {
    for part in numbered(fields, "contents.").into_values() {
        let field = |key: &str| text(&part, &format!("message_content.{key}"));
        let kind = field("type").unwrap_or_default();
        if let Some(content) = field("text") {
            out.push(match kind.as_str() {
                "reasoning" | "thinking" => Part::Reasoning { content },
                _ => Part::Text { content },
            });
            continue;
        }
        let uri = ["image.image.url", "audio.audio.url", "audio.url"];
        let uri = uri.iter().find_map(|key| field(key));
        let modality = if kind.contains("audio") {
            "audio"
        } else {
            "image"
        };
        if uri.is_some() {
            out.push(Part::Media {
                modality: modality.to_owned(),
                mime_type: field("audio.audio.mime_type"),
                uri,
            });
        }
    }
}

/// Calls of OpenInference (`tool_calls.0.tool_call.function.name`) and Traceloop
/// (`tool_calls.0.name`).
fn calls(fields: &Fields<'_>, out: &mut Vec<Part>) {
    for call in numbered(fields, "tool_calls.").into_values() {
        let field = |long: &str, short: &str| {
            text(&call, &format!("tool_call.{long}")).or_else(|| text(&call, short))
        };
        let Some(name) = field("function.name", "name") else {
            continue;
        };
        out.push(Part::ToolCall {
            id: field("id", "id"),
            name,
            arguments: field("function.arguments", "arguments")
                .as_deref()
                .map(json_or_text),
        });
    }
}
