//! What people say of traces and spans: good or bad, a label, a note.
//!
//! Labels are what judges are measured by, so each may name the grader whose question it answers. They
//! hold people's words about a trace and go with it.

use std::fmt;
use std::str::FromStr;

use model::{ProjectId, SpanId, Time, TraceId};

use super::paging::Listing;
use super::{Meta, MetaError, Page, PageAsked, deleted, project};
use crate::sqlite::{Row, column, execute_rows, fresh_id, maybe_parsed, parsed, time};

/// Thumbs up or down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rating {
    /// Up.
    Good,
    /// Down.
    Bad,
}

/// A word that is no rating.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not good or bad")]
pub struct UnknownRating(String);

impl Rating {
    /// Returns the word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Rating::Good => "good",
            Rating::Bad => "bad",
        }
    }
}

impl FromStr for Rating {
    type Err = UnknownRating;

    fn from_str(word: &str) -> Result<Self, UnknownRating> {
        match word {
            "good" => Ok(Rating::Good),
            "bad" => Ok(Rating::Bad),
            _ => Err(UnknownRating(word.to_owned())),
        }
    }
}

impl fmt::Display for Rating {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How an annotation was asked for: with a known chance, so that it can stand for what was not asked about.
#[derive(Debug, Clone, PartialEq)]
pub struct AskedBy {
    /// The queue that drew the trace.
    pub queue: String,
    /// The chance with which it drew it, above 0 and up to 1.
    pub chance: f64,
}

/// An annotation to be kept.
#[derive(Debug, Clone, PartialEq)]
pub struct NewAnnotation {
    /// The trace.
    pub trace_id: TraceId,
    /// The span; none: the whole trace.
    pub span_id: Option<SpanId>,
    /// The grader whose question it answers.
    pub grader_id: Option<String>,
    /// Good or bad.
    pub rating: Option<Rating>,
    /// A label.
    pub label: Option<String>,
    /// A note.
    pub note: Option<String>,
    /// Who says so.
    pub author: String,
    /// Where it comes from: `human`, `import`.
    pub source: String,
    /// When it was said; none: now.
    pub created_at: Option<Time>,
    /// The queue that asked for it; none: nobody did, or nobody knows with what chance.
    pub asked: Option<AskedBy>,
}

/// An annotation.
#[derive(Debug, Clone, PartialEq)]
pub struct Annotation {
    /// Its id, `ann_…`.
    pub id: String,
    /// Whose it is.
    pub project: ProjectId,
    /// The trace.
    pub trace_id: TraceId,
    /// The span; none: the whole trace.
    pub span_id: Option<SpanId>,
    /// The grader whose question it answers.
    pub grader_id: Option<String>,
    /// Good or bad.
    pub rating: Option<Rating>,
    /// A label.
    pub label: Option<String>,
    /// A note.
    pub note: Option<String>,
    /// Who says so.
    pub author: String,
    /// When it was said.
    pub created_at: Time,
    /// Where it comes from.
    pub source: String,
    /// The queue that asked for it.
    pub asked: Option<AskedBy>,
}

/// Which annotations are listed: those that meet everything that is named.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AnnotationFilter {
    /// Those of this trace.
    pub trace_id: Option<TraceId>,
    /// Those of this span.
    pub span_id: Option<SpanId>,
    /// Those that answer this grader's question.
    pub grader_id: Option<String>,
    /// Those with this label.
    pub label: Option<String>,
    /// Those of this author.
    pub author: Option<String>,
}

