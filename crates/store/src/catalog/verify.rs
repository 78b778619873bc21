//! Does the catalog agree with itself? What `doctor` asks of it; the files are checked elsewhere.

use super::file::{FileEntry, Version};
use super::version::CatalogVersion;

/// Something that is wrong with the catalog.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The database's own checks complain.
    #[error("catalog.db is damaged: {0}")]
    Database(String),
    /// The rows of a file's projects do not add up to those of the file.
    #[error("{path} has {rows} rows, and its projects have {of_projects}")]
    RowsDiffer {
        /// The file.
        path: String,
        /// How many rows it has.
        rows: i64,
        /// The sum over its projects.
        of_projects: i64,
    },
    /// A file's range runs backwards.
    #[error("{path} has a range of {what} that runs backwards")]
    Backwards {
        /// The file.
        path: String,
        /// Sequence numbers or times.
        what: &'static str,
    },
    /// Two projects share a row group, so that one could decode the other's rows (T1).
    #[error("{path} has row groups that belong to several projects")]
    SharedRowGroups {
        /// The file.
        path: String,
    },
    /// A file holds rows that its node's cursor does not cover (D3): they would be replayed.
    #[error("{path} goes up to {hi_seq}, past the cursor of its node")]
    PastCursor {
        /// The file.
        path: String,
        /// The last sequence number it covers.
        hi_seq: i64,
    },
    /// What is in memory is not what is in the database at this version.
    #[error("the catalog in memory differs from catalog.db at version {version}")]
    Stale {
        /// The version of the database.
        version: Version,
    },
}

/// Returns what is wrong with the active files of a version.
pub(super) fn faults(catalog: &CatalogVersion) -> Vec<Fault> {
    catalog
        .all_files()
        .flat_map(|file| file_faults(file, catalog.cursor(&file.node)))
        .collect()
}

fn file_faults(file: &FileEntry, cursor: Option<i64>) -> Vec<Fault> {
    let path = || file.path.clone();
    let mut faults = Vec::new();
    let of_projects = file.projects.iter().map(|project| project.rows).sum();
    if file.rows != of_projects {
        faults.push(Fault::RowsDiffer {
            path: path(),
            rows: file.rows,
            of_projects,
        });
    }
    if file.lo_seq > file.hi_seq {
        faults.push(Fault::Backwards {
            path: path(),
            what: "sequence numbers",
        });
    }
    if file.min_time > file.max_time {
        faults.push(Fault::Backwards {
            path: path(),
            what: "times",
        });
    }
    let mut groups: Vec<_> = file
        .projects
        .iter()
        .flat_map(|project| &project.row_groups)
        .collect();
    groups.sort_unstable();
    if groups.windows(2).any(|pair| pair[0] == pair[1]) {
        faults.push(Fault::SharedRowGroups { path: path() });
    }
    if cursor.is_none_or(|cursor| file.hi_seq > cursor) {
        faults.push(Fault::PastCursor {
            path: path(),
            hi_seq: file.hi_seq,
        });
    }
    faults
}
