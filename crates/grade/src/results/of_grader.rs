//! The results of one grader.

use std::collections::BTreeMap;

use stats::Figure;

use super::collected::{Collected, Graded};
use super::outlook;
use super::pairwise;
use super::sample::{Said, Sample};
use super::summary::{
    AtLeast, Bar, Counts, FlipRate, GraderResults, GraderStratum, LabelShare, number,
};
use super::{FigureObject, Withheld, keep};
use crate::scale::GraderScale;

/// A scale of whole numbers has a bar for each up to so many.
const STEPS_MAX: f64 = 20.0;

/// Others have so many bars.
const BARS: usize = 10;

pub(super) fn results(collected: &Collected, grader: &Graded) -> GraderResults {
    let mut withheld = Withheld::new();
    let counts = Counts::of(grader);
    let passes = Sample::of(collected, |item| Said::pass(&grader.cell(item)));
    let scores = Sample::of(collected, |item| Said::score(&grader.cell(item)))
        .between(grader.facts.scale.range());
    let mut figures = Figures {
        withheld: &mut withheld,
    };
    let decided = counts.pass + counts.fail > 0 || grader.facts.scale.decides();
    let pass_rate = figures.keep_if(decided, "pass_rate", || passes.rate());
    let has_scores = scores.rows().is_ok();
    let at_any_time = collected.may_stop();
    // without ends nobody knows how skewed numbers are: durations, costs
    let is_open = grader.facts.scale.range().is_none();
    let mean = figures.keep_if(has_scores, "mean", || match is_open && !at_any_time {
        true => scores.mean_of_skewed(),
        false if grader.is_pairwise() => scores.share(),
        false => scores.mean(),
    });
    let why_no_quantile = if !has_scores {
        None
    } else if scores.is_stratified() {
        Some("the sample is weighted, and a quantile of it would not be")
    } else if at_any_time {
        Some("the run may stop by what it shows, and no interval of a quantile would hold then")
    } else {
        None
    };
    let [median, p95] = [("median", 0.5), ("p95", 0.95)].map(|(name, q)| {
        if let Some(why) = why_no_quantile {
            figures.withheld.insert(name.to_owned(), why.to_owned());
            return None;
        }
        figures.keep_if(has_scores, name, || scores.quantile(q))
    });
    let outlook = match pass_rate {
        Some(_) => outlook::of_rates(&passes),
        None => outlook::of_scores(&scores, is_open),
    };
    GraderResults {
        grader: grader.facts.clone(),
        pass_rate: number(pass_rate.as_ref()),
        pass_rate_figure: pass_rate,
        mean: number(mean.as_ref()),
        mean_figure: mean,
        median: number(median.as_ref()),
        median_figure: median,
        p95: number(p95.as_ref()),
        p95_figure: p95,
        at_least: at_least(collected, grader, &mut withheld),
        histogram: histogram(grader),
        labels: labels(collected, grader),
        strata: strata(collected, &passes, &scores),
        flips: FlipRate::of_attempts(collected, grader),
        noise: FlipRate::of(grader.judge.samples, collected.level()),
        panel: grader.judge.panel.agreement(collected.level()),
        pairwise: pairwise::of(collected, grader),
        outlook,
        judge: grader.judge.totals(),
        of_other_versions: grader.of_other_versions,
        counts,
        withheld,
    }
}

struct Figures<'a> {
    withheld: &'a mut Withheld,
}

impl Figures<'_> {
    fn keep_if(
        &mut self,
        is_asked: bool,
        name: &str,
        figure: impl FnOnce() -> Result<Figure, stats::Refusal>,
    ) -> Option<FigureObject> {
        is_asked.then(|| keep(figure(), name, self.withheld))?
    }
}

/// The share of numbers that pass, or that are above the middle where none passes.
fn at_least(collected: &Collected, grader: &Graded, withheld: &mut Withheld) -> Option<AtLeast> {
    let GraderScale::Number { pass_threshold, .. } = grader.facts.scale else {
        return None;
    };
    if !grader.facts.scale.is_whole() {
        return None;
    }
    let usual = || {
        let (low, high) = grader.facts.scale.range()?;
        insight::judging::Scale::of_range(low, high)?.default_pass_threshold()
    };
    let threshold = pass_threshold.or_else(usual)?;
    let reaches = |score: f64| f64::from(u8::from(score >= threshold));
    let sample = Sample::of(collected, |item| {
        Said::score(&grader.cell(item)).map(reaches)
    });
    let share = keep(sample.rate(), "at_least", withheld)?;
    Some(AtLeast {
        threshold,
        share: share.estimate,
        share_figure: share,
    })
}

