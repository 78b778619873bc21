//! Projects over HTTP.

use axum::Json;
use axum::extract::{Path, State};
use model::{ProjectId, Time};
use serde::{Deserialize, Serialize};
use store::meta::{DEFAULT_PROJECT, ProjectSettings};
use utoipa::ToSchema;

use crate::auth::Principal;
use crate::config::is_share;
use crate::error::{ApiError, ErrorBody, ErrorCode};
use crate::grading::problems_of;
use crate::json::JsonBody;
use crate::listing::List;
use crate::state::AppState;

/// A project.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Project {
    /// `project`.
    object: &'static str,
    #[schema(value_type = String)]
    id: ProjectId,
    /// What people call it.
    name: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Time,
    /// `retention_days`, `assumed_model`, `include_sensitive_data`, `include_audio`, `sample_rate`,
    /// `judge_model`, `grading` (see `/v1/settings/grading`), and what other versions put there.
    #[schema(value_type = Object)]
    settings: ProjectSettings,
}

/// A project to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewProject {
    /// Its id, which cannot be changed.
    id: String,
    /// What people call it; without one, its id.
    name: Option<String>,
}

/// What shall be changed of a project.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProjectChange {
    /// What people call it; without one it stays.
    name: Option<String>,
    /// All its settings; without any they stay.
    #[schema(value_type = Option<Object>)]
    settings: Option<ProjectSettings>,
}

/// A project that was deleted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeletedProject {
    /// `project.deleted`.
    object: &'static str,
    #[schema(value_type = String)]
    id: ProjectId,
    deleted: bool,
}

/// List the projects.
#[utoipa::path(
    get,
    path = "/v1/projects",
    tag = "operate",
    responses((status = 200, body = List<Project>), (status = 403, body = ErrorBody))
)]
pub(crate) async fn list_projects(
    State(state): State<AppState>,
    principal: Principal,
) -> Result<Json<List<Project>>, ApiError> {
    principal.require_master()?;
    let projects = state.store.meta().projects().await?;
    Ok(Json(List::of(
        projects.into_iter().map(Project::from).collect(),
    )))
}

/// Make a project.
#[utoipa::path(
    post,
    path = "/v1/projects",
    tag = "operate",
    request_body = NewProject,
    responses(
        (status = 200, body = Project),
        (status = 403, body = ErrorBody),
        (status = 409, description = "There is one already, or there was", body = ErrorBody)
    )
)]
pub(crate) async fn create_project(
    State(state): State<AppState>,
    principal: Principal,
    JsonBody(new): JsonBody<NewProject>,
) -> Result<Json<Project>, ApiError> {
    principal.require_master()?;
    let id = parse(&new.id)?;
    let meta = state.store.meta();
    let name = new.name.as_deref().unwrap_or(&new.id);
    meta.create_project(principal.who(), &id, name).await?;
    state.projects.reload(meta).await?;
    Ok(Json(meta.project(&id).await?.into()))
}

/// Change a project's name or settings.
#[utoipa::path(
    post,
    path = "/v1/projects/{id}",
    tag = "operate",
    params(("id" = String, Path, description = "The project's id")),
    request_body = ProjectChange,
    responses((status = 200, body = Project), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn update_project(
    State(state): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
    JsonBody(change): JsonBody<ProjectChange>,
) -> Result<Json<Project>, ApiError> {
    principal.require_master()?;
    let id = parse(&id)?;
    let meta = state.store.meta();
    let _alone = state.projects.changing().await;
    let project = meta.project(&id).await?;
    let name = change.name.unwrap_or(project.name);
    let settings = change.settings.unwrap_or(project.settings);
    if settings.sample_rate.is_some_and(|rate| !is_share(&rate)) {
        let message = "sample_rate is the share of traces that is kept, from 0 to 1";
        return Err(ApiError::invalid("settings.sample_rate", message));
    }
    let problems = problems_of(&settings.other);
    if !problems.is_empty() {
        return Err(ApiError::invalid("settings", problems.join("\n")));
    }
    meta.update_project(principal.who(), &id, &name, &settings)
        .await?;
    state.projects.reload(meta).await?;
    Ok(Json(meta.project(&id).await?.into()))
}

/// Delete a project and everything in it. Its id is not given again.
#[utoipa::path(
    delete,
    path = "/v1/projects/{id}",
    tag = "operate",
    params(("id" = String, Path, description = "The project's id")),
    responses(
        (status = 200, body = DeletedProject),
        (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody),
        (status = 409, description = "The default project stays", body = ErrorBody)
    )
)]
pub(crate) async fn delete_project(
    State(state): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<Json<DeletedProject>, ApiError> {
    principal.require_master()?;
    let id = parse(&id)?;
    if id.as_str() == DEFAULT_PROJECT {
        let message = "the default project cannot be deleted: what names no project goes there";
        return Err(ApiError::new(ErrorCode::Conflict, message));
    }
    let meta = state.store.meta();
    meta.delete_project(principal.who(), &id).await?;
    // Closed for new requests before its rows go, so that none comes in behind the deletion.
    state.projects.reload(meta).await?;
    state.store.delete_project_rows(&id).await?;
    Ok(Json(DeletedProject {
        object: "project.deleted",
        id,
        deleted: true,
    }))
}

fn parse(id: &str) -> Result<ProjectId, ApiError> {
    ProjectId::new(id).map_err(|error| ApiError::invalid("id", error.to_string()))
}

impl From<store::meta::Project> for Project {
    fn from(project: store::meta::Project) -> Self {
        Self {
            object: "project",
            id: project.id,
            name: project.name,
            created_at: project.created_at,
            settings: project.settings,
        }
    }
}
