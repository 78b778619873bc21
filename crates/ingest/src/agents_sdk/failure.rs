//! What went wrong in a span: the SDK's sentences as the read model's words.
//!
//! The runner writes a handful of fixed sentences, Python and JavaScript partly different ones, and
//! people set errors of their own. Where no sentence is known, the type of the span decides.

use model::{JsonText, SpanError, SpanType};

use crate::json::{Kind, Value};

/// Returns the error of a span of type `span_type`.
pub(super) fn read(error: Value<'_, '_>, span_type: SpanType) -> SpanError {
    let message = match error.kind() {
        Kind::Object => error
            .get("message")
            .and_then(Value::scalar)
            .unwrap_or_default(),
        Kind::String => error.text().unwrap_or_default(),
        _ => error.raw().into(),
    };
    let data = error.get("data");
    let detail = data
        .and_then(|data| data.get("error"))
        .and_then(Value::text)
        .unwrap_or_default();
    // An error of another make keeps all that it says.
    let is_foreign = error.is_object()
        && error
            .members()
            .any(|(key, _)| !key.is_text("message") && !key.is_text("data"));
    let kept = if is_foreign { Some(error) } else { data };
    SpanError {
        kind: kind(&message, &detail, span_type).to_owned(),
        message: message.clone().into_owned(),
        data: kept.map(|data| JsonText::from_trusted(data.raw())),
    }
}

/// Returns the class of an error from its sentence, the detail in its data, and where it happened.
pub(crate) fn kind<'a>(message: &'a str, detail: &'a str, span_type: SpanType) -> &'a str {
    let kind = match message {
        "Guardrail tripwire triggered" => "guardrail_tripped",
        "Tool not found" => "tool_not_found",
        "Max turns exceeded" => "max_turns",
        "Multiple handoffs requested" => "handoff_conflict",
        "Tool execution cancelled" => "tool_cancelled",
        "Tool execution rejected" => "tool_rejected",
        "Error getting response" | "Error streaming response" => "model_error",
        "Error running tool" | "Error running tool (non-fatal)" => "tool_error",
        "Error in agent run" => of_agent_run(detail),
        _ if message.starts_with("Tool ") && message.contains(" not found") => "tool_not_found",
        _ => of_own_make(message, detail, span_type),
    };
    let may_time_out = !matches!(
        kind,
        "guardrail_tripped" | "tool_not_found" | "max_turns" | "handoff_conflict" | "tool_rejected"
    );
    if may_time_out && (tells_of_timeout(message) || tells_of_timeout(detail)) {
        "timeout"
    } else {
        kind
    }
}

/// JavaScript has one sentence for every end of a run and the exception in the detail.
fn of_agent_run(detail: &str) -> &'static str {
    let class = detail.split(':').next().unwrap_or_default();
    if class.ends_with("GuardrailTripwireTriggered") {
        "guardrail_tripped"
    } else if class == "MaxTurnsExceededError" {
        "max_turns"
    } else if class == "ModelBehaviorError" && detail.contains(" not found") {
        "tool_not_found"
    } else {
        "agent_error"
    }
}

fn of_own_make<'a>(message: &'a str, detail: &str, span_type: SpanType) -> &'a str {
    match span_type {
        SpanType::Generation | SpanType::Embedding | SpanType::Transcription | SpanType::Speech => {
            "model_error"
        }
        // A rejected call has the words that the model is given instead of a result.
        SpanType::Function if tells_of_rejection(message) || tells_of_rejection(detail) => {
            "tool_rejected"
        }
        SpanType::Function | SpanType::McpTools | SpanType::Retrieval => "tool_error",
        SpanType::Agent | SpanType::Turn | SpanType::Task => {
            exception_class(message).unwrap_or("agent_error")
        }
        _ => exception_class(message).unwrap_or("error"),
    }
}

/// Returns the class of `ValueError: bad row`.
fn exception_class(message: &str) -> Option<&str> {
    let class = message.split(':').next()?;
    let is_name = class
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'));
    let is_class = ["Error", "Exception", "Timeout", "Exceeded"]
        .iter()
        .any(|end| class.ends_with(end));
    (is_name && is_class).then_some(class)
}

/// Returns whether a text speaks of a time that was over.
pub(crate) fn tells_of_timeout(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    [
        "timed out",
        "timeout",
        "time-out",
        "deadline exceeded",
        "deadline_exceeded",
        "deadlineexceeded",
    ]
    .iter()
    .any(|words| text.contains(words))
}

fn tells_of_rejection(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.contains("rejected") || text.contains("not approved")
}

#[cfg(test)]
mod tests {
    use super::*;

    use SpanType::{Agent, Custom, Function, Generation, Handoff, Task, Turn};

    /// Where, message, detail, and the word for it.
    const SENTENCES: [(SpanType, &str, &str, &str); 23] = [
        (
            Generation,
            "Error getting response",
            "Error code: 500 - upstream exploded",
            "model_error",
        ),
        (
            Generation,
            "Error streaming response",
            "Request timed out.",
            "timeout",
        ),
        (Generation, "400 bad parameter", "", "model_error"),
        (
            Function,
            "Error running tool (non-fatal)",
            "no",
            "tool_error",
        ),
        (
            Function,
            "Error running tool",
            "TimeoutError: 30 s",
            "timeout",
        ),
        (Function, "Tool execution rejected", "", "tool_rejected"),
        (
            Function,
            "Tool execution was not approved.",
            "",
            "tool_rejected",
        ),
        (
            Function,
            "No.",
            "Tool execution for call_1 was manually rejected by user.",
            "tool_rejected",
        ),
        (Function, "Tool execution cancelled", "", "tool_cancelled"),
        (
            Turn,
            "Guardrail tripwire triggered",
            "",
            "guardrail_tripped",
        ),
        (
            Agent,
            "Error in agent run",
            "InputGuardrailTripwireTriggered: timeout",
            "guardrail_tripped",
        ),
        (
            Task,
            "Error in agent run",
            "MaxTurnsExceededError: 2",
            "max_turns",
        ),
        (
            Turn,
            "Error in agent run",
            "ModelBehaviorError: Tool nope not found in agent A.",
            "tool_not_found",
        ),
        (
            Task,
            "Error in agent run",
            "Error: 400 bad parameter",
            "agent_error",
        ),
        (Turn, "Tool not found", "", "tool_not_found"),
        (
            Turn,
            "Tool nope not found in agent A.",
            "",
            "tool_not_found",
        ),
        (Agent, "Max turns exceeded", "", "max_turns"),
        (
            Handoff,
            "Multiple handoffs requested",
            "",
            "handoff_conflict",
        ),
        (Custom, "row 17 is malformed", "", "error"),
        (Custom, "ValueError: row 17", "", "ValueError"),
        (Custom, "see the Error: here", "", "error"),
        (Custom, "httpx.ReadTimeout: gone", "", "timeout"),
        (Custom, "", "", "error"),
    ];

    #[test]
    fn sentences_become_words() {
        for (span_type, message, detail, want) in SENTENCES {
            assert_eq!(
                kind(message, detail, span_type),
                want,
                "{span_type} {message} {detail}"
            );
        }
    }
}
