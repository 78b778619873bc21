//! Log records as rows of their own, until somebody reads their span.
//!
//! A record and its span come in any order, on different connections, and each may come twice. So
//! nothing is looked up when one of them comes: a record becomes a row beside its span, named by what
//! it says and marked as merged into the span. Whoever reads the span calls [`super::join`].

use model::{Batch, MessageHash, SOURCE_TYPE_LOG_RECORD, Source, Span, SpanId, SpanType, Time};

use crate::json::Value;
use crate::messages::Doc;

use super::join;
use super::logs::{LogBatch, LogRecord};
use super::view::Sent;

/// What becomes of the records of one request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RecordRows {
    /// The rows, with what the records say of the run.
    pub batch: Batch,
    /// How many records say nothing of GenAI; they are not kept.
    pub without_genai: usize,
    /// How many name no span, so that nobody could find them again; they are not kept.
    pub without_span: usize,
}

/// Returns the rows of the records.
pub fn record_rows(logs: LogBatch, source: Source) -> RecordRows {
    let mut rows = RecordRows {
        without_genai: logs.ignored,
        ..RecordRows::default()
    };
    let batch = &mut rows.batch;
    (batch.accepted, batch.rejected) = (logs.accepted, logs.rejected);
    for record in logs.records {
        let Some(span) = row(&record, source) else {
            rows.without_span += 1;
            continue;
        };
        let mut joined = join(span, &[record]);
        joined.span.span_type = SpanType::Custom;
        batch.spans.push(joined.span);
        batch.messages.extend(joined.messages);
        batch.traces.extend(joined.trace);
    }
    rows
}

/// Returns the row of a record, still without its content and of the type of a call.
fn row(record: &LogRecord, source: Source) -> Option<Span> {
    let (trace_id, target) = (record.trace_id.clone()?, record.span_id.clone()?);
    // The same record again is the same row.
    let said = format!("{target} {}", record.json.as_str());
    let id = SpanId::new(&format!("log-{}", MessageHash::of(said.as_bytes()))).ok()?;
    let at = i64::try_from(record.nanos / 1_000).unwrap_or(0);
    let at = (at > 0).then(|| Time::from_micros(at));
    // What a record says is read as its call would: whoever has no payload at hand, as SQL, has the
    // previews of it.
    let mut span = Span::new(trace_id, id, SpanType::Generation, source);
    span.name.clone_from(&record.name);
    SOURCE_TYPE_LOG_RECORD.clone_into(&mut span.source_type);
    (span.started_at, span.ended_at) = (at, at);
    span.parent_id = Some(target.clone());
    span.merged_into = Some(target);
    Some(span)
}

/// Returns the records that a row holds: as they came, for [`join`].
pub fn records_of(sent: Sent<'_>) -> Vec<LogRecord> {
    let Some(doc) = sent.data.and_then(Doc::parse_container) else {
        return Vec::new();
    };
    let records = doc.root().get("records");
    let list = records.and_then(|records| records.get("list"));
    let record = |value: Value<'_, '_>| {
        let text = |key: &str| value.get(key)?.words().map(String::from);
        LogRecord {
            trace_id: Some(sent.span.trace_id.clone()),
            span_id: sent.span.merged_into.clone(),
            nanos: text("time_unix_nano")
                .and_then(|nanos| nanos.parse().ok())
                .unwrap_or(0),
            name: text("name").unwrap_or_default(),
            json: model::JsonText::from_trusted(value.raw()),
            evaluation: None,
        }
    };
    list.into_iter()
        .flat_map(Value::elements)
        .map(record)
        .collect()
}
