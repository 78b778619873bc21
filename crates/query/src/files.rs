//! Which bytes of the lake can a query see?
//!
//! Those of the row groups of its own project, because a file is shown to DataFusion with the other
//! groups cut out of its footer. A foreign row is then not filtered, it does not exist: nothing can
//! decode, count, prune by or fail on it (T1). Before a footer is shown, the statistics of every group
//! are held against the project's id: a catalog that is wrong costs an error, not a leak.
//!
//! Files never change, so footers are kept across queries. Bytes are held against the file's own
//! checksums before anything decodes them. Reads are plain `pread`s on the calling thread: the engine
//! runs queries on threads of its own, which may wait for a disk.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::{
    ParquetFileMetrics, ParquetFileReaderFactory,
};
use datafusion::error::DataFusionError;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use model::ProjectId;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::{FileMetaData, ParquetMetaData, ParquetMetaDataBuilder};
use parquet::file::statistics::Statistics;
use store::lake::{self, LakeFile, LakeMeta, ReadAt};

/// Why a file of the lake could not be read. The path is for the log: clients never see it.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file is not there any more: the view is older than the store keeps files for.
    #[error("{path} is gone: the view has expired")]
    Gone {
        /// The file.
        path: PathBuf,
    },
    /// The file could not be opened or read.
    #[error("failed to read {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The file is damaged, or a newer version wrote it.
    #[error("failed to open {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: lake::ReadError,
    },
    /// The catalog names a row group that the file does not have or that is not the project's (T1).
    #[error("row group {group} of {path} is not one of the project's")]
    ForeignGroup {
        /// The file.
        path: PathBuf,
        /// The number of the row group.
        group: u32,
    },
}

impl FileError {
    fn of_io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => Self::Gone { path },
            _ => Self::Io { path, source },
        }
    }
}

impl From<FileError> for ParquetError {
    fn from(error: FileError) -> Self {
        Self::External(Box::new(error))
    }
}

/// What was read from files since the start, for metrics and tests.
#[derive(Debug, Default)]
pub struct ReadCounts {
    opened: AtomicU64,
    bytes: AtomicU64,
    payload_bytes: AtomicU64,
}

impl ReadCounts {
    /// Returns how often a file was opened.
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Returns how many bytes were read, footers included.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Returns how many of them were of payload columns, which no list needs.
    pub fn payload_bytes(&self) -> u64 {
        self.payload_bytes.load(Ordering::Relaxed)
    }

    fn add(&self, bytes: u64, payload_bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.payload_bytes
            .fetch_add(payload_bytes, Ordering::Relaxed);
    }
}

/// The footers of files as their projects may see them, and the account of what was read.
#[derive(Debug)]
pub(crate) struct Files {
    footers: Mutex<Footers>,
    counts: ReadCounts,
}

impl Files {
    /// Returns an empty cache that holds `bytes_max` of footers.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            footers: Mutex::new(Footers::new(bytes_max)),
            counts: ReadCounts::default(),
        }
    }

    pub(crate) fn counts(&self) -> &ReadCounts {
        &self.counts
    }

    fn footers(&self) -> std::sync::MutexGuard<'_, Footers> {
        // A footer is inserted whole: a panic elsewhere leaves nothing half done in here.
        self.footers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, path: &Path) -> Result<Arc<OnDisk>, FileError> {
        self.counts.opened.fetch_add(1, Ordering::Relaxed);
        let failed = |source| FileError::of_io(path, source);
        let file = File::open(path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        Ok(Arc::new(OnDisk { file, bytes }))
    }
}

/// A file as the lake reads it.
struct OnDisk {
    file: File,
    bytes: u64,
}

impl ReadAt for OnDisk {
    fn len(&self) -> u64 {
        self.bytes
    }

    fn read_at(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes.into())
    }
}

type FooterKey = (PathBuf, ProjectId);

/// What is kept of a file for one project.
#[derive(Debug, Clone)]
struct Footer {
    /// The end of the file, all projects' parts and the checksums.
    whole: Arc<LakeMeta>,
    /// What DataFusion sees.
    own: Arc<ParquetMetaData>,
}

