//! Runs that ask models, are stopped, are cut off, or come to nothing.

use super::*;

/// An eval whose rows a model judges.
fn judged(model: &str) -> Value {
    let input =
        json!([{"role": "user", "content": "Is {{sample.output_text}} like {{item.label}}?"}]);
    let mut eval = exact();
    eval["testing_criteria"] = json!([
        {"type": "score_model", "name": "score", "model": model, "input": input, "pass_threshold": 1},
        {"type": "label_model", "name": "label", "model": model, "input": input,
         "labels": ["good", "bad"], "passing_labels": ["good"]},
    ]);
    eval
}

async fn runs_of(bench: &Bench, eval: &Value) -> String {
    let eval = bench.make("/v1/evals", eval).await;
    format!("/v1/evals/{}/runs", text(&eval, "id"))
}

#[tokio::test]
async fn a_run_asks_the_model_under_test_and_the_judge() {
    let bench = Bench::new().await;
    let runs = runs_of(&bench, &judged("judge")).await;
    let source = json!({
        "type": "responses", "model": "tested",
        "source": {"type": "file_content", "content": [{"item": {"label": "a"}}, {"item": {"label": "b"}}]},
        "input_messages": {"type": "template", "template": [{"role": "user", "content": "say {{ item.label }}"}]},
        "sampling_params": {"temperature": 0.5, "max_completions_tokens": 9},
    });
    let made = bench.make(&runs, &json!({"data_source": source})).await;
    assert_eq!(
        (&made["name"], &made["model"]),
        (&json!("tested"), &json!("tested"))
    );
    let run = bench.ended(&made).await;
    assert_eq!(
        run["result_counts"],
        json!({"total": 2, "errored": 0, "failed": 0, "passed": 2})
    );
    let use_of = |model: &str, calls: i64| {
        json!({"model_name": model, "invocation_count": calls, "prompt_tokens": 10 * calls,
               "completion_tokens": 5 * calls, "total_tokens": 15 * calls, "cached_tokens": 2 * calls})
    };
    let used = json!([use_of("judge-2026", 4), use_of("tested-2026", 2)]);
    assert_eq!(run["per_model_usage"], used);
    let items = bench.get(&format!("{}/output_items", path_of(&run))).await;
    let sample = &items["data"][1]["sample"];
    assert_eq!(
        sample["input"],
        json!([{"role": "user", "content": "say b"}])
    );
    assert_eq!(sample["output"][0]["content"], "SAY B");
    assert_eq!(
        (&sample["temperature"], &sample["max_completion_tokens"]),
        (&json!(0.5), &json!(9))
    );
    let results = items["data"][1]["results"].as_array().unwrap();
    let judge = &results[0]["sample"]["input"];
    assert_eq!(judge[0]["content"], "Is SAY B like b?", "{judge}");
    assert_eq!(results[0]["steps"][0]["conclusion"], "fine");
    assert_eq!(
        (&results[1]["label"], &results[1]["score"]),
        (&json!("good"), &json!(1.0))
    );
    bench.stop().await;
}

#[tokio::test]
async fn a_row_that_cannot_be_answered_or_graded_is_an_error_of_its_own() {
    let bench = Bench::new().await;
    let runs = runs_of(&bench, &exact()).await;
    let mut sent = inline(json!([
        {"item": {"label": "a"}, "sample": {"output_text": "a"}},
        {"item": {"label": "a"}, "sample": {"text": "a"}},
    ]));
    let run = bench.ended(&bench.make(&runs, &sent).await).await;
    assert_eq!(run["status"], "completed");
    assert_eq!(
        run["result_counts"],
        json!({"total": 2, "errored": 1, "failed": 0, "passed": 1})
    );
    let items = bench
        .get(&format!("{}/output_items?status=error", path_of(&run)))
        .await;
    let error = &items["data"][0]["results"][0]["error"];
    assert_eq!(error["flags"]["invalid_variable_error"], true, "{items}");
    sent["data_source"]["type"] = json!("completions");
    sent["data_source"]["model"] = json!("broken");
    sent["data_source"]["input_messages"] =
        json!({"type": "item_reference", "item_reference": "item.label"});
    let run = bench.ended(&bench.make(&runs, &sent).await).await;
    assert_eq!(
        (&run["status"], &run["error"]["code"]),
        (&json!("failed"), &json!("nothing_graded"))
    );
    let items = bench.get(&format!("{}/output_items", path_of(&run))).await;
    assert_eq!(
        items["data"][0]["sample"]["error"]["code"],
        "model_refused_request"
    );
    bench.stop().await;
}

