//! Traces as graders see them, one by one or many at once.

use std::sync::Arc;

use ingest::contents::told;
use insight::{SharedMessages, ToldSpan, ToldTrace, TraceView};
use model::{GroupId, JsonText, ProjectId, Span, Time, TraceId};
use store::{Columns, Ledger, Reservation, Share, Snapshot, Table, TraceSpans};

use super::loaded::{LoadError, Loaded, ROW_BYTES};
use crate::objects::Detail;
use crate::state::Shared;

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
/// far quicker; with it one is held at a time, for nobody knows how large they are. It blocks.
pub(crate) fn for_each_view(
    snapshot: &Snapshot,
    ledger: &Arc<Ledger>,
    traces: &[(TraceId, Time)],
    with_content: bool,
    mut each: impl FnMut(usize, TraceView),
) -> Result<(), LoadError> {
    if with_content {
        for (at, (id, _)) in traces.iter().enumerate() {
            if let Some(loaded) = Loaded::read(snapshot, ledger, id, Some(Detail::Full))? {
                each(at, loaded.view());
            }
        }
        return Ok(());
    }
    let mut found = snapshot.spans_of_many(traces, &Columns::narrow(Table::Spans))?;
    let spans: usize = found.values().map(|of| of.spans.len()).sum();
    // What comes at once is bounded by whoever asks; it is held as soon as it is known.
    let _room = ledger.reserve(Share::Queries, spans * ROW_BYTES)?;
    for (at, (id, _)) in traces.iter().enumerate() {
        if let Some(TraceSpans { entry, spans }) = found.remove(id) {
            each(at, Loaded::of_rows(snapshot, entry, spans).view());
        }
    }
    Ok(())
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
