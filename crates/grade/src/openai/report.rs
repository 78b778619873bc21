//! What came out of grading one row.
//!
//! A grade that fails is an answer, not an error: the API says 200, reward 0, and one of fourteen
//! flags. So a report is always there, and whoever wants to tell a bad answer from a grader that broke
//! looks at the flags.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Kind, Tokens};

/// What a grader said about one row.
#[derive(Debug, Clone, PartialEq)]
pub struct GraderReport {
    /// The grader's name.
    pub name: String,
    /// Its type.
    pub kind: Kind,
    /// The score; 0 if grading failed.
    pub reward: f64,
    /// Whether the row passes. Unknown if grading failed, and where nothing is to be passed: `multi`,
    /// and a `text_similarity` without a threshold.
    pub passed: Option<bool>,
    /// The scores of the parts of a `multi`, in the order of its definition.
    pub sub_rewards: Vec<(String, f64)>,
    /// What went wrong.
    pub errors: Errors,
    /// Tokens by model.
    pub usage: BTreeMap<String, Tokens>,
    /// The model that judged.
    pub sampled_model_name: Option<String>,
    /// How long it took.
    pub execution_time: Duration,
    /// The label that a `label_model` chose.
    pub label: Option<String>,
    /// The judge's reasoning.
    pub steps: Vec<Step>,
    /// The judge's call.
    pub call: Option<GraderCall>,
}

/// One step of a judge's reasoning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it looked at.
    pub description: String,
    /// What it made of it.
    pub conclusion: String,
}

/// The question that a grader put to its model, and the answer: `results[].sample` of an output item.
#[derive(Debug, Clone, PartialEq)]
pub struct GraderCall {
    /// The messages sent.
    pub input: Vec<Value>,
    /// The parameters sent.
    pub params: Value,
    /// The answer's words; the refusal's, if there is no answer.
    pub output: String,
    /// The model that answered.
    pub model: String,
    /// Why it stopped.
    pub finish_reason: Option<String>,
    /// Its tokens.
    pub usage: Tokens,
}

/// What can go wrong in grading: the fourteen keys of the API, and the reasons in words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Errors {
    /// The formula of a `multi` has no value for these scores. (One that cannot be read is refused
    /// when it is defined.)
    pub formula_parse_error: bool,
    /// The sample is no JSON where JSON is asked of it.
    pub sample_parse_error: bool,
    /// What was looked at was cut off.
    pub truncated_observation_error: bool,
    /// The reward never came.
    pub unresponsive_reward_error: bool,
    /// A template names what the row does not have.
    pub invalid_variable_error: bool,
    /// Anything else.
    pub other_error: bool,
    /// Python graders cannot be run here.
    pub python_grader_server_error: bool,
    /// Why not.
    pub python_grader_server_error_type: Option<String>,
    /// The grader's code failed, or was stopped.
    pub python_grader_runtime_error: bool,
    /// Its traceback.
    pub python_grader_runtime_error_details: Option<String>,
    /// The judge's provider failed.
    pub model_grader_server_error: bool,
    /// The judge refused.
    pub model_grader_refusal_error: bool,
    /// The judge's answer is not of the form asked for.
    pub model_grader_parse_error: bool,
    /// What the provider said.
    pub model_grader_server_error_details: Option<String>,
    /// Every reason in words, for people; no part of the API's answer.
    pub reasons: Vec<String>,
}

