//! Does a trace keep to a rule? A subset of CEL over the trace view, checked before it runs.
//!
//! ```
//! # use insight::rule::Rule;
//! let rule = Rule::parse(r#"spans[type=function].all(s, s.status == "success")"#)?;
//! # Ok::<(), insight::rule::Problems>(())
//! ```
//!
//! A source becomes words, the words an expression, the expression a tree in which every name is a
//! place and every pattern is compiled; a rule that exists cannot meet an unknown name. Missing data is
//! null, a comparison with it is neither true nor false, and a rule that ends so does not apply.

mod builtins;
mod check;
mod check_calls;
mod environment;
mod eval;
mod explain;
mod fields;
mod functions;
mod kinds;
mod node;
mod parse;
mod problem;
mod reference;
mod scope;
mod sequence;
mod storage;
mod syntax;
#[cfg(test)]
mod tests;
mod token;
mod value;

use model::{Condition, FilterRule, Outcome, SpanId, UnscoredReason, Verdict};

use crate::view::TraceView;
use check::{Checker, Typed};
use eval::{Fault, FaultKind};
use explain::Explainer;
use kinds::Type;
use node::Node;
use scope::{Eval, Store};
use value::Value;

pub use environment::{Environment, Needs};
pub use problem::{Problem, Problems, nearest};
pub use reference::{EXAMPLES, Example, reference};

/// A source has at most this many bytes.
pub const SOURCE_BYTES_MAX: usize = 4_096;
/// An expression is nested at most this deep.
pub const DEPTH_MAX: u32 = 32;
/// An evaluation takes at most this many steps.
pub const STEPS_MAX: u32 = 1_000_000;
/// So many variables may be in scope at one place.
const VARIABLES_MAX: usize = 8;

/// A rule that makes sense.
#[derive(Debug)]
pub struct Rule {
    source: Box<str>,
    root: Node,
    needs: Needs,
    is_strict: bool,
    gives: Gives,
}

/// What a rule answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gives {
    /// It holds or does not.
    Condition,
    /// A number.
    Number,
    /// A text.
    Text,
}

/// A number or text that a rule gives instead of holding or not.
#[derive(Debug, Clone, PartialEq)]
pub enum RuleValue {
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
}

/// What came of a rule.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleResult {
    /// What came of it.
    pub outcome: Outcome,
    /// Why there is no verdict.
    pub unscored_reason: Option<UnscoredReason>,
    /// The number or text, of a rule that gives one.
    pub value: Option<RuleValue>,
    /// Whether it holds because there was nothing to look at.
    pub vacuous: bool,
    /// The spans that made it fail, or for which something is missing.
    pub witnesses: Vec<SpanId>,
    /// Why it failed, does not apply, or has no verdict.
    pub reasoning: Option<String>,
}

impl RuleResult {
    fn new(outcome: Outcome) -> Self {
        Self {
            outcome,
            unscored_reason: None,
            value: None,
            vacuous: false,
            witnesses: Vec::new(),
            reasoning: None,
        }
    }
}

impl From<RuleResult> for Verdict {
    fn from(result: RuleResult) -> Self {
        let (score, label) = match result.value {
            Some(RuleValue::Number(number)) => (Some(number), None),
            Some(RuleValue::Text(text)) => (None, Some(text)),
            None => (None, None),
        };
        Self {
            score,
            label,
            unscored_reason: result.unscored_reason,
            reasoning: result.reasoning,
            citations: result.witnesses,
            vacuous: result.vacuous,
            ..Self::new(result.outcome)
        }
    }
}

/// Returns the checked expression and what it needs.
fn checked(
    source: &str,
    also: impl FnOnce(&mut Checker<'_, '_>, &Typed),
) -> Result<(Node, Needs), Problems> {
    let mut problems = Vec::new();
    let expr = parse::parse(source, &mut problems);
    let mut checker = Checker::new(source, &mut problems);
    let typed = checker.check(&expr);
    // What could not be read would only be told once more.
    if checker.problems.is_empty() {
        also(&mut checker, &typed);
    }
    let needs = checker.needs;
    match problems.is_empty() {
        true => Ok((typed.node, needs)),
        false => Err(Problems::new(source, problems)),
    }
}

