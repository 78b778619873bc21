//! How attributes become a payload: short values stay, long ones are cut into messages.
//!
//! Agents send their whole history with every call, as the JSON text of a list of messages, as a
//! structured list, or as one attribute for each field of each message. So every list of objects
//! inside a long value is cut into its elements, and every long text is a message of its own. What is
//! left is `data`, an object of up to three members:
//!
//! * `json`: attributes that were sent as the *text* of JSON, as that JSON;
//! * `values`: other long attributes, as they are;
//! * `records`: log records that were joined to the span (see [`super::join`]).
//!
//! Texts are kept byte for byte, white space between elements included.

use std::collections::HashMap;

use bytes::Bytes;
use model::payload::{Side, Writer};
use model::{JsonText, Message, MessageHash, Role, TraceId};

use crate::json::{Kind, Value, json_string};
use crate::messages::{Doc, role_word};

use super::any::{Any, Attributes};
use super::docs::Docs;
use super::envelope::{self, finish, raw};

/// Values shorter than this stay in the attributes.
pub(super) const LONG_BYTES_MIN: usize = 256;

/// Objects shorter than this are not worth a reference.
const ELEMENT_BYTES_MIN: usize = 48;

/// Lists are looked for this deep: bodies of requests hold lists in objects in lists.
const LEVELS_MAX: usize = 4;

/// Room for a `data` to begin with: some attributes and references.
const DATA_BYTES: usize = 256;

/// The messages taken from one request, once per trace.
#[derive(Debug)]
pub(super) struct Store {
    body: Bytes,
    messages: Vec<Message>,
    /// Where each message of a trace is.
    taken: HashMap<(u32, MessageHash), usize>,
    /// The lane of each attribute, trace by trace.
    lane_of: Vec<HashMap<String, usize>>,
    /// Where the messages are that one attribute held last. Agents send their history again with
    /// every call, and to compare bytes is several times cheaper than to hash them.
    lanes: Vec<Vec<usize>>,
}

impl Store {
    /// Returns an empty store; messages that lie in `body` are slices of it.
    pub(super) fn new(body: Bytes) -> Self {
        Self {
            body,
            messages: Vec::new(),
            taken: HashMap::new(),
            lane_of: Vec::new(),
            lanes: Vec::new(),
        }
    }

    /// Returns the messages taken.
    pub(super) fn into_messages(self) -> Vec<Message> {
        self.messages
    }

    /// Returns the lane of an attribute.
    fn lane(&mut self, trace: Trace<'_>, key: &str) -> usize {
        let place = trace.place as usize;
        if place >= self.lane_of.len() {
            self.lane_of.resize_with(place + 1, HashMap::new);
        }
        let known = &mut self.lane_of[place];
        if let Some(lane) = known.get(key) {
            return *lane;
        }
        let lane = self.lanes.len();
        known.insert(key.to_owned(), lane);
        self.lanes.push(Vec::new());
        lane
    }

    /// Takes the message that is number `at` of an attribute.
    fn take_next(
        &mut self,
        trace: Trace<'_>,
        lane: usize,
        at: usize,
        content: &str,
        role: impl FnOnce() -> Role,
    ) -> MessageHash {
        let before = self.lanes[lane].get(at).map(|at| &self.messages[*at]);
        if let Some(before) = before.filter(|before| before.content == content.as_bytes()) {
            return before.hash;
        }
        let message = self.take(trace, content, role);
        match self.lanes[lane].get_mut(at) {
            Some(before) => *before = message,
            None => self.lanes[lane].push(message),
        }
        self.messages[message].hash
    }

    /// Takes a message and returns where it is.
    fn take(&mut self, trace: Trace<'_>, content: &str, role: impl FnOnce() -> Role) -> usize {
        let hash = MessageHash::of(content.as_bytes());
        let next = self.messages.len();
        let at = *self.taken.entry((trace.place, hash)).or_insert(next);
        if at == next {
            let content = self.bytes_of(content);
            self.messages.push(Message {
                trace_id: trace.id.clone(),
                hash,
                role: role(),
                content,
            });
        }
        at
    }

