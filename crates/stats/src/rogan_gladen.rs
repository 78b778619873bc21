//! What is the true rate, when the judge's errors were measured somewhere else?
//!
//! Only for labels that are not a random sample of what was graded; else [`crate::ppi`] is narrower, and
//! right even where the judge's errors have changed. Here they must be the same in both places.

use crate::agreement::Confusion;
use crate::distribution::normal_quantile;
use crate::{Figure, Interval, Level, Method, Refusal};

/// A judge with q0 + q1 − 1 below this is too much of a coin.
pub const YOUDEN_MIN: f64 = 0.2;

/// Returns the true rate behind a judge who passed `passed` of `n` items.
///
/// θ̂ = (p + q0 − 1)/(q0 + q1 − 1) cut to 0..1, with q1 and q0 the sensitivity and specificity in the
/// confusion matrix, one success and one failure added to each (Rogan and Gladen 1978; Lee et al. 2025,
/// arXiv 2511.21140). V = [p(1−p)/n + (1−θ̂)²·q0(1−q0)/m0 + θ̂²·q1(1−q1)/m1] /
/// (q0 + q1 − 1)², ± z. Assumes independent items.
/// Refused if q0 + q1 − 1 < 0.2, if nothing was graded, and if people gave only one of the two labels.
/// Its width is checked by simulation.
pub fn rogan_gladen(
    passed: u64,
    n: u64,
    labels: &Confusion,
    level: Level,
) -> Result<Figure, Refusal> {
    if n == 0 {
        return Err(Refusal::Empty);
    }
    if passed > n {
        return Err(Refusal::OutOfRange {
            value: passed as f64,
            low: 0.0,
            high: n as f64,
        });
    }
    let positives = labels.true_positive + labels.false_negative;
    let negatives = labels.true_negative + labels.false_positive;
    for (count, label) in [(positives, true), (negatives, false)] {
        if count == 0 {
            return Err(Refusal::OneLabelOnly(label));
        }
    }
    // one success and one failure more: a judge who never erred in ten cases may yet
    let add_one = |right: u64, all: u64| (right as f64 + 1.0) / (all as f64 + 2.0);
    let q1 = add_one(labels.true_positive, positives);
    let q0 = add_one(labels.true_negative, negatives);
    let youden = q0 + q1 - 1.0;
    if youden < YOUDEN_MIN {
        return Err(Refusal::UselessJudge(youden));
    }
    let (m1, m0, trials) = (positives as f64, negatives as f64, n as f64);
    let p = passed as f64 / trials;
    let estimate = ((p + q0 - 1.0) / youden).clamp(0.0, 1.0);
    let variance = p * (1.0 - p) / trials
        + (1.0 - estimate).powi(2) * q0 * (1.0 - q0) / m0
        + estimate.powi(2) * q1 * (1.0 - q1) / m1;
    let half = normal_quantile(level.upper()) * variance.sqrt() / youden;
    let ends = ((estimate - half).max(0.0), (estimate + half).min(1.0));
    let alone = estimate * (1.0 - estimate) / trials;
    Ok(Figure {
        estimate,
        interval: Interval::new(ends, level, Method::RoganGladen),
        n: usize::try_from(n).unwrap_or(usize::MAX),
        groups: usize::try_from(n).unwrap_or(usize::MAX),
        design_effect: if alone > 0.0 {
            variance / youden.powi(2) / alone
        } else {
            1.0
        },
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(
        true_positive: u64,
        false_negative: u64,
        true_negative: u64,
        false_positive: u64,
    ) -> Confusion {
        Confusion {
            true_positive,
            false_positive,
            false_negative,
            true_negative,
        }
    }

    #[test]
    fn a_known_bias_is_taken_out() {
        // q1 = 0.9, q0 = 0.8: of 0.5 true it shows 0.55
        let figure = rogan_gladen(550, 1_000, &labels(90, 10, 80, 20), Level::P95).unwrap();
        assert!((figure.estimate - 0.5).abs() < 0.002);
        assert!(figure.interval.contains(0.5) && figure.interval.width() > 0.06);
    }

    #[test]
    fn a_judge_who_is_nearly_a_coin_is_refused() {
        let coin = rogan_gladen(5, 10, &labels(11, 9, 12, 8), Level::P95);
        assert!(
            matches!(coin, Err(Refusal::UselessJudge(youden)) if (youden - 3.0 / 22.0).abs() < 1e-12)
        );
        assert_eq!(
            rogan_gladen(5, 10, &labels(0, 0, 5, 5), Level::P95),
            Err(Refusal::OneLabelOnly(true))
        );
        assert_eq!(
            rogan_gladen(0, 0, &labels(5, 0, 5, 0), Level::P95),
            Err(Refusal::Empty)
        );
    }

    proptest! {
        #[test]
        fn a_rate_stays_one(passed in 0_u64..50, more in 0_u64..50, counts: [u8; 4]) {
            let [a, b, c, d] = counts.map(u64::from);
            if let Ok(figure) = rogan_gladen(passed, passed + more, &labels(a, b, c, d), Level::P95) {
                prop_assert!(figure.interval.contains(figure.estimate));
                prop_assert!(0.0 <= figure.interval.low && figure.interval.high <= 1.0);
            }
        }
    }
}
