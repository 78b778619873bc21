//! What is graded: a row, or a trace that stands for one.

use std::borrow::Cow;

use insight::template::{Path, Row, Scope, Unfenced};
use serde_json::Value;

use super::Subject;

static NULL: Value = Value::Null;

/// What a grader is held against.
#[derive(Debug, Clone, Copy)]
pub(super) enum Held<'a> {
    /// A row of a dataset.
    Row(Row<'a>),
    /// A trace: of its facts only those are made that a template names.
    Trace(Unfenced<'a>),
}

/// The whole of a row, for code.
pub(super) struct WholeRow<'a> {
    item: Cow<'a, Value>,
    sample: Cow<'a, Value>,
}

impl<'a> Held<'a> {
    /// Returns a row as it is graded.
    pub(super) fn row(subject: Subject<'a>) -> Self {
        Self::Row(Row {
            item: subject.item,
            sample: Some(subject.sample),
        })
    }

    /// Returns all of it.
    pub(super) fn whole(self) -> WholeRow<'a> {
        match self {
            Self::Row(row) => WholeRow {
                item: Cow::Borrowed(row.item),
                sample: Cow::Borrowed(row.sample.unwrap_or(&NULL)),
            },
            Self::Trace(scope) => WholeRow {
                item: Cow::Owned(insight::template::item(scope.view())),
                sample: Cow::Owned(insight::template::sample(scope.view())),
            },
        }
    }
}

impl WholeRow<'_> {
    /// Returns it as code is given it.
    pub(super) fn subject(&self) -> Subject<'_> {
        Subject {
            item: &self.item,
            sample: &self.sample,
        }
    }
}

impl Scope for Held<'_> {
    fn value(&self, path: &Path) -> Option<Cow<'_, Value>> {
        match self {
            Self::Row(row) => row.value(path),
            Self::Trace(scope) => scope.value(path),
        }
    }
}
