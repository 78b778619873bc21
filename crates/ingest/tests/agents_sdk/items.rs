//! What single items mean: reserved metadata, lenience, names, prices.

use model::SpanType::{
    Agent, Custom, Function, Generation, Guardrail, Handoff, McpTools, Retrieval, Speech, Task,
    Turn,
};
use model::{Batch, SpanStatus, SpanType, Time};

use std::sync::atomic::{AtomicUsize, Ordering};

use ingest::agents_sdk::{Context, decode};
use serde_json::json;

use crate::support::{context, span_of, try_decode};

fn trace_of(fields: &str) -> model::TraceItem {
    let body = format!(r#"{{"data":[{{"object":"trace","id":"t"{fields}}}]}}"#);
    let batch = try_decode(body.as_bytes()).unwrap();
    assert!(batch.rejected.is_empty(), "{:?}", batch.rejected);
    batch.traces.into_iter().next().unwrap()
}

#[test]
fn reserved_metadata_keys_fill_the_columns() {
    let item = trace_of(
        r#","metadata":{"release":"r1","agent_version":2,"agent_id":"a","user_id":42,"environment":true,
           "tags":"red, , blue","session_id":"s","conversation_id":"c","other":{"n":1.0}}"#,
    );
    assert_eq!(item.version.as_deref(), Some("r1"));
    assert_eq!(item.agent_id.as_deref(), Some("a"));
    assert_eq!(item.user_id.as_deref(), Some("42"));
    assert_eq!(item.environment.as_deref(), Some("true"));
    assert_eq!(item.tags.unwrap(), ["red", "blue"]);
    assert_eq!(item.group_id.unwrap().as_str(), "c");
    assert!(
        item.metadata
            .unwrap()
            .as_str()
            .ends_with(r#""other":{"n":1.0}}"#)
    );
    assert_eq!(item.extra, None);

    let item = trace_of(
        r#","group_id":"g","metadata":{"version":"v","release":"r","group_id":"m","tags":["x",1,null]}"#,
    );
    assert_eq!(item.group_id.unwrap().as_str(), "g");
    assert_eq!(item.version.as_deref(), Some("v"));
    assert_eq!(item.tags.unwrap(), ["x", "1"]);
}

#[test]
fn what_was_not_told_is_none_and_what_is_unknown_is_kept() {
    for fields in [
        "",
        r#","metadata":{}"#,
        r#","metadata":null,"group_id":null"#,
        r#","group_id":"""#,
    ] {
        let item = trace_of(fields);
        assert_eq!(
            item,
            model::TraceItem::new(item.trace_id.clone(), item.source),
            "{fields}"
        );
    }
    let item = trace_of(r#","metadata":[1],"new":{ "a": 1.0 },"ended":true,"workflow_name":7"#);
    assert_eq!(
        item.extra.unwrap().as_str(),
        r#"{"new":{ "a": 1.0 },"metadata":[1]}"#
    );
    assert_eq!(
        (item.metadata, item.ended, item.workflow_name.as_deref()),
        (None, Some(true), Some("7"))
    );

    let batch = span_of(
        r#"{"type":"custom"}"#,
        r#","metadata":{"k":1e2},"new":null,"n\u0065w":[2]"#,
    );
    let payload = &batch.spans[0].payload;
    assert_eq!(
        payload.attributes.as_ref().unwrap().as_str(),
        r#"{"k":1e2}"#
    );
    assert_eq!(
        payload.extra.as_ref().unwrap().as_str(),
        r#"{"new":null,"n\u0065w":[2]}"#
    );
}

#[test]
fn metadata_on_a_span_is_told_of_its_trace_once() {
    let span = |id: &str, metadata: &str| {
        format!(
            r#"{{"object":"trace.span","id":"{id}","trace_id":"t","span_data":null,"trace_metadata":{metadata}}}"#
        )
    };
    let told = r#"{"user_id":"u","session_id":"s"}"#;
    let spans = [
        span("1", told),
        span("2", told),
        span("3", "{}"),
        span("4", r#"{"user_id":"v"}"#),
    ];
    let batch = try_decode(format!(r#"{{"data":[{}]}}"#, spans.join(",")).as_bytes()).unwrap();
    assert_eq!(batch.accepted, 4);
    let users: Vec<_> = batch
        .traces
        .iter()
        .map(|item| item.user_id.as_deref().unwrap())
        .collect();
    assert_eq!(users, ["u", "v"]);
    // Only the trace's own item knows whether it has a group of its own.
    assert!(batch.traces.iter().all(|item| item.group_id.is_none()));
}

#[test]
fn an_item_without_object_is_known_by_its_keys() {
    let body = r#"{"data":[{"id":"s","trace_id":"t","span_data":{"type":"agent","name":"A"}},{"id":"t","workflow_name":"w"}]}"#;
    let batch = try_decode(body.as_bytes()).unwrap();
    assert_eq!(
        (batch.accepted, batch.spans.len(), batch.traces.len()),
        (2, 1, 1)
    );
}

#[test]
fn the_last_of_equal_keys_wins() {
    let batch = span_of(
        r#"{"type":"agent","name":"A","name":"B"}"#,
        r#","parent_id":"p","id":"s2","parent_id":"""#,
    );
    let span = &batch.spans[0];
    assert_eq!(
        (span.span_id.as_str(), span.name.as_str(), &span.parent_id),
        ("s2", "B", &None)
    );
}

#[test]
fn an_end_and_an_error_decide_the_status() {
    let status = |times: &str| {
        let body = format!(
            r#"{{"data":[{{"object":"trace.span","id":"s","trace_id":"t","span_data":null,{times}}}]}}"#
        );
        try_decode(body.as_bytes()).unwrap().spans.remove(0)
    };
    assert_eq!(status(r#""ended_at":null"#).status, SpanStatus::Open);
    assert_eq!(
        status(r#""error":{"message":"x"}"#).status,
        SpanStatus::Open
    );
    let failed = status(
        r#""ended_at":"2026-01-02T03:04:05","error":{"message":"E","data":{"n":1},"stack":"…"}"#,
    );
    assert_eq!(
        (failed.status, failed.ended_at),
        (
            SpanStatus::Error,
            Some(Time::from_micros(1_767_323_045_000_000))
        )
    );
    let error = failed.error.unwrap();
    assert_eq!(
        (error.message.as_str(), error.kind.as_str()),
        ("E", "error")
    );
    assert_eq!(
        error.data.unwrap().as_str(),
        r#"{"message":"E","data":{"n":1},"stack":"…"}"#
    );
    let text = status(r#""ended_at":"2026-01-02T03:04:05Z","error":"TypeError: no""#)
        .error
        .unwrap();
    assert_eq!(
        (text.kind.as_str(), text.message.as_str(), text.data),
        ("TypeError", "TypeError: no", None)
    );
}

/// `span_data`, further keys of the item, and the type, source type and name that follow.
const TYPES: [(&str, &str, SpanType, &str, &str); 22] = [
    (r#"{"type":"agent","name":"A"}"#, "", Agent, "agent", "A"),
    (r#"{"type":"agent","name":""}"#, "", Agent, "agent", "agent"),
    (
        r#"{"type":"response","response":{"model":"m"}}"#,
        "",
        Generation,
        "response",
        "m",
    ),
    (
        r#"{"type":"response"}"#,
        "",
        Generation,
        "response",
        "response",
    ),
    (
        r#"{"type":"generation","model":"m","name":"n"}"#,
        "",
        Generation,
        "generation",
        "n",
    ),
    (
        r#"{"type":"function","name":"f"}"#,
        "",
        Function,
        "function",
        "f",
    ),
    (
        r#"{"type":"handoff","from_agent":"A","to_agent":"B"}"#,
        "",
        Handoff,
        "handoff",
        "A → B",
    ),
    (
        r#"{"type":"handoff","from_agent":"A","to_agent":null}"#,
        "",
        Handoff,
        "handoff",
        "A → ?",
    ),
    (
        r#"{"type":"guardrail","name":"g","triggered":true}"#,
        "",
        Guardrail,
        "guardrail",
        "g",
    ),
    (
        r#"{"type":"mcp_tools","server":"files"}"#,
        "",
        McpTools,
        "mcp_tools",
        "files",
    ),
    (
        r#"{"type":"custom","name":"task","data":{"sdk_span_type":"task","name":"W"}}"#,
        "",
        Task,
        "task",
        "W",
    ),
    (
        r#"{"type":"custom","name":"turn","data":{"sdk_span_type":"turn","turn":3}}"#,
        "",
        Turn,
        "turn",
        "turn 3",
    ),
    (
        r#"{"type":"custom","name":"turn","data":{"turn":3}}"#,
        r#","span_type":"turn""#,
        Turn,
        "turn",
        "turn 3",
    ),
    (r#"{"type":"turn","turn":4}"#, "", Turn, "turn", "turn 4"),
    (
        r#"{"type":"custom","name":"x","data":{}}"#,
        r#","span_type":"custom""#,
        Custom,
        "custom",
        "x",
    ),
    (
        r#"{"type":"function","name":"f"}"#,
        r#","span_type":"agent""#,
        Function,
        "function",
        "f",
    ),
    (
        r#"{"type":"retrieval","name":"r"}"#,
        "",
        Retrieval,
        "retrieval",
        "r",
    ),
    (
        r#"{"type":"brand_new","name":"x"}"#,
        "",
        Custom,
        "brand_new",
        "x",
    ),
    (
        r#"{"type":"brand_new"}"#,
        "",
        Custom,
        "brand_new",
        "brand_new",
    ),
    (
        r#"{"type":"speech","model":"tts"}"#,
        "",
        Speech,
        "speech",
        "tts",
    ),
    ("7", "", Custom, "custom", "custom"),
    ("null", r#","span_type":"agent""#, Agent, "agent", "agent"),
];

#[test]
fn types_and_names_follow_the_read_model() {
    for (span_data, more, span_type, source_type, name) in TYPES {
        let span = span_of(span_data, more).spans.remove(0);
        let got = (
            span.span_type,
            span.source_type.as_str(),
            span.name.as_str(),
        );
        assert_eq!(got, (span_type, source_type, name), "{span_data}");
    }
}

fn previews(span_data: &str) -> (Option<String>, Option<String>) {
    let Batch { mut spans, .. } = span_of(span_data, "");
    let span = spans.remove(0);
    (span.input_preview, span.output_preview)
}

#[test]
fn previews_are_the_first_words_of_what_was_asked_and_answered() {
    let long = "é".repeat(300);
    let cases = [
        (r#"{"type":"generation","input":"hi","output":"ho"}"#.to_owned(), Some("hi".to_owned()), Some("ho".to_owned())),
        (
            r#"{"type":"generation","input":[{"role":"user","content":"one"},{"role":"user","content":[{"type":"input_text","text":"t"},{"type":"image"},"wo"]},{"role":"tool","content":"x"}],
                "output":[{"role":"assistant","content":null,"tool_calls":[{"function":{"name":"f","arguments":"{\"a\":1}"}},{"function":{"name":"g","arguments":{}}}]}]}"#.to_owned(),
            Some("two".to_owned()),
            Some(r#"f({"a":1}), g({})"#.to_owned()),
        ),
        (
            r#"{"type":"response","input":[{"type":"function_call_output","output":"x"}],"response":{"output":[{"type":"reasoning","content":[{"text":"hm"}]},{"type":"message","content":[{"type":"refusal","refusal":"no"}]},{"type":"function_call","name":"f","arguments":""}]}}"#.to_owned(),
            None,
            Some("no".to_owned()),
        ),
        (r#"{"type":"generation","output":[{"choices":[{"message":{"content":"Paris.","refusal":null}}]}]}"#.to_owned(), None, Some("Paris.".to_owned())),
        (r#"{"type":"generation","output":[{"object":"response","output":[{"content":[{"text":"4"}]}]}]}"#.to_owned(), None, Some("4".to_owned())),
        (r#"{"type":"function","input":"{\"q\":\"\u0000\ud800\"}","output":{"a": 1}}"#.to_owned(), Some("{\"q\":\"\u{fffd}\u{fffd}\"}".to_owned()), Some("{\"a\": 1}".to_owned())),
        (format!(r#"{{"type":"function","input":"","output":"{long}"}}"#), None, Some("é".repeat(256))),
        (r#"{"type":"custom","name":"c","data":{"input":"x"}}"#.to_owned(), None, None),
        (r#"{"type":"transcription","input":{"data":"AAAA"},"output":"hello"}"#.to_owned(), None, Some("hello".to_owned())),
    ];
    for (span_data, input, output) in cases {
        assert_eq!(previews(&span_data), (input, output), "{span_data}");
    }
}

#[test]
fn a_model_call_is_priced_once_it_ended_and_is_known() {
    let cost = |span_data: &str, more: &str| {
        span_of(span_data, more).spans[0]
            .cost
            .map(|cost| cost.to_usd())
    };
    let usage = r#""usage":{"input_tokens":3,"output_tokens":4}"#;
    assert_eq!(
        cost(
            &format!(r#"{{"type":"generation","model":"m",{usage}}}"#),
            ""
        ),
        Some(7.0)
    );
    assert_eq!(
        cost(
            &format!(r#"{{"type":"generation","model":"m",{usage}}}"#),
            r#","ended_at":null"#
        ),
        None
    );
    assert_eq!(
        cost(&format!(r#"{{"type":"response",{usage}}}"#), ""),
        None,
        "no model was told"
    );
    assert_eq!(
        cost(
            r#"{"type":"generation","model":"m","usage":{"input_tokens":3}}"#,
            ""
        ),
        None,
        "no price, not 0"
    );
    assert_eq!(cost(r#"{"type":"generation","model":"m"}"#, ""), None);
    assert_eq!(
        cost(&format!(r#"{{"type":"custom","model":"m",{usage}}}"#), ""),
        None
    );
}

#[test]
fn a_response_tells_model_end_and_tokens() {
    let span = |response: &str| {
        span_of(
            &format!(r#"{{"type":"response","response":{response}}}"#),
            "",
        )
        .spans
        .remove(0)
    };
    let cut = span(
        r#"{"model":"m","status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"usage":{"input_tokens":1}}"#,
    );
    assert_eq!(
        (cut.model.as_deref(), cut.finish_reason.as_deref()),
        (Some("m"), Some("max_output_tokens"))
    );
    assert_eq!(cut.usage.input_tokens, Some(1));
    assert_eq!(
        span(r#"{"status":"completed","output":[]}"#)
            .finish_reason
            .as_deref(),
        Some("completed")
    );
    let chat = span_of(
        r#"{"type":"generation","output":[{"role":"assistant","finish_reason":"length"}]}"#,
        "",
    );
    assert_eq!(chat.spans[0].finish_reason.as_deref(), Some("length"));
}

#[test]
fn the_time_to_the_first_token_is_read_where_a_sender_tells_it() {
    let check = |metadata: &str, want: Option<f64>| {
        let more = format!(r#","metadata":{metadata}"#);
        let batch = span_of(r#"{"type":"generation","model":"m"}"#, &more);
        assert_eq!(batch.spans[0].ttft_ms, want, "{metadata}");
    };
    check(r#"{"ttft_ms":412.5}"#, Some(412.5));
    check(r#"{"ttft_ms":"412"}"#, Some(412.0));
    check(r#"{"ttft_ms":0}"#, Some(0.0));
    check(r#"{"ttft_ms":-1}"#, None);
    check(r#"{"ttft_ms":1e999}"#, None);
    check(r#"{"ttft_ms":null}"#, None);
    check("{}", None);
    check("null", None);
}

#[test]
fn items_of_a_deleted_trace_are_refused_at_their_place() {
    let span = |id: &str, trace: &str| {
        json!({"object": "trace.span", "id": id, "trace_id": trace, "trace_metadata": {"k": 1},
            "span_data": {"type": "generation", "input": [{"role": "user", "content": "hi"}]}})
    };
    let body = json!({"data": [
        span("a", "kept"),
        {"object": "trace", "id": "gone", "workflow_name": "w"},
        span("b", "gone"),
        {"object": "trace"},
        span("c", "kept"),
    ]});
    let asked = AtomicUsize::new(0);
    let context = Context {
        is_deleted: &|id| {
            asked.fetch_add(1, Ordering::Relaxed);
            id.as_str() == "gone"
        },
        ..context()
    };
    let batch = decode(body.to_string().into(), &context).unwrap();
    let refused = batch.rejected.iter().map(|refused| {
        let trace = refused.trace_id.as_ref().map(|id| id.as_str());
        (refused.index, refused.code, trace)
    });
    assert_eq!(
        refused.collect::<Vec<_>>(),
        [
            (1, "trace_deleted", Some("gone")),
            (2, "trace_deleted", Some("gone")),
            (3, "bad_id", None),
        ]
    );
    assert_eq!((batch.accepted, asked.into_inner()), (2, 2));
    let traces = batch.traces.iter().map(|item| &item.trace_id);
    let named = traces.chain(batch.spans.iter().map(|span| &span.trace_id));
    let named = named.chain(batch.messages.iter().map(|message| &message.trace_id));
    assert!(named.into_iter().all(|id| id.as_str() == "kept"));
}
