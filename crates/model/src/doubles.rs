//! Spans that do not count because another one tells of the same thing, and what they know beyond it.
//!
//! Two instrumentations may be active, or one library writes a span for what its user called and one
//! for what it called itself: the outer one counts. A log record belongs to a span. All of these come
//! in any order and on different ways in, so nothing is settled when one of them is stored: whoever
//! reads a trace puts them together.

use std::borrow::Borrow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use crate::forest::{Kin, borrowed};
use crate::{Source, Span, SpanId, SpanType, Time};

/// The `source_type` of rows that keep a log record until its span is read.
pub const SOURCE_TYPE_LOG_RECORD: &str = "log_record";

/// So many spans that stand for each other in a chain are told apart by how deep they are.
const STEPS_MAX: usize = 256;

/// What tells of a span whether it tells of the same thing as another one of its trace.
pub trait Twin: Kin {
    /// Returns its trace, where spans of several may stand side by side.
    fn trace_id(&self) -> &str;
    /// Returns what it is.
    fn span_type(&self) -> SpanType;
    /// Returns what its sender calls that.
    fn source_type(&self) -> &str;
    /// Returns its name.
    fn name(&self) -> &str;
    /// Returns the way on which it came.
    fn source(&self) -> Source;
    /// Returns the id of the span that it is marked as a double of.
    fn merged_into(&self) -> Option<&str>;
}

impl Twin for Span {
    fn trace_id(&self) -> &str {
        self.trace_id.as_str()
    }

    fn span_type(&self) -> SpanType {
        self.span_type
    }

