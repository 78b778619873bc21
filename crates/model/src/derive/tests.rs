//! What the row of a trace says, sketch by sketch and for any forest.

use super::*;
use crate::{Source, SpanId, TraceId, sketch};
use proptest::prelude::*;

const RECEIVED: Received = Received {
    first_received_at: Time::from_micros(1),
    last_received_at: Time::from_micros(2),
    first_seq: 3,
    seq: 4,
};

fn item() -> TraceItem {
    TraceItem::new(TraceId::new("trace").unwrap(), Source::Openai)
}

fn row_of(sketch: &str, change: impl Fn(&mut Span)) -> TraceRow {
    let mut spans = sketch::spans(sketch);
    spans.iter_mut().for_each(change);
    derive(&item(), &spans, RECEIVED)
}

fn check_times(sketch: &str, want: (f64, f64, f64, f64)) {
    let row = row_of(sketch, |_| ());
    assert_eq!(
        (
            row.duration_ms.unwrap(),
            row.llm_ms,
            row.tool_ms,
            row.overhead_ms
        ),
        want,
        "{sketch}"
    );
}

#[test]
fn times_are_unions_and_overhead_is_the_rest() {
    check_times("a custom - 0..100", (100.0, 0.0, 0.0, 100.0));
    check_times(
        "a task - 0..100\n g generation a 10..30\n f function a 30..60",
        (100.0, 20.0, 30.0, 50.0),
    );
    check_times(
        "f function - 0..60\n e function - 20..50\n d function - 55..80",
        (80.0, 0.0, 80.0, 0.0),
    );
    // An agent used as a tool counts as both, and once.
    check_times(
        "a agent - 0..100\n f function a 10..60\n g generation f 20..40",
        (100.0, 20.0, 50.0, 50.0),
    );
    // A child outside its parent stretches the trace; an open span runs to its end.
    check_times(
        "a agent - 10..50\n f function a 40..90\n g generation a 80..",
        (80.0, 10.0, 50.0, 30.0),
    );
    check_times(
        "a agent - 10..5\n g generation a 20..15\n b custom - ..40",
        (30.0, 0.0, 0.0, 30.0),
    );
    check_times(
        "a agent - 10..50\n h custom - 0..90 noise",
        (40.0, 0.0, 0.0, 40.0),
    );
    check_times("h custom - 0..90 noise", (90.0, 0.0, 0.0, 90.0));
}

#[test]
fn spans_are_counted_by_type_but_not_plumbing_nor_duplicates() {
    let sketch = "a agent - 0..90\n g generation a 1..2\n f function a 3..4 !tool_error
        e function a 5..6\n h handoff a 7..8\n w guardrail a 9..10\n x guardrail a 11..12
        n custom a 1..2 noise\n o turn a 20..\n m generation a 1..2\n lost custom gone 1..2
        loster custom gone 1..2";
    let row = row_of(sketch, |span| match span.name.as_str() {
        "m" => span.merged_into = SpanId::new("g").ok(),
        "w" => span.triggered = Some(true),
        "x" => span.triggered = Some(false),
        _ => {}
    });
    let counts = [
        row.span_count,
        row.generation_count,
        row.tool_call_count,
        row.tool_errors,
        row.handoff_count,
        row.guardrail_trips,
        row.open_spans,
        row.lost_spans,
    ];
    assert_eq!(counts, [10, 1, 2, 1, 1, 1, 1, 1]);
}

#[test]
fn the_item_alone_is_a_row() {
    let row = derive::<Span>(&item(), &[], RECEIVED);
    assert_eq!(
        (row.span_count, row.started_at, row.cost),
        (0, None, Some(NanoUsd(0)))
    );
    assert_eq!((row.first_seq, row.seq, row.rooted), (3, 4, false));
    let ended = TraceItem {
        ended: Some(true),
        ..item()
    };
    assert!(derive::<Span>(&ended, &[], RECEIVED).rooted);
}

#[test]
fn a_trace_is_rooted_by_an_ended_span_without_parent() {
    for (sketch, want) in [
        ("a agent - 0..1", true),
        ("a agent - 0..", false),
        ("a agent gone 0..1", false),
        ("a agent gone 0..1\n h custom - 0..2 noise", true),
    ] {
        assert_eq!(row_of(sketch, |_| ()).rooted, want, "{sketch}");
    }
}

