//! What is there to show, each text once?
//!
//! Every model call sends the whole history again. Before anything is shown, each message is looked at once:
//! the same message, by pointer or by what it says, gets the same number, and the histories become paths in a
//! tree. "This input goes on where that one ended" is then one look-up, however long both are.

use std::borrow::Cow;
use std::sync::Arc;

use hashbrown::HashMap;
use model::{ChatMessage, JsonText, Part};

use super::tokens::{Weight, weigh};
use crate::view::decoded;
use crate::{DeclaredTool, SpanView, TraceView};

/// Texts shorter than this are shown again rather than referred to.
pub(super) const REFERRED_CHARS_MIN: usize = 80;

/// The kind of what asks for tools.
pub(super) const CALLS: &str = "calls";

/// The beginning of a history, as a node of the tree.
pub(super) const START: u32 = 0;

/// A part of what a span tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Field {
    /// The instructions of a model call: the system messages at its head.
    System,
    /// The tools it was given.
    Tools,
    /// What went in.
    Input,
    /// What came out.
    Output,
    /// What went wrong.
    Error,
}

impl Field {
    /// Every field, in the order in which they are shown.
    pub const ALL: [Self; 5] = [
        Self::System,
        Self::Tools,
        Self::Input,
        Self::Output,
        Self::Error,
    ];

    /// Returns its name in prompts and in calls of the reading tools.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Tools => "tools",
            Self::Input => "input",
            Self::Output => "output",
            Self::Error => "error",
        }
    }
}

/// A run of a message's parts of one kind.
#[derive(Debug)]
pub(super) struct Piece<'a> {
    pub(super) role: Option<&'a str>,
    /// What it is, where it is not just words.
    pub(super) kind: Option<&'static str>,
    pub(super) text: Cow<'a, str>,
    pub(super) chars: usize,
    pub(super) weight: Weight,
    /// The same text has the same number.
    pub(super) text_id: u32,
}

/// A message, or a text that is none.
#[derive(Debug)]
pub(super) struct Saying<'a> {
    pub(super) pieces: Vec<Piece<'a>>,
}

impl Saying<'_> {
    /// Returns its length in characters: its pieces, a line end between each two.
    pub(super) fn chars(&self) -> usize {
        let words: usize = self.pieces.iter().map(|piece| piece.chars).sum();
        words + self.pieces.len().saturating_sub(1)
    }
}

/// What one span tells: numbers of sayings.
#[derive(Debug, Default)]
pub(super) struct SpanTold {
    pub(super) system: Vec<u32>,
    pub(super) tools: Option<u32>,
    pub(super) input: Vec<u32>,
    pub(super) output: Vec<u32>,
    pub(super) error: Option<u32>,
    /// The node after each message of `input`; empty where the input is no history.
    pub(super) path: Vec<u32>,
    /// The node after `input` and `output`.
    pub(super) path_after: u32,
}

/// One addressable text of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) at: u32,
    pub(super) field: Field,
    /// Which message of the field, where there are several.
    pub(super) message: Option<u32>,
}

impl Address {
    /// Returns the field as it is named in prompts, such as `input.3`.
    pub(super) fn field_name(self) -> String {
        match self.message {
            Some(message) => format!("{}.{message}", self.field.as_str()),
            None => self.field.as_str().to_owned(),
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", super::span_name(self.at), self.field_name())
    }
}

/// All that a trace tells.
#[derive(Debug)]
pub(super) struct Told<'a> {
    pub(super) sayings: Vec<Saying<'a>>,
    pub(super) spans: Vec<SpanTold>,
    /// How many different texts there are.
    pub(super) text_count: usize,
    /// How many nodes the tree of histories has.
    pub(super) node_count: usize,
}

impl<'a> Told<'a> {
    /// Returns what `view` tells.
    pub(super) fn of(view: &'a TraceView) -> Self {
        let mut reader = Reader::default();
        let spans = view.spans.iter().map(|span| reader.span(span)).collect();
        Self {
            sayings: reader.sayings,
            spans,
            text_count: reader.texts.len(),
            node_count: reader.nodes.len() + 1,
        }
    }

