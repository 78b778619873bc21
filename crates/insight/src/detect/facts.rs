//! What several detectors need of a trace, found once.
//!
//! Everything here is one pass over the spans or over the distinct messages. A history is sent anew
//! with every call, but the same message is the same `Arc`: its text is looked at once.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use model::{ChatMessage, JsonText, MessageHash, Part, SpanId, SpanType, TraceStatus};

use crate::canonical::canonical;
use crate::view::{SpanView, TraceView, decoded};

use super::context::{Context, WorkflowRules};
use super::declared::Declared;
use super::{Hit, Severity};

/// Longer arguments are compared as they were sent: to bring them into one form takes ten times the room.
const CANONICAL_BYTES_MAX: usize = 1 << 20;

/// More text is not searched by detectors that look for words again.
const TEXT_BYTES_MAX: usize = 64 << 20;

/// A hit names so many spans; its evidence says how many there are.
const SPANS_MAX: usize = 50;

/// So much of a text is quoted in evidence, in characters.
const QUOTE_CHARS_MAX: usize = 80;

/// A tool call.
#[derive(Debug)]
pub(super) struct Call<'v> {
    /// Its place among the spans.
    pub(super) at: u32,
    pub(super) span: &'v SpanView,
    /// Its tool.
    pub(super) name: &'v str,
    /// The same for calls of one tool with the same arguments; `None` where those were not told.
    pub(super) key: Option<MessageHash>,
    /// The same for calls that gave back the same, or failed alike.
    pub(super) outcome: MessageHash,
    /// Whether it changes something.
    pub(super) is_write: bool,
    /// Whether it ended in error.
    pub(super) has_failed: bool,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Voice {
    /// Whoever wrote the instructions, tool schemas included.
    Instructions,
    /// The user.
    User,
    /// A tool or a search.
    Tool,
    /// The model, to people or to other agents.
    Model,
    /// The model, to a tool.
    Arguments,
}

/// A text of a trace, where it was first told.
#[derive(Debug)]
pub(super) struct Utterance<'v> {
    /// The place of its span.
    pub(super) at: u32,
    pub(super) voice: Voice,
    pub(super) text: Cow<'v, str>,
}

/// A trace and what was found of it so far.
#[derive(Debug)]
pub(super) struct Facts<'v> {
    pub(super) view: &'v TraceView,
    pub(super) context: &'v Context,
    pub(super) rules: &'v WorkflowRules,
    calls: OnceCell<Vec<Call<'v>>>,
    agents: OnceCell<Vec<Option<u32>>>,
    utterances: OnceCell<Option<Vec<Utterance<'v>>>>,
    declared: OnceCell<Declared<'v>>,
}

impl<'v> Facts<'v> {
    pub(super) fn of(view: &'v TraceView, context: &'v Context) -> Self {
        Self {
            view,
            context,
            rules: context.rules(view.row.item.workflow_name.as_deref()),
            calls: OnceCell::new(),
            agents: OnceCell::new(),
            utterances: OnceCell::new(),
            declared: OnceCell::new(),
        }
    }

    /// Returns whether more may still come.
    pub(super) fn is_running(&self) -> bool {
        self.view.status == TraceStatus::Running
    }

