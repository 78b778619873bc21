//! The grades of a run, gathered in memory, as results, comparisons and gates read them.
//!
//! They come off the disk one by one on a blocking thread, and what they take is held of the ledger. Small ones are kept until something changes in the run, a deletion
//! included, so that whoever leafs through results gathers once.

use std::collections::{HashSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

use grade::results::{Collected, GraderFacts, ResultsBuilder, ResultsOptions, RunResults, Stratum};
use grade::trace::TraceGrader;
use model::{NanoUsd, ProjectId, Time, TraceId};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;
use store::meta::{GradingRun, GradingStatus};
use store::{GradeFilter, Ledger, Reservation, Share, Snapshot};
use tokio::sync::Semaphore;

use crate::error::ApiError;
use crate::grading::select::STORAGE_ORDER;
use crate::grading::stopping;
use crate::read::{blocking, of_project};
use crate::state::AppState;

/// So much is kept of all runs together.
const KEPT_BYTES_MAX: usize = 32 << 20;

/// So many runs are gathered at the same time; others wait for them.
const AT_ONCE: usize = 2;

/// All grades of a run and what they say.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) collected: Collected,
    pub(super) results: RunResults,
    /// The memory that they take.
    _room: Reservation,
}

/// What has been gathered lately.
#[derive(Debug)]
pub(in crate::grading) struct GatheredRuns {
    kept: Mutex<VecDeque<Kept>>,
    turns: Semaphore,
}

#[derive(Debug)]
struct Kept {
    run_id: String,
    stamp: Stamp,
    bytes: usize,
    gathered: Arc<Gathered>,
}

/// What tells that nothing was graded in a run, and nothing of it deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    status: GradingStatus,
    items: i64,
    done: i64,
    unscored: i64,
    deleted: i64,
    spent: NanoUsd,
    ended_at: Option<Time>,
}

impl Default for GatheredRuns {
    fn default() -> Self {
        Self {
            kept: Mutex::default(),
            turns: Semaphore::new(AT_ONCE),
        }
    }
}

impl GatheredRuns {
    fn get(&self, run_id: &str, stamp: Stamp) -> Option<Arc<Gathered>> {
        let kept = self.kept.lock();
        let same = |one: &&Kept| one.run_id == run_id && one.stamp == stamp;
        kept.iter().find(same).map(|one| Arc::clone(&one.gathered))
    }

    /// Keeps what was gathered if it is small, and lets go of what was gathered longest ago.
    fn keep(&self, run_id: &str, stamp: Stamp, gathered: &Arc<Gathered>) {
        let bytes = gathered.collected.bytes();
        let mut kept = self.kept.lock();
        kept.retain(|one| one.run_id != run_id);
        if bytes > KEPT_BYTES_MAX {
            return;
        }
        kept.push_back(Kept {
            run_id: run_id.to_owned(),
            stamp,
            bytes,
            gathered: Arc::clone(gathered),
        });
        while kept.iter().map(|one| one.bytes).sum::<usize>() > KEPT_BYTES_MAX {
            kept.pop_front();
        }
    }
}

impl Stamp {
    fn of(run: &GradingRun) -> Self {
        Self {
            status: run.status,
            items: run.items,
            done: run.done,
            unscored: run.unscored,
            deleted: run.deleted,
            spent: run.spent,
            ended_at: run.ended_at,
        }
    }
}

/// Returns all grades of a run.
pub(super) async fn gather(state: &AppState, run: &GradingRun) -> Result<Arc<Gathered>, ApiError> {
    let runs = &state.grading.gathered;
    let stamp = Stamp::of(run);
    if let Some(known) = runs.get(&run.id, stamp) {
        return Ok(known);
    }
    let _turn = runs.turns.acquire().await.map_err(ApiError::internal)?;
    // Whoever had the turn before may have gathered just this.
    if let Some(known) = runs.get(&run.id, stamp) {
        return Ok(known);
    }
    let part = read(state, run, None).await?;
    let gathered = reckoned(run, part).await?;
    runs.keep(&run.id, stamp, &gathered);
    Ok(gathered)
}

/// Reckons what all grades of a run say, in whatever groups they were put.
pub(super) async fn reckoned(run: &GradingRun, part: Part) -> Result<Arc<Gathered>, ApiError> {
    let partial = selection(run)?.partial(run.done, run.items - run.deleted);
    let Part {
        collected, room, ..
    } = part;
    blocking(move || {
        let mut results = collected.results();
        results.degraded |= partial.is_some();
        results.degraded_reasons.extend(partial);
        Arc::new(Gathered {
            results,
            collected,
            _room: room,
        })
    })
    .await
}

/// The grades of some traces of a run.
pub(super) struct Part {
    pub(super) collected: Collected,
    /// When the first and the last of their traces began, which bounds where they are looked for.
    pub(super) started: Option<(Time, Time)>,
    /// The memory that they take.
    pub(super) room: Reservation,
}

/// Returns the grades of these traces of a run, or of all in a form that may be changed.
pub(super) async fn gather_some(
    state: &AppState,
    run: &GradingRun,
    only: Option<HashSet<TraceId>>,
) -> Result<Part, ApiError> {
    read(state, run, only.map(Arc::new)).await
}

