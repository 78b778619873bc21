//! What was sent can be read back, and both encodings of a request mean the same.

use std::collections::BTreeMap;

use ingest::otlp::{Encoding, attributes, contents};
use serde_json::Value;

use crate::support::{Run, captures, restored, try_decode};

/// An `AnyValue` of canonical JSON as plain JSON.
fn plain(any: &Value) -> Value {
    let Some((kind, value)) = any.as_object().and_then(|any| any.iter().next()) else {
        return Value::Null;
    };
    let list = |value: &Value| value["values"].as_array().cloned().unwrap_or_default();
    match kind.as_str() {
        "intValue" => match value.as_str() {
            Some(text) => serde_json::from_str(text).unwrap(),
            None => value.clone(),
        },
        "arrayValue" => list(value).iter().map(plain).collect(),
        "kvlistValue" => members(&list(value)),
        _ => value.clone(),
    }
}

fn members(list: &[Value]) -> Value {
    let members = list.iter().map(|member| {
        (
            member["key"].as_str().unwrap().to_owned(),
            plain(&member["value"]),
        )
    });
    Value::Object(members.collect())
}

/// Doubles without a fraction come as either kind of number.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

/// The spans of canonical JSON by their ids.
fn sent_spans(body: &[u8]) -> BTreeMap<String, Value> {
    let body: Value = serde_json::from_slice(body).unwrap();
    let mut spans = BTreeMap::new();
    for group in body["resourceSpans"].as_array().unwrap() {
        for scope in group["scopeSpans"].as_array().unwrap() {
            for span in scope["spans"].as_array().unwrap() {
                let mut span = span.clone();
                span["resource"] = group["resource"].clone();
                span["scope"] = scope["scope"].clone();
                spans.insert(span["spanId"].as_str().unwrap().to_owned(), span);
            }
        }
    }
    spans
}

#[test]
fn everything_that_was_sent_is_read_back() {
    let mut checked = 0;
    for capture in captures() {
        for request in capture.as_json.iter().filter(|request| !request.is_logs) {
            let sent = sent_spans(&request.body);
            let batch = try_decode(&request.body, request.encoding).unwrap();
            for span in &batch.spans {
                let name = &capture.name;
                let want = &sent[span.span_id.as_str()];
                let data = restored(span, &batch.messages);
                let back = attributes(ingest::otlp::Sent {
                    span,
                    data: data.as_deref(),
                });
                let back: Value = serde_json::from_str(&back).unwrap();
                let list = want["attributes"].as_array().cloned().unwrap_or_default();
                assert!(same(&back, &members(&list)), "{name} {back}");
                let payload = &span.payload;
                let of = |text: &Option<model::JsonText>| {
                    text.as_ref().map_or(Value::Null, |text| text.to_value())
                };
                let events = want["events"].as_array().cloned().unwrap_or_default();
                let stored = of(&payload.events);
                for (event, stored) in events.iter().zip(stored.as_array().into_iter().flatten()) {
                    assert_eq!(stored["name"], event["name"], "{name}");
                    assert_eq!(stored["time_unix_nano"], event["timeUnixNano"], "{name}");
                    let list = event["attributes"].as_array().cloned().unwrap_or_default();
                    let told = stored.get("attributes").cloned();
                    assert!(
                        same(&told.unwrap_or(members(&[])), &members(&list)),
                        "{name}"
                    );
                }
                let resource = want["resource"]["attributes"].as_array().unwrap();
                assert!(
                    same(&of(&payload.resource)["attributes"], &members(resource)),
                    "{name}"
                );
                assert_eq!(of(&payload.scope)["name"], want["scope"]["name"], "{name}");
                let extra = of(&payload.extra);
                assert_eq!(
                    extra["end_time_unix_nano"], want["endTimeUnixNano"],
                    "{name}"
                );
                checked += 1;
            }
        }
    }
    assert!(checked > 250, "{checked} spans");
}

#[test]
fn protobuf_and_json_of_a_capture_give_equal_batches() {
    for capture in captures() {
        let pairs = capture.requests.iter().zip(&capture.as_json);
        for (sent, json) in pairs.filter(|(sent, _)| sent.encoding == Encoding::Protobuf) {
            if sent.is_logs {
                let read = |request: &crate::support::Request| {
                    ingest::otlp::decode_logs(request.body.clone(), request.encoding).unwrap()
                };
                assert_eq!(read(sent), read(json), "{}", capture.name);
                continue;
            }
            let sent = try_decode(&sent.body, sent.encoding).unwrap();
            let json = try_decode(&json.body, json.encoding).unwrap();
            assert_eq!(sent, json, "{}", capture.name);
        }
    }
}

#[test]
fn model_calls_with_content_have_messages_on_both_sides() {
    for capture in captures() {
        let run = Run::of(&capture.requests);
        for span in run.spans.iter().filter(|span| {
            span.span_type == model::SpanType::Generation
                && span.is_counted()
                && span.status == model::SpanStatus::Success
        }) {
            let told = run.sent(span, contents);
            let name = format!("{} {}", capture.name, span.span_id);
            assert!(!told.input.is_empty(), "{name}: no input");
            let roles: Vec<_> = told.input.iter().map(|message| &message.role).collect();
            assert!(
                roles.iter().any(|role| *role == "user"),
                "{name}: {roles:?}"
            );
            let json = serde_json::to_string(&told).unwrap();
            assert!(!json.contains("\"type\":\"other\""), "{name}: {json}");
        }
    }
}