impl Footer {
    fn memory_bytes(&self) -> usize {
        let is_shared = Arc::ptr_eq(&self.own, self.whole.parquet().metadata());
        let own = if is_shared { 0 } else { self.own.memory_size() };
        self.whole.memory_bytes() + own
    }
}

/// Two generations: what is used moves to the young one, and when that has half of the bytes the old
/// one is forgotten. As good as a list in order of use, without the list.
#[derive(Debug)]
struct Footers {
    young: HashMap<FooterKey, Footer>,
    old: HashMap<FooterKey, Footer>,
    young_bytes: usize,
    young_bytes_max: usize,
}

impl Footers {
    fn new(bytes_max: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            young_bytes: 0,
            young_bytes_max: bytes_max / 2,
        }
    }

    fn get(&mut self, key: &FooterKey) -> Option<Footer> {
        if let Some(footer) = self.young.get(key) {
            return Some(footer.clone());
        }
        let footer = self.old.remove(key)?;
        self.insert(key.clone(), footer.clone());
        Some(footer)
    }

    fn insert(&mut self, key: FooterKey, footer: Footer) {
        self.young_bytes += footer.memory_bytes();
        self.young.insert(key, footer);
        if self.young_bytes > self.young_bytes_max {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
    }
}

/// The part of a file that a scan may see; travels with the [`PartitionedFile`], whose own name is
/// only a number so that no plan shows a path.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) path: PathBuf,
    pub(crate) row_groups: Vec<u32>,
}

/// Opens the files of one project for DataFusion.
#[derive(Debug)]
pub(crate) struct Readers {
    pub(crate) files: Arc<Files>,
    pub(crate) project: ProjectId,
}

impl Readers {
    fn reader(&self, part: Arc<Part>, metrics: ParquetFileMetrics) -> Reader {
        let key = (part.path.clone(), self.project.clone());
        Reader {
            files: Arc::clone(&self.files),
            key,
            part,
            file: None,
            metrics,
        }
    }

    /// Returns whether the footer proves that every row of the part has a value in `column`.
    pub(crate) fn lacks_no(&self, part: &Part, column: &str) -> Result<bool, DataFusionError> {
        let metrics = ParquetFileMetrics::new(0, "", &ExecutionPlanMetricsSet::new());
        let mut reader = self.reader(Arc::new(part.clone()), metrics);
        let footer = reader
            .footer()
            .map_err(|e| DataFusionError::External(Box::new(e)))?;
        Ok(footer.row_groups().iter().all(|group| {
            let chunk = group
                .columns()
                .iter()
                .find(|c| c.column_path().string() == column);
            let nulls = chunk.and_then(|chunk| chunk.statistics()?.null_count_opt());
            nulls == Some(0)
        }))
    }
}

impl ParquetFileReaderFactory for Readers {
    fn create_reader(
        &self,
        partition: usize,
        file: PartitionedFile,
        _metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>, DataFusionError> {
        let Some(part) = file.extensions.get_arc::<Part>() else {
            return Err(DataFusionError::Internal(
                "a scanned file has no part".to_owned(),
            ));
        };
        let name = file.object_meta.location.as_ref();
        let metrics = ParquetFileMetrics::new(partition, name, metrics);
        Ok(Box::new(self.reader(part, metrics)))
    }
}

/// One file, opened when its first byte is asked for: a footer in the cache may rule all of it out.
struct Reader {
    files: Arc<Files>,
    key: FooterKey,
    part: Arc<Part>,
    file: Option<LakeFile>,
    metrics: ParquetFileMetrics,
}

impl Reader {
    /// Returns the file and its footer, opened where they are not at hand.
    fn opened(&mut self) -> Result<(LakeFile, Footer), FileError> {
        let path = &self.part.path;
        let name = path.to_string_lossy();
        let known = self.files.footers().get(&self.key);
        let (file, footer) = match (self.file.take(), known) {
            (Some(file), Some(footer)) => (file, footer),
            (None, Some(footer)) => {
                let source = self.files.open(path)?;
                (
                    LakeFile::with_meta(&name, source, Arc::clone(&footer.whole)),
                    footer,
                )
            }
            (_, None) => {
                let opened = LakeFile::open(&name, self.files.open(path)?);
                let opened = opened.map_err(|source| FileError::Open {
                    path: path.clone(),
                    source,
                })?;
                let whole = Arc::clone(opened.meta());
                let own = restrict(whole.parquet().metadata(), &self.part, &self.key.1)?;
                let footer = Footer { whole, own };
                self.files
                    .footers()
                    .insert(self.key.clone(), footer.clone());
                (opened, footer)
            }
        };
        self.file = Some(file.clone());
        Ok((file, footer))
    }

