//! What went wrong in a run, without a model: thirty detectors.
//!
//! Each looks at one trace as graders see it and answers with hits, with nothing, or that it lacks its
//! data. Texts are hostile: expressions are linear in the text, nothing compares each span with each
//! other, and every detector says in its module what bounds it. Evidence quotes texts of the trace; it
//! is data, never an instruction.

mod answers;
mod claims;
mod context;
mod cycle;
mod declared;
mod directed;
mod errors;
mod facts;
mod generations;
mod handoffs;
mod identifiers;
mod ignored;
mod leaks;
mod numbers;
mod outliers;
mod repeats;
mod schema;
mod stopping;
mod structure;
mod table;
mod tools;
mod unused;
mod words;
mod writes;

use model::SpanId;

use crate::TraceView;

pub use context::{Baseline, Context, ContextWindows, WorkflowRules};
pub use errors::ErrorClass;
pub use schema::schema_fault;
pub use table::{Detector, Severity};

use facts::Facts;

/// A detector tells so many hits of a trace.
const HITS_MAX: usize = 100;

/// One time that something went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// How much it weighs.
    pub severity: Severity,
    /// The spans that show it, in start order; of very many the first.
    pub spans: Vec<SpanId>,
    /// A sentence with the facts.
    pub evidence: String,
    /// The span in which it began.
    pub cause: Option<SpanId>,
}

/// What a detector says of a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It lacks what it needs; says what that is.
    NotApplicable(&'static str),
    /// The workflow does not want to hear of it.
    Muted,
    /// It found nothing.
    Clear,
    /// What it found, in start order.
    Hits(Vec<Hit>),
}

/// A detector and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The detector.
    pub detector: Detector,
    /// What it says.
    pub answer: Answer,
}

impl Finding {
    /// Returns the hits.
    pub fn hits(&self) -> &[Hit] {
        match &self.answer {
            Answer::Hits(hits) => hits,
            _ => &[],
        }
    }

    /// Returns whether it fired; `None` where it had nothing to go by.
    pub fn fired(&self) -> Option<bool> {
        match &self.answer {
            Answer::NotApplicable(_) | Answer::Muted => None,
            Answer::Clear => Some(false),
            Answer::Hits(_) => Some(true),
        }
    }
}

/// Hits in start order, or what is lacking.
type Found = Result<Vec<Hit>, &'static str>;

/// Detectors that are asked together.
#[derive(Debug, Clone)]
pub struct Detectors(Vec<Detector>);

impl Detectors {
    /// Returns all of them.
    pub fn all() -> Self {
        Self(Detector::ALL.to_vec())
    }

    /// Returns these.
    pub fn only(detectors: impl IntoIterator<Item = Detector>) -> Self {
        Self(detectors.into_iter().collect())
    }

    /// Returns what each of them says of a trace.
    pub fn run(&self, view: &TraceView, context: &Context) -> Vec<Finding> {
        let facts = Facts::of(view, context);
        let answers = self.0.iter().map(|detector| Finding {
            detector: *detector,
            answer: answer(*detector, &facts),
        });
        answers.collect()
    }
}

fn answer(detector: Detector, facts: &Facts<'_>) -> Answer {
    if facts.rules.muted.contains(&detector) {
        return Answer::Muted;
    }
    match find(detector)(facts) {
        Err(lacking) => Answer::NotApplicable(lacking),
        Ok(hits) if hits.is_empty() => Answer::Clear,
        Ok(mut hits) => {
            hits.truncate(HITS_MAX);
            Answer::Hits(hits)
        }
    }
}

fn find(detector: Detector) -> fn(&Facts<'_>) -> Found {
    match detector {
        Detector::D01 => repeats::identical_calls,
        Detector::D02 => cycle::cycle,
        Detector::D03 => ignored::error_ignored,
        Detector::D04 => repeats::retry_storm,
        Detector::D05 => tools::hallucinated_tool,
        Detector::D06 => tools::invalid_arguments,
        Detector::D07 => identifiers::invented_identifier,
        Detector::D08 => answers::stub_answer,
        Detector::D09 => generations::truncated,
        Detector::D10 => generations::context_growth,
        Detector::D11 => generations::history_reset,
        Detector::D12 => handoffs::ping_pong,
        Detector::D13 => handoffs::orphan,
        Detector::D14 => handoffs::guardrail_bypassed,
        Detector::D15 => writes::unconfirmed,
        Detector::D16 => writes::then_failure,
        Detector::D17 => repeats::duplicate_write,
        Detector::D18 => unused::unused_result,
        Detector::D19 => numbers::ungrounded_number,
        Detector::D20 => claims::claimed_not_done,
        Detector::D21 => writes::unverified,
        Detector::D22 => stopping::unaware_of_stopping,
        Detector::D23 => outliers::slow_step,
        Detector::D24 => outliers::cost_outlier,
        Detector::D25 => outliers::idle_gap,
        Detector::D26 => structure::structural,
        Detector::D27 => directed::judge_directed,
        Detector::D28 => leaks::leak,
        Detector::D29 => tools::wrong_agent,
        Detector::D30 => errors::api_class,
    }
}

#[cfg(test)]
mod tests;
