//! What OpenTelemetry sends: spans, and log records with the content of GenAI calls.
//!
//! Bytes in, a [`model::Batch`] out, from protobuf and from JSON alike. A span that cannot be taken is
//! refused by itself with its reason, for an answer with `partial_success` makes no client send again;
//! only an envelope that cannot be read is an error. Spans come in any order and more than once, and
//! log records before or after their span: nothing here keeps anything between two requests.
//!
//! The attributes of a span are stored in two parts. Short values stay in `attributes`. Long ones are
//! content: they are in `data`, cut into messages that are stored once a trace (see [`payload`]).
//! [`attributes`] puts the two together again.

mod any;
mod docs;
pub(crate) mod envelope;
mod form;
mod handoffs;
mod join;
mod json;
mod logs;
mod merge;
mod payload;
mod protobuf;
pub(crate) mod rebuilt;
mod records;
mod refusal;
mod restored;
mod span;
mod view;
mod wire;

use bytes::Bytes;
use model::Batch;

use crate::agents_sdk::Context;

pub use crate::dialects::Contents;
pub(crate) use any::{Any, Attributes};
pub(crate) use docs::Docs;
pub use envelope::EnvelopeError;
pub(crate) use form::{
    RawEvent, RawItem, RawLink, RawLog, RawResource, RawScope, RawSpan, Signal, Sink,
};
pub use join::{Joined, join};
pub use logs::{Evaluation, LogBatch, LogRecord};
pub use merge::{Merge, merge_doubles};
pub use records::{RecordRows, record_rows, records_of};
pub(crate) use span::{Decoder as SpanDecoder, Ids, Run, hex};
pub use view::{Sent, attributes, contents, contents_with, dialect, is_telemetry, requested_model};
pub(crate) use view::{members, previews, with_seen};

/// A request with more spans than this is refused as a whole; real senders send some hundred.
pub const SPANS_MAX: usize = 100_000;

/// How a request is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `application/x-protobuf`, and gRPC.
    Protobuf,
    /// `application/json`.
    Json,
}

/// What a request in protobuf carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carried {
    Spans,
    Logs,
    Metrics,
}

/// Tells by its first item what a request in protobuf carries; the three kinds look alike from
/// outside. `None`: it has no item, or is no such request.
pub(crate) fn carried(body: &[u8]) -> Option<Carried> {
    protobuf::carried(body)
}

/// Returns the content of one `ExportTraceServiceRequest`, whose bad spans are in
/// [`Batch::rejected`].
pub fn decode_traces(
    body: Bytes,
    encoding: Encoding,
    context: &Context<'_>,
) -> Result<Batch, EnvelopeError> {
    let mut decoder = span::Decoder::new(&body, context);
    envelope::read(&body, encoding, Signal::Traces, &mut decoder)?;
    decoder.finish()
}

/// Returns the log records of one `ExportLogsServiceRequest` that belong to spans or tell of GenAI,
/// and counts the rest.
pub fn decode_logs(body: Bytes, encoding: Encoding) -> Result<LogBatch, EnvelopeError> {
    let mut decoder = logs::Decoder::default();
    envelope::read(&body, encoding, Signal::Logs, &mut decoder)?;
    decoder.finish()
}
