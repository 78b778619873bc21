//! Runs from outside, on a server in this process, with a judge on a real socket that does what its script
//! says.

mod halts;
mod judged;
mod paired;
mod referenced;
mod ruled;
mod stopped;
mod usual;
mod watched;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use model::{Clock, Grade, NanoUsd, ProjectId, SystemClock};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use store::GradeFilter;
use store::disk::RealDisk;
use tempfile::TempDir;
use testkit::judge::{Judge, Move};

use crate::state::AppState;
use crate::{App, Config, PlayedJudge, Running, bind};

/// What a call of the scripted judge costs, by the tokens that it claims: eight read, three of the cache,
/// seven written, of gpt-4.1-mini.
const CALL: NanoUsd = NanoUsd(8 * 400 + 3 * 100 + 7 * 1_600);

/// A server to test with, and a client of it.
struct Server {
    running: Running,
    state: AppState,
    client: reqwest::Client,
    dir: TempDir,
}

impl Server {
    async fn new(judge: Option<&Judge>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self::over(dir, judge, Arc::new(SystemClock), |_| {}).await
    }

    async fn over(
        dir: TempDir,
        judge: Option<&Judge>,
        clock: Arc<dyn Clock>,
        adjust: impl FnOnce(&mut Config),
    ) -> Self {
        Self::started(dir, judge, clock, adjust, |_| {}).await
    }

    /// Starts one whose judge is played.
    async fn playing(judge: Arc<dyn PlayedJudge>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let play = |app: &mut App| app.play_judge(judge);
        Self::started(dir, None, Arc::new(SystemClock), |_| {}, play).await
    }

    async fn started(
        dir: TempDir,
        judge: Option<&Judge>,
        clock: Arc<dyn Clock>,
        adjust: impl FnOnce(&mut Config),
        change: impl FnOnce(&mut App),
    ) -> Self {
        let mut config = Config::default();
        config.listen = "127.0.0.1:0".parse().unwrap();
        config.grpc_listen = None;
        config.store.data_dir = dir.path().join("data");
        config.store.free_bytes_min = 0;
        config.grading.model_url = judge.map(Judge::base_url);
        config.grading.judge_model = Some("gpt-4.1-mini".to_owned());
        adjust(&mut config);
        let listeners = bind(&config).await.unwrap();
        let mut app = App::build(config, clock, Arc::new(RealDisk)).await.unwrap();
        change(&mut app);
        let state = Arc::clone(app.state());
        let _first = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().tls_certs_only([]).no_proxy();
        Self {
            running: app.spawn(listeners).unwrap(),
            state,
            client: client.build().unwrap(),
            dir,
        }
    }

    async fn stop(self) -> TempDir {
        drop(self.state);
        self.running.stop().await.unwrap();
        self.dir
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("http://{}{path}", self.running.address());
        self.client.request(method, url)
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = send(self.request(Method::GET, path)).await;
        assert_eq!(status, 200, "{body}");
        body
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        send(self.request(Method::POST, path).json(body)).await
    }

    /// Makes a run.
    async fn grade(&self, body: &Value) -> Value {
        let (status, run) = self.post("/v1/evals/traces/grade", body).await;
        assert_eq!(status, 201, "{run}");
        assert_eq!(run["object"], "trace.grading_run");
        run
    }

