//! OpenAI's Evals API: what its clients send to `evals`, `files` and `fine_tuning.alpha.graders`.
//!
//! Moving here is changing `base_url`, so what clients see is OpenAI's: paths, ids, lists, errors,
//! statuses. What it means is decided elsewhere: graders in `grade::openai`, what lasts in `store::meta`.
//! Handlers check everything that can be checked when something is made, so that a run that was accepted
//! fails for what only its rows can tell. [`worker`] does the runs; the tables say what is left to do.
//!
//! All of it needs a key that may read; what makes or changes something needs `ingest` besides, for it
//! sends content in and may spend money on models; what deletes needs `admin`, as with traces.

mod criteria;
mod definitions;
mod files;
mod form;
mod graders;
mod grading;
mod import;
mod items;
mod recorded;
mod runs;
mod sampling;
mod source;
#[cfg(test)]
mod tests;
mod traces;
mod verdict;
mod worker;

use axum::Router;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::routing::{get, post};
use bytes::Bytes;
use model::ProjectId;
use serde::de::DeserializeOwned;
use tokio::task::spawn_blocking;
use utoipa::OpenApi;

use crate::body::{self, Hold};
use crate::error::ApiError;
use crate::json;
use crate::state::AppState;

pub(crate) use worker::run;

/// Returns the routes for a key that may read. Those that change something ask for more by themselves.
pub(crate) fn routes() -> Router<AppState> {
    Router::new()
        .route("/v1/files", get(files::list_files).post(files::create_file))
        .route(
            "/v1/files/{id}",
            get(files::retrieve_file).delete(files::delete_file),
        )
        .route("/v1/files/{id}/content", get(files::file_content))
        .route(
            "/v1/evals",
            get(definitions::list_evals).post(definitions::create_eval),
        )
        .route("/v1/evals/import", post(import::import_evals))
        .route(
            "/v1/evals/{eval_id}",
            get(definitions::retrieve_eval)
                .post(definitions::update_eval)
                .delete(definitions::delete_eval),
        )
        .route(
            "/v1/evals/{eval_id}/runs",
            get(runs::list_runs).post(runs::create_run),
        )
        // Clients up to 3.3 cancel with a POST to the run itself.
        .route(
            "/v1/evals/{eval_id}/runs/{run_id}",
            get(runs::retrieve_run)
                .post(runs::cancel_run_as_of_old)
                .delete(runs::delete_run),
        )
        .route(
            "/v1/evals/{eval_id}/runs/{run_id}/cancel",
            post(runs::cancel_run),
        )
        .route(
            "/v1/evals/{eval_id}/runs/{run_id}/output_items",
            get(items::list_output_items),
        )
        .route(
            "/v1/evals/{eval_id}/runs/{run_id}/output_items/{item_id}",
            get(items::retrieve_output_item),
        )
        .route(
            "/v1/fine_tuning/alpha/graders/run",
            post(graders::run_grader),
        )
        .route(
            "/v1/fine_tuning/alpha/graders/validate",
            post(graders::validate_grader),
        )
}

#[derive(OpenApi)]
#[openapi(
    paths(
        files::list_files,
        files::create_file,
        files::retrieve_file,
        files::file_content,
        files::delete_file,
        definitions::list_evals,
        definitions::create_eval,
        definitions::retrieve_eval,
        definitions::update_eval,
        definitions::delete_eval,
        import::import_evals,
        runs::list_runs,
        runs::create_run,
        runs::retrieve_run,
        runs::cancel_run,
        runs::cancel_run_as_of_old,
        runs::delete_run,
        items::list_output_items,
        items::retrieve_output_item,
        graders::run_grader,
        graders::validate_grader,
    ),
    tags((name = "evals", description = "OpenAI's Evals API: evals, runs, graders, files"))
)]
struct Evals;

/// Returns the description of these endpoints.
pub(crate) fn openapi() -> utoipa::openapi::OpenApi {
    Evals::openapi()
}

/// Returns the content of a file, with memory held for so many copies of it.
async fn read_file(
    state: &AppState,
    project: &ProjectId,
    id: &str,
    copies: usize,
) -> Result<(Bytes, Hold), ApiError> {
    let upload = state.store.meta().upload(project, id).await?;
    let mut hold = Hold::new(state.store.ledger());
    let bytes = usize::try_from(upload.bytes).unwrap_or(usize::MAX);
    hold.grow_to(bytes.saturating_mul(copies))?;
    Ok((state.store.read_upload(project, id).await?, hold))
}

/// Reads a JSON body as large as any body may be. What is held is the memory that it takes.
async fn read_json<T: DeserializeOwned + Send + 'static>(
    state: &AppState,
    headers: &HeaderMap,
    body: Body,
) -> Result<(T, Hold), ApiError> {
    let received = body::receive(&state.config, state.store.ledger(), headers, body).await?;
    let work = spawn_blocking(move || {
        let (bytes, hold) = received.inflate()?;
        Ok::<_, ApiError>((json::read(&bytes)?, hold))
    });
    work.await.map_err(ApiError::internal)?
}
