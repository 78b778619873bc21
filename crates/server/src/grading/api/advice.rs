//! What is there to be said of a definition that can be read?
//!
//! Some mistakes are seen only by whoever runs a grader: a module in Python is compiled where it would run,
//! before traces are graded by it. And a grader can be sound and unwise: one that asks several things at once
//! is offered in parts.

use std::time::Duration;

use grade::openai::PythonError;
use grade::trace::{TraceGrader, TracePython};
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;

use crate::state::AppState;

/// So long is waited for all modules of a definition to be compiled. Most take a moment; but whoever compiles
/// may be busy grading, or not there.
const CHECK_MAX: Duration = Duration::from_secs(10);

/// What somebody who keeps or tries a grader should know.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = GraderAdvice)]
pub(in crate::grading) struct Advice {
    /// What could not be checked, and what is unwise, each in a sentence.
    pub(in crate::grading) warnings: Vec<String>,
    /// A definition that does the same better, to be kept instead: of a criterion that asks several things
    /// at once, one that asks them one by one.
    #[schema(value_type = Option<Object>)]
    pub(in crate::grading) suggestion: Option<Value>,
}

impl Advice {
    /// Returns what there is to be said of a grader without running anything.
    pub(in crate::grading) fn of(grader: &TraceGrader) -> Self {
        let suggestion = grader.split();
        let parts = |it: &Value| it["graders"].as_object().map_or(0, Map::len);
        let warn = |it: &Value| {
            format!(
                "it asks {} things at once, and one answer does not tell which of them failed: `suggestion` \
                 asks them one by one",
                parts(it)
            )
        };
        Self {
            warnings: suggestion.iter().map(warn).collect(),
            suggestion,
        }
    }

    /// Compiles the Python of a grader, and returns what is wrong with it. What cannot be checked is a
    /// warning: it may well be right.
    pub(in crate::grading) async fn check(
        &mut self,
        state: &AppState,
        grader: &TraceGrader,
    ) -> Vec<String> {
        let until = Instant::now() + CHECK_MAX;
        let python = state.graders.python.as_deref();
        check((python, until), grader, &mut self.warnings).await
    }

    /// Says that Python was not compiled for somebody who may not run any.
    pub(super) fn check_not_allowed(&mut self, grader: &TraceGrader) {
        let unchecked = |(place, _): (String, &str)| {
            format!("`{place}` was not checked: only a key that may send has Python compiled")
        };
        self.warnings
            .extend(grader.sources().into_iter().map(unchecked));
    }
}

async fn check(
    (python, until): (Option<&dyn TracePython>, Instant),
    grader: &TraceGrader,
    warnings: &mut Vec<String>,
) -> Vec<String> {
    let mut problems = Vec::new();
    for (place, source) in grader.sources() {
        let why = match python {
            None => "there is no interpreter".to_owned(),
            Some(python) => match timeout_at(until, python.check(source)).await {
                Ok(Ok(())) => continue,
                Ok(Err(PythonError::Runtime(why))) => {
                    problems.push(format!("`{place}` is no Python: {why}"));
                    continue;
                }
                Ok(Err(error)) => error.to_string(),
                Err(_elapsed) => {
                    format!("nobody was free to do it within {} s", CHECK_MAX.as_secs())
                }
            },
        };
        warnings.push(format!("`{place}` could not be checked: {why}"));
    }
    problems
}

#[cfg(test)]
mod tests {
    use grade::openai::{Answer, Python, Subject};
    use grade::sandbox::Verdict;
    use serde_json::json;

    use super::*;

    /// Says of a module what the module says of itself.
    #[derive(Debug)]
    struct Echo;

    impl Python for Echo {
        fn grade<'a>(&'a self, _: &'a str, _: Subject<'a>) -> Answer<'a, Result<f64, PythonError>> {
            Box::pin(async { Ok(1.0) })
        }
    }

    impl TracePython for Echo {
        fn grade_trace<'a>(
            &'a self,
            _: &'a str,
            _: &'a Value,
        ) -> Answer<'a, Result<Verdict, PythonError>> {
            Box::pin(async { Ok(Verdict::default()) })
        }

        fn check<'a>(&'a self, source: &'a str) -> Answer<'a, Result<(), PythonError>> {
            Box::pin(async move {
                match source {
                    _ if source.contains("wrong") => Err(PythonError::Runtime("line 1".into())),
                    _ if source.contains("absent") => Err(PythonError::Absent("no bed".into())),
                    _ if source.contains("never") => std::future::pending().await,
                    _ => Ok(()),
                }
            })
        }
    }

    fn code(says: &str) -> Value {
        json!({"type": "code", "source": format!("def grade(trace): return '{says}'")})
    }

    #[tokio::test]
    async fn code_that_cannot_be_checked_is_no_mistake() {
        let grader = json!({"type": "multi", "calculate_output": "a + b + c + d", "graders":
            {"a": code("wrong"), "b": code("absent"), "c": code("never"), "d": code("right")}});
        let grader = TraceGrader::parse(&grader).unwrap();
        let mut warnings = Vec::new();
        let until = Instant::now() + Duration::from_millis(50);
        let problems = check((Some(&Echo), until), &grader, &mut warnings).await;
        assert_eq!(problems, ["`graders.a.source` is no Python: line 1"]);
        assert_eq!(
            warnings,
            [
                "`graders.b.source` could not be checked: Python graders cannot run here: no bed",
                "`graders.c.source` could not be checked: nobody was free to do it within 10 s",
            ]
        );
        let alone = TraceGrader::parse(&code("wrong")).unwrap();
        let mut warnings = Vec::new();
        let none = check((None, until), &alone, &mut warnings).await;
        assert_eq!(none, Vec::<String>::new());
        assert_eq!(
            warnings,
            ["`source` could not be checked: there is no interpreter"]
        );
    }

    #[test]
    fn what_asks_several_things_is_offered_in_parts() {
        let of = |criteria: &str| {
            let grader = json!({"type": "llm", "name": "q", "criteria": criteria});
            Advice::of(&TraceGrader::parse(&grader).unwrap())
        };
        let advice = of("Score:\n1. Was the goal reached?\n2. Was it polite?\n3. Was it short?");
        assert!(advice.warnings[0].starts_with("it asks 3 things at once"));
        let suggestion = advice.suggestion.unwrap();
        assert_eq!(suggestion["type"], "multi");
        assert_eq!(suggestion["graders"]["q2"]["criteria"], "Was it polite?");
        TraceGrader::parse(&suggestion).unwrap();
        let advice = of("Was the goal reached?");
        assert!(advice.suggestion.is_none() && advice.warnings.is_empty());
    }
}
