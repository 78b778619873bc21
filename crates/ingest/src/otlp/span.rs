//! Spans as sent to spans of the model, and what they say of their traces.

use std::borrow::Cow;
use std::collections::HashMap;

use bytes::Bytes;
use model::{Batch, DroppedCounts, JsonText, Span, SpanId, SpanStatus, Time, TraceId};

use crate::agents_sdk::{Context, price};
use crate::dialects::{self, RunFacts, Seen};

use super::SPANS_MAX;
use super::any::{Attributes, push_object};
use super::docs::Docs;
use super::envelope::{EnvelopeError, count, finish, raw, told};
use super::form::{Group, RawEvent, RawItem, RawLink, RawResource, RawScope, RawSpan, Sink};
use super::handoffs::complete_handoffs;
use super::join::rank_of;
use super::merge::merge_doubles;
use super::payload::{Store, Trace, split};
use super::refusal::Refusal;
use super::restored::Brought;

/// What one request has told of a trace so far.
#[derive(Debug)]
struct Known {
    id: TraceId,
    /// Facts, and the place of the span that told them.
    facts: Vec<(usize, RunFacts)>,
}

/// Who says what a run is called and whose it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Run {
    /// Its spans, as those of OpenTelemetry.
    ToldBySpans,
    /// A record of its own, which spans that come later must not overrule.
    ToldApart,
}

/// Which span of which trace this is, whatever form the sender gives its ids.
#[derive(Debug, Clone)]
pub(crate) struct Ids {
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    pub(crate) parent_id: Option<SpanId>,
}

/// The state of one call.
pub(crate) struct Decoder<'c> {
    context: &'c Context<'c>,
    group: Group,
    store: Store,
    places: HashMap<[u8; 16], u32>,
    /// The places of traces whose ids are of another form.
    named: HashMap<TraceId, u32>,
    known: Vec<Known>,
    batch: Batch,
    brought: Brought,
    items: usize,
}

impl<'c> Decoder<'c> {
    /// Returns a decoder for one body.
    pub(crate) fn new(body: &Bytes, context: &'c Context<'c>) -> Self {
        Self {
            context,
            group: Group::default(),
            store: Store::new(body.clone()),
            places: HashMap::new(),
            named: HashMap::new(),
            known: Vec::new(),
            batch: Batch::default(),
            brought: Brought::default(),
            items: 0,
        }
    }

    fn trace(&mut self, id: [u8; 16]) -> u32 {
        let known = &mut self.known;
        *self.places.entry(id).or_insert_with(|| {
            let id = TraceId::new(&hex(&id)).expect("32 characters are an id");
            let facts = Vec::new();
            known.push(Known { id, facts });
            (known.len() - 1) as u32
        })
    }

    fn span(&mut self, sent: &RawSpan<'_>) -> Result<(), Refusal> {
        let trace_id: [u8; 16] = id("traceId", &sent.trace_id)?;
        let own_id: [u8; 8] = id("spanId", &sent.span_id)?;
        let parent: Option<[u8; 8]> = id("parentSpanId", &sent.parent_id).ok();
        let place = self.trace(trace_id);
        let trace_id = self.known[place as usize].id.clone();

        let pending = pending(sent, parent);
        let (own_id, parent) = pending.unwrap_or((own_id, parent));
        let ids = Ids {
            trace_id,
            span_id: span_id(own_id),
            parent_id: parent.map(span_id),
        };
        let facts = self.take(place, ids, sent, pending.is_some());
        self.note(place, facts);
        Ok(())
    }

    /// Takes a span of another product, put into the form of OpenTelemetry.
    pub(crate) fn foreign(&mut self, ids: Ids, sent: &RawSpan<'_>, run: Run) {
        let known = &mut self.known;
        let id = &ids.trace_id;
        let place = match self.named.get(id) {
            Some(place) => *place,
            None => {
                let facts = Vec::new();
                known.push(Known {
                    id: id.clone(),
                    facts,
                });
                let place = (known.len() - 1) as u32;
                self.named.insert(id.clone(), place);
                place
            }
        };
        let facts = self.take(place, ids, sent, false);
        if run == Run::ToldBySpans {
            self.note(place, facts);
        }
        self.items += 1;
        self.batch.accepted += 1;
    }

