//! Graders of traces as criteria of an eval: graded as a grading run grades, told as the eval tells.
//!
//! An eval keeps rows and results of its own, so there is nothing of a run here: graders in an order in
//! which each finds what it asks of others, and one trace at a time. Judges are asked on the bill of the row
//! that the trace was made a row of.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use grade::trace::{Costs, Exchange, Graded, Halt, Subject, TraceGrader, number_of};
use model::{Outcome, ProjectId, SpanId, Time, TraceId, UnscoredReason, Verdict};
use serde_json::Value;

use super::api::meant;
use super::context::{Baselines, Known, baselines_before};
use super::plan::{Frozen, Plan, Planned, Scores};
use super::purse::{RowBill, fits_later, wait_for_room};
use super::recorded::{self, Judged};
use super::usual::Wanted;
use super::worker::load;
use crate::error::{ApiError, chain};
use crate::read::Viewed;
use crate::state::AppState;

/// A grader that stands as a criterion.
#[derive(Debug, Clone)]
pub(crate) struct TraceCriterion {
    /// What results name.
    pub(crate) id: String,
    /// What rules ask for its score by.
    pub(crate) name: String,
    pub(crate) grader: Arc<TraceGrader>,
}

/// A saved or ready grader that somebody names as a criterion.
#[derive(Debug)]
pub(crate) struct Named {
    /// Its id: `library:` and its name for a ready one.
    pub(crate) id: String,
    pub(crate) version: u32,
    pub(crate) grader: Arc<TraceGrader>,
}

/// Finds the grader that a request names, in the ways in which grading runs are told of theirs.
pub(crate) async fn named(
    state: &AppState,
    project: &ProjectId,
    asked: &Value,
    param: &str,
) -> Result<Named, ApiError> {
    let meant = meant(state, project, asked, param).await?;
    let asked = asked.as_str().or_else(|| asked["name"].as_str());
    Ok(Named {
        id: meant
            .id
            .unwrap_or_else(|| asked.unwrap_or_default().to_owned()),
        version: meant.version,
        grader: meant.grader,
    })
}

/// Returns what the project does not have that a grader asks for, each in a sentence.
pub(crate) fn lacking(state: &AppState, project: &ProjectId, grader: &TraceGrader) -> Vec<String> {
    Known::of(state, project).lacking(grader)
}

/// The criteria of an eval that grade traces, in the order in which they are asked.
#[derive(Debug)]
pub(crate) struct TraceCriteria(Plan);

impl TraceCriteria {
    /// Puts criteria in order, or tells what stands against it, each problem in a sentence. `others` are the
    /// names of criteria that grade rows: they are asked before.
    pub(crate) fn new(criteria: Vec<TraceCriterion>, others: &[&str]) -> Result<Self, Vec<String>> {
        let planned = criteria.into_iter().map(|one| Planned {
            frozen: Frozen {
                id: one.id,
                name: one.name,
                version: 1,
                hash: one.grader.hash().to_owned(),
                definition: one.grader.definition().clone(),
            },
            grader: one.grader,
        });
        let plan = Plan::beside(planned.collect(), others)?;
        match plan.comparing() {
            None => Ok(Self(plan)),
            Some(name) => Err(vec![format!(
                "`{name}` compares a trace with another one, and a row of an eval is one trace: compare two \
                 versions with a grading run"
            )]),
        }
    }

    /// Returns what the dearest of them costs.
    pub(crate) fn costs(&self) -> Costs {
        self.0.costs()
    }
}

/// What a run of an eval grades its traces with.
#[derive(Debug)]
pub(crate) struct TraceBench {
    state: AppState,
    project: ProjectId,
    run_id: String,
    plan: Plan,
    known: Known,
    baselines: Baselines,
}

/// What the criteria said of a trace so far.
#[derive(Default)]
struct Said {
    graded: Vec<(String, Vec<Graded>)>,
    scores: Scores,
    cited: Vec<SpanId>,
}

impl Said {
    fn add(&mut self, planned: &Planned, graded: Vec<Graded>) {
        for one in &graded {
            let of_trace = one.span_id.is_none();
            if let Some(score) = number_of(&one.verdict).filter(|_| of_trace) {
                self.scores.insert(planned.frozen.name.clone(), score);
            }
            if one.verdict.outcome == Outcome::Fail {
                self.cited.extend(one.verdict.citations.iter().cloned());
            }
        }
        self.graded.push((planned.frozen.id.clone(), graded));
    }
}

