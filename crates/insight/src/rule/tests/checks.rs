//! The 25 checks of the reference, each with a trace that passes and one that fails and where.

use model::{SpanType, TraceStatus, Verdict};

use super::check;
use super::traces::{But, Told, call, generation, handoff, span};
use crate::rule::{EXAMPLES, Rule, Selector};

/// Checks the rule of this number of the reference.
#[track_caller]
fn check_example(number: usize, passes: &[Told], fails: &[(Told, &str)]) {
    let rule = EXAMPLES[number - 1].rule;
    for trace in passes {
        check(rule, trace, "pass");
    }
    for (trace, expected) in fails {
        check(rule, trace, expected);
    }
}

fn nothing() -> Told {
    Told::of(vec![])
}

#[test]
fn checks_1_and_2_of_scalars() {
    let lasting = |ms| Told::of(vec![call("s1", "a", 0, ms)]);
    check_example(
        1,
        &[lasting(4_999)],
        &[(lasting(5_000), "fail"), (nothing(), "not_applicable")],
    );
    let failing = vec![
        call("s1", "a", 0, 1),
        call("s2", "a", 1, 2).failed(),
        call("s3", "b", 2, 3).failed(),
    ];
    check_example(
        2,
        &[lasting(1), nothing()],
        &[(Told::of(failing), "fail s2 s3")],
    );
}

#[test]
fn check_3_every_call_succeeded() {
    let good = Told::of(vec![call("s1", "a", 0, 1), generation("g", 1, 2).failed()]);
    let bad = Told::of(vec![
        call("s1", "a", 0, 1).failed(),
        call("s2", "a", 1, 2),
        call("s3", "a", 2, 3).failed(),
    ]);
    check_example(
        3,
        &[good],
        &[(bad, "fail s1 s3"), (nothing(), "pass vacuous")],
    );
}

#[test]
fn check_4_at_most_12_calls() {
    let calls = |count: i64| {
        let spans = (0..count).map(|n| call(&format!("s{n:02}"), "a", n, n + 1));
        Told::of(spans.collect())
    };
    let all = "fail s00 s01 s02 s03 s04 s05 s06 s07 s08 s09 s10 s11 s12";
    check_example(4, &[calls(12), nothing()], &[(calls(13), all)]);
}

#[test]
fn check_5_search_before_book() {
    let search = |from, to| call("search", "search_flights", from, to);
    let book = |id: &str, from| call(id, "book_flight", from, from + 5);
    let good = Told::of(vec![search(0, 10), book("b1", 10), book("b2", 20)]);
    let overlapping = Told::of(vec![search(0, 10), book("b1", 9), book("b2", 20)]);
    let never = Told::of(vec![book("b1", 9), book("b2", 20)]);
    let unfinished = search(0, 10).but(|span| {
        span.ended_at = None;
        span.status = model::SpanStatus::Open;
    });
    let open = Told::of(vec![unfinished, book("b1", 20)]);
    let fails = [
        (overlapping, "fail b1"),
        (never, "fail b1 b2"),
        (open, "fail b1"),
        (nothing(), "pass vacuous"),
    ];
    check_example(5, &[good], &fails);
}

#[test]
fn check_6_exact_shape() {
    let named = |names: &[&str]| {
        let spans = (0i64..).zip(names);
        let spans = spans.map(|(n, name)| call(&format!("s{n}"), name, n, n + 1));
        Told::of(spans.collect())
    };
    let passes = [
        named(&["search_flights", "book_flight"]),
        named(&[
            "search_flights",
            "search_flights",
            "get_details",
            "book_flight",
        ]),
    ];
    let fails = [
        (named(&["book_flight"]), "fail s0"),
        (named(&["search_flights", "get_details"]), "fail s1"),
        (named(&["search_flights", "book_flight", "pay"]), "fail s2"),
        (nothing(), "fail"),
    ];
    check_example(6, &passes, &fails);
}

#[test]
fn checks_7_and_8_of_calls_by_name() {
    let never = Told::of(vec![call("s1", "get_account", 0, 1)]);
    let twice = vec![
        call("s1", "delete_account", 0, 1),
        call("s2", "delete_account", 1, 2),
    ];
    check_example(7, &[never, nothing()], &[(Told::of(twice), "fail s1 s2")]);
    let booked = |spans: Vec<_>| Told::of(spans);
    let once = booked(vec![
        call("s1", "book_flight", 0, 1).failed(),
        call("s2", "book_flight", 1, 2),
    ]);
    let again = booked(vec![
        call("s1", "book_flight", 0, 1).failed(),
        call("s2", "book_flight", 1, 2),
        call("s3", "book_flight", 2, 3),
    ]);
    check_example(8, &[once, nothing()], &[(again, "fail s2 s3")]);
}

