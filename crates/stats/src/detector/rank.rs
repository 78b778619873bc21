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
/// Ranks make one wild value count no more than any large one. Each direction has its own A,
/// so without a change either comes A/2 values apart at least.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Chance;

    fn detector(chance: &mut Chance) -> RankDetector {
        let points = (0..1_600).map(|i| (i / 200, chance.normal().exp()));
        RankDetector::new(SeasonalBaseline::new(points).unwrap())
    }

    /// Pushes values `factor` times as large until an alarm.
    fn watch(
        detector: &mut RankDetector,
        chance: &mut Chance,
        factor: f64,
        most: usize,
    ) -> Option<Alarm> {
        (0..most).find_map(|hour| {
            detector
                .push(hour % 8, factor * chance.normal().exp())
                .unwrap()
        })
    }

    #[test]
    fn slower_and_faster_are_told_apart_and_dated() {
        for (factor, tail) in [(3.0, Tail::Up), (1.0 / 3.0, Tail::Down)] {
            let mut chance = Chance::new(6);
            let mut detector = detector(&mut chance);
            assert_eq!(watch(&mut detector, &mut chance, 1.0, 500), None);
            let (before, mut seen) = (detector.clone(), 0_u64);
            let alarm = loop {
                seen += 1;
                let value = factor * chance.normal().exp();
                if let Some(alarm) = detector.push(0, value).unwrap() {
                    break alarm;
                }
            };
            assert_eq!(alarm.tail, tail);
            assert!(alarm.e_value >= RUN_LENGTH && detector.is_alarmed(tail));
            assert!(alarm.values_ago.abs_diff(seen) < 25, "{alarm:?} {seen}");
            assert!(before.e_value(tail) < RUN_LENGTH && !before.is_alarmed(tail));
        }
    }

    #[test]
    fn an_alarm_ends_when_the_stream_is_as_it_was() {
        let mut chance = Chance::new(8);
        let mut detector = detector(&mut chance);
        assert!(watch(&mut detector, &mut chance, 3.0, 500).is_some());
        assert_eq!(watch(&mut detector, &mut chance, 3.0, 500), None);
        assert_eq!(watch(&mut detector, &mut chance, 1.0, 4_000), None);
        assert!(!detector.is_alarmed(Tail::Up));
    }

    #[test]
    fn what_is_no_number_changes_nothing() {
        let mut chance = Chance::new(7);
        let mut detector = detector(&mut chance);
        let before = detector.e_value(Tail::Up);
        assert_eq!(detector.push(0, f64::NAN), Err(Refusal::NotFinite));
        assert_eq!(detector.e_value(Tail::Up), before);
    }
}
