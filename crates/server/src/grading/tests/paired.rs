//! Runs that compare two traces each, with a judge who sees both and is asked in both orders.

use super::super::recorded::forget_what_went;
use super::*;

/// Traces of cases in two versions.
impl Server {
    async fn record_cases(&self, version: &str, cases: &[&str]) {
        let mut data = Vec::new();
        for (n, case) in cases.iter().enumerate() {
            let id = format!("trace_{version}{n:03}");
            data.push(
                json!({"object": "trace", "id": id, "workflow_name": "support",
                "metadata": {"case": case, "side": version}}),
            );
            data.push(json!({"object": "trace.span", "id": format!("span_{id}"), "trace_id": id, "parent_id": null,
                "started_at": "2026-11-20T10:00:00.000Z", "ended_at": "2026-11-20T10:00:01.000Z",
                "span_data": {"type": "generation", "model": "gpt-4.1-mini",
                    "input": [{"role": "user", "content": format!("Case {case}, please.")}],
                    "output": [{"role": "assistant", "content": format!("The answer of {version} to {case}.")}],
                    "usage": {"input_tokens": 10, "output_tokens": 5}}}));
        }
        let (status, taken) = self.post("/v1/traces/ingest", &json!({"data": data})).await;
        assert!(matches!(status, 200 | 204), "{status} {taken}");
    }
}

fn which() -> Value {
    json!({"type": "llm", "name": "which", "pairwise": true, "criteria": "Which answer helps the customer more?"})
}

fn paired() -> Value {
    json!({"graders": [which()], "filter": {"metadata.side": "new"},
        "against": {"filter": {"metadata.side": "old"}}, "pair_by": "metadata.case"})
}

fn says(verdict: &str) -> Move {
    let evidence = json!([{"trace": verdict, "span_id": "s1", "quote": "The answer of"}]);
    let evidence = if verdict == "tie" {
        json!([])
    } else {
        evidence
    };
    Move::Object(
        json!({"evidence": evidence, "reasoning": format!("{verdict} it is"), "verdict": verdict,
        "confidence": 0.9}),
    )
}

/// What a prompt shows as A.
fn shown_first(body: &Value) -> String {
    let text = body["messages"][1]["content"].as_str().unwrap();
    let a = text.split_once("## Trace A\n").unwrap().1;
    a.split_once("## Trace B\n").unwrap().0.to_owned()
}

