//! The one place that touches files.
//!
//! Everything the store keeps goes through [`Disk`], for one reason: what happens at a power cut, on a
//! full disk and on a broken one cannot be tested on a real disk, so tests put another one in its
//! place (`disk/faulty.rs`). The operations are those of the kernel, no more: what is durable after
//! which call is the caller's business, and visible in the caller's code.

use std::fmt;
use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rustix::fs::FallocateFlags;
use rustix::io::Errno;

#[cfg(any(test, feature = "testing"))]
pub mod faulty;

/// What was asked of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DiskOp {
    /// Make a new file.
    Create,
    /// Open a file that exists.
    Open,
    /// Read from a file.
    Read,
    /// Write to a file.
    Write,
    /// Wait until a file's data is on the platter.
    Sync,
    /// Reserve space for a file.
    Allocate,
    /// Cut a file.
    Truncate,
    /// Give a file another name.
    Rename,
    /// Wait until a directory's names are on the platter.
    SyncDir,
    /// Remove a name.
    Remove,
    /// Read the names in a directory.
    List,
    /// Make a directory.
    CreateDir,
    /// Give a file a second name.
    HardLink,
    /// Ask for size, existence or free space.
    Stat,
}

impl fmt::Display for DiskOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::Open => "open",
            Self::Read => "read",
            Self::Write => "write to",
            Self::Sync => "sync",
            Self::Allocate => "reserve space for",
            Self::Truncate => "cut",
            Self::Rename => "rename",
            Self::SyncDir => "sync directory",
            Self::Remove => "remove",
            Self::List => "list",
            Self::CreateDir => "create directory",
            Self::HardLink => "hard-link",
            Self::Stat => "look at",
        })
    }
}

/// The disk did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{op} {}", path.display())]
pub struct DiskError {
    /// What was asked.
    pub op: DiskOp,
    /// Of which file or directory.
    pub path: PathBuf,
    /// What the kernel said.
    #[source]
    pub source: io::Error,
}

impl DiskError {
    /// Returns the error of `op` on `path`.
    pub fn new(op: DiskOp, path: &Path, source: impl Into<io::Error>) -> Self {
        Self {
            op,
            path: path.to_owned(),
            source: source.into(),
        }
    }

