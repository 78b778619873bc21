//! What people get wrong, and what they are told.

use std::fmt::Write as _;

use crate::rule::{Rule, Selector};

/// Returns the rules and their problems as one text.
fn told(rules: &[&str]) -> String {
    let mut told = String::new();
    for rule in rules {
        let problems = Rule::parse(rule).map(drop).expect_err(rule);
        let _ = write!(told, "{problems}\n\n");
    }
    told
}

#[test]
fn names() {
    insta::assert_snapshot!(told(&[
        "duraton_ms < 5000",
        "spans.all(s, s.durations_ms < 5 && s.mdoel == \"x\")",
        "name == \"x\"",
        "spans.all(s, duration < 3 && name == \"x\")",
        "spans.all(s, s.user_id == \"u\")",
        "spans.status == \"error\"",
        "calls.length() > 3 && calls.evry(s, true)",
        "calls.size > 3",
        "tokens > 3",
        "error.kind == \"x\"",
        "function == success",
        "spans.all(s, t.name == \"x\")",
        "detector(\"loop\") || baseline(\"p95:duration\") > 1 || baseline(\"duration_ms\") > 1",
        "baseline(\"p101:duration_ms\") > 1 || baseline(\"p5:status\") > 1",
        "detector(\"D99\") || detector(\"d01\") || detector(\"cycles\")",
        "baseline(\"p95:nosuch\") > 1",
    ]));
}

#[test]
fn types() {
    insta::assert_snapshot!(told(&[
        "duration_ms < \"5000\"",
        "status == \"sucess\"",
        "spans[type=functoin].any()",
        "spans.all(s, s.type == \"tool\")",
        "status in [\"ok\", \"error\"]",
        "started_at > \"2026-01-01\"",
        "calls",
        "null",
        "calls && tool_errors && user_id",
        "calls > 3",
        "calls == 3",
        "user_id == null || null != error",
        "calls.sum() > 3 && calls.map(s, s.name).avg() > 1",
        "final_output in \"text\" || \"text\" in final_output",
        "\"search\" in calls",
        "before(\"search\", \"book\")",
        "duration_ms + \"ms\" == \"5ms\" || 5.5 % 2 == 1",
        "user_id.matches(agent_id) || user_id.matches(\"(\") || seq(\"a**\")",
        "has(duration_ms > 3)",
        "-user_id == \"x\" || !tool_errors",
        "calls[true] == calls[\"x\"]",
        "user_id[0] == \"u\"",
        "calls.pct() > 3 || calls.all(true) || contains(user_id)",
        "calls.all(1, true)",
        "[1].pct(101) > 3",
        "timestamp(\"tomorrow\") > started_at",
    ]));
}

#[test]
fn words_and_grammar() {
    insta::assert_snapshot!(told(&[
        "",
        "duration_ms <",
        "duration_ms = 5000",
        "tool_errors == 0 and status == \"success\"",
        "not cost_complete or cost_complete",
        "(duration_ms < 5000",
        "duration_ms < 5000)",
        "duration_ms < 5s",
        "status == “success”",
        "status == \"success",
        "user_id == \"\\d\"",
        "spans[].any()",
        "spans[type function].any()",
        "spans[name=search flights].any()",
        "spans[type=].any() && duraton_ms < 5",
        "{\"a\": 1} == {}",
        "a.b(",
        "1 == 99999999999999999999 || 1e999 > 1",
        "status == 'error' & true; @",
        "calls[duration_ms >> 3].any()",
        "user_id == b\"x\" || 5u == 5",
        "true ? false",
        "spans\n  .all(s, s.nam == 3 &&\n    s.depht > 1)",
    ]));
}

#[test]
fn positions_are_in_characters() {
    let problems = Rule::parse("\"é😀\" == \"x\" &&\n  durаtion > 1").unwrap_err();
    let at: Vec<_> = problems
        .all()
        .iter()
        .map(|problem| problems.position(problem))
        .collect();
    assert_eq!(at.first(), Some(&(2, 3)), "{problems}");
    assert_eq!(problems.all().len(), 1);
    let problems = Selector::parse("spans.size()").unwrap_err();
    assert_eq!(problems.position(&problems.all()[0]), (1, 1));
}

#[test]
fn of_a_long_line_what_matters_is_shown() {
    let far = format!(
        "{} && duraton_ms < 5 && {}",
        "tool_errors == 0",
        "x".repeat(300)
    );
    let told = Rule::parse(&far).unwrap_err().to_string();
    let lines: Vec<&str> = told.lines().collect();
    assert!(
        lines[1].starts_with("  tool_errors") && lines[1].ends_with('…'),
        "{told}"
    );
    assert_eq!(lines[2].find('^'), lines[1].find("duraton_ms"), "{told}");
    let long = vec!["tool_errors == 0"; 20].join(" && ") + " && duraton_ms < 5";
    let told = Rule::parse(&long).unwrap_err().to_string();
    let lines: Vec<&str> = told.lines().collect();
    assert!(
        lines[1].starts_with("  …") && lines[1].ends_with("duraton_ms < 5"),
        "{told}"
    );
    let place = |line: &str, what: &str| line[..line.find(what).unwrap()].chars().count();
    assert_eq!(
        place(lines[2], "^"),
        place(lines[1], "duraton_ms"),
        "{told}"
    );
    // A rule that is too long is not repeated as a whole, nor pointed at from end to end.
    let told = Rule::parse(&"x".repeat(5_000)).unwrap_err().to_string();
    assert!(told.len() < 1_000, "{told}");
}
