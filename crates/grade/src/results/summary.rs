//! The results of a run as they are shown.

use std::collections::BTreeMap;

use model::Outcome;
use serde::Serialize;
use stats::interval::{self, Purpose};
use stats::{Figure, Level, Refusal, Row, Rows, cluster};
use utoipa::ToSchema;

use super::collected::Collected;
use super::judge_use::{JudgeTally, JudgeTotals};
use super::of_grader;
use super::outlook::Outlook;
use super::sample::{Said, Sample};
use super::{FigureObject, Graded, GraderFacts, PairwiseResults, PanelAgreement, Withheld, keep};
use crate::judge::consistency::Flips;

/// What a run of graders says.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[non_exhaustive]
pub struct RunResults {
    /// Traces (or cases) with a grade.
    pub traces: u64,
    /// The mean score in the graders' own scale; null unless all graders that give numbers share one.
    pub average_score: Option<f64>,
    /// How sure that is.
    pub average_score_figure: Option<FigureObject>,
    /// The share of traces that no grader failed, among those that a grader passed or failed.
    pub pass_rate: Option<f64>,
    /// How sure that is.
    pub pass_rate_figure: Option<FigureObject>,
    /// Each grader, by name.
    pub by_grader: BTreeMap<String, GraderResults>,
    /// The parts of the population that were sampled by themselves.
    pub strata: Vec<StratumResults>,
    /// Whether and how figures of the whole are weighted.
    pub weighting: Weighting,
    /// Whether so many grades have no verdict that the others may mislead.
    pub degraded: bool,
    /// Why, a sentence for each grader.
    pub degraded_reasons: Vec<String>,
    /// What judges took; null if none was asked.
    pub judge: Option<JudgeTotals>,
    /// Figures that are null, and why.
    pub withheld: Withheld,
}

/// What one grader says.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[non_exhaustive]
pub struct GraderResults {
    /// The grader.
    pub grader: GraderFacts,
    /// How many traces came out how.
    pub counts: Counts,
    /// The share of passes among passes and fails.
    pub pass_rate: Option<f64>,
    /// How sure that is.
    pub pass_rate_figure: Option<FigureObject>,
    /// The mean of its numbers.
    pub mean: Option<f64>,
    /// How sure that is.
    pub mean_figure: Option<FigureObject>,
    /// The middle one of its numbers.
    pub median: Option<f64>,
    /// How sure that is.
    pub median_figure: Option<FigureObject>,
    /// The number that 95 of 100 do not exceed.
    pub p95: Option<f64>,
    /// How sure that is.
    pub p95_figure: Option<FigureObject>,
    /// The share of high numbers, on scales of whole ones.
    pub at_least: Option<AtLeast>,
    /// How often which number came, as graded: not reweighted.
    pub histogram: Vec<Bar>,
    /// How often which label came.
    pub labels: BTreeMap<String, LabelShare>,
    /// The same for each part of the population.
    pub strata: Vec<GraderStratum>,
    /// How often it changed its mind about traces that it graded more than once; null if there are none.
    pub flips: Option<FlipRate>,
    /// The same of one judge who was asked the same several times, for a measure of his noise.
    pub noise: Option<FlipRate>,
    /// How far the judges of a panel agree; null if there was none.
    pub panel: Option<PanelAgreement>,
    /// How often the graded traces win against those that they were compared with; null unless it compares.
    pub pairwise: Option<PairwiseResults>,
    /// What a next run of as many traces would see.
    pub outlook: Option<Outlook>,
    /// What its judge took; null if it asked none.
    pub judge: Option<JudgeTotals>,
    /// Grades that another version of it made; they are counted with the others.
    pub of_other_versions: u64,
    /// Figures that are null, and why.
    pub withheld: Withheld,
}

