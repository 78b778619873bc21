//! What went in and what came out, from the first place that tells it.
//!
//! Libraries repeat content: on the span and in log records, as messages and as a whole document. A
//! place is taken if anything can be read from it; what only repeats it further down is not looked
//! at.

mod events;
mod tools;

use std::borrow::Cow;
use std::ops::ControlFlow::{self, Break, Continue};
use std::slice;

use model::{JsonText, Span, SpanType};
use serde::Serialize;

use crate::messages::{
    ChatMessage, Doc, Flat, Part, Take, answered, asked, flattened, in_order, messages,
};
use crate::otlp::Any;

use super::fields::shown;
use super::{Seen, mastra, mlflow};
use events::event_name;
use tools::{found, tool_arguments, tool_result, value};

/// What went into a span and what came out of it, read from what was sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Contents {
    /// Of a model call or an agent: the messages that were read.
    pub input: Vec<ChatMessage>,
    /// Of a model call or an agent: the messages that were written.
    pub output: Vec<ChatMessage>,
    /// Of a tool: what it was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arguments: Option<JsonText>,
    /// Of a tool: what it gave back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<JsonText>,
    /// Of a search: the documents that were found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub documents: Vec<JsonText>,
}

impl Contents {
    /// Takes over what a double of the span knows beyond it.
    pub(crate) fn fill_from(&mut self, more: Contents) {
        if self.input.is_empty() {
            self.input = more.input;
        }
        if self.output.is_empty() {
            self.output = more.output;
        }
        self.arguments = self.arguments.take().or(more.arguments);
        self.result = self.result.take().or(more.result);
    }
}

/// A place where content may lie.
enum Place {
    /// An attribute that holds messages, as JSON or as a text.
    Attribute(&'static str),
    /// An attribute of a library whose keys are common words; the scope must be its own.
    CommonWord(&'static str),
    /// Instructions and messages of the GenAI conventions, on the span or in one log record.
    Conventions,
    /// A record or event for each message.
    MessageEvents,
    /// Attributes of one field each.
    Flattened(Flat),
    /// Vercel's answer: its words, calls and thoughts apart.
    Vercel,
    /// Logfire's list of events.
    LogfireEvents,
    /// An event that holds everything in one attribute.
    Event(&'static str, &'static str),
}

/// Which end of a span is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Input,
    Output,
}

const INPUT: [Place; 26] = [
    Place::Attribute("langfuse.observation.input"),
    Place::Conventions,
    Place::MessageEvents,
    Place::Flattened(Flat {
        prefix: "llm.input_messages.",
        infix: "message.",
    }),
    Place::Flattened(Flat {
        prefix: "gen_ai.prompt.",
        infix: "",
    }),
    Place::Attribute("pydantic_ai.all_messages"),
    Place::Attribute("all_messages_events"),
    Place::Attribute("ai.prompt.messages"),
    Place::Attribute("ai.prompt"),
    Place::Attribute("ai.values"),
    Place::Attribute("ai.value"),
    Place::LogfireEvents,
    Place::CommonWord("raw_input"),
    Place::CommonWord("request_data"),
    Place::Attribute("lmnr.span.input"),
    Place::Attribute("genkit:input"),
    Place::Attribute("traceloop.entity.input"),
    Place::Attribute("mlflow.spanInputs"),
    Place::Attribute("gcp.vertex.agent.llm_request"),
    Place::Attribute("input.value"),
    Place::Attribute("gen_ai.prompt"),
    Place::Event("gen_ai.content.prompt", "gen_ai.prompt"),
    Place::CommonWord("input"),
    Place::Attribute("gen_ai.retrieval.query.text"),
    Place::Attribute("openai.llm.input"),
    Place::Attribute("openai.data"),
];

const OUTPUT: [Place; 21] = [
    Place::Attribute("langfuse.observation.output"),
    Place::Conventions,
    Place::MessageEvents,
    Place::Flattened(Flat {
        prefix: "llm.output_messages.",
        infix: "message.",
    }),
    Place::Flattened(Flat {
        prefix: "gen_ai.completion.",
        infix: "",
    }),
    Place::Vercel,
    Place::LogfireEvents,
    Place::CommonWord("response"),
    Place::CommonWord("response_data"),
    Place::Attribute("final_result"),
    Place::Attribute("lmnr.span.output"),
    Place::Attribute("genkit:output"),
    Place::Attribute("traceloop.entity.output"),
    Place::Attribute("mlflow.spanOutputs"),
    Place::Attribute("gcp.vertex.agent.llm_response"),
    Place::Attribute("output.value"),
    Place::Attribute("gen_ai.completion"),
    Place::Event("gen_ai.content.completion", "gen_ai.completion"),
    Place::CommonWord("output"),
    Place::Attribute("gen_ai.retrieval.documents"),
    Place::Attribute("openai.llm.output"),
];

/// Returns a value as the text it is, or else as JSON.
pub(crate) fn written_value<'v>(value: &'v Any<'_>) -> Cow<'v, str> {
    match value {
        Any::Text(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_json()),
    }
}

/// Hands over the messages in a text that may be JSON, the last first.
fn messages_in(text: &str, role: &str, take: Take<'_>) -> ControlFlow<()> {
    let first = text.trim_start().as_bytes().first();
    let doc = match first {
        Some(b'{' | b'[' | b'"') => Doc::parse(text),
        Some(_) => None,
        None => return Continue(()),
    };
    match doc {
        Some(doc) => messages(doc.root(), role, take),
        None => take(ChatMessage::of_text(role, text)),
    }
}

/// Hands over the messages in an attribute, the last first.
fn attribute(seen: &Seen<'_, '_>, key: &str, role: &str, take: Take<'_>) -> ControlFlow<()> {
    if let Some(doc) = seen.docs.get(key) {
        return messages(doc.root(), role, take);
    }
    let Some(value) = seen.attributes.get(key) else {
        return Continue(());
    };
    let mut text = written_value(value);
    if key.starts_with("mlflow.") {
        text = mlflow::unquoted(&text).into();
    }
    messages_in(&text, role, take)
}

/// Returns the value of an attribute of the conventions that stands in the record of a call.
pub(super) fn recorded<'s>(seen: &Seen<'s, '_>, key: &str) -> Option<&'s Any<'s>> {
    const RECORD: &str = "gen_ai.client.inference.operation.details";
    let mut records = seen
        .events
        .iter()
        .filter(|event| event_name(event) == RECORD);
    records.find_map(|record| record.attributes.get(key))
}

