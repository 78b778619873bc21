//! What a gate asks of one grader, and how its answer is put into words.

use super::{Evidence, GateGrader, GateOptions, GateVerdict};
use crate::compare::both::{Both, Metric};
use crate::compare::pairing::{By, Pair, Sides};
use crate::compare::words::{interval, interval_of_loss, p_value};
use crate::results::{Collected, Graded, Sample};
use crate::scale::GraderScale;

/// A grader that can be gated by.
pub(super) struct Asked<'a> {
    pub(super) runs: [&'a Collected; 2],
    pub(super) grader: Both<'a>,
    pub(super) metric: Metric,
    pub(super) sides: Sides,
    /// δ on the grader's scale.
    pub(super) margin: f64,
    /// What one means on it: 1 for rates, its length for numbers.
    pub(super) unit: f64,
    /// The lowest value.
    pub(super) low: f64,
    pub(super) unscored: u64,
}

impl<'a> Asked<'a> {
    /// Returns the question; nothing if the grader says neither good nor bad and nobody asked for it, and
    /// why if there can be no answer.
    pub(super) fn of(
        runs: [&'a Collected; 2],
        grader: Both<'a>,
        by: By,
        options: &GateOptions,
    ) -> Result<Option<Self>, String> {
        if let Some(why) = grader.says_itself() {
            return match options.graders.is_empty() {
                true => Ok(None),
                false => Err(why.to_owned()),
            };
        }
        let scale = &grader.baseline.facts.scale;
        let (metric, low, unit) = match (scale, scale.range()) {
            _ if scale.decides() => (Metric::PassRate, 0.0, 1.0),
            (GraderScale::Number { .. }, Some((low, high))) if high > low => {
                (Metric::Score, low, high - low)
            }
            _ if options.graders.is_empty() => return Ok(None),
            _ => {
                let why = "it says neither good nor bad, and its scale has no ends: give it a pass threshold";
                return Err(why.to_owned());
            }
        };
        if let Some(change) = grader.change() {
            return Err(format!(
                "{change}, and a change of the grader looks like one of what it grades: grade both runs with one version"
            ));
        }
        if !options.sequential && runs.iter().any(|run| run.may_stop()) {
            let why = "one of the runs may stop early by what it shows, and a gate that looks once would not hold of it: ask by a sequential gate";
            return Err(why.to_owned());
        }
        let mut sides = Sides::of(runs, grader, &metric, by);
        let is_weighted = runs.iter().any(|run| run.is_stratified());
        if !is_weighted {
            sides.average_groups();
        }
        let are_parts_known = runs.iter().all(|run| run.is_stratified());
        if options.sequential && is_weighted && !are_parts_known && !sides.pairs_items() {
            let why = "only one of the runs was drawn in parts and nothing pairs them, so nobody knows of which part the other's traces are: pair them by a key, or ask at the end by a gate that is not sequential";
            return Err(why.to_owned());
        }
        if sides.without_key > 0 && (sides.baseline.is_empty() || sides.candidate.is_empty()) {
            return Err("nothing of it has a key to be paired by".to_owned());
        }
        if sides.baseline.is_empty() {
            return Err("there is no baseline: it has no verdict of this grader".to_owned());
        }
        if options.is_over && sides.candidate.is_empty() {
            return Err("the candidate has no verdict of this grader".to_owned());
        }
        for (who, graded) in [
            ("the baseline", grader.baseline),
            ("the candidate", grader.candidate),
        ] {
            too_many_unscored(who, graded, options)?;
        }
        Ok(Some(Self {
            runs,
            grader,
            metric,
            sides,
            margin: options.margin * unit,
            unit,
            low,
            unscored: unscored(grader.candidate).0,
        }))
    }

    /// Whether a run is a sample whose parts must be weighted.
    pub(super) fn is_weighted(&self) -> bool {
        self.runs.iter().any(|run| run.is_stratified())
    }

    pub(super) fn name(&self) -> &str {
        &self.grader.candidate.facts.name
    }

    /// What the baseline and the candidate got, as shares of the scale.
    pub(super) fn shares(&self, pair: &Pair) -> [f64; 2] {
        let share = |value: f64| ((value - self.low) / self.unit).clamp(0.0, 1.0);
        [share(pair.baseline), share(pair.candidate)]
    }

    pub(super) fn samples(&self) -> [Sample<'a>; 2] {
        crate::compare::tested::samples(self.runs, self.grader, &self.metric)
    }
}

/// Too many traces without a verdict matter when all have come: they may yet get one.
fn too_many_unscored(who: &str, graded: &Graded, options: &GateOptions) -> Result<(), String> {
    let (unscored, asked) = unscored(graded);
    let share = options.unscored_share_max;
    match options.is_over && unscored as f64 > share * asked as f64 {
        false => Ok(()),
        true => Err(format!(
            "{unscored} of {asked} traces of {who} have no verdict, more than {} %",
            crate::results::setting(share * 100.0)
        )),
    }
}

/// How many grades have no verdict, and of how many for which the question arises.
fn unscored(graded: &Graded) -> (u64, u64) {
    use model::Outcome::{NotApplicable, Unscored};
    let mut counts = (0, 0);
    for (_, cell) in graded.cells() {
        counts.0 += u64::from(cell.outcome() == Some(Unscored));
        counts.1 += u64::from(cell.outcome() != Some(NotApplicable));
    }
    counts
}

impl Evidence {
    /// Returns the grader's part in the verdict.
    pub(super) fn judged(
        self,
        question: &Asked<'_>,
        (p_adjusted, graders): (f64, usize),
        options: &GateOptions,
    ) -> GateGrader {
        let verdict = if p_adjusted <= options.alpha {
            GateVerdict::Fail
        } else if self.is_ruled_out {
            GateVerdict::Pass
        } else {
            GateVerdict::Inconclusive
        };
        let detail = self.detail(question, verdict, (p_adjusted, graders), options);
        GateGrader {
            grader: question.name().to_owned(),
            metric: question.metric.name(),
            verdict,
            sentence: format!("{}: {}: {detail}.", question.name(), verdict.word()),
            detail,
            method: self.method,
            baseline: self.baseline,
            candidate: self.candidate,
            difference: self.difference,
            p_value: Some(self.p_value),
            p_adjusted: Some(p_adjusted),
            e_value: self.e_value,
            lower_bound: self.lower_bound,
            detectable: self.detectable,
            units: self.units,
            unscored: question.unscored,
        }
    }

