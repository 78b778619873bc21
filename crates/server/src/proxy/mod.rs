//! The recording proxy: calls of model APIs pass through it and become traces.
//!
//! An app that uses no tracing SDK sets its client's base URL to `/v1/proxy/openai` and changes
//! nothing else. Requests and answers are streamed through as they are, under the client's own key,
//! which is neither kept nor logged. Calls of Chat Completions and of Responses are copied as they
//! pass; everything else passes only. Recording never stands in the way: what cannot be recorded is
//! counted in the loss ledger, and the call goes on.

mod bodies;
mod clients;
mod copy;
mod headers;
mod joins;
mod recorder;
mod recording;
mod target;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Version, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use ingest::openai_api::Failure;
use tokio::sync::{Semaphore, mpsc};

use crate::auth::Principal;
use crate::config::Config;
use crate::error::{ApiError, ErrorBody, ErrorCode};
use crate::state::AppState;

use bodies::{Download, Upload};
use clients::Clients;
use headers::Asked;
pub(crate) use recorder::{new_id, record};
pub(crate) use recording::Job;
use recording::{Beginning, Recording};
use target::Target;

/// What all paths of the proxy begin with.
const PREFIX: &str = "/v1/proxy/";

/// The proxy's part of a running server.
#[derive(Debug)]
pub(crate) struct Proxy {
    clients: Clients,
    /// One permit for each call that may pass.
    calls: Arc<Semaphore>,
    recorder: mpsc::Sender<Job>,
    /// Whether calls that are dropped now are dropped by us.
    pub(crate) is_stopping: AtomicBool,
}

impl Proxy {
    /// Returns a proxy, and the calls that it hands over to be recorded.
    pub(crate) fn new(config: &Config) -> (Self, mpsc::Receiver<Job>) {
        let (recorder, jobs) = mpsc::channel(recorder::WAITING_CALLS_MAX);
        let calls_max = config.proxy_calls_max.min(Semaphore::MAX_PERMITS);
        let proxy = Self {
            clients: Clients::new(config),
            calls: Arc::new(Semaphore::new(calls_max)),
            recorder,
            is_stopping: AtomicBool::new(false),
        };
        (proxy, jobs)
    }

    /// Hands a call over to be recorded, or says why it will not be.
    fn submit(&self, job: Job) -> Result<(), &'static str> {
        self.recorder.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => "recording_skipped_queue_full",
            mpsc::error::TrySendError::Closed(_) => "recording_skipped_stopping",
        })
    }
}

/// Returns the routes of this page.
pub(crate) fn routes() -> Router<AppState> {
    Router::new().route("/v1/proxy/{upstream}/{*path}", any(pass))
}

