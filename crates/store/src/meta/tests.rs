//! What people decide, from a new store on.

use std::os::unix::fs::PermissionsExt;

use model::{FixedClock, ProjectId};
use tempfile::TempDir;

use super::*;

async fn new_meta() -> (TempDir, Arc<FixedClock>, Meta) {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(FixedClock::at(Time::from_micros(1_000)));
    let path = folder.path().join("meta.db");
    let meta = Meta::create(&path, Uuid::from_u128(7), clock.clone())
        .await
        .unwrap();
    (folder, clock, meta)
}

fn id(text: &str) -> ProjectId {
    ProjectId::new(text).unwrap()
}

fn key(hash: u8, projects: KeyProjects) -> NewKey {
    NewKey {
        name: "ci".to_owned(),
        projects,
        hash: [hash; 32],
        shown: format!("tg_…{hash:04}"),
        scopes: "ingest read".to_owned(),
    }
}

fn is_not_found<T: std::fmt::Debug>(result: Result<T, MetaError>, what: &str, id: &str) {
    let error = result.unwrap_err();
    assert!(matches!(error, MetaError::NotFound { .. }), "{error}");
    assert_eq!(error.to_string(), format!("there is no {what} {id:?}"));
}

#[tokio::test]
async fn a_new_store_has_its_default_project_and_keeps_its_id() {
    let (folder, clock, meta) = new_meta().await;
    let projects = meta.projects().await.unwrap();
    assert_eq!(projects.len(), 1);
    assert_eq!(
        (projects[0].id.as_str(), projects[0].created_at),
        ("default", clock.now())
    );
    meta.close().await.unwrap();
    let path = folder.path().join("meta.db");
    let reopened = Meta::open(&path, clock.clone()).await.unwrap();
    assert_eq!(
        (reopened.store_id(), reopened.projects().await.unwrap()),
        (meta.store_id(), projects)
    );
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let again = Meta::create(&path, Uuid::from_u128(8), clock.clone()).await;
    assert!(matches!(again, Err(DbError::Exists { .. })), "{again:?}");
    let missing = Meta::open(&folder.path().join("none.db"), clock).await;
    assert!(
        matches!(missing, Err(DbError::Missing { .. })),
        "{missing:?}"
    );
}

#[tokio::test]
async fn projects_come_change_and_go_but_their_ids_stay() {
    let (_folder, _clock, meta) = new_meta().await;
    meta.create_project("ada", &id("shop"), "Shop")
        .await
        .unwrap();
    let text = r#"{"retention_days":30,"assumed_model":"gpt-x","from_the_future":[1]}"#;
    let settings: ProjectSettings = serde_json::from_str(text).unwrap();
    assert_eq!(
        (settings.retention_days, settings.other.len()),
        (Some(30), 1)
    );
    meta.update_project("ada", &id("shop"), "The Shop", &settings)
        .await
        .unwrap();
    let project = meta.project(&id("shop")).await.unwrap();
    assert_eq!((&*project.name, &project.settings), ("The Shop", &settings));
    assert_eq!(serde_json::to_string(&project.settings).unwrap(), text);

    meta.delete_project("ada", &id("shop")).await.unwrap();
    assert_eq!(meta.projects().await.unwrap().len(), 1);
    assert_eq!(meta.deleted_projects().await.unwrap()[0].id, id("shop"));
    is_not_found(meta.project(&id("shop")).await, "project", "shop");
    is_not_found(
        meta.delete_project("ada", &id("shop")).await,
        "project",
        "shop",
    );
    is_not_found(
        meta.update_project("ada", &id("x"), "", &settings).await,
        "project",
        "x",
    );
    let again = meta
        .create_project("ada", &id("shop"), "Shop")
        .await
        .unwrap_err();
    assert_eq!(again.to_string(), "there is a project \"shop\" already");
}

