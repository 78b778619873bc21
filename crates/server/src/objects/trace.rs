//! A trace as the API tells it.

use model::{Content, ProjectId, SpanId, Time, TraceId, TraceRow, TraceStatus};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::span::raw;
use super::turns::Turns;

/// What to do where a sender's exporter leaves the texts out.
const CONTENT_HINT: &str = "the sender left out prompts and answers: the exporter of the Agents SDK does so \
     for Responses API calls, and for all where OPENAI_AGENTS_TRACE_INCLUDE_SENSITIVE_DATA is false; \
     see \"What the stock exporter leaves out\" in docs/quickstart.md";

/// One end-to-end run, as a list and a retrieve tell it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Trace)]
pub(crate) struct TraceObject<'a> {
    /// The trace's id.
    #[schema(value_type = String)]
    id: &'a TraceId,
    /// The same.
    #[schema(value_type = String)]
    trace_id: &'a TraceId,
    /// `trace`.
    object: &'static str,
    #[schema(value_type = String)]
    project_id: &'a ProjectId,
    workflow_name: Option<&'a str>,
    group_id: Option<&'a str>,
    user_id: Option<&'a str>,
    agent_id: Option<&'a str>,
    version: Option<&'a str>,
    environment: Option<&'a str>,
    tags: &'a [String],
    /// As sent: an object.
    #[schema(value_type = Object)]
    metadata: &'a RawValue,
    /// RFC 3339, UTC, microseconds.
    #[schema(value_type = Option<String>, format = DateTime)]
    started_at: Option<Time>,
    /// Null while the trace runs.
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Time>,
    /// `started_at`, as the trace grading guide calls it.
    #[schema(value_type = Option<String>, format = DateTime)]
    start_time: Option<Time>,
    /// `ended_at`, as the trace grading guide calls it.
    #[schema(value_type = Option<String>, format = DateTime)]
    end_time: Option<Time>,
    /// While the trace runs: so far.
    duration_ms: Option<f64>,
    /// Whether the trace still runs.
    open: bool,
    /// `running`, `success`, `error`, `timeout` or `abandoned`.
    #[schema(value_type = String)]
    status: TraceStatus,
    /// `in_progress` or `completed`.
    state: &'static str,
    /// What decided the status.
    error: Option<TraceErrorObject<'a>>,
    /// Time in which at least one model call ran.
    llm_ms: f64,
    /// Time in which at least one tool ran.
    tool_ms: f64,
    /// Duration less the time in which a model call or a tool ran.
    overhead_ms: f64,
    span_count: i64,
    generation_count: i64,
    tool_call_count: i64,
    tool_errors: i64,
    handoff_count: i64,
    guardrail_trips: i64,
    open_spans: i64,
    /// Parents that are named by a span and never came.
    lost_spans: i64,
    input_tokens: Option<i64>,
    cached_tokens: Option<i64>,
    output_tokens: Option<i64>,
    reasoning_tokens: Option<i64>,
    /// `generation` or `task`: whose tokens were summed.
    tokens_source: Option<&'a str>,
    /// Null if nothing is known; 0 only if no model was called.
    total_cost_usd: Option<f64>,
    /// Whether every model call is in `total_cost_usd`.
    cost_complete: bool,
    /// Whether a part of the cost rests on a model that the project assumes.
    cost_assumed: bool,
    models: &'a [String],
    agents: &'a [String],
    tool_sequence: &'a [String],
    /// `A → B`, in start order.
    handoff_sequence: &'a [String],
    /// Whether one of the four lists was cut.
    lists_cut: bool,
    /// The first words of the user.
    input_preview: Option<&'a str>,
    /// The first words of the last answer.
    output_preview: Option<&'a str>,
    /// On a retrieve with the whole payload: what the user said, in full.
    #[serde(skip_serializing_if = "Option::is_none")]
    original_message: Option<Option<&'a str>>,
    /// On a retrieve with the whole payload: the last answer, in full.
    #[serde(skip_serializing_if = "Option::is_none")]
    final_response: Option<Option<&'a str>>,
    /// How much of prompts and answers was sent: `none`, `partial` or `full`.
    #[schema(value_type = String)]
    content: Content,
    /// What to do if `content` is not `full`.
    #[serde(skip_serializing_if = "Option::is_none")]
    content_hint: Option<&'static str>,
    /// What else the sender said of the trace, as sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    extra: Option<&'a RawValue>,
    #[schema(value_type = String, format = DateTime)]
    first_received_at: Time,
    #[schema(value_type = String, format = DateTime)]
    last_received_at: Time,
    /// The number of the trace's newest row: it grows with every change.
    seq: i64,
    /// Where the text that was searched for was found.
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    found: Option<TraceMatch>,
}

/// What decided that a trace failed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TraceError)]
struct TraceErrorObject<'a> {
    r#type: &'a str,
    message: Option<&'a str>,
    #[schema(value_type = Option<String>)]
    span_id: Option<&'a SpanId>,
}

