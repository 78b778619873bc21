//! What would people have said of all of it, when they looked at a part and a judge at everything?
//!
//! Labels alone are right and wide; the judge alone is narrow and wrong. PPI++ takes from the judge only
//! what the labels show to be worth taking: it is right whatever the judge does, and with many labels
//! never wider than they are (Angelopoulos et al. 2023, arXiv 2311.01453).

mod chances;

pub use chances::{Queued, by_known_chances, by_known_chances_in_strata};

use crate::contrast::contrast;
use crate::distribution::{normal_quantile, student_quantile};
use crate::interval::{Purpose, newcombe};
use crate::strata::Stratum;
use crate::{Figure, Interval, Level, Method, Refusal, Row, Rows, cluster, strata};

/// An item that the judge decided, and for some what people said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judgement {
    /// The judge's verdict or score.
    pub judge: f64,
    /// A person's, where one was asked. Who was asked must not depend on the verdict.
    pub human: Option<f64>,
    /// Items of one key are alike.
    pub group: Option<u64>,
}

/// A corrected estimate and what went into it.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Corrected {
    /// The estimate with its interval; n and groups are those of the labelled items.
    pub figure: Figure,
    /// The standard error of the estimate.
    pub standard_error: f64,
    /// λ: how much of the judge was used, from 0 (labels only) to 1.
    pub weight_of_judge: f64,
    /// Items with a label.
    pub labelled: usize,
    /// All items that were judged.
    pub judged: usize,
}

/// Before the interval.
struct Moments {
    estimate: f64,
    variance: f64,
    /// Of the labels alone, independent: what the design effect compares with.
    alone: f64,
    weight_of_judge: f64,
    labelled: Rows,
    judged: usize,
}

impl Moments {
    /// The variance; labels and verdicts that are all alike are not taken to be sure, if there are items
    /// without a label.
    fn variance_at_least(&self) -> f64 {
        let labelled = &self.labelled;
        match self.variance <= 0.0 && labelled.is_binary() && labelled.n() < self.judged {
            true => strata::variance_of_alike(labelled.groups()),
            false => self.variance,
        }
    }
}

/// Returns the mean that people would give, by PPI++.
///
/// θ̂ = ȳ_m + λ(J̄_N − J̄_m) with λ = cov(y, J)/((1 + m/N)·var J) cut to 0..1, where N counts the items
/// without a label, as in the paper: then both means are independent. V = λ²·var(J)/N + var(y − λJ)/m, by
/// groups (a group may have items with and without labels), and ± t over the groups with a label.
/// Assumes that the labelled items are a random sample of all. Fewer than two labelled groups are refused.
/// Its coverage is checked by simulation and on real judgements. If labels and verdicts are all alike the
/// interval is that of the labels' rate. Where labels are 0 and 1 the interval is cut to them.
pub fn ppi(items: &[Judgement], level: Level) -> Result<Corrected, Refusal> {
    let moments = moments(items)?;
    let groups = moments.labelled.groups();
    finish(&moments, groups as f64 - 1.0, level)
}

fn finish(moments: &Moments, freedom: f64, level: Level) -> Result<Corrected, Refusal> {
    cluster::finite(moments.estimate + moments.variance)?;
    let labelled = &moments.labelled;
    if moments.variance <= 0.0 && labelled.is_binary() {
        // labels and verdicts that are all alike: ± 0 would be sure that all others are too
        return Ok(Corrected {
            figure: cluster::rate(labelled, level, Purpose::Report)?,
            standard_error: 0.0,
            weight_of_judge: moments.weight_of_judge,
            labelled: labelled.n(),
            judged: moments.judged,
        });
    }
    let half = student_quantile(level.upper(), freedom) * moments.variance.sqrt();
    let (estimate, ends) = around(moments.estimate, half, labelled.is_binary());
    let by_groups = labelled.variance_of_mean().unwrap_or(0.0);
    Ok(Corrected {
        figure: Figure {
            estimate,
            interval: Interval::new(ends, level, Method::PredictionPowered),
            n: labelled.n(),
            groups: labelled.groups(),
            design_effect: if labelled.is_grouped() && moments.alone > 0.0 {
                by_groups / moments.alone
            } else {
                1.0
            },
        },
        standard_error: moments.variance.sqrt(),
        weight_of_judge: moments.weight_of_judge,
        labelled: labelled.n(),
        judged: moments.judged,
    })
}