/// How many traces came out how.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct Counts {
    /// Traces that the grader looked at.
    pub graded: u64,
    /// It holds.
    pub pass: u64,
    /// It does not.
    pub fail: u64,
    /// A number or a label that is neither good nor bad by itself.
    pub value: u64,
    /// The question does not arise.
    pub not_applicable: u64,
    /// There is no verdict. These are in no rate.
    pub unscored: u64,
    /// The same by reason.
    pub unscored_by_reason: BTreeMap<&'static str, u64>,
    /// Of all these, verdicts that hold only because there was nothing to look at.
    pub vacuous: u64,
}

/// The share of numbers from a threshold on.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AtLeast {
    /// The threshold: where it passes, or 4 on 1–5.
    pub threshold: f64,
    /// The share of numbers that reach it.
    pub share: f64,
    /// How sure that is.
    pub share_figure: FigureObject,
}

/// How often numbers of an interval came.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct Bar {
    /// The lowest number in it.
    pub from: f64,
    /// The highest: the same on a scale of whole numbers.
    pub to: f64,
    /// How many.
    pub count: u64,
}

/// How often a label came.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct LabelShare {
    /// How many.
    pub count: u64,
    /// Their share of all labels.
    pub share: Option<f64>,
    /// How sure that is.
    pub share_figure: Option<FigureObject>,
}

/// How often a grader contradicts itself.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[non_exhaustive]
pub struct FlipRate {
    /// Traces with two verdicts or more.
    pub repeated: u64,
    /// Those of them whose verdicts were not all the same.
    pub flipped: u64,
    /// Their share.
    pub rate: Option<f64>,
    /// How sure that is.
    pub rate_figure: Option<FigureObject>,
}

impl FlipRate {
    /// Of one judge who was asked the same several times.
    pub(super) fn of(flips: Flips, level: Level) -> Option<Self> {
        let (repeated, flipped) = (flips.repeated as u64, flips.flipped as u64);
        let figure = interval::rate(flipped, repeated, level, Purpose::Report);
        Self::shown(repeated, flipped, figure)
    }

    /// Of a grader's attempts at the same traces.
    pub(super) fn of_attempts(collected: &Collected, grader: &Graded) -> Option<Self> {
        let items = grader.repeated();
        let flipped = items.iter().filter(|(_, flipped)| *flipped).count();
        let rows = items.iter().map(|(item, flipped)| Row {
            value: f64::from(u8::from(*flipped)),
            group: collected.group(*item),
        });
        let rows = Rows::new(rows);
        let figure = rows.and_then(|it| cluster::rate(&it, collected.level(), Purpose::Report));
        Self::shown(items.len() as u64, flipped as u64, figure)
    }

    fn shown(repeated: u64, flipped: u64, figure: Result<Figure, Refusal>) -> Option<Self> {
        let figure = figure.ok().map(FigureObject::from);
        (repeated > 0).then_some(Self {
            repeated,
            flipped,
            rate: number(figure.as_ref()),
            rate_figure: figure,
        })
    }
}

/// A grader in a part of the population.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct GraderStratum {
    /// The part.
    pub name: String,
    /// How many traces it had when the run began.
    pub population: u64,
    /// How many were graded.
    pub graded: u64,
    /// The share of passes.
    pub pass_rate: Option<f64>,
    /// How sure that is.
    pub pass_rate_figure: Option<FigureObject>,
    /// The mean of its numbers.
    pub mean: Option<f64>,
    /// How sure that is.
    pub mean_figure: Option<FigureObject>,
    /// How many to draw of it in a next run of the same size, so that the figure of the whole is as sure as it
    /// can be (Neyman's allocation): more where the part is large and its traces differ; null if nothing is
    /// known of the spread of a part.
    pub next: Option<u64>,
}

/// A part of the population.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct StratumResults {
    /// Its name.
    pub name: String,
    /// How many traces it had when the run began.
    pub population: u64,
    /// How many of them were graded.
    pub graded: u64,
    /// The share of traces that no grader failed.
    pub pass_rate: Option<f64>,
    /// How sure that is.
    pub pass_rate_figure: Option<FigureObject>,
}

