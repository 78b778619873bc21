//! What people say of traces and spans: good or bad, a label, a note.
//!
//! Annotations are what judges are held against, and what open coding of failures writes down. They are
//! about something that is there: an annotation of a trace that nobody sent is a mistake of the caller.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use grade::calibrate::queue::QueueId;
use model::{ProjectId, SpanId, Time, TraceId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::meta::{Annotation, AnnotationFilter, AskedBy, NewAnnotation, Rating};
use utoipa::ToSchema;

use super::named::stored_grader;
use crate::auth::Principal;
use crate::error::{ApiError, ErrorBody, ErrorCode};
use crate::json::JsonBody;
use crate::listing::List;
use crate::pages::{ListPage, take_page};
use crate::read::{Direction, Params, blocking, span_ids};
use crate::scope::Scope;
use crate::state::AppState;

/// So many are taken in one request.
const ANNOTATIONS_MAX: usize = 1_000;

const LABEL_CHARS_MAX: usize = 128;

const NOTE_CHARS_MAX: usize = 10_000;

const AUTHOR_CHARS_MAX: usize = 128;

/// What somebody says of a trace or a span.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Annotation)]
pub(crate) struct AnnotationObject {
    /// `annotation`.
    object: &'static str,
    /// Its id, `ann_…`.
    id: String,
    trace_id: String,
    pub(super) span_id: Option<String>,
    /// The grader whose question it answers.
    grader_id: Option<String>,
    /// `good` or `bad`.
    rating: Option<&'static str>,
    label: Option<String>,
    note: Option<String>,
    author: String,
    /// `human` or `import`.
    source: String,
    /// The queue that asked for it; null if none did.
    queue_id: Option<String>,
    /// The chance with which it asked.
    chance: Option<f64>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Time,
}

/// An annotation to be made. It has a rating, a label or a note.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AnnotationSent {
    trace_id: String,
    /// The span, if it is about one.
    span_id: Option<String>,
    /// The id or the name of the grader whose question it answers.
    #[serde(alias = "grader_id")]
    grader: Option<String>,
    /// `good` or `bad`.
    rating: Option<String>,
    /// A word to count by.
    label: Option<String>,
    /// Anything.
    note: Option<String>,
    /// Who says so; whoever sends it if not given.
    author: Option<String>,
    /// `human`, which is the default, or `import`.
    source: Option<String>,
    /// When it was said; now if not given.
    #[schema(value_type = Option<String>, format = DateTime)]
    created_at: Option<String>,
    /// The queue that asked for it, as it names itself; `chance` and `grader` are given with it.
    queue_id: Option<String>,
    /// The chance with which the queue drew the trace, as it says.
    chance: Option<f64>,
}

/// Several annotations.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Several {
    annotations: Vec<AnnotationSent>,
}

/// Annotate a trace or a span. Several at a time go as `{"annotations":[…]}`, all or none of them.
#[utoipa::path(
    post,
    path = "/v1/annotations",
    tag = "grade",
    request_body = AnnotationSent,
    responses(
        (status = 200, description = "The annotation; the list of them, of several", body = AnnotationObject),
        (status = 400, body = ErrorBody),
        (status = 403, description = "The key may not send", body = ErrorBody),
        (status = 404, description = "There is no such trace, span or grader", body = ErrorBody)
    )
)]
pub(super) async fn annotate(
    State(state): State<AppState>,
    principal: Principal,
    JsonBody(body): JsonBody<Value>,
) -> Result<Response, ApiError> {
    principal.require(Scope::Ingest)?;
    let unusable = |why: String| {
        ApiError::new(
            ErrorCode::InvalidBody,
            format!("the body cannot be used: {why}"),
        )
    };
    if !body.is_object() {
        let why = "it is no JSON object; several annotations go as {\"annotations\":[…]}";
        return Err(unusable(why.to_owned()));
    }
    let unclear = |error: serde_json::Error| unusable(error.to_string());
    if body.get("annotations").is_none() {
        let one = AnnotationSent::deserialize(body).map_err(unclear)?;
        let mut made = add(&state, &principal, vec![one], &|_| String::new()).await?;
        let made = made
            .pop()
            .ok_or_else(|| ApiError::internal("one was added and none came back"))?;
        return Ok(Json(made).into_response());
    }
    let sent = Several::deserialize(body).map_err(unclear)?.annotations;
    if !(1..=ANNOTATIONS_MAX).contains(&sent.len()) {
        let message = format!("{} are not between 1 and {ANNOTATIONS_MAX}", sent.len());
        return Err(ApiError::invalid("annotations", message));
    }
    let place = |at: usize| format!("annotations[{at}].");
    let made = add(&state, &principal, sent, &place).await?;
    Ok(Json(List::of(made)).into_response())
}

