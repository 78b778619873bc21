//! What rules ask that does not stand in the trace: detectors, scores, baselines, schemas.

use std::collections::BTreeMap;

use insight::rule::Environment;
use insight::{Detector, Detectors, Finding, schema_fault};
use model::SpanId;
use serde_json::Value;

use super::Subject;

/// What is known beside one trace.
pub(super) struct Known<'a> {
    subject: &'a Subject<'a>,
    /// What the parts of a `multi` gave that ran before.
    scores: Option<&'a BTreeMap<String, f64>>,
    findings: BTreeMap<String, Finding>,
}

impl<'a> Known<'a> {
    /// Asks these detectors, and knows what the subject tells.
    pub(super) fn of(subject: &'a Subject<'a>, detectors: &[String]) -> Self {
        let asked: Vec<Detector> = detectors.iter().filter_map(|id| id.parse().ok()).collect();
        let found = match asked.is_empty() {
            true => Vec::new(),
            false => Detectors::only(asked).run(subject.view, subject.context),
        };
        let findings = found.into_iter();
        Self {
            subject,
            scores: None,
            findings: findings
                .map(|finding| (finding.detector.as_str().to_owned(), finding))
                .collect(),
        }
    }

    /// Knows the scores of the parts of a `multi` too; they go before those of other graders.
    pub(super) fn with_scores(self, scores: &'a BTreeMap<String, f64>) -> Self {
        Self {
            scores: Some(scores),
            ..self
        }
    }

    fn finding(&self, id: &str) -> Option<&Finding> {
        self.findings.get(&id.to_ascii_uppercase())
    }
}

impl Environment for Known<'_> {
    fn detector(&self, id: &str) -> Option<bool> {
        self.finding(id)?.fired()
    }

    fn detector_spans(&self, id: &str) -> Vec<SpanId> {
        let hits = self.finding(id).map(Finding::hits).unwrap_or_default();
        hits.iter().flat_map(|hit| hit.spans.clone()).collect()
    }

    fn score(&self, grader: &str) -> Option<f64> {
        let own = self.scores.and_then(|scores| scores.get(grader));
        own.or_else(|| self.subject.scores.get(grader)).copied()
    }

    fn baseline(&self, key: &str) -> Option<f64> {
        self.subject.baselines.get(key).copied()
    }

    fn is_valid(&self, text: &str, schema: &str) -> Option<bool> {
        let schema = self.subject.schemas.get(schema)?;
        let value: Option<Value> = serde_json::from_str(text).ok();
        Some(value.is_some_and(|value| schema_fault(schema, &value, "it").is_none()))
    }
}
