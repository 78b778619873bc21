//! One document, walked from its root to its leaves, and what is changed in it on the way.
//!
//! The text stays as it was sent but for the places that change: they are noted as edits and written
//! in the end, so a document in which nothing is found is not copied. Content that is stored apart is
//! followed to where it is, for a rule's path does not end at a reference.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use model::payload::{self, Side, Writer};

use crate::json::{Kind, Reader, Tape, Value, json_string};

use super::audio;
use super::place::{Fate, NOTE_KEY, Place};
use super::redact::paths::{Child, Steps};
use super::redact::{Step, Tally};
use super::rules::{NAME_BYTES_MAX, ProcessRules, Switches};

/// Documents nested deeper are not read; decoders take 256 levels and add some.
const DEPTH_MAX: usize = 300;

/// JSON in a text is read as JSON so many times over; further in it is a text like others.
const NESTED_MAX: usize = 3;

/// How deep such JSON may be.
const NESTED_DEPTH_MAX: usize = 64;

/// How a reference to a message begins.
const REFERENCE: &str = "\"$ref:";

/// How a text of the sender is written that begins so.
const ESCAPED: &str = "\"$ref:=";

/// Where a value stands, and what is known of it from above.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'k> {
    pub(super) place: Place,
    pub(super) steps: Steps,
    pub(super) is_audio: bool,
    pub(super) key: Option<&'k str>,
}

/// What has become of a document.
#[derive(Debug, Default)]
pub(super) struct Edited {
    /// The new text, if it changed.
    pub(super) text: Option<String>,
    /// What was taken out.
    pub(super) tally: Tally,
    /// Texts of attributes that are gone.
    pub(super) removed: Vec<String>,
}

/// What a document's references lead to.
pub(super) trait References {
    /// Looks at the message that reference `number` of `side` leads to: it stands where `frame` says, and
    /// `rule` means it as a whole.
    fn visit(&mut self, side: Side, number: usize, frame: Frame<'_>, rule: Option<usize>);
}

/// One walk.
pub(super) struct Walk<'a> {
    rules: &'a ProcessRules,
    switches: Switches,
    references: Option<&'a mut dyn References>,
    edits: Vec<(Range<usize>, String)>,
    tally: Tally,
    removed: Vec<String>,
    /// Texts of attributes that were removed elsewhere and must not stay here.
    unwanted: Option<&'a HashSet<String>>,
    nested: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(rules: &'a ProcessRules, switches: Switches) -> Self {
        Self {
            rules,
            switches,
            references: None,
            edits: Vec::new(),
            tally: Tally::default(),
            removed: Vec::new(),
            unwanted: None,
            nested: 0,
        }
    }

    /// Follows references.
    pub(super) fn with_references(mut self, references: &'a mut dyn References) -> Self {
        self.references = Some(references);
        self
    }

    /// Removes members with these texts too.
    pub(super) fn without(mut self, unwanted: Option<&'a HashSet<String>>) -> Self {
        self.unwanted = unwanted;
        self
    }

    /// Walks a document whose root stands at `place`.
    pub(super) fn document(self, json: &str, place: Place) -> Edited {
        let frame = Frame {
            place,
            steps: self.rules.redactor.paths().root(),
            is_audio: false,
            key: None,
        };
        self.value_at(json, frame)
    }

    /// Walks a value that stands where `frame` says.
    pub(super) fn value_at(mut self, json: &str, frame: Frame<'_>) -> Edited {
        match index(json, DEPTH_MAX) {
            Some(tape) => self.value(tape.root(json), frame),
            None => {
                // Nothing that cannot be read is let through unread.
                self.tally.add(Step::Unreadable.kind());
                self.edits
                    .push((0..json.len(), "\"[redacted:unreadable]\"".to_owned()));
            }
        }
        let is_marked = self.references.is_some();
        Edited {
            text: (!self.edits.is_empty()).then(|| apply(json, &self.edits, is_marked)),
            tally: self.tally,
            removed: self.removed,
        }
    }

    fn value(&mut self, value: Value<'_, '_>, frame: Frame<'_>) {
        match value.kind() {
            Kind::String => self.string(value, frame),
            Kind::Number => self.number(value),
            Kind::Bool | Kind::Null => {}
            Kind::Array => self.list(value, frame),
            Kind::Object => self.object(value, frame),
        }
    }

