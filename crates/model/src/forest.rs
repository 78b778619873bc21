//! How do the spans of one trace hang together, when any parent may be missing, late or nonsense?
//!
//! A parent that is not among the spans makes a root, and so does a span that is its own ancestor:
//! senders retry, crash, and continue traces of other services, and no shape of theirs may hang or
//! crash a reader. The shape depends on the set of spans only, never on the order they are given in.

use std::borrow::Borrow;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use crate::{Span, SpanType, Time};

/// What tells of a span how it hangs together with the others of its trace.
pub trait Kin {
    /// Returns its id.
    fn span_id(&self) -> &str;
    /// Returns the id of its parent, if it names one.
    fn parent_id(&self) -> Option<&str>;
    /// Returns when it started.
    fn started_at(&self) -> Option<Time>;
    /// Returns when it ended.
    fn ended_at(&self) -> Option<Time>;
    /// Returns the agent that it names by itself.
    fn own_agent(&self) -> Option<&str>;
}

impl Kin for Span {
    fn span_id(&self) -> &str {
        self.span_id.as_str()
    }

    fn parent_id(&self) -> Option<&str> {
        self.parent_id.as_ref().map(|id| id.as_str())
    }

    fn started_at(&self) -> Option<Time> {
        self.started_at
    }

    fn ended_at(&self) -> Option<Time> {
        self.ended_at
    }

    fn own_agent(&self) -> Option<&str> {
        own_agent(self.span_type, &self.name, self.agent.as_deref())
    }
}

/// Returns the agent that a span of this type, name and agent names by itself.
pub fn own_agent<'a>(
    span_type: SpanType,
    name: &'a str,
    agent: Option<&'a str>,
) -> Option<&'a str> {
    match span_type {
        SpanType::Agent if !name.is_empty() => Some(name),
        _ => agent,
    }
}

/// The parents of a list of spans, as indices into it.
#[derive(Debug)]
pub(crate) struct Forest {
    /// The parent of each span; `None` for a root.
    pub(crate) parents: Vec<Option<u32>>,
    /// Every span once, each subtree an unbroken run with its root first.
    pub(crate) preorder: Vec<u32>,
    /// Every span once, by start, then by id.
    pub(crate) by_start: Vec<u32>,
    /// How many distinct parents are named and not there.
    pub(crate) lost_parents: usize,
}

impl Forest {
    /// Returns the forest of `spans`, whose ids are distinct.
    pub(crate) fn of<K: Kin>(spans: &[&K]) -> Self {
        let index_of: HashMap<&str, u32> = (0..)
            .zip(spans)
            .map(|(i, span)| (span.span_id(), i))
            .collect();
        let mut lost = HashSet::new();
        let parents = (0..).zip(spans).map(|(i, span)| {
            let id = span.parent_id()?;
            let found = index_of.get(id).copied();
            if found.is_none() {
                lost.insert(id);
            }
            found.filter(|parent| *parent != i)
        });
        let mut forest = Self {
            parents: parents.collect(),
            preorder: Vec::with_capacity(spans.len()),
            by_start: by_start(spans),
            lost_parents: 0,
        };
        forest.lost_parents = lost.len();
        forest.walk();
        forest
    }

    /// Fills in `preorder`, and turns the earliest span of each cycle into a root.
    fn walk(&mut self) {
        let children = Children::of(&self.parents, &self.by_start);
        let mut seen = vec![false; self.parents.len()];
        for at in self.by_start.clone() {
            if self.parents[at as usize].is_none() {
                self.walk_from(at, &children, &mut seen);
            }
        }
        if self.preorder.len() == self.parents.len() {
            return;
        }
        // Whoever is not reached from a root is in a cycle or below one.
        let mut ranks = vec![0u32; self.parents.len()];
        (0..)
            .zip(&self.by_start)
            .for_each(|(rank, at)| ranks[*at as usize] = rank);
        for at in self.by_start.clone() {
            if !seen[at as usize] {
                let root = self.earliest_of_cycle_above(at, &ranks);
                self.parents[root as usize] = None;
                self.walk_from(root, &children, &mut seen);
            }
        }
    }

