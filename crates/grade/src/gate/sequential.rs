//! A look after every trace, as often as anybody likes.
//!
//! Each pair (or group, or what came as the n-th of both runs) gives one value, baseline − candidate as a
//! share of the scale, in the order in which it was graded. The bet on these is evidence at any time, so
//! its largest value counts, and 1 over that is a p value.

use stats::compare::Question;
use stats::eprocess::{Betting, Blocks};
use stats::multiple::e_to_p;
use stats::{Figure, Level, Refusal};

use super::question::Asked;
use super::{Evidence, GateOptions, fixed};
use crate::compare::both::Metric;
use crate::compare::pairing::{By, Entry, Pair};
use crate::results::FigureObject;

pub(super) fn evidence(asked: &Asked<'_>, options: &GateOptions) -> Result<Evidence, Refusal> {
    let mut sides = asked.sides.clone();
    let is_paired = sides.pair_groups();
    let mut pairs = match is_paired {
        true => sides.pairs(),
        false => by_turn(asked, &sides.baseline, &sides.candidate),
    };
    let id = |pair: &Pair| asked.runs[1].item_id(pair.candidate_item);
    pairs.sort_by(|one, other| one.at.cmp(&other.at).then_with(|| id(one).cmp(id(other))));
    let share = |value: f64| ((value - asked.low) / asked.unit).clamp(0.0, 1.0);
    let mut bet = Betting::new(options.margin)?;
    // the same seen from the candidate, for the interval
    let mut gain = Betting::new(0.0)?;
    let mut blocks = Blocks::new();
    for pair in &pairs {
        let (baseline, candidate) = (share(pair.baseline), share(pair.candidate));
        bet.push(baseline - candidate)?;
        gain.push(candidate - baseline)?;
        blocks.push(baseline >= 1.0, candidate >= 1.0);
    }
    let is_single = |side: &[Entry]| side.iter().all(|entry| entry.group.is_none());
    // only these ask whether two rates are equal
    let are_blocks = !is_paired
        && options.margin <= 0.0
        && asked.metric == Metric::PassRate
        && is_single(&sides.baseline)
        && is_single(&sides.candidate);
    let (e_value, peak) = match are_blocks {
        true if blocks.is_worse() => (blocks.e_value(), blocks.peak()),
        true => (blocks.e_value(), 1.0),
        false => (bet.e_value(), bet.peak()),
    };
    let level = Level::new(1.0 - options.alpha)?;
    let question = Question {
        level,
        margin: Some(asked.margin),
        seed: options.seed,
    };
    let seen = fixed::compared(asked, &question).ok();
    let lower = -bet.upper_bound(options.alpha) * asked.unit;
    let is_begun = bet.n() > 0;
    let sequence = gain.confidence_sequence(level).ok();
    Ok(Evidence {
        p_value: e_to_p(peak),
        is_ruled_out: is_begun && lower > -asked.margin,
        e_value: Some(e_value),
        lower_bound: is_begun.then_some(lower),
        baseline: seen.as_ref().map(|it| it.found.a.into()),
        candidate: seen.as_ref().map(|it| it.found.b.into()),
        difference: sequence.map(|figure| on_scale(figure, asked.unit)),
        detectable: seen.as_ref().map(|it| it.found.detectable),
        units: pairs.len(),
        method: method(sides.by, are_blocks, pairs.len()),
    })
}

/// A figure of shares on the grader's own scale.
pub(super) fn on_scale(figure: Figure, unit: f64) -> FigureObject {
    let mut shown = FigureObject::from(figure);
    shown.estimate *= unit;
    shown.interval = shown.interval.map(|end| end.map(|end| end * unit));
    shown
}

fn method(by: By, are_blocks: bool, units: usize) -> String {
    let what = match (by, are_blocks) {
        (By::Key | By::Item, _) => format!("{units} pairs, in the order in which they were graded"),
        (By::Group | By::GroupsOfItems, _) => format!("{units} groups that are in both runs"),
        (By::Nothing, false) => format!("{units} times the next group or trace of each run"),
        (By::Nothing, true) => {
            format!("{units} times the next trace of each run, against equal rates")
        }
    };
    format!("A bet that may be looked at any time: {what}.")
}

/// What came as the n-th of both runs: a trace, or a group by its mean.
pub(super) fn by_turn(asked: &Asked<'_>, baseline: &[Entry], candidate: &[Entry]) -> Vec<Pair> {
    let [a, b] = asked.runs;
    let (a, b) = (
        turns(baseline, |item| a.item_id(item)),
        turns(candidate, |item| b.item_id(item)),
    );
    let both = a.into_iter().zip(b);
    both.map(|(a, b)| Pair {
        baseline: a.value,
        candidate: b.value,
        baseline_item: a.item,
        candidate_item: b.item,
        at: a.at.max(b.at),
        repeats: 1.0,
    })
    .collect()
}

/// The groups of a run in the order in which they were graded; a trace without one is one.
fn turns<'a>(side: &[Entry], id: impl Fn(u32) -> &'a str) -> Vec<Entry> {
    let mut entries = side.to_vec();
    entries.sort_by(|one, other| {
        let key = |it: &Entry| (it.group, if it.group.is_some() { 0 } else { it.item });
        key(one).cmp(&key(other))
    });
    let same = |one: &Entry, next: &Entry| one.group.is_some() && one.group == next.group;
    let mut turns: Vec<Entry> = entries
        .chunk_by(same)
        .map(|group| Entry {
            value: group.iter().map(|it| it.value).sum::<f64>() / group.len() as f64,
            at: group.iter().map(|it| it.at).max().unwrap_or_default(),
            ..group[0]
        })
        .collect();
    turns.sort_by(|one, other| {
        one.at
            .cmp(&other.at)
            .then_with(|| id(one.item).cmp(id(other.item)))
    });
    turns
}
