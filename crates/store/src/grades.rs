//! How do grades get in, and how are they read?

use std::ops::ControlFlow;

use model::{Grade, ProjectId, TraceId};

use crate::append::{Ack, AppendError};
use crate::snapshot::{ReadError, Snapshot};
use crate::store::Store;

/// Which grades are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GradeFilter {
    /// Of this run alone.
    pub run_id: Option<String>,
    /// Of this trace alone.
    pub trace_id: Option<TraceId>,
    /// Of this grader alone.
    pub grader_id: Option<String>,
    /// Whether the long texts are wanted too: reasoning and the parameters of the judge. Without them
    /// a scan reads a small part of the files.
    pub with_texts: bool,
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
        let _ = (project, grades);
        unimplemented!()
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
        let _ = (filter, each);
        unimplemented!()
    }
}
