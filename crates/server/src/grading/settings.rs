//! What a project says for the grading of its traces: which of its tools write, what holds for its
//! workflows, which schemas its rules may name, how much its models can read.
//!
//! It lies with the project's other settings, as the JSON of [`GradingSettings`]. A run keeps what was said
//! when it was made, so that one run is graded by one word; a watch goes by what is said now. Where it can
//! change a verdict it is a part of the grader's hash, and of the key under which a judge's answer is kept.

mod api;
mod change;
mod read;

use std::collections::BTreeMap;

use insight::{Context, ContextWindows, Detector, Effects, WorkflowRules};
use serde::{Serialize, Serializer};
use serde_json::Value;
use store::meta::ProjectSettings;

pub(super) use api::{
    __path_change_settings, __path_retrieve_settings, change_settings, retrieve_settings,
};
pub(crate) use read::problems_of;

/// The setting of a project that holds these.
pub(super) const GRADING: &str = "grading";

/// The setting of a project that names its judge.
pub(super) const JUDGE_MODEL: &str = "judge_model";

/// The workflow that stands for all: what others do not say of themselves, it says.
const ALL_WORKFLOWS: &str = "*";

/// What a project says for the grading of its traces.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct GradingSettings {
    /// Whether a tool writes, by its name; a star at its end stands for any rest.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tools: BTreeMap<String, Effect>,
    /// What holds for a workflow, by its name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    workflows: BTreeMap<String, WorkflowSettings>,
    /// JSON schemas, by the name that rules give them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) schemas: BTreeMap<String, Value>,
    /// How many tokens a model can read, by its name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    context_windows: BTreeMap<String, i64>,
}

/// What a call of a tool does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Effect {
    Read,
    Write,
}

/// What holds for a workflow; what is not said holds as for all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
struct WorkflowSettings {
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "ids")]
    muted_detectors: Option<Vec<Detector>>,
    /// Whether a user has to say a word before a write (D15).
    #[serde(skip_serializing_if = "Option::is_none")]
    confirm_writes: Option<bool>,
    /// Whether a write has to be looked at before the end (D21).
    #[serde(skip_serializing_if = "Option::is_none")]
    verify_writes: Option<bool>,
}

impl GradingSettings {
    /// Returns what a project says. What this version cannot understand of it counts as not said: another
    /// version may have written it.
    pub(super) fn of(settings: &ProjectSettings) -> Self {
        let told = settings.other.get(GRADING);
        told.map(Self::of_json).unwrap_or_default()
    }

    /// Returns what was said, as far as it can be understood.
    pub(super) fn of_json(told: &Value) -> Self {
        read::settings(told, &mut Vec::new())
    }

    /// Returns what it says as graders and detectors take it.
    pub(super) fn context(&self) -> Context {
        let tools = self.tools.iter();
        let all = self.workflows.get(ALL_WORKFLOWS);
        let workflows = self.workflows.iter();
        Context {
            effects: Effects::told(
                tools.map(|(name, effect)| (name.clone(), *effect == Effect::Write)),
            ),
            workflows: (workflows.filter(|(name, _)| *name != ALL_WORKFLOWS))
                .map(|(name, said)| (name.clone(), said.rules(all)))
                .collect(),
            other_workflows: WorkflowSettings::default().rules(all),
            windows: ContextWindows::with(self.context_windows.clone().into_iter().collect()),
            ..Context::default()
        }
    }

    /// Returns what a judge's answer about a trace of this workflow depends on, of all that is said: what it
    /// is shown of a long trace, and what is pointed out to it. Nothing, if nothing is said.
    pub(super) fn key_of(&self, workflow: Option<&str>) -> Option<String> {
        let said = (
            &self.tools,
            workflow.and_then(|name| self.workflows.get(name)),
            self.workflows.get(ALL_WORKFLOWS),
            &self.context_windows,
        );
        let is_silent =
            said.0.is_empty() && said.1.is_none() && said.2.is_none() && said.3.is_empty();
        (!is_silent).then(|| text(&said))
    }

    /// Returns the hash of a grader with what is said that can change its verdicts: that of its definition,
    /// if nothing is.
    pub(super) fn hash_of(&self, grader: &grade::trace::TraceGrader) -> String {
        let needs = grader.needs();
        let asks_detectors = match grader.kind() {
            "detector" | "trajectory" | "llm" | "multi" => true,
            _ => !needs.detectors.is_empty(),
        };
        let mut said = Vec::new();
        if asks_detectors {
            let whole = (&self.tools, &self.workflows, &self.context_windows);
            let is_silent = whole.0.is_empty() && whole.1.is_empty() && whole.2.is_empty();
            said.extend((!is_silent).then(|| text(&whole)));
        }
        for name in &needs.schemas {
            said.extend(self.schemas.get(name).map(|schema| text(&(name, schema))));
        }
        if said.is_empty() {
            return grader.hash().to_owned();
        }
        said.insert(0, grader.hash().to_owned());
        blake3::hash(text(&said).as_bytes()).to_hex().to_string()
    }

    /// Returns what a grader asks for and the project does not have, each in a sentence.
    pub(super) fn lacking(&self, grader: &grade::trace::TraceGrader) -> Vec<String> {
        let asked = grader.needs().schemas;
        let missing = asked
            .iter()
            .filter(|name| !self.schemas.contains_key(*name));
        missing.map(|name| self.without_schema(name)).collect()
    }

    fn without_schema(&self, name: &str) -> String {
        let known: Vec<&str> = self.schemas.keys().map(String::as_str).collect();
        let known = match known.is_empty() {
            true => "it has none yet".to_owned(),
            false => format!("it has {}", known.join(", ")),
        };
        format!(
            "the project has no schema `{name}` ({known}): `tracegrade settings schema {name} FILE` or POST \
             /v1/settings/grading adds it"
        )
    }
}

impl WorkflowSettings {
    /// Returns what holds, what is not said taken from what is said of all.
    fn rules(&self, all: Option<&Self>) -> WorkflowRules {
        let muted = self.muted_detectors.as_ref();
        let muted = muted.or_else(|| all?.muted_detectors.as_ref());
        let switch = |get: fn(&Self) -> Option<bool>| get(self).or_else(|| get(all?));
        WorkflowRules {
            muted: muted.into_iter().flatten().copied().collect(),
            confirms_writes: switch(|said| said.confirm_writes).unwrap_or(false),
            verifies_writes: switch(|said| said.verify_writes).unwrap_or(false),
            ..WorkflowRules::default()
        }
    }
}

fn ids<S: Serializer>(detectors: &Option<Vec<Detector>>, to: S) -> Result<S::Ok, S::Error> {
    let detectors = detectors.iter().flatten();
    to.collect_seq(detectors.map(|detector| detector.as_str()))
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("names, words and JSON are JSON")
}

#[cfg(test)]
mod tests;
