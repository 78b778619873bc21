//! Attributes `openai.*`, as people write them who turn the SDK's events into spans by hand.

use model::SpanType;

use super::{Seen, Told};

const TYPE: &str = "openai.event_type";

pub(super) fn recognise(seen: &Seen<'_, '_>) -> bool {
    seen.text(TYPE).is_some() || seen.text("openai.llm.model").is_some()
}

pub(super) fn map(seen: &Seen<'_, '_>, told: &mut Told) {
    let word = seen.text(TYPE).unwrap_or("llm");
    let word = word.rsplit('.').next().unwrap_or(word);
    let span_type = match word.to_ascii_lowercase().as_str() {
        "llm" | "llm_run" | "llm_call" | "llm_generation" | "generation" | "response" => {
            SpanType::Generation
        }
        "tool" | "tool_run" | "tool_call" | "function" | "function_call" => SpanType::Function,
        "agent" | "agent_run" => SpanType::Agent,
        "handoff" => SpanType::Handoff,
        "guardrail" => SpanType::Guardrail,
        _ => SpanType::Custom,
    };
    told.is(span_type, word);
    told.handoff_from = seen.text("openai.handoff.from_agent").map(Into::into);
    told.handoff_to = seen.text("openai.handoff.to_agent").map(Into::into);
}
