//! From one store into another, and nothing is different.

use bytes::Bytes;
use ingest::otlp::Encoding;
use ingest::outgoing::{self, Dialect};
use model::{Source, Span};

use crate::support::{Capture, World, items, line, of_agents_sdk, of_opentelemetry};

pub(crate) const FORMS: [(Dialect, Encoding); 4] = [
    (Dialect::Genai, Encoding::Json),
    (Dialect::Genai, Encoding::Protobuf),
    (Dialect::Openinference, Encoding::Json),
    (Dialect::Openinference, Encoding::Protobuf),
];

/// What two stores do not agree on.
pub(crate) fn differences(first: &World, second: &World) -> Vec<String> {
    let mut wrong = Vec::new();
    // What an export tells of a trace it tells of the trace itself, wherever it was told before.
    let items = |world: &World| -> Vec<model::TraceItem> {
        let items = world.traces.values().cloned();
        items.map(|item| item.told(model::Rank::Trace)).collect()
    };
    if items(first) != items(second) {
        wrong.push(format!("{:?}\n{:?}", first.traces, second.traces));
    }
    let ids = |world: &World| world.spans.keys().cloned().collect::<Vec<_>>();
    if ids(first) != ids(second) {
        wrong.push(format!("spans {:?}\n{:?}", ids(first), ids(second)));
        return wrong;
    }
    // White space between two messages is not kept, so references may share a token differently.
    let content = |world: &World, span: &Span| {
        let payload = model::Payload {
            data: None,
            ..span.payload.clone()
        };
        (span.without_payload(), payload, world.data(span))
    };
    for (key, span) in &first.spans {
        let (a, b) = (content(first, span), content(second, &second.spans[key]));
        if a != b {
            wrong.push(format!("{a:?}\n{b:?}"));
        }
    }
    wrong
}

fn check(captures: Vec<Capture>) {
    let mut wrong = Vec::new();
    for Capture { name, world } in captures {
        for (dialect, encoding) in FORMS {
            let second = world.sent_on(dialect, encoding);
            let found = differences(&world, &second);
            let found = found.iter();
            wrong.extend(found.map(|found| format!("{name} {dialect:?} {encoding:?}: {found}")));
        }
    }
    let all = wrong.join("\n\n");
    assert!(wrong.is_empty(), "{} differ:\n{all}", wrong.len());
}

#[test]
fn captures_of_the_agents_sdk_come_back_from_opentelemetry() {
    check(of_agents_sdk());
}

#[test]
fn captures_of_opentelemetry_come_back() {
    check(of_opentelemetry());
}

#[test]
fn captures_of_the_agents_sdk_come_back_from_lines() {
    for Capture { name, world } in of_agents_sdk() {
        let mut second = World::default();
        world.each_trace(|trace| {
            let line = line(trace);
            let end = line.iter().position(|byte| *byte == b'\n');
            assert_eq!(end, Some(line.len() - 1), "{name}");
            second.take_items(items(&line), Source::Openai);
        });
        assert_eq!(differences(&world, &second), [""; 0], "{name}");
    }
}

#[test]
fn a_trace_without_spans_and_one_with_odd_ids_come_back() {
    let body = r#"{"data":[
        {"object":"trace","id":"trace_empty","workflow_name":"w","group_id":"g","metadata":{"tags":["a"]}},
        {"object":"trace.span","id":"späße","trace_id":"only spans","parent_id":"never came","started_at":null,
         "ended_at":null,"span_data":{"type":"custom","name":"x",
         "data":{"line":"a\nb"} },"error":{"message":"no","data":null}, "more":[1.50]}]}"#;
    let mut world = World::default();
    world.take_items(Bytes::from(body), Source::Proxy);
    for (dialect, encoding) in FORMS {
        let second = world.sent_on(dialect, encoding);
        let of_nobody = |world: &World| !world.traces.contains_key("only spans");
        assert!(of_nobody(&world) && !of_nobody(&second));
        assert_eq!(world.traces["trace_empty"], second.traces["trace_empty"]);
        assert_eq!(world.spans, second.spans);
    }
}

#[test]
fn an_item_that_was_cut_on_the_way_costs_no_span() {
    let body = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"00000000000000000000000000000001","spanId":"0000000000000001",
        "name":"chat gpt-5","startTimeUnixNano":"1","endTimeUnixNano":"2","attributes":[
        {"key":"gen_ai.operation.name","value":{"stringValue":"chat"}},
        {"key":"gen_ai.request.model","value":{"stringValue":"gpt-5"}},
        {"key":"tracegrade.item","value":{"stringValue":"{\"object\":\"trace.sp"}}]}]}]}]}"#;
    let mut world = World::default();
    let request = outgoing::Request {
        is_logs: false,
        body: body.into(),
    };
    world.take_request(request, Encoding::Json);
    let span = world.spans.values().next().unwrap();
    assert_eq!(span.model.as_deref(), Some("gpt-5"));
}
