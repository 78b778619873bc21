//! The API from outside, on a server in this process, with a model that says what a test wants.

mod captured;
mod cycle;
mod imported;
mod runs;
mod traced;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use grade::openai::{
    Answer, Model, ModelAnswer, ModelError, ModelRequest, Python, PythonError, Subject, Tokens,
};
use grade::trace::TracePython;
use model::SystemClock;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use store::disk::RealDisk;
use tempfile::TempDir;
use tokio::sync::Semaphore;

use crate::services::GradeServices;
use crate::{App, Config, Running, bind};

/// A model that answers by its name, and box for code that knows one program.
#[derive(Debug)]
struct Scripted {
    /// Calls that were answered.
    answered: AtomicUsize,
    /// Calls of the model `slow` that may be answered.
    permits: Semaphore,
}

impl Scripted {
    fn new(permits: usize) -> Arc<Self> {
        Arc::new(Self {
            answered: AtomicUsize::new(0),
            permits: Semaphore::new(permits),
        })
    }

    async fn answer(&self, request: &ModelRequest) -> Result<ModelAnswer, ModelError> {
        // Others are asked meanwhile.
        tokio::task::yield_now().await;
        match &*request.model {
            "slow" => self.permits.acquire().await.unwrap().forget(),
            "broken" => return Err(ModelError::Refused("no such model".to_owned())),
            _ => {}
        }
        self.answered.fetch_add(1, Ordering::Relaxed);
        let asked = request.messages.last().map(|message| &message["content"]);
        let asked = asked.and_then(Value::as_str).unwrap_or_default();
        // A judge is asked by a schema; one that chooses a label has them in it.
        let text = match &request.schema {
            None => asked.to_uppercase(),
            Some((_, schema)) if schema.to_string().contains("\"enum\"") => {
                json!({"steps": [], "result": "good"}).to_string()
            }
            Some(_) => {
                let step = json!({"description": "looked", "conclusion": "fine"});
                json!({"steps": [step], "result": 1.0}).to_string()
            }
        };
        Ok(ModelAnswer {
            model: format!("{}-2026", request.model),
            text,
            tool_calls: Value::Null,
            refusal: None,
            finish_reason: Some("stop".to_owned()),
            usage: Tokens {
                prompt: 10,
                completion: 5,
                total: 15,
                cached: 2,
            },
            logprobs: Vec::new(),
        })
    }
}

impl Model for Scripted {
    fn ask<'a>(&'a self, request: &'a ModelRequest) -> Answer<'a, Result<ModelAnswer, ModelError>> {
        Box::pin(self.answer(request))
    }

    fn embed<'a>(&'a self, _: &'a [&'a str]) -> Answer<'a, Result<Vec<Vec<f32>>, ModelError>> {
        Box::pin(async { Err(ModelError::Absent) })
    }
}

impl Python for Scripted {
    fn grade<'a>(
        &'a self,
        source: &'a str,
        _: Subject<'a>,
    ) -> Answer<'a, Result<f64, PythonError>> {
        let is_known = source.contains("return 1.0");
        let traceback = || PythonError::Runtime("ValueError".to_owned());
        Box::pin(async move { if is_known { Ok(1.0) } else { Err(traceback()) } })
    }
}

impl TracePython for Scripted {
    fn grade_trace<'a>(
        &'a self,
        _: &'a str,
        _: &'a Value,
    ) -> Answer<'a, Result<grade::sandbox::Verdict, PythonError>> {
        Box::pin(async { Err(PythonError::Runtime("no trace here".to_owned())) })
    }

    fn check<'a>(&'a self, _: &'a str) -> Answer<'a, Result<(), PythonError>> {
        Box::pin(async { Ok(()) })
    }
}

/// A server to test with, and a client of it.
struct Bench {
    running: Running,
    client: reqwest::Client,
    key: Option<String>,
    dir: TempDir,
}

impl Bench {
    async fn new() -> Self {
        Self::over(tempfile::tempdir().unwrap(), Some(Scripted::new(0))).await
    }

