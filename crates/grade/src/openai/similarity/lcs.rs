//! The longest common subsequence of two sequences, 64 cells a step.
//!
//! The bits of a word are the cells of a column of the table, as Hyyrö had it (2004): a zero bit says that
//! the length grows at this cell. A pattern longer than a word is worked off in strips of 64; what one
//! strip carries over to the next is a bit for each symbol of the text. So memory grows with the texts and
//! not with their product, and time is counted: who compares novels is told so and not kept waiting.

/// How many steps one comparison may take: some two seconds of a slow processor.
///
/// Two texts of n symbols that have nothing in common at their ends take n² / 64 steps, so this is two
/// texts of 250,000 symbols.
pub(super) const STEPS_MAX: u64 = 1_000_000_000;

/// The texts would take more steps than are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the texts are too long to be compared by this metric: it would take over {STEPS_MAX} steps"
)]
pub(super) struct TooLong;

/// A comparer with its scratch memory and the steps that it may still take.
#[derive(Debug)]
pub(super) struct Lcs {
    /// For every symbol, where in the strip it stands.
    places: Vec<u64>,
    /// For every symbol of the text, what the strip before carries over.
    carries: Vec<bool>,
    steps_left: u64,
}

impl Lcs {
    /// Returns a comparer of sequences of symbols up to `symbol_max`.
    pub(super) fn new(symbol_max: u32, steps: u64) -> Self {
        Self {
            places: vec![0; symbol_max as usize + 1],
            carries: Vec::new(),
            steps_left: steps,
        }
    }

    /// Returns the length of the longest common subsequence.
    pub(super) fn length(&mut self, a: &[u32], b: &[u32]) -> Result<usize, TooLong> {
        let prefix = a.iter().zip(b).take_while(|(a, b)| a == b).count();
        let (a, b) = (&a[prefix..], &b[prefix..]);
        let backwards = a.iter().rev().zip(b.iter().rev());
        let suffix = backwards.take_while(|(a, b)| a == b).count();
        let (a, b) = (&a[..a.len() - suffix], &b[..b.len() - suffix]);
        // fewer steps: the last strip of the longer one is as good as full
        let (pattern, text) = if a.len() < b.len() { (b, a) } else { (a, b) };
        let mut inside = 0;
        let ended = |row: u64| inside += row.count_zeros() as usize;
        self.strips(pattern, text, |_, _| (), ended)?;
        Ok(prefix + inside + suffix)
    }

    /// Returns for every prefix of the text, the shortest first, the length of its longest common
    /// subsequence with the pattern.
    pub(super) fn of_prefixes(
        &mut self,
        pattern: &[u32],
        text: &[u32],
    ) -> Result<Vec<usize>, TooLong> {
        let mut lengths = vec![0; text.len()];
        let seen = |at: usize, row: u64| lengths[at] += row.count_zeros() as usize;
        self.strips(pattern, text, seen, |_| ())?;
        Ok(lengths)
    }

    /// Works off the pattern in strips. `seen` is told the row of a strip behind each symbol of the text,
    /// `ended` behind the last.
    fn strips(
        &mut self,
        pattern: &[u32],
        text: &[u32],
        mut seen: impl FnMut(usize, u64),
        mut ended: impl FnMut(u64),
    ) -> Result<(), TooLong> {
        let steps = pattern.len().div_ceil(64) as u64 * text.len() as u64;
        self.steps_left = self.steps_left.checked_sub(steps).ok_or(TooLong)?;
        self.carries.clear();
        self.carries.resize(text.len(), false);
        for strip in pattern.chunks(64) {
            for (bit, symbol) in strip.iter().enumerate() {
                self.places[*symbol as usize] |= 1 << bit;
            }
            let mut row = u64::MAX;
            for (at, (symbol, carry)) in text.iter().zip(&mut self.carries).enumerate() {
                let hits = row & self.places[*symbol as usize];
                let (sum, over) = row.overflowing_add(hits);
                let (sum, over_by_carry) = sum.overflowing_add(u64::from(*carry));
                *carry = over | over_by_carry;
                row = sum | (row - hits);
                seen(at, row);
            }
            ended(row);
            for symbol in strip {
                self.places[*symbol as usize] = 0;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The textbook's table.
    fn by_table(a: &[u32], b: &[u32]) -> usize {
        let mut row = vec![0; b.len() + 1];
        for x in a {
            let mut diagonal = 0;
            for (j, y) in b.iter().enumerate() {
                let above = row[j + 1];
                row[j + 1] = if x == y {
                    diagonal + 1
                } else {
                    above.max(row[j])
                };
                diagonal = above;
            }
        }
        row[b.len()]
    }

    #[test]
    fn steps_are_bounded() {
        let (a, b) = (vec![1; 6400], vec![2; 1000]);
        assert_eq!(Lcs::new(2, 99_999).length(&a, &b), Err(TooLong));
        assert_eq!(Lcs::new(2, 100_000).length(&a, &b), Ok(0));
        // what is the same at both ends costs nothing
        assert_eq!(Lcs::new(2, 0).length(&a, &a), Ok(6400));
    }

    proptest! {
        #[test]
        fn lengths_are_those_of_the_table(
            a in proptest::collection::vec(0_u32..6, 0..300),
            b in proptest::collection::vec(0_u32..6, 0..300),
        ) {
            let mut lcs = Lcs::new(6, STEPS_MAX);
            prop_assert_eq!(lcs.length(&a, &b), Ok(by_table(&a, &b)));
            let prefixes = lcs.of_prefixes(&a, &b).unwrap();
            for end in [1, 64, 65, b.len()] {
                if (1..=b.len()).contains(&end) {
                    prop_assert_eq!(prefixes[end - 1], by_table(&a, &b[..end]));
                }
            }
        }
    }
}