    /// Waits until a run is in one of these states, and returns it.
    async fn until(&self, run: &Value, wanted: &[&str]) -> Value {
        let path = format!("/v1/evals/traces/grade/{}", text(run, "id"));
        for _ in 0..1_500 {
            let run = self.get(&path).await;
            if wanted.contains(&run["status"].as_str().unwrap()) {
                return run;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("it does not come so far: {}", self.get(&path).await)
    }

    /// Asks something of a run, such as to pause.
    async fn ask(&self, run: &Value, what: &str, body: &Value) -> Value {
        let path = format!("/v1/evals/traces/grade/{}/{what}", text(run, "id"));
        let (status, answer) = self.post(&path, body).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// Sends traces that ended a while ago, each with an answer of a model and a call of a tool that took
    /// so many milliseconds.
    async fn record(&self, traces: impl IntoIterator<Item = (String, u64)>) {
        let mut data = Vec::new();
        for (n, (id, millis)) in traces.into_iter().enumerate() {
            let (minute, second) = (n / 60 % 60, n % 60);
            let began = format!("2026-01-02T03:{minute:02}:{second:02}.000Z");
            let began = model::Time::parse_rfc3339(&began).unwrap();
            let ended = began.plus_micros(millis as i64 * 1_000);
            let span = |span: &str, parent: Option<&str>, span_data: Value| {
                json!({"object": "trace.span", "id": format!("{span}_{id}"), "trace_id": id,
                    "parent_id": parent.map(|parent| format!("{parent}_{id}")),
                    "started_at": began.to_string(), "ended_at": ended.to_string(), "span_data": span_data})
            };
            data.push(
                json!({"object": "trace", "id": id, "workflow_name": "w", "group_id": format!("g{}", n / 2)}),
            );
            data.push(span("agent", None, json!({"type": "agent", "name": "A"})));
            data.push(span(
                "generation",
                Some("agent"),
                json!({"type": "generation", "model": "gpt-4.1-mini",
                    "input": [{"role": "user", "content": format!("Where is order {id}?")}],
                    "output": [{"role": "assistant", "content": format!("Order {id} is on its way.")}],
                    "usage": {"input_tokens": 10, "output_tokens": 5}}),
            ));
            data.push(span(
                "function",
                Some("agent"),
                json!({"type": "function", "name": "find", "input": "{}", "output": "found"}),
            ));
        }
        let sent = data.len();
        let (status, taken) = self.post("/v1/traces/ingest", &json!({"data": data})).await;
        assert!(matches!(status, 200 | 204), "{status} {sent} {taken}");
    }

    /// Returns all grades of a run.
    fn grades(&self, run: &Value) -> Vec<Grade> {
        let project = ProjectId::new("default").unwrap();
        let filter = GradeFilter {
            run_id: Some(text(run, "id")),
            with_texts: true,
            ..GradeFilter::default()
        };
        let mut grades = Vec::new();
        let snapshot = self.state.store.snapshot(&project);
        let read = snapshot.for_each_grade(&filter, &mut |grade| {
            grades.push(grade);
            ControlFlow::Continue(())
        });
        read.unwrap();
        grades
    }

    /// Checks that there is one grade for each trace, grader and attempt, and returns the traces.
    fn check_once(&self, run: &Value) -> BTreeSet<String> {
        let mut seen: BTreeMap<(String, String, u32), usize> = BTreeMap::new();
        for grade in self.grades(run) {
            let key = (grade.item_id, grade.grader_id, grade.attempt);
            *seen.entry(key).or_default() += 1;
        }
        let twice: Vec<_> = seen.iter().filter(|(_, count)| **count > 1).collect();
        assert!(twice.is_empty(), "graded twice: {twice:?}");
        seen.into_keys().map(|(trace, _, _)| trace).collect()
    }
}

async fn send(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
    (status, value)
}

fn text(value: &Value, name: &str) -> String {
    let text = value[name].as_str();
    text.unwrap_or_else(|| panic!("no {name} in {value}"))
        .to_owned()
}

/// Ids of traces.
fn traces(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("trace_{n:03}")).collect()
}

/// Traces that took a second each.
fn quick(count: usize) -> Vec<(String, u64)> {
    traces(count).into_iter().map(|id| (id, 1_000)).collect()
}

/// What a judge says that is content.
fn pass() -> Move {
    Move::Object(json!({"evidence": [], "reasoning": "fine", "verdict": "pass", "confidence": 0.9}))
}

/// A grader that asks a judge one question about each trace.
fn polite() -> Value {
    json!({"type": "llm", "name": "polite", "criteria": "Is the answer polite?"})
}

/// Returns how many different questions a judge was asked.
fn questions(judge: &Judge) -> usize {
    let asked = judge.asked();
    let bodies: BTreeSet<String> = asked.iter().map(|one| one.body.to_string()).collect();
    bodies.len()
}
