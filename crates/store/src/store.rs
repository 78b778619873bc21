//! The store as the rest of the program sees it: open it, append, read, delete, shut it down.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use model::{Batch, Clock, ProjectId, Source, Time, TraceId, TraceRow};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::append::{Ack, AppendError, Prepared};
use crate::backup::{BackupError, Manifest};
use crate::catalog::{Catalog, FileId};
use crate::config::StoreConfig;
use crate::delete::{DeleteError, Deleted};
use crate::disk::{Disk, DiskError};
use crate::doctor::Checkup;
use crate::engine::{Engine, Parts, StoreError};
use crate::lake::{Level, Table, TraceSet};
use crate::lanes::Lanes;
use crate::ledger::Ledger;
use crate::live::{Live, Published, TraceKey};
use crate::lock::DataLock;
use crate::meta::{Meta, NewUpload, Upload};
use crate::outputs::{self, LAKE_DIR, PARTIAL_SUFFIX, QUARANTINE_DIR};
use crate::record::{BatchRecord, Record};
use crate::snapshot::Snapshot;
use crate::wal::{Follower, RecoveryReport, SegmentWriter, StoreId, Wal, WalOptions};
use crate::writer;

/// Jobs that may wait for the writer; their bytes are bounded by the ledger.
const QUEUE_JOBS_MAX: usize = 4_096;

/// An open store. Clones are the same store.
#[derive(Debug, Clone)]
pub struct Store {
    engine: Arc<Engine>,
    running: Arc<Mutex<Option<Running>>>,
}

/// Ends with the log it wrote to.
type WriterThread = std::thread::JoinHandle<SegmentWriter>;

/// What must be stopped.
#[derive(Debug)]
struct Running {
    lanes: Option<Lanes>,
    writer: WriterThread,
    lock: DataLock,
}

/// What a store holds and has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Bytes of the write-ahead log.
    pub wal_bytes: u64,
    /// Bytes of rows that are not in Parquet yet, as estimated.
    pub live_bytes: usize,
    /// Traces known in memory.
    pub live_traces: usize,
    /// Spans known in memory.
    pub live_spans: usize,
    /// Active files by table and level.
    pub files: Vec<(Table, Level, usize, u64)>,
    /// Rows of files that are hidden.
    pub hides: usize,
    /// Bytes that trace filters take in memory.
    pub trace_filter_bytes: usize,
    /// Free bytes on the disk.
    pub disk_free_bytes: u64,
    /// Drains of the log, each one sync.
    pub drains: u64,
    /// Buffers written to Parquet.
    pub flushes: u64,
    /// Merges committed.
    pub merges: u64,
    /// Merges that another one made useless.
    pub merges_lost: u64,
    /// Errors of the background work; it tries again.
    pub lane_failures: u64,
    /// Records put aside because they could not be written.
    pub quarantined: u64,
    /// Traces deleted.
    pub deleted_traces: u64,
}

