//! MLflow: a trace is `info` and `data.spans`, as `Trace.to_json` writes it, schema 2 and 3.
//!
//! Its attributes are those that MLflow exports over OpenTelemetry: each the text of a JSON value. Ids
//! of spans are base64 in this form and hexadecimal everywhere else in MLflow; they are brought back.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::{GroupId, TraceId, TraceItem};

use crate::json::{Kind, Value};
use crate::otlp::{Any, Attributes, Ids, RawEvent, RawSpan, Run};

use super::To;
use super::record::{Members, Object, Refusal, any, id_text, ids, nanos, span, text};

/// Takes one trace.
pub(super) fn trace(root: Value<'_, '_>, to: &mut To<'_, '_>) {
    let info = root.get("info");
    let id = info.and_then(|info| info.get("trace_id").or_else(|| info.get("request_id")));
    let id = match id_text("info.trace_id", id) {
        Ok(id) => id,
        Err(refusal) => return to.item(Err(refusal)),
    };
    let spans = root.get("data").and_then(|data| data.get("spans"));
    for value in spans.into_iter().flat_map(Value::elements) {
        to.span(read(value, &id), Run::ToldBySpans);
    }
    let assessments = info.and_then(|info| info.get("assessments"));
    let assessments = assessments.map_or(0, |list| list.elements().count());
    to.tally.ignored("assessment", assessments);
    if let Some(info) = info {
        let item = TraceId::new(&id).map(|id| TraceItem {
            ended: Some(
                text(info.get("state").or_else(|| info.get("status")))
                    .is_none_or(|state| state != "IN_PROGRESS"),
            ),
            ..item(info, TraceItem::new(id, to.source))
        });
        to.item(item.map_err(|_| Refusal::BadId {
            field: "info.trace_id",
            found: id.into_owned(),
        }));
    }
}

fn read<'b>(value: Value<'b, '_>, trace: &str) -> Result<(Ids, RawSpan<'b>), Refusal> {
    let context = value.get("context");
    let id = value.get("span_id").or_else(|| context?.get("span_id"));
    let id = hexadecimal(id_text("span_id", id)?);
    let parent = value
        .get("parent_span_id")
        .or_else(|| value.get("parent_id"));
    let parent = match parent.filter(|parent| !parent.is_text("")) {
        Some(parent) => Some(hexadecimal(id_text("parent_span_id", Some(parent))?)),
        None => None,
    };
    let time = |keys: [&'static str; 2]| {
        let value = keys.iter().find_map(|key| value.get(key));
        nanos(keys[0], value)
    };
    let times = [
        time(["start_time_unix_nano", "start_time"])?,
        time(["end_time_unix_nano", "end_time"])?,
    ];
    let name = value.get("name").and_then(Value::words).unwrap_or_default();
    let mut span = span(name, times, attributes(value.get("attributes")));
    let status = value.get("status");
    let code = status
        .and_then(|status| status.get("code"))
        .or_else(|| value.get("status_code"));
    let code = text(code).unwrap_or_default();
    span.status_code = match code.rsplit('_').next().unwrap_or_default() {
        "ERROR" => 2,
        "OK" => 1,
        _ => 0,
    };
    let message = status.and_then(|status| status.get("message"));
    let message = message.or_else(|| value.get("status_message"));
    span.status_message = message.and_then(Value::text).unwrap_or_default();
    let events = value.get("events").into_iter().flat_map(Value::elements);
    span.events = events.map(event).collect();
    Ok((ids(trace, &id, parent.as_deref())?, span))
}

/// Returns attributes: the values are texts of JSON already.
fn attributes<'b>(value: Option<Value<'b, '_>>) -> Members<'b> {
    let members = value.into_iter().flat_map(Value::members);
    let told = members.filter(|(_, value)| value.kind() != Kind::Null);
    told.map(|(key, value)| (key.text().unwrap_or_default(), any(value)))
        .collect()
}

fn event<'b>(value: Value<'b, '_>) -> RawEvent<'b> {
    let time = value
        .get("time_unix_nano")
        .or_else(|| value.get("timestamp"));
    let nanos = nanos("time_unix_nano", time).ok().flatten();
    RawEvent {
        nanos: nanos.unwrap_or(0),
        name: value.get("name").and_then(Value::text).unwrap_or_default(),
        attributes: Attributes::new(attributes(value.get("attributes"))),
        dropped_attributes: 0,
        body: Any::Empty,
    }
}

/// Returns an id of 8 bytes as MLflow shows it; any other form stays as it is.
fn hexadecimal(id: Cow<'_, str>) -> String {
    let is_base64 = id.len() == 12 && id.ends_with('=');
    let bytes = STANDARD
        .decode(&*id)
        .ok()
        .filter(|bytes| is_base64 && bytes.len() == 8);
    match bytes {
        Some(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        None => id.trim_start_matches("0x").to_owned(),
    }
}

fn item(info: Value<'_, '_>, mut item: TraceItem) -> TraceItem {
    let about = ["trace_metadata", "request_metadata"]
        .iter()
        .find_map(|key| info.get(key));
    let of = |key: &str| text(about.and_then(|about| about.get(key)));
    let tags = info.get("tags");
    item.workflow_name = text(tags.and_then(|tags| tags.get("mlflow.traceName")));
    item.group_id = of("mlflow.trace.session").and_then(|session| GroupId::new(&session).ok());
    item.user_id = of("mlflow.trace.user");
    item.version = of("mlflow.source.git.commit");
    // Labels and metadata of people; what MLflow writes for itself stays with the rest of `info`.
    let mut metadata = Object::default();
    for (key, value) in [about, tags].into_iter().flatten().flat_map(Value::members) {
        let key = key.text().unwrap_or_default();
        if !key.starts_with("mlflow.") {
            metadata.raw(&key, value.raw());
        }
    }
    item.metadata = metadata.finish();
    let mut extra = Object::default();
    extra.raw("info", info.raw());
    item.extra = extra.finish();
    item
}