    /// Returns whether the disk or the quota is full: a condition that may pass.
    pub fn is_full(&self) -> bool {
        matches!(
            self.source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    }

    /// Returns whether there is no such file.
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

/// Files and directories.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Creates a file, readable by us alone, for writing. A file that exists is an error.
    fn create(&self, path: &Path) -> Result<Box<dyn DiskFile>, DiskError>;
    /// Opens a file that exists for writing, its content kept.
    fn open_write(&self, path: &Path) -> Result<Box<dyn DiskFile>, DiskError>;
    /// Opens a file for reading at any place.
    fn open_read(&self, path: &Path) -> Result<Arc<dyn DiskRead>, DiskError>;
    /// Returns the size of a file in bytes.
    fn len(&self, path: &Path) -> Result<u64, DiskError>;
    /// Returns whether the path names a file or a directory.
    fn exists(&self, path: &Path) -> Result<bool, DiskError>;
    /// Gives a file another name, in the place of a file that has it.
    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError>;
    /// Gives a file a second name. A file that has it already is an error.
    fn hard_link(&self, from: &Path, to: &Path) -> Result<(), DiskError>;
    /// Removes the name of a file.
    fn remove(&self, path: &Path) -> Result<(), DiskError>;
    /// Returns when the names in a directory are durable.
    fn sync_dir(&self, dir: &Path) -> Result<(), DiskError>;
    /// Returns the paths of what is in a directory, sorted.
    fn list(&self, dir: &Path) -> Result<Vec<PathBuf>, DiskError>;
    /// Creates a directory, open to us alone, and those above it that are missing; durably.
    fn create_dir_all(&self, dir: &Path) -> Result<(), DiskError>;
    /// Returns how many bytes we may still write to the file system that holds `path`.
    fn free_bytes(&self, path: &Path) -> Result<u64, DiskError>;

    /// Returns the whole content of a file.
    fn read(&self, path: &Path) -> Result<Bytes, DiskError> {
        let file = self.open_read(path)?;
        let len = usize::try_from(file.len()).unwrap_or(usize::MAX);
        file.read_at(0, len)
    }
}

/// A file that is being written. What was written is durable after [`DiskFile::sync_data`] only, and
/// its name after [`Disk::sync_dir`].
pub trait DiskFile: Send + fmt::Debug {
    /// Writes the parts one after the other, from `offset` on. After an error any of it may be there.
    fn write_at(&mut self, offset: u64, parts: &[&[u8]]) -> Result<(), DiskError>;
    /// Returns when content and size are durable. After an error nothing is known of either.
    fn sync_data(&mut self) -> Result<(), DiskError>;
    /// Makes the file at least `len` bytes long with space reserved for all of it.
    fn allocate(&mut self, len: u64) -> Result<(), DiskError>;
    /// Makes the file `len` bytes long.
    fn truncate(&mut self, len: u64) -> Result<(), DiskError>;
}

/// A file that is read at any place, by any number of threads.
pub trait DiskRead: Send + Sync + fmt::Debug {
    /// Returns `len` bytes from `offset` on. Fewer are an error.
    fn read_at(&self, offset: u64, len: usize) -> Result<Bytes, DiskError>;
    /// Returns the size that the file had when it was opened.
    fn len(&self) -> u64;
    /// Returns whether the file had no byte when it was opened.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A file written from start to end, for writers that know of [`Write`] only.
#[derive(Debug)]
pub struct Appender {
    file: Box<dyn DiskFile>,
    end: u64,
}

impl Appender {
    /// Returns a writer that goes on at byte `end` of `file`.
    pub fn new(file: Box<dyn DiskFile>, end: u64) -> Self {
        Self { file, end }
    }

    /// Returns where the next byte goes.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Writes `bytes` at the end.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        self.file.write_at(self.end, &[bytes])?;
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// Returns when everything written so far is durable.
    pub fn sync_data(&mut self) -> Result<(), DiskError> {
        self.file.sync_data()
    }
}

impl Write for Appender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // The kind is what callers decide by; the text says which file it was.
        let appended = self.append(bytes);
        appended.map_err(|error| io::Error::new(error.source.kind(), error))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The machine's disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

#[derive(Debug)]
struct RealFile {
    file: File,
    path: PathBuf,
}

#[derive(Debug)]
struct RealRead {
    file: File,
    path: PathBuf,
    len: u64,
}

/// Returns a closure that says on what the operation failed.
fn failed<E: Into<io::Error>>(op: DiskOp, path: &Path) -> impl Fn(E) -> DiskError + '_ {
    move |source| DiskError::new(op, path, source)
}

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> Result<Box<dyn DiskFile>, DiskError> {
        let file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(failed(DiskOp::Create, path))?;
        let path = path.to_owned();
        Ok(Box::new(RealFile { file, path }))
    }

    fn open_write(&self, path: &Path) -> Result<Box<dyn DiskFile>, DiskError> {
        let opened = File::options().write(true).open(path);
        let file = opened.map_err(failed(DiskOp::Open, path))?;
        let path = path.to_owned();
        Ok(Box::new(RealFile { file, path }))
    }

    fn open_read(&self, path: &Path) -> Result<Arc<dyn DiskRead>, DiskError> {
        let file = File::open(path).map_err(failed(DiskOp::Open, path))?;
        let len = file.metadata().map_err(failed(DiskOp::Stat, path))?.len();
        let path = path.to_owned();
        Ok(Arc::new(RealRead { file, path, len }))
    }

    fn len(&self, path: &Path) -> Result<u64, DiskError> {
        let metadata = std::fs::metadata(path).map_err(failed(DiskOp::Stat, path))?;
        Ok(metadata.len())
    }

