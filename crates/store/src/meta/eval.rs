//! Evals: which rows are graded, and by what. Their definitions are JSON texts, opaque here.

use model::{ProjectId, Time};

use super::paging::Listing;
use super::{Meta, MetaError, Page, PageAsked, project};
use crate::sqlite::{Row, column, fresh_id, time};

/// An eval to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEval {
    /// What people call it.
    pub name: String,
    /// Pairs that people hang on it: a JSON object.
    pub metadata: String,
    /// What its rows look like: a JSON object.
    pub data_source_config: String,
    /// What they are graded by: a JSON list.
    pub testing_criteria: String,
}

/// An eval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eval {
    /// Its id, `eval_…`.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
    /// Pairs that people hang on it: a JSON object.
    pub metadata: String,
    /// What its rows look like: a JSON object.
    pub data_source_config: String,
    /// What they are graded by: a JSON list.
    pub testing_criteria: String,
    /// The id that it had elsewhere, if it was brought along.
    pub openai_id: Option<String>,
}

/// By which of its times a list of evals is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EvalOrder {
    /// When it was made.
    CreatedAt,
    /// When it was last changed.
    UpdatedAt,
}

impl Meta {
    /// Makes an eval.
    pub async fn create_eval(
        &self,
        who: &str,
        project_id: &ProjectId,
        new: &NewEval,
    ) -> Result<Eval, MetaError> {
        let failed = self.db.failed("create an eval");
        let now = self.clock.now();
        let id = format!("eval_{}", fresh_id(now).simple());
        let mut write = self.db.begin().await?;
        if !project::is_live(write.connection(), project_id)
            .await
            .map_err(&failed)?
        {
            return Err(project::not_found(project_id));
        }
        sqlx::query(
            "INSERT INTO evals (id, project_id, name, created_at, updated_at, metadata,
               data_source_config, testing_criteria)
             VALUES ($1, $2, $3, $4, $4, $5, $6, $7)",
        )
        .bind(&id)
        .bind(project_id.as_str())
        .bind(&new.name)
        .bind(now.as_micros())
        .bind(&new.metadata)
        .bind(&new.data_source_config)
        .bind(&new.testing_criteria)
        .execute(write.connection())
        .await
        .map_err(&failed)?;
        self.finish(write, who, &format!("created {id} {:?}", new.name))
            .await?;
        self.eval(project_id, &id).await
    }

    /// Returns an eval of a project.
    pub async fn eval(&self, project: &ProjectId, id: &str) -> Result<Eval, MetaError> {
        self.entry(("eval", "evals"), project, id, eval).await
    }

    /// Returns a page of a project's evals.
    pub async fn evals(
        &self,
        project: &ProjectId,
        order: EvalOrder,
        asked: &PageAsked,
    ) -> Result<Page<Eval>, MetaError> {
        let listing = Listing {
            what: "eval",
            table: "evals",
            order_by: match order {
                EvalOrder::CreatedAt => "created_at",
                EvalOrder::UpdatedAt => "updated_at",
            },
            owner: vec![("project_id =", project.to_string())],
            filter: Vec::new(),
        };
        self.page(&listing, asked, eval).await
    }

    /// Changes an eval's name and metadata; what is not given stays.
    pub async fn update_eval(
        &self,
        who: &str,
        project: &ProjectId,
        id: &str,
        name: Option<&str>,
        metadata: Option<&str>,
    ) -> Result<Eval, MetaError> {
        let mut write = self.db.begin().await?;
        let done = sqlx::query(
            "UPDATE evals SET name = COALESCE($1, name), metadata = COALESCE($2, metadata),
               updated_at = $3 WHERE id = $4 AND project_id = $5",
        )
        .bind(name)
        .bind(metadata)
        .bind(self.clock.now().as_micros())
        .bind(id)
        .bind(project.as_str())
        .execute(write.connection())
        .await
        .map_err(self.db.failed("update an eval"))?;
        if done.rows_affected() == 0 {
            return Err(not_found(id));
        }
        self.finish(write, who, &format!("updated {id}")).await?;
        self.eval(project, id).await
    }

    /// Deletes an eval with its runs, and returns the ids of those.
    pub async fn delete_eval(
        &self,
        who: &str,
        project: &ProjectId,
        id: &str,
    ) -> Result<Vec<String>, MetaError> {
        let failed = self.db.failed("delete an eval");
        let mut write = self.db.begin().await?;
        let runs =
            sqlx::query_scalar("SELECT id FROM eval_runs WHERE eval_id = $1 AND project_id = $2")
                .bind(id)
                .bind(project.as_str())
                .fetch_all(write.connection())
                .await
                .map_err(&failed)?;
        let done = sqlx::query("DELETE FROM evals WHERE id = $1 AND project_id = $2")
            .bind(id)
            .bind(project.as_str())
            .execute(write.connection())
            .await
            .map_err(&failed)?;
        if done.rows_affected() == 0 {
            return Err(not_found(id));
        }
        self.finish(write, who, &format!("deleted {id}")).await?;
        Ok(runs)
    }
}

pub(super) fn not_found(id: &str) -> MetaError {
    MetaError::NotFound {
        what: "eval",
        id: id.to_owned(),
    }
}

fn eval(row: &Row) -> Result<Eval, sqlx::Error> {
    Ok(Eval {
        id: column(row, "id")?,
        name: column(row, "name")?,
        created_at: time(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
        metadata: column(row, "metadata")?,
        data_source_config: column(row, "data_source_config")?,
        testing_criteria: column(row, "testing_criteria")?,
        openai_id: column(row, "openai_id")?,
    })
}
