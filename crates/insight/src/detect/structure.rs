//! D26: spans that do not fit together.
//!
//! One pass over the spans with a table of ids; cycles are found by colouring: linear. What is not
//! counted (plumbing, doubles) is not in the view, so lost parents are told by the trace's own count.

use std::collections::HashMap;

use model::{Source, SpanStatus};

use crate::SpanView;

use super::facts::Facts;
use super::{Found, Hit, Severity};

/// Clocks differ: a child may stick out so far, in microseconds.
const OUTSIDE_MICROS_MAX: i64 = 50_000;

/// Spans without an end, ends before starts, children outside of their parents, lost parents, cycles,
/// ids that came twice, and two roots of one OpenTelemetry trace (in the Agents SDK, a trace may hold
/// several runs).
pub(super) fn structural(facts: &Facts<'_>) -> Found {
    let checks = [
        unfinished,
        backwards,
        outside_parent,
        lost_parents,
        cycles,
        doubled_ids,
        several_roots,
    ];
    Ok(checks.iter().filter_map(|check| check(facts)).collect())
}

/// Returns one hit for the spans that `is_wrong` tells.
fn of_spans(
    facts: &Facts<'_>,
    severity: Severity,
    words: &str,
    is_wrong: impl Fn(u32, &SpanView) -> bool,
) -> Option<Hit> {
    let spans = (0u32..).zip(&facts.view.spans);
    let wrong: Vec<u32> = spans
        .filter(|(at, span)| is_wrong(*at, span))
        .map(|(at, _)| at)
        .collect();
    let count = wrong.len();
    (count > 0).then(|| facts.hit(severity, &wrong, format!("{count} spans {words}")))
}

fn unfinished(facts: &Facts<'_>) -> Option<Hit> {
    if facts.is_running() {
        return None;
    }
    of_spans(facts, Severity::Medium, "never ended", |_, span| {
        span.span().status == SpanStatus::Open
    })
}

fn backwards(facts: &Facts<'_>) -> Option<Hit> {
    of_spans(
        facts,
        Severity::Medium,
        "end before they start",
        |_, span| {
            let row = span.span();
            row.started_at
                .zip(row.ended_at)
                .is_some_and(|(from, to)| to < from)
        },
    )
}

fn outside_parent(facts: &Facts<'_>) -> Option<Hit> {
    let words = "start before their parent or end behind it";
    of_spans(facts, Severity::Low, words, |_, span| {
        let Some(parent) = span.parent else {
            return false;
        };
        let (child, parent) = (span.span(), facts.span(parent).span());
        let is_early = child
            .started_at
            .zip(parent.started_at)
            .is_some_and(|(child, parent)| {
                parent.as_micros().saturating_sub(child.as_micros()) > OUTSIDE_MICROS_MAX
            });
        let is_late = child
            .ended_at
            .zip(parent.ended_at)
            .is_some_and(|(child, parent)| {
                child.as_micros().saturating_sub(parent.as_micros()) > OUTSIDE_MICROS_MAX
            });
        is_early || is_late
    })
}

fn lost_parents(facts: &Facts<'_>) -> Option<Hit> {
    if facts.view.row.lost_spans == 0 {
        return None;
    }
    let words = "hang below a parent that never came";
    of_spans(facts, Severity::Low, words, |_, span| {
        span.parent.is_none() && span.span().parent_id.is_some()
    })
}

/// Whoever put the view together has cut cycles open; the ids tell of them still.
fn cycles(facts: &Facts<'_>) -> Option<Hit> {
    let spans = &facts.view.spans;
    let ids = (0usize..).zip(spans).map(|(at, span)| (span.id(), at));
    let places: HashMap<_, usize> = ids.collect();
    let above = |at: usize| {
        let parent = spans[at].span().parent_id.as_ref()?;
        places.get(parent).copied()
    };
    // 0: not looked at; else the walk on which it was.
    let mut walks = vec![0_u32; spans.len()];
    let mut in_cycle = vec![false; spans.len()];
    for (walk, begin) in (1u32..).zip(0..spans.len()) {
        let mut here = Some(begin);
        while let Some(at) = here.filter(|at| walks[*at] == 0) {
            walks[at] = walk;
            here = above(at);
        }
        // Back on this very walk: round once.
        let mut round = here.filter(|at| walks[*at] == walk);
        while let Some(at) = round.filter(|at| !in_cycle[*at]) {
            in_cycle[at] = true;
            round = above(at);
        }
    }
    let words = "are their own ancestors";
    of_spans(facts, Severity::Medium, words, |at, _| {
        in_cycle[at as usize]
    })
}

fn doubled_ids(facts: &Facts<'_>) -> Option<Hit> {
    let mut counts: HashMap<&str, u32> = HashMap::new();
    for span in &facts.view.spans {
        *counts.entry(span.id().as_str()).or_default() += 1;
    }
    if counts.len() == facts.view.spans.len() {
        return None;
    }
    of_spans(
        facts,
        Severity::Medium,
        "share their id with another",
        |_, span| {
            counts
                .get(span.id().as_str())
                .is_some_and(|count| *count > 1)
        },
    )
}

fn several_roots(facts: &Facts<'_>) -> Option<Hit> {
    let is_root = |span: &SpanView| {
        let row = span.span();
        row.parent_id.is_none() && row.source == Source::Otlp && !row.derived
    };
    let roots = facts.view.spans.iter().filter(|span| is_root(span)).count();
    if roots < 2 {
        return None;
    }
    let words = "of one trace have no parent";
    of_spans(facts, Severity::Low, words, |_, span| is_root(span))
}