/// Returns whether anything in `said` could be read as more than a lump of JSON.
fn is_readable(said: &[ChatMessage]) -> bool {
    let mut parts = said.iter().flat_map(|message| &message.parts);
    parts.any(|part| !matches!(part, Part::Other { .. }))
}

impl Side {
    fn role(self) -> &'static str {
        match self {
            Side::Input => "user",
            Side::Output => "assistant",
        }
    }

    fn places(self) -> &'static [Place] {
        match self {
            Side::Input => &INPUT,
            Side::Output => &OUTPUT,
        }
    }

    /// Returns the messages at this end of a span.
    fn messages(self, seen: &Seen<'_, '_>) -> Vec<ChatMessage> {
        let mut lump = Vec::new();
        for place in self.places() {
            let said = in_order(|take| self.at(place, seen, take));
            if is_readable(&said) {
                return said;
            }
            if lump.is_empty() {
                lump = said;
            }
        }
        lump
    }

    /// Hands over the messages at one place, the last first.
    fn at(self, place: &Place, seen: &Seen<'_, '_>, take: Take<'_>) -> ControlFlow<()> {
        match place {
            Place::Attribute(key) => attribute(seen, key, self.role(), take),
            Place::CommonWord(key) if has_common_words(seen) => {
                attribute(seen, key, self.role(), take)
            }
            Place::CommonWord(_) => Continue(()),
            Place::Conventions => self.conventions(seen, take),
            Place::MessageEvents => self.message_events(seen.events, take),
            Place::Flattened(flat) => flattened(seen.attributes, *flat, self.role(), take),
            Place::Vercel => vercel(seen).into_iter().try_for_each(take),
            Place::LogfireEvents => self.logfire_events(seen, take),
            Place::Event(name, key) => {
                let mut events = seen.events.iter().filter(|event| event.name == *name);
                match events.find_map(|event| event.attributes.get(key)) {
                    Some(told) => messages_in(&written_value(told), self.role(), take),
                    None => Continue(()),
                }
            }
        }
    }

    /// The attributes of the conventions: on the span, else in records. One library gives each
    /// attribute a record of its own.
    fn conventions(self, seen: &Seen<'_, '_>, take: Take<'_>) -> ControlFlow<()> {
        let read = |key: &str, role: &str, take: Take<'_>| {
            if seen.attributes.has(key) {
                return attribute(seen, key, role, take);
            }
            match recorded(seen, key) {
                Some(value) => messages_in(&written_value(value), role, take),
                None => Continue(()),
            }
        };
        if self == Side::Output {
            return read("gen_ai.output.messages", "assistant", take);
        }
        let mut is_empty = true;
        read("gen_ai.input.messages", "user", &mut |message| {
            is_empty = false;
            take(message)
        })?;
        if is_empty && !seen.attributes.has("gen_ai.output.messages") {
            // Instructions alone are no input: another place may have the rest.
            return Continue(());
        }
        read("gen_ai.system_instructions", "system", take)
    }
}

