//! Why one span or log record is refused. The code goes to the loss ledger, the text to the sender.

use model::Rejection;

use crate::json::Fault;

use super::any::VALUE_DEPTH_MAX;
use super::protobuf::ITEM_VALUES_MAX;
use super::wire::WireFault;

/// Why one item cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// It is not JSON, or too much of it.
    #[error("{0}")]
    Json(#[source] Fault),
    /// It is JSON of another kind.
    #[error("expected an object, found {found}")]
    NotAnObject {
        /// What it is instead.
        found: &'static str,
    },
    /// It is no protobuf message.
    #[error("not a protobuf message: {0}")]
    Wire(#[from] WireFault),
    /// A text of it is no UTF-8.
    #[error("a text is not UTF-8")]
    NotUtf8,
    /// An attribute is nested too deep.
    #[error("an attribute is nested deeper than {VALUE_DEPTH_MAX} levels")]
    TooDeep,
    /// It holds more attributes and values than we take.
    #[error("more than {ITEM_VALUES_MAX} attributes and values in one item")]
    TooManyValues,
    /// An id is missing, has another length than it should, or is all zero.
    #[error("{field:?} must be {bytes} bytes that are not all zero, found {found}")]
    BadId {
        /// The field as JSON calls it.
        field: &'static str,
        /// How many bytes it should have.
        bytes: usize,
        /// What was sent.
        found: String,
    },
}

impl Refusal {
    /// Returns the refusal of the item at this place.
    pub(super) fn of_item(&self, index: usize) -> Rejection {
        Rejection {
            index,
            code: self.code(),
            reason: self.to_string(),
            trace_id: None,
        }
    }

    /// Returns the stable word for the ledger.
    fn code(&self) -> &'static str {
        match self {
            Refusal::Json(Fault::Expected { .. }) => "bad_json",
            Refusal::Json(Fault::TooDeep { .. }) | Refusal::TooDeep => "too_deep",
            Refusal::Json(Fault::TooManyValues { .. } | Fault::TooLong { .. })
            | Refusal::TooManyValues => "too_large",
            Refusal::NotAnObject { .. } => "not_an_object",
            Refusal::Wire(_) => "bad_protobuf",
            Refusal::NotUtf8 => "bad_utf8",
            Refusal::BadId { .. } => "bad_id",
        }
    }
}
