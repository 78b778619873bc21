//! Versions of which weighted samples were taken.

use super::{Comparison, Design, Question, relative};
use crate::distribution::{normal_quantile, normal_tail, student_quantile, student_tail};
use crate::interval::newcombe;
use crate::strata::{self, Stratum, Weighted};
use crate::{Figure, Interval, Method, Refusal, power};

/// Compares two versions that were sampled by strata: weighted means, SE² = SE_A² + SE_B².
///
/// Intervals and p values are normal, or Student's where a variance is an estimate of its own (of groups, of
/// numbers), with Welch's degrees. Assumes that no group is in both versions. Refuses what
/// [`strata::estimate`] refuses for the whole.
pub fn compare_strata(
    a: &[Stratum],
    b: &[Stratum],
    question: &Question,
) -> Result<Comparison, Refusal> {
    let level = question.level;
    let (figure_a, figure_b) = (
        strata::estimate(a, level).overall?,
        strata::estimate(b, level).overall?,
    );
    let (of_a, of_b) = (strata::weighted(a)?, strata::weighted(b)?);
    let difference = of_b.estimate - of_a.estimate;
    let mut errors = Errors::of(&of_a, &of_b);
    // a sample too even to show any spread is as sure as the intervals of both versions
    let (ends, lower) = if errors.error > 0.0 {
        let half = errors.reach(level.upper());
        (
            (difference - half, difference + half),
            difference - errors.reach(level.get()),
        )
    } else {
        let one_sided = level.one_sided();
        let (low_a, low_b) = (
            strata::estimate(a, one_sided).overall?,
            strata::estimate(b, one_sided).overall?,
        );
        let ends = newcombe(&figure_a, &figure_b);
        errors.error = (ends.1 - ends.0) / (2.0 * normal_quantile(level.upper()));
        (ends, newcombe(&low_a, &low_b).0)
    };
    let alone = of_a.variance_alone() + of_b.variance_alone();
    let around = |estimate, interval| Figure {
        estimate,
        interval,
        n: of_a.n + of_b.n,
        groups: of_a.groups + of_b.groups,
        design_effect: if alone > 0.0 {
            (of_a.variance + of_b.variance) / alone
        } else {
            1.0
        },
    };
    let interval = Interval::new(ends, level, Method::Strata);
    let ratio = relative::of_moments(
        &figure_a,
        of_a.variance,
        figure_b.estimate,
        of_b.variance,
        level,
    );
    Ok(Comparison {
        design: Design::Strata,
        a: figure_a,
        b: figure_b,
        difference: around(difference, interval),
        p_value: (2.0 * errors.below(-difference.abs())).min(1.0),
        loss_p_value: question
            .margin
            .map(|margin| errors.below(difference + margin)),
        exact: false,
        mcnemar: None,
        probability_greater: None,
        relative: ratio
            .map(|interval| around(figure_b.estimate / figure_a.estimate - 1.0, interval)),
        lower_bound: lower,
        is_non_inferior: question.margin.map(|margin| lower > -margin),
        detectable: power::detectable(errors.error, level),
        unpaired: 0,
    })
}

/// How far off a difference may be.
struct Errors {
    error: f64,
    /// Nothing if the error is as good as known.
    freedom: Option<f64>,
}

impl Errors {
    fn of(a: &Weighted, b: &Weighted) -> Self {
        let sum = a.variance + b.variance;
        let part = |of: &Weighted| {
            let share = of.variance / sum;
            of.freedom().map_or(0.0, |freedom| share * share / freedom)
        };
        let inverse = if sum > 0.0 { part(a) + part(b) } else { 0.0 };
        Self {
            error: sum.sqrt(),
            freedom: (inverse > 0.0).then_some(1.0 / inverse),
        }
    }

    /// The distance within which a share of all differences lies on one side.
    fn reach(&self, share: f64) -> f64 {
        let critical = match self.freedom {
            Some(freedom) => student_quantile(share, freedom),
            None => normal_quantile(share),
        };
        critical * self.error
    }

