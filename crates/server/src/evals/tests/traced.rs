//! Evals over traces, graded by our own graders.

use super::*;

/// Sends traces of one tool call each: its output, or the error that it ended with.
async fn send_traces(bench: &Bench, traces: &[(&str, Result<&str, &str>)]) {
    for (trace, came) in traces {
        let mut call = json!({"object": "trace.span", "id": format!("{trace}-call"), "trace_id": trace,
            "started_at": "2026-01-02T03:00:00Z", "ended_at": "2026-01-02T03:00:01Z",
            "span_data": {"type": "function", "name": "find_order", "input": "{\"id\":7}"}});
        match came {
            Ok(output) => call["span_data"]["output"] = json!(output),
            Err(why) => call["error"] = json!({"message": why, "data": null}),
        }
        let said = json!({"object": "trace.span", "id": format!("{trace}-said"), "trace_id": trace,
            "started_at": "2026-01-02T03:00:01Z", "ended_at": "2026-01-02T03:00:02Z",
            "span_data": {"type": "generation", "model": "m",
                "input": [{"role": "user", "content": "where is it?"}],
                "output": [{"role": "assistant", "content": "found it"}]}});
        let batch = json!({"data": [
            {"object": "trace", "id": trace, "workflow_name": "orders"}, call, said]});
        assert_eq!(bench.post("/v1/traces/ingest", &batch).await.0, 200);
    }
}

fn over_traces(criteria: Value) -> Value {
    json!({"name": "T", "data_source_config": {"type": "traces"}, "testing_criteria": criteria})
}

fn all_traces() -> Value {
    json!({"data_source": {"type": "traces", "source": {"type": "traces", "filter": {"workflow_name": "orders"}}}})
}

/// Makes an eval and a run of it over all traces, and returns the eval and the run when it is over.
async fn graded(bench: &Bench, criteria: Value) -> (Value, Value) {
    let eval = bench.make("/v1/evals", &over_traces(criteria)).await;
    let runs = format!("/v1/evals/{}/runs", text(&eval, "id"));
    let run = bench.ended(&bench.make(&runs, &all_traces()).await).await;
    (eval, run)
}

/// Returns the results of the row of a trace, by the names of the criteria.
async fn results_of(bench: &Bench, run: &Value, trace: &str) -> Value {
    let items = bench.get(&format!("{}/output_items", path_of(run))).await;
    let mut items = items["data"].as_array().unwrap().iter();
    let item = items.find(|item| item["datasource_item"]["trace"]["id"] == trace);
    let mut by_name = json!({"status": item.unwrap()["status"]});
    for result in item.unwrap()["results"].as_array().unwrap() {
        by_name[text(result, "testing_criteria_name")] = result.clone();
    }
    by_name
}

#[tokio::test]
async fn our_graders_are_criteria_of_evals_over_traces() {
    let bench = Bench::new().await;
    send_traces(
        &bench,
        &[("good", Ok("A-17")), ("bad", Err("no such order"))],
    )
    .await;
    let (eval, run) = graded(
        &bench,
        json!([
            {"type": "rule", "name": "clean", "check": "tool_errors == 0"},
            {"type": "rule", "check": "score(\"clean\") == 1"},
            {"type": "trajectory", "name": "way", "metric": "step_efficiency"},
            {"type": "multi", "name": "both", "graders": {
                "a": {"type": "rule", "check": "tool_calls == 1"}, "b": {"type": "rule", "check": "tool_errors == 0"}},
             "calculate_output": "(a + b) / 2", "pass_threshold": 1},
            {"type": "detector", "name": "loops", "detector": "D01"},
            {"type": "string_check", "name": "said", "operation": "eq",
             "input": "{{sample.output_text}}", "reference": "found it"},
        ]),
    )
    .await;
    assert_eq!(run["status"], "completed", "{run}");
    let counts = &run["result_counts"];
    assert_eq!(
        (&counts["total"], &counts["passed"], &counts["failed"]),
        (&json!(2), &json!(1), &json!(1)),
        "{run}"
    );
    let good = results_of(&bench, &run, "good").await;
    assert_eq!(good["status"], "pass", "{good}");
    for name in ["clean", "rule-2", "both", "said"] {
        assert_eq!(good[name]["passed"], true, "{name}: {good}");
        assert_eq!(good[name]["score"], 1.0, "{name}: {good}");
    }
    assert!(good["way"]["outcome"].is_string(), "{good}");
    let bad = results_of(&bench, &run, "bad").await;
    assert_eq!(bad["status"], "fail", "{bad}");
    assert_eq!(bad["clean"]["passed"], false);
    assert_eq!(bad["clean"]["citations"], json!(["bad-call"]), "{bad}");
    assert_eq!(bad["both"]["score"], 0.5, "{bad}");
    assert_eq!(bad["both"]["reasoning"], "a = 1, b = 0", "{bad}");
    assert_eq!(bad["said"]["passed"], true);
    // Results name the criteria by their ids, in the eval's order.
    let ids: Vec<&Value> = (eval["testing_criteria"].as_array().unwrap().iter())
        .map(|criterion| &criterion["id"])
        .collect();
    let per_criterion = run["per_testing_criteria_results"].as_array().unwrap();
    let named: Vec<&Value> = (per_criterion.iter().map(|one| &one["testing_criteria"])).collect();
    assert_eq!(named, ids);
    assert_eq!(
        (&per_criterion[0]["passed"], &per_criterion[0]["failed"]),
        (&json!(1), &json!(1))
    );
    // Whoever deletes a trace deletes what was said of it.
    assert_eq!(bench.delete("/v1/traces/bad").await.0, 200);
    let run = bench.get(&path_of(&run)).await;
    assert_eq!(run["result_counts"]["total"], 1, "{run}");
    bench.stop().await;
}

