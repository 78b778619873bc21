//! The endpoints that traces are sent to.
//!
//! Senders read the status and nothing else, and most give up on any 4xx but 429. So one bad item
//! costs that item; 400 is for a body in which no items can be found; and what cannot be taken just
//! now is 429 or 503 with a time to come back. A 200 means that the rows are on disk and readable.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::Response;
use axum::routing::post;
use axum::{Json, Router};
use ingest::process::Switches;
use model::{ProjectId, Source};
use store::meta::ProjectSettings;
use tokio::task::spawn_blocking;

use crate::archive::Head;
use crate::auth::Principal;
use crate::body::{self, Received};
use crate::error::{ApiError, ErrorBody, ErrorCode};
use crate::intake::{Intake, IntakeError, Taken, Wire};
use crate::langfuse;
use crate::state::{AppState, Shared};

/// So long a body waits for a flush before its sender is told to come back.
pub(crate) const ROOM_PATIENCE: Duration = Duration::from_secs(1);

/// Returns the route of the Agents SDK's own exporter.
pub(crate) fn routes() -> Router<AppState> {
    Router::new().route("/v1/traces/ingest", post(ingest))
}

/// Returns the routes that files of other products come in by.
pub(crate) fn import_routes() -> Router<AppState> {
    Router::new()
        .route("/v1/import", post(import))
        .route(langfuse::PATH, post(langfuse::ingestion))
}

/// Take what the OpenAI Agents SDK sends to its tracing endpoint.
#[utoipa::path(
    post,
    path = "/v1/traces/ingest",
    tag = "capture",
    request_body(
        description = "`{\"data\":[…]}` with items `trace` and `trace.span`, as the SDK's exporter writes it; gzip, deflate or zstd by Content-Encoding",
        content = Object,
        content_type = "application/json"
    ),
    responses(
        (status = 200, description = "Every item was kept or is listed as refused; what is kept is on disk and readable", body = Taken),
        (status = 400, description = "No items can be found in the body", body = ErrorBody),
        (status = 413, description = "The body is larger than a limit, which is named", body = ErrorBody),
        (status = 415, description = "The Content-Encoding is not known", body = ErrorBody),
        (status = 429, description = "Not just now; come back after Retry-After seconds", body = ErrorBody),
        (status = 503, description = "The disk is full or the server stops; come back after Retry-After seconds", body = ErrorBody),
    )
)]
pub(crate) async fn ingest(
    State(state): State<AppState>,
    principal: Principal,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Taken>, ApiError> {
    let taken = take_in(&state, principal.project, &headers, body, Wire::AgentsSdk).await?;
    Ok(Json(taken))
}

/// Take documents that other products wrote, of any format that is known.
#[utoipa::path(
    post,
    path = "/v1/import",
    tag = "capture",
    request_body(
        description = "One or many documents: traces of Langfuse, MLflow, LangSmith or Phoenix, logs of Inspect AI, requests with their responses, items of the Agents SDK, requests of OTLP; as JSON, JSON lines, JSON one after the other, or OTLP in protobuf. What each is, is told by its content; gzip, deflate or zstd by Content-Encoding",
        content(
            (Object = "application/json"),
            (Vec<u8> = "application/octet-stream"),
        )
    ),
    responses(
        (status = 200, description = "Every item was kept or is listed as refused, with the document it was in; what is kept is on disk and readable", body = Taken),
        (status = 400, description = "Not one document can be found in the body", body = ErrorBody),
        (status = 413, description = "The body is larger than a limit, which is named", body = ErrorBody),
        (status = 415, description = "The Content-Encoding is not known", body = ErrorBody),
        (status = 429, description = "Not just now; come back after Retry-After seconds", body = ErrorBody),
        (status = 503, description = "The disk is full or the server stops; come back after Retry-After seconds", body = ErrorBody),
    )
)]
pub(crate) async fn import(
    State(state): State<AppState>,
    principal: Principal,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Taken>, ApiError> {
    let taken = take_in(&state, principal.project, &headers, body, Wire::Import).await?;
    Ok(Json(taken))
}

/// Takes in the body of a request; once this returns, what is kept of it is on disk and readable.
pub(crate) async fn take_in(
    state: &AppState,
    project: ProjectId,
    headers: &HeaderMap,
    body: Body,
    wire: Wire,
) -> Result<Taken, ApiError> {
    let received_at = state.clock.now();
    let received = body::receive(&state.config, state.store.ledger(), headers, body).await?;
    let started = Instant::now();
    let intake = state.intake(project, wire.source(), received_at)?;
    state.store.wait_for_room(ROOM_PATIENCE).await?;
    let received = archived(state, &intake, wire, received).await?;
    let turn = Arc::clone(&state.decoders).acquire_owned().await;
    let work = spawn_blocking(move || {
        // Held here and not by the request: who hangs up leaves the work behind.
        let _turn = turn.map_err(ApiError::internal)?;
        let (bytes, hold) = received.inflate()?;
        let done = intake.prepare(bytes, wire)?;
        Ok::<_, ApiError>((done, hold, intake))
    });
    let ((prepared, taken), hold, intake) = work.await.map_err(IntakeError::Worker)??;
    state.store.append(prepared).await?;
    // Messages are slices of the body until the log has them.
    drop(hold);
    state
        .metrics
        .acknowledged(started.elapsed(), taken.accepted);
    state
        .losses
        .taken(&intake.project, intake.source, received_at, taken.outcome());
    Ok(taken)
}

/// Keeps a body in the archive, if there is one, and gives it back.
pub(crate) async fn archived(
    state: &AppState,
    intake: &Intake,
    wire: Wire,
    received: Received,
) -> Result<Received, ApiError> {
    let Some(archive) = &state.archive else {
        return Ok(received);
    };
    let head = Head {
        project: intake.project.clone(),
        wire,
        source: intake.source,
        encoding: received.as_received().1,
        received_at: intake.received_at,
    };
    archive.keep(head, received).await
}

/// Enters requests that were turned away whole in the loss ledger. Stands before the door, so that a
/// mistyped key shows. Each group of routes says which way in it is.
pub(crate) async fn account(
    State((state, source)): State<(AppState, Source)>,
    request: Request,
    next: Next,
) -> Response {
    let response = next.run(request).await;
    if let Some(code) = response.extensions().get::<ErrorCode>() {
        let project = response.extensions().get::<ProjectId>().cloned();
        let now = state.clock.now();
        state.losses.refused(project, source, now, code.as_str());
    }
    response
}

impl Shared {
    /// Returns what a project decides of the work on what comes in.
    pub(crate) fn switches(&self, project: &ProjectSettings) -> Switches {
        let server = self.config.processing.switches;
        Switches {
            sample_rate: project.sample_rate.unwrap_or(server.sample_rate),
            include_sensitive_data: project
                .include_sensitive_data
                .unwrap_or(server.include_sensitive_data),
            include_audio: project.include_audio.unwrap_or(server.include_audio),
        }
    }

    /// Returns what taking in a request for `project` depends on, as it is now.
    pub(crate) fn intake(
        &self,
        project: ProjectId,
        source: Source,
        received_at: model::Time,
    ) -> Result<Intake, IntakeError> {
        let settings = self.projects.settings(&project);
        let settings = settings.ok_or_else(|| IntakeError::NoProject(project.clone()))?;
        Ok(Intake {
            store: self.store.clone(),
            prices: self.prices.table(),
            assumed_model: settings.assumed_model.clone(),
            rules: Arc::clone(&self.rules),
            switches: self.switches(&settings),
            project,
            source,
            received_at,
        })
    }
}
