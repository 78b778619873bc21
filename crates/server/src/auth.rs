//! Who asks, and for which project?
//!
//! Every group of routes stands behind [`admit`] with the scope it needs; a handler that gets a
//! [`Principal`] has one that was admitted. Nobody needs a key until the first one is made; until
//! then any `Authorization` is accepted, since the SDKs insist on sending one.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use model::ProjectId;
use store::meta::{DEFAULT_PROJECT, KeyProjects};

use crate::error::{ApiError, ErrorCode};
use crate::keyring::{Grant, Keyring};
use crate::keys;
use crate::scope::Scope;
use crate::state::AppState;

/// The header by which OpenAI's SDKs name the project.
pub(crate) const PROJECT_HEADER: &str = "openai-project";

/// A header for the key, for senders that cannot set `Authorization`.
pub(crate) const KEY_HEADER: &str = "x-tracegrade-key";

/// As [`PROJECT_HEADER`], for calls that are passed on: that one may name a project of the upstream's.
pub(crate) const OWN_PROJECT_HEADER: &str = "x-tracegrade-project";

/// Where a group of routes looks for the key and for the project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// In the headers of OpenAI's clients and of exporters, or in ours.
    Any,
    /// In ours alone: the others are meant for the server that the request is passed on to.
    Own,
}

/// What a request needs to come in by a group of routes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Door {
    pub(crate) scope: Scope,
    pub(crate) credentials: Credentials,
}

/// Who asks, and for which project.
#[derive(Debug, Clone)]
pub(crate) struct Principal {
    /// The project that the request is about.
    pub(crate) project: ProjectId,
    grant: Arc<Grant>,
}

impl Principal {
    /// Returns the name of whoever asks, for the audit log.
    pub(crate) fn who(&self) -> &str {
        &self.grant.who
    }

    /// Returns whether it may do this in its project.
    pub(crate) fn allows(&self, scope: Scope) -> bool {
        self.grant.scopes.allow(scope)
    }

    /// Refuses if it may not do this in its project: for routes that need more than their group.
    pub(crate) fn require(&self, scope: Scope) -> Result<(), ApiError> {
        match self.allows(scope) {
            true => Ok(()),
            false => Err(scope_missing(scope)),
        }
    }

    /// Returns whether it may do everything everywhere.
    pub(crate) fn is_master(&self) -> bool {
        self.allows(Scope::Admin) && self.grant.projects == KeyProjects::All
    }

    /// Refuses if it may not change what concerns all projects: keys, projects, prices.
    pub(crate) fn require_master(&self) -> Result<(), ApiError> {
        match self.is_master() {
            true => Ok(()),
            false => Err(ApiError::new(
                ErrorCode::ScopeMissing,
                "this needs a key with the scope admin for all projects",
            )),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Principal {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let admitted = parts.extensions.get::<Principal>().cloned();
        admitted.ok_or_else(|| ApiError::internal("a route that wants a principal has no door"))
    }
}

/// Lets a request pass that may do what its group of routes does.
pub(crate) async fn admit(
    State((state, door)): State<(AppState, Door)>,
    mut request: Request,
    next: Next,
) -> Response {
    let principal = match authenticate(&state, request.headers(), door.credentials).await {
        Ok(principal) => principal,
        Err(error) => return error.into_response(),
    };
    let project = principal.project.clone();
    let mut response = match principal.require(door.scope) {
        Err(error) => error.into_response(),
        Ok(()) => {
            request.extensions_mut().insert(principal);
            next.run(request).await
        }
    };
    response.extensions_mut().insert(project);
    response
}

async fn authenticate(
    state: &AppState,
    headers: &HeaderMap,
    credentials: Credentials,
) -> Result<Principal, ApiError> {
    let grant = match state.keyring.needed() {
        false => Keyring::local_grant(),
        true => {
            let secret = match credentials {
                Credentials::Any => secret(headers)?,
                Credentials::Own => own_secret(headers)?,
            };
            let meta = state.store.meta();
            let found = state
                .keyring
                .grant(meta, &keys::hash(&secret), state.clock.now())
                .await?;
            found.ok_or_else(|| {
                ApiError::new(
                    ErrorCode::KeyInvalid,
                    "this API key is unknown here or was revoked",
                )
            })?
        }
    };
    let header = match credentials {
        Credentials::Any => PROJECT_HEADER,
        Credentials::Own => OWN_PROJECT_HEADER,
    };
    let named = match headers.get(header).map(|value| value.to_str()) {
        None | Some(Ok("")) => None,
        Some(Ok(text)) => Some(text),
        Some(Err(_)) => return Err(ApiError::invalid(header, "it is not plain text")),
    };
    let project = project(named, header, &grant.projects)?;
    if !grant.projects.contains(&project) || state.projects.settings(&project).is_none() {
        return Err(ApiError::new(
            ErrorCode::ProjectNotFound,
            format!("there is no project {project:?}, or this key does not open it"),
        )
        .of_param(header));
    }
    Ok(Principal { project, grant })
}

/// Returns the project that is named, or else the one that can be meant.
fn project(
    named: Option<&str>,
    header: &str,
    projects: &KeyProjects,
) -> Result<ProjectId, ApiError> {
    if let Some(text) = named {
        return ProjectId::new(text).map_err(|error| ApiError::invalid(header, error.to_string()));
    }
    let default = || ProjectId::new(DEFAULT_PROJECT).expect("it is a short word");
    match projects {
        KeyProjects::Only(ids) if ids.len() == 1 => Ok(ids[0].clone()),
        projects if projects.contains(&default()) => Ok(default()),
        _ => Err(ApiError::new(
            ErrorCode::ProjectMissing,
            format!("this key opens several projects: name one in the header {header}"),
        )
        .of_param(header)),
    }
}

/// Returns the key. Exporters have their vendors' ways to say it: Basic (Langfuse), `x-api-key`
/// (LangSmith), a token without a scheme (Logfire).
fn secret(headers: &HeaderMap) -> Result<Cow<'_, str>, ApiError> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let authorization = text(header::AUTHORIZATION.as_str()).and_then(authorized);
    let others = || [KEY_HEADER, "x-api-key"].into_iter().find_map(text);
    let given = authorization.or_else(|| others().map(Cow::Borrowed));
    given.filter(|secret| !secret.is_empty()).ok_or_else(|| {
        ApiError::new(
            ErrorCode::KeyMissing,
            "an API key is needed: send the header `Authorization: Bearer tg_…`",
        )
    })
}

/// Returns the key of a request whose `Authorization` is another server's.
fn own_secret(headers: &HeaderMap) -> Result<Cow<'_, str>, ApiError> {
    let given = headers
        .get(KEY_HEADER)
        .and_then(|value| value.to_str().ok());
    let given = given.map(str::trim).filter(|secret| !secret.is_empty());
    given.map(Cow::Borrowed).ok_or_else(|| {
        let message = format!(
            "an API key of tracegrade is needed: send the header `{KEY_HEADER}: tg_…` (Authorization is passed on to the upstream)"
        );
        ApiError::new(ErrorCode::KeyMissing, message)
    })
}