    fn walk_from(&mut self, root: u32, children: &Children, seen: &mut [bool]) {
        let mut stack = vec![root];
        while let Some(at) = stack.pop() {
            // A root that was cut out of a cycle is still in the list of its former parent.
            if !std::mem::replace(&mut seen[at as usize], true) {
                self.preorder.push(at);
                stack.extend(children.of_span(at).iter().rev());
            }
        }
    }

    /// Returns the first by start of the cycle that the ancestors of `at` end in.
    fn earliest_of_cycle_above(&self, at: u32, ranks: &[u32]) -> u32 {
        let above = |at: u32| self.parents[at as usize].unwrap_or(at);
        let mut passed = HashSet::new();
        let mut entry = at;
        while passed.insert(entry) {
            entry = above(entry);
        }
        let rest = std::iter::successors(Some(above(entry)), |at| Some(above(*at)));
        let cycle = rest.take_while(|at| *at != entry).chain([entry]);
        cycle.min_by_key(|at| ranks[*at as usize]).unwrap_or(entry)
    }

    /// Returns how many ancestors each span has.
    pub(crate) fn depths(&self) -> Vec<u32> {
        let mut depths = vec![0; self.parents.len()];
        for &at in &self.preorder {
            if let Some(parent) = self.parents[at as usize] {
                depths[at as usize] = depths[parent as usize] + 1;
            }
        }
        depths
    }
}

/// The children of all spans in one list, each span's own by start.
struct Children {
    list: Vec<u32>,
    ends: Vec<u32>,
}

impl Children {
    fn of(parents: &[Option<u32>], by_start: &[u32]) -> Self {
        let mut starts = vec![0u32; parents.len() + 1];
        for parent in parents.iter().flatten() {
            starts[*parent as usize + 1] += 1;
        }
        for i in 1..starts.len() {
            starts[i] += starts[i - 1];
        }
        let mut list = vec![0; starts.last().copied().unwrap_or(0) as usize];
        for &child in by_start {
            if let Some(parent) = parents[child as usize] {
                let slot = &mut starts[parent as usize];
                list[*slot as usize] = child;
                *slot += 1;
            }
        }
        // Every slot has moved on to where its span's children end.
        Self { list, ends: starts }
    }

    fn of_span(&self, at: u32) -> &[u32] {
        let start = if at == 0 {
            0
        } else {
            self.ends[at as usize - 1]
        };
        &self.list[start as usize..self.ends[at as usize] as usize]
    }
}

/// Returns the moment a span is placed at in sequences: its start, else its end, else the last place.
pub(crate) fn moment(started_at: Option<Time>, ended_at: Option<Time>) -> Time {
    started_at
        .or(ended_at)
        .unwrap_or(Time::from_micros(i64::MAX))
}

fn by_start<K: Kin>(spans: &[&K]) -> Vec<u32> {
    let mut keyed: Vec<(Time, u32)> = (0..)
        .zip(spans)
        .map(|(i, span)| (moment(span.started_at(), span.ended_at()), i))
        .collect();
    keyed.sort_unstable_by(|(at, a), (bt, b)| {
        at.cmp(bt).then_with(|| {
            spans[*a as usize]
                .span_id()
                .cmp(spans[*b as usize].span_id())
        })
    });
    keyed.into_iter().map(|(_, i)| i).collect()
}

/// Where each span of one trace stands among the others.
#[derive(Debug)]
pub struct Places<'a> {
    /// The parent, as an index into the spans; `None` for a root, a span whose parent is not there, and
    /// the earliest of a cycle.
    pub parents: Vec<Option<u32>>,
    /// The number of ancestors.
    pub depths: Vec<u32>,
    /// The agent at work, as [`resolve_agents`] tells it.
    pub agents: Vec<Option<&'a str>>,
}

/// Returns the places of the spans of one trace.
pub fn places<'a>(spans: &[&'a Span]) -> Places<'a> {
    let forest = Forest::of(spans);
    Places {
        depths: forest.depths(),
        agents: agents_of(spans, &forest),
        parents: forest.parents,
    }
}

/// Returns the agent at work in each span of one trace: an agent span's own name, else what the
/// sender told, else the parent's.
pub fn resolve_agents<'a, K: Kin>(spans: &[&'a K]) -> Vec<Option<&'a str>> {
    agents_of(spans, &Forest::of(spans))
}

