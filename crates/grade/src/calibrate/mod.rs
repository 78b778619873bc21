//! Is the judge right? Its verdicts held against people's, and its rate corrected by what they show.
//!
//! A judge's rate is a measurement with an instrument of unknown error. Labels tell the error: of traces
//! that were drawn to be labelled by their chances, of a random sample of what was graded by PPI++, both
//! right whatever the judge does; of labels from elsewhere by Rogan and Gladen, if the judge is better than a
//! coin. Labels say themselves how they were asked for. Until there are enough of them, and until the judge
//! meets the targets, its numbers are called uncalibrated.

mod correct;
pub mod queue;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use stats::agreement::{
    Agreement, Confusion, Judged, KAPPA_TARGET, Labels, RATE_TARGET, against_humans,
    against_humans_by_chance, kappa,
};
use stats::{Figure, Level, Refusal};
use utoipa::ToSchema;

use self::queue::{DrawnBy, QueueId};
use crate::results::{
    Collected, FigureObject, Graded, GraderFacts, Said, Sample, Withheld, decimal, keep,
};

/// With fewer labelled traces a judge is uncalibrated whatever they say.
pub const LABELS_MIN: usize = 30;

/// What a person says of a trace.
#[derive(Debug, Clone, PartialEq)]
pub struct HumanLabel {
    /// The item: a trace's id.
    pub item_id: String,
    /// Who.
    pub author: String,
    /// Whether it passes.
    pub passed: bool,
    /// The queue that asked for it, if one did.
    pub asked: Option<AskedFor>,
}

/// How a label was asked for: by a queue that was drawn from the grades that are held against people.
#[derive(Debug, Clone, PartialEq)]
pub struct AskedFor {
    /// The queue.
    pub queue: QueueId,
    /// The chance with which it drew this trace.
    pub chance: f64,
}

/// With fewer labels from a queue, and more from elsewhere, those from elsewhere are reckoned with.
pub const FROM_QUEUE_MIN: usize = 10;

/// How the labelled traces were chosen. It decides what may be concluded from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chosen {
    /// As the labels say of themselves: by the queue that most of them come from, otherwise nobody knows how.
    AsRecorded,
    /// At random among the graded ones: the verdict played no part.
    AtRandom,
    /// Otherwise: by the verdict, by complaints, or from other traces.
    Otherwise,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CalibrateOptions {
    /// How the labelled traces were chosen.
    pub chosen: Chosen,
    /// How often intervals are to hold the truth.
    pub level: Level,
    /// Fixes resamples.
    pub seed: u64,
}

impl Default for CalibrateOptions {
    fn default() -> Self {
        Self {
            chosen: Chosen::AsRecorded,
            level: Level::P95,
            seed: 0,
        }
    }
}

/// How often which verdict met which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct ConfusionMatrix {
    /// Both pass it.
    pub both_pass: u64,
    /// Only the judge passes it.
    pub only_judge_passes: u64,
    /// Only people pass it.
    pub only_people_pass: u64,
    /// Both fail it.
    pub both_fail: u64,
}

/// A judge held against people.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[non_exhaustive]
pub struct Calibration {
    /// The grader in the version that was held against people: for no other version it says anything.
    pub grader: GraderFacts,
    /// The models that judged.
    pub models: Vec<String>,
    /// Traces that people labelled and the grader passed or failed.
    pub labelled: usize,
    /// How many of them the figures below rest on: those of the queue, if they were chosen by one.
    pub used: usize,
    /// How those were chosen: `queue` by their doubt and with known chances, `random`, `all` that were graded,
    /// or `other`.
    pub chosen: &'static str,
    /// Traces that the grader passed or failed.
    pub judged: usize,
    /// Labelled traces without a verdict; they are in no figure.
    pub without_verdict: usize,
    /// Traces on which as many people said yes as no; they are in no figure.
    pub disputed: usize,
    /// Whether it may be called calibrated.
    pub calibrated: bool,
    /// `calibrated`, or `uncalibrated` and why.
    pub sentence: String,
    /// How often which verdict met which.
    pub confusion: ConfusionMatrix,
    /// How often they agree.
    pub agreement: Option<FigureObject>,
    /// Of what people pass, the share that the judge passes. It should be at least 0.8.
    pub sensitivity: Option<FigureObject>,
    /// Of what people fail, the share that the judge fails. It should be at least 0.8.
    pub specificity: Option<FigureObject>,
    /// Agreement beyond luck (Cohen's κ). It should be at least 0.6.
    pub kappa: Option<FigureObject>,
    /// The same between two people, of traces that two labelled.
    pub human_kappa: Option<FigureObject>,
    /// Traces that two people labelled or more.
    pub double_labelled: usize,
    /// The pass rate as the judge gives it.
    pub raw_rate: Option<FigureObject>,
    /// The pass rate that people would give.
    pub corrected_rate: Option<FigureObject>,
    /// How the rate was corrected, or why it was not.
    pub correction: String,
    /// Figures that are null, and why.
    pub withheld: Withheld,
}

