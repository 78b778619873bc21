//! Runs: what came of them, page by page, one against another, and what is done to them.

use super::*;

fn grade_all(graders: Value) -> Value {
    json!({"graders": graders, "workflow_name": "flight_booking"})
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one run, looked at from all sides")]
async fn results_tell_the_whole_and_the_traces_that_are_asked_for() {
    let bench = Bench::with_traces(9).await;
    let scored = json!({"type": "llm", "name": "quality", "criteria": "Overall quality (1-5)"});
    let run = bench.grade(&grade_all(json!([rule(), scored]))).await;
    assert_eq!(run["counts"]["done"], 9);
    let results = format!("{}/results", path_of(&run));
    let told = bench.get(&results).await;
    assert_eq!(told["object"], "trace.grading_results");
    assert_eq!(told["run"]["id"], run["id"]);
    let rate = told["pass_rate"].as_f64().unwrap();
    assert!((rate - 6.0 / 9.0).abs() < 1e-9, "{told}");
    is_figure(&told["pass_rate_figure"]);
    let average = told["average_score"].as_f64().unwrap();
    assert!((average - 4.0).abs() < 1e-9, "{told}");
    is_figure(&told["average_score_figure"]);
    assert_eq!(told["average_score_figure"]["groups"], 5);
    let quality = &told["by_grader"]["quality"];
    assert_eq!(
        (&quality["counts"]["pass"], &quality["counts"]["fail"]),
        (&json!(6), &json!(3))
    );
    assert_eq!(
        (&told["degraded"], &told["total"]),
        (&json!(false), &json!(9))
    );
    assert_eq!(told["has_more"], false);

    // The whole stays the whole, whatever page is looked at.
    let failed = bench.get(&format!("{results}?outcome=fail&limit=2")).await;
    assert_eq!(
        (&failed["pass_rate"], &failed["total"]),
        (&told["pass_rate"], &json!(3))
    );
    assert_eq!(
        (ids(&failed, "trace_id"), &failed["has_more"]),
        (
            vec!["trace_1".to_owned(), "trace_4".to_owned()],
            &json!(true)
        )
    );
    let last = text(&failed, "last_id");
    let rest = bench
        .get(&format!("{results}?outcome=fail&after={last}"))
        .await;
    assert_eq!(
        (ids(&rest, "trace_id"), &rest["has_more"]),
        (vec!["trace_7".to_owned()], &json!(false))
    );
    let entry = &rest["data"][0];
    assert_eq!(
        (&entry["outcome"], &entry["group_id"]),
        (&json!("fail"), &json!("g3"))
    );
    let grades = entry["grades"].as_array().unwrap();
    let names: Vec<&Value> = grades.iter().map(|grade| &grade["grader_name"]).collect();
    assert_eq!(names, ["no tool failed", "quality"]);
    let judged = &grades[1];
    assert_eq!(
        (&judged["score"], &judged["citations"]),
        (&json!(2.0), &json!(["call7"]))
    );
    assert_eq!(judged["reasoning"], "looked at what the tool said");
    assert_eq!(judged["judge"]["tokens"]["input"], 1_000);

    // Numbers are below only where a grader gives numbers.
    let low = bench.get(&format!("{results}?score_below=3")).await;
    assert_eq!(ids(&low, "trace_id"), ["trace_1", "trace_4", "trace_7"]);
    let none = bench
        .get(&format!("{results}?grader=quality&score_below=2"))
        .await;
    assert_eq!(
        (&none["data"], &none["first_id"]),
        (&json!([]), &Value::Null)
    );
    refused(
        bench.try_get(&format!("{results}?grader=nobody")).await,
        400,
        "grader",
    );
    refused(
        bench.try_get(&format!("{results}?outcome=good")).await,
        400,
        "outcome",
    );
    refused(
        bench.try_get(&format!("{results}?score_below=low")).await,
        400,
        "score_below",
    );
    refused(
        bench.try_get(&format!("{results}?scores_below=3")).await,
        400,
        "scores_below",
    );

    // Grades as they were written.
    let grades = format!("{}/grades", path_of(&run));
    let mut seen = Vec::new();
    let mut after = String::new();
    loop {
        let page = bench.get(&format!("{grades}?limit=7{after}")).await;
        seen.extend(ids(&page, "id"));
        if page["has_more"] == json!(false) {
            break;
        }
        after = format!("&after={}", text(&page, "last_id"));
    }
    assert_eq!(seen.len(), 18);
    assert!(seen.is_sorted_by(|a, b| a < b));
    let of_one = bench
        .get(&format!("{grades}?trace_id=trace_1&outcome=fail"))
        .await;
    assert_eq!(of_one["data"].as_array().unwrap().len(), 2, "{of_one}");

    // Behind what is in no list there is nothing, which is another answer than an empty page.
    let runs = "/v1/evals/traces/grade".to_owned();
    for list in [&results, &grades, &runs, &"/v1/annotations".to_owned()] {
        refused(
            bench.try_get(&format!("{list}?after=zzz")).await,
            400,
            "after",
        );
    }
    bench.stop().await;
}

#[tokio::test]
async fn strata_are_weighed_by_what_they_stand_for() {
    let bench = Bench::with_traces(12).await;
    let request = json!({
        "graders": [rule()],
        "workflow_name": "flight_booking",
        "sample_strategy": "stratified",
        "strata": [
            {"name": "v1", "filter": {"agent_id": "agent_v1"}, "size": 6},
            {"name": "v2", "filter": {"agent_id": "agent_v2"}, "size": 3},
        ],
    });
    let run = bench.grade(&request).await;
    assert_eq!(run["counts"]["done"], 9);
    let told = bench.get(&format!("{}/results", path_of(&run))).await;
    assert_eq!(told["weighting"]["is_weighted"], true, "{told}");
    let strata = told["strata"].as_array().unwrap();
    let sizes: Vec<_> = strata
        .iter()
        .map(|one| {
            (
                text(one, "name"),
                one["population"].clone(),
                one["graded"].clone(),
            )
        })
        .collect();
    assert_eq!(
        sizes,
        [
            ("v1".to_owned(), json!(6), json!(6)),
            ("v2".to_owned(), json!(6), json!(3))
        ]
    );
    let rates: Vec<f64> = strata
        .iter()
        .map(|one| one["pass_rate"].as_f64().unwrap())
        .collect();
    let whole = told["pass_rate"].as_f64().unwrap();
    assert!((whole - (rates[0] + rates[1]) / 2.0).abs() < 1e-9, "{told}");
    bench.stop().await;
}

#[tokio::test]
async fn two_runs_are_compared_and_gated() {
    let bench = Bench::with_traces(24).await;
    let first = bench
        .grade(&json!({"graders": [rule()], "filter": {"agent_id": "agent_v1"}}))
        .await;
    let second = bench
        .grade(&json!({"graders": [rule()], "filter": {"agent_id": "agent_v2"}}))
        .await;
    let sides = json!({"baseline": {"run_id": first["id"]}, "candidate": {"run_id": second["id"]}});
    let told = bench.post("/v1/evals/traces/compare", &sides).await;
    assert_eq!(told["object"], "trace.grading_comparison");
    assert!(told["sentence"].is_string(), "{told}");
    let tested = &told["graders"][0]["tested"];
    is_figure(&tested["baseline"]);
    is_figure(&tested["difference"]);
    assert!(tested["p_value"].is_number(), "{told}");
    // By the task that both versions did.
    let mut paired = sides.clone();
    paired["pair_by"] = json!("metadata.task");
    let told = bench.post("/v1/evals/traces/compare", &paired).await;
    assert_eq!(told["graders"][0]["tested"]["design"], "paired", "{told}");

    let mut gate = sides.clone();
    gate["include"] = json!(["junit", "markdown"]);
    gate["margin"] = json!(0.1);
    let report = bench.post("/v1/evals/traces/gate", &gate).await;
    let verdicts = ["pass", "fail", "inconclusive", "error"];
    let place = verdicts.iter().position(|word| report["verdict"] == *word);
    assert_eq!(json!(place.unwrap()), report["exit_code"], "{report}");
    assert!(text(&report, "junit").contains("<testsuite"), "{report}");
    assert!(
        text(&report, "markdown").contains("no tool failed"),
        "{report}"
    );

    let check = async |path: &str, field: &str, value: Value, param: &str| {
        let mut body = sides.clone();
        body[field] = value;
        refused(bench.try_post(path, &body).await, 400, param);
    };
    let (compare, gate) = ("/v1/evals/traces/compare", "/v1/evals/traces/gate");
    check(compare, "pair_by", json!("user"), "pair_by").await;
    check(compare, "margin", json!(2), "margin").await;
    check(compare, "graders", json!(["nobody"]), "graders").await;
    check(gate, "alpha", json!(0), "alpha").await;
    check(gate, "include", json!(["pdf"]), "include").await;
    let unknown = json!({"baseline": {"run_id": "grun_x"}, "candidate": {"run_id": second["id"]}});
    assert_eq!(bench.try_post(compare, &unknown).await.0, 404);
    bench.stop().await;
}

#[tokio::test]
async fn a_run_is_stopped_let_go_on_and_deleted() {
    let bench = Bench::with_traces(6).await;
    // Without money nothing is asked, and the run waits for some.
    let mut request = grade_all(json!([question()]));
    request["max_cost_usd"] = json!(0.0);
    let (status, made) = bench.try_post("/v1/evals/traces/grade", &request).await;
    assert_eq!(status, 201, "{made}");
    let run = bench.settled(&made).await;
    assert_eq!(run["status"], "paused", "{run}");
    assert!(run["reason"].is_string(), "{run}");
    let path = path_of(&run);
    let list = bench.get("/v1/evals/traces/grade?status=paused").await;
    assert_eq!(ids(&list, "id"), [text(&run, "id")]);
    refused(
        bench.try_get("/v1/evals/traces/grade?status=asleep").await,
        400,
        "status",
    );

    let capped = bench
        .post(&format!("{path}/cap"), &json!({"max_cost_usd": 5.0}))
        .await;
    assert_eq!(
        (&capped["status"], &capped["cost"]["cap_usd"]),
        (&json!("paused"), &json!(5.0))
    );
    // A cap is another cap, never none.
    for none in [
        json!({"max_cost_usd": -1}),
        json!({"max_cost_usd": null}),
        json!({}),
    ] {
        let answer = bench.try_post(&format!("{path}/cap"), &none).await;
        refused(answer, 400, "max_cost_usd");
    }
    bench.post(&format!("{path}/resume"), &json!({})).await;
    let run = bench.settled(&run).await;
    assert_eq!(
        (&run["status"], &run["counts"]["done"]),
        (&json!("completed"), &json!(6)),
        "{run}"
    );
    assert!(run["cost"]["spent_usd"].as_f64().unwrap() > 0.0, "{run}");

    // What is over is neither paused nor canceled; asking for what is so already changes nothing.
    for step in ["pause", "cancel"] {
        let (status, error) = bench.try_post(&format!("{path}/{step}"), &json!({})).await;
        assert_eq!(
            (status, &error["error"]["code"]),
            (409, &json!("conflict")),
            "{step}"
        );
    }
    let again = bench.post(&format!("{path}/retry"), &json!({})).await;
    assert_eq!(again["status"], "completed", "nothing was unscored");
    let (status, gone) = bench.delete(&path).await;
    assert_eq!((status, &gone["deleted"]), (200, &json!(true)), "{gone}");
    for path in [
        path.clone(),
        format!("{path}/results"),
        format!("{path}/grades"),
    ] {
        assert_eq!(bench.try_get(&path).await.0, 404, "{path}");
    }
    bench.stop().await;
}

#[tokio::test]
async fn what_cannot_be_a_run_is_told_before_anything_is_graded() {
    let bench = Bench::with_traces(3).await;
    let same = json!({"type": "rule", "name": "twin", "check": rule()["check"]});
    let long = json!({"type": "rule", "name": "x".repeat(129), "check": "true"});
    let turned = json!({"type": "rule", "name": "a\u{202e}b", "check": "true"});
    let fine = json!([rule()]);
    for (request, param, words) in [
        (
            grade_all(json!([rule(), same])),
            "graders",
            "the same grader under two names",
        ),
        (
            grade_all(json!([long])),
            "graders",
            "more than 128 characters",
        ),
        (grade_all(json!([turned])), "graders", "control character"),
        (
            json!({"graders": fine, "name": "a\nb"}),
            "name",
            "control character",
        ),
        (
            json!({"graders": fine, "rule": "duration_ms"}),
            "rule",
            "compare it",
        ),
        (json!({"graders": fine, "strata": []}), "strata", "1 to"),
    ] {
        let (status, error) = bench.try_post("/v1/evals/traces/grade", &request).await;
        assert!(text(&error["error"], "message").contains(words), "{error}");
        refused((status, error), 400, param);
    }
    let watch = json!({"graders": fine, "name": "x".repeat(129)});
    let answer = bench.try_post("/v1/evals/traces/watches", &watch).await;
    refused(answer, 400, "name");
    assert_eq!(bench.get("/v1/evals/traces/grade").await["data"], json!([]));
    bench.stop().await;
}

#[tokio::test]
async fn a_deleted_trace_is_in_no_result() {
    let bench = Bench::with_traces(6).await;
    let run = bench.grade(&grade_all(json!([rule()]))).await;
    let results = format!("{}/results", path_of(&run));
    assert_eq!(
        bench.get(&results).await["by_grader"]["no tool failed"]["counts"]["fail"],
        2
    );
    assert_eq!(bench.delete("/v1/traces/trace_1").await.0, 200);
    let told = bench.get(&results).await;
    assert_eq!(
        told["by_grader"]["no tool failed"]["counts"]["fail"], 1,
        "{told}"
    );
    assert!(!ids(&told, "trace_id").contains(&"trace_1".to_owned()));
    assert_eq!(told["run"]["counts"]["deleted"], 1);
    let grades = bench
        .get(&format!("{}/grades?trace_id=trace_1", path_of(&run)))
        .await;
    assert_eq!(grades["data"], json!([]));
    bench.stop().await;
}

#[tokio::test]
async fn a_trace_tells_what_graders_and_people_said_of_it() {
    let bench = Bench::with_traces(3).await;
    bench.grade(&grade_all(json!([rule()]))).await;
    bench.grade(&grade_all(json!([rule(), question()]))).await;
    let note = json!({"trace_id": "trace_1", "span_id": "call1", "rating": "bad", "note": "lost"});
    bench.post("/v1/annotations", &note).await;
    let bare = bench.get("/v1/traces/trace_1").await;
    assert_eq!((bare.get("grades"), bare.get("annotations")), (None, None));
    let told = bench.get("/v1/traces/trace_1?include=grades").await;
    let grades = told["grades"].as_array().unwrap();
    let names: Vec<&Value> = grades.iter().map(|grade| &grade["grader_name"]).collect();
    assert_eq!(
        names,
        ["no tool failed", "served"],
        "of each grader the latest"
    );
    assert_eq!(told["annotations"][0]["note"], "lost");
    let untouched = bench.get("/v1/traces/trace_0?include=grades").await;
    assert_eq!(untouched["annotations"], json!([]));
    bench.stop().await;
}

/// Prints what a gate takes besides grading: two sides of two thousand traces, asked cold and again.
#[tokio::test]
#[ignore = "prints figures and checks nothing; run it by name with --nocapture"]
async fn what_a_gate_takes() {
    let bench = Bench::new().await;
    for hundred in 0..40 {
        let orders = (hundred * 100..(hundred + 1) * 100).map(|at| order(at, at % 3 == 1));
        let items: Vec<Value> = orders
            .flat_map(|order| order.as_array().cloned().unwrap_or_default())
            .collect();
        bench.ingest(&Value::Array(items)).await;
    }
    let run = async |version: &str| {
        let filter = json!({ "agent_id": version });
        bench
            .grade(&json!({"graders": [rule()], "filter": filter}))
            .await
    };
    let (first, second) = (run("agent_v1").await, run("agent_v2").await);
    let both = bench
        .grade(&json!({"graders": [rule()], "workflow_name": "flight_booking"}))
        .await;
    let side = |run: &Value, filter: Value| json!({"run_id": run["id"], "filter": filter});
    let whole = json!({"baseline": {"run_id": first["id"]}, "candidate": {"run_id": second["id"]}});
    let mut keyed = whole.clone();
    keyed["pair_by"] = json!("metadata.task");
    let parts = json!({"baseline": side(&both, json!({"agent_id": "agent_v1"})),
        "candidate": side(&both, json!({"agent_id": "agent_v2"})), "pair_by": "metadata.task"});
    for (what, body) in [
        ("whole runs", whole),
        ("whole runs, by a key", keyed),
        ("parts of a run, by a key", parts),
    ] {
        for sequential in [false, true] {
            let mut body = body.clone();
            body["sequential"] = json!(sequential);
            let started = std::time::Instant::now();
            let report = bench.post("/v1/evals/traces/gate", &body).await;
            println!(
                "{what}, sequential {sequential}: {:?} ({})",
                started.elapsed(),
                report["verdict"]
            );
        }
    }
    bench.stop().await;
}
