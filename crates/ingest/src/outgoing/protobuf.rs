//! Requests of OpenTelemetry in protobuf: the way back of `otlp::protobuf`, field by field.

use crate::otlp::{
    Any, Attributes, RawEvent, RawItem, RawLink, RawLog, RawResource, RawScope, RawSpan,
};

use super::groups::{ResourceGroup, ScopeGroup};
use crate::protobuf::Message;

/// What requests of OpenTelemetry are made of.
trait Attributed {
    fn attributes(&mut self, field: u32, attributes: &Attributes<'_>);
    fn member(&mut self, field: u32, key: &str, value: &Any<'_>);
    fn any(&mut self, value: &Any<'_>);
}

impl Attributed for Message {
    fn attributes(&mut self, field: u32, attributes: &Attributes<'_>) {
        for (key, value) in attributes.iter() {
            self.member(field, key, value);
        }
    }

    fn member(&mut self, field: u32, key: &str, value: &Any<'_>) {
        self.message(field, |member| {
            member.bytes(1, key.as_bytes());
            member.message(2, |out| out.any(value));
        });
    }

    /// Writes the fields of an `AnyValue`, which says its kind even where the value is 0.
    fn any(&mut self, value: &Any<'_>) {
        match value {
            Any::Empty => {}
            Any::Text(text) => self.present(1, text.as_bytes()),
            Any::Bool(value) => self.present_varint(2, u64::from(*value)),
            Any::Int(value) => self.present_varint(3, *value as u64),
            Any::Double(number) => self.present_fixed64(4, number.to_bits()),
            // No 64 bits hold it.
            Any::Number(digits) => match value.number() {
                Some(number) => self.any(&Any::Double(number)),
                None => self.present(1, digits.as_bytes()),
            },
            Any::List(items) => self.message(5, |list| {
                for item in items {
                    list.message(1, |out| out.any(item));
                }
            }),
            Any::Map(members) => self.message(6, |map| {
                for (key, value) in members {
                    map.member(1, key, value);
                }
            }),
            Any::Bytes(bytes) => self.present(7, bytes),
        }
    }
}

/// Returns the request that the groups make up.
pub(super) fn request(groups: &[ResourceGroup<'_>]) -> Vec<u8> {
    let mut request = Message::default();
    for group in groups {
        request.message(1, |out| {
            out.message(1, |out| resource(out, &group.resource));
            for scope in &group.scopes {
                out.message(2, |out| scope_group(out, scope));
            }
            out.bytes(3, group.schema_url.as_bytes());
        });
    }
    request.into_bytes()
}

fn resource(out: &mut Message, resource: &RawResource<'_>) {
    for (key, value) in &resource.attributes {
        out.member(1, key, value);
    }
    out.varint(2, resource.dropped_attributes.into());
}

fn scope_group(out: &mut Message, group: &ScopeGroup<'_>) {
    out.message(1, |out| scope(out, &group.scope));
    for item in &group.items {
        match item {
            RawItem::Span(raw) => out.message(2, |out| span(out, raw)),
            RawItem::Log(raw) => out.message(2, |out| log(out, raw)),
        }
    }
    out.bytes(3, group.schema_url.as_bytes());
}

fn scope(out: &mut Message, scope: &RawScope<'_>) {
    out.bytes(1, scope.name.as_bytes());
    out.bytes(2, scope.version.as_bytes());
    for (key, value) in &scope.attributes {
        out.member(3, key, value);
    }
    out.varint(4, scope.dropped_attributes.into());
}

fn span(out: &mut Message, span: &RawSpan<'_>) {
    out.bytes(1, &span.trace_id);
    out.bytes(2, &span.span_id);
    out.bytes(3, span.trace_state.as_bytes());
    out.bytes(4, &span.parent_id);
    out.bytes(5, span.name.as_bytes());
    out.varint(6, span.kind as u64);
    out.fixed64(7, span.start_nanos);
    out.fixed64(8, span.end_nanos);
    out.attributes(9, &span.attributes);
    out.varint(10, span.dropped_attributes.into());
    for raw in &span.events {
        out.message(11, |out| event(out, raw));
    }
    out.varint(12, span.dropped_events.into());
    for raw in &span.links {
        out.message(13, |out| link(out, raw));
    }
    out.varint(14, span.dropped_links.into());
    if span.status_code != 0 || !span.status_message.is_empty() {
        out.message(15, |out| {
            out.bytes(2, span.status_message.as_bytes());
            out.varint(3, span.status_code as u64);
        });
    }
    out.fixed32(16, span.flags);
}

fn event(out: &mut Message, event: &RawEvent<'_>) {
    out.fixed64(1, event.nanos);
    out.bytes(2, event.name.as_bytes());
    out.attributes(3, &event.attributes);
    out.varint(4, event.dropped_attributes.into());
}

fn link(out: &mut Message, link: &RawLink<'_>) {
    out.bytes(1, &link.trace_id);
    out.bytes(2, &link.span_id);
    out.bytes(3, link.trace_state.as_bytes());
    out.attributes(4, &link.attributes);
    out.varint(5, link.dropped_attributes.into());
    out.fixed32(6, link.flags);
}

fn log(out: &mut Message, log: &RawLog<'_>) {
    out.fixed64(1, log.nanos);
    out.varint(2, log.severity_number as u64);
    out.bytes(3, log.severity_text.as_bytes());
    if log.body != Any::Empty {
        out.message(5, |out| out.any(&log.body));
    }
    out.attributes(6, &log.attributes);
    out.varint(7, log.dropped_attributes.into());
    out.fixed32(8, log.flags);
    out.bytes(9, &log.trace_id);
    out.bytes(10, &log.span_id);
    out.fixed64(11, log.observed_nanos);
    out.bytes(12, log.event_name.as_bytes());
}
