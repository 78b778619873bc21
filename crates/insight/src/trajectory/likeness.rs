//! How like are the calls made to those expected?

use super::comparison::{Call, Comparison, Rules};
use super::{
    ArgumentMode, Finding, MadeCall, Metric, NoScore, Reference, TrajectoryContext,
    TrajectoryGrader, hides_arguments, order, share, some_of,
};
use crate::{Effects, TraceView};

/// Both sides and what stands for what.
struct Held<'a> {
    view: &'a TraceView,
    made: Vec<MadeCall>,
    made_calls: Vec<Call>,
    expected: Vec<Call>,
    comparison: Comparison,
}

/// Measures what needs expected calls.
pub(super) fn of(
    grader: &TrajectoryGrader,
    view: &TraceView,
    reference: &Reference,
    context: &TrajectoryContext<'_>,
) -> Result<Finding, NoScore> {
    let expected = reference.calls.as_deref();
    let expected =
        expected.ok_or_else(|| NoScore::not_applicable("no expected calls to compare with"))?;
    let mut made = grader.calls_made(view);
    let mut expected = grader.calls_expected(expected);
    if grader.metric == Metric::StateMatch {
        keep_writes(&mut made, &mut expected, context.effects);
    }
    let matter = |call: &Call| {
        let mode = grader.arguments_by_tool.get(&call.name);
        let is_ignored = *mode.unwrap_or(&grader.arguments) == ArgumentMode::Ignore;
        !is_ignored
            && call
                .arguments
                .as_ref()
                .is_some_and(|it| it.as_object().is_none_or(|it| !it.is_empty()))
    };
    if hides_arguments(view, &made) && expected.iter().any(matter) {
        let why = "the sender gave no arguments of calls".to_owned();
        return Err(NoScore::Unscored(model::UnscoredReason::NoContent, why));
    }
    let rules = Rules {
        default: &grader.arguments,
        by_tool: &grader.arguments_by_tool,
        matcher: context.matcher,
    };
    let made_calls: Vec<Call> = made.iter().map(|made| made.call.clone()).collect();
    let comparison = Comparison::of(&made_calls, &expected, rules)?;
    let held = Held {
        view,
        made,
        made_calls,
        expected,
        comparison,
    };
    let score = held.score(grader)?;
    Ok(held.finding(grader.metric, score))
}

/// Leaves what changed the world, and what should have.
fn keep_writes(made: &mut Vec<MadeCall>, expected: &mut Vec<Call>, effects: &Effects) {
    made.retain(|made| made.succeeded && effects.is_write(&made.call.name));
    expected.retain(|call| effects.is_write(&call.name));
}

