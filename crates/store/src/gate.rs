//! May another batch come in? The decision, and why not.

use crate::ledger::ShareFull;

/// Why nothing is taken just now. Whoever sent it should try again after `retry_after_s`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}; try again in {retry_after_s} s")]
pub struct Refusal {
    /// What ran out.
    pub what: Limit,
    /// Which limit, how much of it is used.
    pub message: String,
    /// When to come back.
    pub retry_after_s: u32,
}

/// What can run out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit {
    /// A share of memory.
    Memory,
    /// Sealed buffers wait for a flush.
    FlushLag,
    /// The write-ahead log is as large as it may become.
    WalBytes,
    /// Compaction is behind.
    L0Files,
    /// The disk is nearly full.
    Disk,
    /// The server is shutting down.
    Stopping,
}

impl Limit {
    /// Returns the word for the loss ledger.
    pub const fn as_str(self) -> &'static str {
        match self {
            Limit::Memory => "memory_full",
            Limit::FlushLag => "flush_lag",
            Limit::WalBytes => "wal_full",
            Limit::L0Files => "compaction_lag",
            Limit::Disk => "disk_full",
            Limit::Stopping => "stopping",
        }
    }
}

/// What the gate looks at.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Load {
    pub(crate) stopping: bool,
    pub(crate) disk_full: bool,
    pub(crate) free_bytes: u64,
    pub(crate) free_bytes_min: u64,
    pub(crate) sealed: usize,
    pub(crate) sealed_max: usize,
    pub(crate) active_bytes: usize,
    pub(crate) buffer_bytes: usize,
    pub(crate) live_bytes: usize,
    pub(crate) live_bytes_max: usize,
    pub(crate) open_bytes: usize,
    pub(crate) open_bytes_max: usize,
    pub(crate) wal_bytes: u64,
    pub(crate) wal_bytes_max: u64,
    pub(crate) l0_files: usize,
    pub(crate) l0_files_max: usize,
}

/// Returns why a batch must be refused under this load, if it must.
pub(crate) fn check(load: &Load) -> Result<(), Refusal> {
    let refuse = |what, message: String, retry_after_s| {
        Err(Refusal {
            what,
            message,
            retry_after_s,
        })
    };
    if load.stopping {
        return Err(Refusal::stopping());
    }
    if load.disk_full || load.free_bytes < load.free_bytes_min {
        let message = format!(
            "the disk has {} MiB free and ingest stops below {} MiB",
            load.free_bytes >> 20,
            load.free_bytes_min >> 20
        );
        return refuse(Limit::Disk, message, 30);
    }
    if load.sealed >= load.sealed_max && load.active_bytes >= load.buffer_bytes {
        let message = format!(
            "{} buffers of rows wait to be written to Parquet",
            load.sealed + 1
        );
        return refuse(Limit::FlushLag, message, 2);
    }
    if load.live_bytes >= load.live_bytes_max {
        let message = format!(
            "rows that are not in Parquet yet take {} MiB of the {} MiB they may have",
            load.live_bytes >> 20,
            load.live_bytes_max >> 20
        );
        return refuse(Limit::Memory, message, 2);
    }
    // A run may have more spans than its share as long as rows do not need the room.
    if load.live_bytes + load.open_bytes >= load.live_bytes_max + load.open_bytes_max {
        let message = format!(
            "spans of traces that go on take {} MiB, and rows that are not in Parquet yet {} MiB, of {} MiB",
            load.open_bytes >> 20,
            load.live_bytes >> 20,
            (load.live_bytes_max + load.open_bytes_max) >> 20
        );
        return refuse(Limit::Memory, message, 5);
    }
    if load.wal_bytes >= load.wal_bytes_max {
        let message = format!(
            "the write-ahead log has {} MiB of the {} MiB it may have",
            load.wal_bytes >> 20,
            load.wal_bytes_max >> 20
        );
        return refuse(Limit::WalBytes, message, 5);
    }
    if load.l0_files >= load.l0_files_max {
        let message = format!("{} small files wait to be merged", load.l0_files);
        return refuse(Limit::L0Files, message, 10);
    }
    Ok(())
}

impl Refusal {
    /// Returns the refusal of a store that is shutting down.
    pub(crate) fn stopping() -> Self {
        let message = "the store is shutting down".to_owned();
        Self {
            what: Limit::Stopping,
            message,
            retry_after_s: 5,
        }
    }

    /// Returns whether a flush will end it, within a second or so.
    pub(crate) fn is_brief(&self) -> bool {
        matches!(self.what, Limit::FlushLag | Limit::Memory)
    }

    /// Returns the refusal of a log that has no space for another segment.
    pub(crate) fn disk_full() -> Self {
        let message = "the disk has no space for the write-ahead log".to_owned();
        Self {
            what: Limit::Disk,
            message,
            retry_after_s: 30,
        }
    }

    /// Returns the refusal for a share of memory that is used up.
    pub fn memory(full: &ShareFull) -> Self {
        Self {
            what: Limit::Memory,
            message: full.to_string(),
            retry_after_s: 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_refuses_by_its_own_name_and_soon_enough() {
        let calm = Load {
            free_bytes: 10,
            free_bytes_min: 5,
            sealed_max: 2,
            buffer_bytes: 100,
            live_bytes_max: 300,
            open_bytes_max: 100,
            wal_bytes_max: 100,
            l0_files_max: 8,
            ..Load::default()
        };
        assert_eq!(check(&calm), Ok(()));
        let refused = |change: fn(&mut Load), want: Limit| {
            let mut load = calm;
            change(&mut load);
            let refusal = check(&load).unwrap_err();
            assert_eq!(refusal.what, want);
            assert!(
                refusal.retry_after_s <= 30,
                "the Agents SDK waits 30 s at most"
            );
        };
        refused(|load| load.stopping = true, Limit::Stopping);
        refused(|load| load.disk_full = true, Limit::Disk);
        refused(|load| load.free_bytes = 4, Limit::Disk);
        let is_lagging = |load: &mut Load| (load.sealed, load.active_bytes) = (2, 100);
        refused(is_lagging, Limit::FlushLag);
        refused(|load| load.live_bytes = 300, Limit::Memory);
        let has_long_runs = |load: &mut Load| (load.live_bytes, load.open_bytes) = (100, 300);
        refused(has_long_runs, Limit::Memory);
        refused(|load| load.wal_bytes = 100, Limit::WalBytes);
        refused(|load| load.l0_files = 8, Limit::L0Files);
        assert_eq!(
            check(&Load {
                sealed: 2,
                active_bytes: 99,
                ..calm
            }),
            Ok(())
        );
    }
}
