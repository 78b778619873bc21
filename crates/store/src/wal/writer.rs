//! Appends frames, and makes them durable a drain at a time.
//!
//! There is one writer, and it belongs to one thread. A frame is there for good after
//! [`SegmentWriter::commit`] and not before (D1). An append that fails leaves the log as it was, so
//! what was appended before it can still be committed.

use std::sync::Arc;

use super::format::{BODY_START, FRAME_HEADER_BYTES, FrameHeader, SegmentHeader, StoreId};
use super::segment::Segment;
use super::{Shared, WalError, WalOptions};
use crate::disk::DiskError;

/// The writing end of the log.
#[derive(Debug)]
pub struct SegmentWriter {
    shared: Arc<Shared>,
    store: StoreId,
    options: WalOptions,
    next_number: u64,
    /// The last sequence number that was appended, and the last that was committed.
    last_seq: u64,
    committed_seq: u64,
    active: Option<Segment>,
    /// The next segment, ready to be written: a full disk shows when it is made.
    spare: Option<Segment>,
    /// Segments that were filled since the last commit.
    filled: Vec<Segment>,
    is_stopped: bool,
}

impl SegmentWriter {
    pub(super) fn new(
        shared: Arc<Shared>,
        store: StoreId,
        options: WalOptions,
        next_number: u64,
        last_seq: u64,
    ) -> Self {
        Self {
            shared,
            store,
            options,
            next_number,
            last_seq,
            committed_seq: last_seq,
            active: None,
            spare: None,
            filled: Vec::new(),
            is_stopped: false,
        }
    }

    /// Returns the highest sequence number in the log, committed or not, or the cursor that it was
    /// opened with if that is higher. The next frame's must be higher still.
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// Appends a frame whose payload is the parts one after the other. It counts after
    /// [`SegmentWriter::commit`] only.
    ///
    /// After [`WalError::Full`] and [`WalError::Disk`] nothing of the frame is in the log, and the log
    /// can be used as before: what was appended earlier may be committed or rolled back.
    ///
    /// # Panics
    /// If `seq` is not higher than that of every frame before: replay would lose one of the two.
    pub fn append(&mut self, seq: u64, parts: &[&[u8]]) -> Result<(), WalError> {
        assert!(
            seq > self.last_seq,
            "frame {seq} after frame {}",
            self.last_seq
        );
        self.check_running()?;
        let header = frame_header(seq, parts)?;
        let frame_bytes = FRAME_HEADER_BYTES as u64 + u64::from(header.payload_bytes);
        self.make_room(frame_bytes)?;
        let active = self
            .active
            .as_mut()
            .expect("room was made in the active segment");
        match active.write(&header, parts) {
            Ok(()) => {
                self.last_seq = seq;
                Ok(())
            }
            // Some file systems have no space for what was reserved. The segment ends here, for all of
            // the frame may be behind its end; and durably, for it must not come back after a frame
            // with the same number was written elsewhere.
            Err(error) if error.is_full() => {
                self.close_active(Segment::close_durably)?;
                Err(WalError::refused(error))
            }
            Err(error) => Err(self.stop(WalError::fatal(error))),
        }
    }

    /// Makes everything that was appended durable: one `fdatasync`, or one for each segment where the
    /// drain filled some. An error is fatal, for what is on disk is unknown then.
    pub fn commit(&mut self) -> Result<(), WalError> {
        self.check_running()?;
        for segment in self.filled.iter_mut().chain(&mut self.active) {
            if let Err(error) = segment.commit() {
                return Err(self.stop(WalError::fatal(error)));
            }
        }
        self.committed_seq = self.last_seq;
        self.publish();
        Ok(())
    }