    fn exists(&self, path: &Path) -> Result<bool, DiskError> {
        path.try_exists().map_err(failed(DiskOp::Stat, path))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        std::fs::rename(from, to).map_err(failed(DiskOp::Rename, from))
    }

    fn hard_link(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        std::fs::hard_link(from, to).map_err(failed(DiskOp::HardLink, from))
    }

    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        std::fs::remove_file(path).map_err(failed(DiskOp::Remove, path))
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), DiskError> {
        let synced = File::open(dir).and_then(|dir| dir.sync_all());
        synced.map_err(failed(DiskOp::SyncDir, dir))
    }

    fn list(&self, dir: &Path) -> Result<Vec<PathBuf>, DiskError> {
        let entries = std::fs::read_dir(dir).map_err(failed(DiskOp::List, dir))?;
        let paths: io::Result<Vec<_>> = entries.map(|entry| Ok(entry?.path())).collect();
        let mut paths = paths.map_err(failed(DiskOp::List, dir))?;
        paths.sort_unstable();
        Ok(paths)
    }

    fn create_dir_all(&self, dir: &Path) -> Result<(), DiskError> {
        if self.exists(dir)? {
            return Ok(());
        }
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        self.create_dir_all(parent)?;
        match std::fs::DirBuilder::new().mode(0o700).create(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(DiskError::new(DiskOp::CreateDir, dir, error))
            }
            _ => self.sync_dir(parent),
        }
    }

    fn free_bytes(&self, path: &Path) -> Result<u64, DiskError> {
        let stat = rustix::fs::statvfs(path).map_err(failed(DiskOp::Stat, path))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// The kernel takes at most this many slices in one call (`UIO_MAXIOV`).
const SLICES_MAX: usize = 1_024;

impl DiskFile for RealFile {
    fn write_at(&mut self, mut offset: u64, parts: &[&[u8]]) -> Result<(), DiskError> {
        let mut slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let mut rest = &mut slices[..];
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            let batch = &rest[..rest.len().min(SLICES_MAX)];
            let written =
                rustix::io::retry_on_intr(|| rustix::io::pwritev(&self.file, batch, offset))
                    .map_err(failed(DiskOp::Write, &self.path))?;
            if written == 0 {
                let nothing = io::ErrorKind::WriteZero;
                return Err(DiskError::new(DiskOp::Write, &self.path, nothing));
            }
            offset += written as u64;
            IoSlice::advance_slices(&mut rest, written);
        }
        Ok(())
    }

    fn sync_data(&mut self) -> Result<(), DiskError> {
        let synced = self.file.sync_data();
        synced.map_err(failed(DiskOp::Sync, &self.path))
    }

    fn allocate(&mut self, len: u64) -> Result<(), DiskError> {
        let allocate = || rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, len);
        match rustix::io::retry_on_intr(allocate) {
            // Some file systems cannot reserve. What is written is as good.
            Err(Errno::OPNOTSUPP) => self.extend_with_zeros(len),
            done => done.map_err(failed(DiskOp::Allocate, &self.path)),
        }
    }

    fn truncate(&mut self, len: u64) -> Result<(), DiskError> {
        let cut = self.file.set_len(len);
        cut.map_err(failed(DiskOp::Truncate, &self.path))
    }
}

impl RealFile {
    fn extend_with_zeros(&mut self, len: u64) -> Result<(), DiskError> {
        let zeros = [0; 1 << 16];
        let metadata = self.file.metadata();
        let mut end = metadata.map_err(failed(DiskOp::Stat, &self.path))?.len();
        while end < len {
            let step = (len - end).min(zeros.len() as u64);
            self.write_at(end, &[&zeros[..step as usize]])?;
            end += step;
        }
        Ok(())
    }
}

