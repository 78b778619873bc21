//! How the story is graded: a grader of each kind, what is run, and what the shop's people said.

use std::collections::HashSet;

use model::Time;
use serde_json::{Value, json};

use super::cases::{FailureKind, Truth};
use super::cast::Version;
use super::prng::Prng;

/// The model that the demo's judge goes by.
pub(crate) const JUDGE_MODEL: &str = "fernhollow-judge";

/// Cases that people read, in both versions.
const LABELLED: usize = 44;

/// Of those so many are compared side by side.
const COMPARED: usize = 20;

/// Of a hundred labels so many are wrong: people are tired too.
const MISREAD: usize = 4;

/// What is saved under a name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SavedGrader {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    pub(crate) definition: Value,
}

/// A run over the story.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PlannedRun {
    pub(crate) name: &'static str,
    /// The body of the request that makes it.
    pub(crate) body: Value,
}

/// What somebody said of a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) trace_id: String,
    pub(crate) is_good: bool,
    /// A word for what went wrong.
    pub(crate) label: Option<&'static str>,
    pub(crate) author: &'static str,
}

/// The question that people answered.
pub(crate) const LABELLED_GRADER: &str = "goal-reached";

/// Names of the runs over the regression set, which a gate compares.
pub(crate) const RUN_OLD: &str = "regression v1.8.2";
pub(crate) const RUN_NEW: &str = "regression v1.9.0";

/// Returns the graders: one of each kind.
pub(crate) fn graders() -> Vec<SavedGrader> {
    let grader = |name, description, definition| SavedGrader {
        name,
        description,
        definition,
    };
    let goal = json!({"type": "llm", "criteria": GOAL});
    vec![
        grader(
            "no-tool-errors",
            "No tool call failed.",
            json!({"type": "rule", "check": "tool_errors == 0"}),
        ),
        grader(
            "paid-once",
            "No change is made twice: the refund that timed out and was paid again.",
            json!({"type": "detector", "detector": "D17"}),
        ),
        grader(
            "step-efficiency",
            "The share of tool calls that were not repeated, useless or failed and made again.",
            json!({"type": "trajectory", "metric": "step_efficiency"}),
        ),
        grader(
            LABELLED_GRADER,
            "The customer got what could be had. Asks a judge.",
            goal.clone(),
        ),
        grader(
            "card-refund-times",
            "Refunds to a card are promised for 7 to 10 business days, as KB-212 has it. In Python.",
            json!({"type": "code", "source": REFUND_TIMES}),
        ),
        grader(
            "goal-and-care",
            "Two thirds goal, one third no call that failed.",
            json!({
                "type": "multi",
                "graders": {"goal": goal, "clean": {"type": "rule", "check": "tool_errors == 0"}},
                "calculate_output": "(2 * goal + clean) / 3",
                "pass_threshold": 0.6
            }),
        ),
    ]
}

const GOAL: &str = "\
Did the customer get what could be had?

Pass: what the customer asked for was done or answered, and a tool's result shows it.
Fail: it was not done, was only said to be done, or rests on what is out of date.
If the trace does not show what the customer wanted, answer unknown.";

const REFUND_TIMES: &str = r#"import re


def grade(trace):
    """The times that the answer promises for a refund are those of the handbook."""
    answer = trace.get("output") or ""
    promised = re.findall(r"(\d+)\s*(?:to|–|-)\s*(\d+) business days", answer)
    if not promised:
        return {"passed": True, "reason": "no time is promised"}
    wrong = [days for days in promised if days != ("7", "10")]
    return {"passed": not wrong, "reason": f"promised {' and '.join('–'.join(d) for d in promised)} business days"}
"#;

