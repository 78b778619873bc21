//! Log records: those that carry the content of GenAI calls, on their way to their spans.
//!
//! Applications log a great deal that is no part of a run. A record is kept if it says something of
//! GenAI; the others are accepted, counted and let go.

use model::{JsonText, Rejections, SpanId, TraceId};

use super::SPANS_MAX;
use super::any::{Any, Attributes};
use super::envelope::{EnvelopeError, count, finish, raw, told};
use super::form::{Group, RawItem, RawLog, RawResource, RawScope, Sink};
use super::refusal::Refusal;
use super::span::{hex, id, told_attributes, told_nanos};

/// The log records of one request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LogBatch {
    /// How many records were taken, those that are not kept included.
    pub accepted: usize,
    /// How many of them say nothing of GenAI and are not kept.
    pub ignored: usize,
    /// The records that are kept, in the order they came.
    pub records: Vec<LogRecord>,
    /// Records that were refused, each with its reason.
    pub rejected: Rejections,
}

/// A log record that tells of a GenAI call.
#[derive(Debug, Clone, PartialEq)]
pub struct LogRecord {
    /// The trace it belongs to, if it says so.
    pub trace_id: Option<TraceId>,
    /// The span it belongs to, if it says so.
    pub span_id: Option<SpanId>,
    /// When it was written, else when it was observed; nanoseconds since 1970, 0 if neither is known.
    pub nanos: u64,
    /// What it is, such as `gen_ai.choice`.
    pub name: String,
    /// The record: `name`, `time_unix_nano`, `severity`, `attributes`, `body`.
    pub json: JsonText,
    /// A sender's judgement, if the record is one.
    pub evaluation: Option<Evaluation>,
}

/// What somebody thinks of a call: `gen_ai.evaluation.result`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evaluation {
    /// What was judged, such as `relevance`.
    pub name: String,
    /// The judgement as a number.
    pub score: Option<f64>,
    /// The judgement as a word.
    pub label: Option<String>,
    /// Why.
    pub explanation: Option<String>,
    /// The answer that was judged, where the record names no span.
    pub response_id: Option<String>,
    /// What went wrong while judging.
    pub error_type: Option<String>,
}

/// The state of one call.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    group: Group,
    batch: LogBatch,
    items: usize,
}

impl Decoder {
    /// Returns the records, or that the request was too large.
    pub(super) fn finish(self) -> Result<LogBatch, EnvelopeError> {
        match self.items > SPANS_MAX {
            true => Err(EnvelopeError::TooManyItems),
            false => Ok(self.batch),
        }
    }

    fn record(&mut self, log: &RawLog<'_>) {
        self.batch.accepted += 1;
        match record(log) {
            Some(record) => self.batch.records.push(record),
            None => self.batch.ignored += 1,
        }
    }
}

impl<'b> Sink<'b> for Decoder {
    fn resource(&mut self, resource: RawResource<'b>, schema_url: &str) {
        self.group.set_resource(resource, schema_url);
    }

    fn scope(&mut self, scope: RawScope<'b>, schema_url: &str) {
        self.group.set_scope(scope, schema_url);
    }

    fn item(&mut self, item: Result<RawItem<'b>, Refusal>) {
        match item {
            Ok(RawItem::Log(log)) => self.record(&log),
            Ok(RawItem::Span(_)) => {}
            Err(refusal) => self.batch.rejected.push(refusal.of_item(self.items)),
        }
        self.items += 1;
    }

    fn is_full(&self) -> bool {
        self.items > SPANS_MAX
    }
}

/// Returns the name of an event; older libraries write it into an attribute.
fn name<'l>(log: &'l RawLog<'_>) -> &'l str {
    match log.attributes.text("event.name") {
        Some(name) if log.event_name.is_empty() => name,
        _ => &log.event_name,
    }
}

fn record(log: &RawLog<'_>) -> Option<LogRecord> {
    let name = name(log);
    let tells_of_genai = name.starts_with("gen_ai.")
        || (name == "exception" && !log.span_id.is_empty())
        || log.attributes.has_under("gen_ai.");
    if !tells_of_genai {
        return None;
    }
    let trace_id = id::<16>("traceId", &log.trace_id).ok();
    let span_id = id::<8>("spanId", &log.span_id).ok();
    let nanos = match log.nanos {
        0 => log.observed_nanos,
        nanos => nanos,
    };
    Some(LogRecord {
        trace_id: trace_id.and_then(|id| TraceId::new(&hex(&id)).ok()),
        span_id: span_id.and_then(|id| SpanId::new(&hex(&id)).ok()),
        nanos,
        name: name.to_owned(),
        json: json(log, name, nanos),
        evaluation: (name == "gen_ai.evaluation.result").then(|| evaluation(&log.attributes)),
    })
}

fn json(log: &RawLog<'_>, name: &str, nanos: u64) -> JsonText {
    let mut out = String::new();
    told(&mut out, "name", name);
    told_nanos(&mut out, "time_unix_nano", nanos);
    count(&mut out, "severity_number", log.severity_number);
    told(&mut out, "severity_text", &log.severity_text);
    count(&mut out, "flags", log.flags);
    told_attributes(&mut out, &log.attributes, log.dropped_attributes);
    if log.body != Any::Empty {
        let mut body = String::new();
        log.body.push_json(&mut body, 1);
        raw(&mut out, "body", &body);
    }
    finish(out).unwrap_or_else(|| JsonText::from_trusted("{}"))
}

fn evaluation(attributes: &Attributes<'_>) -> Evaluation {
    let text = |key: &str| attributes.text(key).map(str::to_owned);
    let score = attributes.get("gen_ai.evaluation.score.value");
    Evaluation {
        name: text("gen_ai.evaluation.name").unwrap_or_default(),
        score: score.and_then(Any::number),
        label: text("gen_ai.evaluation.score.label"),
        explanation: text("gen_ai.evaluation.explanation"),
        response_id: text("gen_ai.response.id"),
        error_type: text("error.type"),
    }
}
