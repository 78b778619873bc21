//! Which traces did people delete? The catalog knows too, but it can be lost, and a backup is older
//! than what was deleted since: a deletion must outlive both (D5).
//!
//! What is known here of a trace goes by the same transaction that writes its deletion down, and who
//! writes something about a trace asks in its own transaction whether the trace was deleted ([`of`]). So
//! what was on its way when a trace was deleted is not kept either (D6).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use model::{ProjectId, Time, TraceId};
use sqlx::QueryBuilder;

use super::{Meta, eval_item, grading_item};
use crate::sqlite::{
    Connection, DbError, Engine, ROWS_PER_STATEMENT_MAX, cut_closed, execute_rows, parsed, time,
};

/// So long an id of a deleted trace is refused; then it may be another trace's.
const REFUSED_MICROS: i64 = 86_400_000_000;

/// What is about traces of a project and goes with them: `… project …) AND trace_id IN (…)`.
pub(super) const ABOUT_TRACES: [&str; 3] = [
    "DELETE FROM annotations WHERE (project_id = ",
    "DELETE FROM judge_answers WHERE (project_id = ",
    "DELETE FROM watch_decisions
     WHERE run IN (SELECT number FROM grading_runs WHERE project_id = ",
];

/// What a judge said of a trace that another one was held against quotes it too.
const ABOUT_COMPARED: &str = "DELETE FROM judge_answers WHERE (project_id = ";

/// A trace that was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedTrace {
    /// The project.
    pub project_id: ProjectId,
    /// The trace.
    pub trace_id: TraceId,
    /// The deletion's sequence number: rows up to it are deleted.
    pub upto_seq: i64,
    /// When it was deleted.
    pub deleted_at: Time,
}

impl Meta {
    /// Writes down deleted traces, to be kept until a moment, and deletes what else is here of
    /// them. What is known of a trace is only ever extended, so writing it twice is writing it once.
    pub async fn keep_deleted(
        &self,
        traces: &[DeletedTrace],
        kept_until: Time,
    ) -> Result<(), DbError> {
        let newest: BTreeMap<_, &DeletedTrace> = traces
            .iter()
            .map(|one| ((&one.project_id, &one.trace_id), one))
            .collect();
        let rows: Vec<_> = newest.into_values().collect();
        if rows.is_empty() {
            return Ok(());
        }
        let failed = self.db.failed("write down deleted traces");
        let mut write = self.db.begin().await?;
        let insert = (
            "INSERT INTO deleted_traces (project_id, trace_id, upto_seq, deleted_at, kept_until) ",
            " ON CONFLICT (project_id, trace_id) DO UPDATE SET
              upto_seq = CASE WHEN excluded.upto_seq > deleted_traces.upto_seq
                THEN excluded.upto_seq ELSE deleted_traces.upto_seq END,
              deleted_at = CASE WHEN excluded.deleted_at > deleted_traces.deleted_at
                THEN excluded.deleted_at ELSE deleted_traces.deleted_at END,
              kept_until = CASE WHEN excluded.kept_until > deleted_traces.kept_until
                THEN excluded.kept_until ELSE deleted_traces.kept_until END",
        );
        execute_rows(write.connection(), insert, &rows, |values, one| {
            values
                .push_bind(one.project_id.as_str().to_owned())
                .push_bind(one.trace_id.as_str().to_owned())
                .push_bind(one.upto_seq)
                .push_bind(one.deleted_at.as_micros())
                .push_bind(kept_until.as_micros());
        })
        .await
        .map_err(&failed)?;
        for of_project in rows.chunk_by(|a, b| a.project_id == b.project_id) {
            let project = &of_project[0].project_id;
            let traces: Vec<&TraceId> = of_project.iter().map(|one| &one.trace_id).collect();
            delete_what_is_about(write.connection(), project, &traces)
                .await
                .map_err(&failed)?;
        }
        drop(write.commit().await.map_err(&failed)?);
        Ok(())
    }