    /// Returns the bytes of a text, shared with the body where they lie in it.
    fn bytes_of(&self, content: &str) -> Bytes {
        let (body, part) = (self.body.as_ptr_range(), content.as_bytes().as_ptr_range());
        match body.start <= part.start && part.end <= body.end {
            true => self.body.slice_ref(content.as_bytes()),
            false => Bytes::copy_from_slice(content.as_bytes()),
        }
    }
}

/// The trace that messages are taken for: its id, and a number that stands for it in one request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trace<'a> {
    pub(super) id: &'a TraceId,
    pub(super) place: u32,
}

/// What a span keeps of its attributes.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) attributes: Option<JsonText>,
    pub(super) data: Option<JsonText>,
    pub(super) input_refs: Vec<MessageHash>,
    pub(super) output_refs: Vec<MessageHash>,
}

/// Splits attributes into what stays and what is cut out.
pub(super) fn split(
    store: &mut Store,
    trace: Trace<'_>,
    attributes: &Attributes<'_>,
    docs: &Docs<'_>,
) -> Parts {
    let mut short = String::new();
    let (mut parsed, mut long) = (Vec::new(), Vec::new());
    for (key, value) in attributes.iter() {
        match value {
            Any::Text(text) if text.len() >= LONG_BYTES_MIN => match docs.get(key) {
                // Only a text that is the JSON and nothing else comes back byte for byte.
                Some(doc) if doc.root().raw().len() == text.len() => parsed.push((key, doc)),
                _ => long.push((key, json_string(text))),
            },
            Any::List(_) | Any::Map(_) => {
                let json = value.to_json();
                match json.len() >= LONG_BYTES_MIN {
                    true => long.push((key, json)),
                    false => raw(&mut short, key, &json),
                }
            }
            Any::Bytes(bytes) if bytes.len() >= LONG_BYTES_MIN => long.push((key, value.to_json())),
            _ => {
                envelope::key(&mut short, key);
                value.push_json(&mut short, 0);
            }
        }
    }
    let mut cutter = Cutter::new(store, trace, Parts::default());
    if !parsed.is_empty() || !long.is_empty() {
        cutter.text("{");
        cutter.group("json", &parsed, |cutter, key, doc| cutter.doc(key, doc));
        if !parsed.is_empty() && !long.is_empty() {
            cutter.text(",");
        }
        cutter.group("values", &long, |cutter, key, json| {
            match Doc::parse(json.as_str()) {
                Some(doc) => cutter.doc(key, &doc),
                None => cutter.text(json),
            }
        });
        cutter.text("}");
    }
    let mut parts = cutter.finish();
    parts.attributes = finish(short);
    parts
}

/// Writes `data`, taking messages on the way.
#[derive(Debug)]
pub(super) struct Cutter<'s, 't> {
    store: &'s mut Store,
    trace: Trace<'t>,
    /// The lane of the attribute that is being cut, and how many of its messages were taken.
    lane: usize,
    passed: usize,
    writer: Writer,
    parts: Parts,
    is_empty: bool,
    /// References that will share one token: their side, the first and the last.
    run: Option<(Side, usize, usize)>,
}

impl<'s, 't> Cutter<'s, 't> {
    /// Returns a cutter that goes on behind the references that `parts` has.
    pub(super) fn new(store: &'s mut Store, trace: Trace<'t>, parts: Parts) -> Self {
        Self {
            store,
            trace,
            lane: 0,
            passed: 0,
            writer: Writer::with_capacity(DATA_BYTES),
            parts,
            is_empty: true,
            run: None,
        }
    }

    fn group<T>(
        &mut self,
        name: &str,
        members: &[(&str, T)],
        mut write: impl FnMut(&mut Self, &str, &T),
    ) {
        if members.is_empty() {
            return;
        }
        self.text(&json_string(name));
        self.text(":{");
        for (n, (key, value)) in members.iter().enumerate() {
            if n > 0 {
                self.text(",");
            }
            self.text(&json_string(key));
            self.text(":");
            write(self, key, value);
        }
        self.text("}");
    }

