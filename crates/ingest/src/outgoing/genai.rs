//! Spans of the Agents SDK in the words of OpenTelemetry's GenAI conventions.

use model::{JsonText, Span, SpanType};

use crate::dialects::Contents;
use crate::otlp::{Any, Sent};

use super::marks::{Member, text};
use super::openinference::plain;

/// Returns the name that the conventions give a span: what is done, and by whom or with what.
pub(super) fn name(span: &Span) -> String {
    let operation = operation(span.span_type);
    match (span.span_type, operation) {
        (SpanType::Generation | SpanType::Embedding, Some(operation)) => match &span.model {
            Some(model) => format!("{operation} {model}"),
            None => operation.to_owned(),
        },
        (_, Some(operation)) => format!("{operation} {}", span.name),
        (_, None) => span.name.clone(),
    }
}

/// Returns the kind of the span: a model is called at another place.
pub(super) fn kind(span: &Span) -> i32 {
    const INTERNAL: i32 = 1;
    const CLIENT: i32 = 3;
    match span.span_type {
        SpanType::Generation | SpanType::Embedding => CLIENT,
        _ => INTERNAL,
    }
}

fn operation(span_type: SpanType) -> Option<&'static str> {
    match span_type {
        SpanType::Generation => Some("chat"),
        SpanType::Embedding => Some("embeddings"),
        SpanType::Agent => Some("invoke_agent"),
        SpanType::Function => Some("execute_tool"),
        SpanType::Retrieval => Some("retrieval"),
        // The conventions have no words for these two; others write these.
        SpanType::Handoff => Some("handoff"),
        SpanType::Guardrail => Some("guardrail"),
        _ => None,
    }
}

/// Returns the attributes of a span in which `contents` went in and came out.
pub(super) fn attributes(sent: Sent<'_>, contents: &Contents) -> Vec<Member> {
    let span = sent.span;
    let mut out = Vec::new();
    out.extend(operation(span.span_type).map(|word| text("gen_ai.operation.name", word)));
    if let Some(agent) = &span.agent {
        out.push(text("gen_ai.agent.name", agent));
    }
    match span.span_type {
        SpanType::Generation | SpanType::Embedding => model_call(&mut out, span, contents),
        SpanType::Function => tool(&mut out, span, contents),
        SpanType::Agent if span.agent.is_none() => {
            out.push(text("gen_ai.agent.name", &span.name));
        }
        SpanType::Handoff => {
            let ends = [
                ("gen_ai.handoff.from_agent", &span.handoff_from),
                ("gen_ai.handoff.to_agent", &span.handoff_to),
            ];
            for (key, agent) in ends {
                out.extend(agent.as_ref().map(|agent| text(key, agent)));
            }
        }
        SpanType::Guardrail => {
            out.push(text("gen_ai.guardrail.name", &span.name));
            let kind = span.guardrail_type.as_ref();
            out.extend(kind.map(|kind| text("gen_ai.guardrail.type", kind)));
            let triggered = span.triggered.map(Any::Bool);
            out.extend(triggered.map(|value| ("gen_ai.guardrail.triggered".into(), value)));
        }
        _ => {}
    }
    if let Some(error) = &span.error {
        out.push(text("error.type", &error.kind));
    }
    out
}

fn model_call(out: &mut Vec<Member>, span: &Span, contents: &Contents) {
    out.extend(
        span.provider
            .as_ref()
            .map(|word| text("gen_ai.provider.name", word)),
    );
    if let Some(model) = &span.model {
        out.push(text("gen_ai.request.model", model));
        out.push(text("gen_ai.response.model", model));
    }
    let counts = [
        ("gen_ai.usage.input_tokens", span.usage.input_tokens),
        (
            "gen_ai.usage.cache_read.input_tokens",
            span.usage.cached_tokens,
        ),
        ("gen_ai.usage.output_tokens", span.usage.output_tokens),
        (
            "gen_ai.usage.reasoning.output_tokens",
            span.usage.reasoning_tokens,
        ),
    ];
    for (key, count) in counts {
        out.extend(count.map(|count| (key.into(), Any::Int(count))));
    }
    if let Some(cost) = span.cost {
        out.push(("gen_ai.usage.cost".into(), Any::Double(cost.to_usd())));
    }
    if let Some(reason) = &span.finish_reason {
        let reasons = Any::List(vec![Any::Text(reason.clone().into())]);
        out.push(("gen_ai.response.finish_reasons".into(), reasons));
    }
    if let Some(millis) = span.ttft_ms {
        let seconds = Any::Double(millis / 1e3);
        out.push(("gen_ai.response.time_to_first_chunk".into(), seconds));
    }
    let sides = [
        ("gen_ai.input.messages", &contents.input),
        ("gen_ai.output.messages", &contents.output),
    ];
    for (key, messages) in sides.into_iter().filter(|(_, said)| !said.is_empty()) {
        out.extend(
            serde_json::to_string(messages)
                .ok()
                .map(|json| text(key, json)),
        );
    }
}

fn tool(out: &mut Vec<Member>, span: &Span, contents: &Contents) {
    out.push(text("gen_ai.tool.name", &span.name));
    out.push(text("gen_ai.tool.type", "function"));
    out.extend(
        span.tool_call_id
            .as_ref()
            .map(|id| text("gen_ai.tool.call.id", id)),
    );
    let sides: [(&str, &Option<JsonText>); 2] = [
        ("gen_ai.tool.call.arguments", &contents.arguments),
        ("gen_ai.tool.call.result", &contents.result),
    ];
    for (key, json) in sides {
        out.extend(json.as_ref().map(|json| text(key, plain(json))));
    }
}
