//! What was sent comes back: the messages to the byte, the rest to the token.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use model::{Batch, Span};
use proptest::prelude::*;
use serde_json::value::RawValue;

use crate::support::{captures, compact, context, items, span_of};

#[derive(serde::Deserialize)]
struct Item<'a> {
    #[serde(borrow)]
    span_data: Option<&'a RawValue>,
}

fn restored(span: &Span, batch: &Batch) -> String {
    let messages: HashMap<_, _> = batch
        .messages
        .iter()
        .filter(|message| message.trace_id == span.trace_id)
        .map(|message| (message.hash, message.text()))
        .collect();
    let payload = &span.payload;
    let data = payload.data.as_ref().unwrap().as_str();
    let _: &RawValue = serde_json::from_str(data).expect("data is JSON");
    let content = |hash: &_| messages.get(hash).copied();
    model::payload::restore(data, &payload.input_refs, &payload.output_refs, content).unwrap()
}

fn check_messages(batch: &Batch, body: &[u8]) {
    let mut seen = HashSet::new();
    for message in &batch.messages {
        assert!(
            seen.insert((&message.trace_id, message.hash)),
            "{message:?} is there twice"
        );
        assert_eq!(message.hash, model::MessageHash::of(&message.content));
        assert!(
            body.as_ptr_range().contains(&message.content.as_ptr()),
            "a message is a copy"
        );
    }
}

#[test]
fn every_capture_comes_back_and_messages_are_slices_of_the_body() {
    for capture in captures() {
        for body in capture.bodies.iter().chain(&capture.printed) {
            let batch = ingest::agents_sdk::decode(body.clone(), &context()).unwrap();
            check_messages(&batch, body);
            let sent = items(body);
            let sent = sent
                .iter()
                .filter_map(|item| serde_json::from_str::<Item<'_>>(item).unwrap().span_data);
            let spans = batch.spans.iter().filter(|span| !span.derived);
            for (span, sent) in spans.zip(sent) {
                assert_eq!(
                    compact(&restored(span, &batch)),
                    compact(sent.get()),
                    "{} {}",
                    capture.name,
                    span.span_id
                );
            }
        }
    }
}

#[test]
fn a_history_that_grows_is_kept_once() {
    let message = |n: usize| format!(r#"{{"role":"user","content":"message {n}"}}"#);
    let span = |turn: usize| {
        let history: Vec<_> = (0..turn).map(message).collect();
        format!(
            r#"{{"object":"trace.span","id":"s{turn}","trace_id":"t","ended_at":"2026-01-02T03:04:06Z",
                "span_data":{{"type":"generation","input":[{}]}}}}"#,
            history.join(", ")
        )
    };
    let spans: Vec<_> = (1..=50).map(span).collect();
    let body = Bytes::from(format!("{{\"data\":[{}]}}", spans.join(",")));
    let batch = ingest::agents_sdk::decode(body, &context()).unwrap();
    assert_eq!(batch.messages.len(), 50);
    assert_eq!(batch.spans[49].payload.input_refs.len(), 50);
    assert_eq!(
        batch.spans[49].payload.data.as_ref().unwrap().as_str(),
        r#"{"type":"generation","input":["$ref:i0-49"]}"#
    );
    assert_eq!(
        batch.spans[10].payload.input_refs,
        batch.spans[49].payload.input_refs[..11]
    );
}

