//! Graders that ask a judge.
//!
//! A judge answers one criterion about one trace, reasons first and points at spans. What it is shown and
//! how its words are read is [`insight::judging`]'s; here it is asked: in the order that a provider's cache
//! likes best, again where an answer cannot be used, with tools where a trace is too long to be shown, twice
//! where the trace speaks to its judge, several judges where a panel is wanted.
//!
//! Whatever goes wrong on the way is a verdict without a score that says why; only what would go wrong with
//! every other trace too halts the run. What a judgement went through stands in the parameters of the
//! verdict's judge under `judgement`: the `tier`, `reading_calls` and `budget_exhausted`; of a panel its
//! `judges`, their `votes` (null: none) and their `agreement`; `samples`, what one judge said each time; `chosen`,
//! the score that was said where the mean of its chances counts; `said_without_text_to_the_judge`; a `warning`;
//! where two traces were compared, what [`pairwise`] says.

mod ask;
mod chances;
mod definition;
mod family;
mod hearing;
mod pairwise;
mod party;
mod session;
mod verdict;

use insight::fence::{Fence, Nonce};
use model::{NanoUsd, Outcome, UnscoredReason, Verdict};

pub(super) use ask::{Asking, Unanswered};
pub(super) use definition::Llm;
pub(super) use verdict::{Silent, judge_use};

use super::Subject;
use super::environment::Known;
use super::subject::{Graded, Halt, Services};
use hearing::{Hearing, SPANS_MAX, Target};

/// What to do where a sender gives no texts.
pub(super) const NO_CONTENT: &str = "the sender gave no texts to read: record with our trace processor, or send spans \
                          with their inputs and outputs (with the stock exporter of the Agents SDK, \
                          calls of the Responses API have none)";

/// What to do where there is no judge.
pub(super) const NO_JUDGE: &str = "no judge is configured: name a `model` and set OPENAI_API_KEY (OPENAI_BASE_URL for \
                        another provider)";

impl Llm {
    /// Grades a trace.
    pub(super) async fn grade(
        &self,
        hash: &str,
        subject: &Subject<'_>,
        services: &Services<'_>,
    ) -> Result<Vec<Graded>, Halt> {
        let focus = match self.places(subject, services) {
            Ok(focus) => focus,
            Err(verdict) => return Ok(vec![Graded::of(*verdict)]),
        };
        let trace_hash = subject.hash_for(self.reads_reference());
        let Some(desk) = services.desk else {
            return Ok(vec![Graded::of(no_judge())]);
        };
        let asking = Asking::new(desk, hash, &trace_hash, subject.attempt);
        let hearing = Hearing::new(self, subject, asking);
        match (&focus, self.per_span) {
            _ if self.is_pairwise() => Ok(vec![hearing.pair(services).await?]),
            (Some(places), true) => hearing.each(places, services).await,
            _ => {
                let target = Target {
                    focus: focus.as_deref(),
                    span: None,
                };
                Ok(vec![hearing.one(target, services).await?])
            }
        }
    }

    /// Returns the spans that the criterion is about, or the verdict where there is nothing to ask.
    fn places(
        &self,
        subject: &Subject<'_>,
        services: &Services<'_>,
    ) -> Result<Option<Vec<u32>>, Box<Verdict>> {
        if services.desk.is_none() || self.has_unnamed(services) {
            return Err(Box::new(no_judge()));
        }
        if self.is_pairwise() {
            pairwise::both_can_be_read(subject)?;
        }
        if !subject.view.has_content() {
            let verdict = Verdict::unscored(UnscoredReason::NoContent, NO_CONTENT);
            return Err(Box::new(verdict));
        }
        let Some(focus) = &self.focus else {
            return Ok(None);
        };
        let known = Known::of(subject, &focus.needs().detectors);
        let places = focus.places(subject.view, &known);
        let places = places.map_err(|error| {
            let verdict = Verdict::unscored(error.reason, error.to_string());
            Box::new(verdict)
        })?;
        if places.is_empty() {
            let why = format!("no span of the trace is {}", focus.source());
            return Err(Box::new(Verdict {
                reasoning: Some(why),
                ..Verdict::new(Outcome::NotApplicable)
            }));
        }
        Ok(Some(places))
    }

    fn has_unnamed(&self, services: &Services<'_>) -> bool {
        services.model.is_none() && self.judges.iter().any(|judge| judge.model.is_none())
    }

    /// Returns what the judges of this trace are thought to cost: none if there is no judge or no price.
    pub(super) fn estimate(
        &self,
        subject: &Subject<'_>,
        services: &Services<'_>,
    ) -> Option<NanoUsd> {
        let desk = services.desk?;
        let focus = match self.places(subject, services) {
            Ok(focus) => focus,
            Err(_) if self.has_unnamed(services) => return None,
            Err(_) => return Some(NanoUsd::default()),
        };
        let trace_hash = subject.hash_for(self.reads_reference());
        let asking = Asking::new(desk, "", &trace_hash, subject.attempt);
        let hearing = Hearing::new(self, subject, asking);
        if self.is_pairwise() {
            return hearing.estimate_pair(services);
        }
        let (focus, times) = match (&focus, self.per_span) {
            (Some(places), true) => (Some(&places[..1]), places.len().min(SPANS_MAX)),
            (focus, _) => (focus.as_deref(), 1),
        };
        let target = Target { focus, span: None };
        hearing.estimate(target, times, services)
    }
}

fn no_judge() -> Verdict {
    Verdict::unscored(UnscoredReason::NoJudge, NO_JUDGE)
}

/// Returns the fence of a trace in a run: the same for all questions about it, so that the provider finds
/// the trace in its cache, and not to be known by whoever wrote into the trace.
pub(super) fn fence(run_seed: &str, trace_hash: &str) -> Fence {
    let mut hash = blake3::Hasher::new();
    for part in [run_seed, trace_hash] {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    let digits = hash.finalize().to_hex();
    let nonce = Nonce::new(&digits.as_str()[..12]).expect("a hash is written in hexadecimal");
    Fence::new(nonce)
}
