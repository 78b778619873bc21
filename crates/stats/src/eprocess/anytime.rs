//! A mean whose interval holds whenever one looks, for runs that are stopped by what they show.

use super::Betting;
use crate::rows::mean_of;
use crate::{Figure, Interval, Level, Method, Refusal, Rows};

/// Returns the mean over groups of the means of groups, with an interval that holds at any time.
///
/// Groups come one after the other, and what a group says is one value: its mean, as a share of the scale
/// from `low` to `high`. So large groups count like small ones; where all are alone this is the mean. The
/// interval is a betting confidence sequence ([`Betting`]); that it hangs on no order, only on which values
/// came, is what lets it be reckoned afterwards.
pub fn mean_at_any_time(
    rows: &Rows,
    (low, high): (f64, f64),
    level: Level,
) -> Result<Figure, Refusal> {
    if !(low.is_finite() && high.is_finite() && low < high) {
        return Err(Refusal::OutOfRange {
            value: high,
            low,
            high: f64::INFINITY,
        });
    }
    let mut bet = Betting::new(0.0)?;
    for group in rows.by_group() {
        let mean = mean_of(group.iter().map(|row| row.value));
        if !(low..=high).contains(&mean) {
            return Err(Refusal::OutOfRange {
                value: mean,
                low,
                high,
            });
        }
        // From −1 to 1, as the bet has it: a smaller range would be bet on too carefully.
        bet.push((2.0 * (mean - low) / (high - low) - 1.0).clamp(-1.0, 1.0))?;
    }
    let bets = bet.confidence_sequence(level)?;
    let scaled = |value: f64| low + value.midpoint(1.0) * (high - low);
    let ends = (scaled(bets.interval.low), scaled(bets.interval.high));
    Ok(Figure {
        estimate: scaled(bets.estimate),
        interval: Interval::new(ends, level, Method::ConfidenceSequence),
        n: rows.n(),
        groups: rows.groups(),
        ..bets
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Row;
    use crate::rng::Chance;

    fn rows(values: &[(f64, u64)]) -> Rows {
        let row = |(value, group): &(f64, u64)| Row {
            value: *value,
            group: Some(*group),
        };
        Rows::new(values.iter().map(row)).unwrap()
    }

    #[test]
    fn a_group_is_one_value() {
        let grouped = rows(&[(1.0, 0), (1.0, 0), (0.0, 0), (0.0, 0), (1.0, 1)]);
        let figure = mean_at_any_time(&grouped, (0.0, 1.0), Level::P95).unwrap();
        assert!((figure.estimate - 0.75).abs() < 1e-12, "{figure:?}");
        assert_eq!((figure.n, figure.groups), (5, 2));
        let means = rows(&[(0.5, 0), (1.0, 1)]);
        let alone = mean_at_any_time(&means, (0.0, 1.0), Level::P95).unwrap();
        assert_eq!(figure.interval, alone.interval);
    }

    #[test]
    fn another_scale_is_the_same_stretched() {
        let values: Vec<(f64, u64)> = (0..60)
            .map(|n| (f64::from(u8::from(n % 3 == 0)), n))
            .collect();
        let shares = mean_at_any_time(&rows(&values), (0.0, 1.0), Level::P95).unwrap();
        let scores: Vec<(f64, u64)> = values.iter().map(|(v, g)| (1.0 + 4.0 * v, *g)).collect();
        let scores = mean_at_any_time(&rows(&scores), (1.0, 5.0), Level::P95).unwrap();
        assert!((scores.estimate - (1.0 + 4.0 * shares.estimate)).abs() < 1e-9);
        assert!((scores.interval.high - (1.0 + 4.0 * shares.interval.high)).abs() < 1e-6);
        assert!(mean_at_any_time(&rows(&[(7.0, 0)]), (1.0, 5.0), Level::P95).is_err());
        assert!(mean_at_any_time(&rows(&[(1.0, 0)]), (1.0, 1.0), Level::P95).is_err());
    }

    /// Streams that stop as soon as their interval is narrow enough or leaves out a value: the truth is in
    /// 95 % of the intervals at the stop, or more. A Wilson interval looked at in the same way is not.
    #[test]
    fn the_interval_holds_where_the_stream_is_stopped() {
        let mut chance = Chance::new(7);
        let (mut held, mut narrow_held, mut streams) = (0, 0, 0);
        for p in [0.9, 0.5] {
            for _ in 0..100 {
                streams += 1;
                let (mut values, mut passes) = (Vec::new(), 0_u64);
                let (mut at_stop, mut wilson_at_stop) = (None, None);
                for n in 0..400_u64 {
                    let passed = chance.coin(p);
                    passes += u64::from(passed);
                    values.push((f64::from(u8::from(passed)), n));
                    if n % 10 != 9 {
                        continue;
                    }
                    // Both stop where they would say that the rate is not p.
                    let figure = mean_at_any_time(&rows(&values), (0.0, 1.0), Level::P95).unwrap();
                    if at_stop.is_none() && !figure.interval.contains(p) {
                        at_stop = Some(false);
                    }
                    let wilson = crate::interval::rate(
                        passes,
                        n + 1,
                        Level::P95,
                        crate::interval::Purpose::Report,
                    );
                    if wilson_at_stop.is_none() && !wilson.unwrap().interval.contains(p) {
                        wilson_at_stop = Some(false);
                    }
                }
                held += usize::from(at_stop.unwrap_or(true));
                narrow_held += usize::from(wilson_at_stop.unwrap_or(true));
            }
        }
        let share = |held: usize| held as f64 / f64::from(streams);
        assert!(share(held) >= 0.95, "{}", share(held));
        assert!(share(narrow_held) < 0.9, "{}", share(narrow_held));
    }
}
