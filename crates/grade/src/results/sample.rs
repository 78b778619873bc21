//! One value of each item, with its group and its stratum, on the way to a figure.
//!
//! Weights are shares of the population of the strata. Where a question does not arise for all traces, the
//! population of an answer is that part of a stratum for which it does, by the share seen in the sample;
//! traces without a verdict are taken for traces like the others of their stratum. The whole of one
//! stratum is that stratum, drawn plainly.

use std::ops::RangeInclusive;

use stats::compare::Item;
use stats::eprocess::mean_at_any_time;
use stats::interval::Purpose;
use stats::{Figure, Level, Refusal, Row, Rows, bootstrap, cluster, quantile, strata};

use super::cell::Cell;
use super::collected::{Collected, Stratum};

/// Resamples of fewer groups do not show the shape of a mean; with more it is near normal, and a bootstrap
/// would take its time.
const BOOTSTRAP_GROUPS: RangeInclusive<usize> = 10..=2_000;

/// Stands for a population that was not counted: so large that a sample takes nothing away from it.
const UNCOUNTED: u64 = 1 << 50;

/// What is known of an item.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Said {
    /// This.
    Value(f64),
    /// There is no verdict.
    Silent,
    /// The question does not arise.
    Inapplicable,
    /// Nobody looked at it.
    Nothing,
}

impl Said {
    /// Whether it passed.
    pub(crate) fn pass(cell: &Cell) -> Self {
        Self::of(cell, cell.passed())
    }

    /// Its number.
    pub(crate) fn score(cell: &Cell) -> Self {
        Self::of(cell, cell.score())
    }

    /// Whether it has a label for which this holds.
    pub(crate) fn label_of(cell: &Cell, holds: impl FnOnce(u16) -> bool) -> Self {
        let label = cell.label();
        Self::of(cell, label.map(|it| f64::from(u8::from(holds(it)))))
    }

    fn of(cell: &Cell, value: Option<f64>) -> Self {
        use model::Outcome::{Fail, NotApplicable, Pass, Unscored, Value};
        match (value, cell.outcome()) {
            (_, None) => Self::Nothing,
            (Some(value), _) => Self::Value(value),
            (None, Some(Unscored)) => Self::Silent,
            // a verdict of another kind is no answer to this question
            (None, Some(NotApplicable | Pass | Fail | Value)) => Self::Inapplicable,
        }
    }

    pub(crate) fn map(self, f: impl FnOnce(f64) -> f64) -> Self {
        match self {
            Self::Value(value) => Self::Value(f(value)),
            other => other,
        }
    }
}

/// Values of items, by stratum.
pub(crate) struct Sample<'a> {
    collected: &'a Collected,
    parts: Vec<Part>,
    /// Items that are in no stratum that was counted.
    apart: Part,
    /// Between which numbers values lie, where that is known.
    ends: Option<(f64, f64)>,
}

#[derive(Default)]
struct Part {
    rows: Vec<Row>,
    silent: u64,
    inapplicable: u64,
}

impl Part {
    /// Returns the standard deviation of its values; nothing of fewer than two.
    fn deviation(&self) -> Option<f64> {
        let n = self.rows.len() as f64;
        let mean = self.rows.iter().map(|row| row.value).sum::<f64>() / n;
        let squares: f64 = self.rows.iter().map(|row| (row.value - mean).powi(2)).sum();
        (n >= 2.0).then(|| (squares / (n - 1.0)).sqrt())
    }

    fn asked(&self) -> u64 {
        self.rows.len() as u64 + self.silent + self.inapplicable
    }
}

