//! A span and the log records that belong to it, whichever came first.
//!
//! Libraries may keep content off their spans and log it instead, minutes before or after. Whoever
//! holds both calls [`join`] with the span and *all* its records: the result does not depend on the
//! order of arrival, and joining again changes nothing. What the span says itself wins; records fill
//! what it leaves open.

use bytes::Bytes;
use model::{JsonText, Message, Rank, Span, SpanStatus, TraceItem};

use crate::dialects::{self, RunFacts};
use crate::json::json_string;
use crate::messages::{Doc, role_word};

use super::logs::LogRecord;
use super::payload::{Cutter, Parts, Store, Trace};
use super::view::{Sent, with_seen};

/// A span with its records.
#[derive(Debug, Clone, PartialEq)]
pub struct Joined {
    /// The span; its `data` has the records.
    pub span: Span,
    /// The messages that the records brought.
    pub messages: Vec<Message>,
    /// What the records say of the run, where the span does not: some libraries tell the user there
    /// alone.
    pub trace: Option<TraceItem>,
}

/// Returns `span` with its `records`, which must be all that are known of it.
pub fn join(span: Span, records: &[LogRecord]) -> Joined {
    let mut span = without_records(span);
    let mut sorted: Vec<&LogRecord> = Vec::new();
    for record in records {
        // A client that had no answer sends again.
        if !sorted.iter().any(|known| known.json == record.json) {
            sorted.push(record);
        }
    }
    // Times may be equal: then they stay in the order they came.
    sorted.sort_by_key(|record| record.nanos);
    if sorted.is_empty() {
        return Joined {
            span,
            messages: Vec::new(),
            trace: None,
        };
    }
    let trace = fill(&mut span, &sorted);
    let messages = append(&mut span, &sorted);
    Joined {
        span,
        messages,
        trace,
    }
}

/// Takes records off again that were joined before.
fn without_records(mut span: Span) -> Span {
    let payload = &mut span.payload;
    let stored = payload.data.as_ref().map(|data| data.as_str().to_owned());
    let Some(doc) = stored.as_deref().and_then(Doc::parse_container) else {
        return span;
    };
    let Some(records) = doc.root().get("records") else {
        return span;
    };
    let kept = |key: &str| records.get(key).and_then(|count| count.count());
    payload
        .input_refs
        .truncate(kept("input_refs").unwrap_or(0) as usize);
    payload
        .output_refs
        .truncate(kept("output_refs").unwrap_or(0) as usize);
    let before = &doc.root().raw()[..records.start()];
    let before = before.trim_end_matches("\"records\":");
    let before = before.trim_end_matches(',');
    payload.data = (before != "{").then(|| JsonText::from_trusted(format!("{before}}}")));
    span
}

/// Fills what the span leaves open from its records.
fn fill(span: &mut Span, records: &[&LogRecord]) -> Option<TraceItem> {
    let list: Vec<&str> = records.iter().map(|record| record.json.as_str()).collect();
    let data = format!("{{\"records\":{{\"list\":[{}]}}}}", list.join(","));
    let mut read = span.clone();
    read.input_preview = None;
    read.output_preview = None;
    read.error = None;
    let sent = Sent {
        span,
        data: Some(&data),
    };
    let (error, facts) = with_seen(sent, |seen| {
        dialects::previews(&mut read, seen);
        let of_records = records.iter().find_map(|record| user(record));
        let mut facts = RunFacts::default();
        if RunFacts::of(seen).user_id.is_none() {
            facts.user_id = of_records;
        }
        (dialects::error(seen, read.span_type), facts)
    });
    fn take<T>(mine: &mut Option<T>, theirs: Option<T>) {
        if mine.is_none() {
            *mine = theirs;
        }
    }
    take(&mut span.input_preview, read.input_preview);
    take(&mut span.output_preview, read.output_preview);
    take(&mut span.finish_reason, read.finish_reason);
    take(&mut span.error, error);
    if span.error.is_some() && span.status == SpanStatus::Success {
        span.status = SpanStatus::Error;
    }
    let rank = rank_of(span);
    facts.into_item(span.trace_id.clone(), span.source, rank)
}

/// Returns how far out in its run a span tells what it tells.
pub(super) fn rank_of(span: &Span) -> Rank {
    Rank::of_span(span.parent_id.is_none(), span.started_at, span.ended_at)
}

fn user(record: &LogRecord) -> Option<String> {
    let doc = Doc::parse_container(record.json.as_str())?;
    let attributes = doc.root().get("attributes")?;
    attributes.get("user.id")?.words().map(Into::into)
}

/// Writes the records behind the content of the span.
fn append(span: &mut Span, records: &[&LogRecord]) -> Vec<Message> {
    let payload = &mut span.payload;
    let mut store = Store::new(Bytes::new());
    let trace = Trace {
        id: &span.trace_id,
        place: 0,
    };
    let counts = (payload.input_refs.len(), payload.output_refs.len());
    let parts = Parts {
        input_refs: std::mem::take(&mut payload.input_refs),
        output_refs: std::mem::take(&mut payload.output_refs),
        ..Parts::default()
    };
    let mut cutter = Cutter::new(&mut store, trace, parts);
    cutter.text(&format!(
        "\"records\":{{\"input_refs\":{},\"output_refs\":{},\"list\":[",
        counts.0, counts.1
    ));
    for (n, record) in records.iter().enumerate() {
        if n > 0 {
            cutter.text(",");
        }
        write(&mut cutter, record);
    }
    cutter.text("]}}");
    let parts = cutter.finish();
    let written = parts.data.as_ref().map_or("", JsonText::as_str);
    // The span's own data has its references already and must not be written a second time.
    let before = payload.data.as_ref().map_or("{}", JsonText::as_str);
    let before = before.strip_suffix('}').unwrap_or(before);
    let comma = if before == "{" { "" } else { "," };
    payload.data = Some(JsonText::from_trusted(format!("{before}{comma}{written}")));
    payload.input_refs = parts.input_refs;
    payload.output_refs = parts.output_refs;
    store.into_messages()
}

/// Writes one record: its body is one message, its attributes may hold lists of them.
fn write(cutter: &mut Cutter<'_, '_>, record: &LogRecord) {
    let Some(doc) = Doc::parse_container(record.json.as_str()) else {
        return cutter.text("{}");
    };
    cutter.text("{");
    for (n, (key, value)) in doc.root().members().enumerate() {
        if n > 0 {
            cutter.text(",");
        }
        cutter.text(key.raw());
        cutter.text(":");
        match (key.is_text("attributes"), key.is_text("body")) {
            (true, _) => {
                cutter.text("{");
                for (n, (key, value)) in value.members().enumerate() {
                    let name = key.text().unwrap_or_default();
                    cutter.text(if n > 0 { "," } else { "" });
                    cutter.text(&json_string(&name));
                    cutter.text(":");
                    match Doc::parse(value.raw()) {
                        Some(doc) => cutter.doc(&name, &doc),
                        None => cutter.text(value.raw()),
                    }
                }
                cutter.text("}");
            }
            (_, true) if value.is_object() => {
                let role = role_word(&record.name).to_owned();
                cutter.whole(&record.name, value.raw(), role.into());
            }
            _ => cutter.text(value.raw()),
        }
    }
    cutter.text("}");
}
