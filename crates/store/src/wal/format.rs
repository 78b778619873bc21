//! The bytes of the log: segment headers and frame headers.
//!
//! A segment starts with two copies of its header, in two sectors, for without the header none of its
//! frames can be read. A frame header is valid in one place only: its checksum covers the store, the
//! segment's number, the segment's salt (random, drawn when the process started) and the frame's
//! offset. So neither an old frame in recycled space nor a frame inside a frame, which a sender could
//! put into a prompt, is ever taken for a frame of this segment.

use std::fmt;

/// The version of the segments that we write, and the newest that we read. Version 2 may hold records of
/// grades: a program that knows none of them must leave the log alone, not pass them over.
pub const SEGMENT_VERSION: u32 = 2;

/// Where the first frame of a segment starts, behind the two copies of the header.
pub(super) const BODY_START: u64 = 2 * COPY_BYTES as u64;

/// One sector.
const COPY_BYTES: usize = 512;
const SEGMENT_MAGIC: [u8; 8] = *b"TGradWAL";
const CHECKED_BYTES: usize = 48;

pub(super) const FRAME_MAGIC: [u8; 4] = [0xf5, b'T', b'G', 0xfa];
pub(super) const FRAME_HEADER_BYTES: usize = 32;

/// The identity of a store, on all its files.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct StoreId(pub [u8; 16]);

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// What stands at the start of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) store: StoreId,
    pub(super) number: u64,
    pub(super) salt: u64,
}

/// What the start of a file turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HeaderFound {
    Valid(SegmentHeader),
    /// Of a version that we do not know; nothing else can be said of it.
    Newer(u32),
    Damaged,
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> [u8; BODY_START as usize] {
        let mut copy = [0; COPY_BYTES];
        copy[..8].copy_from_slice(&SEGMENT_MAGIC);
        copy[8..12].copy_from_slice(&SEGMENT_VERSION.to_le_bytes());
        // The version has its own check, which holds whatever a later version changes behind it.
        copy[12..16].copy_from_slice(&(!SEGMENT_VERSION).to_le_bytes());
        copy[16..32].copy_from_slice(&self.store.0);
        copy[32..40].copy_from_slice(&self.number.to_le_bytes());
        copy[40..48].copy_from_slice(&self.salt.to_le_bytes());
        let crc = crc32c::crc32c(&copy[..CHECKED_BYTES]);
        copy[48..52].copy_from_slice(&crc.to_le_bytes());
        let mut both = [0; BODY_START as usize];
        both[..COPY_BYTES].copy_from_slice(&copy);
        both[COPY_BYTES..].copy_from_slice(&copy);
        both
    }

    /// Returns what the first bytes of a file, [`BODY_START`] or fewer, say.
    pub(super) fn decode(bytes: &[u8]) -> HeaderFound {
        let copies = bytes
            .as_chunks::<COPY_BYTES>()
            .0
            .iter()
            .map(Self::decode_copy);
        let best = copies.reduce(|first, second| match first {
            HeaderFound::Damaged => second,
            valid => valid,
        });
        best.unwrap_or(HeaderFound::Damaged)
    }

    fn decode_copy(copy: &[u8; COPY_BYTES]) -> HeaderFound {
        let version = u32_at(copy, 8);
        if copy[..8] != SEGMENT_MAGIC || version != !u32_at(copy, 12) {
            return HeaderFound::Damaged;
        }
        if version > SEGMENT_VERSION {
            return HeaderFound::Newer(version);
        }
        if u32_at(copy, 48) != crc32c::crc32c(&copy[..CHECKED_BYTES]) {
            return HeaderFound::Damaged;
        }
        let store = copy[16..32].try_into().expect("sixteen bytes");
        let (number, salt) = (u64_at(copy, 32), u64_at(copy, 40));
        HeaderFound::Valid(Self {
            store: StoreId(store),
            number,
            salt,
        })
    }

    /// Returns what makes and knows the frames of this segment.
    pub(super) fn frames(&self) -> FrameFormat {
        let seed = crc32c::crc32c(&self.salt.to_le_bytes());
        let seed = crc32c::crc32c_append(seed, &self.store.0);
        FrameFormat {
            segment: self.number,
            seed,
        }
    }
}

/// Makes and knows the frame headers of one segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct FrameFormat {
    segment: u64,
    seed: u32,
}

/// What a valid frame header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) seq: u64,
    pub(super) payload_bytes: u32,
    pub(super) payload_crc: u32,
}

