//! The GenAI semantic conventions of OpenTelemetry: `gen_ai.operation.name`.

use model::SpanType;

use super::{Seen, Told, fields};

const OPERATION: &str = "gen_ai.operation.name";

pub(super) fn recognise(seen: &Seen<'_, '_>) -> bool {
    seen.text(OPERATION).is_some()
}

pub(super) fn map(seen: &Seen<'_, '_>, told: &mut Told) {
    let operation = seen.text(OPERATION).unwrap_or_default();
    let span_type = match operation.to_ascii_lowercase().as_str() {
        "chat" | "text_completion" | "completion" | "generate_content" => SpanType::Generation,
        "embeddings" | "embedding" => SpanType::Embedding,
        "retrieval" | "retriever" => SpanType::Retrieval,
        // Without a name it is the workflow around the agents.
        "invoke_agent" if fields::named_agent(seen).is_some() => SpanType::Agent,
        "execute_tool" if !is_merged_tools(seen) => SpanType::Function,
        "handoff" | "agent_handoff" => SpanType::Handoff,
        "guardrail" | "guardrail_check" => SpanType::Guardrail,
        "evaluate" => SpanType::Evaluator,
        // create_agent, invoke_workflow, agent_step, plan, search_memory, and what comes next
        _ => SpanType::Custom,
    };
    told.is(span_type, operation);
}

/// Google's ADK sums up parallel calls in a span that is no call.
fn is_merged_tools(seen: &Seen<'_, '_>) -> bool {
    seen.text("gen_ai.tool.name") == Some("(merged tools)") || seen.name.ends_with("(merged)")
}
