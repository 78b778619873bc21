//! Calls as a proxy sees them, whole, streamed and cut off, and the spans that become of them.

use super::*;

use model::{NanoUsd, Source, Span, SpanType, payload};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::agents_sdk::PricedCall;

const CHAT: &str = r#"{"model":"gpt-4.1-mini","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Oslo?"}],"temperature":1.0,"stream":true,"tools":[{"type":"function","function":{"name":"f","parameters":{}}}]}"#;

const COMPLETION: &str = r#"{
  "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4.1-mini-2025-04-14",
  "choices": [{"index": 0, "message": {"role": "assistant", "content": "4 C."}, "finish_reason": "stop"}],
  "usage": {"prompt_tokens": 100, "completion_tokens": 30, "prompt_tokens_details": {"cached_tokens": 20}, "completion_tokens_details": {"reasoning_tokens": 5}}
}"#;

const CHUNKS: &str = "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"model\":\"gpt-4.1-mini-2025-04-14\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n\
: keep-alive\n\n\
data: {\"id\":\"chatcmpl-1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"4 °\"}}]}\n\n\
data: {\"id\":\"chatcmpl-1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"C.\"}}]}\r\n\r\n\
data: {\"id\":\"chatcmpl-1\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
data: {\"id\":\"chatcmpl-1\",\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2}}\n\n\
data: [DONE]\n\n";

const RESPONSE: &str = r#"{"id":"resp_1","object":"response","status":"completed","model":"gpt-5","instructions":"Be brief.","output":[{"type":"web_search_call","id":"ws_1","status":"completed","action":{"type":"search","query":"oslo"}},{"type":"message","role":"assistant","content":[{"type":"output_text","text":"4 C."}]}],"usage":{"input_tokens":10,"input_tokens_details":{"cached_tokens":2},"output_tokens":3,"output_tokens_details":{"reasoning_tokens":1}}}"#;

fn made<'a>(api: Api, request: &'a str, outcome: Outcome<'a>) -> Call<'a> {
    Call {
        api,
        trace_id: "trace_1",
        span_id: "span_1",
        parent_id: None,
        workflow_name: Some("weather"),
        group_id: None,
        base_url: Some("https://api.openai.com/v1"),
        started_at: Time::from_micros(1_000_000),
        ended_at: Time::from_micros(3_000_000),
        retry: 0,
        notes: &[("upstream", "openai")],
        request: request.as_bytes(),
        outcome,
        secrets: &["sk-verysecret"],
    }
}

fn answered(status: u16, body: &str) -> Outcome<'_> {
    Outcome::Answered(Answer {
        status,
        body: body.as_bytes(),
        cut: None,
        arrivals: &[],
    })
}

fn decode(made: &Call<'_>) -> Result<Batch, CallError> {
    let price = |priced: &PricedCall<'_>| priced.usage.input_tokens.map(NanoUsd);
    let context = Context {
        price: &price,
        ..Context::new(Source::Proxy, Time::default())
    };
    call(made, &context)
}

