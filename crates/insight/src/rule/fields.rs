//! Which fields do traces and spans have? The one table of names, types, meanings and how to read them.
//!
//! The checker, the evaluator, the storage predicate and the reference are all made from it.

use model::{Content, Source, SpanStatus, SpanType, TraceStatus};

use super::kinds::{Type, Words};
use super::scope::Eval;
use super::value::Value;

/// A field of a trace, a span or an error.
pub(super) struct Field<Read: 'static> {
    pub(super) name: &'static str,
    /// Other names for it: those of the guide and of SQL.
    pub(super) aliases: &'static [&'static str],
    pub(super) field_type: Type,
    pub(super) doc: &'static str,
    pub(super) read: Read,
    /// Of a trace: the column of `traces` that holds it.
    pub(super) column: Option<&'static str>,
}

/// Reads a field of the trace.
pub(super) type OfTrace = for<'a> fn(&Eval<'a>) -> Value<'a>;
/// Reads a field of the span at this place.
pub(super) type OfSpan = for<'a> fn(&Eval<'a>, u32) -> Value<'a>;

pub(super) type TraceField = Field<OfTrace>;
pub(super) type SpanField = Field<OfSpan>;

/// Returns the field of this name.
pub(super) fn find<Read>(
    fields: &'static [Field<Read>],
    name: &str,
) -> Option<&'static Field<Read>> {
    let is_it = |field: &&Field<Read>| field.name == name || field.aliases.contains(&name);
    fields.iter().find(is_it)
}

