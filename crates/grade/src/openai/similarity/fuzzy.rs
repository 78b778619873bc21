//! `fuzzy_match`: `WRatio` of rapidfuzz 3.10.1 over texts that its `default_process` made plain.
//!
//! The scale is 0 to 100 and the order of operations rapidfuzz's, so that a score at a threshold falls on
//! the same side. How the best place in the longer text is found is not: all prefixes come out of one
//! pass, and so do all suffixes, and windows are looked at only where they can still win.

use std::collections::BTreeSet;

use super::lcs::{Lcs, STEPS_MAX, TooLong};
use super::words;

/// What a comparison of words is worth beside one of texts.
const WORDS_SCALE: f64 = 0.95;

/// Returns how like two texts are, 0 to 1.
pub(super) fn score(input: &str, reference: &str) -> Result<f64, TooLong> {
    Ok(wratio(&words::plain(input), &words::plain(reference))? / 100.0)
}

/// A weighted best of several ways to compare, 0 to 100.
fn wratio(a: &str, b: &str) -> Result<f64, TooLong> {
    let (whole_a, whole_b) = (symbols(a), symbols(b));
    if whole_a.is_empty() || whole_b.is_empty() {
        return Ok(0.0);
    }
    let symbol_max = whole_a.iter().chain(&whole_b).copied().max();
    let mut lcs = Lcs::new(symbol_max.unwrap_or(0).max(u32::from(' ')), STEPS_MAX);
    let words = Words::of(a, b);
    let whole = ratio(&mut lcs, &whole_a, &whole_b)?;
    let (shorter, longer) = by_length(&whole_a, &whole_b);
    let length_ratio = longer.len() as f64 / shorter.len() as f64;
    if length_ratio < 1.5 {
        return Ok(whole.max(words.ratio(&mut lcs)? * WORDS_SCALE));
    }
    let scale = if length_ratio < 8.0 { 0.9 } else { 0.6 };
    // the words first: what they reach, windows of the texts have to beat
    let by_words = words.partial_ratio(&mut lcs)? * WORDS_SCALE * scale;
    let best = whole.max(by_words);
    let by_place = partial_ratio(&mut lcs, &whole_a, &whole_b, best / scale)? * scale;
    Ok(best.max(by_place))
}

/// The words of both texts, sorted, and what is common and what is not.
struct Words {
    sorted: [Vec<u32>; 2],
    /// The words of one text that are not in the other, each once.
    own: [Vec<u32>; 2],
    /// How long the common words are, with a space between each.
    common_len: usize,
    /// Whether no word of either text comes twice or in the other text.
    own_are_all: bool,
}

impl Words {
    fn of(a: &str, b: &str) -> Self {
        let split = |text| {
            let mut words: Vec<&str> = words::split(text).collect();
            words.sort_unstable();
            words
        };
        let (all_a, all_b) = (split(a), split(b));
        let a: BTreeSet<&str> = all_a.iter().copied().collect();
        let b: BTreeSet<&str> = all_b.iter().copied().collect();
        let own = |of: &BTreeSet<&'_ str>, other: &BTreeSet<&'_ str>| -> (usize, Vec<u32>) {
            let own: Vec<&str> = of
                .iter()
                .copied()
                .filter(|word| !other.contains(word))
                .collect();
            (own.len(), symbols(&own.join(" ")))
        };
        let (own_a, own_b) = (own(&a, &b), own(&b, &a));
        let common: Vec<&str> = a.intersection(&b).copied().collect();
        Self {
            sorted: [symbols(&all_a.join(" ")), symbols(&all_b.join(" "))],
            own_are_all: own_a.0 == all_a.len() && own_b.0 == all_b.len(),
            own: [own_a.1, own_b.1],
            common_len: symbols(&common.join(" ")).len(),
        }
    }

    /// The best of the sorted words compared, and of the common words against each text's.
    fn ratio(&self, lcs: &mut Lcs) -> Result<f64, TooLong> {
        let [own_a, own_b] = &self.own;
        if self.common_len > 0 && (own_a.is_empty() || own_b.is_empty()) {
            return Ok(100.0);
        }
        let sorted = ratio(lcs, &self.sorted[0], &self.sorted[1])?;
        let common = self.common_len;
        let gap = usize::from(common > 0);
        let (with_a, with_b) = (common + gap + own_a.len(), common + gap + own_b.len());
        let distance = own_a.len() + own_b.len() - 2 * lcs.length(own_a, own_b)?;
        let best = sorted.max(nearness(distance, with_a + with_b));
        if common == 0 {
            return Ok(best);
        }
        let against_a = nearness(gap + own_a.len(), common + with_a);
        let against_b = nearness(gap + own_b.len(), common + with_b);
        Ok(best.max(against_a).max(against_b))
    }

