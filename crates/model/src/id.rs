//! Ids as newtypes, so that a trace id can never stand where a span id is meant.
//!
//! Senders choose their ids: W3C hex, `trace_…`, or anything else. They are opaque here; only their
//! length is bounded. An id is a shared string because one trace id is held by every row of its trace.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// The longest id that is accepted, in bytes.
pub const ID_BYTES_MAX: usize = 256;

/// Why a text cannot be an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The id is the empty string.
    #[error("an id must not be empty")]
    Empty,
    /// The id is longer than [`ID_BYTES_MAX`].
    #[error("an id may have {ID_BYTES_MAX} bytes at most, this one has {0}")]
    TooLong(usize),
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Returns `text` as an id, or why it cannot be one.
            pub fn new(text: &str) -> Result<Self, IdError> {
                match text.len() {
                    0 => Err(IdError::Empty),
                    n if n > ID_BYTES_MAX => Err(IdError::TooLong(n)),
                    _ => Ok(Self(Arc::from(text))),
                }
            }

            /// Returns the id as the sender wrote it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }
    };
}

id_type!(
    /// A tenant: every row belongs to one project and no session sees two.
    ProjectId
);
id_type!(
    /// One end-to-end operation of a workflow.
    TraceId
);
id_type!(
    /// One operation inside a trace; unique within its trace only.
    SpanId
);
id_type!(
    /// A session: the traces of one conversation.
    GroupId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_shape_is_an_id_but_not_the_empty_or_endless_one() {
        for ok in [
            "trace_0",
            "4bf92f3577b34da6a3ce929d0e0e4736",
            "späße 🦀",
            " ",
        ] {
            assert_eq!(TraceId::new(ok).unwrap().as_str(), ok);
        }
        assert_eq!(TraceId::new(""), Err(IdError::Empty));
        assert_eq!(TraceId::new(&"x".repeat(257)), Err(IdError::TooLong(257)));
    }
}
