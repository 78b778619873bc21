//! Graders that ask nobody: from a request to grades that can be read.

use grade::trace::TraceGrader;
use store::meta::{GraderUse, GradingRun, GradingStatus, NewGrader, NewGradingItem, NewGradingRun};
use store::{Columns, Table, TraceBounds};

use super::super::worker::{TurnEnd, Worker};
use super::*;
use crate::turns::Turn;

#[tokio::test]
async fn a_rule_grades_what_is_stored() {
    let server = Server::new(None).await;
    let mut sent = quick(30);
    sent.iter_mut()
        .filter(|(id, _)| id.ends_with('7'))
        .for_each(|(_, millis)| *millis = 9_000);
    server.record(sent).await;
    let run = server
        .grade(&json!({
            "name": "fast?", "workflow_name": "w", "metadata": {"by": "test"},
            "graders": [
                {"type": "rule", "name": "fast", "check": "duration_ms < 5000"},
                {"type": "rule", "check": "tool_errors == 0"},
                {"type": "detector", "detector": "D26"},
            ],
        }))
        .await;
    let run = server.until(&run, &["completed"]).await;
    assert_eq!(run["counts"]["items"], 30, "{run}");
    assert_eq!(run["counts"]["done"], 30);
    assert_eq!(run["counts"]["unscored"], 0);
    assert_eq!(run["cost"]["spent_usd"], 0.0);
    assert_eq!(run["selection"]["population"], 30);
    assert_eq!(run["selection"]["groups"], 15);
    assert_eq!(run["selection"]["order"], "storage");
    let names: Vec<_> = run["graders"].as_array().unwrap().iter().collect();
    let names: Vec<_> = names.iter().map(|it| text(it, "name")).collect();
    assert_eq!(names, ["fast", "rule-2", "detector-1"]);
    assert_eq!(server.check_once(&run).len(), 30);
    let grades = server.grades(&run);
    assert_eq!(grades.len(), 90);
    let failed: BTreeSet<&str> = (grades.iter())
        .filter(|grade| grade.verdict.outcome == model::Outcome::Fail)
        .map(|grade| grade.item_id.as_str())
        .collect();
    assert_eq!(
        failed,
        BTreeSet::from(["trace_007", "trace_017", "trace_027"])
    );
    let one = grades.iter().find(|it| it.item_id == "trace_003").unwrap();
    assert_eq!(one.group_id.as_ref().unwrap().as_str(), "g1");
    assert_eq!((one.weight, one.attempt), (1.0, 1));
    server.stop().await;
}

#[tokio::test]
async fn strata_are_weighed_and_a_seed_draws_the_same_again() {
    let server = Server::new(None).await;
    server.record(quick(40)).await;
    let asked = json!({
        "graders": [{"type": "rule", "check": "duration_ms < 5000"}], "seed": "s",
        "strata": [
            {"name": "odd", "filter": {"group_id": (0..10).map(|n| format!("g{n}")).collect::<Vec<_>>()}, "size": 5},
            {"name": "rest", "filter": {}, "size": 10},
        ],
    });
    let run = server
        .until(&server.grade(&asked).await, &["completed"])
        .await;
    let strata = run["selection"]["strata"].clone();
    assert_eq!(strata[0]["population"], 20, "{strata}");
    assert_eq!(strata[1]["population"], 20);
    assert_eq!(
        (&strata[0]["sampled"], &strata[1]["sampled"]),
        (&json!(5), &json!(10))
    );
    let weights: f64 = server.grades(&run).iter().map(|it| it.weight).sum();
    assert!((weights - 40.0).abs() < 1e-9);
    let again = server
        .until(&server.grade(&asked).await, &["completed"])
        .await;
    assert_eq!(server.check_once(&run), server.check_once(&again));
    // The graders that came along are kept once.
    assert_eq!(run["graders"], again["graders"]);
    server.stop().await;
}

