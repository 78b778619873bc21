//! Graders in Python, and what is said of a grader before it grades.

use grade::openai::{Python, PythonError, Subject};
use grade::sandbox::Verdict;
use grade::trace::TracePython;

use super::*;

/// Runs modules that end, and compiles those that have no mistake: each says of itself which it is.
#[derive(Debug)]
struct Scripted;

impl Python for Scripted {
    fn grade<'a>(&'a self, _: &'a str, _: Subject<'a>) -> Answer<'a, Result<f64, PythonError>> {
        Box::pin(async { Ok(1.0) })
    }
}

impl TracePython for Scripted {
    fn grade_trace<'a>(
        &'a self,
        source: &'a str,
        _: &'a Value,
    ) -> Answer<'a, Result<Verdict, PythonError>> {
        let verdict = Verdict {
            score: Some(1.0),
            ..Verdict::default()
        };
        Box::pin(async move {
            match source.contains("while True") {
                true => std::future::pending().await,
                false => Ok(verdict),
            }
        })
    }

    fn check<'a>(&'a self, source: &'a str) -> Answer<'a, Result<(), PythonError>> {
        let why = "line 1: expected ':': def grade(t)";
        Box::pin(async move {
            match source.starts_with("def grade(t):") {
                true => Ok(()),
                false => Err(PythonError::Runtime(why.to_owned())),
            }
        })
    }
}

/// A server that has Python.
async fn bench(traces: usize) -> Bench {
    let bench = Bench::changed(|config, graders| {
        config.request_timeout = Duration::from_secs(3);
        graders.python = Some(Arc::new(Scripted));
    });
    let bench = bench.await;
    for number in 0..traces {
        bench.ingest(&order(number, false)).await;
    }
    bench
}

fn code(source: &str) -> Value {
    json!({"type": "code", "name": "mine", "source": source})
}

#[tokio::test]
async fn a_module_with_a_mistake_is_refused_wherever_it_is_sent() {
    let bench = bench(1).await;
    let wrong = code("def grade(t)\n  return 1");
    let said = |error: &Value| {
        let message = error["error"]["message"].as_str().unwrap();
        assert!(message.contains("line 1: expected ':'"), "{error}");
    };
    let told = bench
        .post("/v1/graders/validate", &json!({ "grader": wrong }))
        .await;
    assert_eq!(
        (&told["valid"], &told["grader"]),
        (&json!(false), &Value::Null)
    );
    let problem = "`source` is no Python: line 1: expected ':': def grade(t)";
    assert_eq!(told["problems"], json!([problem]));
    for (path, body, param) in [
        ("/v1/graders", wrong.clone(), "definition"),
        ("/v1/graders/try", json!({ "grader": wrong }), "graders"),
        (
            "/v1/evals/traces/grade",
            json!({ "graders": [wrong] }),
            "graders",
        ),
    ] {
        let (status, error) = bench.try_post(path, &body).await;
        said(&error);
        refused((status, error), 400, param);
    }
    let sound = code("def grade(t): return 1");
    let saved = bench.post("/v1/graders", &sound).await;
    assert_eq!(
        (&saved["version"], &saved["warnings"]),
        (&json!(1), &json!([]))
    );
    let told = bench
        .post("/v1/graders/try", &json!({ "grader": "mine" }))
        .await;
    assert_eq!(told["counts"]["pass"], 1, "{told}");
    bench.stop().await;
}

#[tokio::test]
async fn code_that_cannot_be_checked_is_kept_with_a_warning() {
    let bench = Bench::with_traces(0).await;
    let sent = code("def grade(t)\n  return 1");
    let saved = bench.post("/v1/graders", &sent).await;
    let warning = "`source` could not be checked: there is no interpreter";
    assert_eq!(saved["warnings"], json!([warning]), "{saved}");
    let told = bench
        .post("/v1/graders/validate", &json!({ "grader": sent }))
        .await;
    assert_eq!(
        (&told["valid"], &told["warnings"]),
        (&json!(true), &json!([warning]))
    );
    bench.stop().await;
}

#[tokio::test]
async fn code_that_never_ends_is_told_before_the_request_has_to_end() {
    let bench = bench(5).await;
    let endless = code("def grade(t):\n  while True: pass");
    let told = bench
        .post("/v1/graders/try", &json!({ "grader": endless }))
        .await;
    let verdicts = told["data"].as_array().unwrap();
    assert_eq!(verdicts.len(), 2, "{told}");
    for verdict in verdicts {
        assert_eq!(
            (&verdict["outcome"], &verdict["unscored_reason"]),
            (&json!("unscored"), &json!("sandbox"))
        );
        let why = verdict["reasoning"].as_str().unwrap();
        assert!(why.contains("no answer after 2."), "{why}");
    }
    let stopped = told["stopped"].as_str().unwrap();
    assert!(stopped.contains("2 of 5 traces"), "{stopped}");
    let named = json!({"grader": endless, "trace_ids": ["trace_1"]});
    let told = bench.post("/v1/graders/try", &named).await;
    assert_eq!(
        (&told["counts"]["unscored"], &told["stopped"]),
        (&json!(1), &Value::Null)
    );
    bench.stop().await;
}

#[tokio::test]
async fn a_question_that_is_several_is_offered_one_by_one() {
    let bench = Bench::with_traces(1).await;
    let criteria = "1. Was the user served?\n2. Was it polite?";
    let several = json!({"type": "llm", "name": "both", "criteria": criteria});
    let valid = bench
        .post("/v1/graders/validate", &json!({ "grader": several }))
        .await;
    assert_eq!(valid["valid"], true, "{valid}");
    let saved = bench.post("/v1/graders", &several).await;
    let tried = bench
        .post("/v1/graders/try", &json!({ "grader": "both" }))
        .await;
    for told in [&valid, &saved, &tried] {
        let warning = told["warnings"][0].as_str().unwrap();
        assert!(warning.starts_with("it asks 2 things at once"), "{warning}");
        assert_eq!(told["suggestion"], valid["suggestion"]);
    }
    let parts = bench.post("/v1/graders", &saved["suggestion"]).await;
    assert_eq!(
        (&parts["type"], &parts["version"], &parts["suggestion"]),
        (&json!("multi"), &json!(1), &Value::Null),
        "{parts}"
    );
    bench.stop().await;
}
