//! What does the runs: takes them up, grades their rows, writes down what was found.
//!
//! Everything that lasts is in `meta.db`: which runs are not over, and which of their rows wait. So this
//! can be cut off at any moment. What was graded and not written down yet is graded again after the next
//! start, and no row has two results (G1). Runs of all projects take turns in the order in which they
//! were made, some at a time.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use grade::trace::Halt;
use model::{NanoUsd, ProjectId};
use serde_json::{Value, json};
use store::meta::{EvalRun, GradedItem, MetaError, PageAsked, RunStatus};

use super::grading::Plan;
use crate::app::ServeError;
use crate::error::{ApiError, chain};
use crate::state::AppState;
use crate::turns::{self, Job, Kind, Next, TRIED_AGAIN_AFTER, Turn};

/// Runs that are worked on at the same time.
const RUNS_AT_ONCE: usize = 4;

/// Rows of one run that are graded at the same time: models take seconds to answer.
const ROWS_AT_ONCE: usize = 8;

/// Rows that are read at a time.
const ROWS_PER_READ: u32 = 64;

/// Results that are written at a time, if so many are there.
const ROWS_PER_WRITE: usize = 64;

impl Job for EvalRun {
    fn id(&self) -> &str {
        &self.id
    }

    fn project(&self) -> &ProjectId {
        &self.project
    }
}

/// Does runs until the server stops.
pub(crate) async fn run(
    state: AppState,
    stopped: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let kind = Kind {
        turns: |shared| &shared.runs,
        at_once: RUNS_AT_ONCE,
        grace: Duration::ZERO,
        list: |state: AppState| async move { state.store.meta().open_runs().await },
        work,
    };
    turns::run(state, kind, stopped).await;
    Ok(())
}

/// Works on a run until it is over or this is cut off.
async fn work(turn: Arc<Turn>, run: EvalRun) -> Next {
    let state = &turn.state;
    let error = match AssertUnwindSafe(grade(state, &run)).catch_unwind().await {
        // Somebody deleted it.
        Ok(Ok(()) | Err(RunError::Meta(MetaError::NotFound { .. }))) => return Next::Turn,
        Ok(Err(error)) => chain(&error),
        Err(_panic) => "a grader panicked".to_owned(),
    };
    tracing::error!(run = %run.id, %error, "a run of an eval failed");
    let message = "something went wrong on the server; its log has the cause";
    let told = json!({"code": "internal_error", "message": message}).to_string();
    if let Err(error) = state.store.meta().end_run(&run.id, Some(&told)).await {
        tracing::error!(run = %run.id, error = %chain(&error), "failed to end a run of an eval");
        tokio::time::sleep(TRIED_AGAIN_AFTER).await;
    }
    Next::Turn
}

/// Why a run cannot go on.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("failed to read or write the run")]
    Meta(#[from] MetaError),
    #[error("failed to understand what was stored of the run: {0}")]
    Plan(ApiError),
}

impl From<store::DbError> for RunError {
    fn from(error: store::DbError) -> Self {
        Self::Meta(error.into())
    }
}

async fn grade(state: &AppState, run: &EvalRun) -> Result<(), RunError> {
    let meta = state.store.meta();
    if !meta.begin_run(&run.id).await? {
        return Ok(());
    }
    let eval = meta.eval(&run.project, &run.eval_id).await?;
    let spent = spent_before(state, run).await?;
    let plan = Plan::of(state, &eval, run, spent).await;
    let plan = plan.map_err(RunError::Plan)?;
    let mut after = -1;
    loop {
        let rows = meta.queued_items(&run.id, after, ROWS_PER_READ).await?;
        let Some(last) = rows.last() else { break };
        after = last.position;
        let graded = futures::stream::iter(rows).map(|row| plan.grade(row));
        let mut graded = graded
            .buffer_unordered(ROWS_AT_ONCE)
            .ready_chunks(ROWS_PER_WRITE);
        while let Some(done) = graded.next().await {
            let mut halt = None;
            let is_done = |one: Result<GradedItem, Halt>| one.map_err(|why| halt = Some(why)).ok();
            let done: Vec<GradedItem> = done.into_iter().filter_map(is_done).collect();
            if !meta.grade_items(&run.id, &done).await? {
                return Ok(());
            }
            if let Some(halt) = halt {
                return Ok(meta.end_run(&run.id, Some(&halted(&halt))).await?);
            }
        }
    }
    let tallies = meta.tallies(&[&run.id]).await?;
    let nothing = tallies
        .get(&run.id)
        .is_some_and(|tally| tally.passed + tally.failed + tally.skipped == 0);
    let error = nothing.then(|| {
        let message = "not one row could be graded: the output items say why";
        json!({"code": "nothing_graded", "message": message}).to_string()
    });
    Ok(meta.end_run(&run.id, error.as_deref()).await?)
}

/// Returns what the error of a run says that cannot go on: its further rows would fail alike, or cost what
/// nobody allowed.
fn halted(halt: &Halt) -> String {
    let code = match halt {
        Halt::Budget(_) => "budget_used_up",
        Halt::Terminal(_) => "judge_refuses",
    };
    json!({"code": code, "message": halt.to_string()}).to_string()
}

/// Returns what judges of traces have cost a run before the server was last started.
async fn spent_before(state: &AppState, run: &EvalRun) -> Result<NanoUsd, RunError> {
    let mut spent = NanoUsd::default();
    if run.status == RunStatus::Queued {
        return Ok(spent);
    }
    let mut asked = PageAsked {
        after: None,
        limit: ROWS_PER_READ as usize,
        is_descending: false,
    };
    loop {
        let page = state
            .store
            .meta()
            .output_items(&run.id, None, &asked)
            .await?;
        for item in &page.entries {
            let results: Vec<Value> = serde_json::from_str(&item.results).unwrap_or_default();
            let costs = results.iter().filter_map(|one| one["cost_usd"].as_f64());
            spent = spent.saturating_add(NanoUsd::from_usd(costs.sum()));
        }
        match page.entries.last() {
            Some(last) if page.has_more => asked.after = Some(last.id.clone()),
            _ => return Ok(spent),
        }
    }
}
