//! Spans that went out from a store like ours and come back: what they bring along says more than
//! what they are.
//!
//! An item of the Agents SDK is decoded as the item that it was; what a format added for others is
//! taken off; and the facts of a trace count as told, not as guessed from its outermost span. See
//! [`crate::outgoing`], which writes these marks.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use model::{Batch, Source, TraceItem};

use crate::agents_sdk::{self, Context};
use crate::messages::Doc;
use crate::outgoing::marks;

use super::any::{Any, Attributes};
use super::envelope::EnvelopeError;
use super::form::RawSpan;

/// What the spans of one request brought along.
#[derive(Debug, Default)]
pub(super) struct Brought {
    /// Items of the Agents SDK by the way that they came in first.
    items: BTreeMap<Source, Items>,
    traces: Vec<TraceItem>,
}

/// Items on their way to their decoder.
#[derive(Debug, Default)]
struct Items {
    body: String,
    /// The place of each in the request.
    places: Vec<usize>,
}

impl Brought {
    /// Takes what the span at `place` brings along. Returns whether that is all there is to the span.
    pub(super) fn take(&mut self, span: &mut RawSpan<'_>, place: usize, source: Source) -> bool {
        let sent = &span.attributes;
        if !sent.has_under(marks::PREFIX) {
            return false;
        }
        let told = |key: &str| sent.text(key);
        self.traces
            .extend(told(marks::TRACE).and_then(|json| marks::read_trace(json, source)));
        if sent.has(marks::MADE) {
            return true;
        }
        if let Some(item) = told(marks::ITEM) {
            // Somebody on the way may have cut it: then the span says itself what it is.
            let doc = Doc::parse_container(item);
            let Some(doc) = doc.filter(|doc| doc.root().is_object()) else {
                return false;
            };
            let source = match marks::source_of(told(marks::SOURCE), source) {
                Source::Otlp => Source::Import,
                source => source,
            };
            let items = self.items.entry(source).or_default();
            let before = if items.body.is_empty() {
                "{\"data\":["
            } else {
                ","
            };
            items.body.push_str(before);
            items.body.push_str(doc.root().raw());
            items.places.push(place);
            return true;
        }
        let kept = without_marks(sent);
        span.attributes = kept;
        false
    }

    /// Adds what was brought to `batch`: the facts of traces take the place of those that were read
    /// from spans.
    pub(super) fn finish(
        self,
        context: &Context<'_>,
        batch: &mut Batch,
    ) -> Result<(), EnvelopeError> {
        let told: HashSet<_> = self.traces.iter().map(|item| &item.trace_id).collect();
        batch.traces.retain(|item| !told.contains(&item.trace_id));
        drop(told);
        for (source, Items { mut body, places }) in self.items {
            body.push_str("]}");
            // An item is a part of a span here: whole spans of deleted traces are refused later.
            let context = Context {
                source,
                is_deleted: &|_| false,
                ..*context
            };
            let more = agents_sdk::decode(Bytes::from(body), &context).map_err(|error| {
                EnvelopeError::NotJson {
                    reason: error.to_string(),
                }
            })?;
            batch.accepted -= more.rejected.count().min(batch.accepted);
            let place = |index: usize| places.get(index).copied().unwrap_or(0);
            batch.rejected.append(more.rejected, place);
            batch.traces.extend(more.traces);
            batch.spans.extend(more.spans);
            append(&mut batch.messages, more.messages);
        }
        batch.traces.extend(self.traces);
        Ok(())
    }
}

/// Adds messages, each of a trace once.
fn append(all: &mut Vec<model::Message>, more: Vec<model::Message>) {
    if all.is_empty() {
        *all = more;
        return;
    }
    let known: HashSet<_> = all
        .iter()
        .map(|message| (message.trace_id.clone(), message.hash))
        .collect();
    let is_new =
        |message: &model::Message| !known.contains(&(message.trace_id.clone(), message.hash));
    all.extend(more.into_iter().filter(is_new));
}

/// Returns the attributes without our marks and without those that were added for others.
fn without_marks<'b>(sent: &Attributes<'b>) -> Attributes<'b> {
    let added: Vec<&str> = match sent.get(marks::ADDED) {
        Some(Any::List(keys)) => keys.iter().filter_map(Any::text).collect(),
        _ => Vec::new(),
    };
    let is_ours = |key: &str| {
        key.starts_with(marks::PREFIX)
            || added.iter().any(|added| match added.ends_with('.') {
                true => key.starts_with(added),
                false => key == *added,
            })
    };
    sent.without(is_ours)
}
