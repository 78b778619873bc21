//! Watches: grading of what comes in, by a run that never ends, and why each trace was graded or not.
//!
//! A trace that was not graded must not look like one that passed, so every decision is kept: of each
//! trace the latest, and of all of them a count a day that outlives both traces and decisions.

use std::collections::BTreeMap;

use model::{NanoUsd, ProjectId, Time, TraceId};

use super::{Meta, MetaError, NewGradingRun, Page, PageAsked};
use crate::sqlite::DbError;

/// A watch to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewWatch {
    /// What people call it.
    pub name: String,
    /// Which traces it looks at: a JSON object.
    pub filter: String,
    /// The share of those that is graded, from 0 to 1.
    pub sampling_rate: f64,
    /// The most that a day may cost.
    pub cap_per_day: Option<NanoUsd>,
    /// Where it begins to look, in the words of whoever looks.
    pub cursor: Option<String>,
}

/// A watch.
#[derive(Debug, Clone, PartialEq)]
pub struct Watch {
    /// Its id, `watch_…`.
    pub id: String,
    /// Whose it is.
    pub project: ProjectId,
    /// What people call it.
    pub name: String,
    /// The run that grades for it.
    pub run_id: String,
    /// Which traces it looks at: a JSON object.
    pub filter: String,
    /// The share of those that is graded, from 0 to 1.
    pub sampling_rate: f64,
    /// Whether it looks.
    pub is_on: bool,
    /// The most that a day may cost.
    pub cap_per_day: Option<NanoUsd>,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
    /// How far it has looked, in the words of whoever looks.
    pub cursor: Option<String>,
}

/// What is changed of a watch; what is not given stays.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WatchChange {
    /// What people call it.
    pub name: Option<String>,
    /// Which traces it looks at: a JSON object.
    pub filter: Option<String>,
    /// The share of those that is graded.
    pub sampling_rate: Option<f64>,
    /// Whether it looks. Its run is paused and queued again with it.
    pub is_on: Option<bool>,
    /// The most that a day may cost.
    pub cap_per_day: Option<Option<NanoUsd>>,
}

/// What a watch decided on a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The trace.
    pub trace_id: TraceId,
    /// When.
    pub at: Time,
    /// What, in a word: `graded`, `sampled_out`, `filtered_out`, `budget`, `no_content` and the like.
    pub decision: String,
    /// Why, in people's words.
    pub why: Option<String>,
}

impl Meta {
    /// Makes a watch with its run, which is queued at once. What `run` says of its project is the watch's.
    pub async fn create_watch(
        &self,
        who: &str,
        new: &NewWatch,
        run: &NewGradingRun,
    ) -> Result<Watch, MetaError> {
        unimplemented!()
    }

    /// Returns a watch of a project.
    pub async fn watch(&self, project: &ProjectId, id: &str) -> Result<Watch, MetaError> {
        unimplemented!()
    }

    /// Returns a page of a project's watches.
    pub async fn watches(
        &self,
        project: &ProjectId,
        asked: &PageAsked,
    ) -> Result<Page<Watch>, MetaError> {
        unimplemented!()
    }

    /// Returns the watches that look, of projects that are not deleted, oldest first.
    pub async fn watches_on(&self) -> Result<Vec<Watch>, DbError> {
        unimplemented!()
    }

    /// Changes a watch.
    pub async fn update_watch(
        &self,
        who: &str,
        project: &ProjectId,
        id: &str,
        change: &WatchChange,
    ) -> Result<Watch, MetaError> {
        unimplemented!()
    }

    /// Deletes a watch and its decisions. Its run is canceled and stays, with what it has graded.
    pub async fn delete_watch(
        &self,
        who: &str,
        project: &ProjectId,
        id: &str,
    ) -> Result<(), MetaError> {
        unimplemented!()
    }

    /// Writes down what a watch decided, and how far it has looked by that. Of each trace the latest
    /// decision counts; of traces that were deleted and of a watch that is not there nothing is kept.
    pub async fn note_decisions(
        &self,
        watch_id: &str,
        decisions: &[Decision],
        cursor: Option<&str>,
    ) -> Result<(), DbError> {
        unimplemented!()
    }

    /// Returns decisions of a watch in the order of their traces' ids, behind that of `after`: that on one
    /// trace if one is named, and those of one word if one is.
    pub async fn decisions(
        &self,
        watch_id: &str,
        trace_id: Option<&TraceId>,
        decision: Option<&str>,
        after: Option<&TraceId>,
        limit: u32,
    ) -> Result<Vec<Decision>, DbError> {
        unimplemented!()
    }

    /// Returns how many traces a watch decided on since the day of a moment, by what it decided.
    pub async fn decision_counts(
        &self,
        watch_id: &str,
        since: Time,
    ) -> Result<BTreeMap<String, i64>, DbError> {
        unimplemented!()
    }

    /// Forgets decisions from before a moment; their counts stay. Returns how many.
    pub async fn forget_decisions(&self, before: Time) -> Result<u64, DbError> {
        unimplemented!()
    }
}
