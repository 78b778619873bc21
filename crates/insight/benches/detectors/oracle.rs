//! Figures that were measured before by other means (§9 of the grading method).

use insight::Detector;

use crate::{Data, prevalence, support};

/// Same call three times anywhere, on InterCode SQL: how many have it, and how many of those and of the
/// others failed.
const SHARE: f64 = 0.145;
const FAIL_GIVEN_HIT: f64 = 0.973;
const FAIL_GIVEN_CLEAR: f64 = 0.304;

/// The figures were printed with three digits.
const ROUNDING: f64 = 0.0006;

/// Returns whether identical calls tell of failure as they did.
pub(crate) fn check(sql: &Data) -> bool {
    let (mut hits, mut hit_failed, mut clear, mut clear_failed) = (0, 0, 0, 0);
    for (line, succeeded) in &sql.traces {
        let Some(view) = support::views(line.clone()).pop() else {
            continue;
        };
        let failed = u32::from(*succeeded == Some(false));
        let finding = prevalence::one(Detector::D01, &view, sql);
        if finding.hits().iter().any(|hit| hit.spans.len() >= 3) {
            hits += 1;
            hit_failed += failed;
        } else {
            clear += 1;
            clear_failed += failed;
        }
    }
    let share = |part: u32, all: u32| f64::from(part) / f64::from(all.max(1));
    let figures = [
        ("share of traces", share(hits, hits + clear), SHARE),
        ("P(fail | hit)", share(hit_failed, hits), FAIL_GIVEN_HIT),
        (
            "P(fail | no hit)",
            share(clear_failed, clear),
            FAIL_GIVEN_CLEAR,
        ),
    ];
    println!("\nsame call at least three times, {}", sql.name);
    let mut is_right = true;
    for (what, got, want) in figures {
        let fits = (got - want).abs() < ROUNDING;
        is_right &= fits;
        let verdict = if fits { "as before" } else { "NOT AS BEFORE" };
        println!("{what:<20}{got:>8.4}{want:>8.3}  {verdict}");
    }
    is_right
}
