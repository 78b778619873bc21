//! What rules mean, shown on traces that are written down by hand.

mod checks;
mod compared;
mod conformance;
mod meaning;
mod naive;
mod problems;
mod stored;
mod traces;

use traces::Told;

/// Grades a trace by a rule and compares what came of it with a line such as `fail s1 s2`.
#[track_caller]
fn check(rule: &str, trace: &Told, expected: &str) {
    let parsed = super::Rule::parse(rule).unwrap_or_else(|problems| panic!("{rule}\n{problems}"));
    let result = parsed.grade(&trace.view, &trace.world);
    assert_eq!(
        traces::line(&result),
        expected,
        "{rule}\n{:?}",
        result.reasoning
    );
}

#[test]
fn rules_are_shared_between_threads() {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<super::Rule>();
    is_shared::<super::Selector>();
}