#[tokio::test]
async fn a_rule_and_a_limit_choose_traces() {
    let server = Server::new(None).await;
    let mut sent = quick(20);
    sent[3].1 = 9_000;
    sent[8].1 = 9_000;
    server.record(sent).await;
    let graders = json!([{"type": "rule", "check": "true"}]);
    let slow = json!({"graders": graders, "rule": "duration_ms > 5000"});
    let run = server
        .until(&server.grade(&slow).await, &["completed"])
        .await;
    let chosen = server.check_once(&run);
    assert_eq!(
        chosen,
        BTreeSet::from(["trace_003".into(), "trace_008".into()])
    );
    let newest = json!({"graders": graders, "rule": "duration_ms > 5000", "limit": 1});
    let run = server
        .until(&server.grade(&newest).await, &["completed"])
        .await;
    assert_eq!(
        server.check_once(&run),
        BTreeSet::from(["trace_008".into()])
    );
    let ids = json!({"graders": graders, "trace_ids": ["trace_001", "gone"]});
    let run = server
        .until(&server.grade(&ids).await, &["completed"])
        .await;
    assert_eq!(run["selection"]["missing"], json!(["gone"]));
    assert_eq!(
        server.check_once(&run),
        BTreeSet::from(["trace_001".into()])
    );
    server.stop().await;
}

#[tokio::test]
async fn every_mistake_is_told_at_once_and_nothing_is_kept() {
    let server = Server::new(None).await;
    server.record(quick(2)).await;
    let check = async |body: Value, words: &[&str]| {
        let (status, error) = server.post("/v1/evals/traces/grade", &body).await;
        assert_eq!(status, 400, "{error}");
        let message = error["error"]["message"].as_str().unwrap();
        for word in words {
            assert!(message.contains(word), "{word}: {message}");
        }
    };
    let rule = json!({"type": "rule", "check": "true"});
    check(
        json!({"graders": [{"type": "rule", "check": "duration_m < 5"}, "nobody", {"type": "detector", "detector": "D99"}],
            "filter": {"statuss": "success"}}),
        &["graders[0]", "duration_ms", "graders[1]", "nobody", "graders[2]", "D99", "statuss"],
    )
    .await;
    check(json!({"graders": []}), &["1 to 100"]).await;
    check(json!({"graders": [rule], "trace_ids": ["gone"]}), &["gone"]).await;
    check(
        json!({"graders": [rule], "rule": "duration_ms <"}),
        &["rule"],
    )
    .await;
    check(
        json!({"graders": [rule], "sample_strategy": "random"}),
        &["sample_size"],
    )
    .await;
    check(
        json!({"graders": [rule], "workflow_name": "other"}),
        &["no trace is meant"],
    )
    .await;
    // Nobody is there to be asked.
    check(json!({"graders": [polite()]}), &["OPENAI_API_KEY"]).await;
    let (status, draft) = server
        .post(
            "/v1/evals/traces/grade",
            &json!({"graders": [rule], "dry_run": true}),
        )
        .await;
    assert_eq!(
        (status, &draft["object"]),
        (200, &json!("trace.grading_run.draft"))
    );
    assert_eq!(draft["selection"]["sampled"], 2);
    assert_eq!(draft["power"][0]["grader"], "rule-1");
    let runs = server.get("/v1/evals/traces/grade").await;
    assert_eq!(runs["data"], json!([]));
    server.stop().await;
}

#[tokio::test]
async fn runs_that_still_go_on_are_left_out_unless_they_are_asked_for() {
    let server = Server::new(None).await;
    server.record(quick(1)).await;
    let now = SystemClock.now().to_string();
    let open = json!({"data": [
        {"object": "trace", "id": "open", "workflow_name": "w"},
        {"object": "trace.span", "id": "s", "trace_id": "open", "started_at": now, "ended_at": null,
         "span_data": {"type": "agent", "name": "A"}}]});
    server.post("/v1/traces/ingest", &open).await;
    let graders = json!([{"type": "rule", "check": "true"}]);
    let run = server.grade(&json!({"graders": graders})).await;
    let run = server.until(&run, &["completed"]).await;
    assert_eq!(run["selection"]["running_left_out"], 1, "{run}");
    assert_eq!(server.check_once(&run).len(), 1);
    let all = json!({"graders": graders, "include_running": true});
    let run = server
        .until(&server.grade(&all).await, &["completed"])
        .await;
    assert_eq!(server.check_once(&run).len(), 2);
    server.stop().await;
}

