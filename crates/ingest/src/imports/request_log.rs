//! Logs of requests to a model's API, each with its response: Chat Completions and Responses.
//!
//! What people write themselves around their client has no trace and no span. Each line becomes a
//! trace of one span, in the form in which the Agents SDK tells of such a call with its content; ids
//! are made from the line. What the form has no field for goes under `request_log`, as it was.
//!
//! Two shapes are read: `{"request":{…},"response":{…}}`, with times, error and usage around it as they
//! come, and a response alone.

use crate::json::{Kind, Tape, Value, json_string};

use super::record::{Object, Refusal, id_of_content, nanos};

/// Keys of a request that have a place of their own.
const REQUEST: [&str; 8] = [
    "model",
    "messages",
    "input",
    "instructions",
    "tools",
    "kwargs",
    "stream",
    "prompt",
];

/// Keys around the pair that have a place of their own.
const AROUND: [&str; 4] = ["request", "response", "error", "usage"];

/// Names for the beginning and the end.
const STARTS: [&str; 6] = [
    "timestamp_start",
    "started_at",
    "start_time",
    "timestamp",
    "created_at",
    "time",
];
const ENDS: [&str; 5] = [
    "timestamp_end",
    "ended_at",
    "end_time",
    "completed_at",
    "finished_at",
];

/// Returns the items of the Agents SDK that tell what one line of a log tells.
pub(super) fn read(line: &[u8]) -> Result<String, Refusal> {
    let mut tape = Tape::default();
    items(super::root(line, &mut tape)?)
}

fn items(root: Value<'_, '_>) -> Result<String, Refusal> {
    let is_response = root.get("request").is_none();
    let request = root.get("request").filter(|request| request.is_object());
    let response = match is_response {
        true => Some(root),
        false => root.get("response"),
    };
    // A log of HTTP has the answer under `body`.
    let response = response.map(|response| response.get("body").unwrap_or(response));
    let error = root.get("error").or_else(|| response?.get("error"));
    let call = Call {
        root,
        request,
        response,
        error,
    };
    let trace_id = format!("trace_{}", id_of_content(&[root.raw()]));
    let span_id = format!("span_{}", &id_of_content(&[root.raw(), "span"])[..24]);

    let mut trace = Object::default();
    trace.raw("object", "\"trace\"");
    trace.raw("id", &json_string(&trace_id));
    trace.raw("workflow_name", "\"request log\"");
    let mut span = Object::default();
    span.raw("object", "\"trace.span\"");
    span.raw("id", &json_string(&span_id));
    span.raw("trace_id", &json_string(&trace_id));
    span.raw("parent_id", "null");
    let [start, end] = call.times()?;
    span.raw("started_at", &time(start));
    span.raw("ended_at", &time(end.or(start)));
    let data = call.span_data();
    span.raw("span_data", &data);
    if let Some(error) = call.error() {
        span.raw("error", &error);
    }
    if let Some(rest) = call.rest(is_response) {
        span.raw("request_log", &rest);
    }
    let text = |object: Object| {
        object
            .finish()
            .map_or_else(String::new, |json| json.as_str().to_owned())
    };
    Ok(format!("{{\"data\":[{},{}]}}", text(trace), text(span)))
}

struct Call<'b, 't> {
    root: Value<'b, 't>,
    request: Option<Value<'b, 't>>,
    response: Option<Value<'b, 't>>,
    error: Option<Value<'b, 't>>,
}

impl Call<'_, '_> {
    /// Returns when it began and ended; a length fills in for the one that is not told.
    fn times(&self) -> Result<[Option<u64>; 2], Refusal> {
        let around = |keys: &[&'static str]| {
            let told = keys
                .iter()
                .find_map(|key| Some((*key, self.root.get(key)?)));
            told.map_or(Ok(None), |(key, value)| nanos(key, Some(value)))
        };
        let start = match around(&STARTS)? {
            Some(start) => Some(start),
            // A response says in which second it was made.
            None => {
                let made = ["created", "created_at"]
                    .iter()
                    .find_map(|key| self.response?.get(key));
                nanos("created", made)?
            }
        };
        let millis = ["latency_ms", "duration_ms"]
            .iter()
            .find_map(|key| self.root.get(key));
        let millis = millis.and_then(|millis| millis.raw().parse::<f64>().ok());
        let length = millis
            .filter(|ms| ms.is_finite() && *ms >= 0.0)
            .map(|ms| (ms * 1e6) as u64);
        let end = around(&ENDS)?.or_else(|| start?.checked_add(length?));
        Ok([start, end])
    }

