//! D02: the run ends in a loop of two to five steps.
//!
//! Only the last steps are compared, five times three at most: constant behind the making of events.

use crate::events::{ArgumentClass, events};

use super::facts::Facts;
use super::{Found, Severity};

/// The longest loop, in events.
const PERIOD_MAX: usize = 5;

/// How often it must have been gone through.
const ROUNDS_MIN: usize = 3;

/// The last events are one word of two to five events, three times or more.
///
/// Events are told with their arguments: to search and fetch by turns is work, to search and fetch the
/// same by turns is a loop. Calls whose arguments were not told are equal to no other, and agents and
/// answers are left out, for every conversation goes to and fro.
pub(super) fn cycle(facts: &Facts<'_>) -> Found {
    let all = events(facts.view, ArgumentClass::Hashed);
    let steps: Vec<_> = all.iter().filter(|event| event.is_step()).collect();
    if !steps.iter().any(|event| event.is_comparable()) {
        return Err("no steps that could be compared");
    }
    let same = |a: usize, b: usize| steps[a].is_comparable() && steps[a].label == steps[b].label;
    for period in 2..=PERIOD_MAX {
        // How far back does each event equal the one a period before?
        let run = (period..steps.len())
            .rev()
            .take_while(|at| same(*at, at - period))
            .count();
        let rounds = run / period + 1;
        // A word of one repeated event is D01's.
        let last = &steps[steps.len() - period.min(steps.len())..];
        let is_word = last.iter().any(|event| event.label != last[0].label);
        if rounds >= ROUNDS_MIN && is_word {
            let from = steps.len() - rounds * period;
            let word: Vec<&str> = last.iter().map(|event| event.short()).collect();
            let places: Vec<u32> = steps[from..].iter().map(|event| event.first).collect();
            let evidence = format!(
                "the run ends with the same {period} steps {rounds} times over: {}",
                word.join(", ")
            );
            return Ok(vec![facts.hit(Severity::High, &places, evidence)]);
        }
    }
    Ok(Vec::new())
}
