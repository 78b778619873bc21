//! The REST endpoints of grading but those that start runs, watch them, or tell how far they are.
//!
//! Handlers read what is asked, look up what is meant in `meta.db` and gather grades from the lake; what
//! grades come to is reckoned in `grade`. All of it needs a key that may read; what makes or changes
//! something needs `ingest` besides, for it may spend money on judges; what deletes needs `admin`.

mod advice;
mod annotations;
mod calibration;
mod compare;
mod failures;
mod gathered;
mod grade_object;
mod grader_object;
mod graders;
mod grades;
mod in_time;
mod label_queue;
mod labelled;
mod named;
mod of_trace;
mod results;
mod results_object;
mod run_object;
mod runs;
mod sides;
#[cfg(test)]
mod tests;
mod trial;

use axum::Router;
use axum::routing::{delete, get, post};
use utoipa::OpenApi;

use crate::state::AppState;

pub(super) use advice::Advice;
pub(crate) use annotations::AnnotationObject;
pub(super) use gathered::GatheredRuns;
pub(crate) use grade_object::GradeObject;
pub(super) use graders::require_label;
pub(super) use named::{Meant, meant};
pub(crate) use of_trace::{Said, annotations_of, grades_of};
pub(super) use run_object::RunObject;

/// Returns the routes for a key that may read. Those that change something ask for more by themselves.
pub(super) fn routes() -> Router<AppState> {
    graders_routes().merge(runs_routes())
}

fn graders_routes() -> Router<AppState> {
    Router::new()
        .route(
            "/v1/graders",
            get(graders::list_graders).post(graders::save_grader),
        )
        .route("/v1/graders/library", get(graders::list_library))
        .route("/v1/graders/try", post(trial::try_grader))
        .route("/v1/graders/validate", post(graders::validate_grader))
        .route(
            "/v1/graders/{id}",
            get(graders::retrieve_grader)
                .post(graders::update_grader)
                .delete(graders::archive_grader),
        )
        .route("/v1/graders/{id}/versions", get(graders::list_versions))
        .route(
            "/v1/graders/{id}/calibration",
            get(calibration::calibration),
        )
        .route(
            "/v1/graders/{id}/label_queue",
            get(label_queue::label_queue),
        )
        .route(
            "/v1/annotations",
            get(annotations::list_annotations).post(annotations::annotate),
        )
        .route(
            "/v1/annotations/{id}",
            delete(annotations::delete_annotation),
        )
}

fn runs_routes() -> Router<AppState> {
    Router::new()
        .route("/v1/evals/traces/grade", get(runs::list_runs))
        .route(
            "/v1/evals/traces/grade/{run_id}",
            get(runs::retrieve_run).delete(runs::delete_run),
        )
        .route(
            "/v1/evals/traces/grade/{run_id}/pause",
            post(runs::pause_run),
        )
        .route(
            "/v1/evals/traces/grade/{run_id}/resume",
            post(runs::resume_run),
        )
        .route(
            "/v1/evals/traces/grade/{run_id}/cancel",
            post(runs::cancel_run),
        )
        .route(
            "/v1/evals/traces/grade/{run_id}/retry",
            post(runs::retry_run),
        )
        .route("/v1/evals/traces/grade/{run_id}/cap", post(runs::cap_run))
        .route(
            "/v1/evals/traces/grade/{run_id}/results",
            get(results::results),
        )
        .route(
            "/v1/evals/traces/grade/{run_id}/grades",
            get(grades::list_grades),
        )
        .route("/v1/evals/traces/compare", post(compare::compare_runs))
        .route("/v1/evals/traces/gate", post(compare::gate_run))
        .route(
            "/v1/evals/traces/analyze_failures",
            post(failures::analyze_failures),
        )
}

#[derive(OpenApi)]
#[openapi(paths(
    graders::save_grader,
    graders::list_graders,
    graders::retrieve_grader,
    graders::update_grader,
    graders::list_versions,
    graders::archive_grader,
    graders::validate_grader,
    graders::list_library,
    trial::try_grader,
    calibration::calibration,
    label_queue::label_queue,
    annotations::annotate,
    annotations::list_annotations,
    annotations::delete_annotation,
    runs::list_runs,
    runs::retrieve_run,
    runs::pause_run,
    runs::resume_run,
    runs::cancel_run,
    runs::retry_run,
    runs::cap_run,
    runs::delete_run,
    results::results,
    grades::list_grades,
    compare::compare_runs,
    compare::gate_run,
    failures::analyze_failures,
))]
struct Api;

/// Returns the description of these endpoints.
pub(super) fn openapi() -> utoipa::openapi::OpenApi {
    Api::openapi()
}
