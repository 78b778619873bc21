//! Graders are saved, found, put away, and looked at before.

use super::*;

#[tokio::test]
async fn a_grader_is_saved_found_replaced_and_put_away() {
    let bench = Bench::new().await;
    let mut sent = rule();
    sent["description"] = json!("nothing broke");
    let saved = bench.post("/v1/graders", &sent).await;
    let id = text(&saved, "id");
    assert!(id.starts_with("grader_"), "{saved}");
    assert_eq!(
        (&saved["object"], &saved["type"], &saved["version"]),
        (&json!("grader"), &json!("rule"), &json!(1))
    );
    assert_eq!(saved["scale"], json!({"type": "pass_fail"}));
    assert_eq!(saved["cost"], "nothing");
    assert_eq!(saved["description"], "nothing broke");
    // It is found by its id and by its name; what there is to be said of it was said when it was saved.
    let mut kept = saved.clone();
    let fields = kept.as_object_mut().unwrap();
    assert_eq!(fields.shift_remove("warnings"), Some(json!([])));
    assert_eq!(fields.shift_remove("suggestion"), Some(Value::Null));
    assert_eq!(bench.get(&format!("/v1/graders/{id}")).await, kept);
    assert_eq!(bench.get("/v1/graders/no%20tool%20failed").await, kept);
    // Saving the same is saving nothing, and nobody used the first version: it is replaced.
    assert_eq!(bench.post("/v1/graders", &rule()).await["version"], 1);
    let change = json!({"definition": {"type": "rule", "check": "tool_errors <= 1"}});
    let changed = bench.post(&format!("/v1/graders/{id}"), &change).await;
    assert_eq!(
        (&changed["id"], &changed["version"], &changed["versions"]),
        (&saved["id"], &json!(1), &json!(1))
    );
    assert_ne!(changed["hash"], saved["hash"]);
    assert_eq!(changed["description"], "nothing broke");

    bench.post("/v1/graders", &question()).await;
    let list = bench.get("/v1/graders?limit=1").await;
    assert_eq!(
        (ids(&list, "id"), &list["has_more"]),
        (vec![id.clone()], &json!(true))
    );
    let rest = bench.get(&format!("/v1/graders?after={id}")).await;
    assert_eq!(rest["data"][0]["name"], "served");
    assert_eq!(rest["data"][0]["cost"], "judge");

    let (status, gone) = bench.delete(&format!("/v1/graders/{id}")).await;
    assert_eq!(status, 200, "{gone}");
    assert!(gone["archived_at"].is_string(), "{gone}");
    assert_eq!(ids(&bench.get("/v1/graders").await, "name"), ["served"]);
    let all = bench.get("/v1/graders?include_archived=true").await;
    assert_eq!(ids(&all, "name"), ["no tool failed", "served"]);
    assert!(all["data"][0]["archived_at"].is_string(), "{all}");
    refused(
        bench.try_get("/v1/graders?include_archived=yes").await,
        400,
        "include_archived",
    );
    assert_eq!(
        bench.get(&format!("/v1/graders/{id}")).await["id"],
        saved["id"]
    );
    bench.stop().await;
}

