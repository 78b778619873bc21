//! Spans of OpenTelemetry as items of the Agents SDK: what every tool has a word for.
//!
//! The SDK's format has no attributes, resources, events or links, and its messages are those of chat
//! completions. So this is a translation: kinds, names, times, tokens, errors, and what was said go
//! over; the attributes of a span that is none of the SDK's kinds go along as its data.

use model::{JsonText, Span, SpanType, TraceItem, Usage};

use crate::dialects::Contents;
use crate::json::{json_string, push_json_string};
use crate::messages::{ChatMessage, Doc, Part};
use crate::otlp::Sent;
use crate::otlp::attributes;
use crate::otlp::envelope::{finish, key, raw, told};

use super::agents;
use super::openinference::plain;

/// Returns the item of a span, in which `contents` went in and came out.
pub(super) fn span_item(sent: Sent<'_>, contents: &Contents) -> String {
    let span = sent.span;
    let mut out = agents::begun(sent);
    let data = match span.span_type {
        // What is not counted must not be counted anew.
        _ if !span.is_counted() => custom(sent),
        SpanType::Generation => generation(span, contents),
        SpanType::Function => function(span, contents),
        SpanType::Agent => named("agent", span, |_| {}),
        SpanType::Handoff => named("handoff", span, |out| {
            agents::or_null(out, "from_agent", span.handoff_from.as_deref());
            agents::or_null(out, "to_agent", span.handoff_to.as_deref());
        }),
        SpanType::Guardrail => named("guardrail", span, |out| {
            if let Some(triggered) = span.triggered {
                raw(out, "triggered", if triggered { "true" } else { "false" });
            }
        }),
        _ => custom(sent),
    };
    raw(&mut out, "span_data", &data);
    let mut error = span.error.clone();
    if let Some(error) = &mut error {
        error.data = None;
    }
    raw(&mut out, "error", &agents::error(error.as_ref()));
    out.push('}');
    out
}

/// Returns the item of a trace: what the SDK has no member for goes into its metadata, under the keys
/// by which it is known here.
pub(super) fn trace_item(item: &TraceItem) -> String {
    let tags = item.tags.as_ref().map(|tags| {
        let tags: Vec<_> = tags.iter().map(|tag| json_string(tag)).collect();
        format!("[{}]", tags.join(","))
    });
    let text = |text: &Option<String>| text.as_deref().map(json_string);
    let facts = [
        ("user_id", text(&item.user_id)),
        ("agent_id", text(&item.agent_id)),
        ("version", text(&item.version)),
        ("environment", text(&item.environment)),
        ("tags", tags),
    ];
    // Metadata may have a word of its own under such a key, such as the tags of one step: what is known
    // of the trace goes before it.
    let is_fact = |name: &str| {
        facts
            .iter()
            .any(|(fact, value)| *fact == name && value.is_some())
    };
    let doc = item.metadata.as_ref();
    let doc = doc.and_then(|metadata| Doc::parse_container(metadata.as_str()));
    let known = doc.as_ref().map(Doc::root);
    let mut out = String::new();
    for (name, value) in known.into_iter().flat_map(|root| root.members()) {
        let name = name.text().unwrap_or_default();
        if !is_fact(&name) {
            raw(&mut out, &name, value.raw());
        }
    }
    for (name, value) in &facts {
        if let Some(value) = value {
            raw(&mut out, name, value);
        }
    }
    let metadata = finish(out);
    agents::trace_item(item, metadata.as_ref().map(JsonText::as_str))
}

fn named(kind: &str, span: &Span, write: impl FnOnce(&mut String)) -> String {
    let mut out = String::new();
    told(&mut out, "type", kind);
    key(&mut out, "name");
    push_json_string(&mut out, &span.name);
    write(&mut out);
    out.push('}');
    out
}

fn generation(span: &Span, contents: &Contents) -> String {
    let mut out = String::new();
    told(&mut out, "type", "generation");
    let said = |messages: &[ChatMessage]| {
        let messages: Vec<_> = messages.iter().flat_map(chat_messages).collect();
        format!("[{}]", messages.join(","))
    };
    for (name, messages) in [("input", &contents.input), ("output", &contents.output)] {
        if !messages.is_empty() {
            raw(&mut out, name, &said(messages));
        }
    }
    told(&mut out, "model", span.model.as_deref().unwrap_or_default());
    if span.usage.is_known() {
        raw(&mut out, "usage", &usage(&span.usage));
    }
    out.push('}');
    out
}

