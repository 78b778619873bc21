//! What people say, and judges held against it.

use super::*;

#[tokio::test]
async fn annotations_are_made_listed_and_deleted() {
    let bench = Bench::with_traces(3).await;
    let grader = bench.post("/v1/graders", &question()).await;
    let sent = json!({"trace_id": "trace_1", "span_id": "call1", "grader": "served", "rating": "bad",
        "label": "lost order", "note": "the tool found nothing"});
    let made = bench.post("/v1/annotations", &sent).await;
    assert_eq!(made["object"], "annotation");
    assert!(text(&made, "id").starts_with("ann_"), "{made}");
    assert_eq!(
        (&made["grader_id"], &made["source"]),
        (&grader["id"], &json!("human"))
    );
    let several = json!({"annotations": [
        {"trace_id": "trace_0", "rating": "good", "author": "ann", "source": "import", "created_at": "2026-01-03T00:00:00Z"},
        {"trace_id": "trace_2", "label": "slow"},
    ]});
    let list = bench.post("/v1/annotations", &several).await;
    assert_eq!(list["data"].as_array().unwrap().len(), 2, "{list}");
    assert_eq!(list["data"][0]["created_at"], "2026-01-03T00:00:00.000000Z");

    let find = async |query: &str| {
        ids(
            &bench.get(&format!("/v1/annotations?{query}")).await,
            "trace_id",
        )
    };
    assert_eq!(find("trace_id=trace_1").await, ["trace_1"]);
    assert_eq!(find("span_id=call1").await, ["trace_1"]);
    assert_eq!(find("grader=served").await, ["trace_1"]);
    assert_eq!(find("label=slow").await, ["trace_2"]);
    assert_eq!(find("author=ann").await, ["trace_0"]);
    let first = bench.get("/v1/annotations?limit=2").await;
    assert_eq!(first["has_more"], true);
    let rest = find(&format!("after={}", text(&first, "last_id"))).await;
    assert_eq!(rest.len(), 1);
    let path = format!("/v1/annotations/{}", text(&made, "id"));
    assert_eq!(bench.delete(&path).await.0, 200);
    assert_eq!(bench.delete(&path).await.0, 404);
    assert_eq!(find("trace_id=trace_1").await, Vec::<String>::new());
    let (status, error) = bench.try_get("/v1/annotations?trace_id=trace_9").await;
    assert_eq!(
        (status, &error["error"]["code"]),
        (404, &json!("not_found")),
        "{error}"
    );
    bench.stop().await;
}

#[tokio::test]
async fn an_annotation_says_something_of_something_that_is_there() {
    let bench = Bench::with_traces(1).await;
    let check = async |body: Value, status, param: &str| {
        refused(
            bench.try_post("/v1/annotations", &body).await,
            status,
            param,
        );
    };
    check(json!({"trace_id": "trace_0"}), 400, "rating").await;
    check(json!({"trace_id": "trace_0", "note": " "}), 400, "rating").await;
    check(
        json!({"trace_id": "trace_0", "rating": "great"}),
        400,
        "rating",
    )
    .await;
    check(
        json!({"trace_id": "trace_0", "rating": "good", "source": "oracle"}),
        400,
        "source",
    )
    .await;
    check(
        json!({"trace_id": "trace_0", "note": "x".repeat(10_001)}),
        400,
        "note",
    )
    .await;
    check(
        json!({"trace_id": "trace_0", "note": "x", "created_at": "today"}),
        400,
        "created_at",
    )
    .await;
    check(json!({"annotations": []}), 400, "annotations").await;
    let second = json!({"annotations": [{"trace_id": "trace_0", "note": "x"}, {"trace_id": "trace_0", "rating": "?"}]});
    check(second, 400, "annotations[1].rating").await;
    for body in [
        json!({"trace_id": "nobody", "rating": "good"}),
        json!({"trace_id": "trace_0", "span_id": "nobody", "rating": "good"}),
        json!({"trace_id": "trace_0", "grader": "nobody", "rating": "good"}),
    ] {
        assert_eq!(
            bench.try_post("/v1/annotations", &body).await.0,
            404,
            "{body}"
        );
    }
    for body in [
        json!({"trace": "trace_0"}),
        json!(["trace_0", null, null, "good"]),
    ] {
        let (status, error) = bench.try_post("/v1/annotations", &body).await;
        assert_eq!(
            (status, &error["error"]["code"]),
            (400, &json!("invalid_body")),
            "{error}"
        );
    }
    assert_eq!(
        bench.get("/v1/annotations").await["data"],
        json!([]),
        "nothing of it was kept"
    );
    bench.stop().await;
}

