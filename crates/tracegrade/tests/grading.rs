//! G1 from outside: a run that asks a judge who stalls, refuses and hangs up, on a server that is killed in
//! the middle, over and over. In the end every trace has one grade of each grader, and what was spent is
//! what the judge was asked.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "grading/commands.rs"]
mod commands;
#[path = "grading/pairs.rs"]
mod pairs;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::http::Client;
use testkit::judge::{Judge, Move};
use testkit::prng::Prng;
use testkit::server::{Server, signal};

const TRACES: usize = 60;
const KILLS: usize = 6;

/// What a call of the judge costs by the tokens that it claims, in billionths of a dollar.
const CALL: f64 = 8.0 * 400.0 + 3.0 * 100.0 + 7.0 * 1_600.0;

/// Answers at once, after a while, never in time, half, or with a 429.
fn script(prng: &mut Prng, verdict: &str) -> Vec<Move> {
    let verdict =
        json!({"evidence": [], "reasoning": "fine", "verdict": verdict, "confidence": 0.9});
    let pass = || Move::Object(verdict.clone());
    let after = |millis| Move::Stall(Duration::from_millis(millis), Box::new(pass()));
    let one = |_| match prng.below(10) {
        0 | 1 => Move::busy(30),
        2 => Move::CutOff(verdict.to_string()),
        3 => Move::HangUp,
        4 => after(900),
        5 | 6 => after(250),
        _ => after(60),
    };
    (0..2_000).map(one).collect()
}

/// A server that asks this judge, and writes what it has often.
fn judged_by(judge: &Judge) -> Server {
    let url = judge.base_url();
    let flags = [
        "--model-url",
        &url,
        "--judge-model",
        "gpt-4.1-mini",
        "--flush-age",
        "300ms",
    ];
    Server::start(env!("CARGO_BIN_EXE_tracegrade"), &flags)
}

fn body() -> Value {
    let mut data = Vec::new();
    for n in 0..TRACES {
        let id = format!("trace_{n:03}");
        data.push(json!({"object": "trace", "id": id, "workflow_name": "w"}));
        data.push(
            json!({"object": "trace.span", "id": format!("span_{n}"), "trace_id": id,
            "started_at": "2026-01-02T03:00:00Z", "ended_at": "2026-01-02T03:00:01Z",
            "span_data": {"type": "generation", "model": "gpt-4.1-mini",
                "input": [{"role": "user", "content": format!("Where is order {n}?")}],
                "output": [{"role": "assistant", "content": format!("Order {n} is on its way.")}],
                "usage": {"input_tokens": 10, "output_tokens": 5}}}),
        );
    }
    json!({ "data": data })
}

fn post(client: &mut Client, path: &str, body: &Value) -> Value {
    let answer = client.post(path, body.to_string().as_bytes()).unwrap();
    assert!((200..300).contains(&answer.status), "{path}: {answer:?}");
    answer.json().unwrap_or(Value::Null)
}

fn run_of(client: &mut Client, id: &str) -> Value {
    let answer = client.get(&format!("/v1/evals/traces/grade/{id}"));
    answer.unwrap().ok().unwrap().json().unwrap()
}

/// Kills a server while it works on a run of so many items, over and over. Returns how often the run was
/// not over yet.
fn killed_over_and_over(server: &mut Server, prng: &mut Prng, run: (&str, usize)) -> usize {
    let (id, items) = run;
    let mut done = 0;
    let mut in_the_middle = 0;
    for _ in 0..KILLS {
        std::thread::sleep(Duration::from_millis(300 + prng.below(700) as u64));
        signal(server.pid(), "KILL");
        server.kill();
        server.restart();
        let run = run_of(&mut server.client(), id);
        let now = run["counts"]["done"].as_u64().unwrap();
        assert!(now >= done, "what was done is undone: {run}");
        done = now;
        in_the_middle += usize::from(done < items as u64);
    }
    in_the_middle
}

/// Waits until a run is over, and returns it.
fn completed(server: &Server, id: &str) -> Value {
    let began = Instant::now();
    let mut client = server.client();
    loop {
        let run = run_of(&mut client, id);
        if run["status"] == "completed" {
            return run;
        }
        assert!(began.elapsed() < Duration::from_secs(120), "{run}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn g1_a_run_survives_every_kill_with_one_grade_each_and_every_cent_told() {
    let mut prng = Prng::new(23);
    let judge = Judge::start(script(&mut prng, "pass")).unwrap();
    let mut server = judged_by(&judge);
    let mut client = server.client();
    post(&mut client, "/v1/traces/ingest", &body());
    let asked = json!({"max_cost_usd": 1.0, "graders": [
        {"type": "llm", "name": "polite", "criteria": "Is the answer polite?"},
        {"type": "rule", "name": "fast", "check": "duration_ms < 5000"},
    ]});
    let run = post(&mut client, "/v1/evals/traces/grade", &asked);
    let id = run["id"].as_str().unwrap().to_owned();
    let in_the_middle = killed_over_and_over(&mut server, &mut prng, (&id, TRACES));
    assert!(in_the_middle >= 2, "the run was over too soon");
    let run = completed(&server, &id);
    assert_eq!(run["counts"]["done"], TRACES, "{run}");
    assert_eq!(run["counts"]["unscored"], 0, "{run}");
    let rows = server.client().sql(&format!(
        "SELECT item_id, grader_name, attempt, outcome FROM grades WHERE run_id = '{id}'"
    ));
    let mut grades: BTreeMap<String, usize> = BTreeMap::new();
    for row in rows.unwrap() {
        let key = format!(
            "{} {} {}",
            row["item_id"], row["grader_name"], row["attempt"]
        );
        *grades.entry(key).or_default() += 1;
        assert_eq!(row["outcome"], "pass");
    }
    assert_eq!(grades.len(), 2 * TRACES, "lost");
    assert!(
        grades.values().all(|count| *count == 1),
        "doubled: {grades:?}"
    );
    let questions: BTreeSet<String> = judge
        .asked()
        .iter()
        .map(|one| one.body.to_string())
        .collect();
    assert_eq!(questions.len(), TRACES);
    let spent = run["cost"]["spent_usd"].as_f64().unwrap();
    let expected = TRACES as f64 * CALL / 1e9;
    assert!(
        (spent - expected).abs() < 1e-12,
        "{spent} instead of {expected}"
    );
    server.stop();
}
