//! How far is a run? Told as it goes on, to whoever listens.
//!
//! A run's figures stand in one row of `meta.db`, whoever works on it; that row is looked at while somebody
//! listens, and told when it has changed. So a listener that comes late, or again, misses nothing that
//! counts: each event has the whole state.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::Stream;
use futures::stream::unfold;
use model::ProjectId;
use store::meta::{GradingRun, MetaError};

use super::api::RunObject;
use crate::app::stopping;
use crate::auth::Principal;
use crate::error::{ApiError, ErrorBody, chain};
use crate::state::AppState;

/// How often the row is looked at.
const LOOKED_AT_EVERY: Duration = Duration::from_millis(250);

/// Somebody who listens to a run.
struct Listener {
    state: AppState,
    project: ProjectId,
    run_id: String,
    told: Option<GradingRun>,
    is_over: bool,
}

/// Listen to a run: server-sent events, each named for the run's status, with the run as its data. The
/// stream ends when the run is over, and when the server stops; the run of a watch goes on for good.
#[utoipa::path(
    get,
    path = "/v1/evals/traces/grade/{run_id}/events",
    tag = "grade",
    params(("run_id" = String, Path, description = "The run")),
    responses(
        (status = 200, description = "Events `selecting`, `queued`, `in_progress`, `paused`, `completed`, `canceled` or `failed`, each with the run", content_type = "text/event-stream", body = RunObject),
        (status = 404, body = ErrorBody, description = "There is no such run")
    )
)]
pub(super) async fn run_events(
    State(state): State<AppState>,
    principal: Principal,
    Path(run_id): Path<String>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    // One that is not there is told as an answer, not as a stream that ends.
    state
        .store
        .meta()
        .grading_run(&principal.project, &run_id)
        .await?;
    let listener = Listener {
        state,
        project: principal.project,
        run_id,
        told: None,
        is_over: false,
    };
    let events = unfold(listener, |mut listener| async {
        let event = listener.next().await?;
        Some((Ok(event), listener))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

impl Listener {
    /// Waits for the next event; `None`: there will be none.
    async fn next(&mut self) -> Option<Event> {
        let stop = self.state.grading.is_stopping.subscribe();
        let mut stopped = std::pin::pin!(stopping(stop));
        while !self.is_over {
            if self.told.is_some() {
                tokio::select! {
                    () = &mut stopped => return None,
                    () = tokio::time::sleep(LOOKED_AT_EVERY) => {}
                }
            }
            let meta = self.state.store.meta();
            let run = match meta.grading_run(&self.project, &self.run_id).await {
                Ok(run) => run,
                Err(MetaError::NotFound { .. }) => return None,
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "failed to look how far a run is");
                    return None;
                }
            };
            if self.told.as_ref() == Some(&run) {
                continue;
            }
            self.told = Some(run.clone());
            self.is_over = run.status.is_final();
            let name = run.status.as_str();
            let told = RunObject::of(run).ok()?;
            return Event::default().event(name).json_data(told).ok();
        }
        None
    }
}
