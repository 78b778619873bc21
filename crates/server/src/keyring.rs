//! Which keys open what, without asking the database at each request?
//!
//! This process alone writes the database while it runs (it holds the lock on the data folder), so
//! what was looked up holds until somebody changes a key here; every change empties the cache. A
//! lookup that was under way during the change is not kept.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use model::Time;
use parking_lot::Mutex;
use store::meta::{KeyProjects, Meta, MetaError};

use crate::scope::{Scope, Scopes};

/// Keys that are kept known. Beyond it the cache begins anew; only keys that exist get in.
const CACHED_KEYS_MAX: usize = 10_000;

/// What a request may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grant {
    /// Who asks, for the audit log.
    pub(crate) who: String,
    /// What may be done.
    pub(crate) scopes: Scopes,
    /// Where.
    pub(crate) projects: KeyProjects,
}

/// The keys.
#[derive(Debug)]
pub(crate) struct Keyring {
    /// Whether any key was ever made: from then on every request needs one. A revoked key counts, or
    /// revoking the last one would open the door to everybody.
    needed: AtomicBool,
    cache: Mutex<Cache>,
    used: Mutex<HashMap<String, Time>>,
}

#[derive(Debug, Default)]
struct Cache {
    generation: u64,
    grants: HashMap<[u8; 32], Arc<Grant>>,
}

impl Keyring {
    /// Returns the keys of a store.
    pub(crate) async fn load(meta: &Meta) -> Result<Self, MetaError> {
        Ok(Self {
            needed: AtomicBool::new(!meta.keys().await?.is_empty()),
            cache: Mutex::default(),
            used: Mutex::default(),
        })
    }

    /// Returns whether a request needs a key.
    pub(crate) fn needed(&self) -> bool {
        self.needed.load(Ordering::Acquire)
    }

    /// Returns what a request without a key may do while none is needed.
    pub(crate) fn local_grant() -> Arc<Grant> {
        Arc::new(Grant {
            who: "local".to_owned(),
            scopes: Scopes::default().with(Scope::Admin),
            projects: KeyProjects::All,
        })
    }

    /// Returns what the key with this hash opens, and notes that it was used.
    pub(crate) async fn grant(
        &self,
        meta: &Meta,
        hash: &[u8; 32],
        now: Time,
    ) -> Result<Option<Arc<Grant>>, MetaError> {
        let (known, generation) = {
            let cache = self.cache.lock();
            (cache.grants.get(hash).cloned(), cache.generation)
        };
        let grant = match known {
            Some(grant) => grant,
            None => match meta.key_by_hash(hash).await? {
                None => return Ok(None),
                Some(key) => {
                    let words = key.scopes.split(',').filter(|word| !word.is_empty());
                    let grant = Arc::new(Grant {
                        // A scope of a later version is not ours to give: it grants nothing here.
                        scopes: words
                            .filter_map(|word| Scopes::parse([word]).ok())
                            .fold(Scopes::default(), Scopes::union),
                        projects: key.projects,
                        who: key.id,
                    });
                    self.keep(*hash, &grant, generation);
                    grant
                }
            },
        };
        self.used.lock().insert(grant.who.clone(), now);
        Ok(Some(grant))
    }

    fn keep(&self, hash: [u8; 32], grant: &Arc<Grant>, generation: u64) {
        let mut cache = self.cache.lock();
        if cache.generation != generation {
            return;
        }
        if cache.grants.len() >= CACHED_KEYS_MAX {
            cache.grants.clear();
        }
        cache.grants.insert(hash, Arc::clone(grant));
    }

    /// Forgets everything that was looked up: a key was made, revoked or lost a project.
    pub(crate) async fn reload(&self, meta: &Meta) -> Result<(), MetaError> {
        {
            let mut cache = self.cache.lock();
            cache.generation += 1;
            cache.grants.clear();
        }
        self.needed
            .store(!meta.keys().await?.is_empty(), Ordering::Release);
        Ok(())
    }

    /// Writes down when keys were used since the last time.
    pub(crate) async fn save_use(&self, meta: &Meta) -> Result<(), MetaError> {
        let used: Vec<_> = std::mem::take(&mut *self.used.lock()).into_iter().collect();
        match used.is_empty() {
            true => Ok(()),
            false => meta.touch_keys(&used).await,
        }
    }
}
