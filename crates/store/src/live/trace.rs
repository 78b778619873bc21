//! What is known of one trace while it has rows that are not in Parquet, and for a while after?

use std::sync::{Arc, OnceLock};

use hashbrown::{HashMap, HashSet};
use model::{Message, MessageHash, Received, Source, Span, SpanId, Time, TraceId, TraceItem};

use super::view::TraceView;

/// What a hash in the set of seen messages weighs, with its part of the table.
pub(super) const HASH_BYTES: usize = 32;

/// One version of a span.
#[derive(Debug)]
pub(crate) struct LiveSpan {
    /// The span; without its payload once it is in Parquet.
    pub(crate) span: Arc<Span>,
    pub(crate) received_at: Time,
    pub(crate) seq: i64,
    /// The version it takes the place of, for a flush that stops between the two.
    pub(super) previous: Option<Arc<LiveSpan>>,
}

impl LiveSpan {
    /// Returns the newest version at or below `seq`, this one included.
    pub(super) fn as_of(self: &Arc<Self>, seq: i64) -> Option<&Arc<LiveSpan>> {
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
    pub(super) spans: HashMap<SpanId, Arc<LiveSpan>>,
    pub(super) messages: Vec<Arc<LiveMessage>>,
    /// Messages that are known to be in the log; some may have been forgotten.
    pub(super) seen: HashSet<MessageHash>,
    pub(crate) home: Option<Home>,
    pub(super) received: Option<Received>,
    /// The sequence number of the trace row that is in Parquet.
    pub(super) flushed_row_seq: Option<i64>,
    /// What the spans weigh that are in Parquet and known all the same.
    pub(super) known_bytes: usize,
    /// What readers get, made by the first of them after a change.
    pub(super) view: OnceLock<Arc<TraceView>>,
    /// Requests on their way to the log that rely on this entry.
    pub(super) pins: u32,
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
    pub(super) fn new(trace_id: TraceId) -> Self {
        Self {
            item: TraceItem::new(trace_id, Source::Openai),
            spans: HashMap::new(),
            messages: Vec::new(),
            seen: HashSet::new(),
            home: None,
            received: None,
            flushed_row_seq: None,
            known_bytes: 0,
            view: OnceLock::new(),
            pins: 0,
        }
    }

    pub(super) fn from_loaded(loaded: LoadedTrace) -> Self {
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
        let spans: HashMap<_, _> = spans.collect();
        Self {
            known_bytes: spans.values().map(|live| weight(&live.span)).sum(),
            spans,
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

    pub(super) fn touch(&mut self, seq: i64, at: Time) {
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

    pub(super) fn last_seq(&self) -> i64 {
        self.received.map_or(0, |received| received.seq)
    }

    /// Returns the version of every span as of `hi`.
    pub(super) fn spans_as_of(&self, hi: i64) -> impl Iterator<Item = &Arc<LiveSpan>> {
        self.spans
            .values()
            .filter_map(move |newest| newest.as_of(hi))
    }

    /// Drops the payload of a version that is in Parquet now. One reference stays a side: whether there
    /// is content is a fact of the trace row.
    pub(super) fn slim(&mut self, written: &Arc<LiveSpan>) {
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
    pub(super) fn home_as_of(&self, hi: i64) -> Home {
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

    /// Weighs anew what is known of spans up to `hi`, which are in Parquet.
    pub(super) fn weigh(&mut self, hi: i64) {
        let written = self.spans.values().filter(|live| live.seq <= hi);
        self.known_bytes = written.map(|live| weight(&live.span)).sum();
    }

    /// Forgets which messages are in Parquet. One that comes again is written a second time, and a merge
    /// drops the copy.
    pub(super) fn forget_messages(&mut self) {
        self.seen = self.messages.iter().map(|live| live.message.hash).collect();
    }

    /// Returns what the set of seen messages weighs.
    pub(super) fn seen_bytes(&self) -> usize {
        self.seen.len() * HASH_BYTES
    }
}

/// Returns what a span without its payload weighs in memory, about.
fn weight(span: &Span) -> usize {
    let texts = [
        Some(&span.source_type),
        Some(&span.name),
        span.agent.as_ref(),
        span.input_preview.as_ref(),
        span.output_preview.as_ref(),
        span.error.as_ref().map(|error| &error.message),
    ];
    let texts: usize = texts.into_iter().flatten().map(String::len).sum();
    size_of::<Span>() + size_of::<LiveSpan>() + 2 * span.span_id.as_str().len() + texts
}
