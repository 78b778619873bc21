//! The traces of a run one by one, those that somebody wants to look at.

use std::collections::BinaryHeap;

use model::{Outcome, UnscoredReason};
use serde::Serialize;
use utoipa::ToSchema;

use super::collected::Collected;

/// Which traces.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ItemFilter {
    /// Only what this grader (its name or its id) says counts.
    pub grader: Option<String>,
    /// A grader said so.
    pub outcome: Option<Outcome>,
    /// A grader gave a lower number.
    pub score_below: Option<f64>,
}

/// A trace and what graders say of it: of each the grade that counts.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ItemResult {
    /// The item: a trace's id, or that of a case.
    pub item_id: String,
    /// What was said.
    pub grades: Vec<ItemGrade>,
}

/// What one grader says.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ItemGrade {
    /// The grader's name.
    pub grader: String,
    /// Its id.
    pub grader_id: String,
    /// `pass`, `fail`, `value`, `not_applicable` or `unscored`.
    #[schema(value_type = String)]
    pub outcome: Outcome,
    /// Its number.
    pub score: Option<f64>,
    /// Its label.
    pub label: Option<String>,
    /// Why there is no verdict.
    #[schema(value_type = Option<String>)]
    pub unscored_reason: Option<UnscoredReason>,
}

impl Collected {
    /// Returns up to `limit` traces of a filter by the order of their ids, those behind `after`.
    ///
    /// The filter holds for one grade: its outcome is the one named and its number is below.
    pub fn page(&self, filter: &ItemFilter, after: Option<&str>, limit: usize) -> Vec<ItemResult> {
        let mut first: BinaryHeap<(&str, u32)> = BinaryHeap::new();
        for item in self.items() {
            let id = self.item_id(item);
            let is_behind = after.is_none_or(|after| id > after);
            if is_behind && self.holds(filter, item) {
                first.push((id, item));
                if first.len() > limit {
                    first.pop();
                }
            }
        }
        let page = first.into_sorted_vec().into_iter();
        page.map(|(_, item)| self.result(item)).collect()
    }

    /// Returns how many traces a filter lets through.
    pub fn count(&self, filter: &ItemFilter) -> usize {
        let held = self.items().filter(|item| self.holds(filter, *item));
        held.count()
    }

    fn holds(&self, filter: &ItemFilter, item: u32) -> bool {
        if *filter == ItemFilter::default() {
            return true;
        }
        self.graded().iter().any(|grader| {
            let cell = grader.cell(item);
            let facts = &grader.facts;
            cell.outcome().is_some()
                && filter
                    .grader
                    .as_ref()
                    .is_none_or(|name| *name == facts.name || *name == facts.id)
                && filter
                    .outcome
                    .is_none_or(|outcome| cell.outcome() == Some(outcome))
                && filter
                    .score_below
                    .is_none_or(|below| cell.score().is_some_and(|score| score < below))
        })
    }

    fn result(&self, item: u32) -> ItemResult {
        let grades = self.graded().iter().filter_map(|grader| {
            let cell = grader.cell(item);
            Some(ItemGrade {
                grader: grader.facts.name.clone(),
                grader_id: grader.facts.id.clone(),
                outcome: cell.outcome()?,
                score: cell.score(),
                label: cell.label().map(|label| self.label(label).to_owned()),
                unscored_reason: cell.reason(),
            })
        });
        ItemResult {
            item_id: self.item_id(item).to_owned(),
            grades: grades.collect(),
        }
    }
}