/// An estimate and its ends; those of a rate stay one.
fn around(estimate: f64, half: f64, is_rate: bool) -> (f64, (f64, f64)) {
    let (low, high) = if is_rate {
        (0.0, 1.0)
    } else {
        (f64::NEG_INFINITY, f64::INFINITY)
    };
    let cut = |value: f64| value.clamp(low, high);
    (cut(estimate), (cut(estimate - half), cut(estimate + half)))
}

/// Returns B − A of two versions that were corrected each by itself, ± z·√(SE_A² + SE_B²).
///
/// Assumes that they share no item and no group. Versions that are paired are corrected together: give
/// [`ppi`] the differences of verdicts and of labels.
pub fn difference(a: &Corrected, b: &Corrected, level: Level) -> Figure {
    let estimate = b.figure.estimate - a.figure.estimate;
    let error = a.standard_error.hypot(b.standard_error);
    let ends = if a.standard_error.min(b.standard_error) > 0.0 {
        let half = normal_quantile(level.upper()) * error;
        (estimate - half, estimate + half)
    } else {
        // one of them is known by its interval only
        newcombe(&a.figure, &b.figure)
    };
    let alone =
        |corrected: &Corrected| corrected.standard_error.powi(2) / corrected.figure.design_effect;
    let both = alone(a) + alone(b);
    Figure {
        estimate,
        interval: Interval::new(ends, level, Method::PredictionPowered),
        n: a.labelled + b.labelled,
        groups: a.figure.groups + b.figure.groups,
        design_effect: if both.is_finite() && both > 0.0 {
            error * error / both
        } else {
            1.0
        },
    }
}

fn moments(items: &[Judgement]) -> Result<Moments, Refusal> {
    let labelled: Vec<(f64, f64, Option<u64>)> = items
        .iter()
        .filter_map(|item| Some((item.judge, item.human?, item.group)))
        .collect();
    let truth = Rows::new(
        labelled
            .iter()
            .map(|&(_, value, group)| Row { value, group }),
    )?;
    if truth.groups() < 2 {
        return Err(Refusal::OneGroup);
    }
    let judge = Rows::new(items.iter().map(|item| Row {
        value: item.judge,
        group: item.group,
    }))?;
    let unlabelled: Vec<Row> = items
        .iter()
        .filter(|item| item.human.is_none())
        .map(|item| Row {
            value: item.judge,
            group: item.group,
        })
        .collect();
    let weight = weight_of_judge(&labelled, &judge, unlabelled.len());
    let rectified = Rows::new(labelled.iter().map(|&(judge, human, group)| Row {
        value: human - weight * judge,
        group,
    }))?;
    let (estimate, variance) = if unlabelled.is_empty() {
        (
            truth.mean(),
            truth.variance_of_mean().ok_or(Refusal::OneGroup)?,
        )
    } else {
        // mean(y − λJ) over the labelled less mean(−λJ) over the others
        let others = Rows::new(unlabelled.into_iter().map(|row| Row {
            value: -weight * row.value,
            ..row
        }))?;
        let apart = contrast(&others, &rectified).ok_or(Refusal::OneGroup)?;
        (apart.difference, apart.variance)
    };
    Ok(Moments {
        estimate,
        variance,
        alone: truth.variance().unwrap_or(0.0) / truth.n() as f64,
        weight_of_judge: weight,
        judged: judge.n(),
        labelled: truth,
    })
}

