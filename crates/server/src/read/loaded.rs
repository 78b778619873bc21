//! One trace with all its spans, as one snapshot holds it.

use std::collections::HashSet;
use std::sync::Arc;

use ingest::contents::{Doubles, fill_doubles};
use model::{Places, ProjectId, Span, Time, TraceId, TraceStatus, places, shared_names};
use store::{
    Columns, Ledger, ReadError, Reservation, Share, ShareFull, Snapshot, SpanRow, Table,
    TraceEntry, TraceSpans,
};

use crate::grading::Said;
use crate::objects::{
    Detail, Messages, Place, Shown, SpanObject, TraceObject, Turns, expanded_bytes, horizon,
    own_bytes,
};

use super::pieces::Piece;

/// A trace whose payload has more bytes is told with previews unless all of it is asked for.
const FULL_BYTES_MAX: usize = 5_000_000;

/// What a span without its payload weighs, about.
pub(super) const ROW_BYTES: usize = 1 << 10;

/// Why a trace could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// Its rows could not be read.
    #[error("failed to read a trace")]
    Read(#[from] ReadError),
    /// Other reads hold the memory that it needs.
    #[error("failed to make room for a trace")]
    Full(#[from] ShareFull),
}

/// A trace and its spans in start order.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) entry: TraceEntry,
    pub(super) rows: Vec<SpanRow>,
    /// The rows that are merged into each row.
    doubles: Doubles,
    pub(super) detail: Detail,
    pub(super) messages: Messages,
    /// The row of each span's parent.
    pub(super) parents: Vec<Option<u32>>,
    /// How many ancestors each span has.
    pub(super) depths: Vec<u32>,
    /// The agent at work in each span.
    pub(super) agents: Vec<Option<Arc<str>>>,
    moment: Moment,
    /// What graders and people said of it and its spans, where that is told.
    pub(super) said: Option<Said>,
    /// What it weighs, held until the last piece of the answer is sent.
    room: Option<Reservation>,
}

/// The moment that statuses are told for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) now: Time,
    /// After so long without a row a trace is idle.
    pub(super) idle_micros: i64,
}

impl Moment {
    fn of(snapshot: &Snapshot) -> Self {
        Self {
            now: snapshot.now(),
            idle_micros: snapshot.idle_micros(),
        }
    }
}

impl Loaded {
    /// Reads a trace; `None`: there is none of that id. Without `detail`, the whole payload is told
    /// unless it is large. What it weighs is held of `ledger`: before it is read as far as that can be
    /// guessed, then as it is.
    pub(super) fn read(
        snapshot: &Snapshot,
        ledger: &Arc<Ledger>,
        id: &TraceId,
        detail: Option<Detail>,
    ) -> Result<Option<Self>, LoadError> {
        let Some(entry) = snapshot.trace(id)? else {
            return Ok(None);
        };
        let guess = ledger.reserve(Share::Queries, guessed_bytes(&entry))?;
        let mut loaded = Self::of_entry(snapshot, entry, detail)?;
        drop(guess);
        loaded.room = Some(ledger.reserve(Share::Queries, loaded.bytes())?);
        Ok(Some(loaded))
    }

    /// Reads the spans of a trace.
    pub(super) fn of_entry(
        snapshot: &Snapshot,
        entry: TraceEntry,
        detail: Option<Detail>,
    ) -> Result<Self, ReadError> {
        let id = &entry.row.item.trace_id;
        let is_narrow = matches!(detail, Some(Detail::None | Detail::Preview));
        let (columns, mut messages) = match is_narrow {
            true => (Columns::narrow(Table::Spans), Messages::new()),
            false => (Columns::all(Table::Spans), snapshot.messages(id)?),
        };
        let mut rows = snapshot.spans(&entry, &columns)?;
        let doubles = filled(&mut rows, (!is_narrow).then_some(&mut messages));
        let detail = detail.unwrap_or_else(|| fitting(&rows, &messages));
        let moment = Moment::of(snapshot);
        Ok(Self::new(entry, rows, doubles, messages, detail, moment))
    }

    /// Puts together what was read along with other traces.
    pub(super) fn of_rows(snapshot: &Snapshot, read: TraceSpans, detail: Detail) -> Self {
        let TraceSpans {
            entry,
            mut spans,
            mut messages,
        } = read;
        let is_told = detail == Detail::Full;
        let doubles = filled(&mut spans, is_told.then_some(&mut messages));
        let moment = Moment::of(snapshot);
        Self::new(entry, spans, doubles, messages, detail, moment)
    }

    /// Returns the memory that is held for it, and lets go of the rest.
    pub(super) fn into_room(self, ledger: &Arc<Ledger>) -> Result<Reservation, ShareFull> {
        match self.room {
            Some(room) => Ok(room),
            None => ledger.reserve(Share::Queries, self.bytes()),
        }
    }

    /// Reads these columns of a trace's spans, and no message.
    pub(super) fn read_columns(
        snapshot: &Snapshot,
        ledger: &Arc<Ledger>,
        id: &TraceId,
        columns: &[&str],
    ) -> Result<Option<Self>, LoadError> {
        let Some(entry) = snapshot.trace(id)? else {
            return Ok(None);
        };
        let room = ledger.reserve(Share::Queries, guessed_bytes(&entry))?;
        let columns = Columns::named(Table::Spans, columns).map_err(ReadError::from)?;
        let mut rows = snapshot.spans(&entry, &columns)?;
        let doubles = filled(&mut rows, None);
        let moment = Moment::of(snapshot);
        let messages = Messages::new();
        let loaded = Self::new(entry, rows, doubles, messages, Detail::None, moment);
        Ok(Some(Self {
            room: Some(room),
            ..loaded
        }))
    }

