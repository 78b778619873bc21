//! The OTLP receiver: requests at the edges of the protocol, and captures of real exporters, told back
//! by the API.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::support::{Answer, TestServer, send};

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata")
}

/// Makes a project of its own for a case and returns its id.
pub(crate) async fn project(server: &TestServer, name: &str) -> String {
    let id = name.replace(['.', ' '], "-");
    let made = server.post("/v1/projects", &json!({ "id": id })).await;
    assert_eq!(made.status, 200, "{}", made.text);
    id
}

async fn spans_in(server: &TestServer, project: &str) -> u64 {
    let query = json!({ "query": "select count(*) as n from spans" });
    let request = server.request(Method::POST, "/v1/sql").json(&query);
    let answer = send(request.header("openai-project", project)).await;
    answer.json()["data"][0]["n"].as_u64().unwrap()
}

fn edge_request(server: &TestServer, case: &Value) -> RequestBuilder {
    let method: Method = case["method"].as_str().unwrap().parse().unwrap();
    let mut request = server.request(method, case["path"].as_str().unwrap());
    for (name, value) in case["headers"].as_object().unwrap() {
        request = request.header(name, value.as_str().unwrap());
    }
    match case["body"].as_str() {
        Some(text) => request.body(text.to_owned()),
        None => {
            let body = case["body_base64"].as_str().unwrap_or_default();
            request.body(BASE64_STANDARD.decode(body).unwrap())
        }
    }
}

