//! Trying a grader out, on one answer and without an eval.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use grade::openai::{Grader, Place, Subject, sample_of_text};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::criteria::refused;
use super::read_json;
use crate::auth::Principal;
use crate::error::{ApiError, ErrorBody};
use crate::scope::Scope;
use crate::state::AppState;

/// A grader to be run on one answer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GraderTrial {
    /// The grader: `string_check`, `text_similarity`, `score_model`, `python` or `multi`.
    #[schema(value_type = Object)]
    grader: Value,
    /// The answer; where it is JSON, `{{sample.output_json}}` is what it says.
    #[schema(value_type = String)]
    model_sample: Value,
    /// What `{{item.…}}` stands for.
    #[schema(value_type = Option<Object>)]
    item: Option<Value>,
}

/// A grader to be looked at.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GraderSent {
    /// The grader.
    #[schema(value_type = Object)]
    grader: Value,
}

/// Run a grader on one answer. A grading that fails is a 200 with a flag and the reward 0.
#[utoipa::path(
    post,
    path = "/v1/fine_tuning/alpha/graders/run",
    tag = "evals",
    request_body = GraderTrial,
    responses(
        (status = 200, description = "`reward`, `sub_rewards`, `metadata` with fourteen flags in `errors`, `model_grader_token_usage_per_model`", body = Object),
        (status = 400, description = "Every mistake in the grader is told", body = ErrorBody),
        (status = 403, description = "The key may not send", body = ErrorBody)
    )
)]
pub(super) async fn run_grader(
    State(state): State<AppState>,
    principal: Principal,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    principal.require(Scope::Ingest)?;
    let (trial, _hold) = read_json::<GraderTrial>(&state, &headers, body).await?;
    let grader = parsed(&state, &trial.grader)?;
    let Value::String(text) = &trial.model_sample else {
        return Err(ApiError::invalid("model_sample", "it is not a text"));
    };
    let item = trial.item.unwrap_or_else(|| json!({}));
    if !item.is_object() {
        return Err(ApiError::invalid("item", "it is not an object"));
    }
    let sample = sample_of_text(text);
    let subject = Subject {
        item: &item,
        sample: &sample,
    };
    let report = grader.run(subject, &state.graders.get()).await;
    Ok(Json(report.to_run_answer()))
}

/// Check a grader, and return it as it was understood.
#[utoipa::path(
    post,
    path = "/v1/fine_tuning/alpha/graders/validate",
    tag = "evals",
    request_body = GraderSent,
    responses(
        (status = 200, description = "`{\"grader\":…}`", body = Object),
        (status = 400, description = "Every mistake in the grader is told", body = ErrorBody),
        (status = 403, description = "The key may not send", body = ErrorBody)
    )
)]
pub(super) async fn validate_grader(
    State(state): State<AppState>,
    principal: Principal,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    principal.require(Scope::Ingest)?;
    let (sent, _hold) = read_json::<GraderSent>(&state, &headers, body).await?;
    let grader = parsed(&state, &sent.grader)?;
    Ok(Json(json!({"grader": grader.to_json()})))
}

fn parsed(state: &AppState, sent: &Value) -> Result<Grader, ApiError> {
    let grader = Grader::parse(sent, Place::GradersRun);
    let grader = grader.map_err(|problems| refused("grader", &problems))?;
    let checked = grader.check(&state.graders.get());
    checked.map_err(|problems| refused("grader", &problems))?;
    Ok(grader)
}
