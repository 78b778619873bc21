//! Many traces at once, for whoever reads nearly all of them.
//!
//! Looking a trace up costs some reads of its own; a million of them would take hours. What is wanted in
//! the order in which it lies is read as it lies: of each file the pages that hold some of it, once.

use std::collections::HashMap;
use std::ops::ControlFlow;

use model::{Message, MessageHash, SpanId, Time, TraceId};

use crate::catalog::FileEntry;
use crate::lake::{
    Columns, LakeRow, MessageRow, RowKeys, SpanRow, Table, TraceEntry, Wanted, decode,
};
use crate::snapshot::{ReadError, Snapshot, message_rows, span_rows, start_order, trace_entry};

/// What a span without its payload weighs, about.
const SPAN_BYTES: usize = 1 << 10;

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
    /// What was said in it, if that was asked for.
    pub messages: HashMap<MessageHash, Message>,
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
        let mut found = self.rows_of_many(traces)?;
        let taken = self.add_spans(traces, columns, &mut found, &mut Room::without_end())?;
        debug_assert!(taken.is_continue(), "there was no end");
        Ok(found)
    }

    /// Returns these traces with all that was said in them, as [`Snapshot::spans_of_many`] does;
    /// `None`: they weigh more than `bytes_max`.
    pub fn texts_of_many(
        &self,
        traces: &[(TraceId, Time)],
        bytes_max: usize,
    ) -> Result<Option<HashMap<TraceId, TraceSpans>>, ReadError> {
        let mut found = self.rows_of_many(traces)?;
        let mut room = Room { left: bytes_max };
        let columns = Columns::all(Table::Spans);
        let fits = self
            .add_spans(traces, &columns, &mut found, &mut room)?
            .is_continue()
            && self
                .add_messages(traces, &mut found, &mut room)?
                .is_continue();
        Ok(fits.then_some(found))
    }

    /// Returns the rows of these traces, of each the newest, with no span yet.
    fn rows_of_many(
        &self,
        traces: &[(TraceId, Time)],
    ) -> Result<HashMap<TraceId, TraceSpans>, ReadError> {
        let mut found: HashMap<TraceId, TraceSpans> = HashMap::with_capacity(traces.len());
        let mut enter = |entry: TraceEntry| {
            let id = entry.row.item.trace_id.clone();
            let known = found.entry(id).or_insert_with(|| TraceSpans {
                entry: entry.clone(),
                spans: Vec::new(),
                messages: HashMap::new(),
            });
            if known.entry.row.seq < entry.row.seq {
                known.entry = entry;
            }
            ControlFlow::Continue(())
        };
        let _all = self.many(
            traces,
            &Columns::all(Table::Traces),
            key_of_trace,
            &mut enter,
        )?;
        for view in traces.iter().filter_map(|(id, _)| self.view_of(id)) {
            let _all = enter(trace_entry(self.project(), view));
        }
        Ok(found)
    }

    fn add_spans(
        &self,
        traces: &[(TraceId, Time)],
        columns: &Columns,
        found: &mut HashMap<TraceId, TraceSpans>,
        room: &mut Room,
    ) -> Result<ControlFlow<()>, ReadError> {
        let mut enter = |row: SpanRow| {
            room.take(SPAN_BYTES + row.payload_bytes())?;
            if let Some(of) = found.get_mut(&row.span.trace_id) {
                of.spans.push(row);
            }
            ControlFlow::Continue(())
        };
        let mut taken = self.many(traces, columns, key_of_span, &mut enter)?;
        for view in traces.iter().filter_map(|(id, _)| self.view_of(id)) {
            let rows = span_rows(self.project(), view, self.cursor());
            taken = match taken {
                ControlFlow::Continue(()) => rows.into_iter().try_for_each(&mut enter),
                ended @ ControlFlow::Break(()) => ended,
            };
        }
        for of in found.values_mut() {
            of.spans.sort_by(start_order);
        }
        Ok(taken)
    }

    fn add_messages(
        &self,
        traces: &[(TraceId, Time)],
        found: &mut HashMap<TraceId, TraceSpans>,
        room: &mut Room,
    ) -> Result<ControlFlow<()>, ReadError> {
        let mut enter = |row: MessageRow| {
            room.take(row.payload_bytes())?;
            if let Some(of) = found.get_mut(&row.message.trace_id) {
                of.messages.insert(row.message.hash, row.message);
            }
            ControlFlow::Continue(())
        };
        let columns = Columns::all(Table::Messages);
        let mut taken = self.many(traces, &columns, key_of_message, &mut enter)?;
        for view in traces.iter().filter_map(|(id, _)| self.view_of(id)) {
            let rows = message_rows(self.project(), view, self.cursor());
            taken = match taken {
                ControlFlow::Continue(()) => rows.into_iter().try_for_each(&mut enter),
                ended @ ControlFlow::Break(()) => ended,
            };
        }
        Ok(taken)
    }

    /// Calls `each` with the visible rows that files hold of these traces, until it breaks.
    fn many<R: LakeRow>(
        &self,
        traces: &[(TraceId, Time)],
        columns: &Columns,
        key_of: fn(&R) -> Key<'_>,
        each: &mut dyn FnMut(R) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, ReadError> {
        let hides = self.hides(R::TABLE);
        let mut visible = |row: R| {
            let key = key_of(&row);
            let span_id = key.span_id.map(SpanId::as_str);
            match hides.hides(key.trace_id.as_str(), span_id, key.seq) {
                true => ControlFlow::Continue(()),
                false => each(row),
            }
        };
        for file in self.entries(R::TABLE) {
            let wanted: Vec<Wanted<'_>> = (traces.iter())
                .filter(|(id, _)| self.may_hold(file, id))
                .map(|(trace_id, home)| Wanted {
                    trace_id,
                    home: Some(*home),
                })
                .collect();
            if wanted.is_empty() {
                continue;
            }
            let open = self.open(file)?;
            let taken = open.read_traces(self.project(), &wanted, &[], columns, &mut visible);
            if taken
                .map_err(|error| ReadError::damaged(file, error))?
                .is_break()
            {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// How much more may be read.
struct Room {
    left: usize,
}

impl Room {
    fn without_end() -> Self {
        Self { left: usize::MAX }
    }

    fn take(&mut self, bytes: usize) -> ControlFlow<()> {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                ControlFlow::Continue(())
            }
            None => ControlFlow::Break(()),
        }
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

fn key_of_message(row: &MessageRow) -> Key<'_> {
    Key {
        trace_id: &row.message.trace_id,
        span_id: None,
        seq: row.seq,
    }
}