/// The call's own span, and its `span_data` read back.
fn span(made: &Call<'_>) -> (Span, Value) {
    let batch = decode(made).unwrap();
    assert_eq!(*batch.rejected, []);
    assert_eq!((batch.traces.len(), batch.accepted), (1, 2));
    let span = batch.spans[0].clone();
    let content = |hash: &model::MessageHash| {
        let found = batch.messages.iter().find(|m| m.hash == *hash);
        found.map(model::Message::text)
    };
    let parts = &span.payload;
    let text = payload::restore(
        parts.data.as_ref().unwrap().as_str(),
        &parts.input_refs,
        &parts.output_refs,
        content,
    );
    (span, serde_json::from_str(&text.unwrap()).unwrap())
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_chat_completion_is_a_generation_with_all_that_was_said() {
    let (span, data) = span(&made(Api::ChatCompletions, CHAT, answered(200, COMPLETION)));
    assert_eq!(span.span_type, SpanType::Generation);
    assert_eq!(
        (span.source, span.source_type.as_str()),
        (Source::Proxy, "chat_completion")
    );
    assert_eq!(span.model.as_deref(), Some("gpt-4.1-mini-2025-04-14"));
    assert_eq!(span.name, "gpt-4.1-mini-2025-04-14");
    assert_eq!(span.provider.as_deref(), Some("openai"));
    assert_eq!(span.finish_reason.as_deref(), Some("stop"));
    assert_eq!(span.status, SpanStatus::Success);
    let usage = span.usage;
    assert_eq!(
        [
            usage.input_tokens,
            usage.cached_tokens,
            usage.output_tokens,
            usage.reasoning_tokens
        ],
        [Some(100), Some(20), Some(30), Some(5)]
    );
    assert_eq!(span.cost, Some(NanoUsd(100)));
    assert_eq!(span.input_preview.as_deref(), Some("Oslo?"));
    assert_eq!(span.output_preview.as_deref(), Some("4 C."));
    assert_eq!(span.payload.input_refs.len(), 3, "two messages and a tool");
    let request = json_of(CHAT);
    assert_eq!(
        data,
        json!({
            "type": "chat_completion",
            "input": request["messages"],
            "tools": request["tools"],
            "model_config": {
                "model": "gpt-4.1-mini", "temperature": 1.0, "stream": true,
                "base_url": "https://api.openai.com/v1",
            },
            "output": [json_of(COMPLETION)],
        })
    );
    let attributes = span.payload.attributes.unwrap();
    assert_eq!(attributes.as_str(), r#"{"retry":0,"upstream":"openai"}"#);
}

#[test]
fn a_stream_is_kept_as_the_answer_it_stands_for() {
    let at = |bytes, after_ms| Arrival { bytes, after_ms };
    let second = CHUNKS.find("4 °").unwrap();
    let arrivals = [
        at(40, 1.0),
        at(second, 2.0),
        at(second + 40, 3.5),
        at(CHUNKS.len(), 9.0),
    ];
    let outcome = Outcome::Answered(Answer {
        status: 200,
        body: CHUNKS.as_bytes(),
        cut: None,
        arrivals: &arrivals,
    });
    let (span, data) = span(&made(Api::ChatCompletions, CHAT, outcome));
    assert_eq!(span.output_preview.as_deref(), Some("4 °C."));
    assert_eq!(span.ttft_ms, Some(3.5));
    assert_eq!(span.usage.output_tokens, Some(2));
    assert_eq!(span.finish_reason.as_deref(), Some("stop"));
    assert_eq!(
        data["output"],
        json!([{
            "id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-4.1-mini-2025-04-14",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "4 °C."}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 7, "completion_tokens": 2},
        }])
    );
}

#[test]
fn a_response_is_kept_with_the_tools_that_the_upstream_ran() {
    let request = r#"{"model":"gpt-5","input":"Oslo?","instructions":"Be brief.","tools":[{"type":"web_search"}]}"#;
    let streamed = format!(
        "event: response.created\ndata: {{\"type\":\"response.created\",\"response\":{{\"id\":\"resp_1\"}}}}\n\n\
         event: response.completed\ndata: {{\"type\":\"response.completed\",\"response\":{RESPONSE}}}\n\n"
    );
    for body in [RESPONSE, &streamed] {
        let made = made(Api::Responses, request, answered(200, body));
        let (span, data) = span(&made);
        assert_eq!(
            (span.source_type.as_str(), span.name.as_str()),
            ("response", "gpt-5")
        );
        assert_eq!(span.input_preview.as_deref(), Some("Oslo?"));
        assert_eq!(span.output_preview.as_deref(), Some("4 C."));
        assert_eq!(span.finish_reason.as_deref(), Some("completed"));
        assert_eq!(span.usage.cached_tokens, Some(2));
        assert_eq!(data["response"], json_of(RESPONSE));
        assert_eq!(data["response_id"], "resp_1");
        let tool = &decode(&made).unwrap().spans[1];
        assert_eq!((tool.derived, tool.name.as_str()), (true, "web_search"));
    }
}