    pub(super) fn span(&self, at: u32) -> &'v SpanView {
        &self.view.spans[at as usize]
    }

    /// Returns the tool calls in start order.
    pub(super) fn calls(&self) -> &[Call<'v>] {
        self.calls.get_or_init(|| {
            let places = self.view.functions.iter();
            places.map(|at| self.call(*at)).collect()
        })
    }

    fn call(&self, at: u32) -> Call<'v> {
        let span = self.span(at);
        let row = span.span();
        let arguments = span.told.arguments.as_ref();
        let key = arguments.map(|arguments| {
            let args: Cow<'_, str> = match arguments.as_str().len() > CANONICAL_BYTES_MAX {
                true => arguments.as_str().into(),
                false => canonical(arguments).into(),
            };
            MessageHash::of(format!("{}\0{args}", row.name).as_bytes())
        });
        let told = span.told.result.as_ref().map(JsonText::as_str);
        let failure = row.error.as_ref().map(|error| error.cause());
        let outcome = format!(
            "{}\0{}",
            told.unwrap_or_default(),
            failure.unwrap_or_default()
        );
        Call {
            at,
            span,
            name: &row.name,
            key,
            outcome: MessageHash::of(outcome.as_bytes()),
            is_write: self.context.effects.is_write(&row.name),
            has_failed: span.has_failed(),
        }
    }

    /// Returns the nearest agent that encloses each span; an agent encloses itself.
    pub(super) fn agents(&self) -> &[Option<u32>] {
        self.agents.get_or_init(|| enclosing_agents(self.view))
    }

    /// Returns the agent span at work in the span at `at`.
    pub(super) fn agent(&self, at: u32) -> Option<u32> {
        self.agents()[at as usize]
    }

    /// Returns every text of the trace once, in order; `None` if there is too much of it.
    pub(super) fn utterances(&self) -> Option<&[Utterance<'v>]> {
        self.utterances
            .get_or_init(|| utterances(self.view))
            .as_deref()
    }

    /// Returns which tools were declared.
    pub(super) fn declared(&self) -> &Declared<'v> {
        self.declared.get_or_init(|| Declared::of(self))
    }

    /// Returns whether this utterance can have told the model something.
    pub(super) fn informs(utterance: &Utterance<'_>) -> bool {
        matches!(
            utterance.voice,
            Voice::Instructions | Voice::User | Voice::Tool
        )
    }

    /// Returns a hit that names the spans at these places.
    pub(super) fn hit(&self, severity: Severity, places: &[u32], evidence: String) -> Hit {
        let ids = places.iter().take(SPANS_MAX);
        Hit {
            severity,
            spans: ids.map(|at| self.id(*at)).collect(),
            evidence,
            cause: places.first().map(|at| self.id(*at)),
        }
    }

    pub(super) fn id(&self, at: u32) -> SpanId {
        self.span(at).id().clone()
    }
}

/// A parent may start after its child, so each chain is climbed to what is known.
fn enclosing_agents(view: &TraceView) -> Vec<Option<u32>> {
    let mut known: Vec<Option<Option<u32>>> = vec![None; view.spans.len()];
    let mut chain = Vec::new();
    for at in 0..view.spans.len() {
        let mut here = Some(at);
        let above = loop {
            let Some(at) = here else { break None };
            if let Some(agent) = known[at] {
                break agent;
            }
            chain.push(at);
            here = view.spans[at].parent.map(|parent| parent as usize);
        };
        let mut agent = above;
        for at in chain.drain(..).rev() {
            if view.spans[at].is(SpanType::Agent) {
                agent = u32::try_from(at).ok();
            }
            known[at] = Some(agent);
        }
    }
    known.into_iter().map(Option::flatten).collect()
}

/// Puts utterances together.
struct Listener<'v> {
    out: Vec<Utterance<'v>>,
    heard: HashSet<*const ChatMessage>,
    bytes: usize,
}