#[test]
fn checks_9_20_and_25_of_detectors() {
    let told = || Told::of(vec![call("s1", "a", 0, 1), call("s2", "a", 1, 2)]);
    let fails = [
        (told().detector("D01", &["s1", "s2"]), "fail s1 s2"),
        (told(), "not_applicable"),
    ];
    check_example(9, &[told().detector("D01", &[])], &fails);
    let clean = told().detector("D19", &[]).detector("D07", &[]);
    let fails = [
        (told().detector("D19", &["s2"]), "fail s2"),
        (told().detector("D07", &["s1"]), "fail s1"),
        (told().detector("D07", &[]), "not_applicable"),
    ];
    check_example(20, &[clean], &fails);
    let formed = told().detector("D26", &[]);
    let fails = [
        (told().detector("D26", &["s1"]), "fail s1"),
        (
            told().detector("D26", &[]).status(TraceStatus::Error),
            "fail",
        ),
    ];
    check_example(25, &[formed], &fails);
}

#[test]
fn checks_10_and_11_of_handoffs() {
    let there = || {
        vec![
            handoff("h1", "Triage", "Billing", 0),
            handoff("h2", "Billing", "Refunds", 10),
        ]
    };
    let mut back = there();
    back.push(handoff("h3", "Refunds", "Triage", 20));
    check_example(
        10,
        &[Told::of(there()), nothing()],
        &[(Told::of(back), "fail h3")],
    );
    let right = Told::of(vec![handoff("h1", "Triage", "Billing", 0)]);
    let fails = [(Told::of(there()), "fail h1 h2"), (nothing(), "fail")];
    check_example(11, &[right], &fails);
}

#[test]
fn check_12_only_billing_refunds() {
    let agent = |id: &str, name: &str| span(id, SpanType::Agent, name, 0, 100);
    let good = Told::of(vec![
        agent("a", "Billing"),
        call("s1", "issue_refund", 1, 2).below("a"),
    ]);
    let bad = Told::of(vec![
        agent("a", "Billing"),
        call("s1", "issue_refund", 1, 2).below("a"),
        agent("b", "Triage"),
        call("s2", "issue_refund", 3, 4).below("b"),
    ]);
    let unknown = Told::of(vec![call("s1", "issue_refund", 1, 2)]);
    check_example(
        12,
        &[good],
        &[(bad, "fail s2"), (unknown, "not_applicable s1")],
    );
}

#[test]
fn check_13_tripped_guardrail_ends_the_run() {
    let guard = |trips: bool| {
        let guard = span("g1", SpanType::Guardrail, "pii", 10, 20);
        guard.but(|span| span.triggered = Some(trips))
    };
    let passes = [
        Told::of(vec![generation("m1", 0, 10), guard(true)]),
        Told::of(vec![
            generation("m1", 0, 10),
            guard(false),
            generation("m2", 20, 30),
        ]),
    ];
    let goes_on = Told::of(vec![guard(true), generation("m2", 20, 30)]);
    check_example(13, &passes, &[(goes_on, "fail g1")]);
}