fn check_failed(outcome: Outcome<'_>, kind: &str, message: &str) -> (Span, Value) {
    let (span, data) = span(&made(Api::ChatCompletions, CHAT, outcome));
    let error = span.error.as_ref().unwrap();
    assert_eq!(
        (error.kind.as_str(), error.message.as_str()),
        (kind, message)
    );
    assert_eq!(span.status, SpanStatus::Error);
    assert_eq!(span.input_preview.as_deref(), Some("Oslo?"));
    (span, data)
}

#[test]
fn a_refused_call_keeps_the_upstreams_words_but_never_a_key() {
    let body = r#"{"error":{"message":"Slow down, sk-verysecret.","type":"requests","code":"rate_limit_exceeded"}}"#;
    let (span, data) = check_failed(answered(429, body), "rate_limit", "Slow down, [redacted].");
    assert!(
        span.error
            .unwrap()
            .data
            .unwrap()
            .as_str()
            .contains("requests")
    );
    assert_eq!(
        span.model.as_deref(),
        Some("gpt-4.1-mini"),
        "what was asked for"
    );
    assert_eq!(data.get("output"), None);
    check_failed(answered(503, "busy"), "server_error", "busy");
    check_failed(
        answered(200, r#"{"error":{"message":"no","code":500}}"#),
        "model_error",
        "no",
    );
    let unreachable = Failure {
        kind: "upstream_unreachable",
        message: "nobody answers".to_owned(),
    };
    check_failed(
        Outcome::Failed(&unreachable),
        "upstream_unreachable",
        "nobody answers",
    );
    let error = "data: {\"error\":{\"message\":\"overloaded\",\"type\":\"server_error\"}}\n\n";
    check_failed(answered(200, error), "server_error", "overloaded");
}

#[test]
fn what_is_no_answer_is_kept_as_it_came() {
    let message = "the answer is neither a JSON object nor a stream of events";
    let (_, data) = check_failed(answered(200, "<p>hi</p>"), "invalid_answer", message);
    assert_eq!(data["output"], "<p>hi</p>");
    let (_, data) = check_failed(answered(200, "[1]"), "invalid_answer", message);
    assert_eq!(data["output"], json!([1]));
    check_failed(answered(200, ""), "invalid_answer", message);
}

fn cut_at(body: &str, at: usize, cut: Option<&Failure>) -> (Span, Value) {
    let outcome = Outcome::Answered(Answer {
        status: 200,
        body: &body.as_bytes()[..at],
        cut,
        arrivals: &[],
    });
    span(&made(Api::ChatCompletions, CHAT, outcome))
}

#[test]
fn a_stream_that_is_cut_anywhere_is_kept_as_far_as_it_came() {
    let hung_up = Failure {
        kind: "client_disconnected",
        message: "the client hung up".to_owned(),
    };
    let mut longest = String::new();
    // Before that nothing tells that it is a stream.
    for at in "data:".len()..=CHUNKS.len() {
        let (span, _) = cut_at(CHUNKS, at, Some(&hung_up));
        let said = span.output_preview.unwrap_or_default();
        assert!(said.starts_with(&longest), "{at}: {said} after {longest}");
        longest = said;
        let kind = span.error.map(|error| error.kind);
        // Once the model has said why it stopped, hanging up loses nothing but the usage.
        let is_whole = at >= CHUNKS.find("}}]}\r\n").unwrap() && span.finish_reason.is_some();
        let want = (!is_whole).then(|| "client_disconnected".to_owned());
        assert_eq!(kind, want, "{at}");
    }
    assert_eq!(longest, "4 °C.");
    let (span, _) = cut_at(CHUNKS, CHUNKS.len() / 2, None);
    assert_eq!(span.error.unwrap().kind, "upstream_cut");
}

#[test]
fn an_answer_that_is_cut_is_kept_as_text() {
    let cut = Failure {
        kind: "upstream_cut",
        message: "gone".to_owned(),
    };
    let (span, data) = cut_at(COMPLETION, 50, Some(&cut));
    assert_eq!(span.error.unwrap().kind, "upstream_cut");
    assert_eq!(data["output"], COMPLETION[..50]);
    let (span, _) = cut_at(COMPLETION, COMPLETION.len(), Some(&cut));
    assert_eq!(span.error, None, "it had all come");
}

#[test]
fn a_request_that_is_no_object_is_refused() {
    for request in ["", "[]", "7", "{", "{} {}"] {
        let made = made(Api::ChatCompletions, request, answered(400, ""));
        assert!(
            matches!(decode(&made), Err(CallError::NotAnObject { .. })),
            "{request}"
        );
    }
    let mut made = made(Api::ChatCompletions, CHAT, answered(200, COMPLETION));
    made.request = b"{\"a\":\"\xff\"}";
    assert_eq!(decode(&made), Err(CallError::NotUtf8 { at: 6 }));
    made.request = CHAT.as_bytes();
    let long = "x".repeat(300);
    made.trace_id = &long;
    let batch = decode(&made).unwrap();
    assert!(batch.traces.is_empty() && batch.spans.is_empty() && batch.accepted == 0);
    assert_eq!(batch.rejected.len(), 2);
}

/// Pieces of streams and answers, to be put together in any order.
fn pieces() -> impl Strategy<Value = Vec<String>> {
    let texts = [
        CHUNKS,
        COMPLETION,
        RESPONSE,
        CHAT,
        "data: ",
        "\n\n",
        "\r",
        "event: error\n",
        "[DONE]",
        "{",
        "}",
        "\"index\":9999999999",
        "null",
        "\\ud800",
        "\u{feff}",
        "data: {\"type\":\"response.output_text.delta\",\"output_index\":0,\"content_index\":0,\"delta\":\"x\"}\n\n",
        "data: {\"type\":\"response.output_item.added\",\"output_index\":0,\"item\":{\"content\":7}}\n\n",
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":{\"index\":0}}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[7,{\"index\":0}]}}]}\n\n",
        "data: {\"choices\":7}\n\n",
    ];
    let piece = (0..texts.len(), any::<u16>(), any::<u16>()).prop_map(move |(text, from, to)| {
        let characters: Vec<char> = texts[text].chars().collect();
        let (from, to) = (
            from as usize % (characters.len() + 1),
            to as usize % (characters.len() + 1),
        );
        match from < to {
            true => characters[from..to].iter().collect(),
            false => texts[text].to_owned(),
        }
    });
    proptest::collection::vec(piece, 0..8)
}

proptest! {
    #[test]
    fn nothing_that_comes_over_the_wire_panics(request in pieces(), body in pieces(), status in 100_u16..700, is_chat: bool) {
        let api = if is_chat { Api::ChatCompletions } else { Api::Responses };
        let (request, body) = (request.concat(), body.concat());
        for request in [request.as_str(), CHAT] {
            let made = made(api, request, answered(status, &body));
            let _read = decode(&made);
            let _links = (links(api, request.as_bytes()), response_id(body.as_bytes()));
        }
    }

    #[test]
    fn events_are_the_same_however_lines_end(ends in proptest::collection::vec(0..3_usize, 1..20)) {
        let mut ends = ends.iter().cycle();
        let lines = CHUNKS.replace("\r\n", "\n");
        let mut stream = String::new();
        for line in lines.split_inclusive('\n') {
            stream.push_str(line.trim_end_matches('\n'));
            stream.push_str(["\n", "\r\n", "\r"][*ends.next().unwrap()]);
        }
        // CR before LF is one end of a line: two that meet would be taken for one.
        prop_assume!(!stream.contains("\r\r\n") && stream.matches("\r\n").count() + stream.matches("\n\n").count() > 0);
        let got = chat::assemble(&stream).text;
        if sse::Events::new(&stream).count() == sse::Events::new(&lines).count() {
            prop_assert_eq!(got, chat::assemble(&lines).text);
        }
    }
}
