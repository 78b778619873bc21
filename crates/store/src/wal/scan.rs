//! Which frames does a segment hold, and what is between them?
//!
//! The scanner goes from frame to frame. Where it finds something else it looks for the next header
//! that is valid in its place, so one bad frame costs that frame. It decides nothing: whether a bad
//! stretch is the tail of a drain that never finished, or damage, is known at the end of the log only.

use std::sync::Arc;

use bytes::Bytes;
use memchr::memmem;

use super::format::{BODY_START, FRAME_HEADER_BYTES, FRAME_MAGIC, FrameFormat, FrameHeader};
use crate::disk::{DiskError, DiskRead};

/// How much is read at once where there are no frames.
const CHUNK_BYTES: u64 = 1 << 20;

/// One thing that was found.
#[derive(Debug)]
pub(super) enum Found {
    Frame {
        offset: u64,
        seq: u64,
        payload: Bytes,
    },
    Bad(Stretch),
    /// Nothing but zeros follows.
    End,
}

/// Bytes that are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) start: u64,
    pub(super) end: u64,
    /// The sequence number in the frame's header, where the header is whole.
    pub(super) seq: Option<u64>,
}

/// Goes through the frames of one segment.
#[derive(Debug)]
pub(super) struct Scanner {
    file: Arc<dyn DiskRead>,
    frames: FrameFormat,
    position: u64,
}

impl Scanner {
    pub(super) fn new(file: Arc<dyn DiskRead>, frames: FrameFormat) -> Self {
        Self {
            file,
            frames,
            position: BODY_START,
        }
    }

    /// Returns a scanner that goes on where another one was.
    pub(super) fn at(file: Arc<dyn DiskRead>, frames: FrameFormat, position: u64) -> Self {
        Self {
            file,
            frames,
            position,
        }
    }

    /// Returns up to where it is.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Returns the next thing. After [`Found::End`] it is that for ever.
    pub(super) fn next(&mut self) -> Result<Found, DiskError> {
        let start = self.position;
        let header = self.header_at(start)?;
        let body = start + FRAME_HEADER_BYTES as u64;
        if let Some(header) = header
            && body + u64::from(header.payload_bytes) <= self.file.len()
        {
            return self.frame(start, body, &header);
        }
        let seq = header.map(|header| header.seq);
        if let Some(end) = self.find_header(start + 1)? {
            self.position = end;
            return Ok(Found::Bad(Stretch { start, end, seq }));
        }
        self.position = self.file.len();
        match end_of_data(&*self.file, start)? {
            Some(end) => Ok(Found::Bad(Stretch { start, end, seq })),
            None => Ok(Found::End),
        }
    }

    fn frame(&mut self, start: u64, body: u64, header: &FrameHeader) -> Result<Found, DiskError> {
        let payload = self.file.read_at(body, header.payload_bytes as usize)?;
        let end = body + u64::from(header.payload_bytes);
        self.position = end;
        let seq = header.seq;
        Ok(match crc32c::crc32c(&payload) == header.payload_crc {
            true => Found::Frame {
                offset: start,
                seq,
                payload,
            },
            false => Found::Bad(Stretch {
                start,
                end,
                seq: Some(seq),
            }),
        })
    }

    fn header_at(&self, offset: u64) -> Result<Option<FrameHeader>, DiskError> {
        if offset + FRAME_HEADER_BYTES as u64 > self.file.len() {
            return Ok(None);
        }
        let bytes = self.file.read_at(offset, FRAME_HEADER_BYTES)?;
        let bytes = bytes
            .as_ref()
            .try_into()
            .expect("as many bytes as were asked for");
        Ok(self.frames.decode(offset, bytes))
    }

    /// Returns where the first valid header at or behind `from` starts.
    fn find_header(&self, from: u64) -> Result<Option<u64>, DiskError> {
        let finder = memmem::Finder::new(&FRAME_MAGIC);
        let mut at = from;
        while let Some(chunk) = chunk(&*self.file, at)? {
            for hit in finder.find_iter(&chunk) {
                let offset = at + hit as u64;
                if self.header_at(offset)?.is_some() {
                    return Ok(Some(offset));
                }
            }
            // The next chunk starts with the end of this one: a magic may lie across.
            let step = (chunk.len() + 1).saturating_sub(FRAME_MAGIC.len());
            at += step.max(1) as u64;
        }
        Ok(None)
    }
}

/// Returns the end of the last byte at or behind `from` that is not zero, if there is one.
pub(super) fn end_of_data(file: &dyn DiskRead, from: u64) -> Result<Option<u64>, DiskError> {
    let mut end = None;
    let mut at = from;
    while let Some(bytes) = chunk(file, at)? {
        if let Some(last) = bytes.iter().rposition(|&byte| byte != 0) {
            end = Some(at + last as u64 + 1);
        }
        at += bytes.len() as u64;
    }
    Ok(end)
}

/// Returns the next piece of a file from `at` on; `None` at its end.
pub(super) fn chunk(file: &dyn DiskRead, at: u64) -> Result<Option<Bytes>, DiskError> {
    let len = file.len().saturating_sub(at).min(CHUNK_BYTES);
    match len {
        0 => Ok(None),
        len => Ok(Some(file.read_at(at, len as usize)?)),
    }
}
