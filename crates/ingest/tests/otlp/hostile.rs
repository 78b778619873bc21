//! Any bytes at all, captures with a byte changed or an end cut off, and requests made up at random:
//! never a panic, what is taken can be restored, and both encodings mean the same.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use ingest::otlp::{Encoding, contents, decode_logs};
use proptest::prelude::*;

use crate::support::{captures, repository, restored, try_decode};

/// Decodes, and reads everything back that was taken.
fn survive(body: &[u8], encoding: Encoding) {
    drop(decode_logs(body.to_vec().into(), encoding));
    let Ok(batch) = try_decode(body, encoding) else {
        return;
    };
    for span in &batch.spans {
        let data = restored(span, &batch.messages);
        let sent = ingest::otlp::Sent {
            span,
            data: data.as_deref(),
        };
        let told = ingest::otlp::attributes(sent);
        assert!(model::JsonText::parse(&told).is_ok(), "{told}");
        drop(contents(sent));
    }
}

#[test]
fn damaged_captures_do_no_harm() {
    for capture in captures() {
        for request in capture.requests.iter().chain(&capture.as_json) {
            let body = &request.body;
            for at in (0..body.len()).step_by(body.len() / 12 + 1) {
                survive(&body[..at], request.encoding);
                let mut changed = body.to_vec();
                changed[at] ^= 0x55;
                survive(&changed, request.encoding);
            }
        }
    }
}

#[test]
fn every_seed_of_the_fuzzers_is_taken_or_refused() {
    for (folder, encoding) in [
        ("otlp_protobuf", Encoding::Protobuf),
        ("otlp_json", Encoding::Json),
    ] {
        let corpus = repository().join("fuzz/corpus").join(folder);
        let seeds: Vec<_> = std::fs::read_dir(corpus).unwrap().collect();
        assert!(seeds.len() >= 10, "{folder}: {} seeds", seeds.len());
        for seed in seeds {
            survive(&std::fs::read(seed.unwrap().path()).unwrap(), encoding);
        }
    }
}

/// An attribute value in both encodings.
#[derive(Debug, Clone)]
struct Both {
    json: String,
    protobuf: Vec<u8>,
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn field(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    varint(out, number << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend(bytes);
}

fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn text(text: &str) -> Both {
    let mut protobuf = Vec::new();
    field(&mut protobuf, 1, text.as_bytes());
    let json = format!("{{\"stringValue\":{}}}", json_string(text));
    Both { json, protobuf }
}

fn int(value: i64) -> Both {
    let mut protobuf = vec![3 << 3];
    varint(&mut protobuf, value as u64);
    let json = format!("{{\"intValue\":\"{value}\"}}");
    Both { json, protobuf }
}

fn double(value: f64) -> Both {
    let mut protobuf = vec![4 << 3 | 1];
    protobuf.extend(value.to_le_bytes());
    let json = match (value.is_nan(), value.is_infinite()) {
        (true, _) => "\"NaN\"".to_owned(),
        (_, true) if value < 0.0 => "\"-Infinity\"".to_owned(),
        (_, true) => "\"Infinity\"".to_owned(),
        _ => format!("{value:?}"),
    };
    let json = format!("{{\"doubleValue\":{json}}}");
    Both { json, protobuf }
}

fn list(items: Vec<Both>) -> Both {
    let (mut inner, mut protobuf) = (Vec::new(), Vec::new());
    for item in &items {
        field(&mut inner, 1, &item.protobuf);
    }
    field(&mut protobuf, 5, &inner);
    let items: Vec<_> = items.into_iter().map(|item| item.json).collect();
    let json = format!("{{\"arrayValue\":{{\"values\":[{}]}}}}", items.join(","));
    Both { json, protobuf }
}

fn member(key: &str, value: &Both) -> Both {
    let mut protobuf = Vec::new();
    field(&mut protobuf, 1, key.as_bytes());
    field(&mut protobuf, 2, &value.protobuf);
    let json = format!("{{\"key\":{},\"value\":{}}}", json_string(key), value.json);
    Both { json, protobuf }
}

fn map(members: Vec<(String, Both)>) -> Both {
    let (mut inner, mut protobuf, mut json) = (Vec::new(), Vec::new(), Vec::new());
    for (key, value) in &members {
        let member = member(key, value);
        field(&mut inner, 1, &member.protobuf);
        json.push(member.json);
    }
    field(&mut protobuf, 6, &inner);
    let json = format!("{{\"kvlistValue\":{{\"values\":[{}]}}}}", json.join(","));
    Both { json, protobuf }
}

fn any_value() -> impl Strategy<Value = Both> {
    let leaf = prop_oneof![
        ".{0,20}".prop_map(|words| text(&words)),
        "[a-z\\[\\]{}\":, ]{0,400}".prop_map(|words| text(&words)),
        Just(text(
            r#"[{"role":"user","content":"a question of some length, so that it is cut out of the whole"}, {"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c","content":"what the tool gave back"},{"role":"user","content":"$ref:i0"}]"#
        )),
        any::<i64>().prop_map(int),
        any::<f64>().prop_map(double),
        any::<bool>().prop_map(|value| Both {
            json: format!("{{\"boolValue\":{value}}}"),
            protobuf: vec![2 << 3, u8::from(value)],
        }),
        Just(Both {
            json: "{}".to_owned(),
            protobuf: Vec::new()
        }),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(list),
            proptest::collection::vec((".{0,6}", inner), 0..4).prop_map(map),
        ]
    })
}

