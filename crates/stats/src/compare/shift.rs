//! Values that are only ordered, or skewed: by ranks, is B above A, how often, and how far?

use super::permutation::{Permutation, label_permutation};
use crate::contrast::{Contrast, contrast};
use crate::distribution::{normal_quantile, normal_two_sided, student_quantile};
use crate::interval::clopper_pearson;
use crate::{Figure, Interval, Level, Method, Refusal, Rows};

/// Mann and Whitney's test of two versions.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct MannWhitney {
    /// U of B: pairs (a, b) with b above a, ties counted half.
    pub u: f64,
    /// The p value to report: labels permuted over groups, the statistic is the difference of mean ranks.
    pub permutation: Permutation,
    /// The usual normal approximation, with corrections for ties and continuity. It takes all values for
    /// independent: too small where they are not.
    pub independent_p_value: f64,
}

/// Tests by ranks whether values of one version tend to be larger.
///
/// Checked against scipy `mannwhitneyu(method="asymptotic")`, and on few values against
/// `method="exact"`.
pub fn mann_whitney(a: &Rows, b: &Rows, seed: u64) -> Result<MannWhitney, Refusal> {
    let (rank_a, rank_b) = pooled_ranks(a, b)?;
    let (n_a, n_b) = (a.n() as f64, b.n() as f64);
    let u = rank_b.values().sum::<f64>() - n_b * (n_b + 1.0) / 2.0;
    let all = n_a + n_b;
    let ties: f64 = tie_sizes(a, b).map(|t| t * (t * t - 1.0)).sum();
    let variance = n_a * n_b / 12.0 * (all + 1.0 - ties / (all * (all - 1.0)));
    let distance = ((u - n_a * n_b / 2.0).abs() - 0.5).max(0.0);
    Ok(MannWhitney {
        u,
        permutation: label_permutation(&rank_a, &rank_b, seed)?,
        independent_p_value: if variance > 0.0 {
            normal_two_sided(distance / variance.sqrt())
        } else {
            1.0
        },
    })
}

/// Returns P(B > A) + ½P(B = A), ½ if the versions are alike.
///
/// Brunner and Munzel (2000): the variance is that of placements, F_A(b) and F_B(a), with Welch's degrees
/// of freedom; here by groups, and groups in both versions count with both. Checked against scipy
/// `brunnermunzel` on independent values. The interval is cut to 0 and 1. Where the versions do
/// not overlap no spread is seen, and the smaller version's groups are counted as trials that all ended
/// alike. An arm of one group is refused.
pub fn probability_greater(a: &Rows, b: &Rows, level: Level) -> Result<Figure, Refusal> {
    let (estimate, apart) = placements(a, b)?;
    let interval = if apart.variance > 0.0 {
        let half = student_quantile(level.upper(), apart.freedom) * apart.variance.sqrt();
        let ends = ((estimate - half).max(0.0), (estimate + half).min(1.0));
        Interval::new(ends, level, Method::BrunnerMunzel)
    } else {
        let groups = a.groups().min(b.groups()) as f64;
        let ends = clopper_pearson(estimate * groups, groups, level);
        Interval::new(ends, level, Method::ClopperPearson)
    };
    Ok(Figure {
        estimate,
        interval,
        n: a.n() + b.n(),
        groups: apart.groups,
        design_effect: independent(a, b)?.map_or(1.0, |alone| apart.variance / alone),
    })
}

