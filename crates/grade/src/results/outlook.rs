//! What could a run of so many traces see? Said before it is paid for.
//!
//! From the last run come how much single traces vary and how alike those of a group are. Two runs of the
//! planned size that nothing pairs would find a difference of the size named in four of five cases; runs
//! over the same tasks find smaller ones.

use serde::Serialize;
use stats::{Figure, Level, Refusal, power};
use utoipa::ToSchema;

use super::figure::{decimal, significant};
use super::sample::Sample;

/// A run that is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// How many traces it grades.
    pub traces: u64,
    /// In how many groups they are; as many a group as in the last run if nobody knows.
    pub groups: Option<u64>,
}

/// What a run of so many traces can see.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[non_exhaustive]
pub struct Outlook {
    /// How many traces.
    pub traces: u64,
    /// In how many groups.
    pub groups: u64,
    /// The smallest difference between two such runs that is found in four of five cases: as 0.11 for 11
    /// points of a rate, in the grader's own scale for numbers.
    pub detectable: f64,
    /// The variance of single traces in the last run.
    pub variance: f64,
    /// How alike traces of one group were: 0 not at all, 1 all the same.
    pub likeness: f64,
    /// By how much the variance of the whole was larger for the way in which single traces were drawn: of
    /// parts, more of one than its share.
    #[serde(skip)]
    drawn: f64,
    /// Whether it is about a rate.
    pub is_rate: bool,
    /// Whether its numbers have no scale of which hundredths could be told.
    #[serde(skip)]
    is_open: bool,
    /// The same in words.
    pub sentence: String,
}

impl Outlook {
    /// Returns what another run would see.
    pub fn of_plan(&self, plan: Plan, level: Level) -> Result<Self, Refusal> {
        if plan.traces == 0 {
            return Err(Refusal::Empty);
        }
        let as_before = || plan.traces as f64 * self.groups as f64 / self.traces as f64;
        let groups = plan.groups.map_or_else(as_before, |groups| groups as f64);
        let groups = groups.round().clamp(1.0, plan.traces as f64);
        let in_group = plan.traces as f64 / groups;
        let design_effect = self.drawn * (1.0 + (in_group - 1.0) * self.likeness);
        // two runs, each with its own error
        let error = power::paired_error(2.0 * design_effect * self.variance, plan.traces)?;
        let detectable = power::detectable(error, level);
        Ok(Self {
            traces: plan.traces,
            groups: groups as u64,
            detectable,
            sentence: self.sentence(plan.traces, groups as u64, detectable),
            ..self.clone()
        })
    }

    fn of_last(
        figure: Figure,
        variance: f64,
        level: Level,
        (is_rate, is_open): (bool, bool),
    ) -> Result<Self, Refusal> {
        let in_group = figure.n as f64 / figure.groups as f64;
        let (likeness, drawn) = match in_group > 1.0 {
            true => {
                let likeness = (figure.design_effect - 1.0) / (in_group - 1.0);
                (likeness.clamp(0.0, 1.0), 1.0)
            }
            false => (0.0, figure.design_effect),
        };
        let last = Self {
            traces: figure.n as u64,
            groups: figure.groups as u64,
            detectable: 0.0,
            variance,
            likeness,
            drawn,
            is_rate,
            is_open,
            sentence: String::new(),
        };
        let plan = Plan {
            traces: last.traces,
            groups: Some(last.groups),
        };
        last.of_plan(plan, level)
    }

    fn sentence(&self, traces: u64, groups: u64, detectable: f64) -> String {
        let in_groups = if groups == 1 { "group" } else { "groups" };
        let who = match (traces, groups < traces) {
            (1, _) => "1 trace sees".to_owned(),
            (_, false) => format!("{traces} traces see"),
            (_, true) => format!("{traces} traces in {groups} {in_groups} see"),
        };
        if self.is_rate && detectable > 1.0 {
            return format!("{who} no change, however large.");
        }
        let change = match self.is_open {
            true => significant(detectable),
            false => size(detectable, self.is_rate),
        };
        format!("{who} a change of {change} or more.")
    }
}

/// What a run like this one would see of a rate.
pub(super) fn of_rates(passes: &Sample<'_>) -> Option<Outlook> {
    let figure = passes.rate().ok()?;
    let variance = figure.estimate * (1.0 - figure.estimate);
    // a rate of 0 or 1 shows no spread, and nothing can be foretold from it
    (variance > 0.0)
        .then(|| Outlook::of_last(figure, variance, passes.level(), (true, false)).ok())?
}

