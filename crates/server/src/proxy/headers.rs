//! Which headers of a call are ours, which end at the proxy, and which are secret?
//!
//! What a client says to us (`x-tracegrade-…`) is taken off before the call goes on; so is what
//! concerns one connection only (RFC 9110 §7.6.1). Everything else is passed on as it came. Of the
//! headers of a call none is ever kept: they hold the key.

use axum::http::HeaderMap;
use axum::http::header::{self, HeaderName, HeaderValue};
use model::{GroupId, TraceId};

use crate::error::ApiError;

/// All headers that begin like this are ours.
const OURS: &str = "x-tracegrade-";

const TRACE: &str = "x-tracegrade-trace-id";
const GROUP: &str = "x-tracegrade-group-id";
const WORKFLOW: &str = "x-tracegrade-workflow";
const JOIN: &str = "x-tracegrade-join";
const TRACEPARENT: &str = "traceparent";

/// How OpenAI's own clients number their attempts.
const RETRY_COUNT: &str = "x-stainless-retry-count";

/// Longer names of workflows are refused.
const WORKFLOW_BYTES_MAX: usize = 1_024;

/// Headers that concern one connection. What `Connection` names is added to them.
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Headers by which APIs are told a key.
const SECRETS: [HeaderName; 5] = [
    header::AUTHORIZATION,
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("x-goog-api-key"),
    header::COOKIE,
];

/// Content encodings that can be read here; answers to recorded calls come in no other.
const READABLE: [&str; 5] = ["gzip", "x-gzip", "deflate", "zstd", "identity"];

/// What a call says of the trace that it belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) trace_id: Option<String>,
    /// The span that made the call.
    pub(super) parent_id: Option<String>,
    pub(super) group_id: Option<String>,
    pub(super) workflow: Option<String>,
    /// Whether calls that go on from each other belong together.
    pub(super) joins_history: bool,
    /// Which attempt it is, as the client says.
    pub(super) retry: u32,
}

impl Asked {
    /// Takes our headers off a call. Refuses what cannot be meant, before anything is sent.
    pub(super) fn take(headers: &mut HeaderMap) -> Result<Self, ApiError> {
        let asked = Self::read(headers)?;
        let ours: Vec<HeaderName> = headers
            .keys()
            .filter(|name| name.as_str().starts_with(OURS))
            .cloned()
            .collect();
        for name in ours {
            headers.remove(name);
        }
        Ok(asked)
    }

    fn read(headers: &HeaderMap) -> Result<Self, ApiError> {
        let (trace_id, parent_id) = match (text(headers, TRACE), text(headers, TRACEPARENT)) {
            (Some(id), _) => {
                TraceId::new(&id).map_err(|error| ApiError::invalid(TRACE, error.to_string()))?;
                (Some(id), None)
            }
            (None, Some(parent)) => traceparent(&parent).unzip(),
            (None, None) => (None, None),
        };
        let group_id = text(headers, GROUP);
        if let Some(id) = &group_id {
            GroupId::new(id).map_err(|error| ApiError::invalid(GROUP, error.to_string()))?;
        }
        let workflow = text(headers, WORKFLOW);
        if let Some(long) = workflow.as_ref().filter(|w| w.len() > WORKFLOW_BYTES_MAX) {
            let message = format!(
                "a workflow's name may have {WORKFLOW_BYTES_MAX} bytes, this one has {}",
                long.len()
            );
            return Err(ApiError::invalid(WORKFLOW, message));
        }
        let joins_history = match text(headers, JOIN).as_deref() {
            None => false,
            Some("history") => true,
            Some(other) => {
                let message = format!("{other:?} is not known; history is");
                return Err(ApiError::invalid(JOIN, message));
            }
        };
        let retry = text(headers, RETRY_COUNT).and_then(|count| count.parse().ok());
        Ok(Self {
            trace_id,
            parent_id,
            group_id,
            workflow,
            joins_history,
            retry: retry.unwrap_or(0),
        })
    }
}

/// Returns a header's text; an empty one says nothing.
fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?.as_bytes();
    let text = String::from_utf8_lossy(value).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

/// Returns the trace and the span of W3C's `traceparent`; one that is not valid says nothing, as the
/// standard has it.
fn traceparent(value: &str) -> Option<(String, String)> {
    let mut fields = value.split('-');
    let [version, trace, span, flags] = std::array::from_fn(|_| fields.next().unwrap_or(""));
    let is_hex = |field: &str, digits: usize| {
        field.len() == digits
            && field
                .bytes()
                .all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
    };
    let is_id = |field: &str, digits| is_hex(field, digits) && field.bytes().any(|b| b != b'0');
    let is_valid = is_hex(version, 2)
        && version != "ff"
        && (version != "00" || fields.next().is_none())
        && is_id(trace, 32)
        && is_id(span, 16)
        && is_hex(flags, 2);
    is_valid.then(|| (trace.to_owned(), span.to_owned()))
}

