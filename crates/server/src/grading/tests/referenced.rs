//! Traces that are held against what should have been done.

use model::Outcome;

use super::*;

/// The call that every trace of these tests makes, and one that none makes.
fn calls(name: &str) -> Value {
    json!({"calls": [{"name": name, "args": {}}], "answer": name})
}

fn strict() -> Value {
    json!({"type": "trajectory", "name": "strict", "metric": "strict"})
}

impl Server {
    /// Traces `trace_000`, … of which two have the same case.
    async fn record_with_cases(&self, count: usize) {
        self.record(quick(count)).await;
        let data: Vec<Value> = (traces(count).iter().enumerate())
            .map(|(n, id)| json!({"object": "trace", "id": id, "metadata": {"case": n / 2, "user": format!("u{}", n % 3)}}))
            .collect();
        let (status, taken) = self.post("/v1/traces/ingest", &json!({"data": data})).await;
        assert!(matches!(status, 200 | 204), "{taken}");
    }

    /// Returns what a grader of a run said of each trace.
    fn said(&self, run: &Value, grader: &str) -> BTreeMap<String, Outcome> {
        let grades = self.grades(run).into_iter();
        let own = grades.filter(|grade| grade.grader_name == grader);
        own.map(|grade| (grade.item_id, grade.verdict.outcome))
            .collect()
    }
}

