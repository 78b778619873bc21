//! A store in memory: what came in by either way, and what goes out of it.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use ingest::agents_sdk::{self, Context};
use ingest::otlp::{self, Encoding, Sent};
use ingest::outgoing::{self, Dialect, Request};
use model::{Batch, Message, MessageHash, Source, Span, SpanId, Time, TraceId, TraceItem};

pub(crate) fn context(source: Source) -> Context<'static> {
    Context::new(source, Time::from_micros(0))
}

/// A trace with all its spans.
#[derive(Clone, Copy)]
pub(crate) struct Trace<'a> {
    pub(crate) item: &'a TraceItem,
    pub(crate) spans: &'a [Sent<'a>],
}

/// A trace as requests.
pub(crate) fn requests(trace: Trace<'_>, dialect: Dialect, encoding: Encoding) -> Vec<Request> {
    let records = outgoing::records(trace.spans);
    let spans = trace.spans.iter().filter(|sent| !sent.span.is_log_record());
    let spans: Vec<Sent<'_>> = spans.copied().collect();
    let form = outgoing::Form {
        dialect,
        encoding,
        originals: true,
    };
    let mut requests: Vec<Request> = form.logs(&records).into_iter().collect();
    requests.push(form.spans(trace.item, &spans, &records));
    requests
}

/// A trace as a line.
pub(crate) fn line(trace: Trace<'_>) -> Vec<u8> {
    let records = outgoing::records(trace.spans);
    let is_telemetry = trace.spans.iter().any(|sent| otlp::is_telemetry(sent.span));
    let mut line = outgoing::line_begin(trace.item, is_telemetry);
    let spans = trace
        .spans
        .iter()
        .filter(|sent| outgoing::has_item(sent.span));
    let spans: Vec<_> = spans
        .map(|sent| outgoing::line_span(*sent, &records))
        .collect();
    line.push_str(&spans.join(","));
    line.push_str(outgoing::LINE_END);
    line.into_bytes()
}

/// What has come in.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) spans: BTreeMap<(TraceId, SpanId), Span>,
    pub(crate) messages: HashMap<(TraceId, MessageHash), Message>,
    pub(crate) traces: BTreeMap<TraceId, TraceItem>,
}

impl World {
    fn take(&mut self, batch: Batch) {
        assert_eq!(*batch.rejected, []);
        for span in batch.spans {
            let key = (span.trace_id.clone(), span.span_id.clone());
            match self.spans.get(&key) {
                Some(known) if !span.supersedes(known) => {}
                _ => drop(self.spans.insert(key, span)),
            }
        }
        for message in batch.messages {
            self.messages
                .insert((message.trace_id.clone(), message.hash), message);
        }
        for item in batch.traces {
            self.traces
                .entry(item.trace_id.clone())
                .and_modify(|known| known.merge(&item))
                .or_insert(item);
        }
    }

    pub(crate) fn take_items(&mut self, body: Bytes, source: Source) {
        self.take(agents_sdk::decode(body, &context(source)).unwrap());
    }

    pub(crate) fn take_request(&mut self, request: Request, encoding: Encoding) {
        let body = Bytes::from(request.body);
        self.take(match request.is_logs {
            true => {
                let rows =
                    otlp::record_rows(otlp::decode_logs(body, encoding).unwrap(), Source::Otlp);
                rows.batch
            }
            false => otlp::decode_traces(body, encoding, &context(Source::Otlp)).unwrap(),
        });
    }

    /// The data of a span with its messages put in.
    pub(crate) fn data(&self, span: &Span) -> Option<String> {
        let payload = &span.payload;
        let content = |hash: &MessageHash| {
            let message = self.messages.get(&(span.trace_id.clone(), *hash));
            message.map(Message::text)
        };
        let data = payload.data.as_ref()?.as_str();
        let (input, output) = (&payload.input_refs, &payload.output_refs);
        Some(model::payload::restore(data, input, output, content).unwrap())
    }

