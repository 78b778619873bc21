//! A trace as other tools, and the import of this one, read it: lines and requests, piece by piece.
//!
//! Messages are put into a few spans at a time, for agents send their history again with every call and
//! a trace is many times larger whole than it is stored.

use std::ops::Range;

use ingest::contents::{Messages, restored};
use ingest::otlp::{Encoding, LogRecord, Sent, is_telemetry};
use ingest::outgoing::{self, Dialect, Form, Request};
use model::{Span, TraceItem};
use store::SpanRow;

use super::payload::{Fault, expanded_bytes};

/// A request is closed once its spans have so many bytes.
const REQUEST_BYTES_SOFT: usize = 4 << 20;

/// A request is closed once it has so many spans.
const REQUEST_SPANS_MAX: usize = 10_000;

/// How whole traces are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TraceFormat {
    /// A line each, items as the Agents SDK sends them.
    AgentsLines,
    /// Requests of OpenTelemetry: JSON a line each, or protobuf with its length in four bytes in front
    /// (the high one first), as the Collector's file exporter writes them.
    Otlp(Form),
}

impl TraceFormat {
    /// Requests in JSON.
    pub(crate) const OTLP_JSON: Self = Self::Otlp(Form {
        dialect: Dialect::Genai,
        encoding: Encoding::Json,
        originals: true,
    });
    /// Requests in protobuf.
    pub(crate) const OTLP_PROTO: Self = Self::Otlp(Form {
        dialect: Dialect::Genai,
        encoding: Encoding::Protobuf,
        originals: true,
    });
    /// Requests in JSON, in the words of OpenInference.
    pub(crate) const OPENINFERENCE: Self = Self::Otlp(Form {
        dialect: Dialect::Openinference,
        encoding: Encoding::Json,
        originals: true,
    });

    /// Returns the media type of the whole.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Otlp(form) if form.encoding == Encoding::Protobuf => "application/octet-stream",
            _ => "application/x-ndjson",
        }
    }
}

/// A trace with all its rows, on its way out.
#[derive(Debug)]
pub(crate) struct Exported {
    item: TraceItem,
    spans: Vec<SpanRow>,
    records: Vec<LogRecord>,
    messages: Messages,
}

impl Exported {
    /// Takes the rows of a trace as they are stored.
    pub(crate) fn new(
        item: TraceItem,
        rows: Vec<SpanRow>,
        messages: Messages,
    ) -> Result<Self, Fault> {
        let (of_logs, spans): (Vec<_>, Vec<_>) =
            rows.into_iter().partition(|row| row.span.is_log_record());
        let of_logs = of_logs.iter().map(|row| &*row.span);
        let records = with_data(of_logs, &messages, outgoing::records)?;
        Ok(Self {
            item,
            spans,
            records,
            messages,
        })
    }

    /// Returns the trace in pieces that follow each other.
    pub(crate) fn into_pieces(
        self,
        format: TraceFormat,
    ) -> Box<dyn Iterator<Item = Result<Vec<u8>, Fault>> + Send> {
        match format {
            TraceFormat::AgentsLines => Box::new(self.into_line()),
            TraceFormat::Otlp(form) => Box::new(self.into_requests(form)),
        }
    }

    fn into_line(mut self) -> impl Iterator<Item = Result<Vec<u8>, Fault>> + Send {
        self.spans.retain(|row| outgoing::has_item(&row.span));
        let is_foreign = self.spans.iter().any(|row| is_telemetry(&row.span));
        let begin = outgoing::line_begin(&self.item, is_foreign).into_bytes();
        let spans = (0..self.spans.len()).map(move |at| {
            let span = [&*self.spans[at].span];
            let write = |sent: &[Sent<'_>]| outgoing::line_span(sent[0], &self.records);
            let item = with_data(span.into_iter(), &self.messages, write)?;
            let comma = if at > 0 { "," } else { "" };
            Ok(format!("{comma}{item}").into_bytes())
        });
        let end = Ok(outgoing::LINE_END.as_bytes().to_vec());
        [Ok(begin)].into_iter().chain(spans).chain([end])
    }

    fn into_requests(self, form: Form) -> impl Iterator<Item = Result<Vec<u8>, Fault>> + Send {
        let logs = form.logs(&self.records);
        let logs = logs.map(|request| Ok(framed(form, request)));
        let parts = parts(&self.spans, |row| expanded_bytes(&row.span, &self.messages));
        let spans = parts.into_iter().map(move |part| {
            let rows = self.spans[part].iter().map(|row| &*row.span);
            let write = |sent: &[Sent<'_>]| form.spans(&self.item, sent, &self.records);
            Ok(framed(form, with_data(rows, &self.messages, write)?))
        });
        // Records before their spans: what these say of the trace counts.
        logs.into_iter().chain(spans)
    }
}

/// Calls `write` with the spans and their data, messages put in.
fn with_data<'a, T>(
    spans: impl Iterator<Item = &'a Span>,
    messages: &Messages,
    write: impl FnOnce(&[Sent<'_>]) -> T,
) -> Result<T, Fault> {
    let whole = spans.map(|span| {
        let data = restored(span, messages)?;
        Ok((span, data))
    });
    let whole: Vec<(&Span, Option<String>)> = whole.collect::<Result<_, Fault>>()?;
    let sent = whole.iter().map(|(span, data)| Sent {
        span,
        data: data.as_deref(),
    });
    Ok(write(&sent.collect::<Vec<_>>()))
}

fn framed(form: Form, request: Request) -> Vec<u8> {
    let mut body = request.body;
    match form.encoding {
        Encoding::Json => {
            body.push(b'\n');
            body
        }
        Encoding::Protobuf => {
            let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
            [&length.to_be_bytes()[..], &body].concat()
        }
    }
}

/// Cuts items into parts of a bounded size; what is larger alone is a part of its own, and where there
/// are no items there is one part all the same.
fn parts<T>(items: &[T], bytes: impl Fn(&T) -> usize) -> Vec<Range<usize>> {
    let (mut parts, mut from, mut held) = (Vec::new(), 0, 0);
    for (at, item) in items.iter().enumerate() {
        let weight = bytes(item);
        if at > from && (held + weight > REQUEST_BYTES_SOFT || at - from == REQUEST_SPANS_MAX) {
            parts.push(from..at);
            (from, held) = (at, 0);
        }
        held += weight;
    }
    parts.push(from..items.len());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_bounded_and_hold_everything() {
        let check = |sizes: &[usize], want: &[usize]| {
            let got: Vec<_> = parts(sizes, |size| *size)
                .into_iter()
                .map(|part| part.len())
                .collect();
            assert_eq!(got, want);
        };
        check(&[], &[0]);
        check(&[REQUEST_BYTES_SOFT * 2], &[1]);
        check(&[1, REQUEST_BYTES_SOFT, 1], &[1, 1, 1]);
        check(&[REQUEST_BYTES_SOFT / 2; 5], &[2, 2, 1]);
        check(&[0; REQUEST_SPANS_MAX + 1], &[REQUEST_SPANS_MAX, 1]);
    }
}
