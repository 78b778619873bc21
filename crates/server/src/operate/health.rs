//! Is it well, and is anything being lost?

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use model::Time;
use serde::Serialize;
use utoipa::ToSchema;

use crate::archive::ArchiveHealth;
use crate::auth::Principal;
use crate::error::{ApiError, ErrorBody};
use crate::forward::ForwardStatus;
use crate::loss::Entry;
use crate::state::AppState;
use crate::{metrics as figures, openapi};

/// That the server answers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `health`.
    object: &'static str,
    /// `ok`: whatever is asked for is answered.
    status: &'static str,
    /// The program's version.
    version: &'static str,
    /// Whether requests need an API key.
    needs_key: bool,
    /// The server's clock.
    #[schema(value_type = String, format = DateTime)]
    now: Time,
}

/// The loss ledger.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IngestHealth {
    /// `health.ingest`.
    object: &'static str,
    /// From when on it counts.
    #[schema(value_type = String, format = DateTime)]
    since: Time,
    /// One account for each project and way in.
    data: Vec<Entry>,
    /// How the archive of bodies is, for an admin's key for all projects; null where there is none.
    archive: Option<ArchiveHealth>,
    /// How what was accepted goes on to others, and what of it was lost to them.
    forwards: Vec<ForwardStatus>,
}

/// Ask whether the server answers. Needs no key.
#[utoipa::path(get, path = "/v1/health", tag = "operate", responses((status = 200, body = Health)))]
pub(crate) async fn health(State(state): State<AppState>) -> Json<Health> {
    Json(Health {
        object: "health",
        status: "ok",
        version: env!("CARGO_PKG_VERSION"),
        needs_key: state.keyring.needed(),
        now: state.clock.now(),
    })
}

/// Ask what was taken, what was refused and why. A key for one project sees that one; an admin's key
/// for all projects sees all, and the senders that were not admitted.
#[utoipa::path(
    get,
    path = "/v1/health/ingest",
    tag = "operate",
    responses((status = 200, body = IngestHealth), (status = 401, body = ErrorBody))
)]
pub(crate) async fn ingest_health(
    State(state): State<AppState>,
    principal: Principal,
) -> Json<IngestHealth> {
    let of = (!principal.is_master()).then_some(&principal.project);
    Json(IngestHealth {
        object: "health.ingest",
        since: state.losses.since(),
        data: state.losses.entries(of),
        archive: match (&state.archive, principal.is_master()) {
            (Some(archive), true) => Some(archive.health()),
            _ => None,
        },
        forwards: state.forwards.statuses(of, state.clock.now()),
    })
}

/// Figures for Prometheus, over all projects.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operate",
    responses(
        (status = 200, description = "OpenMetrics text", body = String, content_type = "text/plain"),
        (status = 403, body = ErrorBody)
    )
)]
pub(crate) async fn metrics(
    State(state): State<AppState>,
    principal: Principal,
) -> Result<impl IntoResponse, ApiError> {
    principal.require_master()?;
    let text = figures::text(&state).map_err(ApiError::internal)?;
    Ok(([(CONTENT_TYPE, figures::CONTENT_TYPE)], text))
}

/// This description of the API.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "operate",
    responses((status = 200, description = "OpenAPI 3.1", body = Object))
)]
pub(crate) async fn openapi_document() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], openapi::document())
}
