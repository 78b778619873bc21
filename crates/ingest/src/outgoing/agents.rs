//! Items as the Agents SDK would have sent them: what came so goes out so.
//!
//! What we made ourselves (derived spans, costs, previews) is left out: who takes the item in makes it
//! again.

use model::{JsonText, SpanError, Time, TraceItem};

use crate::json::json_string;
use crate::messages::Doc;
use crate::otlp::Sent;
use crate::otlp::envelope::{raw, told};

/// Returns a trace item, with more members in the words of the SDK if `metadata` has some.
pub(super) fn trace_item(item: &TraceItem, metadata: Option<&str>) -> String {
    let mut out = String::new();
    told(&mut out, "object", "trace");
    told(&mut out, "id", item.trace_id.as_str());
    or_null(&mut out, "workflow_name", item.workflow_name.as_deref());
    let group = item.group_id.as_ref().map(|id| id.as_str());
    or_null(&mut out, "group_id", group);
    if let Some(metadata) = metadata {
        raw(&mut out, "metadata", metadata);
    }
    if let Some(ended) = item.ended {
        raw(&mut out, "ended", if ended { "true" } else { "false" });
    }
    with_extra(out, item.extra.as_ref())
}

/// Returns the item of a span that came as one.
pub(super) fn span_item(sent: Sent<'_>) -> String {
    let span = sent.span;
    let mut out = begun(sent);
    told(&mut out, "span_type", &span.source_type);
    if let Some(data) = sent.data {
        raw(&mut out, "span_data", data);
    }
    raw(&mut out, "error", &error(span.error.as_ref()));
    if let Some(metadata) = &span.payload.attributes {
        raw(&mut out, "metadata", metadata.as_str());
    }
    with_extra(out, span.payload.extra.as_ref())
}

/// Returns what the items of all spans begin with.
pub(super) fn begun(sent: Sent<'_>) -> String {
    let span = sent.span;
    let mut out = String::new();
    told(&mut out, "object", "trace.span");
    told(&mut out, "id", span.span_id.as_str());
    told(&mut out, "trace_id", span.trace_id.as_str());
    let parent = span.parent_id.as_ref().map(|id| id.as_str());
    or_null(&mut out, "parent_id", parent);
    let time = |at: Option<Time>| at.map(|at| at.to_string());
    or_null(&mut out, "started_at", time(span.started_at).as_deref());
    or_null(&mut out, "ended_at", time(span.ended_at).as_deref());
    out
}

/// Returns an error as it was sent: in a sender's own shape, if that was kept whole.
pub(super) fn error(error: Option<&SpanError>) -> String {
    let Some(error) = error else {
        return "null".to_owned();
    };
    let data = error.data.as_ref().map(JsonText::as_str);
    let doc = data.and_then(Doc::parse_container);
    let message = doc.as_ref().and_then(|doc| doc.root().get("message"));
    if let Some(data) = data
        && message.and_then(|message| message.text()).as_deref() == Some(&error.message)
    {
        return data.to_owned();
    }
    format!(
        "{{\"message\":{},\"data\":{}}}",
        json_string(&error.message),
        data.unwrap_or("null")
    )
}

pub(super) fn or_null(out: &mut String, key: &str, text: Option<&str>) {
    let text = text.map_or_else(|| "null".to_owned(), json_string);
    raw(out, key, &text);
}

/// Closes an object behind the members that nobody here knows.
fn with_extra(mut out: String, extra: Option<&JsonText>) -> String {
    match extra.and_then(|extra| extra.as_str().strip_prefix('{')) {
        Some(members) => {
            out.push(',');
            out.push_str(members);
        }
        None => out.push('}'),
    }
    out
}
