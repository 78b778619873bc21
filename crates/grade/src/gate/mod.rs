//! May it pass? One answer for a pipeline, with an exit code.
//!
//! A fixed gate looks once, at the end. A sequential one may look after every trace: it bets against "worse
//! by no more than the margin", and money that cannot grow by luck is evidence at any time. Both have a
//! third answer besides pass and fail, and say what they could have seen.

mod examples;
mod fixed;
mod junit;
mod markdown;
mod question;
mod sequential;
mod stratified;

#[cfg(test)]
mod tests;

use serde::Serialize;
use stats::multiple::holm;
use utoipa::ToSchema;

use self::question::Asked;
use crate::compare::PairBy;
use crate::compare::both::{self, Both};
use crate::compare::pairing;
use crate::results::{Collected, FigureObject};

/// What a gate is told.
#[derive(Debug, Clone, PartialEq)]
pub struct GateOptions {
    /// δ: by how much the candidate may be worse: 0.02 is two points of a rate, or two hundredths of the
    /// scale of numbers.
    pub margin: f64,
    /// The chance to fail a candidate that is good enough, over all graders together; and to pass one that
    /// is not.
    pub alpha: f64,
    /// Whether somebody looks while traces still come, more than once.
    pub sequential: bool,
    /// Whether no more traces will come.
    pub is_over: bool,
    /// The share of grades without a verdict above which there is no answer.
    pub unscored_share_max: f64,
    /// What pairs items.
    pub pair_by: PairBy,
    /// Only graders of these names or ids; all that both runs have if there are none.
    pub graders: Vec<String>,
    /// Fixes random permutations.
    pub seed: u64,
}

impl Default for GateOptions {
    fn default() -> Self {
        Self {
            margin: 0.02,
            alpha: 0.05,
            sequential: false,
            is_over: true,
            unscored_share_max: crate::results::UNSCORED_SHARE_MAX,
            pair_by: PairBy::default(),
            graders: Vec::new(),
            seed: 0,
        }
    }
}

/// What a gate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GateVerdict {
    /// The candidate is shown to be worse by less than the margin.
    Pass,
    /// It is shown to be worse by more.
    Fail,
    /// Neither is shown.
    Inconclusive,
    /// The question could not be asked.
    Error,
}

impl GateVerdict {
    /// Returns the word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Inconclusive => "inconclusive",
            Self::Error => "error",
        }
    }

    /// Returns the exit code: 0 pass, 1 fail, 2 inconclusive, 3 error.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Fail => 1,
            Self::Inconclusive => 2,
            Self::Error => 3,
        }
    }
}

/// What a gate says and why.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[non_exhaustive]
pub struct GateReport {
    /// What it says.
    pub verdict: GateVerdict,
    /// The exit code: 0 pass, 1 fail, 2 inconclusive, 3 error.
    pub exit_code: u8,
    /// The same in words.
    pub sentence: String,
    /// By how much the candidate may be worse.
    pub margin: f64,
    /// The chance of a false alarm over all graders.
    pub alpha: f64,
    /// Whether it may be looked at while traces still come.
    pub sequential: bool,
    /// Whether no more traces will come.
    pub is_over: bool,
    /// Each grader's part in it.
    pub graders: Vec<GateGrader>,
    /// Three traces that explain it: the worst losses.
    pub examples: Vec<Regression>,
}

/// A grader's part in a gate.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[non_exhaustive]
pub struct GateGrader {
    /// The grader's name.
    pub grader: String,
    /// What is gated by: `pass_rate`, or `score` for numbers on the grader's own scale; empty where the
    /// question could not be asked.
    pub metric: String,
    /// What it says.
    pub verdict: GateVerdict,
    /// The same in words.
    pub sentence: String,
    /// The sentence without the grader's name and the verdict.
    #[serde(skip)]
    pub(crate) detail: String,
    /// How it was decided, in words.
    pub method: String,
    /// The baseline by itself.
    pub baseline: Option<FigureObject>,
    /// The candidate by itself.
    pub candidate: Option<FigureObject>,
    /// Candidate − baseline.
    pub difference: Option<FigureObject>,
    /// The chance to see this if the candidate were worse by the margin only.
    pub p_value: Option<f64>,
    /// The same, adjusted for the number of graders.
    pub p_adjusted: Option<f64>,
    /// Money made by betting that it is worse; of sequential gates.
    pub e_value: Option<f64>,
    /// The lower bound of the difference: above −margin it passes. On the grader's scale, as the difference.
    pub lower_bound: Option<f64>,
    /// The smallest difference that would have been found in four of five cases.
    pub detectable: Option<f64>,
    /// Pairs, groups or traces that were compared.
    pub units: usize,
    /// Grades of the candidate without a verdict.
    pub unscored: u64,
}

/// A trace that got worse.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Regression {
    /// The candidate's trace.
    pub trace_id: String,
    /// The baseline's that it was compared with.
    pub baseline_trace_id: Option<String>,
    /// The grader.
    pub grader: String,
    /// What the baseline got.
    pub baseline: Option<f64>,
    /// What the candidate got.
    pub candidate: f64,
}

