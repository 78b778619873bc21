//! How is one Parquet file written, and what is learnt on the way?
//!
//! The writer takes sorted batches, checks that they are, and cuts row groups by bytes and at every
//! change of project: so a session can be given its own project's row groups and never decode a
//! foreign row (T1). What the catalog needs is counted while the rows pass. The file is finished in a
//! step of its own because only then is it known how many files its commit has.

use std::borrow::Borrow;
use std::fmt;
use std::io::{self, Write};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use model::{GRADE_RUN_BYTES, IdError, ProjectId};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{
    BloomFilterPosition, EnabledStatistics, WriterProperties, WriterPropertiesBuilder,
    WriterVersion,
};
use parquet::schema::types::ColumnPath;

use super::columns::{Kind, LakeRow, Layout, Spec};
use super::decode::DecodeError;
use super::encode::{EncodeError, encode};
use super::filter::{TraceHash, TraceSet};
use super::footer::{Counts, FileInfo, FileSummary, Footer, Level, METADATA_KEY, ProjectSummary};
use super::schema::{Columns, SCHEMA_VERSION, Table, schema, sort_keys};
use super::seal::{BlockSums, SEAL_KEY, close_seal, open_seal};
use super::view::{RowBytes, View};

/// Rows are encoded this many at a time at most.
const ENCODE_ROWS_MAX: usize = 1_024;
/// Rows are encoded this many payload bytes at a time at most, or one by one.
pub(crate) const ENCODE_BYTES_MAX: usize = 8 << 20;
/// A page of a lookup column: small, so that one trace costs one small page.
const PAGE_BYTES: usize = 64 << 10;
/// A page of a payload column: large, so that the compressor sees the repetition.
const PAYLOAD_PAGE_BYTES: usize = 256 << 10;
/// Of 100 row groups without the trace that is looked for, one is opened in vain.
const BLOOM_FALSE_POSITIVES: f64 = 0.01;

/// The sizes that a writer keeps to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriterLimits {
    /// A row group is closed before it exceeds this many bytes, uncompressed. A larger row gets one
    /// of its own.
    pub row_group_bytes_max: u64,
    /// A row group has at most this many rows.
    pub row_group_rows_max: usize,
    /// No page has more rows, however small they are: all of a page is decompressed for one of them.
    pub page_rows_max: usize,
    /// After each so many bytes the sink is told, so that it can sync.
    pub sync_bytes: u64,
}

impl Default for WriterLimits {
    fn default() -> Self {
        Self {
            row_group_bytes_max: 32 << 20,
            row_group_rows_max: 131_072,
            page_rows_max: 2_048,
            sync_bytes: 8 << 20,
        }
    }
}

impl WriterLimits {
    /// Returns the limits for files of `table`.
    pub fn of(table: Table) -> Self {
        let limits = Self::default();
        match table {
            // A trace's row is looked up by an id that says nothing of its place: all ids of a row group
            // are compared, where its Bloom filter does not rule it out. And there are many columns.
            Table::Traces => Self {
                row_group_rows_max: 16_384,
                page_rows_max: 1_024,
                ..limits
            },
            Table::Spans | Table::Messages | Table::Grades => limits,
        }
    }
}

/// Why a file cannot be written. Nothing of it may be used then.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Rows do not become a batch.
    #[error("cannot encode rows of {table}")]
    Encode {
        /// The table.
        table: Table,
        /// Why.
        source: EncodeError,
    },
    /// A batch has not the columns of the table: a bug of the caller.
    #[error("a batch has not the columns of {table}")]
    OtherColumns {
        /// The table.
        table: Table,
    },
    /// A key column of a batch cannot be used.
    #[error("cannot read the keys of a batch of {table}")]
    Keys {
        /// The table.
        table: Table,
        /// Why.
        source: DecodeError,
    },
    /// A project in a batch has no possible name.
    #[error("a batch of {table} names an impossible project")]
    Project {
        /// The table.
        table: Table,
        /// Why.
        source: IdError,
    },
    /// A row comes before the one that was written before it: a bug of the caller, and the file
    /// would lie about its order.
    #[error("row {row} of the file of {table} is out of order")]
    Unsorted {
        /// The table.
        table: Table,
        /// The place in the file.
        row: u64,
    },
    /// The sink or the encoder fails, such as for want of space.
    #[error("cannot write a file of {table}")]
    Parquet {
        /// The table.
        table: Table,
        /// Why.
        source: ParquetError,
    },
}

