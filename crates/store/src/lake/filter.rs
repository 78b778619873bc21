//! Which traces may a file hold? A binary fuse filter for each file, some nineteen bits a trace, so that
//! all of them stay in memory and a lookup opens the one or two files that matter.
//!
//! A wrong "no" would hide a trace, so nothing here can say it: a filter is tried against all its
//! members when it is built, bytes that do not check out are refused, and a missing filter is to be
//! read as "maybe". A wrong "yes" (1 in 65,536) costs one look into a file. With filters of half the size (1 in
//! 256) every lookup among a thousand files would open four for nothing.
//!
//! The bytes, little-endian: `TGTS` · version 2 · kind (0 = hashes, 1 = fuse) · two zeros · traces
//! u64 · body · the first eight bytes of the BLAKE3 hash of all that. Body 0: the sorted hashes. Body
//! 1: seed u64 · segment length u32 · segments' length u32 · fingerprints, u16 each, as `xorf::BinaryFuse16`.

use model::{GRADE_ITEM_BYTES, GRADE_RUN_BYTES, ProjectId, TraceId};
use xorf::{BinaryFuse16, Descriptor, Filter as _};

const MAGIC: &[u8; 4] = b"TGTS";
const VERSION: u8 = 2;
const KIND_HASHES: u8 = 0;
const KIND_FUSE: u8 = 1;
const HEAD_BYTES: usize = 16;
const CHECK_BYTES: usize = 8;
/// Below this many traces a fuse filter is larger than the hashes themselves.
const FUSE_MIN: usize = 32;

/// The hash of a trace of a project, by which filters know it. It is on disk: the first eight bytes,
/// little-endian, of BLAKE3 over the project's length as u64 little-endian, the project, the trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceHash(u64);

impl TraceHash {
    /// Returns the hash of a trace.
    pub fn of(project: &ProjectId, trace_id: &TraceId) -> Self {
        Self::of_text(project.as_str(), trace_id.as_str())
    }

    /// Returns the hash of a trace, given by the texts as they stand in a file.
    pub fn of_text(project: &str, trace_id: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(project.len() as u64).to_le_bytes());
        hasher.update(project.as_bytes());
        hasher.update(trace_id.as_bytes());
        Self(u64_at(hasher.finalize().as_bytes(), 0))
    }

    /// Returns the hash of an item that was graded, given by the id of any of its grades. Files of grades
    /// know their items and their runs as well as their traces: so a grade that replaces none is told from
    /// one that does though the same trace was graded in many runs.
    pub fn of_grade_item(project: &str, grade_id: &str) -> Self {
        Self::of_text(
            project,
            grade_id.get(..GRADE_ITEM_BYTES).unwrap_or(grade_id),
        )
    }

    /// Returns the hash of a run, given by the id of any of its grades. It is that of the trace whose id is
    /// the run's part of them, for so a run is deleted.
    pub fn of_grade_run(project: &str, grade_id: &str) -> Self {
        Self::of_text(project, grade_id.get(..GRADE_RUN_BYTES).unwrap_or(grade_id))
    }
}

/// The bytes are not a filter that we can read. Take the file as one that may hold any trace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TraceSetError {
    /// Cut, changed, or something else altogether.
    #[error("the trace filter is damaged: {0}")]
    Damaged(&'static str),
    /// Written by a newer version.
    #[error("the trace filter has format {found}, this version reads up to {VERSION}")]
    Newer {
        /// Its version.
        found: u8,
    },
}

/// The traces of a file, as far as a lookup needs to know.
#[derive(Debug, Clone)]
pub struct TraceSet {
    traces: u64,
    members: Members,
}

#[derive(Debug, Clone)]
enum Members {
    Hashes(Vec<u64>),
    Fuse(BinaryFuse16),
}

impl TraceSet {
    /// Returns the set of these traces; they may repeat.
    pub fn build(hashes: impl IntoIterator<Item = TraceHash>) -> Self {
        let mut hashes: Vec<u64> = hashes.into_iter().map(|hash| hash.0).collect();
        hashes.sort_unstable();
        hashes.dedup();
        let traces = hashes.len() as u64;
        let members = match fuse(&hashes) {
            Some(filter) => Members::Fuse(filter),
            None => Members::Hashes(hashes),
        };
        Self { traces, members }
    }

