//! The graders of a run, from how a request names them to how the run keeps them.

use std::collections::HashMap;
use std::sync::Arc;

use grade::trace::{Costs, TraceGrader};
use model::ProjectId;
use serde_json::Value;
use store::meta::NewGrader;

use super::api::{Advice, Meant, meant, require_label};
use super::plan::{Frozen, Plan, Planned};
use crate::error::{ApiError, ErrorCode};
use crate::state::AppState;

/// Graders of one run.
const GRADERS_MAX: usize = 100;

/// The graders of a run that is being made.
#[derive(Debug)]
pub(super) struct Graders {
    pub(super) plan: Plan,
}

/// Finds the graders that a request means, or tells everything that is wrong with all of them.
pub(super) async fn resolve(
    state: &AppState,
    project: &ProjectId,
    asked: &[Value],
) -> Result<Graders, ApiError> {
    if asked.is_empty() || asked.len() > GRADERS_MAX {
        let message = format!("a run has 1 to {GRADERS_MAX} graders");
        return Err(ApiError::invalid("graders", message));
    }
    let mut found = Vec::with_capacity(asked.len());
    let mut problems = Vec::new();
    for (at, one) in asked.iter().enumerate() {
        let param = format!("graders[{at}]");
        match meant(state, project, one, &param).await {
            Ok(meant) => found.push(meant),
            Err(error) if error.code().status().is_server_error() => return Err(error),
            Err(error) => problems.push(format!("{param}: {error}")),
        }
    }
    if problems.is_empty() {
        let named = named(found);
        problems.extend(unfit_names(&named));
        problems.extend(twins(&named));
        match Plan::new(named) {
            Ok(plan) if problems.is_empty() => return Ok(Graders { plan }),
            Ok(_) => {}
            Err(more) => problems.extend(more),
        }
    }
    let error = ApiError::new(ErrorCode::InvalidParameter, problems.join("\n"));
    Err(error.of_param("graders"))
}

/// Refuses graders that need somebody who is not there, or are written in something that is no Python: every
/// trace would be left without a verdict.
pub(super) async fn require_services(
    state: &AppState,
    definitions: &[&Value],
) -> Result<(), ApiError> {
    let refuse = |message: String| Err(ApiError::new(ErrorCode::Unconfigured, message));
    let graders: Vec<TraceGrader> = (definitions.iter())
        .filter_map(|it| TraceGrader::parse(it).ok())
        .collect();
    let asks_judge = graders.iter().any(|it| it.cost() == Costs::Judge);
    if asks_judge && state.graders.model.is_none() {
        let message = "one of the graders asks a judge, and no model endpoint is configured: set OPENAI_API_KEY \
                       (and OPENAI_BASE_URL for another provider) where the server runs";
        return refuse(message.to_owned());
    }
    let written = graders.iter().filter(|it| !it.sources().is_empty());
    let written: Vec<&TraceGrader> = written.collect();
    if written.is_empty() {
        return Ok(());
    }
    if let Some(why) = state.graders.python_problem().await {
        return refuse(format!(
            "one of the graders is written in Python, which cannot run: {why}"
        ));
    }
    let (mut advice, mut problems) = (Advice::default(), Vec::new());
    for grader in written {
        let found = advice.check(state, grader).await.into_iter();
        problems.extend(found.map(|problem| format!("{}: {problem}", grader.name())));
        if !advice.warnings.is_empty() {
            // Nobody has time to look: what is wrong with the rest is told trace by trace.
            break;
        }
    }
    match problems.is_empty() {
        true => Ok(()),
        false => Err(ApiError::invalid("graders", problems.join("\n"))),
    }
}

/// Tells which names would not do for a saved grader either: they stand in every grade, and on terminals.
fn unfit_names(planned: &[Planned]) -> Vec<String> {
    let mut unfit = Vec::new();
    for (at, one) in planned.iter().enumerate() {
        if let Err(why) = require_label(&one.frozen.name) {
            unfit.push(format!("graders[{at}].name: {why}"));
        }
    }
    unfit
}

/// Tells which of them are one and the same: their grades would take the place of each other's.
fn twins(planned: &[Planned]) -> Vec<String> {
    let mut known: HashMap<(&str, &str), &str> = HashMap::new();
    let mut twins = Vec::new();
    for Planned { frozen, .. } in planned {
        // A saved one goes by its id, one that came along by what it is.
        let identity = match frozen.id.is_empty() {
            true => ("", frozen.hash.as_str()),
            false => (frozen.id.as_str(), ""),
        };
        if let Some(first) = known.insert(identity, &frozen.name) {
            let name = &frozen.name;
            twins.push(format!(
                "`{first}` and `{name}` are the same grader under two names: leave one out"
            ));
        }
    }
    twins
}

/// Gives each a name: what it has, or its type with a number.
fn named(found: Vec<Meant>) -> Vec<Planned> {
    let mut numbers: HashMap<&'static str, usize> = HashMap::new();
    let planned = found.into_iter().map(|meant| {
        let grader = meant.grader;
        let number = numbers.entry(grader.kind()).or_default();
        *number += 1;
        let own = grader.definition().get("name").and_then(Value::as_str);
        let name = match own {
            Some(name) => name.to_owned(),
            None => format!("{}-{number}", grader.kind()),
        };
        Planned {
            frozen: Frozen {
                id: meant.id.unwrap_or_default(),
                name,
                version: meant.version,
                hash: grader.hash().to_owned(),
                definition: grader.definition().clone(),
            },
            grader: Arc::clone(&grader),
        }
    });
    planned.collect()
}

impl Graders {
    /// Keeps those that came along with the request, so that what was graded by them stays explainable.
    pub(super) async fn keep(
        &mut self,
        state: &AppState,
        who: &str,
        project: &ProjectId,
    ) -> Result<(), ApiError> {
        for one in self.plan.graders_mut() {
            if !one.frozen.id.is_empty() {
                continue;
            }
            let definition = &one.frozen.definition;
            let new = NewGrader {
                name: None,
                kind: one.grader.kind().to_owned(),
                hash: one.frozen.hash.clone(),
                definition: definition.to_string(),
                description: None,
            };
            let kept = state.store.meta().inline_grader(who, project, &new).await?;
            one.frozen.id = kept.id;
            one.frozen.version = kept.version;
        }
        Ok(())
    }

    /// Returns what they say.
    pub(super) fn definitions(&self) -> Vec<&Value> {
        let graders = self.plan.graders().iter();
        graders.map(|one| one.grader.definition()).collect()
    }

    /// Returns them as a run keeps them.
    pub(super) fn frozen(&self) -> Vec<&Frozen> {
        self.plan.graders().iter().map(|one| &one.frozen).collect()
    }
}