impl Store {
    /// Opens the store in the configured folder, or makes one, and replays its log.
    pub async fn open(
        config: StoreConfig,
        clock: Arc<dyn Clock>,
        disk: Arc<dyn Disk>,
    ) -> Result<Self, StoreError> {
        disk.create_dir_all(&config.data_dir)?;
        let lock = DataLock::take(&config.data_dir)?;
        let (meta, catalog) = open_databases(&config, &*disk, &clock).await?;
        let store_id = meta.store_id();
        let cursor = catalog.current().cursor(&config.node).unwrap_or(0);
        let mut options =
            WalOptions::new(store_id.as_u64_pair().0 ^ clock.now().as_micros() as u64);
        options.segment_bytes = config.wal_segment_bytes;
        let wal_id = StoreId(*store_id.as_bytes());
        let mut recovery = Wal::open(
            Arc::clone(&disk),
            &config.data_dir,
            wal_id,
            options,
            cursor as u64,
        )?;

        let (queue, jobs) = mpsc::channel(QUEUE_JOBS_MAX);
        let live = Live::new(cursor + 1, clock.now());
        let background = config.background;
        let parts = Parts {
            config,
            store_id,
            clock,
            disk,
            live,
            catalog,
            meta,
        };
        let engine = Engine::new(parts);
        engine.load_trace_sets().await?;
        engine.check_files_exist()?;
        while let Some(frame) = recovery.next_frame()? {
            engine.replay(frame.seq as i64, &frame.payload).await?;
        }
        let (wal, wal_writer, report) = recovery.finish()?;
        // Not before the log was seen to go on where the catalog ends: with a catalog that somebody
        // brought back from an earlier day, the newer files are no strays.
        engine.remove_strays()?;
        engine.remove_stray_uploads().await?;
        let readers = engine.meta.log_cursors().await?;
        engine.start(wal, queue, readers.into_values().min());
        // What a commit has covered need not be read at the next start.
        engine.cut_wal(engine.cursor())?;
        log_recovery(&report);
        engine.note_free_bytes()?;
        let writer_engine = Arc::clone(&engine);
        let writer = std::thread::Builder::new()
            .name("wal-writer".to_owned())
            .spawn(move || writer::run(&writer_engine, jobs, wal_writer))
            .map_err(|error| StoreError::Worker(error.to_string()))?;
        let lanes = background.then(|| Lanes::start(&engine));
        let running = Arc::new(Mutex::new(Some(Running {
            lanes,
            writer,
            lock,
        })));
        Ok(Self { engine, running })
    }
}

/// Opens both databases, or makes them in a folder that has neither log nor lake.
async fn open_databases(
    config: &StoreConfig,
    disk: &dyn Disk,
    clock: &Arc<dyn Clock>,
) -> Result<(Meta, Catalog), StoreError> {
    let (meta_path, catalog_path) = (
        config.data_dir.join("meta.db"),
        config.data_dir.join("catalog.db"),
    );
    let has_rows = disk.exists(&config.data_dir.join("wal"))?
        || disk.exists(&config.data_dir.join(LAKE_DIR))?;
    let (has_meta, has_catalog) = (meta_path.exists(), catalog_path.exists());
    let dir = config.data_dir.display();
    if has_rows && !has_catalog {
        return Err(StoreError::Mismatch(format!(
            "{dir} has rows but no catalog.db"
        )));
    }
    if has_catalog && !has_meta {
        return Err(StoreError::Mismatch(format!(
            "{dir} has a catalog.db but no meta.db: restore it from a backup"
        )));
    }
    let meta = match has_meta {
        true => Meta::open(&meta_path, Arc::clone(clock)).await?,
        false => Meta::create(&meta_path, uuid::Uuid::now_v7(), Arc::clone(clock)).await?,
    };
    let catalog = match has_catalog {
        true => Catalog::open(&catalog_path, meta.store_id(), Arc::clone(clock)).await?,
        false => Catalog::create(&catalog_path, meta.store_id(), Arc::clone(clock)).await?,
    };
    Ok((meta, catalog))
}

fn log_recovery(report: &RecoveryReport) {
    let RecoveryReport {
        frames,
        bytes,
        torn_tail,
        quarantined,
        gaps,
        ..
    } = report;
    if *frames > 0 {
        tracing::info!(frames, bytes, "replayed the write-ahead log");
    }
    if let Some(tail) = torn_tail {
        tracing::info!(path = %tail.path.display(), bytes = tail.bytes, "cut the end of a drain that was never acknowledged");
    }
    for damage in quarantined {
        tracing::error!(path = %damage.path.display(), bytes = damage.bytes, seq = damage.seq, "a part of the log is damaged; it is kept aside");
    }
    for gap in gaps {
        tracing::error!(
            first = gap.first,
            last = gap.last,
            "sequence numbers are missing from the log"
        );
    }
}

