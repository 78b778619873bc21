//! The mean of skewed values, when a mean it must be.
//!
//! A bill is a sum, so somebody will ask for the mean cost. Its t interval lies about skewed values;
//! the bootstrap-t learns the shape of (mean* − mean)/SE* from resampled groups and bends the interval
//! accordingly.

use crate::quantile::interpolated;
use crate::rng::Chance;
use crate::rows::correction;
use crate::{Figure, Interval, Level, Method, Refusal, Rows, cluster};

/// Resamples of a bootstrap-t.
pub const RESAMPLES: usize = 2_000;

/// More resamples than this share without any spread: what is left would not tell the shape.
const DEGENERATE_SHARE_MAX: f64 = 0.1;

/// Returns the mean with a bootstrap-t interval over groups; the seed fixes the resamples.
///
/// x̄ − t*_{1−α/2}·SE to x̄ − t*_{α/2}·SE, with SE of [`crate::cluster`] (Efron and Tibshirani 1993,
/// ch. 12.5). Assumes independent groups, and enough of them that resamples show the shape: by
/// simulation its coverage is checked on log-normal values.
pub fn mean(rows: &Rows, level: Level, seed: u64) -> Result<Figure, Refusal> {
    let variance = rows.variance_of_mean().ok_or(Refusal::OneGroup)?;
    if variance <= 0.0 {
        return Err(Refusal::NoSpread);
    }
    let (estimate, error) = (rows.mean(), cluster::finite(variance)?.sqrt());
    let mut groups: Vec<Group> = rows
        .by_group()
        .map(|group| Group {
            n: group.len() as f64,
            deviation: group.iter().map(|row| row.value - estimate).sum(),
        })
        .collect();
    // names of groups say nothing, so they shall not choose the resamples either
    groups.sort_by(|one, other| {
        let by_size = one.n.total_cmp(&other.n);
        by_size.then(one.deviation.total_cmp(&other.deviation))
    });
    let mut chance = Chance::new(seed);
    let mut shape: Vec<f64> = (0..RESAMPLES)
        .filter_map(|_| resampled(&groups, &mut chance))
        .collect();
    if ((RESAMPLES - shape.len()) as f64) > DEGENERATE_SHARE_MAX * RESAMPLES as f64 {
        return Err(Refusal::NoSpread);
    }
    shape.sort_by(f64::total_cmp);
    let at = |q| interpolated(&shape, q) * error;
    let ends = (
        estimate - at(level.upper()).max(0.0),
        estimate - at(1.0 - level.upper()).min(0.0),
    );
    Ok(Figure {
        estimate,
        interval: Interval::new(ends, level, Method::BootstrapT),
        n: rows.n(),
        groups: rows.groups(),
        design_effect: cluster::design_effect(rows, variance),
    })
}

/// What a resample needs of a group.
struct Group {
    n: f64,
    /// Its sum less its n times the mean of all.
    deviation: f64,
}

/// (mean* − mean)/SE* of one resample; nothing if the groups drawn have no spread.
fn resampled(groups: &[Group], chance: &mut Chance) -> Option<f64> {
    let drawn: Vec<&Group> = groups
        .iter()
        .map(|_| &groups[chance.below(groups.len())])
        .collect();
    let n: f64 = drawn.iter().map(|group| group.n).sum();
    let shift = drawn.iter().map(|group| group.deviation).sum::<f64>() / n;
    let squares: f64 = drawn
        .iter()
        .map(|group| ((group.deviation - group.n * shift) / n).powi(2))
        .sum();
    let error = (correction(groups.len()) * squares).sqrt();
    let value = shift / error;
    (error > 0.0 && value.is_finite()).then_some(value)
}

/// Returns the percentiles of a statistic over resamples of groups, given as their places.
///
/// Resamples in which the statistic is not defined are left out; refused if they are too many.
pub(crate) fn percentiles(
    groups: usize,
    level: Level,
    seed: u64,
    statistic: impl Fn(&[usize]) -> Option<f64>,
) -> Result<(f64, f64), Refusal> {
    if groups < 2 {
        return Err(Refusal::OneGroup);
    }
    let mut chance = Chance::new(seed);
    let mut drawn = vec![0; groups];
    let mut values: Vec<f64> = (0..RESAMPLES)
        .filter_map(|_| {
            drawn.fill_with(|| chance.below(groups));
            statistic(&drawn)
        })
        .collect();
    if values.len() < RESAMPLES / 2 {
        return Err(Refusal::NoSpread);
    }
    values.sort_by(f64::total_cmp);
    Ok((
        interpolated(&values, 1.0 - level.upper()),
        interpolated(&values, level.upper()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_interval_again_and_bends_it_to_the_long_side() {
        let mut chance = Chance::new(1);
        let rows = Rows::independent((0..60).map(|_| (1.5 * chance.normal()).exp())).unwrap();
        let one = mean(&rows, Level::P95, 7).unwrap();
        assert_eq!(one, mean(&rows, Level::P95, 7).unwrap());
        assert_ne!(one, mean(&rows, Level::P95, 8).unwrap());
        let (below, above) = (
            one.estimate - one.interval.low,
            one.interval.high - one.estimate,
        );
        assert!(above > 1.5 * below, "{below} {above}");
    }

    #[test]
    fn equal_values_and_one_group_are_refused() {
        let equal = Rows::independent([2.0; 9]).unwrap();
        assert_eq!(mean(&equal, Level::P95, 1), Err(Refusal::NoSpread));
        let one = Rows::independent([2.0]).unwrap();
        assert_eq!(mean(&one, Level::P95, 1), Err(Refusal::OneGroup));
    }
}
