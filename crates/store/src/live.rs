//! What is written but not yet in Parquet?
//!
//! The live buffer answers that twice. By log order: *buffers*, each a range of sequence numbers with
//! the rows that a flush will write. By trace: [`LiveTrace`], the current version of every span of a
//! trace that has unflushed rows, from which reads and trace rows are made.
//!
//! One rule makes the rest simple: **a trace in here is known whole**. Before a request is logged,
//! each of its traces is either found here, or proved new by the trace filters of the files, or
//! loaded from Parquet ([`Live::admit`]). So the moment a row is published we know which version it
//! replaces, and neither a reader nor a flush ever has to guess.

mod grades;
mod trace;
mod view;

use std::sync::{Arc, OnceLock};

use hashbrown::{HashMap, HashSet};
use model::{Message, MessageHash, ProjectId, Source, Span, Time, TraceId, TraceItem};

use self::grades::LiveGrades;
pub(crate) use self::grades::{GradeBatch, newest};
use self::trace::{HASH_BYTES, LiveTrace};
pub(crate) use self::trace::{Home, LiveMessage, LiveSpan, LoadedTrace};
pub(crate) use self::view::TraceView;

/// A trace of a project.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceKey {
    /// The project.
    pub project: ProjectId,
    /// The trace.
    pub trace_id: TraceId,
}

/// A range of the log that one flush will write: which traces it touched. Their rows stand with the
/// traces.
#[derive(Debug)]
pub(crate) struct Buffer {
    pub(crate) lo: i64,
    pub(crate) hi: i64,
    pub(crate) bytes: usize,
    opened_at: Time,
    touched: HashSet<TraceKey>,
    /// Traces deleted within this range, with the sequence number of the deletion.
    pub(crate) deleted: Vec<(TraceKey, i64)>,
}

impl Buffer {
    fn new(lo: i64, opened_at: Time) -> Self {
        Self {
            lo,
            hi: lo - 1,
            bytes: 0,
            opened_at,
            touched: HashSet::new(),
            deleted: Vec::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.hi < self.lo
    }
}

/// One logged batch, ready to be published.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) project: ProjectId,
    pub(crate) source: Source,
    pub(crate) seq: i64,
    pub(crate) received_at: Time,
    pub(crate) items: Vec<TraceItem>,
    pub(crate) spans: Vec<Span>,
    /// Only the messages that were written with this frame.
    pub(crate) messages: Vec<Message>,
    /// What the rows weigh in memory.
    pub(crate) bytes: usize,
}

/// Which logged batch touches a trace.
#[derive(Debug, Clone, Copy)]
struct Touch<'a> {
    project: &'a ProjectId,
    source: Source,
    seq: i64,
    received_at: Time,
}

/// The live buffer. All methods take `&mut self` or `&self`; the store holds it behind one lock.
#[derive(Debug)]
pub(crate) struct Live {
    projects: HashMap<ProjectId, HashMap<TraceId, LiveTrace>>,
    grades: LiveGrades,
    /// Oldest first; the last one takes new rows.
    buffers: Vec<Arc<Buffer>>,
    active: Buffer,
    /// Deleted traces that Parquet may still hold, with the sequence number of their deletion.
    deleted: HashMap<TraceKey, i64>,
    /// Traces kept though they have nothing unflushed, oldest first.
    retained: std::collections::VecDeque<TraceKey>,
    flushed_seq: i64,
    weights: Weights,
}

/// What is known beyond the rows that wait for a flush.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Weights {
    /// Spans that are in Parquet, of traces that may go on.
    pub(crate) open_traces: usize,
    /// Hashes of messages that are in the log.
    pub(crate) seen_hashes: usize,
}

/// How much may stay known after a flush.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keep {
    /// Traces that have nothing unflushed.
    pub(crate) traces_max: usize,
    /// The bytes of both sorts.
    pub(crate) bytes_max: Weights,
}

/// Where a trace that a request names stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It is here; a pin was taken.
    Known,
    /// It is not here: prove that it is new, or load it.
    Unknown,
}

impl Live {
    /// Returns an empty buffer whose next sequence number is `next_seq`.
    pub(crate) fn new(next_seq: i64, now: Time) -> Self {
        Self {
            projects: HashMap::new(),
            grades: LiveGrades::default(),
            buffers: Vec::new(),
            active: Buffer::new(next_seq, now),
            deleted: HashMap::new(),
            retained: std::collections::VecDeque::new(),
            flushed_seq: next_seq - 1,
            weights: Weights::default(),
        }
    }

