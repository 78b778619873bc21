//! One call of OpenAI's API, as it goes over the wire: a request and its answer.
//!
//! Whoever stands between an app and its model, or has kept a log of both, has what no tracing SDK
//! sends: the bytes. A call becomes a trace item and one generation span in the form in which our
//! Agents SDK processor tells a call with its content, and that is decoded by [`crate::agents_sdk`]:
//! usage, previews, hosted tool calls and the split into messages are decided there, once. A stream of
//! events is put together first, so that an answer is kept in the same form whether it was streamed
//! or not.
//!
//! Tools that the app runs itself are not seen here: only that the model asked for them, and what the
//! next request says of their results. No span is made up for them.

mod chat;
mod failure;
mod item;
mod links;
mod responses;
mod sse;

use std::borrow::Cow;

use bytes::Bytes;
use memchr::memmem;
use model::{Batch, SpanStatus, Time};

use crate::agents_sdk::{self, Context};
use crate::json::{Fault, Reader, Tape};
pub use failure::Failure;
pub(crate) use failure::of_error;
pub(crate) use item::span_data;
pub use links::{Links, links, response_id};

/// Texts shorter than this are no secrets: taking them out would make holes in everything.
const SECRET_BYTES_MIN: usize = 8;

/// What stands in the place of a secret.
const REDACTED: &str = "[redacted]";

/// Which of OpenAI's two ways to call a model it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// `POST …/chat/completions`.
    ChatCompletions,
    /// `POST …/responses`.
    Responses,
}

impl Api {
    /// Returns the API that a request's path is of, whatever stands in front.
    pub fn of_path(path: &str) -> Option<Self> {
        let path = path.trim_end_matches('/');
        let ends_with = |end: &str| {
            let before = path.strip_suffix(end);
            before.is_some_and(|before| before.is_empty() || before.ends_with('/'))
        };
        match () {
            () if ends_with("chat/completions") => Some(Self::ChatCompletions),
            () if ends_with("responses") => Some(Self::Responses),
            () => None,
        }
    }

    /// Returns the `source_type` of its spans.
    pub const fn source_type(self) -> &'static str {
        match self {
            Self::ChatCompletions => "chat_completion",
            Self::Responses => "response",
        }
    }

    /// Returns the key of a request that has what the model is told.
    const fn messages_key(self) -> &'static str {
        match self {
            Self::ChatCompletions => "messages",
            Self::Responses => "input",
        }
    }
}

/// One call: what was asked, what was answered, and what is known besides.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The API that was called.
    pub api: Api,
    /// The trace that it belongs to.
    pub trace_id: &'a str,
    /// Its own id.
    pub span_id: &'a str,
    /// The span that made it, in whatever system that is kept.
    pub parent_id: Option<&'a str>,
    /// The workflow of the trace.
    pub workflow_name: Option<&'a str>,
    /// The conversation of the trace.
    pub group_id: Option<&'a str>,
    /// Where the API is; the provider is read from it.
    pub base_url: Option<&'a str>,
    /// When it was made.
    pub started_at: Time,
    /// When its answer ended.
    pub ended_at: Time,
    /// Which attempt it is: 0 is the first.
    pub retry: u32,
    /// Further facts for the span's `attributes`, by name.
    pub notes: &'a [(&'a str, &'a str)],
    /// The body of the request, not compressed.
    pub request: &'a [u8],
    /// What came of it.
    pub outcome: Outcome<'a>,
    /// Texts that are not kept, wherever they occur, such as the key that the call was made with.
    pub secrets: &'a [&'a str],
}

/// What came of a call.
#[derive(Debug, Clone, Copy)]
pub enum Outcome<'a> {
    /// There was an answer, or the beginning of one.
    Answered(Answer<'a>),
    /// There was none.
    Failed(&'a Failure),
}

/// An answer as it came.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The body, not compressed: JSON or a stream of events, which the body itself tells.
    pub body: &'a [u8],
    /// Why there is no more of the body, where it may not be whole. It counts only if the body
    /// is not: a client may hang up after the last event.
    pub cut: Option<&'a Failure>,
    /// When the body came, in order; empty if nobody looked. Tells the time to the first token.
    pub arrivals: &'a [Arrival],
}

