//! What was asked and what was answered, in full: the texts of which a span's previews are the
//! beginnings. They are not stored a second time but read from `span_data` when somebody wants them.

use model::{SpanType, preview};

use crate::dialects::Contents;
use crate::json::{Reader, Tape, Value};
use crate::messages::{ChatMessage, in_order, messages};

use super::conversation;

/// No text of an item is as long; the builder multiplies by four.
const ALL_CHARS: usize = usize::MAX / 8;

/// The texts of one span.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words {
    /// Of a model call the last thing the user said, else what went in.
    pub asked: Option<String>,
    /// Of a model call the last answer, else what came out.
    pub answered: Option<String>,
}

/// Returns what `span_data` says was asked and answered; nothing where it is no JSON.
pub fn words(span_type: SpanType, span_data: &str) -> Words {
    let mut tape = Tape::default();
    let mut reader = Reader::new(span_data.as_bytes());
    if reader.index(&mut tape).is_err() {
        return Words::default();
    }
    let data = tape.root(span_data);
    let (input, output) = (data.get("input"), data.get("output"));
    match span_type {
        SpanType::Generation => {
            let response = data
                .get("response")
                .and_then(|response| response.get("output"));
            Words {
                asked: input.and_then(|input| conversation::asked(input, ALL_CHARS)),
                answered: response
                    .or(output)
                    .and_then(|answer| conversation::answered(answer, ALL_CHARS)),
            }
        }
        _ => {
            let whole = |value: Value<'_, '_>| conversation::begun(value, ALL_CHARS);
            Words {
                asked: input.and_then(whole),
                answered: output.and_then(whole),
            }
        }
    }
}

/// Returns the first words of what went in and of what came out, for a span that has such.
pub(crate) fn previews(span_type: SpanType, span_data: &str) -> (Option<String>, Option<String>) {
    let is_voice = matches!(
        span_type,
        SpanType::Transcription | SpanType::Speech | SpanType::SpeechGroup
    );
    let mut tape = Tape::default();
    if Reader::new(span_data.as_bytes()).index(&mut tape).is_err() {
        return (None, None);
    }
    if is_voice {
        // Audio is an object of base64, which is nothing to look at.
        let data = tape.root(span_data);
        let text =
            |key: &str| conversation::preview(data.get(key).filter(|value| !value.is_object())?);
        return (text("input"), text("output"));
    }
    let Words { asked, answered } = words(span_type, span_data);
    let begun = |text: String| preview(&text).to_owned();
    (asked.map(begun), answered.map(begun))
}

/// Returns what went into a model call and what came out of it as messages, read from its
/// `span_data`; nothing where that is no JSON.
pub fn contents(span_data: &str) -> Contents {
    let mut tape = Tape::default();
    match Reader::new(span_data.as_bytes()).index(&mut tape) {
        Ok(()) => messages_of(tape.root(span_data)),
        Err(_) => Contents::default(),
    }
}

/// Returns the messages of a model call, or of whatever is told like one.
pub(super) fn messages_of(data: Value<'_, '_>) -> Contents {
    let mut told = Contents::default();
    let response = data.get("response");
    // A call that failed has no response that would repeat them.
    let instructions = response.and_then(|response| response.get("instructions"));
    let instructions = instructions.or_else(|| data.get("instructions"));
    let system = instructions.and_then(Value::words);
    told.input
        .extend(system.map(|words| ChatMessage::of_text("system", words)));
    if let Some(input) = data.get("input") {
        let said = in_order(|take| messages(input, "user", take));
        told.input.extend(said);
    }
    let output = response.and_then(|response| response.get("output"));
    if let Some(output) = output.or_else(|| data.get("output")) {
        told.output = in_order(|take| messages(output, "assistant", take));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_told_as_messages() {
        let told = contents(
            r#"{"type":"response","input":[{"role":"user","content":"hi"}],"response":{"instructions":"be kind",
            "output":[{"type":"message","role":"assistant","content":[{"type":"output_text","text":"hello"}]}]}}"#,
        );
        let words = |messages: &[ChatMessage]| {
            let told = messages.iter().map(|m| (m.role.clone(), m.words()));
            told.collect::<Vec<_>>()
        };
        let said = |role: &str, text: &str| (role.to_owned(), Some(text.to_owned()));
        assert_eq!(
            words(&told.input),
            [said("system", "be kind"), said("user", "hi")]
        );
        assert_eq!(words(&told.output), [said("assistant", "hello")]);
        let chat = contents(r#"{"input":"hi","output":[{"role":"assistant","content":"hello"}]}"#);
        assert_eq!(words(&chat.input), [said("user", "hi")]);
        assert_eq!(words(&chat.output), [said("assistant", "hello")]);
        assert_eq!(contents("{"), Contents::default());
    }

    fn check(span_type: SpanType, data: &str, asked: Option<&str>, answered: Option<&str>) {
        let want = Words {
            asked: asked.map(str::to_owned),
            answered: answered.map(str::to_owned),
        };
        assert_eq!(words(span_type, data), want, "{data}");
    }

    #[test]
    fn texts_longer_than_a_preview_come_out_whole() {
        let long = "é\\n".repeat(1_000);
        let text = long.replace("\\n", "\n");
        let chat = format!(
            r#"{{"input":[{{"role":"user","content":"{long}"}},{{"role":"tool","content":"x"}}],
                "output":[{{"role":"assistant","content":"{long}"}}]}}"#
        );
        check(SpanType::Generation, &chat, Some(&text), Some(&text));
        let response = format!(
            r#"{{"input":"{long}","response":{{"object":"response","output":[{{"type":"message","content":[{{"type":"output_text","text":"{long}"}}]}}]}}}}"#
        );
        check(SpanType::Generation, &response, Some(&text), Some(&text));
        let tool = format!(r#"{{"input":{{"a":1}},"output":"{long}"}}"#);
        check(SpanType::Function, &tool, Some(r#"{"a":1}"#), Some(&text));
    }

    #[test]
    fn an_object_in_the_place_of_a_list_is_content() {
        let generation = |data: &str, asked: Option<&str>, answered: Option<&str>| {
            check(SpanType::Generation, data, asked, answered);
        };
        generation(
            r#"{"input":{"question":"why?"},"output":{"answer":42}}"#,
            Some(r#"{"question":"why?"}"#),
            Some(r#"{"answer":42}"#),
        );
        generation(
            r#"{"input":{"role":"user","content":"why?"},"output":{"role":"assistant","content":"because"}}"#,
            Some("why?"),
            Some("because"),
        );
        generation(
            r#"{"output":{"choices":[{"message":{"role":"assistant","content":"because"}}]}}"#,
            None,
            Some("because"),
        );
        generation(
            r#"{"output":{"object":"response","output":[{"type":"message","content":[{"type":"output_text","text":"so"}]}]}}"#,
            None,
            Some("so"),
        );
        generation(r#"{"input":{},"output":{}}"#, None, None);
        let told = contents(
            r#"{"input":{"role":"user","content":"why?"},"output":{"choices":[{"message":{"role":"assistant","content":"because"}}]}}"#,
        );
        assert_eq!(told.input[0].words().as_deref(), Some("why?"));
        assert_eq!(told.output[0].words().as_deref(), Some("because"));
    }

    #[test]
    fn what_is_not_there_is_nothing() {
        check(SpanType::Generation, "{}", None, None);
        check(
            SpanType::Generation,
            r#"{"input":null,"output":[]}"#,
            None,
            None,
        );
        check(SpanType::Function, "[", None, None);
    }
}
