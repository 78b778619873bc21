//! The commands of grading as people type them, against a real server and a judge on a real socket.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::judge::{Judge, Move};
use testkit::server::{Server, signal};

use super::{body, post, run_of};

const BINARY: &str = env!("CARGO_BIN_EXE_tracegrade");

/// A server with [`super::TRACES`] traces.
fn server(flags: &[&str]) -> Server {
    let server = Server::start(BINARY, flags);
    post(&mut server.client(), "/v1/traces/ingest", &body());
    server
}

/// A judge that passes everything after so many milliseconds.
fn judge(millis: u64) -> Judge {
    let verdict =
        json!({"evidence": [], "reasoning": "fine", "verdict": "pass", "confidence": 0.9});
    let pass = Box::new(Move::Object(verdict));
    let always = Move::Stall(Duration::from_millis(millis), pass);
    Judge::start([]).unwrap().always(always)
}

fn polite() -> String {
    json!({"type": "llm", "name": "polite", "criteria": "Is the answer polite?"}).to_string()
}

fn command(at: SocketAddr, args: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    for name in ["TRACEGRADE_URL", "TRACEGRADE_API_KEY", "TRACEGRADE_PROJECT"] {
        command.env_remove(name);
    }
    command.args(["--url", &format!("http://{at}")]).args(args);
    command
}

