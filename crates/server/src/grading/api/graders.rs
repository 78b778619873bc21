//! Graders over HTTP: saved, listed, retrieved, put away.
//!
//! A grader is found by its id or by its name, and each of its versions stays what it was: a run names
//! the version that it graded with. Saving is checking: every mistake in a definition is told at once.

use axum::Json;
use axum::extract::{Path, State};
use grade::trace::TraceGrader;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use store::meta::{NewGrader, StoredGrader};
use utoipa::ToSchema;

use super::advice::Advice;
use super::grader_object::GraderObject;
use super::named::{self, LIBRARY_PREFIX, stored_grader};
use crate::auth::Principal;
use crate::error::{ApiError, ErrorBody};
use crate::grading::context::Known;
use crate::json::JsonBody;
use crate::listing::List;
use crate::pages::{ListPage, take_page};
use crate::read::{Direction, Params};
use crate::scope::Scope;
use crate::state::AppState;

/// Words that are something else in a path below `/v1/graders`.
const NOT_NAMES: [&str; 3] = ["library", "try", "validate"];

/// A name has no more characters.
pub(super) const NAME_CHARS_MAX: usize = 128;

const DESCRIPTION_CHARS_MAX: usize = 2_000;

/// A grader to be saved: its definition, and what is told of it.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = GraderToSave)]
pub(super) struct GraderSent {
    /// What people call it, and what a run may call it by.
    name: Option<String>,
    /// What it is for.
    description: Option<String>,
    /// The definition, if its fields do not stand beside these two.
    #[schema(value_type = Option<Object>)]
    definition: Option<Value>,
    /// The fields of the definition: `type` and what that type needs.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    fields: Map<String, Value>,
}

/// A grader to be looked at.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GraderDraft {
    /// The definition.
    #[schema(value_type = Object)]
    grader: Value,
}

/// Whether a definition can be used.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Validation {
    /// `grader.validation`.
    object: &'static str,
    valid: bool,
    /// Every mistake, each in a sentence.
    problems: Vec<String>,
    /// The grader as it was understood; null if it was not.
    grader: Option<GraderObject>,
    #[serde(flatten)]
    advice: Advice,
}

/// A grader that was saved, and what there is to be said of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct GraderSaved {
    #[serde(flatten)]
    grader: GraderObject,
    #[serde(flatten)]
    advice: Advice,
}

/// Save a grader. A name that is new becomes version 1; one that is known gets its next version, unless
/// nothing changed, or the latest version has graded nothing yet and is replaced.
#[utoipa::path(
    post,
    path = "/v1/graders",
    tag = "grade",
    request_body = GraderSent,
    responses(
        (status = 200, body = GraderSaved),
        (status = 400, description = "Every mistake in the definition is told", body = ErrorBody),
        (status = 403, description = "The key may not send", body = ErrorBody)
    )
)]
pub(super) async fn save_grader(
    State(state): State<AppState>,
    principal: Principal,
    JsonBody(sent): JsonBody<GraderSent>,
) -> Result<Json<GraderSaved>, ApiError> {
    principal.require(Scope::Ingest)?;
    save(&state, &principal, sent, None).await
}

/// List the project's saved graders in their latest versions, oldest first; those that were put away only if
/// they are asked for.
#[utoipa::path(
    get,
    path = "/v1/graders",
    tag = "grade",
    params(
        ("after" = Option<String>, Query, description = "The grader that the page comes behind"),
        ("limit" = Option<usize>, Query, description = "Entries of a page, 20 if not given"),
        ("order" = Option<String>, Query, description = "`asc`, which is the default, or `desc`"),
        ("include_archived" = Option<bool>, Query, description = "`true`: also those that were put away"),
    ),
    responses((status = 200, body = ListPage<GraderObject>), (status = 400, body = ErrorBody))
)]
pub(super) async fn list_graders(
    State(state): State<AppState>,
    principal: Principal,
    mut params: Params,
) -> Result<Json<ListPage<GraderObject>>, ApiError> {
    let with_archived = params.take_flag("include_archived")?;
    let asked = take_page(&mut params, Direction::Ascending)?;
    params.finish()?;
    let meta = state.store.meta();
    let page = meta.graders(&principal.project, with_archived, &asked);
    let page = page.await?;
    let page = page.try_map(GraderObject::of)?;
    Ok(Json(ListPage::of(page, |grader| &grader.id)))
}

