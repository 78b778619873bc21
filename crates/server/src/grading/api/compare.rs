//! Is the candidate better than the baseline, and may it pass?

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use grade::compare::{CompareOptions, Comparison, compare};
use grade::gate::{GateOptions, GateReport, gate};
use serde::{Deserialize, Serialize};
use stats::Level;
use store::meta::GradingStatus;
use utoipa::ToSchema;

use super::sides::{Pairing, Side, SideSent};
use crate::auth::Principal;
use crate::error::{ApiError, ErrorBody};
use crate::grading::stopping;
use crate::json::JsonBody;
use crate::read::blocking;
use crate::state::AppState;

/// Two runs to be compared.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CompareRequest {
    baseline: SideSent,
    candidate: SideSent,
    /// Only graders of these names or ids; all that both runs have if not given.
    graders: Option<Vec<String>>,
    /// `auto`, which is the default, `trace`, `group`, `none`, or `metadata.KEY`: what traces of both
    /// runs have in common.
    pair_by: Option<String>,
    /// How much worse the candidate may be: 0.02 is two points of a rate.
    margin: Option<f64>,
    /// Whether graders are compared that changed in between: then it is the graders that are compared.
    #[serde(default)]
    allow_changed_graders: bool,
}

/// Two runs and what may be said of them.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ComparisonObject {
    /// `trace.grading_comparison`.
    object: &'static str,
    baseline_run_id: String,
    candidate_run_id: String,
    #[serde(flatten)]
    comparison: Comparison,
}

/// A question for a pipeline.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GateRequest {
    baseline: SideSent,
    candidate: SideSent,
    /// Only graders of these names or ids; all that both runs have if not given.
    graders: Option<Vec<String>>,
    /// As of a comparison.
    pair_by: Option<String>,
    /// How much worse the candidate may be: 0.02, which is the default, is two points of a rate.
    margin: Option<f64>,
    /// The chance to fail a candidate that is good enough; 0.05 if not given.
    alpha: Option<f64>,
    /// Whether it is asked again and again while traces still come.
    #[serde(default)]
    sequential: bool,
    /// The share of grades without a verdict above which there is no answer; 0.05 if not given.
    max_unscored: Option<f64>,
    /// `junit` and `markdown`: the report in these forms too.
    #[serde(default)]
    include: Vec<String>,
}

/// What a gate says.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct GateObject {
    /// `trace.grading_gate`.
    object: &'static str,
    baseline_run_id: String,
    candidate_run_id: String,
    #[serde(flatten)]
    report: GateReport,
    /// JUnit's XML, a test case for each grader; only if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    junit: Option<String>,
    /// Markdown for a pull request; only if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    markdown: Option<String>,
}

/// Compare two runs. Whatever can be paired is paired; each grader's answer says which test it rests on,
/// and what could have been seen.
#[utoipa::path(
    post,
    path = "/v1/evals/traces/compare",
    tag = "grade",
    request_body = CompareRequest,
    responses(
        (status = 200, body = ComparisonObject),
        (status = 400, body = ErrorBody),
        (status = 404, body = ErrorBody)
    )
)]
pub(super) async fn compare_runs(
    State(state): State<AppState>,
    principal: Principal,
    JsonBody(asked): JsonBody<CompareRequest>,
) -> Result<Json<ComparisonObject>, ApiError> {
    let pairing = Pairing::parse(asked.pair_by.as_deref())?;
    let margin = asked
        .margin
        .map(|margin| share("margin", margin))
        .transpose()?;
    let sides = [&asked.baseline, &asked.candidate];
    let [baseline, candidate] = Side::both(&state, &principal, sides, &pairing).await?;
    require_fixed_size([&baseline, &candidate])?;
    let options = CompareOptions {
        pair_by: pairing.by(),
        margin,
        graders: known(asked.graders, &[&baseline, &candidate])?,
        level: Level::P95,
        seed: 0,
        allow_changed_graders: asked.allow_changed_graders,
    };
    let (baseline_run_id, candidate_run_id) = (baseline.run.id.clone(), candidate.run.id.clone());
    let work = move || compare(baseline.collected(), candidate.collected(), &options);
    Ok(Json(ComparisonObject {
        object: "trace.grading_comparison",
        baseline_run_id,
        candidate_run_id,
        comparison: blocking(work).await?,
    }))
}