impl Engine {
    /// Reads the trace filters of all active files. One that cannot be read is left out: its file may
    /// then hold any trace.
    async fn load_trace_sets(self: &Arc<Self>) -> Result<(), StoreError> {
        const FILTERS_PER_READ: u32 = 256;
        let mut after = FileId(i64::MIN);
        loop {
            let filters = self.catalog.trace_filters(after, FILTERS_PER_READ).await?;
            let Some((last, _)) = filters.last() else {
                return Ok(());
            };
            after = *last;
            for (id, bytes) in filters {
                match TraceSet::from_bytes(&bytes) {
                    Ok(set) => self.files.set_trace_set(id, Arc::new(set)),
                    Err(error) => {
                        tracing::warn!(file = %id, %error, "a trace filter cannot be read; lookups will open its file")
                    }
                }
            }
        }
    }

    /// A catalog that names files which are not there is not of this folder's latest state.
    fn check_files_exist(&self) -> Result<(), StoreError> {
        let on_disk = self.lake_files()?;
        let catalog = self.catalog.current();
        let mut missing = catalog
            .all_files()
            .filter(|file| !on_disk.contains(&file.path));
        match missing.next() {
            None => Ok(()),
            Some(file) => Err(StoreError::Mismatch(format!(
                "catalog.db names {} and {} more files that are not there",
                file.path,
                missing.count()
            ))),
        }
    }

    /// Removes what a crash left: half-written files, and whole ones that no commit names. The log
    /// still has their rows, or the files that they were merged from are there. We hold the lock and
    /// nothing runs yet, so none of them is anybody's work under way.
    fn remove_strays(&self) -> Result<(), StoreError> {
        let mut strays = self.strays()?;
        strays.extend(
            self.lake_paths()?
                .into_iter()
                .filter(|path| path.ends_with(PARTIAL_SUFFIX)),
        );
        if !strays.is_empty() {
            tracing::info!(
                files = strays.len(),
                "removed files that a crash left unfinished"
            );
        }
        Ok(self.remove_files(strays.iter().map(String::as_str))?)
    }

    /// Returns the files of the lake that the catalog does not name, not even as replaced.
    pub(crate) fn strays(&self) -> Result<Vec<String>, StoreError> {
        let catalog = self.catalog.current();
        let mut unknown = self.lake_files()?;
        for file in catalog.all_files() {
            unknown.remove(&file.path);
        }
        for removed in self.catalog.removed() {
            unknown.remove(&removed.file.path);
        }
        Ok(unknown.into_iter().collect())
    }

    /// Returns the finished files of the lake, by their paths below the data folder.
    pub(crate) fn lake_files(&self) -> Result<BTreeSet<String>, StoreError> {
        let is_file = |path: &String| path.ends_with(".parquet");
        Ok(self.lake_paths()?.into_iter().filter(is_file).collect())
    }

    fn lake_paths(&self) -> Result<Vec<String>, DiskError> {
        outputs::lake_paths(&*self.disk, &self.config.data_dir)
    }

    /// Does again what one frame of the log says.
    async fn replay(self: &Arc<Self>, seq: i64, payload: &bytes::Bytes) -> Result<(), StoreError> {
        match Record::decode(payload) {
            Ok(Record::Batch(batch)) => self.replay_batch(seq, batch, payload.len())?,
            Ok(Record::Delete(record)) => {
                let mut live = self.live.write();
                live.delete(&record.project, &record.traces, seq);
            }
            Ok(Record::Grades(record)) => self
                .replay_grades(seq, record, payload.len())
                .map_err(StoreError::BadId)?,
            Err(error) => {
                let path = self.quarantine(&format!("record-{seq:016x}"), payload)?;
                tracing::error!(seq, %error, path = %path.display(), "a record of the log cannot be read; it is kept aside");
            }
        }
        // A log can be larger than what memory may hold.
        if self.live.read().bytes().0 >= self.config.buffer_bytes {
            self.flush_all().await?;
        }
        Ok(())
    }

