//! Single rules of single dialects, each on the smallest span that shows it.

use bytes::Bytes;
use ingest::otlp::{Encoding, contents, requested_model};
use model::{Span, SpanStatus, SpanType};
use serde_json::{Value, json};

use crate::support::{Request, Run};

/// A span of one trace: its scope, its name, what it is below, and its attributes.
struct Sent {
    scope: &'static str,
    name: &'static str,
    parent: Option<usize>,
    attributes: Value,
}

fn sent(scope: &'static str, name: &'static str, attributes: Value) -> Sent {
    Sent {
        scope,
        name,
        parent: None,
        attributes,
    }
}

fn below(parent: usize, sent: Sent) -> Sent {
    Sent {
        parent: Some(parent),
        ..sent
    }
}

fn value(value: &Value) -> Value {
    match value {
        Value::String(text) => json!({"stringValue": text}),
        Value::Bool(bool) => json!({"boolValue": bool}),
        other => json!({"intValue": other.to_string()}),
    }
}

/// Reads spans; the n-th of them has the id n + 1.
fn read(spans: &[Sent]) -> Run {
    let groups = spans.iter().enumerate().map(|(n, sent)| {
        let attributes = sent.attributes.as_object().unwrap();
        let attributes = attributes
            .iter()
            .map(|(key, told)| json!({"key": key, "value": value(told)}));
        let span = json!({
            "traceId": "0af7651916cd43dd8448eb211c80319c",
            "spanId": format!("{:016x}", n + 1),
            "parentSpanId": sent.parent.map(|parent| format!("{:016x}", parent + 1)),
            "name": sent.name,
            "startTimeUnixNano": (n + 1).to_string() + "000000",
            "endTimeUnixNano": "99000000",
            "attributes": attributes.collect::<Vec<_>>(),
        });
        json!({"scope": {"name": sent.scope}, "spans": [span]})
    });
    let body = json!({"resourceSpans": [{"scopeSpans": groups.collect::<Vec<_>>()}]});
    Run::of(&[Request {
        is_logs: false,
        body: Bytes::from(body.to_string()),
        encoding: Encoding::Json,
    }])
}

/// Reads one span.
fn one(scope: &'static str, name: &'static str, attributes: Value) -> (Run, Span) {
    let run = read(&[sent(scope, name, attributes)]);
    let span = run.spans[0].clone();
    (run, span)
}

fn tokens(span: &Span) -> [Option<i64>; 4] {
    let usage = &span.usage;
    [
        usage.input_tokens,
        usage.cached_tokens,
        usage.output_tokens,
        usage.reasoning_tokens,
    ]
}

#[test]
fn adk_names_its_agents_in_their_spans() {
    let (_, span) = one("gcp.vertex.agent", "agent_run [booking]", json!({}));
    assert_eq!((span.span_type, &*span.name), (SpanType::Agent, "booking"));
    let (_, span) = one("hotel", "agent_run [booking]", json!({}));
    assert_eq!(span.span_type, SpanType::Custom);
}

#[test]
fn calls_of_an_agent_inside_a_call_are_no_doubles() {
    let call = || {
        sent(
            "gcp.vertex.agent",
            "call_llm",
            json!({"gcp.vertex.agent.llm_request": "{}"}),
        )
    };
    let agent = sent("gcp.vertex.agent", "agent_run [booking]", json!({}));
    let run = read(&[call(), below(0, agent), below(1, call())]);
    assert!(run.spans.iter().all(Span::is_counted), "{:?}", run.spans);
}

#[test]
fn an_early_pydantic_ai_names_agents_without_an_operation() {
    let attributes = json!({"agent_name": "booking", "final_result": "done"});
    let (_, span) = one("pydantic-ai", "agent run", attributes.clone());
    assert_eq!((span.span_type, &*span.name), (SpanType::Agent, "booking"));
    assert_eq!(span.output_preview.as_deref(), Some("done"));
    let (_, span) = one("hotel", "agent run", attributes);
    assert_eq!(span.span_type, SpanType::Custom);
}

