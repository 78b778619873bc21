//! Is the new version better, and by how much?
//!
//! Whatever can be paired is paired: the same task done by both versions says more of the versions than
//! two tasks do (on real runs the variance falls by half). Where nothing can be paired, labels of whole
//! groups are permuted. [`compare`] picks what fits the data; the modules hold the single methods.

mod by_groups;
mod by_pairs;
mod by_strata;
mod least;
mod paired;
mod permutation;
mod relative;
mod shift;

pub use by_pairs::steps_interval;
pub use by_strata::compare_strata;
pub use least::least_mean;
pub use paired::{PairedTest, mcnemar, sign_flip};
pub use permutation::{Permutation, label_permutation};
pub use relative::relative_change;
pub(crate) use shift::share_below;
pub use shift::{MannWhitney, hodges_lehmann, mann_whitney, probability_greater};

use std::collections::BTreeSet;

use by_groups::compare_groups;
use by_pairs::compare_pairs;

use crate::interval::Purpose;
use crate::{Figure, Level, Refusal, Row, Rows, cluster};

/// A graded item of one version.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Item {
    /// The grade; 1 and 0 for pass and fail.
    pub value: f64,
    /// What both versions did: a dataset's item, a task. Repeats share it.
    pub pair: Option<u64>,
    /// What makes items of a version alike: a user, a conversation.
    pub group: Option<u64>,
}

/// What is asked besides the difference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Question {
    /// The level of all intervals.
    pub level: Level,
    /// How much worse the new version may be, as 0.02; nothing if that is not asked. More is taken for
    /// better: give durations and costs with a minus.
    pub margin: Option<f64>,
    /// Fixes the random permutations.
    pub seed: u64,
}

impl Default for Question {
    fn default() -> Self {
        Self {
            level: Level::P95,
            margin: None,
            seed: 0,
        }
    }
}

/// How the two versions were compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Design {
    /// By key, repeats averaged in the pair: signs of pair differences are flipped.
    PairedByKey,
    /// As by key; every group was in both versions, and the group was the key.
    PairedByGroup,
    /// Passes and fails of different groups: the labels of whole groups are permuted.
    Rates,
    /// Other values of different groups: their ranks, labels permuted.
    Ranks,
    /// Weighted means of strata: a normal test on their difference.
    Strata,
}

/// Everything that a sentence about two versions needs. Differences are B − A.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Comparison {
    /// What was done.
    pub design: Design,
    /// Version A by itself: its rate or mean, or its median where ranks were compared and few are equal.
    pub a: Figure,
    /// Version B by itself.
    pub b: Figure,
    /// The difference of rates or means; the Hodges-Lehmann shift where ranks were compared and few are
    /// equal.
    pub difference: Figure,
    /// The chance of a difference as large if the versions were the same.
    pub p_value: f64,
    /// The chance of a difference as low as this if B were worse by just the margin; of strata, if asked.
    pub loss_p_value: Option<f64>,
    /// Whether the p value counts all arrangements, and not 20,000 random ones.
    pub exact: bool,
    /// McNemar's exact p value, where pairs are single passes and fails.
    pub mcnemar: Option<f64>,
    /// P(B > A) + ½P(B = A), where ranks were compared.
    pub probability_greater: Option<Figure>,
    /// B over A, less 1; refused where a ratio would mean nothing.
    pub relative: Result<Figure, Refusal>,
    /// The lower end of the one-sided interval of the difference.
    pub lower_bound: f64,
    /// Whether B is worse by less than the margin; nothing if none was asked.
    pub is_non_inferior: Option<bool>,
    /// The difference that this many items would have found in four of five cases.
    pub detectable: f64,
    /// Items of either version that found no partner and were left out.
    pub unpaired: usize,
}

