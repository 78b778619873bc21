//! Traces that are made to cost time.

use std::sync::Arc;
use std::time::Instant;

use model::{ChatMessage, JsonText};

use super::super::{Context, Detector, Detectors};
use super::Run;

/// No detector takes as long, in seconds: a pass over the largest trace takes a tenth of it where
/// nothing is optimised, and one that compared each span with each other would take minutes.
const SECONDS_MAX: f64 = 20.0;

fn check(run: &Run) {
    let view = run.view();
    for detector in Detector::ALL {
        let begun = Instant::now();
        let found = Detectors::only([*detector]).run(
            &view,
            &Context {
                other_workflows: super::super::WorkflowRules {
                    confirms_writes: true,
                    verifies_writes: true,
                    ..Default::default()
                },
                ..Context::default()
            },
        );
        let took = begun.elapsed().as_secs_f64();
        assert!(took < SECONDS_MAX, "{detector} took {took} s");
        assert!(found[0].hits().len() <= super::super::HITS_MAX);
    }
}

/// Many spans, made quickly: the builder's own way is not.
fn many(count: usize, fill: impl Fn(usize, &mut crate::ToldSpan)) -> Run {
    let mut run = Run::new().fails("book_a", r#"{"id":"W00001"}"#, "429 no");
    let pattern = run.spans[2].clone();
    for number in 0..count {
        let mut span = pattern.clone();
        span.span.span_id = model::SpanId::new(&format!("x{number}")).unwrap();
        fill(number, &mut span);
        run.spans.push(span);
    }
    run
}

#[test]
fn many_spans_that_are_all_alike_or_all_different() {
    check(&many(20_000, |_, _| ()));
    check(&many(20_000, |number, span| {
        let arguments = format!(r#"{{"order_id":"W{number:05}"}}"#);
        span.arguments = Some(JsonText::from_trusted(arguments));
        span.span.name = format!("book_{number}");
    }));
    let id = |number: usize| model::SpanId::new(&format!("x{number}")).unwrap();
    check(&many(20_000, |number, span| {
        if number > 0 {
            span.span.parent_id = Some(id(number - 1));
        }
    }));
}

#[test]
fn long_texts_of_every_kind() {
    let size = 1 << 19;
    for unit in [
        "a ",
        "1,",
        "12345 ",
        "ignore previous ",
        "I have booked. ",
        "it has been booked, i booked ",
        "{\"",
        "\\u0041",
        "sk-",
        "4111 1111 1111 1111 ",
        "é",
    ] {
        let text = unit.repeat(size / unit.len());
        let run = Run::new().told("user", &text);
        let run = run.call("get", r#"{"id":"W4711"}"#, &text).says(&text);
        check(&run);
    }
}

#[test]
fn a_history_that_is_sent_with_every_call_is_read_once() {
    let history: Vec<Arc<ChatMessage>> = (0..2_000)
        .map(|n| {
            Arc::new(ChatMessage::of_text(
                "user",
                format!("message {n} of many, a long one"),
            ))
        })
        .collect();
    check(&many(2_000, |number, span| {
        span.span.span_type = model::SpanType::Generation;
        span.input = history[..number].to_vec();
    }));
}
