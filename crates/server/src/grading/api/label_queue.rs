//! Which traces shall people look at, to tell whether a grader is right?
//!
//! A queue is nothing that is kept: run, grader, size and seed say what is in it, and `grade` draws it anew
//! each time. What people have answered is left out of the page. Each entry has the body of the annotation
//! that answers it, with the chance with which it was drawn, so that calibration knows what it stands for.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use grade::calibrate::queue::{Drawn, DrawnBy, LabelQueue, QueueId, label_queue as draw};
use model::{Grade, TraceId};
use serde::Serialize;
use store::{GradeFilter, ReadError, Snapshot};
use utoipa::ToSchema;

use super::gathered::gather;
use super::grade_object::GradeObject;
use super::labelled::{Verdicts, VerdictsAsked, labels, refused};
use super::results::latest_attempts;
use crate::auth::Principal;
use crate::error::{ApiError, ErrorBody};
use crate::read::{Params, blocking, of_project};
use crate::state::AppState;

/// So many traces are drawn if nobody says how many.
const SIZE: usize = 100;

/// More are drawn for nobody.
const SIZE_MAX: usize = 10_000;

/// Traces that people are asked about.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LabelQueue)]
pub(super) struct LabelQueueObject {
    /// `grader.label_queue`.
    object: &'static str,
    /// Its name: annotations that answer it carry it.
    queue_id: String,
    grader_id: String,
    run_id: String,
    /// `doubt`: doubtful traces are likelier to be asked about; `chance`: all alike.
    by: &'static str,
    seed: u64,
    /// How many traces were to be drawn; each is drawn by itself, so a few more or less are.
    size: usize,
    /// How many traces the grader passed or failed.
    judged: usize,
    /// How many were drawn.
    drawn: usize,
    /// How many of these are labelled.
    labelled: usize,
    /// The next that are not, in an order that has nothing to do with doubt.
    data: Vec<LabelRequest>,
    /// Whether more come behind them.
    has_more: bool,
}

/// A trace that people are asked about.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LabelRequest {
    /// `grader.label_request`.
    object: &'static str,
    trace_id: String,
    /// How doubtful the verdict is, from 0, nothing says so, to 1.
    doubt: f64,
    /// The chance with which it was drawn.
    chance: f64,
    /// What the grader said: its verdict, its reasoning, and the spans that it points at.
    grades: Vec<GradeObject>,
    /// The answer but for the `rating`: complete it and send it to `/v1/annotations`.
    annotation: Answer,
}

/// What an annotation says beside the rating.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Answer {
    trace_id: String,
    grader: String,
    queue_id: String,
    chance: f64,
}

/// What is asked.
struct Asked {
    verdicts: VerdictsAsked,
    by: DrawnBy,
    seed: u64,
    size: usize,
    author: Option<String>,
    limit: usize,
}

impl Asked {
    fn read(mut params: Params) -> Result<Self, ApiError> {
        let by = match params.take("by")? {
            None => DrawnBy::Doubt,
            Some(word) => DrawnBy::of_word(&word).ok_or_else(|| {
                ApiError::invalid("by", format!("{word:?} is not doubt or chance"))
            })?,
        };
        let size = take_whole(&mut params, "size")?
            .map_or(SIZE, |size| usize::try_from(size).unwrap_or(usize::MAX));
        if !(1..=SIZE_MAX).contains(&size) {
            let message = format!("{size} is not between 1 and {SIZE_MAX}");
            return Err(ApiError::invalid("size", message));
        }
        let asked = Self {
            verdicts: VerdictsAsked::take(&mut params)?,
            by,
            seed: take_whole(&mut params, "seed")?.unwrap_or(0),
            size,
            author: params.take("author")?,
            limit: params.take_limit()?,
        };
        params.finish()?;
        Ok(asked)
    }
}

