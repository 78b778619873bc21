//! Grading runs over HTTP, once they are made: looked at, paused, resumed, canceled, tried again.

use axum::Json;
use axum::extract::{Path, State};
use model::NanoUsd;
use serde::{Deserialize, Serialize};
use store::meta::{GradingRun, GradingRunFilter, GradingStatus, MetaError};
use utoipa::ToSchema;

use super::gathered::run_of;
use super::named::stored_grader;
use super::run_object::RunObject;
use crate::auth::Principal;
use crate::error::{ApiError, ErrorBody, ErrorCode};
use crate::json::JsonBody;
use crate::pages::{ListPage, take_page, take_word};
use crate::read::{Direction, Params};
use crate::scope::Scope;
use crate::state::AppState;

/// What a run may spend in all.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CapSent {
    /// In US dollars.
    max_cost_usd: Option<f64>,
}

/// A run that was deleted.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeletedGradingRun {
    /// `trace.grading_run.deleted`.
    object: &'static str,
    deleted: bool,
    id: String,
}

/// List the project's grading runs, newest first.
#[utoipa::path(
    get,
    path = "/v1/evals/traces/grade",
    tag = "grade",
    params(
        ("after" = Option<String>, Query, description = "The run that the page comes behind"),
        ("limit" = Option<usize>, Query, description = "Entries of a page, 20 if not given"),
        ("order" = Option<String>, Query, description = "`desc`, which is the default, or `asc`"),
        ("status" = Option<String>, Query, description = "`selecting`, `queued`, `in_progress`, `paused`, `completed`, `canceled` or `failed`"),
        ("grader" = Option<String>, Query, description = "Those that this grader is in, by its id or name"),
        ("watch_id" = Option<String>, Query, description = "That of this watch"),
    ),
    responses((status = 200, body = ListPage<RunObject>), (status = 400, body = ErrorBody))
)]
pub(super) async fn list_runs(
    State(state): State<AppState>,
    principal: Principal,
    mut params: Params,
) -> Result<Json<ListPage<RunObject>>, ApiError> {
    let asked = take_page(&mut params, Direction::Descending)?;
    let filter = GradingRunFilter {
        status: take_word(&mut params, "status")?,
        grader_id: match params.take("grader")? {
            None => None,
            Some(named) => {
                let grader = stored_grader(&state, &principal.project, &named, None);
                Some(grader.await?.id)
            }
        },
        watch_id: params.take("watch_id")?,
    };
    params.finish()?;
    let meta = state.store.meta();
    let page = meta
        .grading_runs(&principal.project, &filter, &asked)
        .await?;
    let page = page.try_map(RunObject::of)?;
    Ok(Json(ListPage::of(page, |run| &run.id)))
}

