//! What would a grader say of the traces that are there?
//!
//! Nothing is kept: a draft is tried until it says what its author means. Every rate comes with its
//! interval, and traces of one group count as what they are, one conversation.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use grade::trace::TraceGrader;
use model::{GroupId, Outcome, TraceFilter, TraceId, Verdict};
use query::{Order, TraceList};
use serde::{Deserialize, Serialize};
use stats::interval::Purpose;
use stats::{Figure, Level, Row, Rows, cluster};
use store::{Columns, Snapshot, Table};
use utoipa::ToSchema;

use super::loaded::Loaded;
use super::pieces::blocking;
use super::rules;
use super::snapshots::of_project;
use crate::auth::Principal;
use crate::error::{ApiError, ErrorBody};
use crate::json::JsonBody;
use crate::objects::Detail;
use crate::state::AppState;

/// Traces that are looked at if nobody says how many.
const TRACES: usize = 50;

/// More are not looked at in one request.
const TRACES_MAX: usize = 1_000;

/// A grader to be tried.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TrialRequest {
    /// The grader: `{"type":"rule","check":…}`, `{"type":"detector","detector":"D05"}` or
    /// `{"type":"trajectory","metric":…}`.
    #[schema(value_type = Object)]
    grader: serde_json::Value,
    /// The traces: those that a list with these fields shows; without it the newest of all.
    #[schema(value_type = Option<Object>)]
    filter: Option<serde_json::Value>,
    /// So many of them, the newest: 50 if not given, 1000 at most.
    limit: Option<usize>,
}

/// What a grader says of some traces.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Trial {
    /// `grader.trial`.
    object: &'static str,
    name: String,
    /// `rule`, `detector` or `trajectory`.
    r#type: &'static str,
    /// How many traces came out how: `pass`, `fail`, `value`, `not_applicable`, `unscored`.
    counts: BTreeMap<&'static str, usize>,
    /// The share of passes among passes and fails; null if there are neither, or if they lie in one
    /// group.
    pass_rate: Option<RateObject>,
    /// One entry a trace, the newest first.
    data: Vec<TrialVerdict>,
}

/// A rate and how sure it is.
#[derive(Debug, Serialize, ToSchema)]
struct RateObject {
    estimate: f64,
    /// Where the truth lies with 95 % confidence: lower and upper end.
    interval: [f64; 2],
    /// How the interval is made.
    method: String,
    n: usize,
    groups: usize,
    design_effect: f64,
    /// Whether fewer than ten groups went in, too few to be sure of the interval.
    too_few_groups: bool,
}

/// What a grader says of one trace.
#[derive(Debug, Serialize, ToSchema)]
struct TrialVerdict {
    trace_id: String,
    /// `pass`, `fail`, `value`, `not_applicable` or `unscored`.
    outcome: &'static str,
    score: Option<f64>,
    label: Option<String>,
    /// Why there is no verdict.
    unscored_reason: Option<&'static str>,
    /// Why it came out so.
    reasoning: Option<String>,
    /// The spans that made it so.
    citations: Vec<String>,
    /// Whether it holds only because there was nothing to look at.
    vacuous: bool,
}

/// Try a grader on traces that are stored. Nothing of it is kept.
#[utoipa::path(
    post,
    path = "/v1/graders/try",
    tag = "grade",
    request_body = TrialRequest,
    responses(
        (status = 200, body = Trial),
        (status = 400, description = "Every mistake in the grader is told, with its place", body = ErrorBody)
    )
)]
pub(super) async fn try_grader(
    State(state): State<AppState>,
    principal: Principal,
    JsonBody(asked): JsonBody<TrialRequest>,
) -> Result<Json<Trial>, ApiError> {
    let grader = TraceGrader::parse(&asked.grader)
        .map_err(|problems| ApiError::invalid("grader", problems.to_string()))?;
    let limit = asked.limit.unwrap_or(TRACES);
    if !(1..=TRACES_MAX).contains(&limit) {
        let message = format!("it is between 1 and {TRACES_MAX}");
        return Err(ApiError::invalid("limit", message));
    }
    let filter = rules::filter_of(asked.filter.as_ref(), state.clock.now())?;
    let grader = Arc::new(grader);
    let graded = of_project(&state, &principal.project, async |snapshot| {
        grade_newest(&state, snapshot, &grader, &filter, limit).await
    })
    .await?;
    Ok(Json(Trial::of(&grader, graded)))
}