#[tokio::test]
async fn a_rule_asks_for_the_scores_of_openai_graders_beside_it() {
    let bench = Bench::new().await;
    send_traces(&bench, &[("good", Ok("A-17")), ("bad", Ok("B-4"))]).await;
    let order = json!({"type": "string_check", "name": "order", "operation": "like",
        "input": "{{item.tools[0].output}}", "reference": "A-"});
    let broken = json!({"type": "string_check", "name": "broken", "operation": "eq",
        "input": "{{item.nothing}}", "reference": "x"});
    let judge = json!({"type": "score_model", "name": "judge", "model": "judge",
        "input": [{"role": "user", "content": "{{sample.output_text}}"}]});
    let (_, run) = graded(
        &bench,
        json!([
            {"type": "rule", "name": "both", "check": "score(\"order\") == 1 && score(\"judge\") > 0.5"},
            {"type": "rule", "name": "of broken", "check": "score(\"broken\") == 1"},
            order, broken, judge,
        ]),
    )
    .await;
    let good = results_of(&bench, &run, "good").await;
    assert_eq!(good["both"]["outcome"], "pass", "{good}");
    assert_ne!(good["of broken"]["outcome"], "pass", "{good}");
    assert_ne!(
        good["of broken"]["outcome"], "fail",
        "what has no score is not 0: {good}"
    );
    let bad = results_of(&bench, &run, "bad").await;
    assert_eq!(bad["both"]["outcome"], "fail", "{bad}");

    let check = async |criteria: Value, words: &str| {
        let (status, error) = bench.post("/v1/evals", &over_traces(criteria)).await;
        let message = text(&error["error"], "message");
        assert!(status == 400 && message.contains(words), "{message}");
    };
    let asks = json!({"type": "rule", "name": "asks", "check": "score(\"order\") == 1"});
    check(json!([asks, order, order]), "give them names of their own").await;
    let clean = json!({"type": "rule", "name": "order", "check": "tool_errors == 0"});
    check(json!([asks, order, clean]), "give them names of their own").await;
    bench.stop().await;
}

#[tokio::test]
async fn criteria_that_need_what_a_row_has_not_are_refused() {
    let bench = Bench::new().await;
    let check = async |criterion: Value, words: &str| {
        let (status, error) = bench
            .post("/v1/evals", &over_traces(json!([criterion])))
            .await;
        let message = text(&error["error"], "message");
        assert!(status == 400 && message.contains(words), "{message}");
    };
    let pairwise = json!({"type": "llm", "name": "better", "model": "judge", "pairwise": true,
        "criteria": "Which one helped more?"});
    check(pairwise, "compares a trace with another one").await;
    let schema =
        json!({"type": "rule", "name": "fits", "check": "valid(final_output, \"ticket\")"});
    check(schema, "the project has no schema `ticket`").await;
    bench.stop().await;
}

