//! What was in the log when the process started?
//!
//! Frames are handed over in order, one at a time, while bad stretches are only noted. What a bad
//! stretch is depends on what follows it: if no valid frame does, and it is in the last segment that
//! was written, it is the tail of a drain that was never acked, and is cut; else it is damage, and is
//! kept in `quarantine/` for whoever wants to look. Nothing is changed before [`Recovery::finish`].

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::format::{BODY_START, FRAME_HEADER_BYTES, HeaderFound, SegmentHeader, StoreId};
use super::scan::{Found, Scanner, Stretch, chunk, end_of_data};
use super::segment::{Extent, SegmentInfo, segment_number};
use super::{SegmentWriter, Wal, WalError, WalOptions};
use crate::disk::{Appender, Disk, DiskError, DiskRead};

/// One frame, checksum verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its sequence number, higher than that of every frame before.
    pub seq: u64,
    /// What was appended.
    pub payload: Bytes,
}

/// What recovery found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecoveryReport {
    /// Frames that were handed over.
    pub frames: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// Frames at or before the cursor, which the catalog has already.
    pub skipped: u64,
    /// The end of a drain that was never acked; it was cut.
    pub torn_tail: Option<TornTail>,
    /// Damage that may concern frames behind the cursor.
    pub quarantined: Vec<Quarantined>,
    /// Sequence numbers behind the cursor that no frame has.
    pub gaps: Vec<SeqGap>,
}

/// The end of a drain that was never acked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// The segment that it was cut from.
    pub path: PathBuf,
    /// Where the segment ends now.
    pub offset: u64,
    /// How many bytes were cut.
    pub bytes: u64,
}

/// Bytes of the log that cannot be read as frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Where they are kept.
    pub path: PathBuf,
    /// The number of their segment.
    pub segment: u64,
    /// Where they start in it.
    pub offset: u64,
    /// How many there are.
    pub bytes: u64,
    /// The sequence number of the frame, where its header can be read.
    pub seq: Option<u64>,
}

/// A run of sequence numbers that no frame has, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeqGap {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

/// The log while it is read. It becomes a [`Wal`] and a [`SegmentWriter`] by [`Recovery::finish`].
#[derive(Debug)]
pub struct Recovery {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    quarantine_dir: PathBuf,
    store: StoreId,
    options: WalOptions,
    cursor: u64,
    files: Vec<SegmentFile>,
    /// The file that comes next.
    next_file: usize,
    /// The scanner of the file before that.
    scanner: Option<Scanner>,
    bad: Vec<BadStretch>,
    last_seq: Option<u64>,
    report: RecoveryReport,
}

#[derive(Debug)]
struct SegmentFile {
    number: u64,
    path: PathBuf,
    /// `None` if neither copy can be read, or it is that of another segment.
    header: Option<SegmentHeader>,
    len: u64,
    /// Up to the end of the last frame.
    extent: Extent,
    /// Up to the end of what is not zero, where that is known.
    used: u64,
}

#[derive(Debug)]
struct BadStretch {
    file: usize,
    stretch: Stretch,
    /// The sequence number of the next valid frame.
    next_seq: Option<u64>,
}

