//! Files that people sent: kept, read, deleted, backed up, and tidied after a crash.

use bytes::Bytes;
use model::ProjectId;

use super::world::World;
use crate::disk::{Appender, Disk};
use crate::meta::{NewUpload, Upload};

fn project(name: &str) -> ProjectId {
    ProjectId::new(name).unwrap()
}

async fn send(world: &World, to: &str, text: &'static str) -> Upload {
    let new = NewUpload {
        project: project(to),
        filename: "rows.jsonl".to_owned(),
        purpose: "evals".to_owned(),
    };
    let content = Bytes::from_static(text.as_bytes());
    world
        .store()
        .keep_upload("ada", new, content)
        .await
        .unwrap()
}

#[tokio::test]
async fn d1_an_uploaded_file_survives_a_crash_and_what_nobody_knows_goes() {
    let mut world = World::new().await;
    let default = project("default");
    let kept = send(&world, "default", "{\"item\":{}}\n").await;
    let dropped = send(&world, "default", "dropped").await;
    world
        .store()
        .delete_upload("ada", &default, &dropped.id)
        .await
        .unwrap();
    assert!(
        world
            .store()
            .read_upload(&default, &dropped.id)
            .await
            .is_err()
    );
    assert!(
        world
            .store()
            .read_upload(&project("other"), &kept.id)
            .await
            .is_err()
    );
    let dir = world.dir().join("files");
    let stray = dir.join("file-stray");
    let mut file = Appender::new(world.disk.create(&stray).unwrap(), 0);
    file.append(b"written, and never entered").unwrap();
    file.sync_data().unwrap();
    world.disk.sync_dir(&dir).unwrap();
    world.power_cut(5).await;
    let left = world.disk.list(&dir).unwrap();
    assert_eq!(left, [dir.join(&kept.id)]);
    let read = world.store().read_upload(&default, &kept.id).await.unwrap();
    assert_eq!(&read[..], b"{\"item\":{}}\n");
    assert_eq!(kept.bytes, read.len() as u64);
}

#[tokio::test]
async fn files_are_in_a_backup_and_go_with_their_project() {
    let mut world = World::new().await;
    let shop = project("shop");
    world
        .store()
        .meta()
        .create_project("ada", &shop, "Shop")
        .await
        .unwrap();
    let kept = send(&world, "default", "one").await;
    let gone = send(&world, "shop", "two").await;
    let meta = world.store().meta();
    meta.delete_project("ada", &shop).await.unwrap();
    world.store().delete_project_rows(&shop).await.unwrap();
    let dir = world.dir().join("files");
    assert!(!world.disk.exists(&dir.join(&gone.id)).unwrap());
    let dest = world.dir().join("backup");
    let manifest = world.store().backup(&dest).await.unwrap();
    let path = format!("files/{}", kept.id);
    assert_eq!(manifest.files[&path].bytes, 3);
    world.restore(&dest, false).await;
    let read = world
        .store()
        .read_upload(&project("default"), &kept.id)
        .await;
    assert_eq!(&read.unwrap()[..], b"one");
}