    /// Returns what is known beyond the rows that wait for a flush.
    pub(crate) fn weights(&self) -> Weights {
        self.weights
    }

    fn trace(&self, key: &TraceKey) -> Option<&LiveTrace> {
        self.projects.get(&key.project)?.get(&key.trace_id)
    }

    fn trace_mut(&mut self, key: &TraceKey) -> Option<&mut LiveTrace> {
        self.projects.get_mut(&key.project)?.get_mut(&key.trace_id)
    }

    /// Pins the trace if it is here.
    pub(crate) fn pin(&mut self, key: &TraceKey) -> Admission {
        match self.trace_mut(key) {
            Some(trace) => {
                trace.pins += 1;
                Admission::Known
            }
            None => Admission::Unknown,
        }
    }

    /// Takes in a trace with what Parquet holds of it (`None`: it is new) and pins it. If another
    /// request was faster, its entry stays.
    pub(crate) fn admit(&mut self, key: &TraceKey, loaded: Option<LoadedTrace>) {
        let traces = self.projects.entry(key.project.clone()).or_default();
        let weights = &mut self.weights;
        let trace = traces.entry(key.trace_id.clone()).or_insert_with(|| {
            let trace = match loaded {
                Some(loaded) => LiveTrace::from_loaded(loaded),
                None => LiveTrace::new(key.trace_id.clone()),
            };
            weights.open_traces += trace.known_bytes;
            trace
        });
        trace.pins += 1;
    }

    /// Gives back a pin; an entry that nothing was written to goes.
    pub(crate) fn unpin(&mut self, key: &TraceKey) {
        let Some(trace) = self.trace_mut(key) else {
            return;
        };
        trace.pins = trace.pins.saturating_sub(1);
        if trace.pins == 0 && trace.last_seq() <= self.flushed_seq {
            self.remove(key);
        }
    }

    fn remove(&mut self, key: &TraceKey) {
        if let Some(traces) = self.projects.get_mut(&key.project) {
            if let Some(trace) = traces.remove(&key.trace_id) {
                self.weights.open_traces -= trace.known_bytes;
                self.weights.seen_hashes -= trace.seen_bytes();
            }
            if traces.is_empty() {
                self.projects.remove(&key.project);
            }
        }
    }

    /// Returns whether a message of a trace is known to be in the log.
    pub(crate) fn has_seen(&self, key: &TraceKey, hash: &MessageHash) -> bool {
        self.trace(key)
            .is_some_and(|trace| trace.seen.contains(hash))
    }

    /// Makes the rows of one logged batch readable. Called in log order, after the fsync.
    pub(crate) fn publish(&mut self, batch: Published) {
        let Published {
            project,
            source,
            seq,
            received_at,
            items,
            spans,
            messages,
            bytes,
        } = batch;
        let touch = Touch {
            project: &project,
            source,
            seq,
            received_at,
        };
        debug_assert!(seq > self.active.hi, "rows are published in log order");
        self.active.hi = seq;
        self.active.bytes += bytes;
        for item in items {
            self.touch(&item.trace_id, touch).item.merge(&item);
        }
        for (index, message) in messages.into_iter().enumerate() {
            let ordinal = (seq << 20) | index as i64;
            let live = Arc::new(LiveMessage {
                seq,
                ordinal,
                message,
            });
            let trace = self.touch(&live.message.trace_id, touch);
            let is_new = trace.seen.insert(live.message.hash);
            trace.messages.push(live);
            self.weights.seen_hashes += if is_new { HASH_BYTES } else { 0 };
        }
        for span in spans {
            let trace = self.touch(&span.trace_id, touch);
            let previous = trace.spans.get(&span.span_id).cloned();
            if previous
                .as_ref()
                .is_some_and(|earlier| !span.supersedes(&earlier.span))
            {
                continue;
            }
            let id = span.span_id.clone();
            let live = Arc::new(LiveSpan {
                span: Arc::new(span),
                received_at,
                seq,
                previous,
            });
            trace.spans.insert(id, live);
        }
    }

    /// Makes logged grades readable. Called in log order, after the fsync.
    pub(crate) fn publish_grades(&mut self, batch: GradeBatch, bytes: usize) {
        debug_assert!(
            batch.seq > self.active.hi,
            "rows are published in log order"
        );
        self.active.hi = batch.seq;
        self.active.bytes += bytes;
        self.grades.push(batch);
    }

    /// Returns the grades of a project that are not in Parquet, in log order.
    pub(crate) fn grades(&self, project: &ProjectId) -> &[Arc<GradeBatch>] {
        self.grades.of(project)
    }

