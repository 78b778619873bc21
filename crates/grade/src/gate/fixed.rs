//! One look, when all traces have come.
//!
//! Two questions of the same differences. Is a loss of the margin ruled out? That is the one-sided lower
//! bound. Is a larger loss shown? That is the test of the comparison with the baseline lowered by the
//! margin, read on one side: signs are flipped or names dealt around "worse by just the margin".

use stats::compare::{Question, label_permutation, least_mean, sign_flip, steps_interval};
use stats::{Level, Refusal, Row, Rows};

use super::question::Asked;
use super::{Evidence, GateOptions};
use crate::compare::pairing::{Entry, Pair};
use crate::compare::tested::{self, Outcome};
use crate::compare::words;

/// Ends that differ by less are the same.
const ROUNDING: f64 = 1e-9;

pub(super) fn evidence(asked: &Asked<'_>, options: &GateOptions) -> Result<Evidence, Refusal> {
    let question = Question {
        level: Level::new(1.0 - options.alpha)?,
        margin: Some(asked.margin),
        seed: options.seed,
    };
    let outcome = compared(asked, &question)?;
    let mut shown = outcome.tested();
    let pairs = pairs(asked, &outcome);
    let (p_value, lower_bound) = match &pairs {
        Some(pairs) => {
            let all: Vec<f64> = differences(pairs, 0.0).collect();
            let interval = steps_interval(&all, step(asked, pairs), question.level)?;
            let mut difference = outcome.found.difference;
            let known = difference.interval;
            // where few pairs differ, that by which it is decided is wider
            if interval.low < known.low - ROUNDING || interval.high > known.high + ROUNDING {
                difference.interval = interval;
                shown.difference = difference.into();
            }
            let least = least_mean(differences(pairs, 0.0), step(asked, pairs), question.level)?;
            let lowered = sign_flip(
                differences(pairs, asked.margin),
                question.level,
                question.seed,
            )?;
            let p_value = one_sided(lowered.p_value, lowered.difference.estimate);
            (p_value, Some(least))
        }
        None => (
            chance_of_loss(asked, &outcome, &question)?,
            shown.lower_bound,
        ),
    };
    let method = match outcome.design {
        "means" => "Nothing pairs the runs: means are compared, with a normal test on SE_A² + SE_B² over groups.".to_owned(),
        _ => words::method(&outcome, asked.sides.by),
    };
    Ok(Evidence {
        p_value,
        is_ruled_out: lower_bound.is_some_and(|least| least > -asked.margin),
        e_value: None,
        lower_bound,
        units: outcome.found.difference.groups,
        method,
        baseline: Some(shown.baseline),
        candidate: Some(shown.candidate),
        difference: Some(shown.difference),
        detectable: Some(shown.detectable),
    })
}

/// The pairs of a paired comparison.
fn pairs(asked: &Asked<'_>, outcome: &Outcome) -> Option<Vec<Pair>> {
    let mut sides = asked.sides.clone();
    (outcome.design == "paired" && sides.pair_groups()).then(|| sides.pairs())
}

/// Candidate − baseline, the baseline lowered by so much.
fn differences(pairs: &[Pair], less: f64) -> impl Iterator<Item = f64> {
    pairs
        .iter()
        .map(move |pair| pair.candidate - pair.baseline + less)
}

/// By how much a pair differs at least if it does: a pass of one trace, a step of a whole scale.
fn step(asked: &Asked<'_>, pairs: &[Pair]) -> f64 {
    let is_whole = asked.metric.is_rate() || asked.grader.baseline.facts.scale.is_whole();
    let shares = pairs.iter().map(|pair| 1.0 / pair.repeats);
    match is_whole {
        true => shares.sum::<f64>() / pairs.len() as f64,
        false => 0.0,
    }
}

/// The chance of a difference this low, of that to be as far off on either side.
fn one_sided(p_value: f64, lowered: f64) -> f64 {
    match lowered < 0.0 {
        true => p_value / 2.0,
        false => 1.0 - p_value / 2.0,
    }
}

/// A gate asks for a loss of the mean, so numbers that nothing pairs are not compared by their ranks.
pub(super) fn compared(asked: &Asked<'_>, question: &Question) -> Result<Outcome, Refusal> {
    let outcome = tested::test(
        asked.runs,
        asked.grader,
        &asked.metric,
        &asked.sides,
        question,
    )?;
    if outcome.design != "ranks" {
        return Ok(outcome);
    }
    Ok(Outcome {
        found: tested::means(&asked.samples(), question)?,
        design: "means",
        unpaired: outcome.unpaired,
    })
}

/// The chance of a difference this far below −δ if it is −δ, where nothing is paired or pairs are weighted.
fn chance_of_loss(
    asked: &Asked<'_>,
    outcome: &Outcome,
    question: &Question,
) -> Result<f64, Refusal> {
    // of weighted means the comparison says so itself
    if let Some(p_value) = outcome.found.loss_p_value {
        return Ok(p_value);
    }
    let margin = asked.margin;
    let rows = |side: &[Entry], less: f64| {
        Rows::new(side.iter().map(|entry| Row {
            value: entry.value - less,
            group: entry.group,
        }))
    };
    let (a, b) = (
        rows(&asked.sides.baseline, margin)?,
        rows(&asked.sides.candidate, 0.0)?,
    );
    let test = label_permutation(&a, &b, question.seed)?;
    let lowered = outcome.found.difference.estimate + margin;
    Ok(one_sided(test.p_value, lowered))
}
