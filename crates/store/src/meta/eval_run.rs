//! Runs of evals: what became of each, from queued to its end.
//!
//! A run is made with all its rows in one transaction, so it needs nothing afterwards but its own tables:
//! the file that they came from may go, and a start after a crash finds what is left to do. A status is
//! only ever changed from one that it may follow, so whoever ends a run first has ended it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use model::{NanoUsd, ProjectId, Time};

use super::eval_item::NewItem;
use super::paging::Listing;
use super::{Meta, MetaError, Page, PageAsked, eval, eval_item};
use crate::sqlite::{DbError, Engine, Row, column, fresh_id, maybe_time, parsed, time};

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunStatus {
    /// It waits for its turn.
    Queued,
    /// Its rows are being graded.
    InProgress,
    /// All its rows are graded.
    Completed,
    /// It could not go on.
    Failed,
    /// Somebody stopped it.
    Canceled,
}

/// A word that is no status of a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not queued, in_progress, completed, failed or canceled")]
pub struct UnknownRunStatus(String);

impl RunStatus {
    const ALL: [RunStatus; 5] = [
        RunStatus::Queued,
        RunStatus::InProgress,
        RunStatus::Completed,
        RunStatus::Failed,
        RunStatus::Canceled,
    ];

    /// Returns OpenAI's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            RunStatus::Queued => "queued",
            RunStatus::InProgress => "in_progress",
            RunStatus::Completed => "completed",
            RunStatus::Failed => "failed",
            RunStatus::Canceled => "canceled",
        }
    }

    /// Returns whether it is over.
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            RunStatus::Completed | RunStatus::Failed | RunStatus::Canceled
        )
    }
}

impl FromStr for RunStatus {
    type Err = UnknownRunStatus;

    fn from_str(word: &str) -> Result<Self, UnknownRunStatus> {
        let known = Self::ALL.into_iter().find(|status| status.as_str() == word);
        known.ok_or_else(|| UnknownRunStatus(word.to_owned()))
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A run to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRun {
    /// What people call it.
    pub name: String,
    /// The model that it samples.
    pub model: Option<String>,
    /// Where its rows come from, as it was asked for: a JSON object.
    pub data_source: String,
    /// Pairs that people hang on it: a JSON object.
    pub metadata: String,
    /// Its rows, in their order.
    pub items: Vec<NewItem>,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvalRun {
    /// Its id, `evalrun_…`.
    pub id: String,
    /// Whose it is.
    pub project: ProjectId,
    /// The eval that it is a run of.
    pub eval_id: String,
    /// What people call it.
    pub name: String,
    /// The model that it samples.
    pub model: Option<String>,
    /// When it was made.
    pub created_at: Time,
    /// When it was over.
    pub ended_at: Option<Time>,
    /// Where it is.
    pub status: RunStatus,
    /// Where its rows come from: a JSON object.
    pub data_source: String,
    /// Pairs that people hang on it: a JSON object.
    pub metadata: String,
    /// Why it failed: a JSON object.
    pub error: Option<String>,
    /// What its models have cost so far.
    pub spent: NanoUsd,
    /// The id that it had elsewhere, if it was brought along.
    pub openai_id: Option<String>,
    /// What it came to there: a JSON object.
    pub told: Option<String>,
    /// Whether it had not ended there when it was written down.
    pub is_unfinished: bool,
}

/// What the graded rows of a run come to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunTally {
    /// Rows that wait.
    pub queued: u64,
    /// Rows that passed every criterion.
    pub passed: u64,
    /// Rows that failed one.
    pub failed: u64,
    /// Rows that could not be graded.
    pub errored: u64,
    /// Rows to which no criterion applies.
    pub skipped: u64,
    /// By the id of the criterion: rows passed, failed, errored, skipped.
    pub criteria: BTreeMap<String, [u64; 4]>,
    /// By the name of the model.
    pub usage: BTreeMap<String, ModelUse>,
}

/// What calls of a model took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ModelUse {
    /// How many there were.
    pub calls: i64,
    /// Tokens read, cached ones included.
    pub prompt_tokens: i64,
    /// Tokens written.
    pub completion_tokens: i64,
    /// Both.
    pub total_tokens: i64,
    /// Tokens read from the provider's cache.
    pub cached_tokens: i64,
}

impl Meta {
    /// Makes a run of an eval, with its rows, but for those of traces that were deleted meanwhile (D6).
    pub async fn create_run(
        &self,
        who: &str,
        project: &ProjectId,
        eval_id: &str,
        new: &NewRun,
    ) -> Result<EvalRun, MetaError> {
        let failed = self.db.failed("create a run");
        let now = self.clock.now();
        let id = format!("evalrun_{}", fresh_id(now).simple());
        let mut write = self.db.begin().await?;
        let made = sqlx::query(
            "INSERT INTO eval_runs (id, project_id, eval_id, name, model, created_at, status,
               data_source, metadata)
             SELECT $1, project_id, id, $2, $3, $4, 'queued', $5, $6
             FROM evals WHERE id = $7 AND project_id = $8",
        )
        .bind(&id)
        .bind(&new.name)
        .bind(&new.model)
        .bind(now.as_micros())
        .bind(&new.data_source)
        .bind(&new.metadata)
        .bind(eval_id)
        .bind(project.as_str())
        .execute(write.connection())
        .await
        .map_err(&failed)?;
        if made.rows_affected() == 0 {
            return Err(eval::not_found(eval_id));
        }
        eval_item::enter_new(write.connection(), (project, &id), &new.items, now)
            .await
            .map_err(&failed)?;
        let what = format!("created {id} of {eval_id} with {} rows", new.items.len());
        self.finish(write, who, &what).await?;
        self.run(project, eval_id, &id).await
    }

