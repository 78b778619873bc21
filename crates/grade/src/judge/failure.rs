//! What does a failure mean: again later, without something, or never?
//!
//! The status says half of it. 429 is a provider that is busy, and one that is owed money; 400 is a bad
//! request, and a trace that is too long. The codes and words in the body tell them apart, as
//! OpenAI and those who imitate it write them.

use std::time::Duration;

use reqwest::header::HeaderMap;
use serde_json::Value;

use super::backoff::duration;

/// Of what a provider said so much is repeated.
const SAID_CHARS_MAX: usize = 500;

/// Why a judge gave no answer, after all that could be tried was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JudgeError {
    /// It may answer later: time-outs, 429, 5xx, connections, answers that are none.
    #[error("no answer after {tries} tries: {why}")]
    Unavailable {
        /// How often it was asked.
        tries: u32,
        /// What happened the last time.
        why: String,
    },
    /// The question is too long for the model; a shorter one may do.
    #[error("the question is too long for the model: {0}")]
    TooLong(String),
    /// The provider's filter will not let this question through; others it may.
    #[error("the provider's filter stopped the question: {0}")]
    Filtered(String),
    /// The request is wrong: its schema, its parameters.
    #[error("the request was refused: {0}")]
    Request(String),
    /// The key is missing, wrong, or not allowed to do this.
    #[error("the key was refused: {0}")]
    Key(String),
    /// Nothing is left to pay with.
    #[error("credit is exhausted: {0}")]
    Credit(String),
    /// There is no such model, or no such address.
    #[error("the model is not there: {0}")]
    Gone(String),
    /// Nothing was asked: the endpoint's settings make no request.
    #[error("the endpoint is not well configured: {0}")]
    Config(String),
}

impl JudgeError {
    /// Returns whether every question to this model will fail like this, so that a run should pause
    /// and not use up its queue.
    pub fn is_terminal(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::TooLong(_) | Self::Filtered(_) => false,
            Self::Request(_) | Self::Key(_) | Self::Credit(_) | Self::Gone(_) | Self::Config(_) => {
                true
            }
        }
    }
}

/// What to do about a failure.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Failure {
    /// Ask again, after so long if the provider said so.
    Again {
        why: String,
        after: Option<Duration>,
        /// Whether there were too many questions.
        is_limit: bool,
    },
    /// Ask again without what this provider does not know.
    Without(Feature, JudgeError),
    /// Do not ask again.
    Never(JudgeError),
}

/// What a provider may not know of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Feature {
    /// Structured output.
    Schema,
    /// A parameter of sampling, by its name.
    Parameter(&'static str),
}

/// Parameters that can be left out and the question is still the same.
const OPTIONAL: [&str; 6] = [
    "temperature",
    "top_p",
    "seed",
    "reasoning_effort",
    // Before the shorter name that is a part of it.
    "top_logprobs",
    "logprobs",
];

/// Returns what an answer that is not 2xx means.
pub(super) fn classify(status: u16, headers: &HeaderMap, body: &[u8]) -> Failure {
    let said = Said::read(body);
    let told = || format!("{status}: {}", said.text());
    let never = |error: fn(String) -> JudgeError| Failure::Never(error(told()));
    match status {
        _ if said.is_out_of_credit() || status == 402 => never(JudgeError::Credit),
        400 | 413 | 422 | 429 if said.is_too_long() => never(JudgeError::TooLong),
        413 => never(JudgeError::TooLong),
        _ if said.is_filtered() => never(JudgeError::Filtered),
        401 | 403 => never(JudgeError::Key),
        404 | 410 => never(JudgeError::Gone),
        400 | 422 | 501 if said.refused().is_some() => {
            let feature = said.refused().unwrap_or(Feature::Schema);
            Failure::Without(feature, JudgeError::Request(told()))
        }
        408 | 409 | 429 | 500.. if header(headers, "x-should-retry") != Some("false") => {
            Failure::Again {
                why: told(),
                after: asked_wait(headers),
                is_limit: status == 429,
            }
        }
        408 | 409 | 429 | 500.. => Failure::Never(JudgeError::Unavailable {
            tries: 1,
            why: told(),
        }),
        _ => never(JudgeError::Request),
    }
}

/// What the body of an error says.
#[derive(Debug, Default)]
struct Said {
    code: String,
    kind: String,
    param: String,
    message: String,
}

