//! Requests of OpenTelemetry in JSON, as the specification writes it: ids in hexadecimal, enums as
//! numbers, 64-bit integers as texts, what is 0 or empty left out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::json::push_json_string;
use crate::otlp::envelope::{count, finish, key, raw, told};
use crate::otlp::{Any, Attributes, RawEvent, RawItem, RawLink, RawLog, RawSpan, Signal, hex};

use super::groups::{ResourceGroup, ScopeGroup};

/// Returns the request that the groups make up.
pub(super) fn request(signal: Signal, groups: &[ResourceGroup<'_>]) -> Vec<u8> {
    let (resources, scopes, items) = match signal {
        Signal::Traces => ("resourceSpans", "scopeSpans", "spans"),
        Signal::Logs => ("resourceLogs", "scopeLogs", "logRecords"),
    };
    let groups = list(groups, |group| {
        let mut out = String::new();
        let resource = &group.resource;
        raw(
            &mut out,
            "resource",
            &object(|out| {
                members(out, &resource.attributes);
                count(out, "droppedAttributesCount", resource.dropped_attributes);
            }),
        );
        raw(
            &mut out,
            scopes,
            &list(&group.scopes, |group| scope_group(group, items)),
        );
        told(&mut out, "schemaUrl", &group.schema_url);
        close(out)
    });
    let mut out = String::new();
    raw(&mut out, resources, &groups);
    close(out).into_bytes()
}

/// Returns the object that `write` writes the members of.
fn object(write: impl FnOnce(&mut String)) -> String {
    let mut out = String::new();
    write(&mut out);
    close(out)
}

fn close(out: String) -> String {
    finish(out).map_or_else(|| "{}".to_owned(), |json| json.as_str().to_owned())
}

fn list<T>(items: &[T], write: impl Fn(&T) -> String) -> String {
    let mut out = String::from("[");
    for (n, item) in items.iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        out.push_str(&write(item));
    }
    out.push(']');
    out
}

fn some<T>(out: &mut String, name: &str, items: &[T], write: impl Fn(&T) -> String) {
    if !items.is_empty() {
        raw(out, name, &list(items, write));
    }
}

fn nanos(out: &mut String, name: &str, nanos: u64) {
    if nanos > 0 {
        told(out, name, &nanos.to_string());
    }
}

type Member<'b> = (std::borrow::Cow<'b, str>, Any<'b>);

fn members(out: &mut String, members: &[Member<'_>]) {
    some(out, "attributes", members, |(key, value)| {
        member(key, value)
    });
}

fn attributes(out: &mut String, attributes: &Attributes<'_>) {
    let all: Vec<_> = attributes.iter().collect();
    some(out, "attributes", &all, |(key, value)| member(key, value));
}

fn member(name: &str, value: &Any<'_>) -> String {
    object(|out| {
        key(out, "key");
        push_json_string(out, name);
        raw(out, "value", &any(value));
    })
}

fn any(value: &Any<'_>) -> String {
    let text = |kind: &str, text: &str| {
        object(|out| {
            key(out, kind);
            push_json_string(out, text);
        })
    };
    match value {
        Any::Empty => "{}".to_owned(),
        Any::Text(words) => text("stringValue", words),
        Any::Bool(value) => format!("{{\"boolValue\":{value}}}"),
        Any::Int(value) => format!("{{\"intValue\":\"{value}\"}}"),
        // No 64 bits hold it.
        Any::Number(digits) => match value.number() {
            Some(number) => any(&Any::Double(number)),
            None => text("stringValue", digits),
        },
        Any::Double(_) => format!("{{\"doubleValue\":{}}}", value.to_json()),
        Any::Bytes(bytes) => text("bytesValue", &STANDARD.encode(bytes)),
        Any::List(items) => {
            let values = object(|out| raw(out, "values", &list(items, any)));
            object(|out| raw(out, "arrayValue", &values))
        }
        Any::Map(items) => {
            let list = list(items, |(key, value)| member(key, value));
            let values = object(|out| raw(out, "values", &list));
            object(|out| raw(out, "kvlistValue", &values))
        }
    }
}

fn scope_group(group: &ScopeGroup<'_>, items: &str) -> String {
    let scope = &group.scope;
    let scope = object(|out| {
        told(out, "name", &scope.name);
        told(out, "version", &scope.version);
        members(out, &scope.attributes);
        count(out, "droppedAttributesCount", scope.dropped_attributes);
    });
    object(|out| {
        raw(out, "scope", &scope);
        let list = list(&group.items, |item| match item {
            RawItem::Span(raw) => span(raw),
            RawItem::Log(raw) => log(raw),
        });
        raw(out, items, &list);
        told(out, "schemaUrl", &group.schema_url);
    })
}

fn span(span: &RawSpan<'_>) -> String {
    object(|out| {
        told(out, "traceId", &hex(&span.trace_id));
        told(out, "spanId", &hex(&span.span_id));
        told(out, "traceState", &span.trace_state);
        told(out, "parentSpanId", &hex(&span.parent_id));
        count(out, "flags", span.flags);
        told(out, "name", &span.name);
        count(out, "kind", span.kind);
        nanos(out, "startTimeUnixNano", span.start_nanos);
        nanos(out, "endTimeUnixNano", span.end_nanos);
        attributes(out, &span.attributes);
        count(out, "droppedAttributesCount", span.dropped_attributes);
        some(out, "events", &span.events, event);
        count(out, "droppedEventsCount", span.dropped_events);
        some(out, "links", &span.links, link);
        count(out, "droppedLinksCount", span.dropped_links);
        let status = object(|out| {
            told(out, "message", &span.status_message);
            count(out, "code", span.status_code);
        });
        raw(out, "status", &status);
    })
}

fn event(event: &RawEvent<'_>) -> String {
    object(|out| {
        nanos(out, "timeUnixNano", event.nanos);
        told(out, "name", &event.name);
        attributes(out, &event.attributes);
        count(out, "droppedAttributesCount", event.dropped_attributes);
    })
}

fn link(link: &RawLink<'_>) -> String {
    object(|out| {
        told(out, "traceId", &hex(&link.trace_id));
        told(out, "spanId", &hex(&link.span_id));
        told(out, "traceState", &link.trace_state);
        attributes(out, &link.attributes);
        count(out, "droppedAttributesCount", link.dropped_attributes);
        count(out, "flags", link.flags);
    })
}

fn log(log: &RawLog<'_>) -> String {
    object(|out| {
        nanos(out, "timeUnixNano", log.nanos);
        nanos(out, "observedTimeUnixNano", log.observed_nanos);
        count(out, "severityNumber", log.severity_number);
        told(out, "severityText", &log.severity_text);
        if log.body != Any::Empty {
            raw(out, "body", &any(&log.body));
        }
        attributes(out, &log.attributes);
        count(out, "droppedAttributesCount", log.dropped_attributes);
        count(out, "flags", log.flags);
        told(out, "traceId", &hex(&log.trace_id));
        told(out, "spanId", &hex(&log.span_id));
        told(out, "eventName", &log.event_name);
    })
}