#[tokio::test]
async fn a_run_grades_traces_as_the_stock_client_asks_for_it() {
    let bench = Bench::new().await;
    for (trace, order) in [("t1", "A-17"), ("t2", "B-4")] {
        let span = |id: &str, data: Value| {
            json!({"object": "trace.span", "id": id, "trace_id": trace, "span_data": data,
                "started_at": "2026-01-02T03:00:00Z", "ended_at": "2026-01-02T03:00:01Z"})
        };
        let batch = json!({"data": [
            {"object": "trace", "id": trace, "workflow_name": "orders"},
            span("call", json!({"type": "function", "name": "find_order", "input": "{}", "output": order})),
            span("gen", json!({"type": "generation", "model": "m", "output": [{"role": "assistant", "content": "found it"}]})),
        ]});
        assert_eq!(bench.post("/v1/traces/ingest", &batch).await.0, 200);
    }
    let eval = json!({
        "data_source_config": {"type": "traces"},
        "testing_criteria": [
            {"type": "string_check", "name": "order", "operation": "like",
             "input": "{{item.tools[0].output}}", "reference": "A-"},
            {"type": "string_check", "name": "said", "operation": "eq",
             "input": "{{sample.output_text}}", "reference": "found it"},
        ],
    });
    let runs = runs_of(&bench, &eval).await;
    let sent = |source: Value| json!({"data_source": {"type": "traces", "source": source}});
    let all = json!({"type": "traces", "filter": {"workflow_name": "orders"}});
    let run = bench.ended(&bench.make(&runs, &sent(all)).await).await;
    assert_eq!(
        run["result_counts"],
        json!({"total": 2, "errored": 0, "failed": 1, "passed": 1}),
        "{run}"
    );
    let one = json!({"type": "traces", "trace_ids": ["t2"]});
    let run = bench.ended(&bench.make(&runs, &sent(one)).await).await;
    let items = bench.get(&format!("{}/output_items", path_of(&run))).await;
    assert_eq!(
        items["data"][0]["datasource_item"]["trace"]["id"], "t2",
        "{items}"
    );
    assert_eq!(items["data"][0]["status"], "fail");
    // A copy goes with its trace.
    assert_eq!(bench.delete("/v1/traces/t2").await.0, 200);
    let items = bench.get(&format!("{}/output_items", path_of(&run))).await;
    assert_eq!(items["data"], json!([]));

    let check = async |source: Value, status: u16| {
        let (got, error) = bench.post(&runs, &sent(source)).await;
        assert_eq!(got, status, "{error}");
    };
    check(json!({"type": "traces", "trace_ids": ["nobody"]}), 404).await;
    check(
        json!({"type": "traces", "filter": {"workflow_name": "none"}}),
        400,
    )
    .await;
    check(json!({"type": "traces", "filter": {"colour": "red"}}), 400).await;
    check(json!({"type": "traces", "limit": 0}), 400).await;
    check(json!({"type": "traces", "colour": "red"}), 400).await;
    let named = json!(["t1"]);
    check(
        json!({"type": "traces", "trace_ids": named, "limit": 1}),
        400,
    )
    .await;
    check(json!({"type": "traces", "trace_ids": ["t1", "t1"]}), 400).await;
    check(json!({"type": "traces", "colour": "red"}), 400).await;
    bench.stop().await;
}

