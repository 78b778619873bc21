//! Frames of the log as bodies of requests: whose rows they are, whether they are meant, and in which
//! words they are told.
//!
//! The log has a message once; a span of a later frame refers to it. So what a span refers to and its
//! frame does not have is read from the store, trace by trace.

use std::collections::HashMap;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use ingest::contents::{Messages, restored};
use ingest::otlp::{Encoding, Sent, is_telemetry};
use ingest::outgoing::{self, Form};
use model::{ProjectId, Span, Time, TraceId, TraceItem};
use store::record::{BatchRecord, Record};
use store::wal::Frame;
use store::{ReadError, Store};

use crate::objects::Fault;

use super::settings::{ForwardSettings, TargetKind};

/// A body is closed once it has so many bytes.
const BODY_BYTES_SOFT: usize = 2 << 20;

/// The Agents SDK sends no more items at once.
const ITEMS_MAX: usize = 128;

/// Where a body goes: log records have an address of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    Spans,
    Logs,
}

/// One request.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) signal: Signal,
    pub(super) content_type: &'static str,
    /// Compressed with gzip.
    pub(super) body: Vec<u8>,
    /// How many spans and log records are in it.
    pub(super) spans: u64,
}

/// What some frames come to.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) requests: Vec<Outgoing>,
    /// Spans that the filter or the sample leaves out.
    pub(super) filtered: u64,
    /// Spans that could not be put together.
    pub(super) damaged: u64,
}

/// The rows of one trace.
#[derive(Debug, Default)]
struct Rows {
    items: Vec<TraceItem>,
    spans: Vec<Span>,
    messages: Messages,
}

/// Reads a frame of the log, if it holds rows of a project that is forwarded. Nobody else's rows get
/// any further than this.
pub(super) fn rows_of(settings: &ForwardSettings, frame: &Frame) -> Option<BatchRecord> {
    match Record::decode(&frame.payload) {
        Ok(Record::Batch(record)) => Some(record).filter(|r| settings.takes_from(&r.project)),
        Ok(Record::Delete(_) | Record::Grades(_)) => None,
        Err(error) => {
            // The store itself refuses to start over such a log.
            tracing::error!(%error, seq = frame.seq, "a frame of the log cannot be forwarded");
            None
        }
    }
}

/// Returns when a frame's rows came, and how many spans are in it.
pub(super) fn weighed(record: &BatchRecord) -> (Time, u64) {
    (
        record.received_at,
        record.spans.iter().filter(|span| !span.derived).count() as u64,
    )
}

/// Returns the requests that these rows make up. Blocks.
pub(super) fn gather(
    store: &Store,
    settings: &ForwardSettings,
    records: Vec<BatchRecord>,
) -> Result<Gathered, ReadError> {
    let mut gathered = Gathered::default();
    let mut bodies = Bodies::new(settings.kind);
    for ((project, id), mut rows) in by_trace(records) {
        let count = rows.spans.len() as u64;
        if store.is_deleted(&project, &id) {
            continue;
        }
        let snapshot = store.trace_snapshot(&project, &id);
        let Some(entry) = snapshot.trace(&id)? else {
            continue;
        };
        if !settings.takes(&entry.row) {
            gathered.filtered += count;
            continue;
        }
        if !has_all_messages(&rows) {
            rows.messages.extend(snapshot.messages(&id)?);
        }
        match bodies.add(settings, &entry.row.item, &rows) {
            Ok(()) => {}
            Err(fault) => {
                tracing::error!(%fault, trace = %id, "rows cannot be forwarded");
                gathered.damaged += count;
            }
        }
    }
    gathered.requests = bodies.finish();
    Ok(gathered)
}

/// Sorts rows by their traces, in the order in which these were first named; of a span only the version
/// that counts.
fn by_trace(records: Vec<BatchRecord>) -> Vec<((ProjectId, TraceId), Rows)> {
    let mut places: HashMap<(ProjectId, TraceId), usize> = HashMap::new();
    let mut all: Vec<((ProjectId, TraceId), Rows)> = Vec::new();
    let mut place = |project: &ProjectId, trace: &TraceId, all: &mut Vec<_>| {
        let key = (project.clone(), trace.clone());
        *places.entry(key.clone()).or_insert_with(|| {
            all.push((key, Rows::default()));
            all.len() - 1
        })
    };
    for record in records {
        for item in record.traces {
            let at = place(&record.project, &item.trace_id, &mut all);
            all[at].1.items.push(item);
        }
        for span in record.spans {
            let at = place(&record.project, &span.trace_id, &mut all);
            let spans: &mut Vec<Span> = &mut all[at].1.spans;
            match spans.iter().position(|known| known.span_id == span.span_id) {
                Some(known) if span.supersedes(&spans[known]) => spans[known] = span,
                Some(_) => {}
                None => spans.push(span),
            }
        }
        for message in record.messages {
            let at = place(&record.project, &message.trace_id, &mut all);
            all[at].1.messages.insert(message.hash, message);
        }
    }
    all
}

fn has_all_messages(rows: &Rows) -> bool {
    rows.spans.iter().all(|span| {
        let payload = &span.payload;
        let mut refs = payload.input_refs.iter().chain(&payload.output_refs);
        refs.all(|hash| rows.messages.contains_key(hash))
    })
}

/// Bodies that are being filled.
#[derive(Debug)]
struct Bodies {
    kind: TargetKind,
    spans: Open,
    logs: Open,
    closed: Vec<Outgoing>,
}

