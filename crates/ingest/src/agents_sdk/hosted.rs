//! Tool calls that OpenAI's servers carry out: they have no span, only an item of the response.
//!
//! For each such item a span is derived below the response's span, so that counts, sequences and
//! graders see these tools as they see others. What the SDK runs itself (functions, computer, shell,
//! patches, custom tools) has a span of its own and is left alone; the one exception is the old local
//! shell, for which the SDK makes none. The times are those of the response: nothing tells better.

use model::payload::{Side, Writer};
use model::{MessageHash, Span, SpanError, SpanId, SpanStatus, SpanType};

use crate::json::{Value, json_string};

use super::kind::Told;
use super::payload::WHOLE_BYTES_MIN;
use super::traces::{TracePlace, Traces};
use super::{conversation, failure};

/// Types of items that are hosted tool calls, their arguments and their results.
const TOOLS: [Tool; 7] = [
    Tool {
        item: "web_search_call",
        arguments: "action",
        result: "results",
    },
    Tool {
        item: "file_search_call",
        arguments: "queries",
        result: "results",
    },
    Tool {
        item: "code_interpreter_call",
        arguments: "code",
        result: "outputs",
    },
    Tool {
        item: "image_generation_call",
        arguments: "revised_prompt",
        result: "result",
    },
    Tool {
        item: "local_shell_call",
        arguments: "action",
        result: "output",
    },
    Tool {
        item: "mcp_call",
        arguments: "arguments",
        result: "output",
    },
    // What a hosted MCP server offers, as `mcp_tools` spans tell it of the others.
    Tool {
        item: "mcp_list_tools",
        arguments: "",
        result: "tools",
    },
];

struct Tool {
    item: &'static str,
    arguments: &'static str,
    result: &'static str,
}

/// Returns a span for each hosted tool call in the response of `span`.
pub(super) fn derive<'b>(
    traces: &mut Traces<'b, '_>,
    place: TracePlace,
    span: &Span,
    told: &Told<'b, '_>,
) -> Vec<Span> {
    if told.source_type != "response" {
        return Vec::new();
    }
    let Some(output) = told
        .get("response")
        .and_then(|response| response.get("output"))
    else {
        return Vec::new();
    };
    let derived = output.elements().enumerate().filter_map(|(at, item)| {
        let kind = item.get("type")?;
        let tool = TOOLS.iter().find(|tool| kind.is_text(tool.item))?;
        Some(tool.span(traces, place, span, at, item))
    });
    derived.collect()
}

impl Tool {
    fn span<'b>(
        &self,
        traces: &mut Traces<'b, '_>,
        place: TracePlace,
        response: &Span,
        at: usize,
        item: Value<'b, '_>,
    ) -> Span {
        let text = |key: &str| item.get(key).and_then(Value::words);
        let span_type = if self.item == "mcp_list_tools" {
            SpanType::McpTools
        } else {
            SpanType::Function
        };
        let id = match text("id") {
            Some(id) => derived_id(&response.span_id, &id),
            None => derived_id(&response.span_id, &at.to_string()),
        };
        let (arguments, result) = (item.get(self.arguments), item.get(self.result));
        let server = text("server_label");
        let mut span = Span::new(response.trace_id.clone(), id, span_type, response.source);
        span.parent_id = Some(response.span_id.clone());
        span.derived = true;
        span.source_type = self.item.to_owned();
        span.name = match span_type {
            SpanType::McpTools => server
                .clone()
                .unwrap_or_else(|| self.item.into())
                .into_owned(),
            _ => text("name")
                .unwrap_or_else(|| self.item.trim_end_matches("_call").into())
                .into_owned(),
        };
        span.tool_call_id = text("call_id").or_else(|| text("id")).map(Into::into);
        span.started_at = response.started_at;
        span.ended_at = response.ended_at;
        span.error = self.error(item);
        span.status = match (response.has_ended(), &span.error) {
            (false, _) => SpanStatus::Open,
            (true, Some(_)) => SpanStatus::Error,
            (true, None) => SpanStatus::Success,
        };
        span.input_preview = arguments.and_then(conversation::preview);
        span.output_preview = result.and_then(conversation::preview);

        let mut data = Writer::default();
        data.push_text(&format!(
            "{{\"type\":{},\"name\":{}",
            json_string(self.item),
            json_string(&span.name)
        ));
        let mut put = |key: &str,
                       side: Side,
                       value: Option<Value<'b, '_>>,
                       refs: &mut Vec<MessageHash>,
                       role: &'static str| {
            let Some(value) = value else { return };
            data.push_text(&format!(",\"{key}\":"));
            if value.raw().len() < WHOLE_BYTES_MIN {
                data.push_text(value.raw());
                return;
            }
            refs.push(traces.take(place, value.raw(), || role.into()));
            data.push_refs(side, 0, 0);
        };
        put(
            "input",
            Side::Input,
            arguments,
            &mut span.payload.input_refs,
            "arguments",
        );
        put(
            "output",
            Side::Output,
            result,
            &mut span.payload.output_refs,
            "result",
        );
        if let Some(server) = server {
            data.push_text(&format!(
                ",\"mcp_data\":{{\"server\":{}}}",
                json_string(&server)
            ));
        }
        data.push_text("}");
        span.payload.data = Some(data.finish());
        span
    }

    fn error(&self, item: Value<'_, '_>) -> Option<SpanError> {
        if let Some(error) = item.get("error") {
            return Some(failure::read(error, SpanType::Function));
        }
        let status = item.get("status")?;
        let message = ["failed", "incomplete"]
            .into_iter()
            .find(|word| status.is_text(word))?;
        Some(SpanError {
            kind: "tool_error".to_owned(),
            message: format!("{} {message}", self.item),
            data: None,
        })
    }
}

/// Returns `<response span>/<item>`; where that is too long for an id, a hash of it.
fn derived_id(response: &SpanId, item: &str) -> SpanId {
    let id = format!("{response}/{item}");
    SpanId::new(&id).unwrap_or_else(|_| {
        let short = MessageHash::of(id.as_bytes()).to_string();
        SpanId::new(&short).expect("a hash is 32 characters long")
    })
}
