//! Each detector on a run that has its fault, on runs that nearly have it, and on runs that cannot
//! tell.

mod alphabet;
mod calls;
mod limits;
mod runs;
mod spans;
mod texts;

use std::sync::Arc;

use model::{
    ChatMessage, DeclaredTool, JsonText, Part, Received, Source, Span, SpanError, SpanId,
    SpanStatus, SpanType, Time, TraceId, TraceItem, TraceStatus, derive,
};

use crate::{ToldSpan, ToldTrace, TraceView};

use super::{Answer, Context, Detector, Detectors, Hit};

/// A run that is built span by span, each a second long behind the one before. The agent is span 0.
pub(super) struct Run {
    pub(super) spans: Vec<ToldSpan>,
    agent: Option<usize>,
    seconds: f64,
    /// What the next model call is given.
    heard: Vec<Arc<ChatMessage>>,
    pub(super) context: Context,
    pub(super) item: TraceItem,
    pub(super) status: Option<TraceStatus>,
}

impl Run {
    /// A run of one agent, `A`.
    pub(super) fn new() -> Self {
        Self::empty().agent("A")
    }

    pub(super) fn empty() -> Self {
        Self {
            spans: Vec::new(),
            agent: None,
            seconds: 0.0,
            heard: Vec::new(),
            context: Context::default(),
            item: TraceItem::new(TraceId::new("t").unwrap(), Source::Openai),
            status: None,
        }
    }

    fn push(mut self, span_type: SpanType, name: &str) -> Self {
        let id = SpanId::new(&format!("s{}", self.spans.len())).unwrap();
        let trace = TraceId::new("t").unwrap();
        let mut span = Span::new(trace, id, span_type, Source::Openai);
        span.name = name.to_owned();
        span.parent_id = self.agent.map(|at| self.spans[at].span.span_id.clone());
        let time = |seconds: f64| Time::from_micros((seconds * 1e6) as i64);
        span.started_at = Some(time(self.seconds));
        self.seconds += 1.0;
        span.ended_at = Some(time(self.seconds));
        span.status = SpanStatus::Success;
        self.spans.push(ToldSpan::silent(span));
        // Whoever encloses lasts as long.
        for span in &mut self.spans {
            if span.span.span_type == SpanType::Agent && span.span.status != SpanStatus::Open {
                span.span.ended_at = Some(time(self.seconds));
            }
        }
        self
    }

    /// Another agent below the first, which works from here on.
    pub(super) fn agent(mut self, name: &str) -> Self {
        self.agent = self.agent.map(|_| 0);
        let mut run = self.push(SpanType::Agent, name);
        run.seconds -= 1.0;
        run.agent = Some(run.spans.len() - 1);
        run
    }

    /// Gives the agent at work these tools.
    pub(super) fn tools(mut self, names: &[&str]) -> Self {
        let tools = names.iter().map(|name| DeclaredTool {
            name: (*name).to_owned(),
            parameters: None,
        });
        let agent = self.agent.unwrap();
        self.spans[agent].tools = tools.collect();
        self
    }

    /// Something that the next model call is told.
    pub(super) fn told(mut self, role: &str, words: &str) -> Self {
        self.heard.push(Arc::new(ChatMessage::of_text(role, words)));
        self
    }

    /// A model call that answers.
    pub(super) fn says(self, words: &str) -> Self {
        let mut run = self.push(SpanType::Generation, "gpt-4o");
        let heard = run.heard.clone();
        let said = Arc::new(ChatMessage::of_text("assistant", words));
        run.heard.push(Arc::clone(&said));
        run.with(|span| {
            span.input = heard;
            span.output = vec![said];
            span.span.input_preview = Some("something".to_owned());
            span.span.model = Some("gpt-4o".to_owned());
        })
    }

    /// A model call that asks for a tool, and the call of it.
    pub(super) fn call(self, tool: &str, arguments: &str, result: &str) -> Self {
        self.asks(tool, arguments).runs(tool, arguments, Ok(result))
    }

    /// A model call that asks for a tool, and the call of it, which fails.
    pub(super) fn fails(self, tool: &str, arguments: &str, message: &str) -> Self {
        self.asks(tool, arguments)
            .runs(tool, arguments, Err(message))
    }

    pub(super) fn asks(self, tool: &str, arguments: &str) -> Self {
        let call = Part::ToolCall {
            id: None,
            name: tool.to_owned(),
            arguments: Some(JsonText::from_trusted(arguments)),
        };
        let mut run = self.push(SpanType::Generation, "gpt-4o");
        let heard = run.heard.clone();
        let said = Arc::new(ChatMessage::new("assistant", vec![call]));
        run.heard.push(Arc::clone(&said));
        run.with(|span| {
            span.input = heard;
            span.output = vec![said];
            span.span.input_preview = Some("something".to_owned());
            span.span.model = Some("gpt-4o".to_owned());
        })
    }

    pub(super) fn runs(self, tool: &str, arguments: &str, result: Result<&str, &str>) -> Self {
        let run = self.push(SpanType::Function, tool);
        run.with(|span| {
            span.arguments = Some(JsonText::from_trusted(arguments));
            match result {
                Ok(result) => span.result = Some(JsonText::from_trusted(json(result))),
                Err(message) => fail(span, "tool_error", message),
            }
        })
    }