    fn replay_batch(
        self: &Arc<Self>,
        seq: i64,
        batch: BatchRecord,
        bytes: usize,
    ) -> Result<(), StoreError> {
        let BatchRecord {
            project,
            source,
            received_at,
            traces,
            spans,
            messages,
        } = batch;
        let batch = Batch {
            traces,
            spans,
            messages,
            ..Batch::default()
        };
        let pins = self
            .pin_traces(&project, &batch)
            .map_err(|error| match error {
                AppendError::Lookup(error) => StoreError::Lookup(error),
                other => StoreError::Stopped(other.to_string()),
            })?;
        let Batch {
            traces: items,
            spans,
            messages,
            ..
        } = batch;
        let published = Published {
            project,
            source,
            seq,
            received_at,
            items,
            spans,
            messages,
            bytes,
        };
        {
            let mut live = self.live.write();
            live.start_active(self.clock.now());
            let published = self.without_deleted(&live, published);
            live.publish(published);
            self.note_live_bytes(&live);
        }
        drop(pins);
        Ok(())
    }

    /// Returns the files that are kept aside because they could not be read.
    pub(crate) fn quarantined(&self) -> Result<Vec<PathBuf>, DiskError> {
        let dir = self.config.data_dir.join(QUARANTINE_DIR);
        match self.disk.exists(&dir)? {
            true => self.disk.list(&dir),
            false => Ok(Vec::new()),
        }
    }

    /// Keeps bytes that cannot be used, for whoever wants to look.
    pub(crate) fn quarantine(
        &self,
        name: &str,
        bytes: &[u8],
    ) -> Result<std::path::PathBuf, StoreError> {
        let dir = self.config.data_dir.join(QUARANTINE_DIR);
        self.disk.create_dir_all(&dir)?;
        let path = dir.join(name);
        if !self.disk.exists(&path)? {
            let mut file = self.disk.create(&path)?;
            file.write_at(0, &[bytes])?;
            file.sync_data()?;
            self.disk.sync_dir(&dir)?;
        }
        self.counters.quarantined.fetch_add(1, Ordering::Relaxed);
        Ok(path)
    }
}

impl Store {
    /// Returns what people made: projects, keys, prices, settings.
    pub fn meta(&self) -> &Meta {
        &self.engine.meta
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Returns the memory ledger.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.engine.ledger
    }

    /// Writes down the address of this process, for whoever finds the data folder locked.
    pub fn set_address(&self, address: &str) -> std::io::Result<()> {
        match &mut *self.running.lock() {
            Some(running) => running.lock.set_address(address),
            None => Ok(()),
        }
    }

    /// Returns once there is room for another batch, or why there still is none after `patience`. A
    /// sender that waits here keeps the machine busy; one that is sent away leaves it idle for seconds.
    pub async fn wait_for_room(&self, patience: Duration) -> Result<(), AppendError> {
        self.engine.wait_for_room(patience).await
    }

    /// Makes a batch ready for [`Store::append`]. It blocks: call it where decoding is done.
    pub fn prepare(
        &self,
        project: &ProjectId,
        source: Source,
        received_at: Time,
        batch: Batch,
    ) -> Result<Prepared, AppendError> {
        self.engine.prepare(project, source, received_at, batch)
    }

    /// Returns once the batch is on disk and readable (D1).
    pub async fn append(&self, prepared: Prepared) -> Result<Ack, AppendError> {
        self.engine.append(prepared).await
    }

    /// Returns whether items of a trace are refused because it was deleted not long ago.
    pub fn is_deleted(&self, project: &ProjectId, trace_id: &TraceId) -> bool {
        let key = TraceKey {
            project: project.clone(),
            trace_id: trace_id.clone(),
        };
        self.engine.is_deleted(&key)
    }

    /// Returns a consistent view of a project.
    pub fn snapshot(&self, project: &ProjectId) -> Arc<Snapshot> {
        Arc::new(Snapshot::take(&self.engine, project))
    }

    /// Returns a consistent view that can answer for one trace only: cheaper where much is in memory.
    pub fn trace_snapshot(&self, project: &ProjectId, trace_id: &TraceId) -> Arc<Snapshot> {
        let key = TraceKey {
            project: project.clone(),
            trace_id: trace_id.clone(),
        };
        Arc::new(Snapshot::take_trace(&self.engine, &key))
    }

