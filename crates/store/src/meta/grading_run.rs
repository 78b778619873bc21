//! Grading runs: what is graded by what, how far it has come, and what it has cost.
//!
//! A run holds its own figures, so that a list of runs counts no items: they are changed by the very
//! transaction that changes an item. Always: items = waiting + done + deleted, and what was spent is the
//! sum over the items.
//!
//! Items name their run by its number. A deleted run's are left over and swept behind it, some thousand
//! at a time: nobody else could write for as long as a million rows take.

use model::{NanoUsd, ProjectId, Time};
use sqlx::QueryBuilder;

use super::paging::Listing;
use super::{GradingStatus, Meta, MetaError, Page, PageAsked, grader, project};
use crate::sqlite::{Connection, DbError, Engine, Row, column, fresh_id, maybe_time, parsed, time};

/// Left over rows that are deleted in one transaction.
const SWEPT_AT_ONCE: i64 = 5_000;

/// Left over rows after which a sweep ends; the next one goes on.
const SWEPT_MAX: u64 = 200_000;

/// What is left of runs that are gone.
pub(super) const LEFT_OVER: [&str; 2] = [
    "DELETE FROM grading_items WHERE run = $1 AND position IN
       (SELECT position FROM grading_items WHERE run = $1 LIMIT $2)",
    "DELETE FROM watch_decisions WHERE run = $1 AND trace_id IN
       (SELECT trace_id FROM watch_decisions WHERE run = $1 LIMIT $2)",
];

/// A version of a grader that a run uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraderUse {
    /// The grader's id.
    pub id: String,
    /// Its version.
    pub version: u32,
    /// The hash of its definition. Where the version has another by now, the run is refused.
    pub hash: String,
}

/// A grading run to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGradingRun {
    /// Whose it is.
    pub project: ProjectId,
    /// What people call it.
    pub name: Option<String>,
    /// What was asked for: a JSON object.
    pub request: String,
    /// Its graders as they are now: a JSON list of `{id, name, version, hash, definition}`.
    pub graders: String,
    /// The same ones, to be marked as used.
    pub uses: Vec<GraderUse>,
    /// Pairs that people hang on it: a JSON object.
    pub metadata: String,
    /// The most it may cost.
    pub cap: Option<NanoUsd>,
    /// What its project says for grading, as it is now: a JSON object. None: it goes by what is said when a
    /// trace is graded.
    pub settings: Option<String>,
    /// Whether its items are in the order of a hash, so that the first n of them are a random sample.
    pub in_order_of_hash: bool,
}

/// A grading run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GradingRun {
    /// Its id, `grun_…`.
    pub id: String,
    /// Whose it is.
    pub project: ProjectId,
    /// What people call it.
    pub name: Option<String>,
    /// Where it is.
    pub status: GradingStatus,
    /// Why it is paused or has failed.
    pub reason: Option<String>,
    /// What was asked for: a JSON object.
    pub request: String,
    /// Its graders, frozen: a JSON list of `{id, name, version, hash, definition}`.
    pub graders: String,
    /// How its items were chosen, frozen when they were: a JSON object, empty before that.
    pub selection: String,
    /// Pairs that people hang on it: a JSON object.
    pub metadata: String,
    /// The most it may cost.
    pub cap: Option<NanoUsd>,
    /// What it has cost.
    pub spent: NanoUsd,
    /// What it was thought to cost.
    pub estimate: Option<NanoUsd>,
    /// How many items it has.
    pub items: i64,
    /// How many of them were graded, those without a verdict included.
    pub done: i64,
    /// How many of those have no verdict.
    pub unscored: i64,
    /// How many of its items are of traces that were deleted: they are neither done nor do they wait.
    pub deleted: i64,
    /// When it was made.
    pub created_at: Time,
    /// When a worker first took it up.
    pub started_at: Option<Time>,
    /// When it was over.
    pub ended_at: Option<Time>,
    /// The watch that it grades for.
    pub watch_id: Option<String>,
    /// What its project said for grading when it was made, if it goes by that: a JSON object.
    pub settings: Option<String>,
    /// Whether its items are in the order of a hash.
    pub in_order_of_hash: bool,
}

