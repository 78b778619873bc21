//! A model gives a number.

use serde_json::{Value, json};

use super::Services;
use super::definition::pass_threshold;
use super::held::Held;
use super::judge::{Judge, Verdict};
use super::problems::Fields;
use super::report::{Fault, GraderReport};
use crate::scale::GraderScale;

/// A `score_model`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ScoreModel {
    judge: Judge,
    low: f64,
    high: f64,
    pub(super) pass_threshold: f64,
}

impl ScoreModel {
    /// Reads one. Without a threshold a score passes from the middle of the range on.
    pub(super) fn parse(fields: &mut Fields<'_, '_>) -> Option<Self> {
        let judge = Judge::parse(fields);
        let range = range(fields);
        let threshold = pass_threshold(fields);
        let (low, high) = range?;
        Some(Self {
            judge: judge?,
            low,
            high,
            pass_threshold: threshold?.unwrap_or(low / 2.0 + high / 2.0),
        })
    }

    pub(super) fn scale(&self) -> GraderScale {
        GraderScale::Number {
            low: Some(self.low),
            high: Some(self.high),
            pass_threshold: Some(self.pass_threshold),
        }
    }

    /// Returns the model's number, clamped to the range.
    pub(super) async fn score(
        &self,
        held: Held<'_>,
        services: &Services<'_>,
        report: &mut GraderReport,
    ) -> Result<f64, Fault> {
        let schema = Verdict::schema(json!({"type": "number"}));
        let schema = ("score".to_owned(), schema);
        let verdict = self.judge.ask(schema, held, services, report).await?;
        let number = match &verdict.result {
            Value::Number(number) => number.as_f64(),
            // of a provider that does not keep to the schema
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        match number.filter(|number: &f64| number.is_finite()) {
            Some(number) => Ok(number.clamp(self.low, self.high)),
            None => Err(Fault::ModelAnswer(format!(
                "the model's result is no number: {}",
                verdict.result
            ))),
        }
    }
}

/// Reads `range`: two numbers, the lower first; 0 to 1 when it is absent.
fn range(fields: &mut Fields<'_, '_>) -> Option<(f64, f64)> {
    let Some(value) = fields.get("range") else {
        return Some((0.0, 1.0));
    };
    let numbers: Option<Vec<f64>> = (value.as_array())
        .and_then(|list| list.iter().map(Value::as_f64).collect::<Option<Vec<f64>>>());
    match numbers.as_deref() {
        Some([low, high]) if low < high => Some((*low, *high)),
        _ => {
            let help = "write two numbers, the lower first, such as `[0, 1]`";
            fields.note("range", format!("is {value}"), help);
            None
        }
    }
}
