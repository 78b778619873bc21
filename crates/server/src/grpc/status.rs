//! What does a caller of gRPC hear when something fails?
//!
//! An error is made as everywhere, with its status of HTTP, and retold here at the front: a code, a text,
//! and details for programs. Exporters send again after UNAVAILABLE and give up on what we say else, so
//! that what may pass is UNAVAILABLE with the time to come back; a message that is too large is
//! RESOURCE_EXHAUSTED without one, which tells them to drop it.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use ingest::protobuf::Message;
use model::Source;
use tonic::{Code, Status};

use crate::error::{ApiError, ErrorCode, ErrorText};
use crate::otlp::answer::{FAULT_RETRY_S, rpc_code};
use crate::state::AppState;

/// What a caller may compress with.
const ACCEPT_ENCODING: (HeaderName, HeaderValue) = (
    HeaderName::from_static("grpc-accept-encoding"),
    HeaderValue::from_static("identity,gzip,deflate,zstd"),
);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What stands before all routes.
#[derive(Debug, Clone)]
pub(super) struct Front {
    state: AppState,
    http_url: Arc<str>,
}

impl Front {
    pub(super) fn new(state: &AppState, http_url: &str) -> Self {
        Self {
            state: Arc::clone(state),
            http_url: http_url.into(),
        }
    }

    /// Turns somebody away who does not speak gRPC, most likely an exporter that was given the wrong port.
    fn turn_away(&self, method: &Method) -> Response {
        if method == Method::POST {
            let (losses, now) = (&self.state.losses, self.state.clock.now());
            losses.refused(None, Source::Otlp, now, ErrorCode::UnsupportedType.as_str());
        }
        let message = format!(
            "this port speaks gRPC over HTTP/2 with the Content-Type application/grpc; HTTP, OTLP in \
             protobuf or JSON among it, is answered at {}",
            self.http_url
        );
        ApiError::new(ErrorCode::UnsupportedType, message).into_response()
    }
}

/// Lets calls of gRPC pass, and tells them in gRPC's words how they failed.
pub(super) async fn tell(State(front): State<Front>, request: Request, next: Next) -> Response {
    if request.version() != Version::HTTP_2 || !is_grpc(request.headers()) {
        return front.turn_away(request.method());
    }
    let mut response = next.run(request).await;
    if let Some(code) = response.extensions().get::<ErrorCode>().copied() {
        let text = response.extensions_mut().remove::<ErrorText>();
        let text = text.map(|text| text.0).unwrap_or_default();
        let status = status(code, text, retry_after_s(response.headers()));
        let id = response.headers_mut().remove(REQUEST_ID);
        response = status.into_http();
        if let Some(id) = id {
            response.headers_mut().insert(REQUEST_ID, id);
        }
    }
    let (name, value) = ACCEPT_ENCODING;
    response.headers_mut().insert(name, value);
    response
}

/// Answers a call of what is not there.
pub(super) async fn unknown_method(request: Request) -> ApiError {
    let message = format!(
        "there is no method {}; there are Export of OTLP's TraceService, LogsService and MetricsService, and \
         grpc.health.v1.Health",
        request.uri().path()
    );
    ApiError::new(ErrorCode::UnknownUrl, message)
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let media_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let media_type = media_type.and_then(|text| text.split(';').next());
    media_type.is_some_and(|name| {
        ["application/grpc", "application/grpc+proto"]
            .iter()
            .any(|known| name.trim().eq_ignore_ascii_case(known))
    })
}

