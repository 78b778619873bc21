//! May a web page speak to us?
//!
//! Without keys, whoever reaches the server may use it, and a browser on this machine reaches it on
//! behalf of any page. Two doors are shut: a page's own domain name that was rebound to 127.0.0.1
//! shows in `Host`, and a page of another origin shows in `Origin`. Pages that may call are named in
//! the setting `cors_origins`.

use std::net::IpAddr;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::auth::{KEY_HEADER, PROJECT_HEADER};
use crate::error::{ApiError, ErrorCode};
use crate::state::AppState;

/// How long a browser may remember what we allow.
const CORS_MAX_AGE: Duration = Duration::from_secs(600);

/// Refuses requests that a foreign web page made.
pub(crate) async fn check(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let is_local = !state.keyring.needed() && state.config.is_loopback();
    let headers = request.headers();
    let text = |name| {
        headers
            .get(name)
            .map(|value: &HeaderValue| value.to_str().unwrap_or("?"))
    };
    // HTTP/2 has the host in the URL.
    let host = request
        .uri()
        .authority()
        .map(|authority| authority.as_str());
    let host = host.or_else(|| text(header::HOST)).unwrap_or("");
    let asked = Asked {
        host,
        origin: text(header::ORIGIN),
    };
    match judge(&asked, is_local, &state.config.cors_origins) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

/// Returns the layer that answers browsers which ask what they may do, without a key.
pub(crate) fn cors(origins: &[String]) -> CorsLayer {
    let allowed = match origins.iter().any(|origin| origin == "*") {
        true => AllowOrigin::any(),
        false => AllowOrigin::list(origins.iter().filter_map(|origin| origin.parse().ok())),
    };
    CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::CONTENT_ENCODING,
            HeaderName::from_static(PROJECT_HEADER),
            HeaderName::from_static(KEY_HEADER),
            HeaderName::from_static("openai-beta"),
            HeaderName::from_static("openai-organization"),
            HeaderName::from_static("x-request-id"),
        ])
        .expose_headers([HeaderName::from_static("x-request-id"), header::RETRY_AFTER])
        .max_age(CORS_MAX_AGE)
}

/// What a request says of where it goes to and comes from.
#[derive(Debug)]
struct Asked<'a> {
    host: &'a str,
    origin: Option<&'a str>,
}

fn judge(asked: &Asked<'_>, is_local: bool, allowed: &[String]) -> Result<(), ApiError> {
    if is_local && !is_loopback(asked.host) {
        return Err(ApiError::new(
            ErrorCode::ForeignHost,
            format!(
                "without API keys only this machine may ask, by the name localhost or 127.0.0.1, not {:?}; \
                 make a key with `tracegrade keys create admin --scopes admin` to use other names",
                asked.host
            ),
        ));
    }
    let Some(origin) = asked.origin else {
        return Ok(());
    };
    let is_same = origin
        .split_once("://")
        .is_some_and(|(_, host)| host.eq_ignore_ascii_case(asked.host));
    let is_allowed = allowed
        .iter()
        .any(|known| known == "*" || known.eq_ignore_ascii_case(origin));
    match is_same || is_allowed {
        true => Ok(()),
        false => Err(ApiError::new(
            ErrorCode::CrossOrigin,
            format!(
                "web pages of {origin:?} may not call this server; the setting cors_origins names those that may"
            ),
        )),
    }
}

/// Returns whether a `Host` names this machine, whatever the port.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(name, _)| name),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    match name.parse::<IpAddr>() {
        Ok(ip) => ip.is_loopback(),
        Err(_) => {
            let name = name.to_ascii_lowercase();
            name == "localhost" || name.ends_with(".localhost")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(host: &str, origin: Option<&str>, is_local: bool, want: Option<ErrorCode>) {
        let allowed = ["https://app.example".to_owned()];
        let got = judge(&Asked { host, origin }, is_local, &allowed);
        assert_eq!(
            got.err().map(|error| error.code()),
            want,
            "{host} {origin:?} local={is_local}"
        );
    }

    #[test]
    fn only_loopback_names_lead_to_a_server_without_keys() {
        for host in [
            "localhost:4318",
            "LOCALHOST",
            "127.0.0.1:4318",
            "127.9.9.9",
            "[::1]:4318",
            "a.localhost:1",
        ] {
            check(host, None, true, None);
        }
        for host in [
            "",
            "evil.example:4318",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "0.0.0.0:4318",
            "[::]:4318",
            "192.168.1.2",
            "[::1",
            "xlocalhost",
        ] {
            check(host, None, true, Some(ErrorCode::ForeignHost));
            check(host, None, false, None);
        }
    }

    #[test]
    fn pages_of_other_origins_are_refused_unless_they_are_named() {
        let here = "localhost:4318";
        check(here, Some("http://localhost:4318"), true, None);
        check(here, Some("https://app.example"), true, None);
        check(
            "traces.example",
            Some("https://traces.example"),
            false,
            None,
        );
        for foreign in [
            "http://localhost:3000",
            "https://evil.example",
            "null",
            "",
            "?",
            "https://app.example.evil",
        ] {
            check(here, Some(foreign), true, Some(ErrorCode::CrossOrigin));
            check(here, Some(foreign), false, Some(ErrorCode::CrossOrigin));
        }
    }
}
