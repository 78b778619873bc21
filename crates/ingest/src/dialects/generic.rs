//! Spans of no known dialect whose attributes give away a tool or a model call.

use model::SpanType;

use super::{Seen, Told};

const OF_TOOLS: [&str; 2] = ["gen_ai.tool.name", "gen_ai.tool.call.id"];

const OF_MODELS: [&str; 5] = [
    "gen_ai.request.model",
    "gen_ai.response.model",
    "llm.model_name",
    "gen_ai.input.messages",
    "gen_ai.prompt.0.content",
];

fn is_tool(seen: &Seen<'_, '_>) -> bool {
    OF_TOOLS.iter().any(|key| seen.attributes.has(key))
}

pub(super) fn recognise(seen: &Seen<'_, '_>) -> bool {
    is_tool(seen)
        || OF_MODELS.iter().any(|key| seen.attributes.has(key))
        || seen.attributes.has_under("llm.input_messages.")
}

pub(super) fn map(seen: &Seen<'_, '_>, told: &mut Told) {
    match is_tool(seen) {
        true => told.is(SpanType::Function, "tool"),
        false => told.is(SpanType::Generation, "llm"),
    }
}
