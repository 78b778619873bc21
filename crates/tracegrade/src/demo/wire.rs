//! A played trace in the Agents SDK's own JSON, item by item, as its exporter would send them.
//!
//! The shapes are those of the SDK with content (its Responses spans carry `input` and `response`).
//! A message is turned into JSON once a trace and copied wherever the history repeats it, so writing
//! costs what copying costs.

use model::Time;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::cast::{Agent, POLICY_ANSWER_SCHEMA, Tool, Version};
use super::shapes::{
    CustomData, Data, Empty, ErrorItem, Incomplete, InputDetails, ModelConfig, OutputDetails,
    OutputItem, Reasoning, Response, RunUsage, Server, SpanItem, SpanMetadata, Stamp, TraceItem,
    UsageItem,
};
use super::trace::{Fault, Item, ModelCall, Output, Span, ToolCall, Trace, Usage, What};

/// One item and the moment at which the exporter gets it.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) at: Time,
    pub(super) json: Vec<u8>,
}

/// Instructions and tool schemas of every agent in both versions, as JSON.
#[derive(Debug)]
pub(super) struct Prompts(Vec<Prompt>);

#[derive(Debug)]
struct Prompt {
    instructions: Box<RawValue>,
    tools: Box<RawValue>,
}

impl Prompts {
    pub(super) fn new() -> Self {
        let versions = [Version::V1_8, Version::V1_9];
        let all = Agent::ALL
            .iter()
            .flat_map(|agent| versions.map(|version| (*agent, version)));
        Self(
            all.map(|(agent, version)| Prompt::new(agent, version))
                .collect(),
        )
    }

    fn of(&self, agent: Agent, version: Version) -> &Prompt {
        &self.0[agent as usize * 2 + version as usize]
    }

    /// Returns how many tokens the agent's instructions and schemas take.
    pub(super) fn tokens(&self, agent: Agent, version: Version) -> usize {
        let prompt = self.of(agent, version);
        (prompt.instructions.get().len() + prompt.tools.get().len()) / 4
    }
}

impl Prompt {
    fn new(agent: Agent, version: Version) -> Self {
        let own = agent.tools(version).iter().map(|tool| schema(tool));
        let handoffs = agent.handoffs().iter().map(|to| {
            serde_json::json!({
                "name": to.handoff_tool(),
                "parameters": {"additionalProperties": false, "type": "object", "properties": {}, "required": []},
                "strict": true,
                "type": "function",
                "description": format!("Handoff to the {} agent to handle the request. ", to.name()),
            })
        });
        let tools: Vec<_> = own.chain(handoffs).collect();
        Self {
            instructions: raw(&agent.instructions(version)),
            tools: raw(&tools),
        }
    }
}

fn schema(tool: &Tool) -> serde_json::Value {
    let title = |name: &str| name.replace('_', " ");
    let property = |(name, kind, _): &(&str, &str, bool)| {
        (
            (*name).to_owned(),
            serde_json::json!({"title": title(name), "type": kind}),
        )
    };
    let properties: serde_json::Map<_, _> = tool.parameters.iter().map(property).collect();
    let required: Vec<_> = tool
        .parameters
        .iter()
        .filter(|p| p.2)
        .map(|p| p.0)
        .collect();
    serde_json::json!({
        "name": tool.name,
        "parameters": {
            "properties": properties,
            "required": required,
            "title": format!("{}_args", tool.name),
            "type": "object",
            "additionalProperties": false,
        },
        "strict": required.len() == tool.parameters.len(),
        "type": "function",
        "description": tool.description,
    })
}

/// Returns `value` as JSON text.
fn raw(value: &impl Serialize) -> Box<RawValue> {
    to_raw_value(value).expect("our own values have string keys and finite numbers")
}

/// Returns a text of ours, made by `serde_json`, as JSON.
fn trusted(json: &str) -> &RawValue {
    serde_json::from_str(json).expect("our own texts are written by serde_json")
}

/// Returns the items of `trace` in the order in which the exporter gets them.
pub(super) fn items(trace: &Trace, prompts: &Prompts) -> Vec<Sent> {
    Pen::new(trace, prompts).write()
}

/// Writes one trace.
struct Pen<'a> {
    trace: &'a Trace,
    prompts: &'a Prompts,
    metadata: &'a RawValue,
    /// The trace's messages as the Responses API writes them.
    messages: Vec<Box<RawValue>>,
}