/// List annotations, newest first.
#[utoipa::path(
    get,
    path = "/v1/annotations",
    tag = "grade",
    params(
        ("trace_id" = Option<String>, Query, description = "Those of this trace and its spans"),
        ("span_id" = Option<String>, Query, description = "Those of this span"),
        ("grader" = Option<String>, Query, description = "Those that answer the question of this grader, by its id or name"),
        ("label" = Option<String>, Query, description = "Those with this label"),
        ("author" = Option<String>, Query, description = "Those of this person"),
        ("after" = Option<String>, Query, description = "The annotation that the page comes behind"),
        ("limit" = Option<usize>, Query, description = "Entries of a page, 20 if not given"),
        ("order" = Option<String>, Query, description = "`desc`, which is the default, or `asc`"),
    ),
    responses(
        (status = 200, body = ListPage<AnnotationObject>),
        (status = 400, body = ErrorBody),
        (status = 404, description = "There is no such trace or grader", body = ErrorBody)
    )
)]
pub(super) async fn list_annotations(
    State(state): State<AppState>,
    principal: Principal,
    mut params: Params,
) -> Result<Json<ListPage<AnnotationObject>>, ApiError> {
    let asked = take_page(&mut params, Direction::Descending)?;
    let trace_id = params.take("trace_id")?;
    let grader = match params.take("grader")? {
        None => params.take("grader_id")?,
        named => named,
    };
    let filter = AnnotationFilter {
        trace_id: trace_id.as_deref().map(trace_id_of).transpose()?,
        span_id: params
            .take("span_id")?
            .as_deref()
            .map(span_id_of)
            .transpose()?,
        grader_id: match grader {
            None => None,
            Some(named) => {
                let grader = stored_grader(&state, &principal.project, &named, None);
                Some(grader.await?.id)
            }
        },
        label: params.take("label")?,
        author: params.take("author")?,
    };
    params.finish()?;
    // Of a trace that is not there nothing is said, which is another answer.
    let named = filter.trace_id.iter().map(|id| (id.clone(), Vec::new()));
    require_there(&state, &principal.project, named.collect()).await?;
    let meta = state.store.meta();
    let page = meta
        .annotations(&principal.project, &filter, &asked)
        .await?;
    Ok(Json(ListPage::of(
        page.map(AnnotationObject::from),
        |one| &one.id,
    )))
}

/// Delete an annotation.
#[utoipa::path(
    delete,
    path = "/v1/annotations/{id}",
    tag = "grade",
    params(("id" = String, Path, description = "The annotation")),
    responses(
        (status = 200, body = DeletedAnnotation),
        (status = 403, description = "The key may not delete", body = ErrorBody),
        (status = 404, body = ErrorBody)
    )
)]
pub(super) async fn delete_annotation(
    State(state): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<Json<DeletedAnnotation>, ApiError> {
    principal.require(Scope::Admin)?;
    let meta = state.store.meta();
    meta.delete_annotation(principal.who(), &principal.project, &id)
        .await?;
    Ok(Json(DeletedAnnotation {
        object: "annotation.deleted",
        deleted: true,
        id,
    }))
}

/// An annotation that was deleted.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeletedAnnotation {
    /// `annotation.deleted`.
    object: &'static str,
    deleted: bool,
    id: String,
}

async fn add(
    state: &AppState,
    principal: &Principal,
    sent: Vec<AnnotationSent>,
    place: &(dyn Fn(usize) -> String + Sync),
) -> Result<Vec<AnnotationObject>, ApiError> {
    let mut new = Vec::with_capacity(sent.len());
    for (at, one) in sent.into_iter().enumerate() {
        let grader_id = match &one.grader {
            None => None,
            Some(named) => {
                let grader = stored_grader(state, &principal.project, named, None).await;
                let grader = grader.map_err(|error| error.of_param(place(at) + "grader"));
                Some(grader?.id)
            }
        };
        new.push(one.checked(grader_id, principal.who(), &place(at))?);
    }
    let mut wanted: BTreeMap<TraceId, Vec<SpanId>> = BTreeMap::new();
    for one in &new {
        let spans = wanted.entry(one.trace_id.clone()).or_default();
        spans.extend(one.span_id.clone());
    }
    require_there(state, &principal.project, wanted).await?;
    let meta = state.store.meta();
    let made = meta
        .add_annotations(principal.who(), &principal.project, &new)
        .await?;
    Ok(made.into_iter().map(AnnotationObject::from).collect())
}

/// Refuses traces that are not there, and spans that they do not have.
async fn require_there(
    state: &AppState,
    project: &ProjectId,
    wanted: BTreeMap<TraceId, Vec<SpanId>>,
) -> Result<(), ApiError> {
    let (state, project) = (Arc::clone(state), project.clone());
    let look = move || {
        for (trace, spans) in wanted {
            let snapshot = state.store.trace_snapshot(&project, &trace);
            let there = span_ids(&snapshot, state.store.ledger(), &trace, !spans.is_empty())?;
            let there = there.ok_or_else(|| ApiError::not_found("trace", trace.as_str()))?;
            if let Some(span) = spans.iter().find(|span| !there.contains(*span)) {
                return Err(ApiError::not_found("span", span.as_str()));
            }
        }
        Ok(())
    };
    blocking(look).await?
}

