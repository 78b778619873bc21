//! Traces that the tests grade: a booking, with texts that a test may put others in place of.

use std::sync::Arc;

use insight::{DeclaredTool, ToldSpan, ToldTrace, TraceView};
use model::{
    ChatMessage, JsonText, Part, Received, Source, Span, SpanError, SpanId, SpanStatus, SpanType,
    Time, TraceId, TraceItem, derive,
};

/// Returns a span that ran from `from` to `to` milliseconds.
pub(crate) fn span(
    id: &str,
    parent: &str,
    kind: SpanType,
    name: &str,
    from: i64,
    to: i64,
) -> ToldSpan {
    let trace = TraceId::new("t").unwrap();
    let mut span = Span::new(trace, SpanId::new(id).unwrap(), kind, Source::Openai);
    span.parent_id = (!parent.is_empty()).then(|| SpanId::new(parent).unwrap());
    span.name = name.to_owned();
    span.started_at = Some(Time::from_micros(from * 1_000));
    span.ended_at = Some(Time::from_micros(to * 1_000));
    span.status = SpanStatus::Success;
    if kind == SpanType::Generation {
        span.model = Some(name.to_owned());
    }
    ToldSpan::silent(span)
}

/// Returns the view of some spans.
pub(crate) fn view(spans: Vec<ToldSpan>) -> TraceView {
    let mut item = TraceItem::new(TraceId::new("t").unwrap(), Source::Openai);
    item.workflow_name = Some("flight_booking".to_owned());
    let at = Time::from_micros(0);
    let received = Received {
        first_received_at: at,
        last_received_at: at,
        first_seq: 1,
        seq: 1,
    };
    let rows: Vec<&Span> = spans.iter().map(|told| &told.span).collect();
    let row = derive(&item, &rows, received);
    TraceView::of(ToldTrace {
        status: row.settled_status,
        row,
        horizon: Time::from_micros(1_000_000),
        spans,
        reference: None,
    })
}

pub(crate) fn said(role: &str, words: &str) -> Arc<ChatMessage> {
    Arc::new(ChatMessage::of_text(role, words))
}

pub(crate) fn json(text: &str) -> JsonText {
    JsonText::parse(text).unwrap()
}

fn call(name: &str, arguments: &str) -> Arc<ChatMessage> {
    let part = Part::ToolCall {
        id: Some("call_1".to_owned()),
        name: name.to_owned(),
        arguments: Some(json(arguments)),
    };
    Arc::new(ChatMessage::new("assistant", vec![part]))
}

fn answer(response: &str) -> Arc<ChatMessage> {
    let part = Part::ToolResult {
        id: Some("call_1".to_owned()),
        response: json(response),
    };
    Arc::new(ChatMessage::new("tool", vec![part]))
}

/// The texts of the story.
pub(crate) struct Story {
    pub(crate) system: String,
    pub(crate) user: String,
    pub(crate) found: String,
    pub(crate) answer: String,
    pub(crate) agent: String,
    pub(crate) tool: String,
    pub(crate) model: String,
}

impl Default for Story {
    fn default() -> Self {
        Self {
            system: "You book flights. Ask before you pay.".to_owned(),
            user: "Find me a flight from SFO to JFK on 20 May.".to_owned(),
            found: "2 flights: HAT023 at 6:00 for 168 USD, HAT045 at 13:00 for 99 USD.".to_owned(),
            answer: "HAT045 leaves at 13:00 and costs 99 USD. Shall I book it?".to_owned(),
            agent: "BookingAgent".to_owned(),
            tool: "search_flights".to_owned(),
            model: "claude-sonnet-5".to_owned(),
        }
    }
}

impl Story {
    /// Returns its trace: an agent (s1), a model call (s2), a tool call (s3, `f1`), and the answer (s4).
    pub(crate) fn view(&self) -> TraceView {
        let (system, user) = (said("system", &self.system), said("user", &self.user));
        let arguments = r#"{"origin":"SFO","destination":"JFK"}"#;
        let found = serde_json::Value::from(self.found.as_str()).to_string();
        let tools: Arc<[DeclaredTool]> = Arc::new([DeclaredTool {
            name: self.tool.clone(),
            parameters: Some(json(
                r#"{"type":"object","required":["origin","destination"]}"#,
            )),
        }]);
        let root = span("root", "", SpanType::Agent, &self.agent, 0, 3_100);
        let mut first = span("g1", "root", SpanType::Generation, &self.model, 10, 1_200);
        first.input = vec![system.clone(), user.clone()];
        first.output = vec![call(&self.tool, arguments)];
        first.tools = Arc::clone(&tools);
        let mut tool = span("f1", "root", SpanType::Function, &self.tool, 1_210, 2_022);
        tool.arguments = Some(json(arguments));
        tool.result = Some(json(&found));
        let mut second = span(
            "g2",
            "root",
            SpanType::Generation,
            &self.model,
            2_030,
            3_090,
        );
        second.input = vec![system, user, call(&self.tool, arguments), answer(&found)];
        second.output = vec![said("assistant", &self.answer)];
        second.tools = tools;
        view(vec![root, first, tool, second])
    }
}

pub(crate) fn booking() -> TraceView {
    Story::default().view()
}

/// Returns a trace with so many tool calls, each with an output of so many characters; call `n` returned
/// the secret word `needle-n`.
pub(crate) fn long(calls: usize, chars: usize) -> TraceView {
    let mut spans = vec![span("root", "", SpanType::Agent, "Reader", 0, 1_000_000)];
    let mut asks = span("g1", "root", SpanType::Generation, "claude-sonnet-5", 1, 2);
    asks.input = vec![said("user", "Read all pages and tell me what they say.")];
    asks.output = vec![said("assistant", "Reading.")];
    spans.push(asks);
    for nth in 0..calls {
        let from = 10 + 10 * nth as i64;
        let (id, kind) = (format!("f{nth}"), SpanType::Function);
        let mut tool = span(&id, "root", kind, "read_page", from, from + 5);
        tool.arguments = Some(json(&format!(r#"{{"page":{nth}}}"#)));
        let words = format!("lorem{nth} ipsum{nth} dolor{nth} ");
        let mut text = words.repeat(chars / words.len() + 1);
        text.push_str(&format!("needle-{nth}"));
        tool.result = Some(json(&serde_json::Value::from(text).to_string()));
        spans.push(tool);
    }
    let mut ends = span(
        "g2",
        "root",
        SpanType::Generation,
        "claude-sonnet-5",
        900_000,
        900_001,
    );
    ends.output = vec![said("assistant", "The pages say lorem ipsum.")];
    spans.push(ends);
    view(spans)
}

/// Returns a trace without any text.
pub(crate) fn silent() -> TraceView {
    let mut failed = span("f1", "root", SpanType::Function, "pay", 20, 30);
    failed.span.status = SpanStatus::Error;
    failed.span.error = Some(SpanError {
        kind: "tool_error".to_owned(),
        message: String::new(),
        data: None,
    });
    let root = span("root", "", SpanType::Agent, "Payer", 0, 100);
    let asked = span("g1", "root", SpanType::Generation, "claude-sonnet-5", 1, 10);
    view(vec![root, asked, failed])
}
