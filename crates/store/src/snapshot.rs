//! One consistent view of one project, for everything a request reads.
//!
//! Taken in this order and never another (D2): first the rows in memory, then the catalog version and
//! its cursor c, then memory rows at or below c are dropped, for Parquet has them. A flush that
//! commits in between puts rows in both places, and the last step takes them out of one.

use std::borrow::Borrow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;
use model::{GRADE_RUN_BYTES, Message, MessageHash, ProjectId, SpanId, Time, TraceId};

use crate::catalog::{FileEntry, FileId, Pin, ProjectHides};
use crate::disk::DiskError;
use crate::engine::Engine;
use crate::grades::GradedItems;
use crate::lake::{
    self, Columns, EncodeError, GradeRow, LakeRow, MessageRow, RowKeys, SpanRow, Table, TraceEntry,
    TraceHash, TraceSet, UnknownColumn, Wanted, decode, encode,
};
use crate::live::{GradeBatch, TraceKey, TraceView, newest};

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A file could not be opened or read.
    #[error("failed to read a file of the lake")]
    Disk(#[from] DiskError),
    /// A file is damaged.
    #[error("failed to decode {path}")]
    Damaged {
        /// The file, relative to the data folder.
        path: String,
        /// What is wrong with it.
        #[source]
        source: lake::ReadError,
    },
    /// A column was asked for that the table does not have.
    #[error("failed to read a table")]
    Column(#[from] UnknownColumn),
    /// A batch of a file does not hold rows.
    #[error("failed to read the rows of a file")]
    Decode(#[from] lake::DecodeError),
    /// Rows in memory do not fit into one batch.
    #[error("failed to make a batch of the rows in memory")]
    Encode(#[from] EncodeError),
}

impl ReadError {
    pub(crate) fn damaged(file: &FileEntry, source: lake::ReadError) -> Self {
        Self::of(&file.path, source)
    }

    /// Returns the error of a file that is named by its path below the data folder.
    pub(crate) fn of(path: &str, source: lake::ReadError) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            source,
        }
    }
}

/// A file that holds rows of the snapshot's project.
#[derive(Debug, Clone)]
pub struct ScanFile {
    /// Its number: a file never changes, so whatever is kept of it may be kept by this.
    pub id: FileId,
    /// Where it lies.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Rows of this project.
    pub rows: i64,
    /// Row groups of this project; no other project's rows are in them.
    pub row_groups: Vec<u32>,
    /// The earliest sort time of this project's rows, if the table has one.
    pub min_time: Option<Time>,
    /// The latest.
    pub max_time: Option<Time>,
    /// Which traces it may hold; `None`: any.
    pub trace_set: Option<Arc<TraceSet>>,
}

/// Which rows of files are gone or replaced, for one table of one project.
#[derive(Debug)]
pub struct Hides {
    table: Table,
    /// What the catalog says.
    committed: Option<Arc<ProjectHides>>,
    /// What rows in memory replace, and what was deleted since the last commit.
    traces: HashMap<TraceId, i64>,
    spans: HashMap<TraceId, HashMap<SpanId, i64>>,
}

impl Hides {
    /// Returns whether nothing is hidden.
    pub fn is_empty(&self) -> bool {
        self.committed.is_none() && self.traces.is_empty() && self.spans.is_empty()
    }

    /// Returns whether a row of a file is hidden. `part_id` is that of a span, or of a grade.
    pub fn hides(&self, trace_id: &str, part_id: Option<&str>, seq: i64) -> bool {
        let by = |upto: Option<&i64>| upto.is_some_and(|upto| seq <= *upto);
        let run = part_id.filter(|_| self.table == Table::Grades);
        by(self.traces.get(trace_id))
            || run
                .and_then(|id| self.traces.get(id.get(..GRADE_RUN_BYTES)?))
                .is_some_and(|upto| seq <= *upto)
            || part_id.is_some_and(|id| by(self.spans.get(trace_id).and_then(|ids| ids.get(id))))
            || self
                .committed
                .as_ref()
                .is_some_and(|hides| hides.hides(self.table, trace_id, part_id, seq))
    }

    fn hide_trace(&mut self, trace_id: &TraceId, upto: i64) {
        let cell = self.traces.entry(trace_id.clone()).or_insert(upto);
        *cell = upto.max(*cell);
    }

    fn hide_span(&mut self, trace_id: &TraceId, span_id: &SpanId, upto: i64) {
        let of_trace = self.spans.entry(trace_id.clone()).or_default();
        let cell = of_trace.entry(span_id.clone()).or_insert(upto);
        *cell = upto.max(*cell);
    }
}

/// A consistent view of one project. It holds its files: they stay until it is dropped or expires.
#[derive(Debug)]
pub struct Snapshot {
    engine: Arc<Engine>,
    project: ProjectId,
    now: Time,
    /// Traces with rows above the cursor.
    views: HashMap<TraceId, Arc<TraceView>>,
    /// Grades above the cursor, in log order.
    grades: Vec<Arc<GradeBatch>>,
    deleted: Vec<(TraceId, i64)>,
    cursor: i64,
    pin: Pin,
    /// By table, in the order of [`Table::ALL`]; each put together when it is first asked for.
    hides: [OnceLock<Arc<Hides>>; Table::ALL.len()],
}

/// What was in memory at one moment.
struct InMemory {
    views: Vec<Arc<TraceView>>,
    grades: Vec<Arc<GradeBatch>>,
    deleted: Vec<(TraceId, i64)>,
}

impl Snapshot {
    /// Takes a snapshot of a whole project.
    pub(crate) fn take(engine: &Arc<Engine>, project: &ProjectId) -> Self {
        let in_memory = {
            let live = engine.live.read();
            InMemory {
                views: live.views(project),
                grades: live.grades(project).to_vec(),
                deleted: live.deleted_of(project),
            }
        };
        Self::assemble(engine, project, in_memory)
    }

    /// Takes a snapshot that can answer for one trace only: cheaper where much is in memory.
    pub(crate) fn take_trace(engine: &Arc<Engine>, key: &TraceKey) -> Self {
        let in_memory = {
            let live = engine.live.read();
            let grades = live.grades(&key.project).iter();
            InMemory {
                views: live.view_of(key).into_iter().collect(),
                grades: grades
                    .filter(|batch| batch.is_about(&key.trace_id))
                    .cloned()
                    .collect(),
                deleted: live.deleted_of(&key.project),
            }
        };
        Self::assemble(engine, &key.project, in_memory)
    }

    fn assemble(engine: &Arc<Engine>, project: &ProjectId, in_memory: InMemory) -> Self {
        let InMemory {
            views,
            mut grades,
            deleted,
        } = in_memory;
        // Memory was read before this line; the order is what D2 rests on.
        let pin = engine.catalog.pin();
        let cursor = pin.catalog().cursor(&engine.config.node).unwrap_or(0);
        let views: HashMap<_, _> = views
            .into_iter()
            .filter(|view| view.received.seq > cursor)
            .map(|view| (view.item.trace_id.clone(), view))
            .collect();
        grades.retain(|batch| batch.seq > cursor);
        let now = engine.clock.now();
        Self {
            engine: Arc::clone(engine),
            project: project.clone(),
            now,
            views,
            grades,
            deleted,
            cursor,
            pin,
            hides: Default::default(),
        }
    }

    /// Returns whose view it is.
    pub fn project(&self) -> &ProjectId {
        &self.project
    }

    /// Returns the moment it was taken, by the store's clock.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Returns after how long without a row a trace is idle.
    pub fn idle_micros(&self) -> i64 {
        self.engine.config.trace_idle_ms * 1_000
    }

    /// Returns a sequence number at or above that of every trace row in the view.
    pub fn watermark(&self) -> i64 {
        let in_memory = self.views.values().map(|view| view.received.seq).max();
        in_memory.unwrap_or(0).max(self.cursor)
    }

    /// Returns the sequence number up to which everything is in Parquet.
    pub fn cursor(&self) -> i64 {
        self.cursor
    }

    /// Returns whether its files may be gone; take another snapshot then.
    pub fn is_expired(&self) -> bool {
        self.pin.is_expired()
    }

    /// Returns which rows of files must not be seen.
    pub fn hides(&self, table: Table) -> Arc<Hides> {
        Arc::clone(self.hides[table as usize].get_or_init(|| Arc::new(self.find_hides(table))))
    }

    /// Returns the files that hold rows of the project.
    pub fn files(&self, table: Table) -> Vec<ScanFile> {
        let scan = |file: &Arc<FileEntry>| {
            let part = file.project(&self.project)?;
            Some(ScanFile {
                id: file.id,
                path: self.engine.config.data_dir.join(&file.path),
                bytes: file.bytes,
                rows: part.rows,
                row_groups: part.row_groups.clone(),
                min_time: part.min_time,
                max_time: part.max_time,
                trace_set: self.engine.files.trace_set(file.id),
            })
        };
        self.pin
            .catalog()
            .files(table)
            .iter()
            .filter_map(scan)
            .collect()
    }

    /// Returns the files of a table, of whatever project.
    pub(crate) fn entries(&self, table: Table) -> &[Arc<FileEntry>] {
        self.pin.catalog().files(table)
    }

    /// Opens one of its files.
    pub(crate) fn open(&self, file: &FileEntry) -> Result<Arc<lake::LakeFile>, ReadError> {
        self.engine.files.open(file)
    }

    /// Returns whether a file may hold rows of a trace of the project.
    pub(crate) fn may_hold(&self, file: &FileEntry, trace_id: &TraceId) -> bool {
        let key = TraceKey {
            project: self.project.clone(),
            trace_id: trace_id.clone(),
        };
        self.engine.files.may_hold(file, &key)
    }

    /// Returns what is in memory of a trace and in no file.
    pub(crate) fn view_of(&self, trace_id: &TraceId) -> Option<&Arc<TraceView>> {
        self.views.get(trace_id)
    }

    /// Calls `with` for every visible row of a table, in no order.
    pub(crate) fn each_row<R: LakeRow>(
        &self,
        columns: &Columns,
        mut with: impl FnMut(R),
    ) -> Result<(), ReadError> {
        let hides = self.hides(R::TABLE);
        for file in self.pin.catalog().files(R::TABLE) {
            let damaged = |error| ReadError::damaged(file, error);
            let open = self.engine.files.open(file)?;
            for batch in open.scan_project(&self.project, columns).map_err(damaged)? {
                let batch = batch.map_err(damaged)?;
                let keys = RowKeys::of(R::TABLE, &batch)?;
                let rows = keys.iter().zip(decode::<R>(&batch)?);
                rows.filter(|(key, _)| !hides.hides(key.trace_id, key.part_id, key.seq))
                    .for_each(|(_, row)| with(row));
            }
        }
        let memory = self.memory(R::TABLE, columns.indices())?;
        decode(&memory)?.into_iter().for_each(with);
        Ok(())
    }

    /// Returns the rows that are in memory only, in the order of the table.
    pub fn memory(&self, table: Table, projection: &[usize]) -> Result<RecordBatch, ReadError> {
        let columns = Columns::at(table, projection)?;
        match table {
            Table::Spans => sorted_batch::<SpanRow, _>(self.memory_spans(), &columns),
            Table::Messages => sorted_batch::<MessageRow, _>(self.memory_messages(), &columns),
            Table::Grades => sorted_batch::<GradeRow, _>(self.memory_grades(), &columns),
            Table::Traces => {
                let rows = self
                    .views
                    .values()
                    .map(|view| trace_entry(&self.project, view));
                sorted_batch::<TraceEntry, _>(rows.collect(), &columns)
            }
        }
    }

    fn memory_spans(&self) -> Vec<SpanRow> {
        let rows = |view: &Arc<TraceView>| span_rows(&self.project, view, self.cursor);
        self.views.values().flat_map(rows).collect()
    }

    fn memory_messages(&self) -> Vec<MessageRow> {
        let rows = |view: &Arc<TraceView>| message_rows(&self.project, view, self.cursor);
        self.views.values().flat_map(rows).collect()
    }

    /// Returns the row of a trace.
    pub fn trace(&self, trace_id: &TraceId) -> Result<Option<TraceEntry>, ReadError> {
        if let Some(view) = self.views.get(trace_id) {
            return Ok(Some(trace_entry(&self.project, view)));
        }
        let rows: Vec<TraceEntry> = self.stored(trace_id, None, &Columns::all(Table::Traces))?;
        let hides = self.hides(Table::Traces);
        let visible = rows
            .into_iter()
            .filter(|entry| !hides.hides(trace_id.as_str(), None, entry.row.seq));
        Ok(visible.max_by_key(|entry| entry.row.seq))
    }

    /// Returns the spans of a trace in start order, with the chosen columns filled in.
    pub fn spans(&self, trace: &TraceEntry, columns: &Columns) -> Result<Vec<SpanRow>, ReadError> {
        let home = Some(trace.home_started_at);
        self.spans_of(&trace.row.item.trace_id, home, columns)
    }

    /// Returns the spans of a trace, found by its frozen start where that is known.
    pub(crate) fn spans_of(
        &self,
        trace_id: &TraceId,
        home: Option<Time>,
        columns: &Columns,
    ) -> Result<Vec<SpanRow>, ReadError> {
        let hides = self.hides(Table::Spans);
        let mut rows: Vec<SpanRow> = self.stored(trace_id, home, columns)?;
        rows.retain(|row| {
            !hides.hides(trace_id.as_str(), Some(row.span.span_id.as_str()), row.seq)
        });
        if let Some(view) = self.views.get(trace_id) {
            rows.extend(span_rows(&self.project, view, self.cursor));
        }
        rows.sort_by(start_order);
        debug_assert!(all_distinct(&rows), "D2: a span has one visible row");
        Ok(rows)
    }

    /// Returns the messages of a trace by their hashes.
    pub fn messages(&self, trace_id: &TraceId) -> Result<HashMap<MessageHash, Message>, ReadError> {
        let hides = self.hides(Table::Messages);
        let stored: Vec<MessageRow> =
            self.stored(trace_id, None, &Columns::all(Table::Messages))?;
        let visible = stored
            .into_iter()
            .filter(|row| !hides.hides(trace_id.as_str(), None, row.seq));
        let live = self
            .views
            .get(trace_id)
            .map(|view| message_rows(&self.project, view, self.cursor));
        let all = visible.chain(live.into_iter().flatten());
        Ok(all.map(|row| (row.message.hash, row.message)).collect())
    }

    /// Returns the grades that are in memory only, of each key the newest.
    pub(crate) fn memory_grades(&self) -> Vec<&GradeRow> {
        newest(self.grades.iter(), |_| true)
    }

    /// Returns those of the grades that are in memory only that are taken, of each key the newest. Batches that
    /// cannot hold one are passed over, which is most of them where a trace is looked up.
    pub(crate) fn memory_grades_where(
        &self,
        may_be_in: impl Fn(&GradeBatch) -> bool,
        takes: impl Fn(&GradeRow) -> bool,
    ) -> Vec<&GradeRow> {
        newest(self.grades.iter().filter(|batch| may_be_in(batch)), takes)
    }

    /// Calls `each` with the visible grades of files, of these traces if any are named, where these columns
    /// may hold these texts, until it breaks. Traces are looked up as those of spans are.
    pub(crate) fn stored_grades(
        &self,
        traces: Option<&BTreeSet<TraceId>>,
        holding: &[(&'static str, &str)],
        columns: &Columns,
        each: &mut dyn FnMut(GradeRow) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let hides = self.hides(Table::Grades);
        let mut visible = |row: GradeRow| match hides.hides(
            row.trace_id.as_str(),
            Some(row.id.as_str()),
            row.seq,
        ) {
            true => ControlFlow::Continue(()),
            false => each(row),
        };
        let files = self.pin.catalog().files(Table::Grades).iter();
        for file in files.filter(|file| file.project(&self.project).is_some()) {
            let damaged = |error| ReadError::damaged(file, error);
            let of_these = traces.map(|ids| self.held_by(file, ids));
            if of_these.as_ref().is_some_and(Vec::is_empty) {
                continue;
            }
            let open = self.engine.files.open(file)?;
            let taken = match of_these {
                Some(ids) => open.read_traces(&self.project, &ids, holding, columns, &mut visible),
                None => open.read_holding(&self.project, holding, columns, &mut visible),
            };
            if taken.map_err(damaged)?.is_break() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Returns those of these traces that a file of this project may hold, by the file's filter.
    fn held_by<'a>(&self, file: &FileEntry, ids: &'a BTreeSet<TraceId>) -> Vec<Wanted<'a>> {
        let set = self.engine.files.trace_set(file.id);
        let may_hold = |id: &&TraceId| {
            let hash = || TraceHash::of(&self.project, id);
            set.as_ref().is_none_or(|set| set.maybe_contains(hash()))
        };
        let held = ids.iter().filter(may_hold);
        held.map(|trace_id| Wanted {
            trace_id,
            home: None,
        })
        .collect()
    }

    fn find_hides(&self, table: Table) -> Hides {
        let committed = self.pin.catalog().hides().of(table, &self.project).cloned();
        let mut hides = Hides {
            table,
            committed,
            traces: HashMap::new(),
            spans: HashMap::new(),
        };
        for (trace_id, upto) in &self.deleted {
            hides.hide_trace(trace_id, *upto);
        }
        match table {
            Table::Traces => self.views.values().for_each(|view| {
                // A flush may have committed a row of it since memory was read.
                if view.flushed_row_seq.is_some() || view.received.first_seq <= self.cursor {
                    hides.hide_trace(&view.item.trace_id, self.cursor);
                }
            }),
            Table::Spans => self.views.values().for_each(|view| {
                for live in &view.spans {
                    if let Some(upto) = live.replaces_below(self.cursor) {
                        hides.hide_span(&view.item.trace_id, &live.span.span_id, upto);
                    }
                }
            }),
            Table::Grades => {
                let items = GradedItems::of(&self.engine, self.pin.catalog(), &self.project);
                for row in items.may_hold(self.memory_grades()) {
                    hides.hide_span(&row.trace_id, &row.id, self.cursor);
                }
            }
            Table::Messages => {}
        }
        hides
    }

    /// Returns what the files hold of a trace, hidden rows included.
    fn stored<R: LakeRow>(
        &self,
        trace_id: &TraceId,
        home: Option<Time>,
        columns: &Columns,
    ) -> Result<Vec<R>, ReadError> {
        let key = TraceKey {
            project: self.project.clone(),
            trace_id: trace_id.clone(),
        };
        self.engine
            .files
            .read_trace(self.pin.catalog(), &key, home, columns)
    }
}

/// Returns the order of two spans of a trace by start.
pub(crate) fn start_order(a: &SpanRow, b: &SpanRow) -> std::cmp::Ordering {
    let key = |row: &SpanRow| (row.span.started_at.is_none(), row.span.started_at, row.seq);
    key(a)
        .cmp(&key(b))
        .then_with(|| a.span.span_id.cmp(&b.span.span_id))
}

/// Returns the row of a trace in memory.
pub(crate) fn trace_entry(project: &ProjectId, view: &TraceView) -> TraceEntry {
    TraceEntry {
        project: project.clone(),
        row: view.row(),
        home_started_at: view.home.started_at,
    }
}

/// Returns the rows above `cursor` of a trace in memory. Each has its agent, where some span of the
/// trace tells it.
pub(crate) fn span_rows(project: &ProjectId, view: &TraceView, cursor: i64) -> Vec<SpanRow> {
    let row = |(live, agent): (&Arc<crate::live::LiveSpan>, &Option<Arc<str>>)| {
        let mut span = Arc::clone(&live.span);
        if span.agent.is_none() && agent.is_some() {
            Arc::make_mut(&mut span).agent = agent.as_deref().map(str::to_owned);
        }
        SpanRow {
            project: project.clone(),
            span,
            trace_started_at: view.home.started_at,
            received_at: live.received_at,
            seq: live.seq,
        }
    };
    view.spans
        .iter()
        .zip(view.agents())
        .filter(|(live, _)| live.seq > cursor)
        .map(row)
        .collect()
}

/// Returns the messages above `cursor` of a trace in memory.
pub(crate) fn message_rows(project: &ProjectId, view: &TraceView, cursor: i64) -> Vec<MessageRow> {
    let above = view.messages.iter().filter(|live| live.seq > cursor);
    above
        .map(|live| MessageRow {
            project: project.clone(),
            message: live.message.clone(),
            ordinal: live.ordinal,
            trace_started_at: view.home.started_at,
            seq: live.seq,
        })
        .collect()
}

fn sorted_batch<R: LakeRow, B: Borrow<R>>(
    mut rows: Vec<B>,
    columns: &Columns,
) -> Result<RecordBatch, ReadError> {
    rows.sort_by(|a, b| a.borrow().file_order(b.borrow()));
    Ok(encode(&rows, columns)?)
}

fn all_distinct(rows: &[SpanRow]) -> bool {
    let ids: HashSet<_> = rows.iter().map(|row| &row.span.span_id).collect();
    ids.len() == rows.len()
}