impl<'a> Sample<'a> {
    /// Takes what is known of each item.
    pub(crate) fn of(collected: &'a Collected, said: impl Fn(u32) -> Said) -> Self {
        let mut sample = Self {
            collected,
            parts: collected.strata.iter().map(|_| Part::default()).collect(),
            apart: Part::default(),
            ends: None,
        };
        for item in collected.items() {
            let part = match collected.stratum(item) {
                Some(stratum) => &mut sample.parts[stratum],
                None => &mut sample.apart,
            };
            match said(item) {
                Said::Value(value) => part.rows.push(Row {
                    value,
                    group: collected.group(item),
                }),
                Said::Silent => part.silent += 1,
                Said::Inapplicable => part.inapplicable += 1,
                Said::Nothing => {}
            }
        }
        sample
    }

    /// Says between which numbers all values lie.
    pub(crate) fn between(self, ends: Option<(f64, f64)>) -> Self {
        Self { ends, ..self }
    }

    /// Returns whether there are parts to be weighted.
    pub(crate) fn is_stratified(&self) -> bool {
        self.collected.is_stratified()
    }

    /// Returns how many items there are that are in no stratum with a population.
    pub(crate) fn without_stratum(&self) -> u64 {
        let strata = self.collected.strata.iter().zip(&self.parts);
        let uncounted = strata.filter(|(stratum, _)| stratum.population == 0);
        self.apart.asked() + uncounted.map(|(_, part)| part.asked()).sum::<u64>()
    }

    /// Returns how many items of each stratum were looked at.
    pub(crate) fn asked(&self) -> impl Iterator<Item = u64> {
        self.parts.iter().map(Part::asked)
    }

    /// Returns all values, whatever their stratum.
    pub(crate) fn rows(&self) -> Result<Rows, Refusal> {
        let parts = self.parts.iter().chain([&self.apart]);
        Rows::new(parts.flat_map(|part| part.rows.iter().copied()))
    }

    /// Returns all values as they are compared with others that nothing pairs them with.
    pub(crate) fn as_items(&self) -> Vec<Item> {
        let parts = self.parts.iter().chain([&self.apart]);
        let item = |row: &Row| Item {
            value: row.value,
            pair: None,
            group: row.group,
        };
        parts.flat_map(|part| part.rows.iter().map(item)).collect()
    }

    /// Returns the strata, or all values as one stratum if there are none.
    pub(crate) fn as_strata(&self) -> Result<Vec<strata::Stratum>, Refusal> {
        if self.is_stratified() {
            return self.strata();
        }
        Ok(vec![strata::Stratum {
            population: UNCOUNTED,
            sample: Some(self.rows()?),
        }])
    }

    /// Returns the strata with the part of their population that the question is about.
    pub(crate) fn strata(&self) -> Result<Vec<strata::Stratum>, Refusal> {
        let parts = self.collected.strata.iter().zip(&self.parts);
        parts
            .map(|(stratum, part)| {
                let values = part.rows.len() as u64;
                let known = values + part.inapplicable;
                let share = match known {
                    0 => 1.0,
                    _ => values as f64 / known as f64,
                };
                let population = match part.inapplicable {
                    0 => stratum.population,
                    _ => (stratum.population as f64 * share).round() as u64,
                };
                Ok(strata::Stratum {
                    population,
                    sample: match values {
                        0 => None,
                        _ => Some(Rows::new(part.rows.iter().copied())?),
                    },
                })
            })
            .collect()
    }

    /// Returns the share of values that are 1; all are 0 or 1.
    pub(crate) fn rate(&self) -> Result<Figure, Refusal> {
        if self.is_stratified() {
            return strata::estimate(&self.strata()?, self.level()).overall;
        }
        if self.collected.may_stop() {
            return mean_at_any_time(&self.rows()?, (0.0, 1.0), self.level());
        }
        cluster::rate(&self.rows()?, self.level(), Purpose::Report)
    }

