//! The parts of an open store, and what they hold on to.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use model::{Clock, Received, Time, TraceId};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, mpsc};

use crate::append::AppendError;
use crate::catalog::{Catalog, Commit, CommitError, FileEntry};
use crate::config::StoreConfig;
use crate::disk::{Disk, DiskError};
use crate::files::Files;
use crate::gate::{self, Load, Refusal};
use crate::lake::{
    self, Columns, Level, MergeError, SpanRow, SplitError, Table, TraceEntry, TraceSet, WriteError,
};
use crate::ledger::{Ledger, Share};
use crate::live::{Home, Keep, Live, LoadedTrace, Published, TraceKey, Weights};
use crate::lock::LockError;
use crate::meta::{Meta, MetaError};
use crate::meta_copies::CopiesLane;
use crate::snapshot::ReadError;
use crate::sqlite::DbError;
use crate::wal::{Hold, Wal, WalError};
use crate::writer::Job;

/// Why the store could not be opened, or could not do what it had to.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The data folder belongs to another process.
    #[error(transparent)]
    Locked(#[from] LockError),
    /// A file could not be written, read or removed.
    #[error("failed to work on the data folder")]
    Disk(#[from] DiskError),
    /// A database failed.
    #[error("failed to use a database of the store")]
    Db(#[from] DbError),
    /// The catalog could not be opened or read.
    #[error("failed to commit to the catalog")]
    Commit(#[from] CommitError),
    /// The log failed.
    #[error("failed to use the write-ahead log")]
    Wal(#[from] WalError),
    /// Stored rows could not be read.
    #[error("failed to read what is stored")]
    Read(#[from] ReadError),
    /// A file of the lake could not be written.
    #[error("failed to write a file of the lake")]
    LakeWrite(#[from] WriteError),
    /// Files could not be merged.
    #[error("failed to merge files of the lake")]
    Merge(#[from] MergeError),
    /// A merge could not be split into files.
    #[error("failed to write the files of a merge")]
    Split(#[from] SplitError),
    /// What Parquet holds of a trace in the log could not be read.
    #[error("failed to look up what is stored of a trace")]
    Lookup(#[source] Arc<ReadError>),
    /// A thread of ours is gone: a bug.
    #[error("a worker of the store died: {0}")]
    Worker(String),
    /// The parts of the data folder do not belong together.
    #[error("{0}; `tracegrade rebuild-catalog` makes a new catalog from the files")]
    Mismatch(String),
    /// A file of the lake belongs to another store.
    #[error("{path} belongs to store {found}, not to {expected}: move it out of the data folder")]
    Foreign {
        /// The file, below the data folder.
        path: String,
        /// The store it belongs to.
        found: String,
        /// The store of the folder.
        expected: String,
    },
    /// An id in a file or in the log is none.
    #[error("an id in a file of the lake or in the log is not one")]
    BadId(#[source] model::IdError),
    /// A deletion was not taken just now.
    #[error("failed to delete traces: {0}")]
    Refused(String),
    /// The database of projects and keys refused.
    #[error("failed to read the projects")]
    Meta(#[from] MetaError),
    /// The store has stopped after an error of the disk.
    #[error("the store has stopped: {0}")]
    Stopped(String),
}

impl StoreError {
    /// Returns the error of a file that cannot be read.
    pub(crate) fn read(file: &FileEntry, source: lake::ReadError) -> Self {
        Self::Read(ReadError::damaged(file, source))
    }
}

/// Counters that only grow.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) flushes: AtomicU64,
    pub(crate) merges: AtomicU64,
    pub(crate) merges_lost: AtomicU64,
    pub(crate) quarantined: AtomicU64,
    pub(crate) deleted_traces: AtomicU64,
    pub(crate) drains: AtomicU64,
    pub(crate) lane_failures: AtomicU64,
    /// Rows that came for traces deleted while they were on their way.
    pub(crate) refused_deleted: AtomicU64,
}

/// An open store. Everything else in this crate is a view of it or a lane that works on it.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) config: StoreConfig,
    pub(crate) store_id: uuid::Uuid,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) live: RwLock<Live>,
    /// There once the log has been replayed.
    wal: OnceLock<Wal>,
    /// Keeps what somebody read last time and was not done with, until they hold it themselves.
    kept_log: Mutex<Option<Hold>>,
    pub(crate) catalog: Catalog,
    pub(crate) meta: Meta,
    pub(crate) files: Files,
    /// To the writer; taken away at shutdown.
    pub(crate) queue: RwLock<Option<mpsc::Sender<Job>>>,
    /// One flush at a time, in log order.
    pub(crate) flush_lane: tokio::sync::Mutex<()>,
    /// One merge at a time of our own; another process or a test may still compete.
    pub(crate) merge_lane: tokio::sync::Mutex<()>,
    /// One at a time makes copies of `meta.db`, or changes them.
    pub(crate) copies_lane: tokio::sync::Mutex<CopiesLane>,
    /// Wakes the lanes when there is more to do than their next tick would find.
    pub(crate) wake: Notify,
    pub(crate) counters: Counters,
    pub(crate) free_bytes: AtomicU64,
    pub(crate) disk_full: AtomicBool,
    /// When retention was last looked at, in microseconds.
    pub(crate) retired_at: AtomicI64,
    stopped: RwLock<Option<String>>,
}

/// What [`Engine::new`] puts together.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) config: StoreConfig,
    pub(crate) store_id: uuid::Uuid,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) live: Live,
    pub(crate) catalog: Catalog,
    pub(crate) meta: Meta,
}

impl Engine {
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        let Parts {
            config,
            store_id,
            clock,
            disk,
            live,
            catalog,
            meta,
        } = parts;
        Arc::new(Self {
            ledger: Ledger::new(config.memory_bytes_max),
            files: Files::new(Arc::clone(&disk), config.data_dir.clone()),
            live: RwLock::new(live),
            wal: OnceLock::new(),
            kept_log: Mutex::new(None),
            queue: RwLock::new(None),
            flush_lane: tokio::sync::Mutex::default(),
            merge_lane: tokio::sync::Mutex::default(),
            copies_lane: tokio::sync::Mutex::default(),
            wake: Notify::new(),
            counters: Counters::default(),
            free_bytes: AtomicU64::new(u64::MAX),
            disk_full: AtomicBool::new(false),
            retired_at: AtomicI64::new(i64::MIN / 2),
            stopped: RwLock::new(None),
            config,
            store_id,
            clock,
            disk,
            catalog,
            meta,
        })
    }

    /// Opens the store for writing, once the log has been replayed. Frames behind `kept_seq` stay.
    pub(crate) fn start(&self, wal: Wal, queue: mpsc::Sender<Job>, kept_seq: Option<u64>) {
        *self.kept_log.lock() = kept_seq.map(|seq| wal.hold_weakly(seq + 1));
        *self.queue.write() = Some(queue);
        assert!(self.wal.set(wal).is_ok(), "a store is started once");
    }

    /// Returns up to which sequence number our rows are in files.
    pub(crate) fn cursor(&self) -> i64 {
        let catalog = self.catalog.current();
        catalog.cursor(&self.config.node).unwrap_or(0)
    }

    /// Cuts the log behind a commit (D4). While it is replayed it is left alone.
    pub(crate) fn cut_wal(&self, upto_seq: i64) -> Result<(), StoreError> {
        match self.wal.get() {
            Some(wal) => Ok(wal.cut(upto_seq as u64).map(drop)?),
            None => Ok(()),
        }
    }

    /// Returns the log of a store that is open.
    pub(crate) fn log(&self) -> &Wal {
        self.wal
            .get()
            .expect("the log is there before the store is")
    }

    /// Returns the log, once it has been replayed.
    pub(crate) fn wal(&self) -> Option<&Wal> {
        self.wal.get()
    }

    /// Lets go of what is kept for those who read the log last time.
    pub(crate) fn release_log(&self) {
        self.kept_log.lock().take();
    }

    /// Returns how many bytes of the log are in no file yet. What is only held for readers does not
    /// count against senders.
    fn needed_wal_bytes(&self) -> u64 {
        let cursor = self.cursor() as u64;
        self.wal.get().map_or(0, |wal| wal.uncovered_bytes(cursor))
    }

    /// Returns how many bytes are in the log.
    pub(crate) fn wal_bytes(&self) -> u64 {
        self.wal.get().map_or(0, Wal::bytes)
    }

    /// Stops the store for good: what is on disk is no longer known.
    pub(crate) fn stop(&self, error: &WalError) {
        tracing::error!(%error, "the write-ahead log failed; the store stops");
        *self.stopped.write() = Some(error.to_string());
        self.wake.notify_waiters();
    }

    /// Returns why the store has stopped, if it has.
    pub(crate) fn stopped(&self) -> Option<String> {
        self.stopped.read().clone()
    }

    /// Asks the gate whether another batch may come in.
    pub(crate) fn check_gate(&self) -> Result<(), AppendError> {
        if let Some(why) = self.stopped() {
            return Err(AppendError::Stopped(why));
        }
        Ok(gate::check(&self.load())?)
    }

    fn load(&self) -> Load {
        let ((active_bytes, live_bytes), sealed, weights) = {
            let live = self.live.read();
            (live.bytes(), live.sealed_count(), live.weights())
        };
        let catalog = self.catalog.current();
        let l0 = |table| {
            catalog
                .files(table)
                .iter()
                .filter(|f| f.level == Level::L0)
                .count()
        };
        Load {
            stopping: self.queue.read().is_none(),
            disk_full: self.disk_full.load(Ordering::Relaxed),
            free_bytes: self.free_bytes.load(Ordering::Relaxed),
            free_bytes_min: self.config.free_bytes_min,
            sealed,
            sealed_max: self.config.sealed_max,
            active_bytes,
            buffer_bytes: self.config.buffer_bytes,
            live_bytes,
            live_bytes_max: self.ledger.limit(Share::LiveRows),
            open_bytes: weights.open_traces,
            open_bytes_max: self.ledger.limit(Share::OpenTraces),
            wal_bytes: self.needed_wal_bytes(),
            wal_bytes_max: self.config.wal_bytes_max,
            l0_files: Table::ALL.into_iter().map(l0).max().unwrap_or(0),
            l0_files_max: self.config.l0_files_max,
        }
    }

    /// Hands a job to the writer.
    pub(crate) async fn submit(&self, job: Job) -> Result<(), AppendError> {
        let queue = self.queue.read().clone();
        let gone = || AppendError::Refused(Refusal::stopping());
        queue.ok_or_else(gone)?.send(job).await.map_err(|_| gone())
    }

    /// Returns whether items of a trace are refused because it was deleted not long ago.
    pub(crate) fn is_deleted(&self, key: &TraceKey) -> bool {
        self.live.read().is_deleted(key)
            || self.catalog.current().tombstones().refuses(
                &key.project,
                &key.trace_id,
                self.clock.now(),
            )
    }

    /// Takes the rows of deleted traces out of a batch that was on its way when they were deleted.
    pub(crate) fn without_deleted(&self, live: &Live, mut batch: Published) -> Published {
        let catalog = self.catalog.current();
        let (tombstones, now) = (catalog.tombstones(), self.clock.now());
        if tombstones.is_empty() && !live.has_deleted() {
            return batch;
        }
        let project = batch.project.clone();
        let is_gone = |trace_id: &TraceId| {
            let key = TraceKey {
                project: project.clone(),
                trace_id: trace_id.clone(),
            };
            live.is_deleted(&key) || tombstones.refuses(&project, trace_id, now)
        };
        let before = batch.items.len() + batch.spans.len();
        batch.items.retain(|item| !is_gone(&item.trace_id));
        batch.spans.retain(|span| !is_gone(&span.trace_id));
        batch.messages.retain(|message| !is_gone(&message.trace_id));
        let refused = before - batch.items.len() - batch.spans.len();
        self.counters
            .refused_deleted
            .fetch_add(refused as u64, Ordering::Relaxed);
        batch
    }

    /// Writes down what the rows in memory weigh.
    pub(crate) fn note_live_bytes(&self, live: &Live) {
        let Weights {
            open_traces,
            seen_hashes,
        } = live.weights();
        self.ledger.set(Share::LiveRows, live.bytes().1);
        self.ledger.set(Share::OpenTraces, open_traces);
        self.ledger.set(Share::SeenHashes, seen_hashes);
    }

    /// Returns how much may stay known after a flush.
    pub(crate) fn keep(&self) -> Keep {
        Keep {
            traces_max: self.config.retained_traces_max,
            bytes_max: Weights {
                open_traces: self.ledger.limit(Share::OpenTraces),
                seen_hashes: self.ledger.limit(Share::SeenHashes),
            },
        }
    }

    /// Closes the active buffer if it is full and few wait, and returns whether there is something to
    /// flush. The writer does this itself: while the flush lane writes one buffer, nobody else would.
    pub(crate) fn seal_if_full(&self, live: &mut Live, now: Time) -> bool {
        let is_full = live.bytes().0 >= self.config.buffer_bytes;
        if is_full && live.sealed_count() < self.config.sealed_max {
            live.seal(now);
        }
        is_full
    }

    /// Runs work that blocks on a thread of its own.
    pub(crate) async fn on_worker<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let ended = tokio::task::spawn_blocking(work).await;
        ended.map_err(|died| StoreError::Worker(died.to_string()))?
    }

    /// Commits to the catalog, then takes in the trace filters of the new files. A reader in between
    /// finds no filter, which means "maybe".
    pub(crate) async fn commit(&self, commit: &Commit) -> Result<(), StoreError> {
        match self.catalog.commit(commit).await {
            Ok(_) => {}
            // The same commit again is the same commit: this finds out whether it took place.
            Err(CommitError::Unknown { .. }) => drop(self.catalog.commit(commit).await?),
            Err(error) => return Err(error.into()),
        }
        self.keep_trace_sets(commit);
        Ok(())
    }

    /// Until this is done the new files may hold any trace, which is slower and not wrong.
    fn keep_trace_sets(&self, commit: &Commit) {
        let catalog = self.catalog.current();
        for new in &commit.added {
            let is_it = |file: &&Arc<FileEntry>| file.path == new.facts.path;
            let added = catalog.files(new.facts.table).iter().rev().find(is_it);
            let set = new.trace_filter.as_deref().map(TraceSet::from_bytes);
            if let (Some(file), Some(Ok(set))) = (added, set) {
                self.files.set_trace_set(file.id, Arc::new(set));
            }
        }
    }

    /// Returns what Parquet holds of a trace, or `None` if it is new.
    pub(crate) fn load_trace(&self, key: &TraceKey) -> Result<Option<LoadedTrace>, ReadError> {
        let pin = self.catalog.pin();
        let catalog = pin.catalog();
        let hides = catalog.hides();
        let (project, trace_id) = (&key.project, key.trace_id.as_str());
        if !catalog
            .files(Table::Traces)
            .iter()
            .any(|file| self.files.may_hold(file, key))
        {
            return Ok(None);
        }
        let rows: Vec<TraceEntry> =
            self.files
                .read_trace(catalog, key, None, &Columns::all(Table::Traces))?;
        let visible = |entry: &TraceEntry| {
            !hides.hidden(Table::Traces, project, trace_id, None, entry.row.seq)
        };
        let Some(entry) = rows
            .into_iter()
            .filter(visible)
            .max_by_key(|entry| entry.row.seq)
        else {
            return Ok(None);
        };
        let columns = Columns::narrow(Table::Spans);
        let home = Some(entry.home_started_at);
        let mut spans: Vec<SpanRow> = self.files.read_trace(catalog, key, home, &columns)?;
        spans.retain(|row| {
            let span_id = Some(row.span.span_id.as_str());
            !hides.hidden(Table::Spans, project, trace_id, span_id, row.seq)
        });
        Ok(Some(loaded(&entry, spans)))
    }
}

fn loaded(entry: &TraceEntry, spans: Vec<SpanRow>) -> LoadedTrace {
    let row = &entry.row;
    LoadedTrace {
        item: row.item.clone(),
        received: Received {
            first_received_at: row.first_received_at,
            last_received_at: row.last_received_at,
            first_seq: row.first_seq,
            seq: row.seq,
        },
        home: Home {
            started_at: entry.home_started_at,
            skewed: is_skewed(entry),
        },
        row_seq: row.seq,
        spans: spans
            .into_iter()
            .map(|row| (row.span, row.received_at, row.seq))
            .collect(),
    }
}

/// Returns whether a trace has a home of its own choice: the same decision as at its first flush,
/// which the partition of its files follows.
fn is_skewed(entry: &TraceEntry) -> bool {
    Home::is_skewed(
        entry.row.started_at.map(|_| entry.home_started_at),
        entry.row.first_received_at,
    )
}
