//! Watches over HTTP: they are made, changed, looked at, and asked why.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use grade::trace::Costs;
use model::{NanoUsd, Time, TraceFilter, TraceId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use store::meta::{
    Decision, DecisionFilter, GraderUse, GradingRun, NewGradingRun, NewWatch, Watch, WatchChange,
};
use utoipa::ToSchema;

use super::api::{RunObject, require_label};
use super::graders::{require_services, resolve};
use super::watch::{Cursor, DECISIONS, WatchError, backfill};
use crate::auth::Principal;
use crate::error::{ApiError, ErrorBody, ErrorCode};
use crate::json::JsonBody;
use crate::pages::{ListPage, Metadata, metadata_text, raw, take_page};
use crate::read::{Direction, Params};
use crate::scope::Scope;
use crate::state::AppState;

/// Online grading: a run that never ends.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Watch)]
pub(super) struct WatchObject {
    /// `trace.watch`.
    object: &'static str,
    /// Its id, `watch_…`.
    id: String,
    /// What people call it.
    name: String,
    /// The run that grades for it.
    run_id: String,
    /// Which traces it looks at.
    #[schema(value_type = Object)]
    filter: Box<RawValue>,
    /// The share of those that is graded.
    sampling_rate: f64,
    /// Whether it looks.
    is_on: bool,
    /// What a day may cost, in US dollars; null: there is no end to it.
    cap_per_day_usd: Option<f64>,
    /// What today has cost so far.
    spent_today_usd: f64,
    /// How many traces it decided on, by what it decided.
    decisions: BTreeMap<String, i64>,
    run: RunObject,
    #[schema(value_type = String, format = DateTime)]
    created_at: Time,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Time,
}

/// A watch to be made.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WatchSent {
    /// What people call it.
    name: String,
    /// The graders, as a run names them.
    #[schema(value_type = Vec<Object>)]
    graders: Vec<Value>,
    /// Which traces it looks at; without one all. Dates such as `-7d` are reckoned anew at each look.
    #[schema(value_type = Option<Object>)]
    filter: Option<Value>,
    /// The share of those that is graded, from 0 to 1; without one all.
    sampling_rate: Option<f64>,
    /// What a day may cost, in US dollars; if judges are asked and none is given, what the server lets a
    /// run cost.
    cap_per_day_usd: Option<f64>,
    /// Up to 16 pairs that people hang on its run.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Metadata>,
}

/// What is changed of a watch; what is not given stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WatchChangeSent {
    name: Option<String>,
    #[schema(value_type = Option<Object>)]
    filter: Option<Value>,
    sampling_rate: Option<f64>,
    /// Whether it looks.
    is_on: Option<bool>,
    cap_per_day_usd: Option<f64>,
}

/// What a watch decided on a trace.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DecisionObject {
    trace_id: String,
    /// `graded`, `sampled_out`, `filtered_out`, `no_content` or `budget`.
    decision: String,
    /// Why.
    why: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    at: Time,
}

/// A page of decisions, in the order of the traces' ids.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DecisionList {
    /// `list`.
    object: &'static str,
    data: Vec<DecisionObject>,
    first_id: Option<String>,
    /// What `after` of the next page names.
    last_id: Option<String>,
    has_more: bool,
}

/// From when to when a watch looks back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BackfillSent {
    /// Traces that began then or later: a date, a moment, or such as `-7d`.
    start_date: Option<String>,
    /// Traces that began before.
    end_date: Option<String>,
}

/// What a look back came to.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Backfilled {
    /// `trace.watch.backfill`.
    object: &'static str,
    /// Traces that are graded because of it.
    graded: usize,
    /// Traces that are meant too and had been taken before: each is graded once.
    graded_before: usize,
}

/// A watch that was deleted.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeletedWatch {
    /// `trace.watch.deleted`.
    object: &'static str,
    id: String,
    deleted: bool,
}

