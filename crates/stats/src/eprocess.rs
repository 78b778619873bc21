//! How may one look after every pair and still be wrong in 5 % of cases only?
//!
//! By betting against "no worse than δ" with money that cannot grow on average if that is true. Who has
//! made 20 out of 1 has seen something that happens in less than one of twenty cases, at any time and
//! however often he looked (Ville 1939; Waudby-Smith and Ramdas 2024, arXiv 2010.09686). A z test looked
//! at 50 times is wrong in 27 % of cases.

mod anytime;
mod blocks;
mod stratified;

pub use anytime::mean_at_any_time;
pub use blocks::Blocks;
pub use stratified::Stratified;

use crate::distribution::falling_root;
use crate::rows::mean_of;
use crate::{Figure, Interval, Level, Method, Refusal};

/// The stakes that are bet side by side, a share of the money each: small ones find small drops.
const STAKES: [f64; 8] = [0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5];

/// A bet that the mean of values in −1..1 is above a margin.
///
/// For a gate the values are baseline − candidate, one for each pair or group.
#[derive(Debug, Clone)]
pub struct Betting {
    margin: f64,
    /// The logarithm of the money of each stake.
    log_money: [f64; STAKES.len()],
    log_peak: f64,
    values: Vec<f64>,
}

impl Betting {
    /// Starts a bet against H0: E d ≤ `margin`, which lies in −1 < margin < 1.
    pub fn new(margin: f64) -> Result<Self, Refusal> {
        if !(margin > -1.0 && margin < 1.0) {
            return Err(Refusal::OutOfRange {
                value: margin,
                low: -1.0,
                high: 1.0,
            });
        }
        Ok(Self {
            margin,
            log_money: [0.0; STAKES.len()],
            log_peak: 0.0,
            values: Vec::new(),
        })
    }

    /// Takes the next value, from −1 to 1; another is refused and changes nothing.
    ///
    /// The money of stake λ is multiplied by 1 + λ·(d − δ)/(1 + δ), which is never below ½.
    pub fn push(&mut self, value: f64) -> Result<(), Refusal> {
        if !(-1.0..=1.0).contains(&value) {
            return Err(Refusal::OutOfRange {
                value,
                low: -1.0,
                high: 1.0,
            });
        }
        for (money, stake) in self.log_money.iter_mut().zip(STAKES) {
            *money += log_factor(stake, value, self.margin);
        }
        self.values.push(value);
        self.log_peak = self.log_peak.max(log_mean(&self.log_money));
        Ok(())
    }

    /// Returns δ.
    pub fn margin(&self) -> f64 {
        self.margin
    }

    /// Returns how many values were taken.
    pub fn n(&self) -> usize {
        self.values.len()
    }

    /// Returns E_t, the mean of the stakes' money; H0 is rejected at α when it reaches 1/α.
    pub fn e_value(&self) -> f64 {
        log_mean(&self.log_money).exp()
    }

    /// Returns the most that E_t has been: min(1, 1/peak) is a p value at any time, but the peak is no
    /// e-value.
    pub fn peak(&self) -> f64 {
        self.log_peak.exp()
    }

    /// Returns the mean of the values with an interval that holds at all times at once.
    ///
    /// Its ends are the margins at which this bet, and its mirror image, would stand at 2/α. Refused
    /// before the first value.
    pub fn confidence_sequence(&self, level: Level) -> Result<Figure, Refusal> {
        let tail = level.alpha() / 2.0;
        let n = self.values.len();
        if n == 0 {
            return Err(Refusal::Empty);
        }
        let estimate = mean_of(self.values.iter().copied());
        let ends = (
            self.lower_bound(tail).min(estimate),
            self.upper_bound(tail).max(estimate),
        );
        let interval = Interval::new(ends, level, Method::ConfidenceSequence);
        Ok(Figure::independent(estimate, interval, n))
    }

    /// Returns what the mean is above, with a chance of `tail` to be wrong at any time.
    pub fn lower_bound(&self, tail: f64) -> f64 {
        largest_rejected(&tally(self.values.iter().copied()), tail)
    }

