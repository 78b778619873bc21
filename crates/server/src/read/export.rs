//! Taking traces out: whole, one line each, in the form in which they can be brought in again; or as
//! one of the tables, for other programs.
//!
//! Which traces are meant is decided once, at the beginning. They are then read a few at a time, each
//! time from a fresh snapshot, so that an export of hours holds no files; what is deleted meanwhile is
//! left out.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use futures::{StreamExt, stream};
use model::{ProjectId, TraceId};
use query::{Format, SqlError, SqlStream, encode_parts};
use store::{ReadError, Snapshot, Table};

use crate::auth::Principal;
use crate::error::{ApiError, ErrorBody};
use crate::objects::{Detail, export_line, is_telemetry};
use crate::state::AppState;

use super::loaded::Loaded;
use super::params::Params;
use super::pieces::{PieceError, respond};
use super::snapshots::of_project;
use super::sql;

/// So many traces of a table are read from one snapshot: enough to share the work of planning, few
/// enough to be done before the snapshot's files may go.
const TRACES_AT_ONCE: usize = 1_000;

/// What is taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Whole traces, a line each.
    Lines,
    /// The rows of a table.
    Table(Table, Format),
}

impl Shape {
    fn read(params: &mut Params) -> Result<Self, ApiError> {
        let (format, table) = (params.take("format")?, params.take("table")?);
        let format = match format.as_deref() {
            None | Some("jsonl") => None,
            Some("csv") => Some(Format::Csv),
            Some("parquet") => Some(Format::Parquet),
            Some(other) => {
                let message = format!("{other:?} is not jsonl, csv or parquet");
                return Err(ApiError::invalid("format", message));
            }
        };
        match (format, table.as_deref()) {
            (None, None) => Ok(Self::Lines),
            (None, Some(_)) => {
                let message =
                    "jsonl has whole traces: ask for a table with format=csv or format=parquet";
                Err(ApiError::invalid("table", message))
            }
            (Some(format), word) => match word.unwrap_or("traces").parse() {
                Ok(table) => Ok(Self::Table(table, format)),
                Err(_) => {
                    let message = format!(
                        "{:?} is not traces, spans or messages",
                        word.unwrap_or_default()
                    );
                    Err(ApiError::invalid("table", message))
                }
            },
        }
    }
}

/// Exports traces, newest first.
#[utoipa::path(
    get,
    path = "/v1/export",
    tag = "read",
    params(
        ("format" = Option<String>, Query, description = "jsonl (without it): `{\"trace\":{…},\"spans\":[…]}` a line, items as the Agents SDK sends them, which can be imported again; csv or parquet: one table"),
        ("table" = Option<String>, Query, description = "Of csv and parquet: traces (without it), spans or messages of the traces that are meant"),
        ("workflow_name" = Option<String>, Query, description = "This and every other field of a filter, as for a list of traces"),
    ),
    responses(
        (status = 200, description = "One trace a line; or a table as CSV or Parquet, in the columns of SQL", content_type = "application/x-ndjson"),
        (status = 400, body = ErrorBody, description = "A parameter is unknown or cannot be used"),
    )
)]
pub(super) async fn export(
    State(state): State<AppState>,
    principal: Principal,
    mut params: Params,
) -> Result<Response, ApiError> {
    let filter = params.take_filter(state.clock.now())?;
    let shape = Shape::read(&mut params)?;
    params.finish()?;
    let project = principal.project;
    let find = |snapshot: Arc<Snapshot>| state.engine.trace_ids(snapshot, filter.clone());
    let ids = of_project(&state, &project, find).await?;
    match shape {
        Shape::Lines => {
            let lines = ids.into_iter().map(move |id| line(&state, &project, &id));
            respond("application/x-ndjson", lines).await
        }
        Shape::Table(table, format) => {
            let parts: Vec<Vec<TraceId>> = ids.chunks(TRACES_AT_ONCE).map(<[_]>::to_vec).collect();
            let parts = stream::iter(parts).then(move |ids| {
                let (state, project) = (Arc::clone(&state), project.clone());
                async move { part(&state, &project, table, ids).await }
            });
            Ok(sql::stream(encode_parts(table, format, parts)?, format))
        }
    }
}

/// Starts to read the rows that a table has of these traces.
async fn part(
    state: &AppState,
    project: &ProjectId,
    table: Table,
    ids: Vec<TraceId>,
) -> Result<SqlStream, SqlError> {
    let read = |snapshot: Arc<Snapshot>| state.engine.rows_of(snapshot, table, ids.clone());
    of_project(state, project, read).await
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
    if spans.clone().any(is_telemetry) {
        return Err(PieceError::OpenTelemetry {
            trace_id: id.clone(),
        });
    }
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
    let entry = snapshot.trace(id)?;
    let load = |entry| Loaded::of_entry(snapshot, entry, Some(Detail::Full));
    entry.map(load).transpose()
}
