//! What people ask for, and whether it can be done: settings, compiled once when the server starts.

use serde::{Deserialize, Serialize};

use super::attributes::Lists;
use super::redact::{Recogniser, Redactor};
use super::sample::Sampling;

/// The longest name of a rule, in bytes.
pub(super) const NAME_BYTES_MAX: usize = 32;

/// What is done with what comes in, as the settings say it. The default is to keep everything.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProcessSettings {
    /// Names of instrumentation scopes whose spans are not kept; a `*` at the end stands for any rest.
    pub drop_scopes: Vec<String>,
    /// Mixed into the decision which traces are kept, so that nobody can choose ids that are.
    pub sample_secret: String,
    /// What keeps a trace that is not in the sample.
    pub tail: super::TailRules,
    /// Attributes that are kept; none named: all. A `*` at the end stands for any rest.
    pub attributes_allow: Vec<String>,
    /// Attributes that are not kept.
    pub attributes_deny: Vec<String>,
    /// What is recognised and taken out.
    pub redact: Vec<Recogniser>,
    /// Further rules.
    pub redact_rules: Vec<RuleSettings>,
    /// With one, marks tell equal values from others.
    pub redact_secret: Option<String>,
}

/// One rule: an expression or a path, and what is done with what it finds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSettings {
    /// Stands in marks and counts.
    pub name: String,
    /// What is looked for in every text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
    /// The place of a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What becomes of it.
    #[serde(default)]
    pub action: Action,
}

/// What becomes of what a rule finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A mark stands in its place.
    #[default]
    Redact,
    /// It goes altogether: a value becomes null, and of a text with a match only a mark is left.
    Drop,
}

/// A rule cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("failed to understand rule {number} of redact_rules, {rule:?}")]
pub struct RuleError {
    /// Its name.
    pub rule: String,
    /// Its place in the list, from 1.
    pub number: usize,
    /// Why.
    #[source]
    pub kind: RuleErrorKind,
}

/// Why a rule cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RuleErrorKind {
    /// The name is none.
    #[error("a name has 1 to 32 of a-z, 0-9, _ and -")]
    BadName,
    /// Something else is counted under the name.
    #[error("another rule, a recogniser or a step has this name")]
    NameTaken,
    /// There are more rules than are taken.
    #[error("there may be {rules_max} rules at most")]
    TooMany {
        /// How many are taken.
        rules_max: usize,
    },
    /// It has both an expression and a path, or neither.
    #[error("a rule has either a regex or a path")]
    NotOne,
    /// The expression is none.
    #[error("its regex cannot be used")]
    BadRegex(#[source] regex::Error),
    /// The expression matches where there is nothing.
    #[error("its regex matches the empty text, and so everywhere")]
    MatchesNothing,
    /// The path is none.
    #[error(
        "its path cannot be read from character {at} on: paths are written as in $.input[*].content, $..password or $['a.b'][0]"
    )]
    BadPath {
        /// Where it stops being one.
        at: usize,
    },
    /// The paths are longer than can be followed.
    #[error("all paths together may have {steps_max} steps at most")]
    TooManySteps {
        /// How many are taken.
        steps_max: usize,
    },
}

/// What a project decides for itself, over what the settings say for all.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Switches {
    /// The share of traces that is kept, from 0 to 1.
    pub sample_rate: f64,
    /// Whether prompts, answers, arguments, results and the words of errors are kept.
    pub include_sensitive_data: bool,
    /// Whether audio is kept.
    pub include_audio: bool,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            sample_rate: 1.0,
            include_sensitive_data: true,
            include_audio: true,
        }
    }
}

/// What is done with what comes in, ready for work.
#[derive(Debug)]
pub struct ProcessRules {
    pub(super) scopes: super::attributes::Names,
    pub(super) sampling: Sampling,
    pub(super) lists: Lists,
    pub(super) redactor: Redactor,
}

impl ProcessRules {
    /// Returns the settings ready for work, or which rule cannot be used and why.
    pub fn compile(settings: &ProcessSettings) -> Result<Self, RuleError> {
        Ok(Self {
            scopes: super::attributes::Names::new(&settings.drop_scopes),
            sampling: Sampling::new(&settings.sample_secret, settings.tail),
            lists: Lists::new(&settings.attributes_allow, &settings.attributes_deny),
            redactor: Redactor::compile(
                &settings.redact,
                &settings.redact_rules,
                settings.redact_secret.as_deref(),
            )?,
        })
    }

    /// Returns which traces are kept.
    pub fn sampling(&self) -> &Sampling {
        &self.sampling
    }

    /// Returns whether texts may change.
    pub(super) fn edits(&self, switches: &Switches) -> bool {
        !switches.include_sensitive_data
            || !switches.include_audio
            || !self.lists.is_idle()
            || !self.redactor.is_idle()
    }
}
