//! Small traces, span by span.

use std::collections::HashMap;
use std::sync::Arc;

use model::{
    ChatMessage, JsonText, NanoUsd, Received, Source, Span, SpanError, SpanId, SpanStatus,
    SpanType, Time, TraceId, TraceItem, TraceStatus, derive,
};

use crate::rule::{Environment, RuleResult, RuleValue};
use crate::view::{ToldSpan, ToldTrace, TraceView};

/// A trace and what lies around it.
pub(super) struct Told {
    pub(super) view: TraceView,
    pub(super) world: World,
}

/// What lies around a trace, by name.
#[derive(Default)]
pub(super) struct World {
    pub(super) detectors: HashMap<&'static str, Vec<&'static str>>,
    pub(super) scores: HashMap<&'static str, f64>,
    pub(super) baselines: HashMap<&'static str, f64>,
    /// Texts that a schema allows.
    pub(super) valid: HashMap<&'static str, &'static str>,
}

impl Environment for World {
    fn detector(&self, id: &str) -> Option<bool> {
        self.detectors.get(id).map(|hits| !hits.is_empty())
    }

    fn detector_spans(&self, id: &str) -> Vec<SpanId> {
        let hits = self.detectors.get(id).into_iter().flatten();
        hits.map(|id| SpanId::new(id).unwrap()).collect()
    }

    fn score(&self, grader: &str) -> Option<f64> {
        self.scores.get(grader).copied()
    }

    fn baseline(&self, key: &str) -> Option<f64> {
        self.baselines.get(key).copied()
    }

    fn is_valid(&self, text: &str, schema: &str) -> Option<bool> {
        self.valid.get(schema).map(|allowed| *allowed == text)
    }
}

/// Returns a span that ran from `from` to `to` milliseconds.
pub(super) fn span(id: &str, of: SpanType, name: &str, from: i64, to: i64) -> ToldSpan {
    let trace = TraceId::new("trace_1").unwrap();
    let mut span = Span::new(trace, SpanId::new(id).unwrap(), of, Source::Openai);
    span.name = name.to_owned();
    span.started_at = Some(Time::from_micros(from * 1_000));
    span.ended_at = Some(Time::from_micros(to * 1_000));
    span.status = SpanStatus::Success;
    ToldSpan::silent(span)
}

pub(super) fn call(id: &str, name: &str, from: i64, to: i64) -> ToldSpan {
    span(id, SpanType::Function, name, from, to)
}

pub(super) fn generation(id: &str, from: i64, to: i64) -> ToldSpan {
    span(id, SpanType::Generation, "gpt-5-mini", from, to)
}

pub(super) fn handoff(id: &str, from: &str, to: &str, at: i64) -> ToldSpan {
    let name = format!("{from} → {to}");
    span(id, SpanType::Handoff, &name, at, at + 1).but(|span| {
        span.handoff_from = Some(from.to_owned());
        span.handoff_to = Some(to.to_owned());
    })
}

/// Changes of a span, one after the other.
pub(super) trait But: Sized {
    fn but(self, change: impl FnOnce(&mut Span)) -> Self;
    fn failed(self) -> Self;
    fn below(self, parent: &str) -> Self;
    fn read(self, role: &str, words: &str) -> Self;
    fn said(self, words: &str) -> Self;
    fn given(self, arguments: &str) -> Self;
}

impl But for ToldSpan {
    fn but(mut self, change: impl FnOnce(&mut Span)) -> Self {
        change(&mut self.span);
        self
    }

    fn failed(self) -> Self {
        self.but(|span| {
            span.status = SpanStatus::Error;
            span.error = Some(SpanError {
                kind: "tool_error".to_owned(),
                message: "no luck".to_owned(),
                data: None,
            });
        })
    }

    fn below(self, parent: &str) -> Self {
        self.but(|span| span.parent_id = Some(SpanId::new(parent).unwrap()))
    }

    fn read(mut self, role: &str, words: &str) -> Self {
        self.input.push(Arc::new(ChatMessage::of_text(role, words)));
        self
    }

    fn said(mut self, words: &str) -> Self {
        let said = ChatMessage::of_text("assistant", words);
        self.output.push(Arc::new(said));
        self
    }

    fn given(mut self, arguments: &str) -> Self {
        self.arguments = Some(JsonText::parse(arguments).unwrap());
        self
    }
}

impl Told {
    pub(super) fn of(spans: Vec<ToldSpan>) -> Self {
        let item = TraceItem::new(TraceId::new("trace_1").unwrap(), Source::Openai);
        let at = Time::from_micros(0);
        let received = Received {
            first_received_at: at,
            last_received_at: at,
            first_seq: 1,
            seq: 1,
        };
        let rows: Vec<&Span> = spans.iter().map(|told| &told.span).collect();
        let row = derive(&item, &rows, received);
        let status = row.settled_status;
        let view = TraceView::of(ToldTrace {
            row,
            status,
            horizon: Time::from_micros(1_000_000_000),
            spans,
            reference: None,
        });
        Self {
            view,
            world: World::default(),
        }
    }

    pub(super) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub(super) fn status(self, status: TraceStatus) -> Self {
        self.with(|told| told.view.status = status)
    }

    pub(super) fn cost(self, usd: f64) -> Self {
        self.with(|told| told.view.row.cost = Some(NanoUsd::from_usd(usd)))
    }

    pub(super) fn tokens(self, input: i64, output: i64) -> Self {
        self.with(|told| {
            told.view.row.usage.input_tokens = Some(input);
            told.view.row.usage.output_tokens = Some(output);
        })
    }

    pub(super) fn detector(self, id: &'static str, hits: &[&'static str]) -> Self {
        self.with(|told| drop(told.world.detectors.insert(id, hits.to_vec())))
    }

    pub(super) fn reference(self, json: &str) -> Self {
        self.with(|told| told.view.reference = Some(serde_json::from_str(json).unwrap()))
    }
}

/// Returns a result as one line.
pub(super) fn line(result: &RuleResult) -> String {
    let mut words = vec![result.outcome.to_string()];
    words.extend(result.unscored_reason.map(|reason| reason.to_string()));
    words.extend(result.value.as_ref().map(|value| match value {
        RuleValue::Number(number) => number.to_string(),
        RuleValue::Text(text) => format!("{text:?}"),
    }));
    words.extend(result.vacuous.then(|| "vacuous".to_owned()));
    words.extend(result.witnesses.iter().map(|id| id.as_str().to_owned()));
    words.join(" ")
}
