//! What an exporter hears, in the form that it spoke in.
//!
//! Exporters send again after 429, 502, 503 and 504 and give up on everything else, 500 included. So
//! a fault of ours is a 503 here, and nothing is refused for good that could be taken later. An answer
//! with `partialSuccess` is never sent again.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ingest::otlp::Encoding;
use ingest::protobuf::Message;
use serde::Serialize;

use crate::error::{ErrorCode, ErrorText};
use crate::intake::Taken;

use super::is_ours;

/// The reasons of so many refused items are told; the count has all of them.
const REASONS_MAX: usize = 3;

/// After a fault of ours an exporter comes back after so many seconds.
pub(crate) const FAULT_RETRY_S: u32 = 5;

/// What of a request was not taken, or what there is to say although all of it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// What JSON calls the count.
    field: &'static str,
    count: usize,
    message: String,
}

impl Refused {
    /// Returns what was refused of `taken`, which counts as `field`.
    pub(crate) fn of(taken: &Taken, field: &'static str) -> Self {
        let reasons = taken.rejected.iter().take(REASONS_MAX);
        let mut message = reasons
            .map(|item| match item.index {
                Some(index) => format!("item {index}: {}", item.reason),
                None => item.reason.clone(),
            })
            .collect::<Vec<_>>()
            .join("; ");
        if taken.rejected_count > REASONS_MAX {
            let more = taken.rejected_count - REASONS_MAX;
            message.push_str(&format!("; and {more} more"));
        }
        Self {
            field,
            count: taken.rejected_count,
            message,
        }
    }

    /// Returns a note for an exporter of which everything was taken.
    pub(crate) fn note(message: &str) -> Self {
        Self {
            field: "rejectedDataPoints",
            count: 0,
            message: message.to_owned(),
        }
    }

    /// Returns the `Export…ServiceResponse`: the three of them have the same fields.
    pub(crate) fn to_protobuf(&self) -> Vec<u8> {
        let mut partial = Message::default();
        partial.varint(1, self.count as u64);
        partial.bytes(2, self.message.as_bytes());
        let mut response = Message::default();
        response.bytes(1, &partial.into_bytes());
        response.into_bytes()
    }

    fn to_json(&self) -> String {
        if self.count == 0 && self.message.is_empty() {
            return "{}".to_owned();
        }
        let mut partial = serde_json::Map::new();
        if self.count > 0 {
            // 64-bit numbers are texts in the JSON of protobuf.
            partial.insert(self.field.to_owned(), self.count.to_string().into());
        }
        partial.insert("errorMessage".to_owned(), self.message.clone().into());
        serde_json::json!({ "partialSuccess": partial }).to_string()
    }
}

/// Returns how a body of this Content-Type is written.
pub(super) fn encoding(content_type: &str) -> Option<Encoding> {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    match media_type.to_ascii_lowercase().as_str() {
        "application/x-protobuf" | "application/protobuf" => Some(Encoding::Protobuf),
        "application/json" => Some(Encoding::Json),
        _ => None,
    }
}

/// Returns the answer to a request that was taken.
pub(super) fn success(encoding: Encoding, refused: &Refused) -> Response {
    let body = match encoding {
        Encoding::Protobuf => refused.to_protobuf(),
        Encoding::Json => refused.to_json().into_bytes(),
    };
    ([(header::CONTENT_TYPE, media_type(encoding))], body).into_response()
}

fn media_type(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Protobuf => "application/x-protobuf",
        Encoding::Json => "application/json",
    }
}

