//! What was said in a trace, each message once, whichever SDK told it in which shape.
//!
//! Each call of a model is sent what was said before, so a message of its input is told only if the
//! call holds it more often than it was told so far. What a model answered is always told.

use std::collections::HashMap;

use axum::response::Response;
use ingest::messages::ChatMessage;
use ingest::otlp::{Contents, is_telemetry};
use model::{Span, SpanId, SpanType};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::{ApiError, ErrorBody};
use crate::objects::{Detail, Messages, restored_text, telemetry_contents};

use super::loaded::{Loaded, json};
use super::params::Params;
use super::pieces::{Piece, respond};
use super::snapshots::OneTrace;

/// One message of a conversation.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Said<'a> {
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
        (status = 200, description = "A list of `conversation.message`, each once, with the span that it belongs to", body = Said),
        (status = 404, body = ErrorBody, description = "There is no such trace"),
    )
)]
pub(super) async fn conversation(trace: OneTrace, params: Params) -> Result<Response, ApiError> {
    params.finish()?;
    let loaded = trace.load(Some(Detail::Full)).await?;
    respond("application/json", pieces(&loaded).into_iter()).await
}

fn pieces(loaded: &Loaded) -> Vec<Piece> {
    let spans: Vec<&Span> = loaded
        .told(false)
        .into_iter()
        .map(|at| &*loaded.rows[at].span)
        .collect();
    let mut pieces: Vec<Piece> = vec![Ok(br#"{"object":"list","data":["#.to_vec())];
    for (n, said) in said(&spans, &loaded.messages).iter().enumerate() {
        let mut piece = if n > 0 { b",".to_vec() } else { Vec::new() };
        piece.append(&mut json(said));
        pieces.push(Ok(piece));
    }
    pieces.push(Ok(b"],\"has_more\":false}".to_vec()));
    pieces
}

/// Returns what was said in spans, which stand in start order.
fn said<'a>(spans: &[&'a Span], messages: &Messages) -> Vec<Said<'a>> {
    let of = |is_chosen: fn(SpanType) -> bool| {
        let mut told = Told::default();
        for span in spans.iter().filter(|span| is_chosen(span.span_type)) {
            told.call(&span.span_id, contents(span, messages));
        }
        told.list
    };
    let calls = of(|span_type| span_type == SpanType::Generation);
    match calls.is_empty() {
        false => calls,
        // Where no call of a model tells its content, what stands around them may.
        true => of(|span_type| matches!(span_type, SpanType::Agent | SpanType::Custom)),
    }
}

fn contents(span: &Span, messages: &Messages) -> Contents {
    let told = match is_telemetry(span) {
        true => telemetry_contents(span, messages),
        false => {
            let data = span.payload.data.as_ref();
            let text = data.map(|data| restored_text(span, data, messages));
            let told = text.transpose();
            told.map(|text| {
                text.map_or_else(Contents::default, |text| {
                    ingest::agents_sdk::contents(&text)
                })
            })
        }
    };
    // What cannot be restored is told by its span.
    told.unwrap_or_default()
}

/// What was told so far.
#[derive(Default)]
struct Told<'a> {
    /// How often each message was told.
    counts: HashMap<String, usize>,
    list: Vec<Said<'a>>,
}

impl<'a> Told<'a> {
    fn call(&mut self, span_id: &'a SpanId, contents: Contents) {
        let mut held: HashMap<String, usize> = HashMap::new();
        for message in contents.input {
            let key = key(&message);
            let held = held.entry(key.clone()).or_default();
            *held += 1;
            let told = self.counts.entry(key).or_default();
            if *held > *told {
                *told = *held;
                self.list.push(said_of(span_id, "input", message));
            }
        }
        for message in contents.output {
            *self.counts.entry(key(&message)).or_default() += 1;
            self.list.push(said_of(span_id, "output", message));
        }
    }
}

/// Returns what makes two messages the same: an answer comes back without its reason to stop.
fn key(message: &ChatMessage) -> String {
    let said = (&message.role, &message.parts);
    serde_json::to_string(&said).expect("a message is made of texts and JSON")
}

fn said_of<'a>(span_id: &'a SpanId, side: &'static str, message: ChatMessage) -> Said<'a> {
    Said {
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
        let spans: Vec<&Span> = spans.iter().collect();
        let told = said(&spans, &Messages::new());
        let told: Vec<_> = told
            .iter()
            .map(|said| {
                let words = said.message.words().unwrap();
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
}
