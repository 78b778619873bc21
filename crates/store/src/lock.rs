//! One process at a time owns a data folder.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// The folder cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("{} is in use by another tracegrade{}", dir.display(), note(holder))]
    Held {
        /// The data folder.
        dir: PathBuf,
        /// What the holder wrote down: its address, once it listens.
        holder: String,
    },
    /// The lock file cannot be opened or locked.
    #[error("failed to lock {}", path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
}

fn note(holder: &str) -> String {
    match holder.trim() {
        "" => String::new(),
        address => format!("; it listens on {address}: give --url {address}"),
    }
}

/// The lock on a data folder, given back on drop or when the process dies.
#[derive(Debug)]
pub(crate) struct DataLock {
    file: File,
}

impl DataLock {
    /// Takes the lock of `dir`, which must exist.
    pub(crate) fn take(dir: &Path) -> Result<Self, LockError> {
        let path = dir.join("LOCK");
        let failed = |source: std::io::Error| LockError::Io {
            path: path.clone(),
            source,
        };
        let mut open = OpenOptions::new();
        open.read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600);
        let mut file = open.open(&path).map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                file.set_len(0).map_err(failed)?;
                Ok(Self { file })
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                // A note that cannot be read is only a less helpful message.
                let _read = file.read_to_string(&mut holder);
                Err(LockError::Held {
                    dir: dir.to_owned(),
                    holder,
                })
            }
            Err(errno) => Err(failed(errno.into())),
        }
    }

    /// Writes down where the holder listens, for whoever finds the folder locked.
    pub(crate) fn set_address(&mut self, address: &str) -> std::io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(address.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_is_told_where_the_first_listens() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = DataLock::take(dir.path()).unwrap();
        first.set_address("http://127.0.0.1:4318").unwrap();
        let second = DataLock::take(dir.path()).unwrap_err().to_string();
        assert!(second.contains("--url http://127.0.0.1:4318"), "{second}");
        drop(first);
        DataLock::take(dir.path()).unwrap();
    }
}
