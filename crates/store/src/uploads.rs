//! Files that people sent, for evals to read: their bytes lie in `files/`, one file each, named by id.
//!
//! The content is durable before `meta.db` knows of it, and gone from `meta.db` before it is removed: a
//! crash leaves a file that nobody knows, never one that is missing. The next start removes it.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use model::ProjectId;

use crate::disk::{Appender, DiskError};
use crate::engine::{Engine, StoreError};
use crate::meta::{NewUpload, Upload};

/// Where the files lie, below the data folder.
pub(crate) const UPLOADS_DIR: &str = "files";

impl Engine {
    /// Keeps a file: once this returns it is on disk.
    pub(crate) async fn keep_upload(
        self: &Arc<Self>,
        who: &str,
        new: NewUpload,
        content: Bytes,
    ) -> Result<Upload, StoreError> {
        let (this, now) = (Arc::clone(self), self.clock.now());
        let write = move || {
            let upload = Upload::new(new, &content, now);
            this.write_upload(&upload, &content)?;
            Ok(upload)
        };
        let upload = self.on_worker(write).await?;
        self.meta.enter_upload(who, &upload).await?;
        Ok(upload)
    }

    fn write_upload(&self, upload: &Upload, content: &[u8]) -> Result<(), DiskError> {
        let path = self.upload_path(&upload.id);
        let dir = self.config.data_dir.join(UPLOADS_DIR);
        self.disk.create_dir_all(&dir)?;
        let mut file = Appender::new(self.disk.create(&path)?, 0);
        file.append(content)?;
        file.sync_data()?;
        self.disk.sync_dir(&dir)
    }

    /// Returns the content of a file.
    pub(crate) async fn read_upload(
        self: &Arc<Self>,
        project: &ProjectId,
        id: &str,
    ) -> Result<Bytes, StoreError> {
        let upload = self.meta.upload(project, id).await?;
        let this = Arc::clone(self);
        let read = move || Ok(this.disk.read(&this.upload_path(&upload.id))?);
        self.on_worker(read).await
    }

    /// Deletes a file.
    pub(crate) async fn delete_upload(
        self: &Arc<Self>,
        who: &str,
        project: &ProjectId,
        id: &str,
    ) -> Result<(), StoreError> {
        self.meta.forget_upload(who, project, id).await?;
        self.remove_uploads(vec![id.to_owned()]).await
    }

    /// Deletes the files of a project that is deleted.
    pub(crate) async fn delete_uploads_of(
        self: &Arc<Self>,
        project: &ProjectId,
    ) -> Result<(), StoreError> {
        let ids = self.meta.forget_uploads_of(project).await?;
        self.remove_uploads(ids).await
    }

    async fn remove_uploads(self: &Arc<Self>, ids: Vec<String>) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        let this = Arc::clone(self);
        let remove = move || {
            for id in &ids {
                match this.disk.remove(&this.upload_path(id)) {
                    Err(error) if error.is_not_found() => {}
                    removed => removed?,
                }
            }
            Ok(this
                .disk
                .sync_dir(&this.config.data_dir.join(UPLOADS_DIR))?)
        };
        self.on_worker(remove).await
    }

    /// Removes files that `meta.db` does not know. At a start only: one that is being written is not
    /// known either.
    pub(crate) async fn remove_stray_uploads(&self) -> Result<(), StoreError> {
        let dir = self.config.data_dir.join(UPLOADS_DIR);
        if !self.disk.exists(&dir)? {
            return Ok(());
        }
        let known = self.meta.all_uploads().await?;
        let known: HashSet<PathBuf> = known.iter().map(|one| self.upload_path(&one.id)).collect();
        let strays = self.disk.list(&dir)?.into_iter();
        for path in strays.filter(|path| !known.contains(path)) {
            tracing::info!(path = %path.display(), "removed an uploaded file that a crash left");
            self.disk.remove(&path)?;
        }
        Ok(())
    }

    /// Returns where the content of a file lies. Ids are ours: letters, digits and a dash.
    pub(crate) fn upload_path(&self, id: &str) -> PathBuf {
        self.config.data_dir.join(UPLOADS_DIR).join(id)
    }
}
