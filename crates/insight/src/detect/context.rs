//! What detectors know besides the trace: what a project says of its tools and workflows, and how long
//! and how dear things usually are.

use std::collections::{HashMap, HashSet};

use model::SpanType;

use crate::Effects;

use super::Detector;

/// A value is an outlier from so many deviations on.
const DEVIATIONS_MAX: f64 = 3.5;

/// What values of one kind usually are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Baseline {
    /// How many values there were.
    pub count: u64,
    /// The value that one in a hundred exceeds.
    pub p99: f64,
    /// The middle one.
    pub median: f64,
    /// The median absolute deviation of the logarithms.
    pub log_mad: f64,
}

impl Baseline {
    /// Fewer earlier values are no baseline.
    pub const COUNT_MIN: u64 = 100;

    /// Returns the value above which one is an outlier; `None` if too few are known.
    pub(super) fn bound(&self) -> Option<f64> {
        let spread = self.median * (DEVIATIONS_MAX * self.log_mad).exp();
        (self.count >= Self::COUNT_MIN).then_some(self.p99.max(spread))
    }
}

/// What holds for one workflow.
#[derive(Debug, Clone, Default)]
pub struct WorkflowRules {
    /// Whether writes need a user's word first (D15).
    pub confirms_writes: bool,
    /// Whether writes are to be checked before the end (D21).
    pub verifies_writes: bool,
    /// Detectors whose hits are not wanted.
    pub muted: HashSet<Detector>,
    /// What its traces usually cost, in US dollars.
    pub cost_usd: Option<Baseline>,
    /// How many tokens its traces usually take.
    pub tokens: Option<Baseline>,
}

/// How many tokens models can read at once.
#[derive(Debug, Clone, Default)]
pub struct ContextWindows {
    told: HashMap<String, i64>,
}

/// Windows by the beginnings of models' names; of two that fit the longer counts. Providers change
/// them; what a project tells goes first.
const WINDOWS: &[(&str, i64)] = &[
    ("claude-", 200_000),
    ("command-r", 128_000),
    ("deepseek-", 128_000),
    ("gemini-1.5-pro", 2_097_152),
    ("gemini-", 1_048_576),
    ("gpt-3.5-turbo", 16_385),
    ("gpt-4", 8_192),
    ("gpt-4-1106", 128_000),
    ("gpt-4-0125", 128_000),
    ("gpt-4-32k", 32_768),
    ("gpt-4-turbo", 128_000),
    ("gpt-4.1", 1_047_576),
    ("gpt-4o", 128_000),
    ("gpt-5", 400_000),
    ("llama-3.1", 128_000),
    ("mistral-large", 128_000),
    ("mistral-small", 128_000),
    ("o1", 200_000),
    ("o1-mini", 128_000),
    ("o1-preview", 128_000),
    ("o3", 200_000),
    ("o4", 200_000),
];

impl ContextWindows {
    /// Returns windows among which those of `told` go first.
    pub fn with(told: HashMap<String, i64>) -> Self {
        Self { told }
    }

    /// Returns the window of a model, if it is known.
    pub fn of(&self, model: &str) -> Option<i64> {
        // Providers may stand before the name.
        let name = model.rsplit('/').next().unwrap_or(model);
        if let Some(window) = self.told.get(model).or_else(|| self.told.get(name)) {
            return Some(*window);
        }
        let fitting = WINDOWS.iter().filter(|(begun, _)| name.starts_with(begun));
        fitting
            .max_by_key(|(begun, _)| begun.len())
            .map(|(_, window)| *window)
    }
}

/// What detectors know besides the trace.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// Which tools write.
    pub effects: Effects,
    /// What holds for each workflow, by its name.
    pub workflows: HashMap<String, WorkflowRules>,
    /// What holds for all others.
    pub other_workflows: WorkflowRules,
    /// How long steps usually take by themselves, in milliseconds, by type and name.
    pub steps_ms: HashMap<(SpanType, String), Baseline>,
    /// How much models can read.
    pub windows: ContextWindows,
}

impl Context {
    /// Returns what holds for a workflow.
    pub(super) fn rules(&self, workflow: Option<&str>) -> &WorkflowRules {
        workflow
            .and_then(|name| self.workflows.get(name))
            .unwrap_or(&self.other_workflows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_beginning_tells_the_window_unless_the_project_does() {
        let windows = ContextWindows::with([("gpt-5-mine".to_owned(), 7)].into());
        for (model, want) in [
            ("gpt-4o-mini-2024-07-18", Some(128_000)),
            ("gpt-4-0613", Some(8_192)),
            ("openai/gpt-4.1-mini", Some(1_047_576)),
            ("gpt-5-mine", Some(7)),
            ("my-model", None),
        ] {
            assert_eq!(windows.of(model), want, "{model}");
        }
    }

    #[test]
    fn a_bound_needs_a_hundred_values() {
        let baseline = |count, p99, log_mad| Baseline {
            count,
            p99,
            median: 10.0,
            log_mad,
        };
        assert_eq!(baseline(99, 50.0, 0.1).bound(), None);
        assert_eq!(baseline(100, 50.0, 0.1).bound(), Some(50.0));
        let wide = baseline(100, 50.0, 1.0).bound().unwrap();
        assert!((wide - 10.0 * 3.5_f64.exp()).abs() < 1e-9);
    }
}
