//! Where a file's bytes come from: a trait of two methods, so that disks, object stores and tests
//! look the same from here.

use std::io::{self, BufReader, Read};
use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use super::seal::Blocks;

/// Bytes that can be read at any place by any number of readers at once.
#[expect(clippy::len_without_is_empty, reason = "no file of the lake is empty")]
pub trait ReadAt: Send + Sync {
    /// Returns the length of the file, which does not change.
    fn len(&self) -> u64;

    /// Returns exactly `len` bytes from `offset`, or an error.
    fn read_at(&self, offset: u64, len: usize) -> io::Result<Bytes>;
}

impl ReadAt for Bytes {
    fn len(&self) -> u64 {
        self.as_ref().len() as u64
    }

    fn read_at(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        let start = offset as usize;
        let end = start
            .checked_add(len)
            .filter(|&end| end <= self.as_ref().len());
        end.map(|end| self.slice(start..end))
            .ok_or_else(|| beyond(offset, len))
    }
}

fn beyond(offset: u64, len: usize) -> io::Error {
    let text = format!("{len} bytes at {offset} reach beyond the end of the file");
    io::Error::new(io::ErrorKind::UnexpectedEof, text)
}

/// Returns exactly these bytes. A damaged file may ask for any number: none is allocated for what is
/// not there.
pub(super) fn read_exactly(source: &dyn ReadAt, offset: u64, len: usize) -> io::Result<Bytes> {
    match offset.checked_add(len as u64) {
        Some(end) if end <= source.len() => {}
        _ => return Err(beyond(offset, len)),
    }
    let bytes = source.read_at(offset, len)?;
    if bytes.len() == len {
        Ok(bytes)
    } else {
        Err(beyond(offset, len))
    }
}

/// The rows of a file as the Parquet reader wants them, checked.
#[derive(Clone)]
pub(super) struct ChunkSource {
    pub(super) source: Arc<dyn ReadAt>,
    /// Absent for a source that has been checked as a whole.
    pub(super) blocks: Option<Arc<Blocks>>,
}

impl ChunkSource {
    pub(super) fn read(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        match &self.blocks {
            Some(blocks) => blocks.read(&*self.source, offset, len),
            None => read_exactly(&*self.source, offset, len),
        }
    }
}

impl Length for ChunkSource {
    fn len(&self) -> u64 {
        self.source.len()
    }
}

impl ChunkReader for ChunkSource {
    type T = BufReader<SequentialRead>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        // Only headers are read this way: a small buffer wastes the least.
        Ok(BufReader::with_capacity(
            512,
            SequentialRead {
                source: self.clone(),
                at: start,
            },
        ))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        Ok(self.read(start, length)?)
    }
}

/// Reads on from a place.
pub(super) struct SequentialRead {
    source: ChunkSource,
    at: u64,
}

impl Read for SequentialRead {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = Length::len(&self.source).saturating_sub(self.at);
        let len = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let bytes = self.source.read(self.at, len)?;
        buf[..len].copy_from_slice(&bytes);
        self.at += len as u64;
        Ok(len)
    }
}