#[tokio::test]
async fn a_judge_is_held_against_people() {
    let bench = Bench::with_traces(12).await;
    let grader = bench.post("/v1/graders", &question()).await;
    let path = format!("/v1/graders/{}/calibration", text(&grader, "id"));
    assert_eq!(bench.try_get(&path).await.0, 404, "it was in no run yet");
    let run = bench
        .grade(&json!({"graders": ["served"], "workflow_name": "flight_booking"}))
        .await;
    // People agree with the judge but for one trace, and one says it with a label.
    let say = |number: usize| match (number, number % 3 == 1) {
        (0, _) => json!({"trace_id": "trace_0", "grader": "served", "rating": "bad"}),
        (2, _) => json!({"trace_id": "trace_2", "grader": "served", "label": "pass"}),
        (n, fails) => json!({"trace_id": format!("trace_{n}"), "grader": "served",
            "rating": if fails { "bad" } else { "good" }}),
    };
    let said: Vec<Value> = (0..12).map(say).collect();
    bench
        .post("/v1/annotations", &json!({ "annotations": said }))
        .await;
    let told = bench.get(&format!("{path}?chosen=random")).await;
    assert_eq!(
        (&told["object"], &told["run_id"]),
        (&json!("grader.calibration"), &run["id"])
    );
    assert_eq!(
        (&told["labelled"], &told["judged"]),
        (&json!(12), &json!(12)),
        "{told}"
    );
    assert_eq!(
        told["confusion"],
        json!({"both_pass": 7, "only_judge_passes": 1, "only_people_pass": 0, "both_fail": 4})
    );
    is_figure(&told["agreement"]);
    assert_eq!(told["calibrated"], false, "twelve labels are few");
    let of_run = bench
        .get(&format!("{path}?version=1&run_id={}", text(&run, "id")))
        .await;
    assert_eq!(of_run["confusion"], told["confusion"]);
    refused(
        bench.try_get(&format!("{path}?chosen=well")).await,
        400,
        "chosen",
    );
    assert_eq!(bench.try_get(&format!("{path}?version=2")).await.0, 404);
    bench.stop().await;
}

#[tokio::test]
async fn a_queue_asks_and_its_answers_know_their_chances() {
    let bench = Bench::with_traces(12).await;
    let grader = bench.post("/v1/graders", &question()).await;
    let path = format!("/v1/graders/{}/label_queue", text(&grader, "id"));
    assert_eq!(bench.try_get(&path).await.0, 404, "it was in no run yet");
    let run = bench
        .grade(&json!({"graders": ["served"], "workflow_name": "flight_booking"}))
        .await;
    let all = bench.get(&format!("{path}?size=12&limit=5")).await;
    assert_eq!(
        (&all["object"], &all["run_id"], &all["judged"]),
        (&json!("grader.label_queue"), &run["id"], &json!(12))
    );
    assert_eq!(
        (&all["drawn"], &all["labelled"], &all["has_more"]),
        (&json!(12), &json!(0), &json!(true))
    );
    let entries = all["data"].as_array().unwrap();
    assert_eq!(entries.len(), 5);
    assert_eq!(
        bench.get(&format!("{path}?size=12&limit=5")).await,
        all,
        "drawn again alike"
    );
    for entry in entries {
        assert_eq!(entry["chance"], 1.0, "all are drawn");
        let grade = &entry["grades"][0];
        assert_eq!(grade["trace_id"], entry["trace_id"]);
        assert!(
            grade["outcome"].is_string() && grade["reasoning"].is_string(),
            "{grade}"
        );
        let mut answer = entry["annotation"].clone();
        answer["rating"] = json!(if grade["outcome"] == "pass" {
            "good"
        } else {
            "bad"
        });
        let made = bench.post("/v1/annotations", &answer).await;
        assert_eq!(
            (&made["queue_id"], &made["chance"]),
            (&all["queue_id"], &json!(1.0))
        );
        assert_eq!(made["grader_id"], grader["id"]);
    }
    let rest = bench.get(&format!("{path}?size=12")).await;
    assert_eq!((&rest["drawn"], &rest["labelled"]), (&json!(12), &json!(5)));
    let left = ids(&rest, "trace_id");
    assert_eq!((left.len(), rest["has_more"].as_bool()), (7, Some(false)));
    assert!(
        entries
            .iter()
            .all(|entry| !left.contains(&text(entry, "trace_id")))
    );
    let other = bench.get(&format!("{path}?size=12&author=somebody")).await;
    assert_eq!(other["labelled"], 0, "another person is asked again");

    // the labels say themselves how they were chosen
    let told = bench.get(&path.replace("label_queue", "calibration")).await;
    assert_eq!(
        (&told["chosen"], &told["used"]),
        (&json!("queue"), &json!(5)),
        "{told}"
    );
    assert!(
        text(&told, "correction").starts_with("Known chances"),
        "{told}"
    );
    is_figure(&told["corrected_rate"]);
    let told = bench
        .get(&path.replace("label_queue", "calibration?chosen=other"))
        .await;
    assert_eq!(told["chosen"], "other");
    bench.stop().await;
}

#[tokio::test]
async fn a_queue_and_its_answers_are_asked_for_properly() {
    let bench = Bench::with_traces(3).await;
    bench.post("/v1/graders", &question()).await;
    bench
        .grade(&json!({"graders": ["served"], "workflow_name": "flight_booking"}))
        .await;
    let path = "/v1/graders/served/label_queue";
    for (query, param) in [
        ("size=0", "size"),
        ("size=many", "size"),
        ("by=luck", "by"),
        ("seed=-1", "seed"),
    ] {
        refused(bench.try_get(&format!("{path}?{query}")).await, 400, param);
    }
    assert_eq!(bench.try_get("/v1/graders/nobody/label_queue").await.0, 404);
    let answer = |field: &str, value: Value| {
        let mut answer = json!({"trace_id": "trace_0", "grader": "served", "rating": "good",
            "queue_id": "grun_1.doubt.0", "chance": 0.5});
        answer[field] = value;
        answer
    };
    for (field, value, param) in [
        ("chance", json!(0), "chance"),
        ("chance", json!(1.5), "chance"),
        ("chance", Value::Null, "chance"),
        ("queue_id", Value::Null, "chance"),
        ("queue_id", json!("mine"), "queue_id"),
        ("grader", Value::Null, "grader"),
    ] {
        refused(
            bench
                .try_post("/v1/annotations", &answer(field, value))
                .await,
            400,
            param,
        );
    }
    bench.stop().await;
}