    fn list(&mut self, list: Value<'_, '_>, frame: Frame<'_>) {
        let paths = self.rules.redactor.paths();
        let frame = Frame {
            place: frame.place.element(),
            ..frame
        };
        let mut index = 0;
        for element in list.elements() {
            // One token stands for as many elements as it has references.
            let token = self.token(element);
            let count = token.map_or(1, |(_, first, last)| last - first + 1);
            for at in 0..count {
                let (steps, rule) = paths.below(frame.steps, Child::Index(index));
                let below = Frame { steps, ..frame };
                match token {
                    Some((side, first, _)) => self.follow(side, first + at, below, rule),
                    None => self.settle(element, below, rule),
                }
                index += 1;
            }
        }
    }

    fn object(&mut self, object: Value<'_, '_>, frame: Frame<'_>) {
        let paths = self.rules.redactor.paths();
        let is_audio = frame.is_audio || (!self.switches.include_audio && audio::is_audio(object));
        let steps = match frame.place.is_root() {
            true => frame.steps.union(paths.root()),
            false => frame.steps,
        };
        let mut members = object.members().peekable();
        // The end of the member before, and whether one before is kept.
        let (mut before, mut has_kept) = (0, false);
        while let Some((key, value)) = members.next() {
            let name = self.sent_text(key).unwrap_or_default();
            match self.fate(frame.place, &name, value) {
                Fate::Removed => {
                    let next = members.peek().map(|(next, _)| next.start());
                    let range = match has_kept {
                        true => before..value.end(),
                        false => key.start()..next.unwrap_or(value.end()),
                    };
                    self.edits.push((range, String::new()));
                }
                Fate::Kept if frame.place == Place::Extra && is_note(&name, value) => {
                    has_kept = true
                }
                fate => {
                    has_kept = true;
                    self.key(key, &name);
                    let (steps, rule) = paths.below(steps, Child::Key(&name));
                    let below = Frame {
                        place: frame.place.member(&name),
                        steps,
                        is_audio: is_audio
                            || (!self.switches.include_audio
                                && audio::is_announced(frame.place, &name)),
                        key: Some(&name),
                    };
                    match (fate, self.token(value)) {
                        (Fate::Emptied, _) => self.edit(value, "null".to_owned()),
                        (_, Some((side, first, _))) => self.follow(side, first, below, rule),
                        (_, None) => self.settle(value, below, rule),
                    }
                }
            }
            before = value.end();
        }
    }

    /// Returns what the lists and the switch for content make of a member, and counts it.
    fn fate(&mut self, place: Place, name: &str, value: Value<'_, '_>) -> Fate {
        if place.has_attributes() {
            let text = value.words();
            let unwanted = self.unwanted.zip(text.as_deref());
            let is_unwanted = unwanted.is_some_and(|(unwanted, text)| unwanted.contains(text));
            if is_unwanted || !self.rules.lists.keep(name) {
                self.tally.add(Step::Attribute.kind());
                self.removed.extend(text.map(Cow::into_owned));
                return Fate::Removed;
            }
        }
        if self.switches.include_sensitive_data {
            return Fate::Kept;
        }
        let fate = place.fate(name, value);
        if fate != Fate::Kept {
            self.tally.add(Step::Content.kind());
        }
        fate
    }

    /// Returns what a token in the place of messages says.
    fn token(&self, value: Value<'_, '_>) -> Option<(Side, usize, usize)> {
        self.references.as_ref()?;
        let token = value.raw().strip_prefix(REFERENCE)?;
        payload::parse_token(token.strip_suffix('"')?)
    }

    fn follow(&mut self, side: Side, number: usize, frame: Frame<'_>, rule: Option<usize>) {
        if let Some(references) = &mut self.references {
            references.visit(side, number, frame, rule);
        }
    }

    /// Replaces a value that a rule means, or looks into it.
    fn settle(&mut self, value: Value<'_, '_>, frame: Frame<'_>, rule: Option<usize>) {
        let Some(rule) = rule else {
            return self.value(value, frame);
        };
        if let Some(json) = self
            .rules
            .redactor
            .value(rule, value.raw(), &mut self.tally)
        {
            self.edit(value, json.into_owned());
        }
    }

    fn edit(&mut self, value: Value<'_, '_>, json: String) {
        self.edits.push((value.start()..value.end(), json));
    }

    fn key(&mut self, key: Value<'_, '_>, name: &str) {
        if let Some(text) = self.rules.redactor.text(name, &mut self.tally) {
            self.edit(key, json_string(&text));
        }
    }

