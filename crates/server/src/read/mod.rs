//! The endpoints that tell what is kept, and those that delete it.
//!
//! Handlers read parameters, take a snapshot, and hand rows to [`crate::objects`]. What is decided,
//! which traces are meant and in which order, is decided in `query` and `store`. Disks are read on the
//! blocking pool; answers of any size leave in pieces.

mod calls;
mod conversation;
mod cursors;
mod deletion;
mod errors;
mod export;
mod find;
mod groups;
mod loaded;
mod params;
mod pieces;
mod previews;
mod rules;
mod skeleton;
mod snapshots;
mod spans;
mod sql;
mod traces;
mod view;

use axum::Router;
use axum::routing::{get, post};
use utoipa::OpenApi;

use crate::state::AppState;

pub(crate) use calls::{CallsAsked, RecordedCall, recorded_calls};
pub(crate) use loaded::LoadError;
pub(crate) use params::{Direction, Params};
pub(crate) use pieces::blocking;
pub(crate) use rules::filter_of;
pub(crate) use snapshots::of_project;
pub(crate) use spans::span_ids;
pub(crate) use view::{Viewed, for_each_view, view_of};

/// Returns the routes for a key that may read. Deleting asks for more by itself.
pub(crate) fn routes() -> Router<AppState> {
    Router::new()
        .route("/v1/traces", get(traces::list_traces))
        .route("/v1/traces/delete", post(deletion::delete_traces))
        .route(
            "/v1/traces/{id}",
            get(traces::retrieve_trace).delete(deletion::delete_trace),
        )
        .route("/v1/traces/{id}/spans", get(spans::list_spans))
        .route("/v1/traces/{id}/spans/{span_id}", get(spans::retrieve_span))
        .route(
            "/v1/traces/{id}/conversation",
            get(conversation::conversation),
        )
        .route("/v1/traces/{id}/skeleton", get(skeleton::skeleton))
        .route("/v1/traces/{id}/previews", post(previews::previews))
        .route("/v1/traces/{id}/search", get(find::search_trace))
        .route("/v1/groups", get(groups::list_groups))
        .route("/v1/workflows", get(groups::list_workflows))
        .route("/v1/sql", post(sql::run_sql))
        .route("/v1/export", get(export::export))
}

#[derive(OpenApi)]
#[openapi(
    paths(
        traces::list_traces,
        traces::retrieve_trace,
        deletion::delete_trace,
        deletion::delete_traces,
        spans::list_spans,
        spans::retrieve_span,
        conversation::conversation,
        skeleton::skeleton,
        previews::previews,
        find::search_trace,
        groups::list_groups,
        groups::list_workflows,
        sql::run_sql,
        export::export,
    ),
    components(schemas(crate::objects::TraceObject, crate::objects::SpanObject,))
)]
struct Reads;

/// Returns the description of these endpoints.
pub(crate) fn openapi() -> utoipa::openapi::OpenApi {
    Reads::openapi()
}
