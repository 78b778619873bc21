//! What a project says for grading, and what comes of it.

use super::*;

const SETTINGS: &str = "/v1/settings/grading";

/// A trace in which a tool is called twice with the same arguments, and an answer in JSON is given.
fn twice(id: &str, workflow: &str, tool: &str) -> Value {
    let span = |span: &str, second: usize, data: Value| {
        json!({"object": "trace.span", "id": format!("{span}_{id}"), "trace_id": id, "parent_id": null,
            "started_at": format!("2026-01-02T03:00:{second:02}+00:00"),
            "ended_at": format!("2026-01-02T03:00:{:02}+00:00", second + 1), "span_data": data})
    };
    let call =
        || json!({"type": "function", "name": tool, "input": "{\"id\":7}", "output": "done"});
    let say = |role: &str, text: &str| json!([{"role": role, "content": text}]);
    json!([
        {"object": "trace", "id": id, "workflow_name": workflow},
        span("first", 1, call()),
        span("second", 3, call()),
        span("gen", 5, json!({"type": "generation", "model": "gpt-5-mini", "input": say("user", "do it"),
            "output": say("assistant", "{\"ticket\": 7}"), "usage": {"input_tokens": 10, "output_tokens": 5}})),
    ])
}

async fn outcome(bench: &Bench, grader: &Value, trace: &str) -> (String, String) {
    let asked = json!({"grader": grader, "trace_ids": [trace]});
    let told = bench.post("/v1/graders/try", &asked).await;
    let verdict = &told["data"][0];
    let why = verdict["reasoning"].as_str().unwrap_or_default();
    (text(verdict, "outcome"), why.to_owned())
}

fn detector(id: &str) -> Value {
    json!({"type": "detector", "detector": id})
}

#[tokio::test]
async fn settings_are_changed_piece_by_piece_and_every_mistake_is_told() {
    let bench = Bench::new().await;
    let told = bench.get(SETTINGS).await;
    assert_eq!(
        (&told["tools"], &told["judge_model_used"]),
        (&json!({}), &json!("gpt-5-mini"))
    );
    let sent = json!({"tools": {"a": "write", "b": "read"}, "judge_model": "gpt-5"});
    bench.post(SETTINGS, &sent).await;
    let told = bench
        .post(SETTINGS, &json!({"tools": {"b": null, "c": "read"}}))
        .await;
    assert_eq!(told["tools"], json!({"a": "write", "c": "read"}));
    assert_eq!(
        (&told["judge_model"], &told["judge_model_used"]),
        (&json!("gpt-5"), &json!("gpt-5"))
    );
    assert_eq!(bench.get(SETTINGS).await, told);
    let wrong =
        json!({"tools": {"a": "maybe"}, "workflows": {"w": {"muted_detectors": ["D77"]}}, "x": 1});
    let (status, error) = bench.try_post(SETTINGS, &wrong).await;
    let message = text(&error["error"], "message");
    let places = ["tools.a", "workflows.w.muted_detectors", "x:"];
    assert!(
        status == 400 && places.iter().all(|place| message.contains(place)),
        "{error}"
    );
    assert_eq!(bench.get(SETTINGS).await, told, "nothing of it is kept");
    // They lie with the project's other settings, which are checked alike.
    let projects = bench.get("/v1/projects").await;
    let settings = &projects["data"][0]["settings"];
    assert_eq!(
        settings["grading"],
        json!({"tools": {"a": "write", "c": "read"}})
    );
    let wrong = json!({"settings": {"grading": {"tools": {"a": 1}}, "judge_model": 7}});
    let (status, error) = bench.try_post("/v1/projects/default", &wrong).await;
    let message = text(&error["error"], "message");
    assert!(
        status == 400 && message.contains("tools.a") && message.contains("judge_model"),
        "{error}"
    );
    let told = bench
        .post(SETTINGS, &json!({"tools": null, "judge_model": null}))
        .await;
    assert_eq!(
        (&told["tools"], &told["judge_model_used"]),
        (&json!({}), &json!("gpt-5-mini"))
    );
    bench.stop().await;
}

