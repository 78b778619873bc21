//! Captures and bodies, decoded with a plain context, and the spans that a store would keep.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use ingest::agents_sdk::Context;
use ingest::otlp::{
    Encoding, EnvelopeError, LogRecord, Sent, decode_logs, decode_traces, join, merge_doubles,
};
use model::{Batch, Message, Source, Span, SpanId, Time, TraceId, TraceItem, payload};

pub(crate) fn context() -> Context<'static> {
    Context::new(Source::Otlp, Time::from_micros(0))
}

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub(crate) fn try_decode(body: &[u8], encoding: Encoding) -> Result<Batch, EnvelopeError> {
    decode_traces(Bytes::copy_from_slice(body), encoding, &context())
}

/// The data of a span with its messages put in.
pub(crate) fn restored(span: &Span, messages: &[Message]) -> Option<String> {
    let stored = &span.payload;
    let content = |hash: &model::MessageHash| {
        let mut found = messages
            .iter()
            .filter(|message| message.hash == *hash && message.trace_id == span.trace_id);
        found.next().map(Message::text)
    };
    let data = stored.data.as_ref()?;
    let back = payload::restore(
        data.as_str(),
        &stored.input_refs,
        &stored.output_refs,
        content,
    );
    Some(back.unwrap())
}

/// What has come of one capture.
#[derive(Debug, Default)]
pub(crate) struct Run {
    pub(crate) spans: Vec<Span>,
    pub(crate) messages: Vec<Message>,
    pub(crate) traces: HashMap<TraceId, TraceItem>,
    records: Vec<LogRecord>,
}

/// One request of a capture.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) is_logs: bool,
    pub(crate) body: Bytes,
    pub(crate) encoding: Encoding,
}

impl Run {
    /// Does what a store does with requests in their order, and finds doubles in the end.
    pub(crate) fn of(requests: &[Request]) -> Self {
        let mut run = Self::default();
        for request in requests {
            let (body, encoding) = (request.body.clone(), request.encoding);
            if request.is_logs {
                let batch = decode_logs(body, encoding).unwrap();
                assert_eq!(*batch.rejected, []);
                run.records.extend(batch.records);
                continue;
            }
            let batch = decode_traces(body, encoding, &context()).unwrap();
            assert_eq!(*batch.rejected, []);
            for span in batch.spans {
                run.spans.retain(|known| {
                    (&known.trace_id, &known.span_id) != (&span.trace_id, &span.span_id)
                });
                run.spans.push(span);
            }
            run.messages.extend(batch.messages);
            for item in batch.traces {
                run.traces
                    .entry(item.trace_id.clone())
                    .and_modify(|known| known.merge(&item))
                    .or_insert(item);
            }
        }
        run.join();
        merge_doubles(&mut run.spans);
        run.spans
            .sort_by(|a, b| (a.started_at, &a.span_id).cmp(&(b.started_at, &b.span_id)));
        run
    }

    fn join(&mut self) {
        let mut by_span: HashMap<(TraceId, SpanId), Vec<LogRecord>> = HashMap::new();
        for record in self.records.drain(..) {
            let place = record.trace_id.clone().zip(record.span_id.clone());
            by_span.entry(place.unwrap()).or_default().push(record);
        }
        for span in &mut self.spans {
            let place = (span.trace_id.clone(), span.span_id.clone());
            let records = by_span.remove(&place).unwrap_or_default();
            let joined = join(span.clone(), &records);
            self.messages.extend(joined.messages);
            if let Some(item) = joined.trace {
                // What a span says of its run goes before what its records say.
                let known = self.traces.remove(&item.trace_id);
                let mut merged = item;
                if let Some(known) = &known {
                    merged.merge(known);
                }
                self.traces.insert(merged.trace_id.clone(), merged);
            }
            *span = joined.span;
        }
        assert!(by_span.is_empty(), "records without a span: {by_span:?}");
    }

    /// The data of a span with its messages put in.
    pub(crate) fn data(&self, span: &Span) -> Option<String> {
        restored(span, &self.messages)
    }

    /// Calls `read` with a span as it can be read back.
    pub(crate) fn sent<T>(&self, span: &Span, read: impl FnOnce(Sent<'_>) -> T) -> T {
        let data = self.data(span);
        read(Sent {
            span,
            data: data.as_deref(),
        })
    }
}

impl Run {
    /// What went in and came out, doubles included.
    pub(crate) fn contents(&self, span: &Span) -> ingest::otlp::Contents {
        let doubles = self.spans.iter().filter(|double| {
            double.merged_into.as_ref() == Some(&span.span_id) && double.trace_id == span.trace_id
        });
        let doubles: Vec<_> = doubles.map(|double| (double, self.data(double))).collect();
        let doubles: Vec<Sent<'_>> = doubles
            .iter()
            .map(|(span, data)| Sent {
                span,
                data: data.as_deref(),
            })
            .collect();
        self.sent(span, |sent| ingest::otlp::contents_with(sent, &doubles))
    }
}

/// One folder of testdata/otlp.
pub(crate) struct Capture {
    pub(crate) name: String,
    pub(crate) expected: serde_json::Value,
    /// As the exporter sent it.
    pub(crate) requests: Vec<Request>,
    /// The same as canonical JSON.
    pub(crate) as_json: Vec<Request>,
}

fn request(path: &Path) -> Request {
    let name = path.file_name().unwrap().to_str().unwrap();
    let encoding = match name.ends_with(".pb") {
        true => Encoding::Protobuf,
        false => Encoding::Json,
    };
    Request {
        is_logs: name.contains(".logs."),
        body: std::fs::read(path).unwrap().into(),
        encoding,
    }
}

/// Every capture; `TRACEGRADE_OTLP_CAPTURES` names a folder of further ones.
pub(crate) fn captures() -> Vec<Capture> {
    let mut folders = vec![repository().join("testdata/otlp")];
    folders.extend(std::env::var_os("TRACEGRADE_OTLP_CAPTURES").map(PathBuf::from));
    let cases = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let mut captures: Vec<Capture> = cases
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .map(|path| capture(&path))
        .collect();
    captures.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(captures.len() >= 24, "the captures are missing");
    captures
}

fn capture(path: &Path) -> Capture {
    let mut files: Vec<PathBuf> = std::fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let name_of = |file: &PathBuf| file.file_name().unwrap().to_str().unwrap().to_owned();
    let is_request = |file: &PathBuf| name_of(file).starts_with(|char: char| char.is_ascii_digit());
    let is_original =
        |file: &PathBuf| name_of(file).ends_with(".pb") || name_of(file).ends_with(".otlp.json");
    let (original, canonical): (Vec<_>, Vec<_>) = files
        .iter()
        .filter(|f| is_request(f))
        .partition(|f| is_original(f));
    let expected = std::fs::read(path.join("expected.json")).unwrap();
    Capture {
        name: path.file_name().unwrap().to_str().unwrap().to_owned(),
        expected: serde_json::from_slice(&expected).unwrap(),
        requests: original.into_iter().map(|file| request(file)).collect(),
        as_json: canonical.into_iter().map(|file| request(file)).collect(),
    }
}
