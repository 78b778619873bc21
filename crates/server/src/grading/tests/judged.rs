//! Graders that ask a judge, and servers that stop in the middle.

use futures::StreamExt;

use super::super::recorded::forget_what_went;
use super::*;

#[tokio::test]
async fn a_judge_grades_and_is_paid_to_the_cent() {
    let judge = Judge::start([]).unwrap().always(pass());
    let server = Server::new(Some(&judge)).await;
    server.record(quick(12)).await;
    let draft = json!({"graders": [polite()], "dry_run": true});
    let (_, draft) = server.post("/v1/evals/traces/grade", &draft).await;
    assert!(
        draft["cost"]["estimate_usd"].as_f64().unwrap() > 0.0,
        "{draft}"
    );
    assert_eq!(draft["cost"]["cap_usd"], 5.0, "a run without a cap has one");
    let run = server
        .grade(&json!({"graders": [polite()], "sample_size": 10}))
        .await;
    assert_eq!(run["selection"]["order"], "hash");
    let run = server.until(&run, &["completed"]).await;
    assert_eq!(run["counts"]["done"], 10, "{run}");
    let grades = server.grades(&run);
    assert!(
        grades
            .iter()
            .all(|it| it.verdict.outcome == model::Outcome::Pass),
        "{grades:?}"
    );
    assert_eq!(grades[0].weight, 1.2);
    assert_eq!((judge.asked().len(), questions(&judge)), (10, 10));
    assert_eq!(run["cost"]["spent_usd"], NanoUsd(10 * CALL.0).to_usd());
    let told: i64 = (grades.iter())
        .map(|it| it.verdict.judge.as_ref().unwrap().cost.unwrap().0)
        .sum();
    assert_eq!(told, 10 * CALL.0);
    // The same questions once more cost nothing.
    let again = json!({"graders": [polite()], "sample_size": 10, "seed": run["selection"]["seed"]});
    let again = server
        .until(&server.grade(&again).await, &["completed"])
        .await;
    assert_eq!(
        (&again["cost"]["spent_usd"], judge.asked().len()),
        (&json!(0.0), 10)
    );
    server.stop().await;
}

#[tokio::test]
async fn what_judges_are_asked_is_a_trace_of_their_own_project() {
    let judge = Judge::start([]).unwrap().always(pass());
    let server = Server::new(Some(&judge)).await;
    server.record(quick(3)).await;
    let run = server
        .until(
            &server.grade(&json!({"graders": [polite()]})).await,
            &["completed"],
        )
        .await;
    let of_judges = |path: &str| {
        let request = server.request(Method::GET, path);
        send(request.header("openai-project", "judge"))
    };
    let mut list = Value::Null;
    for _ in 0..100 {
        list = of_judges("/v1/traces?payload=full&include=spans").await.1;
        if list["data"].as_array().is_some_and(|all| all.len() == 3) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(list["data"].as_array().unwrap().len(), 3, "{list}");
    let one = &list["data"][0];
    assert_eq!(one["workflow_name"], "polite");
    assert_eq!(one["group_id"], run["id"]);
    assert_eq!(one["input_tokens"], 11);
    assert_eq!(one["total_cost_usd"], CALL.to_usd());
    assert!(
        one["metadata"]["graded_trace_id"]
            .as_str()
            .unwrap()
            .starts_with("trace_")
    );
    // What was said is not copied unless somebody asks for it.
    assert!(!list.to_string().contains("on its way"), "{list}");
    // What was asked about a trace goes with it.
    let (status, _) = send(server.request(Method::DELETE, "/v1/traces/trace_001")).await;
    assert_eq!(status, 200);
    let list = of_judges("/v1/traces").await.1;
    assert_eq!(list["data"].as_array().unwrap().len(), 2, "{list}");
    assert!(!list.to_string().contains("trace_001"), "{list}");
    // So it does where retention lets a trace go, which writes it down with its next flush.
    let project = ProjectId::new("default").unwrap();
    let store = &server.state.store;
    let gone = [model::TraceId::new("trace_002").unwrap()];
    store.let_go(&project, &gone).await.unwrap();
    store.flush().await.unwrap();
    let since = model::Time::default();
    let forgotten = forget_what_went(&server.state, since).await.unwrap();
    assert_eq!(forgotten, 1);
    let list = of_judges("/v1/traces").await.1;
    assert_eq!(list["data"].as_array().unwrap().len(), 1, "{list}");
    assert!(!list.to_string().contains("trace_002"), "{list}");
    // Judging those is not recorded in turn.
    let again = server.request(Method::POST, "/v1/evals/traces/grade");
    let again = again
        .header("openai-project", "judge")
        .json(&json!({"graders": [polite()]}));
    let (status, again) = send(again).await;
    assert_eq!(status, 201, "{again}");
    tokio::time::sleep(Duration::from_millis(500)).await;
    let list = of_judges("/v1/traces").await.1;
    assert_eq!(list["data"].as_array().unwrap().len(), 1, "{list}");
    server.stop().await;
}

#[tokio::test]
async fn g1_a_run_goes_on_where_the_server_was_stopped() {
    let slow = || Move::Stall(Duration::from_millis(150), Box::new(pass()));
    let script = [
        pass(),
        Move::busy(20),
        Move::CutOff("x".to_owned()),
        pass(),
        Move::Stall(Duration::from_secs(30), Box::new(pass())),
    ];
    let judge = Judge::start(script).unwrap().always(slow());
    let mut server = Server::new(Some(&judge)).await;
    server.record(quick(40)).await;
    let graders = json!([polite(), {"type": "rule", "check": "duration_ms < 5000"}]);
    let run = server.grade(&json!({"graders": graders})).await;
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(400)).await;
        // What stalls longer than the server waits is asked again.
        let dir = server.stop().await;
        server = Server::over(dir, Some(&judge), Arc::new(SystemClock), |_| {}).await;
    }
    let run = server.until(&run, &["completed"]).await;
    assert_eq!(server.check_once(&run).len(), 40);
    assert_eq!(server.grades(&run).len(), 80);
    assert_eq!(run["counts"]["unscored"], 0, "{run}");
    assert_eq!(questions(&judge), 40);
    assert_eq!(run["cost"]["spent_usd"], NanoUsd(40 * CALL.0).to_usd());
    server.stop().await;
}

