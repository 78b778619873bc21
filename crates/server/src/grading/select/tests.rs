//! What is drawn, weighed and put in order.

use proptest::prelude::*;

use super::Strategy;
use super::*;

fn candidate(n: usize, stratum: usize) -> Candidate {
    Candidate {
        trace_id: TraceId::new(&format!("t{n:04}")).unwrap(),
        group_id: None,
        started_at: Some(Time::from_micros(n as i64)),
        home: Time::from_micros(n as i64),
        stratum,
        partner: None,
        beside: None,
    }
}

fn asked(strategy: Strategy, sample_size: Option<usize>, strata: &[Option<usize>]) -> Asked {
    let stratum = |(at, size): (usize, &Option<usize>)| StratumAsked {
        name: format!("s{at}"),
        filter: TraceFilter::default(),
        size: *size,
    };
    Asked {
        filter: TraceFilter::default(),
        rule: None,
        limit: None,
        sample_size,
        strategy,
        strata: strata.iter().enumerate().map(stratum).collect(),
        seed: "seed".to_owned(),
        include_running: false,
        in_order_of_hash: true,
        by_groups: false,
        against: None,
        references: None,
    }
}

/// Draws of strata of these sizes.
fn drawn(asked: &Asked, sizes: &[usize]) -> Result<Selected, ApiError> {
    let mut candidates = Vec::new();
    for (stratum, size) in sizes.iter().enumerate() {
        let first = candidates.len();
        candidates.extend((first..first + size).map(|n| candidate(n, stratum)));
    }
    let found = Found {
        candidates,
        groups: HashSet::new(),
        running: 0,
        outside: 0,
        missing: Vec::new(),
        pairs: None,
        tally: Tally::default(),
        room: Room {
            ledger: Ledger::new(1 << 30),
            held: Vec::new(),
            candidates: 0,
        },
    };
    draw(asked, found, Time::default())
}

fn ids(selected: &Selected) -> Vec<&str> {
    let ids = selected.items.iter().map(|item| item.trace_id.as_str());
    ids.collect()
}

#[test]
fn each_trace_stands_for_as_many_as_its_stratum_has_for_one() {
    let wanted = asked(Strategy::Stratified, None, &[Some(40), Some(10)]);
    let selected = drawn(&wanted, &[980, 20]).unwrap();
    let strata: Vec<_> = (selected.selection.strata.iter())
        .map(|it| (it.population, it.sampled, it.weight))
        .collect();
    assert_eq!(strata, [(980, 40, 0.98), (20, 10, 0.02)]);
    let weights: f64 = selected.items.iter().map(|item| item.weight).sum();
    assert!((weights - 1_000.0).abs() < 1e-9);
    let of = |name: &str| {
        let item = (selected.items.iter()).find(|item| item.stratum.as_deref() == Some(name));
        item.unwrap().weight
    };
    assert_eq!((of("s0"), of("s1")), (24.5, 2.0));
}

#[test]
fn a_larger_sample_keeps_the_smaller_and_its_order() {
    let small = drawn(&asked(Strategy::Random, Some(10), &[]), &[500]).unwrap();
    let large = drawn(&asked(Strategy::Random, Some(50), &[]), &[500]).unwrap();
    assert_eq!(ids(&large)[..10], ids(&small));
    let all = drawn(&asked(Strategy::All, None, &[]), &[500]).unwrap();
    // So a run over all that is stopped after ten has graded that very sample.
    assert_eq!(ids(&all)[..10], ids(&small));
    assert_eq!(all.items[0].weight, 1.0);
}

#[test]
fn the_newest_are_no_sample() {
    let selected = drawn(&asked(Strategy::Newest, Some(3), &[]), &[10]).unwrap();
    let mut ids = ids(&selected);
    ids.sort_unstable();
    assert_eq!(ids, ["t0007", "t0008", "t0009"]);
    assert!(selected.items.iter().all(|item| item.weight == 1.0));
}

#[test]
fn work_without_judges_is_done_as_files_lie() {
    let lying = Asked {
        in_order_of_hash: false,
        ..asked(Strategy::All, None, &[])
    };
    let selected = drawn(&lying, &[4]).unwrap();
    assert_eq!(ids(&selected), ["t0003", "t0002", "t0001", "t0000"]);
}

#[test]
fn strata_without_a_size_share_what_is_left() {
    let wanted = asked(Strategy::Stratified, Some(100), &[None, Some(20), None]);
    let selected = drawn(&wanted, &[700, 50, 100]).unwrap();
    let sampled: Vec<_> = (selected.selection.strata.iter())
        .map(|it| it.sampled)
        .collect();
    assert_eq!(sampled, [70, 20, 10]);
    let too_many = asked(Strategy::Stratified, Some(10), &[Some(20), None]);
    let error = drawn(&too_many, &[30, 30]).unwrap_err().to_string();
    assert!(error.contains("20 traces"), "{error}");
}

#[test]
fn nothing_to_grade_is_refused_with_the_reason() {
    let mut selection = drawn(&asked(Strategy::All, None, &[]), &[0])
        .unwrap()
        .selection;
    selection.running_left_out = 2;
    let error = require_some(&selection).unwrap_err().to_string();
    assert!(error.contains("2 still run"), "{error}");
}

proptest! {
    #[test]
    fn seats_are_shared_out_whole(seats in 0_usize..400, sizes in prop::collection::vec(0_usize..120, 1..8)) {
        let shares = apportion(seats, &sizes);
        let total: usize = sizes.iter().sum();
        prop_assert_eq!(shares.iter().sum::<usize>(), seats.min(total));
        for (share, size) in shares.iter().zip(&sizes) {
            prop_assert!(share <= size);
        }
        let some = sizes.iter().filter(|size| **size > 0).count();
        if seats >= some {
            prop_assert!(shares.iter().zip(&sizes).all(|(share, size)| *size == 0 || *share > 0));
        }
    }
}
