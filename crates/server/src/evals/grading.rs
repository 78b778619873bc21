//! One row of a run, from what it holds to what is written down of it.

use std::collections::BTreeMap;

use futures::future::join_all;
use grade::openai::{GraderReport, Services, Subject, Tokens};
use grade::trace::{Graded, Halt};
use model::NanoUsd;
use serde_json::{Value, json};
use store::meta::{Eval, EvalRun, GradedItem, ItemStatus, ModelUse, QueuedItem};

use super::criteria::{self, By, Criterion};
use super::sampling::{Sampling, SamplingError, shown_error, shown_given};
use super::source::DataSource;
use super::verdict;
use crate::error::ApiError;
use crate::grading::{Purse, RowBill, TraceBench};
use crate::services::GradeServices;
use crate::state::AppState;

/// What is done with each row of a run.
#[derive(Debug)]
pub(super) struct Plan {
    criteria: Vec<Criterion>,
    sampling: Option<Sampling>,
    services: GradeServices,
    /// What its models may cost.
    purse: Purse,
    /// What grades the traces that rows were made of, if a criterion does.
    traces: Option<TraceBench>,
}

/// What became of a row, and what that cost. A halt says that no further row could be graded either: then
/// this one waits, and what it cost is spent all the same.
pub(super) struct Done {
    pub(super) graded: Result<GradedItem, Halt>,
    pub(super) cost: NanoUsd,
}

/// What calls took, by the name of the model.
type Usage = BTreeMap<String, ModelUse>;

/// What criteria found of a row.
#[derive(Default)]
struct Found {
    outcomes: Vec<(String, ItemStatus)>,
    results: Vec<Value>,
}

impl Plan {
    /// Reads what was stored of a run and of its eval.
    pub(super) async fn of(state: &AppState, eval: &Eval, run: &EvalRun) -> Result<Self, ApiError> {
        let source = serde_json::value::RawValue::from_string(run.data_source.clone());
        let source = DataSource::parse(&source.map_err(ApiError::internal)?)?;
        let criteria = criteria::stored(&eval.testing_criteria)?;
        let of_traces = criteria::of_traces(&criteria);
        let of_traces = of_traces.map_err(|problems| ApiError::internal(problems.join("; ")))?;
        let traces = match of_traces {
            None => None,
            Some(of_traces) => {
                let of_run = (&run.project, &*run.id, run.created_at);
                Some(TraceBench::new(state, of_run, of_traces).await?)
            }
        };
        let metadata = serde_json::from_str(&run.metadata).map_err(ApiError::internal)?;
        let cap = source.cost_max(&metadata)?;
        let cap = cap.unwrap_or(state.config.grading.run_cost_max);
        Ok(Self {
            purse: Purse::new(state, &run.project, &run.id, (cap, run.spent)),
            criteria,
            sampling: Sampling::of(&source)?,
            services: state.graders.clone(),
            traces,
        })
    }

    /// Samples an answer to a row, if the run does so, and grades it.
    pub(super) async fn grade(&self, row: QueuedItem) -> Done {
        let bill = self.purse.row(row.position, row.trace_id.as_ref());
        let graded = self.graded(&row, &bill).await;
        Done {
            graded,
            cost: bill.cost(),
        }
    }

    async fn graded(&self, row: &QueuedItem, bill: &RowBill<'_>) -> Result<GradedItem, Halt> {
        let item = json_of(&row.item);
        let mut usage = Usage::new();
        let (sample, shown) = match (&self.sampling, &row.given) {
            (None, None) => (Value::Null, None),
            (None, Some(given)) => {
                let given = json_of(given);
                let shown = shown_given(&given);
                (given, Some(shown))
            }
            (Some(sampling), _) => match sampling.ask(&item, &bill.asker("sample")).await {
                Ok(sampled) => {
                    add(&mut usage, &sampled.answer.model, sampled.answer.usage);
                    (sampled.namespace, Some(sampled.shown))
                }
                Err(error) => {
                    return match bill.halt() {
                        Some(halt) => Err(halt),
                        None => Ok(self.unanswered(row.position, &error, bill)),
                    };
                }
            },
        };
        let subject = Subject {
            item: &item,
            sample: &sample,
        };
        let found = self.find((row, bill), subject, &mut usage).await?;
        Ok(GradedItem {
            position: row.position,
            status: verdict::whole(found.outcomes.iter().map(|(_, outcome)| *outcome)),
            sample: shown.map(|shown| shown.to_string()),
            results: Value::Array(found.results).to_string(),
            outcomes: found.outcomes,
            usage: usage.into_iter().collect(),
            kept_answers: bill.kept_answers(),
        })
    }

