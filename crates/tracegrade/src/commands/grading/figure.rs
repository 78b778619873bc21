//! How is a number told with how sure it is?
//!
//! No rate and no mean is printed without where the truth lies, of how many traces it is, and in how many
//! groups those are: `84.1 % (95 %: 79.0–88.2, n = 210 in 60 groups, design effect 1.3)`.

use serde::Deserialize;

use crate::text::{count, significant};

/// A figure as the API tells it.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub(super) struct Figure {
    pub(super) estimate: f64,
    /// Where the truth lies with 95 % confidence; an end that cannot be known is missing.
    interval: [Option<f64>; 2],
    n: u64,
    groups: u64,
    design_effect: f64,
    #[serde(default)]
    too_few_groups: bool,
}

impl Figure {
    /// Returns a share of traces, in percent.
    pub(super) fn rate(&self) -> String {
        let percent = |share: f64| format!("{:.1}", share * 100.0);
        format!("{} % {}", percent(self.estimate), self.sureness(percent))
    }

    /// Returns a mean in its own scale.
    pub(super) fn mean(&self) -> String {
        format!("{} {}", digits(self.estimate), self.sureness(digits))
    }

    /// Returns a mean or a quantile of numbers without a scale, as costs and durations are.
    pub(super) fn open(&self) -> String {
        format!(
            "{} {}",
            significant(self.estimate),
            self.sureness(significant)
        )
    }

    /// Returns a difference of two rates, in points.
    pub(super) fn points(&self) -> String {
        let points = |share: f64| signed(share * 100.0, 1);
        let noun = "points";
        format!(
            "{} {noun} {}",
            points(self.estimate),
            self.sureness_apart(points, " to ")
        )
    }

    /// Returns a difference of two means.
    pub(super) fn change(&self) -> String {
        // Hundredths say nothing of costs.
        let change = |value: f64| match value != 0.0 && value.abs() < 0.01 {
            true => signed_text(value, significant(value.abs())),
            false => signed(value, 2),
        };
        format!(
            "{} {}",
            change(self.estimate),
            self.sureness_apart(change, " to ")
        )
    }

    fn sureness(&self, told: impl Fn(f64) -> String) -> String {
        self.sureness_apart(told, "–")
    }

    fn sureness_apart(&self, told: impl Fn(f64) -> String, between: &str) -> String {
        let interval = match self.interval {
            [Some(low), Some(high)] => format!("{}{between}{}", told(low), told(high)),
            [Some(low), None] => format!("{} or more", told(low)),
            [None, Some(high)] => format!("{} or less", told(high)),
            [None, None] => "not known".to_owned(),
        };
        let groups = match self.groups {
            groups if groups == self.n => String::new(),
            1 => " in 1 group".to_owned(),
            groups => format!(" in {} groups", count(groups)),
        };
        // Traces that are groups of their own may only differ from 1 by their weights.
        let effect = match (self.design_effect - 1.0).abs() < 0.05 {
            true => String::new(),
            false => format!(", design effect {:.1}", self.design_effect),
        };
        let few = match self.too_few_groups {
            true => ", too few groups",
            false => "",
        };
        format!(
            "(95 %: {interval}, n = {}{groups}{effect}{few})",
            count(self.n)
        )
    }
}

fn digits(value: f64) -> String {
    format!("{value:.2}")
}

/// Returns a number with its sign, a true minus.
fn signed(value: f64, digits: usize) -> String {
    signed_text(value, format!("{:.digits$}", value.abs()))
}

fn signed_text(value: f64, text: String) -> String {
    match () {
        () if text.chars().all(|c| matches!(c, '0' | '.')) => text,
        () if value < 0.0 => format!("−{text}"),
        () => format!("+{text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(json: &str) -> Figure {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_rate_stands_with_how_sure_it_is() {
        let rate = figure(
            r#"{"estimate":0.841,"interval":[0.79,0.882],"method":"wilson","n":210,"groups":60,"design_effect":1.02,"too_few_groups":false}"#,
        );
        assert_eq!(
            rate.rate(),
            "84.1 % (95 %: 79.0–88.2, n = 210 in 60 groups)"
        );
        let few = figure(
            r#"{"estimate":1,"interval":[0.6,null],"method":"x","n":1200,"groups":1,"design_effect":3.14,"too_few_groups":true}"#,
        );
        assert_eq!(
            few.rate(),
            "100.0 % (95 %: 60.0 or more, n = 1,200 in 1 group, design effect 3.1, too few groups)"
        );
        let cost = figure(
            r#"{"estimate":0.00612,"interval":[0.0049,0.0081],"n":200,"groups":200,"design_effect":1.0}"#,
        );
        assert_eq!(cost.open(), "0.00612 (95 %: 0.00490–0.00810, n = 200)");
        assert_eq!(
            few.mean(),
            "1.00 (95 %: 0.60 or more, n = 1,200 in 1 group, design effect 3.1, too few groups)"
        );
    }

    #[test]
    fn a_difference_has_a_sign() {
        let change = figure(
            r#"{"estimate":-0.0421,"interval":[-0.08,0.0],"method":"x","n":50,"groups":50,"design_effect":1.0}"#,
        );
        assert_eq!(change.points(), "−4.2 points (95 %: −8.0 to 0.0, n = 50)");
        assert_eq!(change.change(), "−0.04 (95 %: −0.08 to 0.00, n = 50)");
        let costs = figure(
            r#"{"estimate":-0.0021,"interval":[-0.0042,0.012],"n":50,"groups":50,"design_effect":1.0}"#,
        );
        assert_eq!(costs.change(), "−0.00210 (95 %: −0.00420 to +0.01, n = 50)");
    }
}
