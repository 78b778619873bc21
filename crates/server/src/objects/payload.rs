//! How is a span's payload put together again, and what is said if it cannot be?
//!
//! A reference that resolves to nothing is told as an error in the place of the text (D7): an empty
//! text would look like a model that said nothing.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Display;

use ingest::contents::restored;
use ingest::messages::ChatMessage;
use ingest::otlp::{self, Sent, is_telemetry};
use model::payload::RestoreError;
use model::{JsonText, Span, SpanType};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::span::raw;

pub(crate) use ingest::contents::Messages;

/// How much of payloads is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Detail {
    /// Nothing of them.
    None,
    /// The first words of what went in and what came out.
    Preview,
    /// All of them.
    Full,
}

impl Detail {
    /// Returns the word for a query string.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        match word {
            "none" => Some(Self::None),
            "preview" => Some(Self::Preview),
            "full" => Some(Self::Full),
            _ => None,
        }
    }
}

/// A payload cannot be shown: in place of the value stands what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    code: &'static str,
    message: String,
}

impl Fault {
    fn damaged(why: impl Display) -> Self {
        let message = format!("the stored data is damaged: {why}");
        Self {
            code: "payload_damaged",
            message,
        }
    }
}

impl From<RestoreError> for Fault {
    fn from(error: RestoreError) -> Self {
        let code = match &error {
            RestoreError::Damaged { .. } => "payload_damaged",
            RestoreError::Missing { .. } => "message_missing",
        };
        Self {
            code,
            message: error.to_string(),
        }
    }
}

impl std::error::Error for Fault {}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl Serialize for Fault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Detail<'a> {
            code: &'static str,
            message: &'a str,
        }
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(
            "error",
            &Detail {
                code: self.code,
                message: &self.message,
            },
        )?;
        map.end()
    }
}

/// A value of a payload: JSON text, nothing, or what is wrong with it.
#[derive(Debug)]
pub(crate) enum Part<'a> {
    /// Nothing was sent.
    Absent,
    /// As it was sent, or as it was read before.
    Sent(&'a RawValue),
    /// Read out of what was sent.
    Made(Box<RawValue>),
    /// It cannot be had.
    Faulty(&'a Fault),
}

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Absent => serializer.serialize_none(),
            Self::Sent(raw) => raw.serialize(serializer),
            Self::Made(raw) => raw.serialize(serializer),
            Self::Faulty(fault) => fault.serialize(serializer),
        }
    }
}

/// A span's payload as far as it is to be shown.
#[derive(Debug)]
pub(crate) enum Shown {
    /// Not at all.
    None,
    /// By the previews of the row.
    Preview,
    /// The `span_data` as sent; `None` if the sender sent none.
    Full(Option<Result<Box<RawValue>, Fault>>),
    /// What a span of OpenTelemetry says, which has attributes instead.
    Telemetry(Result<Box<Telemetry>, Fault>),
}

impl Shown {
    /// Returns as much of the payload of `span`, into which `doubles` are merged, as `detail` asks for.
    pub(crate) fn of(span: &Span, doubles: &[&Span], detail: Detail, messages: &Messages) -> Self {
        match detail {
            Detail::None => Self::None,
            Detail::Preview => Self::Preview,
            Detail::Full if is_telemetry(span) => {
                Self::Telemetry(Telemetry::of(span, doubles, messages).map(Box::new))
            }
            Detail::Full => Self::Full(sent(span, messages).transpose()),
        }
    }

    /// Returns how much of the payload this is.
    pub(crate) fn detail(&self) -> Detail {
        match self {
            Self::None => Detail::None,
            Self::Preview => Detail::Preview,
            Self::Full(_) | Self::Telemetry(_) => Detail::Full,
        }
    }

    /// Returns the attributes of `span` as they were sent.
    pub(super) fn attributes<'a>(&'a self, span: &'a Span) -> Option<&'a RawValue> {
        match self {
            Self::Telemetry(Ok(telemetry)) => Some(&telemetry.attributes),
            _ => span.payload.attributes.as_ref().and_then(raw),
        }
    }
}

