//! What a trajectory grader is told to do.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::arguments::{ArgumentMode, Fold};

/// What is measured. All scores are from 0 to 1 but Kendall's, which is from −1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// The calls are the expected ones, in the same order, and no others.
    Strict,
    /// The expected calls come in their order; others may come between.
    InOrder,
    /// The calls are the expected ones, in any order, and no others.
    AnyOrder,
    /// No call but expected ones.
    Subset,
    /// All expected calls; others may come.
    Superset,
    /// The share of the calls that was expected.
    Precision,
    /// The share of the expected calls that was made.
    Recall,
    /// The harmonic mean of precision and recall.
    F1,
    /// The longest part of the expected calls that came in order, as a share of them.
    OrderScore,
    /// How far the expected calls that were made came in order: Kendall's τ.
    KendallTau,
    /// The successful calls of tools that write are the expected ones.
    StateMatch,
    /// The share of calls of declared tools with arguments of the declared form.
    ToolValidity,
    /// Few calls: against the reference, else without wasted ones.
    StepEfficiency,
    /// The share of the plan that was carried out in order.
    PlanAdherence,
    /// The right agents were handed to; without a reference: none in vain.
    HandoffCorrectness,
    /// Whether the goal was reached, by the best witness there is.
    GoalSuccess,
}

impl Metric {
    /// Returns whether it says nothing of a trace of which nobody tells what should have been done.
    pub const fn needs_reference(self) -> bool {
        !matches!(
            self,
            Self::ToolValidity
                | Self::StepEfficiency
                | Self::PlanAdherence
                | Self::HandoffCorrectness
                | Self::GoalSuccess
        )
    }

    /// Returns whether it reads what should have been done, where that is told.
    pub const fn reads_reference(self) -> bool {
        !matches!(self, Self::ToolValidity)
    }
}

/// A grader of what an agent did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Value")]
pub struct TrajectoryGrader {
    /// What is measured.
    pub metric: Metric,
    /// How arguments are compared.
    pub arguments: ArgumentMode,
    /// How those of single tools are compared instead.
    pub arguments_by_tool: BTreeMap<String, ArgumentMode>,
    /// What does not count in strings.
    pub fold: Vec<Fold>,
    /// The tools whose calls are looked at; empty: all.
    pub tools: Vec<String>,
    /// Whether the order score gives credit for arguments that are equal in part.
    pub partial: bool,
    /// The least score that passes.
    pub pass_threshold: f64,
}

/// What is wrong with a definition, all of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct DefinitionProblems(pub Vec<String>);

/// A score on 0–1 passes from here on, unless the definition says otherwise.
const PASS_THRESHOLD: f64 = 0.5;

const FIELDS: [&str; 8] = [
    "type",
    "metric",
    "arguments",
    "arguments_by_tool",
    "fold",
    "tools",
    "partial",
    "pass_threshold",
];

impl TrajectoryGrader {
    /// Returns the grader of this metric that compares arguments exactly.
    pub fn new(metric: Metric) -> Self {
        Self {
            metric,
            arguments: ArgumentMode::Exact,
            arguments_by_tool: BTreeMap::new(),
            fold: Vec::new(),
            tools: Vec::new(),
            partial: false,
            pass_threshold: PASS_THRESHOLD,
        }
    }

