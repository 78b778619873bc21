//! The messages of a model call, in the shapes the two SDKs and two OpenAI APIs give them: who
//! speaks, and the words for a preview.
//!
//! An answer may be a chat message, a whole `chat.completion` (JavaScript), items of the Responses
//! API, or a Responses object wrapped around them (Python, streamed chat).

use model::{PREVIEW_CHARS_MAX, Role};

use crate::json::{TextBuilder, Value};

/// Longer roles are not roles but something else under that key.
const ROLE_BYTES_MAX: usize = 64;

/// Returns who speaks in `message`: its own `role`, else what its type implies. Calls are made by
/// the assistant, their outputs come from a tool.
pub(super) fn role(message: Value<'_, '_>) -> Role {
    const KNOWN: [&str; 5] = ["user", "assistant", "tool", "system", "developer"];
    if let Some(told) = message.get("role").and_then(Value::words) {
        return match KNOWN.into_iter().find(|known| *known == told) {
            Some(known) => known.into(),
            None if told.len() <= ROLE_BYTES_MAX => told.into_owned().into(),
            None => "other".into(),
        };
    }
    let kind = message
        .get("type")
        .and_then(Value::text)
        .unwrap_or_default();
    match &*kind {
        "reasoning" => "reasoning".into(),
        kind if kind.ends_with("_call") => "assistant".into(),
        kind if kind.ends_with("_output") => "tool".into(),
        _ if message.get("choices").is_some() || is_response(message) => "assistant".into(),
        _ => "other".into(),
    }
}

fn is_response(value: Value<'_, '_>) -> bool {
    value
        .get("object")
        .is_some_and(|object| object.is_text("response"))
}

/// Returns the object that tells model, usage and end of a call, if the answer is one or is wrapped in
/// one.
pub(super) fn wrapper<'b, 't>(output: Value<'b, 't>) -> Option<Value<'b, 't>> {
    let is_wrapper = |value: &Value<'b, 't>| is_response(*value) || value.get("choices").is_some();
    match output.is_object() {
        true => Some(output).filter(is_wrapper),
        false => output.elements().find(is_wrapper),
    }
}

/// Returns the words of an object that stands where a list of messages is expected: those of a message,
/// else its JSON.
fn of_object(object: Value<'_, '_>, chars_max: usize) -> Option<String> {
    if !object.is_object() || object.is_empty() {
        return None;
    }
    words(object, chars_max).or_else(|| begun(object, chars_max))
}

/// Returns the first `chars_max` characters of the last thing the user said.
pub(super) fn asked(input: Value<'_, '_>, chars_max: usize) -> Option<String> {
    let mut text = TextBuilder::new(chars_max);
    text.push_string(input);
    if let Some(whole) = text.finish() {
        return Some(whole);
    }
    if input.is_object() {
        return of_object(input, chars_max);
    }
    let messages: Vec<_> = input.elements().collect();
    let is_users =
        |message: &Value<'_, '_>| message.get("role").is_some_and(|role| role.is_text("user"));
    let mut said = messages.into_iter().rev().filter(is_users);
    said.find_map(|message| words(message, chars_max))
}

/// Returns the first `chars_max` characters of the last answer; of an answer without words, the tools
/// it calls.
pub(super) fn answered(output: Value<'_, '_>, chars_max: usize) -> Option<String> {
    let items = wrapper(output)
        .and_then(|wrapper| wrapper.get("output"))
        .unwrap_or(output);
    if items.is_object() {
        let message = unwrap_choice(items);
        let spoken = words(message, chars_max).or_else(|| calls(&[message], chars_max));
        return spoken.or_else(|| of_object(items, chars_max));
    }
    let messages: Vec<_> = items.elements().map(unwrap_choice).collect();
    if messages.is_empty() {
        let mut text = TextBuilder::new(chars_max);
        text.push_string(items);
        return text.finish();
    }
    let mut messages_back = messages.iter().rev();
    let spoken = messages_back.find_map(|message| words(*message, chars_max));
    spoken.or_else(|| calls(&messages, chars_max))
}

fn unwrap_choice<'b, 't>(message: Value<'b, 't>) -> Value<'b, 't> {
    let choice = message
        .get("choices")
        .and_then(|choices| choices.elements().next());
    choice
        .and_then(|choice| choice.get("message"))
        .unwrap_or(message)
}

/// Returns the words of one message: its content, or the text of its parts, or its refusal.
fn words(message: Value<'_, '_>, chars_max: usize) -> Option<String> {
    let mut text = TextBuilder::new(chars_max);
    text.push_string(message);
    if let Some(content) = message.get("content").filter(|_| !is_reasoning(message)) {
        text.push_string(content);
        for part in content.elements() {
            let words = part
                .get("text")
                .or_else(|| part.get("refusal"))
                .unwrap_or(part);
            text.push_string(words);
        }
    }
    text.finish().or_else(|| {
        let mut text = TextBuilder::new(chars_max);
        text.push_string(message.get("refusal")?);
        text.finish()
    })
}

fn is_reasoning(message: Value<'_, '_>) -> bool {
    message
        .get("type")
        .is_some_and(|kind| kind.is_text("reasoning"))
}

/// Returns the tool calls of an answer as `name(arguments), …`.
fn calls(messages: &[Value<'_, '_>], chars_max: usize) -> Option<String> {
    let mut text = TextBuilder::new(chars_max);
    let mut between = "";
    for message in messages {
        let chat = message
            .get("tool_calls")
            .into_iter()
            .flat_map(Value::elements);
        let functions = chat.filter_map(|call| call.get("function"));
        let item = Some(*message).filter(|item| {
            item.get("type")
                .is_some_and(|kind| kind.is_text("function_call"))
        });
        for call in functions.chain(item) {
            let Some(name) = call.get("name") else {
                continue;
            };
            text.push_str(between);
            text.push_value(name);
            text.push_str("(");
            if let Some(arguments) = call.get("arguments") {
                text.push_value(arguments);
            }
            text.push_str(")");
            between = ", ";
            if text.is_full() {
                return text.finish();
            }
        }
    }
    text.finish()
}

/// Returns the first characters of any value: of a string its text, else its JSON.
pub(super) fn preview(value: Value<'_, '_>) -> Option<String> {
    begun(value, PREVIEW_CHARS_MAX)
}

/// Returns the first `chars_max` characters of any value: of a string its text, else its JSON.
pub(super) fn begun(value: Value<'_, '_>, chars_max: usize) -> Option<String> {
    let mut text = TextBuilder::new(chars_max);
    text.push_value(value);
    text.finish()
}
