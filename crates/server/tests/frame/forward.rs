//! What is accepted goes on to others, whatever these do.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use ingest::agents_sdk::Context;
use ingest::otlp::{Encoding, decode_logs, decode_traces};
use model::{Source, Time};
use reqwest::Method;
use serde_json::{Value, json};
use server::{Config, Flags, Running};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinHandle;

use crate::support::{Answer, batch, client, config, send, start};

/// What a target got.
#[derive(Debug)]
struct Got {
    path: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// How it answers, one request after the other; then 200.
type Script = Arc<Mutex<VecDeque<Response>>>;

#[derive(Clone)]
struct Desk {
    script: Script,
    got: mpsc::UnboundedSender<Got>,
    /// While this is true no answer comes.
    stalls: watch::Receiver<bool>,
}

/// A target on a port of its own.
struct Target {
    url: String,
    got: mpsc::UnboundedReceiver<Got>,
    stalls: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Drop for Target {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(desk): State<Desk>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let mut stalls = desk.stalls.clone();
    drop(stalls.wait_for(|stalls| !stalls).await);
    let mut inflated = Vec::new();
    flate2::read::GzDecoder::new(&body[..])
        .read_to_end(&mut inflated)
        .unwrap();
    let answer = desk.script.lock().await.pop_front();
    let got = Got {
        path: uri.path().to_owned(),
        headers,
        body: inflated,
    };
    let _gone = desk.got.send(got);
    answer.unwrap_or_else(|| StatusCode::OK.into_response())
}

impl Target {
    async fn new(script: Vec<Response>) -> Self {
        Self::at("127.0.0.1:0", script, false).await
    }

    async fn at(address: &str, script: Vec<Response>, is_stalling: bool) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (send, got) = mpsc::unbounded_channel();
        let (stalls, is_stalling) = watch::channel(is_stalling);
        let desk = Desk {
            script: Arc::new(Mutex::new(script.into())),
            got: send,
            stalls: is_stalling,
        };
        let routes = Router::new().fallback(answer).with_state(desk);
        #[expect(clippy::disallowed_methods, reason = "it ends with the target")]
        let task = tokio::spawn(async { axum::serve(listener, routes).await.unwrap() });
        Self {
            url,
            got,
            stalls,
            task,
        }
    }

