//! A formula over the scores of other graders.
//!
//! A part gives its number, else 1 for a pass and 0 for a fail. OpenAI's `multi` counts a part that failed
//! as 0; here no verdict is not a fail, so a part without one leaves the whole without one. Rules among
//! the parts see what the others gave, `score("key")`, and run after them.

use std::collections::{BTreeMap, HashSet};

use model::{NanoUsd, Outcome, SpanId, UnscoredReason, Verdict};
use serde_json::{Map, Value};

use super::subject::{Exchange, Graded, Halt, Services};
use super::{Kind, Subject, TraceGrader, scales};
use crate::openai::formula::Formula;
use crate::openai::problems::{Fields, join};
use crate::scale::GraderScale;

/// Parts of one grader.
const PARTS_MAX: usize = 32;

/// A formula over other graders.
#[derive(Debug)]
pub(super) struct Multi {
    /// In the order of the definition.
    parts: Vec<(String, TraceGrader)>,
    /// In which order they run.
    order: Vec<usize>,
    formula: Formula,
    formula_text: String,
    scale: GraderScale,
}

/// What the parts said so far.
#[derive(Default)]
struct Said {
    scores: BTreeMap<String, f64>,
    /// Of each part, by its place, the verdict that is none.
    without: BTreeMap<usize, Verdict>,
    citations: Vec<SpanId>,
    exchanges: Vec<Exchange>,
}

impl Multi {
    pub(super) fn parse(fields: &mut Fields<'_, '_>, path: &str) -> Option<Self> {
        fields.only(&[
            "type",
            "name",
            "graders",
            "calculate_output",
            "range",
            "pass_threshold",
            "integer",
            "scale",
        ]);
        let parts = parts(fields, path);
        let scale = scales::of_code(fields, None);
        let help = "write a formula over the keys of `graders`, such as `(a + b) / 2`";
        let text = fields.text("calculate_output", help);
        let (keys, parts) = parts?;
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let formula = match Formula::parse(text?, &keys) {
            Ok(formula) => Some(formula),
            Err(error) => {
                fields.note("calculate_output", error.to_string(), help);
                None
            }
        };
        let parts = parts?;
        for (key, part) in &parts {
            if part.is_pairwise() {
                let help = "save it as a grader of its own";
                fields.note(&format!("graders.{key}"), "compares two traces", help);
            }
        }
        let order = order(&parts).map_err(|key| {
            let message = format!("`{key}` asks for a score that depends on its own");
            fields.note(
                "graders",
                message,
                "let rules ask for scores of other parts",
            );
        });
        Some(Self {
            parts,
            order: order.ok()?,
            formula: formula?,
            formula_text: text?.to_owned(),
            scale: scale?,
        })
    }

    pub(super) fn scale(&self) -> &GraderScale {
        &self.scale
    }

    pub(super) fn definition(&self) -> Map<String, Value> {
        let parts = self.parts.iter();
        let parts: Map<String, Value> = parts
            .map(|(key, grader)| (key.clone(), grader.definition().clone()))
            .collect();
        let mut definition = Map::new();
        definition.insert("graders".into(), parts.into());
        definition.insert("calculate_output".into(), self.formula_text.as_str().into());
        scales::write(&self.scale, &mut definition);
        definition
    }

    /// Returns the parts.
    pub(super) fn parts(&self) -> impl Iterator<Item = (&str, &TraceGrader)> {
        self.parts
            .iter()
            .map(|(key, grader)| (key.as_str(), grader))
    }

    pub(super) fn estimate(
        &self,
        subject: &Subject<'_>,
        services: &Services<'_>,
    ) -> Option<NanoUsd> {
        let subject = self.counted(subject);
        let estimates = self
            .parts
            .iter()
            .map(|(_, part)| part.estimate(&subject, services));
        estimates.sum_all()
    }

    pub(super) fn grade_now(&self, subject: &Subject<'_>) -> Option<Verdict> {
        let mut said = Said::default();
        for at in &self.order {
            let part = &self.parts[*at].1;
            let verdict = part.grade_now_with(subject, Some(&said.scores))?;
            said.add(*at, &self.parts[*at].0, verdict);
        }
        Some(self.combined(&said))
    }

    pub(super) async fn grade(
        &self,
        subject: &Subject<'_>,
        services: &Services<'_>,
    ) -> Result<Graded, Halt> {
        let subject = self.counted(subject);
        let mut said = Said::default();
        for at in &self.order {
            let (key, part) = &self.parts[*at];
            let verdict = match part.grade_now_with(&subject, Some(&said.scores)) {
                Some(verdict) => verdict,
                None => {
                    // One after the other: what a provider caches of the trace is there for the next.
                    let graded = Box::pin(part.grade(&subject, services)).await?;
                    let Some(graded) = graded.into_iter().next() else {
                        continue;
                    };
                    said.exchanges.extend(graded.exchanges);
                    graded.verdict
                }
            };
            said.add(*at, key, verdict);
        }
        let judge = (!said.exchanges.is_empty()).then(|| super::llm::judge_use(&said.exchanges));
        let verdict = self.combined(&said);
        Ok(Graded {
            scores: said.scores,
            exchanges: said.exchanges,
            ..Graded::of(Verdict { judge, ..verdict })
        })
    }

