//! What the language means: CEL's semantics where it has them, Kleene's where data is missing.
//!
//! The expressions follow the sections of CEL's conformance tests (comparisons, logic, integer and
//! floating-point arithmetic, macros, lists, strings, parsing), as far as they lie in the subset.

use super::check;
use super::traces::{But, Told, call, generation, span};
use crate::rule::Rule;
use model::SpanType;

fn nothing() -> Told {
    Told::of(vec![])
}

/// Checks expressions that need no trace: each is true unless it says otherwise.
#[track_caller]
fn check_all(cases: &[(&str, &str)]) {
    for (rule, expected) in cases {
        check(rule, &nothing(), expected);
    }
}

#[test]
fn comparisons() {
    check_all(&[
        ("1 == 1", "pass"),
        ("1 == 1.0", "pass"),
        ("1 == 1.5", "fail"),
        ("1 != 1.1", "pass"),
        ("9223372036854775807 == 9223372036854775808.0", "fail"),
        ("9007199254740993 > 9007199254740992.0", "pass"),
        ("9007199254740992 == 9007199254740992.0", "pass"),
        ("-9223372036854775808 <= -9.3e18", "fail"),
        ("1 < 1.0000001 && 2 > 1.9999", "pass"),
        ("\"a\" < \"b\" && \"A\" < \"a\" && \"abc\" > \"ab\"", "pass"),
        ("\"\" < \"a\" && \"é\" > \"z\"", "pass"),
        ("false < true && true >= true", "pass"),
        ("[1, 2] == [1, 2] && [1] != [2] && [] == []", "pass"),
        ("[1, 2] == [1.0, 2.0] && [[1]] == [[1.0]]", "pass"),
        (
            "[1, \"x\"] == [1, \"x\"] && [1, \"x\"] != [\"x\", 1]",
            "pass",
        ),
        ("0.0 == -0.0", "pass"),
        ("0.0 / 0.0 == 0.0 / 0.0", "fail"),
        ("0.0 / 0.0 != 0.0 / 0.0", "pass"),
        ("0.0 / 0.0 < 1 || 0.0 / 0.0 >= 1", "fail"),
        (
            "timestamp(\"2026-01-02T03:04:05Z\") < timestamp(\"2026-01-02T03:04:06Z\")",
            "pass",
        ),
        (
            "timestamp(\"2026-01-02T03:04:06Z\") - timestamp(\"2026-01-02T03:04:05Z\") == 1000",
            "pass",
        ),
        (
            "timestamp(\"2026-01-02T03:04:05Z\") + 1000 == timestamp(\"2026-01-02T03:04:06Z\")",
            "pass",
        ),
        (
            "1 in [1, 2] && !(3 in [1, 2]) && 1 in [1.0] && !(1 in [])",
            "pass",
        ),
        ("\"a\" in [\"b\", \"a\"]", "pass"),
        (
            "json(\"{\\\"k\\\": 1}\") == json(\"{\\\"k\\\": 1.0}\")",
            "pass",
        ),
        (
            "\"k\" in json(\"{\\\"k\\\": null}\") && !(\"x\" in json(\"{\\\"k\\\": 1}\"))",
            "pass",
        ),
        // Values of JSON of different kinds are unequal, and have no order.
        ("json(\"[1]\")[0] == \"1\"", "fail"),
        ("json(\"[1]\")[0] < \"1\"", "unscored code"),
    ]);
}

#[test]
fn what_looks_at_texts_says_so() {
    let reads = |rule: &str| Rule::parse(rule).unwrap().reads_content();
    for rule in [
        "final_output.size() > 0",
        "user_input.icontains(\"x\")",
        "!detector(\"D17\")",
        "calls(\"pay\").all(s, s.arguments.amount < 5)",
        "spans.all(s, !has(s.error.data))",
        "spans.exists(s, s.parent.output == \"x\")",
        "gens.all(s, s.input.size() < 5)",
        "true || spans.exists(s, s.attributes.x == 1)",
    ] {
        assert!(reads(rule), "{rule}");
    }
    for rule in [
        "tool_errors == 0 && output_preview != \"\"",
        "spans[type=function].all(s, s.status == \"success\" && !has(s.error_message))",
        "before(calls(\"a\"), calls(\"b\")) && seq(\"a+ b\")",
        "handoffs.returns() == 0 && handoffs.path() == [\"A\"]",
        "score(\"tone\") > 0.5",
    ] {
        assert!(!reads(rule), "{rule}");
    }
}