    /// Says that only the number of graders keeps this one from failing, if so.
    fn alone(&self, p_adjusted: f64, graders: usize, options: &GateOptions) -> String {
        match self.p_value <= options.alpha && p_adjusted > options.alpha {
            true => format!(
                ": alone this grader would fail it ({}), but {graders} graders were asked (Holm: {})",
                p_value(self.p_value),
                p_value(p_adjusted)
            ),
            false => String::new(),
        }
    }

    fn detail(
        &self,
        question: &Asked<'_>,
        verdict: GateVerdict,
        (p_adjusted, graders): (f64, usize),
        options: &GateOptions,
    ) -> String {
        let metric = &question.metric;
        let allowed = metric.size(question.margin);
        let Some(difference) = &self.difference else {
            return "nothing has come yet".to_owned();
        };
        let size = metric.size(difference.estimate);
        let at_once = interval(difference, metric);
        match verdict {
            GateVerdict::Pass => {
                format!("the difference is {size} {at_once}, and a loss of {allowed} is ruled out")
            }
            GateVerdict::Fail => format!(
                "worse by {} {}, more than the {allowed} allowed, {}",
                metric.size(-difference.estimate),
                interval_of_loss(difference, metric),
                p_value(p_adjusted)
            ),
            GateVerdict::Inconclusive | GateVerdict::Error => {
                let open = match options.is_over {
                    true => format!("a loss of {allowed} is neither shown nor ruled out"),
                    false => format!("no verdict yet after {} pairs", self.units),
                };
                let seen = self
                    .detectable
                    .map(|it| format!("; {}", metric.could_be_seen("a change", it)));
                let seen = seen.unwrap_or_default();
                let alone = self.alone(p_adjusted, graders, options);
                format!("the difference is {size} {at_once}, {open}{alone}{seen}")
            }
        }
    }
}
