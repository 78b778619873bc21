//! Every figure of the grading method that can be simulated, with its Monte Carlo error.
//!
//! Run with `cargo bench -p stats`; a number after `--` multiplies the runs. Prints a table and exits with
//! 1 if a figure is off by more than three errors. A fast part of it runs with the tests.

mod simulated;

use std::io::Write as _;
use std::process::ExitCode;

use simulated::{Check, Must, alerts, coverage, judges, sequential};
use stats::Refusal;

fn main() -> ExitCode {
    let factor = std::env::args()
        .skip(1)
        .find_map(|arg| arg.parse::<f64>().ok());
    match checks(factor.unwrap_or(1.0)).map(|checks| (print(&checks), checks)) {
        Ok((Ok(()), checks)) if checks.iter().all(Check::holds) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn checks(factor: f64) -> Result<Vec<Check>, Refusal> {
    let runs = |base: f64| (base * factor) as usize;
    let mut checks = coverage::rates();
    checks.extend(coverage::clusters(
        20,
        [0.67, 0.931, 0.950, 0.917],
        runs(10_000.0),
    ));
    checks.extend(coverage::clusters(
        10,
        [0.66, 0.910, 0.939, 0.885],
        runs(10_000.0),
    ));
    checks.extend(coverage::strata_example());
    checks.extend(coverage::others(runs(800.0)));
    checks.extend(coverage::rare_fails(runs(4_000.0)));
    checks.extend(coverage::planned());
    checks.extend(judges::lenient(runs(1_000.0)));
    checks.extend(judges::real(&judgements(), runs(2_000.0)));
    checks.extend(judges::forms(runs(1_500.0)));
    checks.extend(sequential::peeking(runs(5_000.0)));
    checks.extend(sequential::betting(runs(2_000.0))?);
    checks.extend(sequential::blocks(runs(2_000.0)));
    checks.extend(sequential::sequence(runs(300.0))?);
    checks.extend(alerts::naive(runs(4_000.0)));
    checks.extend(alerts::rank(runs(1_000.0))?);
    checks.extend(alerts::rank_null(8, 0.027, runs(600.0))?);
    // no figure is said of this one: what was found, so that a change is seen
    checks.extend(alerts::rank_null(1, 0.12, runs(300.0))?);
    checks.extend(alerts::rate(runs(2_000.0))?);
    Ok(checks)
}

/// The real judgements, judge and human.
fn judgements() -> Vec<(bool, bool)> {
    include_str!("../../../testdata/stats/agent-as-a-judge.tsv")
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut fields = line.split('\t').skip(2).map(|field| field == "1");
            let human = fields.next()?;
            Some((fields.next()?, human))
        })
        .collect()
}

fn print(checks: &[Check]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{:<66}{:>10}{:>10}{:>9}", "", "said", "found", "error")?;
    for check in checks {
        let said = match check.must {
            Must::Equal => format!("{:.4}", check.said),
            Must::NotExceed => format!("≤ {:.4}", check.said),
            Must::Reach => format!("≥ {:.4}", check.said),
        };
        let verdict = if check.holds() { "" } else { "  <- off" };
        writeln!(
            out,
            "{:<66}{said:>10}{:>10.4}{:>9.4}{verdict}",
            check.name, check.found, check.error
        )?;
    }
    Ok(())
}
