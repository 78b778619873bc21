//! The `grades` table: what graders said, one row for each run, item, attempt, grader and span.
//!
//! A grade hangs on its trace, as a message does, and goes with it. A case of a dataset that has no trace
//! takes its place with its own id. One that compares two traces is about the other one too
//! (`comparisons.rs`). Rows are replaced by their [`Grade::id`], which stands where spans
//! have theirs; files are sorted by run and grader, for results are read a run at a time.

use std::cmp::Ordering;
use std::sync::Arc;

use model::{
    GRADE_RUN_BYTES, Grade, IdError, JsonText, JudgeUse, NanoUsd, Outcome, ProjectId, SpanId, Time,
    TraceId, UnscoredReason, Verdict,
};

use super::columns::{
    Column, LakeRow, Layout, count, flag, given, maybe_id, maybe_text, measure, moment, required,
    word,
};
use super::schema::Table;

/// One grade.
#[derive(Debug, Clone, PartialEq)]
pub struct GradeRow {
    /// The project.
    pub project: ProjectId,
    /// What it hangs on: its trace, or the item where there is none.
    pub trace_id: TraceId,
    /// Its [`Grade::id`].
    pub id: SpanId,
    /// The grade.
    pub grade: Arc<Grade>,
    /// The sequence number it was logged under.
    pub seq: i64,
}

impl GradeRow {
    /// Returns the row of a grade that is not logged yet, or why its item cannot be one.
    pub fn new(project: &ProjectId, grade: Grade) -> Result<Self, IdError> {
        let trace_id = match &grade.trace_id {
            Some(trace_id) => trace_id.clone(),
            None => TraceId::new(&grade.item_id)?,
        };
        Ok(Self {
            project: project.clone(),
            trace_id,
            id: SpanId::new(&grade.id())?,
            grade: Arc::new(grade),
            seq: 0,
        })
    }

    /// Returns what a row hangs on beside its trace: its run, as the part of its id that tells it. To delete
    /// a run is to delete a trace of this id.
    pub fn run(&self) -> Option<TraceId> {
        TraceId::new(self.id.as_str().get(..GRADE_RUN_BYTES)?).ok()
    }

    /// Returns the trace that its own was compared with, where two were compared.
    pub fn counterpart(&self) -> Option<TraceId> {
        judge(self)?.counterpart()
    }

    /// Returns whether its trace, its run, or the trace that it compares with is one that `is_meant`.
    pub fn is_about_any(&self, is_meant: impl Fn(&TraceId) -> bool) -> bool {
        is_meant(&self.trace_id)
            || self.run().is_some_and(|run| is_meant(&run))
            || self.counterpart().is_some_and(|other| is_meant(&other))
    }
}

/// A [`GradeRow`] that is still being filled in.
#[derive(Debug)]
pub struct GradeDraft {
    project: ProjectId,
    trace_id: TraceId,
    id: SpanId,
    has_trace: bool,
    grade: Grade,
    judge: JudgeUse,
    has_judge: bool,
    seq: i64,
}

impl LakeRow for GradeRow {
    const TABLE: Table = Table::Grades;
    type Draft = GradeDraft;

    fn columns() -> &'static [Column<Self>] {
        COLUMNS
    }

    fn draft(project: ProjectId, trace_id: TraceId, id: Option<SpanId>) -> GradeDraft {
        GradeDraft {
            project,
            trace_id,
            id: id.unwrap_or_else(|| SpanId::new("grade_").expect("it is short and not empty")),
            has_trace: false,
            grade: blank(),
            judge: JudgeUse::default(),
            has_judge: false,
            seq: 0,
        }
    }

    fn finish(draft: GradeDraft) -> Self {
        let GradeDraft {
            project,
            trace_id,
            id,
            has_trace,
            mut grade,
            judge,
            has_judge,
            seq,
        } = draft;
        grade.trace_id = has_trace.then(|| trace_id.clone());
        grade.verdict.judge = has_judge.then_some(judge);
        Self {
            project,
            trace_id,
            id,
            grade: Arc::new(grade),
            seq,
        }
    }

    fn payload_bytes(&self) -> usize {
        let verdict = &self.grade.verdict;
        let params = verdict
            .judge
            .as_ref()
            .and_then(|judge| judge.params.as_ref());
        verdict.reasoning.as_ref().map_or(0, String::len)
            + params.map_or(0, |params| params.as_str().len())
    }

    fn file_order(&self, other: &Self) -> Ordering {
        fn key(row: &GradeRow) -> (&ProjectId, &str, &str, &TraceId, &SpanId, i64) {
            let grade = &*row.grade;
            let (run, grader) = (grade.run_id.as_str(), grade.grader_id.as_str());
            (&row.project, run, grader, &row.trace_id, &row.id, row.seq)
        }
        key(self).cmp(&key(other))
    }
}