    /// Returns the sayings of a field with their addresses. A message may be named by its place among all
    /// that went in, system messages included.
    pub(super) fn of_field(&self, at: u32, field: Field) -> Vec<(Address, u32)> {
        let span = &self.spans[at as usize];
        let (ids, first): (&[u32], usize) = match field {
            Field::System => (&span.system, 0),
            Field::Tools => (span.tools.as_slice(), 0),
            Field::Input => (&span.input, span.system.len()),
            Field::Output => (&span.output, 0),
            Field::Error => (span.error.as_slice(), 0),
        };
        let is_numbered = ids.len() + first > 1;
        let all = ids.iter().zip(first..).map(|(id, nth)| {
            let message = is_numbered.then(|| u32::try_from(nth).unwrap_or(u32::MAX));
            (Address { at, field, message }, *id)
        });
        all.collect()
    }

    /// Returns every saying of a span.
    pub(super) fn of_span(&self, at: u32) -> impl Iterator<Item = &Saying<'a>> {
        let span = &self.spans[at as usize];
        let lists = [&span.system, &span.input, &span.output];
        let ids = lists
            .into_iter()
            .flatten()
            .chain(&span.tools)
            .chain(&span.error);
        ids.map(|id| &self.sayings[*id as usize])
    }

    /// Returns the characters of some sayings.
    pub(super) fn chars(&self, ids: &[u32]) -> usize {
        ids.iter()
            .map(|id| self.sayings[*id as usize].chars())
            .sum()
    }
}

type Hash = [u8; 32];

/// Reads a trace and numbers what is new.
#[derive(Default)]
struct Reader<'a> {
    sayings: Vec<Saying<'a>>,
    by_pointer: HashMap<usize, u32>,
    by_content: HashMap<Hash, u32>,
    texts: HashMap<Hash, u32>,
    nodes: HashMap<(u32, u32), u32>,
}

impl<'a> Reader<'a> {
    fn span(&mut self, span: &'a SpanView) -> SpanTold {
        let told = &span.told;
        let is_system = |message: &&Arc<ChatMessage>| is_instruction(&message.role);
        let system_count = told.input.iter().take_while(is_system).count();
        let (system, input) = told.input.split_at(system_count);
        let mut out = SpanTold {
            system: self.messages(system),
            input: self.messages(input),
            output: self.messages(&told.output),
            ..SpanTold::default()
        };
        let mut node = START;
        for id in &out.input {
            node = self.node(node, *id);
            out.path.push(node);
        }
        out.path_after = out
            .output
            .iter()
            .fold(node, |node, id| self.node(node, *id));
        if told.input.is_empty()
            && let Some(arguments) = &told.arguments
        {
            out.input.push(self.text(decoded(arguments)));
        }
        if told.output.is_empty()
            && let Some(result) = &told.result
        {
            out.output.push(self.text(decoded(result)));
        }
        if !told.tools.is_empty() {
            out.tools = Some(self.tools(&told.tools));
        }
        if let Some(error) = &span.span().error {
            let data = error.data.as_ref().map(JsonText::as_str);
            let said = match data {
                Some(data) => Cow::from(format!("{}\n{data}", error.message)),
                None => Cow::from(error.message.as_str()),
            };
            out.error = Some(self.text(said));
        }
        out
    }

    fn messages(&mut self, messages: &'a [Arc<ChatMessage>]) -> Vec<u32> {
        messages
            .iter()
            .map(|message| self.message(message))
            .collect()
    }

    fn message(&mut self, message: &'a Arc<ChatMessage>) -> u32 {
        let pointer = Arc::as_ptr(message).addr();
        if let Some(id) = self.by_pointer.get(&pointer) {
            return *id;
        }
        let id = self.saying(pieces(message));
        self.by_pointer.insert(pointer, id);
        id
    }

    fn tools(&mut self, tools: &'a Arc<[DeclaredTool]>) -> u32 {
        let pointer = tools.as_ptr().addr();
        if let Some(id) = self.by_pointer.get(&pointer) {
            return *id;
        }
        let line = |tool: &DeclaredTool| match &tool.parameters {
            Some(parameters) => format!("{} {}", tool.name, parameters.as_str()),
            None => tool.name.clone(),
        };
        let lines: Vec<String> = tools.iter().map(line).collect();
        let id = self.text(lines.join("\n").into());
        self.by_pointer.insert(pointer, id);
        id
    }

    fn text(&mut self, text: Cow<'a, str>) -> u32 {
        self.saying(vec![(None, None, text)])
    }