/// Says in an exporter's words why it was refused, whoever refused it.
pub(crate) async fn as_status(request: Request, next: Next) -> Response {
    if !is_ours(&request) {
        return next.run(request).await;
    }
    let content_type = request.headers().get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    // Who speaks neither is most likely a person.
    let encoding = content_type.and_then(encoding).unwrap_or(Encoding::Json);
    let mut response = next.run(request).await;
    let Some(code) = response.extensions().get::<ErrorCode>().copied() else {
        return response;
    };
    let message = response.extensions_mut().remove::<ErrorText>();
    let status = RpcStatus {
        code: rpc_code(code),
        message: message.map(|text| text.0).unwrap_or_default(),
    };
    let body = match encoding {
        Encoding::Protobuf => status.to_protobuf(),
        Encoding::Json => serde_json::to_vec(&status).expect("a number and a text are JSON"),
    };
    // All other headers stay: a page of another origin reads nothing without those of CORS.
    let (mut parts, _) = response.into_parts();
    if parts.status == StatusCode::INTERNAL_SERVER_ERROR {
        parts.status = StatusCode::SERVICE_UNAVAILABLE;
        let retry = HeaderValue::from(FAULT_RETRY_S);
        parts.headers.insert(header::RETRY_AFTER, retry);
    }
    parts.headers.remove(header::CONTENT_LENGTH);
    let content_type = HeaderValue::from_static(media_type(encoding));
    parts.headers.insert(header::CONTENT_TYPE, content_type);
    Response::from_parts(parts, Body::from(body))
}

/// A `google.rpc.Status`.
#[derive(Debug, Serialize)]
struct RpcStatus {
    code: u32,
    message: String,
}

impl RpcStatus {
    fn to_protobuf(&self) -> Vec<u8> {
        let mut out = Message::default();
        out.varint(1, u64::from(self.code));
        out.bytes(2, self.message.as_bytes());
        out.into_bytes()
    }
}

/// Returns the number that gRPC has for an error.
pub(crate) fn rpc_code(code: ErrorCode) -> u32 {
    const INVALID_ARGUMENT: u32 = 3;
    const NOT_FOUND: u32 = 5;
    const PERMISSION_DENIED: u32 = 7;
    const RESOURCE_EXHAUSTED: u32 = 8;
    const UNIMPLEMENTED: u32 = 12;
    const UNAVAILABLE: u32 = 14;
    const UNAUTHENTICATED: u32 = 16;
    match code.status() {
        StatusCode::UNAUTHORIZED => UNAUTHENTICATED,
        StatusCode::FORBIDDEN => PERMISSION_DENIED,
        StatusCode::NOT_FOUND if code == ErrorCode::UnknownUrl => UNIMPLEMENTED,
        StatusCode::NOT_FOUND => NOT_FOUND,
        StatusCode::METHOD_NOT_ALLOWED => UNIMPLEMENTED,
        StatusCode::PAYLOAD_TOO_LARGE => RESOURCE_EXHAUSTED,
        status if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => {
            INVALID_ARGUMENT
        }
        _ => UNAVAILABLE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_as_the_specification_writes_them() {
        let none = Refused {
            field: "rejectedSpans",
            count: 0,
            message: String::new(),
        };
        assert_eq!(
            (none.to_json(), none.to_protobuf()),
            ("{}".to_owned(), vec![])
        );
        let some = Refused {
            count: 200,
            message: "no".to_owned(),
            ..none
        };
        assert_eq!(
            some.to_json(),
            r#"{"partialSuccess":{"rejectedSpans":"200","errorMessage":"no"}}"#
        );
        assert_eq!(some.to_protobuf(), b"\x0a\x07\x08\xc8\x01\x12\x02no");
        let note = Refused::note("later");
        assert_eq!(
            note.to_json(),
            r#"{"partialSuccess":{"errorMessage":"later"}}"#
        );
    }

    #[test]
    fn a_content_type_is_read_as_a_media_type() {
        let check = |text, want| assert_eq!(encoding(text), want, "{text}");
        check("Application/JSON; charset=utf-8", Some(Encoding::Json));
        check("application/x-protobuf", Some(Encoding::Protobuf));
        check("application/protobuf", Some(Encoding::Protobuf));
        check("text/plain", None);
        check("", None);
    }

    #[test]
    fn what_may_pass_is_sent_again_and_nothing_else() {
        for code in [ErrorCode::Busy, ErrorCode::DiskFull, ErrorCode::Internal] {
            assert_eq!(rpc_code(code), 14, "{code:?}");
        }
        for (code, want) in [
            (ErrorCode::InvalidBody, 3),
            (ErrorCode::KeyInvalid, 16),
            (ErrorCode::ScopeMissing, 7),
            (ErrorCode::BodyTooLarge, 8),
            (ErrorCode::UnsupportedType, 3),
            (ErrorCode::UnknownUrl, 12),
        ] {
            assert_eq!(rpc_code(code), want, "{code:?}");
        }
    }
}
