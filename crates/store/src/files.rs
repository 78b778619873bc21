//! Files of the lake that are open, and the trace filters of all of them.
//!
//! A committed file never changes, so what was once read of it (its footer, its filter) is right for
//! good and is kept by its number. Filters of all active files stay in memory: they make a lookup
//! open the one or two files that matter.

use std::io;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use model::Time;
use parking_lot::{Mutex, RwLock};

use crate::catalog::{CatalogVersion, FileEntry, FileId};
use crate::disk::{Disk, DiskRead};
use crate::lake::{Columns, LakeFile, LakeRow, ReadAt, TraceHash, TraceSet};
use crate::live::TraceKey;
use crate::snapshot::ReadError;

/// Footers kept; a footer with its page index is some ten kilobytes.
const OPEN_FILES_MAX: NonZeroUsize = NonZeroUsize::new(512).expect("512 is not zero");

/// A file of the disk as the lake reads it.
pub(crate) struct Source(pub(crate) Arc<dyn DiskRead>);

impl ReadAt for Source {
    fn len(&self) -> u64 {
        self.0.len()
    }

    fn read_at(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        let read = self.0.read_at(offset, len);
        read.map_err(|error| io::Error::new(error.source.kind(), error))
    }
}

/// Open files and trace filters.
#[derive(Debug)]
pub(crate) struct Files {
    disk: Arc<dyn Disk>,
    data_dir: PathBuf,
    open: Mutex<lru::LruCache<FileId, Arc<LakeFile>>>,
    trace_sets: RwLock<HashMap<FileId, Arc<TraceSet>>>,
}

impl Files {
    /// Returns the files below a data folder.
    pub(crate) fn new(disk: Arc<dyn Disk>, data_dir: PathBuf) -> Self {
        let open = Mutex::new(lru::LruCache::new(OPEN_FILES_MAX));
        Self {
            disk,
            data_dir,
            open,
            trace_sets: RwLock::default(),
        }
    }

    /// Returns a file, its footer read.
    pub(crate) fn open(&self, file: &FileEntry) -> Result<Arc<LakeFile>, ReadError> {
        if let Some(open) = self.open.lock().get(&file.id) {
            return Ok(Arc::clone(open));
        }
        let source = self.disk.open_read(&self.data_dir.join(&file.path))?;
        let opened = LakeFile::open(&file.path, Arc::new(Source(source)));
        let opened = opened.map_err(|error| ReadError::damaged(file, error))?;
        let opened = Arc::new(opened);
        self.open.lock().put(file.id, Arc::clone(&opened));
        Ok(opened)
    }

    /// Keeps the trace filter of a file.
    pub(crate) fn set_trace_set(&self, id: FileId, set: Arc<TraceSet>) {
        self.trace_sets.write().insert(id, set);
    }

    /// Returns the trace filter of a file; `None` means it may hold any trace.
    pub(crate) fn trace_set(&self, id: FileId) -> Option<Arc<TraceSet>> {
        self.trace_sets.read().get(&id).cloned()
    }

    /// Returns whether a file may hold a trace.
    pub(crate) fn may_hold(&self, file: &FileEntry, key: &TraceKey) -> bool {
        let sets = self.trace_sets.read();
        let hash = || TraceHash::of(&key.project, &key.trace_id);
        file.project(&key.project).is_some()
            && sets
                .get(&file.id)
                .is_none_or(|set| set.maybe_contains(hash()))
    }

    /// Forgets files that are gone.
    pub(crate) fn forget(&self, ids: &[FileId]) {
        let mut open = self.open.lock();
        let mut sets = self.trace_sets.write();
        for id in ids {
            open.pop(id);
            sets.remove(id);
        }
    }

    /// Returns what the active files of a table hold of a trace, hidden rows included. `home` is the
    /// trace's frozen start, where it is known.
    pub(crate) fn read_trace<R: LakeRow>(
        &self,
        catalog: &CatalogVersion,
        key: &TraceKey,
        home: Option<Time>,
        columns: &Columns,
    ) -> Result<Vec<R>, ReadError> {
        let mut rows = Vec::new();
        for file in catalog.files(R::TABLE) {
            if self.may_hold(file, key) {
                let open = self.open(file)?;
                let found = open.read_trace(&key.project, &key.trace_id, home, columns);
                rows.extend(found.map_err(|error| ReadError::damaged(file, error))?);
            }
        }
        Ok(rows)
    }

    /// Returns the bytes that filters take in memory.
    pub(crate) fn trace_set_bytes(&self) -> usize {
        self.trace_sets
            .read()
            .values()
            .map(|set| set.memory_bytes())
            .sum()
    }
}
