//! What judges answered, so that nobody pays twice for the same question.
//!
//! The key says everything that the answer hangs on; whoever asks makes it. An answer quotes the trace
//! that it is about and goes with it.

use model::{ProjectId, Time, TraceId};

use super::Meta;
use crate::sqlite::DbError;

impl Meta {
    /// Returns what was answered to a question.
    pub async fn judge_answer(
        &self,
        project: &ProjectId,
        key: &str,
    ) -> Result<Option<String>, DbError> {
        unimplemented!()
    }

    /// Keeps the answer to a question, with the trace that it is about. One that is there stays; one about
    /// a trace that was deleted is not kept.
    pub async fn keep_judge_answer(
        &self,
        project: &ProjectId,
        key: &str,
        trace_id: Option<&TraceId>,
        answer: &str,
    ) -> Result<(), DbError> {
        unimplemented!()
    }

    /// Forgets answers from before a moment. Returns how many.
    pub async fn forget_judge_answers(&self, before: Time) -> Result<u64, DbError> {
        unimplemented!()
    }
}
