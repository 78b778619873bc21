//! What came in since? The log read in its order while it is written, for those who pass rows on.
//!
//! A follower holds the frames that it was not told to let go of, so they are not cut (see
//! [`super::Wal::cut`]), unless a deletion takes them. It sees a frame once it is durable, and never a half: where a segment ends is
//! what the writer's commits say.

use std::sync::Arc;

use super::format::{BODY_START, HeaderFound, SegmentHeader};
use super::scan::{Found, Scanner};
use super::{Frame, Hold, SegmentInfo, Shared, Wal, WalError};

/// Reads the log in its order. Dropping it lets go of what it holds.
#[derive(Debug)]
pub struct Follower {
    wal: Wal,
    hold: Hold,
    /// The frame that is read next.
    next_seq: u64,
    /// The segment that was read last, and up to where.
    place: (u64, u64),
}

/// What was read at once.
#[derive(Debug, Default)]
pub struct Followed {
    /// Frames in their order.
    pub frames: Vec<Frame>,
    /// Frames that should have been there: they were cut before anybody held them, or are damaged.
    pub missing: u64,
}

impl Wal {
    /// Returns a follower of every frame behind `seq`.
    pub fn follow(&self, seq: u64) -> Follower {
        Follower {
            wal: self.clone(),
            hold: self.hold_weakly(seq + 1),
            next_seq: seq + 1,
            place: (0, BODY_START),
        }
    }

    /// Returns the number of the newest frame that is in the log; `None` if it is empty.
    pub fn last_seq(&self) -> Option<u64> {
        let segments = self.segments();
        segments.iter().filter_map(|segment| segment.last_seq).max()
    }
}

impl Follower {
    /// Returns the next frames, as many as come to about `bytes_max`; one at least, if there is one.
    pub fn read(&mut self, bytes_max: usize) -> Result<Followed, WalError> {
        let mut followed = Followed::default();
        let mut bytes = 0;
        for segment in self.wal.segments() {
            if segment.last_seq.is_none_or(|last| last < self.next_seq) {
                continue;
            }
            if bytes >= bytes_max {
                break;
            }
            self.read_segment(&segment, bytes_max, &mut bytes, &mut followed)?;
        }
        Ok(followed)
    }

    fn read_segment(
        &mut self,
        segment: &SegmentInfo,
        bytes_max: usize,
        bytes: &mut usize,
        followed: &mut Followed,
    ) -> Result<(), WalError> {
        if self.place.0 != segment.number {
            self.place = (segment.number, BODY_START);
        }
        let Shared { disk, .. } = &*self.wal.shared;
        let file = disk.open_read(&segment.path).map_err(WalError::Disk)?;
        let start = file.read_at(0, BODY_START as usize);
        let header = SegmentHeader::decode(&start.map_err(WalError::Disk)?);
        let HeaderFound::Valid(header) = header else {
            // Nobody can read it; the next one says how much is missing.
            self.place.1 = segment.bytes;
            return Ok(());
        };
        let mut scanner = Scanner::at(Arc::clone(&file), header.frames(), self.place.1);
        while scanner.position() < segment.bytes && *bytes < bytes_max {
            match scanner.next().map_err(WalError::Disk)? {
                Found::Frame { seq, payload, .. } if seq >= self.next_seq => {
                    followed.missing += seq - self.next_seq;
                    self.next_seq = seq + 1;
                    *bytes += payload.len();
                    followed.frames.push(Frame { seq, payload });
                }
                Found::Frame { .. } | Found::Bad(_) => {}
                Found::End => break,
            }
        }
        self.place.1 = scanner.position();
        Ok(())
    }

    /// Lets go of every frame up to `seq`: they may be cut.
    pub fn let_go(&self, seq: u64) {
        self.hold.advance(seq + 1);
    }

    /// Returns how many bytes of the log are still to be read.
    pub fn unread_bytes(&self) -> u64 {
        let unread = |segment: &SegmentInfo| {
            let read = match segment.number == self.place.0 {
                true => self.place.1,
                false => BODY_START,
            };
            let has_more = segment.last_seq.is_some_and(|last| last >= self.next_seq);
            has_more.then(|| segment.bytes.saturating_sub(read))
        };
        self.wal.segments().iter().filter_map(unread).sum()
    }
}