#[tokio::test]
async fn every_edge_case_is_answered_as_listed() {
    let server = TestServer::new().await;
    let text = std::fs::read(testdata().join("otlp-edge/edge-cases.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_slice(&text).unwrap();
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        if name == "get" {
            // The list of traces has the same address.
            continue;
        }
        let project = project(&server, name).await;
        let request = edge_request(&server, case).header("openai-project", &project);
        let answer = send(request).await;
        let listed = case["status"].as_array().unwrap();
        let status = Value::from(answer.status.as_u16());
        assert!(listed.contains(&status), "{name}: {answer:?}");
        check_form(name, case, &answer);
        if let Some(want) = case["spans"].as_u64() {
            assert_eq!(spans_in(&server, &project).await, want, "{name}");
        }
    }
    assert!(cases.len() >= 56);
}

/// An answer is in the form of the request, a refusal too.
fn check_form(name: &str, case: &Value, answer: &Answer) {
    let asked = case["headers"]["Content-Type"].as_str().unwrap_or_default();
    let is_protobuf = asked.ends_with("protobuf");
    if is_protobuf {
        assert_eq!(
            answer.header("content-type"),
            "application/x-protobuf",
            "{name}"
        );
        return;
    }
    assert!(
        answer
            .header("content-type")
            .starts_with("application/json"),
        "{name}"
    );
    let told = answer.json();
    if case["path"] != "/v1/nothing" && !answer.status.is_success() {
        assert!(
            told["code"].is_u64() && told["message"].is_string(),
            "{name}: {told}"
        );
    }
}

#[tokio::test]
async fn a_bad_span_is_counted_in_the_answer_and_in_the_books() {
    let server = TestServer::new().await;
    let body = json!({"resourceSpans": [{"scopeSpans": [{"spans": [
        {"traceId": "00000000000000000000000000000001", "spanId": "0000000000000001", "name": "a"},
        {"traceId": "01", "spanId": "0000000000000002"},
    ]}]}]});
    let answer = server.post("/v1/traces", &body).await;
    assert_eq!(answer.status, 200);
    let partial = &answer.json()["partialSuccess"];
    assert_eq!(partial["rejectedSpans"], "1");
    let message = partial["errorMessage"].as_str().unwrap();
    assert!(
        message.starts_with("item 1: \"traceId\" must be 16 bytes"),
        "{message}"
    );
    let books = server.get("/v1/health/ingest").await.json();
    let account = &books["data"][0];
    assert_eq!(account["source"], "otlp");
    assert_eq!(
        (&account["accepted"], &account["rejected"]["bad_id"]),
        (&json!(1), &json!(1))
    );
    for format in ["agents-jsonl", "otlp-json", "csv"] {
        let answer = server.get(&format!("/v1/export?format={format}")).await;
        assert_eq!(answer.status, 200, "{format}: {}", answer.text);
    }
    let metrics = server.post("/v1/metrics", &json!({})).await;
    assert!(
        metrics.text.contains("keeps no metrics"),
        "{}",
        metrics.text
    );
    let lost = server.post("/", &body).await;
    assert_eq!(lost.status, 404);
    assert!(
        lost.text.contains("OTLP goes to /v1/traces"),
        "{}",
        lost.text
    );
}

#[tokio::test]
async fn base_paths_and_the_keys_of_other_vendors_work() {
    let server = TestServer::new().await;
    let (_, admin) = server
        .make_key(None, json!({"name": "a", "scopes": ["admin"]}))
        .await;
    let key = json!({"name": "i", "scopes": ["ingest"]});
    let (_, key) = server.make_key(Some(&admin), key).await;
    let post = |path: &str| server.request(Method::POST, path).json(&json!({}));
    for path in [
        "/v1/traces",
        "/base/v1/traces",
        "/api/public/otel/v1/traces",
        "/otel/v1/logs",
    ] {
        let answer = send(post(path).basic_auth("pk", Some(&key))).await;
        assert_eq!(
            (answer.status.as_u16(), answer.text.as_str()),
            (200, "{}"),
            "{path}"
        );
    }
    let by_header = |name: &str| send(post("/v1/traces").header(name, &key));
    assert_eq!(by_header("x-api-key").await.status, 200);
    assert_eq!(by_header("authorization").await.status, 200);
    let refused = send(post("/v1/traces").bearer_auth("tg_wrong")).await;
    assert_eq!(
        (refused.status.as_u16(), &refused.json()["code"]),
        (401, &json!(16))
    );
    let books = server
        .request(Method::GET, "/v1/health/ingest")
        .bearer_auth(&admin);
    let books = send(books).await.json();
    let refused =
        books["data"].as_array().unwrap().iter().find(|account| {
            account["source"] == "otlp" && account["refused"]["invalid_api_key"] == 1
        });
    assert!(refused.is_some(), "{books}");
}

/// One request of a capture.
#[derive(Clone)]
pub(crate) struct Sent {
    pub(crate) path: &'static str,
    pub(crate) content_type: &'static str,
    pub(crate) body: Vec<u8>,
}

pub(crate) struct Capture {
    pub(crate) name: String,
    expected: Value,
    pub(crate) requests: Vec<Sent>,
}

pub(crate) fn captures() -> Vec<Capture> {
    let mut folders = vec![testdata().join("otlp")];
    folders.extend(std::env::var_os("TRACEGRADE_OTLP_CAPTURES").map(PathBuf::from));
    let paths = folders.iter().flat_map(|folder| sorted(folder));
    let captures: Vec<Capture> = paths
        .filter(|path| path.is_dir())
        .map(|p| capture(&p))
        .collect();
    assert!(captures.len() >= 24, "the captures are missing");
    captures
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn capture(folder: &Path) -> Capture {
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let requests = sorted(folder).into_iter().filter_map(|path| {
        let name = name(&path);
        let content_type = match name.ends_with(".pb") {
            true => "application/x-protobuf",
            false if name.ends_with(".otlp.json") => "application/json",
            false => return None,
        };
        let is_logs = name.contains(".logs.");
        Some(Sent {
            path: if is_logs { "/v1/logs" } else { "/v1/traces" },
            content_type,
            body: std::fs::read(path).unwrap(),
        })
    });
    let expected = std::fs::read(folder.join("expected.json")).unwrap();
    Capture {
        name: name(folder),
        expected: serde_json::from_slice(&expected).unwrap(),
        requests: requests.collect(),
    }
}

/// Sends requests to a project of their own and returns its traces with their spans.
pub(crate) async fn deliver(server: &TestServer, project: &str, requests: &[Sent]) -> Vec<Value> {
    for sent in requests {
        let request = server
            .request(Method::POST, sent.path)
            .body(sent.body.clone());
        let request = request.header("content-type", sent.content_type);
        let answer = send(request.header("openai-project", project)).await;
        assert_eq!(
            (answer.status.as_u16(), answer.text.as_str()),
            (
                200,
                match sent.content_type {
                    "application/json" => "{}",
                    _ => "",
                }
            )
        );
    }
    traces_of(server, project).await
}

/// Returns the traces of a project with their spans.
pub(crate) async fn traces_of(server: &TestServer, project: &str) -> Vec<Value> {
    let get = |path: String| {
        send(
            server
                .request(Method::GET, &path)
                .header("openai-project", project),
        )
    };
    let list = get("/v1/traces?limit=1000".to_owned()).await.json();
    let mut traces = Vec::new();
    for trace in list["data"].as_array().unwrap() {
        let id = trace["id"].as_str().unwrap();
        traces.push(get(format!("/v1/traces/{id}?payload=full")).await.json());
    }
    traces
}

/// What is wrong with what the API tells of a capture.
fn wrongs(expected: &Value, traces: &[Value]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut equal = |what: &str, got: Value, want: &Value| {
        let fits = match (got.as_u64(), want["min"].as_u64().zip(want["max"].as_u64())) {
            (Some(got), Some((min, max))) => (min..=max).contains(&got),
            _ => got == *want,
        };
        if !fits {
            wrong.push(format!("{what}: got {got}, want {want}"));
        }
    };
    let sum = |field: &str| {
        let values = traces.iter().filter_map(|trace| trace[field].as_i64());
        values.reduce(|a, b| a + b)
    };
    let spans = &expected["spans"];
    equal(
        "traces",
        traces.len().into(),
        &expected["payload"]["traces"],
    );
    equal(
        "generations",
        sum("generation_count").into(),
        &spans["generation"]["count"],
    );
    equal(
        "tools",
        sum("tool_call_count").into(),
        &spans["tool"]["count"],
    );
    equal(
        "tool errors",
        sum("tool_errors").into(),
        &spans["tool"]["failed"],
    );
    equal(
        "handoffs",
        sum("handoff_count").into(),
        &spans["handoff"]["count"],
    );
    let usage = &expected["usage"];
    equal("input tokens", json!(sum("input_tokens")), &usage["input"]);
    equal(
        "output tokens",
        json!(sum("output_tokens")),
        &usage["output"],
    );
    let told = told_spans(traces);
    for (what, kind) in [
        ("agent", "agent"),
        ("embedding", "embedding"),
        ("retrieval", "retrieval"),
    ] {
        let count = told.iter().filter(|span| span["type"] == kind).count();
        equal(what, count.into(), &spans[what]["count"]);
    }
    for call in spans["tool"]["calls"].as_array().unwrap() {
        let fits = |span: &&&Value| {
            span["type"] == "function"
                && span["name"] == call["name"]
                && (call["arguments"].is_null() || span["arguments"] == call["arguments"])
                && (call["result"].is_null() || span["result"] == call["result"])
        };
        if !told.iter().any(|span| fits(&span)) {
            wrong.push(format!("the tool call {call} is not told"));
        }
    }
    if let Some(answer) = expected["run"]["final_output"].as_str() {
        let is_told = traces.iter().any(|trace| trace["final_response"] == answer)
            || told.iter().any(|span| span["output_preview"] == answer);
        if !is_told {
            wrong.push(format!("the final output {answer:?} is not told"));
        }
    }
    wrong
}

fn told_spans(traces: &[Value]) -> Vec<&Value> {
    let spans = traces
        .iter()
        .flat_map(|trace| trace["spans"].as_array().unwrap());
    spans.filter(|span| span["noise"] == false).collect()
}

#[tokio::test]
async fn every_capture_is_told_as_it_happened_in_whatever_order_it_came() {
    let server = TestServer::new().await;
    let mut wrong = Vec::new();
    for capture in captures() {
        let backwards: Vec<Sent> = capture.requests.iter().rev().cloned().collect();
        let twice = [capture.requests.clone(), capture.requests.clone()].concat();
        for (how, requests) in [
            ("sent", capture.requests),
            ("backwards", backwards),
            ("twice", twice),
        ] {
            let project = project(&server, &format!("{} {how}", capture.name)).await;
            let traces = deliver(&server, &project, &requests).await;
            let wrongs = wrongs(&capture.expected, &traces);
            wrong.extend(
                wrongs
                    .into_iter()
                    .map(|w| format!("{} {how}: {w}", capture.name)),
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn content_that_came_as_log_records_is_on_its_span_before_and_after_it_is_in_files() {
    let server = TestServer::new().await;
    let capture = capture(&testdata().join("otlp/otel-openai-v2"));
    let deliver_all = [capture.requests.clone(), capture.requests].concat();
    let mut told = Vec::new();
    for _ in 0..2 {
        let traces = deliver(&server, "default", &deliver_all).await;
        let spans: Vec<Value> = told_spans(&traces).into_iter().cloned().collect();
        let asked = spans.iter().filter(|span| span["input"].is_array()).count();
        assert!(asked >= 5, "the messages of {asked} spans are told");
        let content = |span: &Value| {
            (
                span["id"].clone(),
                span["input"].clone(),
                span["output"].clone(),
            )
        };
        told.push(spans.iter().map(content).collect::<Vec<_>>());
        server.running().store().flush().await.unwrap();
    }
    assert_eq!(told[0], told[1]);
    let books = server.get("/v1/health/ingest").await.json();
    assert_eq!(books["data"][0]["rejected"], json!({}));
}

#[tokio::test]
async fn what_a_record_says_of_an_inner_double_is_told_by_the_outer_call() {
    let server = TestServer::new().await;
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let (trace, outer, inner) = ("0a".repeat(16), "01".repeat(8), "02".repeat(8));
    let call = |id: &str, parent: &str, start: &str| {
        json!({
            "traceId": trace, "spanId": id, "parentSpanId": parent, "name": "chat m",
            "startTimeUnixNano": start, "endTimeUnixNano": "1790000009000000000",
            "attributes": [text("gen_ai.operation.name", "chat"), text("gen_ai.request.model", "m")],
        })
    };
    let (first, second) = (
        call(&outer, "", "1790000000000000000"),
        call(&inner, &outer, "1790000001000000000"),
    );
    let spans = |spans: &[&Value]| {
        let body = json!({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]});
        ("/v1/traces", body)
    };
    let body = json!({"kvlistValue": {"values": [text("content", "what was asked")]}});
    let record = json!({
        "traceId": trace, "spanId": inner, "eventName": "gen_ai.user.message",
        "timeUnixNano": "1790000002000000000", "body": body,
        "attributes": [text("gen_ai.system", "openai")],
    });
    let record = || {
        let body = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]});
        ("/v1/logs", body)
    };
    for (name, requests) in [
        ("together", vec![spans(&[&first, &second]), record()]),
        ("apart", vec![spans(&[&second]), spans(&[&first]), record()]),
        (
            "before",
            vec![record(), spans(&[&first]), spans(&[&second])],
        ),
    ] {
        let project = project(&server, name).await;
        let named = |request: RequestBuilder| request.header("openai-project", &project);
        for (path, body) in &requests {
            let request = named(server.request(Method::POST, path)).json(body);
            assert_eq!(send(request).await.status, 200);
            server.running().store().flush().await.unwrap();
        }
        for payload in ["preview", "full"] {
            let path = format!("/v1/traces/{trace}?payload={payload}");
            let told = send(named(server.request(Method::GET, &path))).await.json();
            let spans = told["spans"].as_array().unwrap();
            assert_eq!((spans.len(), &spans[0]["id"]), (1, &json!(outer)), "{name}");
            let asked = (&spans[0]["input_preview"], &told["input_preview"]);
            let want = json!("what was asked");
            assert_eq!(asked, (&want, &want), "{name} {payload}");
        }
    }
    // A merge has the whole trace in hand and writes down what readers found.
    // The server may have been faster.
    server.running().store().compact().await.unwrap();
    let files = server.get("/metrics").await.text;
    let merged = "tracegrade_files{table=\"spans\",level=\"hour\"} 1";
    assert!(files.contains(merged), "{files}");
    for project in ["together", "apart", "before"] {
        let query = "select span_id, merged_into, input_preview from spans order by started_at";
        let request = server.request(Method::POST, "/v1/sql");
        let request = request.json(&json!({ "query": query }));
        let answer = send(request.header("openai-project", project)).await.json();
        let told = |at: usize, name: &str| answer["data"][at][name].clone();
        assert_eq!(told(0, "span_id"), outer, "{answer}");
        assert_eq!(told(0, "merged_into"), Value::Null, "{answer}");
        assert_eq!(told(0, "input_preview"), "what was asked", "{answer}");
        assert_eq!(told(1, "merged_into"), outer, "{answer}");
        assert_eq!(told(1, "input_preview"), "what was asked", "{answer}");
        assert_eq!(told(2, "merged_into"), inner, "{answer}");
    }
}
