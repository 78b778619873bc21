//! Is everything there that should be, once, and as it was written?
//!
//! The quick look compares what the catalog says with what lies in the folder. The deep one reads every
//! byte: checksums, row counts, that no row is visible twice (D2), that every message reference of a
//! visible row resolves (D7), and that the row of a trace counts its spans.

mod rows;

use std::sync::Arc;

use serde::Serialize;

use crate::catalog::{FileEntry, Pin};
use crate::engine::{Engine, StoreError};
use crate::lake::{LakeFile, Table};
use crate::snapshot::{ReadError, Snapshot};

/// Faults of one kind that are told one by one; the rest is counted.
const TOLD_MAX: usize = 20;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checkup {
    /// Whether every byte was read.
    pub deep: bool,
    /// What was looked at, in the order it was done.
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What it was.
    pub what: &'static str,
    /// How many were looked at.
    pub looked_at: u64,
    /// How many of them are wrong.
    pub faulty: u64,
    /// What is wrong, for the first ones.
    pub faults: Vec<String>,
}

impl Checkup {
    /// Returns whether nothing is wrong.
    pub fn is_well(&self) -> bool {
        self.checks.iter().all(|check| check.faulty == 0)
    }
}

impl Check {
    pub(crate) fn new(what: &'static str) -> Self {
        Self {
            what,
            looked_at: 0,
            faulty: 0,
            faults: Vec::new(),
        }
    }

    /// Notes something that is wrong.
    pub(crate) fn fault(&mut self, what: impl FnOnce() -> String) {
        self.faulty += 1;
        if self.faults.len() < TOLD_MAX {
            self.faults.push(what());
        }
    }
}

impl Engine {
    /// Looks at everything there is.
    pub(crate) async fn doctor(self: &Arc<Self>, deep: bool) -> Result<Checkup, StoreError> {
        let mut checks = vec![self.check_databases().await?];
        let this = Arc::clone(self);
        let pin = self.catalog.pin();
        checks.extend(
            self.on_worker(move || {
                let mut checks = vec![
                    this.check_files(&pin),
                    this.check_strays()?,
                    this.check_quarantine()?,
                ];
                if deep {
                    checks.push(this.check_content(&pin));
                }
                Ok(checks)
            })
            .await?,
        );
        if deep {
            let (this, projects) = (Arc::clone(self), self.meta.projects().await?);
            let rows = move || {
                let snapshots = projects
                    .iter()
                    .map(|project| Snapshot::take(&this, &project.id));
                rows::check(snapshots)
            };
            match self.on_worker(rows).await {
                Ok(compared) => checks.extend(compared),
                Err(error) => {
                    let mut check = Check::new("rows");
                    check.fault(|| crate::lanes::chain(&error));
                    checks.push(check);
                }
            }
        }
        Ok(Checkup { deep, checks })
    }

    async fn check_databases(&self) -> Result<Check, StoreError> {
        let mut check = Check::new("databases");
        check.looked_at = 2;
        for fault in self.meta.verify().await? {
            check.fault(|| format!("meta.db is damaged: {fault}"));
        }
        for fault in self.catalog.verify().await? {
            check.fault(|| fault.to_string());
        }
        Ok(check)
    }

    /// Compares the catalog with the ends of the files it names.
    fn check_files(&self, pin: &Pin) -> Check {
        let mut check = Check::new("files");
        for file in pin.catalog().all_files() {
            check.looked_at += 1;
            match self.files.open(file) {
                Ok(open) => {
                    if let Some(what) = mismatch(&self.store_id.to_string(), file, &open) {
                        check.fault(|| format!("{}: {what}", file.path));
                    }
                }
                Err(error) => check.fault(|| format!("{}: {}", file.path, chain(&error))),
            }
        }
        check
    }

    /// Looks for files of the lake that no version names.
    fn check_strays(&self) -> Result<Check, StoreError> {
        let mut check = Check::new("files that no version names");
        // Twice: a flush or a merge under way has files that its commit will name.
        let before = self.strays()?;
        check.looked_at = self.lake_files()?.len() as u64;
        if !before.is_empty() {
            std::thread::sleep(std::time::Duration::from_secs(2));
            let still = self.strays()?;
            for path in before.iter().filter(|path| still.contains(path)) {
                check.fault(|| format!("{path}: the next start removes it"));
            }
        }
        Ok(check)
    }

    fn check_quarantine(&self) -> Result<Check, StoreError> {
        let mut check = Check::new("quarantine");
        for path in self.quarantined()? {
            check.looked_at += 1;
            let bytes = self.disk.len(&path)?;
            check.fault(|| format!("{}: {bytes} bytes that could not be read", path.display()));
        }
        Ok(check)
    }

    /// Reads every byte of every file.
    fn check_content(&self, pin: &Pin) -> Check {
        let mut check = Check::new("content of files");
        for file in pin.catalog().all_files() {
            check.looked_at += 1;
            if let Err(what) = self.check_bytes(file) {
                check.fault(|| format!("{}: {what}", file.path));
            }
        }
        check
    }

    fn check_bytes(&self, file: &FileEntry) -> Result<(), String> {
        let open = self.files.open(file).map_err(|error| chain(&error))?;
        let checksum = open.checksum().map_err(|error| error.to_string())?;
        if checksum != file.checksum {
            return Err("its checksum is not that of the file that was written".to_owned());
        }
        let rows = rows::count(&open).map_err(|error| chain(&error))?;
        match rows == file.rows as u64 {
            true => Ok(()),
            false => Err(format!("it has {rows} rows, not {}", file.rows)),
        }
    }
}

/// Returns how a file's own words differ from the catalog's.
fn mismatch(store_id: &str, file: &FileEntry, open: &LakeFile) -> Option<&'static str> {
    let footer = open.footer();
    let table: Table = footer.table;
    if footer.store_id != store_id {
        Some("it belongs to another store")
    } else if (table, footer.level) != (file.table, file.level) {
        Some("it is of another table or level than the catalog says")
    } else if open.rows() != file.rows as u64 {
        Some("it does not say as many rows as the catalog")
    } else if open.bytes() != file.bytes {
        Some("its length is not what the catalog says")
    } else {
        None
    }
}

fn chain(error: &ReadError) -> String {
    crate::lanes::chain(error)
}