    /// Returns the subject, asked at least as many questions as this grader has.
    fn counted<'a>(&self, subject: &Subject<'a>) -> Subject<'a> {
        let own = self.parts.iter().map(|(_, part)| part.criteria()).sum();
        Subject {
            criteria_per_trace: subject.criteria_per_trace.max(own),
            ..*subject
        }
    }

    fn combined(&self, said: &Said) -> Verdict {
        let used = said
            .without
            .iter()
            .filter(|(at, _)| self.formula.uses(**at));
        let mut used = used.map(|(at, verdict)| (self.parts[*at].0.as_str(), verdict));
        let is_unscored = |(_, verdict): &(&str, &Verdict)| verdict.outcome == Outcome::Unscored;
        let first = used.clone().find(is_unscored).or_else(|| used.next());
        if let Some((key, verdict)) = first {
            let why = verdict.reasoning.as_deref().unwrap_or("it gave no number");
            return Verdict {
                outcome: verdict.outcome,
                unscored_reason: verdict.unscored_reason,
                ..Verdict::unscored(UnscoredReason::Code, format!("`{key}`: {why}"))
            };
        }
        let keys = self.parts.iter().map(|(key, _)| key);
        let scores: Vec<f64> = keys
            .clone()
            .map(|key| said.scores.get(key).copied().unwrap_or_default())
            .collect();
        let score = match self.formula.value(&scores) {
            Ok(score) => score,
            Err(error) => return Verdict::unscored(UnscoredReason::Code, error.to_string()),
        };
        let told = keys
            .zip(&scores)
            .map(|(key, score)| format!("{key} = {score}"));
        Verdict {
            score: Some(score),
            reasoning: Some(told.collect::<Vec<_>>().join(", ")),
            citations: said.citations.clone(),
            ..Verdict::new(self.outcome(score))
        }
    }

    fn outcome(&self, score: f64) -> Outcome {
        let least = match &self.scale {
            GraderScale::Number { pass_threshold, .. } => *pass_threshold,
            GraderScale::PassFail => Some(0.5),
            GraderScale::Labels { .. } => None,
        };
        match least.map(|least| score >= least) {
            None => Outcome::Value,
            Some(true) => Outcome::Pass,
            Some(false) => Outcome::Fail,
        }
    }
}

impl Said {
    fn add(&mut self, at: usize, key: &str, verdict: Verdict) {
        for span in &verdict.citations {
            if !self.citations.contains(span) {
                self.citations.push(span.clone());
            }
        }
        match super::number_of(&verdict) {
            Some(score) => drop(self.scores.insert(key.to_owned(), score)),
            None => drop(self.without.insert(at, verdict)),
        }
    }
}

/// A sum that is not known if a part is not.
trait SumAll {
    fn sum_all(self) -> Option<NanoUsd>;
}

impl<I: Iterator<Item = Option<NanoUsd>>> SumAll for I {
    fn sum_all(mut self) -> Option<NanoUsd> {
        self.try_fold(NanoUsd::default(), |sum, one| {
            Some(sum.saturating_add(one?))
        })
    }
}

type Parts = (Vec<String>, Option<Vec<(String, TraceGrader)>>);

/// Reads the parts, every one of them; the keys stay even of those that cannot be read.
fn parts(fields: &mut Fields<'_, '_>, path: &str) -> Option<Parts> {
    let help = "write an object of graders by name, such as {\"a\": {…}, \"b\": {…}}";
    let graders = fields.required("graders", help)?;
    let Some(by_name) = graders.as_object().filter(|by_name| !by_name.is_empty()) else {
        fields.note("graders", "is no object, or an empty one", help);
        return None;
    };
    if by_name.len() > PARTS_MAX {
        let message = format!("are {}", by_name.len());
        fields.note("graders", message, format!("write {PARTS_MAX} at most"));
        return None;
    }
    let path = join(path, "graders");
    let mut read = Vec::new();
    for (key, definition) in by_name {
        let place = join(&path, key);
        let part = TraceGrader::read(definition, &place, fields.problems);
        read.push(part.and_then(|part| match &part.kind {
            Kind::Multi(_) => {
                let message = "a `multi` cannot be part of a `multi`";
                fields
                    .problems
                    .note(join(&place, "type"), message, "write its parts here");
                None
            }
            Kind::Llm(llm) if llm.per_span => {
                let message = "is \"span\", and a formula needs one number";
                fields
                    .problems
                    .note(join(&place, "per"), message, "leave it out");
                None
            }
            _ => Some((key.clone(), part)),
        }));
    }
    Some((
        by_name.keys().cloned().collect(),
        read.into_iter().collect(),
    ))
}

/// Returns an order in which each part runs after those whose scores it asks for, or a part that waits for
/// itself.
fn order(parts: &[(String, TraceGrader)]) -> Result<Vec<usize>, String> {
    let keys: HashSet<&str> = parts.iter().map(|(key, _)| key.as_str()).collect();
    let mut known: HashSet<&str> = HashSet::new();
    let mut order = Vec::with_capacity(parts.len());
    while order.len() < parts.len() {
        let is_ready = |at: &usize| {
            let needs = parts[*at].1.needs().scores;
            let mut own = needs.iter().filter(|key| keys.contains(key.as_str()));
            !order.contains(at) && own.all(|key| known.contains(key.as_str()))
        };
        let ready: Vec<usize> = (0..parts.len()).filter(is_ready).collect();
        if ready.is_empty() {
            let mut waiting = (0..parts.len()).filter(|at| !order.contains(at));
            let first = waiting.next().unwrap_or_default();
            return Err(parts[first].0.clone());
        }
        known.extend(ready.iter().map(|at| parts[*at].0.as_str()));
        order.extend(ready);
    }
    Ok(order)
}
