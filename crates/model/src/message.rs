//! A message: one prompt part or answer part, stored once per trace and found by its hash.
//!
//! Agents resend their whole history at every turn. Keeping each message once and a list of hashes on
//! the span turns k(k+1)/2 stored messages into k. The bytes win: no canonical form, so what comes
//! back out is what went in.

use std::fmt;

use bytes::Bytes;

use crate::TraceId;

/// The first 128 bits of the BLAKE3 hash of a message's bytes as sent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageHash(pub [u8; 16]);

impl MessageHash {
    /// Returns the hash of `content`.
    pub fn of(content: &[u8]) -> Self {
        let mut short = [0; 16];
        short.copy_from_slice(&blake3::hash(content).as_bytes()[..16]);
        Self(short)
    }
}

impl fmt::Display for MessageHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for MessageHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// What part a message plays: `system`, `user`, `assistant`, `tool`, `developer` as the sender wrote
/// them, and our own `instructions`, `tool_schema`, `arguments`, `result`, `reasoning`, `other`.
pub type Role = std::borrow::Cow<'static, str>;

/// One message of one trace. `content` is the JSON text of the message, byte for byte as sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The trace that the message lives and dies with.
    pub trace_id: TraceId,
    /// The hash of `content`.
    pub hash: MessageHash,
    /// What part it plays.
    pub role: Role,
    /// JSON text, valid UTF-8.
    pub content: Bytes,
}

impl Message {
    /// Returns the content as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.content).expect("a message is cut out of a text that was checked")
    }
}
