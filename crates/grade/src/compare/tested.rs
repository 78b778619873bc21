//! The test that fits the data of one grader.

use stats::compare::{Comparison as Found, Design, Question, compare, compare_strata};
use stats::{Figure, Refusal, Row, Rows, strata};

use super::Tested;
use super::both::{Both, Metric};
use super::pairing::{By, Entry, Sides};
use crate::results::{Collected, Sample, Withheld, keep};

/// What was found, and what was done for it.
pub(crate) struct Outcome {
    pub(crate) found: Found,
    pub(crate) design: &'static str,
    pub(crate) unpaired: usize,
}

/// Returns the values of both runs by stratum.
pub(crate) fn samples<'a>(
    runs: [&'a Collected; 2],
    grader: Both<'_>,
    metric: &Metric,
) -> [Sample<'a>; 2] {
    let [baseline, candidate] = runs;
    [(baseline, grader.baseline), (candidate, grader.candidate)]
        .map(|(run, grader)| Sample::of(run, |item| metric.said(run, &grader.cell(item))))
}

/// Compares the values of one grader.
pub(crate) fn test(
    runs: [&Collected; 2],
    grader: Both<'_>,
    metric: &Metric,
    sides: &Sides,
    question: &Question,
) -> Result<Outcome, Refusal> {
    let baseline = runs[0];
    let samples = samples(runs, grader, metric);
    let is_weighted = samples.iter().any(Sample::is_stratified);
    let (found, design) = match (is_weighted, sides.by) {
        (true, By::Item | By::Key) if samples[0].is_stratified() => (
            paired_strata(baseline, sides, &samples[0], question)?,
            "paired_strata",
        ),
        (true, _) => (means(&samples, question)?, "strata"),
        (false, _) => {
            let items = |side: &[Entry]| side.iter().map(Entry::as_item).collect::<Vec<_>>();
            let found = compare(&items(&sides.baseline), &items(&sides.candidate), question)?;
            let design = match found.design {
                Design::PairedByKey | Design::PairedByGroup => "paired",
                Design::Rates => "groups",
                Design::Ranks => "ranks",
                Design::Strata => "strata",
            };
            (found, design)
        }
    };
    let unpaired = sides.without_key + found.unpaired;
    Ok(Outcome {
        found,
        design,
        unpaired,
    })
}

/// Compares means, weighted where samples were drawn in parts.
pub(crate) fn means(samples: &[Sample<'_>; 2], question: &Question) -> Result<Found, Refusal> {
    let [a, b] = samples;
    compare_strata(&a.as_strata()?, &b.as_strata()?, question)
}

/// Differences of pairs, weighted by the baseline's strata.
///
/// A comparison of the differences with nothing at all, of which just the mean and its error are read.
fn paired_strata(
    baseline: &Collected,
    sides: &Sides,
    sample: &Sample<'_>,
    question: &Question,
) -> Result<Found, Refusal> {
    let pairs = sides.pairs();
    if pairs.len() < 2 {
        return Err(Refusal::TooFewPairs(pairs.len()));
    }
    let weights = sample.strata()?;
    let of =
        |value: &dyn Fn(&super::pairing::Pair) -> f64| -> Result<Vec<strata::Stratum>, Refusal> {
            let mut rows: Vec<Vec<Row>> = weights.iter().map(|_| Vec::new()).collect();
            for pair in &pairs {
                if let Some(stratum) = baseline.stratum(pair.baseline_item) {
                    rows[stratum].push(Row {
                        value: value(pair),
                        group: baseline.group(pair.baseline_item),
                    });
                }
            }
            let parts = weights.iter().zip(rows);
            let parts = parts.map(|(stratum, rows)| {
                Ok(strata::Stratum {
                    population: stratum.population,
                    sample: match rows.is_empty() {
                        true => None,
                        false => Some(Rows::new(rows)?),
                    },
                })
            });
            parts.collect()
        };
    let nothing = of(&|_| 0.0)?;
    let differences = of(&|pair| pair.candidate - pair.baseline)?;
    let mut found = compare_strata(&nothing, &differences, question)?;
    found.difference.n = pairs.len();
    found.difference.groups = strata::estimate(&differences, question.level)
        .overall?
        .groups;
    let alone = |strata: &[strata::Stratum]| -> Result<Figure, Refusal> {
        strata::estimate(strata, question.level).overall
    };
    found.a = alone(&of(&|pair| pair.baseline)?)?;
    found.b = alone(&of(&|pair| pair.candidate)?)?;
    found.relative = Err(Refusal::TooFewPairs(0));
    found.unpaired = sides.baseline.len() + sides.candidate.len() - 2 * pairs.len();
    Ok(found)
}

impl Outcome {
    /// Returns the figures to show, before they are adjusted for other graders.
    pub(crate) fn tested(&self) -> Tested {
        let mut withheld = Withheld::new();
        let found = &self.found;
        let relative = match self.design {
            "paired_strata" => {
                let why = "it is not reckoned for pairs of weighted samples";
                withheld.insert("relative".to_owned(), why.to_owned());
                None
            }
            _ => keep(found.relative, "relative", &mut withheld),
        };
        Tested {
            design: self.design,
            baseline: found.a.into(),
            candidate: found.b.into(),
            difference: found.difference.into(),
            p_value: found.p_value,
            p_adjusted: found.p_value,
            exact: found.exact,
            mcnemar: found.mcnemar,
            probability_greater: found.probability_greater.map(Into::into),
            relative,
            lower_bound: finite(found.lower_bound),
            not_worse: found.is_non_inferior,
            detectable: found.detectable,
            unpaired: self.unpaired,
            withheld,
        }
    }
}

/// A bound that no value gives is nothing.
fn finite(bound: f64) -> Option<f64> {
    bound.is_finite().then_some(bound)
}
