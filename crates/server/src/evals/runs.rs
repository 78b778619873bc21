//! Runs of evals over HTTP.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use grade::openai::Kind;
use grade::trace::Costs;
use model::NanoUsd;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use store::meta::{Eval, EvalRun, NewItem, NewRun, RunStatus, RunTally};
use tokio::task::spawn_blocking;
use utoipa::ToSchema;

use super::criteria::{By, Criterion};
use super::sampling::Sampling;
use super::source::{DataSource, RowRules, Rows, echoed};
use super::{criteria, read_file, read_json, recorded, traces};
use crate::auth::Principal;
use crate::body::{COPIES, Hold};
use crate::capture::ROOM_PATIENCE;
use crate::error::{ApiError, ErrorBody, ErrorCode};
use crate::grading::is_priced;
use crate::pages::{ListPage, Metadata, metadata_text, raw, seconds, take_page, take_word};
use crate::read::{Direction, Params, recorded_calls};
use crate::scope::Scope;
use crate::state::AppState;

/// A run of an eval.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EvalRun)]
pub(super) struct RunObject {
    /// `eval.run`.
    object: &'static str,
    /// Its id, `evalrun_…`.
    id: String,
    eval_id: String,
    /// What people call it: the model's name if nobody said.
    name: String,
    /// When it was made, in seconds since 1970.
    created_at: i64,
    /// `queued`, `in_progress`, `completed`, `failed` or `canceled`.
    status: &'static str,
    /// The model that it samples.
    model: Option<String>,
    /// Where it can be read, below this server's address.
    report_url: String,
    result_counts: ResultCounts,
    /// What each model's calls took: those that were sampled, and those that judged.
    per_model_usage: Option<Vec<ModelUsage>>,
    /// How many rows passed and failed each criterion.
    per_testing_criteria_results: Option<Vec<CriterionResults>>,
    /// Where its rows come from, as it was sent; an inline content of more than 256 KiB is left out and
    /// counted in `content_rows_omitted`.
    #[schema(value_type = Object)]
    data_source: Box<RawValue>,
    /// What its models have cost so far, in US dollars; not there if they cost nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_usd: Option<f64>,
    /// Why it failed: `code` and `message`.
    #[schema(value_type = Option<Object>)]
    error: Option<Box<RawValue>>,
    /// Pairs that people hang on it.
    #[schema(value_type = Object)]
    metadata: Box<RawValue>,
    /// `true` if it was graded elsewhere and brought along: its figures are those that were told there.
    #[serde(skip_serializing_if = "Option::is_none")]
    imported: Option<bool>,
    /// The id that it had there.
    #[serde(skip_serializing_if = "Option::is_none")]
    openai_run_id: Option<String>,
}

/// What a run came to.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Told {
    result_counts: Option<ResultCounts>,
    per_model_usage: Option<Vec<ModelUsage>>,
    per_testing_criteria_results: Option<Vec<CriterionResults>>,
}

/// How many rows there are, and what was found of them.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
struct ResultCounts {
    /// All rows; 0 as long as the run is queued.
    total: u64,
    /// Rows that could not be graded.
    errored: u64,
    /// Rows that failed a criterion.
    failed: u64,
    /// Rows that passed every criterion.
    passed: u64,
    /// Rows to which no criterion applies, which are in no other count; not there if there are none.
    #[serde(skip_serializing_if = "is_zero")]
    skipped: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// What calls of a model took.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
struct ModelUsage {
    model_name: String,
    invocation_count: i64,
    prompt_tokens: i64,
    completion_tokens: i64,
    total_tokens: i64,
    cached_tokens: i64,
}

/// How many rows passed and failed a criterion.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
struct CriterionResults {
    /// The criterion's id.
    testing_criteria: String,
    passed: u64,
    failed: u64,
    /// Rows of which it could say nothing.
    errored: u64,
    /// Rows to which it does not apply; not there if there are none.
    #[serde(skip_serializing_if = "is_zero")]
    skipped: u64,
}

/// A run to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RunSent {
    /// What people call it.
    name: Option<String>,
    /// Up to 16 pairs that people hang on it. `max_cost_usd` is what it may cost.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Metadata>,
    /// `jsonl` grades the samples that its rows bring; `completions` and `responses` ask `model` with
    /// `input_messages` first, if both are given; `traces` grades what was recorded. `max_cost_usd` is
    /// what all models that it asks may cost, `grading_run_cost_max` if it is not given.
    #[schema(value_type = Object)]
    data_source: Box<RawValue>,
}

