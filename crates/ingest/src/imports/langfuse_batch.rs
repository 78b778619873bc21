//! Langfuse's older way in, `/api/public/ingestion`: a batch of events that create and update.
//!
//! SDKs before version 3 send what they know of an observation when it begins, and the rest when it
//! ends, mostly in a later request. A row of ours is whole, so an update is laid over what is known of
//! the observation: what came before it in the batch, else the row that is stored, whose attributes
//! hold the record as it was sent. Who calls this hands those rows over ([`LangfuseBatch::traces`] says
//! of which traces) and must let no other batch in between.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use model::{SpanId, TraceId, TraceItem};

use crate::agents_sdk::Context;
use crate::json::{Tape, Value};
use crate::otlp::{self, Any, Run, Sent};

use super::counted::{Imported, Tally};
use super::langfuse::{attributes, overlay, span_of, trace_item};
use super::record::{Members, Refusal, id_text, merged};
use super::{Format, To};

/// A batch with more events is refused: the SDKs send some dozens.
const EVENTS_MAX: usize = 20_000;

/// Why nothing of a batch was taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LangfuseError {
    /// It is no JSON with a list of events.
    #[error("the body is no batch of Langfuse, `{{\"batch\":[…]}}`: {0}")]
    NotABatch(String),
    /// It holds too many events.
    #[error("the batch holds more than {EVENTS_MAX} events: send smaller ones")]
    TooManyEvents,
}

/// What became of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventAnswer {
    /// The id that the sender gave it.
    pub id: String,
    /// Why it was refused; `None`: it was taken.
    pub refused: Option<String>,
}

/// What is stored of the traces that a batch is about.
#[derive(Debug, Default)]
pub struct Known<'a> {
    /// What was said of each trace.
    pub items: HashMap<TraceId, TraceItem>,
    /// The spans, with the data of each put together again.
    pub spans: HashMap<(TraceId, SpanId), Sent<'a>>,
}

/// The events of one request.
#[derive(Debug)]
pub struct LangfuseBatch {
    body: Bytes,
    tape: Tape,
}

impl LangfuseBatch {
    /// Reads a request.
    pub fn read(body: Bytes) -> Result<Self, LangfuseError> {
        let mut tape = Tape::default();
        let bad = |refusal: Refusal| LangfuseError::NotABatch(refusal.to_string());
        let root = super::root(&body, &mut tape).map_err(bad)?;
        let Some(list) = root.get("batch") else {
            let missing = "there is no `batch`".to_owned();
            return Err(LangfuseError::NotABatch(missing));
        };
        if list.elements().count() > EVENTS_MAX {
            return Err(LangfuseError::TooManyEvents);
        }
        Ok(Self { body, tape })
    }

    fn events(&self) -> impl Iterator<Item = Value<'_, '_>> {
        let text = std::str::from_utf8(&self.body).unwrap_or_default();
        let root = self
            .tape
            .root(text.trim_start_matches([' ', '\t', '\r', '\n']));
        root.get("batch").into_iter().flat_map(Value::elements)
    }

    /// Returns the traces that the batch is about, and of each the observations.
    pub fn traces(&self) -> Vec<(TraceId, BTreeSet<SpanId>)> {
        let mut traces: HashMap<TraceId, BTreeSet<SpanId>> = HashMap::new();
        for event in self.events().filter_map(Event::of) {
            let id = |key| event.body.get(key).and_then(Value::scalar);
            let (trace, span) = match event.target {
                Target::Trace => (id("id"), None),
                Target::Observation(_) => (id("traceId"), id("id")),
                Target::Ignored(_) => continue,
            };
            let Some(trace) = trace.and_then(|id| TraceId::new(&id).ok()) else {
                continue;
            };
            let spans = traces.entry(trace).or_default();
            spans.extend(span.and_then(|id| SpanId::new(&id).ok()));
        }
        traces.into_iter().collect()
    }

    /// Returns the rows that the batch makes of what is `known`, and what became of each event.
    pub fn decode(&self, known: &Known<'_>, context: &Context<'_>) -> (Imported, Vec<EventAnswer>) {
        let mut state = State {
            known,
            spans: Vec::new(),
            places: HashMap::new(),
            items: Vec::new(),
            places_of_items: HashMap::new(),
            tally: Tally::default(),
            source: context.source,
        };
        let answers = self.events().map(|event| state.answer(event)).collect();
        let mut spans = otlp::SpanDecoder::new(&self.body, context);
        let mut tally = state.tally;
        let mut to = To {
            spans: &mut spans,
            tally: &mut tally,
            format: Format::Langfuse,
            source: context.source,
        };
        to.scope();
        let mut events_of_spans = 0;
        for (attributes, events) in state.spans {
            // Whether it can be one was asked with each event.
            to.span(span_of(attributes), Run::ToldApart);
            events_of_spans += events;
        }
        let events_of_items: usize = state.items.iter().map(|(_, events)| events).sum();
        for (item, _) in state.items {
            to.item(Ok(item));
        }
        let spans = spans.finish();
        let mut imported = tally.finish(spans.expect("fewer events than spans are taken at once"));
        // The sender counts events, of which several may make one row.
        imported.batch.accepted = events_of_spans + events_of_items;
        (imported, answers)
    }
}

/// One event of a batch.
#[derive(Debug, Clone, Copy)]
struct Event<'b, 't> {
    target: Target,
    body: Value<'b, 't>,
}

