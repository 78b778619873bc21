//! Exports of whole traces: another server that takes them in tells the same.

use futures::{StreamExt, stream};
use reqwest::Method;
use serde_json::{Value, json};

use crate::capture;
use crate::otlp::{self, Sent, project};
use crate::support::{TestServer, batch, send};

/// Sends requests to a project.
async fn deliver(server: &TestServer, project: &str, requests: &[Sent]) {
    for sent in requests {
        let request = server
            .request(Method::POST, sent.path)
            .header("content-type", sent.content_type)
            .header("openai-project", project);
        let answer = send(request.body(sent.body.clone())).await;
        assert_eq!(answer.status, 200, "{project}: {}", answer.text);
        let told = answer.text.contains("reject") && !answer.text.contains("\"rejected\":[]");
        assert!(!told, "{project}: {}", answer.text);
    }
}

/// All captures, by name.
fn captures() -> Vec<(String, Vec<Sent>)> {
    let of_agents_sdk = capture::captures().into_iter().map(|path| {
        let bodies = capture::bodies(&path);
        let requests = bodies.into_iter().map(|body| Sent {
            path: "/v1/traces/ingest",
            content_type: "application/json",
            body: body.into_bytes(),
        });
        let file = path.file_name().unwrap().to_str().unwrap();
        let folder = path
            .parent()
            .unwrap()
            .file_name()
            .unwrap()
            .to_str()
            .unwrap();
        (format!("{folder} {file}"), requests.collect())
    });
    let of_otlp = otlp::captures().into_iter();
    let of_otlp = of_otlp.map(|capture| (format!("otlp {}", capture.name), capture.requests));
    of_agents_sdk.chain(of_otlp).collect()
}

/// Takes an export of a project.
async fn export(server: &TestServer, project: &str, format: &str) -> Vec<u8> {
    let path = format!("/v1/export?format={format}");
    let request = server.request(Method::GET, &path);
    let response = request
        .header("openai-project", project)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200, "{project} {format}");
    response.bytes().await.unwrap().to_vec()
}

/// Returns the requests that an export consists of.
fn requests(format: &str, mut body: &[u8]) -> Vec<Sent> {
    let is_logs = |needle: &[u8]| needle.starts_with(b"{\"resourceLogs\"");
    let lines = || {
        body.split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
    };
    match format {
        "agents-jsonl" => lines()
            .map(|line| {
                let line: Box<serde_json::value::RawValue> = serde_json::from_slice(line).unwrap();
                Sent {
                    path: "/v1/traces/ingest",
                    content_type: "application/json",
                    body: items(line.get()),
                }
            })
            .collect(),
        "otlp-proto" => {
            let mut requests = Vec::new();
            while let Some((length, rest)) = body.split_first_chunk::<4>() {
                let (request, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
                body = rest;
                // The first field of a span is its trace's id; that of a log record is a time.
                let is_logs = ingest::otlp::decode_logs(
                    bytes::Bytes::copy_from_slice(request),
                    ingest::otlp::Encoding::Protobuf,
                )
                .is_ok_and(|logs| !logs.records.is_empty());
                requests.push(Sent {
                    path: if is_logs { "/v1/logs" } else { "/v1/traces" },
                    content_type: "application/x-protobuf",
                    body: request.to_vec(),
                });
            }
            assert!(body.is_empty());
            requests
        }
        _ => lines()
            .map(|line| Sent {
                path: if is_logs(line) {
                    "/v1/logs"
                } else {
                    "/v1/traces"
                },
                content_type: "application/json",
                body: line.to_vec(),
            })
            .collect(),
    }
}

/// Returns the items of a line as a request.
fn items(line: &str) -> Vec<u8> {
    #[derive(serde::Deserialize)]
    struct Line<'a> {
        #[serde(borrow)]
        trace: &'a serde_json::value::RawValue,
        #[serde(borrow)]
        spans: Vec<&'a serde_json::value::RawValue>,
    }
    let line: Line<'_> = serde_json::from_str(line).unwrap();
    let items = [line.trace].into_iter().chain(line.spans);
    let items: Vec<&str> = items.map(|item| item.get()).collect();
    format!("{{\"data\":[{}]}}", items.join(",")).into_bytes()
}

