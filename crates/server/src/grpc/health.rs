//! The health service of gRPC, by which load balancers ask whether to send anything here.
//!
//! It answers without a key, as `/v1/health` does, and says no more than that: well, or not.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use axum::routing::post;
use futures::{StreamExt, stream};
use http_body_util::StreamBody;
use hyper::body::Frame;
use ingest::protobuf::Message;
use tokio::sync::watch;
use tonic::Status;

use crate::error::{ApiError, ErrorCode};
use crate::protobuf::bytes_field;
use crate::state::{AppState, Shared};

use super::{LOGS, METRICS, TRACES, message};

/// The longest question: a name.
const QUESTION_BYTES_MAX: usize = 4 << 10;

/// How often somebody who watches is looked after.
const LOOKED_AT_EVERY: Duration = Duration::from_secs(1);

/// How a service is, by its number in the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Serving {
    Yes = 1,
    No = 2,
    Unknown = 3,
}

/// Tells when the server is told to stop.
#[derive(Debug, Clone)]
struct Stopped(watch::Receiver<bool>);

/// Returns the routes of this page.
pub(super) fn routes(stopped: &watch::Receiver<bool>) -> Router<AppState> {
    Router::new()
        .route("/grpc.health.v1.Health/Check", post(check))
        .route("/grpc.health.v1.Health/Watch", post(watch))
        .layer(Extension(Stopped(stopped.clone())))
}

/// Says how a service is.
async fn check(
    State(state): State<AppState>,
    Extension(Stopped(stopped)): Extension<Stopped>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let service = question(&state, &headers, body).await?;
    match judge(&state, &service, *stopped.borrow()) {
        Serving::Unknown => Err(ApiError::not_found("service", &service)),
        serving => Ok(message::answer(&told(serving))),
    }
}

/// Says how a service is, and again whenever that changes.
async fn watch(
    State(state): State<AppState>,
    Extension(Stopped(stopped)): Extension<Stopped>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let service = question(&state, &headers, body).await?;
    let begin = (stopped, None);
    let changes = stream::unfold(begin, move |(mut stopped, last)| {
        let (state, service) = (AppState::clone(&state), service.clone());
        async move {
            loop {
                let is_stopping = *stopped.borrow();
                let now = judge(&state, &service, is_stopping);
                if last != Some(now) {
                    return Some((now, (stopped, Some(now))));
                }
                if is_stopping {
                    return None;
                }
                tokio::select! {
                    () = tokio::time::sleep(LOOKED_AT_EVERY) => {}
                    // The sender is gone only when the server is.
                    gone = stopped.changed() => gone.ok()?,
                }
            }
        }
    });
    let frames = changes.map(|serving| Frame::data(message::frame(&told(serving))));
    let end = Frame::trailers(message::trailers(&Status::unavailable("the server stops")));
    let frames = frames
        .chain(stream::iter([end]))
        .map(Ok::<Frame<Bytes>, Infallible>);
    Ok(message::whole(Body::new(StreamBody::new(frames))))
}

fn judge(shared: &Shared, service: &str, is_stopping: bool) -> Serving {
    match service {
        "" | TRACES | LOGS | METRICS if is_stopping || shared.store.stopped().is_some() => {
            Serving::No
        }
        "" | TRACES | LOGS | METRICS => Serving::Yes,
        _ => Serving::Unknown,
    }
}

/// Returns the name of the service that is asked after; empty is the whole server.
async fn question(shared: &Shared, headers: &HeaderMap, body: Body) -> Result<String, ApiError> {
    let time_max = shared.config.request_timeout;
    match tokio::time::timeout(time_max, read(headers, body)).await {
        Ok(service) => service,
        Err(_) => {
            let message = format!("the question took longer than {} s", time_max.as_secs_f64());
            Err(ApiError::new(ErrorCode::TimedOut, message))
        }
    }
}

async fn read(headers: &HeaderMap, body: Body) -> Result<String, ApiError> {
    let refused = |why| ApiError::new(ErrorCode::InvalidBody, format!("{why} is asked after"));
    let (headers, body) = message::open(headers, body).await?;
    if headers.contains_key(header::CONTENT_ENCODING) {
        let message = "a question after health is read uncompressed";
        return Err(ApiError::new(ErrorCode::UnsupportedEncoding, message));
    }
    let bytes = axum::body::to_bytes(body, QUESTION_BYTES_MAX).await;
    let bytes = bytes.map_err(|_| refused("no service, or one with too long a name,"))?;
    let name = bytes_field(&bytes, 1).and_then(|name| std::str::from_utf8(name).ok());
    let name = name.ok_or_else(|| refused("no service"))?;
    Ok(name.to_owned())
}

/// Returns a `HealthCheckResponse`.
fn told(serving: Serving) -> Vec<u8> {
    let mut message = Message::default();
    message.varint(1, serving as u64);
    message.into_bytes()
}
