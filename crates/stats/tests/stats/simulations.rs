//! The simulations of `benches/simulations.rs` with few runs, and so with large errors.

use super::datasets::judgements;
use super::simulated::{Check, alerts, coverage, judges, sequential};

#[track_caller]
fn hold(checks: impl IntoIterator<Item = Check>) {
    for check in checks {
        assert!(check.holds(), "{}: {check:?}", check.name);
    }
}

#[test]
fn intervals_of_rates_cover() {
    hold(coverage::rates());
    hold(coverage::clusters(20, [0.67, 0.931, 0.950, 0.917], 400));
    hold(coverage::clusters(10, [0.66, 0.910, 0.939, 0.885], 400));
    hold(coverage::strata_example());
    hold(coverage::rare_fails(400));
    hold(coverage::planned());
}

#[test]
fn other_intervals_cover() {
    hold(coverage::others(40));
}

#[test]
fn a_lenient_judge_is_corrected() {
    hold(judges::lenient(100));
    hold(judges::forms(100));
    let all: Vec<(bool, bool)> = judgements(None)
        .iter()
        .map(|item| (item.judge, item.human))
        .collect();
    hold(judges::real(&all, 200));
}

#[test]
fn looking_all_the_time_is_allowed() {
    hold(sequential::peeking(400));
    hold(sequential::betting(150).unwrap());
    hold(sequential::blocks(150));
    hold(sequential::sequence(15).unwrap());
}

#[test]
fn detectors_are_quiet_and_then_quick() {
    hold(alerts::naive(200));
    hold(alerts::rank(60).unwrap());
    hold(alerts::rank_null(8, 0.027, 20).unwrap());
    hold(alerts::rate(100).unwrap());
}
