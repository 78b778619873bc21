//! One trace before the judges of one grader: who is asked, how often, and what they say together.

use std::collections::BTreeMap;

use insight::judging::{Criterion, Inputs, Order};
use insight::render::{Mask, budget_of_window};
use insight::template::{MissingVariable, TraceScope};
use model::{NanoUsd, SpanId, UnscoredReason, Verdict};
use serde_json::{Value, json};

use super::ask::Asking;
use super::definition::{JudgeSpec, Llm};
use super::family::family;
use super::party::Party;
use super::session::{self, Session};
use super::verdict::{self, Opinion, Silent};
use crate::judge::{CacheKey, consistency};
use crate::trace::subject::{Exchange, Graded, Halt, Services, Subject};

/// Spans that are judged one by one in one trace.
pub(super) const SPANS_MAX: usize = 100;

/// The window of a judge of which nothing is known, in tokens.
const WINDOW_TOKENS: u32 = 128_000;

/// What stands where an input asks for the whole trace.
const SHOWN: &str = "(as shown under \"Trace\")";

/// One trace before the judges of one grader.
pub(super) struct Hearing<'a> {
    pub(super) grader: &'a Llm,
    pub(super) subject: &'a Subject<'a>,
    pub(super) asking: Asking<'a>,
    /// The trace.
    pub(super) party: Party<'a>,
    pub(super) order: Order,
}

/// What is judged: all of a trace, the spans of a focus, or one span.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) focus: Option<&'a [u32]>,
    pub(super) span: Option<&'a SpanId>,
}

/// A question that is ready to be asked.
pub(super) struct Question<'a> {
    /// The span that it is about, of graders that judge span by span.
    pub(super) span: Option<&'a SpanId>,
    /// With its reference filled in.
    pub(super) criterion: Criterion,
    /// The trace that is shown; the second too where two are compared.
    pub(super) first: Part<'a>,
    pub(super) second: Option<Part<'a>>,
}

/// A trace as a question shows it.
pub(super) struct Part<'a> {
    pub(super) party: &'a Party<'a>,
    pub(super) focus: Option<&'a [u32]>,
    pub(super) inputs: Inputs,
    pub(super) mask: &'a Mask,
}

impl<'a> Question<'a> {
    /// Returns what is shown, in order.
    pub(super) fn parts(&self) -> impl Iterator<Item = &Part<'a>> {
        std::iter::once(&self.first).chain(&self.second)
    }
}

impl<'a> Hearing<'a> {
    pub(super) fn new(grader: &'a Llm, subject: &'a Subject<'a>, asking: Asking<'a>) -> Self {
        let known = (asking.trace_hash, subject.run_seed);
        Self {
            grader,
            subject,
            asking,
            party: Party::new(subject.view, subject.context, known, subject.cited),
            order: Order::for_criteria(subject.criteria_per_trace),
        }
    }

    /// Judges span by span.
    pub(super) async fn each(
        &self,
        places: &[u32],
        services: &Services<'_>,
    ) -> Result<Vec<Graded>, Halt> {
        let mut graded = Vec::with_capacity(places.len());
        for (nth, at) in places.iter().enumerate() {
            let id = self.subject.view.spans[*at as usize].id();
            let one = if nth < SPANS_MAX {
                let target = Target {
                    focus: Some(std::slice::from_ref(at)),
                    span: Some(id),
                };
                self.one(target, services).await?
            } else {
                let why = format!("only {SPANS_MAX} spans of a trace are judged one by one");
                Graded::of(Verdict::unscored(UnscoredReason::Budget, why))
            };
            graded.push(Graded {
                span_id: Some(id.clone()),
                ..one
            });
        }
        Ok(graded)
    }

