//! A few words for each row that is on the screen: what a model decided, what a tool returned.

use std::sync::Arc;

use axum::Json;
use model::{Span, SpanType, TraceId};
use serde::{Deserialize, Serialize};
use store::{Ledger, Snapshot};
use utoipa::ToSchema;

use crate::error::{ApiError, ErrorBody};
use crate::json::JsonBody;

use super::loaded::Loaded;
use super::snapshots::OneTrace;

/// The most rows of one request.
const ROWS_MAX: usize = 1_000;

/// The most characters of a gist.
const GIST_CHARS_MAX: usize = 80;

const COLUMNS: &[&str] = &[
    "project_id",
    "trace_id",
    "span_id",
    "parent_id",
    "type",
    "source_type",
    "name",
    "started_at",
    "status",
    "error_type",
    "error_message",
    "triggered",
    "input_preview",
    "output_preview",
    "trace_started_at",
    "received_at",
    "seq",
];

/// Which rows are looked at.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PreviewsRequest {
    /// Rows of the skeleton.
    rows: Vec<usize>,
}

/// The words of some rows.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SpanGists {
    /// `list`.
    object: &'static str,
    /// The revision that the rows are of: if it is not the skeleton's, rows may have moved.
    rev: i64,
    data: Vec<SpanGist>,
}

/// The words of one row.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SpanGist {
    row: usize,
    /// The span.
    id: String,
    /// At most 80 characters; null if the span has no words.
    gist: Option<String>,
}

/// Returns a few words for rows of the skeleton.
#[utoipa::path(
    post,
    path = "/v1/traces/{id}/previews",
    tag = "read",
    params(("id" = String, Path, description = "The trace")),
    request_body = PreviewsRequest,
    responses(
        (status = 200, body = SpanGists),
        (status = 400, body = ErrorBody, description = "A row is not in the trace, or there are too many"),
        (status = 404, body = ErrorBody, description = "There is no such trace"),
    )
)]
pub(super) async fn previews(
    trace: OneTrace,
    JsonBody(request): JsonBody<PreviewsRequest>,
) -> Result<Json<SpanGists>, ApiError> {
    if request.rows.len() > ROWS_MAX {
        return Err(ApiError::invalid(
            "rows",
            format!("it has more than {ROWS_MAX} rows"),
        ));
    }
    let read = |snapshot: &Snapshot, ledger: &Arc<Ledger>, id: &TraceId| {
        Loaded::read_columns(snapshot, ledger, id, COLUMNS)
    };
    let loaded = trace.read(read).await?;
    let gist = |row: usize| {
        let span = &loaded.rows.get(row).ok_or_else(|| {
            ApiError::invalid(
                "rows",
                format!(
                    "the trace has no row {row}: it has {} rows",
                    loaded.rows.len()
                ),
            )
        })?;
        Ok(SpanGist {
            row,
            id: span.span.span_id.to_string(),
            gist: gist(&span.span),
        })
    };
    let data = request
        .rows
        .into_iter()
        .map(gist)
        .collect::<Result<_, ApiError>>()?;
    Ok(Json(SpanGists {
        object: "list",
        rev: loaded.entry.row.seq,
        data,
    }))
}

/// Returns what a span comes down to.
fn gist(span: &Span) -> Option<String> {
    let text = |text: &Option<String>| text.clone();
    let words = match (&span.error, span.span_type) {
        (Some(error), _) if error.message.is_empty() => Some(error.kind.clone()),
        (Some(error), _) => Some(error.message.clone()),
        (None, SpanType::Handoff) => Some(span.name.clone()),
        (None, SpanType::Guardrail) => span
            .triggered
            .map(|tripped| if tripped { "tripped" } else { "passed" }.to_owned()),
        (None, _) => text(&span.output_preview).or_else(|| text(&span.input_preview)),
    };
    words
        .map(|words| shortened(&words))
        .filter(|words| !words.is_empty())
}

/// Returns a text in one line of at most as many characters as a gist has.
fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(GIST_CHARS_MAX) {
        None => line,
        Some(_) => line.chars().take(GIST_CHARS_MAX - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::samples;

    #[test]
    fn a_gist_is_one_short_line() {
        assert_eq!(shortened(" a\n b\t"), "a b");
        assert_eq!(shortened(&"é".repeat(80)), "é".repeat(80));
        let cut = shortened(&"é".repeat(81));
        assert_eq!((cut.chars().count(), cut.ends_with('…')), (80, true));
    }

    #[test]
    fn a_gist_says_what_came_out_or_what_went_wrong() {
        let check = |span_type: SpanType, change: &dyn Fn(&mut Span), want: Option<&str>| {
            let mut span = samples::span("s", span_type);
            span.name = "A → B".into();
            change(&mut span);
            assert_eq!(gist(&span).as_deref(), want);
        };
        let previews = |span: &mut Span| {
            (span.input_preview, span.output_preview) = (Some("in".into()), Some("out".into()));
        };
        check(SpanType::Function, &previews, Some("out"));
        check(
            SpanType::Generation,
            &|span| span.input_preview = Some("in".into()),
            Some("in"),
        );
        check(SpanType::Handoff, &previews, Some("A → B"));
        check(
            SpanType::Guardrail,
            &|span| span.triggered = Some(true),
            Some("tripped"),
        );
        check(SpanType::Custom, &|_| (), None);
        let failed = |span: &mut Span| {
            previews(span);
            span.error = Some(model::SpanError {
                kind: "tool_error".into(),
                message: "boom".into(),
                data: None,
            });
        };
        check(SpanType::Function, &failed, Some("boom"));
    }
}
