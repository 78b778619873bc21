//! Who holds which items of a grading run, and how are they ended?
//!
//! A lease ends by itself, so a worker that died holds nothing up; and what a worker brings back is taken
//! only while its lease lasts, so two of them leave one end for an item (G1). What a judge was paid for an
//! item is added by the same transaction that takes the item, whatever became of the run meanwhile: money
//! that is gone is shown, and work that was paid for is kept.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{GroupId, NanoUsd, Time, TraceId};
use sqlx::QueryBuilder;

use super::grading_item::GradingItemStatus;
use super::{GradingStatus, Meta};
use crate::sqlite::{
    Connection, DbError, Engine, ROWS_PER_STATEMENT_MAX, Row, column, maybe_parsed, parsed, time,
};

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

impl Meta {
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

/// What a run's figures change by.
#[derive(Debug, Default)]
struct Change {
    taken: i64,
    done: i64,
    unscored: i64,
    spent: i64,
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
