//! The story as a whole: what the front door will see, held against what is promised of it.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::cases::FailureKind;
use super::cast::Version;
use super::trace::{Shape, Span, Usage, What};
use super::*;

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    data: Vec<Any<'a>>,
}

/// An item of either kind, with the fields that the tests ask for.
#[derive(Deserialize)]
struct Any<'a> {
    object: &'a str,
    id: String,
    trace_id: Option<String>,
    parent_id: Option<String>,
    started_at: Option<String>,
    ended_at: Option<String>,
    #[serde(borrow)]
    span_data: Option<&'a RawValue>,
    ended: Option<bool>,
}

/// The end of the story in these tests: a Saturday at noon.
fn until() -> Time {
    Time::parse_rfc3339("2026-11-21T14:32:10.250000Z").unwrap()
}

#[derive(Default)]
struct Seen {
    bodies: usize,
    bytes: usize,
    body_max: usize,
    items: usize,
    traces: HashSet<String>,
    /// Span id to trace, parent and whether it ended.
    spans: HashMap<String, (String, Option<String>, bool)>,
    trace_ends: usize,
    latest: Option<Time>,
}

fn look(seed: u64) -> Seen {
    let mut seen = Seen::default();
    let mut last = Time::from_micros(0);
    for body in story(until(), seed) {
        let parsed: Body<'_> = serde_json::from_slice(&body).expect("every body is JSON");
        assert!((1..=BODY_ITEMS_MAX).contains(&parsed.data.len()));
        seen.bodies += 1;
        seen.bytes += body.len();
        seen.body_max = seen.body_max.max(body.len());
        for item in parsed.data {
            seen.items += 1;
            note(&mut seen, item, &mut last);
        }
    }
    seen
}

fn note(seen: &mut Seen, item: Any<'_>, last: &mut Time) {
    let Some(trace_id) = item.trace_id else {
        assert_eq!(item.object, "trace");
        let is_new = seen.traces.insert(item.id);
        assert_eq!(
            is_new,
            item.ended != Some(true),
            "a trace item comes first, and again only at the end"
        );
        seen.trace_ends += usize::from(item.ended == Some(true));
        return;
    };
    assert!(
        seen.traces.contains(&trace_id),
        "the trace item comes before its spans"
    );
    assert!(item.span_data.is_some());
    let time = |text: Option<String>| text.map(|text| Time::parse_rfc3339(&text).unwrap());
    let (start, end) = (time(item.started_at).unwrap(), time(item.ended_at));
    assert!(end.is_none_or(|end| start <= end));
    let sent = end.unwrap_or(start);
    assert!(*last <= sent && sent <= until(), "{last} {sent}");
    *last = sent;
    seen.latest = seen.latest.max(Some(sent));
    let ended = end.is_some();
    if let Some((_, _, before)) = seen
        .spans
        .insert(item.id.clone(), (trace_id, item.parent_id, ended))
    {
        assert!(
            ended && !before,
            "{} comes twice, and not as start and end",
            item.id
        );
    }
}

fn depth(spans: &HashMap<String, (String, Option<String>, bool)>, id: &str) -> usize {
    match spans.get(id).and_then(|span| span.1.as_deref()) {
        Some(parent) => 1 + depth(spans, parent),
        None => 1,
    }
}

#[test]
fn the_story_is_what_it_promises() {
    let seen = look(2026);
    assert!(
        (60_000_000..150_000_000).contains(&seen.bytes),
        "{}",
        seen.bytes
    );
    assert!(seen.body_max < 8 << 20, "{}", seen.body_max);
    assert!(
        (2_840..3_900).contains(&seen.traces.len()),
        "{}",
        seen.traces.len()
    );
    assert_eq!(
        seen.latest.map(|t| until().millis_since(t) < 60_000.0),
        Some(true)
    );

    let truths = truths(until(), 2026);
    assert_eq!(
        truths.len() + 1,
        seen.traces.len(),
        "all but the running trace have a truth"
    );
    assert!(
        truths
            .iter()
            .all(|truth| seen.traces.contains(&truth.trace_id))
    );

    let batch = truths
        .iter()
        .find(|truth| truth.workflow == "nightly-reconcile")
        .unwrap();
    let of_batch = seen
        .spans
        .values()
        .filter(|span| span.0 == batch.trace_id)
        .count();
    assert_eq!(of_batch, giants::RECONCILE_SPANS);
    let deepest = seen.spans.keys().map(|id| depth(&seen.spans, id)).max();
    assert!(deepest >= Some(11), "{deepest:?}");

    let open: HashSet<_> = seen
        .spans
        .values()
        .filter(|s| !s.2)
        .map(|s| s.0.as_str())
        .collect();
    assert!(
        open.len() >= 9,
        "eight dead runs of the regression set and the live one: {}",
        open.len()
    );
    let highlights = highlights(until(), 2026);
    assert_eq!(highlights.len(), 17, "{highlights:#?}");
    assert!(
        highlights
            .iter()
            .all(|highlight| seen.traces.contains(&highlight.trace_id))
    );
    assert_eq!(suggestions(until(), 2026, None).len(), 8);
    let runs = Some(("grun_1", "grun_2"));
    assert_eq!(suggestions(until(), 2026, runs).len(), 12);
}

