//! Files that people sent: what is known of them. Their bytes lie in the data folder (`uploads.rs`).

use model::{ProjectId, Time};

use super::paging::Listing;
use super::{Meta, MetaError, Page, PageAsked};
use crate::sqlite::{DbError, Row, column, fresh_id, parsed, time};

/// A file to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUpload {
    /// Whose it is.
    pub project: ProjectId,
    /// What its sender calls it.
    pub filename: String,
    /// What it is for, in OpenAI's words.
    pub purpose: String,
}

/// A file that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Its id, `file-…`.
    pub id: String,
    /// Whose it is.
    pub project: ProjectId,
    /// What its sender calls it.
    pub filename: String,
    /// What it is for.
    pub purpose: String,
    /// Its length.
    pub bytes: u64,
    /// The BLAKE3 hash of its content, in hexadecimal digits.
    pub checksum: String,
    /// When it came.
    pub created_at: Time,
}

impl Upload {
    /// Returns a file with this content that has an id of its own, at `now`.
    pub(crate) fn new(new: NewUpload, content: &[u8], now: Time) -> Self {
        Self {
            id: format!("file-{}", fresh_id(now).simple()),
            project: new.project,
            filename: new.filename,
            purpose: new.purpose,
            bytes: content.len() as u64,
            checksum: blake3::hash(content).to_hex().to_string(),
            created_at: now,
        }
    }
}

impl Meta {
    /// Enters a file whose content is on disk.
    pub(crate) async fn enter_upload(&self, who: &str, upload: &Upload) -> Result<(), MetaError> {
        let mut write = self.db.begin().await?;
        sqlx::query(
            "INSERT INTO uploads (id, project_id, filename, purpose, bytes, checksum, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(&upload.id)
        .bind(upload.project.as_str())
        .bind(&upload.filename)
        .bind(&upload.purpose)
        .bind(upload.bytes.cast_signed())
        .bind(&upload.checksum)
        .bind(upload.created_at.as_micros())
        .execute(write.connection())
        .await
        .map_err(self.db.failed("enter a file"))?;
        let what = format!("uploaded {} of {} bytes", upload.id, upload.bytes);
        Ok(self.finish(write, who, &what).await?)
    }

    /// Returns a file of a project.
    pub async fn upload(&self, project: &ProjectId, id: &str) -> Result<Upload, MetaError> {
        self.entry(("file", "uploads"), project, id, upload).await
    }

    /// Returns a page of a project's files, those for one purpose if one is named.
    pub async fn uploads(
        &self,
        project: &ProjectId,
        purpose: Option<&str>,
        asked: &PageAsked,
    ) -> Result<Page<Upload>, MetaError> {
        let listing = Listing {
            what: "file",
            table: "uploads",
            order_by: "created_at",
            owner: vec![("project_id =", project.to_string())],
            filter: purpose
                .map(|word| ("purpose =", word.to_owned()))
                .into_iter()
                .collect(),
        };
        self.page(&listing, asked, upload).await
    }

    /// Returns every file of every project that is not deleted.
    pub(crate) async fn all_uploads(&self) -> Result<Vec<Upload>, DbError> {
        let failed = self.db.failed("list all files");
        let rows = sqlx::query(
            "SELECT * FROM uploads WHERE project_id IN (SELECT id FROM projects WHERE deleted_at IS NULL)",
        )
        .fetch_all(self.db.readers())
        .await
        .map_err(&failed)?;
        let uploads: Result<_, _> = rows.iter().map(upload).collect();
        uploads.map_err(&failed)
    }

    /// Forgets a file of a project.
    pub(crate) async fn forget_upload(
        &self,
        who: &str,
        project: &ProjectId,
        id: &str,
    ) -> Result<(), MetaError> {
        let mut write = self.db.begin().await?;
        let done = sqlx::query("DELETE FROM uploads WHERE id = $1 AND project_id = $2")
            .bind(id)
            .bind(project.as_str())
            .execute(write.connection())
            .await
            .map_err(self.db.failed("forget a file"))?;
        match done.rows_affected() {
            0 => Err(not_found(id)),
            _ => Ok(self.finish(write, who, &format!("deleted {id}")).await?),
        }
    }

    /// Forgets all files of a project, and returns their ids.
    pub(crate) async fn forget_uploads_of(
        &self,
        project: &ProjectId,
    ) -> Result<Vec<String>, DbError> {
        let failed = self.db.failed("forget the files of a project");
        let mut write = self.db.begin().await?;
        let ids = sqlx::query_scalar("DELETE FROM uploads WHERE project_id = $1 RETURNING id")
            .bind(project.as_str())
            .fetch_all(write.connection())
            .await
            .map_err(&failed)?;
        drop(write.commit().await.map_err(&failed)?);
        Ok(ids)
    }
}

fn not_found(id: &str) -> MetaError {
    MetaError::NotFound {
        what: "file",
        id: id.to_owned(),
    }
}

fn upload(row: &Row) -> Result<Upload, sqlx::Error> {
    Ok(Upload {
        id: column(row, "id")?,
        project: parsed(row, "project_id")?,
        filename: column(row, "filename")?,
        purpose: column(row, "purpose")?,
        bytes: column::<i64>(row, "bytes")?.cast_unsigned(),
        checksum: column(row, "checksum")?,
        created_at: time(row, "created_at")?,
    })
}
