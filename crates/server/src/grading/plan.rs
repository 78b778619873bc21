//! What is done with each trace of a run: its graders, frozen, in an order in which each finds what it asks
//! of others.
//!
//! Cheap ones go first: a judge is shown first what they pointed at. A rule that asks for the score of
//! another grader goes behind that.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use grade::trace::{Costs, TraceGrader};
use insight::TraceView;
use insight::rule::Rule;
use model::Outcome;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::context::Known;

/// A version of a grader as a run keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Frozen {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) version: u32,
    pub(super) hash: String,
    pub(super) definition: Value,
}

/// A grader of a run.
#[derive(Debug, Clone)]
pub(super) struct Planned {
    pub(super) frozen: Frozen,
    pub(super) grader: Arc<TraceGrader>,
}

/// The graders of a run, in the order in which they are asked.
#[derive(Debug)]
pub(super) struct Plan {
    graders: Vec<Planned>,
}

/// The graders that a run keeps cannot be used by this version.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlanError {
    #[error("failed to read the graders of a run")]
    Json(#[from] serde_json::Error),
    #[error("failed to understand the graders of a run: {0}")]
    Graders(String),
}

impl Plan {
    /// Reads what a run keeps of its graders.
    pub(super) fn stored(graders: &str) -> Result<Self, PlanError> {
        let frozen: Vec<Frozen> = serde_json::from_str(graders)?;
        let parse = |frozen: Frozen| {
            let grader = TraceGrader::parse(&frozen.definition);
            let grader = grader.map_err(|problems| PlanError::Graders(problems.to_string()))?;
            let grader = Arc::new(grader);
            Ok::<_, PlanError>(Planned { frozen, grader })
        };
        let planned: Result<Vec<Planned>, PlanError> = frozen.into_iter().map(parse).collect();
        Self::new(planned?).map_err(|problems| PlanError::Graders(problems.join("; ")))
    }

    /// Puts graders in order, or tells what stands against it, each problem in a sentence.
    pub(super) fn new(graders: Vec<Planned>) -> Result<Self, Vec<String>> {
        Self::beside(graders, &[])
    }

    /// As [`Plan::new`], where graders of these names have been asked before: rules may ask for their scores.
    pub(super) fn beside(graders: Vec<Planned>, others: &[&str]) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let mut names: HashMap<&str, usize> = HashMap::new();
        for one in &graders {
            *names.entry(&one.frozen.name).or_default() += 1;
        }
        let doubled = names.iter().filter(|(_, count)| **count > 1);
        problems.extend(doubled.map(|(name, _)| format!("two graders have the name `{name}`")));
        for one in &graders {
            for name in one.grader.needs().scores {
                let asks = &one.frozen.name;
                let before = others.iter().filter(|other| **other == name).count();
                match before + usize::from(names.contains_key(&*name)) {
                    0 => problems.push(format!(
                        "`{asks}` asks for the score of `{name}`, which is no grader of this run"
                    )),
                    1 => {}
                    _ => problems.push(format!(
                        "`{asks}` asks for the score of `{name}`, and several graders of this run are called so: give them names of their own"
                    )),
                }
            }
        }
        if !problems.is_empty() {
            problems.sort();
            return Err(problems);
        }
        Ok(Self {
            graders: ordered(graders, others)?,
        })
    }

    /// Returns the graders in the order in which they are asked.
    pub(super) fn graders(&self) -> &[Planned] {
        &self.graders
    }

    /// Returns the graders, to be given the ids by which they are kept.
    pub(super) fn graders_mut(&mut self) -> &mut [Planned] {
        &mut self.graders
    }

    /// Returns what the dearest of them costs.
    pub(super) fn costs(&self) -> Costs {
        let costs = self.graders.iter().map(|one| one.grader.cost());
        costs.max().unwrap_or(Costs::Nothing)
    }

    /// Returns the keys of the baselines that its rules ask for.
    pub(super) fn baselines(&self) -> Vec<String> {
        let graders = self.graders.iter();
        graders
            .flat_map(|one| one.grader.needs().baselines)
            .collect()
    }

    /// Returns the name of one that compares a trace with another.
    pub(super) fn comparing(&self) -> Option<&str> {
        let mut graders = self.graders.iter();
        let comparing = graders.find(|one| one.grader.is_pairwise());
        comparing.map(|one| &*one.frozen.name)
    }

    /// Returns whether one of them reads what was said.
    pub(super) fn needs_content(&self) -> bool {
        self.graders.iter().any(|one| one.grader.needs().content)
    }

    /// Returns how many questions judges are asked about each trace.
    pub(super) fn criteria_per_trace(&self) -> usize {
        self.graders.iter().map(|one| one.grader.criteria()).sum()
    }
}

