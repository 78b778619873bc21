//! The results of a run as the API tells them.
//!
//! An estimate is a plain number, because people print it; what makes it believable stands beside it under
//! the same name with `_figure` and is never left out. `grade::results` says so for every figure of a run.

use std::collections::BTreeMap;

use grade::calibrate::{CalibrateError, Calibration};
use grade::results::{FigureObject, RunResults, Segments, TaskReliability};
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
    /// Of graders that ask a judge: how far it can be trusted, by people's annotations.
    calibration: BTreeMap<String, Trust>,
    /// By what traces belong together, if not by their groups; only if `groups` was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    grouping: Option<Grouping>,
    /// How reliably tasks pass; only if `tasks` was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    reliability: Option<Vec<TaskReliability>>,
    /// Which segments differ from the rest; only if `segments` was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    segments: Option<Vec<Segments>>,
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

/// How far a judge can be trusted, in short; `/v1/graders/{id}/calibration` says it in full.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Trust {
    /// Whether it may be called calibrated.
    calibrated: bool,
    /// `calibrated`, or `uncalibrated` and why.
    sentence: String,
    /// Traces that people labelled and the grader passed or failed.
    labelled: usize,
    /// The pass rate that people would give.
    corrected_rate: Option<f64>,
    /// How sure that is.
    corrected_rate_figure: Option<FigureObject>,
    /// How the rate was corrected, or why it was not.
    correction: String,
}

impl From<Calibration> for Trust {
    fn from(calibration: Calibration) -> Self {
        let rate = calibration.corrected_rate;
        Self {
            calibrated: calibration.calibrated,
            sentence: calibration.sentence,
            labelled: calibration.labelled,
            corrected_rate: rate.as_ref().map(|figure| figure.estimate),
            corrected_rate_figure: rate,
            correction: calibration.correction,
        }
    }
}

impl Trust {
    /// Returns what is said of a judge that nobody can be held against people.
    pub(super) fn unknown(why: &CalibrateError) -> Self {
        Self {
            calibrated: false,
            sentence: format!("uncalibrated: {why}"),
            labelled: 0,
            corrected_rate: None,
            corrected_rate_figure: None,
            correction: format!("not corrected: {why}"),
        }
    }
}

/// By what traces belong together: every interval, number of groups and design effect goes by it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GradingGrouping)]
pub(super) struct Grouping {
    /// `metadata.KEY`.
    by: String,
    /// Traces without the key: each counts as a group of its own.
    without_key: usize,
}

impl Grouping {
    /// Returns a grouping by a key of the metadata.
    pub(super) fn of(key: &str, without_key: usize) -> Self {
        Self {
            by: format!("metadata.{key}"),
            without_key,
        }
    }
}

/// What is told of a run besides its figures and its traces.
#[derive(Debug, Default)]
pub(super) struct Besides {
    pub(super) calibration: BTreeMap<String, Trust>,
    pub(super) reliability: Option<Vec<TaskReliability>>,
    pub(super) segments: Option<Vec<Segments>>,
    pub(super) grouping: Option<Grouping>,
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
        besides: Besides,
        (total, data, has_more): (usize, Vec<ResultObject>, bool),
    ) -> Self {
        let id = |entry: Option<&ResultObject>| entry.map(|entry| entry.item_id.clone());
        Self {
            object: "trace.grading_results",
            run,
            stopping,
            summary,
            calibration: besides.calibration,
            reliability: besides.reliability,
            segments: besides.segments,
            grouping: besides.grouping,
            total,
            first_id: id(data.first()),
            last_id: id(data.last()),
            has_more,
            data,
        }
    }
}