/// A run that was deleted.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeletedRun {
    /// `eval.run.deleted`.
    object: &'static str,
    deleted: bool,
    run_id: String,
}

/// Make a run of an eval. Once this is answered it is on disk with all its rows, and waits for its turn.
#[utoipa::path(
    post,
    path = "/v1/evals/{eval_id}/runs",
    tag = "evals",
    params(("eval_id" = String, Path, description = "The eval")),
    request_body = RunSent,
    responses(
        (status = 201, body = RunObject),
        (status = 400, description = "The first row that cannot be used is named", body = ErrorBody),
        (status = 403, description = "The key may not send", body = ErrorBody),
        (status = 404, description = "There is no such eval, or no such file", body = ErrorBody)
    )
)]
pub(super) async fn create_run(
    State(state): State<AppState>,
    principal: Principal,
    Path(eval_id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<RunObject>), ApiError> {
    principal.require(Scope::Ingest)?;
    state.store.wait_for_room(ROOM_PATIENCE).await?;
    let meta = state.store.meta();
    let eval = meta.eval(&principal.project, &eval_id).await?;
    let (sent, hold) = read_json::<RunSent>(&state, &headers, body).await?;
    let mut source = DataSource::parse(&sent.data_source)?;
    let sampling = Sampling::of(&source)?;
    let metadata = sent.metadata.unwrap_or_default();
    source.cost_max(&metadata)?;
    require_what_it_needs(&state, &eval, &source, sampling.is_some())?;
    let rules = RowRules {
        schema: criteria::item_schema(&eval.data_source_config)?,
        needs_sample: matches!(source.kind.as_str(), "completions" | "responses")
            && sampling.is_none(),
    };
    let rows = source.take_rows()?;
    if source.kind == "traces" && !matches!(rows, Rows::Traces(_)) {
        let message = "a data_source of the type traces has a source of that type too";
        return Err(ApiError::invalid("data_source.source.type", message));
    }
    let (items, held) = read_rows(&state, &principal, &eval, rules, rows).await?;
    let new = NewRun {
        name: sent
            .name
            .or_else(|| source.model.clone())
            .unwrap_or_default(),
        model: source.model,
        data_source: echoed(&sent.data_source)?,
        metadata: metadata_text(&metadata)?,
        items,
    };
    let made = meta
        .create_run(principal.who(), &principal.project, &eval_id, &new)
        .await?;
    drop((hold, held));
    state.runs.wake();
    let made = RunObject::of(made, RunTally::default(), &[])?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Refuses a run that needs what nobody configured, or rows that it does not have: each of them would say
/// so.
fn require_what_it_needs(
    state: &AppState,
    eval: &Eval,
    source: &DataSource,
    samples: bool,
) -> Result<(), ApiError> {
    let all = criteria::stored(&eval.testing_criteria)?;
    let of_traces = criteria::of_traces(&all);
    let of_traces = of_traces.map_err(|problems| ApiError::internal(problems.join("; ")))?;
    if of_traces.is_some() && source.kind != "traces" {
        let message = "this eval has criteria that grade traces: send a data_source of the type traces, such as \
                       {\"type\": \"traces\", \"source\": {\"type\": \"traces\", \"limit\": 100}}";
        return Err(ApiError::invalid("data_source.type", message));
    }
    let costs = of_traces.map_or(Costs::Nothing, |of_traces| of_traces.costs());
    let uses = |wanted: &[Kind]| {
        all.iter().any(|criterion| match &criterion.by {
            By::Row(grader) => wanted.contains(&grader.kind()),
            By::Trace(..) => false,
        })
    };
    let asks_judge = costs == Costs::Judge || uses(&[Kind::ScoreModel, Kind::LabelModel]);
    if (samples || asks_judge) && state.graders.model.is_none() {
        let message = "this run asks a model, and no model endpoint is configured: set OPENAI_API_KEY (and \
                       OPENAI_BASE_URL for another provider) where the server runs";
        return Err(ApiError::new(ErrorCode::Unconfigured, message));
    }
    require_prices(state, &all, source)?;
    for criterion in &all {
        if let By::Row(grader) = &criterion.by {
            let checked = grader.check(&state.graders.get());
            checked
                .map_err(|problems| ApiError::new(ErrorCode::Unconfigured, problems.to_string()))?;
        }
    }
    if (uses(&[Kind::Python]) || costs == Costs::Code) && state.graders.python.is_none() {
        let message = "this run has Python graders, which this server is not set up to run";
        return Err(ApiError::new(ErrorCode::Unconfigured, message));
    }
    Ok(())
}

/// Refuses a run that asks models of which nobody knows what they cost: what it may cost could not be kept
/// to.
fn require_prices(
    state: &AppState,
    criteria: &[Criterion],
    source: &DataSource,
) -> Result<(), ApiError> {
    let judges = criteria.iter().filter_map(|criterion| match &criterion.by {
        By::Row(grader) => grader.model(),
        By::Trace(..) => None,
    });
    let mut models = source.model.as_deref().into_iter().chain(judges);
    let Some(model) = models.find(|model| !is_priced(state, model)) else {
        return Ok(());
    };
    let message = format!(
        "what {model:?} costs is not known, so no cap could be kept: give it a price with `tracegrade prices set MODEL \
         --from DAY --input USD --output USD` or PUT /v1/prices (0 for one that is free)"
    );
    Err(ApiError::new(ErrorCode::Unconfigured, message))
}

async fn read_rows(
    state: &AppState,
    principal: &Principal,
    eval: &Eval,
    rules: RowRules,
    rows: Rows,
) -> Result<(Vec<NewItem>, Hold), ApiError> {
    match rows {
        Rows::Inline(rows) => {
            // What they take is held with the body that they came in.
            let read = spawn_blocking(move || rules.inline(&rows)).await;
            Ok((
                read.map_err(ApiError::internal)??,
                Hold::new(state.store.ledger()),
            ))
        }
        Rows::File(id) => {
            let (content, hold) = read_file(state, &principal.project, &id, COPIES).await?;
            let read = spawn_blocking(move || rules.lines(&content, &id)).await;
            Ok((read.map_err(ApiError::internal)??, hold))
        }
        Rows::Recorded(query) => {
            let metadata = recorded::configured_metadata(&eval.data_source_config)?;
            let asked = query.asked(metadata)?;
            let make = recorded::row;
            let (rows, hold) = recorded_calls(state, &principal.project, &asked, make).await?;
            Ok((rules.recorded(rows)?, hold))
        }
        Rows::Traces(query) => traces::rows(state, &principal.project, *query, rules).await,
    }
}

/// List the runs of an eval, oldest first.
#[utoipa::path(
    get,
    path = "/v1/evals/{eval_id}/runs",
    tag = "evals",
    params(
        ("eval_id" = String, Path, description = "The eval"),
        ("after" = Option<String>, Query, description = "The run that the page comes behind"),
        ("limit" = Option<usize>, Query, description = "Entries of a page, 20 if not given"),
        ("order" = Option<String>, Query, description = "`asc`, which is the default, or `desc`"),
        ("status" = Option<String>, Query, description = "`queued`, `in_progress`, `completed`, `failed` or `canceled`"),
    ),
    responses((status = 200, body = ListPage<RunObject>), (status = 404, body = ErrorBody))
)]
pub(super) async fn list_runs(
    State(state): State<AppState>,
    principal: Principal,
    Path(eval_id): Path<String>,
    mut params: Params,
) -> Result<Json<ListPage<RunObject>>, ApiError> {
    let asked = take_page(&mut params, Direction::Ascending)?;
    let status = take_word::<RunStatus>(&mut params, "status")?;
    params.finish()?;
    let meta = state.store.meta();
    let eval = meta.eval(&principal.project, &eval_id).await?;
    let page = meta
        .runs(&principal.project, &eval_id, status, &asked)
        .await?;
    let ids: Vec<&str> = page.entries.iter().map(|run| &*run.id).collect();
    let mut tallies = meta.tallies(&ids).await?;
    let order = criteria::ids(&eval.testing_criteria)?;
    let page = page.try_map(|run| {
        let tally = tallies.remove(&run.id).unwrap_or_default();
        RunObject::of(run, tally, &order)
    })?;
    Ok(Json(ListPage::of(page, |run| &run.id)))
}

