//! Graders that are about some spans.

use grade::trace::Subject;
use model::{Outcome, SpanId, UnscoredReason};
use serde_json::json;

use crate::court::{Court, judgement, quoting, text, verdict};
use crate::story::{booking, long, silent};

#[tokio::test]
async fn a_focus_shows_its_spans_and_gives_one_verdict() {
    let court = Court::script(&[judgement("score", &json!(5))]);
    let definition = json!({"type": "llm", "criteria": "Rate tool usage (1-5)", "focus": "spans[type=function]"});
    let graded = court.one(&definition, &booking()).await;
    assert_eq!(
        (graded.verdict.outcome, &graded.span_id),
        (Outcome::Pass, &None)
    );
    let asked = court.last_message(0);
    assert!(
        asked.contains("HAT045 at 13:00") && !asked.contains("Shall I book it?"),
        "{asked}"
    );

    let none =
        json!({"type": "llm", "criteria": "Rate handoffs (1-5)", "focus": "spans[type=handoff]"});
    let told = court.one(&none, &booking()).await.verdict;
    assert_eq!((told.outcome, court.count()), (Outcome::NotApplicable, 1));
    assert!(told.reasoning.unwrap().contains("spans[type=handoff]"));
}

#[tokio::test]
async fn each_span_may_have_a_verdict_of_its_own() {
    // Each question shows one page only.
    let court = Court::of(|request, _| {
        let asked = request.messages[1]["content"].as_str().unwrap();
        let nth = (0..3)
            .find(|nth| asked.contains(&format!("needle-{nth}")))
            .unwrap();
        let word = if nth == 1 { "fail" } else { "pass" };
        let span = format!("s{}", nth + 3);
        Ok(text(&quoting(
            "verdict",
            &json!(word),
            &span,
            &format!("needle-{nth}"),
        )))
    });
    let definition = json!({
        "type": "llm", "criteria": "Was the page worth reading?", "focus": "calls(\"read_page\")", "per": "span",
    });
    let graded = court.grade(&definition, &long(3, 100)).await.unwrap();
    let told: Vec<_> = graded
        .iter()
        .map(|one| (one.span_id.as_ref().unwrap().as_str(), one.verdict.outcome))
        .collect();
    assert_eq!(
        told,
        [
            ("f0", Outcome::Pass),
            ("f1", Outcome::Fail),
            ("f2", Outcome::Pass)
        ]
    );
    assert_eq!(graded[1].verdict.citations, [SpanId::new("f1").unwrap()]);
    assert_eq!(court.count(), 3);
    // Each has its place in the cache.
    court.grade(&definition, &long(3, 100)).await.unwrap();
    assert_eq!(court.count(), 3);
}

#[tokio::test]
async fn no_more_than_a_hundred_spans_are_judged_one_by_one() {
    let court = Court::script(&[verdict("unknown")]);
    let definition =
        json!({"type": "llm", "criteria": "?", "focus": "calls(\"read_page\")", "per": "span"});
    let graded = court.grade(&definition, &long(102, 10)).await.unwrap();
    assert_eq!((graded.len(), court.count()), (102, 100));
    assert_eq!(
        graded[101].verdict.unscored_reason,
        Some(UnscoredReason::Budget)
    );
    assert_eq!(graded[101].span_id, Some(SpanId::new("f101").unwrap()));
}

#[tokio::test]
async fn a_focus_may_ask_detectors() {
    let court = Court::script(&[verdict("pass")]);
    let definition = json!({
        "type": "llm", "criteria": "?", "focus": "spans.filter(s, s.status == \"error\" || detector(\"D99\"))",
    });
    assert!(grade::trace::TraceGrader::parse(&definition).is_err());
    let definition = json!({
        "type": "llm", "criteria": "?", "focus": "spans.filter(s, s.status == \"error\" && !detector(\"D01\"))",
    });
    let view = silent();
    let subject = Subject::new(&view, &court.context);
    let told = court
        .grade_subject(&definition, &subject)
        .await
        .unwrap()
        .remove(0)
        .verdict;
    assert_eq!(told.unscored_reason, Some(UnscoredReason::NoContent));
    assert_eq!(
        court.one(&definition, &booking()).await.verdict.outcome,
        Outcome::NotApplicable
    );
}
