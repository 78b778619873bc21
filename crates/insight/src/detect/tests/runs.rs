//! The run: D02, D12 to D16, D21, D22.

use model::TraceStatus;

use super::super::{Context, Detector};
use super::{Run, cannot_tell, clear, fail, fires};

#[test]
fn cycle() {
    let round = |run: Run, n: u32| {
        let run = run.call("search", &format!(r#"{{"q":{n}}}"#), "none");
        run.call("fetch", r#"{"u":1}"#, "none")
    };
    let loops = |rounds: u32| (0..rounds).fold(Run::new(), |run, _| round(run, 7));
    fires(Detector::D02, &loops(3), &[&[2, 4, 6, 8, 10, 12]]);
    // Work before the loop is no part of it.
    let late = (0..3).fold(Run::new().call("plan", "{}", "x"), |run, _| round(run, 7));
    fires(Detector::D02, &late, &[&[4, 6, 8, 10, 12, 14]]);
    clear(Detector::D02, &loops(2));
    // Other words are searched for each time.
    clear(Detector::D02, &(0..3).fold(Run::new(), round));
    // The run got out of it.
    clear(Detector::D02, &loops(3).call("done", "{}", "x"));
    let to_and_fro = (0..3).fold(Run::new(), |run, _| run.handoff("A", "B").handoff("B", "A"));
    fires(Detector::D02, &to_and_fro, &[&[1, 2, 3, 4, 5, 6]]);
    cannot_tell(Detector::D02, &Run::new().says("hi").says("ho"));
    let silent = |run: Run| {
        (0..run.spans.len()).fold(run, |run, at| {
            run.with_span(at, |span| span.arguments = None)
        })
    };
    cannot_tell(Detector::D02, &silent(loops(3)));
}

#[test]
fn ping_pong() {
    let turns = |names: &[(&str, &str)]| {
        names
            .iter()
            .fold(Run::new(), |run, (from, to)| run.handoff(from, to))
    };
    fires(
        Detector::D12,
        &turns(&[("A", "B"), ("B", "A"), ("A", "B")]),
        &[&[1, 2, 3]],
    );
    let slow = Run::new()
        .handoff("A", "B")
        .call("x", "{}", "1")
        .handoff("B", "A");
    let slow = slow.call("x", "{}", "2").handoff("A", "B");
    clear(Detector::D12, &slow);
    fires(
        Detector::D12,
        &slow.call("x", "{}", "3").handoff("B", "A"),
        &[&[1, 4, 7, 10]],
    );
    clear(Detector::D12, &turns(&[("A", "B"), ("B", "A")]));
    clear(
        Detector::D12,
        &turns(&[("A", "B"), ("B", "C"), ("C", "A"), ("A", "B")]),
    );
    // One gives out work to the other and has it back without a handoff.
    clear(
        Detector::D12,
        &turns(&[("A", "B"), ("A", "B"), ("A", "B"), ("A", "B")]),
    );
    cannot_tell(Detector::D12, &Run::new());
}

#[test]
fn handoff_orphan() {
    let handed = || Run::new().handoff("A", "B");
    fires(Detector::D13, &handed().says("hm"), &[&[1]]);
    clear(Detector::D13, &handed().agent("B").says("hello"));
    let failed = handed().with(|span| span.span.handoff_to = None);
    cannot_tell(Detector::D13, &failed);
    // B ran before, and did not come back.
    let before = Run::new().agent("B").says("hello").handoff("A", "B");
    fires(
        Detector::D13,
        &before.with_span(3, |span| {
            span.span.parent_id = None;
        }),
        &[&[3]],
    );
    let mut running = handed();
    running.status = Some(TraceStatus::Running);
    cannot_tell(Detector::D13, &running);
    cannot_tell(Detector::D13, &Run::new().says("hi"));
}

#[test]
fn guardrail_bypassed() {
    let guarded = |trips: bool| Run::new().guard("pii", trips);
    fires(Detector::D14, &guarded(true).says("here it is"), &[&[1, 2]]);
    fires(
        Detector::D14,
        &guarded(true).runs("send_mail", "{}", Ok("ok")),
        &[&[1, 2]],
    );
    clear(Detector::D14, &guarded(false).says("here it is"));
    clear(
        Detector::D14,
        &guarded(true).runs("get_mail", "{}", Ok("ok")),
    );
    clear(
        Detector::D14,
        &guarded(true).says("no").handoff("A", "Human"),
    );
    let blocked = guarded(true).says("no");
    let blocked = blocked.with_span(0, |span| fail(span, "guardrail_tripped", "tripped"));
    clear(Detector::D14, &blocked);
    clear(Detector::D14, &Run::new().says("hm").guard("pii", true));
    clear(Detector::D14, &guarded(true).agent("B").says("hello"));
    cannot_tell(Detector::D14, &Run::new().says("hi"));
    cannot_tell(
        Detector::D14,
        &guarded(true).with(|span| span.span.triggered = None),
    );
}

fn confirming(context: &mut Context) {
    context.other_workflows.confirms_writes = true;
    context.other_workflows.verifies_writes = true;
}

#[test]
fn unconfirmed_write() {
    let asked = || {
        Run::new()
            .knowing(confirming)
            .told("user", "Book me a flight to Oslo")
    };
    let book = |run: Run| run.call("book_flight", r#"{"flight":"OS 1"}"#, "ok");
    fires(Detector::D15, &book(asked()), &[&[2]]);
    let proposed = asked().says("Shall I book OS 1?");
    clear(Detector::D15, &book(proposed.told("user", "yes")));
    fires(
        Detector::D15,
        &book(asked().says("I book OS 1 now.")),
        &[&[3]],
    );
    // The user agreed to something else.
    let other = asked().says("Shall I look for trains?").told("user", "yes");
    fires(Detector::D15, &book(other), &[&[3]]);
    cannot_tell(Detector::D15, &asked().call("search_flights", "{}", "ok"));
    cannot_tell(Detector::D15, &book(Run::new().told("user", "book it")));
    cannot_tell(Detector::D15, &book(Run::new().knowing(confirming)));
}

#[test]
fn write_then_failure_end() {
    let broken = |tool: &str| {
        let run = Run::new().call(tool, r#"{"n":1}"#, "ok");
        run.says("x")
            .with_span(0, |span| fail(span, "agent_error", "boom"))
    };
    fires(Detector::D16, &broken("book_flight"), &[&[2]]);
    let hit = broken("book_flight").hits(Detector::D16).remove(0);
    assert_eq!(hit.cause.unwrap().as_str(), "s0");
    clear(Detector::D16, &broken("search_flights"));
    clear(
        Detector::D16,
        &Run::new().call("book_flight", "{}", "ok").says("x"),
    );
    let refused = Run::new().fails("book_flight", "{}", "no");
    clear(
        Detector::D16,
        &refused.with_span(0, |span| fail(span, "agent_error", "boom")),
    );
    cannot_tell(Detector::D16, &Run::new().says("x"));
    let mut running = broken("book_flight");
    running.status = Some(TraceStatus::Running);
    cannot_tell(Detector::D16, &running);
}

#[test]
fn no_verification() {
    let wrote = || {
        Run::new()
            .knowing(confirming)
            .call("write_file", "{}", "ok")
    };
    fires(Detector::D21, &wrote().says("done"), &[&[2]]);
    clear(
        Detector::D21,
        &wrote().call("run_tests", "{}", "ok").says("done"),
    );
    fires(
        Detector::D21,
        &wrote().fails("run_tests", "{}", "no").says("done"),
        &[&[2]],
    );
    clear(Detector::D21, &wrote().call("read_file", "{}", "ok"));
    cannot_tell(
        Detector::D21,
        &Run::new().knowing(confirming).call("read_file", "{}", "ok"),
    );
    cannot_tell(
        Detector::D21,
        &wrote().knowing(|context| *context = Context::default()),
    );
}

#[test]
fn unaware_of_stopping() {
    let answer = "The answer is that all of it fits into one box.";
    let again = |times: usize| (0..times).fold(Run::new(), |run, _| run.says(answer));
    fires(Detector::D22, &again(3), &[&[1, 2, 3]]);
    clear(Detector::D22, &again(2));
    let numbered = ["one", "two", "three"].iter();
    let alike = numbered.fold(Run::new(), |run, n| {
        run.says(&format!("{n}: a wholly new thought about {n}, and {n}"))
    });
    clear(Detector::D22, &alike);
    clear(
        Detector::D22,
        &(0..4).fold(Run::new(), |run, _| run.says("Yes.")),
    );
    let stopped = again(1).with_span(0, |span| fail(span, "max_turns", "Max turns exceeded"));
    fires(Detector::D22, &stopped, &[&[0]]);
    cannot_tell(Detector::D22, &Run::new().asks("get", "{}"));
}
