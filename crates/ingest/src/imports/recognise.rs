//! Which product wrote a document? Its outer keys say so; the name of a file never does.

use crate::json::Reader;

use super::record::Refusal;

/// A document is looked at this far: keys beyond are not needed to know it.
const KEYS_MAX: usize = 256;

/// The products and forms that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// Items of the OpenAI Agents SDK, one by one, in `data`, or as `{trace, spans}`.
    AgentsSdk,
    /// Spans in requests of OTLP.
    OtlpTraces,
    /// Log records in requests of OTLP.
    OtlpLogs,
    /// Spans as the SDKs of OpenTelemetry print them.
    OtelPrinted,
    /// Spans out of Phoenix.
    Phoenix,
    /// Traces and observations out of Langfuse.
    Langfuse,
    /// Traces out of MLflow.
    Mlflow,
    /// Runs out of LangSmith.
    Langsmith,
    /// Logs of Inspect AI.
    Inspect,
    /// Requests to a model's API with their responses.
    RequestLog,
}

impl Format {
    /// Returns the word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Format::AgentsSdk => "agents_sdk",
            Format::OtlpTraces => "otlp_traces",
            Format::OtlpLogs => "otlp_logs",
            Format::OtelPrinted => "otel_printed",
            Format::Phoenix => "phoenix",
            Format::Langfuse => "langfuse",
            Format::Mlflow => "mlflow",
            Format::Langsmith => "langsmith",
            Format::Inspect => "inspect",
            Format::RequestLog => "request_log",
        }
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl serde::Serialize for Format {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

/// What a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// One record, or a form that its decoder reads as a whole.
    Format(Format),
    /// A list of records.
    List,
    /// Records in the list under this key: a page of an API's answer.
    ListAt(&'static str),
}

/// A form is told by keys that it has.
struct Mark {
    format: Format,
    /// All of these are there,
    all: &'static [&'static str],
    /// and one of these, unless there are none.
    any: &'static [&'static str],
}

const fn mark(format: Format, all: &'static [&'static str], any: &'static [&'static str]) -> Mark {
    Mark { format, all, any }
}

/// The first whose keys are there decides.
static MARKS: [Mark; 14] = [
    mark(Format::OtlpTraces, &["resourceSpans"], &[]),
    mark(Format::OtlpLogs, &["resourceLogs"], &[]),
    mark(Format::Langsmith, &["run_type", "id"], &[]),
    mark(Format::Langfuse, &["observations", "id"], &[]),
    mark(Format::Langfuse, &["type"], &["traceId"]),
    mark(Format::Mlflow, &["info", "data"], &[]),
    mark(
        Format::Inspect,
        &["eval", "version"],
        &["samples", "status", "plan"],
    ),
    mark(Format::Inspect, &["epoch", "events", "target"], &[]),
    mark(Format::Phoenix, &["name", "span_kind", "context"], &[]),
    mark(Format::Phoenix, &["name"], &["context.span_id"]),
    mark(Format::OtelPrinted, &["name", "context", "start_time"], &[]),
    mark(Format::AgentsSdk, &["span_data"], &[]),
    mark(Format::RequestLog, &["request"], &["response", "error"]),
    mark(
        Format::RequestLog,
        &["object", "model"],
        &["choices", "output"],
    ),
];

/// Lists of records under these keys are looked into, record by record.
const LISTS: [&str; 3] = ["data", "runs", "traces"];

/// Returns what a document is.
pub(super) fn recognise(document: &[u8]) -> Result<Shape, Refusal> {
    let mut reader = Reader::new(document);
    reader.skip_whitespace();
    if reader.peek() == Some(b'[') {
        // A list of the SDK's items is read by its decoder in one go.
        return Ok(match first_of_list(&mut reader) {
            Some(Shape::Format(Format::AgentsSdk)) => Shape::Format(Format::AgentsSdk),
            _ => Shape::List,
        });
    }
    if reader.peek() != Some(b'{') {
        return Err(Refusal::UnknownFormat);
    }
    let keys = Keys::of(&mut reader)?;
    if keys.has("resourceMetrics") {
        return Err(Refusal::Metrics);
    }
    let is_marked = |mark: &&Mark| {
        mark.all.iter().all(|key| keys.has(key))
            && (mark.any.is_empty() || mark.any.iter().any(|key| keys.has(key)))
    };
    if let Some(mark) = MARKS.iter().find(is_marked) {
        return Ok(Shape::Format(mark.format));
    }
    for list in LISTS {
        if let Some(mut at) = keys.list(list) {
            let first = first_of_list(&mut at);
            return Ok(match (list, first) {
                ("data", Some(Shape::Format(Format::AgentsSdk))) => {
                    Shape::Format(Format::AgentsSdk)
                }
                ("data", None) => Shape::Format(Format::AgentsSdk),
                _ => Shape::ListAt(list),
            });
        }
    }
    let is_item = keys.has("object") || keys.has("workflow_name");
    if is_item && keys.has("id") || keys.list("spans").is_some() || keys.has("trace") {
        return Ok(Shape::Format(Format::AgentsSdk));
    }
    Err(Refusal::UnknownFormat)
}

