//! What stands between a damaged disk and the decoders?
//!
//! Parquet's decoders trust their input so far as to panic on a changed byte. So no byte of a file
//! reaches them unchecked. The rows are covered by a CRC-32 for each block, which lets any page be
//! read and checked alone. The *tail*, from the table of these checksums over the page index to the
//! end, is read as a whole when a file is opened and has one CRC-32 of its own: it stands in the
//! metadata as text, and counts as zeros where it stands. To other programs it is one more entry.

use std::io;
use std::ops::Range;

use bytes::Bytes;

use super::source::{ReadAt, read_exactly};

/// The key of the metadata entry with the tail's place and checksum.
pub(super) const SEAL_KEY: &str = "tracegrade.seal";
/// How the value of that entry begins; the rest is the place, a colon and the checksum in hex.
const MARK: &[u8] = b"tracegrade.tail=";
const PLACE_DIGITS: usize = 16;
const SUM_DIGITS: usize = 8;
/// Every Parquet file ends with the length of its metadata and these four bytes.
const PARQUET_END: &[u8; 4] = b"PAR1";

/// The checksums of a file's blocks, as they are made while the file is written.
#[derive(Default)]
pub(super) struct BlockSums {
    sums: Vec<u32>,
    hasher: crc32fast::Hasher,
    filled: usize,
}

impl BlockSums {
    /// What a disk reads at least: to check a block costs no further input.
    pub(super) const BLOCK_BYTES: usize = 4 << 10;

    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, rest) = bytes.split_at(bytes.len().min(Self::BLOCK_BYTES - self.filled));
            self.hasher.update(now);
            self.filled += now.len();
            if self.filled == Self::BLOCK_BYTES {
                self.close_block();
            }
            bytes = rest;
        }
    }

    fn close_block(&mut self) {
        self.sums.push(std::mem::take(&mut self.hasher).finalize());
        self.filled = 0;
    }

    /// Returns the table of the blocks so far, the last of which may be short.
    pub(super) fn table(mut self) -> Vec<u8> {
        if self.filled > 0 {
            self.close_block();
        }
        self.sums.iter().flat_map(|sum| sum.to_le_bytes()).collect()
    }
}

/// Returns the value of the seal's entry before the checksum is known, for a tail that begins at `at`.
pub(super) fn open_seal(at: u64) -> String {
    let mark = std::str::from_utf8(MARK).expect("the mark is ASCII");
    format!("{mark}{at:0PLACE_DIGITS$x}:{:0SUM_DIGITS$}", 0)
}

/// Writes the checksum into a tail that has an open seal.
pub(super) fn close_seal(tail: &mut [u8]) {
    let digits = find_seal(tail)
        .expect("the metadata was given the seal's entry")
        .sum;
    let sum = sum_text(crc32fast::hash(tail));
    tail[digits].copy_from_slice(sum.as_bytes());
}

fn sum_text(sum: u32) -> String {
    format!("{sum:0SUM_DIGITS$x}")
}

struct Seal {
    at: u64,
    /// Where the digits of the checksum stand.
    sum: Range<usize>,
}

/// Returns the last seal in these bytes.
fn find_seal(bytes: &[u8]) -> Option<Seal> {
    let place = bytes
        .windows(MARK.len())
        .rposition(|window| window == MARK)?
        + MARK.len();
    let sum = place + PLACE_DIGITS + 1;
    let text = std::str::from_utf8(bytes.get(place..place + PLACE_DIGITS)?).ok()?;
    let at = u64::from_str_radix(text, 16).ok()?;
    (sum + SUM_DIGITS <= bytes.len()).then_some(Seal {
        at,
        sum: sum..sum + SUM_DIGITS,
    })
}

/// The end of a file, checked.
#[derive(Debug)]
pub(super) struct Tail {
    at: u64,
    bytes: Bytes,
}