#[test]
fn the_same_end_and_seed_give_the_same_bytes() {
    let first = story(until(), 7).take(40);
    assert!(first.eq(story(until(), 7).take(40)));
    assert!(!story(until(), 7).take(2).eq(story(until(), 8).take(2)));
    assert_eq!(truths(until(), 7), truths(until(), 7));
}

#[test]
fn the_bytes_are_those_of_every_other_machine() {
    // FNV-1a over the whole story. A change of the story changes it: then write the new one down.
    let hash = story(until(), 1)
        .flatten()
        .fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
        });
    assert_eq!(format!("{hash:016x}"), "81a3d4e2b13167c6");
}

#[test]
fn both_versions_play_the_same_cases() {
    let truths = truths(until(), 2026);
    let of = |version| -> HashMap<&str, &Truth> {
        let cases = truths.iter().filter(move |t| t.version == version);
        cases
            .filter_map(|t| Some((t.case.as_deref()?, t)))
            .collect()
    };
    let (old, new) = (of(Version::V1_8), of(Version::V1_9));
    assert_eq!((old.len(), new.len()), (420, 420));
    assert!(old.keys().all(|case| new.contains_key(case)));
    let twice = |truths: &HashMap<&str, &Truth>| {
        truths
            .values()
            .filter(|t| t.failure == Some(FailureKind::DoubleRefund))
            .count()
    };
    assert_eq!((twice(&old), twice(&new)), (1, 25));
}

#[test]
fn every_failure_happens() {
    for seed in [1, 2, 2026] {
        let kinds: HashSet<_> = truths(until(), seed)
            .iter()
            .filter_map(|t| t.failure)
            .collect();
        assert_eq!(kinds.len(), 18, "{kinds:?}");
    }
}

/// Plays the trace with this id.
fn played(trace_id: &str, seed: u64) -> Trace {
    let plans = traffic::plans(until(), seed);
    let plan = plans
        .iter()
        .find(|plan| plan.trace_id(seed) == trace_id)
        .unwrap();
    play(plan, seed, &Prompts::new())
}

/// Returns the calls of `tool` as arguments and whether they succeeded.
fn calls<'a>(trace: &'a Trace, tool: &str) -> Vec<(&'a str, bool)> {
    let calls = trace.spans.iter().filter_map(|span| match &span.what {
        What::Tool(call) if call.name == tool => {
            Some((call.arguments.as_str(), span.fault.is_none()))
        }
        _ => None,
    });
    calls.collect()
}

#[test]
fn the_lamp_is_paid_once_by_one_version_and_again_by_the_other() {
    let truths = truths(until(), 3);
    let lamp = |version| {
        let truth = truths
            .iter()
            .find(|t| t.case.as_deref() == Some("case-013") && t.version == version);
        played(&truth.unwrap().trace_id, 3)
    };
    let (old, new) = (lamp(Version::V1_8), lamp(Version::V1_9));
    let (once, twice) = (calls(&old, "issue_refund"), calls(&new, "issue_refund"));
    // The call that timed out had paid as well.
    assert_eq!(once.iter().map(|call| call.1).collect::<Vec<_>>(), [false]);
    assert_eq!(
        twice.iter().map(|call| call.1).collect::<Vec<_>>(),
        [false, true]
    );
    assert_eq!(twice[0].0, twice[1].0, "the same arguments");
    assert_eq!(
        (
            calls(&old, "get_refund_status").len(),
            calls(&new, "get_refund_status").len()
        ),
        (1, 0)
    );
    let first =
        |trace: &Trace| matches!(&trace.items[0], Item::User(text) if text.contains("money back"));
    assert!(first(&old) && first(&new), "both hear the same customer");
}

