//! Grading runs and their items, on a database alone.

use std::time::Duration;

use model::{FixedClock, NanoUsd, ProjectId, TraceId};
use tempfile::TempDir;

use super::*;

/// How long leases last in these tests.
pub(super) const LEASE: Duration = Duration::from_secs(60);

pub(super) struct Bench {
    pub(super) folder: TempDir,
    pub(super) clock: Arc<FixedClock>,
    pub(super) meta: Meta,
    pub(super) project: ProjectId,
}

impl Bench {
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(FixedClock::at(Time::from_micros(1_000)));
        let path = folder.path().join("meta.db");
        let meta = Meta::create(&path, Uuid::from_u128(7), clock.clone())
            .await
            .unwrap();
        let project = ProjectId::new(DEFAULT_PROJECT).unwrap();
        Self {
            folder,
            clock,
            meta,
            project,
        }
    }

    pub(super) fn new_run(&self) -> NewGradingRun {
        NewGradingRun {
            project: self.project.clone(),
            name: Some("nightly".to_owned()),
            request: "{}".to_owned(),
            graders: "[]".to_owned(),
            uses: Vec::new(),
            metadata: "{}".to_owned(),
            cap: Some(NanoUsd(1_000_000)),
            settings: None,
            in_order_of_hash: true,
        }
    }

    /// Makes a run of these traces, and takes it up.
    pub(super) async fn run_of(&self, traces: std::ops::Range<usize>) -> GradingRun {
        self.clock.advance_micros(1);
        let made = self.meta.create_grading_run("ada", &self.new_run()).await;
        let run = made.unwrap();
        let items: Vec<_> = traces.map(item).collect();
        let added = self.meta.add_grading_items(&run.id, &items).await.unwrap();
        assert_eq!(added, items.len() as u64);
        let opened = self.meta.open_grading_run(&run.id, "{\"n\":1}", None).await;
        assert!(opened.unwrap());
        assert!(self.set(&run, GradingStatus::InProgress).await);
        self.seen(&run).await
    }

    pub(super) async fn set(&self, run: &GradingRun, to: GradingStatus) -> bool {
        let done = self
            .meta
            .set_grading_status(None, &run.id, &GradingStatus::ALL, to, None);
        done.await.unwrap()
    }

    pub(super) async fn seen(&self, run: &GradingRun) -> GradingRun {
        let seen = self.meta.grading_run(&self.project, &run.id).await;
        seen.unwrap()
    }

    pub(super) async fn lease(
        &self,
        run: &GradingRun,
        owner: &str,
        limit: u32,
    ) -> Vec<GradingItem> {
        let leased = self
            .meta
            .lease_grading_items(&run.id, owner, limit, LEASE)
            .await;
        leased.unwrap()
    }

    pub(super) async fn finish(
        &self,
        run: &GradingRun,
        owner: &str,
        finished: &[FinishedItem],
    ) -> Finished {
        let done = self.meta.finish_grading_items(&run.id, owner, finished);
        done.await.unwrap().unwrap()
    }

    pub(super) async fn items(&self, run: &GradingRun) -> Vec<GradingItemSeen> {
        let items = self.meta.grading_items(&run.id, None, None, 1_000_000);
        items.await.unwrap()
    }

    pub(super) async fn delete(&self, traces: &[usize]) {
        let deleted = |n: &usize| DeletedTrace {
            project_id: self.project.clone(),
            trace_id: trace(*n),
            upto_seq: 1,
            deleted_at: self.clock.now(),
        };
        let deleted: Vec<_> = traces.iter().map(deleted).collect();
        let until = Time::from_micros(i64::MAX);
        self.meta.keep_deleted(&deleted, until).await.unwrap();
    }

    /// Checks that a run's own figures are what its items come to.
    pub(super) async fn check_figures(&self, run: &GradingRun) {
        use GradingItemStatus::{Deleted, Scored, Unscored};
        let (run, items) = (self.seen(run).await, self.items(run).await);
        let count = |which: &[GradingItemStatus]| {
            let of = items.iter().filter(|item| which.contains(&item.status));
            of.count() as i64
        };
        assert_eq!(run.items, items.len() as i64);
        assert_eq!(run.done, count(&[Scored, Unscored]));
        assert_eq!(run.unscored, count(&[Unscored]));
        assert_eq!(run.deleted, count(&[Deleted]));
        let spent: i64 = items.iter().map(|item| item.spent.0).sum();
        assert_eq!(run.spent, NanoUsd(spent), "G1");
        let day = self.meta.grading_spent_on(&run.id, self.clock.now()).await;
        assert_eq!(day.unwrap(), run.spent, "all of it on one day");
    }
}

