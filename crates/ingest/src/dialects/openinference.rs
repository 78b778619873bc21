//! OpenInference (Arize): `openinference.span.kind`.
//!
//! Its instrumentation of the Agents SDK has no kinds for handoffs, workflows and tool listings and
//! writes them as tools, agents and chains.

use model::SpanType;

use super::{Seen, Told};

const KIND: &str = "openinference.span.kind";

pub(super) fn recognise(seen: &Seen<'_, '_>) -> bool {
    seen.text(KIND).is_some()
}

pub(super) fn map(seen: &Seen<'_, '_>, told: &mut Told) {
    let kind = seen.text(KIND).unwrap_or_default();
    let span_type = match kind.to_ascii_uppercase().as_str() {
        "LLM" => SpanType::Generation,
        "EMBEDDING" => SpanType::Embedding,
        "RETRIEVER" | "RERANKER" => SpanType::Retrieval,
        "TOOL" => SpanType::Function,
        "AGENT" => SpanType::Agent,
        "GUARDRAIL" => SpanType::Guardrail,
        "EVALUATOR" => SpanType::Evaluator,
        // CHAIN, PROMPT, UNKNOWN
        _ => SpanType::Custom,
    };
    told.is(span_type, kind);
    // LlamaIndex: a private method of a model or a retriever calls none, or is a part of the public one.
    let method = seen.name.rsplit('.').next().unwrap_or_default();
    let is_private = seen.scope.contains("llama_index") && method.starts_with('_');
    if is_private && matches!(told.span_type, SpanType::Generation | SpanType::Retrieval) {
        told.span_type = SpanType::Custom;
    }
    if seen.scope.contains("openai_agents") || seen.scope.contains("openai-agents") {
        of_agents_sdk(seen, told);
    }
}

fn is_named(seen: &Seen<'_, '_>) -> bool {
    let names = ["agent.name", "graph.node.id"];
    seen.attributes.first_text(&names).is_some()
}

fn of_agents_sdk(seen: &Seen<'_, '_>, told: &mut Told) {
    match told.span_type {
        // The trace of the SDK; agents have names.
        SpanType::Agent if !is_named(seen) => told.span_type = SpanType::Custom,
        SpanType::Function => {
            let to = seen.name.strip_prefix("handoff to ");
            if let (Some(to), None) = (to, seen.text("tool.name")) {
                told.span_type = SpanType::Handoff;
                told.handoff_from = seen.text("input.value").map(Into::into);
                told.handoff_to = seen.text("output.value").or(Some(to)).map(Into::into);
            }
        }
        SpanType::Custom => {
            let lists = seen
                .text("output.value")
                .is_some_and(|value| value.trim_start().starts_with('['));
            if seen.name == "mcp_tools" && lists {
                told.span_type = SpanType::McpTools;
            }
        }
        _ => {}
    }
}