/// Returns the Hodges-Lehmann shift: the median of all differences b − a.
///
/// The interval lies between two of the sorted differences, ½ ± z·√((n_A + n_B + 1)/(12·n_A·n_B)) of the
/// way, with that variance raised by the design effect of P(B > A). Assumes that B is A moved. Checked
/// against all differences written out in numpy. An arm of one group is refused.
pub fn hodges_lehmann(a: &Rows, b: &Rows, level: Level) -> Result<Figure, Refusal> {
    let (_, apart) = placements(a, b)?;
    let design_effect = match independent(a, b)? {
        Some(alone) if a.is_grouped() || b.is_grouped() || apart.straddling > 0 => {
            apart.variance / alone
        }
        _ => 1.0,
    };
    let (sorted_a, sorted_b) = (a.sorted_values(), b.sorted_values());
    let (n_a, n_b) = (a.n() as f64, b.n() as f64);
    let pairs = a.n() as u64 * b.n() as u64;
    let variance = (n_a + n_b + 1.0) / (12.0 * n_a * n_b) * design_effect;
    let reach = normal_quantile(level.upper()) * variance.sqrt() * pairs as f64;
    let middle = pairs as f64 / 2.0;
    let at = |rank: f64| kth_difference(&sorted_a, &sorted_b, (rank.max(1.0) as u64).min(pairs));
    let estimate = f64::midpoint(at((middle + 0.5).floor()), at((middle + 1.0).floor()));
    // the ranks of Wilcoxon's interval: the low end's is rounded, the high end's mirrors it
    let low_rank = (middle - reach).round();
    let ends = if low_rank < 1.0 {
        (f64::NEG_INFINITY, f64::INFINITY)
    } else {
        (at(low_rank), at(pairs as f64 - low_rank + 1.0))
    };
    Ok(Figure {
        estimate,
        interval: Interval::new(ends, level, Method::HodgesLehmann),
        n: a.n() + b.n(),
        groups: apart.groups,
        design_effect,
    })
}

/// P(B > A) and the contrast of placements, whose variance is P's.
fn placements(a: &Rows, b: &Rows) -> Result<(f64, Contrast), Refusal> {
    let (sorted_a, sorted_b) = (a.sorted_values(), b.sorted_values());
    let of_b = b.with_values(b.values().map(|value| share_below(&sorted_a, value)))?;
    let of_a = a.with_values(a.values().map(|value| share_below(&sorted_b, value)))?;
    let apart = contrast(&of_a, &of_b).ok_or(Refusal::OneGroup)?;
    Ok((of_b.mean(), apart))
}

/// The variance of P(B > A) if all values were independent; nothing where there is no spread.
fn independent(a: &Rows, b: &Rows) -> Result<Option<f64>, Refusal> {
    let alone = |rows: &Rows| Rows::independent(rows.values());
    let (_, apart) = match placements(&alone(a)?, &alone(b)?) {
        Err(Refusal::OneGroup) => return Ok(None),
        other => other?,
    };
    Ok((apart.variance > 0.0).then_some(apart.variance))
}

/// The share of sorted values that are smaller, ties counted half.
pub(crate) fn share_below(sorted: &[f64], value: f64) -> f64 {
    let below = sorted.partition_point(|other| *other < value);
    let not_above = sorted.partition_point(|other| *other <= value);
    (below + not_above) as f64 / (2 * sorted.len()) as f64
}

/// Both arms with each value replaced by its mid-rank among all.
fn pooled_ranks(a: &Rows, b: &Rows) -> Result<(Rows, Rows), Refusal> {
    let mut pooled: Vec<f64> = a.values().chain(b.values()).collect();
    pooled.sort_by(f64::total_cmp);
    let n = pooled.len() as f64;
    let rank = |value: f64| share_below(&pooled, value) * n + 0.5;
    Ok((
        a.with_values(a.values().map(rank))?,
        b.with_values(b.values().map(rank))?,
    ))
}

fn tie_sizes(a: &Rows, b: &Rows) -> impl Iterator<Item = f64> {
    let mut pooled: Vec<f64> = a.values().chain(b.values()).collect();
    pooled.sort_by(f64::total_cmp);
    #[expect(clippy::float_cmp, reason = "ties are equal values")]
    let sizes: Vec<f64> = pooled
        .chunk_by(|one, next| one == next)
        .map(|tie| tie.len() as f64)
        .collect();
    sizes.into_iter()
}

