//! A played trace: a tree of spans and the messages they refer to, neutral as to the wire.

use model::Time;

use super::cast::{Agent, Version};

/// One trace, played but not written down.
#[derive(Debug)]
pub(super) struct Trace {
    pub(super) id: String,
    pub(super) workflow: &'static str,
    pub(super) group: Option<String>,
    /// A JSON object.
    pub(super) metadata: String,
    pub(super) shape: Shape,
    pub(super) version: Version,
    pub(super) started_at: Time,
    /// Every message of the trace, once; model calls refer to them by index.
    pub(super) items: Vec<Item>,
    pub(super) spans: Vec<Span>,
}

/// How the sender of a trace is set up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// Chat Completions instead of Responses.
    pub(super) chat: bool,
    /// Items are sent at the start too, and the trace item again at the end.
    pub(super) full: bool,
    /// Prompts and answers are sent.
    pub(super) content: bool,
}

/// One message of a history.
#[derive(Debug)]
pub(super) enum Item {
    User(String),
    Reasoning {
        id: String,
        text: String,
    },
    Call {
        id: String,
        call_id: String,
        name: String,
        arguments: String,
    },
    Output {
        call_id: String,
        text: String,
    },
    Answer {
        id: String,
        text: String,
    },
}

impl Item {
    /// Returns about how many bytes of prompt the message takes.
    pub(super) fn bytes(&self) -> usize {
        let text = match self {
            Self::User(text) | Self::Answer { text, .. } | Self::Output { text, .. } => text.len(),
            Self::Reasoning { text, .. } => text.len(),
            Self::Call {
                name, arguments, ..
            } => name.len() + arguments.len(),
        };
        // The role and the marks around a message cost about four tokens.
        text + 16
    }
}

/// One span; `parent` is an index into the trace's spans.
#[derive(Debug)]
pub(super) struct Span {
    pub(super) id: String,
    pub(super) parent: Option<usize>,
    pub(super) start: Time,
    pub(super) end: Option<Time>,
    pub(super) what: What,
    pub(super) fault: Option<Fault>,
}

/// An error as the SDK's runner attaches it.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) message: &'static str,
    pub(super) data: serde_json::Value,
    /// Whether `data` holds texts, which are removed where content is not sent.
    pub(super) sensitive: bool,
}

/// Tokens of one or more model calls.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usage {
    pub(super) requests: usize,
    pub(super) input: usize,
    pub(super) cached: usize,
    pub(super) output: usize,
    pub(super) reasoning: usize,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.input += other.input;
        self.cached += other.cached;
        self.output += other.output;
        self.reasoning += other.reasoning;
    }
}

/// What a span is of.
#[derive(Debug)]
pub(super) enum What {
    Task {
        name: &'static str,
        usage: Usage,
    },
    Agent(Agent),
    Turn {
        number: usize,
        agent: Agent,
        usage: Usage,
    },
    Model(Box<ModelCall>),
    Tool(ToolCall),
    Handoff {
        from: Agent,
        to: Agent,
    },
    Guardrail {
        name: &'static str,
        triggered: bool,
    },
    McpTools {
        server: &'static str,
        tools: Vec<&'static str>,
    },
    Custom {
        name: String,
        data: serde_json::Value,
    },
}

/// One call of a tool.
#[derive(Debug)]
pub(super) struct ToolCall {
    pub(super) name: &'static str,
    /// JSON text.
    pub(super) arguments: String,
    pub(super) output: Output,
    /// The MCP server that ran it.
    pub(super) server: Option<&'static str>,
}

/// What a tool gave back.
#[derive(Debug)]
pub(super) enum Output {
    /// Nothing yet, or nothing at all.
    Nothing,
    /// JSON text.
    Json(String),
    Text(String),
}

/// One call of a model.
#[derive(Debug)]
pub(super) struct ModelCall {
    pub(super) agent: Agent,
    pub(super) response_id: String,
    /// Indices of the items that were sent.
    pub(super) input: Vec<u32>,
    /// The items that came back.
    pub(super) output: std::ops::Range<usize>,
    pub(super) usage: Usage,
    pub(super) ttft_ms: f64,
    /// Cut at the token limit.
    pub(super) incomplete: bool,
}