#[tokio::test]
async fn a_key_opens_its_projects_until_it_is_revoked() {
    let (_folder, clock, meta) = new_meta().await;
    meta.create_project("ada", &id("shop"), "Shop")
        .await
        .unwrap();
    let only = KeyProjects::Only(vec![id("default"), id("shop")]);
    let first = meta.create_key("ada", &key(1, only.clone())).await.unwrap();
    clock.advance_micros(1);
    let second = meta
        .create_key("ada", &key(2, KeyProjects::All))
        .await
        .unwrap();
    let found = meta.key_by_hash(&[1; 32]).await.unwrap().unwrap();
    assert_eq!(
        (&found.id, &found.projects, &*found.shown),
        (&first, &only, "tg_…0001")
    );
    assert!(found.projects.contains(&id("shop")) && !found.projects.contains(&id("other")));
    assert_eq!(meta.key_by_hash(&[3; 32]).await.unwrap(), None);

    let taken = meta
        .create_key("ada", &key(1, KeyProjects::All))
        .await
        .unwrap_err();
    assert!(
        matches!(taken, MetaError::Exists { what: "key", .. }),
        "{taken}"
    );
    let nowhere = key(3, KeyProjects::Only(vec![id("default"), id("none")]));
    is_not_found(meta.create_key("ada", &nowhere).await, "project", "none");
    assert_eq!(
        meta.key_by_hash(&[3; 32]).await.unwrap(),
        None,
        "nothing of it was kept"
    );

    let used = |at| [(first.clone(), Time::from_micros(at))];
    meta.touch_keys(&used(50)).await.unwrap();
    meta.touch_keys(&used(40)).await.unwrap();
    clock.advance_micros(1);
    meta.revoke_key("ada", &second).await.unwrap();
    clock.advance_micros(1);
    meta.revoke_key("ada", &second).await.unwrap();
    is_not_found(meta.revoke_key("ada", "key_x").await, "key", "key_x");
    assert_eq!(meta.key_by_hash(&[2; 32]).await.unwrap(), None);
    let keys = meta.keys().await.unwrap();
    let times: Vec<_> = keys
        .iter()
        .map(|key| (&key.id, key.last_used_at, key.revoked_at))
        .collect();
    let at = |micros| Some(Time::from_micros(micros));
    assert_eq!(times, [(&first, at(50), None), (&second, None, at(1_002))]);
    assert_eq!(
        (&keys[0].projects, &keys[1].projects),
        (&only, &KeyProjects::All)
    );
}

#[tokio::test]
async fn settings_and_prices_are_set_replaced_and_removed() {
    let (_folder, _clock, meta) = new_meta().await;
    assert_eq!(meta.setting("judge").await.unwrap(), None);
    meta.set_setting("ada", "judge", "a").await.unwrap();
    meta.set_setting("ada", "judge", "b").await.unwrap();
    assert_eq!(meta.setting("judge").await.unwrap().as_deref(), Some("b"));
    assert_eq!(meta.settings().await.unwrap().len(), 1);
    meta.remove_setting("ada", "judge").await.unwrap();
    is_not_found(
        meta.remove_setting("ada", "judge").await,
        "setting",
        "judge",
    );

    let price = |at, line: &str| PriceOverride {
        model: "gpt-x".to_owned(),
        valid_from: Time::from_micros(at),
        line: line.to_owned(),
    };
    meta.set_price("ada", &price(2, "2\t3")).await.unwrap();
    meta.set_price("ada", &price(1, "1\t2")).await.unwrap();
    meta.set_price("ada", &price(2, "5\t6")).await.unwrap();
    assert_eq!(
        meta.prices().await.unwrap(),
        [price(1, "1\t2"), price(2, "5\t6")]
    );
    meta.remove_price("ada", "gpt-x", Time::from_micros(1))
        .await
        .unwrap();
    let again = meta
        .remove_price("ada", "gpt-x", Time::from_micros(1))
        .await;
    assert!(
        matches!(again, Err(MetaError::NotFound { .. })),
        "{again:?}"
    );
    assert_eq!(meta.prices().await.unwrap(), [price(2, "5\t6")]);
}

#[tokio::test]
async fn the_audit_log_has_every_change_and_no_attempt() {
    let (_folder, clock, meta) = new_meta().await;
    meta.create_project("ada", &id("shop"), "Shop")
        .await
        .unwrap();
    meta.create_project("bob", &id("shop"), "Shop")
        .await
        .unwrap_err();
    clock.advance_micros(5);
    meta.set_setting("bob", "token", "hush").await.unwrap();
    meta.record("eve", "deleted 3 traces of shop")
        .await
        .unwrap();
    let log = meta.audit(10, None).await.unwrap();
    let lines: Vec<_> = log
        .iter()
        .map(|entry| (entry.id, &*entry.who, &*entry.what))
        .collect();
    let expected = [
        (3, "eve", "deleted 3 traces of shop"),
        (2, "bob", "set token"),
        (1, "ada", "created project shop"),
    ];
    assert_eq!(lines, expected);
    assert_eq!(log[1].at, clock.now());
    assert_eq!(meta.audit(1, Some(3)).await.unwrap(), log[1..2]);
}

#[tokio::test]
async fn a_snapshot_is_a_database_of_its_own() {
    let (folder, clock, meta) = new_meta().await;
    meta.set_setting("ada", "before", "1").await.unwrap();
    let copy = folder.path().join("snapshot.db");
    meta.vacuum_into(&copy).await.unwrap();
    meta.set_setting("ada", "after", "1").await.unwrap();
    let snapshot = Meta::open(&copy, clock).await.unwrap();
    assert_eq!(snapshot.store_id(), meta.store_id());
    assert_eq!(
        snapshot
            .settings()
            .await
            .unwrap()
            .into_keys()
            .collect::<Vec<_>>(),
        ["before"]
    );
    assert_eq!(snapshot.verify().await.unwrap(), Vec::<String>::new());
}