#[tokio::test]
async fn only_an_admin_of_the_project_changes_its_settings() {
    let mut bench = Bench::new().await;
    bench.lock().await;
    bench.post("/v1/projects", &json!({"id": "shop"})).await;
    let sender = bench.make_key(&["ingest", "read"], "shop").await;
    let admin = bench.make_key(&["admin"], "shop").await;
    bench.key = Some(sender);
    assert_eq!(bench.try_get(SETTINGS).await.0, 200);
    assert_eq!(
        bench
            .try_post(SETTINGS, &json!({"tools": {"a": "read"}}))
            .await
            .0,
        403
    );
    bench.key = Some(admin);
    let told = bench.post(SETTINGS, &json!({"tools": {"a": "read"}})).await;
    assert_eq!(told["project_id"], "shop");
    bench.stop().await;
}

#[tokio::test]
async fn what_a_project_says_of_its_tools_decides_what_writes() {
    let bench = Bench::new().await;
    bench.ingest(&twice("t", "w", "lookup")).await;
    // The name says nothing of writing, so nothing was written twice.
    assert_ne!(outcome(&bench, &detector("D17"), "t").await.0, "fail");
    bench
        .post(SETTINGS, &json!({"tools": {"look*": "write"}}))
        .await;
    assert_eq!(outcome(&bench, &detector("D17"), "t").await.0, "fail");
    let rule = json!({"type": "rule", "check": "!detector(\"D17\")"});
    assert_eq!(outcome(&bench, &rule, "t").await.0, "fail");
    // The grader is the same, and yet another one.
    let run = json!({"graders": [detector("D17")], "trace_ids": ["t"]});
    let hash = async |run: &Value| {
        let grades = bench.get(&format!("{}/grades", path_of(run))).await;
        text(&grades["data"][0], "grader_hash")
    };
    let (first, before) = (bench.grade(&run).await, bench.get(SETTINGS).await);
    assert_eq!(first["settings"]["tools"], before["tools"]);
    bench
        .post(SETTINGS, &json!({"tools": {"look*": "read"}}))
        .await;
    let second = bench.grade(&run).await;
    assert_ne!(hash(&first).await, hash(&second).await);
    bench.stop().await;
}

#[tokio::test]
async fn a_muted_detector_says_so_for_its_workflow_alone() {
    let bench = Bench::new().await;
    bench.ingest(&twice("ours", "w", "send_mail")).await;
    bench.ingest(&twice("theirs", "v", "send_mail")).await;
    assert_eq!(outcome(&bench, &detector("D17"), "ours").await.0, "fail");
    let mute = json!({"workflows": {"w": {"muted_detectors": ["D17"]}}});
    bench.post(SETTINGS, &mute).await;
    let (told, why) = outcome(&bench, &detector("D17"), "ours").await;
    assert_eq!(
        (told.as_str(), why.contains("muted")),
        ("not_applicable", true),
        "{why}"
    );
    assert_eq!(outcome(&bench, &detector("D17"), "theirs").await.0, "fail");
    // Whatever asks detectors goes by it.
    let failures = json!({"trace_ids": ["ours"]});
    let told = bench
        .post("/v1/evals/traces/analyze_failures", &failures)
        .await;
    assert!(!told["data"].to_string().contains("D17"), "{told}");
    bench.stop().await;
}

#[tokio::test]
async fn writes_are_confirmed_and_verified_where_the_workflow_says_so() {
    let bench = Bench::new().await;
    bench.ingest(&twice("t", "w", "send_mail")).await;
    for id in ["D15", "D21"] {
        assert_eq!(
            outcome(&bench, &detector(id), "t").await.0,
            "not_applicable",
            "{id}"
        );
    }
    let all = json!({"workflows": {"*": {"confirm_writes": true, "verify_writes": true}}});
    bench.post(SETTINGS, &all).await;
    for id in ["D15", "D21"] {
        assert_eq!(outcome(&bench, &detector(id), "t").await.0, "fail", "{id}");
    }
    let own = json!({"workflows": {"w": {"verify_writes": false}}});
    bench.post(SETTINGS, &own).await;
    assert_eq!(outcome(&bench, &detector("D15"), "t").await.0, "fail");
    assert_eq!(
        outcome(&bench, &detector("D21"), "t").await.0,
        "not_applicable"
    );
    bench.stop().await;
}

