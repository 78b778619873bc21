//! No estimate without what makes it believable: every answer is walked through.

use super::*;

/// Numbers with fractions that are no estimates: settings, chances, money, times, single values.
const NO_ESTIMATES: [&str; 30] = [
    "alpha",
    "cached_share",
    "cap_usd",
    "chance",
    "confidence",
    "cost_usd",
    "detectable",
    "doubt",
    "e_value",
    "estimate_usd",
    "from",
    "latency_ms",
    "likeness",
    "low",
    "high",
    "lower_bound",
    "margin",
    "mcnemar",
    "p_adjusted",
    "p_value",
    "pass_threshold",
    "rate_per_second",
    "score",
    "spent_usd",
    "temperature",
    "threshold",
    "to",
    "usd",
    "variance",
    "weight",
];

/// Objects that are what somebody else said, and single values of traces.
const NOT_OURS: [&str; 4] = ["definition", "params", "examples", "request"];

fn is_whole_figure(value: &Value) -> bool {
    let has = |field: &str| value[field].is_number();
    value["interval"]
        .as_array()
        .is_some_and(|ends| ends.len() == 2)
        && ["estimate", "n", "groups", "design_effect"]
            .into_iter()
            .all(has)
        && value["method"].is_string()
}

/// Returns the places of numbers that stand alone, and counts figures.
fn walk(value: &Value, at: &str, alone: &mut Vec<String>, figures: &mut usize) {
    match value {
        Value::Array(values) => {
            for (place, value) in values.iter().enumerate() {
                walk(value, &format!("{at}[{place}]"), alone, figures);
            }
        }
        Value::Object(fields)
            if fields.contains_key("estimate") && fields.contains_key("interval") =>
        {
            *figures += 1;
            if !is_whole_figure(value) {
                alone.push(at.to_owned());
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                if NOT_OURS.contains(&&**name) {
                    continue;
                }
                let place = format!("{at}.{name}");
                let figure = fields.get(&format!("{name}_figure"));
                match (value.is_f64(), figure) {
                    (true, Some(figure))
                        if is_whole_figure(figure) && figure["estimate"] == *value => {}
                    (true, None) if NO_ESTIMATES.contains(&&**name) => {}
                    (true, _) => alone.push(place),
                    (false, _) => walk(value, &place, alone, figures),
                }
            }
        }
        _ => {}
    }
}

#[track_caller]
fn all_believable(what: &str, answer: &Value) -> usize {
    let (mut alone, mut figures) = (Vec::new(), 0);
    walk(answer, what, &mut alone, &mut figures);
    assert!(
        alone.is_empty(),
        "without interval, n and groups: {alone:?} in {answer}"
    );
    figures
}

#[test]
fn a_rate_that_stands_alone_is_seen() {
    let figure = json!({"estimate": 0.5, "interval": [0.1, null], "method": "x", "n": 9, "groups": 9, "design_effect": 1.0});
    let alone = |value: &Value| {
        let (mut alone, mut figures) = (Vec::new(), 0);
        walk(value, "", &mut alone, &mut figures);
        alone
    };
    assert_eq!(alone(&json!({"a": [{"rate": 0.5}]})), [".a[0].rate"]);
    assert!(alone(&json!({"rate": 0.5, "rate_figure": figure, "p_value": 0.5, "n": 3})).is_empty());
    assert_eq!(
        alone(&json!({"rate": 0.4, "rate_figure": figure})),
        [".rate"],
        "another's figure"
    );
    assert_eq!(
        alone(&json!({"x": {"estimate": 0.5, "interval": [0.1, 0.2]}})),
        [".x"]
    );
}

#[tokio::test]
async fn every_estimate_of_every_answer_says_how_sure_it_is() {
    let bench = Bench::with_traces(24).await;
    bench.post("/v1/graders", &question()).await;
    let score = json!({"type": "llm", "name": "rated", "criteria": "How well was the user served? Score 1-5."});
    let slow = json!({"type": "rule", "name": "slow", "check": "duration_ms < 60000"});
    let run = async |filter: Value| {
        let graders = json!([rule(), "served", score, slow]);
        bench
            .grade(&json!({"graders": graders, "filter": filter}))
            .await
    };
    let (first, second) = (
        run(json!({"agent_id": "agent_v1"})).await,
        run(json!({"agent_id": "agent_v2"})).await,
    );
    let said: Vec<Value> = (0..12)
        .map(|at| json!({"trace_id": format!("trace_{}", 2 * at), "grader": "served", "rating": if at % 3 == 1 { "bad" } else { "good" }}))
        .collect();
    bench
        .post("/v1/annotations", &json!({ "annotations": said }))
        .await;

    let results = format!(
        "{}/results?tasks=group&segments=metadata.task",
        path_of(&first)
    );
    let told = bench.get(&results).await;
    assert!(all_believable("results", &told) > 10, "{told}");
    assert!(told["reliability"][0]["by_tries"].is_array(), "{told}");
    assert!(told["segments"][0]["tested"].is_number(), "{told}");
    let trust = &told["calibration"]["served"];
    assert!(
        text(trust, "sentence").starts_with("uncalibrated: 12 labelled"),
        "{told}"
    );
    refused(
        bench
            .try_get(&format!("{}/results?tasks=user", path_of(&first)))
            .await,
        400,
        "tasks",
    );
    refused(
        bench
            .try_get(&format!("{}/results?segments=group", path_of(&first)))
            .await,
        400,
        "segments",
    );

    let sides = json!({"baseline": {"run_id": first["id"]}, "candidate": {"run_id": second["id"]}, "pair_by": "metadata.task", "margin": 0.1});
    let told = bench.post("/v1/evals/traces/compare", &sides).await;
    assert!(all_believable("compare", &told) > 3, "{told}");
    for sequential in [false, true] {
        let mut gate = sides.clone();
        gate["sequential"] = json!(sequential);
        let told = bench.post("/v1/evals/traces/gate", &gate).await;
        assert!(all_believable("gate", &told) > 3, "{told}");
        let metrics = told["graders"].as_array().unwrap().iter();
        assert!(
            metrics.clone().all(|one| one["metric"] == "pass_rate"),
            "{told}"
        );
    }
    let told = bench.get("/v1/graders/served/calibration").await;
    all_believable("calibration", &told);
    all_believable("queue", &bench.get("/v1/graders/served/label_queue").await);
    let told = bench
        .post(
            "/v1/evals/traces/analyze_failures",
            &json!({"run_id": first["id"]}),
        )
        .await;
    all_believable("failures", &told);
    let draft = json!({"grader": rule(), "limit": 10});
    all_believable("try", &bench.post("/v1/graders/try", &draft).await);
    all_believable("run", &bench.get(&path_of(&first)).await);
    all_believable(
        "grades",
        &bench.get(&format!("{}/grades", path_of(&first))).await,
    );
    bench.stop().await;
}
