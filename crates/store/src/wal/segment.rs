//! One segment file while it is written.

use std::path::{Path, PathBuf};

use super::WalError;
use super::format::{BODY_START, FRAME_HEADER_BYTES, FrameFormat, FrameHeader, SegmentHeader};
use crate::disk::{Disk, DiskError, DiskFile};

/// A segment as the rest of the store sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its number; they rise, with gaps.
    pub number: u64,
    /// Its file.
    pub path: PathBuf,
    /// The sequence number of its first frame; `None` if it has none.
    pub first_seq: Option<u64>,
    /// The sequence number of its last frame.
    pub last_seq: Option<u64>,
    /// How long it is up to the end of the last frame. A copy of so many bytes is a segment.
    pub bytes: u64,
}

/// Returns the path of segment `number`.
pub(super) fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:016x}.wal"))
}

/// Returns the number in a segment's path, if it is the path of a segment.
pub(super) fn segment_number(path: &Path) -> Option<u64> {
    let hex = path.file_name()?.to_str()?.strip_suffix(".wal")?;
    let is_ours = hex.len() == 16 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    is_ours.then(|| u64::from_str_radix(hex, 16).ok())?
}

/// How far a segment is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) end: u64,
    pub(super) first_seq: Option<u64>,
    pub(super) last_seq: Option<u64>,
}

impl Extent {
    pub(super) const EMPTY: Self = Self {
        end: BODY_START,
        first_seq: None,
        last_seq: None,
    };

    pub(super) fn add(&mut self, seq: u64, end: u64) {
        self.end = end;
        self.first_seq.get_or_insert(seq);
        self.last_seq = Some(seq);
    }
}

/// A segment that is open for writing. Its space is reserved, its header and its name are durable.
#[derive(Debug)]
pub(super) struct Segment {
    number: u64,
    path: PathBuf,
    file: Box<dyn DiskFile>,
    frames: FrameFormat,
    capacity: u64,
    /// What was written, committed or not.
    pub(super) written: Extent,
    /// What is durable.
    pub(super) committed: Extent,
}

impl Segment {
    /// Creates a segment with space for `capacity` bytes. A failure leaves no file behind.
    pub(super) fn create(
        disk: &dyn Disk,
        dir: &Path,
        header: &SegmentHeader,
        capacity: u64,
    ) -> Result<Self, WalError> {
        let path = segment_path(dir, header.number);
        let file = disk.create(&path).map_err(WalError::refused)?;
        let mut segment = Self {
            number: header.number,
            path,
            file,
            frames: header.frames(),
            capacity,
            written: Extent::EMPTY,
            committed: Extent::EMPTY,
        };
        match segment.prepare(disk, dir, header) {
            Ok(()) => Ok(segment),
            Err(error) => {
                segment.discard(disk);
                Err(error)
            }
        }
    }

    fn prepare(
        &mut self,
        disk: &dyn Disk,
        dir: &Path,
        header: &SegmentHeader,
    ) -> Result<(), WalError> {
        self.file
            .allocate(self.capacity)
            .map_err(WalError::refused)?;
        let written = self.file.write_at(0, &[&header.encode()]);
        written.map_err(WalError::refused)?;
        // The first commit would do this too; but until then a power cut could leave a segment that
        // nobody can read, and there is no telling that no acked frame was in it.
        self.file.sync_data().map_err(WalError::fatal)?;
        disk.sync_dir(dir).map_err(WalError::fatal)
    }

    /// Removes the file, which holds nothing that counts.
    pub(super) fn discard(self, disk: &dyn Disk) {
        if let Err(error) = disk.remove(&self.path) {
            tracing::warn!(%error, source = %error.source, "an unused log segment stays behind");
        }
    }

    pub(super) fn info(&self) -> SegmentInfo {
        SegmentInfo {
            number: self.number,
            path: self.path.clone(),
            first_seq: self.committed.first_seq,
            last_seq: self.committed.last_seq,
            bytes: self.committed.end,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.written.last_seq.is_none()
    }

    pub(super) fn is_committed(&self) -> bool {
        self.written == self.committed
    }

    /// Returns whether a frame of so many bytes, header included, fits.
    pub(super) fn fits(&self, frame_bytes: u64) -> bool {
        self.written.end + frame_bytes <= self.capacity
    }

    /// Reserves space for one frame of so many bytes, where there is less.
    pub(super) fn make_room(&mut self, frame_bytes: u64) -> Result<(), WalError> {
        if !self.fits(frame_bytes) {
            let capacity = self.written.end + frame_bytes;
            self.file.allocate(capacity).map_err(WalError::refused)?;
            self.capacity = capacity;
        }
        Ok(())
    }

    /// Writes a frame at the end. After an error bytes of it may be there.
    pub(super) fn write(&mut self, header: &FrameHeader, parts: &[&[u8]]) -> Result<(), DiskError> {
        let offset = self.written.end;
        let header_bytes = self.frames.encode(offset, header);
        let mut all: Vec<&[u8]> = Vec::with_capacity(parts.len() + 1);
        all.push(&header_bytes);
        all.extend_from_slice(parts);
        self.file.write_at(offset, &all)?;
        let end = offset + FRAME_HEADER_BYTES as u64 + u64::from(header.payload_bytes);
        self.written.add(header.seq, end);
        Ok(())
    }

    /// Makes every frame durable.
    pub(super) fn commit(&mut self) -> Result<(), DiskError> {
        if !self.is_committed() {
            self.file.sync_data()?;
            self.committed = self.written;
        }
        Ok(())
    }

    /// Gives back the space behind the last frame. Nothing can be written any more.
    pub(super) fn close(&mut self) -> Result<(), DiskError> {
        self.capacity = self.written.end;
        self.file.truncate(self.written.end)
    }

    /// As [`Segment::close`], durably: nothing that was written behind the last frame comes back.
    pub(super) fn close_durably(&mut self) -> Result<(), DiskError> {
        self.close()?;
        self.file.sync_data()
    }

    /// Takes back every frame that is not committed, durably, and closes the segment.
    pub(super) fn revert(&mut self) -> Result<(), DiskError> {
        self.written = self.committed;
        self.close_durably()
    }
}
