//! One judge, one criterion, one trace: what is asked, what the answers mean, what they cost.

use grade::judge::{Budget, Desk};
use grade::openai::{ModelAnswer, ModelError, TokenChances};
use grade::trace::{Halt, Purpose, Services, Subject};
use insight::Context;
use model::{NanoUsd, Outcome, SpanId, UnscoredReason};
use serde_json::{Value, json};

use crate::court::{Court, judgement, notes, parsed, quoting, text, verdict};
use crate::story::{Story, Viewed as _, booking, silent};

fn polite() -> Value {
    json!({"type": "llm", "criteria": "Did the agent ask before it paid?"})
}

#[tokio::test]
async fn a_verdict_comes_with_its_evidence_and_its_price() {
    let court = Court::script(&[verdict("fail")]);
    let graded = court.one(&polite(), &booking()).await;
    let told = &graded.verdict;
    assert_eq!(told.outcome, Outcome::Fail);
    assert_eq!(told.reasoning.as_deref(), Some("it is \"fail\""));
    assert_eq!(told.confidence, Some(0.9));
    let cited: Vec<&str> = told.citations.iter().map(SpanId::as_str).collect();
    assert_eq!(cited, ["f1"]);
    let judge = told.judge.as_ref().unwrap();
    assert_eq!((&*judge.model, judge.cached), ("judge-1", false));
    assert_eq!(
        (
            judge.input_tokens,
            judge.cached_tokens,
            judge.output_tokens,
            judge.cost
        ),
        (Some(10), Some(4), Some(5), Some(NanoUsd(5_000_000)))
    );
    assert_eq!(notes(&graded), json!({"tier": 0}));
    assert_eq!(court.budget.spent(), NanoUsd(5_000_000));
    let exchange = &graded.exchanges[0];
    assert_eq!(
        (graded.exchanges.len(), exchange.purpose),
        (1, Purpose::Verdict)
    );
    assert_eq!(exchange.params, json!({"temperature": 0.0}));
    let asked = &court.judge.asked.lock()[0];
    assert_eq!(asked.messages[0]["role"], "system");
    assert_eq!(
        asked.schema.as_ref().unwrap().1["properties"]["verdict"]["type"],
        "string"
    );
    let user = asked.messages[1]["content"].as_str().unwrap();
    assert!(
        user.contains("HAT045 at 13:00") && user.contains("ask before it paid"),
        "{user}"
    );
}

#[tokio::test]
async fn scores_and_labels_are_held_against_what_passes() {
    let check = async |definition: Value, key: &str, value: Value, outcome, score, label| {
        let court = Court::script(&[judgement(key, &value)]);
        let told = court.one(&definition, &booking()).await.verdict;
        let label: Option<&str> = label;
        assert_eq!(
            (told.outcome, told.score, told.label.as_deref()),
            (outcome, score, label),
            "{definition}"
        );
    };
    let stars = json!({"type": "llm", "criteria": "Rate it (1-5)"});
    check(
        stars.clone(),
        "score",
        json!(4),
        Outcome::Pass,
        Some(4.0),
        None,
    )
    .await;
    check(
        stars.clone(),
        "score",
        json!(3),
        Outcome::Fail,
        Some(3.0),
        None,
    )
    .await;
    check(stars, "score", json!(null), Outcome::Unscored, None, None).await;
    let label = json!({"type": "llm", "criteria": "Which?", "labels": ["kind", "rude"], "passing_labels": ["kind"]});
    check(
        label.clone(),
        "label",
        json!("rude"),
        Outcome::Fail,
        None,
        Some("rude"),
    )
    .await;
    check(
        label.clone(),
        "label",
        json!("kind"),
        Outcome::Pass,
        None,
        Some("kind"),
    )
    .await;
    check(label, "label", json!(null), Outcome::Unscored, None, None).await;
    let topic = json!({"type": "llm", "criteria": "Which?", "labels": ["travel", "other"]});
    check(
        topic,
        "label",
        json!("travel"),
        Outcome::Value,
        None,
        Some("travel"),
    )
    .await;
}