#[derive(Debug, Clone, Copy)]
enum Target {
    Trace,
    /// An observation, of this type unless its body says another.
    Observation(Option<&'static str>),
    /// Something that is not kept, and what it is.
    Ignored(&'static str),
}

/// The types of events; Langfuse's own words.
const TYPES: [(&str, Target); 11] = [
    ("trace-create", Target::Trace),
    ("span-create", Target::Observation(Some("SPAN"))),
    ("span-update", Target::Observation(Some("SPAN"))),
    ("generation-create", Target::Observation(Some("GENERATION"))),
    ("generation-update", Target::Observation(Some("GENERATION"))),
    ("event-create", Target::Observation(Some("EVENT"))),
    ("observation-create", Target::Observation(None)),
    ("observation-update", Target::Observation(None)),
    ("score-create", Target::Ignored("score")),
    ("sdk-log", Target::Ignored("sdk_log")),
    (
        "dataset-run-item-create",
        Target::Ignored("dataset_run_item"),
    ),
];

impl<'b, 't> Event<'b, 't> {
    fn of(value: Value<'b, 't>) -> Option<Self> {
        let kind = value.get("type")?;
        let (_, target) = TYPES.into_iter().find(|(word, _)| kind.is_text(word))?;
        let body = value.get("body").filter(|body| body.is_object())?;
        Some(Self { target, body })
    }
}

/// What the batch has made so far.
struct State<'k, 'b> {
    known: &'k Known<'k>,
    /// The attributes of each observation, and how many events told of it.
    spans: Vec<(Members<'b>, usize)>,
    places: HashMap<(String, String), usize>,
    items: Vec<(TraceItem, usize)>,
    places_of_items: HashMap<TraceId, usize>,
    tally: Tally,
    source: model::Source,
}

impl<'b> State<'_, 'b> {
    fn answer(&mut self, event: Value<'b, '_>) -> EventAnswer {
        let id = event.get("id").and_then(Value::scalar);
        let outcome = match Event::of(event) {
            None => Err(Refusal::NotARecord {
                expected: "an event with a type that Langfuse's SDKs send and a body",
                found: "something else",
            }),
            Some(Event { target, body }) => match target {
                Target::Trace => self.trace(body),
                Target::Observation(kind) => self.observation(kind, body),
                Target::Ignored(what) => {
                    self.tally.ignored(what, 1);
                    Ok(())
                }
            },
        };
        let refused = outcome.err().map(|refusal| {
            let words = refusal.to_string();
            self.tally.refuse(refusal);
            words
        });
        self.tally.next_document();
        EventAnswer {
            id: id.unwrap_or_default().into_owned(),
            refused,
        }
    }

    fn trace(&mut self, body: Value<'b, '_>) -> Result<(), Refusal> {
        let later = trace_item(body, self.source)?;
        let id = &later.trace_id;
        let at = match self.places_of_items.get(id) {
            Some(at) => *at,
            None => {
                let known = self.known.items.get(id).cloned();
                let item = known.unwrap_or_else(|| TraceItem::new(id.clone(), self.source));
                self.places_of_items.insert(id.clone(), self.items.len());
                self.items.push((item, 0));
                self.items.len() - 1
            }
        };
        let (item, events) = &mut self.items[at];
        let both = |old: &Option<model::JsonText>, new: &Option<model::JsonText>| {
            merged(old.as_ref()?.as_str(), new.as_ref()?.as_str())
        };
        let extra = both(&item.extra, &later.extra);
        let metadata = both(&item.metadata, &later.metadata);
        item.merge(&later);
        item.extra = extra.or_else(|| item.extra.take());
        item.metadata = metadata.or_else(|| item.metadata.take());
        *events += 1;
        Ok(())
    }

    fn observation(
        &mut self,
        kind: Option<&'static str>,
        body: Value<'b, '_>,
    ) -> Result<(), Refusal> {
        let id = id_text("id", body.get("id"))?.into_owned();
        let trace = id_text("traceId", body.get("traceId"))?.into_owned();
        let mut later = attributes(body);
        let key = (trace, id);
        let place = self.places.get(&key).copied();
        let mut all = match place {
            Some(at) => std::mem::take(&mut self.spans[at].0),
            None => self.stored(&key).unwrap_or_default(),
        };
        let type_key = "langfuse.observation.type";
        let has_type = |members: &Members<'_>| members.iter().any(|(key, _)| key == type_key);
        if !has_type(&all) && !has_type(&later) {
            let kind = kind.unwrap_or("SPAN");
            later.push((type_key.into(), Any::Text(Cow::Borrowed(kind))));
        }
        let before = all.clone();
        overlay(&mut all, later);
        let refused = span_of(all.clone()).err();
        // What cannot be one is refused, and what was known before it stays.
        let (members, taken) = match refused {
            Some(_) => (before, 0),
            None => (all, 1),
        };
        match place {
            Some(at) => {
                self.spans[at].0 = members;
                self.spans[at].1 += taken;
            }
            None if refused.is_none() => {
                self.places.insert(key, self.spans.len());
                self.spans.push((members, taken));
            }
            None => {}
        }
        refused.map_or(Ok(()), Err)
    }

    /// Returns the attributes of the row that is stored.
    fn stored(&self, (trace, span): &(String, String)) -> Option<Members<'b>> {
        let key = (TraceId::new(trace).ok()?, SpanId::new(span).ok()?);
        let sent = self.known.spans.get(&key)?;
        Some(otlp::members(*sent))
    }
}
