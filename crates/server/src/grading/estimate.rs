//! What will a run cost, and what could it show? Said before anything is spent.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use grade::judge::Budget;
use grade::trace::{Costs, Counterpart, Subject};
use model::{NanoUsd, Outcome, ProjectId};
use serde::Serialize;
use stats::interval::Purpose;
use stats::power::{Arm, detectable, unpaired_error};
use stats::{Level, Row, Rows, cluster};
use store::GradeFilter;
use store::meta::{GradingRun, GradingRunFilter, GradingStatus, PageAsked};

use super::context::Known;
use super::judge::ProjectJudge;
use super::plan::{Frozen, Plan};
use super::references::lay_beside;
use super::select::{Selected, Selection};
use crate::error::{ApiError, ErrorCode};
use crate::read::{blocking, view_of};
use crate::state::AppState;

/// Traces that are rendered for an estimate.
const TRACES_RENDERED: usize = 5;

/// Earlier runs that are looked through for one with the same graders.
const RUNS_LOOKED_AT: usize = 50;

/// Grades of an earlier run that are enough to know how it went.
const GRADES_MAX: usize = 100_000;

/// What a run is thought to cost.
#[derive(Debug, Default)]
pub(super) struct Estimate {
    /// None: that cannot be known, since what is asked has no price.
    pub(super) total: Option<NanoUsd>,
    /// The same for each grader that costs something, in US dollars.
    pub(super) by_grader: HashMap<String, f64>,
    /// Traces that were rendered for it.
    pub(super) traces: usize,
}

/// Reckons what a run costs, from a few of its traces. Where a cap is to be kept and a judge has no price,
/// the run is refused: the cap could not be kept.
pub(super) async fn estimate(
    state: &AppState,
    project: &ProjectId,
    plan: &Plan,
    selected: &Selected,
    cap: Option<NanoUsd>,
) -> Result<Estimate, ApiError> {
    if plan.costs() != Costs::Judge {
        return Ok(Estimate {
            total: Some(NanoUsd::default()),
            ..Estimate::default()
        });
    }
    let judge = ProjectJudge::of(state, project, Budget::without_cap(NanoUsd::default()));
    let known = Known::of(state, project);
    let n = selected.items.len();
    let mut sums: Vec<Option<i64>> = vec![Some(0); plan.graders().len()];
    let mut traces = 0;
    // The order of work is that of the hash, so the first few are random ones.
    for item in selected.items.iter().take(TRACES_RENDERED) {
        let (of, whose, id) = (Arc::clone(state), project.clone(), item.trace_id.clone());
        let Some(mut viewed) = blocking(move || view_of(&of, &whose, &id)).await?? else {
            continue;
        };
        lay_beside(&mut viewed.view, item.reference.as_deref());
        let other = match &item.counterpart {
            None => None,
            Some(id) => {
                let (of, whose, id) = (Arc::clone(state), project.clone(), id.clone());
                let Some(other) = blocking(move || view_of(&of, &whose, &id)).await?? else {
                    continue;
                };
                let hash = known.trace_hash(&other.view);
                Some((other, hash))
            }
        };
        let counterpart = item.counterpart.as_ref().zip(other.as_ref());
        traces += 1;
        let hash = known.trace_hash(&viewed.view);
        let bill = judge.bill(None, None, NanoUsd::default());
        let services = bill.services();
        let subject = Subject {
            trace_hash: &hash,
            criteria_per_trace: plan.criteria_per_trace(),
            counterpart: counterpart.map(|(trace_id, (other, trace_hash))| Counterpart {
                trace_id,
                view: &other.view,
                trace_hash,
            }),
            ..known.subject(&viewed.view)
        };
        for (planned, sum) in plan.graders().iter().zip(&mut sums) {
            let cost = planned.grader.estimate(&subject, &services);
            *sum = sum.zip(cost).map(|(sum, cost)| sum + cost.0);
        }
    }
    let mut estimate = Estimate {
        total: Some(NanoUsd::default()),
        traces,
        ..Estimate::default()
    };
    for (planned, sum) in plan.graders().iter().zip(sums) {
        let Some(sum) = sum else {
            estimate.total = None;
            if cap.is_some() {
                return Err(unpriced(&planned.frozen.name));
            }
            continue;
        };
        let cost = NanoUsd((sum as f64 / traces.max(1) as f64 * n as f64) as i64);
        estimate.total = estimate.total.map(|total| total.saturating_add(cost));
        if planned.grader.cost() == Costs::Judge {
            let name = planned.frozen.name.clone();
            estimate.by_grader.insert(name, cost.to_usd());
        }
    }
    Ok(estimate)
}

fn unpriced(grader: &str) -> ApiError {
    let message = format!(
        "what the judge of `{grader}` costs is not known, so no cap could be kept: name a model in the grader \
         or as judge_model, and give it a price with PUT /v1/prices (one that is free has a price of 0)"
    );
    ApiError::new(ErrorCode::Unconfigured, message)
}

