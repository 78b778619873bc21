//! Calls that pass through the recording proxy, and what is kept of them.

mod losses;
mod passing;
mod recorded;
mod upstream;

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use server::Config;

use crate::support::TestServer;
use upstream::Upstream;

/// The key that a client shows the upstream.
const KEY: &str = "sk-proj-verysecretkey";

const CHAT: &str = "/v1/proxy/openai/chat/completions";

const REQUEST: &str =
    r#"{"model":"gpt-4.1-mini","messages":[{"role":"user","content":"Oslo?"}],"temperature":1.0}"#;

/// A server with an upstream.
struct Scene {
    server: TestServer,
    upstream: Upstream,
}

impl Scene {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let upstream = Upstream::new().await;
        let url = format!("http://{}/v1", upstream.address);
        let server = TestServer::with(|config| {
            config.upstreams[0].url = url.parse().unwrap();
            change(config);
        })
        .await;
        Self { server, upstream }
    }

    /// A call that the upstream answers as `play` says.
    fn call(&self, play: &str) -> RequestBuilder {
        self.send(CHAT, play, REQUEST)
    }

    fn send(&self, path: &str, play: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        let request = self.server.request(Method::POST, path);
        request
            .bearer_auth(KEY)
            .header("content-type", "application/json")
            .header("x-play", play)
            .body(body)
    }

    /// Waits until the books of the proxy have `count` calls that were kept or lost; returns them.
    async fn books(&self, count: u64) -> Value {
        loop {
            let health = self.server.get("/v1/health/ingest").await.json();
            let accounts = health["data"].as_array().unwrap().clone();
            let of_proxy = accounts.into_iter().find(|a| a["source"] == "proxy");
            let books = of_proxy.unwrap_or_default();
            let lost = books["refused"].as_object().map_or(0, |reasons| {
                reasons.values().filter_map(Value::as_u64).sum()
            });
            if books["requests"].as_u64().unwrap_or(0) + lost >= count {
                return books;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The traces, newest first, once `count` calls are recorded.
    async fn traces(&self, count: u64) -> Vec<Value> {
        let books = self.books(count).await;
        assert_eq!(books["refused"], serde_json::json!({}), "{books}");
        assert_eq!(books["rejected"], serde_json::json!({}), "{books}");
        let list = self.server.get("/v1/traces").await.json();
        list["data"].as_array().unwrap().clone()
    }

    /// The spans of a trace with all that was said, in start order.
    async fn spans(&self, trace: &Value) -> Vec<Value> {
        let id = trace["id"].as_str().unwrap();
        let path = format!("/v1/traces/{id}?payload=full");
        let trace = self.server.get(&path).await.json();
        trace["spans"].as_array().unwrap().clone()
    }

    /// The only span, once the only call is recorded.
    async fn span(&self) -> Value {
        let traces = self.traces(1).await;
        assert_eq!(traces.len(), 1, "{traces:?}");
        let mut spans = self.spans(&traces[0]).await;
        assert_eq!(spans.len(), 1, "{spans:?}");
        spans.remove(0)
    }
}
