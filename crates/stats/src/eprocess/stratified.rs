//! A bet about a weighted mean, when values come from strata by any plan and in any order.
//!
//! H0 says Σ W_h·μ_h ≤ δ and leaves open how the loss is split over the strata. For the true split the
//! product of the strata's bets is money that cannot grow by luck; nobody knows it, so the split counts for
//! which that product is least (as of any composite H0: Ramdas et al. 2023, arXiv 2210.01948). Nothing is
//! assumed of how many values of which stratum come when. A stratum of which nothing came may hide any loss.

use super::{STAKES, log_mean, mean_of, tally};
use crate::distribution::falling_root;
use crate::{Figure, Interval, Level, Method, Refusal};

/// So much of a scale of −1..1 is left at its lower end, where no bet is defined.
const EDGE: f64 = 1e-9;

/// Halvings of a search for a split.
const STEPS: u32 = 60;

/// Values in −1..1 of strata with weights.
#[derive(Debug, Clone)]
pub struct Stratified {
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
struct Part {
    weight: f64,
    values: Vec<f64>,
}

/// A part's values by size, and what they are multiplied by: 1, or −1 for the mirror image.
struct Tallied {
    weight: f64,
    values: Vec<(f64, f64)>,
}

impl Stratified {
    /// Takes the strata's shares of the population, which are scaled to sum to 1.
    pub fn new(populations: &[u64]) -> Result<Self, Refusal> {
        let all: f64 = populations.iter().map(|it| *it as f64).sum();
        if all <= 0.0 {
            return Err(Refusal::Empty);
        }
        let part = |population: &u64| Part {
            weight: *population as f64 / all,
            values: Vec::new(),
        };
        Ok(Self {
            parts: populations.iter().map(part).collect(),
        })
    }

    /// Takes the next value of a stratum, from −1 to 1; another, or of no stratum, is refused.
    pub fn push(&mut self, stratum: usize, value: f64) -> Result<(), Refusal> {
        if !(-1.0..=1.0).contains(&value) {
            let (low, high) = (-1.0, 1.0);
            return Err(Refusal::OutOfRange { value, low, high });
        }
        let part = self.parts.get_mut(stratum);
        part.ok_or(Refusal::EmptyStratum(stratum))?
            .values
            .push(value);
        Ok(())
    }

    /// Returns how many values of strata with a weight were taken.
    pub fn n(&self) -> usize {
        let counted = self.parts.iter().filter(|part| part.weight > 0.0);
        counted.map(|part| part.values.len()).sum()
    }

    /// Returns E against H0: Σ W_h·μ_h ≤ `margin`, which lies in −1 < margin < 1: the money of the split
    /// that speaks least against it.
    pub fn e_value(&self, margin: f64) -> f64 {
        log_e(&self.tallied(1.0), margin).exp()
    }

    /// Returns what the weighted mean is above, with a chance of `tail` to be wrong at any time.
    pub fn lower_bound(&self, tail: f64) -> f64 {
        largest_rejected(&self.tallied(1.0), tail)
    }

    /// Returns what the weighted mean is below, with a chance of `tail` to be wrong at any time.
    pub fn upper_bound(&self, tail: f64) -> f64 {
        -largest_rejected(&self.tallied(-1.0), tail)
    }

    /// Returns the weighted mean with an interval that holds at all times at once. Refused while a stratum
    /// with a weight has no value.
    pub fn confidence_sequence(&self, level: Level) -> Result<Figure, Refusal> {
        let tail = level.alpha() / 2.0;
        let mut estimate = 0.0;
        for (place, part) in self.parts.iter().enumerate() {
            if part.weight > 0.0 {
                if part.values.is_empty() {
                    return Err(Refusal::EmptyStratum(place));
                }
                estimate += part.weight * mean_of(part.values.iter().copied());
            }
        }
        let ends = (
            self.lower_bound(tail).min(estimate),
            self.upper_bound(tail).max(estimate),
        );
        let interval = Interval::new(ends, level, Method::ConfidenceSequence);
        Ok(Figure::independent(estimate, interval, self.n()))
    }

