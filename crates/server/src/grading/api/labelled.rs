//! Whose verdicts are held against people, and what do people say of the same traces?
//!
//! Calibration, the queue of traces to label and the trust that results put in a judge ask the same: a
//! grader, a run that it was in, and the labels that answer its question.

use grade::calibrate::queue::QueueId;
use grade::calibrate::{AskedFor, CalibrateError, HumanLabel};
use model::ProjectId;
use store::meta::{
    Annotation, AnnotationFilter, GradingRun, GradingRunFilter, MetaError, PageAsked, Rating,
    StoredGrader,
};

use super::gathered::{frozen, run_of};
use super::graders::take_version;
use super::named::stored_grader;
use crate::error::{ApiError, ErrorCode};
use crate::read::Params;
use crate::state::AppState;

/// Annotations that are read at a time.
const PER_READ: usize = 1_000;

/// So many runs are looked through for one that the grader was in, the newest first.
const RUNS_MAX: usize = 1_000;

/// Which verdicts of a grader are asked about.
pub(super) struct VerdictsAsked {
    version: Option<u32>,
    run_id: Option<String>,
}

/// A grader and a run that it was in.
pub(super) struct Verdicts {
    pub(super) grader: StoredGrader,
    pub(super) run: GradingRun,
}

impl VerdictsAsked {
    /// Takes what a request says of it.
    pub(super) fn take(params: &mut Params) -> Result<Self, ApiError> {
        Ok(Self {
            version: take_version(params)?,
            run_id: params.take("run_id")?,
        })
    }

    /// Returns the grader that is named and the run that is meant: the one that is named, which the grader must
    /// have been in, or else the newest that it was in.
    pub(super) async fn find(
        self,
        state: &AppState,
        project: &ProjectId,
        grader: &str,
    ) -> Result<Verdicts, ApiError> {
        let grader = stored_grader(state, project, grader, self.version).await?;
        let run = match self.run_id {
            None => newest_run(state, project, &grader, self.version).await?,
            Some(run_id) => {
                let run = run_of(state, project, &run_id).await?;
                require_in(&run, &grader, self.version)?;
                run
            }
        };
        Ok(Verdicts { grader, run })
    }
}

/// Returns why nothing can be held against people, as it is answered.
pub(super) fn refused(error: CalibrateError) -> ApiError {
    let code = match error {
        CalibrateError::NoGrader(_) => ErrorCode::NotFound,
        CalibrateError::Mixed { .. } => ErrorCode::Conflict,
    };
    ApiError::new(code, error.to_string())
}

fn is_in(run: &GradingRun, grader: &StoredGrader, version: Option<u32>) -> Result<bool, ApiError> {
    let mut graders = frozen(run)?.into_iter();
    Ok(graders
        .any(|one| one.id == grader.id && version.is_none_or(|version| version == one.version)))
}

fn require_in(
    run: &GradingRun,
    grader: &StoredGrader,
    version: Option<u32>,
) -> Result<(), ApiError> {
    match is_in(run, grader, version)? {
        true => Ok(()),
        false => Err(ApiError::invalid(
            "run_id",
            "the grader was not in this run",
        )),
    }
}

/// Returns the newest run in which the grader said something.
async fn newest_run(
    state: &AppState,
    project: &ProjectId,
    grader: &StoredGrader,
    version: Option<u32>,
) -> Result<GradingRun, ApiError> {
    let filter = GradingRunFilter {
        grader_id: Some(grader.id.clone()),
        ..GradingRunFilter::default()
    };
    let asked = PageAsked {
        after: None,
        limit: RUNS_MAX,
        is_descending: true,
    };
    let meta = state.store.meta();
    for run in meta.grading_runs(project, &filter, &asked).await?.entries {
        if run.done > 0 && is_in(&run, grader, version)? {
            return Ok(run);
        }
    }
    let message = "this grader was in no run yet: grade traces with it first";
    Err(ApiError::new(ErrorCode::NotFound, message))
}

/// Returns what people say in answer to a grader's question, as it counts for its verdicts in a run.
pub(super) async fn labels(
    state: &AppState,
    run: &GradingRun,
    grader_id: &str,
) -> Result<Vec<HumanLabel>, ApiError> {
    let filter = AnnotationFilter {
        grader_id: Some(grader_id.to_owned()),
        ..AnnotationFilter::default()
    };
    let mut labels = Vec::new();
    let mut asked = PageAsked {
        after: None,
        limit: PER_READ,
        is_descending: false,
    };
    loop {
        let meta = state.store.meta();
        let page = match meta.annotations(&run.project, &filter, &asked).await {
            // What the next page comes behind was deleted meanwhile.
            Err(MetaError::NoPlace { .. }) => {
                labels.clear();
                asked.after = None;
                continue;
            }
            page => page?,
        };
        asked.after = page.entries.last().map(|one| one.id.clone());
        let said = page.entries.into_iter();
        labels.extend(said.filter_map(|one| label(one, &run.id)));
        if !page.has_more {
            return Ok(labels);
        }
    }
}

/// Returns what an annotation says of its trace as a whole, if it does. Only a queue that was drawn from the
/// grades of this run tells with what chance it asked about them.
fn label(annotation: Annotation, run_id: &str) -> Option<HumanLabel> {
    let asked = annotation.asked.and_then(|asked| {
        let queue: QueueId = asked.queue.parse().ok()?;
        let chance = asked.chance;
        (queue.run_id == run_id).then_some(AskedFor { queue, chance })
    });
    let passed = match (annotation.rating, annotation.label.as_deref()) {
        (Some(rating), _) => rating == Rating::Good,
        (None, Some("pass")) => true,
        (None, Some("fail")) => false,
        (None, _) => return None,
    };
    annotation.span_id.is_none().then(|| HumanLabel {
        item_id: annotation.trace_id.to_string(),
        author: annotation.author,
        passed,
        asked,
    })
}
