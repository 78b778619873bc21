//! Graders as they are defined, run and answered, with a scripted model and a scripted box for code.

mod parse;
mod run;
mod wire;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Mutex;

use futures::executor::block_on;
use serde_json::{Value, json};

use super::*;

/// A model that says what it was told to say, and keeps what it was asked.
#[derive(Debug, Default)]
struct ScriptedModel {
    answers: Mutex<VecDeque<Result<ModelAnswer, ModelError>>>,
    asked: Mutex<Vec<ModelRequest>>,
}

impl ScriptedModel {
    fn saying(texts: &[&str]) -> Self {
        Self::answering(texts.iter().map(|text| Ok(answer(text))))
    }

    fn answering(answers: impl IntoIterator<Item = Result<ModelAnswer, ModelError>>) -> Self {
        Self {
            answers: Mutex::new(answers.into_iter().collect()),
            asked: Mutex::default(),
        }
    }

    fn asked(&self) -> Vec<ModelRequest> {
        self.asked.lock().unwrap().clone()
    }
}

impl Model for ScriptedModel {
    fn ask<'a>(&'a self, request: &'a ModelRequest) -> Answer<'a, Result<ModelAnswer, ModelError>> {
        self.asked.lock().unwrap().push(request.clone());
        let answer = self.answers.lock().unwrap().pop_front();
        Box::pin(async { answer.expect("the script has an answer") })
    }

    /// Two texts are at the angle whose tangent is the ratio of their lengths.
    fn embed<'a>(&'a self, texts: &'a [&'a str]) -> Answer<'a, Result<Vec<Vec<f32>>, ModelError>> {
        let vectors = texts.iter().map(|text| vec![1.0, text.len() as f32]);
        let vectors = vectors.collect();
        Box::pin(async { Ok(vectors) })
    }
}

/// An answer of 10 tokens read, 4 of them cached, and 5 written.
fn answer(text: &str) -> ModelAnswer {
    ModelAnswer {
        model: "gpt-4.1-mini-2025-04-14".into(),
        text: text.into(),
        tool_calls: json!([]),
        refusal: None,
        finish_reason: Some("stop".into()),
        usage: Tokens {
            prompt: 10,
            completion: 5,
            total: 15,
            cached: 4,
        },
        logprobs: Vec::new(),
    }
}

/// A box in which every module returns the same.
#[derive(Debug)]
struct ScriptedPython(Result<f64, PythonError>);

impl Python for ScriptedPython {
    fn grade<'a>(
        &'a self,
        _source: &'a str,
        _subject: Subject<'a>,
    ) -> Answer<'a, Result<f64, PythonError>> {
        Box::pin(async { self.0.clone() })
    }
}

#[track_caller]
fn parsed(definition: &Value, place: Place) -> Grader {
    match Grader::parse(definition, place) {
        Ok(grader) => grader,
        Err(problems) => panic!("{problems}"),
    }
}

/// Runs a grader on an item whose `label` is `right` and a sample whose text is `right answer`.
#[track_caller]
fn run(definition: &Value, services: &Services<'_>) -> GraderReport {
    let place = match definition["type"].as_str() {
        Some("multi") => Place::GradersRun,
        _ => Place::Eval,
    };
    let item = json!({"label": "right", "n": 3, "tags": ["a", {"b": "c"}]});
    let sample = sample_of_text("right answer");
    let subject = Subject {
        item: &item,
        sample: &sample,
    };
    block_on(parsed(definition, place).run(subject, services))
}

fn testdata(file: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/openai-evals");
    std::fs::read_to_string(folder.join(file)).expect(file)
}
