//! The bet on a sample that was drawn in parts.
//!
//! Each part bets by itself, and the money of all is that of the worst way to split the loss over the parts
//! ([`stats::eprocess::Stratified`]). So it does not matter how many traces of which part were drawn, nor
//! which of them were graded first. A part of which nothing was graded yet may hide any loss.

use std::collections::BTreeMap;

use stats::eprocess::Stratified;
use stats::{Level, Refusal};

use super::GateOptions;
use super::question::Asked;
use super::sequential::{Stake, by_turn, in_order};
use crate::compare::pairing::{Entry, Pair};
use crate::results::Collected;

/// Between two times at which evidence is looked at so many more values come, as a share. The times are the
/// same however often a gate is asked, so what failed then stays failed.
const LOOKS: f64 = 1.1;

/// The first look.
const FIRST_LOOK: f64 = 10.0;

pub(super) fn bet(
    asked: &Asked<'_>,
    options: &GateOptions,
    level: Level,
) -> Result<Stake, Refusal> {
    // the shares of the parts that the question is about: those of the baseline, if it was drawn in parts
    let of = usize::from(!asked.runs[0].is_stratified());
    let strata = asked.samples()[of].strata()?;
    let populations: Vec<u64> = strata.iter().map(|stratum| stratum.population).collect();
    let is_paired = asked.sides.pairs_items();
    let pairs = match is_paired {
        true => pairs_of_parts(asked, of),
        false => in_turn(asked, populations.len())?,
    };
    let (mut loss, mut gain) = (
        Stratified::new(&populations)?,
        Stratified::new(&populations)?,
    );
    let (mut peak, mut next_look) = (1.0_f64, FIRST_LOOK);
    for (stratum, pair) in &pairs {
        let [baseline, candidate] = asked.shares(pair);
        loss.push(*stratum, baseline - candidate)?;
        gain.push(*stratum, candidate - baseline)?;
        if loss.n() as f64 >= next_look {
            next_look = (next_look * LOOKS).ceil();
            // most looks show less than an earlier one, and that is seen at once
            if loss.e_value_at_most(options.margin) > peak {
                peak = peak.max(loss.e_value(options.margin));
            }
        }
    }
    let e_value = loss.e_value(options.margin);
    let (units, parts) = (
        pairs.len(),
        populations.iter().filter(|it| **it > 0).count(),
    );
    let what = match is_paired {
        true => format!("{units} pairs"),
        false => format!("{units} times the next group or trace of a part of each run"),
    };
    Ok(Stake {
        e_value,
        peak: peak.max(e_value),
        loss_at_most: (loss.n() > 0).then(|| loss.upper_bound(options.alpha)),
        gain: gain.confidence_sequence(level).ok(),
        units,
        told: format!(
            "{what}, in the order in which they were graded; the sample was drawn in parts, and of all ways to split a loss over the {parts} parts that counts which speaks least for one"
        ),
    })
}

/// The pairs of items, with the part of that which was drawn in parts.
fn pairs_of_parts(asked: &Asked<'_>, of: usize) -> Vec<(usize, Pair)> {
    let run = asked.runs[of];
    let item = |pair: &Pair| [pair.baseline_item, pair.candidate_item][of];
    let all = asked.sides.pairs().into_iter();
    let known = all.filter_map(|pair| Some((run.stratum(item(&pair))?, pair)));
    let mut pairs = by_group(run, known.collect(), item);
    in_order(asked, &mut pairs, |(_, pair)| pair);
    pairs
}

/// What came as the n-th of a part of both runs, of each part by itself.
fn in_turn(asked: &Asked<'_>, parts: usize) -> Result<Vec<(usize, Pair)>, Refusal> {
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
        let baseline = of(a, &asked.sides.baseline, &part.name);
        let candidate = of(b, &asked.sides.candidate, &part.name);
        let turns = by_turn(asked, &baseline, &candidate);
        pairs.extend(turns.into_iter().map(|pair| (stratum, pair)));
    }
    in_order(asked, &mut pairs, |(_, pair)| pair);
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
