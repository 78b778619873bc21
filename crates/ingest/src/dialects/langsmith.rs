//! LangSmith: `langsmith.span.kind`, which outranks an operation name that may mislead.

use model::SpanType;

use super::{Seen, Told};

const KIND: &str = "langsmith.span.kind";

pub(super) fn recognise(seen: &Seen<'_, '_>) -> bool {
    seen.text(KIND).is_some()
}

pub(super) fn map(seen: &Seen<'_, '_>, told: &mut Told) {
    let kind = seen.text(KIND).unwrap_or_default();
    let span_type = match kind.to_ascii_lowercase().as_str() {
        "llm" => SpanType::Generation,
        "tool" => SpanType::Function,
        "retriever" => SpanType::Retrieval,
        "embedding" => SpanType::Embedding,
        // chain, prompt, parser
        _ => SpanType::Custom,
    };
    told.is(span_type, kind);
}