    /// Returns a run of an eval.
    pub async fn run(
        &self,
        project: &ProjectId,
        eval_id: &str,
        id: &str,
    ) -> Result<EvalRun, MetaError> {
        let failed = self.db.failed("look up a run");
        let row = sqlx::query(
            "SELECT * FROM eval_runs WHERE id = $1 AND eval_id = $2 AND project_id = $3",
        )
        .bind(id)
        .bind(eval_id)
        .bind(project.as_str())
        .fetch_optional(self.db.readers())
        .await
        .map_err(&failed)?;
        let row = row.ok_or_else(|| not_found(id))?;
        Ok(run(&row).map_err(&failed)?)
    }

    /// Returns a page of an eval's runs, those in one status if one is named.
    pub async fn runs(
        &self,
        project: &ProjectId,
        eval_id: &str,
        status: Option<RunStatus>,
        asked: &PageAsked,
    ) -> Result<Page<EvalRun>, MetaError> {
        let listing = Listing {
            what: "run",
            table: "eval_runs",
            order_by: "created_at",
            owner: vec![
                ("eval_id =", eval_id.to_owned()),
                ("project_id =", project.to_string()),
            ],
            filter: status
                .map(|status| ("status =", status.to_string()))
                .into_iter()
                .collect(),
        };
        self.page(&listing, asked, run).await
    }

    /// Returns the runs that are not over, of projects that are not deleted, oldest first.
    pub async fn open_runs(&self) -> Result<Vec<EvalRun>, MetaError> {
        let failed = self.db.failed("list the runs that are not over");
        let rows = sqlx::query(
            "SELECT * FROM eval_runs WHERE status IN ('queued', 'in_progress') AND project_id IN
               (SELECT id FROM projects WHERE deleted_at IS NULL) ORDER BY created_at, id",
        )
        .fetch_all(self.db.readers())
        .await
        .map_err(&failed)?;
        let runs: Result<_, _> = rows.iter().map(run).collect();
        Ok(runs.map_err(&failed)?)
    }

