//! Durations, costs, tokens: is it usually more, or less, than it was?

use super::season::SeasonalBaseline;
use super::{Alarm, RUN_LENGTH, Side, Tail};
use crate::Refusal;

/// By so much the mean rank may be off ½ without a change, because the baseline is a sample too.
const BASELINE_ERROR: f64 = 0.03;

/// The stakes that are bet side by side.
const STAKES: [f64; 5] = [0.1, 0.25, 0.5, 1.0, 1.5];

/// Watches any measure by its rank among what was usual at its hour, in both directions.
///
/// u = share of usual values that are smaller; H0: E u ≤ ½ + 0.03, and the same of 1 − u. M_t^λ =
/// (M_{t−1}^λ + 1)·(1 + λ·(u − ½ − 0.03)), λ ∈ {.1, .25, .5, 1, 1.5}; alarm when their mean reaches A.
/// Ranks make one wild value count no more than any large one. Each direction has its own A.
///
/// A baseline of 200 values in one bin is off by 0.02 (one standard error), so 0.03 is not always enough:
/// by simulation a tenth of such streams raise an alarm of one direction within 10,000 unchanged values.
/// With eight bins, whose errors cancel, or 1,000 values it is one of thirty or fewer.
#[derive(Debug, Clone)]
pub struct RankDetector {
    baseline: SeasonalBaseline,
    up: Side,
    down: Side,
}

impl RankDetector {
    /// Starts to watch a stream against its past, with alarms 10,000 values apart if nothing changes.
    pub fn new(baseline: SeasonalBaseline) -> Self {
        let side = |tail| Side::new(tail, RUN_LENGTH, &STAKES, -0.5 - BASELINE_ERROR);
        Self {
            baseline,
            up: side(Tail::Up),
            down: side(Tail::Down),
        }
    }

    /// Takes the next value and its hour of the week; what is no finite number is refused and changes
    /// nothing.
    pub fn push(&mut self, hour: usize, value: f64) -> Result<Option<Alarm>, Refusal> {
        if !value.is_finite() {
            return Err(Refusal::NotFinite);
        }
        let excess = self.baseline.rank(hour, value) - 0.5;
        let up = self.up.step(excess - BASELINE_ERROR);
        let down = self.down.step(-excess - BASELINE_ERROR);
        Ok(up.or(down))
    }

    /// Returns the sum of the bets on a direction.
    pub fn e_value(&self, tail: Tail) -> f64 {
        match tail {
            Tail::Up => self.up.e_value(),
            Tail::Down => self.down.e_value(),
        }
    }

    /// Returns whether an alarm of this direction stands: it does until the bets fall below A/10.
    pub fn is_alarmed(&self, tail: Tail) -> bool {
        match tail {
            Tail::Up => self.up.is_alarmed,
            Tail::Down => self.down.is_alarmed,
        }
    }
}