    fn span_data(&self) -> String {
        let mut data = Object::default();
        let of_request = |key: &str| self.request.and_then(|request| request.get(key));
        let of_response = |key: &str| self.response.and_then(|response| response.get(key));
        let is_responses = of_response("object").is_some_and(|kind| kind.is_text("response"))
            || of_request("input").is_some() && of_request("messages").is_none();
        if is_responses {
            data.raw("type", "\"response\"");
            data.value("response_id", of_response("id"));
            data.value(
                "model",
                of_response("model").or_else(|| of_request("model")),
            );
            data.value("input", of_request("input"));
            data.value("response", self.response);
            data.value(
                "usage",
                of_response("usage").or_else(|| self.root.get("usage")),
            );
        } else {
            data.raw("type", "\"generation\"");
            let input = of_request("messages").or_else(|| of_request("prompt"));
            data.value("input", input);
            let choices = of_response("choices").into_iter().flat_map(Value::elements);
            let said = choices
                .filter_map(|choice| choice.get("message"))
                .map(Value::raw);
            let said: Vec<&str> = said.collect();
            if !said.is_empty() {
                data.raw("output", &format!("[{}]", said.join(",")));
            }
            data.value(
                "model",
                of_response("model").or_else(|| of_request("model")),
            );
            data.value(
                "usage",
                of_response("usage").or_else(|| self.root.get("usage")),
            );
        }
        if let Some(config) = self.config() {
            data.raw("model_config", &config);
        }
        data.finish()
            .map_or_else(String::new, |json| json.as_str().to_owned())
    }

    /// Returns what else was asked for: temperature, tools and the like.
    fn config(&self) -> Option<String> {
        let mut config = Object::default();
        let request = self.request?;
        let is_named = |key: &Value<'_, '_>| REQUEST.iter().any(|known| key.is_text(known));
        let rest = request.members().filter(|(key, _)| !is_named(key));
        let kwargs = request.get("kwargs").into_iter().flat_map(Value::members);
        for (key, value) in rest.chain(kwargs) {
            config.raw(&key.text().unwrap_or_default(), value.raw());
        }
        for key in ["tools", "instructions", "stream"] {
            config.value(key, request.get(key));
        }
        Some(config.finish()?.as_str().to_owned())
    }

    /// Returns the error as the SDK would write it.
    fn error(&self) -> Option<String> {
        let error = self.error?;
        let message = match error.kind() {
            Kind::String => Some(error),
            _ => error.get("message"),
        };
        let mut out = Object::default();
        out.raw(
            "message",
            message.map_or("\"Error getting response\"", Value::raw),
        );
        out.raw("data", &format!("{{\"error\":{}}}", error.raw()));
        Some(out.finish()?.as_str().to_owned())
    }

    /// Returns what has no other place.
    fn rest(&self, is_response: bool) -> Option<String> {
        let mut rest = Object::default();
        if !is_response {
            for (key, value) in self.root.members() {
                let is_read = AROUND.iter().any(|known| key.is_text(known));
                if !is_read && value.kind() != Kind::Null {
                    rest.raw(&key.text().unwrap_or_default(), value.raw());
                }
            }
        }
        let is_whole = self
            .response?
            .get("object")
            .is_some_and(|kind| kind.is_text("response"));
        let mut response = Object::default();
        for (key, value) in self.response.into_iter().flat_map(Value::members) {
            let has_place = key.is_text("usage") || key.is_text("error");
            if is_whole || has_place || value.kind() == Kind::Null {
                continue;
            }
            if key.is_text("choices") {
                response.raw("choices", &without_messages(value));
            } else {
                response.raw(&key.text().unwrap_or_default(), value.raw());
            }
        }
        if let Some(response) = response.finish() {
            rest.raw("response", response.as_str());
        }
        Some(rest.finish()?.as_str().to_owned())
    }
}

/// Returns choices without what was said, which has its place.
fn without_messages(choices: Value<'_, '_>) -> String {
    let choice = |choice: Value<'_, '_>| {
        let mut out = Object::default();
        for (key, value) in choice.members().filter(|(key, _)| !key.is_text("message")) {
            out.raw(&key.text().unwrap_or_default(), value.raw());
        }
        out.finish()
            .map_or_else(|| "{}".to_owned(), |json| json.as_str().to_owned())
    };
    let all: Vec<String> = choices.elements().map(choice).collect();
    format!("[{}]", all.join(","))
}

fn time(nanos: Option<u64>) -> String {
    let Some(nanos) = nanos else {
        return "null".to_owned();
    };
    let time = model::Time::from_micros((nanos / 1_000) as i64);
    json_string(&time.to_string())
}