#[tokio::test]
async fn the_judge_does_not_know_is_no_fail() {
    let court = Court::script(&[verdict("unknown")]);
    let told = court.one(&polite(), &booking()).await.verdict;
    assert_eq!(told.outcome, Outcome::Unscored);
    assert_eq!(told.unscored_reason, Some(UnscoredReason::Unknown));
    assert_eq!(told.reasoning.as_deref(), Some("it is \"unknown\""));
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_repaired_once() {
    let court = Court::script(&["It passes.".to_owned(), verdict("pass")]);
    let graded = court.one(&polite(), &booking()).await;
    assert_eq!(graded.verdict.outcome, Outcome::Pass);
    let purposes: Vec<Purpose> = graded.exchanges.iter().map(|it| it.purpose).collect();
    assert_eq!(purposes, [Purpose::Verdict, Purpose::Repair]);
    assert!(
        court
            .last_message(1)
            .contains("the reply holds no JSON object")
    );
    // Both calls were paid for.
    assert_eq!(court.budget.spent(), NanoUsd(10_000_000));
    assert_eq!(graded.verdict.judge.unwrap().output_tokens, Some(10));

    let court = Court::script(&[judgement("verdict", &json!("passed"))]);
    let told = court.one(&polite(), &booking()).await.verdict;
    assert_eq!(told.unscored_reason, Some(UnscoredReason::Parse));
    assert_eq!(court.count(), 2);
}

#[tokio::test]
async fn a_fail_needs_evidence_that_is_there() {
    let invented = quoting("verdict", &json!("fail"), "s3", "HAT999");
    let court = Court::script(&[invented.clone(), verdict("fail")]);
    let graded = court.one(&polite(), &booking()).await;
    assert_eq!(graded.verdict.outcome, Outcome::Fail);
    assert_eq!(graded.exchanges[1].purpose, Purpose::Evidence);

    let court = Court::script(std::slice::from_ref(&invented));
    let told = court.one(&polite(), &booking()).await.verdict;
    assert_eq!(told.unscored_reason, Some(UnscoredReason::NoEvidence));
    assert_eq!(court.count(), 2);

    // A pass may stand without.
    let court = Court::script(&[quoting("verdict", &json!("pass"), "s3", "HAT999")]);
    let graded = court.one(&polite(), &booking()).await;
    assert_eq!((graded.verdict.outcome, court.count()), (Outcome::Pass, 1));
    assert_eq!(notes(&graded)["dropped_citations"], 1);
}

#[tokio::test]
async fn failures_of_the_judge_are_told_apart() {
    let check = async |error: ModelError, reason: UnscoredReason| {
        let court = Court::of(move |_, _| Err(error.clone()));
        let told = court.one(&polite(), &booking()).await.verdict;
        assert_eq!(
            (told.outcome, told.unscored_reason),
            (Outcome::Unscored, Some(reason))
        );
        assert_eq!(court.budget.spent(), NanoUsd(0));
    };
    check(
        ModelError::Unavailable("503".into()),
        UnscoredReason::Provider,
    )
    .await;
    check(ModelError::Filtered("hate".into()), UnscoredReason::Refusal).await;
    check(ModelError::Absent, UnscoredReason::NoJudge).await;

    let refuses = ModelAnswer {
        refusal: Some("I will not".to_owned()),
        ..text("")
    };
    let court = Court::of(move |_, _| Ok(refuses.clone()));
    let told = court.one(&polite(), &booking()).await.verdict;
    assert_eq!(told.unscored_reason, Some(UnscoredReason::Refusal));
    assert!(told.reasoning.unwrap().contains("I will not"));

    let court = Court::of(|_, _| Err(ModelError::Refused("401: no such key".into())));
    let halted = court.grade(&polite(), &booking()).await.unwrap_err();
    assert!(
        matches!(&halted, Halt::Terminal(why) if why.contains("no such key")),
        "{halted}"
    );
}

#[tokio::test]
async fn the_run_ends_at_its_cap_and_where_nothing_has_a_price() {
    let court = Court::script(&[verdict("pass")]);
    let services = court.services();
    let budget = Budget::new(NanoUsd(10), NanoUsd(0));
    let poor = Services {
        desk: services.desk.map(|desk| Desk {
            budget: &budget,
            ..desk
        }),
        ..services
    };
    let (view, context) = (booking(), Context::default());
    let subject = Subject::new(&view, &context);
    let halted = parsed(&polite()).grade(&subject, &poor).await.unwrap_err();
    assert!(matches!(halted, Halt::Budget(_)), "{halted}");

    let mut unpriced = polite();
    unpriced["model"] = "nobody".into();
    let halted = parsed(&unpriced)
        .grade(&subject, &services)
        .await
        .unwrap_err();
    assert!(matches!(&halted, Halt::Terminal(why) if why.contains("`nobody` has no price")));
    assert_eq!(court.count(), 0);
}

#[tokio::test]
async fn a_judgement_counts_in_the_next_run_and_is_made_anew_in_the_next_attempt() {
    let court = Court::script(&[verdict("pass"), verdict("fail")]);
    let view = booking();
    let in_run = |run_seed, attempt| Subject {
        run_seed,
        attempt,
        ..Subject::new(&view, &court.context)
    };
    let grade = async |subject| {
        court
            .grade_subject(&polite(), &subject)
            .await
            .unwrap()
            .remove(0)
            .verdict
    };
    let first = grade(in_run("a", 1)).await;
    let second = grade(in_run("b", 1)).await;
    assert_eq!(
        (first.outcome, second.outcome, court.count()),
        (Outcome::Pass, Outcome::Pass, 1)
    );
    let judge = second.judge.unwrap();
    assert_eq!((judge.cached, judge.cost), (true, Some(NanoUsd(0))));
    let third = grade(in_run("b", 2)).await;
    assert_eq!((third.outcome, court.count()), (Outcome::Fail, 2));
    // Another trace, another criterion and another judge are other work.
    let other = Story {
        answer: "No.".to_owned(),
        ..Story::default()
    };
    court.one(&polite(), &other.view()).await;
    court
        .one(&json!({"type": "llm", "criteria": "Other?"}), &view)
        .await;
    let mut judge = polite();
    judge["model"] = "judge-2".into();
    court.one(&judge, &view).await;
    assert_eq!(court.count(), 5);
}

#[tokio::test]
async fn all_questions_about_a_trace_share_a_fence_and_its_order() {
    let court = Court::script(&[verdict("pass")]);
    let view = booking();
    let ask = async |question: &str, run_seed: &str, criteria_per_trace: usize| {
        let subject = Subject {
            run_seed,
            criteria_per_trace,
            ..Subject::new(&view, &court.context)
        };
        let definition = json!({"type": "llm", "criteria": question});
        court.grade_subject(&definition, &subject).await.unwrap();
        court.last_message(court.count() - 1)
    };
    let (a, b) = (
        ask("Was it polite?", "run", 4).await,
        ask("Was it quick?", "run", 4).await,
    );
    let common = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    let trace_ends = a.find("## Criterion").unwrap();
    assert!(
        common > trace_ends,
        "the trace is a prefix of both: {common} {trace_ends}"
    );
    let few = ask("Was it new?", "run", 3).await;
    assert!(few.find("## Criterion") < few.find("## Trace"));
    let other = ask("Was it other?", "another run", 3).await;
    let nonce = |text: &str| text.split("<data-").nth(1).unwrap()[..12].to_owned();
    assert_eq!(nonce(&a), nonce(&b));
    assert_ne!(nonce(&a), nonce(&other));
}

#[tokio::test]
async fn where_there_is_nothing_to_ask_it_is_told_why() {
    let court = Court::script(&[verdict("pass")]);
    let told = court.one(&polite(), &silent()).await.verdict;
    assert_eq!(told.unscored_reason, Some(UnscoredReason::NoContent));
    assert!(
        told.reasoning
            .unwrap()
            .contains("record with our trace processor")
    );

    let (view, context) = (booking(), Context::default());
    let subject = Subject::new(&view, &context);
    for services in [
        Services::default(),
        Services {
            model: None,
            ..court.services()
        },
    ] {
        let told = parsed(&polite())
            .grade(&subject, &services)
            .await
            .unwrap()
            .remove(0)
            .verdict;
        assert_eq!(told.unscored_reason, Some(UnscoredReason::NoJudge));
        assert!(told.reasoning.unwrap().contains("OPENAI_API_KEY"));
    }
    let missing =
        json!({"type": "llm", "criteria": "Right?", "reference": "{{item.reference.answer}}"});
    assert!(parsed(&missing).needs().reference);
    let told = court.one(&missing, &view).await.verdict;
    assert_eq!(told.unscored_reason, Some(UnscoredReason::MissingVariable));
    assert!(told.reasoning.unwrap().contains("item.reference.answer"));
    assert_eq!(court.count(), 0);
}

#[tokio::test]
async fn references_inputs_and_examples_reach_the_judge() {
    let court = Court::script(&[verdict("pass")]);
    let mut view = booking();
    view.reference = Some(json!({"answer": "HAT045 is booked"}));
    let definition = json!({
        "type": "llm", "question": "Right?", "pass_when": "it is booked", "policy": "Ask first.",
        "reference": "{{item.reference.answer}}",
        "inputs": {"goal": "{original_message}", "trace": "{trace}"},
        "examples": [{"excerpt": "pay ok", "reasoning": "unasked", "decision": "fail"}],
    });
    court.one(&definition, &view).await;
    let asked = court.last_message(0);
    for words in [
        "HAT045 is booked",
        "Ask first.",
        "it is booked",
        "unasked",
        "goal:",
        "from SFO",
    ] {
        assert!(asked.contains(words), "{words}: {asked}");
    }
    // The trace stands there once, whatever the inputs say.
    assert_eq!(asked.matches("[s3").count(), 1, "{asked}");
    assert!(!asked.contains("as shown under"));
}

#[tokio::test]
async fn a_score_is_the_mean_of_what_the_judge_hesitates_between() {
    let words = judgement("score", &json!(4));
    let court = Court::of(move |_, _| {
        let (before, after) = words.split_once(":4,").unwrap();
        let token = |token: &str, top: &[(&str, f64)]| TokenChances {
            token: token.to_owned(),
            top: top
                .iter()
                .map(|(text, chance)| ((*text).to_owned(), chance.ln()))
                .collect(),
        };
        Ok(ModelAnswer {
            logprobs: vec![
                token(&format!("{before}:"), &[]),
                token("4", &[("4", 0.5), ("3", 0.5)]),
                token(&format!(",{after}"), &[]),
            ],
            ..text(&words)
        })
    });
    let mut definition = json!({"type": "llm", "criteria": "Rate it (1-5)", "logprobs": true});
    let graded = court.one(&definition, &booking()).await;
    // Chosen was a 4, which passes; on average it is a 3.5.
    assert!((graded.verdict.score.unwrap() - 3.5).abs() < 1e-9);
    assert_eq!(graded.verdict.outcome, Outcome::Fail);
    assert_eq!(notes(&graded)["chosen"], "4");
    assert_eq!(graded.exchanges[0].params["top_logprobs"], 20);
    definition["logprobs"] = false.into();
    definition["criteria"] = "Rate it all (1-5)".into();
    let graded = court.one(&definition, &booking()).await;
    assert_eq!(graded.exchanges[0].params.get("logprobs"), None);
}

#[tokio::test]
async fn a_judge_of_the_graded_models_family_is_warned_of() {
    let view = Story {
        model: "judge-0".to_owned(),
        ..Story::default()
    }
    .view();
    let court = Court::script(&[verdict("pass")]);
    let graded = court.one(&polite(), &view).await;
    assert_eq!(
        notes(&graded)["warning"],
        "the judge judge-1 is of the family of judge-0"
    );
}

#[test]
fn what_it_will_cost_is_estimated() {
    let court = Court::script(&[]);
    let (view, context) = (booking(), Context::default());
    let subject = Subject::new(&view, &context);
    let estimate = |definition: Value| parsed(&definition).estimate(&subject, &court.services());
    // An answer is thought to take 1000 tokens; reading costs nothing here.
    let one = NanoUsd(1_000_000_000);
    assert_eq!(estimate(polite()), Some(one));
    let panel =
        json!({"type": "llm", "criteria": "?", "judges": ["judge-1", "judge-2", "judge-3"]});
    assert_eq!(estimate(panel), Some(NanoUsd(3 * one.0)));
    let repeated = json!({"type": "llm", "criteria": "?", "samples": 4, "samples_share": 1});
    assert_eq!(estimate(repeated), Some(NanoUsd(4 * one.0)));
    let each = json!({"type": "llm", "criteria": "?", "focus": "spans", "per": "span"});
    assert_eq!(estimate(each), Some(NanoUsd(4 * one.0)));
    let nobody = json!({"type": "llm", "criteria": "?", "model": "nobody"});
    assert_eq!(estimate(nobody), None);
    assert_eq!(
        estimate(json!({"type": "rule", "check": "true"})),
        Some(NanoUsd(0))
    );
    let message = json!({"role": "user", "content": "{{trace}}"});
    let row = json!({"type": "score_model", "input": [message]});
    assert_eq!(estimate(row.clone()), Some(one));
    let multi =
        json!({"type": "multi", "graders": {"a": polite(), "b": row}, "calculate_output": "a + b"});
    assert_eq!(estimate(multi), Some(NanoUsd(2 * one.0)));
    assert_eq!(
        parsed(&polite()).estimate(&subject, &Services::default()),
        None
    );
}
