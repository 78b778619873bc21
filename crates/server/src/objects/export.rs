//! A trace as the Agents SDK would have sent it: what is exported can be imported again, here or
//! wherever else that format is read, and says the same afterwards.
//!
//! What we made ourselves (derived spans, costs, previews) is left out: the import makes it again.

use model::{JsonText, Span, TraceItem};
use serde::Serialize;
use serde_json::value::RawValue;

use super::payload::{Fault, Messages, restored_text};
use super::span::raw;

/// Returns one line, `{"trace":{…},"spans":[…]}`, without its end.
pub(crate) fn export_line<'a>(
    item: &TraceItem,
    spans: impl IntoIterator<Item = &'a Span>,
    messages: &Messages,
) -> Result<Vec<u8>, Fault> {
    let mut line = b"{\"trace\":".to_vec();
    write_trace(&mut line, item);
    line.extend_from_slice(b",\"spans\":[");
    let sent = spans.into_iter().filter(|span| !span.derived);
    for (n, span) in sent.enumerate() {
        if n > 0 {
            line.push(b',');
        }
        write_span(&mut line, span, messages)?;
    }
    line.extend_from_slice(b"]}");
    // Strings have no raw line breaks, so those of an indented text stand between tokens.
    line.iter_mut()
        .filter(|byte| matches!(byte, b'\n' | b'\r'))
        .for_each(|byte| *byte = b' ');
    Ok(line)
}

fn write_trace(line: &mut Vec<u8>, item: &TraceItem) {
    #[derive(Serialize)]
    struct Sent<'a> {
        object: &'static str,
        id: &'a str,
        workflow_name: Option<&'a str>,
        group_id: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        metadata: Option<&'a RawValue>,
        #[serde(skip_serializing_if = "Option::is_none")]
        ended: Option<bool>,
    }
    let sent = Sent {
        object: "trace",
        id: item.trace_id.as_str(),
        workflow_name: item.workflow_name.as_deref(),
        group_id: item.group_id.as_ref().map(|id| id.as_str()),
        metadata: item.metadata.as_ref().and_then(raw),
        ended: item.ended,
    };
    write_with_extra(line, &sent, item.extra.as_ref());
}

fn write_span(line: &mut Vec<u8>, span: &Span, messages: &Messages) -> Result<(), Fault> {
    #[derive(Serialize)]
    struct Sent<'a> {
        object: &'static str,
        id: &'a str,
        trace_id: &'a str,
        parent_id: Option<&'a str>,
        started_at: Option<model::Time>,
        ended_at: Option<model::Time>,
        span_type: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        span_data: Option<&'a RawValue>,
        error: Option<SentError<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        metadata: Option<&'a RawValue>,
    }
    let data = span
        .payload
        .data
        .as_ref()
        .map(|data| restored_text(span, data, messages))
        .transpose()?;
    let data = data.map(JsonText::from_trusted);
    let sent = Sent {
        object: "trace.span",
        id: span.span_id.as_str(),
        trace_id: span.trace_id.as_str(),
        parent_id: span.parent_id.as_ref().map(|id| id.as_str()),
        started_at: span.started_at,
        ended_at: span.ended_at,
        span_type: &span.source_type,
        span_data: data.as_ref().and_then(raw),
        error: span.error.as_ref().map(SentError::of),
        metadata: span.payload.attributes.as_ref().and_then(raw),
    };
    write_with_extra(line, &sent, span.payload.extra.as_ref());
    Ok(())
}

/// An error as it is sent.
#[derive(Serialize)]
#[serde(untagged)]
enum SentError<'a> {
    /// In a sender's own shape, which was kept whole.
    Own(&'a RawValue),
    Sdk {
        message: &'a str,
        data: Option<&'a RawValue>,
    },
}

impl<'a> SentError<'a> {
    fn of(error: &'a model::SpanError) -> Self {
        #[derive(serde::Deserialize)]
        struct Told {
            message: String,
        }
        let data = error.data.as_ref().and_then(raw);
        let told = data.and_then(|data| serde_json::from_str::<Told>(data.get()).ok());
        match data.filter(|_| told.is_some_and(|told| told.message == error.message)) {
            Some(own) => Self::Own(own),
            None => Self::Sdk {
                message: &error.message,
                data,
            },
        }
    }
}

/// Writes an object and, behind its members, those that nobody here knows.
fn write_with_extra(line: &mut Vec<u8>, object: &impl Serialize, extra: Option<&JsonText>) {
    let mut json =
        serde_json::to_vec(object).expect("texts, times and checked JSON can be written");
    if let Some(extra) = extra.and_then(|extra| extra.as_str().strip_prefix('{')) {
        json.pop();
        json.push(b',');
        json.extend_from_slice(extra.as_bytes());
    }
    line.append(&mut json);
}
