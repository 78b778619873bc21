//! A grader that is tried on what is stored.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{TestServer, send};

/// Puts in six traces of three groups: each calls a tool, and in every second one it fails.
async fn filled() -> TestServer {
    let server = TestServer::new().await;
    for number in 0..6 {
        let trace = format!("trace_{number}");
        let error = match number % 2 {
            0 => Value::Null,
            _ => json!({"message": "Error running tool", "data": {"error": "no such order"}}),
        };
        let at = |second: u32| format!("2026-01-02T03:0{number}:0{second}+00:00");
        let span = |id: &str, parent: Option<&str>, data: Value, error: &Value| {
            json!({"object": "trace.span", "id": format!("{id}{number}"), "trace_id": trace,
                "parent_id": parent.map(|id| format!("{id}{number}")), "started_at": at(1), "ended_at": at(2),
                "span_data": data, "error": error})
        };
        let body = json!({"data": [
            {"object": "trace", "id": trace, "workflow_name": "orders", "group_id": format!("g{}", number / 2)},
            span("agent", None, json!({"type": "agent", "name": "Clerk", "tools": ["find_order"]}), &Value::Null),
            span("call", Some("agent"), json!({"type": "function", "name": "find_order",
                "input": "{\"id\":7}", "output": "order 7"}), &error),
        ]});
        assert_eq!(server.ingest(body.to_string()).await.status, 200);
    }
    server
}

async fn tried(server: &TestServer, body: Value) -> Value {
    let answer = server.post("/v1/graders/try", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

#[tokio::test]
async fn a_rule_is_tried_with_its_rate_and_witnesses() {
    let server = filled().await;
    let check = "calls(\"find_order\").all(s, s.status == \"success\")";
    let grader = json!({"type": "rule", "name": "found", "check": check});
    let told = tried(&server, json!({ "grader": grader })).await;
    assert_eq!(
        (&told["name"], &told["type"]),
        (&json!("found"), &json!("rule"))
    );
    assert_eq!(
        (&told["counts"]["pass"], &told["counts"]["fail"]),
        (&json!(3), &json!(3))
    );
    assert_eq!(told["pass_rate"], 0.5);
    let rate = &told["pass_rate_figure"];
    assert_eq!(rate["estimate"], 0.5);
    assert_eq!((&rate["n"], &rate["groups"]), (&json!(6), &json!(3)));
    assert_eq!(rate["too_few_groups"], true);
    let newest = &told["data"][0];
    assert_eq!(newest["trace_id"], "trace_5");
    assert_eq!(newest["citations"], json!(["call5"]));

    // What a filter means, and no more than was asked for.
    let grader = json!({"type": "rule", "check": "tool_errors == 0"});
    let filter = json!({"group_id": "g0"});
    let told = tried(
        &server,
        json!({"grader": grader, "filter": filter, "limit": 1}),
    )
    .await;
    assert_eq!(told["data"].as_array().unwrap().len(), 1);
    assert_eq!(told["data"][0]["trace_id"], "trace_1");
    assert_eq!(told["data"][0]["outcome"], "fail");
}

#[tokio::test]
async fn texts_and_tools_reach_graders() {
    let server = filled().await;
    let rule = |check: &str| json!({"grader": {"type": "rule", "check": check}});
    let told = tried(
        &server,
        rule("calls(\"find_order\").all(s, json(s.input).id == 7)"),
    )
    .await;
    assert_eq!(told["counts"]["pass"], 6, "{told}");
    let told = tried(
        &server,
        rule("calls(\"find_order\").all(s, s.output.contains(\"order 7\"))"),
    )
    .await;
    assert_eq!(told["counts"]["pass"], 6, "{told}");
    // The agent declares the tool that it calls.
    let detector = json!({"grader": {"type": "detector", "detector": "D05"}});
    let told = tried(&server, detector).await;
    assert_eq!(told["counts"]["pass"], 6, "{told}");
    let told = tried(
        &server,
        rule("calls(\"pay\").all(s, s.status == \"success\")"),
    )
    .await;
    assert_eq!(told["data"][0]["vacuous"], true);
}

#[tokio::test]
async fn mistakes_are_told_with_their_places_and_projects_are_apart() {
    let server = filled().await;
    let wrong = json!({"grader": {"type": "rule", "check": "tool_eror == 0"}});
    let answer = server.post("/v1/graders/try", &wrong).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text.contains("tool_errors"), "{}", answer.text);
    // Without a judge nobody could answer.
    let judged = json!({"grader": {"type": "llm", "criteria": "good?"}});
    let answer = server.post("/v1/graders/try", &judged).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text.contains("not_configured"), "{}", answer.text);
    let many = json!({"grader": {"type": "rule", "check": "true"}, "limit": 5_000});
    assert_eq!(server.post("/v1/graders/try", &many).await.status, 400);

    let made = server.post("/v1/projects", &json!({"id": "other"})).await;
    assert!(made.status.is_success(), "{}", made.text);
    let request = server.request(Method::POST, "/v1/graders/try");
    let body = json!({"grader": {"type": "rule", "check": "true"}});
    let other = send(request.header("OpenAI-Project", "other").json(&body))
        .await
        .json();
    assert_eq!(other["data"], json!([]));
    assert_eq!(other["pass_rate"], Value::Null);
}
