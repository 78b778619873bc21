//! The items of a grading run: the traces that are graded in it, each once.
//!
//! They are added when a run is selected, or by the watch that feeds it; `grading_lease.rs` has who works on
//! them. A trace that is deleted goes out of its item, which stays as a number, since it was drawn.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use model::{GroupId, NanoUsd, ProjectId, Time, TraceId};
use sqlx::QueryBuilder;

use super::grading_run::fresh_number;
use super::{Meta, deleted};
use crate::sqlite::{
    Connection, DbError, Engine, ROWS_PER_STATEMENT_MAX, Row, column, execute_rows, maybe_parsed,
    parsed, time,
};

/// A trace to be graded.
#[derive(Debug, Clone, PartialEq)]
pub struct NewGradingItem {
    /// The trace.
    pub trace_id: TraceId,
    /// Its group.
    pub group_id: Option<GroupId>,
    /// The stratum it was drawn from.
    pub stratum: Option<String>,
    /// How many traces of the population it stands for.
    pub weight: f64,
    /// When the trace began.
    pub trace_started_at: Time,
    /// The trace that it is held against, where two are compared.
    pub counterpart: Option<TraceId>,
    /// What should have been done, where that is known: JSON.
    pub reference: Option<Arc<str>>,
}

/// Where an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GradingItemStatus {
    /// It waits.
    Queued,
    /// A worker holds it.
    Leased,
    /// Every grader gave a verdict.
    Scored,
    /// One gave none.
    Unscored,
    /// Its trace was deleted.
    Deleted,
}

/// A word that is no status of an item.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not queued, leased, scored, unscored or deleted")]
pub struct UnknownGradingItemStatus(String);

impl GradingItemStatus {
    /// Every status.
    pub const ALL: [GradingItemStatus; 5] = [
        GradingItemStatus::Queued,
        GradingItemStatus::Leased,
        GradingItemStatus::Scored,
        GradingItemStatus::Unscored,
        GradingItemStatus::Deleted,
    ];

    /// Returns the word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            GradingItemStatus::Queued => "queued",
            GradingItemStatus::Leased => "leased",
            GradingItemStatus::Scored => "scored",
            GradingItemStatus::Unscored => "unscored",
            GradingItemStatus::Deleted => "deleted",
        }
    }
}

impl FromStr for GradingItemStatus {
    type Err = UnknownGradingItemStatus;

    fn from_str(word: &str) -> Result<Self, UnknownGradingItemStatus> {
        let known = Self::ALL.into_iter().find(|status| status.as_str() == word);
        known.ok_or_else(|| UnknownGradingItemStatus(word.to_owned()))
    }
}

impl fmt::Display for GradingItemStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An item of a run, as people see it.
#[derive(Debug, Clone, PartialEq)]
pub struct GradingItemSeen {
    /// Its place in the run.
    pub position: i64,
    /// The trace; none: it was deleted.
    pub trace_id: Option<TraceId>,
    /// Its group.
    pub group_id: Option<GroupId>,
    /// The stratum it was drawn from.
    pub stratum: Option<String>,
    /// How many traces of the population it stands for.
    pub weight: f64,
    /// When the trace began.
    pub trace_started_at: Time,
    /// Which attempt is the latest, from 1.
    pub attempt: u32,
    /// Where it is.
    pub status: GradingItemStatus,
    /// What it has cost, over all attempts.
    pub spent: NanoUsd,
}

