//! Graders are tried on what is stored.

use super::*;

#[tokio::test]
async fn a_rule_is_tried_on_the_newest_or_on_named_traces() {
    let bench = Bench::with_traces(6).await;
    let told = bench
        .post("/v1/graders/try", &json!({"grader": rule()}))
        .await;
    assert_eq!(
        (&told["counts"]["pass"], &told["counts"]["fail"]),
        (&json!(4), &json!(2))
    );
    let rate = told["pass_rate"].as_f64().unwrap();
    assert!((rate - 4.0 / 6.0).abs() < 1e-9, "{told}");
    is_figure(&told["pass_rate_figure"]);
    assert_eq!(told["pass_rate_figure"]["groups"], 3);
    assert_eq!(
        (&told["cost_usd"], &told["stopped"]),
        (&json!(0.0), &Value::Null)
    );
    assert_eq!(told["data"][0]["trace_id"], "trace_5");
    let named = json!({"grader": "library:no_tool_errors", "trace_ids": ["trace_1"]});
    let told = bench.post("/v1/graders/try", &named).await;
    assert_eq!(told["data"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&told["data"][0]["outcome"], &told["data"][0]["citations"]),
        (&json!("fail"), &json!(["call1"]))
    );
    let filter = json!({"grader": rule(), "filter": {"group_id": "g0"}, "limit": 1});
    assert_eq!(
        ids(&bench.post("/v1/graders/try", &filter).await, "trace_id"),
        ["trace_1"]
    );
    bench.stop().await;
}

#[tokio::test]
async fn what_a_judge_was_asked_answered_and_cost_is_shown() {
    let bench = Bench::with_traces(3).await;
    let told = bench
        .post("/v1/graders/try", &json!({"grader": question()}))
        .await;
    assert_eq!(
        (&told["counts"]["pass"], &told["counts"]["fail"]),
        (&json!(2), &json!(1)),
        "{told}"
    );
    assert!(told["cost_usd"].as_f64().unwrap() > 0.0, "{told}");
    let failed = &told["data"][1];
    assert_eq!(
        (
            &failed["trace_id"],
            &failed["outcome"],
            &failed["citations"]
        ),
        (&json!("trace_1"), &json!("fail"), &json!(["call1"]))
    );
    assert_eq!(failed["judge"]["model"], "gpt-5-mini");
    let exchange = &failed["exchanges"][0];
    assert_eq!(
        (&exchange["purpose"], &exchange["input_tokens"]),
        (&json!("verdict"), &json!(1_000))
    );
    assert!(
        exchange["messages"]
            .to_string()
            .contains("Was the user served?"),
        "{exchange}"
    );
    assert!(text(exchange, "answer").contains("looked at what the tool said"));
    // The same again is known, and costs nothing.
    let asked = bench.judge.asked.load(Ordering::Relaxed);
    let again = bench
        .post("/v1/graders/try", &json!({"grader": question()}))
        .await;
    assert_eq!(bench.judge.asked.load(Ordering::Relaxed), asked);
    assert_eq!(
        (&again["cost_usd"], &again["counts"]),
        (&json!(0.0), &told["counts"])
    );
    bench.stop().await;
}

#[tokio::test]
async fn a_trial_stops_where_the_money_ends() {
    let bench = Bench::with_traces(3).await;
    let cheap = json!({"grader": question(), "max_cost_usd": 0.0});
    let told = bench.post("/v1/graders/try", &cheap).await;
    assert!(told["stopped"].is_string(), "{told}");
    assert_eq!(bench.judge.asked.load(Ordering::Relaxed), 0);
    bench.stop().await;
}

#[tokio::test]
async fn a_trial_that_cannot_be_meant_is_refused() {
    let bench = Bench::with_traces(1).await;
    let check = async |body: Value, status, param: &str| {
        refused(
            bench.try_post("/v1/graders/try", &body).await,
            status,
            param,
        );
    };
    check(
        json!({"grader": {"type": "rule", "check": "tool_eror == 0"}}),
        400,
        "grader",
    )
    .await;
    check(json!({"grader": 7}), 400, "grader").await;
    check(json!({"grader": {"id": "a", "name": "b"}}), 400, "grader").await;
    check(json!({"grader": rule(), "limit": 1_001}), 400, "limit").await;
    check(json!({"grader": question(), "limit": 51}), 400, "limit").await;
    check(json!({"grader": rule(), "trace_ids": []}), 400, "trace_ids").await;
    check(
        json!({"grader": rule(), "trace_ids": ["trace_0"], "limit": 1}),
        400,
        "trace_ids",
    )
    .await;
    check(
        json!({"grader": rule(), "max_cost_usd": -1.0}),
        400,
        "max_cost_usd",
    )
    .await;
    check(
        json!({"grader": rule(), "filter": {"colour": "red"}}),
        400,
        "filter.colour",
    )
    .await;
    for body in [
        json!({"grader": "nobody"}),
        json!({"grader": "library:nobody"}),
        json!({"grader": rule(), "trace_ids": ["trace_9"]}),
    ] {
        assert_eq!(
            bench.try_post("/v1/graders/try", &body).await.0,
            404,
            "{body}"
        );
    }
    bench.stop().await;
}