#[tokio::test]
async fn a_trace_that_still_runs_is_graded_only_if_it_is_asked_for() {
    let bench = Bench::new().await;
    let eval = json!({"data_source_config": {"type": "traces"}, "testing_criteria": [
        {"type": "string_check", "name": "order", "operation": "like",
         "input": "{{item.tools[0].output}}", "reference": "A-"}]});
    let runs = runs_of(&bench, &eval).await;
    let sent = |source: Value| json!({"data_source": {"type": "traces", "source": source}});
    let open = json!({"data": [
        {"object": "trace", "id": "t3", "workflow_name": "open"},
        {"object": "trace.span", "id": "call", "trace_id": "t3", "started_at": "2026-01-02T03:00:00Z",
         "parent_id": "not yet", "span_data": {"type": "function", "name": "find_order", "output": "A-1"}}]});
    assert_eq!(bench.post("/v1/traces/ingest", &open).await.0, 200);
    let (status, error) = bench
        .post(
            &runs,
            &sent(json!({"type": "traces", "filter": {"workflow_name": "open"}})),
        )
        .await;
    assert_eq!(status, 400);
    assert!(
        text(&error["error"], "message").contains("include_running"),
        "{error}"
    );
    for asked in [
        json!({"type": "traces", "filter": {"workflow_name": "open"}, "include_running": true}),
        json!({"type": "traces", "filter": {"workflow_name": "open", "status": "running"}}),
        json!({"type": "traces", "trace_ids": ["t3"]}),
    ] {
        bench.make(&runs, &sent(asked)).await;
    }
    bench.stop().await;
}

#[tokio::test]
async fn a_run_grades_calls_that_were_recorded() {
    let bench = Bench::new().await;
    let call = |trace: &str, asked: &str, said: &str| {
        json!([
            {"object": "trace", "id": trace, "workflow_name": "w", "metadata": {"team": "qa"}},
            {"object": "trace.span", "id": "s", "trace_id": trace, "started_at": "2026-01-02T03:00:00Z",
             "ended_at": "2026-01-02T03:00:01Z", "span_data": {"type": "generation", "model": "m",
             "input": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": asked}],
             "output": [{"role": "assistant", "content": said}], "usage": {"input_tokens": 3, "output_tokens": 2}}},
        ])
    };
    for (trace, said) in [("t1", "hello Ada"), ("t2", "go away")] {
        let batch = json!({"data": call(trace, "I am Ada", said)});
        assert_eq!(bench.post("/v1/traces/ingest", &batch).await.0, 200);
    }
    let input = json!([{"role": "user", "content": "x"}]);
    let eval = json!({
        "data_source_config": {"type": "logs", "metadata": {"team": "qa"}},
        "testing_criteria": [
            {"type": "string_check", "name": "hello", "operation": "like",
             "input": "{{sample.output_text}}", "reference": "hello"},
            {"type": "string_check", "name": "asked", "operation": "eq",
             "input": "{{item.input[1].content}}", "reference": "I am Ada"},
            {"type": "score_model", "name": "score", "model": "judge", "input": input},
        ],
    });
    let runs = runs_of(&bench, &eval).await;
    let sent = |query: Value| json!({"data_source": {"type": "responses", "source": query}});
    let query = json!({"type": "responses", "model": "m", "instructions_search": "kind",
        "created_after": 1_767_322_800, "created_before": 1_767_322_801});
    let run = bench.ended(&bench.make(&runs, &sent(query)).await).await;
    assert_eq!(
        run["result_counts"],
        json!({"total": 2, "errored": 0, "failed": 1, "passed": 1}),
        "{run}"
    );
    let items = bench
        .get(&format!("{}/output_items?status=fail", path_of(&run)))
        .await;
    let item = &items["data"][0];
    assert_eq!(item["datasource_item"]["trace_id"], "t2");
    assert_eq!(
        item["sample"]["input"][0],
        json!({"role": "system", "content": "Be kind."})
    );
    assert_eq!(item["sample"]["output"][0]["content"], "go away");
    assert_eq!(
        (
            &item["sample"]["model"],
            &item["sample"]["usage"]["total_tokens"]
        ),
        (&json!("m"), &json!(5))
    );
    for other in [
        json!({"model": "x"}),
        json!({"metadata": {"team": "x"}}),
        json!({"created_before": 1_767_322_800}),
    ] {
        let mut query = json!({"type": "stored_completions"});
        query
            .as_object_mut()
            .unwrap()
            .extend(other.as_object().unwrap().clone());
        let (status, error) = bench.post(&runs, &sent(query)).await;
        assert_eq!(
            (status, &error["error"]["param"]),
            (400, &json!("data_source.source")),
            "{error}"
        );
    }
    bench.stop().await;
}

