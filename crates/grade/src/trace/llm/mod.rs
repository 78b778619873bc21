//! Graders that ask a judge.
//!
//! A judge answers one criterion about one trace, reasons first and points at spans. What it is shown and
//! how its words are read is [`insight::judging`]'s; here it is asked: in the order that a provider's cache
//! likes best, again where an answer cannot be used, with tools where a trace is too long to be shown, twice
//! where the trace speaks to its judge, several judges where a panel is wanted.
//!
//! Whatever goes wrong on the way is a verdict without a score that says why; only what would go wrong with
//! every other trace too halts the run. What a judgement went through stands in the parameters of the
//! verdict's judge under `judgement`: `tier`, `reading`, `panel`, `samples` and so on.

mod ask;
mod chances;
mod definition;
mod session;
mod verdict;

use std::collections::BTreeMap;

use insight::fence::{Fence, Nonce};
use insight::judging::{Criterion, Inputs, Order};
use insight::render::{Mask, Renderer, budget_of_window};
use insight::template::TraceScope;
use insight::{Detector, Detectors, Finding};
use model::{NanoUsd, Outcome, SpanId, UnscoredReason, Verdict};

pub(super) use ask::{Asking, Unanswered};
pub(super) use definition::Llm;
pub(super) use verdict::{Silent, judge_use};

use super::Subject;
use super::environment::Known;
use super::subject::{Exchange, Graded, Halt, Services};
use crate::judge::{CacheKey, consistency};
use session::Session;
use verdict::Opinion;

/// Spans that are judged one by one in one trace.
const SPANS_MAX: usize = 100;

/// The window of a judge of which nothing is known, in tokens.
const WINDOW_TOKENS: u32 = 128_000;

/// What to do where a sender gives no texts.
pub(super) const NO_CONTENT: &str = "the sender gave no texts to read: record with our trace processor, or send spans \
                          with their inputs and outputs (with the stock exporter of the Agents SDK, \
                          calls of the Responses API have none)";

/// What to do where there is no judge.
pub(super) const NO_JUDGE: &str = "no judge is configured: name a `model` and set OPENAI_API_KEY (OPENAI_BASE_URL for \
                        another provider)";

/// What stands where an input asks for the whole trace.
const SHOWN: &str = "(as shown under \"Trace\")";

/// One trace before the judges of one grader.
struct Hearing<'a> {
    grader: &'a Llm,
    subject: &'a Subject<'a>,
    asking: Asking<'a>,
    renderer: &'a Renderer<'a>,
    fence: Fence,
    order: Order,
}

/// What is judged: all of a trace, the spans of a focus, or one span.
#[derive(Clone, Copy)]
struct Target<'a> {
    focus: Option<&'a [u32]>,
    span: Option<&'a SpanId>,
}

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
        let trace_hash = subject.hash();
        let Some(desk) = services.desk else {
            return Ok(vec![Graded::of(no_judge())]);
        };
        let renderer = Renderer::new(subject.view, &subject.context.effects);
        let hearing = Hearing {
            grader: self,
            subject,
            asking: Asking::new(desk, hash, &trace_hash, subject.attempt),
            renderer: &renderer,
            fence: fence(subject.run_seed, &trace_hash),
            order: Order::for_criteria(subject.criteria_per_trace),
        };
        match (&focus, self.per_span) {
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
        let trace_hash = subject.hash();
        let renderer = Renderer::new(subject.view, &subject.context.effects);
        let hearing = Hearing {
            grader: self,
            subject,
            asking: Asking::new(desk, "", &trace_hash, subject.attempt),
            renderer: &renderer,
            fence: fence(subject.run_seed, &trace_hash),
            order: Order::for_criteria(subject.criteria_per_trace),
        };
        let (focus, times) = match (&focus, self.per_span) {
            (Some(places), true) => (Some(&places[..1]), places.len().min(SPANS_MAX)),
            (focus, _) => (focus.as_deref(), 1),
        };
        let target = Target { focus, span: None };
        hearing.estimate(target, times, services)
    }
}

