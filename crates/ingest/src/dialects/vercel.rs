//! Vercel's AI SDK up to version 6: `ai.operationId`. Version 7 follows the GenAI conventions.

use model::SpanType;

use super::{Seen, Told};

const OPERATION: &str = "ai.operationId";

pub(super) fn recognise(seen: &Seen<'_, '_>) -> bool {
    seen.text(OPERATION).is_some()
}

pub(super) fn map(seen: &Seen<'_, '_>, told: &mut Told) {
    let operation = seen.text(OPERATION).unwrap_or_default();
    let span_type = match operation {
        call if call.ends_with(".doGenerate") || call.ends_with(".doStream") => {
            SpanType::Generation
        }
        "ai.toolCall" => SpanType::Function,
        call if call.starts_with("ai.embed") => SpanType::Embedding,
        call if call.starts_with("ai.rerank") => SpanType::Retrieval,
        "ai.generateText" | "ai.streamText" => SpanType::Agent,
        // ai.generateObject, ai.streamObject
        _ => SpanType::Custom,
    };
    told.is(span_type, operation);
}
