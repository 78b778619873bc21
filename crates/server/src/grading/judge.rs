//! A project's judge, and what asking it costs.
//!
//! Answers are kept in `meta.db` the moment they come, each with who paid for it: a worker that dies
//! between an answer and its grade finds the answer again, and the next one adds to the bill what was paid
//! and not written down. So what a run has spent is what was asked for, to the cent, through any crash.

use std::collections::HashSet;
use std::sync::Arc;

use grade::judge::{Budget, Cache, CacheKey, Desk, Tariff};
use grade::openai::{Answer, Model, ModelAnswer, ModelError, ModelRequest};
use grade::trace::Services;
use model::{NanoUsd, PriceTable, ProjectId, Time, TraceId};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::settings::JUDGE_MODEL;
use crate::error::chain;
use crate::state::AppState;

/// Whom the graders of a project ask, and out of which purse.
#[derive(Debug)]
pub(in crate::grading) struct ProjectJudge {
    state: AppState,
    project: ProjectId,
    prices: Arc<PriceTable>,
    budget: Budget,
    model: Option<String>,
    at: Time,
}

impl ProjectJudge {
    /// Returns the judge of a project; what it costs is taken out of `budget`.
    pub(in crate::grading) fn of(state: &AppState, project: &ProjectId, budget: Budget) -> Self {
        let settings = state.projects.settings(project);
        let named = settings.and_then(|it| it.other.get(JUDGE_MODEL)?.as_str().map(str::to_owned));
        Self {
            state: Arc::clone(state),
            project: project.clone(),
            prices: state.prices.table(),
            budget,
            model: named.or_else(|| state.config.grading.judge_model.clone()),
            at: state.clock.now(),
        }
    }

    /// Opens a bill for what is asked about one trace. `payer` says on whose account, so that what was
    /// paid and not written down is found again; `written` is what was of it.
    pub(in crate::grading) fn bill(
        &self,
        trace_id: Option<&TraceId>,
        payer: Option<String>,
        written: NanoUsd,
    ) -> Bill<'_> {
        Bill {
            judge: self,
            trace_id: trace_id.cloned(),
            counterpart: None,
            payer,
            written,
            entries: Mutex::default(),
        }
    }

    fn tariff(&self) -> Tariff<'_> {
        Tariff {
            prices: &self.prices,
            provider: None,
            at: self.at,
        }
    }
}

/// What is asked about one trace, and what that costs.
#[derive(Debug)]
pub(in crate::grading) struct Bill<'a> {
    judge: &'a ProjectJudge,
    trace_id: Option<TraceId>,
    /// The trace that it is compared with.
    counterpart: Option<TraceId>,
    payer: Option<String>,
    written: NanoUsd,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    /// What was asked now.
    fresh: NanoUsd,
    /// What was asked on the same account before, by somebody who did not live to tell.
    found: NanoUsd,
    /// What is being asked, at its estimate: whoever stops waiting for it may have to pay all the same.
    open_questions: NanoUsd,
    /// Answers that came and are not kept yet.
    open: Vec<(ModelAnswer, NanoUsd)>,
    /// Questions whose cost is in one of the sums.
    counted: HashSet<CacheKey>,
}

/// An answer as it is kept.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    answer: ModelAnswer,
    /// In billionths of a dollar.
    cost: i64,
    payer: Option<String>,
}

