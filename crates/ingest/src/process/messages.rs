//! The messages of a batch while they change: each is looked at once, however many spans refer to it.

use std::collections::HashMap;

use bytes::Bytes;
use model::payload::Side;
use model::{Message, MessageHash, Payload, TraceId};

use super::place::Place;
use super::redact::Tally;
use super::redact::paths::Steps;
use super::rules::{ProcessRules, Switches};
use super::walk::{Edited, Frame, References, Walk};

/// A message, and what is known of where it stands: it may have to change in one place alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Looked {
    message: usize,
    steps: Steps,
    is_audio: bool,
    rule: Option<usize>,
}

/// The messages of a batch.
#[derive(Debug)]
pub(super) struct Messages<'a> {
    rules: &'a ProcessRules,
    switches: Switches,
    list: Vec<Message>,
    places: HashMap<(TraceId, MessageHash), usize>,
    looked: HashMap<Looked, (MessageHash, Tally)>,
    /// What was taken out of messages, each counted once.
    pub(super) total: Tally,
}

impl<'a> Messages<'a> {
    pub(super) fn new(rules: &'a ProcessRules, switches: Switches, list: Vec<Message>) -> Self {
        let place =
            |(at, message): (usize, &Message)| ((message.trace_id.clone(), message.hash), at);
        Self {
            rules,
            switches,
            places: list.iter().enumerate().map(place).collect(),
            list,
            looked: HashMap::new(),
            total: Tally::default(),
        }
    }

    pub(super) fn into_list(self) -> Vec<Message> {
        self.list
    }

    /// Returns the text of a message.
    pub(super) fn text(&self, trace_id: &TraceId, hash: &MessageHash) -> Option<&str> {
        let at = self.places.get(&(trace_id.clone(), *hash))?;
        Some(self.list[*at].text())
    }

    /// Returns the hash of what a message has become, and what was taken out of it.
    fn changed(
        &mut self,
        trace_id: &TraceId,
        hash: MessageHash,
        frame: Frame<'_>,
        rule: Option<usize>,
    ) -> Option<(MessageHash, Tally)> {
        let message = *self.places.get(&(trace_id.clone(), hash))?;
        let looked = Looked {
            message,
            steps: frame.steps,
            is_audio: frame.is_audio,
            rule,
        };
        if let Some(known) = self.looked.get(&looked) {
            return Some(known.clone());
        }
        let edited = self.edited(message, frame, rule);
        self.total.add_all(&edited.tally);
        let hash = edited.text.map_or(hash, |text| self.put(message, text));
        self.looked.insert(looked, (hash, edited.tally.clone()));
        Some((hash, edited.tally))
    }

    fn edited(&self, message: usize, frame: Frame<'_>, rule: Option<usize>) -> Edited {
        let text = self.list[message].text();
        let Some(rule) = rule else {
            let place = Place::Inside;
            let frame = Frame {
                place,
                key: None,
                ..frame
            };
            return Walk::new(self.rules, self.switches).value_at(text, frame);
        };
        let mut edited = Edited::default();
        let value = self.rules.redactor.value(rule, text, &mut edited.tally);
        edited.text = value.map(Into::into);
        edited
    }

    /// Keeps a message in its new words and returns their hash.
    fn put(&mut self, from: usize, text: String) -> MessageHash {
        let hash = MessageHash::of(text.as_bytes());
        let old = &self.list[from];
        let key = (old.trace_id.clone(), hash);
        if !self.places.contains_key(&key) {
            let new = Message {
                trace_id: old.trace_id.clone(),
                hash,
                role: old.role.clone(),
                content: Bytes::from(text),
            };
            self.places.insert(key, self.list.len());
            self.list.push(new);
        }
        hash
    }
}

/// The references of one span while its data is walked.
#[derive(Debug)]
pub(super) struct SpanReferences<'m, 'a> {
    pub(super) messages: &'m mut Messages<'a>,
    pub(super) trace_id: TraceId,
    pub(super) payload: &'m mut Payload,
    /// What was taken out of the messages.
    pub(super) tally: Tally,
}

impl References for SpanReferences<'_, '_> {
    fn visit(&mut self, side: Side, number: usize, frame: Frame<'_>, rule: Option<usize>) {
        let refs = match side {
            Side::Input => &mut self.payload.input_refs,
            Side::Output => &mut self.payload.output_refs,
        };
        let Some(hash) = refs.get_mut(number) else {
            return;
        };
        if let Some((new, tally)) = self.messages.changed(&self.trace_id, *hash, frame, rule) {
            *hash = new;
            self.tally.add_all(&tally);
        }
    }
}
