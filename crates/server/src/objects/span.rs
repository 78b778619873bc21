//! A span as the API tells it.

use model::{JsonText, Span, SpanId, SpanStatus, SpanType, Time, TraceId};
use serde::Serialize;
use serde_json::value::RawValue;
use store::SpanRow;
use utoipa::ToSchema;

use super::payload::{Detail, Part, Parts, Shown};

/// What only the whole trace tells of a span.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// How many ancestors it has.
    pub(crate) depth: u32,
    /// The agent at work.
    pub(crate) agent: Option<&'a str>,
    /// Up to when an open span is reckoned.
    pub(crate) horizon: Time,
}

/// One operation inside a trace.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Span)]
pub(crate) struct SpanObject<'a> {
    #[schema(value_type = String)]
    id: &'a SpanId,
    /// `trace.span`.
    object: &'static str,
    #[schema(value_type = String)]
    trace_id: &'a TraceId,
    #[schema(value_type = Option<String>)]
    parent_id: Option<&'a SpanId>,
    /// How many ancestors it has in the trace.
    depth: u32,
    /// The normalised type, such as `generation`.
    #[schema(value_type = String)]
    r#type: SpanType,
    /// The type as the sender called it.
    source_type: &'a str,
    name: &'a str,
    /// The agent at work.
    agent: Option<&'a str>,
    #[schema(value_type = Option<String>, format = DateTime)]
    started_at: Option<Time>,
    /// Null while open.
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Time>,
    /// `started_at`, as the trace grading guide calls it.
    #[schema(value_type = Option<String>, format = DateTime)]
    start_time: Option<Time>,
    /// `ended_at`, as the trace grading guide calls it.
    #[schema(value_type = Option<String>, format = DateTime)]
    end_time: Option<Time>,
    /// While open: so far.
    duration_ms: Option<f64>,
    /// `success`, `error` or `open`.
    #[schema(value_type = String)]
    status: SpanStatus,
    error: Option<SpanErrorObject<'a>>,
    model: Option<&'a str>,
    /// `model`, as traces of other systems call it.
    model_name: Option<&'a str>,
    provider: Option<&'a str>,
    finish_reason: Option<&'a str>,
    ttft_ms: Option<f64>,
    input_tokens: Option<i64>,
    cached_tokens: Option<i64>,
    output_tokens: Option<i64>,
    reasoning_tokens: Option<i64>,
    /// Null is unknown.
    cost_usd: Option<f64>,
    /// Whether the cost rests on a model that the project assumes.
    cost_assumed: bool,
    #[serde(flatten)]
    special: Special<'a>,
    /// HTTP or database plumbing, not counted.
    noise: bool,
    /// Made by us from a response's hosted tool calls.
    derived: bool,
    /// The span that tells of the same model call and is counted instead.
    #[schema(value_type = Option<String>)]
    merged_into: Option<&'a SpanId>,
    /// How much of the payload is here: without it the keys below are missing.
    payload: Detail,
    #[serde(flatten)]
    previews: Option<Previews<'a>>,
    #[serde(flatten)]
    full: Option<Full<'a>>,
    #[schema(value_type = String, format = DateTime)]
    received_at: Time,
    /// The number of the span's row: it grows with every change.
    seq: i64,
}

/// What went wrong.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SpanError)]
struct SpanErrorObject<'a> {
    /// The exception's class, or a word such as `tool_error`.
    r#type: &'a str,
    message: &'a str,
    /// As sent.
    #[schema(value_type = Option<Object>)]
    data: Option<&'a RawValue>,
}

/// What spans of one type have and others have not.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = SpanSpecial)]
enum Special<'a> {
    Function {
        tool_call_id: Option<&'a str>,
        /// The tool's name.
        function_name: &'a str,
    },
    Handoff {
        source_agent: Option<&'a str>,
        /// Null if the handoff failed.
        destination_agent: Option<&'a str>,
        from_agent: Option<&'a str>,
        to_agent: Option<&'a str>,
    },
    Guardrail {
        triggered: Option<bool>,
        tripwire_triggered: Option<bool>,
        /// `input`, `output` or `tool`, where it is known.
        guardrail_type: Option<&'a str>,
    },
    Other {},
}

/// The first words of the payload.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SpanPreviews)]
struct Previews<'a> {
    input_preview: Option<&'a str>,
    output_preview: Option<&'a str>,
}

/// The payload.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SpanPayload)]
struct Full<'a> {
    /// As sent; if it cannot be had, `{"error":{"code","message"}}` (so for the next four too).
    #[schema(value_type = Option<Object>)]
    span_data: Part<'a>,
    #[schema(value_type = Option<Object>)]
    input: Part<'a>,
    #[schema(value_type = Option<Object>)]
    output: Part<'a>,
    /// Of functions: the input as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    arguments: Option<Part<'a>>,
    /// Of functions: the output.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    result: Option<Part<'a>>,
    #[schema(value_type = Option<Object>)]
    attributes: Option<&'a RawValue>,
    #[schema(value_type = Option<Object>)]
    resource: Option<&'a RawValue>,
    #[schema(value_type = Option<Object>)]
    scope: Option<&'a RawValue>,
    #[schema(value_type = Option<Object>)]
    events: Option<&'a RawValue>,
    #[schema(value_type = Option<Object>)]
    links: Option<&'a RawValue>,
    /// What else the sender said of the span, as sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    extra: Option<&'a RawValue>,
    /// What the sender dropped before it reached us.
    dropped_attributes: u32,
    dropped_events: u32,
    dropped_links: u32,
}