#[tokio::test]
async fn what_does_not_apply_is_skipped_and_what_has_no_verdict_is_an_error() {
    let bench = Bench::new().await;
    send_traces(&bench, &[("one", Ok("A-17"))]).await;
    let (_, run) = graded(
        &bench,
        json!([
            {"type": "rule", "name": "reads", "check": "duration_ms < 5000"},
            {"type": "detector", "name": "handoffs", "detector": "D12"},
            {"type": "rule", "name": "ms", "check": "duration_ms"},
        ]),
    )
    .await;
    let one = results_of(&bench, &run, "one").await;
    assert_eq!(one["ms"]["outcome"], "value", "{one}");
    assert_eq!(
        (
            &one["ms"]["passed"],
            &one["ms"]["skipped"],
            &one["ms"]["score"]
        ),
        (&json!(false), &json!(true), &json!(2000.0)),
        "{one}"
    );
    assert_eq!(
        one["status"], "pass",
        "what is skipped counts nowhere: {one}"
    );
    let of_ms = &run["per_testing_criteria_results"][2];
    assert_eq!(
        (
            &of_ms["passed"],
            &of_ms["failed"],
            &of_ms["errored"],
            &of_ms["skipped"]
        ),
        (&json!(0), &json!(0), &json!(0), &json!(1)),
        "{run}"
    );

    let (_, only) = graded(
        &bench,
        json!([{"type": "rule", "name": "ms", "check": "duration_ms"}]),
    )
    .await;
    assert_eq!(only["status"], "completed", "{only}");
    assert_eq!(
        only["result_counts"],
        json!({"total": 0, "errored": 0, "failed": 0, "passed": 0, "skipped": 1})
    );
    let skipped = bench
        .get(&format!("{}/output_items?status=skip", path_of(&only)))
        .await;
    assert_eq!(skipped["data"].as_array().unwrap().len(), 1);

    // The box of this server knows no code that grades traces: a verdict that is missing, and no fail.
    let code =
        json!([{"type": "code", "name": "code", "source": "def grade(trace):\n    return True\n"}]);
    let (_, run) = graded(&bench, code).await;
    assert_eq!(
        (&run["status"], &run["result_counts"]["errored"]),
        (&json!("failed"), &json!(1)),
        "{run}"
    );
    let one = results_of(&bench, &run, "one").await;
    assert_eq!(one["code"]["unscored_reason"], "code", "{one}");
    assert_eq!(one["code"]["score"], Value::Null);
    assert!(
        one["code"]["error"]["message"]
            .as_str()
            .unwrap()
            .contains("no trace here"),
        "{one}"
    );
    bench.stop().await;
}

#[tokio::test]
async fn a_judge_of_traces_is_asked_told_and_paid_for() {
    let bench = Bench::new().await;
    send_traces(&bench, &[("one", Ok("A-17")), ("two", Ok("B-4"))]).await;
    let judged = json!([{"type": "llm", "name": "helped", "model": "gpt-5-mini",
        "criteria": "Was the user helped?"}]);
    let (_, run) = graded(&bench, judged.clone()).await;
    // The model of this bench answers in another form, which no repair helps: unscored, with the reason.
    let used = &run["per_model_usage"][0];
    assert!(used["invocation_count"].as_i64().unwrap() >= 2, "{run}");
    assert_eq!(run["result_counts"]["errored"], 2, "{run}");
    let one = results_of(&bench, &run, "one").await;
    assert_eq!(one["helped"]["unscored_reason"], "parse", "{one}");
    assert!(one["helped"]["cost_usd"].as_f64().unwrap() > 0.0, "{one}");
    let asked = one["helped"]["sample"]["input"].to_string();
    assert!(
        asked.contains("Was the user helped?") || asked.contains("JSON"),
        "{asked}"
    );

    let eval = bench.make("/v1/evals", &over_traces(judged)).await;
    let runs = format!("/v1/evals/{}/runs", text(&eval, "id"));
    let mut poor = all_traces();
    poor["data_source"]["max_cost_usd"] = json!(-1);
    let (status, error) = bench.post(&runs, &poor).await;
    assert_eq!(
        (status, &error["error"]["param"]),
        (400, &json!("data_source.max_cost_usd"))
    );
    bench.stop().await;
}

#[tokio::test]
async fn a_run_ends_where_its_judges_may_cost_no_more() {
    let bench = Bench::new().await;
    send_traces(&bench, &[("one", Ok("A-17")), ("two", Ok("B-4"))]).await;
    let judged = json!([{"type": "llm", "name": "helped", "model": "gpt-5-mini",
        "criteria": "Was the user helped?"}]);
    let eval = bench.make("/v1/evals", &over_traces(judged)).await;
    let runs = format!("/v1/evals/{}/runs", text(&eval, "id"));
    let mut poor = all_traces();
    poor["data_source"]["max_cost_usd"] = json!(0.0);
    let run = bench.ended(&bench.make(&runs, &poor).await).await;
    assert_eq!(
        (&run["status"], &run["error"]["code"]),
        (&json!("failed"), &json!("budget_used_up")),
        "{run}"
    );
    assert_eq!(run["result_counts"]["errored"], 0, "{run}");
    // An answer is thought to cost 0.008 and costs next to nothing: those that are asked for at the same time
    // wait for each other, and the run does not end for what they might have cost.
    poor["data_source"]["max_cost_usd"] = json!(0.012);
    let run = bench.ended(&bench.make(&runs, &poor).await).await;
    assert_eq!(run["result_counts"]["errored"], 2, "{run}");
    assert!(run["cost_usd"].as_f64().unwrap() < 0.001, "{run}");
    bench.stop().await;
}

