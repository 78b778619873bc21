//! What was sent, out of what is stored: attributes as they came, and what they mean.
//!
//! Messages are read here when somebody asks for them, by the same code that reads a span when it
//! comes, so a dialect that is learnt later is learnt for old spans too.

use std::borrow::Cow;

use model::{Source, Span, SpanType};

use crate::dialects::{self, Contents, Seen};
use crate::json::{Kind, Value};
use crate::messages::Doc;

use super::any::{Any, Attributes};
use super::docs::Docs;
use super::envelope::{finish, raw};
use super::form::RawEvent;

/// The stored texts of one span.
#[derive(Debug, Clone, Copy)]
pub struct Sent<'a> {
    /// The span, of whose payload `attributes`, `events`, `scope` and `extra` are read.
    pub span: &'a Span,
    /// Its `data` with the messages put in again (see [`model::payload::restore`]).
    pub data: Option<&'a str>,
}

/// Returns the attributes as they were sent: a JSON object. Those that are stored as content come
/// last.
pub fn attributes(sent: Sent<'_>) -> String {
    let mut out = String::new();
    for (key, value) in members(sent) {
        raw(&mut out, &key, &value.to_json());
    }
    finish(out).map_or_else(|| "{}".to_owned(), |json| json.as_str().to_owned())
}

/// Returns what went into a span and what came out of it.
pub fn contents(sent: Sent<'_>) -> Contents {
    let has_failed = sent.span.error.is_some();
    with_seen(sent, |seen| {
        dialects::contents(seen, sent.span.span_type, has_failed)
    })
}

/// Returns what went in and came out of a span that others are merged into: what it does not tell
/// itself is read from those.
pub fn contents_with(sent: Sent<'_>, doubles: &[Sent<'_>]) -> Contents {
    let mut told = contents(sent);
    for double in doubles {
        told.fill_from(contents(*double));
    }
    told
}

/// Returns the first words of what went in and of what came out.
pub(crate) fn previews(sent: Sent<'_>) -> (Option<String>, Option<String>) {
    let mut span = sent.span.without_payload();
    if span.is_log_record() {
        // As when its row was made: what it says is what its call says.
        span.span_type = SpanType::Generation;
    }
    with_seen(sent, |seen| dialects::previews(&mut span, seen));
    (span.input_preview, span.output_preview)
}

/// Returns whether a span came as OpenTelemetry, whatever brought it.
pub fn is_telemetry(span: &Span) -> bool {
    let payload = &span.payload;
    // Out of a file, without a resource and a scope: the exact times are what only these have.
    let has_nanos = || {
        let extra = payload.extra.as_ref();
        extra.is_some_and(|extra| extra.as_str().contains("\"start_time_unix_nano\":"))
    };
    span.source == Source::Otlp
        || payload.resource.is_some()
        || payload.scope.is_some()
        || span.source == Source::Import && has_nanos()
}

/// Returns the model that a call asked for, which may differ from the one that answered.
pub fn requested_model(sent: Sent<'_>) -> Option<String> {
    match sent.span.span_type {
        SpanType::Generation | SpanType::Embedding => with_seen(sent, dialects::requested_model),
        _ => None,
    }
}

