//! Which grades are not in Parquet yet?
//!
//! Grades come some hundred at a time, a run may write ten million, and none of it concerns the traces
//! they hang on. So they stand apart from them: batch by batch, as they were logged, each batch as it is
//! for good. A reader takes the list of batches, which is short, and finds out by itself which of several
//! grades of one key is the newest.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use model::{ProjectId, Time, TraceId};

use crate::lake::GradeRow;

/// Grades that were logged together.
#[derive(Debug)]
pub(crate) struct GradeBatch {
    pub(crate) project: ProjectId,
    pub(crate) seq: i64,
    pub(crate) received_at: Time,
    /// Each key once.
    pub(crate) rows: Vec<GradeRow>,
    /// What the rows are about: their traces, those that these were compared with, and, by its part of
    /// their ids, their run.
    traces: HashSet<TraceId>,
}

impl GradeBatch {
    /// Returns the batch of rows that were logged as `seq`.
    pub(crate) fn new(
        project: ProjectId,
        seq: i64,
        received_at: Time,
        mut rows: Vec<GradeRow>,
    ) -> Self {
        rows.iter_mut().for_each(|row| row.seq = seq);
        let mut traces: HashSet<_> = rows.iter().map(|row| row.trace_id.clone()).collect();
        traces.extend(rows.iter().filter_map(GradeRow::run));
        traces.extend(rows.iter().filter_map(GradeRow::counterpart));
        Self {
            project,
            seq,
            received_at,
            rows,
            traces,
        }
    }

    /// Returns whether a grade of it is about the trace.
    pub(crate) fn is_about(&self, trace_id: &TraceId) -> bool {
        self.traces.contains(trace_id)
    }

    /// Returns what the rows are about.
    pub(crate) fn traces(&self) -> impl Iterator<Item = &TraceId> {
        self.traces.iter()
    }

    /// Returns the batch without some of its rows.
    pub(crate) fn retaining(&self, is_kept: impl Fn(&GradeRow) -> bool) -> Self {
        let rows = self.rows.iter().filter(|row| is_kept(row)).cloned();
        Self::new(
            self.project.clone(),
            self.seq,
            self.received_at,
            rows.collect(),
        )
    }

    fn is_about_any(&self, traces: &HashSet<&TraceId>) -> bool {
        match traces.len() < self.traces.len() {
            true => traces.iter().any(|id| self.traces.contains(*id)),
            false => self.traces.iter().any(|id| traces.contains(id)),
        }
    }
}

/// Returns the newest row of each key that is taken in these batches, which are in the order of the log. What
/// takes a row goes by its key: it takes all rows of a key, or none.
pub(crate) fn newest<'a>(
    batches: impl DoubleEndedIterator<Item = &'a Arc<GradeBatch>>,
    takes: impl Fn(&GradeRow) -> bool,
) -> Vec<&'a GradeRow> {
    let rows = batches.rev().flat_map(|batch| &batch.rows);
    let mut seen = HashSet::new();
    rows.filter(|row| takes(row) && seen.insert(&row.id))
        .collect()
}

/// The grades of all projects that are not in Parquet.
#[derive(Debug, Default)]
pub(super) struct LiveGrades {
    /// In the order of the log.
    projects: HashMap<ProjectId, Vec<Arc<GradeBatch>>>,
}

impl LiveGrades {
    pub(super) fn push(&mut self, batch: GradeBatch) {
        if !batch.rows.is_empty() {
            let batches = self.projects.entry(batch.project.clone()).or_default();
            batches.push(Arc::new(batch));
        }
    }

    pub(super) fn of(&self, project: &ProjectId) -> &[Arc<GradeBatch>] {
        self.projects.get(project).map_or(&[], Vec::as_slice)
    }

    /// Returns the batches that were logged from `lo` to `hi`, each project's in the order of the log.
    pub(super) fn range(&self, lo: i64, hi: i64) -> Vec<Arc<GradeBatch>> {
        let all = self.projects.values().flatten();
        all.filter(|batch| (lo..=hi).contains(&batch.seq))
            .cloned()
            .collect()
    }

    /// Drops every grade that is about one of these traces, or runs.
    pub(super) fn delete(&mut self, project: &ProjectId, traces: &[TraceId]) {
        let Some(batches) = self.projects.get_mut(project) else {
            return;
        };
        let traces: HashSet<&TraceId> = traces.iter().collect();
        for batch in batches.iter_mut() {
            if batch.is_about_any(&traces) {
                *batch =
                    Arc::new(batch.retaining(|row| !row.is_about_any(|id| traces.contains(id))));
            }
        }
        batches.retain(|batch| !batch.rows.is_empty());
    }

    /// Forgets what is in Parquet now.
    pub(super) fn release(&mut self, hi: i64) {
        self.projects.retain(|_, batches| {
            batches.retain(|batch| batch.seq > hi);
            !batches.is_empty()
        });
    }
}