    /// Takes a span whose ids are known, and returns what it says of its run.
    fn take(&mut self, place: u32, ids: Ids, sent: &RawSpan<'_>, is_pending: bool) -> RunFacts {
        let Ids {
            trace_id,
            span_id,
            parent_id,
        } = ids;
        let mut span = Span::new(
            trace_id,
            span_id,
            model::SpanType::Custom,
            self.context.source,
        );
        span.parent_id = parent_id;
        span.started_at = time(sent.start_nanos);
        span.ended_at = time(sent.end_nanos).filter(|_| !is_pending);
        let docs = Docs::of(&sent.attributes);
        let seen = Seen {
            name: &sent.name,
            scope: &self.group.scope_name,
            attributes: &sent.attributes,
            docs: &docs,
            events: &sent.events,
            is_root: span.parent_id.is_none(),
            status_code: sent.status_code,
            status_message: &sent.status_message,
            start_nanos: sent.start_nanos,
        };
        dialects::fill(&mut span, &seen);
        span.status = match (span.ended_at, &span.error) {
            (None, _) => SpanStatus::Open,
            (Some(_), Some(_)) => SpanStatus::Error,
            (Some(_), None) => SpanStatus::Success,
        };
        price(self.context, &mut span);
        let facts = facts(&seen, &self.group);
        self.payload(&mut span, sent, &docs, place);
        self.batch.spans.push(span);
        facts
    }

    /// Notes what the span that was taken last says of its run.
    fn note(&mut self, place: u32, facts: RunFacts) {
        if facts != RunFacts::default() {
            let at = self.batch.spans.len() - 1;
            self.known[place as usize].facts.push((at, facts));
        }
    }

    fn payload(&mut self, span: &mut Span, sent: &RawSpan<'_>, docs: &Docs<'_>, place: u32) {
        let id = &self.known[place as usize].id;
        let trace = Trace { id, place };
        let parts = split(&mut self.store, trace, &sent.attributes, docs);
        let payload = &mut span.payload;
        payload.attributes = parts.attributes;
        payload.data = parts.data;
        payload.input_refs = parts.input_refs;
        payload.output_refs = parts.output_refs;
        payload.resource.clone_from(&self.group.resource);
        payload.scope.clone_from(&self.group.scope);
        payload.events = events(&sent.events);
        payload.links = links(&sent.links);
        payload.dropped = DroppedCounts {
            attributes: sent.dropped_attributes,
            events: sent.dropped_events,
            links: sent.dropped_links,
        };
        payload.extra = extra(sent, &span.name);
    }

    /// Returns the batch, or that the request was too large.
    pub(crate) fn finish(mut self) -> Result<Batch, EnvelopeError> {
        if self.items > SPANS_MAX {
            return Err(EnvelopeError::TooManyItems);
        }
        merge_doubles(&mut self.batch.spans);
        complete_handoffs(&mut self.batch.spans);
        let (spans, source) = (&self.batch.spans, self.context.source);
        for Known { id, facts } in self.known {
            let items = facts
                .into_iter()
                .filter_map(|(at, facts)| facts.into_item(id.clone(), source, rank_of(&spans[at])));
            let whole = items.reduce(|mut whole, item| {
                whole.merge(&item);
                whole
            });
            self.batch.traces.extend(whole);
        }
        self.batch.messages = self.store.into_messages();
        self.brought.finish(self.context, &mut self.batch)?;
        Ok(self.batch)
    }
}

/// Returns what the span says of its run, else what its resource says.
fn facts(seen: &Seen<'_, '_>, group: &Group) -> RunFacts {
    let mut facts = RunFacts::of(seen);
    facts.environment = facts.environment.or_else(|| group.environment.clone());
    facts.version = facts.version.or_else(|| group.service_version.clone());
    facts
}

impl<'b> Sink<'b> for Decoder<'_> {
    fn resource(&mut self, resource: RawResource<'b>, schema_url: &str) {
        self.group.set_resource(resource, schema_url);
    }

    fn scope(&mut self, scope: RawScope<'b>, schema_url: &str) {
        self.group.set_scope(scope, schema_url);
    }

    fn item(&mut self, item: Result<RawItem<'b>, Refusal>) {
        let outcome = match item {
            Ok(RawItem::Span(mut span)) => {
                let source = self.context.source;
                match self.brought.take(&mut span, self.items, source) {
                    true => Ok(()),
                    false => self.span(&span),
                }
            }
            Ok(RawItem::Log(_)) => Ok(()),
            Err(refusal) => Err(refusal),
        };
        match outcome {
            Ok(()) => self.batch.accepted += 1,
            Err(refusal) => self.batch.rejected.push(refusal.of_item(self.items)),
        }
        self.items += 1;
    }

    fn is_full(&self) -> bool {
        self.items > SPANS_MAX
    }
}

