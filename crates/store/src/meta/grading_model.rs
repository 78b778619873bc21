//! Two workers and whoever watches them, at random, against the plainest thing that could be meant.
//!
//! The model keeps every item in a list and says of each operation what it does, one item after the other.
//! After each operation the store must show the same items and the same figures.

use std::cell::Cell;
use std::time::Duration;

use model::NanoUsd;
use proptest::prelude::*;

use super::grading_tests::{Bench, ended};
use super::*;

const ITEMS: usize = 8;
const LEASE_MICROS: i64 = 100;
const OWNERS: [&str; 2] = ["a", "b"];

#[derive(Debug, Clone)]
enum Op {
    Lease {
        owner: usize,
        limit: u32,
    },
    Renew {
        owner: usize,
    },
    /// With the end of each item by its place, if it is told.
    Finish {
        owner: usize,
        told: [Option<ItemEnd>; ITEMS],
    },
    Release {
        owner: usize,
    },
    Restart,
    Wait {
        micros: i64,
    },
    Become(GradingStatus),
    Retry,
    DeleteTrace {
        item: usize,
    },
}

fn any_op() -> impl Strategy<Value = Op> {
    let owner = 0..OWNERS.len();
    let end = prop_oneof![
        Just(ItemEnd::Scored),
        Just(ItemEnd::Unscored),
        Just(ItemEnd::GivenBack)
    ];
    let told = proptest::array::uniform(proptest::option::weighted(0.4, end));
    prop_oneof![
        6 => (owner.clone(), 1..5_u32).prop_map(|(owner, limit)| Op::Lease { owner, limit }),
        1 => owner.clone().prop_map(|owner| Op::Renew { owner }),
        6 => (owner.clone(), told).prop_map(|(owner, told)| Op::Finish { owner, told }),
        1 => owner.prop_map(|owner| Op::Release { owner }),
        1 => Just(Op::Restart),
        4 => (1..LEASE_MICROS).prop_map(|micros| Op::Wait { micros }),
        4 => proptest::sample::select(&GradingStatus::ALL[1..]).prop_map(Op::Become),
        2 => Just(Op::Retry),
        1 => (0..ITEMS).prop_map(|item| Op::DeleteTrace { item }),
    ]
}

/// An item as the model knows it.
#[derive(Debug, Clone, PartialEq)]
struct Known {
    status: GradingItemStatus,
    attempt: u32,
    spent: i64,
    held: Option<(usize, i64)>,
}

#[derive(Debug)]
struct Model {
    items: Vec<Known>,
    status: GradingStatus,
    now: i64,
}

impl Model {
    fn lease(&mut self, owner: usize, limit: u32) -> Vec<i64> {
        use GradingItemStatus::{Leased, Queued};
        if self.status != GradingStatus::InProgress {
            return Vec::new();
        }
        let mut leased = Vec::new();
        for (position, item) in (0_i64..).zip(&mut self.items) {
            if item.status == Leased && item.held.is_some_and(|(_, until)| until <= self.now) {
                item.status = Queued;
                item.held = None;
            }
            if item.status == Queued && leased.len() < limit as usize {
                item.status = Leased;
                item.held = Some((owner, self.now + LEASE_MICROS));
                leased.push(position);
            }
        }
        leased
    }

    fn holds(&self, at: usize, owner: usize) -> bool {
        let held = self.items[at].held;
        held.is_some_and(|(holder, until)| holder == owner && until > self.now)
    }

    fn renew(&mut self, owner: usize) -> u64 {
        let mut renewed = 0;
        for at in 0..ITEMS {
            let is_leased = self.items[at].status == GradingItemStatus::Leased;
            if is_leased && self.holds(at, owner) {
                self.items[at].held = Some((owner, self.now + LEASE_MICROS));
                renewed += 1;
            }
        }
        renewed
    }

    fn finish(&mut self, owner: usize, told: &[FinishedItem]) -> u64 {
        let mut taken = 0;
        for one in told {
            let at = one.position as usize;
            if !self.holds(at, owner) {
                continue;
            }
            taken += 1;
            let item = &mut self.items[at];
            item.held = None;
            item.spent += one.spent.0;
            if item.status == GradingItemStatus::Leased {
                item.status = match one.end {
                    ItemEnd::Scored => GradingItemStatus::Scored,
                    ItemEnd::Unscored => GradingItemStatus::Unscored,
                    ItemEnd::GivenBack => GradingItemStatus::Queued,
                };
            }
        }
        taken
    }

    fn release(&mut self, owner: Option<usize>) -> u64 {
        let mut released = 0;
        for item in &mut self.items {
            let is_theirs = item
                .held
                .is_some_and(|(holder, _)| owner.is_none_or(|owner| owner == holder));
            if item.status == GradingItemStatus::Leased && is_theirs {
                item.status = GradingItemStatus::Queued;
                item.held = None;
                released += 1;
            }
        }
        released
    }

    fn count(&self, which: &[GradingItemStatus]) -> i64 {
        let of = self.items.iter();
        of.filter(|item| which.contains(&item.status)).count() as i64
    }

