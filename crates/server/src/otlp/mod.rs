//! The OTLP receiver: spans, log records and metrics as OpenTelemetry's exporters send them.
//!
//! Exporters send all three signals to one address, with the base path that somebody configured in
//! front, and the names that vendors chose. Answers are in the form of the request, and their statuses
//! are chosen by what exporters do with them (see [`answer`]).

pub(crate) mod answer;

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::response::Response;
use axum::routing::post;
use ingest::otlp::Encoding;

use crate::auth::Principal;
use crate::body;
use crate::capture::take_in;
use crate::error::{ApiError, ErrorCode};
use crate::intake::Wire;
use crate::state::AppState;

use answer::{Refused, success};

/// What a base path may look like: `OTEL_EXPORTER_OTLP_ENDPOINT` may have one, and Langfuse's and
/// LangSmith's clients have theirs built in.
const BASES: [&str; 4] = ["", "/{a}", "/{a}/{b}", "/{a}/{b}/{c}"];

/// What stands behind the base path.
const SIGNALS: [&str; 3] = ["/v1/traces", "/v1/logs", "/v1/metrics"];

/// Returns the routes of this page.
pub(crate) fn routes() -> Router<AppState> {
    let [traces, logs, metrics] = SIGNALS;
    BASES.iter().fold(Router::new(), |routes, base| {
        routes
            .route(&format!("{base}{traces}"), post(export_traces))
            .route(&format!("{base}{logs}"), post(export_logs))
            .route(&format!("{base}{metrics}"), post(export_metrics))
    })
}

/// Returns whether a request goes to one of these routes. It is the route that tells, not the path: a call
/// that passes the proxy may end in the same words.
fn is_ours(request: &Request) -> bool {
    let route = request.extensions().get::<MatchedPath>();
    let is_signal = |route: &str, base: &str| {
        let signal = route.strip_prefix(base);
        signal.is_some_and(|signal| SIGNALS.contains(&signal))
    };
    request.method() == Method::POST
        && route.is_some_and(|route| BASES.iter().any(|base| is_signal(route.as_str(), base)))
}

/// Take spans as OpenTelemetry's exporters send them.
#[utoipa::path(
    post,
    path = "/v1/traces",
    tag = "capture",
    request_body(
        description = "An `ExportTraceServiceRequest` of OTLP, in protobuf or JSON by Content-Type; gzip, deflate or zstd by Content-Encoding. Any base path may stand in front, as in `/base/v1/traces`",
        content(
            (Object = "application/json"),
            (Vec<u8> = "application/x-protobuf"),
        )
    ),
    responses(
        (status = 200, description = "Every span was kept or is counted in `partialSuccess`; what is kept is on disk and readable. In the form of the request", body = Object),
        (status = 400, description = "The body is no such request: a `google.rpc.Status`, as all refusals here", body = Object),
        (status = 413, description = "The body is larger than a limit, which is named", body = Object),
        (status = 415, description = "The Content-Type or the Content-Encoding is not known", body = Object),
        (status = 429, description = "Not just now; come back after Retry-After seconds", body = Object),
        (status = 503, description = "The disk is full, the server stops or something went wrong; come back", body = Object),
    )
)]
pub(crate) async fn export_traces(
    State(state): State<AppState>,
    principal: Principal,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    answer(&state, principal, &headers, body, Wire::Spans).await
}

/// Take log records: those with the content of model calls are put with their spans.
#[utoipa::path(
    post,
    path = "/v1/logs",
    tag = "capture",
    request_body(
        description = "An `ExportLogsServiceRequest` of OTLP, as for `/v1/traces`. Records that say nothing of GenAI are accepted and not kept",
        content(
            (Object = "application/json"),
            (Vec<u8> = "application/x-protobuf"),
        )
    ),
    responses(
        (status = 200, description = "Every record was taken or is counted in `partialSuccess`", body = Object),
        (status = 400, description = "The body is no such request", body = Object),
    )
)]
pub(crate) async fn export_logs(
    State(state): State<AppState>,
    principal: Principal,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    answer(&state, principal, &headers, body, Wire::Logs).await
}

/// Takes in what an exporter sends, and answers in the form in which it came.
async fn answer(
    state: &AppState,
    principal: Principal,
    headers: &HeaderMap,
    body: Body,
    wire: fn(Encoding) -> Wire,
) -> Result<Response, ApiError> {
    let encoding = encoding(headers)?;
    let refused = export(state, principal, headers, body, wire(encoding)).await?;
    Ok(success(encoding, &refused))
}

/// Takes in what an exporter sends, over whatever it came.
pub(crate) async fn export(
    state: &AppState,
    principal: Principal,
    headers: &HeaderMap,
    body: Body,
    wire: Wire,
) -> Result<Refused, ApiError> {
    let field = match wire {
        Wire::Logs(_) => "rejectedLogRecords",
        Wire::Spans(_) | Wire::AgentsSdk | Wire::Import | Wire::Langfuse => "rejectedSpans",
    };
    let taken = take_in(state, principal.project, headers, body, wire).await?;
    Ok(Refused::of(&taken, field))
}

/// Reads metrics to their end and keeps none.
pub(crate) async fn pass_over(
    state: &AppState,
    headers: &HeaderMap,
    body: Body,
) -> Result<Refused, ApiError> {
    body::receive(&state.config, state.store.ledger(), headers, body).await?;
    Ok(Refused::note("tracegrade keeps no metrics"))
}

/// Accept metrics and keep none of them: exporters that send them would log an error with each.
#[utoipa::path(
    post,
    path = "/v1/metrics",
    tag = "capture",
    responses((status = 200, description = "Accepted; metrics are not kept, which `partialSuccess` says", body = Object))
)]
pub(crate) async fn export_metrics(
    State(state): State<AppState>,
    _principal: Principal,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let encoding = encoding(&headers)?;
    Ok(success(encoding, &pass_over(&state, &headers, body).await?))
}

/// Returns how a request is written, by its Content-Type.
fn encoding(headers: &HeaderMap) -> Result<Encoding, ApiError> {
    let value = headers.get(header::CONTENT_TYPE);
    let text = value.and_then(|value| value.to_str().ok()).unwrap_or("");
    answer::encoding(text).ok_or_else(|| {
        let message = format!(
            "the Content-Type of an OTLP request is application/x-protobuf or application/json, not {text:?}"
        );
        ApiError::new(ErrorCode::UnsupportedType, message)
    })
}
