//! Tests of the objects on the captured traces.

use model::{Span, Time};
use serde_json::Value;
use serde_json::value::RawValue;

use super::samples::{self, Sample};
use super::{Detail, Exported, Place, Shown, SpanObject, TraceFormat, TraceObject, horizon};

const IDLE_MICROS: i64 = 600_000_000;

fn later() -> Time {
    samples::RECEIVED_AT.plus_micros(IDLE_MICROS)
}

fn trace_json(sample: &Sample, now: Time) -> String {
    let project = samples::project();
    serde_json::to_string(&TraceObject::new(
        &project,
        &sample.entry.row,
        now,
        IDLE_MICROS,
    ))
    .unwrap()
}

fn span_json(sample: &Sample, at: usize, detail: Detail, now: Time) -> String {
    let spans: Vec<&Span> = sample.rows.iter().map(|row| &*row.span).collect();
    let places = model::places(&spans);
    let place = Place {
        depth: places.depths[at],
        agent: places.agents[at],
        horizon: horizon(&sample.entry.row, now, IDLE_MICROS),
    };
    let shown = Shown::of(spans[at], &[], detail, &sample.messages);
    serde_json::to_string(&SpanObject::new(&sample.rows[at], place, &shown)).unwrap()
}

/// Returns a trace and its spans as a retrieve tells them.
fn told(sample: &Sample, detail: Detail, now: Time) -> Value {
    let mut trace: Value = serde_json::from_str(&trace_json(sample, now)).unwrap();
    let span = |at| serde_json::from_str(&span_json(sample, at, detail, now)).unwrap();
    trace["spans"] = Value::Array((0..sample.rows.len()).map(span).collect());
    trace
}

fn check(name: &str, file: &str, detail: Detail, now: Time) {
    let traces: Vec<Value> = samples::capture(file)
        .iter()
        .map(|sample| told(sample, detail, now))
        .collect();
    insta::assert_json_snapshot!(name, traces);
}

#[test]
fn captures_are_told_like_this() {
    check(
        "tools_ok_and_error",
        "openai-agents/tools_ok_and_error.full.json",
        Detail::Full,
        later(),
    );
    check(
        "handoff_chain",
        "openai-agents/handoff_chain.json",
        Detail::Preview,
        later(),
    );
    check(
        "input_guardrail_tripped",
        "openai-agents/input_guardrail_tripped.json",
        Detail::None,
        later(),
    );
    check(
        "unfinished_trace",
        "openai-agents/unfinished_trace.full.json",
        Detail::Full,
        samples::RECEIVED_AT,
    );
}

/// Finds the bytes that a sender put under a key, by id of the span.
#[derive(serde::Deserialize)]
struct Item {
    id: Option<String>,
    ended_at: Option<String>,
    #[serde(default)]
    span_data: Option<Box<RawValue>>,
}

#[derive(serde::Deserialize)]
struct Envelope {
    data: Vec<Item>,
}

#[derive(serde::Deserialize)]
struct Shape {
    span_data: Option<Box<RawValue>>,
}

/// Returns JSON without white space between its tokens, all else byte for byte.
fn dense(json: &str) -> String {
    let (mut out, mut in_string, mut escaped) = (String::new(), false, false);
    for c in json.chars() {
        if in_string {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
            out.push(c);
        } else if !c.is_ascii_whitespace() {
            in_string = c == '"';
            out.push(c);
        }
    }
    out
}

#[test]
fn span_data_comes_out_as_it_came_in() {
    let mut compared = 0;
    for file in samples::captures() {
        let mut sent = std::collections::HashMap::new();
        for body in samples::bodies(&file) {
            let envelope: Envelope = serde_json::from_str(&body).expect(&file);
            for item in envelope.data {
                let Some((id, data)) = item.id.zip(item.span_data) else {
                    continue;
                };
                // An end is not overruled by a start that comes late.
                if item.ended_at.is_some() || !sent.contains_key(&id) {
                    sent.insert(id, data);
                }
            }
        }
        for sample in samples::capture(&file) {
            for (at, row) in sample
                .rows
                .iter()
                .enumerate()
                .filter(|(_, row)| !row.span.derived)
            {
                let shown: Shape =
                    serde_json::from_str(&span_json(&sample, at, Detail::Full, later())).unwrap();
                let want = sent
                    .get(row.span.span_id.as_str())
                    .map(|data| dense(data.get()));
                let got = shown.span_data.map(|data| dense(data.get()));
                assert_eq!(got, want, "{file} {}", row.span.span_id);
                compared += 1;
            }
        }
    }
    assert!(compared > 300, "{compared} spans: the captures are there");
}

