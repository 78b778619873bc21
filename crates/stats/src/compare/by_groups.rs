//! Versions that did different things, or the same by chance.

use super::{
    Comparison, Design, Question, hodges_lehmann, label_permutation, mann_whitney,
    probability_greater, relative_change,
};
use crate::contrast::{Contrast, contrast};
use crate::distribution::{normal_quantile, student_quantile};
use crate::interval::{Purpose, newcombe};
use crate::{Figure, Interval, Level, Method, Refusal, Rows, cluster, power, quantile};

/// Compares versions that nothing pairs: as rates, or by ranks.
pub(super) fn compare_groups(
    a: &Rows,
    b: &Rows,
    question: &Question,
) -> Result<Comparison, Refusal> {
    if a.is_binary() && b.is_binary() {
        compare_rates(a, b, question)
    } else {
        compare_ranks(a, b, question)
    }
}

fn compare_rates(a: &Rows, b: &Rows, question: &Question) -> Result<Comparison, Refusal> {
    let of = |level| -> Result<(Figure, Figure), Refusal> {
        Ok((
            cluster::rate(a, level, Purpose::Report)?,
            cluster::rate(b, level, Purpose::Report)?,
        ))
    };
    let (figure_a, figure_b) = of(question.level)?;
    let apart = contrast(a, b).ok_or(Refusal::OneGroup)?;
    // without any spread ± t·SE would be sure of all; Newcombe's takes the two intervals as they are
    let (difference, lower) = if apart.straddling == 0 || apart.variance <= 0.0 {
        let one_sided = of(question.level.one_sided())?;
        let ends = newcombe(&figure_a, &figure_b);
        let interval = Interval::new(ends, question.level, Method::Newcombe);
        (
            difference_of(&apart, a, b, interval),
            newcombe(&one_sided.0, &one_sided.1).0,
        )
    } else {
        let interval = Interval::new(
            ends_of(&apart, question.level),
            question.level,
            Method::StudentT,
        );
        (
            difference_of(&apart, a, b, interval),
            ends_of(&apart, question.level.one_sided()).0,
        )
    };
    let test = label_permutation(a, b, question.seed)?;
    let error = if apart.variance > 0.0 {
        apart.variance.sqrt()
    } else {
        difference.interval.width() / (2.0 * normal_quantile(question.level.upper()))
    };
    Ok(Comparison {
        design: Design::Rates,
        a: figure_a,
        b: figure_b,
        difference,
        p_value: test.p_value,
        loss_p_value: None,
        exact: test.exact,
        mcnemar: None,
        probability_greater: None,
        relative: relative_change(a, b, question.level),
        lower_bound: lower,
        is_non_inferior: question.margin.map(|margin| lower > -margin),
        detectable: power::detectable(error, question.level),
        unpaired: 0,
    })
}

fn compare_ranks(a: &Rows, b: &Rows, question: &Question) -> Result<Comparison, Refusal> {
    let level = question.level;
    let apart = contrast(a, b).ok_or(Refusal::OneGroup)?;
    let first = a.values().next();
    if a.values()
        .chain(b.values())
        .all(|value| Some(value) == first)
    {
        return Err(Refusal::NoSpread);
    }
    let test = mann_whitney(a, b, question.seed)?;
    let sizes = match share_of_ties(a, b) > TIES_MAX {
        true => Sizes::means(a, b, &apart, level)?,
        false => Sizes::shift(a, b, level)?,
    };
    Ok(Comparison {
        design: Design::Ranks,
        a: sizes.a,
        b: sizes.b,
        difference: sizes.difference,
        p_value: test.permutation.p_value,
        loss_p_value: None,
        exact: test.permutation.exact,
        mcnemar: None,
        probability_greater: Some(probability_greater(a, b, level)?),
        relative: relative_change(a, b, level),
        lower_bound: sizes.lower,
        is_non_inferior: question.margin.map(|margin| sizes.lower > -margin),
        detectable: power::detectable(apart.variance.sqrt(), level),
        unpaired: 0,
    })
}

/// Where more of all pairs of values are equal, the median of their differences says little.
///
/// Of stars from 1 to 5 a third of all pairs is equal, and the median difference is zero with an interval
/// from zero to zero while means differ by half a star.
const TIES_MAX: f64 = 0.05;

/// How far two versions are apart.
struct Sizes {
    a: Figure,
    b: Figure,
    difference: Figure,
    /// The lower end of the one-sided interval.
    lower: f64,
}

impl Sizes {
    /// By the shift of the one against the other, for values that may be skewed.
    fn shift(a: &Rows, b: &Rows, level: Level) -> Result<Self, Refusal> {
        Ok(Self {
            a: quantile::quantile(a, 0.5, level)?,
            b: quantile::quantile(b, 0.5, level)?,
            difference: hodges_lehmann(a, b, level)?,
            lower: hodges_lehmann(a, b, level.one_sided())?.interval.low,
        })
    }

    /// By their means, for values on few steps.
    fn means(a: &Rows, b: &Rows, apart: &Contrast, level: Level) -> Result<Self, Refusal> {
        let interval = Interval::new(ends_of(apart, level), level, Method::StudentT);
        Ok(Self {
            a: cluster::mean(a, level)?,
            b: cluster::mean(b, level)?,
            difference: difference_of(apart, a, b, interval),
            lower: ends_of(apart, level.one_sided()).0,
        })
    }
}

/// Returns the share of all pairs of a value of A and one of B that are equal.
fn share_of_ties(a: &Rows, b: &Rows) -> f64 {
    let sorted = b.sorted_values();
    let equal = |value: f64| {
        let from = sorted.partition_point(|other| *other < value);
        let to = sorted.partition_point(|other| *other <= value);
        (to - from) as f64 / sorted.len() as f64
    };
    a.values().map(equal).sum::<f64>() / a.n() as f64
}

/// difference ± t·√V.
fn ends_of(apart: &Contrast, level: Level) -> (f64, f64) {
    let half = student_quantile(level.upper(), apart.freedom) * apart.variance.sqrt();
    (apart.difference - half, apart.difference + half)
}

fn difference_of(apart: &Contrast, a: &Rows, b: &Rows, interval: Interval) -> Figure {
    Figure {
        estimate: apart.difference,
        interval,
        n: a.n() + b.n(),
        groups: apart.groups,
        design_effect: design_effect(apart.variance, a, b),
    }
}

/// A variance over that of as many independent values of the same spread.
fn design_effect(variance: f64, a: &Rows, b: &Rows) -> f64 {
    let alone =
        a.variance().unwrap_or(0.0) / a.n() as f64 + b.variance().unwrap_or(0.0) / b.n() as f64;
    if alone > 0.0 { variance / alone } else { 1.0 }
}