#[test]
fn logic_with_faults_and_unknowns() {
    check_all(&[
        ("true && true && !false", "pass"),
        ("false && 1 / 0 > 0", "fail"),
        ("1 / 0 > 0 && false", "fail"),
        ("true || 1 / 0 > 0", "pass"),
        ("1 / 0 > 0 || true", "pass"),
        ("true && 1 / 0 > 0", "unscored code"),
        ("1 / 0 > 0 || false", "unscored code"),
        ("!(1 / 0 > 0)", "unscored code"),
        ("true ? true : 1 / 0 > 0", "pass"),
        ("false ? 1 / 0 > 0 : true", "pass"),
        ("1 / 0 > 0 ? true : true", "unscored code"),
        // user_id is missing
        ("user_id == \"a\"", "not_applicable"),
        ("user_id != \"a\"", "not_applicable"),
        ("!(user_id == \"a\")", "not_applicable"),
        ("user_id == user_id", "not_applicable"),
        ("user_id < \"a\"", "not_applicable"),
        ("user_id == \"a\" && false", "fail"),
        ("false && user_id == \"a\"", "fail"),
        ("user_id == \"a\" && true", "not_applicable"),
        ("user_id == \"a\" || true", "pass"),
        ("user_id == \"a\" || false", "not_applicable"),
        ("user_id == \"a\" ? true : true", "not_applicable"),
        ("user_id == \"a\" && 1 / 0 > 0", "unscored code"),
        ("user_id.startsWith(\"a\")", "not_applicable"),
        ("user_id in [\"a\"]", "not_applicable"),
        // No further than to the element that decides.
        ("[1, 0].filter(x, 1 / x > 0).all(x, x > 1)", "fail"),
        ("[0, 1].filter(x, 1 / x > 0).all(x, x > 1)", "unscored code"),
        ("[1, 0].filter(x, 1 / x > 0).all(x, x > 0)", "unscored code"),
        ("[1, 0].map(x, 1 / x).exists(x, x == 1)", "pass"),
        ("[1, 0].filter(x, 1 / x > 0).size() == 1", "unscored code"),
        ("\"a\" in [\"a\", user_id]", "pass"),
        ("\"b\" in [\"a\", user_id]", "not_applicable"),
        ("[user_id] == [\"a\"]", "not_applicable"),
        ("[user_id, \"b\"] == [\"a\", \"c\"]", "fail"),
        (
            "!has(user_id) && has(id) && !has(error) && !has(metadata.plan)",
            "pass",
        ),
        ("true ? null : user_id", "not_applicable"),
        ("metadata.plan == \"pro\"", "not_applicable"),
        ("tokens() > 0", "not_applicable"),
        ("score(\"tone\") > 0.5", "not_applicable"),
        ("duration_ms + 1 > 0", "not_applicable"),
        ("json(\"no json\").x == 1", "not_applicable"),
        ("json(\"{}\").x.y.z == 1", "not_applicable"),
        ("ref.calls.all(c, c.x)", "not_applicable"),
        ("ref.size() > 0", "not_applicable"),
    ]);
}