impl WriteError {
    /// Returns the failure of the sink, if that was it, such as a full disk.
    pub fn io(&self) -> Option<&io::Error> {
        let Self::Parquet {
            source: ParquetError::External(inner),
            ..
        } = self
        else {
            return None;
        };
        inner.downcast_ref()
    }
}

/// What is told to the sink from time to time: itself, and the bytes written so far.
type OnProgress<W> = Box<dyn FnMut(&mut W, u64) -> io::Result<()> + Send>;

/// Writes one file of one table.
pub struct LakeWriter<W: Write + Send> {
    parquet: ArrowWriter<Sink<W>>,
    columns: SchemaRef,
    footer: Footer,
    limits: WriterLimits,
    counts: Counts,
    /// The last batch, whose last row the next one must not precede.
    last: Option<View>,
    traces: Vec<TraceHash>,
    group_rows: usize,
    group_bytes: u64,
    total_bytes: u64,
}

impl<W: Write + Send> fmt::Debug for LakeWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LakeWriter")
            .field("footer", &self.footer)
            .finish_non_exhaustive()
    }
}

/// A file that is complete; its sink has yet to be synced and given its name.
#[derive(Debug)]
pub struct Finished<W> {
    /// Where the bytes went.
    pub sink: W,
    /// What the catalog needs.
    pub summary: FileSummary,
}

impl<W: Write + Send> LakeWriter<W> {
    /// Returns a writer of the file that `footer` describes. `on_progress` is called after every
    /// [`WriterLimits::sync_bytes`] with the sink and the bytes written so far.
    pub fn new(
        sink: W,
        footer: Footer,
        limits: WriterLimits,
        on_progress: impl FnMut(&mut W, u64) -> io::Result<()> + Send + 'static,
    ) -> Result<Self, WriteError> {
        let columns = schema(footer.table);
        Self::with_columns(sink, footer, limits, columns, Box::new(on_progress))
    }

    /// Returns a writer of a file with these columns: tests write what older versions wrote.
    pub(super) fn with_columns(
        sink: W,
        footer: Footer,
        limits: WriterLimits,
        columns: SchemaRef,
        on_progress: OnProgress<W>,
    ) -> Result<Self, WriteError> {
        let table = footer.table;
        let sink = Sink {
            inner: sink,
            hasher: blake3::Hasher::new(),
            sums: BlockSums::default(),
            tail: None,
            bytes: 0,
            unsynced: 0,
            sync_bytes: limits.sync_bytes,
            on_progress,
        };
        let properties = properties(&footer, limits, &columns);
        let parquet = ArrowWriter::try_new(sink, Arc::clone(&columns), Some(properties))
            .map_err(|source| WriteError::Parquet { table, source })?;
        let counts = Counts {
            rows: 0,
            min_seq: i64::MAX,
            max_seq: i64::MIN,
            projects: Vec::new(),
        };
        Ok(Self {
            parquet,
            columns,
            footer: Footer {
                schema_version: SCHEMA_VERSION,
                ..footer
            },
            limits,
            counts,
            last: None,
            traces: Vec::new(),
            group_rows: 0,
            group_bytes: 0,
            total_bytes: 0,
        })
    }

    /// Writes rows that are sorted by [`LakeRow::file_order`].
    pub fn write_rows<R: LakeRow, B: Borrow<R>>(&mut self, rows: &[B]) -> Result<(), WriteError> {
        let table = R::TABLE;
        let columns = Columns::all(table);
        let mut rest = rows;
        while !rest.is_empty() {
            let (front, back) = rest.split_at(batch_rows(rest));
            let batch = encode(front, &columns);
            self.write(&batch.map_err(|source| WriteError::Encode { table, source })?)?;
            rest = back;
        }
        Ok(())
    }