#[tokio::test]
async fn a_run_that_needs_a_model_is_refused_where_there_is_none() {
    let bench = Bench::over(tempfile::tempdir().unwrap(), None).await;
    let runs = runs_of(&bench, &judged("judge")).await;
    let (status, error) = bench.post(&runs, &inline(rows(1))).await;
    assert_eq!(
        (status, &error["error"]["code"]),
        (400, &json!("not_configured"))
    );
    assert!(
        text(&error["error"], "message").contains("OPENAI_API_KEY"),
        "{error}"
    );
    bench.stop().await;
}

#[tokio::test]
async fn a_run_is_canceled_by_the_old_way_and_the_new() {
    let bench = Bench::new().await;
    let runs = runs_of(&bench, &judged("slow")).await;
    for end in ["", "/cancel"] {
        let run = bench.make(&runs, &inline(rows(3))).await;
        let cancel = bench.request(Method::POST, &format!("{}{end}", path_of(&run)));
        // As the client sends it: with a type and without a body.
        let canceled = send(cancel.header("content-type", "application/json")).await;
        assert_eq!(ok(canceled)["status"], "canceled");
        let again = bench
            .post(&format!("{}/cancel", path_of(&run)), &json!({}))
            .await;
        assert_eq!(ok(again)["status"], "canceled", "twice is once");
    }
    let canceled = bench
        .get(&format!("{runs}?status=canceled&order=desc"))
        .await;
    assert_eq!(canceled["data"].as_array().unwrap().len(), 2);
    assert_eq!(canceled["data"][0]["result_counts"]["passed"], 0);
    // The places are free again: other runs go on.
    let quick = runs_of(&bench, &exact()).await;
    let done = bench
        .ended(&bench.make(&quick, &inline(rows(1))).await)
        .await;
    let (status, _) = bench
        .post(&format!("{}/cancel", path_of(&done)), &json!({}))
        .await;
    assert_eq!(status, 400, "it is over");
    bench.stop().await;
}

