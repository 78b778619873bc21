//! What a value is, by where it stands in what is stored of a span or trace.
//!
//! Lists of attributes and the switch for content are about some places and not about others. A
//! place is found on the way down, one key at a time.

use model::SpanType;

use crate::json::{Kind, Value};

/// Texts longer than this are content, whatever their attribute is called, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// The key under which a row says what was taken out of it.
pub(crate) const NOTE_KEY: &str = "tracegrade.redacted";

/// Where a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// `span_data` of the Agents SDK, of a span of this type.
    SpanData(SpanType),
    /// Its `model_config`.
    ModelConfig,
    /// What a span of OpenTelemetry keeps apart from its short attributes.
    Telemetry,
    /// Its log records, and one of them.
    Records,
    Record,
    /// An object whose members are attributes.
    Attributes,
    /// An object whose members are attributes and no content: metadata, and who sent it.
    Metadata,
    /// A resource or a scope.
    Group,
    /// A list of events or links, and one of them.
    Events,
    Event,
    /// What no column holds, and in it how the span ended.
    Extra,
    Status,
    /// The data of an error.
    ErrorData,
    /// Anything else.
    Inside,
}

/// What becomes of a value where content is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Kept,
    /// `null` stands in its place.
    Emptied,
    /// It goes with its key.
    Removed,
}

impl Place {
    /// Returns the place of a member.
    pub(super) fn member(self, key: &str) -> Self {
        match (self, key) {
            (Self::SpanData(_), "model_config") => Self::ModelConfig,
            (Self::Telemetry, "json" | "values") => Self::Attributes,
            (Self::Telemetry, "records") => Self::Records,
            (Self::Records, "list") => Self::Records,
            (Self::Record | Self::Event, "attributes") => Self::Attributes,
            (Self::Group, "attributes") => Self::Metadata,
            (Self::Extra, "status") => Self::Status,
            _ => Self::Inside,
        }
    }

    /// Returns the place of an element.
    pub(super) fn element(self) -> Self {
        match self {
            Self::Records => Self::Record,
            Self::Events => Self::Event,
            _ => Self::Inside,
        }
    }

    /// Returns whether members are attributes, which the lists are about.
    pub(super) fn has_attributes(self) -> bool {
        matches!(self, Self::Attributes | Self::Metadata)
    }

    /// Returns whether rules that name places begin here, and not only at the document.
    pub(super) fn is_root(self) -> bool {
        self.has_attributes() || self == Self::Record
    }

    /// Returns what becomes of a member where content is not kept.
    pub(super) fn fate(self, key: &str, value: Value<'_, '_>) -> Fate {
        // A number in which a card was found is a mark of ours, and stays one when it is looked at again.
        if matches!(value.kind(), Kind::Number | Kind::Bool | Kind::Null) || is_mark(value) {
            return Fate::Kept;
        }
        let kept_or = |is_kept: bool, otherwise: Fate| match is_kept {
            true => Fate::Kept,
            false => otherwise,
        };
        match self {
            Self::SpanData(span_type) => kept_or(is_structure(span_type, key), Fate::Emptied),
            Self::ModelConfig => {
                let is_free = matches!(key, "metadata" | "prompt") || key.starts_with("extra_");
                kept_or(!is_free, Fate::Emptied)
            }
            Self::Attributes => kept_or(is_structural(key, value), Fate::Removed),
            Self::Record => kept_or(key != "body", Fate::Removed),
            Self::Status => kept_or(key != "message", Fate::Removed),
            Self::Extra => {
                const KNOWN: [&str; 6] = [
                    "name",
                    "status",
                    "trace_state",
                    "start_time_unix_nano",
                    "end_time_unix_nano",
                    NOTE_KEY,
                ];
                kept_or(KNOWN.contains(&key), Fate::Removed)
            }
            Self::ErrorData => {
                const KNOWN: [&str; 4] = ["tool_name", "guardrail", "type", "max_turns"];
                kept_or(KNOWN.contains(&key), Fate::Emptied)
            }
            _ => Fate::Kept,
        }
    }
}

/// Returns whether a value is a mark of ours, or a number of which a part became one: `"-[redacted:card]"`.
fn is_mark(value: Value<'_, '_>) -> bool {
    let text = value.raw().strip_prefix('"');
    let Some(text) = text.and_then(|text| text.strip_suffix('"')) else {
        return false;
    };
    let is_kind = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    let is_of_number = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
    let mut parts = text.split("[redacted:");
    let before = parts.next().unwrap_or_default();
    let mut marks = parts.peekable();
    marks.peek().is_some()
        && before.bytes().all(is_of_number)
        && marks.all(|part| {
            part.split_once(']').is_some_and(|(kind, behind)| {
                kind.bytes().all(is_kind) && behind.bytes().all(is_of_number)
            })
        })
}

/// Returns whether a field of `span_data` says what happened and not what was said.
fn is_structure(span_type: SpanType, key: &str) -> bool {
    const KNOWN: [&str; 19] = [
        "type",
        "name",
        "model",
        "model_config",
        "usage",
        "response_id",
        "tool_call_id",
        "call_id",
        "from_agent",
        "to_agent",
        "triggered",
        "guardrail_type",
        "server",
        "mcp_data",
        "first_content_at",
        "turn",
        "agent_name",
        "sdk_span_type",
        "output_type",
    ];
    KNOWN.contains(&key)
        || match span_type {
            SpanType::Agent => matches!(key, "tools" | "handoffs"),
            // The names of the tools.
            SpanType::McpTools => key == "result",
            // The SDK sends these as custom spans, with what they are in `data`.
            SpanType::Task | SpanType::Turn => key == "data",
            _ => false,
        }
}

/// Returns whether an attribute says what happened and not what was said. There are too many names to
/// know them all: what is called like content, is long or has spaces is content.
fn is_structural(key: &str, value: Value<'_, '_>) -> bool {
    const CONTENT: [&str; 22] = [
        "input",
        "output",
        "prompt",
        "completion",
        "message",
        "content",
        "argument",
        "args",
        "result",
        "instruction",
        "text",
        "reasoning",
        "body",
        "query",
        "document",
        "stacktrace",
        "value",
        "transcript",
        "answer",
        "question",
        "toolcalls",
        "object",
    ];
    const NAMES: [&str; 12] = [
        "type",
        "role",
        "id",
        "name",
        "model",
        "kind",
        "reason",
        "reasons",
        "finish_reasons",
        "mime_type",
        "system",
        "version",
    ];
    let last = key.rsplit(['.', ':']).next().unwrap_or(key);
    let is_name = NAMES.contains(&last);
    let lower = key.to_ascii_lowercase();
    if !is_name && CONTENT.iter().any(|word| lower.contains(word)) {
        return false;
    }
    let is_short = |value: Value<'_, '_>| {
        // What is stored apart is long.
        !value.raw().starts_with("\"$ref:")
            && value.raw().len() <= NAME_BYTES_MAX
            && (is_name
                || !value
                    .raw()
                    .bytes()
                    .any(|byte| byte.is_ascii_whitespace() || byte == b'\\'))
    };
    match value.kind() {
        Kind::String => is_short(value),
        Kind::Array => value.elements().all(|element| {
            !matches!(element.kind(), Kind::Array | Kind::Object) && is_short(element)
        }),
        Kind::Object => false,
        Kind::Number | Kind::Bool | Kind::Null => true,
    }
}
