//! From the rows of `catalog.db` to the version in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{ProjectId, SpanId};
use sqlx::Row as _;
use uuid::Uuid;

use super::file::{
    BadWord, FileEntry, FileFacts, FileId, FileProject, RemovedFile, Version, parse_row_groups,
};
use super::hides::{Hide, HideKey, Hides};
use super::tombstone::{Deletion, Tombstone, Tombstones};
use super::version::CatalogVersion;
use crate::lake::Level;
use crate::sqlite::{Connection, Row, column, maybe_time, parsed, time, undecodable};

/// Everything that the database knows and memory keeps.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) catalog: CatalogVersion,
    pub(super) removed: Vec<RemovedFile>,
}

/// Reads the newest version. The caller holds a transaction, so that all of it is of one moment.
pub(super) async fn load(connection: &mut Connection) -> Result<Loaded, sqlx::Error> {
    let mut loaded = Loaded::default();
    loaded.catalog.version = newest_version(connection).await?;
    load_files(connection, &mut loaded).await?;
    loaded.catalog.cursors = load_cursors(connection).await?;
    loaded.catalog.hides = Arc::new(load_hides(connection).await?);
    loaded.catalog.tombstones = Arc::new(load_tombstones(connection).await?);
    Ok(loaded)
}

/// Returns the store that the database belongs to.
pub(super) async fn store_id(connection: &mut Connection) -> Result<Uuid, sqlx::Error> {
    let row = sqlx::query("SELECT store_id FROM store WHERE id = 1")
        .fetch_one(connection)
        .await?;
    parsed(&row, "store_id")
}

/// Returns the newest version that was committed.
pub(super) async fn newest_version(connection: &mut Connection) -> Result<Version, sqlx::Error> {
    let newest: Option<i64> = sqlx::query_scalar("SELECT MAX(v) FROM versions")
        .fetch_one(connection)
        .await?;
    Ok(newest.map_or_else(Version::default, Version))
}

/// Returns the version that a commit made, if it took place.
pub(super) async fn version_of(
    connection: &mut Connection,
    commit_id: Uuid,
) -> Result<Option<Version>, sqlx::Error> {
    let found: Option<i64> = sqlx::query_scalar("SELECT v FROM versions WHERE commit_id = $1")
        .bind(commit_id.to_string())
        .fetch_optional(connection)
        .await?;
    Ok(found.map(Version))
}

async fn load_files(connection: &mut Connection, loaded: &mut Loaded) -> Result<(), sqlx::Error> {
    let mut shares = load_shares(connection).await?;
    let rows = sqlx::query("SELECT * FROM files ORDER BY id")
        .fetch_all(connection)
        .await?;
    for row in &rows {
        let mut entry = file_entry(row)?;
        entry.facts.projects = shares.remove(&entry.id).unwrap_or_default();
        let entry = Arc::new(entry);
        match (
            column::<Option<i64>>(row, "removed_v")?,
            maybe_time(row, "removed_at")?,
        ) {
            (Some(version), Some(removed_at)) => {
                let removed_v = Version(version);
                loaded.removed.push(RemovedFile {
                    file: entry,
                    removed_v,
                    removed_at,
                });
            }
            _ => {
                let files = &mut loaded.catalog.files[entry.table as usize];
                Arc::make_mut(files).push(entry);
            }
        }
    }
    Ok(())
}

async fn load_shares(
    connection: &mut Connection,
) -> Result<BTreeMap<FileId, Vec<FileProject>>, sqlx::Error> {
    let mut shares: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let rows = sqlx::query("SELECT * FROM file_projects ORDER BY file_id, project_id")
        .fetch_all(connection)
        .await?;
    for row in &rows {
        let groups = parse_row_groups(row.try_get("row_groups")?);
        let share = FileProject {
            project_id: parsed(row, "project_id")?,
            rows: column(row, "rows")?,
            min_time: maybe_time(row, "min_time")?,
            max_time: maybe_time(row, "max_time")?,
            row_groups: groups.map_err(|error| undecodable("row_groups", error))?,
        };
        shares
            .entry(FileId(column(row, "file_id")?))
            .or_default()
            .push(share);
    }
    Ok(shares)
}

