//! Is the store well, and a copy of it, over HTTP.

use std::path::PathBuf;

use axum::Json;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use store::BackupError;
use utoipa::{IntoParams, ToSchema};

use crate::auth::Principal;
use crate::error::{ApiError, ErrorBody, ErrorCode};
use crate::json::JsonBody;
use crate::state::AppState;

/// What to look at.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DoctorParams {
    /// Whether to read every byte: checksums, rows, references.
    #[serde(default)]
    deep: bool,
}

/// What was found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Checkup {
    #[schema(value_type = String)]
    object: &'static str,
    /// Whether nothing is wrong.
    well: bool,
    /// Whether every byte was read.
    deep: bool,
    checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Check {
    #[schema(value_type = String)]
    what: &'static str,
    looked_at: u64,
    /// How many are wrong.
    faulty: u64,
    /// What is wrong with the first of them.
    faults: Vec<String>,
}

impl From<store::Checkup> for Checkup {
    fn from(checkup: store::Checkup) -> Self {
        let check = |check: store::Check| Check {
            what: check.what,
            looked_at: check.looked_at,
            faulty: check.faulty,
            faults: check.faults,
        };
        Self {
            object: "checkup",
            well: checkup.is_well(),
            deep: checkup.deep,
            checks: checkup.checks.into_iter().map(check).collect(),
        }
    }
}

/// Look whether everything that was kept is there, once, and as it was written.
#[utoipa::path(
    get,
    path = "/v1/health/doctor",
    tag = "operate",
    params(DoctorParams),
    responses((status = 200, body = Checkup), (status = 403, body = ErrorBody))
)]
pub(crate) async fn doctor(
    State(state): State<AppState>,
    principal: Principal,
    Query(params): Query<DoctorParams>,
) -> Result<Json<Checkup>, ApiError> {
    principal.require_master()?;
    Ok(Json(state.store.doctor(params.deep).await?.into()))
}

/// Where a backup goes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BackupRequest {
    /// A folder on the server's machine that is not there yet, from the root.
    path: String,
}

/// A finished backup.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BackedUp {
    #[schema(value_type = String)]
    object: &'static str,
    /// Where it lies on the server's machine.
    path: String,
    files: usize,
    bytes: u64,
}

/// Copy the whole store, all projects of it, to a folder on the server's machine, while it serves.
#[utoipa::path(
    post,
    path = "/v1/backup",
    tag = "operate",
    request_body = BackupRequest,
    responses(
        (status = 200, body = BackedUp),
        (status = 400, body = ErrorBody),
        (status = 403, body = ErrorBody),
        (status = 409, description = "The folder is there already", body = ErrorBody)
    )
)]
pub(crate) async fn backup(
    State(state): State<AppState>,
    principal: Principal,
    JsonBody(request): JsonBody<BackupRequest>,
) -> Result<Json<BackedUp>, ApiError> {
    principal.require_master()?;
    let path = PathBuf::from(&request.path);
    if !path.is_absolute() {
        let message = format!(
            "{:?} does not begin at the root of the server's files",
            request.path
        );
        return Err(ApiError::invalid("path", message));
    }
    let manifest = state.store.backup(&path).await.map_err(refused)?;
    Ok(Json(BackedUp {
        object: "backup",
        path: request.path,
        files: manifest.files.len(),
        bytes: manifest.files.values().map(|file| file.bytes).sum(),
    }))
}

fn refused(error: BackupError) -> ApiError {
    match error {
        BackupError::NotEmpty(_) | BackupError::Overtaken => {
            ApiError::new(ErrorCode::Conflict, error.to_string())
        }
        other => ApiError::internal(other),
    }
}
