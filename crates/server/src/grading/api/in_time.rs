//! Python that answers before a request has to end.
//!
//! A run gives code two minutes, a request does not. Code that takes longer is stopped while there is still
//! time to say so, and its verdict is that it was stopped.

use grade::openai::{Answer, Python, PythonError, Subject};
use grade::sandbox::Verdict;
use grade::trace::TracePython;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

/// Whoever runs Python, until a moment.
pub(super) struct InTime<'a> {
    pub(super) python: &'a dyn TracePython,
    pub(super) until: Instant,
}

impl InTime<'_> {
    /// Waits for an answer. Whoever runs the code ends it when nobody waits any more.
    async fn wait<T>(&self, answer: Answer<'_, Result<T, PythonError>>) -> Result<T, PythonError> {
        let began = Instant::now();
        let late = |_| {
            PythonError::Stopped(format!(
                "there was no answer after {:.1} s, and the request that tries it may not take longer \
                 (request_timeout); in a run code has more time",
                began.elapsed().as_secs_f64()
            ))
        };
        timeout_at(self.until, answer).await.map_err(late)?
    }
}

impl Python for InTime<'_> {
    fn grade<'a>(
        &'a self,
        source: &'a str,
        subject: Subject<'a>,
    ) -> Answer<'a, Result<f64, PythonError>> {
        Box::pin(self.wait(self.python.grade(source, subject)))
    }
}

impl TracePython for InTime<'_> {
    fn grade_trace<'a>(
        &'a self,
        source: &'a str,
        trace: &'a Value,
    ) -> Answer<'a, Result<Verdict, PythonError>> {
        Box::pin(self.wait(self.python.grade_trace(source, trace)))
    }

    fn check<'a>(&'a self, source: &'a str) -> Answer<'a, Result<(), PythonError>> {
        Box::pin(self.wait(self.python.check(source)))
    }
}
