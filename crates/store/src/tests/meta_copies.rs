//! What people made can be had back as it was on each of the last days.

use std::path::PathBuf;

use super::world::{NOW, World};

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
