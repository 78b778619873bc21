//! What a flush, a compaction or a deletion changes, and the one transaction that does it.
//!
//! Files in, files out, hides, tombstones and the cursor go together or not at all. Two compactors
//! may want the same files: the commit takes files out only while they are active, and counts them,
//! so that the second one is told and nothing has happened.

use std::collections::BTreeMap;

use model::Time;
use sqlx::QueryBuilder;
use uuid::Uuid;

use super::file::{FileFacts, FileId, FileProject, NewFile, Version, row_groups_text};
use super::hides::Hide;
use super::tombstone::{Deletion, Tombstone};
use crate::sqlite::{Connection, DbError, Engine, Values, execute_ids, execute_rows, fresh_id};

/// The log of versions is kept this long: it serves to resolve unknown commits, at once.
const VERSIONS_KEPT_MAX: i64 = 10_000;

/// Up to which sequence number a node's rows are in files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The node.
    pub node: String,
    /// The last sequence number.
    pub flushed_seq: i64,
}

/// A change to the catalog. Made by [`Commit::new`], filled in, applied by `Catalog::commit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its name: applying it twice is applying it once.
    pub id: Uuid,
    /// When it was made.
    pub at: Time,
    /// Files to take in; on disk and synced.
    pub added: Vec<NewFile>,
    /// Files to take out, each once; all of them must be active.
    pub removed: Vec<FileId>,
    /// Hides to add. One that reaches farther than a known one of its key extends that.
    pub hides: Vec<Hide>,
    /// Hides to take away. One that was extended since stays.
    pub hides_cleared: Vec<Hide>,
    /// The cursor to set (D3); it must be past the node's present one.
    pub cursor: Option<Cursor>,
    /// Tombstones to set. One whose trace was deleted again since stays as it is.
    pub tombstones: Vec<Tombstone>,
    /// Tombstones to drop. One whose trace was deleted again since stays.
    pub tombstones_dropped: Vec<Tombstone>,
    /// Requests to delete that are new or done.
    pub deletions: Vec<Deletion>,
}

impl Commit {
    /// Returns a commit that changes nothing yet.
    pub fn new(at: Time) -> Self {
        Self {
            id: fresh_id(at),
            at,
            added: Vec::new(),
            removed: Vec::new(),
            hides: Vec::new(),
            hides_cleared: Vec::new(),
            cursor: None,
            tombstones: Vec::new(),
            tombstones_dropped: Vec::new(),
            deletions: Vec::new(),
        }
    }
}

/// Why a commit did not take place, or may not have.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Somebody else has replaced some of the files. Nothing was changed; plan anew.
    #[error("failed to replace {wanted} files: only {active} of them are still active")]
    Superseded {
        /// How many were to go.
        wanted: u64,
        /// How many were active.
        active: u64,
    },
    /// The cursor would not move forward (D3). Nothing was changed; this is a bug of the caller.
    #[error("failed to move the cursor of {node} to {to}: it is there or past it")]
    CursorBack {
        /// The node.
        node: String,
        /// Where it was to go.
        to: i64,
    },
    /// The database refused. Nothing was changed.
    #[error("failed to commit to the catalog")]
    Db(#[from] DbError),
    /// The database did not say whether it committed. `Catalog::resolve_unknown` finds out; so does
    /// committing the same commit again.
    #[error("failed to learn whether commit {id} took place")]
    Unknown {
        /// The commit.
        id: Uuid,
        /// What the database said.
        #[source]
        source: sqlx::Error,
    },
}

/// Why a step inside the transaction stopped it.
pub(super) enum Stopped {
    Sql(sqlx::Error),
    Refused(CommitError),
}

impl From<sqlx::Error> for Stopped {
    fn from(error: sqlx::Error) -> Self {
        Stopped::Sql(error)
    }
}

/// The number of a commit's version and of its first file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbers {
    pub(super) version: Version,
    pub(super) first_id: FileId,
}

/// Takes the next version and as many file numbers as the commit adds. On an engine with several
/// writers, this is where they queue.
pub(super) async fn take_numbers(
    connection: &mut Connection,
    commit: &Commit,
) -> Result<Numbers, sqlx::Error> {
    let count = commit.added.len() as i64;
    let (version, next_file_id): (i64, i64) = sqlx::query_as(
        "UPDATE store SET version = version + 1, next_file_id = next_file_id + $1
         WHERE id = 1 RETURNING version, next_file_id",
    )
    .bind(count)
    .fetch_one(connection)
    .await?;
    Ok(Numbers {
        version: Version(version),
        first_id: FileId(next_file_id - count),
    })
}