#[tokio::test]
async fn what_is_missing_is_told_by_name() {
    let bench = Bench::with_traces(1).await;
    // Nobody is there to run Python: no trace would get a verdict.
    let code =
        json!({"type": "code", "name": "x", "source": "def grade(trace):\n    return 1.0\n"});
    for (path, body) in [
        ("/v1/graders/try", json!({"grader": code})),
        ("/v1/evals/traces/grade", json!({"graders": [code]})),
    ] {
        let (status, error) = bench.try_post(path, &body).await;
        let message = text(&error["error"], "message");
        assert!(
            status >= 400 && message.contains("Python"),
            "{path}: {status} {error}"
        );
    }
    let none = bench
        .try_post("/v1/graders/try", &json!({"grader": "nosuch"}))
        .await;
    let message = text(&none.1["error"], "message");
    assert!(
        none.0 == 404 && message.contains("graders list"),
        "{message}"
    );
    let none = json!({"grader": "library:nosuch"});
    let none = bench.try_post("/v1/graders/try", &none).await;
    assert!(
        text(&none.1["error"], "message").contains("goal_reached"),
        "{}",
        none.1
    );
    bench.post("/v1/graders", &rule()).await;
    let (_, none) = bench
        .try_get("/v1/graders/no%20tool%20failed?version=9")
        .await;
    assert!(
        text(&none["error"], "message").contains("version"),
        "{none}"
    );
    // A body is at fault in one field, and that is told.
    for (body, param) in [
        (json!({"graders": [rule()], "limit": "5"}), "limit"),
        (
            json!({"graders": [rule()], "strata": [{"filter": {}, "size": "x"}]}),
            "strata[0].size",
        ),
        (json!({"graders": [rule()], "filter": []}), "filter"),
        (
            json!({"graders": [rule()], "filter": {"status": "ok"}}),
            "filter.status",
        ),
    ] {
        let (status, error) = bench.try_post("/v1/evals/traces/grade", &body).await;
        assert_eq!(
            (status, &error["error"]["param"]),
            (400, &json!(param)),
            "{error}"
        );
    }
    let wrong = json!({"grader": rule(), "filter": {"status": "ok"}});
    refused(
        bench.try_post("/v1/graders/try", &wrong).await,
        400,
        "filter.status",
    );
    let run = bench.grade(&json!({"graders": [rule()]})).await;
    let path = format!("{}/grades?grader=nope", path_of(&run));
    refused(bench.try_get(&path).await, 400, "grader");
    let none = bench
        .try_get("/v1/evals/traces/watches/nope/decisions")
        .await;
    assert_eq!(none.0, 404, "{}", none.1);
    bench.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_side_or_a_decision_is_told_by_its_place() {
    let bench = Bench::with_traces(1).await;
    let run = bench.grade(&json!({"graders": [rule()]})).await;
    let watch = json!({"name": "all", "graders": [rule()]});
    let (_, watch) = bench.try_post("/v1/evals/traces/watches", &watch).await;
    let path = format!("/v1/evals/traces/watches/{}/decisions", text(&watch, "id"));
    refused(
        bench.try_get(&format!("{path}?decision=maybe")).await,
        400,
        "decision",
    );
    assert_eq!(
        bench.get(&format!("{path}?decision=budget")).await["data"],
        json!([])
    );
    let side = |run: &str| json!({ "run_id": run });
    let gate = json!({"baseline": side(&text(&run, "id")), "candidate": side("grun_nope")});
    let answer = bench.try_post("/v1/evals/traces/gate", &gate).await;
    refused(answer, 404, "candidate.run_id");
    let mut compared =
        json!({"baseline": side(&text(&run, "id")), "candidate": side(&text(&run, "id"))});
    compared["baseline"]["filter"] = json!({"colour": "red"});
    let answer = bench.try_post("/v1/evals/traces/compare", &compared).await;
    refused(answer, 400, "baseline.filter.colour");
    bench.stop().await;
}
