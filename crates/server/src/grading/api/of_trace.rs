//! What was said of one trace and its spans: the latest grade of each grader, in whatever run, and what
//! people say.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;

use model::{Grade, ProjectId, SpanId, Time, TraceId};
use serde::Serialize;
use store::meta::{AnnotationFilter, PageAsked};
use store::{GradeFilter, ReadError, Snapshot};

use super::annotations::AnnotationObject;
use super::grade_object::GradeObject;
use crate::error::ApiError;
use crate::state::AppState;

/// So many annotations of one trace are told, the newest.
const ANNOTATIONS_MAX: usize = 1_000;

/// Returns the latest grades of each of these traces: of each grader one, or one for each span of graders that
/// grade span by span. All are read in one walk; only those that `is_kept` are held meanwhile, and returned.
pub(super) fn latest_grades(
    snapshot: &Snapshot,
    trace_ids: BTreeSet<TraceId>,
    with_texts: bool,
    is_kept: impl Fn(&Grade) -> bool,
) -> Result<HashMap<TraceId, Vec<Grade>>, ReadError> {
    let filter = GradeFilter {
        trace_ids: Some(trace_ids),
        with_texts,
        ..GradeFilter::default()
    };
    let mut of_traces: HashMap<TraceId, Latest> = HashMap::new();
    snapshot.for_each_grade(&filter, &mut |grade| {
        if let Some(trace_id) = &grade.trace_id {
            let latest = of_traces.entry(trace_id.clone()).or_default();
            latest.add(grade, &is_kept);
        }
        ControlFlow::Continue(())
    })?;
    let of_traces = of_traces.into_iter();
    Ok(of_traces
        .map(|(trace_id, latest)| (trace_id, latest.into_grades()))
        .collect())
}

/// What a grader said of a trace by run and attempt, each with the moment of its last grade.
type Attempts = BTreeMap<(String, u32), (Time, Vec<Grade>)>;

/// The grades of a trace by grader: they come in any order, so which attempt is the last is known at the end.
#[derive(Debug, Default)]
struct Latest {
    graders: BTreeMap<String, Attempts>,
}

impl Latest {
    fn add(&mut self, grade: Grade, is_kept: impl Fn(&Grade) -> bool) {
        let attempts = self.graders.entry(grade.grader_id.clone()).or_default();
        let attempt = attempts.entry((grade.run_id.clone(), grade.attempt));
        let (last, grades) = attempt.or_default();
        *last = grade.created_at.max(*last);
        if is_kept(&grade) {
            grades.push(grade);
        }
    }

    /// Returns of each grader the grades of the run and attempt that came last, in an order that does not
    /// change.
    fn into_grades(self) -> Vec<Grade> {
        let last = |attempts: Attempts| {
            let attempts = attempts.into_iter();
            attempts.max_by(|(key, (at, _)), (other, (then, _))| (at, key).cmp(&(then, other)))
        };
        let last = self.graders.into_values().filter_map(last);
        let mut grades: Vec<Grade> = last.flat_map(|(_, (_, grades))| grades).collect();
        let key = |grade: &Grade| {
            let (name, id) = (grade.grader_name.clone(), grade.grader_id.clone());
            (name, id, grade.span_id.clone())
        };
        grades.sort_by_cached_key(key);
        grades
    }
}

/// Returns what people say of a trace and its spans.
pub(crate) async fn annotations_of(
    state: &AppState,
    project: &ProjectId,
    trace_id: &TraceId,
) -> Result<Vec<AnnotationObject>, ApiError> {
    let filter = AnnotationFilter {
        trace_id: Some(trace_id.clone()),
        ..AnnotationFilter::default()
    };
    let asked = PageAsked {
        after: None,
        limit: ANNOTATIONS_MAX,
        is_descending: true,
    };
    let page = state
        .store
        .meta()
        .annotations(project, &filter, &asked)
        .await?;
    Ok(page
        .entries
        .into_iter()
        .map(AnnotationObject::from)
        .collect())
}

/// Returns what was said of a trace. The snapshot is the one that the trace is read from.
pub(crate) fn grades_of(
    snapshot: &Snapshot,
    trace_id: &TraceId,
) -> Result<Vec<GradeObject>, ReadError> {
    let of_traces = latest_grades(snapshot, BTreeSet::from([trace_id.clone()]), true, |_| true)?;
    let grades = of_traces.into_values().flatten();
    Ok(grades.map(GradeObject::from).collect())
}

