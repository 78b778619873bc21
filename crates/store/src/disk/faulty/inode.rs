//! The content of one file: what the program sees, what is durable, and what may be found after a
//! power cut.

use std::collections::BTreeMap;

/// A disk writes this many bytes wholly or not at all, or breaks them.
pub(super) const SECTOR: usize = 512;

#[derive(Debug, Clone, Default)]
pub(super) struct Inode {
    pub(super) live: Vec<u8>,
    pub(super) durable: Vec<u8>,
    /// Every state that a sector had since the last sync.
    pending: BTreeMap<usize, Vec<[u8; SECTOR]>>,
    /// Every length since the last sync.
    lens: Vec<usize>,
}

impl Inode {
    /// Returns a file that was synced.
    pub(super) fn synced(content: Vec<u8>) -> Self {
        Self {
            live: content.clone(),
            durable: content,
            ..Self::default()
        }
    }

    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len();
        if end > self.live.len() {
            self.resize(end);
        }
        self.live[offset..end].copy_from_slice(bytes);
        for sector in offset / SECTOR..=(end - 1) / SECTOR {
            let version = self.sector(sector);
            self.pending.entry(sector).or_default().push(version);
        }
    }

    fn sector(&self, sector: usize) -> [u8; SECTOR] {
        let mut out = [0; SECTOR];
        let from = &self.live[sector * SECTOR..];
        let len = from.len().min(SECTOR);
        out[..len].copy_from_slice(&from[..len]);
        out
    }

    pub(super) fn resize(&mut self, len: usize) {
        self.live.resize(len, 0);
        self.lens.push(len);
    }

    pub(super) fn sync(&mut self) {
        let shortest = self.lens.iter().copied().min().unwrap_or(usize::MAX);
        self.durable.truncate(shortest);
        self.durable.resize(self.live.len(), 0);
        for (sector, _) in std::mem::take(&mut self.pending) {
            let start = sector * SECTOR;
            let end = (start + SECTOR).min(self.live.len());
            if start < end {
                self.durable[start..end].copy_from_slice(&self.live[start..end]);
            }
        }
        self.lens.clear();
    }

    /// Returns a sector in which every byte that was written since the last sync is garbage.
    fn broken(
        &self,
        sector: usize,
        versions: &[[u8; SECTOR]],
        garbage: [u8; SECTOR],
    ) -> [u8; SECTOR] {
        std::array::from_fn(|at| {
            let old = self.durable.get(sector * SECTOR + at).copied().unwrap_or(0);
            match versions.iter().all(|version| version[at] == old) {
                true => old,
                false => garbage[at],
            }
        })
    }

    pub(super) fn after_power_cut(&self, rng: &mut Rng, stale: &[&[u8]]) -> Vec<u8> {
        let fate = Fate::draw(rng, self.pending.len());
        let len = match fate {
            Fate::Lost => self.durable.len(),
            Fate::Kept => self.live.len(),
            Fate::Prefix(_) | Fate::Torn => match rng.below(self.lens.len() + 1) {
                0 => self.durable.len(),
                n => self.lens[n - 1],
            },
        };
        let mut out = self.durable.clone();
        out.resize(len, 0);
        for (n, (&sector, versions)) in self.pending.iter().enumerate() {
            let latest = versions[versions.len() - 1];
            let found = match fate {
                Fate::Lost => None,
                Fate::Kept => Some(latest),
                Fate::Prefix(count) => (n < count).then_some(latest),
                Fate::Torn => match rng.below(8) {
                    0 => Some(self.broken(sector, versions, rng.garbage(sector, stale))),
                    1..=3 => None,
                    _ => Some(versions[rng.below(versions.len())]),
                },
            };
            if let (Some(found), Some(place)) = (found, out.get_mut(sector * SECTOR..)) {
                let len = place.len().min(SECTOR);
                place[..len].copy_from_slice(&found[..len]);
            }
        }
        out
    }
}

/// What became of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fate {
    Lost,
    Kept,
    /// The first so many of what was pending.
    Prefix(usize),
    /// Each piece on its own.
    Torn,
}

impl Fate {
    pub(super) fn draw(rng: &mut Rng, pending: usize) -> Self {
        match rng.below(4) {
            0 => Self::Lost,
            1 => Self::Kept,
            2 => Self::Prefix(rng.below(pending + 1)),
            _ => Self::Torn,
        }
    }
}

/// SplitMix64: small, and the same everywhere.
#[derive(Debug)]
pub(super) struct Rng(pub(super) u64);

impl Rng {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// Returns what another file holds or held at this place, or noise.
    fn garbage(&mut self, sector: usize, stale: &[&[u8]]) -> [u8; SECTOR] {
        let file = stale[self.below(stale.len())];
        match file.get(sector * SECTOR..(sector + 1) * SECTOR) {
            Some(bytes) => bytes.try_into().expect("the range is one sector long"),
            None => std::array::from_fn(|_| self.next() as u8),
        }
    }
}