/// Where a text was found in a trace.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct TraceMatch {
    /// `message`, `name`, `error` or `data`.
    pub(crate) place: &'static str,
    /// The text with a little of what is around it.
    pub(crate) snippet: String,
}

impl<'a> TraceObject<'a> {
    /// Returns the trace of `row` as it is at `now`, where a trace is idle `idle_micros` after its
    /// last row.
    pub(crate) fn new(
        project: &'a ProjectId,
        row: &'a TraceRow,
        now: Time,
        idle_micros: i64,
    ) -> Self {
        let item = &row.item;
        let status = row.status_at(now, idle_micros);
        let open = status == TraceStatus::Running;
        let end = horizon(row, now, idle_micros);
        let ended_at = row.ended_at.filter(|_| !open);
        let duration_ms = match open {
            true => row.started_at.map(|start| end.millis_since(start).max(0.0)),
            false => row.duration_ms,
        };
        Self {
            id: &item.trace_id,
            trace_id: &item.trace_id,
            object: "trace",
            project_id: project,
            workflow_name: item.workflow_name.as_deref(),
            group_id: item.group_id.as_ref().map(|id| id.as_str()),
            user_id: item.user_id.as_deref(),
            agent_id: item.agent_id.as_deref(),
            version: item.version.as_deref(),
            environment: item.environment.as_deref(),
            tags: item.tags.as_deref().unwrap_or_default(),
            metadata: item
                .metadata
                .as_ref()
                .and_then(raw)
                .unwrap_or_else(no_metadata),
            started_at: row.started_at,
            ended_at,
            start_time: row.started_at,
            end_time: ended_at,
            duration_ms,
            open,
            status,
            // Of an abandoned trace nothing more is expected: whoever waits for the end would wait for ever.
            state: if open { "in_progress" } else { "completed" },
            error: TraceErrorObject::of(row, status),
            llm_ms: row.llm_ms,
            tool_ms: row.tool_ms,
            overhead_ms: row.overhead_ms,
            span_count: row.span_count,
            generation_count: row.generation_count,
            tool_call_count: row.tool_call_count,
            tool_errors: row.tool_errors,
            handoff_count: row.handoff_count,
            guardrail_trips: row.guardrail_trips,
            open_spans: row.open_spans,
            lost_spans: row.lost_spans,
            input_tokens: row.usage.input_tokens,
            cached_tokens: row.usage.cached_tokens,
            output_tokens: row.usage.output_tokens,
            reasoning_tokens: row.usage.reasoning_tokens,
            tokens_source: row.tokens_source.as_deref(),
            total_cost_usd: row.cost.map(|cost| cost.to_usd()),
            cost_complete: row.cost_complete,
            cost_assumed: row.cost_assumed,
            models: &row.models,
            agents: &row.agents,
            tool_sequence: &row.tool_sequence,
            handoff_sequence: &row.handoff_sequence,
            lists_cut: row.lists_cut,
            input_preview: row.input_preview.as_deref(),
            output_preview: row.output_preview.as_deref(),
            original_message: None,
            final_response: None,
            content: row.content,
            content_hint: (row.content != Content::Full).then_some(CONTENT_HINT),
            extra: item.extra.as_ref().and_then(raw),
            first_received_at: row.first_received_at,
            last_received_at: row.last_received_at,
            seq: row.seq,
            found: None,
        }
    }

    /// Says in full what was asked and answered.
    pub(crate) fn with_turns(mut self, turns: &'a Turns) -> Self {
        self.original_message = Some(turns.original_message.as_deref());
        self.final_response = Some(turns.final_response.as_deref());
        self
    }

    /// Says where the text that was searched for was found.
    pub(crate) fn found_at(mut self, found: TraceMatch) -> Self {
        self.found = Some(found);
        self
    }
}

impl<'a> TraceErrorObject<'a> {
    /// A trace that still runs may get over its error.
    fn of(row: &'a TraceRow, status: TraceStatus) -> Option<Self> {
        let failed = matches!(status, TraceStatus::Error | TraceStatus::Timeout);
        Some(Self {
            r#type: row.error_type.as_deref().filter(|_| failed)?,
            message: row.error_message.as_deref(),
            span_id: row.error_span_id.as_ref(),
        })
    }
}

/// Returns up to when open spans of the trace are reckoned: now, or of a trace that is over its last
/// sign of life.
pub(crate) fn horizon(row: &TraceRow, now: Time, idle_micros: i64) -> Time {
    match row.status_at(now, idle_micros) {
        TraceStatus::Running => now,
        _ => row.ended_at.unwrap_or(row.last_received_at),
    }
}

fn no_metadata<'a>() -> &'a RawValue {
    serde_json::from_str("{}").expect("an empty object is JSON")
}
