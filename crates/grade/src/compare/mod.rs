//! Is the candidate better than the baseline? Each grader's answer, its test in words, and one sentence.
//!
//! Whatever can be paired is paired, for the same task done twice says more than two tasks do. Else whole
//! groups are the units, and stratified samples are weighted. Every grader asks a question of its own, so
//! p values are adjusted for their number (Holm). "Not shown" is not "not there": where nothing is found
//! the sentence says what could have been.

pub(crate) mod both;
pub(crate) mod pairing;
pub(crate) mod tested;
pub(crate) mod words;

#[cfg(test)]
mod tests;

use serde::Serialize;
use stats::compare::Question;
use stats::multiple::holm;
use stats::{Level, Refusal};
use utoipa::ToSchema;

use self::both::{Both, Metric};
use self::pairing::{By, Sides};
use crate::results::{Collected, FigureObject, Withheld};

/// By what the items of two runs find their partners.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PairBy {
    /// By the keys given to [`Collected::set_keys`] if there are any, else by item if both runs graded the
    /// same ones, else by group if both have the same ones, else not at all.
    #[default]
    Anything,
    /// By item: both runs graded the same traces or cases.
    Item,
    /// By group.
    Group,
    /// By the keys given to [`Collected::set_keys`].
    Key,
    /// Not at all.
    Nothing,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct CompareOptions {
    /// What pairs items.
    pub pair_by: PairBy,
    /// How much worse the candidate may be: 0.02 is two points of a rate, or two hundredths of the scale of
    /// numbers. Nothing if that is not asked.
    pub margin: Option<f64>,
    /// Only graders of these names or ids; all that both runs have if there are none.
    pub graders: Vec<String>,
    /// How often intervals are to hold the truth; what is left is the chance of a false alarm.
    pub level: Level,
    /// Fixes random permutations.
    pub seed: u64,
    /// Whether graders are compared that are not the same in both runs: then it is the graders that are
    /// compared, and not what they graded.
    pub allow_changed_graders: bool,
}

impl Default for CompareOptions {
    fn default() -> Self {
        Self {
            pair_by: PairBy::default(),
            margin: None,
            graders: Vec::new(),
            level: Level::P95,
            seed: 0,
            allow_changed_graders: false,
        }
    }
}

/// What a comparison comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The candidate is better.
    Better,
    /// It is worse.
    Worse,
    /// It is worse by less than the margin, if at all.
    NotWorse,
    /// The share of a label has changed, and nobody said which labels are good.
    Changed,
    /// These traces do not tell.
    CannotTell,
}

/// Two runs compared.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[non_exhaustive]
pub struct Comparison {
    /// Worse if a grader finds it worse; else better if one finds it better; not worse if all find that.
    pub verdict: Standing,
    /// The same in words.
    pub sentence: String,
    /// The margin that was asked about.
    pub margin: Option<f64>,
    /// The chance of a false alarm over all graders together.
    pub alpha: f64,
    /// Each grader's answer.
    pub graders: Vec<GraderComparison>,
}

/// What one grader says of two runs.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[non_exhaustive]
pub struct GraderComparison {
    /// The grader's name.
    pub grader: String,
    /// `pass_rate`, `score`, or `share of` a label.
    pub metric: String,
    /// What it comes to.
    pub verdict: Standing,
    /// The same in words, with the size and what could have been seen.
    pub sentence: String,
    /// Which test was used and why, in words.
    pub method: String,
    /// The figures; null where there are none, and `refused` says why.
    pub tested: Option<Tested>,
    /// Why nothing can be said.
    pub refused: Option<String>,
}

/// The figures of a comparison. Differences are candidate − baseline.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[non_exhaustive]
pub struct Tested {
    /// `paired`, `paired_strata`, `groups`, `ranks` or `strata`.
    pub design: &'static str,
    /// The baseline by itself: its rate or mean, or its median where ranks were compared.
    pub baseline: FigureObject,
    /// The candidate by itself.
    pub candidate: FigureObject,
    /// The difference.
    pub difference: FigureObject,
    /// The chance of a difference as large if nothing had changed.
    pub p_value: f64,
    /// The same, adjusted for the number of graders.
    pub p_adjusted: f64,
    /// Whether all arrangements were counted, and not 20,000 random ones.
    pub exact: bool,
    /// McNemar's exact p value, of pairs of single passes and fails.
    pub mcnemar: Option<f64>,
    /// The chance that a candidate's number is above a baseline's, ties counted half; of ranks.
    pub probability_greater: Option<FigureObject>,
    /// By what part it has changed, as 0.2 for a fifth more.
    pub relative: Option<FigureObject>,
    /// The lower end of the one-sided interval of the difference; null if no value bounds it.
    pub lower_bound: Option<f64>,
    /// Whether it is worse by less than the margin; null if none was asked.
    pub not_worse: Option<bool>,
    /// The smallest difference that would have been found in four of five cases.
    pub detectable: f64,
    /// Items that found no partner and were left out.
    pub unpaired: usize,
    /// Figures that are null, and why.
    pub withheld: Withheld,
}

