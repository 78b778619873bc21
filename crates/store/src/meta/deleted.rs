//! Which traces did people delete? The catalog knows too, but it can be lost, and a backup is older
//! than what was deleted since: a deletion must outlive both (D5).

use std::collections::BTreeMap;

use model::{ProjectId, Time, TraceId};

use super::{Meta, eval_item};
use crate::sqlite::{DbError, execute_rows, parsed, time};

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
    /// Writes down deleted traces, to be kept until a moment, and deletes what runs of evals hold of them. What is known of a trace is only ever
    /// extended, so writing it twice is writing it once.
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
        for one in rows {
            eval_item::delete_rows_of(write.connection(), &one.project_id, &one.trace_id)
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
