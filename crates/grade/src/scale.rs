//! What a grader answers with: pass or fail, a number, or a label.
//!
//! Who reckons with grades must know more than the number: whether 4 is much, and whether it passes. So a
//! grader says its scale once, when it is read, and results, comparisons and gates go by it.

use insight::judging::Scale;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a grader answers with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum GraderScale {
    /// Pass or fail.
    PassFail,
    /// A number; more is better.
    Number {
        /// The lowest; none if there is no lowest.
        low: Option<f64>,
        /// The highest; none if there is no highest.
        high: Option<f64>,
        /// From which number on it passes; none where a number is neither good nor bad by itself.
        pass_threshold: Option<f64>,
    },
    /// One of these labels.
    Labels {
        /// All of them; empty if any text may come.
        labels: Vec<String>,
        /// Those that pass; none where no label is good or bad by itself.
        passing: Vec<String>,
    },
}

impl GraderScale {
    /// Returns the lowest and the highest number, if there are both.
    pub fn range(&self) -> Option<(f64, f64)> {
        match self {
            Self::Number { low, high, .. } => low.zip(*high),
            Self::PassFail | Self::Labels { .. } => None,
        }
    }

    /// Returns whether it answers with numbers.
    pub fn is_numeric(&self) -> bool {
        matches!(self, Self::Number { .. })
    }

    /// Returns whether its numbers are whole: then each has a bar of its own.
    pub fn is_whole(&self) -> bool {
        self.range()
            .and_then(|(low, high)| Scale::of_range(low, high))
            .is_some_and(|scale| matches!(scale, Scale::Whole { .. }))
    }

    /// Returns whether what it says is good or bad: such a grader has a pass rate.
    pub fn decides(&self) -> bool {
        match self {
            Self::PassFail => true,
            Self::Number { pass_threshold, .. } => pass_threshold.is_some(),
            Self::Labels { passing, .. } => !passing.is_empty(),
        }
    }
}

impl From<Scale> for GraderScale {
    fn from(scale: Scale) -> Self {
        match scale.range() {
            None => Self::PassFail,
            Some((low, high)) => Self::Number {
                low: Some(low),
                high: Some(high),
                pass_threshold: scale.default_pass_threshold(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_is_written_with_its_type_and_read_again() {
        let scales = [
            (GraderScale::PassFail, r#"{"type":"pass_fail"}"#),
            (
                Scale::Whole { low: 1, high: 5 }.into(),
                r#"{"type":"number","low":1.0,"high":5.0,"pass_threshold":4.0}"#,
            ),
            (
                GraderScale::Labels {
                    labels: vec!["kind".to_owned(), "rude".to_owned()],
                    passing: vec!["kind".to_owned()],
                },
                r#"{"type":"labels","labels":["kind","rude"],"passing":["kind"]}"#,
            ),
        ];
        for (scale, text) in scales {
            assert_eq!(serde_json::to_string(&scale).unwrap(), text);
            assert_eq!(serde_json::from_str::<GraderScale>(text).unwrap(), scale);
        }
    }

    #[test]
    fn whole_numbers_are_told_from_others() {
        let scale = |low, high| GraderScale::Number {
            low: Some(low),
            high: Some(high),
            pass_threshold: None,
        };
        assert!(scale(1.0, 5.0).is_whole() && !scale(0.0, 1.0).is_whole());
        assert!(!GraderScale::PassFail.is_whole() && !scale(1.0, 5.0).decides());
    }
}
