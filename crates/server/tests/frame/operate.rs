//! Errors, request ids, metrics, prices, projects, and the description of the API.

use std::path::Path;

use reqwest::Method;
use serde_json::json;

use crate::support::{TestServer, batch, send};

#[tokio::test]
async fn what_is_not_there_is_told_in_json() {
    let server = TestServer::new().await;
    assert_eq!(
        server.get("/nowhere").await.error(),
        (404, "unknown_url".into())
    );
    assert_eq!(
        server.get("/v1/traces/ingest/x/y").await.error(),
        (404, "unknown_url".into())
    );
    let wrong = send(server.request(Method::PATCH, "/v1/keys")).await;
    assert_eq!(wrong.error(), (405, "method_not_allowed".into()));
    assert!(wrong.header("content-type").starts_with("application/json"));
    let typed = server
        .request(Method::POST, "/v1/keys")
        .header("content-type", "text/xml")
        .body("<a/>");
    assert_eq!(
        send(typed).await.error(),
        (415, "unsupported_media_type".into())
    );
    let unknown = server
        .post("/v1/keys", &json!({"name": "a", "scope": ["admin"]}))
        .await;
    assert_eq!(
        unknown.error(),
        (400, "invalid_body".into()),
        "{}",
        unknown.text
    );
}

#[tokio::test]
async fn each_answer_has_the_id_of_its_request() {
    let server = TestServer::new().await;
    let one = server
        .get("/nowhere")
        .await
        .header("x-request-id")
        .to_owned();
    let two = server
        .get("/nowhere")
        .await
        .header("x-request-id")
        .to_owned();
    assert!(one.starts_with("req_") && one != two, "{one} {two}");
    let own = server
        .request(Method::GET, "/v1/health")
        .header("x-request-id", "mine-7");
    assert_eq!(send(own).await.header("x-request-id"), "mine-7");
}

/// Checks the grammar of the text format line by line, and returns the samples.
fn samples(text: &str) -> Vec<(&str, f64)> {
    assert!(text.ends_with("# EOF\n"), "the end is marked");
    assert_eq!(text.matches("# EOF").count(), 1);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let samples = lines.map(|line| {
        let (name, value) = line
            .rsplit_once(' ')
            .unwrap_or_else(|| panic!("no value: {line}"));
        let braces = (name.matches('{').count(), name.matches('}').count());
        assert!(braces == (0, 0) || braces == (1, 1), "{line}");
        (
            name,
            value
                .parse()
                .unwrap_or_else(|_| panic!("no number: {line}")),
        )
    });
    samples.collect()
}

