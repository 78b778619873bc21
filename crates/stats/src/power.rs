//! What could this many items show, and how many would it take?
//!
//! Said before a run, so that nobody pays for one that can see nothing, and after one without a
//! difference, so that nobody takes "not found" for "not there". The design's standard error comes from
//! the last run's variance and design effect.

use crate::distribution::normal_quantile;
use crate::{Level, Refusal};

/// A difference of the size named is found in four of five runs.
pub const POWER: f64 = 0.8;

/// Returns the smallest difference that a design with this standard error finds.
///
/// (z_{1−α/2} + z_{0.8})·SE, of a two-sided test at α, by the normal distribution. Checked against
/// statsmodels `NormalIndPower`.
pub fn detectable(standard_error: f64, level: Level) -> f64 {
    (normal_quantile(level.upper()) + normal_quantile(POWER)) * standard_error
}

/// Returns the standard error of paired versions: √(var(d)/C) over C pairs.
pub fn paired_error(variance_of_differences: f64, pairs: u64) -> Result<f64, Refusal> {
    let pairs = at_least_one(pairs)?;
    Ok((not_negative(variance_of_differences)? / pairs).sqrt())
}

/// A version of an unpaired design.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arm {
    /// The rate that is expected.
    pub rate: f64,
    /// How many items.
    pub n: u64,
}

/// Returns the standard error of unpaired rates: √(deff·(p_A·q_A/n_A + p_B·q_B/n_B)).
pub fn unpaired_error(design_effect: f64, a: Arm, b: Arm) -> Result<f64, Refusal> {
    let part = |arm: Arm| Ok::<f64, Refusal>(spread(arm.rate)? / at_least_one(arm.n)?);
    Ok((not_negative(design_effect)? * (part(a)? + part(b)?)).sqrt())
}

/// Returns how many pairs find a difference: var(d)·((z_{1−α/2} + z_{0.8})/difference)², rounded up.
pub fn pairs_needed(
    variance_of_differences: f64,
    difference: f64,
    level: Level,
) -> Result<u64, Refusal> {
    needed(not_negative(variance_of_differences)?, difference, level)
}

/// Returns how many items each version needs to find the difference of two rates.
pub fn items_needed(
    design_effect: f64,
    rate_a: f64,
    rate_b: f64,
    level: Level,
) -> Result<u64, Refusal> {
    let variance = not_negative(design_effect)? * (spread(rate_a)? + spread(rate_b)?);
    needed(variance, rate_b - rate_a, level)
}

fn needed(variance: f64, difference: f64, level: Level) -> Result<u64, Refusal> {
    if !(difference.is_finite() && difference.abs() > 0.0) {
        return Err(Refusal::NoSpread);
    }
    let errors = detectable(1.0, level) / difference;
    Ok((variance * errors * errors).ceil().max(1.0) as u64)
}

fn spread(rate: f64) -> Result<f64, Refusal> {
    if (0.0..=1.0).contains(&rate) {
        return Ok(rate * (1.0 - rate));
    }
    Err(Refusal::OutOfRange {
        value: rate,
        low: 0.0,
        high: 1.0,
    })
}

fn not_negative(value: f64) -> Result<f64, Refusal> {
    if value.is_finite() && value >= 0.0 {
        return Ok(value);
    }
    Err(Refusal::OutOfRange {
        value,
        low: 0.0,
        high: f64::MAX,
    })
}

fn at_least_one(n: u64) -> Result<f64, Refusal> {
    if n == 0 {
        Err(Refusal::Empty)
    } else {
        Ok(n as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_is_what_detects() {
        let n = items_needed(1.7, 0.8, 0.7, Level::P95).unwrap();
        let arm = |rate, n| Arm { rate, n };
        let with = |n| {
            detectable(
                unpaired_error(1.7, arm(0.8, n), arm(0.7, n)).unwrap(),
                Level::P95,
            )
        };
        assert!(with(n) <= 0.1 && with(n - 1) > 0.1);
        let pairs = pairs_needed(0.3, 0.05, Level::P95).unwrap();
        assert!(detectable(paired_error(0.3, pairs).unwrap(), Level::P95) <= 0.05);
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(pairs_needed(0.3, 0.0, Level::P95).is_err());
        assert!(paired_error(f64::NAN, 3).is_err());
        assert!(paired_error(0.1, 0).is_err());
        assert!(items_needed(1.0, 1.2, 0.3, Level::P95).is_err());
    }
}