    /// The best place of the shorter text's sorted words in the longer's; a common word is one.
    fn partial_ratio(&self, lcs: &mut Lcs) -> Result<f64, TooLong> {
        if self.common_len > 0 {
            return Ok(100.0);
        }
        let sorted = partial_ratio(lcs, &self.sorted[0], &self.sorted[1], 0.0)?;
        if self.own_are_all {
            return Ok(sorted);
        }
        Ok(sorted.max(partial_ratio(lcs, &self.own[0], &self.own[1], sorted)?))
    }
}

/// Returns the characters of a text.
fn symbols(text: &str) -> Vec<u32> {
    text.chars().map(u32::from).collect()
}

fn by_length<'a>(a: &'a [u32], b: &'a [u32]) -> (&'a [u32], &'a [u32]) {
    if a.len() <= b.len() { (a, b) } else { (b, a) }
}

/// Returns 100 for a distance of 0, and 0 for one of all there is.
fn nearness(distance: usize, all: usize) -> f64 {
    if all == 0 {
        return 100.0;
    }
    100.0 - 100.0 * distance as f64 / all as f64
}

/// Returns how like two texts are by what must be put in and taken out of one to make the other.
fn ratio(lcs: &mut Lcs, a: &[u32], b: &[u32]) -> Result<f64, TooLong> {
    let common = lcs.length(a, b)?;
    Ok(likeness(common, a.len() + b.len()))
}

fn likeness(common: usize, all: usize) -> f64 {
    if all == 0 {
        return 100.0;
    }
    let distance = all - 2 * common;
    (1.0 - distance as f64 / all as f64) * 100.0
}

/// Returns how like the shorter text is to the best part of the longer that is no longer than it. What is
/// not above `floor` may come out as anything up to it.
fn partial_ratio(lcs: &mut Lcs, a: &[u32], b: &[u32], floor: f64) -> Result<f64, TooLong> {
    let (shorter, longer) = by_length(a, b);
    if shorter.is_empty() {
        return Ok(if longer.is_empty() { 100.0 } else { 0.0 });
    }
    let best = best_place(lcs, shorter, longer, floor)?;
    if shorter.len() < longer.len() || best >= 100.0 {
        return Ok(best);
    }
    Ok(best.max(best_place(lcs, longer, shorter, floor.max(best))?))
}

/// Returns the best of the longer text's beginnings and ends and of its windows of the shorter's length.
fn best_place(lcs: &mut Lcs, shorter: &[u32], longer: &[u32], floor: f64) -> Result<f64, TooLong> {
    let width = shorter.len();
    let backwards = |text: &[u32]| text.iter().rev().copied().collect::<Vec<u32>>();
    let beginnings = lcs.of_prefixes(shorter, &longer[..width])?;
    let end = backwards(&longer[longer.len() - width..]);
    let ends = lcs.of_prefixes(&backwards(shorter), &end)?;
    let mut best: f64 = 0.0;
    for lengths in [beginnings, ends] {
        for (i, common) in lengths.into_iter().enumerate() {
            best = best.max(likeness(common, width + i + 1));
        }
    }
    let to_beat = (best.max(floor) / 100.0 * width as f64) as usize;
    let common = best_window(lcs, shorter, longer, to_beat)?;
    Ok(best.max(likeness(common, 2 * width)))
}

/// Returns the greatest length of a common subsequence with a window, if it is above `to_beat`.
///
/// From one window to the next the length changes by 1 at most. So between two windows n apart no
/// length is above half of n and both together, and whole stretches need not be looked at.
fn best_window(
    lcs: &mut Lcs,
    shorter: &[u32],
    longer: &[u32],
    to_beat: usize,
) -> Result<usize, TooLong> {
    let width = shorter.len();
    let mut common_at = |start: usize| lcs.length(shorter, &longer[start..start + width]);
    let last = longer.len() - width;
    let (first_common, last_common) = (common_at(0)?, common_at(last)?);
    let mut best = first_common.max(last_common);
    let mut stretches = vec![(0, first_common, last, last_common)];
    while let Some((from, common_from, to, common_to)) = stretches.pop() {
        let reachable = (common_from + common_to + (to - from)) / 2;
        if to - from < 2 || reachable <= best.max(to_beat) {
            continue;
        }
        let middle = from.midpoint(to);
        let common = common_at(middle)?;
        best = best.max(common);
        stretches.push((middle, common, to, common_to));
        stretches.push((from, common_from, middle, common));
    }
    Ok(best)
}
