//! Any span in the words of OpenInference (Arize Phoenix): a kind, values in and out, and messages
//! that are spread over attributes.

use std::borrow::Cow;

use model::{JsonText, Span, SpanType, TraceItem};

use crate::dialects::Contents;
use crate::messages::{ChatMessage, Doc, Part};
use crate::otlp::{Any, Attributes};

use super::marks::{self, Member, text};

/// Returns the words of a JSON text that is a string, else the JSON.
pub(super) fn plain(json: &JsonText) -> String {
    let doc = Doc::parse(json.as_str());
    let words = doc.as_ref().and_then(|doc| doc.root().text());
    words.map_or_else(|| json.as_str().to_owned(), Cow::into_owned)
}

/// Adds to the attributes of a span those of OpenInference that it does not have, and a list of what
/// was added if somebody may want to take it off again.
pub(super) fn add(
    sent: &Attributes<'static>,
    more: Vec<Member>,
    lists_added: bool,
) -> Attributes<'static> {
    let mut members: Vec<Member> = sent
        .iter()
        .map(|(key, value)| (Cow::Owned(key.to_owned()), value.clone()))
        .collect();
    // Whoever speaks OpenInference already has said all of it.
    if sent.has("openinference.span.kind") {
        return Attributes::new(members);
    }
    let mut added: Vec<String> = Vec::new();
    for (key, value) in more {
        let name = family(&key);
        // Also one without a value was sent, and must not be taken off with ours.
        let is_told = match name.ends_with('.') {
            true => sent.has_under(name),
            false => sent.iter().any(|(told, _)| told == name),
        };
        if is_told {
            continue;
        }
        if added.last().map(String::as_str) != Some(name) {
            added.push(name.to_owned());
        }
        members.push((key, value));
    }
    let added = added.into_iter().map(|name| Any::Text(name.into()));
    if lists_added {
        members.push((marks::ADDED.into(), Any::List(added.collect())));
    }
    Attributes::new(members)
}

/// Returns what stands for all attributes of one list.
fn family(key: &str) -> &str {
    let lists = [
        "llm.input_messages.",
        "llm.output_messages.",
        "retrieval.documents.",
    ];
    lists
        .into_iter()
        .find(|list| key.starts_with(list))
        .unwrap_or(key)
}

/// Returns the attributes of a span in which `contents` went in and came out.
pub(super) fn attributes(span: &Span, contents: &Contents, item: &TraceItem) -> Vec<Member> {
    let mut out = vec![text("openinference.span.kind", kind(span.span_type))];
    let group = item.group_id.as_ref().map(|id| id.as_str());
    out.extend(group.map(|id| text("session.id", id)));
    out.extend(item.user_id.as_ref().map(|id| text("user.id", id)));
    let metadata = item.metadata.as_ref();
    out.extend(metadata.map(|json| text("metadata", json.as_str())));
    if let Some(tags) = &item.tags {
        let tags = tags.iter().map(|tag| Any::Text(tag.clone().into()));
        out.push(("tag.tags".into(), Any::List(tags.collect())));
    }
    match span.span_type {
        SpanType::Generation => model_call(&mut out, span, contents),
        SpanType::Embedding => {
            let model = span.model.as_ref();
            out.extend(model.map(|model| text("embedding.model_name", model)));
            tokens(&mut out, span);
        }
        SpanType::Function => {
            out.push(text("tool.name", &span.name));
            out.extend(span.tool_call_id.as_ref().map(|id| text("tool.id", id)));
            value(&mut out, INPUT, contents.arguments.as_ref());
            value(&mut out, OUTPUT, contents.result.as_ref());
        }
        SpanType::Agent => out.push(text("agent.name", &span.name)),
        // Its readers know a handoff by these two.
        SpanType::Handoff => {
            let ends = [
                (INPUT[0], &span.handoff_from),
                (OUTPUT[0], &span.handoff_to),
            ];
            for (key, agent) in ends {
                out.extend(agent.as_ref().map(|agent| text(key, agent)));
            }
        }
        SpanType::Retrieval => documents(&mut out, contents),
        _ => {}
    }
    out
}

const INPUT: [&str; 2] = ["input.value", "input.mime_type"];
const OUTPUT: [&str; 2] = ["output.value", "output.mime_type"];

fn kind(span_type: SpanType) -> &'static str {
    match span_type {
        SpanType::Generation => "LLM",
        SpanType::Embedding => "EMBEDDING",
        SpanType::Agent => "AGENT",
        SpanType::Function | SpanType::Handoff => "TOOL",
        SpanType::Guardrail => "GUARDRAIL",
        SpanType::Retrieval => "RETRIEVER",
        SpanType::Evaluator => "EVALUATOR",
        _ => "CHAIN",
    }
}