impl Meta {
    /// Adds items behind those that a run has, while it is being selected, or a watch feeds it and it is
    /// not over. Traces that it has already, and such as were deleted, are passed over. Returns how many
    /// were added.
    pub async fn add_grading_items(
        &self,
        run_id: &str,
        new: &[NewGradingItem],
    ) -> Result<u64, DbError> {
        let failed = self.db.failed("add items to a grading run");
        let mut write = self.db.begin().await?;
        let connection = write.connection();
        let row = sqlx::query(
            "SELECT number, project_id FROM grading_runs WHERE id = $1 AND (status = 'selecting'
               OR watch_id IS NOT NULL AND status IN ('queued', 'in_progress', 'paused'))",
        )
        .bind(run_id)
        .fetch_optional(&mut *connection)
        .await
        .map_err(&failed)?;
        let Some(row) = row else {
            return Ok(0);
        };
        let (number, project) = (
            column(&row, "number").map_err(&failed)?,
            parsed(&row, "project_id").map_err(&failed)?,
        );
        let mut traces: Vec<&TraceId> = new.iter().map(|one| &one.trace_id).collect();
        traces.extend(new.iter().filter_map(|one| one.counterpart.as_ref()));
        let gone = deleted::of(connection, &project, traces, self.clock.now())
            .await
            .map_err(&failed)?;
        let is_gone = |trace: &TraceId| gone.contains(trace);
        let there: Vec<_> = new
            .iter()
            .filter(|one| !is_gone(&one.trace_id) && !one.counterpart.as_ref().is_some_and(is_gone))
            .collect();
        let added = append(connection, number, &there).await.map_err(&failed)?;
        drop(write.commit().await.map_err(&failed)?);
        Ok(added)
    }

    /// Takes out again what was chosen for a run that is still being selected, to begin anew. Returns
    /// whether it is.
    pub async fn forget_grading_selection(&self, run_id: &str) -> Result<bool, DbError> {
        let failed = self.db.failed("forget what was selected for a grading run");
        let mut write = self.db.begin().await?;
        let connection = write.connection();
        let fresh = fresh_number(connection).await.map_err(&failed)?;
        // The items go as those of a deleted run do: it only has to take another number.
        sqlx::query(
            "INSERT INTO grading_leftovers (run)
             SELECT number FROM grading_runs WHERE id = $1 AND status = 'selecting'",
        )
        .bind(run_id)
        .execute(&mut *connection)
        .await
        .map_err(&failed)?;
        let done = sqlx::query(
            "UPDATE grading_runs SET number = $1, items = 0, deleted = 0
             WHERE id = $2 AND status = 'selecting'",
        )
        .bind(fresh)
        .bind(run_id)
        .execute(connection)
        .await
        .map_err(&failed)?;
        drop(write.commit().await.map_err(&failed)?);
        Ok(done.rows_affected() == 1)
    }

    /// Returns which traces, by their runs, are held against one of these.
    pub(crate) async fn held_against(
        &self,
        project: &ProjectId,
        traces: &[TraceId],
    ) -> Result<Vec<(String, TraceId)>, DbError> {
        let failed = self.db.failed("look up comparisons with traces");
        let traces: Vec<&TraceId> = traces.iter().collect();
        let mut found = Vec::new();
        for chunk in traces.chunks(ROWS_PER_STATEMENT_MAX) {
            let mut statement = deleted::of_column(AGAINST, project, ("counterpart", chunk));
            let rows = statement.build().persistent(false);
            let rows = rows.fetch_all(self.db.readers()).await.map_err(&failed)?;
            for row in &rows {
                found.push((
                    column(row, "run_id").map_err(&failed)?,
                    parsed(row, "trace_id").map_err(&failed)?,
                ));
            }
        }
        Ok(found)
    }

    /// Returns items of a run in their order, behind place `after`, those in one state if one is named.
    pub async fn grading_items(
        &self,
        run_id: &str,
        status: Option<GradingItemStatus>,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Vec<GradingItemSeen>, DbError> {
        let failed = self.db.failed("read the items of a grading run");
        let mut statement = QueryBuilder::<Engine>::new(
            "SELECT * FROM grading_items WHERE run = (SELECT number FROM grading_runs WHERE id = ",
        );
        statement.push_bind(run_id).push(") AND position > ");
        statement.push_bind(after.unwrap_or(-1));
        if let Some(status) = status {
            statement.push(" AND status = ").push_bind(status.as_str());
        }
        statement.push(" ORDER BY position LIMIT ");
        statement.push_bind(i64::from(limit));
        let rows = statement.build().fetch_all(self.db.readers()).await;
        let items: Result<_, _> = rows.map_err(&failed)?.iter().map(seen).collect();
        items.map_err(&failed)
    }
}

