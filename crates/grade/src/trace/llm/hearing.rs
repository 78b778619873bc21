//! One trace before the judges of one grader: who is asked, how often, and what they say together.

use std::collections::{BTreeMap, HashSet};

use insight::fence::Fence;
use insight::judging::{Criterion, Inputs, Order};
use insight::render::{Mask, Renderer, budget_of_window};
use insight::template::{MissingVariable, TraceScope};
use insight::{Detector, Detectors, Finding};
use model::{NanoUsd, SpanId, UnscoredReason, Verdict};
use serde_json::{Value, json};

use super::ask::Asking;
use super::definition::{JudgeSpec, Llm};
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
    pub(super) renderer: &'a Renderer<'a>,
    pub(super) fence: Fence,
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
    pub(super) target: Target<'a>,
    /// With its reference filled in.
    pub(super) criterion: Criterion,
    pub(super) inputs: Inputs,
    pub(super) mask: &'a Mask,
}

impl<'a> Hearing<'a> {
    pub(super) fn new(
        grader: &'a Llm,
        subject: &'a Subject<'a>,
        asking: Asking<'a>,
        renderer: &'a Renderer<'a>,
    ) -> Self {
        Self {
            grader,
            subject,
            asking,
            renderer,
            fence: super::fence(subject.run_seed, asking.trace_hash),
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
        let directed = self.directed();
        if !directed.is_empty() && opinion.is_decision() {
            let mask = self.renderer.mask(&directed);
            let masked = self.panel(target, &mask, services, &mut exchanges).await?;
            let masked = masked.unwrap_or_else(Opinion::silent);
            opinion = opinion.confirmed_by(masked, &self.grader.offered, || {
                let spans = &self.subject.view.spans;
                directed
                    .iter()
                    .map(|at| spans[*at as usize].id().clone())
                    .collect()
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

    fn graded(&self, opinion: Opinion, exchanges: Vec<Exchange>) -> Graded {
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

    fn session<'s>(
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
    fn question<'q>(&self, target: Target<'q>, mask: &'q Mask) -> Result<Question<'q>, Silent> {
        let shown = || SHOWN.to_owned();
        let scope = TraceScope {
            view: self.subject.view,
            trace: &shown,
            spans: &shown,
        };
        let missing = |error: MissingVariable| Silent {
            reason: UnscoredReason::MissingVariable,
            why: format!("the grader names what the trace does not have: {error}"),
        };
        let fenced = scope.fenced(&self.fence, mask);
        let inputs = Inputs::fill(&self.grader.inputs, &fenced).map_err(missing)?;
        let mut criterion = self.grader.criterion.clone();
        if let Some(reference) = &self.grader.reference {
            // The prompt fences it as a whole.
            let text = reference.render(&scope.unfenced()).map_err(missing)?;
            criterion.reference = Some(text);
        }
        Ok(Question {
            target,
            criterion,
            inputs,
            mask,
        })
    }

    /// Returns the spans whose texts speak to a judge.
    fn directed(&self) -> Vec<u32> {
        let subject = self.subject;
        let findings = Detectors::only([Detector::D27]).run(subject.view, subject.context);
        self.places_of(&findings)
    }

    /// Returns the spans at which all detectors point.
    pub(super) fn hits(&self) -> Vec<u32> {
        let subject = self.subject;
        let findings = Detectors::all().run(subject.view, subject.context);
        self.places_of(&findings)
    }

    fn places_of(&self, findings: &[Finding]) -> Vec<u32> {
        let hits = findings.iter().flat_map(Finding::hits);
        self.places_named(hits.flat_map(|hit| &hit.spans))
    }

    /// Returns the places of these spans.
    pub(super) fn places_named<'i>(&self, ids: impl Iterator<Item = &'i SpanId>) -> Vec<u32> {
        let ids: HashSet<&SpanId> = ids.collect();
        let all = (0u32..).zip(&self.subject.view.spans);
        let named = all.filter(|(_, span)| ids.contains(span.id()));
        named.map(|(at, _)| at).collect()
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
    fn same_family(&self, exchanges: &[Exchange]) -> Option<String> {
        let judged = &self.subject.view.row.models;
        let kin = exchanges.iter().find_map(|exchange| {
            let family = verdict::family(&exchange.model);
            let kin = judged
                .iter()
                .find(|model| verdict::family(model) == family)?;
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
        let asked = match (self.directed().is_empty(), is_repeated) {
            (false, _) => 2,
            (true, true) => i64::from(self.grader.samples),
            (true, false) => 1,
        };
        let asked = asked.saturating_mul(i64::try_from(times).unwrap_or(i64::MAX));
        Some(NanoUsd(total.0.saturating_mul(asked)))
    }
}