    /// Returns what the mean is below, with a chance of `tail` to be wrong at any time.
    pub fn upper_bound(&self, tail: f64) -> f64 {
        -largest_rejected(&tally(self.values.iter().map(|value| -value)), tail)
    }
}

fn log_factor(stake: f64, value: f64, margin: f64) -> f64 {
    (stake * (value - margin) / (1.0 + margin)).ln_1p()
}

/// ln of the mean of exponentials, without leaving the range of doubles.
pub(crate) fn log_mean(logs: &[f64]) -> f64 {
    let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if most.is_infinite() {
        return most;
    }
    let sum: f64 = logs.iter().map(|log| (log - most).exp()).sum();
    most + (sum / logs.len() as f64).ln()
}

/// Equal values together: most are −1, 0 or 1.
fn tally(values: impl Iterator<Item = f64>) -> Vec<(f64, f64)> {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    #[expect(clippy::float_cmp, reason = "equal values are meant")]
    let tallied = sorted
        .chunk_by(|one, next| one == next)
        .map(|same| (same[0], same.len() as f64))
        .collect();
    tallied
}

/// The largest margin against which the bet stands at 1/tail: the money falls as the margin rises.
fn largest_rejected(tallied: &[(f64, f64)], tail: f64) -> f64 {
    let bar = -tail.ln();
    let log_e = |margin: f64| {
        let logs = STAKES.map(|stake| {
            tallied
                .iter()
                .map(|(value, times)| times * log_factor(stake, *value, margin))
                .sum()
        });
        log_mean(&logs)
    };
    let lowest = -1.0 + 1e-9;
    if log_e(lowest) < bar {
        return -1.0;
    }
    falling_root(lowest, 1.0, |margin| log_e(margin) - bar)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn money_is_the_mean_of_the_stakes() {
        let mut bet = Betting::new(0.0).unwrap();
        for value in [1.0, -1.0, 0.5] {
            bet.push(value).unwrap();
        }
        let by_hand = STAKES
            .iter()
            .map(|stake| (1.0 + stake) * (1.0 - stake) * (1.0 + 0.5 * stake))
            .sum::<f64>()
            / STAKES.len() as f64;
        assert!((bet.e_value() - by_hand).abs() < 1e-12);
        assert!(bet.peak() > bet.e_value());
    }

    #[test]
    fn the_sequence_ends_where_the_bet_would_reject() {
        let mut bet = Betting::new(0.0).unwrap();
        for i in 0..200 {
            bet.push(if i % 3 == 0 { 1.0 } else { 0.0 }).unwrap();
        }
        let low = bet.lower_bound(0.05);
        let mut there = Betting::new(low).unwrap();
        for i in 0..200 {
            there.push(if i % 3 == 0 { 1.0 } else { 0.0 }).unwrap();
        }
        assert!((there.e_value() - 20.0).abs() < 1e-3, "{}", there.e_value());
        let figure = bet.confidence_sequence(Level::P95).unwrap();
        assert!(
            figure.interval.low > 0.1 && figure.interval.high < 0.6,
            "{figure:?}"
        );
    }

    #[test]
    fn what_is_no_difference_of_rates_is_refused_and_forgotten() {
        let mut bet = Betting::new(0.02).unwrap();
        assert!(bet.push(f64::NAN).is_err() && bet.push(1.5).is_err());
        assert_eq!((bet.n(), bet.e_value()), (0, 1.0));
        assert!(Betting::new(f64::NAN).is_err() && Betting::new(1.0).is_err());
        assert!(bet.confidence_sequence(Level::P95).is_err());
    }

    proptest! {
        #[test]
        fn a_sequence_encloses_its_mean(values in prop::collection::vec(-1.0..=1.0_f64, 1..80), margin in -0.9..0.9_f64) {
            let mut bet = Betting::new(margin).unwrap();
            for value in values {
                bet.push(value).unwrap();
            }
            let figure = bet.confidence_sequence(Level::P95).unwrap();
            prop_assert!(figure.interval.contains(figure.estimate));
            prop_assert!(-1.0 <= figure.interval.low && figure.interval.high <= 1.0);
            prop_assert!(bet.e_value() >= 0.0 && bet.peak() >= bet.e_value() * (1.0 - 1e-12));
        }
    }
}
