//! How is a lost catalog made anew? From the files of the lake, the log, and what `meta.db` knows of
//! deletions (D5): no span is lost, none is there twice, none that was deleted comes back.
//!
//! Nothing but the catalog is written: files that do not count are left where they are, and the next
//! start removes them.

mod lineage;
mod replaced;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use model::{Clock, Time};

use crate::catalog::{Catalog, Erasure, Hide, HideKey, NewFile, Seed, Tombstone};
use crate::config::StoreConfig;
use crate::disk::Disk;
use crate::engine::StoreError;
use crate::files::Source;
use crate::lake::{LakeFile, Table, TraceHash, TraceSet};
use crate::lock::DataLock;
use crate::meta::{DeletedTrace, Meta};
use crate::outputs::{QUARANTINE_DIR, lake_paths, new_file};
use crate::snapshot::ReadError;
use crate::wal::{StoreId, Wal};
use lineage::judge;

/// What a new catalog was made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Files that count, and their rows by table, in the order of [`Table::ALL`].
    pub files: usize,
    /// Rows in them, hidden ones included.
    pub rows: [i64; Table::ALL.len()],
    /// Files that do not count: others took their place, or the log has their rows. The next start
    /// removes them.
    pub passed_over: usize,
    /// Files that could not be read, and why. They were moved to `quarantine/`.
    pub unreadable: Vec<(String, String)>,
    /// Rows that newer ones replace.
    pub hides: usize,
    /// Deleted traces that stay deleted.
    pub deleted: usize,
    /// Up to where the log is in the files.
    pub cursor: i64,
    /// Sequence numbers that neither the files nor the log have. They may have held no rows.
    pub missing: Option<RangeInclusive<i64>>,
}

/// A file of the lake that could be read.
struct Found {
    open: LakeFile,
    file: NewFile,
}

/// Makes a new catalog for the data folder, which no process may have open. The old one, if there is
/// one, is kept as `catalog.db.replaced`.
pub async fn rebuild_catalog(
    config: &StoreConfig,
    clock: Arc<dyn Clock>,
    disk: Arc<dyn Disk>,
) -> Result<Rebuilt, StoreError> {
    let _lock = DataLock::take(&config.data_dir)?;
    let meta = Meta::open(&config.data_dir.join("meta.db"), Arc::clone(&clock)).await?;
    let deleted = meta.deleted_traces(Time::from_micros(i64::MIN)).await?;
    let store_id = meta.store_id();
    meta.close().await?;
    let (settings, now, on) = (config.clone(), clock.now(), Arc::clone(&disk));
    let work = move || gather(&settings, &on, store_id, &deleted, now);
    let gathered = tokio::task::spawn_blocking(work).await;
    let (seed, rebuilt) = gathered.map_err(|died| StoreError::Worker(died.to_string()))??;
    let path = config.data_dir.join("catalog.db");
    let catalog = Catalog::create_from(&path, store_id, seed, clock).await?;
    catalog.close().await?;
    Ok(rebuilt)
}

fn gather(
    config: &StoreConfig,
    disk: &Arc<dyn Disk>,
    store_id: uuid::Uuid,
    deleted: &[DeletedTrace],
    now: Time,
) -> Result<(Seed, Rebuilt), StoreError> {
    let mut rebuilt = Rebuilt::default();
    let runs = Wal::survey(&**disk, &config.data_dir, StoreId(*store_id.as_bytes()))?;
    let log: Vec<_> = runs
        .iter()
        .map(|run| *run.start() as i64..=*run.end() as i64)
        .collect();
    let mut found = read_files(disk, &config.data_dir, store_id, &mut rebuilt)?;
    let footers = found
        .iter()
        .map(|(path, found)| (path.clone(), found.open.footer().clone()))
        .collect();
    let mut verdict = judge(&footers, &config.node, &log);
    let before = found.len();
    found.retain(|path, _| verdict.live.contains(path));
    rebuilt.passed_over = before - found.len();

    let cursor = verdict.cursors.entry(config.node.clone()).or_insert(0);
    rebuilt.missing = settle_cursor(cursor, &log, deleted);
    rebuilt.cursor = *cursor;
    let files: Vec<_> = found.values().collect();
    let mut hides = replaced::hides(files.iter().map(|found| &found.open))?;
    rebuilt.hides = hides.len();
    let tombstones = bury(config, deleted, &files, now, &mut hides);
    rebuilt.deleted = tombstones.len();
    rebuilt.files = found.len();
    for found in found.values() {
        rebuilt.rows[found.file.facts.table as usize] += found.file.facts.rows;
    }
    let seed = Seed {
        files: found.into_values().map(|found| found.file).collect(),
        hides,
        cursors: verdict.cursors,
        tombstones,
    };
    Ok((seed, rebuilt))
}

