//! One operation inside a trace: the columns everybody filters by, and the payload behind them.

use crate::{
    JsonText, MessageHash, NanoUsd, SOURCE_TYPE_LOG_RECORD, SpanError, SpanId, Time, TraceId,
};

/// A word that names no value of a closed set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} {word:?}; known: {known}")]
pub struct UnknownWord {
    /// What was looked for, such as `span type`.
    pub what: &'static str,
    /// The word that was given.
    pub word: String,
    /// The words that would have done, separated by commas.
    pub known: String,
}

macro_rules! closed_words {
    ($(#[$doc:meta])* $name:ident, $what:literal, { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every value, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Returns the word used in JSON, SQL and on the command line.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::UnknownWord;
            fn from_str(word: &str) -> Result<Self, crate::UnknownWord> {
                Self::ALL.iter().copied().find(|value| value.as_str() == word).ok_or_else(|| {
                    let known: Vec<_> = Self::ALL.iter().map(|value| value.as_str()).collect();
                    crate::UnknownWord { what: $what, word: word.to_owned(), known: known.join(", ") }
                })
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(self.as_str())
            }
        }
    };
}
pub(crate) use closed_words;

closed_words!(
    /// The normalised type of a span.
    SpanType, "span type", {
        /// An agent at work.
        Agent = "agent",
        /// One model call.
        Generation = "generation",
        /// One tool call.
        Function = "function",
        /// Control passed from one agent to another.
        Handoff = "handoff",
        /// A check of input or output.
        Guardrail = "guardrail",
        /// The listing of an MCP server's tools.
        McpTools = "mcp_tools",
        /// A search for documents.
        Retrieval = "retrieval",
        /// Text to vectors.
        Embedding = "embedding",
        /// Speech to text.
        Transcription = "transcription",
        /// Text to speech.
        Speech = "speech",
        /// Several speech spans of one answer.
        SpeechGroup = "speech_group",
        /// A whole run of the SDK's runner.
        Task = "task",
        /// One turn of a run.
        Turn = "turn",
        /// A check of quality, made by the sender.
        Evaluator = "evaluator",
        /// Anything else; `source_type` says what the sender called it.
        Custom = "custom",
    }
);

closed_words!(
    /// How a span ended, or that it did not.
    SpanStatus, "span status", {
        /// Ended without an error.
        Success = "success",
        /// Ended with an error.
        Error = "error",
        /// Started, not yet ended.
        Open = "open",
    }
);

closed_words!(
    /// The way a row came in.
    Source, "source", {
        /// The Agents SDK's own wire format.
        Openai = "openai",
        /// OpenTelemetry.
        Otlp = "otlp",
        /// Our own SDKs.
        Sdk = "sdk",
        /// The recording proxy.
        Proxy = "proxy",
        /// A file.
        Import = "import",
    }
);

/// Tokens of one model call; `None` is "not told", which is not zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Tokens read, cached ones included.
    pub input_tokens: Option<i64>,
    /// Tokens read from the provider's cache, a part of `input_tokens`.
    pub cached_tokens: Option<i64>,
    /// Tokens written, reasoning included.
    pub output_tokens: Option<i64>,
    /// Tokens of reasoning, a part of `output_tokens`.
    pub reasoning_tokens: Option<i64>,
}

impl Usage {
    /// Returns whether any count was told.
    pub fn is_known(&self) -> bool {
        *self != Self::default()
    }
}

/// Counts of what a sender dropped before it reached us (OTLP tells them).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DroppedCounts {
    /// Attributes dropped.
    pub attributes: u32,
    /// Events dropped.
    pub events: u32,
    /// Links dropped.
    pub links: u32,
}

/// One span. All but `payload` is what lists, filters and the trace row are made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// The trace it belongs to.
    pub trace_id: TraceId,
    /// Its id within the trace.
    pub span_id: SpanId,
    /// The enclosing span, which may never arrive or live in another trace.
    pub parent_id: Option<SpanId>,
    /// The normalised type.
    pub span_type: SpanType,
    /// The type as the sender called it.
    pub source_type: String,
    /// What the sender named it, else a name made from what it did.
    pub name: String,
    /// The enclosing agent, where it is known when the row is written.
    pub agent: Option<String>,
    /// The start, as sent.
    pub started_at: Option<Time>,
    /// The end, as sent; `None` while open.
    pub ended_at: Option<Time>,
    /// How it ended, or that it did not.
    pub status: SpanStatus,
    /// What went wrong.
    pub error: Option<SpanError>,
    /// The model that answered.
    pub model: Option<String>,
    /// Who served the model.
    pub provider: Option<String>,
    /// Tokens.
    pub usage: Usage,
    /// What the call cost; `None` is "unknown".
    pub cost: Option<NanoUsd>,
    /// Whether `cost` rests on a model the project assumed because the sender did not tell it.
    pub cost_assumed: bool,
    /// Why the model stopped.
    pub finish_reason: Option<String>,
    /// Milliseconds to the first token.
    pub ttft_ms: Option<f64>,
    /// The model's id for this tool call.
    pub tool_call_id: Option<String>,
    /// The agent that handed over.
    pub handoff_from: Option<String>,
    /// The agent that took over; `None` if the handoff failed.
    pub handoff_to: Option<String>,
    /// Whether a guardrail tripped.
    pub triggered: Option<bool>,
    /// `input`, `output` or `tool`, where it is known.
    pub guardrail_type: Option<String>,
    /// The first characters of what went in, decoded.
    pub input_preview: Option<String>,
    /// The first characters of what came out, decoded.
    pub output_preview: Option<String>,
    /// HTTP or database plumbing, kept but not counted.
    pub noise: bool,
    /// Made by us from a response's hosted tool calls.
    pub derived: bool,
    /// The span that tells of the same model call and is counted instead.
    pub merged_into: Option<SpanId>,
    /// The way it came in.
    pub source: Source,
    /// Everything that is not needed to list or filter.
    pub payload: Payload,
}

