//! Which item of one run belongs to which of the other, and which items are alike.

use std::collections::{BTreeSet, HashMap};

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
    /// By item, and items of one group are one pair.
    GroupsOfItems,
    /// Not at all; groups that are in both runs are still the same groups.
    Nothing,
}

/// An item's value, ready to be compared.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    /// Its number in its run.
    pub(crate) item: u32,
    /// When it was graded.
    pub(crate) at: i64,
    pub(crate) value: f64,
    pub(crate) pair: Option<u64>,
    pub(crate) group: Option<u64>,
}

/// The values of both runs, with common numbers for keys and groups.
#[derive(Debug, Clone)]
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
    /// When its last item was graded.
    pub(crate) at: i64,
    /// Items of the side that has more.
    pub(crate) repeats: f64,
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
                let Said::Value(value) = metric.said(run, &cell) else {
                    continue;
                };
                let id = run.item_id(item);
                let group = run.group_id(item).map(|group| numbers.of('g', group));
                let pair = match by {
                    By::Key => run.key(item).map(|key| numbers.of('k', key)),
                    By::Item => Some(numbers.of('i', id)),
                    By::Group | By::GroupsOfItems => group,
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
                    at: run.graded_at(item),
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

    /// Makes the groups of items that both runs graded the pairs, if any group has two of them: traces of one
    /// conversation differ alike.
    pub(crate) fn average_groups(&mut self) {
        if self.by != By::Item {
            return;
        }
        let pairs = |side: &[Entry]| side.iter().map(|entry| entry.pair).collect::<BTreeSet<_>>();
        let (of_a, of_b) = (pairs(&self.baseline), pairs(&self.candidate));
        let both: BTreeSet<_> = of_a.intersection(&of_b).collect();
        let shared = self
            .baseline
            .iter()
            .filter(|entry| both.contains(&entry.pair));
        let groups: BTreeSet<_> = shared.map(|entry| entry.group).collect();
        if groups.len() == both.len() {
            return;
        }
        for side in [&mut self.baseline, &mut self.candidate] {
            let all = side.len();
            side.retain(|entry| both.contains(&entry.pair));
            self.without_key += all - side.len();
            for entry in side {
                // an item without a group is its own: it is in both runs
                entry.pair = entry.group;
            }
        }
        self.by = By::GroupsOfItems;
    }

    /// Returns whether single items are paired, each of which is of one stratum.
    pub(crate) fn pairs_items(&self) -> bool {
        matches!(self.by, By::Item | By::Key)
    }

    /// Makes groups the pairs, if every group is in both runs.
    pub(crate) fn pair_groups(&mut self) -> bool {
        let groups = |side: &[Entry]| -> Option<BTreeSet<u64>> {
            side.iter().map(|entry| entry.group).collect()
        };
        let are_same = match (groups(&self.baseline), groups(&self.candidate)) {
            (Some(a), Some(b)) => a == b && a.len() >= 2,
            _ => false,
        };
        if are_same && self.by == By::Nothing {
            for entry in self.baseline.iter_mut().chain(&mut self.candidate) {
                entry.pair = entry.group;
            }
            self.by = By::Group;
        }
        self.by != By::Nothing
    }

    /// Returns the pairs in the order of the numbers of their keys.
    pub(crate) fn pairs(&self) -> Vec<Pair> {
        #[derive(Default)]
        struct Mean {
            sum: f64,
            n: f64,
            worst: Option<Entry>,
            at: i64,
        }
        let mut pairs: HashMap<u64, [Mean; 2]> = HashMap::new();
        for (side, entries) in [&self.baseline, &self.candidate].into_iter().enumerate() {
            for entry in entries {
                let Some(key) = entry.pair else { continue };
                let mean = &mut pairs.entry(key).or_default()[side];
                mean.sum += entry.value;
                mean.n += 1.0;
                mean.at = mean.at.max(entry.at);
                // of repeats the lowest is shown
                let order = |it: &Entry| (it.value, it.item);
                if mean.worst.is_none_or(|worst| order(entry) < order(&worst)) {
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
                    at: a.at.max(b.at),
                    repeats: a.n.max(b.n),
                };
                Some((key, pair))
            })
            .collect();
        keyed.sort_by_key(|(key, _)| *key);
        keyed.into_iter().map(|(_, pair)| pair).collect()
    }
}