/// What was said of a trace, and which of it of which span.
#[derive(Debug)]
pub(crate) struct Said {
    all: SaidObject<GradeObject, AnnotationObject>,
    by_span: HashMap<String, SaidObject<usize, usize>>,
}

/// Grades and annotations, as they are sent.
#[derive(Debug, Serialize)]
struct SaidObject<G, A> {
    grades: Vec<G>,
    annotations: Vec<A>,
}

impl Said {
    /// Puts together what graders and people said of a trace.
    pub(crate) fn of(grades: Vec<GradeObject>, annotations: Vec<AnnotationObject>) -> Self {
        let mut by_span: HashMap<String, SaidObject<usize, usize>> = HashMap::new();
        let nothing = || SaidObject {
            grades: Vec::new(),
            annotations: Vec::new(),
        };
        for (at, grade) in grades.iter().enumerate() {
            if let Some(span) = &grade.span_id {
                let of = by_span.entry(span.clone()).or_insert_with(nothing);
                of.grades.push(at);
            }
        }
        for (at, annotation) in annotations.iter().enumerate() {
            if let Some(span) = &annotation.span_id {
                let of = by_span.entry(span.clone()).or_insert_with(nothing);
                of.annotations.push(at);
            }
        }
        let all = SaidObject {
            grades,
            annotations,
        };
        Self { all, by_span }
    }

    /// Puts all of it into the JSON of an object, as `grades` and `annotations`.
    pub(crate) fn put_into(&self, object: &mut Vec<u8>) {
        put(object, &self.all);
    }

    /// Puts what was said of a span into the span's JSON, as `grades` and `annotations`.
    pub(crate) fn put_into_span(&self, span: &SpanId, object: &mut Vec<u8>) {
        let of = self.by_span.get(span.as_str());
        let grades = of.into_iter().flat_map(|of| &of.grades);
        let annotations = of.into_iter().flat_map(|of| &of.annotations);
        let said = SaidObject {
            grades: grades.map(|at| &self.all.grades[*at]).collect(),
            annotations: annotations.map(|at| &self.all.annotations[*at]).collect(),
        };
        put(object, &said);
    }
}

/// Puts the fields of one object at the end of another's.
fn put(object: &mut Vec<u8>, fields: &impl Serialize) {
    let fields = serde_json::to_vec(fields).expect("its keys are texts");
    let brace = object.pop();
    debug_assert_eq!(brace, Some(b'}'));
    object.push(b',');
    object.extend_from_slice(&fields[1..]);
}

#[cfg(test)]
mod tests {
    use model::{Outcome, Verdict};

    use super::*;

    fn grade(run: &str, grader: &str, attempt: u32, span: Option<&str>, at: i64) -> Grade {
        Grade {
            run_id: run.to_owned(),
            item_id: "t".to_owned(),
            attempt,
            grader_id: grader.to_owned(),
            grader_name: grader.to_owned(),
            grader_version: 1,
            grader_hash: String::new(),
            trace_id: TraceId::new("t").ok(),
            span_id: span.map(|id| SpanId::new(id).unwrap()),
            group_id: None,
            stratum: None,
            weight: 1.0,
            verdict: Verdict::new(Outcome::Pass),
            created_at: Time::from_micros(at),
            trace_started_at: Time::from_micros(0),
        }
    }

    #[test]
    fn of_each_grader_the_run_and_attempt_that_came_last_count() {
        let grades = vec![
            grade("new", "spans", 1, Some("b"), 20),
            grade("new", "spans", 1, Some("a"), 1),
            grade("old", "whole", 1, None, 1),
            grade("old", "spans", 1, Some("c"), 19),
            grade("old", "whole", 2, None, 3),
        ];
        let mut latest = Latest::default();
        grades
            .into_iter()
            .for_each(|grade| latest.add(grade, |_| true));
        let kept = latest.into_grades();
        let told: Vec<_> = kept
            .iter()
            .map(|grade| {
                let span = grade.span_id.as_ref().map(SpanId::as_str);
                (&*grade.run_id, &*grade.grader_id, grade.attempt, span)
            })
            .collect();
        assert_eq!(
            told,
            [
                ("new", "spans", 1, Some("a")),
                ("new", "spans", 1, Some("b")),
                ("old", "whole", 2, None),
            ]
        );
    }
}