    /// Returns the grades of a sealed buffer. Those that were deleted since are not among them.
    pub(crate) fn grades_of(&self, buffer: &Buffer) -> Vec<Arc<GradeBatch>> {
        self.grades.range(buffer.lo, buffer.hi)
    }

    fn touch(&mut self, trace_id: &TraceId, touch: Touch<'_>) -> &mut LiveTrace {
        if !self.projects.contains_key(touch.project) {
            self.projects.insert(touch.project.clone(), HashMap::new());
        }
        let traces = self
            .projects
            .get_mut(touch.project)
            .expect("it was put there");
        if !traces.contains_key(trace_id) {
            traces.insert(trace_id.clone(), LiveTrace::new(trace_id.clone()));
        }
        let trace = traces.get_mut(trace_id).expect("it was put there");
        if trace.last_seq() != touch.seq {
            if trace.received.is_none() {
                trace.item.source = touch.source;
            }
            trace.touch(touch.seq, touch.received_at);
            let key = TraceKey {
                project: touch.project.clone(),
                trace_id: trace_id.clone(),
            };
            self.active.touched.insert(key);
        }
        trace
    }

    /// Makes traces unreadable as of `seq`. Later rows of the same ids are the caller's to refuse.
    pub(crate) fn delete(&mut self, project: &ProjectId, traces: &[TraceId], seq: i64) {
        self.active.hi = seq;
        self.grades.delete(project, traces);
        for trace_id in traces {
            let key = TraceKey {
                project: project.clone(),
                trace_id: trace_id.clone(),
            };
            self.remove(&key);
            self.deleted.insert(key.clone(), seq);
            self.active.deleted.push((key, seq));
        }
    }

    /// Returns whether a trace was deleted and the deletion is not committed yet.
    pub(crate) fn is_deleted(&self, key: &TraceKey) -> bool {
        !self.deleted.is_empty() && self.deleted.contains_key(key)
    }

    /// Returns whether a deletion waits for its commit.
    pub(crate) fn has_deleted(&self) -> bool {
        !self.deleted.is_empty()
    }

    /// Returns the bytes that wait: in the active buffer, and in all of them.
    pub(crate) fn bytes(&self) -> (usize, usize) {
        let sealed: usize = self.buffers.iter().map(|buffer| buffer.bytes).sum();
        (self.active.bytes, self.active.bytes + sealed)
    }

    /// Returns how many sealed buffers wait for a flush.
    pub(crate) fn sealed_count(&self) -> usize {
        self.buffers.len()
    }

    /// Returns when the active buffer got its first row, if it has one.
    pub(crate) fn active_since(&self) -> Option<Time> {
        (!self.active.is_empty()).then_some(self.active.opened_at)
    }

    /// Notes the moment of the first row of the active buffer.
    pub(crate) fn start_active(&mut self, now: Time) {
        if self.active.is_empty() {
            self.active.opened_at = now;
        }
    }

    /// Closes the active buffer, if it has rows, and starts another.
    pub(crate) fn seal(&mut self, now: Time) {
        if !self.active.is_empty() {
            let next = Buffer::new(self.active.hi + 1, now);
            self.buffers
                .push(Arc::new(std::mem::replace(&mut self.active, next)));
        }
    }

    /// Returns the oldest sealed buffer.
    pub(crate) fn oldest_sealed(&self) -> Option<Arc<Buffer>> {
        self.buffers.first().cloned()
    }

    /// Returns every touched trace of a sealed buffer as of the buffer's end. Traces that were
    /// deleted since are not among them.
    pub(crate) fn views_as_of(&self, buffer: &Buffer) -> Vec<(TraceKey, TraceView)> {
        let view = |key: &TraceKey| {
            let trace = self.trace(key)?;
            // A trace that was deleted and has come back since is not the one the buffer means.
            let mut received = trace.received.filter(|r| r.first_seq <= buffer.hi)?;
            received.seq = received.seq.min(buffer.hi);
            Some(TraceView {
                item: trace.item.clone(),
                received,
                spans: trace.spans_as_of(buffer.hi).cloned().collect(),
                messages: trace
                    .messages
                    .iter()
                    .filter(|m| m.seq <= buffer.hi)
                    .cloned()
                    .collect(),
                home: trace.home_as_of(buffer.hi),
                flushed_row_seq: trace.flushed_row_seq,
                row: OnceLock::new(),
                agents: OnceLock::new(),
            })
        };
        buffer
            .touched
            .iter()
            .filter_map(|key| Some((key.clone(), view(key)?)))
            .collect()
    }

