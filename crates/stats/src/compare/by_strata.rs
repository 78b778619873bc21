//! Versions of which weighted samples were taken.

use super::{Comparison, Design, Question, relative};
use crate::distribution::{normal_quantile, normal_two_sided};
use crate::interval::newcombe;
use crate::strata::{self, Stratum};
use crate::{Figure, Interval, Method, Refusal, power};

/// Compares two versions that were sampled by strata: weighted means, SE² = SE_A² + SE_B².
///
/// Assumes that no group is in both versions. Refuses what [`strata::estimate`] refuses for the whole.
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
    let error = (of_a.variance + of_b.variance).sqrt();
    // a sample too even to show any spread is as sure as the intervals of both versions
    let (ends, lower) = if error > 0.0 {
        let reach = |p| normal_quantile(p) * error;
        let half = reach(level.upper());
        (
            (difference - half, difference + half),
            difference - reach(level.get()),
        )
    } else {
        let one_sided = level.one_sided();
        let (low_a, low_b) = (
            strata::estimate(a, one_sided).overall?,
            strata::estimate(b, one_sided).overall?,
        );
        (newcombe(&figure_a, &figure_b), newcombe(&low_a, &low_b).0)
    };
    // half of the interval in standard errors: the same number where it was made of one
    let seen = (ends.1 - ends.0) / (2.0 * normal_quantile(level.upper()));
    let p_value = if seen > 0.0 {
        normal_two_sided(difference / seen)
    } else {
        // both versions are known whole
        f64::from(u8::from(difference.abs() <= 0.0))
    };
    let alone = of_a.variance_alone() + of_b.variance_alone();
    let around = |estimate, interval| Figure {
        estimate,
        interval,
        n: of_a.n + of_b.n,
        groups: of_a.groups + of_b.groups,
        design_effect: if alone > 0.0 {
            error * error / alone
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
        p_value,
        exact: false,
        mcnemar: None,
        probability_greater: None,
        relative: ratio
            .map(|interval| around(figure_b.estimate / figure_a.estimate - 1.0, interval)),
        lower_bound: lower,
        is_non_inferior: question.margin.map(|margin| lower > -margin),
        detectable: power::detectable(seen, level),
        unpaired: 0,
    })
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
