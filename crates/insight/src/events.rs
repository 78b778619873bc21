//! A run as a string of events: `tool:search:ok`, `handoff:Triage→Billing`, `guard:pii:trip`.
//!
//! Patterns are found in strings of a small alphabet. An event is `kind:name[:status][:argclass]`, and
//! a run of equal events is one, told `x+`. A model call that goes well is no event of its own: the
//! tools that it asks for and the answers that it gives are.

use std::fmt::Write as _;
use std::sync::Arc;

use hashbrown::HashMap;
use model::{JsonText, MessageHash, SpanType};

use crate::canonical::canonical;
use crate::view::{SpanView, TraceView};

/// Longer names are cut in labels, in characters.
const NAME_CHARS_MAX: usize = 60;

/// Longer arguments count by the text that was sent: to bring them into one form takes much room.
const CANONICAL_BYTES_MAX: usize = 1 << 20;

/// Whether calls of one tool with different arguments are different events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArgumentClass {
    /// They are the same.
    Left,
    /// They differ by the hash of their arguments.
    Hashed,
}

/// What an event is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// A tool was called.
    Tool,
    /// One agent handed over to another.
    Handoff,
    /// A guardrail looked.
    Guard,
    /// A model call that failed or was cut off.
    Gen,
    /// The model answered without calling a tool.
    Answer,
    /// An agent began.
    Agent,
    /// A search for documents.
    Retrieval,
}

/// Equal events that follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What it is of.
    pub kind: EventKind,
    /// `kind:name[:status][:argclass]`, without the `+` of a run.
    pub label: Arc<str>,
    /// The place of its first span.
    pub first: u32,
    /// The place of its last span.
    pub last: u32,
    /// How many they are.
    pub count: u32,
    /// Whether all was told by which it could differ.
    is_told: bool,
}

impl Event {
    /// Returns the label, with a `+` behind that of a run.
    pub fn word(&self) -> String {
        match self.count {
            1 => self.label.to_string(),
            _ => format!("{}+", self.label),
        }
    }

    /// Returns whether it is a step of the work, and not who does it or what was said.
    pub(crate) fn is_step(&self) -> bool {
        !matches!(self.kind, EventKind::Agent | EventKind::Answer)
    }

    /// Returns whether an event with the same label is the same step.
    pub(crate) fn is_comparable(&self) -> bool {
        self.is_told
    }

    /// Returns the label without the class of its arguments.
    pub(crate) fn short(&self) -> &str {
        self.label.split(":#").next().unwrap_or(&self.label)
    }
}

/// Returns the events of a trace in start order. One pass over the spans; equal labels share their text.
pub fn events(view: &TraceView, arguments: ArgumentClass) -> Vec<Event> {
    let mut labels: HashMap<String, Arc<str>> = HashMap::new();
    let mut events: Vec<Event> = Vec::new();
    for (at, span) in (0u32..).zip(&view.spans) {
        let Some((kind, label, is_told)) = label(span, arguments) else {
            continue;
        };
        if let Some(last) = events.last_mut().filter(|last| *last.label == *label) {
            last.last = at;
            last.count += 1;
            continue;
        }
        let label = match labels.get(&label) {
            Some(known) => Arc::clone(known),
            None => {
                let shared: Arc<str> = label.as_str().into();
                labels.insert(label, Arc::clone(&shared));
                shared
            }
        };
        events.push(Event {
            kind,
            label,
            first: at,
            last: at,
            count: 1,
            is_told,
        });
    }
    events
}

fn label(span: &SpanView, arguments: ArgumentClass) -> Option<(EventKind, String, bool)> {
    let row = span.span();
    let name = name(&row.name);
    let is_hashed = arguments == ArgumentClass::Hashed;
    Some(match row.span_type {
        SpanType::Function => {
            let mut label = format!("tool:{name}:{}", status(span));
            let told = span.told.arguments.as_ref().filter(|_| is_hashed);
            if let Some(told) = told {
                push_class(&mut label, told);
            }
            (EventKind::Tool, label, !is_hashed || told.is_some())
        }
        SpanType::Handoff => {
            let of = |agent: &Option<String>| agent.as_deref().map_or("?", cut).to_owned();
            let (from, to) = (of(&row.handoff_from), of(&row.handoff_to));
            (EventKind::Handoff, format!("handoff:{from}→{to}"), true)
        }
        SpanType::Guardrail => {
            let word = if row.triggered == Some(true) {
                "trip"
            } else {
                "ok"
            };
            (EventKind::Guard, format!("guard:{name}:{word}"), true)
        }
        SpanType::Generation => generation(span)?,
        SpanType::Agent => (EventKind::Agent, format!("agent:{name}"), true),
        SpanType::Retrieval => {
            let label = format!("retrieval:{name}:{}", status(span));
            (EventKind::Retrieval, label, !is_hashed)
        }
        _ => return None,
    })
}

fn generation(span: &SpanView) -> Option<(EventKind, String, bool)> {
    let row = span.span();
    if span.has_failed() {
        return Some((EventKind::Gen, format!("gen:{}", status(span)), true));
    }
    if let Some(reason) = row.finish_reason.as_deref().filter(|reason| is_cut(reason)) {
        return Some((EventKind::Gen, format!("gen:{}", cut(reason)), true));
    }
    let has_words = span.told.output.iter().any(|said| said.has_words());
    let is_answer = has_words && span.requested_calls().next().is_none();
    is_answer.then(|| (EventKind::Answer, "gen:answer".to_owned(), true))
}

/// Returns whether a model stopped for another reason than being done or wanting a tool.
pub(crate) fn is_cut(reason: &str) -> bool {
    const ORDINARY: [&str; 11] = [
        "stop",
        "end_turn",
        "stop_sequence",
        "tool_calls",
        "tool-calls",
        "tool_call",
        "tool_use",
        "function_call",
        "completed",
        "complete",
        "eos",
    ];
    !ORDINARY
        .iter()
        .any(|known| reason.eq_ignore_ascii_case(known))
}

fn status(span: &SpanView) -> String {
    let row = span.span();
    match &row.error {
        Some(error) if span.has_failed() => format!("err[{}]", cut(&error.kind)),
        _ if span.has_failed() => "err".to_owned(),
        _ if row.has_ended() => "ok".to_owned(),
        _ => "open".to_owned(),
    }
}

fn push_class(label: &mut String, arguments: &JsonText) {
    let hash = match arguments.as_str().len() > CANONICAL_BYTES_MAX {
        true => MessageHash::of(arguments.as_str().as_bytes()),
        false => MessageHash::of(canonical(arguments).as_bytes()),
    };
    label.push_str(":#");
    for byte in &hash.0[..8] {
        let _ = write!(label, "{byte:02x}");
    }
}

/// Colons and plus signs part an event; a name keeps clear of them.
fn name(name: &str) -> String {
    let clear = |char: char| match char {
        ':' | '+' => '_',
        other if other.is_control() => ' ',
        other => other,
    };
    cut(name).chars().map(clear).collect()
}

fn cut(name: &str) -> &str {
    let end = name.char_indices().nth(NAME_CHARS_MAX);
    end.map_or(name, |(end, _)| &name[..end])
}
