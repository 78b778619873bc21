//! Two traces that are too large for most tools: a batch of 20,000 spans, deep and wide, and a coding
//! run of 60 turns whose history grows to some hundred kilobytes.

use serde_json::json;

use super::cast::{self, Agent};
use super::plot::{Beat, Call, Reply};
use super::prng::Prng;
use super::run::{Blocks, Stage};
use super::trace::{Item, Output, ToolCall, What};

/// Spans of the batch, all counted.
pub(super) const RECONCILE_SPANS: usize = 20_000;

const REGIONS: [&str; 8] = [
    "nordic",
    "benelux",
    "iberia",
    "alps",
    "british-isles",
    "baltics",
    "central",
    "adriatic",
];
const METHODS: [&str; 4] = ["card", "bank-transfer", "invoice", "voucher"];

/// Plays the nightly reconciliation: region > method > day > batch > payment > match > query, and an
/// agent where the rules cannot decide.
pub(super) fn reconcile(stage: &mut Stage<'_>, prng: &mut Prng) {
    let root = custom(
        stage,
        None,
        "nightly-reconcile",
        json!({"ledger": "payments", "regions": REGIONS.len()}),
    );
    let load = custom(stage, Some(root), "load ledgers", json!({"rows": 48_112}));
    stage.pass_about(9_000.0, 0.2);
    stage.close(load);
    let begin = stage.now();
    let mut end = begin;
    let share = (RECONCILE_SPANS - 12) / REGIONS.len();
    for (i, region) in REGIONS.iter().enumerate() {
        stage.rewind(begin);
        let span = custom(
            stage,
            Some(root),
            &format!("region {region}"),
            json!({"region": region}),
        );
        self::region(stage, prng, span, 3 + share * (i + 1));
        stage.close(span);
        end = end.max(stage.now());
    }
    stage.rewind(end);
    let mut page = 0;
    while stage.spans() < RECONCILE_SPANS {
        page += 1;
        let span = custom(
            stage,
            Some(root),
            &format!("write report page {page}"),
            json!({"page": page}),
        );
        stage.close(span);
    }
    stage.close(root);
}

/// Fills one region with batches until the trace holds about `limit` spans.
fn region(stage: &mut Stage<'_>, prng: &mut Prng, region: usize, limit: usize) {
    // The last payment may open this many spans below its batch.
    const MARGIN: usize = 40;
    let mut day = 0;
    while stage.spans() + MARGIN < limit {
        day += 1;
        let day_span = custom(
            stage,
            Some(region),
            &format!("ledger day −{day}"),
            json!({"day": -day}),
        );
        for method in METHODS {
            let ledger = custom(
                stage,
                Some(day_span),
                &format!("method {method}"),
                json!({"method": method}),
            );
            for batch in 0..prng.between(2, 5) {
                if stage.spans() + MARGIN >= limit {
                    break;
                }
                let name = format!("batch {:04}", day * 100 + batch);
                let span = custom(stage, Some(ledger), &name, json!({"size": 12}));
                (0..prng.between(8, 16)).for_each(|_| {
                    if stage.spans() + MARGIN < limit {
                        payment(stage, prng, span);
                    }
                });
                stage.close(span);
            }
            stage.close(ledger);
        }
        stage.close(day_span);
    }
}

fn payment(stage: &mut Stage<'_>, prng: &mut Prng, batch: usize) {
    let (order, cents) = (prng.between(4_100, 9_899), prng.between(2_900, 44_900));
    let amount = format!("{}.{:02}", cents / 100, cents % 100);
    let span = custom(
        stage,
        Some(batch),
        &format!("payment for order {order}"),
        json!({"amount": amount}),
    );
    let what = What::Tool(ToolCall {
        name: "match_payment",
        arguments: json!({"order_id": order, "amount": amount}).to_string(),
        output: Output::Json(json!({"matched": true, "order_id": order}).to_string()),
        server: None,
    });
    let rule = stage.open(Some(span), what);
    let query = custom(
        stage,
        Some(rule),
        "SELECT payments",
        json!({"rows": prng.between(1, 3)}),
    );
    stage.pass_about(14.0, 0.6);
    stage.close(query);
    if prng.chance(0.02) {
        let data = json!({"tool_name": "match_payment", "error": "ledger row is locked by another transaction"});
        stage.fault(rule, "Error running tool (non-fatal)", data, true);
    }
    stage.close(rule);
    if prng.chance(0.035) {
        ask_agent(stage, prng, span, order, &amount);
    }
    stage.close(span);
}

