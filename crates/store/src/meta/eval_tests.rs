//! Evals, their runs and the rows of those, on a database alone.

use model::{FixedClock, NanoUsd, ProjectId, TraceId};
use tempfile::TempDir;

use super::*;

struct Bench {
    folder: TempDir,
    clock: Arc<FixedClock>,
    meta: Meta,
    project: ProjectId,
}

impl Bench {
    async fn new() -> Self {
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

    /// Opens the database again, as after a crash.
    async fn reopened(self) -> Self {
        self.meta.close().await.unwrap();
        let path = self.folder.path().join("meta.db");
        let meta = Meta::open(&path, self.clock.clone()).await.unwrap();
        Self { meta, ..self }
    }

    async fn eval(&self, name: &str) -> Eval {
        self.clock.advance_micros(1);
        let new = NewEval {
            name: name.to_owned(),
            metadata: "{}".to_owned(),
            data_source_config: r#"{"type":"custom"}"#.to_owned(),
            testing_criteria: "[]".to_owned(),
        };
        let made = self.meta.create_eval("ada", &self.project, &new).await;
        made.unwrap()
    }

    async fn run(&self, eval: &Eval, rows: usize) -> EvalRun {
        self.clock.advance_micros(1);
        let item = |n: usize| NewItem {
            trace_id: (n < 2).then(|| TraceId::new(&format!("t{n}")).unwrap()),
            item: format!("{{\"n\":{n}}}"),
            given: n
                .is_multiple_of(2)
                .then(|| "{\"output_text\":\"x\"}".to_owned()),
        };
        let new = NewRun {
            name: "r".to_owned(),
            model: None,
            data_source: "{}".to_owned(),
            metadata: "{}".to_owned(),
            items: (0..rows).map(item).collect(),
        };
        let made = self.meta.create_run("ada", &self.project, &eval.id, &new);
        made.await.unwrap()
    }

    async fn tally(&self, run: &EvalRun) -> RunTally {
        let mut tallies = self.meta.tallies(&[&run.id]).await.unwrap();
        tallies.remove(&run.id).unwrap()
    }
}

fn page(after: Option<&str>, limit: usize, is_descending: bool) -> PageAsked {
    PageAsked {
        after: after.map(str::to_owned),
        limit,
        is_descending,
    }
}

fn graded(position: i64, status: ItemStatus) -> GradedItem {
    let used = ModelUse {
        calls: 1,
        prompt_tokens: 10,
        completion_tokens: 2,
        total_tokens: 12,
        cached_tokens: 4,
    };
    GradedItem {
        position,
        status,
        sample: None,
        results: "[]".to_owned(),
        outcomes: vec![
            ("exact-1".to_owned(), status),
            ("close-2".to_owned(), ItemStatus::Pass),
        ],
        usage: vec![("judge".to_owned(), used)],
        kept_answers: vec![format!("q{position}")],
    }
}

#[tokio::test]
async fn a_list_is_read_page_by_page_in_either_order() {
    let bench = Bench::new().await;
    let mut made = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        made.push(bench.eval(name).await);
    }
    bench.clock.advance_micros(1);
    let (meta, project) = (&bench.meta, &bench.project);
    let metadata = r#"{"k":"v"}"#;
    let changed = meta
        .update_eval("ada", project, &made[1].id, None, Some(metadata))
        .await
        .unwrap();
    assert_eq!((&*changed.name, &*changed.metadata), ("b", metadata));
    let check = async |order, after: Option<usize>, is_descending, want: &str, has_more| {
        let after = after.map(|at| &*made[at].id);
        let asked = page(after, 2, is_descending);
        let got = meta.evals(project, order, &asked).await.unwrap();
        let names: String = got.entries.iter().map(|eval| &*eval.name).collect();
        assert_eq!((&*names, got.has_more), (want, has_more), "{asked:?}");
    };
    use EvalOrder::{CreatedAt, UpdatedAt};
    check(CreatedAt, None, false, "ab", true).await;
    check(CreatedAt, Some(1), false, "cd", true).await;
    check(CreatedAt, Some(3), false, "e", false).await;
    check(CreatedAt, Some(4), false, "", false).await;
    check(CreatedAt, None, true, "ed", true).await;
    check(CreatedAt, Some(1), true, "a", false).await;
    check(UpdatedAt, None, true, "be", true).await;
    check(UpdatedAt, Some(4), true, "dc", true).await;
    let gone = meta
        .evals(project, CreatedAt, &page(Some("eval_x"), 2, false))
        .await
        .unwrap_err();
    let gone = gone.to_string();
    assert!(
        gone.starts_with("there is no eval \"eval_x\" in this list"),
        "{gone}"
    );
}

