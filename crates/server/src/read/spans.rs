//! The spans of one trace: a list in pages, and one span whole.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::Path;
use axum::response::Response;
use model::{SpanId, TraceId};
use store::{Ledger, Snapshot};

use crate::error::{ApiError, ErrorBody};
use crate::grading::{GradeObject, Said, grades_of};
use crate::objects::Detail;

use super::loaded::{LoadError, Loaded, json};
use super::params::{Direction, Params};
use super::pieces::{Piece, respond};
use super::snapshots::OneTrace;
use super::traces::unknown_cursor;

/// Lists the spans of a trace by start.
#[utoipa::path(
    get,
    path = "/v1/traces/{id}/spans",
    tag = "read",
    params(
        ("id" = String, Path, description = "The trace"),
        ("limit" = Option<u32>, Query, description = "1 to 1000; 20 without it"),
        ("after" = Option<String>, Query, description = "The id of the last span of the page before"),
        ("order" = Option<String>, Query, description = "asc (by start) or desc"),
        ("payload" = Option<String>, Query, description = "none, preview or full; without it full, but preview where the trace's payload has more than 5 MB"),
        ("include" = Option<String>, Query, description = "merged; grades: on each span also `grades`, the latest of each grader, and `annotations`"),
    ),
    responses(
        (status = 200, description = "`{\"object\":\"list\",\"data\":[Span…],\"first_id\",\"last_id\",\"has_more\"}`", body = crate::objects::SpanObject),
        (status = 404, body = ErrorBody, description = "There is no such trace"),
    )
)]
pub(super) async fn list_spans(trace: OneTrace, mut params: Params) -> Result<Response, ApiError> {
    let limit = params.take_limit()?;
    let direction = params.take_order(Direction::Ascending)?;
    let after = params.take("after")?;
    let payload = params.take_payload()?;
    let include = params.take_include(&["merged", "grades"])?;
    params.finish()?;
    let read = move |snapshot: &Snapshot, ledger: &Arc<Ledger>, id: &TraceId| {
        let Some(loaded) = Loaded::read(snapshot, ledger, id, payload)? else {
            return Ok(None);
        };
        Ok(Some((loaded, included(snapshot, id, include.grades)?)))
    };
    let (mut loaded, grades) = trace.read(read).await?;
    if let Some(grades) = grades {
        loaded.said = Some(Said::of(grades, trace.annotations().await?));
    }
    let mut told = loaded.told(include.merged);
    if direction == Direction::Descending {
        told.reverse();
    }
    let from = match &after {
        None => 0,
        Some(after) => {
            let is_it = |at: &usize| loaded.rows[*at].span.span_id.as_str() == after;
            told.iter().position(is_it).ok_or_else(unknown_cursor)? + 1
        }
    };
    let has_more = told.len() - from > limit;
    told.truncate(from.saturating_add(limit));
    respond(
        "application/json",
        pieces(loaded, told.split_off(from), has_more),
    )
    .await
}

/// Returns the ids of a trace's spans, or none at all unless `wanted`; `None`: there is no such trace.
pub(crate) fn span_ids(
    snapshot: &Snapshot,
    ledger: &Arc<Ledger>,
    id: &TraceId,
    wanted: bool,
) -> Result<Option<HashSet<SpanId>>, LoadError> {
    if !wanted {
        return Ok(snapshot.trace(id)?.map(|_| HashSet::new()));
    }
    let loaded = Loaded::read_columns(snapshot, ledger, id, &["span_id"])?;
    let ids = |loaded: Loaded| {
        let rows = loaded.rows.iter();
        rows.map(|row| row.span.span_id.clone()).collect()
    };
    Ok(loaded.map(ids))
}

/// Returns the pieces of a list of these rows.
fn pieces(
    loaded: Loaded,
    rows: Vec<usize>,
    has_more: bool,
) -> impl Iterator<Item = Piece> + Send + 'static {
    let id = |at: Option<&usize>| at.map(|at| loaded.rows[*at].span.span_id.as_str());
    let mut tail = b"],\"first_id\":".to_vec();
    tail.append(&mut json(&id(rows.first())));
    tail.extend_from_slice(b",\"last_id\":");
    tail.append(&mut json(&id(rows.last())));
    tail.extend_from_slice(format!(",\"has_more\":{has_more}}}").as_bytes());
    let head = std::iter::once(Ok(br#"{"object":"list","data":["#.to_vec()));
    head.chain(loaded.into_pieces(rows))
        .chain(std::iter::once(Ok(tail)))
}

/// Returns a span whole.
#[utoipa::path(
    get,
    path = "/v1/traces/{id}/spans/{span_id}",
    tag = "read",
    params(
        ("id" = String, Path, description = "The trace"),
        ("span_id" = String, Path, description = "The span"),
        ("payload" = Option<String>, Query, description = "none, preview or full; without it full"),
        ("include" = Option<String>, Query, description = "grades: also `grades`, the latest of each grader, and `annotations`"),
    ),
    responses(
        (status = 200, body = crate::objects::SpanObject),
        (status = 404, body = ErrorBody, description = "There is no such trace or span"),
    )
)]
pub(super) async fn retrieve_span(
    trace: OneTrace,
    Path(names): Path<(String, String)>,
    mut params: Params,
) -> Result<Response, ApiError> {
    let payload = params.take_payload()?.unwrap_or(Detail::Full);
    let include = params.take_include(&["grades"])?;
    params.finish()?;
    let (_, span_id) = names;
    let no_span = || ApiError::not_found("span", &span_id);
    let wanted = SpanId::new(&span_id).map_err(|_| no_span())?;
    let read = move |snapshot: &Snapshot, ledger: &Arc<Ledger>, id: &TraceId| {
        let Some(loaded) = Loaded::read(snapshot, ledger, id, Some(payload))? else {
            return Ok(None);
        };
        let mut rows = loaded.rows.iter();
        let at = rows.position(|row| row.span.span_id == wanted);
        Ok(Some((at, loaded, included(snapshot, id, include.grades)?)))
    };
    let (at, mut loaded, grades) = trace.read(read).await?;
    let at = at.ok_or_else(no_span)?;
    if let Some(grades) = grades {
        loaded.said = Some(Said::of(grades, trace.annotations().await?));
    }
    respond("application/json", loaded.into_pieces(vec![at])).await
}

/// Returns what graders said of a trace, if that is to be told.
fn included(
    snapshot: &Snapshot,
    id: &TraceId,
    wanted: bool,
) -> Result<Option<Vec<GradeObject>>, LoadError> {
    let grades = wanted.then(|| grades_of(snapshot, id));
    Ok(grades.transpose()?)
}
