//! Somebody's own SQL. A client that leaves ends its query: the stream is dropped with the answer.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use query::{Format, Limits, SqlError};
use serde::Deserialize;
use store::Snapshot;
use utoipa::ToSchema;

use crate::auth::Principal;
use crate::error::{ApiError, ErrorBody, chain};
use crate::json::JsonBody;
use crate::state::AppState;

use super::snapshots::of_project;

/// A query.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SqlRequest {
    /// One statement that reads: `SELECT`, `EXPLAIN`, `SHOW TABLES` or `DESCRIBE`.
    #[serde(alias = "sql")]
    query: String,
    /// `json`, `csv`, `arrow` or `parquet`; without it the header `Accept` decides, else JSON.
    format: Option<String>,
}

/// Answers a query over the tables `traces`, `spans`, `messages` and `grades` of the project.
#[utoipa::path(
    post,
    path = "/v1/sql",
    tag = "read",
    request_body = SqlRequest,
    responses(
        (status = 200, description = "As JSON: `{\"columns\":[{\"name\",\"type\"}],\"data\":[{…}],\"row_count\",\"truncated\"}`; or CSV, an Arrow IPC stream, a Parquet file"),
        (status = 400, body = ErrorBody, description = "The query cannot be run as it is written"),
        (status = 429, body = ErrorBody, description = "Too many queries are running"),
    )
)]
pub(super) async fn run_sql(
    State(state): State<AppState>,
    principal: Principal,
    headers: HeaderMap,
    JsonBody(request): JsonBody<SqlRequest>,
) -> Result<Response, ApiError> {
    let format = format(request.format.as_deref(), &headers)?;
    let run = |snapshot: Arc<Snapshot>| {
        let query = &request.query;
        state.engine.sql(snapshot, query, Limits::default())
    };
    let rows = of_project(&state, &principal.project, run).await?;
    let bytes = rows.encode(format)?;
    Ok(stream(bytes, format))
}

/// Returns encoded rows as an answer.
pub(super) fn stream(
    bytes: impl Stream<Item = Result<Bytes, SqlError>> + Send + 'static,
    format: Format,
) -> Response {
    let logged = bytes.inspect(|bytes| {
        if let Err(error) = bytes {
            tracing::warn!(cause = %chain(error), "the answer to a query was broken off");
        }
    });
    let media_type = HeaderValue::from_static(format.media_type());
    (
        [(header::CONTENT_TYPE, media_type)],
        Body::from_stream(logged),
    )
        .into_response()
}

fn format(word: Option<&str>, headers: &HeaderMap) -> Result<Format, ApiError> {
    match word {
        Some("json") => Ok(Format::Json),
        Some("csv") => Ok(Format::Csv),
        Some("arrow") => Ok(Format::Arrow),
        Some("parquet") => Ok(Format::Parquet),
        Some(other) => {
            let message = format!("{other:?} is not json, csv, arrow or parquet");
            Err(ApiError::invalid("format", message))
        }
        None => Ok(accepted(headers).unwrap_or(Format::Json)),
    }
}

/// Returns the first of our formats that the client accepts by name.
fn accepted(headers: &HeaderMap) -> Option<Format> {
    let accept = headers.get(header::ACCEPT)?.to_str().ok()?;
    accept
        .split(',')
        .find_map(|kind| match kind.split(';').next()?.trim() {
            "application/json" => Some(Format::Json),
            "text/csv" => Some(Format::Csv),
            "application/vnd.apache.arrow.stream" => Some(Format::Arrow),
            "application/vnd.apache.parquet" => Some(Format::Parquet),
            _ => None,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(word: Option<&str>, accept: &str, want: Option<Format>) {
        let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);
        assert_eq!(format(word, &headers).ok(), want, "{word:?} {accept}");
    }

    #[test]
    fn the_format_is_named_or_accepted() {
        check(None, "*/*", Some(Format::Json));
        check(None, "text/csv;q=0.9, application/json", Some(Format::Csv));
        check(
            None,
            "application/vnd.apache.arrow.stream",
            Some(Format::Arrow),
        );
        check(Some("parquet"), "text/csv", Some(Format::Parquet));
        check(Some("xml"), "text/csv", None);
    }

    #[test]
    fn a_query_has_two_names() {
        for body in [r#"{"query":"select 1"}"#, r#"{"sql":"select 1"}"#] {
            assert_eq!(
                serde_json::from_str::<SqlRequest>(body).unwrap().query,
                "select 1"
            );
        }
        assert!(serde_json::from_str::<SqlRequest>(r#"{"query":"","x":1}"#).is_err());
    }
}
