//! Libraries with a kind of their own that is seen seldom: Laminar and Genkit.

use model::SpanType;

use super::{Seen, Told};

const LAMINAR: &str = "lmnr.span.type";
const GENKIT: [&str; 2] = ["genkit:metadata:subtype", "genkit:type"];

pub(super) fn recognise(seen: &Seen<'_, '_>) -> bool {
    let is_laminar = seen.text(LAMINAR).is_some_and(|kind| kind != "DEFAULT");
    is_laminar || seen.attributes.first_text(&GENKIT).is_some()
}

pub(super) fn map(seen: &Seen<'_, '_>, told: &mut Told) {
    let laminar = seen.text(LAMINAR);
    let word = laminar.or_else(|| seen.attributes.first_text(&GENKIT));
    let word = word.unwrap_or_default();
    let span_type = match word.to_ascii_lowercase().as_str() {
        "llm" | "model" | "generate" => SpanType::Generation,
        "tool" => SpanType::Function,
        "embedder" | "embedding" => SpanType::Embedding,
        "retriever" | "reranker" => SpanType::Retrieval,
        "evaluator" => SpanType::Evaluator,
        // executor, evaluation, flow, action, util
        _ => SpanType::Custom,
    };
    told.is(span_type, word);
    told.name = seen.text("genkit:name").map(Into::into);
}
