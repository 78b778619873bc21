//! Runs that stop before all their traces are graded, since what they were to find out is known.

use super::*;

#[tokio::test]
async fn a_run_stops_when_its_interval_is_narrow_and_says_so() {
    let judge = Judge::start([]).unwrap().always(pass());
    let server = Server::new(Some(&judge)).await;
    server.record(quick(200)).await;
    let body = json!({"graders": [polite()], "stop_when": {"half_width": 0.2}});
    let run = server.grade(&body).await;
    assert_eq!(run["selection"]["order"], "hash of groups");
    let run = server.until(&run, &["completed"]).await;
    let done = run["counts"]["done"].as_u64().unwrap();
    assert!((10..150).contains(&done), "{run}");
    assert_eq!(run["counts"]["queued"], 200 - done, "{run}");
    assert!(text(&run, "reason").starts_with("stopped early: "), "{run}");
    assert_eq!(server.check_once(&run).len() as u64, done);
    assert_eq!(questions(&judge) as u64, done, "what was asked is kept");
    let results = server
        .get(&format!(
            "/v1/evals/traces/grade/{}/results",
            text(&run, "id")
        ))
        .await;
    assert_eq!(results["stopping"]["is_stopped"], true);
    assert_eq!(results["stopping"]["grader"], "polite");
    let figure = &results["by_grader"]["polite"]["pass_rate_figure"];
    assert_eq!(figure["method"], "confidence sequence", "{results}");
    let low = figure["interval"][0].as_f64().unwrap();
    // Of as many passes a fixed sample would claim far more.
    assert!((0.6..0.9).contains(&low), "{figure}");
    assert_eq!(results["pass_rate_figure"]["method"], "confidence sequence");
    server.stop().await;
}

#[tokio::test]
async fn a_run_stops_once_a_value_is_left_out_even_after_a_restart() {
    let slow = Move::Stall(Duration::from_millis(40), Box::new(pass()));
    let judge = Judge::start([]).unwrap().always(slow);
    let mut server = Server::new(Some(&judge)).await;
    server.record(quick(300)).await;
    let body = json!({"graders": [polite(), {"type": "rule", "name": "fast", "check": "duration_ms < 5000"}],
        "stop_when": {"grader": "polite", "excludes": 0.8}});
    let run = server.grade(&body).await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    let dir = server.stop().await;
    server = Server::over(dir, Some(&judge), Arc::new(SystemClock), |_| {}).await;
    let run = server.until(&run, &["completed"]).await;
    let done = run["counts"]["done"].as_u64().unwrap();
    assert!((15..200).contains(&done), "{run}");
    assert!(text(&run, "reason").contains("all above 0.8"), "{run}");
    server.stop().await;
}

#[tokio::test]
async fn a_run_that_sees_nothing_goes_on_to_its_end() {
    let judge = Judge::start([]).unwrap().always(pass());
    let server = Server::new(Some(&judge)).await;
    server.record(quick(12)).await;
    let body = json!({"graders": [polite()], "stop_when": {"half_width": 0.01}});
    let run = server
        .until(&server.grade(&body).await, &["completed"])
        .await;
    assert_eq!(
        (&run["counts"]["done"], &run["reason"]),
        (&json!(12), &Value::Null)
    );
    let results = server
        .get(&format!(
            "/v1/evals/traces/grade/{}/results",
            text(&run, "id")
        ))
        .await;
    assert_eq!(results["stopping"]["is_stopped"], false);
    // It might have stopped: a comparison of a fixed size does not hold for it.
    let side = json!({"run_id": run["id"]});
    let both = json!({"baseline": side, "candidate": side});
    for path in ["compare", "gate"] {
        let (status, error) = server
            .post(&format!("/v1/evals/traces/{path}"), &both)
            .await;
        assert_eq!(status, 400, "{error}");
        assert!(error.to_string().contains("stop_when"), "{error}");
    }
    server.stop().await;
}

#[tokio::test]
async fn what_could_not_be_a_random_sample_does_not_stop_early() {
    let judge = Judge::start([]).unwrap().always(pass());
    let server = Server::new(Some(&judge)).await;
    server.record(quick(5)).await;
    let refused = async |body: Value, words: &str| {
        let (status, error) = server.post("/v1/evals/traces/grade", &body).await;
        assert_eq!(status, 400, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    };
    let rule = json!({"type": "rule", "check": "duration_ms < 5000"});
    let narrow = json!({"half_width": 0.1});
    refused(
        json!({"graders": [rule], "stop_when": narrow}),
        "nothing to save",
    )
    .await;
    refused(
        json!({"graders": [polite()], "stop_when": narrow, "sample_strategy": "stratified", "sample_size": 3}),
        "strata",
    )
    .await;
    refused(
        json!({"graders": [polite()], "stop_when": {}}),
        "half_width",
    )
    .await;
    refused(
        json!({"graders": [polite()], "stop_when": {"half_width": 3}}),
        "below 0.5",
    )
    .await;
    refused(
        json!({"graders": [polite()], "stop_when": {"excludes": 2}}),
        "between 0 and 1",
    )
    .await;
    refused(
        json!({"graders": [polite(), rule], "stop_when": narrow}),
        "say which grader",
    )
    .await;
    refused(
        json!({"graders": [polite()], "stop_when": {"grader": "x", "half_width": 0.1}}),
        "not in this run",
    )
    .await;
    server.stop().await;
}
