//! Small traces for tests, written down as what happens in them.

use std::sync::Arc;

use model::{
    ChatMessage, Content, JsonText, Received, Source, Span, SpanError, SpanId, SpanStatus,
    SpanType, Time, TraceId, TraceItem, TraceStatus, Verdict, derive,
};
use serde_json::Value;

use super::{TrajectoryContext, TrajectoryGrader};
use crate::{DeclaredTool, Effects, ToldSpan, ToldTrace, TraceView};

/// A trace under construction: each step takes a second, below the agent that works last.
#[derive(Debug, Clone, Default)]
pub(super) struct Scene {
    spans: Vec<ToldSpan>,
    agent: Option<SpanId>,
    reference: Option<Value>,
}

/// A tool call to be put into a scene.
#[derive(Debug, Clone)]
pub(super) struct SceneCall(ToldSpan);

pub(super) fn call(name: &str, arguments: Value) -> SceneCall {
    let mut told = span(SpanType::Function, name);
    told.arguments = Some(json(&arguments));
    SceneCall(told)
}

impl SceneCall {
    pub(super) fn gives(mut self, result: Value) -> Self {
        self.0.result = Some(json(&result));
        self
    }

    pub(super) fn failed(mut self, message: &str) -> Self {
        self.0.span.status = SpanStatus::Error;
        self.0.span.error = Some(SpanError {
            kind: "tool_error".to_owned(),
            message: message.to_owned(),
            data: None,
        });
        self
    }

    pub(super) fn silent(mut self) -> Self {
        self.0.arguments = None;
        self
    }
}

fn json(value: &Value) -> JsonText {
    JsonText::from_trusted(value.to_string())
}

fn span(span_type: SpanType, name: &str) -> ToldSpan {
    let trace = TraceId::new("t").unwrap();
    let mut span = Span::new(trace, SpanId::new("s").unwrap(), span_type, Source::Openai);
    span.name = name.to_owned();
    span.status = SpanStatus::Success;
    ToldSpan::silent(span)
}

impl Scene {
    pub(super) fn reference(mut self, reference: Value) -> Self {
        self.reference = Some(reference);
        self
    }

    pub(super) fn call(self, call: SceneCall) -> Self {
        self.step(call.0)
    }

    /// An agent begins, below nobody, and works from here on.
    pub(super) fn agent(mut self, name: &str, tools: &[(&str, Option<Value>)]) -> Self {
        let mut told = span(SpanType::Agent, name);
        let tool = |(name, parameters): &(&str, Option<Value>)| DeclaredTool {
            name: (*name).to_owned(),
            parameters: parameters.as_ref().map(json),
        };
        told.tools = tools.iter().map(tool).collect();
        self.agent = None;
        let mut scene = self.step(told);
        scene.agent = scene.spans.last().map(|told| told.span.span_id.clone());
        scene
    }

    pub(super) fn says(self, heard: &[(&str, &str)], said: &str) -> Self {
        let mut told = span(SpanType::Generation, "model");
        let message = |(role, words): &(&str, &str)| Arc::new(ChatMessage::of_text(role, *words));
        told.input = heard.iter().map(message).collect();
        told.output = vec![message(&("assistant", said))];
        self.step(told)
    }

    pub(super) fn handoff(self, from: &str, to: &str) -> Self {
        let mut told = span(SpanType::Handoff, "handoff");
        told.span.handoff_from = Some(from.to_owned());
        told.span.handoff_to = Some(to.to_owned());
        self.step(told)
    }

    /// Whatever else, with what it gives.
    pub(super) fn custom(self, name: &str, result: &Value) -> Self {
        let mut told = span(SpanType::Custom, name);
        told.result = Some(json(result));
        self.step(told)
    }

    fn step(mut self, mut told: ToldSpan) -> Self {
        let at = i64::try_from(self.spans.len()).unwrap();
        told.span.span_id = SpanId::new(&format!("s{at}")).unwrap();
        told.span.parent_id = self.agent.clone();
        told.span.started_at = Some(Time::from_micros(at * 1_000_000));
        let lasts = if told.span.span_type == SpanType::Agent {
            1_000
        } else {
            1
        };
        told.span.ended_at = Some(Time::from_micros((at + lasts) * 1_000_000));
        self.spans.push(told);
        self
    }

    pub(super) fn view(&self) -> TraceView {
        let item = TraceItem::new(TraceId::new("t").unwrap(), Source::Openai);
        let at = Time::from_micros(0);
        let received = Received {
            first_received_at: at,
            last_received_at: at,
            first_seq: 1,
            seq: 1,
        };
        let rows: Vec<&Span> = self.spans.iter().map(|told| &told.span).collect();
        let mut row = derive(&item, &rows, received);
        let has_arguments = self.spans.iter().any(|told| told.arguments.is_some());
        row.content = if has_arguments {
            Content::Full
        } else {
            Content::None
        };
        TraceView::of(ToldTrace {
            row,
            status: TraceStatus::Success,
            horizon: Time::from_micros(2_000_000_000),
            spans: self.spans.clone(),
            reference: self.reference.clone(),
        })
    }

    pub(super) fn grade(&self, grader: &TrajectoryGrader) -> Verdict {
        let effects = Effects::default();
        grader.grade(&self.view(), &TrajectoryContext::new(&effects))
    }
}
