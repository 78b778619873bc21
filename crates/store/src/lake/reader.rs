//! How is a file read, as little of it as possible, and nothing of it unchecked?
//!
//! Opening reads the end of the file, or takes it as [`LakeMeta`] from whoever kept it. A trace is
//! found in three steps, each of which saves the next: row groups by project, statistics and Bloom
//! filter; pages by the page index; rows by their trace ids. Only then are the wanted columns read,
//! and of these only the pages that hold the trace.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::error::ArrowError;
use bytes::Bytes;
use model::{ProjectId, Time, TraceId};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection,
    RowSelector,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::PageIndexPolicy;
use parquet::file::reader::Length;
use parquet::file::statistics::Statistics;

use super::batches::Batches;
use super::columns::LakeRow;
use super::decode::{DecodeError, decode, text_column};
use super::end::{LakeMeta, understand};
use super::filter::{TraceSet, TraceSetError};
use super::footer::{BadInfo, FileSummary, Footer, ProjectSummary};
use super::pages::{Sought, is_within, leaf_of, page_selection};
use super::schema::{Columns, Table};
use super::seal::Tail;
use super::source::{ChunkSource, ReadAt, read_exactly};

/// A batch has about so many bytes: what a merge of many files can hold of each.
const BATCH_BYTES: u64 = 1 << 20;
/// A batch has at most so many rows, however small they are.
const BATCH_ROWS_MAX: u64 = 8_192;

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The Parquet structure is damaged, or the disk fails.
    #[error("cannot read {what} of {file}")]
    Parquet {
        /// The file.
        file: Arc<str>,
        /// Which part of it.
        what: &'static str,
        /// Why.
        source: ParquetError,
    },
    /// What the file says of itself cannot be used.
    #[error("cannot use {file}")]
    Info {
        /// The file.
        file: Arc<str>,
        /// Why.
        source: BadInfo,
    },
    /// The file's trace filter cannot be used.
    #[error("cannot use the trace filter of {file}")]
    Filter {
        /// The file.
        file: Arc<str>,
        /// Why.
        source: TraceSetError,
    },
    /// The rows were read and are not what they should be.
    #[error("cannot decode rows of {file}")]
    Decode {
        /// The file.
        file: Arc<str>,
        /// Why.
        source: DecodeError,
    },
    /// The columns that were read do not form the batch that was asked for.
    #[error("cannot form a batch of {file}")]
    Arrow {
        /// The file.
        file: Arc<str>,
        /// Why.
        source: ArrowError,
    },
    /// A row group was asked for that the file does not have, or columns of another table.
    #[error("{file} has no {what}")]
    NoSuch {
        /// The file.
        file: Arc<str>,
        /// What was asked for.
        what: String,
    },
}

/// A trace that is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Its id.
    pub trace_id: &'a TraceId,
    /// Its frozen start, where it is known: it tells the few pages of a table that is sorted by it.
    pub home: Option<Time>,
}

/// One file of the lake, open for reading.
#[derive(Clone)]
pub struct LakeFile {
    name: Arc<str>,
    source: ChunkSource,
    meta: Arc<LakeMeta>,
}

