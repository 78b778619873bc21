//! Spans of the Agents SDK as spans of OpenTelemetry, the item itself among their attributes.

use std::borrow::Cow;

use model::{JsonText, Span, SpanId, SpanType, Time, TraceItem};

use crate::agents_sdk;
use crate::dialects::Contents;
use crate::json::Value;
use crate::messages::{Doc, json_or_text};
use crate::otlp::{Any, Attributes, RawResource, RawScope, RawSpan, Sent};

use super::groups::WithSchema;
use super::marks::{self, Member, text};
use super::{Dialect, Form, agents, genai, ids, openinference};

/// Returns what went into a span of the Agents SDK and what came out.
pub(super) fn contents(sent: Sent<'_>) -> Contents {
    let data = sent.data.unwrap_or_default();
    match sent.span.span_type {
        SpanType::Generation => agents_sdk::contents(data),
        SpanType::Function => {
            let doc = Doc::parse_container(data);
            let side = |key: &str| {
                let value = doc.as_ref()?.root().get(key)?;
                Some(inner(value))
            };
            Contents {
                arguments: side("input"),
                result: side("output"),
                ..Contents::default()
            }
        }
        _ => Contents::default(),
    }
}

/// Returns the JSON in a string, else the value: models write arguments as text.
fn inner(value: Value<'_, '_>) -> JsonText {
    match value.text() {
        Some(words) if Doc::parse_container(&words).is_some() => json_or_text(&words),
        _ => JsonText::from_trusted(value.raw()),
    }
}

/// Returns the span with its attributes in the words of `dialect`.
pub(super) fn span(
    sent: Sent<'_>,
    contents: &Contents,
    form: Form,
    item: &TraceItem,
) -> RawSpan<'static> {
    let span = sent.span;
    let mut members = match form.dialect {
        Dialect::Genai => genai_members(sent, contents, item),
        Dialect::Openinference => openinference::attributes(span, contents, item),
    };
    match (form.originals, span.derived) {
        (false, _) => {}
        (true, true) => members.push((marks::MADE.into(), Any::Bool(true))),
        (true, false) => {
            members.push(text(marks::SOURCE, span.source.as_str()));
            members.push(text(marks::ITEM, agents::span_item(sent)));
        }
    }
    let start_nanos = nanos(span.started_at);
    RawSpan {
        trace_id: ids::trace_id(&span.trace_id).to_vec().into(),
        span_id: ids::span_id(&span.span_id).to_vec().into(),
        parent_id: parent(span.parent_id.as_ref()),
        name: genai::name(span).into(),
        kind: genai::kind(span),
        start_nanos,
        // Others know no spans that are open; the item says that this one is.
        end_nanos: span.ended_at.map_or(start_nanos, |at| nanos(Some(at))),
        attributes: Attributes::new(members),
        status_code: if span.error.is_some() { ERROR } else { 0 },
        status_message: status_message(span),
        ..RawSpan::default()
    }
}

const ERROR: i32 = 2;

fn status_message(span: &Span) -> Cow<'static, str> {
    let error = span.error.as_ref();
    error.map_or(Cow::Borrowed(""), |error| error.message.clone().into())
}

fn genai_members(sent: Sent<'_>, contents: &Contents, item: &TraceItem) -> Vec<Member> {
    let mut members = genai::attributes(sent, contents);
    if let Some(group) = &item.group_id {
        members.push(text("gen_ai.conversation.id", group.as_str()));
        members.push(text("session.id", group.as_str()));
    }
    members.extend(item.user_id.as_ref().map(|id| text("user.id", id)));
    if sent.span.parent_id.is_none() {
        let name = item.workflow_name.as_ref();
        members.extend(name.map(|name| text("gen_ai.workflow.name", name)));
    }
    members
}

fn parent(id: Option<&SpanId>) -> Cow<'static, [u8]> {
    id.map_or(Cow::Borrowed(&[]), |id| ids::span_id(id).to_vec().into())
}

fn nanos(at: Option<Time>) -> u64 {
    let micros = at.map_or(0, |at| at.as_micros().max(0));
    (micros as u64).saturating_mul(1_000)
}

/// Returns a span that stands for a trace without spans.
pub(super) fn alone(item: &TraceItem) -> RawSpan<'static> {
    let name = item.workflow_name.clone().unwrap_or_default();
    let id = ids::trace_id(&item.trace_id);
    let members = vec![
        (Cow::Borrowed(marks::MADE), Any::Bool(true)),
        text(marks::TRACE, marks::trace_json(item)),
    ];
    let mut span_id = id[8..].to_vec();
    span_id[0] |= 1;
    RawSpan {
        trace_id: id.to_vec().into(),
        span_id: span_id.into(),
        name: name.into(),
        attributes: Attributes::new(members),
        ..RawSpan::default()
    }
}

/// Returns what makes the resource and the scope of translated spans: many tools sort by the name of
/// a service, which is the workflow's here.
pub(super) fn makers(
    item: &TraceItem,
) -> (
    impl FnOnce() -> WithSchema<RawResource<'static>>,
    impl FnOnce() -> WithSchema<RawScope<'static>>,
) {
    let resource = || {
        let name = item.workflow_name.as_deref().unwrap_or("agents");
        let mut attributes = vec![text("service.name", name)];
        let version = item.version.as_ref();
        attributes.extend(version.map(|version| text("service.version", version)));
        let environment = item.environment.as_ref();
        attributes.extend(environment.map(|word| text("deployment.environment.name", word)));
        let resource = RawResource {
            attributes,
            ..RawResource::default()
        };
        (resource, Cow::Borrowed(""))
    };
    let scope = || {
        let scope = RawScope {
            name: "tracegrade".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            ..RawScope::default()
        };
        (scope, Cow::Borrowed(""))
    };
    (resource, scope)
}