    /// Makes traces unreadable at once and removes their bytes within the promised time (D6).
    pub async fn delete_traces(
        &self,
        project: &ProjectId,
        traces: Vec<TraceId>,
    ) -> Result<Deleted, DeleteError> {
        self.engine.delete_for_good(project, traces).await
    }

    /// Deletes every trace and every uploaded file of a project. Close it for new rows first; what slips
    /// in is found later.
    pub async fn delete_project_rows(&self, project: &ProjectId) -> Result<usize, StoreError> {
        self.engine.delete_uploads_of(project).await?;
        self.engine.delete_project_rows(project).await
    }

    /// Keeps a file that somebody sent: once this returns it is on disk.
    pub async fn keep_upload(
        &self,
        who: &str,
        new: NewUpload,
        content: Bytes,
    ) -> Result<Upload, StoreError> {
        self.engine.keep_upload(who, new, content).await
    }

    /// Returns the content of a file that somebody sent.
    pub async fn read_upload(&self, project: &ProjectId, id: &str) -> Result<Bytes, StoreError> {
        self.engine.read_upload(project, id).await
    }

    /// Deletes a file that somebody sent.
    pub async fn delete_upload(
        &self,
        who: &str,
        project: &ProjectId,
        id: &str,
    ) -> Result<(), StoreError> {
        self.engine.delete_upload(who, project, id).await
    }

    /// Copies the whole store to a folder that is not there yet, while it serves.
    pub async fn backup(&self, dest: &Path) -> Result<Manifest, BackupError> {
        self.engine.backup(dest).await
    }

    /// Looks whether everything is there, once, and as it was written; `deep` reads every byte.
    pub async fn doctor(&self, deep: bool) -> Result<Checkup, StoreError> {
        self.engine.doctor(deep).await
    }

    /// Deletes the traces of a project whose last row was received before `before`.
    pub async fn retire(&self, project: &ProjectId, before: Time) -> Result<usize, StoreError> {
        self.engine.retire(project, before).await
    }

