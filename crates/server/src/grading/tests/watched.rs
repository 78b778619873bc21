//! Watches decide on what settles.

use model::{FixedClock, Time};

use super::super::watch::{Looks, look};
use super::*;

const HOUR: i64 = 3_600_000_000;

async fn server(judge: Option<&Judge>, clock: &Arc<FixedClock>) -> Server {
    let dir = tempfile::tempdir().unwrap();
    Server::over(dir, judge, Arc::<FixedClock>::clone(clock), |_| {}).await
}

fn clock() -> Arc<FixedClock> {
    Arc::new(FixedClock::at(
        Time::parse_rfc3339("2026-01-02T04:00:00Z").unwrap(),
    ))
}

async fn watch(server: &Server, body: Value) -> Value {
    let (status, watch) = server.post("/v1/evals/traces/watches", &body).await;
    assert_eq!(status, 201, "{watch}");
    watch
}

async fn decided(server: &Server, watch: &Value) -> BTreeMap<String, String> {
    let path = format!(
        "/v1/evals/traces/watches/{}/decisions?limit=1000",
        text(watch, "id")
    );
    let list = server.get(&path).await;
    let list = list["data"].as_array().unwrap();
    list.iter()
        .map(|it| (text(it, "trace_id"), text(it, "decision")))
        .collect()
}

