//! Krippendorff's alpha: agreement of any number of raters, some of whom may have said nothing.

use crate::bootstrap::percentiles;
use crate::{Figure, Interval, Level, Method, Refusal};

/// An item and what its raters said; who said nothing is not in the list.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Unit {
    /// The ratings: numbers, or any number a label stands for on [`Scale::Nominal`].
    pub ratings: Vec<f64>,
}

/// What it means that two ratings differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scale {
    /// They are different labels.
    Nominal,
    /// So many ratings lie between them.
    Ordinal,
    /// By the square of their distance.
    Interval,
}

/// Returns α = 1 − D_o/D_e with a bootstrap interval over units.
///
/// D_o is the mean difference of two ratings of one unit, D_e that of any two ratings (Krippendorff 2004,
/// ch. 11). Units with fewer than two ratings say nothing and are left out; n is the number of the others.
/// Percentiles of 2,000 resamples. Checked against the Python package krippendorff. Refused if all
/// ratings are equal.
pub fn krippendorff(
    units: &[Unit],
    scale: Scale,
    level: Level,
    seed: u64,
) -> Result<Figure, Refusal> {
    let units: Vec<&Unit> = units
        .iter()
        .filter(|unit| unit.ratings.len() >= 2)
        .collect();
    if units.is_empty() {
        return Err(Refusal::Empty);
    }
    let mut values: Vec<f64> = units
        .iter()
        .flat_map(|unit| unit.ratings.iter().copied())
        .collect();
    if values.iter().any(|value| !value.is_finite()) {
        return Err(Refusal::NotFinite);
    }
    values.sort_by(f64::total_cmp);
    #[expect(clippy::float_cmp, reason = "ratings are the same or they are not")]
    values.dedup_by(|one, other| one == other);
    let counted: Vec<Vec<(usize, f64)>> = units.iter().map(|unit| counts(unit, &values)).collect();
    let chosen = |which: &[usize]| alpha(which.iter().map(|&unit| &counted[unit]), &values, scale);
    let all: Vec<usize> = (0..counted.len()).collect();
    let estimate = chosen(&all).ok_or(Refusal::NoSpread)?;
    let (low, high) = percentiles(counted.len(), level, seed, chosen)?;
    let ends = (low.min(estimate), high.max(estimate));
    Ok(Figure::independent(
        estimate,
        Interval::new(ends, level, Method::BootstrapPercentile),
        counted.len(),
    ))
}

/// How often a unit got each value, by the value's place.
fn counts(unit: &Unit, values: &[f64]) -> Vec<(usize, f64)> {
    let mut places: Vec<usize> = unit
        .ratings
        .iter()
        .map(|rating| values.partition_point(|value| value < rating))
        .collect();
    places.sort_unstable();
    places
        .chunk_by(|one, next| one == next)
        .map(|same| (same[0], same.len() as f64))
        .collect()
}

fn alpha<'a>(
    units: impl Iterator<Item = &'a Vec<(usize, f64)>> + Clone,
    values: &[f64],
    scale: Scale,
) -> Option<f64> {
    let mut margin = vec![0.0; values.len()];
    for unit in units.clone() {
        for &(place, count) in unit {
            margin[place] += count;
        }
    }
    let total: f64 = margin.iter().sum();
    // the ratings before each value and half of its own: their differences are the ordinal distances
    let mut before = 0.0;
    let middles: Vec<f64> = margin
        .iter()
        .map(|count| {
            before += count;
            before - count / 2.0
        })
        .collect();
    let distance = |one: usize, other: usize| match scale {
        Scale::Nominal => 1.0,
        Scale::Ordinal => (middles[one] - middles[other]).powi(2),
        Scale::Interval => (values[one] - values[other]).powi(2),
    };
    let mut observed = 0.0;
    for unit in units {
        let ratings: f64 = unit.iter().map(|(_, count)| count).sum();
        for (place, &(one, count)) in unit.iter().enumerate() {
            for &(other, other_count) in &unit[place + 1..] {
                observed += count * other_count * distance(one, other) / (ratings - 1.0);
            }
        }
    }
    let mut expected = 0.0;
    for (one, count) in margin.iter().enumerate() {
        for (other, other_count) in margin.iter().enumerate().skip(one + 1) {
            expected += count * other_count * distance(one, other) / (total - 1.0);
        }
    }
    let alpha = 1.0 - observed / expected;
    (expected > 0.0 && alpha.is_finite()).then_some(alpha)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn units(ratings: &[&[f64]]) -> Vec<Unit> {
        ratings
            .iter()
            .map(|ratings| Unit {
                ratings: ratings.to_vec(),
            })
            .collect()
    }

    #[test]
    fn who_always_agrees_has_one_and_who_says_one_thing_only_is_refused() {
        let agree = units(&[&[1.0, 1.0], &[2.0, 2.0], &[3.0, 3.0, 3.0], &[9.0]]);
        let figure = krippendorff(&agree, Scale::Nominal, Level::P95, 1).unwrap();
        assert_eq!((figure.estimate, figure.n), (1.0, 3));
        let same = units(&[&[1.0, 1.0], &[1.0, 1.0]]);
        assert_eq!(
            krippendorff(&same, Scale::Nominal, Level::P95, 1),
            Err(Refusal::NoSpread)
        );
        assert_eq!(
            krippendorff(&units(&[&[1.0]]), Scale::Nominal, Level::P95, 1),
            Err(Refusal::Empty)
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn any_ratings_give_an_alpha_or_a_refusal(ratings in prop::collection::vec(prop::collection::vec(prop::num::f64::ANY, 0..4), 0..8)) {
            let units: Vec<Unit> = ratings.into_iter().map(|ratings| Unit { ratings }).collect();
            for scale in [Scale::Nominal, Scale::Ordinal, Scale::Interval] {
                if let Ok(figure) = krippendorff(&units, scale, Level::P95, 1) {
                    prop_assert!(figure.interval.contains(figure.estimate), "{figure:?}");
                    prop_assert!(figure.estimate <= 1.0);
                }
            }
        }
    }
}
