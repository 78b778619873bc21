//! Spans that do not count because another one tells of the same thing, and what they know beyond it.
//!
//! Two instrumentations may be active, or one library writes a span for what its user called and one
//! for what it called itself: the outer one counts. A log record belongs to a span. All of these come
//! in any order and on different ways in, so nothing is settled when one of them is stored: whoever
//! reads a trace puts them together.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};

use crate::forest::borrowed;
use crate::{Source, Span, SpanId, SpanType, TraceId};

/// The `source_type` of rows that keep a log record until its span is read.
pub const SOURCE_TYPE_LOG_RECORD: &str = "log_record";

/// Returns the places of each span of a trace that another of these stands for, and of that other one,
/// in the order in which gaps are to be filled; in which order the spans came decides nothing.
pub fn doubles<S: Borrow<Span>>(spans: &[S]) -> Vec<(usize, usize)> {
    let spans = borrowed(spans);
    // The Agents SDK writes every call once.
    let may_have = |span: &&Span| span.source != Source::Openai || span.merged_into.is_some();
    if !spans.iter().any(may_have) {
        return Vec::new();
    }
    let index = Index::of(&spans);
    let mut pairs = index.inside_out(&spans);
    let mut told: Vec<(usize, usize)> = index.told(&spans).collect();
    told.sort_by_key(|(from, _)| (spans[*from].started_at, &spans[*from].span_id));
    pairs.extend(told);
    pairs
}

/// Returns the pairs of [`doubles`] that are told by where spans stand, inner ones first. The spans may
/// belong to several traces.
pub fn structural_doubles(spans: &[Span]) -> Vec<(usize, usize)> {
    let spans = borrowed(spans);
    Index::of(&spans).inside_out(&spans)
}

/// Returns copies of the spans of a trace that stand for others, by their places, with the gaps filled
/// that those fill, and of those others. Of its payload a copy has the references only.
pub(crate) fn settled(spans: &[&Span]) -> BTreeMap<usize, Span> {
    fn copy(span: &Span) -> Span {
        let mut copy = span.without_payload();
        copy.payload.input_refs.clone_from(&span.payload.input_refs);
        copy.payload
            .output_refs
            .clone_from(&span.payload.output_refs);
        copy
    }
    let mut copies: BTreeMap<usize, Span> = BTreeMap::new();
    for (from, into) in doubles(spans) {
        let mut inner = copies.remove(&from).unwrap_or_else(|| copy(spans[from]));
        let outer = copies.entry(into).or_insert_with(|| copy(spans[into]));
        outer.fill_from(&inner);
        inner.merged_into = Some(outer.span_id.clone());
        copies.insert(from, inner);
    }
    copies
}

/// Where each span of a slice is.
struct Index<'a> {
    places: HashMap<(&'a TraceId, &'a SpanId), usize>,
    parents: Vec<Option<usize>>,
}

