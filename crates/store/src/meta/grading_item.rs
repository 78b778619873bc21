//! The items of a grading run: each is leased by one worker at a time, and its end is written down once.
//!
//! A lease ends by itself, so a worker that died holds nothing up; and what a worker brings back is taken
//! only while its lease lasts, so two of them leave one end for an item (G1). What a judge was paid for an
//! item is added by the same transaction that takes the item, whatever became of the run meanwhile: money
//! that is gone is shown, and work that was paid for is kept.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use model::{GroupId, NanoUsd, ProjectId, Time, TraceId};
use sqlx::QueryBuilder;

use super::grading_run::fresh_number;
use super::{GradingStatus, Meta, deleted};
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

/// An item that a worker holds.
#[derive(Debug, Clone, PartialEq)]
pub struct GradingItem {
    /// Its place in the run, from 0; places may be missing.
    pub position: i64,
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
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// What this attempt has cost already, if it was given back.
    pub spent: NanoUsd,
    /// The trace that it is held against, where two are compared.
    pub counterpart: Option<TraceId>,
    /// What should have been done, where that is known: JSON.
    pub reference: Option<String>,
}

/// What a worker did with an item that it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemEnd {
    /// Every grader gave a verdict.
    Scored,
    /// One gave none.
    Unscored,
    /// It was given back, and waits again; what it has cost so far is spent all the same.
    GivenBack,
}

/// An item that a worker is done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FinishedItem {
    /// Its place in the run.
    pub position: i64,
    /// What became of it.
    pub end: ItemEnd,
    /// What its judges cost.
    pub spent: NanoUsd,
}

