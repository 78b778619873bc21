//! A run is made: everything that is wrong with what is asked is told at once, what it will cost before it
//! is spent.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use grade::trace::Costs;
use model::{NanoUsd, Time, TraceFilter, TraceId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::meta::{GraderUse, GradingRun, NewGradingRun};
use utoipa::ToSchema;

use super::api::{RunObject, require_label};
use super::context::Known;
use super::estimate::{Estimate, Power, estimate, power};
use super::graders::{Graders, require_services, resolve};
use super::pairs::{AgainstSent, against};
use super::plan::RuleOf;
use super::references::{REQUEST_BYTES_MAX, ReferenceSent, References, asking, warning};
use super::select::{Asked, Selected, Selection, Strategy, StratumAsked, require_some, select};
use super::stopping::StopWhen;
use super::worker::fail;
use crate::auth::Principal;
use crate::error::{ApiError, ErrorBody, ErrorCode, chain};
use crate::json::JsonBody;
use crate::pages::{Metadata, metadata_text};
use crate::proxy::new_id;
use crate::read::{blocking, of_project};
use crate::scope::Scope;
use crate::state::AppState;

/// Traces that are written down as items at a time.
const ITEMS_PER_WRITE: usize = 4_096;

/// A seed is no longer than this.
const SEED_CHARS_MAX: usize = 256;

/// Strata of a run.
const STRATA_MAX: usize = 64;

/// A run over traces, as it is asked for.
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GradeRequest {
    /// The graders: definitions, names or ids of saved ones, `{"id", "version"}`, or `library:NAME`.
    #[schema(value_type = Vec<Object>)]
    graders: Vec<Value>,
    /// These traces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trace_ids: Option<Vec<String>>,
    /// Those that a list with these fields shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    filter: Option<Value>,
    /// Of those the ones that keep to this rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    /// Of those the ones of this workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    workflow_name: Option<String>,
    /// Of those so many, the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    limit: Option<usize>,
    /// Of those so many, by a keyed hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sample_size: Option<usize>,
    /// `random`, `stratified` or `newest`. Stratified without `strata` is by status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sample_strategy: Option<String>,
    /// What each trace is compared with, for graders that compare two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) against: Option<AgainstSent>,
    /// What makes two traces a pair: `metadata.KEY` or `group`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pair_by: Option<String>,
    /// What should have been done, for graders that compare with that. It is kept with the traces of the
    /// run, not with what was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    references: Option<Vec<ReferenceSent>>,
    /// Where references name keys: `metadata.KEY`, the key of a trace's metadata that they are found by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    references_by: Option<String>,
    /// Stop before all traces are graded, as soon as this is known of one grader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stop_when: Option<StopWhen>,
    /// Parts of which so many are graded each; results are weighed by what each part has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    strata: Option<Vec<StratumSent>>,
    /// What the hash is keyed with: the same seed draws the same sample. One is made up if none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seed: Option<String>,
    /// What people call the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Up to 16 pairs that people hang on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    metadata: Option<Metadata>,
    /// Where it pauses, in US dollars; if judges are asked and none is given, where the server is set to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_cost_usd: Option<f64>,
    /// Whether traces that still run are graded as they are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    include_running: bool,
    /// Whether only the selection, the cost and what could be seen are told; nothing is kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
}

/// A part of the traces.
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct StratumSent {
    /// Its name; if none is given, what its filter says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Which traces are in it; one that is in several is in the first.
    #[schema(value_type = Object)]
    filter: Value,
    /// How many are graded; without it its share of what the others leave of `sample_size`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<usize>,
}

/// What a run would be.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DryRun {
    /// `trace.grading_run.draft`.
    object: &'static str,
    /// The graders as they would be used.
    #[schema(value_type = Vec<Object>)]
    graders: Value,
    #[schema(value_type = Object)]
    selection: Selection,
    #[schema(value_type = Object)]
    cost: Value,
    /// What differences the run could see, for each grader.
    #[schema(value_type = Vec<Object>)]
    power: Vec<Power>,
}

/// What POST answers: the run, or what it would be.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Started {
    /// A run that was made.
    Run(Box<RunObject>),
    /// With `dry_run`.
    Draft(Box<DryRun>),
}

