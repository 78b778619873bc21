//! What a decoder hands to the store: the good part of a request, and an account of the rest.

use crate::{Message, Span, TraceItem};

/// The decoded content of one request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// How many items of the request were taken. What we derive ourselves is not counted.
    pub accepted: usize,
    /// Trace items, in the order they came.
    pub traces: Vec<TraceItem>,
    /// Spans, in the order they came; a later one with the same id supersedes.
    pub spans: Vec<Span>,
    /// Every message that a span of this batch refers to, once per trace.
    pub messages: Vec<Message>,
    /// Items that were refused, each with its reason.
    pub rejected: Vec<Rejection>,
}

/// One item that was refused.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Rejection {
    /// Its place in the request's list, from 0.
    pub index: usize,
    /// A stable word for the ledger, such as `bad_time`.
    #[serde(skip)]
    pub code: &'static str,
    /// What was wrong with it, for the person who sent it.
    pub reason: String,
}