/// A moment in the life of an answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arrival {
    /// So many bytes of the body had come.
    pub bytes: usize,
    /// Milliseconds since the call was made.
    pub after_ms: f64,
}

/// Why nothing of a call can be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The request is not text.
    #[error("the request is not UTF-8 at byte {at}")]
    NotUtf8 {
        /// The first bad byte.
        at: usize,
    },
    /// The request is not a JSON object.
    #[error("the request is not a JSON object: {reason}")]
    NotAnObject {
        /// What was expected, and where.
        reason: String,
    },
}

impl From<Fault> for CallError {
    fn from(fault: Fault) -> Self {
        let reason = fault.to_string();
        Self::NotAnObject { reason }
    }
}

/// What a stream of events told.
#[derive(Debug, Default, PartialEq, Eq)]
struct Assembled {
    /// The completion or response, as JSON text.
    text: Option<String>,
    /// Where the event with the first token ends.
    first_token_at: Option<usize>,
    /// Whether the stream came to its own end.
    is_complete: bool,
    /// An error that the stream told, as JSON text.
    error: Option<String>,
}

/// Returns a call as a trace item, a generation span, the spans of hosted tool calls, and messages.
///
/// A call that failed is a span with an error; whatever was seen of the answer is kept with it. The
/// same id makes the same span: a log that is read twice is kept once.
pub fn call(call: &Call<'_>, context: &Context<'_>) -> Result<Batch, CallError> {
    let request = without_secrets(call.request, call.secrets);
    let request = std::str::from_utf8(&request).map_err(|error| CallError::NotUtf8 {
        at: error.valid_up_to(),
    })?;
    let request = request.trim_ascii();
    let mut tape = Tape::with_room(request.len());
    let mut reader = Reader::new(request.as_bytes());
    reader.index(&mut tape)?;
    if reader.position() != request.len() {
        return Err(reader.expected("the end").into());
    }
    let asked = tape.root(request);
    if !asked.is_object() {
        return Err(Reader::new(request.as_bytes()).expected("'{'").into());
    }
    let seen = Seen::of(call);
    let body = Bytes::from(item::write(call, asked, &seen));
    let mut batch = agents_sdk::decode(body, context).map_err(|error| CallError::NotAnObject {
        reason: error.to_string(),
    })?;
    if batch.spans.is_empty() {
        // A trace without its only span would wait for it for ever.
        batch.traces.clear();
        batch.messages.clear();
        batch.accepted = 0;
    }
    for span in batch.spans.iter_mut().filter(|span| !span.derived) {
        if let (Some(error), Some(told)) = (&mut span.error, &seen.failure) {
            told.failure.kind.clone_into(&mut error.kind);
            debug_assert_eq!(span.status, SpanStatus::Error);
        }
    }
    Ok(batch)
}

/// What was seen of an answer.
#[derive(Debug, Default)]
struct Seen<'a> {
    /// The completion or response, or whatever else came: JSON text.
    answer: Option<Cow<'a, str>>,
    /// Whether `answer` is a completion or response, or a part of one.
    is_object: bool,
    failure: Option<failure::Told>,
    ttft_ms: Option<f64>,
}

impl<'a> Seen<'a> {
    fn of(call: &Call<'a>) -> Self {
        let answer = match call.outcome {
            Outcome::Answered(answer) => answer,
            Outcome::Failed(failure) => {
                return Self {
                    failure: Some(failure::Told {
                        failure: failure.clone(),
                        data: None,
                    }),
                    ..Self::default()
                };
            }
        };
        let body = without_secrets(answer.body, call.secrets);
        let body = text(body);
        if !(200..300).contains(&answer.status) {
            return Self {
                failure: Some(failure::of_answer(&body, answer.status)),
                ..Self::default()
            };
        }
        match sse::is_stream(&body) {
            true => Self::of_stream(call.api, &body, &answer),
            false => Self::of_json(body, &answer),
        }
    }

