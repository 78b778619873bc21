//! What was found of each row, over HTTP.

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use serde_json::value::RawValue;
use store::meta::{ItemStatus, OutputItem};
use utoipa::ToSchema;

use crate::auth::Principal;
use crate::error::{ApiError, ErrorBody};
use crate::pages::{ListPage, raw, seconds, take_page, take_word};
use crate::read::{Direction, Params};
use crate::state::AppState;

/// A row of a run, with what its graders said.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OutputItem)]
pub(super) struct OutputItemObject {
    /// `eval.run.output_item`.
    object: &'static str,
    /// Its id, `outputitem_…`.
    id: String,
    run_id: String,
    eval_id: String,
    /// When it was graded, in seconds since 1970.
    created_at: i64,
    /// `pass`, `fail`, `error` where it could not be graded, or `skip` where no criterion applies to it.
    status: &'static str,
    /// The place of the row, from 0.
    datasource_item_id: i64,
    /// The row.
    #[schema(value_type = Object)]
    datasource_item: Box<RawValue>,
    /// What each grader said: `name` (the criterion's id), `score`, `passed`, `sample` (the judge's call),
    /// `testing_criteria_name`, `type`, and where there are any `label`, `steps`, `error`. Graders of traces
    /// also say `outcome`, `citations` (the spans that made it so), `reasoning`, `unscored_reason`, `skipped`.
    #[schema(value_type = Vec<Object>)]
    results: Box<RawValue>,
    /// The answer that was graded; null where there was none.
    #[schema(value_type = Option<Object>)]
    sample: Option<Box<RawValue>>,
    /// `true` if it was graded elsewhere and brought along.
    #[serde(skip_serializing_if = "Option::is_none")]
    imported: Option<bool>,
    /// The id that it had there.
    #[serde(skip_serializing_if = "Option::is_none")]
    openai_output_item_id: Option<String>,
}

/// List the rows of a run that were graded, in the order of the rows.
#[utoipa::path(
    get,
    path = "/v1/evals/{eval_id}/runs/{run_id}/output_items",
    tag = "evals",
    params(
        ("eval_id" = String, Path, description = "The eval"),
        ("run_id" = String, Path, description = "The run"),
        ("after" = Option<String>, Query, description = "The item that the page comes behind"),
        ("limit" = Option<usize>, Query, description = "Entries of a page, 20 if not given"),
        ("order" = Option<String>, Query, description = "`asc`, which is the default, or `desc`"),
        ("status" = Option<String>, Query, description = "`pass`, `fail` (or `failed`), `error` or `skip`"),
    ),
    responses((status = 200, body = ListPage<OutputItemObject>), (status = 404, body = ErrorBody))
)]
pub(super) async fn list_output_items(
    State(state): State<AppState>,
    principal: Principal,
    Path((eval_id, run_id)): Path<(String, String)>,
    mut params: Params,
) -> Result<Json<ListPage<OutputItemObject>>, ApiError> {
    let asked = take_page(&mut params, Direction::Ascending)?;
    let status = take_word::<ItemStatus>(&mut params, "status")?;
    params.finish()?;
    let meta = state.store.meta();
    let run = meta.run(&principal.project, &eval_id, &run_id).await?;
    let page = meta.output_items(&run.id, status, &asked).await?;
    let page = page.try_map(|item| OutputItemObject::of(item, &eval_id, &run_id))?;
    Ok(Json(ListPage::of(page, |item| &item.id)))
}

/// Retrieve a row of a run that was graded.
#[utoipa::path(
    get,
    path = "/v1/evals/{eval_id}/runs/{run_id}/output_items/{item_id}",
    tag = "evals",
    params(
        ("eval_id" = String, Path, description = "The eval"),
        ("run_id" = String, Path, description = "The run"),
        ("item_id" = String, Path, description = "The output item"),
    ),
    responses((status = 200, body = OutputItemObject), (status = 404, body = ErrorBody))
)]
pub(super) async fn retrieve_output_item(
    State(state): State<AppState>,
    principal: Principal,
    Path((eval_id, run_id, item_id)): Path<(String, String, String)>,
) -> Result<Json<OutputItemObject>, ApiError> {
    let meta = state.store.meta();
    let run = meta.run(&principal.project, &eval_id, &run_id).await?;
    let item = meta.output_item(&run.id, &item_id).await?;
    Ok(Json(OutputItemObject::of(item, &eval_id, &run_id)?))
}

impl OutputItemObject {
    fn of(item: OutputItem, eval_id: &str, run_id: &str) -> Result<Self, ApiError> {
        Ok(Self {
            object: "eval.run.output_item",
            id: item.id,
            run_id: run_id.to_owned(),
            eval_id: eval_id.to_owned(),
            created_at: seconds(item.graded_at),
            status: item.status.as_str(),
            datasource_item_id: item.position,
            datasource_item: raw(item.item)?,
            results: raw(item.results)?,
            sample: item.sample.map(raw).transpose()?,
            imported: item.openai_id.is_some().then_some(true),
            openai_output_item_id: item.openai_id,
        })
    }
}