impl Said {
    fn read(body: &[u8]) -> Self {
        let Ok(value) = serde_json::from_slice::<Value>(body) else {
            let message = String::from_utf8_lossy(body).trim().to_owned();
            return Self {
                message,
                ..Self::default()
            };
        };
        let error = match &value["error"] {
            Value::Null => &value,
            error => error,
        };
        let text = |name: &str| match &error[name] {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        let message = match error {
            Value::String(text) => text.clone(),
            _ if text("message").is_empty() => error.to_string(),
            _ => text("message"),
        };
        Self {
            code: text("code"),
            kind: text("type"),
            param: text("param"),
            message,
        }
    }

    fn text(&self) -> String {
        let message: String = self.message.chars().take(SAID_CHARS_MAX).collect();
        match self.code.as_str() {
            "" => message,
            code => format!("{message} ({code})"),
        }
    }

    fn has(&self, words: &[&str]) -> bool {
        let message = self.message.to_lowercase();
        words.iter().any(|word| message.contains(word))
    }

    fn is_out_of_credit(&self) -> bool {
        let codes = [
            "insufficient_quota",
            "billing_hard_limit_reached",
            "billing_not_active",
            "insufficient_credits",
        ];
        codes.contains(&self.code.as_str()) || codes.contains(&self.kind.as_str())
    }

    /// A 429 may say this as well: a question above what may be asked in a minute never passes.
    fn is_too_long(&self) -> bool {
        self.code == "context_length_exceeded"
            || self.has(&[
                "maximum context length",
                "context window",
                "context length",
                "prompt is too long",
                "input is too long",
                "request too large",
            ])
    }

    fn is_filtered(&self) -> bool {
        let codes = [
            "content_filter",
            "content_policy_violation",
            "invalid_prompt",
        ];
        codes.contains(&self.code.as_str())
    }

    /// Returns what the provider does not know, if that can be left out.
    fn refused(&self) -> Option<Feature> {
        // It knows schemas, and this one is wrong: that is for its author.
        if self.code == "invalid_json_schema" || self.has(&["invalid schema"]) {
            return None;
        }
        let names = ["response_format", "json_schema", "text.format"];
        if names.iter().any(|name| self.param.starts_with(name))
            || self.has(&[
                "response_format",
                "json_schema",
                "text.format",
                "structured output",
            ])
        {
            return Some(Feature::Schema);
        }
        let is_unknown = self.code.starts_with("unsupported")
            || self.code.starts_with("unknown_parameter")
            || self.has(&[
                "unsupported",
                "not supported",
                "unrecognized",
                "unknown",
                "not permitted",
            ]);
        let param = self.param.replace("reasoning.effort", "reasoning_effort");
        let named = |name: &&str| param == **name || (param.is_empty() && self.has(&[*name]));
        let named = OPTIONAL.iter().find(|name| named(name));
        named
            .filter(|_| is_unknown)
            .map(|name| Feature::Parameter(name))
    }
}

/// Returns how long the provider asks to be left alone.
fn asked_wait(headers: &HeaderMap) -> Option<Duration> {
    let millis = header(headers, "retry-after-ms").and_then(|text| text.parse::<f64>().ok());
    millis
        .and_then(|millis| Duration::try_from_secs_f64(millis / 1e3).ok())
        .or_else(|| retry_after(headers))
        .or_else(|| reset(headers))
}

/// Seconds, or a date, which is held against the provider's own clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = header(headers, "retry-after")?;
    if let Some(seconds) = duration(text) {
        return Some(seconds);
    }
    let then = httpdate::parse_http_date(text).ok()?;
    let now = httpdate::parse_http_date(header(headers, "date")?).ok()?;
    Some(then.duration_since(now).unwrap_or_default())
}

/// The longest of the resets of those limits that are used up.
fn reset(headers: &HeaderMap) -> Option<Duration> {
    let reset = |what: &str| {
        let left = header(headers, &format!("x-ratelimit-remaining-{what}"));
        let is_used_up = left.is_none_or(|left| left.parse::<f64>().is_ok_and(|left| left < 1.0));
        let reset = header(headers, &format!("x-ratelimit-reset-{what}")).filter(|_| is_used_up)?;
        duration(reset)
    };
    reset("requests").max(reset("tokens"))
}