/// Returns whether the candidate may pass.
///
/// It fails if a grader shows it to be worse by more than the margin, with chances adjusted for the number
/// of graders (Holm); it passes if every grader shows it to be worse by less. A grader that cannot be asked
/// is an error, and so is one that gave too few verdicts.
pub fn gate(baseline: &Collected, candidate: &Collected, options: &GateOptions) -> GateReport {
    if let Some(wrong) = wrong_options(options) {
        return GateReport::error(options, Vec::new(), wrong);
    }
    let (both, missing) = both::graders(baseline, candidate, &options.graders);
    let mut graders: Vec<GateGrader> = missing
        .into_iter()
        .map(|it| GateGrader::error(&it.name, &it.why))
        .collect();
    let by = pairing::choose(baseline, candidate, options.pair_by);
    let mut asked: Vec<(Both<'_>, Asked<'_>, Evidence)> = Vec::new();
    for grader in both {
        match Asked::of([baseline, candidate], grader, by, options) {
            Ok(None) => {}
            Ok(Some(question)) => match evidence(&question, options) {
                Ok(evidence) => asked.push((grader, question, evidence)),
                Err(why) => graders.push(GateGrader::error(question.name(), &why)),
            },
            Err(why) => graders.push(GateGrader::error(&grader.candidate.facts.name, &why)),
        }
    }
    let p_values: Vec<f64> = asked.iter().map(|(_, _, it)| it.p_value).collect();
    // p values are p values, so none is refused; without adjustment nothing fails
    let adjusted = holm(&p_values).unwrap_or_else(|_| vec![1.0; p_values.len()]);
    let count = p_values.len();
    let found: Vec<(Asked<'_>, GateGrader)> = asked
        .into_iter()
        .zip(adjusted)
        .map(|((_, question, evidence), p)| {
            let grader = evidence.judged(&question, (p, count), options);
            (question, grader)
        })
        .collect();
    let examples = examples::of(&found);
    graders.extend(found.into_iter().map(|(_, grader)| grader));
    GateReport::of(options, graders, examples)
}

/// What was found of one grader, before it is known how many there are.
struct Evidence {
    /// Of a loss larger than the margin.
    p_value: f64,
    /// Whether a loss of the margin is ruled out.
    is_ruled_out: bool,
    e_value: Option<f64>,
    lower_bound: Option<f64>,
    baseline: Option<FigureObject>,
    candidate: Option<FigureObject>,
    difference: Option<FigureObject>,
    detectable: Option<f64>,
    units: usize,
    method: String,
}

fn evidence(question: &Asked<'_>, options: &GateOptions) -> Result<Evidence, String> {
    let found = match options.sequential {
        true => sequential::evidence(question, options),
        false => fixed::evidence(question, options),
    };
    found.map_err(|refusal| refusal.to_string())
}

fn wrong_options(options: &GateOptions) -> Option<String> {
    if !(0.0..1.0).contains(&options.margin) {
        return Some(format!(
            "the margin is from 0 to below 1, not {}",
            options.margin
        ));
    }
    if !(options.alpha > 0.0 && options.alpha < 0.5) {
        return Some(format!("alpha is between 0 and 0.5, not {}", options.alpha));
    }
    let share = options.unscored_share_max;
    (!(0.0..=1.0).contains(&share))
        .then(|| format!("the share without a verdict is from 0 to 1, not {share}"))
}

impl GateGrader {
    fn error(name: &str, why: &str) -> Self {
        Self {
            grader: name.to_owned(),
            metric: String::new(),
            verdict: GateVerdict::Error,
            sentence: format!("{name}: error: {why}."),
            detail: why.to_owned(),
            method: String::new(),
            baseline: None,
            candidate: None,
            difference: None,
            p_value: None,
            p_adjusted: None,
            e_value: None,
            lower_bound: None,
            detectable: None,
            units: 0,
            unscored: 0,
        }
    }
}

impl GateReport {
    fn of(options: &GateOptions, graders: Vec<GateGrader>, examples: Vec<Regression>) -> Self {
        let some = |verdict| graders.iter().any(|it| it.verdict == verdict);
        let verdict = if graders.is_empty() || some(GateVerdict::Error) {
            GateVerdict::Error
        } else if some(GateVerdict::Fail) {
            GateVerdict::Fail
        } else if some(GateVerdict::Inconclusive) {
            GateVerdict::Inconclusive
        } else {
            GateVerdict::Pass
        };
        let sentence = match graders.as_slice() {
            [] => "error: the runs have no grader in common that can be gated by.".to_owned(),
            [one] => one.sentence.clone(),
            all => {
                let so = all.iter().filter(|it| it.verdict == verdict);
                let names: Vec<&str> = so.map(|it| it.grader.as_str()).collect();
                let word = verdict.word();
                format!(
                    "{word}: {} of {} graders ({}).",
                    names.len(),
                    all.len(),
                    names.join(", ")
                )
            }
        };
        Self {
            verdict,
            exit_code: verdict.exit_code(),
            sentence,
            margin: options.margin,
            alpha: options.alpha,
            sequential: options.sequential,
            is_over: options.is_over,
            graders,
            examples,
        }
    }

    fn error(options: &GateOptions, graders: Vec<GateGrader>, why: String) -> Self {
        let report = Self::of(options, graders, Vec::new());
        Self {
            sentence: format!("error: {why}."),
            ..report
        }
    }

    /// Returns it as JUnit's XML, a test case for each grader.
    pub fn to_junit(&self) -> String {
        junit::written(self)
    }

    /// Returns it as Markdown for a pull request.
    pub fn to_markdown(&self) -> String {
        markdown::written(self)
    }
}
