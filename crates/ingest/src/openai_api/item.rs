//! A call in the Agents SDK's words: a trace item and a span item.
//!
//! Everything of the request and of the answer is in `span_data`, as it was written on the wire: what
//! the model was told under `input`, `instructions` and `tools`, what it answered under `output` (a
//! whole `chat.completion`) or `response`, and the other parameters of the request under
//! `model_config`.

use crate::json::{Reader, Tape, Value, json_string, push_json_string};

use super::{Api, Call, Seen};

/// An object that is being written.
struct Object(String);

impl Object {
    fn new() -> Self {
        Self::with_room(256)
    }

    fn with_room(bytes: usize) -> Self {
        let mut text = String::with_capacity(bytes);
        text.push('{');
        Self(text)
    }

    /// Adds a member whose value is JSON text.
    fn raw(&mut self, key: &str, value: &str) -> &mut Self {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        push_json_string(&mut self.0, key);
        self.0.push(':');
        self.0.push_str(value);
        self
    }

    fn text(&mut self, key: &str, value: &str) -> &mut Self {
        self.raw(key, &json_string(value))
    }

    fn text_if(&mut self, key: &str, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.text(key, value),
            None => self,
        }
    }

    fn value_if(&mut self, key: &str, value: Option<Value<'_, '_>>) -> &mut Self {
        match value {
            Some(value) => self.raw(key, value.raw()),
            None => self,
        }
    }

    fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// Returns a call as a body that the Agents SDK might have sent.
pub(super) fn write(call: &Call<'_>, request: Value<'_, '_>, seen: &Seen<'_>) -> String {
    let mut trace = Object::new();
    trace
        .text("object", "trace")
        .text("id", call.trace_id)
        .text_if("workflow_name", call.workflow_name)
        .text_if("group_id", call.group_id)
        .raw("ended", "true");

    let mut span = Object::new();
    span.text("object", "trace.span")
        .text("id", call.span_id)
        .text("trace_id", call.trace_id)
        .text_if("parent_id", call.parent_id)
        .text("started_at", &call.started_at.to_string())
        .text("ended_at", &call.ended_at.to_string())
        .raw("span_data", &of_call(call, request, seen))
        .raw("metadata", &metadata(call, seen));
    if let Some(told) = &seen.failure {
        let mut error = Object::new();
        error.text("message", &told.failure.message);
        if let Some(data) = &told.data {
            error.raw("data", data);
        }
        span.raw("error", &error.finish());
    }
    format!("{{\"data\":[{},{}]}}", trace.finish(), span.finish())
}

fn of_call(call: &Call<'_>, request: Value<'_, '_>, seen: &Seen<'_>) -> String {
    let mut tape = Tape::default();
    let answer = seen.answer.as_deref();
    let is_whole =
        |text: &&str| seen.is_object && Reader::new(text.as_bytes()).index(&mut tape).is_ok();
    match answer.filter(is_whole) {
        Some(text) => span_data(call.api, request, Ok(tape.root(text)), call.base_url),
        None => span_data(call.api, request, Err(answer), call.base_url),
    }
}

/// Returns what was asked and what was answered as the data of a span. An answer is a completion or
/// response, or a part of one; else whatever came, as JSON text.
pub(crate) fn span_data(
    api: Api,
    request: Value<'_, '_>,
    answer: Result<Value<'_, '_>, Option<&str>>,
    base_url: Option<&str>,
) -> String {
    let answer_text = answer.map_or_else(|other| other, |whole| Some(whole.raw()));
    let bytes = request.raw().len() + answer_text.map_or(0, str::len);
    let mut data = Object::with_room(bytes + 512);
    let of_answer = |key: &str| answer.ok().and_then(|answer| answer.get(key));

    data.text("type", api.source_type());
    if api == Api::Responses {
        data.value_if("response_id", of_answer("id"));
    }
    data.value_if("input", request.get(api.messages_key()))
        .value_if("instructions", request.get("instructions"))
        .value_if("tools", request.get("tools"));
    if of_answer("model").and_then(Value::words).is_none() {
        data.value_if("model", request.get("model"));
    }
    data.raw("model_config", &model_config(api, request, base_url));
    match (answer, api) {
        (Ok(whole), Api::Responses) => {
            data.raw("response", whole.raw());
        }
        (Ok(whole), Api::ChatCompletions) => {
            data.raw("output", &format!("[{}]", whole.raw()));
        }
        (Err(Some(other)), _) => {
            data.raw("output", other);
        }
        (Err(None), _) => {}
    }
    data.finish()
}

/// Returns the parameters of a request that have no place of their own, and where it went.
fn model_config(api: Api, request: Value<'_, '_>, base_url: Option<&str>) -> String {
    let mut config = Object::new();
    for (key, value) in request.members() {
        let has_place = [api.messages_key(), "instructions", "tools"]
            .iter()
            .any(|known| key.is_text(known));
        if !has_place && let Some(key) = key.text() {
            config.raw(&key, value.raw());
        }
    }
    config.text_if("base_url", base_url);
    config.finish()
}

fn metadata(call: &Call<'_>, seen: &Seen<'_>) -> String {
    let mut metadata = Object::new();
    metadata.raw("retry", &call.retry.to_string());
    if let Some(ms) = seen.ttft_ms {
        metadata.raw("ttft_ms", &format!("{ms:.3}"));
    }
    for (name, fact) in call.notes {
        metadata.text(name, fact);
    }
    metadata.finish()
}