fn histogram(grader: &Graded) -> Vec<Bar> {
    let scores = || grader.cells().filter_map(|(_, cell)| cell.score());
    let mut ends = (f64::INFINITY, f64::NEG_INFINITY);
    for score in scores() {
        ends = (ends.0.min(score), ends.1.max(score));
    }
    if ends.0 > ends.1 {
        return Vec::new();
    }
    let (low, high) = grader.facts.scale.range().unwrap_or(ends);
    let mut bars: Vec<Bar> = if grader.facts.scale.is_whole() && high - low <= STEPS_MAX {
        let steps = 0..=(high - low) as u32;
        let bar = |step| (low + f64::from(step), low + f64::from(step));
        steps.map(bar).map(Bar::between).collect()
    } else if high > low {
        let end = |at: usize| low + (high - low) * at as f64 / BARS as f64;
        (0..BARS)
            .map(|at| Bar::between((end(at), end(at + 1))))
            .collect()
    } else {
        vec![Bar::between((low, high))]
    };
    let last = bars.len() - 1;
    let is_step = bars[0].from >= bars[0].to;
    for score in scores() {
        let place = match is_step {
            // between two steps: a median of an even panel
            true => (score - low).round(),
            false => ((score - low) / (high - low) * BARS as f64).floor(),
        };
        // what is off the scale is at its end
        bars[(place.max(0.0) as usize).min(last)].count += 1;
    }
    bars
}

impl Bar {
    fn between((from, to): (f64, f64)) -> Self {
        Self { from, to, count: 0 }
    }
}

fn labels(collected: &Collected, grader: &Graded) -> BTreeMap<String, LabelShare> {
    let mut counts: BTreeMap<u16, u64> = BTreeMap::new();
    for (_, cell) in grader.cells() {
        if let Some(label) = cell.label() {
            *counts.entry(label).or_default() += 1;
        }
    }
    let share = |label: u16, count: u64| {
        let sample = Sample::of(collected, |item| {
            Said::label_of(&grader.cell(item), |it| it == label)
        });
        let figure = sample.rate().ok().map(FigureObject::from);
        LabelShare {
            count,
            share: number(figure.as_ref()),
            share_figure: figure,
        }
    };
    let came = counts.iter();
    let mut shares: BTreeMap<String, LabelShare> = came
        .map(|(&label, &count)| (collected.label(label).to_owned(), share(label, count)))
        .collect();
    // a label that never came is told too
    if let GraderScale::Labels { labels, .. } = &grader.facts.scale
        && !counts.is_empty()
    {
        for label in labels {
            let never = || share(super::cell::NO_LABEL, 0);
            shares.entry(label.clone()).or_insert_with(never);
        }
    }
    shares
}

fn strata(collected: &Collected, passes: &Sample<'_>, scores: &Sample<'_>) -> Vec<GraderStratum> {
    let (rates, means) = (passes.by_stratum(true), scores.by_stratum(false));
    let is_rated = rates.iter().any(Result::is_ok);
    let next = match is_rated {
        true => passes.next_allocation(),
        false => scores.next_allocation(),
    };
    let figures = rates.into_iter().zip(means).zip(passes.asked());
    let parts = collected.strata.iter().zip(figures).enumerate();
    parts
        .map(|(place, (stratum, ((rate, mean), asked)))| {
            let rate = rate.ok().map(FigureObject::from);
            let mean = mean.ok().map(FigureObject::from);
            GraderStratum {
                name: stratum.name.clone(),
                population: stratum.population,
                graded: asked,
                pass_rate: number(rate.as_ref()),
                pass_rate_figure: rate,
                mean: number(mean.as_ref()),
                mean_figure: mean,
                next: next.as_ref().and_then(|next| next.get(place).copied()),
            }
        })
        .collect()
}
