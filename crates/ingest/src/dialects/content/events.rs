//! Messages that stand in events of a span, in records of its log, or in a list of such events.

use std::ops::ControlFlow::{self, Continue};

use crate::messages::{Doc, Take, messages, role_word};
use crate::otlp::{Any, RawEvent};

use super::{Seen, Side, is_of_logfire, messages_in, written_value};

impl Side {
    pub(super) fn message_events(self, events: &[RawEvent<'_>], take: Take<'_>) -> ControlFlow<()> {
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

    pub(super) fn logfire_events(self, seen: &Seen<'_, '_>, take: Take<'_>) -> ControlFlow<()> {
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

/// Returns the name of an event; one library writes it into an attribute.
pub(super) fn event_name<'e>(event: &'e RawEvent<'_>) -> &'e str {
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
