//! Which files make up the store, up to where the log is in them, and what of them must not be seen?
//!
//! `catalog.db` answers on disk, [`CatalogVersion`] in memory: every commit makes one of each. All of
//! it can be rebuilt from the footers of the files and the log, so nothing that people typed is here.
//!
//! **Invariants.** D3: a commit that adds flushed rows carries the cursor that covers them, and the
//! cursor only moves forward. Files leave a version only by a commit that found all of them active.
//! A version, once pinned, keeps its files on disk until the pin is dropped, expires or is cancelled.

mod commit;
mod file;
mod hides;
mod load;
mod pins;
mod schema;
mod sharded;
mod tombstone;
mod verify;
mod version;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use model::{Clock, Time};
use sqlx::QueryBuilder;
use uuid::Uuid;

pub use commit::{Commit, CommitError, Cursor};
pub use file::{BadWord, FileEntry, FileFacts, FileId, FileProject, NewFile, RemovedFile, Version};
pub use hides::{Hide, HideKey, Hides, ProjectHides, TraceHides};
pub use pins::{PIN_MICROS, Pin};
pub use tombstone::{Deletion, Erasure, Tombstone, Tombstones};
pub use verify::Fault;
pub use version::CatalogVersion;

use crate::sqlite::{Building, Connection, Db, DbError, Engine, Turn, Write, execute_ids};
use commit::{Numbers, Stopped};
use pins::Shared;
use schema::MIGRATIONS;

/// What a new catalog begins with: nothing, or what the footers of the files tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seed {
    /// The files that are there.
    pub files: Vec<NewFile>,
    /// What of them must not be seen.
    pub hides: Vec<Hide>,
    /// Up to where each node's log is in them.
    pub cursors: BTreeMap<String, i64>,
    /// The traces that were deleted.
    pub tombstones: Vec<Tombstone>,
}

/// The open catalog.
#[derive(Debug)]
pub struct Catalog {
    db: Db,
    shared: Arc<Shared>,
}