/// Why nothing can be held against people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CalibrateError {
    /// The run has no grader of this name or id.
    #[error("the run has no grader “{0}”")]
    NoGrader(String),
    /// Verdicts of several versions or models are no verdicts of one judge.
    #[error("the judge “{grader}” is not one: {told}; hold each against people by itself")]
    Mixed {
        /// The grader's name.
        grader: String,
        /// What differs.
        told: String,
    },
}

/// Holds a grader of a run, by its name or id, against people.
///
/// Of what one person says of a trace the last counts; of several persons the majority.
pub fn calibrate(
    run: &Collected,
    grader: &str,
    labels: &[HumanLabel],
    options: &CalibrateOptions,
) -> Result<Calibration, CalibrateError> {
    let graded = named(run, grader)?;
    one_judge(graded)?;
    let all = Labelled::of(run, graded, labels);
    let basis = Basis::of(run, graded, labels, &all, options.chosen);
    let labelled = &basis.labelled;
    let mut withheld = Withheld::new();
    let found = basis.against_humans(run, graded, options);
    let (calibrated, sentence) = standing(labelled, found.as_ref().ok());
    let mut figure = |name: &str, figure: Option<Result<Figure, Refusal>>| {
        keep(figure.unwrap_or(Err(Refusal::Empty)), name, &mut withheld)
    };
    let found = found.ok();
    let agreement = figure("agreement", found.as_ref().map(|it| Ok(it.agreement)));
    let sensitivity = figure("sensitivity", found.as_ref().map(|it| it.sensitivity));
    let specificity = figure("specificity", found.as_ref().map(|it| it.specificity));
    let kappa_figure = figure("kappa", found.as_ref().map(|it| it.kappa));
    let people = kappa(&all.doubles, options.level, options.seed);
    let human_kappa = figure("human_kappa", Some(people));
    let passes = Sample::of(run, |item| Said::pass(&graded.cell(item)));
    let raw_rate = figure("raw_rate", Some(passes.rate()));
    let (corrected_rate, correction) = correct::corrected(run, graded, &basis, options);
    Ok(Calibration {
        grader: graded.facts.clone(),
        models: graded
            .judge
            .models()
            .into_iter()
            .map(str::to_owned)
            .collect(),
        labelled: all.judged.len(),
        used: labelled.judged.len(),
        chosen: basis.how.word(),
        judged: passes.rows().map_or(0, |rows| rows.n()),
        without_verdict: all.without_verdict,
        disputed: all.disputed,
        calibrated,
        sentence,
        confusion: found.map(|it| it.confusion.into()).unwrap_or_default(),
        agreement,
        sensitivity,
        specificity,
        kappa: kappa_figure,
        human_kappa,
        double_labelled: all.doubles.len(),
        raw_rate,
        corrected_rate,
        correction,
        withheld,
    })
}

impl Calibration {
    /// Returns why it says nothing of a run's grades: another version or another model gave them.
    pub fn invalid_for(&self, run: &Collected) -> Option<String> {
        let of = |it: &&Graded| it.facts.id == self.grader.id;
        let Some(graded) = run.graded().iter().find(of) else {
            return Some("the run has no grades of it".to_owned());
        };
        if graded.facts.hash != self.grader.hash || graded.of_other_versions > 0 {
            return Some(format!(
                "version {} was held against people, and version {} graded: label traces of that one",
                self.grader.version, graded.facts.version
            ));
        }
        let models = graded.judge.models();
        let is_known = models
            .iter()
            .copied()
            .eq(self.models.iter().map(String::as_str));
        (!is_known && !models.is_empty())
            .then(|| "another model judged than the one that was held against people".to_owned())
    }
}

fn named<'a>(run: &'a Collected, grader: &str) -> Result<&'a Graded, CalibrateError> {
    let is_meant = |it: &&Graded| it.facts.name == grader || it.facts.id == grader;
    let graded = run.graded().iter().find(is_meant);
    graded.ok_or_else(|| CalibrateError::NoGrader(grader.to_owned()))
}

