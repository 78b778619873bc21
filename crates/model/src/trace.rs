//! A trace: what the sender said of it (the item), and the row that lists and filters read.

use crate::span::closed_words;
use crate::{GroupId, JsonText, NanoUsd, Rank, Ranks, Source, SpanId, Time, TraceId, Usage};

closed_words!(
    /// What became of a trace. `running` and `abandoned` depend on the clock and are never stored.
    TraceStatus, "trace status", {
        /// Something is still open, or the outermost span may still come.
        Running = "running",
        /// It ended well, whatever it got over on the way.
        Success = "success",
        /// An outermost span ended in error, or the run ended on one.
        Error = "error",
        /// As `error`, and the deciding error is a time-out.
        Timeout = "timeout",
        /// Nothing came for a while, and something never ended.
        Abandoned = "abandoned",
    }
);

closed_words!(
    /// How much of the prompts and answers the sender gave us.
    Content, "content", {
        /// Model calls are there, their texts are not.
        None = "none",
        /// Some model calls have their texts.
        Partial = "partial",
        /// Every model call has its texts.
        Full = "full",
    }
);

/// What a sender says of a trace as a whole. Several items of one trace are merged field by field: what
/// was told further out is believed, of what was told in one place the later; an absent value takes no
/// place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceItem {
    /// The trace.
    pub trace_id: TraceId,
    /// The logical workflow or app.
    pub workflow_name: Option<String>,
    /// The conversation it belongs to.
    pub group_id: Option<GroupId>,
    /// Who the run was for.
    pub user_id: Option<String>,
    /// The agent as deployed, where the sender tells one.
    pub agent_id: Option<String>,
    /// The version of the agent or app.
    pub version: Option<String>,
    /// `production`, `staging`, …
    pub environment: Option<String>,
    /// Free labels; `None` is "not told".
    pub tags: Option<Vec<String>>,
    /// The sender's metadata: a JSON object, as sent.
    pub metadata: Option<JsonText>,
    /// Keys of the item that we do not know, as sent: an object.
    pub extra: Option<JsonText>,
    /// Whether the sender said that the trace is over (`None`: it did not say).
    pub ended: Option<bool>,
    /// How far out each fact was told.
    pub ranks: Ranks,
    /// The way it came in.
    pub source: Source,
}

impl TraceItem {
    /// Returns an item that says nothing yet.
    pub fn new(trace_id: TraceId, source: Source) -> Self {
        Self {
            trace_id,
            workflow_name: None,
            group_id: None,
            user_id: None,
            agent_id: None,
            version: None,
            environment: None,
            tags: None,
            metadata: None,
            extra: None,
            ended: None,
            ranks: Ranks::default(),
            source,
        }
    }

    /// Takes over every field that `later` tells and no span further out has told.
    pub fn merge(&mut self, later: &TraceItem) {
        fn take<T: Clone>(mine: &mut Option<T>, theirs: &Option<T>) {
            if theirs.is_some() {
                mine.clone_from(theirs);
            }
        }
        macro_rules! take_ranked {
            ($($field:ident),+) => { $(
                let is_believed = self.$field.is_none() || later.ranks.$field <= self.ranks.$field;
                if later.$field.is_some() && is_believed {
                    self.$field.clone_from(&later.$field);
                    self.ranks.$field = later.ranks.$field;
                }
            )+ };
        }
        take_ranked!(
            workflow_name,
            group_id,
            user_id,
            version,
            environment,
            tags,
            metadata
        );
        take(&mut self.agent_id, &later.agent_id);
        take(&mut self.extra, &later.extra);
        // An end that was told stays told: items may arrive in any order.
        if self.ended != Some(true) {
            take(&mut self.ended, &later.ended);
        }
    }

    /// Returns the item with all its facts told in one place.
    pub fn told(mut self, rank: Rank) -> Self {
        self.ranks = Ranks::all(rank);
        self
    }
}

/// One trace as lists show it: the merged item and the facts derived from all its spans.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceRow {
    /// The merged item: names, metadata and whether an end was told.
    pub item: TraceItem,
    /// What became of it once nothing more comes: `success`, `error` or `timeout`. Use
    /// [`TraceRow::status_at`] for the status at a moment.
    pub settled_status: TraceStatus,
    /// Whether an outermost span (one without a parent) has arrived and ended, or the sender said
    /// that the trace is over.
    pub rooted: bool,
    /// The error that decided the status.
    pub error_type: Option<String>,
    /// Its message.
    pub error_message: Option<String>,
    /// The span it happened in.
    pub error_span_id: Option<SpanId>,
    /// The earliest start of its spans.
    pub started_at: Option<Time>,
    /// The latest end of its spans (or start, of an open one).
    pub ended_at: Option<Time>,
    /// From `started_at` to `ended_at`.
    pub duration_ms: Option<f64>,
    /// Time in which at least one model call ran.
    pub llm_ms: f64,
    /// Time in which at least one tool ran.
    pub tool_ms: f64,
    /// Duration less the time in which a model call or a tool ran.
    pub overhead_ms: f64,
    /// Spans, noise and merged ones left out (as in all counts here).
    pub span_count: i64,
    /// Model calls.
    pub generation_count: i64,
    /// Tool calls.
    pub tool_call_count: i64,
    /// Tool calls that ended in error.
    pub tool_errors: i64,
    /// Handoffs, those that failed too: what is counted are spans.
    pub handoff_count: i64,
    /// Guardrails that tripped.
    pub guardrail_trips: i64,
    /// Spans without an end.
    pub open_spans: i64,
    /// Parents that are named by a span and never came.
    pub lost_spans: i64,
    /// Tokens, summed over model calls (else over the outermost tasks).
    pub usage: Usage,
    /// `generation` or `task`; `None` where nobody told tokens.
    pub tokens_source: Option<String>,
    /// The known sum; `None` where nothing is known. 0 only where nothing was called.
    pub cost: Option<NanoUsd>,
    /// Whether every model call is in `cost`.
    pub cost_complete: bool,
    /// Whether a part of `cost` rests on an assumed model.
    pub cost_assumed: bool,
    /// Models in order of first use.
    pub models: Vec<String>,
    /// Agents in order of first appearance.
    pub agents: Vec<String>,
    /// Tool names in start order.
    pub tool_sequence: Vec<String>,
    /// `"A → B"` in start order. One that failed led nowhere and is not here.
    pub handoff_sequence: Vec<String>,
    /// Whether one of the four lists was cut at [`crate::TRACE_LIST_MAX`].
    pub lists_cut: bool,
    /// The first words of the user.
    pub input_preview: Option<String>,
    /// The last answer.
    pub output_preview: Option<String>,
    /// How much of prompts and answers we have.
    pub content: Content,
    /// When its first row was received.
    pub first_received_at: Time,
    /// When its last row was received; retention and idleness count from here.
    pub last_received_at: Time,
    /// The sequence number of its first row.
    pub first_seq: i64,
    /// The sequence number of its newest row.
    pub seq: i64,
}

impl TraceRow {
    /// Returns the status at `now`, where a trace is idle `idle_micros` after its last row.
    pub fn status_at(&self, now: Time, idle_micros: i64) -> TraceStatus {
        let is_idle = self.last_received_at.plus_micros(idle_micros) <= now;
        match (
            self.open_spans > 0 || self.span_count == 0,
            self.rooted,
            is_idle,
        ) {
            (true, _, true) => TraceStatus::Abandoned,
            (true, _, false) | (false, false, false) => TraceStatus::Running,
            (false, _, _) => self.settled_status,
        }
    }
}