#[tokio::test]
async fn trajectories_rules_and_prompts_see_what_should_have_been_done() {
    let judge = Judge::start([]).unwrap().always(pass());
    let server = Server::new(Some(&judge)).await;
    server.record(quick(4)).await;
    let right = json!({"type": "llm", "name": "right", "criteria": "Is it right?", "reference": "{{item.reference.answer}}"});
    let asked = json!({
        "graders": [
            strict(), right,
            {"type": "rule", "name": "called", "check": "ref.calls.all(c, calls.exists(s, s.name == c.name))"},
        ],
        "references": [
            {"trace_id": "trace_000", "reference": calls("find")},
            {"trace_id": "trace_001", "reference": calls("pay")},
            {"trace_id": "trace_001", "reference": calls("find")},
            {"trace_id": "elsewhere", "reference": calls("find")},
        ],
    });
    let run = server.grade(&asked).await;
    assert_eq!(
        run["selection"]["references"],
        json!({
            "given": 4, "used": 2, "unmatched": 1, "unmatched_first": ["elsewhere"],
            "doubled": 1, "doubled_first": ["trace_001"], "traces": 2,
        })
    );
    assert_eq!(run["selection"]["warnings"], Value::Null, "{run}");
    let run = server.until(&run, &["completed"]).await;
    for grader in ["strict", "called"] {
        let said = server.said(&run, grader);
        let of = |id: &str| said[id];
        assert_eq!(
            [of("trace_000"), of("trace_001"), of("trace_002")],
            [Outcome::Pass, Outcome::Fail, Outcome::NotApplicable],
            "{grader}"
        );
    }
    let asked: Vec<String> = (judge.asked().iter())
        .map(|one| one.body.to_string())
        .collect();
    assert_eq!(asked.len(), 2, "without a reference nobody is asked");
    assert!(asked.iter().any(|body| body.contains("pay")), "{asked:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_key_finds_the_tries_of_its_task_and_another_reference_is_another_question() {
    let judge = Judge::start([]).unwrap().always(pass());
    let server = Server::new(Some(&judge)).await;
    server.record_with_cases(4).await;
    let right = json!({"type": "llm", "name": "right", "criteria": "Is it right?", "reference": "{{item.reference.answer}}"});
    let graders = json!([strict(), right, polite()]);
    let asked = |answer: &str| {
        json!({
            "graders": graders, "references_by": "metadata.case",
            "references": [{"key": 0, "reference": calls("find")}, {"key": "1", "reference": calls(answer)}],
        })
    };
    let mut runs = Vec::new();
    for answer in ["pay", "find"] {
        let run = server.grade(&asked(answer)).await;
        assert_eq!(run["selection"]["references"]["traces"], 4, "{run}");
        runs.push(server.until(&run, &["completed"]).await);
    }
    let passed = |run: &Value| {
        let said = server.said(run, "strict").into_values();
        said.filter(|outcome| *outcome == Outcome::Pass).count()
    };
    assert_eq!((passed(&runs[0]), passed(&runs[1])), (2, 4));
    // The second time two traces had other words beside them, for the one grader that shows these.
    assert_eq!(judge.asked().len(), 8 + 2);
    server.stop().await;
}

#[tokio::test]
async fn g1_references_outlive_a_server_and_go_with_their_trace() {
    let slow = Move::Stall(Duration::from_millis(150), Box::new(pass()));
    let judge = Judge::start([]).unwrap().always(slow);
    let server = Server::new(Some(&judge)).await;
    server.record_with_cases(30).await;
    let references: Vec<Value> = (0..15)
        .map(|case| json!({"key": case, "reference": calls("find")}))
        .collect();
    let run = json!({"graders": [polite(), strict()], "references": references, "references_by": "metadata.case"});
    let run = server.grade(&run).await;
    server.until(&run, &["in_progress"]).await;
    let last = format!("/v1/traces/{}", traces(30)[29]);
    let (status, gone) = send(server.request(Method::DELETE, &last)).await;
    assert_eq!(status, 200, "{gone}");
    let dir = server.stop().await;
    let server = Server::over(dir, Some(&judge), Arc::new(SystemClock), |_| {}).await;
    let run = server.until(&run, &["completed"]).await;
    let said = server.said(&run, "strict");
    assert_eq!(said.len(), 29, "{run}");
    assert!(
        said.values().all(|outcome| *outcome == Outcome::Pass),
        "{said:?}"
    );
    server.stop().await;
}

#[tokio::test]
async fn whoever_compares_with_nothing_is_warned_and_mistakes_are_refused() {
    let server = Server::new(None).await;
    server.record(quick(3)).await;
    let check = json!({"type": "rule", "name": "called", "check": "ref.calls.all(c, calls.exists(s, s.name == c.name))"});
    let asked =
        json!({"graders": [strict(), check, {"type": "rule", "check": "true"}], "dry_run": true});
    let (_, draft) = server.post("/v1/evals/traces/grade", &asked).await;
    let warnings = draft["selection"]["warnings"].to_string();
    assert!(
        warnings.contains("`strict`, `called` ask") && !warnings.contains("rule-"),
        "{draft}"
    );
    let (_, trial) = server
        .post("/v1/graders/try", &json!({"grader": strict()}))
        .await;
    assert!(trial["warnings"][0].as_str().unwrap().contains("`strict`"));
    let references = json!([{"trace_id": "trace_001", "reference": calls("find")}]);
    let asked = json!({"grader": strict(), "references": references});
    let (status, trial) = server.post("/v1/graders/try", &asked).await;
    assert_eq!(status, 200, "{trial}");
    assert_eq!(
        (&trial["counts"]["pass"], &trial["counts"]["not_applicable"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(trial["references"]["traces"], 1, "{trial}");
    assert_eq!(trial["warnings"], json!([]));
    let wrong = json!({
        "graders": [strict()], "references_by": "group",
        "references": [{"trace_id": "trace_001", "reference": {}}],
    });
    let (status, told) = server.post("/v1/evals/traces/grade", &wrong).await;
    assert_eq!(
        (status, &told["error"]["param"]),
        (400, &json!("references_by"))
    );
    let wrong = json!({"graders": [strict()], "references": [{"trace_id": "trace_001", "reference": {"calls": 1}}]});
    let (status, told) = server.post("/v1/evals/traces/grade", &wrong).await;
    assert_eq!(status, 400);
    let message = told["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("references[0]: `calls` of the reference"),
        "{told}"
    );
    server.stop().await;
}

#[tokio::test]
async fn results_are_counted_by_a_key_where_that_is_asked_for() {
    let server = Server::new(None).await;
    server.record_with_cases(12).await;
    server.record([("keyless".to_owned(), 1_000)]).await;
    let run = json!({"graders": [{"type": "rule", "name": "odd", "check": "metadata.case == 1 || metadata.case == 2"}]});
    let run = server
        .until(&server.grade(&run).await, &["completed"])
        .await;
    let path = format!("/v1/evals/traces/grade/{}/results", text(&run, "id"));
    let groups = |told: &Value| told["by_grader"]["odd"]["pass_rate_figure"]["groups"].clone();
    let usual = server.get(&path).await;
    let by_user = server.get(&format!("{path}?groups=metadata.user")).await;
    assert_eq!(usual["grouping"], Value::Null);
    assert_eq!(
        by_user["grouping"],
        json!({"by": "metadata.user", "without_key": 1})
    );
    assert_eq!((groups(&usual), groups(&by_user)), (json!(6), json!(3)));
    assert_eq!(by_user["pass_rate_figure"]["groups"], 3, "{by_user}");
    // What is a try of what is not changed by how they are counted.
    let tasks = server
        .get(&format!("{path}?groups=metadata.user&tasks=group"))
        .await;
    assert_eq!(tasks["reliability"][0]["tasks"], 6, "{tasks}");
    let wrong = server.request(Method::GET, &format!("{path}?groups=user"));
    let (status, told) = send(wrong).await;
    assert_eq!((status, &told["error"]["param"]), (400, &json!("groups")));
    server.stop().await;
}

#[tokio::test]
async fn what_a_run_could_see_is_known_from_the_same_question_not_from_its_name() {
    let server = Server::new(None).await;
    server.record(quick(20)).await;
    let asked = |check: &str, dry: bool| json!({"graders": [{"type": "rule", "check": check}], "dry_run": dry});
    let first = server.grade(&asked("duration_ms < 5000", false)).await;
    server.until(&first, &["completed"]).await;
    let second = server.grade(&asked("duration_ms > 5000", false)).await;
    server.until(&second, &["completed"]).await;
    let draft = asked("duration_ms < 5000", true);
    let (_, draft) = server.post("/v1/evals/traces/grade", &draft).await;
    assert_eq!(draft["power"][0]["from_run"], first["id"], "{draft}");
    assert_eq!(draft["power"][0]["rate"], 0.98);
    let draft = asked("duration_ms < 6000", true);
    let (_, draft) = server.post("/v1/evals/traces/grade", &draft).await;
    assert_eq!(draft["power"][0]["from_run"], Value::Null, "{draft}");
    server.stop().await;
}
