//! Whole requests: which decoder reads them, and what is wrong if none can.

use model::JsonText;

use crate::json::{Fault, push_json_string};

use super::any::{Any, push_object};
use super::form::{Group, RawResource, RawScope, Signal, Sink};
use super::wire::WireFault;
use super::{Encoding, SPANS_MAX, json, protobuf};

/// The request cannot be read at all, so nothing of it was taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// The body is not JSON, or it is JSON of another kind than an object.
    #[error("the body is not the JSON of an OTLP request: {reason}")]
    NotJson {
        /// What was expected at which byte.
        reason: String,
    },
    /// The body is no protobuf message of this kind.
    #[error("the body is not an OTLP request in protobuf: {reason}")]
    NotProtobuf {
        /// What is wrong where.
        reason: String,
    },
    /// The request holds more items than are taken at once.
    #[error("the request holds more than {SPANS_MAX} spans or log records: send smaller batches")]
    TooManyItems,
}

impl From<Fault> for EnvelopeError {
    fn from(fault: Fault) -> Self {
        EnvelopeError::NotJson {
            reason: fault.to_string(),
        }
    }
}

impl From<WireFault> for EnvelopeError {
    fn from(fault: WireFault) -> Self {
        EnvelopeError::NotProtobuf {
            reason: fault.to_string(),
        }
    }
}

/// Room for an object to begin with.
const OBJECT_BYTES: usize = 256;

/// Reads a request into `sink`.
pub(super) fn read<'b>(
    body: &'b [u8],
    encoding: Encoding,
    signal: Signal,
    sink: &mut dyn Sink<'b>,
) -> Result<(), EnvelopeError> {
    match encoding {
        Encoding::Protobuf => protobuf::read(body, signal, sink)?,
        Encoding::Json => json::read(body, signal, sink)?,
    }
    Ok(())
}

impl Group {
    /// Notes the resource of the spans that follow.
    pub(super) fn set_resource(&mut self, resource: RawResource<'_>, schema_url: &str) {
        let text = |keys: &[&str]| {
            let members = || resource.attributes.iter().rev();
            let value = keys
                .iter()
                .find_map(|key| members().find(|(known, _)| known == key));
            value.and_then(|(_, value)| value.scalar().map(String::from))
        };
        self.environment = text(&["deployment.environment.name", "deployment.environment"]);
        self.service_version = text(&["service.version"]);
        let mut out = String::new();
        part(&mut out, "attributes", &resource.attributes);
        count(
            &mut out,
            "dropped_attributes_count",
            resource.dropped_attributes,
        );
        told(&mut out, "schema_url", schema_url);
        self.resource = finish(out);
    }

    /// Notes the scope of the spans that follow.
    pub(super) fn set_scope(&mut self, scope: RawScope<'_>, schema_url: &str) {
        let mut out = String::new();
        told(&mut out, "name", &scope.name);
        told(&mut out, "version", &scope.version);
        part(&mut out, "attributes", &scope.attributes);
        count(
            &mut out,
            "dropped_attributes_count",
            scope.dropped_attributes,
        );
        told(&mut out, "schema_url", schema_url);
        self.scope = finish(out);
        self.scope_name = scope.name.into_owned();
        self.scope_version = scope.version.into_owned();
    }
}

/// Begins a member of an object.
pub(crate) fn key(out: &mut String, key: &str) {
    if out.is_empty() {
        // Most objects fit, and need not grow step by step.
        out.reserve(OBJECT_BYTES);
    }
    out.push(if out.is_empty() { '{' } else { ',' });
    push_json_string(out, key);
    out.push(':');
}

fn part(out: &mut String, name: &str, members: &[(std::borrow::Cow<'_, str>, Any<'_>)]) {
    if !members.is_empty() {
        key(out, name);
        push_object(out, members, 1);
    }
}

/// Appends a text member, unless the text is empty.
pub(crate) fn told(out: &mut String, name: &str, text: &str) {
    if !text.is_empty() {
        key(out, name);
        push_json_string(out, text);
    }
}

/// Appends a number member, unless it is 0.
pub(crate) fn count(out: &mut String, name: &str, number: impl Into<i64>) {
    let number: i64 = number.into();
    if number != 0 {
        key(out, name);
        out.push_str(&number.to_string());
    }
}

/// Appends a member that is JSON.
pub(crate) fn raw(out: &mut String, name: &str, json: &str) {
    key(out, name);
    out.push_str(json);
}

/// Returns the object, unless it has no members.
pub(crate) fn finish(mut out: String) -> Option<JsonText> {
    if out.is_empty() {
        return None;
    }
    out.push('}');
    Some(JsonText::from_trusted(out))
}