/// Four pairs, one after the other: the candidate wins, loses, is judged by its place alone, and ties.
async fn four_pairs() -> (Judge, Server, Value) {
    let words = ["A", "B", "B", "A", "A", "A", "tie", "tie"];
    let judge = Judge::start(words.map(says)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let server = Server::over(dir, Some(&judge), Arc::new(SystemClock), |config| {
        config.grading.traces_at_once = 1;
    })
    .await;
    let own = ["a", "b", "c", "d", "only-new"];
    server.record_cases("new", &own).await;
    let others = ["a", "b", "c", "d", "only-old"];
    server.record_cases("old", &others).await;
    let run = server.grade(&paired()).await;
    let run = server.until(&run, &["completed"]).await;
    let counts = &run["counts"];
    assert_eq!(
        (&counts["done"], &counts["unscored"]),
        (&json!(4), &json!(0)),
        "{run}"
    );
    (judge, server, run)
}

/// Returns what the grades with a label tell of their judgements.
fn judgements(grades: &[Grade], label: &str) -> Vec<Value> {
    let of = grades
        .iter()
        .filter(|it| it.verdict.label.as_deref() == Some(label));
    of.map(|it| {
        let params = it.verdict.judge.as_ref().unwrap().params.as_ref().unwrap();
        serde_json::from_str::<Value>(params.as_str()).unwrap()["judgement"].clone()
    })
    .collect()
}

#[tokio::test]
async fn pairs_are_judged_in_both_orders_and_only_agreement_is_a_preference() {
    let (judge, server, run) = four_pairs().await;
    let pairs = &run["selection"]["pairs"];
    assert_eq!(pairs["by"], "metadata.case", "{run}");
    let unpaired = (&pairs["unpaired"], &pairs["unpaired_of_other_side"]);
    assert_eq!(unpaired, (&json!(1), &json!(1)));
    // Two questions a pair, each trace once in either place.
    let asked = judge.asked();
    assert_eq!(asked.len(), 8);
    for both in asked.chunks(2) {
        let (first, second) = (shown_first(&both[0].body), shown_first(&both[1].body));
        assert!(
            first.contains("The answer of new") && !first.contains("of old"),
            "{first}"
        );
        assert!(
            second.contains("The answer of old") && !second.contains("of new"),
            "{second}"
        );
    }
    let grades = server.grades(&run);
    let mut said: Vec<(f64, &str)> = (grades.iter())
        .map(|it| {
            (
                it.verdict.score.unwrap(),
                it.verdict.label.as_deref().unwrap(),
            )
        })
        .collect();
    said.sort_by(|a, b| a.0.total_cmp(&b.0));
    let words: Vec<&str> = said.iter().map(|(_, label)| *label).collect();
    assert_eq!(words, ["worse", "tie", "tie", "better"]);
    let won = &judgements(&grades, "better")[0];
    assert_eq!(won["orders"], json!([["better", "better"]]));
    assert!(
        won["counterpart"]
            .as_str()
            .unwrap()
            .starts_with("trace_old"),
        "{won}"
    );
    let mut ties = judgements(&grades, "tie")
        .into_iter()
        .map(|it| it["orders"].clone());
    assert!(ties.any(|orders| orders == json!([["better", "worse"]])));
    // A citation of the other trace is told apart.
    let lost = &judgements(&grades, "worse")[0];
    assert_eq!(
        lost["counterpart_citations"].as_array().unwrap().len(),
        1,
        "{lost}"
    );
    let worse = grades
        .iter()
        .find(|it| it.verdict.label.as_deref() == Some("worse"));
    assert!(worse.unwrap().verdict.citations.is_empty());
    server.stop().await;
}

#[tokio::test]
async fn a_win_rate_stands_beside_how_often_judges_contradict_themselves() {
    let (judge, server, run) = four_pairs().await;
    let path = format!("/v1/evals/traces/grade/{}/results", text(&run, "id"));
    let results = server.get(&path).await;
    let told = &results["by_grader"]["which"]["pairwise"];
    assert_eq!(
        (&told["pairs"], &told["win_rate"]),
        (&json!(4), &json!(0.5)),
        "{told}"
    );
    assert_eq!(told["inconsistency_rate"], 0.25);
    assert_eq!(told["inconsistency_rate_figure"]["n"], 4);
    assert!(told["win_rate_figure"]["interval"][0].is_number(), "{told}");
    // What it costs is told before, and answers are known in the next run.
    let mut draft = paired();
    draft["dry_run"] = json!(true);
    let (_, draft) = server.post("/v1/evals/traces/grade", &draft).await;
    assert!(
        draft["cost"]["estimate_usd"].as_f64().unwrap() > 0.0,
        "{draft}"
    );
    let again = server.grade(&paired()).await;
    let again = server.until(&again, &["completed"]).await;
    assert_eq!(
        (&again["cost"]["spent_usd"], judge.asked().len()),
        (&json!(0.0), 8)
    );
    server.stop().await;
}

#[tokio::test]
async fn what_compares_needs_something_to_compare_with_and_says_so() {
    let judge = Judge::start([]).unwrap().always(says("A"));
    let server = Server::new(Some(&judge)).await;
    server.record_cases("new", &["a"]).await;
    server.record_cases("old", &["b"]).await;
    let refused = async |change: &dyn Fn(&mut Value), param: &str, words: &str| {
        let mut body = paired();
        change(&mut body);
        let (status, error) = server.post("/v1/evals/traces/grade", &body).await;
        assert_eq!(status, 400, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        if !param.is_empty() {
            assert_eq!(error["error"]["param"], param, "{error}");
        }
    };
    let without =
        |key: &'static str| move |body: &mut Value| drop(body.as_object_mut().unwrap().remove(key));
    refused(
        &|body| {
            without("against")(body);
            without("pair_by")(body);
        },
        "against",
        "`which` compares two traces",
    )
    .await;
    refused(&without("pair_by"), "pair_by", "makes two traces a pair").await;
    refused(
        &|body| body["graders"] = json!([polite()]),
        "against",
        "no grader of the run compares",
    )
    .await;
    refused(
        &|body| body["against"]["run_id"] = json!("grun_1"),
        "against",
        "one of",
    )
    .await;
    refused(
        &|body| body["pair_by"] = json!("user"),
        "pair_by",
        "metadata.KEY",
    )
    .await;
    // No case is in both.
    refused(&|_| {}, "", "has a partner").await;
    let watch = json!({"name": "w", "graders": [which()]});
    let (status, error) = server.post("/v1/evals/traces/watches", &watch).await;
    assert_eq!(status, 400, "{error}");
    let mut trial = json!({"grader": which(), "trace_ids": ["trace_new000"]});
    let (status, error) = server.post("/v1/graders/try", &trial).await;
    assert_eq!(
        (status, &error["error"]["param"]),
        (400, &json!("against_trace_id")),
        "{error}"
    );
    trial["against_trace_id"] = json!("trace_old000");
    let (status, tried) = server.post("/v1/graders/try", &trial).await;
    assert_eq!(status, 200, "{tried}");
    // Whatever is shown first is better: that is no preference.
    assert_eq!(
        (&tried["data"][0]["label"], &tried["data"][0]["score"]),
        (&json!("tie"), &json!(0.5))
    );
    assert_eq!(tried["data"][0]["exchanges"].as_array().unwrap().len(), 2);
    server.stop().await;
}

/// Returns what was said of a trace, by grader.
fn of_trace<'g>(grades: &'g [Grade], trace: &str) -> BTreeMap<&'g str, &'g model::Verdict> {
    let of = grades.iter().filter(|grade| grade.item_id == trace);
    of.map(|grade| (&*grade.grader_name, &grade.verdict))
        .collect()
}

#[tokio::test]
async fn d6_a_comparison_goes_with_either_of_its_traces() {
    let slow = Move::Stall(Duration::from_millis(60), Box::new(says("A")));
    let judge = Judge::start([]).unwrap().always(slow);
    let server = Server::new(Some(&judge)).await;
    let cases: Vec<String> = (0..20).map(|n| format!("case-{n}")).collect();
    let cases: Vec<&str> = cases.iter().map(String::as_str).collect();
    server.record_cases("new", &cases).await;
    server.record_cases("old", &cases).await;
    let mut asked = paired();
    asked["graders"] =
        json!([which(), {"type": "rule", "name": "fast", "check": "duration_ms < 5000"}]);
    let run = server.grade(&asked).await;
    server.until(&run, &["in_progress"]).await;
    // Some while the run goes on, graded or not.
    for id in ["trace_old003", "trace_old004", "trace_new007"] {
        let path = format!("/v1/traces/{id}");
        let (status, gone) = send(server.request(Method::DELETE, &path)).await;
        assert_eq!(status, 200, "{gone}");
    }
    let run = server.until(&run, &["completed"]).await;
    let counts = (&run["counts"]["deleted"], &run["counts"]["done"]);
    assert_eq!(counts, (&json!(1), &json!(19)), "{run}");
    server.check_once(&run);
    // One when it is over, and one that nobody asks for: as retention lets it go.
    let (status, _) = send(server.request(Method::DELETE, "/v1/traces/trace_old005")).await;
    assert_eq!(status, 200);
    let (store, project) = (&server.state.store, ProjectId::new("default").unwrap());
    let gone = [model::TraceId::new("trace_old006").unwrap()];
    store.let_go(&project, &gone).await.unwrap();
    let grades = server.grades(&run);
    for n in 3..7 {
        let gone = format!("trace_old{n:03}");
        assert!(!format!("{grades:?}").contains(&gone), "{gone}");
        // The other grader has nothing to do with it.
        let said = of_trace(&grades, &format!("trace_new{n:03}"));
        assert_eq!(said["fast"].outcome, model::Outcome::Pass, "{said:?}");
        // What was being judged when it went may have no grade at all.
        let which = said.get("which").map(|it| it.outcome);
        assert!(
            matches!(which, None | Some(model::Outcome::NotApplicable)),
            "{said:?}"
        );
    }
    assert!(of_trace(&grades, "trace_new007").is_empty());
    let whole = of_trace(&grades, "trace_new008");
    assert_eq!(whole["which"].label.as_deref(), Some("tie"), "{whole:?}");
    server.stop().await;
}

#[tokio::test]
async fn d6_what_a_judge_was_asked_about_two_traces_goes_with_either() {
    let judge = Judge::start([]).unwrap().always(says("tie"));
    let server = Server::new(Some(&judge)).await;
    server.record_cases("new", &["a", "b", "c"]).await;
    server.record_cases("old", &["a", "b", "c"]).await;
    let run = server.grade(&paired()).await;
    server.until(&run, &["completed"]).await;
    let of_judges = async || {
        let request = server.request(Method::GET, "/v1/traces");
        let list = send(request.header("openai-project", "judge")).await.1;
        list["data"].as_array().map_or(0, Vec::len)
    };
    for _ in 0..100 {
        if of_judges().await == 3 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (status, _) = send(server.request(Method::DELETE, "/v1/traces/trace_old000")).await;
    assert_eq!((status, of_judges().await), (200, 2));
    // Where retention takes a trace, its words in records go at the next sweep.
    let (store, project) = (&server.state.store, ProjectId::new("default").unwrap());
    let gone = [model::TraceId::new("trace_old001").unwrap()];
    store.let_go(&project, &gone).await.unwrap();
    store.flush().await.unwrap();
    let forgotten = forget_what_went(&server.state, model::Time::default()).await;
    assert_eq!((forgotten.unwrap(), of_judges().await), (1, 1));
    server.stop().await;
}

#[tokio::test]
async fn the_other_side_is_told_as_fully_as_its_own() {
    let judge = Judge::start([]).unwrap().always(says("tie"));
    let server = Server::new(Some(&judge)).await;
    server.record_cases("new", &["a", "b", "c"]).await;
    server.record_cases("old", &["a", "b"]).await;
    let dry = async |change: Value| {
        let mut body = paired();
        body["dry_run"] = json!(true);
        for (key, value) in change.as_object().unwrap() {
            body[key] = value.clone();
        }
        server.post("/v1/evals/traces/grade", &body).await
    };
    // A rule chooses before partners are looked for: who does not keep to it is nobody without a partner.
    let rule = "final_output.icontains(\"to a.\") || final_output.icontains(\"to c.\")";
    let (status, told) = dry(json!({"rule": rule})).await;
    assert_eq!(status, 200, "{told}");
    let pairs = &told["selection"]["pairs"];
    let unpaired = (&pairs["unpaired"], &pairs["unpaired_of_other_side"]);
    assert_eq!(unpaired, (&json!(1), &json!(1)), "{told}");
    assert_eq!(told["selection"]["population"], 1, "{told}");
    // A win rate is held against one half; there is no second run to find a difference to.
    let power = text(&told["power"][0], "sentence");
    assert!(power.contains("win rates"), "{power}");
    let ids = json!({"trace_ids": ["trace_old001", "trace_gone"]});
    let (_, told) = dry(json!({"against": ids})).await;
    assert_eq!(
        told["selection"]["pairs"]["missing_of_other_side"], 1,
        "{told}"
    );
    let ids = json!({"trace_ids": ["trace_gone"]});
    let (status, told) = dry(json!({"against": ids})).await;
    assert_eq!(status, 400, "{told}");
    let why = text(&told["error"], "message");
    assert!(why.contains("1 ids of others are not there"), "{why}");
    // So many ids that they are looked for among all rows.
    let mut many: Vec<String> = (0..2_000).map(|n| format!("trace_no{n}")).collect();
    many.extend(["trace_old000", "trace_old001"].map(str::to_owned));
    let (_, told) = dry(json!({"against": {"trace_ids": many}})).await;
    assert_eq!(told["selection"]["sampled"], 2, "{told}");
    server.stop().await;
}

#[tokio::test]
async fn g1_a_run_of_pairs_goes_on_after_restarts_and_pays_once() {
    let slow = || Move::Stall(Duration::from_millis(100), Box::new(says("tie")));
    let script = [
        slow(),
        Move::busy(20),
        Move::CutOff("x".to_owned()),
        slow(),
        Move::busy(20),
        Move::Stall(Duration::from_secs(30), Box::new(says("tie"))),
    ];
    let judge = Judge::start(script).unwrap().always(slow());
    let mut server = Server::new(Some(&judge)).await;
    let cases: Vec<String> = (0..24).map(|n| format!("case-{n}")).collect();
    let cases: Vec<&str> = cases.iter().map(String::as_str).collect();
    server.record_cases("new", &cases).await;
    server.record_cases("old", &cases).await;
    let run = server.grade(&paired()).await;
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(400)).await;
        let dir = server.stop().await;
        server = Server::over(dir, Some(&judge), Arc::new(SystemClock), |_| {}).await;
    }
    let run = server.until(&run, &["completed"]).await;
    assert_eq!(server.check_once(&run).len(), 24);
    assert_eq!(
        (&run["counts"]["unscored"], questions(&judge)),
        (&json!(0), 48),
        "{run}"
    );
    assert_eq!(run["cost"]["spent_usd"], NanoUsd(48 * CALL.0).to_usd());
    server.stop().await;
}