impl FrameFormat {
    pub(super) fn encode(&self, offset: u64, header: &FrameHeader) -> [u8; FRAME_HEADER_BYTES] {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        bytes[..4].copy_from_slice(&FRAME_MAGIC);
        bytes[4..12].copy_from_slice(&self.segment.to_le_bytes());
        bytes[12..20].copy_from_slice(&header.seq.to_le_bytes());
        bytes[20..24].copy_from_slice(&header.payload_bytes.to_le_bytes());
        bytes[24..28].copy_from_slice(&header.payload_crc.to_le_bytes());
        let crc = self.crc(offset, &bytes);
        bytes[28..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Returns what the header at `offset` says, if it is one that was written there.
    pub(super) fn decode(
        &self,
        offset: u64,
        bytes: &[u8; FRAME_HEADER_BYTES],
    ) -> Option<FrameHeader> {
        let is_ours = bytes[..4] == FRAME_MAGIC
            && u64_at(bytes, 4) == self.segment
            && u32_at(bytes, 28) == self.crc(offset, bytes);
        is_ours.then(|| FrameHeader {
            seq: u64_at(bytes, 12),
            payload_bytes: u32_at(bytes, 20),
            payload_crc: u32_at(bytes, 24),
        })
    }

    fn crc(&self, offset: u64, bytes: &[u8; FRAME_HEADER_BYTES]) -> u32 {
        let crc = crc32c::crc32c_append(self.seed, &offset.to_le_bytes());
        crc32c::crc32c_append(crc, &bytes[..28])
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: SegmentHeader = SegmentHeader {
        store: StoreId([7; 16]),
        number: 3,
        salt: 99,
    };

    #[test]
    fn the_checksum_is_castagnolis() {
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn one_damaged_copy_of_a_segment_header_does_no_harm() {
        let good = HEADER.encode();
        assert_eq!(SegmentHeader::decode(&good), HeaderFound::Valid(HEADER));
        for at in 0..good.len() {
            let mut bytes = good;
            bytes[at] ^= 0x10;
            assert_eq!(
                SegmentHeader::decode(&bytes),
                HeaderFound::Valid(HEADER),
                "byte {at}"
            );
            assert_eq!(
                SegmentHeader::decode(&good[..at]) == HeaderFound::Valid(HEADER),
                at >= COPY_BYTES
            );
        }
        assert_eq!(SegmentHeader::decode(&[0; 1024]), HeaderFound::Damaged);
    }

    #[test]
    fn a_newer_version_is_known_whatever_follows_it() {
        let mut bytes = [0xee; 1024];
        bytes[..8].copy_from_slice(&SEGMENT_MAGIC);
        bytes[8..12].copy_from_slice(&3_u32.to_le_bytes());
        bytes[12..16].copy_from_slice(&(!3_u32).to_le_bytes());
        assert_eq!(SegmentHeader::decode(&bytes), HeaderFound::Newer(3));
    }

    #[test]
    fn segments_of_the_first_version_stay_readable() {
        let mut bytes = HEADER.encode();
        for copy in bytes.as_chunks_mut::<COPY_BYTES>().0 {
            copy[8..12].copy_from_slice(&1_u32.to_le_bytes());
            copy[12..16].copy_from_slice(&(!1_u32).to_le_bytes());
            let crc = crc32c::crc32c(&copy[..CHECKED_BYTES]);
            copy[48..52].copy_from_slice(&crc.to_le_bytes());
        }
        assert_eq!(SegmentHeader::decode(&bytes), HeaderFound::Valid(HEADER));
    }

    #[test]
    fn a_frame_header_is_valid_in_its_store_segment_process_and_place_only() {
        let frame = FrameHeader {
            seq: 5,
            payload_bytes: 6,
            payload_crc: 7,
        };
        let bytes = HEADER.frames().encode(1024, &frame);
        assert_eq!(HEADER.frames().decode(1024, &bytes), Some(frame));
        let others = [
            SegmentHeader {
                store: StoreId([8; 16]),
                ..HEADER
            },
            SegmentHeader {
                number: 4,
                ..HEADER
            },
            SegmentHeader {
                salt: 100,
                ..HEADER
            },
        ];
        for other in others {
            assert_eq!(other.frames().decode(1024, &bytes), None, "{other:?}");
        }
        assert_eq!(HEADER.frames().decode(1025, &bytes), None);
        for at in 0..bytes.len() {
            let mut bytes = bytes;
            bytes[at] ^= 1;
            assert_eq!(HEADER.frames().decode(1024, &bytes), None, "byte {at}");
        }
    }
}
