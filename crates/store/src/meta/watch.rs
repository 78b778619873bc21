//! Watches: grading of what comes in, by a run that never ends, and why each trace was graded or not.
//!
//! A trace that was not graded must not look like one that passed, so every decision is kept: of each
//! trace the latest, and of all of them a count a day that outlives both traces and decisions.

use std::collections::BTreeMap;

use model::{NanoUsd, ProjectId, Time, TraceId};

use super::paging::Listing;
use super::{GradingStatus, Meta, MetaError, NewGradingRun, Page, PageAsked, deleted, grading_run};
use crate::sqlite::{
    Connection, DbError, ROWS_PER_STATEMENT_MAX, Row, column, execute_rows, fresh_id, parsed, time,
};

/// A watch to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewWatch {
    /// What people call it.
    pub name: String,
    /// Which traces it looks at: a JSON object.
    pub filter: String,
    /// The share of those that is graded, from 0 to 1.
    pub sampling_rate: f64,
    /// The most that a day may cost.
    pub cap_per_day: Option<NanoUsd>,
    /// Where it begins to look, in the words of whoever looks.
    pub cursor: Option<String>,
}

/// A watch.
#[derive(Debug, Clone, PartialEq)]
pub struct Watch {
    /// Its id, `watch_…`.
    pub id: String,
    /// Whose it is.
    pub project: ProjectId,
    /// What people call it.
    pub name: String,
    /// The run that grades for it.
    pub run_id: String,
    /// Which traces it looks at: a JSON object.
    pub filter: String,
    /// The share of those that is graded, from 0 to 1.
    pub sampling_rate: f64,
    /// Whether it looks.
    pub is_on: bool,
    /// The most that a day may cost.
    pub cap_per_day: Option<NanoUsd>,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
    /// How far it has looked, in the words of whoever looks.
    pub cursor: Option<String>,
}

/// What is changed of a watch; what is not given stays.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WatchChange {
    /// What people call it.
    pub name: Option<String>,
    /// Which traces it looks at: a JSON object.
    pub filter: Option<String>,
    /// The share of those that is graded.
    pub sampling_rate: Option<f64>,
    /// Whether it looks. Its run is paused and queued again with it.
    pub is_on: Option<bool>,
    /// The most that a day may cost.
    pub cap_per_day: Option<Option<NanoUsd>>,
}

/// What a watch decided on a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The trace.
    pub trace_id: TraceId,
    /// When.
    pub at: Time,
    /// What, in a word: `graded`, `sampled_out`, `filtered_out`, `budget`, `no_content` and the like.
    pub decision: String,
    /// Why, in people's words.
    pub why: Option<String>,
}

/// Which decisions are listed: those that meet everything that is named.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DecisionFilter {
    /// That on this trace.
    pub trace_id: Option<TraceId>,
    /// Those of this word.
    pub decision: Option<String>,
}