    /// Takes up a run. Returns whether it is there and not over.
    pub async fn begin_run(&self, id: &str) -> Result<bool, DbError> {
        let failed = self.db.failed("take up a run");
        let mut write = self.db.begin().await?;
        let done = sqlx::query(
            "UPDATE eval_runs SET status = 'in_progress'
             WHERE id = $1 AND status IN ('queued', 'in_progress')",
        )
        .bind(id)
        .execute(write.connection())
        .await
        .map_err(&failed)?;
        drop(write.commit().await.map_err(&failed)?);
        Ok(done.rows_affected() == 1)
    }

    /// Ends a run that is in progress: completed, or failed for a reason, a JSON object.
    pub async fn end_run(&self, id: &str, error: Option<&str>) -> Result<(), DbError> {
        let failed = self.db.failed("end a run");
        let status = match error {
            None => RunStatus::Completed,
            Some(_) => RunStatus::Failed,
        };
        let mut write = self.db.begin().await?;
        sqlx::query(
            "UPDATE eval_runs SET status = $1, error = $2, ended_at = $3
             WHERE id = $4 AND status = 'in_progress'",
        )
        .bind(status.as_str())
        .bind(error)
        .bind(self.clock.now().as_micros())
        .bind(id)
        .execute(write.connection())
        .await
        .map_err(&failed)?;
        drop(write.commit().await.map_err(&failed)?);
        Ok(())
    }

    /// Stops a run that is not over, and returns it; one that is over stays as it is.
    pub async fn cancel_run(
        &self,
        who: &str,
        project: &ProjectId,
        eval_id: &str,
        id: &str,
    ) -> Result<EvalRun, MetaError> {
        let mut write = self.db.begin().await?;
        let done = sqlx::query(
            "UPDATE eval_runs SET status = 'canceled', ended_at = $1 WHERE id = $2
               AND eval_id = $3 AND project_id = $4 AND status IN ('queued', 'in_progress')",
        )
        .bind(self.clock.now().as_micros())
        .bind(id)
        .bind(eval_id)
        .bind(project.as_str())
        .execute(write.connection())
        .await
        .map_err(self.db.failed("cancel a run"))?;
        match done.rows_affected() {
            0 => drop(write),
            _ => self.finish(write, who, &format!("canceled {id}")).await?,
        }
        self.run(project, eval_id, id).await
    }

    /// Deletes a run with all that it has graded.
    pub async fn delete_run(
        &self,
        who: &str,
        project: &ProjectId,
        eval_id: &str,
        id: &str,
    ) -> Result<(), MetaError> {
        let mut write = self.db.begin().await?;
        let done =
            sqlx::query("DELETE FROM eval_runs WHERE id = $1 AND eval_id = $2 AND project_id = $3")
                .bind(id)
                .bind(eval_id)
                .bind(project.as_str())
                .execute(write.connection())
                .await
                .map_err(self.db.failed("delete a run"))?;
        match done.rows_affected() {
            0 => Err(not_found(id)),
            _ => Ok(self.finish(write, who, &format!("deleted {id}")).await?),
        }
    }

    /// Returns what the graded rows of these runs come to, by the ids of the runs.
    pub async fn tallies(&self, ids: &[&str]) -> Result<BTreeMap<String, RunTally>, DbError> {
        let failed = self.db.failed("count what was graded");
        let mut tallies: BTreeMap<String, RunTally> = ids
            .iter()
            .map(|id| ((*id).to_owned(), RunTally::default()))
            .collect();
        for (grouping, add) in GROUPINGS {
            for row in self.grouped(grouping, ids).await.map_err(&failed)? {
                let run_id = column::<&str>(&row, "run_id").map_err(&failed)?;
                if let Some(tally) = tallies.get_mut(run_id) {
                    add(tally, &row).map_err(&failed)?;
                }
            }
        }
        Ok(tallies)
    }