/// Returns a grade that says nothing yet: what a file has no column for stays as it is here.
pub(super) fn blank() -> Grade {
    Grade {
        run_id: String::new(),
        item_id: String::new(),
        attempt: 1,
        grader_id: String::new(),
        grader_name: String::new(),
        grader_version: 1,
        grader_hash: String::new(),
        trace_id: None,
        span_id: None,
        group_id: None,
        stratum: None,
        weight: 1.0,
        verdict: Verdict::new(Outcome::Unscored),
        created_at: Time::default(),
        trace_started_at: Time::default(),
    }
}

/// A text that every grade has.
macro_rules! told {
    ($name:literal, $layout:ident, $field:ident) => {
        required(Column::text(
            $name,
            Layout::$layout,
            |r| Some(&r.grade.$field),
            |d, v| {
                v.clone_into(&mut d.grade.$field);
                Ok(())
            },
        ))
    };
}
/// A small number that every grade has.
macro_rules! number {
    ($name:literal, $field:ident) => {
        required(Column::int(
            $name,
            Layout::Measure,
            |r| Some(i64::from(r.grade.$field)),
            |d, v| {
                d.grade.$field = u32::try_from(v)?;
                Ok(())
            },
        ))
    };
}
/// A count that a judge may tell.
macro_rules! judge_count {
    ($name:literal, $field:ident) => {
        Column::int(
            $name,
            Layout::Measure,
            |r| judge(r)?.$field,
            |d, v| {
                d.judge.$field = Some(v);
                Ok(())
            },
        )
    };
}

fn judge(row: &GradeRow) -> Option<&JudgeUse> {
    row.grade.verdict.judge.as_ref()
}

static COLUMNS: &[Column<GradeRow>] = &[
    given!("project_id", Key, project),
    given!("id", Phrase, id),
    told!("run_id", Key, run_id),
    told!("item_id", Phrase, item_id),
    number!("attempt", attempt),
    told!("grader_id", Key, grader_id),
    told!("grader_name", Word, grader_name),
    number!("grader_version", grader_version),
    told!("grader_hash", Word, grader_hash),
    given!("trace_id", Key, trace_id),
    required(Column::bool(
        "has_trace",
        |r| Some(r.grade.trace_id.is_some()),
        |d, v| d.has_trace = v,
    )),
    maybe_id!("span_id", Phrase, grade.span_id),
    maybe_id!("group_id", Word, grade.group_id),
    maybe_text!("stratum", Word, grade.stratum),
    measure!("weight", grade.weight),
    word!("outcome", grade.verdict.outcome),
    Column::float(
        "score",
        |r| r.grade.verdict.score,
        |d, v| d.grade.verdict.score = Some(v),
    ),
    maybe_text!("label", Word, grade.verdict.label),
    Column::text(
        "unscored_reason",
        Layout::Word,
        |r| r.grade.verdict.unscored_reason.map(UnscoredReason::as_str),
        |d, v| {
            d.grade.verdict.unscored_reason = Some(v.parse()?);
            Ok(())
        },
    ),
    maybe_text!("reasoning", Payload, grade.verdict.reasoning),
    Column::ids(
        "citations",
        |r| &r.grade.verdict.citations,
        |d, v| d.grade.verdict.citations = v,
    ),
    Column::float(
        "confidence",
        |r| r.grade.verdict.confidence,
        |d, v| d.grade.verdict.confidence = Some(v),
    ),
    flag!("vacuous", grade.verdict.vacuous),
    // The first of the judge's columns: there is a judge if it has a value.
    Column::text(
        "judge_model",
        Layout::Word,
        |r| Some(&judge(r)?.model),
        |d, v| {
            v.clone_into(&mut d.judge.model);
            d.has_judge = true;
            Ok(())
        },
    ),
    Column::text(
        "judge_params",
        Layout::Payload,
        |r| judge(r)?.params.as_ref().map(JsonText::as_str),
        |d, v| {
            d.judge.params = Some(JsonText::from_trusted(v));
            Ok(())
        },
    ),
    Column::text(
        "judge_prompt_hash",
        Layout::Phrase,
        |r| judge(r)?.prompt_hash.as_deref(),
        |d, v| {
            d.judge.prompt_hash = Some(v.to_owned());
            Ok(())
        },
    ),
    judge_count!("judge_input_tokens", input_tokens),
    judge_count!("judge_cached_tokens", cached_tokens),
    judge_count!("judge_output_tokens", output_tokens),
    Column::int(
        "judge_cost_nano_usd",
        Layout::Measure,
        |r| judge(r)?.cost.map(|cost| cost.0),
        |d, v| {
            d.judge.cost = Some(NanoUsd(v));
            Ok(())
        },
    ),
    Column::float(
        "judge_latency_ms",
        |r| judge(r)?.latency_ms,
        |d, v| d.judge.latency_ms = Some(v),
    ),
    Column::bool(
        "judge_cached",
        |r| judge(r).map(|judge| judge.cached),
        |d, v| d.judge.cached = v,
    ),
    moment!("created_at", grade.created_at),
    moment!("trace_started_at", grade.trace_started_at),
    count!("seq", Order, seq),
];