impl Meta {
    /// Makes a watch with its run, which is queued at once. What `run` says of its project is the watch's.
    pub async fn create_watch(
        &self,
        who: &str,
        new: &NewWatch,
        run: &NewGradingRun,
    ) -> Result<Watch, MetaError> {
        let failed = self.db.failed("create a watch");
        let now = self.clock.now();
        let id = format!("watch_{}", fresh_id(now).simple());
        let run_id = format!("grun_{}", fresh_id(now).simple());
        let mut write = self.db.begin().await?;
        let connection = write.connection();
        self.enter_run(connection, &run_id, run, GradingStatus::Queued, Some(&id))
            .await?;
        sqlx::query(
            "INSERT INTO watches (id, project_id, name, run_id, filter, sampling_rate, is_on,
               cap_per_day, created_at, updated_at, place)
             VALUES ($1, $2, $3, $4, $5, $6, 1, $7, $8, $8, $9)",
        )
        .bind(&id)
        .bind(run.project.as_str())
        .bind(&new.name)
        .bind(&run_id)
        .bind(&new.filter)
        .bind(new.sampling_rate)
        .bind(new.cap_per_day.map(|nanos| nanos.0))
        .bind(now.as_micros())
        .bind(&new.cursor)
        .execute(connection)
        .await
        .map_err(&failed)?;
        let what = format!("created {id} {:?} with {run_id}", new.name);
        self.finish(write, who, &what).await?;
        self.watch(&run.project, &id).await
    }

    /// Returns a watch of a project.
    pub async fn watch(&self, project: &ProjectId, id: &str) -> Result<Watch, MetaError> {
        self.entry(("watch", "watches"), project, id, watch).await
    }

    /// Returns a page of a project's watches.
    pub async fn watches(
        &self,
        project: &ProjectId,
        asked: &PageAsked,
    ) -> Result<Page<Watch>, MetaError> {
        let listing = Listing {
            what: "watch",
            table: "watches",
            order_by: "created_at",
            owner: vec![("project_id =", project.to_string())],
            filter: Vec::new(),
        };
        self.page(&listing, asked, watch).await
    }

    /// Returns the watches that look, of projects that are not deleted, oldest first.
    pub async fn watches_on(&self) -> Result<Vec<Watch>, DbError> {
        let failed = self.db.failed("list the watches that look");
        let rows = sqlx::query("SELECT * FROM watches WHERE is_on = 1 ORDER BY created_at, id")
            .fetch_all(self.db.readers())
            .await
            .map_err(&failed)?;
        let watches: Result<_, _> = rows.iter().map(watch).collect();
        watches.map_err(&failed)
    }

    /// Changes a watch.
    pub async fn update_watch(
        &self,
        who: &str,
        project: &ProjectId,
        id: &str,
        change: &WatchChange,
    ) -> Result<Watch, MetaError> {
        let failed = self.db.failed("change a watch");
        let now = self.clock.now();
        let mut write = self.db.begin().await?;
        let connection = write.connection();
        let row = sqlx::query(
            "UPDATE watches SET name = COALESCE($1, name), filter = COALESCE($2, filter),
               sampling_rate = COALESCE($3, sampling_rate), is_on = COALESCE($4, is_on),
               cap_per_day = CASE WHEN $5 = 1 THEN $6 ELSE cap_per_day END, updated_at = $7
             WHERE id = $8 AND project_id = $9 RETURNING *",
        )
        .bind(&change.name)
        .bind(&change.filter)
        .bind(change.sampling_rate)
        .bind(change.is_on.map(i64::from))
        .bind(i64::from(change.cap_per_day.is_some()))
        .bind(change.cap_per_day.flatten().map(|nanos| nanos.0))
        .bind(now.as_micros())
        .bind(id)
        .bind(project.as_str())
        .fetch_optional(&mut *connection)
        .await
        .map_err(&failed)?;
        let row = row.ok_or_else(|| not_found(id))?;
        let changed = watch(&row).map_err(&failed)?;
        if let Some(is_on) = change.is_on {
            turn(connection, &changed.run_id, is_on, now)
                .await
                .map_err(&failed)?;
        }
        self.finish(write, who, &format!("updated {id}")).await?;
        Ok(changed)
    }

    /// Deletes a watch. Its run is canceled and stays, with its decisions and with what it has graded.
    pub async fn delete_watch(
        &self,
        who: &str,
        project: &ProjectId,
        id: &str,
    ) -> Result<(), MetaError> {
        let failed = self.db.failed("delete a watch");
        let mut write = self.db.begin().await?;
        let connection = write.connection();
        let run_id: Option<String> = sqlx::query_scalar(
            "DELETE FROM watches WHERE id = $1 AND project_id = $2 RETURNING run_id",
        )
        .bind(id)
        .bind(project.as_str())
        .fetch_optional(&mut *connection)
        .await
        .map_err(&failed)?;
        let run_id = run_id.ok_or_else(|| not_found(id))?;
        let to = (GradingStatus::Canceled, Some("its watch was deleted"));
        let now = self.clock.now();
        grading_run::set_status(connection, &run_id, &GradingStatus::ALL, to, now)
            .await
            .map_err(&failed)?;
        Ok(self.finish(write, who, &format!("deleted {id}")).await?)
    }

    /// Writes down what a watch decided, and how far it has looked by that. Of each trace the latest
    /// decision counts; of traces that were deleted and of a watch that is not there nothing is kept.
    pub async fn note_decisions(
        &self,
        watch_id: &str,
        decisions: &[Decision],
        cursor: Option<&str>,
    ) -> Result<(), DbError> {
        let failed = self.db.failed("note what a watch decided");
        let mut write = self.db.begin().await?;
        let connection = write.connection();
        let row = sqlx::query(
            "SELECT number, grading_runs.id AS id, grading_runs.project_id AS project_id
             FROM watches JOIN grading_runs ON grading_runs.id = run_id WHERE watches.id = $1",
        )
        .bind(watch_id)
        .fetch_optional(&mut *connection)
        .await
        .map_err(&failed)?;
        let Some(row) = row else {
            return Ok(());
        };
        let noted = note(connection, &row, decisions, self.clock.now());
        noted.await.map_err(&failed)?;
        sqlx::query("UPDATE watches SET place = COALESCE($1, place) WHERE id = $2")
            .bind(cursor)
            .bind(watch_id)
            .execute(connection)
            .await
            .map_err(&failed)?;
        drop(write.commit().await.map_err(&failed)?);
        Ok(())
    }

    /// Returns a page of what a watch of a project decided, in the order of time; a place is a trace's id.
    /// That of a watch that was deleted is there as long as its run is.
    pub async fn decisions(
        &self,
        project: &ProjectId,
        watch_id: &str,
        filter: &DecisionFilter,
        asked: &PageAsked,
    ) -> Result<Page<Decision>, MetaError> {
        let mut tests = Vec::new();
        if let Some(trace_id) = &filter.trace_id {
            tests.push(("trace_id =", trace_id.to_string()));
        }
        if let Some(decision) = &filter.decision {
            tests.push(("decision =", decision.clone()));
        }
        let listing = Listing {
            what: "decision on trace",
            table: DECISIONS,
            order_by: "decided_at",
            owner: vec![
                ("watch_id =", watch_id.to_owned()),
                ("project_id =", project.to_string()),
            ],
            filter: tests,
        };
        self.page(&listing, asked, decision).await
    }

    /// Returns how many traces a watch decided on since the day of a moment, by what it decided.
    pub async fn decision_counts(
        &self,
        watch_id: &str,
        since: Time,
    ) -> Result<BTreeMap<String, i64>, DbError> {
        let failed = self.db.failed("count what a watch decided");
        let rows = sqlx::query(
            "SELECT decision, CAST(SUM(traces) AS BIGINT) AS traces FROM watch_counts
             WHERE run_id = (SELECT id FROM grading_runs WHERE watch_id = $1) AND day >= $2
             GROUP BY decision HAVING SUM(traces) > 0",
        )
        .bind(watch_id)
        .bind(i64::from(since.day()))
        .fetch_all(self.db.readers())
        .await
        .map_err(&failed)?;
        let one = |row: &Row| Ok((column(row, "decision")?, column(row, "traces")?));
        rows.iter()
            .map(one)
            .collect::<Result<_, _>>()
            .map_err(&failed)
    }

    /// Forgets decisions from before a moment; their counts stay. Returns how many.
    pub async fn forget_decisions(&self, before: Time) -> Result<u64, DbError> {
        let failed = self.db.failed("forget what watches decided");
        let mut write = self.db.begin().await?;
        let done = sqlx::query(FORGET)
            .bind(before.as_micros())
            .execute(write.connection())
            .await
            .map_err(&failed)?;
        drop(write.commit().await.map_err(&failed)?);
        Ok(done.rows_affected())
    }
}