impl Span {
    /// Returns a bare span; a decoder fills in what its sender told.
    pub fn new(trace_id: TraceId, span_id: SpanId, span_type: SpanType, source: Source) -> Self {
        Self {
            trace_id,
            span_id,
            parent_id: None,
            span_type,
            source_type: span_type.as_str().to_owned(),
            name: String::new(),
            agent: None,
            started_at: None,
            ended_at: None,
            status: SpanStatus::Open,
            error: None,
            model: None,
            provider: None,
            usage: Usage::default(),
            cost: None,
            cost_assumed: false,
            finish_reason: None,
            ttft_ms: None,
            tool_call_id: None,
            handoff_from: None,
            handoff_to: None,
            triggered: None,
            guardrail_type: None,
            input_preview: None,
            output_preview: None,
            noise: false,
            derived: false,
            merged_into: None,
            source,
            payload: Payload::default(),
        }
    }

    /// Returns a copy with an empty payload, without copying the payload on the way.
    pub fn without_payload(&self) -> Self {
        let Self {
            trace_id,
            span_id,
            parent_id,
            source_type,
            name,
            agent,
            error,
            ..
        } = self;
        Self {
            trace_id: trace_id.clone(),
            span_id: span_id.clone(),
            parent_id: parent_id.clone(),
            source_type: source_type.clone(),
            name: name.clone(),
            agent: agent.clone(),
            error: error.clone(),
            model: self.model.clone(),
            provider: self.provider.clone(),
            finish_reason: self.finish_reason.clone(),
            tool_call_id: self.tool_call_id.clone(),
            handoff_from: self.handoff_from.clone(),
            handoff_to: self.handoff_to.clone(),
            guardrail_type: self.guardrail_type.clone(),
            input_preview: self.input_preview.clone(),
            output_preview: self.output_preview.clone(),
            merged_into: self.merged_into.clone(),
            payload: Payload::default(),
            ..*self
        }
    }

    /// Returns whether the span has ended.
    pub fn has_ended(&self) -> bool {
        self.status != SpanStatus::Open
    }

    /// Returns whether the span stands for itself in counts and sequences.
    pub fn is_counted(&self) -> bool {
        !self.noise && self.merged_into.is_none()
    }

    /// Takes over what `double`, which tells of the same model call, knows beyond this one.
    pub fn fill_from(&mut self, double: &Span) {
        fn take<T: Clone>(mine: &mut Option<T>, theirs: &Option<T>) {
            if mine.is_none() {
                mine.clone_from(theirs);
            }
        }
        let (mine, theirs) = (&mut self.usage, &double.usage);
        take(&mut mine.input_tokens, &theirs.input_tokens);
        take(&mut mine.cached_tokens, &theirs.cached_tokens);
        take(&mut mine.output_tokens, &theirs.output_tokens);
        take(&mut mine.reasoning_tokens, &theirs.reasoning_tokens);
        // A dated version says more than the name that was asked for.
        let is_version = |dated: &String| {
            self.model
                .as_ref()
                .is_some_and(|asked| dated.starts_with(asked))
        };
        match &double.model {
            Some(dated) if is_version(dated) => {
                if self.name == *self.model.as_deref().unwrap_or_default() {
                    self.name.clone_from(dated);
                }
                self.model = Some(dated.clone());
            }
            other => take(&mut self.model, other),
        }
        take(&mut self.provider, &double.provider);
        take(&mut self.agent, &double.agent);
        take(&mut self.cost, &double.cost);
        take(&mut self.finish_reason, &double.finish_reason);
        take(&mut self.ttft_ms, &double.ttft_ms);
        take(&mut self.tool_call_id, &double.tool_call_id);
        take(&mut self.input_preview, &double.input_preview);
        take(&mut self.output_preview, &double.output_preview);
        // What went wrong further in may have been got over; a record tells of this very span.
        if double.is_log_record() {
            take(&mut self.error, &double.error);
            if self.error.is_some() && self.status == SpanStatus::Success {
                self.status = SpanStatus::Error;
            }
        }
    }

    /// Returns whether this is no operation but a log record that belongs to one.
    pub fn is_log_record(&self) -> bool {
        self.merged_into.is_some() && self.source_type == SOURCE_TYPE_LOG_RECORD
    }

    /// Returns whether `self`, which came later, takes the place of `earlier` (the winner rule: an
    /// end beats an open, else the later one wins).
    pub fn supersedes(&self, earlier: &Span) -> bool {
        self.has_ended() || !earlier.has_ended()
    }
}

/// The wide part of a span: JSON texts and references to messages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Payload {
    /// Hashes of what went in, in the order of `data`: instructions, tool schemas, messages.
    pub input_refs: Vec<MessageHash>,
    /// Hashes of what came out, in the order of `data`.
    pub output_refs: Vec<MessageHash>,
    /// `span_data` as sent, with references in place of the messages (see [`crate::payload`]).
    pub data: Option<JsonText>,
    /// Attributes (OTLP) or span metadata (Agents SDK), as sent.
    pub attributes: Option<JsonText>,
    /// The OTLP resource.
    pub resource: Option<JsonText>,
    /// The OTLP instrumentation scope.
    pub scope: Option<JsonText>,
    /// OTLP events.
    pub events: Option<JsonText>,
    /// OTLP links.
    pub links: Option<JsonText>,
    /// Keys of the item that we do not know, as sent: an object.
    pub extra: Option<JsonText>,
    /// What the sender dropped.
    pub dropped: DroppedCounts,
}
