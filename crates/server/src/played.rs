//! A judge that is played: a demo's, which knows the answers and asks nobody.

use std::fmt;
use std::sync::Arc;

use grade::openai::{Answer, Model, ModelAnswer, ModelError, ModelRequest, Tokens};
use serde_json::Value;

/// Bytes that make about one token.
const TOKEN_BYTES: usize = 4;

/// Answers what a judge is asked.
pub trait PlayedJudge: fmt::Debug + Send + Sync {
    /// Returns the answer to a prompt, in the form of the JSON schema that it has to fit, if there is one.
    fn answer(&self, prompt: &str, schema: Option<&Value>) -> String;
}

/// It in the place of a model.
#[derive(Debug)]
pub(crate) struct Played(pub(crate) Arc<dyn PlayedJudge>);

impl Model for Played {
    fn ask<'a>(&'a self, request: &'a ModelRequest) -> Answer<'a, Result<ModelAnswer, ModelError>> {
        let prompt = prompt(&request.messages);
        let schema = request.schema.as_ref().map(|(_, schema)| schema);
        let text = self.0.answer(&prompt, schema);
        let tokens = |bytes: usize| (bytes / TOKEN_BYTES) as i64;
        let (read, written) = (tokens(prompt.len()), tokens(text.len()));
        let answer = ModelAnswer {
            model: request.model.clone(),
            text,
            tool_calls: Value::Null,
            finish_reason: Some("stop".to_owned()),
            usage: Tokens {
                prompt: read,
                completion: written,
                total: read + written,
                cached: 0,
            },
            ..ModelAnswer::default()
        };
        Box::pin(std::future::ready(Ok(answer)))
    }

    fn embed<'a>(&'a self, _: &'a [&'a str]) -> Answer<'a, Result<Vec<Vec<f32>>, ModelError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn embeds(&self) -> bool {
        false
    }
}

/// Returns the texts of the messages, one below the other.
fn prompt(messages: &[Value]) -> String {
    let mut texts = Vec::new();
    for message in messages {
        match message.get("content") {
            Some(Value::String(text)) => texts.push(text.as_str()),
            Some(Value::Array(parts)) => {
                texts.extend(parts.iter().filter_map(|part| part.get("text")?.as_str()));
            }
            _ => {}
        }
    }
    texts.join("\n\n")
}
