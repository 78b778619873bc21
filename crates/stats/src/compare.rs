//! Is the new version better, and by how much?
//!
//! Whatever can be paired is paired: the same task done by both versions says more of the versions than
//! two tasks do (on real runs the variance falls by half). Where nothing can be paired, labels of whole
//! groups are permuted. [`compare`] picks what fits the data; the modules hold the single methods.

mod paired;
mod permutation;
mod relative;
mod shift;

pub use paired::{PairedTest, mcnemar, sign_flip};
pub use permutation::{Permutation, label_permutation};
pub use relative::relative_change;
pub(crate) use shift::share_below;
pub use shift::{MannWhitney, hodges_lehmann, mann_whitney, probability_greater};

use std::collections::{BTreeMap, BTreeSet};

use crate::contrast::{Contrast, contrast};
use crate::distribution::{normal_quantile, normal_two_sided, student_quantile};
use crate::interval::{Purpose, newcombe};
use crate::strata::{self, Stratum};
use crate::{Figure, Interval, Level, Method, Refusal, Row, Rows, cluster, power, quantile};

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
    /// How much worse the new version may be, as 0.02; nothing if that is not asked.
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
    /// Version A by itself: its rate or mean, or its median where ranks were compared.
    pub a: Figure,
    /// Version B by itself.
    pub b: Figure,
    /// The difference of rates or means; the Hodges-Lehmann shift where ranks were compared.
    pub difference: Figure,
    /// The chance of a difference as large if the versions were the same.
    pub p_value: f64,
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

/// One value or several of each version under one key.
type Pair = (Vec<f64>, Vec<f64>);

fn compare_pairs(
    a: &[Item],
    b: &[Item],
    question: &Question,
    design: Design,
) -> Result<Comparison, Refusal> {
    let mut pairs: BTreeMap<u64, Pair> = BTreeMap::new();
    for item in a {
        pairs
            .entry(item.pair.unwrap_or_default())
            .or_default()
            .0
            .push(item.value);
    }
    for item in b {
        pairs
            .entry(item.pair.unwrap_or_default())
            .or_default()
            .1
            .push(item.value);
    }
    let all = a.len() + b.len();
    pairs.retain(|_, (of_a, of_b)| !of_a.is_empty() && !of_b.is_empty());
    if pairs.len() < 2 {
        return Err(Refusal::TooFewPairs(pairs.len()));
    }
    let arm = |values: fn(&Pair) -> &Vec<f64>| {
        Rows::new(pairs.iter().flat_map(|(&key, pair)| {
            values(pair).iter().map(move |&value| Row {
                value,
                group: Some(key),
            })
        }))
    };
    let (arm_a, arm_b) = (arm(|pair| &pair.0)?, arm(|pair| &pair.1)?);
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let test = sign_flip(
        pairs.values().map(|(of_a, of_b)| mean(of_b) - mean(of_a)),
        question.level,
        question.seed,
    )?;
    let lower = sign_flip_lower(&test, question.level);
    Ok(Comparison {
        design,
        a: single(&arm_a, question.level)?,
        b: single(&arm_b, question.level)?,
        difference: test.difference,
        p_value: test.p_value,
        exact: test.exact,
        mcnemar: discordant(pairs.values()).map(|(lost, won)| mcnemar(lost, won)),
        probability_greater: None,
        relative: relative_change(&arm_a, &arm_b, question.level),
        lower_bound: lower,
        is_non_inferior: question.margin.map(|margin| lower > -margin),
        detectable: power::detectable(test.standard_error, question.level),
        unpaired: all - arm_a.n() - arm_b.n(),
    })
}

fn sign_flip_lower(test: &PairedTest, level: Level) -> f64 {
    let freedom = test.difference.groups as f64 - 1.0;
    test.difference.estimate - student_quantile(level.get(), freedom) * test.standard_error
}

/// How many pairs only A passed, and only B; nothing if a pair is not one pass or fail each.
fn discordant<'a>(pairs: impl Iterator<Item = &'a Pair>) -> Option<(u64, u64)> {
    let (mut lost, mut won) = (0, 0);
    for (of_a, of_b) in pairs {
        let ([one], [other]) = (of_a.as_slice(), of_b.as_slice()) else {
            return None;
        };
        match (binary(*one)?, binary(*other)?) {
            (true, false) => lost += 1,
            (false, true) => won += 1,
            _ => {}
        }
    }
    Some((lost, won))
}

#[expect(clippy::float_cmp, reason = "exactly 0 and 1 are meant")]
fn binary(value: f64) -> Option<bool> {
    if value == 1.0 {
        Some(true)
    } else if value == 0.0 {
        Some(false)
    } else {
        None
    }
}

/// A version by itself, where rates or means are compared.
fn single(rows: &Rows, level: Level) -> Result<Figure, Refusal> {
    if rows.is_binary() {
        cluster::rate(rows, level, Purpose::Report)
    } else {
        cluster::mean(rows, level)
    }
}

fn compare_groups(a: &Rows, b: &Rows, question: &Question) -> Result<Comparison, Refusal> {
    if a.is_binary() && b.is_binary() {
        compare_rates(a, b, question)
    } else {
        compare_ranks(a, b, question)
    }
}

