//! Log records and their spans, in either order; doubles that come in two batches.

use ingest::otlp::{LogRecord, contents, decode_logs, join, merge_doubles};
use model::{Source, Span, SpanId, SpanStatus, SpanType, TraceId};

use crate::support::{Run, captures};

/// The spans and records of a capture.
fn capture(name: &str) -> (Vec<Span>, Vec<LogRecord>) {
    let captures = captures();
    let capture = captures
        .iter()
        .find(|capture| capture.name == name)
        .unwrap();
    let (logs, spans): (Vec<_>, Vec<_>) = capture
        .requests
        .iter()
        .cloned()
        .partition(|request| request.is_logs);
    let records = logs
        .into_iter()
        .flat_map(|request| decode_logs(request.body, request.encoding).unwrap().records);
    (Run::of(&spans).spans, records.collect())
}

fn of_span(span: &Span, records: &[LogRecord]) -> Vec<LogRecord> {
    let records = records
        .iter()
        .filter(|record| record.span_id.as_ref() == Some(&span.span_id));
    records.cloned().collect()
}

#[test]
fn the_result_does_not_depend_on_who_came_first() {
    for name in ["otel-openai-v2", "otel-genai-openai-event-only"] {
        let (spans, records) = capture(name);
        for span in spans {
            let records = of_span(&span, &records);
            // All at once, which is how it is when the records came first.
            let at_once = join(span.clone(), &records);
            // One after the other, each time with all that are known.
            let mut stepwise = span.clone();
            for known in 1..=records.len() {
                stepwise = join(stepwise, &records[..known]).span;
            }
            assert_eq!(stepwise, at_once.span, "{name}");
            // Twice, and with every record sent twice.
            let twice = [records.clone(), records.clone()].concat();
            assert_eq!(
                join(at_once.span.clone(), &twice).span,
                at_once.span,
                "{name}"
            );
            // Without records the span is what it was, but for what it has learnt.
            let without = join(at_once.span, &[]).span;
            assert_eq!(without.payload, span.payload, "{name}");
        }
    }
}

#[test]
fn a_span_that_says_it_itself_wins() {
    let (spans, records) = capture("otel-genai-openai");
    let calls = spans
        .into_iter()
        .filter(|span| span.span_type == SpanType::Generation);
    for span in calls.filter(|span| span.status == SpanStatus::Success) {
        let joined = join(span.clone(), &of_span(&span, &records));
        assert_eq!(joined.span.input_preview, span.input_preview);
        assert_eq!(joined.span.output_preview, span.output_preview);
    }
}

#[test]
fn content_of_records_is_read_as_messages() {
    let captures = captures();
    let capture = captures
        .iter()
        .find(|capture| capture.name == "otel-openai-v2")
        .unwrap();
    let run = Run::of(&capture.requests);
    let calls = run
        .spans
        .iter()
        .filter(|span| span.span_type == SpanType::Generation);
    let mut with_calls = 0;
    for span in calls.filter(|span| span.status == SpanStatus::Success) {
        let told = run.sent(span, contents);
        assert_eq!(told.input[0].role, "system");
        let json = serde_json::to_string(&told.output).unwrap();
        with_calls += usize::from(json.contains("\"type\":\"tool_call\""));
    }
    assert_eq!(with_calls, 2);
}

#[test]
fn application_logs_are_taken_and_let_go_and_judgements_are_read() {
    let body = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[
        {"body":{"stringValue":"started"},"severityNumber":9},
        {"eventName":"gen_ai.evaluation.result","traceId":"00000000000000000000000000000001","spanId":"0000000000000002",
         "attributes":[{"key":"gen_ai.evaluation.name","value":{"stringValue":"relevance"}},
                       {"key":"gen_ai.evaluation.score.value","value":{"doubleValue":0.5}}]},
        {"traceId":"xyz","body":{"stringValue":"odd id"}},
        7]}]}]}"#;
    let batch = decode_logs(body.into(), ingest::otlp::Encoding::Json).unwrap();
    assert_eq!(
        (batch.accepted, batch.ignored, batch.rejected.len()),
        (3, 2, 1)
    );
    let judged = batch.records[0].evaluation.as_ref().unwrap();
    assert_eq!(
        (judged.name.as_str(), judged.score),
        ("relevance", Some(0.5))
    );
}

fn call(id: &str, parent: Option<&str>, span_type: SpanType, name: &str) -> Span {
    let trace = TraceId::new("t").unwrap();
    let mut span = Span::new(trace, SpanId::new(id).unwrap(), span_type, Source::Otlp);
    span.parent_id = parent.map(|parent| SpanId::new(parent).unwrap());
    span.name = name.to_owned();
    span
}

/// The spans that are marked, and into which; marking again changes nothing.
fn merged(mut spans: Vec<Span>) -> Vec<(String, String)> {
    merge_doubles(&mut spans);
    let mut again = spans.clone();
    merge_doubles(&mut again);
    assert_eq!(again, spans);
    let marked = spans.iter().filter_map(|span| {
        let into = span.merged_into.as_ref()?;
        Some((span.span_id.to_string(), into.to_string()))
    });
    marked.collect()
}

#[test]
fn one_call_of_two_spans_is_one_in_any_order() {
    use SpanType::{Agent, Custom, Function, Generation};
    let spans = vec![
        call("outer", None, Generation, "m"),
        call("http", Some("outer"), Custom, "POST"),
        call("inner", Some("http"), Generation, "m"),
        call("tool", Some("outer"), Function, "f"),
        call("other", Some("tool"), Generation, "m"),
        call("a1", None, Agent, "A"),
        call("step", Some("a1"), Custom, "s"),
        call("a2", Some("step"), Agent, "A"),
        call("b", Some("a2"), Agent, "B"),
    ];
    let want = [("inner", "outer"), ("a2", "a1")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(merged(spans.clone()), want);
    let backwards = merged(spans.into_iter().rev().collect());
    assert_eq!(backwards, [want[1].clone(), want[0].clone()]);
}

#[test]
fn of_two_spans_of_one_answer_the_poorer_is_merged() {
    let answer = |id: &str, tokens: Option<i64>| {
        let mut span = call(id, None, SpanType::Generation, "m");
        span.usage.input_tokens = tokens;
        let attributes = r#"{"gen_ai.response.id":"r1"}"#;
        span.payload.attributes = Some(model::JsonText::parse(attributes).unwrap());
        span
    };
    let want = vec![("poor".to_owned(), "rich".to_owned())];
    assert_eq!(
        merged(vec![answer("poor", None), answer("rich", Some(3))]),
        want
    );
    assert_eq!(
        merged(vec![answer("rich", Some(3)), answer("poor", None)]),
        want
    );
}

#[test]
fn parents_in_a_circle_end() {
    let circle = vec![
        call("a", Some("b"), SpanType::Generation, "m"),
        call("b", Some("a"), SpanType::Generation, "m"),
        call("self", Some("self"), SpanType::Generation, "m"),
    ];
    assert!(merged(circle).len() <= 2);
}
