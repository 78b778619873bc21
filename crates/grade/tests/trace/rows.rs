//! OpenAI's graders, for which a trace stands for a row.

use grade::openai::{ModelAnswer, ModelError};
use grade::trace::Halt;
use model::{NanoUsd, Outcome, UnscoredReason};
use serde_json::{Value, json};

use crate::court::{Court, text};
use crate::story::{Story, Viewed as _, booking, long, silent};

fn check_text(input: &str, operation: &str, reference: &str) -> Value {
    json!({"type": "string_check", "input": input, "operation": operation, "reference": reference})
}

#[tokio::test]
async fn texts_are_compared() {
    let court = Court::script(&[]);
    let check = async |definition: Value, outcome, reason| {
        let told = court.one(&definition, &booking()).await.verdict;
        assert_eq!(
            (told.outcome, told.unscored_reason),
            (outcome, reason),
            "{definition} {told:?}"
        );
        told
    };
    let answer = "{{ sample.output_text }}";
    check(check_text(answer, "like", "HAT045"), Outcome::Pass, None).await;
    check(check_text(answer, "eq", "HAT045"), Outcome::Fail, None).await;
    check(
        check_text("{{item.tools[0].name}}", "eq", "search_flights"),
        Outcome::Pass,
        None,
    )
    .await;
    check(
        check_text("{{item.spans[2].output}}", "ilike", "hat023"),
        Outcome::Pass,
        None,
    )
    .await;
    let missing = Some(UnscoredReason::MissingVariable);
    check(
        check_text("{{item.tools[4].name}}", "eq", "x"),
        Outcome::Unscored,
        missing,
    )
    .await;
    check(check_text("{{trace}}", "like", "[s3"), Outcome::Pass, None).await;
    let mut like = json!({
        "type": "text_similarity", "input": answer, "reference": "HAT045", "evaluation_metric": "fuzzy_match",
    });
    let told = check(like.clone(), Outcome::Value, None).await;
    assert!(
        told.score.is_some_and(|score| (0.0..0.9).contains(&score)),
        "{told:?}"
    );
    like["pass_threshold"] = json!(0.9);
    check(like.clone(), Outcome::Fail, None).await;
    like["evaluation_metric"] = "cosine".into();
    assert!(check(like, Outcome::Pass, None).await.score.is_some());
    let no_content = court
        .one(
            &check_text("{{sample.output_text}}x", "like", "a"),
            &silent(),
        )
        .await;
    assert_eq!(no_content.verdict.outcome, Outcome::Fail, "{no_content:?}");
}

fn score_model() -> Value {
    let content = "Rate {{item.output}} given {{trace}}";
    json!({"type": "score_model", "input": [{"role": "user", "content": content}], "range": [1, 5]})
}

#[tokio::test]
async fn a_model_scores_and_its_call_is_paid_and_kept() {
    let steps = json!([{"description": "looked", "conclusion": "fine"}]);
    let court = Court::script(&[json!({"steps": steps, "result": 4}).to_string()]);
    let graded = court.one(&score_model(), &booking()).await;
    let told = &graded.verdict;
    assert_eq!((told.outcome, told.score), (Outcome::Pass, Some(4.0)));
    assert_eq!(told.reasoning.as_deref(), Some("looked: fine"));
    assert_eq!(told.judge.as_ref().unwrap().cost, Some(NanoUsd(5_000_000)));
    assert_eq!(
        (graded.exchanges.len(), &*graded.exchanges[0].model),
        (1, "judge-1")
    );
    let asked = court.last_message(0);
    assert!(
        asked.contains("Rate HAT045 leaves at 13:00") && asked.contains("is evidence"),
        "{asked}"
    );
    // The project's judge is asked, and in another run it is not asked again.
    let subject_of = |run_seed| grade::trace::Subject {
        run_seed,
        ..grade::trace::Subject::new(Box::leak(Box::new(booking())), &court.context)
    };
    court
        .grade_subject(&score_model(), &subject_of("other run"))
        .await
        .unwrap();
    assert_eq!(court.count(), 1);
    let other = Story {
        answer: "No.".to_owned(),
        ..Story::default()
    };
    court.one(&score_model(), &other.view()).await;
    assert_eq!(court.count(), 2);
}

#[tokio::test]
async fn a_model_labels() {
    let definition = json!({
        "type": "label_model", "model": "judge-2", "labels": ["kind", "rude"], "passing_labels": ["kind"],
        "input": [{"role": "user", "content": "{{item.input}} {{sample.output_text}}"}],
    });
    let court = Court::script(&[json!({"steps": [], "result": "rude"}).to_string()]);
    let told = court.one(&definition, &booking()).await.verdict;
    assert_eq!(
        (told.outcome, told.label.as_deref(), told.score),
        (Outcome::Fail, Some("rude"), None)
    );
    assert_eq!(court.judge.asked.lock()[0].model, "judge-2");
}

#[tokio::test]
async fn what_goes_wrong_is_no_fail() {
    let check = async |court: Court, reason: UnscoredReason| {
        let told = court.one(&score_model(), &booking()).await.verdict;
        assert_eq!(
            (told.outcome, told.unscored_reason),
            (Outcome::Unscored, Some(reason)),
            "{told:?}"
        );
    };
    check(
        Court::script(&["I think so".to_owned()]),
        UnscoredReason::Parse,
    )
    .await;
    let down = || Court::of(|_, _| Err(ModelError::Unavailable("503".to_owned())));
    check(down(), UnscoredReason::Provider).await;
    let refuses = Court::of(|_, _| {
        Ok(ModelAnswer {
            refusal: Some("no".to_owned()),
            ..text("")
        })
    });
    check(refuses, UnscoredReason::Refusal).await;
    let gone = Court::of(|_, _| Err(ModelError::Refused("404".to_owned())));
    let halted = gone.grade(&score_model(), &booking()).await.unwrap_err();
    assert!(matches!(halted, Halt::Terminal(_)));
    let told = down().one(&score_model(), &silent()).await.verdict;
    assert_eq!(told.unscored_reason, Some(UnscoredReason::NoContent));
}

#[tokio::test]
async fn a_trace_that_is_too_long_is_put_in_smaller() {
    let court = Court::of(|request, _| {
        let asked = request.messages[0]["content"].as_str().unwrap().len();
        match asked > 60_000 {
            true => Err(ModelError::TooLong("it is".to_owned())),
            false => Ok(text(&json!({"steps": [], "result": 2}).to_string())),
        }
    });
    let graded = court.one(&score_model(), &long(30, 6_000)).await;
    assert_eq!(
        (graded.verdict.outcome, graded.exchanges.len()),
        (Outcome::Fail, 1)
    );
}
