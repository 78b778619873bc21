//! Sending traces: what is taken, what is not, and what the sender is told.

use std::io::Write;
use std::path::{Path, PathBuf};

use model::{ProjectId, TraceId};
use reqwest::Method;
use serde_json::json;

use crate::support::{Answer, TestServer, batch, send};

pub(crate) fn captures() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata");
    let folders = ["openai-agents", "openai-agents-js"].map(|name| root.join(name));
    let files = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let paths = files.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|ext| ext == "json"))
        .collect()
}

/// The bodies that one program sent.
pub(crate) fn bodies(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    let capture: serde_json::Value = serde_json::from_str(&text).unwrap();
    let requests = capture["requests"].as_array().unwrap();
    requests
        .iter()
        .map(|request| request["body"].to_string())
        .collect()
}

#[tokio::test]
async fn every_capture_of_the_sdks_is_taken_and_may_come_again() {
    let server = TestServer::new().await;
    let mut items = 0;
    for path in captures() {
        for body in bodies(&path) {
            let first = server.ingest(body.clone()).await;
            assert_eq!(first.status, 200, "{}: {}", path.display(), first.text);
            assert_eq!(first.json()["rejected"], json!([]), "{}", path.display());
            let again = server.ingest(body).await;
            assert_eq!(again.text, first.text, "a retry is answered alike");
            items += first.json()["accepted"].as_u64().unwrap();
        }
    }
    assert!(
        items > 500,
        "{items} items are too few: were the captures read?"
    );
}