fn ask_agent(stage: &mut Stage<'_>, prng: &mut Prng, parent: usize, order: i64, amount: &str) {
    let find = Call {
        tool: &cast::FIND_PAYMENT,
        arguments: json!({"amount": amount, "day": format!("−{}", prng.between(1, 9))}).to_string(),
        reply: Reply::Json(
            json!({"candidates": [{"order_id": order, "distance": 0.04}]}).to_string(),
        ),
    };
    let answer = if prng.chance(0.8) {
        format!("order {order}")
    } else {
        "unmatched".to_owned()
    };
    let beats = vec![Beat::Calls(None, vec![find]), Beat::Answer(answer)];
    stage.forget();
    stage.hear(Item::User(format!(
        "A payment of ${amount} names no order. Which one is it for?"
    )));
    stage.run(Some(parent), Agent::Reconciler, beats, Blocks::default());
}

fn custom(
    stage: &mut Stage<'_>,
    parent: Option<usize>,
    name: &str,
    data: serde_json::Value,
) -> usize {
    stage.open(
        parent,
        What::Custom {
            name: name.to_owned(),
            data,
        },
    )
}

const FILES: [&str; 10] = [
    "storefront/cart/totals.py",
    "storefront/cart/discounts.py",
    "storefront/checkout/session.py",
    "storefront/checkout/tax.py",
    "storefront/catalog/prices.py",
    "storefront/catalog/importer.py",
    "storefront/orders/refunds.py",
    "storefront/orders/state.py",
    "tests/test_totals.py",
    "tests/test_refunds.py",
];

const TASK: &str = "The test suite fails since yesterday: `tests/test_refunds.py::test_partial_refund_rounds_down` says 19.99 != 20.00. Find the cause and fix it without changing the test. The rounding of vouchers has to stay as it is.";

const THOUGHTS: [&str; 8] = [
    "Before I change anything I want to see what the test really calls.",
    "The total is right in the cart and wrong after the refund; the rounding must happen twice.",
    "There are two helpers with nearly the same name. I check who uses which.",
    "This passes alone and fails in the suite, so some state leaks between tests.",
    "Decimal is made from a float here. That is where the cent gets lost.",
    "I should check the voucher path before I touch the shared helper.",
    "The fix is one line, but three callers rely on the old rounding. I read them first.",
    "Let me run the narrow tests again before the whole suite.",
];

/// Turns of the coding run.
pub(super) const CODEFIX_TURNS: usize = 60;

/// Plays an engineer's hour: read, search, change, test, over and over, with all of it in the history.
pub(super) fn codefix(stage: &mut Stage<'_>, prng: &mut Prng) {
    stage.hear(Item::User(TASK.to_owned()));
    let mut beats: Vec<Beat> = (0..CODEFIX_TURNS - 1)
        .map(|turn| engineer(prng, turn))
        .collect();
    beats.push(Beat::Answer("The cause was a refund share computed from a float: `Decimal(0.1 * cents)` keeps 28 digits of a number that was already wrong, and quantising it twice lost a cent.\n\nI now compute the share from integers in `storefront/orders/refunds.py` and quantise once, rounding down. Voucher rounding is untouched; `test_vouchers.py` has the same results as before.\n\nThe narrow tests and the whole suite (412 tests) pass.".to_owned()));
    stage.run(None, Agent::Coder, beats, Blocks::default());
}

