//! What one request has told of each trace so far: its id, and the messages already taken.
//!
//! Agents resend their history at every turn, so most messages of a large request were seen in the
//! span before, at the same place. Comparing bytes there is several times cheaper than hashing them
//! again, and it needs no table.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use model::{IdError, Message, MessageHash, Role, TraceId};

use super::refusal::Refusal;

/// A list of messages that is resent in the same order.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lane {
    /// The conversation.
    History,
    /// The schemas of the tools.
    Tools,
    /// The instructions.
    Instructions,
}

/// A trace of this request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TracePlace(usize);

#[derive(Debug)]
struct Known<'b> {
    id: TraceId,
    taken: HashSet<MessageHash>,
    lanes: [Vec<(&'b str, MessageHash)>; 3],
    metadata: Option<&'b str>,
    is_deleted: bool,
}

/// The traces and messages of one request.
pub(super) struct Traces<'b, 'c> {
    body: &'b Bytes,
    is_deleted: &'c (dyn Fn(&TraceId) -> bool + Sync),
    places: HashMap<TraceId, TracePlace>,
    known: Vec<Known<'b>>,
    messages: Vec<Message>,
}

impl<'b, 'c> Traces<'b, 'c> {
    /// Returns an empty set; messages will be slices of `body`, and each trace is asked once whether it
    /// is deleted.
    pub(super) fn new(body: &'b Bytes, is_deleted: &'c (dyn Fn(&TraceId) -> bool + Sync)) -> Self {
        Self {
            body,
            is_deleted,
            places: HashMap::new(),
            known: Vec::new(),
            messages: Vec::new(),
        }
    }

    /// Returns the place of the trace that the item's `field` names, unless it is deleted.
    pub(super) fn find(&mut self, field: &'static str, id: &str) -> Result<TracePlace, Refusal> {
        let place = self
            .place(id)
            .map_err(|source| Refusal::BadId { field, source })?;
        let known = &self.known[place.0];
        match known.is_deleted {
            true => Err(Refusal::TraceDeleted {
                trace_id: known.id.clone(),
            }),
            false => Ok(place),
        }
    }

    fn place(&mut self, id: &str) -> Result<TracePlace, IdError> {
        // Items of one trace mostly come together.
        if let Some(last) = self.known.last()
            && last.id.as_str() == id
        {
            return Ok(TracePlace(self.known.len() - 1));
        }
        if let Some(place) = self.places.get(id) {
            return Ok(*place);
        }
        let place = TracePlace(self.known.len());
        let id = TraceId::new(id)?;
        self.places.insert(id.clone(), place);
        self.known.push(Known {
            is_deleted: (self.is_deleted)(&id),
            id,
            taken: HashSet::new(),
            lanes: Default::default(),
            metadata: None,
        });
        Ok(place)
    }

    /// Returns the id of a trace.
    pub(super) fn id(&self, place: TracePlace) -> TraceId {
        self.known[place.0].id.clone()
    }

    /// Returns whether `metadata` differs from what a span of this trace told last.
    pub(super) fn is_new_metadata(&mut self, place: TracePlace, metadata: &'b str) -> bool {
        self.known[place.0].metadata.replace(metadata) != Some(metadata)
    }

    /// Takes a message that is no part of a list, and returns its hash.
    pub(super) fn take(
        &mut self,
        place: TracePlace,
        content: &'b str,
        role: impl FnOnce() -> Role,
    ) -> MessageHash {
        let hash = MessageHash::of(content.as_bytes());
        let known = &mut self.known[place.0];
        if known.taken.insert(hash) {
            self.messages.push(Message {
                trace_id: known.id.clone(),
                hash,
                role: role(),
                content: self.body.slice_ref(content.as_bytes()),
            });
        }
        hash
    }

    /// Takes the message that is number `at` of a list that may have been sent before.
    pub(super) fn take_next(
        &mut self,
        place: TracePlace,
        lane: Lane,
        at: usize,
        content: &'b str,
        role: impl FnOnce() -> Role,
    ) -> MessageHash {
        let before = self.known[place.0].lanes[lane as usize].get(at);
        if let Some((_, hash)) = before.filter(|(before, _)| *before == content) {
            return *hash;
        }
        let hash = self.take(place, content, role);
        let lane = &mut self.known[place.0].lanes[lane as usize];
        lane.truncate(at);
        lane.push((content, hash));
        hash
    }

    /// Returns every message taken, once per trace.
    pub(super) fn into_messages(self) -> Vec<Message> {
        self.messages
    }
}