/// Returns them so that each comes behind those whose scores it asks for, the cheap ones first.
fn ordered(mut graders: Vec<Planned>, others: &[&str]) -> Result<Vec<Planned>, Vec<String>> {
    // The sort is stable: of equally dear ones the order stays as it was given.
    graders.sort_by_key(|one| one.grader.cost());
    let mut placed: Vec<Planned> = Vec::with_capacity(graders.len());
    while !graders.is_empty() {
        let is_ready = |one: &Planned| {
            let mut asked = one.grader.needs().scores.into_iter();
            asked.all(|name| {
                others.contains(&&*name) || placed.iter().any(|done| done.frozen.name == name)
            })
        };
        let Some(at) = graders.iter().position(is_ready) else {
            let names: Vec<&str> = graders.iter().map(|one| &*one.frozen.name).collect();
            let names = names.join("`, `");
            return Err(vec![format!("`{names}` ask for the scores of each other")]);
        };
        placed.push(graders.remove(at));
    }
    Ok(placed)
}

/// A rule that chooses traces.
#[derive(Debug)]
pub(super) struct RuleOf {
    grader: TraceGrader,
    known: Known,
}

impl RuleOf {
    /// Reads a rule, or tells everything that is wrong with it.
    pub(super) fn parse(check: &str, known: Known) -> Result<Self, String> {
        let definition = serde_json::json!({"type": "rule", "check": check});
        let rule = Rule::parse(check).map_err(|problems| problems.to_string())?;
        if !rule.is_condition() {
            // A value keeps to nothing: the caret shows what is missing.
            rule.to_filter().map_err(|problems| problems.to_string())?;
        }
        let grader = TraceGrader::parse(&definition).map_err(|problems| problems.to_string())?;
        let needs = grader.needs();
        if !needs.scores.is_empty() || !needs.baselines.is_empty() {
            return Err(
                "it asks for scores or baselines, which are not known before traces are graded"
                    .to_owned(),
            );
        }
        let lacking = known.lacking(&grader);
        if !lacking.is_empty() {
            return Err(lacking.join("\n"));
        }
        Ok(Self { grader, known })
    }

    /// Returns whether it reads what was said.
    pub(super) fn needs_content(&self) -> bool {
        self.grader.needs().content
    }

    /// Returns whether a trace keeps to it; one of which that cannot be said does not.
    pub(super) fn holds(&self, view: &TraceView) -> bool {
        let verdict = self.grader.grade_now(&self.known.subject(view));
        verdict.is_some_and(|verdict| verdict.outcome == Outcome::Pass)
    }
}

/// What graders gave that were asked before, by name.
pub(super) type Scores = BTreeMap<String, f64>;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn planned(name: &str, check: &str) -> Planned {
        let definition = json!({"type": "rule", "check": check, "name": name});
        let grader = TraceGrader::parse(&definition).unwrap();
        Planned {
            frozen: Frozen {
                id: format!("grader_{name}"),
                name: name.to_owned(),
                version: 1,
                hash: grader.hash().to_owned(),
                definition: grader.definition().clone(),
            },
            grader: Arc::new(grader),
        }
    }

    #[test]
    fn whoever_asks_for_a_score_comes_behind_it() {
        let graders = vec![
            planned("both", "score(\"fast\") > 0.5 && score(\"cheap\") > 0.5"),
            planned("fast", "duration_ms < 5000"),
            planned("cheap", "total_cost_usd < 1.0"),
        ];
        let plan = Plan::new(graders).unwrap();
        let names: Vec<&str> = (plan.graders().iter())
            .map(|one| &*one.frozen.name)
            .collect();
        assert_eq!(names, ["fast", "cheap", "both"]);
        let kept: Vec<&Frozen> = plan.graders().iter().map(|one| &one.frozen).collect();
        let kept = serde_json::to_string(&kept).unwrap();
        assert_eq!(Plan::stored(&kept).unwrap().graders().len(), 3);
    }

    #[test]
    fn what_cannot_be_put_in_order_is_told() {
        let check = |graders: Vec<Planned>, words: &str| {
            let problems = Plan::new(graders).unwrap_err().join("\n");
            assert!(problems.contains(words), "{problems}");
        };
        check(
            vec![planned("a", "score(\"x\") > 0.5")],
            "no grader of this run",
        );
        check(
            vec![planned("a", "true"), planned("a", "false")],
            "two graders have the name `a`",
        );
        check(
            vec![
                planned("a", "score(\"b\") > 0.5"),
                planned("b", "score(\"a\") > 0.5"),
            ],
            "of each other",
        );
    }
}
