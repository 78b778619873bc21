//! Any text as a rule: never a panic; what is no rule has problems that can be shown, and what is one
//! grades a trace.
#![no_main]

use insight::rule::{Rule, Selector};
use insight::{ToldSpan, ToldTrace, TraceView};
use libfuzzer_sys::fuzz_target;
use model::{Received, Source, Span, SpanId, SpanType, Time, TraceId, TraceItem, TraceStatus, derive};

/// A trace with a span of every type, each inside the one before.
fn trace() -> TraceView {
    let id = |number: usize| SpanId::new(&format!("s{number}")).expect("it is an id");
    let trace = TraceId::new("t").expect("it is an id");
    let spans = SpanType::ALL.iter().enumerate().map(|(number, span_type)| {
        let mut span = Span::new(trace.clone(), id(number), *span_type, Source::Openai);
        span.parent_id = number.checked_sub(1).map(id);
        span.name = format!("name {}", number % 3);
        span.started_at = Some(Time::from_micros(number as i64 * 1_000));
        ToldSpan::silent(span)
    });
    let spans: Vec<ToldSpan> = spans.collect();
    let at = Time::from_micros(0);
    let received = Received { first_received_at: at, last_received_at: at, first_seq: 1, seq: 1 };
    let rows: Vec<&Span> = spans.iter().map(|told| &told.span).collect();
    let row = derive(&TraceItem::new(trace, Source::Openai), &rows, received);
    let horizon = Time::from_micros(1_000_000);
    TraceView::of(ToldTrace { row, status: TraceStatus::Running, horizon, spans, reference: None })
}

fuzz_target!(|source: &str| {
    match Rule::parse(source) {
        Ok(rule) => {
            drop(rule.grade(&trace(), &()));
            drop(rule.storage_predicate().map(|predicate| predicate.to_string()));
        }
        Err(problems) => {
            assert!(!problems.all().is_empty());
            drop(problems.to_string());
        }
    }
    if let Ok(selector) = Selector::parse(source) {
        drop(selector.places(&trace(), &()));
    }
});
