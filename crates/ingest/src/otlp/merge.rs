//! One call of a model counts once, however many spans of a request tell of it.
//!
//! A span inside another one that tells of the same thing is found by [`model::structural_doubles`], in
//! a request and again in the whole trace. Here are the pairs that stand side by side, which are told
//! by what only their senders write. A span that is not counted is marked as merged, after the other
//! one has taken over what it did not know.

use std::collections::HashMap;

use memchr::memmem;
use model::{Span, SpanId, SpanType, TraceId, structural_doubles};

/// How many model calls below one span are looked at for pairs side by side.
const SIBLINGS_MAX: usize = 256;

/// A span that tells of the same thing as another and is not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Merge {
    /// The place of the span that is not counted.
    pub from: usize,
    /// The place of the span that is counted instead.
    pub into: usize,
}

/// Finds the spans that tell of what another tells, marks them, and fills the gaps of those that are
/// kept. `spans` may belong to several traces, and be a part of them: what is marked stays marked.
pub fn merge_doubles(spans: &mut [Span]) -> Vec<Merge> {
    let mut merges: Vec<Merge> = structural_doubles(spans)
        .into_iter()
        .map(|(from, into)| Merge { from, into })
        .collect();
    apply(spans, &merges);
    for find in [streamed_siblings, same_answers, told_beside] {
        let more = find(spans);
        apply(spans, &more);
        merges.extend(more);
    }
    merges
}

fn apply(spans: &mut [Span], merges: &[Merge]) {
    for Merge { from, into } in merges {
        let inner = spans[*from].without_payload();
        spans[*into].fill_from(&inner);
        spans[*from].merged_into = Some(spans[*into].span_id.clone());
    }
}

/// Logfire's plain client writes a streamed call as a span without an answer, and the answer as a
/// span of no length beside it.
fn streamed_siblings(spans: &[Span]) -> Vec<Merge> {
    let mut merges: Vec<Merge> = Vec::new();
    let is_answer = |span: &Span| {
        let name = span.payload.extra.as_ref().map(|extra| extra.as_str());
        let starts = |text: &str| text.contains("\"name\":\"streaming response from ");
        span.span_type == SpanType::Generation
            && span.merged_into.is_none()
            && (name.is_some_and(starts) || span.name.starts_with("streaming response from "))
    };
    for (from, answer) in spans.iter().enumerate().filter(|(_, span)| is_answer(span)) {
        let asked = spans.iter().enumerate().filter(|(at, span)| {
            span.trace_id == answer.trace_id
                && span.parent_id == answer.parent_id
                && span.span_type == SpanType::Generation
                && !is_answer(span)
                && span.merged_into.is_none()
                && !span.usage.is_known()
                && span.started_at <= answer.started_at
                && span.input_preview == answer.input_preview
                && merges.iter().all(|merge| merge.into != *at)
        });
        let latest = asked.max_by_key(|(_, span)| span.started_at);
        merges.extend(latest.map(|(into, _)| Merge { from, into }));
    }
    merges
}

/// Two spans of one trace with the id of one answer: the one that knows less is merged.
fn same_answers(spans: &[Span]) -> Vec<Merge> {
    let mut merges = Vec::new();
    let mut richest: HashMap<(&TraceId, &str), usize> = HashMap::new();
    for (at, span) in spans.iter().enumerate() {
        if span.span_type != SpanType::Generation || span.merged_into.is_some() {
            continue;
        }
        let Some(id) = answer_id(span) else { continue };
        let Some(kept) = richest.get_mut(&(&span.trace_id, id)) else {
            richest.insert((&span.trace_id, id), at);
            continue;
        };
        if spans[*kept].span_id == span.span_id {
            continue;
        }
        let (mut from, mut into) = (at, *kept);
        if knowledge(span) > knowledge(&spans[*kept]) {
            (from, into) = (*kept, at);
        }
        *kept = into;
        merges.push(Merge { from, into });
    }
    merges
}

/// A client tells of its calls by itself, and so does an instrumentation around it that leaves the
/// parent as it was: side by side, the one within the time of the other, by two libraries.
fn told_beside(spans: &[Span]) -> Vec<Merge> {
    let mut children: HashMap<(&TraceId, &SpanId), Vec<usize>> = HashMap::new();
    for (at, span) in spans.iter().enumerate() {
        let may_be = span.span_type == SpanType::Generation && span.merged_into.is_none();
        if let Some(parent) = span.parent_id.as_ref().filter(|_| may_be) {
            let siblings = children.entry((&span.trace_id, parent)).or_default();
            // Calls that many of one parent make are not compared each with each.
            if siblings.len() < SIBLINGS_MAX {
                siblings.push(at);
            }
        }
    }
    let mut merges = Vec::new();
    for siblings in children.values() {
        for from in siblings {
            let inner = &spans[*from];
            let mut around = siblings
                .iter()
                .filter(|into| tells_around(inner, &spans[**into]));
            // Of several that it may belong to none is the one.
            if let (Some(into), None) = (around.next(), around.next()) {
                let (from, into) = (*from, *into);
                merges.push(Merge { from, into });
            }
        }
    }
    merges.sort_by_key(|merge| merge.from);
    merges
}

/// Returns whether `outer`, of another library, tells of the call that `inner` tells of.
fn tells_around(inner: &Span, outer: &Span) -> bool {
    let is_within = outer.started_at <= inner.started_at
        && inner.ended_at <= outer.ended_at
        && inner.ended_at.is_some()
        && (inner.started_at, inner.ended_at) != (outer.started_at, outer.ended_at);
    let models = inner.model.as_deref().zip(outer.model.as_deref());
    let is_one_model = models.is_some_and(|(a, b)| a.starts_with(b) || b.starts_with(a));
    let counts = [inner, outer].map(|span| span.usage.input_tokens);
    let counted_alike = match counts {
        [Some(a), Some(b)] => a == b,
        _ => true,
    };
    is_within
        && is_one_model
        && counted_alike
        && inner.status == outer.status
        && inner.payload.scope != outer.payload.scope
        && answer_id(inner)
            .zip(answer_id(outer))
            .is_none_or(|(a, b)| a == b)
}

/// Returns how much a span knows; of two that know as much, the outer or earlier one is kept.
fn knowledge(span: &Span) -> (usize, std::cmp::Reverse<(Option<model::Time>, &SpanId)>) {
    let known = [
        span.usage.input_tokens.is_some(),
        span.usage.cached_tokens.is_some(),
        span.usage.reasoning_tokens.is_some(),
        span.input_preview.is_some(),
        span.output_preview.is_some(),
        span.model.is_some(),
        span.finish_reason.is_some(),
    ];
    let known = known.iter().filter(|known| **known).count();
    (known, std::cmp::Reverse((span.started_at, &span.span_id)))
}

/// Returns the id of the model's answer, out of the stored attributes.
fn answer_id(span: &Span) -> Option<&str> {
    let attributes = span.payload.attributes.as_ref()?.as_str();
    let keys = [
        "\"gen_ai.response.id\":\"",
        "\"ai.response.id\":\"",
        "\"response_id\":\"",
    ];
    keys.iter().find_map(|key| {
        let at = memmem::find(attributes.as_bytes(), key.as_bytes())?;
        let rest = &attributes[at + key.len()..];
        let id = &rest[..rest.find('"')?];
        (!id.is_empty()).then_some(id)
    })
}