    /// The chance of a difference as low as this if there is none.
    fn below(&self, difference: f64) -> f64 {
        if self.error <= 0.0 {
            // both versions are known whole
            return f64::from(u8::from(difference >= 0.0));
        }
        let distance = -difference / self.error;
        match self.freedom {
            Some(freedom) => student_tail(distance, freedom),
            None => normal_tail(distance),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rows;

    fn stratum(population: u64, passed: usize, n: usize) -> Stratum {
        let values = (0..n).map(|i| f64::from(u8::from(i < passed)));
        Stratum {
            population,
            sample: Rows::independent(values).ok(),
        }
    }

    #[test]
    fn weights_decide_not_the_samples() {
        // both parts got better; the sample of B is rich in the hard part
        let a = [stratum(9_000, 180, 200), stratum(1_000, 10, 20)];
        let b = [stratum(9_000, 76, 80), stratum(1_000, 90, 150)];
        let question = Question {
            margin: Some(0.0),
            ..Question::default()
        };
        let found = compare_strata(&a, &b, &question).unwrap();
        // 0.9·0.95 + 0.1·0.6 less 0.9·0.9 + 0.1·0.5
        assert!((found.difference.estimate - 0.055).abs() < 1e-12);
        let variance = 0.81 * (1.0 - 200.0 / 9_000.0) * 0.09 / 199.0
            + 0.01 * (1.0 - 0.02) * 0.25 / 19.0
            + 0.81 * (1.0 - 80.0 / 9_000.0) * 0.0475 / 79.0
            + 0.01 * (1.0 - 0.15) * 0.24 / 149.0;
        let half = 1.959_964 * f64::sqrt(variance);
        assert!((found.difference.interval.width() - 2.0 * half).abs() < 1e-6);
        assert_eq!(found.design, Design::Strata);
        assert!((0.04..0.12).contains(&found.p_value), "{found:?}");
        assert!(found.relative.unwrap().estimate > 0.06);
    }

    #[test]
    fn few_numbers_are_compared_as_by_welch() {
        let of = |values: &[f64]| {
            [Stratum {
                population: 1 << 50,
                sample: Rows::independent(values.iter().copied()).ok(),
            }]
        };
        let question = Question {
            margin: Some(0.5),
            ..Question::default()
        };
        let (a, b) = ([4.0, 5.0, 3.0, 4.5], [3.0, 2.5, 4.0, 3.5, 2.0]);
        let found = compare_strata(&of(&a), &of(&b), &question).unwrap();
        // scipy.stats.ttest_ind(b, a, equal_var=False), and with a − 0.5 and alternative="less"
        assert!(
            (found.p_value - 0.08646401344732675).abs() < 1e-6,
            "{found:?}"
        );
        assert!((found.loss_p_value.unwrap() - 0.15031559181106158).abs() < 1e-6);
        assert!((found.difference.interval.low - -2.465799544827279).abs() < 1e-5);
    }

    #[test]
    fn what_is_known_whole_is_worse_or_it_is_not() {
        let question = Question {
            margin: Some(0.1),
            ..Question::default()
        };
        let (most, few) = ([stratum(10, 9, 10)], [stratum(10, 5, 10)]);
        let worse = compare_strata(&most, &few, &question).unwrap();
        assert_eq!((worse.p_value, worse.loss_p_value), (0.0, Some(0.0)));
        let same = compare_strata(&most, &most, &question).unwrap();
        assert_eq!((same.p_value, same.loss_p_value), (1.0, Some(1.0)));
    }

    #[test]
    fn samples_without_a_failure_are_not_alike_for_sure() {
        let few = [stratum(9_000, 5, 5), stratum(1_000, 5, 5)];
        let question = Question {
            margin: Some(0.1),
            ..Question::default()
        };
        let found = compare_strata(&few, &few, &question).unwrap();
        assert_eq!((found.is_non_inferior, found.p_value), (Some(false), 1.0));
        let holes = [stratum(9_000, 5, 5), stratum(1_000, 0, 0)];
        let refused = compare_strata(&few, &holes, &question);
        assert_eq!(refused, Err(Refusal::EmptyStratum(1)));
    }
}
