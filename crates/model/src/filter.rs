//! Which traces are meant?
//!
//! One filter for query parameters, grading, retention, deletion, alerts and the command line, so
//! that what a person sees listed is what gets graded or deleted. Fields narrow together; several
//! values of one field mean any of them. A bound on what is not known (a cost, say) is not met.
//!
//! As pairs, a field is repeated to give several values (`tool=a&tool=b`): commas may be part of a
//! name and are left alone, but for `ids=a,b`, which people type; `id` takes one id as it is. Dates are
//! moments once they are read: what shall mean "the last seven days" anew each time is kept as it was
//! written and read again.

mod read;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use serde_json::value::RawValue;

use crate::{Condition, GroupId, NanoUsd, Time, TraceId, TraceRow, TraceStatus};

/// Says which traces are meant. The default means all of them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TraceFilter {
    /// The trace is one of these.
    pub ids: Vec<TraceId>,
    /// Its workflow is one of these.
    pub workflow_name: Vec<String>,
    /// Its group is one of these.
    pub group_id: Vec<GroupId>,
    /// Its user is one of these.
    pub user_id: Vec<String>,
    /// The agent as deployed is one of these.
    pub agent_id: Vec<String>,
    /// One of these agents was at work in it.
    pub agent: Vec<String>,
    /// Its version is one of these.
    pub version: Vec<String>,
    /// Its environment is one of these.
    pub environment: Vec<String>,
    /// It has one of these tags.
    pub tag: Vec<String>,
    /// One of these models was called.
    pub model: Vec<String>,
    /// One of these tools was called.
    pub tool: Vec<String>,
    /// Its status is one of these.
    pub status: Vec<TraceStatus>,
    /// The type of the error that decided its status is one of these.
    pub error_type: Vec<String>,
    /// Whether it failed, or got over a tool's error.
    pub has_errors: Option<bool>,
    /// How long it took, in milliseconds.
    pub duration_ms: Limits<f64>,
    /// What it cost.
    pub cost_usd: Limits<NanoUsd>,
    /// Tokens read and written.
    pub tokens: Limits<i64>,
    /// Its metadata has under each key one of the values. A number or truth value is compared by its
    /// JSON text; keys are those of the metadata object itself.
    pub metadata: BTreeMap<String, Vec<String>>,
    /// It started then or later.
    pub started_from: Option<Time>,
    /// It started before.
    pub started_until: Option<Time>,
    /// It meets this rule. Whoever speaks the language of rules sets it: [`TraceFilter::from_pairs`]
    /// leaves `rule` unread.
    pub rule: Option<FilterRule>,
}

/// A rule that asks about the columns of a trace alone.
#[derive(Debug, Clone, PartialEq)]
pub struct FilterRule {
    /// As it was written.
    pub source: String,
    /// What it says.
    pub condition: Condition,
}

/// A lowest and a highest value, both of them allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits<T> {
    /// Not less than this.
    pub min: Option<T>,
    /// Not more than this.
    pub max: Option<T>,
}

/// A filter cannot be read; names the field and says what it may hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct FilterError {
    /// The field as it was given.
    pub field: String,
    /// What is wrong with it, and what would do.
    pub message: String,
}

impl<T: PartialOrd> Limits<T> {
    /// Returns whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.min.is_none() && self.max.is_none()
    }

    /// Returns whether `value` lies within; an unknown one does only if nothing is asked.
    pub fn holds(&self, value: Option<T>) -> bool {
        let Some(value) = value else {
            return self.is_empty();
        };
        self.min.as_ref().is_none_or(|min| *min <= value)
            && self.max.as_ref().is_none_or(|max| value <= *max)
    }
}

