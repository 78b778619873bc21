//! What judges answered, so that nobody pays twice for the same question.
//!
//! The key says everything that the answer hangs on; whoever asks makes it. An answer quotes the trace
//! that it is about and goes with it.

use model::{ProjectId, Time, TraceId};

use super::{Meta, deleted};
use crate::sqlite::{Connection, DbError};

impl Meta {
    /// Returns what was answered to a question.
    pub async fn judge_answer(
        &self,
        project: &ProjectId,
        key: &str,
    ) -> Result<Option<String>, DbError> {
        sqlx::query_scalar(
            "SELECT answer FROM judge_answers WHERE project_id = $1 AND question = $2",
        )
        .bind(project.as_str())
        .bind(key)
        .fetch_optional(self.db.readers())
        .await
        .map_err(self.db.failed("look up a judge's answer"))
    }

    /// Keeps the answer to a question, with the trace that it is about. One that is there stays; one about
    /// a trace that was deleted, or of a project that was, is not kept.
    pub async fn keep_judge_answer(
        &self,
        project: &ProjectId,
        key: &str,
        trace_id: Option<&TraceId>,
        answer: &str,
    ) -> Result<(), DbError> {
        let about = (trace_id, None);
        self.keep_judge_answer_about(project, key, about, answer)
            .await
    }

    /// As [`Meta::keep_judge_answer`], about a trace and the one that it was compared with: the answer goes
    /// with either.
    pub async fn keep_judge_answer_about(
        &self,
        project: &ProjectId,
        key: &str,
        (trace_id, counterpart): (Option<&TraceId>, Option<&TraceId>),
        answer: &str,
    ) -> Result<(), DbError> {
        let failed = self.db.failed("keep a judge's answer");
        let now = self.clock.now();
        let mut write = self.db.begin().await?;
        let connection = write.connection();
        let traces = trace_id.into_iter().chain(counterpart);
        let gone = deleted::of(connection, project, traces, now)
            .await
            .map_err(&failed)?;
        if !gone.is_empty() {
            return Ok(());
        }
        sqlx::query(
            "INSERT INTO judge_answers
               (project_id, question, trace_id, answer, created_at, counterpart)
             SELECT id, $1, $2, $3, $4, $6 FROM projects WHERE id = $5 AND deleted_at IS NULL
             ON CONFLICT (project_id, question) DO NOTHING",
        )
        .bind(key)
        .bind(trace_id.map(TraceId::as_str))
        .bind(answer)
        .bind(now.as_micros())
        .bind(project.as_str())
        .bind(counterpart.map(TraceId::as_str))
        .execute(connection)
        .await
        .map_err(&failed)?;
        drop(write.commit().await.map_err(&failed)?);
        Ok(())
    }

    /// Forgets answers from before a moment. Returns how many.
    pub async fn forget_judge_answers(&self, before: Time) -> Result<u64, DbError> {
        let failed = self.db.failed("forget judges' answers");
        let mut write = self.db.begin().await?;
        let done = sqlx::query("DELETE FROM judge_answers WHERE created_at < $1")
            .bind(before.as_micros())
            .execute(write.connection())
            .await
            .map_err(&failed)?;
        drop(write.commit().await.map_err(&failed)?);
        Ok(done.rows_affected())
    }
}

/// Drops answers that were kept for what is written now.
pub(super) async fn drop_answers(
    connection: &mut Connection,
    project: &str,
    questions: &[String],
) -> Result<(), sqlx::Error> {
    for question in questions {
        sqlx::query("DELETE FROM judge_answers WHERE project_id = $1 AND question = $2")
            .bind(project)
            .bind(question)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