/// Moves the cursor to where the log goes on, and returns what is missing between the two. With no
/// log at all the next number must still be one that nothing was deleted by.
fn settle_cursor(
    cursor: &mut i64,
    log: &[RangeInclusive<i64>],
    deleted: &[DeletedTrace],
) -> Option<RangeInclusive<i64>> {
    let from = *cursor + 1;
    let Some(first) = log.first().map(|run| *run.start()) else {
        let last = deleted.iter().map(|one| one.upto_seq).max().unwrap_or(0);
        *cursor = last.max(*cursor);
        return None;
    };
    *cursor = (first - 1).max(*cursor);
    (from < first).then_some(from..=first - 1)
}

/// Reads what every file of the lake says of itself. One that says nothing is put aside.
fn read_files(
    disk: &Arc<dyn Disk>,
    data_dir: &Path,
    store_id: uuid::Uuid,
    rebuilt: &mut Rebuilt,
) -> Result<BTreeMap<String, Found>, StoreError> {
    let mut found = BTreeMap::new();
    for path in lake_paths(&**disk, data_dir)? {
        if !path.ends_with(".parquet") {
            continue;
        }
        match read_file(disk, data_dir, &path) {
            Ok(file) if file.open.footer().store_id != store_id.to_string() => {
                return Err(StoreError::Foreign {
                    path,
                    found: file.open.footer().store_id.clone(),
                    expected: store_id.to_string(),
                });
            }
            Ok(file) => drop(found.insert(path, file)),
            Err(StoreError::Disk(error)) => return Err(error.into()),
            Err(error) => {
                let why = crate::lanes::chain(&error);
                put_aside(&**disk, data_dir, &path)?;
                rebuilt.unreadable.push((path, why));
            }
        }
    }
    Ok(found)
}

fn read_file(disk: &Arc<dyn Disk>, data_dir: &Path, path: &str) -> Result<Found, StoreError> {
    let source = Source(disk.open_read(&data_dir.join(path))?);
    let unreadable = |error| StoreError::from(ReadError::of(path, error));
    let open = LakeFile::open(path, Arc::new(source)).map_err(unreadable)?;
    let summary = open.summary().map_err(unreadable)?;
    let file = new_file(path.to_owned(), summary);
    Ok(Found { open, file })
}

fn put_aside(disk: &dyn Disk, data_dir: &Path, path: &str) -> Result<(), StoreError> {
    let quarantine = data_dir.join(QUARANTINE_DIR);
    disk.create_dir_all(&quarantine)?;
    let (from, name) = (data_dir.join(path), path.replace('/', "-"));
    disk.rename(&from, &quarantine.join(name))?;
    disk.sync_dir(&quarantine)?;
    if let Some(dir) = from.parent() {
        disk.sync_dir(dir)?;
    }
    Ok(())
}

/// Returns the tombstones of deleted traces, and hides their rows. A trace that no file may hold and
/// whose day is over needs none.
fn bury(
    config: &StoreConfig,
    deleted: &[DeletedTrace],
    files: &[&Found],
    now: Time,
    hides: &mut Vec<Hide>,
) -> Vec<Tombstone> {
    let sets: Vec<_> = files
        .iter()
        .map(|found| {
            let set = found.file.trace_filter.as_deref().map(TraceSet::from_bytes);
            (found, set.and_then(Result::ok))
        })
        .collect();
    let mut tombstones = Vec::new();
    for one in deleted {
        let hash = TraceHash::of(&one.project_id, &one.trace_id);
        let may_hold = |table: Table| {
            sets.iter().any(|(found, set)| {
                let facts = &found.file.facts;
                facts.table == table
                    && facts.lo_seq <= one.upto_seq
                    && set.as_ref().is_none_or(|set| set.maybe_contains(hash))
            })
        };
        let held: Vec<_> = Table::ALL
            .into_iter()
            .filter(|&table| may_hold(table))
            .collect();
        let expires_at = one.deleted_at.plus_micros(config.tombstone_ms * 1_000);
        if held.is_empty() && expires_at <= now {
            continue;
        }
        hides.extend(held.into_iter().map(|table| Hide {
            key: HideKey {
                table,
                project_id: one.project_id.clone(),
                trace_id: one.trace_id.clone(),
                span_id: None,
            },
            upto_seq: one.upto_seq,
        }));
        tombstones.push(Tombstone {
            project_id: one.project_id.clone(),
            trace_id: one.trace_id.clone(),
            deleted_at: one.deleted_at,
            expires_at,
            upto_seq: one.upto_seq,
            erasure: Erasure::Pending,
        });
    }
    tombstones
}