/// The decisions with the watch and the project that they belong to.
pub(super) const DECISIONS: &str = "(SELECT trace_id AS id, trace_id, decided_at, decision, why,
    watch_id, project_id FROM watch_decisions JOIN grading_runs ON number = run) AS decisions";

/// Of each run by itself, so that the index on time is of use.
pub(super) const FORGET: &str = "DELETE FROM watch_decisions WHERE decided_at < $1
    AND run IN (SELECT number FROM grading_runs WHERE watch_id IS NOT NULL)";

/// Pauses a watch's run, or queues it again.
async fn turn(
    connection: &mut Connection,
    run_id: &str,
    is_on: bool,
    now: Time,
) -> Result<bool, sqlx::Error> {
    use GradingStatus::{Failed, InProgress, Paused, Queued};
    let (from, to) = match is_on {
        true => ([Paused, Failed], (Queued, None)),
        false => ([Queued, InProgress], (Paused, Some("its watch is off"))),
    };
    grading_run::set_status(connection, run_id, &from, to, now).await
}

/// Writes down decisions for the run in `row`, and counts them.
async fn note(
    connection: &mut Connection,
    row: &Row,
    decisions: &[Decision],
    now: Time,
) -> Result<(), sqlx::Error> {
    let (run, run_id): (i64, &str) = (column(row, "number")?, column(row, "id")?);
    let project = parsed(row, "project_id")?;
    let traces = decisions.iter().map(|one| &one.trace_id);
    let gone = deleted::of(connection, &project, traces, now).await?;
    let latest: BTreeMap<&TraceId, &Decision> = decisions
        .iter()
        .filter(|one| !gone.contains(&one.trace_id))
        .map(|one| (&one.trace_id, one))
        .collect();
    let latest: Vec<&Decision> = latest.into_values().collect();
    let mut counts: BTreeMap<(i32, String), i64> = BTreeMap::new();
    for one in replaced(connection, run, &project, &latest).await? {
        *counts.entry((one.at.day(), one.decision)).or_default() -= 1;
    }
    for one in &latest {
        let of_day = (one.at.day(), one.decision.clone());
        *counts.entry(of_day).or_default() += 1;
    }
    let insert = (
        "INSERT INTO watch_decisions (run, trace_id, decided_at, decision, why) ",
        " ON CONFLICT (trace_id, run) DO UPDATE SET decided_at = excluded.decided_at,
           decision = excluded.decision, why = excluded.why",
    );
    execute_rows(connection, insert, &latest, |values, one| {
        values
            .push_bind(run)
            .push_bind(one.trace_id.to_string())
            .push_bind(one.at.as_micros())
            .push_bind(one.decision.clone())
            .push_bind(one.why.clone());
    })
    .await?;
    let insert = (
        "INSERT INTO watch_counts (run_id, day, decision, traces) ",
        " ON CONFLICT (run_id, day, decision) DO UPDATE SET
           traces = watch_counts.traces + excluded.traces",
    );
    let counts: Vec<_> = counts
        .into_iter()
        .filter(|(_, count)| *count != 0)
        .collect();
    execute_rows(
        connection,
        insert,
        &counts,
        |values, ((day, decision), count)| {
            values
                .push_bind(run_id.to_owned())
                .push_bind(i64::from(*day))
                .push_bind(decision.clone())
                .push_bind(*count);
        },
    )
    .await?;
    Ok(())
}

