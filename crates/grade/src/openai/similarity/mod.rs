//! How like two texts are, by the metrics that OpenAI names.
//!
//! OpenAI says which metrics there are and names a library or two, no more. What is computed here is what
//! the libraries in its grader image compute: rapidfuzz 3.10.1, nltk 3.9.1, rouge-score 0.1.2.
//!
//! Counting runs of words takes time as the texts are long. `fuzzy_match` and `rouge_l` take time as the
//! product of both, which is bounded: two texts of some 250,000 characters that have little in common, or
//! one of 5,000 in one of 50,000 without a word in common, are refused with a flag.

mod cosine;
mod fuzzy;
mod lcs;
mod meteor;
mod ngrams;
mod stem;
mod synonyms;
mod words;

use std::thread;

use futures::channel::oneshot;

use super::Services;
use super::definition::{Position, pass_threshold, template};
use super::held::Held;
use super::problems::Fields;
use super::report::Fault;
use super::template::Template;
use lcs::TooLong;

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
    Words(WordMetric),
    Cosine,
}

/// A metric that needs nothing but the texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WordMetric {
    FuzzyMatch,
    Bleu,
    Gleu,
    Meteor,
    /// ROUGE over runs of so many words.
    Rouge(usize),
    RougeL,
}

impl Metric {
    fn of(name: &str) -> Option<Self> {
        Some(Self::Words(match name {
            "cosine" => return Some(Self::Cosine),
            "fuzzy_match" => WordMetric::FuzzyMatch,
            "bleu" => WordMetric::Bleu,
            "gleu" => WordMetric::Gleu,
            "meteor" => WordMetric::Meteor,
            "rouge_1" => WordMetric::Rouge(1),
            "rouge_2" => WordMetric::Rouge(2),
            "rouge_3" => WordMetric::Rouge(3),
            "rouge_4" => WordMetric::Rouge(4),
            "rouge_5" => WordMetric::Rouge(5),
            "rouge_l" => WordMetric::RougeL,
            _ => return None,
        }))
    }
}

impl WordMetric {
    /// Returns how like two texts are, unless it would take too long to tell.
    fn score(self, input: &str, reference: &str) -> Result<f64, TooLong> {
        Ok(match self {
            Self::FuzzyMatch => fuzzy::score(input, reference)?,
            Self::Bleu => ngrams::bleu(input, reference),
            Self::Gleu => ngrams::gleu(input, reference),
            Self::Meteor => meteor::score(input, reference),
            Self::Rouge(n) => ngrams::rouge_n(input, reference, n),
            Self::RougeL => ngrams::rouge_l(input, reference)?,
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
        held: Held<'_>,
        services: &Services<'_>,
    ) -> Result<f64, Fault> {
        let input = self.input.render(held)?;
        let reference = self.reference.render(held)?;
        match self.metric {
            Metric::Cosine => cosine::score(&input, &reference, services).await,
            Metric::Words(metric) => compared(metric, input, reference).await,
        }
    }
}

/// Above which product of their lengths in bytes texts are compared on a thread of their own.
const PRODUCT_INLINE_MAX: usize = 4_000_000;

/// Compares two texts. Long ones take up to some seconds, for which no thread is held up that others wait
/// for.
async fn compared(metric: WordMetric, input: String, reference: String) -> Result<f64, Fault> {
    let product = (input.len() + 1).saturating_mul(reference.len() + 1);
    let score = if product <= PRODUCT_INLINE_MAX {
        metric.score(&input, &reference)
    } else {
        let (sender, receiver) = oneshot::channel();
        let compare = move || sender.send(metric.score(&input, &reference));
        let thread = thread::Builder::new().name("text-similarity".to_owned());
        thread
            .spawn(compare)
            .map_err(|error| Fault::Other(format!("no thread to compare texts on: {error}")))?;
        let lost = |_| Fault::Other("the texts could not be compared".to_owned());
        receiver.await.map_err(lost)?
    };
    score.map_err(|too_long| Fault::Other(too_long.to_string()))
}

/// Reads `evaluation_metric`.
fn metric(fields: &mut Fields<'_, '_>, position: Position) -> Option<Metric> {
    let help = "write `fuzzy_match`, `bleu`, `gleu`, `meteor`, `cosine`, `rouge_1` to `rouge_5` or \
                `rouge_l`";
    let name = fields.text("evaluation_metric", help)?;
    let metric = Metric::of(name);
    match metric {
        None => fields.note("evaluation_metric", format!("`{name}` is unknown"), help),
        Some(Metric::Cosine) if !position.has_embeddings() => {
            let help = "choose a metric that compares words, such as `fuzzy_match`";
            fields.note("evaluation_metric", "`cosine` is for evals only", help);
            return None;
        }
        Some(_) => {}
    }
    metric
}

#[cfg(test)]
mod tests;
