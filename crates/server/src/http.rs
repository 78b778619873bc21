//! What holds for every request, whatever it asks?
//!
//! It has an id, which is in the answer and in every line of the log; it is counted and timed; it may
//! take so long and no longer; a bug in its handler is a 500 and not a broken connection. Bodies and
//! query strings are never logged: they are other people's words.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use tracing::Instrument;

use crate::error::{ApiError, ErrorCode};
use crate::state::AppState;

/// The id of a request, as OpenAI's clients read it.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// An id longer than this is not taken over from the caller.
const REQUEST_ID_BYTES_MAX: usize = 64;

/// Gives a request its id, and counts and times it.
pub(crate) async fn observe(
    State(state): State<AppState>,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let id = request_id(request.headers());
    let method = request.method().clone();
    let route = route(&request);
    let span = tracing::info_span!("request", id = id.to_str().unwrap_or(""), %method, %route);
    let answer = next.run(request).instrument(span.clone());
    let mut response = match AssertUnwindSafe(answer).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => span.in_scope(|| ApiError::internal(panic_text(&*panic)).into_response()),
    };
    let status = response.status().as_u16();
    let elapsed = started.elapsed();
    state.metrics.answered(&method, &route, status, elapsed);
    span.in_scope(|| tracing::debug!(status, elapsed_ms = elapsed.as_millis() as u64, "answered"));
    // The answer of another server that is passed on has an id of that server's.
    response.headers_mut().entry(REQUEST_ID).or_insert(id);
    response
}

/// Bounds how many requests are worked on at the same time, and how long each may take until its
/// answer begins.
pub(crate) async fn limit(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let Ok(_slot) = state.slots.try_acquire() else {
        let message = format!("{} requests are being worked on", state.config.requests_max);
        return ApiError::new(ErrorCode::Busy, message)
            .retry_after(1)
            .into_response();
    };
    let time_max = state.config.request_timeout;
    match tokio::time::timeout(time_max, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let message = format!("the request took longer than {} s", time_max.as_secs_f64());
            ApiError::new(ErrorCode::TimedOut, message).into_response()
        }
    }
}

/// Answers what no route is for.
pub(crate) async fn unknown_url(request: Request) -> ApiError {
    let mut message = format!("there is no {} {}", request.method(), request.uri().path());
    if request.method() == Method::POST {
        message.push_str("; OTLP goes to /v1/traces, /v1/logs and /v1/metrics, the Agents SDK's exporter to /v1/traces/ingest");
    }
    ApiError::new(ErrorCode::UnknownUrl, message)
}

/// Answers a method that the route does not know.
pub(crate) async fn method_not_allowed(request: Request) -> ApiError {
    let message = format!(
        "{} does not know the method {}",
        request.uri().path(),
        request.method()
    );
    ApiError::new(ErrorCode::MethodNotAllowed, message)
}

/// Returns the route's pattern: ids in it would make as many series as there are ids.
fn route(request: &Request) -> String {
    let matched = request.extensions().get::<MatchedPath>();
    matched.map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned())
}

/// Returns the caller's id, if it is one that can be logged and sent back, or a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let fits = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        (1..=REQUEST_ID_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
    };
    match headers.get(REQUEST_ID).filter(fits) {
        Some(id) => id.clone(),
        None => {
            let mut bytes = [0; 8];
            // Without random bytes ids are alike, which is worse than none but no reason to fail.
            let _filled = getrandom::fill(&mut bytes);
            let id = format!("req_{:016x}", u64::from_be_bytes(bytes));
            HeaderValue::try_from(id).expect("hexadecimal digits make a header")
        }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!(
        "a handler panicked: {}",
        text.unwrap_or("without a message")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(given: &str, is_kept: bool) {
        let headers = HeaderMap::from_iter([(
            REQUEST_ID,
            HeaderValue::from_bytes(given.as_bytes()).unwrap(),
        )]);
        let id = request_id(&headers);
        assert_eq!(id.as_bytes() == given.as_bytes(), is_kept, "{given}");
        assert!(is_kept || id.to_str().unwrap().starts_with("req_"));
    }

    #[test]
    fn a_callers_id_is_kept_if_it_can_be_logged() {
        check("abc-123", true);
        check(&"x".repeat(64), true);
        check(&"x".repeat(65), false);
        check("", false);
        check("with space", false);
        check("späße", false);
        assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
    }
}