impl GradingRun {
    /// Returns how many items wait, those that are being graded included.
    pub fn waiting(&self) -> i64 {
        self.items - self.done - self.deleted
    }
}

/// Which runs are listed: those that meet everything that is named.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GradingRunFilter {
    /// Those in this state.
    pub status: Option<GradingStatus>,
    /// Those that used a version of this grader.
    pub grader_id: Option<String>,
    /// That of this watch.
    pub watch_id: Option<String>,
}

impl Meta {
    /// Makes a run that has no items yet ([`GradingStatus::Selecting`]), and marks its graders as used.
    /// Refused with [`MetaError::NotFound`] if one of them is not there any more as it was read.
    pub async fn create_grading_run(
        &self,
        who: &str,
        new: &NewGradingRun,
    ) -> Result<GradingRun, MetaError> {
        let id = format!("grun_{}", fresh_id(self.clock.now()).simple());
        let mut write = self.db.begin().await?;
        self.enter_run(write.connection(), &id, new, GradingStatus::Selecting, None)
            .await?;
        self.finish(write, who, &format!("created {id}")).await?;
        self.grading_run(&new.project, &id).await
    }

    /// Enters a run in the transaction of a connection.
    pub(super) async fn enter_run(
        &self,
        connection: &mut Connection,
        id: &str,
        new: &NewGradingRun,
        status: GradingStatus,
        watch_id: Option<&str>,
    ) -> Result<(), MetaError> {
        let failed = self.db.failed("create a grading run");
        if !project::is_live(connection, &new.project)
            .await
            .map_err(&failed)?
        {
            return Err(project::not_found(&new.project));
        }
        insert(connection, id, new, (status, watch_id), self.clock.now())
            .await
            .map_err(&failed)?;
        for used in &new.uses {
            let is_there = mark_used(connection, id, &new.project, used, self.clock.now());
            if !is_there.await.map_err(&failed)? {
                let version = format!("{} version {}", used.id, used.version);
                return Err(grader::not_found(&version));
            }
        }
        Ok(())
    }

    /// Says how a run's items were chosen, and queues it. Returns whether it was still being selected.
    pub async fn open_grading_run(
        &self,
        run_id: &str,
        selection: &str,
        estimate: Option<NanoUsd>,
    ) -> Result<bool, DbError> {
        let failed = self.db.failed("queue a grading run");
        let mut write = self.db.begin().await?;
        let done = sqlx::query(
            "UPDATE grading_runs SET status = 'queued', selection = $1, estimate = $2
             WHERE id = $3 AND status = 'selecting'",
        )
        .bind(selection)
        .bind(estimate.map(|nanos| nanos.0))
        .bind(run_id)
        .execute(write.connection())
        .await
        .map_err(&failed)?;
        drop(write.commit().await.map_err(&failed)?);
        Ok(done.rows_affected() == 1)
    }

    /// Brings a run from one of these states into another, with the reason for it. Returns whether it was
    /// in one of them from which that is allowed; a run is completed only if nothing of it waits and no
    /// watch feeds it. `who` asked for it; none: it came of itself, and is not audited.
    pub async fn set_grading_status(
        &self,
        who: Option<&str>,
        run_id: &str,
        from: &[GradingStatus],
        to: GradingStatus,
        reason: Option<&str>,
    ) -> Result<bool, DbError> {
        let failed = self.db.failed("change the status of a grading run");
        let now = self.clock.now();
        let mut write = self.db.begin().await?;
        let done = set_status(write.connection(), run_id, from, (to, reason), now)
            .await
            .map_err(&failed)?;
        match who {
            Some(who) if done => {
                let what = format!("brought {run_id} to {to}");
                self.finish(write, who, &what).await?;
            }
            _ => drop(write.commit().await.map_err(&failed)?),
        }
        Ok(done)
    }

