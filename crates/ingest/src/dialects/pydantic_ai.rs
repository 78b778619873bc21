//! pydantic-ai before it named its operations: a run of an agent is known by its span's name.
//!
//! Its model calls and tools are read as everybody's.

use model::SpanType;

use super::{Seen, Told};

pub(super) fn recognise(seen: &Seen<'_, '_>) -> bool {
    seen.scope == "pydantic-ai" && seen.name == "agent run" && seen.text("agent_name").is_some()
}

pub(super) fn map(_: &Seen<'_, '_>, told: &mut Told) {
    told.is(SpanType::Agent, "agent run");
}
