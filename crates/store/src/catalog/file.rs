//! What the catalog knows of a file: enough to decide, without opening it, whether to read it.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use model::{ProjectId, Time};

use crate::lake::{Level, Partition, Table};

/// A text in the catalog that we never write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no {1}")]
pub struct BadWord(pub String, pub &'static str);

/// A file's number in the catalog; never used for a second file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub i64);

/// A state of the catalog: every commit makes the next one. Version 0 is the empty catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Version(pub i64);

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What is true of a file from its first byte to its last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFacts {
    /// Which table its rows belong to.
    pub table: Table,
    /// How far it has come.
    pub level: Level,
    /// Where it lies, relative to the data folder.
    pub path: String,
    /// The node whose log its rows came from.
    pub node: String,
    /// The first sequence number it covers.
    pub lo_seq: i64,
    /// The last sequence number it covers.
    pub hi_seq: i64,
    /// Which part of time its rows call home.
    pub partition: Partition,
    /// Which part of its commit's output for this table it is, from 0.
    pub part: u32,
    /// How many parts there are.
    pub parts: u32,
    /// The earliest sort time of its rows, if one of them has one.
    pub min_time: Option<Time>,
    /// The latest.
    pub max_time: Option<Time>,
    /// How many rows it has.
    pub rows: i64,
    /// How long it is.
    pub bytes: u64,
    /// The version of its columns.
    pub schema_version: u32,
    /// The catalog version whose hides were applied when it was written: the one that the writer
    /// *read*, for a hide may land between the reading and the commit.
    pub hides_applied_v: Version,
    /// The BLAKE3 hash of the file.
    pub checksum: [u8; 32],
    /// Whose rows it holds, in the order of their ids.
    pub projects: Vec<FileProject>,
}

impl FileFacts {
    /// Returns what it holds of a project, if anything.
    pub fn project(&self, project_id: &ProjectId) -> Option<&FileProject> {
        self.projects
            .iter()
            .find(|project| project.project_id == *project_id)
    }
}

/// One project's share of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileProject {
    /// The project.
    pub project_id: ProjectId,
    /// How many of the file's rows are its own.
    pub rows: i64,
    /// The earliest sort time of its rows, if one of them has one.
    pub min_time: Option<Time>,
    /// The latest.
    pub max_time: Option<Time>,
    /// The row groups it has to itself, in ascending order.
    pub row_groups: Vec<u32>,
}

/// A file that lies on disk, synced, and waits to be committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFile {
    /// What is true of it.
    pub facts: FileFacts,
    /// The filter of the traces it may hold, opaque here; without one, it may hold any.
    pub trace_filter: Option<Vec<u8>>,
}

/// A file of the catalog: its facts (which it dereferences to) and its place in history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Its number.
    pub id: FileId,
    /// The version that brought it in.
    pub added_v: Version,
    /// When that was.
    pub added_at: Time,
    /// What is true of it.
    pub facts: FileFacts,
}

impl Deref for FileEntry {
    type Target = FileFacts;

    fn deref(&self) -> &FileFacts {
        &self.facts
    }
}

/// A file that is no longer part of the newest version but still on disk, for pins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovedFile {
    /// The file.
    pub file: Arc<FileEntry>,
    /// The first version without it.
    pub removed_v: Version,
    /// When that was committed.
    pub removed_at: Time,
}

/// Returns ascending row groups as text: `0-3,7`.
pub(super) fn row_groups_text(groups: &[u32]) -> String {
    let runs = groups.chunk_by(|a, b| a.checked_add(1) == Some(*b));
    let texts: Vec<_> = runs
        .map(|run| match run {
            [only] => only.to_string(),
            [first, .., last] => format!("{first}-{last}"),
            [] => unreachable!("chunk_by yields no empty run"),
        })
        .collect();
    texts.join(",")
}

/// Parquet numbers row groups with 16 bits; a damaged text must not fill the memory.
const ROW_GROUPS_MAX: usize = 1 << 16;

/// Returns the row groups that a text names.
pub(super) fn parse_row_groups(text: &str) -> Result<Vec<u32>, BadWord> {
    let bad = || BadWord(text.to_owned(), "list of row groups");
    let number = |digits: &str| digits.parse::<u32>().map_err(|_| bad());
    let mut groups = Vec::new();
    for run in text.split(',').filter(|run| !run.is_empty()) {
        match run.split_once('-') {
            Some((first, last)) => {
                let run = number(first)?..=number(last)?;
                if run.clone().count() > ROW_GROUPS_MAX {
                    return Err(bad());
                }
                groups.extend(run);
            }
            None => groups.push(number(run)?),
        }
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_groups_survive_their_text() {
        let check = |groups: &[u32], text: &str| {
            assert_eq!(row_groups_text(groups), text);
            assert_eq!(parse_row_groups(text).unwrap(), groups);
        };
        check(&[], "");
        check(&[7], "7");
        check(&[0, 1, 2, 3, 7], "0-3,7");
        check(&[0, 2, 4, 5], "0,2,4-5");
        check(&[u32::MAX - 1, u32::MAX], "4294967294-4294967295");
        for bad in ["x", "1-", "-", "1,2x", "1--2", "0-4294967295"] {
            assert!(parse_row_groups(bad).is_err(), "{bad}");
        }
    }
}