impl fmt::Debug for LakeFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LakeFile")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl LakeFile {
    /// Opens a file and reads its end. `name` is what errors call it.
    pub fn open(name: &str, source: Arc<dyn ReadAt>) -> Result<Self, ReadError> {
        let name: Arc<str> = name.into();
        let tail = Tail::read(&*source).map_err(|source| ReadError::Parquet {
            file: Arc::clone(&name),
            what: "the end",
            source: source.into(),
        })?;
        let tail = Arc::new(tail);
        let checked = ChunkSource {
            source: Arc::clone(&tail) as Arc<dyn ReadAt>,
            blocks: None,
        };
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
        let parquet =
            ArrowReaderMetadata::load(&checked, options).map_err(|source| ReadError::Parquet {
                file: Arc::clone(&name),
                what: "the metadata",
                source,
            })?;
        let meta = understand(parquet, &tail).map_err(|source| ReadError::Info {
            file: Arc::clone(&name),
            source,
        })?;
        Ok(Self::with_meta(&name, source, Arc::new(meta)))
    }

    /// Opens a file whose end was read before.
    pub fn with_meta(name: &str, source: Arc<dyn ReadAt>, meta: Arc<LakeMeta>) -> Self {
        let source = ChunkSource {
            source,
            blocks: Some(Arc::clone(&meta.blocks)),
        };
        Self {
            name: name.into(),
            source,
            meta,
        }
    }

    /// Returns the end of the file, to be kept for the next opening.
    pub fn meta(&self) -> &Arc<LakeMeta> {
        &self.meta
    }

    /// Returns what the file says of where it comes from.
    pub fn footer(&self) -> &Footer {
        &self.meta.info.footer
    }

    /// Returns what errors call the file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the length of the file.
    pub fn bytes(&self) -> u64 {
        Length::len(&self.source)
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> u64 {
        self.meta.info.rows
    }

    /// Returns the projects in the file, in order.
    pub fn projects(&self) -> &[ProjectSummary] {
        &self.meta.projects
    }

    /// Returns the trace filter that lies in the file.
    pub fn trace_set(&self) -> Result<TraceSet, ReadError> {
        let bytes = self.trace_filter()?;
        TraceSet::from_bytes(&bytes).map_err(|source| ReadError::Filter {
            file: Arc::clone(&self.name),
            source,
        })
    }

    fn trace_filter(&self) -> Result<Bytes, ReadError> {
        let info = &self.meta.info;
        let read = self.source.read(info.filter_at, info.filter_bytes as usize);
        read.map_err(|e| self.parquet_error("the trace filter", e.into()))
    }

    /// Returns what the catalog keeps of the file. Reads all of it, for the checksum.
    pub fn summary(&self) -> Result<FileSummary, ReadError> {
        let LakeMeta { info, projects, .. } = &*self.meta;
        self.trace_set()?;
        let checksum = self
            .checksum()
            .map_err(|e| self.parquet_error("the bytes", e.into()))?;
        Ok(FileSummary {
            footer: info.footer.clone(),
            rows: info.rows,
            bytes: self.bytes(),
            min_time: projects.iter().filter_map(|project| project.min_time).min(),
            max_time: projects.iter().filter_map(|project| project.max_time).max(),
            min_seq: info.min_seq,
            max_seq: info.max_seq,
            projects: projects.clone(),
            trace_filter: self.trace_filter()?.to_vec(),
            checksum,
        })
    }

    /// Returns these bytes of the file, checked, for a reader that decodes pages itself.
    pub fn read_bytes(&self, range: Range<u64>) -> io::Result<Bytes> {
        self.source
            .read(range.start, range.end.saturating_sub(range.start) as usize)
    }

    /// Returns the BLAKE3 hash of the whole file.
    pub fn checksum(&self) -> io::Result<[u8; 32]> {
        const STEP: u64 = 1 << 20;
        let mut hasher = blake3::Hasher::new();
        let (mut at, end) = (0, Length::len(&self.source));
        while at < end {
            let step = STEP.min(end - at);
            hasher.update(&read_exactly(&*self.source.source, at, step as usize)?);
            at += step;
        }
        Ok(*hasher.finalize().as_bytes())
    }

    /// Returns the rows of these row groups, or of all, in file order. Columns that the file does not
    /// have are null.
    pub fn scan(
        &self,
        columns: &Columns,
        row_groups: Option<&[u32]>,
    ) -> Result<Batches, ReadError> {
        let count = self.meta.parquet.metadata().num_row_groups();
        let groups: Vec<usize> = match row_groups {
            None => (0..count).collect(),
            Some(groups) => groups.iter().map(|&group| group as usize).collect(),
        };
        if let Some(group) = groups.iter().find(|&&group| group >= count) {
            return Err(self.no_such(format!("row group {group}")));
        }
        self.batches(columns, groups, None)
    }

    /// Returns the rows of one project, in file order.
    pub fn scan_project(
        &self,
        project: &ProjectId,
        columns: &Columns,
    ) -> Result<Batches, ReadError> {
        self.scan(columns, Some(self.row_groups(project)))
    }

    /// Calls `each` with the rows of one project, in file order, but for pages in which a column cannot hold
    /// the text that is wanted of it, until it breaks. Rows that do not hold it may come too.
    pub fn read_holding<R: LakeRow>(
        &self,
        project: &ProjectId,
        holding: &[(&'static str, &str)],
        columns: &Columns,
        each: &mut dyn FnMut(R) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, ReadError> {
        for &group in self.row_groups(project) {
            let pages = self.pages_holding(group as usize, holding);
            if pages.as_ref().is_some_and(|pages| !pages.selects_any()) {
                continue;
            }
            let batches = self.batches(columns, vec![group as usize], pages)?;
            if self.each_row_of(batches, each)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Returns the rows of the pages of a row group in which each of these columns may hold its text; `None`
    /// if that rules nothing out.
    fn pages_holding(
        &self,
        group: usize,
        holding: &[(&'static str, &str)],
    ) -> Option<RowSelection> {
        let metadata = self.meta.parquet.metadata();
        let pages = holding.iter().filter_map(|(column, text)| {
            page_selection(metadata, group, column, Sought::Texts(&[text.as_bytes()]))
        });
        pages.reduce(|all, some| all.intersection(&some))
    }

    /// Calls `each` with the rows of these batches until it breaks.
    fn each_row_of<R: LakeRow>(
        &self,
        batches: Batches,
        each: &mut dyn FnMut(R) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, ReadError> {
        for batch in batches {
            let rows = decode(&batch?).map_err(|source| self.decode_error(source))?;
            if rows.into_iter().try_for_each(&mut *each).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn row_groups(&self, project: &ProjectId) -> &[u32] {
        let found = self
            .meta
            .projects
            .iter()
            .find(|summary| summary.project == *project);
        found.map_or(&[], |summary| &summary.row_groups)
    }

    /// Returns the rows of one trace in file order, with the wanted columns filled in. `home` is the
    /// trace's frozen start, where it is known.
    pub fn read_trace<R: LakeRow>(
        &self,
        project: &ProjectId,
        trace_id: &TraceId,
        home: Option<Time>,
        columns: &Columns,
    ) -> Result<Vec<R>, ReadError> {
        let wanted = Wanted { trace_id, home };
        let mut rows = Vec::new();
        let taken = self.read_traces(project, &[wanted], &[], columns, &mut |row| {
            rows.push(row);
            ControlFlow::Continue(())
        });
        taken.map(|_| rows)
    }

    /// Calls `each` with the rows of these traces in file order, with the wanted columns filled in, until it
    /// breaks. However many traces are asked for, a page is read at most once. Pages in which a column cannot
    /// hold the text that is wanted of it are passed over.
    pub fn read_traces<R: LakeRow>(
        &self,
        project: &ProjectId,
        wanted: &[Wanted<'_>],
        holding: &[(&'static str, &str)],
        columns: &Columns,
        each: &mut dyn FnMut(R) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, ReadError> {
        let columns = columns.with_keys();
        let probe =
            Columns::named(R::TABLE, &["trace_id"]).expect("every table has a column trace_id");
        for &group in self.row_groups(project) {
            let group = group as usize;
            let here = self.may_lie_in(group, wanted)?;
            let pages = self.pages_with(group, &here);
            let pages = match self.pages_holding(group, holding) {
                Some(some) => pages.intersection(&some),
                None => pages,
            };
            if !pages.selects_any() {
                continue;
            }
            let ids: HashSet<&str> = here.iter().map(|it| it.trace_id.as_str()).collect();
            let mut masks = Vec::new();
            for batch in self.batches(&probe, vec![group], Some(pages.clone()))? {
                let mask = mask_of(R::TABLE, &batch?, &ids);
                masks.push(mask.map_err(|source| self.decode_error(source))?);
            }
            let selection = pages.and_then(&RowSelection::from_filters(&masks));
            if !selection.selects_any() {
                continue;
            }
            let batches = self.batches(&columns, vec![group], Some(selection))?;
            if self.each_row_of(batches, each)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Returns those of these traces that a row group may hold, by its statistics and its Bloom filter.
    fn may_lie_in<'a>(
        &self,
        group: usize,
        wanted: &[Wanted<'a>],
    ) -> Result<Vec<Wanted<'a>>, ReadError> {
        let row_group = self.meta.parquet.metadata().row_group(group);
        let Some(leaf) = leaf_of(row_group, "trace_id") else {
            return Err(self.no_such("column trace_id".to_owned()));
        };
        let mut here = wanted.to_vec();
        if let Some(Statistics::ByteArray(stats)) = row_group.column(leaf).statistics() {
            let (min, max) = (stats.min_bytes_opt(), stats.max_bytes_opt());
            here.retain(|it| is_within(it.trace_id.as_str().as_bytes(), min, max));
        }
        if here.is_empty() {
            return Ok(here);
        }
        let bloom = self
            .builder()
            .get_row_group_column_bloom_filter(group, leaf)
            .map_err(|e| self.parquet_error("the Bloom filter", e))?;
        if let Some(bloom) = bloom {
            here.retain(|it| bloom.check(it.trace_id.as_str()));
        }
        Ok(here)
    }

    /// Returns the rows of the pages of a row group that may hold one of these traces.
    fn pages_with(&self, group: usize, wanted: &[Wanted<'_>]) -> RowSelection {
        let metadata = self.meta.parquet.metadata();
        let rows = metadata.row_group(group).num_rows() as usize;
        if wanted.is_empty() {
            return RowSelection::from(vec![RowSelector::skip(rows)]);
        }
        let mut ids: Vec<&[u8]> = (wanted.iter())
            .map(|it| it.trace_id.as_str().as_bytes())
            .collect();
        ids.sort_unstable();
        let homes = wanted.iter().map(|it| it.home.map(Time::as_micros));
        let of_home = homes.collect::<Option<Vec<i64>>>().and_then(|mut homes| {
            homes.sort_unstable();
            let column = self.footer().table.home_column();
            page_selection(metadata, group, column, Sought::Micros(&homes))
        });
        let of_id = page_selection(metadata, group, "trace_id", Sought::Texts(&ids));
        let whole = RowSelection::from(vec![RowSelector::select(rows)]);
        [of_home, of_id]
            .into_iter()
            .flatten()
            .fold(whole, |all, some| all.intersection(&some))
    }

    fn builder(&self) -> ParquetRecordBatchReaderBuilder<ChunkSource> {
        ParquetRecordBatchReaderBuilder::new_with_metadata(
            self.source.clone(),
            self.meta.parquet.clone(),
        )
    }

    fn batches(
        &self,
        columns: &Columns,
        groups: Vec<usize>,
        selection: Option<RowSelection>,
    ) -> Result<Batches, ReadError> {
        if columns.table() != self.footer().table {
            return Err(self.no_such(format!("columns of {}", columns.table())));
        }
        let names = columns.schema().fields();
        let present = self.meta.parquet.schema();
        let roots = names
            .iter()
            .filter_map(|field| present.index_of(field.name()).ok());
        let mask = ProjectionMask::roots(self.meta.parquet.parquet_schema(), roots);
        let builder = self
            .builder()
            .with_batch_size(self.batch_rows(&mask, &groups))
            .with_row_groups(groups)
            .with_projection(mask);
        let builder = match selection {
            Some(selection) => builder.with_row_selection(selection),
            None => builder,
        };
        let reader = builder
            .build()
            .map_err(|e| self.parquet_error("the row groups", e))?;
        Ok(Batches {
            file: Arc::clone(&self.name),
            reader,
            schema: Arc::clone(columns.schema()),
        })
    }

    /// Returns how many rows make a batch of about [`BATCH_BYTES`].
    fn batch_rows(&self, mask: &ProjectionMask, groups: &[usize]) -> usize {
        /// A value takes at least about this much once a dictionary is resolved.
        const VALUE_BYTES: u64 = 16;
        let metadata = self.meta.parquet.metadata();
        let widest = groups.iter().map(|&group| {
            let group = metadata.row_group(group);
            let columns = group.columns().iter().enumerate();
            let read = columns.filter(|(leaf, _)| mask.leaf_included(*leaf));
            let rows = group.num_rows().max(1) as u64;
            read.map(|(_, c)| c.uncompressed_size().max(0) as u64 / rows + VALUE_BYTES)
                .sum::<u64>()
        });
        (BATCH_BYTES / widest.max().unwrap_or(1).max(1)).clamp(1, BATCH_ROWS_MAX) as usize
    }

    fn parquet_error(&self, what: &'static str, source: ParquetError) -> ReadError {
        ReadError::Parquet {
            file: Arc::clone(&self.name),
            what,
            source,
        }
    }

    fn decode_error(&self, source: DecodeError) -> ReadError {
        ReadError::Decode {
            file: Arc::clone(&self.name),
            source,
        }
    }

    fn no_such(&self, what: String) -> ReadError {
        ReadError::NoSuch {
            file: Arc::clone(&self.name),
            what,
        }
    }
}

fn mask_of(
    table: Table,
    batch: &RecordBatch,
    ids: &HashSet<&str>,
) -> Result<BooleanArray, DecodeError> {
    let column = text_column(table, batch, "trace_id")?;
    let is_wanted = |id: Option<&str>| Some(id.is_some_and(|id| ids.contains(id)));
    Ok(column.iter().map(is_wanted).collect())
}