impl<'a> Pen<'a> {
    fn new(trace: &'a Trace, prompts: &'a Prompts) -> Self {
        let shown = trace.shape.content && !trace.shape.chat;
        let messages = trace.items.iter().filter(|_| shown).map(message).collect();
        Self {
            trace,
            prompts,
            metadata: trusted(&trace.metadata),
            messages,
        }
    }

    fn write(&self) -> Vec<Sent> {
        let full = self.trace.shape.full;
        let mut sent = Vec::with_capacity(self.trace.spans.len() * 2 + 2);
        sent.push(self.trace_item(self.trace.started_at, full.then_some(false)));
        for span in &self.trace.spans {
            if full {
                sent.push(self.span_item(span, None));
            }
            if let Some(end) = span.end {
                sent.push(self.span_item(span, Some(end)));
            }
        }
        let ended = self.trace.spans.iter().map(|span| span.end).max().flatten();
        let open = self.trace.spans.iter().any(|span| span.end.is_none());
        if let Some(end) = ended.filter(|_| full && !open) {
            sent.push(self.trace_item(end.plus_micros(900), Some(true)));
        }
        sent.sort_by_key(|item| item.at);
        sent
    }

    fn trace_item(&self, at: Time, ended: Option<bool>) -> Sent {
        let item = TraceItem {
            object: "trace",
            id: &self.trace.id,
            workflow_name: self.trace.workflow,
            group_id: self.trace.group.as_deref(),
            metadata: self.metadata,
            ended,
        };
        Sent {
            at,
            json: bytes(&item, 512),
        }
    }

    /// Returns the item for the span's start (`end` is `None`) or for its end.
    fn span_item(&self, span: &Span, end: Option<Time>) -> Sent {
        let full = self.trace.shape.full;
        let (data, span_type) = self.data(&span.what, span, end.is_some());
        let ttft = match &span.what {
            What::Model(call) if end.is_some() && call.ttft_ms > 0.0 => Some(SpanMetadata {
                ttft_ms: call.ttft_ms,
            }),
            _ => None,
        };
        let item = SpanItem {
            object: "trace.span",
            id: &span.id,
            trace_id: &self.trace.id,
            parent_id: span.parent.map(|i| self.trace.spans[i].id.as_str()),
            started_at: Stamp(span.start),
            ended_at: end.map(Stamp),
            span_data: data,
            error: span
                .fault
                .as_ref()
                .filter(|_| end.is_some())
                .map(|fault| self.error(fault)),
            metadata: ttft,
            span_type: full.then_some(span_type),
            trace_metadata: full.then_some(self.metadata),
        };
        let room = if matches!(span.what, What::Model(_)) {
            8_192
        } else {
            768
        };
        Sent {
            at: end.unwrap_or(span.start),
            json: bytes(&item, room),
        }
    }

    fn error(&self, fault: &'a Fault) -> ErrorItem<'a> {
        use std::borrow::Cow;
        let data = match fault.sensitive && !self.trace.shape.content {
            true => {
                let mut data = fault.data.clone();
                data["error"] = "Error details are redacted.".into();
                Cow::Owned(data)
            }
            false => Cow::Borrowed(&fault.data),
        };
        ErrorItem {
            message: fault.message,
            data,
        }
    }

    fn data(&'a self, what: &'a What, span: &Span, done: bool) -> (Data<'a>, &'static str) {
        let shown = done && self.trace.shape.content;
        match what {
            What::Task { name, usage } => {
                let usage = run_usage(usage, true).filter(|_| done);
                let data = CustomData::Task {
                    sdk_span_type: "task",
                    name,
                    usage,
                };
                (Data::Custom { name: "task", data }, "task")
            }
            What::Turn {
                number,
                agent,
                usage,
            } => {
                let usage = run_usage(usage, false).filter(|_| done);
                let data = CustomData::Turn {
                    sdk_span_type: "turn",
                    turn: *number,
                    agent_name: agent.name(),
                    usage,
                };
                (Data::Custom { name: "turn", data }, "turn")
            }
            What::Agent(agent) => (self.agent(*agent), "agent"),
            What::Model(call) if self.trace.shape.chat => {
                (self.generation(call, span, done), "generation")
            }
            What::Model(call) => (self.response(call, span, done), "response"),
            What::Tool(call) => (function(call, done, shown), "function"),
            What::Handoff { from, to } => (
                Data::Handoff {
                    from_agent: from.name(),
                    to_agent: to.name(),
                },
                "handoff",
            ),
            What::Guardrail { name, triggered } => (
                Data::Guardrail {
                    name,
                    triggered: *triggered && done,
                },
                "guardrail",
            ),
            What::McpTools { server, tools } => (
                Data::McpTools {
                    server,
                    result: tools,
                },
                "mcp_tools",
            ),
            What::Custom { name, data } => (
                Data::Custom {
                    name,
                    data: CustomData::Own(data),
                },
                "custom",
            ),
        }
    }

    fn agent(&self, agent: Agent) -> Data<'a> {
        Data::Agent {
            name: agent.name(),
            handoffs: agent.handoffs().iter().map(|to| to.name()).collect(),
            tools: agent
                .tools(self.trace.version)
                .iter()
                .map(|tool| tool.name)
                .collect(),
            output_type: agent.output_type(),
        }
    }

