//! Deleting traces: one by its id, or those that a filter means.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use model::{Bound, Time, TraceFilter, Zone, parse_bound};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use store::Snapshot;

use crate::auth::Principal;
use crate::error::{ApiError, ErrorBody};
use crate::grading::forget_judgements;
use crate::json::JsonBody;
use crate::scope::Scope;
use crate::state::AppState;

use super::rules;
use super::snapshots::{OneTrace, of_project};

/// So many traces are deleted in one step: each step is one record of the log.
const TRACES_AT_ONCE: usize = 1_000;

/// A trace that was deleted.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeletedTrace {
    id: String,
    /// `trace.deleted`.
    object: &'static str,
    deleted: bool,
    /// It cannot be read any more; by then its bytes are gone from disk too.
    #[schema(value_type = String, format = DateTime)]
    gone_by: Time,
    /// By then they are gone from the archive of bodies too; null where there is none.
    #[schema(value_type = Option<String>, format = DateTime)]
    gone_from_archive_by: Option<Time>,
}

/// Which traces shall be deleted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DeleteRequest {
    /// Those that a list with these fields shows; a `rule` among them asks about a trace's own fields.
    #[schema(value_type = Option<Object>)]
    filter: Option<serde_json::Value>,
    /// Of these, those that started before: RFC 3339, a date, or `-30d`.
    before: Option<String>,
    /// Says that all traces are meant, where neither a filter nor `before` narrows them.
    #[serde(default)]
    all: bool,
    /// Only count them.
    #[serde(default)]
    dry_run: bool,
}

/// What was deleted, or would be.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeletedTraces {
    /// `traces.deleted`.
    object: &'static str,
    /// How many traces.
    traces: u64,
    /// Whether they were only counted.
    dry_run: bool,
    /// They cannot be read any more; by then their bytes are gone from disk too.
    #[schema(value_type = Option<String>, format = DateTime)]
    gone_by: Option<Time>,
    /// By then they are gone from the archive of bodies too; null where there is none.
    #[schema(value_type = Option<String>, format = DateTime)]
    gone_from_archive_by: Option<Time>,
}

/// Deletes a trace.
#[utoipa::path(
    delete,
    path = "/v1/traces/{id}",
    tag = "read",
    params(("id" = String, Path, description = "The trace")),
    responses(
        (status = 200, body = DeletedTrace),
        (status = 403, body = ErrorBody, description = "The key does not have the scope admin"),
        (status = 404, body = ErrorBody, description = "There is no such trace"),
    )
)]
pub(super) async fn delete_trace(trace: OneTrace) -> Result<Json<DeletedTrace>, ApiError> {
    trace.principal.require(Scope::Admin)?;
    trace
        .read(|snapshot, _, id| Ok(snapshot.trace(id)?))
        .await?;
    let project = &trace.principal.project;
    let ids = vec![trace.id.clone()];
    let state = &trace.state;
    let deleted = state.store.delete_traces(project, ids.clone()).await?;
    forget_judgements(state, project, &ids).await?;
    Ok(Json(DeletedTrace {
        id: trace.id.to_string(),
        object: "trace.deleted",
        deleted: true,
        gone_by: deleted.gone_by,
        gone_from_archive_by: gone_from_archive_by(&trace.state),
    }))
}

