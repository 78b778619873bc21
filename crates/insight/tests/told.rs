//! Captures of real senders, as graders see them.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::sync::Arc;

use model::SpanType;
use support::{repository, views};

/// Reads the requests of a capture of the Agents SDK as one document.
fn capture(name: &str) -> Vec<u8> {
    let path = repository().join("testdata").join(name);
    let file: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let bodies = file["requests"].as_array().unwrap().iter();
    let lines = bodies.map(|request| request["body"].to_string());
    lines.collect::<Vec<_>>().join("\n").into_bytes()
}

#[test]
fn calls_have_arguments_results_and_tools_and_histories_are_shared() {
    let view = views(capture("openai-agents/tools_chat.full.json")).remove(0);
    let calls: Vec<_> = view.at(&view.functions).collect();
    assert!(!calls.is_empty());
    for call in calls {
        assert!(call.told.arguments.as_ref().unwrap().to_value().is_object());
        assert!(call.told.result.is_some(), "{:?}", call.id());
    }
    let agent = view.spans.iter().find(|span| span.is(SpanType::Agent));
    let names: Vec<_> = agent.unwrap().told.tools.iter().map(|t| &*t.name).collect();
    let first = &view.spans[view.functions[0] as usize].told.span.name;
    assert!(names.contains(&&**first), "{names:?}");
    let [first, second, ..] = &view.generations[..] else {
        panic!("two calls of a model");
    };
    let input = |at: &u32| &view.spans[*at as usize].told.input;
    assert!(input(first).len() < input(second).len());
    let pairs = input(first).iter().zip(input(second));
    assert!(pairs.into_iter().all(|(a, b)| Arc::ptr_eq(a, b)));
}

#[test]
fn telemetry_is_told_in_the_same_words() {
    let folder = repository().join("testdata/otlp/openinference-openai-agents");
    let mut bodies = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.starts_with(|c: char| c.is_ascii_digit()) && name.ends_with(".json") {
            bodies.extend(std::fs::read(path).unwrap());
            bodies.push(b'\n');
        }
    }
    let views = views(bodies);
    let spans = views.iter().flat_map(|view| &view.spans);
    let calls: Vec<_> = spans.filter(|span| span.is(SpanType::Function)).collect();
    assert!(!calls.is_empty());
    let with_arguments = calls.iter().filter(|call| call.told.arguments.is_some());
    assert_eq!(with_arguments.count(), calls.len());
    let generations = views.iter().flat_map(|view| view.at(&view.generations));
    let with_tools =
        generations.filter(|call| call.told.tools.iter().any(|tool| tool.parameters.is_some()));
    assert!(with_tools.count() > 0);
}
