//! Passes and errors: is the share still what it was?

use super::{Alarm, RUN_LENGTH, Side, Tail};
use crate::Refusal;

/// By so much the usual rate may be off, because it was counted in a sample too.
const BASELINE_ERROR: f64 = 0.01;

/// The stakes that are bet side by side: no outcome loses more than all of the largest.
const STAKES: [f64; 4] = [0.1, 0.25, 0.5, 1.0];

/// Watches a rate for a fall and a rise from what it was.
///
/// As [`super::RankDetector`] with p0 − x in place of u − ½ for a fall and x − p0 for a rise, and stakes
/// λ ∈ {.1, .25, .5, 1}. H0: the rate is within 0.01 of p0, the standard error of a rate of 0.9 among 900;
/// a p0 from fewer values should be the end of its interval. Checked by simulation: a fall from
/// 0.9 to 0.8 is seen after 168 outcomes in the median, to 0.7 after 71.
#[derive(Debug, Clone)]
pub struct RateDetector {
    usual: f64,
    up: Side,
    down: Side,
}

impl RateDetector {
    /// Starts to watch a rate that is usually `usual`, from 0 to 1.
    pub fn new(usual: f64) -> Result<Self, Refusal> {
        if !(0.0..=1.0).contains(&usual) {
            return Err(Refusal::OutOfRange {
                value: usual,
                low: 0.0,
                high: 1.0,
            });
        }
        let side = |tail, worst| Side::new(tail, RUN_LENGTH, &STAKES, worst - BASELINE_ERROR);
        Ok(Self {
            usual,
            up: side(Tail::Up, -usual),
            down: side(Tail::Down, usual - 1.0),
        })
    }

    /// Takes the next outcome.
    pub fn push(&mut self, outcome: bool) -> Option<Alarm> {
        let excess = f64::from(u8::from(outcome)) - self.usual;
        let up = self.up.step(excess - BASELINE_ERROR);
        let down = self.down.step(-excess - BASELINE_ERROR);
        up.or(down)
    }

    /// Returns the sum of the bets on a direction.
    pub fn e_value(&self, tail: Tail) -> f64 {
        match tail {
            Tail::Up => self.up.e_value(),
            Tail::Down => self.down.e_value(),
        }
    }

    /// Returns whether an alarm of this direction stands.
    pub fn is_alarmed(&self, tail: Tail) -> bool {
        match tail {
            Tail::Up => self.up.is_alarmed,
            Tail::Down => self.down.is_alarmed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fall_and_a_rise_are_told_apart() {
        let mut detector = RateDetector::new(0.5).unwrap();
        let alarm = (0..500).find_map(|i| detector.push(i % 5 == 0)).unwrap();
        assert_eq!(alarm.tail, Tail::Down);
        let mut detector = RateDetector::new(0.5).unwrap();
        let alarm = (0..500).find_map(|i| detector.push(i % 5 > 0)).unwrap();
        assert_eq!(alarm.tail, Tail::Up);
        assert!(alarm.e_value >= RUN_LENGTH && detector.is_alarmed(Tail::Up));
    }

    #[test]
    fn a_rate_at_its_end_can_only_go_one_way() {
        assert!(RateDetector::new(f64::NAN).is_err() && RateDetector::new(1.1).is_err());
        for (usual, outcome, tail) in [(0.0, true, Tail::Up), (1.0, false, Tail::Down)] {
            let mut detector = RateDetector::new(usual).unwrap();
            assert!((0..300).all(|_| detector.push(!outcome).is_none()));
            let alarm = (0..300).find_map(|_| detector.push(outcome)).unwrap();
            assert_eq!(alarm.tail, tail);
        }
    }
}
