//! How often do intervals hold the truth?

use stats::interval::{self, Purpose};
use stats::rng::Chance;
use stats::strata::{self, Stratum};
use stats::{Interval, Level, Row, Rows, bootstrap, cluster, compare, power, quantile};

use super::{Check, Must};

/// A share of n = 50 at p = 0.97, summed over all outcomes; no chance is in it.
pub(crate) fn rates() -> Vec<Check> {
    let (n, p) = (50_u64, 0.97_f64);
    let (mut wald, mut wilson) = (0.0, 0.0);
    let mut chance = (1.0 - p).powi(50);
    for k in 0..=n {
        let rate = k as f64 / n as f64;
        let half = 1.96 * (rate * (1.0 - rate) / n as f64).sqrt();
        if (rate - p).abs() <= half {
            wald += chance;
        }
        // the score interval itself, for the ends too
        let z = 1.96 * (p * (1.0 - p) / n as f64).sqrt();
        if (rate - p).abs() <= z {
            wilson += chance;
        }
        chance *= (n - k) as f64 / (k + 1) as f64 * p / (1.0 - p);
    }
    // and ours: Wilson's, and at the ends the exact one
    let ours: f64 = (0..=n)
        .map(|k| {
            let holds = interval::rate(k, n, Level::P95, Purpose::Report)
                .is_ok_and(|f| f.interval.contains(p));
            if holds { binomial(n, k, p) } else { 0.0 }
        })
        .sum();
    vec![
        Check::exact("Wald covers, n = 50, p = 0.97", 0.78, wald, 0.005),
        Check::exact("Wilson covers", 0.94, wilson, 0.005),
        Check::exact("Wilson and Clopper-Pearson, as chosen", 0.94, ours, 0.005).must(Must::Reach),
    ]
}

fn binomial(n: u64, k: u64, p: f64) -> f64 {
    let choices: f64 = (0..k).map(|i| (n - i) as f64 / (i + 1) as f64).product();
    choices * p.powi(k as i32) * (1.0 - p).powi((n - k) as i32)
}

/// A number of passes of ten whose chance varies between groups so that the ICC is 0.3.
///
/// Beta(p·s, (1 − p)·s) with s = (1 − ICC)/ICC, drawn as a share of two gamma numbers.
fn group_passes(chance: &mut Chance, p: f64) -> usize {
    let s = 0.7 / 0.3;
    let (one, other) = (gamma(chance, p * s), gamma(chance, (1.0 - p) * s));
    let rate = one / (one + other);
    (0..10).filter(|_| chance.coin(rate)).count()
}

/// A gamma number of any shape (Marsaglia and Tsang).
fn gamma(chance: &mut Chance, shape: f64) -> f64 {
    if shape < 1.0 {
        let boost = (1.0 - chance.unit()).powf(1.0 / shape);
        return gamma(chance, shape + 1.0) * boost;
    }
    let d = shape - 1.0 / 3.0;
    loop {
        let x = chance.normal();
        let v = (1.0 + x / (9.0 * d).sqrt()).powi(3);
        if v > 0.0 && (1.0 - chance.unit()).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return d * v;
        }
    }
}

