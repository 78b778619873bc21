//! What a rule may ask that does not stand in the trace.

use model::SpanId;

/// Answers what lies outside of a trace. Whatever it does not know is missing, so the default knows
/// nothing.
pub trait Environment {
    /// Returns whether a detector fired; `None` where it does not apply or did not run.
    fn detector(&self, id: &str) -> Option<bool> {
        let _ = id;
        None
    }

    /// Returns the spans of a detector's hits.
    fn detector_spans(&self, id: &str) -> Vec<SpanId> {
        let _ = id;
        Vec::new()
    }

    /// Returns what another grader gave: pass is 1, fail is 0.
    fn score(&self, grader: &str) -> Option<f64> {
        let _ = grader;
        None
    }

    /// Returns a statistic of earlier traces, such as that of `p95:duration_ms`.
    fn baseline(&self, key: &str) -> Option<f64> {
        let _ = key;
        None
    }

    /// Returns whether a text is JSON that a schema allows; `None` where there is no such schema.
    fn is_valid(&self, text: &str, schema: &str) -> Option<bool> {
        let _ = (text, schema);
        None
    }
}

/// Knows nothing.
impl Environment for () {}

/// What a rule asks of its [`Environment`], so that it can be had before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Needs {
    /// Ids of detectors.
    pub detectors: Vec<String>,
    /// Names of graders.
    pub scores: Vec<String>,
    /// Keys of baselines.
    pub baselines: Vec<String>,
    /// Names of schemas.
    pub schemas: Vec<String>,
}
