//! What does a sample say of the whole when rare kinds were sampled more often?
//!
//! A sample of 400 successes and 100 errors shows errors in full, but they are 2 % of what ran. Its plain
//! pass rate of 0.78 speaks of the sample; weighted by the shares of the population it is 0.933. The
//! shares are counted when the run begins and stay as they were then.

use crate::distribution::{normal_quantile, student_quantile};
use crate::interval::{Purpose, clopper_pearson, wilson};
use crate::{Figure, Interval, Level, Method, Refusal, Rows, cluster};

/// A part of the population and what was seen of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Stratum {
    /// N_h: how many there were when the run began.
    pub population: u64,
    /// What was sampled; nothing for none.
    pub sample: Option<Rows>,
}

/// The parts, and the whole where all parts are known.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Stratified {
    /// One for each stratum, in the order given; a refusal where its sample does not give one.
    pub strata: Vec<Result<Figure, Refusal>>,
    /// The weighted estimate, or which stratum is in its way.
    pub overall: Result<Figure, Refusal>,
}

/// A weighted mean and its variance, before it gets an interval.
pub(crate) struct Weighted {
    pub(crate) estimate: f64,
    pub(crate) variance: f64,
    pub(crate) n: usize,
    pub(crate) groups: usize,
    grouped: bool,
    strata: usize,
    /// Independent groups that are worth as much: one over Σ W_h²·(1 − f_h)/C_h (Kish).
    effective: f64,
    /// s² of the whole as if its values were drawn plainly: for the design effect of a mean.
    spread: f64,
    binary: bool,
    /// Whether every item of every stratum was seen.
    whole: bool,
}

/// Returns the estimates of strata whose weights W_h = N_h/N are frozen.
///
/// Σ W_h·ȳ_h with V = Σ W_h²·(1 − n_h/N_h)·s_h²/n_h, s_h² from group sums inside the stratum
/// (Cochran 1977, ch. 5). Rates get Wilson's interval with n_eff = p̂(1−p̂)/V, as [`cluster::rate`],
/// with t of groups − strata degrees where values are grouped; means get ± t·√V of as many. A stratum whose passes
/// and fails came out all alike is not taken to be sure ([`variance_of_alike`]). Where all came out alike,
/// as many trials of Clopper and Pearson's count as the groups are worth by their weights. A stratum
/// without observations leaves only the results of the others. One of a single group shows no spread: for
/// passes and fails it counts as one that came out all alike, else the widest spread of the others stands
/// for its own.
pub fn estimate(strata: &[Stratum], level: Level) -> Stratified {
    let parts = strata
        .iter()
        .map(|stratum| {
            let rows = stratum.sample.as_ref().ok_or(Refusal::Empty)?;
            if rows.is_binary() {
                cluster::rate(rows, level, Purpose::Report)
            } else {
                cluster::mean(rows, level)
            }
        })
        .collect();
    Stratified {
        strata: parts,
        overall: weighted(strata).and_then(|whole| whole.figure(level)),
    }
}

/// Returns the weighted mean of values that lie between two ends, as [`estimate`] does of passes and fails:
/// what came out all alike is not taken to be sure, and the interval does not leave the ends.
///
/// Refuses values beyond the ends, and what [`estimate`] refuses.
pub fn mean_between(
    strata: &[Stratum],
    (low, high): (f64, f64),
    level: Level,
) -> Result<Figure, Refusal> {
    let unit = |stratum: &Stratum| -> Result<Stratum, Refusal> {
        let sample = stratum.sample.as_ref();
        Ok(Stratum {
            population: stratum.population,
            sample: sample.map(|rows| rows.on_unit((low, high))).transpose()?,
        })
    };
    let strata: Vec<Stratum> = strata.iter().map(unit).collect::<Result<_, _>>()?;
    let figure = sum(&strata, true)?.figure(level)?;
    Ok(figure.on_scale((low, high)))
}