    /// Takes back, durably, everything that was appended since the last commit. Their sequence numbers
    /// are free again.
    pub fn rollback(&mut self) -> Result<(), WalError> {
        self.check_running()?;
        let is_dirty = |segment: &Segment| !segment.is_committed();
        if self.active.as_ref().is_some_and(is_dirty) {
            // The frames are cut off and not overwritten: a shorter frame in the place of one would
            // leave those behind it whole.
            self.filled.extend(self.active.take());
        }
        for segment in &mut self.filled {
            if let Err(error) = segment.revert() {
                return Err(self.stop(WalError::fatal(error)));
            }
        }
        self.last_seq = self.committed_seq;
        for unused in self.filled.extract_if(.., |segment| segment.is_empty()) {
            unused.discard(&*self.shared.disk);
        }
        self.publish();
        Ok(())
    }

    /// Commits, and lets the next frame start a new segment, so that [`super::Wal::cut`] can remove
    /// this one. A deletion needs that: its bytes are gone when the segment is.
    pub fn roll(&mut self) -> Result<(), WalError> {
        self.check_running()?;
        if self
            .active
            .as_ref()
            .is_some_and(|active| !active.is_empty())
        {
            self.close_active(Segment::close)?;
        }
        self.commit()
    }

    /// Makes the next segment ready, if it is not. To be called when nobody waits, after the acks of
    /// each drain; it costs nothing then but once per segment. [`WalError::Full`] here means that the
    /// next segment cannot be made just now; the active one has room still.
    pub fn prepare_spare(&mut self) -> Result<(), WalError> {
        self.check_running()?;
        if self.spare.is_none() {
            self.spare = Some(self.create_segment(0)?);
        }
        Ok(())
    }

    fn check_running(&self) -> Result<(), WalError> {
        match self.is_stopped {
            true => Err(WalError::Stopped),
            false => Ok(()),
        }
    }

    /// A failed write or sync is never tried again: the kernel may have dropped the pages and would
    /// report success.
    fn stop(&mut self, error: WalError) -> WalError {
        self.is_stopped |= error.is_fatal();
        error
    }

    fn make_room(&mut self, frame_bytes: u64) -> Result<(), WalError> {
        match &mut self.active {
            Some(active) if active.fits(frame_bytes) => return Ok(()),
            Some(active) if active.is_empty() => return active.make_room(frame_bytes),
            _ => {}
        }
        let mut next = match self.spare.take() {
            Some(spare) => spare,
            None => self.create_segment(frame_bytes)?,
        };
        if let Err(error) = next.make_room(frame_bytes) {
            self.spare = Some(next);
            return Err(error);
        }
        self.close_active(Segment::close)?;
        self.active = Some(next);
        Ok(())
    }

    fn create_segment(&mut self, frame_bytes: u64) -> Result<Segment, WalError> {
        let number = self.next_number;
        // A number is used once, even if making the file fails half-way.
        self.next_number += 1;
        let header = SegmentHeader {
            store: self.store,
            number,
            salt: self.options.salt,
        };
        let capacity = self.options.segment_bytes().max(BODY_START + frame_bytes);
        let made = Segment::create(&*self.shared.disk, &self.shared.dir, &header, capacity);
        made.map_err(|error| self.stop(error))
    }

    fn close_active(
        &mut self,
        close: impl FnOnce(&mut Segment) -> Result<(), DiskError>,
    ) -> Result<(), WalError> {
        let Some(mut active) = self.active.take() else {
            return Ok(());
        };
        let closed = close(&mut active);
        self.filled.push(active);
        closed.map_err(|error| self.stop(WalError::fatal(error)))
    }

    /// Tells the rest of the store what is durable now.
    fn publish(&mut self) {
        let filled = self.filled.drain(..).map(|segment| segment.info());
        let mut log = self.shared.log.lock();
        log.closed.extend(filled);
        log.active = self.active.as_ref().map(Segment::info);
    }
}

fn frame_header(seq: u64, parts: &[&[u8]]) -> Result<FrameHeader, WalError> {
    let bytes: usize = parts.iter().map(|part| part.len()).sum();
    let payload_bytes = u32::try_from(bytes).map_err(|_| WalError::FrameTooLarge { bytes })?;
    let payload_crc = parts
        .iter()
        .fold(0, |crc, part| crc32c::crc32c_append(crc, part));
    Ok(FrameHeader {
        seq,
        payload_bytes,
        payload_crc,
    })
}
