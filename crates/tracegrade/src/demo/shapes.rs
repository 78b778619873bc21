//! The Agents SDK's items, field by field, in the order in which it writes them.
//!
//! Taken from recorded requests of `openai-agents` 0.24.0. A field that is absent in some of them is
//! skipped here where it is `None`; all others are written as `null`, as the SDK does.

use model::Time;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// A moment as Python's `isoformat()` writes it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamp(pub(super) Time);

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.0.to_string();
        let whole = text.trim_end_matches('Z').trim_end_matches(".000000");
        serializer.serialize_str(&format!("{whole}+00:00"))
    }
}

#[derive(Serialize)]
pub(super) struct TraceItem<'a> {
    pub(super) object: &'static str,
    pub(super) id: &'a str,
    pub(super) workflow_name: &'static str,
    pub(super) group_id: Option<&'a str>,
    pub(super) metadata: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ended: Option<bool>,
}

#[derive(Serialize)]
pub(super) struct SpanItem<'a> {
    pub(super) object: &'static str,
    pub(super) id: &'a str,
    pub(super) trace_id: &'a str,
    pub(super) parent_id: Option<&'a str>,
    pub(super) started_at: Stamp,
    pub(super) ended_at: Option<Stamp>,
    pub(super) span_data: Data<'a>,
    pub(super) error: Option<ErrorItem<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) metadata: Option<SpanMetadata>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) span_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trace_metadata: Option<&'a RawValue>,
}

#[derive(Serialize)]
pub(super) struct SpanMetadata {
    pub(super) ttft_ms: f64,
}

#[derive(Serialize)]
pub(super) struct ErrorItem<'a> {
    pub(super) message: &'static str,
    pub(super) data: std::borrow::Cow<'a, serde_json::Value>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Data<'a> {
    Agent {
        name: &'static str,
        handoffs: Vec<&'static str>,
        tools: Vec<&'static str>,
        output_type: &'static str,
    },
    Response {
        response_id: Option<&'a str>,
        usage: Option<UsageItem>,
        input: Option<Vec<&'a RawValue>>,
        response: Option<Box<Response<'a>>>,
    },
    Generation {
        input: Option<Vec<Box<RawValue>>>,
        output: Option<Box<RawValue>>,
        model: &'static str,
        model_config: ModelConfig,
        usage: Option<UsageItem>,
    },
    Function {
        name: &'static str,
        input: Option<&'a str>,
        output: Option<OutputItem<'a>>,
        mcp_data: Option<Server>,
    },
    Handoff {
        from_agent: &'static str,
        to_agent: &'static str,
    },
    Guardrail {
        name: &'static str,
        triggered: bool,
    },
    McpTools {
        server: &'static str,
        result: &'a [&'static str],
    },
    Custom {
        name: &'a str,
        data: CustomData<'a>,
    },
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum OutputItem<'a> {
    Json(&'a RawValue),
    Text(&'a str),
}

#[derive(Serialize)]
pub(super) struct Server {
    pub(super) server: &'static str,
}

/// Task and turn go out as custom spans; `sdk_span_type` tells what they are.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum CustomData<'a> {
    Task {
        sdk_span_type: &'static str,
        name: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        usage: Option<RunUsage>,
    },
    Turn {
        sdk_span_type: &'static str,
        turn: usize,
        agent_name: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        usage: Option<RunUsage>,
    },
    Own(&'a serde_json::Value),
}

#[derive(Serialize)]
pub(super) struct RunUsage {
    pub(super) input_tokens: usize,
    pub(super) output_tokens: usize,
    pub(super) cached_input_tokens: usize,
    pub(super) cache_write_input_tokens: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) requests: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) total_tokens: Option<usize>,
}

#[derive(Serialize)]
pub(super) struct UsageItem {
    pub(super) requests: usize,
    pub(super) input_tokens: usize,
    pub(super) output_tokens: usize,
    pub(super) total_tokens: usize,
    pub(super) input_tokens_details: InputDetails,
    pub(super) output_tokens_details: OutputDetails,
}

#[derive(Serialize)]
pub(super) struct InputDetails {
    pub(super) cache_write_tokens: usize,
    pub(super) cached_tokens: usize,
    pub(super) cache_write_tokens_details: Option<()>,
}

#[derive(Serialize)]
pub(super) struct OutputDetails {
    pub(super) reasoning_tokens: usize,
}

/// The `Response` object of the Responses API, with the keys that the SDK dumps.
#[derive(Serialize)]
pub(super) struct Response<'a> {
    pub(super) id: &'a str,
    pub(super) created_at: f64,
    pub(super) error: Option<()>,
    pub(super) incomplete_details: Option<Incomplete>,
    pub(super) instructions: &'a RawValue,
    pub(super) metadata: Empty,
    pub(super) model: &'static str,
    pub(super) object: &'static str,
    pub(super) output: Vec<&'a RawValue>,
    pub(super) parallel_tool_calls: bool,
    pub(super) temperature: f64,
    pub(super) tool_choice: &'static str,
    pub(super) tools: &'a RawValue,
    pub(super) top_p: f64,
    pub(super) max_output_tokens: Option<u32>,
    pub(super) previous_response_id: Option<()>,
    pub(super) reasoning: Reasoning,
    pub(super) status: &'static str,
    pub(super) text: &'a RawValue,
    pub(super) truncation: &'static str,
    pub(super) usage: UsageItem,
    pub(super) user: Option<()>,
    pub(super) store: bool,
}

#[derive(Serialize)]
pub(super) struct Empty {}

#[derive(Serialize)]
pub(super) struct Incomplete {
    pub(super) reason: &'static str,
}

#[derive(Serialize)]
pub(super) struct Reasoning {
    pub(super) effort: Option<&'static str>,
    pub(super) summary: Option<&'static str>,
}

#[derive(Serialize)]
pub(super) struct ModelConfig {
    pub(super) temperature: Option<f64>,
    pub(super) top_p: Option<f64>,
    pub(super) tool_choice: Option<()>,
    pub(super) parallel_tool_calls: Option<bool>,
    pub(super) max_tokens: Option<u32>,
    pub(super) reasoning: Option<()>,
    pub(super) metadata: Option<()>,
    pub(super) base_url: &'static str,
}