    async fn grouped(
        &self,
        (fields, table, groups): Grouping,
        ids: &[&str],
    ) -> Result<Vec<Row>, sqlx::Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut statement = sqlx::QueryBuilder::<Engine>::new("SELECT run_id, ");
        statement.push(fields).push(" FROM ").push(table);
        statement.push(" WHERE run_id IN (");
        let mut list = statement.separated(", ");
        for id in ids {
            list.push_bind((*id).to_owned());
        }
        statement.push(") GROUP BY run_id, ").push(groups);
        statement.build().fetch_all(self.db.readers()).await
    }
}

/// What is counted, in which table, by what besides the run.
type Grouping = (&'static str, &'static str, &'static str);

/// Enters a row of a grouping in the tally of its run.
type Add = fn(&mut RunTally, &Row) -> Result<(), sqlx::Error>;

const GROUPINGS: [(Grouping, Add); 3] = [
    (
        ("status, COUNT(*) AS count", "eval_items", "status"),
        add_status,
    ),
    (
        (
            "criterion, outcome, COUNT(*) AS count",
            "eval_results",
            "criterion, outcome",
        ),
        add_outcome,
    ),
    (
        (
            "model, CAST(SUM(calls) AS BIGINT) AS calls,
             CAST(SUM(prompt_tokens) AS BIGINT) AS prompt_tokens,
             CAST(SUM(completion_tokens) AS BIGINT) AS completion_tokens,
             CAST(SUM(total_tokens) AS BIGINT) AS total_tokens,
             CAST(SUM(cached_tokens) AS BIGINT) AS cached_tokens",
            "eval_usage",
            "model",
        ),
        add_usage,
    ),
];

fn count_of(row: &Row) -> Result<u64, sqlx::Error> {
    Ok(column::<i64>(row, "count")?.cast_unsigned())
}

fn add_status(tally: &mut RunTally, row: &Row) -> Result<(), sqlx::Error> {
    let count = count_of(row)?;
    match column::<&str>(row, "status")? {
        "pass" => tally.passed += count,
        "fail" => tally.failed += count,
        "error" => tally.errored += count,
        "skip" => tally.skipped += count,
        _ => tally.queued += count,
    }
    Ok(())
}

fn add_outcome(tally: &mut RunTally, row: &Row) -> Result<(), sqlx::Error> {
    let counts = tally.criteria.entry(column(row, "criterion")?).or_default();
    let at = match column::<&str>(row, "outcome")? {
        "pass" => 0,
        "fail" => 1,
        "skip" => 3,
        _ => 2,
    };
    counts[at] += count_of(row)?;
    Ok(())
}

fn add_usage(tally: &mut RunTally, row: &Row) -> Result<(), sqlx::Error> {
    let used = ModelUse {
        calls: column(row, "calls")?,
        prompt_tokens: column(row, "prompt_tokens")?,
        completion_tokens: column(row, "completion_tokens")?,
        total_tokens: column(row, "total_tokens")?,
        cached_tokens: column(row, "cached_tokens")?,
    };
    tally.usage.insert(column(row, "model")?, used);
    Ok(())
}

fn not_found(id: &str) -> MetaError {
    MetaError::NotFound {
        what: "run",
        id: id.to_owned(),
    }
}

fn run(row: &Row) -> Result<EvalRun, sqlx::Error> {
    Ok(EvalRun {
        id: column(row, "id")?,
        project: parsed(row, "project_id")?,
        eval_id: column(row, "eval_id")?,
        name: column(row, "name")?,
        model: column(row, "model")?,
        created_at: time(row, "created_at")?,
        ended_at: maybe_time(row, "ended_at")?,
        status: parsed(row, "status")?,
        data_source: column(row, "data_source")?,
        metadata: column(row, "metadata")?,
        error: column(row, "error")?,
        spent: NanoUsd(column(row, "spent")?),
        openai_id: column(row, "openai_id")?,
        told: column(row, "told")?,
        is_unfinished: column::<i64>(row, "is_unfinished")? != 0,
    })
}
