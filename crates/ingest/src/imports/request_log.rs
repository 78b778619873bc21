//! Logs of requests to a model's API, each with its response: Chat Completions and Responses.
//!
//! What people write themselves around their client has no trace and no span. Each line becomes a
//! trace of one span: what was asked and answered in it is told as [`crate::openai_api`] tells it of a
//! call that it saw; ids are made from the line. What that has no field for goes under `request_log`, as
//! it was.
//!
//! Two shapes are read: `{"request":{…},"response":{…}}`, with times, error and usage around it as they
//! come, and a response alone.

use crate::json::{Kind, Reader, Tape, Value, json_string};
use crate::openai_api::{self, Api};

use super::record::{Object, Refusal, id_of_content, nanos};

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

    fn api(&self) -> Api {
        let of_request = |key: &str| self.request.and_then(|request| request.get(key));
        let object = self.response.and_then(|response| response.get("object"));
        let is_response = object.is_some_and(|kind| kind.is_text("response"));
        match is_response || of_request("input").is_some() && of_request("messages").is_none() {
            true => Api::Responses,
            false => Api::ChatCompletions,
        }
    }

    fn span_data(&self) -> String {
        let request = self.sent();
        let mut tape = Tape::default();
        let is_read = Reader::new(request.as_bytes()).index(&mut tape).is_ok();
        debug_assert!(is_read, "it was put together of values");
        let answer = match self.response {
            Some(response) if response.is_object() => Ok(response),
            other => Err(other.map(Value::raw).filter(|text| *text != "null")),
        };
        let data = openai_api::span_data(self.api(), tape.root(&request), answer, None);
        let has_usage = answer.ok().and_then(|answer| answer.get("usage")).is_some();
        match self.root.get("usage").filter(|_| !has_usage) {
            // What an answer does not say of its tokens may stand around it.
            Some(usage) => {
                let inner = data.strip_suffix('}').unwrap_or(&data);
                format!("{inner},\"usage\":{}}}", usage.raw())
            }
            None => data,
        }
    }

    /// Returns the request as it went over the wire: its parameters may have been written down apart, as
    /// `kwargs`, and what the model was told as `prompt`.
    fn sent(&self) -> String {
        let Some(request) = self.request else {
            return "{}".to_owned();
        };
        let mut sent = Object::default();
        for (key, value) in request.members() {
            if key.is_text("prompt") && request.get("messages").is_none() {
                sent.raw("messages", value.raw());
            } else if !key.is_text("kwargs") {
                sent.raw(&key.text().unwrap_or_default(), value.raw());
            }
        }
        let kwargs = request.get("kwargs").into_iter().flat_map(Value::members);
        for (key, value) in kwargs {
            let key = key.text().unwrap_or_default();
            if request.get(&key).is_none() {
                sent.raw(&key, value.raw());
            }
        }
        let sent = sent.finish();
        sent.map_or_else(|| "{}".to_owned(), |json| json.as_str().to_owned())
    }

    /// Returns the error as the SDK would write it.
    fn error(&self) -> Option<String> {
        let told = openai_api::of_error(self.error?, 200);
        let mut out = Object::default();
        out.raw("message", &json_string(&told.failure.message));
        out.raw("data", &format!("{{\"error\":{}}}", told.data?));
        Some(out.finish()?.as_str().to_owned())
    }

    /// Returns what has no other place.
    fn rest(&self, is_response: bool) -> Option<String> {
        if is_response {
            return None;
        }
        let mut rest = Object::default();
        for (key, value) in self.root.members() {
            let is_read = AROUND.iter().any(|known| key.is_text(known));
            if !is_read && value.kind() != Kind::Null {
                rest.raw(&key.text().unwrap_or_default(), value.raw());
            }
        }
        Some(rest.finish()?.as_str().to_owned())
    }
}

fn time(nanos: Option<u64>) -> String {
    let Some(nanos) = nanos else {
        return "null".to_owned();
    };
    let time = model::Time::from_micros((nanos / 1_000) as i64);
    json_string(&time.to_string())
}
