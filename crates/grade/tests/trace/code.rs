//! Graders in Python: what they are given and what becomes of their answers.

use grade::openai::{Answer, Python, PythonError, Subject as Row};
use grade::sandbox::{Config, Limits, Pool, PoolError, Verdict};
use grade::trace::{Costs, Services, Subject, TracePython};
use insight::Context;
use model::{Outcome, UnscoredReason};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::court::parsed;
use crate::story::booking;

/// A box that remembers what it was given and returns what it was told to.
struct Scripted {
    returns: Result<Verdict, PythonError>,
    given: Mutex<Vec<Value>>,
}

impl Scripted {
    fn of(returns: Result<Verdict, PythonError>) -> Self {
        let given = Mutex::default();
        Self { returns, given }
    }
}

impl Python for Scripted {
    fn grade<'a>(&'a self, _: &'a str, row: Row<'a>) -> Answer<'a, Result<f64, PythonError>> {
        self.given.lock().push(json!([row.sample, row.item]));
        let score = self.returns.clone().map(|verdict| verdict.score.unwrap());
        Box::pin(async { score })
    }
}

impl TracePython for Scripted {
    fn grade_trace<'a>(
        &'a self,
        _: &'a str,
        trace: &'a Value,
    ) -> Answer<'a, Result<Verdict, PythonError>> {
        self.given.lock().push(trace.clone());
        Box::pin(async { self.returns.clone() })
    }

    fn check<'a>(&'a self, _: &'a str) -> Answer<'a, Result<(), PythonError>> {
        Box::pin(async { Ok(()) })
    }
}

async fn grade(definition: &Value, python: Option<&dyn TracePython>) -> model::Verdict {
    let (view, context) = (booking(), Context::default());
    let services = Services {
        python,
        ..Services::default()
    };
    let subject = Subject::new(&view, &context);
    let graded = parsed(definition).grade(&subject, &services).await;
    graded.unwrap().remove(0).verdict
}

fn code(more: Value) -> Value {
    let mut definition = json!({"type": "code", "source": "def grade(trace): ..."});
    definition
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    definition
}

#[tokio::test]
async fn what_code_returns_is_held_against_what_it_promised() {
    let scored = |score| Verdict {
        score: Some(score),
        ..Verdict::default()
    };
    let labelled = |label: &str| Verdict {
        label: Some(label.to_owned()),
        ..Verdict::default()
    };
    let labels = json!({"labels": ["a", "b"], "passing_labels": ["a"]});
    for (more, returned, outcome, score) in [
        (json!({}), scored(0.5), Outcome::Pass, Some(0.5)),
        (json!({}), scored(0.4), Outcome::Fail, Some(0.4)),
        (
            json!({"pass_threshold": 7}),
            scored(6.0),
            Outcome::Fail,
            Some(6.0),
        ),
        (
            json!({"range": [1, 5]}),
            scored(4.0),
            Outcome::Pass,
            Some(4.0),
        ),
        (
            json!({"range": [1, 5]}),
            scored(9.0),
            Outcome::Unscored,
            None,
        ),
        (
            json!({"scale": "pass_fail"}),
            scored(1.0),
            Outcome::Pass,
            None,
        ),
        (labels.clone(), labelled("a"), Outcome::Pass, None),
        (labels.clone(), labelled("b"), Outcome::Fail, None),
        (labels.clone(), labelled("c"), Outcome::Unscored, None),
        (labels, scored(1.0), Outcome::Unscored, None),
        (
            json!({"labels": ["a", "b"]}),
            labelled("a"),
            Outcome::Value,
            None,
        ),
        (
            json!({}),
            Verdict {
                passed: Some(false),
                ..scored(1.0)
            },
            Outcome::Fail,
            Some(1.0),
        ),
    ] {
        let python = Scripted::of(Ok(returned));
        let told = grade(&code(more.clone()), Some(&python)).await;
        assert_eq!(
            (told.outcome, told.score),
            (outcome, score),
            "{more}: {told:?}"
        );
        let reason = (outcome == Outcome::Unscored).then_some(UnscoredReason::Code);
        assert_eq!(told.unscored_reason, reason);
    }
    let told = Verdict {
        reasoning: Some("because".to_owned()),
        citations: vec!["s3".to_owned(), "g1".to_owned(), "nowhere".to_owned()],
        ..scored(0.0)
    };
    let told = grade(&code(json!({})), Some(&Scripted::of(Ok(told)))).await;
    let cited: Vec<_> = told.citations.iter().map(model::SpanId::as_str).collect();
    assert_eq!(
        (told.reasoning.as_deref(), &*cited),
        (Some("because"), &["f1", "g1"][..])
    );
}

