//! Langfuse SDK 3 to 5: every observation says its type.

use model::SpanType;

use super::{Seen, Told};

const TYPE: &str = "langfuse.observation.type";

pub(super) fn recognise(seen: &Seen<'_, '_>) -> bool {
    seen.text(TYPE).is_some()
}

pub(super) fn map(seen: &Seen<'_, '_>, told: &mut Told) {
    let word = seen.text(TYPE).unwrap_or_default();
    let span_type = match word.to_ascii_lowercase().as_str() {
        "generation" => SpanType::Generation,
        "embedding" => SpanType::Embedding,
        "agent" => SpanType::Agent,
        "tool" => SpanType::Function,
        "guardrail" => SpanType::Guardrail,
        "evaluator" => SpanType::Evaluator,
        "retriever" => SpanType::Retrieval,
        // span, chain, event
        _ => SpanType::Custom,
    };
    told.is(span_type, word);
}