#[tokio::test]
async fn each_trace_is_decided_on_once_it_has_settled() {
    let clock = clock();
    let server = server(None, &clock).await;
    server.record(quick(3)).await;
    let watch = watch(
        &server,
        json!({"name": "all", "graders": [{"type": "rule", "check": "true"}], "filter": {"workflow_name": "w"}}),
    )
    .await;
    let mut looks = Looks::default();
    let state = Arc::clone(&server.state);
    clock.advance_micros(1_000_000);
    server
        .record([("later_1".to_owned(), 10), ("later_2".to_owned(), 10)])
        .await;
    let other = json!({"data": [{"object": "trace", "id": "other", "workflow_name": "x"}]});
    server.post("/v1/traces/ingest", &other).await;
    assert_eq!(
        look(&state, &mut looks).await.unwrap(),
        0,
        "nothing has settled"
    );
    state.store.flush().await.unwrap();
    clock.advance_micros(HOUR);
    assert_eq!(look(&state, &mut looks).await.unwrap(), 2);
    assert_eq!(
        look(&state, &mut looks).await.unwrap(),
        0,
        "each is decided on once"
    );
    let expected = [
        ("later_1", "graded"),
        ("later_2", "graded"),
        ("other", "filtered_out"),
    ];
    let expected = expected.map(|(id, word)| (id.to_owned(), word.to_owned()));
    assert_eq!(decided(&server, &watch).await, BTreeMap::from(expected));
    let run = json!({"id": watch["run_id"]});
    for _ in 0..200 {
        let path = format!("/v1/evals/traces/grade/{}", text(&run, "id"));
        if server.get(&path).await["counts"]["done"] == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(server.check_once(&run).len(), 2);
    // What was there before is graded if somebody asks for it.
    let path = format!("/v1/evals/traces/watches/{}/backfill", text(&watch, "id"));
    let (status, back) = server
        .post(&path, &json!({"start_date": "2026-01-02"}))
        .await;
    assert_eq!(
        (status, &back["graded"], &back["graded_before"]),
        (200, &json!(3), &json!(2)),
        "{back}"
    );
    for _ in 0..200 {
        if server.grades(&run).len() == 5 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(server.check_once(&run).len(), 5);
    server.stop().await;
}

#[tokio::test]
async fn a_sample_is_drawn_by_the_hash_whenever_it_is_looked() {
    let clock = clock();
    let server = server(None, &clock).await;
    let body = json!({"name": "some", "graders": [{"type": "rule", "check": "true"}], "sampling_rate": 0.25});
    let watch = watch(&server, body).await;
    let state = Arc::clone(&server.state);
    let mut looks = Looks::default();
    let mut taken = 0;
    for part in 0..4 {
        let ids = (part * 100..part * 100 + 100).map(|n| (format!("t{n}"), 10));
        clock.advance_micros(HOUR);
        server.record(ids).await;
        clock.advance_micros(HOUR);
        taken += look(&state, &mut looks).await.unwrap();
    }
    // 100 ± 4 standard deviations
    assert!((65..=135).contains(&taken), "{taken}");
    let first = decided(&server, &watch).await;
    assert_eq!(first.len(), 400);
    let path = format!("/v1/evals/traces/watches/{}/backfill", text(&watch, "id"));
    let (_, back) = server.post(&path, &json!({})).await;
    assert_eq!(
        (&back["graded"], &back["graded_before"]),
        (&json!(0), &json!(taken)),
        "a look back takes the same ones"
    );
    assert_eq!(decided(&server, &watch).await, first);
    let watch = server
        .get(&format!("/v1/evals/traces/watches/{}", text(&watch, "id")))
        .await;
    assert_eq!(watch["run"]["counts"]["items"], taken);
    server.stop().await;
}

#[tokio::test]
async fn a_day_costs_no_more_than_it_may() {
    let clock = clock();
    let judge = Judge::start([]).unwrap().always(pass());
    let server = server(Some(&judge), &clock).await;
    let body = json!({"name": "judged", "graders": [polite()], "cap_per_day_usd": 0.0});
    let watch = watch(&server, body).await;
    let state = Arc::clone(&server.state);
    let mut looks = Looks::default();
    clock.advance_micros(HOUR);
    server.record(quick(3)).await;
    let silent = json!({"data": [
        {"object": "trace", "id": "silent", "workflow_name": "w"},
        {"object": "trace.span", "id": "s", "trace_id": "silent", "started_at": "2026-01-02T03:00:00Z",
         "ended_at": "2026-01-02T03:00:01Z", "span_data": {"type": "generation", "model": "m"}}]});
    server.post("/v1/traces/ingest", &silent).await;
    clock.advance_micros(HOUR);
    look(&state, &mut looks).await.unwrap();
    let words = decided(&server, &watch).await;
    assert_eq!(words["trace_001"], "budget", "{words:?}");
    assert_eq!(words["silent"], "no_content", "{words:?}");
    assert_eq!(judge.asked().len(), 0);
    let path = format!("/v1/evals/traces/watches/{}", text(&watch, "id"));
    let (status, changed) = server.post(&path, &json!({"cap_per_day_usd": 1.0})).await;
    assert_eq!(status, 200, "{changed}");
    server.record([("next".to_owned(), 10)]).await;
    clock.advance_micros(HOUR);
    assert_eq!(look(&state, &mut looks).await.unwrap(), 1);
    for _ in 0..200 {
        if judge.asked().len() == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(judge.asked().len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn a_look_back_costs_no_more_than_a_day_may() {
    let clock = clock();
    let judge = Judge::start([]).unwrap().always(pass());
    let server = server(Some(&judge), &clock).await;
    server.record(quick(6)).await;
    let body = json!({"name": "judged", "graders": [polite()], "cap_per_day_usd": 0.0});
    let watch = watch(&server, body).await;
    clock.advance_micros(HOUR);
    let path = format!("/v1/evals/traces/watches/{}", text(&watch, "id"));
    let back = async |from: &str| {
        let asked = json!({ "start_date": from });
        let (status, back) = server.post(&format!("{path}/backfill"), &asked).await;
        assert_eq!(status, 200, "{back}");
        back["graded"].as_u64().unwrap()
    };
    assert_eq!(back("2026-01-02").await, 0, "nothing may be spent");
    let words = decided(&server, &watch).await;
    assert!(words.values().all(|word| word == "budget"), "{words:?}");
    assert_eq!(judge.asked().len(), 0);
    let (status, changed) = server.post(&path, &json!({"cap_per_day_usd": 1.0})).await;
    assert_eq!(status, 200, "{changed}");
    assert_eq!(back("2026-01-02").await, 6);
    let run = json!({"id": watch["run_id"]});
    for _ in 0..500 {
        if server.grades(&run).len() == 6 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(server.check_once(&run).len(), 6);
    // What was graded is not taken again, and the day knows what it cost.
    back("2026-01-02").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!((server.grades(&run).len(), judge.asked().len()), (6, 6));
    let told = server.get(&path).await;
    assert_eq!(
        told["spent_today_usd"],
        NanoUsd(6 * CALL.0).to_usd(),
        "{told}"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_watch_decides_nothing_while_its_run_cannot_grade() {
    let clock = clock();
    let server = server(None, &clock).await;
    let rule = json!([{"type": "rule", "check": "true"}]);
    let watch = watch(&server, json!({"name": "all", "graders": rule})).await;
    let state = Arc::clone(&server.state);
    let mut looks = Looks::default();
    super::super::worker::fail(&state, &text(&watch, "run_id"), "a bug").await;
    clock.advance_micros(HOUR);
    server.record(quick(3)).await;
    clock.advance_micros(HOUR);
    assert_eq!(look(&state, &mut looks).await.unwrap(), 0);
    assert_eq!(decided(&server, &watch).await, BTreeMap::new());
    let path = format!("/v1/evals/traces/watches/{}", text(&watch, "id"));
    let (status, refused) = server.post(&format!("{path}/backfill"), &json!({})).await;
    assert_eq!(status, 409, "{refused}");
    // What came meanwhile is decided on once it goes on.
    let (status, on) = server.post(&path, &json!({"is_on": true})).await;
    assert_eq!(status, 200, "{on}");
    assert_eq!(look(&state, &mut looks).await.unwrap(), 3);
    server.stop().await;
}

#[tokio::test]
async fn the_run_of_a_watch_is_ended_by_the_watch() {
    let server = Server::new(None).await;
    let rule = json!([{"type": "rule", "check": "true"}]);
    let watch = watch(&server, json!({"name": "all", "graders": rule})).await;
    let run = format!("/v1/evals/traces/grade/{}", text(&watch, "run_id"));
    let (status, refused) = server.post(&format!("{run}/cancel"), &json!({})).await;
    assert_eq!(status, 409, "{refused}");
    let delete = async |path: &str| send(server.request(Method::DELETE, path)).await;
    assert_eq!(delete(&run).await.0, 409);
    let path = format!("/v1/evals/traces/watches/{}", text(&watch, "id"));
    assert_eq!(delete(&path).await.0, 200);
    assert_eq!(server.get(&run).await["status"], "canceled");
    let (status, deleted) = delete(&run).await;
    assert_eq!(
        status, 200,
        "a watch that is gone is in nobody's way: {deleted}"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_watch_whose_graders_cannot_run_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let no_python = |config: &mut Config| config.grading.python = "/nowhere/python".into();
    let server = Server::over(dir, None, Arc::new(SystemClock), no_python).await;
    let code = json!({"type": "code", "source": "def grade(trace):\n    return True\n"});
    for grader in [code, polite()] {
        let body = json!({"name": "all", "graders": [grader]});
        let (status, refused) = server.post("/v1/evals/traces/watches", &body).await;
        assert_eq!(
            (status, &refused["error"]["code"]),
            (400, &json!("not_configured")),
            "{refused}"
        );
    }
    server.stop().await;
}
