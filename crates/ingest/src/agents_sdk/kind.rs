//! What a span is, and the columns that its type fills.

use std::borrow::Cow;

use model::{PREVIEW_CHARS_MAX, Span, SpanType, Time};

use crate::json::Value;

use super::{conversation, provider, usage};

/// A span as its sender describes it.
#[derive(Debug)]
pub(super) struct Told<'b, 't> {
    /// The normalised type.
    pub(super) span_type: SpanType,
    /// The type as the sender called it, disguise taken off.
    pub(super) source_type: Cow<'b, str>,
    /// `span_data`, where it was sent.
    data: Option<Value<'b, 't>>,
    /// The span's own metadata.
    metadata: Option<Value<'b, 't>>,
}

impl<'b, 't> Told<'b, 't> {
    /// Finds out what a span is. The SDK sends tasks and turns as `custom` and gives them away in
    /// `data.sdk_span_type`; our processor says `span_type` beside `span_data`.
    pub(super) fn new(
        data: Option<Value<'b, 't>>,
        told_type: Option<Value<'b, 't>>,
        metadata: Option<Value<'b, 't>>,
    ) -> Self {
        let wire_type = data
            .and_then(|data| data.get("type"))
            .and_then(Value::words);
        let disguised = || data?.get("data")?.get("sdk_span_type")?.words();
        let source_type = match wire_type {
            Some(word) if word != "custom" => word,
            _ => disguised()
                .or_else(|| told_type?.words())
                .unwrap_or(Cow::Borrowed("custom")),
        };
        Self {
            span_type: normalised(&source_type),
            source_type,
            data,
            metadata,
        }
    }

    /// Returns a field of `span_data`.
    pub(super) fn get(&self, key: &str) -> Option<Value<'b, 't>> {
        self.data?.get(key)
    }

    fn text(&self, key: &str) -> Option<String> {
        self.get(key).and_then(Value::words).map(Into::into)
    }

    /// Returns a field of a task or turn, which lies under `data` where the span is disguised.
    fn inner(&self, key: &str) -> Option<Value<'b, 't>> {
        self.get("data")
            .and_then(|data| data.get(key))
            .or_else(|| self.get(key))
    }
}

fn normalised(source_type: &str) -> SpanType {
    match source_type {
        "response" | "chat_completion" => SpanType::Generation,
        word => SpanType::ALL
            .iter()
            .copied()
            .find(|known| known.as_str() == word)
            .unwrap_or(SpanType::Custom),
    }
}

/// Fills in type, name and the columns of that type.
pub(super) fn fill(span: &mut Span, told: &Told<'_, '_>) {
    span.source_type = told.source_type.clone().into_owned();
    let name = match told.span_type {
        SpanType::Generation => generation(span, told),
        SpanType::Function => function(span, told),
        SpanType::Handoff => handoff(span, told),
        SpanType::Task => {
            span.usage = told.inner("usage").map(usage::read).unwrap_or_default();
            told.inner("name").and_then(Value::words).map(Into::into)
        }
        SpanType::Turn => turn(span, told),
        SpanType::Agent => {
            let told_usage = told.metadata.and_then(|metadata| metadata.get("usage"));
            span.usage = told_usage.map(usage::read).unwrap_or_default();
            told.text("name")
        }
        SpanType::Guardrail => {
            span.triggered = told.get("triggered").and_then(Value::bool);
            told.text("name")
        }
        SpanType::McpTools => told.text("name").or_else(|| told.text("server")),
        SpanType::Transcription | SpanType::Speech | SpanType::SpeechGroup => voice(span, told),
        _ => told.text("name"),
    };
    span.name = name.unwrap_or_else(|| span.source_type.clone());
}

