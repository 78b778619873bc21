//! Langfuse's older way in: batches that create observations, and update those that came before.
//!
//! What an update leaves out is read from the row that is stored, so batches are taken one after the
//! other: two at a time could each miss what the other writes. SDKs send one at a time anyway. A sender
//! that hangs up while its batch is written lets the next one go ahead; sent again, which the SDKs do,
//! the batch makes the same rows.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use ingest::contents::restored;
use ingest::imports::{EventAnswer, Known, LangfuseBatch};
use ingest::otlp::Sent;
use model::{ProjectId, SpanId, TraceId, TraceItem};
use serde::Serialize;
use store::{Columns, Reservation, Share, SpanRow, Table};
use tokio::task::spawn_blocking;
use utoipa::ToSchema;

use crate::auth::Principal;
use crate::body::{self, Received};
use crate::capture::{ROOM_PATIENCE, archived};
use crate::error::{ApiError, ErrorBody};
use crate::intake::{Intake, IntakeError, Taken, Wire};
use crate::state::AppState;

/// Where SDKs before version 3 send.
pub(crate) const PATH: &str = "/api/public/ingestion";

/// What a span without its payload weighs, about.
const ROW_BYTES: usize = 1 << 10;

/// What became of the events of one batch, as Langfuse tells it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IngestionAnswer {
    successes: Vec<EventTaken>,
    errors: Vec<EventRefused>,
}

/// An event that was taken, or that is accepted and not kept.
#[derive(Debug, Serialize, ToSchema)]
struct EventTaken {
    id: String,
    status: u16,
}

/// An event that was refused.
#[derive(Debug, Serialize, ToSchema)]
struct EventRefused {
    id: String,
    status: u16,
    message: &'static str,
    error: String,
}

impl IngestionAnswer {
    fn of(events: Vec<EventAnswer>) -> Self {
        let (mut successes, mut errors) = (Vec::new(), Vec::new());
        for EventAnswer { id, refused } in events {
            match refused {
                None => successes.push(EventTaken { id, status: 201 }),
                Some(error) => errors.push(EventRefused {
                    id,
                    status: 400,
                    message: "Invalid request data",
                    error,
                }),
            }
        }
        Self { successes, errors }
    }
}

/// Take a batch of events, as Langfuse's SDKs before version 3 send it.
#[utoipa::path(
    post,
    path = "/api/public/ingestion",
    tag = "capture",
    request_body(
        description = "`{\"batch\":[{id,type,timestamp,body}],\"metadata\":{}}` of Langfuse. The key is the password of Basic. What an update leaves out is taken from what is stored of the observation; scores are accepted and not kept",
        content = Object,
        content_type = "application/json"
    ),
    responses(
        (status = 207, description = "Every event is listed as taken or refused; what is taken is on disk and readable", body = IngestionAnswer),
        (status = 400, description = "The body is no batch", body = ErrorBody),
        (status = 413, description = "The body is larger than a limit, which is named", body = ErrorBody),
        (status = 429, description = "Not just now; come back after Retry-After seconds", body = ErrorBody),
        (status = 503, description = "The disk is full or the server stops; come back after Retry-After seconds", body = ErrorBody),
    )
)]
pub(crate) async fn ingestion(
    State(state): State<AppState>,
    principal: Principal,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<IngestionAnswer>), ApiError> {
    let received_at = state.clock.now();
    let received = body::receive(&state.config, state.store.ledger(), &headers, body).await?;
    let started = Instant::now();
    let intake = state.intake(principal.project, Wire::Langfuse.source(), received_at)?;
    let project = intake.project.clone();
    state.store.wait_for_room(ROOM_PATIENCE).await?;
    let (taken, answers) = lay_over(&state, intake, received, Origin::Sender).await?;
    let source = Wire::Langfuse.source();
    let (metrics, losses) = (&state.metrics, &state.losses);
    metrics.acknowledged(started.elapsed(), taken.accepted);
    losses.taken(&project, source, received_at, taken.outcome());
    let answer = IngestionAnswer::of(answers);
    Ok((StatusCode::MULTI_STATUS, Json(answer)))
}

