//! What went wrong in a span, and which of the words about it tell why.
//!
//! A runner says with one of a dozen sentences what it was doing, "Error running tool (non-fatal)", and
//! puts into the data what went wrong. Whoever looks for errors that are alike looks at the cause.

use std::borrow::Cow;

use serde::Deserialize;

use crate::JsonText;

/// What went wrong in a span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpanError {
    /// The class: an exception's name, or one of the words of the read model (`tool_error`, …).
    pub kind: String,
    /// The sender's message.
    pub message: String,
    /// The sender's data, as sent.
    pub data: Option<JsonText>,
}

/// The sentences of the Agents SDK in Python and in JavaScript, which say nothing of what was said.
const SENTENCES: [&str; 12] = [
    "Guardrail tripwire triggered",
    "Tool not found",
    "Max turns exceeded",
    "Multiple handoffs requested",
    "Tool execution cancelled",
    "Tool execution rejected",
    "Tool execution was not approved.",
    "Error getting response",
    "Error streaming response",
    "Error running tool",
    "Error running tool (non-fatal)",
    "Error in agent run",
];

/// What of an error's data tells why.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Told {
    error: Option<serde_json::Value>,
    guardrail: Option<serde_json::Value>,
    tool_name: Option<serde_json::Value>,
}

impl SpanError {
    /// Returns whether a message is a sentence of a runner's own, the same whatever went wrong.
    pub fn is_sentence(message: &str) -> bool {
        SENTENCES.contains(&message)
    }

    /// Returns the words that tell what went wrong: those of the data where the message is a sentence of
    /// the runner, else the message, with what the data add to it.
    pub fn cause(&self) -> Cow<'_, str> {
        let message = self.message.as_str();
        let data = self.data.as_ref().map(JsonText::as_str);
        let data = data.filter(|data| data.starts_with('{'));
        let told = data.and_then(|data| serde_json::from_str::<Told>(data).ok());
        let told = told.unwrap_or_default();
        let is_empty = message.trim().is_empty();
        let is_sentence = Self::is_sentence(message);
        let error = told.error.as_ref().and_then(words);
        match error {
            Some(error) if is_sentence || is_empty => Cow::Owned(error.to_owned()),
            Some(error) if !message.contains(error) => Cow::Owned(format!("{message}: {error}")),
            None if is_sentence => match (&told.guardrail, &told.tool_name) {
                // Who looked comes first: what two guardrails stop are two errors.
                (Some(serde_json::Value::String(name)), _) => {
                    Cow::Owned(format!("{name}: {message}"))
                }
                (_, Some(serde_json::Value::String(name))) => {
                    Cow::Owned(format!("{message}: {name}"))
                }
                _ => Cow::Borrowed(message),
            },
            _ => Cow::Borrowed(message),
        }
    }
}

/// Returns the words of an error that stands in another's data.
fn words(error: &serde_json::Value) -> Option<&str> {
    let words = error.as_str().or_else(|| error.get("message")?.as_str())?;
    Some(words.trim()).filter(|words| !words.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn error(message: &str, data: Option<&str>) -> SpanError {
        SpanError {
            kind: "error".to_owned(),
            message: message.to_owned(),
            data: data.map(JsonText::from_trusted),
        }
    }

    #[test]
    fn what_a_runner_says_gives_way_to_what_went_wrong() {
        let check = |message: &str, data: &str, want: &str| {
            let data = (!data.is_empty()).then_some(data);
            assert_eq!(error(message, data).cause(), want, "{message} {data:?}");
        };
        let tool = "Error running tool (non-fatal)";
        check(
            tool,
            r#"{"tool_name":"f","error":"disk \"a\" is full"}"#,
            "disk \"a\" is full",
        );
        check(
            tool,
            r#"{"tool_name":"f","error":" "}"#,
            "Error running tool (non-fatal): f",
        );
        check(
            tool,
            r#"{"tool_name":7,"error":{"message":"gone","code":410}}"#,
            "gone",
        );
        check(tool, r#"{"error":["a"]}"#, tool);
        check(tool, "", tool);
        check(tool, r#"["error"]"#, tool);
        check(
            "Error in agent run",
            r#"{"error":"Error: 400"}"#,
            "Error: 400",
        );
        check(
            "Max turns exceeded",
            r#"{"max_turns":2}"#,
            "Max turns exceeded",
        );
        check(
            "Tool not found",
            r#"{"tool_name":"nope"}"#,
            "Tool not found: nope",
        );
        let tripped = "Guardrail tripwire triggered";
        check(
            tripped,
            r#"{"guardrail":"homework"}"#,
            "homework: Guardrail tripwire triggered",
        );
    }

    #[test]
    fn what_people_say_stays_and_their_data_add_to_it() {
        let check = |message: &str, data: &str, want: &str| {
            assert_eq!(error(message, Some(data)).cause(), want, "{message} {data}");
        };
        check(
            "row 17 is malformed",
            r#"{"row":17,"field":"total"}"#,
            "row 17 is malformed",
        );
        check(
            "no payment",
            r#"{"error":"card declined"}"#,
            "no payment: card declined",
        );
        check(
            "no payment: card declined",
            r#"{"error":"card declined"}"#,
            "no payment: card declined",
        );
        check("", r#"{"error":"card declined"}"#, "card declined");
        check(
            "no payment",
            r#"{"guardrail":"a","tool_name":"b"}"#,
            "no payment",
        );
        check("no payment", r#"{"error":"a","error":"b"}"#, "no payment");
    }

    proptest! {
        #[test]
        fn any_data_leaves_a_cause(message in ".{0,20}", data in ".{0,60}") {
            let told = error(&message, Some(&data));
            let is_object = data.starts_with('{');
            prop_assert!(is_object || told.cause() == message);
        }

        #[test]
        fn every_sentence_gives_way(at in 0..SENTENCES.len(), cause in "[a-z]{1,20}") {
            let data = format!("{{\"error\":\"{cause}\"}}");
            let told = error(SENTENCES[at], Some(&data));
            prop_assert_eq!(told.cause(), cause);
        }
    }
}