    /// Waits for a request.
    async fn next(&mut self) -> Got {
        self.got.recv().await.unwrap()
    }
}

/// Settings with these tables.
fn with(dir: &std::path::Path, tables: &str) -> Config {
    let file = dir.join("tracegrade.toml");
    std::fs::write(&file, tables).unwrap();
    let flags = Flags {
        config: Some(file),
        ..Flags::default()
    };
    let lookup = |name: &str| (name == "TOKEN").then(|| "s3cret".to_owned());
    let loaded = Config::load_with(&flags, &lookup).unwrap();
    let mut config = config(dir);
    config.forwards = loaded.forwards;
    config
}

async fn ingest(running: &Running, project: &str, body: String) -> Answer {
    let url = format!("http://{}/v1/traces/ingest", running.address());
    let request = client().request(Method::POST, url).body(body);
    let answer = send(request.header("openai-project", project)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer
}

async fn make_project(running: &Running, id: &str) {
    let url = format!("http://{}/v1/projects", running.address());
    let made = send(client().post(url).json(&json!({ "id": id }))).await;
    assert_eq!(made.status, 200, "{}", made.text);
}

async fn health(running: &Running) -> Value {
    let url = format!("http://{}/v1/health/ingest", running.address());
    send(client().get(url)).await.json()["forwards"][0].clone()
}

/// Asks until the figures are as they shall be.
async fn until(running: &Running, is_so: impl Fn(&Value) -> bool) -> Value {
    loop {
        let told = health(running).await;
        if is_so(&told) {
            return told;
        }
        tokio::task::yield_now().await;
    }
}

/// The workflows of the traces in a request to a webhook.
fn traces(got: &Got) -> Vec<String> {
    let lines = got
        .body
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    let id = |line: &[u8]| {
        let line: Value = serde_json::from_slice(line).unwrap();
        line["trace"]["id"].as_str().unwrap().to_owned()
    };
    lines.map(id).collect()
}

fn status(code: u16) -> Response {
    (StatusCode::from_u16(code).unwrap(), "because").into_response()
}

fn webhook(url: &str, more: &str) -> String {
    format!("[[forward]]\nname = \"hook\"\nkind = \"webhook\"\nurl = \"{url}/hook\"\n{more}\n")
}

#[tokio::test]
async fn t1_a_project_that_forwards_never_sends_another_projects_rows() {
    let mut target = Target::new(Vec::new()).await;
    let dir = tempfile::tempdir().unwrap();
    let more = "projects = [\"shop\"]\nheaders = { authorization = \"Bearer {env:TOKEN}\" }";
    let running = start(with(dir.path(), &webhook(&target.url, more))).await;
    make_project(&running, "shop").await;
    make_project(&running, "other").await;
    for n in 0..20 {
        ingest(&running, "other", batch(&format!("trace_secret_{n}"))).await;
        ingest(&running, "default", batch(&format!("trace_default_{n}"))).await;
        ingest(&running, "shop", batch(&format!("trace_shop_{n}"))).await;
    }
    let mut seen = Vec::new();
    while seen.len() < 20 {
        let got = target.next().await;
        assert_eq!(
            (got.path.as_str(), &got.headers["authorization"]),
            ("/hook", &"Bearer s3cret".parse().unwrap())
        );
        seen.extend(traces(&got));
    }
    let want: Vec<String> = (0..20).map(|n| format!("trace_shop_{n}")).collect();
    assert_eq!(seen, want);
    let told = until(&running, |told| told["sent"] == 20).await;
    assert_eq!(
        (&told["refused"], &told["given_up"], &told["lag_bytes"]),
        (&json!(0), &json!(0), &json!(0))
    );
    running.stop().await.unwrap();
}

/// The same span as protobuf, as JSON with OpenInference's attributes, and as an item of the Agents SDK.
fn check_forms(otlp: Vec<u8>, openinference: Vec<u8>, openai: &[u8]) {
    let context = Context::new(Source::Otlp, Time::from_micros(0));
    let read = decode_traces(otlp.into(), Encoding::Protobuf, &context).unwrap();
    assert_eq!(
        read.spans[0].trace_id.as_str(),
        "00000000000000000000000000000abc"
    );
    assert_eq!(
        (read.spans[0].span_type, read.spans[0].name.as_str()),
        (model::SpanType::Function, "f")
    );
    let text = String::from_utf8(openinference).unwrap();
    assert!(
        text.contains("openinference.span.kind") && !text.contains("tracegrade.item"),
        "{text}"
    );
    assert!(
        decode_logs(text.into(), Encoding::Json)
            .unwrap()
            .records
            .is_empty()
    );
    let items: Value = serde_json::from_slice(openai).unwrap();
    assert_eq!(
        (
            &items["data"][0]["object"],
            &items["data"][1]["span_data"]["name"]
        ),
        (&json!("trace"), &json!("f"))
    );
}

#[tokio::test]
async fn each_kind_gets_its_form_and_filters_and_samples_hold() {
    let mut target = Target::new(Vec::new()).await;
    let dir = tempfile::tempdir().unwrap();
    let table = |name: &str, more: &str| format!("[[forward]]\nname = \"{name}\"\n{more}\n");
    let url = &target.url;
    let tables = [
        table("a", &format!("kind = \"otlp\"\nurl = \"{url}/a\"")),
        table(
            "b",
            &format!(
                "kind = \"otlp\"\nprotocol = \"http/json\"\ndialect = \"openinference\"\nurl = \"{url}/b\""
            ),
        ),
        table("c", &format!("kind = \"openai\"\nurl = \"{url}/c\"")),
        table(
            "d",
            &format!("kind = \"webhook\"\nurl = \"{url}/d\"\nsample = 0"),
        ),
        table(
            "e",
            &format!(
                "kind = \"webhook\"\nurl = \"{url}/e\"\nfilter = {{ workflow_name = \"none\" }}"
            ),
        ),
    ];
    let running = start(with(dir.path(), &tables.concat())).await;
    ingest(
        &running,
        "default",
        batch("trace_00000000000000000000000000000abc"),
    )
    .await;
    let mut got = [
        target.next().await,
        target.next().await,
        target.next().await,
    ];
    got.sort_by(|a, b| a.path.cmp(&b.path));
    let [otlp, openinference, openai] = got;
    assert_eq!(
        (
            otlp.path.as_str(),
            openinference.path.as_str(),
            openai.path.as_str()
        ),
        ("/a/v1/traces", "/b/v1/traces", "/c")
    );
    check_forms(otlp.body, openinference.body, &openai.body);
    let url = format!("http://{}/v1/health/ingest", running.address());
    loop {
        let told = send(client().get(&url)).await.json();
        let filtered = |at: usize| told["forwards"][at]["filtered"] == 1;
        if filtered(3) && filtered(4) {
            break;
        }
    }
    running.stop().await.unwrap();
}

#[tokio::test]
async fn what_may_pass_is_sent_again_and_what_is_refused_is_counted() {
    let mut later = status(429);
    later
        .headers_mut()
        .insert("retry-after", "0".parse().unwrap());
    let mut target = Target::new(vec![status(500), later, status(200), status(400)]).await;
    let dir = tempfile::tempdir().unwrap();
    let running = start(with(dir.path(), &webhook(&target.url, ""))).await;
    ingest(&running, "default", batch("trace_a")).await;
    for _ in 0..3 {
        assert_eq!(traces(&target.next().await), ["trace_a"]);
    }
    until(&running, |told| told["sent"] == 1).await;
    ingest(&running, "default", batch("trace_b")).await;
    assert_eq!(traces(&target.next().await), ["trace_b"]);
    let told = until(&running, |told| told["refused"] == 1).await;
    assert_eq!(
        (&told["retries"], &told["last_error"]),
        (&json!(2), &json!("400 Bad Request: because"))
    );
    ingest(&running, "default", batch("trace_c")).await;
    assert_eq!(
        traces(&target.next().await),
        ["trace_c"],
        "a refusal holds nothing up"
    );
    let url = format!("http://{}/metrics", running.address());
    let figures = send(client().get(url)).await.text;
    assert!(
        figures
            .contains("tracegrade_forward_outcomes_total{forward=\"hook\",outcome=\"refused\"} 1"),
        "{figures}"
    );
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_target_that_was_dead_or_stalled_gets_everything_after_a_restart_in_order() {
    let target = Target::new(Vec::new()).await;
    let address = target.url.strip_prefix("http://").unwrap().to_owned();
    drop(target);
    let dir = tempfile::tempdir().unwrap();
    let tables = webhook(&format!("http://{address}"), "timeout = \"200ms\"");
    let running = start(with(dir.path(), &tables)).await;
    for n in 0..5 {
        // The target is dead, and nobody who sends waits for it.
        ingest(&running, "default", batch(&format!("trace_{n}"))).await;
    }
    until(&running, |told| {
        told["last_error"].is_string() && told["lag_seconds"].as_f64() > Some(0.0)
    })
    .await;
    // All rows are in files, and the log is kept for the target alone.
    running.store().flush().await.unwrap();
    running.stop().await.unwrap();
    let stalling = Target::at(&address, Vec::new(), true).await;
    let running = start(with(dir.path(), &tables)).await;
    ingest(&running, "default", batch("trace_5")).await;
    until(&running, |told| told["last_error"].is_string()).await;
    let mut target = stalling;
    target.stalls.send(false).unwrap();
    let mut seen = Vec::new();
    while seen.last().map(String::as_str) != Some("trace_5") {
        seen.extend(traces(&target.next().await));
    }
    let mut first_seen = Vec::new();
    for id in seen {
        if !first_seen.contains(&id) {
            first_seen.push(id);
        }
    }
    let want: Vec<String> = (0..6).map(|n| format!("trace_{n}")).collect();
    assert_eq!(first_seen, want);
    let told = until(&running, |told| {
        told["lag_bytes"] == 0 && told["lag_seconds"] == 0.0
    })
    .await;
    assert_eq!(told["given_up"], 0);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn beyond_its_bound_the_oldest_is_given_up_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let mut target = Target::at("127.0.0.1:0", Vec::new(), true).await;
    let tables = webhook(&target.url, "timeout = \"100ms\"\nlag_bytes_max = 1");
    let running = start(with(dir.path(), &tables)).await;
    ingest(&running, "default", batch("trace_0")).await;
    until(&running, |told| told["last_error"].is_string()).await;
    ingest(&running, "default", batch("trace_1")).await;
    until(&running, |told| told["given_up"].as_u64() >= Some(1)).await;
    target.stalls.send(false).unwrap();
    while traces(&target.next().await) != ["trace_1"] {}
    running.stop().await.unwrap();
}
