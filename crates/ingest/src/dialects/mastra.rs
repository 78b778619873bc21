//! Mastra's exporter: `mastra.span.type`, whatever it calls the operation.
//!
//! A generation is the whole loop of a model and its tools and has the sum of its steps; the steps have
//! no counts of their own and are structure.

use model::SpanType;

use super::{Seen, Told};

const TYPE: &str = "mastra.span.type";

pub(super) fn recognise(seen: &Seen<'_, '_>) -> bool {
    seen.text(TYPE).is_some()
}

pub(super) fn map(seen: &Seen<'_, '_>, told: &mut Told) {
    let word = seen.text(TYPE).unwrap_or_default();
    let span_type = match word {
        "agent_run" => SpanType::Agent,
        "model_generation" | "llm_generation" => SpanType::Generation,
        "tool_call" | "mcp_tool_call" => SpanType::Function,
        // model_step, model_chunk, workflow_run, workflow_step, processor_run, generic
        _ => SpanType::Custom,
    };
    told.is(span_type, word);
    if span_type == SpanType::Agent {
        let keys = ["gen_ai.agent.name", "gen_ai.agent.id", "agent.id"];
        told.name = seen.attributes.first_text(&keys).map(Into::into);
    }
}

/// Returns whether Mastra wrote the span, which uses common words for what went in and came out.
pub(super) fn is_of_mastra(seen: &Seen<'_, '_>) -> bool {
    seen.attributes.has(TYPE)
}
