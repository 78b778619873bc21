//! What a grader of traces says, as an output item tells it.
//!
//! OpenAI's results know passed and not passed. A criterion that does not apply, or that says a number
//! without saying what is good, is marked as skipped and counts nowhere; one without a verdict is an
//! error, which is no fail.

use grade::openai::GraderCall;
use grade::trace::{Exchange, Graded, TraceGrader, number_of};
use model::{NanoUsd, Outcome, SpanId, UnscoredReason, Verdict};
use serde_json::{Value, json};
use store::meta::ItemStatus;

/// Returns what a criterion comes to that said this: of a grader that grades span by span the worst.
pub(super) fn outcome(graded: &[Graded]) -> ItemStatus {
    let outcomes = graded.iter().map(|one| match one.verdict.outcome {
        Outcome::Pass => ItemStatus::Pass,
        Outcome::Fail => ItemStatus::Fail,
        Outcome::Unscored => ItemStatus::Error,
        Outcome::Value | Outcome::NotApplicable => ItemStatus::Skip,
    });
    whole(outcomes)
}

/// Returns what parts come to together. One that could not be graded leaves open what the whole is; those
/// that are skipped say nothing.
pub(super) fn whole(parts: impl Iterator<Item = ItemStatus>) -> ItemStatus {
    let rank = |status: &ItemStatus| match status {
        ItemStatus::Skip => 0,
        ItemStatus::Pass => 1,
        ItemStatus::Fail => 2,
        ItemStatus::Error => 3,
    };
    parts.max_by_key(rank).unwrap_or(ItemStatus::Skip)
}

/// Returns what an output item shows of what a criterion said of a trace or a span of it: OpenAI's fields,
/// and ours where there is something to say.
pub(super) fn result(id: &str, name: &str, grader: &TraceGrader, graded: &Graded) -> Value {
    let verdict = &graded.verdict;
    let mut result = json!({
        "name": id,
        "testing_criteria_name": name,
        "type": grader.kind(),
        "score": number_of(verdict),
        "passed": verdict.outcome == Outcome::Pass,
        "sample": graded.exchanges.last().map(|last| call(last).to_json()),
        "outcome": verdict.outcome.as_str(),
        "citations": verdict.citations.iter().map(SpanId::as_str).collect::<Vec<_>>(),
    });
    let mut also = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            result[name] = value;
        }
    };
    also(
        "span_id",
        graded.span_id.as_ref().map(|id| id.as_str().into()),
    );
    also("label", verdict.label.as_deref().map(Value::from));
    also("reasoning", verdict.reasoning.as_deref().map(Value::from));
    also("confidence", verdict.confidence.map(Value::from));
    also("vacuous", verdict.vacuous.then_some(true.into()));
    let scores = &graded.scores;
    also("scores", (!scores.is_empty()).then(|| json!(scores)));
    also("cost_usd", cost(&graded.exchanges).map(Value::from));
    if outcome(std::slice::from_ref(graded)) == ItemStatus::Skip {
        also("skipped", Some(true.into()));
    }
    if let Some(reason) = verdict.unscored_reason {
        also("unscored_reason", Some(reason.as_str().into()));
        also("error", Some(error(verdict, reason)));
    }
    result
}

/// As OpenAI's graders tell of theirs.
fn error(verdict: &Verdict, reason: UnscoredReason) -> Value {
    json!({"code": reason.as_str(), "message": verdict.reasoning.as_deref().unwrap_or_default()})
}

fn call(exchange: &Exchange) -> GraderCall {
    GraderCall {
        input: exchange.messages.clone(),
        params: exchange.params.clone(),
        output: match &exchange.refusal {
            Some(refusal) => refusal.clone(),
            None => exchange.answer.clone(),
        },
        model: exchange.model.clone(),
        finish_reason: None,
        usage: exchange.usage,
    }
}

/// Returns what judges cost for it; none if none was asked, or if the price of one is not known.
fn cost(exchanges: &[Exchange]) -> Option<f64> {
    let costs = exchanges.iter().map(|it| it.cost.map(NanoUsd::to_usd));
    costs.sum::<Option<f64>>().filter(|_| !exchanges.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(outcome: Outcome) -> Graded {
        Graded::of(Verdict::new(outcome))
    }

    #[test]
    fn what_is_skipped_says_nothing_and_what_broke_leaves_it_open() {
        use ItemStatus::{Error, Fail, Pass, Skip};
        let check = |parts: &[ItemStatus], want| {
            assert_eq!(whole(parts.iter().copied()), want, "{parts:?}");
        };
        check(&[], Skip);
        check(&[Skip, Skip], Skip);
        check(&[Skip, Pass], Pass);
        check(&[Pass, Fail, Pass], Fail);
        check(&[Pass, Error, Fail], Error);
        let of = |outcomes: &[Outcome]| {
            let graded: Vec<Graded> = outcomes.iter().copied().map(said).collect();
            outcome(&graded)
        };
        assert_eq!(of(&[Outcome::Pass, Outcome::NotApplicable]), Pass);
        assert_eq!(of(&[Outcome::Value]), Skip);
        assert_eq!(of(&[Outcome::Unscored]), Error);
    }

    #[test]
    fn a_result_says_why_it_is_as_it_is() {
        let definition = json!({"type": "rule", "check": "tool_errors == 0"});
        let grader = TraceGrader::parse(&definition).unwrap();
        let result = |graded: &Graded| result("clean-1", "clean", &grader, graded);
        let mut failed = said(Outcome::Fail);
        failed.verdict.citations = vec![SpanId::new("s1").unwrap()];
        failed.verdict.reasoning = Some("tool_errors is 1".to_owned());
        assert_eq!(
            result(&failed),
            json!({"name": "clean-1", "testing_criteria_name": "clean", "type": "rule", "score": 0.0,
                "passed": false, "sample": null, "outcome": "fail", "citations": ["s1"],
                "reasoning": "tool_errors is 1"})
        );
        let skipped = result(&said(Outcome::NotApplicable));
        assert_eq!(
            (&skipped["passed"], &skipped["skipped"], &skipped["score"]),
            (&json!(false), &json!(true), &Value::Null)
        );
        let unscored = Graded::of(Verdict::unscored(UnscoredReason::NoJudge, "nobody to ask"));
        let unscored = result(&unscored);
        assert_eq!(unscored["unscored_reason"], "no_judge");
        assert_eq!(
            unscored["error"],
            json!({"code": "no_judge", "message": "nobody to ask"})
        );
        assert_eq!(unscored.get("skipped"), None);
    }
}