impl<'a> Index<'a> {
    fn of(spans: &[&'a Span]) -> Self {
        let places: HashMap<(&TraceId, &SpanId), usize> = spans
            .iter()
            .enumerate()
            .map(|(at, span)| ((&span.trace_id, &span.span_id), at))
            .collect();
        let parents = spans.iter().map(|span| {
            let parent = span.parent_id.as_ref()?;
            places.get(&(&span.trace_id, parent)).copied()
        });
        Self {
            parents: parents.collect(),
            places,
        }
    }

    /// Returns the spans that are marked, each with the one it is merged into.
    fn told(&self, spans: &[&'a Span]) -> impl Iterator<Item = (usize, usize)> {
        spans.iter().enumerate().filter_map(|(from, span)| {
            let into = span.merged_into.as_ref()?;
            let into = *self.places.get(&(&span.trace_id, into))?;
            (into != from).then_some((from, into))
        })
    }

    /// Returns the spans that are found to be doubles. Inner ones come first, so that gaps are filled
    /// from the inside out.
    fn inside_out(&self, spans: &[&'a Span]) -> Vec<(usize, usize)> {
        let mut by_depth: Vec<(usize, usize)> = (0..spans.len())
            .filter(|at| spans[*at].merged_into.is_none())
            .filter_map(|at| Some((self.height(spans, at)?, at)))
            .collect();
        by_depth.sort_by(|(a, _), (b, _)| b.cmp(a));
        let pair = |(_, from)| Some((from, self.double_above(spans, from)?));
        by_depth.into_iter().filter_map(pair).collect()
    }

    /// Returns the spans above `at`, from its parent up; a circle ends.
    fn above(&self, at: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(self.parents[at], |up| self.parents[*up]).take(self.parents.len())
    }

    /// Returns how many spans are above one that may be a double.
    fn height(&self, spans: &[&Span], at: usize) -> Option<usize> {
        may_be_double(spans[at].span_type).then(|| self.above(at).take(256).count())
    }

    /// Returns the outermost span above `at` that tells of the same thing.
    fn double_above(&self, spans: &[&Span], at: usize) -> Option<usize> {
        let span = spans[at];
        let mut found = None;
        for up in self.above(at).filter(|up| *up != at) {
            let outer = spans[up];
            match is_double(span, outer) {
                true => found = Some(up),
                false if is_between(span, outer) => {}
                false => break,
            }
        }
        found
    }
}

fn may_be_double(span_type: SpanType) -> bool {
    use SpanType::{Agent, Embedding, Function, Generation};
    matches!(span_type, Generation | Embedding | Agent | Function)
}

/// Returns whether `outer`, with nothing of weight between, tells of what `inner` tells.
fn is_double(inner: &Span, outer: &Span) -> bool {
    let same_name = inner.name == outer.name;
    // A client's and a server's view of one call, or two libraries' views: they have their own words
    // for a tool, while a tool that calls itself is told in the same words.
    let of_two = inner.source_type != outer.source_type || inner.source_type == "tools/call";
    inner.span_type == outer.span_type
        && match inner.span_type {
            SpanType::Generation | SpanType::Embedding => true,
            SpanType::Agent => same_name,
            SpanType::Function => same_name && of_two,
            _ => false,
        }
}

/// Returns whether `outer` may stand between two spans of one thing.
fn is_between(inner: &Span, outer: &Span) -> bool {
    match inner.span_type {
        SpanType::Generation | SpanType::Embedding => {
            !matches!(outer.span_type, SpanType::Agent | SpanType::Function)
        }
        _ => outer.span_type == SpanType::Custom,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Received, Source, SpanError, SpanStatus, SpanType, Time, TraceId, TraceItem, TraceStatus,
        derive,
    };

    fn span(name: &str, start: i64, into: Option<&str>) -> Span {
        let id = |text: &str| SpanId::new(text).unwrap();
        let trace = TraceId::new("t").unwrap();
        let mut span = Span::new(trace, id(name), SpanType::Generation, Source::Otlp);
        span.started_at = Some(Time::from_micros(start));
        span.ended_at = span.started_at;
        span.status = SpanStatus::Success;
        span.merged_into = into.map(id);
        span
    }

    #[test]
    fn a_call_knows_what_its_doubles_and_records_know_whatever_the_order() {
        let call = span("call", 1, None);
        let mut inner = span("inner", 2, Some("call"));
        inner.usage.input_tokens = Some(7);
        inner.output_preview = Some("inner".to_owned());
        let mut record = span("record", 3, Some("call"));
        SOURCE_TYPE_LOG_RECORD.clone_into(&mut record.source_type);
        record.input_preview = Some("asked".to_owned());
        record.output_preview = Some("told".to_owned());
        record.error = Some(SpanError {
            kind: "Overloaded".to_owned(),
            message: "later".to_owned(),
            data: None,
        });
        let stray = span("stray", 0, Some("nowhere"));
        let of_itself = span("self", 0, Some("self"));
        let mut spans = vec![call, inner, record, stray, of_itself];
        assert_eq!(doubles(&spans), [(1, 0), (2, 0)]);
        let time = Time::default();
        let received = Received {
            first_received_at: time,
            last_received_at: time,
            first_seq: 0,
            seq: 0,
        };
        let item = TraceItem::new(TraceId::new("t").unwrap(), Source::Otlp);
        for _ in 0..spans.len() {
            spans.rotate_left(1);
            let row = derive(&item, &spans, received);
            assert_eq!(row.generation_count, 1);
            assert_eq!(row.usage.input_tokens, Some(7));
            assert_eq!(row.input_preview.as_deref(), Some("asked"));
            assert_eq!(row.output_preview.as_deref(), Some("inner"));
            assert_eq!(row.settled_status, TraceStatus::Error);
            assert_eq!(row.error_type.as_deref(), Some("Overloaded"));
        }
    }

    #[test]
    fn an_inner_error_that_was_got_over_is_not_taken() {
        let mut inner = span("inner", 2, Some("call"));
        inner.status = SpanStatus::Error;
        inner.error = Some(SpanError {
            kind: "Overloaded".to_owned(),
            message: "later".to_owned(),
            data: None,
        });
        let spans = [span("call", 1, None), inner];
        let spans: Vec<&Span> = spans.iter().collect();
        assert_eq!(settled(&spans)[&0].status, SpanStatus::Success);
    }
}