/// Make a watch: from now on it decides on every trace that settles.
#[utoipa::path(
    post,
    path = "/v1/evals/traces/watches",
    tag = "grade",
    request_body = WatchSent,
    responses(
        (status = 201, body = WatchObject),
        (status = 400, description = "All that is wrong with the graders is told", body = ErrorBody),
        (status = 403, description = "The key may not send", body = ErrorBody)
    )
)]
pub(super) async fn create_watch(
    State(state): State<AppState>,
    principal: Principal,
    JsonBody(sent): JsonBody<WatchSent>,
) -> Result<(StatusCode, Json<WatchObject>), ApiError> {
    principal.require(Scope::Ingest)?;
    let (who, project) = (principal.who(), &principal.project);
    require_name(&sent.name)?;
    let filter = sent.filter.clone().unwrap_or_else(|| json!({}));
    require_filter(&filter, state.clock.now())?;
    let sampling_rate = require_rate(sent.sampling_rate.unwrap_or(1.0))?;
    let metadata = metadata_text(&sent.metadata.clone().unwrap_or_default())?;
    let mut graders = resolve(&state, project, &sent.graders).await?;
    if let Some(name) = graders.plan.comparing() {
        let message =
            format!("`{name}` compares two traces, and a watch sees one at a time: make a run");
        return Err(ApiError::invalid("graders", message));
    }
    require_services(&state, &graders.definitions()).await?;
    let costs = graders.plan.costs();
    let default = (costs == Costs::Judge).then_some(state.config.grading.run_cost_max);
    let cap_per_day = match sent.cap_per_day_usd {
        None => default,
        Some(usd) => Some(require_dollars(usd)?),
    };
    graders.keep(&state, who, project).await?;
    let frozen = graders.frozen();
    let uses = frozen.iter().map(|one| GraderUse {
        id: one.id.clone(),
        version: one.version,
        hash: one.hash.clone(),
    });
    let run = NewGradingRun {
        project: project.clone(),
        name: Some(sent.name.clone()),
        request: serde_json::to_string(&sent).map_err(ApiError::internal)?,
        graders: serde_json::to_string(&frozen).map_err(ApiError::internal)?,
        uses: uses.collect(),
        metadata,
        cap: cap_per_day,
        // By what the project says when a trace settles.
        settings: None,
        // In the order in which traces settle.
        in_order_of_hash: false,
    };
    let new = NewWatch {
        name: sent.name,
        filter: filter.to_string(),
        sampling_rate,
        cap_per_day,
        cursor: Some(Cursor::now(&state.store.snapshot(project)).text()),
    };
    let made = state.store.meta().create_watch(who, &new, &run).await?;
    Ok((StatusCode::CREATED, told(&state, made).await?))
}

/// List the project's watches, oldest first.
#[utoipa::path(
    get,
    path = "/v1/evals/traces/watches",
    tag = "grade",
    params(
        ("after" = Option<String>, Query, description = "The watch that the page comes behind"),
        ("limit" = Option<usize>, Query, description = "Entries of a page, 20 if not given"),
        ("order" = Option<String>, Query, description = "`asc`, which is the default, or `desc`"),
    ),
    responses((status = 200, body = ListPage<WatchObject>))
)]
pub(super) async fn list_watches(
    State(state): State<AppState>,
    principal: Principal,
    mut params: Params,
) -> Result<Json<ListPage<WatchObject>>, ApiError> {
    let asked = take_page(&mut params, Direction::Ascending)?;
    params.finish()?;
    let meta = state.store.meta();
    let page = meta.watches(&principal.project, &asked).await?;
    let mut entries = Vec::with_capacity(page.entries.len());
    for watch in page.entries {
        entries.push(object(&state, watch).await?);
    }
    let page = store::meta::Page {
        entries,
        has_more: page.has_more,
    };
    Ok(Json(ListPage::of(page, |watch| &watch.id)))
}

