//! Taking traces out: whole, in forms that other tools read and in which they can be brought in again;
//! or as one of the tables, for other programs.
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
use store::{Columns, ReadError, Snapshot, Table};

use crate::auth::Principal;
use crate::error::{ApiError, ErrorBody};
use crate::objects::{Exported, Fault, TraceFormat};
use crate::state::AppState;

use super::params::Params;
use super::pieces::{Piece, PieceError, respond};
use super::snapshots::of_project;
use super::sql;

/// So many traces of a table are read from one snapshot: enough to share the work of planning, few
/// enough to be done before the snapshot's files may go.
const TRACES_AT_ONCE: usize = 1_000;

/// What `format` may be.
const FORMATS: &str = "agents-jsonl, otlp-json, otlp-proto, openinference, csv, parquet";

/// What is taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Whole traces.
    Traces(TraceFormat),
    /// The rows of a table.
    Table(Table, Format),
}

impl Shape {
    fn read(params: &mut Params) -> Result<Self, ApiError> {
        let (format, table) = (params.take("format")?, params.take("table")?);
        let format = match format.as_deref() {
            None | Some("agents-jsonl" | "jsonl") => Err(TraceFormat::AgentsLines),
            Some("otlp-json") => Err(TraceFormat::OTLP_JSON),
            Some("otlp-proto") => Err(TraceFormat::OTLP_PROTO),
            Some("openinference") => Err(TraceFormat::OPENINFERENCE),
            Some("csv") => Ok(Format::Csv),
            Some("parquet") => Ok(Format::Parquet),
            Some(other) => {
                let message = format!("{other:?} is not one of: {FORMATS}");
                return Err(ApiError::invalid("format", message));
            }
        };
        match (format, table.as_deref()) {
            (Err(format), None) => Ok(Self::Traces(format)),
            (Err(_), Some(_)) => {
                let message = "this format has whole traces: ask for a table with format=csv or format=parquet";
                Err(ApiError::invalid("table", message))
            }
            (Ok(format), word) => match word.unwrap_or("traces").parse() {
                Ok(table) => Ok(Self::Table(table, format)),
                Err(_) => {
                    let message = format!(
                        "{:?} is not traces, spans, messages or grades",
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
        ("format" = Option<String>, Query, description = "agents-jsonl (without it; jsonl is the same): `{\"trace\":{…},\"spans\":[…]}` a line, items as the Agents SDK sends them; otlp-json: a request of OpenTelemetry a line; otlp-proto: such requests in protobuf, each behind its length in four bytes, the high one first; openinference: as otlp-json, in the words of OpenInference; csv or parquet: one table. All but the tables can be imported again"),
        ("table" = Option<String>, Query, description = "Of csv and parquet: traces (without it), spans, messages or grades of the traces that are meant"),
        ("workflow_name" = Option<String>, Query, description = "This and every other field of a filter, as for a list of traces"),
        ("rule" = Option<String>, Query, description = "A rule about a trace's own fields that holds for them"),
    ),
    responses(
        (status = 200, description = "Whole traces; or a table as CSV or Parquet, in the columns of SQL", content_type = "application/x-ndjson"),
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
        Shape::Traces(format) => {
            let of_trace = move |id| pieces(&state, &project, &id, format);
            respond(format.media_type(), ids.into_iter().flat_map(of_trace)).await
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

/// Returns the pieces of a trace; none if it is gone.
fn pieces(
    state: &AppState,
    project: &ProjectId,
    id: &TraceId,
    format: TraceFormat,
) -> Box<dyn Iterator<Item = Piece> + Send> {
    let failed = |error: PieceError| -> Box<dyn Iterator<Item = Piece> + Send> {
        Box::new(std::iter::once(Err(error)))
    };
    let trace_id = id.clone();
    let damaged = move |source| PieceError::Payload {
        trace_id: trace_id.clone(),
        source,
    };
    let snapshot: Arc<Snapshot> = state.store.trace_snapshot(project, id);
    let read = match read(&snapshot, id) {
        Err(_) if snapshot.is_expired() => read(&state.store.trace_snapshot(project, id), id),
        read => read,
    };
    match read {
        Err(error) => failed(error.into()),
        Ok(None) => Box::new(std::iter::empty()),
        Ok(Some(Err(fault))) => failed(damaged(fault)),
        Ok(Some(Ok(exported))) => {
            let pieces = exported.into_pieces(format);
            Box::new(pieces.map(move |piece| piece.map_err(&damaged)))
        }
    }
}

/// Reads a trace as it is stored: nothing of one span is filled in from another, for who takes it in
/// does that anew.
fn read(snapshot: &Snapshot, id: &TraceId) -> Result<Option<Result<Exported, Fault>>, ReadError> {
    let Some(entry) = snapshot.trace(id)? else {
        return Ok(None);
    };
    let messages = snapshot.messages(id)?;
    let rows = snapshot.spans(&entry, &Columns::all(Table::Spans))?;
    Ok(Some(Exported::new(entry.row.item.clone(), rows, messages)))
}
