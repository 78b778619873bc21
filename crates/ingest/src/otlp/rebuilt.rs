//! Stored spans and log records as they were sent: the way back of [`super::span`] and
//! [`super::logs`].
//!
//! Nothing is made up here. What a row does not keep comes back as nothing: bytes are the base64 text
//! that JSON has for them, log records have no resource, and a time of day is the sender's to the
//! nanosecond, since that is kept beside the columns.

use std::borrow::Cow;

use model::JsonText;

use crate::json::Value;
use crate::messages::Doc;

use super::any::{Any, Attributes};
use super::form::{RawLink, RawLog, RawResource, RawScope, RawSpan};
use super::logs::LogRecord;
use super::view::{self, Sent, text};

/// Returns the bytes that a hexadecimal text stands for; `None` unless it has exactly `N` of them and
/// is the text that we would write for them.
pub(crate) fn bytes_of_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    (bytes != [0; N]).then_some(bytes)
}

fn id<const N: usize>(text: &str) -> Cow<'static, [u8]> {
    match bytes_of_hex::<N>(text) {
        Some(bytes) => Cow::Owned(bytes.to_vec()),
        None => Cow::Borrowed(&[]),
    }
}

/// A stored object, for looking up what it keeps.
#[derive(Debug)]
struct Kept<'a>(Option<Doc<'a>>);

impl<'a> Kept<'a> {
    fn of(stored: Option<&'a JsonText>) -> Self {
        Self(stored.and_then(|stored| Doc::parse_container(stored.as_str())))
    }

    fn get(&self, key: &str) -> Option<Value<'_, '_>> {
        self.0.as_ref()?.root().get(key)
    }

    fn text(&self, key: &str) -> Cow<'static, str> {
        let told = self.0.as_ref().and_then(|doc| text(doc.root(), key));
        told.map_or(Cow::Borrowed(""), Cow::Owned)
    }

    fn count(&self, key: &str) -> u32 {
        let told = self.get(key).and_then(Value::count);
        told.and_then(|count| u32::try_from(count).ok())
            .unwrap_or(0)
    }

    fn nanos(&self, key: &str) -> Option<u64> {
        self.text(key).parse().ok()
    }

    fn members(&self) -> Vec<(Cow<'static, str>, Any<'static>)> {
        self.get("attributes").map(view::object).unwrap_or_default()
    }
}

/// Returns a span that came as OpenTelemetry as it was sent.
pub(crate) fn span(sent: Sent<'_>) -> RawSpan<'static> {
    let (span, payload) = (sent.span, &sent.span.payload);
    let extra = Kept::of(payload.extra.as_ref());
    let status = extra.get("status");
    let status_code = status.and_then(|status| status.get("code")?.count());
    let micros = |at: Option<model::Time>| at.map_or(0, |at| at.as_micros().max(0) as u64 * 1_000);
    let name = match extra.text("name") {
        name if name.is_empty() && extra.get("name").is_none() => span.name.clone().into(),
        name => name,
    };
    let mut raw = RawSpan {
        trace_id: id::<16>(span.trace_id.as_str()),
        span_id: id::<8>(span.span_id.as_str()),
        parent_id: id::<8>(span.parent_id.as_ref().map_or("", |id| id.as_str())),
        trace_state: extra.text("trace_state"),
        flags: extra.count("flags"),
        name,
        kind: extra.count("kind") as i32,
        start_nanos: extra
            .nanos("start_time_unix_nano")
            .unwrap_or(micros(span.started_at)),
        end_nanos: extra
            .nanos("end_time_unix_nano")
            .unwrap_or(micros(span.ended_at)),
        attributes: Attributes::new(view::members(sent)),
        dropped_attributes: payload.dropped.attributes,
        events: view::events(payload.events.as_ref().map(JsonText::as_str)),
        dropped_events: payload.dropped.events,
        links: links(payload.links.as_ref()),
        dropped_links: payload.dropped.links,
        status_code: status_code.unwrap_or(0) as i32,
        status_message: status
            .and_then(|status| text(status, "message"))
            .map_or(Cow::Borrowed(""), Cow::Owned),
    };
    if !span.has_ended() && raw.attributes.text("logfire.span_type") == Some("pending_span") {
        announce(&mut raw);
    }
    raw
}

/// A span that Logfire announced has the id that the announcement names as its parent: the one it had
/// itself is not kept, and any other will do.
fn announce(raw: &mut RawSpan<'static>) {
    raw.parent_id = raw.span_id.clone();
    let mut own = model::MessageHash::of(&raw.span_id).0;
    own[0] |= 1;
    raw.span_id = own[..8].to_vec().into();
}

fn links(stored: Option<&JsonText>) -> Vec<RawLink<'static>> {
    let Some(doc) = stored.and_then(|stored| Doc::parse_container(stored.as_str())) else {
        return Vec::new();
    };
    let count = |link: Value<'_, '_>, key: &str| {
        let count = link.get(key).and_then(Value::count);
        count.unwrap_or(0) as u32
    };
    let link = |link: Value<'_, '_>| {
        let told = |key: &str| text(link, key).unwrap_or_default();
        RawLink {
            trace_id: id::<16>(&told("trace_id")),
            span_id: id::<8>(&told("span_id")),
            trace_state: told("trace_state").into(),
            attributes: Attributes::new(
                link.get("attributes").map(view::object).unwrap_or_default(),
            ),
            dropped_attributes: count(link, "dropped_attributes_count"),
            flags: count(link, "flags"),
        }
    };
    doc.root().elements().map(link).collect()
}

/// Returns a log record as it was sent.
pub(crate) fn record(record: &LogRecord) -> RawLog<'static> {
    let kept = Kept::of(Some(&record.json));
    let attributes = Attributes::new(kept.members());
    // Older libraries write the name into an attribute, and there it is still.
    let event_name = match attributes.text("event.name") == Some(&record.name) {
        true => Cow::Borrowed(""),
        false => record.name.clone().into(),
    };
    let (trace_id, span_id) = (&record.trace_id, &record.span_id);
    RawLog {
        trace_id: id::<16>(trace_id.as_ref().map_or("", |id| id.as_str())),
        span_id: id::<8>(span_id.as_ref().map_or("", |id| id.as_str())),
        nanos: record.nanos,
        observed_nanos: 0,
        severity_number: kept.count("severity_number") as i32,
        severity_text: kept.text("severity_text"),
        event_name,
        body: kept.get("body").map_or(Any::Empty, view::any),
        attributes,
        dropped_attributes: kept.count("dropped_attributes_count"),
        flags: kept.count("flags"),
    }
}

/// Returns the resource of a span as it was sent, and its schema.
pub(crate) fn resource(stored: Option<&JsonText>) -> (RawResource<'static>, Cow<'static, str>) {
    let kept = Kept::of(stored);
    let resource = RawResource {
        attributes: kept.members(),
        dropped_attributes: kept.count("dropped_attributes_count"),
    };
    (resource, kept.text("schema_url"))
}

/// Returns the scope of a span as it was sent, and its schema.
pub(crate) fn scope(stored: Option<&JsonText>) -> (RawScope<'static>, Cow<'static, str>) {
    let kept = Kept::of(stored);
    let scope = RawScope {
        name: kept.text("name"),
        version: kept.text("version"),
        attributes: kept.members(),
        dropped_attributes: kept.count("dropped_attributes_count"),
    };
    (scope, kept.text("schema_url"))
}
