//! Looking all the time: how often is it wrong, and how soon right?

use stats::Refusal;
use stats::eprocess::{Betting, Blocks};
use stats::rng::Chance;

use super::{Check, Must};

/// The baseline's rate. The description gives none; a fixed-n test that needs 194 is of 0.85 and 0.75.
const BASELINE: f64 = 0.85;

/// A one-sided z test at 5 %, looked at after each of 50 equal parts.
pub(crate) fn peeking(runs: usize) -> Vec<Check> {
    let mut chance = Chance::new(21);
    let alarmed = (0..runs)
        .filter(|_| {
            let (mut a, mut b) = (0_u32, 0_u32);
            (1..=50).any(|look| {
                a += (0..20)
                    .map(|_| u32::from(chance.coin(BASELINE)))
                    .sum::<u32>();
                b += (0..20)
                    .map(|_| u32::from(chance.coin(BASELINE)))
                    .sum::<u32>();
                let n = f64::from(20 * look);
                let pooled = f64::from(a + b) / (2.0 * n);
                let z =
                    (f64::from(a) - f64::from(b)) / n / (2.0 * pooled * (1.0 - pooled) / n).sqrt();
                z > 1.644_853_6
            })
        })
        .count();
    vec![
        Check::share(
            "z test looked at 50 times: false alarms",
            0.27,
            alarmed,
            runs,
        )
        .rounded_to(0.01),
    ]
}

/// Pairs until the bet reaches 20, at most `most`.
fn paired_time(chance: &mut Chance, candidate: f64, most: usize) -> Result<f64, Refusal> {
    let mut bet = Betting::new(0.0)?;
    for pair in 1..=most {
        let (a, b) = (chance.coin(BASELINE), chance.coin(candidate));
        bet.push(f64::from(u8::from(a)) - f64::from(u8::from(b)))?;
        if bet.e_value() >= 20.0 {
            return Ok(pair as f64);
        }
    }
    Ok(f64::INFINITY)
}

/// The betting e-process on baseline − candidate.
pub(crate) fn betting(runs: usize) -> Result<Vec<Check>, Refusal> {
    let mut chance = Chance::new(22);
    let mut times = |candidate: f64, most: usize, runs: usize| -> Result<Vec<f64>, Refusal> {
        (0..runs)
            .map(|_| paired_time(&mut chance, candidate, most))
            .collect()
    };
    let null = times(BASELINE, 2_000, runs)?;
    let alarmed = null.iter().filter(|time| time.is_finite()).count();
    Ok(vec![
        Check::share("betting: false alarms at any time", 0.026, alarmed, runs),
        Check::share("betting: false alarms at most", 0.05, alarmed, runs).must(Must::NotExceed),
        Check::median(
            "betting: pairs to find a drop of 10 points",
            190.0,
            times(BASELINE - 0.1, 3_000, runs)?,
        ),
        Check::median(
            "betting: pairs to find a drop of 5 points",
            683.0,
            times(BASELINE - 0.05, 6_000, runs / 2)?,
        ),
    ])
}

/// Blocks of one baseline and one candidate item.
pub(crate) fn blocks(runs: usize) -> Vec<Check> {
    let mut chance = Chance::new(23);
    let mut times = |candidate: f64, most: usize| -> Vec<f64> {
        (0..runs)
            .map(|_| {
                let mut blocks = Blocks::new();
                for block in 1..=most {
                    blocks.push(chance.coin(BASELINE), chance.coin(candidate));
                    if blocks.e_value() >= 20.0 {
                        return block as f64;
                    }
                }
                f64::INFINITY
            })
            .collect()
    };
    let alarmed = times(BASELINE, 2_000)
        .iter()
        .filter(|time| time.is_finite())
        .count();
    vec![
        Check::share("blocks: false alarms at any time", 0.023, alarmed, runs),
        Check::share("blocks: false alarms at most", 0.05, alarmed, runs).must(Must::NotExceed),
        Check::median(
            "blocks to find a drop of 10 points",
            342.0,
            times(BASELINE - 0.1, 4_000),
        ),
    ]
}

/// The confidence sequence, looked at all the time, around a true mean of 0.1.
pub(crate) fn sequence(runs: usize) -> Result<Vec<Check>, Refusal> {
    let mut chance = Chance::new(24);
    let mut missed = 0;
    for _ in 0..runs {
        let mut bet = Betting::new(0.0)?;
        let mut wrong = false;
        for pair in 1..=600 {
            let (a, b) = (chance.coin(BASELINE), chance.coin(BASELINE - 0.1));
            bet.push(f64::from(u8::from(a)) - f64::from(u8::from(b)))?;
            // at times that grow by a tenth: a bound costs more than a value
            if pair % (1 + pair / 10) == 0 {
                let figure = bet.confidence_sequence(stats::Level::P95)?;
                wrong |= !figure.interval.contains(0.1);
            }
        }
        missed += usize::from(wrong);
    }
    Ok(vec![
        Check::share(
            "confidence sequence: ever wrong at most",
            0.05,
            missed,
            runs,
        )
        .must(Must::NotExceed),
    ])
}