/// Writes a value and what kind of text it is.
fn value(out: &mut Vec<Member>, keys: [&'static str; 2], json: Option<&JsonText>) {
    let Some(json) = json else { return };
    let words = plain(json);
    let is_json = Doc::parse_container(&words).is_some();
    out.push(text(keys[0], words));
    let mime_type = if is_json {
        "application/json"
    } else {
        "text/plain"
    };
    out.push(text(keys[1], mime_type));
}

fn tokens(out: &mut Vec<Member>, span: &Span) {
    let usage = &span.usage;
    let total = usage.input_tokens.zip(usage.output_tokens);
    let counts = [
        ("llm.token_count.prompt", usage.input_tokens),
        (
            "llm.token_count.prompt_details.cache_read",
            usage.cached_tokens,
        ),
        ("llm.token_count.completion", usage.output_tokens),
        (
            "llm.token_count.completion_details.reasoning",
            usage.reasoning_tokens,
        ),
        (
            "llm.token_count.total",
            total.map(|(read, written)| read.saturating_add(written)),
        ),
    ];
    for (key, count) in counts {
        out.extend(count.map(|count| (key.into(), Any::Int(count))));
    }
}

fn model_call(out: &mut Vec<Member>, span: &Span, contents: &Contents) {
    out.extend(
        span.model
            .as_ref()
            .map(|model| text("llm.model_name", model)),
    );
    out.extend(
        span.provider
            .as_ref()
            .map(|word| text("llm.provider", word)),
    );
    tokens(out, span);
    if let Some(cost) = span.cost {
        out.push(("llm.cost.total".into(), Any::Double(cost.to_usd())));
    }
    let reason = span.finish_reason.as_ref();
    out.extend(reason.map(|reason| text("llm.finish_reason", reason)));
    let sides = [
        ("llm.input_messages.", INPUT, &contents.input),
        ("llm.output_messages.", OUTPUT, &contents.output),
    ];
    for (prefix, keys, messages) in sides {
        let json = serde_json::to_string(messages).ok();
        let json = json
            .filter(|_| !messages.is_empty())
            .map(JsonText::from_trusted);
        value(out, keys, json.as_ref());
        for (n, message) in messages.iter().flat_map(spread).enumerate() {
            flatten(out, &format!("{prefix}{n}.message."), &message);
        }
    }
}

/// A message answers one call at most: the results of several are messages of their own.
fn spread(said: &ChatMessage) -> Vec<ChatMessage> {
    let is_result = |part: &Part| matches!(part, Part::ToolResult { .. });
    if said.parts.iter().filter(|part| is_result(part)).count() < 2 {
        return vec![said.clone()];
    }
    let (results, others): (Vec<_>, Vec<_>) = said.parts.iter().cloned().partition(is_result);
    let with = |parts: Vec<Part>| ChatMessage {
        parts,
        ..said.clone()
    };
    let others = (!others.is_empty()).then(|| with(others));
    let results = results.into_iter().map(|part| with(vec![part]));
    results.chain(others).collect()
}

fn flatten(out: &mut Vec<Member>, prefix: &str, said: &ChatMessage) {
    let mut push = |key: &str, value: String| {
        out.push((
            Cow::Owned(format!("{prefix}{key}")),
            Any::Text(value.into()),
        ));
    };
    push("role", said.role.clone());
    if let Some(name) = &said.name {
        push("name", name.clone());
    }
    // One text alone is the content; several parts are told one by one.
    if let [Part::Text { content }] = &said.parts[..] {
        return push("content", content.clone());
    }
    let (mut contents, mut calls) = (0, 0);
    for part in &said.parts {
        match part {
            Part::ToolCall {
                id,
                name,
                arguments,
            } => {
                let call = format!("tool_calls.{calls}.tool_call");
                calls += 1;
                if let Some(id) = id {
                    push(&format!("{call}.id"), id.clone());
                }
                push(&format!("{call}.function.name"), name.clone());
                if let Some(arguments) = arguments {
                    push(&format!("{call}.function.arguments"), plain(arguments));
                }
            }
            Part::ToolResult { id, response } => {
                if let Some(id) = id {
                    push("tool_call_id", id.clone());
                }
                push("content", plain(response));
            }
            part => {
                let Some((kind, words)) = content(part) else {
                    continue;
                };
                let at = format!("contents.{contents}.message_content");
                contents += 1;
                push(&format!("{at}.type"), kind.to_owned());
                let field = if kind == "image" {
                    "image.image.url"
                } else {
                    "text"
                };
                push(&format!("{at}.{field}"), words);
            }
        }
    }
}

/// Returns the kind of a part, and what it says.
fn content(part: &Part) -> Option<(&'static str, String)> {
    match part {
        Part::Text { content } => Some(("text", content.clone())),
        Part::Reasoning { content } => Some(("reasoning", content.clone())),
        Part::Media { uri, .. } => Some(("image", uri.clone()?)),
        part => Some(("text", serde_json::to_string(part).ok()?)),
    }
}

fn documents(out: &mut Vec<Member>, contents: &Contents) {
    for (n, document) in contents.documents.iter().enumerate() {
        let doc = Doc::parse_container(document.as_str());
        let words = |key: &str| {
            let value = doc.as_ref()?.root().get(key)?;
            value.words().map(Cow::into_owned)
        };
        let told = ["content", "page_content", "text"]
            .iter()
            .find_map(|key| words(key));
        let told = told.unwrap_or_else(|| plain(document));
        let key = |field: &str| Cow::Owned(format!("retrieval.documents.{n}.document.{field}"));
        out.push((key("content"), Any::Text(told.into())));
        if let Some(id) = words("id") {
            out.push((key("id"), Any::Text(id.into())));
        }
    }
}