#[tokio::test]
async fn whoever_listens_hears_how_far_a_run_is() {
    let slow = Move::Stall(Duration::from_millis(100), Box::new(pass()));
    let judge = Judge::start([]).unwrap().always(slow);
    let server = Server::new(Some(&judge)).await;
    server.record(quick(10)).await;
    let run = server.grade(&json!({"graders": [polite()]})).await;
    let path = format!("/v1/evals/traces/grade/{}/events", text(&run, "id"));
    let response = server.request(Method::GET, &path).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut stream = response.bytes_stream();
    let mut told = String::new();
    while let Some(bytes) = stream.next().await {
        told.push_str(std::str::from_utf8(&bytes.unwrap()).unwrap());
    }
    let events: Vec<&str> = told
        .lines()
        .filter_map(|line| line.strip_prefix("event: "))
        .collect();
    assert_eq!(events.last(), Some(&"completed"), "{told}");
    assert!(events.contains(&"in_progress"), "{told}");
    let last = told
        .lines()
        .rfind(|line| line.starts_with("data: "))
        .unwrap();
    let last: Value = serde_json::from_str(&last["data: ".len()..]).unwrap();
    assert_eq!(last["counts"]["done"], 10);
    let gone = server.request(Method::GET, "/v1/evals/traces/grade/no/events");
    assert_eq!(send(gone).await.0, 404);
    server.stop().await;
}

#[tokio::test]
async fn a_listener_does_not_hold_up_a_server_that_stops() {
    let slow = Move::Stall(Duration::from_secs(2), Box::new(pass()));
    let judge = Judge::start([]).unwrap().always(slow);
    let server = Server::new(Some(&judge)).await;
    server.record(quick(30)).await;
    let run = server.grade(&json!({"graders": [polite()]})).await;
    let path = format!("/v1/evals/traces/grade/{}/events", text(&run, "id"));
    let mut response = server.request(Method::GET, &path).send().await.unwrap();
    response.chunk().await.unwrap().unwrap();
    let began = std::time::Instant::now();
    server.stop().await;
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_trial_tells_what_it_has_before_its_request_has_to_end() {
    let slow = Move::Stall(Duration::from_secs(60), Box::new(pass()));
    let judge = Judge::start([pass(), slow]).unwrap().always(pass());
    let dir = tempfile::tempdir().unwrap();
    let server = Server::over(dir, Some(&judge), Arc::new(SystemClock), |config| {
        config.request_timeout = Duration::from_secs(3);
    })
    .await;
    server.record(quick(2)).await;
    let asked = json!({"grader": polite(), "trace_ids": ["trace_000", "trace_001"]});
    let (status, told) = server.post("/v1/graders/try", &asked).await;
    assert_eq!(status, 200, "{told}");
    assert!(text(&told, "stopped").starts_with("time: "), "{told}");
    assert_eq!(told["data"].as_array().map(Vec::len), Some(1), "{told}");
    server.stop().await;
}

/// A judge that the server's own code trips over, for one trace.
#[derive(Debug)]
struct Stumbling;

impl PlayedJudge for Stumbling {
    fn answer(&self, prompt: &str, _: Option<&Value>) -> String {
        assert!(!prompt.contains("order trace_003"), "a bug of the server");
        json!({"evidence": [], "reasoning": "fine", "verdict": "pass", "confidence": 0.9})
            .to_string()
    }
}

#[tokio::test]
async fn a_grader_that_panics_is_flagged_and_takes_nothing_along() {
    let server = Server::playing(Arc::new(Stumbling)).await;
    server.record(quick(8)).await;
    let graders =
        json!([polite(), {"type": "rule", "name": "fast", "check": "duration_ms < 5000"}]);
    let run = server.grade(&json!({"graders": graders})).await;
    let run = server.until(&run, &["completed"]).await;
    let counts = (&run["counts"]["done"], &run["counts"]["unscored"]);
    assert_eq!(counts, (&json!(8), &json!(1)), "{run}");
    assert_eq!(server.check_once(&run).len(), 8);
    let check = |attempts: usize| {
        let grades = server.grades(&run);
        // One of each grader for each trace, and another for what was tried again.
        assert_eq!(grades.len(), 16 + 2 * (attempts - 1), "{grades:?}");
        let (flagged, good): (Vec<&Grade>, Vec<&Grade>) =
            (grades.iter()).partition(|it| it.verdict.outcome == model::Outcome::Unscored);
        assert_eq!(flagged.len(), attempts);
        for grade in flagged {
            assert_eq!(
                (&*grade.item_id, &*grade.grader_name),
                ("trace_003", "polite")
            );
            let verdict = &grade.verdict;
            assert_eq!(verdict.unscored_reason, Some(model::UnscoredReason::Code));
            let why = verdict.reasoning.as_deref().unwrap();
            assert!(why.contains("panicked"), "{why}");
        }
        assert!(
            good.iter()
                .all(|it| it.verdict.outcome == model::Outcome::Pass)
        );
    };
    check(1);
    // It may be tried again like any other without a verdict.
    server.ask(&run, "retry", &json!({})).await;
    server.until(&run, &["completed"]).await;
    check(2);
    server.stop().await;
}
