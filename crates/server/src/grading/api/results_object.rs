//! The results of a run as the API tells them.
//!
//! An estimate is a plain number, because people print it; what makes it believable stands beside it under
//! the same name with `_figure` and is never left out. `grade::results` says so for every figure of a run.

use grade::results::RunResults;
use serde::Serialize;
use utoipa::ToSchema;

use super::grade_object::GradeObject;
use super::run_object::RunObject;
use crate::grading::stopping::StopObject;

/// What came of a run.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GradingResults)]
pub(super) struct ResultsObject {
    /// `trace.grading_results`.
    object: &'static str,
    run: RunObject,
    /// How it stops before all traces are graded; null where it does not.
    stopping: Option<StopObject>,
    /// What it says of all its traces, whatever page is looked at.
    #[serde(flatten)]
    summary: RunResults,
    /// How many traces the filter lets through.
    total: usize,
    /// A page of these traces, by their ids.
    data: Vec<ResultObject>,
    /// The first trace; null on an empty page.
    first_id: Option<String>,
    /// The last trace, which `after` of the next page names; null on an empty page.
    last_id: Option<String>,
    /// Whether others come behind it.
    has_more: bool,
}

/// A trace and what graders say of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GradingResult)]
pub(super) struct ResultObject {
    /// `trace.grading_result`.
    pub(super) object: &'static str,
    /// The trace; null for a case of a dataset without one.
    pub(super) trace_id: Option<String>,
    /// The trace, or the case.
    pub(super) item_id: String,
    pub(super) group_id: Option<String>,
    /// The stratum that it was drawn from.
    pub(super) stratum: Option<String>,
    /// How many traces it stands for.
    pub(super) weight: f64,
    /// `fail` if a grader failed it, else `pass` if one passed it, else `value`, `unscored` or
    /// `not_applicable`.
    pub(super) outcome: &'static str,
    /// Of each grader the latest attempt.
    pub(super) grades: Vec<GradeObject>,
}

impl ResultsObject {
    /// Returns a page of results as it is sent; `has_more`: others come behind it.
    pub(super) fn of(
        (run, stopping): (RunObject, Option<StopObject>),
        summary: RunResults,
        total: usize,
        data: Vec<ResultObject>,
        has_more: bool,
    ) -> Self {
        let id = |entry: Option<&ResultObject>| entry.map(|entry| entry.item_id.clone());
        Self {
            object: "trace.grading_results",
            run,
            stopping,
            summary,
            total,
            first_id: id(data.first()),
            last_id: id(data.last()),
            has_more,
            data,
        }
    }
}
