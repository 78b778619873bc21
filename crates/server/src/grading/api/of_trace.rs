//! What was said of one trace and its spans: the latest grade of each grader, in whatever run, and what
//! people say.

use std::collections::{BTreeMap, HashMap};
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

/// Returns of each grader its latest grades on a trace: one, or one for each span of graders that grade span
/// by span.
pub(super) fn latest_grades(
    snapshot: &Snapshot,
    trace_id: &TraceId,
    with_texts: bool,
) -> Result<Vec<Grade>, ReadError> {
    let filter = GradeFilter {
        trace_id: Some(trace_id.clone()),
        with_texts,
        ..GradeFilter::default()
    };
    let mut all = Vec::new();
    snapshot.for_each_grade(&filter, &mut |grade| {
        all.push(grade);
        ControlFlow::Continue(())
    })?;
    Ok(latest(all))
}

/// Keeps of each grader the grades of the run and attempt that came last.
fn latest(mut grades: Vec<Grade>) -> Vec<Grade> {
    let mut last: BTreeMap<String, (Time, String, u32)> = BTreeMap::new();
    for grade in &grades {
        let made = (grade.created_at, grade.run_id.clone(), grade.attempt);
        let known = last.entry(grade.grader_id.clone()).or_insert(made.clone());
        *known = made.max(known.clone());
    }
    grades.retain(|grade| {
        let last = last.get(&grade.grader_id);
        last.is_some_and(|(_, run, attempt)| grade.run_id == *run && grade.attempt == *attempt)
    });
    let key = |grade: &Grade| {
        let (name, id) = (grade.grader_name.clone(), grade.grader_id.clone());
        (name, id, grade.span_id.clone())
    };
    grades.sort_by_cached_key(key);
    grades
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
    let grades = latest_grades(snapshot, trace_id, true)?;
    Ok(grades.into_iter().map(GradeObject::from).collect())
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
            grade("old", "whole", 1, None, 1),
            grade("new", "spans", 1, Some("a"), 19),
            grade("old", "spans", 1, Some("c"), 2),
            grade("old", "whole", 2, None, 3),
        ];
        let kept = latest(grades);
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