/// Returns what [`asked`] finds in the messages that went in, reading no more of them than it takes.
fn last_asked(seen: &Seen<'_, '_>) -> Option<String> {
    for place in &INPUT {
        let (mut found, mut readable) = (None, false);
        let _ = Side::Input.at(place, seen, &mut |message| {
            let message = slice::from_ref(&message);
            readable |= is_readable(message);
            found = asked(message);
            match found {
                Some(_) => Break(()),
                None => Continue(()),
            }
        });
        if readable {
            return found;
        }
    }
    // Lumps of JSON have no words.
    None
}

/// Returns whether the library that wrote a span uses common words for its content.
pub(super) fn has_common_words(seen: &Seen<'_, '_>) -> bool {
    is_of_logfire(seen) || mastra::is_of_mastra(seen)
}

fn is_of_logfire(seen: &Seen<'_, '_>) -> bool {
    seen.scope.starts_with("logfire") || seen.attributes.has("logfire.msg_template")
}

fn vercel(seen: &Seen<'_, '_>) -> Vec<ChatMessage> {
    let mut parts = Vec::new();
    if let Some(content) = seen.text("ai.response.reasoning") {
        let content = content.to_owned();
        parts.push(Part::Reasoning { content });
    }
    let words = ["ai.response.text", "ai.response.object", "ai.result.text"];
    if let Some(content) = seen.attributes.first_text(&words) {
        let content = content.to_owned();
        parts.push(Part::Text { content });
    }
    let calls = seen.text("ai.response.toolCalls");
    if let Some(doc) = calls.and_then(Doc::parse_container) {
        let wrapped = format!(
            "[{{\"role\":\"assistant\",\"tool_calls\":{}}}]",
            doc.root().raw()
        );
        let said = in_order(|take| messages_in(&wrapped, "assistant", take));
        parts.extend(said.into_iter().flat_map(|message| message.parts));
    }
    match parts.is_empty() {
        true => Vec::new(),
        false => vec![ChatMessage::new("assistant", parts)],
    }
}

/// Returns what went into a span and what came out of it.
pub(crate) fn contents(seen: &Seen<'_, '_>, span_type: SpanType, has_failed: bool) -> Contents {
    let mut contents = Contents::default();
    match span_type {
        SpanType::Function => {
            contents.arguments = tool_arguments(seen);
            contents.result = tool_result(seen, has_failed);
        }
        SpanType::Handoff => {}
        _ => {
            contents.input = Side::Input.messages(seen);
            contents.output = Side::Output.messages(seen);
        }
    }
    if span_type == SpanType::Retrieval {
        contents.documents = found(seen);
    }
    contents
}

