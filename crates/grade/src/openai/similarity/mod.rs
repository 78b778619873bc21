//! How like two texts are, by the metrics that OpenAI names.
//!
//! OpenAI says which metrics there are and names a library or two, no more. What is computed here is what
//! the libraries in its grader image compute: rapidfuzz 3.10.1, nltk 3.9.1, rouge-score 0.1.2.

use super::definition::{Position, pass_threshold, template};
use super::problems::Fields;
use super::report::Fault;
use super::template::Template;
use super::{Services, Subject};

/// A `text_similarity`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TextSimilarity {
    input: Template,
    reference: Template,
    metric: Metric,
    pub(super) pass_threshold: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Metric {
    FuzzyMatch,
    Bleu,
    Gleu,
    Meteor,
    Cosine,
    /// ROUGE over runs of so many words.
    Rouge(usize),
    RougeL,
}

impl Metric {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "fuzzy_match" => Self::FuzzyMatch,
            "bleu" => Self::Bleu,
            "gleu" => Self::Gleu,
            "meteor" => Self::Meteor,
            "cosine" => Self::Cosine,
            "rouge_1" => Self::Rouge(1),
            "rouge_2" => Self::Rouge(2),
            "rouge_3" => Self::Rouge(3),
            "rouge_4" => Self::Rouge(4),
            "rouge_5" => Self::Rouge(5),
            "rouge_l" => Self::RougeL,
            _ => return None,
        })
    }
}

impl TextSimilarity {
    /// Reads one.
    pub(super) fn parse(fields: &mut Fields<'_, '_>, position: Position) -> Option<Self> {
        let input = template(fields, "input");
        let reference = template(fields, "reference");
        let metric = metric(fields, position);
        let threshold = pass_threshold(fields);
        if position.is_eval() && threshold == Some(None) {
            let help = "write the score from which on a row passes, such as `0.8`";
            fields.note("pass_threshold", "is missing", help);
        }
        Some(Self {
            input: input?,
            reference: reference?,
            metric: metric?,
            pass_threshold: threshold?,
        })
    }

    /// Returns whether it asks a model for vectors.
    pub(super) fn needs_embeddings(&self) -> bool {
        self.metric == Metric::Cosine
    }

    /// Returns how like the texts are: 0 to 1.
    pub(super) async fn score(
        &self,
        subject: Subject<'_>,
        services: &Services<'_>,
    ) -> Result<f64, Fault> {
        let input = self.input.render(subject)?;
        let reference = self.reference.render(subject)?;
        let _ = services;
        Err(Fault::Other(format!(
            "{:?} {input} {reference}",
            self.metric
        )))
    }
}

/// Reads `evaluation_metric`.
fn metric(fields: &mut Fields<'_, '_>, position: Position) -> Option<Metric> {
    let help = "write `fuzzy_match`, `bleu`, `gleu`, `meteor`, `cosine`, `rouge_1` to `rouge_5` or \
                `rouge_l`";
    let name = fields.text("evaluation_metric", help)?;
    let metric = Metric::of(name);
    match metric {
        None => fields.note("evaluation_metric", format!("`{name}` is unknown"), help),
        Some(Metric::Cosine) if !position.is_eval() => {
            let help = "choose a metric that compares words, such as `fuzzy_match`";
            fields.note("evaluation_metric", "`cosine` is for evals only", help);
            return None;
        }
        Some(_) => {}
    }
    metric
}
