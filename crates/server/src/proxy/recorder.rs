//! How do calls that are over become rows?
//!
//! One loop takes them in the order in which they ended, reads each off the reactor's threads, and
//! finds its trace: a call that goes on from another comes after it. What is read is then priced,
//! logged and acknowledged, several calls side by side, so that they share a sync of the log. When the
//! server stops, the loop ends once everything that was handed to it is kept or counted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ingest::openai_api::{self, Call, CallError, Outcome};
use model::{Batch, Source, SpanStatus};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinSet, spawn_blocking};

use super::joins::{self, Joins, Looking};
use super::recording::{Job, Seen, not_recorded};
use crate::body::Hold;
use crate::error::{ApiError, ErrorCode};
use crate::intake::{Intake, IntakeError};
use crate::state::AppState;

/// Calls that may wait to be recorded; beyond it they are counted as lost.
pub(super) const WAITING_CALLS_MAX: usize = 1_024;

/// Calls that are logged side by side.
const APPENDS_MAX: usize = 64;

/// So long a call waits for the store to have room. Nobody waits for the call.
const ROOM_PATIENCE: Duration = Duration::from_secs(10);

/// The reason for which a call is not recorded whose request is not JSON.
const UNREADABLE: &str = "recording_skipped_unreadable_request";

/// A call that was read.
struct Read {
    intake: Intake,
    batch: Batch,
    hold: [Option<Hold>; 2],
}

/// Records calls until the server is `closed` and all that were handed in are kept.
pub(crate) async fn record(
    state: AppState,
    mut jobs: mpsc::Receiver<Job>,
    mut closed: oneshot::Receiver<()>,
) {
    let joins = Arc::new(Mutex::new(Joins::default()));
    let mut appends = JoinSet::new();
    let mut is_closed = false;
    loop {
        tokio::select! {
            job = jobs.recv() => {
                let Some(job) = job else { break };
                while appends.len() >= APPENDS_MAX {
                    appends.join_next().await;
                }
                if let Some(read) = read(&state, &joins, job).await {
                    appends.spawn(keep(Arc::clone(&state), read));
                }
            }
            _ = &mut closed, if !is_closed => {
                is_closed = true;
                jobs.close();
            }
            Some(_) = appends.join_next(), if !appends.is_empty() => {}
        }
    }
    while appends.join_next().await.is_some() {}
}

/// Reads a call; one that cannot be read is counted.
async fn read(state: &AppState, joins: &Arc<Mutex<Joins>>, job: Job) -> Option<Read> {
    let project = job.seen.project.clone();
    let (shared, joins) = (Arc::clone(state), Arc::clone(joins));
    let work = spawn_blocking(move || read_blocking(&shared, &joins, job));
    let read = work.await.map_err(IntakeError::Worker);
    match read.map_err(ApiError::from).flatten() {
        Ok(read) => Some(read),
        Err(error) => {
            not_recorded(state, project, reason(&error));
            None
        }
    }
}

fn read_blocking(state: &AppState, joins: &Mutex<Joins>, job: Job) -> Result<Read, ApiError> {
    let Job { mut seen, request } = job;
    let (request, request_hold) = request.inflate(&state.config, &seen.request_headers, true)?;
    let (mut body, mut body_hold) = (None, None);
    if let Some(answer) = &mut seen.answer {
        let (bytes, hold) = answer
            .body
            .take()
            .inflate(&state.config, &answer.headers, true)?;
        if answer.headers.contains_key("content-encoding") {
            // Arrivals are counted in compressed bytes, which tell nothing of the tokens in them.
            answer.arrivals.clear();
        }
        (body, body_hold) = (Some(bytes), Some(hold));
    }
    let (request, body) = (&request[..], body.as_deref());
    let asked = &seen.asked;
    let links = || openai_api::links(seen.api, request);
    let looking = Looking {
        asked,
        links: asked.joins_history.then(links),
        same: joins::same(&seen.url, request),
        at: seen.ended_at,
    };
    let new_trace = new_id::<16>("trace_")?;
    let place = joins.lock().place(&seen.project, &looking, new_trace);
    let intake = state.intake(seen.project.clone(), Source::Proxy, seen.started_at)?;
    let batch = decode(&seen, request, body, &place, &intake)?;
    let has_failed = batch
        .spans
        .first()
        .is_none_or(|span| span.status != SpanStatus::Success);
    let response_id = body.filter(|_| asked.joins_history);
    let response_id = response_id.and_then(openai_api::response_id);
    joins.lock().note(
        &seen.project,
        &looking,
        &place,
        has_failed,
        response_id.as_deref(),
    );
    Ok(Read {
        intake,
        batch,
        hold: [Some(request_hold), body_hold],
    })
}