#[tokio::test]
async fn a_rule_names_a_schema_that_is_there() {
    let bench = Bench::new().await;
    bench.ingest(&twice("t", "w", "lookup")).await;
    let valid = json!({"type": "rule", "name": "is a ticket", "check": "valid(final_output, \"ticket.v2\")"});
    // Wherever a grader comes in, it is told what is missing and what to do.
    for (path, body, param) in [
        ("/v1/graders", valid.clone(), "definition"),
        ("/v1/graders/try", json!({"grader": valid}), "grader"),
        (
            "/v1/evals/traces/grade",
            json!({"graders": [valid]}),
            "graders",
        ),
    ] {
        let (status, error) = bench.try_post(path, &body).await;
        let message = text(&error["error"], "message");
        assert_eq!(
            (status, &error["error"]["param"]),
            (400, &json!(param)),
            "{path}: {error}"
        );
        assert!(
            message.contains("`ticket.v2`") && message.contains(SETTINGS),
            "{path}: {message}"
        );
    }
    let checked = bench
        .post("/v1/graders/validate", &json!({"grader": valid}))
        .await;
    assert_eq!(checked["valid"], false, "{checked}");
    let schema = |kind: &str| {
        json!({"schemas": {"ticket.v2": {"type": "object", "required": ["ticket"],
        "properties": {"ticket": {"type": kind, "format": "x"}}}}})
    };
    let told = bench.post(SETTINGS, &schema("integer")).await;
    assert_eq!(told["warnings"].as_array().map(Vec::len), Some(1), "{told}");
    bench.post("/v1/graders", &valid).await;
    let run = json!({"graders": ["is a ticket"], "trace_ids": ["t"]});
    let passed = bench.grade(&run).await;
    let results = bench.get(&format!("{}/results", path_of(&passed))).await;
    assert_eq!(
        results["by_grader"]["is a ticket"]["counts"]["pass"], 1,
        "{results}"
    );
    bench.post(SETTINGS, &schema("string")).await;
    let failed = bench.grade(&run).await;
    let results = bench.get(&format!("{}/results", path_of(&failed))).await;
    assert_eq!(
        results["by_grader"]["is a ticket"]["counts"]["fail"], 1,
        "{results}"
    );
    // A schema that is taken away is missed by whoever names its graders.
    bench
        .post(SETTINGS, &json!({"schemas": {"ticket.v2": null}}))
        .await;
    refused(
        bench.try_post("/v1/evals/traces/grade", &run).await,
        400,
        "graders",
    );
    bench.stop().await;
}

#[tokio::test]
async fn what_a_judge_said_counts_until_the_project_says_something_else() {
    let bench = Bench::with_traces(2).await;
    let asked = json!({"graders": [question()], "workflow_name": "flight_booking"});
    let asked_so_far = || bench.judge.asked.load(Ordering::Relaxed);
    bench.grade(&asked).await;
    bench.grade(&asked).await;
    assert_eq!(
        asked_so_far(),
        2,
        "the second run finds what the first was told"
    );
    // Of another workflow: it changes nothing of what the judge is shown.
    let other = json!({"workflows": {"other": {"muted_detectors": ["D03"]}}});
    bench.post(SETTINGS, &other).await;
    bench.grade(&asked).await;
    assert_eq!(asked_so_far(), 2);
    bench
        .post(SETTINGS, &json!({"tools": {"find_order": "write"}}))
        .await;
    bench.grade(&asked).await;
    assert_eq!(asked_so_far(), 4);
    bench.stop().await;
}