async fn read(
    state: &AppState,
    run: &GradingRun,
    only: Option<Arc<HashSet<TraceId>>>,
) -> Result<Part, ApiError> {
    let graders = facts(run)?;
    // Of a part of the traces their own weights tell the population.
    let strata = match only {
        None => strata(run)?,
        Some(_) => Vec::new(),
    };
    of_project(state, &run.project, async |snapshot| {
        let reading = Reading {
            run_id: run.id.clone(),
            graders: graders.clone(),
            strata: strata.clone(),
            items: usize::try_from(run.done).unwrap_or(0),
            only: only.clone(),
            options: ResultsOptions {
                at_any_time: stopping::of_run(run).is_some(),
                ..ResultsOptions::default()
            },
            ledger: Arc::clone(state.store.ledger()),
        };
        blocking(move || reading.read(&snapshot)).await?
    })
    .await
}

/// Everything that reading the grades of a run takes to a blocking thread.
struct Reading {
    run_id: String,
    graders: Vec<GraderFacts>,
    strata: Vec<Stratum>,
    /// How many items have been graded.
    items: usize,
    only: Option<Arc<HashSet<TraceId>>>,
    options: ResultsOptions,
    ledger: Arc<Ledger>,
}

impl Reading {
    fn read(self, snapshot: &Snapshot) -> Result<Part, ApiError> {
        let items = match &self.only {
            Some(only) => only.len().min(self.items),
            None => self.items,
        };
        let bytes = ResultsBuilder::bytes_expected(items, &self.graders);
        let guess = self.ledger.reserve(Share::Queries, bytes)?;
        let filter = GradeFilter {
            run_id: Some(self.run_id),
            // the votes of panels are among the parameters of judges
            with_judgements: self.graders.iter().any(|grader| grader.kind == "llm"),
            ..GradeFilter::default()
        };
        let builder = ResultsBuilder::new(self.graders, self.strata, self.options);
        let mut builder = builder.expecting(items);
        let mut started: Option<(Time, Time)> = None;
        snapshot.for_each_grade(&filter, &mut |grade| {
            let trace = grade.trace_id.as_ref();
            let is_meant = self
                .only
                .as_ref()
                .is_none_or(|only| trace.is_some_and(|id| only.contains(id)));
            if is_meant {
                let at = grade.trace_started_at;
                let (first, last) = started.unwrap_or((at, at));
                started = Some((first.min(at), last.max(at)));
                builder.add(&grade);
            }
            ControlFlow::Continue(())
        })?;
        let collected = builder.collect();
        drop(guess);
        let room = self.ledger.reserve(Share::Queries, collected.bytes())?;
        Ok(Part {
            collected,
            started,
            room,
        })
    }
}

/// A grader as a run has frozen it.
#[derive(Debug, Deserialize)]
pub(super) struct Frozen {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) version: u32,
    pub(super) hash: String,
    pub(super) definition: Value,
}

/// Returns the graders of a run as they were frozen.
pub(super) fn frozen(run: &GradingRun) -> Result<Vec<Frozen>, ApiError> {
    serde_json::from_str(&run.graders).map_err(ApiError::internal)
}

/// Returns what must be known of a run's graders to make sense of its grades.
fn facts(run: &GradingRun) -> Result<Vec<GraderFacts>, ApiError> {
    let facts = |frozen: Frozen| {
        let grader = TraceGrader::parse(&frozen.definition)
            .map_err(|problems| ApiError::internal(problems.to_string()))?;
        Ok(GraderFacts {
            id: frozen.id,
            name: frozen.name,
            kind: grader.kind().to_owned(),
            version: frozen.version,
            hash: frozen.hash,
            scale: grader.scale(),
        })
    };
    frozen(run)?.into_iter().map(facts).collect()
}

/// How a run's traces were chosen, as far as results go by it.
#[derive(Debug, Default, Deserialize)]
struct Selection {
    #[serde(default)]
    strata: Vec<SelectedStratum>,
    /// In which order traces are graded.
    #[serde(default)]
    order: String,
}

#[derive(Debug, Deserialize)]
struct SelectedStratum {
    name: String,
    population: u64,
}

fn selection(run: &GradingRun) -> Result<Selection, ApiError> {
    match run.selection.is_empty() {
        true => Ok(Selection::default()),
        false => serde_json::from_str(&run.selection).map_err(ApiError::internal),
    }
}

impl Selection {
    /// Says that what was graded so far is no random part of all, if it is not: in the order of a hash it is.
    fn partial(&self, done: i64, items: i64) -> Option<String> {
        let is_part = done < items && self.order == STORAGE_ORDER;
        is_part.then(|| {
            format!(
                "{done} of {items} traces are graded, in the order in which they are stored: the figures speak of \
                 these, not of all"
            )
        })
    }
}

fn strata(run: &GradingRun) -> Result<Vec<Stratum>, ApiError> {
    let strata = selection(run)?.strata.into_iter().map(|stratum| Stratum {
        name: stratum.name,
        population: stratum.population,
    });
    Ok(strata.collect())
}

/// Returns a run of a project.
pub(super) async fn run_of(
    state: &AppState,
    project: &ProjectId,
    id: &str,
) -> Result<GradingRun, ApiError> {
    Ok(state.store.meta().grading_run(project, id).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_run_in_the_order_of_storage_are_no_sample() {
        let of = |order: &str, done| {
            let selection: Selection =
                serde_json::from_value(serde_json::json!({"order": order})).unwrap();
            selection.partial(done, 5)
        };
        assert!(
            of("storage", 3)
                .unwrap()
                .starts_with("3 of 5 traces are graded")
        );
        assert_eq!((of("storage", 5), of("hash", 3)), (None, None));
    }
}
