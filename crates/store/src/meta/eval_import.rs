//! Evals, runs and rows that were graded elsewhere, and are brought along as they were told.
//!
//! Each keeps the id that it had there, and by it is known when it comes again: what is there already
//! stays as it is. A run that comes along is over, so no worker ever takes it up, and no row of it waits
//! (G1). What it came to is kept as it was told and not counted from its rows, of which some may not
//! have come along.

use std::collections::HashMap;

use model::{ProjectId, Time};

use super::eval_item::ItemStatus;
use super::eval_run::RunStatus;
use super::{Meta, MetaError, NewEval, project};
use crate::sqlite::{Connection, fresh_id};

/// An eval that comes along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedEval {
    /// The id that it had.
    pub openai_id: String,
    /// When it was made there.
    pub created_at: Option<Time>,
    /// What it is.
    pub eval: NewEval,
}

/// A run that comes along, with what it came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedRun {
    /// The id that it had.
    pub openai_id: String,
    /// The id that its eval had.
    pub openai_eval_id: String,
    /// What people called it.
    pub name: String,
    /// The model that it sampled.
    pub model: Option<String>,
    /// When it was made there.
    pub created_at: Option<Time>,
    /// How it ended: one that had not stands as canceled.
    pub status: RunStatus,
    /// Whether it had not ended when it was written down; the same run takes its place once it has.
    pub is_unfinished: bool,
    /// Where its rows came from: a JSON object.
    pub data_source: String,
    /// Pairs that people hung on it: a JSON object.
    pub metadata: String,
    /// Why it failed: a JSON object.
    pub error: Option<String>,
    /// What it came to: a JSON object.
    pub told: String,
}

/// A row that comes along, with what its graders said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedItem {
    /// The id that it had.
    pub openai_id: String,
    /// The id that its run had.
    pub openai_run_id: String,
    /// Its place in the run; if that is not told, or taken, it comes behind the others.
    pub position: Option<i64>,
    /// When it was graded there.
    pub created_at: Option<Time>,
    /// What it came to.
    pub status: ItemStatus,
    /// The row itself: a JSON object.
    pub item: String,
    /// The answer that was graded: a JSON object.
    pub sample: Option<String>,
    /// What each grader said: a JSON list.
    pub results: String,
}

/// What came along at once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EvalImport {
    /// Evals.
    pub evals: Vec<ImportedEval>,
    /// Runs of these, or of evals that came before.
    pub runs: Vec<ImportedRun>,
    /// Rows of these, or of runs that came before.
    pub items: Vec<ImportedItem>,
}

/// What became of one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Brought {
    /// It is here now, with this id.
    Added(String),
    /// It was here already.
    There(String),
    /// It was here, unfinished, and is finished now.
    Renewed(String),
    /// What it belongs to is not here.
    Homeless,
}

/// What became of each, in the order in which they came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EvalsBrought {
    /// Of the evals.
    pub evals: Vec<Brought>,
    /// Of the runs.
    pub runs: Vec<Brought>,
    /// Of the rows.
    pub items: Vec<Brought>,
}

impl Meta {
    /// Keeps evals, runs and rows that were graded elsewhere, each once.
    pub async fn import_evals(
        &self,
        who: &str,
        project_id: &ProjectId,
        import: &EvalImport,
    ) -> Result<EvalsBrought, MetaError> {
        let failed = self.db.failed("bring evals along");
        let mut write = self.db.begin().await?;
        let connection = write.connection();
        if !project::is_live(connection, project_id)
            .await
            .map_err(&failed)?
        {
            return Err(project::not_found(project_id));
        }
        let mut keeping = Keeping {
            connection,
            project: project_id.as_str(),
            now: self.clock.now(),
            runs: HashMap::new(),
        };
        let brought = keeping.keep(import).await.map_err(&failed)?;
        let all = [&brought.evals, &brought.runs, &brought.items];
        let [evals, runs, items] = all.map(|of| of.iter().filter(|one| one.is_new()).count());
        match evals + runs + items {
            0 => drop(write),
            _ => {
                let what = format!("brought along {evals} evals, {runs} runs, {items} rows");
                self.finish(write, who, &what).await?;
            }
        }
        Ok(brought)
    }
}

impl Brought {
    fn is_new(&self) -> bool {
        matches!(self, Self::Added(_) | Self::Renewed(_))
    }
}

/// What is being kept in one transaction.
struct Keeping<'a> {
    connection: &'a mut Connection,
    project: &'a str,
    now: Time,
    /// The ids of runs by those that they had; none of one that is not here.
    runs: HashMap<String, Option<String>>,
}