/// C groups of ten, ICC 0.3. The description gives no p; at 0.8 its figures come out.
pub(crate) fn clusters(groups: usize, said: [f64; 4], runs: usize) -> Vec<Check> {
    const P: f64 = 0.8;
    let mut chance = Chance::new(groups as u64);
    let mut hits = [0; 4];
    for _ in 0..runs {
        let passes: Vec<usize> = (0..groups).map(|_| group_passes(&mut chance, P)).collect();
        let rows = rows_of(&passes);
        let rate = passes.iter().sum::<usize>() as f64 / (10 * groups) as f64;
        let half = 1.96 * (rate * (1.0 - rate) / (10 * groups) as f64).sqrt();
        let covers = [
            (rate - P).abs() <= half,
            cluster::mean(&rows, Level::P95).is_ok_and(|figure| figure.interval.contains(P)),
            cluster::rate(&rows, Level::P95, Purpose::Report)
                .is_ok_and(|figure| figure.interval.contains(P)),
            percentile(&passes, &mut chance).contains(&P),
        ];
        for (hit, cover) in hits.iter_mut().zip(covers) {
            *hit += usize::from(cover);
        }
    }
    let names = [
        "naive",
        "t over groups",
        "Wilson with n_eff and t",
        "bootstrap of groups",
    ];
    names
        .iter()
        .zip(said)
        .zip(hits)
        .map(|((name, said), hits)| {
            let name = format!("covers, C = {groups}, m = 10, ICC 0.3: {name}");
            let digit = if said * 100.0 == (said * 100.0).round() {
                0.01
            } else {
                0.001
            };
            Check::share(&name, said, hits, runs).rounded_to(digit)
        })
        .collect()
}

fn rows_of(passes: &[usize]) -> Rows {
    let rows = passes.iter().enumerate().flat_map(|(group, &passed)| {
        (0..10).map(move |i| Row {
            value: f64::from(u8::from(i < passed)),
            group: Some(group as u64),
        })
    });
    Rows::new(rows).unwrap_or_else(|refusal| panic!("groups are not empty: {refusal}"))
}