/// Returns the weighted mean of the strata that have a population.
pub(crate) fn weighted(strata: &[Stratum]) -> Result<Weighted, Refusal> {
    let samples = strata.iter().filter_map(|it| it.sample.as_ref());
    let is_step = samples.flat_map(|rows| rows.values()).all(is_whole_step);
    sum(strata, is_step)
}

/// `is_unit`: no two values are further apart than a pass and a fail, or a gain and a loss of one.
fn sum(strata: &[Stratum], is_unit: bool) -> Result<Weighted, Refusal> {
    let total: u128 = strata
        .iter()
        .map(|stratum| u128::from(stratum.population))
        .sum();
    if total == 0 {
        return Err(Refusal::Empty);
    }
    let mut whole = Weighted {
        estimate: 0.0,
        variance: 0.0,
        n: 0,
        groups: 0,
        grouped: false,
        strata: 0,
        effective: 0.0,
        spread: 0.0,
        binary: true,
        whole: true,
    };
    let samples = strata.iter().filter_map(|it| it.sample.as_ref());
    let widest = samples
        .filter_map(|rows| Some(rows.variance_of_mean()? * rows.groups() as f64))
        .reduce(f64::max);
    let (mut squares, mut of_alike) = (0.0, 0.0);
    let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
    for (index, stratum) in strata.iter().enumerate() {
        if stratum.population == 0 {
            continue;
        }
        let rows = stratum
            .sample
            .as_ref()
            .ok_or(Refusal::EmptyStratum(index))?;
        let weight = stratum.population as f64 / total as f64;
        let unseen = 1.0 - (rows.n() as f64 / stratum.population as f64).min(1.0);
        let variance = match rows.variance_of_mean() {
            _ if unseen <= 0.0 => 0.0,
            Some(variance) => unseen * variance,
            None if is_unit => 0.0,
            None => unseen * widest.ok_or(Refusal::ThinStratum(index))?,
        };
        let (mean, groups) = (rows.mean(), rows.groups());
        if variance <= 0.0 && unseen > 0.0 {
            of_alike += weight * weight * unseen * variance_of_alike(groups);
        }
        whole.effective += weight * weight * unseen / groups as f64;
        (least, most) = (least.min(mean), most.max(mean));
        whole.estimate += weight * mean;
        whole.variance += weight * weight * variance;
        whole.n += rows.n();
        whole.groups += groups;
        whole.grouped |= rows.is_grouped();
        whole.strata += 1;
        whole.binary &= rows.is_binary();
        whole.whole &= unseen <= 0.0;
        squares += weight * rows.values().map(|value| value * value).sum::<f64>() / rows.n() as f64;
    }
    whole.effective = 1.0 / whole.effective;
    if is_unit && (whole.variance > 0.0 || least < most || !whole.binary) {
        whole.variance += of_alike;
    }
    // the weights sum to one but for rounding, which may take a rate of one beyond it
    whole.estimate = whole.estimate.max(least).min(most);
    whole.spread = (squares - whole.estimate * whole.estimate).max(0.0);
    Ok(whole)
}

/// The variance of the mean of passes and fails of so many groups that came out all alike.
///
/// They show no spread, but twenty passes of twenty are not a hundred of a hundred: half a pass and half a
/// fail are added (Jeffreys). A stratum that is 98 % of the population and of which 100 came out 100 times
/// alike would else make an interval that holds in 39 % of cases, where one pass in 200 fails.
pub(crate) fn variance_of_alike(groups: usize) -> f64 {
    let groups = groups as f64;
    let other = 0.5 / (groups + 1.0);
    other * (1.0 - other) / groups
}

/// Whether a value is a pass, a fail, or a difference of two.
fn is_whole_step(value: f64) -> bool {
    value.abs() <= 1.0 && value.fract().abs() <= 0.0
}

