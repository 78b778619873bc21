//! Why do traces fail? The groups of `insight::failures` with intervals and advice, as they are shown.

use insight::drain::Templates;
use insight::failures::FailureCase;
use serde::Serialize;
use utoipa::ToSchema;

use crate::results::FigureObject;

/// Failures with something in common.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[non_exhaustive]
pub struct FailureItem {
    /// What they have in common.
    pub issue: String,
    /// How many failing traces are affected.
    pub affected_traces: u64,
    /// These among all traces.
    pub share: Option<FigureObject>,
    /// For which part of the failing traces it holds.
    pub of_failing: Option<FigureObject>,
    /// For which part of the passing traces it holds.
    pub of_passing: Option<FigureObject>,
    /// What to do.
    pub suggestion: String,
    /// Up to three affected traces, with the span to look at.
    pub example_traces: Vec<FailureExample>,
    /// A rule that holds for traces of this group.
    pub rule: String,
    /// Whether the rule says just that; else it may hold for more traces.
    pub rule_is_exact: bool,
    /// A rule grader that fails for traces of this group: save it and it is a regression test.
    #[schema(value_type = Object)]
    pub grader: serde_json::Value,
    /// How far to rely on it: `low`, `medium` or `high`.
    pub confidence: &'static str,
    /// The start of the oldest affected trace.
    pub first_seen: Option<String>,
    /// Whether it comes more often: `rising`, `steady` or `falling`; null of few traces.
    pub trend: Option<&'static str>,
    /// What the affected traces cost, as far as known.
    pub cost_usd: Option<f64>,
}

/// A trace that shows a group.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FailureExample {
    /// The trace.
    pub trace_id: String,
    /// The span to look at.
    pub span_id: Option<String>,
}

/// Why a set of traces fails.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[non_exhaustive]
pub struct FailureReport {
    /// The groups, the most important first.
    pub data: Vec<FailureItem>,
    /// How many traces were looked at.
    pub traces: u64,
    /// How many of them failed.
    pub failing: u64,
    /// How many failing ones no group explains.
    pub unexplained: u64,
    /// How many traces were too many and not looked at.
    pub left_out: u64,
}

/// Returns why traces fail; `pass_from` tells from which number on a grader passes.
pub fn analyze(
    cases: Vec<FailureCase>,
    templates: &Templates,
    pass_from: &dyn Fn(&str) -> f64,
) -> FailureReport {
    unimplemented!("{cases:?} {templates:?} {}", pass_from(""))
}
