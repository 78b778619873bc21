//! What a project says for grading, over HTTP.

use axum::Json;
use axum::extract::State;
use model::ProjectId;
use serde::Serialize;
use serde_json::{Map, Value};
use store::meta::ProjectSettings;
use utoipa::ToSchema;

use super::change::merge;
use super::read::{problems_of, warnings};
use super::{GRADING, GradingSettings, JUDGE_MODEL};
use crate::auth::Principal;
use crate::error::{ApiError, ErrorBody};
use crate::json::JsonBody;
use crate::scope::Scope;
use crate::state::AppState;

/// What a project says for the grading of its traces.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GradingSettings)]
pub(in crate::grading) struct SettingsObject {
    /// `project.grading_settings`.
    object: &'static str,
    #[schema(value_type = String)]
    project_id: ProjectId,
    /// The model of judges that name none; null: as the server is set up.
    judge_model: Option<String>,
    /// The model that such judges ask: `judge_model`, else that of the server; null: none.
    judge_model_used: Option<String>,
    /// `read` or `write`, by the name of a tool; a star at its end stands for any rest. Of others the first
    /// verb of the name speaks.
    #[schema(value_type = Object)]
    tools: Value,
    /// By the name of a workflow, `*` for what others do not say: `muted_detectors`, `confirm_writes` (D15),
    /// `verify_writes` (D21).
    #[schema(value_type = Object)]
    workflows: Value,
    /// JSON schemas, by the name that `valid(text, name)` gives them.
    #[schema(value_type = Object)]
    schemas: Value,
    /// How many tokens a model can read, by its name; of others it is known for many.
    #[schema(value_type = Object)]
    context_windows: Value,
    /// What of all this has less effect than it seems to.
    warnings: Vec<String>,
}

/// What shall be changed of it: what is not sent stays, and null takes back what was said. Tools, schemas
/// and windows are set entry by entry, workflows field by field.
#[derive(Debug, ToSchema)]
#[schema(as = GradingSettingsChange)]
#[expect(dead_code, reason = "it describes a body that is read entry by entry")]
pub(in crate::grading) struct SettingsChange {
    judge_model: Option<String>,
    #[schema(value_type = Option<Object>)]
    tools: Option<Value>,
    #[schema(value_type = Option<Object>)]
    workflows: Option<Value>,
    #[schema(value_type = Option<Object>)]
    schemas: Option<Value>,
    #[schema(value_type = Option<Object>)]
    context_windows: Option<Value>,
}

impl SettingsObject {
    fn of(state: &AppState, project: &ProjectId, settings: &ProjectSettings) -> Self {
        let told = GradingSettings::of(settings);
        let warnings = warnings(&told);
        let section = |name: &str| {
            let told = settings.other.get(GRADING);
            let section = told.and_then(|told| told.get(name)).cloned();
            section.unwrap_or_else(|| Value::Object(Map::new()))
        };
        let judge = settings.other.get(JUDGE_MODEL).and_then(Value::as_str);
        let judge = judge.map(str::to_owned);
        Self {
            object: "project.grading_settings",
            project_id: project.clone(),
            judge_model_used: judge
                .clone()
                .or_else(|| state.config.grading.judge_model.clone()),
            judge_model: judge,
            tools: section("tools"),
            workflows: section("workflows"),
            schemas: section("schemas"),
            context_windows: section("context_windows"),
            warnings,
        }
    }
}

/// Tell what the project says for the grading of its traces.
#[utoipa::path(
    get,
    path = "/v1/settings/grading",
    tag = "grade",
    responses((status = 200, body = SettingsObject))
)]
pub(in crate::grading) async fn retrieve_settings(
    State(state): State<AppState>,
    principal: Principal,
) -> Result<Json<SettingsObject>, ApiError> {
    let project = &principal.project;
    let settings = state.store.meta().project(project).await?.settings;
    Ok(Json(SettingsObject::of(&state, project, &settings)))
}

/// Change what the project says for the grading of its traces. Every mistake is told at once. Runs that were
/// made before go on by what was said then.
#[utoipa::path(
    post,
    path = "/v1/settings/grading",
    tag = "grade",
    request_body = SettingsChange,
    responses(
        (status = 200, body = SettingsObject),
        (status = 400, description = "All that is wrong, each with its place", body = ErrorBody),
        (status = 403, description = "The key may not change settings", body = ErrorBody)
    )
)]
pub(in crate::grading) async fn change_settings(
    State(state): State<AppState>,
    principal: Principal,
    JsonBody(mut sent): JsonBody<Map<String, Value>>,
) -> Result<Json<SettingsObject>, ApiError> {
    principal.require(Scope::Admin)?;
    let (meta, id) = (state.store.meta(), &principal.project);
    let _alone = state.projects.changing().await;
    let project = meta.project(id).await?;
    let mut settings = project.settings;
    match sent.shift_remove(JUDGE_MODEL) {
        None => {}
        Some(Value::Null) => drop(settings.other.shift_remove(JUDGE_MODEL)),
        Some(judge) => drop(settings.other.insert(JUDGE_MODEL.to_owned(), judge)),
    }
    let there = settings.other.shift_remove(GRADING);
    let mut there = match there {
        Some(Value::Object(there)) => there,
        _ => Map::new(),
    };
    merge(&mut there, sent);
    if !there.is_empty() {
        settings
            .other
            .insert(GRADING.to_owned(), Value::Object(there));
    }
    let problems = problems_of(&settings.other);
    if let Some(first) = problems.first() {
        let field = first.split(':').next().unwrap_or_default().to_owned();
        return Err(ApiError::invalid(field, problems.join("\n")));
    }
    meta.update_project(principal.who(), id, &project.name, &settings)
        .await?;
    state.projects.reload(meta).await?;
    Ok(Json(SettingsObject::of(&state, id, &settings)))
}
