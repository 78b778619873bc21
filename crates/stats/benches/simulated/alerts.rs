//! Streams watched for months: how often is an alarm false, and how late is a true one?

use stats::Refusal;
use stats::detector::{RankDetector, RateDetector, SeasonalBaseline, Tail};
use stats::rng::Chance;

use super::{Check, Must};

/// "Today's mean is above 1.5 times the baseline's": 30 values a day, log-normal, a baseline of 30 days.
pub(crate) fn naive(runs: usize) -> Vec<Check> {
    let mut chance = Chance::new(31);
    let mut checks = Vec::new();
    for (sigma, said) in [(1.2, 0.08), (1.6, 0.13)] {
        let mut mean =
            |n: usize| (0..n).map(|_| (sigma * chance.normal()).exp()).sum::<f64>() / n as f64;
        let (mut quiet, mut slow) = (0, 0);
        for _ in 0..runs {
            let (usual, today) = (mean(900), mean(30));
            quiet += usize::from(today > 1.5 * usual);
            slow += usize::from(1.4 * today > 1.5 * usual);
        }
        let name = format!("mean above 1.5 baselines, σ = {sigma}: false alarms a day");
        checks.push(Check::share(&name, said, quiet, runs).rounded_to(0.01));
        let name = format!("mean above 1.5 baselines, σ = {sigma}: sees +40 % on a day");
        checks.push(Check::share(&name, 1.0 / 3.0, slow, runs).rounded_to(0.05));
    }
    checks
}

/// A detector with a baseline of `bins` hours of 200 log-normal values each.
fn detector(chance: &mut Chance, bins: usize, sigma: f64) -> Result<RankDetector, Refusal> {
    let points = (0..bins * 200).map(|i| (i / 200, (sigma * chance.normal()).exp()));
    Ok(RankDetector::new(SeasonalBaseline::new(points)?))
}

/// Values until an alarm, at most `most`, when all are `factor` times as large.
fn time(
    chance: &mut Chance,
    bins: usize,
    sigma: f64,
    factor: f64,
    most: usize,
) -> Result<(f64, Option<Tail>), Refusal> {
    let mut detector = detector(chance, bins, sigma)?;
    for i in 0..most {
        let value = factor * (sigma * chance.normal()).exp();
        if let Some(alarm) = detector.push(i % bins, value)? {
            return Ok(((i + 1) as f64, Some(alarm.tail)));
        }
    }
    Ok((f64::INFINITY, None))
}

/// The rank detector on a slowdown.
pub(crate) fn rank(runs: usize) -> Result<Vec<Check>, Refusal> {
    let mut chance = Chance::new(32);
    let mut checks = Vec::new();
    for (factor, said) in [(1.4, [136.0, 309.0, 736.0]), (2.0, [44.0, 76.0, 124.0])] {
        for (sigma, said) in [0.8, 1.2, 1.6].into_iter().zip(said) {
            let times: Result<Vec<f64>, Refusal> = (0..runs)
                .map(|_| Ok(time(&mut chance, 8, sigma, factor, 4_000)?.0))
                .collect();
            let name = format!("rank detector: values to see × {factor}, σ = {sigma}");
            checks.push(Check::median(&name, said, times?));
        }
    }
    Ok(checks)
}

/// The rank detector without a change.
///
/// The description says 2.7 % at most and not of which baseline. That holds for each direction with eight
/// bins; of one bin of 200 values it does not.
pub(crate) fn rank_null(bins: usize, said: f64, runs: usize) -> Result<Vec<Check>, Refusal> {
    let mut chance = Chance::new(33);
    let (mut up, mut down) = (0, 0);
    for _ in 0..runs {
        match time(&mut chance, bins, 1.2, 1.0, 10_000)?.1 {
            Some(Tail::Up) => up += 1,
            Some(Tail::Down) => down += 1,
            None => {}
        }
    }
    let name = |tail| format!("rank detector, {bins} bins: {tail} in 10,000 unchanged values");
    Ok(vec![
        Check::share(&name("up"), said, up, runs).must(Must::NotExceed),
        Check::share(&name("down"), said, down, runs).must(Must::NotExceed),
    ])
}

/// The rate detector on a fall from 0.9.
pub(crate) fn rate(runs: usize) -> Result<Vec<Check>, Refusal> {
    let mut chance = Chance::new(34);
    let mut checks = Vec::new();
    for (rate, said) in [(0.8, 163.0), (0.7, 74.0)] {
        let mut times = Vec::new();
        for _ in 0..runs {
            let mut detector = RateDetector::new(0.9)?;
            let found = (1..=4_000).find(|_| detector.push(chance.coin(rate)).is_some());
            times.push(found.map_or(f64::INFINITY, f64::from));
        }
        let name = format!("rate detector: outcomes to see 0.9 fall to {rate}");
        checks.push(Check::median(&name, said, times));
    }
    let alarmed = (0..runs / 4)
        .map(|_| {
            let mut detector = RateDetector::new(0.9)?;
            Ok((0..10_000).any(|_| detector.push(chance.coin(0.9)).is_some()))
        })
        .collect::<Result<Vec<bool>, Refusal>>()?;
    let hits = alarmed.iter().filter(|alarmed| **alarmed).count();
    // 1 − 1/e: what a mean run length of 10,000 gives where alarms have no memory
    let name = "rate detector: alarms in 10,000 unchanged outcomes at most";
    checks.push(Check::share(name, 0.632, hits, runs / 4).must(Must::NotExceed));
    Ok(checks)
}
