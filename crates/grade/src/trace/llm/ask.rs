//! One question at the desk: its key, its price, its record.

use std::time::Instant;

use insight::render::RENDERER_VERSION;
use model::UnscoredReason;
use serde_json::{Value, json};

use super::verdict::Silent;
use crate::judge::{Answered, CacheKey, Desk, DeskError};
use crate::openai::{ModelAnswer, ModelError, ModelRequest};
use crate::trace::subject::{Exchange, Halt, Purpose};

/// Where the questions about one trace are asked.
#[derive(Clone, Copy)]
pub(in super::super) struct Asking<'a> {
    pub(in super::super) desk: Desk<'a>,
    grader_hash: &'a str,
    pub(in super::super) trace_hash: &'a str,
    attempt: u32,
}

/// Why a question has no answer.
pub(in super::super) enum Unanswered {
    /// The run cannot go on.
    Halt(Halt),
    /// There is none to this question.
    Silent(Silent),
    /// A shorter question may have one.
    TooLong(String),
}

impl<'a> Asking<'a> {
    pub(in super::super) fn new(
        desk: Desk<'a>,
        grader_hash: &'a str,
        trace_hash: &'a str,
        attempt: u32,
    ) -> Self {
        Self {
            desk,
            grader_hash,
            trace_hash,
            attempt,
        }
    }

    /// Asks a question, which is `what` this grader asks about this trace; what was answered before to the
    /// same is taken. Another attempt asks anew: it is made because the first gave nothing of use.
    pub(in super::super) async fn ask(
        &self,
        request: &ModelRequest,
        what: &Value,
        purpose: Purpose,
        exchanges: &mut Vec<Exchange>,
    ) -> Result<ModelAnswer, Unanswered> {
        let about = (self.trace_hash, what);
        self.ask_about(about, request, purpose, exchanges).await
    }

    /// As [`Asking::ask`], about what has this hash: a trace, or two in the order in which they are shown.
    pub(super) async fn ask_about(
        &self,
        about: (&str, &Value),
        request: &ModelRequest,
        purpose: Purpose,
        exchanges: &mut Vec<Exchange>,
    ) -> Result<ModelAnswer, Unanswered> {
        let key = self.key(about, request);
        let started = Instant::now();
        let answered = self.desk.answer(key, request).await.map_err(unanswered)?;
        let latency_ms = started.elapsed().as_secs_f64() * 1e3;
        exchanges.push(exchange(request, &answered, purpose, latency_ms));
        let answer = answered.answer;
        if let Some(refusal) = answer.refusal {
            return Err(silent(
                UnscoredReason::Refusal,
                format!("the judge refused: {refusal}"),
            ));
        }
        if answer.finish_reason.as_deref() == Some("content_filter") {
            let why = "a content filter stopped the judge's answer";
            return Err(silent(UnscoredReason::Refusal, why.to_owned()));
        }
        Ok(answer)
    }

    /// Returns the key of the answer. The fence's name is no part of it: a judgement counts in the next
    /// run too.
    fn key(&self, (traces, what): (&str, &Value), request: &ModelRequest) -> CacheKey {
        let mut grader = json!({"grader": self.grader_hash, "what": what});
        if self.attempt > 1 {
            grader["attempt"] = self.attempt.into();
        }
        let judge = json!({"model": request.model, "params": request.params});
        let renderer = RENDERER_VERSION.to_string();
        CacheKey::new(&grader, traces.as_bytes(), &renderer, &judge)
    }
}

fn silent(reason: UnscoredReason, why: String) -> Unanswered {
    Unanswered::Silent(Silent { reason, why })
}

fn unanswered(error: DeskError) -> Unanswered {
    match error {
        DeskError::Exhausted(exhausted) => Unanswered::Halt(Halt::Budget(exhausted)),
        DeskError::Unpriced(_) => Unanswered::Halt(Halt::Terminal(error.to_string())),
        DeskError::Model(error) => match error {
            ModelError::TooLong(why) => Unanswered::TooLong(why),
            ModelError::Refused(_) => Unanswered::Halt(Halt::Terminal(error.to_string())),
            ModelError::Unavailable(_) => silent(UnscoredReason::Provider, error.to_string()),
            ModelError::Filtered(_) => silent(UnscoredReason::Refusal, error.to_string()),
            ModelError::Absent => silent(UnscoredReason::NoJudge, super::NO_JUDGE.to_owned()),
        },
    }
}

fn exchange(
    request: &ModelRequest,
    answered: &Answered,
    purpose: Purpose,
    latency_ms: f64,
) -> Exchange {
    let answer = &answered.answer;
    Exchange {
        purpose,
        model: answer.model.clone(),
        messages: request.messages.clone(),
        params: request.params.clone(),
        answer: answer.text.clone(),
        tool_calls: answer.tool_calls.clone(),
        refusal: answer.refusal.clone(),
        usage: answer.usage,
        cost: answered.cost,
        latency_ms,
        is_cached: answered.is_cached,
    }
}
