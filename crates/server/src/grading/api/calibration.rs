//! Is the judge right? Its verdicts in a run, held against what people say of the same traces.

use axum::Json;
use axum::extract::{Path, State};
use grade::calibrate::{CalibrateOptions, Calibration, Chosen, calibrate};
use serde::Serialize;
use utoipa::ToSchema;

use super::gathered::gather;
use super::labelled::{Verdicts, VerdictsAsked, labels, refused};
use crate::auth::Principal;
use crate::error::{ApiError, ErrorBody};
use crate::read::{Params, blocking};
use crate::state::AppState;

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
    let asked = VerdictsAsked::take(&mut params)?;
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
    let Verdicts { grader, run } = asked.find(&state, &principal.project, &id).await?;
    let labels = labels(&state, &run, &grader.id).await?;
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