impl Rule {
    /// Returns the rule that the source writes, or everything that is wrong with it.
    pub fn parse(source: &str) -> Result<Self, Problems> {
        let mut gives = Gives::Condition;
        let (root, needs) = checked(source, |checker, typed| {
            // A number or a text is an answer too; anything else should be asked about.
            match typed.given {
                Type::Null => {
                    let problem = Problem::new(typed.at(), "a rule is a condition, this is null");
                    checker.problem(problem.suggest("as in duration_ms < 5000"));
                }
                given if given.is_open() => {}
                given if given.is_number() => gives = Gives::Number,
                given if given.is_text() => gives = Gives::Text,
                _ => checker.must_be_bool(typed),
            }
        })?;
        Ok(Self {
            source: source.into(),
            root,
            needs,
            is_strict: false,
            gives,
        })
    }

    /// Returns the rule as one that fails where it cannot be told.
    #[must_use]
    pub fn strict(self, is_strict: bool) -> Self {
        Self { is_strict, ..self }
    }

    /// Returns how it is written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Returns what it asks of its environment.
    pub fn needs(&self) -> &Needs {
        &self.needs
    }

    /// Returns whether it looks at what was said or at what was sent as it was, itself or by a detector. Any
    /// other rule says the same of spans that were read without it, which is much sooner done.
    pub fn reads_content(&self) -> bool {
        !self.needs.detectors.is_empty() || self.root.reads_content()
    }

    /// Returns whether it asks what should have been done.
    pub fn reads_reference(&self) -> bool {
        self.root.reads_reference()
    }

    /// Returns what it answers with.
    pub fn gives(&self) -> Gives {
        self.gives
    }

    /// Returns whether it holds or does not; else it gives a number or a text.
    pub fn is_condition(&self) -> bool {
        self.gives == Gives::Condition
    }

    /// Returns it as a condition on the columns of `traces`, if it reads nothing else.
    pub fn storage_predicate(&self) -> Option<Condition> {
        storage::condition(&self.root)
    }

    /// Returns a condition that holds wherever the rule does, if there is any: those of its parts that the
    /// columns tell.
    pub fn necessary(&self) -> Option<Condition> {
        storage::necessary(&self.root)
    }

    /// Returns it as a part of a filter; or says which part of it asks more than the columns of a trace
    /// tell.
    pub fn to_filter(&self) -> Result<FilterRule, Problems> {
        if let Some(condition) = self.storage_predicate() {
            let source = self.source.to_string();
            return Ok(FilterRule { source, condition });
        }
        let problem = match self.is_condition() {
            true => Problem::new(
                storage::beyond(&self.root).at,
                "this cannot be told by the columns of a trace, and nothing else is read here",
            )
            .suggest("ask about fields such as duration_ms, status, tool_errors or total_cost_usd"),
            false => Problem::new(self.root.at, "a filter is a condition, this gives a value")
                .suggest(format!("compare it, as in `{} > 0`", self.source)),
        };
        Err(Problems::new(&self.source, vec![problem]))
    }

    /// Returns what comes of it for this trace.
    pub fn grade(&self, trace: &TraceView, environment: &dyn Environment) -> RuleResult {
        let store = Store::new();
        let eval = Eval::new(trace, environment, &store);
        match eval.eval(&self.root) {
            Ok(Value::Bool(true)) => RuleResult {
                vacuous: self.is_vacuous(&eval),
                ..RuleResult::new(Outcome::Pass)
            },
            Ok(Value::Bool(false)) => self.failed(&eval),
            Ok(Value::Null) => self.unknown(&eval),
            Ok(Value::Text(text)) => RuleResult {
                value: Some(RuleValue::Text(text.to_owned())),
                ..RuleResult::new(Outcome::Value)
            },
            Ok(other) => match other.as_double() {
                Some(number) => RuleResult {
                    value: Some(RuleValue::Number(number)),
                    ..RuleResult::new(Outcome::Value)
                },
                None => self.at_fault(FaultKind::Mixed.at(&self.root)),
            },
            Err(fault) => self.at_fault(fault),
        }
    }

