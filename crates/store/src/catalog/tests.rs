//! The catalog against its promises, one after the other.

mod random;

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use model::{FixedClock, ProjectId, SpanId, Time, TraceId};
use sqlx::{Connection as _, SqliteConnection};
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::lake::{Level, Partition, Table};

const SECOND: i64 = 1_000_000;

/// A catalog in a folder of its own, and the clock it goes by.
struct Fixture {
    folder: TempDir,
    store_id: Uuid,
    clock: Arc<FixedClock>,
    catalog: Catalog,
}

impl Fixture {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store_id = Uuid::from_u128(7);
        let clock = Arc::new(FixedClock::at(Time::from_micros(1_000 * SECOND)));
        let path = folder.path().join("catalog.db");
        let catalog = Catalog::create(&path, store_id, clock.clone())
            .await
            .unwrap();
        Self {
            folder,
            store_id,
            clock,
            catalog,
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("catalog.db")
    }

    async fn open_another(&self) -> Catalog {
        Catalog::open(&self.path(), self.store_id, self.clock.clone())
            .await
            .unwrap()
    }

    fn change(&self) -> Commit {
        Commit::new(self.clock.now())
    }

    /// Commits `paths` as files and returns their ids.
    async fn add(&self, paths: &[&str]) -> Vec<FileId> {
        let mut commit = self.change();
        commit.added = paths.iter().map(|path| new_file(path)).collect();
        let version = self.catalog.commit(&commit).await.unwrap();
        let current = self.catalog.current();
        current
            .all_files()
            .filter(|file| file.added_v == version)
            .map(|file| file.id)
            .collect()
    }

    async fn remove(&self, ids: &[FileId]) -> Version {
        let mut commit = self.change();
        commit.removed = ids.to_vec();
        self.catalog.commit(&commit).await.unwrap()
    }

    /// Executes SQL behind the catalog's back.
    async fn tamper(&self, script: &'static str) {
        let url = format!("sqlite://{}", self.path().display());
        let mut connection = SqliteConnection::connect(&url).await.unwrap();
        sqlx::raw_sql(script)
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
    }

    fn removable(&self) -> Vec<FileId> {
        self.catalog
            .removable(0)
            .iter()
            .map(|removed| removed.file.id)
            .collect()
    }
}

fn project(id: &str) -> ProjectId {
    ProjectId::new(id).unwrap()
}

fn new_file(path: &str) -> NewFile {
    let share = |id, rows, row_groups| FileProject {
        project_id: project(id),
        rows,
        min_time: Some(Time::from_micros(5)),
        max_time: None,
        row_groups,
    };
    let facts = FileFacts {
        table: Table::Spans,
        level: Level::L0,
        path: path.to_owned(),
        node: "n0".to_owned(),
        lo_seq: 1,
        hi_seq: 10,
        partition: Partition::Day(-3),
        part: 0,
        parts: 2,
        min_time: Some(Time::from_micros(-5)),
        max_time: Some(Time::from_micros(5)),
        rows: 12,
        bytes: 1 << 40,
        schema_version: 1,
        hides_applied_v: Version(0),
        checksum: [0xa5; 32],
        projects: vec![share("p", 5, vec![0, 1, 2, 7]), share("q", 7, vec![3])],
    };
    NewFile {
        facts,
        trace_filter: None,
    }
}

fn hide(trace: &str, span: Option<&str>, upto_seq: i64) -> Hide {
    let key = HideKey {
        table: Table::Spans,
        project_id: project("p"),
        trace_id: TraceId::new(trace).unwrap(),
        span_id: span.map(|id| SpanId::new(id).unwrap()),
    };
    Hide { key, upto_seq }
}

fn tombstone(trace: &str, upto_seq: i64, erasure: Erasure) -> Tombstone {
    Tombstone {
        project_id: project("p"),
        trace_id: TraceId::new(trace).unwrap(),
        deleted_at: Time::from_micros(upto_seq),
        expires_at: Time::from_micros(upto_seq + 100),
        upto_seq,
        erasure,
    }
}

fn cursor(flushed_seq: i64) -> Option<Cursor> {
    Some(Cursor {
        node: "n0".to_owned(),
        flushed_seq,
    })
}