impl Meta {
    /// Keeps annotations and returns them, without those of traces that were deleted.
    pub async fn add_annotations(
        &self,
        who: &str,
        project_id: &ProjectId,
        new: &[NewAnnotation],
    ) -> Result<Vec<Annotation>, MetaError> {
        let failed = self.db.failed("keep annotations");
        let now = self.clock.now();
        let mut write = self.db.begin().await?;
        let connection = write.connection();
        if !project::is_live(connection, project_id)
            .await
            .map_err(&failed)?
        {
            return Err(project::not_found(project_id));
        }
        let traces = new.iter().map(|one| &one.trace_id);
        let gone = deleted::of(connection, project_id, traces, now)
            .await
            .map_err(&failed)?;
        let kept: Vec<Annotation> = new
            .iter()
            .filter(|one| !gone.contains(&one.trace_id))
            .map(|one| one.made(project_id, now))
            .collect();
        let insert = (
            "INSERT INTO annotations (id, project_id, trace_id, span_id, grader_id, rating, label,
               note, author, source, created_at, queue, chance) ",
            "",
        );
        execute_rows(connection, insert, &kept, |values, one| {
            values
                .push_bind(one.id.clone())
                .push_bind(one.project.to_string())
                .push_bind(one.trace_id.to_string())
                .push_bind(one.span_id.as_ref().map(ToString::to_string))
                .push_bind(one.grader_id.clone())
                .push_bind(one.rating.map(Rating::as_str))
                .push_bind(one.label.clone())
                .push_bind(one.note.clone())
                .push_bind(one.author.clone())
                .push_bind(one.source.clone())
                .push_bind(one.created_at.as_micros())
                .push_bind(one.asked.as_ref().map(|asked| asked.queue.clone()))
                .push_bind(one.asked.as_ref().map(|asked| asked.chance));
        })
        .await
        .map_err(&failed)?;
        match kept.len() {
            0 => drop(write),
            count => {
                let what = format!("added {count} annotations to {project_id}");
                self.finish(write, who, &what).await?;
            }
        }
        Ok(kept)
    }

    /// Returns a page of a project's annotations.
    pub async fn annotations(
        &self,
        project: &ProjectId,
        filter: &AnnotationFilter,
        asked: &PageAsked,
    ) -> Result<Page<Annotation>, MetaError> {
        let tests = [
            ("trace_id =", filter.trace_id.as_ref().map(TraceId::as_str)),
            ("span_id =", filter.span_id.as_ref().map(SpanId::as_str)),
            ("grader_id =", filter.grader_id.as_deref()),
            ("label =", filter.label.as_deref()),
            ("author =", filter.author.as_deref()),
        ];
        let named = tests
            .into_iter()
            .filter_map(|(test, value)| Some((test, value?.to_owned())));
        let listing = Listing {
            what: "annotation",
            table: "annotations",
            order_by: "created_at",
            owner: vec![("project_id =", project.to_string())],
            filter: named.collect(),
        };
        self.page(&listing, asked, annotation).await
    }

    /// Returns an annotation of a project.
    pub async fn annotation(&self, project: &ProjectId, id: &str) -> Result<Annotation, MetaError> {
        self.entry(("annotation", "annotations"), project, id, annotation)
            .await
    }

    /// Deletes an annotation.
    pub async fn delete_annotation(
        &self,
        who: &str,
        project: &ProjectId,
        id: &str,
    ) -> Result<(), MetaError> {
        let mut write = self.db.begin().await?;
        let done = sqlx::query("DELETE FROM annotations WHERE id = $1 AND project_id = $2")
            .bind(id)
            .bind(project.as_str())
            .execute(write.connection())
            .await
            .map_err(self.db.failed("delete an annotation"))?;
        match done.rows_affected() {
            0 => Err(not_found(id)),
            _ => Ok(self.finish(write, who, &format!("deleted {id}")).await?),
        }
    }
}

impl NewAnnotation {
    fn made(&self, project: &ProjectId, now: Time) -> Annotation {
        let new = self.clone();
        Annotation {
            id: format!("ann_{}", fresh_id(now).simple()),
            project: project.clone(),
            trace_id: new.trace_id,
            span_id: new.span_id,
            grader_id: new.grader_id,
            rating: new.rating,
            label: new.label,
            note: new.note,
            author: new.author,
            created_at: new.created_at.unwrap_or(now),
            source: new.source,
            asked: new.asked,
        }
    }
}

fn not_found(id: &str) -> MetaError {
    MetaError::NotFound {
        what: "annotation",
        id: id.to_owned(),
    }
}

fn annotation(row: &Row) -> Result<Annotation, sqlx::Error> {
    let (queue, chance): (Option<String>, Option<f64>) =
        (column(row, "queue")?, column(row, "chance")?);
    Ok(Annotation {
        id: column(row, "id")?,
        project: parsed(row, "project_id")?,
        trace_id: parsed(row, "trace_id")?,
        span_id: maybe_parsed(row, "span_id")?,
        grader_id: column(row, "grader_id")?,
        rating: maybe_parsed(row, "rating")?,
        label: column(row, "label")?,
        note: column(row, "note")?,
        author: column(row, "author")?,
        created_at: time(row, "created_at")?,
        source: column(row, "source")?,
        asked: queue
            .zip(chance)
            .map(|(queue, chance)| AskedBy { queue, chance }),
    })
}