impl Bill<'_> {
    /// Says with which trace it is compared: what is answered quotes that one too.
    pub(in crate::grading) fn compared_with(mut self, counterpart: Option<&TraceId>) -> Self {
        self.counterpart = counterpart.cloned();
        self
    }

    /// Returns whom graders may ask, on this bill.
    pub(in crate::grading) fn services(&self) -> Services<'_> {
        let graders = &self.judge.state.graders;
        let desk = graders.model.is_some().then(|| Desk {
            model: self,
            cache: self,
            budget: &self.judge.budget,
            tariff: self.judge.tariff(),
        });
        Services {
            desk,
            python: graders.python.as_deref(),
            model: self.judge.model.as_deref(),
        }
    }

    /// Returns what is still to be written down.
    pub(in crate::grading) fn unwritten(&self) -> NanoUsd {
        let entries = self.entries.lock();
        entries
            .fresh
            .saturating_add(entries.open_questions)
            .saturating_add(beyond(entries.found, self.written))
    }

    async fn asked(&self, request: &ModelRequest) -> Result<ModelAnswer, ModelError> {
        let graders = &self.judge.state.graders;
        let model = graders.model.as_deref().ok_or(ModelError::Absent)?;
        let tariff = self.judge.tariff();
        let estimate = tariff.estimate(request).unwrap_or_default();
        self.entries.lock().open_questions.0 += estimate.0;
        // If nobody waits for the answer any more, it stays open.
        let answer = model.ask(request).await;
        self.entries.lock().open_questions.0 -= estimate.0;
        let mut answer = answer?;
        tariff.doubt(request, &mut answer);
        // As the budget has it: what claims to have cost nothing is taken at its estimate.
        let cost = tariff.cost(request, &answer);
        let cost = cost.filter(|cost| *cost > NanoUsd::default());
        let cost = cost.unwrap_or(estimate);
        let mut entries = self.entries.lock();
        entries.fresh = entries.fresh.saturating_add(cost);
        entries.open.push((answer.clone(), cost));
        Ok(answer)
    }

    async fn known(&self, key: &CacheKey) -> Option<ModelAnswer> {
        let meta = self.judge.state.store.meta();
        let text = key.to_string();
        let kept = match meta.judge_answer(&self.judge.project, &text).await {
            Ok(kept) => kept?,
            Err(error) => {
                tracing::warn!(error = %chain(&error), "failed to look up what a judge answered; it is asked again");
                return None;
            }
        };
        let kept: Kept = serde_json::from_str(&kept).ok()?;
        if self.payer.is_some() && kept.payer == self.payer {
            self.found(*key, NanoUsd(kept.cost));
        }
        Some(kept.answer)
    }

    /// Puts on the bill what was paid on this account and may not have been written down.
    fn found(&self, key: CacheKey, cost: NanoUsd) {
        let mut entries = self.entries.lock();
        if !entries.counted.insert(key) {
            return;
        }
        let before = beyond(entries.found, self.written);
        entries.found = entries.found.saturating_add(cost);
        let more = NanoUsd(beyond(entries.found, self.written).0 - before.0);
        if more > NanoUsd::default()
            && let Ok(reserved) = self.judge.budget.reserve(more)
        {
            reserved.settle(Some(more));
        }
    }

    async fn keep(&self, key: CacheKey, answer: &ModelAnswer) {
        let cost = {
            let mut entries = self.entries.lock();
            entries.counted.insert(key);
            let open = entries.open.iter().position(|(one, _)| one == answer);
            open.map(|at| entries.open.swap_remove(at).1)
        };
        let kept = Kept {
            answer: answer.clone(),
            cost: cost.unwrap_or_default().0,
            payer: self.payer.clone(),
        };
        let text = serde_json::to_string(&kept).expect("an answer is texts and numbers");
        let meta = self.judge.state.store.meta();
        let project = &self.judge.project;
        let key = key.to_string();
        let about = (self.trace_id.as_ref(), self.counterpart.as_ref());
        let kept = meta.keep_judge_answer_about(project, &key, about, &text);
        if let Err(error) = kept.await {
            tracing::warn!(error = %chain(&error), "failed to keep what a judge answered; it may be asked again");
        }
    }
}

impl Model for Bill<'_> {
    fn ask<'a>(&'a self, request: &'a ModelRequest) -> Answer<'a, Result<ModelAnswer, ModelError>> {
        Box::pin(self.asked(request))
    }

    fn embed<'a>(&'a self, texts: &'a [&'a str]) -> Answer<'a, Result<Vec<Vec<f32>>, ModelError>> {
        match self.judge.state.graders.model.as_deref() {
            Some(model) => model.embed(texts),
            None => Box::pin(async { Err(ModelError::Absent) }),
        }
    }

    fn embeds(&self) -> bool {
        let model = self.judge.state.graders.model.as_deref();
        model.is_some_and(Model::embeds)
    }
}

impl Cache<ModelAnswer> for Bill<'_> {
    fn get<'a>(&'a self, key: &'a CacheKey) -> Answer<'a, Option<ModelAnswer>> {
        Box::pin(self.known(key))
    }

    fn put<'a>(&'a self, key: CacheKey, answer: &'a ModelAnswer) -> Answer<'a, ()> {
        Box::pin(self.keep(key, answer))
    }
}

/// Returns by how much one sum is more than another.
fn beyond(sum: NanoUsd, other: NanoUsd) -> NanoUsd {
    NanoUsd(sum.0.saturating_sub(other.0).max(0))
}
