//! The catalog is lost, and made anew from the files and the log.

use super::world::{World, span};
use crate::disk::Disk;
use crate::outputs::lake_paths;

/// Sends a few rounds: open spans that end later, flushed and merged in between.
async fn rounds(world: &mut World, count: usize) {
    for round in 0..count {
        let mut open = span("long", "s");
        open.ended = round % 2 == 1;
        let own = format!("t{round}");
        world
            .send(&[span(&own, "a"), open, span("long", &format!("s{round}"))])
            .await
            .unwrap();
        if round % 2 == 0 {
            world.store().flush().await.unwrap();
        }
    }
}

#[tokio::test]
async fn d5_a_lost_catalog_costs_no_row_and_doubles_none() {
    let mut world = World::new().await;
    rounds(&mut world, 5).await;
    world.check("before");
    let rebuilt = world.lose_catalog("flushed").await;
    assert!(
        rebuilt.missing.is_none() && rebuilt.unreadable.is_empty(),
        "{rebuilt:?}"
    );
    world.check("flushed files and a log");
    rounds(&mut world, 18).await;
    world.store().compact().await.unwrap();
    world.lose_catalog("merged").await;
    world.check("merged files, their inputs and a log");
    world.store().compact().await.unwrap();
    world.clock.advance_micros(3_600_000_000);
    world.store().tidy().await.unwrap();
    let rebuilt = world.lose_catalog("tidied").await;
    assert_eq!(rebuilt.passed_over, 0, "{rebuilt:?}");
    world.check("merged files alone");
    rounds(&mut world, 3).await;
    world.check("more was sent");
    world.lose_catalog("again").await;
    world.lose_catalog("twice").await;
    world.check("lost twice");
}

#[tokio::test]
async fn d5_a_deleted_trace_stays_deleted_without_the_catalog() {
    let mut world = World::new().await;
    rounds(&mut world, 4).await;
    world.store().flush().await.unwrap();
    world.delete("long").await;
    world.lose_catalog("the log has the deletion").await;
    world.check("the log has the deletion");
    world.store().flush().await.unwrap();
    world.lose_catalog("the log may be cut").await;
    world.check("the log may be cut");
    assert!(world.store().erase().await.unwrap() > 0);
    world.lose_catalog("erased").await;
    world.check("erased");
    let again = world.batch(&[span("long", "a")]);
    let trace_id = again.spans[0].trace_id.clone();
    assert!(
        world.store().is_deleted(&world.project, &trace_id),
        "agents resend their history, and it is refused still"
    );
}

#[tokio::test]
async fn d5_what_is_sent_after_a_rebuild_is_newer_than_all_before() {
    let mut world = World::new().await;
    world.send(&[span("t", "a"), span("u", "a")]).await.unwrap();
    world.store().flush().await.unwrap();
    world.delete("t").await;
    world.store().flush().await.unwrap();
    world.store().erase().await.unwrap();
    world.lose_catalog("all flushed").await;
    world.send(&[span("u", "a"), span("v", "b")]).await.unwrap();
    world.store().flush().await.unwrap();
    world.check("after a rebuild");
}

#[tokio::test]
async fn d5_a_file_that_cannot_be_read_is_put_aside_and_named() {
    let mut world = World::new().await;
    world.send(&[span("t", "a")]).await.unwrap();
    world.store().flush().await.unwrap();
    world.send(&[span("u", "a")]).await.unwrap();
    world.store().flush().await.unwrap();
    world.kill().await;
    let path = lake_paths(&world.disk, world.dir())
        .unwrap()
        .into_iter()
        .find(|path| path.starts_with("lake/spans/"))
        .unwrap();
    let whole = world.dir().join(&path);
    let length = world.disk.len(&whole).unwrap();
    world
        .disk
        .open_write(&whole)
        .unwrap()
        .truncate(length - 10)
        .unwrap();
    let rebuilt = world.lose_catalog("one file is cut").await;
    let [(named, why)] = &rebuilt.unreadable[..] else {
        panic!("{rebuilt:?}");
    };
    assert_eq!(named, &path);
    assert!(why.contains("read"), "{why}");
}

#[tokio::test]
async fn a_catalog_that_names_missing_files_is_refused_with_the_way_out() {
    let mut world = World::new().await;
    world.send(&[span("t", "a")]).await.unwrap();
    world.store().flush().await.unwrap();
    world.kill().await;
    let paths = lake_paths(&world.disk, world.dir()).unwrap();
    world.disk.remove(&world.dir().join(&paths[0])).unwrap();
    let error = world.open().await.unwrap_err().to_string();
    assert!(
        error.contains(&paths[0]) && error.contains("rebuild-catalog"),
        "{error}"
    );
}

#[tokio::test]
async fn what_a_crash_left_is_removed_at_the_next_start() {
    let mut world = World::new().await;
    world.send(&[span("t", "a")]).await.unwrap();
    world.store().flush().await.unwrap();
    world.kill().await;
    let path = lake_paths(&world.disk, world.dir()).unwrap().remove(0);
    let stray = path.replace("n0-", "n0x-");
    let (from, to) = (world.dir().join(&path), world.dir().join(&stray));
    world.disk.hard_link(&from, &to).unwrap();
    world.open().await.unwrap();
    let left = lake_paths(&world.disk, world.dir()).unwrap();
    assert!(left.contains(&path) && !left.contains(&stray), "{left:?}");
    world.check("without the stray");
}

#[tokio::test]
async fn d5_a_catalog_of_an_earlier_day_is_refused_before_anything_is_removed() {
    let mut world = World::new().await;
    world.send(&[span("t", "a")]).await.unwrap();
    world.store().flush().await.unwrap();
    world.kill().await;
    let (catalog, earlier) = (
        world.dir().join("catalog.db"),
        world.dir().join("earlier.db"),
    );
    std::fs::copy(&catalog, &earlier).unwrap();
    world.open().await.unwrap();
    for n in 0..3 {
        world.send(&[span(&format!("u{n}"), "a")]).await.unwrap();
        world.store().flush().await.unwrap();
    }
    // A clean stop: the log that the earlier catalog would need is gone.
    let store = world.store.take().unwrap();
    store.shutdown().await.unwrap();
    world.open().await.unwrap();
    world.send(&[span("last", "a")]).await.unwrap();
    world.kill().await;
    let before = lake_paths(&world.disk, world.dir()).unwrap();
    std::fs::rename(&earlier, &catalog).unwrap();
    let error = world.open().await.unwrap_err();
    let told = crate::lanes::chain(&error);
    assert!(told.contains("rebuild-catalog"), "{told}");
    assert_eq!(lake_paths(&world.disk, world.dir()).unwrap(), before);
    world.lose_catalog("after a refusal").await;
    world.check("after a refusal");
}
