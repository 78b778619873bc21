//! Rows for tests: bare spans, and the captured traces as they would come out of the store.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use ingest::agents_sdk::{Context, decode, decode_document};
use model::{
    Batch, ProjectId, Received, Source, Span, SpanId, SpanType, Time, TraceId, TraceItem, TraceRow,
    derive,
};
use serde_json::value::RawValue;
use store::{SpanRow, TraceEntry};

use super::Messages;

/// When everything was received.
pub(crate) const RECEIVED_AT: Time = Time::from_micros(1_780_000_000_000_000);

/// A trace as it is read.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) entry: TraceEntry,
    pub(crate) rows: Vec<SpanRow>,
    pub(crate) messages: Messages,
}

pub(crate) fn project() -> ProjectId {
    ProjectId::new("default").unwrap()
}

/// Returns a span that says nothing.
pub(crate) fn span(id: &str, span_type: SpanType) -> Span {
    Span::new(
        TraceId::new("t").unwrap(),
        SpanId::new(id).unwrap(),
        span_type,
        Source::Openai,
    )
}

/// Returns the row of a span.
pub(crate) fn row(span: Span, seq: i64) -> SpanRow {
    SpanRow {
        project: project(),
        span: Arc::new(span),
        trace_started_at: RECEIVED_AT,
        received_at: RECEIVED_AT,
        seq,
    }
}

/// Returns a trace of these rows, which are in start order.
pub(crate) fn trace(item: &TraceItem, rows: Vec<SpanRow>) -> Sample {
    let received = Received {
        first_received_at: RECEIVED_AT,
        last_received_at: RECEIVED_AT,
        first_seq: 1,
        seq: rows.iter().map(|row| row.seq).max().unwrap_or(1),
    };
    let spans: Vec<&Span> = rows.iter().map(|row| &*row.span).collect();
    let row: TraceRow = derive(item, &spans, received);
    let entry = TraceEntry {
        project: project(),
        row: Arc::new(row),
        home_started_at: RECEIVED_AT,
    };
    Sample {
        entry,
        rows,
        messages: Messages::new(),
    }
}

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata")
}

/// Returns the names of all captures.
pub(crate) fn captures() -> Vec<String> {
    let mut files = Vec::new();
    for folder in ["openai-agents", "openai-agents-js"] {
        for file in std::fs::read_dir(testdata().join(folder)).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".json") {
                files.push(format!("{folder}/{name}"));
            }
        }
    }
    files.sort();
    files
}

/// Returns the bodies of a capture's requests, as they were sent.
pub(crate) fn bodies(file: &str) -> Vec<String> {
    #[derive(serde::Deserialize)]
    struct Capture {
        requests: Vec<Request>,
    }
    #[derive(serde::Deserialize)]
    struct Request {
        body: Box<RawValue>,
    }
    let text = std::fs::read_to_string(testdata().join(file)).expect(file);
    let capture: Capture = serde_json::from_str(&text).expect(file);
    capture
        .requests
        .into_iter()
        // The captures are laid out for reading; on the wire there is no white space.
        .map(|request| {
            let body: serde_json::Value = serde_json::from_str(request.body.get()).expect(file);
            body.to_string()
        })
        .collect()
}

fn context() -> Context<'static> {
    Context::new(Source::Openai, RECEIVED_AT)
}

/// Returns the traces of a capture.
pub(crate) fn capture(file: &str) -> Vec<Sample> {
    let decoded = |body: String| decode(Bytes::from(body), &context()).expect("a readable body");
    stored(bodies(file).into_iter().map(decoded))
}

/// Returns the traces of one exported document.
pub(crate) fn document(text: Vec<u8>) -> Vec<Sample> {
    stored([decode_document(Bytes::from(text), &context()).expect("a readable document")])
}

/// Returns the traces that batches leave behind in a store.
fn stored(batches: impl IntoIterator<Item = Batch>) -> Vec<Sample> {
    let mut items: Vec<TraceItem> = Vec::new();
    let (mut spans, mut messages) = (Vec::<Span>::new(), Vec::new());
    let mut place = |id: &TraceId| match items.iter().position(|item| item.trace_id == *id) {
        Some(at) => at,
        None => {
            items.push(TraceItem::new(id.clone(), Source::Openai));
            items.len() - 1
        }
    };
    let mut told: Vec<(usize, TraceItem)> = Vec::new();
    for batch in batches {
        assert_eq!(*batch.rejected, [], "captures are clean");
        told.extend(
            batch
                .traces
                .into_iter()
                .map(|item| (place(&item.trace_id), item)),
        );
        for span in batch.spans {
            place(&span.trace_id);
            let is_same =
                |old: &Span| (&old.trace_id, &old.span_id) == (&span.trace_id, &span.span_id);
            match spans.iter_mut().find(|old| is_same(old)) {
                Some(old) if span.supersedes(old) => *old = span,
                Some(_) => {}
                None => spans.push(span),
            }
        }
        messages.extend(batch.messages);
    }
    told.into_iter()
        .for_each(|(at, item)| items[at].merge(&item));
    let sample = |item: &TraceItem| {
        let of_trace = spans
            .iter()
            .filter(|span| span.trace_id == item.trace_id)
            .cloned();
        let mut rows: Vec<SpanRow> = of_trace
            .zip(1..)
            .map(|(span, seq)| row(span, seq))
            .collect();
        rows.sort_by_key(|row| (row.span.started_at.is_none(), row.span.started_at, row.seq));
        let own = messages
            .iter()
            .filter(|message: &&model::Message| message.trace_id == item.trace_id);
        let messages = own.map(|message| (message.hash, message.clone())).collect();
        Sample {
            messages,
            ..trace(item, rows)
        }
    };
    items.iter().map(sample).collect()
}