    async fn over(dir: TempDir, scripted: Option<Arc<Scripted>>) -> Self {
        let mut config = Config::default();
        config.listen = "127.0.0.1:0".parse().unwrap();
        config.grpc_listen = None;
        config.store.data_dir = dir.path().join("data");
        config.store.free_bytes_min = 0;
        let listeners = bind(&config).await.unwrap();
        let app = App::build(config, Arc::new(SystemClock), Arc::new(RealDisk));
        let graders = GradeServices {
            model: scripted.clone().map(|scripted| scripted as Arc<dyn Model>),
            python: scripted.map(|scripted| scripted as Arc<dyn TracePython>),
            ..GradeServices::default()
        };
        let app = app.await.unwrap().with_graders(graders);
        let _first = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().tls_certs_only([]).no_proxy();
        let bench = Self {
            running: app.spawn(listeners).unwrap(),
            client: client.build().unwrap(),
            key: None,
            dir,
        };
        for model in ["judge", "slow", "tested", "broken", "m"] {
            bench.price(model).await;
        }
        bench
    }

    /// Gives a model a price: 1 US dollar for a million tokens, of either kind.
    async fn price(&self, model: &str) {
        let price = json!({"model": model, "from": "2024-01-01", "input": "1", "output": "1"});
        ok(send(self.request(Method::PUT, "/v1/prices").json(&price)).await);
    }

    async fn stop(self) -> TempDir {
        self.running.stop().await.unwrap();
        self.dir
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("http://{}{path}", self.running.address());
        let request = self.client.request(method, url);
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    async fn get(&self, path: &str) -> Value {
        ok(send(self.request(Method::GET, path)).await)
    }

    /// As OpenAI's clients delete: with a type and without a body.
    async fn delete(&self, path: &str) -> (u16, Value) {
        let request = self.request(Method::DELETE, path);
        send(request.header("content-type", "application/json")).await
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        send(self.request(Method::POST, path).json(body)).await
    }

    async fn make(&self, path: &str, body: &Value) -> Value {
        let (status, made) = self.post(path, body).await;
        assert_eq!(status, 201, "{made}");
        made
    }

    async fn upload(&self, text: &str) -> Value {
        let body = format!(
            "--B\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nevals\r\n--B\r\nContent-Disposition: \
             form-data; name=\"file\"; filename=\"rows.jsonl\"\r\nContent-Type: application/octet-stream\r\n\r\n{text}\r\n--B--\r\n"
        );
        let request = self.request(Method::POST, "/v1/files");
        let request = request.header("content-type", "multipart/form-data; boundary=B");
        ok(send(request.body(body)).await)
    }

    /// Waits until a run is over, and returns it.
    async fn ended(&self, run: &Value) -> Value {
        let path = path_of(run);
        for _ in 0..600 {
            let run = self.get(&path).await;
            if !matches!(run["status"].as_str().unwrap(), "queued" | "in_progress") {
                return run;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{path} does not end: {}", self.get(&path).await)
    }

    async fn make_key(&self, scopes: &[&str], projects: Option<&str>) -> String {
        let mut body = json!({"name": "k", "scopes": scopes});
        if let Some(only) = projects {
            body["projects"] = json!([only]);
        }
        let (status, made) = self.post("/v1/keys", &body).await;
        assert_eq!(status, 200, "{made}");
        made["secret"].as_str().unwrap().to_owned()
    }
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
    format!(
        "/v1/evals/{}/runs/{}",
        text(run, "eval_id"),
        text(run, "id")
    )
}

/// An eval whose rows are graded by a comparison.
fn exact() -> Value {
    json!({
        "name": "E",
        "data_source_config": {"type": "custom", "include_sample_schema": true, "item_schema":
            {"type": "object", "properties": {"label": {"type": "string"}}, "required": ["label"]}},
        "testing_criteria": [{"type": "string_check", "name": "exact", "operation": "eq",
            "input": "{{ sample.output_text }}", "reference": "{{item.label}}"}],
    })
}

/// Rows of which every second one is right.
fn rows(count: usize) -> Value {
    let row = |n: usize| {
        let said = if n.is_multiple_of(2) { "a" } else { "b" };
        json!({"item": {"label": "a", "n": n}, "sample": {"output_text": said}})
    };
    (0..count).map(row).collect()
}

fn inline(rows: Value) -> Value {
    json!({"data_source": {"type": "jsonl", "source": {"type": "file_content", "content": rows}}})
}

fn testdata(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../testdata/openai-evals")
        .join(name)
}
