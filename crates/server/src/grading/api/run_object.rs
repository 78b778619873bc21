//! A grading run as the API tells it.

use model::{NanoUsd, Time};
use serde::Serialize;
use serde_json::value::RawValue;
use store::meta::GradingRun;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::pages::raw;

/// A run of graders over traces.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GradingRun)]
pub(in crate::grading) struct RunObject {
    /// `trace.grading_run`.
    object: &'static str,
    /// Its id, `grun_…`.
    pub(super) id: String,
    /// What people call it.
    name: Option<String>,
    /// `selecting`, `queued`, `in_progress`, `paused`, `completed`, `canceled` or `failed`.
    status: &'static str,
    /// Why it was paused, failed, or stopped early.
    reason: Option<String>,
    /// The graders as they were when the run was made: `id`, `name`, `version`, `hash`, `definition`.
    #[schema(value_type = Vec<Object>)]
    graders: Box<RawValue>,
    /// Which traces were chosen and how: `strategy`, `seed`, `population`, `strata`.
    #[schema(value_type = Object)]
    selection: Box<RawValue>,
    /// What the project said of its tools, workflows, schemas and models when the run was made, by which it
    /// is graded; null for the run of a watch, which goes by what is said now.
    #[schema(value_type = Option<Object>)]
    settings: Option<Box<RawValue>>,
    counts: CountsObject,
    cost: CostObject,
    /// The watch whose run this is; null for a run that ends.
    watch_id: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Time,
    #[schema(value_type = Option<String>, format = DateTime)]
    started_at: Option<Time>,
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Time>,
    /// Pairs that people hang on it.
    #[schema(value_type = Object)]
    metadata: Box<RawValue>,
}

/// How far a run is, in traces.
#[derive(Debug, Serialize, ToSchema)]
struct CountsObject {
    /// All that were chosen.
    items: i64,
    /// Those that were graded, unscored ones included.
    done: i64,
    /// Those of which a grader could say nothing.
    unscored: i64,
    /// Those that wait, or are being graded.
    queued: i64,
    /// Those whose traces were deleted: they are neither done nor do they wait.
    deleted: i64,
}

/// What a run costs.
#[derive(Debug, Serialize, ToSchema)]
struct CostObject {
    /// What it was thought to cost when it was made; null where that cannot be known.
    estimate_usd: Option<f64>,
    /// Where it pauses; null: nowhere.
    cap_usd: Option<f64>,
    /// What was spent so far.
    spent_usd: f64,
}

impl RunObject {
    /// Returns a run as it is sent.
    pub(in crate::grading) fn of(run: GradingRun) -> Result<Self, ApiError> {
        let queued = run.waiting();
        Ok(Self {
            object: "trace.grading_run",
            id: run.id,
            name: run.name,
            status: run.status.as_str(),
            reason: run.reason,
            graders: raw(run.graders)?,
            selection: raw(run.selection)?,
            settings: run.settings.map(raw).transpose()?,
            counts: CountsObject {
                items: run.items,
                done: run.done,
                unscored: run.unscored,
                queued,
                deleted: run.deleted,
            },
            cost: CostObject {
                estimate_usd: run.estimate.map(NanoUsd::to_usd),
                cap_usd: run.cap.map(NanoUsd::to_usd),
                spent_usd: run.spent.to_usd(),
            },
            watch_id: run.watch_id,
            created_at: run.created_at,
            started_at: run.started_at,
            ended_at: run.ended_at,
            metadata: raw(run.metadata)?,
        })
    }
}
