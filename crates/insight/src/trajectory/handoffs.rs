//! Did control go to the right agents?

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use model::{ChatMessage, SpanType};

use super::comparison::{CALLS_MAX, Comparison, Kinds};
use super::{ExpectedHandoff, Finding, NoScore, Reference, share, some_of};
use crate::TraceView;

/// A handoff that was made.
struct Handoff<'a> {
    at: u32,
    from: &'a str,
    /// Empty if the handoff failed.
    to: &'a str,
}

/// Measures handoffs: against the expected ones where there are some, else by whether they led
/// anywhere.
pub(super) fn of(view: &TraceView, reference: &Reference) -> Result<Finding, NoScore> {
    let made: Vec<Handoff<'_>> = view
        .handoffs
        .iter()
        .map(|at| {
            let handoff = &view.spans[*at as usize];
            let (from, to) = (&handoff.span().handoff_from, &handoff.span().handoff_to);
            let from = from.as_deref().or(handoff.agent.as_deref());
            Handoff {
                at: *at,
                from: from.unwrap_or(""),
                to: to.as_deref().unwrap_or(""),
            }
        })
        .collect();
    match &reference.handoffs {
        Some(expected) => against(view, &made, expected),
        None if made.is_empty() => Err(NoScore::not_applicable("no handoffs")),
        None => Ok(by_themselves(view, &made)),
    }
}

