//! Every limit of the store, with its unit and its default.

use std::path::PathBuf;

/// How a store is opened. All limits bound something that grows with what people send.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// The data folder.
    pub data_dir: PathBuf,
    /// The name of this node in file names and cursors.
    pub node: String,
    /// The memory budget that the ledger cuts into shares.
    pub memory_bytes_max: usize,
    /// The size of a log segment.
    pub wal_segment_bytes: u64,
    /// Beyond this much log, senders are told to come back later.
    pub wal_bytes_max: u64,
    /// An active buffer is sealed at this size.
    pub buffer_bytes: usize,
    /// A buffer is flushed at this age, in milliseconds.
    pub flush_age_ms: i64,
    /// Sealed buffers that may wait; with one more, senders are told to come back later.
    pub sealed_max: usize,
    /// L0 files of one table; with more, senders are told to come back later.
    pub l0_files_max: usize,
    /// Ingest stops when less than this is free on the disk.
    pub free_bytes_min: u64,
    /// A trace is idle this long after its last row.
    pub trace_idle_ms: i64,
    /// A deleted trace's bytes are gone from disk within this time.
    pub delete_within_ms: i64,
    /// For this long, items of a deleted trace are refused.
    pub tombstone_ms: i64,
    /// Traces without unflushed rows that are kept known, for the next rows of long runs.
    pub retained_traces_max: usize,
    /// The target size of a file above L0.
    pub file_bytes_target: u64,
    /// Whether flush, compaction and deletion run by themselves. Tests drive them by hand.
    pub background: bool,
}

impl StoreConfig {
    /// Returns the defaults for a data folder.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            node: "n0".to_owned(),
            // The rest of a GiB is for the program itself and what an allocator keeps for later.
            memory_bytes_max: 800 << 20,
            wal_segment_bytes: 64 << 20,
            wal_bytes_max: 1 << 30,
            buffer_bytes: 64 << 20,
            flush_age_ms: 30_000,
            sealed_max: 2,
            l0_files_max: 64,
            free_bytes_min: 1 << 30,
            trace_idle_ms: 600_000,
            delete_within_ms: 60_000,
            tombstone_ms: 24 * 3_600_000,
            retained_traces_max: 20_000,
            file_bytes_target: 192 << 20,
            background: true,
        }
    }
}
