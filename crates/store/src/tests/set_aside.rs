//! A row that cannot be written to Parquet costs itself and nothing else.

use std::path::PathBuf;

use model::JsonText;

use super::world::{World, grade, item, span};
use crate::GradeFilter;
use crate::disk::Disk;
use crate::outputs::QUARANTINE_DIR;
use crate::record::Record;

/// More than one column of a batch may have in tests.
fn too_much() -> String {
    format!("\"{}\"", "x".repeat(25 << 20))
}

fn kept_aside(world: &World) -> Vec<Record> {
    let dir = world.dir().join(QUARANTINE_DIR);
    let files = world.disk.list(&dir).unwrap();
    let read = |path: &PathBuf| Record::decode(&world.disk.read(path).unwrap()).unwrap();
    files.iter().map(read).collect()
}

#[tokio::test]
async fn a_row_that_cannot_be_encoded_is_kept_aside_and_the_lane_goes_on() {
    let mut world = World::new().await;
    world.send(&[span("t", "twice")]).await.unwrap();
    world.store().flush().await.unwrap();
    let mut bad = world.batch(&[span("t", "bad"), span("t", "twice")]);
    for span in &mut bad.spans {
        span.payload.extra = Some(JsonText::from_trusted(too_much()));
    }
    let mut huge = span("u", "b");
    huge.messages = vec![too_much()];
    let mut bad_item = world.batch(&[span("v", "a")]);
    let mut trace = item("v", "support");
    trace.metadata = Some(JsonText::from_trusted(format!("{{\"k\":{}}}", too_much())));
    bad_item.traces.push(trace);

    world
        .send(&[span("t", "good"), span("u", "a")])
        .await
        .unwrap();
    world.append(bad).await.unwrap();
    let huge = world.batch(&[huge]);
    world.append(huge).await.unwrap();
    world.append(bad_item).await.unwrap();
    world.store().flush().await.unwrap();

    world.send(&[span("t", "later")]).await.unwrap();
    world.store().flush().await.unwrap();
    assert_eq!(world.store().stats().quarantined, 3, "one record a trace");
    let records = kept_aside(&world);
    let (mut spans, mut messages, mut traces) = (0, 0, 0);
    for record in &records {
        let Record::Batch(batch) = record else {
            panic!("{record:?}")
        };
        spans += batch.spans.len();
        messages += batch.messages.len();
        traces += batch.traces.len();
    }
    assert_eq!((spans, messages, traces), (3, 2, 1));
    world.check("what was good is there, in the version before where the last was not");
}

#[tokio::test]
async fn a_grade_that_cannot_be_encoded_is_kept_aside_and_others_stay() {
    let mut world = World::new().await;
    world.grade("run", "t", &["a"]).await.unwrap();
    let bad = grade("run", "t", "b", &too_much());
    let sent = world
        .store()
        .append_grades(&world.project, vec![bad.clone()]);
    sent.await.unwrap();
    world.store().flush().await.unwrap();
    world.check("flushed");
    let records = kept_aside(&world);
    let [Record::Grades(record)] = &records[..] else {
        panic!("{} records", records.len())
    };
    assert_eq!(record.grades, [bad]);
    let read = world.grades("flushed", &GradeFilter::default());
    assert_eq!(read.len(), 1);
    world.kill().await;
}