impl Tail {
    /// Reads and checks the end of a file.
    pub(super) fn read(source: &dyn ReadAt) -> io::Result<Self> {
        let len = source.len();
        let end = read_exactly(source, len.saturating_sub(8), 8)?;
        if &end[4..] != PARQUET_END {
            return Err(damaged("it does not end as a Parquet file"));
        }
        let metadata = u32::from_le_bytes(end[..4].try_into().expect("four bytes are four bytes"));
        let from = len.saturating_sub(8 + u64::from(metadata));
        let metadata = read_exactly(source, from, (len - from) as usize)?;
        let seal = find_seal(&metadata).ok_or_else(|| damaged("its metadata has no seal"))?;
        if seal.at > from {
            return Err(damaged("its seal does not cover its metadata"));
        }
        let bytes = read_exactly(source, seal.at, (len - seal.at) as usize)?;
        let metadata_at = (from - seal.at) as usize;
        let digits = metadata_at + seal.sum.start..metadata_at + seal.sum.end;
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&bytes[..digits.start]);
        hasher.update(&[b'0'; SUM_DIGITS]);
        hasher.update(&bytes[digits.end..]);
        match sum_text(hasher.finalize()).as_bytes() == &bytes[digits] {
            true => Ok(Self { at: seal.at, bytes }),
            false => Err(damaged("its end does not match its seal")),
        }
    }

    /// Returns where the tail begins: the length of the part that is covered by blocks.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Returns the checksums of the blocks before the tail, if the tail is long enough for them.
    pub(super) fn blocks(&self) -> Option<Blocks> {
        let bytes = self
            .at
            .div_ceil(BlockSums::BLOCK_BYTES as u64)
            .checked_mul(4)?;
        let bytes = usize::try_from(bytes)
            .ok()
            .filter(|&bytes| bytes <= self.bytes.len())?;
        // A copy, since the table is kept and the rest of the tail is not.
        let table = Bytes::copy_from_slice(&self.bytes[..bytes]);
        Some(Blocks {
            covered: self.at,
            table,
        })
    }
}

/// The tail can stand for its file as long as nothing before it is read.
impl ReadAt for Tail {
    fn len(&self) -> u64 {
        self.at + self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        match offset.checked_sub(self.at) {
            Some(offset) => self.bytes.read_at(offset, len),
            None => Err(damaged("its metadata lies outside of its seal")),
        }
    }
}

/// The checksums of the blocks of the first `covered` bytes of a file.
#[derive(Debug)]
pub(super) struct Blocks {
    covered: u64,
    table: Bytes,
}

impl Blocks {
    /// Returns exactly these bytes after a check of the blocks they lie in.
    pub(super) fn read(&self, source: &dyn ReadAt, offset: u64, len: usize) -> io::Result<Bytes> {
        let end = offset
            .checked_add(len as u64)
            .filter(|&end| end <= self.covered);
        let end = end.ok_or_else(|| damaged("a part of it lies where no rows are"))?;
        let block = BlockSums::BLOCK_BYTES as u64;
        let from = offset / block * block;
        let to = end.next_multiple_of(block).min(self.covered);
        let bytes = read_exactly(source, from, (to - from) as usize)?;
        self.check(from, &bytes)?;
        let skip = (offset - from) as usize;
        Ok(bytes.slice(skip..skip + len))
    }

    /// Checks whole blocks, of which the first begins at `from`.
    fn check(&self, from: u64, bytes: &[u8]) -> io::Result<()> {
        let first = (from / BlockSums::BLOCK_BYTES as u64) as usize;
        let sums = self.table[first * 4..].chunks_exact(4);
        let mut blocks = bytes.chunks(BlockSums::BLOCK_BYTES).zip(sums);
        match blocks.position(|(block, sum)| crc32fast::hash(block).to_le_bytes() != sum) {
            None => Ok(()),
            Some(n) => {
                let at = from + (n * BlockSums::BLOCK_BYTES) as u64;
                Err(damaged(&format!(
                    "the block at byte {at} does not match its checksum"
                )))
            }
        }
    }

    /// Returns the bytes of the table, for the ledger.
    pub(super) fn memory_bytes(&self) -> usize {
        self.table.len()
    }
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_checked_wherever_a_read_begins_and_ends() {
        let bytes: Bytes = (0..10_000u32).flat_map(u32::to_le_bytes).collect();
        let mut sums = BlockSums::default();
        // However the bytes arrive, the table is the same.
        bytes.chunks(777).for_each(|chunk| sums.update(chunk));
        let blocks = Blocks {
            covered: bytes.len() as u64,
            table: sums.table().into(),
        };
        assert_eq!(blocks.table.len(), bytes.len().div_ceil(4_096) * 4);
        let ranges = [
            0..0,
            0..1,
            4_095..4_097,
            4_096..8_192,
            39_999..40_000,
            0..40_000,
            40_000..40_000,
        ];
        for range in ranges {
            let read = blocks
                .read(&bytes, range.start as u64, range.len())
                .unwrap();
            assert_eq!(read, bytes.slice(range.clone()), "{range:?}");
        }
        assert!(blocks.read(&bytes, 40_000, 1).is_err());
        assert!(blocks.read(&bytes, u64::MAX, 2).is_err());

        let mut bad = bytes.to_vec();
        bad[5_000] ^= 1;
        let bad = Bytes::from(bad);
        assert!(blocks.read(&bad, 0, 4_096).is_ok());
        let error = blocks.read(&bad, 4_000, 200).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the block at byte 4096 does not match its checksum"
        );
    }
}
