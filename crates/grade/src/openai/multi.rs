//! A formula over the scores of other graders.

use super::Kind;
use super::definition::{Definition, Position};
use super::formula::Formula;
use super::problems::{Fields, join};
use super::report::{Fault, GraderReport};

/// A `multi`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Multi {
    pub(super) parts: Vec<Part>,
    formula: Formula,
}

/// A grader of a `multi`, by the key under which the formula knows it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Part {
    pub(super) key: String,
    pub(super) kind: Kind,
    pub(super) definition: Definition,
}

impl Multi {
    /// Reads one.
    pub(super) fn parse(fields: &mut Fields<'_, '_>) -> Option<Self> {
        let parts = parse_parts(fields);
        let help = "write a formula over the keys of `graders`, such as `(a + b) / 2`";
        let formula = fields.text("calculate_output", help);
        let parts = parts?;
        let keys: Vec<&str> = parts.iter().map(|(key, _)| key.as_str()).collect();
        let formula = match Formula::parse(formula?, &keys) {
            Ok(formula) => Some(formula),
            Err(error) => {
                fields.note("calculate_output", error.to_string(), help);
                None
            }
        };
        let parts: Option<Vec<Part>> = parts.into_iter().map(|(_, part)| part).collect();
        Some(Self {
            parts: parts?,
            formula: formula?,
        })
    }

    /// Puts the reports of the parts together. A part that failed counts as 0.
    pub(super) fn combine(&self, parts: Vec<GraderReport>, report: &mut GraderReport) {
        let scores: Vec<f64> = parts.iter().map(|part| part.reward).collect();
        for (part, of) in self.parts.iter().zip(parts) {
            report.sub_rewards.push((part.key.clone(), of.reward));
            report.errors.absorb(&part.key, of.errors);
            for (model, tokens) in of.usage {
                report.add_usage(&model, tokens);
            }
        }
        match self.formula.value(&scores) {
            Ok(reward) => report.reward = reward,
            Err(error) => report.errors.note(&Fault::Formula(error.to_string())),
        }
    }
}

/// Reads `graders`, every one of them; the keys stay even of those that cannot be read.
fn parse_parts(fields: &mut Fields<'_, '_>) -> Option<Vec<(String, Option<Part>)>> {
    let help = "write an object of graders by name, such as `{\"a\": {…}, \"b\": {…}}`";
    let graders = fields.required("graders", help)?;
    let path = fields.path_of("graders");
    let problems = &mut *fields.problems;
    let Some(graders) = graders.as_object() else {
        problems.note(path, "is no object", help);
        return None;
    };
    if graders.is_empty() {
        problems.note(path, "is empty", help);
        return None;
    }
    let parts = graders.iter().map(|(key, value)| {
        let parsed = Definition::parse(value, &join(&path, key), Position::Part, problems);
        let part = parsed.map(|(_, kind, definition)| Part {
            key: key.clone(),
            kind,
            definition,
        });
        (key.clone(), part)
    });
    Some(parts.collect())
}
