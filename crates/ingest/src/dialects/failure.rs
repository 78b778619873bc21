//! Did a span fail, and what is said about it?

use model::{JsonText, SpanError, SpanType};

use crate::agents_sdk::{error_kind, tells_of_timeout};
use crate::messages::Doc;
use crate::otlp::RawEvent;

use super::Seen;

/// Logfire's number for the level `error`.
const LEVEL_ERROR: i64 = 17;

const TRACEBACK: &str = "Traceback (most recent call last)";

/// Returns what went wrong, if something did. A status of OK does not overrule an `error.type`; an
/// exception that a span got over does not fail it.
pub(crate) fn error(seen: &Seen<'_, '_>, span_type: SpanType) -> Option<SpanError> {
    let exception = exception(seen.events);
    let level = seen.attributes.get("logfire.level_num");
    // Strands: the call of a tool has gone well, what it gave back is an error.
    let of_tool = seen
        .attributes
        .first_text(&["gen_ai.tool.status", "tool.status"]);
    let has_failed = seen.status_code == 2
        || seen.text("langfuse.observation.level") == Some("ERROR")
        || level.and_then(|level| level.count()) >= Some(LEVEL_ERROR)
        || seen.attributes.has("error.type")
        || (span_type == SpanType::Function && of_tool == Some("error"))
        || (seen.status_code == 0 && exception.is_some());
    has_failed.then(|| told(seen, exception, span_type))
}

/// Returns the last exception among the events: earlier ones were got over.
fn exception<'s, 'b>(events: &'s [RawEvent<'b>]) -> Option<&'s RawEvent<'b>> {
    const NAMES: [&str; 2] = ["exception", "gen_ai.client.operation.exception"];
    let mut events = events.iter().rev();
    events.find(|event| NAMES.contains(&&*event.name))
}

fn told(seen: &Seen<'_, '_>, exception: Option<&RawEvent<'_>>, span_type: SpanType) -> SpanError {
    let of_event = |key: &str| exception?.attributes.get(key)?.scalar().map(String::from);
    let class = of_event("exception.type")
        .or_else(|| seen.attributes.get("error.type")?.scalar().map(Into::into))
        .filter(|class| class != "_OTHER");
    let (of_logfire, data) = logfire(seen);
    let text = |key: &str| seen.text(key).map(str::to_owned);
    let status = Some(seen.status_message).filter(|message| !message.is_empty());
    // Some write the class before a message that is empty.
    let alone = |message: &str| {
        let named = message.trim_end_matches([':', ' ']);
        class
            .as_deref()
            .is_some_and(|class| short_class(class) == named)
    };
    let (bare, status) = match status {
        Some(message) if alone(message) => (Some(message), None),
        status => (None, status),
    };
    let message = of_event("exception.message")
        .or_else(|| text("langfuse.observation.status_message"))
        .or(of_logfire)
        .or_else(|| status.map(str::to_owned))
        .or_else(|| text("error.message"))
        .or_else(|| seen.attributes.get("error.type")?.scalar().map(Into::into))
        .or_else(|| given_back(seen, span_type))
        .or_else(|| bare.map(str::to_owned))
        .unwrap_or_default();
    error_of(class.as_deref(), without_trace(&message), data, span_type)
}

/// Returns the words of a tool that failed, where nothing else tells what went wrong.
fn given_back(seen: &Seen<'_, '_>, span_type: SpanType) -> Option<String> {
    if span_type != SpanType::Function {
        return None;
    }
    let result = super::contents(seen, span_type, true).result?;
    let doc = Doc::parse(result.as_str())?;
    let words = doc.root().words()?;
    Some(words.into())
}

/// Returns an error from its class and its words.
fn error_of(
    class: Option<&str>,
    message: &str,
    data: Option<JsonText>,
    span_type: SpanType,
) -> SpanError {
    let kind = match class.map(short_class) {
        Some(class) if tells_of_timeout(class) || tells_of_timeout(message) => "timeout",
        Some(class) => class,
        None => error_kind(message, "", span_type),
    };
    SpanError {
        kind: kind.to_owned(),
        message: message.to_owned(),
        data,
    }
}

/// Returns the class without its module: `openai.BadRequestError` is a `BadRequestError`.
fn short_class(class: &str) -> &str {
    let last = class.rsplit(['.', ':']).next().unwrap_or(class);
    if last.is_empty() { class } else { last }
}

/// Returns the words in front of a stack trace, which some libraries write into the message.
fn without_trace(message: &str) -> &str {
    let before = message.split(TRACEBACK).next().unwrap_or_default().trim();
    if !before.is_empty() {
        return before;
    }
    let mut lines = message.lines().rev().map(str::trim);
    lines.find(|line| !line.is_empty()).unwrap_or(message)
}

/// Logfire's `error`: `{"message":…,"data":…}`.
fn logfire(seen: &Seen<'_, '_>) -> (Option<String>, Option<JsonText>) {
    let doc = seen.text("error").and_then(Doc::parse_container);
    let Some(doc) = doc else {
        return (None, None);
    };
    let message = doc.root().get("message").and_then(|text| text.words());
    let data = doc.root().get("data");
    let data = data.map(|data| JsonText::from_trusted(data.raw()));
    (message.map(Into::into), data)
}
