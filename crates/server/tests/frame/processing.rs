//! What is taken out before anything is stored: over both wires, by settings and by project.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{TestServer, config, send};

const SECRET: &str = "planted.secret@example.com";

/// Returns whether a file of the folder holds the bytes.
fn holds(dir: &Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => holds(&path, bytes),
            false => {
                let content = std::fs::read(&path).unwrap();
                content.windows(bytes.len()).any(|window| window == bytes)
            }
        }
    })
}

/// A model call that says the secret wherever something can be said.
fn agents_body() -> Value {
    let words = format!("write to {SECRET} {}", "now ".repeat(100));
    json!({"data": [
        {"object": "trace", "id": "t1", "workflow_name": SECRET, "group_id": SECRET, "metadata": {"user_id": SECRET}},
        {"object": "trace.span", "id": "s1", "trace_id": "t1", "started_at": "2026-01-02T03:04:05Z",
         "ended_at": "2026-01-02T03:04:06Z", "metadata": {"note": SECRET}, "more": SECRET,
         "error": {"message": format!("no {SECRET}"), "data": {"error": SECRET}},
         "span_data": {"type": "generation", "model": "m", "input": [{"role": "user", "content": words}],
            "output": [{"role": "assistant", "content": words}]}},
    ]})
}

fn otlp_body(signal: &str) -> Value {
    let text = |key: &str, text: &str| json!({"key": key, "value": {"stringValue": text}});
    let (trace, span) = ("00000000000000000000000000000002", "0000000000000002");
    let words = format!("say {SECRET} {}", "now ".repeat(100));
    match signal {
        "traces" => {
            json!({"resourceSpans": [{"resource": {"attributes": [text("host.name", SECRET)]}, "scopeSpans": [{
            "scope": {"name": "s", "attributes": [text("a", SECRET)]}, "spans": [{"traceId": trace, "spanId": span, "name": SECRET,
            "startTimeUnixNano": "1767322845000000000", "endTimeUnixNano": "1767322846000000000",
            "attributes": [text("gen_ai.operation.name", "chat"), text("input.value", &words), text("user.id", SECRET)],
            "events": [{"name": "exception", "attributes": [text("exception.message", SECRET)]}],
            "links": [{"traceId": trace, "spanId": span, "attributes": [text("a", SECRET)]}],
            "status": {"code": 2, "message": SECRET}}]}]}]})
        }
        _ => {
            json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [{"traceId": trace, "spanId": span, "eventName": "gen_ai.choice",
            "timeUnixNano": "1767322845000000000", "body": {"kvlistValue": {"values": [text("content", &words)]}},
            "attributes": [text("gen_ai.system", SECRET)]}]}]}]})
        }
    }
}

