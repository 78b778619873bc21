//! Which few sets of features explain the failures?
//!
//! Frequent sets are grown from frequent features; a set that holds for the same traces as a smaller
//! one says nothing more and is dropped. Of the rest, greedily, each step takes the one that explains
//! most of what is not yet explained, the more so the rarer it is where things go well.

use std::cmp::Reverse;

use hashbrown::HashMap;

use super::bits::Bits;
use super::{FailureCase, Feature};

/// So many features are looked at: those of most failing traces.
pub(super) const FEATURES_MAX: usize = 256;

/// So many pairs grow into threes.
const PAIRS_MAX: usize = 300;

/// So many sets are weighed against each other.
const SETS_MAX: usize = 1_000;

/// The failing traces that are worth a group: a fiftieth of them, but two at least.
const SUPPORT_SHARE: u64 = 50;
const SUPPORT_MIN: u64 = 2;

/// Cases by feature.
pub(super) struct Table<'a> {
    pub(super) failing: Bits,
    /// How many failing cases there are.
    pub(super) failing_count: u64,
    /// How many others.
    pub(super) passing_count: u64,
    /// The features that are frequent among failures, in order.
    pub(super) features: Vec<(&'a Feature, Bits)>,
    support: u64,
}

/// A set of features by their places in the table, and how often it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FeatureSet {
    pub(super) features: Vec<usize>,
    pub(super) failing: u64,
    pub(super) passing: u64,
}

impl<'a> Table<'a> {
    pub(super) fn of(cases: &'a [FailureCase]) -> Self {
        let mut failing = Bits::none(cases.len());
        for (at, _) in cases.iter().enumerate().filter(|(_, case)| case.failed) {
            failing.insert(at);
        }
        let failing_count = failing.count();
        let support = (failing_count / SUPPORT_SHARE).max(SUPPORT_MIN);
        let frequent = frequent_features(cases, support);
        let place: HashMap<&Feature, usize> = frequent.iter().copied().zip(0..).collect();
        let none = |feature| (feature, Bits::none(cases.len()));
        let mut features: Vec<(&Feature, Bits)> = frequent.into_iter().map(none).collect();
        for (at, case) in cases.iter().enumerate() {
            for known in case.features().filter_map(|feature| place.get(feature)) {
                features[*known].1.insert(at);
            }
        }
        Self {
            passing_count: cases.len() as u64 - failing_count,
            failing_count,
            failing,
            features,
            support,
        }
    }

    /// Returns the cases for which all features of a set hold.
    pub(super) fn matching(&self, features: &[usize]) -> Bits {
        let mut sets = features.iter().map(|at| &self.features[*at].1);
        let first = sets.next().expect("no set is empty").clone();
        sets.fold(first, |both, next| both.and(next))
    }

    /// Returns how much likelier a failure is where a set holds.
    pub(super) fn lift(&self, set: &FeatureSet) -> f64 {
        let rate = set.failing as f64 / (set.failing + set.passing) as f64;
        let all = self.failing_count + self.passing_count;
        rate * all as f64 / self.failing_count as f64
    }

    /// Returns whether a set is rarer where things go well; where nothing does, nobody can tell.
    fn explains(&self, set: &FeatureSet) -> bool {
        let (failing, passing) = (self.failing_count, self.passing_count);
        // the lift is above 1, in whole numbers
        passing == 0 || set.failing * passing > set.passing * failing
    }

    fn one(&self, at: usize) -> FeatureSet {
        let holds = &self.features[at].1;
        let failing = holds.common(&self.failing);
        FeatureSet {
            features: vec![at],
            failing,
            passing: holds.count() - failing,
        }
    }

    /// Returns the frequent sets of one, two and three features, none of which holds for just the
    /// cases of a smaller one.
    fn frequent(&self) -> Vec<FeatureSet> {
        let ones: Vec<FeatureSet> = (0..self.features.len()).map(|at| self.one(at)).collect();
        let ones_by_place = |at: usize| &ones[at];
        let mut twos: Vec<FeatureSet> = Vec::new();
        for one in &ones {
            twos.extend(self.grown(one, |added| vec![ones_by_place(added)]));
        }
        by_frequency(&mut twos);
        twos.truncate(PAIRS_MAX);
        let mut threes: Vec<FeatureSet> = Vec::new();
        let known: HashMap<&[usize], &FeatureSet> = twos
            .iter()
            .map(|set| (set.features.as_slice(), set))
            .collect();
        for two in &twos {
            threes.extend(self.grown(two, |added| {
                let [first, second] = [two.features[0], two.features[1]];
                let pairs = [[first, added], [second, added]];
                let pairs = pairs
                    .iter()
                    .filter_map(|pair| known.get(pair.as_slice()).copied());
                pairs.chain([ones_by_place(added)]).collect()
            }));
        }
        let smaller = ones.iter().chain(&twos).cloned();
        let mut all: Vec<FeatureSet> = smaller.chain(threes).collect();
        by_frequency(&mut all);
        all.truncate(SETS_MAX);
        all
    }