    /// A number may be that of a card, or what a rule is about.
    fn number(&mut self, value: Value<'_, '_>) {
        if let Some(text) = self.rules.redactor.text(value.raw(), &mut self.tally) {
            self.edit(value, json_string(&text));
        }
    }

    fn string(&mut self, value: Value<'_, '_>, frame: Frame<'_>) {
        let Some(sent) = self.sent_text(value) else {
            return;
        };
        let mut text = Cow::Borrowed(&*sent);
        if !self.switches.include_audio {
            if let Some(mark) = audio::mark(frame.key, &text).filter(|_| frame.is_audio) {
                self.tally.add(Step::Audio.kind());
                return self.edit(value, json_string(&mark));
            }
            if let Some((without, count)) = audio::without_urls(&text) {
                (0..count).for_each(|_| self.tally.add(Step::Audio.kind()));
                text = without.into();
            }
        }
        let hits = self.rules.redactor.find(&text);
        let is_of_interest = !hits.is_empty()
            || !frame.steps.is_empty()
            || (!self.switches.include_audio && audio::may_hold(value));
        let nested = match is_of_interest {
            true => self.json_in(&text, frame),
            false => None,
        };
        match nested {
            Some(Some(changed)) => text = changed.into(),
            // It is JSON, and nothing is found in it: what was found is made of its escapes.
            Some(None) => {}
            None if !hits.is_empty() => {
                text = self
                    .rules
                    .redactor
                    .replace(&text, &hits, &mut self.tally)
                    .into();
            }
            None => {}
        }
        if *text != *sent {
            self.edit(value, json_string(&text));
        }
    }

    /// Returns a string as it was sent; nothing where it cannot be one.
    fn sent_text<'b>(&self, value: Value<'b, '_>) -> Option<Cow<'b, str>> {
        if self.references.is_none() || !value.raw().contains(ESCAPED) {
            return value.text();
        }
        let sent = value.raw().replace(ESCAPED, REFERENCE);
        let tape = index(&sent, 1)?;
        Some(tape.root(&sent).text()?.into_owned().into())
    }

    /// Walks a text that is an object or list in JSON. Returns the new text if it changed; `None` if it
    /// is no JSON.
    fn json_in(&mut self, text: &str, frame: Frame<'_>) -> Option<Option<String>> {
        let json = text.trim_ascii();
        if self.nested >= NESTED_MAX || !json.starts_with(['{', '[']) {
            return None;
        }
        let tape = index(json, NESTED_DEPTH_MAX)?;
        let mut walk = Walk {
            nested: self.nested + 1,
            unwanted: self.unwanted,
            ..Walk::new(self.rules, self.switches)
        };
        let place = Place::Inside;
        walk.value(tape.root(json), Frame { place, ..frame });
        self.tally.add_all(&walk.tally);
        let changed = (!walk.edits.is_empty()).then(|| {
            let start = text.len() - text.trim_ascii_start().len();
            let (before, after) = (&text[..start], &text[start + json.len()..]);
            format!("{before}{}{after}", apply(json, &walk.edits, false))
        });
        Some(changed)
    }
}

/// Returns whether a member is what we wrote down ourselves: words and counts.
fn is_note(key: &str, value: Value<'_, '_>) -> bool {
    let is_word =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    key == NOTE_KEY
        && value.is_object()
        && value.members().all(|(key, count)| {
            let name = key.text().unwrap_or_default();
            name.len() <= NAME_BYTES_MAX && name.bytes().all(is_word) && count.count().is_some()
        })
}

/// Returns where the values of `json` lie, if it is one value.
fn index(json: &str, depth_max: usize) -> Option<Tape> {
    let mut tape = Tape::with_depth(depth_max);
    let mut reader = Reader::new(json.as_bytes());
    reader.index(&mut tape).ok()?;
    (reader.position() == json.len()).then_some(tape)
}

/// Returns the text with its edits; in one with references a sender's text that looks like one is
/// marked.
fn apply(json: &str, edits: &[(Range<usize>, String)], is_marked: bool) -> String {
    let mut out = String::with_capacity(json.len());
    let mut from = 0;
    for (range, new) in edits {
        out.push_str(&json[from..range.start]);
        match is_marked {
            true => {
                let mut writer = Writer::default();
                writer.push_text(new);
                out.push_str(writer.finish().as_str());
            }
            false => out.push_str(new),
        }
        from = range.end;
    }
    out.push_str(&json[from..]);
    out
}