    /// Judges once; and once more without the words of spans that speak to a judge. A verdict that
    /// depends on them is none.
    pub(super) async fn one(
        &self,
        target: Target<'_>,
        services: &Services<'_>,
    ) -> Result<Graded, Halt> {
        let mut exchanges = Vec::new();
        let mut opinion = match self
            .panel(target, &Mask::default(), services, &mut exchanges)
            .await?
        {
            Ok(opinion) => opinion,
            Err(silent) => return Ok(self.graded(Opinion::silent(silent), exchanges)),
        };
        let directed = self.party.directed();
        if !directed.is_empty() && opinion.is_decision() {
            let mask = self.party.renderer.mask(&directed);
            let masked = self.panel(target, &mask, services, &mut exchanges).await?;
            let masked = masked.unwrap_or_else(Opinion::silent);
            opinion = opinion.confirmed_by(masked, &self.grader.offered, || {
                let ids = directed.iter().map(|at| self.party.span_id(*at).clone());
                ids.collect()
            });
        } else if opinion.is_decision() {
            let (first, judge) = (&opinion, &self.grader.judges[0]);
            let repeats = self
                .repeats(target, judge, first, services, &mut exchanges)
                .await?;
            opinion.notes.samples = repeats;
        }
        opinion.notes.warning = self.same_family(&exchanges);
        Ok(self.graded(opinion, exchanges))
    }

    pub(super) fn graded(&self, opinion: Opinion, exchanges: Vec<Exchange>) -> Graded {
        Graded {
            span_id: None,
            verdict: opinion.verdict(&self.grader.offered, &exchanges),
            scores: BTreeMap::new(),
            exchanges,
        }
    }

    /// Asks all judges and brings them to one word.
    async fn panel(
        &self,
        target: Target<'_>,
        mask: &Mask,
        services: &Services<'_>,
        exchanges: &mut Vec<Exchange>,
    ) -> Result<Result<Opinion, Silent>, Halt> {
        let question = match self.question(target, mask) {
            Ok(question) => question,
            Err(silent) => return Ok(Err(silent)),
        };
        let mut opinions = Vec::with_capacity(self.grader.judges.len());
        for judge in &self.grader.judges {
            let session = self.session(&question, judge, services, 0);
            let heard = session.hear(exchanges).await?;
            opinions.push((session.model.to_owned(), heard));
        }
        Ok(Ok(verdict::combined(opinions, &self.grader.offered)))
    }

    /// Asks one judge the same again, where it is this trace's turn: that measures the judge and does not
    /// vote.
    async fn repeats(
        &self,
        target: Target<'_>,
        judge: &JudgeSpec,
        first: &Opinion,
        services: &Services<'_>,
        exchanges: &mut Vec<Exchange>,
    ) -> Result<Vec<Value>, Halt> {
        let grader = self.grader;
        if grader.samples < 2 || grader.judges.len() > 1 || !self.is_sampled(target) {
            return Ok(Vec::new());
        }
        let mask = Mask::default();
        let Ok(question) = self.question(target, &mask) else {
            return Ok(Vec::new());
        };
        let mut votes = vec![first.vote()];
        for sample in 1..grader.samples {
            let session = self.session(&question, judge, services, sample);
            votes.push(session.hear(exchanges).await?.vote());
        }
        Ok(votes)
    }

    fn is_sampled(&self, target: Target<'_>) -> bool {
        let span = target.span.map(SpanId::as_str).unwrap_or_default();
        let parts = json!({ "samples": span });
        let hash = self.asking.trace_hash.as_bytes();
        let key = CacheKey::new(&parts, hash, "", &Value::Null);
        consistency::is_sampled(&key, self.grader.samples_share)
    }

