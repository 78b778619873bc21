//! Many small files become few large ones, and hidden rows stay behind.
//!
//! A merge reads files of a pinned version through the hides of that version, writes the outputs, and
//! commits both lists at once. The commit fails if somebody has replaced one of the inputs meanwhile;
//! then the outputs are removed and nothing has happened. The outputs record the version that was
//! *read*: a hide that lands while the merge runs is not applied, and must not look as if it were.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::RecordBatch;
use model::Time;

pub(crate) use self::plan::{MergeJob, next_merge};
use self::whole::Filled;
use crate::catalog::{CatalogVersion, Commit, CommitError, FileEntry, NewFile, Pin};
use crate::engine::{Engine, StoreError};
use crate::lake::{
    Columns, Footer, Level, Merge, MergeError, MergeLimits, Partition, RowKey, SCHEMA_VERSION,
    SplitLimits, Table,
};
use crate::ledger::Share;
use crate::live::TraceKey;
use crate::outputs::write_stream;

mod plan;
mod whole;

/// What one input of a merge takes, about: a batch of its rows, and the pages they come from.
const MERGE_INPUT_BYTES: usize = 2 << 20;

impl Engine {
    /// Merges until nothing is due. Returns how many merges were committed.
    pub(crate) async fn merge_all(self: &Arc<Self>) -> Result<usize, StoreError> {
        let mut merges = 0;
        while let Some(job) = self.plan_merge() {
            merges += usize::from(self.merge(&job).await?);
        }
        Ok(merges)
    }

    fn plan_merge(&self) -> Option<MergeJob> {
        let catalog = self.catalog.current();
        let files = |table| catalog.files(table).iter().map(|file| &**file).collect();
        next_merge(files, self.clock.now())
    }

    /// Runs one merge. Returns whether it was committed; it is not if another was faster.
    pub(crate) async fn merge(self: &Arc<Self>, job: &MergeJob) -> Result<bool, StoreError> {
        let _lane = self.merge_lane.lock().await;
        let pin = self.catalog.pin();
        let inputs: Option<Vec<_>> = job
            .inputs
            .iter()
            .map(|id| pin.catalog().file(*id).cloned())
            .collect();
        let Some(inputs) = inputs else {
            return Ok(false);
        };
        let (this, to) = (Arc::clone(self), job.to);
        let added = self
            .on_worker(move || this.write_merged(&pin, &inputs, to))
            .await?;
        let mut commit = Commit::new(self.clock.now());
        commit.removed.clone_from(&job.inputs);
        commit.added = added;
        match self.commit(&commit).await {
            Ok(()) => {
                self.counters.merges.fetch_add(1, Ordering::Relaxed);
                self.clear_hides().await?;
                Ok(true)
            }
            Err(StoreError::Commit(CommitError::Superseded { .. })) => {
                self.counters.merges_lost.fetch_add(1, Ordering::Relaxed);
                self.remove_files(commit.added.iter().map(|file| file.facts.path.as_str()))?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Writes the files that take the place of `inputs`.
    fn write_merged(
        &self,
        pin: &Pin,
        inputs: &[Arc<FileEntry>],
        to: Level,
    ) -> Result<Vec<NewFile>, StoreError> {
        let catalog = pin.catalog();
        let Some(first) = inputs.first() else {
            return Ok(Vec::new());
        };
        let table = first.table;
        let mut range = (i64::MAX, i64::MIN);
        for file in inputs {
            let Footer { lo, hi, .. } = *self.files.open(file)?.footer();
            range = (range.0.min(lo), range.1.max(hi));
        }
        let open_bytes_max = self.ledger.limit(Share::Rewrite) / 2;
        let inputs_bytes = inputs.len() * MERGE_INPUT_BYTES;
        let _room = self
            .ledger
            .hold(Share::Rewrite, inputs_bytes + open_bytes_max);
        let merged = self.merged(catalog, inputs, &Columns::all(table))?;
        let footer = self.merged_footer(catalog, inputs, range, to);
        let skewed = first.partition == Partition::Skewed;
        let partition = move |home: Time| match (skewed, to) {
            (true, _) => Partition::Skewed,
            // A run may be over all traces there are: an hour of them is hardly a file.
            (false, Level::Hour) if table == Table::Grades => Level::Day.partition(home),
            (false, level) => level.partition(home),
        };
        let limits = SplitLimits {
            file_bytes_max: self.config.file_bytes_target,
            open_bytes_max,
            ..SplitLimits::default()
        };
        if table == Table::Spans {
            let telling = self.merged(catalog, inputs, &whole::telling_columns())?;
            let filled = Filled::new(merged, telling);
            return write_stream(self, &footer, limits, partition, filled);
        }
        write_stream(self, &footer, limits, partition, merged)
    }

    /// Returns these columns of the visible rows of `inputs`, in the order of their table.
    fn merged<'a>(
        &self,
        catalog: &'a CatalogVersion,
        inputs: &'a [Arc<FileEntry>],
        columns: &Columns,
    ) -> Result<impl Iterator<Item = Result<RecordBatch, MergeError>> + use<'a>, StoreError> {
        let mut streams = Vec::with_capacity(inputs.len());
        for file in inputs {
            let open = self.files.open(file)?;
            let scan = open.scan(columns, None);
            streams.push(scan.map_err(|e| StoreError::read(file, e))?);
        }
        let keep = |key: &RowKey<'_>| !is_hidden(catalog, &inputs[0], key);
        Ok(Merge::new(columns, MergeLimits::default(), streams, keep)?)
    }

    fn merged_footer(
        &self,
        catalog: &CatalogVersion,
        inputs: &[Arc<FileEntry>],
        (lo, hi): (i64, i64),
        to: Level,
    ) -> Footer {
        Footer {
            schema_version: SCHEMA_VERSION,
            store_id: self.store_id.to_string(),
            table: inputs[0].table,
            level: to,
            node: self.config.node.clone(),
            lo,
            hi,
            partition: Partition::Mixed,
            part: 0,
            parts: 1,
            inputs: inputs.iter().map(|file| file.path.clone()).collect(),
            hides_applied_v: catalog.version().0,
            created_at: self.clock.now(),
        }
    }

    /// Drops hides that no active file needs any more.
    async fn clear_hides(&self) -> Result<(), StoreError> {
        let catalog = self.catalog.current();
        let mut commit = Commit::new(self.clock.now());
        commit.hides_cleared = catalog.clearable_hides(|file, hide| {
            let (project, trace_id) = (hide.key.project_id.clone(), hide.key.trace_id.clone());
            self.files.may_hold(file, &TraceKey { project, trace_id })
        });
        if commit.hides_cleared.is_empty() {
            Ok(())
        } else {
            self.commit(&commit).await
        }
    }
}

fn is_hidden(catalog: &CatalogVersion, file: &FileEntry, key: &RowKey<'_>) -> bool {
    let hides = catalog.hides().of_text(file.table, key.project);
    hides.is_some_and(|hides| hides.hides(file.table, key.trace_id, key.part_id, key.seq))
}