    fn is_vacuous<'a>(&'a self, eval: &Eval<'a>) -> bool {
        let is_worth_asking = eval.saw_nothing.get();
        let is_vacuous = || Explainer::new(eval, &self.source).is_vacuous(&self.root);
        is_worth_asking && is_vacuous().unwrap_or(false)
    }

    fn failed<'a>(&'a self, eval: &Eval<'a>) -> RuleResult {
        let mut explainer = Explainer::new(eval, &self.source);
        // What was found before the steps ran out is better than nothing.
        let _ = explainer.why(&self.root, false);
        let (witnesses, reasoning) = explainer.told();
        RuleResult {
            witnesses,
            reasoning,
            ..RuleResult::new(Outcome::Fail)
        }
    }

    fn unknown<'a>(&'a self, eval: &Eval<'a>) -> RuleResult {
        let mut explainer = Explainer::new(eval, &self.source);
        let _ = explainer.missing(&self.root);
        let (witnesses, reasoning) = explainer.told();
        let outcome = match self.is_strict {
            true => Outcome::Fail,
            false => Outcome::NotApplicable,
        };
        RuleResult {
            witnesses,
            reasoning,
            ..RuleResult::new(outcome)
        }
    }

    fn at_fault(&self, fault: Fault) -> RuleResult {
        let (reason, why) = reason_of(&self.source, fault);
        RuleResult {
            unscored_reason: Some(reason),
            reasoning: Some(why),
            ..RuleResult::new(Outcome::Unscored)
        }
    }
}

/// Returns why there is no verdict, for a program and for a person.
fn reason_of(source: &str, fault: Fault) -> (UnscoredReason, String) {
    let text = fault.at.of(source);
    match fault.kind {
        FaultKind::Budget => {
            let why = format!("took more than {STEPS_MAX} steps, at `{text}`");
            (UnscoredReason::Budget, why)
        }
        FaultKind::Overflow => {
            let why = format!("`{text}` is beyond the integers");
            (UnscoredReason::Code, why)
        }
        FaultKind::DivisionByZero => {
            let why = format!("`{text}` divides by zero");
            (UnscoredReason::Code, why)
        }
        FaultKind::Mixed => {
            let why = format!("`{text}` meets values of another kind than it asks for");
            (UnscoredReason::Code, why)
        }
        FaultKind::NoElement => {
            let why = format!("`{text}` asks for an element that is not there");
            (UnscoredReason::Code, why)
        }
    }
}

/// A choice of spans, such as `spans[type=function]`: what a grader's `focus` is.
#[derive(Debug)]
pub struct Selector {
    source: Box<str>,
    root: Node,
    needs: Needs,
}

/// The spans could not be chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("choose spans: {why}")]
pub struct SelectError {
    /// Why, for a program.
    pub reason: UnscoredReason,
    /// Why, for a person.
    pub why: String,
}

impl Selector {
    /// Returns the selector that the source writes: any expression that gives spans.
    pub fn parse(source: &str) -> Result<Self, Problems> {
        let (root, needs) = checked(source, |checker, typed| {
            if !typed.given.is_spans() {
                let message = format!("a selector gives spans, this is {}", typed.given);
                let problem = Problem::new(typed.at(), message);
                checker.problem(problem.suggest("write spans[type=function]"));
            }
        })?;
        let source = source.into();
        Ok(Self {
            source,
            root,
            needs,
        })
    }

    /// Returns how it is written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Returns what it asks of its environment.
    pub fn needs(&self) -> &Needs {
        &self.needs
    }

    /// Returns the places of the chosen spans in [`TraceView::spans`].
    pub fn places(
        &self,
        trace: &TraceView,
        environment: &dyn Environment,
    ) -> Result<Vec<u32>, SelectError> {
        let store = Store::new();
        let eval = Eval::new(trace, environment, &store);
        let mut places = Vec::new();
        let walk = eval.each(&self.root, &mut |value| {
            if let Value::Span(at) = value {
                places.push(at);
            }
            Ok(true)
        });
        match walk {
            Ok(_) => Ok(places),
            Err(fault) => {
                let (reason, why) = reason_of(&self.source, fault);
                Err(SelectError { reason, why })
            }
        }
    }
}
