//! Keys over HTTP.

use axum::Json;
use axum::extract::{Path, State};
use model::{ProjectId, Time};
use serde::Serialize;
use store::meta::{ApiKey, KeyProjects};
use utoipa::ToSchema;

use crate::auth::Principal;
use crate::error::{ApiError, ErrorBody, ErrorCode};
use crate::json::JsonBody;
use crate::keys::{self, KeyError, KeyRequest};
use crate::listing::List;
use crate::state::AppState;

/// A key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Key {
    /// `key`.
    object: &'static str,
    id: String,
    /// What people call it.
    name: String,
    /// What of it may be shown: `tg_…abcd`.
    shown: String,
    /// What it may do.
    scopes: Vec<String>,
    /// The projects it opens; null is all of them.
    #[schema(value_type = Option<Vec<String>>)]
    projects: Option<Vec<ProjectId>>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Time,
    /// To within a minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Time>,
    #[schema(value_type = Option<String>, format = DateTime)]
    revoked_at: Option<Time>,
}

/// A key that was just made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CreatedKey {
    #[serde(flatten)]
    key: Key,
    /// The key itself; it is told this once.
    secret: String,
}

/// List all keys, revoked ones included.
#[utoipa::path(
    get,
    path = "/v1/keys",
    tag = "operate",
    responses((status = 200, body = List<Key>), (status = 403, body = ErrorBody))
)]
pub(crate) async fn list_keys(
    State(state): State<AppState>,
    principal: Principal,
) -> Result<Json<List<Key>>, ApiError> {
    principal.require_master()?;
    let keys = keys::list(state.store.meta()).await?;
    Ok(Json(List::of(keys.into_iter().map(Key::from).collect())))
}

/// Make a key. From the first one on, every request needs one.
#[utoipa::path(
    post,
    path = "/v1/keys",
    tag = "operate",
    request_body = KeyRequest,
    responses(
        (status = 200, body = CreatedKey),
        (status = 400, body = ErrorBody),
        (status = 403, body = ErrorBody),
        (status = 404, description = "No such project", body = ErrorBody),
        (status = 409, description = "The first key must be an admin's", body = ErrorBody)
    )
)]
pub(crate) async fn create_key(
    State(state): State<AppState>,
    principal: Principal,
    JsonBody(request): JsonBody<KeyRequest>,
) -> Result<Json<CreatedKey>, ApiError> {
    principal.require_master()?;
    let meta = state.store.meta();
    let made = keys::create(meta, principal.who(), &request).await?;
    state.keyring.reload(meta).await?;
    let key = find(&state, &made.id).await?;
    Ok(Json(CreatedKey {
        key,
        secret: made.secret,
    }))
}

/// Revoke a key. The next request that shows it is refused.
#[utoipa::path(
    delete,
    path = "/v1/keys/{id}",
    tag = "operate",
    params(("id" = String, Path, description = "The key's id")),
    responses((status = 200, body = Key), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn revoke_key(
    State(state): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<Json<Key>, ApiError> {
    principal.require_master()?;
    let meta = state.store.meta();
    keys::revoke(meta, principal.who(), &id).await?;
    state.keyring.reload(meta).await?;
    Ok(Json(find(&state, &id).await?))
}

async fn find(state: &AppState, id: &str) -> Result<Key, ApiError> {
    let keys = keys::list(state.store.meta()).await?;
    let key = keys.into_iter().find(|key| key.id == id);
    key.map(Key::from)
        .ok_or_else(|| ApiError::not_found("key", id))
}

impl From<ApiKey> for Key {
    fn from(key: ApiKey) -> Self {
        Self {
            object: "key",
            id: key.id,
            name: key.name,
            shown: key.shown,
            scopes: key.scopes.split(',').map(str::to_owned).collect(),
            projects: match key.projects {
                KeyProjects::All => None,
                KeyProjects::Only(ids) => Some(ids),
            },
            created_at: key.created_at,
            last_used_at: key.last_used_at,
            revoked_at: key.revoked_at,
        }
    }
}

impl From<KeyError> for ApiError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Scope(_) => Self::invalid("scopes", error.to_string()),
            KeyError::Project { .. } => Self::invalid("projects", error.to_string()),
            KeyError::FirstKey => {
                Self::new(ErrorCode::Conflict, error.to_string()).of_param("scopes")
            }
            KeyError::LastKey => Self::new(ErrorCode::Conflict, error.to_string()),
            KeyError::Random(_) => Self::internal(error),
            KeyError::Meta(meta) => meta.into(),
        }
    }
}