impl DiskRead for RealRead {
    fn read_at(&self, offset: u64, len: usize) -> Result<Bytes, DiskError> {
        let available = self.len.saturating_sub(offset);
        if len as u64 > available {
            // Said before the memory is asked for: `len` may come out of a damaged file.
            let short = io::ErrorKind::UnexpectedEof;
            return Err(DiskError::new(DiskOp::Read, &self.path, short));
        }
        let mut bytes = BytesMut::zeroed(len);
        let read = self.file.read_exact_at(&mut bytes, offset);
        read.map_err(failed(DiskOp::Read, &self.path))?;
        Ok(bytes.freeze())
    }

    fn len(&self) -> u64 {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// What every [`Disk`] must do when nothing goes wrong.
    fn check(disk: &dyn Disk, root: &Path) {
        let dir = root.join("a/b");
        disk.create_dir_all(&dir).unwrap();
        let path = dir.join("one");
        let mut file = disk.create(&path).unwrap();
        file.allocate(4_096).unwrap();
        file.write_at(2, &[b"", b"cd", b"", b"ef"]).unwrap();
        file.write_at(0, &[b"ab"]).unwrap();
        file.sync_data().unwrap();
        assert_eq!(disk.len(&path).unwrap(), 4_096);
        file.truncate(6).unwrap();
        assert_eq!(disk.read(&path).unwrap(), &b"abcdef"[..]);
        assert_eq!(
            disk.create(&path).unwrap_err().source.kind(),
            io::ErrorKind::AlreadyExists
        );

        let reader = disk.open_read(&path).unwrap();
        assert_eq!(reader.read_at(1, 3).unwrap(), &b"bcd"[..]);
        assert!(
            reader.read_at(1, usize::MAX).is_err(),
            "no allocation for what is not there"
        );
        let two = dir.join("two");
        disk.hard_link(&path, &two).unwrap();
        assert!(disk.hard_link(&path, &two).is_err());
        disk.rename(&path, &dir.join("three")).unwrap();
        disk.sync_dir(&dir).unwrap();
        assert_eq!(disk.list(&dir).unwrap(), [dir.join("three"), two.clone()]);
        disk.remove(&two).unwrap();
        assert!(disk.remove(&two).unwrap_err().is_not_found());
        assert!(disk.exists(&dir.join("three")).unwrap() && !disk.exists(&two).unwrap());
        assert!(disk.open_write(&two).is_err() && disk.open_read(&two).is_err());
        assert!(disk.free_bytes(&dir).unwrap() > 0);

        let mut appender = Appender::new(disk.open_write(&dir.join("three")).unwrap(), 6);
        appender.write_all(b"gh").unwrap();
        appender.sync_data().unwrap();
        assert_eq!(appender.end(), 8);
        assert_eq!(disk.read(&dir.join("three")).unwrap(), &b"abcdefgh"[..]);
    }

    #[test]
    fn the_real_and_the_faulty_disk_do_the_same_while_nothing_fails() {
        let dir = tempfile::tempdir().unwrap();
        check(&RealDisk, dir.path());
        check(&faulty::FaultyDisk::new(), Path::new("/data"));
    }

    #[test]
    fn nobody_else_may_read_what_we_write() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("x/y");
        RealDisk.create_dir_all(&dir).unwrap();
        drop(RealDisk.create(&dir.join("f")).unwrap());
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&root.path().join("x")), mode(&dir)), (0o700, 0o700));
        assert_eq!(mode(&dir.join("f")), 0o600);
    }

    #[test]
    fn more_parts_than_the_kernel_takes_at_once_are_written_in_order() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("f");
        let bytes: Vec<u8> = (0..10_000_u32).map(|n| n as u8).collect();
        let parts: Vec<&[u8]> = bytes.chunks(3).flat_map(|part| [part, &[]]).collect();
        let mut file = RealDisk.create(&path).unwrap();
        file.write_at(7, &parts).unwrap();
        assert_eq!(RealDisk.read(&path).unwrap()[7..], bytes[..]);
    }
}