/// What was taken of what a worker brought back, and where the run is by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finished {
    /// How many items were taken: those whose lease the worker still held.
    pub taken: u64,
    /// Where the run is.
    pub status: GradingStatus,
    /// How many of its items wait.
    pub waiting: i64,
    /// What it has cost.
    pub spent: NanoUsd,
    /// The most it may cost.
    pub cap: Option<NanoUsd>,
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

    /// Gives a worker up to `limit` items of a run in progress, in the order of their places; nobody else
    /// gets them for so long. Those whose lease ran out are given again.
    pub async fn lease_grading_items(
        &self,
        run_id: &str,
        owner: &str,
        limit: u32,
        lasts: Duration,
    ) -> Result<Vec<GradingItem>, DbError> {
        let failed = self.db.failed("lease items of a grading run");
        let mut write = self.db.begin().await?;
        let connection = write.connection();
        let number: Option<i64> = sqlx::query_scalar(
            "SELECT number FROM grading_runs WHERE id = $1 AND status = 'in_progress'",
        )
        .bind(run_id)
        .fetch_optional(&mut *connection)
        .await
        .map_err(&failed)?;
        let Some(number) = number else {
            return Ok(Vec::new());
        };
        let now = self.clock.now();
        sqlx::query(EXPIRE)
            .bind(number)
            .bind(now.as_micros())
            .execute(&mut *connection)
            .await
            .map_err(&failed)?;
        let rows = sqlx::query(LEASE)
            .bind(number)
            .bind(owner)
            .bind(later(now, lasts).as_micros())
            .bind(i64::from(limit))
            .fetch_all(connection)
            .await
            .map_err(&failed)?;
        let leased: Result<Vec<_>, _> = rows.iter().map(leased).collect();
        let mut leased = leased.map_err(&failed)?;
        leased.sort_unstable_by_key(|item| item.position);
        drop(write.commit().await.map_err(&failed)?);
        Ok(leased)
    }

    /// Makes the leases of a worker last so long from now, as far as they have not run out. Returns how
    /// many it holds.
    pub async fn renew_grading_leases(
        &self,
        run_id: &str,
        owner: &str,
        lasts: Duration,
    ) -> Result<u64, DbError> {
        let failed = self.db.failed("renew leases of a grading run");
        let now = self.clock.now();
        let mut write = self.db.begin().await?;
        let done = sqlx::query(
            "UPDATE grading_items SET lease_until = $1
             WHERE run = (SELECT number FROM grading_runs WHERE id = $2)
               AND status = 'leased' AND lease_owner = $3 AND lease_until > $4",
        )
        .bind(later(now, lasts).as_micros())
        .bind(run_id)
        .bind(owner)
        .bind(now.as_micros())
        .execute(write.connection())
        .await
        .map_err(&failed)?;
        drop(write.commit().await.map_err(&failed)?);
        Ok(done.rows_affected())
    }

    /// Writes down what a worker did with items, as far as it still holds them, and what they cost (G1).
    /// Returns where the run is by now; none: it was deleted.
    pub async fn finish_grading_items(
        &self,
        run_id: &str,
        owner: &str,
        finished: &[FinishedItem],
    ) -> Result<Option<Finished>, DbError> {
        let failed = self.db.failed("write down what was graded");
        let now = self.clock.now();
        // Of an item that is named twice, the first word counts.
        let mut ends = BTreeMap::new();
        for item in finished {
            ends.entry(item.position).or_insert(*item);
        }
        let ends: Vec<FinishedItem> = ends.into_values().collect();
        let mut write = self.db.begin().await?;
        let connection = write.connection();
        let number: Option<i64> =
            sqlx::query_scalar("SELECT number FROM grading_runs WHERE id = $1")
                .bind(run_id)
                .fetch_optional(&mut *connection)
                .await
                .map_err(&failed)?;
        let Some(number) = number else {
            return Ok(None);
        };
        let mut change = Change::default();
        for chunk in ends.chunks(ROWS_PER_STATEMENT_MAX) {
            end(connection, (number, owner, now), chunk, &mut change)
                .await
                .map_err(&failed)?;
        }
        let run = book(connection, run_id, &change, now)
            .await
            .map_err(&failed)?;
        drop(write.commit().await.map_err(&failed)?);
        Ok(Some(run))
    }

    /// Gives back what a worker holds of a run. Returns how much that was.
    pub async fn release_grading_items(&self, run_id: &str, owner: &str) -> Result<u64, DbError> {
        self.release(run_id, Some(owner)).await
    }

    /// Gives back what anybody holds of a run, for a start: those who held it are gone. Returns how much
    /// that was.
    pub async fn release_all_grading_items(&self, run_id: &str) -> Result<u64, DbError> {
        self.release(run_id, None).await
    }

    async fn release(&self, run_id: &str, owner: Option<&str>) -> Result<u64, DbError> {
        let failed = self.db.failed("give back items of a grading run");
        let mut write = self.db.begin().await?;
        let done = sqlx::query(RELEASE)
            .bind(run_id)
            .bind(owner)
            .execute(write.connection())
            .await
            .map_err(&failed)?;
        drop(write.commit().await.map_err(&failed)?);
        Ok(done.rows_affected())
    }

    /// Queues the items without a verdict again, each for its next attempt, and with them a run that is
    /// over and not canceled. Returns how many; a run that is canceled or being selected has none.
    pub async fn retry_grading_items(&self, who: &str, run_id: &str) -> Result<u64, DbError> {
        let failed = self.db.failed("try items of a grading run again");
        let mut write = self.db.begin().await?;
        let done = sqlx::query(RETRY)
            .bind(run_id)
            .execute(write.connection())
            .await
            .map_err(&failed)?
            .rows_affected();
        if done == 0 {
            return Ok(0);
        }
        sqlx::query(
            "UPDATE grading_runs SET done = done - $1, unscored = unscored - $1,
               reason = CASE WHEN status IN ('completed', 'failed') THEN NULL ELSE reason END,
               ended_at = NULL,
               status = CASE WHEN status IN ('completed', 'failed') THEN 'queued' ELSE status END
             WHERE id = $2",
        )
        .bind(done.cast_signed())
        .bind(run_id)
        .execute(write.connection())
        .await
        .map_err(&failed)?;
        let what = format!("had {done} items of {run_id} tried again");
        self.finish(write, who, &what).await?;
        Ok(done)
    }

    /// Returns the graded items, by run and trace, that hold a trace against one of these.
    pub async fn graded_against(
        &self,
        project: &ProjectId,
        traces: &[TraceId],
    ) -> Result<Vec<(String, TraceId)>, DbError> {
        let failed = self.db.failed("look up comparisons with traces");
        let traces: Vec<&TraceId> = traces.iter().collect();
        let mut found = Vec::new();
        for chunk in traces.chunks(ROWS_PER_STATEMENT_MAX) {
            let mut statement = deleted::of_column(AGAINST, project, ("counterpart", chunk));
            statement.push(" AND grading_items.status IN ('scored', 'unscored')");
            let rows = statement.build().persistent(false);
            let rows = rows.fetch_all(self.db.readers()).await.map_err(&failed)?;
            for row in &rows {
                let id = column(row, "run_id").map_err(&failed)?;
                found.push((id, parsed(row, "trace_id").map_err(&failed)?));
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

/// What ran out by a moment waits again.
pub(super) const EXPIRE: &str =
    "UPDATE grading_items SET status = 'queued', lease_owner = NULL, lease_until = NULL
     WHERE run = $1 AND status = 'leased' AND lease_until <= $2";

/// A worker takes the first that wait.
pub(super) const LEASE: &str =
    "UPDATE grading_items SET status = 'leased', lease_owner = $2, lease_until = $3
     WHERE run = $1 AND position IN (SELECT position FROM grading_items
       WHERE run = $1 AND status = 'queued' ORDER BY position LIMIT $4)
     RETURNING *";

/// What a worker holds waits again, or what anybody does.
pub(super) const RELEASE: &str =
    "UPDATE grading_items SET status = 'queued', lease_owner = NULL, lease_until = NULL
     WHERE run = (SELECT number FROM grading_runs WHERE id = $1)
       AND status = 'leased' AND lease_owner = COALESCE($2, lease_owner)";

/// What has no verdict waits for its next attempt.
pub(super) const RETRY: &str =
    "UPDATE grading_items SET status = 'queued', attempt = attempt + 1, attempt_spent = 0
     WHERE run = (SELECT number FROM grading_runs
         WHERE id = $1 AND status NOT IN ('canceled', 'selecting'))
       AND status = 'unscored'";

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

/// What a run's figures change by.
#[derive(Debug, Default)]
struct Change {
    taken: i64,
    done: i64,
    unscored: i64,
    spent: i64,
}

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

/// Returns the statement that writes the ends of items that a worker still holds. One whose trace was
/// deleted meanwhile stays deleted, and has cost what it cost.
pub(super) fn ending(
    (number, owner, now): (i64, &str, Time),
    ends: &[FinishedItem],
) -> QueryBuilder<Engine> {
    let mut statement = QueryBuilder::<Engine>::new(
        "UPDATE grading_items SET lease_owner = NULL, lease_until = NULL,
           spent = spent + word.column3, attempt_spent = attempt_spent + word.column3,
           status = CASE WHEN status = 'leased' THEN word.column2 ELSE status END FROM (",
    );
    statement.push_values(ends, |mut values, item| {
        values
            .push_bind(item.position)
            .push_bind(item.end.becomes().as_str())
            .push_bind(item.spent.0);
    });
    statement.push(") AS word WHERE run = ").push_bind(number);
    statement.push(" AND position = word.column1 AND lease_owner = ");
    statement.push_bind(owner.to_owned());
    statement.push(" AND lease_until > ");
    statement.push_bind(now.as_micros());
    statement.push(" RETURNING position, status");
    statement
}

/// Writes the ends of items, which are in the order of their places, and enters them in a change.
async fn end(
    connection: &mut Connection,
    holder: (i64, &str, Time),
    ends: &[FinishedItem],
    change: &mut Change,
) -> Result<(), sqlx::Error> {
    let mut statement = ending(holder, ends);
    let taken = statement.build().persistent(false).fetch_all(connection);
    for row in taken.await? {
        let position: i64 = column(&row, "position")?;
        let at = ends.partition_point(|item| item.position < position);
        change.taken += 1;
        change.spent = change.spent.saturating_add(ends[at].spent.0);
        match parsed(&row, "status")? {
            GradingItemStatus::Scored => change.done += 1,
            GradingItemStatus::Unscored => {
                change.done += 1;
                change.unscored += 1;
            }
            GradingItemStatus::Queued | GradingItemStatus::Leased | GradingItemStatus::Deleted => {}
        }
    }
    Ok(())
}

/// Enters a change in the figures of a run, and returns where it is.
async fn book(
    connection: &mut Connection,
    run_id: &str,
    change: &Change,
    now: Time,
) -> Result<Finished, sqlx::Error> {
    if change.spent != 0 {
        sqlx::query(
            "INSERT INTO grading_spent (run_id, day, spent) VALUES ($1, $2, $3)
             ON CONFLICT (run_id, day) DO UPDATE SET spent = grading_spent.spent + excluded.spent",
        )
        .bind(run_id)
        .bind(i64::from(now.day()))
        .bind(change.spent)
        .execute(&mut *connection)
        .await?;
    }
    let row = sqlx::query(
        "UPDATE grading_runs SET done = done + $1, unscored = unscored + $2, spent = spent + $3
         WHERE id = $4 RETURNING status, items - done - deleted AS waiting, spent, cap",
    )
    .bind(change.done)
    .bind(change.unscored)
    .bind(change.spent)
    .bind(run_id)
    .fetch_one(connection)
    .await?;
    Ok(Finished {
        taken: change.taken.cast_unsigned(),
        status: parsed(&row, "status")?,
        waiting: column(&row, "waiting")?,
        spent: NanoUsd(column(&row, "spent")?),
        cap: column::<Option<i64>>(&row, "cap")?.map(NanoUsd),
    })
}

/// Takes traces that were deleted out of the runs of a project (D6): their items stay as a number, since
/// they were drawn. Whoever holds one keeps its lease, and what it costs is booked. A comparison goes with
/// either of its traces.
pub(super) async fn forget_traces(
    connection: &mut Connection,
    project: &ProjectId,
    traces: &[&TraceId],
) -> Result<(), sqlx::Error> {
    for column in ["trace_id", "counterpart"] {
        forget_by(connection, project, (column, traces)).await?;
    }
    Ok(())
}

async fn forget_by(
    connection: &mut Connection,
    project: &ProjectId,
    traces: (&'static str, &[&TraceId]),
) -> Result<(), sqlx::Error> {
    let mut counting = deleted::of_column(COUNT_TRACES, project, traces);
    counting.push(" GROUP BY run");
    let counts = counting.build().persistent(false);
    let counts = counts.fetch_all(&mut *connection).await?;
    if counts.is_empty() {
        return Ok(());
    }
    let mut blanking = deleted::of_column(BLANK_TRACES, project, traces);
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

impl ItemEnd {
    /// Returns where an item is after this.
    const fn becomes(self) -> GradingItemStatus {
        match self {
            ItemEnd::Scored => GradingItemStatus::Scored,
            ItemEnd::Unscored => GradingItemStatus::Unscored,
            ItemEnd::GivenBack => GradingItemStatus::Queued,
        }
    }
}

fn later(now: Time, lasts: Duration) -> Time {
    let micros = i64::try_from(lasts.as_micros()).unwrap_or(i64::MAX);
    Time::from_micros(now.as_micros().saturating_add(micros))
}

fn leased(row: &Row) -> Result<GradingItem, sqlx::Error> {
    Ok(GradingItem {
        position: column(row, "position")?,
        trace_id: parsed(row, "trace_id")?,
        group_id: maybe_parsed(row, "group_id")?,
        stratum: column(row, "stratum")?,
        weight: column(row, "weight")?,
        trace_started_at: time(row, "trace_started_at")?,
        attempt: column(row, "attempt")?,
        spent: NanoUsd(column(row, "attempt_spent")?),
        counterpart: maybe_parsed(row, "counterpart")?,
        reference: column(row, "reference")?,
    })
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
