//! A look after every trace of a sample that was drawn in parts.
//!
//! Each part bets by itself, and the money of all is that of the worst way to split the loss over the parts
//! ([`stats::eprocess::Stratified`]). So it does not matter how many traces of which part were drawn, nor
//! which of them were graded first. A part of which nothing was graded yet may hide any loss.

use std::collections::BTreeMap;

use stats::compare::Question;
use stats::eprocess::Stratified;
use stats::multiple::e_to_p;
use stats::{Level, Refusal};

use super::question::Asked;
use super::sequential::{by_turn, on_scale};
use super::{Evidence, GateOptions, fixed};
use crate::compare::pairing::{Entry, Pair};
use crate::results::Collected;

/// Between two times at which evidence is looked at so many more values come, as a share. The times are the
/// same however often a gate is asked, so what failed once stays failed.
const LOOKS: f64 = 1.05;

pub(super) fn evidence(asked: &Asked<'_>, options: &GateOptions) -> Result<Evidence, Refusal> {
    let [baseline, candidate] = asked.runs;
    let samples = asked.samples();
    // the shares of the parts that the question is about: those of the baseline, if it was drawn in parts
    let of = usize::from(!baseline.is_stratified());
    let populations: Vec<u64> = samples[of]
        .strata(0.0)?
        .iter()
        .map(|stratum| stratum.population)
        .collect();
    let sides = &asked.sides;
    let is_paired = sides.pairs_items();
    let mut ordered = match is_paired {
        true => {
            let item = |pair: &Pair| [pair.baseline_item, pair.candidate_item][of];
            let run = asked.runs[of];
            let all = sides.pairs().into_iter();
            let known = all.filter_map(|pair| Some((run.stratum(item(&pair))?, pair)));
            by_group(run, known.collect(), item)
        }
        false => in_turn(asked, &sides.baseline, &sides.candidate, populations.len())?,
    };
    let id = |pair: &Pair| candidate.item_id(pair.candidate_item);
    ordered
        .sort_by(|(_, one), (_, other)| one.at.cmp(&other.at).then_with(|| id(one).cmp(id(other))));
    bet(asked, options, &populations, &ordered, is_paired)
}

fn bet(
    asked: &Asked<'_>,
    options: &GateOptions,
    populations: &[u64],
    pairs: &[(usize, Pair)],
    is_paired: bool,
) -> Result<Evidence, Refusal> {
    let share = |value: f64| ((value - asked.low) / asked.unit).clamp(0.0, 1.0);
    let mut loss = Stratified::new(populations)?;
    let mut gain = Stratified::new(populations)?;
    let (mut peak, mut next_look) = (1.0_f64, 10.0_f64);
    for (stratum, pair) in pairs {
        let (baseline, candidate) = (share(pair.baseline), share(pair.candidate));
        loss.push(*stratum, baseline - candidate)?;
        gain.push(*stratum, candidate - baseline)?;
        if loss.n() as f64 >= next_look {
            peak = peak.max(loss.e_value(options.margin));
            next_look = (next_look * LOOKS).ceil();
        }
    }
    let e_value = loss.e_value(options.margin);
    let level = Level::new(1.0 - options.alpha)?;
    let question = Question {
        level,
        margin: Some(asked.margin),
        seed: options.seed,
    };
    let seen = fixed::compared(asked, &question).ok();
    let lower = -loss.upper_bound(options.alpha) * asked.unit;
    let is_begun = loss.n() > 0;
    let units = pairs.len();
    let what = match is_paired {
        true => format!("{units} pairs"),
        false => format!("{units} times the next group or trace of a part of each run"),
    };
    let difference = gain.confidence_sequence(level).ok();
    Ok(Evidence {
        p_value: e_to_p(peak.max(e_value)),
        is_ruled_out: is_begun && lower > -asked.margin,
        e_value: Some(e_value),
        lower_bound: is_begun.then_some(lower),
        baseline: seen.as_ref().map(|it| it.found.a.into()),
        candidate: seen.as_ref().map(|it| it.found.b.into()),
        difference: difference.map(|figure| on_scale(figure, asked.unit)),
        detectable: seen.as_ref().map(|it| it.found.detectable),
        units,
        method: format!(
            "A bet that may be looked at any time: {what}, in the order in which they were graded; the sample was drawn in parts, and of all ways to split a loss over the {} parts that counts which speaks least for one.",
            populations.iter().filter(|it| **it > 0).count()
        ),
    })
}

/// What came as the n-th of a part of both runs, of each part by itself.
fn in_turn(
    asked: &Asked<'_>,
    baseline: &[Entry],
    candidate: &[Entry],
    parts: usize,
) -> Result<Vec<(usize, Pair)>, Refusal> {
    let [a, b] = asked.runs;
    if !(a.is_stratified() && b.is_stratified()) {
        // of which part of the other's population a trace is nobody knows
        return Err(Refusal::EmptyStratum(0));
    }
    let of = |run: &Collected, side: &[Entry], name: &str| -> Vec<Entry> {
        let is_of = |entry: &&Entry| run.stratum_name(entry.item) == Some(name);
        side.iter().filter(is_of).copied().collect()
    };
    let mut pairs = Vec::new();
    for (stratum, part) in a.strata().iter().enumerate().take(parts) {
        let sides = (of(a, baseline, &part.name), of(b, candidate, &part.name));
        let turns = by_turn(asked, &sides.0, &sides.1);
        pairs.extend(turns.into_iter().map(|pair| (stratum, pair)));
    }
    Ok(pairs)
}

/// Makes one pair of those of one group in one part, for they differ alike.
fn by_group(
    run: &Collected,
    pairs: Vec<(usize, Pair)>,
    item: impl Fn(&Pair) -> u32,
) -> Vec<(usize, Pair)> {
    let mut alone = Vec::new();
    let mut groups: BTreeMap<(usize, u64), Vec<Pair>> = BTreeMap::new();
    for (stratum, pair) in pairs {
        match run.group(item(&pair)) {
            Some(group) => groups.entry((stratum, group)).or_default().push(pair),
            None => alone.push((stratum, pair)),
        }
    }
    let together = groups.into_iter().map(|((stratum, _), pairs)| {
        let n = pairs.len() as f64;
        let mean = |value: fn(&Pair) -> f64| pairs.iter().map(value).sum::<f64>() / n;
        let pair = Pair {
            baseline: mean(|it| it.baseline),
            candidate: mean(|it| it.candidate),
            at: pairs.iter().map(|it| it.at).max().unwrap_or_default(),
            ..pairs[0]
        };
        (stratum, pair)
    });
    alone.extend(together);
    alone
}