impl Weighted {
    /// The degrees of freedom of the variance, but for passes and fails that are alone: theirs follows from
    /// the rate.
    pub(crate) fn freedom(&self) -> Option<f64> {
        let freedom = self.groups as f64 - self.strata as f64;
        let is_estimated = self.grouped || !self.binary;
        (is_estimated && freedom >= 1.0).then_some(freedom)
    }

    /// The variance that a plain sample of as many independent values would have.
    pub(crate) fn variance_alone(&self) -> f64 {
        self.spread / self.n as f64
    }

    fn figure(&self, level: Level) -> Result<Figure, Refusal> {
        cluster::finite(self.variance + self.estimate)?;
        let critical = match self.freedom() {
            Some(freedom) => student_quantile(level.upper(), freedom),
            None => normal_quantile(level.upper()),
        };
        let p = self.estimate;
        let alone = self.variance_alone();
        // a variance of nothing is that of a sample too even to show any, or of a census
        let design_effect = if alone > 0.0 {
            self.variance / alone
        } else {
            1.0
        };
        let (ends, method) = if !self.binary {
            let half = critical * self.variance.sqrt();
            ((p - half, p + half), Method::Strata)
        } else if self.variance > 0.0 {
            let ends = wilson(p, p * (1.0 - p) / self.variance, critical);
            (ends, Method::WilsonStrata)
        } else if self.whole {
            ((p, p), Method::WilsonStrata)
        } else {
            let ends = clopper_pearson(p * self.effective, self.effective, level);
            (ends, Method::ClopperPearson)
        };
        Ok(Figure {
            estimate: p,
            interval: Interval::new(ends, level, method),
            n: self.n,
            groups: self.groups,
            design_effect,
        })
    }
}

/// A stratum must have so many in an allocation of Neyman's, or all it has.
pub const FLOOR: u64 = 20;

/// Returns how many to take of each stratum so that the sample is a small likeness of the whole.
///
/// Shares of `n` by population, the largest remainders rounded up; never more than there are.
pub fn proportional(n: u64, populations: &[u64]) -> Vec<u64> {
    let sizes: Vec<f64> = populations
        .iter()
        .map(|&population| population as f64)
        .collect();
    allocate(n, populations, &sizes, 0)
}

/// Returns how many to take of each stratum so that the weighted estimate is as sure as it can be.
///
/// n_h ∝ W_h·S_h (Neyman 1934) with the standard deviations S_h of the last run, at least [`FLOOR`] of
/// each: what the last run found even may have changed. The floor holds even if it takes more than `n`.
/// Refuses lists of different length and deviations that are negative or no numbers.
pub fn neyman(n: u64, populations: &[u64], deviations: &[f64]) -> Result<Vec<u64>, Refusal> {
    if populations.len() != deviations.len() {
        return Err(Refusal::Lengths(populations.len(), deviations.len()));
    }
    if let Some(&value) = deviations
        .iter()
        .find(|value| !(value.is_finite() && **value >= 0.0))
    {
        return Err(Refusal::OutOfRange {
            value,
            low: 0.0,
            high: f64::MAX,
        });
    }
    let sizes: Vec<f64> = populations
        .iter()
        .zip(deviations)
        .map(|(&population, deviation)| population as f64 * deviation)
        .collect();
    Ok(allocate(n, populations, &sizes, FLOOR))
}

