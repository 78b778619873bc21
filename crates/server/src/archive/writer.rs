//! How do bodies get into files, and when do files go?
//!
//! One task writes: it takes what waits, writes it, hands it to the kernel in one go, and says so to
//! whoever waits. Once a second what was written is synced. After an error the file is left as it is and
//! the next attempt begins another one, a little later: until then what comes is counted as lost. A body
//! comes with the memory that is held for it, and goes back with it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::{Clock, Time};
use store::disk::{Appender, Disk, DiskError};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::files::{HOUR_MICROS, hour, hour_of, name};
use super::{ArchiveConfig, Figures, Job, record};
use crate::error::chain;

/// Written is synced this often.
const SYNCED_EVERY: Duration = Duration::from_secs(1);

/// After an error nothing is tried for so long.
const PAUSE_MICROS: i64 = 10 * 1_000_000;

/// Records that are written in one go.
const RECORDS_AT_ONCE: usize = 64;

/// Bodies are compressed while their senders wait: fast rather than small.
const ZSTD_LEVEL: i32 = 1;

/// Why a body was not archived.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error("failed to make a file of the archive")]
    Open(#[from] DiskError),
    #[error("failed to write to the archive")]
    Write(#[from] std::io::Error),
    #[error("this hour alone has more bytes than archive_bytes_max")]
    Full,
}

/// A file that is being written.
struct OpenFile {
    path: PathBuf,
    hour: Time,
    to: zstd::Encoder<'static, Appender>,
    is_synced: bool,
}

/// Writes records.
pub(super) struct Writer {
    dir: PathBuf,
    keep_micros: i64,
    bytes_max: u64,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    figures: Arc<Figures>,
    file: Option<OpenFile>,
    /// What closed files take on disk.
    closed_bytes: u64,
    paused_until: Option<Time>,
}

/// Writes what comes until nobody is left who could send.
pub(super) async fn run(mut writer: Writer, mut waiting: mpsc::Receiver<Job>) {
    loop {
        let mut jobs = Vec::new();
        let is_over = tokio::select! {
            count = waiting.recv_many(&mut jobs, RECORDS_AT_ONCE) => count == 0,
            () = tokio::time::sleep(SYNCED_EVERY) => false,
        };
        let work = spawn_blocking(move || {
            match is_over {
                true => writer.close(),
                false if jobs.is_empty() => writer.tick(),
                false => writer.write(jobs),
            }
            writer
        });
        writer = match work.await {
            Ok(writer) => writer,
            Err(died) => return tracing::error!(%died, "the archive's writer died"),
        };
        if is_over {
            return;
        }
    }
}

impl Writer {
    pub(super) fn new(
        config: &ArchiveConfig,
        dir: PathBuf,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        figures: Arc<Figures>,
    ) -> Self {
        Self {
            dir,
            keep_micros: config.keep_ms.saturating_mul(1_000),
            bytes_max: config.bytes_max,
            disk,
            clock,
            figures,
            file: None,
            closed_bytes: 0,
            paused_until: None,
        }
    }

    /// Writes bodies, or counts them as lost, and gives them back to those who wait.
    fn write(&mut self, jobs: Vec<Job>) {
        let now = self.clock.now();
        let count = jobs.len() as u64;
        let is_paused = self.paused_until.is_some_and(|until| now < until);
        let written = match is_paused {
            true => None,
            false => match self.try_write(&jobs, now) {
                Ok(bytes) => Some(bytes),
                Err(error) => {
                    self.fail(&error, now);
                    None
                }
            },
        };
        let figures = &self.figures;
        match written {
            Some(bytes) => {
                self.paused_until = None;
                if figures.trouble.lock().take().is_some() {
                    tracing::info!("the archive is written again");
                }
                figures.records.fetch_add(count, Ordering::Relaxed);
                figures.record_bytes.fetch_add(bytes, Ordering::Relaxed);
            }
            None => {
                figures.lost_records.fetch_add(count, Ordering::Relaxed);
            }
        }
        for job in jobs {
            // Who has hung up does not want it back.
            let _gone = job.done.send(job.received);
        }
        self.note_size();
    }

    fn fail(&mut self, error: &WriteError, now: Time) {
        let text = chain(error);
        tracing::error!(cause = %text, "bodies are not archived; ingest goes on");
        *self.figures.trouble.lock() = Some(text);
        self.paused_until = Some(now.plus_micros(PAUSE_MICROS));
        if let Some(file) = self.file.take() {
            self.closed_bytes += file.to.get_ref().end();
        }
    }

    /// Returns how many bytes of bodies were written.
    fn try_write(&mut self, jobs: &[Job], now: Time) -> Result<u64, WriteError> {
        let file = self.file_for(now)?;
        let mut bytes = 0;
        for job in jobs {
            let (body, _) = job.received.as_received();
            record::write(&job.head, &body, &mut file.to)?;
            bytes += body.len() as u64;
        }
        std::io::Write::flush(&mut file.to)?;
        file.is_synced = false;
        Ok(bytes)
    }

    /// Returns the file of this hour, beginning it if need be.
    fn file_for(&mut self, now: Time) -> Result<&mut OpenFile, WriteError> {
        if self
            .file
            .as_ref()
            .is_some_and(|file| file.hour != hour(now))
        {
            self.end_file()?;
        }
        if self.file.is_none() {
            self.disk.create_dir_all(&self.dir)?;
            let path = self.dir.join(name(now, now));
            let file = Appender::new(self.disk.create(&path)?, 0);
            self.disk.sync_dir(&self.dir)?;
            let mut to = zstd::Encoder::new(file, ZSTD_LEVEL)?;
            to.include_checksum(true)?;
            self.file = Some(OpenFile {
                path,
                hour: hour(now),
                to,
                is_synced: true,
            });
            self.remove_old(now)?;
        }
        let open_bytes = self.file.as_ref().map_or(0, |file| file.to.get_ref().end());
        if self.closed_bytes + open_bytes > self.bytes_max {
            self.remove_old(now)?;
            if open_bytes > self.bytes_max {
                return Err(WriteError::Full);
            }
        }
        Ok(self.file.as_mut().expect("it was just made"))
    }

    /// Syncs what was written, and ends a file whose hour is over.
    fn tick(&mut self) {
        let now = self.clock.now();
        let done = match &mut self.file {
            Some(file) if file.hour != hour(now) => self.end_file(),
            Some(file) if !file.is_synced => {
                file.is_synced = true;
                file.to.get_mut().sync_data().map_err(WriteError::from)
            }
            _ => Ok(()),
        };
        if let Err(error) = done {
            self.fail(&error, now);
        }
    }

    fn close(&mut self) {
        if let Err(error) = self.end_file() {
            self.fail(&error, self.clock.now());
        }
    }

    fn end_file(&mut self) -> Result<(), WriteError> {
        if let Some(file) = self.file.take() {
            let mut written = file.to.finish()?;
            self.closed_bytes += written.end();
            written.sync_data()?;
        }
        Ok(())
    }

    /// Removes files that are too old, and the oldest while all of them are too large together. The file
    /// that is being written stays.
    fn remove_old(&mut self, now: Time) -> Result<(), WriteError> {
        let open = self.file.as_ref().map(|file| file.path.clone());
        let listed = self.disk.list(&self.dir)?;
        let mut closed = Vec::new();
        for path in listed {
            if let Some(begins) = hour_of(&path).filter(|_| Some(&path) != open.as_ref()) {
                let bytes = self.disk.len(&path)?;
                closed.push((path, begins, bytes));
            }
        }
        let open_bytes = self.file.as_ref().map_or(0, |file| file.to.get_ref().end());
        let mut total: u64 = closed.iter().map(|(_, _, bytes)| bytes).sum();
        for (path, begins, bytes) in closed {
            let ends = begins.plus_micros(HOUR_MICROS);
            let is_old = ends.plus_micros(self.keep_micros) < now;
            if is_old || total + open_bytes > self.bytes_max {
                self.disk.remove(&path)?;
                total -= bytes;
                self.figures.removed_files.fetch_add(1, Ordering::Relaxed);
                tracing::info!(path = %path.display(), is_old, "a file of the archive was removed");
            }
        }
        self.closed_bytes = total;
        Ok(())
    }

    fn note_size(&self) {
        let open = self.file.as_ref().map_or(0, |file| file.to.get_ref().end());
        self.figures
            .disk_bytes
            .store(self.closed_bytes + open, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicI64;

    use store::Ledger;
    use store::disk::RealDisk;
    use tokio::sync::oneshot;

    use super::super::reader::Records;
    use super::super::record::tests::record;
    use super::*;
    use crate::Config;
    use crate::archive::{NotAnArchive, Record, find_archives};
    use crate::body::{Encoding, Received};

    #[derive(Debug)]
    struct HandClock(AtomicI64);

    impl Clock for HandClock {
        fn now(&self) -> Time {
            Time::from_micros(self.0.load(Ordering::Relaxed))
        }
    }

    struct Bench {
        clock: Arc<HandClock>,
        writer: Writer,
        dir: tempfile::TempDir,
    }

    const BEGIN: i64 = 1_790_000_000_000_000;

    fn bench(config: ArchiveConfig) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(HandClock(AtomicI64::new(BEGIN)));
        let writer = Writer::new(
            &config,
            dir.path().join("archive"),
            Arc::new(RealDisk),
            Arc::clone(&clock) as _,
            Arc::default(),
        );
        Bench { clock, writer, dir }
    }

    impl Bench {
        /// Writes a body and returns whether it was not lost. Its sender has it back either way.
        fn write(&mut self, n: u8) -> bool {
            let (done, mut written) = oneshot::channel();
            let Record { head, body } = record(n, Encoding::Identity);
            let (config, ledger) = (Config::default(), Ledger::new(1 << 20));
            let received = Received::again(&config, &ledger, body, Encoding::Identity);
            let lost = |writer: &Writer| writer.figures.lost_records.load(Ordering::Relaxed);
            let before = lost(&self.writer);
            self.writer.write(vec![Job {
                head,
                received,
                done,
            }]);
            assert!(written.try_recv().is_ok());
            lost(&self.writer) == before
        }

        fn pass(&self, micros: i64) {
            self.clock.0.fetch_add(micros, Ordering::Relaxed);
        }

        fn files(&self) -> Vec<PathBuf> {
            match find_archives(&[self.dir.path().join("archive")], None, None) {
                Err(NotAnArchive::Empty(_)) => Vec::new(),
                found => found.unwrap(),
            }
        }

        /// The records of all files, by their number, and how many files are torn.
        fn read(&self) -> (Vec<usize>, usize) {
            let (mut numbers, mut torn) = (Vec::new(), 0);
            for path in self.files() {
                let mut records = Records::open(&path).unwrap();
                numbers.extend(records.by_ref().map(|record| record.unwrap().body.len()));
                torn += usize::from(records.torn().is_some());
            }
            (numbers, torn)
        }
    }

    #[test]
    fn what_was_told_as_written_is_there_although_the_process_dies() {
        let mut bench = bench(ArchiveConfig::default());
        for n in 1..=5 {
            assert!(bench.write(n));
        }
        // Nothing was ended: the file has no last block.
        assert_eq!(bench.read(), (vec![1, 2, 3, 4, 5], 1));
        bench.writer.close();
        assert_eq!(bench.read(), (vec![1, 2, 3, 4, 5], 0));
        // A file that is cut anywhere gives whole records and says so.
        let path = bench.files().remove(0);
        let whole = std::fs::read(&path).unwrap();
        for end in 0..whole.len() {
            std::fs::write(&path, &whole[..end]).unwrap();
            let (numbers, torn) = bench.read();
            assert!(numbers.iter().copied().eq(1..=numbers.len()), "{end}");
            assert_eq!(torn, 1, "{end}");
        }
    }

    #[test]
    fn an_hour_has_its_file_and_old_files_go() {
        let config = ArchiveConfig {
            keep_ms: 2 * 3_600_000,
            ..ArchiveConfig::default()
        };
        let mut bench = bench(config);
        for n in 1..=6 {
            assert!(bench.write(n));
            bench.pass(HOUR_MICROS);
            bench.writer.tick();
        }
        // Beside the last hour two more are kept.
        assert_eq!(bench.read(), (vec![4, 5, 6], 0));
        let removed = &bench.writer.figures.removed_files;
        assert_eq!(removed.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many_bytes() {
        let config = ArchiveConfig {
            bytes_max: 700,
            ..ArchiveConfig::default()
        };
        let mut bench = bench(config);
        for n in 1..=9 {
            assert!(bench.write(n));
            bench.pass(HOUR_MICROS);
        }
        let (numbers, _) = bench.read();
        assert!(
            numbers.len() < 9 && numbers.ends_with(&[8, 9]),
            "{numbers:?}"
        );
    }

    #[test]
    fn what_cannot_be_written_is_told_and_tried_again_later() {
        let mut bench = bench(ArchiveConfig::default());
        let dir = bench.dir.path().join("archive");
        std::fs::write(&dir, "in the way").unwrap();
        assert!(!bench.write(1));
        assert!(bench.writer.figures.trouble.lock().is_some());
        std::fs::remove_file(&dir).unwrap();
        assert!(!bench.write(2), "it pauses");
        bench.pass(PAUSE_MICROS);
        assert!(bench.write(3));
        assert!(bench.writer.figures.trouble.lock().is_none());
        bench.writer.close();
        assert_eq!(bench.read(), (vec![3], 0));
    }
}