#[tokio::test]
async fn two_traces_that_have_no_room_at_once_hold_no_run_up() {
    let slow = Move::Stall(Duration::from_millis(100), Box::new(says("tie")));
    let judge = Judge::start([]).unwrap().always(slow);
    let dir = tempfile::tempdir().unwrap();
    let server = Server::over(dir, Some(&judge), Arc::new(SystemClock), |config| {
        config.grading.traces_at_once = 2;
    })
    .await;
    let cases: Vec<String> = (0..6).map(|n| format!("case-{n}")).collect();
    let cases: Vec<&str> = cases.iter().map(String::as_str).collect();
    server.record_cases("new", &cases).await;
    server.record_cases("old", &cases).await;
    let run = server.grade(&paired()).await;
    server.ask(&run, "pause", &json!({})).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    // Somebody has all the memory that traces are read into.
    let ledger = server.state.store.ledger();
    let mut held = Vec::new();
    while let Ok(one) = ledger.reserve(store::Share::Queries, 64) {
        held.push(one);
    }
    server.ask(&run, "resume", &json!({})).await;
    let path = format!("/v1/evals/traces/grade/{}", text(&run, "id"));
    while server.get(&path).await["counts"]["unscored"] == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(held);
    let run = server.until(&run, &["completed"]).await;
    assert_eq!(run["counts"]["done"], 6, "{run}");
    for grade in server.grades(&run) {
        let verdict = &grade.verdict;
        if verdict.outcome == model::Outcome::Unscored {
            let why = verdict.reasoning.as_deref().unwrap();
            assert_eq!(
                verdict.unscored_reason,
                Some(model::UnscoredReason::Unreadable)
            );
            assert!(why.contains("memory share queries"), "{why}");
        }
    }
    // It is tried again when there is room.
    server.ask(&run, "retry", &json!({})).await;
    let run = server.until(&run, &["completed"]).await;
    assert_eq!(run["counts"]["unscored"], 0, "{run}");
    server.stop().await;
}
