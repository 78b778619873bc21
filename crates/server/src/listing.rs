//! OpenAI's list object, for lists that are short enough to be sent whole.

use serde::Serialize;
use utoipa::ToSchema;

/// A list that is sent whole.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct List<T: ToSchema> {
    /// `list`.
    object: &'static str,
    /// What it holds.
    data: Vec<T>,
    /// Always false: there are no pages.
    has_more: bool,
}

impl<T: ToSchema> List<T> {
    /// Returns the list of these.
    pub(crate) fn of(data: Vec<T>) -> Self {
        Self {
            object: "list",
            data,
            has_more: false,
        }
    }
}