#[tokio::test]
async fn t1_a_project_sees_its_own_evals_and_runs_only() {
    let bench = Bench::new().await;
    let other = ProjectId::new("other").unwrap();
    let (meta, project) = (&bench.meta, &bench.project);
    meta.create_project("ada", &other, "Other").await.unwrap();
    let eval = bench.eval("mine").await;
    let run = bench.run(&eval, 1).await;
    let asked = page(None, 10, false);
    let theirs = meta.evals(&other, EvalOrder::CreatedAt, &asked).await;
    assert_eq!(theirs.unwrap().entries, []);
    let theirs = meta.runs(&other, &eval.id, None, &asked).await;
    assert_eq!(theirs.unwrap().entries, []);
    meta.eval(&other, &eval.id).await.unwrap_err();
    meta.run(&other, &eval.id, &run.id).await.unwrap_err();
    meta.cancel_run("eve", &other, &eval.id, &run.id)
        .await
        .unwrap_err();
    meta.delete_run("eve", &other, &eval.id, &run.id)
        .await
        .unwrap_err();
    meta.delete_eval("eve", &other, &eval.id).await.unwrap_err();
    let place = page(Some(&eval.id), 10, false);
    let theirs = meta.evals(&other, EvalOrder::CreatedAt, &place).await;
    theirs.unwrap_err();
    // A run is found below its own eval only.
    let second = bench.eval("second").await;
    meta.run(project, &second.id, &run.id).await.unwrap_err();
    assert_eq!(meta.run(project, &eval.id, &run.id).await.unwrap(), run);
    meta.delete_project("ada", &other).await.unwrap();
    assert_eq!(meta.open_runs().await.unwrap(), [run]);
}

