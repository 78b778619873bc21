//! A look after every trace, as often as anybody likes.
//!
//! Each pair (or group, or what came as the n-th of both runs) gives one value, baseline − candidate as a
//! share of the scale, in the order in which it was graded. A bet on these is evidence at any time, so
//! its largest value counts, and 1 over that is a p value. There are two bets: a plain one, and that of
//! samples which were drawn in parts ([`super::stratified`]).

use stats::compare::Question;
use stats::eprocess::{Betting, Blocks};
use stats::multiple::e_to_p;
use stats::{Figure, Level, Refusal};

use super::question::Asked;
use super::{Evidence, GateOptions, fixed, stratified};
use crate::compare::both::Metric;
use crate::compare::pairing::{By, Entry, Pair, Sides};
use crate::results::FigureObject;

/// How a bet stands.
pub(super) struct Stake {
    /// The money that was made by betting that the loss is larger than the margin.
    pub(super) e_value: f64,
    /// The most that it has been.
    pub(super) peak: f64,
    /// What the loss is below, as a share of the scale; nothing before the first value.
    pub(super) loss_at_most: Option<f64>,
    /// The gain: candidate − baseline, as a share of the scale.
    pub(super) gain: Option<Figure>,
    /// How many values were bet on.
    pub(super) units: usize,
    /// What they were, in words.
    pub(super) told: String,
}

pub(super) fn evidence(asked: &Asked<'_>, options: &GateOptions) -> Result<Evidence, Refusal> {
    let level = Level::new(1.0 - options.alpha)?;
    let stake = match asked.is_weighted() {
        true => stratified::bet(asked, options, level)?,
        false => bet(asked, options, level)?,
    };
    let question = Question {
        level,
        margin: Some(asked.margin),
        seed: options.seed,
    };
    let seen = fixed::compared(asked, &question).ok();
    let lower_bound = stake.loss_at_most.map(|loss| -loss * asked.unit);
    Ok(Evidence {
        p_value: e_to_p(stake.peak),
        is_ruled_out: lower_bound.is_some_and(|least| least > -asked.margin),
        e_value: Some(stake.e_value),
        lower_bound,
        baseline: seen.as_ref().map(|it| it.found.a.into()),
        candidate: seen.as_ref().map(|it| it.found.b.into()),
        difference: stake.gain.map(|figure| on_scale(figure, asked.unit)),
        detectable: seen.as_ref().map(|it| it.found.detectable),
        units: stake.units,
        method: format!("A bet that may be looked at any time: {}.", stake.told),
    })
}

/// The bet on values that count alike.
fn bet(asked: &Asked<'_>, options: &GateOptions, level: Level) -> Result<Stake, Refusal> {
    let mut sides = asked.sides.clone();
    let is_paired = sides.pair_groups();
    let mut pairs = match is_paired {
        true => sides.pairs(),
        false => by_turn(asked, &sides.baseline, &sides.candidate),
    };
    in_order(asked, &mut pairs, |pair| pair);
    let mut loss = Betting::new(options.margin)?;
    // the same seen from the candidate, for the interval
    let mut gain = Betting::new(0.0)?;
    let mut blocks = Blocks::new();
    for pair in &pairs {
        let [baseline, candidate] = asked.shares(pair);
        loss.push(baseline - candidate)?;
        gain.push(candidate - baseline)?;
        blocks.push(baseline >= 1.0, candidate >= 1.0);
    }
    let are_blocks = !is_paired && are_blocks(asked, options, &sides);
    let (e_value, peak) = match are_blocks {
        true => (blocks.e_value(), blocks.peak_worse()),
        false => (loss.e_value(), loss.peak()),
    };
    Ok(Stake {
        e_value,
        peak,
        loss_at_most: (loss.n() > 0).then(|| loss.upper_bound(options.alpha)),
        gain: gain.confidence_sequence(level).ok(),
        units: pairs.len(),
        told: told(sides.by, are_blocks, pairs.len()),
    })
}

/// Whether it is asked if two rates are equal, of traces that nothing pairs or groups: for that there is a
/// bet of its own.
fn are_blocks(asked: &Asked<'_>, options: &GateOptions, sides: &Sides) -> bool {
    let mut both = sides.baseline.iter().chain(&sides.candidate);
    options.margin <= 0.0
        && asked.metric == Metric::PassRate
        && both.all(|entry| entry.group.is_none())
}

/// Sorts by when the last trace of each was graded.
pub(super) fn in_order<T>(asked: &Asked<'_>, pairs: &mut [T], pair: impl Fn(&T) -> &Pair) {
    let id = |pair: &Pair| asked.runs[1].item_id(pair.candidate_item);
    pairs.sort_by(|one, other| {
        let (one, other) = (pair(one), pair(other));
        one.at.cmp(&other.at).then_with(|| id(one).cmp(id(other)))
    });
}

/// A figure of shares on the grader's own scale.
fn on_scale(figure: Figure, unit: f64) -> FigureObject {
    let mut shown = FigureObject::from(figure);
    shown.estimate *= unit;
    shown.interval = shown.interval.map(|end| end.map(|end| end * unit));
    shown
}

fn told(by: By, are_blocks: bool, units: usize) -> String {
    match (by, are_blocks) {
        (By::Key | By::Item, _) => format!("{units} pairs, in the order in which they were graded"),
        (By::Group | By::GroupsOfItems, _) => format!("{units} groups that are in both runs"),
        (By::Nothing, false) => format!("{units} times the next group or trace of each run"),
        (By::Nothing, true) => {
            format!("{units} times the next trace of each run, against equal rates")
        }
    }
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