/// Removes what concerns one connection only.
pub(super) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in HOP_BY_HOP.into_iter().chain(named) {
        headers.remove(name);
    }
}

/// Takes the encodings out of `Accept-Encoding` that could not be read for the record.
pub(super) fn accept_readable(headers: &mut HeaderMap) {
    let Some(value) = headers.get(header::ACCEPT_ENCODING) else {
        return;
    };
    let Ok(accepted) = value.to_str() else {
        return;
    };
    let is_readable = |item: &&str| {
        let name = item.split(';').next().unwrap_or("").trim();
        READABLE
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known))
    };
    let items = accepted.split(',').map(str::trim);
    let readable: Vec<&str> = items.filter(is_readable).collect();
    let readable = match readable.is_empty() {
        true => "identity".to_owned(),
        false => readable.join(", "),
    };
    if readable != accepted
        && let Ok(value) = HeaderValue::try_from(readable)
    {
        headers.insert(header::ACCEPT_ENCODING, value);
    }
}

/// Returns the secrets of a call, and marks them as such, so that nothing writes them to a log.
pub(super) fn secrets(headers: &mut HeaderMap) -> Vec<String> {
    let mut secrets = Vec::new();
    for name in &SECRETS {
        let header::Entry::Occupied(mut entry) = headers.entry(name) else {
            continue;
        };
        for value in entry.iter_mut() {
            value.set_sensitive(true);
            let text = String::from_utf8_lossy(value.as_bytes());
            // `Bearer sk-…`: the secret is what stands behind the scheme.
            let secret = text.trim().rsplit(' ').next().unwrap_or_default();
            secrets.push(secret.to_owned());
        }
    }
    secrets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            (HeaderName::from_static(name), value)
        };
        pairs.iter().map(pair).collect()
    }

    fn check(pairs: &[(&'static str, &str)], want: Result<Asked, ErrorCode>) {
        let mut given = headers(pairs);
        let got = Asked::take(&mut given).map_err(|error| error.code());
        assert_eq!(got, want, "{pairs:?}");
        if got.is_ok() {
            assert!(given.keys().all(|name| !name.as_str().starts_with(OURS)));
        }
    }

    #[test]
    fn a_call_says_where_it_belongs() {
        const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let some = |text: &str| Some(text.to_owned());
        check(&[("authorization", "Bearer x")], Ok(Asked::default()));
        check(
            &[
                (TRACE, "t1"),
                (GROUP, "g"),
                (WORKFLOW, "späße"),
                (JOIN, "history"),
                (RETRY_COUNT, "2"),
                (TRACEPARENT, PARENT),
                ("x-tracegrade-key", "tg_x"),
                ("x-tracegrade-later", "?"),
            ],
            Ok(Asked {
                trace_id: some("t1"),
                parent_id: None,
                group_id: some("g"),
                workflow: some("späße"),
                joins_history: true,
                retry: 2,
            }),
        );
        let of_parent = Asked {
            trace_id: some("4bf92f3577b34da6a3ce929d0e0e4736"),
            parent_id: some("00f067aa0ba902b7"),
            ..Asked::default()
        };
        check(&[(TRACEPARENT, PARENT), (TRACE, " ")], Ok(of_parent));
        for bad in [
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "nonsense",
        ] {
            check(&[(TRACEPARENT, bad)], Ok(Asked::default()));
        }
        let long = "x".repeat(2_000);
        for name in [TRACE, GROUP, WORKFLOW] {
            check(&[(name, &long)], Err(ErrorCode::InvalidParameter));
        }
        check(&[(JOIN, "yes")], Err(ErrorCode::InvalidParameter));
    }

    #[test]
    fn what_concerns_one_connection_ends_here() {
        let mut given = headers(&[
            ("connection", "close, X-Mine"),
            ("x-mine", "1"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("accept", "*/*"),
        ]);
        remove_hop_by_hop(&mut given);
        let left: Vec<&str> = given.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["accept"]);
    }

    #[test]
    fn answers_come_in_encodings_that_can_be_read() {
        for (given, want) in [
            ("gzip, deflate", "gzip, deflate"),
            ("gzip, deflate, br, zstd", "gzip, deflate, zstd"),
            ("br;q=1.0, GZIP;q=0.5", "GZIP;q=0.5"),
            ("br", "identity"),
            ("*", "identity"),
        ] {
            let mut map = headers(&[("accept-encoding", given)]);
            accept_readable(&mut map);
            assert_eq!(map["accept-encoding"], want, "{given}");
        }
    }

    #[test]
    fn keys_are_known_as_such() {
        let mut map = headers(&[("authorization", "Bearer sk-1"), ("api-key", "k2")]);
        assert_eq!(secrets(&mut map), ["sk-1", "k2"]);
        assert!(map["authorization"].is_sensitive());
        assert_eq!(map["authorization"], "Bearer sk-1", "it is passed on");
    }
}