#[tokio::test]
async fn g1_a_row_is_graded_once_whoever_tries_again() {
    let bench = Bench::new().await;
    let eval = bench.eval("e").await;
    let run = bench.run(&eval, 5).await;
    assert_eq!(run.status, RunStatus::Queued);
    let early = [graded(0, ItemStatus::Pass)];
    assert!(
        !bench
            .meta
            .grade_items(&run.id, &early, NanoUsd(1))
            .await
            .unwrap(),
        "nobody has begun"
    );
    assert!(bench.meta.begin_run(&run.id).await.unwrap());
    let first = [
        graded(0, ItemStatus::Pass),
        graded(2, ItemStatus::Fail),
        graded(3, ItemStatus::Error),
    ];
    assert!(
        bench
            .meta
            .grade_items(&run.id, &first, NanoUsd(5))
            .await
            .unwrap()
    );

    let bench = bench.reopened().await;
    let open = bench.meta.open_runs().await.unwrap();
    assert_eq!((open.len(), open[0].status), (1, RunStatus::InProgress));
    assert!(bench.meta.begin_run(&run.id).await.unwrap());
    let queued = bench.meta.queued_items(&run.id, -1, 10).await.unwrap();
    let places: Vec<_> = queued.iter().map(|item| item.position).collect();
    assert_eq!(places, [1, 4]);
    assert_eq!(queued[0].given, None);
    assert!(queued[1].given.is_some());
    let again = [graded(2, ItemStatus::Pass), graded(1, ItemStatus::Pass)];
    assert!(
        bench
            .meta
            .grade_items(&run.id, &again, NanoUsd(2))
            .await
            .unwrap()
    );
    let tally = bench.tally(&run).await;
    let counts = (tally.queued, tally.passed, tally.failed, tally.errored);
    assert_eq!(counts, (1, 2, 1, 1));
    assert_eq!(tally.criteria["exact-1"], [2, 1, 1, 0]);
    assert_eq!(tally.criteria["close-2"], [4, 0, 0, 0]);
    let used = tally.usage["judge"];
    assert_eq!(
        (used.calls, used.prompt_tokens, used.cached_tokens),
        (4, 40, 16)
    );

    let fails = bench
        .meta
        .output_items(&run.id, Some(ItemStatus::Fail), &page(None, 10, false))
        .await
        .unwrap();
    assert_eq!(fails.entries.len(), 1);
    assert_eq!(
        (fails.entries[0].position, &*fails.entries[0].item),
        (2, "{\"n\":2}")
    );
    let newest = page(None, 3, true);
    let all = bench.meta.output_items(&run.id, None, &newest).await;
    let all = all.unwrap();
    let places: Vec<_> = all.entries.iter().map(|item| item.position).collect();
    assert_eq!((places, all.has_more), (vec![3, 2, 1], true));
    let one = bench.meta.output_item(&run.id, &all.entries[0].id).await;
    assert_eq!(one.unwrap(), all.entries[0]);
}

#[tokio::test]
async fn what_a_row_cost_is_written_with_it_and_what_was_kept_for_it_goes() {
    let bench = Bench::new().await;
    let eval = bench.eval("e").await;
    let run = bench.run(&eval, 3).await;
    for question in ["q0", "q1", "q2"] {
        let kept = bench
            .meta
            .keep_judge_answer(&bench.project, question, None, "{}");
        kept.await.unwrap();
    }
    let write = async |position, cost| {
        let one = [graded(position, ItemStatus::Pass)];
        bench.meta.grade_items(&run.id, &one, NanoUsd(cost)).await
    };
    assert!(!write(0, 100).await.unwrap(), "nobody has begun");
    assert!(bench.meta.begin_run(&run.id).await.unwrap());
    assert!(write(0, 5).await.unwrap());
    assert!(write(1, 2).await.unwrap());
    let told = bench.meta.run(&bench.project, &eval.id, &run.id).await;
    assert_eq!(told.unwrap().spent, NanoUsd(7));
    for (question, is_kept) in [("q0", false), ("q1", false), ("q2", true)] {
        let answer = bench.meta.judge_answer(&bench.project, question).await;
        assert_eq!(answer.unwrap().is_some(), is_kept, "{question}");
    }
}

