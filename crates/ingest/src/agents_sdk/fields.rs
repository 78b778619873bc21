//! The outer keys of an item: those we know by name, and the rest as sent.

use model::{GroupId, JsonText, SpanId, Time};

use crate::json::{Kind, Value};

use super::refusal::Refusal;

/// The keys that nobody here knows, on their way to `extra`.
#[derive(Debug, Default)]
pub(super) struct Extra(String);

impl Extra {
    /// Adds a member as sent; `key` is JSON text.
    pub(super) fn push(&mut self, key: &str, value: &str) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.0.push_str(key);
        self.0.push(':');
        self.0.push_str(value);
    }

    /// Returns an object of the members, if there are any.
    pub(super) fn finish(mut self) -> Option<JsonText> {
        if self.0.is_empty() {
            return None;
        }
        self.0.push('}');
        Some(JsonText::from_trusted(self.0))
    }
}

/// Returns the values of `keys` in their order, null as `None` and of equal keys the last, and the
/// members under any other key.
pub(super) fn pick<'b, 't, const N: usize>(
    item: Value<'b, 't>,
    keys: [&str; N],
) -> ([Option<Value<'b, 't>>; N], Extra) {
    let mut found = [None; N];
    let mut extra = Extra::default();
    for (key, value) in item.members() {
        match keys.iter().position(|known| key.is_text(known)) {
            Some(place) => found[place] = Some(value).filter(|value| value.kind() != Kind::Null),
            None => extra.push(key.raw(), value.raw()),
        }
    }
    (found, extra)
}

/// Returns a moment, `None` if none was told.
pub(super) fn time(
    field: &'static str,
    value: Option<Value<'_, '_>>,
) -> Result<Option<Time>, Refusal> {
    let Some(value) = value else { return Ok(None) };
    let text = value.text().ok_or(Refusal::NoTime { field })?;
    Time::parse_rfc3339(&text)
        .map(Some)
        .map_err(|source| Refusal::BadTime { field, source })
}

/// Returns the id of the item itself.
pub(super) fn span_id(
    field: &'static str,
    value: Option<Value<'_, '_>>,
) -> Result<SpanId, Refusal> {
    let text = value.and_then(Value::text).ok_or(Refusal::NoId { field })?;
    SpanId::new(&text).map_err(|source| Refusal::BadId { field, source })
}

/// Returns the parent's id; the empty one is "no parent".
pub(super) fn parent_id(
    field: &'static str,
    value: Option<Value<'_, '_>>,
) -> Result<Option<SpanId>, Refusal> {
    match value {
        Some(value) if !value.is_text("") => span_id(field, Some(value)).map(Some),
        _ => Ok(None),
    }
}

/// Returns a group's id, which several frameworks send as a number; the empty one is "none".
pub(super) fn group_id(
    field: &'static str,
    value: Option<Value<'_, '_>>,
) -> Result<Option<GroupId>, Refusal> {
    let Some(value) = value.filter(|value| !value.is_text("")) else {
        return Ok(None);
    };
    let text = value.scalar().ok_or(Refusal::NoId { field })?;
    GroupId::new(&text)
        .map(Some)
        .map_err(|source| Refusal::BadId { field, source })
}
