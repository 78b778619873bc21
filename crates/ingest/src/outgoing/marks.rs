//! Attributes that we write for ourselves: what OpenTelemetry has no place for, so that a trace that
//! comes back is the trace that went out.
//!
//! They are read by `otlp::restored`, and nobody else needs to look at them.

use std::borrow::Cow;

use model::{GroupId, JsonText, Source, TraceId, TraceItem};

use crate::json::{Value, json_string};
use crate::messages::Doc;
use crate::otlp::Any;
use crate::otlp::envelope::{finish, raw, told};

/// What all of them begin with.
pub(crate) const PREFIX: &str = "tracegrade.";

/// The item of the Agents SDK that a span was made from: JSON.
pub(crate) const ITEM: &str = "tracegrade.item";

/// The way in that an item came.
pub(crate) const SOURCE: &str = "tracegrade.source";

/// What is known of the trace as a whole: JSON.
pub(crate) const TRACE: &str = "tracegrade.trace";

/// The attributes of a span that its sender did not send; `llm.tools.` stands for all that begin so.
pub(crate) const ADDED: &str = "tracegrade.added";

/// Says that the span was made up, and that another span tells what it tells.
pub(crate) const MADE: &str = "tracegrade.made";

/// A key and its value.
pub(super) type Member = (Cow<'static, str>, Any<'static>);

/// Returns an attribute that is a text.
pub(super) fn text(key: &'static str, text: impl Into<String>) -> Member {
    (Cow::Borrowed(key), Any::Text(Cow::Owned(text.into())))
}

/// Returns what is known of a trace as JSON.
pub(super) fn trace_json(item: &TraceItem) -> String {
    let mut out = String::new();
    told(&mut out, "id", item.trace_id.as_str());
    told(&mut out, "source", item.source.as_str());
    let group = item.group_id.as_ref().map(|group| group.as_str());
    let texts = [
        ("workflow_name", item.workflow_name.as_deref()),
        ("group_id", group),
        ("user_id", item.user_id.as_deref()),
        ("agent_id", item.agent_id.as_deref()),
        ("version", item.version.as_deref()),
        ("environment", item.environment.as_deref()),
    ];
    for (key, text) in texts {
        if let Some(text) = text {
            raw(&mut out, key, &json_string(text));
        }
    }
    if let Some(tags) = &item.tags {
        let tags: Vec<_> = tags.iter().map(|tag| json_string(tag)).collect();
        raw(&mut out, "tags", &format!("[{}]", tags.join(",")));
    }
    for (key, json) in [("metadata", &item.metadata), ("extra", &item.extra)] {
        if let Some(json) = json {
            raw(&mut out, key, json.as_str());
        }
    }
    if let Some(ended) = item.ended {
        raw(&mut out, "ended", if ended { "true" } else { "false" });
    }
    finish(out).map_or_else(String::new, |json| json.as_str().to_owned())
}

/// Returns what [`trace_json`] wrote of a trace; a trace that came as OpenTelemetry is said to have
/// come as `source` does.
pub(crate) fn read_trace(json: &str, source: Source) -> Option<TraceItem> {
    let doc = Doc::parse_container(json)?;
    let root = doc.root();
    let text = |key: &str| root.get(key)?.text().map(Cow::into_owned);
    let object = |key: &str| {
        let value = root.get(key).filter(|value| value.is_object())?;
        Some(JsonText::from_trusted(value.raw()))
    };
    let mut item = TraceItem::new(TraceId::new(&text("id")?).ok()?, source);
    item.source = source_of(text("source").as_deref(), source);
    item.workflow_name = text("workflow_name");
    item.group_id = text("group_id").and_then(|id| GroupId::new(&id).ok());
    item.user_id = text("user_id");
    item.agent_id = text("agent_id");
    item.version = text("version");
    item.environment = text("environment");
    let tags = |tags: Value<'_, '_>| {
        let texts = tags.elements().filter_map(Value::text);
        texts.map(Cow::into_owned).collect()
    };
    item.tags = root.get("tags").map(tags);
    item.metadata = object("metadata");
    item.extra = object("extra");
    item.ended = root.get("ended").and_then(Value::bool);
    Some(item)
}

/// Returns the way in that a row came before it went out. One that came as OpenTelemetry comes as
/// whatever brings it now.
pub(crate) fn source_of(told: Option<&str>, now: Source) -> Source {
    let told = told.and_then(|word| word.parse().ok());
    told.filter(|source| *source != Source::Otlp).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_read_as_it_was_written() {
        let mut item = TraceItem::new(TraceId::new("trace_1").unwrap(), Source::Proxy);
        let check = |item: &TraceItem| {
            assert_eq!(
                read_trace(&trace_json(item), Source::Otlp).as_ref(),
                Some(item)
            );
        };
        check(&item);
        item.workflow_name = Some(String::new());
        item.group_id = Some(GroupId::new("g\"").unwrap());
        item.user_id = Some("u".into());
        item.agent_id = Some("a".into());
        item.version = Some("1".into());
        item.environment = Some("é".into());
        item.tags = Some(vec!["a,b".into(), String::new()]);
        item.metadata = Some(JsonText::from_trusted(r#"{"n":1.50}"#));
        item.extra = Some(JsonText::from_trusted(r#"{"k":[]}"#));
        item.ended = Some(false);
        check(&item);
        item.tags = Some(Vec::new());
        check(&item);
        assert_eq!(read_trace("{}", Source::Otlp), None);
        assert_eq!(read_trace("[", Source::Otlp), None);
    }
}
