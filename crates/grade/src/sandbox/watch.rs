//! What a grade uses of that for which the kernel has no limit, seen from outside.
//!
//! A grade has one process, so its process id is all there is to look at.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::config::Limits;

/// Returns which limit is broken, if one is.
pub(super) fn broken(pid: u32, tmp: &Path, limits: &Limits) -> Option<String> {
    let threads = threads(pid);
    if threads > limits.threads_max {
        return Some(format!(
            "it has {threads} threads; {} at most",
            limits.threads_max
        ));
    }
    let mut used = Used::default();
    used.add_folder(tmp, limits.tmp_files_max);
    used.add_unlinked(pid);
    if used.files > limits.tmp_files_max {
        let most = limits.tmp_files_max;
        return Some(format!("it made more than {most} temporary files"));
    }
    if used.bytes > limits.tmp_bytes_max {
        let most = limits.tmp_bytes_max;
        return Some(format!("its temporary files have more than {most} bytes"));
    }
    None
}

/// A process that is gone has none.
fn threads(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mut lines = status.lines();
    let count = lines.find_map(|line| line.strip_prefix("Threads:"));
    count.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

#[derive(Debug, Default)]
struct Used {
    files: u64,
    bytes: u64,
}

impl Used {
    /// Adds what is in a folder, and stops once there are too many files to go on counting.
    fn add_folder(&mut self, folder: &Path, files_max: u64) {
        let mut folders = vec![PathBuf::from(folder)];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = fs::read_dir(folder) else {
                continue;
            };
            for entry in entries.flatten() {
                self.files += 1;
                if self.files > files_max {
                    return;
                }
                let Ok(about) = entry.metadata() else {
                    continue;
                };
                self.bytes += about.blocks() * 512;
                if about.is_dir() {
                    folders.push(entry.path());
                }
            }
        }
    }

    /// Adds files that are open and have no name any more.
    fn add_unlinked(&mut self, pid: u32) {
        let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else {
            return;
        };
        for entry in entries.flatten() {
            let Ok(about) = fs::metadata(entry.path()) else {
                continue;
            };
            if about.is_file() && about.nlink() == 0 {
                self.bytes += about.blocks() * 512;
            }
        }
    }
}

/// Empties a folder, so that no grade finds what another left. Fails if something resists.
pub(super) fn empty(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => fs::remove_dir_all(entry.path())?,
            false => fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::{Limits, broken, empty};

    #[test]
    fn limits_are_seen_to_be_broken() {
        let tmp = tempfile::tempdir().unwrap();
        let own = std::process::id();
        let many = Limits {
            threads_max: 1_000,
            ..Limits::default()
        };
        fs::create_dir(tmp.path().join("a")).unwrap();
        fs::write(tmp.path().join("a/b"), vec![1; 100_000]).unwrap();
        assert_eq!(broken(own, tmp.path(), &many), None);

        let told = |limits: Limits| broken(own, tmp.path(), &limits).unwrap();
        let files = told(Limits {
            tmp_files_max: 1,
            ..many
        });
        assert!(files.contains("more than 1 temporary files"), "{files}");
        let bytes = told(Limits {
            tmp_bytes_max: 50_000,
            ..many
        });
        assert!(bytes.contains("more than 50000 bytes"), "{bytes}");
        let threads = told(Limits {
            threads_max: 0,
            ..many
        });
        assert!(threads.contains("threads; 0 at most"), "{threads}");

        // Without a name a file is seen through whoever has it open, which is this process.
        empty(tmp.path()).unwrap();
        let mut file = tempfile::tempfile_in(tmp.path()).unwrap();
        file.write_all(&vec![1; 100_000]).unwrap();
        assert_eq!(fs::read_dir(tmp.path()).unwrap().count(), 0);
        let unlinked = told(Limits {
            tmp_bytes_max: 50_000,
            ..many
        });
        assert!(unlinked.contains("bytes"), "{unlinked}");
    }
}