/// On a store without a server: nobody else works on the run.
#[tokio::test]
async fn g1_what_two_workers_bring_is_taken_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::over(dir, None, Arc::new(SystemClock), |_| {}).await;
    server.record(quick(600)).await;
    let dir = server.stop().await;
    let mut config = Config::default();
    config.store.data_dir = dir.path().join("data");
    config.store.free_bytes_min = 0;
    let app = App::build(config, Arc::new(SystemClock), Arc::new(RealDisk));
    let app = app.await.unwrap();
    let state = Arc::clone(app.state());
    let meta = state.store.meta();
    let run = queued(&state).await;
    let worker = async |owner: &str| {
        let turn = Arc::new(Turn::alone(&state, &run.id));
        let worker = Worker::new(turn, run.clone(), owner.to_owned()).await;
        Arc::new(worker.unwrap())
    };
    let (a, b) = (worker("a").await, worker("b").await);
    let (of_a, of_b) = tokio::join!(a.grade_in_bulk(), b.grade_in_bulk());
    assert!(matches!(
        (of_a.unwrap(), of_b.unwrap()),
        (TurnEnd::Dry, TurnEnd::Dry)
    ));
    let after = meta.grading_run(&run.project, &run.id).await.unwrap();
    assert_eq!((after.items, after.done, after.unscored), (600, 600, 0));
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let snapshot = state.store.snapshot(&run.project);
    let read = snapshot.for_each_grade(&GradeFilter::default(), &mut |grade| {
        *seen.entry(grade.item_id).or_default() += 1;
        ControlFlow::Continue(())
    });
    read.unwrap();
    assert_eq!(seen.len(), 600);
    assert!(seen.values().all(|count| *count == 1));
    drop((a, b, state));
    app.close().await.unwrap();
}

/// Makes a run of a rule over all traces that is being worked on.
async fn queued(state: &AppState) -> GradingRun {
    let (project, meta) = (ProjectId::new("default").unwrap(), state.store.meta());
    let definition = json!({"type": "rule", "check": "duration_ms < 5000", "name": "fast"});
    let grader = TraceGrader::parse(&definition).unwrap();
    let new = NewGrader {
        name: None,
        kind: "rule".to_owned(),
        hash: grader.hash().to_owned(),
        definition: grader.definition().to_string(),
        description: None,
    };
    let kept = meta.inline_grader("test", &project, &new).await.unwrap();
    let frozen = json!([{"id": kept.id, "name": "fast", "version": kept.version, "hash": kept.hash,
        "definition": grader.definition()}]);
    let new = NewGradingRun {
        project: project.clone(),
        name: None,
        request: "{}".to_owned(),
        graders: frozen.to_string(),
        uses: vec![GraderUse {
            id: kept.id,
            version: kept.version,
            hash: kept.hash,
        }],
        metadata: "{}".to_owned(),
        cap: None,
        settings: None,
        in_order_of_hash: false,
    };
    let run = meta.create_grading_run("test", &new).await.unwrap();
    let mut items = Vec::new();
    let snapshot = state.store.snapshot(&project);
    let columns = Columns::all(Table::Traces);
    let read = snapshot.for_each_trace(TraceBounds::default(), &columns, &mut |entry| {
        items.push(NewGradingItem {
            trace_id: entry.row.item.trace_id.clone(),
            group_id: None,
            stratum: None,
            weight: 1.0,
            trace_started_at: entry.home_started_at,
            counterpart: None,
            reference: None,
        });
        ControlFlow::Continue(())
    });
    read.unwrap();
    assert_eq!(meta.add_grading_items(&run.id, &items).await.unwrap(), 600);
    meta.open_grading_run(&run.id, "{}", None).await.unwrap();
    let (from, to) = ([GradingStatus::Queued], GradingStatus::InProgress);
    let begun = meta.set_grading_status(None, &run.id, &from, to, None);
    assert!(begun.await.unwrap());
    meta.grading_run(&project, &run.id).await.unwrap()
}
