//! How long do detectors take on traces that are as large as they may be?

use std::time::Instant;

use insight::{Context, Detector, Detectors, TraceView};
use serde_json::{Value, json};

use crate::support;

/// Spans of the trace of many.
const SPANS: usize = 100_000;

/// What one tool gives back, in bytes.
const RESULT_BYTES: usize = 20 << 20;

/// Prints the time of each detector on a trace of many spans, and on one of a single long text.
pub(crate) fn print() {
    let long = "all 1,234 words of order W4711 are so long ".repeat(RESULT_BYTES / 43);
    let views = [view(SPANS, "found 12 of them"), view(3, &long)];
    println!(
        "\nmilliseconds for {SPANS} spans, and for a result of {} MB",
        RESULT_BYTES >> 20
    );
    for detector in Detector::ALL {
        let took = views.each_ref().map(|view| {
            let begun = Instant::now();
            let found = Detectors::only([*detector]).run(view, &Context::default());
            assert_eq!(found.len(), 1);
            begun.elapsed().as_secs_f64() * 1e3
        });
        println!(
            "{detector} {:<23}{:>9.0}{:>9.0}",
            detector.title(),
            took[0],
            took[1]
        );
    }
}

fn view(count: usize, result: &str) -> TraceView {
    let span = |number: usize, data: Value| {
        let moment = |number: usize| {
            let (minute, second) = (number / 60, number % 60);
            format!(
                "2025-01-{:02}T{:02}:{:02}:{second:02}Z",
                1 + minute / 1_440,
                minute / 60 % 24,
                minute % 60
            )
        };
        let parent = (number > 0).then_some("s0");
        json!({"object": "trace.span", "id": format!("s{number}"), "trace_id": "t", "parent_id": parent,
            "started_at": moment(number), "ended_at": moment(number + 1), "span_data": data, "error": null})
    };
    let mut spans = vec![span(
        0,
        json!({"type": "agent", "name": "A", "tools": ["get_order"]}),
    )];
    for number in 1..count {
        let arguments = json!({"order_id": format!("W{}", number / 2)}).to_string();
        let called = json!({"function": {"name": "get_order", "arguments": arguments}});
        let data = match number % 2 {
            1 => {
                json!({"type": "generation", "input": [{"role": "user", "content": format!("go on, {number}")}],
                "output": [{"role": "assistant", "content": "I look it up.", "tool_calls": [called]}]})
            }
            _ => {
                json!({"type": "function", "name": "get_order", "input": arguments, "output": result})
            }
        };
        spans.push(span(number, data));
    }
    let trace = json!({"object": "trace", "id": "t", "workflow_name": "large"});
    let line = json!({"trace": trace, "spans": spans}).to_string();
    support::views(line).remove(0)
}
