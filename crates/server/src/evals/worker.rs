//! What does the runs: takes them up, grades their rows, writes down what was found.
//!
//! Everything that lasts is in `meta.db`: which runs are not over, and which of their rows wait. So this
//! can be cut off at any moment. What was graded and not written down yet is graded again after the next
//! start, and no row has two results (G1). Runs of all projects take turns in the order in which they
//! were made, some at a time.

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use parking_lot::Mutex;
use serde_json::json;
use store::meta::{EvalRun, MetaError};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};

use super::grading::Plan;
use crate::app::ServeError;
use crate::error::{ApiError, chain};
use crate::state::AppState;

/// Runs that are worked on at the same time.
const RUNS_AT_ONCE: usize = 4;

/// Rows of one run that are graded at the same time: models take seconds to answer.
const ROWS_AT_ONCE: usize = 8;

/// Rows that are read at a time.
const ROWS_PER_READ: u32 = 64;

/// Results that are written at a time, if so many are there.
const ROWS_PER_WRITE: usize = 64;

/// So long after a failure of the database it is tried again.
const TRIED_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// The runs that are being worked on.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    wake: Notify,
    running: Mutex<HashMap<String, AbortHandle>>,
}

impl Runs {
    /// Says that there is something to do.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Stops work on a run that was canceled or deleted.
    pub(super) fn stop(&self, run_id: &str) {
        if let Some(task) = self.running.lock().get(run_id) {
            task.abort();
        }
    }
}

/// A run that is being worked on, until this is dropped.
struct Taken {
    state: AppState,
    run_id: String,
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.state.runs.running.lock().remove(&self.run_id);
    }
}

/// Does runs until the server stops.
pub(crate) async fn run(
    state: AppState,
    stopped: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let mut stopped = std::pin::pin!(stopped);
    let mut tasks = JoinSet::new();
    loop {
        let next_look = match take_up(&state, &mut tasks).await {
            Ok(()) => Duration::MAX,
            Err(error) => {
                tracing::warn!(error = %chain(&error), "failed to look for runs of evals; the next look tries again");
                TRIED_AGAIN_AFTER
            }
        };
        tokio::select! {
            () = &mut stopped => break,
            () = state.runs.wake.notified() => {}
            () = tokio::time::sleep(next_look) => {}
            Some(_ended) = tasks.join_next(), if !tasks.is_empty() => {}
        }
    }
    tasks.shutdown().await;
    Ok(())
}

/// Starts to work on runs that nobody works on, as many as may be.
async fn take_up(state: &AppState, tasks: &mut JoinSet<()>) -> Result<(), MetaError> {
    if tasks.len() >= RUNS_AT_ONCE {
        return Ok(());
    }
    for run in state.store.meta().open_runs().await? {
        let mut running = state.runs.running.lock();
        if running.contains_key(&run.id) {
            continue;
        }
        if tasks.len() >= RUNS_AT_ONCE {
            break;
        }
        let taken = Taken {
            state: Arc::clone(state),
            run_id: run.id.clone(),
        };
        let task = tasks.spawn(work(taken, run.clone()));
        running.insert(run.id, task);
    }
    Ok(())
}

/// Works on a run until it is over or this is cut off.
async fn work(taken: Taken, run: EvalRun) {
    let state = &taken.state;
    let error = match AssertUnwindSafe(grade(state, &run)).catch_unwind().await {
        // Somebody deleted it.
        Ok(Ok(()) | Err(RunError::Meta(MetaError::NotFound { .. }))) => return,
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
    let plan = Plan::of(&eval, run, &state.graders).map_err(RunError::Plan)?;
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
            if !meta.grade_items(&run.id, &done).await? {
                return Ok(());
            }
        }
    }
    let tallies = meta.tallies(&[&run.id]).await?;
    let nothing = tallies
        .get(&run.id)
        .is_some_and(|tally| tally.passed + tally.failed == 0);
    let error = nothing.then(|| {
        let message = "not one row could be graded: the output items say why";
        json!({"code": "nothing_graded", "message": message}).to_string()
    });
    Ok(meta.end_run(&run.id, error.as_deref()).await?)
}
