//! The write-ahead log: what makes an answer of 2xx true (D1).
//!
//! Frames are appended to segment files by one [`SegmentWriter`] and made durable a drain at a time.
//! Opening the log gives a [`Recovery`], which hands over every frame behind the catalog's cursor, in
//! order, and only then the writer: nothing can be appended before everything was replayed, and nothing
//! on disk is changed before everything was read. [`Wal`] is for everybody else: it cuts segments that
//! a commit has covered (D4), keeps them for those who still read them, and tells its size.
//!
//! The log knows bytes and sequence numbers. It knows neither records nor time.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::disk::{Disk, DiskError};

mod follow;
mod format;
mod recovery;
mod scan;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

pub use follow::{Followed, Follower};
pub use format::{SEGMENT_VERSION, StoreId};
pub use recovery::{Frame, Quarantined, Recovery, RecoveryReport, SeqGap, TornTail};
pub use segment::SegmentInfo;
pub use writer::SegmentWriter;

/// The smallest segment: a frame header must be worth its space.
pub const SEGMENT_BYTES_MIN: u64 = 256 << 10;

/// How a log is written.
#[derive(Debug, Clone, Copy)]
pub struct WalOptions {
    /// The size of a segment; a larger frame gets a larger one.
    pub segment_bytes: u64,
    /// A random number, drawn anew by every process. It keeps old bytes and senders' bytes from being
    /// taken for frames.
    pub salt: u64,
}

impl WalOptions {
    /// Returns the defaults, with segments of 64 MiB.
    pub fn new(salt: u64) -> Self {
        Self {
            segment_bytes: 64 << 20,
            salt,
        }
    }

    fn segment_bytes(&self) -> u64 {
        self.segment_bytes.max(SEGMENT_BYTES_MIN)
    }
}

/// Why the log could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// There is no space for it. The log can be used as before, and the condition may pass.
    #[error("reserve space in the write-ahead log")]
    Full(#[source] DiskError),
    /// The disk refused something that no frame depends on. The log can be used as before.
    #[error("use the write-ahead log")]
    Disk(#[source] DiskError),
    /// A write or a sync failed: what is on disk is unknown, and the process must end.
    #[error("make the write-ahead log durable")]
    Fatal(#[source] DiskError),
    /// The log failed earlier ([`WalError::Fatal`]) and takes nothing more.
    #[error("write to the write-ahead log, which failed earlier")]
    Stopped,
    /// A frame has more bytes than its length field can say.
    #[error("append a frame of {bytes} bytes to the write-ahead log")]
    FrameTooLarge {
        /// Its payload.
        bytes: usize,
    },
    /// A segment was written by a newer tracegrade. Nothing was changed.
    #[error(
        "open log segment {}: it has format version {found}, and the newest that can be read is \
         {SEGMENT_VERSION}",
        path.display()
    )]
    NewerVersion {
        /// The segment.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// A segment belongs to another store. Nothing was changed.
    #[error("open log segment {}: it belongs to store {found}, not to {expected}", path.display())]
    ForeignStore {
        /// The segment.
        path: PathBuf,
        /// The store that it belongs to.
        found: StoreId,
        /// This store.
        expected: StoreId,
    },
    /// The log starts behind the catalog's cursor: one of the two is not of this store's latest
    /// state. Nothing was changed.
    #[error(
        "replay the write-ahead log: it starts at {first_seq}, but the catalog knows everything up to \
         {cursor} only; run `tracegrade rebuild-catalog`"
    )]
    CursorBehind {
        /// The catalog's cursor.
        cursor: u64,
        /// The first sequence number in the log.
        first_seq: u64,
    },
}

impl WalError {
    /// Returns whether the process must end.
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Fatal(_) | Self::Stopped)
    }

    /// Returns the error of something that was not begun or was undone.
    fn refused(error: DiskError) -> Self {
        match error.is_full() {
            true => Self::Full(error),
            false => Self::Disk(error),
        }
    }

    fn fatal(error: DiskError) -> Self {
        Self::Fatal(error)
    }
}

/// What the log tells and does for those who do not write to it. Clones are the same log.
#[derive(Debug, Clone)]
pub struct Wal {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    log: Mutex<Log>,
}

/// What is durable.
#[derive(Debug, Default)]
struct Log {
    /// Segments that are written no more, oldest first.
    closed: Vec<SegmentInfo>,
    active: Option<SegmentInfo>,
    /// What each holder needs.
    holds: BTreeMap<u64, Held>,
    next_hold: u64,
    /// A segment was removed, and its directory not synced yet.
    is_dir_dirty: bool,
}

/// What a holder needs of the log.
#[derive(Debug, Clone, Copy)]
struct Held {
    /// The first sequence number.
    seq: u64,
    /// Whether a deletion goes first.
    yields: bool,
}

impl Wal {
    /// Opens the log of the store in `data_dir`, whose catalog has committed every frame up to
    /// `cursor`. Segments are in `wal/`, what cannot be read goes to `quarantine/`.
    pub fn open(
        disk: Arc<dyn Disk>,
        data_dir: &Path,
        store: StoreId,
        options: WalOptions,
        cursor: u64,
    ) -> Result<Recovery, WalError> {
        Recovery::open(disk, data_dir, store, options, cursor)
    }