fn decode(
    seen: &Seen,
    request: &[u8],
    body: Option<&[u8]>,
    place: &joins::Place,
    intake: &Intake,
) -> Result<Batch, ApiError> {
    let status = seen.answer.as_ref().map(|a| a.status.as_u16().to_string());
    let request_id = seen.answer.as_ref().and_then(|a| a.request_id.as_deref());
    let mut notes = vec![
        ("upstream", seen.upstream.as_str()),
        ("url", seen.url.as_str()),
    ];
    notes.extend(status.as_deref().map(|status| ("http_status", status)));
    notes.extend(request_id.map(|id| ("request_id", id)));
    let silent = openai_api::Failure {
        kind: "upstream_cut",
        message: "the upstream did not answer".to_owned(),
    };
    let outcome = match (&seen.answer, body) {
        (Some(answer), Some(body)) => Outcome::Answered(openai_api::Answer {
            status: answer.status.as_u16(),
            body,
            cut: seen.failure.as_ref(),
            arrivals: &answer.arrivals,
        }),
        _ => Outcome::Failed(seen.failure.as_ref().unwrap_or(&silent)),
    };
    let secrets: Vec<&str> = seen.secrets.iter().map(String::as_str).collect();
    let span_id = new_id::<12>("span_")?;
    let call = Call {
        api: seen.api,
        trace_id: &place.trace_id,
        span_id: &span_id,
        parent_id: seen.asked.parent_id.as_deref(),
        workflow_name: seen.asked.workflow.as_deref(),
        group_id: seen.asked.group_id.as_deref(),
        base_url: Some(&seen.url),
        started_at: seen.started_at,
        ended_at: seen.ended_at,
        retry: place.retry,
        notes: &notes,
        request,
        outcome,
        secrets: &secrets,
    };
    let batch = intake.in_context(|context| openai_api::call(&call, context));
    let unreadable = |error: CallError| ApiError::new(ErrorCode::InvalidBody, error.to_string());
    batch.map_err(unreadable)
}

/// Writes a call down; one that the store does not take is counted.
async fn keep(state: AppState, read: Read) {
    let Read {
        intake,
        batch,
        hold,
    } = read;
    let (project, received_at) = (intake.project.clone(), intake.received_at);
    let started = Instant::now();
    let kept = async {
        state.store.wait_for_room(ROOM_PATIENCE).await?;
        let work = spawn_blocking(move || intake.prepare_batch(batch));
        let (prepared, taken) = work.await.map_err(IntakeError::Worker)??;
        state.store.append(prepared).await?;
        Ok::<_, ApiError>(taken)
    };
    match kept.await {
        Ok(taken) => {
            let elapsed = started.elapsed();
            state.metrics.acknowledged(elapsed, taken.accepted);
            let outcome = taken.outcome();
            state
                .losses
                .taken(&project, Source::Proxy, received_at, outcome);
        }
        Err(error) => not_recorded(&state, project, reason(&error)),
    }
    // Messages are slices of what was read until the log has them.
    drop(hold);
}

/// Returns the word for the loss ledger.
fn reason(error: &ApiError) -> &'static str {
    match error.code() {
        ErrorCode::InvalidBody => UNREADABLE,
        ErrorCode::BodyTooLarge => super::copy::TOO_LARGE,
        ErrorCode::MemoryFull => super::copy::NO_MEMORY,
        code => code.as_str(),
    }
}

/// Returns a new id of `N` random bytes. Without them two calls would be one.
pub(crate) fn new_id<const N: usize>(prefix: &str) -> Result<String, ApiError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(ApiError::internal)?;
    let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
    Ok(std::iter::once(prefix.to_owned()).chain(digits).collect())
}
