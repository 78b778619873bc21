//! The rows of a run: each waits, is graded once, and keeps what its graders said (G1).
//!
//! What was graded is written only over a row that waits, of a run that is in progress. So two workers,
//! or one that a crash cut off between grading and writing, leave one result; and whoever canceled a run
//! can be sure that nothing comes in behind it. What it cost goes with it, in the same transaction, and the
//! answers that were kept in case it is never written go away.

use std::fmt;
use std::str::FromStr;

use model::{NanoUsd, ProjectId, Time, TraceId};

use super::eval_run::ModelUse;
use super::paging::Listing;
use super::{Meta, MetaError, Page, PageAsked, deleted, judge_answer};
use crate::sqlite::{
    Connection, DbError, Row, column, execute_rows, fresh_id, maybe_parsed, parsed, time,
};

/// A row to be graded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewItem {
    /// The trace that it was made of, with which it goes.
    pub trace_id: Option<TraceId>,
    /// The row itself: a JSON object.
    pub item: String,
    /// What was answered to it, if that is known already: a JSON object.
    pub given: Option<String>,
}

/// A row that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedItem {
    /// Its place in the run, from 0.
    pub position: i64,
    /// The trace that it was made of.
    pub trace_id: Option<TraceId>,
    /// The row itself: a JSON object.
    pub item: String,
    /// What was answered to it, if that is known already: a JSON object.
    pub given: Option<String>,
}

/// What was found of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemStatus {
    /// It passed every criterion.
    Pass,
    /// It failed one.
    Fail,
    /// It could not be graded.
    Error,
    /// Nothing that it was asked applies to it.
    Skip,
}

/// A word that is no status of a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not pass, fail, error or skip")]
pub struct UnknownItemStatus(String);

impl ItemStatus {
    /// Returns the word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            ItemStatus::Pass => "pass",
            ItemStatus::Fail => "fail",
            ItemStatus::Error => "error",
            ItemStatus::Skip => "skip",
        }
    }
}

impl FromStr for ItemStatus {
    type Err = UnknownItemStatus;

    fn from_str(word: &str) -> Result<Self, UnknownItemStatus> {
        match word {
            "pass" => Ok(ItemStatus::Pass),
            // OpenAI's own texts use both.
            "fail" | "failed" => Ok(ItemStatus::Fail),
            "error" => Ok(ItemStatus::Error),
            "skip" => Ok(ItemStatus::Skip),
            _ => Err(UnknownItemStatus(word.to_owned())),
        }
    }
}

impl fmt::Display for ItemStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A row with what its graders said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GradedItem {
    /// Its place in the run.
    pub position: i64,
    /// What it comes to.
    pub status: ItemStatus,
    /// The answer that was graded: a JSON object.
    pub sample: Option<String>,
    /// What each grader said: a JSON list.
    pub results: String,
    /// The ids of the criteria, with what each found.
    pub outcomes: Vec<(String, ItemStatus)>,
    /// The models that were called for it.
    pub usage: Vec<(String, ModelUse)>,
    /// The questions whose answers were kept for this row alone, until it is written.
    pub kept_answers: Vec<String>,
}

/// A row that was graded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputItem {
    /// Its id, `outputitem_…`.
    pub id: String,
    /// Its place in the run.
    pub position: i64,
    /// When it was graded.
    pub graded_at: Time,
    /// What it comes to.
    pub status: ItemStatus,
    /// The row itself: a JSON object.
    pub item: String,
    /// The answer that was graded: a JSON object.
    pub sample: Option<String>,
    /// What each grader said: a JSON list.
    pub results: String,
    /// The id that it had elsewhere, if it was brought along.
    pub openai_id: Option<String>,
}

impl Meta {
    /// Returns rows of a run that wait, in their order, behind place `after`.
    pub async fn queued_items(
        &self,
        run_id: &str,
        after: i64,
        limit: u32,
    ) -> Result<Vec<QueuedItem>, DbError> {
        let failed = self.db.failed("read the rows of a run");
        let rows = sqlx::query(
            "SELECT position, trace_id, item, given FROM eval_items
             WHERE run_id = $1 AND status = 'queued' AND position > $2 ORDER BY position LIMIT $3",
        )
        .bind(run_id)
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(self.db.readers())
        .await
        .map_err(&failed)?;
        let queued = |row: &Row| {
            Ok(QueuedItem {
                position: column(row, "position")?,
                trace_id: maybe_parsed(row, "trace_id")?,
                item: column(row, "item")?,
                given: column(row, "given")?,
            })
        };
        let items: Result<_, _> = rows.iter().map(queued).collect();
        items.map_err(&failed)
    }

    /// Writes down what was found of rows that wait, and what it cost; others are passed over. Returns
    /// whether the run is still in progress: if not, nothing was written.
    pub async fn grade_items(
        &self,
        run_id: &str,
        graded: &[GradedItem],
        cost: NanoUsd,
    ) -> Result<bool, DbError> {
        let failed = self.db.failed("write down what was graded");
        let now = self.clock.now();
        let mut write = self.db.begin().await?;
        let connection = write.connection();
        let project: Option<String> = sqlx::query_scalar(
            "UPDATE eval_runs SET spent = spent + $1 WHERE id = $2 AND status = 'in_progress'
             RETURNING project_id",
        )
        .bind(cost.0)
        .bind(run_id)
        .fetch_optional(&mut *connection)
        .await
        .map_err(&failed)?;
        let Some(project) = project else {
            return Ok(false);
        };
        for item in graded {
            enter(connection, run_id, item, now)
                .await
                .map_err(&failed)?;
            judge_answer::drop_answers(connection, &project, &item.kept_answers)
                .await
                .map_err(&failed)?;
        }
        drop(write.commit().await.map_err(&failed)?);
        Ok(true)
    }