/// Fills in the first words of what went in and came out, and why a model stopped.
pub(crate) fn previews(span: &mut Span, seen: &Seen<'_, '_>) {
    let json_words = |json: JsonText| {
        let doc = Doc::parse(json.as_str().to_owned())?;
        let words = doc.root().text().map(Cow::into_owned);
        Some(words.unwrap_or_else(|| json.as_str().to_owned()))
    };
    let (input, output) = match span.span_type {
        SpanType::Function => (
            tool_arguments(seen).and_then(json_words),
            tool_result(seen, span.error.is_some()).and_then(json_words),
        ),
        SpanType::Handoff => (None, None),
        SpanType::Generation | SpanType::Agent => {
            let said = Side::Output.messages(seen);
            let output = answered(&said);
            if span.span_type == SpanType::Generation && span.finish_reason.is_none() {
                let mut told = said.into_iter().rev();
                span.finish_reason = told.find_map(|message| message.finish_reason);
            }
            (last_asked(seen), output)
        }
        _ => (None, None),
    };
    // Traceloop and others write a text as the JSON of it.
    let plain = |side: Side| {
        let text = value(seen, side)?;
        Some(match text.starts_with('"') {
            true => mlflow::unquoted(&text),
            false => text.into_owned(),
        })
    };
    let has_plain = !matches!(span.span_type, SpanType::Function | SpanType::Handoff);
    let input = input.or_else(|| plain(Side::Input).filter(|_| has_plain));
    let output = output.or_else(|| plain(Side::Output).filter(|_| has_plain));
    span.input_preview = input.and_then(|text| shown(&text));
    span.output_preview = output.and_then(|text| shown(&text));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::{Attributes, Docs};
    use proptest::prelude::*;

    /// JSON that holds messages in many shapes, and what only looks like them.
    fn any_shape() -> impl Strategy<Value = String> {
        let one_of =
            |words: &'static str| prop::sample::select(words.split(' ').collect::<Vec<_>>());
        let words = one_of(r#""" "hi" "user" "human" null 7 []"#);
        let key = one_of(
            "role type content text parts messages input prompt system message kwargs lc id data \
             tool_calls finish_reason x",
        );
        let kind = prop::sample::select(vec![
            r#""type":"text","text":"hi""#,
            r#""type":"reasoning","text":"hm""#,
            r#""type":"function_call","name":"f""#,
            r#""type":"function_call_output","output":"x""#,
            r#""role":"user","content":"what?""#,
            r#""role":"assistant","content":"that""#,
            r#""role":"user","content":null"#,
        ]);
        let leaf = prop_oneof![
            words.prop_map(str::to_owned),
            kind.prop_map(|kind| format!("{{{kind}}}")),
        ];
        leaf.prop_recursive(4, 24, 5, move |inner| {
            let member = (key.clone(), inner.clone());
            prop_oneof![
                prop::collection::vec(inner, 0..5).prop_map(|all| format!("[{}]", all.join(","))),
                prop::collection::vec(member, 1..4).prop_map(|all| {
                    let all: Vec<_> = all
                        .iter()
                        .map(|(key, v)| format!("\"{key}\":{v}"))
                        .collect();
                    format!("{{{}}}", all.join(","))
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_last_question_is_the_one_among_all_messages(
            sent in prop::collection::vec((0..INPUT_KEYS.len(), any_shape()), 1..4),
        ) {
            let texts = sent.iter().map(|(at, text)| (INPUT_KEYS[*at].into(), Any::Text(text.into())));
            let attributes = Attributes::new(texts.collect());
            let seen = Seen {
                name: "chat",
                scope: "",
                attributes: &attributes,
                docs: &Docs::of(&attributes),
                events: &[],
                is_root: true,
                status_code: 0,
                status_message: "",
                start_nanos: 0,
            };
            prop_assert_eq!(last_asked(&seen), asked(&Side::Input.messages(&seen)));
        }
    }

    const INPUT_KEYS: [&str; 6] = [
        "gen_ai.input.messages",
        "gen_ai.system_instructions",
        "llm.input_messages.0.message.content",
        "llm.input_messages.1.message.content",
        "traceloop.entity.input",
        "input.value",
    ];
}
