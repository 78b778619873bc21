//! Quantiles and tails of the distributions that the rest is built of, for any argument.
//!
//! The functions behind them are statrs's. Quantiles are found by bisection of its tails: that always
//! ends and is as exact as they are, where Newton steps need luck with their start.

use statrs::function::beta::beta_reg;
use statrs::function::erf::erfc;
use statrs::function::gamma::ln_gamma;

/// Returns P(Z > z) of the standard normal.
pub(crate) fn normal_tail(z: f64) -> f64 {
    0.5 * erfc(z / std::f64::consts::SQRT_2)
}

/// Returns the two-sided p value of a standard normal statistic.
pub(crate) fn normal_two_sided(z: f64) -> f64 {
    (2.0 * normal_tail(z.abs())).min(1.0)
}

/// Returns z with P(Z ≤ z) = p. Checked against scipy.stats.norm.ppf.
pub(crate) fn normal_quantile(p: f64) -> f64 {
    debug_assert!(0.0 < p && p < 1.0, "{p}");
    if p < 0.5 {
        return -normal_quantile(1.0 - p);
    }
    falling_root(0.0, 40.0, |z| normal_tail(z) - (1.0 - p))
}

/// Returns P(T > t) of Student's t.
pub(crate) fn student_tail(t: f64, freedom: f64) -> f64 {
    if t.is_infinite() {
        return if t > 0.0 { 0.0 } else { 1.0 };
    }
    let square = t * t;
    let half = if square.is_finite() {
        0.5 * beta_reg(
            freedom / 2.0,
            0.5,
            (freedom / (freedom + square)).clamp(0.0, 1.0),
        )
    } else {
        0.0
    };
    if t > 0.0 { half } else { 1.0 - half }
}

/// Returns the two-sided p value of a statistic that is Student's t.
pub(crate) fn student_two_sided(t: f64, freedom: f64) -> f64 {
    (2.0 * student_tail(t.abs(), freedom)).min(1.0)
}

/// Returns t with P(T ≤ t) = p, for p ≥ ½. Checked against scipy.stats.t.ppf.
pub(crate) fn student_quantile(p: f64, freedom: f64) -> f64 {
    debug_assert!((0.5..1.0).contains(&p) && freedom > 0.0, "{p} {freedom}");
    let mut high = 2.0;
    while student_tail(high, freedom) > 1.0 - p && high < 1e150 {
        high *= 2.0;
    }
    falling_root(0.0, high, |t| student_tail(t, freedom) - (1.0 - p))
}

/// Returns x with I_x(a, b) = p. Checked against scipy.stats.beta.ppf.
pub(crate) fn beta_quantile(p: f64, a: f64, b: f64) -> f64 {
    falling_root(0.0, 1.0, |x| p - beta_reg(a, b, x))
}

/// Returns P(X ≤ k) of k successes in n trials of chance p.
pub(crate) fn binomial_cdf(k: i64, n: u64, p: f64) -> f64 {
    if k < 0 {
        return 0.0;
    }
    let k = k.unsigned_abs();
    if k >= n {
        return 1.0;
    }
    beta_reg((n - k) as f64, k as f64 + 1.0, (1.0 - p).clamp(0.0, 1.0))
}

/// Returns ln C(n, k).
pub(crate) fn ln_choose(n: f64, k: f64) -> f64 {
    ln_gamma(n + 1.0) - ln_gamma(k + 1.0) - ln_gamma(n - k + 1.0)
}

/// Returns where a falling function crosses zero, to the last bit.
pub(crate) fn falling_root(mut low: f64, mut high: f64, f: impl Fn(f64) -> f64) -> f64 {
    // 1,100 halvings take any two doubles together; the usual case needs sixty
    for _ in 0..1_100 {
        let middle = low + (high - low) / 2.0;
        if middle <= low || middle >= high {
            break;
        }
        if f(middle) > 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    low + (high - low) / 2.0
}