/// Retrieve a watch.
#[utoipa::path(
    get,
    path = "/v1/evals/traces/watches/{id}",
    tag = "grade",
    params(("id" = String, Path, description = "The watch")),
    responses((status = 200, body = WatchObject), (status = 404, body = ErrorBody))
)]
pub(super) async fn retrieve_watch(
    State(state): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<Json<WatchObject>, ApiError> {
    let watch = state.store.meta().watch(&principal.project, &id).await?;
    told(&state, watch).await
}

/// Change a watch, or turn it off and on again.
#[utoipa::path(
    post,
    path = "/v1/evals/traces/watches/{id}",
    tag = "grade",
    params(("id" = String, Path, description = "The watch")),
    request_body = WatchChangeSent,
    responses(
        (status = 200, body = WatchObject),
        (status = 400, body = ErrorBody),
        (status = 403, description = "The key may not send", body = ErrorBody),
        (status = 404, body = ErrorBody)
    )
)]
pub(super) async fn update_watch(
    State(state): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
    JsonBody(sent): JsonBody<WatchChangeSent>,
) -> Result<Json<WatchObject>, ApiError> {
    principal.require(Scope::Ingest)?;
    if let Some(filter) = &sent.filter {
        require_filter(filter, state.clock.now())?;
    }
    sent.name.as_deref().map(require_name).transpose()?;
    let cap_per_day = sent.cap_per_day_usd.map(require_dollars).transpose()?;
    let change = WatchChange {
        name: sent.name,
        filter: sent.filter.map(|filter| filter.to_string()),
        sampling_rate: sent.sampling_rate.map(require_rate).transpose()?,
        is_on: sent.is_on,
        cap_per_day: cap_per_day.map(Some),
    };
    let (who, project) = (principal.who(), &principal.project);
    let meta = state.store.meta();
    let watch = meta.update_watch(who, project, &id, &change).await?;
    match watch.is_on {
        true => state.grading.wake(),
        false => state.grading.stop(&watch.run_id),
    }
    told(&state, watch).await
}

/// Delete a watch. Its run is canceled and stays, with what it has graded.
#[utoipa::path(
    delete,
    path = "/v1/evals/traces/watches/{id}",
    tag = "grade",
    params(("id" = String, Path, description = "The watch")),
    responses(
        (status = 200, body = DeletedWatch),
        (status = 403, description = "The key may not delete", body = ErrorBody),
        (status = 404, body = ErrorBody)
    )
)]
pub(super) async fn delete_watch(
    State(state): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<Json<DeletedWatch>, ApiError> {
    principal.require(Scope::Admin)?;
    let (who, project) = (principal.who(), &principal.project);
    let meta = state.store.meta();
    let watch = meta.watch(project, &id).await?;
    meta.delete_watch(who, project, &id).await?;
    state.grading.stop(&watch.run_id);
    Ok(Json(DeletedWatch {
        object: "trace.watch.deleted",
        id,
        deleted: true,
    }))
}

/// Why was a trace graded, or why not? What a watch decided, of each trace the latest.
#[utoipa::path(
    get,
    path = "/v1/evals/traces/watches/{id}/decisions",
    tag = "grade",
    params(
        ("id" = String, Path, description = "The watch"),
        ("trace_id" = Option<String>, Query, description = "That on this trace"),
        ("decision" = Option<String>, Query, description = "`graded`, `sampled_out`, `filtered_out`, `no_content` or `budget`"),
        ("after" = Option<String>, Query, description = "The trace that the page comes behind"),
        ("limit" = Option<usize>, Query, description = "Entries of a page, 20 if not given"),
    ),
    responses(
        (status = 200, body = DecisionList),
        (status = 400, body = ErrorBody),
        (status = 404, body = ErrorBody)
    )
)]
pub(super) async fn list_decisions(
    State(state): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
    mut params: Params,
) -> Result<Json<DecisionList>, ApiError> {
    let asked = take_page(&mut params, Direction::Ascending)?;
    let trace_id = params.take("trace_id")?.map(|text| {
        TraceId::new(&text).map_err(|error| ApiError::invalid("trace_id", error.to_string()))
    });
    let filter = DecisionFilter {
        trace_id: trace_id.transpose()?,
        decision: params.take("decision")?.map(known_word).transpose()?,
    };
    params.finish()?;
    let meta = state.store.meta();
    // One that is not there decided nothing, which is another answer.
    let _there = meta.watch(&principal.project, &id).await?;
    let page = meta
        .decisions(&principal.project, &id, &filter, &asked)
        .await?;
    let data: Vec<DecisionObject> = page.entries.into_iter().map(DecisionObject::from).collect();
    let id = |one: Option<&DecisionObject>| one.map(|one| one.trace_id.clone());
    Ok(Json(DecisionList {
        object: "list",
        first_id: id(data.first()),
        last_id: id(data.last()),
        has_more: page.has_more,
        data,
    }))
}

