//! How sure is a rate of independent trials, and the difference of two?

use crate::distribution::{beta_quantile, normal_quantile};
use crate::{Figure, Interval, Level, Method, Refusal};

/// Below so many trials only the exact interval is used.
const WILSON_N_MIN: u64 = 30;

/// What a number is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Purpose {
    /// People read it.
    #[default]
    Report,
    /// Something is let through or stopped by it: rather too wide than too narrow.
    Gate,
}

/// Returns Wilson's score interval of the rate `p` of `n` trials, `critical` standard errors wide.
///
/// Centre (p + c²/2n)/(1 + c²/n), half-width c·√(p(1−p)/n + c²/4n²)/(1 + c²/n). `n` may be an
/// effective one and `critical` Student's. Checked against statsmodels `proportion_confint(method="wilson")`.
pub(crate) fn wilson(p: f64, n: f64, critical: f64) -> (f64, f64) {
    // divided through by c²/n, which may be infinite for few groups
    let weight = n / (critical * critical);
    let centre = (p * weight + 0.5) / (weight + 1.0);
    let half = (p * (1.0 - p) * weight + 0.25).sqrt() / (weight + 1.0);
    let low = if p <= 0.0 {
        0.0
    } else {
        (centre - half).max(0.0)
    };
    let high = if p >= 1.0 {
        1.0
    } else {
        (centre + half).min(1.0)
    };
    (low, high)
}

/// Returns Clopper and Pearson's interval, by quantiles of the beta distribution.
///
/// It holds the truth at least as often as it says, whatever the rate; `n` may be an effective one.
/// Checked against statsmodels `proportion_confint(method="beta")`.
pub(crate) fn clopper_pearson(successes: f64, n: f64, level: Level) -> (f64, f64) {
    let tail = level.alpha() / 2.0;
    let failures = n - successes;
    let low = if successes <= 0.0 {
        0.0
    } else {
        beta_quantile(tail, successes, failures + 1.0)
    };
    let high = if failures <= 0.0 {
        1.0
    } else {
        beta_quantile(1.0 - tail, successes + 1.0, failures)
    };
    (low, high)
}

/// Returns the rate of `successes` in `n` independent trials.
///
/// Wilson's interval; Clopper and Pearson's if n < 30, if all trials ended alike, or for a gate.
/// Never p ± 1.96·SE: at n = 50 and p = 0.97 that holds the truth in 78 % of cases instead of 95 %.
pub fn rate(successes: u64, n: u64, level: Level, purpose: Purpose) -> Result<Figure, Refusal> {
    if n == 0 {
        return Err(Refusal::Empty);
    }
    if successes > n {
        return Err(Refusal::OutOfRange {
            value: successes as f64,
            low: 0.0,
            high: n as f64,
        });
    }
    let (k, trials) = (successes as f64, n as f64);
    let exact = purpose == Purpose::Gate || n < WILSON_N_MIN || successes == 0 || successes == n;
    let interval = if exact {
        Interval::new(
            clopper_pearson(k, trials, level),
            level,
            Method::ClopperPearson,
        )
    } else {
        let ends = wilson(k / trials, trials, normal_quantile(level.upper()));
        Interval::new(ends, level, Method::Wilson)
    };
    let n = usize::try_from(n).unwrap_or(usize::MAX);
    Ok(Figure::independent(k / trials, interval, n))
}

/// Returns the ends of Newcombe's interval of `b` − `a`, two estimates that do not know of each other.
///
/// d − √((b − l_b)² + (u_a − a)²) to d + √((u_b − b)² + (a − l_a)²). It takes over what the intervals
/// of the two know, as of groups. Checked against statsmodels
/// `confint_proportions_2indep(method="newcomb")` with Wilson's intervals of rates.
pub(crate) fn newcombe(a: &Figure, b: &Figure) -> (f64, f64) {
    let difference = b.estimate - a.estimate;
    let below = (b.estimate - b.interval.low).hypot(a.interval.high - a.estimate);
    let above = (b.interval.high - b.estimate).hypot(a.estimate - a.interval.low);
    (difference - below, difference + above)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_method_follows_the_data_and_the_purpose() {
        let method = |k, n, purpose| rate(k, n, Level::P95, purpose).unwrap().interval.method;
        assert_eq!(method(40, 50, Purpose::Report), Method::Wilson);
        assert_eq!(method(40, 50, Purpose::Gate), Method::ClopperPearson);
        assert_eq!(method(50, 50, Purpose::Report), Method::ClopperPearson);
        assert_eq!(method(0, 50, Purpose::Report), Method::ClopperPearson);
        assert_eq!(method(20, 29, Purpose::Report), Method::ClopperPearson);
    }

    #[test]
    fn no_trials_and_too_many_successes_are_refused() {
        assert_eq!(rate(0, 0, Level::P95, Purpose::Report), Err(Refusal::Empty));
        assert!(rate(3, 2, Level::P95, Purpose::Report).is_err());
    }

    proptest! {
        #[test]
        fn an_interval_holds_its_estimate_and_stays_a_rate(n in 1_u64..5_000, share in 0.0..=1.0_f64, level in 0.51..0.9999_f64, gate: bool) {
            let k = ((n as f64 * share) as u64).min(n);
            let purpose = if gate { Purpose::Gate } else { Purpose::Report };
            let figure = rate(k, n, Level::new(level).unwrap(), purpose).unwrap();
            prop_assert!(figure.interval.contains(figure.estimate));
            prop_assert!(0.0 <= figure.interval.low && figure.interval.high <= 1.0);
        }
    }
}