/// How the figures of the whole are made of its parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Weighting {
    /// Whether parts count by their share of the population.
    pub is_weighted: bool,
    /// The same in words.
    pub sentence: String,
}

/// The estimate by itself, which stands beside its figure.
pub(super) fn number(figure: Option<&FigureObject>) -> Option<f64> {
    figure.map(|figure| figure.estimate)
}

impl RunResults {
    pub(super) fn of(collected: &Collected) -> Self {
        let mut withheld = Withheld::new();
        let passes = Sample::of(collected, |item| pass_of_all(collected, item));
        let pass_rate = keep(passes.rate(), "pass_rate", &mut withheld);
        let average_score = match shared_scale(collected) {
            Err(why) => {
                withheld.insert("average_score".to_owned(), why.to_owned());
                None
            }
            Ok(graders) => {
                let ends = graders.first().and_then(|it| it.facts.scale.range());
                let scores =
                    Sample::of(collected, |item| mean_of_all(&graders, item)).between(ends);
                keep(scores.mean(), "average_score", &mut withheld)
            }
        };
        let mut judge = JudgeTally::default();
        let mut by_grader = BTreeMap::new();
        let mut degraded_reasons = Vec::new();
        for grader in collected.graded() {
            judge.merge(&grader.judge);
            let results = of_grader::results(collected, grader);
            let max = collected.options.unscored_share_max;
            degraded_reasons.extend(degraded(&results, max));
            by_grader.insert(name_among(collected, &grader.facts), results);
        }
        Self {
            traces: collected.len() as u64,
            average_score: number(average_score.as_ref()),
            average_score_figure: average_score,
            pass_rate: number(pass_rate.as_ref()),
            pass_rate_figure: pass_rate,
            by_grader,
            strata: strata(collected, &passes),
            weighting: weighting(collected, &passes),
            degraded: !degraded_reasons.is_empty(),
            degraded_reasons,
            judge: judge.totals(),
            withheld,
        }
    }
}

/// Graders are found by name; of those that share one, version and id are told too.
fn name_among(collected: &Collected, facts: &GraderFacts) -> String {
    let same = collected.graders().filter(|it| it.name == facts.name);
    match same.count() {
        1 => facts.name.clone(),
        _ => format!("{} ({} v{})", facts.name, facts.id, facts.version),
    }
}

/// A trace passes if a grader passed it and none failed it.
fn pass_of_all(collected: &Collected, item: u32) -> Said {
    let mut said = Said::Nothing;
    for grader in collected.graded() {
        let one = Said::pass(&grader.cell(item));
        said = match (said, one) {
            (Said::Value(a), Said::Value(b)) => Said::Value(a.min(b)),
            (value @ Said::Value(_), _) | (_, value @ Said::Value(_)) => value,
            (Said::Silent, _) | (_, Said::Silent) => Said::Silent,
            (Said::Inapplicable, _) | (_, Said::Inapplicable) => Said::Inapplicable,
            (Said::Nothing, Said::Nothing) => Said::Nothing,
        };
    }
    said
}

fn mean_of_all(graders: &[&Graded], item: u32) -> Said {
    let cells = graders.iter().map(|grader| grader.cell(item));
    let (mut sum, mut n, mut silent, mut inapplicable) = (0.0, 0_u32, false, false);
    for cell in cells {
        match Said::score(&cell) {
            Said::Value(score) => (sum, n) = (sum + score, n + 1),
            Said::Silent => silent = true,
            Said::Inapplicable => inapplicable = true,
            Said::Nothing => {}
        }
    }
    match (n, silent, inapplicable) {
        (1.., ..) => Said::Value(sum / f64::from(n)),
        (0, true, _) => Said::Silent,
        (0, false, true) => Said::Inapplicable,
        (0, false, false) => Said::Nothing,
    }
}