/// Returns what is written down of the traces of these decisions.
async fn replaced(
    connection: &mut Connection,
    run: i64,
    project: &ProjectId,
    decisions: &[&Decision],
) -> Result<Vec<Decision>, sqlx::Error> {
    let traces: Vec<&TraceId> = decisions.iter().map(|one| &one.trace_id).collect();
    let mut earlier = Vec::new();
    for chunk in traces.chunks(ROWS_PER_STATEMENT_MAX) {
        let head = "SELECT * FROM watch_decisions WHERE run IN
            (SELECT number FROM grading_runs WHERE project_id = ";
        let mut statement = deleted::of_traces(head, project, chunk);
        statement.push(" AND run = ").push_bind(run);
        let rows = statement.build().persistent(false);
        for row in rows.fetch_all(&mut *connection).await? {
            earlier.push(decision(&row)?);
        }
    }
    Ok(earlier)
}

fn not_found(id: &str) -> MetaError {
    MetaError::NotFound {
        what: "watch",
        id: id.to_owned(),
    }
}

fn watch(row: &Row) -> Result<Watch, sqlx::Error> {
    Ok(Watch {
        id: column(row, "id")?,
        project: parsed(row, "project_id")?,
        name: column(row, "name")?,
        run_id: column(row, "run_id")?,
        filter: column(row, "filter")?,
        sampling_rate: column(row, "sampling_rate")?,
        is_on: column::<i64>(row, "is_on")? != 0,
        cap_per_day: column::<Option<i64>>(row, "cap_per_day")?.map(NanoUsd),
        created_at: time(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
        cursor: column(row, "place")?,
    })
}

fn decision(row: &Row) -> Result<Decision, sqlx::Error> {
    Ok(Decision {
        trace_id: parsed(row, "trace_id")?,
        at: time(row, "decided_at")?,
        decision: column(row, "decision")?,
        why: column(row, "why")?,
    })
}
