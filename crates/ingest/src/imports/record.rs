//! What the readers of records share: values to attributes, texts to times, and why a record is
//! refused.

use std::borrow::Cow;
use std::collections::HashSet;

use model::{JsonText, MessageHash, SpanId, Time, TraceId};

use crate::json::{Fault, Kind, Value, push_json_string};
use crate::messages::Doc;
use crate::otlp::{Any, Attributes, Ids, RawEvent, RawSpan};

/// Attributes on their way into a span.
pub(super) type Members<'b> = Vec<(Cow<'b, str>, Any<'b>)>;

/// Why a record, or a whole document, is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// Its keys are those of no format that is known.
    #[error("the keys of this document are those of no format that tracegrade reads")]
    UnknownFormat,
    /// It holds metrics.
    #[error("tracegrade keeps no metrics")]
    Metrics,
    /// It is not JSON, or too much of it.
    #[error("{0}")]
    Json(Fault),
    /// It is no text.
    #[error("a text is not UTF-8")]
    NotUtf8,
    /// The decoder that it belongs to cannot read it.
    #[error("{0}")]
    Envelope(String),
    /// An id is missing, or cannot be one.
    #[error("{field:?} must be a text of 1 to 256 bytes, found {found}")]
    BadId {
        /// The field as the sender calls it.
        field: &'static str,
        /// What was there.
        found: String,
    },
    /// A time is no time.
    #[error("{field:?} is no time: {found}")]
    BadTime {
        /// The field as the sender calls it.
        field: &'static str,
        /// What was there.
        found: String,
    },
    /// Something else than an object stands where a record should.
    #[error("expected {expected}, found {found}")]
    NotARecord {
        /// What should have been there.
        expected: &'static str,
        /// What was there.
        found: &'static str,
    },
    /// Put together again it would be larger than is taken.
    #[error(
        "with attachments and histories in their places the records are larger than {bytes_max} bytes: send fewer at a time"
    )]
    TooLarge {
        /// How large it may be.
        bytes_max: usize,
    },
}

impl Refusal {
    /// Returns the stable word for the ledger.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Refusal::UnknownFormat => "unknown_format",
            Refusal::Metrics => "metrics_not_kept",
            Refusal::Json(Fault::Expected { .. }) => "bad_json",
            Refusal::Json(Fault::TooDeep { .. }) => "too_deep",
            Refusal::Json(_) | Refusal::TooLarge { .. } => "too_large",
            Refusal::NotUtf8 => "bad_utf8",
            Refusal::Envelope(_) => "bad_envelope",
            Refusal::BadId { .. } => "bad_id",
            Refusal::BadTime { .. } => "bad_time",
            Refusal::NotARecord { .. } => "not_a_record",
        }
    }
}

/// Returns the beginning of a value, to be told in a refusal.
fn found(value: Option<Value<'_, '_>>) -> String {
    let raw = value.map_or("nothing", Value::raw);
    raw.chars().take(64).collect()
}

/// Returns an id: a text, or a number.
pub(super) fn id_text<'b>(
    field: &'static str,
    value: Option<Value<'b, '_>>,
) -> Result<Cow<'b, str>, Refusal> {
    let text = value.and_then(Value::scalar);
    let is_one = |text: &Cow<'_, str>| text.len() <= model::ID_BYTES_MAX;
    text.filter(is_one).ok_or_else(|| Refusal::BadId {
        field,
        found: found(value),
    })
}

/// Returns an id made from the bytes of a record that has none of its own.
pub(super) fn id_of_content(parts: &[&str]) -> String {
    let mut all = String::new();
    for part in parts {
        push_json_string(&mut all, part);
    }
    MessageHash::of(all.as_bytes()).to_string()
}

/// Returns ids out of texts.
pub(super) fn ids(trace: &str, span: &str, parent: Option<&str>) -> Result<Ids, Refusal> {
    let bad = |field, text: &str| Refusal::BadId {
        field,
        found: text.chars().take(64).collect(),
    };
    Ok(Ids {
        trace_id: TraceId::new(trace).map_err(|_| bad("trace id", trace))?,
        span_id: SpanId::new(span).map_err(|_| bad("span id", span))?,
        parent_id: match parent {
            Some(parent) => Some(SpanId::new(parent).map_err(|_| bad("parent id", parent))?),
            None => None,
        },
    })
}