/// Retrieve a grader by its id or its name: its latest version, or the one that is asked for.
#[utoipa::path(
    get,
    path = "/v1/graders/{id}",
    tag = "grade",
    params(
        ("id" = String, Path, description = "The grader's id or name; `library:` and a name is a ready one"),
        ("version" = Option<u32>, Query, description = "The latest if not given"),
    ),
    responses(
        (status = 200, body = GraderObject),
        (status = 400, body = ErrorBody),
        (status = 404, body = ErrorBody)
    )
)]
pub(super) async fn retrieve_grader(
    State(state): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
    mut params: Params,
) -> Result<Json<GraderObject>, ApiError> {
    let version = take_version(&mut params)?;
    params.finish()?;
    if let Some(name) = id.strip_prefix(LIBRARY_PREFIX) {
        return Ok(Json(named::ready(name)?));
    }
    let stored = stored_grader(&state, &principal.project, &id, version).await?;
    Ok(Json(GraderObject::of(stored)?))
}

/// Save a new version of a grader, as saving it under its name does.
#[utoipa::path(
    post,
    path = "/v1/graders/{id}",
    tag = "grade",
    params(("id" = String, Path, description = "The grader's id or name")),
    request_body = GraderSent,
    responses(
        (status = 200, body = GraderSaved),
        (status = 400, description = "Every mistake in the definition is told", body = ErrorBody),
        (status = 403, description = "The key may not send", body = ErrorBody),
        (status = 404, body = ErrorBody)
    )
)]
pub(super) async fn update_grader(
    State(state): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
    JsonBody(sent): JsonBody<GraderSent>,
) -> Result<Json<GraderSaved>, ApiError> {
    principal.require(Scope::Ingest)?;
    let stored = stored_grader(&state, &principal.project, &id, None).await?;
    save(&state, &principal, sent, Some(stored)).await
}

/// List the versions of a grader, the latest first.
#[utoipa::path(
    get,
    path = "/v1/graders/{id}/versions",
    tag = "grade",
    params(("id" = String, Path, description = "The grader's id or name")),
    responses((status = 200, body = List<GraderObject>), (status = 404, body = ErrorBody))
)]
pub(super) async fn list_versions(
    State(state): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<Json<List<GraderObject>>, ApiError> {
    let project = &principal.project;
    let grader = stored_grader(&state, project, &id, None).await?;
    let versions = state.store.meta().grader_versions(project, &grader.id);
    let versions = versions.await?;
    let versions = versions.into_iter().map(GraderObject::of);
    Ok(Json(List::of(versions.collect::<Result<_, _>>()?)))
}

/// Put a grader away: it is listed no more, and what it graded stays.
#[utoipa::path(
    delete,
    path = "/v1/graders/{id}",
    tag = "grade",
    params(("id" = String, Path, description = "The grader's id or name")),
    responses(
        (status = 200, body = GraderObject),
        (status = 403, description = "The key may not delete", body = ErrorBody),
        (status = 404, body = ErrorBody)
    )
)]
pub(super) async fn archive_grader(
    State(state): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<Json<GraderObject>, ApiError> {
    principal.require(Scope::Admin)?;
    let (who, project) = (principal.who(), &principal.project);
    let grader = stored_grader(&state, project, &id, None).await?;
    let meta = state.store.meta();
    let stored = meta.archive_grader(who, project, &grader.id).await?;
    Ok(Json(GraderObject::of(stored)?))
}

/// Check a definition, and return it as it was understood. Nothing is kept.
#[utoipa::path(
    post,
    path = "/v1/graders/validate",
    tag = "grade",
    request_body = GraderDraft,
    responses((status = 200, body = Validation), (status = 400, body = ErrorBody))
)]
pub(super) async fn validate_grader(
    State(state): State<AppState>,
    principal: Principal,
    JsonBody(draft): JsonBody<GraderDraft>,
) -> Json<Validation> {
    let mut advice = Advice::default();
    let (problems, grader) = match TraceGrader::parse(&draft.grader) {
        Ok(grader) => {
            advice = Advice::of(&grader);
            let mut problems = Known::of(&state, &principal.project).lacking(&grader);
            match principal.allows(Scope::Ingest) {
                true => problems.extend(advice.check(&state, &grader).await),
                false => advice.check_not_allowed(&grader),
            }
            let told = || GraderObject::of_draft(String::new(), None, &grader);
            let told = problems.is_empty().then(told);
            (problems, told)
        }
        Err(problems) => (problems.0, None),
    };
    Json(Validation {
        object: "grader.validation",
        valid: grader.is_some(),
        problems,
        grader,
        advice,
    })
}

/// List the ready graders. Each may be named `library:` and its name wherever a grader is named.
#[utoipa::path(
    get,
    path = "/v1/graders/library",
    tag = "grade",
    responses((status = 200, body = List<GraderObject>))
)]
pub(super) async fn list_library(
    _principal: Principal,
) -> Result<Json<List<GraderObject>>, ApiError> {
    Ok(Json(List::of(named::all_ready()?)))
}

