//! What was deleted is gone: at once for readers, soon from disk, for good after a crash.

use super::world::{World, span};
use crate::disk::Disk;

/// Returns whether any file on the disk still has these bytes, compressed files excepted by using a
/// needle that compression leaves alone.
pub(super) fn on_disk(world: &World, needle: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![world.dir().to_owned()];
    while let Some(folder) = folders.pop() {
        for path in world.disk.list(&folder).unwrap_or_default() {
            match world.disk.read(&path) {
                Ok(bytes) if memchr::memmem::find(&bytes, needle.as_bytes()).is_some() => {
                    found.push(path.display().to_string());
                }
                Ok(_) => {}
                Err(_) => folders.push(path),
            }
        }
    }
    found
}

#[tokio::test]
async fn d6_a_deleted_trace_is_unreadable_at_once_wherever_it_is() {
    let mut world = World::new().await;
    world
        .send(&[span("memory", "a"), span("kept", "a")])
        .await
        .unwrap();
    world.delete("memory").await;
    world.check("deleted in memory");
    world.send(&[span("parquet", "a")]).await.unwrap();
    world.store().flush().await.unwrap();
    world.delete("parquet").await;
    world.check("deleted in Parquet");
    world.restart().await;
    world.check("deleted, after a restart");
    world.store().flush().await.unwrap();
    world.check("deleted and flushed");
    world.restart().await;
    world.check("deleted and flushed, after a restart");
    assert_eq!(world.store().erase().await.unwrap(), 2);
    world.check("erased");
}

#[tokio::test]
async fn d6_the_bytes_of_a_deleted_trace_leave_the_disk() {
    let mut world = World::new().await;
    let secret = "trace_6b1f0c9e2d7a4853secretsecret";
    world
        .send(&[span(secret, "a"), span("kept", "a")])
        .await
        .unwrap();
    world.store().flush().await.unwrap();
    world
        .send(&[span(secret, "b"), span("kept", "b")])
        .await
        .unwrap();
    world.store().flush().await.unwrap();
    assert!(
        !on_disk(&world, secret).is_empty(),
        "the scan finds what is there"
    );
    world.delete(secret).await;
    world.store().erase().await.unwrap();
    assert_eq!(on_disk(&world, secret), Vec::<String>::new());
    world.check("erased");
    world.restart().await;
    world.check("erased, after a restart");
}

#[tokio::test]
async fn d6_agents_resend_their_history_and_it_stays_deleted_for_a_day() {
    let mut world = World::new().await;
    world.send(&[span("t", "a")]).await.unwrap();
    let batch = world.batch(&[span("t", "a"), span("other", "a")]);
    world.delete("t").await;
    let trace_id = batch.spans[0].trace_id.clone();
    assert!(world.store().is_deleted(&world.project, &trace_id));
    let mut late = batch;
    world.send_batch(std::mem::take(&mut late)).await.unwrap();
    world.forget_sent(&trace_id);
    world.check("resent");
    world.store().erase().await.unwrap();
    assert!(world.store().is_deleted(&world.project, &trace_id));
    world.clock.advance_micros(24 * 3_600_000_000 + 1);
    assert!(!world.store().is_deleted(&world.project, &trace_id));
}

#[tokio::test]
async fn d6_a_deletion_that_lands_during_a_merge_is_not_undone() {
    let mut world = World::new().await;
    for n in 0..9 {
        world
            .send(&[span("t", &format!("s{n}")), span(&format!("u{n}"), "a")])
            .await
            .unwrap();
        world.store().flush().await.unwrap();
    }
    let store = world.store().clone();
    let mut merging = tokio::task::JoinSet::new();
    merging.spawn(async move { store.compact().await });
    world.delete("t").await;
    world.store().flush().await.unwrap();
    merging.join_next().await.unwrap().unwrap().unwrap();
    world.check("deleted during a merge");
    world.store().erase().await.unwrap();
    world.check("deleted during a merge, erased");
    world.restart().await;
    world.check("deleted during a merge, after a restart");
}