/// Writes what a commit adds and clears, and enters its version.
pub(super) async fn write(
    connection: &mut Connection,
    commit: &Commit,
    numbers: Numbers,
) -> Result<(), sqlx::Error> {
    add_files(connection, commit, numbers).await?;
    write_hides(connection, commit, numbers.version).await?;
    write_tombstones(connection, commit).await?;
    write_deletions(connection, &commit.deletions).await?;
    let version = numbers.version.0;
    sqlx::query("INSERT INTO versions (v, at, commit_id) VALUES ($1, $2, $3)")
        .bind(version)
        .bind(commit.at.as_micros())
        .bind(commit.id.to_string())
        .execute(&mut *connection)
        .await?;
    sqlx::query("DELETE FROM versions WHERE v <= $1")
        .bind(version - VERSIONS_KEPT_MAX)
        .execute(&mut *connection)
        .await?;
    Ok(())
}

/// Moves a node's cursor forward; D3: never back, and never to where it is, for that would be the
/// same rows twice.
pub(super) async fn write_cursor(
    connection: &mut Connection,
    cursor: &Cursor,
) -> Result<(), Stopped> {
    let moved = sqlx::query(
        "INSERT INTO cursors (node, flushed_seq) VALUES ($1, $2)
         ON CONFLICT (node) DO UPDATE SET flushed_seq = excluded.flushed_seq
         WHERE excluded.flushed_seq > cursors.flushed_seq",
    )
    .bind(&cursor.node)
    .bind(cursor.flushed_seq)
    .execute(connection)
    .await?;
    match moved.rows_affected() {
        1 => Ok(()),
        _ => Err(Stopped::Refused(CommitError::CursorBack {
            node: cursor.node.clone(),
            to: cursor.flushed_seq,
        })),
    }
}

/// Takes files out, if all of them are active.
pub(super) async fn remove_files(
    connection: &mut Connection,
    commit: &Commit,
    version: Version,
) -> Result<(), Stopped> {
    let take_out = |statement: &mut QueryBuilder<Engine>| {
        statement
            .push("UPDATE files SET removed_v = ")
            .push_bind(version.0);
        statement
            .push(", removed_at = ")
            .push_bind(commit.at.as_micros());
        statement.push(" WHERE removed_v IS NULL AND id IN");
    };
    let ids = commit.removed.iter().map(|id| id.0);
    let active = execute_ids(connection, take_out, ids).await?;
    let wanted = commit.removed.len() as u64;
    match active == wanted {
        true => Ok(()),
        false => Err(Stopped::Refused(CommitError::Superseded { wanted, active })),
    }
}

async fn add_files(
    connection: &mut Connection,
    commit: &Commit,
    numbers: Numbers,
) -> Result<(), sqlx::Error> {
    let files: Vec<_> = (numbers.first_id.0..).zip(&commit.added).collect();
    let into_files = "INSERT INTO files (id, tbl, level, path, node, lo_seq, hi_seq, home, part, parts,
        min_time, max_time, rows, bytes, schema_version, hides_applied_v, checksum, added_v, added_at) ";
    execute_rows(connection, (into_files, ""), &files, |values, (id, new)| {
        values.push_bind(*id);
        bind_facts(values, &new.facts);
        values
            .push_bind(numbers.version.0)
            .push_bind(commit.at.as_micros());
    })
    .await?;
    let shares: Vec<(i64, &FileProject)> = files
        .iter()
        .flat_map(|(id, new)| new.facts.projects.iter().map(|project| (*id, project)))
        .collect();
    let into_shares =
        "INSERT INTO file_projects (file_id, project_id, rows, min_time, max_time, row_groups) ";
    execute_rows(
        connection,
        (into_shares, ""),
        &shares,
        |values, (id, share)| {
            values
                .push_bind(*id)
                .push_bind(share.project_id.as_str().to_owned())
                .push_bind(share.rows)
                .push_bind(share.min_time.map(Time::as_micros))
                .push_bind(share.max_time.map(Time::as_micros))
                .push_bind(row_groups_text(&share.row_groups));
        },
    )
    .await?;
    for (id, new) in files {
        if let Some(filter) = &new.trace_filter {
            write_trace_filter(connection, FileId(id), filter).await?;
        }
    }
    Ok(())
}

fn bind_facts(values: &mut Values<'_>, facts: &FileFacts) {
    values
        .push_bind(facts.table.as_str())
        .push_bind(facts.level.as_str())
        .push_bind(facts.path.clone())
        .push_bind(facts.node.clone())
        .push_bind(facts.lo_seq)
        .push_bind(facts.hi_seq)
        .push_bind(facts.partition.to_string())
        .push_bind(i64::from(facts.part))
        .push_bind(i64::from(facts.parts))
        .push_bind(facts.min_time.map(Time::as_micros))
        .push_bind(facts.max_time.map(Time::as_micros))
        .push_bind(facts.rows)
        // No file system has files of 8 EiB.
        .push_bind(facts.bytes as i64)
        .push_bind(i64::from(facts.schema_version))
        .push_bind(facts.hides_applied_v.0)
        .push_bind(facts.checksum.to_vec());
}

