//! Sets of cases as bits: what a feature set has in common is an AND.

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    pub(super) fn none(size: usize) -> Self {
        Self(vec![0; size.div_ceil(64)])
    }

    pub(super) fn insert(&mut self, at: usize) {
        self.0[at / 64] |= 1 << (at % 64);
    }

    pub(super) fn contains(&self, at: usize) -> bool {
        self.0[at / 64] >> (at % 64) & 1 == 1
    }

    pub(super) fn and(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a & b).collect())
    }

    pub(super) fn remove_all(&mut self, other: &Self) {
        for (mine, other) in self.0.iter_mut().zip(&other.0) {
            *mine &= !other;
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// Returns how many are in both, without making the set.
    pub(super) fn common(&self, other: &Self) -> u64 {
        let both = self.0.iter().zip(&other.0);
        both.map(|(a, b)| u64::from((a & b).count_ones())).sum()
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = usize> {
        let size = self.0.len() * 64;
        (0..size).filter(|at| self.contains(*at))
    }
}
