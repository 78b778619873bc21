//! Files of other products over HTTP, and the older way in of Langfuse: as they are sent, told back by the
//! API.

use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, TestServer, config, send, start};

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/imports")
}

pub(crate) fn sample(name: &str) -> Vec<u8> {
    std::fs::read(samples().join(name)).unwrap()
}

async fn import(server: &TestServer, body: Vec<u8>) -> Answer {
    send(server.request(Method::POST, "/v1/import").body(body)).await
}

/// Returns what was entered in the ledger for imports.
async fn ledger(server: &TestServer) -> Value {
    let health = server.get("/v1/health/ingest").await.json();
    let entries = health["data"].as_array().unwrap().clone();
    let of_imports = |entry: &Value| entry["source"] == "import";
    entries.into_iter().find(of_imports).unwrap_or_default()
}

#[tokio::test]
async fn files_of_all_products_in_one_body_are_kept_and_told_back() {
    let server = TestServer::new().await;
    let names = [
        "langfuse/traces.jsonl",
        "mlflow/traces.jsonl",
        "langsmith/runs.jsonl",
        "phoenix/spans.jsonl",
        "inspect/tools.json",
        "otel-printed/console.json",
        "request-log/option1.log",
    ];
    let mut body = Vec::new();
    for name in names {
        body.append(&mut sample(name));
        body.push(b'\n');
    }
    let answer = import(&server, body.clone()).await.json();
    let formats: Vec<_> = answer["formats"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| {
            (
                f["format"].as_str().unwrap(),
                f["documents"].as_u64().unwrap(),
                f["accepted"].as_u64().unwrap(),
            )
        })
        .collect();
    let want = [
        ("otel_printed", 3, 3),
        ("phoenix", 4, 4),
        ("langfuse", 2, 9),
        ("mlflow", 2, 8),
        ("langsmith", 6, 6),
        ("inspect", 1, 26),
        ("request_log", 3, 6),
    ];
    assert_eq!(formats, want);
    assert_eq!(answer["accepted"], 62);
    assert_eq!(answer["rejected_count"], 0);
    assert_eq!(answer["ignored"], json!({ "score": 3, "eval_results": 2 }));

    // Once more changes nothing.
    import(&server, body).await;
    let query = json!({ "query": "select count(*) as n, count(distinct source) as s from spans where source = 'import'" });
    let rows = server.post("/v1/sql", &query).await.json();
    assert_eq!(rows["data"][0], json!({ "n": 53, "s": 1 }));
    let traces = server.get("/v1/traces?limit=100").await.json();
    assert_eq!(traces["data"].as_array().unwrap().len(), 13);

    let run = server
        .get("/v1/traces/tr-2092217c790e5818326025fe34bee3e9?payload=full")
        .await
        .json();
    assert_eq!(run["workflow_name"], "refund_agent");
    assert_eq!(run["group_id"], "s-1");
    let spans = run["spans"].as_array().unwrap();
    let call = spans
        .iter()
        .find(|span| span["type"] == "generation")
        .unwrap();
    assert_eq!(call["input"][0]["role"], "system");
    assert_eq!(call["attributes"]["mlflow.spanType"], "\"CHAT_MODEL\"");
    assert_eq!(call["input_tokens"], 31);
    let failed = spans.iter().find(|span| span["status"] == "error").unwrap();
    assert_eq!(failed["error"]["type"], "ValueError");
}

