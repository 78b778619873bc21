//! What judges took.

use std::collections::{BTreeMap, BTreeSet};

use model::{JudgeUse, NanoUsd};
use serde::Serialize;
use utoipa::ToSchema;

use super::panel::{Panel, Told};
use crate::judge::consistency::Flips;

/// Calls of judges, added up.
#[derive(Debug, Clone, Default)]
pub(crate) struct JudgeTally {
    calls: u64,
    reused: u64,
    unpriced: u64,
    kindred: u64,
    cost: NanoUsd,
    input_tokens: i64,
    cached_tokens: i64,
    output_tokens: i64,
    /// By what answered together: a model, or the models of a panel.
    models: BTreeMap<String, u64>,
    pub(crate) panel: Panel,
    pub(crate) samples: Flips,
}

/// What judges took, earlier attempts included: they were paid all the same.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct JudgeTotals {
    /// Grades that a judge gave.
    pub grades: u64,
    /// Those of them for which an earlier answer was used again: they cost nothing.
    pub reused: u64,
    /// What the others cost, as far as it is known.
    pub cost_usd: f64,
    /// Grades whose cost is not known.
    pub unpriced: u64,
    /// Grades whose judge is of the family of a model that it judged: judges like what their own family
    /// writes.
    pub own_family: u64,
    /// What that means, in a sentence; null if there are none.
    pub own_family_warning: Option<String>,
    /// Tokens read.
    pub input_tokens: i64,
    /// Those of them that came from the provider's cache.
    pub cached_tokens: i64,
    /// Tokens written.
    pub output_tokens: i64,
    /// The share of tokens read that came from the provider's cache; null if none were read.
    pub cached_share: Option<f64>,
    /// The models that answered, and how often.
    pub models: BTreeMap<String, u64>,
}

impl JudgeTally {
    pub(crate) fn add(&mut self, used: &JudgeUse, told: Option<&Told>) {
        self.calls += 1;
        match self.models.get_mut(&used.model) {
            Some(count) => *count += 1,
            None => {
                self.models.insert(used.model.clone(), 1);
            }
        }
        if let Some(told) = told {
            self.panel.add(&told.panel);
            self.samples.add(&told.samples);
            self.kindred += u64::from(told.is_kindred);
        }
        if used.cached {
            self.reused += 1;
            return;
        }
        let tokens = |count: Option<i64>| count.unwrap_or(0).max(0);
        self.input_tokens = self.input_tokens.saturating_add(tokens(used.input_tokens));
        self.cached_tokens = self
            .cached_tokens
            .saturating_add(tokens(used.cached_tokens));
        self.output_tokens = self
            .output_tokens
            .saturating_add(tokens(used.output_tokens));
        match used.cost {
            Some(cost) => self.cost = self.cost.saturating_add(cost),
            None => self.unpriced += 1,
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.calls += other.calls;
        self.reused += other.reused;
        self.unpriced += other.unpriced;
        self.kindred += other.kindred;
        self.cost = self.cost.saturating_add(other.cost);
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.cached_tokens = self.cached_tokens.saturating_add(other.cached_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        for (model, count) in &other.models {
            *self.models.entry(model.clone()).or_default() += count;
        }
    }

    /// Returns the models that judged, each once.
    pub(crate) fn models(&self) -> BTreeSet<&str> {
        self.models
            .keys()
            .flat_map(|names| names.split(", "))
            .collect()
    }

    /// Returns whether all grades are of one judge: a model, or a panel of which some may have been silent.
    pub(crate) fn is_one(&self) -> bool {
        let all = self.models().len();
        self.models.is_empty()
            || self
                .models
                .keys()
                .any(|names| names.split(", ").count() == all)
    }

    fn kindred_warning(&self) -> Option<String> {
        let (kindred, all) = (self.kindred, self.calls);
        (kindred > 0).then(|| {
            format!(
                "in {kindred} of {all} grades the judge is of the same family as a model that it judges, and \
                 judges favour their own: ask one of another family, or hold it against people's labels"
            )
        })
    }

    /// Returns the totals; nothing if no judge was asked.
    pub(crate) fn totals(&self) -> Option<JudgeTotals> {
        let read = self.input_tokens > 0;
        (self.calls > 0).then(|| JudgeTotals {
            grades: self.calls,
            reused: self.reused,
            cost_usd: self.cost.0 as f64 / 1e9,
            unpriced: self.unpriced,
            own_family: self.kindred,
            own_family_warning: self.kindred_warning(),
            input_tokens: self.input_tokens,
            cached_tokens: self.cached_tokens,
            output_tokens: self.output_tokens,
            cached_share: read.then(|| self.cached_tokens as f64 / self.input_tokens as f64),
            models: self.models.clone(),
        })
    }
}