/// Returns a header that is text.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
    use serde_json::json;

    use super::{Failure, Feature, JudgeError, classify};

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        };
        pairs.iter().map(pair).collect()
    }

    fn check(status: u16, code: &str, param: &str, message: &str) -> Failure {
        let body =
            json!({"error": {"code": code, "param": param, "message": message, "type": "x"}});
        classify(status, &HeaderMap::new(), body.to_string().as_bytes())
    }

    #[test]
    fn failures_that_may_pass_are_told_from_those_that_will_not() {
        for status in [408, 409, 429, 500, 502, 503, 529] {
            let failure = check(status, "", "", "later");
            let Failure::Again { is_limit, .. } = failure else {
                panic!("{status}: {failure:?}");
            };
            assert_eq!(is_limit, status == 429);
        }
        let never = |status, code, message| match check(status, code, "", message) {
            Failure::Never(error) => error,
            other => panic!("{other:?}"),
        };
        assert!(matches!(
            never(400, "", "messages: expected a list"),
            JudgeError::Request(_)
        ));
        assert!(matches!(never(302, "", ""), JudgeError::Request(_)));
        assert!(matches!(
            never(401, "invalid_api_key", "no"),
            JudgeError::Key(_)
        ));
        assert!(matches!(never(403, "", "country"), JudgeError::Key(_)));
        assert!(matches!(
            never(404, "model_not_found", "gone"),
            JudgeError::Gone(_)
        ));
        assert!(matches!(
            never(429, "insufficient_quota", "pay"),
            JudgeError::Credit(_)
        ));
        assert!(matches!(never(402, "", "pay"), JudgeError::Credit(_)));
        let filtered = never(400, "content_filter", "no");
        assert!(matches!(filtered, JudgeError::Filtered(_)) && !filtered.is_terminal());
        assert!(never(429, "insufficient_quota", "pay").is_terminal());
        let long = [
            (400, "context_length_exceeded", ""),
            (
                400,
                "",
                "This model's maximum context length is 128000 tokens.",
            ),
            (
                429,
                "rate_limit_exceeded",
                "Request too large for gpt-4o on tokens per min",
            ),
            (413, "", "no"),
        ];
        for (status, code, message) in long {
            let error = never(status, code, message);
            assert!(matches!(error, JudgeError::TooLong(_)), "{error:?}");
            assert!(!error.is_terminal());
        }
    }

    #[test]
    fn what_a_provider_does_not_know_is_named() {
        let without = |status, code, param, message| match check(status, code, param, message) {
            Failure::Without(feature, _) => Some(feature),
            _ => None,
        };
        let schema = Some(Feature::Schema);
        assert_eq!(without(400, "", "response_format", "no"), schema);
        assert_eq!(
            without(400, "", "", "'json_schema' is not supported"),
            schema
        );
        assert_eq!(without(422, "", "text.format", "no"), schema);
        let heat = Some(Feature::Parameter("temperature"));
        assert_eq!(without(400, "unsupported_value", "temperature", "no"), heat);
        assert_eq!(
            without(400, "", "", "Unsupported parameter: temperature"),
            heat
        );
        // It is known, and wrong: that is for the author.
        assert_eq!(
            without(400, "invalid_value", "temperature", "must be below 2"),
            None
        );
        assert_eq!(
            without(400, "unsupported_parameter", "messages", "no"),
            None
        );
    }

    #[test]
    fn providers_say_how_long_to_wait() {
        let after =
            |pairs: &[(&'static str, &'static str)]| match classify(429, &headers(pairs), b"") {
                Failure::Again { after, .. } => after.map(|it| it.as_millis()),
                other => panic!("{other:?}"),
            };
        assert_eq!(after(&[("retry-after", "3")]), Some(3_000));
        assert_eq!(
            after(&[("retry-after", "3"), ("retry-after-ms", "1500")]),
            Some(1_500)
        );
        let date = [
            ("date", "Wed, 21 Oct 2026 07:28:00 GMT"),
            ("retry-after", "Wed, 21 Oct 2026 07:28:09 GMT"),
        ];
        assert_eq!(after(&date), Some(9_000));
        assert_eq!(after(&date[1..]), None);
        let resets = [
            ("x-ratelimit-reset-requests", "6m0s"),
            ("x-ratelimit-remaining-requests", "10"),
            ("x-ratelimit-reset-tokens", "20ms"),
            ("x-ratelimit-remaining-tokens", "0"),
        ];
        assert_eq!(after(&resets), Some(20));
        assert_eq!(after(&[("x-ratelimit-reset-requests", "1s")]), Some(1_000));
        assert_eq!(after(&[("retry-after", "soon")]), None);
        assert_eq!(after(&[]), None);
    }

    #[test]
    fn a_provider_may_forbid_to_ask_again() {
        let never = classify(500, &headers(&[("x-should-retry", "false")]), b"");
        assert!(matches!(
            never,
            Failure::Never(JudgeError::Unavailable { .. })
        ));
    }

    #[test]
    fn bodies_of_any_kind_are_repeated_in_part() {
        let told = |body: &[u8]| match classify(400, &HeaderMap::new(), body) {
            Failure::Never(error) => error.to_string(),
            other => panic!("{other:?}"),
        };
        assert!(told(b"<html>bad gateway").contains("<html>bad gateway"));
        assert!(told(br#"{"error": "no"}"#).ends_with("400: no"));
        assert!(told(br#"{"detail": ["x"]}"#).contains("detail"));
        assert!(told(&vec![b'x'; 100_000]).len() < 1_000);
        assert!(told(b"\xff\xfe").contains("400"));
    }
}