/// The score is the longest part of the expected handoffs that was made in order, as a share of the
/// longer of both: one too many is as wrong as one too few.
fn against(
    view: &TraceView,
    made: &[Handoff<'_>],
    expected: &[ExpectedHandoff],
) -> Result<Finding, NoScore> {
    let longest = made.len().max(expected.len());
    if longest > CALLS_MAX {
        return Err(NoScore::budget(format!(
            "{longest} handoffs: at most {CALLS_MAX} are compared"
        )));
    }
    let made_kinds = Kinds::of(made.iter().map(|handoff| (handoff.from, handoff.to)));
    let expected_kinds = Kinds::of(expected.iter().map(|handoff| (&handoff.from, &handoff.to)));
    let fits = made_kinds.firsts().map(|first| {
        let handoff = &made[first];
        let kinds = (0u32..).zip(expected_kinds.firsts());
        let fits = kinds.filter(|(_, other)| {
            let other = &expected[*other];
            other.to == handoff.to && other.from.as_ref().is_none_or(|from| from == handoff.from)
        });
        fits.map(|(kind, _)| kind).collect()
    });
    let fits = fits.collect();
    let comparison = Comparison::of_kinds(made_kinds, expected_kinds, fits);
    let right = comparison.common_subsequence();
    let path = made
        .iter()
        .map(|handoff| format!("{}→{}", handoff.from, handoff.to));
    let wanted = expected.iter().map(|handoff| match &handoff.from {
        Some(from) => format!("{from}→{}", handoff.to),
        None => format!("→{}", handoff.to),
    });
    let told = |path: String| {
        if path.is_empty() {
            "none".to_owned()
        } else {
            path
        }
    };
    let (path, wanted) = (told(some_of(path)), told(some_of(wanted)));
    let cited = comparison
        .extra()
        .into_iter()
        .map(|at| view.spans[made[at].at as usize].id().clone());
    Ok(Finding {
        score: if longest == 0 {
            1.0
        } else {
            share(right, longest)
        },
        reasoning: format!("handed over {path}; expected {wanted}"),
        citations: cited.collect(),
        vacuous: longest == 0,
    })
}

/// The score is the share of handoffs that neither went straight back nor to an agent that never ran.
fn by_themselves(view: &TraceView, made: &[Handoff<'_>]) -> Finding {
    let learned = Learned::of(view);
    let last_runs = last_runs(view);
    let mut bad: Vec<(&Handoff<'_>, String)> = Vec::new();
    let (mut returns, mut orphans) = (0, 0);
    for (place, handoff) in made.iter().enumerate() {
        let before = place.checked_sub(1).map(|before| &made[before]);
        let returned = before.filter(|before| {
            let is_back = before.from == handoff.to && before.to == handoff.from;
            is_back && !learned.between(before.at, handoff.at)
        });
        let has_run = last_runs.get(handoff.to).is_some_and(|at| *at > handoff.at);
        if !has_run {
            orphans += 1;
            bad.push((
                handoff,
                match handoff.to {
                    "" => format!("a handoff of {} failed", handoff.from),
                    to => format!("{to} never ran"),
                },
            ));
        } else if returned.is_some() {
            returns += 1;
            bad.push((
                handoff,
                format!(
                    "{} gave back to {} with nothing new",
                    handoff.from, handoff.to
                ),
            ));
        }
    }
    let mut reasoning = format!(
        "{} handoffs, {returns} straight back, {orphans} to an agent that never ran",
        made.len(),
    );
    if let Some(useful) = learned.first_useful {
        let hops = made.iter().filter(|handoff| handoff.at < useful).count();
        reasoning += &format!("; {hops} before the first useful call");
    } else {
        reasoning += "; no useful call";
    }
    if !bad.is_empty() {
        reasoning += &format!(": {}", some_of(bad.iter().map(|(_, why)| why.clone())));
    }
    Finding {
        score: 1.0 - share(bad.len(), made.len()),
        reasoning,
        citations: bad
            .iter()
            .map(|(handoff, _)| view.spans[handoff.at as usize].id().clone())
            .collect(),
        vacuous: false,
    }
}

/// Returns the last span of each agent: its own, or one that it is told to have made. Some senders keep
/// one agent span open and tell the agent at each call only.
fn last_runs(view: &TraceView) -> HashMap<&str, u32> {
    let mut last = HashMap::new();
    for (at, span) in (0u32..).zip(&view.spans) {
        let agent = match span.span().span_type {
            SpanType::Handoff => None,
            SpanType::Agent => Some(span.span().name.as_str()),
            _ => span.agent.as_deref(),
        };
        if let Some(agent) = agent.filter(|agent| !agent.is_empty()) {
            last.insert(agent, at);
        }
    }
    last
}

/// When something new became known.
struct Learned {
    /// Places of spans that brought something, ascending.
    at: Vec<u32>,
    /// The first call that succeeded.
    first_useful: Option<u32>,
}

impl Learned {
    /// A call that succeeds and a user who speaks bring something new.
    fn of(view: &TraceView) -> Self {
        let mut heard: HashSet<*const ChatMessage> = HashSet::new();
        let mut texts: HashSet<String> = HashSet::new();
        let mut at = Vec::new();
        let mut first_useful = None;
        for (place, span) in (0u32..).zip(&view.spans) {
            let is_call = span.is(SpanType::Function) || span.is(SpanType::Retrieval);
            let succeeded = is_call && span.span().has_ended() && !span.has_failed();
            if succeeded {
                first_useful = first_useful.or(Some(place));
            }
            let users = span.told.input.iter().filter(|said| said.role == "user");
            let new = users.filter(|said| heard.insert(Arc::as_ptr(said)));
            let spoke = new
                .filter_map(|said| said.words())
                .filter(|words| texts.insert(words.clone()));
            if spoke.count() > 0 || succeeded {
                at.push(place);
            }
        }
        Self { at, first_useful }
    }

    fn between(&self, from: u32, to: u32) -> bool {
        let next = self.at.partition_point(|at| *at <= from);
        self.at.get(next).is_some_and(|at| *at < to)
    }
}

#[cfg(test)]
mod tests {
    use model::Outcome;
    use serde_json::{Value, json};

    use super::super::scenes::{Scene, call};
    use super::super::{Metric, TrajectoryGrader};

    fn check(scene: &Scene, score: f64, reasoning: &str) {
        let verdict = scene.grade(&TrajectoryGrader::new(Metric::HandoffCorrectness));
        assert_eq!(verdict.reasoning.as_deref(), Some(reasoning));
        assert_eq!(verdict.score, Some(score));
    }

    fn billed() -> Scene {
        Scene::default()
            .agent("Triage", &[])
            .handoff("Triage", "Billing")
            .agent("Billing", &[])
    }

    #[test]
    fn against_expected_handoffs() {
        let with = |expected: Value| billed().reference(json!({ "handoffs": expected }));
        check(
            &with(json!(["Billing"])),
            1.0,
            "handed over Triage→Billing; expected →Billing",
        );
        check(
            &with(json!([{"from": "Sales", "to": "Billing"}])),
            0.0,
            "handed over Triage→Billing; expected Sales→Billing",
        );
        check(
            &with(json!(["Billing", "Refunds"])),
            0.5,
            "handed over Triage→Billing; expected →Billing, →Refunds",
        );
        check(
            &with(json!([])),
            0.0,
            "handed over Triage→Billing; expected none",
        );
    }

    #[test]
    fn straight_back_and_to_nobody_are_in_vain() {
        let scene = billed()
            .handoff("Billing", "Triage")
            .agent("Triage", &[])
            .handoff("Triage", "Nobody");
        check(
            &scene,
            1.0 - 2.0 / 3.0,
            "3 handoffs, 1 straight back, 1 to an agent that never ran; no useful call: Billing gave back \
             to Triage with nothing new, Nobody never ran",
        );
    }

    #[test]
    fn back_with_something_new_is_not_in_vain() {
        let called = billed().call(call("get_bill", json!({})));
        let back = |scene: Scene| scene.handoff("Billing", "Triage").agent("Triage", &[]);
        check(
            &back(called),
            1.0,
            "2 handoffs, 0 straight back, 0 to an agent that never ran; 1 before the first useful call",
        );
        let spoken = billed().says(&[("user", "and now this")], "well");
        check(
            &back(spoken),
            1.0,
            "2 handoffs, 0 straight back, 0 to an agent that never ran; no useful call",
        );
    }

    #[test]
    fn where_nobody_hands_over_there_is_no_verdict() {
        let verdict = Scene::default().grade(&TrajectoryGrader::new(Metric::HandoffCorrectness));
        assert_eq!(verdict.outcome, Outcome::NotApplicable);
    }
}
