//! D22: the run does not know when to stop.
//!
//! Each turn is compared with the last few of its agent, by a bounded number of pairs of words: linear
//! in the turns.

use std::collections::{HashMap, VecDeque};

use super::facts::{Facts, quote};
use super::words::Words;
use super::{Found, Severity};

/// Turns are alike from here on, by the pairs of words that they share.
const ALIKE_MIN: f64 = 0.85;

/// So many turns that repeat an earlier one are a hit.
const REPEATS_MIN: usize = 2;

/// Shorter turns are alike by chance.
const WORDS_MIN: usize = 6;

/// No more words of a turn are compared.
const WORDS_MAX: usize = 400;

/// A turn is compared with so many before it.
const RECENT: usize = 4;

/// A turn of the model: its place and its pairs of words, sorted.
struct Turn {
    at: u32,
    pairs: Vec<u64>,
}

/// At least two turns that say again what their agent said before, behind an answer; or the run was
/// stopped at its last turn.
pub(super) fn unaware_of_stopping(facts: &Facts<'_>) -> Found {
    let spans = (0u32..).zip(&facts.view.spans);
    let stopped = spans
        .filter(|(_, span)| {
            let error = span.span().error.as_ref();
            error.is_some_and(|error| error.kind == "max_turns")
        })
        .map(|(at, _)| at)
        .next();
    if let Some(at) = stopped {
        let evidence = "the run was stopped at its limit of turns".to_owned();
        return Ok(vec![facts.hit(Severity::High, &[at], evidence)]);
    }
    let words = Words::default();
    let mut recent: HashMap<Option<&str>, VecDeque<Turn>> = HashMap::new();
    let (mut has_answer, mut turns) = (false, 0);
    let mut repeats: Vec<(u32, u32)> = Vec::new();
    for at in &facts.view.generations {
        let span = facts.span(*at);
        let text = span.told.output.iter().find_map(|said| said.text());
        let Some(text) = text else { continue };
        turns += 1;
        let pairs = pairs(&text, &words);
        if pairs.len() + 1 >= WORDS_MIN {
            let before = recent.entry(span.agent.as_deref()).or_default();
            let like = before
                .iter()
                .find(|turn| alike(&turn.pairs, &pairs) >= ALIKE_MIN);
            if let Some(first) = like.filter(|_| has_answer) {
                repeats.push((first.at, *at));
            }
            before.push_back(Turn { at: *at, pairs });
            if before.len() > RECENT {
                before.pop_front();
            }
        }
        has_answer |= span.requested_calls().next().is_none();
    }
    if turns == 0 {
        return Err("no words of a model");
    }
    if repeats.len() < REPEATS_MIN {
        return Ok(Vec::new());
    }
    let (first, again) = repeats[0];
    let said = facts.span(again).output_text().unwrap_or_default();
    let evidence = format!(
        "{} turns say again what was said before, the first of them {}",
        repeats.len(),
        quote(&said)
    );
    let mut places = vec![first];
    places.extend(repeats.iter().map(|(_, again)| *again));
    Ok(vec![facts.hit(Severity::Medium, &places, evidence)])
}

/// Returns the different pairs of neighbouring words, sorted.
fn pairs(text: &str, words: &Words) -> Vec<u64> {
    let hashes: Vec<u64> = words
        .of(text)
        .map(|(_, hash)| hash)
        .take(WORDS_MAX)
        .collect();
    let pairs = hashes.windows(2).map(|pair| words.together(pair));
    let mut pairs: Vec<u64> = pairs.collect();
    pairs.sort_unstable();
    pairs.dedup();
    pairs
}

/// Returns the share of pairs that two turns have in common.
fn alike(a: &[u64], b: &[u64]) -> f64 {
    let (short, long) = if a.len() < b.len() { (a, b) } else { (b, a) };
    // Even if all were shared.
    if (short.len() as f64) < ALIKE_MIN * long.len() as f64 {
        return 0.0;
    }
    let (mut i, mut j, mut both) = (0, 0, 0_usize);
    while i < a.len() && j < b.len() {
        match a[i].cmp(&b[j]) {
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
            std::cmp::Ordering::Equal => {
                both += 1;
                i += 1;
                j += 1;
            }
        }
    }
    both as f64 / (a.len() + b.len() - both).max(1) as f64
}
