//! Did the agent do what should have been done?
//!
//! A trajectory is the sequence of an agent's calls. It is held against a reference where there is one,
//! and against good sense where there is none: no call twice, no result in vain, no handoff to nobody.
//! Nothing here asks a model.

mod arguments;
mod comparison;
mod definition;
mod efficiency;
mod goal;
mod handoffs;
mod likeness;
mod matching;
mod order;
mod plan;
mod reference;
mod validity;

#[cfg(test)]
mod airline;
#[cfg(test)]
mod scenes;

pub use arguments::{ArgumentMode, Fold};
pub use comparison::{CALLS_MAX, COMPARISON_COST_MAX, WEIGHED_PAIRS_MAX};
pub use definition::{DefinitionProblems, Metric, TrajectoryGrader};
pub use goal::{GoalSource, GoalWitness};
pub use reference::{BadReference, ExpectedCall, ExpectedHandoff, PlanItem, Reference};

use model::{Content, JsonText, Outcome, SpanId, UnscoredReason, Verdict};
use serde_json::Value;

use self::comparison::Call;
use crate::canonical::canonical_value;
use crate::{Effects, SpanView, TraceView};

/// Runs the expression of an argument matcher on what was given and what was expected.
pub type Matcher<'a> = dyn Fn(&str, &Value, &Value) -> Result<bool, String> + 'a;

/// Checks arguments against a JSON schema; fails with what is wrong.
pub type SchemaCheck<'a> = dyn Fn(&JsonText, &Value) -> Result<(), String> + 'a;

/// What a grader uses beside the trace.
#[derive(Clone, Copy)]
pub struct TrajectoryContext<'a> {
    /// Which tools write.
    pub effects: &'a Effects,
    /// Runs argument matchers; without it a definition that has one gives no verdict.
    pub matcher: Option<&'a Matcher<'a>>,
    /// Checks arguments; without it the names of tools are checked only.
    pub schema_check: Option<&'a SchemaCheck<'a>>,
    /// Who says whether the goal was reached.
    pub witnesses: &'a [GoalWitness<'a>],
}

impl std::fmt::Debug for TrajectoryContext<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TrajectoryContext")
            .field("effects", self.effects)
            .field("witnesses", &self.witnesses)
            .finish_non_exhaustive()
    }
}

impl<'a> TrajectoryContext<'a> {
    /// Returns a context that knows nothing but effects.
    pub fn new(effects: &'a Effects) -> Self {
        Self {
            effects,
            matcher: None,
            schema_check: None,
            witnesses: &[],
        }
    }
}

/// A verdict points at this many spans at most.
const CITATIONS_MAX: usize = 20;

/// What was found, before it is held against the threshold.
#[derive(Debug, Default)]
struct Finding {
    score: f64,
    reasoning: String,
    citations: Vec<SpanId>,
    vacuous: bool,
}

/// Why there is no score.
#[derive(Debug)]
enum NoScore {
    NotApplicable(String),
    Unscored(UnscoredReason, String),
}

impl NoScore {
    fn not_applicable(why: impl Into<String>) -> Self {
        Self::NotApplicable(why.into())
    }

    fn budget(why: impl Into<String>) -> Self {
        Self::Unscored(UnscoredReason::Budget, why.into())
    }

    fn code(why: impl Into<String>) -> Self {
        Self::Unscored(UnscoredReason::Code, why.into())
    }
}

/// A call that was made and where.
struct MadeCall {
    call: Call,
    /// Its place among the spans of the view.
    at: u32,
    succeeded: bool,
}

impl TrajectoryGrader {
    /// Grades a trace.
    pub fn grade(&self, view: &TraceView, context: &TrajectoryContext<'_>) -> Verdict {
        let verdict = match self.metric {
            Metric::GoalSuccess => {
                read(view).map(|reference| goal::reached(self, view, &reference, context))
            }
            _ => self
                .find(view, context)
                .map(|finding| self.verdict(finding)),
        };
        verdict.unwrap_or_else(|no_score| match no_score {
            NoScore::NotApplicable(why) => Verdict {
                reasoning: Some(why),
                ..Verdict::new(Outcome::NotApplicable)
            },
            NoScore::Unscored(reason, why) => Verdict::unscored(reason, why),
        })
    }

    fn find(&self, view: &TraceView, context: &TrajectoryContext<'_>) -> Result<Finding, NoScore> {
        match self.metric {
            // a reference that cannot be read does not matter to who does not read it
            Metric::ToolValidity => validity::of(self, view, context),
            Metric::StepEfficiency => efficiency::of(self, view, &read(view)?, context.effects),
            Metric::PlanAdherence => plan::of(view, &read(view)?),
            Metric::HandoffCorrectness => handoffs::of(view, &read(view)?),
            _ => likeness::of(self, view, &read(view)?, context),
        }
    }

    fn verdict(&self, finding: Finding) -> Verdict {
        let passes = finding.score >= self.pass_threshold;
        let outcome = if passes { Outcome::Pass } else { Outcome::Fail };
        let mut citations = finding.citations;
        citations.truncate(CITATIONS_MAX);
        Verdict {
            score: Some(finding.score),
            reasoning: Some(finding.reasoning),
            citations,
            vacuous: finding.vacuous,
            ..Verdict::new(outcome)
        }
    }

    /// Returns the calls that are looked at, in start order. What a provider's own tools did is not
    /// the agent's call.
    fn calls_made(&self, view: &TraceView) -> Vec<MadeCall> {
        let calls = view.functions.iter().copied();
        let calls = calls.filter(|at| {
            let span = view.spans[*at as usize].span();
            !span.derived && self.looks_at(&span.name)
        });
        let made = calls.map(|at| {
            let span = &view.spans[at as usize];
            MadeCall {
                call: Call::new(&span.span().name, arguments(span), &self.fold),
                at,
                succeeded: span.span().has_ended() && !span.has_failed(),
            }
        });
        made.collect()
    }

    fn calls_expected(&self, calls: &[ExpectedCall]) -> Vec<Call> {
        let calls = calls.iter().filter(|call| self.looks_at(&call.name));
        calls
            .map(|call| Call::new(&call.name, call.arguments.clone(), &self.fold))
            .collect()
    }

    fn looks_at(&self, tool: &str) -> bool {
        self.tools.is_empty() || self.tools.iter().any(|name| name == tool)
    }
}

/// Returns what should have been done; nothing is told of it where there is no reference.
fn read(view: &TraceView) -> Result<Reference, NoScore> {
    let reference = view.reference.as_ref().map(Reference::parse).transpose();
    let unreadable =
        |error: BadReference| NoScore::Unscored(UnscoredReason::Unreadable, error.to_string());
    reference.map(Option::unwrap_or_default).map_err(unreadable)
}

/// Returns what a call was given; text that is nested too deep to be read stays a text.
fn arguments(span: &SpanView) -> Option<Value> {
    let text = span.told.arguments.as_ref()?;
    let value = canonical_value(text);
    Some(value.unwrap_or_else(|| Value::String(text.as_str().to_owned())))
}

/// Returns whether the sender kept the arguments of calls to itself.
fn hides_arguments(view: &TraceView, made: &[MadeCall]) -> bool {
    let is_silent = made.iter().all(|made| made.call.arguments.is_none());
    is_silent && !made.is_empty() && view.row.content != Content::Full
}

/// Joins the first few, and says how many more there are.
fn some_of(items: impl IntoIterator<Item = String>) -> String {
    const SHOWN_MAX: usize = 3;
    let mut items = items.into_iter();
    let shown: Vec<String> = items.by_ref().take(SHOWN_MAX).collect();
    match items.count() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}