    fn of_stream(api: Api, body: &str, answer: &Answer<'_>) -> Self {
        let assembled = match api {
            Api::ChatCompletions => chat::assemble(body),
            Api::Responses => responses::assemble(body),
        };
        let first_token = assembled.first_token_at.and_then(|at| {
            let arrived = |arrival: &&Arrival| arrival.bytes >= at;
            answer.arrivals.iter().find(arrived)
        });
        let told = assembled
            .error
            .as_deref()
            .and_then(|error| error_in(error, None));
        let of_answer = assembled
            .text
            .as_deref()
            .and_then(|text| error_in(text, Some("error")));
        let cut = || (!assembled.is_complete).then(|| cut_off(answer));
        Self {
            failure: told.or(of_answer).or_else(cut),
            is_object: assembled.text.is_some(),
            answer: assembled.text.map(Cow::Owned),
            ttft_ms: first_token.map(|arrival| arrival.after_ms),
        }
    }

    fn of_json(body: Cow<'a, str>, answer: &Answer<'_>) -> Self {
        let body = match body {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim_ascii()),
            Cow::Owned(text) => Cow::Owned(text.trim_ascii().to_owned()),
        };
        let mut tape = Tape::with_room(body.len());
        let mut reader = Reader::new(body.as_bytes());
        let is_json = reader.index(&mut tape).is_ok() && reader.position() == body.len();
        if is_json && tape.root(&body).is_object() {
            return Self {
                failure: error_in(&body, Some("error")),
                is_object: true,
                answer: Some(body),
                ttft_ms: None,
            };
        }
        let failure = match answer.cut {
            Some(_) => cut_off(answer),
            None => failure::Told {
                failure: Failure {
                    kind: "invalid_answer",
                    message: "the answer is neither a JSON object nor a stream of events"
                        .to_owned(),
                },
                data: None,
            },
        };
        let kept = match (is_json, body.is_empty()) {
            (_, true) => None,
            (true, _) => Some(body),
            (false, _) => Some(Cow::Owned(crate::json::json_string(&body))),
        };
        Self {
            answer: kept,
            is_object: false,
            failure: Some(failure),
            ttft_ms: None,
        }
    }
}

/// Returns the error in a JSON text, or under a key of it.
fn error_in(text: &str, key: Option<&str>) -> Option<failure::Told> {
    let mut tape = Tape::default();
    Reader::new(text.as_bytes()).index(&mut tape).ok()?;
    let root = tape.root(text);
    let error = match key {
        Some(key) => root.get(key)?,
        None => root,
    };
    Some(failure::of_error(error, 200))
}

/// Returns why an answer is not whole.
fn cut_off(answer: &Answer<'_>) -> failure::Told {
    let unannounced = || Failure {
        kind: "upstream_cut",
        message: "the upstream ended the answer before it was complete".to_owned(),
    };
    failure::Told {
        failure: answer.cut.cloned().unwrap_or_else(unannounced),
        data: None,
    }
}

/// Returns bytes as text; what is not UTF-8 is shown as such.
fn text(bytes: Cow<'_, [u8]>) -> Cow<'_, str> {
    match bytes {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

/// Returns bytes with each secret replaced. An upstream may repeat the key that it refuses.
fn without_secrets<'a>(bytes: &'a [u8], secrets: &[&str]) -> Cow<'a, [u8]> {
    let mut bytes = Cow::Borrowed(bytes);
    for secret in secrets.iter().filter(|s| s.len() >= SECRET_BYTES_MIN) {
        let finder = memmem::Finder::new(secret.as_bytes());
        if finder.find(&bytes).is_none() {
            continue;
        }
        let mut clean = Vec::with_capacity(bytes.len());
        let mut from = 0;
        for at in finder.find_iter(&bytes) {
            clean.extend_from_slice(&bytes[from..at]);
            clean.extend_from_slice(REDACTED.as_bytes());
            from = at + secret.len();
        }
        clean.extend_from_slice(&bytes[from..]);
        bytes = Cow::Owned(clean);
    }
    bytes
}

#[cfg(test)]
mod tests;