fn authorized(value: &str) -> Option<Cow<'_, str>> {
    let Some((scheme, secret)) = value.trim().split_once(' ') else {
        return Some(value.trim().into());
    };
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(secret.trim().into());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = BASE64_STANDARD.decode(secret.trim()).ok()?;
    let pair = String::from_utf8(pair).ok()?;
    let (user, password) = pair.split_once(':').unwrap_or((&pair, ""));
    let secret = if password.is_empty() { user } else { password };
    Some(secret.to_owned().into())
}

fn scope_missing(scope: Scope) -> ApiError {
    let message = format!("this API key does not have the scope {}", scope.as_str());
    ApiError::new(ErrorCode::ScopeMissing, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(named: Option<&str>, ids: Option<&[&str]>, want: Result<&str, ErrorCode>) {
        let projects = match ids {
            None => KeyProjects::All,
            Some(ids) => {
                KeyProjects::Only(ids.iter().map(|id| ProjectId::new(id).unwrap()).collect())
            }
        };
        let got = project(named, PROJECT_HEADER, &projects).map_err(|error| error.code());
        assert_eq!(
            got.as_ref().map(ProjectId::as_str).map_err(|code| *code),
            want,
            "{named:?} {ids:?}"
        );
    }

    #[test]
    fn a_project_is_named_or_cannot_be_mistaken() {
        check(None, None, Ok("default"));
        check(Some("a"), None, Ok("a"));
        check(None, Some(&["a"]), Ok("a"));
        check(None, Some(&["a", "default"]), Ok("default"));
        check(None, Some(&["a", "b"]), Err(ErrorCode::ProjectMissing));
        check(None, Some(&[]), Err(ErrorCode::ProjectMissing));
        check(
            Some(&"x".repeat(300)),
            None,
            Err(ErrorCode::InvalidParameter),
        );
    }

    #[test]
    fn a_key_is_read_from_either_header() {
        let headers = |name: &'static str, value: &'static str| {
            HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())])
        };
        assert_eq!(
            secret(&headers("authorization", "Bearer tg_a")).unwrap(),
            "tg_a"
        );
        assert_eq!(
            secret(&headers("authorization", "bearer  tg_a ")).unwrap(),
            "tg_a"
        );
        assert_eq!(
            secret(&headers("x-tracegrade-key", "tg_a")).unwrap(),
            "tg_a"
        );
        for (value, want) in [
            ("Basic dTpw", "p"),
            ("basic dTo=", "u"),
            ("Basic dQ==", "u"),
            ("tg_a", "tg_a"),
        ] {
            assert_eq!(secret(&headers("authorization", value)).unwrap(), want);
        }
        assert_eq!(secret(&headers("x-api-key", "tg_a")).unwrap(), "tg_a");
        let own = |name, value| own_secret(&headers(name, value)).map(Cow::into_owned).ok();
        assert_eq!(own("x-tracegrade-key", "tg_a").as_deref(), Some("tg_a"));
        assert_eq!(own("authorization", "Bearer tg_a"), None);
        for bad in ["Digest tg_a", "Basic ?", ""] {
            let error = secret(&headers("authorization", bad)).unwrap_err();
            assert_eq!(error.code(), ErrorCode::KeyMissing, "{bad}");
        }
    }
}
