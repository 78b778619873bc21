//! Runs as strings of events, which one of the detectors reads.

use super::{Run, fail};
use crate::{ArgumentClass, events};

fn words(run: &Run, arguments: ArgumentClass) -> Vec<String> {
    let all = events(&run.view(), arguments);
    all.iter().map(crate::Event::word).collect()
}

#[test]
fn every_step_is_an_event_and_runs_of_one_are_one() {
    let run = Run::new()
        .call("search", r#"{"q":1}"#, "x")
        .call("search", r#"{"q":2}"#, "x")
        .fails("book:now", "{}", "E17")
        .handoff("A", "Billing")
        .guard("pii", true)
        .guard("pii", false)
        .says("so it is")
        .says("cut")
        .with(|span| span.span.finish_reason = Some("length".to_owned()))
        .says("failed")
        .with(|span| fail(span, "timeout", "gone"));
    assert_eq!(
        words(&run, ArgumentClass::Left),
        [
            "agent:A",
            "tool:search:ok+",
            "tool:book_now:err[tool_error]",
            "handoff:A→Billing",
            "guard:pii:trip",
            "guard:pii:ok",
            "gen:answer",
            "gen:length",
            "gen:err[timeout]",
        ]
    );
}

#[test]
fn arguments_part_events_by_what_they_mean() {
    let run = Run::new()
        .call("search", r#"{"a":1,"b":2}"#, "x")
        .call("search", r#"{"b":2.0,"a":1}"#, "y")
        .call("search", r#"{"a":1}"#, "x");
    let events = events(&run.view(), ArgumentClass::Hashed);
    let counts: Vec<u32> = events.iter().map(|event| event.count).collect();
    assert_eq!(counts, [1, 2, 1]);
    assert!(events[1].label.starts_with("tool:search:ok:#"));
    assert_ne!(events[1].label, events[2].label);
    assert_eq!((events[1].first, events[1].last), (2, 4));
    assert_eq!(events[1].short(), "tool:search:ok");
}

#[test]
fn hostile_names_do_not_part_events_and_have_an_end() {
    let run = Run::new().call(&format!("a:b+\n{}", "é".repeat(100)), "{}", "x");
    let words = words(&run, ArgumentClass::Left);
    assert_eq!(words[1], format!("tool:a_b_ {}:ok", "é".repeat(55)));
}
