//! What do readers and flushes get of a trace in memory?

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use model::{MessageHash, Received, Span, SpanId, TraceItem, TraceRow};

use super::trace::{Home, LiveMessage, LiveSpan};

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
    pub(super) row: OnceLock<Arc<TraceRow>>,
    /// The agent at work in each of `spans`.
    pub(super) agents: OnceLock<Vec<Option<Arc<str>>>>,
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
        spans: &HashSet<SpanId>,
        messages: &HashSet<MessageHash>,
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
