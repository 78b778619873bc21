//! What came of a run: the whole in figures, and the traces that somebody wants to look at.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use grade::calibrate::{CalibrateOptions, calibrate};
use grade::results::{Collected, ItemFilter, ItemResult};
use model::{Grade, Outcome, TraceId};
use store::meta::GradingRun;
use store::{GradeFilter, ReadError, Snapshot};

use super::gathered::{Gathered, gather, run_of};
use super::grade_object::GradeObject;
use super::labelled::labels;
use super::results_object::{Besides, ResultObject, ResultsObject, Trust};
use super::run_object::RunObject;
use super::sides::keyed;
use crate::auth::Principal;
use crate::error::{ApiError, ErrorBody};
use crate::grading::stopping;
use crate::pages::take_word;
use crate::read::{Params, blocking, of_project};
use crate::state::AppState;

/// What is asked of results.
struct Asked {
    filter: ItemFilter,
    limit: usize,
    after: Option<String>,
    /// What tells which traces are tries of one task.
    tasks: Option<Key>,
    /// What tells of which segment a trace is.
    segments: Option<Key>,
}

/// What a run is seen by.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Key {
    Group,
    Metadata(String),
}

impl Key {
    fn take(params: &mut Params, name: &str) -> Result<Option<Self>, ApiError> {
        let Some(word) = params.take(name)? else {
            return Ok(None);
        };
        let key = word.strip_prefix("metadata.").filter(|key| !key.is_empty());
        match (&*word, key) {
            ("group", _) => Ok(Some(Self::Group)),
            (_, Some(key)) => Ok(Some(Self::Metadata(key.to_owned()))),
            (other, None) => {
                let message = format!("{other:?} is not group or metadata.KEY");
                Err(ApiError::invalid(name, message))
            }
        }
    }
}

impl Asked {
    fn read(mut params: Params) -> Result<Self, ApiError> {
        let asked = Self {
            filter: ItemFilter {
                grader: params.take("grader")?,
                outcome: take_word(&mut params, "outcome")?,
                score_below: take_number(&mut params, "score_below")?,
            },
            limit: params.take_limit()?,
            after: params.take("after")?,
            tasks: Key::take(&mut params, "tasks")?,
            segments: Key::take(&mut params, "segments")?,
        };
        if asked.segments == Some(Key::Group) {
            let message = "groups are what segments are made of: name metadata.KEY";
            return Err(ApiError::invalid("segments", message));
        }
        params.finish()?;
        Ok(asked)
    }
}

/// Tell what came of a run: every figure with its interval, and a page of its traces with what graders said
/// of them and where. A run that goes on tells what it knows so far.
#[utoipa::path(
    get,
    path = "/v1/evals/traces/grade/{run_id}/results",
    tag = "grade",
    params(
        ("run_id" = String, Path, description = "The run"),
        ("grader" = Option<String>, Query, description = "Only what this grader says counts for the two below: its name or id"),
        ("outcome" = Option<String>, Query, description = "Traces of which a grader said so: `pass`, `fail`, `value`, `not_applicable` or `unscored`"),
        ("score_below" = Option<f64>, Query, description = "Traces to which a grader that gives numbers gave a lower one"),
        ("limit" = Option<usize>, Query, description = "Traces of a page, 20 if not given"),
        ("after" = Option<String>, Query, description = "The trace that the page comes behind"),
        ("tasks" = Option<String>, Query, description = "Tell how reliably tasks pass that were tried several times: `group`, or `metadata.KEY`, says which traces are tries of one"),
        ("segments" = Option<String>, Query, description = "Tell which segments differ from the rest: `metadata.KEY` says of which a trace is"),
    ),
    responses(
        (status = 200, body = ResultsObject),
        (status = 400, body = ErrorBody),
        (status = 404, body = ErrorBody)
    )
)]
pub(super) async fn results(
    State(state): State<AppState>,
    principal: Principal,
    Path(run_id): Path<String>,
    params: Params,
) -> Result<Json<ResultsObject>, ApiError> {
    let asked = Asked::read(params)?;
    let run = run_of(&state, &principal.project, &run_id).await?;
    let gathered = gather(&state, &run).await?;
    require_grader(&gathered, asked.filter.grader.as_deref())?;
    let besides = Besides {
        calibration: trust(&state, &run, &gathered).await?,
        reliability: match &asked.tasks {
            None => None,
            Some(key) => Some(by_key(&state, &run, &gathered, key, Collected::reliability).await?),
        },
        segments: match &asked.segments {
            None => None,
            Some(key) => Some(by_key(&state, &run, &gathered, key, Collected::segments).await?),
        },
    };
    let (total, chosen) = choose(&gathered, asked).await?;
    let has_more = chosen.has_more;
    let data = of_project(&state, &principal.project, async |snapshot| {
        evidence(&run.id, snapshot, chosen.items.clone()).await
    })
    .await?;
    let told = (RunObject::of(run.clone())?, stopping::told(&run));
    let summary = gathered.results.clone();
    let page = (total, data, has_more);
    Ok(Json(ResultsObject::of(told, summary, besides, page)))
}

