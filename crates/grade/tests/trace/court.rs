//! A court for tests: a judge that does what a function says, a cache, money and prices.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use grade::judge::{Budget, Desk, MemoryCache, Tariff};
use grade::openai::{Answer, Model, ModelAnswer, ModelError, ModelRequest, Tokens};
use grade::trace::{Graded, Halt, Services, Subject, TraceGrader};
use insight::{Context, TraceView};
use model::{NanoUsd, PriceTable, Time};
use parking_lot::Mutex;
use serde_json::{Value, json};

type Says = dyn Fn(&ModelRequest, usize) -> Result<ModelAnswer, ModelError> + Send + Sync;

/// A judge and all that was asked of it.
pub(crate) struct Judge {
    says: Box<Says>,
    pub(crate) asked: Mutex<Vec<ModelRequest>>,
}

impl Model for Judge {
    fn ask<'a>(&'a self, request: &'a ModelRequest) -> Answer<'a, Result<ModelAnswer, ModelError>> {
        let nth = {
            let mut asked = self.asked.lock();
            asked.push(request.clone());
            asked.len() - 1
        };
        let said = (self.says)(request, nth).map(|answer| ModelAnswer {
            model: request.model.clone(),
            ..answer
        });
        Box::pin(async move { said })
    }

    fn embed<'a>(&'a self, texts: &'a [&'a str]) -> Answer<'a, Result<Vec<Vec<f32>>, ModelError>> {
        let vectors = texts
            .iter()
            .map(|text| vec![1.0, text.len() as f32])
            .collect();
        Box::pin(async { Ok(vectors) })
    }
}

/// Where cases are heard.
pub(crate) struct Court {
    pub(crate) judge: Judge,
    cache: MemoryCache<ModelAnswer>,
    pub(crate) budget: Budget,
    prices: PriceTable,
    pub(crate) context: Context,
}

/// One dollar for a thousand tokens written, nothing for those read.
const PRICES: &str = "provider\tmodel\tfrom\tinput_above\tinput\tcached_input\toutput\treasoning\n\
                      \tjudge-1\t2024-01-01\t\t0\t\t1000\t\n\
                      \tjudge-2\t2024-01-01\t\t0\t\t1000\t\n\
                      \tjudge-3\t2024-01-01\t\t0\t\t1000\t\n";

impl Court {
    /// Opens a court whose judge answers the question number `n` so.
    pub(crate) fn of(
        says: impl Fn(&ModelRequest, usize) -> Result<ModelAnswer, ModelError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            judge: Judge {
                says: Box::new(says),
                asked: Mutex::default(),
            },
            cache: MemoryCache::new(NonZeroUsize::new(1_000).unwrap()),
            budget: Budget::new(NanoUsd(1_000_000_000_000), NanoUsd::default()),
            prices: PriceTable::parse(PRICES).unwrap(),
            context: Context::default(),
        }
    }

    /// Opens a court whose judge says these words, one after the other, and the last for ever.
    pub(crate) fn script(words: &[String]) -> Self {
        let words = words.to_vec();
        Self::of(move |_, nth| Ok(text(&words[nth.min(words.len() - 1)])))
    }

    pub(crate) fn services(&self) -> Services<'_> {
        Services {
            desk: Some(Desk {
                model: &self.judge,
                cache: &self.cache,
                budget: &self.budget,
                tariff: Tariff {
                    prices: &self.prices,
                    provider: None,
                    at: Time::from_micros(1_790_000_000_000_000),
                },
            }),
            python: None,
            model: Some("judge-1"),
        }
    }

    /// Grades a trace in the run `run`.
    pub(crate) async fn grade(
        &self,
        definition: &Value,
        view: &TraceView,
    ) -> Result<Vec<Graded>, Halt> {
        let subject = Subject {
            run_seed: "run",
            ..Subject::new(view, &self.context)
        };
        self.grade_subject(definition, &subject).await
    }

    pub(crate) async fn grade_subject(
        &self,
        definition: &Value,
        subject: &Subject<'_>,
    ) -> Result<Vec<Graded>, Halt> {
        parsed(definition).grade(subject, &self.services()).await
    }

    /// Grades a trace by a grader that gives one verdict.
    pub(crate) async fn one(&self, definition: &Value, view: &TraceView) -> Graded {
        let mut graded = self.grade(definition, view).await.unwrap();
        assert_eq!(graded.len(), 1, "{graded:?}");
        graded.remove(0)
    }

    /// Returns how often the judge was asked.
    pub(crate) fn count(&self) -> usize {
        self.judge.asked.lock().len()
    }

    /// Returns the text of the last message of question `nth`.
    pub(crate) fn last_message(&self, nth: usize) -> String {
        let asked = self.judge.asked.lock();
        asked[nth].messages.last().unwrap()["content"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

#[track_caller]
pub(crate) fn parsed(definition: &Value) -> TraceGrader {
    match TraceGrader::parse(definition) {
        Ok(grader) => grader,
        Err(problems) => panic!("{problems}"),
    }
}

/// An answer of ten tokens read, four of them cached, and five written.
pub(crate) fn text(words: &str) -> ModelAnswer {
    ModelAnswer {
        model: String::new(),
        text: words.to_owned(),
        tool_calls: json!([]),
        finish_reason: Some("stop".to_owned()),
        usage: Tokens {
            prompt: 10,
            completion: 5,
            total: 15,
            cached: 4,
        },
        ..ModelAnswer::default()
    }
}

/// An answer that calls a tool.
pub(crate) fn calls(name: &str, arguments: &Value) -> ModelAnswer {
    let function = json!({"name": name, "arguments": arguments.to_string()});
    ModelAnswer {
        tool_calls: json!([{"id": "call_1", "type": "function", "function": function}]),
        finish_reason: Some("tool_calls".to_owned()),
        ..text("")
    }
}

/// A judgement that cites the tool call of the story.
pub(crate) fn judgement(key: &str, value: &Value) -> String {
    quoting(key, value, "s3", "HAT045 at 13:00")
}

pub(crate) fn quoting(key: &str, value: &Value, span: &str, quote: &str) -> String {
    let mut object = json!({
        "evidence": [{"span_id": span, "quote": quote}],
        "reasoning": format!("it is {value}"),
    });
    object[key] = value.clone();
    object["confidence"] = json!(0.9);
    object.to_string()
}

pub(crate) fn verdict(word: &str) -> String {
    judgement("verdict", &json!(word))
}

/// Returns what a judgement went through, as the verdict tells it.
pub(crate) fn notes(graded: &Graded) -> Value {
    let judge = graded.verdict.judge.as_ref().expect("a judge was asked");
    let params: Value = serde_json::from_str(judge.params.as_ref().unwrap().as_str()).unwrap();
    params["judgement"].clone()
}

pub(crate) fn scores(pairs: &[(&str, f64)]) -> BTreeMap<String, f64> {
    pairs
        .iter()
        .map(|(name, score)| ((*name).to_owned(), *score))
        .collect()
}
