//! Spans of one trace as they are told: what a double or a log record knows beyond its span is put in.

use std::collections::BTreeMap;
use std::sync::Arc;

use ingest::otlp::{self, LogRecord, Sent};
use model::{Span, doubles};
use store::SpanRow;

use crate::objects::{Messages, restored_text};

/// The rows that are merged into each row, by its place.
pub(super) type Doubles = BTreeMap<usize, Vec<usize>>;

/// Fills the gaps of rows that others are merged into, and returns which those are. `messages` are all
/// of the trace and get those of log records too; without them only the columns are filled.
pub(super) fn fill(rows: &mut [SpanRow], mut messages: Option<&mut Messages>) -> Doubles {
    let spans: Vec<&Span> = rows.iter().map(|row| &*row.span).collect();
    let mut by_target = Doubles::new();
    // Inner ones first: what a record tells of them is theirs when they give it on.
    let mut targets = Vec::new();
    for (from, into) in doubles(&spans) {
        let of_target = by_target.entry(into).or_default();
        if of_target.is_empty() {
            targets.push(into);
        }
        of_target.push(from);
    }
    for into in targets {
        let from = &by_target[&into];
        if let Some(messages) = &mut messages {
            join_records(rows, into, from, messages);
        }
        for &from in from {
            let double = Arc::clone(&rows[from].span);
            Arc::make_mut(&mut rows[into].span).fill_from(&double);
            let id = rows[into].span.span_id.clone();
            Arc::make_mut(&mut rows[from].span).merged_into = Some(id);
        }
    }
    by_target
}

/// Puts the content of log records onto their span.
fn join_records(rows: &mut [SpanRow], into: usize, from: &[usize], messages: &mut Messages) {
    let records: Vec<LogRecord> = from
        .iter()
        .map(|at| &*rows[*at].span)
        .filter(|span| span.is_log_record())
        .flat_map(|span| records_of(span, messages))
        .collect();
    if records.is_empty() {
        return;
    }
    let joined = otlp::join(Span::clone(&rows[into].span), &records);
    rows[into].span = Arc::new(joined.span);
    let by_hash = |message: model::Message| (message.hash, message);
    messages.extend(joined.messages.into_iter().map(by_hash));
}

fn records_of(span: &Span, messages: &Messages) -> Vec<LogRecord> {
    let data = span.payload.data.as_ref();
    match data.map(|data| restored_text(span, data, messages)) {
        Some(Ok(data)) => otlp::records_of(Sent {
            span,
            data: Some(&data),
        }),
        // What cannot be restored is told where the record itself is shown.
        Some(Err(_)) | None => Vec::new(),
    }
}
