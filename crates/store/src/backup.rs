//! A copy of the whole store while it serves, and a store made of such a copy.
//!
//! A backup is a folder like a data folder: both databases, the files of one catalog version, those that
//! people sent, and the log behind that version's cursor, so that everything acknowledged before it began is in it. Files
//! of the lake never change, so where the file system allows it they are linked, not copied. The
//! manifest is written last: a folder without one is no backup.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{Clock, Time};
use serde::{Deserialize, Serialize};

use crate::catalog::Pin;
use crate::config::StoreConfig;
use crate::delete::DeleteError;
use crate::disk::{Appender, Disk, DiskError, RealDisk};
use crate::engine::{Engine, StoreError};
use crate::meta::{DeletedTrace, Meta, MetaError, Upload};
use crate::sqlite::DbError;
use crate::store::Store;
use crate::uploads::UPLOADS_DIR;
use crate::wal::Wal;

/// The name of the manifest in a backup.
pub const MANIFEST: &str = "backup.json";
/// The newest format of a backup.
const FORMAT: u32 = 1;
const COPY_STEP: usize = 4 << 20;

/// Why a backup was not made, or not restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The folder has something in it.
    #[error("{} is not empty: name a folder that is not there yet", .0.display())]
    NotEmpty(PathBuf),
    /// The files were replaced while they were copied: a deletion could not wait.
    #[error("the store's files were replaced while they were copied, for a deletion; begin again")]
    Overtaken,
    /// There is no manifest.
    #[error("{} is no finished backup: it has no {MANIFEST}", .0.display())]
    NoManifest(PathBuf),
    /// The manifest cannot be understood.
    #[error("failed to read {}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// A newer program made the backup.
    #[error("the backup has format {found}, and this program knows formats up to {FORMAT}")]
    Newer {
        /// Its format.
        found: u32,
    },
    /// A file of the backup is not what was backed up. Nothing was restored.
    #[error("{path} of the backup is damaged: {what}; nothing was restored")]
    Damaged {
        /// The file, below the backup.
        path: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The disk refused.
    #[error("failed to copy the store")]
    Disk(#[from] DiskError),
    /// A database refused.
    #[error("failed to copy a database")]
    Db(#[from] DbError),
    /// The projects cannot be read.
    #[error("failed to read what was deleted since the backup")]
    Meta(#[from] MetaError),
    /// The restored store does not work.
    #[error("failed to open the restored store")]
    Store(#[from] StoreError),
    /// What was deleted since cannot be deleted again.
    #[error("failed to delete again what was deleted since the backup")]
    Delete(#[from] DeleteError),
}

/// What is in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The format of the backup.
    pub format: u32,
    /// The store it was made of.
    pub store_id: String,
    /// When it began, in microseconds since 1970. What was acknowledged before is in it.
    pub created_at_micros: i64,
    /// Up to where the log is in the files.
    pub cursor: i64,
    /// Its files, by their paths below the folder.
    pub files: BTreeMap<String, ManifestFile>,
}

/// One file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// Its length.
    pub bytes: u64,
    /// Its BLAKE3 hash, in hexadecimal digits.
    pub blake3: String,
}

/// What a restore did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Files restored.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// When the backup began.
    pub created_at: Time,
    /// Traces that were deleted since the backup and are deleted again; `None`: nobody said which.
    pub deleted_again: Option<usize>,
}

impl Engine {
    /// Copies the store to `dest`, which must not be there or be empty.
    pub(crate) async fn backup(self: &Arc<Self>, dest: &Path) -> Result<Manifest, BackupError> {
        refuse_full(&*self.disk, dest)?;
        self.disk.create_dir_all(dest)?;
        // The databases are SQLite's and lie on the real disk, which a test's may not be.
        RealDisk.create_dir_all(dest)?;
        let created_at = self.clock.now();
        // The log is held before the cursor is read: what is behind it cannot go.
        let _hold = self.wal().map(|wal| wal.hold(0));
        let pin = self.copy_catalog(dest).await?;
        let cursor = pin.catalog().cursor(&self.config.node).unwrap_or(0);
        let mut manifest = Manifest {
            format: FORMAT,
            store_id: self.store_id.to_string(),
            created_at_micros: created_at.as_micros(),
            cursor,
            files: BTreeMap::new(),
        };
        let (this, to) = (Arc::clone(self), dest.to_owned());
        manifest.files = blocking(move || this.copy_files(&pin, &to)).await?;
        let (this, to) = (Arc::clone(self), dest.to_owned());
        manifest
            .files
            .extend(blocking(move || this.copy_log(cursor, &to)).await?);
        // Last, for whatever is in the log refers to projects that were there before it.
        self.meta.vacuum_into(&dest.join("meta.db")).await?;
        // Behind `meta.db`: what it knows of is there, or was deleted meanwhile.
        let uploads = self.meta.all_uploads().await?;
        let (this, to) = (Arc::clone(self), dest.to_owned());
        manifest
            .files
            .extend(blocking(move || this.copy_uploads(&uploads, &to)).await?);
        for name in ["catalog.db", "meta.db"] {
            manifest
                .files
                .insert(name.to_owned(), describe_database(&dest.join(name))?);
        }
        let text =
            serde_json::to_vec_pretty(&manifest).map_err(|source| BackupError::Manifest {
                path: dest.join(MANIFEST),
                source,
            })?;
        write_file(&*self.disk, &dest.join(MANIFEST), &text)?;
        self.disk.sync_dir(dest)?;
        Ok(manifest)
    }

    /// Copies the catalog as of a version, and pins that version.
    async fn copy_catalog(&self, dest: &Path) -> Result<Pin, BackupError> {
        // With both lanes still, no commit can come between the pin and the copy.
        let _flush = self.flush_lane.lock().await;
        let _merge = self.merge_lane.lock().await;
        let pin = self.catalog.pin();
        self.catalog.vacuum_into(&dest.join("catalog.db")).await?;
        Ok(pin)
    }

    fn copy_files(
        &self,
        pin: &Pin,
        dest: &Path,
    ) -> Result<BTreeMap<String, ManifestFile>, BackupError> {
        let mut files = BTreeMap::new();
        for file in pin.catalog().all_files() {
            let (from, to) = (self.config.data_dir.join(&file.path), dest.join(&file.path));
            let copied = link_or_copy(&*self.disk, &from, &to);
            if matches!(&copied, Err(error) if error.is_not_found()) && pin.is_expired() {
                return Err(BackupError::Overtaken);
            }
            copied?;
            let described = ManifestFile {
                bytes: file.bytes,
                blake3: blake3::Hash::from_bytes(file.checksum).to_hex().to_string(),
            };
            files.insert(file.path.clone(), described);
        }
        sync_dirs(&*self.disk, dest, files.keys())?;
        Ok(files)
    }

    /// Copies the files that people sent.
    fn copy_uploads(
        &self,
        uploads: &[Upload],
        dest: &Path,
    ) -> Result<BTreeMap<String, ManifestFile>, BackupError> {
        let mut files = BTreeMap::new();
        for upload in uploads {
            let path = format!("{UPLOADS_DIR}/{}", upload.id);
            match link_or_copy(
                &*self.disk,
                &self.upload_path(&upload.id),
                &dest.join(&path),
            ) {
                Err(error) if error.is_not_found() => continue,
                copied => copied?,
            }
            let described = ManifestFile {
                bytes: upload.bytes,
                blake3: upload.checksum.clone(),
            };
            files.insert(path, described);
        }
        sync_dirs(&*self.disk, dest, files.keys())?;
        Ok(files)
    }

    /// Copies every segment that has a frame behind the cursor, as far as it is durable now.
    fn copy_log(
        &self,
        cursor: i64,
        dest: &Path,
    ) -> Result<BTreeMap<String, ManifestFile>, BackupError> {
        self.disk.create_dir_all(&dest.join("wal"))?;
        let mut files = BTreeMap::new();
        let segments = self
            .wal()
            .map(|wal: &Wal| wal.segments_since(cursor as u64));
        for segment in segments.unwrap_or_default() {
            let Some(name) = segment.path.file_name() else {
                continue;
            };
            let path = format!("wal/{}", name.to_string_lossy());
            let described = copy(&*self.disk, &segment.path, &dest.join(&path), segment.bytes)?;
            files.insert(path, described);
        }
        self.disk.sync_dir(&dest.join("wal"))?;
        Ok(files)
    }
}

/// Makes a data folder of a backup, which is checked file by file. What was deleted since the backup
/// began, as `deletions` (the `meta.db` of the store that was in use since) knows it, is deleted again.
pub async fn restore(
    config: &StoreConfig,
    backup: &Path,
    deletions: Option<&Path>,
    clock: Arc<dyn Clock>,
    disk: Arc<dyn Disk>,
) -> Result<Restored, BackupError> {
    let manifest = read_manifest(&*disk, backup)?;
    refuse_full(&*disk, &config.data_dir)?;
    let created_at = Time::from_micros(manifest.created_at_micros);
    let since = match deletions {
        Some(path) => Some(deleted_since(path, created_at, Arc::clone(&clock)).await?),
        None => None,
    };
    let (from, to, on) = (
        backup.to_owned(),
        config.data_dir.clone(),
        Arc::clone(&disk),
    );
    let files = manifest.files.clone();
    blocking(move || copy_back(&*on, &files, &from, &to)).await?;
    let deleted_again = match since {
        Some(since) => Some(delete_again(config, since, clock, disk).await?),
        None => None,
    };
    Ok(Restored {
        files: manifest.files.len(),
        bytes: manifest.files.values().map(|file| file.bytes).sum(),
        created_at,
        deleted_again,
    })
}

/// Reads and checks the manifest of a backup.
pub fn read_manifest(disk: &dyn Disk, backup: &Path) -> Result<Manifest, BackupError> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let path = backup.join(MANIFEST);
    if !disk.exists(&path)? {
        return Err(BackupError::NoManifest(backup.to_owned()));
    }
    let text = disk.read(&path)?;
    let unclear = |source| BackupError::Manifest {
        path: path.clone(),
        source,
    };
    let Format { format } = serde_json::from_slice(&text).map_err(unclear)?;
    match format > FORMAT {
        true => Err(BackupError::Newer { found: format }),
        false => serde_json::from_slice(&text).map_err(unclear),
    }
}

/// What was deleted since a moment.
#[derive(Debug)]
struct Since {
    traces: Vec<DeletedTrace>,
    projects: Vec<model::ProjectId>,
}

async fn deleted_since(
    path: &Path,
    since: Time,
    clock: Arc<dyn Clock>,
) -> Result<Since, BackupError> {
    let meta = Meta::open(path, clock).await?;
    let traces = meta.deleted_traces(since).await?;
    let projects = meta.deleted_projects().await?;
    meta.close().await?;
    let projects = projects
        .into_iter()
        .filter(|project| project.deleted_at.is_some_and(|at| at >= since));
    Ok(Since {
        traces,
        projects: projects.map(|project| project.id).collect(),
    })
}

async fn delete_again(
    config: &StoreConfig,
    since: Since,
    clock: Arc<dyn Clock>,
    disk: Arc<dyn Disk>,
) -> Result<usize, BackupError> {
    let config = StoreConfig {
        background: false,
        ..config.clone()
    };
    let store = Store::open(config, clock, disk).await?;
    let count = since.traces.len();
    let mut by_project: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for one in since.traces {
        by_project
            .entry(one.project_id)
            .or_default()
            .push(one.trace_id);
    }
    for (project, traces) in by_project {
        store.delete_traces(&project, traces).await?;
    }
    for project in since.projects {
        match store.meta().delete_project("restore", &project).await {
            // It was made after the backup.
            Err(MetaError::NotFound { .. }) => {}
            other => other?,
        }
        store.delete_project_rows(&project).await?;
    }
    store.erase().await?;
    store.shutdown().await?;
    Ok(count)
}

fn copy_back(
    disk: &dyn Disk,
    files: &BTreeMap<String, ManifestFile>,
    from: &Path,
    to: &Path,
) -> Result<(), BackupError> {
    for (path, expected) in files {
        let whole = from.join(path);
        let is_database = path.ends_with(".db");
        let found = match is_database {
            true => copy_database(&whole, &to.join(path))?,
            false => {
                let bytes = disk.len(&whole)?;
                if let Some(dir) = to.join(path).parent() {
                    disk.create_dir_all(dir)?;
                }
                copy(disk, &whole, &to.join(path), bytes)?
            }
        };
        if found != *expected {
            return Err(BackupError::Damaged {
                path: path.clone(),
                what: "its content is not what was backed up",
            });
        }
    }
    disk.create_dir_all(&to.join("wal"))?;
    sync_dirs(disk, to, files.keys())?;
    Ok(())
}

fn refuse_full(disk: &dyn Disk, dir: &Path) -> Result<(), BackupError> {
    let is_lock = |path: &PathBuf| path.ends_with("LOCK");
    match disk.exists(dir)? && !disk.list(dir)?.iter().all(is_lock) {
        true => Err(BackupError::NotEmpty(dir.to_owned())),
        false => Ok(()),
    }
}

fn link_or_copy(disk: &dyn Disk, from: &Path, to: &Path) -> Result<(), DiskError> {
    if let Some(dir) = to.parent() {
        disk.create_dir_all(dir)?;
    }
    match disk.hard_link(from, to) {
        Err(error) if error.is_not_found() => Err(error),
        // Another file system, or one that has no links.
        Err(_) => copy(disk, from, to, disk.len(from)?).map(drop),
        Ok(()) => Ok(()),
    }
}

/// Copies the first `bytes` of a file, durably but for its name, and describes what was copied.
fn copy(disk: &dyn Disk, from: &Path, to: &Path, bytes: u64) -> Result<ManifestFile, DiskError> {
    let source = disk.open_read(from)?;
    let mut target = Appender::new(disk.create(to)?, 0);
    let mut hasher = blake3::Hasher::new();
    let mut at = 0;
    while at < bytes {
        let step = (bytes - at).min(COPY_STEP as u64) as usize;
        let piece = source.read_at(at, step)?;
        hasher.update(&piece);
        target.append(&piece)?;
        at += step as u64;
    }
    target.sync_data()?;
    Ok(ManifestFile {
        bytes,
        blake3: hasher.finalize().to_hex().to_string(),
    })
}

fn write_file(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let mut file = Appender::new(disk.create(path)?, 0);
    file.append(bytes)?;
    file.sync_data()
}

/// The databases are SQLite's: they do not go through our disk.
fn copy_database(from: &Path, to: &Path) -> Result<ManifestFile, BackupError> {
    if let Some(dir) = to.parent() {
        RealDisk.create_dir_all(dir)?;
    }
    let bytes = RealDisk.len(from)?;
    Ok(copy(&RealDisk, from, to, bytes)?)
}

fn describe_database(path: &Path) -> Result<ManifestFile, BackupError> {
    let bytes = RealDisk.read(path)?;
    Ok(ManifestFile {
        bytes: bytes.len() as u64,
        blake3: blake3::hash(&bytes).to_hex().to_string(),
    })
}

/// Makes the names of files below `root` durable.
fn sync_dirs<'a>(
    disk: &dyn Disk,
    root: &Path,
    paths: impl Iterator<Item = &'a String>,
) -> Result<(), DiskError> {
    let dirs: std::collections::BTreeSet<PathBuf> = paths
        .filter_map(|path| Some(root.join(Path::new(path).parent()?)))
        .collect();
    dirs.iter().try_for_each(|dir| disk.sync_dir(dir))?;
    disk.sync_dir(root)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> Result<T, BackupError> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.map_err(|died| StoreError::Worker(died.to_string()))?
}
