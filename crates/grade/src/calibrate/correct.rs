//! The rate that people would give, from the judge's and their labels.

use std::collections::HashMap;

use stats::agreement::confusion;
use stats::ppi::{
    Corrected, Judgement, Queued, by_known_chances, by_known_chances_in_strata, ppi, stratified,
};
use stats::rogan_gladen::rogan_gladen;
use stats::{Figure, Refusal};

use super::{Basis, CalibrateOptions, How, Labelled};
use crate::results::{Collected, FigureObject, Graded, Said, Sample, decimal};

/// Returns the corrected rate, and how it was made or why there is none.
pub(super) fn corrected(
    run: &Collected,
    graded: &Graded,
    basis: &Basis,
    options: &CalibrateOptions,
) -> (Option<FigureObject>, String) {
    let labelled = &basis.labelled;
    let weight = |it: &Corrected| decimal(it.weight_of_judge, 2);
    let found = match &basis.how {
        How::ByChance(chances) => by_chance(run, graded, labelled, chances, options).map(|it| {
            let told = format!(
                "Known chances: each label stands for as many graded traces as its chance to be asked for tells, and the judge is taken for {} of its word",
                weight(&it)
            );
            (it.figure.into(), told)
        }),
        How::AtRandom => by_sample(run, graded, labelled, options).map(|it| {
            let told = format!(
                "PPI++: the labelled traces are a random sample of the graded ones, and the judge is taken for {} of its word",
                weight(&it)
            );
            (it.figure.into(), told)
        }),
        How::All => by_people(run, graded, labelled).map(|figure| {
            let told = "All graded traces are labelled: this is what people say, and nothing of it the judge's";
            (figure.into(), told.to_owned())
        }),
        How::Otherwise => by_errors(run, graded, labelled, options).map(|it| {
            let told = "Rogan–Gladen: the labelled traces are no random sample, so the judge's errors are taken to be the same here as there";
            (it, told.to_owned())
        }),
    };
    let left_out = match basis.left_out {
        0 => String::new(),
        1 => "; 1 labelled trace that was not asked for by the queue is left out".to_owned(),
        n => format!("; {n} labelled traces that were not asked for by the queue are left out"),
    };
    match found {
        Ok((figure, told)) => (Some(figure), format!("{told}{left_out}")),
        Err(why) => (None, format!("not corrected: {why}{left_out}")),
    }
}

/// What the judge and people say of each item that has a verdict.
struct Judgements<'a> {
    graded: &'a Graded,
    run: &'a Collected,
    labels: HashMap<u32, bool>,
}

impl Judgements<'_> {
    fn of(&self, item: u32) -> Option<Judgement> {
        let human = self.labels.get(&item);
        Some(Judgement {
            judge: self.graded.cell(item).passed()?,
            human: human.map(|human| f64::from(u8::from(*human))),
            group: self.run.group(item),
        })
    }

    /// Returns something of each item, by stratum, with the populations that the question is about.
    fn by_stratum<T>(&self, of: impl Fn(u32) -> Option<T>) -> Result<Vec<(u64, Vec<T>)>, Refusal> {
        let run = self.run;
        let weights = Sample::of(run, |item| Said::pass(&self.graded.cell(item))).strata()?;
        let parts = weights.iter().map(|it| (it.population, Vec::new()));
        let mut parts: Vec<(u64, Vec<T>)> = parts.collect();
        for item in run.items() {
            if let (Some(stratum), Some(one)) = (run.stratum(item), of(item)) {
                parts[stratum].1.push(one);
            }
        }
        Ok(parts)
    }
}

fn judgements<'a>(run: &'a Collected, graded: &'a Graded, labelled: &Labelled) -> Judgements<'a> {
    let labels = labelled.items.iter().copied().collect();
    Judgements {
        graded,
        run,
        labels,
    }
}

/// Each label stands for one over its chance, by strata where the sample was drawn in parts.
fn by_chance(
    run: &Collected,
    graded: &Graded,
    labelled: &Labelled,
    chances: &HashMap<u32, f64>,
    options: &CalibrateOptions,
) -> Result<Corrected, Refusal> {
    let judgements = judgements(run, graded, labelled);
    let queued = |item: u32| {
        Some(Queued {
            item: judgements.of(item)?,
            // of those without a label the chance plays no part
            chance: chances.get(&item).copied().unwrap_or(1.0),
        })
    };
    if !run.is_stratified() {
        let all: Vec<Queued> = run.items().filter_map(queued).collect();
        return by_known_chances(&all, options.level);
    }
    by_known_chances_in_strata(&judgements.by_stratum(queued)?, options.level)
}

/// PPI++, by strata where the sample was drawn in parts.
fn by_sample(
    run: &Collected,
    graded: &Graded,
    labelled: &Labelled,
    options: &CalibrateOptions,
) -> Result<Corrected, Refusal> {
    let judgements = judgements(run, graded, labelled);
    if !run.is_stratified() {
        let all: Vec<Judgement> = run.items().filter_map(|it| judgements.of(it)).collect();
        return ppi(&all, options.level);
    }
    let strata = judgements.by_stratum(|item| judgements.of(item))?;
    stratified(&strata, options.level)
}

/// The rate by people's labels alone, of which every judged item has one.
fn by_people(run: &Collected, graded: &Graded, labelled: &Labelled) -> Result<Figure, Refusal> {
    let labels: HashMap<u32, bool> = labelled.items.iter().copied().collect();
    let said = |item: u32| match labels.get(&item) {
        Some(good) => Said::Value(f64::from(u8::from(*good))),
        None => Said::pass(&graded.cell(item)),
    };
    Sample::of(run, said).rate()
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
