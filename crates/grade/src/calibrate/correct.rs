//! The rate that people would give, from the judge's and their labels.

use std::collections::HashMap;

use stats::agreement::confusion;
use stats::ppi::{Corrected, Judgement, ppi, stratified};
use stats::rogan_gladen::rogan_gladen;
use stats::{Figure, Refusal};

use super::{CalibrateOptions, Chosen, Labelled};
use crate::results::{Collected, FigureObject, Graded, Said, Sample, decimal};

/// Returns the corrected rate, and how it was made or why there is none.
pub(super) fn corrected(
    run: &Collected,
    graded: &Graded,
    labelled: &Labelled,
    options: &CalibrateOptions,
) -> (Option<FigureObject>, String) {
    let found = match options.chosen {
        Chosen::AtRandom => by_sample(run, graded, labelled, options).map(|it| {
            let weight = decimal(it.weight_of_judge, 2);
            let told = format!(
                "PPI++: the labelled traces are a random sample of the graded ones, and the judge is taken for {weight} of its word"
            );
            (it.figure.into(), told)
        }),
        Chosen::Otherwise => by_errors(run, graded, labelled, options).map(|it| {
            let told = "Rogan–Gladen: the labelled traces are no random sample, so the judge's errors are taken to be the same here as there";
            (it, told.to_owned())
        }),
    };
    match found {
        Ok((figure, told)) => (Some(figure), told),
        Err(why) => (None, format!("not corrected: {why}")),
    }
}

/// PPI++, by strata where the sample was drawn in parts.
fn by_sample(
    run: &Collected,
    graded: &Graded,
    labelled: &Labelled,
    options: &CalibrateOptions,
) -> Result<Corrected, Refusal> {
    let labels: HashMap<u32, bool> = labelled.items.iter().copied().collect();
    let judgement = |item: u32| {
        Some(Judgement {
            judge: graded.cell(item).passed()?,
            human: labels.get(&item).map(|human| f64::from(u8::from(*human))),
            group: run.group(item),
        })
    };
    if !run.is_stratified() {
        let all: Vec<Judgement> = run.items().filter_map(judgement).collect();
        return ppi(&all, options.level);
    }
    let weights = Sample::of(run, |item| Said::pass(&graded.cell(item))).strata(0.0)?;
    let mut parts: Vec<(u64, Vec<Judgement>)> = weights
        .iter()
        .map(|it| (it.population, Vec::new()))
        .collect();
    for item in run.items() {
        if let (Some(stratum), Some(judgement)) = (run.stratum(item), judgement(item)) {
            parts[stratum].1.push(judgement);
        }
    }
    stratified(&parts, options.level)
}

/// Rogan and Gladen's, of as many independent verdicts as the graded ones are worth.
fn by_errors(
    run: &Collected,
    graded: &Graded,
    labelled: &Labelled,
    options: &CalibrateOptions,
) -> Result<FigureObject, Refusal> {
    let raw: Figure = Sample::of(run, |item| Said::pass(&graded.cell(item))).rate()?;
    let n = raw.effective_n().round().max(1.0);
    let passed = (raw.estimate * n).round();
    let labels = confusion(&labelled.judged);
    let figure = rogan_gladen(passed as u64, n as u64, &labels, options.level)?;
    let mut shown = FigureObject::from(figure);
    (shown.n, shown.groups) = (raw.n, raw.groups);
    shown.too_few_groups = raw.has_too_few_groups();
    Ok(shown)
}
