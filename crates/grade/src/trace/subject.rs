//! What a trace is graded with, and what comes back.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use insight::{Context, TraceView};
use model::{NanoUsd, SpanId, TraceId, Verdict};
use serde_json::Value;

use crate::judge::{Desk, Exhausted};
use crate::openai::{Answer, Python, PythonError, Tokens};
use crate::sandbox;

static NO_NUMBERS: BTreeMap<String, f64> = BTreeMap::new();
static NO_SCHEMAS: LazyLock<BTreeMap<String, Value>> = LazyLock::new(BTreeMap::new);

/// A trace and what is known beside it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The trace.
    pub view: &'a TraceView,
    /// What the project says of its tools, workflows and models.
    pub context: &'a Context,
    /// The hash of what can be read of the trace, such as [`super::content_hash`] makes it: equal traces
    /// are judged once.
    pub trace_hash: &'a str,
    /// The seed of the run: with the trace's hash it names the fence, so that nobody who writes into a
    /// trace can know it.
    pub run_seed: &'a str,
    /// How many questions judges are asked about each trace of this run: what comes first in a prompt,
    /// the trace or the question, depends on it.
    pub criteria_per_trace: usize,
    /// Counted from 1. What was judged in an earlier attempt is asked anew.
    pub attempt: u32,
    /// What graders gave that ran before, by name: their number, else 1 for a pass and 0 for a fail.
    pub scores: &'a BTreeMap<String, f64>,
    /// Statistics of earlier traces that rules ask for, such as that of `p95:duration_ms`.
    pub baselines: &'a BTreeMap<String, f64>,
    /// JSON schemas by name, for rules that ask whether a text fits one.
    pub schemas: &'a BTreeMap<String, Value>,
    /// Spans at which graders pointed that ran before; they are shown to judges first.
    pub cited: &'a [SpanId],
    /// The trace that this one is held against, for graders that compare two.
    pub counterpart: Option<Counterpart<'a>>,
}

/// The trace that another one is held against.
#[derive(Debug, Clone, Copy)]
pub struct Counterpart<'a> {
    /// Its id, for grades to tell.
    pub trace_id: &'a TraceId,
    /// The trace.
    pub view: &'a TraceView,
    /// Its hash, as [`super::content_hash`] makes it.
    pub trace_hash: &'a str,
}

impl<'a> Subject<'a> {
    /// Returns a trace of which nothing else is known.
    pub fn new(view: &'a TraceView, context: &'a Context) -> Self {
        Self {
            view,
            context,
            trace_hash: "",
            run_seed: "",
            criteria_per_trace: 1,
            attempt: 1,
            scores: &NO_NUMBERS,
            baselines: &NO_NUMBERS,
            schemas: &NO_SCHEMAS,
            cited: &[],
            counterpart: None,
        }
    }

    /// Returns the hash of the trace, made here if nobody gave one.
    pub(super) fn hash(&self) -> Cow<'a, str> {
        match self.trace_hash {
            "" => super::content_hash(self.view).into(),
            hash => hash.into(),
        }
    }
}

/// Whoever runs graders written in Python.
pub trait TracePython: Python {
    /// Calls `grade(trace)` of a module.
    fn grade_trace<'a>(
        &'a self,
        source: &'a str,
        trace: &'a Value,
    ) -> Answer<'a, Result<sandbox::Verdict, PythonError>>;

    /// Compiles a module without running any of it. What is wrong with it is a [`PythonError::Runtime`]; any
    /// other error says why nobody can tell.
    fn check<'a>(&'a self, source: &'a str) -> Answer<'a, Result<(), PythonError>>;
}

impl TracePython for sandbox::Pool {
    fn grade_trace<'a>(
        &'a self,
        source: &'a str,
        trace: &'a Value,
    ) -> Answer<'a, Result<sandbox::Verdict, PythonError>> {
        Box::pin(Self::grade_trace(self, source, trace))
    }

    fn check<'a>(&'a self, source: &'a str) -> Answer<'a, Result<(), PythonError>> {
        Box::pin(Self::check(self, source))
    }
}

/// Whom graders may ask. What is not there is told in the verdicts of those who need it.
#[derive(Clone, Copy, Default)]
pub struct Services<'a> {
    /// Where judges are asked.
    pub desk: Option<Desk<'a>>,
    /// Where code runs.
    pub python: Option<&'a dyn TracePython>,
    /// The project's judge: the model of graders that name none.
    pub model: Option<&'a str>,
}

impl fmt::Debug for Services<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services")
            .field("desk", &self.desk.is_some())
            .field("python", &self.python.is_some())
            .field("model", &self.model)
            .finish()
    }
}

/// What a grader says of a trace or of one span of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Graded {
    /// The span, of graders that grade span by span.
    pub span_id: Option<SpanId>,
    /// What it says.
    pub verdict: Verdict,
    /// What the parts of a `multi` gave, by key.
    pub scores: BTreeMap<String, f64>,
    /// What judges were asked and answered, in order.
    pub exchanges: Vec<Exchange>,
}

impl Graded {
    /// Returns a verdict on the whole trace that no judge had a part in.
    pub fn of(verdict: Verdict) -> Self {
        Self {
            span_id: None,
            verdict,
            scores: BTreeMap::new(),
            exchanges: Vec::new(),
        }
    }
}

/// One question to a judge and its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Exchange {
    /// What it was for.
    pub purpose: Purpose,
    /// The model that was asked.
    pub model: String,
    /// Messages of Chat Completions.
    pub messages: Vec<Value>,
    /// The parameters, tools among them.
    pub params: Value,
    /// The words of the answer.
    pub answer: String,
    /// The tools that the answer calls.
    pub tool_calls: Value,
    /// Why the judge refused, if it did.
    pub refusal: Option<String>,
    /// Tokens.
    pub usage: Tokens,
    /// What it cost this time; none if that is not known.
    pub cost: Option<NanoUsd>,
    /// How long it took.
    pub latency_ms: f64,
    /// Whether an earlier answer was used again.
    pub is_cached: bool,
}

/// What a judge is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The verdict.
    Verdict,
    /// The verdict, after it has read a part of the trace.
    Reading,
    /// The same verdict in a form that can be read.
    Repair,
    /// Evidence for a fail that points at nothing.
    Evidence,
}

impl Purpose {
    /// Returns its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Verdict => "verdict",
            Self::Reading => "reading",
            Self::Repair => "repair",
            Self::Evidence => "evidence",
        }
    }
}

/// Why a run cannot go on: not a verdict, so the run pauses and says this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// The money is used up.
    #[error(transparent)]
    Budget(#[from] Exhausted),
    /// Every further question would fail like this one: the key, the credit, the model, its price.
    #[error("{0}")]
    Terminal(String),
}

/// What a grader needs to have said or known before it runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// The texts of the trace, not only its outline.
    pub content: bool,
    /// Detectors that its rules ask, by id. They run with the grader; nothing is to be done for it.
    pub detectors: Vec<String>,
    /// Names of graders whose scores its rules ask for: they must run before.
    pub scores: Vec<String>,
    /// Keys of baselines.
    pub baselines: Vec<String>,
    /// Names of schemas.
    pub schemas: Vec<String>,
    /// The case that the trace is held against.
    pub reference: bool,
}

/// What grading with a grader costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Costs {
    /// A moment.
    Nothing,
    /// A process of the sandbox.
    Code,
    /// Questions to a judge.
    Judge,
}