    /// Asks all criteria, those that grade rows first, for rules may ask for their scores; and tells what
    /// they found in the order of the eval.
    async fn find(
        &self,
        (row, bill): (&QueuedItem, &RowBill<'_>),
        subject: Subject<'_>,
        usage: &mut Usage,
    ) -> Result<Found, Halt> {
        let reports = self.reports(subject, bill).await;
        if let Some(halt) = bill.halt() {
            return Err(halt);
        }
        let mut said = match (&self.traces, &row.trace_id) {
            (Some(bench), Some(trace_id)) => {
                let whole = reports.iter().filter(|report| !report.errors.any());
                let scores = whole.map(|report| (report.name.clone(), report.reward));
                let trace = (trace_id, subject.item.get("reference"));
                bench.grade(trace, bill, scores.collect()).await?
            }
            // Runs of such criteria have no rows but those of traces.
            _ => Vec::new(),
        };
        let mut reports = reports.into_iter();
        let mut found = Found::default();
        for criterion in &self.criteria {
            match &criterion.by {
                By::Row(_) => {
                    if let Some(report) = reports.next() {
                        found.add_report(criterion, &report, usage);
                    }
                }
                By::Trace(name, grader) => {
                    let at = said.iter().position(|(id, _)| *id == criterion.id);
                    let graded = at.map(|at| said.swap_remove(at).1).unwrap_or_default();
                    count_calls(&graded, usage);
                    let result = |one| verdict::result(&criterion.id, name, grader, one);
                    found.results.extend(graded.iter().map(result));
                    let outcome = verdict::outcome(&graded);
                    found.outcomes.push((criterion.id.clone(), outcome));
                }
            }
        }
        Ok(found)
    }

    /// Asks the criteria that grade rows, all at once.
    async fn reports(&self, subject: Subject<'_>, bill: &RowBill<'_>) -> Vec<GraderReport> {
        let python = self.services.get().python;
        let graders = self.criteria.iter().filter_map(|one| match &one.by {
            By::Row(grader) => Some((grader, bill.asker(&one.id))),
            By::Trace(..) => None,
        });
        let reports = graders.map(|(grader, asker)| async move {
            let services = Services {
                model: Some(&asker),
                python,
            };
            grader.run(subject, &services).await
        });
        join_all(reports).await
    }

    /// Returns a row to which there is no answer: no criterion can say anything of it.
    fn unanswered(&self, position: i64, error: &SamplingError, bill: &RowBill<'_>) -> GradedItem {
        let mut usage = Usage::new();
        if let Some(answer) = error.answer() {
            add(&mut usage, &answer.model, answer.usage);
        }
        let ids = self.criteria.iter().map(|criterion| criterion.id.clone());
        GradedItem {
            position,
            status: ItemStatus::Error,
            sample: Some(shown_error(error).to_string()),
            results: "[]".to_owned(),
            outcomes: ids.map(|id| (id, ItemStatus::Error)).collect(),
            usage: usage.into_iter().collect(),
            kept_answers: bill.kept_answers(),
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

impl Found {
    fn add_report(&mut self, criterion: &Criterion, report: &GraderReport, usage: &mut Usage) {
        for (model, tokens) in &report.usage {
            add(usage, model, *tokens);
        }
        self.outcomes.push((criterion.id.clone(), outcome(report)));
        self.results.push(result(criterion, report));
    }
}

/// Counts what judges of traces were asked; answers that were there already took nothing.
fn count_calls(graded: &[Graded], usage: &mut Usage) {
    let exchanges = graded.iter().flat_map(|one| &one.exchanges);
    for exchange in exchanges.filter(|exchange| !exchange.is_cached) {
        add(usage, &exchange.model, exchange.usage);
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