    /// Writes text as it is.
    pub(super) fn text(&mut self, text: &str) {
        self.write_run();
        self.writer.push_text(text);
        self.is_empty = false;
    }

    /// Writes the value of the attribute `key`, its messages cut out.
    pub(super) fn doc(&mut self, key: &str, doc: &Doc<'_>) {
        let root = doc.root();
        let place = Place {
            key,
            list: key,
            side: side_of(key),
        };
        (self.lane, self.passed) = (self.store.lane(self.trace, key), 0);
        let mut from = root.start();
        self.value(root, place, 0, &mut from);
        let rest = &root.item_text()[from..root.end()];
        if !rest.is_empty() {
            self.text(rest);
        }
    }

    /// Writes `value` as one message.
    pub(super) fn whole(&mut self, key: &str, json: &str, role: Role) {
        let side = side_of(key);
        let at = self.store.take(self.trace, json, || role);
        let hash = self.store.messages[at].hash;
        self.reference(side, hash, false);
        self.is_empty = false;
    }

    fn value(&mut self, value: Value<'_, '_>, place: Place<'_>, level: usize, from: &mut usize) {
        match value.kind() {
            Kind::Array if level < LEVELS_MAX => {
                for element in value.elements() {
                    match element.is_object() && element.raw().len() >= ELEMENT_BYTES_MIN {
                        true => self.take(element, place, from),
                        false => self.value(element, place, level + 1, from),
                    }
                }
            }
            Kind::Object if level < LEVELS_MAX => {
                for (name, member) in value.members() {
                    let list = name.text().unwrap_or_default();
                    let place = Place {
                        list: &list,
                        ..place
                    };
                    self.value(member, place, level + 1, from);
                }
            }
            _ if value.raw().len() >= LONG_BYTES_MIN => self.take(value, place, from),
            _ => {}
        }
    }

    fn take(&mut self, value: Value<'_, '_>, place: Place<'_>, from: &mut usize) {
        let role = || role_of(value, place);
        let hash = self
            .store
            .take_next(self.trace, self.lane, self.passed, value.raw(), role);
        self.passed += 1;
        let gap = &value.item_text()[*from..value.start()];
        let joins = gap == ",";
        if !joins && !gap.is_empty() {
            self.text(gap);
        }
        self.reference(place.side, hash, joins);
        self.is_empty = false;
        *from = value.end();
    }

    fn reference(&mut self, side: Side, hash: MessageHash, joins: bool) {
        let refs = match side {
            Side::Input => &mut self.parts.input_refs,
            Side::Output => &mut self.parts.output_refs,
        };
        let number = refs.len();
        refs.push(hash);
        self.run = match self.run {
            Some((run_side, first, _)) if joins && run_side == side => Some((side, first, number)),
            _ => {
                self.write_run();
                if joins {
                    self.writer.push_text(",");
                }
                Some((side, number, number))
            }
        };
    }

    fn write_run(&mut self) {
        if let Some((side, first, last)) = self.run.take() {
            self.writer.push_refs(side, first, last);
        }
    }

    /// Returns what was cut.
    pub(super) fn finish(mut self) -> Parts {
        self.write_run();
        if !self.is_empty {
            self.parts.data = Some(self.writer.finish());
        }
        self.parts
    }
}

/// Where a value stands: its attribute, and the key of the list it is in.
#[derive(Debug, Clone, Copy)]
struct Place<'a> {
    key: &'a str,
    list: &'a str,
    side: Side,
}

/// Returns whether an attribute tells what went in or what came out.
fn side_of(key: &str) -> Side {
    const OUTPUT: [&str; 6] = [
        "output",
        "completion",
        "response",
        "result",
        "choice",
        "Outputs",
    ];
    match OUTPUT.iter().any(|word| key.contains(word)) {
        true => Side::Output,
        false => Side::Input,
    }
}