fn percentile(passes: &[usize], chance: &mut Chance) -> std::ops::RangeInclusive<f64> {
    let mut rates: Vec<f64> = (0..400)
        .map(|_| {
            let sum: usize = passes
                .iter()
                .map(|_| passes[chance.below(passes.len())])
                .sum();
            sum as f64 / (10 * passes.len()) as f64
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    rates[10]..=rates[389]
}

/// 400 successes and 100 errors of a population with 2 % errors.
pub(crate) fn strata_example() -> Vec<Check> {
    let stratum = |population, passed: usize, n: usize| Stratum {
        population,
        sample: Rows::independent((0..n).map(|i| f64::from(u8::from(i < passed)))).ok(),
    };
    let sample = [stratum(98_000, 380, 400), stratum(2_000, 10, 100)];
    let weighted = strata::estimate(&sample, Level::P95).overall;
    let plain = interval::rate(390, 500, Level::P95, Purpose::Report);
    vec![
        Check::exact(
            "400 + 100 sample, plain",
            0.78,
            plain.map_or(f64::NAN, |f| f.estimate),
            1e-12,
        ),
        Check::exact(
            "400 + 100 sample, weighted",
            0.933,
            weighted.map_or(f64::NAN, |f| f.estimate),
            1e-12,
        ),
    ]
}

/// Estimators about which the description prints no figure: a nominal 95 % must be near it.
pub(crate) fn others(runs: usize) -> Vec<Check> {
    let mut chance = Chance::new(77);
    let mut hits = [0; 6];
    for run in 0..runs {
        let skewed = Rows::independent((0..50).map(|_| chance.normal().exp()));
        let mean = skewed.and_then(|rows| bootstrap::mean(&rows, Level::P95, run as u64));
        let (a, b) = (shifted(&mut chance, 0.0, 0), shifted(&mut chance, 0.5, 100));
        let covers: [(&Result<Interval, _>, f64); 5] = [
            (&mean.map(|f| f.interval), 0.5_f64.exp()),
            (
                &quantile::quantile(&a, 0.5, Level::P95).map(|f| f.interval),
                0.0,
            ),
            (
                &compare::hodges_lehmann(&a, &b, Level::P95).map(|f| f.interval),
                0.5,
            ),
            (
                &compare::probability_greater(&a, &b, Level::P95).map(|f| f.interval),
                0.598_706,
            ),
            (&strata_run(&mut chance), 0.5 * 0.9 + 0.3 * 0.7 + 0.2 * 0.2),
        ];
        for (hit, (interval, truth)) in hits.iter_mut().zip(covers) {
            *hit += usize::from(
                interval
                    .as_ref()
                    .is_ok_and(|interval: &Interval| interval.contains(truth)),
            );
        }
        let null = shifted(&mut chance, 0.0, 100);
        let p = compare::label_permutation(&a, &null, run as u64).map_or(1.0, |test| test.p_value);
        hits[5] += usize::from(p > 0.05);
    }
    // the least that is expected, not what should come out
    let names = [
        (
            "bootstrap-t of log-normal values, n = 50, covers at least",
            0.92,
        ),
        ("median of 24 groups of 5 covers at least", 0.93),
        ("Hodges-Lehmann over groups covers at least", 0.93),
        ("P(B > A) over groups covers at least", 0.93),
        ("weighted rate of three strata covers at least", 0.93),
        (
            "permutation over groups is silent without a difference",
            0.95,
        ),
    ];
    names
        .iter()
        .zip(hits)
        .map(|(&(name, said), hits)| Check::share(name, said, hits, runs).must(Must::Reach))
        .collect()
}

/// 24 groups of 5, half of the variance between groups.
fn shifted(chance: &mut Chance, by: f64, first_key: u64) -> Rows {
    let mut rows = Vec::new();
    for group in 0..24 {
        let effect = chance.normal();
        rows.extend((0..5).map(|_| Row {
            value: by + effect + chance.normal(),
            group: Some(first_key + group),
        }));
    }
    Rows::new(rows).unwrap_or_else(|refusal| panic!("groups are not empty: {refusal}"))
}

fn strata_run(chance: &mut Chance) -> Result<Interval, stats::Refusal> {
    let mut stratum = |population, rate: f64, n: usize| Stratum {
        population,
        sample: Rows::independent((0..n).map(|_| f64::from(u8::from(chance.coin(rate))))).ok(),
    };
    let sample = [
        stratum(50_000, 0.9, 60),
        stratum(30_000, 0.7, 60),
        stratum(20_000, 0.2, 60),
    ];
    Ok(strata::estimate(&sample, Level::P95).overall?.interval)
}

/// N_h, n_h and the rate of a stratum.
type Planned = (u64, usize, f64);

/// Weighted rates where the common stratum rarely fails, so that often no fail of it is in the sample.
pub(crate) fn rare_fails(runs: usize) -> Vec<Check> {
    let plans: [[Planned; 2]; 4] = [
        [(98_000, 20, 0.97), (2_000, 20, 0.3)],
        [(98_000, 50, 0.99), (2_000, 20, 0.3)],
        [(98_000, 100, 0.995), (2_000, 100, 0.5)],
        [(90_000, 20, 0.9), (10_000, 20, 0.97)],
    ];
    let mut chance = Chance::new(78);
    let mut check = |plan: &[Planned; 2]| {
        let all: u64 = plan.iter().map(|it| it.0).sum();
        let truth: f64 = plan.iter().map(|it| it.0 as f64 / all as f64 * it.2).sum();
        let hits = (0..runs).filter(|_| {
            let sample = plan.map(|(population, n, rate)| {
                let values = (0..n).map(|_| f64::from(u8::from(chance.coin(rate))));
                Stratum {
                    population,
                    sample: Rows::independent(values).ok(),
                }
            });
            let whole = strata::estimate(&sample, Level::P95).overall;
            whole.is_ok_and(|figure| figure.interval.contains(truth))
        });
        let name = format!(
            "weighted rate, {} of pass rate {}: covers at least",
            plan[0].1, plan[0].2
        );
        Check::share(&name, 0.93, hits.count(), runs).must(Must::Reach)
    };
    plans.iter().map(&mut check).collect()
}

/// What a test of fixed size needs for 0.85 against 0.75, one-sided at 5 %: the level's other tail.
pub(crate) fn planned() -> Vec<Check> {
    let needed = Level::new(0.9).and_then(|level| power::items_needed(1.0, 0.85, 0.75, level));
    let needed = needed.map_or(f64::NAN, |n| n as f64);
    vec![Check::exact(
        "fixed-n z test needs, an arm",
        194.0,
        needed,
        1.0,
    )]
}
