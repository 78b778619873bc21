//! OTLP over gRPC, on a socket of its own: the same intake behind another envelope.
//!
//! A call is a request of HTTP/2 whose body is one message with five bytes in front, and whose answer
//! says at its end, in trailers, how it went. `message` takes the five bytes off, so that what follows
//! is a body like any other: with its length announced, its memory reserved before it is read, its limits
//! those of HTTP. Errors are made as everywhere and told in gRPC's words by `status`. tonic's own server
//! would read and inflate a message before it could be refused, and calls one that is too large
//! OUT_OF_RANGE, which exporters send again and again.

mod health;
mod message;
mod status;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::post;
use ingest::otlp::Encoding;
use model::Source;
use tokio::sync::watch;

use crate::auth::{self, Credentials, Door, Principal};
use crate::capture;
use crate::error::ApiError;
use crate::http;
use crate::intake::Wire;
use crate::origin;
use crate::otlp;
use crate::scope::Scope;
use crate::state::AppState;

/// The services of OTLP, each with the one method `Export`.
const TRACES: &str = "opentelemetry.proto.collector.trace.v1.TraceService";
const LOGS: &str = "opentelemetry.proto.collector.logs.v1.LogsService";
const METRICS: &str = "opentelemetry.proto.collector.metrics.v1.MetricsService";

/// Returns what is answered on the socket for gRPC. `http_url` is where HTTP is answered, for those who
/// took the one for the other.
pub(crate) fn router(state: &AppState, http_url: &str, stopped: &watch::Receiver<bool>) -> Router {
    let with_state = || Arc::clone(state);
    let door = Door {
        scope: Scope::Ingest,
        credentials: Credentials::Any,
    };
    let routes = exports()
        .route_layer(from_fn_with_state((with_state(), door), auth::admit))
        .route_layer(from_fn_with_state(with_state(), http::limit))
        .route_layer(from_fn_with_state(
            (with_state(), Source::Otlp),
            capture::account,
        ))
        .merge(health::routes(stopped))
        .fallback(status::unknown_method)
        .method_not_allowed_fallback(status::unknown_method)
        .layer(from_fn_with_state(with_state(), origin::check))
        .layer(from_fn_with_state(with_state(), http::observe))
        .layer(from_fn_with_state(
            status::Front::new(state, http_url),
            status::tell,
        ));
    routes.with_state(with_state())
}

fn exports() -> Router<AppState> {
    let path = |service: &str| format!("/{service}/Export");
    Router::new()
        .route(&path(TRACES), post(export_traces))
        .route(&path(LOGS), post(export_logs))
        .route(&path(METRICS), post(export_metrics))
}

async fn export_traces(
    State(state): State<AppState>,
    principal: Principal,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    export(&state, principal, &headers, body, Wire::Spans).await
}

async fn export_logs(
    State(state): State<AppState>,
    principal: Principal,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    export(&state, principal, &headers, body, Wire::Logs).await
}

async fn export(
    state: &AppState,
    principal: Principal,
    call: &HeaderMap,
    body: Body,
    wire: fn(Encoding) -> Wire,
) -> Result<Response, ApiError> {
    let (headers, body) = message::open(call, body).await?;
    let wire = wire(Encoding::Protobuf);
    let refused = otlp::export(state, principal, &headers, body, wire).await?;
    Ok(message::answer(&refused.to_protobuf()))
}

async fn export_metrics(
    State(state): State<AppState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let (headers, body) = message::open(&headers, body).await?;
    let refused = otlp::pass_over(&state, &headers, body).await?;
    Ok(message::answer(&refused.to_protobuf()))
}