/// Retrieve a run.
#[utoipa::path(
    get,
    path = "/v1/evals/{eval_id}/runs/{run_id}",
    tag = "evals",
    params(
        ("eval_id" = String, Path, description = "The eval"),
        ("run_id" = String, Path, description = "The run"),
    ),
    responses((status = 200, body = RunObject), (status = 404, body = ErrorBody))
)]
pub(super) async fn retrieve_run(
    State(state): State<AppState>,
    principal: Principal,
    Path((eval_id, run_id)): Path<(String, String)>,
) -> Result<Json<RunObject>, ApiError> {
    let meta = state.store.meta();
    let run = meta.run(&principal.project, &eval_id, &run_id).await?;
    counted(&state, &principal, run).await
}

/// Stop a run. Rows that were graded stay; one that is over already is refused.
#[utoipa::path(
    post,
    path = "/v1/evals/{eval_id}/runs/{run_id}/cancel",
    tag = "evals",
    params(
        ("eval_id" = String, Path, description = "The eval"),
        ("run_id" = String, Path, description = "The run"),
    ),
    responses(
        (status = 200, body = RunObject),
        (status = 400, description = "It is over already", body = ErrorBody),
        (status = 403, description = "The key may not send", body = ErrorBody),
        (status = 404, body = ErrorBody)
    )
)]
pub(super) async fn cancel_run(
    State(state): State<AppState>,
    principal: Principal,
    Path((eval_id, run_id)): Path<(String, String)>,
) -> Result<Json<RunObject>, ApiError> {
    principal.require(Scope::Ingest)?;
    let meta = state.store.meta();
    let run = meta
        .cancel_run(principal.who(), &principal.project, &eval_id, &run_id)
        .await?;
    if run.status != RunStatus::Canceled {
        let message = format!("the run is {} already", run.status);
        return Err(ApiError::invalid("run_id", message));
    }
    state.runs.cut_off(&run_id);
    counted(&state, &principal, run).await
}