    /// Writes a sorted batch that has all columns of the table.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), WriteError> {
        let table = self.footer.table;
        if batch.schema_ref().fields() != self.columns.fields() {
            return Err(WriteError::OtherColumns { table });
        }
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let view = View::of(table, batch).map_err(|source| WriteError::Keys { table, source })?;
        self.check_order(&view)?;
        let sizes = RowBytes::of(batch);
        let mut row = 0;
        while row < view.rows() {
            let end = view.project_end(row);
            self.enter_project(view.key(row).project)?;
            self.write_project(batch, &view, &sizes, row..end)?;
            row = end;
        }
        self.last = Some(view);
        Ok(())
    }

    fn check_order(&self, view: &View) -> Result<(), WriteError> {
        let unsorted = |row: usize| WriteError::Unsorted {
            table: self.footer.table,
            row: self.counts.rows + row as u64,
        };
        if let Some(last) = &self.last
            && last.compare(last.rows() - 1, view, 0).is_gt()
        {
            return Err(unsorted(0));
        }
        match (1..view.rows()).find(|&row| view.compare(row - 1, view, row).is_gt()) {
            Some(row) => Err(unsorted(row)),
            None => Ok(()),
        }
    }

    /// Begins a new row group if the rows to come are another project's.
    fn enter_project(&mut self, project: &str) -> Result<(), WriteError> {
        let table = self.footer.table;
        if self
            .counts
            .projects
            .last()
            .is_some_and(|last| last.project.as_str() == project)
        {
            return Ok(());
        }
        self.close_group()?;
        let project =
            ProjectId::new(project).map_err(|source| WriteError::Project { table, source })?;
        let (min_time, max_time, row_groups) = (None, None, Vec::new());
        self.counts.projects.push(ProjectSummary {
            project,
            rows: 0,
            min_time,
            max_time,
            row_groups,
        });
        Ok(())
    }

    /// Writes rows of the current project, in as many row groups as they need.
    fn write_project(
        &mut self,
        batch: &RecordBatch,
        view: &View,
        sizes: &RowBytes,
        rows: Range<usize>,
    ) -> Result<(), WriteError> {
        let mut from = rows.start;
        while from < rows.end {
            let room = self
                .limits
                .row_group_bytes_max
                .saturating_sub(self.group_bytes);
            let row_room = self
                .limits
                .row_group_rows_max
                .saturating_sub(self.group_rows);
            let end = sizes.fit(from..rows.end, room).min(from + row_room);
            let end = match (end > from, self.group_rows) {
                (true, _) => end,
                // A row larger than a whole row group.
                (false, 0) => from + 1,
                (false, _) => {
                    self.close_group()?;
                    continue;
                }
            };
            let part = batch.slice(from, end - from);
            self.parquet
                .write(&part)
                .map_err(|source| self.failed(source))?;
            self.group_rows += end - from;
            self.group_bytes += sizes.range(from..end);
            self.total_bytes += sizes.range(from..end);
            self.count(view, from..end);
            from = end;
        }
        Ok(())
    }

    fn count(&mut self, view: &View, rows: Range<usize>) {
        let group = self.parquet.flushed_row_groups().len() as u32;
        let is_grades = self.footer.table == Table::Grades;
        let project = self
            .counts
            .projects
            .last_mut()
            .expect("a project was entered");
        if project.row_groups.last() != Some(&group) {
            project.row_groups.push(group);
        }
        project.rows += rows.len() as u64;
        self.counts.rows += rows.len() as u64;
        let mut last_trace = None;
        let mut last_run = None;
        for row in rows {
            let key = view.key(row);
            self.counts.min_seq = self.counts.min_seq.min(key.seq);
            self.counts.max_seq = self.counts.max_seq.max(key.seq);
            if last_trace != Some(key.trace_id) {
                self.traces
                    .push(TraceHash::of_text(key.project, key.trace_id));
                last_trace = Some(key.trace_id);
            }
            if let Some(id) = key.part_id.filter(|_| is_grades) {
                self.traces.push(TraceHash::of_grade_item(key.project, id));
                let run = id.get(..GRADE_RUN_BYTES);
                if last_run != run {
                    self.traces.push(TraceHash::of_grade_run(key.project, id));
                    last_run = run;
                }
            }
            if let Some(time) = view.time(row) {
                project.min_time = Some(project.min_time.map_or(time, |min| min.min(time)));
                project.max_time = Some(project.max_time.map_or(time, |max| max.max(time)));
            }
        }
    }

    /// Writes out the row group that is being filled, before its time. It frees memory.
    pub fn close_group(&mut self) -> Result<(), WriteError> {
        self.parquet.flush().map_err(|source| self.failed(source))?;
        (self.group_rows, self.group_bytes) = (0, 0);
        Ok(())
    }

    /// Returns about how long the file would be if it were finished now.
    pub fn file_bytes(&self) -> u64 {
        (self.parquet.bytes_written() + self.parquet.in_progress_size()) as u64
    }

    /// Returns the memory held by the row group that is being filled.
    pub fn memory_bytes(&self) -> usize {
        self.parquet.memory_size()
    }

    /// Returns the rows written so far.
    pub fn rows(&self) -> u64 {
        self.counts.rows
    }

    /// Returns the bytes of the rows written so far, uncompressed.
    pub fn row_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// Finishes the file as one of `parts`.
    pub fn finish(mut self, parts: u32) -> Result<Finished<W>, WriteError> {
        self.close_group()?;
        self.footer.parts = parts;
        if self.counts.rows == 0 {
            (self.counts.min_seq, self.counts.max_seq) = (0, 0);
        }
        let trace_filter = TraceSet::build(std::mem::take(&mut self.traces)).to_bytes();
        let table = self.footer.table;
        let failed = |source| WriteError::Parquet { table, source };
        let filter = self
            .write_extras(&trace_filter)
            .map_err(|e| failed(e.into()))?;
        let info = FileInfo::new(self.footer.clone(), &self.counts, filter);
        let entry = KeyValue::new(METADATA_KEY.to_owned(), info.to_json());
        self.parquet.append_key_value_metadata(entry);
        let mut sink = self.parquet.into_inner().map_err(failed)?;
        sink.write_tail().map_err(|e| failed(e.into()))?;
        let Counts {
            rows,
            min_seq,
            max_seq,
            projects,
        } = self.counts;
        let summary = FileSummary {
            footer: self.footer,
            rows,
            bytes: sink.bytes,
            min_time: projects.iter().filter_map(|project| project.min_time).min(),
            max_time: projects.iter().filter_map(|project| project.max_time).max(),
            min_seq,
            max_seq,
            projects,
            trace_filter,
            checksum: *sink.hasher.finalize().as_bytes(),
        };
        Ok(Finished {
            sink: sink.inner,
            summary,
        })
    }

    /// Writes the trace filter, begins the tail behind it, and returns the filter's place.
    fn write_extras(&mut self, trace_filter: &[u8]) -> io::Result<Range<u64>> {
        let filter_at = self.parquet.bytes_written() as u64;
        self.parquet.write_all(trace_filter)?;
        self.parquet.sync()?;
        let sink = self.parquet.inner_mut();
        let (tail_at, sums) = (sink.bytes, std::mem::take(&mut sink.sums).table());
        sink.tail = Some(Vec::new());
        self.parquet.write_all(&sums)?;
        let seal = KeyValue::new(SEAL_KEY.to_owned(), open_seal(tail_at));
        self.parquet.append_key_value_metadata(seal);
        Ok(filter_at..tail_at)
    }

    fn failed(&self, source: ParquetError) -> WriteError {
        WriteError::Parquet {
            table: self.footer.table,
            source,
        }
    }
}

