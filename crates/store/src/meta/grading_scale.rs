//! A hundred thousand items, the plans of the statements that are run over them, and a worker that is
//! killed.

use std::io::{BufRead, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use model::{FixedClock, NanoUsd};

use super::grading_tests::{Bench, LEASE, ended, trace};
use super::*;

/// Returns how SQLite goes about a statement, step by step.
async fn plan(meta: &Meta, statement: &str) -> Vec<String> {
    let statement = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
    let rows = sqlx::query(statement).fetch_all(meta.db.readers()).await;
    let detail = |row| crate::sqlite::column(&row, "detail").unwrap();
    rows.unwrap().into_iter().map(detail).collect()
}

#[tokio::test]
async fn no_statement_reads_more_of_a_big_table_than_it_needs() {
    let bench = Bench::new().await;
    let of = trace(1);
    let of_traces = |head| {
        let statement = deleted::of_traces(head, &bench.project, &[&of]);
        statement.sql().as_str().to_owned()
    };
    let finished = [
        ended(1, ItemEnd::Scored, 1),
        ended(2, ItemEnd::GivenBack, 1),
    ];
    let ending = grading_lease::ending((1, "w", bench.clock.now()), &finished);
    let by_status = "grading_items_by_status (run=? AND status=?";
    let by_trace = "(trace_id=?";
    let mut wanted = vec![
        (grading_lease::EXPIRE.to_owned(), by_status),
        (grading_lease::LEASE.to_owned(), by_status),
        (grading_lease::LEASE.to_owned(), "(run=? AND position=?)"),
        (grading_lease::RELEASE.to_owned(), by_status),
        (grading_lease::RETRY.to_owned(), by_status),
        (ending.sql().as_str().to_owned(), "(run=? AND position=?)"),
        (watch::FORGET.to_owned(), "(run=? AND decided_at<?)"),
        (grading_run::LEFT_OVER[0].to_owned(), "(run=?)"),
        (grading_run::LEFT_OVER[1].to_owned(), "(run=?)"),
        (of_traces(grading_item::COUNT_TRACES), by_trace),
        (of_traces(grading_item::BLANK_TRACES), by_trace),
        (of_traces(eval_item::OF_TRACES), by_trace),
        (of_traces(deleted::ABOUT_TRACES[0]), "trace_id=?"),
    ];
    for head in &deleted::ABOUT_TRACES[1..] {
        wanted.push((of_traces(head), by_trace));
    }
    for (statement, want) in wanted {
        let steps = plan(&bench.meta, &statement).await;
        let told = steps.join("\n");
        assert!(told.contains(want), "{statement}\n{told}");
        for big in [
            "grading_items",
            "watch_decisions",
            "annotations",
            "judge_answers",
            "eval_items",
        ] {
            assert!(
                !told.contains(&format!("SCAN {big}")),
                "{statement}\n{told}"
            );
        }
        let sorts = told.contains("TEMP B-TREE FOR ORDER BY");
        assert!(!sorts, "{statement}\n{told}");
    }
}

#[tokio::test]
async fn pages_of_decisions_and_annotations_are_not_sorted() {
    let bench = Bench::new().await;
    let pages = [
        format!(
            "SELECT * FROM {} WHERE watch_id = $1 AND project_id = $2
             AND (decided_at, id) < ($3, $4) ORDER BY decided_at DESC, id DESC LIMIT $5",
            watch::DECISIONS
        ),
        "SELECT * FROM annotations WHERE project_id = $1 AND trace_id = $2
         ORDER BY created_at ASC, id ASC LIMIT $3"
            .to_owned(),
        "SELECT * FROM annotations WHERE project_id = $1 AND grader_id = $2
         AND (created_at, id) > ($3, $4) ORDER BY created_at ASC, id ASC LIMIT $5"
            .to_owned(),
        "SELECT * FROM grading_runs WHERE project_id = $1
         ORDER BY created_at DESC, id DESC LIMIT $2"
            .to_owned(),
        "SELECT * FROM grading_items WHERE run = $1 AND position > $2 AND status = $3
         ORDER BY position LIMIT $4"
            .to_owned(),
    ];
    for page in pages {
        let told = plan(&bench.meta, &page).await.join("\n");
        assert!(!told.contains("TEMP B-TREE"), "{page}\n{told}");
        assert!(!told.contains("SCAN"), "{page}\n{told}");
    }
}

#[tokio::test]
async fn a_run_of_a_hundred_thousand_items_stays_fast_to_its_end() {
    const ITEMS: usize = 100_000;
    const ROUNDS: usize = 50;
    let bench = Bench::new().await;
    let begun = Instant::now();
    let run = bench.run_of(0..ITEMS).await;
    let added = begun.elapsed();
    let rounds = async || {
        let begun = Instant::now();
        for _ in 0..ROUNDS {
            let leased = bench.lease(&run, "w", 64).await;
            let ends: Vec<_> = leased
                .iter()
                .map(|item| ended(item.position, ItemEnd::Scored, 1))
                .collect();
            assert_eq!(bench.finish(&run, "w", &ends).await.taken, 64);
        }
        begun.elapsed()
    };
    let early = rounds().await;
    let begun = Instant::now();
    loop {
        let leased = bench.lease(&run, "w", 4_096).await;
        let ends: Vec<_> = leased
            .iter()
            .map(|item| ended(item.position, ItemEnd::Unscored, 1))
            .collect();
        let now = bench.finish(&run, "w", &ends).await;
        assert_eq!(now.taken, leased.len() as u64);
        if now.waiting <= (4_096 + ROUNDS * 64) as i64 {
            break;
        }
    }
    let middle = begun.elapsed();
    let late = rounds().await;
    // One more scan of what is done in each round would take a hundred times as long.
    let bound = early * 10 + Duration::from_secs(2);
    assert!(
        late < bound,
        "{added:?} to add, {early:?}, {middle:?}, {late:?}"
    );
    bench.check_figures(&run).await;
    let doomed: Vec<usize> = (0..2_000).collect();
    bench.delete(&doomed).await;
    bench.check_figures(&run).await;
    let project = &bench.project;
    let deleted = bench.meta.delete_grading_run("ada", project, &run.id);
    deleted.await.unwrap();
    let swept = bench.meta.sweep_grading().await.unwrap();
    assert_eq!(swept, ITEMS as u64);
}

const KILLED_RUN: usize = 4_000;

/// What the worker that is killed says after each of its writes: what it knows to be spent.
const SAID: &str = "spent so far ";

/// Not a test by itself: [`g1_a_killed_worker_leaves_items_and_money_alike`] starts it in a folder with a
/// database, and kills it.
#[tokio::test]
#[ignore = "it is started by the test that kills it"]
async fn a_worker_to_be_killed() {
    let path = Path::new("meta.db");
    if !path.exists() {
        return;
    }
    let clock = Arc::new(FixedClock::at(Time::from_micros(1_000)));
    let meta = Meta::open(path, clock).await.unwrap();
    let [run] = &meta.open_grading_runs().await.unwrap()[..] else {
        panic!("one run is open");
    };
    meta.release_all_grading_items(&run.id).await.unwrap();
    loop {
        let leased = meta.lease_grading_items(&run.id, "w", 5, LEASE).await;
        let ends: Vec<_> = leased
            .unwrap()
            .iter()
            .map(|item| ended(item.position, ItemEnd::Scored, 1_000 + item.position))
            .collect();
        let done = meta.finish_grading_items(&run.id, "w", &ends).await;
        let done = done.unwrap().unwrap();
        writeln!(std::io::stderr(), "{SAID}{}", done.spent.0).unwrap();
        if done.waiting == 0 {
            return;
        }
    }
}

/// Starts the worker, kills it after it has said so much, and returns the last thing that it said.
fn killed_after(folder: &Path, said: usize) -> i64 {
    let mut worker = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture"])
        .arg("meta::grading_scale::a_worker_to_be_killed")
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(worker.stderr.take().unwrap()).lines();
    let mut spent = lines
        .map_while(Result::ok)
        .filter_map(|line| line.strip_prefix(SAID)?.parse().ok());
    let mut last = 0;
    for _ in 0..said {
        last = spent.next().expect("the worker goes on");
    }
    worker.kill().unwrap();
    let more = spent.last();
    worker.wait().unwrap();
    more.unwrap_or(last)
}

#[tokio::test]
async fn g1_a_killed_worker_leaves_items_and_money_alike() {
    let mut bench = Bench::new().await;
    let run = bench.run_of(0..KILLED_RUN).await;
    for said in [1, 3, 7, 12, 20, 31] {
        bench.meta.close().await.unwrap();
        let told = killed_after(bench.folder.path(), said);
        let path = bench.folder.path().join("meta.db");
        bench.meta = Meta::open(&path, bench.clock.clone()).await.unwrap();
        let seen = bench.seen(&run).await;
        assert!(seen.spent >= NanoUsd(told), "what was answered is kept");
        assert!(
            seen.done > 0 && seen.waiting() > 0,
            "it was killed on the way"
        );
        bench.check_figures(&run).await;
        assert_eq!(bench.meta.verify().await.unwrap(), Vec::<String>::new());
    }
    bench.meta.release_all_grading_items(&run.id).await.unwrap();
    let rest = bench.lease(&run, "w", KILLED_RUN as u32).await;
    let ends: Vec<_> = rest
        .iter()
        .map(|item| ended(item.position, ItemEnd::Scored, 1_000 + item.position))
        .collect();
    let done = bench.finish(&run, "w", &ends).await;
    // Every item was paid once, whoever was killed over it.
    let total: i64 = (0..KILLED_RUN as i64).map(|place| 1_000 + place).sum();
    assert_eq!((done.waiting, done.spent), (0, NanoUsd(total)));
    assert!(bench.set(&run, GradingStatus::Completed).await);
}

#[tokio::test]
async fn g1_a_future_that_is_dropped_half_way_has_done_all_or_nothing() {
    let bench = Arc::new(Bench::new().await);
    let run = bench.run_of(0..600).await;
    for round in 0..60_u64 {
        let leased = bench.lease(&run, "w", 10).await;
        let ends: Vec<_> = leased
            .iter()
            .map(|item| ended(item.position, ItemEnd::Unscored, 3))
            .collect();
        let (with, id) = (Arc::clone(&bench), run.id.clone());
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move { with.meta.finish_grading_items(&id, "w", &ends).await });
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        tasks.shutdown().await;
        // A commit that was under way goes on behind the future: whoever writes next comes after it.
        bench
            .meta
            .release_grading_items(&run.id, "w")
            .await
            .unwrap();
        bench.check_figures(&run).await;
    }
}
