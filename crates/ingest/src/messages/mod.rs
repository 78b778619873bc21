//! One form for the messages of a model call, whichever library wrote them.
//!
//! Every library has its own: chat completions, items of the Responses API, parts of OpenTelemetry,
//! Vercel, Anthropic, Bedrock and Gemini, serialised LangChain objects, and attributes flattened to
//! `llm.input_messages.0.message.content`. People and graders read one: a role and a list of parts,
//! named as in the GenAI conventions of OpenTelemetry. It is made from what is stored when somebody
//! asks for it; what was sent stays as it was sent.

mod flat;
mod shapes;
mod tools;

use std::ops::ControlFlow;

use model::JsonText;
use serde::Serialize;

use crate::json::{Reader, Tape, Value};

pub(crate) use flat::{Flat, flattened};
pub(crate) use shapes::{messages, role_word};
pub(crate) use tools::{arguments, documents, result};

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChatMessage {
    /// `system`, `user`, `assistant`, `tool`, or another word of the sender.
    pub role: String,
    /// Who speaks, where several have one role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What is said, in order.
    pub parts: Vec<Part>,
    /// Why the model stopped after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
}

/// One part of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Part {
    /// Words.
    Text {
        /// The words.
        content: String,
    },
    /// What the model thought.
    Reasoning {
        /// The words.
        content: String,
    },
    /// The model asks for a tool.
    ToolCall {
        /// The model's id of the call.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        /// The name of the tool.
        name: String,
        /// Its arguments; a text that holds JSON is given as that JSON.
        #[serde(skip_serializing_if = "Option::is_none")]
        arguments: Option<JsonText>,
    },
    /// What a tool gave back.
    #[serde(rename = "tool_call_response")]
    ToolResult {
        /// The model's id of the call.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        /// What it gave back, as sent.
        response: JsonText,
    },
    /// A picture, a sound or a film.
    Media {
        /// `image`, `audio`, `video`.
        modality: String,
        /// The kind of data, such as `image/png`.
        #[serde(skip_serializing_if = "Option::is_none")]
        mime_type: Option<String>,
        /// Where it lies: a URL, a data URL, or base64.
        #[serde(skip_serializing_if = "Option::is_none")]
        uri: Option<String>,
    },
    /// A file that was sent before.
    File {
        /// Its id or URL.
        #[serde(skip_serializing_if = "Option::is_none")]
        file_id: Option<String>,
        /// Its name.
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// Anything else, as sent.
    Other {
        /// The part as sent.
        value: JsonText,
    },
}

impl ChatMessage {
    /// Returns a message of nothing but words.
    pub(crate) fn of_text(role: &str, content: impl Into<String>) -> Self {
        let content = content.into();
        Self::new(role, vec![Part::Text { content }])
    }

    /// Returns a message.
    pub(crate) fn new(role: &str, parts: Vec<Part>) -> Self {
        Self {
            role: role.to_owned(),
            name: None,
            parts,
            finish_reason: None,
        }
    }

    /// Returns the words of the message; `None` if it has none.
    pub fn words(&self) -> Option<String> {
        let texts = self.parts.iter().filter_map(|part| match part {
            Part::Text { content } if !content.is_empty() => Some(content.as_str()),
            _ => None,
        });
        let texts: Vec<_> = texts.collect();
        (!texts.is_empty()).then(|| texts.join("\n"))
    }
}

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

/// Returns the last thing the user said in `input`.
pub fn asked(input: &[ChatMessage]) -> Option<String> {
    let mut users = input.iter().rev().filter(|message| message.role == "user");
    users.find_map(ChatMessage::words)
}

/// Returns the last answer in `output`; of an answer without words, the tools it calls.
pub fn answered(output: &[ChatMessage]) -> Option<String> {
    if let Some(words) = output.iter().rev().find_map(ChatMessage::words) {
        return Some(words);
    }
    let parts = output.iter().flat_map(|message| &message.parts);
    let calls = parts.filter_map(|part| match part {
        Part::ToolCall {
            name, arguments, ..
        } => {
            let arguments = arguments.as_ref().map(JsonText::as_str);
            Some(format!("{name}({})", arguments.unwrap_or_default()))
        }
        _ => None,
    });
    let calls: Vec<_> = calls.collect();
    (!calls.is_empty()).then(|| calls.join(", "))
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
