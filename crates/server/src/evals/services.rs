//! Whom graders and runs may ask: a model, and a box for code.

use std::fmt;
use std::sync::Arc;

use grade::openai::{Model, Python, Services};

/// What is there to grade with.
#[derive(Clone, Default)]
pub(crate) struct GradeServices {
    /// Answers prompts, and gives vectors of texts.
    pub(crate) model: Option<Arc<dyn Model>>,
    /// Runs Python graders.
    pub(crate) python: Option<Arc<dyn Python>>,
}

impl GradeServices {
    /// Returns them as graders ask for them.
    pub(super) fn get(&self) -> Services<'_> {
        Services {
            model: self.model.as_deref(),
            python: self.python.as_deref(),
        }
    }
}

impl fmt::Debug for GradeServices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}
