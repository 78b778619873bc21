//! Traceloop's own spans: decorators and its instrumentations of frameworks say `traceloop.span.kind`.

use model::SpanType;

use super::{Seen, Told};

const KIND: &str = "traceloop.span.kind";

pub(super) fn recognise(seen: &Seen<'_, '_>) -> bool {
    seen.text(KIND).is_some()
}

pub(super) fn map(seen: &Seen<'_, '_>, told: &mut Told) {
    let kind = seen.text(KIND).unwrap_or_default();
    let span_type = match kind.to_ascii_lowercase().as_str() {
        "agent" => SpanType::Agent,
        "tool" => SpanType::Function,
        "handoff" => SpanType::Handoff,
        // workflow, task
        _ => SpanType::Custom,
    };
    told.is(span_type, kind);
}
