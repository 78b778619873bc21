//! What if a row cannot be written to Parquet?
//!
//! No such row is known. If there is one, it must not stop the lane: its buffer would fail, be tried
//! again and fail again, until memory is full and everybody is refused. So the rows of a buffer that
//! failed are tried one by one; those at fault go to quarantine as a record of the log that holds them
//! alone, and the rest is written.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use model::{Batch, MessageHash, SpanId};

use crate::engine::{Engine, StoreError};
use crate::flush::Outgoing;
use crate::lake::{Columns, LakeRow, WriteError, encode};
use crate::live::{Buffer, GradeBatch, TraceKey, TraceView};
use crate::record::EncodedRecord;
use crate::snapshot::{message_rows, span_rows, trace_entry};

/// Returns whether an error of a flush may be the fault of one row.
pub(crate) fn may_be_a_row(error: &StoreError) -> bool {
    match error {
        StoreError::LakeWrite(error) => !matches!(error, WriteError::Parquet { .. }),
        // Arrow panics where it counts on its caller.
        StoreError::Worker(_) => true,
        _ => false,
    }
}

impl Engine {
    /// Takes the rows that cannot be encoded out of what a buffer would write, and returns how many there
    /// were.
    pub(crate) fn set_aside(
        &self,
        buffer: &Buffer,
        outgoing: &mut Outgoing,
    ) -> Result<usize, StoreError> {
        let spans = self.set_views_aside(buffer, &mut outgoing.views)?;
        Ok(spans + self.set_grades_aside(buffer, &mut outgoing.grades)?)
    }

    fn set_grades_aside(
        &self,
        buffer: &Buffer,
        grades: &mut [Arc<GradeBatch>],
    ) -> Result<usize, StoreError> {
        let mut count = 0;
        for batch in grades {
            let faults: Vec<_> = batch.rows.iter().filter(|row| !can_encode(*row)).collect();
            if faults.is_empty() {
                continue;
            }
            count += faults.len();
            let grades = faults.iter().map(|row| &*row.grade);
            let record = EncodedRecord::grades(&batch.project, batch.received_at, grades);
            let path = self.keep_record(buffer, record.fixed())?;
            tracing::error!(
                grades = faults.len(), path = %path.display(),
                "grades cannot be written to Parquet; they are kept aside"
            );
            *batch = Arc::new(batch.retaining(can_encode));
        }
        Ok(count)
    }

    fn set_views_aside(
        &self,
        buffer: &Buffer,
        views: &mut Vec<(TraceKey, TraceView)>,
    ) -> Result<usize, StoreError> {
        let below = buffer.lo - 1;
        let mut count = 0;
        let mut kept = Vec::with_capacity(views.len());
        for (key, view) in views.drain(..) {
            let faults = Faults::of(&key, &view, below);
            count += faults.count();
            if faults.count() > 0 {
                self.keep_aside(buffer, &key, &view, &faults)?;
            }
            if !faults.whole_trace {
                let view = match faults.count() {
                    0 => view,
                    _ => view.without(&faults.spans, &faults.messages, below),
                };
                kept.push((key, view));
            }
        }
        *views = kept;
        Ok(count)
    }

    fn keep_aside(
        &self,
        buffer: &Buffer,
        key: &TraceKey,
        view: &TraceView,
        faults: &Faults,
    ) -> Result<(), StoreError> {
        let (below, all) = (buffer.lo - 1, faults.whole_trace);
        let mut batch = Batch::default();
        if all {
            batch.traces.push(view.item.clone());
        }
        let is_new = |seq: &i64| *seq > below;
        for live in view.spans.iter().filter(|live| is_new(&live.seq)) {
            if all || faults.spans.contains(&live.span.span_id) {
                batch.spans.push((*live.span).clone());
            }
        }
        for live in view.messages.iter().filter(|live| is_new(&live.seq)) {
            if all || faults.messages.contains(&live.message.hash) {
                batch.messages.push(live.message.clone());
            }
        }
        let received_at = view.received.last_received_at;
        let record = EncodedRecord::batch(&key.project, view.item.source, received_at, &batch);
        let messages = (0..batch.messages.len()).map(|index| record.message(index));
        let parts: Vec<&[u8]> = std::iter::once(record.fixed()).chain(messages).collect();
        let path = self.keep_record(buffer, &parts.concat())?;
        tracing::error!(
            trace_id = %key.trace_id, spans = batch.spans.len(), messages = batch.messages.len(),
            path = %path.display(), "rows cannot be written to Parquet; they are kept aside"
        );
        Ok(())
    }

    fn keep_record(&self, buffer: &Buffer, bytes: &[u8]) -> Result<PathBuf, StoreError> {
        // A flush that is tried again finds its file there.
        let hash = blake3::hash(bytes).to_hex();
        let name = format!("rows-{:016x}-{}", buffer.hi, &hash[..16]);
        self.quarantine(&name, bytes)
    }
}

/// What of a trace cannot be encoded.
struct Faults {
    spans: HashSet<SpanId>,
    messages: HashSet<MessageHash>,
    /// The trace's own row cannot: nothing of the trace can stand without it.
    whole_trace: bool,
}

impl Faults {
    fn of(key: &TraceKey, view: &TraceView, below: i64) -> Self {
        let spans = span_rows(&key.project, view, below).into_iter();
        let messages = message_rows(&key.project, view, below).into_iter();
        Self {
            spans: spans
                .filter(|row| !can_encode(row))
                .map(|row| row.span.span_id.clone())
                .collect(),
            messages: messages
                .filter(|row| !can_encode(row))
                .map(|row| row.message.hash)
                .collect(),
            whole_trace: !can_encode(&trace_entry(&key.project, view)),
        }
    }

    fn count(&self) -> usize {
        self.spans.len() + self.messages.len() + usize::from(self.whole_trace)
    }
}

fn can_encode<R: LakeRow>(row: &R) -> bool {
    let encoded = || encode::<R, R>(std::slice::from_ref(row), &Columns::all(R::TABLE)).is_ok();
    catch_unwind(AssertUnwindSafe(encoded)).unwrap_or(false)
}
