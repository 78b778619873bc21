//! A small trace that several crates' tests look at: an agent books a flight.
//!
//! It is told in the words of `model`, so that the tests inside of `insight` can use it too: a crate under
//! test is another one than that which a helper would link.

use std::sync::Arc;

use model::{
    ChatMessage, DeclaredTool, JsonText, Part, Received, Source, Span, SpanId, SpanStatus,
    SpanType, Time, TraceId, TraceItem, TraceRow, derive,
};

/// A span and what it says: what `insight::ToldSpan` is made of.
#[derive(Debug, Clone)]
pub struct Said {
    /// The span.
    pub span: Span,
    /// The messages that were read.
    pub input: Vec<Arc<ChatMessage>>,
    /// The messages that were written.
    pub output: Vec<Arc<ChatMessage>>,
    /// What a tool was given.
    pub arguments: Option<JsonText>,
    /// What a tool gave back.
    pub result: Option<JsonText>,
    /// The tools that were declared.
    pub tools: Arc<[DeclaredTool]>,
}

impl Said {
    fn silent(span: Span) -> Self {
        Self {
            span,
            input: Vec::new(),
            output: Vec::new(),
            arguments: None,
            result: None,
            tools: Arc::default(),
        }
    }
}

/// Returns a span that ran from `from` to `to` milliseconds.
pub fn span(id: &str, parent: &str, kind: SpanType, name: &str, from: i64, to: i64) -> Span {
    let of = |id: &str| SpanId::new(id).expect("it is an id");
    let mut span = Span::new(trace_id(), of(id), kind, Source::Openai);
    span.parent_id = (!parent.is_empty()).then(|| of(parent));
    span.name = name.to_owned();
    span.started_at = Some(Time::from_micros(from * 1_000));
    span.ended_at = Some(Time::from_micros(to * 1_000));
    span.status = SpanStatus::Success;
    if kind == SpanType::Generation {
        span.model = Some(name.to_owned());
    }
    span
}

fn trace_id() -> TraceId {
    TraceId::new("t").expect("it is an id")
}

/// Returns the row of the trace of these spans.
pub fn row(spans: &[&Span]) -> TraceRow {
    let mut item = TraceItem::new(trace_id(), Source::Openai);
    item.workflow_name = Some("flight_booking".to_owned());
    let at = Time::from_micros(0);
    let received = Received {
        first_received_at: at,
        last_received_at: at,
        first_seq: 1,
        seq: 1,
    };
    derive(&item, spans, received)
}

/// Returns a message of words.
pub fn said(role: &str, words: &str) -> Arc<ChatMessage> {
    Arc::new(ChatMessage::of_text(role, words))
}

/// Returns a message that asks for a tool.
pub fn call(name: &str, arguments: &str) -> Arc<ChatMessage> {
    let part = Part::ToolCall {
        id: Some("call_1".to_owned()),
        name: name.to_owned(),
        arguments: Some(json(arguments)),
    };
    Arc::new(ChatMessage::new("assistant", vec![part]))
}

/// Returns a message that tells what a tool gave back.
pub fn answer(response: &str) -> Arc<ChatMessage> {
    let part = Part::ToolResult {
        id: Some("call_1".to_owned()),
        response: json(response),
    };
    Arc::new(ChatMessage::new("tool", vec![part]))
}

/// Returns a JSON text.
pub fn json(text: &str) -> JsonText {
    JsonText::parse(text).expect("it is JSON")
}

/// The texts of the booking story, so that a test may put others in their place.
#[derive(Debug, Clone)]
pub struct Story {
    /// The instructions.
    pub system: String,
    /// What the user asks for.
    pub user: String,
    /// What the tool finds.
    pub found: String,
    /// What the agent answers.
    pub answer: String,
    /// The agent's name.
    pub agent: String,
    /// The tool's name.
    pub tool: String,
    /// The model's name.
    pub model: String,
    /// The workflow's name.
    pub workflow: String,
}

impl Default for Story {
    fn default() -> Self {
        Self {
            system: "You book flights. Ask before you pay.".to_owned(),
            user: "Find me a flight from SFO to JFK on 20 May.".to_owned(),
            found: "2 flights: HAT023 at 6:00 for 168 USD, HAT045 at 13:00 for 99 USD; both have seats left."
                .to_owned(),
            answer: "HAT045 leaves at 13:00 and costs 99 USD. Shall I book it?".to_owned(),
            agent: "BookingAgent".to_owned(),
            tool: "search_flights".to_owned(),
            model: "claude-sonnet-5".to_owned(),
            workflow: "flight_booking".to_owned(),
        }
    }
}

impl Story {
    /// Returns its spans: an agent (`root`), a model call (`g1`), the tool call that the model asked for
    /// (`f1`), and the answer (`g2`).
    pub fn spans(&self) -> Vec<Said> {
        let (system, user) = (said("system", &self.system), said("user", &self.user));
        let arguments = r#"{"origin":"SFO","destination":"JFK"}"#;
        let found = serde_json::Value::from(self.found.as_str()).to_string();
        let tools: Arc<[DeclaredTool]> = Arc::new([DeclaredTool {
            name: self.tool.clone(),
            parameters: Some(json(
                r#"{"type":"object","required":["origin","destination"]}"#,
            )),
        }]);
        let below = |id: &str, kind: SpanType, name: &str, from: i64, to: i64| {
            Said::silent(span(id, "root", kind, name, from, to))
        };
        let root = span("root", "", SpanType::Agent, &self.agent, 0, 3_100);
        let mut first = below("g1", SpanType::Generation, &self.model, 10, 1_200);
        first.input = vec![system.clone(), user.clone()];
        first.output = vec![call(&self.tool, arguments)];
        first.tools = Arc::clone(&tools);
        let mut tool = below("f1", SpanType::Function, &self.tool, 1_210, 2_022);
        tool.arguments = Some(json(arguments));
        tool.result = Some(json(&found));
        let mut second = below("g2", SpanType::Generation, &self.model, 2_030, 3_090);
        second.input = vec![system, user, call(&self.tool, arguments), answer(&found)];
        second.output = vec![said("assistant", &self.answer)];
        second.tools = tools;
        vec![Said::silent(root), first, tool, second]
    }
}
