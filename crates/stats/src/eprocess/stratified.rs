//! A bet about a weighted mean, when values come from strata by any plan and in any order.
//!
//! H0 says Σ W_h·μ_h ≤ δ and leaves open how the loss is split over the strata. For the true split the
//! product of the strata's bets is money that cannot grow by luck; nobody knows it, so the split counts for
//! which that product is least (as of any composite H0: Ramdas et al. 2023, arXiv 2210.01948). Nothing is
//! assumed of how many values of which stratum come when. A stratum of which nothing came may hide any loss.
//!
//! The least is found by a price. Each stratum's ln money f_h is convex and falling in its δ_h, for
//! ln(a + b/(1 + δ)) is, and so are sums of it and the ln of a mean of exponentials. So for every price ν > 0
//! of a loss, Σ f_h + ν·(Σ W_h·δ_h − δ), with δ_h where f_h + ν·W_h·δ_h is least, is no more than the least
//! over all splits, and for one price it is the same (Lagrange). A price that is found only nearly makes the
//! bet a little too careful, never too sure.

use super::{STAKES, log_mean, mean_of, tally};
use crate::{Figure, Interval, Level, Method, Refusal};

/// So much of a scale of −1..1 is left at its lower end, where no bet is defined.
const EDGE: f64 = 1e-9;

/// The logarithms of the prices between which the right one lies: at the lower a part of a value counts, at
/// the higher nothing does.
const LOG_PRICES: (f64, f64) = (-30.0, 45.0);

/// Halvings of these, after which a price is known to a hundred-thousandth of itself. What is made of it is
/// exact to the square of that.
const HALVINGS: u32 = 23;

/// Newton steps to a stratum's δ. A handful is enough; the bound is for slopes that have no other.
const STEPS_MAX: u32 = 60;

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
        Split::of(self, 1.0).log_e(margin).exp()
    }

    /// Returns what [`Self::e_value`] does not exceed, for a fraction of the work: the money of the even split.
    pub fn e_value_at_most(&self, margin: f64) -> f64 {
        Split::of(self, 1.0).log_e_even(margin).exp()
    }

    /// Returns what the weighted mean is above, with a chance of `tail` to be wrong at any time.
    pub fn lower_bound(&self, tail: f64) -> f64 {
        Split::of(self, 1.0).largest_rejected(tail)
    }

    /// Returns what the weighted mean is below, with a chance of `tail` to be wrong at any time.
    pub fn upper_bound(&self, tail: f64) -> f64 {
        -Split::of(self, -1.0).largest_rejected(tail)
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
}

/// The strata that count, on the way to the split that speaks least for a loss.
struct Split {
    parts: Vec<Tallied>,
}

impl Split {
    /// Takes the values as they are, or, with a `sign` of −1, their mirror image.
    fn of(bet: &Stratified, sign: f64) -> Self {
        let counted = bet.parts.iter().filter(|part| part.weight > 0.0);
        let tallied = counted.map(|part| {
            let values = tally(part.values.iter().map(|value| sign * value));
            Tallied::new(part.weight, values)
        });
        Self {
            parts: tallied.collect(),
        }
    }

    /// ln of the least money over all splits Σ W_h·δ_h ≤ margin.
    fn log_e(&self, margin: f64) -> f64 {
        if let [only] = &*self.parts {
            return only.log_money(margin);
        }
        let found = self.at_price_where(|at| at.mean <= margin);
        found.log_money + found.price * (found.mean - margin)
    }

    /// ln of the money of one split, in which each stratum loses as much.
    fn log_e_even(&self, margin: f64) -> f64 {
        self.parts.iter().map(|part| part.log_money(margin)).sum()
    }

    /// The largest margin against which the least money of any split stands at 1/tail.
    fn largest_rejected(&self, tail: f64) -> f64 {
        let bar = -tail.ln();
        let found = self.at_price_where(|at| at.log_money >= bar);
        if found.log_money < bar {
            return -1.0;
        }
        let margin = found.mean + (found.log_money - bar) / found.price;
        margin.clamp(-1.0, 1.0)
    }

    /// The split at the lowest price for which something holds that higher prices bring about.
    fn at_price_where(&self, holds: impl Fn(&Priced) -> bool) -> Priced {
        let (mut low, mut high) = LOG_PRICES;
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(low, high);
            match holds(&self.at_price(middle.exp())) {
                true => high = middle,
                false => low = middle,
            }
        }
        self.at_price(high.exp())
    }

    fn at_price(&self, price: f64) -> Priced {
        let (mut mean, mut log_money) = (0.0, 0.0);
        for part in &self.parts {
            let delta = part.at_slope(-price * part.weight);
            mean += part.weight * delta;
            log_money += part.log_money(delta);
        }
        Priced {
            price,
            mean,
            log_money,
        }
    }
}

/// The split that a price of a loss brings about: the dearer a loss is, the less of it is put anywhere.
struct Priced {
    price: f64,
    /// Σ W_h·δ_h.
    mean: f64,
    log_money: f64,
}

