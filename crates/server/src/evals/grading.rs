//! One row of a run, from what it holds to what is written down of it.

use std::collections::BTreeMap;

use futures::future::join_all;
use grade::openai::{GraderReport, Subject, Tokens};
use serde_json::{Value, json};
use store::meta::{Eval, EvalRun, GradedItem, ItemStatus, ModelUse, QueuedItem};

use super::criteria::{self, Criterion};
use super::sampling::{Sampling, SamplingError, shown_error, shown_given};
use super::source::DataSource;
use crate::error::ApiError;
use crate::services::GradeServices;

/// What is done with each row of a run.
#[derive(Debug)]
pub(super) struct Plan {
    criteria: Vec<Criterion>,
    sampling: Option<Sampling>,
    services: GradeServices,
}

/// What calls took, by the name of the model.
type Usage = BTreeMap<String, ModelUse>;

impl Plan {
    /// Reads what was stored of a run and of its eval.
    pub(super) fn of(
        eval: &Eval,
        run: &EvalRun,
        services: &GradeServices,
    ) -> Result<Self, ApiError> {
        let source = serde_json::value::RawValue::from_string(run.data_source.clone());
        let source = DataSource::parse(&source.map_err(ApiError::internal)?)?;
        Ok(Self {
            criteria: criteria::stored(&eval.testing_criteria)?,
            sampling: Sampling::of(&source)?,
            services: services.clone(),
        })
    }

    /// Samples an answer to a row, if the run does so, and grades it.
    pub(super) async fn grade(&self, row: QueuedItem) -> GradedItem {
        let item = json_of(&row.item);
        let mut usage = Usage::new();
        let (sample, shown) = match (&self.sampling, &row.given) {
            (None, None) => (Value::Null, None),
            (None, Some(given)) => {
                let given = json_of(given);
                let shown = shown_given(&given);
                (given, Some(shown))
            }
            (Some(sampling), _) => {
                match sampling.ask(&item, self.services.model.as_deref()).await {
                    Ok(sampled) => {
                        add(&mut usage, &sampled.answer.model, sampled.answer.usage);
                        (sampled.namespace, Some(sampled.shown))
                    }
                    Err(error) => return self.unanswered(row.position, &error),
                }
            }
        };
        let subject = Subject {
            item: &item,
            sample: &sample,
        };
        let services = self.services.get();
        let reports = self
            .criteria
            .iter()
            .map(|criterion| criterion.grader.run(subject, &services));
        let reports = join_all(reports).await;
        let mut outcomes = Vec::with_capacity(reports.len());
        let mut results = Vec::with_capacity(reports.len());
        for (criterion, report) in self.criteria.iter().zip(&reports) {
            for (model, tokens) in &report.usage {
                add(&mut usage, model, *tokens);
            }
            outcomes.push((criterion.id.clone(), outcome(report)));
            results.push(result(criterion, report));
        }
        GradedItem {
            position: row.position,
            status: whole(&outcomes),
            sample: shown.map(|shown| shown.to_string()),
            results: Value::Array(results).to_string(),
            outcomes,
            usage: usage.into_iter().collect(),
        }
    }

    /// Returns a row to which there is no answer: no criterion can say anything of it.
    fn unanswered(&self, position: i64, error: &SamplingError) -> GradedItem {
        let ids = self.criteria.iter().map(|criterion| criterion.id.clone());
        GradedItem {
            position,
            status: ItemStatus::Error,
            sample: Some(shown_error(error).to_string()),
            results: "[]".to_owned(),
            outcomes: ids.map(|id| (id, ItemStatus::Error)).collect(),
            usage: Vec::new(),
        }
    }
}

/// Rows were read as JSON before they were stored.
fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

fn add(usage: &mut Usage, model: &str, tokens: Tokens) {
    let used = usage.entry(model.to_owned()).or_default();
    used.calls += 1;
    used.prompt_tokens += tokens.prompt;
    used.completion_tokens += tokens.completion;
    used.total_tokens += tokens.total;
    used.cached_tokens += tokens.cached;
}

fn outcome(report: &GraderReport) -> ItemStatus {
    match (report.errors.any(), report.passed) {
        (true, _) | (false, None) => ItemStatus::Error,
        (false, Some(true)) => ItemStatus::Pass,
        (false, Some(false)) => ItemStatus::Fail,
    }
}

/// A row that could not be graded by one criterion is neither passed nor failed.
fn whole(outcomes: &[(String, ItemStatus)]) -> ItemStatus {
    let has = |wanted| outcomes.iter().any(|(_, outcome)| *outcome == wanted);
    match (has(ItemStatus::Error), has(ItemStatus::Fail)) {
        (true, _) => ItemStatus::Error,
        (false, true) => ItemStatus::Fail,
        (false, false) => ItemStatus::Pass,
    }
}

/// Returns what an output item shows of a criterion: OpenAI's fields, and ours where there is something
/// to say.
fn result(criterion: &Criterion, report: &GraderReport) -> Value {
    let mut result = json!({
        "name": criterion.id,
        "testing_criteria_name": report.name,
        "type": report.kind.as_str(),
        "score": report.reward,
        "passed": outcome(report) == ItemStatus::Pass,
        "sample": report.call.as_ref().map(|call| call.to_json()),
    });
    if let Some(label) = &report.label {
        result["label"] = json!(label);
    }
    if !report.steps.is_empty() {
        let steps = report.steps.iter();
        let steps = steps
            .map(|step| json!({"description": step.description, "conclusion": step.conclusion}));
        result["steps"] = steps.collect();
    }
    if report.errors.any() {
        let message = report.errors.reasons.join("; ");
        result["error"] = json!({"message": message, "flags": report.errors.to_json()});
    }
    result
}