/// Retrieve a grading run.
#[utoipa::path(
    get,
    path = "/v1/evals/traces/grade/{run_id}",
    tag = "grade",
    params(("run_id" = String, Path, description = "The run")),
    responses((status = 200, body = RunObject), (status = 404, body = ErrorBody))
)]
pub(super) async fn retrieve_run(
    State(state): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<Json<RunObject>, ApiError> {
    told(&state, &principal, &id).await
}

/// Pause a run: what is being graded is finished, and nothing more is begun.
#[utoipa::path(
    post,
    path = "/v1/evals/traces/grade/{run_id}/pause",
    tag = "grade",
    params(("run_id" = String, Path, description = "The run")),
    responses(
        (status = 200, body = RunObject),
        (status = 403, description = "The key may not send", body = ErrorBody),
        (status = 404, body = ErrorBody),
        (status = 409, description = "It is over", body = ErrorBody)
    )
)]
pub(super) async fn pause_run(
    State(state): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<Json<RunObject>, ApiError> {
    use GradingStatus::{InProgress, Paused, Queued};
    let step = Step {
        from: &[Queued, InProgress],
        to: Paused,
        reason: Some("somebody paused it"),
        done: "paused",
    };
    step.take(&state, &principal, &id).await
}

/// Go on with a run that was paused or that failed.
#[utoipa::path(
    post,
    path = "/v1/evals/traces/grade/{run_id}/resume",
    tag = "grade",
    params(("run_id" = String, Path, description = "The run")),
    responses(
        (status = 200, body = RunObject),
        (status = 403, description = "The key may not send", body = ErrorBody),
        (status = 404, body = ErrorBody),
        (status = 409, description = "It is not paused", body = ErrorBody)
    )
)]
pub(super) async fn resume_run(
    State(state): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<Json<RunObject>, ApiError> {
    use GradingStatus::{Failed, Paused, Queued};
    let step = Step {
        from: &[Paused, Failed],
        to: Queued,
        reason: None,
        done: "resumed",
    };
    step.take(&state, &principal, &id).await
}

/// End a run before all its traces are graded. What was graded stays, and is a random sample.
#[utoipa::path(
    post,
    path = "/v1/evals/traces/grade/{run_id}/cancel",
    tag = "grade",
    params(("run_id" = String, Path, description = "The run")),
    responses(
        (status = 200, body = RunObject),
        (status = 403, description = "The key may not send", body = ErrorBody),
        (status = 404, body = ErrorBody),
        (status = 409, description = "It is over, or a watch grades into it", body = ErrorBody)
    )
)]
pub(super) async fn cancel_run(
    State(state): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<Json<RunObject>, ApiError> {
    use GradingStatus::{Canceled, InProgress, Paused, Queued, Selecting};
    principal.require(Scope::Ingest)?;
    let run = run_of(&state, &principal.project, &id).await?;
    require_no_watch(&state, &run, "turn the watch off, or delete it").await?;
    let step = Step {
        from: &[Selecting, Queued, InProgress, Paused],
        to: Canceled,
        reason: None,
        done: "canceled",
    };
    step.take(&state, &principal, &id).await
}

/// Grade the traces once more that came out without a verdict, in a new attempt.
#[utoipa::path(
    post,
    path = "/v1/evals/traces/grade/{run_id}/retry",
    tag = "grade",
    params(("run_id" = String, Path, description = "The run")),
    responses(
        (status = 200, description = "The run; as it was if nothing is unscored", body = RunObject),
        (status = 403, description = "The key may not send", body = ErrorBody),
        (status = 404, body = ErrorBody),
        (status = 409, description = "It was canceled", body = ErrorBody)
    )
)]
pub(super) async fn retry_run(
    State(state): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<Json<RunObject>, ApiError> {
    principal.require(Scope::Ingest)?;
    let meta = state.store.meta();
    let run = meta.grading_run(&principal.project, &id).await?;
    if run.status == GradingStatus::Canceled {
        return Err(refused(&run, "it is tried again no more"));
    }
    if meta.retry_grading_items(principal.who(), &run.id).await? > 0 {
        state.grading.wake();
    }
    told(&state, &principal, &id).await
}

/// Say what a run may spend in all. One that paused at its old cap is not resumed by it.
#[utoipa::path(
    post,
    path = "/v1/evals/traces/grade/{run_id}/cap",
    tag = "grade",
    params(("run_id" = String, Path, description = "The run")),
    request_body = CapSent,
    responses(
        (status = 200, body = RunObject),
        (status = 400, body = ErrorBody),
        (status = 403, description = "The key may not send", body = ErrorBody),
        (status = 404, body = ErrorBody)
    )
)]
pub(super) async fn cap_run(
    State(state): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
    JsonBody(sent): JsonBody<CapSent>,
) -> Result<Json<RunObject>, ApiError> {
    principal.require(Scope::Ingest)?;
    let is_price = |usd: &f64| usd.is_finite() && (0.0..=1e9).contains(usd);
    let Some(usd) = sent.max_cost_usd.filter(is_price) else {
        let message = "say how many US dollars the run may spend in all";
        return Err(ApiError::invalid("max_cost_usd", message));
    };
    let meta = state.store.meta();
    let run = meta.grading_run(&principal.project, &id).await?;
    if matches!(run.status, GradingStatus::Canceled | GradingStatus::Failed) {
        return Err(refused(&run, "it costs nothing more"));
    }
    let cap = Some(NanoUsd::from_usd(usd));
    let run = meta
        .set_grading_cap(principal.who(), &principal.project, &id, cap)
        .await?;
    state.grading.wake();
    Ok(Json(RunObject::of(run)?))
}

