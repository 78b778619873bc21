//! The same of a run that compares two traces each: both orders of a pair are asked, and a kill may come in
//! between.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use testkit::judge::Judge;
use testkit::prng::Prng;

use super::{CALL, TRACES, body, completed, judged_by, killed_over_and_over, post, script};

const PAIRS: usize = TRACES / 2;

/// The traces, two of each case.
fn cases() -> Value {
    let mut body = body();
    let items = body["data"].as_array_mut().unwrap();
    let traces = items.iter_mut().filter(|item| item["object"] == "trace");
    for (n, trace) in traces.enumerate() {
        let side = if n < PAIRS { "old" } else { "new" };
        let case = format!("case-{}", n % PAIRS);
        trace["metadata"] = json!({"case": case, "side": side});
    }
    body
}

#[test]
fn g1_a_run_of_pairs_survives_every_kill_with_one_grade_a_pair_and_every_cent_told() {
    let mut prng = Prng::new(29);
    let judge = Judge::start(script(&mut prng, "tie")).unwrap();
    let mut server = judged_by(&judge);
    let mut client = server.client();
    post(&mut client, "/v1/traces/ingest", &cases());
    let asked = json!({"max_cost_usd": 1.0, "graders": ["library:better_answer"],
        "filter": {"metadata.side": "new"}, "against": {"filter": {"metadata.side": "old"}},
        "pair_by": "metadata.case"});
    let run = post(&mut client, "/v1/evals/traces/grade", &asked);
    let id = run["id"].as_str().unwrap().to_owned();
    assert_eq!(run["counts"]["items"], PAIRS, "{run}");
    let in_the_middle = killed_over_and_over(&mut server, &mut prng, (&id, PAIRS));
    assert!(in_the_middle >= 2, "the run was over too soon");
    let run = completed(&server, &id);
    let counts = (&run["counts"]["done"], &run["counts"]["unscored"]);
    assert_eq!(counts, (&json!(PAIRS), &json!(0)), "{run}");
    let rows = server.client().sql(&format!(
        "SELECT item_id, attempt, label, judge_params FROM grades WHERE run_id = '{id}'"
    ));
    let mut grades: BTreeMap<String, usize> = BTreeMap::new();
    let mut partners = BTreeSet::new();
    for row in rows.unwrap() {
        assert_eq!(row["label"], "tie");
        *grades.entry(row["item_id"].to_string()).or_default() += 1;
        let params: Value = serde_json::from_str(row["judge_params"].as_str().unwrap()).unwrap();
        let judgement = &params["judgement"];
        assert_eq!(judgement["orders"], json!([["tie", "tie"]]), "{row}");
        partners.insert(judgement["counterpart"].to_string());
    }
    assert_eq!((grades.len(), partners.len()), (PAIRS, PAIRS), "lost");
    assert!(
        grades.values().all(|count| *count == 1),
        "doubled: {grades:?}"
    );
    // Two questions a pair, and what was spent is what they cost.
    let asked = judge.asked();
    let questions: BTreeSet<String> = asked.iter().map(|one| one.body.to_string()).collect();
    assert_eq!(questions.len(), 2 * PAIRS);
    let spent = run["cost"]["spent_usd"].as_f64().unwrap();
    let expected = (2 * PAIRS) as f64 * CALL / 1e9;
    assert!(
        (spent - expected).abs() < 1e-12,
        "{spent} instead of {expected}"
    );
    server.stop();
}
