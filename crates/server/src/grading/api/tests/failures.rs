//! What failing traces have in common, however they are named.

use super::*;

const FAILURES: &str = "/v1/evals/traces/analyze_failures";

/// Returns what the first group says: whom it affects, and of how many.
#[track_caller]
fn first(told: &Value) -> (u64, u64, Vec<String>) {
    let group = &told["data"][0];
    assert!(
        group["suggestion"].is_string() && group["rule"].is_string(),
        "{told}"
    );
    is_figure(&group["of_failing"]);
    let examples = group["example_traces"].as_array().unwrap().iter();
    let examples = examples.map(|it| {
        it.as_str()
            .map_or_else(|| text(it, "trace_id"), str::to_owned)
    });
    (
        group["affected_traces"].as_u64().unwrap(),
        told["failing"].as_u64().unwrap(),
        examples.collect(),
    )
}

#[tokio::test]
async fn failures_of_a_run_are_those_that_a_grader_failed() {
    let bench = Bench::with_traces(12).await;
    let run = bench
        .grade(&json!({"graders": [rule()], "workflow_name": "flight_booking"}))
        .await;
    let told = bench.post(FAILURES, &json!({"run_id": run["id"]})).await;
    let (affected, failing, examples) = first(&told);
    assert_eq!(
        (affected, failing, &told["traces"]),
        (4, 4, &json!(12)),
        "{told}"
    );
    let failed = ["trace_1", "trace_4", "trace_7", "trace_10"];
    assert!(
        examples.iter().all(|id| failed.contains(&&**id)),
        "{examples:?}"
    );
    // A run in which nothing failed has no failures.
    let fine = json!({"type": "rule", "name": "fine", "check": "duration_ms < 60000"});
    let run = bench
        .grade(&json!({"graders": [fine], "workflow_name": "flight_booking"}))
        .await;
    let told = bench.post(FAILURES, &json!({"run_id": run["id"]})).await;
    assert_eq!((&told["data"], &told["failing"]), (&json!([]), &json!(0)));
    assert_eq!(
        bench
            .try_post(FAILURES, &json!({"run_id": "grun_none"}))
            .await
            .0,
        404
    );
    bench.stop().await;
}

#[tokio::test]
async fn failures_of_a_filter_are_those_that_ended_in_error() {
    let bench = Bench::new().await;
    for number in 0..8 {
        let mut items = order(number, number % 2 == 1);
        if number % 2 == 1 {
            // The agent itself ends in the error of its tool.
            items[1]["error"] = items[3]["error"].clone();
        }
        bench.ingest(&items).await;
    }
    let told = bench
        .post(
            FAILURES,
            &json!({"filter": {"workflow_name": "flight_booking"}}),
        )
        .await;
    let (affected, failing, _) = first(&told);
    assert_eq!(
        (affected, failing, &told["traces"]),
        (4, 4, &json!(8)),
        "{told}"
    );
    let none = bench
        .post(FAILURES, &json!({"filter": {"workflow_name": "none"}}))
        .await;
    assert_eq!((&none["data"], &none["traces"]), (&json!([]), &json!(0)));
    let wrong = json!({"filter": {"workflow": "x"}});
    assert_eq!(bench.try_post(FAILURES, &wrong).await.0, 400);
    for wrong in [json!({}), json!({"trace_ids": [], "filter": {}})] {
        refused(bench.try_post(FAILURES, &wrong).await, 400, "trace_ids");
    }
    bench.stop().await;
}

#[tokio::test]
async fn failures_that_are_too_many_are_counted_and_none_is_missed_for_others() {
    let bench = Bench::new().await;
    let fine = (0..1_200).map(|number| {
        json!({"object": "trace.span", "id": format!("fine_{number}"), "trace_id": format!("fine_{number}"),
            "started_at": "2026-01-02T04:00:00Z", "ended_at": "2026-01-02T04:00:01Z",
            "span_data": {"type": "agent", "name": "Clerk"}})
    });
    let traces = (0..1_200).map(|number| {
        json!({"object": "trace", "id": format!("fine_{number}"), "workflow_name": "many"})
    });
    bench
        .ingest(&Value::Array(traces.chain(fine).collect()))
        .await;
    let items = (0..1_010).flat_map(|number| {
        let id = format!("trace_{number}");
        let span = json!({"object": "trace.span", "id": format!("span_{number}"), "trace_id": id,
            "started_at": "2026-01-02T03:00:00Z", "ended_at": "2026-01-02T03:00:01Z",
            "span_data": {"type": "agent", "name": "Clerk"}, "error": {"message": BAD}});
        [
            json!({"object": "trace", "id": id, "workflow_name": "many"}),
            span,
        ]
    });
    bench.ingest(&Value::Array(items.collect())).await;
    for (status, want) in [
        // However many newer ones went well, those that failed are looked at first.
        (json!(null), json!([2_000, 1_000, 10])),
        (json!("success"), json!([1_000, 0, 0])),
        (json!(["error", "timeout"]), json!([1_000, 1_000, 10])),
    ] {
        let mut asked = json!({"filter": {"workflow_name": "many"}});
        if !status.is_null() {
            asked["filter"]["status"] = status;
        }
        let told = bench.post(FAILURES, &asked).await;
        let figures = json!([told["traces"], told["failing"], told["left_out"]]);
        assert_eq!(figures, want, "{asked}");
    }
    bench.stop().await;
}

#[tokio::test]
async fn a_program_that_found_nothing_wrong_may_ask_all_the_same() {
    let bench = Bench::with_traces(3).await;
    // analyze_failures(trace_ids=[t.trace_id for t in low_scores]), and no score was low
    let told = bench.post(FAILURES, &json!({"trace_ids": []})).await;
    assert_eq!((&told["data"], &told["failing"]), (&json!([]), &json!(0)));
    bench.stop().await;
}
