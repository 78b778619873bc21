//! Grading runs: what is graded by what, how far it has come, and what it has cost.
//!
//! A run holds its own figures, so that a list of runs counts no items: they are changed by the very
//! transaction that changes an item. Always: items = waiting + done + deleted, and what was spent is the
//! sum over the items.

use model::{NanoUsd, ProjectId, Time};

use super::{GradingStatus, Meta, MetaError, Page, PageAsked};
use crate::sqlite::DbError;

/// A version of a grader that a run uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraderUse {
    /// The grader's id.
    pub id: String,
    /// Its version.
    pub version: u32,
    /// The hash of its definition. Where the version has another by now, the run is refused.
    pub hash: String,
}

/// A grading run to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGradingRun {
    /// Whose it is.
    pub project: ProjectId,
    /// What people call it.
    pub name: Option<String>,
    /// What was asked for: a JSON object.
    pub request: String,
    /// Its graders as they are now: a JSON list of `{id, name, version, hash, definition}`.
    pub graders: String,
    /// The same ones, to be marked as used.
    pub uses: Vec<GraderUse>,
    /// Pairs that people hang on it: a JSON object.
    pub metadata: String,
    /// The most it may cost.
    pub cap: Option<NanoUsd>,
    /// Whether its items are in the order of a hash, so that the first n of them are a random sample.
    pub in_order_of_hash: bool,
}

/// A grading run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GradingRun {
    /// Its id, `grun_…`.
    pub id: String,
    /// Whose it is.
    pub project: ProjectId,
    /// What people call it.
    pub name: Option<String>,
    /// Where it is.
    pub status: GradingStatus,
    /// Why it is paused or has failed.
    pub reason: Option<String>,
    /// What was asked for: a JSON object.
    pub request: String,
    /// Its graders, frozen: a JSON list of `{id, name, version, hash, definition}`.
    pub graders: String,
    /// How its items were chosen, frozen when they were: a JSON object, empty before that.
    pub selection: String,
    /// Pairs that people hang on it: a JSON object.
    pub metadata: String,
    /// The most it may cost.
    pub cap: Option<NanoUsd>,
    /// What it has cost.
    pub spent: NanoUsd,
    /// What it was thought to cost.
    pub estimate: Option<NanoUsd>,
    /// How many items it has.
    pub items: i64,
    /// How many of them were graded, those without a verdict included.
    pub done: i64,
    /// How many of those have no verdict.
    pub unscored: i64,
    /// How many of its items are of traces that were deleted: they are neither done nor do they wait.
    pub deleted: i64,
    /// When it was made.
    pub created_at: Time,
    /// When a worker first took it up.
    pub started_at: Option<Time>,
    /// When it was over.
    pub ended_at: Option<Time>,
    /// The watch that it grades for.
    pub watch_id: Option<String>,
    /// Whether its items are in the order of a hash.
    pub in_order_of_hash: bool,
}

impl GradingRun {
    /// Returns how many items wait, those that are being graded included.
    pub fn waiting(&self) -> i64 {
        self.items - self.done - self.deleted
    }
}

/// Which runs are listed: those that meet everything that is named.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GradingRunFilter {
    /// Those in this state.
    pub status: Option<GradingStatus>,
    /// Those that used a version of this grader.
    pub grader_id: Option<String>,
    /// That of this watch.
    pub watch_id: Option<String>,
}

impl Meta {
    /// Makes a run that has no items yet ([`GradingStatus::Selecting`]), and marks its graders as used.
    /// Refused with [`MetaError::NotFound`] if one of them is not there any more as it was read.
    pub async fn create_grading_run(
        &self,
        who: &str,
        new: &NewGradingRun,
    ) -> Result<GradingRun, MetaError> {
        unimplemented!()
    }

    /// Says how a run's items were chosen, and queues it. Returns whether it was still being selected.
    pub async fn open_grading_run(
        &self,
        run_id: &str,
        selection: &str,
        estimate: Option<NanoUsd>,
    ) -> Result<bool, DbError> {
        unimplemented!()
    }

    /// Brings a run from one of these states into another, with the reason for it. Returns whether it was
    /// in one of them from which that is allowed; a run is completed only if nothing of it waits and no
    /// watch feeds it. `who` asked for it; none: it came of itself, and is not audited.
    pub async fn set_grading_status(
        &self,
        who: Option<&str>,
        run_id: &str,
        from: &[GradingStatus],
        to: GradingStatus,
        reason: Option<&str>,
    ) -> Result<bool, DbError> {
        unimplemented!()
    }

    /// Sets the most that a run may cost, and returns it. What was paused for it stays paused.
    pub async fn set_grading_cap(
        &self,
        who: &str,
        project: &ProjectId,
        run_id: &str,
        cap: Option<NanoUsd>,
    ) -> Result<GradingRun, MetaError> {
        unimplemented!()
    }

    /// Returns a run of a project.
    pub async fn grading_run(
        &self,
        project: &ProjectId,
        run_id: &str,
    ) -> Result<GradingRun, MetaError> {
        unimplemented!()
    }

    /// Returns a page of a project's runs.
    pub async fn grading_runs(
        &self,
        project: &ProjectId,
        filter: &GradingRunFilter,
        asked: &PageAsked,
    ) -> Result<Page<GradingRun>, MetaError> {
        unimplemented!()
    }

    /// Returns the runs that are being selected, queued or in progress, of projects that are not deleted,
    /// oldest first.
    pub async fn open_grading_runs(&self) -> Result<Vec<GradingRun>, DbError> {
        unimplemented!()
    }

    /// Deletes a run with its items, and with the watch that it grades for.
    pub async fn delete_grading_run(
        &self,
        who: &str,
        project: &ProjectId,
        run_id: &str,
    ) -> Result<(), MetaError> {
        unimplemented!()
    }

    /// Returns what a run has cost on the day of a moment, in UTC.
    pub async fn grading_spent_on(&self, run_id: &str, day: Time) -> Result<NanoUsd, DbError> {
        unimplemented!()
    }
}