/// Why a grade could not be given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// A template's path leads nowhere.
    #[error("the row has no `{0}`")]
    Variable(String),
    /// A template asks for JSON of a sample that is none.
    #[error("the sample is no JSON, and the grader asks for `{0}`")]
    SampleNotJson(String),
    /// The judge's provider gave no answer.
    #[error("{0}")]
    ModelServer(String),
    /// The judge refused.
    #[error("the model refused: {0}")]
    Refusal(String),
    /// The judge's answer cannot be read.
    #[error("{0}")]
    ModelAnswer(String),
    /// The grader's code failed or was stopped.
    #[error("{0}")]
    PythonCode(String),
    /// The grader's code cannot be run here.
    #[error("{0}")]
    PythonAbsent(String),
    /// A formula has no value.
    #[error("{0}")]
    Formula(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl Errors {
    /// Returns whether anything went wrong.
    pub fn any(&self) -> bool {
        self.formula_parse_error
            || self.sample_parse_error
            || self.truncated_observation_error
            || self.unresponsive_reward_error
            || self.invalid_variable_error
            || self.other_error
            || self.python_grader_server_error
            || self.python_grader_runtime_error
            || self.model_grader_server_error
            || self.model_grader_refusal_error
            || self.model_grader_parse_error
    }

    /// Returns the object of fourteen keys that the API answers.
    pub fn to_json(&self) -> Value {
        json!({
            "formula_parse_error": self.formula_parse_error,
            "sample_parse_error": self.sample_parse_error,
            "truncated_observation_error": self.truncated_observation_error,
            "unresponsive_reward_error": self.unresponsive_reward_error,
            "invalid_variable_error": self.invalid_variable_error,
            "other_error": self.other_error,
            "python_grader_server_error": self.python_grader_server_error,
            "python_grader_server_error_type": self.python_grader_server_error_type,
            "python_grader_runtime_error": self.python_grader_runtime_error,
            "python_grader_runtime_error_details": self.python_grader_runtime_error_details,
            "model_grader_server_error": self.model_grader_server_error,
            "model_grader_refusal_error": self.model_grader_refusal_error,
            "model_grader_parse_error": self.model_grader_parse_error,
            "model_grader_server_error_details": self.model_grader_server_error_details,
        })
    }

    /// Raises the flags of a fault.
    pub(super) fn note(&mut self, fault: &Fault) {
        self.reasons.push(fault.to_string());
        match fault {
            Fault::Variable(_) => self.invalid_variable_error = true,
            Fault::SampleNotJson(_) => {
                self.invalid_variable_error = true;
                self.sample_parse_error = true;
            }
            Fault::ModelServer(details) => {
                self.model_grader_server_error = true;
                self.model_grader_server_error_details = Some(details.clone());
            }
            Fault::Refusal(_) => self.model_grader_refusal_error = true,
            Fault::ModelAnswer(_) => self.model_grader_parse_error = true,
            Fault::PythonCode(details) => {
                self.python_grader_runtime_error = true;
                self.python_grader_runtime_error_details = Some(details.clone());
            }
            Fault::PythonAbsent(why) => {
                self.python_grader_server_error = true;
                self.python_grader_server_error_type = Some(why.clone());
            }
            Fault::Formula(_) => self.formula_parse_error = true,
            Fault::Other(_) => self.other_error = true,
        }
    }

    /// Raises the flags of a part of a `multi`; of details the first stay.
    pub(super) fn absorb(&mut self, part: &str, other: Errors) {
        self.formula_parse_error |= other.formula_parse_error;
        self.sample_parse_error |= other.sample_parse_error;
        self.truncated_observation_error |= other.truncated_observation_error;
        self.unresponsive_reward_error |= other.unresponsive_reward_error;
        self.invalid_variable_error |= other.invalid_variable_error;
        self.other_error |= other.other_error;
        self.python_grader_server_error |= other.python_grader_server_error;
        self.python_grader_runtime_error |= other.python_grader_runtime_error;
        self.model_grader_server_error |= other.model_grader_server_error;
        self.model_grader_refusal_error |= other.model_grader_refusal_error;
        self.model_grader_parse_error |= other.model_grader_parse_error;
        first(
            &mut self.python_grader_server_error_type,
            other.python_grader_server_error_type,
        );
        first(
            &mut self.python_grader_runtime_error_details,
            other.python_grader_runtime_error_details,
        );
        first(
            &mut self.model_grader_server_error_details,
            other.model_grader_server_error_details,
        );
        let reasons = other.reasons.into_iter();
        self.reasons
            .extend(reasons.map(|reason| format!("{part}: {reason}")));
    }
}

/// Keeps what is there, else takes the other.
fn first(kept: &mut Option<String>, other: Option<String>) {
    if kept.is_none() {
        *kept = other;
    }
}

impl GraderReport {
    /// Returns a report of which nothing is known yet.
    pub(super) fn new(name: &str, kind: Kind) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            reward: 0.0,
            passed: None,
            sub_rewards: Vec::new(),
            errors: Errors::default(),
            usage: BTreeMap::new(),
            sampled_model_name: None,
            execution_time: Duration::ZERO,
            label: None,
            steps: Vec::new(),
            call: None,
        }
    }

    /// Adds the tokens of a call.
    pub(super) fn add_usage(&mut self, model: &str, tokens: Tokens) {
        let sum = self.usage.entry(model.to_owned()).or_default();
        *sum = added(*sum, tokens);
    }

    /// Returns the answer of `graders/run`.
    pub fn to_run_answer(&self) -> Value {
        let sub_rewards: Map<String, Value> = (self.sub_rewards.iter())
            .map(|(name, reward)| (name.clone(), json!(reward)))
            .collect();
        let by_model: Map<String, Value> = (self.usage.iter())
            .map(|(model, tokens)| (model.clone(), tokens.to_json()))
            .collect();
        let total = self.usage.values().copied().reduce(added);
        json!({
            "reward": self.reward,
            "sub_rewards": sub_rewards,
            "metadata": {
                "name": self.name,
                "type": self.kind.as_str(),
                "execution_time": self.execution_time.as_secs_f64(),
                "scores": {},
                "token_usage": total.map(Tokens::to_json),
                "sampled_model_name": self.sampled_model_name,
                "errors": self.errors.to_json(),
            },
            "model_grader_token_usage_per_model": by_model,
        })
    }
}

/// Returns the sum of two counts of tokens.
fn added(a: Tokens, b: Tokens) -> Tokens {
    Tokens {
        prompt: a.prompt.saturating_add(b.prompt),
        completion: a.completion.saturating_add(b.completion),
        total: a.total.saturating_add(b.total),
        cached: a.cached.saturating_add(b.cached),
    }
}

impl GraderCall {
    /// Returns the call as an output item shows it.
    pub fn to_json(&self) -> Value {
        let param = |name: &str| self.params.get(name).cloned().unwrap_or(Value::Null);
        json!({
            "input": self.input,
            "output": [{"role": "assistant", "content": self.output}],
            "finish_reason": self.finish_reason,
            "model": self.model,
            "usage": self.usage.to_json(),
            "error": null,
            "temperature": param("temperature"),
            "max_completion_tokens": param("max_completion_tokens"),
            "top_p": param("top_p"),
            "seed": param("seed"),
        })
    }
}
