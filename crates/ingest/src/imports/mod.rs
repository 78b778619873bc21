//! Files that other products write: told apart by what is in them, and brought into one batch.
//!
//! A record of another product is put into the form in which the same product speaks OpenTelemetry:
//! a span with that product's attributes. So the tables of [`crate::dialects`] say what it means, once,
//! and say it again whenever somebody reads; and the record itself is kept, for attributes are. What
//! already has a decoder goes to it as it is: items of the Agents SDK, and requests of OTLP. A log of
//! requests and responses becomes items of the Agents SDK, which have the fields for both.
//!
//! Ids stay as they were sent. Where a record has none, it is made from the record's bytes, so that the
//! same file says the same thing however often it is read.
//!
//! One odd document costs itself alone: it is refused with its reason and its place.

mod counted;
mod cut;
mod inspect;
mod langfuse;
mod langfuse_batch;
mod langsmith;
mod mlflow;
mod printed;
mod recognise;
mod record;
mod request_log;
mod split;

use bytes::Bytes;
use model::{Batch, Rejection};

use crate::agents_sdk::{self, Context};
use crate::json::{Reader, Tape, Value};
use crate::otlp::{self, Carried, Encoding};

pub use counted::{FormatCount, Imported};
pub use cut::{Cut, CutError, Cutter};
pub use langfuse_batch::{EventAnswer, Known, LangfuseBatch, LangfuseError};
pub use recognise::Format;
pub use split::split;

use counted::Tally;
use recognise::{Shape, recognise};
use record::Refusal;

/// Lists of records may lie in lists: pages of an API in a list of pages.
const NESTED_MAX: usize = 3;

/// Returns the content of one request that holds any number of documents of any known format. Fails
/// only where not even one document can be found.
pub fn decode(body: Bytes, context: &Context<'_>) -> Result<Imported, CutError> {
    let mut import = Import::new(context);
    let bytes_max = body.len();
    let mut cutter = Cutter::of(body, bytes_max);
    let mut first_fault = None;
    for document in cutter.by_ref() {
        if import.tally.is_hopeless() {
            return Err(CutError::TooManyRefused);
        }
        match document {
            Ok(document) => import.document(&document),
            Err(fault) => {
                import.fault(&fault);
                first_fault.get_or_insert(fault);
            }
        }
    }
    match first_fault {
        _ if import.tally.is_hopeless() => Err(CutError::TooManyRefused),
        Some(fault) if import.tally.has_no_document() => Err(fault),
        _ => import.finish(),
    }
}

/// What was read of one request so far.
struct Import<'c> {
    context: &'c Context<'c>,
    spans: otlp::SpanDecoder<'c>,
    tally: Tally,
}

impl<'c> Import<'c> {
    fn new(context: &'c Context<'c>) -> Self {
        Self {
            context,
            // The documents are many texts: what is kept of them is copied.
            spans: otlp::SpanDecoder::new(&Bytes::new(), context),
            tally: Tally::default(),
        }
    }

    /// Counts a part of the request that is no document.
    fn fault(&mut self, fault: &CutError) {
        self.tally.unreadable(fault.code(), fault.to_string());
    }

    fn document(&mut self, document: &Cut) {
        match document.encoding {
            Encoding::Protobuf => self.protobuf(document.bytes.clone()),
            Encoding::Json => self.json(&document.bytes, 0),
        }
        self.tally.next_document();
    }

    fn protobuf(&mut self, body: Bytes) {
        match otlp::carried(&body) {
            Some(Carried::Logs) => {
                self.tally.found(Format::OtlpLogs);
                self.otlp_logs(body, Encoding::Protobuf);
            }
            Some(Carried::Metrics) => self.tally.refuse(Refusal::Metrics),
            // A group without an item says nothing, and damage is told by the decoder.
            Some(Carried::Spans) | None => {
                self.tally.found(Format::OtlpTraces);
                self.otlp_spans(body, Encoding::Protobuf);
            }
        }
    }

    /// Takes a document, or each record of a list of them.
    fn json(&mut self, document: &Bytes, level: usize) {
        let shape = match recognise(document) {
            Ok(shape) => shape,
            Err(refusal) => return self.tally.refuse(refusal),
        };
        match shape {
            Shape::Format(format) => {
                self.tally.found(format);
                self.of_format(format, document);
            }
            Shape::List if level == NESTED_MAX => self.tally.refuse(Refusal::UnknownFormat),
            Shape::List => self.elements(document, None, level),
            Shape::ListAt(key) => self.elements(document, Some(key), level),
        }
    }

    fn elements(&mut self, document: &Bytes, key: Option<&str>, level: usize) {
        let mut tape = Tape::default();
        let root = match root(document, &mut tape) {
            Ok(root) => root,
            Err(refusal) => return self.tally.refuse(refusal),
        };
        let list = key.map_or(Some(root), |key| root.get(key));
        for element in list.into_iter().flat_map(Value::elements) {
            if self.tally.is_hopeless() {
                return;
            }
            let element = document.slice_ref(element.raw().as_bytes());
            self.json(&element, level + 1);
        }
    }