    /// Ends a run that was to stop early, with what waits left undone, and says why. Returns whether it was
    /// in progress; one that a watch feeds never ends.
    pub async fn stop_grading_run(&self, run_id: &str, reason: &str) -> Result<bool, DbError> {
        let failed = self.db.failed("stop a grading run");
        let mut write = self.db.begin().await?;
        let done = sqlx::query(
            "UPDATE grading_runs SET status = 'completed', reason = $1, ended_at = $2
             WHERE id = $3 AND status = 'in_progress' AND watch_id IS NULL",
        )
        .bind(reason)
        .bind(self.clock.now().as_micros())
        .bind(run_id)
        .execute(write.connection())
        .await
        .map_err(&failed)?;
        drop(write.commit().await.map_err(&failed)?);
        Ok(done.rows_affected() == 1)
    }

    /// Sets the most that a run may cost, and returns it. What was paused for it stays paused.
    pub async fn set_grading_cap(
        &self,
        who: &str,
        project: &ProjectId,
        run_id: &str,
        cap: Option<NanoUsd>,
    ) -> Result<GradingRun, MetaError> {
        let mut write = self.db.begin().await?;
        let done =
            sqlx::query("UPDATE grading_runs SET cap = $1 WHERE id = $2 AND project_id = $3")
                .bind(cap.map(|nanos| nanos.0))
                .bind(run_id)
                .bind(project.as_str())
                .execute(write.connection())
                .await
                .map_err(self.db.failed("set the cap of a grading run"))?;
        if done.rows_affected() == 0 {
            return Err(not_found(run_id));
        }
        let what = match cap {
            Some(cap) => format!("capped {run_id} at {} dollars", cap.to_usd()),
            None => format!("took the cap off {run_id}"),
        };
        self.finish(write, who, &what).await?;
        self.grading_run(project, run_id).await
    }

    /// Returns a run of a project.
    pub async fn grading_run(
        &self,
        project: &ProjectId,
        run_id: &str,
    ) -> Result<GradingRun, MetaError> {
        self.entry(("run", "grading_runs"), project, run_id, run)
            .await
    }

    /// Returns a page of a project's runs.
    pub async fn grading_runs(
        &self,
        project: &ProjectId,
        filter: &GradingRunFilter,
        asked: &PageAsked,
    ) -> Result<Page<GradingRun>, MetaError> {
        let mut tests = Vec::new();
        if let Some(status) = filter.status {
            tests.push(("status =", status.to_string()));
        }
        if let Some(watch_id) = &filter.watch_id {
            tests.push(("watch_id =", watch_id.clone()));
        }
        let mut table = "grading_runs";
        if let Some(grader_id) = &filter.grader_id {
            table = "grading_runs JOIN grading_run_graders ON run_id = id";
            tests.push(("grader_id =", grader_id.clone()));
        }
        let listing = Listing {
            what: "run",
            table,
            order_by: "created_at",
            owner: vec![("project_id =", project.to_string())],
            filter: tests,
        };
        self.page(&listing, asked, run).await
    }

    /// Returns the runs that are being selected, queued or in progress, of projects that are not deleted,
    /// oldest first.
    pub async fn open_grading_runs(&self) -> Result<Vec<GradingRun>, DbError> {
        let failed = self.db.failed("list the grading runs that are not over");
        let rows = sqlx::query(
            "SELECT * FROM grading_runs WHERE status IN ('selecting', 'queued', 'in_progress')
             ORDER BY created_at, id",
        )
        .fetch_all(self.db.readers())
        .await
        .map_err(&failed)?;
        let runs: Result<_, _> = rows.iter().map(run).collect();
        runs.map_err(&failed)
    }

    /// Deletes a run with its items, and with the watch that it grades for. The items themselves are left
    /// over for [`Meta::sweep_grading`].
    pub async fn delete_grading_run(
        &self,
        who: &str,
        project: &ProjectId,
        run_id: &str,
    ) -> Result<(), MetaError> {
        let failed = self.db.failed("delete a grading run");
        let mut write = self.db.begin().await?;
        let done = delete_runs(write.connection(), project, Some(run_id))
            .await
            .map_err(&failed)?;
        match done {
            0 => Err(not_found(run_id)),
            _ => Ok(self
                .finish(write, who, &format!("deleted {run_id}"))
                .await?),
        }
    }

