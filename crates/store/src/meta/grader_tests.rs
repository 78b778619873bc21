//! Versions of graders: what changes in place, what never does.

use model::ProjectId;

use super::grading_tests::{Bench, page};
use super::*;

fn new(name: &str, hash: &str) -> NewGrader {
    NewGrader {
        name: Some(name.to_owned()),
        kind: "rule".to_owned(),
        hash: hash.to_owned(),
        definition: format!("{{\"of\":\"{hash}\"}}"),
        description: None,
    }
}

impl Bench {
    async fn save(&self, new: &NewGrader) -> StoredGrader {
        self.clock.advance_micros(1);
        let saved = self.meta.save_grader("ada", &self.project, new);
        saved.await.unwrap()
    }

    /// Has a run use a version.
    async fn make_use_of(&self, grader: &StoredGrader) -> Result<GradingRun, MetaError> {
        let uses = vec![GraderUse {
            id: grader.id.clone(),
            version: grader.version,
            hash: grader.hash.clone(),
        }];
        let new = NewGradingRun {
            uses,
            ..self.new_run()
        };
        self.meta.create_grading_run("ada", &new).await
    }

    async fn versions(&self, name: &str) -> Vec<(u32, String, bool)> {
        let versions = self.meta.grader_versions(&self.project, name).await;
        versions
            .unwrap()
            .into_iter()
            .map(|one| (one.version, one.hash, one.is_used))
            .collect()
    }
}

#[tokio::test]
async fn an_unused_version_is_replaced_and_a_used_one_never() {
    let bench = Bench::new().await;
    let first = bench.save(&new("tone", "a")).await;
    assert_eq!(
        (first.version, first.versions, first.is_used),
        (1, 1, false)
    );
    assert!(first.id.starts_with("grader_"), "{}", first.id);
    assert_eq!(bench.save(&new("tone", "a")).await, first, "nothing is new");

    let draft = bench.save(&new("tone", "b")).await;
    assert_eq!((&draft.id, draft.version), (&first.id, 1));
    assert_eq!((&*draft.hash, &*draft.definition), ("b", "{\"of\":\"b\"}"));
    assert_eq!(draft.created_at, first.created_at);
    assert!(draft.updated_at > first.updated_at);
    bench.make_use_of(&draft).await.unwrap();

    assert_eq!(bench.save(&new("tone", "b")).await.version, 1);
    let second = bench.save(&new("tone", "c")).await;
    assert_eq!((second.version, second.versions), (2, 2));
    let second = bench.save(&new("tone", "d")).await;
    assert_eq!((second.version, &*second.hash), (2, "d"));
    let want = [(2, "d".to_owned(), false), (1, "b".to_owned(), true)];
    assert_eq!(bench.versions("tone").await, want);
    // Going back to an earlier wording is a version of its own: history has no loops.
    bench.make_use_of(&second).await.unwrap();
    let third = bench.save(&new("tone", "b")).await;
    assert_eq!((third.version, &*third.hash), (3, "b"));

    let (meta, project) = (&bench.meta, &bench.project);
    let by_id = meta.grader(project, &third.id, Some(1)).await.unwrap();
    let by_name = meta.grader(project, "tone", Some(1)).await.unwrap();
    assert_eq!((&by_id, &*by_id.hash), (&by_name, "b"));
    assert_eq!(meta.grader(project, "tone", None).await.unwrap(), third);
    let missing = meta.grader(project, "tone", Some(4)).await.unwrap_err();
    let told = "tone has no version 4: its versions are 1 to 3";
    assert_eq!(missing.to_string(), told);
}

#[tokio::test]
async fn a_version_that_was_replaced_meanwhile_cannot_be_used() {
    let bench = Bench::new().await;
    let read = bench.save(&new("tone", "a")).await;
    bench.save(&new("tone", "b")).await;
    let refused = bench.make_use_of(&read).await.unwrap_err();
    let told = format!("there is no grader \"{} version 1\"", read.id);
    assert_eq!(refused.to_string(), told);
    let (all, first) = (GradingRunFilter::default(), page(None, 9, false));
    let runs = bench.meta.grading_runs(&bench.project, &all, &first);
    assert_eq!(runs.await.unwrap().entries, [], "nothing was made");
    assert_eq!(bench.versions("tone").await, [(1, "b".to_owned(), false)]);
}

#[tokio::test]
async fn savers_at_once_leave_one_whole_version() {
    let bench = Bench::new().await;
    let hashes = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let bench = Arc::new(bench);
    let mut savers = tokio::task::JoinSet::new();
    for hash in hashes {
        let bench = Arc::clone(&bench);
        savers.spawn(async move {
            let new = new("tone", hash);
            let saved = bench.meta.save_grader("ada", &bench.project, &new);
            saved.await.unwrap()
        });
    }
    for saved in savers.join_all().await {
        // Nobody has used it, so all of them write version 1, one after the other.
        assert_eq!((saved.version, saved.versions), (1, 1), "{saved:?}");
    }
    assert_eq!(bench.versions("tone").await.len(), 1);
    let latest = bench
        .meta
        .grader(&bench.project, "tone", None)
        .await
        .unwrap();
    assert_eq!(latest.definition, format!("{{\"of\":\"{}\"}}", latest.hash));
}