/// Refuses verdicts of several versions or models.
fn one_judge(graded: &Graded) -> Result<(), CalibrateError> {
    let models: Vec<&str> = graded.judge.models().into_iter().collect();
    let told = match (graded.of_other_versions, graded.judge.is_one()) {
        (0, true) => return Ok(()),
        (0, false) => format!("{} judged", models.join(" and ")),
        (others, _) => format!(
            "{others} grades are of other versions than {}",
            graded.facts.version
        ),
    };
    Err(CalibrateError::Mixed {
        grader: graded.facts.name.clone(),
        told,
    })
}

/// The labels that are reckoned with, and how they were chosen.
struct Basis {
    labelled: Labelled,
    how: How,
    /// Labelled traces that are left out, because nobody knows how they were chosen.
    left_out: usize,
}

enum How {
    /// With these chances, by item.
    ByChance(HashMap<u32, f64>),
    AtRandom,
    /// All that were graded.
    All,
    Otherwise,
}

impl How {
    fn word(&self) -> &'static str {
        match self {
            Self::ByChance(_) => "queue",
            Self::AtRandom => "random",
            Self::All => "all",
            Self::Otherwise => "other",
        }
    }
}

impl Basis {
    fn of(
        run: &Collected,
        graded: &Graded,
        labels: &[HumanLabel],
        all: &Labelled,
        chosen: Chosen,
    ) -> Self {
        let whole = |how| Self {
            labelled: all.clone(),
            how,
            left_out: 0,
        };
        match chosen {
            Chosen::AtRandom => return whole(How::AtRandom),
            Chosen::Otherwise => return whole(How::Otherwise),
            Chosen::AsRecorded => {}
        }
        let judged = graded.cells().filter(|(_, cell)| cell.passed().is_some());
        if all.items.len() == judged.count() {
            return whole(How::All);
        }
        let with_verdict: HashMap<u32, usize> = (0..)
            .zip(&all.items)
            .map(|(at, (item, _))| (*item, at))
            .collect();
        let mut queues: BTreeMap<&QueueId, HashMap<u32, f64>> = BTreeMap::new();
        for label in labels {
            let Some(asked) = &label.asked else { continue };
            let item = run.item(&label.item_id);
            if let Some(item) = item.filter(|item| with_verdict.contains_key(item)) {
                let chances = queues.entry(&asked.queue).or_default();
                let chance = chances.entry(item).or_insert(asked.chance);
                *chance = chance.max(asked.chance);
            }
        }
        let longest = queues.into_iter().max_by_key(|(_, chances)| chances.len());
        let others = |from_queue: usize| all.items.len() - from_queue;
        let Some((queue, chances)) = longest
            .filter(|(_, chances)| chances.len() >= FROM_QUEUE_MIN || others(chances.len()) == 0)
        else {
            return whole(How::Otherwise);
        };
        Self {
            labelled: all.only(|item| chances.contains_key(&item)),
            left_out: others(chances.len()),
            how: match queue.by {
                DrawnBy::Chance => How::AtRandom,
                DrawnBy::Doubt => How::ByChance(queue::on_one_scale(graded, queue.by, &chances)),
            },
        }
    }

    /// Returns how the judge does. What was asked for by doubt is weighted: else the judge would look worse
    /// than it is. So is what a stratum has more of in the sample than in the population.
    fn against_humans(
        &self,
        run: &Collected,
        graded: &Graded,
        options: &CalibrateOptions,
    ) -> Result<Agreement, Refusal> {
        let Labelled { judged, items, .. } = &self.labelled;
        let (level, seed) = (options.level, options.seed);
        let asked = |item: &u32| match &self.how {
            How::ByChance(chances) => chances[item],
            How::AtRandom | How::All | How::Otherwise => 1.0,
        };
        if matches!(self.how, How::Otherwise)
            || matches!(self.how, How::AtRandom | How::All) && !run.is_stratified()
        {
            return against_humans(judged, level, seed);
        }
        let drawn = drawn_of_strata(run, graded)?;
        let of_stratum = |item: &u32| run.stratum(*item).map_or(1.0, |stratum| drawn[stratum]);
        let chances = items.iter().map(|(item, _)| asked(item) * of_stratum(item));
        let chances: Vec<f64> = chances.collect();
        against_humans_by_chance(judged, &chances, level, seed)
    }
}