    fn read(&mut self, range: Range<u64>) -> Result<Bytes, FileError> {
        let (file, footer) = self.opened()?;
        let failed = |source| FileError::of_io(&self.part.path, source);
        let payload_bytes = footer.whole.payload_bytes(&range);
        let bytes = file.read_bytes(range).map_err(failed)?;
        self.metrics.bytes_scanned.add(bytes.len());
        self.files.counts.add(bytes.len() as u64, payload_bytes);
        Ok(bytes)
    }

    /// Returns what may be seen of the footer; a known one costs no access to the file.
    fn footer(&mut self) -> Result<Arc<ParquetMetaData>, FileError> {
        let known = self.files.footers().get(&self.key);
        match known {
            Some(footer) => Ok(footer.own),
            None => Ok(self.opened()?.1.own),
        }
    }
}

impl AsyncFileReader for Reader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        async move { Ok(self.read(range)?) }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        async move { Ok(self.footer()?) }.boxed()
    }
}

/// Returns the footer with the project's row groups and no others.
fn restrict(
    whole: &Arc<ParquetMetaData>,
    part: &Part,
    project: &ProjectId,
) -> Result<Arc<ParquetMetaData>, FileError> {
    for &group in &part.row_groups {
        let is_there = (group as usize) < whole.num_row_groups();
        if !is_there || !is_of(whole, group as usize, project) {
            return Err(FileError::ForeignGroup {
                path: part.path.clone(),
                group,
            });
        }
    }
    if part.row_groups.len() == whole.num_row_groups() {
        return Ok(Arc::clone(whole));
    }
    let groups: Vec<_> = part
        .row_groups
        .iter()
        .map(|&group| whole.row_group(group as usize).clone())
        .collect();
    let all = whole.file_metadata();
    let own = FileMetaData::new(
        all.version(),
        groups.iter().map(|group| group.num_rows()).sum(),
        all.created_by().map(str::to_owned),
        all.key_value_metadata().cloned(),
        all.schema_descr_ptr(),
        all.column_orders().cloned(),
    );
    let own = ParquetMetaDataBuilder::new(own)
        .set_row_groups(groups)
        .set_column_index(whole.column_index().map(|all| pick(all, &part.row_groups)))
        .set_offset_index(whole.offset_index().map(|all| pick(all, &part.row_groups)))
        .build();
    Ok(Arc::new(own))
}

/// Returns the chosen elements, in the order of the choice.
fn pick<T: Clone>(all: &[T], chosen: &[u32]) -> Vec<T> {
    chosen
        .iter()
        .filter_map(|&group| all.get(group as usize).cloned())
        .collect()
}

/// Returns whether the statistics say that every row of the group is the project's. Long ids may have
/// been cut there, so the smallest value is held against the start of the id.
fn is_of(footer: &ParquetMetaData, group: usize, project: &ProjectId) -> bool {
    let columns = footer.row_group(group).columns();
    let Some(column) = columns
        .iter()
        .find(|c| c.column_path().string() == "project_id")
    else {
        return false;
    };
    let Some(Statistics::ByteArray(statistics)) = column.statistics() else {
        return false;
    };
    let id = project.as_str().as_bytes();
    let bound = |value: Option<&parquet::data_type::ByteArray>, is_exact: bool| match value {
        Some(value) if is_exact => value.data() == id,
        // A cut minimum is a prefix; a cut maximum is a prefix counted up by one.
        Some(value) => {
            let shared = value.len().saturating_sub(1);
            id.len() > value.len() && id.starts_with(&value.data()[..shared])
        }
        None => false,
    };
    bound(statistics.min_opt(), statistics.min_is_exact())
        && bound(statistics.max_opt(), statistics.max_is_exact())
}