/// Compares two versions by what their items allow.
///
/// Items whose pair keys occur in both versions are paired, if all items have a key and two keys are
/// shared. Else, if every group is in both versions, groups are the pairs. Else values that are all 0 or
/// 1 are compared as rates and others by their ranks, over groups; groups that are in both versions are
/// then swapped within themselves. Refuses versions without items and those without two groups.
pub fn compare(a: &[Item], b: &[Item], question: &Question) -> Result<Comparison, Refusal> {
    let keys =
        |items: &[Item]| -> Option<BTreeSet<u64>> { items.iter().map(|item| item.pair).collect() };
    if let (Some(of_a), Some(of_b)) = (keys(a), keys(b))
        && of_a.intersection(&of_b).count() >= 2
    {
        return compare_pairs(a, b, question, Design::PairedByKey);
    }
    let by_group = |items: &[Item]| -> Vec<Item> {
        items
            .iter()
            .map(|item| Item {
                pair: item.group,
                ..*item
            })
            .collect()
    };
    let (grouped_a, grouped_b) = (by_group(a), by_group(b));
    if let (Some(of_a), Some(of_b)) = (keys(&grouped_a), keys(&grouped_b))
        && of_a == of_b
        && of_a.len() >= 2
    {
        return compare_pairs(&grouped_a, &grouped_b, question, Design::PairedByGroup);
    }
    let rows = |items: &[Item]| {
        Rows::new(items.iter().map(|item| Row {
            value: item.value,
            group: item.group,
        }))
    };
    compare_groups(&rows(a)?, &rows(b)?, question)
}

