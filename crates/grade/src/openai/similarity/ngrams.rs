//! Metrics that count runs of words: BLEU, Google's BLEU, ROUGE-N; and ROUGE-L.

use std::collections::HashMap;

use super::lcs::{Lcs, STEPS_MAX, TooLong};
use super::words;

/// The longest run that BLEU and Google's BLEU count.
const RUN_MAX: usize = 4;

/// What takes the place of no match at all, as nltk's smoothing `method1` has it: without it nearly every
/// short text scores 0.
const EPSILON: f64 = 0.1;

/// Two texts whose words are numbers, so that runs of them are cheap to compare.
struct Numbered {
    input: Vec<u32>,
    reference: Vec<u32>,
    /// How many different words there are.
    words: u32,
}

impl Numbered {
    fn of<'a>(
        input: impl Iterator<Item = &'a str>,
        reference: impl Iterator<Item = &'a str>,
    ) -> Self {
        let mut numbers: HashMap<&str, u32> = HashMap::new();
        let mut number = |word| {
            let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
            *numbers.entry(word).or_insert(next)
        };
        let input = input.map(&mut number).collect();
        let reference = reference.map(&mut number).collect();
        let words = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
        Self {
            input,
            reference,
            words,
        }
    }

    /// Returns how many runs of `n` words both texts have in common, each as often as both have it.
    fn common_runs(&self, n: usize) -> usize {
        let mut counts: HashMap<&[u32], usize> = HashMap::new();
        for run in self.reference.windows(n) {
            *counts.entry(run).or_default() += 1;
        }
        let mut common = 0;
        for run in self.input.windows(n) {
            if let Some(left @ 1..) = counts.get_mut(run) {
                *left -= 1;
                common += 1;
            }
        }
        common
    }
}

/// Returns how many runs of `n` words a text of so many has.
fn runs(words: usize, n: usize) -> usize {
    (words + 1).saturating_sub(n)
}

/// nltk's `sentence_bleu` with smoothing `method1`: runs of 1 to 4 words between white space, weighted
/// alike.
pub(super) fn bleu(input: &str, reference: &str) -> f64 {
    let texts = Numbered::of(words::split(input), words::split(reference));
    let (given, wanted) = (texts.input.len(), texts.reference.len());
    if texts.common_runs(1) == 0 {
        return 0.0;
    }
    let logarithms = (1..=RUN_MAX).map(|n| {
        let common = texts.common_runs(n);
        let numerator = if common == 0 { EPSILON } else { common as f64 };
        (numerator / runs(given, n).max(1) as f64).ln()
    });
    let mean = logarithms.sum::<f64>() / RUN_MAX as f64;
    let brevity_penalty = if given > wanted {
        1.0
    } else {
        (1.0 - wanted as f64 / given as f64).exp()
    };
    brevity_penalty * mean.exp()
}

/// nltk's `sentence_gleu`: the lesser of precision and recall over all runs of 1 to 4 words.
pub(super) fn gleu(input: &str, reference: &str) -> f64 {
    let texts = Numbered::of(words::split(input), words::split(reference));
    let all = |words: usize| (1..=RUN_MAX).map(|n| runs(words, n)).sum::<usize>();
    let common: usize = (1..=RUN_MAX).map(|n| texts.common_runs(n)).sum();
    match all(texts.input.len()).max(all(texts.reference.len())) {
        0 => 0.0,
        most => common as f64 / most as f64,
    }
}

/// F1 of rouge-score over runs of `n` words, but for words of any script.
pub(super) fn rouge_n(input: &str, reference: &str, n: usize) -> f64 {
    let (input, reference) = (input.to_lowercase(), reference.to_lowercase());
    let texts = rouge_words(&input, &reference);
    let (given, wanted) = (runs(texts.input.len(), n), runs(texts.reference.len(), n));
    f1(texts.common_runs(n), given, wanted)
}

/// F1 of rouge-score over the longest common subsequence of words.
pub(super) fn rouge_l(input: &str, reference: &str) -> Result<f64, TooLong> {
    let (input, reference) = (input.to_lowercase(), reference.to_lowercase());
    let texts = rouge_words(&input, &reference);
    let common = Lcs::new(texts.words, STEPS_MAX).length(&texts.input, &texts.reference)?;
    Ok(f1(common, texts.input.len(), texts.reference.len()))
}

fn rouge_words<'a>(input: &'a str, reference: &'a str) -> Numbered {
    Numbered::of(words::of_any_script(input), words::of_any_script(reference))
}

/// Returns the harmonic mean of precision and recall.
fn f1(common: usize, given: usize, wanted: usize) -> f64 {
    if common == 0 {
        return 0.0;
    }
    let precision = common as f64 / given as f64;
    let recall = common as f64 / wanted as f64;
    2.0 * precision * recall / (precision + recall)
}
