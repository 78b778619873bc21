//! The `traces` table: one row for a trace's current version, the merged item and the facts derived
//! from all its spans.

use std::cmp::Ordering;
use std::sync::Arc;

use model::{
    Content, JsonText, NanoUsd, ProjectId, Received, Source, SpanId, Time, TraceId, TraceItem,
    TraceRow,
};

use super::columns::{
    Column, LakeRow, Layout, count, flag, given, list, maybe_count, maybe_flag, maybe_id,
    maybe_json, maybe_moment, maybe_money, maybe_text, measure, missing_last, moment, required,
    word,
};
use super::schema::Table;

/// One version of a trace's row.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceEntry {
    /// The project.
    pub project: ProjectId,
    /// The row.
    pub row: Arc<TraceRow>,
    /// The frozen start that decides the home day of all the trace's rows.
    pub home_started_at: Time,
}

/// A [`TraceEntry`] whose row is still being filled in.
#[derive(Debug)]
pub struct TraceDraft {
    project: ProjectId,
    row: TraceRow,
    home_started_at: Time,
}

impl LakeRow for TraceEntry {
    const TABLE: Table = Table::Traces;
    type Draft = TraceDraft;

    fn columns() -> &'static [Column<Self>] {
        COLUMNS
    }

    fn draft(project: ProjectId, trace_id: TraceId, _: Option<SpanId>) -> TraceDraft {
        TraceDraft {
            project,
            row: blank_row(trace_id),
            home_started_at: Time::default(),
        }
    }

    fn finish(draft: TraceDraft) -> Self {
        let TraceDraft {
            project,
            row,
            home_started_at,
        } = draft;
        Self {
            project,
            row: Arc::new(row),
            home_started_at,
        }
    }

    fn payload_bytes(&self) -> usize {
        let json = |text: &Option<JsonText>| text.as_ref().map_or(0, |text| text.as_str().len());
        json(&self.row.item.metadata) + json(&self.row.item.extra)
    }

    fn file_order(&self, other: &Self) -> Ordering {
        let newest_first = |a: &Time, b: &Time| b.cmp(a);
        self.project
            .cmp(&other.project)
            .then_with(|| missing_last(self.row.started_at, other.row.started_at, newest_first))
            .then_with(|| self.row.item.trace_id.cmp(&other.row.item.trace_id))
    }
}

/// Returns a row that says nothing yet: what a file has no column for stays as it is here.
fn blank_row(trace_id: TraceId) -> TraceRow {
    let received = Received {
        first_received_at: Time::default(),
        last_received_at: Time::default(),
        first_seq: 0,
        seq: 0,
    };
    TraceRow {
        cost_complete: false,
        content: Content::None,
        ..TraceRow::empty(TraceItem::new(trace_id, Source::Import), received)
    }
}

static COLUMNS: &[Column<TraceEntry>] = &[
    given!("project_id", Key, project),
    // Each stands in one row: a dictionary of them would only be read beside the rows.
    given!("trace_id", Phrase, row.item.trace_id),
    maybe_text!("workflow_name", Word, row.item.workflow_name),
    maybe_id!("group_id", Word, row.item.group_id),
    maybe_text!("user_id", Word, row.item.user_id),
    maybe_text!("agent_id", Word, row.item.agent_id),
    maybe_text!("version", Word, row.item.version),
    maybe_text!("environment", Word, row.item.environment),
    Column::texts(
        "tags",
        |r| r.row.item.tags.as_deref(),
        |d, v| d.row.item.tags = Some(v),
    ),
    maybe_json!("metadata", row.item.metadata),
    maybe_json!("extra", row.item.extra),
    maybe_flag!("ended_told", row.item.ended),
    Column::written(
        "told_at",
        |r| r.row.item.ranks.to_text(),
        |d, v| {
            d.row.item.ranks = v.parse()?;
            Ok(())
        },
    ),
    word!("status", row.settled_status),
    flag!("rooted", row.rooted),
    maybe_text!("error_type", Word, row.error_type),
    maybe_text!("error_message", Phrase, row.error_message),
    maybe_id!("error_span_id", Phrase, row.error_span_id),
    maybe_moment!("started_at", row.started_at),
    maybe_moment!("ended_at", row.ended_at),
    Column::float(
        "duration_ms",
        |r| r.row.duration_ms,
        |d, v| d.row.duration_ms = Some(v),
    ),
    measure!("llm_ms", row.llm_ms),
    measure!("tool_ms", row.tool_ms),
    measure!("overhead_ms", row.overhead_ms),
    count!("span_count", Measure, row.span_count),
    count!("generation_count", Measure, row.generation_count),
    count!("tool_call_count", Measure, row.tool_call_count),
    count!("tool_errors", Measure, row.tool_errors),
    count!("handoff_count", Measure, row.handoff_count),
    count!("guardrail_trips", Measure, row.guardrail_trips),
    count!("open_spans", Measure, row.open_spans),
    count!("lost_spans", Measure, row.lost_spans),
    maybe_count!("input_tokens", row.usage.input_tokens),
    maybe_count!("cached_tokens", row.usage.cached_tokens),
    maybe_count!("output_tokens", row.usage.output_tokens),
    maybe_count!("reasoning_tokens", row.usage.reasoning_tokens),
    maybe_text!("tokens_source", Word, row.tokens_source),
    maybe_money!("cost_nano_usd", row.cost),
    flag!("cost_complete", row.cost_complete),
    flag!("cost_assumed", row.cost_assumed),
    list!("models", row.models),
    list!("agents", row.agents),
    list!("tool_sequence", row.tool_sequence),
    list!("handoff_sequence", row.handoff_sequence),
    flag!("lists_cut", row.lists_cut),
    maybe_text!("input_preview", Phrase, row.input_preview),
    maybe_text!("output_preview", Phrase, row.output_preview),
    word!("content", row.content),
    word!("source", row.item.source),
    moment!("first_received_at", row.first_received_at),
    moment!("last_received_at", row.last_received_at),
    moment!("home_started_at", home_started_at),
    required(Column::date("home_day", |r| Some(r.home_started_at.day()))),
    count!("first_seq", Order, row.first_seq),
    count!("seq", Order, row.seq),
];