/// Gives each its floor, then shares out the rest by size; what does not fit goes to the others.
fn allocate(n: u64, populations: &[u64], sizes: &[f64], floor: u64) -> Vec<u64> {
    let mut taken: Vec<u64> = populations
        .iter()
        .map(|&population| population.min(floor))
        .collect();
    let capacity: u128 = populations
        .iter()
        .map(|&population| u128::from(population))
        .sum();
    let n = u64::try_from(u128::from(n).min(capacity)).unwrap_or(u64::MAX);
    // strata at their bound leave the sharing; each round settles one at least, or is the last
    let mut settled = vec![false; populations.len()];
    loop {
        let open = |h: &usize| !settled[*h] && populations[*h] > 0;
        let size: f64 = (0..sizes.len()).filter(open).map(|h| sizes[h]).sum();
        let fixed: u64 = (0..sizes.len())
            .filter(|h| settled[*h])
            .map(|h| taken[h])
            .sum();
        let rest = n.saturating_sub(fixed) as f64;
        let share = |h: usize| {
            if size > 0.0 {
                rest * (sizes[h] / size)
            } else {
                0.0
            }
        };
        let over: Vec<usize> = (0..sizes.len())
            .filter(open)
            .filter(|&h| share(h) >= populations[h] as f64)
            .collect();
        let under: Vec<usize> = (0..sizes.len())
            .filter(open)
            .filter(|&h| share(h) <= populations[h].min(floor) as f64 && floor > 0)
            .collect();
        if over.is_empty() && under.is_empty() {
            let shares: Vec<(usize, f64)> = (0..sizes.len())
                .filter(open)
                .map(|h| (h, share(h)))
                .collect();
            round_by_remainder(&shares, &mut taken);
            return taken;
        }
        // floors first: they may use up what others would fill
        if under.is_empty() {
            for h in over {
                taken[h] = populations[h];
                settled[h] = true;
            }
        } else {
            for h in under {
                taken[h] = populations[h].min(floor);
                settled[h] = true;
            }
        }
    }
}

