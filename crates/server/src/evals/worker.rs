//! What does the runs: takes them up, grades their rows, writes down what was found.
//!
//! Everything that lasts is in `meta.db`: which runs are not over, and which of their rows wait. So this
//! can be cut off at any moment. What was graded and not written down yet is graded again after the next
//! start, with the answers that models gave, and no row has two results (G1). Runs of all projects take turns in the order in which they
//! were made, some at a time.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::{Either, select};
use futures::{FutureExt, StreamExt};
use grade::trace::Halt;
use model::{NanoUsd, ProjectId};
use serde_json::json;
use store::meta::{EvalRun, MetaError, QueuedItem};
use tokio::sync::mpsc::{self, UnboundedReceiver};

use super::grading::{Done, Plan};
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
    let plan = Plan::of(state, &eval, run).await;
    let plan = plan.map_err(RunError::Plan)?;
    let mut after = -1;
    loop {
        let rows = meta.queued_items(&run.id, after, ROWS_PER_READ).await?;
        let Some(last) = rows.last() else { break };
        after = last.position;
        match grade_rows(state, run, &plan, rows).await? {
            Went::On => {}
            Went::Over => return Ok(()),
            Went::Halted(halt) => return Ok(meta.end_run(&run.id, Some(&halted(&halt))).await?),
        }
    }
    let tallies = meta.tallies(&[&run.id]).await?;
    // Rows of traces that were deleted are gone: a run of no other is not at fault.
    let nothing = tallies
        .get(&run.id)
        .is_some_and(|tally| tally.errored > 0 && tally.passed + tally.failed + tally.skipped == 0);
    let error = nothing.then(|| {
        let message = "not one row could be graded: the output items say why";
        json!({"code": "nothing_graded", "message": message}).to_string()
    });
    Ok(meta.end_run(&run.id, error.as_deref()).await?)
}

/// How it went with some rows of a run.
enum Went {
    /// They are written down.
    On,
    /// The run is over: somebody canceled or deleted it.
    Over,
    /// No further row could be graded.
    Halted(Halt),
}

/// Grades some rows and writes down what was found. Where that comes to a halt, rows that were begun are
/// brought to their end, for they are paid for.
async fn grade_rows(
    state: &AppState,
    run: &EvalRun,
    plan: &Plan,
    rows: Vec<QueuedItem>,
) -> Result<Went, RunError> {
    let is_halted = AtomicBool::new(false);
    let begun = rows
        .into_iter()
        .take_while(|_| !is_halted.load(Ordering::Relaxed));
    let (tell, told) = mpsc::unbounded_channel();
    let grading = async move {
        let graded = futures::stream::iter(begun).map(|row| plan.grade(row));
        let mut graded = graded.buffer_unordered(ROWS_AT_ONCE);
        while let Some(done) = graded.next().await {
            if tell.send(done).is_err() {
                break;
            }
        }
    };
    let writing = write_rows(state, run, told, &is_halted);
    // Rows go on while others are written: they keep the answers of models, and one that stood still with
    // the database's only pen in its hand would be waited for for ever.
    match select(pin!(writing), pin!(grading)).await {
        Either::Left((went, _grading)) => went,
        Either::Right(((), writing)) => writing.await,
    }
}

/// Writes down rows as they are told, until there are no more.
async fn write_rows(
    state: &AppState,
    run: &EvalRun,
    mut told: UnboundedReceiver<Done>,
    is_halted: &AtomicBool,
) -> Result<Went, RunError> {
    let (mut halt, mut done) = (None, Vec::new());
    while told.recv_many(&mut done, ROWS_PER_WRITE).await > 0 {
        let (mut graded, mut cost) = (Vec::with_capacity(done.len()), NanoUsd::default());
        for one in done.drain(..) {
            cost = cost.saturating_add(one.cost);
            match one.graded {
                Ok(row) => graded.push(row),
                Err(why) => halt = Some(why),
            }
        }
        is_halted.store(halt.is_some(), Ordering::Relaxed);
        let meta = state.store.meta();
        if !meta.grade_items(&run.id, &graded, cost).await? {
            return Ok(Went::Over);
        }
    }
    Ok(halt.map_or(Went::On, Went::Halted))
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
