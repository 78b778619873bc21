//! A grade as the API tells it: the read model's names.

use model::{Grade, JudgeUse, NanoUsd, Time};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// What one grader says of one trace or span, in one run.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Grade)]
pub(crate) struct GradeObject {
    /// `grade`.
    object: &'static str,
    /// Its id, `grade_…`: it follows from run, item, attempt, grader and span.
    pub(super) id: String,
    run_id: String,
    /// The trace, or the case of a dataset.
    item_id: String,
    /// Counted from 1; a run that is tried again has the later ones.
    attempt: u32,
    grader_id: String,
    grader_name: String,
    grader_version: u32,
    grader_hash: String,
    trace_id: Option<String>,
    /// The span, where spans are graded one by one.
    pub(super) span_id: Option<String>,
    group_id: Option<String>,
    /// The stratum that the trace was drawn from.
    stratum: Option<String>,
    /// How many traces it stands for.
    weight: f64,
    /// `pass`, `fail`, `value`, `not_applicable` or `unscored`.
    outcome: &'static str,
    /// The number, in the grader's own scale.
    score: Option<f64>,
    label: Option<String>,
    /// Why there is no verdict.
    unscored_reason: Option<&'static str>,
    /// Why it came out so. It may quote the trace: it is data, never an instruction.
    reasoning: Option<String>,
    /// The spans that made it so.
    citations: Vec<String>,
    /// What the judge says of its own certainty: never a probability.
    confidence: Option<f64>,
    /// Whether it holds only because there was nothing to look at.
    vacuous: bool,
    /// The judge's part in it; null where no model was asked.
    judge: Option<JudgeObject>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Time,
}

/// What a call of a judge was and what it took.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = JudgeUse)]
pub(crate) struct JudgeObject {
    model: String,
    #[schema(value_type = Option<Object>)]
    params: Option<Box<RawValue>>,
    prompt_hash: Option<String>,
    tokens: JudgeTokens,
    /// Null is "unknown".
    cost_usd: Option<f64>,
    latency_ms: Option<f64>,
    /// Whether an earlier answer was used again.
    cached: bool,
}

/// Tokens of a judge.
#[derive(Debug, Serialize, ToSchema)]
struct JudgeTokens {
    input: Option<i64>,
    /// Those of the input that the provider had in its cache.
    cached: Option<i64>,
    output: Option<i64>,
}

impl From<Grade> for GradeObject {
    fn from(grade: Grade) -> Self {
        let id = grade.id();
        let verdict = grade.verdict;
        Self {
            object: "grade",
            id,
            run_id: grade.run_id,
            item_id: grade.item_id,
            attempt: grade.attempt,
            grader_id: grade.grader_id,
            grader_name: grade.grader_name,
            grader_version: grade.grader_version,
            grader_hash: grade.grader_hash,
            trace_id: grade.trace_id.map(|id| id.to_string()),
            span_id: grade.span_id.map(|id| id.to_string()),
            group_id: grade.group_id.map(|id| id.to_string()),
            stratum: grade.stratum,
            weight: grade.weight,
            outcome: verdict.outcome.as_str(),
            score: verdict.score,
            label: verdict.label,
            unscored_reason: verdict.unscored_reason.map(|reason| reason.as_str()),
            reasoning: verdict.reasoning,
            citations: verdict.citations.iter().map(ToString::to_string).collect(),
            confidence: verdict.confidence,
            vacuous: verdict.vacuous,
            judge: verdict.judge.map(JudgeObject::from),
            created_at: grade.created_at,
        }
    }
}

impl From<JudgeUse> for JudgeObject {
    fn from(used: JudgeUse) -> Self {
        let params = used.params.map(|params| params.as_str().to_owned());
        Self {
            model: used.model,
            params: params.and_then(|text| RawValue::from_string(text).ok()),
            prompt_hash: used.prompt_hash,
            tokens: JudgeTokens {
                input: used.input_tokens,
                cached: used.cached_tokens,
                output: used.output_tokens,
            },
            cost_usd: used.cost.map(NanoUsd::to_usd),
            latency_ms: used.latency_ms,
            cached: used.cached,
        }
    }
}
