//! A copy of the store, what becomes of it, and whether the doctor sees what is wrong.

use std::sync::Arc;

use model::{Clock, TraceId};

use super::world::{World, span};
use crate::disk::Disk;
use crate::outputs::lake_paths;
use crate::{BackupError, Checkup, Store, StoreConfig, restore};

fn faults(checkup: &Checkup) -> Vec<&String> {
    checkup
        .checks
        .iter()
        .flat_map(|check| &check.faults)
        .collect()
}

async fn filled() -> World {
    let mut world = World::new().await;
    for n in 0..9 {
        world.grade("run", "t", &["a"]).await.unwrap();
        let sent = [span("t", &format!("s{n}")), span(&format!("u{n}"), "a")];
        world.send(&sent).await.unwrap();
        world.store().flush().await.unwrap();
    }
    world.store().compact().await.unwrap();
    world
        .send(&[span("memory", "a"), span("t", "s0")])
        .await
        .unwrap();
    world.grade("run", "t", &["a", "b"]).await.unwrap();
    world
}

impl World {
    /// Goes on with what is restored from a backup in place of what was there.
    pub(super) async fn restore(
        &mut self,
        backup: &std::path::Path,
        with_deletions: bool,
    ) -> crate::Restored {
        let old = self.dir().join("meta.db");
        self.kill().await;
        let config = StoreConfig {
            data_dir: self.dir().join("restored"),
            ..self.config().clone()
        };
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let disk = Arc::new(self.disk.clone());
        let deletions = with_deletions.then_some(old.as_path());
        let restored = restore(&config, backup, deletions, Arc::clone(&clock), disk.clone())
            .await
            .unwrap_or_else(|e| panic!("{}", crate::lanes::chain(&e)));
        self.store = Some(Store::open(config, clock, disk).await.unwrap());
        restored
    }
}

#[tokio::test]
async fn a_backup_has_what_was_acknowledged_and_nothing_that_was_deleted_since() {
    let mut world = filled().await;
    let dest = world.dir().join("backup");
    let manifest = world.store().backup(&dest).await.unwrap();
    assert!(
        manifest.files.keys().any(|path| path.starts_with("wal/")),
        "{manifest:?}"
    );
    world.check("a backup changes nothing");
    world.delete("u3").await;
    world.delete("memory").await;
    let restored = world.restore(&dest, true).await;
    assert_eq!(restored.deleted_again, Some(2));
    world.check("restored");
    let checkup = world.store().doctor(true).await.unwrap();
    assert!(checkup.is_well(), "{:?}", faults(&checkup));
}

#[tokio::test]
async fn without_a_list_of_deletions_a_restore_says_so() {
    let mut world = filled().await;
    let dest = world.dir().join("backup");
    world.store().backup(&dest).await.unwrap();
    world.delete("u3").await;
    assert_eq!(world.restore(&dest, false).await.deleted_again, None);
    let trace = TraceId::new("u3").unwrap();
    let snapshot = world.store().snapshot(&world.project);
    assert!(
        snapshot.trace(&trace).unwrap().is_some(),
        "it is as the backup has it"
    );
}

#[tokio::test]
async fn a_damaged_or_unfinished_backup_is_not_restored() {
    let mut world = filled().await;
    let dest = world.dir().join("backup");
    world.store().backup(&dest).await.unwrap();
    let again = world.store().backup(&dest).await.unwrap_err();
    assert!(matches!(again, BackupError::NotEmpty(_)), "{again}");
    let path = lake_paths(&world.disk, &dest).unwrap().remove(0);
    let mut file = world.disk.open_write(&dest.join(&path)).unwrap();
    file.write_at(100, &[b"x"]).unwrap();
    world.kill().await;
    let clock = Arc::clone(&world.clock) as Arc<dyn Clock>;
    let disk = Arc::new(world.disk.clone());
    let config = StoreConfig::new(world.dir().join("restored"));
    let damaged = restore(&config, &dest, None, Arc::clone(&clock), disk.clone()).await;
    let text = damaged.unwrap_err().to_string();
    assert!(
        text.contains(&path) && text.contains("nothing was restored"),
        "{text}"
    );
    let missing = restore(&config, &world.dir().join("nothing"), None, clock, disk).await;
    assert!(matches!(missing, Err(BackupError::NoManifest(_))));
}

#[tokio::test]
async fn the_doctor_finds_nothing_wrong_where_nothing_is() {
    let mut world = filled().await;
    world.delete("u1").await;
    for deep in [false, true] {
        let checkup = world.store().doctor(deep).await.unwrap();
        assert!(checkup.is_well(), "{:?}", faults(&checkup));
    }
    let checkup = world.store().doctor(true).await.unwrap();
    let looked = |what: &str| {
        checkup
            .checks
            .iter()
            .find(|c| c.what.starts_with(what))
            .unwrap()
            .looked_at
    };
    // Spans and grades.
    assert_eq!(looked("rows that are there twice"), 9 + 9 + 1 - 1 + 2);
    assert!(looked("message references") >= 18 && looked("content of files") > 0);
}

#[tokio::test]
async fn d7_the_doctor_sees_damage_strays_and_missing_messages() {
    let world = filled().await;
    world.store().flush().await.unwrap();
    let paths = lake_paths(&world.disk, world.dir()).unwrap();
    let live = world.store().active_paths();
    let spans = live
        .iter()
        .find(|path| path.starts_with("lake/spans/"))
        .unwrap();
    let mut file = world.disk.open_write(&world.dir().join(spans)).unwrap();
    file.write_at(200, &[b"damage"]).unwrap();
    let stray = paths[0].replace("n0-", "n0x-");
    world
        .disk
        .hard_link(&world.dir().join(&paths[0]), &world.dir().join(&stray))
        .unwrap();
    let quick = world.store().doctor(false).await.unwrap();
    assert!(
        faults(&quick).iter().any(|fault| fault.contains(&stray)),
        "{:?}",
        faults(&quick)
    );
    let deep = world.store().doctor(true).await.unwrap();
    let told = |what: &str| {
        let check = deep.checks.iter().find(|check| check.what == what);
        check.is_some_and(|check| check.faults.iter().any(|fault| fault.contains(spans)))
    };
    assert!(
        told("content of files") && told("rows"),
        "{:?}",
        faults(&deep)
    );
}
