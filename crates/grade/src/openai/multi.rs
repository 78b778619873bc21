//! A formula over the scores of other graders.

use std::time::Instant;

use futures::future::join_all;
use serde_json::Value;

use super::definition::Single;
use super::formula::Formula;
use super::held::Held;
use super::problems::{Fields, Problems, join};
use super::report::{Fault, GraderReport};
use super::{Kind, Services};

/// A `multi`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Multi {
    parts: Vec<Part>,
    formula: Formula,
}

/// A grader of a `multi`, by the key under which the formula knows it.
#[derive(Debug, Clone, PartialEq)]
struct Part {
    key: String,
    kind: Kind,
    grader: Single,
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

    /// Grades one row by all parts at once. A part that fails counts as 0.
    pub(super) async fn grade(
        &self,
        name: &str,
        held: Held<'_>,
        services: &Services<'_>,
    ) -> GraderReport {
        let began = Instant::now();
        let graded = self.parts.iter().map(|part| {
            let Part { key, kind, grader } = part;
            grader.grade(key, *kind, held, services)
        });
        let parts = join_all(graded).await;
        let mut report = GraderReport::new(name, Kind::Multi);
        self.combine(parts, &mut report);
        report.execution_time = began.elapsed();
        report
    }

    /// Puts the reports of the parts together.
    fn combine(&self, parts: Vec<GraderReport>, report: &mut GraderReport) {
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
///
/// The API's schema has a single grader there, its guide an object of graders by name. Clients that keep
/// to the schema can send nothing but one: its own name is its key.
fn parse_parts(fields: &mut Fields<'_, '_>) -> Option<Vec<(String, Option<Part>)>> {
    let help = "write an object of graders by name, such as `{\"a\": {…}, \"b\": {…}}`";
    let graders = fields.required("graders", help)?;
    let path = fields.path_of("graders");
    let Some(by_name) = graders.as_object().filter(|by_name| !by_name.is_empty()) else {
        fields.note("graders", "is no object, or an empty one", help);
        return None;
    };
    if is_single(graders) {
        let key = graders
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        return Some(vec![parse_part(key, graders, &path, fields.problems)]);
    }
    let parts = by_name
        .iter()
        .map(|(key, value)| parse_part(key, value, &join(&path, key), fields.problems));
    Some(parts.collect())
}

/// Returns whether what stands in `graders` is one grader and not an object of graders by name.
pub(super) fn is_single(graders: &Value) -> bool {
    graders.get("type").is_some_and(Value::is_string)
}

fn parse_part(
    key: &str,
    value: &Value,
    path: &str,
    problems: &mut Problems,
) -> (String, Option<Part>) {
    let parsed = Single::parse_part(value, path, problems);
    let part = parsed.map(|(kind, grader)| Part {
        key: key.to_owned(),
        kind,
        grader,
    });
    (key.to_owned(), part)
}
