//! Both versions did the same: what do the differences say?

use crate::distribution::{binomial_cdf, student_two_sided};
use crate::rng::Chance;
use crate::{Figure, Level, Refusal, Rows, cluster};

/// Up to so many differences all signs are tried: 2¹⁴ arrangements.
const EXACT_MAX: usize = 14;

/// Random arrangements beyond that.
pub(super) const DRAWS: usize = 20_000;

/// The differences of pairs, tested and measured.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct PairedTest {
    /// Their mean ± t·SE; a pair is a value.
    pub difference: Figure,
    /// The standard error of the mean.
    pub standard_error: f64,
    /// p of the sign-flip permutation: as far from 0 if each sign were a coin's.
    pub p_value: f64,
    /// Whether all arrangements were counted.
    pub exact: bool,
    /// p of the t test on the differences, for those who know it.
    pub t_p_value: f64,
}

/// Tests whether differences of pairs are about zero, by flipping their signs.
///
/// p is the share of arrangements whose |mean| is no smaller than the one seen: of all 2^k if k ≤ 14
/// differences are not zero (a zero has no sign), else (1 + hits)/(1 + 20,000) of random ones. Assumes
/// only that under equal versions a difference is as likely as its negative. The t test is checked
/// against scipy `ttest_1samp`, the exact permutation against scipy `permutation_test`. Fewer than two
/// pairs are refused.
pub fn sign_flip(
    differences: impl IntoIterator<Item = f64>,
    level: Level,
    seed: u64,
) -> Result<PairedTest, Refusal> {
    let rows = Rows::independent(differences)?;
    if rows.n() < 2 {
        return Err(Refusal::TooFewPairs(rows.n()));
    }
    let difference = cluster::mean(&rows, level)?;
    let standard_error = rows.variance_of_mean().ok_or(Refusal::OneGroup)?.sqrt();
    let moving: Vec<f64> = rows.values().filter(|value| value.abs() > 0.0).collect();
    let (p_value, exact) = if moving.len() <= EXACT_MAX {
        (all_signs(&moving), true)
    } else {
        (random_signs(&moving, seed), false)
    };
    let t_p_value = if standard_error > 0.0 {
        student_two_sided(difference.estimate / standard_error, rows.n() as f64 - 1.0)
    } else if moving.is_empty() {
        1.0
    } else {
        0.0
    };
    Ok(PairedTest {
        difference,
        standard_error,
        p_value,
        exact,
        t_p_value,
    })
}

/// What counts as no smaller: sums of the same numbers in another order differ in their last bits.
pub(super) fn threshold(observed: f64, scale: f64) -> f64 {
    observed.abs() - 1e-12 * scale
}

fn all_signs(differences: &[f64]) -> f64 {
    let observed: f64 = differences.iter().sum();
    let least = threshold(observed, differences.iter().map(|value| value.abs()).sum());
    let arrangements = 1_u32 << differences.len();
    let hits = (0..arrangements)
        .filter(|signs| {
            let sum: f64 = differences
                .iter()
                .enumerate()
                .map(|(place, value)| {
                    if signs >> place & 1 == 1 {
                        -value
                    } else {
                        *value
                    }
                })
                .sum();
            sum.abs() >= least
        })
        .count();
    hits as f64 / f64::from(arrangements)
}

fn random_signs(differences: &[f64], seed: u64) -> f64 {
    let observed: f64 = differences.iter().sum();
    let least = threshold(observed, differences.iter().map(|value| value.abs()).sum());
    let mut chance = Chance::new(seed);
    let mut hits = 0_u32;
    for _ in 0..DRAWS {
        let mut sum = 0.0;
        for some in differences.chunks(64) {
            let signs = chance.bits();
            for (place, value) in some.iter().enumerate() {
                sum += if signs >> place & 1 == 1 {
                    -value
                } else {
                    *value
                };
            }
        }
        hits += u32::from(f64::abs(sum) >= least);
    }
    f64::from(hits + 1) / (DRAWS + 1) as f64
}

/// Returns McNemar's exact p value of pairs that only A passed (`lost`) and only B (`won`).
///
/// 2·P(Bin(lost + won, ½) ≤ min), at most 1: pairs that agree say nothing. Checked against statsmodels
/// `mcnemar(exact=True)`.
pub fn mcnemar(lost: u64, won: u64) -> f64 {
    let fewer = i64::try_from(lost.min(won)).unwrap_or(i64::MAX);
    (2.0 * binomial_cdf(fewer, lost.saturating_add(won), 0.5)).min(1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_handful_of_differences_is_counted_out() {
        // all positive: only the arrangement seen and its mirror are as far out
        let test = sign_flip([1.0, 2.0, 3.0, 0.5, 1.5], Level::P95, 0).unwrap();
        assert_eq!((test.p_value, test.exact), (2.0 / 32.0, true));
        // a pair without a difference moves the mean and not the p value
        let more = sign_flip([1.0, 2.0, 3.0, 0.5, 1.5, 0.0], Level::P95, 0).unwrap();
        assert_eq!(more.p_value, test.p_value);
        assert!(more.difference.estimate < test.difference.estimate);
    }

    #[test]
    fn random_arrangements_come_near_the_exact_count() {
        let differences: Vec<f64> = (0..14).map(|i| f64::from(i * i % 11) - 3.5).collect();
        let (exact, random) = (all_signs(&differences), random_signs(&differences, 3));
        let error = (exact * (1.0 - exact) / DRAWS as f64).sqrt();
        assert!(
            (exact - random).abs() < 4.0 * error + 1e-4,
            "{exact} {random}"
        );
    }

    #[test]
    fn no_difference_at_all_is_no_evidence() {
        let test = sign_flip([0.0; 20], Level::P95, 0).unwrap();
        assert_eq!((test.p_value, test.t_p_value), (1.0, 1.0));
        assert_eq!(mcnemar(0, 0), 1.0);
        assert_eq!(
            sign_flip([1.0], Level::P95, 0),
            Err(Refusal::TooFewPairs(1))
        );
    }

    proptest! {
        #[test]
        fn a_p_value_is_one(differences in prop::collection::vec(prop::num::f64::ANY, 0..12), lost: u16, won: u16) {
            if let Ok(test) = sign_flip(differences, Level::P95, 1) {
                prop_assert!(test.p_value > 0.0 && test.p_value <= 1.0);
                prop_assert!((0.0..=1.0).contains(&test.t_p_value));
            }
            let p = mcnemar(u64::from(lost), u64::from(won));
            prop_assert!((0.0..=1.0).contains(&p));
            prop_assert_eq!(p, mcnemar(u64::from(won), u64::from(lost)));
        }
    }
}