#[test]
fn checks_14_and_19_of_the_answer() {
    let answering = |words: &str| Told::of(vec![generation("m1", 0, 1).said(words)]);
    let fails = [
        (answering("Done."), "fail"),
        (
            answering("I'm sorry, there is nothing that I can do."),
            "fail",
        ),
        (answering("I am unable to find such a flight."), "fail"),
        (nothing(), "not_applicable"),
    ];
    check_example(
        14,
        &[answering("Your flight leaves at noon tomorrow.")],
        &fails,
    );
    let with_schema = |words: &str| {
        let allowed = r#"{"id":7}"#;
        answering(words).with(|told| told.world.valid.extend([("ticket.v2", allowed)]))
    };
    let fails = [
        (with_schema(r#"{"id":"7"}"#), "fail"),
        (answering(r#"{"id":7}"#), "not_applicable"),
    ];
    check_example(19, &[with_schema(r#"{"id":7}"#)], &fails);
}

#[test]
fn check_15_nothing_cut_off() {
    let stopped = |id: &str, why: &str| {
        let why = why.to_owned();
        generation(id, 0, 1).but(|span| span.finish_reason = Some(why))
    };
    let good = Told::of(vec![stopped("m1", "stop")]);
    let bad = Told::of(vec![stopped("m1", "stop"), stopped("m2", "length")]);
    let unknown = Told::of(vec![stopped("m1", "stop"), generation("m2", 1, 2)]);
    check_example(
        15,
        &[good],
        &[(bad, "fail m2"), (unknown, "not_applicable m2")],
    );
}

#[test]
fn checks_16_to_18_of_cost_and_time() {
    let good = nothing().cost(0.05).tokens(50_000, 10_000);
    let fails = [
        (nothing().cost(0.051).tokens(1, 1), "fail"),
        (nothing().cost(0.01).tokens(50_000, 10_001), "fail"),
        (
            nothing()
                .with(|told| told.view.row.cost = None)
                .tokens(1, 1),
            "not_applicable",
        ),
        // Whatever it cost, these were too many tokens.
        (
            nothing()
                .with(|told| told.view.row.cost = None)
                .tokens(60_000, 1),
            "fail",
        ),
    ];
    check_example(16, &[good], &fails);
    let outer = span("a", SpanType::Agent, "A", 0, 5_000);
    let quick = Told::of(vec![outer.clone(), call("s1", "a", 0, 2_999).below("a")]);
    let slow = Told::of(vec![outer, call("s1", "a", 0, 3_000).below("a")]);
    check_example(
        17,
        &[quick],
        &[(slow, "fail s1"), (nothing(), "pass vacuous")],
    );
    let lasting = |ms, p95: Option<f64>| {
        Told::of(vec![call("s1", "a", 0, ms)]).with(|told| {
            told.world
                .baselines
                .extend(p95.map(|p95| ("p95:duration_ms", p95)))
        })
    };
    let fails = [
        (lasting(121, Some(100.0)), "fail"),
        (lasting(1, None), "not_applicable"),
    ];
    check_example(18, &[lasting(120, Some(100.0))], &fails);
}

#[test]
fn check_21_confirmed_before_write() {
    let asked = |words: &str, to| generation("m1", 0, to).read("user", words);
    let book = || call("b1", "book_flight", 10, 20);
    let good = Told::of(vec![asked("Yes, please", 10), book()]);
    let fails = [
        (Told::of(vec![asked("no", 10), book()]), "fail b1"),
        (Told::of(vec![asked("yes", 11), book()]), "fail b1"),
        (Told::of(vec![book()]), "fail b1"),
    ];
    check_example(21, &[good], &fails);
}

#[test]
fn check_22_retried_after_failure() {
    let pay = |id: &str, at| call(id, "pay", at, at + 1);
    let good = Told::of(vec![pay("p1", 0).failed(), pay("p2", 5)]);
    let bad = Told::of(vec![pay("p1", 0).failed(), pay("p2", 5).failed()]);
    let fails = [
        (bad, "fail p2"),
        (Told::of(vec![pay("p1", 0)]), "pass vacuous"),
    ];
    check_example(22, &[good], &fails);
}

#[test]
fn check_23_model_is_the_cheap_one() {
    let by = |id: &str, model: &str| {
        let model = model.to_owned();
        generation(id, 0, 1).but(|span| span.model = Some(model))
    };
    let good = Told::of(vec![
        by("m1", "gpt-5-mini"),
        by("m2", "gemini-3-flash-lite"),
    ]);
    let bad = Told::of(vec![by("m1", "gpt-5-mini"), by("m2", "gpt-5")]);
    let unknown = Told::of(vec![generation("m1", 0, 1)]);
    check_example(
        23,
        &[good],
        &[(bad, "fail m2"), (unknown, "not_applicable m1")],
    );
}

#[test]
fn check_24_expected_calls_made() {
    let called = || vec![call("s1", "book", 0, 1).given(r#"{"b": [1.0], "a": "x"}"#)];
    let case = |args: &str| format!(r#"{{"calls":[{{"name":"book","args":{args}}}]}}"#);
    let good = Told::of(called()).reference(&case(r#"{"a":"x","b":[1]}"#));
    let fails = [
        (
            Told::of(called()).reference(&case(r#"{"a":"y","b":[1]}"#)),
            "fail s1",
        ),
        (Told::of(vec![]).reference(&case("{}")), "fail"),
        (Told::of(called()), "not_applicable"),
        (
            Told::of(called()).reference(r#"{"calls":[]}"#),
            "pass vacuous",
        ),
    ];
    check_example(24, &[good], &fails);
}

#[test]
fn a_failing_rule_says_why_in_a_sentence() {
    let failing = Told::of(vec![
        call("s1", "a", 0, 1).failed(),
        call("s2", "b", 1, 2).failed(),
        call("s3", "a", 2, 7_000),
    ])
    .detector("D01", &["s1"])
    .cost(0.5);
    for (rule, sentence) in [
        (
            EXAMPLES[2].rule,
            "spans[type=function].all(...) failed for 2 spans",
        ),
        (
            "duration_ms < 5000",
            "`duration_ms < 5000` is false: duration_ms is 7000",
        ),
        (
            "span_count == 3 && (total_cost_usd < 0.1 || calls.size() < 3)",
            "`total_cost_usd < 0.1` is false: total_cost_usd is 0.5",
        ),
        ("!detector(\"D01\")", "detector D01 fired for 1 span"),
        (
            "seq(\"a c\")",
            "`seq(\"a c\")` failed: \"b\" does not stand where it came",
        ),
        (
            "seq(\"a b a d\")",
            "`seq(\"a b a d\")` failed: more should come after \"a\"",
        ),
        (
            "before(calls(\"x\"), calls(\"a\"))",
            "`before(calls(\"x\"), calls(\"a\"))` failed for 2 spans",
        ),
        // What has no value behind the element that decides is not looked at.
        (
            "calls.filter(s, 10 / (s.status == \"success\" ? 0 : 1) > 1).all(s, s.status == \"success\")",
            "calls.filter(s, 10 / (s.status == \"success\" ? 0 : 1) > 1).all(...) failed for 2 spans",
        ),
        (
            "!calls.filter(s, 10 / (s.status == \"success\" ? 0 : 1) > 1).any()",
            "`calls.filter(s, 10 / (s.status == \"success\" ? 0 : 1) > 1).any()` is true: there are 2",
        ),
        (
            "!calls.exists(s, s.name == \"b\")",
            "calls.exists(...) holds for 1 span",
        ),
        ("user_id == \"u\"", "not known: `user_id` is missing"),
        (
            "spans.all(s, s.model != \"x\")",
            "not known: `s.model` is missing",
        ),
    ] {
        let result = Rule::parse(rule)
            .unwrap()
            .grade(&failing.view, &failing.world);
        assert_eq!(result.reasoning.as_deref(), Some(sentence), "{rule}");
    }
    let verdict = Verdict::from(
        Rule::parse("tool_errors == 0")
            .unwrap()
            .grade(&failing.view, &()),
    );
    assert_eq!(verdict.outcome, model::Outcome::Fail);
    assert_eq!(verdict.citations.len(), 2);
}

#[test]
fn a_rule_that_cannot_be_told_fails_if_it_is_strict() {
    let told = nothing();
    let rule = Rule::parse("duration_ms < 5000").unwrap().strict(true);
    let result = rule.grade(&told.view, &());
    assert_eq!(result.outcome, model::Outcome::Fail);
    assert_eq!(
        result.reasoning.as_deref(),
        Some("not known: `duration_ms` is missing")
    );
}

#[test]
fn a_selector_gives_places() {
    let told = Told::of(vec![
        span("a", SpanType::Agent, "Billing", 0, 100),
        call("s1", "search_flights", 1, 4).below("a"),
        generation("m1", 5, 6)
            .but(|span| span.source_type = "response".to_owned())
            .below("a"),
        call("s2", "search_hotels", 7, 8).failed(),
        call("s3", "book", 9, 10).below("a"),
    ]);
    for (source, expected) in [
        ("spans[type=function]", vec![1, 3, 4]),
        ("spans[type=tool]", vec![1, 3, 4]),
        ("spans[type!=tool]", vec![0, 2]),
        ("spans[type=response]", vec![2]),
        (
            "spans[type=function, name~\"search*\", duration_ms>2]",
            vec![1],
        ),
        ("calls[name!~\"search*\"]", vec![4]),
        ("spans[error.type=tool_error]", vec![3]),
        ("calls[within(spans[type=agent,name=Billing])]", vec![1, 4]),
        ("within(spans[type=agent])", vec![1, 2, 4]),
        (
            "spans.filter(s, s.within(spans[type=agent]))",
            vec![1, 2, 4],
        ),
        ("calls(\"book\")", vec![4]),
        ("spans", vec![0, 1, 2, 3, 4]),
        ("spans[name~\"*ook\"]", vec![4]),
        ("spans[depth<1, status=success]", vec![0]),
    ] {
        let selector = Selector::parse(source).unwrap_or_else(|bad| panic!("{source}\n{bad}"));
        assert_eq!(
            selector.places(&told.view, &()).unwrap(),
            expected,
            "{source}"
        );
    }
    assert!(Selector::parse("duration_ms < 3").is_err());
    let needs = Rule::parse("detector(\"D01\") || score(\"tone\") > 0.5").unwrap();
    assert_eq!(needs.needs().detectors, ["D01"]);
    assert_eq!(needs.needs().scores, ["tone"]);
}