/// Look back: what began in a span of time and has settled is decided on as if the watch had been there.
#[utoipa::path(
    post,
    path = "/v1/evals/traces/watches/{id}/backfill",
    tag = "grade",
    params(("id" = String, Path, description = "The watch")),
    request_body = BackfillSent,
    responses(
        (status = 200, body = Backfilled),
        (status = 400, body = ErrorBody),
        (status = 403, description = "The key may not send", body = ErrorBody),
        (status = 404, body = ErrorBody),
        (status = 409, description = "The run that grades for it is over", body = ErrorBody)
    )
)]
pub(super) async fn backfill_watch(
    State(state): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
    JsonBody(sent): JsonBody<BackfillSent>,
) -> Result<Json<Backfilled>, ApiError> {
    principal.require(Scope::Ingest)?;
    let dates = [
        ("start_date", sent.start_date.as_deref()),
        ("end_date", sent.end_date.as_deref()),
    ];
    let pairs = dates
        .iter()
        .filter_map(|(field, text)| Some((*field, (*text)?)));
    let (dates, _) = TraceFilter::from_pairs(pairs, state.clock.now())?;
    let watch = state.store.meta().watch(&principal.project, &id).await?;
    let taken = backfill(&state, &watch, dates.started_from, dates.started_until).await?;
    Ok(Json(Backfilled {
        object: "trace.watch.backfill",
        graded: taken.new,
        graded_before: taken.known,
    }))
}

/// Refuses a word for which no watch decides: nothing would match it, which is another answer.
fn known_word(word: String) -> Result<String, ApiError> {
    match DECISIONS.contains(&word.as_str()) {
        true => Ok(word),
        false => {
            let message = format!("{word:?} is not one of {}", DECISIONS.join(", "));
            Err(ApiError::invalid("decision", message))
        }
    }
}

fn require_name(name: &str) -> Result<(), ApiError> {
    require_label(name).map_err(|message| ApiError::invalid("name", message))
}

async fn told(state: &AppState, watch: Watch) -> Result<Json<WatchObject>, ApiError> {
    Ok(Json(object(state, watch).await?))
}

async fn object(state: &AppState, watch: Watch) -> Result<WatchObject, ApiError> {
    let meta = state.store.meta();
    let run: GradingRun = meta.grading_run(&watch.project, &watch.run_id).await?;
    let today = meta.grading_spent_on(&run.id, state.clock.now()).await?;
    let decisions = meta.decision_counts(&watch.id, watch.created_at).await?;
    Ok(WatchObject {
        object: "trace.watch",
        id: watch.id,
        name: watch.name,
        run_id: watch.run_id,
        filter: raw(watch.filter)?,
        sampling_rate: watch.sampling_rate,
        is_on: watch.is_on,
        cap_per_day_usd: watch.cap_per_day.map(NanoUsd::to_usd),
        spent_today_usd: today.to_usd(),
        decisions,
        run: RunObject::of(run)?,
        created_at: watch.created_at,
        updated_at: watch.updated_at,
    })
}

fn require_filter(filter: &Value, now: Time) -> Result<(), ApiError> {
    let read = TraceFilter::from_json(filter, now);
    read.map(|_| ())
        .map_err(|error| ApiError::invalid(format!("filter.{}", error.field), error.message))
}

fn require_rate(rate: f64) -> Result<f64, ApiError> {
    let fits = rate > 0.0 && rate <= 1.0;
    fits.then_some(rate).ok_or_else(|| {
        let message = format!("{rate} is not a share: more than 0 and at most 1");
        ApiError::invalid("sampling_rate", message)
    })
}

fn require_dollars(usd: f64) -> Result<NanoUsd, ApiError> {
    let fits = (0.0..=1e9).contains(&usd);
    fits.then(|| NanoUsd::from_usd(usd)).ok_or_else(|| {
        let message = format!("{usd} is no amount of US dollars");
        ApiError::invalid("cap_per_day_usd", message)
    })
}

impl From<Decision> for DecisionObject {
    fn from(decision: Decision) -> Self {
        Self {
            trace_id: decision.trace_id.to_string(),
            decision: decision.decision,
            why: decision.why,
            at: decision.at,
        }
    }
}

impl From<WatchError> for ApiError {
    fn from(error: WatchError) -> Self {
        match error {
            WatchError::Meta(error) => error.into(),
            WatchError::Over { .. } => Self::new(ErrorCode::Conflict, error.to_string()),
            other => Self::internal(other),
        }
    }
}