/// Returns how many of `rows`, one at least, are encoded together.
fn batch_rows<R: LakeRow, B: Borrow<R>>(rows: &[B]) -> usize {
    let mut bytes = 0;
    let fits = rows.iter().take(ENCODE_ROWS_MAX).take_while(|row| {
        bytes += (*row).borrow().payload_bytes();
        bytes <= ENCODE_BYTES_MAX
    });
    fits.count().max(1)
}

/// Counts and hashes what passes, and tells the sink when to sync.
struct Sink<W> {
    inner: W,
    hasher: blake3::Hasher,
    sums: BlockSums,
    /// What is held back once the rows are complete: the tail gets its checksum when it is whole.
    tail: Option<Vec<u8>>,
    bytes: u64,
    unsynced: u64,
    sync_bytes: u64,
    on_progress: OnProgress<W>,
}

impl<W: Write> Sink<W> {
    fn write_tail(&mut self) -> io::Result<()> {
        let mut tail = self.tail.take().unwrap_or_default();
        close_seal(&mut tail);
        self.write_all(&tail)?;
        self.inner.flush()
    }
}

impl<W: Write> Write for Sink<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if let Some(tail) = &mut self.tail {
            return tail.write(buf);
        }
        let written = self.inner.write(buf)?;
        self.hasher.update(&buf[..written]);
        self.sums.update(&buf[..written]);
        self.bytes += written as u64;
        self.unsynced += written as u64;
        if self.unsynced >= self.sync_bytes {
            self.unsynced = 0;
            (self.on_progress)(&mut self.inner, self.bytes)?;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn properties(footer: &Footer, limits: WriterLimits, columns: &Schema) -> WriterProperties {
    let table = footer.table;
    // What was flushed is merged within minutes; what was merged may lie for days, and level 3 takes a
    // fifth less.
    let level = if footer.level == Level::L0 { 1 } else { 3 };
    let level = ZstdLevel::try_new(level).expect("zstd has both");
    let sorting = sort_keys(table).iter().map(|key| SortingColumn {
        // Every column is one leaf, so its place among the leaves is its place in the schema.
        column_idx: columns.index_of(key.column).expect("sort keys are columns") as i32,
        descending: key.descending,
        nulls_first: false,
    });
    let start = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_created_by(concat!("tracegrade ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(level))
        .set_data_page_size_limit(PAGE_BYTES)
        .set_data_page_row_count_limit(limits.page_rows_max)
        .set_bloom_filter_position(BloomFilterPosition::AfterRowGroup)
        .set_max_row_group_row_count(None)
        .set_max_row_group_bytes(None)
        .set_sorting_columns(Some(sorting.collect()));
    let builder = table.specs().fold(start, column_properties);
    match table {
        // Sorted by trace: the pages' statistics find it exactly.
        Table::Messages => builder.build(),
        // Sorted by time, or by run and grader: a page holds any trace of its time or its run, so each
        // row group gets a Bloom filter, a byte and a half for a trace.
        Table::Spans | Table::Traces | Table::Grades => builder
            .set_column_bloom_filter_enabled("trace_id".into(), true)
            .set_column_bloom_filter_fpp("trace_id".into(), BLOOM_FALSE_POSITIVES)
            .set_column_bloom_filter_max_ndv("trace_id".into(), limits.row_group_rows_max as u64)
            .build(),
    }
}

fn column_properties(start: WriterPropertiesBuilder, spec: &Spec) -> WriterPropertiesBuilder {
    use EnabledStatistics::{Chunk, Page};
    let path = match spec.kind {
        Kind::Hashes | Kind::Texts => vec![spec.name, "list", "item"],
        _ => vec![spec.name],
    };
    let path = ColumnPath::new(path.into_iter().map(str::to_owned).collect());
    let (dictionary, statistics) = match spec.layout {
        Layout::Key => (true, Page),
        Layout::Order => (false, Page),
        Layout::Word => (true, Chunk),
        Layout::Measure => (false, Chunk),
        Layout::Phrase | Layout::Payload => (false, EnabledStatistics::None),
    };
    let mut builder = start
        .set_column_dictionary_enabled(path.clone(), dictionary)
        .set_column_statistics_enabled(path.clone(), statistics);
    // Not the default for texts, which cuts off what each shares with the one before: nothing of it
    // could be passed over without being decoded.
    let encoding = match (spec.layout, spec.kind) {
        (Layout::Order, _) => Some(Encoding::DELTA_BINARY_PACKED),
        (_, Kind::Text | Kind::Texts) => Some(Encoding::DELTA_LENGTH_BYTE_ARRAY),
        (_, Kind::Hash | Kind::Hashes) => Some(Encoding::PLAIN),
        _ => None,
    };
    if let Some(encoding) = encoding {
        builder = builder.set_column_encoding(path.clone(), encoding);
    }
    if spec.layout == Layout::Payload {
        builder = builder.set_column_data_page_size_limit(path, PAYLOAD_PAGE_BYTES);
    }
    builder
}