fn utterances(view: &TraceView) -> Option<Vec<Utterance<'_>>> {
    let mut listener = Listener {
        out: Vec::new(),
        heard: HashSet::new(),
        bytes: 0,
    };
    let mut schemas = HashSet::new();
    let mut has_answered = false;
    for (at, span) in (0u32..).zip(&view.spans) {
        for tool in span.told.tools.iter() {
            let schema = tool.parameters.as_ref().map(JsonText::as_str);
            if schemas.insert((tool.name.as_str(), schema)) {
                let schema = tool.parameters.as_ref().map(words_of);
                listener.hear(at, Voice::Instructions, schema.unwrap_or_default());
            }
        }
        for message in &span.told.input {
            // What the model said before comes back with every call; only a history from before the
            // trace is news.
            let is_own = message.role == "assistant" && has_answered;
            listener.message(at, message, is_own);
        }
        for message in &span.told.output {
            listener.message(at, message, false);
        }
        has_answered |= !span.told.output.is_empty();
        let is_tool = span.is(SpanType::Function) || span.is(SpanType::Retrieval);
        if let Some(arguments) = &span.told.arguments {
            listener.hear(at, Voice::Arguments, words_of(arguments));
        }
        if let Some(result) = span.told.result.as_ref().filter(|_| is_tool) {
            listener.hear(at, Voice::Tool, words_of(result));
        }
        if let Some(error) = span.span().error.as_ref().filter(|_| is_tool) {
            listener.hear(at, Voice::Tool, error.cause());
        }
        if listener.bytes > TEXT_BYTES_MAX {
            return None;
        }
    }
    Some(listener.out)
}

impl<'v> Listener<'v> {
    fn hear(&mut self, at: u32, voice: Voice, text: Cow<'v, str>) {
        if !text.is_empty() {
            self.bytes += text.len();
            self.out.push(Utterance { at, voice, text });
        }
    }

    fn message(&mut self, at: u32, message: &'v Arc<ChatMessage>, is_own: bool) {
        if is_own || !self.heard.insert(Arc::as_ptr(message)) {
            return;
        }
        let voice = match message.role.as_str() {
            "system" | "developer" => Voice::Instructions,
            "tool" | "function" => Voice::Tool,
            "assistant" => Voice::Model,
            _ => Voice::User,
        };
        for part in &message.parts {
            match part {
                Part::Text { content } | Part::Reasoning { content } => {
                    self.hear(at, voice, content.as_str().into());
                }
                // The call itself has a span; where it has none, this is all that is told.
                Part::ToolCall { arguments, .. } => {
                    if let Some(arguments) = arguments {
                        self.hear(at, Voice::Arguments, words_of(arguments));
                    }
                }
                Part::ToolResult { response, .. } => {
                    self.hear(at, Voice::Tool, words_of(response));
                }
                Part::Other { value } => self.hear(at, voice, words_of(value)),
                Part::Media { .. } | Part::File { .. } => {}
            }
        }
    }
}

/// Returns the words in a JSON value without the escapes of JSON.
pub(super) fn words_of(json: &JsonText) -> Cow<'_, str> {
    let text = json.as_str();
    if text.starts_with('"') || !text.contains('\\') {
        return decoded(json);
    }
    let mut out = String::with_capacity(text.len());
    push_words(&json.to_value(), &mut out);
    Cow::Owned(out)
}

fn push_words(value: &serde_json::Value, out: &mut String) {
    use serde_json::Value;
    match value {
        Value::Array(items) => items.iter().for_each(|item| push_words(item, out)),
        Value::Object(fields) => {
            for (key, value) in fields {
                out.push_str(key);
                out.push(' ');
                push_words(value, out);
            }
        }
        Value::String(text) => {
            out.push_str(text);
            out.push('\n');
        }
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) => {
            out.push_str(&value.to_string());
            out.push('\n');
        }
    }
}

/// Returns the generations of each agent span, those outside of any under `None`, in start order.
pub(super) fn by_agent(facts: &Facts<'_>, places: &[u32]) -> HashMap<Option<u32>, Vec<u32>> {
    let mut groups: HashMap<Option<u32>, Vec<u32>> = HashMap::new();
    for at in places {
        groups.entry(facts.agent(*at)).or_default().push(*at);
    }
    groups
}

/// Returns the beginning of a text on one line, in quotation marks.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::from("“");
    let mut chars = text.trim().chars();
    for char in chars.by_ref().take(QUOTE_CHARS_MAX) {
        quoted.push(if char.is_control() { ' ' } else { char });
    }
    if chars.next().is_some() {
        quoted.push('…');
    }
    quoted.push('”');
    quoted
}
