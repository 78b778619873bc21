//! Who still reads which version, and which files may go?
//!
//! A reader pins a version; files that a later commit took out stay on disk for it. A pin holds for
//! five minutes at most, so that a forgotten reader cannot fill the disk, and it can be cancelled
//! earlier where a deletion must be done with. Once a pin has been passed over it stays expired, even
//! if the clock is set back.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Clock, Time};
use parking_lot::Mutex;

use super::file::{FileId, RemovedFile, Version};
use super::version::CatalogVersion;

/// How long a pin holds.
pub const PIN_MICROS: i64 = 5 * 60 * 1_000_000;

/// The newest version, the files that are on their way out, and the pins that hold them.
#[derive(Debug)]
pub(super) struct Shared {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    current: Arc<CatalogVersion>,
    removed: BTreeMap<FileId, RemovedFile>,
    pins: BTreeMap<u64, Held>,
    next_pin: u64,
}

#[derive(Debug)]
struct Held {
    version: Version,
    expires_at: Time,
}

impl Shared {
    pub(super) fn new(
        current: CatalogVersion,
        removed: Vec<RemovedFile>,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        let current = Arc::new(current);
        let removed = by_id(removed).collect();
        let state = State {
            current,
            removed,
            pins: BTreeMap::new(),
            next_pin: 0,
        };
        Arc::new(Self {
            clock,
            state: Mutex::new(state),
        })
    }

    pub(super) fn current(&self) -> Arc<CatalogVersion> {
        Arc::clone(&self.state.lock().current)
    }

    /// Makes `next` the newest version, after a commit took `removed` out of the last one.
    pub(super) fn publish(&self, next: CatalogVersion, removed: Vec<RemovedFile>) {
        let mut state = self.state.lock();
        state.current = Arc::new(next);
        state.removed.extend(by_id(removed));
    }

    /// Replaces everything by what the database says.
    pub(super) fn replace(&self, current: CatalogVersion, removed: Vec<RemovedFile>) {
        let mut state = self.state.lock();
        state.current = Arc::new(current);
        state.removed = by_id(removed).collect();
    }

    pub(super) fn pin(self: &Arc<Self>) -> Pin {
        let expires_at = self.clock.now().plus_micros(PIN_MICROS);
        // Taking the version and entering the pin is one step: no file of it can go in between.
        let mut state = self.state.lock();
        let id = state.next_pin;
        state.next_pin += 1;
        let catalog = Arc::clone(&state.current);
        state.pins.insert(
            id,
            Held {
                version: catalog.version(),
                expires_at,
            },
        );
        Pin {
            id,
            catalog,
            shared: Arc::clone(self),
        }
    }

    pub(super) fn cancel_pins_before(&self, version: Version) {
        self.state
            .lock()
            .pins
            .retain(|_, held| held.version >= version);
    }

    pub(super) fn removable(&self, grace_micros: i64) -> Vec<RemovedFile> {
        let now = self.clock.now();
        let mut state = self.state.lock();
        state.pins.retain(|_, held| now < held.expires_at);
        let oldest = state.pins.values().map(|held| held.version).min();
        let is_free = |file: &&RemovedFile| {
            file.removed_at.plus_micros(grace_micros) <= now
                && oldest.is_none_or(|pinned| file.removed_v <= pinned)
        };
        let mut removed: Vec<_> = state.removed.values().collect();
        removed.sort_by_key(|file| (file.removed_v, file.file.id));
        // Up to the first that must stay: what took a file's place never goes before it, so whoever
        // finds both on disk knows that the one was made from the other (D5).
        let free = removed.into_iter().take_while(is_free);
        free.cloned().collect()
    }

    pub(super) fn forget(&self, ids: &[FileId]) {
        let mut state = self.state.lock();
        for id in ids {
            state.removed.remove(id);
        }
    }

    /// Returns the files that were taken out and are not forgotten, in the order of their ids.
    pub(super) fn removed(&self) -> Vec<RemovedFile> {
        self.state.lock().removed.values().cloned().collect()
    }
}

fn by_id(removed: Vec<RemovedFile>) -> impl Iterator<Item = (FileId, RemovedFile)> {
    removed
        .into_iter()
        .map(|removed| (removed.file.id, removed))
}

/// Holds a version: its files stay on disk until the pin is dropped or expires.
#[derive(Debug)]
pub struct Pin {
    id: u64,
    catalog: Arc<CatalogVersion>,
    shared: Arc<Shared>,
}

impl Pin {
    /// Returns the version it holds.
    pub fn catalog(&self) -> &Arc<CatalogVersion> {
        &self.catalog
    }

    /// Returns whether files of the version may be gone: five minutes are over, or a deletion could
    /// not wait. A reader that finds a file missing asks this to know why.
    pub fn is_expired(&self) -> bool {
        let now = self.shared.clock.now();
        let state = self.shared.state.lock();
        state
            .pins
            .get(&self.id)
            .is_none_or(|held| held.expires_at <= now)
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.shared.state.lock().pins.remove(&self.id);
    }
}