#[tokio::test]
async fn a_version_that_graded_something_stays() {
    let bench = Bench::with_traces(3).await;
    let first = bench.post("/v1/graders", &rule()).await;
    bench
        .grade(&json!({"graders": ["no tool failed"], "workflow_name": "flight_booking"}))
        .await;
    let mut stricter = rule();
    stricter["check"] = json!("tool_errors == 0 && status == \"success\"");
    let second = bench.post("/v1/graders", &stricter).await;
    assert_eq!(
        (&second["version"], &second["versions"], &second["used"]),
        (&json!(2), &json!(2), &json!(false))
    );
    let path = format!("/v1/graders/{}", text(&first, "id"));
    let old = bench.get(&format!("{path}?version=1")).await;
    assert_eq!((&old["hash"], &old["used"]), (&first["hash"], &json!(true)));
    let versions = bench.get(&format!("{path}/versions")).await;
    let numbers: Vec<&Value> = versions["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|version| &version["version"])
        .collect();
    assert_eq!(numbers, [2, 1]);
    assert_eq!(bench.try_get(&format!("{path}?version=3")).await.0, 404);
    refused(
        bench.try_get(&format!("{path}?version=0")).await,
        400,
        "version",
    );
    bench.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_grader_is_told_at_once() {
    let bench = Bench::new().await;
    let wrong = json!({"type": "rule", "name": "x", "check": "tool_eror == 0", "strict": "yes"});
    let (status, error) = bench.try_post("/v1/graders", &wrong).await;
    assert_eq!(status, 400, "{error}");
    let message = text(&error["error"], "message");
    assert!(
        message.contains("tool_errors") && message.contains("strict"),
        "{message}"
    );
    refused(
        bench
            .try_post("/v1/graders", &json!({"type": "rule", "check": "true"}))
            .await,
        400,
        "name",
    );
    for name in ["library", "grader_1", "library:x", " "] {
        let sent = json!({"type": "rule", "name": name, "check": "true"});
        refused(bench.try_post("/v1/graders", &sent).await, 400, "name");
    }
    let both =
        json!({"name": "x", "definition": {"type": "rule", "check": "true"}, "check": "true"});
    refused(
        bench.try_post("/v1/graders", &both).await,
        400,
        "definition",
    );
    let saved = bench.post("/v1/graders", &rule()).await;
    let renamed = json!({"type": "rule", "name": "other", "check": "true"});
    let path = format!("/v1/graders/{}", text(&saved, "id"));
    refused(bench.try_post(&path, &renamed).await, 400, "name");
    assert_eq!(bench.try_get("/v1/graders/nobody").await.0, 404);
    assert_eq!(bench.delete("/v1/graders/nobody").await.0, 404);
    bench.stop().await;
}

#[tokio::test]
async fn a_name_that_is_not_known_is_told_with_the_one_that_was_meant() {
    let bench = Bench::with_traces(1).await;
    for name in ["tone", "paid-once"] {
        let sent = json!({"type": "rule", "name": name, "check": "true"});
        bench.post("/v1/graders", &sent).await;
    }
    bench.delete("/v1/graders/paid-once").await;
    let told = |(status, body): (u16, Value)| {
        assert!(matches!(status, 400 | 404), "{status} {body}");
        text(&body["error"], "message")
    };
    let check = |message: String, want: &str| assert!(message.contains(want), "{message}");
    for path in [
        "/v1/graders/tnoe",
        "/v1/graders/tnoe/versions",
        "/v1/graders/tnoe/calibration",
        "/v1/graders/tnoe/label_queue",
        "/v1/annotations?grader=tnoe",
        "/v1/evals/traces/grade?grader=tnoe",
    ] {
        check(told(bench.try_get(path).await), "did you mean \"tone\"?");
    }
    let gone = told(bench.delete("/v1/graders/tnoe").await);
    check(gone, "did you mean \"tone\"?");
    let run = json!({"graders": ["tnoe", "paid-onse", "goal_reach"], "trace_ids": ["trace_0"]});
    let told_at_once = told(bench.try_post("/v1/evals/traces/grade", &run).await);
    check(
        told_at_once.clone(),
        "graders[0]: there is no grader \"tnoe\"; did you mean",
    );
    check(told_at_once.clone(), "graders list --archived");
    check(told_at_once, "did you mean library:goal_reached?");
    let version = told(bench.try_get("/v1/graders/tone?version=4").await);
    assert_eq!(version, "tone has no version 4: its only version is 1");
    bench.stop().await;
}

#[tokio::test]
async fn a_draft_is_validated_and_ready_graders_are_listed() {
    let bench = Bench::new().await;
    let draft = json!({"grader": {"type": "llm", "criteria": "Overall quality (1-5)"}});
    let told = bench.post("/v1/graders/validate", &draft).await;
    assert_eq!(
        (&told["valid"], &told["problems"]),
        (&json!(true), &json!([]))
    );
    let scale = &told["grader"]["scale"];
    assert_eq!(
        (&scale["type"], &scale["pass_threshold"]),
        (&json!("number"), &json!(4.0))
    );
    let draft = json!({"grader": {"type": "rule", "check": "1 +", "colour": "red"}});
    let told = bench.post("/v1/graders/validate", &draft).await;
    assert_eq!(
        (&told["valid"], &told["grader"]),
        (&json!(false), &Value::Null)
    );
    assert!(told["problems"].as_array().unwrap().len() >= 2, "{told}");
    assert_eq!(bench.get("/v1/graders").await["data"], json!([]));

    let library = bench.get("/v1/graders/library").await;
    let names = ids(&library, "id");
    assert!(
        names.contains(&"library:goal_reached".to_owned()),
        "{names:?}"
    );
    let one = bench.get("/v1/graders/library:no_tool_errors").await;
    assert_eq!(one["definition"]["check"], "tool_errors == 0");
    assert_eq!(bench.try_get("/v1/graders/library:nothing").await.0, 404);
    bench.stop().await;
}