/// Writes the trace filter of a file, in place of one it may have.
pub(super) async fn write_trace_filter(
    connection: &mut Connection,
    id: FileId,
    filter: &[u8],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO trace_filters (file_id, filter) VALUES ($1, $2)
         ON CONFLICT (file_id) DO UPDATE SET filter = excluded.filter",
    )
    .bind(id.0)
    .bind(filter)
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_hides(
    connection: &mut Connection,
    commit: &Commit,
    version: Version,
) -> Result<(), sqlx::Error> {
    let bind_hide = |values: &mut Values<'_>, hide: &Hide| {
        let span_id = hide.key.span_id.as_ref().map_or("", |id| id.as_str());
        values
            .push_bind(hide.key.table.as_str())
            .push_bind(hide.key.project_id.as_str().to_owned())
            .push_bind(hide.key.trace_id.as_str().to_owned())
            .push_bind(span_id.to_owned())
            .push_bind(hide.upto_seq);
    };
    let clear = (
        "DELETE FROM hides WHERE (tbl, project_id, trace_id, span_id, upto_seq) IN (",
        ")",
    );
    execute_rows(connection, clear, &commit.hides_cleared, bind_hide).await?;
    let add = (
        "INSERT INTO hides (tbl, project_id, trace_id, span_id, upto_seq, added_v) ",
        " ON CONFLICT (tbl, project_id, trace_id, span_id)
          DO UPDATE SET upto_seq = excluded.upto_seq, added_v = excluded.added_v
          WHERE excluded.upto_seq > hides.upto_seq",
    );
    // A statement must not meet a key twice: of several hides of a key the farthest counts.
    let mut hides: Vec<&Hide> = commit.hides.iter().collect();
    hides.sort_unstable_by(|a, b| a.key.cmp(&b.key).then(b.upto_seq.cmp(&a.upto_seq)));
    hides.dedup_by(|later, kept| later.key == kept.key);
    execute_rows(connection, add, &hides, |values, hide| {
        bind_hide(values, hide);
        values.push_bind(version.0);
    })
    .await?;
    Ok(())
}

async fn write_tombstones(connection: &mut Connection, commit: &Commit) -> Result<(), sqlx::Error> {
    let bind_key = |values: &mut Values<'_>, tombstone: &Tombstone| {
        values
            .push_bind(tombstone.project_id.as_str().to_owned())
            .push_bind(tombstone.trace_id.as_str().to_owned())
            .push_bind(tombstone.upto_seq);
    };
    let drop_them = (
        "DELETE FROM tombstones WHERE (project_id, trace_id, upto_seq) IN (",
        ")",
    );
    execute_rows(connection, drop_them, &commit.tombstones_dropped, bind_key).await?;
    let set = (
        "INSERT INTO tombstones (project_id, trace_id, upto_seq, deleted_at, expires_at, state) ",
        " ON CONFLICT (project_id, trace_id) DO UPDATE SET upto_seq = excluded.upto_seq,
          deleted_at = excluded.deleted_at, expires_at = excluded.expires_at, state = excluded.state
          WHERE excluded.upto_seq >= tombstones.upto_seq",
    );
    // As with hides: of several tombstones of a trace the latest deletion counts, and of that the
    // last word.
    let mut latest: BTreeMap<_, &Tombstone> = BTreeMap::new();
    for tombstone in &commit.tombstones {
        let known = latest
            .entry((&tombstone.project_id, &tombstone.trace_id))
            .or_insert(tombstone);
        if known.upto_seq <= tombstone.upto_seq {
            *known = tombstone;
        }
    }
    let tombstones: Vec<_> = latest.into_values().collect();
    execute_rows(connection, set, &tombstones, |values, tombstone| {
        bind_key(values, tombstone);
        values
            .push_bind(tombstone.deleted_at.as_micros())
            .push_bind(tombstone.expires_at.as_micros())
            .push_bind(tombstone.erasure.as_str());
    })
    .await?;
    Ok(())
}

async fn write_deletions(
    connection: &mut Connection,
    deletions: &[Deletion],
) -> Result<(), sqlx::Error> {
    for deletion in deletions {
        sqlx::query(
            "INSERT INTO deletions (id, project_id, what, traces, requested_at, deadline, done_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (id) DO UPDATE SET done_at = excluded.done_at",
        )
        .bind(deletion.id.to_string())
        .bind(deletion.project_id.as_str())
        .bind(&deletion.what)
        .bind(deletion.traces)
        .bind(deletion.requested_at.as_micros())
        .bind(deletion.deadline.as_micros())
        .bind(deletion.done_at.map(Time::as_micros))
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}
