//! The one question that a judge decides.

use super::Scale;

/// One criterion: one decision that can be seen in a trace.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Criterion {
    /// The question, or the author's text as it is.
    pub question: String,
    /// When it passes.
    pub pass_when: Option<String>,
    /// When it fails.
    pub fail_when: Option<String>,
    /// What to answer where the trace does not show it; else the judge is told to say that it cannot tell.
    pub without_evidence: Option<String>,
    /// What the steps of a scale mean.
    pub levels: Vec<(i64, String)>,
    /// What must be known beside the trace: rules, a policy.
    pub policy: Option<String>,
    /// What would have been right.
    pub reference: Option<String>,
    /// Cases that were decided before.
    pub examples: Vec<Example>,
}

/// A case that was decided before: two to four of them, one of which fails, help most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The telling part of the trace.
    pub excerpt: String,
    /// Why it was decided so.
    pub reasoning: String,
    /// The verdict, score or label.
    pub decision: String,
}

impl Criterion {
    /// Returns the criterion that is nothing but its author's text.
    pub fn of_text(question: impl Into<String>) -> Self {
        Self {
            question: question.into(),
            ..Self::default()
        }
    }

    /// Returns the scale that its text asks for.
    pub fn scale(&self) -> Scale {
        Scale::from_criteria(&self.question)
    }
}
