//! How doubtful is a verdict? From 0, nothing says so, to 1.
//!
//! Whoever labels traces learns most where the judge is unsure: where he says so himself, where a panel or
//! repeated answers are split, where a number is near the threshold, where a second attempt said otherwise.
//! The strongest of these signs counts. None of them is a probability, so they only decide who is asked.

use std::collections::BTreeMap;

use model::Grade;

use super::collected::Graded;
use super::panel::Told;
use crate::scale::GraderScale;

/// A number so far from the threshold, as a share of the scale, is not doubtful.
const NEAR: f64 = 0.25;

/// Returns how unsure the judges of a grade were, by their confidence and their votes.
pub(super) fn of_judges(grade: &Grade, told: Option<&Told>) -> f64 {
    // who is as likely right as wrong could not be less sure
    let unsure = |confidence: f64| (2.0 * (1.0 - confidence)).clamp(0.0, 1.0);
    let said = grade.verdict.confidence.filter(|it| it.is_finite());
    let split = told.map_or(0.0, |told| split(&told.panel).max(split(&told.samples)));
    said.map_or(0.0, unsure).max(split)
}

/// Returns how split votes are: 0 if all say the same, 1 if no word has more than half.
fn split(votes: &[Option<String>]) -> f64 {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for word in votes.iter().flatten() {
        *counts.entry(word).or_default() += 1;
    }
    let all: u32 = counts.values().sum();
    match counts.values().max() {
        None => 0.0,
        Some(&most) => (2.0 * (1.0 - f64::from(most) / f64::from(all))).min(1.0),
    }
}

/// Returns every item that a grader passed or failed, and how doubtful that is.
pub(crate) fn doubts(graded: &Graded) -> Vec<(u32, f64)> {
    let changed = graded.changed();
    let of = |(item, cell): (u32, super::cell::Cell)| {
        cell.passed()?;
        let doubt = match changed.contains(&item) {
            true => 1.0,
            false => cell.doubt().max(near(&graded.facts.scale, cell.score())),
        };
        Some((item, doubt))
    };
    graded.cells().filter_map(of).collect()
}

/// Returns how near a number is to the threshold.
fn near(scale: &GraderScale, score: Option<f64>) -> f64 {
    let GraderScale::Number { pass_threshold, .. } = scale else {
        return 0.0;
    };
    let (Some(score), Some(from), Some((low, high))) = (score, *pass_threshold, scale.range())
    else {
        return 0.0;
    };
    // of whole numbers the line is between the last that fails and the first that passes
    let line = if scale.is_whole() { from - 0.5 } else { from };
    let away = (score - line).abs() / (high - low);
    if away.is_finite() {
        (1.0 - away / NEAR).clamp(0.0, 1.0)
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use model::{JudgeUse, Verdict};

    use super::*;
    use crate::results::made::{builder, facts, grade, one_to_five, passed, rated};

    fn near_to(want: f64, found: f64) {
        assert!((want - found).abs() < 0.003, "{found} is not {want}");
    }

    #[test]
    fn each_sign_of_doubt_counts_and_the_strongest_wins() {
        let confident = |confidence: f64| Verdict {
            confidence: Some(confidence),
            ..passed(true)
        };
        let voted = |votes: &str| {
            let params = format!("{{\"judgement\":{{\"votes\":{votes}}}}}");
            Verdict {
                judge: Some(JudgeUse {
                    params: model::JsonText::parse(&params).ok(),
                    ..JudgeUse::default()
                }),
                confidence: Some(0.95),
                ..passed(true)
            }
        };
        let verdicts = [
            ("silent", passed(true), 0.0),
            ("sure", confident(1.0), 0.0),
            ("rather", confident(0.8), 0.4),
            ("coin", confident(0.5), 1.0),
            ("wrong", confident(0.1), 1.0),
            ("split", voted(r#"["pass","pass","fail"]"#), 2.0 / 3.0),
            ("even", voted(r#"["pass","fail"]"#), 1.0),
            ("one", voted(r#"["pass","pass","unscored:parse"]"#), 0.1),
        ];
        let mut builder = builder(&[facts("goal", GraderScale::PassFail)], &[]);
        for (name, verdict, _) in &verdicts {
            builder.add(&grade("goal", name, verdict.clone()));
        }
        // a later attempt said otherwise
        builder.add(&grade("goal", "turned", passed(true)));
        let mut again = grade("goal", "turned", passed(false));
        again.attempt = 2;
        builder.add(&again);
        let run = builder.collect();
        let found: BTreeMap<&str, f64> = doubts(&run.graded()[0])
            .into_iter()
            .map(|(item, doubt)| (run.item_id(item), doubt))
            .collect();
        for (name, _, want) in verdicts {
            near_to(want, found[name]);
        }
        near_to(1.0, found["turned"]);
    }

    #[test]
    fn what_an_attempt_said_does_not_hang_on_the_order_of_its_spans() {
        let of = |attempt: u32, span: &str, passes: bool| {
            let mut grade = grade("goal", "t", passed(passes));
            grade.attempt = attempt;
            grade.span_id = model::SpanId::new(span).ok();
            grade
        };
        // a span passed and another failed, so the first attempt failed; and the second did too
        let grades = [of(1, "a", true), of(1, "b", false), of(2, "a", false)];
        for order in [
            [0, 1, 2],
            [0, 2, 1],
            [2, 0, 1],
            [2, 1, 0],
            [1, 2, 0],
            [1, 0, 2],
        ] {
            let mut builder = builder(&[facts("goal", GraderScale::PassFail)], &[]);
            for at in order {
                builder.add(&grades[at]);
            }
            let run = builder.collect();
            assert_eq!(doubts(&run.graded()[0])[0].1, 0.0, "{order:?}");
            assert_eq!(run.graded()[0].repeated(), [(0, false)], "{order:?}");
        }
    }

    #[test]
    fn a_number_at_the_threshold_is_doubtful() {
        let mut builder = builder(&[facts("goal", one_to_five())], &[]);
        for score in 1..=5 {
            builder.add(&grade(
                "goal",
                &format!("t{score}"),
                rated(f64::from(score)),
            ));
        }
        let run = builder.collect();
        let found: Vec<f64> = doubts(&run.graded()[0]).iter().map(|it| it.1).collect();
        assert_eq!(found, [0.0, 0.0, 0.5, 0.5, 0.0]);
        let open = GraderScale::Number {
            low: None,
            high: None,
            pass_threshold: Some(1.0),
        };
        near_to(0.0, near(&open, Some(1.0)));
    }
}