impl Hearing<'_> {
    /// Judges span by span.
    async fn each(&self, places: &[u32], services: &Services<'_>) -> Result<Vec<Graded>, Halt> {
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
    async fn one(&self, target: Target<'_>, services: &Services<'_>) -> Result<Graded, Halt> {
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
            opinion = opinion.confirmed_by(&masked, &self.grader.offered, || {
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
        let (criterion, inputs) = match self.filled(mask) {
            Ok(filled) => filled,
            Err(silent) => return Ok(Err(silent)),
        };
        let mut opinions = Vec::with_capacity(self.grader.judges.len());
        for judge in &self.grader.judges {
            let session = Session {
                hearing: self,
                target,
                criterion: &criterion,
                inputs: &inputs,
                mask,
                is_masked: !self.is_whole(mask),
                model: model_of(judge, services),
                params: session::params(judge, self.grader, 0),
                sample: 0,
            };
            let heard = session.hear(exchanges).await?;
            opinions.push((session.model.to_owned(), heard));
        }
        Ok(Ok(verdict::combined(opinions, &self.grader.offered)))
    }

    fn is_whole(&self, mask: &Mask) -> bool {
        mask.is_empty()
    }

    /// Asks one judge the same again, where it is this trace's turn: that measures the judge and does not
    /// vote.
    async fn repeats(
        &self,
        target: Target<'_>,
        judge: &definition::JudgeSpec,
        first: &Opinion,
        services: &Services<'_>,
        exchanges: &mut Vec<Exchange>,
    ) -> Result<Vec<String>, Halt> {
        let grader = self.grader;
        if grader.samples < 2 || grader.judges.len() > 1 || !self.is_sampled(target) {
            return Ok(Vec::new());
        }
        let mask = Mask::default();
        let Ok((criterion, inputs)) = self.filled(&mask) else {
            return Ok(Vec::new());
        };
        let mut words = vec![first.word()];
        for sample in 1..grader.samples {
            let session = Session {
                hearing: self,
                target,
                criterion: &criterion,
                inputs: &inputs,
                mask: &mask,
                is_masked: false,
                model: model_of(judge, services),
                params: session::params(judge, grader, sample),
                sample,
            };
            words.push(session.hear(exchanges).await?.word());
        }
        Ok(words)
    }

    fn is_sampled(&self, target: Target<'_>) -> bool {
        let span = target.span.map(SpanId::as_str).unwrap_or_default();
        let parts = serde_json::json!({ "samples": span });
        let hash = self.asking.trace_hash.as_bytes();
        let key = CacheKey::new(&parts, hash, "", &serde_json::Value::Null);
        consistency::is_sampled(&key, self.grader.samples_share)
    }

    /// Returns the criterion and the inputs with what the trace tells in them.
    fn filled(&self, mask: &Mask) -> Result<(Criterion, Inputs), Silent> {
        let shown = || SHOWN.to_owned();
        let scope = TraceScope {
            view: self.subject.view,
            trace: &shown,
            spans: &shown,
        };
        let missing = |error: insight::template::MissingVariable| Silent {
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
        Ok((criterion, inputs))
    }

    /// Returns the spans whose texts speak to a judge.
    fn directed(&self) -> Vec<u32> {
        let subject = self.subject;
        let findings = Detectors::only([Detector::D27]).run(subject.view, subject.context);
        self.places_of(&findings)
    }

    /// Returns the spans at which all detectors point.
    fn hits(&self) -> Vec<u32> {
        let subject = self.subject;
        let findings = Detectors::all().run(subject.view, subject.context);
        self.places_of(&findings)
    }

    fn places_of(&self, findings: &[Finding]) -> Vec<u32> {
        let hits = findings.iter().flat_map(Finding::hits);
        self.places_named(hits.flat_map(|hit| &hit.spans))
    }

    fn places_named<'i>(&self, ids: impl Iterator<Item = &'i SpanId>) -> Vec<u32> {
        let ids: std::collections::HashSet<&SpanId> = ids.collect();
        let all = (0u32..).zip(&self.subject.view.spans);
        let named = all.filter(|(_, span)| ids.contains(span.id()));
        named.map(|(at, _)| at).collect()
    }

    /// Returns how many tokens of a trace this judge is shown.
    fn budget_tokens(&self, model: &str) -> u32 {
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

    fn estimate(
        &self,
        target: Target<'_>,
        times: usize,
        services: &Services<'_>,
    ) -> Option<NanoUsd> {
        let mask = Mask::default();
        let Ok((criterion, inputs)) = self.filled(&mask) else {
            return Some(NanoUsd::default());
        };
        let mut total = NanoUsd::default();
        for judge in &self.grader.judges {
            let session = Session {
                hearing: self,
                target,
                criterion: &criterion,
                inputs: &inputs,
                mask: &mask,
                is_masked: false,
                model: model_of(judge, services),
                params: session::params(judge, self.grader, 0),
                sample: 0,
            };
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

fn model_of<'a>(judge: &'a definition::JudgeSpec, services: &Services<'a>) -> &'a str {
    judge
        .model
        .as_deref()
        .or(services.model)
        .unwrap_or_default()
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
