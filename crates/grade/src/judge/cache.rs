//! What was asked before and need not be asked again.
//!
//! The same grader, the same trace, rendered by the same version, put to the same judge: the same
//! answer. Whatever may change the answer is part of the key, and nothing else.

use std::fmt;
use std::num::NonZeroUsize;

use lru::LruCache;
use parking_lot::Mutex;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::openai::Answer;

/// The key of a piece of work: equal work has equal keys, across runs and restarts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CacheKey([u8; 32]);

impl CacheKey {
    /// Hashes what a judgement depends on: the grader's definition, the trace's content, the version of
    /// what renders it, and the judge's model and parameters.
    ///
    /// The order of keys in JSON makes no difference.
    pub fn new(grader: &Value, trace_hash: &[u8], renderer: &str, judge: &Value) -> Self {
        let mut hash = Sha256::new();
        let (grader, judge) = (canonical(grader), canonical(judge));
        for part in [
            grader.as_bytes(),
            trace_hash,
            renderer.as_bytes(),
            judge.as_bytes(),
        ] {
            // With their lengths, so that no two lists of parts run into the same bytes.
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// Returns the hash.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CacheKey({self})")
    }
}

/// Where answers are kept: in memory or in a database, so whoever asks waits.
///
/// A cache that fails answers that it knows nothing: what it would have saved is then paid for again.
pub trait Cache<T>: Send + Sync {
    /// Returns what was kept under a key.
    fn get<'a>(&'a self, key: &'a CacheKey) -> Answer<'a, Option<T>>;
    /// Keeps an answer.
    fn put<'a>(&'a self, key: CacheKey, answer: &'a T) -> Answer<'a, ()>;
}

/// A cache in memory, which forgets what was not asked for the longest time.
#[derive(Debug)]
pub struct MemoryCache<T>(Mutex<LruCache<CacheKey, T>>);

impl<T> MemoryCache<T> {
    /// Makes a cache of so many answers.
    pub fn new(answers_max: NonZeroUsize) -> Self {
        Self(Mutex::new(LruCache::new(answers_max)))
    }
}

impl<T: Clone + Send + Sync> Cache<T> for MemoryCache<T> {
    fn get<'a>(&'a self, key: &'a CacheKey) -> Answer<'a, Option<T>> {
        let known = self.0.lock().get(key).cloned();
        Box::pin(async { known })
    }

    fn put<'a>(&'a self, key: CacheKey, answer: &'a T) -> Answer<'a, ()> {
        self.0.lock().put(key, answer.clone());
        Box::pin(async {})
    }
}

/// JSON with sorted keys.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(object) => {
            let mut fields: Vec<_> = object.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            let field = |(name, value): (&String, &Value)| {
                format!("{}:{}", Value::from(name.as_str()), canonical(value))
            };
            let fields: Vec<String> = fields.into_iter().map(field).collect();
            format!("{{{}}}", fields.join(","))
        }
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(canonical).collect();
            format!("[{}]", values.join(","))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use serde_json::json;

    use super::{Cache as _, CacheKey, MemoryCache};

    #[test]
    fn a_key_depends_on_every_part_and_on_no_order() {
        let grader = json!({"criterion": "polite?", "few_shot": [{"a": 1, "b": null}]});
        let judge = json!({"model": "m", "params": {"temperature": 0, "seed": 1}});
        let key = CacheKey::new(&grader, b"trace", "r1", &judge);
        let reordered = json!({"few_shot": [{"b": null, "a": 1}], "criterion": "polite?"});
        assert_eq!(CacheKey::new(&reordered, b"trace", "r1", &judge), key);
        let others = [
            CacheKey::new(&json!({"criterion": "polite!"}), b"trace", "r1", &judge),
            CacheKey::new(&grader, b"trace2", "r1", &judge),
            CacheKey::new(&grader, b"trace", "r2", &judge),
            CacheKey::new(&grader, b"trace", "r1", &json!({"model": "m"})),
            // The same bytes, cut elsewhere
            CacheKey::new(&grader, b"tracer", "1", &judge),
        ];
        for other in others {
            assert_ne!(other, key);
        }
    }

    /// Computed with Python's hashlib; a key that changes asks everything anew.
    #[test]
    fn a_key_stays_what_it_is() {
        let key = CacheKey::new(
            &json!({"b": [1, true], "a": "ä\""}),
            b"\x00\xff",
            "r1",
            &json!(null),
        );
        assert_eq!(
            key.to_string(),
            "a49d34ee542083092470b183e99330c438eb25b01734b09a211d1c20bf4de131"
        );
    }

    #[tokio::test]
    async fn a_full_cache_forgets_what_was_not_asked_for() {
        let key = |name: &str| CacheKey::new(&json!(name), b"", "", &json!(null));
        let cache = MemoryCache::new(NonZeroUsize::new(2).unwrap());
        cache.put(key("a"), &1).await;
        cache.put(key("b"), &2).await;
        assert_eq!(cache.get(&key("a")).await, Some(1));
        cache.put(key("c"), &3).await;
        for (name, expected) in [("a", Some(1)), ("b", None), ("c", Some(3))] {
            assert_eq!(cache.get(&key(name)).await, expected, "{name}");
        }
    }
}