/// What the API tells of a project, but for when it came and under what number.
async fn told(server: &TestServer, project: &str) -> Vec<Value> {
    let get = async |path: String| {
        let request = server.request(Method::GET, &path);
        let answer = send(request.header("openai-project", project)).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        answer.json()
    };
    let mut all = Vec::new();
    for trace in get("/v1/traces?limit=1000".into()).await["data"]
        .as_array()
        .unwrap()
    {
        let id = trace["id"].as_str().unwrap();
        let mut whole = get(format!("/v1/traces/{id}?payload=full")).await;
        without_arrival(&mut whole);
        let spans = whole["spans"].as_array_mut().unwrap();
        spans.sort_by_key(|span| format!("{} {}", span["started_at"], span["id"]));
        let conversation = get(format!("/v1/traces/{id}/conversation")).await;
        all.push(json!({ "trace": whole, "conversation": conversation["data"] }));
    }
    all.sort_by_key(|told| told["trace"]["id"].to_string());
    all
}

fn without_arrival(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(without_arrival),
        Value::Object(members) => {
            let is_open = members.get("open") == Some(&json!(true))
                || members.get("status") == Some(&json!("open"));
            members.retain(|key, _| {
                let is_of_arrival = ["received_at", "seq", "project_id"].contains(&key.as_str())
                    || key.ends_with("_received_at");
                // What is open lasts until now.
                let is_so_far = is_open && ["duration_ms", "overhead_ms"].contains(&key.as_str());
                !is_of_arrival && !is_so_far
            });
            members.values_mut().for_each(without_arrival);
        }
        _ => {}
    }
}

/// Says where two answers differ.
fn difference(at: &str, a: &Value, b: &Value) -> Option<String> {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
            let mut members = a.iter().zip(b.values());
            members.find_map(|((key, a), b)| difference(&format!("{at}.{key}"), a, b))
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let mut items = a.iter().zip(b).enumerate();
            items.find_map(|(n, (a, b))| difference(&format!("{at}[{n}]"), a, b))
        }
        _ => (a != b).then(|| format!("{at}: {a} became {b}")),
    }
}

const FORMATS: [&str; 4] = ["agents-jsonl", "otlp-json", "otlp-proto", "openinference"];

#[tokio::test]
async fn every_capture_comes_back_from_every_format() {
    let (first, second) = (TestServer::new().await, TestServer::new().await);
    let captures = captures();
    for (name, requests) in &captures {
        let project = project(&first, name).await;
        deliver(&first, &project, requests).await;
    }
    first.running().store().flush().await.unwrap();
    for (name, _) in &captures {
        for format in FORMATS {
            project(&second, &format!("{name} {format}")).await;
        }
    }
    let compared = stream::iter(&captures).map(|(name, _)| compare(&first, &second, name));
    let compared: Vec<_> = compared.buffer_unordered(8).collect().await;
    let compared: Vec<_> = compared.into_iter().flatten().collect();
    let wrong: Vec<&str> = compared.iter().filter_map(Option::as_deref).collect();
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(
        compared.len() > 300,
        "{} exports were compared",
        compared.len()
    );
}

/// Takes the project of a capture from one server to another in each format, and says where they
/// differ.
async fn compare(first: &TestServer, second: &TestServer, name: &str) -> Vec<Option<String>> {
    let from = name.replace(['.', ' '], "-");
    let want = Value::Array(told(first, &from).await);
    let mut found = Vec::new();
    for format in FORMATS {
        if format == "agents-jsonl" && name.starts_with("otlp") {
            // A translation: what of it must come back is checked where it is made.
            continue;
        }
        let body = export(first, &from, format).await;
        let to = format!("{name} {format}").replace(['.', ' '], "-");
        deliver(second, &to, &requests(format, &body)).await;
        let got = Value::Array(told(second, &to).await);
        let difference = difference("", &want, &got);
        found.push(difference.map(|difference| format!("{name} {format}: {difference}")));
    }
    found
}

#[tokio::test]
async fn formats_are_named_where_one_is_unknown_and_tables_are_no_traces() {
    let server = TestServer::new().await;
    server.ingest(batch("trace_a")).await;
    let refused = server.get("/v1/export?format=otlp").await;
    assert_eq!(refused.error(), (400, "invalid_parameter".to_owned()));
    assert!(
        refused.text.contains("otlp-json, otlp-proto"),
        "{}",
        refused.text
    );
    let refused = server.get("/v1/export?format=otlp-json&table=spans").await;
    assert_eq!(refused.json()["error"]["param"], "table");
    let all = server.get("/v1/export?format=jsonl").await;
    assert_eq!(all.text, server.get("/v1/export").await.text);
    assert_eq!(all.header("content-type"), "application/x-ndjson");
    let none = server
        .get("/v1/export?format=otlp-json&workflow_name=nobody")
        .await;
    assert_eq!((none.status.as_u16(), none.text.as_str()), (200, ""));
}