/// Stop a run, as clients up to 3.3 ask for it.
#[utoipa::path(
    post,
    path = "/v1/evals/{eval_id}/runs/{run_id}",
    tag = "evals",
    params(
        ("eval_id" = String, Path, description = "The eval"),
        ("run_id" = String, Path, description = "The run"),
    ),
    responses((status = 200, body = RunObject), (status = 404, body = ErrorBody))
)]
pub(super) async fn cancel_run_as_of_old(
    state: State<AppState>,
    principal: Principal,
    path: Path<(String, String)>,
) -> Result<Json<RunObject>, ApiError> {
    cancel_run(state, principal, path).await
}

/// Delete a run with what it has graded.
#[utoipa::path(
    delete,
    path = "/v1/evals/{eval_id}/runs/{run_id}",
    tag = "evals",
    params(
        ("eval_id" = String, Path, description = "The eval"),
        ("run_id" = String, Path, description = "The run"),
    ),
    responses(
        (status = 200, body = DeletedRun),
        (status = 403, description = "The key may not delete", body = ErrorBody),
        (status = 404, body = ErrorBody)
    )
)]
pub(super) async fn delete_run(
    State(state): State<AppState>,
    principal: Principal,
    Path((eval_id, run_id)): Path<(String, String)>,
) -> Result<Json<DeletedRun>, ApiError> {
    principal.require(Scope::Admin)?;
    let meta = state.store.meta();
    meta.delete_run(principal.who(), &principal.project, &eval_id, &run_id)
        .await?;
    state.runs.cut_off(&run_id);
    Ok(Json(DeletedRun {
        object: "eval.run.deleted",
        deleted: true,
        run_id,
    }))
}