#[tokio::test]
async fn what_is_refused_is_listed_with_its_document_and_counted() {
    let server = TestServer::new().await;
    let body = b"{\"id\":\"a\",\"run_type\":\"llm\"}\nwords\n{\"id\":\"\",\"run_type\":\"llm\"}\n{\"who\":\"knows\"}\n";
    let answer = import(&server, body.to_vec()).await.json();
    assert_eq!(
        (&answer["accepted"], &answer["rejected_count"]),
        (&json!(1), &json!(3))
    );
    let refused: Vec<_> = answer["rejected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| (r["document"].as_u64().unwrap(), r["code"].as_str().unwrap()))
        .collect();
    assert_eq!(
        refused,
        [(1, "not_a_document"), (1, "bad_id"), (2, "unknown_format")]
    );
    let entry = ledger(&server).await;
    assert_eq!(entry["accepted"], 1);
    assert_eq!(
        entry["rejected"],
        json!({ "not_a_document": 1, "bad_id": 1, "unknown_format": 1 })
    );

    assert_eq!(
        import(&server, b"words".to_vec()).await.error(),
        (400, "invalid_body".to_owned())
    );
    let zip = import(&server, sample("inspect/tools.eval")).await;
    assert!(zip.text.contains("tracegrade import FILE"), "{}", zip.text);
    assert_eq!(import(&server, Vec::new()).await.json()["accepted"], 0);
}

#[tokio::test]
async fn dumps_in_protobuf_and_compressed_bodies_are_read() {
    let server = TestServer::new().await;
    let dump =
        std::fs::read(samples().join("../otlp/openinference-langgraph/001.traces.pb")).unwrap();
    let framed = [&(dump.len() as u32).to_be_bytes()[..], &dump].concat();
    let plain = import(&server, dump).await.json();
    let body = zstd::encode_all(&framed[..], 1).unwrap();
    let request = server
        .request(Method::POST, "/v1/import")
        .header("content-encoding", "zstd");
    let answer = send(request.body(body)).await.json();
    assert_eq!(answer["formats"], plain["formats"]);
    assert_eq!(answer["formats"][0]["format"], "otlp_traces");
    // An OTLP span is told like one, though it came in a file.
    let traces = server.get("/v1/traces").await.json();
    let id = traces["data"][0]["id"].as_str().unwrap();
    let spans = server
        .get(&format!("/v1/traces/{id}/spans?payload=full"))
        .await
        .json();
    assert!(
        spans["data"][0]["attributes"].as_object().unwrap().len() > 1,
        "{spans}"
    );
}

pub(crate) async fn send_batch(server: &TestServer, body: String) -> Answer {
    let request = server.request(Method::POST, "/api/public/ingestion");
    send(request.basic_auth("pk-lf-1", Some("sk-lf-1")).body(body)).await
}

/// What the story of langfuse-v2/requests.jsonl is once all of it has come.
pub(crate) async fn check_story(server: &TestServer) {
    let trace = server
        .get("/v1/traces/455d0edf-c07e-4957-80b1-40621a3e6e0d?payload=full")
        .await
        .json();
    assert_eq!(trace["workflow_name"], "support");
    assert_eq!(trace["user_id"], "u-1");
    assert_eq!(trace["tags"], json!(["vip"]));
    let told: Vec<_> = trace["spans"]
        .as_array()
        .unwrap()
        .iter()
        .map(|span| {
            let text = |name: &str| span[name].as_str().unwrap_or("-").to_owned();
            (text("type"), text("name"), text("status"))
        })
        .collect();
    let of = |kind: &str, name: &str, status: &str| {
        (kind.to_owned(), name.to_owned(), status.to_owned())
    };
    assert_eq!(
        told,
        [
            of("custom", "look up", "success"),
            of("generation", "gpt-4o-mini", "success"),
            of("custom", "pay", "error"),
            of("custom", "clicked", "success"),
        ]
    );
    let spans = &trace["spans"];
    // The beginning came in the first request, the end in the third.
    assert_eq!(spans[0]["started_at"], "2026-11-28T15:04:30.094606Z");
    assert_eq!(spans[0]["ended_at"], "2026-11-28T15:04:31.420082Z");
    let metadata = &spans[0]["attributes"]["langfuse.observation.metadata"];
    assert_eq!(metadata, r#"{"region":"eu","try":2}"#);
    assert_eq!(
        spans[1]["input"][1]["parts"][0]["content"],
        "Where is my order?"
    );
    assert_eq!(spans[1]["output"][0]["parts"][0]["content"], "On its way.");
    assert_eq!(
        (&spans[1]["input_tokens"], &spans[1]["output_tokens"]),
        (&json!(12), &json!(4))
    );
    assert_eq!(spans[2]["error"]["message"], "card declined");
}

#[tokio::test]
async fn batches_of_langfuse_2_make_whole_spans() {
    let server = TestServer::new().await;
    let requests = String::from_utf8(sample("langfuse-v2/requests.jsonl")).unwrap();
    let mut events = 0;
    for request in requests.lines() {
        let sent: Value = serde_json::from_str(request).unwrap();
        let sent = sent["batch"].as_array().unwrap().len();
        let answer = send_batch(&server, request.to_owned()).await;
        assert_eq!(answer.status, 207, "{}", answer.text);
        assert_eq!(answer.json()["successes"].as_array().unwrap().len(), sent);
        assert_eq!(answer.json()["errors"], json!([]));
        events += sent as u64;
    }
    check_story(&server).await;
    let entry = ledger(&server).await;
    assert_eq!(entry["accepted"], events - 1);
    assert_eq!(entry["ignored"], json!({ "score": 1 }));
    // Sent again, as an SDK does that missed the answer.
    for request in requests.lines() {
        assert_eq!(send_batch(&server, request.to_owned()).await.status, 207);
    }
    check_story(&server).await;
}

#[tokio::test]
async fn an_update_finds_its_beginning_after_a_restart() {
    let server = TestServer::new().await;
    let requests = String::from_utf8(sample("langfuse-v2/requests.jsonl")).unwrap();
    let (first, rest) = requests.split_once('\n').unwrap();
    assert_eq!(send_batch(&server, first.to_owned()).await.status, 207);
    let dir = server.stop().await;
    let running = start(config(dir.path())).await;
    let url = format!("http://{}", running.address());
    let client = crate::support::client();
    for request in rest.lines() {
        let post = client
            .post(format!("{url}/api/public/ingestion"))
            .body(request.to_owned());
        assert_eq!(send(post).await.status, 207);
    }
    let trace = client.get(format!(
        "{url}/v1/traces/455d0edf-c07e-4957-80b1-40621a3e6e0d"
    ));
    let trace = send(trace).await.json();
    assert_eq!(trace["workflow_name"], "support");
    assert_eq!(trace["spans"][0]["name"], "look up");
    assert_eq!(trace["spans"][0]["duration_ms"], 1325.476);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_batch_is_refused_like_everything_else_without_a_key() {
    let server = TestServer::new().await;
    let (_, admin) = server
        .make_key(None, json!({ "name": "a", "scopes": ["admin"] }))
        .await;
    assert_eq!(send_batch(&server, "{}".to_owned()).await.status, 401);
    let (_, reader) = server
        .make_key(Some(&admin), json!({ "name": "r", "scopes": ["read"] }))
        .await;
    let with = |key: &str| {
        let request = server.request(Method::POST, "/api/public/ingestion");
        send(request.basic_auth("pk", Some(key)).body(r#"{"batch":[{"id":"1","type":"trace-create","body":{"id":"t"}},{"id":"2","type":"?"}]}"#))
    };
    assert_eq!(with(&reader).await.status, 403);
    let answer = with(&admin).await;
    assert_eq!(answer.status, 207);
    let told = answer.json();
    assert_eq!(told["successes"], json!([{ "id": "1", "status": 201 }]));
    assert_eq!(
        (&told["errors"][0]["id"], &told["errors"][0]["status"]),
        (&json!("2"), &json!(400))
    );
    let request = server.request(Method::POST, "/api/public/ingestion");
    let odd = send(request.basic_auth("pk", Some(&admin)).body("[]")).await;
    assert_eq!(odd.error(), (400, "invalid_body".to_owned()));
}
