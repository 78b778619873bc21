//! Runs that pause, are stopped, tried again, or lose a trace on the way.

use stats::sample::Sampler;

use super::*;

fn slow(millis: u64) -> Move {
    Move::Stall(Duration::from_millis(millis), Box::new(pass()))
}

#[tokio::test]
async fn a_run_stops_at_its_cap_with_a_random_sample_and_goes_on_when_it_may_spend_more() {
    let judge = Judge::start([]).unwrap().always(pass());
    let dir = tempfile::tempdir().unwrap();
    let server = Server::over(dir, Some(&judge), Arc::new(SystemClock), |config| {
        config.grading.traces_at_once = 1;
    })
    .await;
    server.record(quick(20)).await;
    // One question is thought to cost far more than it does; so some are asked before the cap is near.
    let draft = json!({"graders": [polite()], "dry_run": true});
    let (_, draft) = server.post("/v1/evals/traces/grade", &draft).await;
    let one = draft["cost"]["estimate_usd"].as_f64().unwrap() / 20.0;
    let cap = one + 5.0 * CALL.to_usd();
    let run = server
        .grade(&json!({"graders": [polite()], "max_cost_usd": cap, "seed": "s"}))
        .await;
    let run = server.until(&run, &["paused"]).await;
    assert!(text(&run, "reason").starts_with("budget: "), "{run}");
    let done = run["counts"]["done"].as_u64().unwrap() as usize;
    assert!((3..12).contains(&done), "{run}");
    assert!(run["cost"]["spent_usd"].as_f64().unwrap() <= cap);
    // What was graded is the beginning of the hash's order.
    let all = traces(20);
    let first = Sampler::new(b"s").first(done, all.iter().map(String::as_str));
    let first: BTreeSet<String> = first.into_iter().map(str::to_owned).collect();
    assert_eq!(server.check_once(&run), first);
    server.ask(&run, "cap", &json!({"max_cost_usd": 1.0})).await;
    server.ask(&run, "resume", &json!({})).await;
    let run = server.until(&run, &["completed"]).await;
    assert_eq!(server.check_once(&run).len(), 20);
    assert_eq!(run["cost"]["spent_usd"], NanoUsd(20 * CALL.0).to_usd());
    server.stop().await;
}

#[tokio::test]
async fn many_at_once_use_a_cap_up_before_they_pause() {
    let judge = Judge::start([]).unwrap().always(slow(10));
    let server = Server::new(Some(&judge)).await;
    server.record(quick(20)).await;
    let draft = json!({"graders": [polite()], "dry_run": true});
    let (_, draft) = server.post("/v1/evals/traces/grade", &draft).await;
    let one = draft["cost"]["estimate_usd"].as_f64().unwrap() / 20.0;
    // Enough for one at a time, not for eight.
    let cap = one + 4.0 * CALL.to_usd();
    let run = server
        .grade(&json!({"graders": [polite()], "max_cost_usd": cap}))
        .await;
    let run = server.until(&run, &["paused"]).await;
    let done = run["counts"]["done"].as_u64().unwrap();
    assert!((2..=8).contains(&done), "{run}");
    assert_eq!(server.check_once(&run).len() as u64, done);
    server.stop().await;
}

#[tokio::test]
async fn a_judge_that_refuses_everybody_pauses_the_run() {
    let refused = Move::error(401, "invalid_api_key", "this key opens nothing");
    let judge = Judge::start([pass(), refused.clone(), refused])
        .unwrap()
        .always(pass());
    let dir = tempfile::tempdir().unwrap();
    let server = Server::over(dir, Some(&judge), Arc::new(SystemClock), |config| {
        config.grading.traces_at_once = 1;
    })
    .await;
    server.record(quick(6)).await;
    let run = server.grade(&json!({"graders": [polite()]})).await;
    let run = server.until(&run, &["paused"]).await;
    assert!(text(&run, "reason").contains("opens nothing"), "{run}");
    assert_eq!(run["counts"]["done"], 1, "the queue is not burnt: {run}");
    server.ask(&run, "resume", &json!({})).await;
    let run = server.until(&run, &["paused", "completed"]).await;
    if run["status"] == "paused" {
        server.ask(&run, "resume", &json!({})).await;
    }
    let run = server.until(&run, &["completed"]).await;
    assert_eq!(server.check_once(&run).len(), 6);
    assert_eq!(run["counts"]["unscored"], 0);
    server.stop().await;
}