    fn response(&'a self, call: &'a ModelCall, span: &Span, done: bool) -> Data<'a> {
        let answered = done && span.fault.is_none();
        if !answered {
            return Data::Response {
                response_id: None,
                usage: None,
                input: None,
                response: None,
            };
        }
        let shown = self.trace.shape.content;
        let prompt = self.prompts.of(call.agent, self.trace.version);
        let response = shown.then(|| {
            Box::new(Response {
                id: &call.response_id,
                created_at: (span.start.as_micros() / 1_000_000) as f64,
                error: None,
                incomplete_details: call.incomplete.then_some(Incomplete {
                    reason: "max_output_tokens",
                }),
                instructions: &prompt.instructions,
                metadata: Empty {},
                model: call.agent.model(),
                object: "response",
                output: self.messages[call.output.clone()]
                    .iter()
                    .map(|m| &**m)
                    .collect(),
                parallel_tool_calls: true,
                temperature: 1.0,
                tool_choice: "auto",
                tools: &prompt.tools,
                top_p: 1.0,
                max_output_tokens: call.incomplete.then_some(128),
                previous_response_id: None,
                reasoning: Reasoning {
                    effort: call.agent.reasons().then_some("low"),
                    summary: call.agent.reasons().then_some("auto"),
                },
                status: if call.incomplete {
                    "incomplete"
                } else {
                    "completed"
                },
                text: trusted(match call.agent {
                    Agent::PolicyExpert => POLICY_ANSWER_SCHEMA,
                    _ => r#"{"format":{"type":"text"}}"#,
                }),
                truncation: "disabled",
                usage: usage_item(&call.usage),
                user: None,
                store: true,
            })
        });
        Data::Response {
            response_id: Some(&call.response_id),
            usage: Some(usage_item(&call.usage)),
            input: shown.then(|| {
                call.input
                    .iter()
                    .map(|i| &*self.messages[*i as usize])
                    .collect()
            }),
            response,
        }
    }

    fn generation(&self, call: &ModelCall, span: &Span, done: bool) -> Data<'a> {
        let shown = done && self.trace.shape.content;
        let answered = done && span.fault.is_none();
        let items = &self.trace.items;
        let input = shown.then(|| {
            let prompt = self.prompts.of(call.agent, self.trace.version);
            let mut messages = vec![raw(
                &serde_json::json!({"content": prompt.instructions, "role": "system"}),
            )];
            let sent: Vec<&Item> = call.input.iter().map(|i| &items[*i as usize]).collect();
            messages.extend(chat_messages(&sent).iter().map(raw));
            messages
        });
        let output = (shown && answered).then(|| raw(&[chat_answer(&items[call.output.clone()])]));
        Data::Generation {
            input,
            output,
            model: call.agent.model(),
            model_config: ModelConfig {
                temperature: None,
                top_p: None,
                tool_choice: None,
                parallel_tool_calls: None,
                max_tokens: call.incomplete.then_some(128),
                reasoning: None,
                metadata: None,
                base_url: "https://api.openai.com/v1/",
            },
            usage: answered.then(|| usage_item(&call.usage)),
        }
    }
}

