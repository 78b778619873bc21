//! The API from outside, on a server in this process, with a judge that says what a test wants.

mod code;
mod failures;
mod figures;
mod graders;
mod people;
mod runs;
mod seeds;
mod settings;
mod spans;
mod trials;
mod walls;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use grade::openai::{Answer, Model, ModelAnswer, ModelError, ModelRequest, Tokens};
use model::SystemClock;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use store::disk::RealDisk;
use tempfile::TempDir;

use crate::services::GradeServices;
use crate::{App, Config, Running, bind};

/// What a tool says in traces that the judge fails.
const BAD: &str = "no such order";

/// A judge that fails traces in which it reads [`BAD`], and points at it.
#[derive(Debug, Default)]
struct Judge {
    asked: AtomicUsize,
}

impl Judge {
    fn answer(&self, request: &ModelRequest) -> ModelAnswer {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let prompt: String = request.messages.iter().map(Value::to_string).collect();
        let is_bad = prompt.contains(BAD);
        let evidence = match is_bad {
            true => json!([{"span_id": place_of(&prompt), "quote": BAD}]),
            false => json!([]),
        };
        let asks_for_number = request
            .schema
            .as_ref()
            .is_some_and(|(_, schema)| schema["properties"].get("score").is_some());
        let mut answer = json!({"evidence": evidence, "reasoning": "looked at what the tool said"});
        match asks_for_number {
            true => answer["score"] = json!(if is_bad { 2 } else { 5 }),
            false => answer["verdict"] = json!(if is_bad { "fail" } else { "pass" }),
        }
        answer["confidence"] = json!(0.9);
        ModelAnswer {
            model: request.model.clone(),
            text: answer.to_string(),
            finish_reason: Some("stop".to_owned()),
            usage: Tokens {
                prompt: 1_000,
                completion: 100,
                total: 1_100,
                cached: 0,
            },
            ..ModelAnswer::default()
        }
    }
}

/// Returns the name of the span whose text says [`BAD`], as the prompt has it.
fn place_of(prompt: &str) -> String {
    let before = &prompt[..prompt.find(BAD).unwrap()];
    let mark = "id=\\\"";
    let name = &before[before.rfind(mark).unwrap() + mark.len()..];
    name.split('\\').next().unwrap().to_owned()
}

impl Model for Judge {
    fn ask<'a>(&'a self, request: &'a ModelRequest) -> Answer<'a, Result<ModelAnswer, ModelError>> {
        Box::pin(async { Ok(self.answer(request)) })
    }

    fn embed<'a>(&'a self, _: &'a [&'a str]) -> Answer<'a, Result<Vec<Vec<f32>>, ModelError>> {
        Box::pin(async { Err(ModelError::Absent) })
    }
}

/// A server to test with, and a client of it.
struct Bench {
    running: Running,
    client: reqwest::Client,
    key: Option<String>,
    judge: Arc<Judge>,
    _dir: TempDir,
}

impl Bench {
    async fn new() -> Self {
        Self::changed(|_, _| {}).await
    }

    /// A server with some other settings, or with others to grade with.
    async fn changed(change: impl FnOnce(&mut Config, &mut GradeServices)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.listen = "127.0.0.1:0".parse().unwrap();
        config.grpc_listen = None;
        config.store.data_dir = dir.path().join("data");
        config.store.free_bytes_min = 0;
        config.grading.judge_model = Some("gpt-5-mini".to_owned());
        let judge = Arc::new(Judge::default());
        let mut graders = GradeServices {
            model: Some(Arc::clone(&judge) as Arc<dyn Model>),
            ..GradeServices::default()
        };
        change(&mut config, &mut graders);
        let listeners = bind(&config).await.unwrap();
        let app = App::build(config, Arc::new(SystemClock), Arc::new(RealDisk));
        let app = app.await.unwrap().with_graders(graders);
        let _first = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().tls_certs_only([]).no_proxy();
        Self {
            running: app.spawn(listeners).unwrap(),
            client: client.build().unwrap(),
            key: None,
            judge,
            _dir: dir,
        }
    }

    /// A server with traces `trace_0`, `trace_1`, … of which every third failed; two make a group.
    async fn with_traces(count: usize) -> Self {
        let bench = Self::new().await;
        for number in 0..count {
            bench.ingest(&order(number, number % 3 == 1)).await;
        }
        bench
    }

