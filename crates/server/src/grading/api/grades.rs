//! The grades of a run as they were written, every attempt.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use axum::Json;
use axum::extract::{Path, State};
use model::{Grade, Outcome, TraceId};
use store::{GradeFilter, ReadError, Snapshot};

use super::gathered::{frozen, run_of};
use super::grade_object::GradeObject;
use crate::auth::Principal;
use crate::error::{ApiError, ErrorBody};
use crate::pages::{ListPage, take_word};
use crate::read::{Params, blocking, of_project};
use crate::state::AppState;

/// Which grades.
#[derive(Debug, Clone)]
struct Asked {
    filter: GradeFilter,
    outcome: Option<Outcome>,
    limit: usize,
    after: Option<String>,
}

/// List the grades of a run by their ids: every attempt, and every span of graders that grade span by span.
#[utoipa::path(
    get,
    path = "/v1/evals/traces/grade/{run_id}/grades",
    tag = "grade",
    params(
        ("run_id" = String, Path, description = "The run"),
        ("trace_id" = Option<String>, Query, description = "Those of this trace"),
        ("grader" = Option<String>, Query, description = "Those of this grader: its id"),
        ("outcome" = Option<String>, Query, description = "`pass`, `fail`, `value`, `not_applicable` or `unscored`"),
        ("limit" = Option<usize>, Query, description = "Entries of a page, 20 if not given"),
        ("after" = Option<String>, Query, description = "The grade that the page comes behind"),
    ),
    responses(
        (status = 200, body = ListPage<GradeObject>),
        (status = 400, body = ErrorBody),
        (status = 404, body = ErrorBody)
    )
)]
pub(super) async fn list_grades(
    State(state): State<AppState>,
    principal: Principal,
    Path(run_id): Path<String>,
    mut params: Params,
) -> Result<Json<ListPage<GradeObject>>, ApiError> {
    let run = run_of(&state, &principal.project, &run_id).await?;
    let graders = frozen(&run)?;
    let trace_id = params
        .take("trace_id")?
        .map(|text| TraceId::new(&text).map_err(|_| ApiError::not_found("trace", &text)));
    let asked = Asked {
        filter: GradeFilter {
            run_id: Some(run.id),
            trace_ids: trace_id.transpose()?.map(|id| BTreeSet::from([id])),
            grader_id: params.take("grader")?,
            ..GradeFilter::default()
        },
        outcome: take_word(&mut params, "outcome")?,
        limit: params.take_limit()?,
        after: params.take("after")?,
    };
    params.finish()?;
    // A grade that was deleted meanwhile is a place all the same: they go by their ids.
    let of_run = Grade::run_part(&run_id);
    if let Some(after) = asked.after.as_ref().filter(|it| !it.starts_with(&of_run)) {
        let message = format!("{after:?} is the id of no grade of this run");
        return Err(ApiError::invalid("after", message));
    }
    // Nothing would match a grader that is not in the run, which is another answer.
    if let Some(named) = &asked.filter.grader_id
        && !graders.iter().any(|one| one.id == *named)
    {
        let message = format!("{named:?} is the id of no grader of this run");
        return Err(ApiError::invalid("grader", message));
    }
    let (grades, has_more) = of_project(&state, &principal.project, async |snapshot| {
        let asked = asked.clone();
        Ok::<_, ApiError>(blocking(move || page(&snapshot, &asked)).await??)
    })
    .await?;
    let page = store::meta::Page {
        entries: grades.into_iter().map(GradeObject::from).collect(),
        has_more,
    };
    Ok(Json(ListPage::of(page, |grade| &grade.id)))
}

/// Returns a page of grades in the order of their ids, and whether there are more. They are chosen without
/// their texts, which only those of the page are read for.
fn page(snapshot: &Snapshot, asked: &Asked) -> Result<(Vec<Grade>, bool), ReadError> {
    let mut chosen = choose(snapshot, asked)?;
    let has_more = chosen.len() > asked.limit;
    if has_more {
        chosen.pop_last();
    }
    let filter = GradeFilter {
        // A case without a trace is found by going through all.
        trace_ids: chosen.values().cloned().collect(),
        with_texts: true,
        ..asked.filter.clone()
    };
    let mut grades = BTreeMap::new();
    snapshot.for_each_grade(&filter, &mut |grade| {
        let id = grade.id();
        if chosen.contains_key(&id) {
            grades.insert(id, grade);
        }
        ControlFlow::Continue(())
    })?;
    Ok((grades.into_values().collect(), has_more))
}

/// Returns the ids of the grades of a page and of the one behind it, each with its trace. They come in no
/// order: those that are nearest so far are kept, which bounds what is held.
fn choose(
    snapshot: &Snapshot,
    asked: &Asked,
) -> Result<BTreeMap<String, Option<TraceId>>, ReadError> {
    let mut chosen: BTreeMap<String, Option<TraceId>> = BTreeMap::new();
    snapshot.for_each_grade(&asked.filter, &mut |grade| {
        let is_wanted = |wanted| grade.verdict.outcome == wanted;
        if !asked.outcome.is_none_or(is_wanted) {
            return ControlFlow::Continue(());
        }
        let id = grade.id();
        let is_behind = asked.after.as_ref().is_none_or(|after| id > *after);
        let is_near = chosen.len() <= asked.limit
            || chosen.last_key_value().is_some_and(|(last, _)| id < *last);
        if is_behind && is_near {
            chosen.insert(id, grade.trace_id);
            if chosen.len() > asked.limit + 1 {
                chosen.pop_last();
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(chosen)
}