#[test]
fn integers_are_exact_and_end() {
    check_all(&[
        ("9223372036854775807 + 1 > 0", "unscored code"),
        ("-9223372036854775808 - 1 < 0", "unscored code"),
        ("9223372036854775807 * 2 > 0", "unscored code"),
        ("-9223372036854775808 / -1 > 0", "unscored code"),
        ("-9223372036854775808 % -1 == 0", "unscored code"),
        ("-(-9223372036854775808 + 0) > 0", "unscored code"),
        ("1 / 0 == 1", "unscored code"),
        ("1 % 0 == 1", "unscored code"),
        (
            "7 / 2 == 3 && -7 / 2 == -3 && 7 % 3 == 1 && -7 % 3 == -1 && 7 % -3 == 1",
            "pass",
        ),
        (
            "2 + 3 * 4 == 14 && (2 + 3) * 4 == 20 && 10 - 2 - 3 == 5",
            "pass",
        ),
        ("0x1F == 31 && -0x10 == -16", "pass"),
        ("9223372036854775807 == 0x7fffffffffffffff", "pass"),
        ("--5 == 5 && !!true && ---5 == -5", "pass"),
        ("1 + 0.5 == 1.5 && 3 / 2.0 == 1.5", "pass"),
        ("1.0 / 0.0 > 1e308 && -1.0 / 0.0 < -1e308", "pass"),
        ("1e3 == 1000 && .5 == 0.5 && 1.5E-1 == 0.15", "pass"),
        ("[9223372036854775807, 1].sum() > 0", "unscored code"),
        ("calls.size() + 1", "value 1"),
        ("1.5 * 2", "value 3"),
        ("\"a\" + \"b\"", "value \"ab\""),
        ("[1] + [2, 3] == [1, 2, 3]", "pass"),
    ]);
}

#[test]
fn macros_and_lists() {
    check_all(&[
        ("[1, 2, 3].all(e, e > 0)", "pass"),
        ("[1, 2, 3].all(e, e == 2)", "fail"),
        ("[].all(e, e > 0)", "pass vacuous"),
        ("[1, 2, 3].all(e, 6 / (2 - e) == 6)", "fail"),
        ("[1, 2, 3].all(e, e / 0 != 17)", "unscored code"),
        ("[1, 2, 3].exists(e, e == 2)", "pass"),
        ("[1, 2, 3].exists(e, e > 3)", "fail"),
        ("[1, 2, 3].exists(e, e / 0 == 17)", "unscored code"),
        ("[].exists(e, e == 2)", "fail"),
        ("[1, \"foo\", 3].exists(e, e != \"1\")", "pass"),
        ("[6, 7, 8].exists_one(foo, foo % 5 == 2)", "pass"),
        ("[0, 1, 2, 3, 4].exists_one(n, n % 2 == 1)", "fail"),
        ("[3, 2, 1, 0].exists_one(n, 12 / n > 1)", "unscored code"),
        ("[].exists_one(a, a == 7)", "fail"),
        ("[2, 4, 6].map(n, n / 2) == [1, 2, 3]", "pass"),
        ("[2, 1, 0].map(n, 4 / n).size() == 3", "unscored code"),
        ("[0, 1, 2, 3].filter(x, x % 2 == 1) == [1, 3]", "pass"),
        (
            "[3, 2, 1, 0].filter(n, 12 / n > 4).size() > 0",
            "unscored code",
        ),
        ("[[1], [2, 3]].all(l, l.exists(x, x < 3))", "pass"),
        ("[1, 2].all(x, [3, 4].all(y, x < y))", "pass"),
        ("[1, 2].all(x, [1].all(x, x == 1))", "pass"),
        ("[7, 8, 9][1] == 8", "pass"),
        ("[7, 8, 9][3] == 8", "unscored code"),
        ("[7, 8, 9][-1] == 8", "unscored code"),
        ("[[[[[['foo']]]]]][0][0][0][0][0][0] == 'foo'", "pass"),
        (
            "size([1, 2]) == 2 && [].size() == 0 && size(\"aé€\") == 3",
            "pass",
        ),
        (
            "[3, 1, 2].min() == 1 && [3, 1, 2].max() == 3 && [1, 2.5].max() == 2.5",
            "pass",
        ),
        ("[\"b\", \"a\"].min() == \"a\"", "pass"),
        (
            "[1, 2, 3, 4].sum() == 10 && [].sum() == 0 && [1, 0.5].sum() == 1.5",
            "pass",
        ),
        ("[1, 2, 4].avg() == 7 / 3.0", "pass"),
        (
            "[1, 2, 3, 4].pct(50) == 2.5 && [5].pct(99) == 5 && [1, 2, 3].pct(100) == 3",
            "pass",
        ),
        ("[15, 20, 35, 40, 50].pct(40) == 29", "pass"),
        (
            "has([].min()) || has([].avg()) || has([].first()) || has([].pct(5))",
            "fail",
        ),
        ("[1, 1.0, 2, 1].distinct() == [1, 2]", "pass"),
        ("[1, 2].first() == 1 && [1, 2].last() == 2", "pass"),
        ("[1].any() && ![].any() && [1, 2].any(x, x > 1)", "pass"),
        (
            "[1, 2].sum(x, x * 10) == 30 && [1, 2].max(x, -x) == -1",
            "pass",
        ),
        // An element that is unknown.
        ("[user_id].all(u, u == \"a\")", "not_applicable"),
        ("[user_id, \"b\"].all(u, u == \"a\")", "fail"),
        ("[user_id, \"a\"].exists(u, u == \"a\")", "pass"),
        (
            "[user_id, \"a\"].exists_one(u, u == \"a\")",
            "not_applicable",
        ),
        ("[user_id, \"a\", \"a\"].exists_one(u, u == \"a\")", "fail"),
        ("[user_id, \"a\"].filter(u, u == \"a\").size() == 1", "pass"),
        ("[duration_ms, 1.0].sum() > 0", "not_applicable"),
    ]);
}

