//! Housekeeping: free space, files nobody needs, tombstones that have done their duty, retention.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::{ProjectId, Time, TraceId, TraceRow};

use crate::append::AppendError;
use crate::catalog::{Commit, FileEntry};
use crate::delete::DeleteError;
use crate::disk::DiskError;
use crate::engine::{Engine, StoreError};
use crate::lake::{Columns, GradeRow, Table, TraceEntry, decode};
use crate::live::TraceKey;
use crate::snapshot::{ReadError, Snapshot};

/// Files that a commit took out stay this long, for readers that are about to pin them.
const UNLINK_GRACE_MICROS: i64 = 10 * 1_000_000;
/// Retention deletes at most so many traces in one record of the log.
const RETIRE_CHUNK: usize = 10_000;
/// Looking for old traces reads a column of every trace file.
const RETIRE_EVERY_MICROS: i64 = 600_000_000;
const DAY_MICROS: i64 = 86_400_000_000;

impl Engine {
    /// Does what is due.
    pub(crate) async fn tidy(self: &Arc<Self>) -> Result<(), StoreError> {
        self.note_free_bytes()?;
        self.unlink(UNLINK_GRACE_MICROS).await?;
        self.drop_tombstones().await?;
        self.retire_deleted_projects().await?;
        self.retire_all().await?;
        self.meta.sweep_grading().await?;
        self.copy_meta_daily().await
    }

    /// Looks how full the disk is. Ingest stops below a minimum and goes on by itself above it.
    pub(crate) fn note_free_bytes(&self) -> Result<(), StoreError> {
        let free = self.disk.free_bytes(&self.config.data_dir)?;
        self.free_bytes.store(free, Ordering::Relaxed);
        if free >= 2 * self.config.wal_segment_bytes {
            // There is room for a segment and the next one again.
            self.disk_full.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Removes files that are in no version that anybody reads.
    pub(crate) async fn unlink(self: &Arc<Self>, grace_micros: i64) -> Result<usize, StoreError> {
        let removable = self.catalog.removable(grace_micros);
        if removable.is_empty() {
            return Ok(0);
        }
        let ids: Vec<_> = removable.iter().map(|removed| removed.file.id).collect();
        let this = Arc::clone(self);
        self.on_worker(move || {
            // A commit's files are gone for good before those that a later one took out (D5).
            for one_commit in removable.chunk_by(|a, b| a.removed_v == b.removed_v) {
                let paths = one_commit.iter().map(|removed| removed.file.path.as_str());
                this.remove_files(paths)?;
            }
            Ok(())
        })
        .await?;
        self.files.forget(&ids);
        self.catalog.forget(&ids).await?;
        Ok(ids.len())
    }

    /// Removes files below the data folder, durably. Some may be gone already.
    pub(crate) fn remove_files<'a>(
        &self,
        paths: impl Iterator<Item = &'a str>,
    ) -> Result<(), DiskError> {
        let mut dirs = BTreeSet::new();
        for path in paths {
            let path = self.config.data_dir.join(path);
            match self.disk.remove(&path) {
                // Removed by an earlier try that could not note it.
                Err(error) if error.is_not_found() => {}
                other => other?,
            }
            dirs.extend(path.parent().map(Path::to_owned));
        }
        dirs.iter().try_for_each(|dir| self.disk.sync_dir(dir))
    }

    async fn drop_tombstones(&self) -> Result<(), StoreError> {
        let mut commit = Commit::new(self.clock.now());
        let catalog = self.catalog.current();
        commit.tombstones_dropped = catalog.tombstones().expired(commit.at).cloned().collect();
        if commit.tombstones_dropped.is_empty() {
            return Ok(());
        }
        self.commit(&commit).await?;
        Ok(self.meta.forget_deleted(commit.at).await?)
    }

    /// Deletes what is left of deleted projects: a request may have been on its way when its project
    /// was deleted, and a deletion may have been cut short by a crash.
    async fn retire_deleted_projects(self: &Arc<Self>) -> Result<(), StoreError> {
        for project in self.meta.deleted_projects().await? {
            let catalog = self.catalog.current();
            let is_of_it = |file: &Arc<FileEntry>| file.project(&project.id).is_some();
            let has_files = [Table::Traces, Table::Grades]
                .iter()
                .any(|table| catalog.files(*table).iter().any(is_of_it));
            let has_rows = {
                let live = self.live.read();
                !live.views(&project.id).is_empty() || !live.grades(&project.id).is_empty()
            };
            if has_files || has_rows {
                self.delete_project_rows(&project.id).await?;
            }
        }
        Ok(())
    }

    /// Deletes every trace of a project, those in memory too, and grades that hang on no trace.
    pub(crate) async fn delete_project_rows(
        self: &Arc<Self>,
        project: &ProjectId,
    ) -> Result<usize, StoreError> {
        let views = self.live.read().views(project);
        let in_memory: Vec<_> = views
            .iter()
            .map(|view| view.item.trace_id.clone())
            .collect();
        self.delete_all(project, &in_memory).await?;
        let stored = self.retire(project, Time::from_micros(i64::MAX)).await?;
        let (this, of) = (Arc::clone(self), project.clone());
        let graded = self.on_worker(move || this.graded(&of)).await?;
        self.delete_all(project, &graded).await?;
        Ok(in_memory.len() + stored)
    }

    /// Returns what the grades of a project hang on.
    fn graded(self: &Arc<Self>, project: &ProjectId) -> Result<Vec<TraceId>, StoreError> {
        let mut graded = HashSet::new();
        let snapshot = Snapshot::take(self, project);
        snapshot.each_row(&Columns::keys(Table::Grades), |row: GradeRow| {
            if !graded.contains(&row.trace_id) {
                graded.insert(row.trace_id);
            }
        })?;
        Ok(graded.into_iter().collect())
    }

    /// Deletes the traces of every project that are older than the project keeps them.
    async fn retire_all(self: &Arc<Self>) -> Result<(), StoreError> {
        let now = self.clock.now();
        let last = self.retired_at.load(Ordering::Relaxed);
        if (now.as_micros() - last).abs() < RETIRE_EVERY_MICROS {
            return Ok(());
        }
        self.retired_at.store(now.as_micros(), Ordering::Relaxed);
        for project in self.meta.projects().await? {
            if let Some(days) = project.settings.retention_days {
                self.retire(&project.id, now.plus_micros(-i64::from(days) * DAY_MICROS))
                    .await?;
            }
        }
        Ok(())
    }

    /// Deletes the traces of a project whose last row was received before `before`.
    pub(crate) async fn retire(
        self: &Arc<Self>,
        project: &ProjectId,
        before: Time,
    ) -> Result<usize, StoreError> {
        let old = self.settled_traces(project, before, |_| Some(())).await?;
        let old: Vec<_> = old.into_iter().map(|(trace_id, ())| trace_id).collect();
        self.delete_all(project, &old).await?;
        Ok(old.len())
    }

    /// Returns the traces of a project whose last row was received before `before` and lies in Parquet,
    /// each with what `take` takes from its row; those it takes nothing from are left out.
    pub(crate) async fn settled_traces<T: Send + 'static>(
        self: &Arc<Self>,
        project: &ProjectId,
        before: Time,
        take: impl Fn(&TraceRow) -> Option<T> + Send + 'static,
    ) -> Result<Vec<(TraceId, T)>, StoreError> {
        let (this, of) = (Arc::clone(self), project.clone());
        self.on_worker(move || this.traces_last_received_before(&of, before, take))
            .await
    }

