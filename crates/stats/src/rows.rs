//! The values that questions are asked of, checked once: some, all finite, sorted by group.
//!
//! Runs of one task, or of one user, are alike. Ten of them say less than ten of different tasks,
//! and an interval that does not know is too narrow. So every value may name its group, and one
//! formula, the spread of group sums, serves grouped and independent values: an independent value
//! is a group of one.

use crate::Refusal;

/// A value and the group it belongs to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    /// The value; 1 and 0 for yes and no.
    pub value: f64,
    /// Values of one key are not independent; one without a key is.
    pub group: Option<u64>,
}

/// At least one finite value.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// Sorted by group, so that a group is a run.
    rows: Vec<Row>,
    groups: usize,
}

impl Rows {
    /// Takes values that may share groups; refuses none at all, NaN and infinity.
    pub fn new(rows: impl IntoIterator<Item = Row>) -> Result<Self, Refusal> {
        let mut rows: Vec<Row> = rows.into_iter().collect();
        if rows.is_empty() {
            return Err(Refusal::Empty);
        }
        if rows.iter().any(|row| !row.value.is_finite()) {
            return Err(Refusal::NotFinite);
        }
        rows.sort_by_key(|row| row.group);
        let groups = runs(&rows).count();
        Ok(Self { rows, groups })
    }

    /// Takes values that have nothing to do with one another.
    pub fn independent(values: impl IntoIterator<Item = f64>) -> Result<Self, Refusal> {
        Self::new(values.into_iter().map(|value| Row { value, group: None }))
    }

    /// Returns how many values there are.
    pub fn n(&self) -> usize {
        self.rows.len()
    }

    /// Returns how many groups there are, counting a value without one as its own.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// Returns whether any group has two values.
    pub fn is_grouped(&self) -> bool {
        self.groups < self.rows.len()
    }

    /// Returns whether all values are 0 or 1.
    pub fn is_binary(&self) -> bool {
        self.not_binary().is_none()
    }

    /// Returns the mean; the bare number is for arithmetic only and stays inside this crate.
    pub(crate) fn mean(&self) -> f64 {
        mean_of(self.values())
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = f64> + Clone + '_ {
        self.rows.iter().map(|row| row.value)
    }

    pub(crate) fn sorted_values(&self) -> Vec<f64> {
        let mut values: Vec<f64> = self.values().collect();
        values.sort_by(f64::total_cmp);
        values
    }

    /// The rows, group after group.
    pub(crate) fn by_group(&self) -> impl Iterator<Item = &[Row]> {
        runs(&self.rows)
    }

    /// The first value that is neither 0 nor 1.
    pub(crate) fn not_binary(&self) -> Option<f64> {
        #[expect(clippy::float_cmp, reason = "exactly 0 and 1 are meant")]
        self.values().find(|value| *value != 0.0 && *value != 1.0)
    }

    /// The same groups with other values, in the order of [`Rows::values`].
    pub(crate) fn with_values(
        &self,
        values: impl IntoIterator<Item = f64>,
    ) -> Result<Self, Refusal> {
        let groups = self.rows.iter().map(|row| row.group);
        Self::new(
            groups
                .zip(values)
                .map(|(group, value)| Row { value, group }),
        )
    }

    /// The same values as shares of the way from one end to the other.
    pub(crate) fn on_unit(&self, (low, high): (f64, f64)) -> Result<Self, Refusal> {
        if let Some(value) = self.values().find(|it| !(low..=high).contains(it)) {
            return Err(Refusal::OutOfRange { value, low, high });
        }
        self.with_values(self.values().map(|value| (value - low) / (high - low)))
    }

    /// V = C/(C−1) · Σ_c(Σ_{i∈c}(x_i − x̄))² / n², for one group nothing.
    ///
    /// With groups of one this is s²/n.
    pub(crate) fn variance_of_mean(&self) -> Option<f64> {
        if self.groups < 2 {
            return None;
        }
        let mean = self.mean();
        let n = self.rows.len() as f64;
        let squares: f64 = self
            .by_group()
            .map(|group| {
                let sum: f64 = group.iter().map(|row| (row.value - mean) / n).sum();
                sum * sum
            })
            .sum();
        Some(correction(self.groups) * squares)
    }

    /// s², the variance of the values as if each stood alone; nothing for one value.
    pub(crate) fn variance(&self) -> Option<f64> {
        let n = self.rows.len() as f64;
        if self.rows.len() < 2 {
            return None;
        }
        let mean = self.mean();
        Some(
            self.values()
                .map(|value| (value - mean).powi(2) / (n - 1.0))
                .sum(),
        )
    }
}

/// The mean of at least one value, which lies between the least and the largest.
///
/// Rounding alone may take it out of there, and then equal values would seem to vary.
pub(crate) fn mean_of(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let n = values.clone().count() as f64;
    let sum: f64 = values.clone().sum();
    let mean = if sum.is_finite() {
        sum / n
    } else {
        values.clone().map(|value| value / n).sum()
    };
    let least = values.clone().fold(f64::INFINITY, f64::min);
    mean.max(least)
        .min(values.fold(f64::NEG_INFINITY, f64::max))
}

/// C/(C−1): the mean that deviations are taken from was fitted to the same groups.
pub(crate) fn correction(groups: usize) -> f64 {
    groups as f64 / (groups as f64 - 1.0)
}

fn runs(rows: &[Row]) -> impl Iterator<Item = &[Row]> {
    rows.chunk_by(|one, next| one.group.is_some() && one.group == next.group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_without_a_key_is_a_group_of_its_own() {
        let row = |value, group| Row { value, group };
        let rows = Rows::new([
            row(1.0, Some(7)),
            row(2.0, None),
            row(3.0, Some(7)),
            row(4.0, None),
        ])
        .unwrap();
        assert_eq!((rows.n(), rows.groups(), rows.is_grouped()), (4, 3, true));
        assert_eq!(rows.mean(), 2.5);
    }

    #[test]
    fn the_variance_of_independent_values_is_the_textbooks() {
        let rows = Rows::independent([1.0, 2.0, 4.0, 7.0]).unwrap();
        let (by_groups, by_values) = (
            rows.variance_of_mean().unwrap(),
            rows.variance().unwrap() / 4.0,
        );
        assert!((by_groups - by_values).abs() < 1e-15);
        assert!((by_values - 7.0 / 4.0).abs() < 1e-15);
    }

    #[test]
    fn equal_values_do_not_vary() {
        for value in [0.1, 4.0, 1e308, -1e-300, 1.0 / 3.0] {
            let rows = Rows::independent([value; 9]).unwrap();
            assert_eq!((rows.mean(), rows.variance_of_mean()), (value, Some(0.0)));
        }
    }

    #[test]
    fn nothing_and_no_numbers_are_refused() {
        assert_eq!(Rows::independent([]), Err(Refusal::Empty));
        assert_eq!(Rows::independent([1.0, f64::NAN]), Err(Refusal::NotFinite));
        assert_eq!(Rows::independent([f64::INFINITY]), Err(Refusal::NotFinite));
    }
}