#[tokio::test]
async fn g1_a_run_goes_on_after_a_restart_and_grades_no_row_twice() {
    const ROWS: usize = 40;
    let dir = tempfile::tempdir().unwrap();
    // Two calls a row: the first server can end eight rows, and hangs in the middle of others.
    let first = Scripted::new(21);
    let bench = Bench::over(dir, Some(Arc::clone(&first))).await;
    let runs = runs_of(&bench, &judged("slow")).await;
    let made = bench.make(&runs, &inline(rows(ROWS))).await;
    let done = loop {
        let run = bench.get(&path_of(&made)).await;
        assert_eq!(run["result_counts"]["failed"], 0);
        let passed = run["result_counts"]["passed"].as_u64().unwrap();
        if first.answered.load(Ordering::Relaxed) == 21 && passed > 0 {
            break passed;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(done < ROWS as u64);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let dir = bench.stop().await;

    let second = Scripted::new(10_000);
    let bench = Bench::over(dir, Some(Arc::clone(&second))).await;
    let run = bench.ended(&made).await;
    assert_eq!(run["status"], "completed");
    assert_eq!(run["result_counts"]["passed"], ROWS);
    let calls = &run["per_model_usage"][0]["invocation_count"];
    assert_eq!(calls, 2 * ROWS, "what was written down counts once");
    let asked_again = second.answered.load(Ordering::Relaxed);
    // What was answered is not paid for again, but for answers that the stop came between and the disk.
    let of_rest = 2 * ROWS - 21;
    assert!(
        (of_rest..of_rest + 4).contains(&asked_again),
        "{asked_again}"
    );
    let cost = run["cost_usd"].as_f64().unwrap();
    let of_all = 2.0 * ROWS as f64 * 15e-6;
    assert!((cost - of_all).abs() < 1e-9, "{run}");
    let items = bench
        .get(&format!("{}/output_items?limit=1000", path_of(&run)))
        .await;
    let places: Vec<_> = items["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["datasource_item_id"].as_u64())
        .collect();
    let all: Vec<_> = (0..ROWS as u64).map(Some).collect();
    assert_eq!(places, all);
    bench.stop().await;
}

/// Makes a run of 30 rows that may cost so much, as data sources or metadata say it.
async fn capped(bench: &Bench, runs: &str, in_metadata: bool, usd: &str) -> Value {
    let mut sent = inline(rows(30));
    match in_metadata {
        true => sent["metadata"] = json!({"max_cost_usd": usd}),
        false => sent["data_source"]["max_cost_usd"] = usd.parse::<f64>().unwrap().into(),
    }
    bench.ended(&bench.make(runs, &sent).await).await
}

#[tokio::test]
async fn a_run_ends_where_its_models_may_cost_no_more() {
    let bench = Bench::new().await;
    let runs = runs_of(&bench, &judged("judge")).await;
    // An answer takes 15 tokens at a millionth of a dollar; it is thought to take a thousand.
    for in_metadata in [true, false] {
        let run = capped(&bench, &runs, in_metadata, "0.0015").await;
        assert_eq!(
            (&run["status"], &run["error"]["code"]),
            (&json!("failed"), &json!("budget_used_up")),
            "{run}"
        );
        assert!(text(&run["error"], "message").contains("0.0015"), "{run}");
        let cost = run["cost_usd"].as_f64().unwrap();
        assert!(cost > 0.0 && cost <= 0.0015, "{run}");
        // What was paid for is kept, and what is left was not asked.
        let passed = run["result_counts"]["passed"].as_u64().unwrap();
        assert!((1..30).contains(&passed), "{run}");
        let calls = run["per_model_usage"][0]["invocation_count"].as_u64();
        assert_eq!(calls, Some(2 * passed), "{run}");
    }
    // Calls that are under way at the same time are not taken for dearer than they are: 30 rows cost
    // 0.0009, and 8 of them at once are thought to cost 0.02.
    let run = capped(&bench, &runs, true, "0.0035").await;
    assert_eq!(run["status"], "completed", "{run}");
    let cost = run["cost_usd"].as_f64().unwrap();
    assert!((cost - 0.0009).abs() < 1e-9, "{run}");
    bench.stop().await;
}

#[tokio::test]
async fn the_model_under_test_is_paid_out_of_the_same_purse() {
    let bench = Bench::new().await;
    let runs = runs_of(&bench, &exact()).await;
    let mut sent = inline(rows(3));
    sent["metadata"] = json!({"max_cost_usd": "0.0001"});
    sent["data_source"]["type"] = json!("completions");
    sent["data_source"]["model"] = json!("tested");
    sent["data_source"]["input_messages"] =
        json!({"type": "item_reference", "item_reference": "item.label"});
    let run = bench.ended(&bench.make(&runs, &sent).await).await;
    assert_eq!(run["error"]["code"], "budget_used_up", "{run}");
    assert_eq!(run["result_counts"]["total"], 3, "the rows wait: {run}");
    assert_eq!(run["per_model_usage"], Value::Null);
    assert_eq!(run.get("cost_usd"), None);
    bench.stop().await;
}

#[tokio::test]
async fn a_model_without_a_price_is_refused_before_it_is_asked() {
    let bench = Bench::new().await;
    let check = async |runs: &str, sent: &Value, model: &str| {
        let (status, error) = bench.post(runs, sent).await;
        let message = text(&error["error"], "message");
        assert_eq!(
            (status, &error["error"]["code"]),
            (400, &json!("not_configured")),
            "{error}"
        );
        assert!(
            message.contains(model) && message.contains("price"),
            "{message}"
        );
    };
    let of_judge = runs_of(&bench, &judged("mine")).await;
    check(&of_judge, &inline(rows(1)), "\"mine\"").await;
    let mut sampled = inline(rows(1));
    sampled["data_source"]["type"] = json!("completions");
    sampled["data_source"]["model"] = json!("ours");
    sampled["data_source"]["input_messages"] =
        json!({"type": "item_reference", "item_reference": "item.label"});
    let of_exact = runs_of(&bench, &exact()).await;
    check(&of_exact, &sampled, "\"ours\"").await;
    bench.price("mine").await;
    let run = bench
        .ended(&bench.make(&of_judge, &inline(rows(1))).await)
        .await;
    assert_eq!(run["status"], "completed", "{run}");
    bench.stop().await;
}