fn usage(usage: &Usage) -> String {
    let mut out = String::new();
    let number = |out: &mut String, name: &str, number: Option<i64>| {
        if let Some(number) = number {
            raw(out, name, &number.to_string());
        }
    };
    number(&mut out, "input_tokens", usage.input_tokens);
    number(&mut out, "output_tokens", usage.output_tokens);
    let details = [
        ("input_tokens_details", "cached_tokens", usage.cached_tokens),
        (
            "output_tokens_details",
            "reasoning_tokens",
            usage.reasoning_tokens,
        ),
    ];
    for (object, name, count) in details {
        if let Some(count) = count {
            raw(&mut out, object, &format!("{{\"{name}\":{count}}}"));
        }
    }
    out.push('}');
    out
}

fn function(span: &Span, contents: &Contents) -> String {
    named("function", span, |out| {
        let sides = [("input", &contents.arguments), ("output", &contents.result)];
        for (name, json) in sides {
            if let Some(json) = json {
                raw(out, name, &json_string(&plain(json)));
            }
        }
        told(
            out,
            "tool_call_id",
            span.tool_call_id.as_deref().unwrap_or_default(),
        );
    })
}

/// A kind that the SDK does not have, disguised as the SDK disguises its own tasks and turns.
fn custom(sent: Sent<'_>) -> String {
    let span = sent.span;
    named("custom", span, |out| {
        let mut data = String::new();
        if span.is_counted() && span.span_type != SpanType::Custom {
            told(&mut data, "sdk_span_type", span.span_type.as_str());
        }
        raw(&mut data, "attributes", &attributes(sent));
        data.push('}');
        raw(out, "data", &data);
    })
}

/// Returns a message as chat completions write it: the answers of tools are messages of their own.
fn chat_messages(said: &ChatMessage) -> Vec<String> {
    let mut all = Vec::new();
    let (mut content, mut calls, mut thoughts) = (Vec::new(), Vec::new(), Vec::new());
    for part in &said.parts {
        match part {
            Part::Text { content: words } => content.push(Content::Words(words)),
            Part::Reasoning { content } => thoughts.push(content.as_str()),
            Part::ToolCall {
                id,
                name,
                arguments,
            } => calls.push(call(id.as_deref(), name, arguments.as_ref())),
            Part::ToolResult { id, response } => {
                let mut out = String::new();
                told(&mut out, "role", "tool");
                told(&mut out, "tool_call_id", id.as_deref().unwrap_or_default());
                raw(&mut out, "content", &json_string(&plain(response)));
                out.push('}');
                all.push(out);
            }
            other => content.extend(part_json(other).map(Content::Json)),
        }
    }
    if content.is_empty() && calls.is_empty() && thoughts.is_empty() && !all.is_empty() {
        return all;
    }
    let mut out = String::new();
    key(&mut out, "role");
    push_json_string(&mut out, &said.role);
    told(&mut out, "name", said.name.as_deref().unwrap_or_default());
    raw(&mut out, "content", &content_json(&content));
    told(&mut out, "reasoning_content", &thoughts.join("\n"));
    if !calls.is_empty() {
        raw(&mut out, "tool_calls", &format!("[{}]", calls.join(",")));
    }
    let stopped_by = said.finish_reason.as_deref();
    told(&mut out, "finish_reason", stopped_by.unwrap_or_default());
    out.push('}');
    all.push(out);
    all
}

/// A part of what a message says.
enum Content<'a> {
    Words(&'a str),
    Json(String),
}

fn content_json(content: &[Content<'_>]) -> String {
    match content {
        [] => "null".to_owned(),
        [Content::Words(words)] => json_string(words),
        parts => {
            let part = |part: &Content<'_>| match part {
                Content::Words(words) => {
                    format!("{{\"type\":\"text\",\"text\":{}}}", json_string(words))
                }
                Content::Json(json) => json.clone(),
            };
            let parts: Vec<_> = parts.iter().map(part).collect();
            format!("[{}]", parts.join(","))
        }
    }
}

fn call(id: Option<&str>, name: &str, arguments: Option<&JsonText>) -> String {
    let mut function = String::new();
    key(&mut function, "name");
    push_json_string(&mut function, name);
    if let Some(arguments) = arguments {
        raw(&mut function, "arguments", &json_string(&plain(arguments)));
    }
    function.push('}');
    let mut out = String::new();
    told(&mut out, "id", id.unwrap_or_default());
    told(&mut out, "type", "function");
    raw(&mut out, "function", &function);
    out.push('}');
    out
}

/// Returns a part in the one form that we write ourselves, which is read again; what nobody knows is
/// passed on.
fn part_json(part: &Part) -> Option<String> {
    match part {
        Part::Other { value } => Some(value.as_str().to_owned()),
        part => serde_json::to_string(part).ok(),
    }
}
