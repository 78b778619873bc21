//! Evals over HTTP.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use store::meta::{Eval, EvalOrder, NewEval};
use utoipa::ToSchema;

use super::{criteria, read_json};
use crate::auth::Principal;
use crate::error::{ApiError, ErrorBody};
use crate::json::JsonBody;
use crate::pages::{ListPage, Metadata, metadata_text, raw, seconds, take_page};
use crate::read::{Direction, Params};
use crate::scope::Scope;
use crate::state::AppState;

/// An eval: what rows look like, and what they are graded by.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Eval)]
pub(super) struct EvalObject {
    /// `eval`.
    object: &'static str,
    /// Its id, `eval_…`.
    id: String,
    /// What people call it.
    name: String,
    /// When it was made, in seconds since 1970.
    created_at: i64,
    /// Pairs that people hang on it.
    #[schema(value_type = Object)]
    metadata: Box<RawValue>,
    /// What rows look like: `custom`, `logs`, `stored_completions` or `traces`, with a `schema`.
    #[schema(value_type = Object)]
    data_source_config: Box<RawValue>,
    /// The graders, each with the `id` that results name.
    #[schema(value_type = Vec<Object>)]
    testing_criteria: Box<RawValue>,
    /// The id that it had at OpenAI, if it was brought along from there.
    #[serde(skip_serializing_if = "Option::is_none")]
    openai_eval_id: Option<String>,
}

/// An eval to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EvalSent {
    /// What people call it.
    name: Option<String>,
    /// Up to 16 pairs that people hang on it.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Metadata>,
    /// What rows look like.
    #[schema(value_type = Object)]
    data_source_config: Map<String, Value>,
    /// The graders: `string_check`, `text_similarity`, `score_model`, `label_model`, `python`. Of an eval over
    /// traces also `rule`, `detector`, `trajectory`, `llm`, `code`, `multi`, and saved or ready graders:
    /// `"library:NAME"`, the name or id of one, or `{"id"|"name", "version"?}`.
    #[schema(value_type = Vec<Object>)]
    testing_criteria: Vec<Value>,
}

/// What shall be changed of an eval.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EvalChange {
    /// What people call it; without one it stays.
    name: Option<String>,
    /// All its pairs; without any they stay.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Metadata>,
}

/// An eval that was deleted.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeletedEval {
    /// `eval.deleted`.
    object: &'static str,
    deleted: bool,
    eval_id: String,
}

/// Make an eval.
#[utoipa::path(
    post,
    path = "/v1/evals",
    tag = "evals",
    request_body = EvalSent,
    responses(
        (status = 201, body = EvalObject),
        (status = 400, description = "Every mistake in the graders is told", body = ErrorBody),
        (status = 403, description = "The key may not send", body = ErrorBody)
    )
)]
pub(super) async fn create_eval(
    State(state): State<AppState>,
    principal: Principal,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<EvalObject>), ApiError> {
    principal.require(Scope::Ingest)?;
    let (sent, _hold) = read_json::<EvalSent>(&state, &headers, body).await?;
    let mut mistakes = Vec::new();
    let config = criteria::sent_config(&sent.data_source_config);
    let config = config.map_err(|mistake| mistakes.push(mistake)).ok();
    let sent_kind = sent.data_source_config.get("type");
    let is_of_traces = sent_kind.is_some_and(|kind| kind == "traces");
    let (project, criteria) = (&principal.project, &sent.testing_criteria);
    let criteria =
        criteria::checked(&state, project, criteria, is_of_traces, &mut mistakes).await?;
    let Some(config) = config.filter(|_| mistakes.is_empty()) else {
        return Err(criteria::all_of(&mistakes));
    };
    let new = NewEval {
        name: sent.name.unwrap_or_default(),
        metadata: metadata_text(&sent.metadata.unwrap_or_default())?,
        data_source_config: config.to_string(),
        testing_criteria: criteria.to_string(),
    };
    let meta = state.store.meta();
    let made = meta
        .create_eval(principal.who(), &principal.project, &new)
        .await?;
    Ok((StatusCode::CREATED, Json(EvalObject::of(made)?)))
}