#[test]
fn who_is_around_a_handoff_hands_over() {
    let scope = "openinference.instrumentation.openai_agents";
    let agent = json!({"openinference.span.kind": "AGENT", "graph.node.id": "triage"});
    let tool = json!({"openinference.span.kind": "TOOL"});
    let turn = sent(scope, "turn", json!({"openinference.span.kind": "CHAIN"}));
    let run = read(&[
        sent(scope, "triage", agent),
        below(0, turn),
        below(1, sent(scope, "handoff to booking", tool.clone())),
    ]);
    assert_eq!(run.spans[2].name, "triage → booking");
    assert_eq!(run.spans[2].handoff_from.as_deref(), Some("triage"));
    let (_, alone) = one(scope, "handoff to booking", tool);
    assert_eq!(alone.name, "? → booking");
}

#[test]
fn gemini_thinks_beside_its_answer() {
    let response = r#"{"usage_metadata":{"prompt_token_count":111,"cached_content_token_count":32,"candidates_token_count":17,"thoughts_token_count":5,"total_token_count":133}}"#;
    let attributes = json!({
        "gcp.vertex.agent.llm_request": "{}",
        "gcp.vertex.agent.llm_response": response,
        "gen_ai.usage.input_tokens": 111,
        "gen_ai.usage.output_tokens": 17,
    });
    let (_, span) = one("gcp.vertex.agent", "call_llm", attributes);
    assert_eq!(tokens(&span), [Some(111), Some(32), Some(22), Some(5)]);
}

#[test]
fn a_total_tells_whether_parts_are_counted_in() {
    let details = |details: &str| {
        let attributes = json!({
            "langfuse.observation.type": "generation",
            "langfuse.observation.usage_details": details,
        });
        tokens(&one("langfuse-sdk", "ChatOpenAI", attributes).1)
    };
    let all = [Some(101), Some(32), Some(21), Some(5)];
    assert_eq!(
        details(
            r#"{"input":69,"input_cache_read":32,"output":16,"output_reasoning":5,"total":122}"#
        ),
        all
    );
    assert_eq!(
        details(
            r#"{"input":101,"input_cached_tokens":32,"output":21,"output_reasoning_tokens":5,"total":122}"#
        ),
        all
    );
}

