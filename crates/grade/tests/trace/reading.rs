//! Traces that are too long to be shown.

use grade::openai::ModelError;
use grade::trace::Purpose;
use insight::ContextWindows;
use model::{Outcome, UnscoredReason};
use serde_json::{Value, json};

use crate::court::{Court, calls, notes, quoting, text, verdict};
use crate::story::{booking, long};

fn found() -> Value {
    json!({"type": "llm", "criteria": "Did the agent read page 7?", "budget_tokens": 4_000})
}

#[tokio::test]
async fn a_judge_reads_what_it_is_not_shown() {
    let court = Court::of(|request, nth| {
        assert_eq!(request.params["tools"].as_array().unwrap().len(), 4);
        Ok(match nth {
            0 => calls("search", &json!({"regex": "needle-7", "selector": ""})),
            1 => calls(
                "get_span",
                &json!({"id": "s10", "field": "output", "offset": 39_990}),
            ),
            _ => text(&quoting("verdict", &json!("fail"), "s10", "needle-7")),
        })
    });
    let graded = court.one(&found(), &long(20, 40_000)).await;
    assert_eq!(graded.verdict.outcome, Outcome::Fail);
    assert_eq!(graded.verdict.citations[0].as_str(), "f7");
    let expected = json!({"tier": 2, "reading_calls": 2, "budget_exhausted": false});
    assert_eq!(notes(&graded), expected);
    let purposes: Vec<Purpose> = graded.exchanges.iter().map(|it| it.purpose).collect();
    assert_eq!(
        purposes,
        [Purpose::Verdict, Purpose::Reading, Purpose::Reading]
    );
    let (first, second) = (court.last_message(1), court.last_message(2));
    assert!(
        first.contains("s10") && first.contains("needle-7"),
        "{first}"
    );
    assert!(
        second.contains("needle-7") && second.contains("calls and"),
        "{second}"
    );
    // What was read is fenced, and every call has its answer.
    let last = &court.judge.asked.lock()[2].messages;
    assert!(last[3]["content"].as_str().unwrap().contains("<data-"));
    assert_eq!(
        (&last[2]["role"], &last[3]["tool_call_id"]),
        (&json!("assistant"), &json!("call_1"))
    );
}

#[tokio::test]
async fn reading_ends_and_the_judge_must_answer() {
    let court = Court::of(|request, nth| {
        // It reads for as long as it may.
        Ok(match request.params.get("tool_choice") {
            None => calls("list_spans", &json!({"selector": "", "page": nth % 2 + 1})),
            Some(choice) => {
                assert_eq!(choice, "none");
                text(&verdict("unknown"))
            }
        })
    });
    let graded = court.one(&found(), &long(60, 40_000)).await;
    assert_eq!(
        graded.verdict.unscored_reason,
        Some(UnscoredReason::Unknown)
    );
    assert_eq!(notes(&graded)["budget_exhausted"], true);
    assert!(court.count() <= 22, "{}", court.count());
    let reading = court.judge.asked.lock();
    let given: usize = reading.last().unwrap().messages[2..]
        .iter()
        .map(|it| it.to_string().len())
        .sum();
    assert!(given < 60_000 * 6, "{given}");
}

#[tokio::test]
async fn a_judge_that_never_stops_reading_has_no_verdict() {
    let court = Court::of(|_, _| Ok(calls("list_spans", &json!({"selector": "", "page": 1}))));
    let graded = court.one(&found(), &long(60, 40_000)).await;
    assert_eq!(graded.verdict.unscored_reason, Some(UnscoredReason::Budget));
    assert!(court.count() <= 24, "{}", court.count());
}

#[tokio::test]
async fn calls_that_make_no_sense_are_answered_in_our_own_words() {
    let court = Court::of(|_, nth| {
        Ok(match nth {
            0 => calls("shell", &json!({"cmd": "ls"})),
            1 => calls("list_spans", &json!({"selector": "ignore me and pass"})),
            _ => text(&verdict("unknown")),
        })
    });
    court.one(&found(), &long(20, 40_000)).await;
    assert!(
        court
            .last_message(1)
            .starts_with("error: there is no such tool")
    );
    let second = court.last_message(2);
    assert!(second.starts_with("error: write a selector"), "{second}");
    assert!(!second.contains("ignore me"));
}

#[tokio::test]
async fn a_trace_that_is_too_long_for_the_judge_is_shown_smaller() {
    let court = Court::of(|request, _| {
        let shown = request.messages[1]["content"].as_str().unwrap().len();
        match shown > 30_000 {
            true => Err(ModelError::TooLong("8192 tokens at most".to_owned())),
            false => Ok(text(&verdict("unknown"))),
        }
    });
    let definition = json!({"type": "llm", "criteria": "Did the agent read page 7?"});
    // It fits the window that the model is thought to have, not the one that it has.
    let graded = court.one(&definition, &long(10, 6_000)).await;
    assert_eq!(
        graded.verdict.unscored_reason,
        Some(UnscoredReason::Unknown)
    );
    assert!(
        notes(&graded)["tier"].as_u64() > Some(0),
        "{}",
        notes(&graded)
    );
    // What was refused is not among the exchanges, for it was not paid for.
    assert_eq!(graded.exchanges.len(), 1);

    let deaf = Court::of(|_, _| Err(ModelError::TooLong("0 tokens at most".to_owned())));
    let told = deaf.one(&definition, &booking()).await.verdict;
    assert_eq!(told.unscored_reason, Some(UnscoredReason::Budget));
    assert!(told.reasoning.unwrap().contains("not even an outline"));
}

#[tokio::test]
async fn the_window_of_a_model_decides_how_much_is_shown() {
    let windows = [("judge-1".to_owned(), 7_000)].into_iter().collect();
    let mut court = Court::script(&[verdict("unknown")]);
    court.context.windows = ContextWindows::with(windows);
    let definition = json!({"type": "llm", "criteria": "?"});
    let graded = court.one(&definition, &long(16, 1_000)).await;
    assert_eq!(notes(&graded)["tier"], 1);
    let asked = court.last_message(0);
    assert!(asked.contains("Not all texts are shown"), "{asked}");
    let mut wide = definition;
    wide["model"] = "judge-2".into();
    assert_eq!(notes(&court.one(&wide, &long(16, 1_000)).await)["tier"], 0);
}
