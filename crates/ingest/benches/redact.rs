//! What it costs to take secrets out of a batch, for each megabyte that came in, on one core.
//!
//! Each case decodes a body of 100 model calls of one trace, and then processes the batch; only the
//! latter is timed, and the best round is told, for the machine may do something else. The text is what agents say: prose, code,
//! JSON and ids. Run with `cargo bench -p ingest --bench redact`; `-- NAME` measures only what has the
//! word in its name.

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ingest::agents_sdk::{Context, decode};
use ingest::process::{
    Action, ProcessRules, ProcessSettings, Recogniser, RuleSettings, Switches, process,
};
use model::{Batch, Source, Time};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const SPANS: usize = 100;

/// Each case is measured so often.
const ROUNDS: usize = 40;

/// What agents say: no secret in it, and much that is nearly one.
const WORDS: [&str; 8] = [
    "I looked at the order 10482 of 2026-01-02T03:04:05Z and it was shipped on time; the customer asked twice.",
    r#"{\"order_id\":\"ord_8f3a9c2e\",\"items\":[{\"sku\":\"A-100-220\",\"qty\":2,\"price\":19.99}],\"total\":39.98}"#,
    r"def total(items):\n    return sum(i.price * i.qty for i in items)  # see tests/test_total.py:42",
    "Traceback (most recent call last): File \\\"app/main.py\\\", line 118, in run: TimeoutError after 30.5 s",
    "trace 4bf92f3577b34da6a3ce929d0e0e4736 span 00f067aa0ba902b7 took 1523.77 ms, 12,345 tokens, 0.0042 USD",
    "Please refund the second item, keep the first one, and tell them that the parcel arrives by Friday.",
    "Die Lieferung verzögert sich um zwei Tage – wir melden uns, sobald das Paket unterwegs ist.",
    "550e8400-e29b-41d4-a716-446655440000 | v2.14.0 | sha256:9f86d081884c7d65 | 127.0.0.1:8080 | 99.95 %",
];

const SECRETS: [&str; 4] = [
    "Write to anna.schmidt@example.com",
    "card 4111 1111 1111 1111",
    "call +49 30 1234567",
    "key sk-proj-abcdefghij0123456789abcdefghij",
];

/// A message of about `bytes` bytes that differs from number to number; one in `secrets` has a secret.
fn message(number: usize, bytes: usize, secrets: Option<usize>) -> String {
    let mut text = format!("message {number}:");
    let mut word = number;
    while text.len() < bytes {
        let _ = write!(text, " {}", WORDS[word % WORDS.len()]);
        word = word * 7 + 3;
    }
    if secrets.is_some_and(|secrets| number.is_multiple_of(secrets)) {
        let _ = write!(text, " {}", SECRETS[number % SECRETS.len()]);
    }
    text
}

fn body(turns: usize, message_bytes: usize, secrets: Option<usize>) -> Bytes {
    let mut text = String::from("{\"data\":[");
    for number in 0..SPANS {
        let comma = if number > 0 { "," } else { "" };
        let _ = write!(
            text,
            r#"{comma}{{"object":"trace.span","id":"span_{number}","trace_id":"trace_1","parent_id":null,"started_at":"2026-01-02T03:04:05.{number:06}+00:00","ended_at":"2026-01-02T03:04:06+00:00","error":null,"span_data":{{"type":"generation","model":"gpt-4.1-mini","input":["#
        );
        for turn in 0..1 + number * turns * 2 / SPANS {
            let comma = if turn > 0 { "," } else { "" };
            let said = message(turn, message_bytes, secrets);
            let _ = write!(text, r#"{comma}{{"role":"user","content":"{said}"}}"#);
        }
        let said = message(number + 1_000, message_bytes, secrets);
        let _ = write!(
            text,
            r#"],"output":[{{"role":"assistant","content":"{said}"}}],"usage":{{"input_tokens":{number},"output_tokens":31}}}}}}"#
        );
    }
    text.push_str("]}");
    Bytes::from(text)
}

fn decoded(body: &Bytes) -> Batch {
    let context = Context::new(Source::Openai, Time::from_micros(0));
    decode(body.clone(), &context).expect("the body is one")
}

/// Returns milliseconds of work for each megabyte of the body.
fn measure(rules: &ProcessRules, body: &Bytes) -> f64 {
    let round = || {
        let mut batch = decoded(body);
        let started = Instant::now();
        black_box(process(rules, &Switches::default(), &mut batch));
        started.elapsed()
    };
    let best = (0..ROUNDS).map(|_| round()).min().unwrap_or(Duration::MAX);
    best.as_secs_f64() * 1e3 / (body.len() as f64 / 1e6)
}

#[expect(
    clippy::print_stdout,
    reason = "a benchmark is a program that prints its result"
)]
fn main() {
    // `cargo test --benches` asks for a quick look only; there is nothing to check here.
    if std::env::args().any(|argument| argument == "--test") {
        println!("run with cargo bench");
        return;
    }
    let only: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let rule = |name: &str, regex: Option<&str>, path: Option<&str>| RuleSettings {
        name: name.to_owned(),
        regex: regex.map(str::to_owned),
        path: path.map(str::to_owned),
        action: Action::Redact,
    };
    let recognise = ProcessSettings {
        redact: Recogniser::ALL.to_vec(),
        ..ProcessSettings::default()
    };
    let with_rules = ProcessSettings {
        redact_rules: vec![
            rule("customer", Some(r"CUST-\d{6}"), None),
            rule("password", None, Some("$..password")),
        ],
        ..recognise.clone()
    };
    let cases = [
        ("unique messages of 1 KB, nothing found", 0, 1_000, None),
        (
            "unique messages of 1 KB, a secret in each tenth",
            0,
            1_000,
            Some(10),
        ),
        (
            "unique messages of 1 KB, a secret in each",
            0,
            1_000,
            Some(1),
        ),
        ("a history of 1 KB messages, nothing found", 20, 1_000, None),
        (
            "a history of 1 KB messages, a secret in each tenth",
            20,
            1_000,
            Some(10),
        ),
    ];
    for (name, turns, bytes, secrets) in cases {
        let body = body(turns, bytes, secrets);
        for (set, settings) in [
            ("recognisers", &recognise),
            ("recognisers, a regex, a path", &with_rules),
        ] {
            let name = format!("{name}; {set}");
            if !only.is_empty() && !only.iter().any(|word| name.contains(word.as_str())) {
                continue;
            }
            let rules = ProcessRules::compile(settings).expect("the rules are good");
            let cost = measure(&rules, &body);
            println!("{name:<84} {cost:>7.2} ms/MB {:>7.0} MB/s", 1e3 / cost);
        }
    }
}
