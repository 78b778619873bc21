//! One trace of a run, from its view to its grades.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use grade::trace::{Counterpart, Exchange, Graded, Halt, Subject};
use insight::TraceView;
use model::{Grade, Outcome, SpanId, Time, UnscoredReason, Verdict};
use store::meta::{GradingItem, GradingRun, ItemEnd};

use super::context::{Baselines, Known};
use super::judge::Bill;
use super::plan::{Plan, Planned, Scores};

/// What all traces of a run are graded with.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) run: GradingRun,
    pub(super) plan: Plan,
    /// What the project says of its tools, workflows, models and schemas.
    pub(super) known: Known,
    /// What the rules of the run ask of earlier traces.
    pub(super) baselines: Baselines,
    /// The hash of each grader with what the project says, in the plan's order.
    pub(super) hashes: Vec<String>,
    /// What the fences are named by.
    pub(super) seed: String,
}

/// What came of one trace.
#[derive(Debug)]
pub(super) struct ItemGrades {
    pub(super) grades: Vec<Grade>,
    pub(super) end: ItemEnd,
    /// What judges were asked, with the grader's place in the plan.
    pub(super) exchanges: Vec<(usize, Exchange)>,
}

/// What graders said of a trace so far.
#[derive(Debug, Default)]
struct Said {
    verdicts: Vec<(usize, Graded)>,
    scores: Scores,
    cited: Vec<SpanId>,
}

impl Default for ItemGrades {
    fn default() -> Self {
        Self {
            grades: Vec::new(),
            end: ItemEnd::Scored,
            exchanges: Vec::new(),
        }
    }
}

impl Said {
    fn add(&mut self, at: usize, planned: &Planned, graded: Vec<Graded>) {
        for one in graded {
            if one.span_id.is_none()
                && let Some(score) = score_of(&one.verdict)
            {
                self.scores.insert(planned.frozen.name.clone(), score);
            }
            if one.verdict.outcome == Outcome::Fail {
                self.cited.extend(one.verdict.citations.iter().cloned());
            }
            self.verdicts.push((at, one));
        }
    }
}

/// Returns what a rule gets that asks for the score of a grader.
fn score_of(verdict: &Verdict) -> Option<f64> {
    verdict.score.or(match verdict.outcome {
        Outcome::Pass => Some(1.0),
        Outcome::Fail => Some(0.0),
        _ => None,
    })
}

impl Bench {
    /// Grades a trace at once, by graders that ask nobody.
    pub(super) fn grade_now(&self, item: &GradingItem, view: &TraceView, at: Time) -> ItemGrades {
        let mut said = Said::default();
        for (place, planned) in self.plan.graders().iter().enumerate() {
            let subject = self.subject(item, view, "", &said);
            let graded =
                std::panic::catch_unwind(AssertUnwindSafe(|| planned.grader.grade_now(&subject)));
            let verdict = match graded {
                Ok(Some(verdict)) => verdict,
                Ok(None) => Verdict::unscored(UnscoredReason::Code, "the grader cannot be run so"),
                Err(_panic) => panicked(planned),
            };
            said.add(place, planned, vec![of_trace(verdict)]);
        }
        self.graded(item, said, at)
    }

    /// Grades a trace by graders of any kind; with `other` those that compare hold it against that.
    pub(super) async fn grade(
        &self,
        item: &GradingItem,
        (view, other): (&TraceView, Option<&TraceView>),
        bill: &Bill<'_>,
        now: impl Fn() -> Time,
    ) -> Result<ItemGrades, Halt> {
        let hash = self.known.trace_hash(view);
        let other_hash = other.map(|other| self.known.trace_hash(other));
        let other_hash = other_hash.unwrap_or_default();
        let counterpart = item.counterpart.as_ref().zip(other);
        let counterpart = counterpart.map(|(trace_id, view)| Counterpart {
            trace_id,
            view,
            trace_hash: &other_hash,
        });
        let services = bill.services();
        let mut said = Said::default();
        for (place, planned) in self.plan.graders().iter().enumerate() {
            if counterpart.is_none() && planned.grader.is_pairwise() {
                said.add(place, planned, vec![of_trace(parted())]);
                continue;
            }
            let subject = Subject {
                counterpart,
                ..self.subject(item, view, &hash, &said)
            };
            let graded = AssertUnwindSafe(planned.grader.grade(&subject, &services));
            let graded = match graded.catch_unwind().await {
                Ok(graded) => graded?,
                Err(_panic) => vec![of_trace(panicked(planned))],
            };
            said.add(place, planned, graded);
        }
        Ok(self.graded(item, said, now()))
    }

    /// Returns what is written of a trace that cannot be read.
    pub(super) fn unreadable(&self, item: &GradingItem, why: &str, at: Time) -> ItemGrades {
        let mut said = Said::default();
        for (place, planned) in self.plan.graders().iter().enumerate() {
            let verdict = Verdict::unscored(UnscoredReason::Unreadable, why);
            said.add(place, planned, vec![of_trace(verdict)]);
        }
        self.graded(item, said, at)
    }

    fn subject<'a>(
        &'a self,
        item: &GradingItem,
        view: &'a TraceView,
        hash: &'a str,
        said: &'a Said,
    ) -> Subject<'a> {
        Subject {
            trace_hash: hash,
            run_seed: &self.seed,
            criteria_per_trace: self.plan.criteria_per_trace(),
            attempt: item.attempt,
            scores: &said.scores,
            baselines: self.baselines.of(view),
            cited: &said.cited,
            ..self.known.subject(view)
        }
    }

    fn graded(&self, item: &GradingItem, said: Said, at: Time) -> ItemGrades {
        let mut exchanges = Vec::new();
        let mut grades = Vec::with_capacity(said.verdicts.len());
        for (place, graded) in said.verdicts {
            let frozen = &self.plan.graders()[place].frozen;
            exchanges.extend(graded.exchanges.into_iter().map(|it| (place, it)));
            grades.push(Grade {
                run_id: self.run.id.clone(),
                item_id: item.trace_id.to_string(),
                attempt: item.attempt,
                grader_id: frozen.id.clone(),
                grader_name: frozen.name.clone(),
                grader_version: frozen.version,
                grader_hash: self.hashes[place].clone(),
                trace_id: Some(item.trace_id.clone()),
                span_id: graded.span_id,
                group_id: item.group_id.clone(),
                stratum: item.stratum.clone(),
                weight: item.weight,
                verdict: graded.verdict,
                created_at: at,
                trace_started_at: item.trace_started_at,
            });
        }
        let is_unscored = |grade: &Grade| grade.verdict.outcome == Outcome::Unscored;
        let end = match grades.iter().any(is_unscored) {
            true => ItemEnd::Unscored,
            false => ItemEnd::Scored,
        };
        ItemGrades {
            grades,
            end,
            exchanges,
        }
    }
}

fn of_trace(verdict: Verdict) -> Graded {
    Graded {
        span_id: None,
        verdict,
        scores: BTreeMap::new(),
        exchanges: Vec::new(),
    }
}

/// Returns what is said of a trace whose partner is gone: no run with a grader that compares has a trace
/// without one.
fn parted() -> Verdict {
    let why = "the trace that this one was to be compared with was deleted";
    Verdict {
        reasoning: Some(why.to_owned()),
        ..Verdict::new(Outcome::NotApplicable)
    }
}

fn panicked(planned: &Planned) -> Verdict {
    let name = &planned.frozen.name;
    tracing::error!(grader = %name, "a grader panicked");
    let why = "the grader panicked: a bug, of which the server's log has the place";
    Verdict::unscored(UnscoredReason::Code, why)
}
