//! May it pass? One answer for a pipeline, with an exit code.
//!
//! A fixed gate looks once, at the end. A sequential one may look after every trace: it bets against "worse
//! by no more than the margin", and money that cannot grow by luck is evidence at any time. Both have a
//! third answer besides pass and fail, and say what they could have seen.

#[cfg(test)]
mod tests;

use serde::Serialize;
use utoipa::ToSchema;

use crate::compare::PairBy;
use crate::results::{Collected, FigureObject};

/// What a gate is told.
#[derive(Debug, Clone, PartialEq)]
pub struct GateOptions {
    /// δ: by how much the candidate may be worse: 0.02 is two points of a rate, or two hundredths of the
    /// scale of numbers.
    pub margin: f64,
    /// The chance to fail a candidate that is good enough, over all graders together; and to pass one that
    /// is not.
    pub alpha: f64,
    /// Whether somebody looks while traces still come, more than once.
    pub sequential: bool,
    /// Whether no more traces will come.
    pub is_over: bool,
    /// The share of grades without a verdict above which there is no answer.
    pub unscored_share_max: f64,
    /// What pairs items.
    pub pair_by: PairBy,
    /// Only graders of these names or ids; all that both runs have if there are none.
    pub graders: Vec<String>,
    /// Fixes random permutations.
    pub seed: u64,
}

impl Default for GateOptions {
    fn default() -> Self {
        Self {
            margin: 0.0,
            alpha: 0.05,
            sequential: false,
            is_over: true,
            unscored_share_max: crate::results::UNSCORED_SHARE_MAX,
            pair_by: PairBy::default(),
            graders: Vec::new(),
            seed: 0,
        }
    }
}

/// What a gate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GateVerdict {
    /// The candidate is shown to be worse by less than the margin.
    Pass,
    /// It is shown to be worse by more.
    Fail,
    /// Neither is shown.
    Inconclusive,
    /// The question could not be asked.
    Error,
}

impl GateVerdict {
    /// Returns the exit code: 0 pass, 1 fail, 2 inconclusive, 3 error.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Fail => 1,
            Self::Inconclusive => 2,
            Self::Error => 3,
        }
    }
}

/// What a gate says and why.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[non_exhaustive]
pub struct GateReport {
    /// What it says.
    pub verdict: GateVerdict,
    /// The exit code: 0 pass, 1 fail, 2 inconclusive, 3 error.
    pub exit_code: u8,
    /// The same in words.
    pub sentence: String,
    /// By how much the candidate may be worse.
    pub margin: f64,
    /// The chance of a false alarm over all graders.
    pub alpha: f64,
    /// Whether it may be looked at while traces still come.
    pub sequential: bool,
    /// Whether no more traces will come.
    pub is_over: bool,
    /// Each grader's part in it.
    pub graders: Vec<GateGrader>,
    /// Three traces that explain it: the worst losses.
    pub examples: Vec<Regression>,
}

/// A grader's part in a gate.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[non_exhaustive]
pub struct GateGrader {
    /// The grader's name.
    pub grader: String,
    /// What it says.
    pub verdict: GateVerdict,
    /// The same in words.
    pub sentence: String,
    /// How it was decided, in words.
    pub method: String,
    /// The baseline by itself.
    pub baseline: Option<FigureObject>,
    /// The candidate by itself.
    pub candidate: Option<FigureObject>,
    /// Candidate − baseline.
    pub difference: Option<FigureObject>,
    /// The chance to see this if the candidate were worse by the margin only.
    pub p_value: Option<f64>,
    /// The same, adjusted for the number of graders.
    pub p_adjusted: Option<f64>,
    /// Money made by betting that it is worse; of sequential gates.
    pub e_value: Option<f64>,
    /// The lower bound of the difference: above −margin it passes.
    pub lower_bound: Option<f64>,
    /// The smallest difference that would have been found in four of five cases.
    pub detectable: Option<f64>,
    /// Pairs, groups or traces that were compared.
    pub units: usize,
    /// Grades of the candidate without a verdict.
    pub unscored: u64,
}

/// A trace that got worse.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Regression {
    /// The candidate's trace.
    pub trace_id: String,
    /// The baseline's that it was compared with.
    pub baseline_trace_id: Option<String>,
    /// The grader.
    pub grader: String,
    /// What the baseline got.
    pub baseline: Option<f64>,
    /// What the candidate got.
    pub candidate: f64,
}

/// Returns whether the candidate may pass.
pub fn gate(baseline: &Collected, candidate: &Collected, options: &GateOptions) -> GateReport {
    unimplemented!("{baseline:?} {candidate:?} {options:?}")
}

impl GateReport {
    /// Returns it as JUnit's XML, a test case for each grader.
    pub fn to_junit(&self) -> String {
        unimplemented!("{}", self.sentence)
    }

    /// Returns it as Markdown for a pull request.
    pub fn to_markdown(&self) -> String {
        unimplemented!("{}", self.sentence)
    }
}