/// Pass a call on to an upstream and record it.
///
/// Every method is passed on, with its query, headers and body; so is the answer, as it comes. The
/// upstreams are named in the setting `upstream`; `openai` is there without being named. Calls of
/// `chat/completions` and `responses` become traces.
#[utoipa::path(
    post,
    path = "/v1/proxy/{upstream}/{path}",
    tag = "capture",
    params(
        ("upstream" = String, Path, description = "The name of the upstream, such as `openai`"),
        ("path" = String, Path, description = "The path at the upstream, such as `chat/completions`; a `v1/` in front is passed over where the upstream's URL ends in it"),
        ("x-tracegrade-key" = Option<String>, Header, description = "An API key of tracegrade with the scope `ingest`, where one is needed. `Authorization` is the upstream's and is passed on"),
        ("x-tracegrade-project" = Option<String>, Header, description = "The project; `OpenAI-Project` is the upstream's and is passed on"),
        ("x-tracegrade-trace-id" = Option<String>, Header, description = "The trace that the call belongs to; else that of `traceparent`, else one of its own"),
        ("x-tracegrade-group-id" = Option<String>, Header, description = "The conversation of the trace"),
        ("x-tracegrade-workflow" = Option<String>, Header, description = "The workflow of the trace"),
        ("x-tracegrade-join" = Option<String>, Header, description = "`history`: a call that repeats the messages of an earlier one and goes on, or names its response, joins its trace"),
        ("traceparent" = Option<String>, Header, description = "W3C trace context: the trace, and the span that made the call"),
    ),
    request_body(description = "The upstream's own", content = Object, content_type = "application/json"),
    responses(
        (status = 200, description = "The upstream's answer, whatever its status, byte for byte", body = Object),
        (status = 400, description = "A header of ours or the path cannot be used; nothing was sent", body = ErrorBody),
        (status = 404, description = "There is no upstream of that name", body = ErrorBody),
        (status = 413, description = "The body is larger than `proxy_body_bytes_max`", body = ErrorBody),
        (status = 429, description = "As many calls pass as may", body = ErrorBody),
        (status = 502, description = "The upstream cannot be reached (`upstream_unreachable`)", body = ErrorBody),
        (status = 504, description = "The upstream did not answer in time (`upstream_timeout`)", body = ErrorBody),
    )
)]
pub(crate) async fn pass(
    State(state): State<AppState>,
    principal: Principal,
    request: Request,
) -> Result<Response, ApiError> {
    let call = Arc::clone(&state.proxy.calls).try_acquire_owned();
    let call = call.map_err(|_| {
        let message = format!("{} calls pass already", state.config.proxy_calls_max);
        ApiError::new(ErrorCode::Busy, message).retry_after(1)
    })?;
    let target = Target::of(&state.config.upstreams, request.uri())?;
    let (mut parts, body) = request.into_parts();
    let asked = Asked::take(&mut parts.headers)?;
    refuse_long(&state.config, &parts.headers)?;
    headers::remove_hop_by_hop(&mut parts.headers);
    let secrets = headers::secrets(&mut parts.headers);
    let api = target
        .api
        .filter(|_| parts.method == axum::http::Method::POST);
    let mut recording = api.map(|api| {
        headers::accept_readable(&mut parts.headers);
        let beginning = Beginning {
            project: principal.project,
            api,
            asked,
            upstream: target.upstream.clone(),
            url: target.url_without_query(),
            secrets,
        };
        Recording::begin(&state, beginning, &parts.headers)
    });
    // The client that sends it on says both in its own way.
    parts.headers.remove(header::HOST);
    parts.headers.remove(header::CONTENT_LENGTH);

    let copy = recording.as_ref().and_then(Recording::request_copy);
    let upload = Upload::new(body, copy, state.config.proxy_body_bytes_max);
    let client = state.proxy.clients.of(&target.url)?;
    let mut sent = reqwest::Request::new(parts.method, target.url.clone());
    *sent.headers_mut() = parts.headers;
    *sent.body_mut() = Some(reqwest::Body::wrap(upload.clone()));
    match client.execute(sent).await {
        Ok(answer) => {
            let (mut head, body) = axum::http::Response::<reqwest::Body>::from(answer).into_parts();
            if let Some(recording) = &mut recording {
                recording.answered(head.status, &head.headers);
            }
            headers::remove_hop_by_hop(&mut head.headers);
            head.version = Version::default();
            head.extensions.clear();
            let body = Body::new(Download::new(body, recording, call));
            Ok(Response::from_parts(head, body))
        }
        Err(_) if upload.is_too_large() => {
            recording.into_iter().for_each(Recording::forget);
            Err(too_large(&state.config))
        }
        Err(error) => {
            upload.copy_rest().await;
            Ok(no_answer(&target, &error, recording))
        }
    }
}

/// Refuses a body that says itself that it is too long.
fn refuse_long(config: &Config, headers: &axum::http::HeaderMap) -> Result<(), ApiError> {
    let length = headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    match length.is_some_and(|length| length > config.proxy_body_bytes_max as u64) {
        true => Err(too_large(config)),
        false => Ok(()),
    }
}

fn too_large(config: &Config) -> ApiError {
    let message = format!(
        "the body has more than {} bytes; the setting proxy_body_bytes_max is the limit",
        config.proxy_body_bytes_max
    );
    ApiError::new(ErrorCode::BodyTooLarge, message)
}

/// Answers in place of an upstream that did not, and records that.
fn no_answer(target: &Target, error: &reqwest::Error, recording: Option<Recording>) -> Response {
    let name = format!("the upstream {:?} ({})", target.upstream, target.base);
    let causes = bodies::causes(error);
    let (code, failure) = match (error.is_connect(), error.is_timeout()) {
        (false, true) => (
            ErrorCode::UpstreamTimeout,
            Failure {
                kind: "timeout",
                message: format!("{name} did not answer within upstream_idle_timeout"),
            },
        ),
        (true, _) => (
            ErrorCode::UpstreamUnreachable,
            Failure {
                kind: "upstream_unreachable",
                message: format!(
                    "failed to connect to {name}: {causes}; the setting upstream says where it is"
                ),
            },
        ),
        (false, false) => (
            ErrorCode::UpstreamUnreachable,
            Failure {
                kind: "upstream_cut",
                message: format!("{name} broke off before it answered: {causes}"),
            },
        ),
    };
    let answer = ApiError::new(code, failure.message.clone());
    if let Some(mut recording) = recording {
        recording.end(Some(failure));
    }
    let mut response = answer.into_response();
    // It is an answer to the call, and recorded as such: nothing was refused.
    response.extensions_mut().remove::<ErrorCode>();
    response
}
