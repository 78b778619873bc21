//! A map whose copies share what did not change.
//!
//! Readers keep old versions of the catalog while commits make new ones, and a commit touches few of
//! what may be a hundred thousand keys. So the map is cut into shards by hash: a copy clones 64
//! pointers, and a change copies one shard. Lookups cost one hash more than a plain map's.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashMap};

const SHARD_BITS: u32 = 6;

#[derive(Debug, Clone)]
pub(super) struct ShardedMap<K, V> {
    hasher: DefaultHashBuilder,
    shards: Vec<Arc<HashMap<K, V>>>,
}

impl<K, V> Default for ShardedMap<K, V> {
    fn default() -> Self {
        let empty = Arc::new(HashMap::new());
        Self {
            hasher: DefaultHashBuilder::default(),
            shards: vec![empty; 1 << SHARD_BITS],
        }
    }
}

impl<K: Hash + Eq, V> ShardedMap<K, V> {
    pub(super) fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.shards[self.shard_of(key)].get(key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.shards.iter().flat_map(|shard| shard.iter())
    }

    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.len()).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.shards.iter().all(|shard| shard.is_empty())
    }

    fn shard_of<Q: Hash + ?Sized>(&self, key: &Q) -> usize {
        // The top bits pick the shard; the maps inside hash anew.
        (self.hasher.hash_one(key) >> (u64::BITS - SHARD_BITS)) as usize
    }
}

impl<K: Hash + Eq + Clone, V: Clone> ShardedMap<K, V> {
    /// Returns the shard that holds `key`, for a change.
    pub(super) fn shard_mut<Q: Hash + ?Sized>(&mut self, key: &Q) -> &mut HashMap<K, V>
    where
        K: Borrow<Q>,
    {
        let index = self.shard_of(key);
        Arc::make_mut(&mut self.shards[index])
    }
}

impl<K: Hash + Eq, V: PartialEq> PartialEq for ShardedMap<K, V> {
    /// Two maps may hash differently and still hold the same.
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self
                .iter()
                .all(|(key, value)| other.get(key) == Some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_not_seen_by_older_copies() {
        let mut map = ShardedMap::default();
        for n in 0..1_000_u32 {
            map.shard_mut(&n).insert(n, n);
        }
        let old = map.clone();
        map.shard_mut(&5).insert(5, 50);
        map.shard_mut(&6).remove(&6);
        assert_eq!(
            (old.get(&5), old.get(&6), old.len()),
            (Some(&5), Some(&6), 1_000)
        );
        assert_eq!(
            (map.get(&5), map.get(&6), map.len()),
            (Some(&50), None, 999)
        );
        let shared = map
            .shards
            .iter()
            .zip(&old.shards)
            .filter(|(a, b)| Arc::ptr_eq(a, b))
            .count();
        assert!(shared >= map.shards.len() - 2);
        assert_ne!(map, old);
    }
}