    fn saying(&mut self, said: Vec<Said<'a>>) -> u32 {
        let mut content = blake3::Hasher::new();
        let hashes: Vec<Hash> = said
            .iter()
            .map(|(role, kind, text)| {
                let hash = *blake3::hash(text.as_bytes()).as_bytes();
                content.update(&hash);
                for word in [role.unwrap_or_default(), kind.unwrap_or_default()] {
                    content.update(&word.len().to_le_bytes());
                    content.update(word.as_bytes());
                }
                hash
            })
            .collect();
        let content = *content.finalize().as_bytes();
        if let Some(id) = self.by_content.get(&content) {
            return *id;
        }
        let pieces = said
            .into_iter()
            .zip(hashes)
            .map(|((role, kind, text), hash)| {
                let next = number(self.texts.len());
                Piece {
                    role,
                    kind,
                    chars: text.chars().count(),
                    weight: weigh(&text),
                    text_id: *self.texts.entry(hash).or_insert(next),
                    text,
                }
            });
        let pieces = pieces.collect();
        let id = number(self.sayings.len());
        self.sayings.push(Saying { pieces });
        self.by_content.insert(content, id);
        id
    }

    fn node(&mut self, from: u32, message: u32) -> u32 {
        let next = number(self.nodes.len() + 1);
        *self.nodes.entry((from, message)).or_insert(next)
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).expect("a trace in memory has fewer texts than that")
}

/// Returns whether messages of this role are instructions.
pub(crate) fn is_instruction(role: &str) -> bool {
    matches!(role, "system" | "developer")
}

/// Role, kind and text of a piece.
type Said<'a> = (Option<&'a str>, Option<&'static str>, Cow<'a, str>);

/// Returns the pieces of a message: its parts, those of one kind that follow each other in one.
fn pieces(message: &ChatMessage) -> Vec<Said<'_>> {
    let mut pieces: Vec<Said<'_>> = Vec::new();
    for part in &message.parts {
        let (kind, text) = shown(part);
        match pieces.last_mut() {
            Some((_, last, before)) if *last == kind => {
                let before = before.to_mut();
                before.push('\n');
                before.push_str(&text);
            }
            _ => pieces.push((Some(&message.role), kind, text)),
        }
    }
    pieces
}

/// Returns what sort of part this is and how it is shown.
fn shown(part: &Part) -> (Option<&'static str>, Cow<'_, str>) {
    match part {
        Part::Text { content } => (None, content.into()),
        Part::Reasoning { content } => (Some("thoughts"), content.into()),
        Part::ToolCall {
            name, arguments, ..
        } => {
            let arguments = arguments.as_ref().map(decoded).unwrap_or_default();
            (Some(CALLS), format!("{name}({arguments})").into())
        }
        Part::ToolResult { response, .. } => (Some("result"), decoded(response)),
        Part::Media {
            modality,
            mime_type,
            uri,
        } => {
            let mime_type = mime_type.as_deref().unwrap_or(modality);
            let place = match uri.as_deref() {
                Some(uri) if uri.starts_with("http") => uri.to_owned(),
                Some(uri) => format!("{} bytes", uri.len()),
                None => String::new(),
            };
            (Some("media"), format!("{mime_type} {place}").into())
        }
        Part::File { file_id, name } => {
            let (id, name) = (file_id.as_deref(), name.as_deref());
            let all: Vec<&str> = name.into_iter().chain(id).collect();
            (Some("file"), all.join(" ").into())
        }
        Part::Other { value } => (Some("other"), value.as_str().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;

    #[test]
    fn the_same_message_is_known_by_what_it_says() {
        let view = samples::booking();
        let told = Told::of(&view);
        let calls = &view.generations;
        let (first, second) = (
            &told.spans[calls[0] as usize],
            &told.spans[calls[1] as usize],
        );
        assert_eq!(first.system, second.system);
        assert_eq!(second.input[0], first.input[0]);
        // The second call goes on where the first one ended.
        assert_eq!(second.path[1], first.path_after);
    }

    #[test]
    fn what_differs_only_in_its_parts_is_not_the_same() {
        let mut reader = Reader::default();
        let one = reader.saying(vec![(Some("user"), None, "ab".into())]);
        let other_role = reader.saying(vec![(Some("tool"), None, "ab".into())]);
        let other_kind = reader.saying(vec![(Some("user"), Some("calls"), "ab".into())]);
        let again = reader.saying(vec![(Some("user"), None, String::from("ab").into())]);
        assert!(one != other_role && one != other_kind && one == again);
        assert_eq!(reader.texts.len(), 1);
    }
}