impl Held<'_> {
    fn score(&self, grader: &TrajectoryGrader) -> Result<f64, NoScore> {
        let comparison = &self.comparison;
        let (made, expected) = (comparison.made(), comparison.expected());
        let matched = comparison.pairs.len();
        let holds = |holds: bool| Ok(f64::from(u8::from(holds)));
        match grader.metric {
            Metric::Strict => holds(comparison.first_difference().is_none()),
            Metric::InOrder => holds(comparison.first_out_of_order().is_none()),
            Metric::Subset => holds(matched == made),
            Metric::Superset => holds(matched == expected),
            // nothing made is nothing wrong only where nothing was expected
            Metric::Precision if made == 0 => holds(expected == 0),
            Metric::Precision => Ok(share(matched, made)),
            Metric::Recall if expected == 0 => Ok(1.0),
            Metric::Recall => Ok(share(matched, expected)),
            Metric::F1 if made + expected == 0 => Ok(1.0),
            Metric::F1 => Ok(share(2 * matched, made + expected)),
            Metric::OrderScore if expected == 0 => Ok(1.0),
            Metric::OrderScore if grader.partial => {
                let weight = comparison.common_weight(&self.made_calls, &self.expected)?;
                Ok(weight / expected as f64)
            }
            Metric::OrderScore => Ok(share(comparison.common_subsequence(), expected)),
            Metric::KendallTau => order::kendall_tau(&comparison.pairs).ok_or_else(|| {
                NoScore::not_applicable(format!(
                    "{matched} expected calls made: too few for an order"
                ))
            }),
            // any order, and the state that the writing calls leave
            _ => holds(matched == made && matched == expected),
        }
    }

    fn finding(&self, metric: Metric, score: f64) -> Finding {
        let comparison = &self.comparison;
        let extra = comparison.extra();
        let missing = comparison.missing();
        let mut citations = extra.clone();
        let mut reasoning = self.counted(metric, &extra, &missing);
        let in_order = matches!(
            metric,
            Metric::Strict | Metric::InOrder | Metric::OrderScore | Metric::KendallTau
        );
        if in_order && missing.is_empty() {
            reasoning += &self.about_order(metric, &mut citations);
        }
        let id = |at: usize| {
            let span = &self.view.spans[self.made[at].at as usize];
            span.id().clone()
        };
        Finding {
            score,
            reasoning,
            citations: citations.into_iter().map(id).collect(),
            vacuous: self.made.is_empty() && self.expected.is_empty(),
        }
    }

    /// Returns what was made, what is missing and what came on top.
    fn counted(&self, metric: Metric, extra: &[usize], missing: &[usize]) -> String {
        let writing = if metric == Metric::StateMatch {
            "writing "
        } else {
            ""
        };
        let expected = self.expected.len();
        let mut text = match expected {
            0 => format!("no {writing}calls expected"),
            1 => format!(
                "{} of 1 expected {writing}call made",
                expected - missing.len()
            ),
            _ => format!(
                "{} of {expected} expected {writing}calls made",
                expected - missing.len()
            ),
        };
        if !missing.is_empty() {
            let calls = missing.iter().map(|at| self.expected[*at].brief());
            text += &format!("; missing {}", some_of(calls));
        }
        if !extra.is_empty() {
            let calls = extra.iter().map(|at| self.made_calls[*at].brief());
            text += &format!("; not expected {}", some_of(calls));
        }
        text
    }

    fn about_order(&self, metric: Metric, citations: &mut Vec<usize>) -> String {
        if let Some(at) = self.comparison.first_out_of_order() {
            let late = &self.expected[at];
            // its partner came, but too early
            let partner = self
                .comparison
                .pairs
                .iter()
                .find(|(_, expected)| *expected as usize == at);
            citations.extend(partner.map(|(made, _)| *made as usize));
            // the first of all has a partner, since none is missing
            let before = self.expected[at - 1].brief();
            return format!("; {} does not come after {before}", late.brief());
        }
        match self.comparison.first_difference() {
            Some(at) if metric == Metric::Strict => {
                citations.extend((at < self.made.len()).then_some(at));
                citations.sort_unstable();
                citations.dedup();
                format!("; the first difference is at call {}", at + 1)
            }
            _ => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{Outcome, UnscoredReason};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::scenes::{Scene, call};
    use super::*;

    const ALL: [Metric; 11] = [
        Metric::Strict,
        Metric::InOrder,
        Metric::AnyOrder,
        Metric::Subset,
        Metric::Superset,
        Metric::Precision,
        Metric::Recall,
        Metric::F1,
        Metric::OrderScore,
        Metric::KendallTau,
        Metric::StateMatch,
    ];

    fn scene(made: &str, expected: &str) -> Scene {
        let calls = expected
            .chars()
            .map(|name| json!({"name": name, "args": {}}));
        let scene = Scene::default().reference(json!({"calls": calls.collect::<Vec<_>>()}));
        made.chars().fold(scene, |scene, name| {
            scene.call(call(&name.to_string(), json!({})))
        })
    }

    fn score(metric: Metric, made: &str, expected: &str) -> Option<f64> {
        scene(made, expected)
            .grade(&TrajectoryGrader::new(metric))
            .score
    }

    #[test]
    fn each_metric_on_letters() {
        let mut table = String::new();
        for (made, expected) in [
            ("abc", "abc"),
            ("abxc", "abc"),
            ("cab", "abc"),
            ("ab", "abc"),
            ("aab", "ab"),
            ("a", "ab"),
            ("xy", "ab"),
            ("", "ab"),
            ("a", ""),
            ("", ""),
        ] {
            let scores = ALL[..10]
                .iter()
                .map(|metric| match score(*metric, made, expected) {
                    Some(score) => format!("{score:.2}"),
                    None => "–".to_owned(),
                });
            table += &format!(
                "{made:>4} {expected:>4} {}\n",
                scores.collect::<Vec<_>>().join(" ")
            );
        }
        insta::assert_snapshot!(table);
    }

    #[test]
    fn the_sentence_names_what_is_missing_and_the_spans_that_came_on_top() {
        let scene = Scene::default()
            .reference(json!({"calls": [
                {"name": "search", "args": {"to": "Rome"}},
                {"name": "book", "args": {"flight": "HAT1"}},
            ]}))
            .call(call("search", json!({"to": "Rome"})))
            .call(call("book", json!({"flight": "HAT2"})));
        let verdict = scene.grade(&TrajectoryGrader::new(Metric::F1));
        assert_eq!(
            verdict.reasoning.as_deref(),
            Some(
                "1 of 2 expected calls made; missing book({\"flight\":\"HAT1\"}); not expected book({\"flight\":\"HAT2\"})"
            )
        );
        assert_eq!(verdict.citations[0].as_str(), "s1");
        assert_eq!((verdict.score, verdict.outcome), (Some(0.5), Outcome::Pass));
        let early = self::scene("cab", "abc").grade(&TrajectoryGrader::new(Metric::InOrder));
        assert_eq!(
            early.reasoning.as_deref(),
            Some("3 of 3 expected calls made; c() does not come after b()")
        );
        assert_eq!(early.citations[0].as_str(), "s0");
    }

    #[test]
    fn who_takes_the_first_that_fits_misses_a_pair() {
        let grader = TrajectoryGrader {
            arguments: ArgumentMode::Subset,
            ..TrajectoryGrader::new(Metric::AnyOrder)
        };
        let scene = Scene::default()
            .reference(json!({"calls": [
                {"name": "find", "args": {"a": 1, "b": 2}},
                {"name": "find", "args": {"a": 1, "c": 3}},
            ]}))
            .call(call("find", json!({"a": 1})))
            .call(call("find", json!({"b": 2})));
        assert_eq!(scene.grade(&grader).outcome, Outcome::Pass);
    }

    #[test]
    fn arguments_by_mode() {
        let check = |mode: Value, given: Value, wanted: Value, fits: bool| {
            let grader = TrajectoryGrader::parse(&json!({
                "metric": "recall",
                "arguments": mode,
                "fold": ["case"],
            }));
            let scene = Scene::default()
                .reference(json!({"calls": [{"name": "f", "args": wanted}]}))
                .call(call("f", given.clone()));
            let verdict = scene.grade(&grader.unwrap());
            let expected = if fits { Outcome::Pass } else { Outcome::Fail };
            assert_eq!(
                verdict.outcome, expected,
                "{mode} {given} {wanted}: {verdict:?}"
            );
        };
        check(
            json!("exact"),
            json!({"b": 1.0, "a": "X"}),
            json!({"a": "x", "b": 1}),
            true,
        );
        check(json!("exact"), json!({"a": 1}), json!({"a": 2}), false);
        check(json!("exact"), json!({"a": 1}), Value::Null, true);
        check(
            json!("subset"),
            json!({"a": 1}),
            json!({"a": 1, "b": 2}),
            true,
        );
        check(
            json!("subset"),
            json!({"a": 1, "b": 2}),
            json!({"a": 1}),
            false,
        );
        check(
            json!("superset"),
            json!({"a": 1, "b": 2}),
            json!({"a": 1}),
            true,
        );
        check(json!("ignore"), json!({"a": 1}), json!({"a": 2}), true);
    }

    #[test]
    fn an_expression_decides_where_somebody_runs_it() {
        let mut grader = TrajectoryGrader::new(Metric::Recall);
        grader.arguments = ArgumentMode::Matcher("near".to_owned());
        let scene = Scene::default()
            .reference(json!({"calls": [{"name": "f", "args": {"x": 10}}]}))
            .call(call("f", json!({"x": 11})));
        let nobody = scene.grade(&grader);
        assert_eq!(nobody.unscored_reason, Some(UnscoredReason::Code));
        let near = |expression: &str, made: &Value, expected: &Value| {
            assert_eq!(expression, "near");
            let x = |value: &Value| value["x"].as_i64().ok_or_else(|| "no x".to_owned());
            Ok((x(made)? - x(expected)?).abs() <= 1)
        };
        let effects = Effects::default();
        let context = TrajectoryContext {
            matcher: Some(&near),
            ..TrajectoryContext::new(&effects)
        };
        assert_eq!(grader.grade(&scene.view(), &context).outcome, Outcome::Pass);
    }

    #[test]
    fn partial_credit_is_the_share_of_equal_arguments() {
        let grader = TrajectoryGrader {
            partial: true,
            ..TrajectoryGrader::new(Metric::OrderScore)
        };
        let scene = Scene::default()
            .reference(json!({"calls": [
                {"name": "f", "args": {"a": 1, "b": 2}},
                {"name": "g", "args": {}},
            ]}))
            .call(call("f", json!({"a": 1, "b": 3})))
            .call(call("g", json!({})));
        // a of a and b is equal: a half, and the whole second call
        assert_eq!(scene.grade(&grader).score, Some(0.75));
    }

    #[test]
    fn only_writes_that_succeeded_count_for_the_state() {
        let scene = Scene::default()
            .reference(json!({"calls": [
                {"name": "get_user", "args": {"id": 1}},
                {"name": "book_flight", "args": {"id": 7}},
            ]}))
            .call(call("book_flight", json!({"id": 8})).failed("no seat"))
            .call(call("search_flights", json!({})))
            .call(call("book_flight", json!({"id": 7})));
        let verdict = scene.grade(&TrajectoryGrader::new(Metric::StateMatch));
        assert_eq!(verdict.outcome, Outcome::Pass);
        assert_eq!(
            verdict.reasoning.as_deref(),
            Some("1 of 1 expected writing call made")
        );
    }

    #[test]
    fn without_reference_or_arguments_there_is_no_verdict() {
        let bare = Scene::default().call(call("f", json!({})));
        let verdict = bare.grade(&TrajectoryGrader::new(Metric::Strict));
        assert_eq!(verdict.outcome, Outcome::NotApplicable);
        let broken = bare.reference(json!({"calls": [3]}));
        let verdict = broken.grade(&TrajectoryGrader::new(Metric::Strict));
        assert_eq!(verdict.unscored_reason, Some(UnscoredReason::Unreadable));
        let silent = Scene::default()
            .reference(json!({"calls": [{"name": "f", "args": {"x": 1}}]}))
            .call(call("f", json!({})).silent());
        let verdict = silent.grade(&TrajectoryGrader::new(Metric::Strict));
        assert_eq!(verdict.unscored_reason, Some(UnscoredReason::NoContent));
    }

    #[test]
    fn ten_thousand_calls_against_as_many_are_compared_and_no_more() {
        let many = |count: usize, offset: usize| -> Vec<Value> {
            let one = |at: usize| json!({"name": "f", "args": {"x": (at * 7919 + offset) % count}});
            (0..count).map(one).collect()
        };
        let scene = |made: usize, expected: usize| {
            let calls = many(expected, 5);
            let scene = Scene::default().reference(json!({ "calls": calls }));
            let made = many(made, 0).into_iter();
            made.fold(scene, |scene, it| scene.call(call("f", it["args"].clone())))
        };
        let view = scene(10_000, 10_000).view();
        let effects = Effects::default();
        let grade = |grader: &TrajectoryGrader, view: &TraceView| {
            grader.grade(view, &TrajectoryContext::new(&effects))
        };
        for metric in ALL {
            let verdict = grade(&TrajectoryGrader::new(metric), &view);
            assert!(verdict.score.is_some(), "{metric:?} {verdict:?}");
        }
        let any_order = grade(&TrajectoryGrader::new(Metric::AnyOrder), &view);
        assert_eq!(any_order.score, Some(1.0));
        let mut subset = TrajectoryGrader::new(Metric::F1);
        subset.arguments = ArgumentMode::Subset;
        let mut partial = TrajectoryGrader::new(Metric::OrderScore);
        partial.partial = true;
        let more = scene(10_001, 1).view();
        for (grader, view) in [
            (&subset, &view),
            (&partial, &view),
            (&TrajectoryGrader::new(Metric::F1), &more),
        ] {
            let verdict = grade(grader, view);
            assert_eq!(
                verdict.unscored_reason,
                Some(UnscoredReason::Budget),
                "{verdict:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_stricter_implies_what_is_looser(made in "[abc]{0,6}", expected in "[abc]{0,5}") {
            let score = |metric| score(metric, &made, &expected);
            let holds = |metric| score(metric) == Some(1.0);
            let implies = |a: bool, b: bool| !a || b;
            prop_assert!(implies(holds(Metric::Strict), holds(Metric::InOrder) && holds(Metric::AnyOrder)));
            prop_assert!(implies(holds(Metric::InOrder), holds(Metric::Superset)));
            prop_assert_eq!(holds(Metric::AnyOrder), holds(Metric::Subset) && holds(Metric::Superset));
            prop_assert_eq!(holds(Metric::InOrder), holds(Metric::OrderScore));
            prop_assert_eq!(holds(Metric::Superset), holds(Metric::Recall));
            prop_assert_eq!(holds(Metric::AnyOrder), holds(Metric::F1));
            prop_assert!(score(Metric::OrderScore) <= score(Metric::Recall));
            let (precision, recall) = (score(Metric::Precision).unwrap(), score(Metric::Recall).unwrap());
            let f1 = score(Metric::F1).unwrap();
            prop_assert!(precision.min(recall) - 1e-12 <= f1 && f1 <= precision.max(recall) + 1e-12);
            let is_one_order = implies(holds(Metric::Strict), score(Metric::KendallTau).is_none_or(|tau| tau == 1.0));
            prop_assert!(is_one_order);
        }
    }
}
