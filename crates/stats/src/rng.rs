//! Chance that anybody can repeat: a named generator, a seed, and no other state.
//!
//! Results are stored beside their seed, so the stream must be the same in every version and on every
//! machine. Xoshiro256++ is fixed by its paper; what is drawn from it is fixed here.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};

/// A stream of chance.
#[derive(Debug, Clone)]
pub struct Chance(Xoshiro256PlusPlus);

impl Chance {
    /// Returns the stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// Returns a number from 0 to below 1, of 53 random bits.
    pub fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Returns true in a share `p` of draws.
    pub fn coin(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// Returns 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Returns a number below `bound`, which is above 0.
    ///
    /// The upper half of a product (Lemire, without his rejection): the bias is below bound / 2⁶⁴.
    pub fn below(&mut self, bound: usize) -> usize {
        debug_assert!(bound > 0, "there is nothing below 0");
        let product = u128::from(self.0.next_u64()) * bound as u128;
        (product >> 64) as usize
    }

    /// Returns a standard normal number (Box and Muller, the cosine half).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}