/// Returns the name of the dialect that decided what the span is.
pub fn dialect(sent: Sent<'_>) -> &'static str {
    with_seen(sent, |seen| dialects::told(seen).dialect)
}

/// Calls `read` with the span as its dialect saw it.
pub(crate) fn with_seen<T>(sent: Sent<'_>, read: impl FnOnce(&Seen<'_, '_>) -> T) -> T {
    let payload = &sent.span.payload;
    let attributes = Attributes::new(members(sent));
    let mut events = events(payload.events.as_ref().map(|events| events.as_str()));
    let data = sent.data.and_then(Doc::parse_container);
    let records = data.as_ref().and_then(|data| data.root().get("records"));
    let records = records.and_then(|records| records.get("list"));
    events.extend(records.into_iter().flat_map(Value::elements).map(event));

    let scope = payload.scope.as_ref();
    let scope = scope.and_then(|scope| Doc::parse_container(scope.as_str()));
    let scope = scope.as_ref().and_then(|scope| text(scope.root(), "name"));
    let extra = payload.extra.as_ref();
    let extra = extra.and_then(|extra| Doc::parse_container(extra.as_str()));
    let extra = extra.as_ref().map(Doc::root);
    let name = extra.and_then(|extra| text(extra, "name"));
    let status = extra.and_then(|extra| extra.get("status"));
    let code = status.and_then(|status| status.get("code")?.count());
    let message = status.and_then(|status| text(status, "message"));
    let micros = sent.span.started_at.map_or(0, model::Time::as_micros);
    read(&Seen {
        name: name.as_deref().unwrap_or(&sent.span.name),
        scope: scope.as_deref().unwrap_or_default(),
        attributes: &attributes,
        docs: &Docs::of(&attributes),
        events: &events,
        is_root: sent.span.parent_id.is_none(),
        status_code: code.unwrap_or(0) as i32,
        status_message: message.as_deref().unwrap_or_default(),
        start_nanos: (micros.max(0) as u64).saturating_mul(1_000),
    })
}

pub(super) fn text(value: Value<'_, '_>, key: &str) -> Option<String> {
    value.get(key)?.words().map(Into::into)
}

/// Returns the attributes, short ones first.
pub(crate) fn members(sent: Sent<'_>) -> Vec<(Cow<'static, str>, Any<'static>)> {
    let mut out = Vec::new();
    let mut push = |object: Value<'_, '_>, read: fn(Value<'_, '_>) -> Any<'static>| {
        for (key, value) in object.members() {
            let key = key.text().unwrap_or_default().into_owned();
            out.push((Cow::Owned(key), read(value)));
        }
    };
    let short = sent.span.payload.attributes.as_ref();
    if let Some(doc) = short.and_then(|short| Doc::parse_container(short.as_str())) {
        push(doc.root(), any);
    }
    if let Some(doc) = sent.data.and_then(Doc::parse_container) {
        let group = |name: &str| doc.root().get(name);
        let as_text = |value: Value<'_, '_>| Any::Text(value.raw().to_owned().into());
        if let Some(json) = group("json") {
            push(json, as_text);
        }
        if let Some(values) = group("values") {
            push(values, any);
        }
    }
    out
}

/// Returns a stored value as it was sent.
pub(super) fn any(value: Value<'_, '_>) -> Any<'static> {
    match value.kind() {
        Kind::Null => Any::Empty,
        Kind::Bool => Any::Bool(value.raw() == "true"),
        Kind::String => Any::Text(value.text().unwrap_or_default().into_owned().into()),
        Kind::Number => {
            let text = value.raw();
            match (text.parse(), text.parse::<f64>()) {
                (Ok(exact), _) => Any::Int(exact),
                (_, Ok(double)) if text.contains(['.', 'e']) && double.is_finite() => {
                    match format!("{double:?}") == text {
                        true => Any::Double(double),
                        false => Any::Number(text.to_owned().into()),
                    }
                }
                _ => Any::Number(text.to_owned().into()),
            }
        }
        Kind::Array => Any::List(value.elements().map(any).collect()),
        Kind::Object => Any::Map(object(value)),
    }
}

pub(super) fn object(value: Value<'_, '_>) -> Vec<(Cow<'static, str>, Any<'static>)> {
    let members = value.members();
    members
        .map(|(key, value)| {
            let key = key.text().unwrap_or_default().into_owned();
            (Cow::Owned(key), any(value))
        })
        .collect()
}

pub(super) fn events(stored: Option<&str>) -> Vec<RawEvent<'static>> {
    let Some(doc) = stored.and_then(Doc::parse_container) else {
        return Vec::new();
    };
    doc.root().elements().map(event).collect()
}

/// Returns a stored event or log record.
pub(super) fn event(value: Value<'_, '_>) -> RawEvent<'static> {
    let attributes = value.get("attributes").map(object).unwrap_or_default();
    let nanos = text(value, "time_unix_nano").and_then(|nanos| nanos.parse().ok());
    let dropped = value.get("dropped_attributes_count");
    RawEvent {
        nanos: nanos.unwrap_or(0),
        name: text(value, "name").unwrap_or_default().into(),
        attributes: Attributes::new(attributes),
        dropped_attributes: dropped.and_then(Value::count).unwrap_or(0) as u32,
        body: value.get("body").map_or(Any::Empty, any),
    }
}
