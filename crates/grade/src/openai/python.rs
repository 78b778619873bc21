//! `def grade(sample, item) -> float`, run in a box.

use super::definition::pass_threshold;
use super::held::Held;
use super::problems::{Fields, kind_of};
use super::report::Fault;
use super::{PythonError, Services};

/// The longest source in bytes.
const SOURCE_BYTES_MAX: usize = 256 * 1024;

/// From which score on a grader passes that does not say.
const PASS_THRESHOLD_DEFAULT: f64 = 0.5;

/// A `python` grader.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PythonGrader {
    source: String,
    pub(super) pass_threshold: f64,
}

impl PythonGrader {
    /// Reads one.
    pub(super) fn parse(fields: &mut Fields<'_, '_>) -> Option<Self> {
        let help = "write a module that holds `def grade(sample, item) -> float`";
        let source = fields.text("source", help).filter(|source| {
            if source.len() >= SOURCE_BYTES_MAX {
                let message = format!("is {} bytes long", source.len());
                fields.note("source", message, "keep it under 256 kB");
            } else if !source.contains("grade") {
                fields.note("source", "has no function `grade`", help);
            } else {
                return true;
            }
            false
        });
        if let Some(tag) = fields.get("image_tag").filter(|tag| !tag.is_string()) {
            let message = format!("is {}", kind_of(tag));
            fields.note("image_tag", message, "write a text, or leave it out");
        }
        let threshold = pass_threshold(fields);
        Some(Self {
            source: source?.to_owned(),
            pass_threshold: threshold?.unwrap_or(PASS_THRESHOLD_DEFAULT),
        })
    }

    /// Returns what the code returns.
    pub(super) async fn score(
        &self,
        held: Held<'_>,
        services: &Services<'_>,
    ) -> Result<f64, Fault> {
        let python = services.python.ok_or_else(|| {
            Fault::PythonAbsent("Python graders cannot run here: no sandbox is configured".into())
        })?;
        let row = held.whole();
        match python.grade(&self.source, row.subject()).await {
            Ok(score) if score.is_finite() => Ok(score),
            Ok(score) => Err(Fault::PythonCode(format!(
                "the grader's code returned {score}, which is no score"
            ))),
            Err(PythonError::Runtime(traceback)) => Err(Fault::PythonCode(traceback)),
            Err(error @ PythonError::Stopped(_)) => Err(Fault::PythonCode(error.to_string())),
            Err(error @ PythonError::Absent(_)) => Err(Fault::PythonAbsent(error.to_string())),
        }
    }
}