    /// Returns the runs of sequence numbers in the log of the store in `data_dir`, lowest first. Changes
    /// nothing.
    pub fn survey(
        disk: &dyn Disk,
        data_dir: &Path,
        store: StoreId,
    ) -> Result<Vec<RangeInclusive<u64>>, WalError> {
        recovery::survey(disk, data_dir, store)
    }

    fn new(disk: Arc<dyn Disk>, dir: PathBuf, closed: Vec<SegmentInfo>) -> Self {
        let log = Mutex::new(Log {
            closed,
            ..Log::default()
        });
        Self {
            shared: Arc::new(Shared { disk, dir, log }),
        }
    }

    /// Removes, durably, the segments of which no frame is behind `upto_seq`, the cursor of a catalog
    /// commit (D4). The active segment stays, and so does what somebody holds. Returns how many went.
    pub fn cut(&self, upto_seq: u64) -> Result<usize, WalError> {
        let (mut doomed, is_dir_dirty) = self.shared.log.lock().take_covered(upto_seq);
        let mut removed = 0;
        let failed = loop {
            let Some(segment) = doomed.first() else {
                break None;
            };
            match self.shared.disk.remove(&segment.path) {
                Err(error) if !error.is_not_found() => break Some(error),
                _ => removed += 1,
            }
            doomed.remove(0);
        };
        let is_dirty = is_dir_dirty || removed > 0;
        let synced = if is_dirty {
            self.shared.disk.sync_dir(&self.shared.dir)
        } else {
            Ok(())
        };
        let mut log = self.shared.log.lock();
        log.is_dir_dirty |= is_dirty && synced.is_err();
        log.closed.splice(0..0, doomed);
        match failed {
            Some(error) => Err(WalError::Disk(error)),
            None => synced.map(|()| removed).map_err(WalError::Disk),
        }
    }

    /// Keeps every frame from `seq` on that is in the log now, until the hold is dropped. Whoever
    /// copies the log takes the hold first and reads the catalog's cursor then.
    pub fn hold(&self, seq: u64) -> Hold {
        self.hold_with(Held { seq, yields: false })
    }

    /// As [`Wal::hold`], but a deletion goes first (see [`Wal::overrule`]).
    pub fn hold_weakly(&self, seq: u64) -> Hold {
        self.hold_with(Held { seq, yields: true })
    }

    /// Takes every frame up to `seq` from those who hold it weakly: what is deleted must go.
    pub fn overrule(&self, seq: u64) {
        let mut log = self.shared.log.lock();
        let weak = log.holds.values_mut().filter(|held| held.yields);
        weak.for_each(|held| held.seq = held.seq.max(seq + 1));
    }

    fn hold_with(&self, held: Held) -> Hold {
        let mut log = self.shared.log.lock();
        let id = log.next_hold;
        log.next_hold += 1;
        log.holds.insert(id, held);
        Hold {
            shared: Arc::clone(&self.shared),
            id,
        }
    }

    /// Returns how many bytes of frames are in the log.
    pub fn bytes(&self) -> u64 {
        self.shared
            .log
            .lock()
            .segments()
            .map(|segment| segment.bytes)
            .sum()
    }

    /// Returns how many bytes of frames no commit up to `cursor` has covered: what the log would have if
    /// nobody held any of it.
    pub fn uncovered_bytes(&self, cursor: u64) -> u64 {
        let log = self.shared.log.lock();
        let is_needed = |segment: &&SegmentInfo| segment.last_seq.is_none_or(|last| last > cursor);
        let needed = log.segments().filter(is_needed);
        needed.map(|segment| segment.bytes).sum()
    }

    /// Returns the segments, oldest first, the active one last, as far as they are durable.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        self.shared.log.lock().segments().cloned().collect()
    }

    /// Returns the segments that have a frame behind `seq`: what a backup copies, each up to its
    /// `bytes`, while it holds them.
    pub fn segments_since(&self, seq: u64) -> Vec<SegmentInfo> {
        let mut segments = self.segments();
        segments.retain(|segment| segment.last_seq.is_some_and(|last| last > seq));
        segments
    }
}

impl Log {
    fn segments(&self) -> impl Iterator<Item = &SegmentInfo> {
        self.closed.iter().chain(&self.active)
    }

    /// Takes out the oldest segments, up to the first that is needed; and whether the directory must be
    /// synced for earlier ones.
    fn take_covered(&mut self, upto_seq: u64) -> (Vec<SegmentInfo>, bool) {
        let held = self.holds.values().map(|held| held.seq).min();
        let held = held.unwrap_or(u64::MAX);
        let is_covered = |segment: &SegmentInfo| {
            segment
                .last_seq
                .is_none_or(|last| last <= upto_seq && last < held)
        };
        let kept = self.closed.iter().position(|segment| !is_covered(segment));
        let covered = kept.unwrap_or(self.closed.len());
        let is_dir_dirty = std::mem::take(&mut self.is_dir_dirty);
        (self.closed.drain(..covered).collect(), is_dir_dirty)
    }
}

/// Keeps frames from being cut while it lives.
#[derive(Debug)]
pub struct Hold {
    shared: Arc<Shared>,
    id: u64,
}

impl Hold {
    /// Lets go of every frame before `seq`, for a reader that has got so far.
    pub fn advance(&self, seq: u64) {
        if let Some(held) = self.shared.log.lock().holds.get_mut(&self.id) {
            held.seq = held.seq.max(seq);
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.shared.log.lock().holds.remove(&self.id);
    }
}