pub(super) fn page(after: Option<&str>, limit: usize, is_descending: bool) -> PageAsked {
    PageAsked {
        after: after.map(str::to_owned),
        limit,
        is_descending,
    }
}

pub(super) fn trace(n: usize) -> TraceId {
    TraceId::new(&format!("trace_{n:032}")).unwrap()
}

pub(super) fn item(n: usize) -> NewGradingItem {
    NewGradingItem {
        trace_id: trace(n),
        group_id: n
            .is_multiple_of(2)
            .then(|| model::GroupId::new(&format!("g{}", n / 4)).unwrap()),
        stratum: Some("errors".to_owned()),
        weight: 2.5,
        trace_started_at: Time::from_micros(n as i64),
        counterpart: None,
        reference: None,
    }
}

pub(super) fn ended(position: i64, end: ItemEnd, spent: i64) -> FinishedItem {
    FinishedItem {
        position,
        end,
        spent: NanoUsd(spent),
    }
}

fn places(items: &[GradingItem]) -> Vec<i64> {
    items.iter().map(|item| item.position).collect()
}

/// Brings a fresh run to a state, the way it gets there.
async fn run_in(bench: &Bench, status: GradingStatus) -> GradingRun {
    use GradingStatus::{Canceled, Completed, Failed, InProgress, Paused, Queued, Selecting};
    let made = bench.meta.create_grading_run("ada", &bench.new_run()).await;
    let run = made.unwrap();
    let way: &[GradingStatus] = match status {
        Selecting => &[],
        Queued => &[Queued],
        InProgress => &[Queued, InProgress],
        Paused => &[Queued, Paused],
        Completed => &[Queued, InProgress, Completed],
        Canceled => &[Canceled],
        Failed => &[Failed],
    };
    for step in way {
        assert!(bench.set(&run, *step).await, "{step}");
    }
    run
}

#[tokio::test]
async fn every_change_of_state_is_allowed_or_changes_nothing() {
    use GradingStatus::{Canceled, Completed, Failed, InProgress, Paused, Queued, Selecting};
    // The table of the module `grading_status`, written once more by hand.
    let allowed = [
        (Selecting, Queued),
        (Selecting, Failed),
        (Selecting, Canceled),
        (Queued, InProgress),
        (Queued, Paused),
        (Queued, Failed),
        (Queued, Canceled),
        (InProgress, Completed),
        (InProgress, Paused),
        (InProgress, Failed),
        (InProgress, Canceled),
        (Paused, Queued),
        (Paused, Canceled),
        (Completed, Queued),
        (Failed, Queued),
    ];
    let bench = Bench::new().await;
    let meta = &bench.meta;
    for from in GradingStatus::ALL {
        assert_eq!(from.as_str().parse(), Ok(from));
        for to in GradingStatus::ALL {
            let want = allowed.contains(&(from, to));
            assert_eq!(from.may_become(to), want, "{from} to {to}");
            let run = run_in(&bench, from).await;
            let before = bench.seen(&run).await;
            assert_eq!(before.status, from);
            let done = meta
                .set_grading_status(None, &run.id, &[from], to, Some("why"))
                .await;
            assert_eq!(done.unwrap(), want, "{from} to {to}");
            let after = bench.seen(&run).await;
            match want {
                true => {
                    assert_eq!((after.status, after.reason.as_deref()), (to, Some("why")));
                    assert_eq!(after.ended_at.is_some(), to.is_final(), "{from} to {to}");
                    let has_begun = before.started_at.is_some() || to == InProgress;
                    assert_eq!(after.started_at.is_some(), has_begun);
                }
                false => assert_eq!(after, before, "{from} to {to}"),
            }
        }
    }
    assert_eq!(
        "done".parse::<GradingStatus>().unwrap_err().to_string(),
        "\"done\" is not selecting, queued, in_progress, paused, completed, canceled or failed"
    );
}