#[tokio::test]
async fn a_run_ends_once_and_takes_nothing_afterwards() {
    let bench = Bench::new().await;
    let eval = bench.eval("e").await;
    let meta = &bench.meta;
    let runs = [
        bench.run(&eval, 2).await,
        bench.run(&eval, 2).await,
        bench.run(&eval, 2).await,
    ];
    for run in &runs {
        assert!(meta.begin_run(&run.id).await.unwrap());
    }
    let canceled = meta
        .cancel_run("ada", &bench.project, &eval.id, &runs[0].id)
        .await
        .unwrap();
    assert_eq!(canceled.status, RunStatus::Canceled);
    let late = [graded(0, ItemStatus::Pass)];
    assert!(
        !meta
            .grade_items(&runs[0].id, &late, NanoUsd(1))
            .await
            .unwrap()
    );
    assert!(!meta.begin_run(&runs[0].id).await.unwrap());
    meta.end_run(&runs[0].id, None).await.unwrap();
    meta.end_run(&runs[1].id, None).await.unwrap();
    meta.end_run(&runs[2].id, Some("{\"code\":\"c\"}"))
        .await
        .unwrap();
    let after = meta
        .cancel_run("ada", &bench.project, &eval.id, &runs[1].id)
        .await
        .unwrap();
    assert_eq!(after.status, RunStatus::Completed);
    let asked = page(None, 10, false);
    let all = meta
        .runs(&bench.project, &eval.id, None, &asked)
        .await
        .unwrap();
    let statuses: Vec<_> = all.entries.iter().map(|run| run.status).collect();
    use RunStatus::{Canceled, Completed, Failed};
    assert_eq!(statuses, [Canceled, Completed, Failed]);
    assert_eq!(all.entries[2].error.as_deref(), Some("{\"code\":\"c\"}"));
    assert!(all.entries.iter().all(|run| run.ended_at.is_some()));
    let failed = meta
        .runs(&bench.project, &eval.id, Some(Failed), &asked)
        .await;
    assert_eq!(failed.unwrap().entries.len(), 1);
    assert_eq!(meta.open_runs().await.unwrap(), []);

    meta.delete_run("ada", &bench.project, &eval.id, &runs[0].id)
        .await
        .unwrap();
    let gone = meta.delete_eval("ada", &bench.project, &eval.id).await;
    assert_eq!(gone.unwrap(), [runs[1].id.clone(), runs[2].id.clone()]);
    assert_eq!(bench.tally(&runs[1]).await, RunTally::default());
    assert_eq!(meta.verify().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn d6_rows_of_a_deleted_trace_go_with_it() {
    let bench = Bench::new().await;
    let eval = bench.eval("e").await;
    let run = bench.run(&eval, 3).await;
    assert!(bench.meta.begin_run(&run.id).await.unwrap());
    let all = [0, 1, 2].map(|position| graded(position, ItemStatus::Pass));
    assert!(
        bench
            .meta
            .grade_items(&run.id, &all, NanoUsd(0))
            .await
            .unwrap()
    );
    let deleted = |project: &str| DeletedTrace {
        project_id: ProjectId::new(project).unwrap(),
        trace_id: TraceId::new("t1").unwrap(),
        upto_seq: 1,
        deleted_at: bench.clock.now(),
    };
    let until = Time::from_micros(i64::MAX);
    let other = [deleted("other")];
    bench.meta.keep_deleted(&other, until).await.unwrap();
    assert_eq!(bench.tally(&run).await.passed, 3, "another project's");
    let ours = [deleted(DEFAULT_PROJECT)];
    bench.meta.keep_deleted(&ours, until).await.unwrap();
    let tally = bench.tally(&run).await;
    assert_eq!((tally.passed, tally.criteria["exact-1"]), (2, [2, 0, 0, 0]));
    // It was read before it was deleted, and its copy comes behind the deletion.
    let late = bench.run(&eval, 3).await;
    let queued = bench.meta.queued_items(&late.id, -1, 10).await.unwrap();
    let traces: Vec<_> = queued.iter().map(|item| item.trace_id.clone()).collect();
    assert_eq!(traces.len(), 2);
    assert!(
        !traces.contains(&Some(TraceId::new("t1").unwrap())),
        "{traces:?}"
    );

    let copy = bench.folder.path().join("copy.db");
    bench.meta.copy_what_people_made(&copy).await.unwrap();
    let copy = Meta::open(&copy, bench.clock.clone()).await.unwrap();
    assert_eq!(copy.eval(&bench.project, &eval.id).await.unwrap(), eval);
    assert_eq!(copy.open_runs().await.unwrap(), []);
    assert_eq!(copy.verify().await.unwrap(), Vec::<String>::new());
    let files = std::fs::read_dir(bench.folder.path()).unwrap();
    let names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
    assert!(
        names
            .iter()
            .all(|name| !name.to_string_lossy().contains("building")),
        "{names:?}"
    );
}
