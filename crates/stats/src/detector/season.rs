//! What is usual at this hour of the week.

use crate::Refusal;
use crate::compare::share_below;

/// Hours of a week, Monday 0 o'clock being the first.
pub const HOURS: usize = 168;

/// A baseline of fewer values is off by more than the detector allows for.
pub const POINTS_MIN: usize = 200;

/// Values of an unchanged past, by hour of the week; neighbouring hours together until they have enough.
#[derive(Debug, Clone, PartialEq)]
pub struct SeasonalBaseline {
    /// Sorted values of each bin.
    bins: Vec<Vec<f64>>,
    /// The bin of each hour.
    bin_of_hour: Vec<usize>,
}

impl SeasonalBaseline {
    /// Takes the past as pairs of hour of the week (below 168) and value.
    ///
    /// Hours are taken in order into a bin until it has 200 values; what is left at the end joins the last
    /// bin. Refuses fewer than 200 values in all, hours that no week has, and what is no finite number.
    pub fn new(points: impl IntoIterator<Item = (usize, f64)>) -> Result<Self, Refusal> {
        let mut hours = vec![Vec::new(); HOURS];
        let mut have = 0;
        for (hour, value) in points {
            if !value.is_finite() {
                return Err(Refusal::NotFinite);
            }
            let Some(values) = hours.get_mut(hour) else {
                return Err(Refusal::OutOfRange {
                    value: hour as f64,
                    low: 0.0,
                    high: HOURS as f64 - 1.0,
                });
            };
            values.push(value);
            have += 1;
        }
        if have < POINTS_MIN {
            return Err(Refusal::TooFew {
                have,
                needed: POINTS_MIN,
            });
        }
        let mut bins: Vec<Vec<f64>> = vec![Vec::new()];
        let mut bin_of_hour = Vec::with_capacity(HOURS);
        for values in hours {
            if bins.last().is_some_and(|bin| bin.len() >= POINTS_MIN) {
                bins.push(Vec::new());
            }
            let last = bins.len() - 1;
            bins[last].extend(values);
            bin_of_hour.push(last);
        }
        let last = bins.len() - 1;
        if last > 0 && bins[last].len() < POINTS_MIN {
            let rest = bins.remove(last);
            bins[last - 1].extend(rest);
            for bin in &mut bin_of_hour {
                *bin = (*bin).min(last - 1);
            }
        }
        for bin in &mut bins {
            bin.sort_by(f64::total_cmp);
        }
        Ok(Self { bins, bin_of_hour })
    }

    /// Returns the share of usual values at this hour that are smaller, ties counted half. Hours go
    /// round: the 168th is the first again.
    pub(super) fn rank(&self, hour: usize, value: f64) -> f64 {
        let bin = self.bin_of_hour[hour % HOURS];
        share_below(&self.bins[bin], value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_join_until_they_have_enough() {
        // 90 values an hour on Monday and Tuesday: three hours a bin
        let baseline = SeasonalBaseline::new(
            (0..48)
                .flat_map(|hour| (0..90).map(move |i| (hour, f64::from(i) + 100.0 * hour as f64))),
        )
        .unwrap();
        assert_eq!(baseline.bins.len(), 16);
        assert!(baseline.bins.iter().all(|bin| bin.len() == 270));
        assert_eq!(
            (
                baseline.bin_of_hour[2],
                baseline.bin_of_hour[3],
                baseline.bin_of_hour[167]
            ),
            (0, 1, 15)
        );
        // the smallest value of the second bin is usual there and large in the first
        assert!(baseline.rank(3, 300.0) < 0.01 && baseline.rank(0, 300.0) > 0.99);
    }

    #[test]
    fn too_short_a_past_is_refused() {
        let few = SeasonalBaseline::new((0..199).map(|i| (i % HOURS, 1.0)));
        assert_eq!(
            few,
            Err(Refusal::TooFew {
                have: 199,
                needed: 200
            })
        );
        assert!(SeasonalBaseline::new([(168, 1.0)]).is_err());
        assert!(SeasonalBaseline::new([(0, f64::NAN)]).is_err());
    }
}
