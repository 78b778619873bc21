//! Runs that were graded elsewhere and come along.

use super::*;

fn eval() -> Value {
    json!({"object": "eval", "id": "eval_a", "name": "capitals", "created_at": 1_700_000_000, "metadata": {},
        "data_source_config": {"type": "custom", "schema": {"type": "object", "properties": {
            "item": {"type": "object"}, "sample": {"type": "object"}}}},
        "testing_criteria": [{"id": "exact-there", "type": "string_check", "name": "exact",
            "input": "{{sample.output_text}}", "operation": "eq", "reference": "{{item.label}}"}]})
}

fn run(id: &str, status: &str) -> Value {
    json!({"object": "eval.run", "id": id, "eval_id": "eval_a", "name": "gpt-4o", "model": "gpt-4o",
        "created_at": 1_700_000_100, "status": status, "report_url": "https://platform.openai.com/x",
        "result_counts": {"total": 3, "errored": 0, "failed": 1, "passed": 2},
        "per_model_usage": [{"model_name": "gpt-4o", "invocation_count": 3, "prompt_tokens": 30,
            "completion_tokens": 6, "total_tokens": 36, "cached_tokens": 0}],
        "per_testing_criteria_results": [{"testing_criteria": "exact-there", "passed": 2, "failed": 1}],
        "data_source": {"type": "completions", "source": {"type": "file_id", "id": "file-1"}, "model": "gpt-4o"},
        "error": null, "metadata": {"k": "v"}})
}

fn item(n: usize, run: &str) -> Value {
    let passed = n != 1;
    json!({"object": "eval.run.output_item", "id": format!("outputitem_{run}_{n}"), "run_id": run,
        "eval_id": "eval_a", "created_at": 1_700_000_200, "status": if passed { "pass" } else { "fail" },
        "datasource_item_id": n, "datasource_item": {"label": "Oslo"},
        "results": [{"name": "exact-there", "score": f64::from(u8::from(passed)), "passed": passed, "sample": null}],
        "sample": {"input": [], "output": [{"role": "assistant", "content": "Oslo"}], "finish_reason": "stop",
            "model": "gpt-4o", "usage": {"total_tokens": 12, "completion_tokens": 2, "prompt_tokens": 10,
            "cached_tokens": 0}, "error": null}})
}

async fn import(bench: &Bench, body: &Value) -> Value {
    ok(bench.post("/v1/evals/import", body).await)
}

