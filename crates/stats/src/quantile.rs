//! How slow is the median, how slow the slowest twentieth?
//!
//! Durations and costs are skewed: their mean belongs to a few. A quantile's interval needs no shape of
//! the distribution: two of the observed values enclose it as often as a binomial count says.

use crate::distribution::{binomial_cdf, student_quantile};
use crate::interval::wilson;
use crate::{Figure, Interval, Level, Method, Refusal, Rows};

/// Returns the quantile `q` (0.5 the median, 0.95 the 95th percentile).
///
/// The estimate interpolates between neighbours (numpy's default, "type 7"). Independent values: the
/// l-th and u-th smallest, where P(Bin(n, q) < l) ≤ α/2 and P(Bin(n, q) ≥ u) ≤ α/2 (checked against
/// scipy `quantile_test(...).confidence_interval`). Groups: the share of values up to the estimate gets
/// an interval with its design effect, and the values at its ends are the bounds (Woodruff 1952). An end
/// that no observation reaches is infinite. Of a handful of values a bound may lie on the wrong side of the
/// estimate, since that is between two of them; then the estimate is the bound.
pub fn quantile(rows: &Rows, q: f64, level: Level) -> Result<Figure, Refusal> {
    if !(q > 0.0 && q < 1.0) {
        return Err(Refusal::OutOfRange {
            value: q,
            low: 0.0,
            high: 1.0,
        });
    }
    let sorted = rows.sorted_values();
    let estimate = interpolated(&sorted, q);
    let n = sorted.len();
    let enclosing = |ranks| {
        let (low, high) = values_at(&sorted, ranks);
        (low.min(estimate), high.max(estimate))
    };
    if !rows.is_grouped() {
        let ends = enclosing(exact_positions(n, q, level));
        let interval = Interval::new(ends, level, Method::OrderStatistics);
        return Ok(Figure::independent(estimate, interval, n));
    }
    let below = rows.with_values(
        rows.values()
            .map(|value| f64::from(u8::from(value <= estimate))),
    )?;
    let share = below.mean();
    let variance = below.variance_of_mean().ok_or(Refusal::OneGroup)?;
    let alone = share * (1.0 - share) / n as f64;
    let design_effect = if alone > 0.0 { variance / alone } else { 1.0 };
    let critical = student_quantile(level.upper(), rows.groups() as f64 - 1.0);
    let (low, high) = wilson(q, n as f64 / design_effect.max(1.0), critical);
    // rank 0 and n + 1 are the ends that nothing reaches
    let ends = (
        (low * n as f64).floor() as usize,
        (high * n as f64).floor() as usize + 1,
    );
    Ok(Figure {
        estimate,
        interval: Interval::new(enclosing(ends), level, Method::Woodruff),
        n,
        groups: rows.groups(),
        design_effect,
    })
}

/// Returns the value at a share of the way through sorted values, between neighbours if need be.
pub(crate) fn interpolated(sorted: &[f64], q: f64) -> f64 {
    let place = q * (sorted.len() - 1) as f64;
    let below = sorted[place.floor() as usize];
    let above = sorted[place.ceil() as usize];
    if below >= above {
        return below;
    }
    let part = place - place.floor();
    // not below + part · (above − below): the difference of two finite numbers may not be finite
    below * (1.0 - part) + above * part
}

/// The ranks, counted from 1, that enclose the quantile; 0 and n + 1 where there is none.
fn exact_positions(n: usize, q: f64, level: Level) -> (usize, usize) {
    let tail = level.alpha() / 2.0;
    let cdf = |k: usize| binomial_cdf(k as i64, n as u64, q);
    // the largest l with P(Bin ≤ l − 1) ≤ tail
    let low = partition(n, |rank| cdf(rank - 1) <= tail);
    // the smallest u with P(Bin ≤ u − 1) ≥ 1 − tail
    let high = partition(n, |rank| cdf(rank - 1) < 1.0 - tail) + 1;
    (low, high)
}

/// The largest rank from 1 to n that still fulfils a condition which, once false, stays false; else 0.
fn partition(n: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, n + 1);
    while low + 1 < high {
        let middle = low.midpoint(high);
        if holds(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

fn values_at(sorted: &[f64], (low, high): (usize, usize)) -> (f64, f64) {
    let at = |rank: usize| {
        rank.checked_sub(1)
            .and_then(|index| sorted.get(index))
            .copied()
    };
    (
        at(low).unwrap_or(f64::NEG_INFINITY),
        at(high).unwrap_or(f64::INFINITY),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Row;

    #[test]
    fn twenty_values_do_not_bound_the_95th_percentile() {
        let rows = Rows::independent((1..=20).map(f64::from)).unwrap();
        let p95 = quantile(&rows, 0.95, Level::P95).unwrap();
        assert_eq!(p95.interval.high, f64::INFINITY);
        let median = quantile(&rows, 0.5, Level::P95).unwrap();
        // the textbook's ranks for n = 20: 6 and 15
        assert_eq!(
            (median.estimate, median.interval.low, median.interval.high),
            (10.5, 6.0, 15.0)
        );
    }

    #[test]
    fn a_quantile_between_two_values_is_in_its_interval() {
        let rows = Rows::independent([0.0, 1.0]).unwrap();
        let first = quantile(&rows, 0.01, Level::P95).unwrap();
        assert_eq!((first.estimate, first.interval.high), (0.01, 0.01));
    }

    #[test]
    fn groups_that_move_together_widen_the_interval() {
        let values = |group: fn(u32) -> Option<u64>| {
            let rows = Rows::new((0..200).map(|i| Row {
                value: f64::from(i / 10),
                group: group(i),
            }));
            quantile(&rows.unwrap(), 0.5, Level::P95).unwrap()
        };
        let (alone, together) = (values(|_| None), values(|i| Some(u64::from(i / 10))));
        assert!(together.design_effect > 9.0);
        assert!(together.interval.width() > 2.0 * alone.interval.width());
    }

    proptest! {
        #[test]
        fn a_quantile_is_enclosed(values in prop::collection::vec((-1e300..1e300_f64, 0_u64..6), 1..60), q in 0.01..0.99_f64) {
            let rows = Rows::new(values.iter().map(|&(value, group)| Row { value, group: (group > 0).then_some(group) })).unwrap();
            if let Ok(figure) = quantile(&rows, q, Level::P95) {
                prop_assert!(figure.interval.contains(figure.estimate), "{figure:?}");
            }
        }
    }
}
