//! What went wrong with a call, in the words by which people filter.
//!
//! OpenAI's `code` says most, then the status; makers of compatible APIs often send one of the two.
//! The message stays theirs.

use crate::json::{Kind, Reader, Tape, Value};

/// Why a call has no whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// One word, such as `rate_limit`, `upstream_cut` or `client_disconnected`.
    pub kind: &'static str,
    /// What happened, in the words of whoever said so.
    pub message: String,
}

/// A failure with what the API said of it as data.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) failure: Failure,
    /// The error as sent: JSON text.
    pub(crate) data: Option<String>,
}

/// Codes of OpenAI's that say more than the status that comes with them.
const CODES: [(&str, &str); 12] = [
    ("rate_limit_exceeded", "rate_limit"),
    ("insufficient_quota", "insufficient_quota"),
    ("context_length_exceeded", "context_length_exceeded"),
    ("string_above_max_length", "context_length_exceeded"),
    ("content_filter", "content_filter"),
    ("content_policy_violation", "content_filter"),
    ("invalid_api_key", "authentication"),
    ("model_not_found", "not_found"),
    ("server_error", "server_error"),
    ("server_overloaded", "server_error"),
    ("overloaded_error", "server_error"),
    ("timeout", "timeout"),
];

/// Returns the word for an error with this code, type and status.
fn kind(codes: [Option<&str>; 2], status: u16) -> &'static str {
    let by_code = codes.into_iter().flatten().find_map(|code| {
        let known = CODES.iter().find(|(known, _)| *known == code);
        known.map(|(_, word)| *word)
    });
    by_code.unwrap_or(match status {
        401 => "authentication",
        403 => "permission_denied",
        404 => "not_found",
        408 | 504 => "timeout",
        409 => "conflict",
        413 => "request_too_large",
        429 => "rate_limit",
        400..=499 => "invalid_request",
        500..=599 => "server_error",
        _ => "model_error",
    })
}

/// Returns the failure that `error` tells: the object that OpenAI's answers have under that key.
pub(crate) fn of_error(error: Value<'_, '_>, status: u16) -> Told {
    let text = |key: &str| error.get(key).and_then(Value::scalar);
    let message = match error.kind() {
        Kind::Object => text("message"),
        _ => error.scalar(),
    };
    let message = message.map_or_else(|| error.raw().to_owned(), |text| text.into_owned());
    Told {
        failure: Failure {
            kind: kind([text("code").as_deref(), text("type").as_deref()], status),
            message,
        },
        data: Some(error.raw().to_owned()),
    }
}

/// Returns the failure that an answer with the status of an error tells. OpenAI's body is
/// `{"error":{…}}`; others send `{"message":…}`, `{"detail":…}`, a page, or nothing.
pub(super) fn of_answer(body: &str, status: u16) -> Told {
    let mut tape = Tape::default();
    let body = body.trim_ascii();
    if Reader::new(body.as_bytes()).index(&mut tape).is_ok() {
        let root = tape.root(body);
        let inner = root.elements().next().unwrap_or(root);
        let told = inner.get("error").or_else(|| inner.get("detail"));
        return of_error(told.unwrap_or(inner), status);
    }
    let message = match body {
        "" => format!("the upstream answered {status} without a word"),
        text => text.to_owned(),
    };
    Told {
        failure: Failure {
            kind: kind([None, None], status),
            message,
        },
        data: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, status: u16, kind: &str, message: &str) {
        let told = of_answer(body, status);
        assert_eq!(
            (told.failure.kind, told.failure.message.as_str()),
            (kind, message),
            "{body}"
        );
    }

    #[test]
    fn codes_and_statuses_become_words() {
        check(
            r#"{"error":{"message":"Slow down.","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#,
            429,
            "rate_limit",
            "Slow down.",
        );
        check(
            r#"{"error":{"message":"Pay.","type":"insufficient_quota","code":null}}"#,
            429,
            "insufficient_quota",
            "Pay.",
        );
        check(
            r#"{"error":{"message":"too long","code":"context_length_exceeded"}}"#,
            400,
            "context_length_exceeded",
            "too long",
        );
        check(r#"{"error":"nope"}"#, 404, "not_found", "nope");
        check(
            r#"[{"error":{"message":"x","code":503}}]"#,
            503,
            "server_error",
            "x",
        );
        check(r#"{"message":"no"}"#, 401, "authentication", "no");
        check(r#"{"detail":"no"}"#, 422, "invalid_request", "no");
        check(
            "<html>Bad Gateway</html>",
            502,
            "server_error",
            "<html>Bad Gateway</html>",
        );
        check(
            "",
            504,
            "timeout",
            "the upstream answered 504 without a word",
        );
        check(
            "upstream request timeout",
            408,
            "timeout",
            "upstream request timeout",
        );
        check("moved", 302, "model_error", "moved");
    }
}
