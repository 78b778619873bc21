//! How do grades get in, and how are they read?
//!
//! They go the way of all rows: log, memory, Parquet. Their traces are not looked up on the way in, for a
//! grade changes nothing of its trace; whether a grade replaces an earlier one is found out by the flush
//! and by readers, with the filters of the files.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hashbrown::HashMap;
use model::{Grade, IdError, ProjectId, Time, TraceId};
use tokio::sync::oneshot;

use crate::append::{Ack, AppendError};
use crate::catalog::{CatalogVersion, FileEntry};
use crate::delete::DeleteError;
use crate::engine::Engine;
use crate::gate::Refusal;
use crate::lake::{Columns, GradeRow, Table, TraceHash, TraceSet};
use crate::ledger::Share;
use crate::live::{GradeBatch, Live, TraceKey};
use crate::record::{EncodedRecord, GradesRecord};
use crate::snapshot::{ReadError, Snapshot};
use crate::store::Store;
use crate::writer::Job;

/// What a grade weighs in memory beside its bytes in the log, about: a dozen texts stand in blocks of their
/// own, each somewhat larger than its text.
const GRADE_OVERHEAD_BYTES: usize = size_of::<GradeRow>() + size_of::<Grade>() + 12 * 24;

/// Which grades are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GradeFilter {
    /// Of this run alone.
    pub run_id: Option<String>,
    /// Of these traces alone. However many, the files are gone through once.
    pub trace_ids: Option<BTreeSet<TraceId>>,
    /// Of this grader alone.
    pub grader_id: Option<String>,
    /// Whether the long texts are wanted too: reasoning and the parameters of the judge. Without them
    /// a scan reads a small part of the files, and they are empty.
    pub with_texts: bool,
    /// Whether the parameters of the judge are wanted, without the other texts: in them are the votes of
    /// panels.
    pub with_judgements: bool,
}

impl GradeFilter {
    /// Returns the filter that takes all grades of one trace, without their texts.
    pub fn of_trace(trace_id: TraceId) -> Self {
        Self {
            trace_ids: Some(BTreeSet::from([trace_id])),
            ..Self::default()
        }
    }

    fn takes(&self, row: &GradeRow) -> bool {
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == found)
        };
        is(&self.run_id, &row.grade.run_id)
            && is(&self.grader_id, &row.grade.grader_id)
            && self.is_of_trace(&row.grade)
    }

    fn is_of_trace(&self, grade: &Grade) -> bool {
        let is_wanted = |wanted: &BTreeSet<TraceId>| {
            let trace_id = grade.trace_id.as_ref();
            trace_id.is_some_and(|id| wanted.contains(id))
        };
        self.trace_ids.as_ref().is_none_or(is_wanted)
    }

    /// Returns whether a batch may hold grades that are wanted.
    fn may_be_in(&self, batch: &GradeBatch) -> bool {
        let has_one = |wanted: &BTreeSet<TraceId>| wanted.iter().any(|id| batch.is_about(id));
        self.trace_ids.as_ref().is_none_or(has_one)
    }

    fn shown(&self, grade: &Grade) -> Grade {
        let mut shown = grade.clone();
        if !self.with_texts {
            shown.verdict.reasoning = None;
        }
        if !self.with_texts
            && !self.with_judgements
            && let Some(judge) = &mut shown.verdict.judge
        {
            judge.params = None;
        }
        shown
    }

    /// Returns the columns that hold one text in every grade that is wanted, with that text.
    fn columns(&self) -> Vec<(&'static str, &str)> {
        let wanted = [
            ("run_id", self.run_id.as_deref()),
            ("grader_id", self.grader_id.as_deref()),
        ];
        let some = wanted.into_iter();
        some.filter_map(|(name, text)| Some((name, text?)))
            .collect()
    }
}

/// Grades on their way to the log.
#[derive(Debug)]
pub(crate) struct PreparedGrades {
    project: ProjectId,
    received_at: Time,
    rows: Vec<GradeRow>,
    pub(crate) encoded: EncodedRecord,
}

