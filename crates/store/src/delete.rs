//! How does a trace go for good?
//!
//! A deletion is logged like any row: from its acknowledgement on the trace is unreadable (D6), and
//! its id is refused for a day, since agents resend their history. Then its bytes go, within
//! `delete_within`: memory is flushed, the log is rolled and cut, every file that may hold the trace
//! is written anew without it, readers of older versions are cut off, and the old files unlinked.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::{ProjectId, Time, TraceId};
use tokio::sync::oneshot;

use crate::append::AppendError;
use crate::catalog::{Commit, Erasure, FileEntry, Hide, Tombstone, Version};
use crate::compact::MergeJob;
use crate::engine::{Engine, StoreError};
use crate::files::Source;
use crate::lake::{LakeFile, Table, TraceHash, TraceSet};
use crate::live::TraceKey;
use crate::meta::DeletedTrace;
use crate::sqlite::DbError;
use crate::writer::Job;

/// Ids of traces that people deleted are kept this long: 90 days, after which a backup is too old to be
/// restored without a look at what was deleted since.
const KEPT_FOR_BACKUPS_MICROS: i64 = 90 * 86_400_000_000;

/// Why traces were not deleted, or why it is not known whether a backup would bring them back.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// The deletion was not taken.
    #[error(transparent)]
    Refused(#[from] AppendError),
    /// What is said of the traces where others are compared with them could not be taken out.
    #[error("failed to take the traces' words out of comparisons with them")]
    Compared(#[from] StoreError),
    /// The traces are deleted; that they were could not be written down for the day when a backup is
    /// restored. Deleting them again mends it.
    #[error("the traces are deleted, but their ids could not be kept for later restores")]
    NotKept(#[from] DbError),
}

/// What was promised when traces were deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deleted {
    /// How many traces.
    pub traces: usize,
    /// By when their bytes are gone from disk.
    pub gone_by: Time,
}

impl Engine {
    /// Makes traces unreadable because somebody asked for it, and keeps their ids: a backup that is
    /// restored must not bring them back.
    pub(crate) async fn delete_for_good(
        self: &Arc<Self>,
        project: &ProjectId,
        traces: Vec<TraceId>,
    ) -> Result<Deleted, DeleteError> {
        let (deleted, seq) = self.delete_with_words(project, traces.clone()).await?;
        let at = self.clock.now();
        let one = |trace_id| DeletedTrace {
            project_id: project.clone(),
            trace_id,
            upto_seq: seq,
            deleted_at: at,
        };
        let kept: Vec<_> = traces.into_iter().map(one).collect();
        let until = at.plus_micros(KEPT_FOR_BACKUPS_MICROS);
        self.meta.keep_deleted(&kept, until).await?;
        Ok(deleted)
    }

    /// Makes traces unreadable and sees to it that their bytes go.
    pub(crate) async fn delete_traces(
        self: &Arc<Self>,
        project: &ProjectId,
        traces: Vec<TraceId>,
    ) -> Result<Deleted, DeleteError> {
        let logged = self.delete_with_words(project, traces).await;
        logged.map(|(deleted, _)| deleted)
    }

    /// Deletes traces, and their words in comparisons of others with them. It looks twice: what was graded
    /// between the first look and the deletion is in memory and goes with it, unless a flush was quicker.
    async fn delete_with_words(
        self: &Arc<Self>,
        project: &ProjectId,
        traces: Vec<TraceId>,
    ) -> Result<(Deleted, i64), DeleteError> {
        let compared = self.compared_with(project, &traces).await?;
        self.empty_comparisons(project, &compared).await?;
        let logged = self.log_deletion(project, traces).await?;
        self.empty_comparisons(project, &compared).await?;
        Ok(logged)
    }

    async fn log_deletion(
        &self,
        project: &ProjectId,
        traces: Vec<TraceId>,
    ) -> Result<(Deleted, i64), AppendError> {
        let at = self.clock.now();
        let gone_by = at.plus_micros(self.config.delete_within_ms * 1_000);
        let count = traces.len();
        let mut seq = 0;
        if count > 0 {
            let (done, answer) = oneshot::channel();
            let project = project.clone();
            self.submit(Job::Delete {
                project,
                traces,
                at,
                done,
            })
            .await?;
            seq = answer
                .await
                .map_err(|_| AppendError::Stopped("the writer is gone".to_owned()))??;
            self.counters
                .deleted_traces
                .fetch_add(count as u64, Ordering::Relaxed);
            self.wake.notify_waiters();
        }
        let deleted = Deleted {
            traces: count,
            gone_by,
        };
        Ok((deleted, seq))
    }

    /// Writes down, apart from the catalog, what was deleted (D5).
    pub(crate) async fn keep_deleted(&self, tombstones: &[Tombstone]) -> Result<(), StoreError> {
        let one = |tombstone: &Tombstone| DeletedTrace {
            project_id: tombstone.project_id.clone(),
            trace_id: tombstone.trace_id.clone(),
            upto_seq: tombstone.upto_seq,
            deleted_at: tombstone.deleted_at,
        };
        let deleted: Vec<_> = tombstones.iter().map(one).collect();
        let until = tombstones.iter().map(|one| one.expires_at).max();
        match until {
            Some(until) => Ok(self.meta.keep_deleted(&deleted, until).await?),
            None => Ok(()),
        }
    }

    /// Removes the bytes of deleted traces from disk. Returns how many traces are gone for good.
    pub(crate) async fn erase_due(self: &Arc<Self>) -> Result<usize, StoreError> {
        let in_memory = self.live.read().has_deleted();
        let pending = self
            .catalog
            .current()
            .tombstones()
            .pending()
            .next()
            .is_some();
        if !in_memory && !pending {
            return Ok(0);
        }
        if in_memory {
            self.flush_all().await?;
        }
        let tombstones: Vec<Tombstone> = self
            .catalog
            .current()
            .tombstones()
            .pending()
            .cloned()
            .collect();
        self.cut_log_behind(&tombstones).await?;
        self.rewrite_without(&tombstones).await?;
        self.clear_quarantine(&tombstones).await?;
        self.clear_copies(&tombstones).await?;
        let mut commit = Commit::new(self.clock.now());
        let done = |one: &Tombstone| Tombstone {
            erasure: Erasure::Done,
            ..one.clone()
        };
        commit.tombstones = tombstones.iter().map(done).collect();
        // Readers of older versions would keep the old files; the promise comes first.
        self.catalog
            .cancel_pins_before(self.catalog.current().version());
        self.unlink(0).await?;
        self.commit(&commit).await?;
        // Pages that named its traces' files, or quoted the traces, are in the journals still.
        if !self.catalog.checkpoint().await? || !self.meta.checkpoint().await? {
            tracing::debug!("a journal could not be emptied; the next erasure tries again");
        }
        Ok(tombstones.len())
    }

    /// Gets rid of log segments that hold rows of deleted traces. The writer ended the segment with
    /// the deletion, so none of them is active.
    async fn cut_log_behind(self: &Arc<Self>, tombstones: &[Tombstone]) -> Result<(), StoreError> {
        let newest = tombstones.iter().map(|one| one.upto_seq).max().unwrap_or(0);
        let this = Arc::clone(self);
        self.on_worker(move || {
            let cursor = this.cursor();
            assert!(
                newest <= cursor,
                "D4: a deletion is flushed before its log is cut"
            );
            // D6: a promise to whoever deletes goes before one to whoever passes rows on.
            if let Some(wal) = this.wal() {
                wal.overrule(newest.max(0) as u64);
            }
            this.cut_wal(cursor)
        })
        .await
    }

    /// Removes what is kept aside and may hold one of the traces (D6): what nobody could read yet is not
    /// worth a broken promise.
    async fn clear_quarantine(
        self: &Arc<Self>,
        tombstones: &[Tombstone],
    ) -> Result<(), StoreError> {
        let (this, tombstones) = (Arc::clone(self), tombstones.to_owned());
        self.on_worker(move || {
            let mut doomed = Vec::new();
            for path in this.quarantined()? {
                if this.may_be_about(&path, &tombstones)? {
                    tracing::warn!(path = %path.display(), "removed a file from quarantine: it may hold a trace that was deleted");
                    doomed.push(path);
                }
            }
            for path in &doomed {
                this.disk.remove(path)?;
            }
            match doomed.first().and_then(|path| path.parent()) {
                Some(dir) => Ok(this.disk.sync_dir(dir)?),
                None => Ok(()),
            }
        })
        .await
    }

    /// Returns whether a file that is kept aside may hold one of the traces. The log's bytes have ids in
    /// them as they are; a file of the lake is compressed, and if its end cannot be read, it may.
    fn may_be_about(&self, path: &Path, tombstones: &[Tombstone]) -> Result<bool, StoreError> {
        if path.extension().is_some_and(|ending| ending == "parquet") {
            let source = Arc::new(Source(self.disk.open_read(path)?));
            let set =
                LakeFile::open(&path.to_string_lossy(), source).and_then(|file| file.trace_set());
            let holds = |set: &TraceSet, one: &Tombstone| {
                set.maybe_contains(TraceHash::of(&one.project_id, &one.trace_id))
            };
            return Ok(match set {
                Ok(set) => tombstones.iter().any(|one| holds(&set, one)),
                Err(_) => true,
            });
        }
        let bytes = self.disk.read(path)?;
        let holds = |one: &Tombstone| {
            memchr::memmem::find(&bytes, one.trace_id.as_str().as_bytes()).is_some()
        };
        Ok(tombstones.iter().any(holds))
    }

    /// Writes every file anew that may hold one of the traces, or a grade that another took the place of:
    /// it may have quoted one. Merges that run meanwhile may take a file away; then the new one is looked
    /// at in the next round.
    async fn rewrite_without(self: &Arc<Self>, tombstones: &[Tombstone]) -> Result<(), StoreError> {
        let replaced = self.replaced_grades(tombstones);
        loop {
            let catalog = self.catalog.current();
            let holds = |file: &FileEntry| {
                tombstones.iter().any(|one| {
                    let key = TraceKey {
                        project: one.project_id.clone(),
                        trace_id: one.trace_id.clone(),
                    };
                    file.lo_seq <= one.upto_seq
                        && !self.is_applied(&catalog, file, &key, one.upto_seq)
                        && self.files.may_hold(file, &key)
                })
            };
            let has_replaced = |file: &FileEntry| {
                let needs = |(hide, added_v): &(Hide, Version)| {
                    file.table == hide.key.table && self.needs_hide(file, hide, *added_v)
                };
                replaced.iter().any(needs)
            };
            let mut files = catalog.all_files();
            let Some(file) = files.find(|file| holds(file) || has_replaced(file)) else {
                return Ok(());
            };
            let job = MergeJob {
                table: file.table,
                to: file.level,
                inputs: vec![file.id],
            };
            self.merge(&job).await?;
        }
    }

    /// Returns the hides of single grades of the projects that something was deleted of.
    fn replaced_grades(&self, tombstones: &[Tombstone]) -> Vec<(Hide, Version)> {
        let catalog = self.catalog.current();
        let is_meant = |hide: &Hide| {
            let of_project = |one: &Tombstone| one.project_id == hide.key.project_id;
            hide.key.table == Table::Grades
                && hide.key.span_id.is_some()
                && tombstones.iter().any(of_project)
        };
        let hides = catalog.hides().iter();
        hides.filter(|(hide, _)| is_meant(hide)).collect()
    }

    /// Returns whether a file may still hold a row that is hidden.
    fn needs_hide(&self, file: &FileEntry, hide: &Hide, added_v: Version) -> bool {
        let (project, trace_id) = (hide.key.project_id.clone(), hide.key.trace_id.clone());
        hide.may_reach(file, added_v) && self.files.may_hold(file, &TraceKey { project, trace_id })
    }

    /// Returns whether a file was written with the trace's hide in sight.
    fn is_applied(
        &self,
        catalog: &crate::catalog::CatalogVersion,
        file: &FileEntry,
        key: &TraceKey,
        upto_seq: i64,
    ) -> bool {
        let table: Table = file.table;
        let hide = catalog
            .hides()
            .whole_trace(table, &key.project, &key.trace_id);
        match hide {
            Some((upto, added_v)) => upto >= upto_seq && file.hides_applied_v >= added_v,
            // No hide: when the deletion was committed no file of the table could hold the trace.
            None => true,
        }
    }
}
