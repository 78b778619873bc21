//! The captures against `facts.tsv`, which was written without the decoder.

use std::collections::{BTreeMap, BTreeSet};

use model::{Span, SpanStatus, SpanType};

use crate::support::{captures, decode_all, settle};

fn list(parts: Vec<String>) -> String {
    if parts.is_empty() {
        "-".to_owned()
    } else {
        parts.join("|")
    }
}

fn sum(counts: impl Iterator<Item = Option<i64>>) -> String {
    counts
        .flatten()
        .reduce(|a, b| a + b)
        .map_or("-".to_owned(), |sum| sum.to_string())
}

#[test]
fn captures_tell_what_their_readme_says() {
    let facts: Vec<_> = include_str!("facts.tsv")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    let mut told = Vec::new();
    for capture in captures() {
        let batch = decode_all(&capture.bodies);
        assert!(
            batch.rejected.is_empty(),
            "{}: {:?}",
            capture.name,
            batch.rejected
        );
        let ids = batch
            .spans
            .iter()
            .map(|span| &span.trace_id)
            .chain(batch.traces.iter().map(|item| &item.trace_id));
        let traces = ids.collect::<BTreeSet<_>>().len();
        let spans = settle(batch.spans.clone());

        let mut types: BTreeMap<&str, usize> = BTreeMap::new();
        for span in &spans {
            *types.entry(span.span_type.as_str()).or_default() += 1;
        }
        let types: Vec<_> = types
            .into_iter()
            .map(|(name, count)| format!("{name}={count}"))
            .collect();
        let of_type = |wanted: SpanType| spans.iter().filter(move |span| span.span_type == wanted);
        let errors = spans
            .iter()
            .filter_map(|span| Some(format!("{}={}", span.span_type, span.error.as_ref()?.kind)));
        let mut agents: Vec<String> = Vec::new();
        for agent in of_type(SpanType::Agent) {
            if !agents.contains(&agent.name) {
                agents.push(agent.name.clone());
            }
        }
        let handoffs = of_type(SpanType::Handoff).map(|span| span.name.replace(" → ", ">"));
        told.push(
            [
                capture.name,
                batch.accepted.to_string(),
                traces.to_string(),
                types.join(" "),
                spans
                    .iter()
                    .filter(|span| !span.has_ended())
                    .count()
                    .to_string(),
                sum(of_type(SpanType::Generation).map(|span| span.usage.input_tokens)),
                sum(of_type(SpanType::Generation).map(|span| span.usage.output_tokens)),
                list(errors.collect()),
                list(agents),
                list(handoffs.collect()),
            ]
            .join("\t"),
        );
    }
    let sorted: BTreeSet<_> = facts.iter().map(|line| (*line).to_owned()).collect();
    assert_eq!(sorted, told.into_iter().collect());
}

/// The spans of one type in a capture, in start order.
fn of(name: &str, wanted: SpanType) -> Vec<Span> {
    let capture = captures().into_iter().find(|capture| capture.name == name);
    let mut spans = settle(decode_all(&capture.unwrap().bodies).spans);
    spans.retain(|span| span.span_type == wanted);
    spans
}

#[test]
fn tasks_repeat_the_tokens_of_the_runs_inside_them() {
    let tokens = |name: &str, wanted: SpanType| -> Vec<_> {
        let spans = of(name, wanted);
        spans.iter().map(|span| span.usage.input_tokens).collect()
    };
    let task = tokens("python/agent_as_tool", SpanType::Task);
    assert_eq!(task, [Some(303), Some(101)]);
    // JavaScript's responses tell no usage; the task does.
    assert_eq!(tokens("js/handoff", SpanType::Generation), [None, None]);
    assert_eq!(tokens("js/handoff", SpanType::Task), [Some(201)]);
}

#[test]
fn a_model_call_that_a_guardrail_cancelled_tells_nothing_and_no_error() {
    let calls = of("python/input_guardrail_parallel", SpanType::Generation);
    assert_eq!(calls[0].status, SpanStatus::Success);
    assert_eq!((&calls[0].error, &calls[0].model), (&None, &None));
}

#[test]
fn the_stock_exporter_leaves_out_content_and_ours_sends_it() {
    let stock = &of("python/single_agent_responses", SpanType::Generation)[0];
    let told = (&stock.model, &stock.input_preview, &stock.output_preview);
    assert_eq!(told, (&None, &None, &None));
    let full = &of("python/single_agent_responses.full", SpanType::Generation)[0];
    assert_eq!(full.model.as_deref(), Some("gpt-4.1-mini"));
    let answer = full.output_preview.as_deref();
    assert_eq!(answer, Some("Paris is the capital of France."));
}

#[test]
fn an_answer_is_found_in_each_of_its_three_shapes() {
    let cases = [
        ("python/streaming_chat", "It is 4 C in Oslo today.", None),
        ("python/tools_chat", "It is 21 C in Lyon.", None),
        ("js/single_agent_chat", "Paris.", Some("stop")),
    ];
    for (name, answer, finish) in cases {
        let calls = of(name, SpanType::Generation);
        let last = calls.last().unwrap();
        assert_eq!(last.output_preview.as_deref(), Some(answer), "{name}");
        assert_eq!(last.finish_reason.as_deref(), finish, "{name}");
    }
}

#[test]
fn spans_are_taken_whose_parents_never_came() {
    let survivor = &of("python/unfinished_trace", SpanType::Task)[0];
    assert!(survivor.parent_id.is_some());
    assert!(of("python/unfinished_trace", SpanType::Custom).is_empty());
}
