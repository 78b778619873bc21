//! What was graded elsewhere and comes along, on a database alone.

use model::{FixedClock, NanoUsd, ProjectId};

use super::*;

async fn bench() -> (tempfile::TempDir, Meta, ProjectId) {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(FixedClock::at(Time::from_micros(1_000)));
    let path = folder.path().join("meta.db");
    let meta = Meta::create(&path, Uuid::from_u128(7), clock)
        .await
        .unwrap();
    (folder, meta, ProjectId::new(DEFAULT_PROJECT).unwrap())
}

fn eval(openai_id: &str) -> ImportedEval {
    ImportedEval {
        openai_id: openai_id.to_owned(),
        created_at: Some(Time::from_micros(5)),
        eval: NewEval {
            name: "e".to_owned(),
            metadata: "{}".to_owned(),
            data_source_config: "{}".to_owned(),
            testing_criteria: "[]".to_owned(),
        },
    }
}

fn run(openai_id: &str, of: &str) -> ImportedRun {
    ImportedRun {
        openai_id: openai_id.to_owned(),
        openai_eval_id: of.to_owned(),
        name: "r".to_owned(),
        model: None,
        created_at: Some(Time::from_micros(6)),
        status: RunStatus::Completed,
        is_unfinished: false,
        data_source: "{}".to_owned(),
        metadata: "{}".to_owned(),
        error: None,
        told: r#"{"result_counts":{"total":9}}"#.to_owned(),
    }
}

fn item(openai_id: &str, of: &str, position: Option<i64>) -> ImportedItem {
    ImportedItem {
        openai_id: openai_id.to_owned(),
        openai_run_id: of.to_owned(),
        position,
        created_at: None,
        status: ItemStatus::Fail,
        item: "{}".to_owned(),
        sample: None,
        results: "[]".to_owned(),
    }
}

fn id_of(brought: &Brought) -> String {
    match brought {
        Brought::Added(id) | Brought::There(id) | Brought::Renewed(id) => id.clone(),
        Brought::Homeless => panic!("it has no home"),
    }
}

#[tokio::test]
async fn g1_what_comes_along_is_kept_once_and_never_worked_on() {
    let (_folder, meta, project) = bench().await;
    let import = EvalImport {
        evals: vec![eval("e1")],
        runs: vec![run("r1", "e1"), run("lost", "nobody")],
        items: vec![
            item("i1", "r1", Some(4)),
            item("i2", "r1", Some(4)),
            item("i3", "lost", None),
        ],
    };
    let first = meta.import_evals("ada", &project, &import).await.unwrap();
    assert_eq!(
        (&first.runs[1], &first.items[2]),
        (&Brought::Homeless, &Brought::Homeless)
    );
    let (eval_id, run_id) = (id_of(&first.evals[0]), id_of(&first.runs[0]));
    let again = meta.import_evals("ada", &project, &import).await.unwrap();
    assert_eq!(again.evals, [Brought::There(eval_id.clone())]);
    assert_eq!(again.runs[0], Brought::There(run_id.clone()));
    assert!(matches!(
        &again.items[..2],
        [Brought::There(_), Brought::There(_)]
    ));

    // Nobody has it to do: not as it is, and not if somebody tried.
    assert_eq!(meta.open_runs().await.unwrap(), []);
    assert!(!meta.begin_run(&run_id).await.unwrap());
    assert_eq!(meta.queued_items(&run_id, -1, 10).await.unwrap(), []);
    let graded = GradedItem {
        position: 4,
        status: ItemStatus::Pass,
        sample: None,
        results: "[]".to_owned(),
        outcomes: Vec::new(),
        usage: Vec::new(),
        kept_answers: Vec::new(),
    };
    assert!(
        !meta
            .grade_items(&run_id, &[graded], NanoUsd(1))
            .await
            .unwrap()
    );
    let canceled = meta
        .cancel_run("ada", &project, &eval_id, &run_id)
        .await
        .unwrap();
    assert_eq!(canceled.status, RunStatus::Completed);
    assert_eq!(canceled.openai_id.as_deref(), Some("r1"));

    let asked = PageAsked {
        after: None,
        limit: 10,
        is_descending: false,
    };
    let rows = meta.output_items(&run_id, None, &asked).await.unwrap();
    let places: Vec<(i64, Option<&str>)> = (rows.entries.iter())
        .map(|row| (row.position, row.openai_id.as_deref()))
        .collect();
    assert_eq!(places, [(4, Some("i1")), (5, Some("i2"))]);
    meta.delete_run("ada", &project, &eval_id, &run_id)
        .await
        .unwrap();
    let rows = meta.output_items(&run_id, None, &asked).await.unwrap();
    assert_eq!(rows.entries, []);
}

#[tokio::test]
async fn an_unfinished_run_is_told_anew_once_it_has_ended() {
    let (_folder, meta, project) = bench().await;
    let unfinished = ImportedRun {
        status: RunStatus::Canceled,
        is_unfinished: true,
        ..run("r1", "e1")
    };
    let mut import = EvalImport {
        evals: vec![eval("e1")],
        runs: vec![unfinished],
        items: Vec::new(),
    };
    let first = meta.import_evals("ada", &project, &import).await.unwrap();
    let id = id_of(&first.runs[0]);
    import.runs.push(run("r1", "e1"));
    import.runs.push(run("r1", "e1"));
    let again = meta.import_evals("ada", &project, &import).await.unwrap();
    let want = [
        Brought::There(id.clone()),
        Brought::Renewed(id.clone()),
        Brought::There(id.clone()),
    ];
    assert_eq!(again.runs, want);
    let eval_id = id_of(&first.evals[0]);
    let run = meta.run(&project, &eval_id, &id).await.unwrap();
    assert_eq!(
        (run.status, run.is_unfinished),
        (RunStatus::Completed, false)
    );
}
