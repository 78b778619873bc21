//! Who handed over, where a span says only who took over: the agent around it.

use std::collections::HashMap;

use model::{Span, SpanId, SpanType, TraceId};

/// Fills in the agents that handed over, as far as they are among `spans`.
pub(super) fn complete_handoffs(spans: &mut [Span]) {
    let is_open = |span: &Span| {
        span.span_type == SpanType::Handoff
            && span.handoff_from.is_none()
            && span.handoff_to.is_some()
    };
    let open: Vec<usize> = (0..spans.len()).filter(|at| is_open(&spans[*at])).collect();
    if open.is_empty() {
        return;
    }
    let places: HashMap<(TraceId, SpanId), usize> = spans
        .iter()
        .enumerate()
        .map(|(at, span)| ((span.trace_id.clone(), span.span_id.clone()), at))
        .collect();
    for at in open {
        let above = |span: &Span| {
            let parent = span.parent_id.clone()?;
            places.get(&(span.trace_id.clone(), parent)).copied()
        };
        // A circle of parents ends.
        let around = std::iter::successors(above(&spans[at]), |up| above(&spans[*up]));
        let mut around = around.take(spans.len());
        let agent = around.find(|up| spans[*up].span_type == SpanType::Agent);
        let Some(agent) = agent.map(|agent| spans[agent].name.clone()) else {
            continue;
        };
        let handoff = &mut spans[at];
        let to = handoff.handoff_to.as_deref().unwrap_or("?");
        handoff.name = format!("{agent} → {to}");
        handoff.agent = Some(agent.clone());
        handoff.handoff_from = Some(agent);
    }
}