/// Returns the agent at work in each span, as [`resolve_agents`] does.
pub(crate) fn agents_of<'a, K: Kin>(spans: &[&'a K], forest: &Forest) -> Vec<Option<&'a str>> {
    let mut agents: Vec<Option<&str>> = vec![None; spans.len()];
    for &at in &forest.preorder {
        let at = at as usize;
        agents[at] = spans[at]
            .own_agent()
            .or_else(|| forest.parents[at].and_then(|parent| agents[parent as usize]));
    }
    agents
}

/// Returns the names as values of their own, equal neighbours shared: a trace has many spans and few
/// agents.
pub fn shared_names(names: &[Option<&str>]) -> Vec<Option<Arc<str>>> {
    let mut last: Option<Arc<str>> = None;
    let mut share = |name: &str| {
        let known = last.take().filter(|last| **last == *name);
        let name = known.unwrap_or_else(|| Arc::from(name));
        last = Some(Arc::clone(&name));
        name
    };
    names.iter().map(|name| name.map(&mut share)).collect()
}

pub(crate) fn borrowed<S: Borrow<Span>>(spans: &[S]) -> Vec<&Span> {
    spans.iter().map(Borrow::borrow).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Source, SpanId, TraceId};

    fn span(id: &str, parent: &str, start: i64) -> Span {
        let trace_id = TraceId::new("t").unwrap();
        let mut span = Span::new(
            trace_id,
            SpanId::new(id).unwrap(),
            SpanType::Custom,
            Source::Openai,
        );
        span.parent_id = SpanId::new(parent).ok();
        span.started_at = Some(Time::from_micros(start));
        span
    }

    fn check(spans: &[(&str, &str)], want_depths: &[u32], want_lost: usize) {
        let spans: Vec<_> = (0..)
            .zip(spans)
            .map(|(n, (id, parent))| span(id, parent, n))
            .collect();
        assert_eq!(places(&borrowed(&spans)).depths, want_depths);
        let forest = Forest::of(&borrowed(&spans));
        assert_eq!(forest.lost_parents, want_lost);
        let mut visited = forest.preorder;
        visited.sort_unstable();
        assert!(
            visited.into_iter().eq(0..spans.len() as u32),
            "every span once"
        );
    }

    #[test]
    fn any_shape_has_depths() {
        check(&[], &[], 0);
        check(
            &[("a", ""), ("b", "a"), ("c", "b"), ("d", "a")],
            &[0, 1, 2, 1],
            0,
        );
        check(&[("c", "b"), ("b", "a"), ("a", "")], &[2, 1, 0], 0);
        check(
            &[("a", "gone"), ("b", "a"), ("c", "gone"), ("d", "lost")],
            &[0, 1, 0, 0],
            2,
        );
        check(&[("a", "a"), ("b", "a")], &[0, 1], 0);
        check(
            &[
                ("below", "a"),
                ("a", "c"),
                ("b", "a"),
                ("c", "b"),
                ("r", ""),
            ],
            &[1, 0, 1, 2, 0],
            0,
        );
        check(&[("a", "b"), ("b", "a"), ("below", "b")], &[0, 1, 2], 0);
    }

    #[test]
    fn a_chain_of_a_hundred_thousand_does_not_overflow_the_stack() {
        let spans: Vec<_> = (0..100_000)
            .map(|n| span(&format!("s{n}"), &format!("s{}", n + 1), -n))
            .collect();
        assert_eq!(places(&borrowed(&spans)).depths[0], 99_999);
    }

    #[test]
    fn agents_come_from_the_agent_span_or_the_senders_word() {
        let mut spans = [
            span("task", "", 0),
            span("agent", "task", 1),
            span("turn", "agent", 2),
            span("call", "turn", 3),
            span("orphan turn", "gone", 4),
            span("orphan call", "orphan turn", 5),
        ];
        spans[1].span_type = SpanType::Agent;
        spans[1].name = "Triage".into();
        spans[4].agent = Some("Billing".into());
        let want = [
            None,
            Some("Triage"),
            Some("Triage"),
            Some("Triage"),
            Some("Billing"),
            Some("Billing"),
        ];
        assert_eq!(resolve_agents(&borrowed(&spans)), want);
    }
}
