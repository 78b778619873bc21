//! Whatever attributes hold goes out and comes back, and our own marks in a stranger's hand do no harm.

use bytes::Bytes;
use ingest::otlp::{Encoding, decode_traces};
use ingest::outgoing::Request;
use model::Source;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::roundtrip::{FORMS, differences};
use crate::support::{World, context};

fn any_value() -> impl Strategy<Value = Value> {
    let long = proptest::collection::vec("[a-zé\"\\\\ ]{0,40}", 0..12);
    let leaf = prop_oneof![
        ".{0,20}".prop_map(|text| json!({ "stringValue": text })),
        long.prop_map(|texts| json!({ "stringValue": json!([{ "role": "user", "content": texts }]).to_string() })),
        any::<bool>().prop_map(|value| json!({ "boolValue": value })),
        any::<i64>().prop_map(|value| json!({ "intValue": value.to_string() })),
        any::<f64>()
            .prop_filter("JSON has no words for the others", |value| value.is_finite())
            .prop_map(|value| json!({ "doubleValue": value })),
        Just(json!({})),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let list = proptest::collection::vec(inner.clone(), 0..4);
        let map = proptest::collection::vec(("[a-c]{1,2}", inner), 0..4);
        prop_oneof![
            list.prop_map(|values| json!({ "arrayValue": { "values": values } })),
            map.prop_map(|members| json!({ "kvlistValue": { "values": members.into_iter().map(|(key, value)| json!({ "key": key, "value": value })).collect::<Vec<_>>() } })),
        ]
    })
}

fn key() -> impl Strategy<Value = String> {
    const KNOWN: [&str; 9] = [
        "gen_ai.operation.name",
        "gen_ai.input.messages",
        "openinference.span.kind",
        "llm.input_messages.0.message.content",
        "llm.model_name",
        "input.value",
        "logfire.span_type",
        "metadata",
        "tag.tags",
    ];
    prop_oneof![
        proptest::sample::select(&KNOWN[..]).prop_map(str::to_owned),
        "[a-z.]{1,8}",
    ]
}

fn request(attributes: &[(String, Value)]) -> Value {
    let attributes: Vec<_> = attributes
        .iter()
        .map(|(key, value)| json!({ "key": key, "value": value }))
        .collect();
    json!({"resourceSpans": [{"resource": {"attributes": attributes}, "schemaUrl": "s", "scopeSpans": [{
        "scope": {"name": "n", "version": "1", "attributes": attributes, "droppedAttributesCount": 1},
        "spans": [{
            "traceId": "00000000000000000000000000000001", "spanId": "0000000000000001", "name": "n", "kind": 3,
            "traceState": "a=b", "flags": 257, "startTimeUnixNano": "1780000000000000001", "endTimeUnixNano": "1780000000000000999",
            "attributes": attributes, "droppedAttributesCount": 2, "droppedEventsCount": 3, "droppedLinksCount": 4,
            "events": [{"name": "e", "timeUnixNano": "7", "attributes": attributes, "droppedAttributesCount": 5}],
            "links": [{"traceId": "00000000000000000000000000000002", "spanId": "0000000000000002", "traceState": "c", "flags": 1, "attributes": attributes}],
            "status": {"code": 2, "message": "m"},
        }],
    }]}]})
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_attributes_come_back(attributes in proptest::collection::vec((key(), any_value()), 0..6)) {
        let mut world = World::default();
        let body = request(&attributes).to_string().into_bytes();
        world.take_request(Request { is_logs: false, body }, Encoding::Json);
        for (dialect, encoding) in FORMS {
            let second = world.sent_on(dialect, encoding);
            prop_assert_eq!(differences(&world, &second), Vec::<String>::new());
        }
    }

    #[test]
    fn marks_of_a_stranger_never_panic(
        item in prop_oneof![".{0,40}", Just("{\"object\":\"trace.span\",\"id\":\"s\",\"trace_id\":\"t\"}".to_owned()), Just("{}".to_owned())],
        trace in prop_oneof![".{0,40}", Just("{\"id\":\"t\",\"tags\":[1,\"a\"],\"group_id\":\"\"}".to_owned())],
        added in any_value(),
        made in any_value(),
    ) {
        let attributes = [
            ("tracegrade.item".to_owned(), json!({ "stringValue": item })),
            ("tracegrade.trace".to_owned(), json!({ "stringValue": trace })),
            ("tracegrade.added".to_owned(), added),
            ("tracegrade.made".to_owned(), made),
        ];
        for take in [0..4, 0..3, 1..3] {
            let body = Bytes::from(request(&attributes[take]).to_string());
            let batch = decode_traces(body, Encoding::Json, &context(Source::Otlp)).unwrap();
            prop_assert_eq!(batch.accepted + batch.rejected.len(), 1);
        }
    }
}
