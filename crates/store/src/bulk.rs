//! Many traces at once, for whoever reads nearly all of them.
//!
//! Looking a trace up costs some reads of its own; a million of them would take an hour. What is wanted in
//! the order in which it lies is read as it lies: of each file the pages of a span of time, once.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use model::{SpanId, Time, TraceId};

use crate::catalog::FileEntry;
use crate::lake::{Columns, LakeRow, RowKeys, SpanRow, Table, TraceEntry, decode};
use crate::snapshot::{ReadError, Snapshot, span_rows, start_order, trace_entry};

/// With fewer traces of a file than this they are looked up one by one.
const LOOKUPS_MAX: usize = 8;

/// Which rows of traces are gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TraceBounds {
    /// Those that began then or later.
    pub started_from: Option<Time>,
    /// Those that began before.
    pub started_until: Option<Time>,
    /// Those to which something came behind this sequence number.
    pub above_seq: Option<i64>,
}

impl TraceBounds {
    /// Returns whether a file may hold such rows.
    fn may_lie_in(&self, file: &FileEntry, min: Option<Time>, max: Option<Time>) -> bool {
        let is_early = self.started_from.is_some_and(|from| max < Some(from));
        let is_late = (self.started_until).is_some_and(|until| min.is_none_or(|min| min >= until));
        let is_old = self.above_seq.is_some_and(|seq| file.hi_seq <= seq);
        !(is_early || is_late || is_old)
    }

    fn holds(&self, entry: &TraceEntry) -> bool {
        let started = entry.row.started_at;
        self.started_from.is_none_or(|from| started >= Some(from))
            && (self.started_until).is_none_or(|until| started.is_some_and(|at| at < until))
            && self.above_seq.is_none_or(|seq| entry.row.seq > seq)
    }
}

/// A trace and its spans.
#[derive(Debug, Clone)]
pub struct TraceSpans {
    /// Its row.
    pub entry: TraceEntry,
    /// Its spans in start order.
    pub spans: Vec<SpanRow>,
}

