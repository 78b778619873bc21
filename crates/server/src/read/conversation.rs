//! What was said in a trace, each message once, whichever SDK told it in which shape.
//!
//! Each call of a model is sent what was said before, so a message of its input is told only if the
//! call holds it more often than it was told so far. What a model answered is always told. The answer
//! is made call by call: of what was told a hash is kept, and of the trace what was read of it.

use std::collections::HashMap;

use axum::response::Response;
use ingest::contents::{Contents, Messages, told};
use ingest::messages::ChatMessage;
use model::{MessageHash, Span, SpanId, SpanType};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::{ApiError, ErrorBody};
use crate::objects::Detail;

use super::loaded::{Loaded, json};
use super::params::Params;
use super::pieces::{Piece, respond};
use super::snapshots::OneTrace;

/// One message of a conversation.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Said<'a> {
    /// The call, the side, and the place among all that the call holds on it, from 0: it stays the same
    /// whatever else comes.
    id: String,
    /// `conversation.message`.
    object: &'static str,
    /// The call that was given it or answered it.
    #[schema(value_type = String)]
    span_id: &'a SpanId,
    /// `input` or `output` of that call.
    side: &'static str,
    /// The message: `role`, `name`, `parts[]` (each with a `type`: text, reasoning, tool_call,
    /// tool_call_response, media, file, other) and `finish_reason`.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    message: ChatMessage,
}

/// Returns what was said in a trace, in order.
#[utoipa::path(
    get,
    path = "/v1/traces/{id}/conversation",
    tag = "read",
    params(("id" = String, Path, description = "The trace")),
    responses(
        (status = 200, description = "A list of `conversation.message`, each once, with the span that it belongs to, and `first_id`, `last_id`", body = Said),
        (status = 404, body = ErrorBody, description = "There is no such trace"),
    )
)]
pub(super) async fn conversation(trace: OneTrace, params: Params) -> Result<Response, ApiError> {
    params.finish()?;
    let loaded = trace.load(Some(Detail::Full)).await?;
    respond("application/json", pieces(loaded)).await
}

fn pieces(loaded: Loaded) -> impl Iterator<Item = Piece> + Send {
    let (mut teller, mut ends) = (Teller::default(), Ends::default());
    let begin = std::iter::once(Ok(br#"{"object":"list","data":["#.to_vec()));
    let rows = in_order(&loaded).into_iter().map(Some);
    let rest = rows.chain([None]).map(move |at| {
        let Some(at) = at else {
            return Ok(ends.tail());
        };
        let mut piece = Vec::new();
        for said in teller.tell(&loaded.rows[at].span, &loaded.messages) {
            if ends.first.is_some() {
                piece.push(b',');
            }
            piece.append(&mut json(&said));
            ends.tell(said.id);
        }
        Ok(piece)
    });
    begin.chain(rest)
}

/// The ids of the first and the last message, known when all are told.
#[derive(Debug, Default)]
struct Ends {
    first: Option<String>,
    last: Option<String>,
}

impl Ends {
    fn tell(&mut self, id: String) {
        self.first.get_or_insert_with(|| id.clone());
        self.last = Some(id);
    }

    /// Returns the end of the list.
    fn tail(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Tail<'a> {
            first_id: Option<&'a str>,
            last_id: Option<&'a str>,
            has_more: bool,
        }
        let mut tail = json(&Tail {
            first_id: self.first.as_deref(),
            last_id: self.last.as_deref(),
            has_more: false,
        });
        tail[0] = b',';
        tail.insert(0, b']');
        tail
    }
}

/// Returns the rows that may tell: the calls of models by their start, then what may stand around them.
fn in_order(loaded: &Loaded) -> Vec<usize> {
    let told = loaded.told(false);
    let of = |is_chosen: fn(SpanType) -> bool| {
        let type_of = |at: &usize| loaded.rows[*at].span.span_type;
        let chosen = told.iter().copied();
        chosen.filter(move |at| is_chosen(type_of(at)))
    };
    let calls = of(|span_type| span_type == SpanType::Generation);
    let around = of(|span_type| matches!(span_type, SpanType::Agent | SpanType::Custom));
    calls.chain(around).collect()
}

/// Returns what went into a call of a model and what came out of it.
pub(super) fn contents(span: &Span, messages: &Messages) -> Contents {
    // What cannot be restored is told by its span.
    let told = told(span, &[], messages).unwrap_or_default();
    told.contents
}

/// What was told so far.
#[derive(Debug, Default)]
struct Teller {
    /// How often each message was told.
    counts: HashMap<MessageHash, usize>,
    /// Whether a call of a model told its content.
    by_calls: bool,
}

impl Teller {
    /// Returns what a span says that was not told yet. Where no call of a model tells its content, what
    /// stands around them may: calls come first.
    fn tell<'a>(&mut self, span: &'a Span, messages: &Messages) -> Vec<Said<'a>> {
        let is_call = span.span_type == SpanType::Generation;
        if !is_call && self.by_calls {
            return Vec::new();
        }
        let said = self.call(&span.span_id, contents(span, messages));
        self.by_calls |= is_call && !said.is_empty();
        said
    }

    fn call<'a>(&mut self, span_id: &'a SpanId, contents: Contents) -> Vec<Said<'a>> {
        let mut list = Vec::new();
        let mut held: HashMap<MessageHash, usize> = HashMap::new();
        for (at, message) in contents.input.into_iter().enumerate() {
            let key = key(&message);
            let held = held.entry(key).or_default();
            *held += 1;
            let told = self.counts.entry(key).or_default();
            if *held > *told {
                *told = *held;
                list.push(said_of(span_id, "input", at, message));
            }
        }
        for (at, message) in contents.output.into_iter().enumerate() {
            *self.counts.entry(key(&message)).or_default() += 1;
            list.push(said_of(span_id, "output", at, message));
        }
        list
    }
}