    fn tallied(&self, sign: f64) -> Vec<Tallied> {
        let counted = self.parts.iter().filter(|part| part.weight > 0.0);
        let tallied = counted.map(|part| Tallied {
            weight: part.weight,
            values: tally(part.values.iter().map(|value| sign * value)),
        });
        tallied.collect()
    }
}

/// The largest margin against which the least money of any split stands at 1/tail.
fn largest_rejected(parts: &[Tallied], tail: f64) -> f64 {
    let bar = -tail.ln();
    let lowest = -1.0 + EDGE;
    if log_e(parts, lowest) < bar {
        return -1.0;
    }
    falling_root(lowest, 1.0, |margin| log_e(parts, margin) - bar)
}

/// ln of the least money over all splits Σ W_h·δ_h = margin.
///
/// Each stratum's ln money is convex and falling in δ_h: ln(a + b/(1 + δ)) is, and so are sums of it and the
/// ln of a mean of exponentials. So the least is where all slopes are −ν·W_h for one ν, which is searched by
/// halving, or where δ_h is at its end.
fn log_e(parts: &[Tallied], margin: f64) -> f64 {
    let split = |log_nu: f64| -> Vec<f64> {
        let of = |part: &Tallied| part.at_slope(-log_nu.exp() * part.weight);
        parts.iter().map(of).collect()
    };
    let mean = |deltas: &[f64]| -> f64 {
        let both = parts.iter().zip(deltas);
        both.map(|(part, delta)| part.weight * delta).sum()
    };
    // the dearer a loss is (ν), the less of it is put anywhere
    let (mut cheap, mut dear) = (-60.0_f64, 60.0_f64);
    for _ in 0..STEPS {
        let middle = f64::midpoint(cheap, dear);
        match mean(&split(middle)) > margin {
            true => cheap = middle,
            false => dear = middle,
        }
    }
    // of the two sides that which gives away no more than the margin would be too sure
    let deltas = split(cheap);
    let both = parts.iter().zip(&deltas);
    both.map(|(part, delta)| part.log_money(*delta)).sum()
}

impl Tallied {
    /// ln of a stake's money: Σ ln((1 − λ) + λ(1 + d)/(1 + δ)).
    fn logs(&self, delta: f64) -> [f64; STAKES.len()] {
        STAKES.map(|stake| {
            let log = |&(value, times): &(f64, f64)| {
                times * (stake * (value - delta) / (1.0 + delta)).ln_1p()
            };
            self.values.iter().map(log).sum()
        })
    }

    fn log_money(&self, delta: f64) -> f64 {
        log_mean(&self.logs(delta))
    }

    /// The slope of [`Self::log_money`]: that of the stakes, weighted by their money.
    fn slope(&self, delta: f64) -> f64 {
        let logs = self.logs(delta);
        let all = log_mean(&logs);
        let x = 1.0 + delta;
        let of_stake = |(stake, log): (f64, f64)| {
            let share = (log - all).exp() / STAKES.len() as f64;
            let slope = |&(value, times): &(f64, f64)| {
                let b = stake * (1.0 + value);
                times * -b / (x * ((1.0 - stake) * x + b))
            };
            share * self.values.iter().map(slope).sum::<f64>()
        };
        STAKES.into_iter().zip(logs).map(of_stake).sum()
    }

