//! How often do detectors fire, and what does it say when they do?
//!
//! Reads the development data (`grading-datasets.md` of the specifications) from the folder that is
//! given, and prints for each detector how many traces it can say something of, in how many it fires,
//! and how many of those failed; then precision and recall on faults that are planted one by one into
//! traces in which the detector found nothing; then how long it takes. Ends with an error where a
//! figure that was measured before does not come out again.
//!
//! `cargo bench -p insight --bench detectors -- FOLDER [DETECTOR]`; with a detector, what it says of each
//! trace is printed instead.
#![expect(
    clippy::unwrap_used,
    reason = "a program of measurement fails by panicking"
)]
#![expect(clippy::print_stdout, reason = "it prints what it measured")]

#[path = "detectors/large.rs"]
mod large;
#[path = "detectors/oracle.rs"]
mod oracle;
#[path = "detectors/planted.rs"]
mod planted;
#[path = "detectors/prevalence.rs"]
mod prevalence;
#[expect(dead_code, reason = "tests use the rest")]
#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use insight::{Context, Effects, WorkflowRules};
use serde_json::Value;

/// One set of traces.
pub(crate) struct Data {
    name: &'static str,
    /// Each with whether it succeeded, where that is known.
    traces: Vec<(String, Option<bool>)>,
    context: Context,
}

/// The files of each set: traces, and labels with `trace_id` and `success`.
const SETS: [(&str, &str, Option<&str>); 6] = [
    (
        "tau-bench",
        "tau-bench-airline/traces",
        Some("tau-bench-airline/labels"),
    ),
    (
        "intercode-sql",
        "intercode/sql.traces",
        Some("intercode/sql.labels"),
    ),
    (
        "intercode-bash",
        "intercode/bash.traces",
        Some("intercode/bash.labels"),
    ),
    (
        "mast-ag2",
        "mast-ag2/traces.seed42",
        Some("mast-ag2/labels.seed42"),
    ),
    (
        "who-and-when",
        "who-and-when/traces",
        Some("who-and-when/labels"),
    ),
    ("swe-agent", "swe-agent-demos/traces", None),
];

/// The tools of tau-bench that write, as its labels list them.
const TAU_WRITES: [&str; 6] = [
    "book_reservation",
    "cancel_reservation",
    "send_certificate",
    "update_reservation_baggages",
    "update_reservation_flights",
    "update_reservation_passengers",
];

fn main() -> ExitCode {
    // `cargo bench` gives `--bench` itself.
    let mut arguments = std::env::args().skip(1);
    let folder = arguments
        .find(|argument| !argument.starts_with("--"))
        .map_or_else(|| PathBuf::from("/nonexistent"), PathBuf::from);
    if !folder.is_dir() {
        println!("no folder of development data was given: nothing to measure");
        return ExitCode::SUCCESS;
    }
    let sets: Vec<Data> = SETS.iter().map(|set| read(&folder, set)).collect();
    if let Some(detector) = arguments.find_map(|word| word.parse().ok()) {
        sets.iter()
            .for_each(|set| prevalence::print_hits(set, detector));
        return ExitCode::SUCCESS;
    }
    for set in &sets {
        prevalence::print(set);
    }
    planted::print(&sets[0]);
    large::print();
    match oracle::check(&sets[1]) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn read(folder: &Path, (name, traces, labels): &(&'static str, &str, Option<&str>)) -> Data {
    let file = |name: &str| folder.join(format!("{name}.jsonl.zst"));
    let mut succeeded: HashMap<String, bool> = HashMap::new();
    let labels = labels.map(|labels| support::lines(&file(labels)));
    for line in labels.into_iter().flatten() {
        let label: Value = serde_json::from_str(&line).unwrap();
        let id = label["trace_id"].as_str().unwrap().to_owned();
        succeeded.extend(label["success"].as_bool().map(|told| (id, told)));
    }
    let lines = support::lines(&file(traces)).into_iter();
    let traces = lines.map(|line| {
        let told: Value = serde_json::from_str(&line).unwrap();
        let id = told["trace"]["id"].as_str().unwrap();
        let succeeded = succeeded.get(id).copied();
        (line, succeeded)
    });
    let effects = match *name {
        // A query changes nothing, whatever its tool is called.
        "intercode-sql" => Effects::declared([]),
        "tau-bench" => Effects::declared(TAU_WRITES.map(str::to_owned)),
        _ => Effects::default(),
    };
    let other_workflows = WorkflowRules {
        confirms_writes: true,
        verifies_writes: true,
        ..WorkflowRules::default()
    };
    Data {
        name,
        traces: traces.collect(),
        context: Context {
            effects,
            other_workflows,
            ..Context::default()
        },
    }
}