#[tokio::test]
async fn a_state_is_changed_only_from_those_that_are_named() {
    use GradingStatus::{Canceled, InProgress, Paused, Queued};
    let bench = Bench::new().await;
    let run = run_in(&bench, InProgress).await;
    let change = async |from: &[GradingStatus], to| {
        let done = bench
            .meta
            .set_grading_status(Some("ada"), &run.id, from, to, None);
        done.await.unwrap()
    };
    assert!(!change(&[Queued, Paused], Canceled).await);
    assert!(!change(&[], Canceled).await);
    assert!(change(&[Queued, InProgress], Paused).await);
    assert!(!change(&[Queued, InProgress], Paused).await, "too late");
    let gone = bench
        .meta
        .set_grading_status(None, "grun_x", &[Paused], Queued, None);
    assert!(!gone.await.unwrap());
    let log = bench.meta.audit(9, None).await.unwrap();
    let told: Vec<_> = log
        .iter()
        .filter(|one| one.what.contains("paused"))
        .collect();
    assert_eq!(told.len(), 1, "{log:?}");
}

#[tokio::test]
async fn a_run_is_completed_only_when_nothing_waits() {
    let bench = Bench::new().await;
    let run = bench.run_of(0..3).await;
    assert_eq!((run.items, run.waiting()), (3, 3));
    assert_eq!(run.selection, "{\"n\":1}");
    assert!(!bench.set(&run, GradingStatus::Completed).await);
    bench.lease(&run, "w", 2).await;
    let two = [ended(0, ItemEnd::Scored, 0), ended(1, ItemEnd::Unscored, 0)];
    let now = bench.finish(&run, "w", &two).await;
    assert_eq!((now.taken, now.waiting), (2, 1));
    assert!(!bench.set(&run, GradingStatus::Completed).await);
    bench.delete(&[2]).await;
    assert!(bench.set(&run, GradingStatus::Completed).await);
    bench.check_figures(&run).await;
}

#[tokio::test]
async fn items_come_in_the_order_in_which_they_were_added_and_once() {
    let bench = Bench::new().await;
    let made = bench.meta.create_grading_run("ada", &bench.new_run()).await;
    let run = made.unwrap();
    let add = async |traces: &[usize]| {
        let items: Vec<_> = traces.iter().map(|n| item(*n)).collect();
        bench.meta.add_grading_items(&run.id, &items).await.unwrap()
    };
    bench.delete(&[8]).await;
    assert_eq!(add(&[7, 3, 9]).await, 3);
    assert_eq!(add(&[3, 8, 1, 1]).await, 1, "twice, deleted, new, twice");
    assert_eq!(add(&[]).await, 0);
    assert!(bench.set(&run, GradingStatus::Queued).await);
    assert_eq!(add(&[5]).await, 0, "its selection is over");
    assert_eq!(bench.lease(&run, "w", 9).await, [], "nobody took it up");
    assert!(bench.set(&run, GradingStatus::InProgress).await);
    let leased = bench.lease(&run, "w", 9).await;
    let traces: Vec<_> = leased.iter().map(|item| item.trace_id.clone()).collect();
    assert_eq!(traces, [trace(7), trace(3), trace(9), trace(1)]);
    assert_eq!(
        (leased[1].weight, leased[1].stratum.as_deref()),
        (2.5, Some("errors"))
    );
    assert_eq!(
        (leased[1].trace_started_at, leased[1].attempt),
        (Time::from_micros(3), 1)
    );
    bench.check_figures(&run).await;
}