async fn save(
    state: &AppState,
    principal: &Principal,
    sent: GraderSent,
    known: Option<StoredGrader>,
) -> Result<Json<GraderSaved>, ApiError> {
    let (definition, name, description) = sent.parts(known)?;
    let grader = TraceGrader::parse(&definition)
        .map_err(|problems| ApiError::invalid("definition", problems.to_string()))?;
    let mut advice = Advice::of(&grader);
    let mut problems = Known::of(state, &principal.project).lacking(&grader);
    problems.extend(advice.check(state, &grader).await);
    if !problems.is_empty() {
        return Err(ApiError::invalid("definition", problems.join("\n")));
    }
    let new = NewGrader {
        name: Some(name),
        kind: grader.kind().to_owned(),
        hash: grader.hash().to_owned(),
        definition: grader.definition().to_string(),
        description,
    };
    let meta = state.store.meta();
    let stored = meta
        .save_grader(principal.who(), &principal.project, &new)
        .await?;
    Ok(Json(GraderSaved {
        grader: GraderObject::of(stored)?,
        advice,
    }))
}

impl GraderSent {
    /// Returns the definition with its name in it, the name, and the description. What is not sent of
    /// a known grader stays.
    fn parts(
        self,
        known: Option<StoredGrader>,
    ) -> Result<(Value, String, Option<String>), ApiError> {
        let mut fields = match self.definition {
            None => self.fields,
            Some(_) if !self.fields.is_empty() => {
                let message = "the definition stands in `definition` or beside it, not both";
                return Err(ApiError::invalid("definition", message));
            }
            Some(Value::Object(fields)) => fields,
            Some(_) => return Err(ApiError::invalid("definition", "it is not an object")),
        };
        let inner = match fields.remove("name") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) => Some(name),
            Some(_) => return Err(ApiError::invalid("name", "it is not a text")),
        };
        let (old_name, old_description) = match known {
            Some(known) => (known.name, known.description),
            None => (None, None),
        };
        let name = self.name.or(inner);
        let name = match (name, old_name) {
            (Some(new), Some(old)) if new != old => {
                let message =
                    format!("the grader is called {old:?}; a name is not changed, but saved anew");
                return Err(ApiError::invalid("name", message));
            }
            (Some(name), _) | (None, Some(name)) => name,
            (None, None) => {
                let message = "a grader is saved under a name, and none is given";
                return Err(ApiError::invalid("name", message));
            }
        };
        check_name(&name)?;
        let description = self.description.or(old_description);
        let is_long = |text: &String| text.chars().count() > DESCRIPTION_CHARS_MAX;
        if description.as_ref().is_some_and(is_long) {
            let message = format!("it has more than {DESCRIPTION_CHARS_MAX} characters");
            return Err(ApiError::invalid("description", message));
        }
        fields.insert("name".to_owned(), Value::String(name.clone()));
        Ok((Value::Object(fields), name, description))
    }
}

/// Refuses what is too long to be called, or would do something to a terminal.
pub(in crate::grading) fn require_label(name: &str) -> Result<(), String> {
    if name.trim().is_empty() || name.chars().count() > NAME_CHARS_MAX {
        return Err(format!(
            "it is empty or has more than {NAME_CHARS_MAX} characters"
        ));
    }
    let turns_text = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    match name.chars().any(|c| c.is_control() || turns_text(c)) {
        true => Err("it has a control character".to_owned()),
        false => Ok(()),
    }
}

/// Refuses a name that could be mistaken for something else where graders are named.
fn check_name(name: &str) -> Result<(), ApiError> {
    let refuse = |message: &str| Err(ApiError::invalid("name", message.to_owned()));
    require_label(name).map_err(|message| ApiError::invalid("name", message))?;
    if name.contains('/') {
        return refuse("it has a slash");
    }
    if NOT_NAMES.contains(&name) || name.starts_with("grader_") || name.starts_with(LIBRARY_PREFIX)
    {
        return refuse(
            "it is taken: library, try, validate, and what begins with grader_ or library:",
        );
    }
    Ok(())
}

pub(super) fn take_version(params: &mut Params) -> Result<Option<u32>, ApiError> {
    let Some(text) = params.take("version")? else {
        return Ok(None);
    };
    let version = text.parse().ok().filter(|version| *version > 0);
    version
        .map(Some)
        .ok_or_else(|| ApiError::invalid("version", format!("{text:?} is not a version: 1, 2, …")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_be_mistaken_for_something_else() {
        for good in ["tool usage", "Güte 1", "a:b", "library"].map(|name| (name, name != "library"))
        {
            assert_eq!(check_name(good.0).is_ok(), good.1, "{good:?}");
        }
        let long = "x".repeat(129);
        for bad in [
            "",
            " ",
            "try",
            "validate",
            "grader_1",
            "library:x",
            "a/b",
            "a\nb",
            &long,
        ] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }
}