/// Say whether a candidate may pass: `pass`, `fail`, `inconclusive` or `error`, each with its exit code.
#[utoipa::path(
    post,
    path = "/v1/evals/traces/gate",
    tag = "grade",
    request_body = GateRequest,
    responses(
        (status = 200, body = GateObject),
        (status = 400, body = ErrorBody),
        (status = 404, body = ErrorBody)
    )
)]
pub(super) async fn gate_run(
    State(state): State<AppState>,
    principal: Principal,
    JsonBody(asked): JsonBody<GateRequest>,
) -> Result<Json<GateObject>, ApiError> {
    let pairing = Pairing::parse(asked.pair_by.as_deref())?;
    let defaults = GateOptions::default();
    let known_forms = ["junit", "markdown"];
    if let Some(word) = asked
        .include
        .iter()
        .find(|word| !known_forms.contains(&&***word))
    {
        let message = format!("{word:?} cannot be included here; known: junit, markdown");
        return Err(ApiError::invalid("include", message));
    }
    let margin = share("margin", asked.margin.unwrap_or(defaults.margin))?;
    let alpha = share("alpha", asked.alpha.unwrap_or(defaults.alpha))?;
    if !(1e-6..=0.5).contains(&alpha) {
        return Err(ApiError::invalid("alpha", "it is between 0.000001 and 0.5"));
    }
    let max_unscored = asked.max_unscored.unwrap_or(defaults.unscored_share_max);
    let sides = [&asked.baseline, &asked.candidate];
    let [baseline, candidate] = Side::both(&state, &principal, sides, &pairing).await?;
    if !asked.sequential {
        require_fixed_size([&baseline, &candidate])?;
    }
    let options = GateOptions {
        margin,
        alpha,
        sequential: asked.sequential,
        is_over: is_over(candidate.run.status),
        unscored_share_max: share("max_unscored", max_unscored)?,
        pair_by: pairing.by(),
        graders: known(asked.graders, &[&baseline, &candidate])?,
        seed: 0,
    };
    let (baseline_run_id, candidate_run_id) = (baseline.run.id.clone(), candidate.run.id.clone());
    let work = move || gate(baseline.collected(), candidate.collected(), &options);
    let report = blocking(work).await?;
    let wants = |form: &str| asked.include.iter().any(|word| word == form);
    Ok(Json(GateObject {
        object: "trace.grading_gate",
        baseline_run_id,
        candidate_run_id,
        junit: wants("junit").then(|| report.to_junit()),
        markdown: wants("markdown").then(|| report.to_markdown()),
        report,
    }))
}

/// Refuses runs that may stop by what they show: what is reckoned of a size that was fixed beforehand does
/// not hold of them.
fn require_fixed_size(sides: [&Side; 2]) -> Result<(), ApiError> {
    let stopping = sides.map(|side| &side.run);
    let stopping = (stopping.into_iter()).find(|run| stopping::of_run(run).is_some());
    let Some(run) = stopping else {
        return Ok(());
    };
    let message = format!(
        "{} may stop by what it shows (`stop_when`), and a comparison of a size that was fixed beforehand \
         does not hold for it: ask a sequential gate, or grade without stop_when (what judges said is known)",
        run.id
    );
    Err(ApiError::invalid("run_id", message))
}

/// Returns whether no more traces come to a run by itself.
fn is_over(status: GradingStatus) -> bool {
    status.is_final() || status == GradingStatus::Paused
}

/// Returns the graders that are asked about, if each of them is in one of the runs.
fn known(asked: Option<Vec<String>>, sides: &[&Side]) -> Result<Vec<String>, ApiError> {
    let asked = asked.unwrap_or_default();
    for name in &asked {
        let is_known = sides.iter().any(|side| {
            let mut graders = side.collected().graders();
            graders.any(|facts| facts.name == *name || facts.id == *name)
        });
        if !is_known {
            let all = sides.iter().flat_map(|side| side.collected().graders());
            let names: BTreeSet<&str> = all.map(|facts| &*facts.name).collect();
            let names: Vec<&str> = names.into_iter().collect();
            let message = format!("{name:?} is in neither run; known: {}", names.join(", "));
            return Err(ApiError::invalid("graders", message));
        }
    }
    Ok(asked)
}

fn share(param: &str, value: f64) -> Result<f64, ApiError> {
    match (0.0..=1.0).contains(&value) {
        true => Ok(value),
        false => Err(ApiError::invalid(param, "it is between 0 and 1")),
    }
}
