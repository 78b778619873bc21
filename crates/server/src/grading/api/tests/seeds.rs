//! The guide's programs, played call by call: each name that they print is there, and a number where they
//! print a number.

use super::*;

/// `trace_graders` of "Setting Up Trace Grading".
fn trace_graders() -> Value {
    json!([
        {
            "name": "workflow_success", "type": "llm", "model": "gpt-5",
            "criteria": "\nEvaluate the entire agent workflow:\n\n1. Did the agent accomplish the user's goal?\n2. Were the right tools called in the right order?\n3. Were there any unnecessary steps?\n4. Was the final response appropriate?\n\nScore: 1-5 (5 = perfect execution)\n",
            "inputs": {"user_goal": "{original_message}", "trace": "{trace}", "final_response": "{final_response}"}
        },
        {"name": "tool_usage", "type": "llm", "criteria": "Rate the appropriateness of tool usage (1-5)", "focus": "spans[type=function]"},
        {"name": "handoff_quality", "type": "llm", "criteria": "Rate the quality of agent handoffs (1-5)", "focus": "spans[type=handoff]"},
    ])
}

#[tokio::test]
async fn grading_traces_and_automated_trace_grading() {
    let bench = Bench::with_traces(6).await;
    // grading_run = client.evals.traces.grade(trace_ids=[trace_id], graders=trace_graders)
    let one = json!({"trace_ids": ["trace_0"], "graders": trace_graders()});
    let run = bench.grade(&one).await;
    assert_eq!(run["counts"]["done"], 1);
    // grade last 1000 traces
    let request = json!({
        "workflow_name": "flight_booking", "limit": 1000, "graders": trace_graders(),
        "filter": {"start_date": "2026-01-01", "end_date": "2026-01-11", "status": "success"},
    });
    let run = bench.grade(&request).await;
    // results = client.evals.traces.grading_results(grading_run.id)
    let results = bench.get(&format!("{}/results", path_of(&run))).await;
    // print(f"Average workflow score: {results.average_score}"), print(f"Pass rate: {results.pass_rate}")
    let average = results["average_score"].as_f64().unwrap();
    assert!((1.0..=5.0).contains(&average), "{results}");
    let rate = results["pass_rate"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&rate), "{results}");
    is_figure(&results["average_score_figure"]);
    is_figure(&results["pass_rate_figure"]);
    // There are no hand-offs: the question does not arise, and nothing is made up.
    let handoffs = &results["by_grader"]["handoff_quality"]["counts"];
    assert_eq!(handoffs["graded"], handoffs["not_applicable"], "{handoffs}");
    bench.stop().await;
}

#[tokio::test]
async fn identify_optimization_opportunities() {
    let bench = Bench::with_traces(12).await;
    let request = json!({
        "workflow_name": "flight_booking", "limit": 500,
        "graders": [
            {"type": "llm", "criteria": "Overall quality (1-5)"},
            {"type": "rule", "check": "duration_ms < 5000"},
            {"type": "rule", "check": "tool_errors == 0"},
        ],
    });
    let run = bench.grade(&request).await;
    // low_scores = client.evals.traces.grading_results(grading_run.id, filter={"score_below": 3})
    let low = bench
        .get(&format!("{}/results?score_below=3", path_of(&run)))
        .await;
    // trace_ids=[t.trace_id for t in low_scores]
    let low = ids(&low, "trace_id");
    assert_eq!(low.len(), 4, "{low:?}");
    let asked = json!({ "trace_ids": low });
    let insights = bench
        .post("/v1/evals/traces/analyze_failures", &asked)
        .await;
    let insights = insights["data"].as_array().unwrap();
    assert!(!insights.is_empty());
    for insight in insights {
        // insight.issue, insight.affected_traces, insight.suggestion
        assert!(
            insight["issue"].is_string() && insight["suggestion"].is_string(),
            "{insight}"
        );
        assert!(
            insight["affected_traces"].as_u64().unwrap() >= 1,
            "{insight}"
        );
        let rule = text(insight, "rule");
        let kept = json!({"type": "rule", "name": "kept", "check": format!("!({rule})")});
        let tried = bench
            .post(
                "/v1/graders/try",
                &json!({"grader": kept, "trace_ids": low}),
            )
            .await;
        assert!(
            tried["counts"]["pass"].as_u64().unwrap() < 4,
            "{rule} matches none: {tried}"
        );
    }
    assert_eq!(insights[0]["affected_traces"], 4, "{insights:?}");
    bench.stop().await;
}

#[tokio::test]
async fn an_a_b_test_with_trace_grading() {
    let bench = Bench::with_traces(12).await;
    let mut averages = Vec::new();
    for version in ["agent_v1", "agent_v2"] {
        // client.traces.list(agent_id="agent_v1", limit=500)
        let traces = bench
            .get(&format!("/v1/traces?agent_id={version}&limit=500"))
            .await;
        let graders =
            json!([{"type": "llm", "name": "quality", "criteria": "Overall quality (1-5)"}]);
        let run = bench
            .grade(&json!({"trace_ids": ids(&traces, "id"), "graders": graders}))
            .await;
        let results = bench.get(&format!("{}/results", path_of(&run))).await;
        averages.push(results["average_score"].as_f64().unwrap());
    }
    // improvement = ((v2 - v1) / v1) * 100
    let improvement = (averages[1] - averages[0]) / averages[0] * 100.0;
    assert!(improvement.is_finite(), "{averages:?}");
    bench.stop().await;
}

#[tokio::test]
async fn grade_representative_samples() {
    let bench = Bench::with_traces(9).await;
    let request = json!({
        "workflow_name": "flight_booking", "sample_strategy": "stratified", "sample_size": 500,
        "strata": [
            {"filter": {"status": "success"}, "size": 400},
            {"filter": {"status": "error"}, "size": 100},
        ],
        "graders": [rule()],
    });
    let run = bench.grade(&request).await;
    let results = bench.get(&format!("{}/results", path_of(&run))).await;
    assert!(results["pass_rate"].is_number(), "{results}");
    bench.stop().await;
}
