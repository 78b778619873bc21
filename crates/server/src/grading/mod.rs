//! Grading of what was recorded: from a request to grades that can be read.
//!
//! A run is made in one request (`start`): graders are looked up and frozen, traces are chosen and frozen
//! (`select`), and what it will cost is told before it is spent (`estimate`). What is done then is written
//! in `meta.db`, item by item, and [`run`] does it (`worker`): it can be cut off at any moment and goes on
//! with what waits. A watch (`watch`) is a run that never ends, to which traces come as they settle.

mod api;
mod context;
mod criteria;
mod estimate;
mod graders;
mod item;
mod judge;
mod pairs;
mod plan;
mod progress;
mod purse;
mod recorded;
mod references;
mod select;
mod settings;
mod start;
mod stopping;
mod usual;
mod watch;
mod watches;
mod worker;

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use tokio::sync::watch::Sender;
use utoipa::OpenApi;

use crate::app::{ServeError, stopping};
use crate::state::AppState;
use crate::turns::Turns;

pub(crate) use api::{AnnotationObject, GradeObject, Said, annotations_of, grades_of};
pub(crate) use criteria::{
    TraceBench, TraceCriteria, TraceCriterion, lacking, named as named_grader,
};
pub(crate) use purse::{Purse, RowBill, is_priced};
pub(crate) use recorded::forget as forget_judgements;
pub(crate) use references::{ReferenceSent, References, Tally};
pub(crate) use settings::problems_of;

use graders::require_services;

/// The grading that is being done.
#[derive(Debug, Default)]
pub(crate) struct Gradings {
    /// The runs that are being worked on.
    turns: Turns,
    /// Whether the server stops: those who listen to a run are told to come back.
    is_stopping: Sender<bool>,
    /// What was gathered of grades lately.
    gathered: api::GatheredRuns,
}

impl Gradings {
    /// Says that there may be something to do: a run was made, resumed, or may spend more.
    pub(crate) fn wake(&self) {
        self.turns.wake();
    }

    /// Says that a run was paused, canceled or deleted: what is under way is finished, and nothing more
    /// begun.
    pub(crate) fn stop(&self, run_id: &str) {
        self.turns.stop(run_id);
    }
}

/// Returns the routes for a key that may read. Those that change something ask for more by themselves.
pub(crate) fn routes() -> Router<AppState> {
    Router::new()
        .route("/v1/evals/traces/grade", post(start::grade_traces))
        .route(
            "/v1/evals/traces/grade/{run_id}/events",
            get(progress::run_events),
        )
        .route(
            "/v1/evals/traces/watches",
            get(watches::list_watches).post(watches::create_watch),
        )
        .route(
            "/v1/evals/traces/watches/{id}",
            get(watches::retrieve_watch)
                .post(watches::update_watch)
                .delete(watches::delete_watch),
        )
        .route(
            "/v1/evals/traces/watches/{id}/decisions",
            get(watches::list_decisions),
        )
        .route(
            "/v1/evals/traces/watches/{id}/backfill",
            post(watches::backfill_watch),
        )
        .route(
            "/v1/settings/grading",
            get(settings::retrieve_settings).post(settings::change_settings),
        )
        .merge(api::routes())
}

#[derive(OpenApi)]
#[openapi(
    paths(
        start::grade_traces,
        progress::run_events,
        watches::list_watches,
        watches::create_watch,
        watches::retrieve_watch,
        watches::update_watch,
        watches::delete_watch,
        watches::list_decisions,
        watches::backfill_watch,
        settings::retrieve_settings,
        settings::change_settings,
    ),
    tags((name = "grade", description = "Graders, runs over traces, and what came of them"))
)]
struct Grading;

/// Returns the description of these endpoints.
pub(crate) fn openapi() -> utoipa::openapi::OpenApi {
    let mut described = Grading::openapi();
    described.merge(api::openapi());
    described
}

/// Grades until the server stops.
pub(crate) async fn run(
    state: AppState,
    stopped: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let ending = Arc::clone(&state);
    let stopped = async move {
        stopped.await;
        ending.grading.is_stopping.send_replace(true);
    };
    let watches = watch::run(
        Arc::clone(&state),
        stopping(state.grading.is_stopping.subscribe()),
    );
    let (worked, ()) = tokio::join!(worker::run(state, stopped), watches);
    worked
}

#[cfg(test)]
mod tests;
