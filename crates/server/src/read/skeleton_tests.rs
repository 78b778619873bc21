//! Tests of the skeleton.

use ingest::contents::Doubles;
use model::{SpanId, TraceId, TraceItem};
use serde_json::{Value, json};
use store::SpanRow;

use super::*;
use crate::objects::{Detail, Messages, samples};
use crate::read::loaded::Moment;

/// Returns a trace of spans, each with its id, its parent's and its start.
fn loaded(spans: &[(String, Option<String>, i64)]) -> Loaded {
    let rows = (1..).zip(spans).map(|(seq, (id, parent, start))| {
        let mut span = samples::span(id, SpanType::Function);
        span.parent_id = parent.as_deref().map(|id| SpanId::new(id).unwrap());
        span.started_at = Some(Time::from_micros(1_000_000 + start));
        span.ended_at = Some(Time::from_micros(1_000_007 + start));
        span.status = SpanStatus::Success;
        span.name = format!("tool {}", start % 7);
        samples::row(span, seq)
    });
    of_rows(rows.collect())
}

fn of_rows(rows: Vec<SpanRow>) -> Loaded {
    let item = TraceItem::new(TraceId::new("t").unwrap(), model::Source::Openai);
    let sample = samples::trace(&item, rows);
    let moment = Moment {
        now: samples::RECEIVED_AT.plus_micros(1),
        idle_micros: 1,
    };
    Loaded::new(
        sample.entry,
        sample.rows,
        Doubles::new(),
        Messages::new(),
        Detail::None,
        moment,
    )
}

fn skeleton_of(loaded: &Loaded, asked: &Asked) -> Option<Value> {
    let json = Shape::of(loaded).json(&loaded.entry.row, asked)?;
    Some(serde_json::from_slice(&json).expect("it is JSON"))
}

fn small() -> Vec<SpanRow> {
    let at = |micros: i64| Some(Time::from_micros(1_000_000 + micros));
    let mut agent = samples::span("a", SpanType::Agent);
    agent.name = "Support \"1\"".into();
    agent.started_at = at(0);
    let mut call = samples::span("b", SpanType::Generation);
    (call.started_at, call.ended_at, call.status) = (at(5), at(25), SpanStatus::Success);
    call.parent_id = Some(agent.span_id.clone());
    call.name = "gpt".into();
    (call.usage.input_tokens, call.usage.output_tokens) = (Some(10), Some(2));
    (call.cost, call.cost_assumed) = (Some(model::NanoUsd(123)), true);
    call.ttft_ms = Some(0.004);
    let mut lost = samples::span("c", SpanType::Guardrail);
    lost.parent_id = Some(SpanId::new("gone").unwrap());
    (lost.triggered, lost.status, lost.ended_at) = (Some(true), SpanStatus::Error, at(30));
    [agent, call, lost]
        .into_iter()
        .zip(1..)
        .map(|(span, seq)| samples::row(span, seq))
        .collect()
}

#[test]
fn columns_say_what_the_rows_say() {
    let loaded = of_rows(small());
    let got = skeleton_of(
        &loaded,
        &Asked {
            span: Some("b".into()),
            ..Asked::default()
        },
    )
    .unwrap();
    let kinds: Vec<&str> = SpanType::ALL.iter().map(|kind| kind.as_str()).collect();
    // The trace is idle, so the open span is reckoned up to the last sign of life.
    let want = json!({
        "object": "trace.skeleton", "trace_id": "t", "rev": 3, "row_count": 3,
        "started_at": "1970-01-01T00:00:01.000000Z", "row": 1,
        "names": ["Support \"1\"", "gpt", ""], "kinds": kinds, "statuses": ["success", "error", "open"],
        "parent": [-1, 0, -1], "name": [0, 1, 2], "kind": [0, 1, 4], "agent": [0, 0, -1],
        "start_us": [0, 5, null], "dur_us": [30, 20, null], "ttft_us": [null, 4, null], "status": [2, 0, 1],
        "tok_in": [null, 10, null], "tok_out": [null, 2, null], "cost_nano": [null, 123, null],
        "flags": [0, 16, 8],
    });
    assert_eq!(got, want);
    assert_eq!(
        skeleton_of(
            &loaded,
            &Asked {
                span: Some("x".into()),
                ..Asked::default()
            }
        ),
        None
    );
}

#[test]
fn since_tells_what_changed_and_what_is_below_it() {
    let spans: Vec<_> = [("a", None), ("b", Some("a")), ("c", Some("b")), ("d", None)]
        .into_iter()
        .zip(0..)
        .map(|((id, parent), start)| (id.to_owned(), parent.map(str::to_owned), start))
        .collect();
    let mut loaded = loaded(&spans);
    let check = |loaded: &Loaded, since: i64, want: &[&str]| {
        let got = skeleton_of(
            loaded,
            &Asked {
                since: Some(since),
                ..Asked::default()
            },
        )
        .unwrap();
        assert_eq!(got["ids"], json!(want), "since {since}");
        assert_eq!(got["parent"].as_array().unwrap().len(), want.len());
        assert_eq!(got["row_count"], 4);
    };
    check(&loaded, 4, &[]);
    check(&loaded, 3, &["d"]);
    check(&loaded, 0, &["a", "b", "c", "d"]);
    loaded.rows[1].seq = 9;
    check(&loaded, 4, &["b", "c"]);
}

#[test]
fn a_hundred_thousand_spans_are_told_right() {
    const SPANS: i64 = 100_000;
    let parent = |n: i64| (n > 0).then(|| format!("span_{}", (n - 1) / 3));
    let spans: Vec<_> = (0..SPANS)
        .map(|n| (format!("span_{n}"), parent(n), n))
        .collect();
    let loaded = loaded(&spans);
    let got = skeleton_of(
        &loaded,
        &Asked {
            with_ids: true,
            ..Asked::default()
        },
    )
    .unwrap();
    let number = |column: &str, n: i64| got[column][n as usize].as_i64().unwrap();
    assert_eq!(got["names"].as_array().unwrap().len(), 7);
    for n in 0..SPANS {
        assert_eq!(number("parent", n), if n > 0 { (n - 1) / 3 } else { -1 });
        assert_eq!(
            (
                number("start_us", n),
                number("dur_us", n),
                number("name", n)
            ),
            (n, 7, n % 7)
        );
        assert_eq!(got["ids"][n as usize], spans[n as usize].0);
    }
}

#[test]
fn numbers_are_written_as_everywhere() {
    for number in [0, 1, -1, 9, 10, 1_234_567, i64::MAX, i64::MIN] {
        let mut out = Vec::new();
        push_number(&mut out, number);
        assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
    }
}
