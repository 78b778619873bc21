//! D30: errors of known classes, by what their texts say.
//!
//! One set of expressions over each message of an error, once: linear.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::RegexSet;

use super::facts::{Facts, quote};
use super::{Found, Severity};
use crate::view::SpanView;

/// No more of a message is looked at, in bytes: what failed stands at its beginning.
const MESSAGE_BYTES_MAX: usize = 4_096;

/// What kind of failure an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorClass {
    /// 401, 403: the caller may not.
    Auth,
    /// 404: there is no such thing.
    NotFound,
    /// 429: too much was asked.
    RateLimit,
    /// 5xx: the service failed.
    Server,
    /// It took too long.
    Timeout,
    /// A name or a host could not be reached.
    Network,
    /// Memory ran out.
    OutOfMemory,
}

/// Of several that fit the first counts: a code says more than words.
const CLASSES: [(ErrorClass, &str, &str); 7] = [
    (
        ErrorClass::RateLimit,
        "rate_limit",
        r"\b429\b|rate[ _-]?limit|too many requests|quota exceeded|insufficient_quota|resource[ _]exhausted|throttl|overloaded_error",
    ),
    (
        ErrorClass::Auth,
        "auth",
        r"\b40[13]\b|unauthori[sz]ed|forbidden|invalid[ _](?:api[ _])?key|incorrect api key|authentication[ _]?(?:failed|error|required)|permission[ _]?denied|access[ _]denied|invalid[ _](?:token|credentials)|expired token|token expired",
    ),
    (
        ErrorClass::Timeout,
        "timeout",
        r"\b(?:408|504)\b|timed?[ -]?out|deadline[ _]?exceeded|etimedout",
    ),
    (
        ErrorClass::Network,
        "network",
        r"enotfound|eai_again|getaddrinfo|name or service not known|name resolution|could not resolve|nxdomain|dns\b|econnrefused|connection (?:refused|reset|error|aborted)|econnreset|no route to host|network (?:is )?unreachable",
    ),
    (
        ErrorClass::OutOfMemory,
        "out_of_memory",
        r"out of memory|\boom\b|oom[ -]?kill|memoryerror|cannot allocate memory|heap out of memory|exit(?:ed with)? code 137",
    ),
    (
        ErrorClass::Server,
        "server",
        r"\b(?:http|status|code|error)[ :=_-]{0,3}(?:code[ :=]{1,2})?5\d\d\b|internal[ _]server[ _]?error|bad gateway|service[ _]?unavailable|server[ _]error",
    ),
    (
        ErrorClass::NotFound,
        "not_found",
        r"\b404\b|\bnot[ _]?found(?:[ _]error)?\b|no such (?:file|user|order|record|object|key|table|host|resource)|enoent",
    ),
];

static SET: LazyLock<RegexSet> = LazyLock::new(|| {
    let expressions = CLASSES.map(|(_, _, expression)| format!("(?i){expression}"));
    RegexSet::new(expressions).expect("are regular expressions")
});

impl ErrorClass {
    /// Returns the class of an error's text; `None` if it is of none of them.
    pub fn of(message: &str) -> Option<Self> {
        let mut end = message.len().min(MESSAGE_BYTES_MAX);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        let first = SET.matches(&message[..end]).into_iter().next()?;
        Some(CLASSES[first].0)
    }

    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        let mut known = CLASSES.iter().filter(|(class, _, _)| *class == self);
        known.next().map_or("", |(_, word, _)| word)
    }
}

/// Returns the class of the error that a span ended in, by whatever is told of it.
pub(super) fn class_of(span: &SpanView) -> Option<ErrorClass> {
    let error = span.span().error.as_ref()?;
    let detail = error.data.as_ref().map(|data| data.as_str());
    let texts = [
        Some(error.message.as_str()),
        Some(error.kind.as_str()),
        detail,
    ];
    texts.into_iter().flatten().find_map(ErrorClass::of)
}

/// Errors of known classes, one hit for each class.
pub(super) fn api_class(facts: &Facts<'_>) -> Found {
    let mut classes: BTreeMap<ErrorClass, Vec<u32>> = BTreeMap::new();
    for (at, span) in (0u32..).zip(&facts.view.spans) {
        if let Some(class) = class_of(span) {
            classes.entry(class).or_default().push(at);
        }
    }
    let mut hits: Vec<_> = classes.into_iter().collect();
    hits.sort_by_key(|(_, places)| places[0]);
    let hits = hits.into_iter().map(|(class, places)| {
        let first = facts.span(places[0]).span().error.as_ref();
        let message = first.map(|error| quote(&error.cause())).unwrap_or_default();
        let evidence = format!(
            "{} spans failed with errors of the class {}, the first with {message}",
            places.len(),
            class.as_str()
        );
        facts.hit(Severity::Low, &places, evidence)
    });
    Ok(hits.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_errors_have_their_class() {
        let check = |message: &str, want: Option<ErrorClass>| {
            assert_eq!(ErrorClass::of(message), want, "{message}");
        };
        check(
            "Error code: 401 - {'error': 'Incorrect API key provided'}",
            Some(ErrorClass::Auth),
        );
        check("HTTP 403 Forbidden", Some(ErrorClass::Auth));
        check("Order #W1 not found", Some(ErrorClass::NotFound));
        check(
            "Rate limit reached for gpt-4o (429)",
            Some(ErrorClass::RateLimit),
        );
        check(
            "Error code: 500 - upstream exploded",
            Some(ErrorClass::Server),
        );
        check("503 Service Unavailable", Some(ErrorClass::Server));
        check("httpx.ReadTimeout: timed out", Some(ErrorClass::Timeout));
        check(
            "getaddrinfo ENOTFOUND api.example.com",
            Some(ErrorClass::Network),
        );
        check("MemoryError", Some(ErrorClass::OutOfMemory));
        check("there are 500 rows", None);
        check("column 'a' is ambiguous", None);
        check("", None);
        check(&"é".repeat(5_000), None);
    }
}