#[tokio::test]
async fn a_saver_and_a_run_at_once_leave_what_the_run_used() {
    for _ in 0..8 {
        let bench = Bench::new().await;
        let read = bench.save(&new("tone", "a")).await;
        let next = new("tone", "b");
        let save = bench.meta.save_grader("ada", &bench.project, &next);
        let (used, saved) = tokio::join!(bench.make_use_of(&read), save);
        let saved = saved.unwrap();
        match used {
            Ok(_) => {
                let want = [(2, "b".to_owned(), false), (1, "a".to_owned(), true)];
                assert_eq!(bench.versions("tone").await, want);
                assert_eq!(saved.version, 2);
            }
            Err(MetaError::NotFound { .. }) => {
                assert_eq!(bench.versions("tone").await, [(1, "b".to_owned(), false)]);
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn what_comes_along_with_requests_is_kept_once_for_each_hash() {
    let bench = Bench::new().await;
    let inline = |hash: &str| NewGrader {
        name: None,
        ..new("", hash)
    };
    let one = bench.save(&inline("a")).await;
    let two = bench.save(&inline("b")).await;
    let same = new("named", "a");
    let again = bench.meta.inline_grader("eve", &bench.project, &same);
    assert_eq!(again.await.unwrap(), one);
    assert_ne!(one.id, two.id);
    assert_eq!((one.version, one.name.as_deref()), (1, None));
    let listed = bench
        .meta
        .graders(&bench.project, false, &page(None, 9, false))
        .await;
    assert_eq!(
        listed.unwrap().entries,
        [],
        "only what has a name is listed"
    );
    let named = bench.save(&new("named", "a")).await;
    assert_ne!(named.id, one.id);
}

#[tokio::test]
async fn a_description_is_not_what_is_graded_and_changes_in_place() {
    let bench = Bench::new().await;
    let told = |words: &str| NewGrader {
        description: Some(words.to_owned()),
        definition: "{\"of\":\"a\", \"spaces\": true}".to_owned(),
        ..new("tone", "a")
    };
    let first = bench.save(&new("tone", "a")).await;
    bench.make_use_of(&first).await.unwrap();
    let second = bench.save(&told("is it kind?")).await;
    assert_eq!((second.version, second.is_used), (1, true));
    assert_eq!(second.description.as_deref(), Some("is it kind?"));
    assert_eq!(second.definition, first.definition, "what was used stays");
    let next = bench.save(&new("tone", "b")).await;
    assert_eq!((next.version, next.description), (2, second.description));
}

#[tokio::test]
async fn a_grader_put_away_comes_back_when_it_is_saved() {
    let bench = Bench::new().await;
    let (meta, project) = (&bench.meta, &bench.project);
    let grader = bench.save(&new("tone", "a")).await;
    let away = meta.archive_grader("ada", project, "tone").await.unwrap();
    assert!(away.archived_at.is_some());
    assert_eq!(
        meta.archive_grader("ada", project, "tone").await.unwrap(),
        away
    );
    let listed = async || {
        let page = meta.graders(project, false, &page(None, 9, false)).await;
        page.unwrap().entries
    };
    assert_eq!(listed().await, []);
    assert_eq!(meta.grader(project, &grader.id, None).await.unwrap(), away);
    let back = bench.save(&new("tone", "a")).await;
    assert_eq!((back.archived_at, back.version), (None, 1));
    assert_eq!(listed().await, [back]);
}

#[tokio::test]
async fn t1_graders_of_others_are_not_there() {
    let bench = Bench::new().await;
    let other = ProjectId::new("other").unwrap();
    let meta = &bench.meta;
    meta.create_project("ada", &other, "Other").await.unwrap();
    let mine = bench.save(&new("tone", "a")).await;
    meta.grader(&other, &mine.id, None).await.unwrap_err();
    meta.grader(&other, "tone", None).await.unwrap_err();
    meta.grader_versions(&other, &mine.id).await.unwrap_err();
    meta.archive_grader("eve", &other, &mine.id)
        .await
        .unwrap_err();
    let theirs = meta
        .save_grader("eve", &other, &new("tone", "a"))
        .await
        .unwrap();
    assert_ne!(theirs.id, mine.id);
    let uses = vec![GraderUse {
        id: mine.id.clone(),
        version: 1,
        hash: "a".to_owned(),
    }];
    let run = NewGradingRun {
        project: other.clone(),
        uses,
        ..bench.new_run()
    };
    meta.create_grading_run("eve", &run).await.unwrap_err();
    let unused = meta.grader(&bench.project, "tone", None).await.unwrap();
    assert!(!unused.is_used);
    meta.delete_project("ada", &other).await.unwrap();
    meta.grader(&other, "tone", None).await.unwrap_err();
    let late = meta.save_grader("eve", &other, &new("tone", "a")).await;
    assert!(matches!(late, Err(MetaError::NotFound { .. })), "{late:?}");
    assert_eq!(
        meta.grader(&bench.project, "tone", None).await.unwrap(),
        unused
    );
}
