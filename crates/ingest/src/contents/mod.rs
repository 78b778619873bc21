//! What does a stored span say, whoever sent it?
//!
//! The one place that knows the two ways in which payloads are stored: `span_data` of the Agents SDK,
//! and attributes of OpenTelemetry. Everything that reads contents asks here: what is shown, what is
//! graded and what is searched is the same.

mod doubles;

use std::collections::HashMap;

use model::payload::{RestoreError, restore};
use model::{DeclaredTool, Message, MessageHash, Span};

use crate::otlp::{self, Sent};
use crate::{agents_sdk, dialects};

pub use crate::dialects::Contents;
pub use doubles::{Doubles, fill_doubles};

/// The messages of one trace by their hashes.
pub type Messages = HashMap<MessageHash, Message>;

/// What a span says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// What went in and what came out.
    pub contents: Contents,
    /// The tools that it was given.
    pub tools: Vec<DeclaredTool>,
}

/// Returns what `span` says; what it leaves open is read from the `doubles` that are merged into it.
/// Log records among them have been joined to the span before (see [`fill_doubles`]).
pub fn told(span: &Span, doubles: &[&Span], messages: &Messages) -> Result<Told, RestoreError> {
    let mut told = told_alone(span, messages)?;
    for double in doubles.iter().filter(|double| !double.is_log_record()) {
        let more = told_alone(double, messages)?;
        told.contents.fill_from(more.contents);
        if told.tools.is_empty() {
            told.tools = more.tools;
        }
    }
    Ok(told)
}

fn told_alone(span: &Span, messages: &Messages) -> Result<Told, RestoreError> {
    let data = restored(span, messages)?;
    let data = data.as_deref();
    if !otlp::is_telemetry(span) {
        return Ok(data.map_or_else(Told::default, |data| agents_sdk::told(span.span_type, data)));
    }
    let has_failed = span.error.is_some();
    Ok(otlp::with_seen(Sent { span, data }, |seen| Told {
        contents: dialects::contents(seen, span.span_type, has_failed),
        tools: dialects::declared(seen),
    }))
}

/// Returns the sender's text of a span's data, its messages put in again; `None` where it has none.
pub fn restored(span: &Span, messages: &Messages) -> Result<Option<String>, RestoreError> {
    let payload = &span.payload;
    let content = |hash: &MessageHash| messages.get(hash).map(Message::text);
    let data = payload.data.as_ref();
    data.map(|data| {
        restore(
            data.as_str(),
            &payload.input_refs,
            &payload.output_refs,
            content,
        )
    })
    .transpose()
}
