//! The samples of testdata/imports: how much each holds, counted by hand in its README, and a picture.

use bytes::Bytes;
use ingest::imports::decode;

use crate::support::{context, counts, import, sample, samples, story};

/// Checks how much a sample holds, and that a second reading tells the same.
fn check(name: &str, want: &str) {
    let imported = import(sample(name));
    assert_eq!(counts(&imported), want, "{name}");
    assert_eq!(*imported.batch.rejected, []);
    assert_eq!(import(sample(name)).batch, imported.batch, "{name}");
    let told = story(&imported.batch);
    insta::with_settings!({snapshot_path => "snapshots", prepend_module_to_snapshot => false}, {
        insta::assert_snapshot!(name, told);
    });
}

#[test]
fn langfuse_traces_and_observations() {
    check("langfuse/traces.jsonl", "langfuse 2 9 0, ignored score 1");
    check("langfuse/traces.json", "langfuse 2 9 0, ignored score 1");
    check("langfuse/observations.json", "langfuse 7 7 0");
}

#[test]
fn mlflow_traces() {
    check("mlflow/traces.jsonl", "mlflow 2 8 0");
}

/// The schema of MLflow 2, as its `Trace.to_json` writes it.
#[test]
fn an_mlflow_trace_of_schema_2() {
    let body = r#"{"info":{"request_id":"tr-1","experiment_id":"0","timestamp_ms":1704164645500,"execution_time_ms":20,"status":"OK",
        "request_metadata":{"mlflow.trace.session":"s","team":"b"},"tags":{"mlflow.traceName":"agent"}},
        "data":{"spans":[{"name":"chat","context":{"span_id":"0xa5b3f47b95a1bfe5","trace_id":"0x1"},"parent_id":null,
        "start_time":1704164645500000000,"end_time":1704164645520000000,"status_code":"OK","status_message":"",
        "attributes":{"mlflow.spanType":"\"CHAT_MODEL\"","mlflow.spanInputs":"{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"},"events":[]}],
        "request":"{}","response":null}}"#;
    let imported = import(body);
    assert_eq!(counts(&imported), "mlflow 1 2 0");
    let want = r#"trace tr-1 workflow="agent" group="s" metadata="{\"team\":\"b\"}" ended="yes" extra="info"
  generation "chat" [CHAT_MODEL] success id=a5b3f47b95a1bfe5 parent=- took=20000us asked="hi"
    user: {"type":"text","content":"hi"}
"#;
    assert_eq!(story(&imported.batch), want);
}

#[test]
fn langsmith_runs() {
    check("langsmith/runs.jsonl", "langsmith 6 6 0");
}

#[test]
fn phoenix_spans() {
    check("phoenix/spans.jsonl", "phoenix 4 4 0");
    check("phoenix/rest.json", "phoenix 4 4 0");
    check("phoenix/dataframe.jsonl", "phoenix 4 4 0");
}

#[test]
fn inspect_logs() {
    check(
        "inspect/tools.json",
        "inspect 1 26 0, ignored eval_results 2, ignored score 2",
    );
    check("inspect/fails.json", "inspect 1 5 0");
}

#[test]
fn spans_as_an_sdk_prints_them() {
    check("otel-printed/console.json", "otel_printed 3 3 0");
}

#[test]
fn logs_of_requests() {
    check("request-log/option1.log", "request_log 3 6 0");
    check("request-log/responses.jsonl", "request_log 2 4 0");
}

#[test]
fn an_archive_of_inspect_is_refused_with_the_way_out() {
    let error = decode(sample("inspect/tools.eval"), &context()).unwrap_err();
    assert_eq!(error.code(), "unknown_format");
    assert!(
        error.to_string().contains("tracegrade import FILE"),
        "{error}"
    );
}

/// Requests of OTLP go to their decoder as they are: lines, protobuf, and frames of the Collector.
#[test]
fn dumps_of_otlp() {
    let folder = samples().join("../otlp/openinference-langgraph");
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let (json, proto) = (read("001.traces.json"), read("001.traces.pb"));
    let one = import(json.clone());
    let spans = one.batch.spans.len();
    assert!(spans > 5);
    let as_counted = |documents| format!("otlp_traces {documents} {} 0", documents * spans);
    let twice = [&json[..], b"\n", &json].concat();
    assert_eq!(counts(&import(twice)), as_counted(2));
    let in_protobuf = import(proto.clone());
    assert_eq!(in_protobuf.batch.spans.len(), spans);
    let frame = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat();
    let framed = import([frame(&proto), frame(&proto)].concat());
    assert_eq!(counts(&framed), as_counted(2));
    let same = |batch: &model::Batch| {
        let mut ids: Vec<_> = batch
            .spans
            .iter()
            .map(|span| span.span_id.clone())
            .collect();
        ids.sort();
        ids.dedup();
        ids
    };
    assert_eq!(same(&one.batch), same(&in_protobuf.batch));
    assert_eq!(same(&one.batch), same(&framed.batch));
}

#[test]
fn formats_may_be_mixed_and_one_bad_document_costs_itself() {
    let names = [
        "langfuse/traces.jsonl",
        "otel-printed/console.json",
        "request-log/option1.log",
        "langsmith/runs.jsonl",
    ];
    let mut body = Vec::new();
    for name in names {
        body.extend_from_slice(&sample(name));
        body.extend_from_slice(b"\nwhat is this\n{\"nobody\":\"knows\"}\n");
    }
    let imported = import(body);
    assert_eq!(
        counts(&imported),
        "otel_printed 3 3 0, langfuse 2 9 0, langsmith 6 6 0, request_log 3 6 0, ignored score 1"
    );
    let refused: Vec<_> = imported.batch.rejected.iter().map(|r| r.code).collect();
    assert_eq!(refused, ["not_a_document", "unknown_format"].repeat(4));
    assert_eq!(imported.documents[..2], [2, 2]);
}

#[test]
fn a_record_that_cannot_be_read_is_told_by_its_place() {
    let body = Bytes::from_static(
        br#"{"id":"a","run_type":"llm","start_time":"2024-01-01T00:00:00"}
{"id":"","run_type":"llm"}
{"id":"b","run_type":"llm","start_time":"yesterday"}
{"id":"t","observations":[{"id":"o","traceId":"t","type":"SPAN"},{"id":7,"traceId":"t","type":"SPAN"},"o2"]}"#,
    );
    let imported = import(body);
    assert_eq!(counts(&imported), "langfuse 1 3 1, langsmith 3 1 2");
    let refused: Vec<_> = imported
        .batch
        .rejected
        .iter()
        .map(|r| (r.code, r.index))
        .collect();
    assert_eq!(
        refused,
        [("bad_id", 0), ("bad_time", 0), ("not_a_record", 3)]
    );
    assert_eq!(imported.documents, [1, 2, 3]);
}
