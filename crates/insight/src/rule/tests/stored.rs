//! The predicate for the storage says what the rule says.

use proptest::prelude::*;

use super::traces::Told;
use crate::rule::{Comparison, NumberOperation, Operand, Rule, StoragePredicate, reference};
use model::{NanoUsd, Outcome, Time, TraceStatus};

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
        assert_eq!(found.map(|found| found.to_sql()).as_deref(), sql, "{rule}");
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Cell {
    Null,
    Number(f64),
    Text(String),
    Bool(bool),
}

/// Reads a column as a table would hold it.
fn column(told: &Told, sql: &str) -> Cell {
    let row = &told.view.row;
    let number = |number: Option<f64>| number.map_or(Cell::Null, Cell::Number);
    let text = |text: Option<&str>| text.map_or(Cell::Null, |text| Cell::Text(text.to_owned()));
    match sql {
        "duration_ms" => number(row.duration_ms),
        "tool_errors" => number(Some(row.tool_errors as f64)),
        "input_tokens" => number(row.usage.input_tokens.map(|n| n as f64)),
        "output_tokens" => number(row.usage.output_tokens.map(|n| n as f64)),
        "(cost_nano_usd / 1e9)" => number(row.cost.map(|cost| cost.0 as f64 / 1e9)),
        "user_id" => text(row.item.user_id.as_deref()),
        "status" => text(Some(told.view.status.as_str())),
        "error_type" => text(row.error_type.as_deref()),
        "error_message" => text(row.error_message.as_deref()),
        "cost_complete" => Cell::Bool(row.cost_complete),
        other => panic!("{other} is not generated"),
    }
}

/// Returns whether it is an integer: divided by another it stays one.
fn is_whole(of: &Operand) -> bool {
    match of {
        Operand::Int(_) => true,
        Operand::Field(field) => field.sql == "tool_errors" || field.sql.ends_with("_tokens"),
        Operand::Arithmetic(left, _, right) => is_whole(left) && is_whole(right),
        _ => false,
    }
}

fn operand(told: &Told, of: &Operand) -> Cell {
    match of {
        Operand::Field(field) => column(told, field.sql),
        Operand::Int(int) => Cell::Number(*int as f64),
        Operand::Double(double) => Cell::Number(*double),
        Operand::Text(text) => Cell::Text(text.clone()),
        Operand::Bool(bool) => Cell::Bool(*bool),
        Operand::Time(time) => Cell::Number(time.as_micros() as f64),
        Operand::Arithmetic(left, operation, right) => {
            match (operand(told, left), operand(told, right)) {
                (Cell::Number(l), Cell::Number(r)) => Cell::Number(match operation {
                    NumberOperation::Add => l + r,
                    NumberOperation::Subtract => l - r,
                    NumberOperation::Multiply => l * r,
                    NumberOperation::Divide if is_whole(left) && is_whole(right) => (l / r).trunc(),
                    NumberOperation::Divide => l / r,
                }),
                _ => Cell::Null,
            }
        }
    }
}

/// SQL's logic: NULL is the third value.
fn holds(told: &Told, predicate: &StoragePredicate) -> Option<bool> {
    let all = |of: &[StoragePredicate]| of.iter().map(|one| holds(told, one)).collect::<Vec<_>>();
    match predicate {
        StoragePredicate::Compare(left, comparison, right) => {
            let (left, right) = (operand(told, left), operand(told, right));
            let order = match (&left, &right) {
                (Cell::Null, _) | (_, Cell::Null) => return None,
                (Cell::Number(left), Cell::Number(right)) => left.partial_cmp(right)?,
                (Cell::Text(left), Cell::Text(right)) => left.cmp(right),
                (Cell::Bool(left), Cell::Bool(right)) => left.cmp(right),
                _ => panic!("{left:?} against {right:?}"),
            };
            Some(match comparison {
                Comparison::Equal => order.is_eq(),
                Comparison::Unequal => order.is_ne(),
                Comparison::Less => order.is_lt(),
                Comparison::AtMost => order.is_le(),
                Comparison::Greater => order.is_gt(),
                Comparison::AtLeast => order.is_ge(),
            })
        }
        StoragePredicate::Is(of) => match operand(told, of) {
            Cell::Bool(bool) => Some(bool),
            _ => None,
        },
        StoragePredicate::Known(of) => Some(operand(told, of) != Cell::Null),
        StoragePredicate::Not(of) => holds(told, of).map(|bool| !bool),
        StoragePredicate::And(of) => match all(of) {
            all if all.contains(&Some(false)) => Some(false),
            all => (!all.contains(&None)).then_some(true),
        },
        StoragePredicate::Or(of) => match all(of) {
            all if all.contains(&Some(true)) => Some(true),
            all => (!all.contains(&None)).then_some(false),
        },
    }
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
        prop_assert_eq!(holds(&told, &predicate), wanted, "{}", source);
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
