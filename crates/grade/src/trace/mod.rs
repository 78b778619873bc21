//! Graders of traces.
//!
//! A definition is read with all that is wrong with it. What it means is then a function of the
//! definition, the trace and what [`Subject`] tells beside it; only judges and code are asked, by way of
//! [`Services`], and what they cannot answer is a verdict too: no verdict is not a fail. What would make
//! every further trace fail alike is no verdict but a [`Halt`].

mod subject;

pub use subject::{Costs, Exchange, Graded, Halt, Needs, Purpose, Services, Subject, TracePython};

use insight::TraceView;
use model::{NanoUsd, Verdict};
use serde_json::Value;

use crate::scale::GraderScale;

/// A grader of traces.
#[derive(Debug)]
pub struct TraceGrader {
    name: String,
    definition: Value,
    hash: String,
}

/// What is wrong with a definition, each mistake in a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct DefinitionProblems(pub Vec<String>);

/// Returns a hash of all that a grader can read of a trace.
pub fn content_hash(view: &TraceView) -> String {
    let _ = view;
    unimplemented!()
}

impl TraceGrader {
    /// Reads a definition, or says everything that is wrong with it.
    pub fn parse(definition: &Value) -> Result<Self, DefinitionProblems> {
        let _ = definition;
        unimplemented!()
    }

    /// Returns its name: its type if nobody gave one.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the word for its type.
    pub fn kind(&self) -> &'static str {
        unimplemented!()
    }

    /// Returns the definition as it is understood: its scale and its defaults written out. Reading it
    /// again gives the same grader.
    pub fn definition(&self) -> &Value {
        &self.definition
    }

    /// Returns the BLAKE3 hash of the definition without its name, in hex: the same for every way of
    /// writing it that means the same.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Returns what grading with it costs.
    pub fn cost(&self) -> Costs {
        unimplemented!()
    }

    /// Returns the scale of its answers.
    pub fn scale(&self) -> GraderScale {
        unimplemented!()
    }

    /// Returns what must be known before it runs.
    pub fn needs(&self) -> Needs {
        unimplemented!()
    }

    /// Returns how many questions it puts to judges about one trace: the sum over the graders of a run is
    /// [`Subject::criteria_per_trace`].
    pub fn criteria(&self) -> usize {
        unimplemented!()
    }

    /// Returns what grading this trace is thought to cost: nothing for graders that ask nobody; none if
    /// the judge has no price, or there is none.
    pub fn estimate(&self, subject: &Subject<'_>, services: &Services<'_>) -> Option<NanoUsd> {
        let _ = (subject, services);
        unimplemented!()
    }

    /// Grades a trace at once, if the grader asks neither a judge nor code; else none.
    pub fn grade_now(&self, subject: &Subject<'_>) -> Option<Verdict> {
        let _ = subject;
        unimplemented!()
    }

    /// Grades a trace: one verdict, or one for each span of a grader that says `"per": "span"`.
    pub async fn grade(
        &self,
        subject: &Subject<'_>,
        services: &Services<'_>,
    ) -> Result<Vec<Graded>, Halt> {
        let _ = (subject, services);
        unimplemented!()
    }
}
