//! What does a query read? One project's rows at one moment, and nothing else.
//!
//! Everything above this trait is written without a word of the log, the live buffer or the catalog.
//! The store's snapshot is the one real view; tests put together views that a running store would
//! need hours for: a thousand files, foreign row groups, hidden rows, clocks.

use std::error::Error;
use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::RecordBatch;
use model::{ProjectId, Time};
use store::lake::Table;
use store::{Hides, ScanFile, Snapshot};

/// Why the rows in memory could not be had.
pub type ViewError = Box<dyn Error + Send + Sync>;

/// Says which rows of files are gone or replaced.
pub trait Hidden: Debug + Send + Sync {
    /// Returns whether a row of a file is hidden. `span_id` is given for spans alone.
    fn hides(&self, trace_id: &str, span_id: Option<&str>, seq: i64) -> bool;
}

/// One project at one moment.
pub trait View: Debug + Send + Sync {
    /// Returns the project: all rows are its own.
    fn project(&self) -> &ProjectId;

    /// Returns the moment that statuses are told for.
    fn now(&self) -> Time;

    /// Returns how long after its last row a trace is idle, in microseconds.
    fn idle_micros(&self) -> i64;

    /// Returns a sequence number at or above that of every trace row of the view.
    fn watermark(&self) -> Result<i64, ViewError>;

    /// Returns the files that hold rows of the project, each sorted as [`store::lake::sort_keys`] says.
    fn files(&self, table: Table) -> Vec<ScanFile>;

    /// Returns the rows that are in no file, in the order of the table. `projection` names columns by
    /// their place in the table's schema.
    fn memory(&self, table: Table, projection: &[usize]) -> Result<RecordBatch, ViewError>;

    /// Returns which rows of the table's files are hidden, if any are.
    fn hidden(&self, table: Table) -> Option<Arc<dyn Hidden>>;
}

impl Hidden for Hides {
    fn hides(&self, trace_id: &str, span_id: Option<&str>, seq: i64) -> bool {
        Hides::hides(self, trace_id, span_id, seq)
    }
}

impl View for Snapshot {
    fn project(&self) -> &ProjectId {
        Snapshot::project(self)
    }

    fn now(&self) -> Time {
        Snapshot::now(self)
    }

    fn idle_micros(&self) -> i64 {
        Snapshot::idle_micros(self)
    }

    fn watermark(&self) -> Result<i64, ViewError> {
        Ok(Snapshot::watermark(self))
    }

    fn files(&self, table: Table) -> Vec<ScanFile> {
        Snapshot::files(self, table)
    }

    fn memory(&self, table: Table, projection: &[usize]) -> Result<RecordBatch, ViewError> {
        Ok(Snapshot::memory(self, table, projection)?)
    }

    fn hidden(&self, table: Table) -> Option<Arc<dyn Hidden>> {
        let hides = self.hides(table);
        if hides.is_empty() { None } else { Some(hides) }
    }
}
