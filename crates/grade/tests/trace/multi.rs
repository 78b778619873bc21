//! Formulas over graders.

use grade::GraderScale;
use grade::trace::Costs;
use model::{Outcome, UnscoredReason};
use serde_json::{Value, json};

use crate::court::{Court, judgement, parsed, text, verdict};
use crate::story::{booking, silent};

fn multi(graders: Value, formula: &str) -> Value {
    json!({"type": "multi", "graders": graders, "calculate_output": formula})
}

#[tokio::test]
async fn questions_are_asked_one_by_one_and_put_together() {
    let court = Court::of(|request, _| {
        let user = request.messages[1]["content"].as_str().unwrap();
        let said = match user.contains("Rate it") {
            true => judgement("score", &json!(4)),
            false => verdict("pass"),
        };
        Ok(text(&said))
    });
    let mut definition = multi(
        json!({
            "goal": {"type": "llm", "criteria": "Reached?"},
            "stars": {"type": "llm", "criteria": "Rate it (1-5)"},
            "fast": {"type": "rule", "check": "duration_ms < 5000 && score(\"stars\") >= 4"},
        }),
        "(goal + stars / 5 + fast) / 3",
    );
    let grader = parsed(&definition);
    assert_eq!((grader.criteria(), grader.cost()), (2, Costs::Judge));
    assert!(grader.needs().scores.is_empty() && grader.needs().content);
    let graded = court.one(&definition, &booking()).await;
    let told = &graded.verdict;
    assert!((told.score.unwrap() - 2.8 / 3.0).abs() < 1e-12, "{told:?}");
    assert_eq!(told.outcome, Outcome::Value);
    assert_eq!(
        told.reasoning.as_deref(),
        Some("goal = 1, stars = 4, fast = 1")
    );
    assert_eq!(told.judge.as_ref().unwrap().output_tokens, Some(10));
    assert_eq!(graded.scores["stars"], 4.0);
    assert_eq!(graded.exchanges.len(), 2);
    definition["pass_threshold"] = json!(0.95);
    assert_eq!(
        court.one(&definition, &booking()).await.verdict.outcome,
        Outcome::Fail
    );
    assert_eq!(
        parsed(&definition).scale(),
        GraderScale::Number {
            low: None,
            high: None,
            pass_threshold: Some(0.95)
        }
    );
}

#[tokio::test]
async fn a_part_without_a_verdict_leaves_the_whole_without_one() {
    let graders = json!({
        "goal": {"type": "llm", "criteria": "Reached?"},
        "calm": {"type": "rule", "check": "tool_errors == 0"},
        "cheap": {"type": "rule", "check": "total_cost_usd < 1"},
    });
    let check = async |formula: &str, outcome, reason, words: &str| {
        let court = Court::script(&[verdict("pass")]);
        let told = court
            .one(&multi(graders.clone(), formula), &silent())
            .await
            .verdict;
        assert_eq!(
            (told.outcome, told.unscored_reason),
            (outcome, reason),
            "{formula}"
        );
        assert!(
            told.reasoning.as_deref().unwrap().contains(words),
            "{told:?}"
        );
    };
    let no_content = Some(UnscoredReason::NoContent);
    check(
        "goal + calm + cheap",
        Outcome::Unscored,
        no_content,
        "`goal`: ",
    )
    .await;
    check("calm + cheap", Outcome::NotApplicable, None, "`cheap`: ").await;
    check("calm + 1", Outcome::Value, None, "calm = 0").await;
    check(
        "1 / calm",
        Outcome::Unscored,
        Some(UnscoredReason::Code),
        "",
    )
    .await;
}

#[test]
fn without_judges_it_is_graded_at_once() {
    let graders = json!({
        "late": {"type": "rule", "check": "score(\"first\") == 1 && score(\"second\") == 0"},
        "second": {"type": "rule", "check": "score(\"first\") == 0"},
        "first": {"type": "rule", "check": "tool_errors == 0"},
    });
    let grader = parsed(&multi(graders.clone(), "late"));
    let (view, context) = (booking(), insight::Context::default());
    let subject = grade::trace::Subject::new(&view, &context);
    assert_eq!(grader.grade_now(&subject).unwrap().score, Some(1.0));
    let mut round = graders;
    round["first"]["check"] = "score(\"late\") == 1".into();
    let problems = grade::trace::TraceGrader::parse(&multi(round, "late")).unwrap_err();
    assert!(
        problems.to_string().contains("depends on its own"),
        "{problems}"
    );
}