/// Grade traces: makes a run, which is worked on as soon as it has its turn. Every mistake in the graders
/// is told at once.
#[utoipa::path(
    post,
    path = "/v1/evals/traces/grade",
    tag = "grade",
    request_body = GradeRequest,
    responses(
        (status = 201, description = "The run", body = Started),
        (status = 200, description = "With `dry_run`: what it would be", body = Started),
        (status = 400, description = "All that is wrong, each with its place", body = ErrorBody),
        (status = 403, description = "The key may not send", body = ErrorBody)
    )
)]
pub(super) async fn grade_traces(
    State(state): State<AppState>,
    principal: Principal,
    JsonBody(request): JsonBody<GradeRequest, REQUEST_BYTES_MAX>,
) -> Result<(StatusCode, Json<Started>), ApiError> {
    principal.require(Scope::Ingest)?;
    let who = principal.who().to_owned();
    let (dry, project) = (request.dry_run, principal.project.clone());
    let (checked, graders) = checked(&state, &principal, request).await?;
    // A client that leaves does not leave half a run behind.
    let work = async move {
        let draft = Draft::of(&state, &project, checked, graders).await?;
        if dry {
            return Ok((StatusCode::OK, Json(Started::Draft(Box::new(draft.told())))));
        }
        let run = draft.start(&state, &who, &project).await?;
        Ok((
            StatusCode::CREATED,
            Json(Started::Run(Box::new(RunObject::of(run)?))),
        ))
    };
    detached(work).await?
}

/// Runs something to its end, even if nobody waits for it any more.
#[expect(
    clippy::disallowed_methods,
    reason = "it ends by itself, and what it leaves if the server stops is told to be over at the next start"
)]
async fn detached<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::spawn(work).await.map_err(ApiError::internal)
}

/// What was asked, without a mistake in it.
#[derive(Debug)]
struct Checked {
    request: GradeRequest,
    asked: Asked,
    metadata: String,
    cap: Option<NanoUsd>,
}

/// Reads a request, or tells all that is wrong with it.
async fn checked(
    state: &AppState,
    principal: &Principal,
    mut request: GradeRequest,
) -> Result<(Checked, Graders), ApiError> {
    let mut problems = Problems::default();
    let graders = resolve(state, &principal.project, &request.graders).await;
    let graders = problems.take(graders);
    let metadata = metadata_text(&request.metadata.clone().unwrap_or_default());
    let metadata = problems.take(metadata);
    if let Some(Err(message)) = request.name.as_deref().map(require_label) {
        problems.take::<()>(Err(ApiError::invalid("name", message)));
    }
    if request.seed.is_none() {
        request.seed = Some(new_id::<8>("")?);
    }
    let asked = problems.take(asked(state, &principal.project, &request));
    let cap = match request.max_cost_usd {
        None => None,
        Some(usd) if (0.0..=1e9).contains(&usd) => Some(NanoUsd::from_usd(usd)),
        Some(usd) => {
            let message = format!("{usd} is no amount of US dollars");
            problems.take::<()>(Err(ApiError::invalid("max_cost_usd", message)));
            None
        }
    };
    let (Some(graders), Some(metadata), Some(mut asked)) = (graders, metadata, asked) else {
        return Err(problems.into_error());
    };
    let references = references_of(&mut request, &graders);
    asked.references = problems.take(references).flatten().map(Arc::new);
    let comparing = graders.plan.comparing();
    let compared = against(state, &principal.project, &request, comparing).await;
    asked.against = problems.take(compared).flatten();
    let costs = graders.plan.costs();
    if let Some(stop_when) = request.stop_when.take() {
        let checked = may_stop(&asked, costs).and_then(|()| stop_when.checked(&graders.plan));
        request.stop_when = problems.take(checked);
        asked.by_groups = true;
    }
    problems.into_result()?;
    require_services(state, &graders.definitions()).await?;
    asked.in_order_of_hash = costs > Costs::Nothing;
    let default = || (costs == Costs::Judge).then_some(state.config.grading.run_cost_max);
    let checked = Checked {
        cap: cap.or_else(default),
        request,
        asked,
        metadata,
    };
    Ok((checked, graders))
}

/// Reads what the traces are held against.
fn references_of(
    request: &mut GradeRequest,
    graders: &Graders,
) -> Result<Option<References>, ApiError> {
    let mut all = graders.plan.graders().iter();
    let are_steps = all.any(|one| one.grader.needs().reads_steps);
    References::read(
        request.references.take(),
        request.references_by.as_deref(),
        are_steps,
    )
}

/// Refuses to stop early where what was graded by then is no random sample, or nothing is saved by it.
fn may_stop(asked: &Asked, costs: Costs) -> Result<(), ApiError> {
    let message = match asked.strategy {
        Strategy::Stratified => {
            "with strata all of what was drawn is graded: leave one of them out"
        }
        Strategy::Newest => {
            "the newest are no random sample: nothing would follow from a part of them"
        }
        Strategy::All | Strategy::Random if costs == Costs::Nothing => {
            "no grader of the run asks a judge or runs code: there is nothing to save"
        }
        Strategy::All | Strategy::Random => return Ok(()),
    };
    Err(ApiError::invalid("stop_when", message))
}

/// Mistakes that are told together.
#[derive(Debug, Default)]
struct Problems(Vec<ApiError>);

