//! Traces that the tests grade: the story of `testkit`, and others written by hand.

use insight::{ToldSpan, ToldTrace, TraceView};
use model::{Span, SpanError, SpanStatus, SpanType, Time};
use testkit::story::{self, Said};
pub(crate) use testkit::story::{Story, json, said};

/// Returns a span that ran from `from` to `to` milliseconds.
pub(crate) fn span(
    id: &str,
    parent: &str,
    kind: SpanType,
    name: &str,
    from: i64,
    to: i64,
) -> ToldSpan {
    ToldSpan::silent(story::span(id, parent, kind, name, from, to))
}

/// Returns the view of some spans.
pub(crate) fn view(spans: Vec<ToldSpan>) -> TraceView {
    let rows: Vec<&Span> = spans.iter().map(|told| &told.span).collect();
    let row = story::row(&rows);
    TraceView::of(ToldTrace {
        status: row.settled_status,
        row,
        horizon: Time::from_micros(1_000_000),
        spans,
        reference: None,
    })
}

/// What can be looked at as a trace.
pub(crate) trait Viewed {
    /// Returns its trace.
    fn view(&self) -> TraceView;
}

impl Viewed for Story {
    fn view(&self) -> TraceView {
        let mut view = view(self.spans().into_iter().map(told).collect());
        view.row.item.workflow_name = Some(self.workflow.clone());
        view
    }
}

fn told(said: Said) -> ToldSpan {
    ToldSpan {
        span: said.span,
        input: said.input,
        output: said.output,
        arguments: said.arguments,
        result: said.result,
        tools: said.tools,
    }
}

/// Returns the trace of the booking story.
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