    /// Returns whether the file may hold the trace; `false` is certain.
    pub fn maybe_contains(&self, trace: TraceHash) -> bool {
        match &self.members {
            Members::Hashes(hashes) => hashes.binary_search(&trace.0).is_ok(),
            Members::Fuse(filter) => filter.contains(&trace.0),
        }
    }

    /// Returns how many traces the file holds.
    pub fn traces(&self) -> u64 {
        self.traces
    }

    /// Returns the bytes of the set in memory, for the ledger.
    pub fn memory_bytes(&self) -> usize {
        match &self.members {
            Members::Hashes(hashes) => hashes.len() * 8,
            Members::Fuse(filter) => filter.fingerprints.len() * 2,
        }
    }

    /// Returns the set in the format described above.
    pub fn to_bytes(&self) -> Vec<u8> {
        let kind = match self.members {
            Members::Hashes(_) => KIND_HASHES,
            Members::Fuse(_) => KIND_FUSE,
        };
        let mut out = Vec::with_capacity(self.memory_bytes() + 40);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[VERSION, kind, 0, 0]);
        out.extend_from_slice(&self.traces.to_le_bytes());
        match &self.members {
            Members::Hashes(hashes) => {
                hashes
                    .iter()
                    .for_each(|hash| out.extend_from_slice(&hash.to_le_bytes()));
            }
            Members::Fuse(filter) => {
                let shape = &filter.descriptor;
                out.extend_from_slice(&shape.seed.to_le_bytes());
                out.extend_from_slice(&shape.segment_length.to_le_bytes());
                out.extend_from_slice(&shape.segment_count_length.to_le_bytes());
                let bytes = filter
                    .fingerprints
                    .iter()
                    .flat_map(|print| print.to_le_bytes());
                out.extend(bytes);
            }
        }
        let check = check(&out);
        out.extend_from_slice(&check);
        out
    }

    /// Returns the set that [`TraceSet::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TraceSetError> {
        use TraceSetError::{Damaged, Newer};
        if bytes.len() < HEAD_BYTES + CHECK_BYTES || &bytes[..4] != MAGIC {
            return Err(Damaged("it does not begin as one"));
        }
        let (content, sum) = bytes.split_at(bytes.len() - CHECK_BYTES);
        if content[4] > VERSION {
            return Err(Newer { found: content[4] });
        }
        if content[4] < VERSION {
            return Err(Damaged("it is of a kind that was never released"));
        }
        if check(content) != sum {
            return Err(Damaged("its checksum does not match"));
        }
        let traces = u64_at(content, 8);
        let body = &content[HEAD_BYTES..];
        let members = match content[5] {
            KIND_HASHES if body.len() as u64 == traces.saturating_mul(8) => Members::Hashes(
                (0..body.len())
                    .step_by(8)
                    .map(|at| u64_at(body, at))
                    .collect(),
            ),
            KIND_FUSE => Members::Fuse(read_fuse(body).ok_or(Damaged("its lengths do not fit"))?),
            _ => return Err(Damaged("its kind and length do not fit")),
        };
        Ok(Self { traces, members })
    }
}

/// Returns a filter of these distinct hashes if it is worth it and proves to hold every one.
fn fuse(hashes: &[u64]) -> Option<BinaryFuse16> {
    if hashes.len() < FUSE_MIN {
        return None;
    }
    let filter = BinaryFuse16::try_from(hashes).ok()?;
    hashes
        .iter()
        .all(|hash| filter.contains(hash))
        .then_some(filter)
}

/// Returns the filter in `body` if its lengths keep every lookup inside the fingerprints.
fn read_fuse(body: &[u8]) -> Option<BinaryFuse16> {
    if body.len() < 16 {
        return None;
    }
    let (segment, segments) = (u32_at(body, 8), u32_at(body, 12));
    let (prints, rest) = body[16..].as_chunks::<2>();
    let fits = segment.is_power_of_two()
        && segments > 0
        && segments.is_multiple_of(segment)
        && rest.is_empty()
        && prints.len() as u64 == u64::from(segments) + 2 * u64::from(segment);
    fits.then(|| BinaryFuse16 {
        descriptor: Descriptor {
            seed: u64_at(body, 0),
            segment_length: segment,
            segment_length_mask: segment - 1,
            segment_count_length: segments,
        },
        fingerprints: prints
            .iter()
            .map(|print| u16::from_le_bytes(*print))
            .collect(),
    })
}