    fn bring_to(&mut self, to: GradingStatus) -> bool {
        use GradingItemStatus::{Leased, Queued};
        let waits = self.count(&[Queued, Leased]) > 0;
        let may = self.status.may_become(to) && !(to == GradingStatus::Completed && waits);
        if may {
            self.status = to;
        }
        may
    }

    fn retry(&mut self) -> u64 {
        if self.status == GradingStatus::Canceled {
            return 0;
        }
        let mut queued = 0;
        for item in &mut self.items {
            if item.status == GradingItemStatus::Unscored {
                item.status = GradingItemStatus::Queued;
                item.attempt += 1;
                queued += 1;
            }
        }
        let is_over = matches!(
            self.status,
            GradingStatus::Completed | GradingStatus::Failed
        );
        if queued > 0 && is_over {
            self.status = GradingStatus::Queued;
        }
        queued
    }
}

/// Does an operation on both, and compares what they answer.
async fn apply(bench: &Bench, run: &GradingRun, model: &mut Model, op: &Op, first: usize) {
    let (meta, id) = (&bench.meta, &*run.id);
    let lasts = Duration::from_micros(LEASE_MICROS as u64);
    match op {
        Op::Lease { owner, limit } => {
            let leased = meta
                .lease_grading_items(id, OWNERS[*owner], *limit, lasts)
                .await;
            let places: Vec<_> = leased.unwrap().iter().map(|item| item.position).collect();
            assert_eq!(places, model.lease(*owner, *limit), "G1");
        }
        Op::Renew { owner } => {
            let renewed = meta.renew_grading_leases(id, OWNERS[*owner], lasts).await;
            assert_eq!(renewed.unwrap(), model.renew(*owner));
        }
        Op::Finish { owner, told } => {
            let told: Vec<_> = (0_i64..)
                .zip(told)
                .filter_map(|(position, end)| Some(ended(position, (*end)?, 1 << position)))
                .collect();
            let finished = meta.finish_grading_items(id, OWNERS[*owner], &told).await;
            assert_eq!(
                finished.unwrap().unwrap().taken,
                model.finish(*owner, &told),
                "G1"
            );
        }
        Op::Release { owner } => {
            let released = meta.release_grading_items(id, OWNERS[*owner]).await;
            assert_eq!(released.unwrap(), model.release(Some(*owner)));
        }
        Op::Restart => {
            let released = meta.release_all_grading_items(id).await;
            assert_eq!(released.unwrap(), model.release(None));
        }
        Op::Wait { micros } => {
            bench.clock.advance_micros(*micros);
            model.now += micros;
        }
        Op::Become(to) => assert_eq!(bench.set(run, *to).await, model.bring_to(*to), "{to}"),
        Op::Retry => {
            let queued = meta.retry_grading_items("ada", id).await;
            assert_eq!(queued.unwrap(), model.retry());
        }
        Op::DeleteTrace { item } => {
            bench.delete(&[first + item]).await;
            model.items[*item].status = GradingItemStatus::Deleted;
        }
    }
}

async fn check(bench: &Bench, run: &GradingRun, model: &Model) {
    use GradingItemStatus::{Deleted, Scored, Unscored};
    let seen = bench.seen(run).await;
    let items = bench.items(run).await;
    for (item, known) in items.iter().zip(&model.items) {
        let got = (item.status, item.attempt, item.spent.0);
        assert_eq!(got, (known.status, known.attempt, known.spent), "{item:?}");
        assert_eq!(item.trace_id.is_none(), known.status == Deleted);
    }
    let spent: i64 = model.items.iter().map(|item| item.spent).sum();
    assert_eq!(
        (seen.status, seen.spent),
        (model.status, NanoUsd(spent)),
        "G1"
    );
    let figures = (seen.items, seen.done, seen.unscored, seen.deleted);
    let want = (
        ITEMS as i64,
        model.count(&[Scored, Unscored]),
        model.count(&[Unscored]),
        model.count(&[Deleted]),
    );
    assert_eq!(figures, want);
}

#[test]
fn g1_two_workers_do_what_the_plain_model_says() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let bench = runtime.block_on(Bench::new());
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(128)
    };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let ops = proptest::collection::vec(any_op(), 1..60);
    let cases = Cell::new(0);
    let done = runner.run(&ops, |ops| {
        // Every case has traces of its own: what one deleted is deleted for all.
        let first = cases.replace(cases.get() + ITEMS);
        runtime.block_on(async {
            let run = bench.run_of(first..first + ITEMS).await;
            let fresh = Known {
                status: GradingItemStatus::Queued,
                attempt: 1,
                spent: 0,
                held: None,
            };
            let mut model = Model {
                items: vec![fresh; ITEMS],
                status: GradingStatus::InProgress,
                now: 0,
            };
            for op in &ops {
                apply(&bench, &run, &mut model, op, first).await;
                check(&bench, &run, &model).await;
            }
        });
        Ok(())
    });
    done.unwrap();
}