/// Where a batch comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// From its sender: it is archived.
    Sender,
    /// From an archive.
    Archive,
}

/// Lays a batch over what is stored and writes what comes of it. The archive has batches in the order in
/// which they are laid, which is what a replay depends on.
pub(crate) async fn lay_over(
    state: &AppState,
    intake: Intake,
    received: Received,
    origin: Origin,
) -> Result<(Taken, Vec<EventAnswer>), ApiError> {
    let one_at_a_time = state.langfuse.lock().await;
    let received = match origin {
        Origin::Sender => archived(state, &intake, Wire::Langfuse, received).await?,
        Origin::Archive => received,
    };
    let turn = Arc::clone(&state.decoders).acquire_owned().await;
    let shared = Arc::clone(state);
    let work = spawn_blocking(move || {
        let _turn = turn.map_err(ApiError::internal)?;
        let (bytes, hold) = received.inflate()?;
        let batch = LangfuseBatch::read(bytes).map_err(IntakeError::from)?;
        let stored = Stored::read(&shared, &intake.project, &batch)?;
        let done = intake.prepare_langfuse(&batch, &stored.known())?;
        Ok::<_, ApiError>((done, hold))
    });
    let ((prepared, taken, answers), hold) = work.await.map_err(IntakeError::Worker)??;
    state.store.append(prepared).await?;
    drop(one_at_a_time);
    drop(hold);
    Ok((taken, answers))
}

/// What is stored of the traces that a batch is about, as far as the batch is about it.
#[derive(Debug, Default)]
struct Stored {
    items: HashMap<TraceId, TraceItem>,
    /// Rows, with the data of each put together again.
    rows: Vec<(SpanRow, Option<String>)>,
    /// The memory that it takes.
    room: Vec<Reservation>,
}

impl Stored {
    /// Reads what is stored. Blocks.
    fn read(
        state: &AppState,
        project: &ProjectId,
        batch: &LangfuseBatch,
    ) -> Result<Self, ApiError> {
        let mut stored = Self::default();
        for (trace, spans) in batch.traces() {
            let snapshot = || state.store.trace_snapshot(project, &trace);
            let first = snapshot();
            match stored.add(state, &first, &trace, &spans) {
                Err(_) if first.is_expired() => stored.add(state, &snapshot(), &trace, &spans)?,
                other => other?,
            }
        }
        Ok(stored)
    }

    fn add(
        &mut self,
        state: &AppState,
        snapshot: &store::Snapshot,
        trace: &TraceId,
        spans: &std::collections::BTreeSet<SpanId>,
    ) -> Result<(), ApiError> {
        let Some(entry) = snapshot.trace(trace)? else {
            return Ok(());
        };
        let count = usize::try_from(entry.row.span_count).unwrap_or(0);
        let bytes = count.saturating_mul(ROW_BYTES);
        self.room
            .push(state.store.ledger().reserve(Share::Queries, bytes)?);
        if !spans.is_empty() {
            let rows = snapshot.spans(&entry, &Columns::all(Table::Spans))?;
            let messages = snapshot.messages(trace)?;
            for row in rows
                .into_iter()
                .filter(|row| spans.contains(&row.span.span_id))
            {
                let data = restored(&row.span, &messages).map_err(ApiError::internal)?;
                self.rows.push((row, data));
            }
        }
        self.items.insert(trace.clone(), entry.row.item.clone());
        Ok(())
    }

    fn known(&self) -> Known<'_> {
        let spans = self.rows.iter().map(|(row, data)| {
            let span = &*row.span;
            let key = (span.trace_id.clone(), span.span_id.clone());
            let data = data.as_deref();
            (key, Sent { span, data })
        });
        Known {
            items: self.items.clone(),
            spans: spans.collect(),
        }
    }
}