#[test]
fn a_tool_may_fail_without_a_failed_span() {
    let attributes = json!({
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "cancel",
        "gen_ai.tool.status": "error",
        "gen_ai.tool.call.result": r#"[{"text":"Error: not found"}]"#,
    });
    let (run, span) = one(
        "strands.telemetry.tracer",
        "execute_tool cancel",
        attributes,
    );
    assert_eq!(span.status, SpanStatus::Error);
    assert_eq!(span.error.clone().unwrap().message, "Error: not found");
    let result = run.sent(&span, contents).result.unwrap();
    assert_eq!(result.as_str(), r#""Error: not found""#);
}

#[test]
fn adk_wraps_what_is_no_object() {
    let result = |scope: &'static str, response: &str| {
        let attributes = json!({
            "gen_ai.operation.name": "execute_tool",
            "gcp.vertex.agent.tool_response": response,
        });
        let (run, span) = one(scope, "execute_tool f", attributes);
        run.sent(&span, contents)
            .result
            .unwrap()
            .as_str()
            .to_owned()
    };
    assert_eq!(result("gcp.vertex.agent", r#"{"result":"12"}"#), r#""12""#);
    let two = r#"{"result":1,"unit":"C"}"#;
    assert_eq!(result("gcp.vertex.agent", two), two);
    let own = r#"{"result":"12"}"#;
    assert_eq!(result("hotel", own), own);
}

#[test]
fn a_helper_of_a_models_class_is_no_call() {
    let scope = "openinference.instrumentation.llama_index";
    let span = |name, kind: &str| {
        let kind = json!({"openinference.span.kind": kind});
        one(scope, name, kind).1.span_type
    };
    assert_eq!(span("OpenAI._prepare_chat", "LLM"), SpanType::Custom);
    assert_eq!(span("OpenAI.achat", "LLM"), SpanType::Generation);
    assert_eq!(span("Index._retrieve", "RETRIEVER"), SpanType::Custom);
    assert_eq!(span("Index.retrieve", "RETRIEVER"), SpanType::Retrieval);
}

#[test]
fn mlflow_keeps_some_facts_in_its_documents_alone() {
    let scope = "mlflow.tracing.provider";
    let failed = json!({
        "mlflow.spanType": "\"CHAT_MODEL\"",
        "mlflow.spanInputs": r#"{"model":"gpt-broken","messages":[]}"#,
    });
    let (run, span) = one(scope, "Completions", failed);
    assert_eq!(span.model.as_deref(), Some("gpt-broken"));
    let asked = run.sent(&span, requested_model);
    assert_eq!(asked.as_deref(), Some("gpt-broken"));
    let embedding = json!({
        "mlflow.spanType": "\"EMBEDDING\"",
        "mlflow.spanOutputs": r#"{"usage":{"prompt_tokens":9,"total_tokens":9}}"#,
    });
    let (_, span) = one(scope, "Embeddings", embedding);
    assert_eq!(span.usage.input_tokens, Some(9));
}

#[test]
fn genkit_names_a_model_by_its_plugin() {
    let attributes = json!({
        "genkit:type": "action",
        "genkit:metadata:subtype": "model",
        "genkit:name": "googleai/gemini-2.5-flash",
        "genkit:output": r#"{"message":{"role":"model","content":[{"text":"hi"}]},"finishReason":"stop","usage":{"inputTokens":111,"outputTokens":22,"thoughtsTokens":5}}"#,
    });
    let (_, span) = one("genkit-tracer", "googleai/gemini-2.5-flash", attributes);
    assert_eq!(span.model.as_deref(), Some("gemini-2.5-flash"));
    assert_eq!(span.provider.as_deref(), Some("gcp.gemini"));
    assert_eq!(tokens(&span), [Some(111), None, Some(22), Some(5)]);
    assert_eq!(span.output_preview.as_deref(), Some("hi"));
}

#[test]
fn mastra_says_what_its_spans_are() {
    let agent = json!({
        "mastra.span.type": "agent_run",
        "gen_ai.operation.name": "agent.run",
        "agent.id": "booking",
        "input": "hi",
        "sessionId": "s1",
    });
    let (run, span) = one("@mastra/otel", "agent.booking", agent);
    assert_eq!((span.span_type, &*span.name), (SpanType::Agent, "booking"));
    assert_eq!(span.input_preview.as_deref(), Some("hi"));
    let item = run.traces.values().next().unwrap();
    assert_eq!(item.group_id.as_ref().map(|id| id.as_str()), Some("s1"));
    let tool = json!({
        "mastra.span.type": "tool_call",
        "gen_ai.tool.name": "f",
        "gen_ai.tool.input": r#"{"a":1}"#,
        "gen_ai.tool.output": "12",
    });
    let (run, span) = one("@mastra/otel", "tool.execute f", tool);
    assert_eq!((span.span_type, &*span.name), (SpanType::Function, "f"));
    let told = run.sent(&span, contents);
    assert_eq!(told.arguments.unwrap().as_str(), r#"{"a":1}"#);
    let step = json!({"mastra.span.type": "model_step", "gen_ai.request.model": "m"});
    let (_, span) = one("@mastra/otel", "step: 0", step);
    assert_eq!(span.span_type, SpanType::Custom);
}

#[test]
fn laminar_tells_of_the_run() {
    let attributes = json!({
        "lmnr.association.properties.session_id": "s1",
        "lmnr.association.properties.user_id": "u1",
        "lmnr.association.properties.metadata.tier": "gold",
    });
    let (run, _) = one("lmnr.tracer", "Booking", attributes);
    let item = run.traces.values().next().unwrap();
    assert_eq!(item.group_id.as_ref().map(|id| id.as_str()), Some("s1"));
    assert_eq!(item.user_id.as_deref(), Some("u1"));
    let metadata = item.metadata.as_ref().map(|json| json.as_str());
    assert_eq!(metadata, Some(r#"{"tier":"gold"}"#));
}

#[test]
fn a_provider_in_front_of_a_model_is_no_part_of_its_name() {
    let model = |model: &str, provider: &str| {
        let attributes = json!({
            "openinference.span.kind": "LLM",
            "llm.model_name": model,
            "llm.provider": provider,
        });
        one(
            "openinference.instrumentation.litellm",
            "completion",
            attributes,
        )
        .1
        .model
    };
    let bare = Some("gpt-4.1".to_owned());
    assert_eq!(model("openai/gpt-4.1", "openai"), bare);
    assert_eq!(model("gpt-4.1", "openai"), bare);
    for (name, provider) in [
        ("openai/gpt-4.1", "openrouter"),
        ("meta-llama/Llama-3", "together"),
        ("openai/", "openai"),
    ] {
        assert_eq!(model(name, provider).as_deref(), Some(name));
    }
}

#[test]
fn semantic_kernel_names_its_enum() {
    let attributes = json!({
        "gen_ai.operation.name": "chat",
        "gen_ai.response.finish_reason": "FinishReason.TOOL_CALLS",
    });
    let (_, span) = one("semantic_kernel.x", "chat gpt", attributes);
    assert_eq!(span.finish_reason.as_deref(), Some("tool_calls"));
}

#[test]
fn events_in_an_attribute_are_read_whoever_wrote_them() {
    let events = r#"[{"event.name":"gen_ai.user.message","content":"hi"},{"event.name":"gen_ai.choice","message":{"role":"assistant","content":"ho"}}]"#;
    let attributes = json!({"gen_ai.operation.name": "chat", "events": events});
    let (run, span) = one("pydantic-ai", "chat gpt", attributes);
    let told = run.sent(&span, contents);
    assert_eq!(told.input[0].words().as_deref(), Some("hi"));
    assert_eq!(told.output[0].words().as_deref(), Some("ho"));
    assert_eq!(span.output_preview.as_deref(), Some("ho"));
    let other = json!({"gen_ai.operation.name": "chat", "events": r#"[{"id":1}]"#});
    let (run, span) = one("calendar", "chat gpt", other);
    assert!(run.sent(&span, contents).output.is_empty());
}

#[test]
fn an_answer_may_lie_beside_a_message_without_parts() {
    let attributes = json!({
        "gen_ai.operation.name": "chat",
        "gen_ai.output.messages": r#"[{"role":"assistant","parts":[]}]"#,
        "gen_ai.completion.0.function_call.name": "f",
        "gen_ai.completion.0.function_call.arguments": r#"{"a":1}"#,
    });
    let (_, span) = one("litellm", "litellm_request", attributes);
    assert_eq!(span.output_preview.as_deref(), Some(r#"f({"a":1})"#));
}

#[test]
fn two_libraries_tell_of_one_call_of_a_tool() {
    let outer = || {
        sent(
            "openinference.instrumentation.autogen",
            "f",
            json!({"openinference.span.kind": "TOOL", "tool.name": "f"}),
        )
    };
    let inner = sent(
        "autogen-core",
        "execute_tool f",
        json!({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "f"}),
    );
    let counted = |run: &Run| run.spans.iter().filter(|span| span.is_counted()).count();
    assert_eq!(counted(&read(&[outer(), below(0, inner)])), 1);
    // A tool that calls itself is told twice by one library.
    assert_eq!(counted(&read(&[outer(), below(0, outer())])), 2);
}

#[test]
fn a_client_and_a_library_around_it_tell_of_one_call() {
    let root = || sent("hotel", "request", json!({}));
    let call = |scope, model: &str| {
        let attributes = json!({"gen_ai.operation.name": "chat", "gen_ai.request.model": model});
        below(0, sent(scope, "chat", attributes))
    };
    let counted = |spans: &[Sent]| {
        let run = read(spans);
        run.spans.iter().filter(|span| span.is_counted()).count() - 1
    };
    let (mine, theirs) = ("opentelemetry.x", "com.client");
    assert_eq!(counted(&[root(), call(mine, "m"), call(theirs, "m")]), 1);
    assert_eq!(counted(&[root(), call(mine, "m"), call(mine, "m")]), 2);
    assert_eq!(counted(&[root(), call(mine, "m"), call(theirs, "n")]), 2);
    // Which of two it belongs to is not known.
    let two = [root(), call(mine, "m"), call(mine, "m"), call(theirs, "m")];
    assert_eq!(counted(&two), 3);
}

#[test]
fn metadata_without_members_is_none_and_a_thread_is_a_session() {
    let (run, _) = one(
        "mlflow.tracing.provider",
        "Response",
        json!({"metadata": "{}"}),
    );
    let item = run.traces.values().next().unwrap();
    assert_eq!(item.metadata, None);
    let thread = json!({"metadata": r#"{"thread_id":"t1"}"#});
    let (run, _) = one("mlflow.tracing.provider", "LangGraph", thread);
    let item = run.traces.values().next().unwrap();
    assert_eq!(item.group_id.as_ref().map(|id| id.as_str()), Some("t1"));
}
