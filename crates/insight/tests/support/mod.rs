//! From what senders send to what graders see, as the server does it but for the disk.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use ingest::agents_sdk::Context;
use ingest::contents::{Messages, fill_doubles, told};
use insight::{SharedMessages, ToldSpan, ToldTrace, TraceView};
use model::{
    Batch, JsonText, Received, Source, Span, SpanId, Time, TraceId, TraceItem, TraceStatus, derive,
};

/// The moment of reading: long after everything.
const NOW: Time = Time::from_micros(4_000_000_000_000_000);

/// So long nothing comes before a trace counts as idle.
const IDLE_MICROS: i64 = 600_000_000;

/// Returns the root of the repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Returns what documents of any known format hold.
pub(crate) fn decode(body: impl Into<Bytes>) -> Batch {
    let context = Context::new(Source::Import, Time::from_micros(0));
    let imported = ingest::imports::decode(body.into(), &context).unwrap();
    assert_eq!(*imported.batch.rejected, []);
    imported.batch
}

/// Returns the traces of a batch as they are read from a store, in the order of their first items.
pub(crate) fn told_traces(batch: Batch) -> Vec<ToldTrace> {
    let mut gathered = AllGathered::default();
    for item in batch.traces {
        gathered.of(&item.trace_id, item.source).item.merge(&item);
    }
    for span in batch.spans {
        gathered.of(&span.trace_id, span.source).keep(span);
    }
    for message in batch.messages {
        if let Some(at) = gathered.places.get(&message.trace_id) {
            gathered.traces[*at].messages.insert(message.hash, message);
        }
    }
    gathered.traces.into_iter().map(Gathered::told).collect()
}

/// Returns the views of all traces in documents of any known format.
pub(crate) fn views(body: impl Into<Bytes>) -> Vec<TraceView> {
    let told = told_traces(decode(body));
    told.into_iter().map(TraceView::of).collect()
}

/// Returns the lines of a compressed file of the development data.
pub(crate) fn lines(path: &Path) -> Vec<String> {
    let packed = std::fs::File::open(path).unwrap();
    let text = std::io::read_to_string(zstd::Decoder::new(packed).unwrap()).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// The traces of a batch, each with its place.
#[derive(Default)]
struct AllGathered {
    places: HashMap<TraceId, usize>,
    traces: Vec<Gathered>,
}

impl AllGathered {
    fn of(&mut self, id: &TraceId, source: Source) -> &mut Gathered {
        let next = self.traces.len();
        let at = *self.places.entry(id.clone()).or_insert(next);
        if at == next {
            self.traces.push(Gathered {
                item: TraceItem::new(id.clone(), source),
                spans: Vec::new(),
                places: HashMap::new(),
                messages: Messages::new(),
            });
        }
        &mut self.traces[at]
    }
}

/// What a store has of one trace.
struct Gathered {
    item: TraceItem,
    spans: Vec<Arc<Span>>,
    places: HashMap<SpanId, usize>,
    messages: Messages,
}

impl Gathered {
    /// Keeps a span: of several versions the winner.
    fn keep(&mut self, span: Span) {
        let next = self.spans.len();
        let at = *self.places.entry(span.span_id.clone()).or_insert(next);
        match self.spans.get_mut(at) {
            Some(known) if span.supersedes(known) => *known = Arc::new(span),
            Some(_) => {}
            None => self.spans.push(Arc::new(span)),
        }
    }

    fn told(mut self) -> ToldTrace {
        let mut spans: Vec<&mut Arc<Span>> = self.spans.iter_mut().collect();
        let doubles = fill_doubles(&mut spans, Some(&mut self.messages));
        let at = Time::from_micros(0);
        let received = Received {
            first_received_at: at,
            last_received_at: at,
            first_seq: 1,
            seq: 1,
        };
        let rows: Vec<&Span> = self.spans.iter().map(|span| &**span).collect();
        let row = derive(&self.item, &rows, received);
        let mut shared = SharedMessages::default();
        let told = (0..rows.len()).map(|at| {
            let doubles: Vec<&Span> = doubles
                .get(&at)
                .into_iter()
                .flatten()
                .map(|at| rows[*at])
                .collect();
            told_span(rows[at], &doubles, &self.messages, &mut shared)
        });
        let status = row.status_at(NOW, IDLE_MICROS);
        ToldTrace {
            status,
            horizon: match status {
                TraceStatus::Running => NOW,
                _ => row.ended_at.unwrap_or(NOW),
            },
            spans: told.collect(),
            row,
            reference: None,
        }
    }
}

fn told_span(
    span: &Span,
    doubles: &[&Span],
    messages: &Messages,
    shared: &mut SharedMessages,
) -> ToldSpan {
    let told = told(span, doubles, messages).unwrap();
    let documents = told.contents.documents;
    let found = || {
        let all: Vec<&str> = documents.iter().map(JsonText::as_str).collect();
        (!all.is_empty()).then(|| JsonText::from_trusted(format!("[{}]", all.join(","))))
    };
    ToldSpan {
        input: shared.share(told.contents.input),
        output: shared.share(told.contents.output),
        arguments: told.contents.arguments,
        result: told.contents.result.or_else(found),
        tools: told.tools.into(),
        ..ToldSpan::silent(span.clone())
    }
}
