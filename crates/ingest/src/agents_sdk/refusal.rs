//! Why one item is refused. The code goes to the loss ledger, the text to the sender.

use model::{BadTime, IdError, Rejection, TraceId};

use crate::json::Fault;

/// Why one item cannot be taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// It is not JSON (NaN and Infinity are not), or too much of it.
    #[error("{0}")]
    Json(#[source] Fault),
    /// Its bytes are not text.
    #[error("not UTF-8 at byte {at}")]
    NotUtf8 {
        /// The first bad byte of the body.
        at: usize,
    },
    /// It is JSON of another kind.
    #[error("expected an object, found {found}")]
    NotAnObject {
        /// What it is instead.
        found: &'static str,
    },
    /// It says that it is neither a trace nor a span.
    #[error("unknown_object: \"object\" is {object}; known: \"trace\", \"trace.span\"")]
    UnknownObject {
        /// What it says.
        object: String,
    },
    /// It does not say what it is, and its keys do not tell either.
    #[error(
        "unknown_object: no \"object\", and neither \"span_data\" with \"trace_id\" nor \"workflow_name\" tells what it is"
    )]
    NoObject,
    /// An id is missing or no text.
    #[error("{field:?} must be a string")]
    NoId {
        /// The key.
        field: &'static str,
    },
    /// An id is empty or too long.
    #[error("{field:?}: {source}")]
    BadId {
        /// The key.
        field: &'static str,
        /// What is wrong with it.
        #[source]
        source: IdError,
    },
    /// A time is no text.
    #[error("{field:?} must be an RFC 3339 time or null")]
    NoTime {
        /// The key.
        field: &'static str,
    },
    /// A time is a text that names no moment.
    #[error("{field:?}: {source}")]
    BadTime {
        /// The key.
        field: &'static str,
        /// What is wrong with it.
        #[source]
        source: BadTime,
    },
    /// Its trace was deleted: what comes late would bring it back.
    #[error(
        "{}: the trace {trace_id} was deleted not long ago",
        Rejection::TRACE_DELETED
    )]
    TraceDeleted {
        /// The trace.
        trace_id: TraceId,
    },
}

impl Refusal {
    /// Returns the stable word for the ledger.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Refusal::Json(Fault::Expected { .. }) => "bad_json",
            Refusal::Json(Fault::TooDeep { .. }) => "too_deep",
            Refusal::Json(Fault::TooManyValues { .. } | Fault::TooLong { .. }) => "too_large",
            Refusal::NotUtf8 { .. } => "bad_utf8",
            Refusal::NotAnObject { .. } => "not_an_object",
            Refusal::UnknownObject { .. } | Refusal::NoObject => "unknown_object",
            Refusal::NoId { .. } | Refusal::BadId { .. } => "bad_id",
            Refusal::NoTime { .. } | Refusal::BadTime { .. } => "bad_time",
            Refusal::TraceDeleted { .. } => Rejection::TRACE_DELETED,
        }
    }

    /// Returns the trace, where that is the reason.
    pub(super) fn into_trace_id(self) -> Option<TraceId> {
        match self {
            Refusal::TraceDeleted { trace_id } => Some(trace_id),
            _ => None,
        }
    }
}