    /// Deletes traces that nobody asked to delete.
    pub(crate) async fn delete_all(
        self: &Arc<Self>,
        project: &ProjectId,
        traces: &[TraceId],
    ) -> Result<(), StoreError> {
        for chunk in traces.chunks(RETIRE_CHUNK) {
            self.delete_traces(project, chunk.to_vec())
                .await
                .map_err(|error| match error {
                    DeleteError::Refused(AppendError::Stopped(why)) => StoreError::Stopped(why),
                    DeleteError::Refused(other) => StoreError::Refused(other.to_string()),
                    DeleteError::Compared(error) => error,
                    DeleteError::NotKept(error) => error.into(),
                })?;
        }
        Ok(())
    }

    fn traces_last_received_before<T>(
        &self,
        project: &ProjectId,
        before: Time,
        take: impl Fn(&TraceRow) -> Option<T>,
    ) -> Result<Vec<(TraceId, T)>, StoreError> {
        let pin = self.catalog.pin();
        let catalog = pin.catalog();
        let columns = Columns::narrow(Table::Traces);
        let mut old = Vec::new();
        for file in catalog.files(Table::Traces) {
            if file.project(project).is_none() {
                continue;
            }
            let open = self.files.open(file)?;
            let batches = open.scan_project(project, &columns);
            for batch in batches.map_err(|error| StoreError::read(file, error))? {
                let batch = batch.map_err(|error| StoreError::read(file, error))?;
                let rows: Vec<TraceEntry> = decode(&batch).map_err(ReadError::from)?;
                let is_old = |entry: &&TraceEntry| {
                    let trace_id = entry.row.item.trace_id.as_str();
                    entry.row.last_received_at < before
                        && !catalog.hides().hidden(
                            Table::Traces,
                            project,
                            trace_id,
                            None,
                            entry.row.seq,
                        )
                };
                let id_and_taken =
                    |entry: &TraceEntry| Some((entry.row.item.trace_id.clone(), take(&entry.row)?));
                old.extend(rows.iter().filter(is_old).filter_map(id_and_taken));
            }
        }
        let live = self.live.read();
        let key = |id: &TraceId| TraceKey {
            project: project.clone(),
            trace_id: id.clone(),
        };
        // A trace that is in memory has just been written to.
        old.retain(|(id, _)| live.view_of(&key(id)).is_none() && !live.is_deleted(&key(id)));
        Ok(old)
    }
}