    /// Calls `write` with each trace.
    pub(crate) fn each_trace(&self, mut write: impl FnMut(Trace<'_>)) {
        let mut ids: Vec<&TraceId> = self.spans.keys().map(|(trace, _)| trace).collect();
        ids.extend(self.traces.keys());
        ids.sort();
        ids.dedup();
        for id in ids {
            let spans: Vec<&Span> = self.spans.values().filter(|s| s.trace_id == *id).collect();
            let mut spans: Vec<_> = spans.iter().map(|span| (*span, self.data(span))).collect();
            spans.sort_by_key(|(span, _)| span.started_at);
            let sent = spans.iter().map(|(span, data)| Sent {
                span,
                data: data.as_deref(),
            });
            let sent: Vec<Sent<'_>> = sent.collect();
            let item = self.traces.get(id).cloned();
            let item = item.unwrap_or_else(|| TraceItem::new(id.clone(), Source::Otlp));
            write(Trace {
                item: &item,
                spans: &sent,
            });
        }
    }

    /// What a second store has after everything went there.
    pub(crate) fn sent_on(&self, dialect: Dialect, encoding: Encoding) -> World {
        let mut second = World::default();
        self.each_trace(|trace| {
            for request in requests(trace, dialect, encoding) {
                second.take_request(request, encoding);
            }
        });
        second
    }
}

/// The items of a line, as they are sent.
pub(crate) fn items(line: &[u8]) -> Bytes {
    #[derive(serde::Deserialize)]
    struct Line<'a> {
        #[serde(borrow)]
        trace: &'a serde_json::value::RawValue,
        #[serde(borrow)]
        spans: Vec<&'a serde_json::value::RawValue>,
    }
    let line: Line<'_> = serde_json::from_slice(line).unwrap();
    let items = [line.trace].into_iter().chain(line.spans);
    let items: Vec<&str> = items.map(|item| item.get()).collect();
    Bytes::from(format!("{{\"data\":[{}]}}", items.join(",")))
}

/// One capture: its name, and what has come of it.
pub(crate) struct Capture {
    pub(crate) name: String,
    pub(crate) world: World,
}

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata")
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// The captures of the Agents SDK.
pub(crate) fn of_agents_sdk() -> Vec<Capture> {
    let folders = ["openai-agents", "openai-agents-js"].map(|folder| testdata().join(folder));
    let files = folders.iter().flat_map(|folder| sorted(folder));
    let files = files.filter(|path| path.extension().is_some_and(|ext| ext == "json"));
    let captures: Vec<Capture> = files
        .map(|path| {
            let capture: serde_json::Value =
                serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            let mut world = World::default();
            for request in capture["requests"].as_array().unwrap() {
                let body = request["body"].to_string();
                world.take_items(Bytes::from(body), Source::Openai);
            }
            let name = name(&path);
            Capture { name, world }
        })
        .collect();
    assert!(captures.len() > 60, "the captures are missing");
    captures
}

/// The captures of OpenTelemetry.
pub(crate) fn of_opentelemetry() -> Vec<Capture> {
    let folders = sorted(&testdata().join("otlp"));
    let folders = folders.into_iter().filter(|path| path.is_dir());
    let captures: Vec<Capture> = folders
        .map(|folder| {
            let mut world = World::default();
            for path in sorted(&folder) {
                let encoding = match name(&path) {
                    name if name.ends_with(".pb") => Encoding::Protobuf,
                    name if name.ends_with(".otlp.json") => Encoding::Json,
                    _ => continue,
                };
                let body = std::fs::read(&path).unwrap();
                let is_logs = name(&path).contains(".logs.");
                world.take_request(Request { is_logs, body }, encoding);
            }
            let name = name(&folder);
            Capture { name, world }
        })
        .collect();
    assert!(captures.len() >= 24, "the captures are missing");
    captures
}