    /// Deletes what is left over of runs that are gone, so many rows that it does not take long. Returns how
    /// many that were: none, if nothing is left.
    pub async fn sweep_grading(&self) -> Result<u64, DbError> {
        let failed = self.db.failed("sweep what is left of grading runs");
        let mut swept = 0;
        while swept < SWEPT_MAX {
            let left: Option<i64> = sqlx::query_scalar("SELECT MIN(run) FROM grading_leftovers")
                .fetch_one(self.db.readers())
                .await
                .map_err(&failed)?;
            let Some(number) = left else {
                break;
            };
            let mut write = self.db.begin().await?;
            swept += sweep(write.connection(), number).await.map_err(&failed)?;
            drop(write.commit().await.map_err(&failed)?);
        }
        Ok(swept)
    }

    /// Returns what a run has cost on the day of a moment, in UTC.
    pub async fn grading_spent_on(&self, run_id: &str, day: Time) -> Result<NanoUsd, DbError> {
        let spent: Option<i64> =
            sqlx::query_scalar("SELECT spent FROM grading_spent WHERE run_id = $1 AND day = $2")
                .bind(run_id)
                .bind(i64::from(day.day()))
                .fetch_optional(self.db.readers())
                .await
                .map_err(self.db.failed("read what a day of grading has cost"))?;
        Ok(NanoUsd(spent.unwrap_or(0)))
    }
}

/// Returns a number that no run has, nor what is left of one.
pub(super) async fn fresh_number(connection: &mut Connection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT COALESCE(MAX(number), 0) + 1 FROM
           (SELECT MAX(number) AS number FROM grading_runs
            UNION ALL SELECT MAX(run) FROM grading_leftovers) AS numbers",
    )
    .fetch_one(connection)
    .await
}

async fn insert(
    connection: &mut Connection,
    id: &str,
    new: &NewGradingRun,
    (status, watch_id): (GradingStatus, Option<&str>),
    now: Time,
) -> Result<(), sqlx::Error> {
    let number = fresh_number(connection).await?;
    sqlx::query(
        "INSERT INTO grading_runs (id, number, project_id, name, status, request, graders,
           selection, metadata, cap, created_at, watch_id, in_order_of_hash, settings)
         VALUES ($1, $2, $3, $4, $5, $6, $7, '{}', $8, $9, $10, $11, $12, $13)",
    )
    .bind(id)
    .bind(number)
    .bind(new.project.as_str())
    .bind(&new.name)
    .bind(status.as_str())
    .bind(&new.request)
    .bind(&new.graders)
    .bind(&new.metadata)
    .bind(new.cap.map(|nanos| nanos.0))
    .bind(now.as_micros())
    .bind(watch_id)
    .bind(i64::from(new.in_order_of_hash))
    .bind(&new.settings)
    .execute(connection)
    .await?;
    Ok(())
}

/// Marks a version as used by a run. Returns whether it is there as it was read.
async fn mark_used(
    connection: &mut Connection,
    run_id: &str,
    project: &ProjectId,
    used: &GraderUse,
    now: Time,
) -> Result<bool, sqlx::Error> {
    let marked = sqlx::query(
        "UPDATE grader_versions SET used_at = COALESCE(used_at, $1)
         WHERE grader_id = (SELECT id FROM graders WHERE id = $2 AND project_id = $3)
           AND version = $4 AND hash = $5",
    )
    .bind(now.as_micros())
    .bind(&used.id)
    .bind(project.as_str())
    .bind(i64::from(used.version))
    .bind(&used.hash)
    .execute(&mut *connection)
    .await?;
    if marked.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query(
        "INSERT INTO grading_run_graders (grader_id, run_id) VALUES ($1, $2)
         ON CONFLICT (grader_id, run_id) DO NOTHING",
    )
    .bind(&used.id)
    .bind(run_id)
    .execute(connection)
    .await?;
    Ok(true)
}