    pub(super) fn session<'s>(
        &'s self,
        question: &'s Question<'s>,
        judge: &'s JudgeSpec,
        services: &Services<'s>,
        sample: u32,
    ) -> Session<'s> {
        let model = judge.model.as_deref().or(services.model);
        Session {
            hearing: self,
            question,
            model: model.unwrap_or_default(),
            params: session::params(judge, self.grader, sample),
            sample,
        }
    }

    /// Returns the question with what the trace tells in its reference and its inputs.
    fn question<'q>(&'q self, target: Target<'q>, mask: &'q Mask) -> Result<Question<'q>, Silent> {
        Ok(Question {
            span: target.span,
            criterion: self.criterion()?,
            first: self.part(&self.party, target.focus, mask)?,
            second: None,
        })
    }

    /// Returns the criterion with its reference filled in. The prompt fences it as a whole.
    pub(super) fn criterion(&self) -> Result<Criterion, Silent> {
        let shown = || SHOWN.to_owned();
        let scope = TraceScope {
            view: self.subject.view,
            trace: &shown,
            spans: &shown,
        };
        let mut criterion = self.grader.criterion.clone();
        if let Some(reference) = &self.grader.reference {
            let text = reference.render(&scope.unfenced()).map_err(missing)?;
            criterion.reference = Some(text);
        }
        Ok(criterion)
    }

    /// Returns a trace as it is shown, with what it tells in the grader's inputs.
    pub(super) fn part<'q>(
        &self,
        party: &'q Party<'q>,
        focus: Option<&'q [u32]>,
        mask: &'q Mask,
    ) -> Result<Part<'q>, Silent> {
        let shown = || SHOWN.to_owned();
        let scope = TraceScope {
            view: party.view,
            trace: &shown,
            spans: &shown,
        };
        let fenced = scope.fenced(&party.fence, mask);
        Ok(Part {
            party,
            focus,
            inputs: Inputs::fill(&self.grader.inputs, &fenced).map_err(missing)?,
            mask,
        })
    }

    /// Returns how many tokens of a trace this judge is shown.
    pub(super) fn budget_tokens(&self, model: &str) -> u32 {
        let window = self.subject.context.windows.of(model);
        let window = window.and_then(|tokens| u32::try_from(tokens).ok());
        let budget = budget_of_window(window.unwrap_or(WINDOW_TOKENS));
        self.grader
            .budget_tokens
            .map_or(budget, |asked| asked.min(budget))
    }

    /// Returns a warning where a judge is of the family of the models that it judges.
    pub(super) fn same_family(&self, exchanges: &[Exchange]) -> Option<String> {
        let counterpart = self.subject.counterpart.map(|other| other.view);
        let views = std::iter::once(self.subject.view).chain(counterpart);
        let judged: Vec<&String> = views.flat_map(|view| &view.row.models).collect();
        let kin = exchanges.iter().find_map(|exchange| {
            let of_judge = family(&exchange.model);
            let kin = judged.iter().find(|model| family(model) == of_judge)?;
            Some((exchange.model.as_str(), kin.as_str()))
        });
        kin.map(|(judge, model)| format!("the judge {judge} is of the family of {model}"))
    }

    /// Returns what judging this target so many times is thought to cost.
    pub(super) fn estimate(
        &self,
        target: Target<'_>,
        times: usize,
        services: &Services<'_>,
    ) -> Option<NanoUsd> {
        let mask = Mask::default();
        let Ok(question) = self.question(target, &mask) else {
            return Some(NanoUsd::default());
        };
        let mut total = NanoUsd::default();
        for judge in &self.grader.judges {
            let session = self.session(&question, judge, services, 0);
            total = total.saturating_add(session.estimate()?);
        }
        let is_repeated = self.grader.judges.len() == 1 && self.is_sampled(target);
        let asked = match (self.party.directed().is_empty(), is_repeated) {
            (false, _) => 2,
            (true, true) => i64::from(self.grader.samples),
            (true, false) => 1,
        };
        let asked = asked.saturating_mul(i64::try_from(times).unwrap_or(i64::MAX));
        Some(NanoUsd(total.0.saturating_mul(asked)))
    }
}

fn missing(error: MissingVariable) -> Silent {
    Silent {
        reason: UnscoredReason::MissingVariable,
        why: format!("the grader names what the trace does not have: {error}"),
    }
}
