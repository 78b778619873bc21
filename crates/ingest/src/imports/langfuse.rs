//! Langfuse: traces with their observations, and observations alone, as its API and exports write them.
//!
//! An observation becomes a span with the attributes by which Langfuse's own SDKs tell the same over
//! OpenTelemetry; a key that these have no attribute for goes under `langfuse.observation.` by its own
//! name. What a trace says is no span: it has no end. It becomes the trace's item, input and output
//! with it.

use std::borrow::Cow;

use model::{GroupId, JsonText, Source, TraceId, TraceItem};

use crate::json::{Kind, Value};
use crate::otlp::{Any, Ids, RawSpan, Run};

use super::To;
use super::record::{
    Members, Object, Refusal, any, id_text, ids, merged, moment, nanos_of, snake, span, text, texts,
};

const PREFIX: &str = "langfuse.observation.";

/// Keys of an observation whose attribute has another name than the key.
const NAMES: [(&str, &str); 10] = [
    ("model", "langfuse.observation.model.name"),
    ("providedModelName", "langfuse.observation.model.name"),
    ("provided_model_name", "langfuse.observation.model.name"),
    ("modelParameters", "langfuse.observation.model.parameters"),
    ("model_parameters", "langfuse.observation.model.parameters"),
    ("promptName", "langfuse.observation.prompt.name"),
    ("promptVersion", "langfuse.observation.prompt.version"),
    ("environment", "langfuse.environment"),
    ("version", "langfuse.version"),
    ("release", "langfuse.release"),
];

/// Keys of a trace that are columns.
const TRACE_COLUMNS: [&str; 8] = [
    "id",
    "name",
    "sessionId",
    "userId",
    "release",
    "environment",
    "tags",
    "metadata",
];

/// Takes a trace with its observations, or one observation.
pub(super) fn document(root: Value<'_, '_>, to: &mut To<'_, '_>) {
    if root.get("traceId").is_some() {
        return observation(root, to);
    }
    let item = trace_item(root, to.source).map(|mut item| {
        // What was exported is over, as far as anybody can tell.
        item.ended = Some(true);
        item
    });
    to.item(item);
    let scores = root.get("scores").map_or(0, |list| list.elements().count());
    to.tally.ignored("score", scores);
    for value in root
        .get("observations")
        .into_iter()
        .flat_map(Value::elements)
    {
        match value.is_object() {
            true => observation(value, to),
            // The list of traces names them only.
            false => to.span(
                Err(Refusal::NotARecord {
                    expected: "an observation (GET /api/public/traces/ID has them whole)",
                    found: value.kind().as_str(),
                }),
                Run::ToldApart,
            ),
        }
    }
}

fn observation(value: Value<'_, '_>, to: &mut To<'_, '_>) {
    let record = id_text("id", value.get("id")).and_then(|_| {
        id_text("traceId", value.get("traceId"))?;
        span_of(attributes(value))
    });
    to.span(record, Run::ToldApart);
}

/// Returns the attributes of one observation.
pub(super) fn attributes<'b>(record: Value<'b, '_>) -> Members<'b> {
    let mut out: Members<'b> = Vec::new();
    for (key, value) in record.members() {
        if value.kind() != Kind::Null {
            out.push((attribute_of(&key.text().unwrap_or_default()), any(value)));
        }
    }
    let usage = record.get("usage");
    let has_details = record
        .get("usageDetails")
        .is_some_and(|details| !details.is_empty());
    let counts_tokens = |usage: &Value<'_, '_>| {
        let unit = usage.get("unit").and_then(Value::text);
        // The API writes zeros for what it does not know.
        let is_told = usage
            .members()
            .any(|(_, count)| count.count().is_some_and(|n| n > 0));
        is_told && unit.is_none_or(|unit| unit.eq_ignore_ascii_case("tokens"))
    };
    if let Some(usage) = usage.filter(|_| !has_details).filter(counts_tokens) {
        out.push(("langfuse.observation.usage_details".into(), any(usage)));
    }
    let costs = [
        record.get("totalCost"),
        record.get("calculatedTotalCost"),
        usage.and_then(|usage| usage.get("totalCost")),
    ];
    if let Some(cost) = costs.into_iter().flatten().find(|cost| cost.raw() != "0") {
        out.push(("gen_ai.usage.cost".into(), any(cost)));
    }
    out
}

