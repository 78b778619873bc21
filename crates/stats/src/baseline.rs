//! What is usual, and when did it change?
//!
//! For dashboards: robust distance from the usual, a smoothed chart that sees small shifts, and the dates
//! of changes once an alarm has been raised. None of them may raise one by itself when looked at all the
//! time; [`crate::detector`] may.

use crate::Refusal;
use crate::quantile::interpolated;

/// A robust z above this is worth a mark.
pub const ROBUST_Z_MAX: f64 = 3.5;

/// MAD · this estimates σ of normal values.
const MAD_TO_SIGMA: f64 = 1.482_602_218_505_602;

/// Returns how many robust standard deviations a value is from the usual: (x − median)/(1.4826·MAD).
///
/// Half of the history may be wrong without moving it far. Checked against scipy
/// `median_abs_deviation(scale="normal")`. Refused if more than half of the history is one value.
pub fn robust_z(history: &[f64], value: f64) -> Result<f64, Refusal> {
    let sorted = sorted(history)?;
    if !value.is_finite() {
        return Err(Refusal::NotFinite);
    }
    let median = interpolated(&sorted, 0.5);
    let mut deviations: Vec<f64> = sorted.iter().map(|value| (value - median).abs()).collect();
    deviations.sort_by(f64::total_cmp);
    let sigma = MAD_TO_SIGMA * interpolated(&deviations, 0.5);
    if sigma <= 0.0 {
        return Err(Refusal::NoSpread);
    }
    let z = (value - median) / sigma;
    if z.is_nan() {
        Err(Refusal::NotFinite)
    } else {
        Ok(z)
    }
}

fn sorted(values: &[f64]) -> Result<Vec<f64>, Refusal> {
    if values.is_empty() {
        return Err(Refusal::Empty);
    }
    if values.iter().any(|value| !value.is_finite()) {
        return Err(Refusal::NotFinite);
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    Ok(sorted)
}

/// A chart of exponentially weighted means (Roberts 1959), with λ = 0.2 and limits at 2.7 σ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ewma {
    mean: f64,
    sigma: f64,
    level: f64,
    /// (1 − λ)^{2t}: how much of the start is still in it.
    start_left: f64,
}

/// Where the chart is after a value.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct EwmaPoint {
    /// The weighted mean.
    pub level: f64,
    /// The lower limit: mean − L·σ·√(λ/(2 − λ)·(1 − (1 − λ)^{2t})).
    pub low: f64,
    /// The upper limit.
    pub high: f64,
}

impl EwmaPoint {
    /// Returns whether the weighted mean has left the limits.
    pub fn is_out(&self) -> bool {
        self.level < self.low || self.level > self.high
    }
}

impl Ewma {
    /// The weight of the newest value.
    const WEIGHT: f64 = 0.2;
    /// How many standard deviations the limits are away.
    const LIMIT: f64 = 2.7;

    /// Starts a chart around a mean with a standard deviation above 0.
    pub fn new(mean: f64, sigma: f64) -> Result<Self, Refusal> {
        if !mean.is_finite() || !sigma.is_finite() {
            return Err(Refusal::NotFinite);
        }
        if sigma <= 0.0 {
            return Err(Refusal::NoSpread);
        }
        Ok(Self {
            mean,
            sigma,
            level: mean,
            start_left: 1.0,
        })
    }

    /// Takes the next value; one that is no finite number is refused and changes nothing.
    pub fn push(&mut self, value: f64) -> Result<EwmaPoint, Refusal> {
        if !value.is_finite() {
            return Err(Refusal::NotFinite);
        }
        self.level = Self::WEIGHT * value + (1.0 - Self::WEIGHT) * self.level;
        self.start_left *= (1.0 - Self::WEIGHT).powi(2);
        let share = Self::WEIGHT / (2.0 - Self::WEIGHT) * (1.0 - self.start_left);
        let half = Self::LIMIT * self.sigma * share.sqrt();
        Ok(EwmaPoint {
            level: self.level,
            low: self.mean - half,
            high: self.mean + half,
        })
    }
}

/// Returns where the mean of a series changes: the places at which new stretches begin.
///
/// PELT (Killick, Fearnhead and Eckley 2012) over Σ(x − mean)² of stretches plus 2·σ²·ln n for each
/// change, σ from the median of absolute steps, so that changes do not count into it. Exact, and linear in
/// n where changes keep coming. Assumes values near normal with one spread: give it logarithms of
/// durations. Checked against the Python package ruptures (`Pelt(model="l2", min_size=1, jump=1)`).
/// Fewer than two values have no change; a series in which most steps are nothing is refused.
pub fn changes(series: &[f64]) -> Result<Vec<usize>, Refusal> {
    sorted(series)?;
    if series.len() < 2 {
        return Ok(Vec::new());
    }
    let mut steps: Vec<f64> = series
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).abs())
        .collect();
    steps.sort_by(f64::total_cmp);
    let sigma = MAD_TO_SIGMA * interpolated(&steps, 0.5) / std::f64::consts::SQRT_2;
    if sigma <= 0.0 {
        return Err(Refusal::NoSpread);
    }
    let penalty = 2.0 * (series.len() as f64).ln();
    Ok(pelt(&Sums::of(series, sigma), series.len(), penalty))
}