fn check(content: &[u8]) -> [u8; CHECK_BYTES] {
    u64_at(blake3::hash(content).as_bytes(), 0).to_le_bytes()
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(
        bytes[at..at + 8]
            .try_into()
            .expect("eight bytes are eight bytes"),
    )
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(
        bytes[at..at + 4]
            .try_into()
            .expect("four bytes are four bytes"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: usize) -> TraceHash {
        TraceHash::of_text("project", &format!("trace_{n}"))
    }

    #[test]
    fn no_member_is_ever_denied_and_few_strangers_pass() {
        for size in [0, 1, 2, 31, 32, 33, 100, 1_000, 4_097, 50_000] {
            let set = TraceSet::build((0..size).chain(0..size / 2).map(hash));
            let again = TraceSet::from_bytes(&set.to_bytes()).unwrap();
            assert_eq!(again.traces(), size as u64);
            for set in [&set, &again] {
                assert!(
                    (0..size).all(|n| set.maybe_contains(hash(n))),
                    "{size} traces"
                );
                let wrong = (size..size + 10_000)
                    .filter(|n| set.maybe_contains(hash(*n)))
                    .count();
                assert!(
                    wrong < 10,
                    "{wrong} of 10,000 strangers pass a filter of {size}"
                );
            }
            if size >= 50_000 {
                let bits = set.to_bytes().len() as f64 * 8.0 / size as f64;
                assert!(bits < 20.0, "{bits} bits a trace");
            }
        }
    }

    #[test]
    fn among_a_thousand_files_a_lookup_opens_two_at_most() {
        const FILES: usize = 1_000;
        const TRACES: usize = 64;
        let trace = |file: usize, n: usize| hash(file * TRACES + n);
        let sets: Vec<_> = (0..FILES)
            .map(|file| TraceSet::build((0..TRACES).map(|n| trace(file, n))))
            .collect();
        for file in 0..FILES {
            let looked_for = trace(file, file % TRACES);
            let opened = sets.iter().filter(|set| set.maybe_contains(looked_for));
            let opened = opened.count();
            assert!(
                (1..=2).contains(&opened),
                "{opened} for a trace of file {file}"
            );
        }
    }

    /// The hash and the formats are on disk: these must never change.
    #[test]
    fn the_bytes_on_disk_are_these() {
        assert_eq!(
            TraceHash::of_text("p", "t").0,
            u64_at(blake3::hash(b"\x01\0\0\0\0\0\0\0pt").as_bytes(), 0)
        );
        assert_ne!(TraceHash::of_text("ab", "c"), TraceHash::of_text("a", "bc"));
        let digest = |size| {
            let bytes = TraceSet::build((0..size).map(hash)).to_bytes();
            blake3::hash(&bytes).to_hex()[..16].to_owned()
        };
        assert_eq!(
            [digest(3), digest(1_000)],
            ["1633ad9f1dcc536b", "ce095ec59f8e738c"]
        );
    }

    #[test]
    fn every_cut_or_changed_byte_is_noticed() {
        for size in [3, 200] {
            let good = TraceSet::build((0..size).map(hash)).to_bytes();
            for at in 0..good.len() {
                assert!(TraceSet::from_bytes(&good[..at]).is_err(), "cut at {at}");
                let mut bad = good.clone();
                bad[at] ^= 0x10;
                assert!(TraceSet::from_bytes(&bad).is_err(), "byte {at} changed");
            }
        }
        let mut newer = TraceSet::build([]).to_bytes();
        newer[4] = VERSION + 1;
        assert_eq!(
            TraceSet::from_bytes(&newer).unwrap_err(),
            TraceSetError::Newer { found: 3 }
        );
    }
}
