//! Runs that tests make up.

use model::{Grade, GroupId, JsonText, JudgeUse, Outcome, Time, TraceId, Verdict};
use serde_json::json;

use super::{Collected, GraderFacts, ResultsBuilder, ResultsOptions, Stratum};
use crate::scale::GraderScale;

pub(crate) fn facts(name: &str, scale: GraderScale) -> GraderFacts {
    GraderFacts {
        id: format!("grader_{name}"),
        name: name.to_owned(),
        kind: "llm".to_owned(),
        version: 1,
        hash: format!("hash of {name}"),
        scale,
    }
}

pub(crate) fn one_to_five() -> GraderScale {
    GraderScale::Number {
        low: Some(1.0),
        high: Some(5.0),
        pass_threshold: Some(4.0),
    }
}

pub(crate) fn verdict(outcome: Outcome, score: Option<f64>) -> Verdict {
    Verdict {
        score,
        ..Verdict::new(outcome)
    }
}

pub(crate) fn passed(passed: bool) -> Verdict {
    Verdict::new(if passed { Outcome::Pass } else { Outcome::Fail })
}

/// A number on 1–5 that passes from 4 on.
pub(crate) fn rated(score: f64) -> Verdict {
    let outcome = if score >= 4.0 {
        Outcome::Pass
    } else {
        Outcome::Fail
    };
    verdict(outcome, Some(score))
}

/// A grade of a trace that is alone.
pub(crate) fn grade(grader: &str, trace: &str, verdict: Verdict) -> Grade {
    Grade {
        run_id: "grun_1".to_owned(),
        item_id: trace.to_owned(),
        attempt: 1,
        grader_id: format!("grader_{grader}"),
        grader_name: grader.to_owned(),
        grader_version: 1,
        grader_hash: format!("hash of {grader}"),
        trace_id: TraceId::new(trace).ok(),
        trace_started_at: Time::from_micros(0),
        span_id: None,
        group_id: None,
        stratum: None,
        weight: 1.0,
        verdict,
        created_at: Time::from_micros(0),
    }
}

/// A grader that compares two traces.
pub(crate) fn of_pairs(name: &str) -> GraderFacts {
    let scale = GraderScale::Number {
        low: Some(0.0),
        high: Some(1.0),
        pass_threshold: None,
    };
    facts(name, scale)
}

/// What it says of a pair, by what its judge said in either order.
pub(crate) fn pair(grader: &str, n: usize, orders: [&str; 2]) -> Grade {
    let (score, label) = match orders {
        ["better", "better"] => (1.0, "better"),
        ["worse", "worse"] => (0.0, "worse"),
        _ => (0.5, "tie"),
    };
    let params = json!({"judgement": {"counterpart": "trace_b", "orders": [orders]}});
    let used = JudgeUse {
        params: JsonText::parse(&params.to_string()).ok(),
        ..JudgeUse::default()
    };
    let verdict = Verdict {
        score: Some(score),
        label: Some(label.to_owned()),
        judge: Some(used),
        ..Verdict::new(Outcome::Value)
    };
    grade(grader, &format!("trace_{n}"), verdict)
}

pub(crate) fn in_group(group: &str, grade: Grade) -> Grade {
    Grade {
        group_id: GroupId::new(group).ok(),
        ..grade
    }
}

pub(crate) fn builder(graders: &[GraderFacts], strata: &[(&str, u64)]) -> ResultsBuilder {
    let stratum = |&(name, population): &(&str, u64)| Stratum {
        name: name.to_owned(),
        population,
    };
    let strata = strata.iter().map(stratum).collect();
    ResultsBuilder::new(graders.to_vec(), strata, ResultsOptions::default())
}

pub(crate) fn collected(
    graders: &[GraderFacts],
    grades: impl IntoIterator<Item = Grade>,
) -> Collected {
    let mut builder = builder(graders, &[]);
    for grade in grades {
        builder.add(&grade);
    }
    builder.collect()
}