impl TraceBench {
    /// Makes everything ready for a run that was made at `at`.
    pub(crate) async fn new(
        state: &AppState,
        (project, run_id, at): (&ProjectId, &str, Time),
        criteria: TraceCriteria,
    ) -> Result<Self, ApiError> {
        let baselines = baselines_before(state, project, at, criteria.0.baselines()).await;
        let usual = (at, Wanted::by_plan(criteria.0.graders()));
        let known = Known::of(state, project).with_usual(state, project, usual);
        Ok(Self {
            state: Arc::clone(state),
            project: project.clone(),
            run_id: run_id.to_owned(),
            known: known.await.map_err(ApiError::internal)?,
            baselines: baselines.map_err(ApiError::internal)?,
            plan: criteria.0,
        })
    }

    /// Grades a trace: what each criterion says of it, by its id. `scores` are those of criteria that graded
    /// its row, by name.
    pub(crate) async fn grade(
        &self,
        trace_id: &TraceId,
        row: &RowBill<'_>,
        scores: BTreeMap<String, f64>,
    ) -> Result<Vec<(String, Vec<Graded>)>, Halt> {
        let (viewed, hash) = match self.view(trace_id).await {
            Ok(found) => found,
            Err(why) => return Ok(self.unreadable(&why)),
        };
        let mut said = Said {
            scores,
            ..Said::default()
        };
        let mut halted = None;
        for planned in self.plan.graders() {
            match self.ask(planned, (&viewed, &hash), &said, row).await {
                Ok(graded) => said.add(planned, graded),
                Err(halt) => {
                    halted = Some(halt);
                    break;
                }
            }
        }
        drop(viewed);
        self.record(trace_id, &said).await;
        match halted {
            Some(halt) => Err(halt),
            None => Ok(said.graded),
        }
    }

    async fn ask(
        &self,
        planned: &Planned,
        (viewed, hash): (&Viewed, &str),
        said: &Said,
        row: &RowBill<'_>,
    ) -> Result<Vec<Graded>, Halt> {
        let subject = Subject {
            trace_hash: hash,
            run_seed: &self.run_id,
            criteria_per_trace: self.plan.criteria_per_trace(),
            scores: &said.scores,
            baselines: self.baselines.of(&viewed.view),
            cited: &said.cited,
            ..self.known.subject(&viewed.view)
        };
        let services = row.bill().services();
        loop {
            let graded = AssertUnwindSafe(planned.grader.grade(&subject, &services));
            match graded.catch_unwind().await {
                // What it has asked so far is known when it asks again.
                Ok(Err(Halt::Budget(why))) if fits_later(&why) => wait_for_room().await,
                Ok(graded) => return graded,
                Err(_panic) => return Ok(vec![self.panicked(planned)]),
            }
        }
    }

    fn panicked(&self, planned: &Planned) -> Graded {
        let name = &planned.frozen.name;
        tracing::error!(grader = %name, run = %self.run_id, "a grader panicked");
        let why = "the grader panicked: a bug, of which the server's log has the place";
        Graded::of(Verdict::unscored(UnscoredReason::Code, why))
    }

    /// Reads a trace, with the hash of what can be read of it; or says why it cannot be read.
    async fn view(&self, trace_id: &TraceId) -> Result<(Viewed, String), String> {
        let loaded = load(&self.state, &self.project, trace_id).await;
        let found = loaded.map_err(|error| error.to_string())?;
        let viewed = found.map_err(|error| chain(&error))?;
        let viewed = viewed.ok_or_else(|| "the trace is not stored any more".to_owned())?;
        let hash = self.known.trace_hash(&viewed.view);
        Ok((viewed, hash))
    }

    fn unreadable(&self, why: &str) -> Vec<(String, Vec<Graded>)> {
        let verdict = || Graded::of(Verdict::unscored(UnscoredReason::Unreadable, why));
        let graders = self.plan.graders().iter();
        graders
            .map(|one| (one.frozen.id.clone(), vec![verdict()]))
            .collect()
    }

    /// Records what judges were asked, as grading runs do.
    async fn record(&self, trace_id: &TraceId, said: &Said) {
        let place = |id: &str| {
            let mut graders = self.plan.graders().iter();
            graders.position(|one| one.frozen.id == id)
        };
        let exchanges = said.graded.iter().flat_map(|(id, graded)| {
            let of_all = graded.iter().flat_map(|one| one.exchanges.iter().cloned());
            let place = place(id).unwrap_or_default();
            of_all.map(move |exchange| (place, exchange))
        });
        let exchanges: Vec<(usize, Exchange)> = exchanges.collect();
        let judged = Judged {
            project: &self.project,
            run_id: &self.run_id,
            plan: &self.plan,
        };
        recorded::record_of(&self.state, judged, (trace_id, None), exchanges).await;
    }
}