#[tokio::test]
async fn one_bad_item_costs_that_item_alone() {
    let server = TestServer::new().await;
    let body = json!({"data": [
        {"object": "trace", "id": "trace_a", "workflow_name": "w"},
        {"object": "trace.span", "id": "span_1", "trace_id": "trace_a", "started_at": "yesterday", "span_data": {"type": "custom", "name": "x", "data": {}}},
        7,
    ]});
    let answer = server.post("/v1/traces/ingest", &body).await;
    assert_eq!(answer.status, 200);
    let json = answer.json();
    assert_eq!(
        (&json["accepted"], &json["rejected_count"]),
        (&json!(1), &json!(2))
    );
    let refused: Vec<_> = json["rejected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| (r["index"].clone(), r["code"].clone()))
        .collect();
    assert_eq!(
        refused,
        [
            (json!(1), json!("bad_time")),
            (json!(2), json!("not_an_object"))
        ]
    );

    let health = server.get("/v1/health/ingest").await.json();
    let account = &health["data"][0];
    assert_eq!(
        (&account["project_id"], &account["source"]),
        (&json!("default"), &json!("openai"))
    );
    assert_eq!(
        (&account["requests"], &account["accepted"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(
        account["rejected"],
        json!({"bad_time": 1, "not_an_object": 1})
    );
}

#[tokio::test]
async fn what_cannot_be_read_at_all_is_a_400_and_is_counted() {
    let server = TestServer::new().await;
    for body in ["", "not json", "[]", "{}", "{\"data\":7}", "{\"data\":["] {
        assert_eq!(
            server.ingest(body).await.error(),
            (400, "invalid_body".into()),
            "{body}"
        );
    }
    let encoded = |encoding: &'static str| {
        let request = server.request(Method::POST, "/v1/traces/ingest");
        request
            .header("content-encoding", encoding)
            .body("not compressed")
    };
    assert_eq!(
        send(encoded("gzip")).await.error(),
        (400, "invalid_encoding".into())
    );
    assert_eq!(
        send(encoded("br")).await.error(),
        (415, "unsupported_encoding".into())
    );
    let health = server.get("/v1/health/ingest").await.json();
    let want = json!({"invalid_body": 6, "invalid_encoding": 1, "unsupported_encoding": 1});
    assert_eq!(health["data"][0]["refused"], want);
}

#[tokio::test]
async fn large_bodies_and_bombs_are_refused_by_the_limit_they_pass() {
    let server = TestServer::with(|config| {
        config.body_bytes_max = 1 << 20;
        config.inflated_bytes_max = 2 << 20;
    })
    .await;
    let check = |answer: Answer, setting: &str| {
        assert_eq!(answer.error(), (413, "body_too_large".into()));
        assert!(answer.text.contains(setting), "{}", answer.text);
    };
    check(server.ingest(vec![b' '; 3 << 20]).await, "body_bytes_max");
    let chunks = futures::stream::iter((0..300).map(|_| std::io::Result::Ok(vec![b' '; 10_000])));
    check(
        server.ingest(reqwest::Body::wrap_stream(chunks)).await,
        "body_bytes_max",
    );
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    bomb.write_all(&vec![b' '; 16 << 20]).unwrap();
    let request = server
        .request(Method::POST, "/v1/traces/ingest")
        .header("content-encoding", "gzip");
    check(
        send(request.body(bomb.finish().unwrap())).await,
        "inflated_bytes_max",
    );
    assert_eq!(
        server.ingest(batch("trace_a")).await.status,
        200,
        "the server goes on"
    );
}

#[tokio::test]
async fn compressed_bodies_are_taken() {
    let server = TestServer::new().await;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(batch("trace_gzip").as_bytes()).unwrap();
    let zstd = zstd::encode_all(batch("trace_zstd").as_bytes(), 1).unwrap();
    for (encoding, body) in [("gzip", gzip.finish().unwrap()), ("zstd", zstd)] {
        let request = server.request(Method::POST, "/v1/traces/ingest");
        let answer = send(request.header("content-encoding", encoding).body(body)).await;
        assert_eq!(answer.json()["accepted"], json!(2), "{encoding}");
    }
}

#[tokio::test]
async fn who_must_wait_is_told_how_long() {
    type Change = fn(&mut server::Config);
    let cases: [(u16, &str, Change); 3] = [
        (503, "disk_full", |config| {
            config.store.free_bytes_min = u64::MAX
        }),
        (429, "compaction_lag", |config| {
            config.store.l0_files_max = 0
        }),
        (429, "busy", |config| config.requests_max = 0),
    ];
    for (status, code, change) in cases {
        let server = TestServer::with(change).await;
        let answer = server.ingest(batch("trace_a")).await;
        assert_eq!(answer.error(), (status, code.to_owned()));
        let wait: u32 = answer.header("retry-after").parse().unwrap();
        assert!(
            (1..=30).contains(&wait),
            "the SDK waits 30 s at most, not {wait}"
        );
    }
}

#[tokio::test]
async fn a_full_share_of_memory_is_a_429() {
    let server = TestServer::with(|config| config.store.memory_bytes_max = 1 << 20).await;
    let _neighbour = server
        .running()
        .store()
        .ledger()
        .reserve(store::Share::Bodies, 100_000)
        .unwrap();
    let answer = server.ingest(vec![b' '; 80_000]).await;
    assert_eq!(answer.error(), (429, "memory_full".into()));
    assert!(!answer.header("retry-after").is_empty());
    let never = server.ingest(vec![b' '; 100_000]).await;
    assert_eq!(never.error(), (413, "body_too_large".into()));
    assert!(never.text.contains("memory_bytes_max"), "{}", never.text);
}

#[tokio::test]
async fn items_of_a_deleted_trace_are_refused_by_name() {
    let server = TestServer::new().await;
    assert_eq!(server.ingest(batch("trace_gone")).await.status, 200);
    let project = ProjectId::new("default").unwrap();
    let gone = vec![TraceId::new("trace_gone").unwrap()];
    server
        .running()
        .store()
        .delete_traces(&project, gone)
        .await
        .unwrap();
    let answer = server.ingest(batch("trace_gone")).await;
    assert_eq!(answer.status, 200, "the SDK must not send it again");
    let json = answer.json();
    assert_eq!(
        (&json["accepted"], &json["rejected_count"]),
        (&json!(0), &json!(2))
    );
    let late = |id: &str| json!({"object": "trace", "id": id, "workflow_name": "w"});
    let mixed = json!({"data": [late("trace_a"), late("trace_gone"), late("trace_b")]});
    let json = server.ingest(mixed.to_string()).await.json();
    assert_eq!(
        json,
        json!({"accepted": 2, "rejected_count": 1, "rejected": [{
            "index": 1,
            "trace_id": "trace_gone",
            "code": "trace_deleted",
            "reason": "trace_deleted: the trace trace_gone was deleted not long ago",
        }]})
    );
    let health = server.get("/v1/health/ingest").await.json();
    assert_eq!(health["data"][0]["rejected"], json!({"trace_deleted": 3}));
}
