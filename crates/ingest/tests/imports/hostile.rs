//! Bytes that nobody meant well: an answer or an error, never a panic, and every span restorable.

use ingest::imports::{Cutter, Format, Imported, Known, LangfuseBatch, decode};
use proptest::prelude::*;

use crate::support::{context, restored, sample};

fn check(bytes: &[u8]) -> Option<Imported> {
    let imported = decode(bytes.to_vec().into(), &context()).ok()?;
    for span in &imported.batch.spans {
        restored(span, &imported.batch.messages);
    }
    Some(imported)
}

const KEYS: &str = "id name type data spans traces runs observations traceId context span_id trace_id info \
    eval version samples epoch events target request response error choices output usage run_type \
    parent_run_id inputs outputs extra metadata child_runs attributes start_time timestamp span_kind \
    resourceSpans uuid attachments events_data messages input_refs event model input span_data object";

fn any_json() -> impl Strategy<Value = String> {
    let key = prop::sample::select(KEYS.split_whitespace().collect::<Vec<_>>());
    let leaf = prop::sample::select(vec![
        "null",
        "true",
        "0",
        "-1",
        "1e400",
        "17041646455000000000",
        "\"\"",
        "\"a\"",
        "\"2024-01-02T03:04:05Z\"",
        "\"attachment://a\"",
        "\"span_begin\"",
        "\"model\"",
        "\"tool\"",
        "\"SPAN\"",
        "[]",
        "{}",
        "[[0,9],[5,2]]",
    ]);
    let leaf = leaf.prop_map(str::to_owned);
    leaf.prop_recursive(6, 60, 6, move |inner| {
        let member = (key.clone(), inner.clone());
        prop_oneof![
            1 => prop::collection::vec(inner, 0..4).prop_map(|all| format!("[{}]", all.join(","))),
            4 => prop::collection::vec(member, 0..6).prop_map(|all| {
                let all: Vec<_> = all.iter().map(|(key, v)| format!("\"{key}\":{v}")).collect();
                format!("{{{}}}", all.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        check(&bytes);
        check(&[&b"\x0a"[..], &bytes].concat());
        check(&[&b"\0\0\0\x05\x0a"[..], &bytes].concat());
    }

    #[test]
    fn any_json_of_known_keys(text in any_json()) {
        check(text.as_bytes());
        let batch = format!(r#"{{"batch":[{{"id":"e","type":"span-create","body":{text}}},{{"type":"trace-create","body":{text}}}]}}"#);
        if let Ok(batch) = LangfuseBatch::read(batch.into()) {
            batch.traces();
            batch.decode(&Known::default(), &context());
        }
    }

    #[test]
    fn samples_with_a_hole(at in 0..60_000_usize, length in 0..40_usize) {
        for name in ["inspect/tools.json", "langfuse/traces.json", "mlflow/traces.jsonl", "phoenix/dataframe.jsonl", "request-log/option1.log"] {
            let mut bytes = sample(name).to_vec();
            let at = at % bytes.len();
            let end = (at + length).min(bytes.len());
            bytes.drain(at..end);
            check(&bytes);
        }
    }
}

#[test]
fn deep_nesting_is_refused_and_exhausts_no_stack() {
    for open in [
        "[",
        "{\"data\":[",
        "{\"a\":",
        "{\"name\":\"x\",\"context\":{},\"start_time\":1,\"attributes\":{\"a\":",
    ] {
        let deep = open.repeat(100_000);
        check(deep.as_bytes());
        let closed: String = open
            .chars()
            .rev()
            .filter_map(|c| match c {
                '[' => Some(']'),
                '{' => Some('}'),
                _ => None,
            })
            .collect();
        check(format!("{deep}1{}", closed.repeat(100_000)).as_bytes());
    }
}

#[test]
fn attachments_and_histories_that_would_multiply_are_refused() {
    let big = "x".repeat(4 << 20);
    let name = "\"attachment://a\",".repeat(100);
    let attached = format!(r#"[{{"event":"model","uuid":"m","timestamp":1,"input":[{name}0]}}]"#);
    let ranges = "[0,1000],".repeat(40);
    let pooled =
        format!(r#"[{{"event":"model","uuid":"m","timestamp":1,"input_refs":[{ranges}[0,1]]}}]"#);
    let pool = vec![format!("\"{}\"", "y".repeat(10_000)); 1_000].join(",");
    for events in [attached, pooled] {
        let log = format!(
            r#"{{"epoch":1,"target":"","uuid":"u","attachments":{{"a":"{big}"}},"events_data":{{"messages":[{pool}]}},"events":{events}}}"#
        );
        let imported = check(log.as_bytes()).unwrap();
        let codes: Vec<_> = imported.batch.rejected.iter().map(|r| r.code).collect();
        assert_eq!(codes, ["too_large"]);
        assert_eq!(imported.formats[0].format, Format::Inspect);
    }
}

#[test]
fn a_body_of_nothing_but_refusals_is_refused_itself() {
    for body in [
        "x\n".repeat(110_000),
        format!("[{}1]", "{},".repeat(110_000)),
    ] {
        let error = decode(body.into(), &context()).unwrap_err();
        assert_eq!(error.code(), "too_many_refused");
    }
}

#[test]
fn a_cutter_takes_no_more_than_it_may() {
    let mut cutter = Cutter::new(10);
    cutter.feed(b"[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24]");
    cutter.finish();
    assert_eq!(cutter.next().unwrap().unwrap_err().code(), "too_large");
    assert!(cutter.next().is_none());
}