impl PreparedGrades {
    fn new(
        project: &ProjectId,
        received_at: Time,
        grades: Vec<Grade>,
    ) -> Result<Self, AppendError> {
        let rows = rows_of(project, grades).map_err(AppendError::Item)?;
        let grades = rows.iter().map(|row| &*row.grade);
        let encoded = EncodedRecord::grades(project, received_at, grades);
        Ok(Self {
            project: project.clone(),
            received_at,
            rows,
            encoded,
        })
    }

    /// Returns what the grades weigh, in the log and about so in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.encoded.bytes() + self.rows.len() * GRADE_OVERHEAD_BYTES
    }

    /// Returns what is to be published once they are logged as `seq`.
    pub(crate) fn into_batch(self, seq: i64) -> GradeBatch {
        GradeBatch::new(self.project, seq, self.received_at, self.rows)
    }
}

/// Returns the rows of grades, of one key the last.
fn rows_of(project: &ProjectId, grades: Vec<Grade>) -> Result<Vec<GradeRow>, IdError> {
    let mut places = HashMap::with_capacity(grades.len());
    let mut rows: Vec<GradeRow> = Vec::with_capacity(grades.len());
    for grade in grades {
        let row = GradeRow::new(project, grade)?;
        match places.insert(row.id.clone(), rows.len()) {
            Some(place) => {
                places.insert(row.id.clone(), place);
                rows[place] = row;
            }
            None => rows.push(row),
        }
    }
    Ok(rows)
}

impl Engine {
    pub(crate) async fn append_grades(
        &self,
        project: &ProjectId,
        grades: Vec<Grade>,
    ) -> Result<Ack, AppendError> {
        self.check_gate()?;
        let prepared = PreparedGrades::new(project, self.clock.now(), grades)?;
        let queued = self
            .ledger
            .reserve(Share::WalQueue, prepared.bytes())
            .map_err(|full| Refusal::memory(&full))?;
        let (done, answer) = oneshot::channel();
        let prepared = Box::new(prepared);
        self.submit(Job::Grades {
            prepared,
            queued,
            done,
        })
        .await?;
        let seq = answer
            .await
            .map_err(|_| AppendError::Stopped("the writer is gone".to_owned()))??;
        Ok(Ack { seq })
    }

    /// Does again what a record of grades says.
    pub(crate) fn replay_grades(
        &self,
        seq: i64,
        record: GradesRecord,
        bytes: usize,
    ) -> Result<(), IdError> {
        let rows = rows_of(&record.project, record.grades)?;
        let bytes = bytes + rows.len() * GRADE_OVERHEAD_BYTES;
        let batch = GradeBatch::new(record.project, seq, record.received_at, rows);
        let mut live = self.live.write();
        live.start_active(self.clock.now());
        let batch = self.undeleted_grades(&live, batch);
        live.publish_grades(batch, bytes);
        self.note_live_bytes(&live);
        Ok(())
    }

    /// Takes the grades of traces out that were deleted while the batch was on its way.
    pub(crate) fn undeleted_grades(&self, live: &Live, batch: GradeBatch) -> GradeBatch {
        let catalog = self.catalog.current();
        let (tombstones, now) = (catalog.tombstones(), self.clock.now());
        if tombstones.is_empty() && !live.has_deleted() {
            return batch;
        }
        let project = batch.project.clone();
        let is_gone = |trace_id: &TraceId| {
            let key = TraceKey {
                project: project.clone(),
                trace_id: trace_id.clone(),
            };
            live.is_deleted(&key) || tombstones.refuses(&project, trace_id, now)
        };
        let has_gone = batch.traces().any(is_gone);
        if !has_gone {
            return batch;
        }
        let kept = batch.retaining(|row| !row.is_about_any(is_gone));
        let refused = batch.rows.len() - kept.rows.len();
        let counter = &self.counters.refused_deleted;
        counter.fetch_add(refused as u64, Ordering::Relaxed);
        kept
    }
}

