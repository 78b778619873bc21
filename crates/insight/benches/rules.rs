//! How many traces a second ten rules grade on one core, in processor time.
//!
//! A trace has 30 spans: ten turns of a model call and a tool call, agents, handoffs, a guardrail. The
//! rules are ten of the reference: scalars, quantifiers, orders, patterns, texts. Run with
//! `cargo bench -p insight`; a word behind `--` measures only rules that hold it.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use insight::rule::Rule;
use insight::{ToldSpan, ToldTrace, TraceView};
use model::{
    ChatMessage, NanoUsd, Outcome, Received, Source, Span, SpanId, SpanStatus, SpanType, Time,
    TraceId, TraceItem, TraceStatus, derive,
};

/// Processor time for each measurement.
const RUN_TIME: Duration = Duration::from_secs(2);
const TRACES: usize = 64;

const RULES: [&str; 10] = [
    "duration_ms < 5000",
    "total_cost_usd <= 0.05 && tokens() <= 60000",
    r#"spans[type=function].all(s, s.status == "success")"#,
    "spans[type=function].size() <= 12",
    r#"before(calls("search_flights"), calls("book_flight"))"#,
    r#"seq("search_flights+ (get_details)* book_flight")"#,
    r#"!calls("delete_account").any()"#,
    "handoffs.returns() == 0",
    r#"spans[type=generation].all(s, s.finish_reason != "length")"#,
    "spans.all(s, s.self_ms < 3000)",
];

fn span(number: usize, of: SpanType, name: &str) -> ToldSpan {
    let trace = TraceId::new("trace_0123456789abcdef").expect("it is an id");
    let id = SpanId::new(&format!("span_{number:024x}")).expect("it is an id");
    let mut span = Span::new(trace, id, of, Source::Openai);
    let start = 1_700_000_000_000_000 + number as i64 * 100_000;
    name.clone_into(&mut span.name);
    span.started_at = Some(Time::from_micros(start));
    span.ended_at = Some(Time::from_micros(start + 90_000));
    span.status = SpanStatus::Success;
    span.finish_reason = (of == SpanType::Generation).then(|| "stop".to_owned());
    span.usage.input_tokens = (of == SpanType::Generation).then_some(900);
    span.usage.output_tokens = (of == SpanType::Generation).then_some(90);
    span.cost = (of == SpanType::Generation).then_some(NanoUsd(1_000_000));
    ToldSpan::silent(span)
}

/// A trace of 30 spans; every rule holds, so that each looks at everything it asks about.
fn trace() -> TraceView {
    let mut spans = Vec::new();
    for turn in 0..12 {
        let tool = match turn {
            0..=3 => "search_flights",
            4..=10 => "get_details",
            _ => "book_flight",
        };
        let mut generation = span(spans.len(), SpanType::Generation, "gpt-5-mini");
        let words = format!("turn {turn}: the user wants a flight");
        generation.input = vec![Arc::new(ChatMessage::of_text("user", &words))];
        spans.push(generation);
        spans.push(span(spans.len(), SpanType::Function, tool));
    }
    for number in 0..3 {
        spans.push(span(
            spans.len(),
            SpanType::Agent,
            &format!("agent {number}"),
        ));
    }
    for number in 0..2 {
        let mut handoff = span(spans.len(), SpanType::Handoff, "A → B");
        handoff.span.handoff_from = Some(format!("agent {number}"));
        handoff.span.handoff_to = Some(format!("agent {}", number + 1));
        spans.push(handoff);
    }
    spans.push(span(spans.len(), SpanType::Guardrail, "pii"));
    let item = TraceItem::new(spans[0].span.trace_id.clone(), Source::Openai);
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
        row,
        status: TraceStatus::Success,
        horizon: Time::from_micros(1_800_000_000_000_000),
        spans,
        reference: None,
    })
}

/// Returns how long this process has been on a processor: the machine may have other work.
fn processor_time() -> Duration {
    let stat =
        std::fs::read_to_string("/proc/self/schedstat").expect("the benchmark runs on Linux");
    let nanos = stat.split(' ').next().and_then(|text| text.parse().ok());
    Duration::from_nanos(nanos.expect("the first field is a time in nanoseconds"))
}

/// Prints the mean time that the rules take for a trace.
#[expect(
    clippy::print_stdout,
    reason = "a benchmark is a program that prints its result"
)]
fn measure(name: &str, rules: &[Rule], traces: &[TraceView]) {
    let (mut graded, start) = (0_u32, processor_time());
    while processor_time() - start < RUN_TIME {
        for _ in 0..20 {
            for trace in traces {
                for rule in rules {
                    let result = rule.grade(black_box(trace), &());
                    assert_eq!(result.outcome, Outcome::Pass, "{}", rule.source());
                }
                graded += 1;
            }
        }
    }
    let mean = (processor_time() - start).as_secs_f64() / f64::from(graded);
    println!(
        "{name}: {:.0} ns a trace, {:.0} traces/s",
        mean * 1e9,
        1.0 / mean
    );
}

fn main() {
    let traces: Vec<TraceView> = (0..TRACES).map(|_| trace()).collect();
    assert_eq!(traces[0].spans.len(), 30);
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    let word = words.next().unwrap_or_default();
    let parse = |source: &&str| Rule::parse(source).expect("it is a rule");
    let rules: Vec<Rule> = RULES.iter().map(parse).collect();
    if word.is_empty() {
        measure("ten rules", &rules, &traces);
    }
    for rule in rules
        .into_iter()
        .filter(|rule| rule.source().contains(&word))
    {
        let name = rule.source().to_owned();
        measure(&name, &[rule], &traces);
    }
}
