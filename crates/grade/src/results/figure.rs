//! A number as it is shown: never without what makes it believable.

use std::fmt;

use serde::Serialize;
use stats::{Figure, Refusal};
use utoipa::ToSchema;

/// An estimate and how sure it is.
///
/// Only a [`Figure`] of the crate `stats` becomes one, so a rate without its interval cannot be shown.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[non_exhaustive]
pub struct FigureObject {
    /// The number.
    pub estimate: f64,
    /// Where the truth lies with 95 % confidence: lower and upper end; null where no value that was seen
    /// gives a bound.
    pub interval: [Option<f64>; 2],
    /// How the interval is made.
    pub method: String,
    /// Values that went in.
    pub n: usize,
    /// Groups (conversations, tasks) that they belong to; the same as `n` where each is by itself.
    pub groups: usize,
    /// How much wider values of one group make it: 2 means that half as many independent ones say as much.
    pub design_effect: f64,
    /// Whether fewer than ten groups went in, too few to be sure of the interval.
    pub too_few_groups: bool,
}

impl From<Figure> for FigureObject {
    fn from(figure: Figure) -> Self {
        let end = |end: f64| end.is_finite().then_some(end);
        Self {
            estimate: figure.estimate,
            interval: [end(figure.interval.low), end(figure.interval.high)],
            method: figure.interval.method.to_string(),
            n: figure.n,
            groups: figure.groups,
            design_effect: figure.design_effect,
            too_few_groups: figure.has_too_few_groups(),
        }
    }
}

impl FigureObject {
    /// Returns it as a rate for people: `82.0 % (76.1 to 86.7; 200 in 60 groups)`.
    pub fn as_percent(&self) -> String {
        self.told(100.0, 1, " %")
    }

    /// Returns it as a number for people: `3.91 (3.74 to 4.08; 200)`.
    pub fn as_number(&self) -> String {
        self.told(1.0, 2, "")
    }

    fn told(&self, times: f64, places: usize, unit: &str) -> String {
        let number = |value: f64| decimal(value * times, places);
        let end = |end: Option<f64>, none: &str| end.map_or_else(|| none.to_owned(), number);
        let [low, high] = self.interval;
        format!(
            "{}{unit} ({} to {}; {})",
            number(self.estimate),
            end(low, "−∞"),
            end(high, "∞"),
            self.support()
        )
    }

    /// Returns what it rests on: `200 in 60 groups`.
    pub(crate) fn support(&self) -> String {
        match (self.groups < self.n, self.too_few_groups) {
            (false, _) => self.n.to_string(),
            (true, false) => format!("{} in {} groups", self.n, self.groups),
            (true, true) => format!("{} in {} groups: too few groups", self.n, self.groups),
        }
    }
}

impl fmt::Display for FigureObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.as_number())
    }
}

/// Writes a number with so many places, and never a negative zero.
pub(crate) fn decimal(value: f64, places: usize) -> String {
    let text = format!("{value:.places$}");
    match text.strip_prefix('-') {
        Some(rest) if rest.bytes().all(|b| b == b'0' || b == b'.') => rest.to_owned(),
        Some(rest) => format!("−{rest}"),
        None => text,
    }
}

/// Writes a number of which nobody knows the scale, such as a cost: three digits that say something, and all that
/// stand before the point.
pub(crate) fn significant(value: f64) -> String {
    let before_point = value.abs().log10().floor();
    match before_point.is_finite() {
        true => decimal(value, (2.0 - before_point).clamp(0.0, 12.0) as usize),
        false => decimal(value, 0),
    }
}

/// Writes a single value: up to four places, and none that say nothing.
pub(crate) fn value(value: f64) -> String {
    let text = decimal(value, 4);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// Writes a number that somebody set, such as a margin: as it was meant, without what arithmetic left behind
/// its millionths.
pub(crate) fn setting(value: f64) -> String {
    ((value * 1e6).round() / 1e6).to_string()
}

/// A figure, or the reason why there is none, kept for `withheld`.
pub(crate) fn keep(
    figure: Result<Figure, Refusal>,
    name: &str,
    withheld: &mut super::Withheld,
) -> Option<FigureObject> {
    match figure {
        Ok(figure) => Some(figure.into()),
        Err(why) => {
            withheld.insert(name.to_owned(), why.to_string());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use stats::interval::{Purpose, rate};
    use stats::{Level, Rows, quantile};

    use super::*;

    #[test]
    fn a_figure_is_told_with_its_interval_and_its_n() {
        let figure = FigureObject::from(rate(164, 200, Level::P95, Purpose::Report).unwrap());
        assert_eq!(figure.as_percent(), "82.0 % (76.1 to 86.7; 200)");
        assert_eq!(figure.to_string(), "0.82 (0.76 to 0.87; 200)");
    }

    #[test]
    fn an_end_that_nothing_bounds_is_null() {
        let few = Rows::independent([1.0, 2.0, 3.0]).unwrap();
        let figure = FigureObject::from(quantile::quantile(&few, 0.5, Level::P95).unwrap());
        assert_eq!(figure.interval, [None, None]);
        assert_eq!(figure.as_number(), "2.00 (−∞ to ∞; 3)");
        assert!(
            serde_json::to_string(&figure)
                .unwrap()
                .contains("[null,null]")
        );
    }

    #[test]
    fn a_value_has_the_places_that_say_something() {
        let told = [1.0, 1.0 / 3.0, 32_812.943_999_999_996, -0.5, 0.000_001].map(value);
        assert_eq!(told, ["1", "0.3333", "32812.944", "−0.5", "0"]);
    }

    #[test]
    fn what_was_set_is_told_as_it_was_meant() {
        let told = [0.1 + 0.2, 0.02, 0.07 * 100.0, 0.005 * 100.0, 1.0, 1e-6].map(setting);
        assert_eq!(told, ["0.3", "0.02", "7", "0.5", "1", "0.000001"]);
    }

    #[test]
    fn zero_has_no_sign() {
        assert_eq!(
            (decimal(-0.001, 1), decimal(-1.25, 1)),
            ("0.0".to_owned(), "−1.2".to_owned())
        );
    }
}