    pub(super) fn handoff(self, from: &str, to: &str) -> Self {
        let run = self.push(SpanType::Handoff, &format!("{from} → {to}"));
        run.with(|span| {
            span.span.handoff_from = Some(from.to_owned());
            span.span.handoff_to = Some(to.to_owned());
        })
    }

    pub(super) fn guard(self, name: &str, trips: bool) -> Self {
        let run = self.push(SpanType::Guardrail, name);
        run.with(|span| span.span.triggered = Some(trips))
    }

    pub(super) fn custom(self, name: &str) -> Self {
        self.push(SpanType::Custom, name)
    }

    /// Lets time pass.
    pub(super) fn waits(mut self, seconds: f64) -> Self {
        self.seconds += seconds;
        self
    }

    /// Changes the last span.
    pub(super) fn with(self, change: impl FnOnce(&mut ToldSpan)) -> Self {
        let last = self.spans.len() - 1;
        self.with_span(last, change)
    }

    /// Changes span `at`.
    pub(super) fn with_span(mut self, at: usize, change: impl FnOnce(&mut ToldSpan)) -> Self {
        change(&mut self.spans[at]);
        self
    }

    /// Changes what is known besides the run.
    pub(super) fn knowing(mut self, change: impl FnOnce(&mut Context)) -> Self {
        change(&mut self.context);
        self
    }

    pub(super) fn view(&self) -> TraceView {
        let at = Time::from_micros(0);
        let received = Received {
            first_received_at: at,
            last_received_at: at,
            first_seq: 1,
            seq: 1,
        };
        let rows: Vec<&Span> = self.spans.iter().map(|told| &told.span).collect();
        let row = derive(&self.item, &rows, received);
        let now = Time::from_micros(i64::MAX / 2);
        TraceView::of(ToldTrace {
            status: self.status.unwrap_or_else(|| row.status_at(now, 0)),
            horizon: row.ended_at.unwrap_or(at),
            row,
            spans: self.spans.clone(),
            reference: None,
        })
    }

    pub(super) fn answer(&self, detector: Detector) -> Answer {
        let mut findings = Detectors::only([detector]).run(&self.view(), &self.context);
        findings.pop().unwrap().answer
    }

    pub(super) fn hits(&self, detector: Detector) -> Vec<Hit> {
        match self.answer(detector) {
            Answer::Hits(hits) => hits,
            other => panic!("{detector} says {other:?}"),
        }
    }
}

pub(super) fn fail(span: &mut ToldSpan, kind: &str, message: &str) {
    span.span.status = SpanStatus::Error;
    span.span.error = Some(SpanError {
        kind: kind.to_owned(),
        message: message.to_owned(),
        data: None,
    });
}

/// A text that is JSON as it is, any other as a JSON string.
fn json(text: &str) -> String {
    match JsonText::parse(text) {
        Ok(json) => json.as_str().to_owned(),
        Err(_) => serde_json::Value::from(text).to_string(),
    }
}

/// The detector fires, once for each of `want`, which name the spans.
#[track_caller]
pub(super) fn fires(detector: Detector, run: &Run, want: &[&[usize]]) {
    let got: Vec<Vec<usize>> = run
        .hits(detector)
        .iter()
        .map(|hit| {
            assert!(hit.evidence.len() > 10, "{hit:?}");
            let ids = hit.spans.iter().map(|id| id.as_str()[1..].parse().unwrap());
            ids.collect()
        })
        .collect();
    assert_eq!(got, want, "{:?}", run.answer(detector));
}

/// The detector finds nothing.
#[track_caller]
pub(super) fn clear(detector: Detector, run: &Run) {
    assert_eq!(run.answer(detector), Answer::Clear);
}

/// The detector cannot tell.
#[track_caller]
pub(super) fn cannot_tell(detector: Detector, run: &Run) {
    let answer = run.answer(detector);
    assert!(matches!(answer, Answer::NotApplicable(_)), "{answer:?}");
}

#[test]
fn what_a_workflow_mutes_is_not_asked() {
    let call = |run: Run| run.call("get", r#"{"a":1}"#, "x");
    let mut run = call(call(Run::new()));
    assert!(matches!(run.answer(Detector::D01), Answer::Hits(_)));
    run.item.workflow_name = Some("w".to_owned());
    let rules = run.context.workflows.entry("w".to_owned()).or_default();
    rules.muted.insert(Detector::D01);
    assert_eq!(run.answer(Detector::D01), Answer::Muted);
    run.item.workflow_name = Some("other".to_owned());
    assert!(matches!(run.answer(Detector::D01), Answer::Hits(_)));
}

#[test]
fn every_detector_answers_for_a_run_of_nothing_and_for_a_good_one() {
    let good = Run::new()
        .tools(&["get_weather"])
        .told("user", "How is the weather in Zürich?")
        .call(
            "get_weather",
            r#"{"city":"Zürich"}"#,
            "12 °C and raining all day long",
        )
        .says("It is 12 °C and raining in Zürich.");
    for detector in Detector::ALL {
        assert!(good.hits_of(*detector).is_empty(), "{detector}");
        assert!(Run::empty().hits_of(*detector).is_empty(), "{detector}");
    }
    assert_eq!(Detectors::all().run(&good.view(), &good.context).len(), 30);
}

impl Run {
    fn hits_of(&self, detector: Detector) -> Vec<Hit> {
        match self.answer(detector) {
            Answer::Hits(hits) => hits,
            _ => Vec::new(),
        }
    }
}