/// Returns what makes two messages the same: an answer comes back without its reason to stop.
fn key(message: &ChatMessage) -> MessageHash {
    let said = (&message.role, &message.parts);
    let text = serde_json::to_vec(&said).expect("a message is made of texts and JSON");
    MessageHash::of(&text)
}

fn said_of<'a>(
    span_id: &'a SpanId,
    side: &'static str,
    at: usize,
    message: ChatMessage,
) -> Said<'a> {
    Said {
        id: format!("{span_id}:{side}:{at}"),
        object: "conversation.message",
        span_id,
        side,
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::samples;

    fn call(id: &str, input: &[&str], output: &str) -> Span {
        let message = |text: &&str| {
            let (role, content) = text.split_once(' ').unwrap();
            serde_json::json!({"role": role, "content": content})
        };
        let input: Vec<_> = input.iter().map(message).collect();
        let output = [serde_json::json!({"role": "assistant", "content": output})];
        let data = serde_json::json!({"input": input, "output": output});
        let mut span = samples::span(id, SpanType::Generation);
        span.payload.data = Some(model::JsonText::from_trusted(data.to_string()));
        span
    }

    #[test]
    fn each_message_is_told_once_and_repetitions_as_often_as_they_were_said() {
        let spans = [
            call("a", &["system s", "user hi"], "ok"),
            call(
                "b",
                &["system s", "user hi", "assistant ok", "user hi"],
                "ok",
            ),
            call("c", &["system s", "user fresh"], "ok"),
        ];
        let (mut teller, none) = (Teller::default(), Messages::new());
        let told = spans.iter().flat_map(|span| teller.tell(span, &none));
        let told: Vec<_> = told
            .map(|said| {
                let words = said.message.words().unwrap();
                assert!(
                    said.id
                        .starts_with(&format!("{}:{}:", said.span_id, said.side))
                );
                format!(
                    "{} {} {} {words}",
                    said.span_id, said.side, said.message.role
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                "a input system s",
                "a input user hi",
                "a output assistant ok",
                "b input user hi",
                "b output assistant ok",
                "c input user fresh",
                "c output assistant ok",
            ]
        );
    }

    #[test]
    fn what_stands_around_calls_is_told_only_where_they_tell_nothing() {
        let mut agent = call("agent", &["user hi"], "ok");
        agent.span_type = SpanType::Agent;
        let silent = samples::span("silent", SpanType::Generation);
        let check = |spans: &[&Span], want: &[usize]| {
            let (mut teller, none) = (Teller::default(), Messages::new());
            let told = spans.iter().map(|span| teller.tell(span, &none).len());
            assert_eq!(told.collect::<Vec<_>>(), want);
        };
        check(&[&silent, &agent], &[0, 2]);
        check(&[&call("a", &["user hi"], "ok"), &agent], &[2, 0]);
    }
}