/// Returns the graders that give numbers, if all have one scale.
fn shared_scale(collected: &Collected) -> Result<Vec<&Graded>, &'static str> {
    let numeric: Vec<&Graded> = collected
        .graded()
        .iter()
        .filter(|grader| grader.facts.scale.is_numeric())
        .collect();
    let mut ranges = numeric.iter().map(|grader| grader.facts.scale.range());
    match ranges.next() {
        None => Err("no grader of this run gives numbers"),
        // without ends nobody knows whether two scales are one
        Some(first) if ranges.all(|range| first.is_some() && range == first) => Ok(numeric),
        Some(_) => Err("the graders have different scales: see each by itself"),
    }
}

fn degraded(results: &GraderResults, share_max: f64) -> Option<String> {
    let counts = &results.counts;
    let asked = counts.graded - counts.not_applicable;
    if asked == 0 || counts.unscored as f64 <= share_max * asked as f64 {
        return None;
    }
    let mut reasons: Vec<(&str, u64)> = counts
        .unscored_by_reason
        .iter()
        .map(|(reason, count)| (*reason, *count))
        .collect();
    reasons.sort_by_key(|(reason, count)| (std::cmp::Reverse(*count), *reason));
    let told: Vec<String> = reasons
        .iter()
        .map(|(reason, count)| format!("{reason} {count}"))
        .collect();
    let told = told.join(", ");
    Some(format!(
        "{}: {} of {asked} traces have no verdict ({told})",
        results.grader.name, counts.unscored
    ))
}

fn strata(collected: &Collected, passes: &Sample<'_>) -> Vec<StratumResults> {
    let figures = passes.by_stratum(true);
    let parts = collected.strata.iter().zip(figures).zip(passes.asked());
    parts
        .map(|((stratum, figure), asked)| {
            let figure = figure.ok().map(FigureObject::from);
            StratumResults {
                name: stratum.name.clone(),
                population: stratum.population,
                graded: asked,
                pass_rate: number(figure.as_ref()),
                pass_rate_figure: figure,
            }
        })
        .collect()
}

fn weighting(collected: &Collected, passes: &Sample<'_>) -> Weighting {
    let real = collected.strata.iter().filter(|it| it.population > 0);
    let is_weighted = passes.is_stratified();
    let empty: Vec<&str> = collected
        .strata
        .iter()
        .zip(passes.asked())
        .filter(|(stratum, asked)| stratum.population > 0 && *asked == 0)
        .map(|(stratum, _)| stratum.name.as_str())
        .collect();
    let apart = passes.without_stratum();
    let mut sentence = match (is_weighted, empty.is_empty()) {
        (false, _) => "Each graded trace counts once.".to_owned(),
        (true, true) => format!(
            "Traces were sampled in {} parts; each part counts by its share of the population.",
            real.count()
        ),
        (true, false) => format!(
            "No trace of “{}” was graded, so nothing can be said of the whole: see each part by itself.",
            empty.join("”, “")
        ),
    };
    if is_weighted && apart > 0 {
        let are = if apart == 1 {
            "1 trace is".to_owned()
        } else {
            format!("{apart} traces are")
        };
        sentence.push_str(&format!(
            " {are} of no part that was counted and left out of the whole."
        ));
    }
    Weighting {
        is_weighted,
        sentence,
    }
}

impl Counts {
    pub(super) fn of(grader: &Graded) -> Self {
        let mut counts = Self::default();
        for (_, cell) in grader.cells() {
            let Some(outcome) = cell.outcome() else {
                continue;
            };
            counts.graded += 1;
            counts.vacuous += u64::from(cell.vacuous());
            *match outcome {
                Outcome::Pass => &mut counts.pass,
                Outcome::Fail => &mut counts.fail,
                Outcome::Value => &mut counts.value,
                Outcome::NotApplicable => &mut counts.not_applicable,
                Outcome::Unscored => {
                    let reason = cell.reason().map_or("unknown", |reason| reason.as_str());
                    *counts.unscored_by_reason.entry(reason).or_default() += 1;
                    &mut counts.unscored
                }
            } += 1;
        }
        counts
    }
}