/// A stratum's values by size.
struct Tallied {
    weight: f64,
    values: Vec<(f64, f64)>,
    /// The slopes of ln money at both ends of the scale.
    slopes: (f64, f64),
}

impl Tallied {
    fn new(weight: f64, values: Vec<(f64, f64)>) -> Self {
        let mut tallied = Self {
            weight,
            values,
            slopes: (0.0, 0.0),
        };
        let slope = |x: f64| tallied.curve(x).0;
        tallied.slopes = (slope(EDGE), slope(2.0));
        tallied
    }

    /// ln of a stake's money: Σ ln((1 − λ) + λ(1 + d)/(1 + δ)).
    fn log_of_stake(&self, stake: f64, delta: f64) -> f64 {
        let log = |&(value, times): &(f64, f64)| {
            times * (stake * (value - delta) / (1.0 + delta)).ln_1p()
        };
        self.values.iter().map(log).sum()
    }

    fn log_money(&self, delta: f64) -> f64 {
        let delta = delta.max(EDGE - 1.0);
        log_mean(&STAKES.map(|stake| self.log_of_stake(stake, delta)))
    }

    /// The slope of [`Self::log_money`] at δ = x − 1 and how fast it rises there.
    ///
    /// The slope is that of the stakes, weighted by their money; it rises as theirs do, and by how far they
    /// lie apart.
    fn curve(&self, x: f64) -> (f64, f64) {
        let stakes = STAKES.map(|stake| {
            let (mut slope, mut rise) = (0.0, 0.0);
            for &(value, times) in &self.values {
                let b = stake * (1.0 + value);
                let all = (1.0 - stake) * x + b;
                slope -= times * b / (x * all);
                rise += times * b * (all + (1.0 - stake) * x) / (x * x * all * all);
            }
            (self.log_of_stake(stake, x - 1.0), slope, rise)
        });
        let most = stakes.iter().map(|it| it.0).fold(f64::MIN, f64::max);
        let (mut all, mut first, mut second) = (0.0, 0.0, 0.0);
        for (log, slope, rise) in stakes {
            let share = (log - most).exp();
            all += share;
            first += share * slope;
            second += share * (rise + slope * slope);
        }
        let slope = first / all;
        (slope, second / all - slope * slope)
    }

    /// The δ at which the slope is this, or an end of the scale. Slopes rise to 0.
    fn at_slope(&self, wanted: f64) -> f64 {
        if self.slopes.1 <= wanted {
            return 1.0;
        }
        if self.slopes.0 >= wanted {
            return EDGE - 1.0;
        }
        let (mut low, mut high) = (EDGE, 2.0);
        let mut x = 1.0;
        for _ in 0..STEPS_MAX {
            let (slope, rise) = self.curve(x);
            match slope < wanted {
                true => low = x,
                false => high = x,
            }
            // a step of Newton's for the inverse of the slope: slopes are about −1/x, so that is near a line
            let next = x + slope * (1.0 - slope / wanted) / rise;
            if (next - x).abs() <= 1e-12 * x {
                break;
            }
            x = match low < next && next < high {
                true => next,
                false => f64::midpoint(low, high),
            };
        }
        x - 1.0
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
        let split = Split::of(&bet, 1.0);
        let parts = &split.parts;
        let margin = 0.1;
        let found = split.log_e(margin);
        // all splits on a grid
        let least_at = |margin: f64| {
            (-999..=999)
                .map(|at| f64::from(at) / 1_000.0)
                .filter_map(|first| {
                    let second = (margin - 0.75 * first) / 0.25;
                    (-0.999..=1.0)
                        .contains(&second)
                        .then(|| parts[0].log_money(first) + parts[1].log_money(second))
                })
                .fold(f64::INFINITY, f64::min)
        };
        let least = least_at(margin);
        assert!(
            found <= least + 1e-6 && least - found < 1e-3,
            "{found} {least}"
        );
        // and at the bound the least of all splits is what it is to be
        let low = bet.lower_bound(0.05);
        assert!((least_at(low) - 20.0_f64.ln()).abs() < 1e-2, "{low}");
        assert!((bet.e_value(low) - 20.0).abs() < 1e-3, "{low}");
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
        #[test]
        fn a_sequence_encloses_its_mean(values in prop::collection::vec((0_usize..3, -1.0..=1.0_f64), 1..40), populations in prop::collection::vec(0_u64..9, 3)) {
            let Ok(mut bet) = Stratified::new(&populations) else { return Ok(()) };
            for &(stratum, value) in &values {
                bet.push(stratum, value).unwrap();
            }
            prop_assert!((0.0..=bet.e_value_at_most(0.0) * (1.0 + 1e-6)).contains(&bet.e_value(0.0)));
            prop_assert!(bet.lower_bound(0.05) <= bet.upper_bound(0.05));
            if let Ok(figure) = bet.confidence_sequence(Level::P95) {
                prop_assert!(figure.interval.contains(figure.estimate), "{figure:?}");
            }
        }
    }
}