/// What a span of OpenTelemetry says, and what it means.
#[derive(Debug)]
pub(crate) struct Telemetry {
    attributes: Box<RawValue>,
    input: Option<Box<RawValue>>,
    output: Option<Box<RawValue>>,
}

impl Telemetry {
    fn of(span: &Span, doubles: &[&Span], messages: &Messages) -> Result<Self, Fault> {
        let data = restored(span, messages)?;
        let of_doubles = doubles.iter().filter(|span| !span.is_log_record());
        let of_doubles: Vec<(&Span, Option<String>)> = of_doubles
            .map(|span| Ok((*span, restored(span, messages)?)))
            .collect::<Result<_, Fault>>()?;
        let of_doubles: Vec<Sent<'_>> = of_doubles
            .iter()
            .map(|(span, data)| Sent {
                span,
                data: data.as_deref(),
            })
            .collect();
        let this = Sent {
            span,
            data: data.as_deref(),
        };
        let told = otlp::contents_with(this, &of_doubles);
        let json = |text: &JsonText| RawValue::from_string(text.as_str().to_owned()).ok();
        let list = |messages: &[ChatMessage]| made(messages).filter(|_| !messages.is_empty());
        let documents = || made(&told.documents).filter(|_| !told.documents.is_empty());
        Ok(Self {
            attributes: RawValue::from_string(otlp::attributes(this)).map_err(Fault::damaged)?,
            input: told
                .arguments
                .as_ref()
                .and_then(json)
                .or_else(|| list(&told.input)),
            output: told
                .result
                .as_ref()
                .and_then(json)
                .or_else(|| list(&told.output))
                .or_else(documents),
        })
    }
}

fn made(value: &(impl Serialize + ?Sized)) -> Option<Box<RawValue>> {
    serde_json::value::to_raw_value(value).ok()
}

/// Returns the data of a span as it was sent.
fn sent(span: &Span, messages: &Messages) -> Result<Option<Box<RawValue>>, Fault> {
    let text = restored(span, messages)?;
    let raw = text.map(|text| RawValue::from_string(text).map_err(Fault::damaged));
    raw.transpose()
}

/// Returns how many bytes the payload of `span` has as it was sent.
pub(crate) fn expanded_bytes(span: &Span, messages: &Messages) -> usize {
    let payload = &span.payload;
    let refs = payload.input_refs.iter().chain(&payload.output_refs);
    refs.filter_map(|hash| messages.get(hash))
        .map(|message| message.content.len())
        .sum::<usize>()
        + own_bytes(span)
}

/// Returns how many bytes the payload of `span` has without the messages it refers to.
pub(crate) fn own_bytes(span: &Span) -> usize {
    let payload = &span.payload;
    let texts = [&payload.data, &payload.attributes, &payload.events]
        .into_iter()
        .flatten();
    texts.map(|text| text.as_str().len()).sum()
}

/// What a span was given, what it gave back, and all it sent.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) span_data: Part<'a>,
    pub(crate) input: Part<'a>,
    pub(crate) output: Part<'a>,
    /// Of functions: the input as JSON, if it is JSON in a string.
    pub(crate) arguments: Part<'a>,
    /// Of functions: the output once more, under the name that people look for.
    pub(crate) result: Part<'a>,
}

