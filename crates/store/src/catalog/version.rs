//! One version of the catalog in memory: what a reader pins and never sees change.
//!
//! A commit makes the next version from the present one without touching it. Files are entries behind
//! pointers in one list per table, so that with ten thousand files a commit copies ten thousand
//! pointers of the tables it touches; hides and tombstones share all but the shards they touch.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::commit::Commit;
use super::file::{FileEntry, FileId, RemovedFile, Version};
use super::hides::{Hide, Hides};
use super::tombstone::Tombstones;
use crate::lake::Table;

/// One version of the catalog; immutable, and cheap to clone.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CatalogVersion {
    pub(super) version: Version,
    /// By table, in the order of [`Table::ALL`]; each list in the order of ids.
    pub(super) files: [Arc<Vec<Arc<FileEntry>>>; Table::ALL.len()],
    pub(super) cursors: BTreeMap<String, i64>,
    pub(super) hides: Arc<Hides>,
    pub(super) tombstones: Arc<Tombstones>,
}

impl CatalogVersion {
    /// Returns which version it is.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Returns the active files of a table, oldest first.
    pub fn files(&self, table: Table) -> &[Arc<FileEntry>] {
        &self.files[table as usize]
    }

    /// Returns the active files of all tables.
    pub fn all_files(&self) -> impl Iterator<Item = &Arc<FileEntry>> {
        self.files.iter().flat_map(|files| files.iter())
    }

    /// Returns an active file.
    pub fn file(&self, id: FileId) -> Option<&Arc<FileEntry>> {
        self.files.iter().find_map(|files| {
            files
                .binary_search_by_key(&id, |file| file.id)
                .ok()
                .map(|index| &files[index])
        })
    }

    /// Returns the last sequence number of a node whose rows are in files (D3).
    pub fn cursor(&self, node: &str) -> Option<i64> {
        self.cursors.get(node).copied()
    }

    /// Returns every node's cursor.
    pub fn cursors(&self) -> &BTreeMap<String, i64> {
        &self.cursors
    }

    /// Returns the largest sequence number that a cursor or an active file knows of; 0 if none does.
    pub fn seq_max(&self) -> i64 {
        let files = self.all_files().map(|file| file.hi_seq);
        self.cursors
            .values()
            .copied()
            .chain(files)
            .max()
            .unwrap_or(0)
    }

    /// Returns which rows of files are gone or replaced.
    pub fn hides(&self) -> &Arc<Hides> {
        &self.hides
    }

    /// Returns the deleted traces.
    pub fn tombstones(&self) -> &Arc<Tombstones> {
        &self.tombstones
    }

    /// Returns the hides that no active file needs: each file of the table has them applied, or is
    /// younger than what they hide, or cannot hold the trace (`may_hold` asks its trace filter).
    pub fn clearable_hides(&self, may_hold: impl Fn(&FileEntry, &Hide) -> bool) -> Vec<Hide> {
        let needs = |file: &FileEntry, hide: &Hide, added_v: Version| {
            hide.may_reach(file, added_v) && may_hold(file, hide)
        };
        let is_clearable = |(hide, added_v): &(Hide, Version)| {
            !self
                .files(hide.key.table)
                .iter()
                .any(|file| needs(file, hide, *added_v))
        };
        self.hides
            .iter()
            .filter(is_clearable)
            .map(|(hide, _)| hide)
            .collect()
    }

    /// Becomes the version that a commit makes, and returns the files that it took out. The catalog
    /// has checked the commit.
    pub(super) fn apply(
        &mut self,
        commit: &Commit,
        version: Version,
        first_id: FileId,
    ) -> Vec<RemovedFile> {
        self.version = version;
        let removed = self.remove_files(&commit.removed);
        self.add_files(commit, first_id);
        if !(commit.hides.is_empty() && commit.hides_cleared.is_empty()) {
            let hides = Arc::make_mut(&mut self.hides);
            commit
                .hides_cleared
                .iter()
                .for_each(|hide| hides.clear(hide));
            commit
                .hides
                .iter()
                .for_each(|hide| hides.add(hide, version));
        }
        if !(commit.tombstones.is_empty() && commit.tombstones_dropped.is_empty()) {
            let tombstones = Arc::make_mut(&mut self.tombstones);
            commit
                .tombstones_dropped
                .iter()
                .for_each(|one| tombstones.drop_one(one));
            commit.tombstones.iter().for_each(|one| tombstones.set(one));
        }
        if let Some(cursor) = &commit.cursor {
            self.cursors.insert(cursor.node.clone(), cursor.flushed_seq);
        }
        let gone = |file| RemovedFile {
            file,
            removed_v: version,
            removed_at: commit.at,
        };
        removed.into_iter().map(gone).collect()
    }

    fn remove_files(&mut self, ids: &[FileId]) -> Vec<Arc<FileEntry>> {
        let ids: HashSet<_> = ids.iter().copied().collect();
        let mut removed = Vec::new();
        for files in &mut self.files {
            if files.iter().any(|file| ids.contains(&file.id)) {
                let (out, stay) = files
                    .iter()
                    .cloned()
                    .partition(|file| ids.contains(&file.id));
                removed.extend::<Vec<_>>(out);
                *files = Arc::new(stay);
            }
        }
        removed
    }

    fn add_files(&mut self, commit: &Commit, first_id: FileId) {
        for (id, new) in (first_id.0..).zip(&commit.added) {
            let entry = FileEntry {
                id: FileId(id),
                added_v: self.version,
                added_at: commit.at,
                facts: new.facts.clone(),
            };
            let files = &mut self.files[new.facts.table as usize];
            Arc::make_mut(files).push(Arc::new(entry));
        }
    }
}