/// Returns all names of all fields.
pub(super) fn names<Read>(fields: &'static [Field<Read>]) -> impl Iterator<Item = &'static str> {
    let all = fields.iter();
    all.flat_map(|field| std::iter::once(field.name).chain(field.aliases.iter().copied()))
}

macro_rules! words {
    ($name:ident, $of:ident, $what:literal) => {
        static $name: Words = Words {
            what: $what,
            all: {
                const ALL: [&str; $of::ALL.len()] = {
                    let mut all = [""; $of::ALL.len()];
                    let mut at = 0;
                    while at < all.len() {
                        all[at] = $of::ALL[at].as_str();
                        at += 1;
                    }
                    all
                };
                &ALL
            },
        };
    };
}
words!(SPAN_TYPES, SpanType, "span type");
words!(SPAN_STATUSES, SpanStatus, "span status");
words!(TRACE_STATUSES, TraceStatus, "trace status");
words!(CONTENTS, Content, "content");
words!(SOURCES, Source, "source");
static STATES: Words = Words {
    what: "state",
    all: &["in_progress", "completed"],
};
static TOKENS_SOURCES: Words = Words {
    what: "tokens source",
    all: &["generation", "task"],
};

macro_rules! fields {
    ($($name:ident $(| $alias:ident)* : $type:expr, $column:expr, $doc:literal, $read:expr;)+) => {
        &[$(Field {
            name: stringify!($name),
            aliases: &[$(stringify!($alias)),*],
            field_type: $type,
            doc: $doc,
            read: $read,
            column: $column,
        }),+]
    };
}

const TEXTS: Type = Type::List(&Type::Text);
const SPANS: Type = Type::List(&Type::Span);

/// The fields of the trace: bare names in a rule.
pub(super) static TRACE_FIELDS: &[TraceField] = fields! {
    id | trace_id: Type::Text, Some("trace_id"), "the trace",
        |e| Value::Text(e.trace.row.item.trace_id.as_str());
    workflow_name: Type::Text, Some("workflow_name"), "what the sender calls the work",
        |e| Value::text(e.trace.row.item.workflow_name.as_deref());
    group_id: Type::Text, Some("group_id"), "the conversation or session",
        |e| Value::text(e.trace.row.item.group_id.as_ref().map(model::GroupId::as_str));
    user_id: Type::Text, Some("user_id"), "the user",
        |e| Value::text(e.trace.row.item.user_id.as_deref());
    agent_id: Type::Text, Some("agent_id"), "the agent as deployed",
        |e| Value::text(e.trace.row.item.agent_id.as_deref());
    version: Type::Text, Some("version"), "the version of the agent or app",
        |e| Value::text(e.trace.row.item.version.as_deref());
    environment: Type::Text, Some("environment"), "`production`, `staging`, …",
        |e| Value::text(e.trace.row.item.environment.as_deref());
    tags: TEXTS, None, "free labels",
        |e| e.trace.row.item.tags.as_deref().map_or(Value::Null, |tags| e.texts(tags));
    metadata: Type::Json, None, "the sender's metadata, as in `metadata.plan`",
        |e| e.json(e.trace.row.item.metadata.as_ref());
    started_at | start_time: Type::Time, Some("started_at"), "the earliest start of its spans",
        |e| Value::time(e.trace.row.started_at);
    ended_at | end_time: Type::Time, Some("ended_at"), "the latest end of its spans",
        |e| Value::time(e.trace.row.ended_at);
    duration_ms: Type::Double, Some("duration_ms"), "from the one to the other; of an open trace so far",
        |e| Value::double(e.trace.row.duration_ms);
    status: Type::Word(&TRACE_STATUSES), Some("status"), "what became of it",
        |e| Value::Text(e.trace.status.as_str());
    state: Type::Word(&STATES), None, "`in_progress` while it runs, else `completed`",
        |e| Value::Text(if e.trace.status == TraceStatus::Running { "in_progress" } else { "completed" });
    error: Type::TraceError, None, "the error that decided the status: `error.type`, `error.message`, `error.span_id`",
        |e| match (&e.trace.row.error_type, &e.trace.row.error_message) {
            (None, None) => Value::Null,
            _ => Value::TraceError,
        };
    error_type: Type::Text, Some("error_type"), "its class",
        |e| Value::text(e.trace.row.error_type.as_deref());
    error_message: Type::Text, Some("error_message"), "its message",
        |e| Value::text(e.trace.row.error_message.as_deref());
    error_span_id: Type::Text, Some("error_span_id"), "the span it happened in",
        |e| Value::text(e.trace.row.error_span_id.as_ref().map(model::SpanId::as_str));
    llm_ms: Type::Double, Some("llm_ms"), "time in which at least one model call ran",
        |e| Value::Double(e.trace.row.llm_ms);
    tool_ms: Type::Double, Some("tool_ms"), "time in which at least one tool ran",
        |e| Value::Double(e.trace.row.tool_ms);
    overhead_ms: Type::Double, Some("overhead_ms"), "the duration less the time in which a model call or a tool ran",
        |e| Value::Double(e.trace.row.overhead_ms);
    span_count: Type::Int, Some("span_count"), "spans",
        |e| Value::Int(e.trace.row.span_count);
    generation_count: Type::Int, Some("generation_count"), "model calls",
        |e| Value::Int(e.trace.row.generation_count);
    tool_call_count | tool_calls: Type::Int, Some("tool_call_count"), "tool calls",
        |e| Value::Int(e.trace.row.tool_call_count);
    tool_errors: Type::Int, Some("tool_errors"), "tool calls that ended in error, even if the run got over it",
        |e| Value::Int(e.trace.row.tool_errors);
    handoff_count: Type::Int, Some("handoff_count"), "handoffs from agent to agent, failed ones too",
        |e| Value::Int(e.trace.row.handoff_count);
    guardrail_trips: Type::Int, Some("guardrail_trips"), "guardrails that tripped",
        |e| Value::Int(e.trace.row.guardrail_trips);
    open_spans: Type::Int, Some("open_spans"), "spans without an end",
        |e| Value::Int(e.trace.row.open_spans);
    lost_spans: Type::Int, Some("lost_spans"), "parents that a span names and that never came",
        |e| Value::Int(e.trace.row.lost_spans);
    input_tokens: Type::Int, Some("input_tokens"), "tokens read, cached ones included",
        |e| Value::int(e.trace.row.usage.input_tokens);
    cached_tokens: Type::Int, Some("cached_tokens"), "of these, read from the provider's cache",
        |e| Value::int(e.trace.row.usage.cached_tokens);
    output_tokens: Type::Int, Some("output_tokens"), "tokens written, reasoning included",
        |e| Value::int(e.trace.row.usage.output_tokens);
    reasoning_tokens: Type::Int, Some("reasoning_tokens"), "of these, reasoning",
        |e| Value::int(e.trace.row.usage.reasoning_tokens);
    tokens_source: Type::Word(&TOKENS_SOURCES), Some("tokens_source"), "whose tokens were summed",
        |e| Value::text(e.trace.row.tokens_source.as_deref());
    total_cost_usd | cost_usd: Type::Double, Some("cost_nano_usd"), "the known cost",
        |e| Value::double(e.trace.row.cost.map(model::NanoUsd::to_usd));
    cost_complete: Type::Bool, Some("cost_complete"), "whether every model call is in it",
        |e| Value::Bool(e.trace.row.cost_complete);
    models: TEXTS, None, "models in the order of first use",
        |e| e.texts(&e.trace.row.models);
    agents: TEXTS, None, "agents in the order of first appearance",
        |e| e.texts(&e.trace.row.agents);
    tool_sequence: TEXTS, None, "names of the tool calls in their order, at most 1,000",
        |e| e.texts(&e.trace.row.tool_sequence);
    handoff_sequence: TEXTS, None, "handoffs as `A → B` in their order, at most 1,000; a failed one led nowhere and is not among them",
        |e| e.texts(&e.trace.row.handoff_sequence);
    input_preview: Type::Text, Some("input_preview"), "the first 256 characters of what the user said",
        |e| Value::text(e.trace.row.input_preview.as_deref());
    output_preview: Type::Text, Some("output_preview"), "the first 256 characters of the last answer",
        |e| Value::text(e.trace.row.output_preview.as_deref());
    user_input | original_message: Type::Text, None, "what the user said first, whole",
        |e| Value::text(e.trace.user_input.as_deref());
    final_output | final_response: Type::Text, None, "the last answer, whole",
        |e| Value::text(e.trace.final_output.as_deref());
    content: Type::Word(&CONTENTS), Some("content"), "how much of prompts and answers was sent",
        |e| Value::Text(e.trace.row.content.as_str());
    source: Type::Word(&SOURCES), Some("source"), "the way it came in",
        |e| Value::Text(e.trace.row.item.source.as_str());
    depth: Type::Int, None, "how deep its deepest span is nested",
        |e| Value::int(e.trace.spans.iter().map(|span| i64::from(span.depth)).max());
    spans: SPANS, None, "all spans in start order",
        |e| Value::AllSpans(u32::try_from(e.trace.spans.len()).unwrap_or(u32::MAX));
    calls: SPANS, None, "the tool calls among them",
        |e| Value::Spans(&e.trace.functions);
    gens: SPANS, None, "the model calls among them",
        |e| Value::Spans(&e.trace.generations);
    handoffs: SPANS, None, "the handoffs among them",
        |e| Value::Spans(&e.trace.handoffs);
    guards: SPANS, None, "the guardrails among them",
        |e| Value::Spans(&e.trace.guardrails);
    ref: Type::Json, None, "what should have been done, if a reference is given for the trace",
        |e| e.trace.reference.as_ref().map_or(Value::Null, Value::of_json);
};

/// The fields of a span.
pub(super) static SPAN_FIELDS: &[SpanField] = fields! {
    id | span_id: Type::Text, None, "the span",
        |e, at| Value::Text(e.span(at).span_id.as_str());
    trace_id: Type::Text, None, "its trace",
        |e, at| Value::Text(e.span(at).trace_id.as_str());
    parent_id: Type::Text, None, "the enclosing span, as the sender told it",
        |e, at| Value::text(e.span(at).parent_id.as_ref().map(model::SpanId::as_str));
    parent: Type::Span, None, "the nearest enclosing span that counts, as in `s.parent.name`",
        |e, at| e.view(at).parent.map_or(Value::Null, Value::Span);
    depth: Type::Int, None, "how many spans enclose it",
        |e, at| Value::Int(i64::from(e.view(at).depth));
    type: Type::Word(&SPAN_TYPES), None, "what it is",
        |e, at| Value::Text(e.span(at).span_type.as_str());
    source_type: Type::Text, None, "the type as the sender called it",
        |e, at| Value::Text(&e.span(at).source_type);
    name | function_name: Type::Text, None, "the tool, the model, the agent, `A → B`, or what the sender named it",
        |e, at| Value::Text(&e.span(at).name);
    agent: Type::Text, None, "the agent at work",
        |e, at| Value::text(e.view(at).agent.as_deref());
    started_at | start_time: Type::Time, None, "its start",
        |e, at| Value::time(e.span(at).started_at);
    ended_at | end_time: Type::Time, None, "its end; missing while it is open",
        |e, at| Value::time(e.span(at).ended_at.filter(|_| e.span(at).has_ended()));
    duration_ms: Type::Double, None, "from the one to the other; of an open span so far",
        |e, at| Value::double(e.view(at).duration_ms);
    self_ms: Type::Double, None, "the duration less the time in which a child ran",
        |e, at| Value::double(e.view(at).self_ms);
    status: Type::Word(&SPAN_STATUSES), None, "how it ended, or that it did not",
        |e, at| Value::Text(e.span(at).status.as_str());
    error: Type::SpanError, None, "what went wrong: `error.type`, `error.message`, `error.cause`, `error.data`",
        |e, at| e.span(at).error.as_ref().map_or(Value::Null, |_| Value::SpanError(at));
    error_type: Type::Text, None, "its class",
        |e, at| Value::text(e.span(at).error.as_ref().map(|error| error.kind.as_str()));
    error_message: Type::Text, None, "its message",
        |e, at| Value::text(e.span(at).error.as_ref().map(|error| error.message.as_str()));
    input: Type::Text, None, "what went in: the words of all messages, else the arguments",
        |e, at| Value::text(e.input(at));
    output: Type::Text, None, "what came out: the words of all messages, else the result",
        |e, at| Value::text(e.output(at));
    arguments: Type::Json, None, "what a tool was given, as in `s.arguments.city`",
        |e, at| e.arguments(at);
    result: Type::Json, None, "what a tool gave back",
        |e, at| e.result(at);
    model | model_name: Type::Text, None, "the model that answered",
        |e, at| Value::text(e.span(at).model.as_deref());
    provider: Type::Text, None, "who served the model",
        |e, at| Value::text(e.span(at).provider.as_deref());
    finish_reason: Type::Text, None, "why the model stopped",
        |e, at| Value::text(e.span(at).finish_reason.as_deref());
    ttft_ms: Type::Double, None, "time to the first token",
        |e, at| Value::double(e.span(at).ttft_ms);
    input_tokens: Type::Int, None, "tokens read, cached ones included",
        |e, at| Value::int(e.span(at).usage.input_tokens);
    cached_tokens: Type::Int, None, "of these, read from the provider's cache",
        |e, at| Value::int(e.span(at).usage.cached_tokens);
    output_tokens: Type::Int, None, "tokens written, reasoning included",
        |e, at| Value::int(e.span(at).usage.output_tokens);
    reasoning_tokens: Type::Int, None, "of these, reasoning",
        |e, at| Value::int(e.span(at).usage.reasoning_tokens);
    cost_usd: Type::Double, None, "what the call cost",
        |e, at| Value::double(e.span(at).cost.map(model::NanoUsd::to_usd));
    tool_call_id: Type::Text, None, "the model's id for a tool call",
        |e, at| Value::text(e.span(at).tool_call_id.as_deref());
    source_agent | from_agent: Type::Text, None, "of a handoff: who handed over",
        |e, at| Value::text(e.span(at).handoff_from.as_deref());
    destination_agent | to_agent: Type::Text, None, "of a handoff: who took over",
        |e, at| Value::text(e.span(at).handoff_to.as_deref());
    triggered | tripwire_triggered: Type::Bool, None, "whether a guardrail tripped",
        |e, at| Value::bool(e.span(at).triggered);
    guardrail_type: Type::Text, None, "`input`, `output` or `tool`",
        |e, at| Value::text(e.span(at).guardrail_type.as_deref());
    derived: Type::Bool, None, "whether we made it from a response's hosted tool calls",
        |e, at| Value::Bool(e.span(at).derived);
    data | span_data: Type::Json, None, "the span's data as sent, messages as references",
        |e, at| e.json(e.span(at).payload.data.as_ref());
    attributes: Type::Json, None, "its attributes, as sent",
        |e, at| e.json(e.span(at).payload.attributes.as_ref());
    resource: Type::Json, None, "the OTLP resource",
        |e, at| e.json(e.span(at).payload.resource.as_ref());
    scope: Type::Json, None, "the OTLP instrumentation scope",
        |e, at| e.json(e.span(at).payload.scope.as_ref());
    events: Type::Json, None, "OTLP events",
        |e, at| e.json(e.span(at).payload.events.as_ref());
    links: Type::Json, None, "OTLP links",
        |e, at| e.json(e.span(at).payload.links.as_ref());
};

/// The fields of `error` of a trace.
pub(super) static TRACE_ERROR_FIELDS: &[TraceField] = fields! {
    type: Type::Text, Some("error_type"), "its class",
        |e| Value::text(e.trace.row.error_type.as_deref());
    message: Type::Text, Some("error_message"), "its message",
        |e| Value::text(e.trace.row.error_message.as_deref());
    span_id: Type::Text, Some("error_span_id"), "the span it happened in",
        |e| Value::text(e.trace.row.error_span_id.as_ref().map(model::SpanId::as_str));
};

/// The fields of `error` of a span.
pub(super) static SPAN_ERROR_FIELDS: &[SpanField] = fields! {
    type: Type::Text, None, "its class: an exception's name, `tool_error`, `timeout`, …",
        |e, at| Value::text(e.span(at).error.as_ref().map(|error| error.kind.as_str()));
    message: Type::Text, None, "its message",
        |e, at| Value::text(e.span(at).error.as_ref().map(|error| error.message.as_str()));
    cause: Type::Text, None, "why: what its data say went wrong where the message is a runner's own sentence (`Error running tool`), else the message with what the data add",
        |e, at| Value::text(e.cause(at));
    data: Type::Json, None, "the sender's data, as sent",
        |e, at| e.json(e.span(at).error.as_ref().and_then(|error| error.data.as_ref()));
};

/// Fields of the trace that hold what was said, which lies apart from the columns.
pub(super) const SAID_OF_TRACE: [&str; 2] = ["user_input", "final_output"];

/// Fields of a span, and of its error, that lie apart from the columns: what was said, and what the sender
/// sent as it was.
pub(super) const SAID_OF_SPAN: [&str; 11] = [
    "cause",
    "input",
    "output",
    "arguments",
    "result",
    "data",
    "attributes",
    "resource",
    "scope",
    "events",
    "links",
];

/// Returns the field of this name of a span, for what is built without a name in the source.
pub(super) fn span_field(name: &str) -> &'static SpanField {
    find(SPAN_FIELDS, name).expect("the table has it")
}
