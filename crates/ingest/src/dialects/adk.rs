//! Google's ADK, first schema: agents and model calls without an operation name.

use model::SpanType;

use super::{Seen, Told};

/// The name of the scope.
const SCOPE: &str = "gcp.vertex.agent";

const REQUEST: &str = "gcp.vertex.agent.llm_request";

/// Returns whether ADK itself wrote the span, or an instrumentation of it.
pub(super) fn is_of_adk(seen: &Seen<'_, '_>) -> bool {
    seen.scope == SCOPE || seen.scope.ends_with("google_adk")
}

/// Returns the agent of a span named `agent_run [the agent]`.
fn agent<'s>(seen: &Seen<'s, '_>) -> Option<&'s str> {
    let name = seen.name.strip_prefix("agent_run [")?.strip_suffix(']')?;
    (seen.scope == SCOPE && !name.is_empty()).then_some(name)
}

pub(super) fn recognise(seen: &Seen<'_, '_>) -> bool {
    (seen.name == "call_llm" && seen.attributes.has(REQUEST)) || agent(seen).is_some()
}

pub(super) fn map(seen: &Seen<'_, '_>, told: &mut Told) {
    match agent(seen) {
        Some(name) => {
            told.is(SpanType::Agent, "agent_run");
            told.name = Some(name.to_owned());
        }
        None => told.is(SpanType::Generation, "call_llm"),
    }
}
