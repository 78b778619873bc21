//! Which grader is meant? A request may send one, or name one that is saved or ready.

use std::sync::Arc;

use grade::library;
use grade::trace::TraceGrader;
use model::ProjectId;
use serde::Deserialize;
use serde_json::Value;
use store::meta::MetaError;

use super::grader_object::GraderObject;
use crate::error::{ApiError, ErrorCode};
use crate::grading::context::Known;
use crate::state::AppState;

/// What the name of a ready grader begins with.
pub(super) const LIBRARY_PREFIX: &str = "library:";

/// A grader that a request means.
#[derive(Debug, Clone)]
pub(in crate::grading) struct Meant {
    /// Its id; none of one that is not stored.
    pub(in crate::grading) id: Option<String>,
    /// Its version; 1 of one that is not stored.
    pub(in crate::grading) version: u32,
    /// What it says.
    pub(in crate::grading) grader: Arc<TraceGrader>,
}

/// A stored grader as a request names it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reference {
    id: Option<String>,
    name: Option<String>,
    version: Option<u32>,
}

/// Returns the grader that `asked` means: a definition, the name or id of a saved one, `{"id"|"name",
/// "version"?}`, or `library:` with the name of a ready one. `param` is where it stands in the request. One
/// that asks for something which the project does not have is refused.
pub(in crate::grading) async fn meant(
    state: &AppState,
    project: &ProjectId,
    asked: &Value,
    param: &str,
) -> Result<Meant, ApiError> {
    let meant = found(state, project, asked, param).await?;
    let lacking = Known::of(state, project).lacking(&meant.grader);
    match lacking.is_empty() {
        true => Ok(meant),
        false => Err(ApiError::invalid(param, lacking.join("\n"))),
    }
}

/// Returns the grader that is meant, whether the project has what it asks for or not.
async fn found(
    state: &AppState,
    project: &ProjectId,
    asked: &Value,
    param: &str,
) -> Result<Meant, ApiError> {
    match asked {
        Value::String(name) => match name.strip_prefix(LIBRARY_PREFIX) {
            Some(name) => {
                let definition = ready_definition(name)?;
                sent(&definition, param)
            }
            None => stored(state, project, name, None).await,
        },
        Value::Object(fields) if fields.contains_key("type") => sent(asked, param),
        Value::Object(_) => {
            let reference = Reference::deserialize(asked)
                .map_err(|error| ApiError::invalid(param, error.to_string()))?;
            let named = match (reference.id, reference.name) {
                (Some(id), None) => id,
                (None, Some(name)) => name,
                _ => {
                    let message =
                        "a grader is a definition with a `type`, or has an `id` or a `name`";
                    return Err(ApiError::invalid(param, message));
                }
            };
            stored(state, project, &named, reference.version).await
        }
        _ => Err(ApiError::invalid(param, "a grader is an object or a name")),
    }
}

fn sent(definition: &Value, param: &str) -> Result<Meant, ApiError> {
    let grader = TraceGrader::parse(definition)
        .map_err(|problems| ApiError::invalid(param, problems.to_string()))?;
    Ok(Meant {
        id: None,
        version: 1,
        grader: Arc::new(grader),
    })
}

async fn stored(
    state: &AppState,
    project: &ProjectId,
    named: &str,
    version: Option<u32>,
) -> Result<Meant, ApiError> {
    let stored = state.store.meta().grader(project, named, version).await;
    let stored = stored.map_err(|error| match (error, version) {
        (MetaError::NotFound { .. }, None) => {
            let message = format!(
                "there is no grader {named:?}: GET /v1/graders (`tracegrade graders list`) names those that there are"
            );
            ApiError::new(ErrorCode::NotFound, message)
        }
        (error, _) => error.into(),
    })?;
    let definition: Value = serde_json::from_str(&stored.definition).map_err(ApiError::internal)?;
    let grader = TraceGrader::parse(&definition)
        .map_err(|problems| ApiError::internal(problems.to_string()))?;
    Ok(Meant {
        id: Some(stored.id),
        version: stored.version,
        grader: Arc::new(grader),
    })
}

fn ready_definition(name: &str) -> Result<Value, ApiError> {
    let ready = library::find(name).ok_or_else(|| not_ready(name))?;
    Ok(ready.definition.clone())
}

/// Returns a ready grader as it is sent.
pub(super) fn ready(name: &str) -> Result<GraderObject, ApiError> {
    let ready = library::find(name).ok_or_else(|| not_ready(name))?;
    told(ready)
}

/// Returns all ready graders as they are sent.
pub(super) fn all_ready() -> Result<Vec<GraderObject>, ApiError> {
    library::all().iter().map(told).collect()
}

fn not_ready(name: &str) -> ApiError {
    let names = library::all().iter().map(|ready| ready.name.as_str());
    let names: Vec<&str> = names.collect();
    let message = format!(
        "there is no ready grader {name:?}: there are {}",
        names.join(", ")
    );
    ApiError::new(ErrorCode::NotFound, message)
}

fn told(ready: &library::Ready) -> Result<GraderObject, ApiError> {
    let grader = TraceGrader::parse(&ready.definition)
        .map_err(|problems| ApiError::internal(problems.to_string()))?;
    let id = format!("{LIBRARY_PREFIX}{}", ready.name);
    Ok(GraderObject::of_draft(
        id,
        Some(ready.description.clone()),
        &grader,
    ))
}
