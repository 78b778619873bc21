//! What the OpenAI Agents SDK sends to its tracing endpoint: `{"data":[ITEM,…]}`.
//!
//! The SDK never reads our answer and loses up to 128 items on a 400, so one odd item must not cost
//! the others: each is decoded, or refused with its reason, by itself. Children come before parents,
//! items come twice, and traces are spread over requests; nothing here depends on the order. The
//! format as both SDKs write it, Python 0.22 to 0.24 and JavaScript 0.17 to 0.20, is read, and so are
//! the extra keys of our own processor, which sends content that the stock exporter leaves behind.
//!
//! One pass over the bytes finds and indexes the items; everything behind it is a lookup. Messages
//! are slices of the request's body, not copies.

mod conversation;
mod documents;
mod envelope;
mod failure;
mod fields;
mod hosted;
mod kind;
mod payload;
mod provider;
mod refusal;
mod span;
mod told;
mod trace;
mod traces;
mod usage;
mod words;

use bytes::Bytes;
use model::{Batch, NanoUsd, Rejection, Source, Time, TraceId, Usage};

use crate::json::{Reader, Tape, Value};
pub use documents::{DocumentError, Documents, decode_document};
pub use envelope::EnvelopeError;
pub(crate) use failure::{kind as error_kind, tells_of_timeout};
use refusal::Refusal;
pub(crate) use span::price;
pub(crate) use told::told;
use traces::Traces;
pub(crate) use usage::read as read_usage;
pub(crate) use words::previews;
pub use words::{Words, contents, words};

/// What decoding needs to know besides the bytes.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The way the bytes came in.
    pub source: Source,
    /// When they came in; prices a call whose own time was not told.
    pub received_at: Time,
    /// What a model call costs, if that is known.
    pub price: &'a (dyn Fn(&PricedCall<'_>) -> Option<NanoUsd> + Sync),
    /// Whether a trace was deleted, so that its items are refused. Only here is it known which item of a
    /// request each one was.
    pub is_deleted: &'a (dyn Fn(&TraceId) -> bool + Sync),
}

impl Context<'static> {
    /// Returns what is known where nobody knows a price and nothing was deleted.
    pub const fn new(source: Source, received_at: Time) -> Self {
        Self {
            source,
            received_at,
            price: &|_| None,
            is_deleted: &|_| false,
        }
    }
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            source,
            received_at,
            price: _,
            is_deleted: _,
        } = self;
        f.debug_struct("Context")
            .field("source", source)
            .field("received_at", received_at)
            .finish_non_exhaustive()
    }
}

/// A model call that has ended, with all that its price depends on.
#[derive(Debug, Clone, Copy)]
pub struct PricedCall<'a> {
    /// The model, as the sender named it.
    pub model: &'a str,
    /// Who served it, where that was told.
    pub provider: Option<&'a str>,
    /// Its tokens; at least one count is known.
    pub usage: &'a Usage,
    /// When it started.
    pub at: Time,
}

/// Returns the content of one ingest request, whose bad items are in [`Batch::rejected`].
pub fn decode(body: Bytes, context: &Context<'_>) -> Result<Batch, EnvelopeError> {
    let mut decoder = Decoder::new(&body, context);
    envelope::read(&mut decoder)?;
    Ok(decoder.finish())
}

/// What an item without an `object` is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    /// It stands among both kinds: its keys decide.
    Mixed,
    /// It stands where a trace is expected.
    Trace,
    /// It stands where spans are expected.
    Span,
}

/// The state of one call: what was decoded so far.
struct Decoder<'b, 'c> {
    body: &'b Bytes,
    context: &'c Context<'c>,
    traces: Traces<'b, 'c>,
    batch: Batch,
    items: usize,
}

impl<'b, 'c> Decoder<'b, 'c> {
    fn new(body: &'b Bytes, context: &'c Context<'c>) -> Self {
        Self {
            body,
            context,
            traces: Traces::new(body, context.is_deleted),
            batch: Batch::default(),
            items: 0,
        }
    }

    /// Decodes the item that starts here, or notes why it is refused. Fails only where the end of
    /// the item cannot be found, so that nothing behind it can be read either.
    fn item(
        &mut self,
        reader: &mut Reader<'b>,
        tape: &mut Tape,
        position: Position,
    ) -> Result<(), EnvelopeError> {
        let begin = *reader;
        let outcome = match reader.index(tape) {
            Ok(()) => {
                let bytes = &self.body[begin.position()..reader.position()];
                match std::str::from_utf8(bytes) {
                    Ok(text) => self.indexed_item(tape.root(text), position),
                    Err(error) => Err(Refusal::NotUtf8 {
                        at: begin.position() + error.valid_up_to(),
                    }),
                }
            }
            Err(fault) => {
                *reader = begin;
                reader.skip()?;
                Err(Refusal::Json(fault))
            }
        };
        match outcome {
            Ok(()) => self.batch.accepted += 1,
            Err(refusal) => self.batch.rejected.push(Rejection {
                index: self.items,
                code: refusal.code(),
                reason: refusal.to_string(),
                trace_id: refusal.into_trace_id(),
            }),
        }
        self.items += 1;
        Ok(())
    }

    fn indexed_item(&mut self, item: Value<'b, '_>, position: Position) -> Result<(), Refusal> {
        if !item.is_object() {
            return Err(Refusal::NotAnObject {
                found: item.kind().as_str(),
            });
        }
        let is_span = match item.get("object") {
            Some(object) if object.is_text("trace") => false,
            Some(object) if object.is_text("trace.span") => true,
            Some(object) => {
                return Err(Refusal::UnknownObject {
                    object: object.raw().chars().take(64).collect(),
                });
            }
            // Hand-written exporters leave it out; what the item holds tells the two apart.
            None => match position {
                Position::Trace => false,
                Position::Span => true,
                Position::Mixed
                    if item.get("span_data").is_some() && item.get("trace_id").is_some() =>
                {
                    true
                }
                Position::Mixed if item.get("workflow_name").is_some() => false,
                Position::Mixed => return Err(Refusal::NoObject),
            },
        };
        match is_span {
            true => self.span(item),
            false => self.trace(item),
        }
    }

    fn finish(self) -> Batch {
        Batch {
            messages: self.traces.into_messages(),
            ..self.batch
        }
    }
}