fn any_key() -> impl Strategy<Value = String> {
    let known = [
        "gen_ai.operation.name",
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.request.model",
        "gen_ai.usage.input_tokens",
        "gen_ai.tool.call.arguments",
        "openinference.span.kind",
        "llm.input_messages.0.message.content",
        "langfuse.observation.type",
        "langfuse.observation.usage_details",
        "traceloop.entity.input",
        "input.value",
        "logfire.span_type",
        "metadata",
        "tag.tags",
        "session.id",
        "error.type",
    ];
    prop_oneof![
        proptest::sample::select(known.to_vec()).prop_map(str::to_owned),
        ".{0,8}",
    ]
}

/// What the captures hold: names of scopes, and attributes as JSON text.
struct Told {
    scopes: Vec<String>,
    keys: Vec<String>,
    values: Vec<String>,
}

static TOLD: LazyLock<Told> = LazyLock::new(|| {
    let (mut scopes, mut keys, mut values) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for capture in captures() {
        for request in &capture.requests {
            let Ok(batch) = try_decode(&request.body, request.encoding) else {
                continue;
            };
            for span in &batch.spans {
                let data = restored(span, &batch.messages);
                let sent = ingest::otlp::Sent {
                    span,
                    data: data.as_deref(),
                };
                let told: serde_json::Map<String, serde_json::Value> =
                    serde_json::from_str(&ingest::otlp::attributes(sent)).unwrap();
                for (key, value) in told {
                    keys.insert(key);
                    values.insert(in_otlp(&value));
                }
                let scope = span.payload.scope.as_ref().map(|scope| scope.to_value());
                let name = scope.and_then(|scope| scope["name"].as_str().map(str::to_owned));
                scopes.extend(name);
            }
        }
    }
    Told {
        scopes: scopes.into_iter().collect(),
        keys: keys.into_iter().collect(),
        values: values.into_iter().collect(),
    }
});

/// Returns a value as OTLP writes it in JSON.
fn in_otlp(value: &serde_json::Value) -> String {
    use serde_json::Value;
    match value {
        Value::Null => "{}".to_owned(),
        Value::Bool(value) => format!("{{\"boolValue\":{value}}}"),
        Value::Number(value) if value.is_i64() => format!("{{\"intValue\":\"{value}\"}}"),
        Value::Number(value) => format!("{{\"doubleValue\":{value}}}"),
        Value::String(words) => text(words).json,
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(in_otlp).collect();
            format!("{{\"arrayValue\":{{\"values\":[{}]}}}}", items.join(","))
        }
        Value::Object(members) => {
            let member = |(key, value): (&String, &Value)| {
                format!(
                    "{{\"key\":{},\"value\":{}}}",
                    json_string(key),
                    in_otlp(value)
                )
            };
            let members: Vec<_> = members.iter().map(member).collect();
            format!("{{\"kvlistValue\":{{\"values\":[{}]}}}}", members.join(","))
        }
    }
}

