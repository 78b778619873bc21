//! Model calls, time, money and structure: D09 to D11, D23 to D26, D30.

use model::{NanoUsd, Source, SpanId, SpanStatus, SpanType, Time, TraceStatus};

use super::super::{Baseline, Detector};
use super::{Run, cannot_tell, clear, fail, fires};

#[test]
fn truncated() {
    let stopped = |reason: &str| {
        let run = Run::new().says("It is so that");
        run.with(|span| span.span.finish_reason = Some(reason.to_owned()))
    };
    for reason in ["length", "max_tokens", "MAX_TOKENS", "incomplete"] {
        fires(Detector::D09, &stopped(reason), &[&[1]]);
    }
    clear(Detector::D09, &stopped("stop"));
    clear(Detector::D09, &stopped("content_filter"));
    fires(Detector::D09, &Run::new().says(r#"{"city": "Os"#), &[&[1]]);
    fires(
        Detector::D09,
        &Run::new().asks("get", r#""{\"city\": \"Os""#),
        &[&[1]],
    );
    clear(Detector::D09, &Run::new().says(r#"{"city": "Oslo"}"#));
    clear(Detector::D09, &Run::new().says(r#"{"city": Oslo"#));
    clear(Detector::D09, &Run::new().says("[1] is a footnote"));
    cannot_tell(
        Detector::D09,
        &Run::new().says("x").with(|span| span.output.clear()),
    );
    cannot_tell(Detector::D09, &Run::new());
}

/// A run whose model calls read so many tokens.
fn reads(tokens: &[i64]) -> Run {
    tokens.iter().fold(Run::new(), |run, tokens| {
        run.says("x")
            .with(|span| span.span.usage.input_tokens = Some(*tokens))
    })
}

#[test]
fn context_growth() {
    fires(
        Detector::D10,
        &reads(&[10_000, 50_000, 100_000, 110_000]),
        &[&[1, 3]],
    );
    // Much, but not most of it; most of it, but not from little.
    clear(Detector::D10, &reads(&[10_000, 80_000]));
    clear(Detector::D10, &reads(&[60_000, 120_000]));
    let overflow = Run::new().says("x").with(|span| {
        fail(
            span,
            "model_error",
            "This model's maximum context length is 128000 tokens.",
        );
    });
    fires(Detector::D10, &overflow, &[&[1]]);
    cannot_tell(Detector::D10, &Run::new().says("x"));
    let unknown = reads(&[10_000, 110_000]);
    let unknown = (1..3).fold(unknown, |run, at| {
        run.with_span(at, |span| span.span.model = None)
    });
    cannot_tell(Detector::D10, &unknown);
    // Two agents have two contexts.
    let other = reads(&[10_000]).agent("B").says("x");
    clear(
        Detector::D10,
        &other.with(|span| span.span.usage.input_tokens = Some(110_000)),
    );
}

#[test]
fn history_reset() {
    fires(Detector::D11, &reads(&[4_000, 5_000, 1_000]), &[&[2, 3]]);
    clear(Detector::D11, &reads(&[4_000, 5_000, 2_500]));
    clear(Detector::D11, &reads(&[900, 100]));
    let compacted = reads(&[5_000]).custom("compact history").says("x");
    clear(
        Detector::D11,
        &compacted.with(|span| span.span.usage.input_tokens = Some(1_000)),
    );
    let small =
        reads(&[5_000, 1_000]).with(|span| span.span.model = Some("gpt-4o-mini".to_owned()));
    clear(Detector::D11, &small);
    cannot_tell(Detector::D11, &reads(&[5_000]));
    cannot_tell(Detector::D11, &Run::new().says("x").says("y"));
}

fn baseline(count: u64) -> Baseline {
    Baseline {
        count,
        p99: 500.0,
        median: 100.0,
        log_mad: 0.5,
    }
}

#[test]
fn slow_step() {
    // Every span of these runs takes a second.
    let run = |count: u64, name: &str| {
        Run::new().call("get", "{}", "ok").knowing(|context| {
            let key = (SpanType::Function, name.to_owned());
            context.steps_ms.insert(key, baseline(count));
        })
    };
    fires(Detector::D23, &run(100, "get"), &[&[2]]);
    cannot_tell(Detector::D23, &run(99, "get"));
    cannot_tell(Detector::D23, &run(100, "other"));
    let quick = |millis: i64| {
        run(100, "get").with(|span| {
            let started = span.span.started_at.unwrap();
            span.span.ended_at = Some(started.plus_micros(millis * 1_000));
        })
    };
    // 100 · e^(3.5 · 0.5) = 575 counts, being more than the 99th percentile.
    clear(Detector::D23, &quick(575));
    fires(Detector::D23, &quick(576), &[&[2]]);
}

#[test]
fn cost_outlier() {
    let run = |tokens: i64, count: u64| {
        let run = reads(&[tokens, 1]);
        run.knowing(|context| context.other_workflows.tokens = Some(baseline(count)))
    };
    fires(Detector::D24, &run(600, 100), &[&[1]]);
    clear(Detector::D24, &run(500, 100));
    cannot_tell(Detector::D24, &run(600, 99));
    let cost = |usd: f64| {
        let run = Run::new().says("x");
        let run = run.with(|span| span.span.cost = Some(NanoUsd::from_usd(usd)));
        run.knowing(|context| context.other_workflows.cost_usd = Some(baseline(100)))
    };
    fires(Detector::D24, &cost(600.0), &[&[1]]);
    clear(Detector::D24, &cost(500.0));
    cannot_tell(Detector::D24, &Run::new().says("x"));
}

#[test]
fn idle_gap() {
    let waits = |seconds: f64| Run::new().says("x").waits(seconds).says("y");
    fires(Detector::D25, &waits(3.0), &[&[1, 2]]);
    clear(Detector::D25, &waits(1.9));
    // Three seconds of many.
    let long = (0..20).fold(Run::new(), |run, _| run.says("x"));
    clear(Detector::D25, &long.waits(3.0).says("y"));
    // Short ones that come to much, of which the longest is shown.
    let short = |run: Run, seconds: f64| run.says("x").waits(seconds);
    let many = [0.5, 0.5, 0.9, 0.5]
        .iter()
        .fold(Run::new(), |run, seconds| short(run, *seconds));
    fires(Detector::D25, &many.says("y"), &[&[3, 4]]);
    let few = [0.5, 0.5, 0.9]
        .iter()
        .fold(Run::new(), |run, seconds| short(run, *seconds));
    clear(Detector::D25, &few.says("y"));
    // A span of no model and no tool ran.
    let busy = Run::new()
        .says("x")
        .custom("render")
        .waits(3.0)
        .with(|span| {
            let started = span.span.started_at.unwrap();
            span.span.ended_at = Some(started.plus_micros(4_000_000));
        });
    clear(Detector::D25, &busy.says("y"));
    let mut running = waits(3.0);
    running.status = Some(TraceStatus::Running);
    cannot_tell(Detector::D25, &running);
    cannot_tell(Detector::D25, &Run::empty());
}

#[test]
fn structural() {
    let run = || Run::new().says("x").says("y");
    let micros = |span: &mut crate::ToldSpan, by: i64| {
        span.span.ended_at = span.span.ended_at.map(|at| at.plus_micros(by));
    };
    let open = run().with(|span| {
        span.span.status = SpanStatus::Open;
        span.span.ended_at = None;
    });
    fires(Detector::D26, &open, &[&[2]]);
    fires(
        Detector::D26,
        &run().with(|span| micros(span, -1_000_001)),
        &[&[2]],
    );
    fires(
        Detector::D26,
        &run().with(|span| micros(span, 50_001)),
        &[&[2]],
    );
    clear(Detector::D26, &run().with(|span| micros(span, 50_000)));
    let id = |id: &str| Some(SpanId::new(id).unwrap());
    fires(
        Detector::D26,
        &run().with(|span| span.span.parent_id = id("gone")),
        &[&[2]],
    );
    let cycle = run().with_span(1, |span| span.span.parent_id = id("s2"));
    let cycle = cycle.with_span(2, |span| span.span.parent_id = id("s1"));
    let cycles = cycle.hits(Detector::D26);
    let words = |hits: &[super::Hit]| {
        hits.iter()
            .map(|hit| hit.evidence.clone())
            .collect::<Vec<_>>()
    };
    assert!(
        words(&cycles).contains(&"2 spans are their own ancestors".to_owned()),
        "{cycles:?}"
    );
    let roots = || run().with(|span| span.span.parent_id = None);
    clear(Detector::D26, &roots());
    let otlp = (0..3).fold(roots(), |run, at| {
        run.with_span(at, |span| span.span.source = Source::Otlp)
    });
    fires(Detector::D26, &otlp, &[&[0, 2]]);
    let mut running = open;
    running.status = Some(TraceStatus::Running);
    clear(Detector::D26, &running);
}

#[test]
fn of_a_view_that_has_an_id_twice() {
    let mut view = Run::new().says("x").says("y").view();
    view.spans[2].told.span.span_id = SpanId::new("s1").unwrap();
    let context = super::Context::default();
    let found = super::Detectors::only([Detector::D26]).run(&view, &context);
    let spans: Vec<_> = found[0].hits()[0]
        .spans
        .iter()
        .map(SpanId::as_str)
        .collect();
    assert_eq!(spans, ["s1", "s1"]);
}

#[test]
fn api_class() {
    let run = Run::new().fails("get", r#"{"a":1}"#, "429 Too Many Requests");
    let run = run.fails("get", r#"{"a":2}"#, "Rate limit reached");
    let run = run.fails("pay", "{}", "HTTP 503 Service Unavailable");
    fires(Detector::D30, &run, &[&[2, 4], &[6]]);
    clear(
        Detector::D30,
        &Run::new().fails("get", "{}", "column is ambiguous"),
    );
    clear(
        Detector::D30,
        &Run::new().call("get", "{}", "429 Too Many Requests"),
    );
    let timed_out = Run::new()
        .says("x")
        .with(|span| fail(span, "timeout", "gone"));
    fires(Detector::D30, &timed_out, &[&[1]]);
}

#[test]
fn a_span_without_times_is_no_fault_of_its_own() {
    let untimed = (0..3).fold(Run::new().says("x").says("y"), |run, at| {
        run.with_span(at, |span| {
            span.span.started_at = None;
            span.span.ended_at = None;
        })
    });
    clear(Detector::D26, &untimed);
    cannot_tell(Detector::D25, &untimed);
    let _: Option<Time> = untimed.view().row.started_at;
}