fn compare_rates(a: &Rows, b: &Rows, question: &Question) -> Result<Comparison, Refusal> {
    let of = |level| -> Result<(Figure, Figure), Refusal> {
        Ok((
            cluster::rate(a, level, Purpose::Report)?,
            cluster::rate(b, level, Purpose::Report)?,
        ))
    };
    let (figure_a, figure_b) = of(question.level)?;
    let apart = contrast(a, b).ok_or(Refusal::OneGroup)?;
    let (difference, lower) = if apart.straddling == 0 {
        let one_sided = of(question.level.one_sided())?;
        let ends = newcombe(&figure_a, &figure_b);
        let interval = Interval::new(ends, question.level, Method::Newcombe);
        (
            difference_of(&apart, a, b, interval),
            newcombe(&one_sided.0, &one_sided.1).0,
        )
    } else {
        let interval = Interval::new(
            ends_of(&apart, question.level),
            question.level,
            Method::StudentT,
        );
        (
            difference_of(&apart, a, b, interval),
            ends_of(&apart, question.level.one_sided()).0,
        )
    };
    let test = label_permutation(a, b, question.seed)?;
    Ok(Comparison {
        design: Design::Rates,
        a: figure_a,
        b: figure_b,
        difference,
        p_value: test.p_value,
        exact: test.exact,
        mcnemar: None,
        probability_greater: None,
        relative: relative_change(a, b, question.level),
        lower_bound: lower,
        is_non_inferior: question.margin.map(|margin| lower > -margin),
        detectable: power::detectable(apart.variance.sqrt(), question.level),
        unpaired: 0,
    })
}

fn compare_ranks(a: &Rows, b: &Rows, question: &Question) -> Result<Comparison, Refusal> {
    let level = question.level;
    let apart = contrast(a, b).ok_or(Refusal::OneGroup)?;
    let test = mann_whitney(a, b, question.seed)?;
    let lower = hodges_lehmann(a, b, level.one_sided())?.interval.low;
    Ok(Comparison {
        design: Design::Ranks,
        a: quantile::quantile(a, 0.5, level)?,
        b: quantile::quantile(b, 0.5, level)?,
        difference: hodges_lehmann(a, b, level)?,
        p_value: test.permutation.p_value,
        exact: test.permutation.exact,
        mcnemar: None,
        probability_greater: Some(probability_greater(a, b, level)?),
        relative: relative_change(a, b, level),
        lower_bound: lower,
        is_non_inferior: question.margin.map(|margin| lower > -margin),
        detectable: power::detectable(apart.variance.sqrt(), level),
        unpaired: 0,
    })
}

/// Compares two versions that were sampled by strata: weighted means, SE² = SE_A² + SE_B².
///
/// Assumes that no group is in both versions. Refuses what [`strata::estimate`] refuses for the whole.
pub fn compare_strata(
    a: &[Stratum],
    b: &[Stratum],
    question: &Question,
) -> Result<Comparison, Refusal> {
    let level = question.level;
    let (figure_a, figure_b) = (
        strata::estimate(a, level).overall?,
        strata::estimate(b, level).overall?,
    );
    let (of_a, of_b) = (strata::weighted(a)?, strata::weighted(b)?);
    let difference = of_b.estimate - of_a.estimate;
    let error = (of_a.variance + of_b.variance).sqrt();
    let half = normal_quantile(level.upper()) * error;
    let lower = difference - normal_quantile(level.get()) * error;
    let p_value = if error > 0.0 {
        normal_two_sided(difference / error)
    } else if difference.abs() > 0.0 {
        0.0
    } else {
        1.0
    };
    let alone = of_a.variance_alone() + of_b.variance_alone();
    let around = |estimate, interval| Figure {
        estimate,
        interval,
        n: of_a.n + of_b.n,
        groups: of_a.groups + of_b.groups,
        design_effect: if alone > 0.0 {
            error * error / alone
        } else {
            1.0
        },
    };
    let interval = Interval::new(
        (difference - half, difference + half),
        level,
        Method::Strata,
    );
    let ratio = relative::of_moments(
        &figure_a,
        of_a.variance,
        figure_b.estimate,
        of_b.variance,
        level,
    );
    Ok(Comparison {
        design: Design::Strata,
        a: figure_a,
        b: figure_b,
        difference: around(difference, interval),
        p_value,
        exact: false,
        mcnemar: None,
        probability_greater: None,
        relative: ratio
            .map(|interval| around(figure_b.estimate / figure_a.estimate - 1.0, interval)),
        lower_bound: lower,
        is_non_inferior: question.margin.map(|margin| lower > -margin),
        detectable: power::detectable(error, level),
        unpaired: 0,
    })
}

/// difference ± t·√V.
fn ends_of(apart: &Contrast, level: Level) -> (f64, f64) {
    let half = student_quantile(level.upper(), apart.freedom) * apart.variance.sqrt();
    (apart.difference - half, apart.difference + half)
}

fn difference_of(apart: &Contrast, a: &Rows, b: &Rows, interval: Interval) -> Figure {
    Figure {
        estimate: apart.difference,
        interval,
        n: a.n() + b.n(),
        groups: apart.groups,
        design_effect: design_effect(apart.variance, a, b),
    }
}

/// A variance over that of as many independent values of the same spread.
fn design_effect(variance: f64, a: &Rows, b: &Rows) -> f64 {
    let alone =
        a.variance().unwrap_or(0.0) / a.n() as f64 + b.variance().unwrap_or(0.0) / b.n() as f64;
    if alone > 0.0 { variance / alone } else { 1.0 }
}