impl<'a> Parts<'a> {
    /// Returns the parts of what is shown; `None` where the payload is not.
    pub(crate) fn of(span_type: SpanType, shown: &'a Shown) -> Option<Self> {
        let all = |part: &dyn Fn() -> Part<'a>| Self {
            span_data: part(),
            input: part(),
            output: part(),
            arguments: part(),
            result: part(),
        };
        let parts = match shown {
            Shown::None | Shown::Preview => return None,
            Shown::Full(None) => all(&|| Part::Absent),
            Shown::Full(Some(Err(fault))) | Shown::Telemetry(Err(fault)) => {
                all(&|| Part::Faulty(fault))
            }
            Shown::Full(Some(Ok(data))) => Self::of_data(span_type, data),
            Shown::Telemetry(Ok(telemetry)) => Self::of_telemetry(telemetry),
        };
        Some(parts)
    }

    fn of_telemetry(telemetry: &'a Telemetry) -> Self {
        let part = |raw: &'a Option<Box<RawValue>>| raw.as_deref().map_or(Part::Absent, Part::Sent);
        Self {
            span_data: Part::Absent,
            input: part(&telemetry.input),
            output: part(&telemetry.output),
            arguments: part(&telemetry.input),
            result: part(&telemetry.output),
        }
    }

    fn of_data(span_type: SpanType, data: &'a RawValue) -> Self {
        let input = member(data, "input");
        let output = member(data, "output").or_else(|| member(member(data, "response")?, "output"));
        let sent = |raw: Option<&'a RawValue>| raw.map_or(Part::Absent, Part::Sent);
        let is_function = span_type == SpanType::Function;
        Self {
            span_data: Part::Sent(data),
            input: sent(input),
            output: sent(output),
            arguments: input.filter(|_| is_function).map_or(Part::Absent, parsed),
            result: sent(output.filter(|_| is_function)),
        }
    }
}

/// Returns the value under a key of an object, of equal keys the last; null is nothing.
fn member<'a>(object: &'a RawValue, key: &str) -> Option<&'a RawValue> {
    let members: HashMap<Cow<'a, str>, &'a RawValue> = serde_json::from_str(object.get()).ok()?;
    members
        .get(key)
        .copied()
        .filter(|value| value.get() != "null")
}

/// Returns the JSON in a string, else the value itself: models write arguments as text.
fn parsed(value: &RawValue) -> Part<'_> {
    let inner = serde_json::from_str::<String>(value.get()).ok();
    match inner.and_then(|text| RawValue::from_string(text).ok()) {
        Some(inner) => Part::Made(inner),
        None => Part::Sent(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::samples;
    use model::MessageHash;

    fn shown(data: &str, refs: &[MessageHash], messages: &Messages) -> String {
        let mut span = samples::span("s", SpanType::Generation);
        span.payload.data = Some(JsonText::from_trusted(data));
        span.payload.input_refs = refs.to_vec();
        let shown = Shown::of(&span, &[], Detail::Full, messages);
        let parts = Parts::of(SpanType::Generation, &shown).unwrap();
        serde_json::to_string(&[&parts.span_data, &parts.input]).unwrap()
    }

    #[test]
    fn d7_what_cannot_be_restored_is_told_in_its_place() {
        let hash = MessageHash::of(b"gone");
        let missing = format!(
            r#"{{"error":{{"code":"message_missing","message":"message {hash} is referred to but not stored"}}}}"#
        );
        let got = shown(r#"{"input":["$ref:i0"]}"#, &[hash], &Messages::new());
        assert_eq!(got, format!("[{missing},{missing}]"));
        let got = shown(r#"{"input":["$ref:i7"]}"#, &[hash], &Messages::new());
        assert!(
            got.contains("payload_damaged") && got.contains("byte 10"),
            "{got}"
        );
        let got = shown(r#"{"input":["#, &[], &Messages::new());
        assert!(got.contains("payload_damaged"), "{got}");
    }

    #[test]
    fn numbers_key_order_and_repeated_keys_come_out_as_sent() {
        let data = r#"{"z":1.0,"a":1e400,"input":"first","é":-0,"input":[2.50]}"#;
        assert_eq!(
            shown(data, &[], &Messages::new()),
            format!("[{data},[2.50]]")
        );
        assert_eq!(shown("[1]", &[], &Messages::new()), "[[1],null]");
    }

    #[test]
    fn arguments_are_parsed_if_they_are_json_in_a_string() {
        let check = |input: &str, want: &str| {
            let raw = RawValue::from_string(input.to_owned()).unwrap();
            assert_eq!(serde_json::to_string(&parsed(&raw)).unwrap(), want);
        };
        check(r#""{\"n\": 1.0}""#, r#"{"n": 1.0}"#);
        check(r#"{"n":1.0}"#, r#"{"n":1.0}"#);
        check(r#""not json""#, r#""not json""#);
        check(r#""""#, r#""""#);
    }
}