#[test]
fn short_values_stay_and_long_ones_are_cut() {
    let cases = [
        (r#"{"type":"function","input":"{}","output":"ok"}"#, 0, 0),
        (
            r#"{"type":"function","input":"LONG","output":{"text":"LONG"}}"#,
            1,
            1,
        ),
        (
            r#"{"type":"function","input":"{}","output":[{"a":1},{"b":"LONG"}]}"#,
            0,
            1,
        ),
        (r#"{"type":"generation","input":"hi","output":"ho"}"#, 0, 0),
        (
            r#"{"type":"generation","input":"LONG","output":[{},1,"LONG","x"]}"#,
            1,
            2,
        ),
        (
            r#"{"type":"response","input":[{"a":1},{"b":2}],"response":{"instructions":"Be brief.","tools":[{},{}],"output":[{}]}}"#,
            5,
            1,
        ),
        (r#"{"type":"response","input":null,"response":null}"#, 0, 0),
        (r#"{"type":"agent","name":"A","tools":["search"]}"#, 0, 0),
        (
            r#"{"type":"transcription","input":{"data":"LONG"},"output":"hi"}"#,
            1,
            0,
        ),
        (r#"{"type":"custom","data":{"input":"LONG"}}"#, 0, 0),
    ];
    for (span_data, input, output) in cases {
        let span_data = span_data.replace("LONG", &"long ".repeat(60));
        let batch = span_of(&span_data, "");
        let payload = &batch.spans[0].payload;
        assert_eq!(
            (payload.input_refs.len(), payload.output_refs.len()),
            (input, output),
            "{span_data}"
        );
        assert_eq!(restored(&batch.spans[0], &batch), span_data);
    }
}

/// JSON texts of every awkward sort, white space and equal keys included.
fn any_json() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        4 => "[a-z ]{0,8}",
        1 => Just(r"\ud800".to_owned()),
        1 => Just(r#"\u0000\"\\ud83e\udd80"#.to_owned()),
        1 => Just("$ref:i0".to_owned()),
        1 => Just("x\\\\".to_owned()),
        1 => "[é🦀,\\]\\[{}:]{0,6}",
        1 => "[a-z]{1}".prop_map(|text| text.repeat(300)),
    ];
    let string = text.prop_map(|text| format!("\"{text}\"")).boxed();
    let number = [
        "1.0",
        "-0",
        "1e400",
        "123456789012345678901234567890",
        "0.1e-7",
        "7",
    ];
    let leaf = prop_oneof![
        3 => string.clone(),
        1 => proptest::sample::select(number.to_vec()).prop_map(str::to_owned),
        1 => proptest::sample::select(vec!["null", "true", "false", "[]", "{}", "[ ]"]).prop_map(str::to_owned),
    ];
    let key = prop_oneof![
        4 => proptest::sample::select(vec!["role", "type", "content", "output", "$ref:o1", "input", "choices", "status"])
            .prop_map(|key| format!("\"{key}\"")),
        1 => string,
    ];
    let gap = proptest::sample::select(vec![",", ", ", " ,\n\t"]);
    leaf.prop_recursive(4, 60, 5, move |inner| {
        let list = (proptest::collection::vec(inner.clone(), 1..5), gap.clone())
            .prop_map(|(parts, gap)| format!("[{}]", parts.join(gap)));
        let member = (key.clone(), inner).prop_map(|(key, value)| format!("{key} : {value}"));
        let object = (proptest::collection::vec(member, 1..5), gap.clone())
            .prop_map(|(parts, gap)| format!("{{{}}}", parts.join(gap)));
        prop_oneof![list, object]
    })
}

fn any_span_data() -> impl Strategy<Value = String> {
    let key = proptest::sample::select(vec![
        "input",
        "output",
        "response",
        "instructions",
        "tools",
        "data",
        "name",
        "usage",
        "error",
    ]);
    let kind = proptest::sample::select(vec![
        "response",
        "generation",
        "function",
        "custom",
        "speech",
        "new_type",
    ]);
    let member = (key, any_json()).prop_map(|(key, value)| format!("\"{key}\":{value}"));
    (kind, proptest::collection::vec(member, 0..7))
        .prop_map(|(kind, members)| {
            [vec![format!("\"type\":\"{kind}\"")], members]
                .concat()
                .join(", ")
        })
        .prop_map(|members| format!("{{{members}}}"))
}

proptest! {
    #[test]
    fn any_span_data_comes_back(span_data in any_span_data()) {
        let batch = span_of(&span_data, "");
        let span = batch.spans.iter().find(|span| !span.derived).unwrap();
        prop_assert_eq!(compact(&restored(span, &batch)), compact(&span_data));
        for derived in batch.spans.iter().filter(|span| span.derived) {
            restored(derived, &batch);
        }
    }

    #[test]
    fn any_other_json_as_span_data_comes_back(span_data in any_json()) {
        prop_assume!(span_data != "null");
        let batch = span_of(&span_data, "");
        let span = batch.spans.iter().find(|span| !span.derived).unwrap();
        prop_assert_eq!(compact(&restored(span, &batch)), compact(&span_data));
    }
}