fn generation(span: &mut Span, told: &Told<'_, '_>) -> Option<String> {
    let (input, output) = (told.get("input"), told.get("output"));
    let response = told.get("response");
    let answer = response.or_else(|| output.and_then(conversation::wrapper));
    let of_answer = |key: &str| answer.and_then(|answer| answer.get(key));

    span.model = told
        .text("model")
        .or_else(|| of_answer("model").and_then(Value::words).map(Into::into));
    span.provider = provider_of(span, told);
    span.usage = told
        .get("usage")
        .or_else(|| of_answer("usage"))
        .map(usage::read)
        .unwrap_or_default();
    let message = || output?.elements().next()?.get("finish_reason");
    let stopped_by = answer
        .and_then(stopped_by)
        .or_else(message)
        .and_then(Value::words);
    span.finish_reason = stopped_by.map(Into::into);
    span.input_preview = input.and_then(|input| conversation::asked(input, PREVIEW_CHARS_MAX));
    let answered = response
        .and_then(|response| response.get("output"))
        .or(output);
    span.output_preview =
        answered.and_then(|answer| conversation::answered(answer, PREVIEW_CHARS_MAX));
    span.ttft_ms = told
        .metadata
        .and_then(|metadata| metadata.get("ttft_ms"))
        .and_then(Value::scalar)
        .and_then(|told| told.parse::<f64>().ok())
        .filter(|ms| ms.is_finite() && *ms >= 0.0);
    told.text("name").or_else(|| span.model.clone())
}

fn provider_of(span: &Span, told: &Told<'_, '_>) -> Option<String> {
    let base_url = told
        .get("model_config")
        .and_then(|config| config.get("base_url"))
        .and_then(Value::words);
    provider::read(span.model.as_deref(), base_url.as_deref())
}

/// Returns why the model stopped: of a chat completion its word, of a response what it was cut by,
/// else its status.
fn stopped_by<'b, 't>(answer: Value<'b, 't>) -> Option<Value<'b, 't>> {
    let choice = answer
        .get("choices")
        .and_then(|choices| choices.elements().next());
    let cut_by = || answer.get("incomplete_details")?.get("reason");
    match choice {
        Some(choice) => choice.get("finish_reason"),
        None => cut_by().or_else(|| answer.get("status")),
    }
}

fn function(span: &mut Span, told: &Told<'_, '_>) -> Option<String> {
    span.tool_call_id = told.text("tool_call_id").or_else(|| told.text("call_id"));
    span.input_preview = told.get("input").and_then(conversation::preview);
    span.output_preview = told.get("output").and_then(conversation::preview);
    told.text("name")
}

fn handoff(span: &mut Span, told: &Told<'_, '_>) -> Option<String> {
    span.handoff_from = told.text("from_agent");
    span.handoff_to = told.text("to_agent");
    span.agent.clone_from(&span.handoff_from);
    let [from, to] =
        [&span.handoff_from, &span.handoff_to].map(|agent| agent.as_deref().unwrap_or("?"));
    Some(format!("{from} → {to}"))
}

fn turn(span: &mut Span, told: &Told<'_, '_>) -> Option<String> {
    span.agent = told
        .inner("agent_name")
        .and_then(Value::words)
        .map(Into::into);
    span.usage = told.inner("usage").map(usage::read).unwrap_or_default();
    let number = told.inner("turn").and_then(Value::count);
    number.map(|number| format!("turn {number}"))
}

fn voice(span: &mut Span, told: &Told<'_, '_>) -> Option<String> {
    span.model = told.text("model");
    span.provider = provider_of(span, told);
    span.usage = told.get("usage").map(usage::read).unwrap_or_default();
    // Audio is an object of base64, which is nothing to look at.
    let text = |key: &str| {
        told.get(key)
            .filter(|value| !value.is_object())
            .and_then(conversation::preview)
    };
    span.input_preview = text("input");
    span.output_preview = text("output");
    let first = told.get("first_content_at").and_then(Value::text);
    let first = first.and_then(|text| Time::parse_rfc3339(&text).ok());
    span.ttft_ms = first
        .zip(span.started_at)
        .map(|(first, start)| first.millis_since(start));
    told.text("name").or_else(|| span.model.clone())
}
