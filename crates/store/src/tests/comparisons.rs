//! A grade that compares two traces, when the one that it does not hang on is deleted.

use model::{Grade, JsonText, JudgeUse, Outcome, TraceId, Verdict};

use super::delete::on_disk;
use super::world::{NOW, World, grade, span};
use crate::GradeFilter;
use crate::meta::{GradingItemStatus, GradingStatus, NewGradingItem, NewGradingRun};

const OWN: &str = "trace_own";
const OTHER: &str = "trace_other";

/// What the judge quotes of the other trace; as a label it stands in files as it is.
const QUOTE: &str = "quote_6b1f0c9e2d7a4853secretsecret";

/// Makes a run that holds a trace against another one.
async fn run_of_a_pair(world: &World) -> String {
    let meta = world.store().meta();
    let new = NewGradingRun {
        project: world.project.clone(),
        name: None,
        request: "{}".to_owned(),
        graders: "[]".to_owned(),
        uses: Vec::new(),
        metadata: "{}".to_owned(),
        cap: None,
        settings: None,
        in_order_of_hash: true,
    };
    let run = meta.create_grading_run("ada", &new).await.unwrap();
    let item = NewGradingItem {
        trace_id: TraceId::new(OWN).unwrap(),
        group_id: None,
        stratum: None,
        weight: 1.0,
        trace_started_at: NOW,
        counterpart: TraceId::new(OTHER).ok(),
        reference: None,
    };
    let added = meta.add_grading_items(&run.id, &[item]).await.unwrap();
    assert_eq!(added, 1);
    meta.open_grading_run(&run.id, "{}", None).await.unwrap();
    run.id
}

fn comparison(run: &str) -> Grade {
    let plain = grade(run, OWN, "which", QUOTE);
    let params = format!(r#"{{"judgement":{{"counterpart":"{OTHER}","said":"{QUOTE}"}}}}"#);
    let used = JudgeUse {
        model: "judge-1".to_owned(),
        params: JsonText::parse(&params).ok(),
        output_tokens: Some(7),
        ..JudgeUse::default()
    };
    Grade {
        verdict: Verdict {
            label: Some(QUOTE.to_owned()),
            judge: Some(used),
            ..plain.verdict
        },
        ..plain
    }
}

/// Checks that the comparison has no word left, but what it cost, and that the other grade is as it was.
fn check_empty(world: &World, what: &str) {
    let filter = GradeFilter {
        with_texts: true,
        ..GradeFilter::default()
    };
    let grades = world.grades(what, &filter);
    assert_eq!(grades.len(), 2, "{what}");
    for grade in grades.values() {
        assert!(!format!("{grade:?}").contains(QUOTE), "{what}: {grade:?}");
        let verdict = &grade.verdict;
        if grade.grader_id == "fast" {
            assert_eq!(verdict.reasoning.as_deref(), Some("quick"), "{what}");
            continue;
        }
        assert_eq!(verdict.outcome, Outcome::NotApplicable, "{what}");
        let used = verdict.judge.as_ref().unwrap();
        assert_eq!((used.output_tokens, &used.params), (Some(7), &None));
    }
}

/// Deletes the other trace in one way, with the comparison in a file.
async fn check(is_asked: bool) {
    let mut world = World::new().await;
    world
        .send(&[span(OWN, "a"), span(OTHER, "a")])
        .await
        .unwrap();
    let run = run_of_a_pair(&world).await;
    let both = vec![comparison(&run), grade(&run, OWN, "fast", "quick")];
    let project = world.project.clone();
    world.store().append_grades(&project, both).await.unwrap();
    world.store().flush().await.unwrap();
    assert!(!on_disk(&world, QUOTE).is_empty(), "the scan finds it");

    let other = vec![TraceId::new(OTHER).unwrap()];
    match is_asked {
        true => drop(world.store().delete_traces(&project, other).await.unwrap()),
        false => world.store().let_go(&project, &other).await.unwrap(),
    }
    check_empty(&world, "deleted");
    // Whoever compared them before may be ready only now.
    let late = vec![comparison(&run)];
    world.store().append_grades(&project, late).await.unwrap();
    check_empty(&world, "compared after the deletion");
    world.restart().await;
    check_empty(&world, "deleted, after a restart");
    world.store().erase().await.unwrap();
    check_empty(&world, "erased");
    assert_eq!(on_disk(&world, QUOTE), Vec::<String>::new());
    // The trace is still there, and so is its item: graders that do not compare have it.
    let meta = world.store().meta();
    let items = meta.grading_items(&run, None, None, 9).await.unwrap();
    assert_eq!(items[0].status, GradingItemStatus::Queued);
    let (from, to) = ([GradingStatus::Queued], GradingStatus::InProgress);
    let begun = meta.set_grading_status(None, &run, &from, to, None).await;
    assert!(begun.unwrap());
    let leased = meta.lease_grading_items(&run, "w", 9, std::time::Duration::from_secs(9));
    assert_eq!(leased.await.unwrap()[0].counterpart, None);
    world.kill().await;
}

#[tokio::test]
async fn d6_what_a_comparison_quotes_goes_with_either_trace() {
    check(true).await;
}

#[tokio::test]
async fn d6_retention_takes_the_words_of_comparisons_along() {
    check(false).await;
}
