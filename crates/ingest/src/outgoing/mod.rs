//! Traces on their way out: what is stored, in the forms that other tools read.
//!
//! What came as OpenTelemetry goes out as it came, and so do items of the Agents SDK. Where the one is
//! asked for and the other is there, a span is translated; what its new form has no place for goes along
//! in attributes of our own ([`marks`]), so that a store like ours takes the same trace in again. Only
//! the other way round, from OpenTelemetry to the Agents SDK, something is lost (see [`facts`]).
//!
//! Pure like its counterparts: texts in, bytes out.

mod agents;
mod facts;
mod genai;
mod groups;
mod ids;
mod json;
pub(crate) mod marks;
mod openinference;
mod protobuf;
mod translated;

use model::{Span, TraceItem};

use crate::dialects::Contents;
use crate::otlp::rebuilt;
use crate::otlp::{
    Encoding, LogRecord, RawItem, RawSpan, Sent, Signal, contents, is_telemetry, records_of,
};

use groups::Groups;

/// The words in which a span of another make is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// The GenAI conventions of OpenTelemetry.
    Genai,
    /// OpenInference, beside what the sender of a span says itself.
    Openinference,
}

/// How requests are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// The words of spans of another make.
    pub dialect: Dialect,
    /// Protobuf or JSON.
    pub encoding: Encoding,
    /// Whether what the form has no place for goes along in attributes of our own.
    pub originals: bool,
}

/// A request of OpenTelemetry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Whether it holds log records; else spans.
    pub is_logs: bool,
    /// `ExportTraceServiceRequest` or `ExportLogsServiceRequest`.
    pub body: Vec<u8>,
}

/// Returns the log records among the rows of a trace, whose content belongs to its spans.
pub fn records(rows: &[Sent<'_>]) -> Vec<LogRecord> {
    let rows = rows.iter().filter(|sent| sent.span.is_log_record());
    rows.flat_map(|sent| records_of(*sent)).collect()
}

impl Form {
    /// Returns the log records of a trace as a request, if there are any.
    pub fn logs(self, records: &[LogRecord]) -> Option<Request> {
        let mut groups = Groups::default();
        for record in records {
            let make = (|| rebuilt::resource(None), || rebuilt::scope(None));
            let log = RawItem::Log(Box::new(rebuilt::record(record)));
            groups.push(["", ""], make, log);
        }
        (!records.is_empty()).then(|| self.request(Signal::Logs, groups))
    }

    /// Returns spans of one trace as a request: rows as they are stored, nothing of one filled in from
    /// another, without its `records`. Of a trace without spans the request says that there is one.
    pub fn spans(self, item: &TraceItem, spans: &[Sent<'_>], records: &[LogRecord]) -> Request {
        let mut groups = Groups::default();
        for (n, sent) in spans.iter().enumerate() {
            // Every request says it, for nobody knows which of them comes last.
            let facts = (n == 0 && self.originals)
                .then(|| marks::text(marks::TRACE, marks::trace_json(item)));
            match is_telemetry(sent.span) {
                true => self.push_telemetry(&mut groups, *sent, item, records, facts),
                false => self.push_translated(&mut groups, *sent, item, facts),
            }
        }
        if spans.is_empty() {
            let alone = RawItem::Span(Box::new(translated::alone(item)));
            groups.push(["tracegrade"; 2], translated::makers(item), alone);
        }
        self.request(Signal::Traces, groups)
    }

    fn push_telemetry<'k>(
        self,
        groups: &mut Groups<'k>,
        sent: Sent<'k>,
        item: &TraceItem,
        records: &[LogRecord],
        facts: Option<marks::Member>,
    ) {
        let mut raw = rebuilt::span(sent);
        if self.dialect == Dialect::Openinference {
            let more = openinference::attributes(sent.span, &told(sent, records), item);
            raw.attributes = openinference::add(&raw.attributes, more, self.originals);
        }
        let raw = with(raw, facts);
        let payload = &sent.span.payload;
        let (resource, scope) = (payload.resource.as_ref(), payload.scope.as_ref());
        let keys = [resource, scope].map(|json| json.map_or("", |json| json.as_str()));
        let make = (|| rebuilt::resource(resource), || rebuilt::scope(scope));
        groups.push(keys, make, RawItem::Span(Box::new(raw)));
    }

    fn push_translated<'k>(
        self,
        groups: &mut Groups<'k>,
        sent: Sent<'k>,
        item: &TraceItem,
        facts: Option<marks::Member>,
    ) {
        let contents = translated::contents(sent);
        let raw = with(translated::span(sent, &contents, self, item), facts);
        let raw = RawItem::Span(Box::new(raw));
        groups.push(["tracegrade"; 2], translated::makers(item), raw);
    }

    fn request(self, signal: Signal, groups: Groups<'_>) -> Request {
        let groups = groups.finish();
        Request {
            is_logs: signal == Signal::Logs,
            body: match self.encoding {
                Encoding::Json => json::request(signal, &groups),
                Encoding::Protobuf => protobuf::request(&groups),
            },
        }
    }
}