fn words(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs a command that must not fail, and returns what it prints.
fn ok(server: &Server, args: &[&str]) -> String {
    let output = command(server.address(), args).output().unwrap();
    assert!(
        output.status.success(),
        "{args:?}: {}",
        words(&output.stderr)
    );
    words(&output.stdout)
}

fn told(server: &Server, args: &[&str]) -> Value {
    let args = [&["--json"][..], args].concat();
    serde_json::from_str(&ok(server, &args)).unwrap()
}

/// Waits until a run is in this state.
fn until(server: &Server, id: &str, status: &str) -> Value {
    let began = Instant::now();
    loop {
        let run = run_of(&mut server.client(), id);
        if run["status"] == status {
            return run;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{run}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_run_is_followed_left_and_found_again() {
    let judge = judge(300);
    let url = judge.base_url();
    let server = server(&["--model-url", &url, "--judge-model", "gpt-4.1-mini"]);
    let grade = ["grade", "--check", "tool_errors == 0"];
    // Whoever does not wait gets the id alone, and comes back with it.
    let detached = ok(&server, &[&grade[..], &["--detach"]].concat());
    let id = detached.trim().to_owned();
    assert!(
        id.starts_with("grun_") && detached.lines().count() == 1,
        "{detached}"
    );
    let watched = ok(&server, &["runs", "watch", &id]);
    assert!(watched.contains("rule-1"), "{watched}");
    until(&server, &id, "completed");
    // Ctrl-C ends the waiting and not the run, and says how to come back.
    let polite = polite();
    let mut waiting = command(server.address(), &["grade", "--grader", &polite])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let id = loop {
        let list = told(&server, &["runs", "list", "--status", "in_progress"]);
        if let Some(id) = list["data"][0]["id"].as_str() {
            break id.to_owned();
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    // It listens for Ctrl-C once it waits.
    std::thread::sleep(Duration::from_millis(300));
    signal(waiting.id(), "INT");
    let status = waiting.wait().unwrap();
    let mut said = String::new();
    waiting
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!(status.code(), Some(130), "{said}");
    assert!(said.contains(&format!("runs watch {id}")), "{said}");
    let run = until(&server, &id, "completed");
    assert_eq!(run["counts"]["done"], super::TRACES, "{run}");
}

/// Passes connections on to a server, but for one path, which it answers itself and breaks off.
fn broken_at(path: &'static str, server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            std::thread::spawn(move || {
                let mut head = vec![0; 64 << 10];
                let n = client.read(&mut head).unwrap_or(0);
                if words(&head[..n])
                    .lines()
                    .next()
                    .is_some_and(|line| line.contains(path))
                {
                    let half = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 999\r\n\r\n: half";
                    let _sent = client.write_all(half.as_bytes());
                    return;
                }
                let Ok(mut upstream) = TcpStream::connect(server) else {
                    return;
                };
                // One request a connection: the next one has to be looked at too.
                let line = head[..n].iter().position(|byte| *byte == b'\n');
                let (line, rest) = head[..n].split_at(line.map_or(n, |at| at + 1));
                for part in [line, b"connection: close\r\n", rest] {
                    let _sent = upstream.write_all(part);
                }
                let (mut from, mut to) =
                    (client.try_clone().unwrap(), upstream.try_clone().unwrap());
                std::thread::spawn(move || std::io::copy(&mut from, &mut to));
                let _done = std::io::copy(&mut upstream, &mut client);
                let _closed = client.shutdown(std::net::Shutdown::Both);
            });
        }
    });
    address
}

#[test]
fn where_events_break_off_the_run_is_looked_at_and_the_reason_told() {
    let judge = judge(20);
    let url = judge.base_url();
    let server = server(&["--model-url", &url, "--judge-model", "gpt-4.1-mini"]);
    let at = broken_at("/events", server.address());
    let Output {
        status,
        stdout,
        stderr,
    } = command(at, &["grade", "--grader", &polite()])
        .output()
        .unwrap();
    let (said, printed) = (words(&stderr), words(&stdout));
    assert!(status.success(), "{said}");
    assert!(said.contains("events broke off"), "{said}");
    assert!(printed.contains("polite"), "{printed}");
    // Where they come through there is nothing to tell of them.
    let few = ["grade", "--grader", &polite(), "--limit", "20"];
    let plain = command(server.address(), &few).output().unwrap();
    let said = words(&plain.stderr);
    assert!(
        plain.status.success() && !said.contains("broke off"),
        "{said}"
    );
    // A run that is not there is no reason to look again and again.
    let none = command(server.address(), &["runs", "watch", "grun_none"])
        .output()
        .unwrap();
    assert_eq!(none.status.code(), Some(1), "{}", words(&none.stderr));
}

#[test]
fn strata_are_typed_and_weighed() {
    let server = server(&[]);
    let mut late = json!({"data": []});
    for n in 0..10 {
        let items = late["data"].as_array_mut().unwrap();
        let id = format!("late_{n}");
        items.push(json!({"object": "trace", "id": id, "workflow_name": "v"}));
        items.push(
            json!({"object": "trace.span", "id": format!("late_span_{n}"), "trace_id": id,
            "started_at": "2026-01-02T03:00:00Z", "ended_at": "2026-01-02T03:00:09Z",
            "span_data": {"type": "agent", "name": "a"}}),
        );
    }
    post(&mut server.client(), "/v1/traces/ingest", &late);
    let grade = ["grade", "--check", "duration_ms < 5000", "--detach"];
    let strata = [
        "--strata",
        "quick:workflow_name=w:30",
        "--strata",
        "workflow_name=v:5",
    ];
    let grade = [&grade[..], &strata[..]].concat();
    let id = told(&server, &grade)["id"].as_str().unwrap().to_owned();
    let run = until(&server, &id, "completed");
    let strata = run["selection"]["strata"].as_array().unwrap();
    let sizes: Vec<Value> = (strata.iter())
        .map(|one| json!([one["name"], one["population"], one["sampled"]]))
        .collect();
    let want = [json!(["quick", 60, 30]), json!(["workflow_name=v", 10, 5])];
    assert_eq!(sizes, want);
    // 60 of 70 keep to the rule, however many of each were drawn.
    let results = told(&server, &["runs", "results", &id]);
    let rate = results["pass_rate"].as_f64().unwrap();
    assert!((rate - 60.0 / 70.0).abs() < 1e-9, "{results}");
    let wrong = ["grade", "--check", "true", "--strata", "v:x"];
    let wrong = command(server.address(), &wrong).output().unwrap();
    assert_eq!(wrong.status.code(), Some(1));
}

#[test]
fn a_watch_is_made_rests_and_looks_back() {
    let server = server(&["--trace-idle", "100ms"]);
    std::thread::sleep(Duration::from_millis(300));
    let made = told(
        &server,
        &[
            "watches",
            "create",
            "all of w",
            "--check",
            "duration_ms < 5000",
            "--workflow-name",
            "w",
            "--cap-per-day",
            "2",
        ],
    );
    let id = made["id"].as_str().unwrap();
    assert!(ok(&server, &["watches", "list"]).contains("all of w"));
    let paused = ok(&server, &["watches", "pause", id]);
    assert!(paused.contains(" off: all of w"), "{paused}");
    assert!(ok(&server, &["watches", "resume", id]).contains(" on: all of w"));
    let back = ok(
        &server,
        &["watches", "backfill", id, "--from", "2026-01-01"],
    );
    assert!(back.starts_with("60 traces"), "{back}");
    let run = made["run_id"].as_str().unwrap();
    let began = Instant::now();
    while run_of(&mut server.client(), run)["counts"]["done"] != super::TRACES {
        assert!(began.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(50));
    }
    let shown = ok(&server, &["watches", "show", id]);
    assert!(
        shown.contains("60 graded") && shown.contains("$2"),
        "{shown}"
    );
    let decided = ok(
        &server,
        &["watches", "decisions", id, "--trace", "trace_007"],
    );
    assert!(
        decided.contains("graded") && decided.contains("trace_007"),
        "{decided}"
    );
    assert!(ok(&server, &["watches", "delete", id]).starts_with("deleted"));
    let gone = command(server.address(), &["watches", "show", id])
        .output()
        .unwrap();
    assert_eq!(gone.status.code(), Some(1));
}

#[test]
fn a_project_says_what_graders_need_to_know() {
    let server = server(&[]);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("answer.json");
    std::fs::write(
        &file,
        json!({"type": "object", "required": ["id"]}).to_string(),
    )
    .unwrap();
    let file = file.to_str().unwrap();
    let save = [
        "graders",
        "save",
        "is an answer",
        "--check",
        "valid(final_output, \"answer\")",
    ];
    let refused = command(server.address(), &save).output().unwrap();
    let said = words(&refused.stderr);
    assert!(
        !refused.status.success() && said.contains("settings schema answer"),
        "{said}"
    );
    assert!(ok(&server, &["settings", "schema", "answer", file]).contains("schema    answer"));
    ok(&server, &save);
    let tool = ok(&server, &["settings", "tool", "pay*", "write"]);
    assert!(tool.contains("tool      pay*: write"), "{tool}");
    ok(
        &server,
        &[
            "settings",
            "workflow",
            "*",
            "--mute",
            "d03",
            "--verify-writes",
            "on",
        ],
    );
    let own = ok(
        &server,
        &[
            "settings", "workflow", "w", "--mute", "D20", "--unmute", "D03",
        ],
    );
    assert!(
        own.contains("workflow  w: D20 muted") && own.contains("*: D03 muted"),
        "{own}"
    );
    ok(&server, &["settings", "window", "my-model", "32000"]);
    ok(&server, &["settings", "judge", "gpt-5"]);
    let all = told(&server, &["settings", "show"]);
    assert_eq!(all["context_windows"], json!({"my-model": 32_000}));
    assert_eq!(all["workflows"]["w"], json!({"muted_detectors": ["D20"]}));
    assert_eq!(all["judge_model"], "gpt-5");
    let change = dir.path().join("change.json");
    std::fs::write(
        &change,
        json!({"tools": null, "judge_model": null}).to_string(),
    )
    .unwrap();
    let all = told(&server, &["settings", "set", change.to_str().unwrap()]);
    assert_eq!(
        (&all["tools"], &all["judge_model"]),
        (&json!({}), &Value::Null)
    );
    let wrong = ["settings", "workflow", "w", "--mute", "D99"];
    let wrong = command(server.address(), &wrong).output().unwrap();
    assert!(
        words(&wrong.stderr).contains("D01 to D30"),
        "{}",
        words(&wrong.stderr)
    );

    // What was archived is listed when it is asked for.
    ok(&server, &["graders", "archive", "is an answer"]);
    assert!(!ok(&server, &["graders", "list"]).contains("is an answer"));
    let all = ok(&server, &["graders", "list", "--archived"]);
    assert!(
        all.contains("is an answer") && all.contains("archived"),
        "{all}"
    );
}

#[test]
fn two_runs_are_compared_in_a_sentence() {
    let server = server(&[]);
    let run = |check: &str| {
        let made = told(&server, &["grade", "--grader", check, "--detach"]);
        let id = made["id"].as_str().unwrap().to_owned();
        until(&server, &id, "completed");
        id
    };
    let rule = |check: &str| json!({"type": "rule", "name": "kept", "check": check}).to_string();
    let [before, after] = [rule("span_count > 0"), rule("span_count > 1000")].map(|it| run(&it));
    let same = ok(&server, &["runs", "compare", &before, &before]);
    assert!(same.contains("kept: these traces cannot tell"), "{same}");
    let refused = ok(&server, &["runs", "compare", &before, &after]);
    assert!(
        refused.contains("grade both runs with one version"),
        "{refused}"
    );
    let asked = [
        "runs",
        "compare",
        &before,
        &after,
        "--allow-changed-graders",
        "--grader",
        "kept",
    ];
    let worse = ok(&server, &asked);
    assert!(worse.starts_with("kept: worse by 100 points"), "{worse}");
    assert!(worse.contains("paired"), "{worse}");
    assert_eq!(told(&server, &asked)["verdict"], "worse");
    let unknown = ["runs", "compare", &before, &after, "--grader", "nope"];
    let output = command(server.address(), &unknown).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn code_is_tried_on_what_is_there() {
    let server = server(&[]);
    let source =
        "def grade(trace):\n    return 1.0 if trace['trace']['workflow_name'] == 'w' else 0.0\n";
    let grader = json!({"type": "code", "name": "of w", "source": source}).to_string();
    let tried = told(
        &server,
        &["graders", "try", "--grader", &grader, "--limit", "3"],
    );
    assert_eq!(tried["data"].as_array().map(Vec::len), Some(3), "{tried}");
    for verdict in tried["data"].as_array().unwrap() {
        match verdict["outcome"].as_str().unwrap() {
            // Where there is no interpreter or no sandbox, that is what it says.
            "unscored" => assert!(verdict["reasoning"].is_string(), "{verdict}"),
            _ => assert_eq!(verdict["score"], 1.0, "{verdict}"),
        }
    }
    // What is no Python is not kept; where nobody can tell, that is what is said.
    let wrong = json!({"type": "code", "source": "def grade(trace)\n    return 1"}).to_string();
    let saved = ["graders", "save", "wrong", "--grader", &wrong];
    let output = command(server.address(), &saved).output().unwrap();
    let said = words(&output.stderr);
    match output.status.success() {
        true => assert!(said.contains("could not be checked"), "{said}"),
        false => assert!(said.contains("`source` is no Python: line 1"), "{said}"),
    }
}