    /// Returns the frequent sets with one feature more, behind the last one. `others` are the smaller
    /// sets with the new feature.
    fn grown<'s>(
        &self,
        set: &'s FeatureSet,
        others: impl Fn(usize) -> Vec<&'s FeatureSet>,
    ) -> Vec<FeatureSet> {
        let holds = self.matching(&set.features);
        let last = *set.features.last().expect("no set is empty");
        let fails = holds.and(&self.failing);
        let more = (last + 1..self.features.len()).filter_map(|added| {
            // most sets are too rare, and one pass tells
            let failing = fails.common(&self.features[added].1);
            if failing < self.support {
                return None;
            }
            let grown = FeatureSet {
                features: set.features.iter().copied().chain([added]).collect(),
                failing,
                passing: holds.common(&self.features[added].1) - failing,
            };
            let same = |smaller: &FeatureSet| {
                (smaller.failing, smaller.passing) == (grown.failing, grown.passing)
            };
            let says_more = !same(set) && !others(added).into_iter().any(same);
            says_more.then_some(grown)
        });
        more.collect()
    }

    /// Returns the sets that explain the failures, the most important first, each with the failing
    /// cases that it was the first to explain; and what is left.
    pub(super) fn cover(&self, groups_max: usize) -> (Vec<(FeatureSet, Bits)>, u64) {
        let mut left = self.failing.clone();
        let mut sets = self.frequent();
        sets.retain(|set| self.explains(set));
        // of equal weight the simpler one is taken: it comes first
        sets.sort_by(|a, b| {
            let size = |set: &FeatureSet| set.features.len();
            size(a)
                .cmp(&size(b))
                .then_with(|| a.features.cmp(&b.features))
        });
        let lifts: Vec<f64> = sets.iter().map(|set| self.lift(set)).collect();
        let holds: Vec<Bits> = sets
            .iter()
            .map(|set| self.matching(&set.features))
            .collect();
        let mut chosen = Vec::new();
        while chosen.len() < groups_max {
            let mut best: Option<(usize, f64)> = None;
            for at in 0..sets.len() {
                let new = holds[at].common(&left);
                let weight = new as f64 * lifts[at];
                if new >= self.support && best.is_none_or(|(_, most)| weight > most) {
                    best = Some((at, weight));
                }
            }
            let Some((best, _)) = best else {
                break;
            };
            let explained = holds[best].and(&left);
            left.remove_all(&explained);
            chosen.push((sets[best].clone(), explained));
        }
        (chosen, left.count())
    }
}

/// Returns the features of most failing traces, in order.
fn frequent_features(cases: &[FailureCase], support: u64) -> Vec<&Feature> {
    // how many cases, and the last of them: a feature counts once a case
    let mut counts: HashMap<&Feature, (u64, usize)> = HashMap::new();
    for (at, case) in cases.iter().enumerate().filter(|(_, case)| case.failed) {
        for feature in case.features() {
            let (count, last) = counts.entry(feature).or_insert((0, usize::MAX));
            *count += u64::from(*last != at);
            *last = at;
        }
    }
    let mut frequent: Vec<(&Feature, u64)> = (counts.into_iter())
        .map(|(feature, (count, _))| (feature, count))
        .filter(|(_, count)| *count >= support)
        .collect();
    frequent.sort_by_key(|(feature, count)| (Reverse(*count), *feature));
    frequent.truncate(FEATURES_MAX);
    let mut features: Vec<&Feature> = frequent.into_iter().map(|(feature, _)| feature).collect();
    features.sort();
    features
}

/// The most frequent first, of equals the smaller.
fn by_frequency(sets: &mut [FeatureSet]) {
    sets.sort_by(|a, b| {
        let key = |set: &FeatureSet| (Reverse(set.failing), set.features.len());
        key(a)
            .cmp(&key(b))
            .then_with(|| a.features.cmp(&b.features))
    });
}
