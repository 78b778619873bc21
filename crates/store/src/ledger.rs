//! Who holds how much memory?
//!
//! One budget, cut into named shares. Whatever grows with what people send has a share and either
//! evicts or answers "busy" when it is used up; nothing grows without a name. The figures are our own
//! estimates of what rows and buffers weigh, kept as plain counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What memory is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Share {
    /// Request bodies between the first byte and the answer.
    Bodies,
    /// Encoded batches that wait for the log.
    WalQueue,
    /// Rows that are logged and not yet in Parquet.
    LiveRows,
    /// Spans that are in Parquet and known all the same, since their traces may go on.
    OpenTraces,
    /// Hashes of messages that are in the log, so that none is written twice.
    SeenHashes,
    /// Buffers of a flush or a compaction.
    Rewrite,
    /// Running queries.
    Queries,
    /// Footers and pages of files kept open.
    Caches,
}

impl Share {
    /// Every share, in the order of the documentation.
    pub const ALL: [Share; 8] = [
        Share::Bodies,
        Share::WalQueue,
        Share::LiveRows,
        Share::OpenTraces,
        Share::SeenHashes,
        Share::Rewrite,
        Share::Queries,
        Share::Caches,
    ];

    /// Returns the share's name at `/metrics`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Share::Bodies => "bodies",
            Share::WalQueue => "wal_queue",
            Share::LiveRows => "live_rows",
            Share::OpenTraces => "open_traces",
            Share::SeenHashes => "seen_hashes",
            Share::Rewrite => "rewrite",
            Share::Queries => "queries",
            Share::Caches => "caches",
        }
    }

    /// Returns the share's part of the budget, in percent.
    const fn percent(self) -> usize {
        match self {
            Share::Bodies => 25,
            Share::WalQueue => 8,
            Share::LiveRows => 22,
            Share::OpenTraces => 8,
            Share::SeenHashes => 2,
            Share::Rewrite => 13,
            Share::Queries => 17,
            Share::Caches => 5,
        }
    }
}

/// A share is used up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the memory share {} is used up: {used} of {limit} bytes, {wanted} more wanted", share.as_str())]
pub struct ShareFull {
    /// Which one.
    pub share: Share,
    /// Bytes in use.
    pub used: usize,
    /// Bytes it may use.
    pub limit: usize,
    /// Bytes that were asked for.
    pub wanted: usize,
}

/// The budget and what is used of it.
#[derive(Debug)]
pub struct Ledger {
    budget: usize,
    used: [AtomicUsize; Share::ALL.len()],
}

impl Ledger {
    /// Returns a ledger over `budget` bytes.
    pub fn new(budget: usize) -> Arc<Self> {
        Arc::new(Self {
            budget,
            used: Default::default(),
        })
    }

    /// Returns how many bytes `share` may use.
    pub fn limit(&self, share: Share) -> usize {
        self.budget / 100 * share.percent()
    }

    /// Returns how many bytes `share` uses.
    pub fn used(&self, share: Share) -> usize {
        self.used[share as usize].load(Ordering::Relaxed)
    }

    /// Takes `bytes` of `share`, to be given back when the reservation is dropped. One reservation
    /// larger than the whole share is let through when nothing else is held: a request that may be
    /// sent must be able to pass.
    pub fn reserve(self: &Arc<Self>, share: Share, bytes: usize) -> Result<Reservation, ShareFull> {
        let limit = self.limit(share);
        let fits = |used: usize| (used == 0 || used + bytes <= limit).then_some(used + bytes);
        let cell = &self.used[share as usize];
        match cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits) {
            Ok(_) => Ok(Reservation {
                ledger: Arc::clone(self),
                share,
                bytes,
            }),
            Err(used) => Err(ShareFull {
                share,
                used,
                limit,
                wanted: bytes,
            }),
        }
    }

    /// Takes `bytes` of `share` for work that cannot be refused, and that others wait for.
    pub(crate) fn hold(self: &Arc<Self>, share: Share, bytes: usize) -> Reservation {
        self.used[share as usize].fetch_add(bytes, Ordering::Relaxed);
        Reservation {
            ledger: Arc::clone(self),
            share,
            bytes,
        }
    }

    /// Sets what a share uses, where the owner keeps its own count.
    pub(crate) fn set(&self, share: Share, bytes: usize) {
        self.used[share as usize].store(bytes, Ordering::Relaxed);
    }
}

/// Bytes held of a share; dropping it gives them back.
#[derive(Debug)]
pub struct Reservation {
    ledger: Arc<Ledger>,
    share: Share,
    bytes: usize,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.ledger.used[self.share as usize].fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_bounded_and_given_back() {
        let ledger = Ledger::new(1_000);
        assert_eq!(Share::ALL.iter().map(|s| s.percent()).sum::<usize>(), 100);
        let first = ledger.reserve(Share::Bodies, 100).unwrap();
        let full = ledger.reserve(Share::Bodies, 151).unwrap_err();
        assert_eq!((full.used, full.limit, full.wanted), (100, 250, 151));
        drop(first);
        let _large = ledger
            .reserve(Share::Bodies, 5_000)
            .expect("a lone large body may pass");
        assert!(ledger.reserve(Share::Bodies, 1).is_err());
        assert_eq!(ledger.used(Share::Bodies), 5_000);
    }
}