#[test]
fn a_deciding_time_out_is_a_status_of_its_own() {
    let row = row_of(
        "a agent - 0..9 !agent_error\n g generation a 1..5 !timeout",
        |_| (),
    );
    assert_eq!(row.settled_status, TraceStatus::Timeout);
    assert_eq!(row.error_type.as_deref(), Some("timeout"));
    assert_eq!(row.error_message.as_deref(), Some("g failed"));
    assert_eq!(row.error_span_id, SpanId::new("g").ok());
}

fn check_tokens(
    sketch: &str,
    tokens: impl Fn(&str) -> Option<i64>,
    want: (Option<i64>, Option<&str>),
) {
    let row = row_of(sketch, |span| span.usage.input_tokens = tokens(&span.name));
    assert_eq!(
        (row.usage.input_tokens, row.tokens_source.as_deref()),
        want,
        "{sketch}"
    );
    assert_eq!(row.usage.output_tokens, None);
}

#[test]
fn tokens_are_summed_over_calls_else_over_outermost_tasks() {
    let run = "t task - 0..9\n f function t 1..8\n g generation f 2..3\n it task f 4..7\n ig generation it 5..6\n s task - 10..11";
    check_tokens(run, |_| Some(10), (Some(20), Some("generation")));
    check_tokens(
        run,
        |name| (name != "ig").then_some(10),
        (Some(10), Some("generation")),
    );
    check_tokens(
        run,
        |name| (!name.ends_with('g')).then_some(10),
        (Some(20), Some("task")),
    );
    check_tokens(run, |_| None, (None, None));
}

#[test]
fn cost_is_the_known_sum_and_zero_only_of_nothing() {
    let costs = |sketch: &str, known: &[&str]| {
        let row = row_of(sketch, |span| {
            span.cost = known.contains(&span.name.as_str()).then_some(NanoUsd(7));
            span.cost_assumed = span.name == "h";
        });
        (
            row.cost.map(|cost| cost.0),
            row.cost_complete,
            row.cost_assumed,
        )
    };
    let calls = "g generation - 0..1\n h generation - 1..2";
    assert_eq!(costs(calls, &["g", "h"]), (Some(14), true, true));
    assert_eq!(costs(calls, &["g"]), (Some(7), false, false));
    assert_eq!(costs(calls, &[]), (None, false, false));
    assert_eq!(costs("f function - 0..1", &[]), (Some(0), true, false));
    assert_eq!(costs("v speech - 0..1", &[]), (None, false, false));
}

#[test]
fn lists_are_in_start_order() {
    let sketch = "t task - 0..90\n a agent t 0..30\n g generation a 1..2\n f function a 5..6
        e function a 3..4\n h handoff a 7..8\n i handoff a 9..10\n b agent t 40..80
        j generation b 41..42\n f2 function b 50..51\n k generation b 60..61";
    let row = row_of(sketch, |span| {
        span.model = span
            .name
            .chars()
            .next()
            .filter(|c| "gjk".contains(*c))
            .map(|c| if c == 'j' { "mini" } else { "big" }.into());
        match span.name.as_str() {
            "h" => span.handoff_to = Some("b".into()),
            "f2" => span.name = "f".into(),
            _ => {}
        }
    });
    assert_eq!(row.models, ["big", "mini"]);
    assert_eq!(row.agents, ["a", "b"]);
    assert_eq!(row.tool_sequence, ["e", "f", "f"]);
    assert_eq!(
        row.handoff_sequence,
        ["a → b"],
        "from the enclosing agent; a failed one did not happen"
    );
    assert!(!row.lists_cut);
    let many: String = (0..1_001)
        .map(|n| format!("f{n} function - {n}..{n}\n"))
        .collect();
    let row = row_of(&many, |_| ());
    assert_eq!(
        (row.tool_sequence.len(), row.tool_call_count, row.lists_cut),
        (1_000, 1_001, true)
    );
}

fn check_previews(sketch: &str, told: &str, want: (Option<&str>, Option<&str>)) {
    let row = row_of(sketch, |span| {
        let tells = told.split(' ').any(|id| id == span.name);
        span.input_preview = tells.then(|| format!("in {}", span.name));
        span.output_preview = tells.then(|| format!("out {}", span.name));
    });
    assert_eq!(
        (row.input_preview.as_deref(), row.output_preview.as_deref()),
        want,
        "{told}"
    );
}

#[test]
fn previews_are_what_the_user_said_and_what_came_back() {
    let run = "r custom - 0..90\n g generation r 1..5\n f function r 6..70\n ig generation f 20..60\n h generation r 8..9\n i generation r 71..72 !model_error";
    check_previews(run, "r g f ig h", (Some("in g"), Some("out h")));
    check_previews(run, "r f ig", (Some("in ig"), Some("out ig")));
    check_previews(run, "r f", (Some("in r"), Some("out r")));
    check_previews(run, "f", (None, Some("out f")));
    check_previews(run, "", (None, None));
}