/// Returns a moment from the texts that programs write: RFC 3339, with a space in the middle, or
/// without a zone, which counts as UTC.
pub(super) fn moment(text: &str) -> Option<Time> {
    let text = text.trim();
    if let Ok(time) = Time::parse_rfc3339(text) {
        return Some(time);
    }
    let joined = text.replacen(' ', "T", 1);
    let clock = joined.find('T').map(|at| &joined[at..])?;
    let has_zone = clock.contains(['Z', 'z', '+', '-']);
    let zoned = if has_zone { joined } else { joined + "Z" };
    Time::parse_rfc3339(&zoned).ok()
}

/// Returns nanoseconds since 1970 from a text, or from a number in seconds, milliseconds,
/// microseconds or nanoseconds, which their sizes tell apart.
pub(super) fn nanos(
    field: &'static str,
    value: Option<Value<'_, '_>>,
) -> Result<Option<u64>, Refusal> {
    let Some(value) = value else { return Ok(None) };
    let read = match value.kind() {
        Kind::String => value.text().and_then(|text| nanos_of(moment(&text)?)),
        Kind::Number => nanos_of_number(value.raw()),
        _ => None,
    };
    read.map(Some).ok_or_else(|| Refusal::BadTime {
        field,
        found: found(Some(value)),
    })
}

pub(super) fn nanos_of(time: Time) -> Option<u64> {
    u64::try_from(time.as_micros()).ok()?.checked_mul(1_000)
}

fn nanos_of_number(text: &str) -> Option<u64> {
    if let Ok(whole) = text.parse::<u64>()
        && whole >= 100_000_000_000_000_000
    {
        return Some(whole);
    }
    let number: f64 = text.parse().ok().filter(|n: &f64| *n >= 0.0)?;
    let scale = match number {
        n if n >= 1e17 => 1.0,
        n if n >= 1e14 => 1e3,
        n if n >= 1e11 => 1e6,
        _ => 1e9,
    };
    Some((number * scale) as u64)
}

/// Returns a value as an attribute: lists and objects as the text of their JSON, as exporters write
/// them.
pub(super) fn any<'b>(value: Value<'b, '_>) -> Any<'b> {
    match value.kind() {
        Kind::Null => Any::Empty,
        Kind::Bool => Any::Bool(value.raw() == "true"),
        Kind::String => Any::Text(value.text().unwrap_or_default()),
        Kind::Number => number(value.raw()),
        Kind::Array | Kind::Object => Any::Text(Cow::Borrowed(value.raw())),
    }
}

/// Returns a number with the digits that it was sent with.
fn number(text: &str) -> Any<'_> {
    if let Ok(exact) = text.parse() {
        return Any::Int(exact);
    }
    match text.parse::<f64>() {
        Ok(double) if format!("{double:?}") == text => Any::Double(double),
        _ => Any::Number(Cow::Borrowed(text)),
    }
}

/// Returns `camelCase` as `camel_case`.
pub(super) fn snake(key: &str) -> String {
    let mut out = String::with_capacity(key.len() + 4);
    for letter in key.chars() {
        if letter.is_ascii_uppercase() {
            if !out.is_empty() && !out.ends_with('_') {
                out.push('_');
            }
            out.push(letter.to_ascii_lowercase());
        } else {
            out.push(letter);
        }
    }
    out
}

/// Returns a span of these attributes.
pub(super) fn span<'b>(
    name: Cow<'b, str>,
    times: [Option<u64>; 2],
    attributes: Members<'b>,
) -> RawSpan<'b> {
    RawSpan {
        name,
        start_nanos: times[0].unwrap_or(0),
        end_nanos: times[1].unwrap_or(0),
        attributes: Attributes::new(attributes),
        ..RawSpan::default()
    }
}

/// Marks a span as failed, as Python writes its exceptions: `ValueError('no')`, and perhaps what the
/// stack was.
pub(super) fn fail(span: &mut RawSpan<'_>, told: &str, stack: Option<&str>) {
    let first = told.lines().next().unwrap_or_default().trim_end();
    let class = first.split(['(', ':']).next().unwrap_or_default();
    let is_class = class.contains(char::is_uppercase)
        && class
            .chars()
            .all(|c| c.is_alphanumeric() || c == '_' || c == '.');
    let inner = first
        .strip_prefix(class)
        .and_then(|rest| rest.strip_prefix('(')?.strip_suffix(')'))
        .map(|rest| rest.trim_matches(['\'', '"']));
    let message = inner.filter(|_| is_class).unwrap_or(told);
    let mut attributes: Members<'_> = Vec::new();
    let mut tell = |key: &'static str, text: &str| {
        attributes.push((key.into(), Any::Text(text.to_owned().into())));
    };
    if is_class {
        tell("exception.type", class);
    }
    tell("exception.message", message);
    let rest = told[first.len().min(told.len())..].trim();
    if let Some(stack) = stack.or(Some(rest)).filter(|stack| !stack.is_empty()) {
        tell("exception.stacktrace", stack);
    }
    span.status_code = 2;
    span.status_message = message.to_owned().into();
    span.events.push(RawEvent {
        nanos: span.end_nanos,
        name: "exception".into(),
        attributes: Attributes::new(attributes),
        dropped_attributes: 0,
        body: Any::Empty,
    });
}