    /// Puts together what was read.
    pub(super) fn new(
        entry: TraceEntry,
        rows: Vec<SpanRow>,
        doubles: Doubles,
        messages: Messages,
        detail: Detail,
        moment: Moment,
    ) -> Self {
        let spans: Vec<&Span> = rows.iter().map(|row| &*row.span).collect();
        let Places {
            parents,
            depths,
            agents,
        } = places(&spans);
        let agents = shared_names(&agents);
        Self {
            entry,
            rows,
            doubles,
            detail,
            messages,
            moment,
            parents,
            depths,
            agents,
            said: None,
            room: None,
        }
    }

    /// Returns what it weighs, about.
    fn bytes(&self) -> usize {
        let rows = self.rows.iter().map(|row| ROW_BYTES + own_bytes(&row.span));
        let texts = self.messages.values().map(|message| message.content.len());
        rows.chain(texts).sum()
    }

    /// Returns the spans that are merged into the one in row `at`.
    pub(super) fn doubles_of(&self, at: usize) -> Vec<&Span> {
        let from = self.doubles.get(&at).into_iter().flatten();
        from.map(|at| &*self.rows[*at].span).collect()
    }

    /// Returns the status of the trace at the moment of reading.
    pub(super) fn status(&self) -> TraceStatus {
        let Moment { now, idle_micros } = self.moment;
        self.entry.row.status_at(now, idle_micros)
    }

    /// Returns up to when open spans are reckoned.
    pub(super) fn horizon(&self) -> Time {
        horizon(&self.entry.row, self.moment.now, self.moment.idle_micros)
    }

    /// Returns the JSON of the trace, without its spans.
    fn trace_json(&self, project: &ProjectId) -> Vec<u8> {
        let Moment { now, idle_micros } = self.moment;
        let trace = TraceObject::new(project, &self.entry.row, now, idle_micros);
        match self.detail {
            Detail::Full => {
                let turns = Turns::of(&self.entry.row, &self.rows, &self.messages);
                json(&trace.with_turns(&turns))
            }
            Detail::None | Detail::Preview => json(&trace),
        }
    }

    /// Returns the JSON of the trace up to and including the bracket that its spans follow.
    pub(super) fn head(&self, project: &ProjectId) -> Vec<u8> {
        let mut head = self.trace_json(project);
        let brace = head.pop();
        debug_assert_eq!(brace, Some(b'}'));
        head.extend_from_slice(b",\"payload\":");
        head.append(&mut json(&self.detail));
        head.extend_from_slice(b",\"spans\":[");
        head
    }

    /// Returns the JSON of the span in row `at`.
    pub(super) fn span_json(&self, at: usize) -> Vec<u8> {
        let row = &self.rows[at];
        let place = Place {
            depth: self.depths[at],
            agent: self.agents[at].as_deref(),
            horizon: self.horizon(),
        };
        let shown = Shown::of(&row.span, &self.doubles_of(at), self.detail, &self.messages);
        let mut span = json(&SpanObject::new(row, place, &shown));
        if let Some(said) = &self.said {
            said.put_into_span(&row.span.span_id, &mut span);
        }
        span
    }

    /// Returns these spans as the elements of a JSON array, made one by one.
    pub(super) fn into_pieces(self, rows: Vec<usize>) -> impl Iterator<Item = Piece> + Send {
        rows.into_iter().enumerate().map(move |(n, at)| {
            let mut piece = if n > 0 { b",".to_vec() } else { Vec::new() };
            piece.append(&mut self.span_json(at));
            Ok(piece)
        })
    }

    /// Returns the rows that are told: those that are merged into another one only if they are asked
    /// for. Where that one never came, all there is stands in them.
    pub(super) fn told(&self, with_merged: bool) -> Vec<usize> {
        let merged: HashSet<usize> = self.doubles.values().flatten().copied().collect();
        let is_told = |at: &usize| with_merged || !merged.contains(at);
        (0..self.rows.len()).filter(is_told).collect()
    }
}

/// Returns the JSON of one of our objects.
pub(super) fn json(object: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(object).expect("objects have text keys and nothing else that could fail")
}

/// Fills the gaps of rows that others are merged into, and returns which those are.
fn filled(rows: &mut [SpanRow], messages: Option<&mut Messages>) -> Doubles {
    let mut spans: Vec<&mut Arc<Span>> = rows.iter_mut().map(|row| &mut row.span).collect();
    fill_doubles(&mut spans, messages)
}

/// Returns what a trace may weigh, as far as its own row tells.
fn guessed_bytes(entry: &TraceEntry) -> usize {
    usize::try_from(entry.row.span_count)
        .unwrap_or(0)
        .saturating_mul(ROW_BYTES)
}

fn fitting(rows: &[SpanRow], messages: &Messages) -> Detail {
    let mut bytes = 0;
    for row in rows {
        bytes += expanded_bytes(&row.span, messages);
        if bytes > FULL_BYTES_MAX {
            return Detail::Preview;
        }
    }
    Detail::Full
}