#[tokio::test]
async fn d6_what_should_have_been_done_goes_with_its_trace() {
    let bench = Bench::new().await;
    let made = bench.meta.create_grading_run("ada", &bench.new_run()).await;
    let run = made.unwrap();
    let with_reference = |n: usize| NewGradingItem {
        reference: Some(format!(r#"{{"calls":[],"n":{n}}}"#).into()),
        ..item(n)
    };
    let items = [with_reference(1), item(2), with_reference(3)];
    bench.meta.add_grading_items(&run.id, &items).await.unwrap();
    bench.delete(&[1]).await;
    assert!(bench.set(&run, GradingStatus::Queued).await);
    assert!(bench.set(&run, GradingStatus::InProgress).await);
    let leased = bench.lease(&run, "w", 9).await;
    let told: Vec<_> = leased
        .iter()
        .map(|item| item.reference.as_deref())
        .collect();
    assert_eq!(told, [None, Some(r#"{"calls":[],"n":3}"#)]);
    let sql = "SELECT COUNT(*) FROM grading_items WHERE reference IS NOT NULL";
    let left: i64 = sqlx::query_scalar(sql)
        .fetch_one(bench.meta.db.readers())
        .await
        .unwrap();
    assert_eq!(left, 1);
}

#[tokio::test]
async fn a_selection_can_begin_anew() {
    let bench = Bench::new().await;
    let made = bench.meta.create_grading_run("ada", &bench.new_run()).await;
    let run = made.unwrap();
    let both = [item(1), item(2)];
    bench.meta.add_grading_items(&run.id, &both).await.unwrap();
    assert!(bench.meta.forget_grading_selection(&run.id).await.unwrap());
    assert_eq!(bench.items(&run).await, []);
    let again = [item(2), item(4)];
    let added = bench.meta.add_grading_items(&run.id, &again).await;
    assert_eq!(added.unwrap(), 2);
    assert_eq!(bench.meta.sweep_grading().await.unwrap(), 2);
    assert_eq!(bench.meta.sweep_grading().await.unwrap(), 0);
    assert_eq!(bench.items(&run).await.len(), 2);
    bench.check_figures(&run).await;
    assert!(bench.set(&run, GradingStatus::Queued).await);
    assert!(!bench.meta.forget_grading_selection(&run.id).await.unwrap());
    assert_eq!(bench.meta.sweep_grading().await.unwrap(), 0);
}

#[tokio::test]
async fn g1_of_two_workers_one_holds_an_item() {
    let bench = Bench::new().await;
    let run = bench.run_of(0..5).await;
    assert_eq!(places(&bench.lease(&run, "a", 2).await), [0, 1]);
    assert_eq!(places(&bench.lease(&run, "b", 2).await), [2, 3]);
    let of_both = [
        ended(1, ItemEnd::Scored, 10),
        ended(2, ItemEnd::Scored, 100),
        ended(4, ItemEnd::Scored, 1_000),
        ended(77, ItemEnd::Scored, 10_000),
    ];
    let now = bench.finish(&run, "a", &of_both).await;
    assert_eq!((now.taken, now.waiting, now.spent), (1, 4, NanoUsd(10)));
    assert_eq!(now.cap, Some(NanoUsd(1_000_000)));
    let again = bench.finish(&run, "a", &of_both).await;
    assert_eq!((again.taken, again.spent), (0, NanoUsd(10)));
    let now = bench.finish(&run, "b", &of_both).await;
    assert_eq!((now.taken, now.waiting, now.spent), (1, 3, NanoUsd(110)));
    bench.check_figures(&run).await;
}

#[tokio::test]
async fn g1_whose_lease_ran_out_cannot_finish() {
    let bench = Bench::new().await;
    let run = bench.run_of(0..3).await;
    let micros = LEASE.as_micros() as i64;
    assert_eq!(places(&bench.lease(&run, "a", 2).await), [0, 1]);
    bench.clock.advance_micros(micros - 1);
    assert_eq!(places(&bench.lease(&run, "b", 1).await), [2]);
    let renewed = bench.meta.renew_grading_leases(&run.id, "b", LEASE * 2);
    assert_eq!(renewed.await.unwrap(), 1);
    bench.clock.advance_micros(1);
    let both = [ended(0, ItemEnd::Scored, 7), ended(1, ItemEnd::Scored, 7)];
    let late = bench.finish(&run, "a", &both).await;
    assert_eq!((late.taken, late.spent), (0, NanoUsd(0)));
    let renewed = bench.meta.renew_grading_leases(&run.id, "a", LEASE);
    assert_eq!(renewed.await.unwrap(), 0, "what ran out is not renewed");
    assert_eq!(places(&bench.lease(&run, "b", 1).await), [0], "first again");
    assert_eq!(places(&bench.lease(&run, "a", 9).await), [1]);
    assert_eq!(bench.finish(&run, "a", &both).await.taken, 1);
    assert_eq!(bench.finish(&run, "b", &both).await.taken, 1);
    bench.check_figures(&run).await;
}

#[tokio::test]
async fn g1_work_that_was_paid_for_is_kept_whatever_became_of_the_run() {
    use GradingStatus::{Canceled, Failed, Paused};
    let bench = Bench::new().await;
    for to in [Paused, Canceled, Failed] {
        let run = bench.run_of(0..3).await;
        bench.lease(&run, "w", 2).await;
        assert!(bench.set(&run, to).await);
        assert_eq!(bench.lease(&run, "w", 2).await, [], "{to}");
        let both = [
            ended(0, ItemEnd::Scored, 5),
            ended(1, ItemEnd::GivenBack, 6),
        ];
        let now = bench.finish(&run, "w", &both).await;
        assert_eq!((now.taken, now.status), (2, to));
        assert_eq!((now.waiting, now.spent), (2, NanoUsd(11)), "{to}");
        bench.check_figures(&run).await;
    }
    let run = bench.run_of(0..1).await;
    bench.lease(&run, "w", 1).await;
    let project = &bench.project;
    let deleted = bench.meta.delete_grading_run("ada", project, &run.id);
    deleted.await.unwrap();
    let one = [ended(0, ItemEnd::Scored, 5)];
    let late = bench.meta.finish_grading_items(&run.id, "w", &one).await;
    assert_eq!(late.unwrap(), None);
}

#[tokio::test]
async fn what_is_given_back_waits_again_and_keeps_what_it_cost() {
    let bench = Bench::new().await;
    let run = bench.run_of(0..4).await;
    bench.lease(&run, "a", 2).await;
    bench.lease(&run, "b", 2).await;
    bench
        .finish(&run, "a", &[ended(0, ItemEnd::GivenBack, 3)])
        .await;
    let released = bench.meta.release_grading_items(&run.id, "a").await;
    assert_eq!(released.unwrap(), 1);
    let late = bench
        .finish(&run, "a", &[ended(1, ItemEnd::Scored, 3)])
        .await;
    assert_eq!(late.taken, 0);
    let again = bench.lease(&run, "c", 9).await;
    assert_eq!(places(&again), [0, 1]);
    assert_eq!((again[0].spent, again[0].attempt), (NanoUsd(3), 1));
    assert_eq!(again[1].spent, NanoUsd(0));
    // As at a start: whoever held anything is gone.
    let released = bench.meta.release_all_grading_items(&run.id).await;
    assert_eq!(released.unwrap(), 4);
    assert_eq!(places(&bench.lease(&run, "d", 9).await), [0, 1, 2, 3]);
    bench.check_figures(&run).await;
}

#[tokio::test]
async fn g1_what_has_no_verdict_is_tried_again_as_the_next_attempt() {
    let bench = Bench::new().await;
    let run = bench.run_of(0..3).await;
    bench.lease(&run, "w", 3).await;
    let all = [
        ended(0, ItemEnd::Scored, 1),
        ended(1, ItemEnd::Unscored, 2),
        ended(2, ItemEnd::Unscored, 4),
    ];
    bench.finish(&run, "w", &all).await;
    assert!(bench.set(&run, GradingStatus::Completed).await);
    bench.delete(&[2]).await;
    let retry = async || {
        bench
            .meta
            .retry_grading_items("ada", &run.id)
            .await
            .unwrap()
    };
    assert_eq!(retry().await, 1);
    let queued = bench.seen(&run).await;
    assert_eq!(
        (queued.status, queued.ended_at),
        (GradingStatus::Queued, None)
    );
    assert_eq!(
        (queued.done, queued.unscored, queued.spent),
        (1, 0, NanoUsd(7))
    );
    assert!(bench.set(&run, GradingStatus::InProgress).await);
    let again = bench.lease(&run, "w", 9).await;
    assert_eq!((places(&again), again[0].attempt), (vec![1], 2));
    assert_eq!(again[0].spent, NanoUsd(0), "of this attempt");
    bench
        .finish(&run, "w", &[ended(1, ItemEnd::Scored, 8)])
        .await;
    assert_eq!(retry().await, 0);
    assert_eq!(bench.items(&run).await[1].spent, NanoUsd(10));
    bench.check_figures(&run).await;
    for status in [GradingStatus::Canceled, GradingStatus::Selecting] {
        let run = run_in(&bench, status).await;
        let none = bench.meta.retry_grading_items("ada", &run.id).await;
        assert_eq!(none.unwrap(), 0);
        assert_eq!(bench.seen(&run).await.status, status);
    }
}

#[tokio::test]
async fn d6_a_deleted_trace_stays_as_a_number_of_its_run() {
    let bench = Bench::new().await;
    let run = bench.run_of(0..5).await;
    let other = bench.run_of(2..4).await;
    bench.lease(&run, "w", 3).await;
    let two = [ended(0, ItemEnd::Unscored, 1), ended(1, ItemEnd::Scored, 1)];
    bench.finish(&run, "w", &two).await;
    // One without a verdict, one that is being graded, one that waits.
    bench.delete(&[0, 2, 4]).await;
    let seen = bench.seen(&run).await;
    assert_eq!(
        (seen.items, seen.done, seen.unscored, seen.deleted),
        (5, 1, 0, 3)
    );
    assert_eq!(seen.waiting(), 1);
    assert_eq!(bench.seen(&other).await.deleted, 1);
    let gone = &bench.items(&run).await[2];
    assert_eq!((gone.trace_id.clone(), gone.group_id.clone()), (None, None));
    let late = bench
        .finish(&run, "w", &[ended(2, ItemEnd::Scored, 9)])
        .await;
    assert_eq!((late.taken, late.spent), (1, NanoUsd(11)), "it was paid");
    assert_eq!(bench.seen(&run).await.deleted, 3);
    let again = bench
        .finish(&run, "w", &[ended(2, ItemEnd::Scored, 9)])
        .await;
    assert_eq!((again.taken, again.spent), (0, NanoUsd(11)));
    assert_eq!(places(&bench.lease(&run, "w", 9).await), [3]);
    bench.check_figures(&run).await;
    bench.check_figures(&other).await;
    bench.delete(&[0, 2, 4]).await;
    bench.check_figures(&run).await;
}

#[tokio::test]
async fn runs_are_listed_by_state_by_grader_and_page_by_page() {
    let bench = Bench::new().await;
    let (meta, project) = (&bench.meta, &bench.project);
    let grader = NewGrader {
        name: Some("tone".to_owned()),
        kind: "rule".to_owned(),
        hash: "h".to_owned(),
        definition: "{}".to_owned(),
        description: None,
    };
    let grader = meta.save_grader("ada", project, &grader).await.unwrap();
    let used = GraderUse {
        id: grader.id.clone(),
        version: 1,
        hash: "h".to_owned(),
    };
    let mut runs = Vec::new();
    for n in 0..5 {
        bench.clock.advance_micros(1);
        let new = NewGradingRun {
            uses: vec![used.clone(); n % 3],
            ..bench.new_run()
        };
        runs.push(meta.create_grading_run("ada", &new).await.unwrap().id);
    }
    let list = async |filter: GradingRunFilter, asked: PageAsked| {
        let page = meta.grading_runs(project, &filter, &asked).await.unwrap();
        let ids = page.entries.iter();
        let at = |run: &GradingRun| runs.iter().position(|id| *id == run.id);
        (ids.filter_map(at).collect::<Vec<_>>(), page.has_more)
    };
    let all = GradingRunFilter::default;
    assert_eq!(list(all(), page(None, 2, true)).await, (vec![4, 3], true));
    assert_eq!(
        list(all(), page(Some(&runs[3]), 9, true)).await,
        (vec![2, 1, 0], false)
    );
    let of_grader = GradingRunFilter {
        grader_id: Some(grader.id.clone()),
        ..all()
    };
    assert_eq!(
        list(of_grader.clone(), page(None, 9, false)).await,
        (vec![1, 2, 4], false)
    );
    assert_eq!(
        list(of_grader, page(Some(&runs[1]), 1, false)).await,
        (vec![2], true)
    );
    let done = meta
        .open_grading_run(&runs[2], "{}", Some(NanoUsd(4)))
        .await;
    assert!(done.unwrap());
    let queued = GradingRunFilter {
        status: Some(GradingStatus::Queued),
        ..all()
    };
    assert_eq!(list(queued, page(None, 9, false)).await, (vec![2], false));
    let capped = meta.set_grading_cap("ada", project, &runs[2], Some(NanoUsd(5)));
    let capped = capped.await.unwrap();
    assert_eq!(
        (capped.cap, capped.estimate),
        (Some(NanoUsd(5)), Some(NanoUsd(4)))
    );
    assert_eq!(meta.open_grading_runs().await.unwrap().len(), 5);
    let stopped = meta.grading_run(project, &runs[0]).await.unwrap();
    assert!(bench.set(&stopped, GradingStatus::Canceled).await);
    assert_eq!(meta.open_grading_runs().await.unwrap().len(), 4);
}

#[tokio::test]
async fn t1_a_deleted_run_and_a_deleted_project_leave_nothing() {
    let bench = Bench::new().await;
    let other = ProjectId::new("other").unwrap();
    let (meta, project) = (&bench.meta, &bench.project);
    meta.create_project("ada", &other, "Other").await.unwrap();
    let run = bench.run_of(0..4).await;
    let kept = bench.run_of(0..4).await;
    meta.grading_run(&other, &run.id).await.unwrap_err();
    meta.set_grading_cap("eve", &other, &run.id, None)
        .await
        .unwrap_err();
    let theirs = meta.delete_grading_run("eve", &other, &run.id).await;
    assert!(matches!(theirs, Err(MetaError::NotFound { .. })));
    assert_eq!(meta.sweep_grading().await.unwrap(), 0);

    meta.delete_grading_run("ada", project, &run.id)
        .await
        .unwrap();
    meta.grading_run(project, &run.id).await.unwrap_err();
    assert_eq!(
        meta.grading_items(&run.id, None, None, 9).await.unwrap(),
        []
    );
    // Another run may be made before the rest is swept: it gets a number of its own.
    let next = bench.run_of(0..2).await;
    assert_eq!(meta.sweep_grading().await.unwrap(), 4);
    assert_eq!(bench.items(&next).await.len(), 2);
    assert_eq!(bench.items(&kept).await.len(), 4);

    let theirs = NewGradingRun {
        project: other.clone(),
        ..bench.new_run()
    };
    let theirs = meta.create_grading_run("eve", &theirs).await.unwrap();
    let one = [item(9)];
    meta.add_grading_items(&theirs.id, &one).await.unwrap();
    meta.delete_project("ada", &other).await.unwrap();
    assert_eq!(meta.sweep_grading().await.unwrap(), 1);
    let open = meta.open_grading_runs().await.unwrap();
    let ids: Vec<_> = open.iter().map(|run| &run.id).collect();
    assert_eq!(ids, [&kept.id, &next.id]);
    assert_eq!(meta.verify().await.unwrap(), Vec::<String>::new());
}
