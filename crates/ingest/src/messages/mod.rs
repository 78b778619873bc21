//! One form for the messages of a model call, whichever library wrote them.
//!
//! Every library has its own: chat completions, items of the Responses API, parts of OpenTelemetry,
//! Vercel, Anthropic, Bedrock and Gemini, serialised LangChain objects, and attributes flattened to
//! `llm.input_messages.0.message.content`. People and graders read one: a role and a list of parts,
//! named as in the GenAI conventions of OpenTelemetry. It is made from what is stored when somebody
//! asks for it; what was sent stays as it was sent.

mod declared;
mod flat;
mod shapes;
mod tools;

use std::ops::ControlFlow;

use crate::json::{Reader, Tape, Value};
use model::JsonText;

pub use model::{ChatMessage, Part, answered, asked};

pub(crate) use declared::{declared_tools, named, schema, schema_text};
pub(crate) use flat::{Flat, flattened};
pub(crate) use shapes::{messages, role_word};
pub(crate) use tools::{arguments, documents, result};

/// Where messages are handed over, the last first: a history is long, and most who read one want its
/// end. Says whether it wants more.
pub(crate) type Take<'t> = &'t mut dyn FnMut(ChatMessage) -> ControlFlow<()>;

/// Returns all the messages that `walk` hands over, the first first.
pub(crate) fn in_order(walk: impl FnOnce(Take<'_>) -> ControlFlow<()>) -> Vec<ChatMessage> {
    let mut said = Vec::new();
    let _ = walk(&mut |message| {
        said.push(message);
        ControlFlow::Continue(())
    });
    said.reverse();
    said
}

/// JSON text with its index.
#[derive(Debug)]
pub(crate) struct Doc<'a> {
    text: std::borrow::Cow<'a, str>,
    tape: Tape,
}

impl<'a> Doc<'a> {
    /// Returns the text as one JSON value, if it is one.
    pub(crate) fn parse(text: impl Into<std::borrow::Cow<'a, str>>) -> Option<Self> {
        let text = text.into();
        let mut tape = Tape::with_room(text.len());
        let mut reader = Reader::new(text.as_bytes());
        reader.skip_whitespace();
        let from = reader.position();
        reader.index(&mut tape).ok()?;
        let to = reader.position();
        reader.skip_whitespace();
        if reader.peek().is_some() {
            return None;
        }
        let text = match (from, to == text.len()) {
            (0, true) => text,
            _ => text[from..to].to_owned().into(),
        };
        Some(Self { text, tape })
    }

    /// Returns the text as an object or a list, if it is one.
    pub(crate) fn parse_container(text: &'a str) -> Option<Self> {
        let first = text.trim_start().as_bytes().first()?;
        matches!(first, b'{' | b'[')
            .then(|| Self::parse(text))
            .flatten()
    }

    /// Returns the value.
    pub(crate) fn root(&self) -> Value<'_, '_> {
        self.tape.root(&self.text)
    }
}

/// Returns `text` as JSON: the value it holds if it is JSON, else the text as a JSON string.
pub(crate) fn json_or_text(text: &str) -> JsonText {
    match Doc::parse(text) {
        Some(doc) => JsonText::from_trusted(doc.root().raw()),
        None => JsonText::from_trusted(crate::json::json_string(text)),
    }
}
