//! The same done by both versions.

use std::collections::BTreeMap;

use super::{
    Comparison, Design, Item, PairedTest, Question, least_mean, mcnemar, relative_change,
    sign_flip, single,
};
use crate::distribution::{normal_quantile, student_quantile};
use crate::interval::newcombe;
use crate::rows::mean_of;
use crate::{Figure, Interval, Level, Method, Refusal, Row, Rows, power};

/// One value or several of each version under one key.
type Pair = (Vec<f64>, Vec<f64>);

/// Compares what both versions did under the keys in `Item::pair`, repeats averaged.
pub(super) fn compare_pairs(
    a: &[Item],
    b: &[Item],
    question: &Question,
    design: Design,
) -> Result<Comparison, Refusal> {
    let mut pairs: BTreeMap<u64, Pair> = BTreeMap::new();
    for item in a {
        pairs
            .entry(item.pair.unwrap_or_default())
            .or_default()
            .0
            .push(item.value);
    }
    for item in b {
        pairs
            .entry(item.pair.unwrap_or_default())
            .or_default()
            .1
            .push(item.value);
    }
    let all = a.len() + b.len();
    pairs.retain(|_, (of_a, of_b)| !of_a.is_empty() && !of_b.is_empty());
    if pairs.len() < 2 {
        return Err(Refusal::TooFewPairs(pairs.len()));
    }
    let arm = |values: fn(&Pair) -> &Vec<f64>| {
        Rows::new(pairs.iter().flat_map(|(&key, pair)| {
            values(pair).iter().map(move |&value| Row {
                value,
                group: Some(key),
            })
        }))
    };
    let (arm_a, arm_b) = (arm(|pair| &pair.0)?, arm(|pair| &pair.1)?);
    let mean = |values: &[f64]| mean_of(values.iter().copied());
    let test = sign_flip(
        pairs.values().map(|(of_a, of_b)| mean(of_b) - mean(of_a)),
        question.level,
        question.seed,
    )?;
    let is_even = test.difference.estimate.abs() <= 0.0;
    let known = match step(pairs.values()).filter(|_| is_even) {
        _ if test.standard_error > 0.0 => Known::of_pairs(&test, question.level),
        Some(step) => Known::of_steps(&test, pairs.len(), step, question.level)?,
        None => Known::of_versions(&test, &arm_a, &arm_b, question.level)?,
    };
    Ok(Comparison {
        design,
        a: single(&arm_a, question.level)?,
        b: single(&arm_b, question.level)?,
        difference: known.difference,
        p_value: test.p_value,
        loss_p_value: None,
        exact: test.exact,
        mcnemar: discordant(pairs.values()).map(|(lost, won)| mcnemar(lost, won)),
        probability_greater: None,
        relative: relative_change(&arm_a, &arm_b, question.level),
        lower_bound: known.lower,
        is_non_inferior: question.margin.map(|margin| known.lower > -margin),
        detectable: power::detectable(known.error, question.level),
        unpaired: all - arm_a.n() - arm_b.n(),
    })
}

/// What is known of the difference.
struct Known {
    difference: Figure,
    lower: f64,
    error: f64,
}

impl Known {
    /// Mean ± t·SE over pairs.
    fn of_pairs(test: &PairedTest, level: Level) -> Self {
        let freedom = test.difference.groups as f64 - 1.0;
        let below = student_quantile(level.get(), freedom) * test.standard_error;
        Self {
            difference: test.difference,
            lower: test.difference.estimate - below,
            error: test.standard_error,
        }
    }

    /// Passes and fails of which no pair differs: ± 0 would be sure of it, and two pairs that agree would
    /// pass any margin. So the interval allows for pairs that would differ by a step.
    fn of_steps(test: &PairedTest, pairs: usize, step: f64, level: Level) -> Result<Self, Refusal> {
        let even = vec![0.0; pairs];
        let interval = steps_interval(&even, step, level)?;
        let mut difference = test.difference;
        difference.interval = interval;
        Ok(Self {
            difference,
            lower: least_mean(even, step, level)?,
            error: interval.width() / (2.0 * normal_quantile(level.upper())),
        })
    }

    /// Where all pairs differ alike, or nobody knows by how much numbers could differ, the versions are taken
    /// as unpaired.
    fn of_versions(test: &PairedTest, a: &Rows, b: &Rows, level: Level) -> Result<Self, Refusal> {
        let ends = |level| Ok::<_, Refusal>(newcombe(&single(a, level)?, &single(b, level)?));
        let interval = Interval::new(ends(level)?, level, Method::Newcombe);
        if interval.width() <= 0.0 {
            return Err(Refusal::NoSpread);
        }
        let mut difference = test.difference;
        difference.interval = interval;
        Ok(Self {
            difference,
            lower: ends(level.one_sided())?.0,
            error: interval.width() / (2.0 * normal_quantile(level.upper())),
        })
    }
}

/// Returns the interval of a mean difference of pairs that differ by a step at least if they do: the ends
/// of [`least_mean`] on both sides.
pub fn steps_interval(differences: &[f64], step: f64, level: Level) -> Result<Interval, Refusal> {
    let one_side = Level::new(level.upper())?;
    let least = least_mean(differences.iter().copied(), step, one_side)?;
    let most = -least_mean(differences.iter().map(|it| -it), step, one_side)?;
    Ok(Interval::new((least, most), level, Method::PairSteps))
}

/// By how much pairs of passes and fails differ at least if they do; nothing of other values.
fn step<'a>(pairs: impl Iterator<Item = &'a Pair>) -> Option<f64> {
    let (mut sum, mut n) = (0.0, 0.0);
    for (of_a, of_b) in pairs {
        if of_a
            .iter()
            .chain(of_b)
            .any(|value| binary(*value).is_none())
        {
            return None;
        }
        sum += 1.0 / of_a.len().max(of_b.len()) as f64;
        n += 1.0;
    }
    Some(sum / n)
}

/// How many pairs only A passed, and only B; nothing if a pair is not one pass or fail each.
fn discordant<'a>(pairs: impl Iterator<Item = &'a Pair>) -> Option<(u64, u64)> {
    let (mut lost, mut won) = (0, 0);
    for (of_a, of_b) in pairs {
        let ([one], [other]) = (of_a.as_slice(), of_b.as_slice()) else {
            return None;
        };
        match (binary(*one)?, binary(*other)?) {
            (true, false) => lost += 1,
            (false, true) => won += 1,
            _ => {}
        }
    }
    Some((lost, won))
}

#[expect(clippy::float_cmp, reason = "exactly 0 and 1 are meant")]
fn binary(value: f64) -> Option<bool> {
    if value == 1.0 {
        Some(true)
    } else if value == 0.0 {
        Some(false)
    } else {
        None
    }
}
