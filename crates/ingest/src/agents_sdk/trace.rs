//! Trace items, and what metadata says of a trace under keys that have a meaning here.

use model::{GroupId, JsonText, TraceItem};

use crate::json::{Kind, Value};

use super::Decoder;
use super::fields::{Extra, group_id, pick};
use super::refusal::Refusal;
use super::traces::TracePlace;

impl<'b> Decoder<'b, '_> {
    /// Decodes a trace item.
    pub(super) fn trace(&mut self, value: Value<'b, '_>) -> Result<(), Refusal> {
        let keys = [
            "object",
            "id",
            "workflow_name",
            "group_id",
            "metadata",
            "ended",
        ];
        let ([_, id, workflow_name, group, metadata, ended], mut extra) = pick(value, keys);
        let field = "id";
        let id = id.and_then(Value::text).ok_or(Refusal::NoId { field })?;
        let place = self.traces.find(field, &id)?;

        let mut item = TraceItem::new(self.traces.id(place), self.context.source);
        item.workflow_name = workflow_name.and_then(Value::scalar).map(Into::into);
        item.group_id = group_id("group_id", group)?;
        item.ended = ended.and_then(Value::bool);
        if let Some(metadata) = metadata {
            tell_metadata(&mut item, metadata, &mut extra);
            if item.group_id.is_none() {
                item.group_id = group_of(metadata);
            }
        }
        item.extra = extra.finish();
        self.batch.traces.push(item);
        Ok(())
    }

    /// Takes what a span says of its trace, so that the trace can be found before its own item
    /// comes. The group is left out: only the item knows whether it names one itself, and that one
    /// would be overruled.
    pub(super) fn trace_of_span(&mut self, place: TracePlace, metadata: Value<'b, '_>) {
        if !metadata.is_object()
            || metadata.is_empty()
            || !self.traces.is_new_metadata(place, metadata.raw())
        {
            return;
        }
        let mut item = TraceItem::new(self.traces.id(place), self.context.source);
        tell_metadata(&mut item, metadata, &mut Extra::default());
        self.batch.traces.push(item);
    }
}

/// Fills in metadata and its reserved keys. `{}` is how JavaScript says that nothing was told;
/// metadata that is no object is kept among the unknown keys.
fn tell_metadata(item: &mut TraceItem, metadata: Value<'_, '_>, extra: &mut Extra) {
    if !metadata.is_object() {
        extra.push("\"metadata\"", metadata.raw());
        return;
    }
    if metadata.is_empty() {
        return;
    }
    let text = |keys: &[&str]| first_scalar(metadata, keys);
    item.metadata = Some(JsonText::from_trusted(metadata.raw()));
    item.version = text(&["version", "release", "agent_version"]);
    item.agent_id = text(&["agent_id"]);
    item.user_id = text(&["user_id"]);
    item.environment = text(&["environment"]);
    item.tags = metadata.get("tags").and_then(tags);
}

fn first_scalar(metadata: Value<'_, '_>, keys: &[&str]) -> Option<String> {
    keys.iter()
        .find_map(|key| metadata.get(key)?.scalar())
        .map(Into::into)
}

/// Returns the group that metadata names; one that cannot be an id stays in the metadata alone.
fn group_of(metadata: Value<'_, '_>) -> Option<GroupId> {
    let text = first_scalar(metadata, &["group_id", "conversation_id", "session_id"])?;
    GroupId::new(&text).ok()
}

/// Returns tags from a list, or from a text with commas.
fn tags(value: Value<'_, '_>) -> Option<Vec<String>> {
    match value.kind() {
        Kind::Array => Some(
            value
                .elements()
                .filter_map(Value::scalar)
                .map(Into::into)
                .collect(),
        ),
        Kind::Object | Kind::Null => None,
        _ => {
            let text = value.scalar()?;
            let tags = text.split(',').map(str::trim).filter(|tag| !tag.is_empty());
            Some(tags.map(Into::into).collect())
        }
    }
}