/// A version by itself, where rates or means are compared.
fn single(rows: &Rows, level: Level) -> Result<Figure, Refusal> {
    if rows.is_binary() {
        cluster::rate(rows, level, Purpose::Report)
    } else {
        cluster::mean(rows, level)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Method;

    fn item(value: f64, pair: Option<u64>, group: Option<u64>) -> Item {
        Item { value, pair, group }
    }

    fn ask(margin: f64) -> Question {
        Question {
            margin: Some(margin),
            ..Question::default()
        }
    }

    /// Passes and fails, one item a key.
    fn keyed(values: impl IntoIterator<Item = bool>) -> Vec<Item> {
        let values = values.into_iter().enumerate();
        values
            .map(|(key, passed)| item(f64::from(u8::from(passed)), Some(key as u64), None))
            .collect()
    }

    fn without_keys(items: &[Item], group: impl Fn(u64) -> Option<u64>) -> Vec<Item> {
        items
            .iter()
            .map(|one| item(one.value, None, group(one.pair.unwrap_or_default())))
            .collect()
    }

    #[test]
    fn the_data_choose_the_design() {
        let (a, b) = (
            keyed((0..60).map(|i| i % 3 > 0)),
            keyed((0..60).map(|i| i % 5 > 0)),
        );
        let design = |a: &[Item], b: &[Item]| compare(a, b, &ask(0.1)).unwrap().design;
        assert_eq!(design(&a, &b), Design::PairedByKey);
        let grouped = |items: &[Item]| without_keys(items, |key| Some(key / 4));
        assert_eq!(design(&grouped(&a), &grouped(&b)), Design::PairedByGroup);
        let apart = without_keys(&b, |key| Some(100 + key / 4));
        assert_eq!(design(&grouped(&a), &apart), Design::Rates);
        let alone = |items: &[Item]| without_keys(items, |_| None);
        assert_eq!(design(&alone(&a), &alone(&b)), Design::Rates);
        let mut scores = alone(&a);
        scores[0].value = 0.5;
        assert_eq!(design(&scores, &alone(&b)), Design::Ranks);
        // one shared key is no pairing
        let one = [item(1.0, Some(7), None), item(0.0, Some(8), None)];
        let other = [item(1.0, Some(7), None), item(0.0, Some(9), None)];
        assert_eq!(design(&one, &other), Design::Rates);
    }

    #[test]
    fn two_pairs_without_a_difference_show_nothing() {
        let few = keyed([true, true]);
        let found = compare(&few, &few, &ask(0.05)).unwrap();
        assert_eq!((found.difference.estimate, found.p_value), (0.0, 1.0));
        assert_eq!(found.difference.interval.method, Method::PairSteps);
        assert_eq!(found.is_non_inferior, Some(false));
        assert!(found.detectable > 0.3, "{found:?}");
        let many = keyed(vec![true; 400]);
        assert_eq!(
            compare(&many, &many, &ask(0.05)).unwrap().is_non_inferior,
            Some(true)
        );
        // one score that everything got says nothing of how scores differ
        let same: Vec<Item> = (0..9).map(|key| item(4.0, Some(key), None)).collect();
        assert_eq!(
            compare(&same, &same, &ask(0.05)).unwrap_err(),
            Refusal::NoSpread
        );
        let alone = without_keys(&same, |_| None);
        assert_eq!(
            compare(&alone, &alone, &ask(0.05)).unwrap_err(),
            Refusal::NoSpread
        );
    }

    #[test]
    fn items_without_a_partner_are_counted() {
        let a = keyed((0..40).map(|i| i % 4 > 0));
        let found = compare(&a, &a[..30], &ask(0.2)).unwrap();
        assert_eq!((found.unpaired, found.difference.n), (10, 30));
    }

    #[test]
    fn stars_differ_by_their_means() {
        let stars = |counts: [usize; 5]| -> Vec<Item> {
            let values = counts.into_iter().zip(1_u32..);
            let values = values.flat_map(|(n, star)| std::iter::repeat_n(f64::from(star), n));
            values.map(|value| item(value, None, None)).collect()
        };
        // means of 4.6 and 3.8: the median difference is zero
        let (a, b) = (stars([0, 0, 0, 6, 9]), stars([1, 1, 3, 5, 5]));
        let found = compare(&a, &b, &ask(0.2)).unwrap();
        assert_eq!(found.design, Design::Ranks);
        assert!((found.difference.estimate + 0.8).abs() < 1e-9, "{found:?}");
        assert!(found.difference.interval.low < -1.2 && found.difference.interval.high < 0.0);
        assert_eq!(found.is_non_inferior, Some(false));
        assert!((found.a.estimate - 4.6).abs() < 1e-9);
        let greater = found.probability_greater.unwrap();
        assert!(greater.estimate < 0.5);
        // the same twice is no proof that it is not worse
        let again = compare(&a, &a, &ask(0.2)).unwrap();
        assert_eq!(again.is_non_inferior, Some(false), "{again:?}");
    }

    #[test]
    fn a_slowdown_is_a_shift_and_a_ratio() {
        let time = |i: u64, factor: f64| item(factor * (10.0 + (i * 37 % 100) as f64), None, None);
        let a: Vec<Item> = (0..100).map(|i| time(i, 1.0)).collect();
        let b: Vec<Item> = (0..100).map(|i| time(i, 1.5)).collect();
        let found = compare(&a, &b, &ask(0.0)).unwrap();
        assert_eq!(found.design, Design::Ranks);
        assert!(found.difference.interval.low > 10.0 && found.p_value < 0.001);
        let ratio = found.relative.unwrap();
        assert!((ratio.estimate - 0.5).abs() < 1e-9 && ratio.interval.low > 0.2);
        let greater = found.probability_greater.unwrap();
        assert!(greater.estimate > 0.65 && greater.interval.low > 0.5);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_items_give_a_comparison_or_a_refusal(
            a in prop::collection::vec((prop::num::f64::ANY, prop::option::of(0_u64..9), prop::option::of(0_u64..4)), 0..15),
            b in prop::collection::vec((prop::num::f64::ANY, prop::option::of(0_u64..9), prop::option::of(0_u64..4)), 0..15),
            binary: bool,
        ) {
            let items = |raw: &[(f64, Option<u64>, Option<u64>)]| -> Vec<Item> {
                raw.iter()
                    .map(|&(value, pair, group)| item(if binary { f64::from(u8::from(value > 0.0)) } else { value }, pair, group))
                    .collect()
            };
            if let Ok(found) = compare(&items(&a), &items(&b), &ask(0.1)) {
                prop_assert!(found.p_value > 0.0 && found.p_value <= 1.0);
                prop_assert!(found.difference.interval.contains(found.difference.estimate), "{found:?}");
                prop_assert!(found.lower_bound >= found.difference.interval.low, "{found:?}");
                prop_assert!(found.detectable >= 0.0);
            }
        }
    }
}
