//! On which scale does a grader answer?
//!
//! Results are put together by it: rates of passes, means and histograms of numbers, shares of labels.
//! Numbers are kept in the grader's own scale; what the end of a scale is that has none is not made up.

use serde::{Deserialize, Serialize};

/// What a grader answers with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum GraderScale {
    /// Pass or fail.
    PassFail,
    /// A number.
    Number {
        /// The lowest; none if there is no lowest.
        low: Option<f64>,
        /// The highest; none if there is no highest.
        high: Option<f64>,
        /// From which number on it passes; none if numbers of this grader neither pass nor fail.
        pass_threshold: Option<f64>,
    },
    /// One of some labels.
    Labels {
        /// The labels; empty if any text may come.
        labels: Vec<String>,
        /// Those that pass; empty if labels of this grader neither pass nor fail.
        passing: Vec<String>,
    },
}

impl GraderScale {
    /// Returns whether it answers with numbers.
    pub fn is_numeric(&self) -> bool {
        matches!(self, Self::Number { .. })
    }
}