/// List the project's evals, oldest first.
#[utoipa::path(
    get,
    path = "/v1/evals",
    tag = "evals",
    params(
        ("after" = Option<String>, Query, description = "The eval that the page comes behind"),
        ("limit" = Option<usize>, Query, description = "Entries of a page, 20 if not given"),
        ("order" = Option<String>, Query, description = "`asc`, which is the default, or `desc`"),
        ("order_by" = Option<String>, Query, description = "`created_at`, which is the default, or `updated_at`"),
    ),
    responses((status = 200, body = ListPage<EvalObject>), (status = 400, body = ErrorBody))
)]
pub(super) async fn list_evals(
    State(state): State<AppState>,
    principal: Principal,
    mut params: Params,
) -> Result<Json<ListPage<EvalObject>>, ApiError> {
    let asked = take_page(&mut params, Direction::Ascending)?;
    let order = match params.take("order_by")?.as_deref() {
        None | Some("created_at") => EvalOrder::CreatedAt,
        Some("updated_at") => EvalOrder::UpdatedAt,
        Some(other) => {
            let message = format!("{other:?} is not created_at or updated_at");
            return Err(ApiError::invalid("order_by", message));
        }
    };
    params.finish()?;
    let meta = state.store.meta();
    let page = meta.evals(&principal.project, order, &asked).await?;
    let page = page.try_map(EvalObject::of)?;
    Ok(Json(ListPage::of(page, |eval| &eval.id)))
}

/// Retrieve an eval.
#[utoipa::path(
    get,
    path = "/v1/evals/{eval_id}",
    tag = "evals",
    params(("eval_id" = String, Path, description = "The eval")),
    responses((status = 200, body = EvalObject), (status = 404, body = ErrorBody))
)]
pub(super) async fn retrieve_eval(
    State(state): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<Json<EvalObject>, ApiError> {
    let eval = state.store.meta().eval(&principal.project, &id).await?;
    Ok(Json(EvalObject::of(eval)?))
}

/// Change an eval's name or metadata. What it grades, and how, stays.
#[utoipa::path(
    post,
    path = "/v1/evals/{eval_id}",
    tag = "evals",
    params(("eval_id" = String, Path, description = "The eval")),
    request_body = EvalChange,
    responses(
        (status = 200, body = EvalObject),
        (status = 400, body = ErrorBody),
        (status = 403, description = "The key may not send", body = ErrorBody),
        (status = 404, body = ErrorBody)
    )
)]
pub(super) async fn update_eval(
    State(state): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
    JsonBody(change): JsonBody<EvalChange>,
) -> Result<Json<EvalObject>, ApiError> {
    principal.require(Scope::Ingest)?;
    let metadata = change.metadata.as_ref().map(metadata_text).transpose()?;
    let (name, metadata) = (change.name.as_deref(), metadata.as_deref());
    let meta = state.store.meta();
    let eval = meta
        .update_eval(principal.who(), &principal.project, &id, name, metadata)
        .await?;
    Ok(Json(EvalObject::of(eval)?))
}

/// Delete an eval with its runs.
#[utoipa::path(
    delete,
    path = "/v1/evals/{eval_id}",
    tag = "evals",
    params(("eval_id" = String, Path, description = "The eval")),
    responses(
        (status = 200, body = DeletedEval),
        (status = 403, description = "The key may not delete", body = ErrorBody),
        (status = 404, body = ErrorBody)
    )
)]
pub(super) async fn delete_eval(
    State(state): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<Json<DeletedEval>, ApiError> {
    principal.require(Scope::Admin)?;
    let meta = state.store.meta();
    let runs = meta
        .delete_eval(principal.who(), &principal.project, &id)
        .await?;
    runs.iter().for_each(|run| state.runs.cut_off(run));
    Ok(Json(DeletedEval {
        object: "eval.deleted",
        deleted: true,
        eval_id: id,
    }))
}

impl EvalObject {
    fn of(eval: Eval) -> Result<Self, ApiError> {
        Ok(Self {
            object: "eval",
            id: eval.id,
            name: eval.name,
            created_at: seconds(eval.created_at),
            metadata: raw(eval.metadata)?,
            data_source_config: raw(eval.data_source_config)?,
            testing_criteria: raw(eval.testing_criteria)?,
            openai_eval_id: eval.openai_id,
        })
    }
}
