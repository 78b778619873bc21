//! What went in and what came out, from the first place that tells it.
//!
//! Libraries repeat content: on the span and in log records, as messages and as a whole document. A
//! place is taken if anything can be read from it; what only repeats it further down is not looked
//! at.

use std::borrow::Cow;
use std::ops::ControlFlow::{self, Break, Continue};
use std::slice;

use model::{JsonText, Span, SpanType};
use serde::Serialize;

use crate::messages::{
    ChatMessage, Doc, Flat, Part, Take, answered, arguments, asked, documents, flattened, in_order,
    messages, result, role_word,
};
use crate::otlp::{Any, RawEvent};

use super::fields::shown;
use super::{Seen, adk, mastra, mlflow};

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

const ARGUMENTS: [&str; 5] = [
    "gen_ai.tool.call.arguments",
    "tool_arguments",
    "gen_ai.tool.input",
    "ai.toolCall.args",
    "gcp.vertex.agent.tool_call_args",
];

const RESULTS: [&str; 5] = [
    "gen_ai.tool.call.result",
    "tool_response",
    "gen_ai.tool.output",
    "ai.toolCall.result",
    "gcp.vertex.agent.tool_response",
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

    fn message_events(self, events: &[RawEvent<'_>], take: Take<'_>) -> ControlFlow<()> {
        let mut told: Vec<(i64, &RawEvent<'_>)> = events
            .iter()
            .filter(|event| {
                let name = event_name(event);
                match self {
                    Side::Input => name.starts_with("gen_ai.") && name.ends_with(".message"),
                    Side::Output => name == "gen_ai.choice",
                }
            })
            .map(|event| (event_index(event), event))
            .collect();
        told.sort_by_key(|(index, _)| *index);
        let mut told = told.into_iter().rev();
        told.try_for_each(|(_, event)| self.message_event(event, take))
    }

    /// Reads a message from the body of a record, or from the attributes of an event.
    fn message_event(self, event: &RawEvent<'_>, take: Take<'_>) -> ControlFlow<()> {
        let role = role_word(event_name(event));
        let json = match &event.body {
            Any::Empty => attributes_as_message(event),
            Any::Text(text) => text.clone().into_owned(),
            body => body.to_json(),
        };
        let Some(doc) = Doc::parse_container(&json) else {
            return messages_in(&json, role, take);
        };
        let root = doc.root();
        if root.get("role").is_some() || root.get("message").is_some() {
            return messages(root, role, take);
        }
        // The role is said only where it differs from the event's.
        let with_role = match json.strip_prefix('{') {
            Some(rest) if rest.trim_start().starts_with('}') => return Continue(()),
            Some(rest) => format!("{{\"role\":\"{role}\",{rest}"),
            None => return messages(root, role, take),
        };
        messages_in(&with_role, role, take)
    }

    fn logfire_events(self, seen: &Seen<'_, '_>, take: Take<'_>) -> ControlFlow<()> {
        let Some(told) = seen.attributes.get("events") else {
            return Continue(());
        };
        let text = written_value(told);
        // pydantic-ai writes the same without Logfire: each of them has its name.
        let is_told = |doc: &Doc<'_>| {
            let first = doc.root().elements().next();
            is_of_logfire(seen) || first.is_some_and(|first| first.get("event.name").is_some())
        };
        let Some(doc) = Doc::parse_container(&text).filter(is_told) else {
            return Continue(());
        };
        // The answer is a choice, or what the assistant says behind the last word of all others.
        let is_choice = |event: &crate::json::Value<'_, '_>| {
            event
                .get("event.name")
                .is_some_and(|name| name.is_text("gen_ai.choice"))
        };
        let events: Vec<_> = doc.root().elements().collect();
        let has_choice = events.iter().any(is_choice);
        let is_spoken = |event: &crate::json::Value<'_, '_>| {
            let name = event.get("event.name");
            name.is_some_and(|name| name.is_text("gen_ai.assistant.message"))
        };
        let answer_from = match has_choice {
            true => events.len(),
            false => events
                .iter()
                .rposition(|e| !is_spoken(e))
                .map_or(0, |at| at + 1),
        };
        let mut chosen = events.iter().enumerate().rev().filter(|(at, event)| {
            let is_output = is_choice(event) || *at >= answer_from;
            is_output == (self == Side::Output)
        });
        chosen.try_for_each(|(_, event)| messages(*event, self.role(), take))
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

/// Returns the name of an event; one library writes it into an attribute.
fn event_name<'e>(event: &'e RawEvent<'_>) -> &'e str {
    match event.attributes.text("event.name") {
        Some(name) if !event.name.starts_with("gen_ai.") => name,
        _ => &event.name,
    }
}

fn event_index(event: &RawEvent<'_>) -> i64 {
    let keys = ["gen_ai.message.index", "CHAT_MESSAGE_INDEX"];
    let index = keys
        .iter()
        .find_map(|key| event.attributes.get(key)?.count());
    index.unwrap_or(0)
}

/// Returns the attributes of an event as the JSON object that a body would be; content that is JSON
/// in a text is read.
fn attributes_as_message(event: &RawEvent<'_>) -> String {
    let mut out = String::from("{");
    let keys = [
        "role",
        "content",
        "message",
        "tool_calls",
        "id",
        "name",
        "finish_reason",
    ];
    for key in keys {
        let Some(value) = event.attributes.get(key) else {
            continue;
        };
        let text = written_value(value);
        if out.len() > 1 {
            out.push(',');
        }
        let key = match (key, Doc::parse_container(&text)) {
            // A message that is no object is what the message says.
            ("message", Some(doc)) if doc.root().is_object() => "message",
            ("message", _) => "content",
            (key, _) => key,
        };
        out.push_str(&format!("\"{key}\":"));
        match Doc::parse_container(&text) {
            Some(doc) => out.push_str(doc.root().raw()),
            None => crate::json::push_json_string(&mut out, &text),
        }
    }
    out.push('}');
    out
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

/// Returns the text at one end of a span that is no model call.
fn value<'s>(seen: &'s Seen<'_, '_>, side: Side) -> Option<Cow<'s, str>> {
    let told = side.places().iter().find_map(|place| match place {
        Place::Attribute(key) => seen.attributes.get(key),
        Place::CommonWord(key) if has_common_words(seen) => seen.attributes.get(key),
        _ => None,
    })?;
    Some(written_value(told)).filter(|text| !text.is_empty())
}

/// Strands tells a tool's input and output as events.
fn tool_event(seen: &Seen<'_, '_>, name: &str, key: &str) -> Option<String> {
    let mut events = seen.events.iter().filter(|event| event_name(event) == name);
    let told = events.find_map(|event| event.attributes.get(key))?;
    Some(written_value(told).into_owned())
}

fn tool_arguments(seen: &Seen<'_, '_>) -> Option<JsonText> {
    let is_placeholder = |key: &str, text: &str| key.starts_with("gcp.") && text.trim() == "{}";
    let told = ARGUMENTS.iter().find_map(|key| {
        let text = written_value(seen.attributes.get(key)?);
        (!text.is_empty() && !is_placeholder(key, &text)).then_some(text)
    });
    let told = told
        .or_else(|| value(seen, Side::Input))
        .or_else(|| Some(tool_event(seen, "gen_ai.tool.message", "content")?.into()))?;
    Some(arguments(&told))
}

fn tool_result(seen: &Seen<'_, '_>, has_failed: bool) -> Option<JsonText> {
    let told = RESULTS.iter().find_map(|key| {
        let text = written_value(seen.attributes.get(key)?);
        (!text.is_empty()).then_some(text)
    });
    let told = told
        .or_else(|| value(seen, Side::Output))
        .or_else(|| Some(tool_event(seen, "gen_ai.choice", "message")?.into()))?;
    // LangSmith writes `{}` where a tool failed and gave nothing back.
    if has_failed && told.trim() == "{}" {
        return None;
    }
    let result = result(&told);
    // ADK puts what is no object into one: {"result": …}.
    let bare = adk::is_of_adk(seen).then(|| only_member(result.as_str(), "result"));
    Some(bare.flatten().unwrap_or(result))
}

/// Returns the one member of an object, if it is called `key`.
fn only_member(json: &str, key: &str) -> Option<JsonText> {
    let doc = Doc::parse_container(json)?;
    let root = doc.root();
    let value = root.get(key).filter(|_| root.members().count() == 1)?;
    Some(JsonText::from_trusted(value.raw()))
}

fn found(seen: &Seen<'_, '_>) -> Vec<JsonText> {
    let prefix = "retrieval.documents.";
    let mut numbers: Vec<u32> = Vec::new();
    for (rest, _) in seen.attributes.under(prefix) {
        let number = rest
            .split('.')
            .next()
            .and_then(|number| number.parse().ok());
        numbers.extend(number.filter(|number| !numbers.contains(number)));
    }
    numbers.sort_unstable();
    if numbers.is_empty() {
        let told = value(seen, Side::Output);
        return told.map(|told| documents(&told)).unwrap_or_default();
    }
    let document = |number: &u32| {
        let prefix = format!("{prefix}{number}.document.");
        let fields: Vec<_> = seen
            .attributes
            .under(&prefix)
            .map(|(key, value)| {
                let json = match value {
                    Any::Text(text) if key == "metadata" => crate::messages::json_or_text(text),
                    other => JsonText::from_trusted(other.to_json()),
                };
                format!("{}:{}", crate::json::json_string(key), json.as_str())
            })
            .collect();
        JsonText::from_trusted(format!("{{{}}}", fields.join(",")))
    };
    numbers.iter().map(document).collect()
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
