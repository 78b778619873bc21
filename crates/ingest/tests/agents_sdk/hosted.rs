//! Hosted tools leave no span; ours are made from the items of the response.

use model::{Span, SpanStatus, SpanType};

use crate::support::span_of;

fn derived(items: &str) -> Vec<Span> {
    let batch = span_of(
        &format!(r#"{{"type":"response","response":{{"output":[{items}]}}}}"#),
        "",
    );
    assert_eq!(batch.accepted, 1, "what we derive is not counted");
    batch.spans.into_iter().skip(1).collect()
}

#[test]
fn a_hosted_call_becomes_a_function_span_below_the_response() {
    let spans = derived(
        r#"{"type":"message","content":[]},
           {"type":"web_search_call","id":"ws_1","status":"completed","action":{"type":"search","query":"rust"}},
           {"type":"function_call","name":"own","arguments":"{}"},{"type":"computer_call","id":"cu_1"},
           {"type":"mcp_call","id":"mcp_1","server_label":"wiki","name":"ask","arguments":"{\"q\":1}","output":"42","error":null},
           {"type":"code_interpreter_call","code":"1/0","outputs":[{"type":"logs","logs":"boom"}],"status":"failed"}"#,
    );
    let told: Vec<_> = spans
        .iter()
        .map(|span| (span.span_id.as_str(), span.name.as_str(), span.status))
        .collect();
    assert_eq!(
        told,
        [
            ("s/ws_1", "web_search", SpanStatus::Success),
            ("s/mcp_1", "ask", SpanStatus::Success),
            ("s/5", "code_interpreter", SpanStatus::Error),
        ]
    );
    let [search, mcp, code] = &spans[..] else {
        panic!("{spans:?}")
    };
    for span in &spans {
        assert!(span.derived && span.span_type == SpanType::Function && span.ended_at.is_some());
        assert_eq!(span.parent_id.as_ref().unwrap().as_str(), "s");
    }
    assert_eq!(search.tool_call_id.as_deref(), Some("ws_1"));
    assert_eq!(
        search.input_preview.as_deref(),
        Some(r#"{"type":"search","query":"rust"}"#)
    );
    assert_eq!(search.source_type, "web_search_call");
    assert_eq!(
        (mcp.input_preview.as_deref(), mcp.output_preview.as_deref()),
        (Some(r#"{"q":1}"#), Some("42"))
    );
    assert_eq!(
        mcp.payload.data.as_ref().unwrap().as_str(),
        r#"{"type":"mcp_call","name":"ask","input":"{\"q\":1}","output":"42","mcp_data":{"server":"wiki"}}"#
    );
    let error = code.error.as_ref().unwrap();
    assert_eq!(
        (error.kind.as_str(), error.message.as_str()),
        ("tool_error", "code_interpreter_call failed")
    );
}

#[test]
fn large_results_are_messages_and_errors_are_told() {
    let long = "x".repeat(300);
    let spans = derived(&format!(
        r#"{{"type":"image_generation_call","id":"ig","result":"{long}"}},
           {{"type":"mcp_call","id":"m","name":"ask","error":{{"type":"http_error","message":"Request timed out"}}}}"#
    ));
    assert_eq!(
        spans[0].payload.data.as_ref().unwrap().as_str(),
        r#"{"type":"image_generation_call","name":"image_generation","output":"$ref:o0"}"#
    );
    assert_eq!(spans[0].payload.output_refs.len(), 1);
    let error = spans[1].error.as_ref().unwrap();
    assert_eq!(
        (error.kind.as_str(), error.message.as_str()),
        ("timeout", "Request timed out")
    );
}

#[test]
fn what_a_hosted_server_offers_is_listed() {
    let spans = derived(
        r#"{"type":"mcp_list_tools","id":"l","server_label":"wiki","tools":[{"name":"ask"}]}"#,
    );
    assert_eq!(
        (spans[0].span_type, spans[0].name.as_str()),
        (SpanType::McpTools, "wiki")
    );
}

#[test]
fn ids_stay_ids_however_long_their_parts() {
    let item = "i".repeat(250);
    let first = derived(&format!(
        r#"{{"type":"web_search_call","id":"{item}{item}"}}"#
    ));
    let again = derived(&format!(
        r#"{{"type":"web_search_call","id":"{item}{item}"}}"#
    ));
    assert_eq!(first[0].span_id.as_str().len(), 32);
    assert_eq!(first[0].span_id, again[0].span_id);
}
