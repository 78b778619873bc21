//! What becomes of grades that compare a trace with one that is being deleted?
//!
//! A judge that compared two traces quotes both, and the grade hangs on one of them only. When the other one
//! goes, whoever deletes it, the words go too (D6): a grade of the same key takes their place, which says
//! why it is empty. Which traces were compared stands in the items of runs, and a deletion takes it out of
//! those: so it is looked up before. What is graded from then on is refused, as any grade of a deleted trace
//! is.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use model::{Grade, JudgeUse, Outcome, ProjectId, TraceId, Verdict};

use crate::delete::DeleteError;
use crate::engine::{Engine, StoreError};
use crate::grades::GradeFilter;
use crate::snapshot::{ReadError, Snapshot};

/// Grades that are written at once.
const GRADES_PER_WRITE: usize = 256;

/// What takes the place of a judge's words.
const WHY: &str = "the trace that this one was compared with was deleted";

/// By run, the traces that were compared with some others.
pub(crate) type Compared = BTreeMap<String, Vec<TraceId>>;

impl Engine {
    /// Returns which traces were compared with these, or will be.
    pub(crate) async fn compared_with(
        &self,
        project: &ProjectId,
        traces: &[TraceId],
    ) -> Result<Compared, DeleteError> {
        let held = self.meta.held_against(project, traces).await;
        let mut compared = Compared::new();
        for (run_id, trace_id) in held.map_err(StoreError::from)? {
            compared.entry(run_id).or_default().push(trace_id);
        }
        Ok(compared)
    }

    /// Takes the words out of the grades that compare these traces with others.
    pub(crate) async fn empty_comparisons(
        self: &Arc<Self>,
        project: &ProjectId,
        compared: &Compared,
    ) -> Result<(), DeleteError> {
        for (run_id, traces) in compared {
            let snapshot = Snapshot::take(self, project);
            let (run_id, traces) = (run_id.clone(), traces.clone());
            let emptied = self
                .on_worker(move || Ok(emptied(&snapshot, run_id, traces)?))
                .await?;
            for some in emptied.chunks(GRADES_PER_WRITE) {
                self.append_grades(project, some.to_vec()).await?;
            }
        }
        Ok(())
    }
}

/// Returns what takes the place of the comparisons that a run has of these traces.
fn emptied(
    snapshot: &Snapshot,
    run_id: String,
    traces: Vec<TraceId>,
) -> Result<Vec<Grade>, ReadError> {
    let filter = GradeFilter {
        run_id: Some(run_id),
        trace_ids: Some(traces.into_iter().collect()),
        with_texts: true,
        ..GradeFilter::default()
    };
    let mut emptied = Vec::new();
    snapshot.for_each_grade(&filter, &mut |grade| {
        if is_comparison(&grade) {
            emptied.push(without_words(grade));
        }
        ControlFlow::Continue(())
    })?;
    Ok(emptied)
}

fn is_comparison(grade: &Grade) -> bool {
    let judge = grade.verdict.judge.as_ref();
    judge.and_then(JudgeUse::counterpart).is_some()
}

/// Returns what takes a grade's place: what it cost, and no word of what was compared.
fn without_words(grade: Grade) -> Grade {
    let judge = grade.verdict.judge.map(|judge| JudgeUse {
        params: None,
        prompt_hash: None,
        ..judge
    });
    Grade {
        verdict: Verdict {
            reasoning: Some(WHY.to_owned()),
            judge,
            ..Verdict::new(Outcome::NotApplicable)
        },
        ..grade
    }
}