impl Problems {
    fn take<T>(&mut self, result: Result<T, ApiError>) -> Option<T> {
        result.map_err(|error| self.0.push(error)).ok()
    }

    fn into_result(self) -> Result<(), ApiError> {
        match self.0.is_empty() {
            true => Ok(()),
            false => Err(self.into_error()),
        }
    }

    /// Returns one error that tells them all; one that is ours stands alone.
    fn into_error(mut self) -> ApiError {
        let ours = |error: &ApiError| error.code().status().is_server_error();
        if let Some(at) = self.0.iter().position(ours) {
            return self.0.swap_remove(at);
        }
        match self.0.len() {
            1 => self.0.remove(0),
            _ => {
                let lines = self.0.iter().map(ApiError::told);
                let lines: Vec<String> = lines.collect();
                ApiError::new(ErrorCode::InvalidBody, lines.join("\n"))
            }
        }
    }
}

/// Reads which traces are asked for.
fn asked(
    state: &AppState,
    project: &model::ProjectId,
    request: &GradeRequest,
) -> Result<Asked, ApiError> {
    let now = state.clock.now();
    let mut filter = match &request.filter {
        None => TraceFilter::default(),
        Some(filter) => TraceFilter::from_json(filter, now)
            .map_err(|error| ApiError::from(error).within("filter"))?,
    };
    if let Some(workflow) = &request.workflow_name {
        if !filter.workflow_name.is_empty() && !filter.workflow_name.contains(workflow) {
            let message = "the filter names another workflow";
            return Err(ApiError::invalid("workflow_name", message));
        }
        filter.workflow_name = vec![workflow.clone()];
    }
    if let Some(ids) = &request.trace_ids {
        if !filter.ids.is_empty() {
            return Err(ApiError::invalid("trace_ids", "the filter names ids too"));
        }
        if ids.is_empty() {
            return Err(ApiError::invalid("trace_ids", "it names no trace"));
        }
        let read = |id: &String| {
            let message = |error: model::IdError| format!("{id:?}: {error}");
            TraceId::new(id).map_err(|error| ApiError::invalid("trace_ids", message(error)))
        };
        filter.ids = ids.iter().map(read).collect::<Result<_, _>>()?;
    }
    let rule = match &request.rule {
        None => None,
        Some(check) => {
            let rule = RuleOf::parse(check, Known::of(state, project));
            let rule = rule.map_err(|problems| ApiError::invalid("rule", problems))?;
            Some(Arc::new(rule))
        }
    };
    for (field, number) in [
        ("limit", request.limit),
        ("sample_size", request.sample_size),
    ] {
        if number == Some(0) {
            return Err(ApiError::invalid(field, "it is at least 1"));
        }
    }
    let (strategy, strata) = strategy(request, now)?;
    let seed = request.seed.clone().unwrap_or_default();
    if seed.is_empty() || seed.chars().count() > SEED_CHARS_MAX {
        let message = format!("it has 1 to {SEED_CHARS_MAX} characters");
        return Err(ApiError::invalid("seed", message));
    }
    Ok(Asked {
        filter,
        rule,
        limit: request.limit,
        sample_size: request.sample_size,
        strategy,
        strata,
        seed,
        include_running: request.include_running,
        in_order_of_hash: false,
        by_groups: false,
        against: None,
        references: None,
    })
}

/// Reads how traces are drawn.
fn strategy(request: &GradeRequest, now: Time) -> Result<(Strategy, Vec<StratumAsked>), ApiError> {
    let refuse = |field: &str, message: &str| Err(ApiError::invalid(field, message));
    let sent = request.strata.as_deref().unwrap_or_default();
    if sent.len() > STRATA_MAX || request.strata.as_ref().is_some_and(Vec::is_empty) {
        return refuse("strata", &format!("there are 1 to {STRATA_MAX}"));
    }
    let strata: Vec<StratumAsked> = (sent.iter().enumerate())
        .map(|(at, stratum)| stratum.read(at, now))
        .collect::<Result<_, _>>()?;
    let mut names: Vec<&str> = strata.iter().map(|stratum| &*stratum.name).collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        return refuse("strata", "two of them have the same name");
    }
    match (request.sample_strategy.as_deref(), request.sample_size) {
        (None | Some("stratified"), _) if !strata.is_empty() => Ok((Strategy::Stratified, strata)),
        (Some(_), _) if !strata.is_empty() => {
            refuse("sample_strategy", "with strata it is stratified")
        }
        (Some("stratified"), Some(_)) => Ok((Strategy::Stratified, by_status())),
        (Some("random") | None, Some(_)) => Ok((Strategy::Random, strata)),
        (Some("newest"), Some(_)) => Ok((Strategy::Newest, strata)),
        (None, None) => Ok((Strategy::All, strata)),
        (Some("random" | "newest" | "stratified"), None) => {
            refuse("sample_size", "say how many traces are to be drawn")
        }
        (Some(other), _) => {
            let message = format!("{other:?} is not random, stratified or newest");
            refuse("sample_strategy", &message)
        }
    }
}