impl Catalog {
    /// Creates an empty catalog for a new store.
    pub async fn create(
        path: &Path,
        store_id: Uuid,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, DbError> {
        match path.exists() {
            true => Err(DbError::Exists {
                path: path.to_owned(),
            }),
            false => Self::create_from(path, store_id, Seed::default(), clock).await,
        }
    }

    /// Builds a catalog beside `path` and puts it there; one that lies there is set aside, with the
    /// ending `.replaced`.
    pub async fn create_from(
        path: &Path,
        store_id: Uuid,
        seed: Seed,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, DbError> {
        let now = clock.now();
        let building = Building::start(path, MIGRATIONS, now).await?;
        let failed = building.db.failed("fill the new catalog");
        let mut write = building.db.begin().await?;
        plant(write.connection(), store_id, seed, now)
            .await
            .map_err(&failed)?;
        drop(write.commit().await.map_err(&failed)?);
        building.install().await?;
        Self::open(path, store_id, clock).await
    }

    /// Opens the catalog of a store.
    pub async fn open(path: &Path, store_id: Uuid, clock: Arc<dyn Clock>) -> Result<Self, DbError> {
        let db = Db::open(path, MIGRATIONS, clock.now()).await?;
        let failed = db.failed("load the catalog");
        let mut write = db.begin().await?;
        let found = load::store_id(write.connection()).await.map_err(&failed)?;
        if found != store_id {
            let (found, expected) = (found.to_string(), store_id.to_string());
            return Err(DbError::ForeignStore {
                path: path.to_owned(),
                found,
                expected,
            });
        }
        let loaded = load::load(write.connection()).await.map_err(&failed)?;
        drop(write.commit().await.map_err(&failed)?);
        let shared = Shared::new(loaded.catalog, loaded.removed, clock);
        Ok(Self { db, shared })
    }

    /// Returns the newest version. Its files may be deleted at any time: readers pin.
    pub fn current(&self) -> Arc<CatalogVersion> {
        self.shared.current()
    }

    /// Pins the newest version.
    pub fn pin(&self) -> Pin {
        self.shared.pin()
    }

    /// Lets every pin of a version before `version` expire: a deletion cannot wait for readers.
    pub fn cancel_pins_before(&self, version: Version) {
        self.shared.cancel_pins_before(version);
    }

    /// Returns the files that no pin holds and that were taken out at least `grace_micros` ago, in the
    /// order in which they were taken out. They may be deleted, in that order, and are then to be
    /// forgotten.
    pub fn removable(&self, grace_micros: i64) -> Vec<RemovedFile> {
        self.shared.removable(grace_micros)
    }

    /// Returns the files that were taken out and may still be on disk.
    pub fn removed(&self) -> Vec<RemovedFile> {
        self.shared.removed()
    }

    /// Drops what the catalog knows of files that were taken out, after they were deleted from disk.
    pub async fn forget(&self, ids: &[FileId]) -> Result<(), DbError> {
        let failed = self.db.failed("forget deleted files");
        let mut write = self.db.begin().await?;
        let gone = |statement: &mut QueryBuilder<Engine>| {
            statement.push("DELETE FROM files WHERE removed_v IS NOT NULL AND id IN");
        };
        let numbers = ids.iter().map(|id| id.0);
        execute_ids(write.connection(), gone, numbers)
            .await
            .map_err(&failed)?;
        let _turn = write.commit().await.map_err(&failed)?;
        self.shared.forget(ids);
        Ok(())
    }

    /// Applies a commit in one transaction and returns the version it made. A commit that has taken
    /// place already changes nothing more.
    pub async fn commit(&self, commit: &Commit) -> Result<Version, CommitError> {
        let failed = self.db.failed("write a commit");
        let mut write = self.db.begin().await?;
        self.catch_up(&mut write).await.map_err(&failed)?;
        let done = load::version_of(write.connection(), commit.id)
            .await
            .map_err(&failed)?;
        if let Some(version) = done {
            drop(write.commit().await.map_err(&failed)?);
            return Ok(version);
        }
        let numbers = match write_commit(&mut write, commit).await {
            Ok(numbers) => numbers,
            Err(Stopped::Refused(error)) => return Err(error),
            Err(Stopped::Sql(error)) => return Err(failed(error).into()),
        };
        let unknown = |source| CommitError::Unknown {
            id: commit.id,
            source,
        };
        let turn = write.commit().await.map_err(unknown)?;
        self.publish(commit, numbers, &turn);
        Ok(numbers.version)
    }

    /// Returns the version that an unknown commit made, or `None` if it did not take place and never
    /// will.
    pub async fn resolve_unknown(&self, commit: &Commit) -> Result<Option<Version>, DbError> {
        let failed = self.db.failed("look for a commit");
        // The transaction waits until the connection that was to commit has ended, this way or that.
        let mut write = self.db.begin().await?;
        self.catch_up(&mut write).await.map_err(&failed)?;
        let version = load::version_of(write.connection(), commit.id)
            .await
            .map_err(&failed)?;
        drop(write.commit().await.map_err(&failed)?);
        Ok(version)
    }

    /// Returns the trace filter of a file, if it has one.
    pub async fn trace_filter(&self, id: FileId) -> Result<Option<Vec<u8>>, DbError> {
        sqlx::query_scalar("SELECT filter FROM trace_filters WHERE file_id = $1")
            .bind(id.0)
            .fetch_optional(self.db.readers())
            .await
            .map_err(self.db.failed("read a trace filter"))
    }

    /// Returns up to `limit` trace filters of the files after `after`, in the order of ids.
    pub async fn trace_filters(
        &self,
        after: FileId,
        limit: u32,
    ) -> Result<Vec<(FileId, Vec<u8>)>, DbError> {
        let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as(
            "SELECT file_id, filter FROM trace_filters WHERE file_id > $1 ORDER BY file_id LIMIT $2",
        )
        .bind(after.0)
        .bind(i64::from(limit))
        .fetch_all(self.db.readers())
        .await
        .map_err(self.db.failed("read trace filters"))?;
        Ok(rows
            .into_iter()
            .map(|(id, filter)| (FileId(id), filter))
            .collect())
    }

    /// Writes the trace filter of a file that was committed without one.
    pub async fn put_trace_filter(&self, id: FileId, filter: &[u8]) -> Result<(), DbError> {
        let failed = self.db.failed("write a trace filter");
        let mut write = self.db.begin().await?;
        commit::write_trace_filter(write.connection(), id, filter)
            .await
            .map_err(&failed)?;
        drop(write.commit().await.map_err(&failed)?);
        Ok(())
    }

    /// Returns up to `limit` requests to delete: those that are not done first, then the newest.
    pub async fn deletions(&self, limit: u32) -> Result<Vec<Deletion>, DbError> {
        load::deletions(self.db.readers(), i64::from(limit))
            .await
            .map_err(self.db.failed("list deletions"))
    }

    /// Returns what is wrong with the catalog: nothing, if all is well.
    pub async fn verify(&self) -> Result<Vec<Fault>, DbError> {
        let failed = self.db.failed("check the catalog");
        let mut faults: Vec<_> = self
            .db
            .integrity()
            .await?
            .into_iter()
            .map(Fault::Database)
            .collect();
        let mut write = self.db.begin().await?;
        let loaded = load::load(write.connection()).await.map_err(&failed)?;
        let _turn = write.commit().await.map_err(&failed)?;
        faults.extend(verify::faults(&loaded.catalog));
        if loaded.catalog != *self.current() || loaded.removed != self.shared.removed() {
            faults.push(Fault::Stale {
                version: loaded.catalog.version(),
            });
        }
        Ok(faults)
    }

    /// Writes a compact copy to `dest`, which must not exist: all of it or nothing.
    pub async fn vacuum_into(&self, dest: &Path) -> Result<(), DbError> {
        self.db.copy_to(dest).await
    }

    /// Empties the database's journal, so that deleted bytes are gone from disk. Returns whether that
    /// worked; a long reader is in the way of it.
    pub async fn checkpoint(&self) -> Result<bool, DbError> {
        self.db.checkpoint().await
    }

    /// Closes the database; a single file stays.
    pub async fn close(&self) -> Result<(), DbError> {
        self.db.close().await
    }

    /// Reads the database again if it is ahead of memory: somebody else committed, or a commit of
    /// ours took place and its answer was lost.
    async fn catch_up(&self, write: &mut Write<'_>) -> Result<(), sqlx::Error> {
        if load::newest_version(write.connection()).await? != self.current().version() {
            let loaded = load::load(write.connection()).await?;
            self.shared.replace(loaded.catalog, loaded.removed);
        }
        Ok(())
    }

    /// Makes a commit visible. Whoever calls holds the writer's turn, so versions come in order.
    fn publish(&self, commit: &Commit, numbers: Numbers, _turn: &Turn<'_>) {
        let mut next = (*self.current()).clone();
        let removed = next.apply(commit, numbers.version, numbers.first_id);
        self.shared.publish(next, removed);
    }
}

async fn write_commit(write: &mut Write<'_>, commit: &Commit) -> Result<Numbers, Stopped> {
    let connection = write.connection();
    let numbers = commit::take_numbers(connection, commit).await?;
    commit::remove_files(connection, commit, numbers.version).await?;
    commit::write(connection, commit, numbers).await?;
    if let Some(cursor) = &commit.cursor {
        commit::write_cursor(connection, cursor).await?;
    }
    Ok(numbers)
}

/// Writes the first rows of a new catalog.
async fn plant(
    connection: &mut Connection,
    store_id: Uuid,
    seed: Seed,
    now: Time,
) -> Result<(), sqlx::Error> {
    // Files remember which hides they have applied by version. Every version of the new catalog must
    // be later than those, or its hides would look applied where they are not (D5).
    let version = seed
        .files
        .iter()
        .map(|file| file.facts.hides_applied_v.0)
        .max()
        .unwrap_or(0);
    sqlx::query(
        "INSERT INTO store (id, store_id, created_at, version, next_file_id)
         VALUES (1, $1, $2, $3, 1)",
    )
    .bind(store_id.to_string())
    .bind(now.as_micros())
    .bind(version)
    .execute(&mut *connection)
    .await?;
    if seed == Seed::default() {
        return Ok(());
    }
    let mut commit = Commit::new(now);
    commit.added = seed.files;
    commit.hides = seed.hides;
    commit.tombstones = seed.tombstones;
    let numbers = commit::take_numbers(connection, &commit).await?;
    commit::write(connection, &commit, numbers).await?;
    for (node, flushed_seq) in &seed.cursors {
        sqlx::query("INSERT INTO cursors (node, flushed_seq) VALUES ($1, $2)")
            .bind(node)
            .bind(flushed_seq)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