/// Delete a run with its grades.
#[utoipa::path(
    delete,
    path = "/v1/evals/traces/grade/{run_id}",
    tag = "grade",
    params(("run_id" = String, Path, description = "The run")),
    responses(
        (status = 200, body = DeletedGradingRun),
        (status = 403, description = "The key may not delete", body = ErrorBody),
        (status = 404, body = ErrorBody),
        (status = 409, description = "A watch grades into it", body = ErrorBody)
    )
)]
pub(super) async fn delete_run(
    State(state): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<Json<DeletedGradingRun>, ApiError> {
    principal.require(Scope::Admin)?;
    let meta = state.store.meta();
    let run = meta.grading_run(&principal.project, &id).await?;
    require_no_watch(&state, &run, "delete the watch").await?;
    meta.delete_grading_run(principal.who(), &principal.project, &run.id)
        .await?;
    state.grading.stop(&run.id);
    // After the run: what is still under way of it is kept no more.
    state
        .store
        .delete_grades_of_run(&principal.project, &run.id)
        .await?;
    Ok(Json(DeletedGradingRun {
        object: "trace.grading_run.deleted",
        deleted: true,
        id: run.id,
    }))
}

/// A change of a run's status that somebody asks for.
struct Step {
    from: &'static [GradingStatus],
    to: GradingStatus,
    reason: Option<&'static str>,
    /// What is then done to the run, in a word.
    done: &'static str,
}

impl Step {
    /// Takes the step; a run that is there already stays, so asking twice is asking once.
    async fn take(
        &self,
        state: &AppState,
        principal: &Principal,
        id: &str,
    ) -> Result<Json<RunObject>, ApiError> {
        principal.require(Scope::Ingest)?;
        let meta = state.store.meta();
        let run = meta.grading_run(&principal.project, id).await?;
        let is_done = meta
            .set_grading_status(
                Some(principal.who()),
                &run.id,
                self.from,
                self.to,
                self.reason,
            )
            .await?;
        let now = meta.grading_run(&principal.project, id).await?;
        if !is_done && now.status != self.to {
            let from: Vec<&str> = self.from.iter().map(|status| status.as_str()).collect();
            let why = format!(
                "only one that is {} can be {}",
                from.join(" or "),
                self.done
            );
            return Err(refused(&now, &why));
        }
        match self.to {
            GradingStatus::Queued => state.grading.wake(),
            _ => state.grading.stop(&now.id),
        }
        Ok(Json(RunObject::of(now)?))
    }
}

/// Returns the error of a run that is in no state for what is asked of it.
fn refused(run: &GradingRun, why: &str) -> ApiError {
    let message = format!("{} is {}: {why}", run.id, run.status);
    ApiError::new(ErrorCode::Conflict, message)
}

/// Refuses to end the run of a watch that is there, and would go on deciding for it.
async fn require_no_watch(
    state: &AppState,
    run: &GradingRun,
    instead: &str,
) -> Result<(), ApiError> {
    let Some(watch) = &run.watch_id else {
        return Ok(());
    };
    match state.store.meta().watch(&run.project, watch).await {
        Err(MetaError::NotFound { .. }) => return Ok(()),
        found => drop(found?),
    }
    let message = format!("{watch} grades into this run: {instead}");
    Err(ApiError::new(ErrorCode::Conflict, message))
}

async fn told(
    state: &AppState,
    principal: &Principal,
    id: &str,
) -> Result<Json<RunObject>, ApiError> {
    let meta = state.store.meta();
    let run = meta.grading_run(&principal.project, id).await?;
    Ok(Json(RunObject::of(run)?))
}
