//! Was the goal reached, and who says so?
//!
//! Code that looks at the outcome is believed before a judge who has the right answer before him, and
//! he before one who has not. The verdict says who was believed.

use model::{Outcome, Verdict};

use super::{Metric, Reference, TrajectoryContext, TrajectoryGrader};
use crate::TraceView;

/// What kind of witness tells whether the goal was reached; the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GoalSource {
    /// Code looked at the outcome.
    Code,
    /// A judge compared with a reference.
    ReferenceJudge,
    /// A judge looked at the trace alone.
    ReferenceFreeJudge,
}

impl GoalSource {
    /// Returns the word used in labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::ReferenceJudge => "reference_judge",
            Self::ReferenceFreeJudge => "reference_free_judge",
        }
    }
}

/// What another grader said of the goal.
#[derive(Debug, Clone, Copy)]
pub struct GoalWitness<'a> {
    /// What kind of grader it is.
    pub source: GoalSource,
    /// Its name.
    pub grader: &'a str,
    /// What it said.
    pub verdict: &'a Verdict,
}

/// Returns the word of the best witness that has one, with the kind of witness as its label. The state
/// match with the reference is a witness of our own, after other code.
pub(super) fn reached(
    grader: &TrajectoryGrader,
    view: &TraceView,
    reference: &Reference,
    context: &TrajectoryContext<'_>,
) -> Verdict {
    let state = reference.calls.is_some().then(|| {
        let grader = TrajectoryGrader {
            metric: Metric::StateMatch,
            ..grader.clone()
        };
        grader.grade(view, context)
    });
    let own = state.as_ref().map(|verdict| GoalWitness {
        source: GoalSource::Code,
        grader: "state match",
        verdict,
    });
    let told = context.witnesses.iter().copied().chain(own);
    let told = told.filter(|witness| has_word(witness.verdict));
    // of equals the first
    match told.min_by_key(|witness| witness.source) {
        Some(witness) => believed(grader, witness),
        None => Verdict {
            reasoning: Some("nobody says whether the goal was reached".to_owned()),
            ..Verdict::new(Outcome::NotApplicable)
        },
    }
}

fn has_word(verdict: &Verdict) -> bool {
    match verdict.outcome {
        Outcome::Pass | Outcome::Fail => true,
        Outcome::Value => verdict.score.is_some(),
        Outcome::NotApplicable | Outcome::Unscored => false,
    }
}

/// A number without an opinion is held against the threshold.
fn believed(grader: &TrajectoryGrader, witness: GoalWitness<'_>) -> Verdict {
    let GoalWitness {
        source,
        grader: name,
        verdict,
    } = witness;
    let passes = match verdict.outcome {
        Outcome::Value => verdict
            .score
            .is_some_and(|score| score >= grader.pass_threshold),
        outcome => outcome == Outcome::Pass,
    };
    let outcome = if passes { Outcome::Pass } else { Outcome::Fail };
    let why = verdict
        .reasoning
        .as_ref()
        .map_or(String::new(), |why| format!(": {why}"));
    Verdict {
        outcome,
        score: verdict.score.or(Some(f64::from(u8::from(passes)))),
        label: Some(source.as_str().to_owned()),
        reasoning: Some(format!("by {name}{why}")),
        judge: None,
        ..verdict.clone()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::scenes::{Scene, call};
    use super::*;
    use crate::Effects;

    #[test]
    fn code_is_believed_before_judges_and_who_has_no_word_is_passed_over() {
        let pass = Verdict::new(Outcome::Pass);
        let fail = Verdict::new(Outcome::Fail);
        let silent = Verdict::unscored(model::UnscoredReason::Budget, "too long");
        let number = Verdict {
            score: Some(0.4),
            ..Verdict::new(Outcome::Value)
        };
        let effects = Effects::default();
        let check = |scene: &Scene,
                     witnesses: &[(GoalSource, &Verdict)],
                     expected: Option<(Outcome, &str)>| {
            let witnesses: Vec<_> = witnesses
                .iter()
                .map(|(source, verdict)| GoalWitness {
                    source: *source,
                    grader: "g",
                    verdict,
                })
                .collect();
            let context = TrajectoryContext {
                witnesses: &witnesses,
                ..TrajectoryContext::new(&effects)
            };
            let grader = TrajectoryGrader::new(Metric::GoalSuccess);
            let verdict = grader.grade(&scene.view(), &context);
            let found = verdict
                .label
                .as_deref()
                .map(|label| (verdict.outcome, label));
            assert_eq!(found, expected, "{verdict:?}");
        };
        use GoalSource::*;
        let bare = Scene::default();
        check(&bare, &[], None);
        check(&bare, &[(Code, &silent)], None);
        check(
            &bare,
            &[(ReferenceFreeJudge, &pass)],
            Some((Outcome::Pass, "reference_free_judge")),
        );
        check(
            &bare,
            &[
                (ReferenceFreeJudge, &pass),
                (ReferenceJudge, &fail),
                (Code, &silent),
            ],
            Some((Outcome::Fail, "reference_judge")),
        );
        check(&bare, &[(Code, &number)], Some((Outcome::Fail, "code")));
        let booked = Scene::default()
            .reference(json!({"calls": [{"name": "book", "args": {}}]}))
            .call(call("book", json!({})));
        check(
            &booked,
            &[(ReferenceJudge, &fail)],
            Some((Outcome::Pass, "code")),
        );
        check(&booked, &[(Code, &fail)], Some((Outcome::Fail, "code")));
    }
}
