//! The predicate for the storage says what the rule says.

use proptest::prelude::*;

use super::traces::Told;
use crate::rule::fields::TRACE_FIELDS;
use crate::rule::{Rule, reference};
use model::{COLUMNS, Column, NanoUsd, Outcome, Time, TraceStatus};

#[test]
fn sql() {
    for (rule, sql) in [
        ("duration_ms < 5000", Some("duration_ms < 5000")),
        ("tool_errors == 0", Some("tool_errors = 0")),
        (
            "total_cost_usd <= 0.05 && tokens() <= 60000",
            Some("((cost_nano_usd / 1e9) <= 5e-2) AND ((input_tokens + output_tokens) <= 60000)"),
        ),
        (
            "!(status in [\"error\", \"timeout\"]) || user_id == \"o'neill\"",
            Some("(NOT ((status = 'error') OR (status = 'timeout'))) OR (user_id = 'o''neill')"),
        ),
        (
            "cost_complete && !has(user_id)",
            Some("(cost_complete) AND (NOT (user_id IS NOT NULL))"),
        ),
        (
            "has(error) && error.type != \"timeout\"",
            Some(
                "((error_type IS NOT NULL) OR (error_message IS NOT NULL)) AND (error_type <> 'timeout')",
            ),
        ),
        (
            "started_at >= timestamp(\"2026-01-02T03:04:05Z\")",
            Some("started_at >= TIMESTAMP '2026-01-02T03:04:05.000000Z'"),
        ),
        (
            "llm_ms / 2.0 > tool_ms * 1.5",
            Some("(llm_ms / 2e0) > (tool_ms * 1.5e0)"),
        ),
        ("-tool_errors < 1", Some("(0 - tool_errors) < 1")),
        ("trace.version == \"2\"", Some("version = '2'")),
        ("true", Some("TRUE")),
        ("duration_ms", None),
        ("total_cost_usd == 9007199254740993", None),
        ("duration_ms / 1e-300 > 1", None),
        ("-(duration_ms * 1e300 * 1e300) < 1", None),
        // What may fail, or reads more than a row of the table.
        ("10 / tool_errors > 1", None),
        ("tool_errors * 9223372036854775807 > 1", None),
        ("9223372036854775807 + tool_errors > 1", None),
        ("tool_errors % 2 == 0", None),
        ("spans.size() > 3", None),
        ("final_output == \"x\"", None),
        ("metadata.plan == \"pro\"", None),
        ("duration_ms < 5 && !detector(\"D01\")", None),
    ] {
        let found = Rule::parse(rule).unwrap().storage_predicate();
        assert_eq!(
            found.map(|found| found.to_string()).as_deref(),
            sql,
            "{rule}"
        );
    }
}

#[test]
fn a_field_that_is_a_column_reads_what_the_column_holds() {
    for field in TRACE_FIELDS {
        let Some(name) = field.column else { continue };
        assert!(Column::named(name).is_some(), "{name}");
    }
    for column in COLUMNS {
        let mut of = TRACE_FIELDS.iter().filter_map(|field| field.column);
        assert!(of.any(|name| name == column.name), "{column:?}");
    }
}

fn check_refused(rule: &str, part: &str, message: &str) {
    let problems = Rule::parse(rule).unwrap().to_filter().unwrap_err();
    let [problem] = problems.all() else {
        panic!("{rule}: {problems}")
    };
    assert_eq!(&rule[problem.start..problem.end], part);
    assert!(problem.message.contains(message), "{problems}");
}

#[test]
fn what_a_filter_cannot_ask_is_told_with_its_place() {
    let more = "cannot be told by the columns";
    check_refused("duration_ms < 5 && spans.size() > 3", "spans.size()", more);
    check_refused(
        "!(status == \"error\" || final_output == \"x\")",
        "final_output",
        more,
    );
    check_refused("1 + depth * 2 > tool_errors", "depth", more);
    check_refused("10 / tool_errors > 1", "10 / tool_errors", more);
    check_refused("metadata.plan in [\"pro\"]", "metadata.plan", more);
    check_refused("user_id in tags", "tags", more);
    check_refused("duration_ms / 1000", "duration_ms / 1000", "gives a value");
    let filter = Rule::parse("tool_errors > 0").unwrap().to_filter().unwrap();
    assert_eq!(filter.source, "tool_errors > 0");
}

