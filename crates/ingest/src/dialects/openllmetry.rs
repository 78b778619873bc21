//! OpenLLMetry up to 0.4x: a call of a model is known by `llm.request.type` alone.

use model::SpanType;

use super::{Seen, Told};

const TYPE: &str = "llm.request.type";

pub(super) fn recognise(seen: &Seen<'_, '_>) -> bool {
    seen.text(TYPE).is_some()
}

pub(super) fn map(seen: &Seen<'_, '_>, told: &mut Told) {
    let word = seen.text(TYPE).unwrap_or_default();
    let span_type = match word.to_ascii_lowercase().as_str() {
        "chat" | "completion" => SpanType::Generation,
        "embedding" | "embeddings" => SpanType::Embedding,
        "rerank" => SpanType::Retrieval,
        _ => SpanType::Custom,
    };
    told.is(span_type, word);
}