/// Returns how far the judges of a run can be trusted, by the names of their graders.
async fn trust(
    state: &AppState,
    run: &GradingRun,
    gathered: &Arc<Gathered>,
) -> Result<BTreeMap<String, Trust>, ApiError> {
    let judges = gathered.collected.graders().filter(|it| it.kind == "llm");
    let judges: Vec<(String, String)> = judges.map(|it| (it.id.clone(), it.name.clone())).collect();
    let mut all = BTreeMap::new();
    for (id, name) in judges {
        let said = labels(state, run, &id).await?;
        let gathered = Arc::clone(gathered);
        let options = CalibrateOptions::default();
        let found = blocking(move || calibrate(&gathered.collected, &id, &said, &options));
        let trust = match found.await? {
            Ok(calibration) => Trust::from(calibration),
            Err(why) => Trust::unknown(&why),
        };
        all.insert(name, trust);
    }
    Ok(all)
}

/// Returns what a run says when it is seen by a key of its traces.
async fn by_key<T: Send + 'static>(
    state: &AppState,
    run: &GradingRun,
    gathered: &Arc<Gathered>,
    key: &Key,
    of: fn(&Collected) -> T,
) -> Result<T, ApiError> {
    match key {
        Key::Group => {
            let gathered = Arc::clone(gathered);
            blocking(move || of(&gathered.collected)).await
        }
        Key::Metadata(key) => {
            let part = keyed(state, run, key).await?;
            blocking(move || of(&part.collected)).await
        }
    }
}

/// The traces of a page.
struct Chosen {
    items: Arc<Vec<ItemResult>>,
    has_more: bool,
}

/// Returns how many traces the filter lets through, and those of the page.
async fn choose(gathered: &Arc<Gathered>, asked: Asked) -> Result<(usize, Chosen), ApiError> {
    let gathered = Arc::clone(gathered);
    let work = move || {
        let after = asked.after.as_deref();
        require_place(&gathered, after)?;
        let total = gathered.collected.count(&asked.filter);
        // One more tells whether there are more.
        let mut items = gathered
            .collected
            .page(&asked.filter, after, asked.limit + 1);
        let has_more = items.len() > asked.limit;
        items.truncate(asked.limit);
        let items = Arc::new(items);
        Ok((total, Chosen { items, has_more }))
    };
    blocking(work).await?
}

/// Refuses a place that is none: behind it there would be nothing, or anything.
fn require_place(gathered: &Gathered, after: Option<&str>) -> Result<(), ApiError> {
    let Some(after) = after else { return Ok(()) };
    let is_there = gathered.collected.item_ids().any(|id| id == after);
    is_there.then_some(()).ok_or_else(|| {
        let message = format!(
            "{after:?} is the id of no trace that was graded in this run; \
             one that was deleted meanwhile names no place any more"
        );
        ApiError::invalid("after", message)
    })
}