#[tokio::test]
async fn a_grader_that_breaks_says_nothing_of_the_trace() {
    for (error, reason) in [
        (
            PythonError::Runtime("ZeroDivisionError".into()),
            UnscoredReason::Code,
        ),
        (
            PythonError::Stopped("120 s".into()),
            UnscoredReason::Sandbox,
        ),
        (
            PythonError::Absent("no python3".into()),
            UnscoredReason::Sandbox,
        ),
    ] {
        let words = error.to_string();
        let told = grade(&code(json!({})), Some(&Scripted::of(Err(error)))).await;
        assert_eq!(
            (told.outcome, told.unscored_reason),
            (Outcome::Unscored, Some(reason))
        );
        assert_eq!(told.reasoning, Some(words));
    }
    let told = grade(&code(json!({})), None).await;
    assert_eq!(told.unscored_reason, Some(UnscoredReason::Sandbox));
}

#[tokio::test]
async fn code_is_given_the_trace_or_a_row() {
    let python = Scripted::of(Ok(Verdict {
        score: Some(1.0),
        ..Verdict::default()
    }));
    let row = json!({"type": "python", "source": "def grade(sample, item):\n    return 1.0"});
    assert_eq!(parsed(&row).cost(), Costs::Code);
    assert_eq!(parsed(&row).definition()["entry"], "grade(sample, item)");
    // OpenAI's type with our function, and ours with OpenAI's.
    let ours =
        json!({"type": "python", "source": "def grade( trace : dict ) -> float:\n    return 1.0"});
    let theirs =
        json!({"type": "code", "source": "async_=1\ndef grade(sample,item):\n    return 1.0"});
    for definition in [&row, &ours, &theirs, &code(json!({}))] {
        assert_eq!(
            grade(definition, Some(&python)).await.outcome,
            Outcome::Pass
        );
    }
    let given = python.given.lock();
    for row in [&given[0], &given[2]] {
        assert_eq!(
            row[0]["output_text"],
            "HAT045 leaves at 13:00 and costs 99 USD. Shall I book it?"
        );
        assert_eq!(row[1]["tools"][0]["name"], "search_flights");
    }
    for trace in [&given[1], &given[3]] {
        let keys: Vec<&String> = trace.as_object().unwrap().keys().collect();
        for key in [
            "id",
            "status",
            "spans",
            "tools",
            "handoffs",
            "guardrails",
            "input",
            "output",
            "errors",
            "usage",
        ] {
            assert!(keys.iter().any(|it| *it == key), "{key}: {keys:?}");
        }
        assert_eq!(trace["spans"][2]["name"], "search_flights");
        assert_eq!(trace["tool_call_count"], 1);
    }
}

#[cfg(target_os = "linux")]
async fn pool() -> Option<Pool> {
    let mut config = Config::new("/proc/self/exe".into());
    config.launcher_arguments = ["launcher", "--exact", "--nocapture"]
        .map(Into::into)
        .into();
    config.workers_max = 1;
    config.limits = Limits {
        wall: std::time::Duration::from_secs(20),
        cpu_seconds_max: 1,
        ..Limits::default()
    };
    match Pool::open(config).await {
        Ok(pool) => Some(pool),
        // Where the kernel has no Landlock there is no sandbox to be tried.
        Err(PoolError::Sandbox(why)) if why.contains("Landlock") => None,
        Err(error) => panic!("a sandbox can be built here: {error}"),
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_real_sandbox_grades_a_trace() {
    let Some(pool) = pool().await else {
        return;
    };
    let check = async |source: &str, outcome, reason: Option<UnscoredReason>| {
        let told = grade(&json!({"type": "code", "source": source}), Some(&pool)).await;
        assert_eq!(
            (told.outcome, told.unscored_reason),
            (outcome, reason),
            "{source}: {told:?}"
        );
        told
    };
    let source = "
def grade(trace):
    tool = trace['tools'][0]
    good = tool['name'] == 'search_flights' and 'HAT045' in tool['output']
    return {'passed': good, 'reason': trace['workflow_name'], 'spans': [tool['span_id']]}
";
    let told = check(source, Outcome::Pass, None).await;
    assert_eq!(told.reasoning.as_deref(), Some("flight_booking"));
    assert_eq!(told.citations[0].as_str(), "f1");
    let number = "def grade(trace):\n    return len(trace['spans']) / 100";
    assert_eq!(check(number, Outcome::Fail, None).await.score, Some(0.04));
    let row = "def grade(sample, item):\n    return float('Shall I' in sample['output_text'])";
    check(row, Outcome::Pass, None).await;
    let raises = "def grade(trace):\n    return trace['nothing']";
    let told = check(raises, Outcome::Unscored, Some(UnscoredReason::Code)).await;
    assert!(told.reasoning.unwrap().contains("KeyError"));
    let endless = "def grade(trace):\n    while True: pass";
    check(endless, Outcome::Unscored, Some(UnscoredReason::Sandbox)).await;
    let crash = "import ctypes\ndef grade(trace):\n    ctypes.string_at(0)";
    check(crash, Outcome::Unscored, Some(UnscoredReason::Code)).await;
}