fn attribute_of<'b>(key: &str) -> Cow<'b, str> {
    match NAMES.iter().find(|(known, _)| *known == key) {
        Some((_, name)) => Cow::Borrowed(name),
        None => Cow::Owned(format!("{PREFIX}{}", snake(key))),
    }
}

/// Returns the span that these attributes tell of.
pub(super) fn span_of(attributes: Members<'_>) -> Result<(Ids, RawSpan<'_>), Refusal> {
    let told = |name: &str| {
        let mut found = attributes.iter().rev();
        let found = found.find(|(key, _)| key.strip_prefix(PREFIX) == Some(name));
        found.and_then(|(_, value)| value.scalar().map(Cow::into_owned))
    };
    let time = |name, field| match told(name) {
        None => Ok(None),
        Some(text) => match moment(&text).and_then(nanos_of) {
            Some(nanos) => Ok(Some(nanos)),
            None => Err(Refusal::BadTime { field, found: text }),
        },
    };
    let parent = told("parent_observation_id");
    let ids = ids(
        &told("trace_id").unwrap_or_default(),
        &told("id").unwrap_or_default(),
        parent.as_deref(),
    )?;
    let kind = told("type").unwrap_or_default();
    let start = time("start_time", "startTime")?;
    let end = time("end_time", "endTime")?;
    // An event is a moment.
    let end = end.or(start.filter(|_| kind.eq_ignore_ascii_case("event")));
    let name = told("name").unwrap_or_else(|| kind.to_ascii_lowercase());
    Ok((ids, span(name.into(), [start, end], attributes)))
}

/// Returns what a record says of its trace.
pub(super) fn trace_item(record: Value<'_, '_>, source: Source) -> Result<TraceItem, Refusal> {
    let id = id_text("id", record.get("id"))?;
    let id = TraceId::new(&id).map_err(|_| Refusal::BadId {
        field: "id",
        found: id.into_owned(),
    })?;
    let mut item = TraceItem::new(id, source);
    item.workflow_name = text(record.get("name"));
    let session = text(record.get("sessionId"));
    item.group_id = session.and_then(|session| GroupId::new(&session).ok());
    item.user_id = text(record.get("userId"));
    let version = record.get("release").or_else(|| record.get("version"));
    item.version = text(version);
    item.environment = text(record.get("environment"));
    item.tags = texts(record.get("tags"));
    item.metadata = record.get("metadata").map(metadata);
    let mut extra = Object::default();
    for (key, value) in record.members() {
        let key = key.text().unwrap_or_default();
        let is_kept = TRACE_COLUMNS.contains(&&*key) || key == "observations";
        if !is_kept && value.kind() != Kind::Null {
            extra.raw(&key, value.raw());
        }
    }
    item.extra = extra.finish();
    Ok(item)
}

/// Returns metadata as an object, which it nearly always is.
fn metadata(value: Value<'_, '_>) -> JsonText {
    match value.is_object() {
        true => JsonText::from_trusted(value.raw()),
        false => JsonText::from_trusted(format!("{{\"metadata\":{}}}", value.raw())),
    }
}

/// Puts what a later record says of an observation behind what is known of it: of equal attributes the
/// last counts. Metadata are merged key by key.
pub(super) fn overlay<'b>(known: &mut Members<'b>, later: Members<'b>) {
    const METADATA: &str = "langfuse.observation.metadata";
    let told = |members: &Members<'b>| {
        let found = members.iter().rev().find(|(key, _)| key == METADATA);
        found.and_then(|(_, value)| value.text().map(str::to_owned))
    };
    let both = told(known).zip(told(&later));
    let both = both.and_then(|(earlier, later)| merged(&earlier, &later));
    known.extend(later);
    if let Some(both) = both {
        known.push((METADATA.into(), Any::Text(both.as_str().to_owned().into())));
    }
}
