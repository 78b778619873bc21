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

#[tokio::test]
async fn a_trace_is_held_against_those_of_its_own_workflow() {
    let now = Time::parse_rfc3339("2026-01-02T05:00:00Z").unwrap();
    let clock = Arc::new(FixedClock::at(now));
    let dir = tempfile::tempdir().unwrap();
    let server = Server::over(dir, None, clock, |_| {}).await;
    let began = Time::parse_rfc3339("2026-01-02T03:00:00Z").unwrap();
    let trace = |id: String, workflow: Option<&str>, seconds: i64| {
        let ended = began.plus_micros(seconds * 1_000_000).to_string();
        [
            json!({"object": "trace", "id": id, "workflow_name": workflow}),
            json!({"object": "trace.span", "id": format!("span_{id}"), "trace_id": id,
                "started_at": began.to_string(), "ended_at": ended,
                "span_data": {"type": "agent", "name": "A"}}),
        ]
    };
    let mut data = Vec::new();
    for n in 0..120 {
        data.extend(trace(format!("quick_{n}"), Some("quick"), 1));
        data.extend(trace(format!("long_{n}"), Some("long"), 60));
        data.extend(trace(format!("plain_{n}"), None, 60));
    }
    for (workflow, id) in [("quick", "a"), ("long", "b"), ("rare", "c")] {
        data.extend(trace(id.to_owned(), Some(workflow), 30));
    }
    data.extend(trace("d".to_owned(), None, 90));
    let (status, taken) = server
        .post("/v1/traces/ingest", &json!({ "data": data }))
        .await;
    assert!(matches!(status, 200 | 204), "{status} {taken}");
    let rule = json!({"type": "rule", "name": "usual",
        "check": r#"duration_ms <= baseline("p95:duration_ms") * 1.2"#});
    // All of them together take a minute; of one that is rare nobody knows.
    let want = [
        ("a", Outcome::Fail),
        ("b", Outcome::Pass),
        ("c", Outcome::NotApplicable),
        ("d", Outcome::Fail),
    ];
    let ids: Vec<&str> = want.iter().map(|(id, _)| *id).collect();
    let run = server
        .grade(&json!({"graders": [rule], "trace_ids": ids}))
        .await;
    let run = server.until(&run, &["completed"]).await;
    let mut found: Vec<_> = (server.grades(&run).into_iter())
        .map(|grade| (grade.item_id, grade.verdict.outcome))
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(found, want.map(|(id, outcome)| (id.to_owned(), outcome)));
    let asked = json!({"grader": rule, "trace_ids": ids});
    let (_, told) = server.post("/v1/graders/try", &asked).await;
    for (at, (id, outcome)) in want.iter().enumerate() {
        assert_eq!(
            told["data"][at]["outcome"],
            outcome.as_str(),
            "{id}: {told}"
        );
    }
    server.stop().await;
}
