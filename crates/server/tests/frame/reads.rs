//! What is read back: tables, whole texts, and reads that must wait.

use serde_json::json;
use store::Share;

use crate::support::TestServer;

/// A batch of one trace with a call that says so much.
fn call(trace: &str, workflow: &str, asked: &str, answered: &str) -> String {
    json!({"data": [
        {"object": "trace", "id": trace, "workflow_name": workflow},
        {"object": "trace.span", "id": format!("span_{trace}"), "trace_id": trace, "parent_id": null,
         "started_at": "2026-01-02T03:04:05Z", "ended_at": "2026-01-02T03:04:06Z", "error": null,
         "metadata": {"ttft_ms": 120.5},
         "span_data": {"type": "generation", "model": "gpt-5",
            "input": [{"role": "system", "content": "be kind"}, {"role": "user", "content": asked}],
            "output": [{"role": "assistant", "content": answered}]}},
    ]})
    .to_string()
}

#[tokio::test]
async fn tables_are_exported_with_a_filter() {
    let server = TestServer::new().await;
    for (n, workflow) in ["a", "b", "a"].into_iter().enumerate() {
        let body = call(&format!("trace_{n}"), workflow, "hello", "bye");
        assert_eq!(server.ingest(body).await.status, 200);
    }
    let lines = async |query: &str| {
        let answer = server.get(&format!("/v1/export?{query}")).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.text);
        answer.text.lines().count()
    };
    assert_eq!(lines("workflow_name=a").await, 2);
    assert_eq!(lines("format=csv&workflow_name=a").await, 1 + 2);
    assert_eq!(lines("format=csv&table=spans").await, 1 + 3);
    assert_eq!(
        lines("format=csv&table=messages&workflow_name=b").await,
        1 + 3
    );
    assert_eq!(lines("format=csv&table=spans&workflow_name=none").await, 1);
    assert_eq!(lines("format=csv&table=grades").await, 1);
    let parquet = server
        .get("/v1/export?format=parquet&table=spans&workflow_name=a")
        .await;
    assert_eq!(
        parquet.header("content-type"),
        "application/vnd.apache.parquet"
    );
    assert!(parquet.text.starts_with("PAR1"));
    for (query, param) in [
        ("format=xml", "format"),
        ("format=csv&table=verdicts", "table"),
        ("table=spans", "table"),
    ] {
        let refused = server.get(&format!("/v1/export?{query}")).await;
        assert_eq!(refused.status, 400, "{query}");
        assert_eq!(refused.json()["error"]["param"], param, "{query}");
    }
}

#[tokio::test]
async fn a_retrieve_tells_the_texts_in_full_and_a_list_their_beginnings() {
    let server = TestServer::new().await;
    let (asked, answered) = ("why? ".repeat(500), "because ".repeat(500));
    server.ingest(call("trace_a", "w", &asked, &answered)).await;
    let whole = server.get("/v1/traces/trace_a").await.json();
    assert_eq!(whole["original_message"], json!(asked));
    assert_eq!(whole["final_response"], json!(answered));
    assert_eq!(whole["spans"][0]["ttft_ms"], json!(120.5));
    assert_eq!(whole["input_preview"].as_str().unwrap().len(), 256);
    let short = server
        .get("/v1/traces/trace_a?payload=preview")
        .await
        .json();
    assert!(short.get("original_message").is_none());
    let listed = server.get("/v1/traces").await.json();
    assert!(listed["data"][0].get("final_response").is_none());
    server.ingest(crate::support::batch("trace_b")).await;
    let silent = server.get("/v1/traces/trace_b").await.json();
    assert_eq!(silent["original_message"], json!(null));
}

#[tokio::test]
async fn a_retrieve_waits_its_turn_where_memory_is_taken() {
    let server = TestServer::new().await;
    server.ingest(call("trace_a", "w", "hello", "bye")).await;
    let ledger = server.running().store().ledger();
    let held = ledger
        .reserve(Share::Queries, ledger.limit(Share::Queries))
        .unwrap();
    for path in [
        "",
        "/spans",
        "/skeleton",
        "/spans/span_trace_a",
        "/search?q=bye",
    ] {
        let refused = server.get(&format!("/v1/traces/trace_a{path}")).await;
        assert_eq!(refused.error(), (429, "memory_full".into()), "{path}");
        assert!(!refused.header("retry-after").is_empty(), "{path}");
    }
    drop(held);
    for path in [
        "",
        "/spans",
        "/skeleton",
        "/spans/span_trace_a",
        "/search?q=bye",
    ] {
        let answer = server.get(&format!("/v1/traces/trace_a{path}")).await;
        assert_eq!(answer.status, 200, "{path}");
    }
    assert_eq!(ledger.used(Share::Queries), 0, "all is given back");
}

#[tokio::test]
async fn a_conversation_says_where_it_begins_and_ends() {
    let server = TestServer::new().await;
    server.ingest(call("trace_a", "w", "why?", "because")).await;
    let list = server.get("/v1/traces/trace_a/conversation").await.json();
    let ids = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|said| &said["id"]);
    let want = [
        "span_trace_a:input:0",
        "span_trace_a:input:1",
        "span_trace_a:output:0",
    ];
    assert_eq!(ids.collect::<Vec<_>>(), want);
    assert_eq!(
        (&list["first_id"], &list["last_id"], &list["has_more"]),
        (&json!(want[0]), &json!(want[2]), &json!(false))
    );
    server.ingest(crate::support::batch("trace_b")).await;
    let silent = server.get("/v1/traces/trace_b/conversation").await.json();
    let none =
        json!({"object": "list", "data": [], "first_id": null, "last_id": null, "has_more": false});
    assert_eq!(silent, none);
}

#[tokio::test]
async fn an_object_in_the_place_of_a_list_is_content() {
    let server = TestServer::new().await;
    let body = json!({"data": [
        {"object": "trace", "id": "trace_a", "workflow_name": "w"},
        {"object": "trace.span", "id": "span_a", "trace_id": "trace_a", "parent_id": null,
         "started_at": "2026-01-02T03:04:05Z", "ended_at": "2026-01-02T03:04:06Z", "error": null,
         "span_data": {"type": "generation", "model": "gpt-5", "input": {"question": "why?"},
            "output": {"role": "assistant", "content": "because"}}},
    ]});
    assert_eq!(server.ingest(body.to_string()).await.status, 200);
    let trace = server.get("/v1/traces/trace_a").await.json();
    assert_eq!(trace["content"], "full");
    assert_eq!(trace["output_preview"], "because");
    assert_eq!(trace["input_preview"], r#"{"question":"why?"}"#);
}