/// Returns the data of a tool call; `shown` says whether its texts are.
fn function(call: &ToolCall, done: bool, shown: bool) -> Data<'_> {
    let output = match &call.output {
        Output::Json(json) => Some(OutputItem::Json(trusted(json))),
        Output::Text(text) => Some(OutputItem::Text(text)),
        Output::Nothing => None,
    };
    Data::Function {
        name: call.name,
        input: shown.then_some(call.arguments.as_str()),
        output: output.filter(|_| shown),
        mcp_data: call.server.filter(|_| done).map(|server| Server { server }),
    }
}

fn bytes(item: &impl Serialize, room: usize) -> Vec<u8> {
    let mut json = Vec::with_capacity(room);
    serde_json::to_writer(&mut json, item).expect("a Vec takes every write");
    json
}

fn usage_item(usage: &Usage) -> UsageItem {
    UsageItem {
        requests: usage.requests,
        input_tokens: usage.input,
        output_tokens: usage.output,
        total_tokens: usage.input + usage.output,
        input_tokens_details: InputDetails {
            cache_write_tokens: 0,
            cached_tokens: usage.cached,
            cache_write_tokens_details: None,
        },
        output_tokens_details: OutputDetails {
            reasoning_tokens: usage.reasoning,
        },
    }
}

/// Returns the usage of a task or turn; there is none if no model answered.
fn run_usage(usage: &Usage, of_task: bool) -> Option<RunUsage> {
    (usage.requests > 0).then(|| RunUsage {
        input_tokens: usage.input,
        output_tokens: usage.output,
        cached_input_tokens: usage.cached,
        cache_write_input_tokens: 0,
        requests: of_task.then_some(usage.requests),
        total_tokens: of_task.then_some(usage.input + usage.output),
    })
}

/// Returns a message as the Responses API writes it.
fn message(item: &Item) -> Box<RawValue> {
    use serde_json::json;
    raw(&match item {
        Item::User(text) => json!({"content": text, "role": "user"}),
        Item::Reasoning { id, text } => {
            json!({"id": id, "summary": [{"text": text, "type": "summary_text"}], "type": "reasoning"})
        }
        Item::Call {
            id,
            call_id,
            name,
            arguments,
        } => json!({
            "arguments": arguments, "call_id": call_id, "name": name, "type": "function_call", "id": id, "status": "completed",
        }),
        Item::Output { call_id, text } => {
            json!({"call_id": call_id, "output": text, "type": "function_call_output"})
        }
        Item::Answer { id, text } => json!({
            "id": id,
            "content": [{"annotations": [], "text": text, "type": "output_text", "logprobs": []}],
            "role": "assistant",
            "status": "completed",
            "type": "message",
        }),
    })
}

/// Returns a history as Chat Completions writes it: calls of one answer share a message.
fn chat_messages(items: &[&Item]) -> Vec<serde_json::Value> {
    use serde_json::json;
    let mut messages: Vec<serde_json::Value> = Vec::with_capacity(items.len());
    for item in items {
        let message = match item {
            Item::User(text) => json!({"role": "user", "content": text}),
            Item::Reasoning { .. } => continue,
            Item::Answer { text, .. } => json!({"role": "assistant", "content": text}),
            Item::Output { call_id, text } => {
                json!({"role": "tool", "tool_call_id": call_id, "content": text})
            }
            Item::Call {
                call_id,
                name,
                arguments,
                ..
            } => {
                let call = json!({"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}});
                if let Some(calls) = messages
                    .last_mut()
                    .and_then(|last| last.get_mut("tool_calls")?.as_array_mut())
                {
                    calls.push(call);
                    continue;
                }
                json!({"role": "assistant", "content": null, "tool_calls": [call]})
            }
        };
        messages.push(message);
    }
    messages
}

fn chat_answer(items: &[Item]) -> serde_json::Value {
    use serde_json::json;
    let mut content = serde_json::Value::Null;
    let mut calls = Vec::new();
    for item in items {
        match item {
            Item::Answer { text, .. } => content = text.as_str().into(),
            Item::Call { call_id, name, arguments, .. } => calls.push(
                json!({"id": call_id, "function": {"arguments": arguments, "name": name}, "type": "function"}),
            ),
            _ => {}
        }
    }
    let calls = if calls.is_empty() {
        serde_json::Value::Null
    } else {
        calls.into()
    };
    json!({
        "content": content, "refusal": null, "role": "assistant", "annotations": null, "audio": null,
        "function_call": null, "tool_calls": calls,
    })
}
