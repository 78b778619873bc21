//! Judges that see two traces.

use grade::trace::{Counterpart, Graded, Subject, TraceGrader};
use insight::TraceView;
use model::{SpanType, TraceId};
use serde_json::{Value, json};

use crate::court::{Court, parsed, text};
use crate::story::{said, span, view};

/// A trace of one question and one answer.
fn answering(answer: &str) -> TraceView {
    let mut asks = span("g1", "", SpanType::Generation, "gpt-5", 0, 9);
    asks.input = vec![said("user", "When is the shop open?")];
    asks.output = vec![said("assistant", answer)];
    view(vec![asks])
}

fn tie() -> Court {
    Court::of(|_, _| {
        let answer =
            json!({"evidence": [], "reasoning": "so", "verdict": "tie", "confidence": 0.5});
        Ok(text(&answer.to_string()))
    })
}

async fn compared(court: &Court, definition: &Value, own: &TraceView, other: &TraceView) -> Graded {
    let id = TraceId::new("trace_other").unwrap();
    let subject = Subject {
        run_seed: "run",
        counterpart: Some(Counterpart {
            trace_id: &id,
            view: other,
            trace_hash: "",
        }),
        ..Subject::new(own, &court.context)
    };
    let graded = court.grade_subject(definition, &subject).await;
    graded.unwrap().remove(0)
}

#[tokio::test]
async fn a_pair_is_known_the_other_way_round_unless_something_else_is_asked() {
    let (nine, ten) = (answering("At nine."), answering("At ten."));
    let mut definition = json!({"type": "llm", "pairwise": true, "criteria": "Which is better?"});
    let court = tie();
    compared(&court, &definition, &nine, &ten).await;
    assert_eq!(court.count(), 2);
    let again = compared(&court, &definition, &ten, &nine).await;
    assert_eq!(
        (court.count(), again.verdict.label.as_deref()),
        (2, Some("tie"))
    );
    // What would have been right is known of the graded trace: then it is another question.
    definition["reference"] = json!("{{item.reference}}");
    let known = |answer: &str| {
        let mut view = answering(answer);
        view.reference = Some(json!("It opens at nine."));
        view
    };
    compared(&court, &definition, &known("At nine."), &ten).await;
    assert_eq!(court.count(), 4);
    compared(&court, &definition, &known("At ten."), &nine).await;
    assert_eq!(court.count(), 6);
}

#[tokio::test]
async fn each_of_two_traces_has_room_enough() {
    let of = |tokens: u32| json!({"type": "llm", "pairwise": true, "criteria": "Which is better?", "budget_tokens": tokens});
    let problems = TraceGrader::parse(&of(1_999)).unwrap_err().to_string();
    assert!(problems.contains("write 2000 to"), "{problems}");
    parsed(&of(2_000));
    let (nine, ten) = (answering("At nine."), answering("At ten."));
    let graded = compared(&tie(), &of(2_000), &nine, &ten).await;
    assert_eq!(graded.verdict.label.as_deref(), Some("tie"), "{graded:?}");
}