/// Running sums of a series, so that the cost of any stretch takes one step.
struct Sums {
    value: Vec<f64>,
    square: Vec<f64>,
}

impl Sums {
    /// Of values less their middle and over σ: the differences of large sums would lose digits.
    fn of(series: &[f64], sigma: f64) -> Self {
        let middle = series
            .iter()
            .map(|value| value / series.len() as f64)
            .sum::<f64>();
        let mut sums = Self {
            value: vec![0.0],
            square: vec![0.0],
        };
        let (mut value, mut square) = (0.0, 0.0);
        for x in series {
            let z = (x - middle) / sigma;
            value += z;
            square += z * z;
            sums.value.push(value);
            sums.square.push(square);
        }
        sums
    }

    fn cost(&self, from: usize, to: usize) -> f64 {
        let value = self.value[to] - self.value[from];
        self.square[to] - self.square[from] - value * value / (to - from) as f64
    }
}

fn pelt(sums: &Sums, n: usize, penalty: f64) -> Vec<usize> {
    // best[t]: the least cost of the first t values, and where its last stretch begins
    let mut best = vec![(-penalty, 0_usize)];
    let mut candidates = vec![0_usize];
    for to in 1..=n {
        let total = |from: usize| best[from].0 + sums.cost(from, to);
        let (cost, from) = candidates
            .iter()
            .map(|&from| (total(from), from))
            .min_by(|one, other| one.0.total_cmp(&other.0))
            .unwrap_or((0.0, 0));
        // what is beaten even without the price of a change will never be best again
        let mut open = candidates.clone();
        open.retain(|&from| total(from) <= cost + penalty);
        open.push(to);
        candidates = open;
        best.push((cost + penalty, from));
    }
    let mut places = Vec::new();
    let mut at = n;
    while let Some(&(_, from)) = best.get(at)
        && from > 0
    {
        places.push(from);
        at = from;
    }
    places.reverse();
    places
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rng::Chance;

    #[test]
    fn one_wild_value_does_not_move_the_usual() {
        let mut history: Vec<f64> = (0..21).map(f64::from).collect();
        // median 10, MAD 5
        let z = robust_z(&history, 40.0).unwrap();
        assert!((z - 30.0 / (1.482_602_218_505_602 * 5.0)).abs() < 1e-12);
        history[20] = 1e9;
        assert!((robust_z(&history, 40.0).unwrap() - z).abs() < 1e-12);
        assert_eq!(robust_z(&[1.0, 1.0, 1.0, 5.0], 2.0), Err(Refusal::NoSpread));
        assert_eq!(robust_z(&[], 2.0), Err(Refusal::Empty));
    }

    #[test]
    fn a_small_lasting_shift_leaves_the_limits() {
        let mut chart = Ewma::new(10.0, 1.0).unwrap();
        assert!(!chart.push(10.5).unwrap().is_out());
        let out = (0..30)
            .filter(|_| chart.push(11.2).unwrap().is_out())
            .count();
        assert!(out > 20, "{out}");
        assert!(chart.push(f64::NAN).is_err() && Ewma::new(0.0, 0.0).is_err());
    }

    #[test]
    fn changes_are_dated() {
        let mut chance = Chance::new(3);
        let series: Vec<f64> = (0..300)
            .map(|i| chance.normal() + if (100..220).contains(&i) { 3.0 } else { 0.0 })
            .collect();
        let found = changes(&series).unwrap();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].abs_diff(100) <= 2 && found[1].abs_diff(220) <= 2,
            "{found:?}"
        );
        assert_eq!(changes(&[1.0; 50]), Err(Refusal::NoSpread));
        assert_eq!(changes(&[1.0]), Ok(vec![]));
    }

    proptest! {
        #[test]
        fn pruning_changes_nothing(series in prop::collection::vec(-9.0..9.0_f64, 2..40)) {
            let Ok(found) = changes(&series) else { return Ok(()) };
            let mut steps: Vec<f64> = series.windows(2).map(|pair| (pair[1] - pair[0]).abs()).collect();
            steps.sort_by(f64::total_cmp);
            let sigma = MAD_TO_SIGMA * interpolated(&steps, 0.5) / std::f64::consts::SQRT_2;
            let sums = Sums::of(&series, sigma);
            let penalty = 2.0 * (series.len() as f64).ln();
            let price = |places: &[usize]| {
                let ends: Vec<usize> = std::iter::once(0).chain(places.iter().copied()).chain([series.len()]).collect();
                ends.windows(2).map(|pair| sums.cost(pair[0], pair[1])).sum::<f64>() + penalty * places.len() as f64
            };
            // the same recursion over all beginnings
            let mut least = vec![-penalty];
            for to in 1..=series.len() {
                let cost = (0..to).map(|from| least[from] + sums.cost(from, to) + penalty).fold(f64::INFINITY, f64::min);
                least.push(cost);
            }
            prop_assert!((price(&found) - least[series.len()]).abs() < 1e-6 * (1.0 + price(&found).abs()));
        }
    }
}