    /// Forgets the oldest sealed buffer once its rows are committed. Traces that ended go, others
    /// stay known without their payloads, as far as `keep` allows.
    pub(crate) fn release(&mut self, hi: i64, views: &[(TraceKey, TraceView)], keep: &Keep) {
        assert_eq!(
            self.buffers.first().map(|b| b.hi),
            Some(hi),
            "D3: buffers are flushed in log order"
        );
        let buffer = self.buffers.remove(0);
        self.flushed_seq = hi;
        self.grades.release(hi);
        self.deleted.retain(|_, seq| *seq > hi);
        for (key, view) in views {
            let row = view.row();
            let Some(trace) = self.trace_mut(key) else {
                continue;
            };
            if trace.received.is_none_or(|r| r.first_seq > hi) {
                continue;
            }
            trace.home = Some(view.home);
            trace.flushed_row_seq = Some(row.seq);
            trace.messages.retain(|live| live.seq > hi);
            trace.view = OnceLock::new();
            let is_idle = trace.last_seq() <= hi && trace.pins == 0;
            if is_idle && row.rooted && row.open_spans == 0 {
                self.remove(key);
                continue;
            }
            if is_idle {
                self.retained.push_back(key.clone());
            }
            let Some(trace) = self.trace_mut(key) else {
                continue;
            };
            let written = view.spans.iter().filter(|live| live.seq >= buffer.lo);
            written.for_each(|live| trace.slim(live));
            trace.view = OnceLock::new();
            let before = trace.known_bytes;
            trace.weigh(hi);
            let after = trace.known_bytes;
            self.weights.open_traces = self.weights.open_traces - before + after;
        }
        self.evict(keep);
    }

    /// Lets traces go that have nothing unflushed, oldest first, until what is left may stay known.
    /// Hashes of traces that go on are forgotten all at once: that is seldom, and costs a copy at worst.
    fn evict(&mut self, keep: &Keep) {
        let Weights {
            open_traces,
            seen_hashes,
        } = keep.bytes_max;
        while self.retained.len() > keep.traces_max || self.weights.open_traces > open_traces {
            let Some(key) = self.retained.pop_front() else {
                break;
            };
            let flushed = self.flushed_seq;
            let idle = self
                .trace(&key)
                .is_some_and(|t| t.pins == 0 && t.last_seq() <= flushed);
            if idle {
                self.remove(&key);
            }
        }
        if self.weights.seen_hashes > seen_hashes {
            let traces = self.projects.values_mut().flat_map(HashMap::values_mut);
            self.weights.seen_hashes = traces
                .map(|trace| {
                    trace.forget_messages();
                    trace.seen_bytes()
                })
                .sum();
        }
    }

    fn view(&self, trace: &LiveTrace) -> Option<Arc<TraceView>> {
        let received = trace.received.filter(|r| r.seq > self.flushed_seq)?;
        let make = || {
            Arc::new(TraceView {
                item: trace.item.clone(),
                received,
                spans: trace.spans.values().cloned().collect(),
                messages: trace.messages.clone(),
                home: trace.home_as_of(i64::MAX),
                flushed_row_seq: trace.flushed_row_seq,
                row: OnceLock::new(),
                agents: OnceLock::new(),
            })
        };
        Some(Arc::clone(trace.view.get_or_init(make)))
    }

    /// Returns one trace, if it has rows that are not in Parquet.
    pub(crate) fn view_of(&self, key: &TraceKey) -> Option<Arc<TraceView>> {
        self.view(self.trace(key)?)
    }

    /// Returns every trace of a project that has rows that are not in Parquet.
    pub(crate) fn views(&self, project: &ProjectId) -> Vec<Arc<TraceView>> {
        let Some(traces) = self.projects.get(project) else {
            return Vec::new();
        };
        traces
            .values()
            .filter_map(|trace| self.view(trace))
            .collect()
    }

    /// Returns the deleted traces of a project that Parquet may still hold.
    pub(crate) fn deleted_of(&self, project: &ProjectId) -> Vec<(TraceId, i64)> {
        let of_project = self
            .deleted
            .iter()
            .filter(|(key, _)| key.project == *project);
        of_project
            .map(|(key, seq)| (key.trace_id.clone(), *seq))
            .collect()
    }

    /// Returns the number of traces and of spans held.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let traces = self.projects.values().flat_map(|traces| traces.values());
        traces.fold((0, 0), |(n, spans), trace| {
            (n + 1, spans + trace.spans.len())
        })
    }
}
