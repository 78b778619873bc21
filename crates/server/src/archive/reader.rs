//! What does a file of an archive hold?
//!
//! A file whose process was killed ends in the middle of a record: what stands before is whole and is
//! read, and the reader says that something was cut. Anything else that is wrong ends the file with an
//! error.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use super::record::{BadRecord, Record};

/// A file of an archive cannot be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It cannot be opened.
    #[error("failed to open {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It was written by a later version of this program.
    #[error(
        "{} has records of the version {version}, which this program does not know: a later version of \
         tracegrade wrote them", path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// The version.
        version: u8,
    },
    /// It is damaged.
    #[error("failed to read {} beyond record {records}: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The records that were read.
        records: u64,
        /// What is wrong.
        why: String,
    },
}

/// That a file ends in the middle of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Torn {
    /// The records before it.
    pub records: u64,
}

/// The records of a file, in the order in which they came.
pub struct Records {
    path: PathBuf,
    from: zstd::Decoder<'static, BufReader<File>>,
    read: u64,
    torn: Option<Torn>,
    is_over: bool,
}

impl Records {
    /// Opens a file.
    pub fn open(path: &Path) -> Result<Self, ArchiveError> {
        let failed = |source| ArchiveError::Open {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            from: zstd::Decoder::new(file).map_err(failed)?,
            read: 0,
            torn: None,
            is_over: false,
        })
    }

    /// Returns whether something was cut at the end, once all records were read.
    pub fn torn(&self) -> Option<Torn> {
        self.torn
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records")
            .field("path", &self.path)
            .field("read", &self.read)
            .finish_non_exhaustive()
    }
}

impl Iterator for Records {
    type Item = Result<Record, ArchiveError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let error = match Record::read(&mut self.from) {
            Ok(Some(record)) => {
                self.read += 1;
                return Some(Ok(record));
            }
            Ok(None) => {
                self.is_over = true;
                return None;
            }
            Err(error) => error,
        };
        self.is_over = true;
        let path = self.path.clone();
        match error {
            BadRecord::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.torn = Some(Torn { records: self.read });
                None
            }
            BadRecord::Version(version) => Some(Err(ArchiveError::Version { path, version })),
            other => Some(Err(ArchiveError::Damaged {
                path,
                records: self.read,
                why: other.to_string(),
            })),
        }
    }
}
