//! How much of a body is kept for the record?
//!
//! A body is copied as it passes. The memory for it is reserved in the ledger in steps that double;
//! when there is none, or the body is longer than one that may be sent to us, the copy is given up and
//! the body passes on.

use std::sync::Arc;

use axum::http::HeaderMap;
use bytes::Bytes;
use store::Ledger;

use crate::body::{COPIES, Hold, Received};
use crate::config::Config;
use crate::error::ApiError;

/// Memory for a copy is reserved in steps of at least this size.
const STEP_BYTES_MIN: usize = 16 << 10;

/// The reason for which a call is not recorded when memory is short.
pub(super) const NO_MEMORY: &str = "recording_skipped_memory_full";

/// The reason for which a call is not recorded when it is too long.
pub(super) const TOO_LARGE: &str = "recording_skipped_body_too_large";

/// The copy of a body that passes.
#[derive(Debug)]
pub(super) struct BodyCopy {
    bytes: Vec<u8>,
    held_bytes: usize,
    hold: Hold,
    bytes_max: usize,
    given_up: Option<&'static str>,
}

impl BodyCopy {
    /// Returns an empty copy.
    pub(super) fn new(config: &Config, ledger: &Arc<Ledger>) -> Self {
        Self {
            bytes: Vec::new(),
            held_bytes: 0,
            hold: Hold::new(ledger),
            bytes_max: config.body_bytes_max,
            given_up: None,
        }
    }

    /// Copies what passes, if it can.
    pub(super) fn push(&mut self, chunk: &[u8]) {
        if self.given_up.is_some() {
            return;
        }
        let length = self.bytes.len() + chunk.len();
        if length > self.bytes_max {
            return self.give_up(TOO_LARGE);
        }
        if length > self.held_bytes {
            let step = length.next_power_of_two().max(STEP_BYTES_MIN);
            if self.hold.grow_to(step * COPIES).is_err() {
                return self.give_up(NO_MEMORY);
            }
            self.held_bytes = step;
            self.bytes.reserve_exact(step - self.bytes.len());
        }
        self.bytes.extend_from_slice(chunk);
    }

    fn give_up(&mut self, why: &'static str) {
        self.given_up = Some(why);
        self.bytes = Vec::new();
        self.hold.release();
    }

    /// Returns why there is no copy, if there is none.
    pub(super) fn given_up(&self) -> Option<&'static str> {
        self.given_up
    }

    /// Returns whether all that passed so far is in it.
    pub(super) fn is_whole(&self) -> bool {
        self.given_up.is_none()
    }

    /// Returns how many bytes were copied.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Takes the copy out.
    pub(super) fn take(&mut self) -> Self {
        let empty = Self {
            bytes: Vec::new(),
            held_bytes: 0,
            hold: self.hold.empty(),
            bytes_max: 0,
            given_up: self.given_up,
        };
        std::mem::replace(self, empty)
    }

    /// Returns the body as it was before it was compressed, with the memory that it holds. Blocks.
    pub(super) fn inflate(
        self,
        config: &Config,
        headers: &HeaderMap,
        may_be_cut: bool,
    ) -> Result<(Bytes, Hold), ApiError> {
        Received::copied(config, headers, self.bytes.into(), self.hold, may_be_cut)?.inflate()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::Share;

    fn check(budget: usize, bytes_max: usize, chunks: usize, want: Option<&'static str>) {
        let mut config = Config::default();
        config.body_bytes_max = bytes_max;
        let ledger = Ledger::new(budget);
        // A neighbour, so that nothing passes only because it is alone.
        let neighbour = ledger.reserve(Share::Bodies, 1).unwrap();
        let mut copy = BodyCopy::new(&config, &ledger);
        (0..chunks).for_each(|_| copy.push(&[b'x'; 1_000]));
        assert_eq!(copy.given_up(), want);
        if want.is_some() {
            assert_eq!(ledger.used(Share::Bodies), 1, "all is given back at once");
        } else {
            let (bytes, hold) = copy.inflate(&config, &HeaderMap::new(), false).unwrap();
            assert_eq!(bytes.len(), chunks * 1_000);
            assert!(ledger.used(Share::Bodies) > bytes.len());
            drop(hold);
        }
        drop(neighbour);
    }

    #[test]
    fn a_copy_is_given_up_before_it_takes_what_is_not_there() {
        check(100 << 20, 1 << 20, 1_000, None);
        check(100 << 20, 100_000, 101, Some(TOO_LARGE));
        check(1 << 20, 1 << 20, 1_000, Some(NO_MEMORY));
        check(1 << 20, 1 << 20, 0, None);
    }
}