/// Deletes the traces that a filter means.
#[utoipa::path(
    post,
    path = "/v1/traces/delete",
    tag = "read",
    request_body = DeleteRequest,
    responses(
        (status = 200, body = DeletedTraces),
        (status = 400, body = ErrorBody, description = "The filter cannot be read, or nothing narrows what is deleted"),
        (status = 403, body = ErrorBody, description = "The key does not have the scope admin"),
    )
)]
pub(super) async fn delete_traces(
    State(state): State<AppState>,
    principal: Principal,
    JsonBody(request): JsonBody<DeleteRequest>,
) -> Result<Json<DeletedTraces>, ApiError> {
    principal.require(Scope::Admin)?;
    let filter = meant(&request, state.clock.now())?;
    let engine = &state.engine;
    let (traces, gone_by) = if request.dry_run {
        let count = |snapshot: Arc<Snapshot>| engine.count_traces(snapshot, filter.clone());
        (of_project(&state, &principal.project, count).await?, None)
    } else {
        let find = |snapshot: Arc<Snapshot>| engine.trace_ids(snapshot, filter.clone());
        let ids = of_project(&state, &principal.project, find).await?;
        let mut gone_by = None;
        for some in ids.chunks(TRACES_AT_ONCE) {
            let deleted = state
                .store
                .delete_traces(&principal.project, some.to_vec())
                .await?;
            gone_by = gone_by.max(Some(deleted.gone_by));
            forget_judgements(&state, &principal.project, some).await?;
        }
        (ids.len() as u64, gone_by)
    };
    let object = "traces.deleted";
    Ok(Json(DeletedTraces {
        object,
        traces,
        dry_run: request.dry_run,
        gone_by,
        gone_from_archive_by: gone_by.and_then(|_| gone_from_archive_by(&state)),
    }))
}

/// Returns by when what is deleted now is gone from the archive, if bodies are archived.
fn gone_from_archive_by(state: &AppState) -> Option<Time> {
    let archive = state.archive.as_ref()?;
    Some(archive.gone_by(state.clock.now()))
}

/// Returns which traces a request means. Everything is meant only by whoever says so.
fn meant(request: &DeleteRequest, now: Time) -> Result<TraceFilter, ApiError> {
    let mut filter = rules::filter_of(request.filter.as_ref(), now)?;
    if let Some(before) = &request.before {
        // What is deleted ends before the date begins.
        let before = parse_bound(before, Bound::From, now, &Zone::utc())
            .map_err(|error| ApiError::invalid("before", error.to_string()))?;
        filter.started_until = Some(
            filter
                .started_until
                .map_or(before, |until| until.min(before)),
        );
    }
    match (filter.is_empty(), request.all) {
        (true, false) => {
            let message = "nothing narrows what is deleted: give a filter or `before`, or say that all of them are meant: \"all\": true (--all on the command line)";
            Err(ApiError::invalid("filter", message))
        }
        (false, true) => Err(ApiError::invalid(
            "all",
            "it contradicts the filter or `before`",
        )),
        _ => Ok(filter),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(request: &str, want: Result<&[(&str, &str)], &str>) {
        let now = Time::parse_rfc3339("2026-05-10T12:00:00Z").unwrap();
        let request: DeleteRequest = serde_json::from_str(request).unwrap();
        match (meant(&request, now), want) {
            (Ok(filter), Ok(want)) => {
                let pairs = filter.to_pairs();
                let pairs: Vec<_> = pairs
                    .iter()
                    .map(|(f, v)| (f.as_str(), v.as_str()))
                    .collect();
                assert_eq!(pairs, want);
            }
            (Err(error), Err(param)) => {
                assert!(
                    format!("{error:?}").contains(&format!("Some({param:?})")),
                    "{error:?}"
                );
            }
            (got, _) => panic!("{got:?}"),
        }
    }

    #[test]
    fn everything_is_deleted_only_by_whoever_says_so() {
        check("{}", Err("filter"));
        check(r#"{"filter":{},"dry_run":true}"#, Err("filter"));
        check(r#"{"all":true}"#, Ok(&[]));
        check(r#"{"all":true,"before":"-1d"}"#, Err("all"));
        check(r#"{"filter":{"workflow":"x"}}"#, Err("workflow"));
        check(r#"{"before":"soon"}"#, Err("before"));
        check(r#"{"filter":{"tool":"a"}}"#, Ok(&[("tool", "a")]));
        let rule = "tool_errors > 0";
        check(
            r#"{"filter":{"rule":"tool_errors > 0"}}"#,
            Ok(&[("rule", rule)]),
        );
        check(r#"{"filter":{"rule":"calls.any()"}}"#, Err("rule"));
        check(
            r#"{"before":"2026-05-01"}"#,
            Ok(&[("end_date", "2026-05-01T00:00:00.000000Z")]),
        );
        check(
            r#"{"filter":{"end_date":"2026-04-01T00:00:00Z"},"before":"2026-05-01"}"#,
            Ok(&[("end_date", "2026-04-01T00:00:00.000000Z")]),
        );
    }
}
