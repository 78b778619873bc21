//! Rules, detectors and trajectories: graded at once.

use std::collections::BTreeMap;

use grade::trace::{Costs, Subject, TraceGrader, content_hash};
use insight::Context;
use model::{Outcome, SpanId};
use serde_json::{Value, json};

use crate::court::{parsed, scores};
use crate::story::{Story, Viewed as _, booking, silent};

fn check(definition: Value, outcome: Outcome, citations: &[&str]) {
    let grader = parsed(&definition);
    let context = Context::default();
    let told = grader
        .grade_now(&Subject::new(&silent(), &context))
        .unwrap();
    let cited: Vec<_> = told.citations.iter().map(SpanId::as_str).collect();
    assert_eq!(
        (told.outcome, &*cited),
        (outcome, citations),
        "{definition}"
    );
    assert_eq!(grader.cost(), Costs::Nothing);
}

fn rule(check: &str) -> Value {
    json!({"type": "rule", "check": check})
}

#[test]
fn each_type_grades() {
    check(rule("calls(\"pay\").size() == 1"), Outcome::Pass, &[]);
    let all = "calls(\"pay\").all(s, s.status == \"success\")";
    check(rule(all), Outcome::Fail, &["f1"]);
    check(rule("!detector(\"D26\")"), Outcome::Pass, &[]);
    let detector = json!({"type": "detector", "detector": "d26"});
    check(detector, Outcome::Pass, &[]);
    let missing = json!({"type": "rule", "check": "total_cost_usd < 1"});
    check(missing.clone(), Outcome::NotApplicable, &[]);
    let mut strict = missing;
    strict["strict"] = true.into();
    check(strict, Outcome::Fail, &[]);
    let trajectory = json!({"type": "trajectory", "metric": "step_efficiency"});
    check(trajectory, Outcome::Pass, &[]);
}

#[test]
fn a_trajectory_checks_arguments_against_declared_schemas() {
    let grader =
        parsed(&json!({"type": "trajectory", "metric": "tool_validity", "pass_threshold": 1}));
    let context = Context::default();
    let grade =
        |view: &insight::TraceView| grader.grade_now(&Subject::new(view, &context)).unwrap();
    assert_eq!(grade(&booking()).outcome, Outcome::Pass);
    let mut bare = booking();
    bare.spans[2].told.arguments = Some(crate::story::json(r#"{"origin":"SFO"}"#));
    let told = grade(&bare);
    assert_eq!(
        (told.outcome, told.score),
        (Outcome::Fail, Some(0.0)),
        "{told:?}"
    );
}

#[test]
fn rules_ask_for_scores_baselines_and_schemas() {
    let context = Context::default();
    let view = Story {
        answer: r#"{"flight": "HAT045"}"#.to_owned(),
        ..Story::default()
    }
    .view();
    let schema = json!({"type": "object", "required": ["flight"], "properties": {"flight": {"type": "string"}}});
    let schemas = BTreeMap::from([("ticket.v2".to_owned(), schema)]);
    let (scores, baselines) = (
        scores(&[("goal", 0.7)]),
        scores(&[("p95:duration_ms", 3_000.0)]),
    );
    let subject = Subject {
        scores: &scores,
        baselines: &baselines,
        schemas: &schemas,
        ..Subject::new(&view, &context)
    };
    let grade = |check: &str| {
        let grader = parsed(&rule(check));
        grader.grade_now(&subject).unwrap().outcome
    };
    assert_eq!(grade("score(\"goal\") >= 0.7"), Outcome::Pass);
    assert_eq!(grade("score(\"goal\") > 0.7"), Outcome::Fail);
    assert_eq!(grade("score(\"other\") > 0.7"), Outcome::NotApplicable);
    assert_eq!(
        grade("duration_ms <= baseline(\"p95:duration_ms\") * 1.1"),
        Outcome::Pass
    );
    assert_eq!(
        grade("duration_ms <= baseline(\"p95:duration_ms\")"),
        Outcome::Fail
    );
    assert_eq!(grade("valid(final_output, \"ticket.v2\")"), Outcome::Pass);
    assert_eq!(grade("valid(user_input, \"ticket.v2\")"), Outcome::Fail);
    assert_eq!(
        grade("valid(final_output, \"ticket.v3\")"),
        Outcome::NotApplicable
    );
    let needs = parsed(&rule(
        "score(\"goal\") > baseline(\"p50:duration_ms\") && valid(final_output, \"s\") && !detector(\"D01\")",
    ))
    .needs();
    assert_eq!(
        (
            needs.scores,
            needs.baselines,
            needs.schemas,
            needs.detectors
        ),
        (
            vec!["goal".to_owned()],
            vec!["p50:duration_ms".to_owned()],
            vec!["s".to_owned()],
            vec!["D01".to_owned()]
        )
    );
}

#[test]
fn equal_traces_have_equal_hashes() {
    let hash = content_hash(&booking());
    assert_eq!(content_hash(&booking()), hash);
    let changes: [fn(&mut Story); 4] = [
        |story| story.system.push('!'),
        |story| story.found.push('!'),
        |story| story.answer.push('!'),
        |story| story.tool.push('!'),
    ];
    for change in changes {
        let mut story = Story::default();
        change(&mut story);
        assert_ne!(content_hash(&story.view()), hash);
    }
    let mut held = booking();
    held.reference = Some(json!({"expected": 1}));
    assert_eq!(content_hash(&held), hash, "that is asked by few");
    let mut dear = booking();
    dear.spans[1].told.span.cost = Some(model::NanoUsd(7));
    assert_eq!(content_hash(&dear), hash);
}

#[test]
fn graders_can_be_sent_to_other_threads() {
    fn is_sent<T: Send>(_: &T) {}
    fn is_shared<T: Send + Sync>() {}
    is_shared::<TraceGrader>();
    let (grader, view, context) = (parsed(&rule("true")), booking(), Context::default());
    let (subject, services) = (
        Subject::new(&view, &context),
        grade::trace::Services::default(),
    );
    is_sent(&grader.grade(&subject, &services));
}

#[test]
fn whatever_reads_texts_says_so() {
    let reads =
        |definition: serde_json::Value| TraceGrader::parse(&definition).unwrap().needs().content;
    for check in [
        "tool_errors == 0",
        "duration_ms < 5000 && status == \"success\"",
        "spans[type=function].all(s, s.status == \"success\")",
    ] {
        assert!(!reads(json!({"type": "rule", "check": check})), "{check}");
    }
    for definition in [
        json!({"type": "rule", "check": "final_output.size() > 0"}),
        json!({"type": "rule", "check": "!detector(\"D17\")"}),
        json!({"type": "detector", "detector": "D17"}),
        json!({"type": "trajectory", "metric": "step_efficiency"}),
        json!({"type": "code", "source": "def grade(trace):\n    return 1"}),
    ] {
        assert!(reads(definition.clone()), "{definition}");
    }
}