    async fn stop(self) {
        self.running.stop().await.unwrap();
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("http://{}{path}", self.running.address());
        let request = self.client.request(method, url);
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    async fn try_get(&self, path: &str) -> (u16, Value) {
        send(self.request(Method::GET, path)).await
    }

    async fn get(&self, path: &str) -> Value {
        ok(self.try_get(path).await)
    }

    async fn delete(&self, path: &str) -> (u16, Value) {
        send(self.request(Method::DELETE, path)).await
    }

    async fn try_post(&self, path: &str, body: &Value) -> (u16, Value) {
        send(self.request(Method::POST, path).json(body)).await
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        ok(self.try_post(path, body).await)
    }

    async fn ingest(&self, items: &Value) {
        ok(self
            .try_post("/v1/traces/ingest", &json!({ "data": items }))
            .await);
    }

    /// Makes a run and waits until it is over.
    async fn grade(&self, request: &Value) -> Value {
        let (status, run) = self.try_post("/v1/evals/traces/grade", request).await;
        assert_eq!(status, 201, "{run}");
        let ended = self.settled(&run).await;
        assert_eq!(ended["status"], "completed", "{ended}");
        ended
    }

    /// Waits until nothing of a run is going on.
    async fn settled(&self, run: &Value) -> Value {
        let path = path_of(run);
        for _ in 0..1_500 {
            let run = self.get(&path).await;
            let status = run["status"].as_str().unwrap();
            if !matches!(status, "selecting" | "queued" | "in_progress") {
                return run;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{path} does not end: {}", self.get(&path).await)
    }

    /// Makes the first key, from which on every request needs one, and uses it.
    async fn lock(&mut self) -> String {
        let body = json!({"name": "master", "scopes": ["admin"]});
        let master = text(&self.post("/v1/keys", &body).await, "secret");
        self.key = Some(master.clone());
        master
    }

    async fn make_key(&self, scopes: &[&str], project: &str) -> String {
        let body = json!({"name": "k", "scopes": scopes, "projects": [project]});
        text(&self.post("/v1/keys", &body).await, "secret")
    }
}

/// The items of a trace of a shop: an agent calls a tool, which finds an order or fails.
fn order(number: usize, fails: bool) -> Value {
    let trace = format!("trace_{number}");
    let at = |second: usize| format!("2026-01-02T03:{:02}:{second:02}+00:00", number % 60);
    let error = match fails {
        true => json!({"message": "Error running tool", "data": {"error": BAD}}),
        false => Value::Null,
    };
    let span = |id: &str, parent: Option<&str>, data: Value, error: &Value| {
        json!({"object": "trace.span", "id": format!("{id}{number}"), "trace_id": trace,
            "parent_id": parent.map(|id| format!("{id}{number}")), "started_at": at(1), "ended_at": at(2),
            "span_data": data, "error": error})
    };
    let version = if number.is_multiple_of(2) {
        "agent_v1"
    } else {
        "agent_v2"
    };
    let output = if fails { BAD } else { "found" };
    let messages = |role: &str, text: &str| json!([{"role": role, "content": text}]);
    json!([
        {"object": "trace", "id": trace, "workflow_name": "flight_booking", "group_id": format!("g{}", number / 2),
         "metadata": {"agent_id": version, "task": format!("t{}", number / 2)}},
        span("agent", None, json!({"type": "agent", "name": "Clerk", "tools": ["find_order"]}), &Value::Null),
        span("gen", Some("agent"), json!({"type": "generation", "model": "gpt-5-mini",
            "input": messages("user", "where is my order?"), "output": messages("assistant", "it is on its way"),
            "usage": {"input_tokens": 10, "output_tokens": 5}}), &Value::Null),
        span("call", Some("agent"), json!({"type": "function", "name": "find_order",
            "input": "{\"id\":7}", "output": output}), &error),
    ])
}

/// A rule that holds where no tool failed.
fn rule() -> Value {
    json!({"type": "rule", "name": "no tool failed", "check": "tool_errors == 0"})
}

/// A question to a judge that is answered with yes or no.
fn question() -> Value {
    json!({"type": "llm", "name": "served", "criteria": "Was the user served?"})
}

async fn send(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
    (status, value)
}

fn ok((status, body): (u16, Value)) -> Value {
    assert_eq!(status, 200, "{body}");
    body
}

fn text(value: &Value, name: &str) -> String {
    let text = value[name].as_str();
    text.unwrap_or_else(|| panic!("no {name} in {value}"))
        .to_owned()
}

fn path_of(run: &Value) -> String {
    format!("/v1/evals/traces/grade/{}", text(run, "id"))
}

/// Asserts that a request was refused: its status and what is at fault.
#[track_caller]
fn refused((status, body): (u16, Value), want: u16, param: &str) {
    assert_eq!(status, want, "{body}");
    assert_eq!(body["error"]["param"], param, "{body}");
}

/// Asserts that a figure says how sure it is.
#[track_caller]
fn is_figure(figure: &Value) {
    for field in ["estimate", "n", "groups", "design_effect"] {
        assert!(figure[field].is_number(), "no {field} in {figure}");
    }
    assert_eq!(
        figure["interval"].as_array().map(Vec::len),
        Some(2),
        "{figure}"
    );
    assert!(figure["too_few_groups"].is_boolean(), "{figure}");
}

fn ids(list: &Value, field: &str) -> Vec<String> {
    let entries = list["data"].as_array().unwrap();
    entries.iter().map(|entry| text(entry, field)).collect()
}