async fn counted(
    state: &AppState,
    principal: &Principal,
    run: EvalRun,
) -> Result<Json<RunObject>, ApiError> {
    let meta = state.store.meta();
    let eval = meta.eval(&principal.project, &run.eval_id).await?;
    let mut tallies = meta.tallies(&[&run.id]).await?;
    let tally = tallies.remove(&run.id).unwrap_or_default();
    let order = criteria::ids(&eval.testing_criteria)?;
    Ok(Json(RunObject::of(run, tally, &order)?))
}

impl RunObject {
    /// Returns a run as it is sent; its criteria in the order of the eval's.
    fn of(run: EvalRun, tally: RunTally, criteria: &[String]) -> Result<Self, ApiError> {
        let told = match &run.told {
            Some(told) => serde_json::from_str(told).map_err(ApiError::internal)?,
            None if run.status == RunStatus::Queued => Told::default(),
            None => Told::counted(&tally, criteria),
        };
        Ok(Self {
            object: "eval.run",
            report_url: format!("/v1/evals/{}/runs/{}", run.eval_id, run.id),
            id: run.id,
            eval_id: run.eval_id,
            name: run.name,
            created_at: seconds(run.created_at),
            status: run.status.as_str(),
            model: run.model,
            result_counts: told.result_counts.unwrap_or_default(),
            per_model_usage: told.per_model_usage,
            per_testing_criteria_results: told.per_testing_criteria_results,
            data_source: raw(run.data_source)?,
            cost_usd: (run.spent > NanoUsd::default()).then(|| run.spent.to_usd()),
            error: run.error.map(raw).transpose()?,
            metadata: raw(run.metadata)?,
            imported: run.openai_id.is_some().then_some(true),
            openai_run_id: run.openai_id,
        })
    }
}

impl Told {
    /// Reads what a run came to elsewhere; what cannot be read of it is left out.
    pub(super) fn elsewhere(run: &str) -> Self {
        let fields: Map<String, Value> = serde_json::from_str(run).unwrap_or_default();
        Self {
            result_counts: figure(&fields, "result_counts"),
            per_model_usage: figure(&fields, "per_model_usage"),
            per_testing_criteria_results: figure(&fields, "per_testing_criteria_results"),
        }
    }

    /// Returns what the rows of a run come to that has begun.
    fn counted(tally: &RunTally, criteria: &[String]) -> Self {
        let per_criterion = criteria.iter().map(|id| {
            let counts = tally.criteria.get(id).copied().unwrap_or_default();
            let [passed, failed, errored, skipped] = counts;
            CriterionResults {
                testing_criteria: id.clone(),
                passed,
                failed,
                errored,
                skipped,
            }
        });
        let usage = tally.usage.iter().map(|(model, used)| ModelUsage {
            model_name: model.clone(),
            invocation_count: used.calls,
            prompt_tokens: used.prompt_tokens,
            completion_tokens: used.completion_tokens,
            total_tokens: used.total_tokens,
            cached_tokens: used.cached_tokens,
        });
        let usage: Vec<ModelUsage> = usage.collect();
        Self {
            result_counts: Some(ResultCounts::of(tally)),
            per_model_usage: (!usage.is_empty()).then_some(usage),
            per_testing_criteria_results: Some(per_criterion.collect()),
        }
    }
}

/// Reads a field of a run that was told elsewhere; what is null there is not told.
fn figure<T: DeserializeOwned>(fields: &Map<String, Value>, name: &str) -> Option<T> {
    let mut told = fields.get(name)?.clone();
    let entries = match &mut told {
        Value::Array(entries) => entries.iter_mut().collect(),
        one => vec![one],
    };
    for entry in entries.into_iter().filter_map(Value::as_object_mut) {
        entry.retain(|_, value| !value.is_null());
    }
    serde_json::from_value(told).ok()
}

impl ResultCounts {
    fn of(tally: &RunTally) -> Self {
        Self {
            total: tally.queued + tally.passed + tally.failed + tally.errored,
            errored: tally.errored,
            failed: tally.failed,
            passed: tally.passed,
            skipped: tally.skipped,
        }
    }
}