/// Tell which traces people should label, to know whether a grader is right: those where it is unsure, and
/// of the others some, each with the chance with which it was drawn. The same question is answered alike, and
/// a larger `size` keeps what the smaller drew.
#[utoipa::path(
    get,
    path = "/v1/graders/{id}/label_queue",
    tag = "grade",
    params(
        ("id" = String, Path, description = "The grader's id or name"),
        ("version" = Option<u32>, Query, description = "Its version; that of the run if not given"),
        ("run_id" = Option<String>, Query, description = "The run whose verdicts are in question; the newest that it was in if not given"),
        ("size" = Option<usize>, Query, description = "About how many traces are drawn in all, 100 if not given"),
        ("by" = Option<String>, Query, description = "`doubt`, which is the default, or `chance`: all alike"),
        ("seed" = Option<u64>, Query, description = "Another seed draws another queue; 0 if not given"),
        ("author" = Option<String>, Query, description = "Leave out what this person has labelled, and not what anybody has: so that two may label the same"),
        ("limit" = Option<usize>, Query, description = "How many are told, 20 if not given"),
    ),
    responses(
        (status = 200, body = LabelQueueObject),
        (status = 400, body = ErrorBody),
        (status = 404, description = "There is no such grader or run, or the grader was in none", body = ErrorBody),
        (status = 409, description = "Several versions or models judged in this run", body = ErrorBody)
    )
)]
pub(super) async fn label_queue(
    State(state): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
    params: Params,
) -> Result<Json<LabelQueueObject>, ApiError> {
    let asked = Asked::read(params)?;
    let project = &principal.project;
    let Verdicts { grader, run } = asked.verdicts.find(&state, project, &id).await?;
    let queue_id = QueueId {
        run_id: run.id.clone(),
        by: asked.by,
        seed: asked.seed,
    };
    let gathered = gather(&state, &run).await?;
    let (grader_id, name, size) = (grader.id.clone(), queue_id.clone(), asked.size);
    let work = move || draw(&gathered.collected, &grader_id, &name, size);
    let LabelQueue { drawn, judged } = blocking(work).await?.map_err(refused)?;
    let said = labels(&state, &run, &grader.id).await?.into_iter();
    let said = said.filter(|one| asked.author.as_ref().is_none_or(|it| *it == one.author));
    let answered: HashSet<String> = said.map(|one| one.item_id).collect();
    let all = drawn.len();
    let open = drawn
        .into_iter()
        .filter(|one| !answered.contains(&one.item_id));
    let mut open: Vec<Drawn> = open.collect();
    let left = open.len();
    open.truncate(asked.limit);
    let page = Page {
        run_id: run.id.clone(),
        grader_id: grader.id.clone(),
        queue_id: queue_id.to_string(),
        open: Arc::new(open),
    };
    let data = of_project(&state, project, async |snapshot| page.told(snapshot).await).await?;
    Ok(Json(LabelQueueObject {
        object: "grader.label_queue",
        queue_id: page.queue_id,
        grader_id: grader.id,
        run_id: run.id,
        by: queue_id.by.word(),
        seed: queue_id.seed,
        size: asked.size,
        judged,
        drawn: all,
        labelled: all - left,
        has_more: left > asked.limit,
        data,
    }))
}

/// The traces of a page, before what was said of them is read.
struct Page {
    run_id: String,
    grader_id: String,
    queue_id: String,
    open: Arc<Vec<Drawn>>,
}

impl Page {
    async fn told(&self, snapshot: Arc<Snapshot>) -> Result<Vec<LabelRequest>, ApiError> {
        let (run_id, grader_id) = (self.run_id.clone(), self.grader_id.clone());
        let open = Arc::clone(&self.open);
        let read = move || -> Result<Vec<Vec<Grade>>, ReadError> {
            let grades = |one: &Drawn| grades_of(&snapshot, &run_id, &grader_id, &one.item_id);
            open.iter().map(grades).collect()
        };
        let grades = blocking(read).await??;
        let both = self.open.iter().zip(grades);
        // Of a trace that was deleted meanwhile there is nothing left.
        let there = both.filter(|(_, grades)| !grades.is_empty());
        Ok(there
            .map(|(one, grades)| self.request(one, grades))
            .collect())
    }

    fn request(&self, drawn: &Drawn, grades: Vec<Grade>) -> LabelRequest {
        LabelRequest {
            object: "grader.label_request",
            trace_id: drawn.item_id.clone(),
            doubt: drawn.doubt,
            chance: drawn.chance,
            grades: grades.into_iter().map(GradeObject::from).collect(),
            annotation: Answer {
                trace_id: drawn.item_id.clone(),
                grader: self.grader_id.clone(),
                queue_id: self.queue_id.clone(),
                chance: drawn.chance,
            },
        }
    }
}

fn grades_of(
    snapshot: &Snapshot,
    run_id: &str,
    grader_id: &str,
    trace_id: &str,
) -> Result<Vec<Grade>, ReadError> {
    let Ok(trace_id) = TraceId::new(trace_id) else {
        return Ok(Vec::new());
    };
    let filter = GradeFilter {
        run_id: Some(run_id.to_owned()),
        grader_id: Some(grader_id.to_owned()),
        with_texts: true,
        ..GradeFilter::of_trace(trace_id)
    };
    let mut grades = Vec::new();
    snapshot.for_each_grade(&filter, &mut |grade| {
        grades.push(grade);
        ControlFlow::Continue(())
    })?;
    Ok(latest_attempts(grades))
}

fn take_whole(params: &mut Params, name: &str) -> Result<Option<u64>, ApiError> {
    let Some(text) = params.take(name)? else {
        return Ok(None);
    };
    let wrong = |_| ApiError::invalid(name, format!("{text:?} is not a whole number"));
    text.parse().map(Some).map_err(wrong)
}