impl Snapshot {
    /// Calls `each` with the row of every trace of the project within `bounds`, in no promised order, until
    /// it breaks. Columns that are not asked for are not filled in. It blocks.
    pub fn for_each_trace(
        &self,
        bounds: TraceBounds,
        columns: &Columns,
        each: &mut dyn FnMut(TraceEntry) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let columns = &columns.with_keys();
        let hides = self.hides(Table::Traces);
        for file in self.entries(Table::Traces) {
            let Some(part) = file.project(self.project()) else {
                continue;
            };
            if !bounds.may_lie_in(file, part.min_time, part.max_time) {
                continue;
            }
            let damaged = |error| ReadError::damaged(file, error);
            let open = self.open(file)?;
            for batch in open
                .scan_project(self.project(), columns)
                .map_err(damaged)?
            {
                let batch = batch.map_err(damaged)?;
                let keys = RowKeys::of(Table::Traces, &batch)?;
                for (key, entry) in keys.iter().zip(decode::<TraceEntry>(&batch)?) {
                    let is_hidden = hides.hides(key.trace_id, None, key.seq);
                    if !is_hidden && bounds.holds(&entry) && each(entry).is_break() {
                        return Ok(());
                    }
                }
            }
        }
        let memory = decode::<TraceEntry>(&self.memory(Table::Traces, columns.indices())?)?;
        for entry in memory.into_iter().filter(|entry| bounds.holds(entry)) {
            if each(entry).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Returns these traces of the project with their spans, by id; those that are not there are missing.
    /// Each is given with its frozen start. It blocks, and is quick where they lie near each other.
    pub fn spans_of_many(
        &self,
        traces: &[(TraceId, Time)],
        columns: &Columns,
    ) -> Result<HashMap<TraceId, TraceSpans>, ReadError> {
        self.spans_with_lookups(traces, columns, LOOKUPS_MAX)
    }

    /// As [`Snapshot::spans_of_many`], with another bound for looking traces up one by one.
    pub(crate) fn spans_with_lookups(
        &self,
        traces: &[(TraceId, Time)],
        columns: &Columns,
        lookups_max: usize,
    ) -> Result<HashMap<TraceId, TraceSpans>, ReadError> {
        let mut found: HashMap<TraceId, TraceSpans> = HashMap::with_capacity(traces.len());
        let mut enter = |entry: TraceEntry| {
            let spans = Vec::new();
            let id = entry.row.item.trace_id.clone();
            let known = found.entry(id).or_insert_with(|| TraceSpans {
                entry: entry.clone(),
                spans,
            });
            if known.entry.row.seq < entry.row.seq {
                known.entry = entry;
            }
        };
        let columns_of_traces = Columns::all(Table::Traces);
        let rows = self.many(traces, &columns_of_traces, lookups_max, key_of_trace)?;
        rows.into_iter().for_each(&mut enter);
        let views = || traces.iter().filter_map(|(id, _)| self.view_of(id));
        views().for_each(|view| enter(trace_entry(self.project(), view)));
        let mut rows = self.many(traces, columns, lookups_max, key_of_span)?;
        rows.extend(views().flat_map(|view| span_rows(self.project(), view, self.cursor())));
        for row in rows {
            if let Some(of) = found.get_mut(&row.span.trace_id) {
                of.spans.push(row);
            }
        }
        found
            .values_mut()
            .for_each(|of| of.spans.sort_by(start_order));
        Ok(found)
    }

    /// Returns the visible rows that files hold of these traces.
    fn many<R: LakeRow>(
        &self,
        traces: &[(TraceId, Time)],
        columns: &Columns,
        lookups_max: usize,
        key_of: fn(&R) -> Key<'_>,
    ) -> Result<Vec<R>, ReadError> {
        let columns = columns.with_keys();
        let hides = self.hides(R::TABLE);
        let mut rows: Vec<R> = Vec::new();
        for file in self.entries(R::TABLE) {
            let may_be = traces.iter().filter(|(id, _)| self.may_hold(file, id));
            let of_file: Vec<&(TraceId, Time)> = may_be.collect();
            if of_file.len() > lookups_max {
                self.read_across(file, &of_file, &columns, &mut rows)?;
                continue;
            }
            for (id, home) in of_file {
                let found = self
                    .open(file)?
                    .read_trace(self.project(), id, Some(*home), &columns);
                rows.extend(found.map_err(|error| ReadError::damaged(file, error))?);
            }
        }
        rows.retain(|row| {
            let key = key_of(row);
            let span_id = key.span_id.map(SpanId::as_str);
            !hides.hides(key.trace_id.as_str(), span_id, key.seq)
        });
        Ok(rows)
    }

    /// Reads a file across all of these traces.
    fn read_across<R: LakeRow>(
        &self,
        file: &FileEntry,
        traces: &[&(TraceId, Time)],
        columns: &Columns,
        rows: &mut Vec<R>,
    ) -> Result<(), ReadError> {
        let homes = || traces.iter().map(|(_, home)| *home);
        let (Some(first), Some(last)) = (homes().min(), homes().max()) else {
            return Ok(());
        };
        let wanted: HashSet<&str> = traces.iter().map(|(id, _)| id.as_str()).collect();
        let damaged = |error| ReadError::damaged(file, error);
        let open = self.open(file)?;
        let batches = open.scan_homes(self.project(), columns, first, last);
        for batch in batches.map_err(damaged)? {
            let batch = batch.map_err(damaged)?;
            let keys = RowKeys::of(R::TABLE, &batch)?;
            let is_wanted: Vec<bool> = (keys.iter())
                .map(|key| wanted.contains(key.trace_id))
                .collect();
            if is_wanted.contains(&true) {
                let decoded = decode::<R>(&batch)?.into_iter().zip(is_wanted);
                rows.extend(decoded.filter(|(_, wanted)| *wanted).map(|(row, _)| row));
            }
        }
        Ok(())
    }
}

/// Who a row is.
struct Key<'a> {
    trace_id: &'a TraceId,
    span_id: Option<&'a SpanId>,
    seq: i64,
}

fn key_of_trace(entry: &TraceEntry) -> Key<'_> {
    Key {
        trace_id: &entry.row.item.trace_id,
        span_id: None,
        seq: entry.row.seq,
    }
}

fn key_of_span(row: &SpanRow) -> Key<'_> {
    Key {
        trace_id: &row.span.trace_id,
        span_id: Some(&row.span.span_id),
        seq: row.seq,
    }
}