impl AnnotationSent {
    fn checked(
        self,
        grader_id: Option<String>,
        who: &str,
        place: &str,
    ) -> Result<NewAnnotation, ApiError> {
        let at = |field: &str| format!("{place}{field}");
        let word = |field: &str, chars_max: usize, text: Option<String>| match text {
            Some(text) if text.chars().count() > chars_max => {
                let message = format!("it has more than {chars_max} characters");
                Err(ApiError::invalid(at(field), message))
            }
            text => Ok(text.filter(|text| !text.trim().is_empty())),
        };
        let rating = match self.rating.as_deref() {
            None => None,
            Some("good") => Some(Rating::Good),
            Some("bad") => Some(Rating::Bad),
            Some(other) => {
                let message = format!("{other:?} is not good or bad");
                return Err(ApiError::invalid(at("rating"), message));
            }
        };
        let source = match self.source.as_deref() {
            None | Some("human") => "human",
            Some("import") => "import",
            Some(other) => {
                let message = format!("{other:?} is not human or import");
                return Err(ApiError::invalid(at("source"), message));
            }
        };
        let label = word("label", LABEL_CHARS_MAX, self.label)?;
        let note = word("note", NOTE_CHARS_MAX, self.note)?;
        if rating.is_none() && label.is_none() && note.is_none() {
            let message = "an annotation says something: a rating, a label or a note";
            return Err(ApiError::invalid(at("rating"), message));
        }
        let created_at = self.created_at.as_deref().map(|text| {
            Time::parse_rfc3339(text)
                .map_err(|_| ApiError::invalid(at("created_at"), "it is not a moment in RFC 3339"))
        });
        let created_at = created_at.transpose()?;
        let asked = asked_by(self.queue_id, self.chance, grader_id.as_deref(), &at)?;
        let author = word("author", AUTHOR_CHARS_MAX, self.author)?;
        Ok(NewAnnotation {
            trace_id: trace_id_of(&self.trace_id)?,
            span_id: self.span_id.as_deref().map(span_id_of).transpose()?,
            grader_id,
            rating,
            label,
            note,
            author: author.unwrap_or_else(|| who.to_owned()),
            source: source.to_owned(),
            created_at,
            asked,
        })
    }
}

/// Reads what a queue said when it asked: all of it or nothing, for a label without its chance stands for
/// nobody knows how many traces.
fn asked_by(
    queue_id: Option<String>,
    chance: Option<f64>,
    grader_id: Option<&str>,
    at: &dyn Fn(&str) -> String,
) -> Result<Option<AskedBy>, ApiError> {
    let (queue, chance) = match (queue_id, chance) {
        (None, None) => return Ok(None),
        (Some(queue), Some(chance)) => (queue, chance),
        _ => {
            let message = "queue_id and chance are given together, as the queue told them";
            return Err(ApiError::invalid(at("chance"), message));
        }
    };
    if let Err(unknown) = queue.parse::<QueueId>() {
        return Err(ApiError::invalid(at("queue_id"), unknown.to_string()));
    }
    if !(chance > 0.0 && chance <= 1.0) {
        return Err(ApiError::invalid(at("chance"), "it is above 0 and up to 1"));
    }
    if grader_id.is_none() {
        let message = "a queue asks a grader's question: name the grader";
        return Err(ApiError::invalid(at("grader"), message));
    }
    Ok(Some(AskedBy { queue, chance }))
}

/// What cannot be an id names nothing.
fn trace_id_of(text: &str) -> Result<TraceId, ApiError> {
    TraceId::new(text).map_err(|_| ApiError::not_found("trace", text))
}

fn span_id_of(text: &str) -> Result<SpanId, ApiError> {
    SpanId::new(text).map_err(|_| ApiError::not_found("span", text))
}

impl From<Annotation> for AnnotationObject {
    fn from(annotation: Annotation) -> Self {
        Self {
            object: "annotation",
            id: annotation.id,
            trace_id: annotation.trace_id.to_string(),
            span_id: annotation.span_id.map(|id| id.to_string()),
            grader_id: annotation.grader_id,
            rating: annotation.rating.map(Rating::as_str),
            label: annotation.label,
            note: annotation.note,
            author: annotation.author,
            source: annotation.source,
            queue_id: annotation.asked.as_ref().map(|asked| asked.queue.clone()),
            chance: annotation.asked.map(|asked| asked.chance),
            created_at: annotation.created_at,
        }
    }
}