    /// The δ at which the slope is this, or an end of the scale. Slopes rise to 0.
    fn at_slope(&self, wanted: f64) -> f64 {
        let (mut low, mut high) = (-1.0 + EDGE, 1.0);
        if self.slope(high) <= wanted {
            return high;
        }
        if self.slope(low) >= wanted {
            return low;
        }
        for _ in 0..STEPS {
            let middle = f64::midpoint(low, high);
            match self.slope(middle) < wanted {
                true => low = middle,
                false => high = middle,
            }
        }
        high
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Betting;
    use super::*;
    use crate::rng::Chance;

    fn of(populations: &[u64], values: &[(usize, f64)]) -> Stratified {
        let mut bet = Stratified::new(populations).unwrap();
        for &(stratum, value) in values {
            bet.push(stratum, value).unwrap();
        }
        bet
    }

    #[test]
    fn one_stratum_is_the_plain_bet() {
        let mut plain = Betting::new(0.02).unwrap();
        let mut one = Stratified::new(&[7]).unwrap();
        for i in 0..90 {
            let value = f64::from(u8::from(i % 3 == 0));
            plain.push(value).unwrap();
            one.push(0, value).unwrap();
        }
        assert!((one.e_value(0.02) / plain.e_value() - 1.0).abs() < 1e-6);
        assert!((one.upper_bound(0.05) - plain.upper_bound(0.05)).abs() < 1e-6);
        assert!((one.lower_bound(0.05) - plain.lower_bound(0.05)).abs() < 1e-6);
    }

    #[test]
    fn the_split_is_the_worst_one() {
        let values: Vec<(usize, f64)> = (0..200)
            .map(|i| {
                (
                    i % 2,
                    f64::from(u8::from(i % 5 == 0 || i % 2 == 0 && i % 3 == 0)),
                )
            })
            .collect();
        let bet = of(&[3_000, 1_000], &values);
        let parts = bet.tallied(1.0);
        let margin = 0.1;
        let found = log_e(&parts, margin);
        // all splits on a grid
        let least = (-999..=999)
            .map(|at| f64::from(at) / 1_000.0)
            .filter_map(|first| {
                let second = (margin - 0.75 * first) / 0.25;
                (-0.999..=1.0)
                    .contains(&second)
                    .then(|| parts[0].log_money(first) + parts[1].log_money(second))
            })
            .fold(f64::INFINITY, f64::min);
        assert!(
            found <= least + 1e-6 && least - found < 1e-3,
            "{found} {least}"
        );
    }

    #[test]
    fn a_stratum_of_which_nothing_came_may_hide_any_loss() {
        let values: Vec<(usize, f64)> = (0..3_000).map(|_| (0, 0.0)).collect();
        let half_seen = of(&[1, 1], &values);
        // half of the weight may lose everything
        assert!(
            half_seen.upper_bound(0.05) > 0.5,
            "{}",
            half_seen.upper_bound(0.05)
        );
        assert_eq!(
            half_seen.confidence_sequence(Level::P95),
            Err(Refusal::EmptyStratum(1))
        );
        let all_seen = of(&[1, 0], &values);
        assert!(all_seen.upper_bound(0.05) < 0.02);
        assert!(Stratified::new(&[0, 0]).is_err() && Stratified::new(&[]).is_err());
        let mut bet = Stratified::new(&[1]).unwrap();
        assert!(bet.push(0, 1.5).is_err() && bet.push(1, 0.5).is_err());
    }

    /// How often one of eight looks at a stream says that the weighted loss is above `margin`.
    fn alarms(losses: [f64; 2], margin: f64, runs: u64) -> f64 {
        let alarmed = (0..runs).filter(|seed| {
            let mut chance = Chance::new(*seed);
            let mut bet = Stratified::new(&[9_000, 1_000]).unwrap();
            (0..8).any(|look| {
                for _ in 0..60 {
                    // the plan draws as many of the rare stratum, and changes while the values come
                    let stratum = usize::from(chance.coin(if look < 4 { 0.5 } else { 0.8 }));
                    let worse = chance.coin(losses[stratum] + 0.1) as i8;
                    let better = chance.coin(0.1) as i8;
                    bet.push(stratum, f64::from(worse - better)).unwrap();
                }
                bet.e_value(margin) >= 20.0
            })
        });
        alarmed.count() as f64 / runs as f64
    }

    #[test]
    fn false_alarms_are_rare_whatever_comes_when_and_a_loss_is_found() {
        // at the margin itself, of which the rare stratum has most
        let false_alarms = alarms([0.0, 0.2], 0.02, 300);
        assert!(false_alarms <= 0.05, "{false_alarms}");
        let found = alarms([0.3, 0.2], 0.02, 40);
        assert!(found > 0.9, "{found}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn a_sequence_encloses_its_mean(values in prop::collection::vec((0_usize..3, -1.0..=1.0_f64), 1..40), populations in prop::collection::vec(0_u64..9, 3)) {
            let Ok(mut bet) = Stratified::new(&populations) else { return Ok(()) };
            for &(stratum, value) in &values {
                bet.push(stratum, value).unwrap();
            }
            prop_assert!(bet.e_value(0.0) >= 0.0);
            prop_assert!(bet.lower_bound(0.05) <= bet.upper_bound(0.05));
            if let Ok(figure) = bet.confidence_sequence(Level::P95) {
                prop_assert!(figure.interval.contains(figure.estimate), "{figure:?}");
            }
        }
    }
}
