//! A model chooses a label.

use serde_json::json;

use super::Services;
use super::held::Held;
use super::judge::{Judge, Verdict};
use super::problems::Fields;
use super::report::{Fault, GraderReport};
use crate::scale::GraderScale;

/// A `label_model`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LabelModel {
    judge: Judge,
    labels: Vec<String>,
    passing: Vec<String>,
}

impl LabelModel {
    /// Reads one.
    pub(super) fn parse(fields: &mut Fields<'_, '_>) -> Option<Self> {
        let judge = Judge::parse(fields);
        let labels = fields.texts("labels", "write the list of labels to choose from");
        let help = "write those of `labels` that pass";
        let passing = fields.texts("passing_labels", help);
        let twice = labels.iter().flat_map(|labels| {
            let is_twice = |at: &usize| labels[..*at].contains(&labels[*at]);
            (0..labels.len()).filter(is_twice).map(|at| &labels[at])
        });
        for label in twice {
            let message = format!("`{label}` stands there twice");
            fields.note("labels", message, "write each label once");
        }
        if let (Some(labels), Some(passing)) = (&labels, &passing) {
            for stray in passing.iter().filter(|label| !labels.contains(label)) {
                let message = format!("`{stray}` is none of `labels`");
                fields.note("passing_labels", message, help);
            }
        }
        Some(Self {
            judge: judge?,
            labels: labels?,
            passing: passing?,
        })
    }

    pub(super) fn scale(&self) -> GraderScale {
        GraderScale::Labels {
            labels: self.labels.clone(),
            passing: self.passing.clone(),
        }
    }

    /// Returns 1 if the model's label passes, else 0.
    pub(super) async fn score(
        &self,
        held: Held<'_>,
        services: &Services<'_>,
        report: &mut GraderReport,
    ) -> Result<f64, Fault> {
        let schema = Verdict::schema(json!({"type": "string", "enum": self.labels}));
        let schema = ("label".to_owned(), schema);
        let verdict = self.judge.ask(schema, held, services, report).await?;
        let label =
            (verdict.result.as_str()).filter(|label| self.labels.iter().any(|l| l == label));
        let Some(label) = label else {
            return Err(Fault::ModelAnswer(format!(
                "the model's result is none of the labels: {}",
                verdict.result
            )));
        };
        report.label = Some(label.to_owned());
        Ok(f64::from(u8::from(self.passing.iter().any(|l| l == label))))
    }
}