fn file_entry(row: &Row) -> Result<FileEntry, sqlx::Error> {
    let checksum: Vec<u8> = column(row, "checksum")?;
    let facts = FileFacts {
        table: parsed(row, "tbl")?,
        level: level(row)?,
        path: column(row, "path")?,
        node: column(row, "node")?,
        lo_seq: column(row, "lo_seq")?,
        hi_seq: column(row, "hi_seq")?,
        partition: parsed(row, "home")?,
        part: unsigned(row, "part")?,
        parts: unsigned(row, "parts")?,
        min_time: maybe_time(row, "min_time")?,
        max_time: maybe_time(row, "max_time")?,
        rows: column(row, "rows")?,
        bytes: unsigned(row, "bytes")?,
        schema_version: unsigned(row, "schema_version")?,
        hides_applied_v: Version(column(row, "hides_applied_v")?),
        checksum: checksum
            .try_into()
            .map_err(|_| undecodable("checksum", "it does not have 32 bytes"))?,
        projects: Vec::new(),
    };
    Ok(FileEntry {
        id: FileId(column(row, "id")?),
        added_v: Version(column(row, "added_v")?),
        added_at: time(row, "added_at")?,
        facts,
    })
}

fn level(row: &Row) -> Result<Level, sqlx::Error> {
    let word: &str = row.try_get("level")?;
    let level = Level::ALL.into_iter().find(|level| level.as_str() == word);
    level.ok_or_else(|| undecodable("level", BadWord(word.to_owned(), "level")))
}

fn unsigned<T>(row: &Row, name: &str) -> Result<T, sqlx::Error>
where
    T: TryFrom<i64, Error: std::error::Error + Send + Sync + 'static>,
{
    T::try_from(column(row, name)?).map_err(|error| undecodable(name, error))
}

async fn load_cursors(connection: &mut Connection) -> Result<BTreeMap<String, i64>, sqlx::Error> {
    let rows: Vec<(String, i64)> = sqlx::query_as("SELECT node, flushed_seq FROM cursors")
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().collect())
}

async fn load_hides(connection: &mut Connection) -> Result<Hides, sqlx::Error> {
    let mut hides = Hides::default();
    let rows = sqlx::query("SELECT * FROM hides")
        .fetch_all(connection)
        .await?;
    for row in &rows {
        let span_id: &str = row.try_get("span_id")?;
        let span_id = match span_id.is_empty() {
            true => None,
            false => Some(SpanId::new(span_id).map_err(|error| undecodable("span_id", error))?),
        };
        let key = HideKey {
            table: parsed(row, "tbl")?,
            project_id: parsed(row, "project_id")?,
            trace_id: parsed(row, "trace_id")?,
            span_id,
        };
        let hide = Hide {
            key,
            upto_seq: column(row, "upto_seq")?,
        };
        hides.add(&hide, Version(column(row, "added_v")?));
    }
    Ok(hides)
}

async fn load_tombstones(connection: &mut Connection) -> Result<Tombstones, sqlx::Error> {
    let mut tombstones = Tombstones::default();
    let rows = sqlx::query("SELECT * FROM tombstones")
        .fetch_all(connection)
        .await?;
    for row in &rows {
        tombstones.set(&Tombstone {
            project_id: parsed(row, "project_id")?,
            trace_id: parsed(row, "trace_id")?,
            deleted_at: time(row, "deleted_at")?,
            expires_at: time(row, "expires_at")?,
            upto_seq: column(row, "upto_seq")?,
            erasure: parsed(row, "state")?,
        });
    }
    Ok(tombstones)
}

/// Returns requests to delete, those that are not done first, then the newest.
pub(super) async fn deletions<'e>(
    executor: impl sqlx::Executor<'e, Database = crate::sqlite::Engine>,
    limit: i64,
) -> Result<Vec<Deletion>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT * FROM deletions
         ORDER BY CASE WHEN done_at IS NULL THEN 0 ELSE 1 END, requested_at DESC, id LIMIT $1",
    )
    .bind(limit)
    .fetch_all(executor)
    .await?;
    let deletion = |row: &Row| {
        Ok(Deletion {
            id: parsed(row, "id")?,
            project_id: parsed::<ProjectId>(row, "project_id")?,
            what: column(row, "what")?,
            traces: column(row, "traces")?,
            requested_at: time(row, "requested_at")?,
            deadline: time(row, "deadline")?,
            done_at: maybe_time(row, "done_at")?,
        })
    };
    rows.iter().map(deletion).collect()
}