/// Polls a future `times` times at most, then drops it.
async fn polled<F: Future>(future: F, times: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = times;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

#[tokio::test]
async fn everything_written_is_read_back() {
    let fixture = Fixture::new().await;
    let mut commit = fixture.change();
    commit.added = vec![new_file("a"), new_file("b")];
    commit.added[1].trace_filter = Some(vec![1, 2, 3]);
    commit.cursor = cursor(10);
    commit.hides = vec![hide("t", Some("s"), 3), hide("t", None, 2)];
    commit.tombstones = vec![tombstone("gone", 4, Erasure::Pending)];
    let deletion = Deletion {
        id: Uuid::from_u128(1),
        project_id: project("p"),
        what: "trace gone".to_owned(),
        traces: 1,
        requested_at: Time::from_micros(1),
        deadline: Time::from_micros(2),
        done_at: None,
    };
    commit.deletions = vec![deletion.clone()];
    assert_eq!(fixture.catalog.commit(&commit).await.unwrap(), Version(1));

    let another = fixture.open_another().await;
    let current = another.current();
    assert_eq!(current, fixture.catalog.current());
    let facts: Vec<_> = current
        .files(Table::Spans)
        .iter()
        .map(|file| &file.facts)
        .collect();
    assert_eq!(facts, [&commit.added[0].facts, &commit.added[1].facts]);
    assert_eq!(
        (
            current.cursor("n0"),
            current.cursor("n1"),
            current.seq_max()
        ),
        (Some(10), None, 10)
    );
    assert!(
        current
            .hides()
            .hidden(Table::Spans, &project("p"), "t", Some("s"), 3)
    );
    assert_eq!(
        current.tombstones().pending().collect::<Vec<_>>(),
        [&commit.tombstones[0]]
    );
    assert_eq!(another.deletions(10).await.unwrap(), [deletion]);
    assert_eq!(another.trace_filter(FileId(1)).await.unwrap(), None);
    let filters = [(FileId(2), vec![1, 2, 3])];
    assert_eq!(another.trace_filters(FileId(0), 10).await.unwrap(), filters);
    another.put_trace_filter(FileId(1), &[9]).await.unwrap();
    assert_eq!(
        another.trace_filter(FileId(1)).await.unwrap(),
        Some(vec![9])
    );
}

#[tokio::test]
async fn d3_the_cursor_only_moves_forward() {
    let fixture = Fixture::new().await;
    let mut commit = fixture.change();
    commit.cursor = cursor(10);
    fixture.catalog.commit(&commit).await.unwrap();
    for back in [10, 9, -1] {
        let mut commit = fixture.change();
        commit.cursor = cursor(back);
        commit.added = vec![new_file("never")];
        let error = fixture.catalog.commit(&commit).await.unwrap_err();
        assert!(
            matches!(error, CommitError::CursorBack { to, .. } if to == back),
            "{error}"
        );
        assert_eq!(
            fixture.catalog.resolve_unknown(&commit).await.unwrap(),
            None
        );
    }
    let current = fixture.open_another().await.current();
    assert_eq!(
        (current.version(), current.cursor("n0")),
        (Version(1), Some(10))
    );
    assert_eq!(current.all_files().count(), 0);
}

#[tokio::test]
async fn the_same_commit_twice_is_one_commit() {
    let fixture = Fixture::new().await;
    let mut commit = fixture.change();
    commit.added = vec![new_file("a")];
    commit.cursor = cursor(10);
    let first = fixture.catalog.commit(&commit).await.unwrap();
    fixture.add(&["b"]).await;
    assert_eq!(fixture.catalog.commit(&commit).await.unwrap(), first);
    assert_eq!(fixture.catalog.current().all_files().count(), 2);
}

/// A commit that dies at any point took place wholly or not at all, memory learns which, and the next
/// one is not harmed.
#[tokio::test]
async fn a_commit_that_is_dropped_midway_is_all_or_nothing() {
    let fixture = Fixture::new().await;
    let mut outcomes = [0, 0];
    for times in 0.. {
        let before = fixture.catalog.current();
        let mut commit = fixture.change();
        commit.added = vec![new_file(&format!("file {times}"))];
        commit.removed = before.all_files().map(|file| file.id).collect();
        commit.hides = vec![hide("t", None, times as i64)];
        let finished = polled(fixture.catalog.commit(&commit), times).await;
        let version = fixture.catalog.resolve_unknown(&commit).await.unwrap();
        let current = fixture.catalog.current();
        outcomes[usize::from(version.is_some())] += 1;
        match version {
            Some(version) => {
                assert_eq!(version, Version(before.version().0 + 1));
                assert_eq!(
                    current.all_files().next().unwrap().path,
                    format!("file {times}")
                );
            }
            None => assert_eq!(current, before),
        }
        assert_eq!(current, fixture.open_another().await.current());
        if finished.is_some() {
            break;
        }
    }
    // At least the first was dropped before it began, and the last one was not dropped.
    assert!(outcomes.iter().all(|count| *count > 0), "{outcomes:?}");
    assert_eq!(
        fixture.catalog.verify().await.unwrap().len(),
        1,
        "only the cursor is missing"
    );
}

#[tokio::test]
async fn a_commit_without_an_answer_is_resolved() {
    let fixture = Fixture::new().await;
    // COMMIT itself fails: a deferred constraint is checked only then.
    fixture
        .tamper(
            "CREATE TABLE trap (id BIGINT REFERENCES store (id) DEFERRABLE INITIALLY DEFERRED);
             CREATE TRIGGER spring AFTER INSERT ON versions BEGIN INSERT INTO trap VALUES (2); END;",
        )
        .await;
    let mut commit = fixture.change();
    commit.added = vec![new_file("a")];
    let error = fixture.catalog.commit(&commit).await.unwrap_err();
    assert!(
        matches!(error, CommitError::Unknown { id, .. } if id == commit.id),
        "{error}"
    );
    assert_eq!(
        fixture.catalog.resolve_unknown(&commit).await.unwrap(),
        None
    );
    assert_eq!(fixture.catalog.current().version(), Version(0));

    fixture.tamper("DROP TRIGGER spring; DROP TABLE trap").await;
    assert_eq!(fixture.catalog.commit(&commit).await.unwrap(), Version(1));
    assert_eq!(
        fixture.catalog.resolve_unknown(&commit).await.unwrap(),
        Some(Version(1))
    );
    // Another process committed: this one learns of it.
    let another = fixture.open_another().await;
    fixture.add(&["b"]).await;
    assert_eq!(another.current().version(), Version(1));
    another.resolve_unknown(&commit).await.unwrap();
    assert_eq!(another.current(), fixture.catalog.current());
}

#[tokio::test]
async fn a_pin_keeps_its_files_until_it_is_dropped() {
    let fixture = Fixture::new().await;
    let ids = fixture.add(&["a", "b"]).await;
    let pin = fixture.catalog.pin();
    fixture.remove(&ids[..1]).await;
    let later = fixture.catalog.pin();
    fixture.remove(&ids[1..]).await;
    assert_eq!(pin.catalog().all_files().count(), 2);
    assert_eq!(fixture.removable(), []);
    drop(pin);
    assert_eq!(fixture.removable(), ids[..1]);
    drop(later);
    assert_eq!(fixture.removable(), ids);
}

#[tokio::test]
async fn a_pin_expires_after_five_minutes_for_good() {
    let fixture = Fixture::new().await;
    let ids = fixture.add(&["a"]).await;
    let pin = fixture.catalog.pin();
    fixture.remove(&ids).await;
    fixture.clock.advance_micros(PIN_MICROS - 1);
    assert_eq!((pin.is_expired(), fixture.removable()), (false, vec![]));
    fixture.clock.advance_micros(1);
    assert_eq!((pin.is_expired(), fixture.removable()), (true, ids));
    fixture.clock.advance_micros(-PIN_MICROS);
    assert!(
        pin.is_expired(),
        "its file may be gone, whatever the clock says"
    );
}

#[tokio::test]
async fn a_deletion_cancels_older_pins_only() {
    let fixture = Fixture::new().await;
    let ids = fixture.add(&["a"]).await;
    let old = fixture.catalog.pin();
    let version = fixture.remove(&ids).await;
    let new = fixture.catalog.pin();
    fixture.catalog.cancel_pins_before(version);
    assert_eq!((old.is_expired(), new.is_expired()), (true, false));
    assert_eq!(fixture.removable(), ids);
}

#[tokio::test]
async fn removed_files_wait_out_their_grace_and_are_forgotten() {
    let fixture = Fixture::new().await;
    let ids = fixture.add(&["a", "b"]).await;
    fixture.remove(&ids[..1]).await;
    assert_eq!(fixture.catalog.removable(SECOND), []);
    fixture.clock.advance_micros(SECOND);
    let removable = fixture.catalog.removable(SECOND);
    assert_eq!(removable, fixture.open_another().await.removable(SECOND));
    assert_eq!(removable[0].file.path, "a");
    // The active one is not forgotten, whoever asks.
    fixture.catalog.forget(&ids).await.unwrap();
    assert_eq!(fixture.removable(), []);
    let reopened = fixture.open_another().await;
    assert_eq!(
        (
            reopened.removable(0),
            reopened.current().all_files().count()
        ),
        (vec![], 1)
    );
    assert_eq!(
        fixture.add(&["c"]).await,
        [FileId(3)],
        "a number is not used twice"
    );
}

/// A compaction that read the catalog before a deletion must not make that deletion's hide go away.
#[tokio::test]
async fn a_hide_stays_until_every_file_that_may_need_it_has_it_applied() {
    let fixture = Fixture::new().await;
    let ids = fixture.add(&["old"]).await;
    let read_at = fixture.catalog.current().version();
    let mut deletion = fixture.change();
    deletion.hides = vec![hide("t", None, 10)];
    let deleted_at = fixture.catalog.commit(&deletion).await.unwrap();
    let compact = async |input: FileId, output: &str, applied: Version| {
        let mut commit = fixture.change();
        commit.removed = vec![input];
        commit.added = vec![new_file(output)];
        commit.added[0].facts.hides_applied_v = applied;
        fixture.catalog.commit(&commit).await.unwrap();
        fixture.catalog.current().all_files().next().unwrap().id
    };
    let clearable = |may_hold: bool| fixture.catalog.current().clearable_hides(|_, _| may_hold);
    assert_eq!(clearable(true), []);
    let late = compact(ids[0], "late", read_at).await;
    assert_eq!(clearable(true), []);
    assert_eq!(
        clearable(false),
        deletion.hides,
        "no file may hold the trace"
    );
    compact(late, "clean", deleted_at).await;
    assert_eq!(clearable(true), deletion.hides);
    // A file whose rows all came later, or of another table, does not need it.
    let mut commit = fixture.change();
    commit.added = vec![new_file("younger"), new_file("messages")];
    (commit.added[0].facts.lo_seq, commit.added[0].facts.hi_seq) = (11, 20);
    commit.added[1].facts.table = Table::Messages;
    fixture.catalog.commit(&commit).await.unwrap();
    assert_eq!(clearable(true), deletion.hides);
    let mut commit = fixture.change();
    commit.hides_cleared = clearable(true);
    fixture.catalog.commit(&commit).await.unwrap();
    assert!(fixture.open_another().await.current().hides().is_empty());
}

#[tokio::test]
async fn ten_thousand_files_are_loaded_and_replaced() {
    let fixture = Fixture::new().await;
    let mut commit = fixture.change();
    commit.added = (0..10_000)
        .map(|n| new_file(&format!("file {n}")))
        .collect();
    fixture.catalog.commit(&commit).await.unwrap();
    let reopened = fixture.open_another().await;
    assert_eq!(reopened.current().files(Table::Spans).len(), 10_000);
    let mut commit = fixture.change();
    commit.added = vec![new_file("one for all")];
    commit.removed = (2..=10_000).map(FileId).collect();
    reopened.commit(&commit).await.unwrap();
    let current = reopened.current();
    let paths: Vec<_> = current
        .files(Table::Spans)
        .iter()
        .map(|file| &*file.path)
        .collect();
    assert_eq!(paths, ["file 0", "one for all"]);
    assert_eq!(current.file(FileId(10_001)).unwrap().path, "one for all");
    assert_eq!(current.file(FileId(2)), None);
    assert_eq!(reopened.removable(0).len(), 9_999);
}

#[tokio::test]
async fn a_catalog_that_is_not_ours_is_refused() {
    let fixture = Fixture::new().await;
    let open = |path: PathBuf, id| {
        let clock = fixture.clock.clone();
        async move {
            Catalog::open(&path, Uuid::from_u128(id), clock)
                .await
                .unwrap_err()
        }
    };
    let foreign = open(fixture.path(), 8).await;
    assert!(matches!(foreign, DbError::ForeignStore { .. }), "{foreign}");
    let missing = open(fixture.folder.path().join("none.db"), 7).await;
    assert!(matches!(missing, DbError::Missing { .. }), "{missing}");
    let exists = Catalog::create(&fixture.path(), fixture.store_id, fixture.clock.clone()).await;
    assert!(matches!(exists, Err(DbError::Exists { .. })), "{exists:?}");
    assert_eq!(
        fixture.add(&["a"]).await.len(),
        1,
        "the one that is there is unharmed"
    );
}

#[tokio::test]
async fn a_newer_schema_is_refused_untouched() {
    let fixture = Fixture::new().await;
    fixture.catalog.close().await.unwrap();
    fixture
        .tamper("INSERT INTO schema_migrations VALUES (9, 0)")
        .await;
    let before = std::fs::read(fixture.path()).unwrap();
    let error = Catalog::open(&fixture.path(), fixture.store_id, fixture.clock.clone()).await;
    let error = error.unwrap_err();
    assert!(
        matches!(
            error,
            DbError::NewerSchema {
                found: 9,
                known: 1,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("schema 9") && error.to_string().contains("up to 1"));
    assert_eq!(std::fs::read(fixture.path()).unwrap(), before);
}

#[tokio::test]
async fn d5_a_rebuilt_catalog_applies_its_hides_again() {
    let fixture = Fixture::new().await;
    fixture.add(&["lost"]).await;
    let mut seed = Seed {
        files: vec![new_file("a"), new_file("b")],
        hides: vec![hide("t", None, 10)],
        cursors: BTreeMap::from([("n0".to_owned(), 10), ("n1".to_owned(), 4)]),
        tombstones: vec![tombstone("t", 10, Erasure::Pending)],
    };
    seed.files[0].facts.hides_applied_v = Version(500);
    // The old one is still open, with a journal beside it: neither may leak into the new one.
    let path = fixture.path();
    let rebuilt = Catalog::create_from(&path, fixture.store_id, seed, fixture.clock.clone()).await;
    let rebuilt = rebuilt.unwrap();
    let current = rebuilt.current();
    assert_eq!(current.version(), Version(501));
    assert_eq!(current.clearable_hides(|_, _| true), []);
    assert_eq!(
        (current.cursor("n0"), current.cursor("n1")),
        (Some(10), Some(4))
    );
    assert_eq!(rebuilt.verify().await.unwrap(), []);
    assert_eq!(current, fixture.open_another().await.current());
    fixture.catalog.close().await.unwrap();
    let replaced = fixture.folder.path().join("catalog.db.replaced");
    let old = Catalog::open(&replaced, fixture.store_id, fixture.clock.clone())
        .await
        .unwrap();
    assert_eq!(old.current().all_files().next().unwrap().path, "lost");
}

#[tokio::test]
async fn a_copy_is_complete_and_private() {
    let fixture = Fixture::new().await;
    fixture.add(&["a"]).await;
    let copy = fixture.folder.path().join("copy.db");
    fixture.catalog.vacuum_into(&copy).await.unwrap();
    let again = fixture.catalog.vacuum_into(&copy).await;
    assert!(matches!(again, Err(DbError::Exists { .. })), "{again:?}");
    let opened = Catalog::open(&copy, fixture.store_id, fixture.clock.clone())
        .await
        .unwrap();
    assert_eq!(opened.current(), fixture.catalog.current());
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for entry in std::fs::read_dir(fixture.folder.path()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        assert!(!path.to_string_lossy().ends_with(".partial"));
    }
}

#[tokio::test]
async fn deleted_bytes_leave_the_disk() {
    let fixture = Fixture::new().await;
    let mut commit = fixture.change();
    commit.hides = vec![hide("a-trace-that-must-go", None, 1)];
    fixture.catalog.commit(&commit).await.unwrap();
    let is_on_disk = || {
        let files = std::fs::read_dir(fixture.folder.path()).unwrap();
        let mut contents = files.map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
        let needle = b"a-trace-that-must-go";
        contents.any(|bytes| bytes.windows(needle.len()).any(|window| window == needle))
    };
    assert!(is_on_disk());
    let mut clear = fixture.change();
    clear.hides_cleared = commit.hides;
    fixture.catalog.commit(&clear).await.unwrap();
    assert!(fixture.catalog.checkpoint().await.unwrap());
    assert!(!is_on_disk());
}

#[tokio::test]
async fn verify_names_what_is_wrong() {
    let fixture = Fixture::new().await;
    let mut commit = fixture.change();
    commit.added = vec![new_file("a")];
    commit.cursor = cursor(10);
    fixture.catalog.commit(&commit).await.unwrap();
    assert_eq!(fixture.catalog.verify().await.unwrap(), []);
    fixture
        .tamper(
            "UPDATE file_projects SET rows = 8, row_groups = '2' WHERE project_id = 'q';
             UPDATE files SET lo_seq = 11, min_time = 6;
             UPDATE cursors SET flushed_seq = 9;
             PRAGMA foreign_keys = OFF; INSERT INTO trace_filters VALUES (77, x'00');",
        )
        .await;
    let faults = fixture.catalog.verify().await.unwrap();
    let path = || "a".to_owned();
    let expected = [
        Fault::Database("a row of trace_filters has no files".to_owned()),
        Fault::RowsDiffer {
            path: path(),
            rows: 12,
            of_projects: 13,
        },
        Fault::Backwards {
            path: path(),
            what: "sequence numbers",
        },
        Fault::Backwards {
            path: path(),
            what: "times",
        },
        Fault::SharedRowGroups { path: path() },
        Fault::PastCursor {
            path: path(),
            hi_seq: 10,
        },
        Fault::Stale {
            version: Version(1),
        },
    ];
    assert_eq!(faults, expected);
}