/// λ = cov(y, J)/((1 + m/N)·var J), the variance over all judged items; 0 where J does not vary.
fn weight_of_judge(labelled: &[(f64, f64, Option<u64>)], judge: &Rows, unlabelled: usize) -> f64 {
    let m = labelled.len() as f64;
    if unlabelled == 0 || labelled.len() < 2 {
        return 0.0;
    }
    let mean_judge = labelled.iter().map(|(judge, ..)| judge / m).sum::<f64>();
    let mean_human = labelled.iter().map(|(_, human, _)| human / m).sum::<f64>();
    let covariance = labelled
        .iter()
        .map(|(judge, human, _)| (judge - mean_judge) * (human - mean_human) / (m - 1.0))
        .sum::<f64>();
    let variance = judge.variance().unwrap_or(0.0);
    let weight = covariance / ((1.0 + m / unlabelled as f64) * variance);
    if weight.is_finite() {
        weight.clamp(0.0, 1.0)
    } else {
        0.0
    }
}

/// Returns PPI++ of strata: in each by itself, put together with the frozen weights W_h = N_h/N.
///
/// Σ W_h·θ̂_h, V = Σ W_h²·V_h, degrees of freedom labelled groups − strata. A stratum of the population
/// without two labelled groups is refused by its place.
pub fn stratified(strata: &[(u64, Vec<Judgement>)], level: Level) -> Result<Corrected, Refusal> {
    in_strata(strata, level, moments)
}

