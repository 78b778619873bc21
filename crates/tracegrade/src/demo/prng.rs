//! Chance that is the same on every machine.
//!
//! SplitMix64 for the bits. Normal and log-normal draws use only `+ - * /`, which IEEE 754 fixes to
//! the bit; `ln`, `exp` and `cos` come from the platform and may differ in the last digit, and one
//! digit is enough to make two demos unequal.

/// A stream of pseudo-random numbers (SplitMix64).
#[derive(Debug, Clone)]
pub(super) struct Prng(u64);

/// Turns a counter into bits that look unrelated to it (the finaliser of SplitMix64).
const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Prng {
    /// Returns the stream of `seed` and `label`; different labels give unrelated streams.
    pub(super) fn new(seed: u64, label: u64) -> Self {
        Self(mix(seed ^ mix(label.wrapping_add(0x9E37_79B9_7F4A_7C15))))
    }

    /// Returns the next 64 bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// Returns a whole number below `n`. The bias for our small `n` is below 10⁻¹⁵.
    pub(super) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    /// Returns a whole number in `from..=to`.
    pub(super) fn between(&mut self, from: i64, to: i64) -> i64 {
        from + self.below((to - from + 1) as usize) as i64
    }

    /// Returns a number in `0.0..1.0`.
    pub(super) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Returns true with probability `p`.
    pub(super) fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// Returns one of `choices`.
    pub(super) fn pick<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len())]
    }

    /// Brings `list` into a random order (Fisher and Yates).
    pub(super) fn shuffle<T>(&mut self, list: &mut [T]) {
        for i in (1..list.len()).rev() {
            list.swap(i, self.below(i + 1));
        }
    }

    /// Returns a draw with median `median` whose logarithm has standard deviation `sigma`. Never
    /// beyond `median · e^{±3.5 sigma}`: four uniform draws stand for the normal one.
    pub(super) fn lognormal(&mut self, median: f64, sigma: f64) -> f64 {
        let sum: f64 = (0..4).map(|_| self.unit()).sum();
        median * exp((sum - 2.0) * 1.732_050_807_568_877_2 * sigma)
    }

    /// Returns `digits` hexadecimal digits after `prefix`, as the SDK's ids have them.
    pub(super) fn id(&mut self, prefix: &str, digits: usize) -> String {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut id = String::with_capacity(prefix.len() + digits);
        id.push_str(prefix);
        let mut bits = 0;
        for i in 0..digits {
            if i % 16 == 0 {
                bits = self.bits();
            }
            id.push(HEX[(bits & 15) as usize] as char);
            bits >>= 4;
        }
        id
    }
}

/// Returns `e^x` by (1 + x/2¹⁶)^(2¹⁶): right to four digits for |x| < 4, and the same everywhere.
fn exp(x: f64) -> f64 {
    let mut power = 1.0 + x / 65_536.0;
    for _ in 0..16 {
        power *= power;
    }
    power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_the_published_one() {
        // First outputs of SplitMix64 from state 0.
        let mut zero = Prng(0);
        assert_eq!(zero.bits(), 0xE220_A839_7B1D_CDAF);
        assert_eq!(zero.bits(), 0x6E78_9E6A_A1B9_65F4);
    }

    #[test]
    fn draws_have_the_shape_they_promise() {
        let mut prng = Prng::new(7, 1);
        let mut draws: Vec<f64> = (0..10_001).map(|_| prng.lognormal(2.0, 0.5)).collect();
        draws.sort_by(f64::total_cmp);
        assert!((draws[5_000] - 2.0).abs() < 0.05, "median {}", draws[5_000]);
        assert!(draws[0] > 2.0 * exp(-1.75) && draws[10_000] < 2.0 * exp(1.75));
        assert!((exp(1.0) - std::f64::consts::E).abs() < 1e-4);
        assert_eq!(Prng::new(1, 1).id("span_", 24).len(), 29);
    }
}