#[test]
fn texts() {
    check_all(&[
        (
            r#""\a\b\f\n\r\t\v\\\?\"\'\`" == '\x07\x08\x0c\x0a\x0d\x09\x0b\x5c\x3f\x22\x27\x60'"#,
            "pass",
        ),
        (r#""\u00e9\U0001F600\101" == "é😀A""#, "pass"),
        (r#"r"\d" == "\\d" && R'\n'.size() == 2"#, "pass"),
        ("\"\"\"a\"b\nc\"\"\" == 'a\"b\\nc'", "pass"),
        ("'''it's''' == \"it's\"", "pass"),
        (
            "\"hello\".matches(\"^h.*o$\") && \"xay\".matches(\"a\") && !\"b\".matches(\"a\")",
            "pass",
        ),
        ("matches(\"abc\", r\"[a-c]+\")", "pass"),
        (
            "\"Hello\".contains(\"ell\") && !\"Hello\".contains(\"ELL\") && \"x\".contains(\"\")",
            "pass",
        ),
        (
            "\"Hello\".icontains(\"ELL\") && \"GRÜSSE\".icontains(\"grü\") && \"x\".icontains(\"\")",
            "pass",
        ),
        (
            "\"Hello\".startsWith(\"He\") && \"Hello\".endsWith(\"lo\")",
            "pass",
        ),
        ("true // and nothing else: \"", "pass"),
        ("  true  ", "pass"),
    ]);
}

#[test]
fn functions_over_spans() {
    let told = Told::of(vec![
        call("s1", "search", 0, 10),
        call("s2", "think", 10, 20),
        call("s3", "think", 20, 25).failed(),
        call("s4", "book", 30, 40),
        generation("m1", 40, 140).but(|span| span.usage.input_tokens = Some(7)),
    ]);
    for (rule, expected) in [
        (
            "count_between(calls(\"search\"), calls(\"book\"), calls(\"think\")) == 2",
            "pass",
        ),
        (
            "count_between(calls(\"search\"), calls(\"book\"), calls(\"think\")) < 2",
            "fail s2 s3",
        ),
        (
            "count_between(calls(\"book\"), calls(\"search\"), calls) == 0",
            "not_applicable",
        ),
        ("calls.map(s, s.duration_ms).max() < 10", "fail s1 s2 s4"),
        ("spans.max(s, s.duration_ms) < 10", "fail m1"),
        (
            "calls.first().name == \"search\" && calls.last().name == \"book\"",
            "pass",
        ),
        ("calls.last().duration_ms < 5", "fail s4"),
        ("calls[0].name == \"book\"", "fail s1"),
        (
            "calls.map(s, s.name).distinct() == [\"search\", \"think\", \"book\"]",
            "pass",
        ),
        (
            "seq(\"search think+ book\") && spans.seq(\".* gpt-5-mini\")",
            "pass",
        ),
        ("spans[status=error].size() == 0", "fail s3"),
        (
            "spans.exists(s, s.error.type == \"timeout\")",
            "not_applicable s1 s2 s4 m1",
        ),
        ("spans.all(s, !has(s.error))", "fail s3"),
        (
            "calls(\"think\").exists_one(s, s.status == \"success\")",
            "pass",
        ),
        (
            "calls.exists_one(s, s.status == \"success\")",
            "fail s1 s2 s4",
        ),
        ("gens.all(g, g.tokens() > 0)", "not_applicable m1"),
        (
            "trace.span_count == 5 && spans.all(trace, has(trace.name))",
            "pass",
        ),
        (
            "tool_sequence == [\"search\", \"think\", \"think\", \"book\"]",
            "pass",
        ),
        ("ended_at - started_at == 140 && duration_ms == 140", "pass"),
        ("depth == 0 && spans.all(s, s.depth == 0)", "pass"),
        ("state == \"completed\"", "pass"),
    ] {
        check(rule, &told, expected);
    }
}

#[test]
fn parents_and_arguments() {
    let nested = Told::of(vec![
        span("a", SpanType::Agent, "A", 0, 100),
        call("s1", "x", 1, 2)
            .below("a")
            .given("{\"city\": \"Rome\", \"n\": [1, 2]}"),
    ]);
    for (rule, expected) in [
        (
            "calls.all(s, s.parent.name == \"A\" && s.agent == \"A\")",
            "pass",
        ),
        (
            "calls.all(s, s.arguments.city == \"Rome\" && s.arguments.n[1] == 2)",
            "pass",
        ),
        ("calls.all(s, json(s.input).city == \"Rome\")", "pass"),
        ("calls.all(s, s.arguments.city < 5)", "unscored code"),
        ("spans.all(s, has(s.parent))", "fail a"),
    ] {
        check(rule, &nested, expected);
    }
}

#[test]
fn too_many_steps_are_no_verdict() {
    let spans = (0i64..200).map(|n| call(&format!("s{n:03}"), "a", n, n + 1));
    let told = Told::of(spans.collect());
    let cubed = "spans.all(a, spans.all(b, spans.all(c, a.name == b.name && b.name == c.name)))";
    check(cubed, &told, "unscored budget");
    check(
        "spans.all(a, spans.all(b, a.name == b.name))",
        &told,
        "pass",
    );
    let grows = "spans.map(a, spans.map(b, spans.map(c, id + id))).size() > 0";
    check(grows, &told, "unscored budget");
}

#[test]
fn what_cel_asks_of_every_parser() {
    let rule = |source: String| Rule::parse(&source).map(drop);
    let parens = format!("{}7{} == 7", "(".repeat(31), ")".repeat(31));
    assert_eq!(rule(parens), Ok(()));
    assert_eq!(rule(format!("{}true", "!".repeat(32))), Ok(()));
    assert_eq!(rule(format!("{}19 == 19", "-".repeat(32))), Ok(()));
    assert_eq!(rule(vec!["true"; 32].join(" && ")), Ok(()));
    assert_eq!(rule(format!("{} == 3", vec!["3"; 25].join(" - "))), Ok(()));
    assert_eq!(
        rule(format!("{}false", "true ? true : ".repeat(24))),
        Ok(())
    );
    let numbers: Vec<String> = (0..32).map(|n| n.to_string()).collect();
    assert_eq!(rule(format!("[{}][17] == 17", numbers.join(", "))), Ok(()));
    assert!(rule("(".repeat(4_000)).is_err());
    assert!(rule("!-".repeat(2_000)).is_err());
    assert!(rule(vec!["1"; 60].join(" + ")).is_err());
    assert!(rule(format!("\"{}\" == id", "x".repeat(4_096))).is_err());
}
