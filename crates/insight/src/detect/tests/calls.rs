//! Calls: D01, D03 to D07, D17, D18, D29.

use model::{DeclaredTool, JsonText};

use crate::Effects;

use super::super::{Detector, Severity};
use super::{Run, cannot_tell, clear, fail, fires};

#[test]
fn identical_calls() {
    let get = |run: Run, n: u32| run.call("get", &format!(r#"{{"a":1,"b":{n}}}"#), "same");
    // Span 0 is the agent; each call is a model call and the call.
    let twice = get(Run::new(), 1).call("get", r#"{"b":1.0,"a":1}"#, "same");
    fires(Detector::D01, &twice, &[&[2, 4]]);
    let apart = get(get(get(get(get(Run::new(), 1), 2), 1), 2), 1);
    fires(Detector::D01, &apart, &[&[2, 6, 10]]);
    // Twice, not in a row.
    clear(Detector::D01, &get(get(get(Run::new(), 1), 2), 1));
    // Another output: something is waited for.
    let polled = Run::new().call("get", "{}", "no").call("get", "{}", "yes");
    clear(Detector::D01, &polled);
    // A write between makes reading again worth while.
    let write = |run: Run| run.call("update_x", "{}", "ok");
    clear(
        Detector::D01,
        &get(write(get(write(get(Run::new(), 1)), 1)), 1),
    );
    cannot_tell(Detector::D01, &Run::new().says("hi"));
    let silent = get(get(Run::new(), 1), 1);
    let silent = silent.with_span(2, |span| span.arguments = None);
    cannot_tell(
        Detector::D01,
        &silent.with_span(4, |span| span.arguments = None),
    );
}

#[test]
fn error_ignored() {
    let failed = || Run::new().fails("pay", r#"{"n":1}"#, "declined by bank");
    fires(
        Detector::D03,
        &failed().says("All set, have a nice day!"),
        &[&[2, 3]],
    );
    clear(
        Detector::D03,
        &failed().says("Unfortunately that did not work."),
    );
    clear(
        Detector::D03,
        &failed().call("pay", r#"{"n":1}"#, "ok").says("All set!"),
    );
    clear(
        Detector::D03,
        &failed().call("refund", "{}", "ok").says("All set!"),
    );
    // What another agent says is no answer to it.
    let other = failed().agent("B").says("All set, have a nice day!");
    cannot_tell(Detector::D03, &other);
    cannot_tell(Detector::D03, &failed());
    cannot_tell(Detector::D03, &Run::new().says("hi"));
    let silent = failed().says("x").with(|span| span.output.clear());
    cannot_tell(Detector::D03, &silent);
}

#[test]
fn retry_storm() {
    let fail = |run: Run, n: u32| run.fails("get", &format!(r#"{{"n":{n}}}"#), "no");
    let many = (0..4).fold(Run::new(), fail);
    fires(Detector::D04, &many, &[&[2, 4, 6, 8]]);
    assert_eq!(many.hits(Detector::D04)[0].severity, Severity::Medium);
    let unchanged = (0..6).fold(Run::new(), |run, _| fail(run, 1));
    fires(Detector::D04, &unchanged, &[&[2, 4, 6, 8, 10, 12]]);
    assert_eq!(unchanged.hits(Detector::D04)[0].severity, Severity::High);
    // One succeeds between, within a minute.
    let between = (2..4).fold((0..2).fold(Run::new(), fail).call("get", "{}", "ok"), fail);
    fires(Detector::D04, &between, &[&[2, 4, 8, 10]]);
    let later = (0..2).fold(Run::new(), fail).call("get", "{}", "ok");
    clear(Detector::D04, &(2..4).fold(later.waits(60.0), fail));
    clear(Detector::D04, &(0..3).fold(Run::new(), fail));
    let tools = ["a", "b", "c", "d"];
    let others = tools
        .iter()
        .fold(Run::new(), |run, tool| run.fails(tool, "{}", "no"));
    clear(Detector::D04, &others);
    cannot_tell(Detector::D04, &Run::new());
}

#[test]
fn hallucinated_tool() {
    let run = || Run::new().tools(&["get_order", "mcp__shop__refund"]);
    let invented = run()
        .call("delete_world", "{}", "ok")
        .call("delete_world", "{}", "ok");
    fires(Detector::D05, &invented, &[&[2, 4]]);
    let refused = run().says("x").with(|span| {
        fail(span, "tool_not_found", "Tool nope not found in agent A.");
    });
    fires(Detector::D05, &refused, &[&[1]]);
    clear(
        Detector::D05,
        &run()
            .call("get_order", "{}", "ok")
            .call("refund", "{}", "ok"),
    );
    // Another agent has it: that is D29's.
    clear(
        Detector::D05,
        &run().agent("B").tools(&["x"]).call("get_order", "{}", "ok"),
    );
    let hosted = run()
        .call("web_search_call", "{}", "ok")
        .with(|span| span.span.derived = true);
    clear(Detector::D05, &hosted);
    cannot_tell(Detector::D05, &Run::new().call("get_order", "{}", "ok"));
    cannot_tell(Detector::D05, &run().says("hi"));
}

#[test]
fn invalid_arguments() {
    let run = |arguments: &str| {
        let schema = r#"{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}"#;
        let tool = DeclaredTool {
            name: "get".to_owned(),
            parameters: Some(JsonText::from_trusted(schema)),
        };
        let run = Run::new().with(|span| span.tools = [tool].into());
        run.call("get", arguments, "ok")
    };
    fires(Detector::D06, &run(r#"{"n":"one"}"#), &[&[2]]);
    fires(Detector::D06, &run(r#"{"m":1}"#), &[&[2]]);
    fires(Detector::D06, &run(r#""{\"n\": 1""#), &[&[2]]);
    clear(Detector::D06, &run(r#"{"n":1.0}"#));
    clear(Detector::D06, &run(r#""{'n': 1}""#));
    clear(Detector::D06, &run(r#""plain words""#));
    // No schema: only broken JSON can be told.
    let unknown = Run::new().call("get", r#"{"n":"one"}"#, "ok");
    clear(Detector::D06, &unknown);
    cannot_tell(Detector::D06, &Run::new().says("hi"));
}

#[test]
fn invented_identifier() {
    let run = |user: &str| Run::new().told("system", "Be kind.").told("user", user);
    let invented = run("refund my order").call("refund", r#"{"order_id":"W4711"}"#, "ok");
    fires(Detector::D07, &invented, &[&[2]]);
    clear(
        Detector::D07,
        &run("refund w4711!").call("refund", r#"{"order_id":"W4711"}"#, "ok"),
    );
    let looked_up = run("refund it").call("orders", r#"{"n":1}"#, r#"[{"id":"W4711"}]"#);
    clear(
        Detector::D07,
        &looked_up.call("refund", r#"{"order_id":"W4711"}"#, "ok"),
    );
    // What the call itself gives back was not known before.
    let echoed = run("refund it").call("refund", r#"{"order_id":"W4711"}"#, "W4711 is refunded");
    fires(Detector::D07, &echoed, &[&[2]]);
    let dated = run("tomorrow").call("book", r#"{"flight_date":"2024-05-20","seat":"12"}"#, "ok");
    cannot_tell(Detector::D07, &dated);
    cannot_tell(
        Detector::D07,
        &Run::new()
            .call("refund", r#"{"order_id":"W4711"}"#, "ok")
            .with_span(2, |span| span.result = None),
    );
    let mut known = run("refund my order").call("refund", r#"{"user_id":"mia_li_3668"}"#, "ok");
    known.item.user_id = Some("mia_li_3668".to_owned());
    clear(Detector::D07, &known);
}

#[test]
fn duplicate_write() {
    let run = |tool: &str| {
        let run = Run::new().call(tool, r#"{"n":1}"#, "a");
        run.call("get", "{}", "x").call(tool, r#"{"n":1.0}"#, "b")
    };
    fires(Detector::D17, &run("book_flight"), &[&[2, 6]]);
    let hit = run("book_flight").hits(Detector::D17).remove(0);
    assert_eq!(hit.cause.unwrap().as_str(), "s6");
    clear(Detector::D17, &run("search_flights"));
    let declared = run("book_flight").knowing(|context| context.effects = Effects::declared([]));
    clear(Detector::D17, &declared);
    let retried = Run::new()
        .fails("book_flight", "{}", "no")
        .call("book_flight", "{}", "ok");
    clear(Detector::D17, &retried);
    // A time-out says nothing of whether it was done.
    let late = |tool: &str, args: &str| {
        Run::new().fails(tool, args, "deadline exceeded: no reply in 10 s")
    };
    let again = late("book_flight", "{}").call("book_flight", "{}", "ok");
    fires(Detector::D17, &again, &[&[2, 4]]);
    assert_eq!(again.hits(Detector::D17)[0].severity, Severity::Medium);
    let looked = late("book_flight", "{}").call("get_bookings", "{}", "none");
    clear(Detector::D17, &looked.call("book_flight", "{}", "ok"));
    let safe = r#"{"idempotency_key":"k1"}"#;
    clear(
        Detector::D17,
        &late("book_flight", safe).call("book_flight", safe, "ok"),
    );
    let twice = late("book_flight", "{}").call("book_flight", "{}", "ok");
    fires(
        Detector::D17,
        &twice.call("book_flight", "{}", "ok"),
        &[&[4, 6]],
    );
    cannot_tell(Detector::D17, &Run::new().says("hi"));
}

#[test]
fn unused_result() {
    let found = "the capital of the canton is Frauenfeld on the Murg";
    let run = || {
        Run::new()
            .told("user", "Which one?")
            .call("look_up", r#"{"q":"it"}"#, found)
    };
    fires(Detector::D18, &run().says("I like trains."), &[&[2]]);
    clear(Detector::D18, &run().says("It is Frauenfeld."));
    clear(
        Detector::D18,
        &run()
            .call("map", r#"{"place":"frauenfeld"}"#, "x")
            .says("Here."),
    );
    // A write needs to be done, not to be read.
    let write = Run::new()
        .told("user", "Do it")
        .call("update_city", "{}", found)
        .says("Fine, all good.");
    cannot_tell(Detector::D18, &write);
    let short = Run::new()
        .told("user", "Do")
        .call("look_up", "{}", "Frauenfeld")
        .says("Fine.");
    cannot_tell(Detector::D18, &short);
    cannot_tell(Detector::D18, &run());
}

#[test]
fn wrong_agent_call() {
    let run = |tool: &str| {
        let run = Run::new().tools(&["triage", "both"]);
        run.agent("Billing")
            .tools(&["refund", "both"])
            .agent("Sales")
            .tools(&["quote"])
            .call(tool, "{}", "ok")
    };
    fires(Detector::D29, &run("refund"), &[&[4]]);
    assert!(
        run("refund").hits(Detector::D29)[0]
            .evidence
            .contains("Billing has")
    );
    clear(Detector::D29, &run("quote"));
    // Nobody has it: that is D05's.
    clear(Detector::D29, &run("invented"));
    cannot_tell(
        Detector::D29,
        &Run::new().tools(&["a"]).call("b", "{}", "ok"),
    );
}