/// A trace and what the grader says of it.
struct Graded {
    trace_id: TraceId,
    group_id: Option<GroupId>,
    verdict: Verdict,
}

async fn grade_newest(
    state: &AppState,
    snapshot: Arc<Snapshot>,
    grader: &Arc<TraceGrader>,
    filter: &TraceFilter,
    limit: usize,
) -> Result<Vec<Graded>, ApiError> {
    let list = TraceList {
        filter: filter.clone(),
        order: Order::Descending,
        limit,
        after: None,
        columns: Columns::narrow(Table::Traces),
    };
    let page = state
        .engine
        .list_traces(Arc::clone(&snapshot) as _, list)
        .await?;
    let ids: Vec<TraceId> = page
        .items
        .into_iter()
        .map(|entry| entry.row.item.trace_id.clone())
        .collect();
    let (ledger, grader) = (Arc::clone(state.store.ledger()), Arc::clone(grader));
    let grade = move || {
        let mut graded = Vec::with_capacity(ids.len());
        for id in ids {
            // One after the other: what each weighs is given back before the next is read.
            let loaded = Loaded::read(&snapshot, &ledger, &id, Some(Detail::Full))?;
            let Some(loaded) = loaded else { continue };
            let view = loaded.view();
            graded.push(Graded {
                group_id: view.row.item.group_id.clone(),
                verdict: grader.grade(&view, &insight::Context::default()),
                trace_id: id,
            });
        }
        Ok::<_, ApiError>(graded)
    };
    blocking(grade).await?
}

impl Trial {
    fn of(grader: &TraceGrader, graded: Vec<Graded>) -> Self {
        let mut counts: BTreeMap<&'static str, usize> = Outcome::ALL
            .iter()
            .map(|outcome| (outcome.as_str(), 0))
            .collect();
        for one in &graded {
            *counts.entry(one.verdict.outcome.as_str()).or_default() += 1;
        }
        Self {
            object: "grader.trial",
            name: grader.name().to_owned(),
            r#type: grader.kind(),
            counts,
            pass_rate: pass_rate(&graded).map(RateObject::from),
            data: graded.into_iter().map(TrialVerdict::from).collect(),
        }
    }
}

fn pass_rate(graded: &[Graded]) -> Option<Figure> {
    let mut keys: HashMap<&GroupId, u64> = HashMap::new();
    let rows: Vec<Row> = graded
        .iter()
        .filter_map(|one| {
            let value = match one.verdict.outcome {
                Outcome::Pass => 1.0,
                Outcome::Fail => 0.0,
                _ => return None,
            };
            let next = keys.len() as u64;
            let group = one.group_id.as_ref();
            let group = group.map(|group| *keys.entry(group).or_insert(next));
            Some(Row { value, group })
        })
        .collect();
    let rows = Rows::new(rows).ok()?;
    cluster::rate(&rows, Level::P95, Purpose::Report).ok()
}

impl From<Figure> for RateObject {
    fn from(figure: Figure) -> Self {
        Self {
            estimate: figure.estimate,
            interval: [figure.interval.low, figure.interval.high],
            method: figure.interval.method.to_string(),
            n: figure.n,
            groups: figure.groups,
            design_effect: figure.design_effect,
            too_few_groups: figure.has_too_few_groups(),
        }
    }
}

impl From<Graded> for TrialVerdict {
    fn from(graded: Graded) -> Self {
        let verdict = graded.verdict;
        Self {
            trace_id: graded.trace_id.to_string(),
            outcome: verdict.outcome.as_str(),
            score: verdict.score,
            label: verdict.label,
            unscored_reason: verdict.unscored_reason.map(|reason| reason.as_str()),
            reasoning: verdict.reasoning,
            citations: verdict.citations.iter().map(ToString::to_string).collect(),
            vacuous: verdict.vacuous,
        }
    }
}