/// The k-th smallest (from 1) of all differences b − a, without writing them out.
///
/// Counts the differences up to a candidate in one pass over both sorted lists and halves the doubles
/// between the extremes until one is left: as exact as sorting all n_A·n_B of them.
fn kth_difference(a: &[f64], b: &[f64], k: u64) -> f64 {
    let count_up_to = |limit: f64| -> u64 {
        let mut reached = 0;
        let mut count = 0;
        for &low in a {
            while reached < b.len() && b[reached] - low <= limit {
                reached += 1;
            }
            count += reached as u64;
        }
        count
    };
    let (mut low, mut high) = (
        ordered(b[0] - a[a.len() - 1]),
        ordered(b[b.len() - 1] - a[0]),
    );
    while low < high {
        let middle = low + ((high - low) >> 1);
        if count_up_to(from_ordered(middle)) >= k {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    from_ordered(low)
}

/// A double as an integer that sorts alike (as `f64::total_cmp` does it).
fn ordered(value: f64) -> i128 {
    let bits = value.to_bits().cast_signed();
    i128::from(bits ^ (((bits >> 63).cast_unsigned() >> 1).cast_signed()))
}

fn from_ordered(key: i128) -> f64 {
    let key = i64::try_from(key).unwrap_or(i64::MAX);
    f64::from_bits((key ^ (((key >> 63).cast_unsigned() >> 1).cast_signed())).cast_unsigned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_apart_are_always_greater() {
        let a = Rows::independent([1.0, 2.0, 3.0, 4.0]).unwrap();
        let b = Rows::independent([11.0, 12.0, 13.0, 14.0]).unwrap();
        assert_eq!(
            probability_greater(&a, &b, Level::P95).unwrap().estimate,
            1.0
        );
        // four trials of four, as far as that goes
        let low = probability_greater(&a, &b, Level::P95)
            .unwrap()
            .interval
            .low;
        assert!((0.3..0.5).contains(&low), "{low}");
        assert_eq!(hodges_lehmann(&a, &b, Level::P95).unwrap().estimate, 10.0);
        assert_eq!(mann_whitney(&a, &b, 0).unwrap().u, 16.0);
    }

    proptest! {
        #[test]
        fn any_difference_is_found_without_writing_all_out(
            mut a in prop::collection::vec(-50.0..50.0_f64, 1..25),
            mut b in prop::collection::vec(-50.0..50.0_f64, 1..25),
            at in 0.0..1.0_f64,
        ) {
            a.sort_by(f64::total_cmp);
            b.sort_by(f64::total_cmp);
            let mut all: Vec<f64> = a.iter().flat_map(|x| b.iter().map(move |y| y - x)).collect();
            all.sort_by(f64::total_cmp);
            let place = (at * all.len() as f64) as usize;
            prop_assert_eq!(kth_difference(&a, &b, place as u64 + 1), all[place]);
        }

        #[test]
        fn ranks_of_any_values_give_a_result_or_a_refusal(
            a in prop::collection::vec((prop::num::f64::ANY, 0_u64..4), 0..20),
            b in prop::collection::vec((prop::num::f64::ANY, 0_u64..4), 0..20),
        ) {
            let rows = |values: &[(f64, u64)]| Rows::new(values.iter().map(|&(value, group)| crate::Row { value, group: (group > 0).then_some(group) }));
            let (Ok(a), Ok(b)) = (rows(&a), rows(&b)) else { return Ok(()) };
            if let Ok(figure) = probability_greater(&a, &b, Level::P95) {
                prop_assert!(figure.interval.contains(figure.estimate));
            }
            if let Ok(test) = mann_whitney(&a, &b, 0) {
                prop_assert!(test.permutation.p_value > 0.0 && test.permutation.p_value <= 1.0);
            }
            if let Ok(shift) = hodges_lehmann(&a, &b, Level::P95) {
                prop_assert!(shift.interval.low <= shift.estimate && shift.estimate <= shift.interval.high);
            }
        }
    }
}
