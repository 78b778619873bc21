//! What others read: the same facts without our own marks.

use std::collections::BTreeMap;

use ingest::messages::{ChatMessage, Part};
use ingest::otlp::{self, Encoding, Sent};
use ingest::outgoing::{Dialect, Request};
use model::{Source, Span, SpanType};
use serde_json::{Value, json};

use crate::support::{Capture, World, items, line, of_agents_sdk, of_opentelemetry, requests};

/// What every tool has a word for.
fn facts(span: &Span) -> Value {
    let usage = &span.usage;
    let is_call = span.span_type == SpanType::Generation;
    json!({
        "type": span.span_type,
        "name": (!is_call).then_some(&span.name),
        "started_at": span.started_at,
        "error": span.error.as_ref().map(|error| &error.message),
        "model": span.model.as_ref().filter(|_| is_call),
        "tokens": is_call.then_some([usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.reasoning_tokens]),
        "tool_call_id": span.tool_call_id,
        "handoff": [&span.handoff_from, &span.handoff_to],
        "triggered": span.triggered,
    })
}

/// The kinds that the conventions, or those who write beside them, have words for.
const KINDS: [SpanType; 5] = [
    SpanType::Agent,
    SpanType::Generation,
    SpanType::Function,
    SpanType::Handoff,
    SpanType::Guardrail,
];

fn told(world: &World, kinds: &[SpanType]) -> BTreeMap<String, Value> {
    let spans = world
        .spans
        .values()
        .filter(|span| span.is_counted() && kinds.contains(&span.span_type) && span.has_ended());
    let key = |span: &Span| {
        let name = (span.span_type != SpanType::Generation).then_some(&span.name);
        format!("{:?} {} {name:?}", span.started_at, span.span_type)
    };
    spans.map(|span| (key(span), facts(span))).collect()
}

/// Takes our own marks off a request.
fn without_marks(body: &[u8]) -> Vec<u8> {
    fn walk(value: &mut Value) {
        match value {
            Value::Array(items) => {
                let is_ours = |item: &Value| {
                    let key = item["key"].as_str();
                    key.is_some_and(|key| key.starts_with("tracegrade."))
                };
                items.retain(|item| !is_ours(item));
                items.iter_mut().for_each(walk);
            }
            Value::Object(members) => members.values_mut().for_each(walk),
            _ => {}
        }
    }
    let mut body: Value = serde_json::from_slice(body).unwrap();
    walk(&mut body);
    body.to_string().into_bytes()
}

/// What a tool reads that knows the conventions and not us.
fn read_by_others(world: &World, dialect: Dialect) -> World {
    let mut second = World::default();
    world.each_trace(|trace| {
        for Request { is_logs, body } in requests(trace, dialect, Encoding::Json) {
            let body = without_marks(&body);
            second.take_request(Request { is_logs, body }, Encoding::Json);
        }
    });
    second
}

#[test]
fn the_conventions_tell_what_the_agents_sdk_told() {
    for Capture { name, world } in of_agents_sdk() {
        let second = read_by_others(&world, Dialect::Genai);
        let (want, got) = (told(&world, &KINDS), told(&second, &KINDS));
        let got: BTreeMap<_, _> = got
            .into_iter()
            .filter(|(key, _)| want.contains_key(key))
            .collect();
        assert_eq!(got, want, "{name}");
    }
}

#[test]
fn openinference_tells_calls_and_tools_of_either() {
    let kinds = [SpanType::Generation, SpanType::Function];
    for Capture { name, world } in of_agents_sdk().into_iter().chain(of_opentelemetry()) {
        let second = read_by_others(&world, Dialect::Openinference);
        let plain = |facts: BTreeMap<String, Value>| -> Vec<Value> {
            let facts = facts.into_values().map(|fact| {
                json!([
                    fact["type"],
                    fact["started_at"],
                    fact["tokens"],
                    fact["error"]
                ])
            });
            facts.collect()
        };
        let mut got = plain(told(&second, &kinds));
        let want = plain(told(&world, &kinds));
        got.retain(|fact| want.contains(fact));
        assert_eq!(got, want, "{name}");
    }
}

#[test]
fn messages_are_told_in_every_form() {
    let asked = |world: &World| {
        let mut all = Vec::new();
        for span in world
            .spans
            .values()
            .filter(|span| span.span_type == SpanType::Generation)
        {
            let data = world.data(span);
            let told = match otlp::is_telemetry(span) {
                true => otlp::contents(Sent {
                    span,
                    data: data.as_deref(),
                }),
                false => ingest::agents_sdk::contents(data.as_deref().unwrap_or("{}")),
            };
            let json = |messages: &[ChatMessage]| {
                // A tool's answer without the id of its call is words of the tool, or a result.
                let is_answer = |said: &&ChatMessage| {
                    said.role == "tool"
                        && !said
                            .parts
                            .iter()
                            .any(|part| matches!(part, Part::ToolResult { .. }))
                };
                let words = messages
                    .iter()
                    .filter(|said| !is_answer(said))
                    .filter_map(|said| Some((&said.role, said.words()?)));
                let words: Vec<_> = words.collect();
                // The answers of two tools are one message, or two; of a tool, or of the user.
                let parts = || messages.iter().flat_map(|said| &said.parts);
                let calls: Vec<_> = parts()
                    .filter(|part| matches!(part, Part::ToolCall { .. }))
                    .collect();
                let of_words = messages.iter().filter(is_answer).map(|_| None);
                let answers: Vec<Option<String>> = parts()
                    .filter_map(|part| match part {
                        Part::ToolResult { id, .. } => Some(id.clone()),
                        _ => None,
                    })
                    .chain(of_words)
                    .collect();
                serde_json::to_string(&(words, calls, answers)).unwrap()
            };
            all.push((span.started_at, json(&told.input), json(&told.output)));
        }
        all.sort();
        all
    };
    for Capture { name, world } in of_agents_sdk() {
        for dialect in [Dialect::Genai, Dialect::Openinference] {
            let second = read_by_others(&world, dialect);
            assert_eq!(asked(&second), asked(&world), "{name} {dialect:?}");
        }
    }
    for Capture { name, world } in of_opentelemetry() {
        if world.spans.values().any(Span::is_log_record) {
            // Their content is on other rows, which `asked` does not join.
            continue;
        }
        let mut second = World::default();
        world.each_trace(|trace| {
            second.take_items(items(&line(trace)), Source::Import);
        });
        let counted = |world: &World| {
            let mut counted = World {
                spans: world.spans.clone(),
                messages: world.messages.clone(),
                traces: BTreeMap::new(),
            };
            counted.spans.retain(|_, span| span.is_counted());
            asked(&counted)
        };
        assert_eq!(counted(&second), counted(&world), "{name}");
    }
}

#[test]
fn items_tell_the_facts_of_opentelemetry() {
    let kinds = [&KINDS[..], &[SpanType::Retrieval, SpanType::McpTools]].concat();
    for Capture { name, world } in of_opentelemetry() {
        let mut second = World::default();
        world.each_trace(|trace| {
            second.take_items(items(&line(trace)), Source::Import);
        });
        assert_eq!(told(&second, &kinds), told(&world, &kinds), "{name}");
        for (id, item) in &world.traces {
            let back = &second.traces[id];
            let facts = |item: &model::TraceItem| {
                let item = item.clone();
                (
                    item.workflow_name,
                    item.group_id,
                    item.user_id,
                    item.tags,
                    item.environment,
                )
            };
            assert_eq!(facts(back), facts(item), "{name}");
        }
    }
}
