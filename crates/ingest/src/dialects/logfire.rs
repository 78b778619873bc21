//! Logfire's instrumentation of the Agents SDK: what a span is, its message template says.
//!
//! Logfire's other instrumentations follow the GenAI conventions and are read as those.

use model::SpanType;

use super::{Seen, Told};

/// What templates begin with, and what they tell.
const TEMPLATES: [(&str, SpanType); 9] = [
    ("OpenAI Agents trace:", SpanType::Custom),
    ("Task:", SpanType::Custom),
    ("Turn ", SpanType::Custom),
    ("Agent run:", SpanType::Agent),
    ("Responses API", SpanType::Generation),
    ("Chat completion with", SpanType::Generation),
    ("Function:", SpanType::Function),
    ("Handoff:", SpanType::Handoff),
    ("Guardrail", SpanType::Guardrail),
];

const MCP_TOOLS: &str = "MCP: list tools";

/// Returns the template of a span's message.
pub(super) fn template<'s>(seen: &Seen<'s, '_>) -> &'s str {
    seen.attributes
        .text("logfire.msg_template")
        .unwrap_or(seen.name)
}

pub(super) fn recognise(seen: &Seen<'_, '_>) -> bool {
    seen.scope == "logfire.openai_agents"
}

pub(super) fn map(seen: &Seen<'_, '_>, told: &mut Told) {
    let template = template(seen);
    let known = TEMPLATES
        .iter()
        .find(|(start, _)| template.starts_with(start));
    let span_type = match known {
        Some((_, span_type)) => *span_type,
        None if template.starts_with(MCP_TOOLS) => SpanType::McpTools,
        None => SpanType::Custom,
    };
    let source_type = known.map_or(template, |(start, _)| start.trim_end_matches([':', ' ']));
    told.is(span_type, source_type);
    let text = |key: &str| seen.text(key).map(Into::into);
    match span_type {
        SpanType::Handoff => {
            told.handoff_from = text("from_agent");
            told.handoff_to = text("to_agent");
        }
        SpanType::McpTools => told.name = text("server"),
        SpanType::Agent | SpanType::Function | SpanType::Guardrail => told.name = text("name"),
        _ => {}
    }
}
