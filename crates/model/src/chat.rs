//! What was said between a model and those who call it, in one form.
//!
//! Libraries write messages in a dozen ways. People, graders and search read one: a role and a list of
//! parts, named as in the GenAI conventions of OpenTelemetry.

use std::borrow::Cow;

use serde::Serialize;

use crate::JsonText;

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
    pub fn of_text(role: &str, content: impl Into<String>) -> Self {
        let content = content.into();
        Self::new(role, vec![Part::Text { content }])
    }

    /// Returns a message.
    pub fn new(role: &str, parts: Vec<Part>) -> Self {
        Self {
            role: role.to_owned(),
            name: None,
            parts,
            finish_reason: None,
        }
    }

    /// Returns the words of the message, copied only where they are in several parts; `None` if it has
    /// none.
    pub fn text(&self) -> Option<Cow<'_, str>> {
        let mut texts = self.texts();
        let first = texts.next()?;
        Some(match texts.next() {
            None => Cow::Borrowed(first),
            Some(second) => {
                let mut all = format!("{first}\n{second}");
                for more in texts {
                    all.push('\n');
                    all.push_str(more);
                }
                Cow::Owned(all)
            }
        })
    }

    /// Returns the words of the message; `None` if it has none.
    pub fn words(&self) -> Option<String> {
        self.text().map(Cow::into_owned)
    }

    /// Returns whether it has words.
    pub fn has_words(&self) -> bool {
        self.texts().next().is_some()
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text { content } if !content.is_empty() => Some(content.as_str()),
            _ => None,
        })
    }
}

/// A tool that an agent or a model call was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredTool {
    /// Its name.
    pub name: String,
    /// The JSON schema of its arguments, where it was told.
    pub parameters: Option<JsonText>,
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