    fn of_format(&mut self, format: Format, document: &Bytes) {
        match format {
            Format::AgentsSdk => self.agents_sdk(format, document.clone()),
            Format::OtlpTraces => self.otlp_spans(document.clone(), Encoding::Json),
            Format::OtlpLogs => self.otlp_logs(document.clone(), Encoding::Json),
            Format::RequestLog => match request_log::read(document) {
                Ok(items) => self.agents_sdk(format, items.into()),
                Err(refusal) => self.tally.refuse(refusal),
            },
            _ => self.records(format, document),
        }
    }

    fn agents_sdk(&mut self, format: Format, document: Bytes) {
        match agents_sdk::decode_document(document, self.context) {
            Ok(batch) => self.tally.batch(format, batch),
            Err(error) => self.tally.refuse(Refusal::Envelope(error.to_string())),
        }
    }

    fn otlp_spans(&mut self, body: Bytes, encoding: Encoding) {
        match otlp::decode_traces(body, encoding, self.context) {
            Ok(batch) => self.tally.batch(Format::OtlpTraces, batch),
            Err(error) => self.tally.refuse(Refusal::Envelope(error.to_string())),
        }
    }

    fn otlp_logs(&mut self, body: Bytes, encoding: Encoding) {
        match otlp::decode_logs(body, encoding) {
            Ok(logs) => {
                let rows = otlp::record_rows(logs, self.context.source);
                self.tally.ignored("log_without_genai", rows.without_genai);
                self.tally.ignored("log_without_span", rows.without_span);
                self.tally.batch(Format::OtlpLogs, rows.batch);
            }
            Err(error) => self.tally.refuse(Refusal::Envelope(error.to_string())),
        }
    }

    /// Takes a document whose records become spans.
    fn records(&mut self, format: Format, document: &Bytes) {
        let mut tape = Tape::default();
        let root = match root(document, &mut tape) {
            Ok(root) => root,
            Err(refusal) => return self.tally.refuse(refusal),
        };
        let mut to = To {
            spans: &mut self.spans,
            tally: &mut self.tally,
            format,
            source: self.context.source,
        };
        to.scope();
        match format {
            Format::Langfuse => langfuse::document(root, &mut to),
            Format::Langsmith => langsmith::run(root, &mut to),
            Format::Mlflow => mlflow::trace(root, &mut to),
            Format::Inspect => inspect::log(root, &mut to),
            Format::Phoenix | Format::OtelPrinted => printed::span(root, &mut to),
            Format::AgentsSdk | Format::OtlpTraces | Format::OtlpLogs | Format::RequestLog => {}
        }
    }

    fn finish(self) -> Result<Imported, CutError> {
        let spans = self.spans.finish().map_err(|_| CutError::TooManyItems)?;
        Ok(self.tally.finish(spans))
    }
}

/// Where the records of a document go.
struct To<'t, 'c> {
    spans: &'t mut otlp::SpanDecoder<'c>,
    tally: &'t mut Tally,
    format: Format,
    source: model::Source,
}

impl To<'_, '_> {
    /// Says whose records follow, in the place of a scope's name.
    fn scope(&mut self) {
        let name = format!("tracegrade.import.{}", self.format.as_str());
        let scope = otlp::RawScope {
            name: name.into(),
            ..otlp::RawScope::default()
        };
        otlp::Sink::resource(self.spans, otlp::RawResource::default(), "");
        otlp::Sink::scope(self.spans, scope, "");
    }

    /// Takes one record that became a span, or counts why it did not.
    fn span(&mut self, record: Result<(otlp::Ids, otlp::RawSpan<'_>), Refusal>, run: otlp::Run) {
        match record {
            Ok((ids, span)) => {
                self.spans.foreign(ids, &span, run);
                self.tally.accept(self.format);
            }
            Err(refusal) => self.tally.refuse(refusal),
        }
    }

    /// Takes what a record says of a trace.
    fn item(&mut self, item: Result<model::TraceItem, Refusal>) {
        match item {
            Ok(item) => self.tally.item(self.format, item),
            Err(refusal) => self.tally.refuse(refusal),
        }
    }
}

/// Returns the value that is the whole document.
fn root<'b, 't>(document: &'b [u8], tape: &'t mut Tape) -> Result<Value<'b, 't>, Refusal> {
    let text = std::str::from_utf8(document).map_err(|_| Refusal::NotUtf8)?;
    let mut reader = Reader::new(document);
    reader.skip_whitespace();
    let from = reader.position();
    reader.index(tape).map_err(Refusal::Json)?;
    Ok(tape.root(&text[from..reader.position()]))
}

/// Returns a batch in which a request's several batches are one: a message once a trace.
fn joined(batches: Vec<Batch>) -> Batch {
    let mut all = Batch::default();
    let mut taken = std::collections::HashSet::new();
    for mut batch in batches {
        all.accepted += batch.accepted;
        all.traces.append(&mut batch.traces);
        all.spans.append(&mut batch.spans);
        let messages = batch.messages.into_iter();
        let fresh = messages.filter(|m| taken.insert((m.trace_id.clone(), m.hash)));
        all.messages.extend(fresh);
    }
    all
}

/// Returns a refusal as the batch has it.
fn rejection(index: usize, refusal: &Refusal) -> Rejection {
    Rejection {
        index,
        code: refusal.code(),
        reason: refusal.to_string(),
        trace_id: None,
    }
}
