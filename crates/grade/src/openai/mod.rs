//! The graders of OpenAI's Evals and Graders API, as its clients send and read them.

use std::future::Future;
use std::pin::Pin;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub(crate) mod canonical;
mod definition;
pub(crate) mod formula;
mod grader;
mod held;
pub(crate) mod judge;
mod label_model;
mod messages;
mod multi;
pub(crate) mod problems;
mod prompt;
mod python;
mod report;
mod score_model;
mod similarity;
mod string_check;
mod template;

pub use grader::{Grader, Kind, Services};
pub use problems::{Problem, Problems};
pub use prompt::Prompt;
pub use report::{Errors, GraderCall, GraderReport, Step};

/// Where a grader is used: the API accepts other types in each place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A testing criterion of an eval.
    Eval,
    /// `graders/run` and `graders/validate`.
    GradersRun,
    /// A grader of traces: `{{trace}}` and `{{spans}}` may stand in its templates.
    Trace,
}

/// What a grader is held against: one row and what was answered to it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// `{{item.…}}`.
    pub item: &'a Value,
    /// `{{sample.…}}`.
    pub sample: &'a Value,
}

/// An answer that is still awaited.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Whoever answers prompts: any endpoint that speaks OpenAI's Chat Completions or Responses.
pub trait Model: Send + Sync {
    /// Asks once; retries are the matter of whoever implements it.
    fn ask<'a>(&'a self, request: &'a ModelRequest) -> Answer<'a, Result<ModelAnswer, ModelError>>;
    /// Returns the vectors of these texts.
    fn embed<'a>(&'a self, texts: &'a [&'a str]) -> Answer<'a, Result<Vec<Vec<f32>>, ModelError>>;
    /// Returns whether `embed` has an endpoint to ask.
    fn embeds(&self) -> bool {
        true
    }
}

/// One question to a model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelRequest {
    /// The model's name.
    pub model: String,
    /// Messages of Chat Completions: objects with `role` and `content`.
    pub messages: Vec<Value>,
    /// `temperature`, `top_p`, `seed`, `max_completion_tokens`, `reasoning_effort`, `tools`,
    /// `response_format`, as asked for: an object, or null.
    pub params: Value,
    /// The JSON schema that the answer must fit, with its name.
    pub schema: Option<(String, Value)>,
}

/// What a model answered. It is kept as JSON, so that what was asked once need not be asked again.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ModelAnswer {
    /// The model that answered, as the provider names it.
    pub model: String,
    /// The words of the answer.
    pub text: String,
    /// `tool_calls` of the answer, as Chat Completions has them: a list.
    pub tool_calls: Value,
    /// Why the model refused, if it did.
    pub refusal: Option<String>,
    /// Why it stopped.
    pub finish_reason: Option<String>,
    /// Tokens: `prompt_tokens`, `completion_tokens`, `total_tokens`, `cached_tokens`.
    pub usage: Tokens,
    /// The tokens of the answer with what might have stood in their place, if `logprobs` was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logprobs: Vec<TokenChances>,
}

/// A token of an answer and what might have stood in its place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenChances {
    /// The token that was written.
    pub token: String,
    /// Tokens and the logarithms of their chances, the written one among them.
    pub top: Vec<(String, f64)>,
}

/// Tokens of model calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tokens {
    /// Read, cached ones included.
    pub prompt: i64,
    /// Written.
    pub completion: i64,
    /// Both.
    pub total: i64,
    /// Read from the provider's cache.
    pub cached: i64,
}

impl Tokens {
    /// Returns whether a provider told them: a call that reads and writes nothing is none.
    pub fn is_known(self) -> bool {
        self.prompt > 0 || self.completion > 0
    }

    /// Returns them as the graders' API writes them.
    pub fn to_json(self) -> Value {
        json!({
            "prompt_tokens": self.prompt,
            "total_tokens": self.total,
            "completion_tokens": self.completion,
            "cached_tokens": self.cached,
        })
    }
}

/// Returns the sample that `graders/run` makes of its `model_sample`: the text, and what it says if it
/// is JSON.
pub fn sample_of_text(model_sample: &str) -> Value {
    let mut sample = json!({
        "output_text": model_sample,
        "output_tools": [],
        "choices": [{"index": 0, "message": {"role": "assistant", "content": model_sample}}],
    });
    if let Ok(said) = serde_json::from_str::<Value>(model_sample) {
        sample["output_json"] = said;
    }
    sample
}

/// Why a model gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// It may answer later: time-outs, 429, 5xx, connections; retries were of no use.
    #[error("the model's provider failed: {0}")]
    Unavailable(String),
    /// It will not: bad requests, keys, credit, a model that is gone.
    #[error("the model's provider refused the request: {0}")]
    Refused(String),
    /// The question is too long for the model; a shorter one may do.
    #[error("the question is too long for the model: {0}")]
    TooLong(String),
    /// The provider's filter will not let this question through; others it may.
    #[error("the provider's filter stopped the question: {0}")]
    Filtered(String),
    /// None is configured.
    #[error(
        "no model endpoint is configured: set OPENAI_API_KEY (and OPENAI_BASE_URL for another provider)"
    )]
    Absent,
}

/// Whoever runs Python graders.
pub trait Python: Send + Sync {
    /// Calls `grade(sample, item)` of this module.
    fn grade<'a>(
        &'a self,
        source: &'a str,
        subject: Subject<'a>,
    ) -> Answer<'a, Result<f64, PythonError>>;
}

/// Why a Python grader gave no number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PythonError {
    /// The code raised, or returned no number; holds the traceback.
    #[error("the grader's code failed: {0}")]
    Runtime(String),
    /// A limit stopped it: time, memory, processes, files.
    #[error("the grader's code was stopped: {0}")]
    Stopped(String),
    /// It cannot be run here: no interpreter, or no sandbox.
    #[error("Python graders cannot run here: {0}")]
    Absent(String),
}

#[cfg(test)]
mod tests;
