//! Spans as people read them: what the SDKs of OpenTelemetry print, and what Phoenix gives out.
//!
//! Both write a `name`, a `context` with the ids, times in words and a flat object of attributes.
//! Phoenix also writes rows of a table, whose columns are `context.span_id` and `attributes.…`, and
//! nests attributes; both come apart to the flat names that OpenInference gave them.

use std::borrow::Cow;

use crate::json::{Kind, Value};
use crate::otlp::{Any, Attributes, Ids, RawEvent, RawResource, RawSpan, Run, Sink};

use super::To;
use super::record::{Members, Object, Refusal, any, id_text, ids, nanos, span as span_of};

/// Nested attributes are taken apart this deep; what lies deeper stays the text of its JSON.
const LEVELS_MAX: usize = 16;

/// Takes one span.
pub(super) fn span(root: Value<'_, '_>, to: &mut To<'_, '_>) {
    let record = read(root);
    let resource = root.get("resource");
    let resource = RawResource {
        attributes: resource
            .map(|resource| flat(resource.get("attributes")))
            .unwrap_or_default(),
        dropped_attributes: 0,
    };
    Sink::resource(to.spans, resource, "");
    to.span(record, Run::ToldBySpans);
}

fn read<'b>(root: Value<'b, '_>) -> Result<(Ids, RawSpan<'b>), Refusal> {
    let context = |key: &str, flat: &str| {
        let nested = root.get("context").and_then(|context| context.get(key));
        nested.or_else(|| root.get(flat))
    };
    let trace = bare(id_text(
        "trace_id",
        context("trace_id", "context.trace_id"),
    )?);
    let id = bare(id_text("span_id", context("span_id", "context.span_id"))?);
    let parent = root.get("parent_id").filter(|parent| !parent.is_text(""));
    let parent = match parent {
        Some(parent) => Some(bare(id_text("parent_id", Some(parent))?)),
        None => None,
    };
    let times = [
        nanos("start_time", root.get("start_time"))?,
        nanos("end_time", root.get("end_time"))?,
    ];
    let name = root.get("name").and_then(Value::words).unwrap_or_default();
    let mut span = span_of(name, times, attributes(root));
    let status = root.get("status");
    let code = status
        .and_then(|status| status.get("status_code"))
        .or_else(|| root.get("status_code"));
    span.status_code = match code.and_then(Value::text).as_deref() {
        Some("ERROR") => 2,
        Some("OK") => 1,
        _ => 0,
    };
    let message = status.and_then(|status| status.get("description"));
    let message = message.or_else(|| root.get("status_message"));
    span.status_message = message.and_then(Value::text).unwrap_or_default();
    let kind = root.get("kind").and_then(Value::text);
    let kinds = ["INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"];
    let kind = kind.and_then(|kind| kinds.iter().position(|known| kind.ends_with(known)));
    span.kind = kind.map_or(0, |at| at as i32 + 1);
    let events = root.get("events").into_iter().flat_map(Value::elements);
    span.events = events.map(event).collect();
    Ok((ids(&trace, &id, parent.as_deref())?, span))
}

/// Returns an id without the prefix of a hexadecimal number.
fn bare(id: Cow<'_, str>) -> String {
    id.strip_prefix("0x").unwrap_or(&id).to_owned()
}

fn attributes<'b>(root: Value<'b, '_>) -> Members<'b> {
    const READ: [&str; 13] = [
        "name",
        "context",
        "kind",
        "parent_id",
        "start_time",
        "end_time",
        "status",
        "status_code",
        "status_message",
        "attributes",
        "events",
        "resource",
        "span_kind",
    ];
    let mut out = flat(root.get("attributes"));
    let told = |out: &Members<'_>, name: &str| out.iter().any(|(key, _)| key == name);
    if let Some(kind) = root
        .get("span_kind")
        .filter(|_| !told(&out, "openinference.span.kind"))
    {
        out.push(("openinference.span.kind".into(), any(kind)));
    }
    for (key, value) in root
        .members()
        .filter(|(_, value)| value.kind() != Kind::Null)
    {
        let key = key.text().unwrap_or_default();
        if let Some(name) = key.strip_prefix("attributes.") {
            push_flat(&mut out, name.to_owned(), value, 0);
        } else if !READ.contains(&&*key) && !key.starts_with("context.") && !is_empty(value) {
            out.push((format!("printed.{key}").into(), any(value)));
        }
    }
    // Phoenix takes the metadata apart, which is one attribute to OpenInference.
    let mut metadata = Object::default();
    for (key, value) in &out {
        if let Some(name) = key.strip_prefix("metadata.") {
            metadata.raw(name, &value.to_json());
        }
    }
    if let Some(metadata) = metadata.finish().filter(|_| !told(&out, "metadata")) {
        out.push((
            "metadata".into(),
            Any::Text(metadata.as_str().to_owned().into()),
        ));
    }
    out
}

fn is_empty(value: Value<'_, '_>) -> bool {
    matches!(value.kind(), Kind::Array | Kind::Object) && value.is_empty()
}

/// Returns attributes with flat names.
fn flat<'b>(value: Option<Value<'b, '_>>) -> Members<'b> {
    let mut out = Vec::new();
    for (key, value) in value.into_iter().flat_map(Value::members) {
        push_flat(
            &mut out,
            key.text().unwrap_or_default().into_owned(),
            value,
            0,
        );
    }
    out
}

fn push_flat<'b>(out: &mut Members<'b>, name: String, value: Value<'b, '_>, level: usize) {
    match value.kind() {
        Kind::Null => {}
        Kind::Object if level < LEVELS_MAX && !value.is_empty() => {
            for (key, inner) in value.members() {
                let key = key.text().unwrap_or_default();
                push_flat(out, format!("{name}.{key}"), inner, level + 1);
            }
        }
        Kind::Array if level < LEVELS_MAX && value.elements().any(Value::is_object) => {
            for (at, inner) in value.elements().enumerate() {
                push_flat(out, format!("{name}.{at}"), inner, level + 1);
            }
        }
        Kind::Array => {
            let is_plain = |part: Value<'_, '_>| !matches!(part.kind(), Kind::Array | Kind::Object);
            let value = match value.elements().all(is_plain) {
                true => Any::List(value.elements().map(any).collect()),
                false => any(value),
            };
            out.push((name.into(), value));
        }
        _ => out.push((name.into(), any(value))),
    }
}

fn event<'b>(value: Value<'b, '_>) -> RawEvent<'b> {
    let nanos = nanos("timestamp", value.get("timestamp")).ok().flatten();
    RawEvent {
        nanos: nanos.unwrap_or(0),
        name: value.get("name").and_then(Value::text).unwrap_or_default(),
        attributes: Attributes::new(flat(value.get("attributes"))),
        dropped_attributes: 0,
        body: Any::Empty,
    }
}