    fn source_type(&self) -> &str {
        &self.source_type
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn source(&self) -> Source {
        self.source
    }

    fn merged_into(&self) -> Option<&str> {
        self.merged_into.as_ref().map(SpanId::as_str)
    }
}

/// Returns the places of each span of a trace that another of these stands for, and of that other one,
/// in the order in which gaps are to be filled: a span comes with everything that is merged into it
/// before it is itself merged into another. In which order the spans came decides nothing, and neither
/// does whether a double is marked as one already.
pub fn doubles<S: Borrow<Span>>(spans: &[S]) -> Vec<(usize, usize)> {
    twins(&borrowed(spans))
}

/// As [`doubles`], of whatever tells enough of spans.
pub fn twins<T: Twin>(spans: &[&T]) -> Vec<(usize, usize)> {
    // The Agents SDK writes every call once.
    let may_have = |span: &&T| span.source() != Source::Openai || span.merged_into().is_some();
    if !spans.iter().any(may_have) {
        return Vec::new();
    }
    let index = Index::of(spans);
    let mut pairs = index.inside_out(spans);
    pairs.extend(index.told(spans));
    let next: HashMap<usize, usize> = pairs.iter().copied().collect();
    let after = |at: &usize| next.get(at).copied();
    // Marks come from outside and may go in a circle.
    let steps = |from| {
        std::iter::successors(Some(from), after)
            .take(STEPS_MAX)
            .count()
    };
    pairs.sort_by_cached_key(|(from, _)| {
        let span = spans[*from];
        let is_record = span.source_type() == SOURCE_TYPE_LOG_RECORD;
        let depth = (
            Reverse(steps(*from)),
            is_record,
            Reverse(index.height(*from)),
        );
        let start = span.started_at().map_or(0, Time::as_micros);
        // Of records the last one tells what was asked in the end.
        let place = match is_record {
            true => start.saturating_neg(),
            false => start,
        };
        (depth, place, span.span_id().to_owned())
    });
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
    places: HashMap<(&'a str, &'a str), usize>,
    parents: Vec<Option<usize>>,
}

impl<'a> Index<'a> {
    fn of<T: Twin>(spans: &[&'a T]) -> Self {
        let places: HashMap<(&str, &str), usize> = spans
            .iter()
            .enumerate()
            .map(|(at, span)| ((span.trace_id(), span.span_id()), at))
            .collect();
        let parents = spans.iter().map(|span| {
            let parent = span.parent_id()?;
            places.get(&(span.trace_id(), parent)).copied()
        });
        Self {
            parents: parents.collect(),
            places,
        }
    }

    /// Returns the spans that are marked, each with the one it is merged into.
    fn told<T: Twin>(&self, spans: &[&'a T]) -> impl Iterator<Item = (usize, usize)> {
        spans.iter().enumerate().filter_map(|(from, span)| {
            let into = span.merged_into()?;
            let into = *self.places.get(&(span.trace_id(), into))?;
            (into != from).then_some((from, into))
        })
    }

    /// Returns the spans that are found to be doubles. Inner ones come first, so that gaps are filled
    /// from the inside out.
    fn inside_out<T: Twin>(&self, spans: &[&'a T]) -> Vec<(usize, usize)> {
        let mut by_depth: Vec<(usize, usize)> = (0..spans.len())
            .filter(|at| spans[*at].merged_into().is_none())
            .filter(|at| may_be_double(spans[*at].span_type()))
            .map(|at| (self.height(at), at))
            .collect();
        by_depth.sort_by(|(a, _), (b, _)| b.cmp(a));
        let pair = |(_, from)| Some((from, self.double_above(spans, from)?));
        by_depth.into_iter().filter_map(pair).collect()
    }

    /// Returns the spans above `at`, from its parent up; a circle ends.
    fn above(&self, at: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(self.parents[at], |up| self.parents[*up]).take(self.parents.len())
    }

    /// Returns how many spans are above one.
    fn height(&self, at: usize) -> usize {
        self.above(at).take(STEPS_MAX).count()
    }

    /// Returns the outermost span above `at` that tells of the same thing.
    fn double_above<T: Twin>(&self, spans: &[&'a T], at: usize) -> Option<usize> {
        let span = spans[at];
        let mut found = None;
        for up in self.above(at).filter(|up| *up != at) {
            let outer = spans[up];
            match is_double(span, outer) {
                true => found = Some(up),
                false if is_between(span.span_type(), outer.span_type()) => {}
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
fn is_double<T: Twin>(inner: &T, outer: &T) -> bool {
    let same_name = inner.name() == outer.name();
    // A client's and a server's view of one call, or two libraries' views: they have their own words
    // for a tool, while a tool that calls itself is told in the same words.
    let of_two = inner.source_type() != outer.source_type() || inner.source_type() == "tools/call";
    inner.span_type() == outer.span_type()
        && match inner.span_type() {
            SpanType::Generation | SpanType::Embedding => true,
            SpanType::Agent => same_name,
            SpanType::Function => same_name && of_two,
            _ => false,
        }
}

/// Returns whether `outer` may stand between two spans of one thing.
fn is_between(inner: SpanType, outer: SpanType) -> bool {
    match inner {
        SpanType::Generation | SpanType::Embedding => {
            !matches!(outer, SpanType::Agent | SpanType::Function)
        }
        _ => outer == SpanType::Custom,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Received, SpanError, SpanStatus, TraceId, TraceItem, TraceStatus, derive};

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
    fn what_a_record_tells_of_an_inner_double_reaches_the_outer_one() {
        let call = span("call", 1, None);
        let mut inner = span("inner", 2, None);
        inner.parent_id = Some(call.span_id.clone());
        let mut record = span("record", 3, Some("inner"));
        SOURCE_TYPE_LOG_RECORD.clone_into(&mut record.source_type);
        record.span_type = SpanType::Custom;
        record.input_preview = Some("asked".to_owned());
        let spans = [call, inner, record];
        for places in [
            [0, 1, 2],
            [2, 1, 0],
            [1, 0, 2],
            [1, 2, 0],
            [0, 2, 1],
            [2, 0, 1],
        ] {
            let spans = places.map(|at| &spans[at]);
            let settled = settled(&spans);
            let call = &settled[&places.iter().position(|at| *at == 0).unwrap()];
            assert_eq!(call.input_preview.as_deref(), Some("asked"), "{places:?}");
        }
    }

    #[test]
    fn whether_doubles_are_marked_already_changes_nothing() {
        // Two attempts in one call, one of which has a double of its own.
        let mut spans = [
            span("call", 1, None),
            span("first", 2, None),
            span("deep", 3, None),
            span("second", 4, None),
        ];
        for (at, parent) in [(1, "call"), (2, "first"), (3, "call")] {
            spans[at].parent_id = Some(SpanId::new(parent).unwrap());
        }
        let unmarked = doubles(&spans);
        assert_eq!(unmarked, [(2, 0), (1, 0), (3, 0)]);
        for (from, into) in &unmarked {
            spans[*from].merged_into = Some(spans[*into].span_id.clone());
            assert_eq!(doubles(&spans), unmarked);
        }
    }

    #[test]
    fn of_records_the_last_one_tells_what_was_asked() {
        let record = |name: &str, start: i64| {
            let mut record = span(name, start, Some("call"));
            SOURCE_TYPE_LOG_RECORD.clone_into(&mut record.source_type);
            record.input_preview = Some(name.to_owned());
            record
        };
        let spans = [
            span("call", 1, None),
            record("first", 2),
            record("second", 3),
        ];
        let spans: Vec<&Span> = spans.iter().collect();
        let settled = settled(&spans);
        assert_eq!(settled[&0].input_preview.as_deref(), Some("second"));
    }

    #[test]
    fn marks_that_go_in_a_circle_end() {
        let spans = [
            span("a", 1, Some("b")),
            span("b", 2, Some("a")),
            span("c", 3, Some("a")),
        ];
        assert_eq!(doubles(&spans), [(0, 1), (1, 0), (2, 0)]);
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
