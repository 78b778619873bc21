//! A copy of `meta.db` a day, in the data folder: what people made can be had back as it was on any
//! of the last days, without a backup of the traces. The copies hold nothing that
//! is about traces, such as runs of evals and annotations: what is deleted must be gone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Disk, DiskError, RealDisk};
use crate::engine::{Engine, StoreError};

/// Where the copies lie, below the data folder.
const COPIES_DIR: &str = "meta-copies";
const COPIES_KEPT: usize = 7;

impl Engine {
    /// Makes today's copy, if it is not there, and removes the oldest ones.
    pub(crate) async fn copy_meta_daily(self: &Arc<Self>) -> Result<(), StoreError> {
        let dir = self.config.data_dir.join(COPIES_DIR);
        let today = dir.join(copy_name(&self.clock.now().to_string()));
        // The databases are SQLite's and lie on the real disk, which a test's may not be.
        if RealDisk.exists(&today)? {
            return Ok(());
        }
        RealDisk.create_dir_all(&dir)?;
        self.meta.copy_without_traces(&today).await?;
        remove_oldest(&dir)?;
        Ok(())
    }
}

/// Returns the name of the copy of a moment's day.
fn copy_name(moment: &str) -> String {
    let day = moment.split('T').next().unwrap_or(moment);
    format!("meta-{day}.db")
}

fn remove_oldest(dir: &Path) -> Result<(), DiskError> {
    let is_copy = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "db");
    let mut copies = RealDisk.list(dir)?;
    copies.retain(is_copy);
    copies.sort();
    let surplus = copies.len().saturating_sub(COPIES_KEPT);
    copies[..surplus]
        .iter()
        .try_for_each(|path| RealDisk.remove(path))
}