fn with(mut raw: RawSpan<'static>, member: Option<marks::Member>) -> RawSpan<'static> {
    if let Some(member) = member {
        raw.attributes = std::mem::take(&mut raw.attributes).with(member);
    }
    raw
}

/// What a line ends with.
pub const LINE_END: &str = "]}\n";

/// Returns the beginning of a line `{"trace":{…},"spans":[…]}` with the items of the Agents SDK. Spans
/// are written behind it, commas between them, then [`LINE_END`].
pub fn line_begin(item: &TraceItem, is_telemetry: bool) -> String {
    let item = match is_telemetry {
        true => facts::trace_item(item),
        false => agents::trace_item(item, item.metadata.as_ref().map(|json| json.as_str())),
    };
    format!("{{\"trace\":{},\"spans\":[", in_one_line(item))
}

/// Returns the item of a trace.
pub fn trace_item(item: &TraceItem) -> String {
    in_one_line(agents::trace_item(
        item,
        item.metadata.as_ref().map(|json| json.as_str()),
    ))
}

/// Returns whether a row has an item in a line: what is derived is made anew by who reads it.
pub fn has_item(span: &Span) -> bool {
    !span.derived && !span.is_log_record()
}

/// Returns the item of a span.
pub fn line_span(sent: Sent<'_>, records: &[LogRecord]) -> String {
    in_one_line(match is_telemetry(sent.span) {
        true => facts::span_item(sent, &told(sent, records)),
        false => agents::span_item(sent),
    })
}

/// Strings have no raw line breaks, so those of an indented text stand between tokens.
fn in_one_line(json: String) -> String {
    match json.contains(['\n', '\r']) {
        true => json.replace(['\n', '\r'], " "),
        false => json,
    }
}

/// Returns what went in and came out of a span of OpenTelemetry, its log records included.
fn told(sent: Sent<'_>, records: &[LogRecord]) -> Contents {
    let span = sent.span;
    let is_its = |record: &&LogRecord| record.span_id.as_ref() == Some(&span.span_id);
    let mut its: Vec<&LogRecord> = records.iter().filter(is_its).collect();
    if its.is_empty() {
        return contents(sent);
    }
    its.sort_by_key(|record| record.nanos);
    let list: Vec<&str> = its.iter().map(|record| record.json.as_str()).collect();
    // As a span with its records is stored once they are joined.
    let before = sent.data.and_then(|data| data.strip_suffix('}'));
    let before = before.map_or_else(|| "{".to_owned(), |before| format!("{before},"));
    let data = format!("{before}\"records\":{{\"list\":[{}]}}}}", list.join(","));
    contents(Sent {
        span,
        data: Some(&data),
    })
}
