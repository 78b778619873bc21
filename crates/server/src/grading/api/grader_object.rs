//! A grader as the API tells it.

use grade::GraderScale;
use grade::trace::{Costs, TraceGrader};
use model::Time;
use serde::Serialize;
use serde_json::Value;
use store::meta::StoredGrader;
use utoipa::ToSchema;

use crate::error::ApiError;

/// A grader: what is right, for one trace.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Grader)]
pub(in crate::grading) struct GraderObject {
    /// `grader`.
    object: &'static str,
    /// Its id, `grader_…`; of a ready one `library:` and its name.
    pub(super) id: String,
    /// What people call it; null for one that was sent with a run and never saved.
    name: Option<String>,
    /// `rule`, `detector`, `trajectory`, `llm`, `code`, or a type of OpenAI's graders.
    r#type: String,
    /// Counted from 1.
    version: u32,
    /// The hash of the definition without its name: what grades the same has the same.
    hash: String,
    /// The definition as it was understood, with what was left out filled in.
    #[schema(value_type = Object)]
    definition: Value,
    description: Option<String>,
    /// What its verdicts look like.
    scale: GraderScale,
    /// What grading with it takes: `nothing`, `code` or `judge`.
    cost: &'static str,
    #[schema(value_type = Option<String>, format = DateTime)]
    created_at: Option<Time>,
    #[schema(value_type = Option<String>, format = DateTime)]
    updated_at: Option<Time>,
    /// Since when it is no longer offered; what it graded stays.
    #[schema(value_type = Option<String>, format = DateTime)]
    archived_at: Option<Time>,
    /// Whether this version graded something; one that did not is replaced when the grader is saved anew.
    used: bool,
    /// How many versions there are.
    versions: u32,
}

impl GraderObject {
    /// Returns a stored grader as it is sent.
    pub(in crate::grading) fn of(stored: StoredGrader) -> Result<Self, ApiError> {
        let definition = serde_json::from_str(&stored.definition).map_err(ApiError::internal)?;
        let grader = TraceGrader::parse(&definition)
            .map_err(|problems| ApiError::internal(problems.to_string()))?;
        Ok(Self {
            object: "grader",
            id: stored.id,
            name: stored.name,
            r#type: stored.kind,
            version: stored.version,
            hash: stored.hash,
            definition,
            description: stored.description,
            scale: grader.scale(),
            cost: cost_word(grader.cost()),
            created_at: Some(stored.created_at),
            updated_at: Some(stored.updated_at),
            archived_at: stored.archived_at,
            used: stored.is_used,
            versions: stored.versions,
        })
    }

    /// Returns a grader that is stored nowhere: a ready one, or one that is only looked at.
    pub(in crate::grading) fn of_draft(
        id: String,
        description: Option<String>,
        grader: &TraceGrader,
    ) -> Self {
        Self {
            object: "grader",
            id,
            name: Some(grader.name().to_owned()),
            r#type: grader.kind().to_owned(),
            version: 1,
            hash: grader.hash().to_owned(),
            definition: grader.definition().clone(),
            description,
            scale: grader.scale(),
            cost: cost_word(grader.cost()),
            created_at: None,
            updated_at: None,
            archived_at: None,
            used: false,
            versions: 1,
        }
    }
}

fn cost_word(cost: Costs) -> &'static str {
    match cost {
        Costs::Nothing => "nothing",
        Costs::Code => "code",
        Costs::Judge => "judge",
    }
}
