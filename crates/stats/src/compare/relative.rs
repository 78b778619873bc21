//! By what part has it changed?

use crate::contrast::weighted_contrast;
use crate::distribution::{normal_quantile, student_quantile};
use crate::interval::Purpose;
use crate::{Figure, Interval, Level, Method, Refusal, Rows, cluster};

/// Returns mean(B)/mean(A) − 1, as 0.2 for a fifth more.
///
/// The delta method on ln(mean(B)/mean(A)), whose variance is that of B's deviations over its mean less
/// A's over its own, by groups; then exp. Assumes means well above 0. Suppressed when the baseline's
/// interval touches 0, or the new mean is not above it.
pub fn relative_change(a: &Rows, b: &Rows, level: Level) -> Result<Figure, Refusal> {
    let baseline = if a.is_binary() {
        cluster::rate(a, level, Purpose::Report)?
    } else {
        cluster::mean(a, level)?
    };
    let (mean_a, mean_b) = (a.mean(), b.mean());
    check(&baseline, mean_b)?;
    let apart = weighted_contrast(a, b, 1.0 / mean_a, 1.0 / mean_b).ok_or(Refusal::OneGroup)?;
    let critical = student_quantile(level.upper(), apart.freedom);
    let ratio = mean_b / mean_a;
    Ok(Figure {
        estimate: ratio - 1.0,
        interval: around(ratio, critical * apart.variance.sqrt(), level)?,
        n: a.n() + b.n(),
        groups: apart.groups,
        design_effect: alone(a, b).map_or(1.0, |alone| apart.variance / alone),
    })
}

/// Returns the interval of the relative change of two independent estimates with known variances.
pub(super) fn of_moments(
    baseline: &Figure,
    variance_a: f64,
    mean_b: f64,
    variance_b: f64,
    level: Level,
) -> Result<Interval, Refusal> {
    check(baseline, mean_b)?;
    let mean_a = baseline.estimate;
    let variance = variance_a / (mean_a * mean_a) + variance_b / (mean_b * mean_b);
    around(
        mean_b / mean_a,
        normal_quantile(level.upper()) * variance.sqrt(),
        level,
    )
}

fn check(baseline: &Figure, mean_b: f64) -> Result<(), Refusal> {
    if baseline.interval.low <= 0.0 {
        return Err(Refusal::BaselineTouchesZero);
    }
    if mean_b <= 0.0 {
        return Err(Refusal::CandidateNotPositive);
    }
    Ok(())
}

fn around(ratio: f64, half: f64, level: Level) -> Result<Interval, Refusal> {
    let ends = (ratio * (-half).exp() - 1.0, ratio * half.exp() - 1.0);
    cluster::finite(ends.0 + ends.1)?;
    Ok(Interval::new(ends, level, Method::LogRatio))
}

/// The variance that independent values would give; nothing where there is no spread.
fn alone(a: &Rows, b: &Rows) -> Option<f64> {
    let part = |rows: &Rows| Some(rows.variance()? / rows.n() as f64 / rows.mean().powi(2));
    let sum = part(a)? + part(b)?;
    (sum > 0.0).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(passed: usize, n: usize) -> Rows {
        Rows::independent((0..n).map(|i| f64::from(u8::from(i < passed)))).unwrap()
    }

    #[test]
    fn a_ratio_of_rates_is_the_textbooks() {
        let change = relative_change(&passes(40, 100), &passes(60, 100), Level::P95).unwrap();
        assert!((change.estimate - 0.5).abs() < 1e-12);
        // ln ratio ± t · √(0.6/(0.4·99) + 0.4/(0.6·99))
        let half = 1.972 * (0.6 / (0.4 * 99.0) + 0.4 / (0.6 * 99.0_f64)).sqrt();
        assert!((change.interval.low - (1.5 * (-half).exp() - 1.0)).abs() < 1e-3);
        assert!((change.interval.high - (1.5 * half.exp() - 1.0)).abs() < 1e-3);
    }

    #[test]
    fn no_ratio_to_what_may_be_nothing() {
        let nothing = relative_change(&passes(0, 100), &passes(60, 100), Level::P95);
        assert_eq!(nothing, Err(Refusal::BaselineTouchesZero));
        let gone = relative_change(&passes(60, 100), &passes(0, 100), Level::P95);
        assert_eq!(gone, Err(Refusal::CandidateNotPositive));
        let unsure = Rows::independent([-1.0, 2.0, 0.5, 1.0]).unwrap();
        assert_eq!(
            relative_change(&unsure, &passes(6, 9), Level::P95),
            Err(Refusal::BaselineTouchesZero)
        );
    }
}