/// Returns what part a message plays.
fn role_of(value: Value<'_, '_>, place: Place<'_>) -> Role {
    const KNOWN: [&str; 5] = ["user", "assistant", "tool", "system", "developer"];
    let known = |word: &str| {
        let word = role_word(word);
        KNOWN.into_iter().find(|known| *known == word)
    };
    let text = |key: &str| value.get(key).and_then(Value::text);
    let told = ["role", "event.name"].into_iter().find_map(text);
    if let Some(role) = told.and_then(|role| known(&role)) {
        return role.into();
    }
    let class = value.get("id").and_then(|id| id.elements().last());
    if let Some(role) = class.and_then(Value::text).and_then(|class| known(&class)) {
        return role.into();
    }
    if ["tools", "functions", "tool.definitions", "json_schema"]
        .iter()
        .any(|word| place.list.ends_with(word) || place.key.ends_with(word))
        || place.key.starts_with("llm.request.functions.")
    {
        return "tool_schema".into();
    }
    let kind = text("type").unwrap_or_default();
    match &*kind {
        "reasoning" => return "reasoning".into(),
        kind if kind.ends_with("_call") || kind == "ai" => return "assistant".into(),
        kind if kind.ends_with("_output") => return "tool".into(),
        "human" => return "user".into(),
        _ => {}
    }
    match place.key {
        key if key.contains("instructions") || place.list.contains("instructions") => {
            "instructions".into()
        }
        key if key.contains("arguments") || key.ends_with(".args") => "arguments".into(),
        key if key.contains("tool") && place.side == Side::Output => "result".into(),
        _ => "other".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::payload::restore;

    fn check(key: &str, value: Any<'_>, refs: [usize; 2]) {
        let trace = TraceId::new("t").expect("an id");
        let mut store = Store::new(Bytes::new());
        let attributes = Attributes::new(vec![(key.into(), value.clone())]);
        let trace = Trace {
            id: &trace,
            place: 0,
        };
        let docs = Docs::of(&attributes);
        let parts = split(&mut store, trace, &attributes, &docs);
        assert_eq!([parts.input_refs.len(), parts.output_refs.len()], refs);
        let data = parts.data.expect("long enough");
        assert!(JsonText::parse(data.as_str()).is_ok(), "{data:?}");
        let messages = store.into_messages();
        let content = |hash: &MessageHash| {
            let mut found = messages.iter().filter(|message| message.hash == *hash);
            found.next().map(Message::text)
        };
        let back = restore(
            data.as_str(),
            &parts.input_refs,
            &parts.output_refs,
            content,
        );
        let doc = Doc::parse(back.expect("restores")).expect("is JSON");
        match doc.root().get("json").and_then(|json| json.get(key)) {
            Some(json) => assert_eq!(Any::Text(json.raw().to_owned().into()), value),
            None => {
                let back = doc.root().get("values").and_then(|values| values.get(key));
                assert_eq!(back.expect("is there").raw(), value.to_json());
            }
        }
    }

    #[test]
    fn every_long_value_comes_back() {
        let long = "é\"\\\n$ref:".repeat(80);
        let message = json_string(&long);
        check("input.value", Any::Text(long.clone().into()), [1, 0]);
        let list = format!(
            r#"[{{"role":"user","content":{message}}}, {{"role":"tool","content":{message}}},{{"role":"tool","content":"another one, not so long"}}]"#
        );
        check("gen_ai.input.messages", Any::Text(list.into()), [3, 0]);
        let body = format!(
            r#"{{"instructions":{message},"output":[{{"content":{message}}}],"tools":[[{{"a":{message}}}]],"n":1.0}}"#
        );
        check("response", Any::Text(body.into()), [0, 3]);
        check(
            "gen_ai.output.messages",
            Any::List(vec![Any::Map(vec![(
                "content".into(),
                Any::Text(long.into()),
            )])]),
            [0, 1],
        );
        check("blob", Any::Bytes(vec![7; 300].into()), [1, 0]);
    }
}
