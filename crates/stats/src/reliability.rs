//! Does a task succeed once in k tries, or every time?
//!
//! Both figures come from n tries of each task, c of which passed, without resampling k of them:
//! pass@k = 1 − C(n−c, k)/C(n, k) that at least one of k passes (Chen et al. 2021, arXiv 2107.03374),
//! pass^k = C(c, k)/C(n, k) that all do (Yao et al. 2024, arXiv 2406.12045). Each is unbiased for its
//! task, and the mean over tasks has the spread of tasks as its error.

use crate::distribution::ln_choose;
use crate::interval::Purpose;
use crate::{Figure, Level, Refusal, Rows, cluster};

/// The tries of one task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tries {
    /// How many were made.
    pub n: u64,
    /// How many of them passed.
    pub passed: u64,
}

/// A figure over the tasks that had k tries.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Reliability {
    /// The mean over tasks, a task being a value, with its t interval, cut to 0 and 1; the interval of
    /// a rate if each task gives 0 or 1.
    pub figure: Figure,
    /// Tasks left out, for they had fewer than k tries.
    pub tasks_too_short: usize,
}

/// Returns pass@k: the chance that at least one of k tries passes.
pub fn pass_at_k(tasks: &[Tries], k: u64, level: Level) -> Result<Reliability, Refusal> {
    over_tasks(tasks, k, level, |tries| {
        1.0 - all_among(tries.n - tries.passed, tries.n, k)
    })
}

/// Returns pass^k: the chance that all of k tries pass.
pub fn pass_hat_k(tasks: &[Tries], k: u64, level: Level) -> Result<Reliability, Refusal> {
    over_tasks(tasks, k, level, |tries| all_among(tries.passed, tries.n, k))
}

/// C(some, k)/C(n, k): the chance that k drawn of n are all among `some`.
fn all_among(some: u64, n: u64, k: u64) -> f64 {
    if k > some {
        return 0.0;
    }
    if some == n {
        return 1.0;
    }
    (ln_choose(some as f64, k as f64) - ln_choose(n as f64, k as f64))
        .exp()
        .min(1.0)
}

fn over_tasks(
    tasks: &[Tries],
    k: u64,
    level: Level,
    of_task: impl Fn(&Tries) -> f64,
) -> Result<Reliability, Refusal> {
    if k == 0 {
        return Err(Refusal::OutOfRange {
            value: 0.0,
            low: 1.0,
            high: u64::MAX as f64,
        });
    }
    if let Some(bad) = tasks.iter().find(|tries| tries.passed > tries.n) {
        return Err(Refusal::OutOfRange {
            value: bad.passed as f64,
            low: 0.0,
            high: bad.n as f64,
        });
    }
    let rows = Rows::independent(tasks.iter().filter(|tries| tries.n >= k).map(of_task))?;
    let tasks_too_short = tasks.len() - rows.n();
    // tasks that all came out 0 or 1 are counted; ± t·SE would be sure of them if they were alike
    let mut figure = if rows.is_binary() {
        cluster::rate(&rows, level, Purpose::Report)?
    } else {
        cluster::mean(&rows, level)?
    };
    figure.interval.low = figure.interval.low.max(0.0);
    figure.interval.high = figure.interval.high.min(1.0);
    Ok(Reliability {
        figure,
        tasks_too_short,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tries(n: u64, passed: u64) -> Tries {
        Tries { n, passed }
    }

    #[test]
    fn small_cases_by_hand() {
        let tasks = [tries(4, 2), tries(4, 4), tries(1, 1)];
        let at = pass_at_k(&tasks, 2, Level::P95).unwrap();
        // 1 − C(2,2)/C(4,2) = 5/6, and 1
        assert!((at.figure.estimate - (5.0 / 6.0 + 1.0) / 2.0).abs() < 1e-12);
        let hat = pass_hat_k(&tasks, 2, Level::P95).unwrap();
        assert!((hat.figure.estimate - (1.0 / 6.0 + 1.0) / 2.0).abs() < 1e-12);
        assert_eq!((hat.tasks_too_short, hat.figure.n), (1, 2));
        assert_eq!(pass_at_k(&tasks, 5, Level::P95), Err(Refusal::Empty));
    }

    proptest! {
        #[test]
        fn a_formula_is_the_share_of_all_choices(n in 1_u64..9, passed in 0_u64..9, k in 1_u64..9) {
            let (passed, k) = (passed.min(n), k.min(n));
            let choices = (0_u32..1 << n).filter(|set| u64::from(set.count_ones()) == k);
            let (mut total, mut all, mut any) = (0_u32, 0_u32, 0_u32);
            for set in choices {
                let good = set & ((1 << passed) - 1);
                total += 1;
                all += u32::from(good == set);
                any += u32::from(good != 0);
            }
            let pair = [tries(n, passed), tries(n, passed)];
            let hat = pass_hat_k(&pair, k, Level::P95).unwrap().figure.estimate;
            let at = pass_at_k(&pair, k, Level::P95).unwrap().figure.estimate;
            prop_assert!((hat - f64::from(all) / f64::from(total)).abs() < 1e-9);
            prop_assert!((at - f64::from(any) / f64::from(total)).abs() < 1e-9);
        }
    }
}
