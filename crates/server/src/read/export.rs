//! Taking traces out: one line each, in the form in which they can be brought in again.
//!
//! Which traces are meant is decided once, at the beginning. Each is then read from a snapshot of its
//! own, so that an export of hours holds no files; one that is deleted meanwhile is left out.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use model::{ProjectId, TraceId};
use store::{ReadError, Snapshot};

use crate::auth::Principal;
use crate::error::{ApiError, ErrorBody};
use crate::objects::{Detail, export_line};
use crate::state::AppState;

use super::loaded::Loaded;
use super::params::Params;
use super::pieces::{PieceError, respond};

/// Exports traces, newest first.
#[utoipa::path(
    get,
    path = "/v1/export",
    tag = "read",
    params(
        ("format" = Option<String>, Query, description = "jsonl: `{\"trace\":{…},\"spans\":[…]}` a line, items as the Agents SDK sends them"),
        ("workflow_name" = Option<String>, Query, description = "This and every other field of a filter, as for a list of traces"),
    ),
    responses(
        (status = 200, description = "One trace a line", content_type = "application/x-ndjson"),
        (status = 400, body = ErrorBody, description = "A parameter is unknown or cannot be used"),
    )
)]
pub(super) async fn export(
    State(state): State<AppState>,
    principal: Principal,
    mut params: Params,
) -> Result<Response, ApiError> {
    let filter = params.take_filter(state.clock.now())?;
    match params.take("format")?.as_deref() {
        None | Some("jsonl") => {}
        Some(other) => {
            let message = format!(
                "{other:?} is not jsonl; for CSV, Arrow and Parquet ask POST /v1/sql for the table"
            );
            return Err(ApiError::invalid("format", message));
        }
    }
    params.finish()?;
    let project = principal.project;
    let ids = state
        .engine
        .trace_ids(state.store.snapshot(&project), filter)
        .await?;
    let lines = ids.into_iter().map(move |id| line(&state, &project, &id));
    respond("application/x-ndjson", lines).await
}

/// Returns the line of a trace; nothing if it is gone.
fn line(state: &AppState, project: &ProjectId, id: &TraceId) -> Result<Vec<u8>, PieceError> {
    let snapshot: Arc<Snapshot> = state.store.trace_snapshot(project, id);
    let loaded = match read(&snapshot, id) {
        Err(_) if snapshot.is_expired() => read(&state.store.trace_snapshot(project, id), id)?,
        read => read?,
    };
    let Some(loaded) = loaded else {
        return Ok(Vec::new());
    };
    let spans = loaded.rows.iter().map(|row| &*row.span);
    let mut line =
        export_line(&loaded.entry.row.item, spans, &loaded.messages).map_err(|source| {
            PieceError::Payload {
                trace_id: id.clone(),
                source,
            }
        })?;
    line.push(b'\n');
    Ok(line)
}

fn read(snapshot: &Snapshot, id: &TraceId) -> Result<Option<Loaded>, ReadError> {
    Loaded::read(snapshot, id, Some(Detail::Full))
}