#[tokio::test]
async fn saved_and_ready_graders_are_criteria_by_name() {
    let bench = Bench::new().await;
    send_traces(&bench, &[("one", Ok("A-17"))]).await;
    let saved =
        json!({"name": "quick", "definition": {"type": "rule", "check": "duration_ms < 5000"}});
    let (status, saved) = bench.post("/v1/graders", &saved).await;
    assert!(matches!(status, 200 | 201), "{saved}");
    let ready = bench.get("/v1/graders/library").await;
    let ready = text(&ready["data"][0], "id");
    let eval = over_traces(json!([
        "quick", {"name": "quick", "version": 1}, {"id": saved["id"]}, ready,
    ]));
    let (status, error) = bench.post("/v1/evals", &eval).await;
    assert_eq!(status, 400, "{error}");
    assert!(
        text(&error["error"], "message").contains("two graders have the name `quick`"),
        "{error}"
    );
    let eval = bench
        .make("/v1/evals", &over_traces(json!(["quick", ready])))
        .await;
    let criteria = &eval["testing_criteria"];
    assert_eq!(criteria[0]["check"], "duration_ms < 5000", "{eval}");
    assert_eq!(
        criteria[0]["grader"],
        json!({"id": saved["id"], "version": 1})
    );
    assert_eq!(criteria[1]["grader"]["id"], ready, "{eval}");
    let (_, run) = graded(&bench, json!([{"name": "quick"}])).await;
    assert_eq!(run["result_counts"]["passed"], 1, "{run}");
    bench.stop().await;
}

#[tokio::test]
async fn criteria_that_cannot_be_meant_are_all_told_when_an_eval_is_made() {
    let bench = Bench::new().await;
    let check = async |eval: Value, param: &str, words: &[&str]| {
        let (status, error) = bench.post("/v1/evals", &eval).await;
        assert_eq!(
            (status, &error["error"]["param"]),
            (400, &json!(param)),
            "{error}"
        );
        let message = text(&error["error"], "message");
        for words in words {
            assert!(message.contains(words), "no {words:?} in {message}");
        }
    };
    let mut rows = exact();
    rows["testing_criteria"] =
        json!([{"type": "rule", "name": "clean", "check": "tool_errors == 0"}]);
    check(
        rows,
        "testing_criteria[0].type",
        &["`rule` grades traces", "{\"type\": \"traces\"}"],
    )
    .await;
    let broken = over_traces(json!([
        {"type": "rule", "check": "tool_erors == 0"},
        {"type": "detector", "detector": "D99"},
        {"type": "string_check", "name": "x", "operation": "is"},
        "library:nothing",
        {"type": "spell"},
    ]));
    let words = [
        "testing_criteria[0]: check",
        "tool_errors",
        "testing_criteria[1]: detector",
        "testing_criteria[2].input: ",
        "testing_criteria[2].operation: ",
        "testing_criteria[3]: there is no ready grader",
        "testing_criteria[4].type: ",
    ];
    check(broken, "testing_criteria[0]", &words).await;
    let mut both = over_traces(json!([{"type": "rule", "check": "1 +"}]));
    both["data_source_config"] = json!({"type": "csv"});
    check(
        both,
        "data_source_config.type",
        &["\"csv\" is not known", "testing_criteria[0]"],
    )
    .await;
    let unknown =
        over_traces(json!([{"type": "rule", "name": "a", "check": "score(\"b\") > 0.5"}]));
    check(
        unknown,
        "testing_criteria",
        &["which is no grader of this run"],
    )
    .await;
    let comparing = over_traces(json!(["library:better_answer"]));
    let words = ["`better_answer` compares two traces"];
    check(comparing, "testing_criteria", &words).await;

    // Such an eval is run over traces, and nothing else.
    let eval = over_traces(json!([{"type": "rule", "check": "tool_errors == 0"}]));
    let eval = bench.make("/v1/evals", &eval).await;
    let runs = format!("/v1/evals/{}/runs", text(&eval, "id"));
    let (status, error) = bench.post(&runs, &inline(super::rows(1))).await;
    assert_eq!(
        (status, &error["error"]["param"]),
        (400, &json!("data_source.type")),
        "{error}"
    );
    let mut disguised = inline(super::rows(1));
    disguised["data_source"]["type"] = json!("traces");
    let (status, error) = bench.post(&runs, &disguised).await;
    assert_eq!(
        (status, &error["error"]["param"]),
        (400, &json!("data_source.source.type")),
        "{error}"
    );
    bench.stop().await;
}
