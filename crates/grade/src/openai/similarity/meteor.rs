//! METEOR as nltk 3.9.1 computes it: words matched exactly, then by stem, then by synonym, and a penalty
//! for matches that do not stand side by side.
//!
//! Lavie and Agarwal, "Meteor: An automatic metric for MT evaluation with high levels of correlation with
//! human judgments" (2007), with α 0.9, β 3, γ 0.5. The penalty never vanishes: a text scores below 1
//! against itself. The third stage looks up stems, not words, as nltk does; so it finds fewer synonyms
//! than one would think.

use std::collections::HashMap;
use std::iter;

use super::stem::stem;
use super::synonyms;
use super::words;

const ALPHA: f64 = 0.9;
const BETA: i32 = 3;
const GAMMA: f64 = 0.5;

/// Returns METEOR of an input against a reference, 0 to 1.
pub(super) fn score(input: &str, reference: &str) -> f64 {
    let (input, reference) = (open_words(input), open_words(reference));
    let (given, wanted) = (input.len(), reference.len());
    let mut alignment = Alignment {
        input,
        reference,
        matches: Vec::new(),
    };
    alignment.pair(|_| Vec::new());
    alignment.stem();
    alignment.pair(|_| Vec::new());
    alignment.pair(synonyms::of);
    if alignment.matches.is_empty() {
        return 0.0;
    }
    let matched = alignment.matches.len() as f64;
    let precision = matched / given as f64;
    let recall = matched / wanted as f64;
    let mean = precision * recall / (ALPHA * precision + (1.0 - ALPHA) * recall);
    let fragmentation = alignment.chunks() as f64 / matched;
    (1.0 - GAMMA * fragmentation.powi(BETA)) * mean
}

/// A word that is not matched yet, and its place in its text.
type OpenWord = (usize, String);

fn open_words(text: &str) -> Vec<OpenWord> {
    let words = words::split(text).map(str::to_lowercase);
    words.enumerate().collect()
}

/// Two texts while they are matched.
struct Alignment {
    input: Vec<OpenWord>,
    reference: Vec<OpenWord>,
    /// Places in the input and in the reference.
    matches: Vec<(usize, usize)>,
}

impl Alignment {
    /// Matches open words, from the input's last to its first: each with the last of the reference that is
    /// the same or among those that `alike` returns.
    fn pair(&mut self, alike: impl Fn(&str) -> Vec<&'static str>) {
        let mut open: HashMap<&str, Vec<usize>> = HashMap::new();
        for (slot, (_, word)) in self.reference.iter().enumerate() {
            open.entry(word).or_default().push(slot);
        }
        let mut taken = vec![false; self.reference.len()];
        let mut left = Vec::new();
        for (place, word) in self.input.iter().rev() {
            let candidates = iter::once(word.as_str()).chain(alike(word));
            let last_of = |word| open.get(word).and_then(|slots| slots.last());
            let last = candidates.filter_map(last_of).max().copied();
            if let Some(slot) = last {
                let (place_there, word_there) = &self.reference[slot];
                open.get_mut(word_there.as_str()).and_then(Vec::pop);
                taken[slot] = true;
                self.matches.push((*place, *place_there));
            } else {
                left.push((*place, word.clone()));
            }
        }
        left.reverse();
        self.input = left;
        let mut taken = taken.into_iter();
        self.reference.retain(|_| taken.next() == Some(false));
    }

    /// Makes stems of the open words.
    fn stem(&mut self) {
        for (_, word) in self.input.iter_mut().chain(&mut self.reference) {
            *word = stem(word);
        }
    }

    /// Returns into how many pieces the matches fall that stand side by side in both texts.
    fn chunks(&self) -> usize {
        let mut matches = self.matches.clone();
        matches.sort_unstable();
        let breaks = |pair: &&[(usize, usize)]| {
            let [(a, b), (next_a, next_b)] = pair else {
                return false;
            };
            (a + 1, b + 1) != (*next_a, *next_b)
        };
        1 + matches.windows(2).filter(breaks).count()
    }
}
