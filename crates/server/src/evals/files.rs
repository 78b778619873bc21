//! Files over HTTP: what runs read their rows from.
//!
//! Nothing of the content is looked at when it comes: what a file is for shows when it is used, and then
//! whoever uses it is told what is wrong with which line.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde::Serialize;
use store::meta::{NewUpload, PageAsked, Upload};
use utoipa::ToSchema;

use super::{form, read_file};
use crate::auth::Principal;
use crate::capture::ROOM_PATIENCE;
use crate::error::{ApiError, ErrorBody};
use crate::pages::{ListPage, seconds};
use crate::read::{Direction, Params};
use crate::scope::Scope;
use crate::state::AppState;

/// Entries of a page, unless fewer are asked for: OpenAI's clients count on all files at once.
const FILES_PER_PAGE: usize = 10_000;

/// A file.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = File)]
pub(super) struct FileObject {
    /// `file`.
    object: &'static str,
    /// Its id, `file-…`.
    id: String,
    /// What it is for, as its sender said.
    purpose: String,
    /// What its sender calls it.
    filename: String,
    /// Its length.
    bytes: u64,
    /// When it came, in seconds since 1970.
    created_at: i64,
    /// Null: files stay until they are deleted.
    expires_at: Option<i64>,
    /// `processed`.
    status: &'static str,
    /// Null.
    status_details: Option<String>,
}

/// A file that was deleted.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeletedFile {
    /// `file`.
    object: &'static str,
    id: String,
    deleted: bool,
}

/// List the project's files, newest first.
#[utoipa::path(
    get,
    path = "/v1/files",
    tag = "evals",
    params(
        ("after" = Option<String>, Query, description = "The file that the page comes behind"),
        ("limit" = Option<usize>, Query, description = "Entries of a page, up to 10,000, which is the default"),
        ("order" = Option<String>, Query, description = "`asc` or `desc`, which is the default"),
        ("purpose" = Option<String>, Query, description = "Only files for this"),
    ),
    responses((status = 200, body = ListPage<FileObject>), (status = 400, body = ErrorBody))
)]
pub(super) async fn list_files(
    State(state): State<AppState>,
    principal: Principal,
    mut params: Params,
) -> Result<Json<ListPage<FileObject>>, ApiError> {
    let asked = PageAsked {
        after: params.take("after")?,
        limit: params.take_limit_within(FILES_PER_PAGE, FILES_PER_PAGE)?,
        is_descending: params.take_order(Direction::Descending)? == Direction::Descending,
    };
    let purpose = params.take("purpose")?;
    params.finish()?;
    let meta = state.store.meta();
    let page = meta
        .uploads(&principal.project, purpose.as_deref(), &asked)
        .await?;
    let page = page.map(FileObject::from);
    Ok(Json(ListPage::of(page, |file| &file.id)))
}

/// Keep a file. Once this is answered it is on disk.
#[utoipa::path(
    post,
    path = "/v1/files",
    tag = "evals",
    request_body(
        description = "A form with `purpose` (such as `evals`) and `file`",
        content = Vec<u8>,
        content_type = "multipart/form-data"
    ),
    responses(
        (status = 200, body = FileObject),
        (status = 400, body = ErrorBody),
        (status = 403, description = "The key may not send", body = ErrorBody),
        (status = 413, description = "The file is larger than a limit, which is named", body = ErrorBody),
    )
)]
pub(super) async fn create_file(
    State(state): State<AppState>,
    principal: Principal,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<FileObject>, ApiError> {
    principal.require(Scope::Ingest)?;
    state.store.wait_for_room(ROOM_PATIENCE).await?;
    let form = form::read(&state, &headers, body).await?;
    let new = NewUpload {
        project: principal.project.clone(),
        filename: form.filename,
        purpose: form.purpose,
    };
    let kept = state
        .store
        .keep_upload(principal.who(), new, form.content)
        .await?;
    drop(form.hold);
    Ok(Json(kept.into()))
}

/// Retrieve what is known of a file.
#[utoipa::path(
    get,
    path = "/v1/files/{id}",
    tag = "evals",
    params(("id" = String, Path, description = "The file")),
    responses((status = 200, body = FileObject), (status = 404, body = ErrorBody))
)]
pub(super) async fn retrieve_file(
    State(state): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<Json<FileObject>, ApiError> {
    let meta = state.store.meta();
    Ok(Json(meta.upload(&principal.project, &id).await?.into()))
}

/// Retrieve the content of a file.
#[utoipa::path(
    get,
    path = "/v1/files/{id}/content",
    tag = "evals",
    params(("id" = String, Path, description = "The file")),
    responses(
        (status = 200, description = "As it was sent", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 404, body = ErrorBody)
    )
)]
pub(super) async fn file_content(
    State(state): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<impl IntoResponse, ApiError> {
    // Held until the answer begins; from then on the connection has it.
    let (content, _hold) = read_file(&state, &principal.project, &id, 1).await?;
    Ok(([(CONTENT_TYPE, "application/octet-stream")], content))
}

/// Delete a file. Runs that were made of it keep their rows.
#[utoipa::path(
    delete,
    path = "/v1/files/{id}",
    tag = "evals",
    params(("id" = String, Path, description = "The file")),
    responses(
        (status = 200, body = DeletedFile),
        (status = 403, description = "The key may not delete", body = ErrorBody),
        (status = 404, body = ErrorBody)
    )
)]
pub(super) async fn delete_file(
    State(state): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<Json<DeletedFile>, ApiError> {
    principal.require(Scope::Admin)?;
    let who = principal.who();
    state
        .store
        .delete_upload(who, &principal.project, &id)
        .await?;
    Ok(Json(DeletedFile {
        object: "file",
        id,
        deleted: true,
    }))
}

impl From<Upload> for FileObject {
    fn from(upload: Upload) -> Self {
        Self {
            object: "file",
            id: upload.id,
            purpose: upload.purpose,
            filename: upload.filename,
            bytes: upload.bytes,
            created_at: seconds(upload.created_at),
            expires_at: None,
            status: "processed",
            status_details: None,
        }
    }
}