/// Rounds shares down and gives what is left to the largest remainders.
fn round_by_remainder(shares: &[(usize, f64)], taken: &mut [u64]) {
    let total = shares.iter().map(|(_, share)| share).sum::<f64>().round() as u64;
    let mut given = 0;
    for &(h, share) in shares {
        taken[h] = share.floor() as u64;
        given += taken[h];
    }
    let mut by_remainder: Vec<&(usize, f64)> = shares.iter().collect();
    by_remainder.sort_by(|(_, one), (_, other)| other.fract().total_cmp(&one.fract()));
    let left = usize::try_from(total.saturating_sub(given)).unwrap_or(usize::MAX);
    for &&(h, _) in by_remainder.iter().take(left) {
        taken[h] += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stratum(population: u64, passed: usize, n: usize) -> Stratum {
        let values = (0..n).map(|i| f64::from(u8::from(i < passed)));
        Stratum {
            population,
            sample: Rows::independent(values).ok(),
        }
    }

    #[test]
    fn a_sample_rich_in_errors_is_weighted_back() {
        let strata = [stratum(98_000, 380, 400), stratum(2_000, 10, 100)];
        let plain = 390.0 / 500.0;
        assert_eq!(plain, 0.78);
        let whole = estimate(&strata, Level::P95).overall.unwrap();
        assert!((whole.estimate - 0.933).abs() < 1e-12);
        assert!(whole.interval.low > 0.90 && whole.interval.high < 0.955);
        assert_eq!(whole.n, 500);
    }

    #[test]
    fn a_stratum_that_nobody_looked_at_leaves_only_the_parts() {
        let result = estimate(&[stratum(90, 9, 10), stratum(10, 0, 0)], Level::P95);
        assert_eq!(result.overall, Err(Refusal::EmptyStratum(1)));
        assert_eq!(result.strata[0].as_ref().unwrap().estimate, 0.9);
        assert_eq!(result.strata[1], Err(Refusal::Empty));
        // but one that has nothing in it is no loss
        assert!(
            estimate(&[stratum(90, 9, 10), stratum(0, 0, 0)], Level::P95)
                .overall
                .is_ok()
        );
    }

    #[test]
    fn who_saw_all_is_sure() {
        let whole = estimate(&[stratum(10, 7, 10), stratum(30, 3, 30)], Level::P95)
            .overall
            .unwrap();
        assert_eq!((whole.estimate, whole.interval.width()), (0.25, 0.0));
    }

    #[test]
    fn a_stratum_of_one_counts_for_as_little_as_one() {
        let most = stratum(900, 85, 94);
        let with = |rest: &[Stratum]| {
            let all: Vec<Stratum> = [most.clone()]
                .into_iter()
                .chain(rest.iter().cloned())
                .collect();
            estimate(&all, Level::P95).overall.unwrap()
        };
        let known = with(&[]);
        let one = with(&[stratum(10, 1, 1), stratum(10, 0, 1)]);
        let wider = one.interval.width() / known.interval.width();
        assert!((0.9..1.3).contains(&wider), "{one:?} {known:?}");
        // half of all is in a stratum of which one was seen
        let half = with(&[stratum(900, 1, 1)]);
        assert!(half.interval.width() > 0.4, "{half:?}");
        // numbers: as wide as the widest of the others
        let values = |population, values: &[f64]| Stratum {
            population,
            sample: Rows::independent(values.iter().copied()).ok(),
        };
        let whole = estimate(
            &[values(900, &[10.0, 20.0, 30.0]), values(100, &[40.0])],
            Level::P95,
        );
        let spread = 10.0_f64 * 10.0;
        let variance = 0.81 * (1.0 - 3.0 / 900.0) * spread / 3.0 + 0.01 * 0.99 * spread;
        let half = student_quantile(0.975, 2.0) * variance.sqrt();
        let overall = whole.overall.unwrap();
        assert!((overall.interval.high - overall.estimate - half).abs() < 1e-9);
        let alone = estimate(&[values(900, &[1.5]), values(100, &[40.0])], Level::P95);
        assert_eq!(alone.overall, Err(Refusal::ThinStratum(0)));
    }

    #[test]
    fn numbers_between_ends_are_never_sure_and_never_beyond() {
        let stars = |population, values: &[f64]| Stratum {
            population,
            sample: Rows::independent(values.iter().copied()).ok(),
        };
        let of = |strata: &[Stratum]| mean_between(strata, (1.0, 5.0), Level::P95).unwrap();
        let alike = of(&[stars(900, &[4.0; 20]), stars(100, &[4.0; 20])]);
        assert!(
            alike.interval.low < 3.95 && alike.interval.high > 4.05,
            "{alike:?}"
        );
        let few = of(&[stars(900, &[5.0, 4.0, 5.0]), stars(100, &[1.0, 5.0])]);
        assert!(
            few.interval.high <= 5.0 && few.interval.low >= 1.0,
            "{few:?}"
        );
        let varied: Vec<f64> = (0..60).map(|i| f64::from(1 + i % 5)).collect();
        let parts = [stars(900, &varied), stars(100, &varied[..30])];
        let (plain, between) = (estimate(&parts, Level::P95).overall.unwrap(), of(&parts));
        assert!((plain.interval.low - between.interval.low).abs() < 1e-9);
        assert!((plain.interval.high - between.interval.high).abs() < 1e-9);
    }

    #[test]
    fn strata_that_all_came_out_alike_are_as_many_trials_as_they_are_worth() {
        let all = |populations: [u64; 3], ns: [usize; 3], passes: bool| {
            let both = populations.into_iter().zip(ns);
            let strata: Vec<Stratum> = both
                .map(|(population, n)| stratum(population, if passes { n } else { 0 }, n))
                .collect();
            estimate(&strata, Level::P95).overall.unwrap()
        };
        for passes in [true, false] {
            // drawn by their shares: as a plain sample
            let even = all([9_000_000, 3_000_000, 3_000_000], [9, 3, 3], passes);
            let plain = clopper_pearson(if passes { 15.0 } else { 0.0 }, 15.0, Level::P95);
            assert!((even.interval.low - plain.0).abs() < 1e-5);
            assert!((even.interval.high - plain.1).abs() < 1e-5);
            // as many of each: the large one counts, of which five were seen
            let uneven = all([9_000_000, 700_000, 300_000], [5, 5, 5], passes);
            let few = clopper_pearson(if passes { 6.0 } else { 0.0 }, 6.0, Level::P95);
            assert!((uneven.interval.width() - (few.1 - few.0)).abs() < 0.01);
            assert_eq!(uneven.estimate, f64::from(u8::from(passes)));
        }
    }

    #[test]
    fn a_large_stratum_without_a_fail_is_not_taken_to_be_sure() {
        // 100 of 100 in 98 % of the population, 50 of 100 in the rest
        let strata = [stratum(98_000, 100, 100), stratum(2_000, 50, 100)];
        let whole = estimate(&strata, Level::P95).overall.unwrap();
        assert!((whole.estimate - 0.99).abs() < 1e-12);
        // of 100 passes in 100 up to 3 in 100 may fail
        assert!(
            whole.interval.low < 0.97 && whole.interval.low > 0.93,
            "{whole:?}"
        );
    }

    #[test]
    fn allocations_follow_size_and_spread() {
        assert_eq!(proportional(100, &[980, 20]), [98, 2]);
        assert_eq!(proportional(10, &[1, 1, 1]), [1, 1, 1]);
        assert_eq!(proportional(3, &[5, 5, 5, 0]), [1, 1, 1, 0]);
        // W·S = 0.8·0.1 : 0.2·0.4 = 1 : 1
        assert_eq!(
            neyman(200, &[8_000, 2_000], &[0.1, 0.4]).unwrap(),
            [100, 100]
        );
        assert_eq!(
            neyman(200, &[9_000, 1_000, 5], &[0.5, 0.0, 0.5]).unwrap(),
            [175, 20, 5]
        );
        assert_eq!(neyman(30, &[9_000, 1_000], &[0.5, 0.5]).unwrap(), [20, 20]);
        assert!(neyman(9, &[1], &[f64::NAN]).is_err());
    }

    proptest! {
        #[test]
        fn any_strata_give_an_estimate_or_a_refusal(
            strata in prop::collection::vec((0_u64..40, prop::collection::vec((prop::num::f64::ANY, 0_u64..4), 0..8)), 0..4),
            binary: bool,
        ) {
            let strata: Vec<Stratum> = strata
                .into_iter()
                .map(|(population, values)| Stratum {
                    population,
                    sample: Rows::new(values.into_iter().map(|(value, group)| crate::Row {
                        value: if binary { f64::from(u8::from(value > 0.0)) } else { value },
                        group: (group > 0).then_some(group),
                    }))
                    .ok(),
                })
                .collect();
            let found = estimate(&strata, Level::P95);
            for figure in found.strata.into_iter().chain([found.overall]).flatten() {
                prop_assert!(figure.interval.contains(figure.estimate), "{figure:?}");
            }
        }

        #[test]
        fn an_allocation_takes_what_was_asked_and_never_more_than_there_is(
            n in 0_u64..2_000,
            strata in prop::collection::vec((0_u64..3_000, 0.0..2.0_f64), 1..8),
        ) {
            let (populations, deviations): (Vec<u64>, Vec<f64>) = strata.into_iter().unzip();
            let all: u64 = populations.iter().sum();
            let taken = proportional(n, &populations);
            prop_assert_eq!(taken.iter().sum::<u64>(), n.min(all));
            prop_assert!(taken.iter().zip(&populations).all(|(t, p)| t <= p));
            let taken = neyman(n, &populations, &deviations).unwrap();
            let floors: u64 = populations.iter().map(|&p| p.min(FLOOR)).sum();
            prop_assert!(taken.iter().zip(&populations).all(|(t, p)| t <= p && *t >= FLOOR.min(*p)));
            prop_assert!(taken.iter().sum::<u64>() <= n.min(all).max(floors));
        }
    }
}