impl TraceFilter {
    /// Returns pairs that [`TraceFilter::from_pairs`] reads as this filter, and the rule beside them.
    pub fn to_pairs(&self) -> Vec<(String, String)> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        let mut push = |field: &str, value: String| pairs.push((field.to_owned(), value));
        self.ids.iter().for_each(|id| push("id", id.to_string()));
        self.group_id
            .iter()
            .for_each(|id| push("group_id", id.to_string()));
        for (field, list) in self.texts() {
            list.iter().for_each(|value| push(field, value.clone()));
        }
        self.status
            .iter()
            .for_each(|status| push("status", status.to_string()));
        for (key, values) in &self.metadata {
            values
                .iter()
                .for_each(|value| push(&format!("metadata.{key}"), value.clone()));
        }
        let usd =
            |cost: NanoUsd| format!("{}.{:09}", cost.0 / 1_000_000_000, cost.0 % 1_000_000_000);
        let mut one =
            |field: &str, value: Option<String>| value.into_iter().for_each(|v| push(field, v));
        one("has_errors", self.has_errors.map(|has| has.to_string()));
        one(
            "min_duration_ms",
            self.duration_ms.min.map(|ms| ms.to_string()),
        );
        one(
            "max_duration_ms",
            self.duration_ms.max.map(|ms| ms.to_string()),
        );
        one("min_cost_usd", self.cost_usd.min.map(usd));
        one("max_cost_usd", self.cost_usd.max.map(usd));
        one("min_tokens", self.tokens.min.map(|n| n.to_string()));
        one("max_tokens", self.tokens.max.map(|n| n.to_string()));
        one("start_date", self.started_from.map(|at| at.to_string()));
        one("end_date", self.started_until.map(|at| at.to_string()));
        one("rule", self.rule.as_ref().map(|rule| rule.source.clone()));
        pairs
    }

    /// Returns whether every trace is meant.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns whether `row` is meant, as seen at `now` where a trace is idle `idle_micros` after its
    /// last row.
    pub fn matches(&self, row: &TraceRow, now: Time, idle_micros: i64) -> bool {
        fn one_of<T: PartialEq<U>, U: ?Sized>(wanted: &[T], value: Option<&U>) -> bool {
            wanted.is_empty() || value.is_some_and(|value| wanted.iter().any(|one| one == value))
        }
        fn some_of(wanted: &[String], values: &[String]) -> bool {
            wanted.is_empty() || values.iter().any(|value| wanted.contains(value))
        }
        let item = &row.item;
        let status = || row.status_at(now, idle_micros);
        one_of(&self.ids, Some(&item.trace_id))
            && one_of(&self.workflow_name, item.workflow_name.as_deref())
            && one_of(&self.group_id, item.group_id.as_ref())
            && one_of(&self.user_id, item.user_id.as_deref())
            && one_of(&self.agent_id, item.agent_id.as_deref())
            && one_of(&self.version, item.version.as_deref())
            && one_of(&self.environment, item.environment.as_deref())
            && one_of(&self.error_type, row.error_type.as_deref())
            && some_of(&self.agent, &row.agents)
            && some_of(&self.model, &row.models)
            && some_of(&self.tool, &row.tool_sequence)
            && some_of(&self.tag, item.tags.as_deref().unwrap_or_default())
            && (self.status.is_empty() || self.status.contains(&status()))
            && self
                .has_errors
                .is_none_or(|wanted| wanted == has_errors(row))
            && self.duration_ms.holds(row.duration_ms)
            && self.cost_usd.holds(row.cost)
            && self.tokens.holds(tokens(row))
            && self
                .started_from
                .is_none_or(|from| row.started_at.is_some_and(|at| from <= at))
            && self
                .started_until
                .is_none_or(|until| row.started_at.is_some_and(|at| at < until))
            && self.rule.as_ref().is_none_or(|rule| {
                let holds = rule.condition.holds(row, status());
                holds == Some(true)
            })
            && self.matches_metadata(item.metadata.as_ref().map(|metadata| metadata.as_str()))
    }

    /// Returns whether a trace with this metadata, a JSON object as text, has the values asked for.
    pub fn matches_metadata(&self, metadata: Option<&str>) -> bool {
        if self.metadata.is_empty() {
            return true;
        }
        let text = metadata.unwrap_or("{}");
        let Ok(held) = serde_json::from_str::<HashMap<Cow<'_, str>, &RawValue>>(text) else {
            return false;
        };
        self.metadata.iter().all(|(key, wanted)| {
            held.get(key.as_str()).is_some_and(|held| {
                let held: Cow<'_, str> = match serde_json::from_str::<String>(held.get()) {
                    Ok(text) => Cow::Owned(text),
                    Err(_) => Cow::Borrowed(held.get()),
                };
                wanted.iter().any(|one| *one == held)
            })
        })
    }

    /// Returns the fields that are lists of texts.
    fn texts(&self) -> [(&'static str, &Vec<String>); 10] {
        [
            ("workflow_name", &self.workflow_name),
            ("user_id", &self.user_id),
            ("agent_id", &self.agent_id),
            ("agent", &self.agent),
            ("version", &self.version),
            ("environment", &self.environment),
            ("tag", &self.tag),
            ("model", &self.model),
            ("tool", &self.tool),
            ("error_type", &self.error_type),
        ]
    }
}

/// Returns whether the trace failed, whatever happens yet, or a tool failed on the way.
fn has_errors(row: &TraceRow) -> bool {
    row.tool_errors > 0
        || matches!(
            row.settled_status,
            TraceStatus::Error | TraceStatus::Timeout
        )
}

fn tokens(row: &TraceRow) -> Option<i64> {
    match (row.usage.input_tokens, row.usage.output_tokens) {
        (None, None) => None,
        (input, output) => Some(input.unwrap_or(0).saturating_add(output.unwrap_or(0))),
    }
}

#[cfg(test)]
mod tests;
