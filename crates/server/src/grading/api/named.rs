//! Which grader is meant? A request may send one, or name one that is saved or ready.

use std::sync::Arc;

use grade::library;
use grade::trace::TraceGrader;
use insight::rule::nearest;
use model::ProjectId;
use serde::Deserialize;
use serde_json::Value;
use store::meta::{MetaError, StoredGrader};

use super::grader_object::GraderObject;
use super::graders::NAME_CHARS_MAX;
use crate::error::{ApiError, ErrorCode};
use crate::grading::context::Known;
use crate::state::AppState;

/// What the name of a ready grader begins with.
pub(super) const LIBRARY_PREFIX: &str = "library:";

/// So many names, the newest, are looked through for the one that was meant.
const NAMES_MAX: u32 = 1_000;

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
    let stored = stored_grader(state, project, named, version).await?;
    let definition: Value = serde_json::from_str(&stored.definition).map_err(ApiError::internal)?;
    let grader = TraceGrader::parse(&definition)
        .map_err(|problems| ApiError::internal(problems.to_string()))?;
    Ok(Meant {
        id: Some(stored.id),
        version: stored.version,
        grader: Arc::new(grader),
    })
}

/// Returns a stored grader by its id or its name: a version of it, or the latest. Of one that is not there
/// the error says which was most likely meant.
pub(super) async fn stored_grader(
    state: &AppState,
    project: &ProjectId,
    named: &str,
    version: Option<u32>,
) -> Result<StoredGrader, ApiError> {
    let meta = state.store.meta();
    match meta.grader(project, named, version).await {
        Err(MetaError::NotFound { .. }) => {
            let names = meta.grader_names(project, NAMES_MAX).await?;
            let message = format!(
                "there is no grader {named:?}{}",
                meant_instead(named, &names)
            );
            Err(ApiError::new(ErrorCode::NotFound, message))
        }
        found => Ok(found?),
    }
}

/// Returns how an error of an unknown name goes on. `names` are those that the project knows, each with
/// whether it was put away.
fn meant_instead(named: &str, names: &[(String, bool)]) -> String {
    if let Some(name) = near(named, names.iter().map(|(name, _)| name.as_str())) {
        let is_away = names.iter().any(|(it, is_away)| it == name && *is_away);
        return match is_away {
            false => format!("; did you mean {name:?}?"),
            true => format!(
                "; did you mean {name:?}? It was put away: `tracegrade graders list --archived` shows it, \
                 and saving it under its name brings it back"
            ),
        };
    }
    match near(named, library::all().iter().map(|it| it.name.as_str())) {
        Some(name) => format!("; did you mean {LIBRARY_PREFIX}{name}?"),
        None => {
            "; `tracegrade graders list` (GET /v1/graders) shows those that there are".to_owned()
        }
    }
}

/// Returns the name that was most likely meant. What is longer than any name was no slip.
fn near<'k>(named: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let is_name = named.chars().count() <= NAME_CHARS_MAX;
    is_name.then(|| nearest(named, known)).flatten()
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
    let names = || library::all().iter().map(|ready| ready.name.as_str());
    let meant = match near(name, names()) {
        Some(near) => format!("did you mean {LIBRARY_PREFIX}{near}?"),
        None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
    };
    ApiError::new(
        ErrorCode::NotFound,
        format!("there is no ready grader {name:?}; {meant}"),
    )
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_told_with_the_one_that_was_meant() {
        let names = [("tone", false), ("paid-once", true)];
        let names = names.map(|(name, is_away)| (name.to_owned(), is_away));
        let check = |named: &str, want: &str| {
            let told = meant_instead(named, &names);
            assert!(told.contains(want), "{named}: {told}");
        };
        check("tnoe", "did you mean \"tone\"?");
        check("paid-onse", "list --archived");
        check("goal_reachd", "did you mean library:goal_reached?");
        check("something else", "tracegrade graders list");
        check(&"t".repeat(100_000), "tracegrade graders list");
        assert!(!meant_instead("tnoe", &names).contains("--archived"));
    }
}
