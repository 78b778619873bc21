//! Which traces explain a gate's verdict?

use std::collections::BTreeSet;

use super::question::Asked;
use super::{GateGrader, GateVerdict, Regression};

/// So many are shown.
const EXAMPLES_MAX: usize = 3;

/// Returns the candidate's traces that lost most, of graders that failed first.
///
/// Of pairs those with the largest loss; where nothing is paired those that the grader failed, or whose
/// numbers are lowest.
pub(super) fn of(graders: &[(Asked<'_>, GateGrader)]) -> Vec<Regression> {
    let mut losses: Vec<(bool, f64, Regression)> = Vec::new();
    for (asked, grader) in graders {
        let failed = grader.verdict == GateVerdict::Fail;
        losses.extend(
            losses_of(asked)
                .into_iter()
                .map(|(loss, it)| (failed, loss, it)),
        );
    }
    losses.sort_by(|one, other| {
        let order = other.0.cmp(&one.0).then(other.1.total_cmp(&one.1));
        order.then_with(|| one.2.trace_id.cmp(&other.2.trace_id))
    });
    let mut known = BTreeSet::new();
    losses.retain(|(_, _, it)| known.insert(it.trace_id.clone()));
    losses.truncate(EXAMPLES_MAX);
    losses.into_iter().map(|(_, _, it)| it).collect()
}

/// The worst traces of a grader and how much each lost, as a share of the scale.
fn losses_of(asked: &Asked<'_>) -> Vec<(f64, Regression)> {
    let [baseline, candidate] = asked.runs;
    let grader = asked.name();
    let mut sides = asked.sides.clone();
    let mut losses: Vec<(f64, Regression)> = if sides.pair_groups() {
        let lost = sides
            .pairs()
            .into_iter()
            .filter(|it| it.candidate < it.baseline);
        lost.map(|pair| {
            let regression = Regression {
                trace_id: candidate.item_id(pair.candidate_item).to_owned(),
                baseline_trace_id: Some(baseline.item_id(pair.baseline_item).to_owned()),
                grader: grader.to_owned(),
                baseline: Some(pair.baseline),
                candidate: pair.candidate,
            };
            ((pair.baseline - pair.candidate) / asked.unit, regression)
        })
        .collect()
    } else {
        let high = asked.low + asked.unit;
        let low = sides.candidate.iter().filter(|entry| entry.value < high);
        low.map(|entry| {
            let regression = Regression {
                trace_id: candidate.item_id(entry.item).to_owned(),
                baseline_trace_id: None,
                grader: grader.to_owned(),
                baseline: None,
                candidate: entry.value,
            };
            ((high - entry.value) / asked.unit, regression)
        })
        .collect()
    };
    losses.sort_by(|one, other| {
        let order = other.0.total_cmp(&one.0);
        order.then_with(|| one.1.trace_id.cmp(&other.1.trace_id))
    });
    // the same trace may be worst for several graders: twice as many do for one
    losses.truncate(EXAMPLES_MAX * 2);
    losses
}