/// Returns what the first record of the list at `reader` is.
fn first_of_list(reader: &mut Reader<'_>) -> Option<Shape> {
    reader.take(b'[', "a list").ok()?;
    if reader.peek() != Some(b'{') {
        return None;
    }
    let keys = Keys::of(reader).ok()?;
    let is_item = keys.has("span_data") || keys.has("workflow_name");
    let is_named = keys
        .text_at("object")
        .is_some_and(|word| word.starts_with(b"\"trace"));
    (is_item || is_named)
        .then_some(Shape::Format(Format::AgentsSdk))
        .or(Some(Shape::List))
}

/// The keys of one object, and where their values begin.
struct Keys<'b>(Vec<(&'b [u8], Reader<'b>, &'b [u8])>);

impl<'b> Keys<'b> {
    fn of(reader: &mut Reader<'b>) -> Result<Self, Refusal> {
        let mut keys = Vec::new();
        reader.take(b'{', "an object").map_err(Refusal::Json)?;
        let mut more = reader.peek() != Some(b'}')
            || reader.take_comma_or(b'}', "'}'").map_err(Refusal::Json)?;
        while more && keys.len() < KEYS_MAX {
            let key = reader.take_key().map_err(Refusal::Json)?;
            let value = *reader;
            reader.skip().map_err(Refusal::Json)?;
            keys.push((key, value, value.until(reader)));
            more = reader
                .take_comma_or(b'}', "',' or '}'")
                .map_err(Refusal::Json)?;
        }
        Ok(Self(keys))
    }

    /// Returns whether `key` is there and is not null.
    fn has(&self, key: &str) -> bool {
        self.text_at(key).is_some()
    }

    fn text_at(&self, key: &str) -> Option<&'b [u8]> {
        let mut found = self.0.iter().filter(|(known, ..)| *known == key.as_bytes());
        found
            .find(|(_, _, text)| !text.starts_with(b"null"))
            .map(|(_, _, text)| *text)
    }

    /// Returns where the list under `key` begins.
    fn list(&self, key: &str) -> Option<Reader<'b>> {
        let mut found = self.0.iter().filter(|(known, ..)| *known == key.as_bytes());
        found
            .find(|(_, at, _)| at.peek() == Some(b'['))
            .map(|(_, at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(document: &str, want: Option<Shape>) {
        assert_eq!(recognise(document.as_bytes()).ok(), want, "{document}");
    }

    #[test]
    fn a_document_is_known_by_its_keys() {
        let is = |format| Some(Shape::Format(format));
        check(r#"{"resourceSpans":[]}"#, is(Format::OtlpTraces));
        check(r#"{"resourceLogs":[]}"#, is(Format::OtlpLogs));
        check(r#"{"resourceMetrics":[]}"#, None);
        check(r#"{"id":"a","run_type":"llm"}"#, is(Format::Langsmith));
        check(
            r#"{"runs":[{"id":"a","run_type":"llm"}]}"#,
            Some(Shape::ListAt("runs")),
        );
        check(r#"{"id":"a","observations":[]}"#, is(Format::Langfuse));
        check(
            r#"{"id":"a","traceId":"t","type":"SPAN"}"#,
            is(Format::Langfuse),
        );
        check(
            r#"{"data":[{"id":"a","observations":[]}],"meta":{}}"#,
            Some(Shape::ListAt("data")),
        );
        check(r#"{"info":{},"data":{"spans":[]}}"#, is(Format::Mlflow));
        check(
            r#"{"version":2,"status":"success","eval":{},"samples":[]}"#,
            is(Format::Inspect),
        );
        check(
            r#"{"name":"a","context":{},"span_kind":"LLM","parent_id":null}"#,
            is(Format::Phoenix),
        );
        check(r#"{"name":"a","context.span_id":"b"}"#, is(Format::Phoenix));
        check(
            r#"{"name":"a","context":{},"kind":"SpanKind.INTERNAL","start_time":"x"}"#,
            is(Format::OtelPrinted),
        );
        check(
            r#"{"request":{},"response":null,"error":{}}"#,
            is(Format::RequestLog),
        );
        check(
            r#"{"object":"response","id":"r","model":"m","output":[]}"#,
            is(Format::RequestLog),
        );
        for items in [
            r#"{"data":[{"object":"trace","id":"a"}]}"#,
            r#"{"data":[]}"#,
            r#"[{"object":"trace.span","id":"a"}]"#,
            r#"{"trace":{"id":"a"},"spans":[]}"#,
            r#"{"object":"trace","id":"a"}"#,
            r#"{"id":"s","trace_id":"a","span_data":{"type":"custom"}}"#,
        ] {
            check(items, is(Format::AgentsSdk));
        }
        check(r#"[{"id":"a","run_type":"llm"}]"#, Some(Shape::List));
        check("[]", Some(Shape::List));
        check("{}", None);
        check(r#"{"a":1"#, None);
    }
}
