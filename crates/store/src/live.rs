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

use std::sync::{Arc, OnceLock};

use hashbrown::{HashMap, HashSet};
use model::{
    Message, MessageHash, ProjectId, Received, Source, Span, SpanId, Time, TraceId, TraceItem,
    TraceRow,
};

/// A trace of a project.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceKey {
    /// The project.
    pub project: ProjectId,
    /// The trace.
    pub trace_id: TraceId,
}

/// One version of a span.
#[derive(Debug)]
pub(crate) struct LiveSpan {
    /// The span; without its payload once it is in Parquet.
    pub(crate) span: Arc<Span>,
    pub(crate) received_at: Time,
    pub(crate) seq: i64,
    /// The version it takes the place of, for a flush that stops between the two.
    previous: Option<Arc<LiveSpan>>,
}

impl LiveSpan {
    /// Returns the newest version at or below `seq`, this one included.
    fn as_of(self: &Arc<Self>, seq: i64) -> Option<&Arc<LiveSpan>> {
        let mut version = self;
        while version.seq > seq {
            version = version.previous.as_ref()?;
        }
        Some(version)
    }

    /// Returns the number of the version at or below `seq` that this one takes the place of.
    pub(crate) fn replaces_below(self: &Arc<Self>, seq: i64) -> Option<i64> {
        if self.seq > seq {
            self.as_of(seq).map(|version| version.seq)
        } else {
            None
        }
    }
}

/// A message that is not in Parquet yet.
#[derive(Debug)]
pub(crate) struct LiveMessage {
    pub(crate) message: Message,
    pub(crate) seq: i64,
    /// Its place in its trace: messages sort by it.
    pub(crate) ordinal: i64,
}

/// The time a trace is filed under, in every table and for good: set at its first flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Home {
    /// The earliest start that was known then, else the moment the trace was received.
    pub(crate) started_at: Time,
    /// Whether the start was missing or lay more than a day ahead: such traces have files of their own.
    pub(crate) skewed: bool,
}

impl Home {
    /// Returns whether a start is missing or lies more than a day ahead of the first row.
    pub(crate) fn is_skewed(started_at: Option<Time>, received_at: Time) -> bool {
        const DAY_MICROS: i64 = 86_400_000_000;
        started_at.is_none_or(|start| start > received_at.plus_micros(DAY_MICROS))
    }

    fn of(started_at: Option<Time>, received_at: Time) -> Self {
        Self {
            started_at: started_at.unwrap_or(received_at),
            skewed: Self::is_skewed(started_at, received_at),
        }
    }
}

/// All that is known of one trace.
#[derive(Debug)]
pub(crate) struct LiveTrace {
    pub(crate) item: TraceItem,
    spans: HashMap<SpanId, Arc<LiveSpan>>,
    messages: Vec<Arc<LiveMessage>>,
    seen: HashSet<MessageHash>,
    pub(crate) home: Option<Home>,
    received: Option<Received>,
    /// The sequence number of the trace row that is in Parquet.
    flushed_row_seq: Option<i64>,
    /// What readers get, made by the first of them after a change.
    view: OnceLock<Arc<TraceView>>,
    /// Requests on their way to the log that rely on this entry.
    pins: u32,
}

/// What Parquet holds of a trace, as [`Live::admit`] takes it in.
#[derive(Debug)]
pub(crate) struct LoadedTrace {
    pub(crate) item: TraceItem,
    pub(crate) received: Received,
    pub(crate) home: Home,
    pub(crate) row_seq: i64,
    /// Current versions, payloads left out.
    pub(crate) spans: Vec<(Arc<Span>, Time, i64)>,
}

impl LiveTrace {
    fn new(trace_id: TraceId) -> Self {
        Self {
            item: TraceItem::new(trace_id, Source::Openai),
            spans: HashMap::new(),
            messages: Vec::new(),
            seen: HashSet::new(),
            home: None,
            received: None,
            flushed_row_seq: None,
            view: OnceLock::new(),
            pins: 0,
        }
    }

    fn from_loaded(loaded: LoadedTrace) -> Self {
        let spans = loaded.spans.into_iter().map(|(span, received_at, seq)| {
            let id = span.span_id.clone();
            (
                id,
                Arc::new(LiveSpan {
                    span,
                    received_at,
                    seq,
                    previous: None,
                }),
            )
        });
        Self {
            spans: spans.collect(),
            home: Some(loaded.home),
            received: Some(loaded.received),
            flushed_row_seq: Some(loaded.row_seq),
            ..Self::new(loaded.item.trace_id.clone())
        }
        .with_item(loaded.item)
    }

    fn with_item(mut self, item: TraceItem) -> Self {
        self.item = item;
        self
    }

    fn touch(&mut self, seq: i64, at: Time) {
        self.view = OnceLock::new();
        let received = self.received.get_or_insert(Received {
            first_received_at: at,
            last_received_at: at,
            first_seq: seq,
            seq,
        });
        received.last_received_at = received.last_received_at.max(at);
        received.seq = received.seq.max(seq);
    }

    fn last_seq(&self) -> i64 {
        self.received.map_or(0, |received| received.seq)
    }

    /// Returns the version of every span as of `hi`.
    fn spans_as_of(&self, hi: i64) -> impl Iterator<Item = &Arc<LiveSpan>> {
        self.spans
            .values()
            .filter_map(move |newest| newest.as_of(hi))
    }