fn number() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "duration_ms",
        "tool_errors",
        "input_tokens",
        "total_cost_usd",
        "tokens()",
        "0",
        "2",
        "1.5",
        "0.05",
    ]);
    leaf.prop_map(str::to_owned)
        .prop_recursive(2, 6, 2, |inner| {
            let operation = prop::sample::select(vec!["+", "-", "*"]);
            prop_oneof![
                (inner.clone(), operation, inner.clone())
                    .prop_map(|(l, o, r)| format!("({l} {o} {r})")),
                (inner.clone(), prop::sample::select(vec!["2", "0.5"]))
                    .prop_map(|(l, r)| format!("({l} / {r})")),
            ]
        })
}

fn condition() -> impl Strategy<Value = String> {
    let compare = prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let leaf = prop_oneof![
        (number(), compare.clone(), number()).prop_map(|(l, c, r)| format!("{l} {c} {r}")),
        compare.prop_map(|c| format!("user_id {c} \"u\"")),
        prop::sample::select(vec![
            "cost_complete",
            "has(user_id)",
            "has(error)",
            "has(total_cost_usd)",
            "error.type == \"e\"",
            "status in [\"error\", \"running\"]",
            "user_id in [\"u\", \"v\"]",
            "true",
        ])
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(3, 12, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(l, r)| format!("({l} && {r})")),
            (inner.clone(), inner.clone()).prop_map(|(l, r)| format!("({l} || {r})")),
            inner.prop_map(|of| format!("!({of})")),
        ]
    })
}

fn trace() -> impl Strategy<Value = Told> {
    let words = prop::option::of(prop::sample::select(vec!["u", "v", ""]));
    let count = || prop::option::of(0i64..4);
    (
        words,
        count(),
        count(),
        count(),
        0i64..3,
        any::<bool>(),
        0usize..3,
    )
        .prop_map(
            |(user, duration, tokens, cost, errors, is_complete, status)| {
                Told::of(vec![]).with(|told| {
                    let row = &mut told.view.row;
                    row.item.user_id = user.map(str::to_owned);
                    row.duration_ms = duration.map(|ms| ms as f64 * 0.75);
                    row.usage.input_tokens = tokens;
                    row.usage.output_tokens = tokens.filter(|n| n % 2 == 0);
                    row.cost = cost.map(|cost| NanoUsd(cost * 25_000_000));
                    row.tool_errors = errors;
                    row.cost_complete = is_complete;
                    row.error_message = (status == 1).then(|| "m".to_owned());
                    row.error_type = (status == 2).then(|| "e".to_owned());
                    row.started_at = Some(Time::from_micros(0));
                    told.view.status = TraceStatus::ALL[status];
                })
            },
        )
}

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {:?}", self.view.row, self.view.status)
    }
}

proptest! {
    #[test]
    fn the_predicate_says_what_the_rule_says(source in condition(), told in trace()) {
        let rule = Rule::parse(&source).unwrap_or_else(|bad| panic!("{source}\n{bad}"));
        // What could be beyond the integers is not for the storage.
        let Some(predicate) = rule.storage_predicate() else {
            prop_assert!(source.contains('*'), "{}", source);
            return Ok(());
        };
        let wanted = match rule.grade(&told.view, &()).outcome {
            Outcome::Pass => Some(true),
            Outcome::Fail => Some(false),
            Outcome::NotApplicable => None,
            other => panic!("{source} is {other}"),
        };
        let holds = predicate.holds(&told.view.row, told.view.status);
        prop_assert_eq!(holds, wanted, "{}", source);
    }
}

/// `UPDATE_RULES=1 cargo test -p insight reference` writes the page anew.
#[test]
fn the_page_is_what_the_tables_of_the_reference_say() {
    let page = reference();
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/grading/rules.md");
    if std::env::var_os("UPDATE_RULES").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &page).unwrap();
    }
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        page == checked_in,
        "docs/grading/rules.md is not what the tables say; write it anew with \
         UPDATE_RULES=1 cargo test -p insight reference"
    );
}
