//! Is the judge right? Its verdicts in a run, held against what people say of the same traces.

use axum::Json;
use axum::extract::{Path, State};
use grade::calibrate::queue::QueueId;
use grade::calibrate::{
    AskedFor, CalibrateError, CalibrateOptions, Calibration, Chosen, HumanLabel, calibrate,
};
use model::ProjectId;
use serde::Serialize;
use store::meta::{
    Annotation, AnnotationFilter, GradingRun, GradingRunFilter, PageAsked, Rating, StoredGrader,
};
use utoipa::ToSchema;

use super::gathered::{frozen, gather, run_of};
use super::graders::take_version;
use crate::auth::Principal;
use crate::error::{ApiError, ErrorBody, ErrorCode};
use crate::read::{Params, blocking};
use crate::state::AppState;

/// Annotations and runs that are read at a time.
const PER_READ: usize = 1_000;

/// So many runs are looked through for one that the grader was in, the newest first.
const RUNS_MAX: usize = 1_000;

/// A judge held against people.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CalibrationObject {
    /// `grader.calibration`.
    object: &'static str,
    grader_id: String,
    /// The run whose verdicts were held against people.
    run_id: String,
    #[serde(flatten)]
    calibration: Calibration,
}

/// Hold a grader against people: annotations that name it and say `good` or `bad` of a trace, or have the
/// label `pass` or `fail`. Without `run_id`, its verdicts in the newest run that it was in.
#[utoipa::path(
    get,
    path = "/v1/graders/{id}/calibration",
    tag = "grade",
    params(
        ("id" = String, Path, description = "The grader's id or name"),
        ("version" = Option<u32>, Query, description = "Its version; that of the run if not given"),
        ("run_id" = Option<String>, Query, description = "The run; the newest that it was in if not given"),
        ("chosen" = Option<String>, Query, description = "How the annotated traces were chosen among the graded ones. `recorded`, which is the default: as the annotations say themselves; those that a label queue asked for have their chances, and of others nobody knows. `random`: no verdict played a part in any. `other`: all as if nobody knew, which allows weaker conclusions"),
    ),
    responses(
        (status = 200, body = CalibrationObject),
        (status = 400, body = ErrorBody),
        (status = 404, description = "There is no such grader or run, or the grader was in none", body = ErrorBody),
        (status = 409, description = "Several versions or models judged in this run", body = ErrorBody)
    )
)]
pub(super) async fn calibration(
    State(state): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
    mut params: Params,
) -> Result<Json<CalibrationObject>, ApiError> {
    let version = take_version(&mut params)?;
    let run_id = params.take("run_id")?;
    let chosen = match params.take("chosen")?.as_deref() {
        Some("random") => Chosen::AtRandom,
        Some("other") => Chosen::Otherwise,
        None | Some("recorded") => Chosen::AsRecorded,
        Some(other) => {
            let message = format!("{other:?} is not recorded, random or other");
            return Err(ApiError::invalid("chosen", message));
        }
    };
    params.finish()?;
    let project = &principal.project;
    let grader = state.store.meta().grader(project, &id, version).await?;
    let run = run_with(&state, project, &grader, version, run_id).await?;
    let labels = labels(&state, project, &grader.id).await?;
    let labels: Vec<HumanLabel> = labels
        .into_iter()
        .filter_map(|it| label(it, &run.id))
        .collect();
    let gathered = gather(&state, &run).await?;
    let options = CalibrateOptions {
        chosen,
        ..CalibrateOptions::default()
    };
    let grader_id = grader.id.clone();
    let work = move || calibrate(&gathered.collected, &grader_id, &labels, &options);
    let calibration = blocking(work).await?;
    let calibration = calibration.map_err(refused)?;
    Ok(Json(CalibrationObject {
        object: "grader.calibration",
        grader_id: grader.id,
        run_id: run.id,
        calibration,
    }))
}

/// Returns why nothing can be held against people, as it is answered.
pub(super) fn refused(error: CalibrateError) -> ApiError {
    let code = match error {
        CalibrateError::NoGrader(_) => ErrorCode::NotFound,
        CalibrateError::Mixed { .. } => ErrorCode::Conflict,
    };
    ApiError::new(code, error.to_string())
}

/// Returns the run that is named, which the grader must have been in, or else the newest that it was in.
pub(super) async fn run_with(
    state: &AppState,
    project: &ProjectId,
    grader: &StoredGrader,
    version: Option<u32>,
    run_id: Option<String>,
) -> Result<GradingRun, ApiError> {
    let Some(run_id) = run_id else {
        return newest_run(state, project, grader, version).await;
    };
    let run = run_of(state, project, &run_id).await?;
    require_in(&run, grader, version)?;
    Ok(run)
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

/// Returns what people say in answer to a grader's question.
pub(super) async fn labels(
    state: &AppState,
    project: &ProjectId,
    grader_id: &str,
) -> Result<Vec<Annotation>, ApiError> {
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
        let page = state
            .store
            .meta()
            .annotations(project, &filter, &asked)
            .await?;
        asked.after = page.entries.last().map(|one| one.id.clone());
        labels.extend(page.entries);
        if !page.has_more {
            return Ok(labels);
        }
    }
}

/// Returns what an annotation says of its trace as a whole, if it does. Only a queue that was drawn from the
/// grades of this run tells with what chance it asked about them.
pub(super) fn label(annotation: Annotation, run_id: &str) -> Option<HumanLabel> {
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