    /// Returns a page of the graded rows of a run, those of one status if one is named.
    pub async fn output_items(
        &self,
        run_id: &str,
        status: Option<ItemStatus>,
        asked: &PageAsked,
    ) -> Result<Page<OutputItem>, MetaError> {
        let shown = match status {
            Some(status) => ("status =", status.to_string()),
            None => ("status <>", "queued".to_owned()),
        };
        let listing = Listing {
            what: "output item",
            table: "eval_items",
            order_by: "position",
            owner: vec![("run_id =", run_id.to_owned())],
            filter: vec![shown],
        };
        self.page(&listing, asked, output_item).await
    }

    /// Returns a graded row of a run.
    pub async fn output_item(&self, run_id: &str, id: &str) -> Result<OutputItem, MetaError> {
        let failed = self.db.failed("look up an output item");
        let row = sqlx::query(
            "SELECT * FROM eval_items WHERE id = $1 AND run_id = $2 AND status <> 'queued'",
        )
        .bind(id)
        .bind(run_id)
        .fetch_optional(self.db.readers())
        .await
        .map_err(&failed)?;
        let row = row.ok_or_else(|| MetaError::NotFound {
            what: "output item",
            id: id.to_owned(),
        })?;
        Ok(output_item(&row).map_err(&failed)?)
    }
}

/// Enters the rows of a new run, in their order. A trace that was deleted since it was read has none: what
/// goes away with a deletion must not come in behind it (D6).
pub(super) async fn enter_new(
    connection: &mut Connection,
    (project, run_id): (&ProjectId, &str),
    items: &[NewItem],
    now: Time,
) -> Result<(), sqlx::Error> {
    let traces = items.iter().filter_map(|item| item.trace_id.as_ref());
    let gone = deleted::of(connection, project, traces, now).await?;
    let is_there = |item: &&NewItem| !item.trace_id.as_ref().is_some_and(|id| gone.contains(id));
    let numbered: Vec<(i64, &NewItem)> = (0..).zip(items.iter().filter(is_there)).collect();
    let insert = (
        "INSERT INTO eval_items (run_id, position, id, status, trace_id, item, given) ",
        "",
    );
    execute_rows(connection, insert, &numbered, |values, (position, new)| {
        values
            .push_bind(run_id.to_owned())
            .push_bind(*position)
            .push_bind(format!("outputitem_{}", fresh_id(now).simple()))
            .push_bind("queued")
            .push_bind(new.trace_id.as_ref().map(ToString::to_string))
            .push_bind(new.item.clone())
            .push_bind(new.given.clone());
    })
    .await?;
    Ok(())
}

/// The rows of a project that were made of some traces.
pub(super) const OF_TRACES: &str =
    "DELETE FROM eval_items WHERE run_id IN (SELECT id FROM eval_runs WHERE project_id = ";

/// Deletes the rows that were made of traces (D6).
pub(super) async fn delete_rows_of(
    connection: &mut Connection,
    project: &ProjectId,
    traces: &[&TraceId],
) -> Result<(), sqlx::Error> {
    let mut statement = deleted::of_traces(OF_TRACES, project, traces);
    statement
        .build()
        .persistent(false)
        .execute(connection)
        .await?;
    Ok(())
}

async fn enter(
    connection: &mut Connection,
    run_id: &str,
    graded: &GradedItem,
    now: Time,
) -> Result<(), sqlx::Error> {
    let done = sqlx::query(
        "UPDATE eval_items SET status = $1, graded_at = $2, sample = $3, results = $4
         WHERE run_id = $5 AND position = $6 AND status = 'queued'",
    )
    .bind(graded.status.as_str())
    .bind(now.as_micros())
    .bind(&graded.sample)
    .bind(&graded.results)
    .bind(run_id)
    .bind(graded.position)
    .execute(&mut *connection)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(());
    }
    let insert = (
        "INSERT INTO eval_results (run_id, position, criterion, outcome) ",
        "",
    );
    execute_rows(
        connection,
        insert,
        &graded.outcomes,
        |values, (criterion, outcome)| {
            values
                .push_bind(run_id.to_owned())
                .push_bind(graded.position)
                .push_bind(criterion.clone())
                .push_bind(outcome.as_str());
        },
    )
    .await?;
    let insert = (
        "INSERT INTO eval_usage (run_id, position, model, calls, prompt_tokens, completion_tokens,
           total_tokens, cached_tokens) ",
        "",
    );
    execute_rows(
        connection,
        insert,
        &graded.usage,
        |values, (model, used)| {
            values
                .push_bind(run_id.to_owned())
                .push_bind(graded.position)
                .push_bind(model.clone())
                .push_bind(used.calls)
                .push_bind(used.prompt_tokens)
                .push_bind(used.completion_tokens)
                .push_bind(used.total_tokens)
                .push_bind(used.cached_tokens);
        },
    )
    .await?;
    Ok(())
}

fn output_item(row: &Row) -> Result<OutputItem, sqlx::Error> {
    Ok(OutputItem {
        id: column(row, "id")?,
        position: column(row, "position")?,
        graded_at: time(row, "graded_at")?,
        status: parsed(row, "status")?,
        item: column(row, "item")?,
        sample: column(row, "sample")?,
        results: column(row, "results")?,
        openai_id: column(row, "openai_id")?,
    })
}
