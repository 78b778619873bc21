//! Spans of one trace as they are told: what a double or a log record knows beyond its span is put in.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Message, Span, doubles};

use crate::otlp::{self, LogRecord, Sent};

use super::{Messages, restored};

/// The places of the spans that are merged into each span, by its place.
pub type Doubles = BTreeMap<usize, Vec<usize>>;

/// Fills the gaps of spans that others are merged into, and returns which those are. `spans` and
/// `messages` are all of one trace; the messages get those of log records too. Without messages only
/// the columns are filled.
pub fn fill_doubles(spans: &mut [&mut Arc<Span>], mut messages: Option<&mut Messages>) -> Doubles {
    let seen: Vec<&Span> = spans.iter().map(|span| &***span).collect();
    let mut by_target = Doubles::new();
    // Inner ones first: what a record tells of them is theirs when they give it on.
    let mut targets = Vec::new();
    for (from, into) in doubles(&seen) {
        let of_target = by_target.entry(into).or_default();
        if of_target.is_empty() {
            targets.push(into);
        }
        of_target.push(from);
    }
    for into in targets {
        let from = &by_target[&into];
        if let Some(messages) = &mut messages {
            join_records(spans, into, from, messages);
        }
        for &from in from {
            let double = Arc::clone(spans[from]);
            Arc::make_mut(spans[into]).fill_from(&double);
            let id = spans[into].span_id.clone();
            drop(double);
            Arc::make_mut(spans[from]).merged_into = Some(id);
        }
    }
    by_target
}

/// Puts the content of log records onto their span.
fn join_records(
    spans: &mut [&mut Arc<Span>],
    into: usize,
    from: &[usize],
    messages: &mut Messages,
) {
    let records: Vec<LogRecord> = from
        .iter()
        .map(|at| &**spans[*at])
        .filter(|span| span.is_log_record())
        .flat_map(|span| records_of(span, messages))
        .collect();
    if records.is_empty() {
        return;
    }
    let joined = otlp::join(Span::clone(spans[into]), &records);
    *spans[into] = Arc::new(joined.span);
    let by_hash = |message: Message| (message.hash, message);
    messages.extend(joined.messages.into_iter().map(by_hash));
}

/// What cannot be restored is told where the record itself is shown.
fn records_of(span: &Span, messages: &Messages) -> Vec<LogRecord> {
    match restored(span, messages) {
        Ok(Some(data)) => otlp::records_of(Sent {
            span,
            data: Some(&data),
        }),
        Ok(None) | Err(_) => Vec::new(),
    }
}
