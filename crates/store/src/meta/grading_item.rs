//! The items of a grading run: each is leased by one worker at a time, and its end is written down once.
//!
//! A lease ends by itself, so a worker that died holds nothing up; and what a worker brings back is taken
//! only while its lease lasts, so two of them leave one end for an item (G1). What a judge was paid for an
//! item is added by the same transaction that takes the item, whatever became of the run meanwhile: money
//! that is gone is shown, and work that was paid for is kept.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use model::{GroupId, NanoUsd, Time, TraceId};

use super::{GradingStatus, Meta};
use crate::sqlite::DbError;

/// A trace to be graded.
#[derive(Debug, Clone, PartialEq)]
pub struct NewGradingItem {
    /// The trace.
    pub trace_id: TraceId,
    /// Its group.
    pub group_id: Option<GroupId>,
    /// The stratum it was drawn from.
    pub stratum: Option<String>,
    /// How many traces of the population it stands for.
    pub weight: f64,
    /// When the trace began.
    pub trace_started_at: Time,
}

/// An item that a worker holds.
#[derive(Debug, Clone, PartialEq)]
pub struct GradingItem {
    /// Its place in the run, from 0; places may be missing.
    pub position: i64,
    /// The trace.
    pub trace_id: TraceId,
    /// Its group.
    pub group_id: Option<GroupId>,
    /// The stratum it was drawn from.
    pub stratum: Option<String>,
    /// How many traces of the population it stands for.
    pub weight: f64,
    /// When the trace began.
    pub trace_started_at: Time,
    /// Which attempt this is, from 1.
    pub attempt: u32,
}

/// What a worker did with an item that it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemEnd {
    /// Every grader gave a verdict.
    Scored,
    /// One gave none.
    Unscored,
    /// It was given back, and waits again; what it has cost so far is spent all the same.
    GivenBack,
}

/// An item that a worker is done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FinishedItem {
    /// Its place in the run.
    pub position: i64,
    /// What became of it.
    pub end: ItemEnd,
    /// What its judges cost.
    pub spent: NanoUsd,
}

/// What was taken of what a worker brought back, and where the run is by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finished {
    /// How many items were taken: those whose lease the worker still held.
    pub taken: u64,
    /// Where the run is.
    pub status: GradingStatus,
    /// How many of its items wait.
    pub waiting: i64,
    /// What it has cost.
    pub spent: NanoUsd,
    /// The most it may cost.
    pub cap: Option<NanoUsd>,
}

/// Where an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GradingItemStatus {
    /// It waits.
    Queued,
    /// A worker holds it.
    Leased,
    /// Every grader gave a verdict.
    Scored,
    /// One gave none.
    Unscored,
    /// Its trace was deleted.
    Deleted,
}

/// A word that is no status of an item.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not queued, leased, scored, unscored or deleted")]
pub struct UnknownGradingItemStatus(String);

impl GradingItemStatus {
    /// Every status.
    pub const ALL: [GradingItemStatus; 5] = [
        GradingItemStatus::Queued,
        GradingItemStatus::Leased,
        GradingItemStatus::Scored,
        GradingItemStatus::Unscored,
        GradingItemStatus::Deleted,
    ];

    /// Returns the word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            GradingItemStatus::Queued => "queued",
            GradingItemStatus::Leased => "leased",
            GradingItemStatus::Scored => "scored",
            GradingItemStatus::Unscored => "unscored",
            GradingItemStatus::Deleted => "deleted",
        }
    }
}

impl FromStr for GradingItemStatus {
    type Err = UnknownGradingItemStatus;

    fn from_str(word: &str) -> Result<Self, UnknownGradingItemStatus> {
        let known = Self::ALL.into_iter().find(|status| status.as_str() == word);
        known.ok_or_else(|| UnknownGradingItemStatus(word.to_owned()))
    }
}

impl fmt::Display for GradingItemStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An item of a run, as people see it.
#[derive(Debug, Clone, PartialEq)]
pub struct GradingItemSeen {
    /// Its place in the run.
    pub position: i64,
    /// The trace; none: it was deleted.
    pub trace_id: Option<TraceId>,
    /// Its group.
    pub group_id: Option<GroupId>,
    /// The stratum it was drawn from.
    pub stratum: Option<String>,
    /// How many traces of the population it stands for.
    pub weight: f64,
    /// When the trace began.
    pub trace_started_at: Time,
    /// Which attempt is the latest, from 1.
    pub attempt: u32,
    /// Where it is.
    pub status: GradingItemStatus,
    /// What it has cost, over all attempts.
    pub spent: NanoUsd,
}

impl Meta {
    /// Adds items behind those that a run has, while it is being selected, or a watch feeds it and it is
    /// not over. Traces that it has already, and such as were deleted, are passed over. Returns how many
    /// were added.
    pub async fn add_grading_items(
        &self,
        run_id: &str,
        new: &[NewGradingItem],
    ) -> Result<u64, DbError> {
        unimplemented!()
    }

    /// Takes out again what was chosen for a run that is still being selected, to begin anew. Returns
    /// whether it is.
    pub async fn forget_grading_selection(&self, run_id: &str) -> Result<bool, DbError> {
        unimplemented!()
    }

    /// Gives a worker up to `limit` items of a run in progress, in the order of their places; nobody else
    /// gets them for so long. Those whose lease ran out are given again.
    pub async fn lease_grading_items(
        &self,
        run_id: &str,
        owner: &str,
        limit: u32,
        lasts: Duration,
    ) -> Result<Vec<GradingItem>, DbError> {
        unimplemented!()
    }

    /// Makes the leases of a worker last so long from now, as far as they have not run out. Returns how
    /// many it holds.
    pub async fn renew_grading_leases(
        &self,
        run_id: &str,
        owner: &str,
        lasts: Duration,
    ) -> Result<u64, DbError> {
        unimplemented!()
    }

    /// Writes down what a worker did with items, as far as it still holds them, and what they cost (G1).
    /// Returns where the run is by now; none: it was deleted.
    pub async fn finish_grading_items(
        &self,
        run_id: &str,
        owner: &str,
        finished: &[FinishedItem],
    ) -> Result<Option<Finished>, DbError> {
        unimplemented!()
    }

    /// Gives back everything that a worker holds of a run and that has cost nothing yet. Returns how much.
    pub async fn release_grading_items(&self, run_id: &str, owner: &str) -> Result<u64, DbError> {
        unimplemented!()
    }

    /// Queues the items without a verdict again, each for its next attempt, and with them a run that is
    /// over and not canceled. Returns how many; a run that is canceled or being selected has none.
    pub async fn retry_grading_items(&self, who: &str, run_id: &str) -> Result<u64, DbError> {
        unimplemented!()
    }

    /// Returns items of a run in their order, behind place `after`, those in one state if one is named.
    pub async fn grading_items(
        &self,
        run_id: &str,
        status: Option<GradingItemStatus>,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Vec<GradingItemSeen>, DbError> {
        unimplemented!()
    }
}