    /// Returns the traces of a project whose last row was received before `before` and lies in Parquet,
    /// each with what `take` takes from its row; those it takes nothing from are left out.
    pub async fn settled_traces<T: Send + 'static>(
        &self,
        project: &ProjectId,
        before: Time,
        take: impl Fn(&TraceRow) -> Option<T> + Send + 'static,
    ) -> Result<Vec<(TraceId, T)>, StoreError> {
        self.engine.settled_traces(project, before, take).await
    }

    /// Deletes traces that nobody asked to delete, as retention does: a backup may bring them back.
    pub async fn let_go(&self, project: &ProjectId, traces: &[TraceId]) -> Result<(), StoreError> {
        self.engine.delete_all(project, traces).await
    }

    /// Writes everything that is in memory to Parquet.
    pub async fn flush(&self) -> Result<(), StoreError> {
        self.engine.flush_all().await
    }

    /// Merges files until nothing is due. Returns the number of merges.
    pub async fn compact(&self) -> Result<usize, StoreError> {
        self.engine.merge_all().await
    }

    /// Removes the bytes of deleted traces now. Returns how many traces are gone for good.
    pub async fn erase(&self) -> Result<usize, StoreError> {
        self.engine.erase_due().await
    }

    /// Returns a reader of the log behind frame `seq`, which keeps it from being cut.
    pub fn follow(&self, seq: u64) -> Follower {
        self.engine.log().follow(seq)
    }

    /// Returns the number of the newest frame, in the log or in files.
    pub fn log_end(&self) -> u64 {
        let in_log = self.engine.log().last_seq().unwrap_or(0);
        in_log.max(self.engine.cursor() as u64)
    }

    /// Lets the log go as far as no reader holds it: until this is called, it is kept for every reader
    /// that `meta.db` knows.
    pub fn release_log(&self) {
        self.engine.release_log();
    }

    /// Cuts the log behind what is in files and is held by nobody (D4).
    pub async fn cut_log(&self) -> Result<(), StoreError> {
        let engine = Arc::clone(&self.engine);
        let cut = move || engine.cut_wal(engine.cursor());
        self.engine.on_worker(cut).await
    }

    /// Does the housekeeping that is due: free space, files nobody needs, tombstones, retention.
    pub async fn tidy(&self) -> Result<(), StoreError> {
        self.engine.tidy().await
    }

    /// Returns what the store holds and has done.
    pub fn stats(&self) -> StoreStats {
        let engine = &self.engine;
        let (live_bytes, (live_traces, live_spans)) = {
            let live = engine.live.read();
            (live.bytes().1, live.counts())
        };
        let catalog = engine.catalog.current();
        let mut files = Vec::new();
        for table in Table::ALL {
            for level in Level::ALL {
                let of_level = || {
                    catalog
                        .files(table)
                        .iter()
                        .filter(|file| file.level == level)
                };
                let bytes = of_level().map(|file| file.bytes).sum();
                files.push((table, level, of_level().count(), bytes));
            }
        }
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &engine.counters;
        StoreStats {
            wal_bytes: engine.wal_bytes(),
            live_bytes,
            live_traces,
            live_spans,
            files,
            hides: catalog.hides().len(),
            trace_filter_bytes: engine.files.trace_set_bytes(),
            disk_free_bytes: count(&engine.free_bytes),
            drains: count(&counters.drains),
            flushes: count(&counters.flushes),
            merges: count(&counters.merges),
            merges_lost: count(&counters.merges_lost),
            lane_failures: count(&counters.lane_failures),
            quarantined: count(&counters.quarantined),
            deleted_traces: count(&counters.deleted_traces),
        }
    }

    /// Returns why the store has stopped by itself, if it has: the process should end.
    pub fn stopped(&self) -> Option<String> {
        self.engine.stopped()
    }

    /// Takes no more, finishes what was taken, writes it to Parquet and closes.
    pub async fn shutdown(&self) -> Result<(), StoreError> {
        let Some(running) = self.running.lock().take() else {
            return Ok(());
        };
        let log = self.stop(running.lanes, running.writer).await;
        let flushed = match (self.engine.stopped(), log) {
            (None, Some(log)) => self.flush_and_empty(log).await,
            _ => Ok(()),
        };
        let closed = self.close().await;
        drop(running.lock);
        flushed.and(closed)
    }

    /// Waits for the writer, which ends with its queue, and for the lanes.
    async fn stop(&self, lanes: Option<Lanes>, writer: WriterThread) -> Option<SegmentWriter> {
        // The writer ends when the last sender is gone.
        drop(self.engine.queue.write().take());
        let joined = tokio::task::spawn_blocking(move || writer.join()).await;
        let log = joined.ok().and_then(Result::ok);
        if log.is_none() {
            tracing::error!("the writer of the log died");
        }
        if let Some(lanes) = lanes {
            lanes.stop().await;
        }
        log
    }

    /// Writes everything to Parquet and ends the last segment of the log, so that it can go: the next
    /// start has nothing to replay.
    async fn flush_and_empty(&self, mut log: SegmentWriter) -> Result<(), StoreError> {
        let engine = &self.engine;
        engine.on_worker(move || Ok(log.roll()?)).await?;
        engine.flush_all().await?;
        engine.cut_wal(engine.cursor())
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.engine.catalog.close().await?;
        Ok(self.engine.meta.close().await?)
    }

    /// Returns the paths of the active files.
    #[cfg(test)]
    pub(crate) fn active_paths(&self) -> Vec<String> {
        let catalog = self.engine.catalog.current();
        catalog.all_files().map(|file| file.path.clone()).collect()
    }

    /// Ends as a killed process does, but for the threads.
    #[cfg(test)]
    pub(crate) async fn crash(&self) {
        let Some(running) = self.running.lock().take() else {
            return;
        };
        drop(self.stop(running.lanes, running.writer).await);
        drop(self.close().await);
        drop(running.lock);
    }
}