async fn send_all(server: &TestServer) {
    for (path, body) in [
        ("/v1/traces/ingest", agents_body()),
        ("/v1/traces", otlp_body("traces")),
        ("/v1/logs", otlp_body("logs")),
    ] {
        let answer = server.post(path, &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
}

#[tokio::test]
async fn what_is_taken_out_is_neither_on_disk_nor_in_an_answer() {
    let plain = TestServer::new().await;
    send_all(&plain).await;
    assert!(
        holds(plain.dir(), SECRET.as_bytes()),
        "else the search finds nothing at all"
    );

    let server = TestServer::with(|config| {
        config.processing.rules.redact = vec![ingest::process::Recogniser::Email];
    })
    .await;
    send_all(&server).await;
    let of_project = [
        "/v1/traces/t1?include=spans",
        "/v1/traces/00000000000000000000000000000002?include=spans",
    ];
    for path in of_project {
        let told = server.get(path).await;
        assert_eq!(told.status, 200, "{}", told.text);
        assert!(!told.text.contains("planted"), "{}", told.text);
    }
    let query = json!({"query": "select extra->'tracegrade.redacted'->>'email' as n from spans where trace_id = 't1'"});
    let told = server.post("/v1/sql", &query).await;
    let count = told.json()["data"][0]["n"].to_string();
    assert!(
        count.trim_matches('"').parse::<u32>().is_ok_and(|n| n >= 6),
        "{}",
        told.text
    );
    let spans = server.get("/v1/traces/t1/spans/s1").await;
    assert!(spans.text.contains("tracegrade.redacted"), "{}", spans.text);

    let books = server.get("/v1/health/ingest").await.json();
    for account in books["data"].as_array().unwrap() {
        assert!(
            account["redacted"]["email"].as_u64().unwrap() > 5,
            "{account}"
        );
    }
    let figures = server.get("/metrics").await.text;
    assert!(
        figures.contains(r#"outcome="redacted",code="email""#),
        "{figures}"
    );
    // In the log, and in what is made of it.
    assert!(!holds(server.dir(), SECRET.as_bytes()));
    assert!(!holds(server.stop().await.path(), SECRET.as_bytes()));
}

#[tokio::test]
async fn a_project_decides_for_itself_what_it_keeps() {
    let server = TestServer::new().await;
    let made = server.post("/v1/projects", &json!({"id": "quiet"})).await;
    assert_eq!(made.status, 200);
    let settings = json!({"settings": {"include_sensitive_data": false}});
    let set = server.post("/v1/projects/quiet", &settings).await;
    assert_eq!(
        set.json()["settings"],
        json!({"include_sensitive_data": false})
    );
    let request = server
        .request(Method::POST, "/v1/traces/ingest")
        .json(&agents_body());
    assert_eq!(
        send(request.header("openai-project", "quiet")).await.status,
        200
    );
    let of_quiet = |path: &str| {
        send(
            server
                .request(Method::GET, path)
                .header("openai-project", "quiet"),
        )
    };
    let span = of_quiet("/v1/traces/t1/spans/s1").await.json();
    assert_eq!(
        (&span["model"], &span["span_data"]["input"]),
        (&json!("m"), &Value::Null)
    );
    assert_eq!(span["error"]["message"], "[redacted:content]");
    let trace = of_quiet("/v1/traces/t1").await.json();
    assert_eq!(trace["content"], "none", "{trace}");

    server.post("/v1/traces/ingest", &agents_body()).await;
    let trace = server.get("/v1/traces/t1").await.json();
    assert_eq!(trace["content"], "full");

    let bad = server
        .post(
            "/v1/projects/quiet",
            &json!({"settings": {"sample_rate": 2.0}}),
        )
        .await;
    assert_eq!(bad.error(), (400, "invalid_parameter".to_owned()));
    server
        .post(
            "/v1/projects/quiet",
            &json!({"settings": {"sample_rate": 0.0}}),
        )
        .await;
    let body = json!({"data": [{"object": "trace.span", "id": "s", "trace_id": "t9", "span_data": {"type": "custom", "name": "x"}}]});
    let request = server
        .request(Method::POST, "/v1/traces/ingest")
        .json(&body);
    let answer = send(request.header("openai-project", "quiet")).await;
    assert_eq!(answer.json()["accepted"], 1);
    assert_eq!(of_quiet("/v1/traces/t9").await.status, 404);
    let books = server.get("/v1/health/ingest").await.json();
    let account = books["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|account| account["project_id"] == "quiet");
    assert_eq!(account.unwrap()["ignored"], json!({"sampled_out": 1}));
}

#[tokio::test]
async fn a_rule_that_cannot_be_used_ends_the_start_and_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tracegrade.toml");
    let file = "[processing]\nredact = [\"email\", \"key\"]\nsample_rate = 0.5\n\n[[processing.redact_rules]]\n\
        name = \"customer\"\nregex = \"CUST-(\"\n";
    std::fs::write(&path, file).unwrap();
    let flags = server::Flags {
        config: Some(path),
        ..server::Flags::default()
    };
    let loaded = server::Config::load_with(&flags, &|_| None).unwrap();
    assert_eq!(loaded.processing.switches.sample_rate, 0.5);
    let mut config = config(dir.path());
    config.processing = loaded.processing;
    let clock = std::sync::Arc::new(model::SystemClock);
    let disk = std::sync::Arc::new(store::disk::RealDisk);
    let error = server::App::build(config, clock, disk).await.unwrap_err();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    assert!(
        text.starts_with("failed to prepare the rules for what comes in: failed to understand rule 1 of redact_rules, \"customer\": its regex"),
        "{text}"
    );
    assert!(!dir.path().join("data").exists(), "nothing was begun");
}