#[test]
fn an_export_brings_the_same_trace_in_again() {
    let mut compared = 0;
    for file in samples::captures() {
        for sample in samples::capture(&file) {
            let (item, rows) = (sample.entry.row.item.clone(), sample.rows.clone());
            let exported = Exported::new(item, rows, sample.messages.clone()).unwrap();
            let pieces = exported.into_pieces(TraceFormat::AgentsLines);
            let line: Vec<Vec<u8>> = pieces.collect::<Result<_, _>>().unwrap();
            let line = line.concat();
            assert_eq!(
                line.iter().position(|byte| *byte == b'\n'),
                Some(line.len() - 1),
                "{file}: one line a trace"
            );
            let again = samples::document(line);
            let [again] = again.as_slice() else {
                panic!("{file}: one trace")
            };
            let [got, want] =
                [again, &sample].map(|sample| without_seq(told(sample, Detail::Full, later())));
            let first = got
                .lines()
                .zip(want.lines())
                .find(|(got, want)| got != want);
            assert!(got == want, "{file}: {first:?}");
            compared += 1;
        }
    }
    assert!(compared > 60, "{compared} traces: the captures are there");
}

/// Takes out what says when a row came, and puts the spans in an order that does not depend on it.
fn without_seq(mut trace: Value) -> String {
    let strip = |object: &mut Value| {
        let object = object.as_object_mut().unwrap();
        for key in [
            "seq",
            "received_at",
            "first_received_at",
            "last_received_at",
        ] {
            object.remove(key);
        }
    };
    strip(&mut trace);
    let spans = trace["spans"].as_array_mut().unwrap();
    spans.iter_mut().for_each(strip);
    spans.sort_by_key(|span| span["id"].as_str().unwrap().to_owned());
    serde_json::to_string_pretty(&trace).unwrap()
}

#[test]
fn whatever_the_guide_reads_is_there() {
    let guide = include_str!("guide_fields.txt");
    let sample = &samples::capture("openai-agents/handoff_chain.full.json")[0];
    let trace = told(sample, Detail::Full, later());
    let spans = trace["spans"].as_array().unwrap();
    let mut checked = 0;
    for line in guide.lines().filter(|line| !line.starts_with('#')) {
        let (owner, field) = line.split_once('.').expect("owner.field");
        let there = match owner {
            "trace" => trace.get(field).is_some(),
            "error" => {
                let failed = &samples::capture("openai-agents/model_error_chat.json")[0];
                told(failed, Detail::None, later())["error"]
                    .get(field)
                    .is_some()
            }
            "span" => spans.iter().all(|span| span.get(field).is_some()),
            span_type => {
                let mut of_type = spans
                    .iter()
                    .filter(|span| span["type"] == span_type)
                    .peekable();
                of_type.peek().is_some() && of_type.all(|span| span.get(field).is_some())
            }
        };
        assert!(there, "{line} is missing");
        checked += 1;
    }
    assert!(checked > 20, "{checked} fields");
}

#[test]
fn an_open_trace_is_told_as_it_is_so_far() {
    let sample = &samples::capture("openai-agents/unfinished_trace.full.json")[0];
    let row = &sample.entry.row;
    let now = row.started_at.unwrap().plus_micros(5_000_000);
    let open = told(sample, Detail::None, now);
    assert_eq!(
        (&open["open"], &open["state"], &open["status"]),
        (&true.into(), &"in_progress".into(), &"running".into())
    );
    assert_eq!(
        (&open["ended_at"], &open["duration_ms"]),
        (&Value::Null, &5000.0.into())
    );
    let span = open["spans"]
        .as_array()
        .unwrap()
        .iter()
        .find(|span| span["status"] == "open")
        .unwrap();
    assert!(
        span["ended_at"].is_null() && span["duration_ms"].as_f64().unwrap() > 0.0,
        "{span}"
    );
    let over = told(sample, Detail::None, later());
    assert_eq!(
        (&over["open"], &over["state"], &over["status"]),
        (&false.into(), &"completed".into(), &"abandoned".into())
    );
    assert_eq!(over["duration_ms"].as_f64(), row.duration_ms);
}
