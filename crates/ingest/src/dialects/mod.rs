//! What a span of OpenTelemetry means: one file a dialect, and the order in which they are asked.
//!
//! Instrumentations overlap on one span: a framework sets its own kind on purpose, while generic
//! attributes are inherited or translated. So the first dialect that recognises a span decides its
//! type, in the order of [`DIALECTS`], and each field is then taken from the first attribute that has
//! it, whoever wrote it. Names of scopes and spans are hints only. No attribute is lost: all of them
//! are stored beside what is read here.

mod adk;
mod content;
mod declared;
mod failure;
mod fields;
mod genai;
mod generic;
mod langfuse;
mod langsmith;
mod logfire;
mod mastra;
mod mcp;
mod mlflow;
mod openai_events;
mod openinference;
mod openllmetry;
mod others;
mod pydantic_ai;
mod run;
mod traceloop;
mod usage;
mod vercel;

use model::{Span, SpanType};

use crate::otlp::{Attributes, Docs, RawEvent};

pub use content::Contents;
pub(crate) use content::{contents, previews, written_value};
pub(crate) use declared::declared;
pub(crate) use failure::error;
pub(crate) use fields::requested_model;
pub(crate) use run::RunFacts;

/// A span as dialects see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen<'s, 'b> {
    /// The name of the span.
    pub(crate) name: &'s str,
    /// The name of the scope.
    pub(crate) scope: &'s str,
    /// Its attributes.
    pub(crate) attributes: &'s Attributes<'b>,
    /// Those of them that are long and JSON.
    pub(crate) docs: &'s Docs<'s>,
    /// Its events, and log records that were joined to it.
    pub(crate) events: &'s [RawEvent<'b>],
    /// Whether it has a parent.
    pub(crate) is_root: bool,
    /// 0 unset, 1 ok, 2 error.
    pub(crate) status_code: i32,
    /// What the status says.
    pub(crate) status_message: &'s str,
    /// When it started, in nanoseconds since 1970; 0 is unknown.
    pub(crate) start_nanos: u64,
}

impl<'s> Seen<'s, '_> {
    /// Returns the text of an attribute, unless it is empty.
    pub(crate) fn text(&self, key: &str) -> Option<&'s str> {
        self.attributes.text(key)
    }
}

/// What a dialect says that a span is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    /// The dialect that said so.
    pub(crate) dialect: &'static str,
    /// The normalised type.
    pub(crate) span_type: SpanType,
    /// The type as the sender called it.
    pub(crate) source_type: String,
    /// The name of what the span did, where the dialect has a place of its own for it.
    pub(crate) name: Option<String>,
    /// The agent that handed over.
    pub(crate) handoff_from: Option<String>,
    /// The agent that took over.
    pub(crate) handoff_to: Option<String>,
}

impl Told {
    /// Says that the span is of `span_type`, which the sender called `source_type`.
    fn is(&mut self, span_type: SpanType, source_type: &str) {
        self.span_type = span_type;
        self.source_type = source_type.to_owned();
    }
}

/// One dialect.
struct Dialect {
    name: &'static str,
    recognise: fn(&Seen<'_, '_>) -> bool,
    map: fn(&Seen<'_, '_>, &mut Told),
}

macro_rules! dialects {
    ($($name:ident),+ $(,)?) => {
        /// Every dialect; the first that recognises a span decides what it is.
        static DIALECTS: &[Dialect] = &[
            $(Dialect { name: stringify!($name), recognise: $name::recognise, map: $name::map }),+
        ];
    };
}

dialects![
    langfuse,
    openinference,
    langsmith,
    mlflow,
    traceloop,
    logfire,
    mastra,
    others,
    mcp,
    openllmetry,
    vercel,
    genai,
    adk,
    pydantic_ai,
    openai_events,
    generic,
];

/// Returns what a span is.
pub(crate) fn told(seen: &Seen<'_, '_>) -> Told {
    let mut told = Told {
        dialect: "none",
        span_type: SpanType::Custom,
        source_type: "span".to_owned(),
        name: None,
        handoff_from: None,
        handoff_to: None,
    };
    let dialect = DIALECTS.iter().find(|dialect| (dialect.recognise)(seen));
    if let Some(dialect) = dialect {
        told.dialect = dialect.name;
        (dialect.map)(seen, &mut told);
    }
    told
}

/// Fills in the type and every column that depends on what the span means.
pub(crate) fn fill(span: &mut Span, seen: &Seen<'_, '_>) -> Told {
    let told = told(seen);
    span.span_type = told.span_type;
    span.source_type.clone_from(&told.source_type);
    fields::fill(span, seen, &told);
    span.noise = told.span_type == SpanType::Custom && is_plumbing(seen);
    span.error = error(seen, told.span_type);
    previews(span, seen);
    told
}

/// Returns whether a span of no agent framework tells of a request to a server or a database.
fn is_plumbing(seen: &Seen<'_, '_>) -> bool {
    const MARKS: [&str; 11] = [
        "http.request.method",
        "http.method",
        "url.full",
        "http.url",
        "db.system.name",
        "db.system",
        "rpc.system",
        "rpc.system.name",
        "messaging.system",
        "http.route",
        "dns.question.name",
    ];
    // What a framework says on purpose about a span makes it a part of the run.
    const FRAMEWORKS: [&str; 9] = [
        "gen_ai.",
        "openinference.",
        "langfuse.observation.",
        "langsmith.",
        "traceloop.entity.",
        "mlflow.",
        "ai.",
        "mcp.",
        "llm.",
    ];
    let attributes = seen.attributes;
    MARKS.iter().any(|key| attributes.has(key))
        && !FRAMEWORKS.iter().any(|key| attributes.has_under(key))
}
