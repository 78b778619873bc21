//! What people say of traces and spans: good or bad, a label, a note.
//!
//! Labels are what judges are measured by, so each may name the grader whose question it answers. They
//! hold people's words about a trace and go with it.

use std::fmt;
use std::str::FromStr;

use model::{ProjectId, SpanId, Time, TraceId};

use super::{Meta, MetaError, Page, PageAsked};

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

/// An annotation to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
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
}

/// An annotation.
#[derive(Debug, Clone, PartialEq, Eq)]
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
        project: &ProjectId,
        new: &[NewAnnotation],
    ) -> Result<Vec<Annotation>, MetaError> {
        unimplemented!()
    }

    /// Returns a page of a project's annotations.
    pub async fn annotations(
        &self,
        project: &ProjectId,
        filter: &AnnotationFilter,
        asked: &PageAsked,
    ) -> Result<Page<Annotation>, MetaError> {
        unimplemented!()
    }

    /// Returns an annotation of a project.
    pub async fn annotation(&self, project: &ProjectId, id: &str) -> Result<Annotation, MetaError> {
        unimplemented!()
    }

    /// Deletes an annotation.
    pub async fn delete_annotation(
        &self,
        who: &str,
        project: &ProjectId,
        id: &str,
    ) -> Result<(), MetaError> {
        unimplemented!()
    }
}
