//! JSON kept as the text that came in: number text, key order and escapes are the sender's.

use std::fmt;

/// A text that is known to be one valid JSON value.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct JsonText(Box<str>);

/// The text is not one JSON value; says where it stops being one.
#[derive(Debug, thiserror::Error)]
#[error("not JSON: {0}")]
pub struct NotJson(#[from] serde_json::Error);

impl JsonText {
    /// Returns `text` if it is one JSON value, surrounding white space removed.
    pub fn parse(text: &str) -> Result<Self, NotJson> {
        let raw: &serde_json::value::RawValue = serde_json::from_str(text)?;
        Ok(Self(raw.get().into()))
    }

    /// Wraps a text whose validity the caller has proved (it came out of a JSON parser or out of
    /// our own files, whose checksums were verified).
    pub fn from_trusted(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// Returns the value's JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the value as a tree, for code off the hot path.
    pub fn to_value(&self) -> serde_json::Value {
        serde_json::from_str(&self.0).unwrap_or(serde_json::Value::Null)
    }
}

impl fmt::Debug for JsonText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl serde::Serialize for JsonText {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let raw = serde_json::value::RawValue::from_string(self.0.to_string())
            .map_err(serde::ser::Error::custom)?;
        raw.serialize(s)
    }
}