/// Logfire announces a span that is still running as one below it: returns the ids of the running
/// one, which the real one will supersede.
fn pending(sent: &RawSpan<'_>, parent: Option<[u8; 8]>) -> Option<([u8; 8], Option<[u8; 8]>)> {
    if sent.attributes.text("logfire.span_type") != Some("pending_span") {
        return None;
    }
    let above = sent.attributes.text("logfire.pending_parent_id");
    let above = above.and_then(|text| u64::from_str_radix(text, 16).ok());
    let above = above.filter(|id| *id != 0).map(u64::to_be_bytes);
    Some((parent?, above))
}

/// Returns an id, which must have its length and not be all zero.
pub(super) fn id<const N: usize>(field: &'static str, sent: &[u8]) -> Result<[u8; N], Refusal> {
    let bad = |found: String| Refusal::BadId {
        field,
        bytes: N,
        found,
    };
    let id: [u8; N] = sent
        .try_into()
        .map_err(|_| bad(format!("{} bytes", sent.len())))?;
    match id == [0; N] {
        true => Err(bad("zeros".to_owned())),
        false => Ok(id),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from(DIGITS[usize::from(digit)]));
        }
    }
    text
}

fn span_id(id: [u8; 8]) -> SpanId {
    SpanId::new(&hex(&id)).expect("16 characters are an id")
}

/// Returns a moment; 0 is how OTLP says that none is known.
pub(super) fn time(nanos: u64) -> Option<Time> {
    (nanos > 0).then(|| Time::from_micros((nanos / 1_000) as i64))
}

/// Returns a JSON list of the events.
pub(super) fn events(events: &[RawEvent<'_>]) -> Option<JsonText> {
    list(events, |event| {
        let mut out = String::new();
        told(&mut out, "name", &event.name);
        told_nanos(&mut out, "time_unix_nano", event.nanos);
        told_attributes(&mut out, &event.attributes, event.dropped_attributes);
        out
    })
}

fn links(links: &[RawLink<'_>]) -> Option<JsonText> {
    list(links, |link| {
        let mut out = String::new();
        told(&mut out, "trace_id", &hex(&link.trace_id));
        told(&mut out, "span_id", &hex(&link.span_id));
        told(&mut out, "trace_state", &link.trace_state);
        count(&mut out, "flags", link.flags);
        told_attributes(&mut out, &link.attributes, link.dropped_attributes);
        out
    })
}

fn list<T>(items: &[T], write: impl Fn(&T) -> String) -> Option<JsonText> {
    if items.is_empty() {
        return None;
    }
    let mut out = String::from("[");
    for (n, item) in items.iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        out.push_str(finish(write(item)).as_ref().map_or("{}", JsonText::as_str));
    }
    out.push(']');
    Some(JsonText::from_trusted(out))
}

/// Nanoseconds do not fit into a number of JavaScript: they are a text, as in OTLP.
pub(super) fn told_nanos(out: &mut String, name: &str, nanos: u64) {
    if nanos > 0 {
        told(out, name, &nanos.to_string());
    }
}

pub(super) fn told_attributes(out: &mut String, attributes: &Attributes<'_>, dropped: u32) {
    let members: Vec<(Cow<'_, str>, super::any::Any<'_>)> = attributes
        .iter()
        .map(|(key, value)| (Cow::Borrowed(key), value.clone()))
        .collect();
    if !members.is_empty() {
        let mut object = String::new();
        push_object(&mut object, &members, 2);
        raw(out, "attributes", &object);
    }
    count(out, "dropped_attributes_count", dropped);
}

/// Returns what no column holds: the name, if the column has a better one, and the exact times.
fn extra(sent: &RawSpan<'_>, name: &str) -> Option<JsonText> {
    let mut out = String::new();
    if sent.name != name {
        told(&mut out, "name", &sent.name);
    }
    count(&mut out, "kind", sent.kind);
    count(&mut out, "flags", sent.flags);
    told(&mut out, "trace_state", &sent.trace_state);
    told_nanos(&mut out, "start_time_unix_nano", sent.start_nanos);
    told_nanos(&mut out, "end_time_unix_nano", sent.end_nanos);
    let mut status = String::new();
    count(&mut status, "code", sent.status_code);
    told(&mut status, "message", &sent.status_message);
    if let Some(status) = finish(status) {
        raw(&mut out, "status", status.as_str());
    }
    finish(out)
}