fn retry_after_s(headers: &HeaderMap) -> Option<u32> {
    headers
        .get(header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// Returns what a caller hears of an error.
fn status(code: ErrorCode, text: String, retry_after_s: Option<u32>) -> Status {
    let number = match code {
        // The specification of gRPC wants this word for it.
        ErrorCode::UnsupportedEncoding => Code::Unimplemented as u32,
        other => rpc_code(other),
    };
    let rpc_code = Code::from(i32::try_from(number).unwrap_or_default());
    let detail = match rpc_code {
        Code::Unavailable => Some(retry_info(retry_after_s.unwrap_or(FAULT_RETRY_S))),
        Code::InvalidArgument => Some(bad_request(&text)),
        _ => None,
    };
    match detail {
        None => Status::new(rpc_code, text),
        Some(detail) => {
            let details = details(number, &text, &detail);
            Status::with_details(rpc_code, text, details)
        }
    }
}

/// A `google.protobuf.Any` that says what a caller may do about an error.
#[derive(Debug)]
struct Detail {
    type_name: &'static str,
    value: Vec<u8>,
}

fn retry_info(seconds: u32) -> Detail {
    let mut value = Message::default();
    value.message(1, |delay| delay.varint(1, u64::from(seconds)));
    Detail {
        type_name: "google.rpc.RetryInfo",
        value: value.into_bytes(),
    }
}

fn bad_request(description: &str) -> Detail {
    let mut value = Message::default();
    value.message(1, |violation| violation.bytes(2, description.as_bytes()));
    Detail {
        type_name: "google.rpc.BadRequest",
        value: value.into_bytes(),
    }
}

/// Returns the `google.rpc.Status` of the trailer `grpc-status-details-bin`.
fn details(code: u32, text: &str, detail: &Detail) -> Bytes {
    let type_url = format!("type.googleapis.com/{}", detail.type_name);
    let mut out = Message::default();
    out.varint(1, u64::from(code));
    out.bytes(2, text.as_bytes());
    out.message(3, |any| {
        any.bytes(1, type_url.as_bytes());
        any.bytes(2, &detail.value);
    });
    out.into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protobuf::bytes_field;

    fn check(code: ErrorCode, retry_after_s: Option<u32>, want: (Code, Option<(&str, &[u8])>)) {
        let status = status(code, "why".to_owned(), retry_after_s);
        let any = bytes_field(status.details(), 3).unwrap();
        let name = bytes_field(any, 1).unwrap();
        let name = std::str::from_utf8(name).unwrap();
        let detail = name.strip_prefix("type.googleapis.com/google.rpc.");
        let detail = detail.map(|name| (name, bytes_field(any, 2).unwrap()));
        assert_eq!((status.code(), detail), want, "{code:?}");
        assert_eq!(status.message(), "why");
    }

    #[test]
    fn what_may_pass_says_when_to_come_back_and_nothing_else_does() {
        let retry = |wire: &'static [u8]| (Code::Unavailable, Some(("RetryInfo", wire)));
        check(ErrorCode::MemoryFull, Some(7), retry(b"\x0a\x02\x08\x07"));
        check(ErrorCode::DiskFull, Some(30), retry(b"\x0a\x02\x08\x1e"));
        check(ErrorCode::Internal, None, retry(b"\x0a\x02\x08\x05"));
        check(ErrorCode::TimedOut, None, retry(b"\x0a\x02\x08\x05"));
        check(
            ErrorCode::BodyTooLarge,
            None,
            (Code::ResourceExhausted, None),
        );
        let bad: &[u8] = b"\x0a\x05\x12\x03why";
        let bad = (Code::InvalidArgument, Some(("BadRequest", bad)));
        check(ErrorCode::InvalidBody, None, bad);
        check(ErrorCode::KeyInvalid, None, (Code::Unauthenticated, None));
        check(
            ErrorCode::ScopeMissing,
            None,
            (Code::PermissionDenied, None),
        );
        check(ErrorCode::UnknownUrl, None, (Code::Unimplemented, None));
        check(
            ErrorCode::UnsupportedEncoding,
            None,
            (Code::Unimplemented, None),
        );
    }

    #[test]
    fn other_media_types_are_not_taken_for_grpc() {
        let check = |text: &str, want| {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, text.parse().unwrap())]);
            assert_eq!(is_grpc(&headers), want, "{text}");
        };
        check("application/grpc", true);
        check("application/grpc+proto", true);
        check("Application/gRPC; charset=x", true);
        check("application/grpc-web", false);
        check("application/grpc+json", false);
        check("application/x-protobuf", false);
        check("", false);
    }
}
