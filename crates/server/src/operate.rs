//! The endpoints for whoever runs the server.

mod health;
mod keys;
mod prices;
mod projects;
mod upkeep;

use axum::Router;
use axum::routing::{delete, get, post, put};

use crate::state::AppState;

pub(crate) use health::{
    __path_health, __path_ingest_health, __path_metrics, __path_openapi_document,
};
pub(crate) use keys::{__path_create_key, __path_list_keys, __path_revoke_key};
pub(crate) use prices::{__path_list_prices, __path_remove_price, __path_set_price};
pub(crate) use projects::{
    __path_create_project, __path_delete_project, __path_list_projects, __path_update_project,
};

pub(crate) use upkeep::{__path_backup, __path_doctor};

/// Returns the routes that answer without a key: they tell nothing of what is kept.
pub(crate) fn open_routes() -> Router<AppState> {
    Router::new()
        .route("/v1/health", get(health::health))
        .route("/openapi.json", get(health::openapi_document))
}

/// Returns the routes for a key that may read.
pub(crate) fn reader_routes() -> Router<AppState> {
    Router::new()
        .route("/v1/health/ingest", get(health::ingest_health))
        .route("/v1/prices", get(prices::list_prices))
        .route("/metrics", get(health::metrics))
}

/// Returns the routes for a key that may do everything.
pub(crate) fn admin_routes() -> Router<AppState> {
    Router::new()
        .route("/v1/keys", get(keys::list_keys).post(keys::create_key))
        .route("/v1/keys/{id}", delete(keys::revoke_key))
        .route(
            "/v1/projects",
            get(projects::list_projects).post(projects::create_project),
        )
        .route(
            "/v1/projects/{id}",
            post(projects::update_project).delete(projects::delete_project),
        )
        .route(
            "/v1/prices",
            put(prices::set_price).delete(prices::remove_price),
        )
        .route("/v1/health/doctor", get(upkeep::doctor))
        .route("/v1/backup", post(upkeep::backup))
}
