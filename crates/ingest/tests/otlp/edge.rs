//! Requests at the edges of the protocol: what the decoder answers lets a server answer as expected.

use ingest::otlp::{Encoding, decode_logs};
use serde_json::Value;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::{repository, try_decode};

fn body(case: &Value) -> Vec<u8> {
    match case["body"].as_str() {
        Some(text) => text.as_bytes().to_vec(),
        None => STANDARD
            .decode(case["body_base64"].as_str().unwrap())
            .unwrap(),
    }
}

/// What a server has to know before it can decode; `None`: it answers without decoding.
fn encoding(case: &Value) -> Option<Encoding> {
    let headers = case["headers"].as_object().unwrap();
    let is_plain = headers
        .get("Content-Encoding")
        .is_none_or(|coding| coding == "identity");
    let kind = headers.get("Content-Type")?.as_str()?.to_ascii_lowercase();
    let encoding = match kind.split(';').next()? {
        "application/json" => Encoding::Json,
        "application/x-protobuf" => Encoding::Protobuf,
        _ => return None,
    };
    (is_plain && case["method"] == "POST").then_some(encoding)
}

fn check_attributes(case: &Value, attributes: &Value) {
    let Some(want) = case.get("attributes") else {
        return;
    };
    for (key, want) in want.as_object().unwrap() {
        let got = &attributes[key];
        let fits = match want.as_str() {
            Some("absent") => got.is_null(),
            _ if want.is_f64() => got.as_f64() == want.as_f64(),
            _ => got == want,
        };
        assert!(fits, "{}: {key} is {got}, want {want}", case["name"]);
    }
}

#[test]
fn every_edge_case_is_answered_as_expected() {
    let text = std::fs::read(repository().join("testdata/otlp-edge/edge-cases.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_slice(&text).unwrap();
    let mut decoded = 0;
    for case in &cases {
        let Some(encoding) = encoding(case) else {
            continue;
        };
        let is_refused = case["status"].as_array().unwrap() == &[Value::from(400)];
        match case["path"].as_str().unwrap() {
            "/v1/logs" => assert!(decode_logs(body(case).into(), encoding).is_ok()),
            "/v1/traces" => match try_decode(&body(case), encoding) {
                Err(error) => assert!(is_refused, "{}: {error}", case["name"]),
                Ok(batch) => {
                    assert!(!is_refused, "{}", case["name"]);
                    let ids = batch
                        .spans
                        .iter()
                        .map(|span| (&span.trace_id, &span.span_id));
                    let stored = ids.collect::<std::collections::HashSet<_>>().len();
                    if let Some(want) = case["spans"].as_u64() {
                        assert_eq!(stored as u64, want, "{}", case["name"]);
                        assert_eq!(*batch.rejected, [], "{}", case["name"]);
                    }
                    if let Some(span) = batch.spans.first() {
                        let sent = span.payload.attributes.as_ref();
                        check_attributes(case, &sent.map_or(Value::Null, |json| json.to_value()));
                    }
                }
            },
            _ => continue,
        }
        decoded += 1;
    }
    assert!(decoded >= 44, "{decoded} of {} cases", cases.len());
}

fn check_rejected(name: &str, codes: &[&str], stored: usize) {
    let text = std::fs::read(repository().join("testdata/otlp-edge/edge-cases.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_slice(&text).unwrap();
    let case = cases.iter().find(|case| case["name"] == name).unwrap();
    let batch = try_decode(&body(case), Encoding::Json).unwrap();
    let got: Vec<_> = batch.rejected.iter().map(|bad| bad.code).collect();
    assert_eq!(got, codes, "{name}: {:?}", batch.rejected);
    assert_eq!(batch.spans.len(), stored, "{name}");
}

#[test]
fn a_bad_span_does_not_cost_the_good_ones() {
    check_rejected("bad-trace-id-length", &["bad_id"], 1);
    check_rejected("all-zero-ids", &["bad_id", "bad_id"], 1);
    check_rejected("missing-ids", &["bad_id"], 1);
    check_rejected("non-hex-id", &["bad_id"], 1);
    check_rejected("deep-nesting-2000", &["too_deep"], 0);
}

#[test]
fn nesting_of_some_hundred_levels_is_kept() {
    let levels = 300;
    let value = format!(
        "{}{{\"intValue\":\"1\"}}{}",
        "{\"arrayValue\":{\"values\":[".repeat(levels),
        "]}}".repeat(levels)
    );
    let body = format!(
        r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"traceId":"{:032x}","spanId":"{:016x}","attributes":[{{"key":"k","value":{value}}}]}}]}}]}}]}}"#,
        1, 1
    );
    let batch = try_decode(body.as_bytes(), Encoding::Json).unwrap();
    assert_eq!(*batch.rejected, []);
    let span = &batch.spans[0];
    let stored = [&span.payload.attributes, &span.payload.data];
    let brackets: usize = stored
        .into_iter()
        .flatten()
        .map(|json| json.as_str().matches('[').count())
        .sum::<usize>()
        + batch
            .messages
            .iter()
            .map(|message| message.text().matches('[').count())
            .sum::<usize>();
    assert_eq!(brackets, levels);
}

#[test]
fn official_sample_bodies_are_taken() {
    let read = |name: &str| std::fs::read(repository().join("testdata/otlp-examples").join(name));
    let batch = try_decode(&read("trace.json").unwrap(), Encoding::Json).unwrap();
    assert_eq!((batch.accepted, batch.rejected.len()), (1, 0));
    for name in ["logs.json", "events.json"] {
        let batch = decode_logs(read(name).unwrap().into(), Encoding::Json).unwrap();
        assert_eq!((batch.accepted, batch.ignored), (1, 1), "{name}");
    }
}

#[test]
fn logs_sent_to_the_traces_are_refused_by_their_ids() {
    let body =
        std::fs::read(repository().join("testdata/otlp/otel-openai-v2/002.logs.pb")).unwrap();
    let batch = try_decode(&body, Encoding::Protobuf).unwrap();
    assert_eq!(batch.accepted, 0);
    assert!(!batch.rejected.is_empty());
}