impl<'a> SpanObject<'a> {
    /// Returns the span of `row`.
    pub(crate) fn new(row: &'a SpanRow, place: Place<'a>, shown: &'a Shown) -> Self {
        let span: &'a Span = &row.span;
        let ended_at = span.ended_at.filter(|_| span.has_ended());
        Self {
            id: &span.span_id,
            object: "trace.span",
            trace_id: &span.trace_id,
            parent_id: span.parent_id.as_ref(),
            depth: place.depth,
            r#type: span.span_type,
            source_type: &span.source_type,
            name: &span.name,
            agent: place.agent,
            started_at: span.started_at,
            ended_at,
            start_time: span.started_at,
            end_time: ended_at,
            duration_ms: moved_micros(span, place.horizon).map(|micros| micros as f64 / 1e3),
            status: span.status,
            error: span.error.as_ref().map(|error| SpanErrorObject {
                r#type: &error.kind,
                message: &error.message,
                data: error.data.as_ref().and_then(raw),
            }),
            model: span.model.as_deref(),
            model_name: span.model.as_deref(),
            provider: span.provider.as_deref(),
            finish_reason: span.finish_reason.as_deref(),
            ttft_ms: span.ttft_ms,
            input_tokens: span.usage.input_tokens,
            cached_tokens: span.usage.cached_tokens,
            output_tokens: span.usage.output_tokens,
            reasoning_tokens: span.usage.reasoning_tokens,
            cost_usd: span.cost.map(|cost| cost.to_usd()),
            cost_assumed: span.cost_assumed,
            special: Special::of(span),
            noise: span.noise,
            derived: span.derived,
            merged_into: span.merged_into.as_ref(),
            payload: shown.detail(),
            previews: (shown.detail() != Detail::None).then_some(Previews {
                input_preview: span.input_preview.as_deref(),
                output_preview: span.output_preview.as_deref(),
            }),
            full: Full::of(span, shown),
            received_at: row.received_at,
            seq: row.seq,
        }
    }
}

impl<'a> Special<'a> {
    fn of(span: &'a Span) -> Self {
        let (from, to) = (span.handoff_from.as_deref(), span.handoff_to.as_deref());
        match span.span_type {
            SpanType::Function => Self::Function {
                tool_call_id: span.tool_call_id.as_deref(),
                function_name: &span.name,
            },
            SpanType::Handoff => Self::Handoff {
                source_agent: from,
                destination_agent: to,
                from_agent: from,
                to_agent: to,
            },
            SpanType::Guardrail => Self::Guardrail {
                triggered: span.triggered,
                tripwire_triggered: span.triggered,
                guardrail_type: span.guardrail_type.as_deref(),
            },
            _ => Self::Other {},
        }
    }
}

impl<'a> Full<'a> {
    fn of(span: &'a Span, shown: &'a Shown) -> Option<Self> {
        let parts = Parts::of(span.span_type, shown)?;
        let is_function = span.span_type == SpanType::Function;
        let kept = |text: &'a Option<JsonText>| text.as_ref().and_then(raw);
        let payload = &span.payload;
        Some(Self {
            span_data: parts.span_data,
            input: parts.input,
            output: parts.output,
            arguments: is_function.then_some(parts.arguments),
            result: is_function.then_some(parts.result),
            attributes: shown.attributes(span),
            resource: kept(&payload.resource),
            scope: kept(&payload.scope),
            events: kept(&payload.events),
            links: kept(&payload.links),
            extra: kept(&payload.extra),
            dropped_attributes: payload.dropped.attributes,
            dropped_events: payload.dropped.events,
            dropped_links: payload.dropped.links,
        })
    }
}

/// Returns how long a span took, an open one up to `horizon`.
pub(crate) fn moved_micros(span: &Span, horizon: Time) -> Option<i64> {
    let start = span.started_at?.as_micros();
    match span.has_ended() {
        true => Some(span.ended_at?.as_micros().saturating_sub(start).max(0)),
        false => Some(horizon.as_micros().saturating_sub(start).max(0)),
    }
}

/// Returns a stored JSON text for passing on as it is.
pub(super) fn raw(text: &JsonText) -> Option<&RawValue> {
    match serde_json::from_str(text.as_str()) {
        Ok(raw) => Some(raw),
        Err(error) => {
            // Decoders only keep what is JSON and files have checksums: this is a bug of ours.
            tracing::error!(%error, "a stored JSON text is none");
            None
        }
    }
}