#[tokio::test]
async fn a_paused_run_keeps_what_is_under_way_and_a_canceled_one_does_not_come_back() {
    let judge = Judge::start([]).unwrap().always(slow(100));
    let server = Server::new(Some(&judge)).await;
    server.record(quick(60)).await;
    let run = server.grade(&json!({"graders": [polite()]})).await;
    server.until(&run, &["in_progress"]).await;
    tokio::time::sleep(Duration::from_millis(250)).await;
    let paused = server.ask(&run, "pause", &json!({})).await;
    assert_eq!(paused["status"], "paused");
    tokio::time::sleep(Duration::from_millis(400)).await;
    let paused = server.until(&run, &["paused"]).await;
    let done = paused["counts"]["done"].as_u64().unwrap();
    assert!((1..60).contains(&done), "{paused}");
    assert_eq!(questions(&judge) as u64, done, "what was asked is kept");
    assert_eq!(
        paused["cost"]["spent_usd"],
        NanoUsd(done as i64 * CALL.0).to_usd()
    );
    server.ask(&run, "resume", &json!({})).await;
    tokio::time::sleep(Duration::from_millis(250)).await;
    let canceled = server.ask(&run, "cancel", &json!({})).await;
    assert_eq!(canceled["status"], "canceled");
    tokio::time::sleep(Duration::from_millis(400)).await;
    let (now, asked) = (
        server.until(&run, &["canceled"]).await,
        questions(&judge) as u64,
    );
    assert!(now["counts"]["done"].as_u64().unwrap() > done, "{now}");
    assert_eq!(now["counts"]["done"].as_u64().unwrap(), asked);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(questions(&judge) as u64, asked, "nothing more is asked");
    server.check_once(&run);
    server.stop().await;
}

#[tokio::test]
async fn what_has_no_verdict_is_tried_again_as_another_attempt() {
    let gibberish = || Move::Say("no idea".to_owned());
    // One question with its repair turn.
    let judge = Judge::start([gibberish(), gibberish(), gibberish()])
        .unwrap()
        .always(pass());
    let dir = tempfile::tempdir().unwrap();
    let server = Server::over(dir, Some(&judge), Arc::new(SystemClock), |config| {
        config.grading.traces_at_once = 1;
    })
    .await;
    server.record(quick(5)).await;
    let run = server
        .until(
            &server.grade(&json!({"graders": [polite()]})).await,
            &["completed"],
        )
        .await;
    let unscored = run["counts"]["unscored"].as_u64().unwrap();
    assert!((1..=2).contains(&unscored), "{run}");
    server.ask(&run, "retry", &json!({})).await;
    let run = server.until(&run, &["completed"]).await;
    assert_eq!(run["counts"]["unscored"], 0, "{run}");
    assert_eq!(server.check_once(&run).len(), 5);
    let again = server
        .grades(&run)
        .iter()
        .filter(|it| it.attempt == 2)
        .count();
    assert_eq!(again as u64, unscored);
    let asked = judge.asked().len() as i64;
    assert_eq!(run["cost"]["spent_usd"], NanoUsd(asked * CALL.0).to_usd());
    server.stop().await;
}

#[tokio::test]
async fn d6_a_trace_that_is_deleted_on_the_way_leaves_nothing_and_holds_nothing_up() {
    let judge = Judge::start([]).unwrap().always(slow(100));
    let server = Server::new(Some(&judge)).await;
    server.record(quick(20)).await;
    let run = server.grade(&json!({"graders": [polite()]})).await;
    server.until(&run, &["in_progress"]).await;
    for id in ["trace_004", "trace_011", "trace_019"] {
        let path = format!("/v1/traces/{id}");
        let (status, gone) = send(server.request(Method::DELETE, &path)).await;
        assert_eq!(status, 200, "{gone}");
    }
    let run = server.until(&run, &["completed"]).await;
    let graded = server.check_once(&run);
    assert_eq!(graded.len(), 17, "{run}");
    assert!(!graded.contains("trace_011"));
    server.stop().await;
}

#[tokio::test]
async fn a_judge_that_never_answers_holds_nobody_up_and_lets_go_of_a_run_that_is_canceled() {
    let judge = Judge::start([]).unwrap().always(slow(60_000));
    let dir = tempfile::tempdir().unwrap();
    let server = Server::over(dir, Some(&judge), Arc::new(SystemClock), |config| {
        config.grading.runs_at_once = 1;
    })
    .await;
    server.record(quick(12)).await;
    let stuck = server.grade(&json!({"graders": [polite()]})).await;
    server.until(&stuck, &["in_progress"]).await;
    // What asks nobody has a place of its own.
    let rule = json!({"graders": [{"type": "rule", "check": "duration_ms < 5000"}]});
    server
        .until(&server.grade(&rule).await, &["completed"])
        .await;
    let next = server.grade(&json!({"graders": [polite()]})).await;
    let began = std::time::Instant::now();
    let canceled = server.ask(&stuck, "cancel", &json!({})).await;
    assert_eq!(canceled["status"], "canceled");
    server.until(&next, &["in_progress"]).await;
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
    // Nothing was graded, and what was asked may be charged.
    let stuck = server.until(&stuck, &["canceled"]).await;
    assert_eq!(stuck["counts"]["done"], 0, "{stuck}");
    assert!(
        stuck["cost"]["spent_usd"].as_f64().unwrap() > 0.0,
        "{stuck}"
    );
    assert!(server.grades(&stuck).is_empty());
    server.stop().await;
}