/// Builds a JSON object out of texts that are JSON.
#[derive(Debug, Default)]
pub(super) struct Object(String);

impl Object {
    /// Appends a member.
    pub(super) fn raw(&mut self, key: &str, json: &str) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        push_json_string(&mut self.0, key);
        self.0.push(':');
        self.0.push_str(json);
    }

    /// Appends a member, unless there is no value.
    pub(super) fn value(&mut self, key: &str, value: Option<Value<'_, '_>>) {
        if let Some(value) = value {
            self.raw(key, value.raw());
        }
    }

    /// Returns the object; `None` if it has no member.
    pub(super) fn finish(mut self) -> Option<JsonText> {
        if self.0.is_empty() {
            return None;
        }
        self.0.push('}');
        Some(JsonText::from_trusted(self.0))
    }
}

/// Returns the members of two JSON objects as one; of equal keys those of `later` count.
pub(super) fn merged(earlier: &str, later: &str) -> Option<JsonText> {
    let object = |text| Doc::parse_container(text).filter(|doc| doc.root().is_object());
    let (earlier, later) = (object(earlier)?, object(later)?);
    let keys = later
        .root()
        .members()
        .map(|(key, _)| key.text().unwrap_or_default());
    let overruled: HashSet<Cow<'_, str>> = keys.collect();
    let mut out = Object::default();
    for (key, value) in earlier.root().members() {
        let key = key.text().unwrap_or_default();
        if !overruled.contains(&key) {
            out.raw(&key, value.raw());
        }
    }
    for (key, value) in later.root().members() {
        out.raw(&key.text().unwrap_or_default(), value.raw());
    }
    out.finish()
}

/// Returns a text of a record that becomes a column.
pub(super) fn text(value: Option<Value<'_, '_>>) -> Option<String> {
    value.and_then(Value::words).map(Cow::into_owned)
}

/// Returns a list of texts.
pub(super) fn texts(value: Option<Value<'_, '_>>) -> Option<Vec<String>> {
    let elements = value?.elements();
    let all: Vec<_> = elements
        .filter_map(|e| e.scalar().map(Cow::into_owned))
        .collect();
    (!all.is_empty()).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_programs_write_them() {
        let check = |text, micros: Option<i64>| {
            assert_eq!(moment(text).map(Time::as_micros), micros, "{text}");
        };
        let want = Some(1_704_164_645_500_000);
        check("2024-01-02T03:04:05.5Z", want);
        check("2024-01-02T03:04:05.5", want);
        check("2024-01-02 03:04:05.500000", want);
        check("2024-01-02 04:04:05.5+01:00", want);
        check("2024-01-02T02:04:05.5-01:00", want);
        check("today", None);
        check("", None);
        for number in [
            "1704164645.5",
            "1704164645500",
            "1704164645500000",
            "1704164645500000000",
        ] {
            assert_eq!(
                nanos_of_number(number),
                Some(1_704_164_645_500_000_000),
                "{number}"
            );
        }
        assert_eq!(nanos_of_number("-1"), None);
    }

    #[test]
    fn an_exception_is_read_out_of_what_python_writes() {
        let check = |told: &str, class: Option<&str>, message: &str| {
            let mut span = RawSpan::default();
            fail(&mut span, told, None);
            let event = &span.events[0].attributes;
            assert_eq!(event.text("exception.type"), class, "{told}");
            assert_eq!(event.text("exception.message"), Some(message), "{told}");
        };
        check("ValueError('no')\n\nTraceback: …", Some("ValueError"), "no");
        check(
            "openai.BadRequestError: no",
            Some("openai.BadRequestError"),
            "openai.BadRequestError: no",
        );
        check("it did not work (at all)", None, "it did not work (at all)");
        check(" ", None, " ");
    }

    #[test]
    fn objects_are_merged_by_their_keys() {
        let got = merged(r#"{"a":1,"b":[1.0]}"#, r#"{"a":2,"c":null}"#).unwrap();
        assert_eq!(got.as_str(), r#"{"b":[1.0],"a":2,"c":null}"#);
        assert_eq!(merged("[]", "{}"), None);
        assert_eq!(snake("parentObservationId"), "parent_observation_id");
        assert_eq!(snake("already_snake"), "already_snake");
    }
}
