//! A copy of `meta.db` a day, in the data folder: what people made can be had back as it was on any
//! of the last days, without a backup of the traces.
//!
//! What people said of traces is in the copies, for nobody says it twice. What is about traces and can be
//! made again is not: runs of evals, what waits to be graded, answers of judges. A deletion reaches the
//! copies before it counts as done (D6): what was said of a deleted trace is taken out of each of them, and
//! a copy that cannot be opened for that goes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{ProjectId, Time, TraceId};

use crate::catalog::Tombstone;
use crate::disk::{Disk, DiskError, RealDisk};
use crate::engine::{Engine, StoreError};
use crate::meta::Meta;

/// Where the copies lie, below the data folder.
const COPIES_DIR: &str = "meta-copies";
const COPIES_KEPT: usize = 7;

/// What is held by whoever makes copies or changes them.
#[derive(Debug, Default)]
pub(crate) struct CopiesLane {
    /// Whether what an earlier process left was looked through.
    is_clean: bool,
}

impl Engine {
    /// Makes today's copy, if it is not there, and removes the oldest ones.
    pub(crate) async fn copy_meta_daily(self: &Arc<Self>) -> Result<(), StoreError> {
        // Whoever deletes waits for a copy that is being made, and then finds it.
        let mut lane = self.copies_lane.lock().await;
        let dir = self.copies_dir();
        if !lane.is_clean {
            self.clean_copies().await?;
            lane.is_clean = true;
        }
        let today = dir.join(copy_name(&self.clock.now().to_string()));
        // The databases are SQLite's and lie on the real disk, which a test's may not be.
        if RealDisk.exists(&today)? {
            return Ok(());
        }
        RealDisk.create_dir_all(&dir)?;
        self.meta.copy_what_people_made(&today).await?;
        remove_oldest(&dir)?;
        Ok(())
    }

    /// Takes what was said of deleted traces out of the copies (D6).
    pub(crate) async fn clear_copies(&self, tombstones: &[Tombstone]) -> Result<(), StoreError> {
        let _lane = self.copies_lane.lock().await;
        let deleted: Vec<_> = (tombstones.iter())
            .map(|one| (one.project_id.clone(), one.trace_id.clone()))
            .collect();
        self.take_out(&deleted).await
    }

    /// Does what a process that ended in the middle did not: a copy that was being made goes, and what was
    /// deleted meanwhile is taken out of the others.
    async fn clean_copies(&self) -> Result<(), StoreError> {
        for path in listed(&self.copies_dir())? {
            // A journal stays: it belongs to a copy that was being changed, which is mended when it is opened.
            if is_half_made(&path) {
                RealDisk.remove(&path)?;
            }
        }
        let deleted = self.meta.deleted_traces(Time::default()).await?;
        let deleted: Vec<_> = (deleted.into_iter())
            .map(|one| (one.project_id, one.trace_id))
            .collect();
        self.take_out(&deleted).await
    }

    async fn take_out(&self, deleted: &[(ProjectId, TraceId)]) -> Result<(), StoreError> {
        if deleted.is_empty() {
            return Ok(());
        }
        for copy in listed(&self.copies_dir())? {
            if !is_copy(&copy) {
                continue;
            }
            if let Err(error) = Meta::take_out_of_copy(&copy, deleted).await {
                let copy = copy.display();
                tracing::warn!(%copy, %error, "a copy of meta.db cannot be rid of deleted traces: it is removed");
                self.remove_copy(&copy.to_string())?;
            }
        }
        Ok(())
    }

    fn remove_copy(&self, copy: &str) -> Result<(), DiskError> {
        for path in listed(&self.copies_dir())? {
            if path.to_string_lossy().starts_with(copy) {
                RealDisk.remove(&path)?;
            }
        }
        RealDisk.sync_dir(&self.copies_dir())
    }

    fn copies_dir(&self) -> PathBuf {
        self.config.data_dir.join(COPIES_DIR)
    }
}

/// Returns the name of the copy of a moment's day.
fn copy_name(moment: &str) -> String {
    let day = moment.split('T').next().unwrap_or(moment);
    format!("meta-{day}.db")
}

/// Returns what lies in the folder of the copies: nothing, before the first one.
fn listed(dir: &Path) -> Result<Vec<PathBuf>, DiskError> {
    match RealDisk.exists(dir)? {
        true => RealDisk.list(dir),
        false => Ok(Vec::new()),
    }
}

fn is_copy(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "db")
}

/// Returns whether it is a part of a copy that was never put in its place.
fn is_half_made(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().contains(".building")
}

fn remove_oldest(dir: &Path) -> Result<(), DiskError> {
    let mut copies = RealDisk.list(dir)?;
    copies.retain(|path| is_copy(path));
    copies.sort();
    let surplus = copies.len().saturating_sub(COPIES_KEPT);
    copies[..surplus]
        .iter()
        .try_for_each(|path| RealDisk.remove(path))
}