    /// Reads a definition; on failure, all that is wrong with it.
    ///
    /// `type` may stand there and is `trajectory` then; what every grader has, such as `name`, is the
    /// caller's to take out.
    pub fn parse(definition: &Value) -> Result<Self, DefinitionProblems> {
        let Value::Object(fields) = definition else {
            return Err(DefinitionProblems(vec![
                "a definition is an object".to_owned(),
            ]));
        };
        let mut problems = Vec::new();
        let unknown = fields
            .keys()
            .filter(|name| !FIELDS.contains(&name.as_str()));
        problems.extend(
            unknown.map(|name| format!("unknown field `{name}`; known: {}", FIELDS.join(", "))),
        );
        if fields.get("type").is_some_and(|kind| kind != "trajectory") {
            problems.push("`type` of a trajectory grader is \"trajectory\"".to_owned());
        }
        let field = |name: &str| fields.get(name).filter(|value| !value.is_null());
        let metric: Option<Metric> = read(field("metric"), "metric", &mut problems);
        if field("metric").is_none() {
            problems.push("`metric` is missing".to_owned());
        }
        // which metric it is does not matter where there are problems
        let mut grader = Self::new(metric.unwrap_or(Metric::Strict));
        take(
            &mut grader.arguments,
            field("arguments"),
            "arguments",
            &mut problems,
        );
        let by_tool = field("arguments_by_tool");
        take(
            &mut grader.arguments_by_tool,
            by_tool,
            "arguments_by_tool",
            &mut problems,
        );
        take(&mut grader.fold, field("fold"), "fold", &mut problems);
        take(&mut grader.tools, field("tools"), "tools", &mut problems);
        take(
            &mut grader.partial,
            field("partial"),
            "partial",
            &mut problems,
        );
        let threshold = field("pass_threshold");
        take(
            &mut grader.pass_threshold,
            threshold,
            "pass_threshold",
            &mut problems,
        );
        grader.check(metric, &mut problems);
        match problems.is_empty() {
            true => Ok(grader),
            false => Err(DefinitionProblems(problems)),
        }
    }

    fn check(&self, metric: Option<Metric>, problems: &mut Vec<String>) {
        let lowest = if metric == Some(Metric::KendallTau) {
            -1.0
        } else {
            0.0
        };
        if !(lowest..=1.0).contains(&self.pass_threshold) {
            problems.push(format!(
                "`pass_threshold` is {}, scores are from {lowest} to 1",
                self.pass_threshold
            ));
        }
        let modes = self.arguments_by_tool.values().chain([&self.arguments]);
        for mode in modes {
            if matches!(mode, ArgumentMode::Matcher(expression) if expression.trim().is_empty()) {
                problems.push("a `matcher` has no expression".to_owned());
            }
        }
        if self.partial && metric.is_some_and(|metric| metric != Metric::OrderScore) {
            problems.push("`partial` is for the metric `order_score`".to_owned());
        }
    }
}

fn read<T: DeserializeOwned>(
    value: Option<&Value>,
    name: &str,
    problems: &mut Vec<String>,
) -> Option<T> {
    match T::deserialize(value?) {
        Ok(read) => Some(read),
        Err(error) => {
            problems.push(format!("`{name}`: {error}"));
            None
        }
    }
}

fn take<T: DeserializeOwned>(
    into: &mut T,
    value: Option<&Value>,
    name: &str,
    problems: &mut Vec<String>,
) {
    if let Some(read) = read(value, name, problems) {
        *into = read;
    }
}

impl TryFrom<Value> for TrajectoryGrader {
    type Error = DefinitionProblems;

    fn try_from(definition: Value) -> Result<Self, DefinitionProblems> {
        Self::parse(&definition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn some_metrics_say_nothing_without_a_reference() {
        assert!(Metric::StateMatch.needs_reference() && Metric::Recall.reads_reference());
        assert!(!Metric::PlanAdherence.needs_reference());
        assert!(Metric::PlanAdherence.reads_reference());
        assert!(!Metric::ToolValidity.reads_reference());
    }

    #[test]
    fn a_definition_is_read_and_written_back() {
        let definition = json!({
            "type": "trajectory",
            "metric": "f1",
            "arguments": "superset",
            "arguments_by_tool": {"search": "ignore", "book": {"matcher": "made.to == expected.to"}},
            "fold": ["case", "space"],
            "pass_threshold": 0.8,
        });
        let grader = TrajectoryGrader::parse(&definition).unwrap();
        assert_eq!(grader.metric, Metric::F1);
        assert_eq!(grader.arguments_by_tool["search"], ArgumentMode::Ignore);
        let written = serde_json::to_value(&grader).unwrap();
        let again: TrajectoryGrader = serde_json::from_value(written).unwrap();
        assert_eq!(again, grader);
    }

    #[test]
    fn all_that_is_wrong_is_listed() {
        let definition = json!({
            "type": "rule",
            "metrik": "f1",
            "metric": "recall",
            "arguments": "approximately",
            "arguments_by_tool": {"book": {"matcher": " "}},
            "partial": true,
            "pass_threshold": 2,
        });
        let DefinitionProblems(problems) = TrajectoryGrader::parse(&definition).unwrap_err();
        insta::assert_snapshot!(problems.join("\n"));
    }
}
