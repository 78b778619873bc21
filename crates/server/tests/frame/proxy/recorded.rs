//! What is kept of a call.

use serde_json::{Value, json};

use super::upstream::{CHUNKS, COMPLETION};
use super::{CHAT, KEY, REQUEST, Scene};
use crate::support::send;

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn a_call_is_a_trace_with_all_that_was_said() {
    let scene = Scene::new().await;
    assert_eq!(send(scene.call("")).await.status, 200);
    let trace = scene.traces(1).await.remove(0);
    assert_eq!(trace["status"], "success", "it is over when the call is");
    assert_eq!(trace["generation_count"], 1);
    let span = scene.span().await;
    let figures = [
        "type",
        "source_type",
        "model",
        "input_tokens",
        "cached_tokens",
        "output_tokens",
        "finish_reason",
        "status",
    ];
    let got: Vec<&Value> = figures.iter().map(|name| &span[name]).collect();
    assert_eq!(
        json!(got),
        json!([
            "generation",
            "chat_completion",
            "gpt-4.1-mini-2025-04-14",
            100,
            20,
            30,
            "stop",
            "success"
        ])
    );
    assert!(span["cost_usd"].as_f64().unwrap() > 0.0);
    let base = format!("http://{}/v1/chat/completions", scene.upstream.address);
    assert_eq!(
        span["span_data"],
        json!({
            "type": "chat_completion",
            "input": json_of(REQUEST)["messages"],
            "model_config": {"model": "gpt-4.1-mini", "temperature": 1.0, "base_url": base},
            "output": [json_of(COMPLETION)],
        })
    );
    assert_eq!(
        span["attributes"],
        json!({"retry": 0, "upstream": "openai", "url": base, "http_status": "200", "request_id": "req_upstream"})
    );
}

#[tokio::test]
async fn a_stream_is_put_together_whether_it_is_compressed_or_not() {
    for play in ["stream", "gzip stream"] {
        let scene = Scene::new().await;
        assert_eq!(send(scene.call(play)).await.status, 200);
        let span = scene.span().await;
        assert_eq!(
            span["output"][0]["choices"][0]["message"]["content"],
            "4 C."
        );
        assert_eq!(span["output_tokens"], 2);
        let knows_first = span["ttft_ms"].as_f64().is_some_and(|ms| ms > 0.0);
        assert_eq!(knows_first, play == "stream", "{span}");
    }
    for play in ["gzip", "zstd"] {
        let scene = Scene::new().await;
        scene
            .call(play)
            .send()
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap();
        assert_eq!(scene.span().await["output_preview"], "4 C.", "{play}");
    }
}

#[tokio::test]
async fn a_compressed_request_is_read_too() {
    let scene = Scene::new().await;
    let body = super::upstream::gzip(REQUEST.as_bytes());
    let request = scene
        .send(CHAT, "", body.clone())
        .header("content-encoding", "gzip");
    assert_eq!(send(request).await.status, 200);
    assert_eq!(scene.upstream.got()[0].body, body);
    assert_eq!(scene.span().await["input_preview"], "Oslo?");
}

#[tokio::test]
async fn a_response_is_recorded() {
    let scene = Scene::new().await;
    let body = r#"{"model":"gpt-5","input":"Oslo?","instructions":"Be brief."}"#;
    let answer = send(scene.send("/v1/proxy/openai/responses", "", body)).await;
    assert_eq!(answer.status, 200);
    let span = scene.span().await;
    assert_eq!(span["source_type"], "response");
    assert_eq!(span["output_preview"], "4 C.");
    assert_eq!(span["span_data"]["instructions"], "Be brief.");
}

async fn check_error(play: &str, status: u16, kind: &str, message: &str) -> Value {
    let scene = Scene::new().await;
    assert_eq!(
        send(scene.call(play)).await.status,
        status,
        "passed as it is"
    );
    let span = scene.span().await;
    assert_eq!(span["status"], "error");
    assert_eq!(span["error"]["type"], kind);
    assert_eq!(span["error"]["message"], message);
    assert_eq!(span["model"], "gpt-4.1-mini");
    span
}

