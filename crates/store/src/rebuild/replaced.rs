//! Which rows of the files are replaced by rows of other files? A flush that replaces a row hides it
//! in the catalog; without the catalog, of several rows of one key the newest counts, as it did then.

use hashbrown::{HashMap, HashSet};
use model::{ProjectId, SpanId, TraceId};

use crate::catalog::{Hide, HideKey};
use crate::engine::StoreError;
use crate::lake::{Columns, LakeFile, RowKey, RowKeys, Table, TraceHash};
use crate::snapshot::ReadError;

/// The newest and the next newest row of a key.
#[derive(Debug, Clone, Copy)]
struct Newest {
    first: i64,
    second: Option<i64>,
}

/// Returns the hides of replaced rows in these files. Messages have none: a second copy is one too
/// many and nothing worse, and a merge drops it.
pub(super) fn hides<'a>(
    files: impl Iterator<Item = &'a LakeFile> + Clone,
) -> Result<Vec<Hide>, StoreError> {
    let mut hides = Vec::new();
    for table in [Table::Spans, Table::Traces, Table::Grades] {
        let files = files.clone().filter(|file| file.footer().table == table);
        let spread = traces_in_several(files.clone())?;
        let mut rows: HashMap<HideKey, Newest> = HashMap::new();
        for file in files {
            each_key(file, |key| {
                if spread.contains(&TraceHash::of_text(key.project, key.trace_id)) {
                    note(&mut rows, table, &key).map_err(StoreError::BadId)?;
                }
                Ok(())
            })?;
        }
        let hide =
            |(key, newest): (HideKey, Newest)| newest.second.map(|upto_seq| Hide { key, upto_seq });
        hides.extend(rows.into_iter().filter_map(hide));
    }
    Ok(hides)
}

fn note(
    rows: &mut HashMap<HideKey, Newest>,
    table: Table,
    key: &RowKey<'_>,
) -> Result<(), model::IdError> {
    let seq = key.seq;
    let hide = HideKey {
        table,
        project_id: ProjectId::new(key.project)?,
        trace_id: TraceId::new(key.trace_id)?,
        span_id: key.part_id.map(SpanId::new).transpose()?,
    };
    let newest = rows.entry(hide).or_insert(Newest {
        first: seq,
        second: None,
    });
    if seq > newest.first {
        newest.second = Some(newest.first);
        newest.first = seq;
    } else if seq < newest.first {
        newest.second = newest.second.max(Some(seq));
    }
    Ok(())
}

/// Returns the traces that lie in more than one file: a file has no two rows of one key, so only these
/// can have replaced rows.
fn traces_in_several<'a>(
    files: impl Iterator<Item = &'a LakeFile>,
) -> Result<HashSet<TraceHash>, StoreError> {
    let mut seen: HashMap<TraceHash, usize> = HashMap::new();
    let mut several = HashSet::new();
    for (number, file) in files.enumerate() {
        let mut last: Option<(String, TraceHash)> = None;
        each_key(file, |key| {
            // Rows of a trace mostly lie together: its hash is needed once.
            let is_last = |(trace, _): &(String, TraceHash)| trace == key.trace_id;
            if last.as_ref().is_some_and(is_last) {
                return Ok(());
            }
            let hash = TraceHash::of_text(key.project, key.trace_id);
            last = Some((key.trace_id.to_owned(), hash));
            if *seen.entry(hash).or_insert(number) != number {
                several.insert(hash);
            }
            Ok(())
        })?;
    }
    Ok(several)
}

/// Calls `with` for every row of a file.
fn each_key(
    file: &LakeFile,
    mut with: impl FnMut(RowKey<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let unreadable = |error| StoreError::from(ReadError::of(file.name(), error));
    let table = file.footer().table;
    for batch in file.scan(&Columns::keys(table), None).map_err(unreadable)? {
        let batch = batch.map_err(unreadable)?;
        let keys = RowKeys::of(table, &batch).map_err(ReadError::from)?;
        keys.iter().try_for_each(&mut with)?;
    }
    Ok(())
}
