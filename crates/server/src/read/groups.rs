//! Conversations and workflows: their traces summed up.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use model::{GroupId, Time, TraceFilter};
use query::{GatherBy, Page, Summary, SummaryCursor};
use serde::Serialize;
use store::Snapshot;
use utoipa::ToSchema;

use crate::auth::Principal;
use crate::error::{ApiError, ErrorBody};
use crate::state::AppState;

use super::cursors;
use super::params::Params;
use super::snapshots::of_project;
use super::traces::unknown_cursor;

/// The traces of one group or workflow, summed up.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TraceSummary)]
pub(super) struct SummaryObject {
    /// The group's id or the workflow's name.
    id: String,
    /// `group` or `workflow`.
    object: &'static str,
    /// Of groups: the id once more.
    #[serde(skip_serializing_if = "Option::is_none")]
    group_id: Option<String>,
    /// Of workflows: the name once more.
    #[serde(skip_serializing_if = "Option::is_none")]
    workflow_name: Option<String>,
    trace_count: i64,
    /// How many have the status `error` or `timeout`.
    error_count: i64,
    /// How many have the status `running`.
    running_count: i64,
    input_tokens: Option<i64>,
    output_tokens: Option<i64>,
    /// Null if nothing is known.
    total_cost_usd: Option<f64>,
    cost_complete: bool,
    #[schema(value_type = Option<String>, format = DateTime)]
    first_started_at: Option<Time>,
    #[schema(value_type = Option<String>, format = DateTime)]
    last_started_at: Option<Time>,
    /// The list is by this, newest first.
    #[schema(value_type = String, format = DateTime)]
    last_received_at: Time,
}

/// A page of groups or workflows.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TraceSummaries)]
pub(super) struct SummaryPage {
    /// `list`.
    object: &'static str,
    data: Vec<SummaryObject>,
    first_id: Option<String>,
    last_id: Option<String>,
    has_more: bool,
    /// For `after`; safer than an id, since a group moves when a trace of it comes.
    next_cursor: Option<String>,
}

/// Lists groups: those with the newest rows first.
#[utoipa::path(
    get,
    path = "/v1/groups",
    tag = "read",
    params(
        ("limit" = Option<u32>, Query, description = "1 to 1000; 20 without it"),
        ("after" = Option<String>, Query, description = "The id of the last group of the page before, or its next_cursor"),
        ("workflow_name" = Option<String>, Query, description = "This and every other field of a filter: which traces are summed up"),
        ("rule" = Option<String>, Query, description = "A rule about a trace's own fields that holds for them"),
    ),
    responses(
        (status = 200, body = SummaryPage),
        (status = 400, body = ErrorBody, description = "A parameter is unknown or cannot be used"),
    )
)]
pub(super) async fn list_groups(
    State(state): State<AppState>,
    principal: Principal,
    params: Params,
) -> Result<Json<SummaryPage>, ApiError> {
    summaries(&state, &principal, GatherBy::Group, params)
        .await
        .map(Json)
}

/// Lists workflows: those with the newest rows first.
#[utoipa::path(
    get,
    path = "/v1/workflows",
    tag = "read",
    params(
        ("limit" = Option<u32>, Query, description = "1 to 1000; 20 without it"),
        ("after" = Option<String>, Query, description = "The name of the last workflow of the page before, or its next_cursor"),
        ("group_id" = Option<String>, Query, description = "This and every other field of a filter: which traces are summed up"),
        ("rule" = Option<String>, Query, description = "A rule about a trace's own fields that holds for them"),
    ),
    responses(
        (status = 200, body = SummaryPage),
        (status = 400, body = ErrorBody, description = "A parameter is unknown or cannot be used"),
    )
)]
pub(super) async fn list_workflows(
    State(state): State<AppState>,
    principal: Principal,
    params: Params,
) -> Result<Json<SummaryPage>, ApiError> {
    summaries(&state, &principal, GatherBy::Workflow, params)
        .await
        .map(Json)
}

async fn summaries(
    state: &AppState,
    principal: &Principal,
    by: GatherBy,
    mut params: Params,
) -> Result<SummaryPage, ApiError> {
    let filter = params.take_filter(state.clock.now())?;
    let limit = params.take_limit()?;
    let after = params.take("after")?;
    params.finish()?;
    let page = of_project(state, &principal.project, async |snapshot| {
        let after = match &after {
            None => None,
            Some(text) => Some(cursor(state, &snapshot, by, &filter, text).await?),
        };
        let list = state
            .engine
            .list_summaries(snapshot, by, filter.clone(), limit, after);
        Ok::<_, ApiError>(list.await?)
    });
    Ok(SummaryPage::of(by, page.await?))
}

/// Returns the place that `after` names: our own cursor, or the name of a summary.
async fn cursor(
    state: &AppState,
    snapshot: &Arc<Snapshot>,
    by: GatherBy,
    filter: &TraceFilter,
    text: &str,
) -> Result<SummaryCursor, ApiError> {
    if let Some(cursor) = cursors::summary(text) {
        return Ok(cursor);
    }
    let mut only = filter.clone();
    match by {
        GatherBy::Group => only.group_id = vec![GroupId::new(text).map_err(|_| unknown_cursor())?],
        GatherBy::Workflow => only.workflow_name = vec![text.to_owned()],
    }
    let page = state
        .engine
        .list_summaries(Arc::clone(snapshot) as _, by, only, 1, None)
        .await?;
    let found = page.items.into_iter().next().ok_or_else(unknown_cursor)?;
    Ok(SummaryCursor {
        last_received_at: found.last_received_at,
        name: found.name,
    })
}

impl SummaryPage {
    fn of(by: GatherBy, page: Page<Summary, SummaryCursor>) -> Self {
        let id = |summary: Option<&Summary>| summary.map(|summary| summary.name.clone());
        Self {
            object: "list",
            first_id: id(page.items.first()),
            last_id: id(page.items.last()),
            has_more: page.next.is_some(),
            next_cursor: page.next.as_ref().map(cursors::of_summary),
            data: page
                .items
                .into_iter()
                .map(|summary| SummaryObject::of(by, summary))
                .collect(),
        }
    }
}

impl SummaryObject {
    fn of(by: GatherBy, summary: Summary) -> Self {
        let is_group = by == GatherBy::Group;
        let name = || summary.name.clone();
        Self {
            object: if is_group { "group" } else { "workflow" },
            group_id: is_group.then(name),
            workflow_name: (!is_group).then(name),
            trace_count: summary.traces,
            error_count: summary.errors,
            running_count: summary.running,
            input_tokens: summary.input_tokens,
            output_tokens: summary.output_tokens,
            total_cost_usd: summary.cost.map(|cost| cost.to_usd()),
            cost_complete: summary.cost_complete,
            first_started_at: summary.first_started_at,
            last_started_at: summary.last_started_at,
            last_received_at: summary.last_received_at,
            id: summary.name,
        }
    }
}
