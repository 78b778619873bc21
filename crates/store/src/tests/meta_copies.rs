//! What people made can be had back as it was on each of the last days.

use std::path::PathBuf;

use model::{Clock, FixedClock, TraceId};

use super::world::{NOW, World, span};
use crate::meta::{AnnotationFilter, Meta, NewAnnotation, PageAsked};

const DAY_MICROS: i64 = 86_400_000_000;

fn copies(world: &World) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(world.dir().join("meta-copies")).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[tokio::test]
async fn a_copy_of_the_projects_and_keys_is_made_each_day_and_seven_are_kept() {
    let world = World::new().await;
    world.store().tidy().await.unwrap();
    world.store().tidy().await.unwrap();
    assert_eq!(copies(&world).len(), 1, "one a day");
    for day in 1..10 {
        world.clock.set(NOW.plus_micros(day * DAY_MICROS));
        world.store().tidy().await.unwrap();
    }
    let copies = copies(&world);
    assert_eq!(copies.len(), 7);
    assert!(copies[0].ends_with("meta-2026-01-05.db"), "{copies:?}");
    assert!(copies[6].ends_with("meta-2026-01-11.db"), "{copies:?}");
    let bytes = std::fs::read(&copies[6]).unwrap();
    assert!(bytes.starts_with(b"SQLite format 3\0"));
}

/// Says something of a trace that is nowhere else.
async fn annotate(world: &World, trace: &str, note: &str) {
    let said = NewAnnotation {
        trace_id: TraceId::new(trace).unwrap(),
        span_id: None,
        grader_id: None,
        rating: None,
        label: None,
        note: Some(note.to_owned()),
        author: "ann".to_owned(),
        source: "human".to_owned(),
        created_at: None,
        asked: None,
    };
    let meta = world.store().meta();
    let made = meta.add_annotations("ann", &world.project, &[said]).await;
    made.unwrap();
}

/// Returns which copies hold these words.
fn holding(world: &World, words: &str) -> Vec<PathBuf> {
    let mut holding = copies(world);
    holding.retain(|path| {
        let bytes = std::fs::read(path).unwrap();
        bytes
            .windows(words.len())
            .any(|some| some == words.as_bytes())
    });
    holding
}

/// Returns the notes in a copy, sorted, which is opened as somebody opens it who has lost the database.
async fn notes(world: &World, copy: &PathBuf) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("meta.db");
    std::fs::copy(copy, &path).unwrap();
    let clock: std::sync::Arc<dyn Clock> = std::sync::Arc::new(FixedClock::at(NOW));
    let meta = Meta::open(&path, clock).await.unwrap();
    let asked = PageAsked {
        after: None,
        limit: 10,
        is_descending: false,
    };
    let all = AnnotationFilter::default();
    let page = meta
        .annotations(&world.project, &all, &asked)
        .await
        .unwrap();
    let notes = page.entries.into_iter();
    let mut notes: Vec<String> = notes.filter_map(|said| said.note).collect();
    notes.sort();
    meta.close().await.unwrap();
    notes
}

const SECRET: &str = "note_6b1f0c9e2d7a4853_about_what_goes";
const KEPT: &str = "note_about_what_stays";

/// A world with two days' copies, both with what was said of two traces.
async fn annotated() -> World {
    let mut world = World::new().await;
    world
        .send(&[span("goes", "a"), span("stays", "a")])
        .await
        .unwrap();
    annotate(&world, "goes", SECRET).await;
    annotate(&world, "stays", KEPT).await;
    world.store().tidy().await.unwrap();
    world.clock.set(NOW.plus_micros(DAY_MICROS));
    world.store().tidy().await.unwrap();
    assert_eq!(
        holding(&world, SECRET).len(),
        2,
        "what people said is in the copies"
    );
    world
}

#[tokio::test]
async fn d6_what_was_said_of_a_deleted_trace_leaves_the_copies_too() {
    let mut world = annotated().await;
    assert_eq!(notes(&world, &copies(&world)[0]).await, [SECRET, KEPT]);
    world.delete("goes").await;
    world.store().erase().await.unwrap();
    assert_eq!(holding(&world, SECRET), Vec::<PathBuf>::new());
    let copies = copies(&world);
    assert_eq!(copies.len(), 2, "nothing lies beside them: {copies:?}");
    for copy in &copies {
        assert_eq!(notes(&world, copy).await, [KEPT]);
    }
    world.check("deleted");
}

#[tokio::test]
async fn d6_what_an_interrupted_process_left_of_copies_is_cleaned_at_the_next_start() {
    let mut world = annotated().await;
    let taken_before: Vec<Vec<u8>> = copies(&world)
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    world.delete("goes").await;
    world.store().erase().await.unwrap();
    // As if the process had ended before it came to the copies, while another was being made.
    for (path, bytes) in copies(&world).iter().zip(&taken_before) {
        std::fs::write(path, bytes).unwrap();
    }
    let half = world.dir().join("meta-copies/meta-2026-01-01.building");
    std::fs::write(&half, &taken_before[0]).unwrap();
    world.restart().await;
    world.store().tidy().await.unwrap();
    assert_eq!(holding(&world, SECRET), Vec::<PathBuf>::new());
    assert_eq!(holding(&world, KEPT).len(), 2);
}

#[tokio::test]
async fn d6_a_copy_that_cannot_be_opened_goes_rather_than_the_promise() {
    let mut world = annotated().await;
    let broken = copies(&world)[0].clone();
    std::fs::write(&broken, format!("not a database, and yet {SECRET}")).unwrap();
    world.delete("goes").await;
    world.store().erase().await.unwrap();
    assert!(!broken.exists());
    assert_eq!(holding(&world, SECRET), Vec::<PathBuf>::new());
    assert_eq!(holding(&world, KEPT).len(), 1);
}
