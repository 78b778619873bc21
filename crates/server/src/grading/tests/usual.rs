//! What is usual is known from earlier traces.

use model::{FixedClock, Outcome, Time};

use super::*;

fn detector(id: &str) -> Value {
    json!({"type": "detector", "name": id, "detector": id})
}

#[tokio::test]
async fn a_step_is_slow_and_a_trace_dear_beside_those_of_the_month_before() {
    let now = Time::parse_rfc3339("2026-01-02T05:00:00Z").unwrap();
    let clock = Arc::new(FixedClock::at(now));
    let dir = tempfile::tempdir().unwrap();
    let server = Server::over(dir, None, Arc::<FixedClock>::clone(&clock), |_| {}).await;
    let graders = json!([detector("D23"), detector("D24")]);
    let few = traces(90).into_iter().map(|id| (id, 1_000));
    server.record(few).await;
    let run = server.grade(&json!({"graders": graders})).await;
    let run = server.until(&run, &["completed"]).await;
    let silent = |grade: &Grade| grade.verdict.outcome == Outcome::NotApplicable;
    assert!(
        server.grades(&run).iter().all(silent),
        "ninety are not enough"
    );

    let more = (0..60).map(|n| (format!("more_{n}"), 900 + n * 4));
    server.record(more).await;
    server.record([("slow".to_owned(), 300_000)]).await;
    server.state.store.flush().await.unwrap();
    let run = server.grade(&json!({"graders": graders})).await;
    let run = server.until(&run, &["completed"]).await;
    let grades = server.grades(&run);
    assert_eq!(grades.len(), 2 * 151);
    for grade in grades {
        let is_slow = grade.item_id == "slow" && grade.grader_name == "D23";
        let want = if is_slow {
            Outcome::Fail
        } else {
            Outcome::Pass
        };
        assert_eq!(grade.verdict.outcome, want, "{grade:?}");
    }
    // A trial knows it too.
    let asked =
        json!({"grader": {"type": "rule", "check": "!detector(\"D23\")"}, "trace_ids": ["slow"]});
    let (_, told) = server.post("/v1/graders/try", &asked).await;
    assert_eq!(told["data"][0]["outcome"], "fail", "{told}");
    let check = r#"duration_ms <= baseline("p95:duration_ms") * 10"#;
    let asked =
        json!({"grader": {"type": "rule", "check": check}, "trace_ids": ["slow", "more_1"]});
    let (_, told) = server.post("/v1/graders/try", &asked).await;
    let outcomes = [0, 1].map(|at| told["data"][at]["outcome"].clone());
    assert_eq!(outcomes, [json!("fail"), json!("pass")], "{told}");
    server.stop().await;
}