fn engineer(prng: &mut Prng, turn: usize) -> Beat {
    let file = prng.pick(&FILES);
    let thought = prng.chance(0.4).then(|| prng.pick(&THOUGHTS).to_owned());
    let call = |tool, arguments: serde_json::Value, reply| Call {
        tool,
        arguments: arguments.to_string(),
        reply,
    };
    let read = |prng: &mut Prng, file: &str| {
        call(
            &cast::READ_FILE,
            json!({"path": file}),
            Reply::Text(source(prng, file)),
        )
    };
    let calls = match turn % 6 {
        0 => vec![read(prng, file)],
        1 => {
            let other = prng.pick(&FILES);
            vec![read(prng, file), read(prng, other)]
        }
        2 => vec![call(
            &cast::GREP,
            json!({"pattern": "quantize|round_half"}),
            Reply::Text(matches(prng)),
        )],
        3 => {
            let edit = json!({"path": file, "old": "share = Decimal(0.1 * cents)", "new": "share = Decimal(cents) / 10"});
            vec![call(
                &cast::EDIT_FILE,
                edit,
                Reply::Text(format!("1 replacement in {file}")),
            )]
        }
        _ => {
            let failing = turn < CODEFIX_TURNS - 8;
            let command = if turn % 6 == 4 {
                "pytest -x tests/test_refunds.py"
            } else {
                "pytest -q"
            };
            vec![call(
                &cast::RUN_SHELL,
                json!({"command": command}),
                Reply::Text(test_run(prng, failing)),
            )]
        }
    };
    Beat::Calls(thought, calls)
}

const NOUNS: [&str; 12] = [
    "total", "share", "voucher", "line", "refund", "tax", "price", "basket", "capture", "fee",
    "credit", "amount",
];
const VERBS: [&str; 8] = [
    "split", "apply", "settle", "round", "collect", "check", "allocate", "merge",
];

/// Returns a file of plausible Python with line numbers.
fn source(prng: &mut Prng, path: &str) -> String {
    use std::fmt::Write as _;
    let mut out = format!("# {path}\n");
    let mut line = 1;
    let mut put = |text: &str| {
        writeln!(out, "{line:>5}  {text}").expect("a String takes every write");
        line += 1;
    };
    put("from decimal import ROUND_DOWN, Decimal");
    for _ in 0..prng.between(5, 10) {
        let (verb, noun, other) = (prng.pick(&VERBS), prng.pick(&NOUNS), prng.pick(&NOUNS));
        put("");
        put(&format!(
            "def {verb}_{noun}({noun}: Decimal, {other}s: list[Decimal]) -> Decimal:"
        ));
        put(&format!(
            "    \"\"\"Return the {noun} after every {other} was taken into account.\"\"\""
        ));
        put(&format!("    if not {other}s:"));
        put(&format!("        return {noun}"));
        put(&format!(
            "    for {other} in sorted({other}s, reverse=True):"
        ));
        put(&format!(
            "        {noun} -= {other}.quantize(Decimal(\"0.01\"), rounding=ROUND_DOWN)"
        ));
        put(&format!(
            "    return max({noun}, Decimal({}))",
            prng.below(3)
        ));
    }
    out
}

fn matches(prng: &mut Prng) -> String {
    let line = |prng: &mut Prng| {
        let (file, at) = (prng.pick(&FILES), prng.between(8, 240));
        format!(
            "{file}:{at}:    {} = {}.quantize(CENT)\n",
            prng.pick(&NOUNS),
            prng.pick(&NOUNS)
        )
    };
    (0..prng.between(12, 30)).map(|_| line(prng)).collect()
}

fn test_run(prng: &mut Prng, failing: bool) -> String {
    let mut out = String::from(
        "============================= test session starts =============================\n",
    );
    for i in 0..prng.between(30, 60) {
        let (verb, noun) = (prng.pick(&VERBS), prng.pick(&NOUNS));
        out.push_str(&format!(
            "tests/test_{noun}s.py::test_{verb}_{noun}_{i} PASSED\n"
        ));
    }
    out.push_str(match failing {
        true => "tests/test_refunds.py::test_partial_refund_rounds_down FAILED\n\n    def test_partial_refund_rounds_down():\n>       assert refund(Decimal(\"199.99\"), 0.1) == Decimal(\"20.00\")\nE       AssertionError: assert Decimal('19.99') == Decimal('20.00')\n\n1 failed, 411 passed in 6.02s\n",
        false => "\n412 passed in 5.87s\n",
    });
    out
}