impl Keeping<'_> {
    async fn keep(&mut self, import: &EvalImport) -> Result<EvalsBrought, sqlx::Error> {
        let mut brought = EvalsBrought::default();
        for eval in &import.evals {
            brought.evals.push(self.eval(eval).await?);
        }
        for run in &import.runs {
            brought.runs.push(self.run(run).await?);
        }
        for item in &import.items {
            brought.items.push(self.item(item).await?);
        }
        Ok(brought)
    }

    async fn eval(&mut self, one: &ImportedEval) -> Result<Brought, sqlx::Error> {
        if let Some(id) = self.found("evals", &one.openai_id).await? {
            return Ok(Brought::There(id));
        }
        let id = format!("eval_{}", fresh_id(self.now).simple());
        sqlx::query(
            "INSERT INTO evals (id, project_id, name, created_at, updated_at, metadata,
               data_source_config, testing_criteria, openai_id)
             VALUES ($1, $2, $3, $4, $4, $5, $6, $7, $8)",
        )
        .bind(&id)
        .bind(self.project)
        .bind(&one.eval.name)
        .bind(one.created_at.unwrap_or(self.now).as_micros())
        .bind(&one.eval.metadata)
        .bind(&one.eval.data_source_config)
        .bind(&one.eval.testing_criteria)
        .bind(&one.openai_id)
        .execute(&mut *self.connection)
        .await?;
        Ok(Brought::Added(id))
    }

    async fn run(&mut self, one: &ImportedRun) -> Result<Brought, sqlx::Error> {
        debug_assert!(one.status.is_final(), "G1: no worker may take it up");
        if let Some(id) = self.found("eval_runs", &one.openai_id).await? {
            return self.run_again(id, one).await;
        }
        let Some(eval_id) = self.found("evals", &one.openai_eval_id).await? else {
            return Ok(Brought::Homeless);
        };
        let id = format!("evalrun_{}", fresh_id(self.now).simple());
        let made = one.created_at.unwrap_or(self.now).as_micros();
        sqlx::query(
            "INSERT INTO eval_runs (id, project_id, eval_id, name, model, created_at, ended_at,
               status, data_source, metadata, error, openai_id, told, is_unfinished)
             VALUES ($1, $2, $3, $4, $5, $6, $6, $7, $8, $9, $10, $11, $12, $13)",
        )
        .bind(&id)
        .bind(self.project)
        .bind(eval_id)
        .bind(&one.name)
        .bind(&one.model)
        .bind(made)
        .bind(one.status.as_str())
        .bind(&one.data_source)
        .bind(&one.metadata)
        .bind(&one.error)
        .bind(&one.openai_id)
        .bind(&one.told)
        .bind(i64::from(one.is_unfinished))
        .execute(&mut *self.connection)
        .await?;
        Ok(Brought::Added(id))
    }

    /// A run that had not ended when it came first, and has since, is told anew.
    async fn run_again(&mut self, id: String, one: &ImportedRun) -> Result<Brought, sqlx::Error> {
        if one.is_unfinished {
            return Ok(Brought::There(id));
        }
        let done = sqlx::query(
            "UPDATE eval_runs SET status = $1, error = $2, told = $3, is_unfinished = 0
             WHERE id = $4 AND is_unfinished = 1",
        )
        .bind(one.status.as_str())
        .bind(&one.error)
        .bind(&one.told)
        .bind(&id)
        .execute(&mut *self.connection)
        .await?;
        Ok(match done.rows_affected() {
            0 => Brought::There(id),
            _ => Brought::Renewed(id),
        })
    }

    async fn item(&mut self, one: &ImportedItem) -> Result<Brought, sqlx::Error> {
        let Some(run_id) = self.run_id(&one.openai_run_id).await? else {
            return Ok(Brought::Homeless);
        };
        let there =
            sqlx::query_scalar("SELECT id FROM eval_items WHERE run_id = $1 AND openai_id = $2")
                .bind(&run_id)
                .bind(&one.openai_id)
                .fetch_optional(&mut *self.connection)
                .await?;
        if let Some(id) = there {
            return Ok(Brought::There(id));
        }
        let id = format!("outputitem_{}", fresh_id(self.now).simple());
        let position = self.free_place(&run_id, one.position).await?;
        sqlx::query(
            "INSERT INTO eval_items (run_id, position, id, status, graded_at, item, sample, results,
               openai_id)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(&run_id)
        .bind(position)
        .bind(&id)
        .bind(one.status.as_str())
        .bind(one.created_at.unwrap_or(self.now).as_micros())
        .bind(&one.item)
        .bind(&one.sample)
        .bind(&one.results)
        .bind(&one.openai_id)
        .execute(&mut *self.connection)
        .await?;
        Ok(Brought::Added(id))
    }

    /// Returns the place that a row asks for, or the one behind all others if that is taken.
    async fn free_place(&mut self, run_id: &str, asked: Option<i64>) -> Result<i64, sqlx::Error> {
        if let Some(position) = asked {
            let taken: Option<i64> =
                sqlx::query_scalar("SELECT 1 FROM eval_items WHERE run_id = $1 AND position = $2")
                    .bind(run_id)
                    .bind(position)
                    .fetch_optional(&mut *self.connection)
                    .await?;
            if taken.is_none() {
                return Ok(position);
            }
        }
        sqlx::query_scalar(
            "SELECT COALESCE(MAX(position), -1) + 1 FROM eval_items WHERE run_id = $1",
        )
        .bind(run_id)
        .fetch_one(&mut *self.connection)
        .await
    }

    async fn run_id(&mut self, openai_id: &str) -> Result<Option<String>, sqlx::Error> {
        if let Some(known) = self.runs.get(openai_id) {
            return Ok(known.clone());
        }
        let found = self.found("eval_runs", openai_id).await?;
        self.runs.insert(openai_id.to_owned(), found.clone());
        Ok(found)
    }

    /// Returns the id of what had this id elsewhere.
    async fn found(
        &mut self,
        table: &'static str,
        openai_id: &str,
    ) -> Result<Option<String>, sqlx::Error> {
        let statement = match table {
            "evals" => "SELECT id FROM evals WHERE project_id = $1 AND openai_id = $2",
            _ => "SELECT id FROM eval_runs WHERE project_id = $1 AND openai_id = $2",
        };
        sqlx::query_scalar(statement)
            .bind(self.project)
            .bind(openai_id)
            .fetch_optional(&mut *self.connection)
            .await
    }
}
