//! The reference of the language as a page, made from the tables that the checker reads.

use std::fmt::Write as _;

use super::fields::{Field, SPAN_ERROR_FIELDS, SPAN_FIELDS, TRACE_ERROR_FIELDS, TRACE_FIELDS};
use super::functions::FUNCTIONS;
use super::kinds::Type;
use super::{DEPTH_MAX, SOURCE_BYTES_MAX, STEPS_MAX, VARIABLES_MAX};

/// A rule to learn from.
#[derive(Debug, Clone, Copy)]
pub struct Example {
    /// What it checks.
    pub check: &'static str,
    /// How it is written.
    pub rule: &'static str,
}

const fn example(check: &'static str, rule: &'static str) -> Example {
    Example { check, rule }
}

/// Rules that people write, from simple to hard.
pub const EXAMPLES: &[Example] = &[
    example("fast enough", "duration_ms < 5000"),
    example("no tool errors", "tool_errors == 0"),
    example(
        "every call succeeded",
        r#"spans[type=function].all(s, s.status == "success")"#,
    ),
    example("at most 12 calls", "spans[type=function].size() <= 12"),
    example(
        "search before book",
        r#"before(calls("search_flights"), calls("book_flight"))"#,
    ),
    example(
        "exact shape",
        r#"seq("search_flights+ (get_details)* book_flight")"#,
    ),
    example("never delete", r#"!calls("delete_account").any()"#),
    example(
        "book at most once",
        r#"calls("book_flight").filter(s, s.status == "success").size() <= 1"#,
    ),
    example("no identical call twice in a row", r#"!detector("D01")"#),
    example("no handoff back", "handoffs.returns() == 0"),
    example("right route", r#"handoffs.path() == ["Triage", "Billing"]"#),
    example(
        "only Billing refunds",
        r#"calls("issue_refund").all(s, s.agent == "Billing")"#,
    ),
    example(
        "tripped guardrail ends the run",
        "spans[type=guardrail].all(g, !g.triggered || spans[type=generation].all(s, s.started_at < g.ended_at))",
    ),
    example(
        "answer exists, no apology",
        r#"final_output.size() > 20 && !final_output.matches("(?i)i('m| am) (sorry|unable)")"#,
    ),
    example(
        "nothing cut off",
        r#"spans[type=generation].all(s, s.finish_reason != "length")"#,
    ),
    example("cost", "total_cost_usd <= 0.05 && tokens() <= 60000"),
    example("no slow step", "spans.all(s, s.self_ms < 3000)"),
    example(
        "slower than last month's p95?",
        r#"duration_ms <= baseline("p95:duration_ms") * 1.2"#,
    ),
    example(
        "answer is the schema",
        r#"valid(final_output, "ticket.v2")"#,
    ),
    example(
        "every booking id in the answer came from a tool",
        r#"!detector("D19") && !detector("D07")"#,
    ),
    example(
        "confirmed before write",
        r#"calls("book_flight").all(b, spans[type=generation].exists(g, g.ended_at <= b.started_at && g.input.icontains("yes")))"#,
    ),
    example(
        "retried after failure",
        r#"calls("pay").filter(s, s.status == "error").all(e, calls("pay").exists(r, r.started_at > e.started_at))"#,
    ),
    example(
        "model is the cheap one",
        r#"spans[type=generation].all(s, s.model.matches("-mini|-nano|-flash"))"#,
    ),
    example(
        "expected calls made (dataset)",
        "ref.calls.all(c, spans[type=function].exists(s, s.name == c.name && json(s.input) == c.args))",
    ),
    example("well formed", r#"!detector("D26") && status == "success""#),
];

const HEAD: &str = "\
# Rules

A rule is an expression that a trace keeps to or not: `{\"type\": \"rule\", \"check\": \"duration_ms < 5000\"}`. The language is
a subset of [CEL](https://cel.dev) with three short forms for spans. This page is made from the tables that check rules
(`UPDATE_RULES=1 cargo test -p insight reference`); never edit it by hand.

## Examples

| check | rule |
|---|---|
";

const LANGUAGE: &str = r#"
## Language

- Values: `5000`, `0x10`, `0.05`, `"text"`, `'text'`, `"""text over lines"""`, `r"raw \d"`, `true`, `false`, `null`, `[1, 2]`.
- Operators, the strongest first: `a.b` `a[b]` `a.f(x)`, `!` `-`, `*` `/` `%`, `+` `-`, `<` `<=` `>` `>=` `==` `!=` `in`, `&&`, `||`, `? :`. A comment runs from `//` to the end of its line.
- `spans[type=function, name~"search*", duration_ms>2000]` chooses the spans for which every condition holds. `~` compares with a text in which `*` is any text and `?` any character; a word needs no quotes. `within(spans[type=agent, name="Billing"])` among the conditions asks for spans below others. `type=tool` is `type=function`, and `type=response` is a generation that the sender called so.
- `calls("x")` are the calls of a tool. `trace.x` is the field `x` of the trace, should a variable have its name.
- `seq("search+ .* book")` is a regular expression whose letters are names: names stand apart, `.` is any name, and `* + ? | ( ) {2} {1,3}` mean what they mean elsewhere. It is about all calls, from the first to the last. A name with other signs stands in quotes: `'get user'`.
- A method may be called as a function: `size(calls)` is `calls.size()`.

## Missing data

What the sender did not tell is null. A comparison with it is neither true nor false but unknown, and so is what hangs on it: `unknown && false` is false, `unknown || true` is true, `!unknown` is unknown. A rule that ends unknown is `not_applicable` (with `strict`: fails). `has(x)` asks whether `x` is there. `filter` and selectors leave out elements for which the condition is unknown; sums and means over a missing number are unknown.

`all` over nothing holds; a rule that holds only because there was nothing to look at is tagged `vacuous`.

## Numbers, texts, times

Integers are exact: beyond 64 bits a rule has no verdict (`unscored`), and neither has one that divides by zero. An integer and a number with a point are compared by their exact values, and joined to a number with a point. A text is never taken for a number. Times minus times are milliseconds; milliseconds may be added to times. Texts are ordered by their characters' numbers.

As in CEL, `false && e` is false and `true || e` is true even where `e` has no value.

A quantifier goes from element to element, in their order, and not behind the one that decides; neither does a `filter`, a `map` or a selector that it asks. An element whose condition in a `filter` has no value leaves the rule without a verdict if it stands before the one that decides, and is never looked at if it stands behind it: `[1, 0].filter(x, 1 / x > 0).all(x, x > 1)` fails for `1`, and `[0, 1].filter(x, 1 / x > 0).all(x, x > 1)` is `unscored`. What counts or sums up looks at all of them.

A rule may also give a number or a text: it becomes the grade's score or label.

## Failures

A rule that fails points at the spans that made it fail: of a quantifier the elements that decided, of `before` the spans that came too early, of `seq` the call at which the pattern ended, of a detector its hits, of a count what was counted.
"#;

fn limits() -> String {
    format!(
        "\n## Limits\n\nA rule has at most {SOURCE_BYTES_MAX} bytes, is nested at most {DEPTH_MAX} deep, has at most \
         {VARIABLES_MAX} variables in one place, and takes at most {STEPS_MAX} steps for a trace; with more it is \
         `unscored` (`budget`). Regular expressions take time in proportion to the text.\n"
    )
}

/// Returns the page.
pub fn reference() -> String {
    let mut page = HEAD.to_owned();
    for Example { check, rule } in EXAMPLES {
        let _ = writeln!(page, "| {check} | `{}` |", escaped(rule));
    }
    page.push_str(LANGUAGE);
    page.push_str(&limits());
    page.push_str("\n## Functions\n\n| function | gives | what it does |\n|---|---|---|\n");
    for function in FUNCTIONS {
        let gives = match function.gives {
            super::functions::Gives::Known(given) => given.to_string(),
            super::functions::Gives::Item => "an element".to_owned(),
            super::functions::Gives::Same => "a list".to_owned(),
            super::functions::Gives::Mapped => "a list".to_owned(),
            super::functions::Gives::Sum => "a number".to_owned(),
        };
        let (form, doc) = (escaped(function.form), escaped(function.doc));
        let _ = writeln!(page, "| `{form}` | {gives} | {doc} |");
    }
    table(&mut page, "Fields of the trace", TRACE_FIELDS);
    table(&mut page, "Fields of its `error`", TRACE_ERROR_FIELDS);
    table(&mut page, "Fields of a span", SPAN_FIELDS);
    table(&mut page, "Fields of a span's `error`", SPAN_ERROR_FIELDS);
    page
}

fn table<Read>(page: &mut String, title: &str, fields: &[Field<Read>]) {
    let _ = write!(
        page,
        "\n## {title}\n\n| field | type | meaning |\n|---|---|---|\n"
    );
    for field in fields {
        let names = std::iter::once(&field.name).chain(field.aliases);
        let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
        let given = match field.field_type {
            Type::Word(words) => words
                .all
                .iter()
                .map(|word| format!("`{word}`"))
                .collect::<Vec<_>>()
                .join(", "),
            given => given.to_string(),
        };
        let _ = writeln!(
            page,
            "| {} | {given} | {} |",
            names.join(", "),
            escaped(field.doc)
        );
    }
}

/// A pipe would end the cell.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}
