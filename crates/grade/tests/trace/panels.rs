//! Several judges, and one judge held against itself.

use grade::openai::ModelError;
use model::{Outcome, UnscoredReason};
use serde_json::{Value, json};

use crate::court::{Court, judgement, notes, text, verdict};
use crate::story::booking;

fn panel(criteria: &str) -> Value {
    json!({"type": "llm", "criteria": criteria, "judges": ["judge-1", "judge-2", {"model": "judge-3"}]})
}

/// A court in which each judge says its own; none is silent.
fn court(key: &'static str, said: [Option<Value>; 3]) -> Court {
    Court::of(move |request, _| {
        let nth = usize::from(request.model.as_bytes()[6] - b'1');
        match &said[nth] {
            Some(value) => Ok(text(&judgement(key, value))),
            None => Err(ModelError::Unavailable("503".to_owned())),
        }
    })
}

#[tokio::test]
async fn labels_go_by_majority() {
    let check = async |said: [Option<&str>; 3], outcome, reason, agreement: Value| {
        let court = court("verdict", said.map(|word| word.map(Value::from)));
        let graded = court.one(&panel("Good?"), &booking()).await;
        assert_eq!(
            (graded.verdict.outcome, graded.verdict.unscored_reason),
            (outcome, reason)
        );
        let notes = notes(&graded);
        assert_eq!(notes["agreement"], agreement, "{notes}");
        assert_eq!(notes["votes"].as_array().unwrap().len(), 3);
        assert_eq!(court.count(), 3);
        graded
    };
    let (pass, fail, unknown) = (Some("pass"), Some("fail"), Some("unknown"));
    let third = json!(1.0 / 3.0);

    let graded = check([pass, fail, pass], Outcome::Pass, None, third.clone()).await;
    assert_eq!(
        graded.verdict.judge.unwrap().model,
        "judge-1, judge-2, judge-3"
    );
    assert_eq!(graded.verdict.reasoning.as_deref(), Some("it is \"pass\""));
    let graded = check([fail, fail, None], Outcome::Fail, None, json!(1.0)).await;
    assert_eq!(notes(&graded)["votes"], json!(["fail", "fail", null]));
    let split = Some(UnscoredReason::Unknown);
    check([pass, fail, unknown], Outcome::Unscored, split, json!(0.0)).await;
    check([pass, fail, None], Outcome::Unscored, split, json!(0.0)).await;
    check([unknown, pass, unknown], Outcome::Unscored, split, third).await;
    let court = court("verdict", [None, None, None]);
    let told = court.one(&panel("Good?"), &booking()).await.verdict;
    assert_eq!(
        (told.unscored_reason, told.judge),
        (Some(UnscoredReason::Provider), None)
    );
}

#[tokio::test]
async fn scores_have_a_median() {
    let check = async |said: [Option<i64>; 3], outcome, score: Option<f64>| {
        let court = court(
            "score",
            said.map(|score| {
                score.map(|score| {
                    if score == 0 {
                        Value::Null
                    } else {
                        score.into()
                    }
                })
            }),
        );
        let told = court.one(&panel("Rate it (1-5)"), &booking()).await.verdict;
        assert_eq!((told.outcome, told.score), (outcome, score), "{said:?}");
    };
    check([Some(5), Some(1), Some(4)], Outcome::Pass, Some(4.0)).await;
    check([Some(5), Some(2), None], Outcome::Fail, Some(3.5)).await;
    // One who knows does not outvote two who do not.
    check([Some(5), Some(0), Some(0)], Outcome::Unscored, None).await;
}

#[tokio::test]
async fn one_judge_is_held_against_itself_on_a_share_of_the_traces() {
    let court = Court::of(|request, nth| {
        let is_warm = request.params["temperature"] == 1.0;
        assert_eq!(is_warm, nth > 0);
        Ok(text(&verdict(if nth == 1 { "fail" } else { "pass" })))
    });
    let all = json!({"type": "llm", "criteria": "Good?", "samples": 3, "samples_share": 1});
    let graded = court.one(&all, &booking()).await;
    // The first counts; the others measure.
    assert_eq!(graded.verdict.outcome, Outcome::Pass);
    assert_eq!(notes(&graded)["samples"], json!(["pass", "fail", "pass"]));
    assert_eq!(court.count(), 3);
    let none = json!({"type": "llm", "criteria": "Good?", "samples": 3, "samples_share": 0});
    let court = Court::script(&[verdict("pass")]);
    let graded = court.one(&none, &booking()).await;
    assert_eq!((court.count(), notes(&graded).get("samples")), (1, None));
}