/// How many items of each run are of some traces.
pub(super) const COUNT_TRACES: &str = "SELECT run, COUNT(*) AS items,
       CAST(SUM(CASE WHEN status IN ('scored', 'unscored') THEN 1 ELSE 0 END) AS BIGINT) AS done,
       CAST(SUM(CASE WHEN status = 'unscored' THEN 1 ELSE 0 END) AS BIGINT) AS unscored
     FROM grading_items WHERE run IN (SELECT number FROM grading_runs WHERE project_id = ";

/// Which items hold their trace against some others.
const AGAINST: &str = "SELECT grading_runs.id AS run_id, trace_id
     FROM grading_items JOIN grading_runs ON number = run WHERE (project_id = ";

/// Takes some traces out of the items.
pub(super) const BLANK_TRACES: &str =
    "UPDATE grading_items SET status = 'deleted', trace_id = NULL, group_id = NULL,
       counterpart = NULL, reference = NULL
     WHERE run IN (SELECT number FROM grading_runs WHERE project_id = ";

/// Takes some traces away from those that are held against them.
const PART: &str = "UPDATE grading_items SET counterpart = NULL
     WHERE run IN (SELECT number FROM grading_runs WHERE project_id = ";

/// Adds items that wait behind those of a run. Returns how many were not there yet.
async fn append(
    connection: &mut Connection,
    number: i64,
    new: &[&NewGradingItem],
) -> Result<u64, sqlx::Error> {
    let first: i64 = sqlx::query_scalar(
        "SELECT COALESCE(MAX(position), -1) + 1 FROM grading_items WHERE run = $1",
    )
    .bind(number)
    .fetch_one(&mut *connection)
    .await?;
    let placed: Vec<(i64, &NewGradingItem)> = (first..).zip(new.iter().copied()).collect();
    let insert = (
        "INSERT INTO grading_items (run, position, trace_id, group_id, stratum, weight,
           trace_started_at, status, attempt, counterpart, reference) ",
        " ON CONFLICT (trace_id, run) DO NOTHING",
    );
    let added = execute_rows(connection, insert, &placed, |values, (position, new)| {
        values
            .push_bind(number)
            .push_bind(*position)
            .push_bind(new.trace_id.to_string())
            .push_bind(new.group_id.as_ref().map(ToString::to_string))
            .push_bind(new.stratum.clone())
            .push_bind(new.weight)
            .push_bind(new.trace_started_at.as_micros())
            .push_bind("queued")
            .push_bind(1_i64)
            .push_bind(new.counterpart.as_ref().map(ToString::to_string))
            .push_bind(new.reference.as_deref().map(str::to_owned));
    })
    .await?;
    sqlx::query("UPDATE grading_runs SET items = items + $1 WHERE number = $2")
        .bind(added.cast_signed())
        .bind(number)
        .execute(connection)
        .await?;
    Ok(added)
}

/// Takes traces that were deleted out of the runs of a project (D6): their items stay as a number, since
/// they were drawn. Whoever holds one keeps its lease, and what it costs is booked. A trace that was
/// compared with one of them is graded all the same, by graders that do not compare.
pub(super) async fn forget_traces(
    connection: &mut Connection,
    project: &ProjectId,
    traces: &[&TraceId],
) -> Result<(), sqlx::Error> {
    let mut parting = deleted::of_column(PART, project, ("counterpart", traces));
    let parting = parting.build().persistent(false);
    parting.execute(&mut *connection).await?;
    let mut counting = deleted::of_traces(COUNT_TRACES, project, traces);
    counting.push(" GROUP BY run");
    let counts = counting.build().persistent(false);
    let counts = counts.fetch_all(&mut *connection).await?;
    if counts.is_empty() {
        return Ok(());
    }
    let mut blanking = deleted::of_traces(BLANK_TRACES, project, traces);
    let blanking = blanking.build().persistent(false);
    blanking.execute(&mut *connection).await?;
    for row in &counts {
        sqlx::query(
            "UPDATE grading_runs SET deleted = deleted + $1, done = done - $2,
               unscored = unscored - $3 WHERE number = $4",
        )
        .bind(column::<i64>(row, "items")?)
        .bind(column::<i64>(row, "done")?)
        .bind(column::<i64>(row, "unscored")?)
        .bind(column::<i64>(row, "run")?)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

fn seen(row: &Row) -> Result<GradingItemSeen, sqlx::Error> {
    Ok(GradingItemSeen {
        position: column(row, "position")?,
        trace_id: maybe_parsed(row, "trace_id")?,
        group_id: maybe_parsed(row, "group_id")?,
        stratum: column(row, "stratum")?,
        weight: column(row, "weight")?,
        trace_started_at: time(row, "trace_started_at")?,
        attempt: column(row, "attempt")?,
        status: parsed(row, "status")?,
        spent: NanoUsd(column(row, "spent")?),
    })
}