/// What difference a run could see in the rate of one grader.
#[derive(Debug, Serialize)]
pub(super) struct Power {
    grader: String,
    /// The smallest difference of two rates that two runs of this size find in four of five cases; of a
    /// grader that compares two traces the smallest one of its win rate from one half.
    detectable_difference: f64,
    /// In words.
    sentence: String,
    /// The rate of passes, or wins, that this rests on.
    rate: f64,
    /// How much groups take away.
    design_effect: f64,
    /// The run that both are known from; null: nobody knows, and the worst is taken.
    from_run: Option<String>,
}

/// Tells what a run could show, from how the last one went that used a grader of the same definition.
pub(super) async fn power(
    state: &AppState,
    project: &ProjectId,
    plan: &Plan,
    selection: &Selection,
) -> Result<Vec<Power>, ApiError> {
    let asked = PageAsked {
        after: None,
        limit: RUNS_LOOKED_AT,
        is_descending: true,
    };
    let filter = GradingRunFilter {
        status: Some(GradingStatus::Completed),
        ..GradingRunFilter::default()
    };
    let runs = state.store.meta().grading_runs(project, &filter, &asked);
    let runs = runs.await?.entries;
    let mut told = Vec::new();
    for planned in plan.graders() {
        let name = &planned.frozen.name;
        if planned.grader.is_pairwise() {
            told.push(power_of_pairs(name, selection));
            continue;
        }
        let used = |run: &GradingRun| Some((run.id.clone(), used_in(run, &planned.frozen.hash)?));
        let seen = match runs.iter().find_map(used) {
            None => None,
            Some((run_id, grader_id)) => {
                let (snapshot, of) = (state.store.snapshot(project), run_id.clone());
                let seen = blocking(move || seen_in(&snapshot, &of, &grader_id)).await??;
                seen.map(|seen| (run_id, seen))
            }
        };
        let (from_run, (rate, design_effect)) = match seen {
            Some((run, seen)) => (Some(run), seen),
            None => (None, (0.5, 1.0)),
        };
        let arm = Arm {
            rate,
            n: selection.sampled() as u64,
        };
        let Ok(error) = unpaired_error(design_effect, arm, arm) else {
            continue;
        };
        let difference = detectable(error, Level::P95);
        let (n, groups) = (selection.sampled(), selection.groups());
        told.push(Power {
            grader: name.clone(),
            detectable_difference: difference,
            sentence: format!(
                "{n} traces in {groups} groups see differences from {:.0} points on",
                (difference * 100.0).ceil()
            ),
            rate,
            design_effect,
            from_run,
        });
    }
    Ok(told)
}

/// Returns by which id an earlier run knows a grader with this definition, if it used it. Not by its name:
/// every rule that nobody named is called `rule-1`.
fn used_in(run: &GradingRun, hash: &str) -> Option<String> {
    let frozen: Vec<Frozen> = serde_json::from_str(&run.graders).ok()?;
    let same = frozen.into_iter().find(|one| one.hash == hash);
    same.map(|one| one.id)
}

/// Tells what a run of pairs could show. It is one run: how often its traces win is held against one half.
/// Ties make it surer than is said here.
fn power_of_pairs(grader: &str, selection: &Selection) -> Power {
    let (n, groups) = (selection.sampled(), selection.groups());
    let error = 0.5 / (groups.max(1) as f64).sqrt();
    let difference = detectable(error, Level::P95);
    let points = (difference * 100.0).ceil();
    Power {
        grader: grader.to_owned(),
        detectable_difference: difference,
        sentence: format!(
            "{n} pairs in {groups} groups tell win rates from one half that are {points:.0} points off or more"
        ),
        rate: 0.5,
        design_effect: n as f64 / groups.max(1) as f64,
        from_run: None,
    }
}

/// Returns the rate of passes and the design effect of a grader in an earlier run.
fn seen_in(
    snapshot: &store::Snapshot,
    run_id: &str,
    grader_id: &str,
) -> Result<Option<(f64, f64)>, store::ReadError> {
    let filter = GradeFilter {
        run_id: Some(run_id.to_owned()),
        ..GradeFilter::default()
    };
    let mut groups: HashMap<String, u64> = HashMap::new();
    let mut rows = Vec::new();
    snapshot.for_each_grade(&filter, &mut |grade| {
        let value = match grade.verdict.outcome {
            Outcome::Pass => 1.0,
            Outcome::Fail => 0.0,
            _ => return ControlFlow::Continue(()),
        };
        if grade.grader_id == grader_id {
            let next = groups.len() as u64;
            let group = grade.group_id.as_ref();
            let group = group.map(|id| *groups.entry(id.to_string()).or_insert(next));
            rows.push(Row { value, group });
        }
        match rows.len() < GRADES_MAX {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    })?;
    let Ok(rows) = Rows::new(rows) else {
        return Ok(None);
    };
    let figure = cluster::rate(&rows, Level::P95, Purpose::Report).ok();
    // A rate of 0 or 1 would promise to see anything.
    let rate = |estimate: f64| estimate.clamp(0.02, 0.98);
    Ok(figure.map(|figure| (rate(figure.estimate), figure.design_effect.max(1.0))))
}
