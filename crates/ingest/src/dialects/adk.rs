//! Google's ADK, first schema: a model call without an operation name.

use model::SpanType;

use super::{Seen, Told};

pub(super) fn recognise(seen: &Seen<'_, '_>) -> bool {
    seen.name == "call_llm" && seen.attributes.has("gcp.vertex.agent.llm_request")
}

pub(super) fn map(_: &Seen<'_, '_>, told: &mut Told) {
    told.is(SpanType::Generation, "call_llm");
}
