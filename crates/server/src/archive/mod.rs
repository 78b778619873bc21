//! Bodies as they were received, kept beside the store, so that a store can be made anew of them.
//!
//! What a decoder of today does not understand one of tomorrow may, and a store that was lost can be
//! told again. Every body that was let in is written here before it is decoded, as the sender compressed
//! it, into a file for each hour and process. It is no second log: a record is with the kernel before the
//! sender hears 2xx, so that it outlives the process, and is synced to the disk once a second, so that a
//! power cut may cost the archive the last second. If it cannot be written, ingest goes on, and what was
//! not archived is counted and shown.

mod files;
mod reader;
mod record;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::{Clock, Time};
use parking_lot::Mutex;
use serde::Serialize;
use store::disk::Disk;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use utoipa::ToSchema;

pub use self::files::{NotAnArchive, find as find_archives};
pub use self::reader::{ArchiveError, Records, Torn};
pub use self::record::{Head, Record};

use self::writer::Writer;
use crate::body::Received;
use crate::error::ApiError;

/// Records that wait for the writer; with more, senders wait to hand theirs over.
const WAITING_RECORDS_MAX: usize = 256;

/// How the archive is set up.
#[derive(Debug, Clone)]
pub struct ArchiveConfig {
    /// Whether bodies are archived at all.
    pub on: bool,
    /// The folder; none is `archive`, and a relative one is in the data folder.
    pub dir: Option<PathBuf>,
    /// Files go this long after their hour.
    pub keep_ms: i64,
    /// With more bytes than this, the oldest files go.
    pub bytes_max: u64,
}

impl ArchiveConfig {
    /// Returns the folder of the archive of a store in `data_dir`.
    pub(crate) fn dir_of(&self, data_dir: &Path) -> PathBuf {
        data_dir.join(self.dir.as_deref().unwrap_or(Path::new("archive")))
    }
}

impl Default for ArchiveConfig {
    fn default() -> Self {
        Self {
            on: false,
            dir: None,
            keep_ms: 30 * 86_400_000,
            bytes_max: 100 << 30,
        }
    }
}

/// What the archive did since the start.
#[derive(Debug, Default)]
struct Figures {
    records: AtomicU64,
    record_bytes: AtomicU64,
    lost_records: AtomicU64,
    removed_files: AtomicU64,
    disk_bytes: AtomicU64,
    trouble: Mutex<Option<String>>,
}

/// How the archive is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ArchiveHealth {
    /// `ok`, or `failing`: what comes in now is not archived.
    pub(crate) status: &'static str,
    /// Bodies archived since the start.
    pub(crate) records: u64,
    /// Their bytes, as received.
    pub(crate) record_bytes: u64,
    /// Bodies that were taken in and could not be archived.
    pub(crate) lost_records: u64,
    /// Files that went because of their age or because there were too many bytes.
    pub(crate) removed_files: u64,
    /// What the folder takes on disk.
    pub(crate) disk_bytes: u64,
    /// Why it is failing.
    pub(crate) trouble: Option<String>,
}

/// A body on its way to the disk, with the memory that it holds: who hangs up leaves it behind.
#[derive(Debug)]
struct Job {
    head: Head,
    received: Received,
    done: oneshot::Sender<Received>,
}

/// The archive of a running server.
#[derive(Debug)]
pub(crate) struct Archive {
    /// None once it is closed.
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    figures: Arc<Figures>,
    writing: Mutex<JoinSet<()>>,
    keep_micros: i64,
}

impl Archive {
    /// Begins to archive in `dir`. Nothing is opened before there is something to write.
    pub(crate) fn start(
        config: &ArchiveConfig,
        dir: PathBuf,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (jobs, waiting) = mpsc::channel(WAITING_RECORDS_MAX);
        let figures = Arc::<Figures>::default();
        let writer = Writer::new(config, dir, disk, clock, Arc::clone(&figures));
        let mut writing = JoinSet::new();
        writing.spawn(writer::run(writer, waiting));
        Self {
            jobs: Mutex::new(Some(jobs)),
            figures,
            writing: Mutex::new(writing),
            keep_micros: config.keep_ms.saturating_mul(1_000),
        }
    }

    /// Archives a body and returns it when it is with the kernel, or is counted as lost.
    pub(crate) async fn keep(&self, head: Head, received: Received) -> Result<Received, ApiError> {
        let (done, written) = oneshot::channel();
        let job = Job {
            head,
            received,
            done,
        };
        let jobs = self.jobs.lock().clone();
        let unsent = match jobs {
            Some(jobs) => jobs.send(job).await.err().map(|unsent| unsent.0),
            None => Some(job),
        };
        if let Some(job) = unsent {
            self.figures.lost_records.fetch_add(1, Ordering::Relaxed);
            return Ok(job.received);
        }
        written.await.map_err(ApiError::internal)
    }

    /// Returns by when nothing that was received until `now` is in the archive any more.
    pub(crate) fn gone_by(&self, now: Time) -> Time {
        now.plus_micros(self.keep_micros.saturating_add(2 * files::HOUR_MICROS))
    }

    /// Returns how it is.
    pub(crate) fn health(&self) -> ArchiveHealth {
        let count = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        let trouble = self.figures.trouble.lock().clone();
        ArchiveHealth {
            status: if trouble.is_none() { "ok" } else { "failing" },
            records: count(&self.figures.records),
            record_bytes: count(&self.figures.record_bytes),
            lost_records: count(&self.figures.lost_records),
            removed_files: count(&self.figures.removed_files),
            disk_bytes: count(&self.figures.disk_bytes),
            trouble,
        }
    }

    /// Writes what waits and ends the file.
    pub(crate) async fn close(&self) {
        drop(self.jobs.lock().take());
        let mut writing = std::mem::take(&mut *self.writing.lock());
        while writing.join_next().await.is_some() {}
    }
}