/// Changes a run's status if it is in one of these states, and may. Returns whether it was.
pub(super) async fn set_status(
    connection: &mut Connection,
    run_id: &str,
    from: &[GradingStatus],
    (to, reason): (GradingStatus, Option<&str>),
    now: Time,
) -> Result<bool, sqlx::Error> {
    let from: Vec<_> = from.iter().filter(|one| one.may_become(to)).collect();
    if from.is_empty() {
        return Ok(false);
    }
    let now = now.as_micros();
    let mut statement = QueryBuilder::<Engine>::new("UPDATE grading_runs SET status = ");
    statement.push_bind(to.as_str());
    statement.push(", reason = ").push_bind(reason);
    let ended = to.is_final().then_some(now);
    statement.push(", ended_at = ").push_bind(ended);
    let started = (to == GradingStatus::InProgress).then_some(now);
    statement.push(", started_at = COALESCE(started_at, ");
    statement.push_bind(started).push(") WHERE id = ");
    statement.push_bind(run_id).push(" AND status IN (");
    let mut list = statement.separated(", ");
    for status in from {
        list.push_bind(status.as_str());
    }
    statement.push(")");
    if to == GradingStatus::Completed {
        statement.push(" AND items = done + deleted AND watch_id IS NULL");
    }
    let done = statement.build().execute(connection).await?;
    Ok(done.rows_affected() == 1)
}

/// Deletes a run of a project, or all of them; their items are left over. Returns how many they were.
pub(super) async fn delete_runs(
    connection: &mut Connection,
    project: &ProjectId,
    run_id: Option<&str>,
) -> Result<u64, sqlx::Error> {
    let mut affected = 0;
    for statement in [
        "INSERT INTO grading_leftovers (run) SELECT number FROM grading_runs
         WHERE project_id = $1 AND id = COALESCE($2, id)",
        "DELETE FROM grading_runs WHERE project_id = $1 AND id = COALESCE($2, id)",
    ] {
        let done = sqlx::query(statement)
            .bind(project.as_str())
            .bind(run_id)
            .execute(&mut *connection)
            .await?;
        affected = done.rows_affected();
    }
    Ok(affected)
}

/// Deletes some of what is left over of a run, and forgets the run when nothing is.
async fn sweep(connection: &mut Connection, number: i64) -> Result<u64, sqlx::Error> {
    let mut swept = 0;
    for statement in LEFT_OVER {
        let done = sqlx::query(statement)
            .bind(number)
            .bind(SWEPT_AT_ONCE)
            .execute(&mut *connection)
            .await?;
        swept += done.rows_affected();
    }
    if swept == 0 {
        sqlx::query("DELETE FROM grading_leftovers WHERE run = $1")
            .bind(number)
            .execute(connection)
            .await?;
    }
    Ok(swept)
}

fn not_found(id: &str) -> MetaError {
    MetaError::NotFound {
        what: "run",
        id: id.to_owned(),
    }
}

fn maybe_nanos(row: &Row, name: &str) -> Result<Option<NanoUsd>, sqlx::Error> {
    Ok(column::<Option<i64>>(row, name)?.map(NanoUsd))
}

fn run(row: &Row) -> Result<GradingRun, sqlx::Error> {
    Ok(GradingRun {
        id: column(row, "id")?,
        project: parsed(row, "project_id")?,
        name: column(row, "name")?,
        status: parsed(row, "status")?,
        reason: column(row, "reason")?,
        request: column(row, "request")?,
        graders: column(row, "graders")?,
        selection: column(row, "selection")?,
        metadata: column(row, "metadata")?,
        cap: maybe_nanos(row, "cap")?,
        spent: NanoUsd(column(row, "spent")?),
        estimate: maybe_nanos(row, "estimate")?,
        items: column(row, "items")?,
        done: column(row, "done")?,
        unscored: column(row, "unscored")?,
        deleted: column(row, "deleted")?,
        created_at: time(row, "created_at")?,
        started_at: maybe_time(row, "started_at")?,
        ended_at: maybe_time(row, "ended_at")?,
        watch_id: column(row, "watch_id")?,
        settings: column(row, "settings")?,
        in_order_of_hash: column::<i64>(row, "in_order_of_hash")? != 0,
    })
}