/// Returns a span of attributes that dialects know, with values that were meant for others.
fn any_dialect() -> impl Strategy<Value = String> {
    let attribute = (
        proptest::sample::select(TOLD.keys.clone()),
        proptest::sample::select(TOLD.values.clone()),
    );
    let attribute = attribute
        .prop_map(|(key, value)| format!("{{\"key\":{},\"value\":{value}}}", json_string(&key)));
    (
        proptest::sample::select(TOLD.scopes.clone()),
        proptest::collection::vec(attribute, 0..10),
        0..3_u8,
    )
        .prop_map(|(scope, attributes, status)| {
            format!(
                r#"{{"resourceSpans":[{{"scopeSpans":[{{"scope":{{"name":{}}},"spans":[{{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331","name":"x","startTimeUnixNano":"1","endTimeUnixNano":"2","attributes":[{}],"status":{{"code":{status}}}}}]}}]}}]}}"#,
                json_string(&scope),
                attributes.join(",")
            )
        })
}

proptest! {
    #[test]
    fn any_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        survive(&bytes, Encoding::Protobuf);
        survive(&bytes, Encoding::Json);
    }

    #[test]
    fn attributes_of_all_dialects_on_one_span_do_no_harm(body in any_dialect()) {
        let batch = try_decode(body.as_bytes(), Encoding::Json).unwrap();
        prop_assert_eq!(batch.accepted, 1);
        survive(body.as_bytes(), Encoding::Json);
    }

    #[test]
    fn any_json_does_no_harm(
        text in "[\\[\\]{},: ]?(\"(resourceSpans|scopeSpans|spans|traceId|attributes|key|value)\"|[\\[\\]{},:0-9a]|null){0,40}",
    ) {
        survive(text.as_bytes(), Encoding::Json);
    }

    #[test]
    fn both_encodings_of_any_span_give_equal_batches(
        ids in (1_u128.., 1_u64..),
        name in ".{0,12}",
        times in any::<(u64, u64)>(),
        attributes in proptest::collection::vec((any_key(), any_value()), 0..8),
        status in (0_u64..4, ".{0,12}"),
    ) {
        let mut span = Vec::new();
        field(&mut span, 1, &ids.0.to_be_bytes());
        field(&mut span, 2, &ids.1.to_be_bytes());
        field(&mut span, 5, name.as_bytes());
        span.push(7 << 3 | 1);
        span.extend(times.0.to_le_bytes());
        span.push(8 << 3 | 1);
        span.extend(times.1.to_le_bytes());
        let mut json = Vec::new();
        for (key, value) in &attributes {
            let member = member(key, value);
            field(&mut span, 9, &member.protobuf);
            json.push(member.json);
        }
        let mut told = Vec::new();
        field(&mut told, 2, status.1.as_bytes());
        told.push(3 << 3);
        varint(&mut told, status.0);
        field(&mut span, 15, &told);
        let (mut scope, mut resource, mut body) = (Vec::new(), Vec::new(), Vec::new());
        field(&mut scope, 2, &span);
        field(&mut resource, 2, &scope);
        field(&mut body, 1, &resource);
        let json = format!(
            r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"traceId":"{:032x}","spanId":"{:016x}","name":{},"startTimeUnixNano":"{}","endTimeUnixNano":"{}","attributes":[{}],"status":{{"code":{},"message":{}}}}}]}}]}}]}}"#,
            ids.0, ids.1, json_string(&name), times.0, times.1, json.join(","), status.0, json_string(&status.1),
        );
        let of_protobuf = try_decode(&body, Encoding::Protobuf).unwrap();
        let of_json = try_decode(json.as_bytes(), Encoding::Json).unwrap();
        prop_assert_eq!(&of_protobuf, &of_json);
        prop_assert_eq!(of_json.accepted, 1);
        survive(&body, Encoding::Protobuf);
    }
}
