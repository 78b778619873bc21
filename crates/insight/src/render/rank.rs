//! Which spans matter most, where not all can be shown?
//!
//! Points for what graders look at: how the run began and ended, what failed, what a detector, a rule or the
//! question points at, where control or the world changed. Of equals the earlier one comes first.

use hashbrown::HashSet;
use model::SpanType;

use super::Request;
use super::told::Told;
use crate::{Effects, SpanView, TraceView};

/// Returns all spans, the most telling first.
pub(super) fn ranked(
    view: &TraceView,
    told: &Told<'_>,
    effects: &Effects,
    request: &Request<'_>,
) -> Vec<u32> {
    let mut points = vec![0i32; view.spans.len()];
    let mut add = |places: &[u32], more: i32| {
        let distinct: HashSet<u32> = places.iter().copied().collect();
        for at in distinct {
            if let Some(points) = points.get_mut(at as usize) {
                *points += more;
            }
        }
    };
    let all = || (0u32..).zip(&view.spans);
    let chosen = |is_chosen: &dyn Fn(&SpanView) -> bool| {
        let chosen = all().filter(|(_, span)| is_chosen(span));
        chosen.map(|(at, _)| at).collect::<Vec<u32>>()
    };
    add(&ends(view), 8);
    add(&chosen(&|span| span.has_failed()), 6);
    add(request.hits, 5);
    add(request.cited, 4);
    add(request.focus.unwrap_or_default(), 4);
    add(&view.guardrails, 3);
    add(&view.handoffs, 3);
    let is_tool = |span: &SpanView| span.is(SpanType::Function) || span.is(SpanType::McpTools);
    add(
        &chosen(&|span| is_tool(span) && effects.is_write(&span.span().name)),
        2,
    );
    add(&chosen(&is_tool), 1);
    add(&repeated(view, told), -2);
    let mut order: Vec<u32> = all().map(|(at, _)| at).collect();
    order.sort_by_key(|at| (-points[*at as usize], *at));
    order
}

/// Returns where the run begins, where the user first speaks and where the last answer is given.
fn ends(view: &TraceView) -> Vec<u32> {
    let places: Vec<(u32, &SpanView)> = (0u32..).zip(&view.spans).collect();
    let all = || places.iter().copied();
    let root = all().find(|(_, span)| span.parent.is_none());
    let is_asked = |span: &SpanView| {
        let mut roles = span.told.input.iter().map(|message| message.role.as_str());
        roles.any(|role| role == "user")
    };
    let talks = |span: &SpanView| span.is(SpanType::Generation) || span.is(SpanType::Agent);
    let first = all()
        .find(|(_, span)| span.is(SpanType::Generation) && is_asked(span))
        .or_else(|| all().find(|(_, span)| talks(span) && is_asked(span)));
    let has_words = |span: &SpanView| span.told.output.iter().any(|said| said.has_words());
    let answers = |span: &SpanView| {
        span.is(SpanType::Generation) && span.requested_calls().next().is_none() && has_words(span)
    };
    let last = all().rev().find(|(_, span)| answers(span)).or_else(|| {
        all()
            .rev()
            .find(|(_, span)| span.is(SpanType::Agent) && has_words(span))
    });
    let ends = [root, first, last].into_iter().flatten();
    ends.map(|(at, _)| at).collect()
}

/// Returns the spans that tell what an earlier one of the same name told.
fn repeated(view: &TraceView, told: &Told<'_>) -> Vec<u32> {
    let mut seen = HashSet::new();
    let mut repeated = Vec::new();
    for (at, (span, said)) in (0u32..).zip(view.spans.iter().zip(&told.spans)) {
        let says_something = !said.input.is_empty() || !said.output.is_empty();
        let key = (
            span.span().span_type,
            span.span().name.as_str(),
            &said.input,
            &said.output,
        );
        if says_something && !seen.insert(key) {
            repeated.push(at);
        }
    }
    repeated
}

/// Returns the last model call before `at` that asked for the tool of the span there.
pub(super) fn asker(view: &TraceView, at: u32) -> Option<u32> {
    let span = view.spans[at as usize].span();
    if span.span_type != SpanType::Function {
        return None;
    }
    let before = view
        .generations
        .partition_point(|generation| *generation < at);
    view.generations[..before]
        .iter()
        .rev()
        .copied()
        .take(ASKERS_MAX)
        .find(|generation| {
            let mut calls = view.spans[*generation as usize].requested_calls();
            calls.any(|(id, name, _)| match (id, span.tool_call_id.as_deref()) {
                (Some(id), Some(wanted)) => id == wanted,
                _ => name == span.name,
            })
        })
}

/// The call that asked for a tool is looked for among this many model calls before it.
const ASKERS_MAX: usize = 64;
