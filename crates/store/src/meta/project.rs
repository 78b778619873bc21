//! Projects: the walls between tenants.
//!
//! A deleted project keeps its row, so that its id is never given to somebody else while old files or
//! backups still hold rows of it.

use model::{ProjectId, Time};
use sqlx::Row as _;

use super::{Meta, MetaError, grading_run};
use crate::sqlite::{Connection, Row, column, maybe_time, parsed, time, undecodable};

/// The project that every store begins with, and that rows without a key go to.
pub const DEFAULT_PROJECT: &str = "default";

/// A project.
#[derive(Debug, Clone, PartialEq)]
pub struct Project {
    /// Its id.
    pub id: ProjectId,
    /// What people call it.
    pub name: String,
    /// When it was made.
    pub created_at: Time,
    /// When it was deleted, if it was.
    pub deleted_at: Option<Time>,
    /// What was decided for it.
    pub settings: ProjectSettings,
}

/// What people decide for a project; what this program does not know is kept.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ProjectSettings {
    /// Traces are dropped this many days after their last row; `None` keeps them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<u32>,
    /// The model that calls without one are priced as; such costs are marked `assumed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assumed_model: Option<String>,
    /// Whether prompts, answers and the like are kept; `None`: as the server is set up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include_sensitive_data: Option<bool>,
    /// Whether audio is kept; `None`: as the server is set up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include_audio: Option<bool>,
    /// The share of traces that is kept, from 0 to 1; `None`: as the server is set up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_rate: Option<f64>,
    /// Settings of other versions.
    #[serde(flatten)]
    pub other: serde_json::Map<String, serde_json::Value>,
}

impl Meta {
    /// Returns the projects that are not deleted, by id.
    pub async fn projects(&self) -> Result<Vec<Project>, MetaError> {
        self.list("SELECT * FROM projects WHERE deleted_at IS NULL ORDER BY id")
            .await
    }

    /// Returns the projects that were deleted, by id.
    pub async fn deleted_projects(&self) -> Result<Vec<Project>, MetaError> {
        self.list("SELECT * FROM projects WHERE deleted_at IS NOT NULL ORDER BY id")
            .await
    }

    /// Returns a project that is not deleted.
    pub async fn project(&self, id: &ProjectId) -> Result<Project, MetaError> {
        let failed = self.db.failed("read a project");
        let row = sqlx::query("SELECT * FROM projects WHERE id = $1 AND deleted_at IS NULL")
            .bind(id.as_str())
            .fetch_optional(self.db.readers())
            .await
            .map_err(&failed)?;
        let row = row.ok_or_else(|| not_found(id))?;
        Ok(project(&row).map_err(&failed)?)
    }

    /// Makes a project.
    pub async fn create_project(
        &self,
        who: &str,
        id: &ProjectId,
        name: &str,
    ) -> Result<(), MetaError> {
        let mut write = self.db.begin().await?;
        let made = sqlx::query(
            "INSERT INTO projects (id, name, created_at, settings) VALUES ($1, $2, $3, '{}')
             ON CONFLICT (id) DO NOTHING",
        )
        .bind(id.as_str())
        .bind(name)
        .bind(self.clock.now().as_micros())
        .execute(write.connection())
        .await
        .map_err(self.db.failed("create a project"))?;
        if made.rows_affected() == 0 {
            return Err(MetaError::Exists {
                what: "project",
                id: id.to_string(),
            });
        }
        Ok(self
            .finish(write, who, &format!("created project {id}"))
            .await?)
    }

    /// Sets a project's name and settings.
    pub async fn update_project(
        &self,
        who: &str,
        id: &ProjectId,
        name: &str,
        settings: &ProjectSettings,
    ) -> Result<(), MetaError> {
        let failed = self.db.failed("update a project");
        let text = serde_json::to_string(settings)
            .map_err(|error| failed(sqlx::Error::Encode(error.into())))?;
        let mut write = self.db.begin().await?;
        let done = sqlx::query(
            "UPDATE projects SET name = $1, settings = $2 WHERE id = $3 AND deleted_at IS NULL",
        )
        .bind(name)
        .bind(&text)
        .bind(id.as_str())
        .execute(write.connection())
        .await
        .map_err(&failed)?;
        if done.rows_affected() == 0 {
            return Err(not_found(id));
        }
        Ok(self
            .finish(write, who, &format!("set project {id} to {name:?} {text}"))
            .await?)
    }

    /// Marks a project as deleted, and deletes its evals and its grading; its rows in the lake and its
    /// files are somebody else's work.
    pub async fn delete_project(&self, who: &str, id: &ProjectId) -> Result<(), MetaError> {
        let mut write = self.db.begin().await?;
        let done =
            sqlx::query("UPDATE projects SET deleted_at = $1 WHERE id = $2 AND deleted_at IS NULL")
                .bind(self.clock.now().as_micros())
                .bind(id.as_str())
                .execute(write.connection())
                .await
                .map_err(self.db.failed("delete a project"))?;
        if done.rows_affected() == 0 {
            return Err(not_found(id));
        }
        delete_what_is_of(write.connection(), id)
            .await
            .map_err(self.db.failed("delete what a project has"))?;
        Ok(self
            .finish(write, who, &format!("deleted project {id}"))
            .await?)
    }

    async fn list(&self, query: &'static str) -> Result<Vec<Project>, MetaError> {
        let failed = self.db.failed("list projects");
        let rows = sqlx::query(query)
            .fetch_all(self.db.readers())
            .await
            .map_err(&failed)?;
        let projects: Result<_, _> = rows.iter().map(project).collect();
        Ok(projects.map_err(&failed)?)
    }
}

async fn delete_what_is_of(connection: &mut Connection, id: &ProjectId) -> Result<(), sqlx::Error> {
    // Runs go before the graders that they used.
    grading_run::delete_runs(connection, id, None).await?;
    for statement in [
        "DELETE FROM evals WHERE project_id = $1",
        "DELETE FROM graders WHERE project_id = $1",
        "DELETE FROM annotations WHERE project_id = $1",
        "DELETE FROM judge_answers WHERE project_id = $1",
    ] {
        sqlx::query(statement)
            .bind(id.as_str())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Returns whether there is such a project, and it is not deleted.
pub(super) async fn is_live(
    connection: &mut Connection,
    id: &ProjectId,
) -> Result<bool, sqlx::Error> {
    let count: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM projects WHERE id = $1 AND deleted_at IS NULL")
            .bind(id.as_str())
            .fetch_one(connection)
            .await?;
    Ok(count == 1)
}

pub(super) fn not_found(id: &ProjectId) -> MetaError {
    MetaError::NotFound {
        what: "project",
        id: id.to_string(),
    }
}

fn project(row: &Row) -> Result<Project, sqlx::Error> {
    let settings = serde_json::from_str(row.try_get("settings")?);
    Ok(Project {
        id: parsed(row, "id")?,
        name: column(row, "name")?,
        created_at: time(row, "created_at")?,
        deleted_at: maybe_time(row, "deleted_at")?,
        settings: settings.map_err(|error| undecodable("settings", error))?,
    })
}
