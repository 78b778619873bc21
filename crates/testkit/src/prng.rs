//! Numbers that look random and are the same in every run.

/// The generator `splitmix64`.
#[derive(Debug, Clone)]
pub struct Prng(u64);

impl Prng {
    /// Returns the sequence of a seed.
    pub fn new(seed: u64) -> Self {
        // Neighbouring seeds are common (0, 1, 2 …) and must not give neighbouring sequences.
        let mut prng = Self(seed.wrapping_mul(0xA24B_AED4_963E_E407));
        prng.next();
        prng
    }

    /// Returns the next number.
    #[expect(
        clippy::should_implement_trait,
        reason = "an endless sequence is more convenient without the Option"
    )]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Returns a number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}