#[test]
fn a_loop_repeats_one_call_until_no_turn_is_left() {
    let truths = truths(until(), 5);
    for truth in truths
        .iter()
        .filter(|t| t.failure == Some(FailureKind::ToolLoop))
        .take(5)
    {
        let trace = played(&truth.trace_id, 5);
        let mut same: HashMap<&str, usize> = HashMap::new();
        for span in &trace.spans {
            if let What::Tool(call) = &span.what {
                *same.entry(&call.arguments).or_default() += 1;
            }
        }
        assert!(same.values().any(|count| *count >= 8), "{same:?}");
        assert!(trace.spans.iter().any(|s| {
            s.fault
                .as_ref()
                .is_some_and(|f| f.message == "Max turns exceeded")
        }));
    }
}

#[test]
fn the_coding_run_has_its_turns_and_its_growing_history() {
    let truth = truths(until(), 1)
        .into_iter()
        .find(|t| t.workflow == "storefront-codefix")
        .unwrap();
    let trace = played(&truth.trace_id, 1);
    let inputs: Vec<usize> = trace
        .spans
        .iter()
        .filter_map(|s| match &s.what {
            What::Model(call) => Some(call.usage.input),
            _ => None,
        })
        .collect();
    assert_eq!(inputs.len(), giants::CODEFIX_TURNS);
    assert!(inputs.is_sorted() && inputs[59] > 30_000, "{inputs:?}");
}

/// Writes one span of the SDK's kind and compares it with what the SDK writes.
fn check(full: bool, what: What, expected: &[&str]) {
    let until = Time::parse_rfc3339("2026-01-02T03:04:05Z").unwrap();
    let span = Span {
        id: "span_1".into(),
        parent: None,
        start: until,
        end: Some(until.plus_micros(83_721)),
        what,
        fault: None,
    };
    let trace = Trace {
        id: "trace_1".into(),
        workflow: "support-triage",
        group: None,
        metadata: "{}".into(),
        shape: Shape {
            chat: false,
            full,
            content: true,
        },
        version: Version::V1_8,
        started_at: until,
        items: Vec::new(),
        spans: vec![span],
    };
    let sent = wire::items(&trace, &Prompts::new());
    let texts: Vec<_> = sent
        .iter()
        .map(|item| std::str::from_utf8(&item.json).unwrap())
        .collect();
    assert_eq!(texts, expected);
}

#[test]
fn items_are_those_of_the_sdk() {
    check(
        false,
        What::Guardrail {
            name: "pii_scan",
            triggered: true,
        },
        &[
            r#"{"object":"trace","id":"trace_1","workflow_name":"support-triage","group_id":null,"metadata":{}}"#,
            r#"{"object":"trace.span","id":"span_1","trace_id":"trace_1","parent_id":null,"started_at":"2026-01-02T03:04:05+00:00","ended_at":"2026-01-02T03:04:05.083721+00:00","span_data":{"type":"guardrail","name":"pii_scan","triggered":true},"error":null}"#,
        ],
    );
    let usage = Usage {
        requests: 1,
        input: 100,
        cached: 20,
        output: 30,
        reasoning: 0,
    };
    check(
        true,
        What::Turn {
            number: 1,
            agent: Agent::Triage,
            usage,
        },
        &[
            r#"{"object":"trace","id":"trace_1","workflow_name":"support-triage","group_id":null,"metadata":{},"ended":false}"#,
            r#"{"object":"trace.span","id":"span_1","trace_id":"trace_1","parent_id":null,"started_at":"2026-01-02T03:04:05+00:00","ended_at":null,"span_data":{"type":"custom","name":"turn","data":{"sdk_span_type":"turn","turn":1,"agent_name":"Triage"}},"error":null,"span_type":"turn","trace_metadata":{}}"#,
            r#"{"object":"trace.span","id":"span_1","trace_id":"trace_1","parent_id":null,"started_at":"2026-01-02T03:04:05+00:00","ended_at":"2026-01-02T03:04:05.083721+00:00","span_data":{"type":"custom","name":"turn","data":{"sdk_span_type":"turn","turn":1,"agent_name":"Triage","usage":{"input_tokens":100,"output_tokens":30,"cached_input_tokens":20,"cache_write_input_tokens":0}}},"error":null,"span_type":"turn","trace_metadata":{}}"#,
            r#"{"object":"trace","id":"trace_1","workflow_name":"support-triage","group_id":null,"metadata":{},"ended":true}"#,
        ],
    );
}