    /// Drops the payload of a version that is in Parquet now. One reference stays a side: whether there
    /// is content is a fact of the trace row.
    fn slim(&mut self, written: &Arc<LiveSpan>) {
        let Some(current) = self.spans.get_mut(&written.span.span_id) else {
            return;
        };
        if Arc::ptr_eq(current, written) {
            let full = &written.span.payload;
            let mut span = written.span.without_payload();
            span.payload.input_refs = full.input_refs.iter().take(1).copied().collect();
            span.payload.output_refs = full.output_refs.iter().take(1).copied().collect();
            let LiveSpan {
                received_at, seq, ..
            } = **written;
            *current = Arc::new(LiveSpan {
                span: Arc::new(span),
                received_at,
                seq,
                previous: None,
            });
        }
    }

    /// Returns the home of the trace, from its spans up to `hi` if it has none yet.
    fn home_as_of(&self, hi: i64) -> Home {
        let first_received = || {
            self.received
                .map_or(Time::default(), |r| r.first_received_at)
        };
        self.home.unwrap_or_else(|| {
            let start = self
                .spans_as_of(hi)
                .filter_map(|live| live.span.started_at)
                .min();
            Home::of(start, first_received())
        })
    }
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

/// One trace as a snapshot sees it: taken under the lock, worked on outside it.
#[derive(Debug, Clone)]
pub(crate) struct TraceView {
    pub(crate) item: TraceItem,
    pub(crate) received: Received,
    /// The current version of every span, flushed ones too.
    pub(crate) spans: Vec<Arc<LiveSpan>>,
    pub(crate) messages: Vec<Arc<LiveMessage>>,
    pub(crate) home: Home,
    pub(crate) flushed_row_seq: Option<i64>,
    row: OnceLock<Arc<TraceRow>>,
    /// The agent at work in each of `spans`.
    agents: OnceLock<Vec<Option<Arc<str>>>>,
}

impl TraceView {
    /// Returns the trace row, derived at most once per change of the trace.
    pub(crate) fn row(&self) -> Arc<TraceRow> {
        let make = || {
            let spans: Vec<&Span> = self.spans.iter().map(|live| &*live.span).collect();
            Arc::new(model::derive(&self.item, &spans, self.received))
        };
        Arc::clone(self.row.get_or_init(make))
    }

    /// Returns the agent at work in each span, as far as some span of the trace tells it.
    pub(crate) fn agents(&self) -> &[Option<Arc<str>>] {
        let make = || {
            let spans: Vec<&Span> = self.spans.iter().map(|live| &*live.span).collect();
            match spans.iter().any(|span| span.agent.is_none()) {
                true => model::shared_names(&model::resolve_agents(&spans)),
                false => vec![None; spans.len()],
            }
        };
        self.agents.get_or_init(make)
    }

    /// Returns the view without some of its rows above `below`. Of a span the version before counts.
    pub(crate) fn without(
        &self,
        spans: &std::collections::HashSet<SpanId>,
        messages: &std::collections::HashSet<MessageHash>,
        below: i64,
    ) -> Self {
        let version = |live: &Arc<LiveSpan>| match spans.contains(&live.span.span_id) {
            true => live.as_of(below).cloned(),
            false => Some(Arc::clone(live)),
        };
        let is_kept =
            |live: &&Arc<LiveMessage>| live.seq <= below || !messages.contains(&live.message.hash);
        Self {
            spans: self.spans.iter().filter_map(version).collect(),
            messages: self.messages.iter().filter(is_kept).cloned().collect(),
            row: OnceLock::new(),
            agents: OnceLock::new(),
            ..self.clone()
        }
    }
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
    /// Oldest first; the last one takes new rows.
    buffers: Vec<Arc<Buffer>>,
    active: Buffer,
    /// Deleted traces that Parquet may still hold, with the sequence number of their deletion.
    deleted: HashMap<TraceKey, i64>,
    /// Traces kept though they have nothing unflushed, oldest first.
    retained: std::collections::VecDeque<TraceKey>,
    flushed_seq: i64,
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
            buffers: Vec::new(),
            active: Buffer::new(next_seq, now),
            deleted: HashMap::new(),
            retained: std::collections::VecDeque::new(),
            flushed_seq: next_seq - 1,
        }
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
        let trace = traces
            .entry(key.trace_id.clone())
            .or_insert_with(|| match loaded {
                Some(loaded) => LiveTrace::from_loaded(loaded),
                None => LiveTrace::new(key.trace_id.clone()),
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
            traces.remove(&key.trace_id);
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
            trace.seen.insert(live.message.hash);
            trace.messages.push(live);
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
    /// stay known without their payloads, `retained_max` of them at most.
    pub(crate) fn release(
        &mut self,
        hi: i64,
        views: &[(TraceKey, TraceView)],
        retained_max: usize,
    ) {
        assert_eq!(
            self.buffers.first().map(|b| b.hi),
            Some(hi),
            "D3: buffers are flushed in log order"
        );
        let buffer = self.buffers.remove(0);
        self.flushed_seq = hi;
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
        }
        self.evict(retained_max);
    }

    fn evict(&mut self, retained_max: usize) {
        while self.retained.len() > retained_max {
            let Some(key) = self.retained.pop_front() else {
                return;
            };
            let flushed = self.flushed_seq;
            let idle = self
                .trace(&key)
                .is_some_and(|t| t.pins == 0 && t.last_seq() <= flushed);
            if idle {
                self.remove(&key);
            }
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