/// Returns what is run over the story: graders that ask nobody over both versions' regression sets, those
/// that take time over the cases that people read, a judge who sees some of these side by side, and a sample
/// of what customers wrote.
pub(crate) fn runs(until: Time, seed: u64) -> Vec<PlannedRun> {
    let cheap = ["no-tool-errors", "paid-once", "step-efficiency"];
    let regression = |name, version: Version| PlannedRun {
        name,
        body: json!({
            "name": name,
            "graders": cheap,
            "filter": {"version": version.as_str(), "environment": "ci"},
        }),
    };
    let read = read(until, seed);
    let of_new = read.iter().filter(|truth| truth.version == Version::V1_9);
    let of_new: Vec<&str> = of_new.map(|truth| &*truth.trace_id).collect();
    let compared = &of_new[..COMPARED.min(of_new.len())];
    let read: Vec<&str> = read.iter().map(|truth| &*truth.trace_id).collect();
    vec![
        regression(RUN_OLD, Version::V1_8),
        regression(RUN_NEW, Version::V1_9),
        PlannedRun {
            name: "cases that people read",
            body: json!({
                "name": "cases that people read",
                "graders": [LABELLED_GRADER, "card-refund-times", "goal-and-care"],
                "trace_ids": read,
            }),
        },
        PlannedRun {
            name: "v1.9.0 beside v1.8.2",
            body: json!({
                "name": "v1.9.0 beside v1.8.2",
                "graders": ["library:better_answer"],
                "trace_ids": compared,
                "against": {"filter": {"version": Version::V1_8.as_str(), "environment": "ci"}},
                "pair_by": "metadata.case",
            }),
        },
        PlannedRun {
            name: "production, a sample",
            body: json!({
                "name": "production, a sample",
                "graders": cheap,
                "filter": {"workflow_name": "support-triage", "environment": "production"},
                "sample_strategy": "stratified",
                "strata": [
                    {"name": "went well", "filter": {"status": "success"}, "size": 150},
                    {"name": "went wrong", "filter": {"status": ["error", "timeout"]}, "size": 50}
                ],
            }),
        },
    ]
}

/// Returns the cases that people read, as each version played them.
fn read(until: Time, seed: u64) -> Vec<Truth> {
    let mut truths = super::truths(until, seed);
    truths.retain(|truth| truth.case.is_some());
    let dead = truths
        .iter()
        .filter(|truth| truth.failure == Some(FailureKind::Abandoned));
    let dead: HashSet<String> = dead.filter_map(|truth| truth.case.clone()).collect();
    let of_old = truths.iter().filter(|truth| truth.version == Version::V1_8);
    let mut cases: Vec<String> = of_old.filter_map(|truth| truth.case.clone()).collect();
    cases.retain(|case| !dead.contains(case));
    cases.sort();
    Prng::new(seed, 87).shuffle(&mut cases);
    cases.truncate(LABELLED);
    truths.retain(|truth| truth.case.as_ref().is_some_and(|case| cases.contains(case)));
    truths.sort_by(|a, b| (&a.case, a.version).cmp(&(&b.case, b.version)));
    truths
}

/// Returns what the shop's people said of these cases.
pub(crate) fn labels(until: Time, seed: u64) -> Vec<Label> {
    let mut prng = Prng::new(seed, 88);
    let label = |truth: Truth| {
        let is_good = truth.resolved != (prng.below(100) < MISREAD);
        Label {
            is_good,
            label: truth.failure.filter(|_| !is_good).map(word),
            author: prng.pick(&["ines", "tom"]),
            trace_id: truth.trace_id,
        }
    };
    read(until, seed).into_iter().map(label).collect()
}

/// Returns the word by which people count a failure.
fn word(failure: FailureKind) -> &'static str {
    use FailureKind::*;
    match failure {
        DoubleRefund => "paid twice",
        WrongPolicy => "made-up policy",
        ClaimedNotDone => "claimed, not done",
        ToolLoop => "loop",
        PingPong => "ping-pong",
        WrongHandoff => "wrong agent",
        StaleTracking => "old scan",
        AskedTwice => "asked twice",
        StoreCredit => "store credit instead",
        WrongAddress => "old address",
        ToolNotFound => "no such tool",
        EmptyAnswer => "no answer",
        Truncated => "cut off",
        ModelError => "model down",
        ToolTimeout => "tool silent",
        InputBlocked | OutputBlocked => "blocked",
        Abandoned => "broke off",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_grader_of_each_kind_and_88_labels() {
        let graders = graders();
        let kinds: HashSet<_> = graders
            .iter()
            .map(|g| g.definition["type"].to_string())
            .collect();
        assert_eq!(kinds.len(), 6);
        let until = Time::parse_rfc3339("2026-11-21T14:32:10.250000Z").unwrap();
        let labels = labels(until, 2026);
        assert_eq!(labels.len(), 88);
        let traces: HashSet<_> = labels.iter().map(|label| &label.trace_id).collect();
        assert_eq!(traces.len(), 88);
        let bad = labels.iter().filter(|label| !label.is_good).count();
        assert!((10..45).contains(&bad), "{bad}");
    }
}