fn in_strata<T>(
    strata: &[(u64, Vec<T>)],
    level: Level,
    moments: impl Fn(&[T]) -> Result<Moments, Refusal>,
) -> Result<Corrected, Refusal> {
    let total: u128 = strata
        .iter()
        .map(|(population, _)| u128::from(*population))
        .sum();
    if total == 0 {
        return Err(Refusal::Empty);
    }
    let mut parts = Vec::new();
    for (index, (population, items)) in strata.iter().enumerate() {
        if *population == 0 {
            continue;
        }
        let part = moments(items).map_err(|refusal| match refusal {
            Refusal::Empty => Refusal::EmptyStratum(index),
            Refusal::OneGroup => Refusal::ThinStratum(index),
            other => other,
        })?;
        parts.push((*population as f64 / total as f64, *population, part));
    }
    let sum = |of: &dyn Fn(f64, &Moments) -> f64| -> f64 {
        parts
            .iter()
            .map(|(weight, _, part)| of(*weight, part))
            .sum()
    };
    let labels: Vec<Stratum> = parts
        .iter()
        .map(|(_, population, part)| Stratum {
            population: *population,
            sample: Some(part.labelled.clone()),
        })
        .collect();
    let plain = strata::weighted(&labels)?;
    let freedom = plain.groups as f64 - parts.len() as f64;
    let variance = sum(&|weight, part| weight * weight * part.variance_at_least());
    let estimate = sum(&|weight, part| weight * part.estimate);
    cluster::finite(estimate + variance)?;
    let half = student_quantile(level.upper(), freedom) * variance.sqrt();
    let is_rate = parts.iter().all(|(.., part)| part.labelled.is_binary());
    let (estimate, ends) = around(estimate, half, is_rate);
    let alone = plain.variance_alone();
    Ok(Corrected {
        figure: Figure {
            estimate,
            interval: Interval::new(ends, level, Method::PredictionPowered),
            n: plain.n,
            groups: plain.groups,
            design_effect: if alone > 0.0 {
                plain.variance / alone
            } else {
                1.0
            },
        },
        standard_error: variance.sqrt(),
        weight_of_judge: sum(&|weight, part| weight * part.weight_of_judge),
        labelled: plain.n,
        judged: parts.iter().map(|(_, _, part)| part.judged).sum(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn item(judge: f64, human: Option<f64>) -> Judgement {
        Judgement {
            judge,
            human,
            group: None,
        }
    }

    #[test]
    fn a_judge_who_says_nothing_leaves_the_labels() {
        let items: Vec<Judgement> = (0..60)
            .map(|i| item(1.0, (i < 20).then_some(f64::from(i % 2))))
            .collect();
        let corrected = ppi(&items, Level::P95).unwrap();
        let labels = cluster::mean(
            &Rows::independent((0..20).map(|i| f64::from(i % 2))).unwrap(),
            Level::P95,
        )
        .unwrap();
        assert_eq!(corrected.weight_of_judge, 0.0);
        assert!((corrected.figure.estimate - labels.estimate).abs() < 1e-12);
        assert!(corrected.figure.interval.width() >= labels.interval.width() - 1e-12);
        assert_eq!((corrected.labelled, corrected.judged), (20, 60));
    }

    #[test]
    fn a_perfect_judge_is_believed_of_all() {
        let items: Vec<Judgement> = (0..1_000)
            .map(|i| {
                let truth = f64::from(u8::from(i % 10 < 3));
                item(truth, (i % 50 < 10).then_some(truth))
            })
            .collect();
        let corrected = ppi(&items, Level::P95).unwrap();
        assert!(corrected.weight_of_judge > 0.75, "{corrected:?}");
        assert!((corrected.figure.estimate - 0.3).abs() < 1e-9);
        let labels_only = 2.0 * 1.96 * (0.21_f64 / 200.0).sqrt();
        assert!(corrected.figure.interval.width() < 0.5 * labels_only);
    }

    #[test]
    fn twenty_items_all_alike_are_not_all_items() {
        let items: Vec<Judgement> = (0..60)
            .map(|i| item(1.0, (i < 20).then_some(1.0)))
            .collect();
        let corrected = ppi(&items, Level::P95).unwrap();
        assert_eq!(corrected.figure.estimate, 1.0);
        assert!(
            (0.8..0.9).contains(&corrected.figure.interval.low),
            "{corrected:?}"
        );
    }

    #[test]
    fn two_versions_have_the_errors_of_both() {
        let version = |passes: usize| -> Vec<Judgement> {
            (0..400)
                .map(|i| {
                    let truth = f64::from(u8::from(i % 10 < passes));
                    item(
                        if i % 7 == 0 { 1.0 } else { truth },
                        (i % 4 == 0).then_some(truth),
                    )
                })
                .collect()
        };
        let (a, b) = (
            ppi(&version(5), Level::P95).unwrap(),
            ppi(&version(7), Level::P95).unwrap(),
        );
        let found = difference(&a, &b, Level::P95);
        assert!((found.estimate - (b.figure.estimate - a.figure.estimate)).abs() < 1e-12);
        let half = 1.959_964 * a.standard_error.hypot(b.standard_error);
        assert!((found.interval.width() - 2.0 * half).abs() < 1e-6);
        assert_eq!((found.n, found.groups), (200, 200));
    }

    #[test]
    fn one_stratum_is_the_plain_estimate() {
        let items: Vec<Judgement> = (0..90)
            .map(|i| {
                item(
                    f64::from(i % 3) / 2.0,
                    (i % 4 == 0).then_some(f64::from(i % 2)),
                )
            })
            .collect();
        let (plain, one) = (
            ppi(&items, Level::P95).unwrap(),
            stratified(&[(9_000, items)], Level::P95).unwrap(),
        );
        assert!((plain.figure.interval.low - one.figure.interval.low).abs() < 1e-12);
        assert_eq!(
            stratified(&[(5, vec![])], Level::P95),
            Err(Refusal::EmptyStratum(0))
        );
    }

    proptest! {
        #[test]
        fn any_judgements_give_an_estimate_or_a_refusal(
            items in prop::collection::vec((prop::num::f64::ANY, prop::option::of(prop::num::f64::ANY), 0_u64..4, 0.0..1.0_f64), 0..25),
        ) {
            let items: Vec<(Judgement, f64)> = items
                .into_iter()
                .map(|(judge, human, group, chance)| (Judgement { judge, human, group: (group > 0).then_some(group) }, chance))
                .collect();
            let plain: Vec<Judgement> = items.iter().map(|(item, _)| *item).collect();
            let queue: Vec<Queued> = items.iter().map(|&(item, chance)| Queued { item, chance }).collect();
            for corrected in [ppi(&plain, Level::P95), by_known_chances(&queue, Level::P95), stratified(&[(5, plain)], Level::P95)].into_iter().flatten() {
                prop_assert!(corrected.figure.interval.contains(corrected.figure.estimate));
                prop_assert!((0.0..=1.0).contains(&corrected.weight_of_judge));
            }
        }
    }
}