#[test]
fn content_is_judged_by_the_calls_that_came_back() {
    let content = |told: &str| {
        let sketch = "g generation - 0..1\n h generation - 1..2\n i generation - 2..3 !model_error";
        row_of(sketch, |span| {
            span.input_preview = told.contains(&span.name).then(String::new)
        })
        .content
    };
    assert_eq!(content("gh"), Content::Full);
    assert_eq!(content("g"), Content::Partial);
    assert_eq!(content("i"), Content::None);
    assert_eq!(
        row_of("i generation - 0..1 !model_error", |_| ()).content,
        Content::None
    );
    assert_eq!(row_of("f function - 0..1", |_| ()).content, Content::Full);
}

fn any_span() -> impl Strategy<Value = Span> {
    let parts = (
        proptest::option::of(0u8..24),
        proptest::sample::select(SpanType::ALL),
        proptest::option::of(0i64..12),
        proptest::option::of(0i64..12),
        0u8..8,
        proptest::option::of(0i64..100),
    );
    parts.prop_map(|(parent, span_type, start, end, kind, number)| {
        let trace_id = TraceId::new("trace").unwrap();
        let mut span = Span::new(trace_id, SpanId::new("x").unwrap(), span_type, Source::Otlp);
        span.parent_id = parent.map(|n| SpanId::new(&format!("s{n}")).unwrap());
        span.started_at = start.map(Time::from_micros);
        span.ended_at = end.map(Time::from_micros);
        span.status = SpanStatus::ALL[kind as usize % 3];
        span.noise = kind == 6;
        span.merged_into = (kind == 7).then(|| SpanId::new("s0").unwrap());
        span.name = format!("n{}", kind % 4);
        span.handoff_to = number.map(|n| format!("h{n}"));
        span.model = number.map(|n| format!("m{}", n % 3));
        span.usage.input_tokens = number;
        span.cost = number.map(NanoUsd);
        span.output_preview = number.map(|n| n.to_string());
        span.input_preview = number.map(|n| n.to_string());
        if span.status == SpanStatus::Error {
            let kind = ["agent_error", "timeout", "x"][kind as usize % 3].to_owned();
            span.error = Some(crate::SpanError {
                kind,
                message: String::new(),
                data: None,
            });
        }
        span
    })
}

/// Up to 20 spans s0, s1, …; parents up to s23 may be missing or make cycles.
fn any_spans() -> impl Strategy<Value = Vec<Span>> {
    proptest::collection::vec(any_span(), 0..20).prop_map(|mut spans| {
        for (n, span) in spans.iter_mut().enumerate() {
            span.span_id = SpanId::new(&format!("s{n}")).unwrap();
        }
        spans
    })
}

proptest! {
    #[test]
    fn the_order_of_arrival_says_nothing(
        (spans, shuffled) in any_spans().prop_flat_map(|s| (Just(s.clone()), Just(s).prop_shuffle()))
    ) {
        prop_assert_eq!(derive(&item(), &spans, RECEIVED), derive(&item(), &shuffled, RECEIVED));
    }

    #[test]
    fn counts_and_times_add_up(spans in any_spans()) {
        let row = derive(&item(), &spans, RECEIVED);
        let doubles = crate::doubles(&spans);
        let is_counted = |at: &usize| {
            spans[*at].is_counted() && doubles.iter().all(|(from, _)| from != at)
        };
        let counted = (0..spans.len()).filter(is_counted).count() as i64;
        prop_assert_eq!(row.span_count, counted);
        prop_assert!(row.generation_count + row.tool_call_count + row.handoff_count <= counted);
        prop_assert!(row.tool_errors <= row.tool_call_count && row.open_spans <= counted);
        prop_assert_eq!(row.tool_sequence.len() as i64, row.tool_call_count);
        let duration = row.duration_ms.unwrap_or(0.0);
        prop_assert!(0.0 <= row.overhead_ms && row.overhead_ms <= duration);
        prop_assert!(row.llm_ms.max(row.tool_ms) <= duration && row.llm_ms.min(row.tool_ms) >= 0.0);
        prop_assert!(row.overhead_ms + row.llm_ms + row.tool_ms >= duration - 1e-9);
        prop_assert_eq!(row.settled_status == TraceStatus::Success, row.error_span_id.is_none());
    }
}