    /// Returns the traces that were deleted at `since` or later, as far as they are kept.
    pub async fn deleted_traces(&self, since: Time) -> Result<Vec<DeletedTrace>, DbError> {
        let failed = self.db.failed("read the deleted traces");
        let rows = sqlx::query("SELECT * FROM deleted_traces WHERE deleted_at >= $1")
            .bind(since.as_micros())
            .fetch_all(self.db.readers())
            .await
            .map_err(&failed)?;
        let one = |row: &crate::sqlite::Row| {
            Ok(DeletedTrace {
                project_id: parsed(row, "project_id")?,
                trace_id: parsed(row, "trace_id")?,
                upto_seq: crate::sqlite::column(row, "upto_seq")?,
                deleted_at: time(row, "deleted_at")?,
            })
        };
        rows.iter()
            .map(one)
            .collect::<Result<_, _>>()
            .map_err(&failed)
    }

    /// Forgets deleted traces that were to be kept until `now` at most.
    pub async fn forget_deleted(&self, now: Time) -> Result<(), DbError> {
        let failed = self.db.failed("forget deleted traces");
        let mut write = self.db.begin().await?;
        sqlx::query("DELETE FROM deleted_traces WHERE kept_until <= $1")
            .bind(now.as_micros())
            .execute(write.connection())
            .await
            .map_err(&failed)?;
        drop(write.commit().await.map_err(&failed)?);
        Ok(())
    }
}

impl Meta {
    /// Takes what people said of these traces out of a copy of the database that nobody has open, and its
    /// bytes off the disk.
    pub(crate) async fn take_out_of_copy(
        copy: &Path,
        deleted: &[(ProjectId, TraceId)],
    ) -> Result<(), DbError> {
        let mut cuts = Vec::new();
        for of_project in deleted.chunk_by(|a, b| a.0 == b.0) {
            let traces: Vec<&TraceId> = of_project.iter().map(|(_, trace)| trace).collect();
            for chunk in traces.chunks(ROWS_PER_STATEMENT_MAX) {
                let head = "DELETE FROM annotations WHERE (project_id = ";
                cuts.push(of_traces(head, &of_project[0].0, chunk));
            }
        }
        cut_closed(copy, "annotations", cuts).await
    }
}

/// Returns those of these traces that were deleted so lately that nothing about them is taken.
pub(super) async fn of<'a>(
    connection: &mut Connection,
    project: &ProjectId,
    traces: impl IntoIterator<Item = &'a TraceId>,
    now: Time,
) -> Result<BTreeSet<TraceId>, sqlx::Error> {
    let traces: Vec<&TraceId> = traces.into_iter().collect();
    let since = now.plus_micros(-REFUSED_MICROS).as_micros();
    let mut deleted = BTreeSet::new();
    for chunk in traces.chunks(ROWS_PER_STATEMENT_MAX) {
        let head = "SELECT trace_id FROM deleted_traces WHERE (project_id = ";
        let mut statement = of_traces(head, project, chunk);
        statement.push(" AND deleted_at > ").push_bind(since);
        let rows = statement.build().persistent(false);
        for row in rows.fetch_all(&mut *connection).await? {
            deleted.insert(parsed(&row, "trace_id")?);
        }
    }
    Ok(deleted)
}

async fn delete_what_is_about(
    connection: &mut Connection,
    project: &ProjectId,
    traces: &[&TraceId],
) -> Result<(), sqlx::Error> {
    for chunk in traces.chunks(ROWS_PER_STATEMENT_MAX) {
        eval_item::delete_rows_of(connection, project, chunk).await?;
        grading_item::forget_traces(connection, project, chunk).await?;
        for head in ABOUT_TRACES {
            let mut statement = of_traces(head, project, chunk);
            statement
                .build()
                .persistent(false)
                .execute(&mut *connection)
                .await?;
        }
        let mut compared = of_column(ABOUT_COMPARED, project, ("counterpart", chunk));
        let compared = compared.build().persistent(false);
        compared.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Returns `head project) AND trace_id IN (…)`.
pub(super) fn of_traces(
    head: &'static str,
    project: &ProjectId,
    traces: &[&TraceId],
) -> QueryBuilder<Engine> {
    of_column(head, project, ("trace_id", traces))
}

/// Returns `head project) AND column IN (…)`.
pub(super) fn of_column(
    head: &'static str,
    project: &ProjectId,
    (column, traces): (&'static str, &[&TraceId]),
) -> QueryBuilder<Engine> {
    let mut statement = QueryBuilder::new(head);
    statement.push_bind(project.to_string());
    statement.push(") AND ").push(column).push(" IN (");
    let mut list = statement.separated(", ");
    for trace in traces {
        list.push_bind(trace.to_string());
    }
    statement.push(")");
    statement
}
