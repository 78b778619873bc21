//! The Model Context Protocol: client and server spans name the method of the call.

use model::SpanType;

use super::{Seen, Told};

const METHOD: &str = "mcp.method.name";

pub(super) fn recognise(seen: &Seen<'_, '_>) -> bool {
    seen.text(METHOD).is_some()
}

pub(super) fn map(seen: &Seen<'_, '_>, told: &mut Told) {
    let method = seen.text(METHOD).unwrap_or_default();
    let span_type = match method {
        "tools/call" => SpanType::Function,
        "tools/list" => SpanType::McpTools,
        _ => SpanType::Custom,
    };
    told.is(span_type, method);
    let name = match span_type {
        SpanType::Function => {
            let of_span = || seen.name.strip_prefix("tools/call ");
            seen.text("gen_ai.tool.name").or_else(of_span)
        }
        SpanType::McpTools => seen
            .attributes
            .first_text(&["mcp.server.name", "server.address"]),
        _ => None,
    };
    told.name = name.map(Into::into);
}
