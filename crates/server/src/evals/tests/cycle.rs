//! What a client does in a day: files, evals, runs, items, graders.

use super::*;

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story, told in its order")]
async fn an_eval_is_made_run_read_and_deleted() {
    let bench = Bench::new().await;
    let eval = bench.make("/v1/evals", &exact()).await;
    let id = text(&eval, "id");
    assert!(id.starts_with("eval_"), "{eval}");
    let criterion = text(&eval["testing_criteria"][0], "id");
    assert!(criterion.starts_with("exact-"), "{eval}");
    assert_eq!(
        eval["testing_criteria"][0]["input"],
        "{{ sample.output_text }}"
    );
    assert_eq!(
        eval["data_source_config"]["schema"]["required"],
        json!(["item", "sample"])
    );
    assert_eq!(bench.get(&format!("/v1/evals/{id}")).await, eval);

    let lines: Vec<String> = rows(5)
        .as_array()
        .unwrap()
        .iter()
        .map(Value::to_string)
        .collect();
    let file = bench.upload(&lines.join("\n")).await;
    let file_id = text(&file, "id");
    let source = json!({"type": "jsonl", "source": {"type": "file_id", "id": file_id}});
    let sent = json!({"name": "r", "data_source": source, "metadata": {"k": "v"}});
    let made = bench.make(&format!("/v1/evals/{id}/runs"), &sent).await;
    assert_eq!(made["status"], "queued");
    assert_eq!(made["result_counts"]["total"], 0);
    assert_eq!(made["data_source"], source);
    // Its rows are its own: the file may go.
    assert_eq!(bench.delete(&format!("/v1/files/{file_id}")).await.0, 200);
    let run = bench.ended(&made).await;
    assert_eq!(run["status"], "completed", "{run}");
    assert_eq!(
        run["result_counts"],
        json!({"total": 5, "errored": 0, "failed": 2, "passed": 3})
    );
    assert_eq!(
        run["per_testing_criteria_results"],
        json!([{"testing_criteria": criterion, "passed": 3, "failed": 2, "errored": 0}])
    );
    assert_eq!(
        (&run["per_model_usage"], &run["error"]),
        (&Value::Null, &Value::Null)
    );

    let items = format!("{}/output_items", path_of(&run));
    let page = bench.get(&format!("{items}?limit=2")).await;
    assert_eq!(page["has_more"], true);
    let last = text(&page, "last_id");
    let rest = bench.get(&format!("{items}?limit=10&after={last}")).await;
    let places: Vec<_> = rest["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| &item["datasource_item_id"])
        .collect();
    assert_eq!(places, [2, 3, 4]);
    for word in ["fail", "failed"] {
        let fails = bench.get(&format!("{items}?status={word}")).await;
        assert_eq!(fails["data"].as_array().unwrap().len(), 2, "{word}");
    }
    let none = bench.get(&format!("{items}?status=error")).await;
    assert_eq!(
        (&none["first_id"], &none["last_id"]),
        (&Value::Null, &Value::Null)
    );
    let item = &rest["data"][0];
    assert_eq!(
        bench.get(&format!("{items}/{}", text(item, "id"))).await,
        *item
    );
    assert_eq!(item["datasource_item"], json!({"label": "a", "n": 2}));
    assert_eq!(item["sample"]["output"][0]["content"], "a");
    let result = &item["results"][0];
    assert_eq!(
        (&result["name"], &result["score"]),
        (&json!(criterion), &json!(1.0))
    );
    assert_eq!(result["passed"], true);

    let (status, gone) = bench.delete(&path_of(&run)).await;
    assert_eq!((status, text(&gone, "run_id")), (200, text(&run, "id")));
    let (status, gone) = bench.delete(&format!("/v1/evals/{id}")).await;
    assert_eq!((status, text(&gone, "eval_id")), (200, id.clone()));
    let (status, error) = bench
        .post(&format!("/v1/evals/{id}"), &json!({"name": "x"}))
        .await;
    assert_eq!(
        (status, &error["error"]["code"]),
        (404, &json!("not_found"))
    );
    bench.stop().await;
}

#[tokio::test]
async fn files_are_kept_listed_read_and_deleted() {
    let bench = Bench::new().await;
    let first = bench.upload("one").await;
    let second = bench.upload("two\r\nlines").await;
    assert_eq!(
        (&second["filename"], &second["bytes"]),
        (&json!("rows.jsonl"), &json!(10))
    );
    let list = bench.get("/v1/files?purpose=evals").await;
    let ids: Vec<_> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| &file["id"])
        .collect();
    assert_eq!(ids, [&second["id"], &first["id"]]);
    assert_eq!(
        bench.get("/v1/files?purpose=other").await["data"],
        json!([])
    );
    let page = bench.get("/v1/files?limit=10000").await;
    assert_eq!(page["data"].as_array().unwrap().len(), 2, "{page}");
    let page = bench.get("/v1/files?limit=1").await;
    assert_eq!(
        (&page["data"][0], &page["has_more"]),
        (&second, &json!(true))
    );
    let (status, error) = send(bench.request(Method::GET, "/v1/files?limit=10001")).await;
    assert_eq!((status, &error["error"]["param"]), (400, &json!("limit")));
    let path = format!("/v1/files/{}", text(&second, "id"));
    assert_eq!(bench.get(&path).await, second);
    assert_eq!(bench.get(&format!("{path}/content")).await, "two\r\nlines");
    let mode = std::os::unix::fs::PermissionsExt::mode;
    let folder = std::fs::metadata(bench.dir.path().join("data/files")).unwrap();
    assert_eq!(mode(&folder.permissions()) & 0o777, 0o700);
    assert_eq!(bench.delete(&path).await.1["deleted"], true);
    assert_eq!(bench.delete(&path).await.0, 404);
    let plain = bench.post("/v1/files", &json!({})).await;
    assert_eq!(
        (plain.0, &plain.1["error"]["code"]),
        (415, &json!("unsupported_media_type"))
    );
    bench.stop().await;
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story, told in its order")]
async fn what_cannot_be_meant_is_refused_by_its_place() {
    let bench = Bench::new().await;
    let eval = bench.make("/v1/evals", &exact()).await;
    let runs = format!("/v1/evals/{}/runs", text(&eval, "id"));
    let check = async |path: &str, change: &dyn Fn(&mut Value), body: Value, want: &str| {
        let mut body = body;
        change(&mut body);
        let (status, answer) = bench.post(path, &body).await;
        assert_eq!(status, 400, "{answer}");
        assert_eq!(answer["error"]["param"], want, "{answer}");
    };
    let evals = "/v1/evals";
    check(
        evals,
        &|e| e["testing_criteria"] = json!([]),
        exact(),
        "testing_criteria",
    )
    .await;
    let multi = json!({"type": "multi", "name": "m", "graders": {}, "calculate_output": "1"});
    check(
        evals,
        &|e| e["testing_criteria"][0] = multi.clone(),
        exact(),
        "testing_criteria[0].type",
    )
    .await;
    check(
        evals,
        &|e| e["metadata"] = json!({"k": "x".repeat(513)}),
        exact(),
        "metadata",
    )
    .await;
    let source = |kind: &str| json!({"data_source": {"type": kind, "source": {"type": "file_content", "content": rows(1)}}});
    check(&runs, &|_| {}, source("csv"), "data_source.type").await;
    check(
        &runs,
        &|r| r["data_source"]["model"] = json!("m"),
        source("jsonl"),
        "data_source.type",
    )
    .await;
    check(
        &runs,
        &|r| r["data_source"]["model"] = json!("m"),
        source("completions"),
        "data_source.input_messages",
    )
    .await;
    check(
        &runs,
        &|r| r["data_source"]["source"]["content"] = json!([]),
        source("jsonl"),
        "data_source.source",
    )
    .await;
    let bad = json!([{"item": {"label": "a"}}, {"item": {}}]);
    check(
        &runs,
        &|r| r["data_source"]["source"]["content"] = bad.clone(),
        source("jsonl"),
        "data_source.source.content[1]",
    )
    .await;
    let no_sample = json!([{"item": {"label": "a"}}]);
    check(
        &runs,
        &|r| r["data_source"]["source"]["content"] = no_sample.clone(),
        source("responses"),
        "data_source.source.content[0]",
    )
    .await;
    let query = json!({"type": "stored_completions", "limit": 0});
    check(
        &runs,
        &|r| r["data_source"]["source"] = query.clone(),
        source("completions"),
        "data_source.source.limit",
    )
    .await;
    let (status, error) = bench.post(&runs, &json!({"data_source": {"type": "jsonl", "source": {"type": "file_id", "id": "file-x"}}})).await;
    assert_eq!(
        (status, &error["error"]["code"]),
        (404, &json!("not_found"))
    );
    let (status, error) = bench.post(evals, &json!({"nam": "x"})).await;
    assert_eq!(
        (status, &error["error"]["code"]),
        (400, &json!("invalid_body"))
    );
    bench.stop().await;
}

#[tokio::test]
async fn graders_are_tried_out_without_an_eval() {
    let bench = Bench::new().await;
    let similar = json!({"type": "string_check", "name": "has", "operation": "ilike",
        "input": "{{sample.output_text}}", "reference": "{{item.word}}"});
    let score = json!({"type": "score_model", "name": "score", "model": "judge", "range": [0, 2],
        "input": [{"role": "user", "content": "Score {{sample.output_text}}"}]});
    let python = json!({"type": "python", "name": "py", "source": "def grade(sample, item):\n    return 1.0\n"});
    let multi = json!({"type": "multi", "name": "all", "calculate_output": "(has + score) / 2",
        "graders": {"has": similar, "score": score}});
    let run = "/v1/fine_tuning/alpha/graders/run";
    let validate = "/v1/fine_tuning/alpha/graders/validate";
    for grader in [&similar, &score, &python, &multi] {
        let trial = json!({"grader": grader, "model_sample": "A Word", "item": {"word": "word"}});
        let answer = ok(bench.post(run, &trial).await);
        assert_eq!(answer["reward"], 1.0, "{answer}");
        assert_eq!(answer["metadata"]["errors"].as_object().unwrap().len(), 14);
        let valid = ok(bench.post(validate, &json!({"grader": grader})).await);
        assert_eq!(valid["grader"]["name"], grader["name"]);
    }
    // A grading that fails is an answer; a grader that cannot be one is a mistake.
    let broken = json!({"type": "python", "name": "py", "source": "def grade(sample, item):\n    raise ValueError\n"});
    let answer = ok(bench
        .post(run, &json!({"grader": broken, "model_sample": ""}))
        .await);
    assert_eq!(answer["reward"], 0.0);
    assert_eq!(
        answer["metadata"]["errors"]["python_grader_runtime_error"],
        true
    );
    let label = json!({"type": "label_model", "name": "l", "model": "judge", "labels": ["good"], "passing_labels": ["good"],
        "input": [{"role": "user", "content": "x"}]});
    for path in [run, validate] {
        let (status, error) = bench
            .post(path, &json!({"grader": label, "model_sample": ""}))
            .await;
        assert_eq!(status, 400, "{error}");
    }
    bench.stop().await;
}

#[tokio::test]
async fn t1_keys_do_what_they_may_in_their_own_project() {
    let mut bench = Bench::new().await;
    let admin = bench.make_key(&["admin"], None).await;
    bench.key = Some(admin.clone());
    let made = bench.post("/v1/projects", &json!({"id": "shop"})).await;
    assert_eq!(made.0, 200, "{}", made.1);
    let sender = bench.make_key(&["read", "ingest"], Some("default")).await;
    let reader = bench.make_key(&["read"], Some("default")).await;
    let other = bench.make_key(&["admin"], Some("shop")).await;
    let eval = bench.make("/v1/evals", &exact()).await;
    let path = format!("/v1/evals/{}", text(&eval, "id"));
    let file = format!("/v1/files/{}", text(&bench.upload("x").await, "id"));

    bench.key = Some(reader);
    bench.get(&path).await;
    assert_eq!(bench.post("/v1/evals", &exact()).await.0, 403);
    assert_eq!(
        bench
            .post(&format!("{path}/runs"), &inline(rows(1)))
            .await
            .0,
        403
    );
    let grader = json!({"grader": exact()["testing_criteria"][0], "model_sample": "x"});
    assert_eq!(
        bench
            .post("/v1/fine_tuning/alpha/graders/run", &grader)
            .await
            .0,
        403
    );
    bench.key = Some(sender);
    let run = bench.make(&format!("{path}/runs"), &inline(rows(1))).await;
    bench.ended(&run).await;
    assert_eq!(bench.delete(&path).await.0, 403);
    assert_eq!(bench.delete(&file).await.0, 403);
    bench.key = Some(other);
    assert_eq!(bench.get("/v1/evals").await["data"], json!([]));
    assert_eq!(bench.get("/v1/files").await["data"], json!([]));
    for path in [
        &path,
        &file,
        &path_of(&run),
        &format!("{}/output_items", path_of(&run)),
        &format!("{file}/content"),
    ] {
        assert_eq!(
            send(bench.request(Method::GET, path)).await.0,
            404,
            "{path}"
        );
    }
    assert_eq!(bench.delete(&path).await.0, 404);
    bench.key = Some(admin);
    assert_eq!(bench.delete(&path).await.0, 200);
    bench.stop().await;
}