/// Returns a stratum for each status.
fn by_status() -> Vec<StratumAsked> {
    let of = |status: &model::TraceStatus| StratumAsked {
        name: status.to_string(),
        filter: TraceFilter {
            status: vec![*status],
            ..TraceFilter::default()
        },
        size: None,
    };
    model::TraceStatus::ALL.iter().map(of).collect()
}

impl StratumSent {
    fn read(&self, at: usize, now: Time) -> Result<StratumAsked, ApiError> {
        let field = |name: &str| format!("strata[{at}].{name}");
        let filter = TraceFilter::from_json(&self.filter, now).map_err(|error| {
            ApiError::invalid(field(&format!("filter.{}", error.field)), error.message)
        })?;
        let words = || {
            let pairs = filter.to_pairs();
            let words: Vec<String> = pairs.iter().map(|(k, v)| format!("{k}={v}")).collect();
            words.join(" ")
        };
        let name = self.name.clone().unwrap_or_else(words);
        Ok(StratumAsked {
            name,
            filter,
            size: self.size,
        })
    }
}

/// A run before it is made.
struct Draft {
    checked: Checked,
    graders: Graders,
    selected: Selected,
    estimate: Estimate,
    power: Vec<Power>,
}

impl Draft {
    /// Chooses the traces and reckons what grading them costs and shows.
    async fn of(
        state: &AppState,
        project: &model::ProjectId,
        checked: Checked,
        graders: Graders,
    ) -> Result<Self, ApiError> {
        let asked = Arc::new(checked.asked.clone());
        let mut selected = of_project(state, project, async |snapshot| {
            let (ledger, asked) = (Arc::clone(state.store.ledger()), Arc::clone(&asked));
            blocking(move || select(&snapshot, &ledger, &asked)).await?
        })
        .await?;
        require_some(&selected.selection)?;
        if selected.items.iter().all(|item| item.reference.is_none()) {
            let warning = warning(&asking(&graders.plan));
            selected.selection.warnings.extend(warning);
        }
        let estimate = estimate(state, project, &graders.plan, &selected, checked.cap).await?;
        let power = match checked.request.dry_run {
            true => power(state, project, &graders.plan, &selected.selection).await?,
            false => Vec::new(),
        };
        Ok(Self {
            checked,
            graders,
            selected,
            estimate,
            power,
        })
    }

    fn told(self) -> DryRun {
        DryRun {
            object: "trace.grading_run.draft",
            graders: json!(self.graders.frozen()),
            cost: json!({
                "estimate_usd": self.estimate.total.map(NanoUsd::to_usd),
                "cap_usd": self.checked.cap.map(NanoUsd::to_usd),
                "by_grader": self.estimate.by_grader,
                "traces_rendered": self.estimate.traces,
            }),
            selection: self.selected.selection,
            power: self.power,
        }
    }

    /// Makes the run with all its items.
    async fn start(
        mut self,
        state: &AppState,
        who: &str,
        project: &model::ProjectId,
    ) -> Result<GradingRun, ApiError> {
        let meta = state.store.meta();
        self.graders.keep(state, who, project).await?;
        let frozen = self.graders.frozen();
        let new = NewGradingRun {
            project: project.clone(),
            name: self.checked.request.name.clone(),
            request: serde_json::to_string(&self.checked.request).map_err(ApiError::internal)?,
            graders: serde_json::to_string(&frozen).map_err(ApiError::internal)?,
            uses: (frozen.iter())
                .map(|one| GraderUse {
                    id: one.id.clone(),
                    version: one.version,
                    hash: one.hash.clone(),
                })
                .collect(),
            metadata: self.checked.metadata.clone(),
            cap: self.checked.cap,
            settings: Some(Known::of(state, project).text()),
            in_order_of_hash: self.checked.asked.in_order_of_hash,
        };
        let run = meta.create_grading_run(who, &new).await?;
        if let Err(error) = self.open(state, &run.id).await {
            fail(state, &run.id, &chain(&error)).await;
            return Err(ApiError::internal(error));
        }
        state.grading.wake();
        Ok(meta.grading_run(project, &run.id).await?)
    }

    async fn open(&self, state: &AppState, run_id: &str) -> Result<(), store::DbError> {
        let meta = state.store.meta();
        for items in self.selected.items.chunks(ITEMS_PER_WRITE) {
            meta.add_grading_items(run_id, items).await?;
        }
        let selection = serde_json::to_string(&self.selected.selection)
            .expect("a selection is texts and numbers");
        meta.open_grading_run(run_id, &selection, self.estimate.total)
            .await?;
        Ok(())
    }
}
