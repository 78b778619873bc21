//! MLflow: every attribute is the text of a JSON value.

use model::SpanType;

use super::{Seen, Told};
use crate::messages::Doc;

const TYPE: &str = "mlflow.spanType";

pub(super) fn recognise(seen: &Seen<'_, '_>) -> bool {
    seen.text(TYPE).is_some()
}

/// Returns an attribute's text, out of its quotes.
pub(super) fn unquoted(text: &str) -> String {
    let doc = Doc::parse(text);
    let words = doc.as_ref().and_then(|doc| doc.root().text());
    words.map_or_else(|| text.to_owned(), Into::into)
}

fn member(seen: &Seen<'_, '_>, attribute: &str, key: &str) -> Option<String> {
    let doc = Doc::parse(seen.text(attribute)?)?;
    doc.root().get(key)?.words().map(Into::into)
}

pub(super) fn map(seen: &Seen<'_, '_>, told: &mut Told) {
    let kind = unquoted(seen.text(TYPE).unwrap_or_default());
    let span_type = match kind.to_ascii_uppercase().as_str() {
        "LLM" | "CHAT_MODEL" => SpanType::Generation,
        "TOOL" => SpanType::Function,
        "AGENT" => SpanType::Agent,
        "RETRIEVER" | "RERANKER" => SpanType::Retrieval,
        "EMBEDDING" => SpanType::Embedding,
        "GUARDRAIL" => SpanType::Guardrail,
        "EVALUATOR" => SpanType::Evaluator,
        _ => SpanType::Custom,
    };
    told.is(span_type, &kind);
    // The runner of the Agents SDK is the run, not an agent.
    let is_run =
        seen.attributes.has("mlflow.openai.agent_run_root") || seen.name == "AgentRunner.run";
    if is_run && span_type == SpanType::Agent {
        told.span_type = SpanType::Custom;
    }
    if seen.name.starts_with("Handoff") {
        let from = member(seen, "mlflow.spanInputs", "from_agent");
        let to = member(seen, "mlflow.spanOutputs", "to_agent");
        if from.is_some() || to.is_some() {
            told.span_type = SpanType::Handoff;
            (told.handoff_from, told.handoff_to) = (from, to);
        }
    }
}