/// A body that takes more.
#[derive(Debug, Default)]
struct Open {
    parts: Vec<Vec<u8>>,
    bytes: usize,
    spans: u64,
}

impl Bodies {
    fn new(kind: TargetKind) -> Self {
        Self {
            kind,
            spans: Open::default(),
            logs: Open::default(),
            closed: Vec::new(),
        }
    }

    /// Adds the rows of a trace.
    fn add(
        &mut self,
        settings: &ForwardSettings,
        item: &TraceItem,
        rows: &Rows,
    ) -> Result<(), Fault> {
        let data = rows.spans.iter().map(|span| {
            let data = restored(span, &rows.messages)?;
            Ok(data)
        });
        let data: Vec<Option<String>> = data.collect::<Result<_, Fault>>()?;
        let sent = rows.spans.iter().zip(&data).map(|(span, data)| Sent {
            span,
            data: data.as_deref(),
        });
        let sent: Vec<Sent<'_>> = sent.collect();
        let records = outgoing::records(&sent);
        match self.kind {
            TargetKind::Otlp(form) => {
                if let Some(request) = form.logs(&records).filter(|_| settings.logs) {
                    self.push(Signal::Logs, request.body, records.len() as u64);
                }
                // A span that is still open is sent when it has ended, as OpenTelemetry does; one that
                // came so from OpenTelemetry goes on as it came.
                let goes = |sent: &&Sent<'_>| {
                    let span = sent.span;
                    !span.is_log_record() && (span.has_ended() || is_telemetry(span))
                };
                let spans: Vec<Sent<'_>> = sent.iter().filter(goes).copied().collect();
                if !spans.is_empty() {
                    let request = form.spans(item, &spans, &records);
                    self.push(Signal::Spans, request.body, spans.len() as u64);
                }
            }
            TargetKind::Openai => {
                for item in &rows.items {
                    let begun = outgoing::trace_item(item);
                    self.push(Signal::Spans, begun.into_bytes(), 0);
                }
                for sent in sent.iter().filter(|sent| outgoing::has_item(sent.span)) {
                    let item = outgoing::line_span(*sent, &records);
                    self.push(Signal::Spans, item.into_bytes(), 1);
                }
            }
            TargetKind::Webhook => {
                let spans = sent.iter().filter(|sent| outgoing::has_item(sent.span));
                let spans: Vec<String> = spans
                    .map(|sent| outgoing::line_span(*sent, &records))
                    .collect();
                let is_foreign = sent.iter().any(|sent| is_telemetry(sent.span));
                let begin = outgoing::line_begin(item, is_foreign);
                let line = format!("{begin}{}{}", spans.join(","), outgoing::LINE_END);
                self.push(Signal::Spans, line.into_bytes(), spans.len() as u64);
            }
        }
        Ok(())
    }

    fn push(&mut self, signal: Signal, part: Vec<u8>, spans: u64) {
        let open = match signal {
            Signal::Spans => &mut self.spans,
            Signal::Logs => &mut self.logs,
        };
        let is_full = open.bytes + part.len() > BODY_BYTES_SOFT
            || (self.kind == TargetKind::Openai && open.parts.len() == ITEMS_MAX);
        if is_full && !open.parts.is_empty() {
            let full = std::mem::take(open);
            self.closed.push(full.close(self.kind, signal));
        }
        let open = match signal {
            Signal::Spans => &mut self.spans,
            Signal::Logs => &mut self.logs,
        };
        open.bytes += part.len();
        open.spans += spans;
        open.parts.push(part);
    }

    fn finish(mut self) -> Vec<Outgoing> {
        for (signal, open) in [(Signal::Logs, self.logs), (Signal::Spans, self.spans)] {
            if !open.parts.is_empty() {
                self.closed.push(open.close(self.kind, signal));
            }
        }
        self.closed
    }
}

impl Open {
    fn close(self, kind: TargetKind, signal: Signal) -> Outgoing {
        let (content_type, body) = match kind {
            TargetKind::Otlp(Form {
                encoding: Encoding::Protobuf,
                ..
            }) => {
                // Requests in protobuf behind each other are one request with the groups of all.
                ("application/x-protobuf", self.parts.concat())
            }
            TargetKind::Otlp(_) => {
                let name = match signal {
                    Signal::Spans => "{\"resourceSpans\":[",
                    Signal::Logs => "{\"resourceLogs\":[",
                };
                let inner = self.parts.iter().map(|part| {
                    let part = part.strip_prefix(name.as_bytes()).unwrap_or(part);
                    part.strip_suffix(b"]}").unwrap_or(part)
                });
                let groups: Vec<&[u8]> = inner.collect();
                let body = [name.as_bytes(), &groups.join(&b',')[..], &b"]}"[..]].concat();
                ("application/json", body)
            }
            TargetKind::Openai => {
                let items = self.parts.join(&b',');
                let body = [&b"{\"data\":["[..], &items[..], &b"]}"[..]].concat();
                ("application/json", body)
            }
            TargetKind::Webhook => ("application/x-ndjson", self.parts.concat()),
        };
        Outgoing {
            signal,
            content_type,
            body: compressed(&body),
            spans: self.spans,
        }
    }
}

fn compressed(body: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    let written = gzip.write_all(body).and_then(|()| gzip.finish());
    written.expect("writing to memory does not fail")
}
