//! Passes and errors: is the share still what it was?

use super::{Alarm, RUN_LENGTH, Side, Tail};
use crate::Refusal;

/// Watches a rate for a fall and a rise from what it was.
///
/// As [`super::RankDetector`] with p0 − x in place of u − ½ for a fall and x − p0 for a rise. H0: the rate
/// is p0; give the bound of p0's interval on the safe side if p0 is not well known. Checked by simulation.
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
        Ok(Self {
            usual,
            up: Side::new(Tail::Up, RUN_LENGTH),
            down: Side::new(Tail::Down, RUN_LENGTH),
        })
    }

    /// Takes the next outcome.
    pub fn push(&mut self, outcome: bool) -> Option<Alarm> {
        let excess = f64::from(u8::from(outcome)) - self.usual;
        let up = self.up.step(excess);
        let down = self.down.step(-excess);
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
