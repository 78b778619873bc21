//! Is every captured trace given the status that was written down by hand, before any code?
//!
//! `testdata/status.tsv` holds the status at rest and right after the last item, and the type of the
//! error that decided it. Items also come in the opposite order and twice: senders retry.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use ingest::agents_sdk::{Context, decode};
use model::{Batch, Received, Source, Span, SpanId, Time, TraceId, TraceItem, TraceRow, derive};
use serde_json::Value;

const RECEIVED_AT: Time = Time::from_micros(1_780_000_000_000_000);
const IDLE_MICROS: i64 = 600_000_000;

/// What has come of one trace so far.
struct Collected {
    item: TraceItem,
    spans: HashMap<SpanId, Span>,
}

/// One capture: its traces by first appearance, and what was decoded of them.
struct Capture {
    order: Vec<TraceId>,
    traces: HashMap<TraceId, Collected>,
}

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata")
}

/// Returns the bodies of a capture's requests.
fn bodies(file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(testdata().join(file)).expect(file);
    let capture: Value = serde_json::from_str(&text).expect(file);
    let requests = capture["requests"]
        .as_array()
        .expect("a capture has requests");
    requests
        .iter()
        .map(|request| request["body"].clone())
        .collect()
}

fn order(bodies: &[Value]) -> Vec<TraceId> {
    let mut order = Vec::new();
    for item in bodies
        .iter()
        .flat_map(|body| body["data"].as_array().expect("data is a list"))
    {
        let field = if item["object"] == "trace" {
            "id"
        } else {
            "trace_id"
        };
        let id = TraceId::new(item[field].as_str().expect("an id")).expect("an id that fits");
        if !order.contains(&id) {
            order.push(id);
        }
    }
    order
}

impl Capture {
    fn of(order: Vec<TraceId>, bodies: &[Value]) -> Self {
        let mut capture = Self {
            order,
            traces: HashMap::new(),
        };
        let context = Context::new(Source::Openai, RECEIVED_AT);
        for body in bodies {
            let batch = decode(Bytes::from(body.to_string()), &context).expect("a readable body");
            assert_eq!(*batch.rejected, [], "captures are clean");
            capture.take(batch);
        }
        capture
    }

    fn take(&mut self, batch: Batch) {
        for item in batch.traces {
            self.trace(&item.trace_id).item.merge(&item);
        }
        for span in batch.spans {
            let spans = &mut self.trace(&span.trace_id).spans;
            if spans
                .get(&span.span_id)
                .is_none_or(|earlier| span.supersedes(earlier))
            {
                spans.insert(span.span_id.clone(), span);
            }
        }
    }

    fn trace(&mut self, id: &TraceId) -> &mut Collected {
        self.traces.entry(id.clone()).or_insert_with(|| Collected {
            item: TraceItem::new(id.clone(), Source::Openai),
            spans: HashMap::new(),
        })
    }

    /// Returns the row of the nth trace, from 1.
    fn row(&self, place: usize) -> TraceRow {
        let trace = &self.traces[&self.order[place - 1]];
        let spans: Vec<&Span> = trace.spans.values().collect();
        let received = Received {
            first_received_at: RECEIVED_AT,
            last_received_at: RECEIVED_AT,
            first_seq: 1,
            seq: 2,
        };
        derive(&trace.item, &spans, received)
    }
}

/// Returns the requests as they were, sent twice, and with all items in the opposite order.
fn deliveries(bodies: &[Value]) -> [Vec<Value>; 3] {
    let twice = [bodies, bodies].concat();
    let mut backwards = bodies.to_vec();
    backwards.reverse();
    for body in &mut backwards {
        body["data"]
            .as_array_mut()
            .expect("data is a list")
            .reverse();
    }
    [bodies.to_vec(), twice, backwards]
}

#[test]
fn every_capture_has_the_status_written_down_for_it() {
    let table = std::fs::read_to_string(testdata().join("status.tsv")).expect("status.tsv");
    let mut wrong = Vec::new();
    let mut checked = 0;
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let [file, place, at_rest, right_away, error_type, _why] =
            line.split('\t').collect::<Vec<_>>()[..]
        else {
            panic!("six fields: {line}");
        };
        let bodies = bodies(file);
        for delivery in deliveries(&bodies) {
            let row = Capture::of(order(&bodies), &delivery).row(place.parse().expect("a number"));
            let later = RECEIVED_AT.plus_micros(IDLE_MICROS);
            let got = [
                row.status_at(later, IDLE_MICROS).as_str(),
                row.status_at(RECEIVED_AT, IDLE_MICROS).as_str(),
                row.error_type.as_deref().unwrap_or("-"),
            ];
            if got != [at_rest, right_away, error_type] {
                wrong.push(format!(
                    "{file} {place}: {got:?}, written: {at_rest} {right_away} {error_type}"
                ));
            }
            checked += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        checked > 250,
        "{checked} deliveries: the captures are there"
    );
}

#[test]
fn every_capture_is_written_down() {
    let table = std::fs::read_to_string(testdata().join("status.tsv")).expect("status.tsv");
    let lines: Vec<(&str, &str)> = table
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .filter_map(|(file, rest)| Some((file, rest.split_once('\t')?.0)))
        .collect();
    for folder in ["openai-agents", "openai-agents-js"] {
        for entry in std::fs::read_dir(testdata().join(folder)).expect(folder) {
            let name = entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("a plain name");
            if !name.ends_with(".json") {
                continue;
            }
            let file = format!("{folder}/{name}");
            for place in 1..=order(&bodies(&file)).len() {
                let place = place.to_string();
                assert!(
                    lines.contains(&(file.as_str(), place.as_str())),
                    "{file} {place}"
                );
            }
        }
    }
}
