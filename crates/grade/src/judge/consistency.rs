//! One judge held against itself: how noisy is it?
//!
//! Some traces are judged several times. That measures the judge and does not vote: a rate of flips
//! stands beside the results.

use super::cache::CacheKey;

/// Returns whether a piece of work is among this share that is judged again.
///
/// By its key, so that it is the same share at every restart, and a larger one holds a smaller.
pub fn is_sampled(key: &CacheKey, share: f64) -> bool {
    let [a, b, c, d, e, f, g, h, ..] = *key.as_bytes();
    let place = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    (place as f64) < share * u64::MAX as f64
}

/// How often a judge changed its mind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flips {
    /// Pieces of work that got two verdicts or more.
    pub repeated: usize,
    /// Those of them whose verdicts were not all the same.
    pub flipped: usize,
    /// Pairs of verdicts on the same piece of work.
    pub pairs: usize,
    /// Pairs that differ.
    pub differing: usize,
}

impl Flips {
    /// Counts the verdicts that one piece of work got; those that are none do not count.
    pub fn add<L: PartialEq>(&mut self, verdicts: &[Option<L>]) {
        let given: Vec<&L> = verdicts.iter().flatten().collect();
        if given.len() < 2 {
            return;
        }
        let later = |at: usize| &given[at + 1..];
        let differing = |at: usize| later(at).iter().filter(|it| **it != given[at]).count();
        let differing: usize = (0..given.len()).map(differing).sum();
        self.repeated += 1;
        self.flipped += usize::from(differing > 0);
        self.pairs += given.len() * (given.len() - 1) / 2;
        self.differing += differing;
    }

    /// Returns the share of work on which the judge changed its mind. It grows with the repetitions.
    pub fn rate(&self) -> Option<f64> {
        (self.repeated > 0).then(|| self.flipped as f64 / self.repeated as f64)
    }

    /// Returns the chance that two verdicts on the same work differ, whatever the repetitions.
    pub fn pair_rate(&self) -> Option<f64> {
        (self.pairs > 0).then(|| self.differing as f64 / self.pairs as f64)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{CacheKey, Flips, is_sampled};

    #[test]
    fn a_share_is_sampled_and_larger_ones_hold_it() {
        let key = |n: u32| CacheKey::new(&json!(n), b"", "", &json!(null));
        let keys: Vec<CacheKey> = (0..4_000).map(key).collect();
        let count = |share| keys.iter().filter(|key| is_sampled(key, share)).count();
        assert_eq!((count(0.0), count(1.0)), (0, 4_000));
        // 200 expected; the deviation is 13.8.
        assert!((140..260).contains(&count(0.05)), "{}", count(0.05));
        assert!(
            keys.iter()
                .all(|key| !is_sampled(key, 0.05) || is_sampled(key, 0.1))
        );
    }

    #[test]
    fn flips_are_counted() {
        let mut flips = Flips::default();
        assert_eq!((flips.rate(), flips.pair_rate()), (None, None));
        flips.add(&[Some("pass"), Some("pass"), Some("pass")]);
        flips.add(&[Some("pass"), Some("fail"), Some("pass")]);
        flips.add(&[Some("pass"), None]);
        flips.add(&[Some("pass"), None, Some("unknown")]);
        let expected = Flips {
            repeated: 3,
            flipped: 2,
            pairs: 7,
            differing: 3,
        };
        assert_eq!(flips, expected);
        assert_eq!(flips.pair_rate(), Some(3.0 / 7.0));
    }
}