/// Compares two runs.
pub fn compare(
    baseline: &Collected,
    candidate: &Collected,
    options: &CompareOptions,
) -> Comparison {
    let (both, missing) = both::graders(baseline, candidate, &options.graders);
    // 1 − 0.95 is not the number that 0.05 is
    let alpha = (options.level.alpha() * 1e12).round() / 1e12;
    let by = pairing::choose(baseline, candidate, options.pair_by);
    let mut open = Vec::new();
    let mut graders: Vec<GraderComparison> = missing
        .into_iter()
        .map(|it| GraderComparison::refused(it.name, "", &it.why))
        .collect();
    for grader in both {
        let name = &grader.candidate.facts.name;
        if let Some(why) = grader.says_itself() {
            graders.push(GraderComparison::refused(name.clone(), "", why));
            continue;
        }
        match grader.change() {
            Some(change) if !options.allow_changed_graders => {
                let why = format!(
                    "{change}, and a change of the grader looks like one of what it grades: grade both runs with one version"
                );
                graders.push(GraderComparison::refused(name.clone(), "", &why));
            }
            _ => open.extend(
                grader
                    .metrics(baseline, candidate)
                    .into_iter()
                    .map(|metric| Open::of([baseline, candidate], grader, metric, by, options)),
            ),
        }
    }
    adjust(&mut open);
    graders.extend(open.into_iter().map(|it| it.finish(alpha)));
    let (verdict, sentence) = words::together(&graders);
    Comparison {
        verdict,
        sentence,
        margin: options.margin,
        alpha,
        graders,
    }
}

/// What is said of comparisons of runs that may stop by what they show.
const TOO_SURE: &str = " A run that is compared here may stop early by what it shows, so its intervals and p values are too sure: a sequential gate's are not.";

/// A comparison before it is known how many there are.
struct Open {
    name: String,
    metric: Metric,
    /// On the grader's scale.
    margin: Option<f64>,
    by: By,
    may_stop: bool,
    outcome: Result<(tested::Outcome, Tested), Refusal>,
}

impl Open {
    fn of(
        runs: [&Collected; 2],
        grader: Both<'_>,
        metric: Metric,
        by: By,
        options: &CompareOptions,
    ) -> Self {
        let scale = &grader.baseline.facts.scale;
        let margin = options
            .margin
            .and_then(|share| metric.on_scale(scale, share));
        let question = Question {
            level: options.level,
            margin,
            seed: options.seed,
        };
        let mut sides = Sides::of(runs, grader, &metric, by);
        if !runs.iter().any(|run| run.is_stratified()) {
            sides.average_groups();
        }
        let outcome = tested::test(runs, grader, &metric, &sides, &question);
        Self {
            name: grader.candidate.facts.name.clone(),
            metric,
            margin,
            by: sides.by,
            may_stop: runs.iter().any(|run| run.may_stop()),
            outcome: outcome.map(|outcome| {
                let tested = outcome.tested();
                (outcome, tested)
            }),
        }
    }

    fn finish(self, alpha: f64) -> GraderComparison {
        let metric = self.metric.name();
        match self.outcome {
            Err(why) => GraderComparison::refused(self.name, &metric, &why.to_string()),
            Ok((outcome, tested)) => {
                let verdict = words::standing(&self.metric, &tested, alpha);
                GraderComparison {
                    sentence: words::sentence(
                        &self.name,
                        &self.metric,
                        &tested,
                        verdict,
                        self.margin,
                    ),
                    method: match self.may_stop {
                        true => words::method(&outcome, self.by) + TOO_SURE,
                        false => words::method(&outcome, self.by),
                    },
                    grader: self.name,
                    metric,
                    verdict,
                    tested: Some(tested),
                    refused: None,
                }
            }
        }
    }
}

/// Adjusts p values for their number: Holm's.
fn adjust(open: &mut [Open]) {
    let found = || open.iter().filter_map(|it| it.outcome.as_ref().ok());
    let p_values: Vec<f64> = found().map(|(_, tested)| tested.p_value).collect();
    // a p value is one, so none is refused
    let Ok(adjusted) = holm(&p_values) else {
        return;
    };
    let tested = open.iter_mut().filter_map(|it| it.outcome.as_mut().ok());
    for ((_, tested), p) in tested.zip(adjusted) {
        tested.p_adjusted = p;
    }
}

impl GraderComparison {
    fn refused(grader: String, metric: &str, why: &str) -> Self {
        Self {
            sentence: format!("{grader}: nothing can be said: {why}."),
            grader,
            metric: metric.to_owned(),
            verdict: Standing::CannotTell,
            method: String::new(),
            tested: None,
            refused: Some(why.to_owned()),
        }
    }
}
