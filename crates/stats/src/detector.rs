//! Has the stream changed? Asked after every value, for months.
//!
//! A test that is looked at for ever is wrong some day for sure; what can be promised is how long that
//! takes on average. An e-detector adds up bets begun at every time so far, and raises its alarm when
//! their sum reaches A: without a change that takes A values on average at least (Shin, Ramdas and
//! Rinaldo 2024, arXiv 2203.03532). "Today's mean is 1.5 times the baseline's" is wrong on one day of ten.

mod rank;
mod rate;
mod season;

pub use rank::RankDetector;
pub use rate::RateDetector;
pub use season::{HOURS, POINTS_MIN, SeasonalBaseline};

use crate::eprocess::log_mean;

/// A: without a change an alarm comes after so many values on average, or later.
pub const RUN_LENGTH: f64 = 10_000.0;

/// Which way the stream has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tail {
    /// Values are larger than they were.
    Up,
    /// Values are smaller than they were.
    Down,
}

/// The stream has changed.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Alarm {
    /// Which way.
    pub tail: Tail,
    /// The sum of the bets, at A or above.
    pub e_value: f64,
    /// How many values ago the change probably began: where the best bet was begun.
    pub values_ago: u64,
}

/// Bets on one direction. M_t = (M_{t−1} + 1)·(1 + λ·gain), a mean over stakes λ.
#[derive(Debug, Clone)]
struct Side {
    tail: Tail,
    threshold: f64,
    stakes: Vec<Stake>,
    is_alarmed: bool,
}

#[derive(Debug, Clone, Copy)]
struct Stake {
    /// λ, so small that no gain loses all.
    share: f64,
    /// ln M.
    log_sum: f64,
    /// The best single bet, begun `age` values ago: ln of its product.
    log_best: f64,
    age: u64,
}

impl Side {
    /// Bets on a direction with those of the stakes that survive a gain of `worst`.
    fn new(tail: Tail, threshold: f64, stakes: &[f64], worst: f64) -> Self {
        let stakes = stakes.iter().filter(|share| 1.0 + **share * worst > 0.0);
        Self {
            tail,
            threshold,
            stakes: stakes
                .map(|&share| Stake {
                    share,
                    log_sum: f64::NEG_INFINITY,
                    log_best: 0.0,
                    age: 0,
                })
                .collect(),
            is_alarmed: false,
        }
    }

    fn e_value(&self) -> f64 {
        let logs: Vec<f64> = self.stakes.iter().map(|stake| stake.log_sum).collect();
        log_mean(&logs).exp()
    }

    /// Takes a gain whose mean without a change is not above 0. An alarm is told once; the next may come
    /// when the bets have fallen below A/10.
    fn step(&mut self, gain: f64) -> Option<Alarm> {
        // no bet grows beyond what an alarm needs, else an end of the change would not be seen
        let most = (self.threshold * self.stakes.len() as f64).ln();
        for stake in &mut self.stakes {
            let log_factor = (stake.share * gain).ln_1p();
            stake.log_sum = (stake.log_sum.exp().ln_1p() + log_factor).min(most);
            if stake.log_best <= 0.0 {
                stake.log_best = 0.0;
                stake.age = 0;
            }
            stake.log_best += log_factor;
            stake.age += 1;
        }
        let e_value = self.e_value();
        if self.is_alarmed {
            self.is_alarmed = e_value >= self.threshold / 10.0;
            return None;
        }
        if e_value < self.threshold {
            return None;
        }
        self.is_alarmed = true;
        let best = self
            .stakes
            .iter()
            .max_by(|one, other| one.log_best.total_cmp(&other.log_best));
        Some(Alarm {
            tail: self.tail,
            e_value,
            values_ago: best.map_or(0, |stake| stake.age),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAKES: [f64; 3] = [0.1, 0.5, 1.5];

    #[test]
    fn the_sum_is_that_of_bets_begun_at_every_time() {
        let gains = [0.2, -0.3, 0.4, 0.1];
        let mut side = Side::new(Tail::Up, RUN_LENGTH, &STAKES, -0.5);
        for gain in gains {
            side.step(gain);
        }
        let by_hand = STAKES
            .iter()
            .map(|stake| {
                (0..gains.len())
                    .map(|begin| {
                        gains[begin..]
                            .iter()
                            .map(|gain| 1.0 + stake * gain)
                            .product::<f64>()
                    })
                    .sum::<f64>()
            })
            .sum::<f64>()
            / STAKES.len() as f64;
        assert!((side.e_value() - by_hand).abs() < 1e-12);
    }

    #[test]
    fn a_stake_that_could_lose_all_is_not_bet() {
        assert_eq!(Side::new(Tail::Up, 100.0, &STAKES, -0.7).stakes.len(), 2);
        // nothing to bet with: never an alarm
        let mut none = Side::new(Tail::Up, 100.0, &STAKES, -20.0);
        assert!((0..1_000).all(|_| none.step(0.9).is_none()));
    }

    #[test]
    fn an_alarm_is_told_once_until_the_stream_is_as_it_was() {
        let mut side = Side::new(Tail::Up, 1_000.0, &STAKES, -0.5);
        let alarms =
            |side: &mut Side, gain: f64, n: usize| (0..n).filter_map(|_| side.step(gain)).count();
        assert_eq!(alarms(&mut side, 0.4, 200), 1);
        assert_eq!(alarms(&mut side, -0.3, 300), 0);
        assert!(!side.is_alarmed);
        assert_eq!(alarms(&mut side, 0.4, 200), 1);
    }
}
