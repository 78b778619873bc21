//! Is the judge right? Its verdicts held against people's, and its rate corrected by what they show.
//!
//! A judge's rate is a measurement with an instrument of unknown error. Labels tell the error: of a random
//! sample of what was graded by PPI++, which is right whatever the judge does; of labels from elsewhere by
//! Rogan and Gladen, if the judge is better than a coin. Until there are enough labels, and until the judge
//! meets the targets, its numbers are called uncalibrated.

#[cfg(test)]
mod tests;

use serde::Serialize;
use stats::Level;
use utoipa::ToSchema;

use crate::results::{Collected, FigureObject, GraderFacts, Withheld};

/// With fewer labelled traces a judge is uncalibrated whatever they say.
pub const LABELS_MIN: usize = 30;

/// What a person says of a trace.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HumanLabel {
    /// The item: a trace's id.
    pub item_id: String,
    /// Who.
    pub author: String,
    /// Whether it passes.
    pub passed: bool,
}

/// How the labelled traces were chosen. It decides what may be concluded from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chosen {
    /// At random among the graded ones: the verdict played no part.
    AtRandom,
    /// Otherwise: by the verdict, by complaints, or from other traces.
    Otherwise,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CalibrateOptions {
    /// How the labelled traces were chosen.
    pub chosen: Chosen,
    /// How often intervals are to hold the truth.
    pub level: Level,
    /// Fixes resamples.
    pub seed: u64,
}

/// How often which verdict met which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct ConfusionMatrix {
    /// Both pass it.
    pub both_pass: u64,
    /// Only the judge passes it.
    pub only_judge_passes: u64,
    /// Only people pass it.
    pub only_people_pass: u64,
    /// Both fail it.
    pub both_fail: u64,
}

/// A judge held against people.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[non_exhaustive]
pub struct Calibration {
    /// The grader in the version that was held against people: for no other version it says anything.
    pub grader: GraderFacts,
    /// The models that judged.
    pub models: Vec<String>,
    /// Traces that people labelled and the grader passed or failed.
    pub labelled: usize,
    /// Traces that the grader passed or failed.
    pub judged: usize,
    /// Labelled traces without a verdict; they are in no figure.
    pub without_verdict: usize,
    /// Traces on which as many people said yes as no; they are in no figure.
    pub disputed: usize,
    /// Whether it may be called calibrated.
    pub calibrated: bool,
    /// `calibrated`, or `uncalibrated` and why.
    pub sentence: String,
    /// How often which verdict met which.
    pub confusion: ConfusionMatrix,
    /// How often they agree.
    pub agreement: Option<FigureObject>,
    /// Of what people pass, the share that the judge passes. It should be at least 0.8.
    pub sensitivity: Option<FigureObject>,
    /// Of what people fail, the share that the judge fails. It should be at least 0.8.
    pub specificity: Option<FigureObject>,
    /// Agreement beyond luck (Cohen's κ). It should be at least 0.6.
    pub kappa: Option<FigureObject>,
    /// The same between two people, of traces that two labelled.
    pub human_kappa: Option<FigureObject>,
    /// Traces that two people labelled or more.
    pub double_labelled: usize,
    /// The pass rate as the judge gives it.
    pub raw_rate: Option<FigureObject>,
    /// The pass rate that people would give.
    pub corrected_rate: Option<FigureObject>,
    /// How the rate was corrected, or why it was not.
    pub correction: String,
    /// Figures that are null, and why.
    pub withheld: Withheld,
}

/// Why nothing can be held against people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CalibrateError {
    /// The run has no grader of this name or id.
    #[error("the run has no grader “{0}”")]
    NoGrader(String),
    /// Verdicts of several versions or models are no verdicts of one judge.
    #[error("the judge “{grader}” is not one: {told}; hold each against people by itself")]
    Mixed {
        /// The grader's name.
        grader: String,
        /// What differs.
        told: String,
    },
}

/// Holds a grader of a run, by its name or id, against people.
pub fn calibrate(
    run: &Collected,
    grader: &str,
    labels: &[HumanLabel],
    options: &CalibrateOptions,
) -> Result<Calibration, CalibrateError> {
    unimplemented!("{run:?} {grader} {labels:?} {options:?}")
}