/// What a run like this one would see of numbers; of open ones nobody knows how large they can be.
pub(super) fn of_scores(scores: &Sample<'_>, is_open: bool) -> Option<Outlook> {
    let figure = scores.mean().ok()?;
    let variance = scores.variance()?;
    (variance > 0.0)
        .then(|| Outlook::of_last(figure, variance, scores.level(), (false, is_open)).ok())?
}

/// Returns the size of a difference in words: `11 points`, `0.30`.
pub(crate) fn size(difference: f64, is_rate: bool) -> String {
    if !is_rate {
        return decimal(difference, 2);
    }
    let points = difference * 100.0;
    let places = usize::from(points.abs() < 9.95);
    let text = decimal(points, places);
    format!("{} points", text.strip_suffix(".0").unwrap_or(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(likeness: f64) -> Outlook {
        Outlook {
            traces: 300,
            groups: 100,
            detectable: 0.0,
            variance: 0.16,
            likeness,
            drawn: 1.0,
            is_rate: true,
            is_open: false,
            sentence: String::new(),
        }
    }

    fn plan(traces: u64, groups: Option<u64>) -> Plan {
        Plan { traces, groups }
    }

    #[test]
    fn a_plan_says_what_it_will_see() {
        let seen = last(0.0).of_plan(plan(200, None), Level::P95).unwrap();
        // (1.96 + 0.8416)·√(2·0.16/200)
        assert!(
            (seen.detectable - 0.112_06).abs() < 1e-4,
            "{}",
            seen.detectable
        );
        assert_eq!(
            seen.sentence,
            "200 traces in 67 groups see a change of 11 points or more."
        );
        let alike = last(1.0).of_plan(plan(200, Some(50)), Level::P95).unwrap();
        assert!((alike.detectable / seen.detectable - 2.0).abs() < 1e-9);
        let few = last(1.0).of_plan(plan(4, Some(1)), Level::P95).unwrap();
        assert_eq!(
            few.sentence,
            "4 traces in 1 group see no change, however large."
        );
        assert!(last(0.0).of_plan(plan(0, None), Level::P95).is_err());
    }

    #[test]
    fn a_sample_that_was_drawn_in_parts_sees_what_its_parts_let_it_see() {
        use super::super::made::{builder, facts, grade, passed};
        use crate::scale::GraderScale;

        let strata = [("common", 98_000), ("rare", 2_000)];
        let mut builder = builder(&[facts("goal", GraderScale::PassFail)], &strata);
        for at in 0..500 {
            let mut grade = grade("goal", &format!("t{at}"), passed(at % 10 > 0));
            grade.stratum = Some(strata[at / 5 % 2].0.to_owned());
            builder.add(&grade);
        }
        let results = builder.finish();
        let of_grader = &results.by_grader["goal"];
        let outlook = of_grader.outlook.as_ref().unwrap();
        let half = of_grader.pass_rate_figure.as_ref().unwrap();
        let width = half.interval[1].unwrap() - half.interval[0].unwrap();
        // (1.96 + 0.8416)·√2 of the standard error, which is nearly a quarter of the interval
        let error = width / 2.0 / 1.96;
        assert!(
            (outlook.detectable / (2.8016 * 2.0_f64.sqrt() * error) - 1.0).abs() < 0.05,
            "{outlook:?} {half:?}"
        );
    }

    #[test]
    fn a_change_of_numbers_without_a_scale_is_told_however_small() {
        let costs = Outlook {
            variance: 1e-6,
            is_rate: false,
            is_open: true,
            ..last(0.0)
        };
        let seen = costs.of_plan(plan(200, Some(200)), Level::P95).unwrap();
        assert_eq!(
            seen.sentence,
            "200 traces see a change of 0.000280 or more."
        );
    }

    #[test]
    fn more_traces_never_see_less() {
        let mut before = f64::INFINITY;
        for traces in [10, 50, 200, 1_000, 10_000] {
            let seen = last(0.3).of_plan(plan(traces, None), Level::P95).unwrap();
            assert!(seen.detectable < before);
            before = seen.detectable;
        }
    }
}