#[tokio::test]
async fn what_the_upstream_refuses_is_an_error_in_its_words() {
    let span = check_error("429 first", 429, "rate_limit", "Slow down.").await;
    assert_eq!(span["attributes"]["http_status"], "429");
    check_error("500", 500, "server_error", "upstream exploded").await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_breaks_off_and_is_kept_so_far() {
    let scene = Scene::new().await;
    let answer = scene.call("cut").send().await.unwrap();
    assert!(answer.bytes().await.is_err(), "the client must see it too");
    let span = scene.span().await;
    assert_eq!(span["error"]["type"], "upstream_cut");
    assert_eq!(span["output_preview"], "4 C.");
}

#[tokio::test]
async fn an_upstream_that_says_nothing_more_is_given_up_in_the_end() {
    let scene = Scene::with(|config| {
        config.upstream_idle_timeout = std::time::Duration::from_millis(300);
    })
    .await;
    let answer = scene.call("stall").send().await.unwrap();
    assert!(answer.bytes().await.is_err());
    assert_eq!(scene.span().await["error"]["type"], "timeout");
    let silent = send(scene.send(CHAT, "silent", r#"{"messages":[]}"#)).await;
    assert_eq!(silent.error(), (504, "upstream_timeout".into()));
    let traces = scene.traces(2).await;
    let kinds: Vec<&Value> = traces.iter().map(|trace| &trace["status"]).collect();
    assert_eq!(kinds, ["timeout", "timeout"]);
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_what_it_has_seen() {
    let scene = Scene::new().await;
    let mut answer = scene.call("stall").send().await.unwrap();
    let mut seen = 0;
    while seen < CHUNKS[..3].concat().len() {
        seen += answer.chunk().await.unwrap().unwrap().len();
    }
    drop(answer);
    let span = scene.span().await;
    assert_eq!(span["error"]["type"], "client_disconnected");
    assert_eq!(
        span["error"]["message"],
        "the client hung up before the answer ended"
    );
    assert_eq!(span["output_preview"], "4 C.");
}

#[tokio::test]
async fn attempts_at_one_call_are_spans_of_one_trace() {
    let scene = Scene::new().await;
    assert_eq!(send(scene.call("429 first")).await.status, 429);
    scene.books(1).await;
    let again = scene
        .call("429 first")
        .header("x-stainless-retry-count", "1");
    assert_eq!(send(again).await.status, 200);
    let traces = scene.traces(2).await;
    assert_eq!(traces.len(), 1);
    assert_eq!(traces[0]["status"], "success", "it was got over");
    let spans = scene.spans(&traces[0]).await;
    let told: Vec<Value> = spans
        .iter()
        .map(|span| json!([span["status"], span["attributes"]["retry"]]))
        .collect();
    assert_eq!(told, [json!(["error", 0]), json!(["success", 1])]);
}

#[tokio::test]
async fn a_call_says_where_it_belongs() {
    let scene = Scene::new().await;
    let named = scene
        .call("")
        .header("x-tracegrade-trace-id", "trace_mine")
        .header("x-tracegrade-group-id", "chat-7")
        .header("x-tracegrade-workflow", "weather");
    assert_eq!(send(named).await.status, 200);
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    assert_eq!(
        send(scene.call("").header("traceparent", parent))
            .await
            .status,
        200
    );
    assert_eq!(scene.upstream.got()[1].headers["traceparent"], parent);
    let traces = scene.traces(2).await;
    let mine = traces
        .iter()
        .find(|trace| trace["id"] == "trace_mine")
        .unwrap();
    assert_eq!(mine["group_id"], "chat-7");
    assert_eq!(mine["workflow_name"], "weather");
    let theirs = traces.iter().find(|trace| *trace != mine).unwrap();
    assert_eq!(theirs["id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    let spans = scene.spans(theirs).await;
    assert_eq!(spans[0]["parent_id"], "00f067aa0ba902b7");
}

#[tokio::test]
async fn a_conversation_is_one_trace_if_that_is_wanted() {
    let scene = Scene::new().await;
    let say = async |path: &str, body: Value, join: bool| {
        let mut call = scene.send(path, "", body.to_string());
        if join {
            call = call.header("x-tracegrade-join", "history");
        }
        assert_eq!(send(call).await.status, 200);
    };
    let message = |role: &str, text: &str| json!({"role": role, "content": text});
    let mut messages = vec![message("user", "a")];
    say(CHAT, json!({"messages": messages}), true).await;
    scene.books(1).await;
    messages.extend([message("assistant", "b"), message("user", "c")]);
    say(CHAT, json!({"messages": messages}), true).await;
    scene.books(2).await;
    say(CHAT, json!({"messages": messages}), false).await;
    scene.books(3).await;
    let responses = "/v1/proxy/openai/responses";
    say(responses, json!({"input": "x"}), true).await;
    scene.books(4).await;
    let next = json!({"input": "y", "previous_response_id": "resp_1"});
    say(responses, next, true).await;
    let traces = scene.traces(5).await;
    let mut counts: Vec<u64> = traces
        .iter()
        .map(|t| t["span_count"].as_u64().unwrap())
        .collect();
    counts.sort_unstable();
    assert_eq!(counts, [1, 2, 2]);
}

#[tokio::test]
async fn calls_that_end_as_the_server_stops_are_kept() {
    let scene = Scene::new().await;
    for n in 0..20 {
        let body = json!({"messages": [{"role": "user", "content": n.to_string()}]});
        let call = scene.send(CHAT, "stream", body.to_string());
        call.send().await.unwrap().bytes().await.unwrap();
    }
    let dir = scene.server.stop().await;
    let running = crate::support::start(crate::support::config(dir.path())).await;
    let url = format!("http://{}/v1/traces?limit=100", running.address());
    let list = send(crate::support::client().get(url)).await.json();
    assert_eq!(list["data"].as_array().unwrap().len(), 20);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn the_upstreams_key_is_nowhere_on_disk_and_in_no_log() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer({
            let log = log.clone();
            move || log.clone()
        })
        .finish();
    let _logs = tracing::subscriber::set_default(subscriber);
    let scene = Scene::new().await;
    for play in ["", "stream", "500", "echo key", "cut"] {
        // Each another call: the same one after a failure would be an attempt at it.
        let body = json!({"messages": [{"role": "user", "content": play}]});
        let call = scene.send(CHAT, play, body.to_string());
        let call = call.header("api-key", KEY);
        let _cut = call.send().await.unwrap().bytes().await;
    }
    let traces = scene.traces(5).await;
    let refused = traces
        .iter()
        .find(|trace| trace["error"]["type"] == "authentication");
    assert_eq!(refused.unwrap()["error"]["message"], "Bearer [redacted]");
    let dir = scene.server.stop().await;
    let mut read = 0;
    let mut folders = vec![dir.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            assert!(!holds_key(&bytes), "{}", path.display());
            read += bytes.len();
        }
    }
    assert!(read > 10_000, "the files were read");
    let log = std::mem::take(&mut *log.0.lock());
    assert!(
        String::from_utf8_lossy(&log).contains("answered"),
        "there is a log"
    );
    assert!(!holds_key(&log));
}

fn holds_key(bytes: &[u8]) -> bool {
    bytes
        .windows(KEY.len())
        .any(|window| window == KEY.as_bytes())
}

/// A log that is kept in memory.
#[derive(Clone, Default)]
struct Log(std::sync::Arc<parking_lot::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
