//! Which few of many are looked at?
//!
//! Each id gets a number from HMAC-SHA256(seed, id), and the smallest are taken. So the sample can be
//! drawn again by anyone who knows the seed, in any order of ids and on any machine; a larger one holds
//! the smaller one; a run that is stopped half-way has still looked at a random sample; and nobody who
//! does not know the seed can choose an id that will be taken.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Ranks ids by a seed.
#[derive(Clone)]
pub struct Sampler(Hmac<Sha256>);

impl std::fmt::Debug for Sampler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // the seed is a key
        f.write_str("Sampler")
    }
}

impl Sampler {
    /// Returns the sampler of a seed.
    #[expect(
        clippy::missing_panics_doc,
        reason = "HMAC takes keys of any length, so it does not panic"
    )]
    pub fn new(seed: &[u8]) -> Self {
        Self(Hmac::new_from_slice(seed).expect("HMAC takes keys of any length"))
    }

    /// Returns the place of an id in the order of this seed.
    pub fn rank(&self, id: &str) -> [u8; 32] {
        let mut mac = self.0.clone();
        mac.update(id.as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// Returns the first `n` ids of this seed's order, in that order; an id given twice counts once.
    pub fn first<'a>(&self, n: usize, ids: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
        let mut ranked: Vec<([u8; 32], &str)> =
            ids.into_iter().map(|id| (self.rank(id), id)).collect();
        ranked.sort_unstable();
        ranked.dedup();
        ranked.into_iter().take(n).map(|(_, id)| id).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_rank_is_the_standard_function() {
        // RFC 4231, test case 2
        let rank = Sampler::new(b"Jefe").rank("what do ya want for nothing?");
        let hex: String = rank.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn no_part_of_the_ids_is_preferred() {
        let ids: Vec<String> = (0..20_000).map(|i| format!("item_{i}")).collect();
        let taken = Sampler::new(b"seed").first(2_000, ids.iter().map(String::as_str));
        let early = taken
            .iter()
            .filter(|id| id[5..].parse::<u32>().unwrap() < 10_000)
            .count();
        // 1,000 ± 4 standard deviations
        assert!((910..=1_090).contains(&early), "{early}");
    }

    proptest! {
        #[test]
        fn a_larger_sample_keeps_the_smaller_in_any_order(mut ids in prop::collection::hash_set("[a-z0-9]{1,8}", 0..60), small in 0_usize..30, more in 0_usize..30) {
            let sampler = Sampler::new(b"a seed");
            let forward: Vec<String> = ids.drain().collect();
            let large = sampler.first(small + more, forward.iter().map(String::as_str));
            let few = sampler.first(small, forward.iter().rev().map(String::as_str));
            prop_assert_eq!(&large[..few.len()], &few[..]);
            prop_assert_eq!(few.len(), small.min(forward.len()));
        }
    }
}