    /// Returns the mean.
    pub(crate) fn mean(&self) -> Result<Figure, Refusal> {
        let level = self.level();
        if !self.is_stratified() && self.collected.may_stop() {
            // Without ends nothing bounds what may still come.
            let ends = self.ends.unwrap_or((f64::NEG_INFINITY, f64::INFINITY));
            return mean_at_any_time(&self.rows()?, ends, level);
        }
        if !self.is_stratified() {
            return self.mean_of(&self.rows()?);
        }
        let parts = self.strata()?;
        let between = self
            .ends
            .map(|ends| strata::mean_between(&parts, ends, level));
        between
            .filter(within_ends)
            .unwrap_or_else(|| strata::estimate(&parts, level).overall)
    }

    fn mean_of(&self, rows: &Rows) -> Result<Figure, Refusal> {
        let level = self.level();
        let between = self
            .ends
            .map(|ends| cluster::mean_between(rows, ends, level));
        between
            .filter(within_ends)
            .unwrap_or_else(|| cluster::mean(rows, level))
    }

    /// Returns the mean of values from 0 to 1.
    pub(crate) fn share(&self) -> Result<Figure, Refusal> {
        match self.is_stratified() || self.collected.may_stop() {
            true => self.mean(),
            false => cluster::share(&self.rows()?, self.level()),
        }
    }

    /// Returns the mean of values that may be skewed: with a bootstrap's interval where there are so few
    /// groups that it matters.
    pub(crate) fn mean_of_skewed(&self) -> Result<Figure, Refusal> {
        let plain = self.mean()?;
        if self.is_stratified() || !BOOTSTRAP_GROUPS.contains(&plain.groups) {
            return Ok(plain);
        }
        match bootstrap::mean(&self.rows()?, self.level(), 0) {
            // equal values have no shape
            Err(Refusal::NoSpread) => Ok(plain),
            other => other,
        }
    }

    /// Returns a quantile; of a plain sample only.
    pub(crate) fn quantile(&self, q: f64) -> Result<Figure, Refusal> {
        quantile::quantile(&self.rows()?, q, self.level())
    }

    /// Returns how many of each stratum the next sample of as many should have (Neyman); nothing of a sample
    /// without strata, or if the spread of one that has a population is not known.
    pub(crate) fn next_allocation(&self) -> Option<Vec<u64>> {
        if !self.is_stratified() {
            return None;
        }
        let strata = self.collected.strata.iter().zip(&self.parts);
        let spread = |(stratum, part): (&Stratum, &Part)| match stratum.population {
            0 => Some(0.0),
            _ => part.deviation(),
        };
        let spreads: Vec<f64> = strata.map(spread).collect::<Option<_>>()?;
        let populations = self.collected.strata.iter().map(|it| it.population);
        let populations: Vec<u64> = populations.collect();
        let n = self.parts.iter().map(Part::asked).sum();
        strata::neyman(n, &populations, &spreads).ok()
    }

    /// Returns the rate, or else the mean, of each stratum by itself.
    pub(crate) fn by_stratum(&self, is_rate: bool) -> Vec<Result<Figure, Refusal>> {
        let figure = |part: &Part| {
            let rows = Rows::new(part.rows.iter().copied())?;
            match is_rate {
                true => cluster::rate(&rows, self.level(), Purpose::Report),
                false => self.mean_of(&rows),
            }
        };
        self.parts.iter().map(figure).collect()
    }

    /// Returns how much single values vary, whatever their stratum.
    pub(crate) fn variance(&self) -> Option<f64> {
        let parts = self.parts.iter().chain([&self.apart]);
        let values = parts.flat_map(|part| part.rows.iter().map(|row| row.value));
        let n = values.clone().count() as f64;
        let mean = values.clone().sum::<f64>() / n;
        (n >= 2.0).then(|| values.map(|value| (value - mean).powi(2) / (n - 1.0)).sum())
    }

    pub(super) fn level(&self) -> Level {
        self.collected.level()
    }
}

/// A value beyond the ends shows that they are none.
fn within_ends(figure: &Result<Figure, Refusal>) -> bool {
    !matches!(figure, Err(Refusal::OutOfRange { .. }))
}