#[tokio::test]
async fn the_figures_are_those_of_what_happened() {
    let server = TestServer::new().await;
    server.ingest(batch("trace_a")).await;
    server.ingest("no json").await;
    let answer = server.get("/metrics").await;
    assert!(
        answer
            .header("content-type")
            .starts_with("application/openmetrics-text")
    );
    let samples = samples(&answer.text);
    let value = |start: &str| {
        let found: Vec<_> = samples
            .iter()
            .filter(|(name, _)| name.starts_with(start))
            .collect();
        assert_eq!(found.len(), 1, "{start}: {found:?}");
        found[0].1
    };
    let ingest =
        r#"tracegrade_http_requests_total{method="POST",route="/v1/traces/ingest",status="#;
    assert_eq!(value(&format!("{ingest}\"200\"}}")), 1.0);
    assert_eq!(value(&format!("{ingest}\"400\"}}")), 1.0);
    assert_eq!(value("tracegrade_ingest_ack_seconds_count"), 1.0);
    assert_eq!(value("tracegrade_ingest_items_total"), 2.0);
    assert_eq!(
        value(r#"tracegrade_memory_limit_bytes{share="bodies"}"#),
        209_715_200.0
    );
    let outcome = r#"tracegrade_ingest_outcomes_total{project="default",source="openai",outcome="#;
    assert_eq!(value(&format!(r#"{outcome}"accepted",code=""}}"#)), 2.0);
    assert_eq!(
        value(&format!(r#"{outcome}"refused",code="invalid_body"}}"#)),
        1.0
    );
    assert!(value("tracegrade_wal_bytes") >= 0.0);
}

#[tokio::test]
async fn prices_can_be_entered_and_are_used_at_once() {
    let server = TestServer::new().await;
    let put = async |body: serde_json::Value| {
        send(server.request(Method::PUT, "/v1/prices").json(&body)).await
    };
    let line =
        json!({"model": "Test-Model", "from": "2026-01-01", "input": "2.50", "output": "10"});
    let set = put(line.clone()).await;
    assert_eq!(
        (set.status.as_u16(), &set.json()["model"]),
        (200, &json!("test-model")),
        "{}",
        set.text
    );
    let listed = server.get("/v1/prices").await.json();
    let found = listed["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|price| price["model"] == "test-model");
    assert_eq!(found.unwrap()["input"], json!("2.5"));
    for (field, value) in [
        ("input", json!("much")),
        ("from", json!("soon")),
        ("model", json!("a\tb")),
    ] {
        let mut bad = line.clone();
        bad[field] = value;
        let answer = put(bad).await;
        assert_eq!(answer.error(), (400, "invalid_parameter".into()));
        assert_eq!(answer.json()["error"]["param"], json!(field));
    }
}

#[tokio::test]
async fn projects_come_change_and_go() {
    let server = TestServer::new().await;
    let ingest = async |project: &str| {
        let request = server
            .request(Method::POST, "/v1/traces/ingest")
            .header("openai-project", project);
        send(request.body(batch("trace_p"))).await.status.as_u16()
    };
    assert_eq!(ingest("p").await, 404);
    assert_eq!(
        server
            .post("/v1/projects", &json!({"id": "p"}))
            .await
            .status,
        200
    );
    assert_eq!(
        server
            .post("/v1/projects", &json!({"id": "p"}))
            .await
            .error(),
        (409, "already_exists".into())
    );
    assert_eq!(ingest("p").await, 200);
    let change = json!({"name": "P", "settings": {"assumed_model": "gpt-4o", "theme": "dark"}});
    let changed = server.post("/v1/projects/p", &change).await.json();
    assert_eq!(
        (&changed["name"], &changed["settings"]),
        (&change["name"], &change["settings"])
    );
    let gone = send(server.request(Method::DELETE, "/v1/projects/p")).await;
    assert_eq!(gone.json()["deleted"], json!(true), "{}", gone.text);
    assert_eq!(ingest("p").await, 404);
    let default = send(server.request(Method::DELETE, "/v1/projects/default")).await;
    assert_eq!(default.error(), (409, "conflict".into()));
}

/// `UPDATE_OPENAPI=1 cargo test -p server --test frame openapi` writes the file anew.
#[tokio::test]
async fn openapi_json_at_the_root_is_what_the_server_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../openapi.json");
    let said = server::openapi_document();
    assert_eq!(
        TestServer::new().await.get("/openapi.json").await.text,
        said
    );
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(&path, said).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == said,
        "openapi.json differs from the handlers; if that is meant, run \
         UPDATE_OPENAPI=1 cargo test -p server --test frame openapi"
    );
}

#[tokio::test]
async fn projects_made_at_one_time_are_all_known() {
    let server = TestServer::new().await;
    let ids: Vec<String> = (0..40).map(|n| format!("project-{n}")).collect();
    let make = async |id: &String| {
        server
            .post("/v1/projects", &json!({ "id": id }))
            .await
            .status
    };
    let made = futures::future::join_all(ids.iter().map(make)).await;
    assert!(made.iter().all(|status| *status == 200));
    for id in &ids {
        let list = server.request(Method::GET, "/v1/traces");
        let list = send(list.header("openai-project", id)).await;
        assert_eq!(list.status, 200, "{id}: {}", list.text);
    }
}

#[tokio::test]
async fn a_price_that_was_entered_can_be_removed() {
    let server = TestServer::new().await;
    let line = json!({"model": "Test-Model", "provider": "azure", "from": "2026-01-01",
        "input_above": 5, "input": "2.50", "output": "10"});
    let set = server.request(Method::PUT, "/v1/prices").json(&line);
    assert_eq!(send(set).await.status, 200);
    let remove = async |query: &str| {
        send(server.request(Method::DELETE, &format!("/v1/prices?{query}"))).await
    };
    let is_listed = async || server.get("/v1/prices").await.text.contains("test-model");
    let other = remove("model=Test-Model&from=2026-01-01").await;
    assert_eq!(other.error(), (404, "not_found".into()), "{}", other.text);
    assert!(is_listed().await);
    let unknown = remove("model=Test-Model").await;
    assert_eq!(unknown.error(), (400, "invalid_parameter".into()));
    let gone = remove("model=Test-Model&from=2026-01-01&provider=azure&input_above=5").await;
    assert_eq!(gone.json()["deleted"], json!(true), "{}", gone.text);
    assert!(!is_listed().await);
}