fn outcomes<'a>(answer: &'a Value, what: &str) -> Vec<&'a str> {
    let list = answer[what].as_array().unwrap();
    list.iter()
        .map(|one| one["outcome"].as_str().unwrap())
        .collect()
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one run, looked at from all sides")]
async fn runs_come_along_as_they_were_graded_there() {
    let bench = Bench::new().await;
    let items: Vec<Value> = (0..3).map(|n| item(n, "evalrun_a")).collect();
    let body =
        json!({"evals": [eval()], "runs": [run("evalrun_a", "completed")], "output_items": items});
    let answer = import(&bench, &body).await;
    assert_eq!(outcomes(&answer, "output_items"), ["added"; 3], "{answer}");
    let (eval_id, run_id) = (
        text(&answer["evals"][0], "id"),
        text(&answer["runs"][0], "id"),
    );

    let kept = bench.get(&format!("/v1/evals/{eval_id}")).await;
    assert_eq!(
        (&kept["openai_eval_id"], &kept["created_at"]),
        (&json!("eval_a"), &json!(1_700_000_000))
    );
    assert_eq!(kept["testing_criteria"][0]["id"], "exact-there");
    let path = format!("/v1/evals/{eval_id}/runs/{run_id}");
    let kept = bench.get(&path).await;
    let told = run("evalrun_a", "completed");
    for same in [
        "name",
        "model",
        "created_at",
        "status",
        "result_counts",
        "per_model_usage",
        "data_source",
        "error",
        "metadata",
    ] {
        assert_eq!(kept[same], told[same], "{same}");
    }
    let of_criterion = &kept["per_testing_criteria_results"][0];
    assert_eq!(
        (
            &of_criterion["testing_criteria"],
            &of_criterion["passed"],
            &of_criterion["failed"]
        ),
        (&json!("exact-there"), &json!(2), &json!(1))
    );
    assert_eq!(
        (&kept["imported"], &kept["openai_run_id"]),
        (&json!(true), &json!("evalrun_a"))
    );
    let listed = bench
        .get(&format!("/v1/evals/{eval_id}/runs?status=completed"))
        .await;
    assert_eq!(listed["data"][0], kept);

    let page = bench.get(&format!("{path}/output_items?limit=2")).await;
    assert_eq!(
        (
            page["has_more"].as_bool(),
            page["data"].as_array().unwrap().len()
        ),
        (Some(true), 2)
    );
    let rest = bench
        .get(&format!(
            "{path}/output_items?after={}",
            text(&page, "last_id")
        ))
        .await;
    assert_eq!(
        rest["data"][0]["openai_output_item_id"],
        "outputitem_evalrun_a_2"
    );
    let failed = bench.get(&format!("{path}/output_items?status=fail")).await;
    let failed = &failed["data"][0];
    let there = item(1, "evalrun_a");
    for same in [
        "results",
        "sample",
        "datasource_item",
        "datasource_item_id",
        "created_at",
        "status",
    ] {
        assert_eq!(failed[same], there[same], "{same}");
    }
    assert_eq!(failed["imported"], true);

    // It is over: not canceled, not graded; it can be deleted.
    let (status, error) = bench.post(&format!("{path}/cancel"), &json!({})).await;
    assert_eq!(
        (status, text(&error["error"], "message")),
        (400, "run_id: the run is completed already".to_owned())
    );
    assert_eq!(bench.get(&path).await, kept);
    assert_eq!(bench.delete(&path).await.0, 200);
    assert_eq!(
        bench.get(&format!("/v1/evals/{eval_id}/runs")).await["data"],
        json!([])
    );
    // The eval is like any other: it grades here.
    let made = bench
        .make(&format!("/v1/evals/{eval_id}/runs"), &inline(rows(2)))
        .await;
    let here = bench.ended(&made).await;
    assert_eq!(
        (&here["imported"], &here["result_counts"]["total"]),
        (&Value::Null, &json!(2))
    );
    bench.stop().await;
}

#[tokio::test]
async fn what_came_before_changes_nothing_and_what_came_since_is_added() {
    let bench = Bench::new().await;
    let one = json!({"output_items": [item(0, "evalrun_a")]});
    let answer = import(&bench, &one).await;
    assert_eq!(outcomes(&answer, "output_items"), ["refused"]);
    assert!(
        text(&answer["output_items"][0], "message").contains("its run is not here"),
        "{answer}"
    );
    let all = json!({"runs": [run("evalrun_a", "completed")], "output_items": [item(0, "evalrun_a")],
        "evals": [eval()]});
    let first = import(&bench, &all).await;
    let path = format!(
        "/v1/evals/{}/runs/{}",
        text(&first["evals"][0], "id"),
        text(&first["runs"][0], "id")
    );
    let before = (
        bench.get(&path).await,
        bench.get(&format!("{path}/output_items")).await,
    );
    let second = import(&bench, &all).await;
    for what in ["evals", "runs", "output_items"] {
        assert_eq!(outcomes(&second, what), ["there"], "{second}");
        assert_eq!(second[what][0]["id"], first[what][0]["id"]);
    }
    assert_eq!(
        before,
        (
            bench.get(&path).await,
            bench.get(&format!("{path}/output_items")).await
        )
    );
    let more = json!({"output_items": [item(0, "evalrun_a"), item(1, "evalrun_a")]});
    assert_eq!(
        outcomes(&import(&bench, &more).await, "output_items"),
        ["there", "added"]
    );
    // Nobody else's run is found by the id that it had.
    let (status, _) = bench
        .post("/v1/projects", &json!({"id": "other", "name": "Other"}))
        .await;
    assert!(matches!(status, 200 | 201));
    let request = bench
        .request(Method::POST, "/v1/evals/import")
        .header("openai-project", "other");
    let answer = ok(send(request.json(&more)).await);
    assert_eq!(
        outcomes(&answer, "output_items"),
        ["refused", "refused"],
        "{answer}"
    );
    bench.stop().await;
}

