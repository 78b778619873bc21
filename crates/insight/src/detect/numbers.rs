//! D19: a number or an id in the answer that came from nowhere.
//!
//! The numbers of all texts are sorted once, and each of the answer is looked up: linear in the texts
//! but for the sorting.

use std::collections::BTreeSet;

use hashbrown::HashSet;
use model::Content;

use super::facts::Facts;
use super::words::{Figure, Words, figures};
use super::{Found, Severity};

/// Numbers up to this count things, steps and stars.
const SMALL_MAX: f64 = 10.0;

/// Smaller whole numbers are not taken for rounded ones.
const ROUNDED_MIN: f64 = 100.0;

/// So many numbers of the answer are named in the evidence.
const NAMED_MAX: usize = 5;

/// Numbers, dates and ids in the answer that no tool, user or instruction has told. Rounding is
/// allowed, and so are percentages of parts. Arithmetic in the model's head is not: that is the point.
pub(super) fn ungrounded_number(facts: &Facts<'_>) -> Found {
    let Some(answer) = &facts.view.final_output else {
        return Err("no final answer");
    };
    if facts.view.row.content == Content::None {
        return Err("no content");
    }
    let utterances = facts.utterances().ok_or("too much text")?;
    // Without a tool all is the model's own knowledge.
    if !utterances
        .iter()
        .any(|said| said.voice == super::facts::Voice::Tool)
    {
        return Err("no tool output");
    }
    let words = Words::default();
    let mut told: Vec<f64> = Vec::new();
    let mut ids = HashSet::new();
    for said in utterances.iter().filter(|said| Facts::informs(said)) {
        told.extend(figures(&said.text).map(|figure| figure.value));
        ids.extend(words.of(&said.text).map(|(_, hash)| hash));
    }
    told.sort_by(f64::total_cmp);
    let is_told = |figure: &Figure| is_grounded(&told, figure) || is_exempt(answer, figure);
    let numbers = figures(answer).filter(|figure| !is_told(figure));
    let mut missing: BTreeSet<&str> = numbers
        .map(|figure| &answer[figure.start..figure.end])
        .collect();
    missing.extend(
        words
            .of(answer)
            .filter(|(word, hash)| is_id(word) && !ids.contains(hash))
            .map(|(word, _)| word),
    );
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let named: Vec<&str> = missing.iter().copied().take(NAMED_MAX).collect();
    let evidence = format!(
        "the answer has {} numbers or ids that no tool, user or instruction told: {}",
        missing.len(),
        named.join(", ")
    );
    let place = last_answer(facts);
    Ok(vec![facts.hit(Severity::Low, place.as_slice(), evidence)])
}

/// Returns the place of the span that gave the answer.
pub(super) fn last_answer(facts: &Facts<'_>) -> Option<u32> {
    let generations = facts.view.generations.iter().rev().copied();
    let is_answer = |at: &u32| {
        let span = facts.span(*at);
        let has_words = span.told.output.iter().any(|said| said.has_words());
        has_words && span.requested_calls().next().is_none()
    };
    let mut answers = generations.filter(is_answer);
    answers.next().or_else(|| {
        let last = facts.view.generations.last().copied();
        last.or_else(|| (!facts.view.spans.is_empty()).then_some(0))
    })
}

fn is_id(word: &str) -> bool {
    let has = |is: fn(&u8) -> bool| word.bytes().any(|byte| is(&byte));
    word.len() >= 5
        && word.is_ascii()
        && has(u8::is_ascii_digit)
        && has(u8::is_ascii_alphabetic)
        && !word.as_bytes()[0].is_ascii_digit()
}

fn is_grounded(told: &[f64], figure: &Figure) -> bool {
    let near = |value: f64, slack: f64| {
        let slack = slack * (1.0 + 1e-9) + 1e-9;
        let at = told.partition_point(|known| *known < value - slack);
        told.get(at).is_some_and(|known| *known <= value + slack)
    };
    let half = 0.5 * 10_f64.powi(-figure.decimals);
    let is_rounded = figure.decimals > 0 || figure.value > ROUNDED_MIN;
    let slack = if is_rounded { half } else { 0.0 };
    let is_hour = figure.decimals == 0 && (1.0..=11.0).contains(&figure.value);
    near(figure.value, slack)
        // A part as a percentage.
        || near(figure.value / 100.0, half / 100.0)
        // An hour of the afternoon.
        || (is_hour && near(figure.value + 12.0, 0.0))
}

fn is_exempt(answer: &str, figure: &Figure) -> bool {
    let is_small = figure.decimals == 0 && figure.value <= SMALL_MAX;
    // The number of an item of a list.
    let before = answer[..figure.start].trim_end_matches([' ', '\t']);
    let is_first = before.is_empty() || before.ends_with('\n');
    let is_marker = is_first && answer[figure.end..].starts_with(['.', ')']);
    is_small || is_marker
}
