//! What is seen of a call while it passes, and what becomes of it when the call is over.
//!
//! A [`Recording`] goes with the call from its first byte to its last. However the call ends, also if
//! its future is dropped because the client hung up, the recording is handed to the recorder, which
//! is never waited for. What cannot be recorded is counted.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use ingest::openai_api::{Api, Arrival, Failure};
use model::{ProjectId, Source, Time};
use parking_lot::Mutex;

use super::copy::BodyCopy;
use super::headers::Asked;
use crate::state::AppState;

/// Of an answer in more chunks than this the time to the first token may stay unknown.
const ARRIVALS_MAX: usize = 4_096;

/// The id that upstreams give a call.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A call that is being recorded.
#[derive(Debug)]
pub(super) struct Recording {
    state: AppState,
    seen: Option<Box<Seen>>,
}

/// What is known of a call.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) project: ProjectId,
    pub(super) api: Api,
    pub(super) asked: Asked,
    /// The name of the upstream, and the URL that was called, without a query.
    pub(super) upstream: String,
    pub(super) url: String,
    /// What is not to be kept.
    pub(super) secrets: Vec<String>,
    pub(super) started_at: Time,
    pub(super) ended_at: Time,
    started: Instant,
    /// How the request is compressed.
    pub(super) request_headers: HeaderMap,
    request: Arc<Mutex<BodyCopy>>,
    pub(super) answer: Option<Answer>,
    /// Why the answer is not whole, or not there.
    pub(super) failure: Option<Failure>,
}

/// What is known of an answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// How it is compressed.
    pub(super) headers: HeaderMap,
    pub(super) request_id: Option<String>,
    pub(super) body: BodyCopy,
    pub(super) arrivals: Vec<Arrival>,
}

/// A call that is over, on its way to the recorder.
#[derive(Debug)]
pub(crate) struct Job {
    pub(super) seen: Box<Seen>,
    pub(super) request: BodyCopy,
}

/// What a recording has to know when its call begins.
#[derive(Debug)]
pub(super) struct Beginning {
    pub(super) project: ProjectId,
    pub(super) api: Api,
    pub(super) asked: Asked,
    pub(super) upstream: String,
    pub(super) url: String,
    pub(super) secrets: Vec<String>,
}

impl Recording {
    /// Begins to record a call.
    pub(super) fn begin(state: &AppState, beginning: Beginning, headers: &HeaderMap) -> Self {
        let now = state.clock.now();
        let copy = BodyCopy::new(&state.config, state.store.ledger());
        let seen = Seen {
            project: beginning.project,
            api: beginning.api,
            asked: beginning.asked,
            upstream: beginning.upstream,
            url: beginning.url,
            secrets: beginning.secrets,
            started_at: now,
            ended_at: now,
            started: Instant::now(),
            request_headers: encoding_alone(headers),
            request: Arc::new(Mutex::new(copy)),
            answer: None,
            failure: None,
        };
        Self {
            state: Arc::clone(state),
            seen: Some(Box::new(seen)),
        }
    }

    /// Returns where the request is copied to as it passes.
    pub(super) fn request_copy(&self) -> Option<Arc<Mutex<BodyCopy>>> {
        self.seen.as_ref().map(|seen| Arc::clone(&seen.request))
    }

    /// Notes the head of the answer.
    pub(super) fn answered(&mut self, status: StatusCode, headers: &HeaderMap) {
        let Some(seen) = &mut self.seen else { return };
        let id = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
        seen.answer = Some(Answer {
            status,
            headers: encoding_alone(headers),
            request_id: id.map(str::to_owned),
            body: BodyCopy::new(&self.state.config, self.state.store.ledger()),
            arrivals: Vec::new(),
        });
    }

    /// Notes a part of the answer's body.
    pub(super) fn passes(&mut self, chunk: &[u8]) {
        let Some(seen) = &mut self.seen else { return };
        let Some(answer) = &mut seen.answer else {
            return;
        };
        answer.body.push(chunk);
        if answer.arrivals.len() < ARRIVALS_MAX {
            answer.arrivals.push(Arrival {
                bytes: answer.body.len(),
                after_ms: seen.started.elapsed().as_secs_f64() * 1e3,
            });
        }
    }

    /// Notes that the call is over, and why its answer is not whole, if it is not.
    pub(super) fn end(&mut self, failure: Option<Failure>) {
        let Some(mut seen) = self.seen.take() else {
            return;
        };
        seen.ended_at = self.state.clock.now();
        seen.failure = failure;
        let request = seen.request.lock().take();
        let body = seen.answer.as_ref().map(|answer| &answer.body);
        let given_up = request.given_up().or_else(|| body?.given_up());
        let proxy = &self.state.proxy;
        let project = seen.project.clone();
        let lost = match given_up {
            Some(why) => Some(why),
            None => proxy.submit(Job { seen, request }).err(),
        };
        if let Some(why) = lost {
            not_recorded(&self.state, project, why);
        }
    }

    /// Forgets the call: it was refused here and never made.
    pub(super) fn forget(mut self) {
        self.seen = None;
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let Some(seen) = &self.seen else { return };
        let so_far = match &seen.answer {
            None => "before the upstream answered",
            Some(_) => "before the answer ended",
        };
        let failure = match self.state.proxy.is_stopping.load(Ordering::Relaxed) {
            true => Failure {
                kind: "proxy_stopped",
                message: format!("tracegrade was stopped {so_far}"),
            },
            false => Failure {
                kind: "client_disconnected",
                message: format!("the client hung up {so_far}"),
            },
        };
        self.end(Some(failure));
    }
}

/// Enters a call that passed and was not recorded in the loss ledger.
pub(super) fn not_recorded(state: &AppState, project: ProjectId, why: &'static str) {
    tracing::warn!(%project, reason = why, "a call passed the proxy and was not recorded");
    let now = state.clock.now();
    state.losses.refused(Some(project), Source::Proxy, now, why);
}

/// Returns what is needed of headers to read a body, and nothing else of them.
fn encoding_alone(headers: &HeaderMap) -> HeaderMap {
    let name = header::CONTENT_ENCODING;
    let encoding = headers.get(&name).cloned();
    encoding
        .into_iter()
        .map(|value| (name.clone(), value))
        .collect()
}