/// Returns which share of each stratum was judged, the largest being 1; all are 1 where nothing is weighted.
fn drawn_of_strata(run: &Collected, graded: &Graded) -> Result<Vec<f64>, Refusal> {
    if !run.is_stratified() {
        return Ok(vec![1.0; run.strata().len()]);
    }
    let strata = Sample::of(run, |item| Said::pass(&graded.cell(item))).strata()?;
    let shares: Vec<f64> = strata
        .iter()
        .map(|stratum| {
            let n = stratum.sample.as_ref().map_or(0, |rows| rows.n());
            n as f64 / stratum.population.max(1) as f64
        })
        .collect();
    let most = shares.iter().copied().fold(0.0, f64::max);
    Ok(shares.into_iter().map(|share| share / most).collect())
}

/// What people say of traces, beside what the grader says.
#[derive(Clone)]
struct Labelled {
    judged: Vec<Judged>,
    /// The item of each, in the same order.
    items: Vec<(u32, bool)>,
    /// Items with two labels or more: those of the first two authors by name.
    doubles: Vec<Labels>,
    without_verdict: usize,
    disputed: usize,
}

impl Labelled {
    fn of(run: &Collected, graded: &Graded, labels: &[HumanLabel]) -> Self {
        let mut by_item: BTreeMap<&str, BTreeMap<&str, bool>> = BTreeMap::new();
        for label in labels {
            let of_item = by_item.entry(&label.item_id).or_default();
            of_item.insert(&label.author, label.passed);
        }
        let mut labelled = Self {
            judged: Vec::new(),
            items: Vec::new(),
            doubles: Vec::new(),
            without_verdict: 0,
            disputed: 0,
        };
        for (id, authors) in by_item {
            let item = run.item(id);
            let group = item.and_then(|item| run.group(item));
            let mut said = authors.values().copied();
            if let (Some(first), Some(second)) = (said.next(), said.next()) {
                labelled.doubles.push(Labels {
                    first: u32::from(first),
                    second: u32::from(second),
                    group,
                });
            }
            let yes = authors.values().filter(|passed| **passed).count();
            if 2 * yes == authors.len() {
                labelled.disputed += 1;
                continue;
            }
            let human = 2 * yes > authors.len();
            let verdict = item.and_then(|item| Some((item, graded.cell(item).passed()?)));
            let Some((item, judge)) = verdict else {
                labelled.without_verdict += 1;
                continue;
            };
            labelled.items.push((item, human));
            labelled.judged.push(Judged {
                judge: judge > 0.5,
                human,
                group,
            });
        }
        labelled
    }

    /// Returns those of some items.
    fn only(&self, is_meant: impl Fn(u32) -> bool) -> Self {
        let kept = self.items.iter().zip(&self.judged);
        let kept = kept.filter(|((item, _), _)| is_meant(*item));
        let (items, judged) = kept.map(|(item, judged)| (*item, *judged)).unzip();
        Self {
            judged,
            items,
            ..self.clone()
        }
    }
}

impl From<Confusion> for ConfusionMatrix {
    fn from(counts: Confusion) -> Self {
        Self {
            both_pass: counts.true_positive,
            only_judge_passes: counts.false_positive,
            only_people_pass: counts.false_negative,
            both_fail: counts.true_negative,
        }
    }
}

/// Returns whether the judge may be called calibrated, and if not what is missing.
fn standing(labelled: &Labelled, found: Option<&Agreement>) -> (bool, String) {
    let n = labelled.judged.len();
    let mut missing = Vec::new();
    if n < LABELS_MIN {
        missing.push(format!("{n} labelled traces of the {LABELS_MIN} it takes"));
    }
    if let Some(found) = found {
        let figures = [
            ("sensitivity", &found.sensitivity, RATE_TARGET),
            ("specificity", &found.specificity, RATE_TARGET),
            ("κ", &found.kappa, KAPPA_TARGET),
        ];
        for (name, figure, target) in figures {
            match figure {
                Ok(figure) if figure.estimate >= target => {}
                Ok(figure) => missing.push(format!(
                    "{name} is {}, below {target}",
                    decimal(figure.estimate, 2)
                )),
                Err(why) => missing.push(format!("{name} is not known: {why}")),
            }
        }
    }
    match missing.is_empty() {
        true => (true, format!("calibrated on {n} labelled traces")),
        false => (false, format!("uncalibrated: {}", missing.join("; "))),
    }
}
