//! Which item of one run belongs to which of the other, and which items are alike.

use std::collections::HashMap;

use stats::compare::Item;

use super::PairBy;
use super::both::{Both, Metric};
use crate::results::{Collected, Said};

/// How items found their partners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Key,
    Item,
    Group,
    /// Not at all; groups that are in both runs are still the same groups.
    Nothing,
}

/// An item's value, ready to be compared.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    /// Its number in its run.
    pub(crate) item: u32,
    pub(crate) value: f64,
    pub(crate) pair: Option<u64>,
    pub(crate) group: Option<u64>,
}

/// The values of both runs, with common numbers for keys and groups.
pub(crate) struct Sides {
    pub(crate) by: By,
    pub(crate) baseline: Vec<Entry>,
    pub(crate) candidate: Vec<Entry>,
    /// Items with a value that have nothing to be paired by.
    pub(crate) without_key: usize,
}

/// One pair: the mean of each side, and an item to show.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair {
    pub(crate) baseline: f64,
    pub(crate) candidate: f64,
    pub(crate) baseline_item: u32,
    pub(crate) candidate_item: u32,
}

impl Entry {
    pub(crate) fn as_item(&self) -> Item {
        Item {
            value: self.value,
            pair: self.pair,
            group: self.group,
        }
    }
}

/// Decides what pairs two runs.
///
/// A few traces that happen to be in both would leave out all others, so runs are paired by item only if
/// half of the smaller one is in the other.
pub(crate) fn choose(baseline: &Collected, candidate: &Collected, asked: PairBy) -> By {
    match asked {
        PairBy::Item => return By::Item,
        PairBy::Group => return By::Group,
        PairBy::Key => return By::Key,
        PairBy::Nothing => return By::Nothing,
        PairBy::Anything => {}
    }
    if baseline.has_keys() && candidate.has_keys() {
        return By::Key;
    }
    let items = baseline.items();
    let shared = items.filter(|item| candidate.item(baseline.item_id(*item)).is_some());
    let (shared, smaller) = (shared.count(), baseline.len().min(candidate.len()));
    match shared >= 2 && 2 * shared >= smaller {
        true => By::Item,
        false => By::Nothing,
    }
}

/// Numbers that mean the same in both runs.
#[derive(Default)]
struct Numbers<'a>(HashMap<(char, &'a str), u64>);

impl<'a> Numbers<'a> {
    fn of(&mut self, kind: char, text: &'a str) -> u64 {
        let next = self.0.len() as u64;
        *self.0.entry((kind, text)).or_insert(next)
    }
}

impl Sides {
    /// Takes the values of a grader.
    pub(crate) fn of(runs: [&Collected; 2], grader: Both<'_>, metric: &Metric, by: By) -> Self {
        let mut numbers = Numbers::default();
        let mut without_key = 0;
        let [a, b] = runs;
        let sides = [(a, b, grader.baseline), (b, a, grader.candidate)];
        let [baseline, candidate] = sides.map(|(run, other, grader)| {
            let mut entries = Vec::new();
            for (item, cell) in grader.cells() {
                let Said::Value(value) = metric.said(run, cell) else {
                    continue;
                };
                let id = run.item_id(item);
                let group = run.group_id(item).map(|group| numbers.of('g', group));
                let pair = match by {
                    By::Key => run.key(item).map(|key| numbers.of('k', key)),
                    By::Item => Some(numbers.of('i', id)),
                    By::Group => group,
                    By::Nothing => None,
                };
                if by != By::Nothing && pair.is_none() {
                    without_key += 1;
                    continue;
                }
                // a trace that is in both runs is a group of its own in both
                let own = || other.item(id).map(|_| numbers.of('i', id));
                let group = group.or_else(own);
                entries.push(Entry {
                    item,
                    value,
                    pair,
                    group,
                });
            }
            entries
        });
        Self {
            by,
            baseline,
            candidate,
            without_key,
        }
    }

    /// Returns the pairs, each with its key, in the order of the numbers of keys.
    pub(crate) fn pairs(&self) -> Vec<Pair> {
        #[derive(Default)]
        struct Mean {
            sum: f64,
            n: f64,
            worst: Option<Entry>,
        }
        let mut pairs: HashMap<u64, [Mean; 2]> = HashMap::new();
        for (side, entries) in [&self.baseline, &self.candidate].into_iter().enumerate() {
            for entry in entries {
                let Some(key) = entry.pair else { continue };
                let mean = &mut pairs.entry(key).or_default()[side];
                mean.sum += entry.value;
                mean.n += 1.0;
                // of repeats the lowest is shown
                if mean.worst.is_none_or(|worst| entry.value < worst.value) {
                    mean.worst = Some(*entry);
                }
            }
        }
        let mut keyed: Vec<(u64, Pair)> = pairs
            .into_iter()
            .filter_map(|(key, [a, b])| {
                let pair = Pair {
                    baseline: a.sum / a.n,
                    candidate: b.sum / b.n,
                    baseline_item: a.worst?.item,
                    candidate_item: b.worst?.item,
                };
                Some((key, pair))
            })
            .collect();
        keyed.sort_by_key(|(key, _)| *key);
        keyed.into_iter().map(|(_, pair)| pair).collect()
    }
}