/// Refuses a grader that is not in the run: nothing would match it, which is another answer.
fn require_grader(gathered: &Gathered, named: Option<&str>) -> Result<(), ApiError> {
    let Some(named) = named else { return Ok(()) };
    let mut graders = gathered.collected.graders();
    match graders.any(|facts| facts.name == named || facts.id == named) {
        true => Ok(()),
        false => {
            let known: Vec<&str> = gathered
                .collected
                .graders()
                .map(|facts| &*facts.name)
                .collect();
            let message = format!("{named:?} is not in this run; known: {}", known.join(", "));
            Err(ApiError::invalid("grader", message))
        }
    }
}

/// Returns what graders said of these traces, in full.
async fn evidence(
    run_id: &str,
    snapshot: Arc<Snapshot>,
    items: Arc<Vec<ItemResult>>,
) -> Result<Vec<ResultObject>, ApiError> {
    let run_id = run_id.to_owned();
    let work = move || -> Result<Vec<ResultObject>, ReadError> {
        let mut told = Vec::with_capacity(items.len());
        for item in items.iter() {
            let grades = grades_of(&snapshot, &run_id, item)?;
            // Of a trace that was deleted meanwhile there is nothing left.
            told.extend(result(item, grades));
        }
        Ok(told)
    };
    Ok(blocking(work).await??)
}

/// Returns the grades of an item that count: of each grader the latest attempt.
fn grades_of(
    snapshot: &Snapshot,
    run_id: &str,
    item: &ItemResult,
) -> Result<Vec<Grade>, ReadError> {
    let filter = GradeFilter {
        run_id: Some(run_id.to_owned()),
        trace_ids: TraceId::new(&item.item_id)
            .ok()
            .map(|id| BTreeSet::from([id])),
        with_texts: true,
        ..GradeFilter::default()
    };
    let mut grades = Vec::new();
    snapshot.for_each_grade(&filter, &mut |grade| {
        if grade.item_id == item.item_id {
            grades.push(grade);
        }
        ControlFlow::Continue(())
    })?;
    Ok(latest_attempts(grades))
}

/// Keeps of each grader the latest attempt, in an order that does not change.
pub(super) fn latest_attempts(mut grades: Vec<Grade>) -> Vec<Grade> {
    let mut latest: BTreeMap<String, u32> = BTreeMap::new();
    for grade in &grades {
        let attempt = latest.entry(grade.grader_id.clone()).or_default();
        *attempt = grade.attempt.max(*attempt);
    }
    grades.retain(|grade| latest.get(&grade.grader_id) == Some(&grade.attempt));
    grades.sort_by(|a, b| {
        (&a.grader_name, &a.grader_id, &a.span_id).cmp(&(&b.grader_name, &b.grader_id, &b.span_id))
    });
    grades
}

fn result(item: &ItemResult, grades: Vec<Grade>) -> Option<ResultObject> {
    let first = grades.first()?;
    Some(ResultObject {
        object: "trace.grading_result",
        trace_id: first.trace_id.as_ref().map(ToString::to_string),
        item_id: item.item_id.clone(),
        group_id: first.group_id.as_ref().map(ToString::to_string),
        stratum: first.stratum.clone(),
        weight: first.weight,
        outcome: overall(grades.iter().map(|grade| grade.verdict.outcome)).as_str(),
        grades: grades.into_iter().map(GradeObject::from).collect(),
    })
}

/// Returns what all graders together say of a trace: a fail before a pass before what decides nothing.
fn overall(outcomes: impl Iterator<Item = Outcome>) -> Outcome {
    let order = |outcome: &Outcome| match outcome {
        Outcome::Fail => 0,
        Outcome::Pass => 1,
        Outcome::Value => 2,
        Outcome::Unscored => 3,
        Outcome::NotApplicable => 4,
    };
    outcomes.min_by_key(order).unwrap_or(Outcome::NotApplicable)
}

fn take_number(params: &mut Params, name: &str) -> Result<Option<f64>, ApiError> {
    let Some(text) = params.take(name)? else {
        return Ok(None);
    };
    let number = text.parse().ok().filter(|number: &f64| number.is_finite());
    let wrong = || ApiError::invalid(name, format!("{text:?} is not a number"));
    number.map(Some).ok_or_else(wrong)
}