impl Recovery {
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        data_dir: &Path,
        store: StoreId,
        options: WalOptions,
        cursor: u64,
    ) -> Result<Self, WalError> {
        let (dir, quarantine_dir) = (data_dir.join("wal"), data_dir.join("quarantine"));
        disk.create_dir_all(&dir).map_err(WalError::Disk)?;
        let mut files = Vec::new();
        for path in disk.list(&dir).map_err(WalError::Disk)? {
            if let Some(number) = segment_number(&path) {
                files.push(SegmentFile::open(&*disk, path, number, store)?);
            }
        }
        Ok(Self {
            disk,
            dir,
            quarantine_dir,
            store,
            options,
            cursor,
            files,
            next_file: 0,
            scanner: None,
            bad: Vec::new(),
            last_seq: None,
            report: RecoveryReport::default(),
        })
    }

    /// Returns the next frame behind the cursor; `None` at the end of the log.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, WalError> {
        loop {
            let Some(scanner) = &mut self.scanner else {
                match self.next_file < self.files.len() {
                    true => self.open_next_file().map_err(WalError::Disk)?,
                    false => return Ok(None),
                }
                continue;
            };
            match scanner.next().map_err(WalError::Disk)? {
                Found::Frame {
                    offset,
                    seq,
                    payload,
                } => {
                    if let Some(frame) = self.accept(offset, Frame { seq, payload })? {
                        return Ok(Some(frame));
                    }
                }
                Found::Bad(stretch) => self.note_bad(self.next_file - 1, stretch),
                Found::End => self.scanner = None,
            }
        }
    }

    fn open_next_file(&mut self) -> Result<(), DiskError> {
        let index = self.next_file;
        self.next_file += 1;
        let file = &self.files[index];
        let end = file.used;
        match file.header {
            Some(header) => {
                let reader = self.disk.open_read(&file.path)?;
                self.scanner = Some(Scanner::new(reader, header.frames()));
            }
            // It may have held frames; which, nobody can tell.
            None if end > 0 => self.note_bad(
                index,
                Stretch {
                    start: 0,
                    end,
                    seq: None,
                },
            ),
            None => {}
        }
        Ok(())
    }

    fn note_bad(&mut self, file: usize, stretch: Stretch) {
        self.files[file].used = self.files[file].used.max(stretch.end);
        self.bad.push(BadStretch {
            file,
            stretch,
            next_seq: None,
        });
    }

    /// Takes note of a frame, and returns it if it is to be replayed.
    fn accept(&mut self, offset: u64, frame: Frame) -> Result<Option<Frame>, WalError> {
        let index = self.next_file - 1;
        let end = offset + FRAME_HEADER_BYTES as u64 + frame.payload.len() as u64;
        if self.last_seq.is_some_and(|last| frame.seq <= last) {
            // The writer never does this; whatever did, a row must not be taken twice.
            let seq = Some(frame.seq);
            self.note_bad(
                index,
                Stretch {
                    start: offset,
                    end,
                    seq,
                },
            );
            return Ok(None);
        }
        let known = self.last_seq.unwrap_or(0).max(self.cursor);
        if frame.seq > known + 1 {
            if self.last_seq.is_none() && self.bad.is_empty() {
                let (cursor, first_seq) = (self.cursor, frame.seq);
                return Err(WalError::CursorBehind { cursor, first_seq });
            }
            self.report.gaps.push(SeqGap {
                first: known + 1,
                last: frame.seq - 1,
            });
        }
        let undecided = self.bad.iter_mut().rev();
        for bad in undecided.take_while(|bad| bad.next_seq.is_none()) {
            bad.next_seq = Some(frame.seq);
        }
        self.last_seq = Some(frame.seq);
        let file = &mut self.files[index];
        file.extent.add(frame.seq, end);
        file.used = file.used.max(end);
        if frame.seq <= self.cursor {
            self.report.skipped += 1;
            return Ok(None);
        }
        self.report.frames += 1;
        self.report.bytes += frame.payload.len() as u64;
        Ok(Some(frame))
    }

    /// Reads what has not been read, cuts the torn tail, keeps what is damaged, and returns the log,
    /// ready to be written. An interrupted call does no harm.
    pub fn finish(mut self) -> Result<(Wal, SegmentWriter, RecoveryReport), WalError> {
        while self.next_frame()?.is_some() {}
        let next_number = self.files.last().map_or(1, |file| file.number + 1);
        let torn = self.take_torn_tail();
        let damage_seq = self.bad.iter().filter_map(|bad| bad.stretch.seq).max();
        let mut report = std::mem::take(&mut self.report);
        report.quarantined = self.quarantine().map_err(WalError::Disk)?;
        report.torn_tail = torn.map(|(file, offset)| self.cut_tail(file, offset));
        let closed = self.close_segments().map_err(WalError::Disk)?;
        let last_seq = self
            .cursor
            .max(self.last_seq.unwrap_or(0))
            .max(damage_seq.unwrap_or(0));
        let wal = Wal::new(self.disk, self.dir, closed);
        let shared = Arc::clone(&wal.shared);
        let writer = SegmentWriter::new(shared, self.store, self.options, next_number, last_seq);
        Ok((wal, writer, report))
    }

    /// Returns the file of the torn tail and where it starts, and forgets what is bad about it.
    fn take_torn_tail(&mut self) -> Option<(usize, u64)> {
        let last_used = self.files.iter().rposition(|file| file.used > BODY_START)?;
        self.files[last_used].header?;
        let is_torn = |bad: &BadStretch| bad.file == last_used && bad.next_seq.is_none();
        let start = self.bad.iter().position(is_torn)?;
        let offset = self.bad[start].stretch.start;
        self.bad.truncate(start);
        Some((last_used, offset))
    }

    /// Marks where the file ends now; it is cut with the other loose ends.
    fn cut_tail(&mut self, file: usize, offset: u64) -> TornTail {
        let file = &mut self.files[file];
        let bytes = file.used - offset;
        file.used = offset;
        TornTail {
            path: file.path.clone(),
            offset,
            bytes,
        }
    }

    /// Keeps a copy of every bad stretch that may hold a frame behind the cursor.
    fn quarantine(&self) -> Result<Vec<Quarantined>, DiskError> {
        let is_covered =
            |bad: &BadStretch| bad.next_seq.is_some_and(|next| next <= self.cursor + 1);
        let mut kept = Vec::new();
        for bad in self.bad.iter().filter(|bad| !is_covered(bad)) {
            kept.push(self.quarantine_one(bad)?);
        }
        if !kept.is_empty() {
            self.disk.sync_dir(&self.quarantine_dir)?;
        }
        Ok(kept)
    }

    fn quarantine_one(&self, bad: &BadStretch) -> Result<Quarantined, DiskError> {
        let file = &self.files[bad.file];
        let Stretch { start, end, seq } = bad.stretch;
        self.disk.create_dir_all(&self.quarantine_dir)?;
        let name = format!("{:016x}-{start:016x}.wal-bad", file.number);
        let path = self.quarantine_dir.join(name);
        // One that an earlier start has left may be unfinished.
        if self.disk.exists(&path)? {
            self.disk.remove(&path)?;
        }
        let source = self.disk.open_read(&file.path)?;
        let mut copy = Appender::new(self.disk.create(&path)?, 0);
        copy_range(&*source, start, end, &mut copy)?;
        copy.sync_data()?;
        Ok(Quarantined {
            path,
            segment: file.number,
            offset: start,
            bytes: end - start,
            seq,
        })
    }

    /// Removes the files that hold nothing and cuts the others behind what they hold.
    fn close_segments(&self) -> Result<Vec<SegmentInfo>, DiskError> {
        let mut closed = Vec::with_capacity(self.files.len());
        for file in &self.files {
            let is_damaged = self
                .bad
                .iter()
                .any(|bad| self.files[bad.file].number == file.number);
            if file.header.is_none() || (file.extent == Extent::EMPTY && !is_damaged) {
                // What cannot be read at all has been copied; what is empty was a spare, or is so now.
                self.disk.remove(&file.path)?;
                continue;
            }
            let mut handle = self.disk.open_write(&file.path)?;
            if file.used < file.len {
                handle.truncate(file.used)?;
            }
            // After a mere crash of the process some of what was read may be in memory only.
            handle.sync_data()?;
            closed.push(file.info());
        }
        self.disk.sync_dir(&self.dir)?;
        Ok(closed)
    }
}

