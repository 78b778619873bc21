//! What is the difference of pairs surely above, when losses are rare?
//!
//! Mean − t·SE takes the spread from the pairs seen. Where few of them differ, and all in one direction, it
//! is too sure: a gate with 150 pairs and a margin of 5 points passed 13 % of candidates that were worse by
//! just that. A loss of m in steps of s cannot have less variance than m·s − m², so a bound that goes down
//! to −m must allow for that.

use crate::distribution::{falling_root, student_quantile};
use crate::{Level, Refusal, Rows};

/// Returns the lower end of the one-sided interval of the mean difference.
///
/// The m with mean − m = t·√(max(s², |m|·step − m²)/n), where no difference but 0 is smaller than `step`:
/// 1 for pairs of one pass or fail each, 1/k if k of them are averaged, 0 if differences have no steps. With
/// losses only it is Wilson's bound of their rate. Fewer than two pairs are refused.
pub fn least_mean(
    differences: impl IntoIterator<Item = f64>,
    step: f64,
    level: Level,
) -> Result<f64, Refusal> {
    let rows = Rows::independent(differences)?;
    let n = rows.n();
    let seen = rows.variance().ok_or(Refusal::TooFewPairs(n))?;
    if !(step.is_finite() && step >= 0.0) {
        return Err(Refusal::OutOfRange {
            value: step,
            low: 0.0,
            high: f64::MAX,
        });
    }
    let mean = rows.mean();
    let critical = student_quantile(level.get(), n as f64 - 1.0);
    let spread = |least: f64| seen.max(-least * step - least * least);
    let reach = |variance: f64| critical * (variance / n as f64).sqrt();
    // m·s − m² is s²/4 at most
    let lowest = mean - reach(seen + step * step / 4.0);
    crate::cluster::finite(lowest)?;
    Ok(falling_root(lowest, mean, |least| {
        mean - least - reach(spread(least))
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::interval::wilson;

    #[test]
    fn losses_only_are_wilsons() {
        let losses = (0..150).map(|pair| if pair < 4 { -1.0 } else { 0.0 });
        let least = least_mean(losses, 1.0, Level::P95).unwrap();
        let critical = student_quantile(0.95, 149.0);
        let (_, high) = wilson(4.0 / 150.0, 150.0, critical);
        assert!((least + high).abs() < 1e-12, "{least} {high}");
        assert!(least < -0.05, "4 of 150 may be 5 %");
    }

    #[test]
    fn without_steps_it_is_mean_less_t_times_the_error() {
        let differences = [0.5, -0.25, 0.0, 0.125, 1.0, -0.5];
        let least = least_mean(differences, 0.0, Level::P95).unwrap();
        let rows = Rows::independent(differences).unwrap();
        let half = student_quantile(0.95, 5.0) * (rows.variance().unwrap() / 6.0).sqrt();
        assert!((least - (rows.mean() - half)).abs() < 1e-9);
        assert!(least_mean([1.0], 1.0, Level::P95).is_err());
        assert!(least_mean(differences, f64::NAN, Level::P95).is_err());
    }

    #[test]
    fn many_pairs_that_agree_rule_out_what_few_do_not() {
        let least = |n: usize| least_mean(vec![0.0; n], 1.0, Level::P95).unwrap();
        // t²/(n + t²)
        assert!(
            least(20) < -0.12 && least(300) > -0.0095,
            "{} {}",
            least(20),
            least(300)
        );
    }

    proptest! {
        #[test]
        fn steps_only_widen(differences in prop::collection::vec(-1.0..=1.0_f64, 2..60), step in 0.0..1.0_f64) {
            let without = least_mean(differences.iter().copied(), 0.0, Level::P95).unwrap();
            let with = least_mean(differences.iter().copied(), step, Level::P95).unwrap();
            let mean = differences.iter().sum::<f64>() / differences.len() as f64;
            prop_assert!(with <= without + 1e-12 && without <= mean + 1e-12);
        }
    }
}