/// Which items have grades in files: the filters of a project's files of grades.
#[derive(Debug)]
pub(crate) struct GradedItems {
    project: ProjectId,
    /// `None`: the file may hold any.
    sets: Vec<Option<Arc<TraceSet>>>,
}

impl GradedItems {
    pub(crate) fn of(engine: &Engine, catalog: &CatalogVersion, project: &ProjectId) -> Self {
        let files = catalog.files(Table::Grades).iter();
        let files = files.filter(|file| file.project(project).is_some());
        let set = |file: &Arc<FileEntry>| {
            // One that was committed this moment is known by its own word.
            let read = || engine.files.open(file).ok()?.trace_set().ok().map(Arc::new);
            engine.files.trace_set(file.id).or_else(read)
        };
        Self {
            project: project.clone(),
            sets: files.map(set).collect(),
        }
    }

    /// Returns those of `rows` that a file may hold an earlier grade of the same key for.
    pub(crate) fn may_hold<'a>(
        &self,
        rows: impl IntoIterator<Item = &'a GradeRow>,
    ) -> Vec<&'a GradeRow> {
        if self.sets.is_empty() {
            return Vec::new();
        }
        // Grades of one item mostly stand together.
        let mut last: Option<(TraceHash, bool)> = None;
        let mut is_held = |row: &&GradeRow| {
            let item = TraceHash::of_grade_item(self.project.as_str(), row.id.as_str());
            match last {
                Some((known, is_held)) if known == item => is_held,
                _ => {
                    let holds = |set: &TraceSet| set.maybe_contains(item);
                    let is_held = self.sets.iter().any(|set| set.as_deref().is_none_or(holds));
                    last = Some((item, is_held));
                    is_held
                }
            }
        };
        rows.into_iter().filter(|row| is_held(row)).collect()
    }
}

impl Store {
    /// Logs grades and waits until they are on disk and readable (D1). A grade of the same key replaces
    /// the earlier; of one key in `grades` the last counts. Grades of traces that were deleted are not
    /// kept. Nothing of them is kept if this is an error; some hundred grades at once are best.
    pub async fn append_grades(
        &self,
        project: &ProjectId,
        grades: Vec<Grade>,
    ) -> Result<Ack, AppendError> {
        self.engine().append_grades(project, grades).await
    }

    /// Makes the grades of a run unreadable at once, and removes their bytes as those of deleted traces are.
    /// For a day grades of the run are not kept; end the run first.
    pub async fn delete_grades_of_run(
        &self,
        project: &ProjectId,
        run_id: &str,
    ) -> Result<(), DeleteError> {
        let run = TraceId::new(&Grade::run_part(run_id)).map_err(AppendError::Item)?;
        let deleted = self.engine().delete_for_good(project, vec![run]).await;
        deleted.map(drop)
    }
}

impl Snapshot {
    /// Calls `each` with the grades of this project that `filter` lets through, until it breaks. They come
    /// in no promised order, each current key once; memory stays bounded. It blocks.
    pub fn for_each_grade(
        &self,
        filter: &GradeFilter,
        each: &mut dyn FnMut(Grade) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        // What a filter goes by is part of a grade's key: all grades of one key are taken, or none.
        let in_memory =
            self.memory_grades_where(|batch| filter.may_be_in(batch), |row| filter.takes(row));
        for row in in_memory {
            if each(filter.shown(&row.grade)).is_break() {
                return Ok(());
            }
        }
        let columns = match (filter.with_texts, filter.with_judgements) {
            (true, _) => Columns::all(Table::Grades),
            (false, true) => Columns::narrow_and(Table::Grades, &["judge_params"]),
            (false, false) => Columns::narrow(Table::Grades),
        };
        let traces = filter.trace_ids.as_ref();
        self.stored_grades(
            traces,
            &filter.columns(),
            &columns,
            &mut |row| match filter.takes(&row) {
                true => each(Arc::unwrap_or_clone(row.grade)),
                false => ControlFlow::Continue(()),
            },
        )
    }
}