impl SegmentFile {
    fn open(disk: &dyn Disk, path: PathBuf, number: u64, store: StoreId) -> Result<Self, WalError> {
        let file = disk.open_read(&path).map_err(WalError::Disk)?;
        let len = file.len();
        let start = file
            .read_at(0, len.min(BODY_START) as usize)
            .map_err(WalError::Disk)?;
        let (header, used) = match SegmentHeader::decode(&start) {
            HeaderFound::Newer(found) => return Err(WalError::NewerVersion { path, found }),
            HeaderFound::Valid(header) if header.store != store => {
                let (found, expected) = (header.store, store);
                return Err(WalError::ForeignStore {
                    path,
                    found,
                    expected,
                });
            }
            HeaderFound::Valid(header) if header.number == number => (Some(header), BODY_START),
            // A header with another number is that of an older file in recycled space, or somebody gave
            // the file a new name: its frames are not where the log goes on.
            HeaderFound::Valid(_) | HeaderFound::Damaged => {
                let end = end_of_data(&*file, BODY_START).map_err(WalError::Disk)?;
                (None, end.unwrap_or(0))
            }
        };
        Ok(Self {
            number,
            path,
            header,
            len,
            extent: Extent::EMPTY,
            used,
        })
    }

    fn info(&self) -> SegmentInfo {
        SegmentInfo {
            number: self.number,
            path: self.path.clone(),
            first_seq: self.extent.first_seq,
            last_seq: self.extent.last_seq,
            bytes: self.used,
        }
    }
}

/// Returns the runs of sequence numbers that the segments of a log hold. Changes nothing.
pub(super) fn survey(
    disk: &dyn Disk,
    data_dir: &Path,
    store: StoreId,
) -> Result<Vec<RangeInclusive<u64>>, WalError> {
    let dir = data_dir.join("wal");
    let mut runs: Vec<RangeInclusive<u64>> = Vec::new();
    if !disk.exists(&dir).map_err(WalError::Disk)? {
        return Ok(runs);
    }
    for path in disk.list(&dir).map_err(WalError::Disk)? {
        let Some(number) = segment_number(&path) else {
            continue;
        };
        let Some(header) = SegmentFile::open(disk, path.clone(), number, store)?.header else {
            continue;
        };
        let reader = disk.open_read(&path).map_err(WalError::Disk)?;
        let mut scanner = Scanner::new(reader, header.frames());
        loop {
            match scanner.next().map_err(WalError::Disk)? {
                Found::Frame { seq, .. } => match runs.last_mut() {
                    Some(run) if seq <= *run.end() => {}
                    Some(run) if seq == run.end() + 1 => *run = *run.start()..=seq,
                    _ => runs.push(seq..=seq),
                },
                Found::Bad(_) => {}
                Found::End => break,
            }
        }
    }
    Ok(runs)
}

fn copy_range(
    source: &dyn DiskRead,
    start: u64,
    end: u64,
    copy: &mut Appender,
) -> Result<(), DiskError> {
    let mut at = start;
    while let Some(bytes) = chunk(source, at)? {
        let bytes = &bytes[..bytes.len().min((end - at) as usize)];
        if bytes.is_empty() {
            break;
        }
        copy.append(bytes)?;
        at += bytes.len() as u64;
    }
    Ok(())
}
