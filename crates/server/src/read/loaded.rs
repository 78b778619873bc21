//! One trace with all its spans, as one snapshot holds it.

use std::collections::HashMap;
use std::sync::Arc;

use model::{ProjectId, Time, TraceId, depths, resolve_agents};
use store::{Columns, ReadError, Snapshot, SpanRow, Table, TraceEntry};

use crate::error::ApiError;
use crate::objects::{
    Detail, Messages, Place, Shown, SpanObject, TraceObject, expanded_bytes, horizon,
};
use crate::state::AppState;

use super::pieces::blocking;

/// A trace whose payload has more bytes is told with previews unless all of it is asked for.
const FULL_BYTES_MAX: usize = 5_000_000;

/// A trace and its spans in start order.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) entry: TraceEntry,
    pub(super) rows: Vec<SpanRow>,
    pub(super) detail: Detail,
    pub(super) messages: Messages,
    /// How many ancestors each span has.
    pub(super) depths: Vec<u32>,
    /// The agent at work in each span.
    pub(super) agents: Vec<Option<Arc<str>>>,
    moment: Moment,
}

/// The moment that statuses are told for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) now: Time,
    /// After so long without a row a trace is idle.
    pub(super) idle_micros: i64,
}

impl Loaded {
    /// Reads a trace; `None`: there is none of that id. Without `detail`, the whole payload is told
    /// unless it is large.
    pub(super) fn read(
        snapshot: &Snapshot,
        id: &TraceId,
        detail: Option<Detail>,
    ) -> Result<Option<Self>, ReadError> {
        match snapshot.trace(id)? {
            Some(entry) => Self::of_entry(snapshot, entry, detail).map(Some),
            None => Ok(None),
        }
    }

    /// Reads the spans of a trace.
    pub(super) fn of_entry(
        snapshot: &Snapshot,
        entry: TraceEntry,
        detail: Option<Detail>,
    ) -> Result<Self, ReadError> {
        let id = &entry.row.item.trace_id;
        let is_narrow = matches!(detail, Some(Detail::None | Detail::Preview));
        let (columns, messages) = match is_narrow {
            true => (Columns::narrow(Table::Spans), Messages::new()),
            false => (Columns::all(Table::Spans), snapshot.messages(id, None)?),
        };
        let rows = snapshot.spans(id, &columns)?;
        let detail = detail.unwrap_or_else(|| fitting(&rows, &messages));
        let moment = Moment {
            now: snapshot.now(),
            idle_micros: snapshot.idle_micros(),
        };
        Ok(Self::new(entry, rows, messages, detail, moment))
    }

    /// Reads these columns of a trace's spans, and no message.
    pub(super) fn read_columns(
        snapshot: &Snapshot,
        id: &TraceId,
        columns: &[&str],
    ) -> Result<Option<Self>, ReadError> {
        let Some(entry) = snapshot.trace(id)? else {
            return Ok(None);
        };
        let rows = snapshot.spans(id, &Columns::named(Table::Spans, columns)?)?;
        let moment = Moment {
            now: snapshot.now(),
            idle_micros: snapshot.idle_micros(),
        };
        Ok(Some(Self::new(
            entry,
            rows,
            Messages::new(),
            Detail::None,
            moment,
        )))
    }

    /// Puts together what was read.
    pub(super) fn new(
        entry: TraceEntry,
        rows: Vec<SpanRow>,
        messages: Messages,
        detail: Detail,
        moment: Moment,
    ) -> Self {
        let spans: Vec<&model::Span> = rows.iter().map(|row| &*row.span).collect();
        let (depths, agents) = (depths(&spans), shared(&resolve_agents(&spans)));
        Self {
            entry,
            rows,
            detail,
            messages,
            moment,
            depths,
            agents,
        }
    }

    /// Returns up to when open spans are reckoned.
    pub(super) fn horizon(&self) -> Time {
        horizon(&self.entry.row, self.moment.now, self.moment.idle_micros)
    }

    /// Returns the JSON of the trace, without its spans.
    pub(super) fn trace_json(&self, project: &ProjectId) -> Vec<u8> {
        json(&TraceObject::new(
            project,
            &self.entry.row,
            self.moment.now,
            self.moment.idle_micros,
        ))
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
        let shown = Shown::of(&row.span, self.detail, &self.messages);
        json(&SpanObject::new(row, place, &shown))
    }

    /// Returns the rows that are told: merged ones only if they are asked for.
    pub(super) fn told(&self, with_merged: bool) -> Vec<usize> {
        let is_told = |at: &usize| with_merged || self.rows[*at].span.merged_into.is_none();
        (0..self.rows.len()).filter(is_told).collect()
    }
}

/// Returns the JSON of one of our objects.
pub(super) fn json(object: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(object).expect("objects have text keys and nothing else that could fail")
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

/// Returns the names with equal ones shared: a trace has many spans and few agents.
fn shared(names: &[Option<&str>]) -> Vec<Option<Arc<str>>> {
    let mut known: HashMap<&str, Arc<str>> = HashMap::new();
    let mut shared = Vec::with_capacity(names.len());
    for &name in names {
        shared.push(
            name.map(|name| Arc::clone(known.entry(name).or_insert_with(|| Arc::from(name)))),
        );
    }
    shared
}

/// Reads something of one trace on the blocking pool, with a fresh snapshot if the first one lost
/// its files to a deletion. `None` becomes "there is no such trace".
pub(super) async fn of_trace<T: Send + 'static>(
    state: &AppState,
    project: &ProjectId,
    id: &TraceId,
    read: impl Fn(&Snapshot) -> Result<Option<T>, ReadError> + Send + 'static,
) -> Result<T, ApiError> {
    let (state, project, of) = (Arc::clone(state), project.clone(), id.clone());
    let work = move || {
        let snapshot = state.store.trace_snapshot(&project, &of);
        match read(&snapshot) {
            Err(_) if snapshot.is_expired() => read(&state.store.trace_snapshot(&project, &of)),
            other => other,
        }
    };
    blocking(work)
        .await??
        .ok_or_else(|| ApiError::not_found("trace", id.as_str()))
}