#[tokio::test]
async fn what_cannot_be_kept_is_told_and_hinders_nothing() {
    let bench = Bench::new().await;
    let mut strange = eval();
    strange["id"] = json!("eval_b");
    strange["data_source_config"]["type"] = json!("csv");
    let mut lost = run("evalrun_b", "completed");
    lost["eval_id"] = json!("eval_b");
    let mut broken = item(1, "evalrun_a");
    broken["results"] = json!("none");
    let body = json!({"evals": [strange, eval()],
        "runs": [lost, run("evalrun_a", "in_progress"), run("evalrun_c", "done"), {"id": 7}],
        "output_items": [broken, item(2, "evalrun_a")]});
    let answer = import(&bench, &body).await;
    assert_eq!(outcomes(&answer, "evals"), ["refused", "added"], "{answer}");
    assert_eq!(
        outcomes(&answer, "runs"),
        ["refused", "added", "refused", "refused"]
    );
    assert_eq!(outcomes(&answer, "output_items"), ["refused", "added"]);
    let message = |what: &str, at: usize| text(&answer[what][at], "message");
    assert!(message("evals", 0).contains("csv"), "{answer}");
    assert!(
        message("runs", 0).contains("its eval is not here"),
        "{answer}"
    );
    assert!(message("runs", 1).contains("was in_progress"), "{answer}");
    let path = format!(
        "/v1/evals/{}/runs/{}",
        text(&answer["evals"][1], "id"),
        text(&answer["runs"][1], "id")
    );
    let kept = bench.get(&path).await;
    assert_eq!(
        (&kept["status"], &kept["error"]["code"]),
        (&json!("canceled"), &json!("unfinished"))
    );
    let ended = import(&bench, &json!({"runs": [run("evalrun_a", "completed")]})).await;
    assert_eq!(outcomes(&ended, "runs"), ["renewed"]);
    let kept = bench.get(&path).await;
    assert_eq!(
        (&kept["status"], &kept["error"]),
        (&json!("completed"), &Value::Null)
    );

    let many = vec![item(0, "evalrun_a"); 10_001];
    let (status, _) = bench
        .post("/v1/evals/import", &json!({"output_items": many}))
        .await;
    assert_eq!(status, 400);
    let (status, _) = bench.post("/v1/evals/import", &json!({"rows": []})).await;
    assert_eq!(status, 400);
    bench.stop().await;
}

#[tokio::test]
async fn what_was_graded_by_criteria_that_nobody_here_knows_is_kept_and_cannot_be_run() {
    let bench = Bench::new().await;
    let mut strange = eval();
    strange["testing_criteria"][0]["type"] = json!("spell");
    let body = json!({"evals": [strange], "runs": [run("evalrun_a", "completed")],
        "output_items": [item(1, "evalrun_a")]});
    let answer = import(&bench, &body).await;
    for what in ["evals", "runs", "output_items"] {
        assert_eq!(outcomes(&answer, what), ["added"], "{answer}");
    }
    let note = text(&answer["evals"][0], "message");
    assert!(
        note.contains("cannot be run here") && note.contains("spell"),
        "{note}"
    );
    let path = format!("/v1/evals/{}", text(&answer["evals"][0], "id"));
    let kept = bench.get(&path).await;
    assert_eq!(kept["testing_criteria"][0]["type"], "spell");
    let runs = bench.get(&format!("{path}/runs")).await;
    assert_eq!(runs["data"][0]["imported"], true, "{runs}");
    let (status, error) = bench.post(&format!("{path}/runs"), &inline(rows(1))).await;
    assert_eq!((status, &error["error"]["param"]), (400, &json!("eval_id")));
    assert!(
        text(&error["error"], "message").contains("spell"),
        "{error}"
    );
    bench.stop().await;
}
