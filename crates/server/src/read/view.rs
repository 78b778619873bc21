//! Traces as graders see them, one by one or many at once.

use std::collections::HashMap;
use std::sync::Arc;

use ingest::contents::told;
use insight::{SharedMessages, ToldSpan, ToldTrace, TraceView};
use model::{GroupId, JsonText, ProjectId, Span, Time, TraceId};
use store::{Columns, Ledger, Reservation, Share, Snapshot, Table, TraceSpans};

use super::loaded::{LoadError, Loaded, ROW_BYTES};
use crate::objects::Detail;
use crate::state::Shared;

/// So much is read of traces at once with all that was said in them.
const TOGETHER_BYTES: usize = 48 << 20;

/// A trace as graders see it, and the memory that is held for it.
#[derive(Debug)]
pub(crate) struct Viewed {
    /// The trace.
    pub(crate) view: TraceView,
    _room: Reservation,
}

impl Viewed {
    /// Returns its group.
    pub(crate) fn group_id(&self) -> Option<&GroupId> {
        self.view.row.item.group_id.as_ref()
    }
}

/// Reads a trace with all that it says; `None`: there is none of that id. It blocks.
pub(crate) fn view_of(
    state: &Shared,
    project: &ProjectId,
    id: &TraceId,
) -> Result<Option<Viewed>, LoadError> {
    let ledger = state.store.ledger();
    let read = |snapshot: &Snapshot| {
        let loaded = Loaded::read(snapshot, ledger, id, Some(Detail::Full))?;
        let Some(loaded) = loaded else {
            return Ok(None);
        };
        Ok(Some(Viewed {
            view: loaded.view(),
            _room: loaded.into_room(ledger)?,
        }))
    };
    let snapshot = state.store.trace_snapshot(project, id);
    match read(&snapshot) {
        Err(_) if snapshot.is_expired() => read(&state.store.trace_snapshot(project, id)),
        other => other,
    }
}

/// Calls `each` with traces that lie near each other, each given with its frozen start; those that are
/// not there any more are passed over. Without `with_content` what was said in them is left out, which is
/// quicker. It blocks.
pub(crate) fn for_each_view(
    snapshot: &Snapshot,
    ledger: &Arc<Ledger>,
    traces: &[(TraceId, Time)],
    with_content: bool,
    mut each: impl FnMut(usize, TraceView),
) -> Result<(), LoadError> {
    if with_content {
        return for_each_told(snapshot, ledger, traces, &mut each);
    }
    let found = snapshot.spans_of_many(traces, &Columns::narrow(Table::Spans))?;
    let spans: usize = found.values().map(|of| of.spans.len()).sum();
    // What comes at once is bounded by whoever asks; it is held as soon as it is known.
    let _room = ledger.reserve(Share::Queries, spans * ROW_BYTES)?;
    show(snapshot, traces, found, Detail::None, &mut each);
    Ok(())
}

/// As [`for_each_view`], with all that was said. Nobody knows how large that is, so traces are read
/// together only as far as they fit; one that does not fit by itself gets the room that it needs.
fn for_each_told(
    snapshot: &Snapshot,
    ledger: &Arc<Ledger>,
    traces: &[(TraceId, Time)],
    each: &mut dyn FnMut(usize, TraceView),
) -> Result<(), LoadError> {
    let (mut at, mut together) = (0, traces.len());
    while at < traces.len() {
        let some = &traces[at..traces.len().min(at + together)];
        let room = ledger.reserve(Share::Queries, TOGETHER_BYTES)?;
        match snapshot.texts_of_many(some, TOGETHER_BYTES)? {
            Some(found) => {
                show(snapshot, some, found, Detail::Full, &mut |nth, view| {
                    each(at + nth, view);
                });
                at += some.len();
                together = (together * 2).min(traces.len());
            }
            None if some.len() > 1 => together = some.len() / 2,
            None => {
                drop(room);
                let loaded = Loaded::read(snapshot, ledger, &some[0].0, Some(Detail::Full))?;
                if let Some(loaded) = loaded {
                    each(at, loaded.view());
                }
                at += 1;
            }
        }
    }
    Ok(())
}

/// Calls `each` with what was found of these traces.
fn show(
    snapshot: &Snapshot,
    traces: &[(TraceId, Time)],
    mut found: HashMap<TraceId, TraceSpans>,
    detail: Detail,
    each: &mut dyn FnMut(usize, TraceView),
) {
    for (at, (id, _)) in traces.iter().enumerate() {
        if let Some(trace) = found.remove(id) {
            each(at, Loaded::of_rows(snapshot, trace, detail).view());
        }
    }
}

impl Loaded {
    /// Returns the view of the trace, which was read with all its payload. Content that cannot be
    /// restored is left out: its span says that it was damaged where it is shown.
    pub(super) fn view(&self) -> TraceView {
        let mut shared = SharedMessages::default();
        let spans = (0..self.rows.len()).map(|at| {
            let row = &*self.rows[at].span;
            let content = told(row, &self.doubles_of(at), &self.messages).unwrap_or_default();
            let found = joined(&content.contents.documents);
            ToldSpan {
                input: shared.share(content.contents.input),
                output: shared.share(content.contents.output),
                arguments: content.contents.arguments,
                result: content.contents.result.or(found),
                tools: content.tools.into(),
                ..ToldSpan::silent(Span::clone(row))
            }
        });
        TraceView::of(ToldTrace {
            spans: spans.collect(),
            row: model::TraceRow::clone(&self.entry.row),
            status: self.status(),
            horizon: self.horizon(),
            reference: None,
        })
    }
}

/// Returns the documents that a search found as one list.
fn joined(documents: &[JsonText]) -> Option<JsonText> {
    let all: Vec<&str> = documents.iter().map(JsonText::as_str).collect();
    (!all.is_empty()).then(|| JsonText::from_trusted(format!("[{}]", all.join(","))))
}
